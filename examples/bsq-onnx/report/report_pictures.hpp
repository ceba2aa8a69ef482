// Pictures of the report, with what the float and the quantized network found in them.
#ifndef BSQ_ONNX_REPORT_PICTURES_HPP
#define BSQ_ONNX_REPORT_PICTURES_HPP

#include <string>

#include "quantize/result.hpp"

namespace bsq_onnx {

std::string pictures(const RunResult &result);

} // namespace bsq_onnx

#endif
