#include "model/model.hpp"

#include <algorithm>
#include <limits>
#include <mutex>

#include "model/graph.hpp"
#include "model/layers.hpp"
#include "model/opencv_form.hpp"
#include "model/read.hpp"
#include "model/trace.hpp"

namespace bsq_onnx {

struct Model::Impl {
    Graph graph, original_graph;
    onnx::ModelProto proto, original;
    std::vector<Value> inputs, outputs;
    std::vector<Layer> layers;
    std::vector<Segment> segments;
    std::vector<Remark> left_float;
    int64_t bytes;
    uint64_t digest;
    Tracing tracing;
    std::shared_ptr<const Shapes> example;

    explicit Impl(const Network &network)
        : graph(network.raised), original_graph(network.original), proto(network.raised.proto()),
          original(network.original.proto()), bytes(network.bytes), digest(network.digest), tracing(network.tracing),
          example(std::make_shared<const Shapes>(network.raised.shapes))
    {
    }

    std::mutex lock;                                                   // of what follows
    std::unique_ptr<Tracer> tracer;                                    // made when it is first needed
    std::map<std::vector<Shape>, std::shared_ptr<const Shapes>> known; // by extents of the inputs

    const onnx::NodeProto &node(int index) const { return graph.nodes[static_cast<size_t>(index)]; }
};

namespace {

bool contains(const std::vector<std::string> &names, const std::string &name)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

void add_once(std::vector<std::string> &names, const std::string &name)
{
    if (!contains(names, name))
        names.push_back(name);
}

// Names in a damaged file may be anything.
std::string one_line(std::string text)
{
    for (char &letter : text)
        if (static_cast<unsigned char>(letter) < ' ' || letter == 127)
            letter = '?';
    return text;
}

// ---- segments ----

// Tensors that cross the segment's borders.
void connect(const Graph &graph, const std::vector<Layer> &layers, Segment &segment)
{
    const auto inside = [&](int node) { return node >= segment.first_node && node <= segment.last_node; };
    const Layer *layer = segment.layer < 0 ? nullptr : &layers[static_cast<size_t>(segment.layer)];
    bool others_read = false;
    for (int i = segment.first_node; i <= segment.last_node; i++) {
        const onnx::NodeProto &node = graph.nodes[static_cast<size_t>(i)];
        for (const std::string &name : reads_of(node)) {
            if (name.empty() || graph.constant(name) || inside(graph.producer(name)))
                continue;
            add_once(segment.inputs, name);
            others_read = others_read || (layer && i != layer->node && name == layer->input);
        }
        for (const std::string &name : node.output()) {
            if (name.empty())
                continue;
            const std::vector<int> readers = graph.consumers(name);
            if (graph.output(name) || !std::all_of(readers.begin(), readers.end(), inside))
                segment.outputs.push_back(name);
        }
    }
    for (const std::string &name : segment.inputs)
        if (element_size(graph.type(name)) == 0)
            throw Error("tensor " + name + " is of type " + element_type_name(graph.type(name)) +
                        ", and nodes on both sides of a layer have it in common: that is not supported");
    if (layer)
        segment.layer_input = others_read ? graph.unused(layer->input + "/quantized") : layer->input;
}

std::vector<Segment> cut(const Graph &graph, const std::vector<Layer> &layers)
{
    std::vector<Segment> segments;
    size_t next = 0;
    for (int i = 0; i < static_cast<int>(graph.nodes.size()); i++) {
        const bool starts_layer = next < layers.size() && layers[next].node == i;
        if (i == 0 || starts_layer)
            segments.push_back({starts_layer ? static_cast<int>(next) : -1, i, i, {}, {}, ""});
        segments.back().last_node = i;
        next += starts_layer;
    }
    for (Segment &segment : segments)
        connect(graph, layers, segment);
    return segments;
}

// ---- networks of segments ----

// A network that is being put together from nodes of the graph.
class Part {
public:
    Part(const Graph &graph, const Roundings &roundings, NodeForm form)
        : graph_(graph), roundings_(roundings), form_(form)
    {
        model_.set_ir_version(graph.traced ? std::max<int64_t>(graph.proto_version(), 7) : 7);
        for (const auto &import : graph.imports())
            *model_.add_opset_import() = import;
        model_.mutable_graph()->set_name("segment");
    }

