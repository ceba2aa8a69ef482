// All results of a run together, and what is printed of them.
#ifndef BSQ_ONNX_SUMMARY_HPP
#define BSQ_ONNX_SUMMARY_HPP

#include "judge/bound.hpp"
#include "judge/evaluate.hpp"
#include "quantize/quantize.hpp"
#include "quantize/result.hpp"
#include "settings.hpp"

namespace bsq_onnx {

RunResult summarize(const Model &model, const Settings &settings, const SampleUse &samples, const Quantized &quantized,
                    const Judgement &judgement, const Bound &bound);

// Takes in what errors_alone gives, on so many samples; nothing without samples.
void add_contributions(const std::vector<double> &alone, int64_t samples, RunResult &result);

int64_t quantized_layers(const RunResult &result);

// Those of the run and those that layers and inputs carry.
std::vector<std::string> all_warnings(const RunResult &result);

void print_text(const RunResult &result);
void print_json(const RunResult &result); // the sidecar without its lists of layers and inputs

} // namespace bsq_onnx

#endif
