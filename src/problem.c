/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block. */
#include "problem.h"

#include "blas.h"
#include "kernels/kernels.h"
#include "tile.h"

#include <math.h>
#include <string.h>

/* H may be singular without damping: the floor and a search that fails are tried with ever more of it, from here on. */
static const double least_ridge = 1e-12;

/* Up to this fan-in the factor is made in double for its own sake. */
enum { MOST_WIDE_INPUTS = 256 };

/* Up to this fan-in H stands in double, 8 n^2 bytes. */
enum { MOST_DENSE_INPUTS = 1024 };

/* Up to this fan-in rows of H stand in single precision beside the factor, 4 n^2 bytes. */
enum { MOST_ROW_INPUTS = 3072 };

/* Without a double factor the minimiser is refined this many times. */
enum { REFINEMENTS = 3 };

static bool is_dense(const struct bsq_group_plan *plan)
{
    return plan->dense || plan->geometry->fan_in <= MOST_DENSE_INPUTS;
}

/* What a group consists of. */
struct parts {
    bool h, targets, r, rows, solver, floor_solver;
    size_t scratch;
};

static bool has_rows(const struct parts *parts, const struct bsq_geometry *geometry)
{
    return parts->r && !parts->h && geometry->fan_in <= MOST_ROW_INPUTS;
}

static int64_t most_top_rows(int64_t n)
{
    return n / 4;
}

static size_t lay_out(struct bsq_group *group, const struct bsq_geometry *geometry, const struct parts *parts,
                      void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t n = geometry->fan_in, channels = geometry->group_outputs;

    *group = (struct bsq_group){.n = n, .channels = channels};
    if (parts->h)
        group->h = bsq_carve(&carver, n * n, sizeof *group->h);
    group->diagonal = bsq_carve(&carver, n, sizeof *group->diagonal);
    group->reach = bsq_carve(&carver, n, sizeof *group->reach);
    group->mean = bsq_carve(&carver, n, sizeof *group->mean);
    group->order = bsq_carve(&carver, n, sizeof *group->order);
    group->rank = bsq_carve(&carver, n, sizeof *group->rank);
    if (parts->targets) {
        group->target_mean = bsq_carve(&carver, channels, sizeof *group->target_mean);
        group->target_square = bsq_carve(&carver, channels, sizeof *group->target_square);
    }
    if (parts->r)
        group->r = bsq_carve(&carver, n * n, sizeof *group->r);
    if (parts->rows)
        group->rows = bsq_carve(&carver, n * n, sizeof *group->rows);
    if (parts->r)
        group->top = bsq_carve(&carver, most_top_rows(n) * n, sizeof *group->top);
    if (parts->solver)
        group->solver = bsq_carve(&carver, n * n, sizeof *group->solver);
    if (parts->floor_solver)
        group->floor_solver = bsq_carve(&carver, n * n, sizeof *group->floor_solver);
    group->scratch = bsq_carve(&carver, (int64_t)parts->scratch, 1);
    return carver.used;
}

size_t bsq_group_layout(struct bsq_group *group, const struct bsq_group_plan *plan, void *memory)
{
    struct parts parts = {.h = plan->stats && is_dense(plan), .targets = plan->stats && bsq_stats_has_target(plan->stats),
                          .r = plan->factor};
    size_t bytes;

    parts.solver = parts.h && parts.r;
    parts.rows = has_rows(&parts, plan->geometry);
    parts.floor_solver = parts.h && parts.targets && plan->mu > 0.0;
    parts.scratch = plan->stats ? bsq_stats_scratch(plan->stats) : 0;
    bytes = lay_out(group, plan->geometry, &parts, memory);
    group->stats = plan->stats;
    return bytes;
}

