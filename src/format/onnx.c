/* ONNX: the inputs of DequantizeLinear (opset 21 on, blocks along the inputs), and of ONNX Runtime's MatMulNBits. */
#include "format/families.h"
#include "format/rows.h"

/* ---- DequantizeLinear: x, x_scale, x_zero_point ---------------------------------------------------------- */

enum { X, X_SCALE, X_ZERO_POINT };

static bool is_signed(const struct bsq_format *format)
{
    return format->id == BSQ_FORMAT_ONNX_INT4_BLOCKS || format->id == BSQ_FORMAT_ONNX_INT2_BLOCKS ||
           format->id == BSQ_FORMAT_ONNX_INT8_BLOCKS;
}

/* Signed integers around 0 need no zero points. */
static bool has_zeros(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    return !is_signed(format) || tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT;
}

static int32_t integer_type(const struct bsq_format *format)
{
    switch (format->id) {
    case BSQ_FORMAT_ONNX_INT2_BLOCKS: return BSQ_ELEMENT_TYPE_INT2;
    case BSQ_FORMAT_ONNX_UINT2_BLOCKS: return BSQ_ELEMENT_TYPE_UINT2;
    case BSQ_FORMAT_ONNX_INT4_BLOCKS: return BSQ_ELEMENT_TYPE_INT4;
    case BSQ_FORMAT_ONNX_UINT4_BLOCKS: return BSQ_ELEMENT_TYPE_UINT4;
    case BSQ_FORMAT_ONNX_INT8_BLOCKS: return BSQ_ELEMENT_TYPE_INT8;
    default: return BSQ_ELEMENT_TYPE_UINT8;
    }
}

bsq_status_t bsq_onnx_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                               struct bsq_message *message)
{
    const int64_t codes[] = {tensor->channels, tensor->fan_in};
    const int64_t scales[] = {tensor->channels, bsq_format_groups_of(tensor)};
    int32_t rank = tensor->scale_kind - BSQ_SCALE_KIND_PER_TENSOR;
    bsq_status_t status;

    if ((status = bsq_parts_add(parts, "x", integer_type(format), 2, codes, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "x_scale", bsq_element_type_of_scales(tensor), rank, scales, message)) != BSQ_OK)
        return status;
    if (!has_zeros(format, tensor))
        return BSQ_OK;
    return bsq_parts_add(parts, "x_zero_point", integer_type(format), rank, scales, message);
}

/* All codes are one stream. */
static struct bsq_rows x_of(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    struct bsq_fields fields = bsq_fields_dense(0, format->width);

    return is_signed(format) ? bsq_rows_signed(tensor, fields) : bsq_rows_unsigned(tensor, fields);
}

static struct bsq_numbers x_scale_of(const bsq_tensor_t *tensor)
{
    return (struct bsq_numbers){"scales", bsq_element_type_of_scales(tensor), bsq_format_groups_of(tensor), 1};
}

static struct bsq_zeros x_zero_point_of(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    return (struct bsq_zeros){.fields = bsq_fields_dense(0, format->width),
                              .channel_field = bsq_format_groups_of(tensor),
                              .group_field = 1,
                              .is_signed = is_signed(format),
                              .add = is_signed(format) ? 1 << (tensor->weight_bits - 1) : 0};
}

bsq_status_t bsq_onnx_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    return bsq_numbers_check(format, tensor, tensor->scales, bsq_element_type_of_scales(tensor), "scales", message);
}

void bsq_onnx_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                   unsigned char *packed)
{
    struct bsq_rows x = x_of(format, tensor);
    struct bsq_numbers x_scale = x_scale_of(tensor);
    struct bsq_zeros x_zero_point = x_zero_point_of(format, tensor);
    bsq_tensor_t flat = bsq_rows_flattened(tensor);

    bsq_rows_pack(&x, &flat, packed + parts->part[X].offset);
    bsq_numbers_pack(&x_scale, tensor, tensor->scales, packed + parts->part[X_SCALE].offset);
    if (has_zeros(format, tensor))
        bsq_zeros_pack(&x_zero_point, tensor, packed + parts->part[X_ZERO_POINT].offset);
}

static bsq_status_t check_zero_points(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                      const bsq_part_t *part, const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_zeros zeros = x_zero_point_of(format, tensor);
    int64_t count = 1;
    bsq_status_t status;

    for (int32_t i = 0; i < part->rank; i++)
        count *= part->shape[i];
    if ((status = bsq_rows_check_tails(format, &zeros.fields, 1, count, part->size, packed + part->offset, message)) !=
        BSQ_OK)
        return status;
    return bsq_zeros_check_packed(format, &zeros, tensor, packed + part->offset, message);
}

