/* Public calls of the input quantizer, and the state behind them: chosen from what was observed, given, fixed. */
#include "api/layer.h"

#include "base/options.h"
#include "input/clip.h"

#include <string.h>

void bsq_layer_forget_choice(bsq_layer_t *layer)
{
    if (layer->quantizer_state != BSQ_QUANTIZER_OPEN)
        return;
    bsq_quantizer_release(&layer->quantizer);
    memset(&layer->quantizer, 0, sizeof layer->quantizer);
    layer->quantizer_chosen = 0;
}

/* Chooses from what was observed, if anything was. */
static bsq_status_t choose_quantizer(bsq_layer_t *layer)
{
    const struct bsq_histogram *histogram = layer->histogram;
    bsq_status_t status = BSQ_OK;

    if (layer->options.input_bits && (!histogram || bsq_histogram_count(histogram) == 0))
        return bsq_fail(&layer->message, BSQ_E_STATE,
                        "input_bits is %d, but no input was observed: call bsq_layer_observe or "
                        "bsq_layer_set_input_quantizer first",
                        (int)layer->options.input_bits);
    if (layer->options.input_bits && bsq_histogram_channels(histogram)) {
        if (!bsq_histogram_channel_quantizer(histogram, &layer->options, &layer->quantizer))
            return bsq_fail_memory(&layer->message);
    } else if (layer->options.input_bits) {
        layer->quantizer = bsq_histogram_quantizer(histogram, &layer->options);
    }
    layer->quantizer_chosen = 1;
    if (layer->options.input_bits &&
        (status = bsq_quantizer_check_values(&layer->quantizer, &layer->message)) != BSQ_OK)
        bsq_layer_forget_choice(layer);
    return status;
}

bsq_status_t bsq_layer_resolve_quantizer(bsq_layer_t *layer, struct bsq_quantizer *quantizer)
{
    bsq_status_t status = BSQ_OK;

    if (layer->quantizer_state == BSQ_QUANTIZER_OPEN && !layer->quantizer_chosen)
        status = choose_quantizer(layer);
    *quantizer = layer->quantizer;
    return status;
}

static void put_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *quantizer, int32_t state)
{
    struct bsq_quantizer before = layer->quantizer;

    layer->quantizer = bsq_quantizer_retain(quantizer);
    layer->quantizer_state = state;
    bsq_quantizer_release(&before);
}

void bsq_layer_fix_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *quantizer)
{
    put_quantizer(layer, quantizer, BSQ_QUANTIZER_FIXED);
    bsq_histogram_free(layer->histogram);
    layer->histogram = NULL;
}

static bsq_status_t read_quantizer(bsq_layer_t *layer, const bsq_input_quantizer_t *from, struct bsq_quantizer *given,
                                   bsq_input_quantizer_t *own)
{
    bsq_status_t status = bsq_layer_require(layer, from, "quantizer");

    if (status != BSQ_OK)
        return status;
    if (layer->quantizer_state == BSQ_QUANTIZER_FIXED)
        return bsq_fail(&layer->message, BSQ_E_STATE, "the input quantizer is fixed since the first calibration");
    if ((status = bsq_input_quantizer_read(own, from, &layer->message)) != BSQ_OK)
        return status;
    *given = (struct bsq_quantizer){own->scale, own->zero_point, own->bits, own->type, NULL};
    return bsq_quantizer_check(given, &layer->message);
}

static bsq_status_t set_input_quantizer(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer)
{
    bsq_input_quantizer_t own;
    struct bsq_quantizer given;
    bsq_status_t status;

    if ((status = read_quantizer(layer, quantizer, &given, &own)) != BSQ_OK)
        return status;
    if (own.scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL)
        return bsq_fail(&layer->message, BSQ_E_ARGUMENT,
                        "scale_kind is that of a quantizer with scales of channels: call bsq_layer_set_input_channels");
    if ((status = bsq_quantizer_check_values(&given, &layer->message)) != BSQ_OK)
        return status;
    put_quantizer(layer, &given, BSQ_QUANTIZER_GIVEN);
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_input_quantizer(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_input_quantizer(layer, quantizer)) : status;
}

/* Copies and checks scales and zero points of a host. */
static bsq_status_t read_channels(bsq_layer_t *layer, const double *scales, const int32_t *zero_points,
                                  struct bsq_quantizer *given)
{
    struct bsq_input_channels *channels = bsq_input_channels_create(&layer->memory, layer->geometry.in_channels);
    bsq_status_t status;

    if (!channels)
        return bsq_fail_memory(&layer->message);
    memcpy(channels->scale, scales, (size_t)channels->count * sizeof *scales);
    if (zero_points)
        memcpy(channels->zero_point, zero_points, (size_t)channels->count * sizeof *zero_points);
    given->channels = channels;
    if ((status = bsq_quantizer_check_channels(given, &layer->message)) != BSQ_OK ||
        (status = bsq_quantizer_check_values(given, &layer->message)) != BSQ_OK)
        bsq_quantizer_release(given);
    return status;
}

static bsq_status_t check_channel_count(bsq_layer_t *layer, size_t count)
{
    if (count != (size_t)layer->geometry.in_channels)
        return bsq_fail(&layer->message, BSQ_E_SIZE, "'count' is %llu, the layer has %lld input channels",
                        (unsigned long long)count, (long long)layer->geometry.in_channels);
    return BSQ_OK;
}

