/* Any bytes as a packed tensor of a format with scales: a tensor whose weights pack again, or a refusal with a text.
 *
 * Input: format (index into the list of all), bits, grid, group size and kind of scale, format of scales, channels, fan-in
 * (low byte first, two), then packed bytes. */
#include "bsq.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 8, MOST_CODES = 1 << 16 };

static void require(int condition)
{
    if (!condition)
        abort();
}

static void *room(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);

    require(block != NULL);
    return block;
}

static int32_t format_at(int index)
{
    int32_t format = bsq_format_next(0);

    while (index-- > 0) {
        format = bsq_format_next(format);
        if (!format)
            format = bsq_format_next(0);
    }
    return format;
}

/* What a format asks for, then changed as the bytes say. */
static bsq_tensor_t read_tensor(const uint8_t *data, int32_t *format)
{
    static const int64_t groups[] = {0, 16, 32, 64, 128, 5};
    static const int32_t scale_formats[] = {BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_FLOAT16,
                                            BSQ_SCALE_FORMAT_BFLOAT16, BSQ_SCALE_FORMAT_POWER_OF_TWO};
    bsq_options_t options;
    bsq_tensor_t tensor;

    *format = format_at(data[0] % 64);
    bsq_options_init(&options, sizeof options);
    options.weight_bits = data[1] % 9;
    options.group_size = groups[data[3] % 6];
    options.scale_format = scale_formats[data[4] % 4];
    (void)bsq_options_for_format(*format, &options, NULL);
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.weight_bits = options.weight_bits;
    tensor.weight_grid = data[2] % 16 ? BSQ_WEIGHT_GRID_SYMMETRIC - 1 + data[2] % 16 : options.weight_grid;
    tensor.scale_kind = data[3] >= 128 ? BSQ_SCALE_KIND_PER_TENSOR + data[3] / 6 % 3 : options.scale_kind;
    tensor.scale_format = options.scale_format;
    tensor.scale_bits = options.scale_bits;
    tensor.scale_signed = options.scale_signed;
    tensor.super_group = options.super_group;
    tensor.group_size = tensor.scale_kind == BSQ_SCALE_KIND_PER_GROUP ? options.group_size : 0;
    tensor.channels = data[5];
    tensor.fan_in = data[6] | data[7] << 8;
    return tensor;
}

static void allocate(bsq_tensor_t *tensor)
{
    int64_t groups = tensor->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? (tensor->fan_in - 1) / tensor->group_size + 1 : 1;

    tensor->code_count = tensor->channels * tensor->fan_in;
    tensor->scale_count = tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : tensor->channels * groups;
    tensor->codes = room((size_t)tensor->code_count, 1);
    tensor->scales = room((size_t)tensor->scale_count, sizeof *tensor->scales);
    tensor->zero_point_count = tensor->offset_count = tensor->scale_count;
    tensor->zero_points = room((size_t)tensor->scale_count, sizeof *tensor->zero_points);
    tensor->offsets = room((size_t)tensor->scale_count, sizeof *tensor->offsets);
    if (tensor->weight_grid != BSQ_WEIGHT_GRID_ZERO_POINT)
        tensor->zero_point_count = 0;
    if (tensor->weight_grid != BSQ_WEIGHT_GRID_OFFSET)
        tensor->offset_count = 0;
}

/* The buffers that a description does not have are let go before a call sees them. */
static bsq_tensor_t seen(const bsq_tensor_t *tensor)
{
    bsq_tensor_t own = *tensor;

    if (!own.zero_point_count)
        own.zero_points = NULL;
    if (!own.offset_count)
        own.offsets = NULL;
    return own;
}

static void release(bsq_tensor_t *tensor)
{
    free(tensor->codes);
    free(tensor->scales);
    free(tensor->zero_points);
    free(tensor->offsets);
    free(tensor->input_order);
}

static int is_gptq(int32_t format)
{
    return format == BSQ_FORMAT_GPTQ || format == BSQ_FORMAT_GPTQ_V2;
}

static int has_scales(int32_t format)
{
    return format != BSQ_FORMAT_INT8 && format != BSQ_FORMAT_ONNX_INT4 && format != BSQ_FORMAT_ONNX_INT2 &&
           format != BSQ_FORMAT_TERNARY_PLANES && format != BSQ_FORMAT_SIGN_MAGNITUDE_PLANES;
}

static int is_ncnn(int32_t format)
{
    return format == BSQ_FORMAT_NCNN_INT8 || format == BSQ_FORMAT_NCNN_GEMM;
}

/* Packs what was read, reads it again, and gets the same weights. */
static void check_tensor(const bsq_tensor_t *tensor, int32_t format, size_t size)
{
    bsq_tensor_t back = *tensor, own;
    uint8_t *again = room(size, 1);
    float *weights = room((size_t)tensor->code_count, sizeof *weights);
    float *others = room((size_t)tensor->code_count, sizeof *others);

    own = seen(tensor);
    require(bsq_tensor_dequantize(&own, weights, (size_t)own.code_count, NULL) == BSQ_OK);
    require(bsq_tensor_pack(&own, format, again, size, NULL) == BSQ_OK);
    allocate(&back);
    if (tensor->input_order)
        back.input_order = room((size_t)tensor->fan_in, sizeof *back.input_order);
    own = seen(&back);
    require(bsq_tensor_unpack(format, again, size, &own, NULL) == BSQ_OK);
    require(memcmp(own.codes, tensor->codes, (size_t)own.code_count) == 0);
    require(bsq_tensor_dequantize(&own, others, (size_t)own.code_count, NULL) == BSQ_OK);
    for (int64_t i = 0; i < own.code_count && !is_ncnn(format); i++)
        require(!(weights[i] < others[i] || weights[i] > others[i]));
    free(again);
    free(weights);
    free(others);
    release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    size_t packed_size = size - HEADER, needed;
    int32_t format;

    if (size < HEADER)
        return 0;

    bsq_tensor_t tensor = read_tensor(data, &format), own;
    bsq_status_t asked = bsq_tensor_packed_size(&tensor, format, &needed, &error);

    require((asked == BSQ_OK) == (text[0] == '\0'));
    if (asked != BSQ_OK || tensor.channels * tensor.fan_in > MOST_CODES || !has_scales(format))
        return 0;

    uint8_t *packed = room(packed_size, 1);

    memcpy(packed, data + HEADER, packed_size);
    allocate(&tensor);
    if (is_gptq(format)) {
        tensor.input_order = room((size_t)tensor.fan_in, sizeof *tensor.input_order);
        tensor.input_order_count = tensor.fan_in;
    }
    own = seen(&tensor);

    bsq_status_t status = bsq_tensor_unpack(format, packed, packed_size, &own, &error);

    tensor.scale_unit = own.scale_unit;
    if (status == BSQ_OK)
        check_tensor(&tensor, format, packed_size);
    else
        require(text[0] && error.status == status && status == (needed == packed_size ? BSQ_E_FORMAT : BSQ_E_SIZE));
    release(&tensor);
    free(packed);
    return 0;
}
