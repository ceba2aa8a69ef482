/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block. */
#include "stages/objective.h"

#include "base/blas.h"
#include "kernels/kernels.h"
#include "stats/tile.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Without a double factor the minimiser is refined this many times. */
enum { REFINEMENTS = 3 };

/* ---- a block ---- */

int64_t bsq_block_channels(const struct bsq_geometry *geometry)
{
    enum { LEAST_BLOCKS = 4 };
    int64_t channels = BSQ_BLOCK_LEAST;

    while (channels < BSQ_BLOCK_MOST && 2 * channels * LEAST_BLOCKS <= geometry->group_outputs)
        channels *= 2;
    return channels;
}

static size_t most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Two rows to solve with; where there is no double factor, the right sides of all channels. */
static size_t target_scratch(const struct bsq_geometry *geometry)
{
    return (size_t)geometry->fan_in * most_of(2 * sizeof(double), (size_t)bsq_block_channels(geometry) * sizeof(float));
}

size_t bsq_block_scratch(const struct bsq_hessian_plan *plan)
{
    bool target = plan->present && plan->mu > 0.0;

    if (!plan->present || (bsq_hessian_is_dense(plan) && !target))
        return 0;
    return most_of(bsq_stats_block_scratch(plan->geometry), target ? target_scratch(plan->geometry) : 0);
}

size_t bsq_block_layout(struct bsq_block *block, int64_t channels, int64_t n, size_t scratch, void *memory)
{
    struct bsq_carver carver = {memory, 0};

    *block = (struct bsq_block){.hessian = NULL};
    block->v = bsq_carve(&carver, channels * n, sizeof *block->v);
    block->p = bsq_carve(&carver, channels * n, sizeof *block->p);
    block->s = bsq_carve(&carver, channels * n, sizeof *block->s);
    block->base = bsq_carve(&carver, channels, sizeof *block->base);
    block->energy = bsq_carve(&carver, channels, sizeof *block->energy);
    block->floor = bsq_carve(&carver, channels, sizeof *block->floor);
    block->target_mean = bsq_carve(&carver, channels, sizeof *block->target_mean);
    block->scratch = bsq_carve(&carver, (int64_t)scratch, 1);
    return carver.used;
}

/* Multiplies H by each of 'rows' rows of x, as many as the block has at most. */
static void multiply_by_h(const struct bsq_block *block, int64_t rows, const double *x, double *product)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;

    if (hessian->h) {
        bsq_dgemm(false, false, rows, n, n, 1.0, x, n, hessian->h, n, 0.0, product, n);
        return;
    }
    if (!hessian->stats) {
        memcpy(product, x, (size_t)(rows * n) * sizeof *x);
        return;
    }
    bsq_stats_multiply(hessian->stats, hessian->index, rows, x, product, block->scratch);
    for (int64_t c = 0; c < rows; c++) {
        if (hessian->centred)
            bsq_daxpy(n, -bsq_ddot(n, hessian->mean, x + c * n), hessian->mean, product + c * n);
        bsq_daxpy(n, hessian->ridge, x + c * n, product + c * n);
    }
}

/* Solves x = (R'R)^-1 b in the order of the inputs; 'ordered' is n doubles of scratch. */
static void solve_ordered(const struct bsq_hessian *hessian, const double *r, const double *b, double *x,
                          double *ordered)
{
    int64_t n = hessian->n;

    for (int64_t k = 0; k < n; k++)
        ordered[k] = b[hessian->order[k]];
    bsq_dpotrs(n, r, n, 1, ordered, n);
    for (int64_t k = 0; k < n; k++)
        x[hessian->order[k]] = ordered[k];
}

/* Computes what no codes can pass: the least of energy - 2 p'u + u'Hu over real u, from the undamped factor. 'scratch'
 * is 2 n doubles. */
