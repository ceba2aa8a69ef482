/* One convolution group made ready: moments, order, factor. */
#include "stages/objective.h"

#include "base/blas.h"
#include "kernels/kernels.h"
#include "stats/tile.h"

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

bool bsq_group_is_dense(const struct bsq_group_plan *plan)
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
    struct parts parts = {.h = plan->stats && bsq_group_is_dense(plan),
                          .targets = plan->stats && bsq_stats_has_target(plan->stats),
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
    struct parts parts = {.h = bsq_group_is_dense(&plan), .targets = true, .r = factor};
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
