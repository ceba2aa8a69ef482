#include "model/fold.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace bsq_onnx {

namespace {

// ---- identities ----

// Takes a node away that hands on its first input. The network's output keeps its name.
void bypass(Graph &graph, onnx::NodeProto &node)
{
    const std::string from = node.input(0), to = node.output(0);
    if (graph.output(to)) {
        node = make_node("Identity", node.name(), {from}, to);
        return;
    }
    graph.replace_uses(to, from);
    node.clear_input();
}

void check_single_output(const Graph &graph, onnx::NodeProto &node)
{
    if (graph.traced)
        return;
    for (int i = node.output_size() - 1; i > 0 && node.op_type() != "Split"; i--) {
        const std::string &name = node.output(i);
        if (!name.empty() && (graph.output(name) || !graph.consumers(name).empty()))
            throw Beyond("the second output of " + node.op_type() + " " + node.name() + " is not supported");
        node.mutable_output()->RemoveLast();
    }
}

// Dropout that is told to train draws numbers.
bool trains(const Graph &graph, const onnx::NodeProto &node)
{
    return graph.traced && !input_of(node, 2).empty();
}

// ---- layers ----

// The values of a constant that is combined with 'shape', one for each extent of 'axis', if it is such a constant.
bool per_channel(const onnx::TensorProto &tensor, const Shape &shape, size_t axis, std::vector<float> &values)
{
    Shape own = shape_of(tensor);
    if (own.size() > shape.size())
        return false;
    own.insert(own.begin(), shape.size() - own.size(), 1);
    for (size_t i = 0; i < own.size(); i++)
        if (own[i] != 1 && (i != axis || own[i] != shape[i]))
            return false;
    values = floats_of(tensor);
    if (values.size() == 1)
        values.assign(static_cast<size_t>(shape[axis]), values[0]);
    return true;
}

void resolve_auto_pad(Graph &graph, onnx::NodeProto &node)
{
    const std::string mode = get_text(node, "auto_pad", "NOTSET");
    remove_attribute(node, "auto_pad");
    if (mode == "NOTSET" || mode == "VALID") {
        if (mode == "VALID")
            remove_attribute(node, "pads");
        return;
    }
    const bool transposed = node.op_type() == "ConvTranspose";
    const Shape &in = graph.shape(node.input(0)), &out = graph.shape(node.output(0));
    const size_t dims = in.size() - 2;
    const std::vector<int64_t> kernel = get_integers(node, "kernel_shape");
    const std::vector<int64_t> ones(dims, 1);
    const std::vector<int64_t> stride = get_integers(node, "strides", ones),
                               dilation = get_integers(node, "dilations", ones);
    std::vector<int64_t> pads(2 * dims);
    for (size_t i = 0; i < dims; i++) {
        const int64_t reach = (kernel.at(i) - 1) * dilation.at(i) + 1;
        const int64_t total = transposed ? (in[i + 2] - 1) * stride.at(i) + reach - out[i + 2]
                                         : (out[i + 2] - 1) * stride.at(i) + reach - in[i + 2];
        const int64_t small = std::max<int64_t>(total, 0) / 2, large = std::max<int64_t>(total, 0) - small;
        pads[i] = mode == "SAME_LOWER" ? large : small;
        pads[i + dims] = mode == "SAME_LOWER" ? small : large;
    }
    set_integers(node, "pads", pads);
}

// B as (M, n) with alpha in it.
onnx::TensorProto gemm_weights(const Graph &graph, const onnx::NodeProto &node)
{
    const onnx::TensorProto &matrix = graph.constants.at(node.input(1));
    Shape shape = shape_of(matrix);
    std::vector<float> weights = floats_of(matrix);
    if (get_integer(node, "transB", 0) == 0) {
        weights = transpose(weights, shape[0], shape[1]);
        std::swap(shape[0], shape[1]);
    }
    for (float &weight : weights)
        weight *= get_real(node, "alpha", 1);
    return make_tensor(shape, weights);
}

// Constants that are made for several Gemms: by what goes into them.
using GemmWeights = std::map<std::string, std::string>;

// The constant of gemm_weights, the same one for nodes that make the same of the same matrix.
std::string gemm_constant(Graph &graph, const onnx::NodeProto &node, GemmWeights &known)
{
    const float alpha = get_real(node, "alpha", 1);
    const bool turned = get_integer(node, "transB", 0) == 0;
    std::string key(reinterpret_cast<const char *>(&alpha), sizeof alpha);
    key += (turned ? "'" : " ") + node.input(1);
    std::string &name = known[key];
    if (name.empty())
        name = graph.add_constant(node.output(0) + "/weight", gemm_weights(graph, node));
    return name;
}

// Every Gemm with constant weights and bias becomes x B' + c, behind a Transpose if need be, and in front of an Add if
// C has other values for each row. Returns how many nodes it is now.
size_t normalize_gemm(Graph &graph, size_t index, GemmWeights &known)
{
    const onnx::NodeProto node = graph.nodes[index];
    const std::string name = node.output(0), addend = input_of(node, 2);
    if (!graph.constant(node.input(1)) || !(addend.empty() || graph.constant(addend)) || graph.type(name) != float_type)
        return 1;
    std::vector<onnx::NodeProto> nodes;
    std::string input = node.input(0), output = name;
    if (get_integer(node, "transA", 0) != 0) {
        input = graph.unused(name + "/transposed");
        nodes.push_back(make_node("Transpose", input, {node.input(0)}, input));
        set_integers(nodes.back(), "perm", {1, 0});
    }
    std::vector<std::string> inputs = {input, gemm_constant(graph, node, known)};
    std::string rows; // C, if it is not the same for each row
    if (!addend.empty()) {
        const onnx::TensorProto &tensor = graph.constants.at(addend);
        const int64_t channels = graph.shape(name)[1];
        std::vector<float> bias;
        const bool same = per_channel(tensor, graph.shape(name), 1, bias);
        if (!same)
            bias = floats_of(tensor);
        for (float &value : bias)
            value *= get_real(node, "beta", 1);
        const std::string constant =
            graph.add_constant(name + "/bias", make_tensor(same ? Shape{channels} : shape_of(tensor), bias));
        if (same)
            inputs.push_back(constant);
        else
            rows = constant;
    }
    if (!rows.empty())
        output = graph.unused(name + "/product");
    nodes.push_back(make_node("Gemm", node.name(), inputs, output));
    set_integer(nodes.back(), "transB", 1);
    if (!rows.empty())
        nodes.push_back(make_node("Add", name + "/rows", {output, rows}, name));
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(index));
    graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(index), nodes.begin(), nodes.end());
    return nodes.size();
}