size_t bsq_group_bytes(const struct bsq_geometry *geometry, bool dense, bool factor)
{
    struct bsq_group_plan plan = {.geometry = geometry, .dense = dense};
    int64_t tile = bsq_tile_rows(geometry);
    struct parts parts = {.h = is_dense(&plan), .targets = true, .r = factor};
    struct bsq_group group;

    parts.solver = parts.h && factor;
    parts.rows = has_rows(&parts, geometry);
    parts.floor_solver = parts.h;
    parts.scratch = (size_t)bsq_stats_scratch_bytes(tile, geometry->fan_in);
    return lay_out(&group, geometry, &parts, NULL);
}

static double mean_of(const double *values, int64_t count)
{
    double sum = 0.0;

    for (int64_t j = 0; j < count; j++)
        sum += values[j];
    return sum / (double)count;
}

/* Inputs by rising diagonal, ties by index: the factor decides the last first. A plain heap sort, for it needs no memory
 * and its result does not depend on the C library. */
static int before(const double *diagonal, int64_t a, int64_t b)
{
    return diagonal[a] < diagonal[b] || (diagonal[a] == diagonal[b] && a > b);
}

static void sift_down(int64_t *heap, int64_t at, int64_t count, const double *diagonal)
{
    for (;;) {
        int64_t child = 2 * at + 1, moved = heap[at];

        if (child >= count)
            return;
        if (child + 1 < count && before(diagonal, heap[child], heap[child + 1]))
            child++;
        if (!before(diagonal, moved, heap[child]))
            return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static void order_inputs(int64_t *order, const double *diagonal, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        order[j] = j;
    for (int64_t j = n / 2; j-- > 0;)
        sift_down(order, j, n, diagonal);
    for (int64_t count = n; count-- > 1;) {
        int64_t largest = order[0];

        order[0] = order[count];
        order[count] = largest;
        sift_down(order, 0, count, diagonal);
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
static void factor(struct bsq_group *group, double unit, bool wide)
{
    int64_t n = group->n;

    group->wide = wide || n <= MOST_WIDE_INPUTS || group->mu > 0.0 ||
                  !factor_narrow(group->r, group->h, group->order, n, unit);
    if (!group->wide)
        return;
    group->raised = factor_ordered(group->solver, group->h, group->order, n, 0.0, unit) > 0.0;
    narrow_factor(group->r, group->solver, n, unit);
}

/* ---- a large fan-in: one square in single precision ---- */

/* Row i becomes row order[i], then columns likewise; 'row' is n floats of scratch, 'moved' n flags. */
static void permute_square(float *square, const int64_t *order, int64_t n, float *row, bool *moved)
{
    size_t bytes = (size_t)n * sizeof *row;

    memset(moved, 0, (size_t)n * sizeof *moved);
    for (int64_t start = 0; start < n; start++) {
        int64_t i = start;

        if (moved[start])
            continue;
        memcpy(row, square + start * n, bytes);
        for (; order[i] != start; i = order[i]) {
            memcpy(square + i * n, square + order[i] * n, bytes);
            moved[i] = true;
        }
        memcpy(square + i * n, row, bytes);
        moved[i] = true;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < n; k++)
            row[k] = square[i * n + order[k]];
        memcpy(square + i * n, row, bytes);
    }
}

/* The diagonal of H / unit in the factor's order; 'more' is what the search adds to it. */
static float ordered_diagonal(const struct bsq_group *group, int64_t k, double more)
{
    return (float)((group->diagonal[group->order[k]] + group->ridge) / group->unit + more);
}

/* The factor above the diagonal from H below it and on it. */
static bool factor_square(struct bsq_group *group, double more)
{
    int64_t n = group->n;
    float *r = group->r;

    for (int64_t k = 0; k < n; k++)
        r[k * n + k] = ordered_diagonal(group, k, more);
    if (bsq_spotrf(n, r, n))
        return true;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            r[i * n + j] = r[j * n + i];
    return false;
}

/* The factor from rows. */
static bool factor_rows(struct bsq_group *group, double more)
{
    int64_t n = group->n;
    float *r = group->r;

    for (int64_t i = 0; i < n; i++) {
        const float *row = group->rows + group->order[i] * n;

        memset(r + i * n, 0, (size_t)i * sizeof *r);
        r[i * n + i] = ordered_diagonal(group, i, more);
        for (int64_t j = i + 1; j < n; j++)
            r[i * n + j] = row[group->order[j]];
    }
    return bsq_spotrf(n, r, n);
}

static void prepare_square(struct bsq_group *group)
{
    const double first_more = 1e-7, step = 10.0;
    int64_t n = group->n;
    float *row = group->scratch;

    bsq_stats_read_square(group->stats, group->index, group->centred ? group->mean : NULL, 1.0 / group->unit,
                          group->rows ? group->rows : group->r, group->scratch);
    if (!group->rows)
        permute_square(group->r, group->order, n, row, (bool *)(row + n));
    for (int64_t k = 0; group->rows && k < n; k++)
        group->rows[group->order[k] * (n + 1)] = ordered_diagonal(group, k, 0.0);
    for (double more = 0.0; !(group->rows ? factor_rows(group, more) : factor_square(group, more)) && more < 1.0;) {
        more = more > 0.0 ? step * more : first_more;
        group->raised = 1;
    }
}

/* ---- a group ---- */

static void centre(struct bsq_group *group)
{
    int64_t n = group->n;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            group->h[i * n + j] -= group->mean[i] * group->mean[j];
    for (int64_t i = 0; i < n; i++) /* a constant input leaves nothing but rounding */
        group->h[i * n + i] = group->diagonal[i];
}

static void read_moments(struct bsq_group *group)
{
    struct bsq_group_moments moments = {.h = group->h, .target_square = group->target_square};
    int64_t n = group->n;

    if (group->target_mean)
        memset(group->target_mean, 0, (size_t)group->channels * sizeof *group->target_mean);
    if (group->has_mean) {
        moments.input_mean = group->mean;
        moments.target_mean = group->target_mean;
    }
    bsq_stats_read(group->stats, group->index, &moments, group->scratch);
    if (!group->h)
        bsq_stats_read_diagonal(group->stats, group->index, group->diagonal);
    for (int64_t j = 0; group->h && j < n; j++)
        group->diagonal[j] = group->h[j * n + j];
    group->dead_inputs = 0;
    for (int64_t j = 0; j < n; j++) {
        group->dead_inputs += !(group->diagonal[j] > 0.0);
        if (group->centred)
            group->diagonal[j] = fmax(group->diagonal[j] - group->mean[j] * group->mean[j], 0.0);
    }
    if (group->centred && group->h)
        centre(group);
}

static void find_reach(struct bsq_group *group)
{
    int64_t n = group->n;

    for (int64_t i = 0; i < n; i++) {
        double reach = 0.0;

        for (int64_t j = 0; j < n; j++) {
            double size = fabs(group->h[i * n + j]);

            reach = j != i && size > reach ? size : reach;
        }
        group->reach[i] = reach;
    }
}

/* Errors of rounding are much like independent noise of one variance d: row k of R adds d |R_k|^2 to J, and d R_kk^2
 * where errors are fed back. So the largest rows that make up a multiple of the sum of R_kk^2 tell one from the other. */
static void find_top(struct bsq_group *group)
{
    enum { LEAST_ROWS = 32 }; /* fewer vary too much from channel to channel */
    const double multiple = 3.0;
    int64_t n = group->n;
    double *squares = group->scratch, fed_back = 0.0, sum = 0.0;

    for (int64_t k = 0; k < n; k++) {
        const float *row = group->r + k * n;

        squares[k] = 0.0;
        for (int64_t i = k; i < n; i++)
            squares[k] += (double)row[i] * (double)row[i];
        fed_back += (double)row[k] * (double)row[k];
    }
    for (group->top_rows = 0; sum < multiple * fed_back || group->top_rows < LEAST_ROWS; group->top_rows++) {
        float *to = group->top + group->top_rows * n;
        int64_t k = 0;

        if (group->top_rows == most_top_rows(n)) {
            group->top_rows = 0;
            return;
        }
        for (int64_t i = 1; i < n; i++)
            k = squares[i] > squares[k] ? i : k;
        sum += squares[k];
        squares[k] = 0.0;
        memset(to, 0, (size_t)n * sizeof *to);
        for (int64_t i = k; i < n; i++)
            to[group->order[i]] = group->r[k * n + i];
    }
}

static void start_group(struct bsq_group *group, const struct bsq_group_plan *plan, int64_t index)
{
    group->index = index;
    group->mu = plan->mu;
    group->centred = plan->centred;
    group->narrow = group->wide = group->raised = 0;
    group->has_mean = plan->stats && bsq_stats_has_means(plan->stats);
    memset(group->mean, 0, (size_t)group->n * sizeof *group->mean);
    for (int64_t j = 0; j < group->n; j++)
        group->diagonal[j] = 1.0;
}

void bsq_group_prepare(struct bsq_group *group, const struct bsq_group_plan *plan, int64_t index)
{
    int64_t n = group->n;

    start_group(group, plan, index);
    if (!plan->stats)
        return;
    read_moments(group);
    group->unit = mean_of(group->diagonal, n);
    group->searchable = group->unit > 0.0;
    group->ridge = plan->damping * group->unit;
    order_inputs(group->order, group->diagonal, n);
    for (int64_t k = 0; k < n; k++)
        group->rank[group->order[k]] = k;
    if (group->floor_solver && group->searchable)
        group->floor_ridge = factor_ordered(group->floor_solver, group->h, group->order, n, 0.0, group->unit);
    if (plan->factor && group->searchable && !group->h)
        prepare_square(group);
    for (int64_t j = 0; j < n; j++) {
        group->diagonal[j] += group->ridge;
        if (group->h)
            group->h[j * n + j] = group->diagonal[j];
    }
    if (plan->factor && group->searchable && group->h) {
        factor(group, group->unit, plan->wide);
        find_reach(group);
    }
    group->narrow = plan->narrow && group->searchable && !group->raised;
    if (group->narrow)
        find_top(group);
}

/* y += a * row j of H, from rows. */
static void add_narrow_row(const struct bsq_group *group, int64_t j, double a, double *y)
{
    const float *row = group->rows + j * group->n;
    double scaled = a * group->unit;

    bsq_kernels_best()->add_scaled(row, scaled, group->n, y);
    y[j] += a * group->diagonal[j] - scaled * (double)row[j];
}

/* The same from below the diagonal of r. */
static void add_split_row(const struct bsq_group *group, int64_t j, double a, double *y)
{
    int64_t n = group->n, k = group->rank[j];
    const float *h = group->r;
    double scaled = a * group->unit;

    for (int64_t i = 0; i < k; i++)
        y[group->order[i]] += scaled * (double)h[k * n + i];
    y[j] += a * group->diagonal[j];
    for (int64_t i = k + 1; i < n; i++)
        y[group->order[i]] += scaled * (double)h[i * n + k];
}

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
    return (size_t)geometry->fan_in *
           most_of(2 * sizeof(double), (size_t)bsq_block_channels(geometry) * sizeof(float));
}

size_t bsq_block_scratch(const struct bsq_group_plan *plan)
{
    bool target = plan->stats && plan->mu > 0.0;

    if (!plan->stats || (is_dense(plan) && !target))
        return 0;
    return most_of(bsq_stats_block_scratch(plan->stats), target ? target_scratch(plan->geometry) : 0);
}

size_t bsq_block_scratch_most(const struct bsq_geometry *geometry)
{
    return most_of((size_t)bsq_stats_block_scratch_bytes(bsq_tile_rows(geometry)), target_scratch(geometry));
}

size_t bsq_block_layout(struct bsq_block *block, int64_t channels, int64_t n, size_t scratch, void *memory)
{
    struct bsq_carver carver = {memory, 0};

    *block = (struct bsq_block){.group = NULL};
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

/* H times each of 'rows' rows of x, as many as the block has at most. */
static void multiply_by_h(const struct bsq_block *block, int64_t rows, const double *x, double *product)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;

    if (group->h) {
        bsq_dgemm(false, false, rows, n, n, 1.0, x, n, group->h, n, 0.0, product, n);
        return;
    }
    if (!group->stats) {
        memcpy(product, x, (size_t)(rows * n) * sizeof *x);
        return;
    }
    bsq_stats_multiply(group->stats, group->index, rows, x, product, block->scratch);
    for (int64_t c = 0; c < rows; c++) {
        if (group->centred)
            bsq_daxpy(n, -bsq_ddot(n, group->mean, x + c * n), group->mean, product + c * n);
        bsq_daxpy(n, group->ridge, x + c * n, product + c * n);
    }
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

/* Moves a channel from its own float output, v = w and p = H w, to the mix of that and the target: p of the mix and base
 * without its terms in v. */
static void mix_target(struct bsq_block *block, int64_t c, const double *target)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n, channel = block->first + c;
    double mu = group->mu, *v = block->v + c * n, *p = block->p + c * n;
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
        block->floor[c] = least_error(group, p, centred_energy, block->scratch);
    bsq_daxpy(n, group->ridge, v, p);
    block->base[c] = centred_energy + group->ridge * ww;
}

/* s = p - H v. */
static void find_slopes(struct bsq_block *block)
{
    multiply_by_h(block, block->channels, block->v, block->s);
    for (int64_t i = 0; i < block->channels * block->group->n; i++)
        block->s[i] = block->p[i] - block->s[i];
}

/* v moves by (R'R)^-1 s: to the minimiser, as far as single precision knows. */
static void refine(struct bsq_block *block)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;
    float *x = block->scratch;

    for (int64_t c = 0; c < block->channels; c++) {
        double largest = 0.0, inverse;

        for (int64_t j = 0; j < n; j++)
            largest = fmax(largest, fabs(block->s[c * n + j]));
        inverse = largest > 0.0 ? 1.0 / largest : 0.0;
        for (int64_t k = 0; k < n; k++)
            x[k] = (float)(inverse * block->s[c * n + group->order[k]]);
        bsq_spotrs(n, group->r, n, 1, x, n);
        for (int64_t k = 0; k < n; k++)
            block->v[c * n + group->order[k]] += largest / group->unit * (double)x[k];
    }
}

/* v becomes the minimiser where there is a factor. */
static void minimise(struct bsq_block *block)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;

    if (group->wide)
        for (int64_t c = 0; c < block->channels; c++)
            solve_ordered(group, group->solver, block->p + c * n, block->v + c * n, block->scratch);
    for (int turn = 0; !group->wide && !group->h && group->r && group->searchable && turn < REFINEMENTS; turn++) {
        find_slopes(block);
        refine(block);
    }
}

