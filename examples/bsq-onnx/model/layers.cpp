#include "model/layers.hpp"

#include <algorithm>
#include <cmath>

#include "model/fold.hpp"

namespace bsq_onnx {

namespace {

void finish_layer(const Graph &graph, int index, int last, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    layer.name = node.name();
    layer.node = index;
    layer.last_node = last;
    layer.input = node.input(0);
    layer.output = graph.nodes[static_cast<size_t>(last)].output(0);
    layer.input_shape = graph.shape(layer.input);
    layer.output_shape = graph.shape(layer.output);
    const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
    layer.multiplications = count(layer.output_shape) * fan_in;
    for (const std::vector<float> *values : {&layer.weights, &layer.bias})
        if (!std::all_of(values->begin(), values->end(), [](float value) { return std::isfinite(value); }))
            throw Error("layer " + layer.name + " has weights that are not finite");
}

std::vector<float> constant_or_none(const Graph &graph, const std::string &name)
{
    return name.empty() ? std::vector<float>() : floats_of(graph.constants.at(name));
}

// The three below fill 'layer' and return "", or return why the node is none.

std::string conv_layer(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    const Shape shape = shape_of(graph.constants.at(node.input(1)));
    const Shape &input = graph.shape(node.input(0));
    const size_t dims = shape.size() - 2;
    if (dims < 1 || dims > 3)
        return "it has not 1 to 3 spatial dimensions";
    layer.kind = Kind::conv;
    layer.desc.kind = BSQ_KIND_CONV;
    layer.desc.spatial_dims = static_cast<int32_t>(dims);
    layer.desc.groups = get_integer(node, "group", 1);
    layer.desc.out_channels = shape[0];
    layer.desc.in_channels = input.at(1);
    const std::vector<int64_t> ones(dims, 1), zeros(2 * dims, 0);
    const std::vector<int64_t> strides = get_integers(node, "strides", ones), pads = get_integers(node, "pads", zeros),
                               dilations = get_integers(node, "dilations", ones);
    const Shape kernel(shape.begin() + 2, shape.end());
    if (shape[1] * layer.desc.groups != input[1] || shape[0] % layer.desc.groups != 0 ||
        get_integers(node, "kernel_shape", kernel) != kernel)
        throw Error("Conv " + node.name() + " has weights that do not fit its input");
    for (size_t i = 0; i < dims; i++) {
        layer.desc.kernel[i] = kernel[i];
        layer.desc.stride[i] = strides.at(i);
        layer.desc.dilation[i] = dilations.at(i);
        layer.desc.pad_begin[i] = pads.at(i);
        layer.desc.pad_end[i] = pads.at(i + dims);
        if (pads[i] < 0 || pads[i + dims] < 0)
            return "it has negative padding";
    }
    layer.weights = floats_of(graph.constants.at(node.input(1)));
    layer.bias = constant_or_none(graph, input_of(node, 2));
    finish_layer(graph, index, index, layer);
    return "";
}

// Gemm is x B' + c here (normalize_layers).
std::string gemm_layer(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    const Shape shape = shape_of(graph.constants.at(node.input(1)));
    layer.kind = Kind::gemm;
    layer.desc.out_channels = shape.at(0);
    layer.desc.in_channels = shape.at(1);
    layer.weights = floats_of(graph.constants.at(node.input(1)));
    layer.bias = constant_or_none(graph, input_of(node, 2));
    finish_layer(graph, index, index, layer);
    return "";
}

// The bias that 'add' adds to 'tensor', M values.
std::vector<float> added_values(const Graph &graph, const onnx::NodeProto &add, const std::string &tensor,
                                int64_t channels)
{
    std::vector<float> values = floats_of(graph.constants.at(add.input(add.input(0) == tensor ? 1 : 0)));
    if (values.size() == 1)
        values.assign(static_cast<size_t>(channels), values[0]);
    return values;
}

std::string matmul_layer(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    const onnx::TensorProto &matrix = graph.constants.at(node.input(1));
    const Shape shape = shape_of(matrix);
    if (shape.size() != 2)
        return "its weights are not one matrix";
    if (graph.shape(node.input(0)).size() < (graph.traced ? 1 : 2))
        return "its input is no row";
    layer.kind = Kind::matmul;
    layer.desc.in_channels = shape[0];
    layer.desc.out_channels = shape[1];
    layer.weights = transpose(floats_of(matrix), shape[0], shape[1]);
    const int add = matmul_bias(graph, index);
    if (add >= 0)
        layer.bias = added_values(graph, graph.nodes[static_cast<size_t>(add)], node.output(0), shape[1]);
    finish_layer(graph, index, add >= 0 ? add : index, layer);
    return "";
}

std::string layer_at(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    if (!graph.constant(input_of(node, 1)))
        return graph.constant(node.input(0)) ? "its weights are on the left" : "its weights are not constant";
    for (int i = 0; i < node.input_size(); i++)
        if (const std::string &name = node.input(i);
            !name.empty() &&
            (graph.constant(name) ? graph.constants.at(name).data_type() : graph.type(name)) != float_type)
            return "its tensor " + name + " is not float32";
    if (find_attribute(node, "auto_pad"))
        return "its padding depends on the extents of its input";
    if (!input_of(node, 2).empty() && !graph.constant(node.input(2)))
        return "its bias is not constant";
    bsq_layer_desc_init(&layer.desc, sizeof layer.desc);
    if (node.op_type() == "Conv")
        return conv_layer(graph, index, layer);
    if (node.op_type() == "Gemm")
        return gemm_layer(graph, index, layer);
    if (node.op_type() == "MatMul")
        return matmul_layer(graph, index, layer);
    return "the library has no transposed convolutions";
}

} // namespace

std::vector<Layer> find_layers(const Graph &graph, std::vector<Remark> &left_float)
{
    static const std::set<std::string> kinds = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
    std::vector<Layer> layers;
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        const onnx::NodeProto &node = graph.nodes[i];
        if (!kinds.count(node.op_type()) || !is_standard(node))
            continue;
        // Attention: two tensors that are both computed, of which no layer could be made.
        if (node.op_type() == "MatMul" && !graph.constant(node.input(0)) && !graph.constant(node.input(1)))
            continue;
        Layer layer;
        const std::string reason = layer_at(graph, static_cast<int>(i), layer);
        if (reason.empty())
            layers.push_back(layer);
        else
            left_float.push_back({graph.nodes[i].name(), graph.nodes[i].op_type(), reason});
    }
    return layers;
}

