/* Public calls of statistics: a host's moments, snapshots, sharing, merging, bytes. */
#include "api/layer.h"

#include "base/options.h"

#include <string.h>

static bsq_status_t check_held_out(bsq_layer_t *layer, int32_t held_out)
{
    if (held_out != 0 && held_out != 1)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "held_out is %d, not 0 or 1", (int)held_out);
    return BSQ_OK;
}

/* Finds the statistics that 'held_out' means; STATE when there are none. */
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

/* ---- a host's moments ---- */

static bsq_status_t set_moments(bsq_layer_t *layer, const bsq_moments_t *moments)
{
    bsq_moments_t own;
    struct bsq_quantizer quantizer;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, moments, "moments")) != BSQ_OK ||
        (status = bsq_moments_read(&own, moments, &layer->message)) != BSQ_OK ||
        (status = bsq_layer_require(layer, own.h, "moments->h")) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &quantizer)) != BSQ_OK)
        return status;
    status = bsq_stats_set(bsq_layer_stats_slot(layer, own.held_out), &layer->geometry, &quantizer, &own,
                           &layer->memory, &layer->message);
    if (status == BSQ_OK)
        bsq_layer_fix_quantizer(layer, &quantizer);
    return status;
}

bsq_status_t bsq_layer_set_moments(bsq_layer_t *layer, const bsq_moments_t *moments)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_moments(layer, moments)) : status;
}

/* Checks that nothing is asked for that the statistics do not hold. */
static bsq_status_t check_wanted(bsq_layer_t *layer, const struct bsq_stats_t *stats,
                                 const bsq_moments_buffers_t *wanted)
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

static bsq_status_t read_moments(bsq_layer_t *layer, const struct bsq_stats_t *stats,
                                 const bsq_moments_buffers_t *buffers)
{
    int64_t n = layer->geometry.fan_in, outputs = layer->geometry.group_outputs;
    void *scratch = bsq_memory_get(&layer->memory, 1, bsq_stats_scratch(&layer->geometry));

    if (!scratch)
        return bsq_fail_memory(&layer->message);
    for (int64_t g = 0; g < layer->geometry.groups; g++) {
        struct bsq_group_moments group = {
            offset_of(buffers->h, g * n * n),
            offset_of(buffers->input_mean, g * n),
            offset_of(buffers->p, g * outputs * n),
            offset_of(buffers->target_mean, g * outputs),
            offset_of(buffers->target_square, g * outputs),
        };

        bsq_stats_read(stats, g, &group, scratch);
    }
    bsq_memory_put(&layer->memory, scratch);
    return BSQ_OK;
}

static bsq_status_t get_moments(bsq_layer_t *layer, bsq_moments_buffers_t *buffers)
{
    bsq_moments_buffers_t own;
    struct bsq_stats_t *stats;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, buffers, "buffers")) != BSQ_OK ||
        (status = bsq_moments_buffers_read(&own, buffers, &layer->message)) != BSQ_OK ||
        (status = find_stats(layer, own.held_out, &stats)) != BSQ_OK ||
        (status = check_wanted(layer, stats, &own)) != BSQ_OK || (status = read_moments(layer, stats, &own)) != BSQ_OK)
        return status;
    own.rows = bsq_stats_rows(stats);
    return bsq_struct_write(buffers, &own, sizeof own, BSQ_FIRST_MOMENTS_BUFFERS, "bsq_moments_buffers_t",
                            &layer->message);
}

bsq_status_t bsq_layer_get_moments(bsq_layer_t *layer, bsq_moments_buffers_t *buffers)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_moments(layer, buffers)) : status;
}

/* ---- snapshots of a layer ---- */

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

/* Makes the inputs of a snapshot (NULL or empty: none) those of a layer, under its own outputs; the quantizer is still
 * to be fixed. */
static bsq_status_t share(bsq_layer_t *layer, const struct bsq_stats_t *from, struct bsq_quantizer *quantizer,
                          struct bsq_stats_t **stats)
{
    bsq_status_t status;

