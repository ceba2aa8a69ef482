#include "model/graph.hpp"

#include <algorithm>
#include <cstring>

namespace bsq_onnx {

namespace {

onnx::AttributeProto &fresh_attribute(onnx::NodeProto &node, const std::string &name,
                                      onnx::AttributeProto::AttributeType type)
{
    remove_attribute(node, name);
    onnx::AttributeProto &attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
}

template <typename T> onnx::TensorProto raw_tensor(const Shape &shape, const std::vector<T> &values, int32_t type)
{
    onnx::TensorProto tensor;
    for (int64_t extent : shape)
        tensor.add_dims(extent);
    tensor.set_data_type(type);
    tensor.set_raw_data(values.data(), values.size() * sizeof(T));
    return tensor;
}

template <typename T> std::vector<T> raw_values(const onnx::TensorProto &tensor)
{
    std::vector<T> values(tensor.raw_data().size() / sizeof(T));
    if (!values.empty())
        std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(T));
    return values;
}

// Of FLOAT16 and BFLOAT16, which lie in raw bytes, or one in each integer.
std::vector<float> halves_of(const onnx::TensorProto &tensor)
{
    std::vector<uint16_t> halves = raw_values<uint16_t>(tensor);
    if (!tensor.has_raw_data())
        for (const int32_t bits : tensor.int32_data())
            halves.push_back(static_cast<uint16_t>(bits));
    std::vector<float> values;
    values.reserve(halves.size());
    for (const uint16_t half : halves)
        values.push_back(tensor.data_type() == onnx::TensorProto::FLOAT16 ? from_float16(half) : from_bfloat16(half));
    return values;
}

// What is known of a tensor's shape; an extent that is not static is -1.
Shape shape_of(const onnx::TypeProto &type)
{
    Shape shape;
    for (const auto &extent : type.tensor_type().shape().dim())
        shape.push_back(extent.has_dim_value() ? extent.dim_value() : -1);
    return shape;
}

// The oldest version of the file format that goes with an opset.
int64_t needed_ir_version(int64_t opset)
{
    if (opset >= 21)
        return opset >= 23 ? 11 : 10;
    return opset >= 15 ? 8 : opset >= 13 ? 7 : opset >= 9 ? opset - 5 : 4;
}

} // namespace

// ---- attributes ----

const onnx::AttributeProto *find_attribute(const onnx::NodeProto &node, const std::string &name)
{
    for (const auto &attribute : node.attribute())
        if (attribute.name() == name)
            return &attribute;
    return nullptr;
}

int64_t get_integer(const onnx::NodeProto &node, const std::string &name, int64_t otherwise)
{
    const auto *attribute = find_attribute(node, name);
    return attribute ? attribute->i() : otherwise;
}

float get_real(const onnx::NodeProto &node, const std::string &name, float otherwise)
{
    const auto *attribute = find_attribute(node, name);
    return attribute ? attribute->f() : otherwise;
}

std::string get_text(const onnx::NodeProto &node, const std::string &name, const std::string &otherwise)
{
    const auto *attribute = find_attribute(node, name);
    return attribute ? attribute->s() : otherwise;
}

std::vector<int64_t> get_integers(const onnx::NodeProto &node, const std::string &name,
                                  const std::vector<int64_t> &otherwise)
{
    const auto *attribute = find_attribute(node, name);
    if (!attribute)
        return otherwise;
    return {attribute->ints().begin(), attribute->ints().end()};
}

void set_integer(onnx::NodeProto &node, const std::string &name, int64_t value)
{
    fresh_attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void set_real(onnx::NodeProto &node, const std::string &name, float value)
{
    fresh_attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value);
}

