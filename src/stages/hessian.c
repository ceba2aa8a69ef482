/* H of one convolution group made ready: moments, order, factor. */
#include "stages/hessian.h"

#include "base/blas.h"
#include "kernels/kernels.h"
#include "stats/tile.h"

#include <math.h>
#include <string.h>

/* H may be singular without damping: where a pivot is below a share of its input's diagonal, more is added to the
 * diagonal. */
struct soundness {
    double pivot; /* least share that is sound */
    double first; /* share that is added first */
};

/* The floor asks for as little as possible. The search asks for more, so that the minimiser is not far away in
 * directions of which H knows nothing: J relative to it would have no digits left. */
static const struct soundness for_floor = {1e-10, 1e-10}, for_search = {1e-7, 1e-5};

/* Up to this fan-in the factor is made in double for its own sake. */
enum { MOST_FACTOR64_INPUTS = 256 };

/* Up to this fan-in H stands in double, 8 n^2 bytes. */
enum { MOST_DENSE_INPUTS = 1024 };

/* Rows of H stand in single precision beside the factor, 4 n^2 bytes, up to this fan-in, and with half as many channels
 * where they are no more than what these take. */
enum { MOST_ROW_INPUTS = 3072 };

bool bsq_hessian_is_dense(const struct bsq_hessian_plan *plan)
{
    return plan->dense || plan->geometry->fan_in <= MOST_DENSE_INPUTS;
}

static int64_t most_top_rows(int64_t n)
{
    return n / 4;
}

size_t bsq_hessian_layout(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t n = plan->geometry->fan_in, channels = plan->geometry->group_outputs;
    bool dense = plan->present && bsq_hessian_is_dense(plan);

    *hessian = (struct bsq_hessian){.n = n, .channels = channels, .stats = plan->stats};
    if (dense)
        hessian->h = bsq_carve(&carver, n * n, sizeof *hessian->h);
    hessian->diagonal = bsq_carve(&carver, n, sizeof *hessian->diagonal);
    hessian->reach = bsq_carve(&carver, n, sizeof *hessian->reach);
    hessian->mean = bsq_carve(&carver, n, sizeof *hessian->mean);
    hessian->order = bsq_carve(&carver, n, sizeof *hessian->order);
    hessian->rank = bsq_carve(&carver, n, sizeof *hessian->rank);
    hessian->idle = bsq_carve(&carver, n, sizeof *hessian->idle);
    if (plan->targets) {
        hessian->target_mean = bsq_carve(&carver, channels, sizeof *hessian->target_mean);
        hessian->target_square = bsq_carve(&carver, channels, sizeof *hessian->target_square);
    }
    if (plan->factor) {
        hessian->factor32 = bsq_carve(&carver, n * n, sizeof *hessian->factor32);
        if (!plan->rows)
            hessian->top = bsq_carve(&carver, most_top_rows(n) * n, sizeof *hessian->top);
    }
    if (plan->present && plan->factor && !dense && (plan->rows || n <= MOST_ROW_INPUTS || 2 * channels >= n))
        hessian->rows = bsq_carve(&carver, n * n, sizeof *hessian->rows);
    if (plan->factor && dense)
        hessian->factor64 = bsq_carve(&carver, n * n, sizeof *hessian->factor64);
    if (dense && plan->targets && plan->mu > 0.0)
        hessian->factor64_undamped = bsq_carve(&carver, n * n, sizeof *hessian->factor64_undamped);
    if (plan->present)
        hessian->scratch = bsq_carve(&carver, (int64_t)bsq_stats_scratch(plan->geometry), 1);
    return carver.used;
}

static double mean_of(const double *values, int64_t count)
{
    double sum = 0.0;

    for (int64_t j = 0; j < count; j++)
        sum += values[j];
    return sum / (double)count;
}

/* Orders inputs by rising diagonal, ties by index: the factor decides the last first. A plain heap sort, for it needs
 * no memory and its result does not depend on the C library. */
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

