/* Public calls on tensors of layers: read a result, put one back, judge one. */
#include "api/layer.h"

#include "base/options.h"
#include "base/tensor.h"
#include "solve/solve.h"
#include "stages/scale.h"

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
}

static bsq_status_t get_tensor(bsq_layer_t *layer, bsq_tensor_t *tensor)
{
    const struct bsq_result *result = layer->result;
    bsq_tensor_t own = {.struct_size = sizeof own};
    struct bsq_tensor_counts counts;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, tensor, "tensor")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK ||
        (status = bsq_struct_read(&own, sizeof own, BSQ_FIRST_TENSOR, tensor, "bsq_tensor_t", &layer->message)) !=
            BSQ_OK)
        return status;
    describe_result(&own, result);
    if ((status = bsq_tensor_count(&own, &counts, &layer->message)) != BSQ_OK ||
        (status = bsq_tensor_check_counts(&own, &counts, &layer->message)) != BSQ_OK)
        return status;
    if (own.codes)
        memcpy(own.codes, result->codes, (size_t)counts.codes);
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

static bsq_status_t check_scales(const bsq_tensor_t *tensor, struct bsq_message *message)
{
    for (int64_t i = 0; i < tensor->scale_count; i++) {
        double scale = tensor->scales[i], lower, upper;

        bsq_scale_neighbours(tensor->scale_format, scale > 0.0 ? scale : 0.0, &lower, &upper);
        if (!(lower <= scale && scale <= lower) && !(upper <= scale && scale <= upper))
            return bsq_fail(message, BSQ_E_RANGE, "scales[%lld] is %.9g, not a positive value of its format",
                            (long long)i, scale);
    }
    return BSQ_OK;
}

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
    return check_scales(own, message);
}

/* Scales as results have them, one for each channel and group. */
static void spread_scales(const bsq_tensor_t *tensor, int64_t count, double *scales)
{
    for (int64_t i = 0; i < count; i++)
        scales[i] = tensor->scales[tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 0 : i];
}

/* Judges a tensor into a new result. */
static bsq_status_t judge(bsq_layer_t *layer, const bsq_tensor_t *tensor, struct bsq_result **result)
{
    bsq_options_t options = layer->options;
    struct bsq_result given;
    bsq_tensor_t own;
    bsq_status_t status;

    if ((status = read_tensor(layer, &own, tensor)) != BSQ_OK)
        return status;

    int64_t count = own.channels * ((own.fan_in - 1) / own.group_size + 1);
    double *scales = bsq_memory_get(&layer->memory, count, sizeof *scales);

    if (!scales)
        return bsq_fail_memory(&layer->message);
    spread_scales(&own, count, scales);
    given = (struct bsq_result){.codes = own.codes, .scales = scales};
    options.weight_bits = own.weight_bits;
    options.weight_grid = own.weight_grid;
    options.scale_kind = own.scale_kind;
    options.scale_format = own.scale_format;
    options.group_size = own.group_size;
    status = bsq_layer_solve(layer, &options, &given, result);
    bsq_memory_put(&layer->memory, scales);
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
