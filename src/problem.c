/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block. */
#include "problem.h"

#include "blas.h"

#include <math.h>
#include <string.h>

/* H may be singular without damping: the floor and a search that fails are tried with ever more of it, from here on. */
static const double least_ridge = 1e-12;

/* Up to this fan-in the factor is made in double for its own sake. */
enum { MOST_WIDE_INPUTS = 256 };

size_t bsq_group_layout(struct bsq_group *group, const struct bsq_group_plan *plan, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t n = plan->geometry->fan_in, channels = plan->geometry->group_outputs;
    int target = plan->stats && bsq_stats_has_target(plan->stats);

    *group = (struct bsq_group){.n = n, .channels = channels};
    if (plan->stats)
        group->h = bsq_carve(&carver, n * n, sizeof *group->h);
    group->diagonal = bsq_carve(&carver, n, sizeof *group->diagonal);
    group->mean = bsq_carve(&carver, n, sizeof *group->mean);
    group->order = bsq_carve(&carver, n, sizeof *group->order);
    if (target) {
        group->p = bsq_carve(&carver, channels * n, sizeof *group->p);
        group->target_mean = bsq_carve(&carver, channels, sizeof *group->target_mean);
        group->target_square = bsq_carve(&carver, channels, sizeof *group->target_square);
    }
    if (plan->factor) {
        group->r = bsq_carve(&carver, n * n, sizeof *group->r);
        group->solver = bsq_carve(&carver, n * n, sizeof *group->solver);
    }
    if (target && plan->mu > 0.0)
        group->floor_solver = bsq_carve(&carver, n * n, sizeof *group->floor_solver);
    if (plan->stats)
        group->scratch = bsq_carve(&carver, (int64_t)bsq_stats_scratch(plan->stats), 1);
    return carver.used;
}

static double mean_diagonal(const double *h, int64_t n)
{
    double sum = 0.0;

    for (int64_t j = 0; j < n; j++)
        sum += h[j * n + j];
    return sum / (double)n;
}

/* Inputs by rising diagonal, ties by index: the factor decides the last first. A plain heap sort, for it needs no memory
 * and its result does not depend on the C library. */
static int before(const double *h, int64_t n, int64_t a, int64_t b)
{
    double x = h[a * n + a], y = h[b * n + b];

    return x < y || (x == y && a > b);
}

static void sift_down(int64_t *heap, int64_t at, int64_t count, const double *h, int64_t n)
{
    for (;;) {
        int64_t child = 2 * at + 1, moved = heap[at];

        if (child >= count)
            return;
        if (child + 1 < count && before(h, n, heap[child], heap[child + 1]))
            child++;
        if (!before(h, n, moved, heap[child]))
            return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static void order_inputs(int64_t *order, const double *h, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        order[j] = j;
    for (int64_t j = n / 2; j-- > 0;)
        sift_down(order, j, n, h, n);
    for (int64_t count = n; count-- > 1;) {
        int64_t largest = order[0];

        order[0] = order[count];
        order[count] = largest;
        sift_down(order, 0, count, h, n);
    }
}

/* R of the ordered H + ridge I, with more ridge until it is positive definite; returns what it took. */
static double factor_ordered(double *r, const double *h, const int64_t *order, int64_t n, double ridge, double unit)
{
    for (double more = 0.0;; more = more > 0.0 ? 100.0 * more : least_ridge * unit) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < n; j++)
                r[i * n + j] = h[order[i] * n + order[j]];
        for (int64_t i = 0; i < n; i++)
            r[i * n + i] += ridge + more;
        if (bsq_dpotrf(n, r, n) || !(more < 1e6 * unit))
            return ridge + more;
    }
}

/* The factor of the ordered H / unit in single precision; false when that does not do. */
static bool factor_narrow(float *r, const double *h, const int64_t *order, int64_t n, double unit)
{
    double scale = 1.0 / unit;

    for (int64_t i = 0; i < n; i++) {
        memset(r + i * n, 0, (size_t)i * sizeof *r);
        for (int64_t j = i; j < n; j++)
            r[i * n + j] = (float)(scale * h[order[i] * n + order[j]]);
    }
    return bsq_spotrf(n, r, n);
}

