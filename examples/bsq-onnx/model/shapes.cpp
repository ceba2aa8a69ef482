#include "model/shapes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include <onnx/shape_inference/implementation.h>

namespace bsq_onnx {

namespace {

// A scalar or a vector; integers are exact in double up to 2^53, far more than extents have.
struct Numbers {
    bool real = false; // float32, else int64
    bool scalar = false;
    std::vector<double> values;
};

std::optional<Numbers> numbers_of(const Graph &graph, const std::string &name)
{
    if (!graph.constant(name))
        return std::nullopt;
    const onnx::TensorProto &tensor = graph.constants.at(name);
    Numbers result;
    if (tensor.dims_size() > 1)
        return std::nullopt;
    result.scalar = tensor.dims_size() == 0;
    if (tensor.data_type() == onnx::TensorProto::FLOAT) {
        const std::vector<float> values = floats_of(tensor);
        result.real = true;
        result.values.assign(values.begin(), values.end());
    } else if (tensor.data_type() == onnx::TensorProto::INT64 || tensor.data_type() == onnx::TensorProto::INT32) {
        const std::vector<int64_t> values = integers_of(tensor);
        result.values.assign(values.begin(), values.end());
    } else {
        return std::nullopt;
    }
    return result;
}

onnx::TensorProto tensor_of(const Numbers &numbers)
{
    const Shape shape = numbers.scalar ? Shape{} : Shape{static_cast<int64_t>(numbers.values.size())};
    if (numbers.real)
        return make_tensor(shape, std::vector<float>(numbers.values.begin(), numbers.values.end()));
    return make_tensor(shape, std::vector<int64_t>(numbers.values.begin(), numbers.values.end()));
}

std::optional<Numbers> shape_numbers(const Graph &graph, const onnx::NodeProto &node)
{
    const auto known = graph.shapes.find(node.input(0));
    if (known == graph.shapes.end())
        return std::nullopt;
    const int64_t rank = static_cast<int64_t>(known->second.size());
    const auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
    const int64_t start = clamp(get_integer(node, "start", 0)), end = clamp(get_integer(node, "end", rank));
    Numbers result;
    for (int64_t i = start; i < end; i++)
        result.values.push_back(static_cast<double>(known->second[static_cast<size_t>(i)]));
    return result;
}

std::optional<Numbers> gather(const onnx::NodeProto &node, const std::vector<Numbers> &inputs)
{
    if (get_integer(node, "axis", 0) != 0 || inputs.size() != 2)
        return std::nullopt;
    Numbers result = inputs[0];
    result.values.clear();
    result.scalar = inputs[1].scalar;
    const double size = static_cast<double>(inputs[0].values.size());
    for (double index : inputs[1].values) {
        const double at = index < 0 ? index + size : index;
        if (at < 0 || at >= size)
            return std::nullopt;
        result.values.push_back(inputs[0].values[static_cast<size_t>(at)]);
    }
    return result;
}

std::optional<Numbers> slice(const onnx::NodeProto &node, const std::vector<Numbers> &inputs)
{
    const std::vector<int64_t> starts = get_integers(node, "starts"), ends = get_integers(node, "ends");
    const double size = static_cast<double>(inputs[0].values.size());
    double start, end;
    if (inputs.size() >= 3 && inputs[1].values.size() == 1 && inputs[2].values.size() == 1) {
        if (inputs.size() == 5 && inputs[4].values != std::vector<double>{1})
            return std::nullopt;
        start = inputs[1].values[0];
        end = inputs[2].values[0];
    } else if (starts.size() == 1 && ends.size() == 1) {
        start = static_cast<double>(starts[0]);
        end = static_cast<double>(ends[0]);
    } else {
        return std::nullopt;
    }
    start = std::clamp(start < 0 ? start + size : start, 0.0, size);
    end = std::clamp(end < 0 ? end + size : end, start, size);
    Numbers result = inputs[0];
    result.values = {inputs[0].values.begin() + static_cast<std::ptrdiff_t>(start),
                     inputs[0].values.begin() + static_cast<std::ptrdiff_t>(end)};
    return result;
}

std::optional<Numbers> arithmetic(const std::string &op, const std::vector<Numbers> &inputs)
{
    if (inputs.size() != 2 || inputs[0].real != inputs[1].real)
        return std::nullopt;
    const std::vector<double> &a = inputs[0].values, &b = inputs[1].values;
    if (a.empty() || b.empty() || (a.size() != b.size() && a.size() != 1 && b.size() != 1))
        return std::nullopt;
    Numbers result = inputs[0];
    result.scalar = inputs[0].scalar && inputs[1].scalar;
    result.values.clear();
    for (size_t i = 0; i < std::max(a.size(), b.size()); i++) {
        const double x = a[a.size() == 1 ? 0 : i], y = b[b.size() == 1 ? 0 : i];
        double value = op == "Add" ? x + y : op == "Sub" ? x - y : op == "Mul" ? x * y : y != 0 ? x / y : 0;
        value = result.real ? static_cast<float>(value) : std::trunc(value);
        if (!(std::fabs(value) < 0x1p53))
            return std::nullopt;
        result.values.push_back(value);
    }
    return result;
}

std::optional<Numbers> concat(const std::vector<Numbers> &inputs)
{
    Numbers result = inputs[0];
    result.values.clear();
    for (const Numbers &input : inputs) {
        if (input.scalar || input.real != result.real)
            return std::nullopt;
        result.values.insert(result.values.end(), input.values.begin(), input.values.end());
    }
    return result;
}

std::optional<Numbers> cast(const onnx::NodeProto &node, Numbers value)
{
    const int64_t to = get_integer(node, "to", 0);
    if (to != onnx::TensorProto::FLOAT && to != onnx::TensorProto::INT64 && to != onnx::TensorProto::INT32)
        return std::nullopt;
    value.real = to == onnx::TensorProto::FLOAT;
    for (double &number : value.values)
        number = value.real ? static_cast<float>(number) : std::trunc(number);
    return value;
}

// What the node computes from constants and shapes, if it is a scalar or a vector.
std::optional<Numbers> evaluate(const Graph &graph, const onnx::NodeProto &node)
{
    const std::string &op = node.op_type();
    if (op == "Shape")
        return shape_numbers(graph, node);
    std::vector<Numbers> inputs;
    for (const std::string &name : node.input()) {
        const std::optional<Numbers> input = numbers_of(graph, name);
        if (!input)
            return std::nullopt;
        inputs.push_back(*input);
    }
    if (inputs.empty())
        return std::nullopt;
    if (op == "Gather")
        return gather(node, inputs);
    if (op == "Slice")
        return slice(node, inputs);
    if (op == "Concat")
        return concat(inputs);
    if (op == "Cast")
        return cast(node, inputs[0]);
    if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div")
        return arithmetic(op, inputs);
    const bool squeeze = op == "Squeeze" && inputs[0].values.size() == 1;
    if (squeeze || (op == "Unsqueeze" && inputs[0].scalar)) {
        inputs[0].scalar = squeeze;
        return inputs[0];
    }
    if ((op == "Floor" || op == "Ceil") && inputs[0].real) {
        for (double &value : inputs[0].values)
            value = op == "Floor" ? std::floor(value) : std::ceil(value);
        return inputs[0];
    }
    return std::nullopt;
}

// Weights and attributes of convolutions and pools have the dimensions of their inputs: ONNX reads beyond them
// otherwise.
void check_dimensions(const Graph &graph, const onnx::NodeProto &node)
{
    static const std::set<std::string> windowed = {"AveragePool", "Conv", "ConvTranspose", "MaxPool"};
    const std::string label = node.op_type() + " " + node.name();
    if (node.op_type() == "Gemm")
        for (int i = 0; i < 2; i++)
            if (graph.constant(node.input(i)) && graph.constants.at(node.input(i)).dims_size() != 2)
                throw Error(label + " multiplies something that is not a matrix");
    if (!windowed.count(node.op_type()))
        return;
    const size_t rank = graph.shape(node.input(0)).size();
    if (rank < 3)
        throw Error(label + " has no spatial dimensions");
    if (graph.constant(input_of(node, 1))) {
        const Shape weights = shape_of(graph.constants.at(node.input(1)));
        if (weights.size() != rank || count(weights) == 0)
            throw Error(label + " has weights that do not fit its input");
        const std::vector<int64_t> kernel(weights.begin() + 2, weights.end());
        if (get_integers(node, "kernel_shape", kernel) != kernel)
            throw Error(label + " has weights of another size than kernel_shape");
    }
    for (const char *name : {"kernel_shape", "strides", "dilations", "pads"}) {
        const auto *attribute = find_attribute(node, name);
        const size_t wanted = (rank - 2) * (std::strcmp(name, "pads") == 0 ? 2 : 1);
        if (attribute && static_cast<size_t>(attribute->ints_size()) != wanted)
            throw Error(label + " has " + name + " of a wrong size");
    }
}

constexpr int64_t largest_tensor = std::numeric_limits<int32_t>::max(); // values; what OpenCV can count
constexpr size_t small_constant = 64;                                   // more values than sizes, scales and axes have

// A network of this node alone.
onnx::ModelProto network_of(const Graph &graph, const onnx::NodeProto &node)
{
    onnx::ModelProto model;
    model.set_ir_version(7);
    model.add_opset_import()->set_version(graph.opset);
    onnx::GraphProto &part = *model.mutable_graph();
    *part.add_node() = node;
    std::set<std::string> known;
    for (const std::string &name : node.input()) {
        if (name.empty() || !known.insert(name).second)
            continue;
        if (!graph.constant(name)) {
            *part.add_input() = value_info(name, graph.shape(name));
            continue;
        }
        const onnx::TensorProto &tensor = graph.constants.at(name);
        const Shape shape = shape_of(tensor);
        if (static_cast<size_t>(count(shape)) <= small_constant) {
            *part.add_initializer() = tensor;
        } else {
            *part.add_input() = value_info(name, shape);
            part.mutable_input(part.input_size() - 1)
                ->mutable_type()
                ->mutable_tensor_type()
                ->set_elem_type(tensor.data_type());
        }
    }
    return model;
}

void infer_shapes(Graph &graph, const onnx::NodeProto &node)
{
    check_dimensions(graph, node);
    onnx::ModelProto model = network_of(graph, node);
    try {
        const onnx::ShapeInferenceOptions strict(true, 1, false);
        onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), strict);
    } catch (const std::exception &error) {
        const std::string text = error.what();
        throw Error(node.op_type() + " " + node.name() +
                    " does not fit its inputs: " + text.substr(0, text.find('\n')));
    }
    for (const auto &value : model.graph().value_info()) {
        Shape shape;
        for (const auto &extent : value.type().tensor_type().shape().dim())
            shape.push_back(extent.dim_value());
        const bool fixed = std::all_of(shape.begin(), shape.end(), [](int64_t extent) { return extent > 0; });
        if (value.type().tensor_type().elem_type() != onnx::TensorProto::FLOAT)
            throw Beyond("tensor " + value.name() + " is not float32");
        if (value.type().tensor_type().has_shape() && fixed && count(shape) <= largest_tensor)
            graph.shapes[value.name()] = shape;
    }
    for (const std::string &name : node.output())
        if (!name.empty() && graph.shapes.count(name) == 0)
            throw Beyond("the shape of tensor " + name + " is not known");
}

} // namespace

void compute_shapes(Graph &graph)
{
    graph.shapes = {{graph.inputs[0], graph.shape(graph.inputs[0])}};
    std::vector<onnx::NodeProto> kept;
    for (const onnx::NodeProto &node : graph.nodes) {
        const std::optional<Numbers> value = evaluate(graph, node);
        if (value && !graph.output(node.output(0))) {
            graph.constants[node.output(0)] = tensor_of(*value);
            graph.constants[node.output(0)].set_name(node.output(0));
        } else {
            infer_shapes(graph, node);
            kept.push_back(node);
        }
    }
    graph.nodes = kept;
    graph.sweep();
}

} // namespace bsq_onnx
