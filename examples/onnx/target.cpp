// What a layer's output is to be, and how much each of its rows matters, given the activation function that follows.
#include "target.hpp"

#include <cmath>
#include <limits>

#include "graph.hpp"

namespace bsq_onnx {

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr float least_weight = 0.02F; // of a row that passes nowhere

// The node that reads a tensor when it is the only one and the tensor is no output, else NULL.
const onnx::NodeProto *only_reader(const onnx::GraphProto &graph, const std::string &tensor)
{
    const onnx::NodeProto *reader = nullptr;
    for (const onnx::NodeProto &node : graph.node())
        for (const std::string &input : node.input())
            if (input == tensor) {
                if (reader != nullptr)
                    return nullptr;
                reader = &node;
            }
    for (const onnx::ValueInfoProto &output : graph.output())
        if (output.name() == tensor)
            return nullptr;
    return reader;
}

float constant_or(const onnx::GraphProto &graph, const std::string &name, float otherwise)
{
    for (const onnx::TensorProto &tensor : graph.initializer())
        if (tensor.name() == name && !name.empty())
            return floats_of(tensor).at(0);
    return otherwise;
}

} // namespace

bool Passing::cuts() const
{
    return lowest > -infinite || highest < infinite;
}

Passing passing_of(const Model &model, const std::string &tensor)
{
    const onnx::GraphProto &graph = model.proto().graph();
    const onnx::NodeProto *reader = only_reader(graph, tensor);
    if (reader != nullptr && reader->op_type() == "Relu")
        return {0, infinite};
    if (reader != nullptr && reader->op_type() == "Clip")
        return {constant_or(graph, input_of(*reader, 1), -infinite), constant_or(graph, input_of(*reader, 2), infinite)};
    return {-infinite, infinite};
}

Target::Target(const Model &model, const Segment &segment, const Layer &layer, const Quantizer &quantizer)
    : passing_(passing_of(model, layer.output)), channels_(layer.desc.out_channels),
      positions_(count(layer.output_shape) / channels_), channels_last_(layer.desc.kind == BSQ_LINEAR),
      values_(static_cast<size_t>(count(layer.output_shape)))
{
    if (!passing_.cuts())
        return;
    own_ = std::make_unique<Runner>(model, segment, std::vector<std::string>{layer.output}, std::vector<float>(),
                                    std::vector<float>(), quantizer);
    own_values_.resize(values_.size());
    weights_.resize(static_cast<size_t>(positions_));
}

void Target::adapt(const std::vector<const float *> &inputs)
{
    if (!own_)
        return;
    own_->run(inputs, {own_values_.data()});
    for (int64_t p = 0; p < positions_; p++) {
        int64_t passing = 0;
        for (int64_t c = 0; c < channels_; c++) {
            const auto k = static_cast<size_t>(channels_last_ ? p * channels_ + c : c * positions_ + p);
            const bool below = values_[k] < passing_.lowest && own_values_[k] < passing_.lowest;
            const bool above = values_[k] > passing_.highest && own_values_[k] > passing_.highest;
            if (below || above)
                values_[k] = own_values_[k];
            else
                passing++;
        }
        weights_[static_cast<size_t>(p)] =
            std::max(least_weight, static_cast<float>(passing) / static_cast<float>(channels_));
    }
}

} // namespace bsq_onnx