/* The factor in single precision, in units of sqrt(unit). */
static void narrow_factor(float *r, const double *wide, int64_t n, double unit)
{
    double scale = 1.0 / sqrt(unit);

    for (int64_t i = 0; i < n; i++) {
        memset(r + i * n, 0, (size_t)i * sizeof *r);
        for (int64_t j = i; j < n; j++)
            r[i * n + j] = (float)(scale * wide[i * n + j]);
        r[i * n + i] = fmaxf(r[i * n + i], 1e-12f);
    }
}

/* In single precision where only the search needs it, for it takes half the time; in double where that fails, or exact
 * searches and minimisers follow. */
static void factor(struct bsq_group *group, double unit)
{
    int64_t n = group->n;

    group->wide = n <= MOST_WIDE_INPUTS || group->mu > 0.0 ||
                  !factor_narrow(group->r, group->h, group->order, n, unit);
    if (!group->wide)
        return;
    group->raised = factor_ordered(group->solver, group->h, group->order, n, 0.0, unit) > 0.0;
    narrow_factor(group->r, group->solver, n, unit);
}

static void centre(struct bsq_group *group)
{
    int64_t n = group->n;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            group->h[i * n + j] -= group->mean[i] * group->mean[j];
    for (int64_t i = 0; i < n; i++) /* a constant input leaves nothing but rounding */
        group->h[i * n + i] = fmax(group->h[i * n + i], 0.0);
    for (int64_t c = 0; group->p && c < group->channels; c++)
        for (int64_t j = 0; j < n; j++)
            group->p[c * n + j] -= group->target_mean[c] * group->mean[j];
}

static void read_moments(struct bsq_group *group, const struct bsq_group_plan *plan, int64_t index)
{
    struct bsq_group_moments moments = {.h = group->h, .p = group->p, .target_square = group->target_square};

    if (group->p)
        memset(group->target_mean, 0, (size_t)group->channels * sizeof *group->target_mean);
    if (bsq_stats_has_means(plan->stats)) {
        moments.input_mean = group->mean;
        moments.target_mean = group->target_mean;
    }
    bsq_stats_read(plan->stats, index, &moments, group->scratch);
}

void bsq_group_prepare(struct bsq_group *group, const struct bsq_group_plan *plan, int64_t index)
{
    int64_t n = group->n;
    double unit;

    group->narrow = group->wide = 0;
    group->mu = plan->mu;
    group->centred = plan->centred;
    memset(group->mean, 0, (size_t)n * sizeof *group->mean);
    for (int64_t j = 0; j < n; j++)
        group->diagonal[j] = 1.0;
    if (!plan->stats)
        return;
    read_moments(group, plan, index);
    group->dead_inputs = 0;
    for (int64_t j = 0; j < n; j++)
        group->dead_inputs += !(group->h[j * n + j] > 0.0);
    if (plan->centred)
        centre(group);
    unit = mean_diagonal(group->h, n);
    group->searchable = unit > 0.0;
    group->raised = group->wide = 0;
    group->unit = unit;
    group->ridge = plan->damping * unit;
    order_inputs(group->order, group->h, n);
    if (group->floor_solver && group->searchable)
        group->floor_ridge = factor_ordered(group->floor_solver, group->h, group->order, n, 0.0, unit);
    for (int64_t j = 0; j < n; j++) {
        group->h[j * n + j] += group->ridge;
        group->diagonal[j] = group->h[j * n + j];
    }
    if (plan->factor && group->searchable) {
        factor(group, unit);
        group->narrow = plan->narrow && !group->raised;
    }
}

