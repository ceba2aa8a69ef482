/* Beam search (K-best) through the triangular factor of the objective.
 *
 * With H = R'R the objective is sum over k of (sum over j >= k of R_kj e_j)^2, e = v - step q. Rows are decided from
 * the last to the first: what row k adds to the cost depends on codes k..n-1 only, so that the best few partial choices
 * can be carried along (K-best sphere decoding; with K = 1 nearest-plane or error feedback). Rows go in blocks, and
 * only the block itself is searched by the kernels.
 *
 * A lane is one channel with one multiplier of its scales; lanes are multipliers x channels, and what belongs to
 * channels lies in a row as often as there are multipliers. Which multipliers are good is mostly a matter of the layer:
 * a few channels try all of them with one survivor, and all channels the few that were best on average. The costs of
 * part of the rows tell less.
 *
 * Survivors of a lane differ in few rows: most of their codes come from a common ancestor. So what earlier blocks add
 * to a block is one matrix product for the best survivor of each lane, whatever K is, and the others differ from it by
 * a short list of rows. */
#include "stages/beam.h"

#include "base/blas.h"
#include "base/memory.h"
#include "stages/levels.h"

#include <math.h>
#include <string.h>

/* Bytes that a pass should fit in: fixed, so that channels are cut the same way for any thread count. Between 3 and 48
 * MiB the time of the layers at the default effort changes by less than 10 % (build/bench/bench_solver FOLDER --quick
 * --most 5). */
static const size_t pass_bytes = 12 << 20;

/* v is kept within this many steps: far outside of any code, and exact enough in single precision to tell codes. */
static const double far_steps = 32768.0;

/* Rows in which the survivors of a lane may differ. When there are more, those that differ from the best in the oldest
 * ones are given up. */
enum { MOST_OPEN_ROWS = 128 };

/* Problems of no more inputs than that try all multipliers with every channel. */
enum { SMALL_ROWS = 256 };

/* States of the lanes that are searched at a time, so that what belongs to them stays in the first caches. */
enum { NEAR_STATES = 256 };

/* Rows of one product with all that is decided. */
enum { STRIP_ROWS = 128 };

/* One pass: all lanes of some of the channels. A state is a survivor of a lane. */
struct beam_state {
    const struct bsq_beam_task *task;
    int64_t width;
    int64_t first; /* in the list of channels */
    int64_t channels;
    int64_t count; /* multipliers */
    int64_t lanes; /* count x channels */
    const double *multipliers;
    float *v;           /* n x channels, in units of the channel's largest scale, in factor order */
    float *p;           /* n x channels: R'R v; for a refit */
    float *e;           /* n x lanes, of the best survivor */
    float *base;        /* STRIP_ROWS x lanes: what e of the rows before a strip adds */
    float *t;           /* BSQ_BEAM_ROWS x near states: what e of the rows before a block adds, for every survivor */
    float *window;      /* BSQ_BEAM_ROWS x near states: e of the block that is being decided */
    float *lane_v;      /* BSQ_BEAM_ROWS x lanes: v, offsets taken off */
    float *step;        /* BSQ_BEAM_ROWS x lanes, or one row for all */
    float *inverse;     /* 1 / step */
    float *open;        /* lanes x MOST_OPEN_ROWS x width: e of every survivor in the rows where they differ */
    float *difference;  /* MOST_OPEN_ROWS x width: of one lane's e to that of its best */
    float *cost;        /* states: above the best of the lane */
    double *total;      /* lanes: cost of the best */
    double *align;      /* lanes: e'p of the best */
    double *unit;       /* channels: its largest scale */
    double *square;     /* channels: |R v|^2 */
    int32_t *cut_off;   /* channels: v was kept within far_steps */
    int32_t *parent;    /* states */
    int32_t *open_row;  /* lanes x MOST_OPEN_ROWS, oldest first */
    int32_t *open_rows; /* lanes: how many */
    float levels[BSQ_BEAM_LEVELS];
};

/* ---- what there is room for --------------------------------------------------------------------------------- */

static int64_t near_lanes(int64_t width)
{
    return width < NEAR_STATES ? NEAR_STATES / width : 1;
}

