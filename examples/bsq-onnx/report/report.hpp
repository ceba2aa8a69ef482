// The report: one HTML file that needs nothing else.
#ifndef BSQ_ONNX_REPORT_HPP
#define BSQ_ONNX_REPORT_HPP

#include <string>

#include "quantize/result.hpp"

namespace bsq_onnx {

std::string write_report(const RunResult &result);

} // namespace bsq_onnx

#endif
