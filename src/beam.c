/* Beam search (K-best) through the triangular factor of the objective.
 *
 * With H = R'R the objective is sum over k of (sum over j >= k of R_kj e_j)^2, e = v - step q. Rows are decided from the
 * last to the first: what row k adds to the cost depends on codes k..n-1 only, so that the best few partial choices
 * can be carried along (K-best sphere decoding; with K = 1 nearest-plane or error feedback). Rows go in blocks, and only
 * the block itself is searched by the kernels.
 *
 * Survivors of a lane differ in few rows: most of their codes come from a common ancestor. So what earlier blocks add to
 * a block is one matrix product for the best survivor of each lane, whatever K is, and the others differ from it by a
 * short list of rows. */
#include "beam.h"

#include "blas.h"
#include "memory.h"

#include <math.h>
#include <string.h>

/* Bytes for the errors of the lanes of one pass: fixed, so that passes are cut the same way for any thread count. */
static const int64_t pass_bytes = 8 << 20;

/* v is kept within this many steps: far outside of any code, and exact enough in single precision to tell codes. */
static const double far_steps = 32768.0;

/* Rows in which the survivors of a lane may differ. When there are more, those that differ from the best in the oldest
 * ones are given up. */
enum { MOST_OPEN_ROWS = 128 };

/* Arrays of one pass, all float unless named otherwise; 'lanes' of them, lanes * width states. */
struct workspace {
    int64_t lanes;
    float *v;       /* n x channels, in units of the channel's largest scale, in factor order */
    float *z;       /* n x channels: R v */
    float *e;       /* n x lanes: of the best survivor */
    float *window;  /* BSQ_BEAM_ROWS x states: e of the block that is being decided */
    float *base;    /* BSQ_BEAM_ROWS x lanes: what e of the rows before it adds */
    float *t;       /* BSQ_BEAM_ROWS x states: the same for every survivor */
    float *step;    /* BSQ_BEAM_ROWS x lanes */
    float *zrow;    /* BSQ_BEAM_ROWS x lanes */
    float *open;    /* lanes x MOST_OPEN_ROWS x width: e of every survivor in the rows where they differ */
    float *cost;    /* states */
    float *align;   /* states */
    float *best;    /* channels: least error found */
    double *unit;   /* channels: its largest scale */
    double *square; /* channels: |R v|^2 */
    int32_t *parent;    /* states */
    int32_t *open_row;  /* lanes x MOST_OPEN_ROWS, oldest first */
    int32_t *open_rows; /* lanes: how many */
};

static int64_t lanes_per_pass(int64_t n, int64_t channels, int32_t multiplier_count, int32_t width)
{
    int64_t all = channels * multiplier_count, fit = pass_bytes / (4 * (n + (int64_t)width * MOST_OPEN_ROWS));

    return fit < 1 ? 1 : fit < all ? fit : all;
}

static size_t lay_out(struct workspace *w, char *memory, int64_t n, int64_t channels, int32_t multiplier_count,
                      int32_t width)
{
    struct bsq_carver carver = {memory, 0};
    int64_t lanes = lanes_per_pass(n, channels, multiplier_count, width), states = lanes * width;
    int64_t open_rows = width > 1 ? lanes * MOST_OPEN_ROWS : 0;

    w->lanes = lanes;
    w->v = bsq_carve(&carver, n * channels, sizeof *w->v);
    w->z = bsq_carve(&carver, n * channels, sizeof *w->z);
    w->e = bsq_carve(&carver, n * lanes, sizeof *w->e);
    w->window = bsq_carve(&carver, BSQ_BEAM_ROWS * states, sizeof *w->window);
    w->base = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *w->base);
    w->t = bsq_carve(&carver, BSQ_BEAM_ROWS * states, sizeof *w->t);
    w->step = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *w->step);
    w->zrow = bsq_carve(&carver, BSQ_BEAM_ROWS * lanes, sizeof *w->zrow);
    w->open = bsq_carve(&carver, open_rows * width, sizeof *w->open);
    w->cost = bsq_carve(&carver, states, sizeof *w->cost);
    w->align = bsq_carve(&carver, states, sizeof *w->align);
    w->best = bsq_carve(&carver, channels, sizeof *w->best);
    w->unit = bsq_carve(&carver, channels, sizeof *w->unit);
    w->square = bsq_carve(&carver, channels, sizeof *w->square);
    w->parent = bsq_carve(&carver, states, sizeof *w->parent);
    w->open_row = bsq_carve(&carver, open_rows, sizeof *w->open_row);
    w->open_rows = bsq_carve(&carver, lanes, sizeof *w->open_rows);
    return carver.used;
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

