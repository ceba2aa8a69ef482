#include "model/halves.hpp"

#include <algorithm>
#include <cstring>

namespace bsq_onnx {

namespace {

constexpr int64_t least_narrowed = 64; // values: casts of fewer take more than they save

bool is_half(int64_t type)
{
    return type == onnx::TensorProto::FLOAT16 || type == onnx::TensorProto::BFLOAT16;
}

void widen_tensor(onnx::TensorProto &tensor)
{
    if (!is_half(tensor.data_type()))
        return;
    const std::string name = tensor.name();
    tensor = make_tensor(shape_of(tensor), floats_of(tensor));
    tensor.set_name(name);
}

void widen_type(onnx::ValueInfoProto &value)
{
    auto &type = *value.mutable_type()->mutable_tensor_type();
    if (is_half(type.elem_type()))
        type.set_elem_type(onnx::TensorProto::FLOAT);
}

// A tensor of which every value is one of 'type'; whether it could be made.
bool narrowed(const onnx::TensorProto &tensor, int32_t type, onnx::TensorProto &result)
{
    if (tensor.data_type() != onnx::TensorProto::FLOAT || count(shape_of(tensor)) < least_narrowed)
        return false;
    const bool short_range = type == onnx::TensorProto::FLOAT16;
    std::vector<uint16_t> halves;
    for (const float value : floats_of(tensor)) {
        const uint16_t half = short_range ? to_float16(value) : to_bfloat16(value);
        const float back = short_range ? from_float16(half) : from_bfloat16(half);
        if (std::memcmp(&back, &value, sizeof value) != 0)
            return false;
        halves.push_back(half);
    }
    result.Clear();
    for (const int64_t extent : tensor.dims())
        result.add_dims(extent);
    result.set_data_type(type);
    result.set_raw_data(halves.data(), halves.size() * sizeof halves[0]);
    return true;
}

onnx::NodeProto make_cast(const std::string &from, const std::string &to, int32_t type)
{
    onnx::NodeProto node = make_node("Cast", to + "/cast", {from}, to);
    set_integer(node, "to", type);
    return node;
}

} // namespace

std::map<std::string, int32_t> widen(onnx::ModelProto &model)
{
    std::map<std::string, int32_t> halves;
    onnx::GraphProto &graph = *model.mutable_graph();
    const auto note = [&](const std::string &name, int32_t type) {
        if (is_half(type))
            halves[name] = type;
    };
    for (const auto *values : {&graph.input(), &graph.output()})
        for (const auto &value : *values)
            note(value.name(), value.type().tensor_type().elem_type());
    for (auto &tensor : *graph.mutable_initializer()) {
        note(tensor.name(), tensor.data_type());
        widen_tensor(tensor);
    }
    for (auto &node : *graph.mutable_node()) {
        if (op_of(node) == "Constant" && find_attribute(node, "value"))
            note(node.output(0), find_attribute(node, "value")->t().data_type());
        for (auto &attribute : *node.mutable_attribute())
            if (attribute.has_t())
                widen_tensor(*attribute.mutable_t());
        if (op_of(node) == "Cast" && is_half(get_integer(node, "to", 0)))
            set_integer(node, "to", onnx::TensorProto::FLOAT);
    }
    for (auto *values : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()})
        for (auto &value : *values)
            widen_type(value);
    return halves;
}

void narrow(const std::map<std::string, int32_t> &halves, onnx::ModelProto &model)
{
    if (halves.empty())
        return;
    onnx::GraphProto &graph = *model.mutable_graph();
    std::map<std::string, std::string> read; // tensors, and what their readers read instead
    std::vector<onnx::NodeProto> first, last;
    std::set<std::string> used;
    for (const onnx::NodeProto &node : graph.node()) {
        used.insert(node.input().begin(), node.input().end());
        used.insert(node.output().begin(), node.output().end());
    }
    const auto wide = [&](const std::string &name) {
        std::string other = name + "/float32";
        while (!used.insert(other).second)
            other += "_";
        return read[name] = other;
    };
    for (auto &tensor : *graph.mutable_initializer()) {
        const auto found = halves.find(tensor.name());
        onnx::TensorProto half;
        if (found == halves.end() || !narrowed(tensor, found->second, half))
            continue;
        half.set_name(tensor.name());
        tensor = half;
        first.push_back(make_cast(half.name(), wide(half.name()), onnx::TensorProto::FLOAT));
    }
    for (auto &value : *graph.mutable_input())
        if (const auto found = halves.find(value.name()); found != halves.end()) {
            value.mutable_type()->mutable_tensor_type()->set_elem_type(found->second);
            first.push_back(make_cast(value.name(), wide(value.name()), onnx::TensorProto::FLOAT));
        }
    for (auto &value : *graph.mutable_output())
        if (const auto found = halves.find(value.name()); found != halves.end()) {
            value.mutable_type()->mutable_tensor_type()->set_elem_type(found->second);
            last.push_back(make_cast(wide(value.name()), value.name(), found->second));
        }
    std::vector<onnx::NodeProto> nodes = first;
    for (onnx::NodeProto node : graph.node()) {
        for (auto *names : {node.mutable_input(), node.mutable_output()})
            for (std::string &name : *names)
                if (const auto found = read.find(name); found != read.end())
                    name = found->second;
        nodes.push_back(node);
    }
    nodes.insert(nodes.end(), last.begin(), last.end());
    graph.clear_node();
    for (onnx::NodeProto &node : nodes)
        *graph.add_node() = std::move(node);
}

} // namespace bsq_onnx