static void mix_targets(struct bsq_block *block)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n, channels = block->channels;
    double *target = block->s;

    bsq_stats_read_p(group->stats, group->index, block->first, channels, target, block->scratch);
    for (int64_t c = 0; c < channels; c++) {
        if (group->centred)
            bsq_daxpy(n, -group->target_mean[block->first + c], group->mean, target + c * n);
        mix_target(block, c, target + c * n);
    }
    minimise(block);
    find_slopes(block);
    for (int64_t c = 0; c < channels; c++) /* p'v = v'H v + s'v */
        block->base[c] -= bsq_ddot(n, block->v + c * n, block->p + c * n) +
                          bsq_ddot(n, block->v + c * n, block->s + c * n);
}

void bsq_block_widen(struct bsq_block *block)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;

    block->narrow = 0;
    multiply_by_h(block, block->channels, block->v, block->p);
    for (int64_t c = 0; c < block->channels; c++) {
        const double *w = block->v + c * n;
        double xw = block->target_mean[c], energy = bsq_ddot(n, w, block->p + c * n);

        energy += (group->centred ? xw * xw : 0.0) - group->ridge * bsq_ddot(n, w, w);
        block->energy[c] = fmax(energy, 0.0); /* plain, not centred: what errors are relative to */
    }
    if (group->target_mean && group->mu > 0.0)
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
        block->target_mean[c] = group->has_mean ? bsq_ddot(n, group->mean, block->v + c * n) : 0.0;
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