/* Tells whether no pivot of a factor is so small that it is rounding: each square of R_kk is what remains of H_kk when
 * the inputs decided later are known. */
static bool has_sound_pivots(const double *r, const double *h, const int64_t *order, int64_t n, double least)
{
    for (int64_t k = 0; k < n; k++)
        if (r[k * (n + 1)] * r[k * (n + 1)] < least * h[order[k] * (n + 1)])
            return false;
    return true;
}

/* Factors the ordered H + more diag H, with more until the factor is sound; inputs that are always zero count as
 * 'unit'. Returns more. */
static double factor_ordered(double *r, const double *h, const int64_t *order, int64_t n, double unit,
                             const struct soundness *sound)
{
    for (double more = 0.0;; more = more > 0.0 ? 100.0 * more : sound->first) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < n; j++)
                r[i * n + j] = h[order[i] * n + order[j]];
        for (int64_t i = 0; i < n; i++)
            r[i * (n + 1)] = r[i * (n + 1)] > 0.0 ? (1.0 + more) * r[i * (n + 1)] : unit;
        if ((bsq_dpotrf(n, r, n) && has_sound_pivots(r, h, order, n, sound->pivot)) || !(more < 1e6))
            return more;
    }
}

/* The factor of the ordered H / unit in single precision; false when that does not do. */
static bool factor_single(float *r, const double *h, const int64_t *order, int64_t n, double unit)
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
static void round_factor(float *r, const double *wide, int64_t n, double unit)
{
    double scale = 1.0 / sqrt(unit);

    for (int64_t i = 0; i < n; i++) {
        memset(r + i * n, 0, (size_t)i * sizeof *r);
        for (int64_t j = i; j < n; j++)
            r[i * n + j] = (float)(scale * wide[i * n + j]);
        r[i * n + i] = fmaxf(r[i * n + i], 1e-12f);
    }
}

/* Factors H in single precision where only the search needs it, for it takes half the time; in double where that fails,
 * or exact searches and minimisers follow. */
