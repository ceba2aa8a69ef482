/* Beam search (K-best) through the triangular factor of the objective.
 *
 * With H = R'R the objective is sum over k of (sum over j >= k of R_kj e_j)^2, e = v - step q. Rows are decided from the
 * last to the first: what row k adds to the cost depends on codes k..n-1 only, so that the best few partial choices
 * can be carried along (K-best sphere decoding; with K = 1 nearest-plane or error feedback). Rows go in blocks: what the
 * codes of earlier blocks add to a block is one matrix product for all states, and only the block itself is searched
 * by the kernels. */
#include "beam.h"

#include "blas.h"

#include <math.h>
#include <string.h>

/* Bytes for the errors of the states of one pass: fixed, so that passes are cut the same way for any thread count. */
static const int64_t pass_bytes = 16 << 20;

/* v is kept within this many steps: far outside of any code, and exact enough in single precision to tell codes. */
static const double far_steps = 32768.0;

/* Arrays of one pass, all float unless named otherwise; 'lanes' of them, lanes * width states. */
struct workspace {
    int64_t lanes;
    float *v;      /* n x channels, in units of the channel's largest scale, in factor order */
    float *z;      /* n x channels: R v */
    float *e;      /* n x states */
    float *t;      /* BSQ_BEAM_ROWS x states */
    float *step;   /* BSQ_BEAM_ROWS x lanes */
    float *zrow;   /* BSQ_BEAM_ROWS x lanes */
    float *cost;   /* states */
    float *align;  /* states */
    float *best;   /* channels: least error found */
    int32_t *parent; /* states */
};

static int64_t lanes_per_pass(int64_t n, int64_t channels, int32_t multiplier_count, int32_t width)
{
    int64_t all = channels * multiplier_count, fit = pass_bytes / (4 * n * width);

    return fit < 1 ? 1 : fit < all ? fit : all;
}

/* Gives out consecutive aligned arrays; with no memory behind it, it only counts. */
static void *carve(char *memory, size_t *used, int64_t count)
{
    size_t start = *used;

    *used += ((size_t)count * 4 + 63) / 64 * 64;
    return memory ? memory + start : NULL;
}

static size_t lay_out(struct workspace *w, char *memory, int64_t n, int64_t channels, int32_t multiplier_count,
                      int32_t width)
{
    size_t used = 0;
    int64_t lanes = lanes_per_pass(n, channels, multiplier_count, width), states = lanes * width;

    w->lanes = lanes;
    w->v = carve(memory, &used, n * channels);
    w->z = carve(memory, &used, n * channels);
    w->e = carve(memory, &used, n * states);
    w->t = carve(memory, &used, BSQ_BEAM_ROWS * states);
    w->step = carve(memory, &used, BSQ_BEAM_ROWS * lanes);
    w->zrow = carve(memory, &used, BSQ_BEAM_ROWS * lanes);
    w->cost = carve(memory, &used, states);
    w->align = carve(memory, &used, states);
    w->best = carve(memory, &used, channels);
    w->parent = carve(memory, &used, states);
    return used;
}

size_t bsq_beam_workspace(int64_t n, int64_t channels, int32_t multiplier_count, int32_t width)
{
    struct workspace w;

    return lay_out(&w, NULL, n, channels, multiplier_count, width);
}

static const double *channel_scales(const struct bsq_beam_task *task, int64_t channel)
{
    return task->scales + channel * task->scales_per_channel;
}

/* The largest scale of a channel: the unit in which the channel is searched. */
static double unit_of(const struct bsq_beam_task *task, int64_t channel)
{
    const double *scales = channel_scales(task, channel);
    double unit = scales[0];

    for (int64_t i = 1; i < task->scales_per_channel; i++)
        unit = scales[i] > unit ? scales[i] : unit;
    return unit;
}

static void load_targets(const struct bsq_beam_task *task, struct workspace *w)
{
    const struct bsq_factor *factor = task->factor;
    int64_t n = factor->n, channels = task->channels;

    for (int64_t c = 0; c < channels; c++) {
        double unit = unit_of(task, c);

        for (int64_t k = 0; k < n; k++) {
            int64_t j = factor->order[k];
            double limit = far_steps * channel_scales(task, c)[j / task->group_size] / unit;
            double v = task->v[c * n + j] / unit;

            w->v[k * channels + c] = (float)fmin(fmax(v, -limit), limit);
        }
        w->best[c] = INFINITY;
    }
    bsq_sgemm(false, false, n, channels, n, 1.0f, factor->r, n, w->v, channels, 0.0f, w->z, channels);
}

/* Rows first..first+rows-1 of a pass: v for every state, steps and R v for every lane. */
static void load_rows(const struct bsq_beam_task *task, struct workspace *w, int64_t first_lane, int64_t lanes,
                      int64_t first, int64_t rows)
{
    int64_t channels = task->channels, width = task->width;

    for (int64_t l = 0; l < lanes; l++) {
        int64_t c = (first_lane + l) / task->multiplier_count;
        double factor = task->multipliers[(first_lane + l) % task->multiplier_count] / unit_of(task, c);

        for (int64_t k = 0; k < rows; k++) {
            int64_t j = task->factor->order[first + k];
            float v = w->v[(first + k) * channels + c];

            w->step[k * lanes + l] = (float)(factor * channel_scales(task, c)[j / task->group_size]);
            w->zrow[k * lanes + l] = w->z[(first + k) * channels + c];
            for (int64_t s = 0; s < width; s++)
                w->e[((first + k) * lanes + l) * width + s] = v;
        }
    }
}