double bsq_candidate_distance(const struct bsq_candidate *candidate, int64_t n, int64_t channel, const float *weights)
{
    const int8_t *codes = candidate->codes + channel * n;
    const double *scales = candidate->scales + channel * candidate->scales_per_channel;
    double sum = 0.0;

    for (int64_t a = 0; a < candidate->scales_per_channel; a++) {
        int64_t first = a * candidate->group_size, left = n - first;

        sum += bsq_kernels_best()->distance(weights + first, codes + first, scales[a],
                                            left < candidate->group_size ? left : candidate->group_size);
    }
    return sum;
}

void bsq_point_add_row(const struct bsq_point *point, int64_t j, double a, double *y)
{
    if (point->h)
        bsq_daxpy(point->n, a, point->h + j * point->n, y);
    else if (point->group->rows)
        add_narrow_row(point->group, j, a, y);
    else
        add_split_row(point->group, j, a, y);
}

struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                                     int32_t lowest, int32_t highest)
{
    int64_t n = block->group->n;

    return (struct bsq_point){
        .n = n, .group_size = candidate->group_size, .scales_per_channel = candidate->scales_per_channel,
        .h = block->group->h, .group = block->group, .diagonal = block->group->diagonal, .p = block->p + channel * n, .codes = candidate->codes + channel * n,
        .scales = candidate->scales + channel * candidate->scales_per_channel, .g = candidate->g + channel * n,
        .j = candidate->j[channel], .lowest = lowest, .highest = highest};
}

