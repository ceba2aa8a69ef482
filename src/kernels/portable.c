/* The inner loops in plain C: what every other version is tested against. */
#include "bsq.h"
#include "vectors.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "loops.h"

/* Lanes that error feedback handles side by side: enough to fill vectors, few enough to stay in the first cache. */
enum { FEEDBACK_LANES = 64 };

static float nearest_code(float x, float lowest, float highest)
{
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    return (x + ROUNDER) - ROUNDER;
}

/* Gives the nearest level of a table, of two as near the upper one. */
static float nearest_level(float x, const float *levels, int32_t count)
{
    float nearest = levels[0];

    for (int32_t i = 1; i < count; i++)
        nearest = 0.5f * (levels[i - 1] + levels[i]) <= x ? levels[i] : nearest;
    return nearest;
}

/* One survivor a lane: each code is the nearest one, and its error is fed to the rows that follow. */
static void feedback(const struct bsq_beam_block *block, int64_t first, int64_t count)
{
    int64_t lanes = block->lanes;
    float t[FEEDBACK_LANES];

    for (int64_t k = block->rows - 1; k >= 0; k--) {
        const float *r = block->r + k * block->ldr;
        const float *step = block->step + k * block->lds + first, *by_step = block->inverse + k * block->lds + first;
        const float *v = block->v + k * block->ldv + first;
        float *e = block->e + k * lanes + first;
        float diagonal = r[k], inverse = 1.0f / diagonal;

        memcpy(t, block->t + k * lanes + first, (size_t)count * sizeof *t);
        for (int64_t j = k + 1; j < block->rows; j++) {
            const float *decided = block->e + j * lanes + first;

            for (int64_t l = 0; l < count; l++)
                t[l] += r[j] * decided[l];
        }
        for (int64_t l = 0; l < count; l++) {
            float wanted = (v[l] + t[l] * inverse) * by_step[l], residual;
            float code = block->levels ? nearest_level(wanted, block->levels, block->level_count)
                                       : nearest_code(wanted, block->lowest, block->highest);

            e[l] = v[l] - step[l] * code;
            residual = t[l] + diagonal * e[l];
            block->cost[first + l] += residual * residual;
        }
    }
}

/* The survivors of one lane while a block is decided. */
struct lane {
    float cost[BSQ_BEAM_WIDTH];
    float t[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH];
    float e[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH];        /* v - step q that each survivor of a row chose */
    int32_t parent[BSQ_BEAM_ROWS][BSQ_BEAM_WIDTH]; /* and which survivor of the row before it came from */
};

/* The best extensions of a row so far, best first. */
struct extensions {
    float cost[BSQ_BEAM_WIDTH], e[BSQ_BEAM_WIDTH];
    int32_t parent[BSQ_BEAM_WIDTH];
};

static INLINE void insert(struct extensions *list, int64_t width, float cost, float e, int32_t parent)
{
    int64_t i = width - 1;

    for (; i > 0 && list->cost[i - 1] > cost; i--) {
        list->cost[i] = list->cost[i - 1];
        list->e[i] = list->e[i - 1];
        list->parent[i] = list->parent[i - 1];
    }
    list->cost[i] = cost;
    list->e[i] = e;
    list->parent[i] = parent;
}

/* What one row of one lane needs to know. */
struct row {
    float diagonal, inverse, v, step, step_inverse, lowest, highest;
    const float *levels; /* NULL: codes are values; else they count the table's levels, from 0 */
};

/* Gives v - step q; of what is no code, anything finite. */
static INLINE float error_of(const struct row *row, float code)
{
    if (row->levels)
        code = code < row->lowest || code > row->highest ? 0.0f : row->levels[(int32_t)code];
    return row->v - row->step * code;
}

/* What a survivor would cost with a code: infinity for what is no code. */
static INLINE float total_of(const struct row *row, float cost, float t, float code)
{
    float residual = t + row->diagonal * error_of(row, code);

    return code < row->lowest || code > row->highest ? INFINITY : cost + residual * residual;
}

/* Gives the code next below the wanted value, about, or the one before the first. */
static INLINE float code_below(const struct row *row, float wanted)
{
    float below = row->lowest - 1.0f;

    if (!row->levels)
        return nearest_code(wanted - 0.5f, below, row->highest);
    for (int32_t i = 0; i <= (int32_t)row->highest; i++)
        below = row->levels[i] <= wanted ? (float)i : below;
    return below;
}

/* Extends a survivor by codes from the nearest outwards, for as long as they are among the best. Costs rise on both
 * sides of the wanted value, in single precision too, so that taking the lower one each time leaves none out. */