    *stats = NULL;
    if (bsq_stats_empty(from))
        return BSQ_OK;
    if ((status = bsq_layer_adopt_quantizer(layer, bsq_stats_quantizer(from), quantizer)) != BSQ_OK ||
        (status = bsq_stats_share(from, &layer->geometry, &layer->memory, stats, &layer->message)) != BSQ_OK)
        return status;
    if (bsq_quantizer_same(quantizer, bsq_stats_quantizer(from)))
        return BSQ_OK;
    bsq_stats_release(*stats);
    *stats = NULL;
    return bsq_fail(&layer->message, BSQ_E_MISMATCH, "the statistics are those of another input quantizer");
}

/* Puts statistics into an empty slot. */
static void put_stats(bsq_layer_t *layer, int32_t held_out, struct bsq_stats_t *stats)
{
    struct bsq_stats_t **slot = bsq_layer_stats_slot(layer, held_out);

    bsq_stats_release(*slot);
    *slot = stats;
}

static bsq_status_t share_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    struct bsq_quantizer quantizer;
    struct bsq_stats_t *shared;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = check_held_out(layer, held_out)) != BSQ_OK)
        return status;
    if (!bsq_stats_empty(*bsq_layer_stats_slot(layer, held_out)))
        return bsq_fail(&layer->message, BSQ_E_STATE, "the layer has %sstatistics of its own already",
                        held_out ? "held-out " : "");
    if (bsq_stats_empty(stats))
        return bsq_fail(&layer->message, BSQ_E_STATE, "'stats' have no rows");
    if ((status = share(layer, stats, &quantizer, &shared)) != BSQ_OK)
        return status;
    put_stats(layer, held_out, shared);
    bsq_layer_fix_quantizer(layer, &quantizer);
    return BSQ_OK;
}

bsq_status_t bsq_layer_share_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, share_stats(layer, held_out, stats)) : status;
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
    if ((status = share(layer, source->stats, &quantizer, &stats)) != BSQ_OK)
        return status;
    if ((status = share(layer, source->held_out, &quantizer, &held_out)) != BSQ_OK) {
        bsq_stats_release(stats);
        return status;
    }
    put_stats(layer, 0, stats);
    put_stats(layer, 1, held_out);
    bsq_layer_fix_quantizer(layer, &quantizer);
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

/* Adds statistics under the layer's own description to those that it has. */
static bsq_status_t add_stats(bsq_layer_t *layer, int32_t held_out, const struct bsq_stats_t *stats)
{
    struct bsq_stats_t **slot = bsq_layer_stats_slot(layer, held_out), *sum;
    const struct bsq_stats_t *list[2] = {*slot ? *slot : stats, stats};
    struct bsq_parallel parallel = bsq_parallel_of(&layer->options);
    struct bsq_stats_work work = bsq_layer_stats_work(layer, &parallel);
    bsq_status_t status = bsq_stats_sum(*slot ? list : list + 1, *slot ? 2 : 1, &work, &sum);

    if (status == BSQ_OK)
        put_stats(layer, held_out, sum);
    return status;
}

static bsq_status_t merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    struct bsq_quantizer quantizer;
    struct bsq_stats_t *own;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, stats, "stats")) != BSQ_OK ||
        (status = check_held_out(layer, held_out)) != BSQ_OK ||
        (status = bsq_layer_adopt_quantizer(layer, bsq_stats_quantizer(stats), &quantizer)) != BSQ_OK ||
        (status = bsq_stats_fit(stats, &layer->geometry, &quantizer, &layer->message)) != BSQ_OK ||
        bsq_stats_empty(stats))
        return status;
    if (!(own = bsq_stats_adopt(stats, &layer->geometry, &layer->memory)))
        return bsq_fail_memory(&layer->message);
    status = add_stats(layer, held_out, own);
    bsq_stats_release(own);
    if (status == BSQ_OK)
        bsq_layer_fix_quantizer(layer, &quantizer);
    return status;
}

bsq_status_t bsq_layer_merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, merge_stats(layer, held_out, stats)) : status;
}

