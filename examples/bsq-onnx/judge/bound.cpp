// A bound of the error of the network's outputs, and what each layer adds to it.
#include "judge/bound.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <onnx/onnx_pb.h>

#include "judge/evaluate.hpp"
#include "model/graph.hpp"

namespace bsq_onnx {

namespace {

constexpr double norm_tolerance = 0.5; // a layer's norm may come out too large by this
constexpr double silu = 1.0999;        // the steepest slope of x sigmoid(x)

// How many windows of a pooling may share an input, and how large a window is.
void pool_windows(const onnx::NodeProto &node, double &shared, double &volume)
{
    const std::vector<int64_t> kernel = get_integers(node, "kernel_shape");
    const std::vector<int64_t> strides = get_integers(node, "strides", std::vector<int64_t>(kernel.size(), 1));
    shared = volume = 1;
    for (size_t i = 0; i < kernel.size(); i++) {
        shared *= std::ceil(static_cast<double>(kernel[i]) / static_cast<double>(strides[i]));
        volume *= static_cast<double>(kernel[i]);
    }
}

class Gains {
public:
    explicit Gains(const Model &model) : model_(model)
    {
        for (const onnx::NodeProto &node : graph().node())
            for (const std::string &output : node.output())
                producer_[output] = &node;
        for (const onnx::TensorProto &tensor : graph().initializer())
            constants_.insert(tensor.name());
    }

    const onnx::GraphProto &graph() const { return model_.proto().graph(); }

    // How much a node that is no layer stretches a difference of its inputs, or -1.
    double of_node(const onnx::NodeProto &node) const
    {
        static const std::set<std::string> keep = {
            "Relu",      "Clip",    "Tanh",      "Softmax", "Identity",      "Reshape",      "Flatten",
            "Transpose", "Squeeze", "Unsqueeze", "Pad",     "DepthToSpace",  "SpaceToDepth", "Slice",
            "Split",     "Concat",  "Add",       "Sub",     "GlobalMaxPool", "Dropout"};
        const std::string &op = node.op_type();
        double shared, volume;
        if (keep.count(op) > 0)
            return 1;
        if (op == "Sigmoid")
            return 0.25;
        if (op == "LeakyRelu")
            return std::max(1.0, std::fabs(static_cast<double>(get_real(node, "alpha", 0.01F))));
        if (op == "MaxPool") {
            pool_windows(node, shared, volume);
            return std::sqrt(shared);
        }
        if (op == "AveragePool") {
            pool_windows(node, shared, volume);
            return std::sqrt(shared / volume);
        }
        const double in = size(node.input(0)), out = size(node.output(0));
        if (op == "GlobalAveragePool" && in > 0)
            return std::sqrt(out / in);
        if (op == "Resize" && get_text(node, "mode", "nearest") == "nearest" && in > 0)
            return std::sqrt(std::max(1.0, out / in));
        return -1;
    }

    // The tensor x of a product x sigmoid(x), or "".
    std::string silu_input(const onnx::NodeProto &node) const
    {
        if (node.op_type() != "Mul")
            return "";
        for (const int i : {0, 1}) {
            const auto found = producer_.find(node.input(i));
            if (found != producer_.end() && found->second->op_type() == "Sigmoid" &&
                found->second->input(0) == node.input(1 - i))
                return node.input(1 - i);
        }
        return "";
    }

    bool constant(const std::string &tensor) const { return tensor.empty() || constants_.count(tensor) > 0; }

private:
    double size(const std::string &tensor) const { return static_cast<double>(count(model_.shape(tensor))); }

    const Model &model_;
    std::map<std::string, const onnx::NodeProto *> producer_;
    std::set<std::string> constants_;
};

double norm_of(const Layer &layer, const Settings &settings, Progress &progress)
{
    bsq_options_t options = settings.options;
    options.progress = Progress::callback;
    options.progress_opaque = &progress;
    bsq_norm_t norm;
    bsq_norm_init(&norm, sizeof norm);
    const bsq_status_t status =
        bsq_operator_norm(&layer.desc, &options, layer.weights.data(), norm_tolerance, &norm, nullptr);
    if (status == BSQ_E_CANCELLED)
        throw Interrupted();
    return status == BSQ_OK ? norm.upper : -1;
}

} // namespace

Bound network_bound(const Model &model, const Settings &settings, const std::vector<double> &errors, Progress &progress)
{
    const Gains gains(model);
    const onnx::GraphProto &graph = gains.graph();
    std::map<std::string, double> gain; // from a tensor to the outputs
    for (const std::string &tensor : telling_tensors(model))
        gain[tensor] = 1;
    Bound bound;
    bound.contributions.assign(errors.size(), 0);
    std::vector<double> contributions(errors.size(), 0);
    int layer = static_cast<int>(model.layers().size()) - 1;
    for (int i = graph.node_size() - 1; i >= 0; i--) {
        const onnx::NodeProto &node = graph.node(i);
        if (layer >= 0 && i == model.layers()[static_cast<size_t>(layer)].last_node) {
            const Layer &l = model.layers()[static_cast<size_t>(layer)];
            const double out = gain[l.output];
            contributions[static_cast<size_t>(layer)] = errors[static_cast<size_t>(layer)] * out;
            progress.step("bound: " + l.name, norm_work);
            const double norm = out > 0 ? norm_of(l, settings, progress) : 0;
            if (norm < 0)
                return bound;
            gain[l.input] += norm * out;
            i = l.node;
            layer--;
            progress.end("");
            continue;
        }
        double out = 0;
        for (const std::string &output : node.output())
            out = std::max(out, gain[output]);
        if (out == 0)
            continue;
        if (const std::string input = gains.silu_input(node); !input.empty()) {
            gain[input] += silu * out;
            continue;
        }
        const double factor = gains.of_node(node);
        if (factor < 0)
            return bound;
        for (const std::string &input : node.input())
            if (!gains.constant(input))
                gain[input] += factor * out;
    }
    bound.contributions = contributions;
    bound.total = 0;
    for (const double contribution : contributions)
        bound.total += contribution;
    return bound;
}

} // namespace bsq_onnx
