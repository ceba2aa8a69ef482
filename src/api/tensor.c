/* Public calls on tensors of layers: read a result, put one back, judge one. */
#include "api/layer.h"

#include "base/finite.h"
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

/* Reads 'count' structs of a host that lie one after the other in whatever size its version has. */
static bsq_status_t read_structs(bsq_layer_t *layer, void *own, size_t size, size_t least, const void *from,
                                 int64_t count, const char *name)
{
    const char *at = from;
    size_t stride;
    bsq_status_t status = BSQ_OK;

    if (count == 0)
        return BSQ_OK;
    memcpy(&stride, from, sizeof stride);
    for (int64_t i = 0; i < count && status == BSQ_OK; i++) {
        char *to = (char *)own + (size_t)i * size;

        memcpy(to, &size, sizeof size);
        status = bsq_struct_read(to, size, least, at + (size_t)i * stride, name, &layer->message);
        memcpy(to, &size, sizeof size);
    }
    return status;
}

/* Takes what a host says of a result into it. */
static bsq_status_t take_report(bsq_layer_t *layer, struct bsq_result *result, const float *bias,
                                const bsq_report_t *report, const bsq_stage_t *stages, const bsq_channel_t *channels)
{
    bsq_status_t status;

    for (int64_t m = 0; m < result->channels; m++)
        result->bias_change[m] = (double)bias[m] - (layer->bias ? (double)layer->bias[m] : 0.0);
    result->report = *report;
    if ((status = read_structs(layer, result->stages, sizeof *stages, BSQ_FIRST_STAGE, stages, report->stages,
                               "bsq_stage_t")) != BSQ_OK ||
        (status = read_structs(layer, result->channel, sizeof *channels, BSQ_FIRST_CHANNEL, channels, result->channels,
                               "bsq_channel_t")) != BSQ_OK)
        return status;
    result->stage_count = report->stages;
    return BSQ_OK;
}

/* Computes |w - u|^2 / |w|^2 of the weights as they were quantized: folded, where input channels have scales. */
static double weight_error(const bsq_layer_t *layer, const struct bsq_result *result)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    double apart = 0.0, square = 0.0;

    for (int64_t m = 0; m < result->channels; m++) {
        double channel_apart = 0.0, channel_square = 0.0;

        for (int64_t i = 0; i < result->fan_in; i++) {
            int64_t channel = bsq_geometry_channel(geometry, m / geometry->group_outputs, i);
            double beta = bsq_quantizer_beta(&result->inputs, channel);
            double w = (double)(float)(layer->weights[m * result->fan_in + i] * beta);
            double difference = w - bsq_result_weight(result, m, i);

            channel_apart += difference * difference;
            channel_square += w * w;
        }
        apart += channel_apart;
        square += channel_square;
    }
    return square > 0.0 ? apart / square : 0.0;
}

static bsq_status_t check_report(bsq_layer_t *layer, bsq_report_t *own, const bsq_report_t *report,
                                 const bsq_stage_t *stages)
{
    enum { MOST_STAGES = 1 << 16 };
    bsq_status_t status = read_structs(layer, own, sizeof *own, BSQ_FIRST_REPORT, report, 1, "bsq_report_t");

    if (status != BSQ_OK)
        return status;
    if (own->stages < 0 || own->stages > MOST_STAGES)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "report->stages is %d, must be 0..%d", (int)own->stages,
                        (int)MOST_STAGES);
    return own->stages ? bsq_layer_require(layer, stages, "stages") : BSQ_OK;
}

static bsq_status_t set_result(bsq_layer_t *layer, const bsq_tensor_t *tensor, const float *bias,
                               const bsq_report_t *report, const bsq_stage_t *stages, const bsq_channel_t *channels)
{
    struct bsq_quantizer quantizer = layer->quantizer;
    struct bsq_result *result;
    bsq_report_t own_report;
    bsq_options_t options;
    bsq_tensor_t own;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, bias, "bias")) != BSQ_OK ||
        (status = bsq_layer_require(layer, report, "report")) != BSQ_OK ||
        (status = bsq_layer_require(layer, channels, "channels")) != BSQ_OK ||
        (status = check_report(layer, &own_report, report, stages)) != BSQ_OK ||
        (status = read_tensor(layer, &own, tensor)) != BSQ_OK ||
        (status = bsq_check_finite("bias", bias, layer->geometry.out_channels, &layer->message)) != BSQ_OK)
        return status;
    options = tensor_options(layer, &own);
    result = bsq_result_create(&layer->geometry, &options, own_report.stages, &layer->memory);
    if (!result)
        return bsq_fail_memory(&layer->message);
    bsq_result_take(result, &own);
    result->scale_unit = own.scale_unit;
    result->inputs = bsq_quantizer_retain(&quantizer);
    if ((status = take_report(layer, result, bias, &own_report, stages, channels)) != BSQ_OK ||
        (status = bsq_layer_check_result(layer, result)) != BSQ_OK) {
        bsq_result_free(result);
        return status;
    }
    if (result->report.weight_error < 0.0)
        result->report.weight_error = weight_error(layer, result);
    bsq_result_free(layer->result);
    layer->result = result;
    return BSQ_OK;
}

bsq_status_t bsq_layer_set_result(bsq_layer_t *layer, const bsq_tensor_t *tensor, const float *bias,
                                  const bsq_report_t *report, const bsq_stage_t *stages, const bsq_channel_t *channels)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, set_result(layer, tensor, bias, report, stages, channels))
                            : status;
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