    // 'tensor' under a name of its own.
    void add_input(const std::string &name, const std::string &tensor)
    {
        onnx::ValueInfoProto &info = *model_.mutable_graph()->add_input();
        info = graph_.info(tensor);
        info.set_name(name);
        round(name);
    }

    void add_output(const std::string &name) { *model_.mutable_graph()->add_output() = graph_.info(name); }

    void add_constant(const std::string &name, onnx::TensorProto tensor)
    {
        if (!constants_.insert(name).second)
            return;
        tensor.set_name(name);
        *model_.mutable_graph()->add_initializer() = std::move(tensor);
    }

    void add_node(const onnx::NodeProto &node)
    {
        const OpencvForm form = form_ == NodeForm::opencv ? opencv_form(graph_, node) : OpencvForm{{node}, {}};
        for (const auto &[name, tensor] : form.constants)
            add_constant(name, tensor);
        for (const onnx::NodeProto &part : form.nodes) {
            onnx::NodeProto &added = *model_.mutable_graph()->add_node();
            added = part;
            for (const std::string &name : reads_of(part))
                if (graph_.constant(name))
                    add_constant(name, graph_.constants.at(name));
            for (std::string &name : *added.mutable_input()) {
                if (const auto found = rounded_.find(name); found != rounded_.end())
                    name = found->second;
            }
        }
        for (const std::string &name : node.output())
            if (!is_rounded_already(node, name))
                round(name);
    }

    std::string bytes() const { return model_.SerializeAsString(); }

private:
    // Whether the values of an output are all values of inputs that were rounded in the same way.
    bool is_rounded_already(const onnx::NodeProto &node, const std::string &output) const
    {
        const auto found = roundings_.find(output);
        if (found == roundings_.end() || !keeps_values(node))
            return false;
        const std::vector<std::string> inputs = data_inputs(graph_, node);
        return std::all_of(inputs.begin(), inputs.end(), [&](const std::string &name) {
            const auto other = roundings_.find(name);
            return other != roundings_.end() && other->second == found->second;
        });
    }

    void round(const std::string &tensor)
    {
        const auto found = roundings_.find(tensor);
        if (found == roundings_.end())
            return;
        const std::string name = graph_.unused(tensor + "/rounded");
        if (form_ == NodeForm::opencv) {
            onnx::NodeProto node = make_node(round_operator, name, {tensor}, name);
            set_real(node, "scale", found->second.scale);
            set_integer(node, "lowest", found->second.lowest);
            set_integer(node, "highest", found->second.highest);
            *model_.mutable_graph()->add_node() = node;
        } else {
            round_in_steps(tensor, name, found->second);
        }
        rounded_[tensor] = name;
    }

    // The same with operators of ONNX, in double as the library does it.
    void round_in_steps(const std::string &tensor, const std::string &name, const Rounding &rounding)
    {
        const auto number = [&](const std::string &what, double value) {
            onnx::TensorProto constant;
            constant.set_data_type(onnx::TensorProto::DOUBLE);
            constant.add_double_data(value);
            add_constant(name + what, constant);
            return name + what;
        };
        const auto step = [&](const std::string &op, const std::string &what, const std::vector<std::string> &inputs) {
            *model_.mutable_graph()->add_node() = make_node(op, name + what, inputs, name + what);
            return name + what;
        };
        constexpr double most = std::numeric_limits<float>::max();
        const std::string scale = number("/scale", rounding.scale);
        std::string value = step("Cast", "/wide", {tensor});
        set_integer(*model_.mutable_graph()->mutable_node()->rbegin(), "to", onnx::TensorProto::DOUBLE);
        value = step("Div", "/divided", {value, scale});
        value =
            step("Clip", "/inside", {value, number("/lowest", rounding.lowest), number("/highest", rounding.highest)});
        value = step("Mul", "/multiplied", {step("Round", "/code", {value}), scale});
        value = step("Clip", "/finite", {value, number("/least", -most), number("/most", most)});
        step("Cast", "", {value});
        set_integer(*model_.mutable_graph()->mutable_node()->rbegin(), "to", onnx::TensorProto::FLOAT);
    }