static bsq_status_t set_input_channels(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer, const double *scales,
                                       const int32_t *zero_points, size_t count)
{
    bsq_input_quantizer_t own;
    struct bsq_quantizer given;
    bsq_status_t status;

    if ((status = read_quantizer(layer, quantizer, &given, &own)) != BSQ_OK ||
        (status = bsq_layer_require(layer, scales, "scales")) != BSQ_OK ||
        (status = check_channel_count(layer, count)) != BSQ_OK)
        return status;
    if (given.zero_point)
        return bsq_fail(&layer->message, BSQ_E_RANGE,
                        "input quantizer: zero_point is %d, must be 0 when channels have their own",
                        (int)given.zero_point);
    if ((status = read_channels(layer, scales, zero_points, &given)) != BSQ_OK)
        return status;
    put_quantizer(layer, &given, BSQ_QUANTIZER_GIVEN);
    bsq_quantizer_release(&given);
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_input_channels(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer,
                                          const double *scales, const int32_t *zero_points, size_t count)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_input_channels(layer, quantizer, scales, zero_points, count))
                            : status;
}

static bsq_status_t get_input_quantizer(bsq_layer_t *layer, bsq_input_quantizer_t *quantizer)
{
    struct bsq_quantizer now;
    bsq_input_quantizer_t own;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, quantizer, "quantizer")) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &now)) != BSQ_OK)
        return status;
    bsq_input_quantizer_init(&own, sizeof own);
    own.scale = now.scale;
    own.zero_point = now.zero_point;
    own.bits = now.bits;
    own.type = now.type;
    own.scale_kind = now.channels ? BSQ_INPUT_SCALE_KIND_PER_CHANNEL : BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    return bsq_struct_write(quantizer, &own, sizeof own, BSQ_FIRST_QUANTIZER, "bsq_input_quantizer_t", &layer->message);
}

bsq_status_t bsq_layer_get_input_quantizer(bsq_layer_t *layer, bsq_input_quantizer_t *quantizer)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_input_quantizer(layer, quantizer)) : status;
}

static bsq_status_t get_input_channels(bsq_layer_t *layer, double *scales, int32_t *zero_points, size_t count)
{
    struct bsq_quantizer now;
    bsq_status_t status;

    if ((status = check_channel_count(layer, count)) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &now)) != BSQ_OK)
        return status;
    if (!now.bits)
        return bsq_fail(&layer->message, BSQ_E_STATE, "input_bits is 0: inputs stay float, they have no scales");
    for (int64_t c = 0; c < layer->geometry.in_channels; c++) {
        if (scales)
            scales[c] = bsq_quantizer_scale(&now, c);
        if (zero_points)
            zero_points[c] = bsq_quantizer_zero_point(&now, c);
    }
    return BSQ_OK;
}

bsq_status_t bsq_layer_get_input_channels(bsq_layer_t *layer, double *scales, int32_t *zero_points, size_t count)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_input_channels(layer, scales, zero_points, count)) : status;
}

/* ---- observing ---- */

/* Counts the channels with histograms of their own; 0 when there is one for the tensor. */
static int64_t observed_channels(const bsq_layer_t *layer)
{
    return layer->options.input_scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL ? layer->geometry.in_channels : 0;
}

static bsq_status_t observe(bsq_layer_t *layer, const bsq_batch_t *batch)
{
    bsq_batch_t own;
    int64_t values;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, batch, "batch")) != BSQ_OK)
        return status;
    if (layer->quantizer_state == BSQ_QUANTIZER_FIXED)
        return bsq_fail(&layer->message, BSQ_E_STATE, "the input quantizer is fixed since the first calibration");
    if (!layer->options.input_bits)
        return bsq_fail(&layer->message, BSQ_E_STATE, "input_bits is 0: inputs stay float, nothing to observe");
    if ((status = bsq_batch_read(&own, batch, &layer->message)) != BSQ_OK ||
        (status = bsq_stats_check_batch(&layer->geometry, &own, 0, &values, &layer->message)) != BSQ_OK)
        return status;
    if (!layer->histogram && !(layer->histogram = bsq_histogram_create(&layer->memory, observed_channels(layer))))
        return bsq_fail_memory(&layer->message);
    if (values == 0)
        return BSQ_OK;
    if (bsq_histogram_channels(layer->histogram))
        bsq_histogram_add_channels(
            layer->histogram, own.input, own.size, values / own.size / layer->geometry.in_channels,
            layer->geometry.dims == 0 || layer->geometry.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST);
    else
        bsq_histogram_add(layer->histogram, own.input, values);
    bsq_layer_forget_choice(layer);
    return BSQ_OK;
}

bsq_status_t bsq_layer_observe(bsq_layer_t *layer, const bsq_batch_t *batch)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, observe(layer, batch)) : status;
}

/* ---- statistics of others ---- */

bsq_status_t bsq_layer_adopt_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *theirs,
                                       struct bsq_quantizer *quantizer)
{
    bool knows_bits_only = layer->quantizer_state == BSQ_QUANTIZER_OPEN && layer->options.input_bits > 0 &&
                           (!layer->histogram || bsq_histogram_count(layer->histogram) == 0);

    if (knows_bits_only && theirs->bits == layer->options.input_bits &&
        (theirs->channels != NULL) == (layer->options.input_scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL)) {
        *quantizer = *theirs;
        return BSQ_OK;
    }
    return bsq_layer_resolve_quantizer(layer, quantizer);
}