void set_text(onnx::NodeProto &node, const std::string &name, const std::string &value)
{
    fresh_attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void set_integers(onnx::NodeProto &node, const std::string &name, const std::vector<int64_t> &values)
{
    auto &attribute = fresh_attribute(node, name, onnx::AttributeProto::INTS);
    for (int64_t value : values)
        attribute.add_ints(value);
}

void remove_attribute(onnx::NodeProto &node, const std::string &name)
{
    for (int i = node.attribute_size() - 1; i >= 0; i--)
        if (node.attribute(i).name() == name)
            node.mutable_attribute()->DeleteSubrange(i, 1);
}

bool is_standard(const onnx::NodeProto &node)
{
    return node.domain().empty() || node.domain() == "ai.onnx";
}

std::string op_of(const onnx::NodeProto &node)
{
    return is_standard(node) ? node.op_type() : node.domain() + "." + node.op_type();
}

std::string input_of(const onnx::NodeProto &node, int index)
{
    return index < node.input_size() ? node.input(index) : std::string();
}

// ---- tensors ----

Shape shape_of(const onnx::TensorProto &tensor)
{
    return {tensor.dims().begin(), tensor.dims().end()};
}

std::vector<float> floats_of(const onnx::TensorProto &tensor)
{
    if (tensor.data_type() == onnx::TensorProto::FLOAT16 || tensor.data_type() == onnx::TensorProto::BFLOAT16)
        return halves_of(tensor);
    if (tensor.data_type() != onnx::TensorProto::FLOAT)
        throw Error("constant " + tensor.name() + " is not float32");
    if (tensor.has_raw_data())
        return raw_values<float>(tensor);
    return {tensor.float_data().begin(), tensor.float_data().end()};
}

std::vector<int64_t> integers_of(const onnx::TensorProto &tensor)
{
    if (tensor.data_type() == onnx::TensorProto::INT64) {
        if (tensor.has_raw_data())
            return raw_values<int64_t>(tensor);
        return {tensor.int64_data().begin(), tensor.int64_data().end()};
    }
    if (tensor.data_type() != onnx::TensorProto::INT32)
        throw Error("constant " + tensor.name() + " does not hold integers");
    if (!tensor.has_raw_data())
        return {tensor.int32_data().begin(), tensor.int32_data().end()};
    const std::vector<int32_t> values = raw_values<int32_t>(tensor);
    return {values.begin(), values.end()};
}

onnx::TensorProto make_tensor(const Shape &shape, const std::vector<float> &values)
{
    return raw_tensor(shape, values, onnx::TensorProto::FLOAT);
}

onnx::TensorProto make_tensor(const Shape &shape, const std::vector<int64_t> &values)
{
    return raw_tensor(shape, values, onnx::TensorProto::INT64);
}

onnx::TensorProto make_tensor(const Shape &shape, const std::vector<int8_t> &values)
{
    return raw_tensor(shape, values, onnx::TensorProto::INT8);
}

onnx::TensorProto constant_value(const onnx::NodeProto &node)
{
    for (const auto &value : node.attribute()) {
        if (value.name() == "value")
            return value.t();
        if (value.name() == "value_float")
            return make_tensor({}, std::vector<float>{value.f()});
        if (value.name() == "value_floats")
            return make_tensor({value.floats_size()}, std::vector<float>(value.floats().begin(), value.floats().end()));
        if (value.name() == "value_int")
            return make_tensor({}, std::vector<int64_t>{value.i()});
        if (value.name() == "value_ints")
            return make_tensor({value.ints_size()}, std::vector<int64_t>(value.ints().begin(), value.ints().end()));
    }
    throw Error("constant " + node.output(0) + " has a type that is not supported");
}

onnx::NodeProto make_node(const std::string &op, const std::string &name, const std::vector<std::string> &inputs,
                          const std::string &output)
{
    onnx::NodeProto node;
    node.set_op_type(op);
    node.set_name(name);
    for (const std::string &tensor : inputs)
        node.add_input(tensor);
    node.add_output(output);
    return node;
}

onnx::ValueInfoProto value_info(const std::string &name, const Shape &shape, int32_t element_type)
{
    onnx::ValueInfoProto info;
    info.set_name(name);
    auto &type = *info.mutable_type()->mutable_tensor_type();
    type.set_elem_type(element_type);
    type.mutable_shape();
    for (int64_t extent : shape) {
        auto &dim = *type.mutable_shape()->add_dim();
        if (extent >= 0)
            dim.set_dim_value(extent);
    }
    return info;
}

// Names that the graph reads and does not make itself.
static void read_around(const onnx::GraphProto &graph, std::vector<std::string> &names)
{
    std::set<std::string> own;
    for (const auto &value : graph.input())
        own.insert(value.name());
    for (const auto &tensor : graph.initializer())
        own.insert(tensor.name());
    const auto read = [&](const std::string &name) {
        if (!name.empty() && own.count(name) == 0 && std::count(names.begin(), names.end(), name) == 0)
            names.push_back(name);
    };
    for (const auto &node : graph.node()) {
        for (const std::string &name : reads_of(node))
            read(name);
        own.insert(node.output().begin(), node.output().end());
    }
    for (const auto &value : graph.output())
        read(value.name());
}

std::vector<std::string> reads_of(const onnx::NodeProto &node)
{
    std::vector<std::string> names(node.input().begin(), node.input().end());
    for (const auto &attribute : node.attribute()) {
        if (attribute.has_g())
            read_around(attribute.g(), names);
        for (const auto &graph : attribute.graphs())
            read_around(graph, names);
    }
    return names;
}

int64_t count(const Shape &shape)
{
    int64_t product = 1;
    for (int64_t extent : shape)
        if (extent < 0 || __builtin_mul_overflow(product, extent, &product))
            throw Error("a tensor is too large");
    return product;
}

bool keeps_values(const onnx::NodeProto &node)
{
    static const std::set<std::string> keep = {"Concat",  "DepthToSpace", "Expand",    "Flatten",  "Identity",
                                               "MaxPool", "Pad",          "Reshape",   "Slice",    "SpaceToDepth",
                                               "Split",   "Squeeze",      "Transpose", "Unsqueeze"};
    if (node.op_type() == "Resize")
        return get_text(node, "mode", "nearest") == "nearest";
    return keep.count(op_of(node)) > 0;
}

std::vector<std::string> data_inputs(const Graph &graph, const onnx::NodeProto &node)
{
    static const std::set<std::string> several = {"Add", "Concat", "Div", "Max", "Min", "Mul", "Sub", "Sum"};
    std::vector<std::string> inputs;
    const int count = several.count(op_of(node)) ? node.input_size() : std::min(node.input_size(), 1);
    for (int i = 0; i < count; i++)
        if (!node.input(i).empty() && !graph.constant(node.input(i)))
            inputs.push_back(node.input(i));
    return inputs;
}

// ---- the graph ----

Graph::Graph(const onnx::ModelProto &model) : frame_(model)
{
    for (const auto &import : model.opset_import())
        if (import.domain().empty() || import.domain() == "ai.onnx")
            opset = import.version();
    for (const auto &tensor : model.graph().initializer())
        constants[tensor.name()] = tensor;
    for (const auto &value : model.graph().output())
        outputs.push_back(value.name());
    for (const auto &node : model.graph().node()) {
        if (op_of(node) == "Constant")
            (constants[node.output(0)] = constant_value(node)).set_name(node.output(0));
        else
            nodes.push_back(node);
    }
    for (const auto &value : model.graph().value_info())
        shapes[value.name()] = shape_of(value.type());
    for (const auto &value : model.graph().output())
        shapes[value.name()] = shape_of(value.type());
    onnx::GraphProto &graph = *frame_.mutable_graph();
    graph.clear_input();
    for (const auto &value : model.graph().input()) {
        if (constant(value.name()))
            continue;
        inputs.push_back(value.name());
        shapes[value.name()] = shape_of(value.type());
        *graph.add_input() = value;
    }
    graph.clear_node();
    graph.clear_initializer();
    graph.clear_value_info();
    graph.clear_quantization_annotation();
    frame_.clear_training_info();
}

onnx::ModelProto Graph::proto() const
{
    onnx::ModelProto model = frame_;
    model.set_ir_version(std::max(model.ir_version(), needed_ir_version(opset)));
    model.clear_opset_import();
    for (const auto &import : imports())
        *model.add_opset_import() = import;
    onnx::GraphProto &graph = *model.mutable_graph();
    for (const auto &node : nodes)
        *graph.add_node() = node;
    for (const auto &[name, tensor] : constants) {
        *graph.add_initializer() = tensor;
        graph.mutable_initializer(graph.initializer_size() - 1)->set_name(name);
    }
    // The network's own words for its inputs and outputs stay where extents are an example's.
    if (traced)
        return model;
    graph.clear_input();
    graph.clear_output();
    for (const std::string &name : inputs)
        *graph.add_input() = value_info(name, shape(name));
    for (const auto &[name, shape] : shapes)
        if (!input(name) && !output(name))
            *graph.add_value_info() = value_info(name, shape);
    for (const std::string &name : outputs) {
        const auto found = shapes.find(name);
        if (found != shapes.end())
            *graph.add_output() = value_info(name, found->second);
        else
            graph.add_output()->set_name(name);
    }
    return model;
}

bool Graph::output(const std::string &tensor) const
{
    return std::find(outputs.begin(), outputs.end(), tensor) != outputs.end();
}

const Shape &Graph::shape(const std::string &tensor) const
{
    const auto found = shapes.find(tensor);
    if (found == shapes.end())
        throw Error("the shape of tensor " + tensor + " is not known");
    return found->second;
}

int32_t Graph::type(const std::string &tensor) const
{
    const auto found = types.find(tensor);
    return found != types.end() ? found->second : float_type;
}

bool Graph::input(const std::string &tensor) const
{
    return std::find(inputs.begin(), inputs.end(), tensor) != inputs.end();
}

onnx::ValueInfoProto Graph::info(const std::string &tensor) const
{
    return value_info(tensor, traced ? Shape(shape(tensor).size(), -1) : shape(tensor), type(tensor));
}

std::vector<onnx::OperatorSetIdProto> Graph::imports() const
{
    std::vector<onnx::OperatorSetIdProto> list(1);
    list[0].set_version(opset);
    for (const auto &import : frame_.opset_import())
        if (traced && !import.domain().empty() && import.domain() != "ai.onnx")
            list.push_back(import);
    return list;
}

int Graph::producer(const std::string &tensor) const
{
    for (size_t i = 0; i < nodes.size(); i++)
        for (const std::string &name : nodes[i].output())
            if (name == tensor)
                return static_cast<int>(i);
    return -1;
}

std::vector<int> Graph::consumers(const std::string &tensor) const
{
    std::vector<int> found;
    for (size_t i = 0; i < nodes.size(); i++)
        if (const std::vector<std::string> reads = reads_of(nodes[i]);
            std::find(reads.begin(), reads.end(), tensor) != reads.end())
            found.push_back(static_cast<int>(i));
    return found;
}

std::string Graph::unused(const std::string &base) const
{
    std::set<std::string> used(outputs.begin(), outputs.end());
    used.insert(inputs.begin(), inputs.end());
    for (const auto &entry : constants)
        used.insert(entry.first);
    for (const auto &node : nodes) {
        used.insert(node.name());
        used.insert(node.output().begin(), node.output().end());
    }
    std::string name = base;
    for (int i = 2; used.count(name); i++)
        name = base + "_" + std::to_string(i);
    return name;
}

std::string Graph::add_constant(const std::string &base, const onnx::TensorProto &value)
{
    const std::string name = unused(base);
    constants[name] = value;
    constants[name].set_name(name);
    return name;
}

void Graph::replace_uses(const std::string &from, const std::string &to)
{
    for (auto &node : nodes)
        for (std::string &name : *node.mutable_input())
            if (name == from)
                name = to;
}

void Graph::sweep()
{
    std::set<std::string> needed(outputs.begin(), outputs.end());
    needed.insert(observed.begin(), observed.end());
    std::vector<onnx::NodeProto> kept;
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        const auto &results = node->output();
        if (std::none_of(results.begin(), results.end(),
                         [&](const std::string &name) { return needed.count(name) != 0; }))
            continue;
        const std::vector<std::string> reads = reads_of(*node);
        needed.insert(reads.begin(), reads.end());
        kept.push_back(*node);
    }
    nodes.assign(kept.rbegin(), kept.rend());
    for (auto entry = constants.begin(); entry != constants.end();)
        entry = needed.count(entry->first) ? std::next(entry) : constants.erase(entry);
}

} // namespace bsq_onnx