    const Graph &graph_;
    const Roundings &roundings_;
    NodeForm form_;
    onnx::ModelProto model_;
    std::set<std::string> constants_;
    std::map<std::string, std::string> rounded_; // names of rounded tensors
};

} // namespace

// ---- the model ----

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model &&) noexcept = default;
Model &Model::operator=(Model &&) noexcept = default;
Model::~Model() = default;

std::unique_ptr<Model::Impl> Model::build(const Network &network)
{
    auto impl = std::make_unique<Impl>(network);
    const Graph &graph = impl->graph;
    for (const std::string &name : graph.inputs)
        impl->inputs.push_back({name, graph.shape(name), graph.type(name)});
    for (const std::string &name : graph.outputs)
        impl->outputs.push_back({name, graph.shape(name), graph.type(name)});
    impl->left_float = graph.refused;
    impl->layers = find_layers(graph, impl->left_float);
    if (impl->layers.empty())
        throw Error("has no layer with constant weights");
    impl->segments = cut(graph, impl->layers);
    return impl;
}

Model Model::load(const std::string &path, const Tracing &tracing)
{
    try {
        return Model(build(read_network(path, tracing)));
    } catch (const SampleError &) { // of another file
        throw;
    } catch (const Error &error) {
        throw Error(path + ": " + one_line(error.what()));
    } catch (const std::exception &error) { // what a damaged file can still cause
        throw Error(path + ": is not a usable network: " + one_line(error.what()));
    }
}

Model Model::rescaled(const std::vector<Rescaling> &rescalings) const
{
    Network network{impl_->original_graph, impl_->graph, impl_->bytes, impl_->digest, impl_->tracing};
    for (size_t i = 0; i < rescalings.size(); i++)
        for (Graph *graph : {&network.original, &network.raised})
            rescale_layer(impl_->layers[i], rescalings[i], *graph);
    return Model(build(network));
}

const std::vector<Value> &Model::inputs() const
{
    return impl_->inputs;
}

bool Model::is_input(const std::string &tensor) const
{
    return impl_->graph.input(tensor);
}

int32_t Model::type(const std::string &tensor) const
{
    return impl_->graph.type(tensor);
}

bool Model::traced() const
{
    return impl_->graph.traced;
}

std::shared_ptr<const Shapes> Model::shapes(const std::vector<Array> &inputs) const
{
    if (!traced())
        return impl_->example;
    std::vector<Shape> extents;
    for (const Array &input : inputs)
        extents.push_back(input.shape);
    const std::lock_guard<std::mutex> guard(impl_->lock);
    std::shared_ptr<const Shapes> &found = impl_->known[extents];
    if (!found) {
        if (!impl_->tracer)
            impl_->tracer = std::make_unique<Tracer>(impl_->graph, impl_->tracing);
        const auto [shapes, types] = impl_->tracer->run(inputs);
        found = std::make_shared<const Shapes>(shapes);
    }
    return found;
}

const Graph &Model::graph() const
{
    return impl_->graph;
}

const Graph &Model::original_graph() const
{
    return impl_->original_graph;
}

const std::vector<Value> &Model::outputs() const
{
    return impl_->outputs;
}

const std::vector<Layer> &Model::layers() const
{
    return impl_->layers;
}

const std::vector<Segment> &Model::segments() const
{
    return impl_->segments;
}

const std::vector<Remark> &Model::left_float() const
{
    return impl_->left_float;
}

const std::vector<Composite> &Model::composites() const
{
    return impl_->graph.composites;
}

bool Model::is_inner(const std::string &tensor) const
{
    return inner_tensor(impl_->graph, tensor);
}

const Shape &Model::shape(const std::string &tensor) const
{
    return impl_->graph.shape(tensor);
}

const onnx::ModelProto &Model::proto() const
{
    return impl_->proto;
}

const onnx::ModelProto &Model::original() const
{
    return impl_->original;
}

int64_t Model::bytes() const
{
    return impl_->bytes;
}

const std::map<std::string, int32_t> &Model::halves() const
{
    return impl_->graph.halves;
}

uint64_t Model::digest() const
{
    return impl_->digest;
}