// ---- affine functions of channels ----

struct Affine {
    std::vector<double> scale, shift; // M each
};

bool batch_normalization(const Graph &graph, const onnx::NodeProto &node, size_t channels, Affine &affine)
{
    std::vector<float> parameters[4]; // scale, shift, mean, variance
    for (int i = 0; i < 4; i++) {
        if (!graph.constant(input_of(node, i + 1)))
            return false;
        parameters[i] = floats_of(graph.constants.at(node.input(i + 1)));
        if (parameters[i].size() != channels)
            throw Error("BatchNormalization " + node.name() + " has parameters of a wrong size");
    }
    const double epsilon = get_real(node, "epsilon", 1e-5F);
    for (size_t i = 0; i < channels; i++) {
        const double scale = parameters[0][i] / std::sqrt(parameters[3][i] + epsilon);
        affine.scale.push_back(scale);
        affine.shift.push_back(parameters[1][i] - parameters[2][i] * scale);
    }
    return true;
}

// What 'node' does to the channels of 'tensor', of which it is a consumer, if it is an affine function with constants.
bool affine_of(const Graph &graph, const onnx::NodeProto &node, const std::string &tensor, Affine &affine)
{
    const Shape &shape = graph.shape(tensor);
    const size_t channels = static_cast<size_t>(shape.at(1));
    if (op_of(node) == "BatchNormalization")
        return node.input(0) == tensor && batch_normalization(graph, node, channels, affine);
    if (op_of(node) != "Mul" && op_of(node) != "Add")
        return false;
    const std::string &other = node.input(node.input(0) == tensor ? 1 : 0);
    std::vector<float> values;
    if (!graph.constant(other) || !per_channel(graph.constants.at(other), shape, 1, values))
        return false;
    const bool scales = node.op_type() == "Mul";
    for (size_t i = 0; i < channels; i++) {
        affine.scale.push_back(scales ? values[i] : 1);
        affine.shift.push_back(scales ? 0 : values[i]);
    }
    return true;
}

bool takes_affine(const Graph &graph, const onnx::NodeProto &node)
{
    const bool gemm = node.op_type() == "Gemm" && get_integer(node, "transB", 0) == 1;
    if (!is_standard(node) || (node.op_type() != "Conv" && node.op_type() != "ConvTranspose" && !gemm) ||
        graph.type(node.output(0)) != float_type)
        return false;
    return graph.constant(node.input(1)) && (input_of(node, 2).empty() || graph.constant(node.input(2))) &&
           !graph.output(node.output(0)) && graph.consumers(node.output(0)).size() == 1;
}

