// What is told about a quantized tensor of activations.
#ifndef BSQ_ONNX_DESCRIBE_HPP
#define BSQ_ONNX_DESCRIBE_HPP

#include <cstdint>
#include <functional>
#include <string>

#include "quantize/engine.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

// Its quantizer; what is known of the values alone stays empty.
InputResult describe_quantizer(const std::string &tensor, const Quantizer &quantizer);

// What one sample has of the tensor.
struct Seen {
    const float *values;
    Layout layout;
};

// Range, histogram and share of clipped values, over the values of 'samples' samples.
void describe_values(const Quantizer &quantizer, int64_t samples, const std::function<Seen(int64_t)> &values,
                     InputResult &input);

} // namespace bsq_onnx

#endif
