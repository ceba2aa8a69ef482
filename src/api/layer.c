/* Public life cycle of a layer: create, clone, describe, predict memory, free. */
#include "api/layer.h"

#include "base/finite.h"
#include "base/options.h"
#include "solve/solve.h"

#include <string.h>

void bsq_layer_free(bsq_layer_t *layer)
{
    if (!layer || atomic_load(&layer->busy))
        return;

    struct bsq_memory memory = layer->memory;

    bsq_result_free(layer->result);
    bsq_stats_release(layer->held_out);
    bsq_stats_release(layer->stats);
    bsq_histogram_free(layer->histogram);
    bsq_quantizer_release(&layer->quantizer);
    bsq_memory_put(&memory, layer->bias);
    bsq_memory_put(&memory, layer->weights);
    bsq_memory_put(&memory, layer);
}

/* ---- create ---- */

/* Everything that is known of a layer before it holds memory. */
struct plan {
    struct bsq_geometry geometry;
    bsq_options_t options;
    struct bsq_memory memory;
    int64_t weight_count;
};

static bsq_status_t plan_init(struct plan *plan, const bsq_layer_desc_t *desc, const bsq_options_t *options,
                              struct bsq_message *message)
{
    bsq_status_t status;

    if (!desc)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'desc' is NULL");
    if ((status = bsq_options_read(&plan->options, options, message)) != BSQ_OK ||
        (status = bsq_geometry_init(&plan->geometry, desc, message)) != BSQ_OK ||
        (status = bsq_options_check_layer(&plan->options, &plan->geometry, message)) != BSQ_OK)
        return status;
    if (!bsq_extent_mul(plan->geometry.out_channels, plan->geometry.fan_in, &plan->weight_count) ||
        (uint64_t)plan->weight_count > SIZE_MAX / sizeof(double))
        return bsq_fail(message, BSQ_E_SHAPE, "%lld x %lld weights are too many for this machine",
                        (long long)plan->geometry.out_channels, (long long)plan->geometry.fan_in);
    plan->memory = bsq_memory_hooks(&plan->options);
    return BSQ_OK;
}

/* Copies 'count' values; NULL when out of memory. */
static float *copy_values(const struct bsq_memory *memory, const float *values, int64_t count)
{
    float *copy = bsq_memory_get(memory, count, sizeof *copy);

    if (copy)
        memcpy(copy, values, (size_t)count * sizeof *copy);
    return copy;
}

bsq_layer_t *bsq_layer_new(const struct bsq_geometry *geometry, const bsq_options_t *options,
                           const struct bsq_memory *memory, const float *weights, const float *bias)
{
    bsq_layer_t *layer = bsq_memory_get_zeroed(memory, 1, sizeof *layer);

    if (!layer)
        return NULL;
    atomic_init(&layer->busy, 0);
    layer->geometry = *geometry;
    bsq_layer_keep_options(layer, options);
    layer->memory = *memory;
    layer->weights = copy_values(memory, weights, geometry->out_channels * geometry->fan_in);
    if (bias)
        layer->bias = copy_values(memory, bias, geometry->out_channels);
    if (!layer->weights || (bias && !layer->bias)) {
        bsq_layer_free(layer);
        return NULL;
    }
    return layer;
}

static bsq_status_t create(const bsq_layer_desc_t *desc, const bsq_options_t *options, const float *weights,
                           const float *bias, bsq_layer_t **layer, struct bsq_message *message)
{
    struct plan plan;
    bsq_status_t status;

    if (!layer)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'layer' is NULL");
    if (!weights)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'weights' is NULL");
    if ((status = plan_init(&plan, desc, options, message)) != BSQ_OK ||
        (status = bsq_check_finite("weights", weights, plan.weight_count, message)) != BSQ_OK)
        return status;
    if (bias && (status = bsq_check_finite("bias", bias, plan.geometry.out_channels, message)) != BSQ_OK)
        return status;
    *layer = bsq_layer_new(&plan.geometry, &plan.options, &plan.memory, weights, bias);
    return *layer ? BSQ_OK : bsq_fail_memory(message);
}

bsq_status_t bsq_layer_create(const bsq_layer_desc_t *desc, const bsq_options_t *options, const float *weights,
                              const float *bias, bsq_layer_t **layer, bsq_error_t *error)
{
    struct bsq_message message = {""};
    bsq_status_t status = bsq_error_check(error, &message);

    if (layer)
        *layer = NULL;
    if (status == BSQ_OK)
        status = create(desc, options, weights, bias, layer, &message);
    return bsq_error_store(error, status, &message);
}

static bsq_status_t clone_layer(bsq_layer_t *layer, bsq_layer_t **clone)
{
    bsq_status_t status = bsq_layer_require(layer, clone, "clone");

    if (status != BSQ_OK)
        return status;

    bsq_layer_t *copy = bsq_layer_new(&layer->geometry, &layer->options, &layer->memory, layer->weights, layer->bias);

    if (!copy)
        return bsq_fail_memory(&layer->message);
    if (layer->histogram && !(copy->histogram = bsq_histogram_clone(layer->histogram))) {
        bsq_layer_free(copy);
        return bsq_fail_memory(&layer->message);
    }
    copy->quantizer = bsq_quantizer_retain(&layer->quantizer);
    copy->quantizer_state = layer->quantizer_state;
    copy->quantizer_chosen = layer->quantizer_chosen;
    copy->stats = layer->stats ? bsq_stats_retain(layer->stats) : NULL;
    copy->held_out = layer->held_out ? bsq_stats_retain(layer->held_out) : NULL;
    *clone = copy;
    return BSQ_OK;
}