void bsq_candidate_judge_some(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                              int64_t count, double *u)
{
    int64_t n = block->group->n;

    for (int64_t i = 0; i < count; i++)
        bsq_candidate_weights(candidate, n, list ? list[i] : i, u + i * n);
    multiply_by_h(block, count, u, candidate->g);
    for (int64_t i = count; i-- > 0;) { /* a product moves up to its channel, past none that is still to move */
        int64_t c = list ? list[i] : i;
        const double *product = candidate->g + i * n, *p = block->p + c * n, *v = block->v + c * n;
        const double *s = block->s + c * n, *x = u + i * n;
        double *g = candidate->g + c * n, sum = block->base[c];

        for (int64_t j = 0; j < n; j++) {
            g[j] = p[j] - product[j];
            sum += (v[j] - x[j]) * (g[j] + s[j]);
        }
        candidate->j[c] = sum;
    }
}

void bsq_candidate_estimate(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                            int64_t count, double *u)
{
    const struct bsq_group *group = block->group;
    int64_t n = group->n;
    float *e = (float *)u, *product = e + count * n;

    if (group->h || !group->rows) {
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
    bsq_sgemm(false, false, count, n, n, 1.0f, e, n, group->rows, n, 0.0f, product, n);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;
        const double *s = block->s + c * n;
        double *g = candidate->g + c * n, sum = block->base[c];

        for (int64_t j = 0; j < n; j++) { /* p - H u = H (v - u) + s */
            g[j] = group->unit * (double)product[i * n + j] + s[j];
            sum += (double)e[i * n + j] * (g[j] + s[j]);
        }
        candidate->j[c] = sum;
    }
}

void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u)
{
    bsq_candidate_judge_some(candidate, block, NULL, block->channels, u);
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
