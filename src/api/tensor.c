/* Public calls on tensors of layers: read a result, put one back, judge one. */
#include "api/layer.h"

#include "base/options.h"
#include "base/tensor.h"
#include "solve/solve.h"

#include <string.h>

/* ---- out of a layer ---- */

/* Writes what the host's tensor will say, its buffers as they are. */
static void describe_result(bsq_tensor_t *tensor, const struct bsq_result *result)
{
    tensor->channels = result->channels;
    tensor->fan_in = result->fan_in;
    tensor->group_size = result->group_size;
    tensor->weight_bits = result->bits;
    tensor->weight_grid = result->grid;
    tensor->scale_kind = result->scale_kind;
    tensor->scale_format = result->scale_format;
    tensor->scale_unit = result->scale_unit;
    tensor->scale_bits = result->scale_bits;
    tensor->scale_signed = result->scale_signed;
    tensor->super_group = result->super_group;
}

/* Writes levels, which a table brings with it. */
static void write_levels(const struct bsq_result *result, int8_t *levels)
{
    struct bsq_grid grid;

    bsq_grid_describe(result->bits, result->grid, result->levels, result->level_count, &grid);
    memcpy(levels, grid.levels, (size_t)grid.level_count);
}

static bsq_status_t get_tensor(bsq_layer_t *layer, bsq_tensor_t *tensor)
{
    const struct bsq_result *result = layer->result;
    bsq_tensor_t own = {.struct_size = sizeof own}, wanted;
    struct bsq_tensor_counts counts;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, tensor, "tensor")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK ||
        (status = bsq_struct_read(&own, sizeof own, BSQ_FIRST_TENSOR, tensor, "bsq_tensor_t", &layer->message)) !=
            BSQ_OK)
        return status;
    describe_result(&own, result);
    wanted = own;
    wanted.level_count = result->level_count;
    if ((status = bsq_tensor_count(&wanted, &counts, &layer->message)) != BSQ_OK ||
        (status = bsq_tensor_check_counts(&own, &counts, &layer->message)) != BSQ_OK)
        return status;
    if (own.codes)
        bsq_result_codes(result, own.codes);
    if (own.zero_points)
        bsq_result_zero_points(result, own.zero_points);
    if (own.offsets)
        bsq_result_offsets(result, own.offsets);
    if (own.levels)
        write_levels(result, own.levels);
    for (int64_t i = 0; own.scales && i < counts.scales; i++)
        own.scales[i] = (float)result->scales[i];
    own.code_count = counts.codes;
    own.scale_count = counts.scales;
    own.zero_point_count = counts.zero_points;
    own.offset_count = counts.offsets;
    own.level_count = counts.levels;
    return bsq_struct_write(tensor, &own, sizeof own, BSQ_FIRST_TENSOR, "bsq_tensor_t", &layer->message);
}

bsq_status_t bsq_layer_get_tensor(bsq_layer_t *layer, bsq_tensor_t *tensor)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_tensor(layer, tensor)) : status;
}

/* ---- into a layer ---- */

/* Reads a host's tensor, all of it checked. */
static bsq_status_t read_tensor(bsq_layer_t *layer, bsq_tensor_t *own, const bsq_tensor_t *from)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    struct bsq_message *message = &layer->message;
    struct bsq_tensor_counts counts;
    bsq_status_t status;

    if ((status = bsq_tensor_read(own, from, message)) != BSQ_OK)
        return status;
    if (own->channels != geometry->out_channels || own->fan_in != geometry->fan_in)
        return bsq_fail(message, BSQ_E_MISMATCH, "the tensor is %lld x %lld, the layer %lld x %lld",
                        (long long)own->channels, (long long)own->fan_in, (long long)geometry->out_channels,
                        (long long)geometry->fan_in);
    if ((status = bsq_tensor_count(own, &counts, message)) != BSQ_OK ||
        (status = bsq_tensor_check_buffers(own, &counts, message)) != BSQ_OK ||
        (status = bsq_tensor_check_codes(own, counts.codes, false, "tensor", BSQ_E_RANGE, message)) != BSQ_OK)
        return status;
    return bsq_tensor_check_scales(own, &counts, message);
}

/* The options of a layer with those of a tensor in their place. */
static bsq_options_t tensor_options(const bsq_layer_t *layer, const bsq_tensor_t *tensor)
{
    bsq_options_t options = layer->options;
    bool table = tensor->weight_grid == BSQ_WEIGHT_GRID_LEVELS;

    options.weight_bits = tensor->weight_bits;
    options.weight_grid = tensor->weight_grid;
    options.scale_kind = tensor->scale_kind;
    options.scale_format = tensor->scale_format;
    options.group_size = tensor->group_size;
    options.levels = table ? tensor->levels : NULL;
    options.level_count = table ? (int32_t)tensor->level_count : 0;
    options.scale_unit = tensor->scale_unit;
    options.scale_bits = tensor->scale_bits;
    options.scale_signed = tensor->scale_signed;
    options.super_group = tensor->super_group;
    options.zero_point_least = 0;
    return options;
}

/* Judges a tensor into a new result. */
static bsq_status_t judge(bsq_layer_t *layer, const bsq_tensor_t *tensor, struct bsq_result **result)
{
    struct bsq_result *given;
    bsq_options_t options;
    bsq_tensor_t own;
    bsq_status_t status;

    if ((status = read_tensor(layer, &own, tensor)) != BSQ_OK)
        return status;
    options = tensor_options(layer, &own);
    given = bsq_result_create(&layer->geometry, &options, 0, &layer->memory);
    if (!given)
        return bsq_fail_memory(&layer->message);
    bsq_result_take(given, &own);
    status = bsq_layer_solve(layer, &options, given, result);
    bsq_result_free(given);
    return status;
}

static bsq_status_t set_tensor(bsq_layer_t *layer, const bsq_tensor_t *tensor)
{
    struct bsq_result *result;
    bsq_status_t status = judge(layer, tensor, &result);

    if (status != BSQ_OK)
        return status;
    bsq_result_free(layer->result);
    layer->result = result;
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_tensor(bsq_layer_t *layer, const bsq_tensor_t *tensor)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_tensor(layer, tensor)) : status;
}

static bsq_status_t evaluate(bsq_layer_t *layer, const bsq_tensor_t *tensor, bsq_report_t *report)
{
    struct bsq_result *result;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, report, "report")) != BSQ_OK ||
        (status = bsq_layer_check_report(layer, report)) != BSQ_OK ||
        (status = judge(layer, tensor, &result)) != BSQ_OK)
        return status;
    status = bsq_layer_write_report(layer, report, result);
    bsq_result_free(result);
    return status;
}

bsq_status_t bsq_layer_evaluate(bsq_layer_t *layer, const bsq_tensor_t *tensor, bsq_report_t *report)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, evaluate(layer, tensor, report)) : status;
}
