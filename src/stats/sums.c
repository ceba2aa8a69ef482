/* Statistics as plain numbers that can be added up one by one. */
#include "stats/private.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What the first numbers are. */
enum { ROWS, WEIGHT, WEIGHT_SQUARE, PARTS, WITH_TARGETS, WITH_INPUT_MEANS, WITH_TARGET_MEANS, RESERVED, HEADER };

static int64_t triangle(int64_t n)
{
    return n * (n + 1) / 2;
}

size_t bsq_stats_numbers(const struct bsq_geometry *geometry, bool targets)
{
    int64_t n = geometry->fan_in;
    int64_t count = HEADER + geometry->groups * (triangle(n) + n);

    return (size_t)(targets ? count + geometry->out_channels * (n + 2) : count);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static double *put(double *at, const double *values, int64_t count)
{
    memcpy(at, values, (size_t)count * sizeof *at);
    return at + count;
}

static double *put_triangle(double *at, const double *panels, int64_t n)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t width = bsq_panel_width(n, panel);
        const double *rows = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++)
            at = put(at, rows + i * width + i, width - i);
    }
    return at;
}

static void put_all(const struct bsq_stats_t *stats, double *sums)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_inputs *inputs = stats->inputs;
    int64_t n = geometry->fan_in, outputs = geometry->out_channels;
    bool targets = bsq_stats_has_target(stats);
    double *at = sums + HEADER;

    memset(sums, 0, HEADER * sizeof *sums);
    sums[ROWS] = inputs->count.rows;
    sums[WEIGHT] = inputs->count.weight;
    sums[WEIGHT_SQUARE] = inputs->count.weight_square;
    sums[PARTS] = 1.0;
    sums[WITH_TARGETS] = targets;
    sums[WITH_INPUT_MEANS] = inputs->has_mean;
    sums[WITH_TARGET_MEANS] = targets && stats->has_target_mean;
    for (int64_t g = 0; g < geometry->groups; g++)
        at = put_triangle(at, inputs->h + g * bsq_inputs_group_size(geometry), n);
    at = put(at, inputs->sum, geometry->groups * n);
    if (!targets)
        return;
    at = put(at, stats->p, outputs * n);
    at = put(at, stats->target_sum, outputs);
    (void)put(at, stats->target_square, outputs);
}

static bsq_status_t check_count(size_t count, size_t expected, struct bsq_message *message)
{
    if (count != expected)
        return bsq_fail(message, BSQ_E_SIZE, "'sums' has room for %llu numbers, there are %llu",
                        (unsigned long long)count, (unsigned long long)expected);
    return BSQ_OK;
}

bsq_status_t bsq_stats_to_sums(const struct bsq_stats_t *stats, const struct bsq_stats_work *work, double *sums,
                               size_t count)
{
    struct bsq_stats_t *flushed;
    bsq_status_t status =
        check_count(count, bsq_stats_numbers(&stats->geometry, bsq_stats_has_target(stats)), work->message);

    if (status == BSQ_OK && !bsq_stats_rows_known(stats))
        status = bsq_fail(work->message, BSQ_E_STATE, "moments of an unknown number of rows have no sums");
    if (status != BSQ_OK || (status = bsq_stats_flush(stats, work, &flushed)) != BSQ_OK)
        return status;
    put_all(flushed, sums);
    bsq_stats_release(flushed);
    return BSQ_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static const double *get(const double *at, double *values, int64_t count)
{
    memcpy(values, at, (size_t)count * sizeof *at);
    return at + count;
}

static const double *get_triangle(const double *at, double *panels, int64_t n)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t width = bsq_panel_width(n, panel);
        double *rows = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++)
            at = get(at, rows + i * width + i, width - i);
    }
    return at;
}

static bool is_count(double value)
{
    return value >= 0.0 && value <= 9007199254740992.0 && value == floor(value); /* 2^53 */
}

