// What a layer's output is to be, and how much each of its rows matters, given the activation function that follows.
#include "quantize/target.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/graph.hpp"

namespace bsq_onnx {

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr float least_weight = 0.02F; // of a row that passes nowhere

// The nodes that read a tensor, once for each time; none when it is an output of the network.
std::vector<const onnx::NodeProto *> readers_of(const onnx::GraphProto &graph, const std::string &tensor)
{
    for (const onnx::ValueInfoProto &output : graph.output())
        if (output.name() == tensor)
            return {};
    std::vector<const onnx::NodeProto *> readers;
    for (const onnx::NodeProto &node : graph.node())
        readers.insert(readers.end(), static_cast<size_t>(std::count(node.input().begin(), node.input().end(), tensor)),
                       &node);
    return readers;
}

// The node that reads a tensor when it is the only one and the tensor is no output, else NULL.
const onnx::NodeProto *only_reader(const onnx::GraphProto &graph, const std::string &tensor)
{
    const std::vector<const onnx::NodeProto *> readers = readers_of(graph, tensor);
    return readers.size() == 1 ? readers[0] : nullptr;
}

// Whether Sigmoid and a Mul with what that gives are all that reads a tensor.
bool goes_through_silu(const onnx::GraphProto &graph, const std::string &tensor)
{
    const std::vector<const onnx::NodeProto *> readers = readers_of(graph, tensor);
    for (size_t i = 0; i < 2 && readers.size() == 2; i++) {
        const onnx::NodeProto &gate = *readers[i], &product = *readers[1 - i];
        if (gate.op_type() == "Sigmoid" && product.op_type() == "Mul" && only_reader(graph, gate.output(0)) == &product)
            return true;
    }
    return false;
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
    return lowest > -infinite || highest < infinite || silu;
}

float Passing::passed(float value) const
{
    if (silu)
        return value / (1 + std::exp(-value));
    return value < lowest ? lowest : value > highest ? highest : value;
}

float Passing::share(float a, float b) const
{
    if (silu) {
        // Twice the slope between both, which is 1/2 at zero, so that nothing is taken off positive values.
        const float far = a - b, gate = 1 / (1 + std::exp(-a));
        const float slope = std::fabs(far) > 1e-3F ? (passed(a) - passed(b)) / far : gate * (1 + a * (1 - gate));
        return std::min(1.0F, 2 * std::fabs(slope));
    }
    return (a < lowest && b < lowest) || (a > highest && b > highest) ? 0.0F : 1.0F;
}

Passing passing_of(const Model &model, const std::string &tensor)
{
    const onnx::GraphProto &graph = model.proto().graph();
    const onnx::NodeProto *reader = only_reader(graph, tensor);
    if (reader != nullptr && reader->op_type() == "Relu")
        return {0, infinite};
    if (reader != nullptr && reader->op_type() == "Clip")
        return {constant_or(graph, input_of(*reader, 1), -infinite),
                constant_or(graph, input_of(*reader, 2), infinite)};
    return {-infinite, infinite, goes_through_silu(graph, tensor)};
}

Target::Target(const Model &model, const Segment &segment, const Layer &layer, const Quantizers &quantizers)
    : passing_(passing_of(model, layer.output)), channels_(layer.desc.out_channels),
      channels_last_(layer.desc.kind == BSQ_KIND_LINEAR)
{
    if (passing_.cuts())
        own_ = std::make_unique<Runner>(model, segment, std::vector<std::string>{layer.output}, quantizers);
}

float *Target::values(const Shape &output)
{
    values_.resize(static_cast<size_t>(count(output)));
    batch_ = channels_last_ ? 1 : output[0];
    positions_ = count(output) / channels_ / batch_;
    return values_.data();
}

void Target::adapt(const std::vector<const void *> &inputs, const Shapes &shapes, const float *rows)
{
    const int64_t all = batch_ * positions_;
    weights_.clear();
    if (rows != nullptr)
        weights_.assign(rows, rows + all);
    if (!own_)
        return;
    own_values_.resize(values_.size());
    weights_.resize(static_cast<size_t>(all));
    own_->run(inputs, {own_values_.data()}, shapes);
    for (int64_t p = 0; p < all; p++) {
        double passing = 0;
        for (int64_t c = 0; c < channels_; c++) {
            const int64_t place = p / positions_ * channels_ * positions_ + c * positions_ + p % positions_;
            const auto k = static_cast<size_t>(channels_last_ ? p * channels_ + c : place);
            const float share = passing_.share(values_[k], own_values_[k]);
            if (share < 1)
                values_[k] = own_values_[k] + share * (values_[k] - own_values_[k]);
            passing += static_cast<double>(share);
        }
        weights_[static_cast<size_t>(p)] =
            rows != nullptr && rows[p] == 0
                ? 0.0F
                : std::max(least_weight, static_cast<float>(passing / static_cast<double>(channels_)));
    }
}

} // namespace bsq_onnx
