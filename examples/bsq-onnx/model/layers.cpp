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
    layer.input = node.input(layer.kind == Kind::table ? 1 : 0);
    layer.output = graph.nodes[static_cast<size_t>(last)].output(0);
    layer.input_shape = graph.shape(layer.input);
    layer.output_shape = graph.shape(layer.output);
    const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
    layer.multiplications = layer.kind == Kind::table ? 0 : count(layer.output_shape) * fan_in;
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

// See model/transposed.hpp.
std::string conv_transpose_layer(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    const Shape shape = shape_of(graph.constants.at(node.input(1)));
    const Shape &input = graph.shape(node.input(0));
    const size_t dims = shape.size() - 2;
    if (dims < 1 || dims > 3)
        return "it has not 1 to 3 spatial dimensions";
    if (find_attribute(node, "output_shape"))
        return "its padding depends on output_shape";
    if (get_text(node, "auto_pad", "NOTSET") != "NOTSET")
        return "its padding depends on the extents of its input";
    layer.kind = Kind::conv_transpose;
    layer.desc.kind = BSQ_KIND_CONV;
    layer.desc.spatial_dims = static_cast<int32_t>(dims);
    layer.desc.groups = get_integer(node, "group", 1);
    layer.desc.in_channels = shape[0];
    layer.desc.out_channels = shape[1] * layer.desc.groups;
    const std::vector<int64_t> ones(dims, 1), zeros(2 * dims, 0);
    const std::vector<int64_t> strides = get_integers(node, "strides", ones), pads = get_integers(node, "pads", zeros),
                               dilations = get_integers(node, "dilations", ones),
                               extra = get_integers(node, "output_padding", std::vector<int64_t>(dims, 0));
    if (shape[0] != input.at(1) || shape[0] % layer.desc.groups != 0)
        throw Error("ConvTranspose " + node.name() + " has weights that do not fit its input");
    for (size_t i = 0; i < dims; i++) {
        const int64_t reach = (shape[i + 2] - 1) * dilations.at(i);
        layer.desc.kernel[i] = shape[i + 2];
        layer.desc.stride[i] = 1;
        layer.desc.dilation[i] = dilations[i];
        layer.spread.push_back({strides.at(i), reach - pads.at(i), reach - pads.at(i + dims) + extra.at(i)});
    }
    int64_t volume = 1;
    for (size_t i = 2; i < shape.size(); i++)
        volume *= shape[i];
    layer.weights = swap_blocks(floats_of(graph.constants.at(node.input(1))), layer.desc.groups,
                                shape[0] / layer.desc.groups, shape[1], volume);
    layer.bias = constant_or_none(graph, input_of(node, 2));
    finish_layer(graph, index, index, layer);
    // Zeros between values are not multiplied.
    for (const Spread &spread : layer.spread)
        layer.multiplications = (layer.multiplications + spread.step - 1) / spread.step;
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

// Whether the node picks rows of a constant matrix by what the network computes.
bool is_table(const Graph &graph, const onnx::NodeProto &node)
{
    if (op_of(node) != "Gather" || !graph.constant(node.input(0)) || graph.constant(input_of(node, 1)))
        return false;
    const onnx::TensorProto &matrix = graph.constants.at(node.input(0));
    return matrix.data_type() == float_type && matrix.dims_size() == 2 && matrix.dims(0) > 1 && matrix.dims(1) > 1;
}

std::string table_layer(const Graph &graph, int index, Layer &layer)
{
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(index)];
    const onnx::TensorProto &matrix = graph.constants.at(node.input(0));
    if (get_integer(node, "axis", 0) != 0)
        return "it does not pick rows";
    layer.kind = Kind::table;
    layer.inner = true;
    layer.desc.out_channels = matrix.dims(0);
    layer.desc.in_channels = matrix.dims(1);
    layer.weights = floats_of(matrix);
    finish_layer(graph, index, index, layer);
    return "";
}

std::string layer_at(const Graph &graph, int index, Layer &layer)
{
    if (is_table(graph, graph.nodes[static_cast<size_t>(index)])) {
        bsq_layer_desc_init(&layer.desc, sizeof layer.desc);
        return table_layer(graph, index, layer);
    }
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
    if (op_of(node) == "Conv")
        return conv_layer(graph, index, layer);
    if (op_of(node) == "Gemm")
        return gemm_layer(graph, index, layer);
    if (op_of(node) == "MatMul")
        return matmul_layer(graph, index, layer);
    return conv_transpose_layer(graph, index, layer);
}

} // namespace

static const Composite *composite_of(const Graph &graph, const std::string &node);