size_t bsq_block_layout(struct bsq_block *block, int64_t n, void *memory)
{
    struct bsq_carver carver = {memory, 0};

    *block = (struct bsq_block){.group = NULL};
    block->v = bsq_carve(&carver, BSQ_BLOCK_CHANNELS * n, sizeof *block->v);
    block->p = bsq_carve(&carver, BSQ_BLOCK_CHANNELS * n, sizeof *block->p);
    block->s = bsq_carve(&carver, BSQ_BLOCK_CHANNELS * n, sizeof *block->s);
    block->base = bsq_carve(&carver, BSQ_BLOCK_CHANNELS, sizeof *block->base);
    block->energy = bsq_carve(&carver, BSQ_BLOCK_CHANNELS, sizeof *block->energy);
    block->floor = bsq_carve(&carver, BSQ_BLOCK_CHANNELS, sizeof *block->floor);
    block->target_mean = bsq_carve(&carver, BSQ_BLOCK_CHANNELS, sizeof *block->target_mean);
    return carver.used;
}

/* H times each of 'rows' rows of x. */
static void multiply_by_h(const struct bsq_group *group, int64_t rows, const double *x, double *product)
{
    int64_t n = group->n;

    if (group->h)
        bsq_dgemm(false, false, rows, n, n, 1.0, x, n, group->h, n, 0.0, product, n);
    else
        memcpy(product, x, (size_t)(rows * n) * sizeof *x);
}

/* x = (R'R)^-1 b in the order of the inputs; 'ordered' is n doubles of scratch. */
static void solve_ordered(const struct bsq_group *group, const double *r, const double *b, double *x, double *ordered)
{
    int64_t n = group->n;

    for (int64_t k = 0; k < n; k++)
        ordered[k] = b[group->order[k]];
    bsq_dpotrs(n, r, n, 1, ordered, n);
    for (int64_t k = 0; k < n; k++)
        x[group->order[k]] = ordered[k];
}

/* What no codes can pass: the least of energy - 2 p'u + u'Hu over real u, from the undamped factor. 'scratch' is 2 n
 * doubles. */
static double least_error(const struct bsq_group *group, const double *p, double energy, double *scratch)
{
    int64_t n = group->n;
    double *x = scratch, least;

    if (!group->searchable)
        return fmax(energy, 0.0);
    solve_ordered(group, group->floor_solver, p, x, scratch + n);
    least = energy - bsq_ddot(n, p, x) - group->floor_ridge * bsq_ddot(n, x, x);
    return fmax(least, 0.0);
}

/* Moves a channel from its own float output, v = w and p = H w, to the mix of that and the target: p of the mix, base
 * without its terms in v, and v = the minimiser where there is a factor. 'scratch' is 2 n doubles. */
static void mix_target(struct bsq_block *block, int64_t c, double *scratch)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n, channel = block->first + c;
    double mu = group->mu, *v = block->v + c * n, *p = block->p + c * n;
    const double *target = group->p + channel * n;
    double ym = group->target_mean[channel], xw = block->target_mean[c], mean = (1.0 - mu) * xw + mu * ym;
    double ww = bsq_ddot(n, v, v), wp = bsq_ddot(n, v, target) + (group->centred ? xw * ym : 0.0);
    double energy = (1.0 - mu) * (1.0 - mu) * block->energy[c] + 2.0 * mu * (1.0 - mu) * wp +
                    mu * mu * group->target_square[channel];
    double centred_energy = group->centred ? energy - mean * mean : energy;

    block->energy[c] = fmax(energy, 0.0);
    block->target_mean[c] = mean;
    for (int64_t j = 0; j < n; j++)
        p[j] = (1.0 - mu) * (p[j] - group->ridge * v[j]) + mu * target[j];
    if (group->floor_solver)
        block->floor[c] = least_error(group, p, centred_energy, scratch);
    bsq_daxpy(n, group->ridge, v, p);
    block->base[c] = centred_energy + group->ridge * ww;
    if (group->wide)
        solve_ordered(group, group->solver, p, v, scratch);
}