static void load_targets(const struct bsq_beam_task *task, struct workspace *w)
{
    const struct bsq_factor *factor = task->factor;
    int64_t n = factor->n, channels = task->channels;

    for (int64_t c = 0; c < channels; c++) {
        const double *scales = channel_scales(task, c);

        w->best[c] = INFINITY;
        w->square[c] = 0.0;
        w->unit[c] = scales[0];
        for (int64_t i = 1; i < task->scales_per_channel; i++)
            w->unit[c] = scales[i] > w->unit[c] ? scales[i] : w->unit[c];
        for (int64_t k = 0; k < n; k++) {
            int64_t j = factor->order[k];
            double limit = far_steps * scales[j / task->group_size] / w->unit[c];
            double v = task->v[c * n + j] / w->unit[c];

            w->v[k * channels + c] = (float)fmin(fmax(v, -limit), limit);
        }
    }
    bsq_sgemm(false, false, n, channels, n, 1.0f, factor->r, n, w->v, channels, 0.0f, w->z, channels);
    for (int64_t k = 0; k < n; k++)
        for (int64_t c = 0; c < channels; c++)
            w->square[c] += (double)w->z[k * channels + c] * (double)w->z[k * channels + c];
}

/* The channel of a lane, and the factor that makes its scales steps in the channel's unit. */
static int64_t channel_of(const struct bsq_beam_task *task, const struct workspace *w, int64_t lane, double *factor)
{
    int64_t c = lane / task->multiplier_count;

    *factor = task->multipliers[lane % task->multiplier_count] / w->unit[c];
    return c;
}

/* Rows first..first+rows-1 of one lane: its steps, R v, and v for every survivor. */
static void load_lane(const struct bsq_beam_task *task, struct workspace *w, int64_t first_lane, int64_t lane,
                      int64_t lanes, int64_t first, int64_t rows)
{
    double factor;
    int64_t channels = task->channels, width = task->width, c = channel_of(task, w, first_lane + lane, &factor);
    const double *scales = channel_scales(task, c);

    for (int64_t k = 0; k < rows; k++) {
        int64_t a = task->scales_per_channel == 1 ? 0 : task->factor->order[first + k] / task->group_size;
        float *e = w->window + (k * lanes + lane) * width, v = w->v[(first + k) * channels + c];

        w->step[k * lanes + lane] = (float)(factor * scales[a]);
        w->zrow[k * lanes + lane] = w->z[(first + k) * channels + c];
        for (int64_t s = 0; s < width; s++)
            e[s] = v;
    }
}

/* t of every survivor of a lane: that of the best one and what the rows in which it differs change. 'width' is a
 * constant where this is called. */
static inline void spread_lane(const float *r, int64_t n, struct workspace *w, int64_t lane, int64_t lanes,
                               int64_t rows, int64_t width)
{
    const int32_t *row = w->open_row + lane * MOST_OPEN_ROWS;
    const float *open = w->open + lane * MOST_OPEN_ROWS * width;
    int32_t count = w->open_rows[lane];

    for (int64_t k = 0; k < rows; k++, r += n) {
        float t[BSQ_BEAM_WIDTH], base = w->base[k * lanes + lane];

        for (int64_t s = 0; s < width; s++)
            t[s] = base;
        for (int32_t i = 0; i < count; i++)
            for (int64_t s = 0; s < width; s++)
                t[s] += r[row[i]] * (open[i * width + s] - open[i * width]);
        memcpy(w->t + (k * lanes + lane) * width, t, (size_t)width * sizeof *t);
    }
}

