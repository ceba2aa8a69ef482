// Charts of the report: tables whose cells hold small pictures in SVG, so that every mark has its number beside it.
#ifndef BSQ_ONNX_REPORT_CHARTS_HPP
#define BSQ_ONNX_REPORT_CHARTS_HPP

#include <functional>
#include <string>

#include "quantize/result.hpp"

namespace bsq_onnx {

// A table of layers, that of the greatest error first; after some the rest is folded away. 'open' and 'close' are around
// the rows.
std::string worst_first(const RunResult &result, const std::string &open, const std::string &close,
                        const std::function<std::string(const LayerResult &)> &row);

// Errors of every layer, one row each, on a logarithmic axis: rounding, the result, held-out samples.
std::string error_chart(const RunResult &result);

// The layers that alone change the network's outputs most. Empty when that was not measured.
std::string contribution_chart(const RunResult &result);

// Histogram of every quantized tensor with the range that its codes reach.
std::string activation_charts(const RunResult &result);

// The values that the codes of an input reach: with scales per channel those of the widest and of the narrowest.
struct Reach {
    double low = 0, high = 0;               // widest
    double narrow_low = 0, narrow_high = 0; // narrowest
};

Reach reach(const InputResult &input);

} // namespace bsq_onnx

#endif
