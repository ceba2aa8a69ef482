// Runs parts of a network with OpenCV, and quantizes activations between them.
#ifndef BSQ_ONNX_ENGINE_HPP
#define BSQ_ONNX_ENGINE_HPP

#include <memory>
#include <string>
#include <vector>

#include "model/model.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

// A tensor's quantizer: the one of the library, and scales and zero points of channels where they are folded.
struct Quantizer {
    bsq_input_quantizer_t values;
    std::vector<double> scales; // empty: one scale and zero point for all channels
    std::vector<int32_t> zero_points;

    Quantizer();
    bool quantizes() const { return values.bits > 0; }
    bool folded() const { return !scales.empty(); }

    // Step, and codes with the zero point taken off, of a channel.
    struct Grid {
        double step, lowest, highest;
    };
    Grid grid(int64_t channel) const;

    // (outer, channels, inner) values, as the library quantizes them: 'out' may be 'in'.
    void apply(const float *in, int64_t outer, int64_t channels, int64_t inner, float *out) const;
};

// How a layer's input is laid out for Quantizer::apply.
struct Layout {
    int64_t outer, channels, inner;
};
Layout input_layout(const Layer &layer);

// A segment that runs.
class Runner {
public:
    // Gives 'outputs', any of the segment's and the layer's output. 'weights' and 'bias' replace those of the segment's
    // layer where they are not empty. With 'quantizer' the layer, not the other nodes, reads its input quantized.
    // Throws Error when the engine refuses the nodes.
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
