// What a layer's output is to be, and how much each of its rows matters, given the activation function that follows.
#ifndef BSQ_ONNX_TARGET_HPP
#define BSQ_ONNX_TARGET_HPP

#include <memory>
#include <vector>

#include "engine.hpp"

namespace bsq_onnx {

// Between which values the node that follows a layer lets its output pass: outside of them all values are the same to it.
struct Passing {
    float lowest, highest; // infinite without a Relu or Clip that alone reads the output
    bool cuts() const;
    float passed(float value) const { return value < lowest ? lowest : value > highest ? highest : value; }
};
Passing passing_of(const Model &model, const std::string &tensor);

// The float network's output, but where the activation function cuts both it and the layer's own output off: there the latter, so
// that nothing is asked for. Rows (output positions) count by the share of channels that pass.
class Target {
public:
    Target(const Model &model, const Segment &segment, const Layer &layer, const Quantizer &quantizer);

    float *values() { return values_.data(); } // where the float network's output goes first
    // 'inputs': those of the segment in the already quantized part.
    void adapt(const std::vector<const float *> &inputs);
    const float *row_weights() const { return weights_.empty() ? nullptr : weights_.data(); }

private:
    Passing passing_;
    int64_t channels_, positions_;
    bool channels_last_;
    std::unique_ptr<Runner> own_; // the layer with float weights on quantized inputs
    std::vector<float> values_, own_values_, weights_;
};

} // namespace bsq_onnx

#endif
