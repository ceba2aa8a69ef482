#include "model/matrix.hpp"

#include <cstring>
#include <utility>

#include "bsq.h"
#include "shared.hpp"

namespace bsq_gguf {

namespace {

enum { F32 = 0, F16 = 1, BF16 = 30 };

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
            values[i] = from_bfloat16(read<uint16_t>(bytes, i));
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