static double least_error(const struct bsq_hessian *hessian, const double *p, double energy, double *scratch)
{
    int64_t n = hessian->n;
    double *x = scratch, least = energy;

    if (!hessian->searchable)
        return fmax(energy, 0.0);
    solve_ordered(hessian, hessian->factor64_undamped, p, x, scratch + n);
    for (int64_t j = 0; j < n; j++) /* J at x, which is the minimiser but for what was added to the diagonal */
        least -= x[j] * (p[j] + hessian->undamped_share * (hessian->diagonal[j] - hessian->ridge) * x[j]);
    return fmax(least, 0.0);
}

/* Moves a channel from its own float output, v = w and p = H w, to the mix of that and the target: p of the mix and
 * base without its terms in v. */
static void mix_target(struct bsq_block *block, int64_t c, const double *target)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n, channel = block->first + c;
    double mu = hessian->mu, *v = block->v + c * n, *p = block->p + c * n;
    double ym = hessian->target_mean[channel], xw = block->target_mean[c], mean = (1.0 - mu) * xw + mu * ym;
    double ww = bsq_ddot(n, v, v), wp = bsq_ddot(n, v, target) + (hessian->centred ? xw * ym : 0.0);
    double energy = (1.0 - mu) * (1.0 - mu) * block->energy[c] + 2.0 * mu * (1.0 - mu) * wp +
                    mu * mu * hessian->target_square[channel];
    double rest = hessian->centred ? energy - mean * mean : energy;

    if (hessian->centred) { /* a mean has no noise to fit: the target's, whatever mu */
        energy = rest + ym * ym;
        mean = ym;
    }
    block->energy[c] = energy < 0.0 ? 0.0 : energy;
    block->target_mean[c] = mean;
    for (int64_t j = 0; j < n; j++)
        p[j] = (1.0 - mu) * (p[j] - hessian->ridge * v[j]) + mu * target[j];
    if (hessian->factor64_undamped)
        block->floor[c] = least_error(hessian, p, rest, block->scratch);
    bsq_daxpy(n, hessian->ridge, v, p);
    block->base[c] = rest + hessian->ridge * ww;
}

/* Sets s = p - H v. */
static void find_slopes(struct bsq_block *block)
{
    multiply_by_h(block, block->channels, block->v, block->s);
    for (int64_t i = 0; i < block->channels * block->hessian->n; i++)
        block->s[i] = block->p[i] - block->s[i];
}

/* Moves v by (R'R)^-1 s: to the minimiser, as far as single precision knows. */
static void refine(struct bsq_block *block)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;
    float *x = block->scratch;

    for (int64_t c = 0; c < block->channels; c++) {
        double largest = 0.0, inverse;

        for (int64_t j = 0; j < n; j++)
            largest = fmax(largest, fabs(block->s[c * n + j]));
        inverse = largest > 0.0 ? 1.0 / largest : 0.0;
        for (int64_t k = 0; k < n; k++)
            x[k] = (float)(inverse * block->s[c * n + hessian->order[k]]);
        bsq_spotrs(n, hessian->factor32, n, 1, x, n);
        for (int64_t k = 0; k < n; k++)
            block->v[c * n + hessian->order[k]] += largest / hessian->unit * (double)x[k];
    }
}

/* Moves v to the minimiser where there is a factor. */
static void minimise(struct bsq_block *block)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;

    if (hessian->has_factor64)
        for (int64_t c = 0; c < block->channels; c++)
            solve_ordered(hessian, hessian->factor64, block->p + c * n, block->v + c * n, block->scratch);
    for (int turn = 0;
         !hessian->has_factor64 && !hessian->h && hessian->factor32 && hessian->searchable && turn < REFINEMENTS;
         turn++) {
        find_slopes(block);
        refine(block);
    }
}

/* Goes back to w where the minimiser is far out, as it is in directions in which H is flat: J relative to it would lose
 * more digits than its distance from J's least gains. */
static void leave_far_points(struct bsq_block *block)
{
    const double far = 1e8; /* of the energies: half of the digits of double */
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;

    for (int64_t c = 0; c < block->channels; c++) {
        const float *w = block->weights + c * n;
        double *v = block->v + c * n, own = 0.0, reach = 0.0;

        for (int64_t j = 0; j < n; j++) {
            own += hessian->diagonal[j] * (double)w[j] * (double)w[j];
            reach += hessian->diagonal[j] * v[j] * v[j];
        }
        if (reach > far * (own + block->energy[c]))
            for (int64_t j = 0; j < n; j++)
                v[j] = (double)w[j];
    }
}

