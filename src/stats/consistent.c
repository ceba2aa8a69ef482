/* Whether sums can be those of any rows at all.
 *
 * Sums of squares bound sums of products: |sum a b| <= sqrt(sum a^2) sqrt(sum b^2), for two inputs, an input and a
 * target, and a variable and 1. Whoever breaks one of these has an H that is not positive semidefinite, a variance
 * below zero or an error below zero, and a solver would follow them there. What keeps all of them can still be wrong,
 * but no pair shows it, and pairs cost n^2, not n^3.
 *
 * Products in single precision are good to 1e-6 of the bound, those of hosts that sum in tensor cores or keep moments
 * as float16 to 5e-4: a thousandth is allowed. */
#include "stats/private.h"

#include <math.h>

static const double slack = 1.001;

static double diagonal_of(const struct bsq_stats_t *stats, int64_t group, int64_t i)
{
    int64_t n = stats->geometry.fan_in, panel = i / BSQ_PANEL, row = i % BSQ_PANEL;

    return stats->inputs->h[group * bsq_inputs_group_size(&stats->geometry) + bsq_panel_offset(n, panel) +
                            row * (bsq_panel_width(n, panel) + 1)];
}

/* Sums the weights of the rows that are in the sums: all but those that do not fill a tile yet. Rounding leaves a
 * little. */
static double weight_in_sums(const struct bsq_count *count, const struct bsq_tile *tile)
{
    double weight = count->weight;

    for (int64_t i = 0; i < tile->fill; i++)
        weight -= (double)tile->weights[i];
    return fmax(weight, 0.0) + 1e-9 * count->weight;
}

static bool is_bounded(double product, double square_a, double square_b)
{
    return fabs(product) <= slack * sqrt(square_a) * sqrt(square_b);
}

/* Checks the diagonal of one group, and means against it. */
static bsq_status_t check_diagonal(const struct bsq_stats_t *stats, int64_t group, struct bsq_message *message)
{
    const struct bsq_inputs *inputs = stats->inputs;
    double rows = weight_in_sums(&inputs->count, &inputs->tile);
    int64_t n = stats->geometry.fan_in;

    for (int64_t i = 0; i < n; i++) {
        double square = diagonal_of(stats, group, i);

        if (!(square >= 0.0))
            return bsq_fail(message, BSQ_E_NUMERIC, "the diagonal of h of group %lld is negative at %lld",
                            (long long)group, (long long)i);
        if (inputs->has_mean && !is_bounded(inputs->sum[group * n + i], rows, square))
            return bsq_fail(message, BSQ_E_NUMERIC, "the square of input_mean[%lld] is above the diagonal of h",
                            (long long)(group * n + i));
    }
    return BSQ_OK;
}

/* Roots of the diagonal from 'first' on, which lies far apart in memory: read once for all rows of a panel. */
enum { ROOTS = 1024 };

static int64_t find_roots(const struct bsq_stats_t *stats, int64_t group, int64_t first, double roots[ROOTS])
{
    int64_t left = stats->geometry.fan_in - first, count = left < ROOTS ? left : ROOTS;

    for (int64_t j = 0; j < count; j++)
        roots[j] = sqrt(diagonal_of(stats, group, first + j));
    return count;
}

/* Finds the first of 'count' products that is above the root of the product of its squares; 'count' when none is. */
static int64_t find_unbounded_product(const double *products, int64_t count, double root, const double *roots)
{
    int64_t j = 0;

    while (j < count && fabs(products[j]) <= slack * root * roots[j])
        j++;
    return j;
}

/* Checks the products of one panel with the inputs from 'first' on. */
static bsq_status_t check_products(const struct bsq_stats_t *stats, int64_t group, int64_t panel, int64_t first,
                                   struct bsq_message *message)
{
    int64_t n = stats->geometry.fan_in, width = bsq_panel_width(n, panel), base = panel * BSQ_PANEL;
    const double *h = stats->inputs->h + group * bsq_inputs_group_size(&stats->geometry) + bsq_panel_offset(n, panel);
    double roots[ROOTS];
    int64_t count = find_roots(stats, group, first, roots);