static void spread(const float *r, int64_t n, struct workspace *w, int64_t lanes, int64_t rows, int64_t width)
{
    for (int64_t l = 0; l < lanes; l++) {
        switch (width) {
        case 2: spread_lane(r, n, w, l, lanes, rows, 2); break;
        case 4: spread_lane(r, n, w, l, lanes, rows, 4); break;
        case 8: spread_lane(r, n, w, l, lanes, rows, 8); break;
        case 16: spread_lane(r, n, w, l, lanes, rows, 16); break;
        default: spread_lane(r, n, w, l, lanes, rows, width); break;
        }
    }
}

/* Puts e of a lane's survivors in one row in a new order; true when they still differ. */
static bool reorder(float *e, const int32_t *parent, int64_t width)
{
    float before[BSQ_BEAM_WIDTH];
    bool differ = false;

    memcpy(before, e, (size_t)width * sizeof *before);
    for (int64_t s = 0; s < width; s++) {
        e[s] = before[parent[s]];
        differ |= e[s] != e[0];
    }
    return differ;
}

/* Gives up the survivors that differ from the best in the oldest open row; the others close ranks. */
static void give_up(struct workspace *w, int64_t lane, int64_t lanes, int64_t width, int64_t rows)
{
    float *open = w->open + lane * MOST_OPEN_ROWS * width;
    float *cost = w->cost + lane * width, *align = w->align + lane * width;
    int32_t kept[BSQ_BEAM_WIDTH];
    int64_t count = 0;

    for (int32_t s = 0; s < width; s++)
        if (open[s] == open[0])
            kept[count++] = s;
    for (int64_t s = 0; s < count; s++) {
        cost[s] = cost[kept[s]];
        align[s] = align[kept[s]];
    }
    for (int64_t s = count; s < width; s++) {
        cost[s] = INFINITY;
        align[s] = 0.0f;
        kept[s] = 0;
    }
    for (int64_t i = 0; i < w->open_rows[lane]; i++)
        (void)reorder(open + i * width, kept, width);
    for (int64_t k = 0; k < rows; k++)
        (void)reorder(w->window + (k * lanes + lane) * width, kept, width);
}

/* After a block: open rows follow the survivors, those in which all agree are closed, rows of the block in which they
 * differ are opened. */