Shape weight_shape(const Layer &layer, const Graph &graph)
{
    return shape_of(graph.constants.at(graph.nodes[static_cast<size_t>(first_node(layer, graph))].input(1)));
}

int64_t input_channel(const Layer &layer, int64_t m, int64_t k)
{
    const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
    const int64_t each = layer.desc.in_channels / layer.desc.groups; // channels of a group
    const int64_t group = m / (layer.desc.out_channels / layer.desc.groups);
    return group * each + k / (fan_in / each);
}

// A constant of one node: others may read the same one.
static void replace_constant(Graph &graph, onnx::NodeProto &node, int input, const onnx::TensorProto &value)
{
    const std::string name = node.input(input);
    if (graph.consumers(name).size() > 1)
        node.set_input(input, graph.add_constant(name + "/rescaled", value));
    else
        (graph.constants[name] = value).set_name(name);
}

void rescale_layer(const Layer &layer, const Rescaling &rescaling, Graph &graph)
{
    if (rescaling.input.empty() && rescaling.output.empty())
        return;
    const int64_t channels = layer.desc.out_channels, fan_in = static_cast<int64_t>(layer.weights.size()) / channels;
    const auto output = [&](int64_t m) {
        return rescaling.output.empty() ? 1.0F : rescaling.output[static_cast<size_t>(m)];
    };
    const auto input = [&](int64_t m, int64_t k) {
        return rescaling.input.empty() ? 1.0F : rescaling.input[static_cast<size_t>(input_channel(layer, m, k))];
    };
    std::vector<float> weights = layer.weights, bias = layer.bias;
    for (int64_t m = 0; m < channels; m++) {
        for (int64_t k = 0; k < fan_in; k++)
            weights[static_cast<size_t>(m * fan_in + k)] *= output(m) / input(m, k);
        if (!bias.empty())
            bias[static_cast<size_t>(m)] *= output(m);
    }
    onnx::NodeProto &node = graph.nodes[static_cast<size_t>(first_node(layer, graph))];
    replace_constant(graph, node, 1, make_tensor(weight_shape(layer, graph), node_order(layer, weights)));
    if (!bias.empty() && layer.kind != Kind::matmul)
        replace_constant(graph, node, 2, make_tensor({channels}, bias));
}

int first_node(const Layer &layer, const Graph &graph)
{
    return graph.producer(layer.output) - (layer.last_node - layer.node);
}

std::vector<onnx::NodeProto> layer_nodes(const Layer &layer, const Graph &graph, const std::string &input,
                                         const std::string &weights, const std::string &bias)
{
    onnx::NodeProto node = graph.nodes[static_cast<size_t>(first_node(layer, graph))];
    node.clear_input();
    node.add_input(input);
    node.add_input(weights);
    node.set_output(0, layer.output);
    if (bias.empty())
        return {node};
    if (layer.kind != Kind::matmul) {
        node.add_input(bias);
        return {node};
    }
    const std::string product = graph.unused(layer.output + "/product");
    node.set_output(0, product);
    return {node, make_node("Add", product + "/bias", {product, bias}, layer.output)};
}

} // namespace bsq_onnx
