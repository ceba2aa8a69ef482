/* Merging: statistics of sets of rows become those of their union. */
#include "stats/private.h"

#include <string.h>

/* Says whether the targets of frozen statistics belong to exactly the rows of its inputs, so that they are like
 * others. */
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
    struct bsq_inputs *own =
        stats->frozen ? bsq_inputs_copy(stats->inputs, &stats->geometry, false, false, &stats->memory) : NULL;

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

/* Checks two that fit each other. */
static bsq_status_t check_merge(const struct bsq_stats_t *into, const struct bsq_stats_t *from,
                                struct bsq_message *message)
{
    if (bsq_stats_has_target(into) != bsq_stats_has_target(from))
        return bsq_fail(message, BSQ_E_MISMATCH, "statistics with and without a target cannot be merged");
    if (!bsq_stats_rows_known(into) || !bsq_stats_rows_known(from))
        return bsq_fail(message, BSQ_E_STATE, "moments of an unknown number of rows cannot be merged");
    if (!complete(into) || !complete(from))
        return bsq_fail(message, BSQ_E_STATE,
                        "statistics with shared inputs cannot be merged before all of their targets were added");
    return BSQ_OK;
}

/* Finds the first of the list that has rows; without any the first of all. */
static size_t find_first(const struct bsq_stats_t *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!bsq_stats_empty(list[i]))
            return i;
    return 0;
}

static bsq_status_t add_all(struct bsq_stats_t *sum, const struct bsq_stats_t *const *list, size_t count,
                            const struct bsq_stats_work *work)
{
    bool targets = bsq_stats_has_target(sum);

    if (!unfreeze(sum) || !bsq_stats_make_ready(sum, targets))
        return bsq_fail_memory(work->message);
    for (size_t i = 0; i < count; i++) {
        bsq_status_t status;

        if (bsq_stats_empty(list[i]))
            continue;
        add_sums(sum, list[i]);
        status = bsq_stats_append_rows(sum, bsq_stats_tile(list[i]), targets, work);
        if (status != BSQ_OK)
            return status;
    }
    return BSQ_OK;
}

bsq_status_t bsq_stats_sum(const struct bsq_stats_t *const *list, size_t count, const struct bsq_stats_work *work,
                           struct bsq_stats_t **sum)
{
    size_t first = find_first(list, count), filled = 0;
    bsq_status_t status = BSQ_OK;

    *sum = NULL;
    for (size_t i = 0; i < count && status == BSQ_OK; i++) {
        status = bsq_stats_fit(list[i], &list[first]->geometry, &list[first]->quantizer, work->message);
        if (status == BSQ_OK && i != first && !bsq_stats_empty(list[i])) {
            status = check_merge(list[first], list[i], work->message);
            filled++;
        }
    }
    if (status != BSQ_OK)
        return status;
    if (!filled) {
        *sum =
            bsq_stats_retain((struct bsq_stats_t *)(uintptr_t)list[first]); /* changes its count of references only */
        return BSQ_OK;
    }

    struct bsq_stats_t *copy = bsq_stats_copy(list[first], work->memory);

    status = copy ? add_all(copy, list + first + 1, count - first - 1, work) : bsq_fail_memory(work->message);
    if (status != BSQ_OK) {
        bsq_stats_release(copy);
        return status;
    }
    *sum = copy;
    return BSQ_OK;
}

bsq_status_t bsq_stats_flush(const struct bsq_stats_t *stats, const struct bsq_stats_work *work,
                             struct bsq_stats_t **flushed)
{
    struct bsq_stats_t *copy;
    bsq_status_t status;

    *flushed = NULL;
    if (!complete(stats))
        return bsq_fail(work->message, BSQ_E_STATE,
                        "statistics with shared inputs cannot be summed before all of their targets were added");
    if (!stats->frozen && stats->inputs->tile.fill == 0) {
        *flushed = bsq_stats_retain((struct bsq_stats_t *)(uintptr_t)stats); /* changes its count of references only */
        return BSQ_OK;
    }
    copy = bsq_stats_copy(stats, work->memory);
    if (!copy || !unfreeze(copy)) {
        bsq_stats_release(copy);
        return bsq_fail_memory(work->message);
    }
    if ((status = bsq_stats_finish_tile(copy, work)) != BSQ_OK) {
        bsq_stats_release(copy);
        return status;
    }
    *flushed = copy;
    return BSQ_OK;
}
