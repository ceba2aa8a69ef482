/* Public calls that bring activations, or statistics of them, into a layer. */
#include "api/layer.h"

#include "base/options.h"

#include <string.h>

/* ---- input quantizer ---- */

void bsq_layer_forget_choice(bsq_layer_t *layer)
{
    if (layer->quantizer_state != BSQ_QUANTIZER_OPEN)
        return;
    bsq_quantizer_release(&layer->quantizer);
    memset(&layer->quantizer, 0, sizeof layer->quantizer);
    layer->quantizer_chosen = 0;
}

/* From what was observed, if anything was. */
static bsq_status_t choose_quantizer(bsq_layer_t *layer)
{
    const struct bsq_histogram *histogram = layer->histogram;

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
    return BSQ_OK;
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

/* From the first statistics on: what was observed no longer matters. */
static void fix_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *quantizer)
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
    put_quantizer(layer, &given, BSQ_QUANTIZER_GIVEN);
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_input_quantizer(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_input_quantizer(layer, quantizer)) : status;
}

/* Scales and zero points of a host, checked. */
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
    if ((status = bsq_quantizer_check_channels(given, &layer->message)) != BSQ_OK)
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

    return status == BSQ_OK
               ? bsq_layer_leave(layer, set_input_channels(layer, quantizer, scales, zero_points, count))
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

/* ---- batches ---- */

/* Channels with histograms of their own; 0 when there is one for the tensor. */
static int64_t observed_channels(const bsq_layer_t *layer)
{
    return layer->options.input_scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL ? layer->geometry.in_channels : 0;
}

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
        bsq_histogram_add_channels(layer->histogram, own.input, own.size,
                                   values / own.size / layer->geometry.in_channels,
                                   layer->geometry.dims == 0 ||
                                       layer->geometry.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST);
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

static struct bsq_stats_work work_of(bsq_layer_t *layer, const struct bsq_parallel *parallel)
{
    return (struct bsq_stats_work){&layer->memory, parallel, &layer->options, &layer->message};
}

/* The statistics that 'held_out' means, to be replaced by the caller. */
static struct bsq_stats_t **stats_of(bsq_layer_t *layer, int32_t held_out)
{
    return held_out ? &layer->held_out : &layer->stats;
}

static bsq_status_t check_held_out(bsq_layer_t *layer, int32_t held_out)
{
    if (held_out != 0 && held_out != 1)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "held_out is %d, not 0 or 1", (int)held_out);
    return BSQ_OK;
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

    struct bsq_stats_t **slot = stats_of(layer, own.held_out);
    struct bsq_stats_t *stats = *slot ? *slot : bsq_stats_create(&layer->geometry, &quantizer, &layer->memory);
    struct bsq_parallel parallel = bsq_parallel_of(&layer->options);
    struct bsq_stats_work work = work_of(layer, &parallel);

    if (!stats)
        return bsq_fail_memory(&layer->message);
    status = bsq_stats_add(&stats, &own, layer->bias, &work);
    if (status != BSQ_OK) {
        if (!*slot)
            bsq_stats_release(stats);
        return status;
    }
    *slot = stats;
    fix_quantizer(layer, &quantizer);
    bsq_layer_log(layer, BSQ_LOG_INFO, "calibrate: %lld samples%s, %.0f rows so far", (long long)own.size,
                  own.held_out ? " held out" : "", bsq_stats_rows(stats));
    return BSQ_OK;
}

bsq_status_t bsq_layer_calibrate(bsq_layer_t *layer, const bsq_batch_t *batch)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, calibrate(layer, batch)) : status;
}

/* ---- a host's moments ---- */

static bsq_status_t set_stats(bsq_layer_t *layer, const bsq_moments_t *moments)
{
    bsq_moments_t own;
    struct bsq_quantizer quantizer;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, moments, "moments")) != BSQ_OK ||
        (status = bsq_moments_read(&own, moments, &layer->message)) != BSQ_OK ||
        (status = bsq_layer_require(layer, own.h, "moments->h")) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &quantizer)) != BSQ_OK)
        return status;
    status = bsq_stats_set(stats_of(layer, own.held_out), &layer->geometry, &quantizer, &own, &layer->memory,
                           &layer->message);
    if (status == BSQ_OK)
        fix_quantizer(layer, &quantizer);
    return status;
}

