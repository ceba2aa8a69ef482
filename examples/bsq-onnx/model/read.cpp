#include "model/read.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include <google/protobuf/stubs/logging.h>
#include <onnx/checker.h>

#include "model/compose.hpp"
#include "model/external.hpp"
#include "model/fold.hpp"
#include "model/halves.hpp"
#include "model/opset.hpp"
#include "model/shapes.hpp"

namespace bsq_onnx {

namespace {

std::string read_file(const std::string &path)
{
    std::string bytes;
    FILE *file = std::fopen(path.c_str(), "rb");
    std::vector<char> buffer(1 << 16);
    size_t got;
    while (file && (got = std::fread(buffer.data(), 1, buffer.size(), file)) > 0)
        bytes.append(buffer.data(), got);
    const int cause = !file || std::ferror(file) ? errno : 0;
    if (file)
        std::fclose(file);
    if (cause != 0)
        throw Error("cannot be read: " + std::string(std::strerror(cause)));
    return bytes;
}

// Sizes of what a tensor holds, before anything is computed with it.
void check_tensor(const onnx::TensorProto &tensor)
{
    const std::string name = "tensor " + tensor.name();
    const size_t size = element_size(tensor.data_type());
    if (size == 0)
        throw Error(name + " has a type that is not supported");
    const size_t values = static_cast<size_t>(count(shape_of(tensor)));
    size_t held = static_cast<size_t>(tensor.float_data_size() + tensor.int32_data_size() + tensor.int64_data_size() +
                                      tensor.double_data_size() + tensor.uint64_data_size());
    if (tensor.has_raw_data())
        held = tensor.raw_data().size() % size ? values + 1 : tensor.raw_data().size() / size;
    if (held != values)
        throw Error(name + " has not as many values as its shape says");
}

// Attributes that sizes are divided and multiplied by.
void check_attributes(const onnx::NodeProto &node)
{
    constexpr int64_t limit = 1 << 20;
    for (const auto &attribute : node.attribute()) {
        const bool positive =
            attribute.name() == "strides" || attribute.name() == "dilations" || attribute.name() == "kernel_shape";
        const bool bounded = positive || attribute.name() == "pads" || attribute.name() == "output_padding";
        for (const int64_t value : attribute.ints())
            if ((positive && value < 1) || (bounded && (value < -limit || value > limit)))
                throw Error(node.op_type() + " " + node.name() + " has impossible " + attribute.name());
        if ((attribute.name() == "group" || attribute.name() == "blocksize") &&
            (attribute.i() < 1 || attribute.i() > limit))
            throw Error(node.op_type() + " " + node.name() + " has an impossible " + attribute.name());
        if (attribute.has_t())
            check_tensor(attribute.t());
    }
}

// Names go into JSON and HTML.
void check_name(const std::string &name)
{
    size_t follow = 0; // bytes that the letter still has
    for (const char byte : name) {
        const auto bits = static_cast<unsigned char>(byte);
        const bool following = (bits & 0xc0) == 0x80;
        if (following != (follow > 0) || bits >= 0xf8)
            throw Error("has a name that is not UTF-8");
        follow = following ? follow - 1 : bits >= 0xf0 ? 3 : bits >= 0xe0 ? 2 : bits >= 0xc0 ? 1 : 0;
    }
    if (follow > 0)
        throw Error("has a name that is not UTF-8");
}

void check_names(const onnx::NodeProto &node)
{
    check_name(node.name());
    check_name(node.op_type());
    for (const std::string &name : node.input())
        check_name(name);
    for (const std::string &name : node.output())
        check_name(name);
}

void check_opset(const onnx::ModelProto &model)
{
    int64_t version = 0;
    for (const auto &import : model.opset_import())
        if (import.domain().empty() || import.domain() == "ai.onnx")
            version = import.version();
    if (version < oldest_opset || version > newest_opset)
        throw Error("is of opset " + std::to_string(version) + "; " + std::to_string(oldest_opset) + " to " +
                    std::to_string(newest_opset) + " are supported");
}

// Outputs need not say what they are: the checker wants them to, and it is computed anyway.
void describe_outputs(onnx::ModelProto &model)
{
    for (auto &value : *model.mutable_graph()->mutable_output()) {
        auto &type = *value.mutable_type()->mutable_tensor_type();
        if (type.elem_type() == onnx::TensorProto::UNDEFINED)
            type.set_elem_type(onnx::TensorProto::FLOAT);
        type.mutable_shape();
    }
}

// Throws Error unless 'model' has only what the rest expects.
void check_content(const onnx::ModelProto &model)
{
    if (!model.has_graph() || model.graph().node_size() == 0)
        throw Error("is not an ONNX network");
    check_opset(model);
    for (const auto &tensor : model.graph().initializer())
        check_tensor(tensor);
    if (model.graph().sparse_initializer_size() > 0)
        throw Error("has sparse tensors, which are not supported");
    for (const auto &node : model.graph().node()) {
        if (node.output_size() == 0)
            throw Error("has a node without outputs");
        check_names(node);
        if (node.op_type().find("uantizeLinear") != std::string::npos || node.op_type() == "QLinearConv" ||
            node.op_type() == "QLinearMatMul" || node.op_type() == "ConvInteger" ||
            node.op_type() == "MatMulInteger" || node.op_type() == "MatMulNBits")
            throw Error("is quantized already (" + node.op_type() + ")");
        check_attributes(node);
    }
}

// The network as ONNX's checker can look at it: of the newest opset that it knows, operators that it does not know made
// ones of a domain of their own, and large constants without their values.
onnx::ModelProto checkable(const onnx::ModelProto &model)
{
    constexpr int64_t small = 64; // axes, which become attributes, have fewer values
    onnx::ModelProto copy;
    onnx::GraphProto &graph = *copy.mutable_graph();
    graph.set_name(model.graph().name());
    copy.set_ir_version(std::min<int64_t>(model.ir_version(), onnx::Version::IR_VERSION));
    *copy.mutable_opset_import() = model.opset_import();
    *graph.mutable_input() = model.graph().input();
    *graph.mutable_output() = model.graph().output();
    std::set<std::string> inputs;
    for (const auto &value : graph.input())
        inputs.insert(value.name());
    for (const auto &tensor : model.graph().initializer()) {
        if (count(shape_of(tensor)) <= small)
            *graph.add_initializer() = tensor;
        else if (inputs.insert(tensor.name()).second)
            (*graph.add_input() = value_info(tensor.name(), shape_of(tensor)))
                .mutable_type()
                ->mutable_tensor_type()
                ->set_elem_type(tensor.data_type());
    }
    onnx::OperatorSetIdProto &other = *copy.add_opset_import();
    other.set_domain("unknown");
    other.set_version(1);
    for (const auto &node : model.graph().node()) {
        onnx::NodeProto &added = *graph.add_node();
        added = node;
        if (is_standard(node) && !is_described(node))
            added.set_domain("unknown");
    }
    lower_opset(copy);
    return copy;
}

void check_with_onnx(const onnx::ModelProto &model)
{
    try {
        onnx::checker::check_model(checkable(model));
    } catch (const std::exception &error) {
        const std::string text = error.what();
        throw Error("is not a valid ONNX network: " + text.substr(0, text.find('\n')));
    }
}

onnx::ModelProto parse(const std::string &bytes)
{
    google::protobuf::SetLogHandler(nullptr);
    onnx::ModelProto model;
    if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max()) ||
        !model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        throw Error("is not an ONNX network");
    return model;
}

// One sample: a batch extent that is not given becomes 1; all others must be.
void fix_batch(Graph &graph)
{
    Shape &shape = graph.shapes[graph.input];
    if (shape.empty())
        throw Error("input " + graph.input + " has no shape");
    if (shape[0] == -1)
        shape[0] = 1;
    if (shape[0] != 1)
        throw Error("input " + graph.input + " has a batch of " + std::to_string(shape[0]) +
                    "; a batch of 1 is needed");
    for (int64_t extent : shape)
        if (extent < 1)
            throw Error("input " + graph.input + " has a dynamic shape; only the batch may be");
    if (count(shape) > std::numeric_limits<int32_t>::max())
        throw Error("input " + graph.input + " is too large");
}

void check_input_type(const onnx::ModelProto &model, const std::string &name)
{
    for (const auto &value : model.graph().input())
        if (value.name() == name && value.type().tensor_type().elem_type() != onnx::TensorProto::FLOAT)
            throw Error("input " + name + " is not float32");
}

// Every node has a name of its own.
void name_nodes(Graph &graph)
{
    std::set<std::string> names;
    for (auto &node : graph.nodes) {
        if (node.name().empty() || names.count(node.name()))
            node.set_name(node.output(0));
        while (names.count(node.name()))
            node.set_name(node.name() + "_2");
        names.insert(node.name());
    }
}

Graph simple_graph(const onnx::ModelProto &model, const std::map<std::string, int32_t> &halves)
{
    Graph graph(model);
    graph.halves = halves;
    check_input_type(model, graph.input);
    fix_batch(graph);
    compute_shapes(graph);
    bypass_identities(graph);
    compute_shapes(graph);
    normalize_layers(graph);
    compute_shapes(graph);
    fold_affine(graph);
    compute_shapes(graph);
    name_nodes(graph);
    for (const std::string &output : graph.outputs)
        if (graph.producer(output) < 0)
            throw Error("output " + output + " is not computed from the input");
    return graph;
}

} // namespace

Network read_network(const std::string &path)
{
    const std::string bytes = read_file(path);
    onnx::ModelProto model = parse(bytes);
    const uint64_t digest = load_external(model, path, fnv1a(bytes));
    const auto file_bytes = static_cast<int64_t>(std::max(bytes.size(), model.ByteSizeLong()));
    check_content(model);
    const std::map<std::string, int32_t> halves = widen(model);
    describe_outputs(model);
    lower_opset(model);
    check_with_onnx(model);
    Graph original = simple_graph(model, halves);
    open_composites(original);
    compute_shapes(original);
    Graph raised = original;
    raise_opset(raised, qdq_opset);
    compute_shapes(raised);
    return {original, raised, file_bytes, digest};
}

} // namespace bsq_onnx
