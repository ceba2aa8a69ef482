// All results of a run together, and what is printed of them.
#ifndef BSQ_ONNX_SUMMARY_HPP
#define BSQ_ONNX_SUMMARY_HPP

#include "bound.hpp"
#include "evaluate.hpp"
#include "quantize.hpp"
#include "result.hpp"
#include "settings.hpp"

namespace bsq_onnx {

RunResult summarize(const Model &model, const Settings &settings, const Quantized &quantized, const Judgement &judgement,
                    const Bound &bound, const Task *task);

void print_text(const RunResult &result);
void print_json(const RunResult &result);

} // namespace bsq_onnx

#endif
