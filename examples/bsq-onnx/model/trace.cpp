#include "model/trace.hpp"

#include <limits>

namespace bsq_onnx {

Tracer::Tracer(const Graph &graph, const Tracing &tracing) : inputs_(graph.inputs)
{
    onnx::ModelProto model = graph.proto();
    model.mutable_graph()->clear_output();
    for (const onnx::NodeProto &node : graph.nodes)
        for (const std::string &name : node.output())
            if (!name.empty()) {
                tensors_.push_back(name);
                model.mutable_graph()->add_output()->set_name(name);
            }
    if (model.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int>::max()))
        throw Error("the network takes more than 2 GiB, which cannot be traced in one piece");
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