bsq_status_t bsq_layer_clone(bsq_layer_t *layer, bsq_layer_t **clone)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (clone)
        *clone = NULL;
    return status == BSQ_OK ? bsq_layer_leave(layer, clone_layer(layer, clone)) : status;
}

/* ---- what the layer is ---- */

static int32_t state_of(const bsq_layer_t *layer)
{
    const struct bsq_stats_t *stats = bsq_layer_known(layer->stats);
    int32_t state = 0;

    if (stats)
        state |= BSQ_STATE_STATISTICS;
    if (stats && bsq_stats_has_target(stats))
        state |= BSQ_STATE_TARGETS;
    if (stats && bsq_stats_has_means(stats))
        state |= BSQ_STATE_MEANS;
    if (bsq_layer_known(layer->held_out))
        state |= BSQ_STATE_HELD_OUT;
    if (layer->histogram && bsq_histogram_count(layer->histogram) > 0)
        state |= BSQ_STATE_OBSERVED;
    if (layer->quantizer_state == BSQ_QUANTIZER_FIXED)
        state |= BSQ_STATE_QUANTIZER_FIXED;
    if (layer->result)
        state |= BSQ_STATE_RESULT;
    return state;
}

static bsq_status_t get_info(bsq_layer_t *layer, bsq_layer_info_t *info)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    bsq_layer_info_t own = {
        .in_channels = geometry->in_channels,
        .out_channels = geometry->out_channels,
        .groups = geometry->groups,
        .fan_in = geometry->fan_in,
        .state = state_of(layer),
    };
    bsq_status_t status = bsq_layer_require(layer, info, "info");

    return status == BSQ_OK
               ? bsq_struct_write(info, &own, sizeof own, BSQ_FIRST_INFO, "bsq_layer_info_t", &layer->message)
               : status;
}

bsq_status_t bsq_layer_info(bsq_layer_t *layer, bsq_layer_info_t *info)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_info(layer, info)) : status;
}

/* ---- memory ---- */

static bool add_bytes(size_t *sum, size_t bytes)
{
    if (bytes > SIZE_MAX - *sum)
        return false;
    *sum += bytes;
    return true;
}

/* Adds the cost of a block of count x size bytes. */
static bool add_block(size_t *sum, int64_t count, size_t size)
{
    if ((uint64_t)count > (SIZE_MAX / 2) / size)
        return false;
    return add_bytes(sum, bsq_memory_cost((size_t)count * size));
}

/* Histograms, and with scales of channels: these, of the layer and as they are chosen, and the folded weights. */
static bool add_input_bytes(const struct plan *plan, size_t *bytes)
{
    int64_t channels = plan->geometry.in_channels;

    if (!plan->options.input_bits)
        return true;
    if (plan->options.input_scale_kind == BSQ_INPUT_SCALE_KIND_PER_TENSOR)
        return add_block(bytes, 1, bsq_histogram_bytes(0));
    return add_block(bytes, 1, bsq_histogram_bytes(channels)) &&
           add_block(bytes, 1, bsq_input_channels_bytes(channels)) &&
           add_block(bytes, plan->weight_count, sizeof(float));
}

/* The handle with its weights and histograms. */
static bool own_bytes(const struct plan *plan, size_t *bytes)
{
    *bytes = 0;
    return add_block(bytes, 1, sizeof(bsq_layer_t)) && add_block(bytes, plan->weight_count, sizeof(float)) &&
           add_block(bytes, plan->geometry.out_channels, sizeof(float)) && add_input_bytes(plan, bytes);
}

/* The last result stays until the next one is complete. */
static bool life_bytes(const struct plan *plan, size_t *bytes)
{
    size_t held, adding, solving, result;

    bsq_stats_bytes(&plan->geometry, plan->options.threads, plan->options.progress || plan->options.parallel_for, &held,
                    &adding);
    if (!own_bytes(plan, bytes) || !bsq_solve_bytes(&plan->geometry, &plan->options, &solving, &result))
        return false;
    return add_bytes(bytes, held) && add_bytes(bytes, result) && add_bytes(bytes, adding > solving ? adding : solving);
}

static bsq_status_t predict(const bsq_layer_desc_t *desc, const bsq_options_t *options, size_t *bytes,
                            struct bsq_message *message)
{
    struct plan plan;
    bsq_status_t status;

    if (!bytes)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'bytes' is NULL");
    if ((status = plan_init(&plan, desc, options, message)) == BSQ_OK && !life_bytes(&plan, bytes))
        status = bsq_fail(message, BSQ_E_SHAPE, "this layer needs more memory than this machine can address");
    if (status != BSQ_OK)
        *bytes = 0;
    return status;
}

bsq_status_t bsq_layer_memory(const bsq_layer_desc_t *desc, const bsq_options_t *options, size_t *bytes,
                              bsq_error_t *error)
{
    struct bsq_message message = {""};
    bsq_status_t status = bsq_error_check(error, &message);

    if (bytes)
        *bytes = 0;
    if (status == BSQ_OK)
        status = predict(desc, options, bytes, &message);
    return bsq_error_store(error, status, &message);
}