static void update_lane(struct workspace *w, int64_t lane, int64_t lanes, int64_t width, int64_t first, int64_t rows)
{
    float *open = w->open + lane * MOST_OPEN_ROWS * width;
    int32_t *row = w->open_row + lane * MOST_OPEN_ROWS, count = 0;

    for (int32_t i = 0; i < w->open_rows[lane]; i++) {
        bool differ = reorder(open + i * width, w->parent + lane * width, width);

        w->e[row[i] * lanes + lane] = open[i * width];
        if (!differ)
            continue;
        row[count] = row[i];
        memmove(open + count * width, open + i * width, (size_t)width * sizeof *open);
        count++;
    }
    w->open_rows[lane] = count;
    while (w->open_rows[lane] > MOST_OPEN_ROWS - rows) { /* room for all rows of the block */
        give_up(w, lane, lanes, width, rows);
        w->open_rows[lane]--;
        memmove(row, row + 1, (size_t)w->open_rows[lane] * sizeof *row);
        memmove(open, open + width, (size_t)(w->open_rows[lane] * width) * sizeof *open);
    }
    for (int64_t k = rows; k-- > 0;) {
        const float *e = w->window + (k * lanes + lane) * width;
        bool differ = false;

        w->e[(first + k) * lanes + lane] = e[0];
        for (int64_t s = 1; s < width; s++)
            differ |= e[s] != e[0];
        if (differ) {
            row[w->open_rows[lane]] = (int32_t)(first + k);
            memcpy(open + w->open_rows[lane] * width, e, (size_t)width * sizeof *e);
            w->open_rows[lane]++;
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
    memset(w->open_rows, 0, (size_t)lanes * sizeof *w->open_rows);
    for (int64_t end = n; end > 0;) {
        int64_t first = end > BSQ_BEAM_ROWS ? end - BSQ_BEAM_ROWS : 0, rows = end - first;
        const float *r = task->factor->r + first * n;
        float *base = width > 1 ? w->base : w->t, *window = width > 1 ? w->window : w->e + first * lanes;
        struct bsq_beam_block block = {
            .rows = rows, .lanes = lanes, .width = width, .r = r + first, .ldr = n, .t = w->t,
            .e = window, .step = w->step, .z = w->zrow, .cost = w->cost, .align = w->align,
            .parent = w->parent, .lowest = (float)task->lowest, .highest = (float)task->highest};

        for (int64_t l = 0; l < lanes; l++)
            load_lane(task, w, first_lane, l, lanes, first, rows);
        if (width == 1)
            memcpy(window, w->window, (size_t)(rows * lanes) * sizeof *window);
        if (end < n)
            bsq_sgemm(false, false, rows, lanes, n - end, 1.0f, r + end, n, w->e + end * lanes, lanes, 0.0f, base,
                      lanes);
        else
            memset(base, 0, (size_t)(rows * lanes) * sizeof *base);
        if (width > 1)
            spread(r, n, w, lanes, rows, width);
        task->kernels->beam(&block);
        for (int64_t l = 0; width > 1 && l < lanes; l++)
            update_lane(w, l, lanes, width, first, rows);
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

static void take_codes(const struct bsq_beam_task *task, const struct workspace *w, int64_t lane, int64_t lanes,
                       int64_t channel, double factor)
{
    int64_t n = task->factor->n;

    for (int64_t k = 0; k < n; k++) {
        int64_t j = task->factor->order[k];
        double step = factor * channel_scales(task, channel)[j / task->group_size];
        double code = rint(((double)w->v[k * task->channels + channel] - (double)w->e[k * lanes + lane]) / step);

        task->codes[channel * n + j] = (int8_t)fmin(fmax(code, task->lowest), task->highest);
    }
}

/* The survivor that is best after a refit becomes the lane's e. */
static void choose_survivor(struct workspace *w, int64_t lane, int64_t lanes, int64_t width, int64_t survivor)
{
    for (int32_t i = 0; width > 1 && i < w->open_rows[lane]; i++)
        w->e[w->open_row[lane * MOST_OPEN_ROWS + i] * lanes + lane] =
            w->open[(lane * MOST_OPEN_ROWS + i) * width + survivor];
}

static void keep_best(const struct bsq_beam_task *task, struct workspace *w, int64_t first_lane, int64_t lanes)
{
    int64_t width = task->width;

    for (int64_t l = 0; l < lanes; l++) {
        double factor, taken = 1.0;
        int64_t c = channel_of(task, w, first_lane + l, &factor), winner = -1;

        for (int64_t s = 0; s < width && isfinite(w->cost[l * width + s]); s++) {
            double multiple = 1.0;
            float error = w->cost[l * width + s];

            if (task->refit)
                error = refit(error, w->align[l * width + s], w->square[c], &multiple);
            if (error < w->best[c]) {
                w->best[c] = error;
                winner = s;
                taken = multiple;
            }
        }
        if (winner >= 0) {
            choose_survivor(w, l, lanes, width, winner);
            take_codes(task, w, l, lanes, c, factor);
            task->multiplier[c] = task->multipliers[(first_lane + l) % task->multiplier_count] * taken;
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
    for (int64_t c = 0; c < task->channels; c++)
        task->error[c] = (double)w.best[c] * w.unit[c] * w.unit[c] * task->factor->unit;
    return true;
}