    for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++) {
        int64_t skipped = base + i + 1 > first ? base + i + 1 - first : 0, j;

        if (skipped >= count)
            continue;
        j = skipped + find_unbounded_product(h + i * width + first - base + skipped, count - skipped,
                                             sqrt(diagonal_of(stats, group, base + i)), roots + skipped);
        if (j < count)
            return bsq_fail(message, BSQ_E_NUMERIC,
                            "h of group %lld is not positive semidefinite: at %lld, %lld it is above the root of the "
                            "product of its diagonal there",
                            (long long)group, (long long)(base + i), (long long)(first + j));
    }
    return BSQ_OK;
}

static bsq_status_t check_inputs(const struct bsq_stats_t *stats, int64_t group, struct bsq_message *message)
{
    int64_t n = stats->geometry.fan_in;
    bsq_status_t status = check_diagonal(stats, group, message);

    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++)
        for (int64_t first = panel * BSQ_PANEL; first < n && status == BSQ_OK; first += ROOTS)
            status = check_products(stats, group, panel, first, message);
    return status;
}

static bsq_status_t check_targets(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    double rows = weight_in_sums(bsq_stats_count(stats), bsq_stats_tile(stats));

    for (int64_t m = 0; m < stats->geometry.out_channels; m++) {
        if (!(stats->target_square[m] >= 0.0))
            return bsq_fail(message, BSQ_E_NUMERIC, "target_square[%lld] is negative", (long long)m);
        if (stats->has_target_mean && !is_bounded(stats->target_sum[m], rows, stats->target_square[m]))
            return bsq_fail(message, BSQ_E_NUMERIC, "the square of target_mean[%lld] is above target_square",
                            (long long)m);
    }
    return BSQ_OK;
}

/* Finds the first element of P that no inputs and targets with these squares can have, or -1. */
static int64_t find_unbounded(const struct bsq_stats_t *stats)
{
    int64_t n = stats->geometry.fan_in;

    for (int64_t m = 0; m < stats->geometry.out_channels; m++)
        for (int64_t j = 0; j < n; j++)
            if (!is_bounded(stats->p[m * n + j], diagonal_of(stats, m / stats->geometry.group_outputs, j),
                            stats->target_square[m]))
                return m * n + j;
    return -1;
}

bsq_status_t bsq_stats_check_sums(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    bsq_status_t status = BSQ_OK;
    int64_t bad;

    for (int64_t g = 0; status == BSQ_OK && g < stats->geometry.groups; g++)
        status = check_inputs(stats, g, message);
    if (status != BSQ_OK || !bsq_stats_has_target(stats))
        return status;
    if ((status = check_targets(stats, message)) != BSQ_OK || stats->frozen || (bad = find_unbounded(stats)) < 0)
        return status;
    return bsq_fail(message, BSQ_E_NUMERIC, "p[%lld] is above the root of target_square times the diagonal of h",
                    (long long)bad);
}

static bsq_status_t check_shared(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    if (!bsq_stats_has_target(stats) || stats->tile.fill != stats->inputs->tile.fill || find_unbounded(stats) < 0)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_STATE, "the targets came with other inputs than the shared ones");
}

bsq_status_t bsq_stats_check_rows(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    const struct bsq_count *inputs = &stats->inputs->count, *own = &stats->count;

    if (!stats->frozen || own->rows == 0 || !bsq_stats_rows_known(stats))
        return BSQ_OK;
    if (!bsq_counts_near(inputs->rows, own->rows) || !bsq_counts_near(inputs->weight, own->weight))
        return bsq_fail(message, BSQ_E_STATE,
                        "the shared inputs have %.0f rows of weight %g, the targets %.0f of weight %g", inputs->rows,
                        inputs->weight, own->rows, own->weight);
    return check_shared(stats, message);
}
