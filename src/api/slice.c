/* Public calls for work on several machines: a layer of some of the channels, and whether two layers are the same. */
#include "api/layer.h"

#include "base/fingerprint.h"
#include "solve/result.h"

#include <string.h>

/* ---- slices ---- */

static bsq_status_t check_slice(bsq_layer_t *layer, int64_t first, int64_t count)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    int64_t outputs = geometry->group_outputs;

    if (first < 0 || count < 1 || first > geometry->out_channels - count)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "%lld output channels from %lld on: the layer has %lld",
                        (long long)count, (long long)first, (long long)geometry->out_channels);
    if (geometry->groups > 1 && (first % outputs || count % outputs))
        return bsq_fail(&layer->message, BSQ_E_RANGE,
                        "%lld output channels from %lld on are not whole groups, which have %lld", (long long)count,
                        (long long)first, (long long)outputs);
    return BSQ_OK;
}

static struct bsq_geometry cut_geometry(const struct bsq_geometry *whole, int64_t count)
{
    struct bsq_geometry part = *whole;

    part.out_channels = count;
    if (whole->groups == 1) {
        part.group_outputs = count;
    } else {
        part.groups = count / whole->group_outputs;
        part.in_channels = part.groups * whole->group_inputs;
    }
    return part;
}

/* Cuts out the quantizer of the slice's input channels; false when out of memory. The caller has a reference. */
static bool cut_quantizer(const struct bsq_quantizer *whole, const struct bsq_geometry *part, int64_t first_input,
                          const struct bsq_memory *memory, struct bsq_quantizer *quantizer)
{
    struct bsq_input_channels *channels;

    if (!whole->channels || whole->channels->count == part->in_channels) {
        *quantizer = bsq_quantizer_retain(whole);
        return true;
    }
    channels = bsq_input_channels_create(memory, part->in_channels);
    if (!channels)
        return false;
    memcpy(channels->scale, whole->channels->scale + first_input, (size_t)channels->count * sizeof *channels->scale);
    memcpy(channels->zero_point, whole->channels->zero_point + first_input,
           (size_t)channels->count * sizeof *channels->zero_point);
    *quantizer = *whole;
    quantizer->channels = channels;
    return true;
}

/* Fixes what was only observed: the slice's inputs are quantized as the whole layer's. */
static bsq_status_t find_quantizer(bsq_layer_t *layer, struct bsq_quantizer *quantizer)
{
    if (layer->quantizer_state != BSQ_QUANTIZER_OPEN || !layer->histogram || !layer->options.input_bits) {
        *quantizer = layer->quantizer;
        return BSQ_OK;
    }
    return bsq_layer_resolve_quantizer(layer, quantizer);
}

static bsq_status_t cut_stats(bsq_layer_t *layer, const struct bsq_stats_t *from, int64_t first, bsq_layer_t *slice,
                              struct bsq_stats_t **to)
{
    if (bsq_stats_empty(from))
        return BSQ_OK;
    return bsq_stats_slice(from, &slice->geometry, first, &slice->quantizer, &layer->memory, to, &layer->message);
}

static bsq_status_t slice_layer(bsq_layer_t *layer, int64_t first, int64_t count, bsq_layer_t **slice)
{
    const struct bsq_geometry *whole = &layer->geometry;
    struct bsq_quantizer quantizer = {.bits = 0}, own;
    struct bsq_geometry part;
    bsq_layer_t *made;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, slice, "slice")) != BSQ_OK ||
        (status = check_slice(layer, first, count)) != BSQ_OK || (status = find_quantizer(layer, &quantizer)) != BSQ_OK)
        return status;
    part = cut_geometry(whole, count);
    made = bsq_layer_new(&part, &layer->options, &layer->memory, layer->weights + first * whole->fan_in,
                         layer->bias ? layer->bias + first : NULL);
    if (!made)
        return bsq_fail_memory(&layer->message);
    if (cut_quantizer(&quantizer, &part, first / whole->group_outputs * whole->group_inputs, &layer->memory, &own)) {
        made->quantizer = own;
        made->quantizer_state = layer->quantizer_state;
        if (layer->quantizer_state == BSQ_QUANTIZER_OPEN && own.bits)
            made->quantizer_state = BSQ_QUANTIZER_GIVEN;
        made->quantizer_chosen = layer->quantizer_chosen;
        if ((status = cut_stats(layer, layer->stats, first, made, &made->stats)) == BSQ_OK)
            status = cut_stats(layer, layer->held_out, first, made, &made->held_out);
    } else {
        status = bsq_fail_memory(&layer->message);
    }
    if (status != BSQ_OK) {
        bsq_layer_free(made);
        return status;
    }
    *slice = made;
    return BSQ_OK;
}