void apply_affine(Graph &graph, onnx::NodeProto &node, const Affine &affine)
{
    const size_t channels = affine.scale.size();
    const onnx::TensorProto &tensor = graph.constants.at(node.input(1));
    const Shape shape = shape_of(tensor);
    std::vector<float> weights = floats_of(tensor);
    // A transposed convolution has its weights as (inputs, M / groups, kernel); output channel o is o % (M / groups) of
    // its group.
    const bool by_input = node.op_type() == "ConvTranspose";
    const size_t groups = by_input ? static_cast<size_t>(get_integer(node, "group", 1)) : 1;
    const size_t volume = static_cast<size_t>(count(Shape(shape.begin() + 2, shape.end())));
    const size_t row = weights.size() / static_cast<size_t>(shape[0]);
    for (size_t i = 0; i < weights.size(); i++) {
        size_t channel = i / row;
        if (by_input)
            channel = channel / (static_cast<size_t>(shape[0]) / groups) * (channels / groups) + i % row / volume;
        weights[i] = static_cast<float>(weights[i] * affine.scale[channel]);
    }
    std::vector<float> bias(channels, 0);
    if (!input_of(node, 2).empty())
        bias = floats_of(graph.constants.at(node.input(2)));
    for (size_t i = 0; i < channels; i++)
        bias[i] = static_cast<float>(bias[i] * affine.scale[i] + affine.shift[i]);
    // Other nodes may have the same constants: these are its own.
    const std::string weight_name = graph.add_constant(node.input(1) + "/folded", make_tensor(shape, weights));
    const std::string bias_name =
        graph.add_constant(node.output(0) + "/bias", make_tensor({static_cast<int64_t>(channels)}, bias));
    node.set_input(1, weight_name);
    if (node.input_size() < 3)
        node.add_input("");
    node.set_input(2, bias_name);
}

} // namespace

void bypass_identities(Graph &graph)
{
    for (auto &node : graph.nodes) {
        check_single_output(graph, node);
        const std::string mask = node.output_size() > 1 ? node.output(1) : ""; // of Dropout
        const bool plain =
            is_standard(node) && (mask.empty() || (graph.consumers(mask).empty() && !graph.output(mask)));
        const bool same = node.op_type() == "Cast" && get_integer(node, "to", 0) == float_type &&
                          !graph.constant(node.input(0)) && graph.type(node.input(0)) == float_type;
        if (plain && (node.op_type() == "Identity" || same || (node.op_type() == "Dropout" && !trains(graph, node))))
            bypass(graph, node);
    }
    graph.nodes.erase(std::remove_if(graph.nodes.begin(), graph.nodes.end(),
                                     [](const onnx::NodeProto &node) { return node.input_size() == 0; }),
                      graph.nodes.end());
    graph.sweep();
}

void normalize_layers(Graph &graph)
{
    GemmWeights known;
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        const std::string &op = graph.nodes[i].op_type();
        if (!is_standard(graph.nodes[i]))
            continue;
        if ((op == "Conv" || op == "ConvTranspose") && graph.constant(graph.nodes[i].input(1))) {
            const Shape weights = shape_of(graph.constants.at(graph.nodes[i].input(1)));
            set_integers(graph.nodes[i], "kernel_shape", {weights.begin() + 2, weights.end()});
        }
        // What it comes to depends on the extents.
        const std::string pad = get_text(graph.nodes[i], "auto_pad", "NOTSET");
        if (find_attribute(graph.nodes[i], "auto_pad") && (!graph.traced || pad == "NOTSET" || pad == "VALID"))
            resolve_auto_pad(graph, graph.nodes[i]);
        if (op_of(graph.nodes[i]) == "Gemm")
            i += normalize_gemm(graph, i, known) - 1;
    }
    graph.sweep();
}

void fold_affine(Graph &graph)
{
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        while (takes_affine(graph, graph.nodes[i])) {
            onnx::NodeProto &node = graph.nodes[i];
            const int next = graph.consumers(node.output(0))[0];
            Affine affine;
            if (!affine_of(graph, graph.nodes[static_cast<size_t>(next)], node.output(0), affine))
                break;
            apply_affine(graph, node, affine);
            node.set_output(0, graph.nodes[static_cast<size_t>(next)].output(0));
            graph.nodes.erase(graph.nodes.begin() + next);
        }
        const int bias = matmul_bias(graph, static_cast<int>(i));
        if (bias > static_cast<int>(i) + 1)
            std::rotate(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i) + 1, graph.nodes.begin() + bias,
                        graph.nodes.begin() + bias + 1);
    }
    graph.sweep();
}

int matmul_bias(const Graph &graph, int index)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    if (node.op_type() != "MatMul" || !is_standard(node) || !graph.constant(node.input(1)) ||
        graph.output(node.output(0)) || graph.type(node.output(0)) != float_type)
        return -1;
    const std::vector<int> next = graph.consumers(node.output(0));
    if (next.size() != 1 || op_of(graph.nodes[static_cast<size_t>(next[0])]) != "Add")
        return -1;
    const onnx::NodeProto &add = graph.nodes[static_cast<size_t>(next[0])];
    const std::string &other = add.input(add.input(0) == node.output(0) ? 1 : 0);
    const Shape &shape = graph.shape(node.output(0));
    std::vector<float> values;
    const bool fits = graph.constant(other) && per_channel(graph.constants.at(other), shape, shape.size() - 1, values);
    return fits ? next[0] : -1;
}

} // namespace bsq_onnx
