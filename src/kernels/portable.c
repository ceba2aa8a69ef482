/* The inner loops in plain C: what every other version is tested against. */
#include "kernels.h"

#include "bsq.h"

#include <math.h>
#include <string.h>

/* Lanes that error feedback handles side by side: enough to fill vectors, few enough to stay in the first cache. */
enum { FEEDBACK_LANES = 64 };

/* Adding and subtracting 1.5 * 2^23 rounds a float of small magnitude to the nearest integer, ties to even. */
static const float rounder = 12582912.0f;

static float nearest_code(float x, float lowest, float highest)
{
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    return (x + rounder) - rounder;
}

/* One survivor a lane: each code is the nearest one, and its error is fed to the rows that follow. */
static void feedback(const struct bsq_beam_block *block, int64_t first, int64_t count)
{
    int64_t lanes = block->lanes;
    float t[FEEDBACK_LANES];

    for (int64_t k = block->rows - 1; k >= 0; k--) {
        const float *r = block->r + k * block->ldr;
        const float *step = block->step + k * lanes + first, *z = block->z + k * lanes + first;
        float *e = block->e + k * lanes + first;
        float diagonal = r[k], inverse = 1.0f / diagonal;

        memcpy(t, block->t + k * lanes + first, (size_t)count * sizeof *t);
        for (int64_t j = k + 1; j < block->rows; j++) {
            const float *decided = block->e + j * lanes + first;

            for (int64_t l = 0; l < count; l++)
                t[l] += r[j] * decided[l];
        }
        for (int64_t l = 0; l < count; l++) {
            float code = nearest_code((e[l] + t[l] * inverse) / step[l], block->lowest, block->highest);
            float residual;

            e[l] -= step[l] * code;
            residual = t[l] + diagonal * e[l];
            block->cost[first + l] += residual * residual;
            block->align[first + l] += residual * z[l];
        }
    }
    for (int64_t l = 0; l < count; l++)
        block->parent[first + l] = 0;
}

/* The survivors of one lane while a block is decided. */
struct lane {
    float cost[BSQ_BEAM_WIDTH], align[BSQ_BEAM_WIDTH];
    float t[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH];
    float e[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH];       /* v - step q that each survivor of a row chose */
    uint8_t parent[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH]; /* and which survivor of the row before it came from */
};

/* The best extensions of a row so far, best first. */
struct extensions {
    int64_t count;
    float cost[BSQ_BEAM_WIDTH], residual[BSQ_BEAM_WIDTH], e[BSQ_BEAM_WIDTH];
    uint8_t parent[BSQ_BEAM_WIDTH];
};

static void insert(struct extensions *list, int64_t width, float cost, float residual, float e, int64_t parent)
{
    int64_t i = list->count < width ? list->count++ : width - 1;

    for (; i > 0 && list->cost[i - 1] > cost; i--) {
        list->cost[i] = list->cost[i - 1];
        list->residual[i] = list->residual[i - 1];
        list->e[i] = list->e[i - 1];
        list->parent[i] = list->parent[i - 1];
    }
    list->cost[i] = cost;
    list->residual[i] = residual;
    list->e[i] = e;
    list->parent[i] = (uint8_t)parent;
}

/* Extends survivor 's' by codes from the nearest outwards, for as long as they are among the best. */
static void extend(struct extensions *list, int64_t width, int64_t s, float cost, float t, float diagonal, float v,
                   float step, float lowest, float highest)
{
    float wanted = (v + t / diagonal) / step;
    float code = nearest_code(wanted, lowest, highest), up = code + 1.0f, down = code - 1.0f;

    for (;;) {
        float e = v - step * code, residual = t + diagonal * e, total = cost + residual * residual;

        if (list->count == width && !(total < list->cost[width - 1]))
            return;
        insert(list, width, total, residual, e, s);
        if (up <= highest && (down < lowest || up - wanted <= wanted - down)) {
            code = up;
            up += 1.0f;
        } else if (down >= lowest) {
            code = down;
            down -= 1.0f;
        } else {
            return;
        }
    }
}

static void decide_row(const struct bsq_beam_block *block, struct lane *lane, int64_t k, float v, float step, float z)
{
    int64_t width = block->width;
    float diagonal = block->r[k * block->ldr + k], align[BSQ_BEAM_WIDTH];
    struct extensions list = {.count = 0};

    for (int64_t s = 0; s < width && isfinite(lane->cost[s]); s++) {
        if (list.count == width && !(lane->cost[s] < list.cost[width - 1]))
            break;
        extend(&list, width, s, lane->cost[s], lane->t[k][s], diagonal, v, step, block->lowest, block->highest);
    }
    for (int64_t s = list.count; s < width; s++) { /* fewer extensions than room */
        list.cost[s] = INFINITY;
        list.residual[s] = 0.0f;
        list.e[s] = list.e[0];
        list.parent[s] = list.parent[0];
    }
    for (int64_t s = 0; s < width; s++)
        align[s] = lane->align[list.parent[s]] + list.residual[s] * z;
    memcpy(lane->align, align, (size_t)width * sizeof *align);
    memcpy(lane->cost, list.cost, (size_t)width * sizeof *lane->cost);
    memcpy(lane->e[k], list.e, (size_t)width * sizeof *lane->e[k]);
    memcpy(lane->parent[k], list.parent, (size_t)width);
    for (int64_t i = 0; i < k; i++) { /* the rows that are left follow their survivors */
        float before[BSQ_BEAM_WIDTH], r = block->r[i * block->ldr + k];

        memcpy(before, lane->t[i], (size_t)width * sizeof *before);
        for (int64_t s = 0; s < width; s++)
            lane->t[i][s] = before[list.parent[s]] + r * list.e[s];
    }
}

static void search_lane(const struct bsq_beam_block *block, int64_t index)
{
    int64_t width = block->width, states = block->lanes * width, first = index * width;
    struct lane lane;

    memcpy(lane.cost, block->cost + first, (size_t)width * sizeof *lane.cost);
    memcpy(lane.align, block->align + first, (size_t)width * sizeof *lane.align);
    for (int64_t k = 0; k < block->rows; k++)
        memcpy(lane.t[k], block->t + k * states + first, (size_t)width * sizeof *lane.t[k]);
    for (int64_t k = block->rows - 1; k >= 0; k--)
        decide_row(block, &lane, k, block->e[k * states + first], block->step[k * block->lanes + index],
                   block->z[k * block->lanes + index]);
    for (int64_t s = 0; s < width; s++) { /* back along each path, from the row decided last */
        int32_t at = (int32_t)s;

        for (int64_t k = 0; k < block->rows; k++) {
            block->e[k * states + first + s] = lane.e[k][at];
            at = lane.parent[k][at];
        }
        block->parent[first + s] = at;
    }
    memcpy(block->cost + first, lane.cost, (size_t)width * sizeof *lane.cost);
    memcpy(block->align + first, lane.align, (size_t)width * sizeof *lane.align);
}

static void beam(const struct bsq_beam_block *block)
{
    if (block->width > 1) {
        for (int64_t lane = 0; lane < block->lanes; lane++)
            search_lane(block, lane);
        return;
    }
    for (int64_t first = 0; first < block->lanes; first += FEEDBACK_LANES) {
        int64_t left = block->lanes - first;

        feedback(block, first, left < FEEDBACK_LANES ? left : FEEDBACK_LANES);
    }
}

const struct bsq_kernels bsq_kernels_portable = {.id = BSQ_KERNEL_PORTABLE, .beam = beam};
