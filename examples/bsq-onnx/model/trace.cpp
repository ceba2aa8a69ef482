#include "model/trace.hpp"

namespace bsq_onnx {

namespace {

void leave_out_constants(onnx::GraphProto &graph)
{
    constexpr int64_t small = 1024; // values
    google::protobuf::RepeatedPtrField<onnx::TensorProto> constants;
    google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
    constants.Swap(graph.mutable_initializer());
    nodes.Swap(graph.mutable_node());
    for (onnx::TensorProto &constant : constants) {
        const Shape shape(constant.dims().begin(), constant.dims().end());
        if (constant.data_type() != onnx::TensorProto::FLOAT || count(shape) <= small) {
            graph.add_initializer()->Swap(&constant);
            continue;
        }
        onnx::TensorProto extents = make_tensor({static_cast<int64_t>(shape.size())}, shape);
        extents.set_name(constant.name() + "/extents");
        onnx::NodeProto &zeros = *graph.add_node();
        zeros.set_op_type("ConstantOfShape");
        zeros.set_name(extents.name());
        zeros.add_input(extents.name());
        zeros.add_output(constant.name());
        graph.add_initializer()->Swap(&extents);
    }
    for (onnx::NodeProto &node : nodes)
        graph.add_node()->Swap(&node);
}

} // namespace

Tracer::Tracer(const Graph &graph, const Tracing &tracing, size_t most) : inputs_(graph.inputs)
{
    onnx::ModelProto model = graph.proto();
    model.mutable_graph()->clear_output();
    for (const onnx::NodeProto &node : graph.nodes)
        for (const std::string &name : node.output())
            if (!name.empty()) {
                tensors_.push_back(name);
                model.mutable_graph()->add_output()->set_name(name);
            }
    if (model.ByteSizeLong() > most)
        leave_out_constants(*model.mutable_graph());
    trace_ = tracing.load(model.SerializeAsString(), inputs_, tensors_);
}

Tracer::Result Tracer::run(const std::vector<Array> &inputs)
{
    Result result;
    const auto put = [&](const std::string &name, const Array &array) {
        result.shapes[name] = array.shape;
        if (array.type != float_type)
            result.types[name] = array.type;
    };
    const std::vector<Array> values = trace_->run(inputs, false);
    for (size_t i = 0; i < inputs_.size(); i++)
        put(inputs_[i], inputs.at(i));
    for (size_t i = 0; i < tensors_.size(); i++)
        put(tensors_[i], values[i]);
    return result;
}

void trace(Graph &graph, const Tracing &tracing, const std::vector<Array> &sample)
{
    const auto [shapes, types] = Tracer(graph, tracing).run(sample);
    graph.shapes = shapes;
    graph.types = types;
}

} // namespace bsq_onnx
