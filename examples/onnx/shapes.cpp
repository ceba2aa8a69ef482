#include "shapes.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

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

// Whether anything became a constant.
bool fold(Graph &graph)
{
    bool changed = false;
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        const onnx::NodeProto &node = graph.nodes[i];
        const std::optional<Numbers> value = evaluate(graph, node);
        if (!value || graph.output(node.output(0)))
            continue;
        graph.constants[node.output(0)] = tensor_of(*value);
        graph.constants[node.output(0)].set_name(node.output(0));
        graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i--));
        changed = true;
    }
    return changed;
}

} // namespace

void compute_shapes(Graph &graph)
{
    do
        graph.infer_shapes();
    while (fold(graph));
    graph.sweep();
}

} // namespace bsq_onnx
