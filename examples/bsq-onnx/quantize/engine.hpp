// Runs parts of a network with the engine that was chosen, and quantizes activations between them.
#ifndef BSQ_ONNX_ENGINE_HPP
#define BSQ_ONNX_ENGINE_HPP

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/model.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

inline constexpr int most_library_bits = 8; // of the library's quantizers of inputs; others come from the range

// A tensor's quantizer: the one of the library, and scales and zero points of channels where they are folded.
struct Quantizer {
    bsq_input_quantizer_t values;
    std::vector<double> scales; // empty: one scale and zero point for all channels
    std::vector<int32_t> zero_points;
    bool everywhere = false; // all that reads the tensor reads it quantized, not layers alone; not with scales

    Quantizer();
    bool quantizes() const { return values.bits > 0; }
    bool folded() const { return !scales.empty(); }
    bool wide() const { return values.bits > most_library_bits; }

    // From the least value, or 0, to the greatest, or 0.
    static Quantizer of_range(int bits, float least, float most);

    // Step, and codes with the zero point taken off, of a channel.
    struct Grid {
        double step, lowest, highest;
    };
    Grid grid(int64_t channel) const;

    // (outer, channels, inner) values, as the library quantizes them: 'out' may be 'in'.
    void apply(const float *in, int64_t outer, int64_t channels, int64_t inner, float *out) const;
};

using Quantizers = std::map<std::string, Quantizer>; // by tensor

// Those that are so everywhere: what holds for a layer that stays float, too.
Quantizers everywhere(const Quantizers &quantizers);

// How a layer's input is laid out for Quantizer::apply.
struct Layout {
    int64_t outer, channels, inner;
};
Layout input_layout(const Layer &layer, const Shape &input_shape);
inline Layout input_layout(const Layer &layer)
{
    return input_layout(layer, layer.input_shape);
}

// A segment that runs.
class Runner {
public:
    // Gives 'outputs', any of the segment's and the layer's output, as they are before they are quantized themselves.
    // 'weights' and 'bias' replace those of the segment's layer where they are not empty. Tensors are read quantized as
    // 'quantizers' say: by the segment's layer, or, those that are so everywhere, by all nodes.
    // Throws Error when the engine refuses the nodes.
    Runner(const Model &model, const Segment &segment, const std::vector<std::string> &outputs,
           const Quantizers &quantizers = {}, const std::vector<float> &weights = {},
           const std::vector<float> &bias = {});
    Runner(Runner &&) noexcept;
    Runner &operator=(Runner &&) noexcept;
    ~Runner();

    // 'inputs' in the order of the segment's, 'outputs' in that of the constructor, of the types that the tensors have;
    // 'shapes' says the extents of all of them.
    void run(const std::vector<const void *> &inputs, const std::vector<void *> &outputs, const Shapes &shapes);

    // The same of float32 tensors with the extents that the model says.
    void run(const std::vector<const float *> &inputs, const std::vector<float *> &outputs);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// A sample's tensors, by name, as they are computed.
using Arrays = std::map<std::string, Array>;

// Room for 'tensors' with those extents, where 'arrays' has none.
void prepare_arrays(const Model &model, const Shapes &shapes, const std::vector<std::string> &tensors, Arrays &arrays);

// Runs on tensors of 'arrays'; outputs must have room there.
void run(Runner &runner, const std::vector<std::string> &inputs, const std::vector<std::string> &outputs,
         const Shapes &shapes, Arrays &arrays);

// All of a network as one segment; 'extra' tensors are outputs too.
Segment whole(const Model &model, const std::vector<std::string> &extra);

// Before anything runs: OpenCV and BLAS each work on the thread that calls them, silently.
void prepare_engine();

} // namespace bsq_onnx

#endif
