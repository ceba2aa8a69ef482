/* Public calls of statistics: a host's moments, snapshots, sharing and merging. */
#include "api/layer.h"

#include "base/options.h"

static bsq_status_t check_held_out(bsq_layer_t *layer, int32_t held_out)
{
    if (held_out != 0 && held_out != 1)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "held_out is %d, not 0 or 1", (int)held_out);
    return BSQ_OK;
}

/* ---- a host's moments ---- */

bsq_status_t bsq_layer_set_stats(bsq_layer_t *layer, const bsq_moments_t *moments)
{
    bsq_moments_t own;
    struct bsq_quantizer quantizer;
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK || (status = bsq_layer_require(layer, moments, "moments")) != BSQ_OK ||
        (status = bsq_moments_read(&own, moments, &layer->message)) != BSQ_OK ||
        (status = bsq_layer_require(layer, own.h, "moments->h")) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &quantizer)) != BSQ_OK)
        return status;
    status = bsq_stats_set(bsq_layer_stats_slot(layer, own.held_out), &layer->geometry, &quantizer, &own, &layer->memory,
                           &layer->message);
    if (status == BSQ_OK)
        bsq_layer_fix_quantizer(layer, &quantizer);
    return status;
}

/* The statistics that 'held_out' means; STATE when there are none. */
static bsq_status_t find_stats(bsq_layer_t *layer, int32_t held_out, struct bsq_stats_t **stats)
{
    bsq_status_t status = check_held_out(layer, held_out);

    if (status != BSQ_OK)
        return status;
    *stats = *bsq_layer_stats_slot(layer, held_out);
    if (bsq_stats_empty(*stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the layer has no %sstatistics", held_out ? "held-out " : "");
    return BSQ_OK;
}

/* That nothing is asked for that the statistics do not hold. */
static bsq_status_t check_wanted(bsq_layer_t *layer, const struct bsq_stats_t *stats, const bsq_moments_t *wanted)
{
    if ((wanted->p || wanted->target_mean || wanted->target_square) && !bsq_stats_has_target(stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the statistics have no target");
    if ((wanted->input_mean || wanted->target_mean) && !bsq_stats_has_means(stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the statistics were given without means");
    return BSQ_OK;
}

static double *offset_of(double *base, int64_t offset)
{
    return base ? base + offset : NULL;
}

bsq_status_t bsq_layer_get_stats(bsq_layer_t *layer, bsq_moments_t *moments)
{
    bsq_moments_t own;
    struct bsq_stats_t *stats;
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK || (status = bsq_layer_require(layer, moments, "moments")) != BSQ_OK ||
        (status = bsq_moments_read(&own, moments, &layer->message)) != BSQ_OK ||
        (status = find_stats(layer, own.held_out, &stats)) != BSQ_OK ||
        (status = check_wanted(layer, stats, &own)) != BSQ_OK)
        return status;

    int64_t n = layer->geometry.fan_in, outputs = layer->geometry.group_outputs;
    void *scratch = bsq_memory_get(&layer->memory, 1, bsq_stats_scratch(stats));

    if (!scratch)
        return bsq_fail_memory(&layer->message);
    for (int64_t g = 0; g < layer->geometry.groups; g++) {
        struct bsq_group_moments group = {
            offset_of(own.h, g * n * n),
            offset_of(own.input_mean, g * n),
            offset_of(own.p, g * outputs * n),
            offset_of(own.target_mean, g * outputs),
            offset_of(own.target_square, g * outputs),
        };

        bsq_stats_read(stats, g, &group, scratch);
    }
    bsq_memory_put(&layer->memory, scratch);
    moments->rows = bsq_stats_rows(stats);
    return BSQ_OK;
}

/* ---- snapshots ---- */

/* The input part of one of the source's statistics; NULL when there are none. */
static bsq_status_t share_one(bsq_layer_t *layer, const struct bsq_stats_t *from, struct bsq_stats_t **stats)
{
    *stats = NULL;
    if (bsq_stats_empty(from))
        return BSQ_OK;
    return bsq_stats_share(from, &layer->geometry, &layer->memory, stats, &layer->message);
}

bsq_status_t bsq_layer_share_input(bsq_layer_t *layer, bsq_layer_t *source)
{
    struct bsq_quantizer quantizer;
    struct bsq_stats_t *stats, *held_out;
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK || (status = bsq_layer_require(layer, source, "source")) != BSQ_OK)
        return status;
    if (!bsq_stats_empty(layer->stats) || !bsq_stats_empty(layer->held_out))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the layer has statistics of its own already");
    if (bsq_stats_empty(source->stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "'source' has no statistics");
    if (!bsq_geometry_same_input(&layer->geometry, &source->geometry))
        return bsq_fail(&layer->message, BSQ_E_MISMATCH, "'source' gathers other rows from its input than this layer");
    if ((status = bsq_layer_adopt_quantizer(layer, &source->quantizer, &quantizer)) != BSQ_OK)
        return status;
    if (!bsq_quantizer_same(&quantizer, &source->quantizer))
        return bsq_fail(&layer->message, BSQ_E_MISMATCH, "'source' has another input quantizer than this layer");
    if ((status = share_one(layer, source->stats, &stats)) != BSQ_OK)
        return status;
    if ((status = share_one(layer, source->held_out, &held_out)) != BSQ_OK) {
        bsq_stats_release(stats);
        return status;
    }
    bsq_stats_release(layer->stats);
    bsq_stats_release(layer->held_out);
    layer->stats = stats;
    layer->held_out = held_out;
    bsq_layer_fix_quantizer(layer, &quantizer);
    return BSQ_OK;
}

bsq_status_t bsq_layer_acquire_stats(bsq_layer_t *layer, int32_t held_out, bsq_stats_t **stats)
{
    struct bsq_stats_t *found;
    bsq_status_t status = bsq_layer_enter(layer);

    if (stats)
        *stats = NULL;
    if (status != BSQ_OK || (status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = find_stats(layer, held_out, &found)) != BSQ_OK)
        return status;
    *stats = bsq_stats_retain(found);
    return BSQ_OK;
}

bsq_status_t bsq_layer_merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    struct bsq_quantizer quantizer;
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK || (status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = check_held_out(layer, held_out)) != BSQ_OK ||
        (status = bsq_layer_adopt_quantizer(layer, bsq_stats_quantizer(stats), &quantizer)) != BSQ_OK ||
        (status = bsq_stats_fit(stats, &layer->geometry, &quantizer, &layer->message)) != BSQ_OK)
        return status;

    struct bsq_parallel parallel = bsq_parallel_of(&layer->options);
    struct bsq_stats_work work = bsq_layer_stats_work(layer, &parallel);

    status = bsq_stats_merge(bsq_layer_stats_slot(layer, held_out), stats, &work);
    if (status == BSQ_OK)
        bsq_layer_fix_quantizer(layer, &quantizer);
    return status;
}