static INLINE void extend(struct extensions *list, int64_t width, const struct row *row, float cost, float t,
                          int32_t survivor)
{
    float wanted = (row->v + t * row->inverse) * row->step_inverse;
    float down = code_below(row, wanted), up = down + 1.0f;
    float down_total = total_of(row, cost, t, down), up_total = total_of(row, cost, t, up);

    for (;;) {
        bool upwards = up_total <= down_total;
        float total = upwards ? up_total : down_total, code = upwards ? up : down, e = error_of(row, code);

        if (!(total < list->cost[width - 1]))
            return;
        insert(list, width, total, e, survivor);

        /* Without a branch: sides are as good as random. */
        float next = code + (upwards ? 1.0f : -1.0f), next_total = total_of(row, cost, t, next);

        up = upwards ? next : up;
        up_total = upwards ? next_total : up_total;
        down = upwards ? down : next;
        down_total = upwards ? down_total : next_total;
    }
}

/* Chooses the survivors of row k. Where there are fewer than room for them, the rest stay at infinite cost. */
static INLINE void choose(struct lane *lane, int64_t width, int64_t k, const struct row *row)
{
    struct extensions list;

    for (int64_t s = 0; s < width; s++) {
        list.cost[s] = INFINITY;
        list.e[s] = 0.0f;
        list.parent[s] = 0;
    }
    for (int32_t s = 0; s < width && lane->cost[s] < list.cost[width - 1]; s++)
        extend(&list, width, row, lane->cost[s], lane->t[k][s], s);
    for (int64_t s = 0; s < width; s++) {
        lane->cost[s] = list.cost[s];
        lane->e[k][s] = list.e[s];
        lane->parent[k][s] = list.parent[s];
    }
}

/* The rows before row k follow the survivors that were chosen for it, and learn what their codes add. */
static INLINE void follow_row(struct lane *lane, int64_t width, int64_t k, const float *r, int64_t ldr)
{
    const int32_t *parent = lane->parent[k];
    const float *e = lane->e[k];

    for (int64_t i = 0; i < k; i++) {
        float after[BSQ_BEAM_WIDTH], rik = r[i * ldr + k];

        for (int64_t s = 0; s < width; s++)
            after[s] = lane->t[i][parent[s]] + rik * e[s];
        for (int64_t s = 0; s < width; s++)
            lane->t[i][s] = after[s];
    }
}

/* 'width' is a constant where this is called, which is what makes its loops short and straight. */
static INLINE void search_lane(const struct bsq_beam_block *block, int64_t index, int64_t width)
{
    int64_t states = block->lanes * width, first = index * width;
    struct lane lane;

    memcpy(lane.cost, block->cost + first, (size_t)width * sizeof *lane.cost);
    for (int64_t k = 0; k < block->rows; k++)
        for (int64_t s = 0; s < width; s++)
            lane.t[k][s] = block->t[k * states + first + s];
    for (int64_t k = block->rows - 1; k >= 0; k--) {
        int64_t at = k * block->lds + index;
        float diagonal = block->r[k * block->ldr + k];
        struct row row = {.diagonal = diagonal,
                          .inverse = 1.0f / diagonal,
                          .v = block->v[k * block->ldv + index],
                          .step = block->step[at],
                          .step_inverse = block->inverse[at],
                          .lowest = block->levels ? 0.0f : block->lowest,
                          .highest = block->levels ? (float)(block->level_count - 1) : block->highest,
                          .levels = block->levels};

        choose(&lane, width, k, &row);
        follow_row(&lane, width, k, block->r, block->ldr);
    }
    for (int32_t s = 0; s < width; s++) { /* back along each path, from the row decided last */
        int32_t at = s;

        for (int64_t k = 0; k < block->rows; k++) {
            block->e[k * states + first + s] = lane.e[k][at];
            at = lane.parent[k][at];
        }
        block->parent[first + s] = at;
        block->cost[first + s] = lane.cost[s];
    }
}

static void search_lanes(const struct bsq_beam_block *block)
{
    for (int64_t lane = 0; lane < block->lanes; lane++) {
        switch (block->width) {
        case 2: search_lane(block, lane, 2); break;
        case 4: search_lane(block, lane, 4); break;
        case 8: search_lane(block, lane, 8); break;
        case 16: search_lane(block, lane, 16); break;
        default: search_lane(block, lane, block->width); break;
        }
    }
}

void bsq_beam_feedback(const struct bsq_beam_block *block, int64_t first)
{
    for (; first < block->lanes; first += FEEDBACK_LANES) {
        int64_t left = block->lanes - first;

        feedback(block, first, left < FEEDBACK_LANES ? left : FEEDBACK_LANES);
    }
}

static void beam(const struct bsq_beam_block *block)
{
    if (block->width > 1)
        search_lanes(block);
    else
        bsq_beam_feedback(block, 0);
}

const struct bsq_kernels bsq_kernels_portable = KERNELS(BSQ_KERNEL_PORTABLE, beam, NULL, NULL);
