// Weights as a file holds them, turned into float32 a few rows at a time.
#ifndef BSQ_GGUF_MATRIX_HPP
#define BSQ_GGUF_MATRIX_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gguf/file.hpp"

namespace bsq_gguf {

// 'rows' rows of 'columns' weights each: output channels and inputs. The bytes are another's, or its own.
struct Matrix {
    const Type *type = nullptr;
    int64_t rows = 0, columns = 0;
    const unsigned char *data = nullptr;
    std::vector<unsigned char> own;

    Matrix() = default;
    explicit Matrix(const Tensor &tensor);
    Matrix(const Type &of, int64_t row_count, int64_t column_count, std::vector<unsigned char> bytes);
    Matrix(Matrix &&) = default;
    Matrix &operator=(Matrix &&) = default;

    bool empty() const { return rows == 0; }
    size_t row_bytes() const { return static_cast<size_t>(columns / type->block * type->bytes); }
    size_t bytes() const { return static_cast<size_t>(rows) * row_bytes(); }
};

// Writes rows first .. first + count - 1 as float32. Throws Error where bytes are none of the type.
void dequantize(const Matrix &matrix, int64_t first, int64_t count, float *values);

// Float32 to a type of floats, rounded to nearest, ties to even.
std::vector<unsigned char> to_floats(const Type &type, const float *values, size_t count);

} // namespace bsq_gguf

#endif
