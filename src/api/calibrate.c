/* Public calls that say what a batch must bring, and bring it into a layer's statistics. */
#include "api/layer.h"

#include "base/options.h"

struct bsq_stats_work bsq_layer_stats_work(bsq_layer_t *layer, const struct bsq_parallel *parallel)
{
    return (struct bsq_stats_work){&layer->memory, parallel, &layer->options, &layer->message};
}

struct bsq_stats_t **bsq_layer_stats_slot(bsq_layer_t *layer, int32_t held_out)
{
    return held_out ? &layer->held_out : &layer->stats;
}

static bsq_status_t calibrate(bsq_layer_t *layer, const bsq_batch_t *batch)
{
    bsq_batch_t own;
    struct bsq_quantizer quantizer;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, batch, "batch")) != BSQ_OK ||
        (status = bsq_batch_read(&own, batch, &layer->message)) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &quantizer)) != BSQ_OK)
        return status;

    struct bsq_stats_t **slot = bsq_layer_stats_slot(layer, own.held_out);
    struct bsq_stats_t *stats = *slot ? *slot : bsq_stats_create(&layer->geometry, &quantizer, &layer->memory);
    struct bsq_parallel parallel = bsq_parallel_of(&layer->options);
    struct bsq_stats_work work = bsq_layer_stats_work(layer, &parallel);

    if (!stats)
        return bsq_fail_memory(&layer->message);
    status = bsq_stats_add(&stats, &own, layer->bias, &work);
    if (status != BSQ_OK) {
        if (!*slot)
            bsq_stats_release(stats);
        return status;
    }
    if (bsq_stats_empty(stats)) { /* a batch without rows fixes nothing */
        if (!*slot)
            bsq_stats_release(stats);
        return BSQ_OK;
    }
    *slot = stats;
    bsq_layer_fix_quantizer(layer, &quantizer);
    bsq_layer_log(layer, BSQ_LOG_INFO, "calibrate: %lld samples%s, %.0f rows so far", (long long)own.size,
                  own.held_out ? " held out" : "", bsq_stats_rows(stats));
    return BSQ_OK;
}

bsq_status_t bsq_layer_calibrate(bsq_layer_t *layer, const bsq_batch_t *batch)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, calibrate(layer, batch)) : status;
}

/* ---- what a batch must bring ---- */

/* The product of extents, for memory; false when it does not fit. */
static bool multiply(int64_t a, int64_t b, int64_t c, size_t *product)
{
    int64_t all;

    if (!bsq_extent_mul(a, b, &all) || !bsq_extent_mul(all, c, &all) || (uint64_t)all > SIZE_MAX / sizeof(float))
        return false;
    *product = (size_t)all;
    return true;
}

static bsq_status_t batch_counts(bsq_layer_t *layer, const bsq_batch_t *batch, size_t counts[3])
{
    const struct bsq_geometry *geometry = &layer->geometry;
    bsq_batch_t own;
    int64_t output[3], positions, inputs = geometry->in_channels;
    bsq_status_t status;

    if ((status = bsq_batch_read_extents(&own, batch, &layer->message)) != BSQ_OK ||
        (status = bsq_geometry_output(geometry, own.spatial, output, &positions, &layer->message)) != BSQ_OK)
        return status;

    bool fits = true;

    for (int32_t d = 0; d < geometry->dims; d++)
        fits = fits && bsq_extent_mul(inputs, own.spatial[d], &inputs);
    if (!fits || !multiply(own.size, inputs, 1, &counts[0]) ||
        !multiply(own.size, geometry->out_channels, positions, &counts[1]) ||
        !multiply(own.size, own.row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? positions : 1, 1, &counts[2]))
        return bsq_fail(&layer->message, BSQ_E_SHAPE, "the batch is too large for this machine");
    return BSQ_OK;
}

bsq_status_t bsq_layer_batch_counts(bsq_layer_t *layer, const bsq_batch_t *batch, size_t *input, size_t *target,
                                    size_t *row_weights)
{
    size_t counts[3] = {0}, *const to[3] = {input, target, row_weights};
    bsq_status_t status = bsq_layer_enter(layer);

    if (status == BSQ_OK)
        status = bsq_layer_leave(layer, batch_counts(layer, batch, counts));
    for (int i = 0; i < 3; i++)
        if (to[i])
            *to[i] = status == BSQ_OK ? counts[i] : 0;
    return status;
}
