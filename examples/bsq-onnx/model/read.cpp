#include "model/read.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>

#include <google/protobuf/stubs/logging.h>
#include <onnx/checker.h>

#include "model/compose.hpp"
#include "model/external.hpp"
#include "model/constants.hpp"
#include "model/fold.hpp"
#include "model/halves.hpp"
#include "model/opset.hpp"
#include "model/shapes.hpp"
#include "model/trace.hpp"

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

// Types that constants have beside float32 in networks that are not traced.
bool is_plain(int32_t type)
{
    static const std::set<int32_t> plain = {
        onnx::TensorProto::FLOAT, onnx::TensorProto::INT64, onnx::TensorProto::INT32, onnx::TensorProto::DOUBLE,
        onnx::TensorProto::BOOL,  onnx::TensorProto::INT8,  onnx::TensorProto::UINT8};
    return plain.count(type) > 0;
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
    if (version < oldest_opset || version > newest_opset) {
        const std::string text = "is of opset " + std::to_string(version) + "; " + std::to_string(oldest_opset) +
                                 " to " + std::to_string(newest_opset) + " are supported";
        if (version > newest_opset)
            throw Beyond(text);
        throw Error(text);
    }
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
    for (const auto &tensor : model.graph().initializer())
        check_tensor(tensor);
    if (model.graph().sparse_initializer_size() > 0)
        throw Error("has sparse tensors, which are not supported");
    for (const auto &node : model.graph().node()) {
        if (node.output_size() == 0)
            throw Error("has a node without outputs");
        check_names(node);
        if (node.op_type().find("uantizeLinear") != std::string::npos || node.op_type() == "QLinearConv" ||
            node.op_type() == "QLinearMatMul" || node.op_type() == "ConvInteger" || node.op_type() == "MatMulInteger" ||
            node.op_type() == "MatMulNBits")
            throw Error("is quantized already (" + node.op_type() + ")");
        check_attributes(node);
    }
}

void check_operators(const onnx::ModelProto &model)
{
    for (const auto &node : model.graph().node()) {
        check_operator(node);
        for (const auto &attribute : node.attribute())
            if (attribute.has_t() && !is_plain(attribute.t().data_type()))
                throw Beyond("tensor " + attribute.t().name() + " has a type that is not supported (float32 is)");
    }
    for (const auto &tensor : model.graph().initializer())
        if (!is_plain(tensor.data_type()))
            throw Beyond("tensor " + tensor.name() + " has a type that is not supported (float32 is)");
}

void check_with_onnx(const onnx::ModelProto &model)
{
    try {
        onnx::checker::check_model(model);
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
    const std::string &input = graph.inputs[0];
    Shape &shape = graph.shapes[input];
    if (shape.empty())
        throw Beyond("input " + input + " has no shape");
    if (shape[0] == -1)
        shape[0] = 1;
    if (shape[0] != 1)
        throw Beyond("input " + input + " has a batch of " + std::to_string(shape[0]) + "; a batch of 1 is needed");
    for (int64_t extent : shape)
        if (extent < 1)
            throw Beyond("input " + input + " has a dynamic shape; only the batch may be");
    if (count(shape) > std::numeric_limits<int32_t>::max())
        throw Error("input " + input + " is too large");
}

void check_input_type(const onnx::ModelProto &model, const std::string &name)
{
    for (const auto &value : model.graph().input())
        if (value.name() == name && value.type().tensor_type().elem_type() != onnx::TensorProto::FLOAT)
            throw Beyond("input " + name + " is not float32");
}

// Every node has a name of its own.
void name_nodes(Graph &graph)
{
    std::set<std::string> names;
    for (auto &node : graph.nodes) {
        if (node.name().empty() || names.count(node.name()))
            node.set_name(node.output(0).empty() ? node.op_type() : node.output(0));
        while (names.count(node.name()))
            node.set_name(node.name() + "_2");
        names.insert(node.name());
    }
}

// 'measure' fills shapes and types.
void simplify(Graph &graph, const std::function<void(Graph &)> &measure)
{
    measure(graph);
    fold_constants(graph);
    bypass_identities(graph);
    measure(graph);
    normalize_layers(graph);
    measure(graph);
    fold_affine(graph);
    measure(graph);
    name_nodes(graph);
    for (const std::string &output : graph.outputs)
        if (graph.producer(output) < 0)
            throw Error("output " + output + " is not computed from the input");
}

// A network whose operators, shapes and types are all known here. Throws Beyond for others.
Network read_known(onnx::ModelProto model)
{
    describe_outputs(model);
    check_opset(model);
    check_operators(model);
    lower_opset(model);
    check_with_onnx(model);
    Graph original(model);
    if (original.inputs.size() != 1) {
        const std::string text = "the network has " + std::to_string(original.inputs.size()) + " inputs; one is needed";
        if (original.inputs.empty())
            throw Error(text);
        throw Beyond(text);
    }
    check_input_type(model, original.inputs[0]);
    fix_batch(original);
    simplify(original, compute_shapes);
    open_composites(original);
    compute_shapes(original);
    Graph raised = original;
    raise_opset(raised, qdq_opset);
    compute_shapes(raised);
    return {original, raised, 0, 0, {}};
}

// A network that an engine runs, whatever it is made of.
Network read_traced(const onnx::ModelProto &model, const Tracing &tracing)
{
    if (model.functions_size() > 0)
        throw Error("has functions of its own, which are not supported");
    Graph original(model);
    original.traced = true;
    std::vector<Tracing::Declared> declared;
    for (const auto &value : model.graph().input())
        if (original.input(value.name()))
            declared.push_back({value.name(), original.shape(value.name()), value.type().tensor_type().elem_type()});
    if (declared.empty())
        throw Error("the network has 0 inputs; one is needed");
    for (const Tracing::Declared &input : declared)
        if (element_size(input.type) == 0)
            throw Error("input " + input.name + " is of type " + element_type_name(input.type) +
                        ", which samples cannot have");
    std::vector<Array> sample;
    try {
        sample = tracing.sample(declared);
    } catch (const Error &error) {
        throw SampleError(error.what());
    }
    const auto measure = [&](Graph &graph) { trace(graph, tracing, sample); };
    simplify(original, measure);
    open_composites(original);
    if (!original.composites.empty())
        measure(original);
    Graph raised = original;
    if (raised.opset < qdq_opset) {
        raise_opset(raised, qdq_opset);
        measure(raised);
    }
    return {original, raised, 0, 0, tracing};
}

} // namespace

Network read_network(const std::string &path, const Tracing &tracing)
{
    const std::string bytes = read_file(path);
    onnx::ModelProto model = parse(bytes);
    const uint64_t digest = load_external(model, path, fnv1a(bytes));
    check_content(model);
    const std::map<std::string, int32_t> halves = widen(model);
    Network network = [&] {
        if (tracing.always && tracing.load)
            return read_traced(model, tracing);
        try {
            return read_known(model);
        } catch (const Beyond &beyond) {
            if (tracing.load)
                return read_traced(model, tracing);
            throw Error(std::string(beyond.what()) + "; ONNX Runtime runs such networks, but it is not in use");
        }
    }();
    network.original.halves = network.raised.halves = halves;
    network.bytes = static_cast<int64_t>(std::max(bytes.size(), model.ByteSizeLong()));
    network.digest = digest;
    return network;
}

} // namespace bsq_onnx
