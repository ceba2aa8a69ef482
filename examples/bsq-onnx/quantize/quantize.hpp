// Quantizes a network layer by layer, in execution order: each sees inputs that the already quantized part produces,
// and is fitted to the float network's output.
#ifndef BSQ_ONNX_QUANTIZE_HPP
#define BSQ_ONNX_QUANTIZE_HPP

#include <map>
#include <string>
#include <vector>

#include "model/model.hpp"
#include "plan/plan.hpp"
#include "shared.hpp"
#include "quantize/checkpoint.hpp"
#include "quantize/engine.hpp"
#include "quantize/handle.hpp"
#include "samples/samples.hpp"
#include "settings.hpp"

namespace bsq_onnx {

// One sample, or those that the network takes at a time.
struct SampleRef {
    const Samples *from;
    std::vector<int64_t> indices;

    Sample load() const { return from->load(indices); }
    std::string name() const { return from->name(indices.front()); }
};

struct Quantized {
    std::vector<LayerResult> layers; // in the order of Model::layers()
    Quantizers quantizers;
    std::vector<InputResult> inputs; // in the order in which layers read them
};

// 'samples': first 'calibration' that layers are fitted to, then others that only judge them. 'checkpoint' may be NULL.
// Throws Error, or Interrupted.
Quantized quantize(const Model &model, const Settings &settings, const Plan &plan,
                   const std::vector<SampleRef> &samples, int64_t calibration, Progress &progress,
                   Checkpoint *checkpoint);

} // namespace bsq_onnx

#endif