static bool same_geometry(const bsq_layer_desc_t &a, const bsq_layer_desc_t &b)
{
    bool same = a.kind == b.kind && a.spatial_dims == b.spatial_dims && a.in_channels == b.in_channels &&
                a.out_channels == b.out_channels && a.groups == b.groups;
    for (int i = 0; i < a.spatial_dims && same; i++)
        same = a.kernel[i] == b.kernel[i] && a.stride[i] == b.stride[i] && a.dilation[i] == b.dilation[i] &&
               a.pad_begin[i] == b.pad_begin[i] && a.pad_end[i] == b.pad_end[i];
    return same;
}

// Whether two layers can have one copy of their weights, whose values tell: names do not, since each Gemm, and each layer
// that something is folded into, has got constants of its own.
static bool same_weights(const Layer &a, const Layer &b)
{
    const auto same = [](const Spread &x, const Spread &y) {
        return x.step == y.step && x.before == y.before && x.after == y.after;
    };
    return a.kind == b.kind && a.part == b.part && same_geometry(a.desc, b.desc) && a.weights == b.weights &&
           std::equal(a.spread.begin(), a.spread.end(), b.spread.begin(), b.spread.end(), same);
}

static int twin_of(const std::vector<Layer> &layers, const Layer &layer)
{
    const auto twin =
        std::find_if(layers.begin(), layers.end(), [&](const Layer &other) { return same_weights(other, layer); });
    return twin == layers.end() ? -1 : static_cast<int>(twin - layers.begin());
}

std::vector<Layer> find_layers(const Graph &graph, std::vector<Remark> &left_float)
{
    static const std::set<std::string> kinds = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
    std::vector<Layer> layers;
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        const onnx::NodeProto &node = graph.nodes[i];
        if (!kinds.count(op_of(node)) && !is_table(graph, node))
            continue;
        // Attention: two tensors that are both computed, of which no layer could be made.
        if (op_of(node) == "MatMul" && !graph.constant(node.input(0)) && !graph.constant(node.input(1)))
            continue;
        Layer layer;
        const std::string reason = layer_at(graph, static_cast<int>(i), layer);
        if (reason.empty()) {
            const Composite *composite = composite_of(graph, layer.name);
            layer.op = composite ? composite->node.op_type() : graph.nodes[i].op_type();
            layer.part = composite != nullptr;
            layer.inner = layer.inner || (composite && inner_tensor(graph, layer.input));
            layer.twin_of = twin_of(layers, layer);
            layers.push_back(layer);
        } else {
            left_float.push_back({graph.nodes[i].name(), graph.nodes[i].op_type(), reason});
        }
    }
    return layers;
}

bool is_convolution(const Layer &layer)
{
    return layer.desc.kind == BSQ_KIND_CONV;
}

int weight_input(const Layer &layer)
{
    return layer.kind == Kind::table ? 0 : 1;
}

Shape weight_shape(const Layer &layer, const Graph &graph)
{
    return shape_of(
        graph.constants.at(graph.nodes[static_cast<size_t>(first_node(layer, graph))].input(weight_input(layer))));
}

std::pair<std::string, std::string> constants_of(const Layer &layer, const Graph &graph)
{
    const int first = first_node(layer, graph);
    const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(first)];
    std::string bias = layer.kind == Kind::matmul || layer.kind == Kind::table ? "" : input_of(node, 2);
    if (layer.last_node != layer.node) {
        const onnx::NodeProto &add = graph.nodes[static_cast<size_t>(first + layer.last_node - layer.node)];
        bias = add.input(add.input(0) == node.output(0) ? 1 : 0);
    }
    return {node.input(weight_input(layer)), bias};
}

static const Composite *composite_of(const Graph &graph, const std::string &node)
{
    for (const Composite &composite : graph.composites)
        if (composite.nodes.count(node) > 0)
            return &composite;
    return nullptr;
}

bool inner_tensor(const Graph &graph, const std::string &tensor)
{
    const int made = graph.composites.empty() ? -1 : graph.producer(tensor);
    const Composite *composite =
        made < 0 ? nullptr : composite_of(graph, graph.nodes[static_cast<size_t>(made)].name());
    if (!composite)
        return false;
    const auto &outputs = composite->node.output();
    return std::find(outputs.begin(), outputs.end(), tensor) == outputs.end();
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
    replace_constant(graph, node, weight_input(layer),
                     make_tensor(weight_shape(layer, graph), node_order(layer, weights)));
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
    node.add_input(layer.kind == Kind::table ? weights : input);
    node.add_input(layer.kind == Kind::table ? input : weights);
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
