#include "model/matrix.hpp"

#include <cstring>
#include <utility>

#include "bsq.h"
#include "shared.hpp"

namespace bsq_gguf {

namespace {

enum { F32 = 0, F16 = 1, BF16 = 30 };

float from_bits(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t to_bits(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Exact: the magnitude is moved to float32's place, where a product with 2^112 corrects the exponent, of subnormal
// numbers too.
float from_float16(uint16_t half)
{
    const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    if (magnitude >= 0x0f800000) // infinity, NaN
        return from_bits(sign | 0x7f800000 | (magnitude & 0x007fffff));
    return from_bits(sign | to_bits(from_bits(magnitude) * 0x1p112f));
}

uint16_t to_float16(float value)
{
    const uint32_t bits = to_bits(value), sign = bits >> 16 & 0x8000;
    const float magnitude = from_bits(bits & 0x7fffffff);
    if (!(magnitude < 65520.0f))
        return static_cast<uint16_t>(sign | (magnitude > 0 ? 0x7c00 : 0x7e00));
    if (magnitude < 0x1p-14f) // a multiple of 2^-24: float32 rounds it
        return static_cast<uint16_t>(sign | (to_bits(magnitude + 0.5f) & 0x7ff));
    const uint32_t rounded = to_bits(magnitude) + 0xfff + (to_bits(magnitude) >> 13 & 1);
    return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

uint16_t to_bfloat16(float value)
{
    const uint32_t bits = to_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename T> T read(const unsigned char *bytes, size_t index)
{
    T value;
    std::memcpy(&value, bytes + index * sizeof value, sizeof value);
    return value;
}

void dequantize_blocks(const Matrix &matrix, int64_t first, int64_t count, float *values)
{
    char text[300];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    const auto check = [&](bsq_status_t status) {
        if (status != BSQ_OK)
            throw Error(std::string("weights of type ") + matrix.type->name + ": " + text);
    };
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    check(bsq_options_for_format(matrix.type->format, &options, &error));

    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.channels = count;
    tensor.fan_in = matrix.columns;
    tensor.group_size = options.group_size;
    tensor.weight_bits = options.weight_bits;
    tensor.weight_grid = options.weight_grid;
    tensor.scale_kind = options.scale_kind;
    tensor.scale_format = options.scale_format;
    tensor.scale_bits = options.scale_bits;
    tensor.scale_signed = options.scale_signed;
    tensor.super_group = options.super_group;
    const auto size = static_cast<size_t>(count * matrix.columns);
    const size_t groups = size / static_cast<size_t>(options.group_size);
    std::vector<int8_t> codes(size);
    std::vector<float> scales(groups), offsets(options.weight_grid == BSQ_WEIGHT_GRID_OFFSET ? groups : 0);
    tensor.codes = codes.data(), tensor.code_count = count * matrix.columns;
    tensor.scales = scales.data(), tensor.scale_count = static_cast<int64_t>(groups);
    if (!offsets.empty())
        tensor.offsets = offsets.data(), tensor.offset_count = static_cast<int64_t>(groups);
    const size_t row = matrix.row_bytes();
    check(bsq_tensor_unpack(matrix.type->format, matrix.data + static_cast<size_t>(first) * row,
                            static_cast<size_t>(count) * row, &tensor, &error));
    check(bsq_tensor_dequantize(&tensor, values, size, &error));
}

} // namespace

Matrix::Matrix(const Tensor &tensor)
    : type(tensor.type), rows(tensor.rows()), columns(tensor.columns()), data(tensor.data)
{
}

Matrix::Matrix(const Type &of, int64_t row_count, int64_t column_count, std::vector<unsigned char> bytes)
    : type(&of), rows(row_count), columns(column_count), own(std::move(bytes))
{
    data = own.data();
}

void dequantize(const Matrix &matrix, int64_t first, int64_t count, float *values)
{
    const unsigned char *bytes = matrix.data + static_cast<size_t>(first) * matrix.row_bytes();
    const auto size = static_cast<size_t>(count * matrix.columns);
    if (matrix.type->number == F32) {
        std::memcpy(values, bytes, size * sizeof(float));
    } else if (matrix.type->number == F16) {
        for (size_t i = 0; i < size; i++)
            values[i] = from_float16(read<uint16_t>(bytes, i));
    } else if (matrix.type->number == BF16) {
        for (size_t i = 0; i < size; i++)
            values[i] = from_bits(static_cast<uint32_t>(read<uint16_t>(bytes, i)) << 16);
    } else {
        dequantize_blocks(matrix, first, count, values);
    }
}

std::vector<unsigned char> to_floats(const Type &type, const float *values, size_t count)
{
    std::vector<unsigned char> bytes(count * static_cast<size_t>(type.bytes));
    if (type.number == F32) {
        std::memcpy(bytes.data(), values, bytes.size());
        return bytes;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t bits = type.number == F16 ? to_float16(values[i]) : to_bfloat16(values[i]);
        std::memcpy(bytes.data() + i * sizeof bits, &bits, sizeof bits);
    }
    return bytes;
}

} // namespace bsq_gguf
