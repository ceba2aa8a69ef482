/* Public calls that read one part of a result: codes, scales, bias, planes, dequantized weights. */
#include "api/layer.h"

#include "stages/bitsplit.h"

#include <math.h>
#include <string.h>

static int64_t code_count(const struct bsq_result *result)
{
    return result->channels * result->fan_in;
}

/* Counts the scales that the host sees: one when all channels share it. */
static int64_t scale_count(const struct bsq_result *result)
{
    return result->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : result->channels * result->scales_per_channel;
}

/* Counts the elements of result 'kind'; -1 when there is no such result. */
static int64_t count_of(const struct bsq_result *result, int32_t kind)
{
    switch (kind) {
    case BSQ_RESULT_CODES: return code_count(result);
    case BSQ_RESULT_SCALES: return scale_count(result);
    case BSQ_RESULT_BIAS: return result->channels;
    case BSQ_RESULT_DEQUANTIZED: return code_count(result);
    case BSQ_RESULT_PLANES: return (result->bits - 1) * code_count(result);
    case BSQ_RESULT_CODE_BIAS: return result->channels;
    default: return -1;
    }
}

static bsq_status_t result_count(bsq_layer_t *layer, int32_t result, size_t *count)
{
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, count, "count")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK)
        return status;

    int64_t elements = count_of(layer->result, result);

    if (elements < 0)
        return bsq_fail(&layer->message, BSQ_E_ARGUMENT, "result is %d, not a BSQ_RESULT_... value", (int)result);
    *count = (size_t)elements;
    return BSQ_OK;
}

bsq_status_t bsq_layer_result_count(bsq_layer_t *layer, int32_t result, size_t *count)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (count)
        *count = 0;
    return status == BSQ_OK ? bsq_layer_leave(layer, result_count(layer, result, count)) : status;
}

/* Checks that there is a result, and that the buffer has the size of 'kind'. */
static bsq_status_t check_buffer(bsq_layer_t *layer, int32_t kind, const void *buffer, const char *name, size_t count)
{
    bsq_status_t status;

    if ((status = bsq_layer_require_result(layer)) != BSQ_OK ||
        (status = bsq_layer_require(layer, buffer, name)) != BSQ_OK)
        return status;

    size_t expected = (size_t)count_of(layer->result, kind);

    if (count != expected)
        return bsq_fail(&layer->message, BSQ_E_SIZE, "'%s' has room for %llu elements, %llu are needed", name,
                        (unsigned long long)count, (unsigned long long)expected);
    return BSQ_OK;
}

/* How every getter starts: the layer is its own, its result is there and 'count' is right; else it is left already. */
static bsq_status_t enter_get(bsq_layer_t *layer, int32_t kind, const void *buffer, const char *name, size_t count,
                              const struct bsq_result **result)
{
    bsq_status_t status = bsq_layer_enter(layer);

    if (status != BSQ_OK)
        return status;
    if ((status = check_buffer(layer, kind, buffer, name, count)) != BSQ_OK)
        return bsq_layer_leave(layer, status);
    *result = layer->result;
    return BSQ_OK;
}

bsq_status_t bsq_layer_get_codes(bsq_layer_t *layer, int8_t *codes, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_CODES, codes, "codes", count, &result);

    if (status != BSQ_OK)
        return status;
    bsq_result_codes(result, codes);
    return bsq_layer_leave(layer, BSQ_OK);
}

bsq_status_t bsq_layer_get_scales(bsq_layer_t *layer, float *scales, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_SCALES, scales, "scales", count, &result);

    if (status != BSQ_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        scales[i] = (float)result->scales[i];
    return bsq_layer_leave(layer, BSQ_OK);
}

static float bias_of(const bsq_layer_t *layer, const struct bsq_result *result, int64_t m)
{
    return (float)((layer->bias ? layer->bias[m] : 0.0) + result->bias_change[m]);
}

bsq_status_t bsq_layer_get_bias(bsq_layer_t *layer, float *bias, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_BIAS, bias, "bias", count, &result);

    if (status != BSQ_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        bias[i] = bias_of(layer, result, (int64_t)i);
    return bsq_layer_leave(layer, BSQ_OK);
}

/* Gives the input channel of input 'i' of output channel 'm'. */
static int64_t input_channel(const bsq_layer_t *layer, int64_t m, int64_t i)
{
    return bsq_geometry_channel(&layer->geometry, m / layer->geometry.group_outputs, i);
}

/* Gives what multiplies real inputs. */
static float weight_of(const bsq_layer_t *layer, const struct bsq_result *result, int64_t m, int64_t i)
{
    return (float)(bsq_result_weight(result, m, i) / bsq_quantizer_beta(&result->inputs, input_channel(layer, m, i)));
}

/* Gives the bias for engines that do not take zero points off. */
static float code_bias_of(const bsq_layer_t *layer, const struct bsq_result *result, int64_t m)
{
    double sum = 0.0;

    for (int64_t i = 0; i < result->fan_in; i++)
        sum += bsq_result_weight(result, m, i) * bsq_quantizer_zero_point(&result->inputs, input_channel(layer, m, i));
    return (float)((layer->bias ? layer->bias[m] : 0.0) + result->bias_change[m] - result->inputs.scale * sum);
}

bsq_status_t bsq_layer_check_result(bsq_layer_t *layer, const struct bsq_result *result)
{
    for (int64_t m = 0; m < result->channels; m++) {
        bool finite = isfinite(bias_of(layer, result, m)) && isfinite(code_bias_of(layer, result, m));

        for (int64_t i = 0; finite && i < result->fan_in; i++)
            finite = isfinite(weight_of(layer, result, m, i));
        if (!finite)
            return bsq_fail(&layer->message, BSQ_E_NUMERIC,
                            "output channel %lld: its weights or its bias are beyond float32 once they are quantized",
                            (long long)m);
    }
    return BSQ_OK;
}

bsq_status_t bsq_layer_get_dequantized(bsq_layer_t *layer, float *weights, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_DEQUANTIZED, weights, "weights", count, &result);

    if (status != BSQ_OK)
        return status;
    for (int64_t m = 0; m < result->channels; m++)
        for (int64_t i = 0; i < result->fan_in; i++)
            *weights++ = weight_of(layer, result, m, i);
    return bsq_layer_leave(layer, BSQ_OK);
}

bsq_status_t bsq_layer_get_planes(bsq_layer_t *layer, int8_t *planes, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_PLANES, planes, "planes", count, &result);

    if (status != BSQ_OK)
        return status;
    if (result->grid != BSQ_WEIGHT_GRID_SYMMETRIC && result->grid != BSQ_WEIGHT_GRID_FULL)
        status = bsq_fail(&layer->message, BSQ_E_FORMAT, "codes of this grid are not sums of ternary planes");
    else if (!bsq_split(result->bits, code_count(result), result->codes, planes))
        status = bsq_fail(&layer->message, BSQ_E_FORMAT, "a code is %d, which ternary planes cannot express",
                          -(1 << (result->bits - 1)));
    return bsq_layer_leave(layer, status);
}

bsq_status_t bsq_layer_get_code_bias(bsq_layer_t *layer, float *bias, size_t count)
{
    const struct bsq_result *result;
    bsq_status_t status = enter_get(layer, BSQ_RESULT_CODE_BIAS, bias, "bias", count, &result);

    if (status != BSQ_OK)
        return status;
    for (int64_t m = 0; m < result->channels; m++)
        bias[m] = code_bias_of(layer, result, m);
    return bsq_layer_leave(layer, BSQ_OK);
}