bsq_status_t bsq_onnx_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                             const unsigned char *packed, struct bsq_message *message)
{
    const unsigned char *codes = packed + parts->part[X].offset, *scales = packed + parts->part[X_SCALE].offset;
    struct bsq_rows x = x_of(format, tensor);
    struct bsq_numbers x_scale = x_scale_of(tensor);
    struct bsq_zeros x_zero_point = x_zero_point_of(format, tensor);
    bsq_tensor_t flat = bsq_rows_flattened(tensor);
    bsq_status_t status;

    if ((status = bsq_rows_check_tails(format, &x.fields, 1, flat.fan_in, parts->part[X].size, codes, message)) !=
            BSQ_OK ||
        (status = bsq_rows_check(format, &x, &flat, codes, message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &x_scale, tensor, scales, false, message)) != BSQ_OK)
        return status;
    if (has_zeros(format, tensor)) {
        if ((status = check_zero_points(format, tensor, &parts->part[X_ZERO_POINT], packed, message)) != BSQ_OK)
            return status;
        bsq_zeros_unpack(&x_zero_point, tensor, packed + parts->part[X_ZERO_POINT].offset);
    }
    bsq_rows_unpack(&x, &flat, codes);
    bsq_numbers_unpack(&x_scale, tensor, scales, tensor->scales);
    return BSQ_OK;
}

/* ---- MatMulNBits: B, scales, zero_points ----------------------------------------------------------------- */

enum { B, SCALES, ZERO_POINTS };

static bool is_zero_point(const bsq_tensor_t *tensor)
{
    return tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT;
}

/* Blocks are full, also the last of a channel, whose rest nobody reads. */
static int64_t row_bytes(const bsq_tensor_t *tensor)
{
    return bsq_format_groups_of(tensor) * (tensor->group_size / 8 * tensor->weight_bits);
}

static int64_t zero_bytes(const bsq_tensor_t *tensor)
{
    int64_t per_byte = 8 / tensor->weight_bits;

    return (bsq_format_groups_of(tensor) - 1) / per_byte + 1;
}

bsq_status_t bsq_matmul_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                 struct bsq_message *message)
{
    const int64_t blocks[] = {tensor->channels, bsq_format_groups_of(tensor),
                              tensor->group_size / 8 * tensor->weight_bits};
    const int64_t zeros[] = {tensor->channels, zero_bytes(tensor)};
    bsq_status_t status;

    (void)format;
    if ((status = bsq_parts_add(parts, "B", BSQ_ELEMENT_TYPE_UINT8, 3, blocks, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "scales", bsq_element_type_of_scales(tensor), 2, blocks, message)) != BSQ_OK)
        return status;
    if (!is_zero_point(tensor))
        return BSQ_OK;
    return bsq_parts_add(parts, "zero_points", BSQ_ELEMENT_TYPE_UINT8, 2, zeros, message);
}

static struct bsq_rows b_of(const bsq_tensor_t *tensor)
{
    return bsq_rows_unsigned(tensor, bsq_fields_dense(row_bytes(tensor), tensor->weight_bits));
}

static struct bsq_zeros zero_points_of(const bsq_tensor_t *tensor)
{
    return (struct bsq_zeros){
        .fields = bsq_fields_dense(zero_bytes(tensor), tensor->weight_bits), .channel_stream = 1, .group_field = 1};
}

bsq_status_t bsq_matmul_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    return bsq_onnx_check(format, tensor, message);
}

void bsq_matmul_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                     unsigned char *packed)
{
    struct bsq_rows b = b_of(tensor);
    struct bsq_numbers scales = x_scale_of(tensor);
    struct bsq_zeros zeros = zero_points_of(tensor);

    (void)format;
    bsq_rows_pack(&b, tensor, packed + parts->part[B].offset);
    bsq_numbers_pack(&scales, tensor, tensor->scales, packed + parts->part[SCALES].offset);
    if (is_zero_point(tensor))
        bsq_zeros_pack(&zeros, tensor, packed + parts->part[ZERO_POINTS].offset);
}

bsq_status_t bsq_matmul_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                               const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_rows b = b_of(tensor);
    struct bsq_numbers scales = x_scale_of(tensor);
    struct bsq_zeros zeros = zero_points_of(tensor);
    bsq_status_t status;

    if ((status = bsq_rows_check(format, &b, tensor, packed + parts->part[B].offset, message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &scales, tensor, packed + parts->part[SCALES].offset, false,
                                           message)) != BSQ_OK)
        return status;
    if (is_zero_point(tensor)) {
        const unsigned char *packed_zeros = packed + parts->part[ZERO_POINTS].offset;

        if ((status = bsq_rows_check_tails(format, &zeros.fields, tensor->channels, bsq_format_groups_of(tensor),
                                           zero_bytes(tensor), packed_zeros, message)) != BSQ_OK)
            return status;
        bsq_zeros_unpack(&zeros, tensor, packed_zeros);
    }
    bsq_rows_unpack(&b, tensor, packed + parts->part[B].offset);
    bsq_numbers_unpack(&scales, tensor, packed + parts->part[SCALES].offset, tensor->scales);
    return BSQ_OK;
}
