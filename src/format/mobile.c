/* ncnn: int8 weights with a multiplier for each channel, and rows of few bits for its weight-only Gemm; TFLite: int8
 * and int4 with a scale for each channel. All of them around 0, without -2^(b-1). */
#include "format/families.h"
#include "format/rows.h"

#include <float.h>
#include <inttypes.h>

enum { WEIGHT, SCALE };

/* ---- ncnn ------------------------------------------------------------------------------------------------ */

static int64_t row_bytes(const bsq_tensor_t *tensor)
{
    return tensor->fan_in / 8 * tensor->weight_bits + (tensor->fan_in % 8 * tensor->weight_bits + 7) / 8;
}

bsq_status_t bsq_ncnn_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                               struct bsq_message *message)
{
    const int64_t bytes[] = {tensor->channels, row_bytes(tensor)};
    const int64_t groups[] = {tensor->channels, bsq_format_groups_of(tensor)};
    bool rows = format->id == BSQ_FORMAT_NCNN_GEMM;
    bsq_status_t status;

    if ((status = bsq_parts_add(parts, rows ? "qweight" : "weight",
                                rows ? BSQ_ELEMENT_TYPE_UINT8 : BSQ_ELEMENT_TYPE_INT8, 2, bytes, message)) != BSQ_OK)
        return status;
    return bsq_parts_add(parts, "scale", BSQ_ELEMENT_TYPE_FLOAT32, rows ? 2 : 1, groups, message);
}

static struct bsq_rows rows_of(const bsq_tensor_t *tensor)
{
    return bsq_rows_signed(tensor, bsq_fields_dense(row_bytes(tensor), tensor->weight_bits));
}

/* ncnn multiplies floats by what it calls a scale to get integers. */
static float multiplier_of(float scale)
{
    return 1.0f / scale;
}

static int64_t scales_of(const bsq_tensor_t *tensor)
{
    return tensor->channels * bsq_format_groups_of(tensor);
}

bsq_status_t bsq_ncnn_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    for (int64_t i = 0; i < scales_of(tensor); i++)
        if (!(multiplier_of(tensor->scales[i]) >= FLT_MIN))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: scales[%" PRId64 "] is %.9g, whose reciprocal is too small",
                            format->name, i, (double)tensor->scales[i]);
    return BSQ_OK;
}

void bsq_ncnn_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                   unsigned char *packed)
{
    struct bsq_rows rows = rows_of(tensor);

    (void)format;
    bsq_rows_pack(&rows, tensor, packed + parts->part[WEIGHT].offset);
    for (int64_t i = 0; i < scales_of(tensor); i++)
        bsq_float32_write(packed + parts->part[SCALE].offset + 4 * i, multiplier_of(tensor->scales[i]));
}

static float scale_at(const struct bsq_parts *parts, const unsigned char *packed, int64_t i)
{
    return 1.0f / bsq_float32_read(packed + parts->part[SCALE].offset + 4 * i);
}

bsq_status_t bsq_ncnn_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                             const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_rows rows = rows_of(tensor);
    const unsigned char *weight = packed + parts->part[WEIGHT].offset;
    bsq_status_t status;

    if ((status = bsq_rows_check_tails(format, &rows.fields, tensor->channels, tensor->fan_in, row_bytes(tensor),
                                       weight, message)) != BSQ_OK ||
        (status = bsq_rows_check(format, &rows, tensor, weight, message)) != BSQ_OK)
        return status;
    for (int64_t i = 0; i < scales_of(tensor); i++)
        if (!bsq_scale_is_value(tensor->scale_format, tensor->scale_unit, scale_at(parts, packed, i)))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: scale %" PRId64 " is the reciprocal of no scale of the tensor",
                            format->name, i);
    bsq_rows_unpack(&rows, tensor, weight);
    for (int64_t i = 0; i < scales_of(tensor); i++)
        tensor->scales[i] = scale_at(parts, packed, i);
    return BSQ_OK;
}

/* ---- TFLite ---------------------------------------------------------------------------------------------- */

bsq_status_t bsq_tflite_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                 struct bsq_message *message)
{
    const int64_t shape[] = {tensor->channels, tensor->fan_in};
    bsq_status_t status = bsq_parts_add(
        parts, "weight", format->width == 4 ? BSQ_ELEMENT_TYPE_INT4 : BSQ_ELEMENT_TYPE_INT8, 2, shape, message);

    return status == BSQ_OK ? bsq_parts_add(parts, "scale", BSQ_ELEMENT_TYPE_FLOAT32, 1, shape, message) : status;
}

static struct bsq_rows weight_of(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    return bsq_rows_signed(tensor, bsq_fields_dense(0, format->width));
}

static const struct bsq_numbers channel_scales = {"scales", BSQ_ELEMENT_TYPE_FLOAT32, 1, 0};

bsq_status_t bsq_tflite_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    return bsq_numbers_check(format, tensor, tensor->scales, BSQ_ELEMENT_TYPE_FLOAT32, "scales", message);
}

void bsq_tflite_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                     unsigned char *packed)
{
    bsq_tensor_t flat = bsq_rows_flattened(tensor);
    struct bsq_rows weight = weight_of(format, tensor);

    bsq_rows_pack(&weight, &flat, packed + parts->part[WEIGHT].offset);
    bsq_numbers_pack(&channel_scales, tensor, tensor->scales, packed + parts->part[SCALE].offset);
}

bsq_status_t bsq_tflite_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                               const unsigned char *packed, struct bsq_message *message)
{
    const unsigned char *codes = packed + parts->part[WEIGHT].offset, *scales = packed + parts->part[SCALE].offset;
    bsq_tensor_t flat = bsq_rows_flattened(tensor);
    struct bsq_rows weight = weight_of(format, tensor);
    bsq_status_t status;

    if ((status = bsq_rows_check_tails(format, &weight.fields, 1, flat.fan_in, parts->part[WEIGHT].size, codes,
                                       message)) != BSQ_OK ||
        (status = bsq_rows_check(format, &weight, &flat, codes, message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &channel_scales, tensor, scales, false, message)) != BSQ_OK)
        return status;
    bsq_rows_unpack(&weight, &flat, codes);
    bsq_numbers_unpack(&channel_scales, tensor, scales, tensor->scales);
    return BSQ_OK;
}
