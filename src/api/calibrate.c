/* Public call that brings activations into a layer's statistics. */
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