bsq_status_t bsq_layer_set_stats(bsq_layer_t *layer, const bsq_moments_t *moments)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_stats(layer, moments)) : status;
}

/* The statistics that 'held_out' means; STATE when there are none. */
static bsq_status_t find_stats(bsq_layer_t *layer, int32_t held_out, struct bsq_stats_t **stats)
{
    bsq_status_t status = check_held_out(layer, held_out);

    if (status != BSQ_OK)
        return status;
    *stats = *stats_of(layer, held_out);
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

static bsq_status_t get_stats(bsq_layer_t *layer, bsq_moments_t *moments)
{
    bsq_moments_t own;
    struct bsq_stats_t *stats;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, moments, "moments")) != BSQ_OK ||
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

bsq_status_t bsq_layer_get_stats(bsq_layer_t *layer, bsq_moments_t *moments)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_stats(layer, moments)) : status;
}

/* ---- snapshots ---- */

/* The quantizer under which a layer can take over inputs that were quantized by 'theirs': its own, or theirs when it
 * only knows the number of bits and the kind of scale so far. */
static bsq_status_t adopt_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *theirs,
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

/* The input part of one of the source's statistics; NULL when there are none. */
static bsq_status_t share_one(bsq_layer_t *layer, const struct bsq_stats_t *from, struct bsq_stats_t **stats)
{
    *stats = NULL;
    if (bsq_stats_empty(from))
        return BSQ_OK;
    return bsq_stats_share(from, &layer->geometry, &layer->memory, stats, &layer->message);
}

static bsq_status_t share_input(bsq_layer_t *layer, bsq_layer_t *source)
{
    struct bsq_quantizer quantizer;
    struct bsq_stats_t *stats, *held_out;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, source, "source")) != BSQ_OK)
        return status;
    if (!bsq_stats_empty(layer->stats) || !bsq_stats_empty(layer->held_out))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the layer has statistics of its own already");
    if (bsq_stats_empty(source->stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "'source' has no statistics");
    if (!bsq_geometry_same_input(&layer->geometry, &source->geometry))
        return bsq_fail(&layer->message, BSQ_E_MISMATCH, "'source' gathers other rows from its input than this layer");
    if ((status = adopt_quantizer(layer, &source->quantizer, &quantizer)) != BSQ_OK)
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
    fix_quantizer(layer, &quantizer);
    return BSQ_OK;
}

bsq_status_t bsq_layer_share_input(bsq_layer_t *layer, bsq_layer_t *source)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK)
        return status;
    if (source && bsq_layer_enter(source) != BSQ_OK)
        return bsq_layer_leave(layer, bsq_fail(&layer->message, BSQ_E_STATE, "'source' is this layer, or at work"));
    status = share_input(layer, source);
    if (source)
        (void)bsq_layer_leave(source, status);
    return bsq_layer_leave(layer, status);
}

static bsq_status_t acquire_stats(bsq_layer_t *layer, int32_t held_out, bsq_stats_t **stats)
{
    struct bsq_stats_t *found;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = find_stats(layer, held_out, &found)) != BSQ_OK)
        return status;
    *stats = bsq_stats_retain(found);
    return BSQ_OK;
}

bsq_status_t bsq_layer_acquire_stats(bsq_layer_t *layer, int32_t held_out, bsq_stats_t **stats)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (stats)
        *stats = NULL;
    return status == BSQ_OK ? bsq_layer_leave(layer, acquire_stats(layer, held_out, stats)) : status;
}

static bsq_status_t merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    struct bsq_quantizer quantizer;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = check_held_out(layer, held_out)) != BSQ_OK ||
        (status = adopt_quantizer(layer, bsq_stats_quantizer(stats), &quantizer)) != BSQ_OK ||
        (status = bsq_stats_fit(stats, &layer->geometry, &quantizer, &layer->message)) != BSQ_OK)
        return status;

    struct bsq_parallel parallel = bsq_parallel_of(&layer->options);
    struct bsq_stats_work work = work_of(layer, &parallel);

    status = bsq_stats_merge(stats_of(layer, held_out), stats, &work);
    if (status == BSQ_OK)
        fix_quantizer(layer, &quantizer);
    return status;
}

bsq_status_t bsq_layer_merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, merge_stats(layer, held_out, stats)) : status;
}
