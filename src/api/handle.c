/* How every public call on a layer begins and ends: one call at a time, in a known floating-point environment, with
 * texts for people and lines for the host's log. */
#include "api/layer.h"

#include <stdarg.h>
#include <stdio.h>

bsq_status_t bsq_layer_enter(bsq_layer_t *layer)
{
    struct bsq_floats floats;

    if (!layer)
        return BSQ_E_ARGUMENT;
    if (atomic_exchange(&layer->busy, 1))
        return BSQ_E_STATE;
    bsq_floats_enter(&floats);
    layer->floats = floats;
    return BSQ_OK;
}

bsq_status_t bsq_layer_leave(bsq_layer_t *layer, bsq_status_t status)
{
    struct bsq_floats floats = layer->floats;

    atomic_store(&layer->busy, 0);
    bsq_floats_leave(&floats);
    return status;
}

bsq_status_t bsq_layer_require(bsq_layer_t *layer, const void *pointer, const char *name)
{
    if (!pointer)
        return bsq_fail(&layer->message, BSQ_E_ARGUMENT, "'%s' is NULL", name);
    return BSQ_OK;
}

bsq_status_t bsq_layer_require_result(bsq_layer_t *layer)
{
    if (!layer->result)
        return bsq_fail(&layer->message, BSQ_E_STATE,
                        "there is no result yet: call bsq_optimize or bsq_layer_set_tensor first");
    return BSQ_OK;
}

void bsq_layer_log(const bsq_layer_t *layer, int32_t level, const char *format, ...)
{
    struct bsq_message line;
    va_list arguments;

    if (!layer->options.log)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line.text, sizeof line.text, format, arguments);
    va_end(arguments);
    layer->options.log(level, line.text, layer->options.log_opaque);
}

const char *bsq_layer_error_message(const bsq_layer_t *layer)
{
    if (!layer)
        return "'layer' is NULL";
    if (atomic_load(&layer->busy))
        return "the layer is at work: a callback or another thread called it";
    return layer->message.text;
}

const struct bsq_stats_t *bsq_layer_known(const struct bsq_stats_t *stats)
{
    return bsq_stats_empty(stats) ? NULL : stats;
}