static size_t lay_out(struct beam_state *state, char *memory, int64_t n, int64_t channels, int64_t count, int64_t width)
{
    struct bsq_carver carver = {memory, 0};
    int64_t lanes = channels * count, states = lanes * width, strip = n < STRIP_ROWS ? n : STRIP_ROWS;
    int64_t block = width > 1 ? BSQ_BEAM_ROWS * near_lanes(width) * width : 0;
    int64_t open_rows = width > 1 ? lanes * MOST_OPEN_ROWS : 0;

    state->channels = channels;
    state->count = count;
    state->lanes = lanes;
    state->width = width;
    state->v = bsq_carve(&carver, n * channels, sizeof *state->v);
    state->p = bsq_carve(&carver, n * channels, sizeof *state->p);
    state->e = bsq_carve(&carver, n * lanes, sizeof *state->e);
    state->base = bsq_carve(&carver, strip * lanes, sizeof *state->base);
    state->t = bsq_carve(&carver, block, sizeof *state->t);
    state->window = bsq_carve(&carver, block, sizeof *state->window);
    state->lane_v = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *state->lane_v);
    state->step = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *state->step);
    state->inverse = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *state->inverse);
    state->open = bsq_carve(&carver, open_rows * width, sizeof *state->open);
    state->difference = bsq_carve(&carver, width > 1 ? MOST_OPEN_ROWS * width : 0, sizeof *state->difference);
    state->cost = bsq_carve(&carver, states, sizeof *state->cost);
    state->total = bsq_carve(&carver, lanes, sizeof *state->total);
    state->align = bsq_carve(&carver, lanes, sizeof *state->align);
    state->unit = bsq_carve(&carver, channels, sizeof *state->unit);
    state->square = bsq_carve(&carver, channels, sizeof *state->square);
    state->cut_off = bsq_carve(&carver, channels, sizeof *state->cut_off);
    state->parent = bsq_carve(&carver, states, sizeof *state->parent);
    state->open_row = bsq_carve(&carver, open_rows, sizeof *state->open_row);
    state->open_rows = bsq_carve(&carver, lanes, sizeof *state->open_rows);
    return carver.used;
}

int64_t bsq_beam_sample(int64_t n, int64_t channels, const struct bsq_beam_plan *plan)
{
    return plan->tried >= plan->count || n <= SMALL_ROWS || channels <= BSQ_BEAM_SAMPLE ? 0 : BSQ_BEAM_SAMPLE;
}

static int64_t channels_per_pass(int64_t n, int64_t channels, int64_t count, int64_t width)
{
    struct beam_state state;

    while (channels > 1 && lay_out(&state, NULL, n, channels, count, width) > pass_bytes)
        channels = (channels + 1) / 2;
    return channels;
}

static size_t workspace_of(int64_t n, int64_t channels, const struct bsq_beam_plan *plan)
{
    int64_t sample = bsq_beam_sample(n, channels, plan), count = sample > 0 ? plan->tried : plan->count;
    struct beam_state state;
    size_t first = sample > 0 ? lay_out(&state, NULL, n, sample, plan->count, 1) : 0;
    size_t all = lay_out(&state, NULL, n, channels_per_pass(n, channels, count, plan->width), count, plan->width);

    return first > all ? first : all;
}

