/* Public calls that change or read a layer's options. */
#include "api/layer.h"

#include "base/options.h"

#include <string.h>

/* The name of an option that decides about the input quantizer and differs, or NULL. */
static const char *changed_input_option(const bsq_options_t *a, const bsq_options_t *b)
{
    if (a->input_bits != b->input_bits)
        return "input_bits";
    if (a->input_type != b->input_type)
        return "input_type";
    if (a->input_clip != b->input_clip)
        return "input_clip";
    if (a->input_percentile < b->input_percentile || a->input_percentile > b->input_percentile)
        return "input_percentile";
    if (a->input_scale_kind != b->input_scale_kind)
        return "input_scale_kind";
    return NULL;
}

void bsq_layer_keep_options(bsq_layer_t *layer, const bsq_options_t *options)
{
    if (options->level_count) /* which may be the layer's own */
        memmove(layer->levels, options->levels, (size_t)options->level_count);
    layer->options = *options;
    layer->options.levels = options->level_count ? layer->levels : NULL;
}

static bsq_status_t set_options(bsq_layer_t *layer, const bsq_options_t *options)
{
    bsq_options_t own;
    bsq_status_t status;

    if ((status = bsq_options_read(&own, options, &layer->message)) != BSQ_OK ||
        (status = bsq_options_check_layer(&own, &layer->geometry, &layer->message)) != BSQ_OK)
        return status;

    struct bsq_memory memory = bsq_memory_hooks(&own);
    const char *changed = changed_input_option(&own, &layer->options);

    if (!bsq_memory_same(&memory, &layer->memory))
        return bsq_fail(&layer->message, BSQ_E_STATE, "options: the allocator of a layer cannot change");
    if (layer->quantizer_state == BSQ_QUANTIZER_FIXED && changed)
        return bsq_fail(&layer->message, BSQ_E_STATE, "options: %s cannot change after the input quantizer is fixed",
                        changed);
    if (layer->histogram && own.input_scale_kind != layer->options.input_scale_kind)
        return bsq_fail(&layer->message, BSQ_E_STATE,
                        "options: input_scale_kind cannot change once inputs were observed");
    bsq_layer_keep_options(layer, &own);
    if (changed)
        bsq_layer_forget_choice(layer);
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_options(bsq_layer_t *layer, const bsq_options_t *options)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_options(layer, options)) : status;
}

static bsq_status_t get_options(bsq_layer_t *layer, bsq_options_t *options)
{
    bsq_status_t status = bsq_layer_require(layer, options, "options");

    return status == BSQ_OK ? bsq_struct_write(options, &layer->options, sizeof layer->options, BSQ_FIRST_OPTIONS,
                                               "bsq_options_t", &layer->message)
                            : status;
}

bsq_status_t bsq_layer_get_options(bsq_layer_t *layer, bsq_options_t *options)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_options(layer, options)) : status;
}
