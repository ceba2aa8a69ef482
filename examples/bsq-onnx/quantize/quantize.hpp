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
#include "samples/samples.hpp"
#include "settings.hpp"

namespace bsq_onnx {

struct SampleRef {
    const Samples *from;
    int64_t index;
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

// ---- parts that the choice of bits needs too ----

struct LayerDeleter {
    void operator()(bsq_layer_t *layer) const { bsq_layer_free(layer); }
};
using LayerHandle = std::unique_ptr<bsq_layer_t, LayerDeleter>;

LayerHandle make_layer(const Layer &layer, const bsq_options_t &options);

void set_quantizer(const Layer &layer, const Quantizer &quantizer, bsq_layer_t *handle);

// A batch of one sample.
bsq_batch_t make_batch(const Layer &layer, const float *input, const float *target, bool held_out);

// Throws Error with the layer's text, or Interrupted.
void check(bsq_status_t status, const Layer &layer, const bsq_layer_t *handle);

} // namespace bsq_onnx

#endif
