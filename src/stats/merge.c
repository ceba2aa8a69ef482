/* Statistics of two sets of rows become those of their union. */
#include "stats/private.h"

#include <string.h>

/* Whether the targets of frozen statistics belong to exactly the rows of its inputs, so that they are like others. */
static bool complete(const struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_tile *a = &stats->tile, *b = &stats->inputs->tile;
    size_t row = (size_t)geometry->fan_in * sizeof(float);

    if (!stats->frozen)
        return true;
    if (!stats->p || stats->count.rows != stats->inputs->count.rows ||
        !bsq_counts_near(stats->count.weight, stats->inputs->count.weight) || a->fill != b->fill)
        return false;
    if (a->fill == 0)
        return true;
    for (int64_t g = 0; g < geometry->groups; g++)
        if (memcmp(a->x + g * a->capacity * geometry->fan_in, b->x + g * b->capacity * geometry->fan_in,
                   (size_t)a->fill * row) != 0)
            return false;
    return memcmp(a->weights, b->weights, (size_t)a->fill * sizeof(float)) == 0;
}

/* Gives complete statistics inputs of their own, to which others can be added. */
static bool unfreeze(struct bsq_stats_t *stats)
{
    struct bsq_inputs *own = stats->frozen ? bsq_inputs_copy(stats->inputs, &stats->geometry, false, &stats->memory) : NULL;

    if (!stats->frozen)
        return true;
    if (!own)
        return false;
    own->tile = stats->tile;
    memset(&stats->tile, 0, sizeof stats->tile);
    memset(&stats->count, 0, sizeof stats->count);
    bsq_inputs_release(stats->inputs);
    stats->inputs = own;
    stats->frozen = 0;
    return true;
}

static void add_values(double *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void add_sums(struct bsq_stats_t *to, const struct bsq_stats_t *from)
{
    const struct bsq_geometry *geometry = &to->geometry;
    struct bsq_count *count = &to->inputs->count;

    add_values(to->inputs->h, from->inputs->h, geometry->groups * bsq_inputs_group_size(geometry));
    add_values(to->inputs->sum, from->inputs->sum, geometry->groups * geometry->fan_in);
    to->inputs->has_mean = to->inputs->has_mean && from->inputs->has_mean;
    count->rows += from->inputs->count.rows;
    count->weight += from->inputs->count.weight;
    count->weight_square += from->inputs->count.weight_square;
    if (!to->p)
        return;
    add_values(to->p, from->p, geometry->out_channels * geometry->fan_in);
    add_values(to->target_sum, from->target_sum, geometry->out_channels);
    add_values(to->target_square, from->target_square, geometry->out_channels);
    to->has_target_mean = to->has_target_mean && from->has_target_mean;
}

static bsq_status_t check_merge(const struct bsq_stats_t *into, const struct bsq_stats_t *from,
                                struct bsq_message *message)
{
    bsq_status_t status = bsq_stats_fit(from, &into->geometry, &into->quantizer, message);

    if (status != BSQ_OK)
        return status;
    if (bsq_stats_has_target(into) != bsq_stats_has_target(from))
        return bsq_fail(message, BSQ_E_MISMATCH, "statistics with and without a target cannot be merged");
    if (!bsq_stats_rows_known(into) || !bsq_stats_rows_known(from))
        return bsq_fail(message, BSQ_E_STATE, "moments of an unknown number of rows cannot be merged");
    if (!complete(into) || !complete(from))
        return bsq_fail(message, BSQ_E_STATE,
                        "statistics with shared inputs cannot be merged before all of their targets were added");
    return BSQ_OK;
}

bsq_status_t bsq_stats_merge(struct bsq_stats_t **into, const struct bsq_stats_t *from,
                             const struct bsq_stats_work *work)
{
    struct bsq_stats_t *other = (struct bsq_stats_t *)(uintptr_t)from; /* only its count of references changes */

    if (bsq_stats_empty(*into)) {
        (void)bsq_stats_retain(other);
        bsq_stats_release(*into);
        *into = other;
        return BSQ_OK;
    }
    if (bsq_stats_empty(from))
        return BSQ_OK;

    bsq_status_t status = check_merge(*into, from, work->message);

    if (status != BSQ_OK)
        return status;

    struct bsq_stats_t *sum = bsq_stats_copy(*into, work->memory);
    bool targets = bsq_stats_has_target(from);

    if (!sum || !unfreeze(sum) || !bsq_stats_make_ready(sum, targets)) {
        bsq_stats_release(sum);
        return bsq_fail_memory(work->message);
    }
    add_sums(sum, from);
    status = bsq_stats_append_rows(sum, bsq_stats_tile(from), targets, work);
    bsq_stats_release(status == BSQ_OK ? *into : sum);
    if (status == BSQ_OK)
        *into = sum;
    return status;
}
