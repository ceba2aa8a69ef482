// Runs parts of a network with OpenCV, and quantizes activations between them.
#ifndef BSQ_ONNX_ENGINE_HPP
#define BSQ_ONNX_ENGINE_HPP

#include <memory>
#include <string>
#include <vector>

#include "model.hpp"
#include "result.hpp"

namespace bsq_onnx {

// A tensor's quantizer: the one of the library, and a scale for each channel where they are folded.
struct Quantizer {
    bsq_input_quantizer_t values;
    std::vector<float> channel_scales; // empty: one scale for all; else values.scale does not count

    Quantizer();
    bool quantizes() const { return values.bits > 0; }
    double scale(int64_t channel) const;
    void codes(int64_t &lowest, int64_t &highest) const; // with the zero point taken off

    // (channels, each) values, as the library quantizes them: 'out' may be 'in'.
    void apply(const float *in, int64_t channels, int64_t each, float *out) const;
};

// A segment that runs.
class Runner {
public:
    // Gives 'outputs', any of the segment's and the layer's output. 'weights' and 'bias' replace those of the segment's layer
    // where they are not empty. With 'quantizer' the layer, not the other nodes, reads its input quantized. Throws Error when
    // the engine refuses the nodes.
    Runner(const Model &model, const Segment &segment, const std::vector<std::string> &outputs,
           const std::vector<float> &weights = {}, const std::vector<float> &bias = {},
           const Quantizer &quantizer = Quantizer());
    Runner(Runner &&) noexcept;
    Runner &operator=(Runner &&) noexcept;
    ~Runner();

    // 'inputs' in the order of the segment's, 'outputs' in that of the constructor.
    void run(const std::vector<const float *> &inputs, const std::vector<float *> &outputs);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// All of a network as one segment; 'extra' tensors are outputs too.
Segment whole(const Model &model, const std::vector<std::string> &extra);

void set_engine_threads(int threads);

} // namespace bsq_onnx

#endif