static void mix_targets(struct bsq_block *block)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n, channels = block->channels;
    double *target = block->s;

    bsq_stats_read_p(hessian->stats, hessian->index, block->first, channels, target, block->scratch);
    for (int64_t c = 0; c < channels; c++) {
        if (hessian->centred)
            bsq_daxpy(n, -hessian->target_mean[block->first + c], hessian->mean, target + c * n);
        for (int64_t j = 0; j < n; j++)
            target[c * n + j] = hessian->idle[j] ? 0.0 : target[c * n + j];
        mix_target(block, c, target + c * n);
    }
    minimise(block);
    leave_far_points(block);
    find_slopes(block);
    for (int64_t c = 0; c < channels; c++) { /* p'v = v'H v + s'v */
        block->base[c] -=
            bsq_ddot(n, block->v + c * n, block->p + c * n) + bsq_ddot(n, block->v + c * n, block->s + c * n);
        block->base[c] = fmax(block->base[c], 0.0); /* a J, but for rounding */
    }
}

/* Sets product = H x for 'count' rows of x in single precision, from rows, in its unit. */
static void multiply_single(const struct bsq_hessian *hessian, int64_t count, const float *x, float *product)
{
    int64_t n = hessian->n;

    bsq_sgemm(false, false, count, n, n, 1.0F, x, n, hessian->rows, n, 0.0F, product, n);
}

/* Sets p = H w where no target follows: only scales are refit by it, and energies, which single precision is enough
 * for. */
static void load_single_products(struct bsq_block *block)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n, count = block->channels * n;
    float *product = (float *)block->s;

    multiply_single(hessian, block->channels, block->weights, product);
    for (int64_t i = 0; i < count; i++)
        block->p[i] = hessian->unit * (double)product[i];
    memset(block->s, 0, (size_t)count * sizeof *block->s);
}

void bsq_block_load_double(struct bsq_block *block)
{
    const struct bsq_hessian *hessian = block->hessian;
    bool targets = hessian->target_mean && hessian->mu > 0.0;
    int64_t n = hessian->n;

    block->single = 0;
    if (hessian->rows && !targets)
        load_single_products(block);
    else
        multiply_by_h(block, block->channels, block->v, block->p);
    for (int64_t c = 0; c < block->channels; c++) {
        const double *w = block->v + c * n;
        double xw = block->target_mean[c], energy = bsq_ddot(n, w, block->p + c * n);

        energy += (hessian->centred ? xw * xw : 0.0) - hessian->ridge * bsq_ddot(n, w, w);
        block->energy[c] = energy < 0.0 ? 0.0 : energy; /* plain, not centred: what errors are relative to */
    }
    if (targets)
        mix_targets(block);
}

void bsq_block_load(struct bsq_block *block, const struct bsq_hessian *hessian, const float *weights, int64_t first,
                    int64_t channels)
{
    int64_t n = hessian->n;

    block->hessian = hessian;
    block->weights = weights;
    block->first = first;
    block->channels = channels;
    block->single = hessian->single;
    for (int64_t i = 0; i < channels * n; i++) {
        block->v[i] = (double)weights[i];
        block->s[i] = 0.0;
    }
    for (int64_t c = 0; c < channels; c++) {
        block->target_mean[c] = hessian->has_mean ? bsq_ddot(n, hessian->mean, block->v + c * n) : 0.0;
        block->base[c] = 0.0;
        block->floor[c] = 0.0;
    }
    if (!block->single)
        bsq_block_load_double(block);
}

/* ---- candidates ---- */

double bsq_candidate_offset(const struct bsq_candidate *candidate, int64_t channel, int64_t a)
{
    int64_t at = channel * candidate->scales_per_channel + a;

    return candidate->shifts ? bsq_shift_offset(&candidate->shifting, candidate->scales[at], &candidate->shifts[at])
                             : 0.0;
}