std::string Model::segment_model(const Segment &segment, const std::vector<float> &weights,
                                 const std::vector<float> &bias, const Roundings &roundings, NodeForm form) const
{
    const Graph &graph = impl_->graph;
    const Layer *layer = segment.layer < 0 ? nullptr : &impl_->layers[static_cast<size_t>(segment.layer)];
    Part part(graph, roundings, form);
    std::string weight_name, bias_name;
    // The layer's constants, which other nodes read that the same node of the file was opened into.
    const auto own_names = layer ? constants_of(*layer, graph) : std::pair<std::string, std::string>();
    std::vector<std::string> outputs = segment.outputs;
    const std::string layer_input = layer == nullptr ? "" : roundings.empty() ? segment.layer_input : layer->input;
    for (const std::string &name : segment.inputs)
        if (name != layer_input)
            part.add_input(name, name);
    if (layer) {
        part.add_input(layer_input, layer->input);
        const std::vector<float> &own_bias = bias.empty() ? layer->bias : bias;
        weight_name = graph.unused(layer->output + "/weights");
        bias_name = own_bias.empty() ? "" : graph.unused(layer->output + "/bias");
        const std::vector<float> &own_weights = weights.empty() ? layer->weights : weights;
        part.add_constant(weight_name, make_tensor(weight_shape(*layer, graph), node_order(*layer, own_weights)));
        if (!own_bias.empty())
            part.add_constant(bias_name, make_tensor({layer->desc.out_channels}, own_bias));
        for (const auto &node : layer_nodes(*layer, graph, layer_input, weight_name, bias_name))
            part.add_node(node);
        add_once(outputs, layer->output);
    }
    for (int i = layer ? layer->last_node + 1 : segment.first_node; i <= segment.last_node; i++) {
        onnx::NodeProto node = impl_->node(i);
        if (layer && layer->part)
            for (std::string &name : *node.mutable_input())
                name = name == own_names.first ? weight_name : name == own_names.second ? bias_name : name;
        part.add_node(node);
    }
    for (const std::string &name : outputs)
        part.add_output(name);
    return part.bytes();
}

bool Model::may_fold(const std::string &tensor, std::string &reason) const
{
    const Graph &graph = impl_->graph;
    if (graph.output(tensor)) {
        reason = "it is an output of the network";
        return false;
    }
    const auto shared = [&](const Layer &one) {
        const auto index = static_cast<int>(&one - impl_->layers.data());
        return one.twin_of >= 0 || std::any_of(impl_->layers.begin(), impl_->layers.end(),
                                               [&](const Layer &other) { return other.twin_of == index; });
    };
    size_t axis = 0; // of the channels
    for (const int index : graph.consumers(tensor)) {
        const auto layer = std::find_if(impl_->layers.begin(), impl_->layers.end(),
                                        [&](const Layer &candidate) { return candidate.node == index; });
        if (layer == impl_->layers.end()) {
            reason = impl_->node(index).op_type() + " " + impl_->node(index).name() + " reads it, too";
            return false;
        }
        if (shared(*layer)) {
            reason = "layer '" + layer->name + "' shares its weights with others";
            return false;
        }
        const size_t own = is_convolution(*layer) ? 1 : layer->input_shape.size() - 1;
        if (axis != 0 && own != axis) {
            reason = "its readers do not agree which axis has its channels";
            return false;
        }
        axis = own;
    }
    reason.clear();
    return axis != 0;
}

std::vector<std::string> Model::joined(const std::string &tensor) const
{
    const Graph &graph = impl_->graph;
    std::vector<std::string> found = {tensor};
    bool joins = false;
    for (size_t i = 0; i < found.size(); i++) {
        const std::string name = found[i];
        for (const onnx::NodeProto &node : graph.nodes) {
            const bool joining = node.op_type() == "Add" || node.op_type() == "Concat";
            if (!joining && !keeps_values(node))
                continue;
            std::vector<std::string> shared = data_inputs(graph, node);
            if (node.op_type() != "Add")
                shared.insert(shared.end(), node.output().begin(), node.output().end());
            if (!contains(shared, name) || shared.size() < 2)
                continue;
            joins = joins || joining;
            for (const std::string &other : shared)
                add_once(found, other);
        }
    }
    found.erase(found.begin());
    return joins ? found : std::vector<std::string>();
}

} // namespace bsq_onnx