/* The rows that were decided before a block follow the survivors of the block. */
static void follow_parents(struct workspace *w, int64_t lanes, int64_t width, int64_t first, int64_t n)
{
    for (int64_t l = 0; l < lanes; l++) {
        const int32_t *parent = w->parent + l * width;
        float before[BSQ_BEAM_WIDTH];
        int64_t moved = 0;

        for (int64_t s = 0; s < width; s++)
            moved += parent[s] != s;
        for (int64_t k = first; moved && k < n; k++) {
            float *e = w->e + (k * lanes + l) * width;

            memcpy(before, e, (size_t)width * sizeof *before);
            for (int64_t s = 0; s < width; s++)
                e[s] = before[parent[s]];
        }
    }
}

static void search_pass(const struct bsq_beam_task *task, struct workspace *w, int64_t first_lane, int64_t lanes)
{
    int64_t n = task->factor->n, width = task->width, states = lanes * width;

    for (int64_t i = 0; i < states; i++) {
        w->cost[i] = i % width ? INFINITY : 0.0f;
        w->align[i] = 0.0f;
    }
    for (int64_t end = n; end > 0;) {
        int64_t first = end > BSQ_BEAM_ROWS ? end - BSQ_BEAM_ROWS : 0, rows = end - first;
        const float *r = task->factor->r + first * n;
        struct bsq_beam_block block = {
            .rows = rows, .lanes = lanes, .width = width, .r = r + first, .ldr = n, .t = w->t,
            .e = w->e + first * states, .step = w->step, .z = w->zrow, .cost = w->cost, .align = w->align,
            .parent = w->parent, .lowest = (float)task->lowest, .highest = (float)task->highest};

        load_rows(task, w, first_lane, lanes, first, rows);
        if (end < n)
            bsq_sgemm(false, false, rows, states, n - end, 1.0f, r + end, n, w->e + end * states, states, 0.0f, w->t,
                      states);
        else
            memset(w->t, 0, (size_t)(rows * states) * sizeof *w->t);
        task->kernels->beam(&block);
        if (width > 1)
            follow_parents(w, lanes, width, end, n);
        end = first;
    }
}

/* The best multiple of the step along a path, and the error that is left with it: with z = R v and residual r, the
 * rest R(v - (1 + x) step q) = r - x (z - r) is least at x = r'(z - r) / |z - r|^2. */
static float refit(double cost, double align, double zz, double *factor)
{
    double along = align - cost, length = zz - 2.0 * align + cost, x = length > 0.0 ? along / length : 0.0;

    if (!(x > -0.5 && x < 1.0))
        x = 0.0;
    *factor = 1.0 + x;
    return (float)(cost - 2.0 * x * along + x * x * length);
}

static void take_codes(const struct bsq_beam_task *task, const struct workspace *w, int64_t channel, int64_t states,
                       int64_t state, double multiplier)
{
    int64_t n = task->factor->n;
    double unit = unit_of(task, channel);

    for (int64_t k = 0; k < n; k++) {
        int64_t j = task->factor->order[k];
        double step = multiplier * channel_scales(task, channel)[j / task->group_size] / unit;
        double code = rint(((double)w->v[k * task->channels + channel] - (double)w->e[k * states + state]) / step);

        task->codes[channel * n + j] = (int8_t)fmin(fmax(code, task->lowest), task->highest);
    }
}

static void keep_best(const struct bsq_beam_task *task, struct workspace *w, int64_t first_lane, int64_t lanes)
{
    int64_t n = task->factor->n, width = task->width, states = lanes * width;

    for (int64_t l = 0; l < lanes; l++) {
        int64_t c = (first_lane + l) / task->multiplier_count, winner = -1;
        double multiplier = task->multipliers[(first_lane + l) % task->multiplier_count], zz = 0.0, taken = 1.0;

        for (int64_t k = 0; task->refit && k < n; k++)
            zz += (double)w->z[k * task->channels + c] * (double)w->z[k * task->channels + c];
        for (int64_t s = 0; s < width && isfinite(w->cost[l * width + s]); s++) {
            double factor = 1.0;
            float error = w->cost[l * width + s];

            if (task->refit)
                error = refit(error, w->align[l * width + s], zz, &factor);
            if (error < w->best[c]) {
                w->best[c] = error;
                winner = l * width + s;
                taken = factor;
            }
        }
        if (winner >= 0) {
            take_codes(task, w, c, states, winner, multiplier);
            task->multiplier[c] = multiplier * taken;
        }
    }
}

bool bsq_beam_search(const struct bsq_beam_task *task, void *workspace)
{
    struct workspace w;
    int64_t all = task->channels * task->multiplier_count;

    (void)lay_out(&w, workspace, task->factor->n, task->channels, task->multiplier_count, task->width);
    load_targets(task, &w);
    for (int64_t c = 0; c < task->channels; c++) { /* stands if nothing is finite */
        memset(task->codes + c * task->factor->n, 0, (size_t)task->factor->n);
        task->multiplier[c] = 1.0;
    }
    for (int64_t first = 0; first < all; first += w.lanes) {
        int64_t lanes = all - first < w.lanes ? all - first : w.lanes;

        if (task->stop(task->stop_opaque, (double)first / (double)all))
            return false;
        search_pass(task, &w, first, lanes);
        keep_best(task, &w, first, lanes);
    }
    return true;
}