/* What the weights of one scale are made of: scale * (code + steps) + constant. */
struct weight_parts {
    double scale, steps, constant;
};

/* Gives those of scale number 'a' of a channel. */
static struct weight_parts weight_parts(const struct bsq_candidate *candidate, int64_t channel, int64_t a)
{
    int64_t at = channel * candidate->scales_per_channel + a;
    const double *shift = candidate->shifts ? &candidate->shifts[at] : NULL;

    return (struct weight_parts){candidate->scales[at], bsq_shift_steps(&candidate->shifting, shift),
                                 bsq_shift_constant(&candidate->shifting, shift)};
}

static double weight_of(const struct weight_parts *parts, int8_t code)
{
    return parts->scale * (code + parts->steps) + parts->constant;
}

/* Sums (w - u)^2. */
static double shifted_distance(const float *weights, const int8_t *codes, const struct weight_parts *parts,
                               int64_t count)
{
    double sum = 0.0;

    for (int64_t j = 0; j < count; j++) {
        double apart = (double)weights[j] - weight_of(parts, codes[j]);

        sum += apart * apart;
    }
    return sum;
}

void bsq_candidate_weights(const struct bsq_candidate *candidate, int64_t n, int64_t channel, double *u)
{
    const int8_t *codes = candidate->codes + channel * n;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        struct weight_parts parts = weight_parts(candidate, channel, a);

        for (int64_t j = a * candidate->group_size; j < bsq_scale_end(n, candidate->group_size, a); j++)
            u[j] = weight_of(&parts, codes[j]);
    }
}

double bsq_candidate_distance(const struct bsq_candidate *candidate, int64_t n, int64_t channel, const float *weights)
{
    const int8_t *codes = candidate->codes + channel * n;
    double sum = 0.0;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        int64_t first = a * candidate->group_size, count = bsq_scale_span(n, candidate->group_size, a);

        struct weight_parts parts = weight_parts(candidate, channel, a);

        sum += candidate->shifts ? shifted_distance(weights + first, codes + first, &parts, count)
                                 : bsq_kernels()->distance(weights + first, codes + first, parts.scale, count);
    }
    return sum;
}

double bsq_candidate_square(const struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                            double *u, double *product)
{
    int64_t n = block->hessian->n;

    bsq_candidate_weights(candidate, n, channel, u);
    multiply_by_h(block, 1, u, product);
    return bsq_ddot(n, u, product);
}

/* Adds to y 'count' products a * H_ji from i = 'first' on, from rows in single precision. */
static void add_single_row(const struct bsq_point *point, int64_t j, double a, int64_t first, int64_t count, double *y)
{
    const float *row = point->rows + (j - point->rows_from) * point->n;
    double scaled = a * point->hessian->unit;

    bsq_kernels()->add_scaled(row + first, scaled, count, y);
    if (j >= first && j < first + count)
        y[j - first] += a * point->diagonal[j] - scaled * (double)row[j];
}

/* Adds the whole row from below the diagonal of factor32. */
static void add_split_row(const struct bsq_hessian *hessian, int64_t j, double a, double *y)
{
    int64_t n = hessian->n, k = hessian->rank[j];
    const float *h = hessian->factor32;
    double scaled = a * hessian->unit;

    for (int64_t i = 0; i < k; i++)
        y[hessian->order[i]] += scaled * (double)h[k * n + i];
    y[j] += a * hessian->diagonal[j];
    for (int64_t i = k + 1; i < n; i++)
        y[hessian->order[i]] += scaled * (double)h[i * n + k];
}

void bsq_point_add_row(const struct bsq_point *point, int64_t j, double a, double *y)
{
    if (point->h || point->rows)
        bsq_point_add_part(point, j, a, point->first, point->end - point->first, y + point->first);
    else
        add_split_row(point->hessian, j, a, y);
}

void bsq_point_add_part(const struct bsq_point *point, int64_t j, double a, int64_t first, int64_t count, double *y)
{
    if (point->h)
        bsq_daxpy(count, a, point->h + j * point->n + first, y);
    else
        add_single_row(point, j, a, first, count, y);
}

struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel)
{
    int64_t n = block->hessian->n, first = channel * candidate->scales_per_channel;

    return (struct bsq_point){.n = n,
                              .group_size = candidate->group_size,
                              .scales_per_channel = candidate->scales_per_channel,
                              .shifting = candidate->shifting,
                              .h = block->hessian->h,
                              .hessian = block->hessian,
                              .diagonal = block->hessian->diagonal,
                              .p = block->p + channel * n,
                              .codes = candidate->codes + channel * n,
                              .scales = candidate->scales + first,
                              .shifts = candidate->shifts ? candidate->shifts + first : NULL,
                              .g = candidate->g + channel * n,
                              .end = n,
                              .rows = block->hessian->rows,
                              .j = candidate->j[channel]};
}

void bsq_candidate_judge_some(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                              int64_t count, double *u)
{
    int64_t n = block->hessian->n;

    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        double *e = u + i * n;

        bsq_candidate_weights(candidate, n, c, e);
        for (int64_t j = 0; j < n; j++)
            e[j] = block->v[c * n + j] - e[j];
    }
    multiply_by_h(block, count, u, candidate->g);
    for (int64_t i = count; i-- > 0;) { /* a product moves up to its channel, past none that is still to move */
        int64_t c = list ? list[i] : i;
        const double *product = candidate->g + i * n, *s = block->s + c * n, *e = u + i * n;
        double *g = candidate->g + c * n, sum = block->base[c];

        for (int64_t j = 0; j < n; j++) { /* p - H u = H (v - u) + s */
            g[j] = product[j] + s[j];
            sum += e[j] * (g[j] + s[j]);
        }
        candidate->j[c] = sum;
    }
}

void bsq_candidate_estimate(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                            int64_t count, double *u)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;
    float *e = (float *)u, *product = e + count * n;

    if (hessian->h || !hessian->rows) {
        bsq_candidate_judge_some(candidate, block, list, count, u);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        double *g = candidate->g + c * n;

        bsq_candidate_weights(candidate, n, c, g);
        for (int64_t j = 0; j < n; j++)
            e[i * n + j] = (float)(block->v[c * n + j] - g[j]);
    }
    multiply_single(hessian, count, e, product);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        const double *s = block->s + c * n;
        double *g = candidate->g + c * n, sum = block->base[c];

        for (int64_t j = 0; j < n; j++) { /* p - H u = H (v - u) + s */
            g[j] = hessian->unit * (double)product[i * n + j] + s[j];
            sum += (double)e[i * n + j] * (g[j] + s[j]);
        }
        candidate->j[c] = sum;
    }
}

/* Gives the unit in which single precision holds the errors of a channel: its largest scale. */
static double unit_of(const struct bsq_candidate *candidate, int64_t c)
{
    double unit = 0.0;

    for (int64_t a = c * candidate->scales_per_channel; a < (c + 1) * candidate->scales_per_channel; a++)
        unit = fmax(unit, fabs(candidate->scales[a]));
    return unit;
}

/* Writes v - u of a channel times 'inverse' and returns (v - u)'s. */
static double write_errors(const struct bsq_candidate *candidate, const struct bsq_block *block, int64_t c,
                           double inverse, float *e)
{
    int64_t n = block->hessian->n;
    const int8_t *codes = candidate->codes + c * n;
    const double *v = block->v + c * n, *s = block->s + c * n;
    double along = 0.0;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        struct weight_parts parts = weight_parts(candidate, c, a);

        for (int64_t j = a * candidate->group_size; j < bsq_scale_end(n, candidate->group_size, a); j++) {
            double error = v[j] - weight_of(&parts, codes[j]);

            e[j] = (float)(inverse * error);
            along += error * s[j];
        }
    }
    return along;
}

/* Tells whether J of candidates comes from products in single precision. */
static bool values_are_single(const struct bsq_hessian *hessian)
{
    return !hessian->h && hessian->rows && hessian->searchable && !hessian->inexact;
}