static void factor(struct bsq_hessian *hessian, double unit, bool wide)
{
    int64_t n = hessian->n;

    hessian->has_factor64 = wide || n <= MOST_FACTOR64_INPUTS || hessian->mu > 0.0 ||
                            !factor_single(hessian->factor32, hessian->h, hessian->order, n, unit);
    if (!hessian->has_factor64)
        return;
    hessian->raised = factor_ordered(hessian->factor64, hessian->h, hessian->order, n, unit, &for_search) > 0.0;
    hessian->inexact = hessian->raised || !(hessian->diagonal[hessian->order[0]] > 0.0);
    round_factor(hessian->factor32, hessian->factor64, n, unit);
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
static float ordered_diagonal(const struct bsq_hessian *hessian, int64_t k, double more)
{
    return (float)((hessian->diagonal[hessian->order[k]] + hessian->ridge) / hessian->unit + more);
}

/* The factor above the diagonal from H below it and on it. */
static bool factor_square(struct bsq_hessian *hessian, double more)
{
    int64_t n = hessian->n;
    float *r = hessian->factor32;

    for (int64_t k = 0; k < n; k++)
        r[k * n + k] = ordered_diagonal(hessian, k, more);
    if (bsq_spotrf(n, r, n))
        return true;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            r[i * n + j] = r[j * n + i];
    return false;
}

/* The factor from rows. */
static bool factor_rows(struct bsq_hessian *hessian, double more)
{
    int64_t n = hessian->n;
    float *r = hessian->factor32;

    for (int64_t i = 0; i < n; i++) {
        const float *row = hessian->rows + hessian->order[i] * n;

        memset(r + i * n, 0, (size_t)i * sizeof *r);
        r[i * n + i] = ordered_diagonal(hessian, i, more);
        for (int64_t j = i + 1; j < n; j++)
            r[i * n + j] = row[hessian->order[j]];
    }
    return bsq_spotrf(n, r, n);
}

static void prepare_square(struct bsq_hessian *hessian)
{
    const double first_more = 1e-7, step = 10.0;
    int64_t n = hessian->n;
    float *row = hessian->scratch;

    bsq_stats_read_square(hessian->stats, hessian->index, hessian->centred ? hessian->mean : NULL, 1.0 / hessian->unit,
                          hessian->rows ? hessian->rows : hessian->factor32, hessian->scratch);
    if (!hessian->rows)
        permute_square(hessian->factor32, hessian->order, n, row, (bool *)(row + n));
    for (int64_t k = 0; hessian->rows && k < n; k++)
        hessian->rows[hessian->order[k] * (n + 1)] = ordered_diagonal(hessian, k, 0.0);
    for (double more = 0.0;
         !(hessian->rows ? factor_rows(hessian, more) : factor_square(hessian, more)) && more < 1.0;) {
        more = more > 0.0 ? step * more : first_more;
        hessian->raised = hessian->inexact = 1;
    }
}

/* ---- a group ---- */

/* Takes mean products away. Inputs that are constant but for rounding have no part in what is left. */
static void centre(struct bsq_hessian *hessian)
{
    int64_t n = hessian->n;
    const double *diagonal = hessian->diagonal;

    for (int64_t i = 0; i < n; i++) {
        double *row = hessian->h + i * n;

        for (int64_t j = 0; j < n; j++)
            row[j] = diagonal[i] > 0.0 && diagonal[j] > 0.0 ? row[j] - hessian->mean[i] * hessian->mean[j] : 0.0;
        row[i] = diagonal[i];
    }
}

/* Gives the variance of an input from its mean square and mean: 0 where it is less than moments are exact to. */
static double variance(double square, double mean, double precision)
{
    double rest = square - mean * mean;

    return rest > precision * square ? rest : 0.0;
}

static void read_moments(struct bsq_hessian *hessian)
{
    struct bsq_group_moments moments = {.h = hessian->h, .target_square = hessian->target_square};
    double precision = bsq_stats_precision(hessian->stats);
    int64_t n = hessian->n;

    if (hessian->target_mean)
        memset(hessian->target_mean, 0, (size_t)hessian->channels * sizeof *hessian->target_mean);
    if (hessian->has_mean) {
        moments.input_mean = hessian->mean;
        moments.target_mean = hessian->target_mean;
    }
    bsq_stats_read(hessian->stats, hessian->index, &moments, hessian->scratch);
    if (!hessian->h)
        bsq_stats_read_diagonal(hessian->stats, hessian->index, hessian->diagonal);
    for (int64_t j = 0; hessian->h && j < n; j++)
        hessian->diagonal[j] = hessian->h[j * n + j];
    hessian->dead_inputs = 0;
    for (int64_t j = 0; j < n; j++) {
        hessian->dead_inputs += !(hessian->diagonal[j] > 0.0);
        if (hessian->centred)
            hessian->diagonal[j] = variance(hessian->diagonal[j], hessian->mean[j], precision);
        hessian->idle[j] = !(hessian->diagonal[j] > 0.0);
    }
    if (hessian->centred && hessian->h)
        centre(hessian);
}

static void find_reach(struct bsq_hessian *hessian)
{
    int64_t n = hessian->n;

    for (int64_t i = 0; i < n; i++) {
        double reach = 0.0;

        for (int64_t j = 0; j < n; j++) {
            double size = fabs(hessian->h[i * n + j]);

            reach = j != i && size > reach ? size : reach;
        }
        hessian->reach[i] = reach;
    }
}

/* Errors of rounding are much like independent noise of one variance d: row k of R adds d |R_k|^2 to J, and d R_kk^2
 * where errors are fed back. So the largest rows that make up a multiple of the sum of R_kk^2 tell one from the other.
 */
static void find_top(struct bsq_hessian *hessian)
{
    enum { LEAST_ROWS = 32 }; /* fewer vary too much from channel to channel */
    const double multiple =
        3.0; /* from 1.5 to 6 the time of effort 1 stays within 10 % (bench_solver --quick --most 5) */
    int64_t n = hessian->n;
    double *squares = hessian->scratch, fed_back = 0.0, sum = 0.0;

    for (int64_t k = 0; k < n; k++) {
        const float *row = hessian->factor32 + k * n;

        squares[k] = 0.0;
        for (int64_t i = k; i < n; i++)
            squares[k] += (double)row[i] * (double)row[i];
        fed_back += (double)row[k] * (double)row[k];
    }
    for (hessian->top_rows = 0; sum < multiple * fed_back || hessian->top_rows < LEAST_ROWS; hessian->top_rows++) {
        float *to = hessian->top + hessian->top_rows * n;
        int64_t k = 0;

        if (hessian->top_rows == most_top_rows(n)) {
            hessian->top_rows = 0;
            return;
        }
        for (int64_t i = 1; i < n; i++)
            k = squares[i] > squares[k] ? i : k;
        sum += squares[k];
        squares[k] = 0.0;
        memset(to, 0, (size_t)n * sizeof *to);
        for (int64_t i = k; i < n; i++)
            to[hessian->order[i]] = hessian->factor32[k * n + i];
    }
}

static void start_group(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, int64_t index)
{
    hessian->index = index;
    hessian->mu = plan->mu;
    hessian->centred = plan->centred;
    hessian->single = hessian->has_factor64 = hessian->raised = hessian->inexact = 0;
    hessian->has_mean = plan->stats && bsq_stats_has_means(plan->stats);
    memset(hessian->mean, 0, (size_t)hessian->n * sizeof *hessian->mean);
    for (int64_t j = 0; j < hessian->n; j++)
        hessian->diagonal[j] = 1.0;
}

void bsq_hessian_prepare(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, int64_t index)
{
    int64_t n = hessian->n;

    start_group(hessian, plan, index);
    if (!plan->stats)
        return;
    read_moments(hessian);
    hessian->unit = mean_of(hessian->diagonal, n);
    hessian->searchable = hessian->unit > 0.0;
    hessian->ridge = plan->damping * hessian->unit;
    order_inputs(hessian->order, hessian->diagonal, n);
    for (int64_t k = 0; k < n; k++)
        hessian->rank[hessian->order[k]] = k;
    if (hessian->factor64_undamped && hessian->searchable)
        hessian->undamped_share =
            factor_ordered(hessian->factor64_undamped, hessian->h, hessian->order, n, hessian->unit, &for_floor);
    if (plan->factor && hessian->searchable && !hessian->h)
        prepare_square(hessian);
    else if (hessian->rows) /* nothing but zeros was seen */
        memset(hessian->rows, 0, (size_t)(n * n) * sizeof *hessian->rows);
    for (int64_t j = 0; j < n; j++) {
        hessian->diagonal[j] += hessian->ridge;
        if (hessian->h)
            hessian->h[j * n + j] = hessian->diagonal[j];
    }
    if (plan->factor && hessian->searchable && hessian->h) {
        factor(hessian, hessian->unit, plan->factor64);
        find_reach(hessian);
    }
    hessian->single = plan->single && hessian->searchable && !hessian->inexact;
    if (hessian->single)
        find_top(hessian);
}

void bsq_hessian_squares(const struct bsq_hessian *hessian, const float *const *e, int64_t count, float *x,
                         double *sums)
{
    enum { SIDE = 16 }; /* rows at a time, so that what is read and written stays close */
    int64_t n = hessian->n;

    for (int64_t first = 0; first < count; first += SIDE) {
        int64_t side = count - first < SIDE ? count - first : SIDE;

        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < side; i++)
                x[k * count + first + i] = e[first + i][hessian->order[k]];
    }
    bsq_strmm(n, count, hessian->factor32, n, x, count);
    for (int64_t first = 0; first < count; first += SIDE) {
        double plain[SIDE] = {0}, squares[SIDE] = {0};
        int64_t side = count - first < SIDE ? count - first : SIDE;

        bsq_kernels()->sums(x + first, count, n, side, NULL, plain, squares);
        memcpy(sums + first, squares, (size_t)side * sizeof *sums);
    }
}