static void mix_targets(struct bsq_block *block)
{
    int64_t n = block->group->n, channels = block->channels;
    double *s = block->s;

    for (int64_t c = 0; c < channels; c++) /* s is scratch until then: two of its rows, or all there is */
        mix_target(block, c, s);
    multiply_by_h(block->group, channels, block->v, s);
    for (int64_t c = 0; c < channels; c++) {
        const double *v = block->v + c * n, *p = block->p + c * n;

        block->base[c] += bsq_ddot(n, v, s + c * n) - 2.0 * bsq_ddot(n, p, v);
        for (int64_t j = 0; j < n; j++)
            s[c * n + j] = p[j] - s[c * n + j];
    }
}

void bsq_block_widen(struct bsq_block *block)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;

    block->narrow = 0;
    multiply_by_h(group, block->channels, block->v, block->p);
    for (int64_t c = 0; c < block->channels; c++) {
        const double *w = block->v + c * n;
        double xw = block->target_mean[c], energy = bsq_ddot(n, w, block->p + c * n);

        energy += (group->centred ? xw * xw : 0.0) - group->ridge * bsq_ddot(n, w, w);
        block->energy[c] = fmax(energy, 0.0); /* plain, not centred: what errors are relative to */
    }
    if (group->p && group->mu > 0.0)
        mix_targets(block);
}

void bsq_block_load(struct bsq_block *block, const struct bsq_group *group, const float *weights, int64_t first,
                    int64_t channels)
{
    int64_t n = group->n;

    block->group = group;
    block->weights = weights;
    block->first = first;
    block->channels = channels;
    block->narrow = group->narrow;
    for (int64_t i = 0; i < channels * n; i++) {
        block->v[i] = (double)weights[i];
        block->s[i] = 0.0;
    }
    for (int64_t c = 0; c < channels; c++) {
        block->target_mean[c] = bsq_ddot(n, group->mean, block->v + c * n);
        block->base[c] = 0.0;
        block->floor[c] = 0.0;
    }
    if (!block->narrow)
        bsq_block_widen(block);
}

void bsq_candidate_weights(const struct bsq_candidate *candidate, int64_t n, int64_t channel, double *u)
{
    const int8_t *codes = candidate->codes + channel * n;
    const double *scales = candidate->scales + channel * candidate->scales_per_channel;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        int64_t end = (a + 1) * candidate->group_size < n ? (a + 1) * candidate->group_size : n;

        for (int64_t j = a * candidate->group_size; j < end; j++)
            u[j] = scales[a] * codes[j];
    }
}

struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                                     int32_t lowest, int32_t highest)
{
    int64_t n = block->group->n;

    return (struct bsq_point){
        .n = n, .group_size = candidate->group_size, .scales_per_channel = candidate->scales_per_channel,
        .h = block->group->h, .diagonal = block->group->diagonal, .p = block->p + channel * n, .codes = candidate->codes + channel * n,
        .scales = candidate->scales + channel * candidate->scales_per_channel, .g = candidate->g + channel * n,
        .j = candidate->j[channel], .lowest = lowest, .highest = highest};
}

void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u)
{
    int64_t n = block->group->n, channels = block->channels;

    for (int64_t c = 0; c < channels; c++)
        bsq_candidate_weights(candidate, n, c, u + c * n);
    multiply_by_h(block->group, channels, u, candidate->g);
    for (int64_t c = 0; c < channels; c++) {
        double sum = block->base[c];

        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            candidate->g[i] = block->p[i] - candidate->g[i];
            sum += (block->v[i] - u[i]) * (candidate->g[i] + block->s[i]);
        }
        candidate->j[c] = sum;
    }
}

int64_t bsq_candidate_accept(struct bsq_candidate *into, const struct bsq_candidate *from, int64_t channels,
                             int64_t n)
{
    int64_t taken = 0, scales = into->scales_per_channel;

    for (int64_t c = 0; c < channels; c++) {
        if (!(from->j[c] < into->j[c]))
            continue;
        into->j[c] = from->j[c];
        memcpy(into->codes + c * n, from->codes + c * n, (size_t)n);
        memcpy(into->scales + c * scales, from->scales + c * scales, (size_t)scales * sizeof *into->scales);
        taken++;
    }
    return taken;
}