void bsq_candidate_value(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                         int64_t count, double *u)
{
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;
    const float *rows[BSQ_BLOCK_MOST] = {NULL};
    double squares[BSQ_BLOCK_MOST];

    if (!values_are_single(hessian)) {
        bsq_candidate_judge_some(candidate, block, list, count, u);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        float *e = (float *)u + i * n;

        rows[i] = e;
        candidate->j[c] = block->base[c] + 2.0 * write_errors(candidate, block, c, 1.0 / unit_of(candidate, c), e);
    }
    bsq_hessian_squares(hessian, rows, count, (float *)u + count * n, squares);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        double unit = unit_of(candidate, c);

        candidate->j[c] += squares[i] * hessian->unit * unit * unit;
    }
}

void bsq_candidate_judge_channel(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t c, double *u)
{
    int64_t n = block->hessian->n;
    const double *v = block->v + c * n, *s = block->s + c * n;
    double *g = candidate->g + c * n, sum = block->base[c];

    bsq_candidate_weights(candidate, n, c, u);
    for (int64_t j = 0; j < n; j++)
        u[j] = v[j] - u[j];
    multiply_by_h(block, 1, u, g);
    for (int64_t j = 0; j < n; j++) {
        g[j] += s[j];
        sum += u[j] * (g[j] + s[j]);
    }
    candidate->j[c] = sum;
}

void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u)
{
    bsq_candidate_judge_some(candidate, block, NULL, block->channels, u);
}

void bsq_candidate_copy_scales(struct bsq_candidate *to, const struct bsq_candidate *from, int64_t channels)
{
    size_t bytes = (size_t)(channels * to->scales_per_channel) * sizeof *to->scales;

    memcpy(to->scales, from->scales, bytes);
    if (to->shifts)
        memcpy(to->shifts, from->shifts, bytes);
}

void bsq_candidate_copy_channel(struct bsq_candidate *to, const struct bsq_candidate *from, int64_t n, int64_t c)
{
    int64_t scales = to->scales_per_channel;

    memcpy(to->codes + c * n, from->codes + c * n, (size_t)n);
    memcpy(to->scales + c * scales, from->scales + c * scales, (size_t)scales * sizeof *to->scales);
    if (to->shifts)
        memcpy(to->shifts + c * scales, from->shifts + c * scales, (size_t)scales * sizeof *to->shifts);
    to->j[c] = from->j[c];
}

bool bsq_block_admits(const struct bsq_block *block, int64_t channel, double j)
{
    const double slack = 0x1p-40; /* of the energy: more than sums of products in double lose */

    return j >= -slack * block->energy[channel];
}

bool bsq_candidate_fits(const struct bsq_candidate *candidate, int64_t n, int64_t channel)
{
    const int8_t *codes = candidate->codes + channel * n;
    const double *scales = candidate->scales + channel * candidate->scales_per_channel;
    bool fits = true;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        double offset = bsq_candidate_offset(candidate, channel, a);

        if (fabs(scales[a]) * -INT8_MIN + fabs(offset) <= (double)FLT_MAX)
            continue;
        for (int64_t j = a * candidate->group_size; j < bsq_scale_end(n, candidate->group_size, a); j++)
            fits = fits && fabs(scales[a] * codes[j] + offset) <= (double)FLT_MAX;
    }
    return fits;
}

int64_t bsq_candidate_accept(struct bsq_candidate *into, const struct bsq_candidate *from,
                             const struct bsq_block *block)
{
    const double noise = 0x1p-50; /* of the energy: J below has no digits of its own */
    const double single = 1e-6;   /* of J: what single precision may be off */
    double share = values_are_single(block->hessian) ? 1.0 - single : 1.0;
    int64_t taken = 0, n = block->hessian->n;

    for (int64_t c = 0; c < block->channels; c++) {
        double least = noise * block->energy[c];
        bool first = into->j[c] == INFINITY && from->j[c] < INFINITY; /* a start has nothing to fall back on */

        if (!first && (!(fmax(from->j[c], least) < fmax(share * into->j[c], least)) ||
                       !bsq_block_admits(block, c, from->j[c]) || !bsq_candidate_fits(from, n, c)))
            continue;
        bsq_candidate_copy_channel(into, from, n, c);
        taken++;
    }
    return taken;
}
