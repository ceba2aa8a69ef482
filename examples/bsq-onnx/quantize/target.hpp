// What a layer's output is to be, and how much each of its rows matters, given the activation function that follows.
#ifndef BSQ_ONNX_TARGET_HPP
#define BSQ_ONNX_TARGET_HPP

#include <memory>
#include <vector>

#include "quantize/engine.hpp"

namespace bsq_onnx {

// What the activation function that alone reads a layer's output lets pass: Relu and Clip cut values off, SiLU, x
// sigmoid(x), lets next to nothing of negative values through.
struct Passing {
    float lowest, highest; // infinite without Relu or Clip
    bool silu = false;

    bool cuts() const;
    float passed(float value) const;
    float share(float a, float b) const; // of the difference of two values, 0..1
};
Passing passing_of(const Model &model, const std::string &tensor);

// The float network's output, but where the activation function lets little of the difference between it and the
// layer's own output through: there that much nearer to the latter, so that nothing is asked for that is cut off. Rows
// (output positions) count by the share that passes, over channels.
class Target {
public:
    Target(const Model &model, const Segment &segment, const Layer &layer, const Quantizers &quantizers);

    // Where the float network's output of that shape goes first.
    float *values(const Shape &output);
    const float *values() const { return values_.data(); }
    // 'inputs': those of the segment in the already quantized part. 'rows' are weights of output positions that rows of
    // the sample have before, or NULL.
    void adapt(const std::vector<const void *> &inputs, const Shapes &shapes, const float *rows);
    const float *row_weights() const { return weights_.empty() ? nullptr : weights_.data(); }

private:
    Passing passing_;
    int64_t channels_, batch_ = 1, positions_ = 0; // positions of one of the batch
    bool channels_last_;
    std::unique_ptr<Runner> own_; // the layer with float weights on quantized inputs
    std::vector<float> values_, own_values_, weights_;
};

} // namespace bsq_onnx

#endif
