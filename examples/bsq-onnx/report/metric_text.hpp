// What --metric asked for, in words.
#ifndef BSQ_ONNX_METRIC_TEXT_HPP
#define BSQ_ONNX_METRIC_TEXT_HPP

#include <string>

#include "quantize/result.hpp"

namespace bsq_onnx {

std::string metric_text(const MetricResult &metric); // one line

} // namespace bsq_onnx

#endif