static bsq_status_t add_sums(bsq_layer_t *layer, int32_t held_out, const double *sums, size_t count)
{
    struct bsq_quantizer quantizer;
    struct bsq_stats_t *own;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, sums, "sums")) != BSQ_OK ||
        (status = check_held_out(layer, held_out)) != BSQ_OK ||
        (status = bsq_layer_resolve_quantizer(layer, &quantizer)) != BSQ_OK ||
        (status = bsq_stats_from_sums(&layer->geometry, &quantizer, sums, count, &layer->memory, &own,
                                      &layer->message)) != BSQ_OK)
        return status;
    status = add_stats(layer, held_out, own);
    bsq_stats_release(own);
    if (status == BSQ_OK)
        bsq_layer_fix_quantizer(layer, &quantizer);
    return status;
}

bsq_status_t bsq_layer_add_sums(bsq_layer_t *layer, int32_t held_out, const double *sums, size_t count)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, add_sums(layer, held_out, sums, count)) : status;
}

/* ---- snapshots without a layer ---- */

static bsq_status_t require(const void *pointer, const char *name, struct bsq_message *message)
{
    return pointer ? BSQ_OK : bsq_fail(message, BSQ_E_ARGUMENT, "'%s' is NULL", name);
}

static bsq_status_t check_list(const bsq_stats_t *const *stats, size_t count, struct bsq_message *message)
{
    bsq_status_t status = require(stats, "stats", message);

    if (status != BSQ_OK)
        return status;
    if (count == 0)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'count' is 0");
    for (size_t i = 0; i < count; i++)
        if (!stats[i])
            return bsq_fail(message, BSQ_E_ARGUMENT, "stats[%llu] is NULL", (unsigned long long)i);
    return BSQ_OK;
}

bsq_status_t bsq_stats_merge(const bsq_stats_t *const *stats, size_t count, const bsq_options_t *options,
                             bsq_stats_t **merged, bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    bsq_options_t own;
    bsq_status_t status;

    if (merged)
        *merged = NULL;
    if ((status = require(merged, "merged", &message)) == BSQ_OK &&
        (status = check_list(stats, count, &message)) == BSQ_OK &&
        (status = bsq_options_read(&own, options, &message)) == BSQ_OK) {
        struct bsq_memory memory = bsq_memory_hooks(&own);
        struct bsq_parallel parallel = bsq_parallel_of(&own);
        struct bsq_stats_work work = {&memory, &parallel, &own, &message};

        status = bsq_stats_sum(stats, count, &work, merged);
    }
    return bsq_error_store(error, status, &message);
}

/* Describes statistics; struct_size is left to the caller. */
static bsq_stats_info_t info_of(const struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = bsq_stats_geometry(stats);
    const struct bsq_quantizer *quantizer = bsq_stats_quantizer(stats);
    bsq_stats_info_t info;

    bsq_stats_info_init(&info, sizeof info);
    info.in_channels = geometry->in_channels;
    info.out_channels = geometry->out_channels;
    info.groups = geometry->groups;
    info.fan_in = geometry->fan_in;
    memcpy(info.kernel, geometry->kernel, sizeof info.kernel);
    memcpy(info.stride, geometry->stride, sizeof info.stride);
    memcpy(info.dilation, geometry->dilation, sizeof info.dilation);
    memcpy(info.pad_begin, geometry->pad_begin, sizeof info.pad_begin);
    memcpy(info.pad_end, geometry->pad_end, sizeof info.pad_end);
    info.rows = bsq_stats_counted_rows(stats);
    info.effective_rows = bsq_stats_rows(stats);
    info.target_rows = bsq_stats_target_rows(stats);
    info.kind = geometry->dims ? BSQ_KIND_CONV : BSQ_KIND_LINEAR;
    info.spatial_dims = geometry->dims;
    info.weight_layout = geometry->weight_layout;
    info.activation_layout = geometry->activation_layout;
    info.has_target = bsq_stats_has_target(stats);
    info.has_means = bsq_stats_has_means(stats);
    info.shares_inputs = bsq_stats_shares_inputs(stats);
    info.input_bits = quantizer->bits;
    if (!quantizer->bits)
        return info;
    info.input_scale = quantizer->scale;
    info.input_zero_point = quantizer->zero_point;
    info.input_type = quantizer->type;
    info.input_scale_kind = quantizer->channels ? BSQ_INPUT_SCALE_KIND_PER_CHANNEL : BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    return info;
}