/* Checks that the first numbers are those of statistics that were added up, all or none of them with targets. */
static bsq_status_t check_header(const double *sums, size_t count, const struct bsq_geometry *geometry,
                                 struct bsq_message *message)
{
    double parts = sums[PARTS], targets = sums[WITH_TARGETS], weight = sums[WEIGHT], square = sums[WEIGHT_SQUARE];
    bsq_status_t status = check_count(count, bsq_stats_numbers(geometry, targets > 0.0), message);

    if (status != BSQ_OK)
        return status;
    if (!is_count(sums[ROWS]) || !is_count(parts) || parts < 1.0 || !is_count(sums[WITH_INPUT_MEANS]) ||
        !is_count(sums[WITH_TARGET_MEANS]) || sums[RESERVED] != 0.0 || !(weight > 0.0) || !(square > 0.0) ||
        !(sums[ROWS] > 0.0) || weight * weight > square * sums[ROWS] * (1.0 + 1e-9))
        return bsq_fail(message, BSQ_E_NUMERIC, "the first of 'sums' are not those of any rows");
    if (targets != 0.0 && targets != parts)
        return bsq_fail(message, BSQ_E_MISMATCH, "sums of statistics with and without a target");
    return BSQ_OK;
}

static bsq_status_t check_values(const double *sums, size_t count, struct bsq_message *message)
{
    double most = DBL_MAX * fmin(sums[WEIGHT], 1.0); /* so that means are finite, too */

    for (size_t i = HEADER; i < count; i++)
        if (!(fabs(sums[i]) <= most))
            return bsq_fail(message, BSQ_E_NUMERIC, "sums[%llu] is %g", (unsigned long long)i, sums[i]);
    return BSQ_OK;
}

static void get_all(struct bsq_stats_t *stats, const double *sums)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    struct bsq_inputs *inputs = stats->inputs;
    int64_t n = geometry->fan_in, outputs = geometry->out_channels;
    const double *at = sums + HEADER;

    inputs->count = (struct bsq_count){sums[ROWS], sums[WEIGHT], sums[WEIGHT_SQUARE]};
    inputs->has_mean = sums[WITH_INPUT_MEANS] == sums[PARTS];
    for (int64_t g = 0; g < geometry->groups; g++)
        at = get_triangle(at, inputs->h + g * bsq_inputs_group_size(geometry), n);
    at = get(at, inputs->sum, geometry->groups * n);
    if (!stats->p)
        return;
    stats->has_target_mean = sums[WITH_TARGET_MEANS] == sums[PARTS];
    at = get(at, stats->p, outputs * n);
    at = get(at, stats->target_sum, outputs);
    (void)get(at, stats->target_square, outputs);
}

bsq_status_t bsq_stats_from_sums(const struct bsq_geometry *geometry, const struct bsq_quantizer *quantizer,
                                 const double *sums, size_t count, const struct bsq_memory *memory,
                                 struct bsq_stats_t **stats, struct bsq_message *message)
{
    struct bsq_stats_t *made;
    bsq_status_t status;

    *stats = NULL;
    if (count < HEADER)
        return bsq_fail(message, BSQ_E_SIZE, "'sums' has %llu numbers, %d at least are needed",
                        (unsigned long long)count, (int)HEADER);
    if ((status = check_header(sums, count, geometry, message)) != BSQ_OK ||
        (status = check_values(sums, count, message)) != BSQ_OK)
        return status;
    made = bsq_stats_create(geometry, quantizer, memory);
    if (!made || (sums[WITH_TARGETS] > 0.0 && !bsq_stats_make_targets(made))) {
        bsq_stats_release(made);
        return bsq_fail_memory(message);
    }
    get_all(made, sums);
    if ((status = bsq_stats_check_sums(made, message)) != BSQ_OK) {
        bsq_stats_release(made);
        return status;
    }
    *stats = made;
    return BSQ_OK;
}