size_t bsq_beam_workspace(int64_t n, int64_t channels, const struct bsq_beam_plan *plan)
{
    size_t most = 0;

    for (int64_t c = 1; c <= channels; c++) { /* fewer channels may try more */
        size_t bytes = workspace_of(n, c, plan);

        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- what goes in ------------------------------------------------------------------------------------------- */

/* Channel c of the pass in the task. */
static int64_t channel_of(const struct beam_state *state, int64_t c)
{
    int64_t at = state->first + c;

    return state->task->list ? state->task->list[at] : at;
}

static const double *channel_scales(const struct beam_state *state, int64_t c)
{
    return state->task->scales + channel_of(state, c) * state->task->scales_per_channel;
}

/* The scale that an input of the factor's order has. */
static int64_t scale_of(const struct bsq_beam_task *task, int64_t k)
{
    return task->scales_per_channel == 1 ? 0 : task->factor->order[k] / task->group_size;
}

static double largest(const double *values, int64_t count)
{
    double most = fabs(values[0]);

    for (int64_t i = 1; i < count; i++)
        most = fabs(values[i]) > most ? fabs(values[i]) : most;
    return most;
}

/* What is added to scale times code at input k of the factor's order, in the channel's unit. */
static double offset_of(const struct beam_state *state, int64_t c, int64_t k)
{
    const struct bsq_beam_task *task = state->task;
    int64_t a = scale_of(task, k), at = channel_of(state, c) * task->scales_per_channel + a;

    return bsq_shift_offset(&task->shifting, task->scales[at], &task->shifts[at]) / state->unit[c];
}

/* Channels that are loaded and taken side by side: a line of memory. */
enum { SIDE_BY_SIDE = 16 };

static void load_units(struct beam_state *state)
{
    for (int64_t c = 0; c < state->channels; c++) {
        state->unit[c] = largest(channel_scales(state, c), state->task->scales_per_channel);
        state->cut_off[c] = 0;
    }
}

static void load_targets(struct beam_state *state, int64_t first, int64_t count)
{
    const struct bsq_beam_task *task = state->task;
    const struct bsq_factor *factor = task->factor;
    const double *v[SIDE_BY_SIDE];
    double inverse[SIDE_BY_SIDE], limit[SIDE_BY_SIDE];

    for (int64_t c = 0; c < count; c++) {
        v[c] = task->v + channel_of(state, first + c) * factor->n;
        inverse[c] = 1.0 / state->unit[first + c];
        limit[c] = far_steps;
    }
    for (int64_t k = 0; k < factor->n; k++) {
        int64_t j = factor->order[k];
        float *to = state->v + k * state->channels + first;

        for (int64_t c = 0; c < count; c++) {
            double y = v[c][j] * inverse[c];

            if (task->scales_per_channel > 1)
                limit[c] = far_steps * fabs(channel_scales(state, first + c)[scale_of(task, k)]) * inverse[c];
            if (!(fabs(y) <= limit[c])) {
                y = y > 0.0 ? limit[c] : -limit[c];
                state->cut_off[first + c] = 1;
            }
            to[c] = (float)y;
        }
    }
}

static void load_product(struct beam_state *state, int64_t c)
{
    const struct bsq_factor *factor = state->task->factor;
    const double *v = state->task->v + channel_of(state, c) * factor->n;
    const double *p = state->task->p + channel_of(state, c) * factor->n;
    double inverse = 1.0 / (state->unit[c] * factor->unit), sum = 0.0;

    for (int64_t k = 0; k < factor->n; k++) {
        int64_t j = factor->order[k];

        sum += v[j] * p[j];
        state->p[k * state->channels + c] = (float)(p[j] * inverse);
    }
    state->square[c] = sum * inverse / state->unit[c];
}

static double multiplier_of(const struct beam_state *state, int64_t lane)
{
    return state->multipliers[lane / state->channels];
}

/* Steps of the lanes in rows first..first+rows-1, in the channel's unit. */
static void load_steps(struct beam_state *state, int64_t first, int64_t rows)
{
    for (int64_t k = 0; k < rows; k++)
        for (int64_t s = 0; s < state->count; s++)
            for (int64_t c = 0; c < state->channels; c++) {
                int64_t lane = s * state->channels + c, at = k * state->lanes + lane;
                double scale = channel_scales(state, c)[scale_of(state->task, first + k)] / state->unit[c];

                state->step[at] = (float)(multiplier_of(state, lane) * scale);
                state->inverse[at] = 1.0f / state->step[at];
            }
}

/* v of a channel at input k, offsets taken off as a lane has them. */
static float lane_target(const struct beam_state *state, int64_t lane, int64_t c, int64_t k)
{
    float v = state->v[k * state->channels + c];

    return state->task->shifts ? (float)((double)v - multiplier_of(state, lane) * offset_of(state, c, k)) : v;
}

/* Repeats a row of channels for every multiplier. */
static void load_lanes(struct beam_state *state, int64_t first, int64_t rows)
{
    for (int64_t k = 0; k < rows; k++) {
        float *to = state->lane_v + k * state->lanes;

        for (int64_t lane = 0; state->task->shifts && lane < state->lanes; lane++)
            to[lane] = lane_target(state, lane, lane % state->channels, first + k);
        for (int64_t s = 0; !state->task->shifts && s < state->count; s++)
            memcpy(to + s * state->channels, state->v + (first + k) * state->channels,
                   (size_t)state->channels * sizeof *state->v);
    }
}

static void start(struct beam_state *state)
{
    int64_t width = state->width;

    load_units(state);
    for (int32_t i = 0; i < state->task->level_count; i++)
        state->levels[i] = state->task->levels[i];
    for (int64_t c = 0; c < state->channels; c += SIDE_BY_SIDE)
        load_targets(state, c, state->channels - c < SIDE_BY_SIDE ? state->channels - c : SIDE_BY_SIDE);
    for (int64_t c = 0; state->task->refit && c < state->channels; c++)
        load_product(state, c);
    for (int64_t l = 0; l < state->lanes; l++) {
        state->total[l] = 0.0;
        state->open_rows[l] = 0;
        for (int64_t s = 0; s < width; s++)
            state->cost[l * width + s] = s ? INFINITY : 0.0f;
    }
    if (state->task->scales_per_channel == 1)
        load_steps(state, 0, 1);
}

/* ---- survivors ---------------------------------------------------------------------------------------------- */

static float *decided_row(const struct beam_state *state, int64_t k)
{
    return state->e + k * state->lanes;
}

/* t of every survivor of 'lanes' lanes: that of the best one and what the rows in which it differs change. */
static void spread(struct beam_state *state, const float *base, const float *r, int64_t rows, int64_t lane,
                   int64_t lanes)
{
    int64_t width = state->width;
    struct bsq_beam_spread task = {.rows = rows,
                                   .width = width,
                                   .r = r,
                                   .difference = state->difference,
                                   .ldr = state->task->factor->n,
                                   .ldb = state->lanes,
                                   .ldt = lanes * width};

    for (int64_t l = 0; l < lanes; l++) {
        task.count = state->open_rows[lane + l];
        task.row = state->open_row + (lane + l) * MOST_OPEN_ROWS;
        task.e = state->open + (lane + l) * MOST_OPEN_ROWS * width;
        task.base = base + lane + l;
        task.t = state->t + l * width;
        bsq_kernels()->spread(&task);
    }
}

/* Gives up the survivors that differ from the best in the oldest open row; the others close ranks. */
static void give_up(struct beam_state *state, int64_t lane, float *window, int64_t ldw, int64_t rows)
{
    int64_t width = state->width;
    float *open = state->open + lane * MOST_OPEN_ROWS * width;
    float *cost = state->cost + lane * width;
    int32_t kept[BSQ_BEAM_WIDTH];
    unsigned char unused[MOST_OPEN_ROWS];
    int64_t count = 0;

    for (int32_t s = 0; s < width; s++)
        if (open[s] == open[0])
            kept[count++] = s;
    for (int64_t s = 0; s < count; s++)
        cost[s] = cost[kept[s]];
    for (int64_t s = count; s < width; s++) {
        cost[s] = INFINITY;
        kept[s] = 0;
    }
    bsq_kernels()->follow(open, width, state->open_rows[lane], width, kept, unused);
    bsq_kernels()->follow(window, ldw, rows, width, kept, unused);
}

/* After a block: open rows follow the survivors, those in which all agree are closed, rows of the block in which they
 * differ are opened. 'window' is the lane's part, leading dimension ldw. */
static void update_lane(struct beam_state *state, int64_t lane, float *window, int64_t ldw, int64_t first, int64_t rows)
{
    int64_t width = state->width;
    float *open = state->open + lane * MOST_OPEN_ROWS * width;
    int32_t *row = state->open_row + lane * MOST_OPEN_ROWS, count = 0;
    unsigned char differ[MOST_OPEN_ROWS];

    bsq_kernels()->follow(open, width, state->open_rows[lane], width, state->parent + lane * width, differ);
    for (int32_t i = 0; i < state->open_rows[lane]; i++) {
        decided_row(state, row[i])[lane] = open[i * width];
        if (!differ[i])
            continue;
        row[count] = row[i];
        memmove(open + count * width, open + i * width, (size_t)width * sizeof *open);
        count++;
    }
    state->open_rows[lane] = count;
    while (state->open_rows[lane] > MOST_OPEN_ROWS - rows) { /* room for all rows of the block */
        give_up(state, lane, window, ldw, rows);
        state->open_rows[lane]--;
        memmove(row, row + 1, (size_t)state->open_rows[lane] * sizeof *row);
        memmove(open, open + width, (size_t)(state->open_rows[lane] * width) * sizeof *open);
    }
    bsq_kernels()->follow(window, ldw, rows, width, NULL, differ);
    for (int64_t k = rows; k-- > 0;) {
        const float *e = window + k * ldw;

        decided_row(state, first + k)[lane] = e[0];
        if (differ[k]) {
            row[state->open_rows[lane]] = (int32_t)(first + k);
            memcpy(open + state->open_rows[lane] * width, e, (size_t)width * sizeof *e);
            state->open_rows[lane]++;
        }
    }
}

/* Costs are kept relative to the best of the lane: single precision then tells survivors apart however much they have
 * in common. */
static void rebase_costs(struct beam_state *state)
{
    int64_t width = state->width;

    for (int64_t l = 0; l < state->lanes; l++) {
        float *cost = state->cost + l * width, best = cost[0];

        state->total[l] += (double)best;
        if (isfinite(best))
            for (int64_t s = 0; s < width; s++)
                cost[s] -= best;
    }
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

/* Adds to base (rows x lanes) what e of rows from..to-1 adds to the rows from 'first' on; 'more' is 0 for the first. */
static void add_products(struct beam_state *state, float *base, int64_t first, int64_t rows, int64_t from, int64_t to,
                         float more)
{
    const struct bsq_factor *factor = state->task->factor;

    if (from < to)
        bsq_sgemm(false, false, rows, state->lanes, to - from, 1.0f, factor->r + first * factor->n + from, factor->n,
                  decided_row(state, from), state->lanes, more, base, state->lanes);
    else if (more <= 0.0f)
        memset(base, 0, (size_t)(rows * state->lanes) * sizeof *base);
}

/* Decides a block with several survivors: what differs is spread, searched and gathered for a few lanes at a time. */
static void decide_near(struct beam_state *state, struct bsq_beam_block block, const float *base, const float *r,
                        int64_t first)
{
    int64_t most = near_lanes(state->width);

    block.t = state->t;
    block.e = state->window;
    for (int64_t lane = 0; lane < state->lanes; lane += most) {
        int64_t lanes = state->lanes - lane < most ? state->lanes - lane : most, ldw = lanes * state->width;

        spread(state, base, r, block.rows, lane, lanes);
        block.lanes = lanes;
        block.v = state->lane_v + lane;
        block.step = state->step + lane;
        block.inverse = state->inverse + lane;
        block.cost = state->cost + lane * state->width;
        block.parent = state->parent + lane * state->width;
        bsq_kernels()->beam(&block);
        for (int64_t l = 0; l < lanes; l++)
            update_lane(state, lane + l, state->window + l * state->width, ldw, first, block.rows);
    }
}

/* Decides rows first..first+rows-1; 'base' is what all rows decided add to them. */
static void decide_block(struct beam_state *state, const float *base, int64_t first, int64_t rows)
{
    const struct bsq_beam_task *task = state->task;
    const struct bsq_factor *factor = task->factor;
    const float *r = factor->r + first * factor->n;
    bool one_scale = task->scales_per_channel == 1;
    struct bsq_beam_block block = {.rows = rows,
                                   .lanes = state->lanes,
                                   .width = state->width,
                                   .r = r + first,
                                   .ldr = factor->n,
                                   .t = base,
                                   .v = state->lane_v,
                                   .ldv = state->lanes,
                                   .step = state->step,
                                   .inverse = state->inverse,
                                   .lds = one_scale ? 0 : state->lanes,
                                   .e = decided_row(state, first),
                                   .cost = state->cost,
                                   .parent = state->parent,
                                   .lowest = (float)task->lowest,
                                   .highest = (float)task->highest,
                                   .levels = task->levels ? state->levels : NULL,
                                   .level_count = task->level_count};

    load_lanes(state, first, rows);
    if (!one_scale)
        load_steps(state, first, rows);
    if (state->width > 1)
        decide_near(state, block, base, r, first);
    else
        bsq_kernels()->beam(&block);
    rebase_costs(state);
}

/* Strips of rows get what lies before them in one product, the blocks of a strip what the others of it add. */
static void decide_rows(struct beam_state *state)
{
    int64_t n = state->task->factor->n, strip_rows = state->width > 1 ? BSQ_BEAM_ROWS : STRIP_ROWS;

    for (int64_t end = n; end > 0;) {
        int64_t first = end > strip_rows ? end - strip_rows : 0;

        add_products(state, state->base, first, end - first, end, n, 0.0f);
        for (int64_t done = end; done > first;) {
            int64_t block = done - first > BSQ_BEAM_ROWS ? done - BSQ_BEAM_ROWS : first;
            float *base = state->base + (block - first) * state->lanes;

            add_products(state, base, block, done - block, done, end, 1.0f);
            decide_block(state, base, block, done - block);
            done = block;
        }
        end = first;
    }
}

/* ---- what comes out ------------------------------------------------------------------------------------------ */

/* The best multiple of the step along a path, and the error that is left with it: with z = R v and residual r, the
 * rest R(v - (1 + x) step q) = r - x (z - r) is least at x = r'(z - r) / |z - r|^2. */
static double refit(double cost, double align, double zz, double *factor)
{
    double along = align - cost, length = zz - 2.0 * align + cost, x = length > 0.0 ? along / length : 0.0;

    if (!(x > -0.5 && x < 1.0))
        x = 0.0;
    *factor = 1.0 + x;
    return fmax(cost - 2.0 * x * along + x * x * length, 0.0);
}

/* e'p of the best survivor of every lane. */
static void align_lanes(struct beam_state *state)
{
    memset(state->align, 0, (size_t)state->lanes * sizeof *state->align);
    for (int64_t k = 0; k < state->task->factor->n; k++) {
        const float *e = decided_row(state, k), *p = state->p + k * state->channels;

        for (int64_t s = 0, l = 0; s < state->count; s++)
            for (int64_t c = 0; c < state->channels; c++, l++)
                state->align[l] += (double)(e[l] * p[c]);
    }
}

/* e'p of a survivor. */
static double align_of(const struct beam_state *state, int64_t lane, int64_t survivor)
{
    int64_t width = state->width, c = lane % state->channels;
    double align = state->align[lane];

    for (int32_t i = 0; width > 1 && i < state->open_rows[lane]; i++) {
        const float *open = state->open + (lane * MOST_OPEN_ROWS + i) * width;
        int32_t k = state->open_row[lane * MOST_OPEN_ROWS + i];

        align += (double)(open[survivor] - open[0]) * (double)state->p[k * state->channels + c];
    }
    return align;
}

/* The survivor becomes the lane's e. */
static void choose_survivor(struct beam_state *state, int64_t lane, int64_t survivor)
{
    int64_t width = state->width;

    for (int32_t i = 0; width > 1 && i < state->open_rows[lane]; i++)
        decided_row(state, state->open_row[lane * MOST_OPEN_ROWS + i])[lane] =
            state->open[(lane * MOST_OPEN_ROWS + i) * width + survivor];
}

/* The best survivor of the best lane of a channel; returns the lane, -1 when none is finite. */
static int64_t choose(struct beam_state *state, int64_t c)
{
    const struct bsq_beam_task *task = state->task;
    int64_t width = state->width, best_lane = -1, best_survivor = 0;
    double least = INFINITY;

    for (int64_t l = c; l < state->lanes; l += state->channels)
        for (int64_t s = 0; s < width && isfinite(state->cost[l * width + s]); s++) {
            double multiple = 1.0, error = state->total[l] + (double)state->cost[l * width + s];

            if (task->refit)
                error = refit(error, align_of(state, l, s), state->square[c], &multiple);
            if (error < least) {
                least = error;
                best_lane = l;
                best_survivor = s;
                task->multiplier[channel_of(state, c)] = multiplier_of(state, l) * multiple;
            }
        }
    if (best_lane >= 0)
        choose_survivor(state, best_lane, best_survivor);
    if (best_lane >= 0 && !state->cut_off[c])
        task->error[channel_of(state, c)] = least * state->unit[c] * state->unit[c] * task->factor->unit;
    return best_lane;
}

/* Codes of 'count' channels from 'first' on, each from its lane; zeros without one (-1). */
static void take_codes(struct beam_state *state, const int64_t *lane, int64_t first, int64_t count)
{
    const struct bsq_beam_task *task = state->task;
    const struct bsq_factor *factor = task->factor;
    int8_t *codes[SIDE_BY_SIDE];
    double inverse[SIDE_BY_SIDE];

    for (int64_t c = 0; c < count; c++) {
        codes[c] = task->codes + channel_of(state, first + c) * factor->n;
        inverse[c] = lane[c] < 0 ? 0.0
                                 : state->unit[first + c] /
                                       (multiplier_of(state, lane[c]) * channel_scales(state, first + c)[0]);
    }
    for (int64_t k = 0; k < factor->n; k++) {
        const float *e = decided_row(state, k);

        for (int64_t c = 0; c < count; c++) {
            const double *scales = channel_scales(state, first + c);
            double code = 0.0;

            if (lane[c] >= 0)
                code = (double)(lane_target(state, lane[c], first + c, k) - e[lane[c]]) * inverse[c];
            if (task->scales_per_channel > 1)
                code *= scales[0] / scales[scale_of(task, k)];
            if (task->levels)
                code = task->levels[bsq_level_nearest(task->levels, task->level_count, code)];
            code = code < task->lowest ? task->lowest : code > task->highest ? task->highest : code;
            codes[c][factor->order[k]] = (int8_t)((int32_t)(code + 128.5) - 128);
        }
    }
}

/* Decides all rows of the lanes. */
static void run(struct beam_state *state)
{
    start(state);
    decide_rows(state);
    if (state->task->refit)
        align_lanes(state);
}

void bsq_beam_choose(const struct bsq_beam_task *task, int32_t tried, double *best, void *workspace)
{
    int64_t sample = task->channels;
    struct beam_state state = {.task = task, .multipliers = task->multipliers};
    double sum[BSQ_BEAM_COUNT] = {0.0}, unused;

    (void)lay_out(&state, workspace, task->factor->n, sample, task->count, 1);
    run(&state);
    for (int64_t c = 0; c < sample; c++) { /* relative to what is the most that a channel has to lose */
        double errors[BSQ_BEAM_COUNT], total = 0.0;

        for (int32_t m = 0; m < task->count; m++) {
            int64_t lane = m * sample + c;

            errors[m] = state.total[lane];
            if (task->refit)
                errors[m] = refit(errors[m], state.align[lane], state.square[c], &unused);
            total += errors[m];
        }
        for (int32_t m = 0; m < task->count && total > 0.0; m++)
            sum[m] += errors[m] / total;
    }
    for (int32_t m = 0; m < task->count; m++) {
        int32_t better = 0;

        for (int32_t i = 0; i < task->count; i++)
            better += sum[i] < sum[m] || (i < m && !(sum[m] < sum[i]));
        if (better < tried)
            *best++ = task->multipliers[m];
    }
}

static void take_best(struct beam_state *state)
{
    for (int64_t first = 0; first < state->channels; first += SIDE_BY_SIDE) {
        int64_t count = state->channels - first < SIDE_BY_SIDE ? state->channels - first : SIDE_BY_SIDE;
        int64_t lane[SIDE_BY_SIDE];

        for (int64_t c = 0; c < count; c++)
            lane[c] = choose(state, first + c);
        take_codes(state, lane, first, count);
    }
}

bool bsq_beam_search(const struct bsq_beam_task *task, void *workspace)
{
    int64_t n = task->factor->n, most = channels_per_pass(n, task->channels, task->count, task->width);
    struct beam_state state = {.task = task, .multipliers = task->multipliers};

    for (int64_t c = 0; c < task->channels; c++) { /* stands if nothing is finite */
        task->multiplier[channel_of(&state, c)] = 1.0;
        task->error[channel_of(&state, c)] = INFINITY;
    }
    for (; state.first < task->channels; state.first += most) {
        int64_t left = task->channels - state.first;

        if (task->stop(task->stop_opaque, (double)state.first / (double)task->channels))
            return false;
        (void)lay_out(&state, workspace, n, left < most ? left : most, task->count, task->width);
        run(&state);
        take_best(&state);
    }
    return true;
}