bsq_status_t bsq_layer_slice(bsq_layer_t *layer, int64_t first, int64_t count, bsq_layer_t **slice)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (slice)
        *slice = NULL;
    return status == BSQ_OK ? bsq_layer_leave(layer, slice_layer(layer, first, count, slice)) : status;
}

/* ---- fingerprints ---- */

static uint64_t of_weights(const bsq_layer_t *layer)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    uint64_t hash = bsq_fingerprint(BSQ_FINGERPRINT_BEGIN, layer->weights,
                                    (size_t)(geometry->out_channels * geometry->fan_in) * sizeof *layer->weights);

    return layer->bias ? bsq_fingerprint(hash, layer->bias, (size_t)geometry->out_channels * sizeof *layer->bias)
                       : hash;
}

static uint64_t of_inputs(const struct bsq_quantizer *quantizer)
{
    const struct bsq_input_channels *channels = quantizer->channels;
    uint64_t hash = bsq_fingerprint(BSQ_FINGERPRINT_BEGIN, &quantizer->bits, sizeof quantizer->bits);

    if (!quantizer->bits)
        return hash;
    hash = bsq_fingerprint(hash, &quantizer->scale, sizeof quantizer->scale);
    hash = bsq_fingerprint(hash, &quantizer->zero_point, sizeof quantizer->zero_point);
    hash = bsq_fingerprint(hash, &quantizer->type, sizeof quantizer->type);
    if (!channels)
        return hash;
    hash = bsq_fingerprint(hash, channels->scale, (size_t)channels->count * sizeof *channels->scale);
    return bsq_fingerprint(hash, channels->zero_point, (size_t)channels->count * sizeof *channels->zero_point);
}

static uint64_t of_statistics(const bsq_layer_t *layer)
{
    static const char between[8] = "held out"; /* so that it matters which of the two there are */
    uint64_t hash = BSQ_FINGERPRINT_BEGIN;

    if (!bsq_stats_empty(layer->stats))
        hash = bsq_stats_fingerprint(hash, layer->stats);
    hash = bsq_fingerprint(hash, between, sizeof between);
    return bsq_stats_empty(layer->held_out) ? hash : bsq_stats_fingerprint(hash, layer->held_out);
}

static bsq_status_t find_fingerprint(bsq_layer_t *layer, int32_t what, int64_t *fingerprint)
{
    bsq_status_t status = bsq_layer_require(layer, fingerprint, "fingerprint");
    struct bsq_quantizer quantizer;
    uint64_t hash;

    if (status != BSQ_OK)
        return status;
    switch (what) {
    case BSQ_FINGERPRINT_DESCRIPTION:
        hash = bsq_fingerprint(BSQ_FINGERPRINT_BEGIN, &layer->geometry, sizeof layer->geometry);
        break;
    case BSQ_FINGERPRINT_WEIGHTS: hash = of_weights(layer); break;
    case BSQ_FINGERPRINT_INPUTS:
        if ((status = find_quantizer(layer, &quantizer)) != BSQ_OK)
            return status;
        hash = of_inputs(&quantizer);
        break;
    case BSQ_FINGERPRINT_STATISTICS: hash = of_statistics(layer); break;
    default: return bsq_fail(&layer->message, BSQ_E_ARGUMENT, "what is %d, not a BSQ_FINGERPRINT_... value", (int)what);
    }
    memcpy(fingerprint, &hash, sizeof hash);
    return BSQ_OK;
}

bsq_status_t bsq_layer_fingerprint(bsq_layer_t *layer, int32_t what, int64_t *fingerprint)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, find_fingerprint(layer, what, fingerprint)) : status;
}