bsq_status_t bsq_stats_info(const bsq_stats_t *stats, bsq_stats_info_t *info, bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    bsq_status_t status;

    if ((status = require(stats, "stats", &message)) == BSQ_OK &&
        (status = require(info, "info", &message)) == BSQ_OK) {
        bsq_stats_info_t own = info_of(stats);

        status = bsq_struct_write(info, &own, sizeof own, BSQ_FIRST_STATS_INFO, "bsq_stats_info_t", &message);
    }
    return bsq_error_store(error, status, &message);
}

/* ---- bytes ---- */

static bsq_status_t export_size(const bsq_stats_t *stats, size_t *size, struct bsq_message *message)
{
    bsq_status_t status = require(stats, "stats", message);

    if (status != BSQ_OK || (status = require(size, "size", message)) != BSQ_OK)
        return status;
    return bsq_stats_encoded_size(stats, size, message);
}

bsq_status_t bsq_stats_export_size(const bsq_stats_t *stats, size_t *size, bsq_error_t *error)
{
    struct bsq_message message = {{0}};

    return bsq_error_store(error, export_size(stats, size, &message), &message);
}

bsq_status_t bsq_stats_export(const bsq_stats_t *stats, void *buffer, size_t size, bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    size_t needed;
    bsq_status_t status = export_size(stats, &needed, &message);

    if (status == BSQ_OK && (status = require(buffer, "buffer", &message)) == BSQ_OK && size != needed)
        status = bsq_fail(&message, BSQ_E_SIZE, "the buffer has %llu bytes, exported statistics have %llu",
                          (unsigned long long)size, (unsigned long long)needed);
    if (status == BSQ_OK)
        bsq_stats_encode(stats, size, buffer);
    return bsq_error_store(error, status, &message);
}

bsq_status_t bsq_stats_import(const void *data, size_t size, const bsq_options_t *options, bsq_stats_t **stats,
                              bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    bsq_options_t own;
    bsq_status_t status;

    if (stats)
        *stats = NULL;
    if ((status = require(data, "data", &message)) == BSQ_OK &&
        (status = require(stats, "stats", &message)) == BSQ_OK &&
        (status = bsq_options_read(&own, options, &message)) == BSQ_OK) {
        struct bsq_memory memory = bsq_memory_hooks(&own);

        status = bsq_stats_decode(data, size, &memory, stats, &message);
    }
    return bsq_error_store(error, status, &message);
}

/* ---- sums ---- */

bsq_status_t bsq_stats_sum_count(const bsq_stats_t *stats, size_t *count, bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    bsq_status_t status;

    if ((status = require(stats, "stats", &message)) == BSQ_OK &&
        (status = require(count, "count", &message)) == BSQ_OK)
        *count = bsq_stats_numbers(bsq_stats_geometry(stats), bsq_stats_has_target(stats));
    return bsq_error_store(error, status, &message);
}

bsq_status_t bsq_stats_get_sums(const bsq_stats_t *stats, const bsq_options_t *options, double *sums, size_t count,
                                bsq_error_t *error)
{
    struct bsq_message message = {{0}};
    bsq_options_t own;
    bsq_status_t status;

    if ((status = require(stats, "stats", &message)) == BSQ_OK &&
        (status = require(sums, "sums", &message)) == BSQ_OK &&
        (status = bsq_options_read(&own, options, &message)) == BSQ_OK) {
        struct bsq_memory memory = bsq_memory_hooks(&own);
        struct bsq_parallel parallel = bsq_parallel_of(&own);
        struct bsq_stats_work work = {&memory, &parallel, &own, &message};

        status = bsq_stats_to_sums(stats, &work, sums, count);
    }
    return bsq_error_store(error, status, &message);
}
