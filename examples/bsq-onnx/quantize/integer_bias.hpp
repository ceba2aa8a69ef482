// Biases as engines that run integers add them.
#ifndef BSQ_ONNX_INTEGER_BIAS_HPP
#define BSQ_ONNX_INTEGER_BIAS_HPP

#include "quantize/result.hpp"

namespace bsq_onnx {

// Whether biases fit with the scales that there are.
bool bias_fits(double input_scale, const LayerResult &l);

// Biases are int32 in steps of the products that they are added to. A channel whose weights are so small that its bias
// would not fit, one that is nearly dead, takes larger steps, in which its weights are rounded again.
void round_bias(double input_scale, int32_t weight_grid, LayerResult &l);

} // namespace bsq_onnx

#endif
