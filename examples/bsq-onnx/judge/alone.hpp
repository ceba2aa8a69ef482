// What each layer's quantization alone does to the network's outputs.
#ifndef BSQ_ONNX_ALONE_HPP
#define BSQ_ONNX_ALONE_HPP

#include <vector>

#include "model/model.hpp"
#include "quantize/engine.hpp"
#include "quantize/quantize.hpp"
#include "shared.hpp"

namespace bsq_onnx {

// For each layer, in the order of Model::layers(), the relative squared error of the network's outputs (telling_tensors)
// when this layer and its input alone are quantized, as 'layers' and 'quantizers' say; 0 for layers without bits. The float
// network runs once for a sample, then once from each layer on.
std::vector<double> errors_alone(const Model &model, const std::vector<LayerResult> &layers,
                                 const Quantizers &quantizers, const std::vector<SampleRef> &samples, int threads,
                                 Progress &progress);

// As of plan/work.hpp, of so many samples.
double alone_work(const Model &model, int64_t samples);

// How many samples errors_alone is to take so that it costs a tenth of the passes of a run at most, and at least
// one, at most 16. Passes go through half of the network on average.
int64_t samples_for_alone(const Model &model, int64_t fitted, int64_t judged);

} // namespace bsq_onnx

#endif
