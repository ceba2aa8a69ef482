// Transposed convolutions as convolutions, which the library knows.
//
// Output position o of a transposed convolution is the sum over kernel positions k of w_k x_q with o = q s + k d - p. With
// x spread out, s - 1 zeros between its values, and with zeros around it, that is a convolution with the kernel turned
// round. Here positions are turned round instead, those of the input and of the output, so that weights stay in their order:
// what the library sums up over output positions does not depend on it.
#ifndef BSQ_ONNX_TRANSPOSED_HPP
#define BSQ_ONNX_TRANSPOSED_HPP

#include "model/model.hpp"

namespace bsq_onnx {

// The extents of the spread input, of an input of that shape: (N, C, ...).
Shape spread_shape(const Layer &layer, const Shape &input);

// The input (N, C, ...), spread and turned round.
std::vector<float> spread_input(const Layer &layer, const Shape &input, const float *values);

// Each run of 'each' values in reverse order: the positions of a channel.
std::vector<float> turned_round(const float *values, int64_t runs, int64_t each);

} // namespace bsq_onnx

#endif
