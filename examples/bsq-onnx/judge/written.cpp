#include "judge/written.hpp"

#include <algorithm>
#include <set>

#include <onnx/onnx_pb.h>

#include "model/graph.hpp"

namespace bsq_onnx {

namespace {

// Whether the network declares this tensor with the type that the model has.
bool declares(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> &values, const Model &model,
              const std::string &tensor)
{
    return std::any_of(values.begin(), values.end(), [&](const onnx::ValueInfoProto &value) {
        return value.name() == tensor && value.type().tensor_type().elem_type() == model.type(tensor);
    });
}

} // namespace

std::unique_ptr<Written> Written::load(const Model &model, const std::string &bytes,
                                       const std::vector<std::string> &tensors)
{
    onnx::ModelProto network;
    if (!network.ParseFromString(bytes))
        return nullptr;
    onnx::GraphProto &graph = *network.mutable_graph();
    std::vector<Value> from, to;
    for (const Value &input : model.inputs()) {
        if (!declares(graph.input(), model, input.name))
            return nullptr;
        from.push_back(input);
    }
    std::set<std::string> computed;
    for (const onnx::NodeProto &node : graph.node())
        computed.insert(node.output().begin(), node.output().end());
    for (const std::string &tensor : tensors) {
        const Value value{tensor, model.shape(tensor), model.type(tensor)};
        const bool is_output = std::any_of(graph.output().begin(), graph.output().end(),
                                           [&](const onnx::ValueInfoProto &output) { return output.name() == tensor; });
        if (is_output ? !declares(graph.output(), model, tensor) : computed.count(tensor) == 0)
            return nullptr;
        if (!is_output) {
            graph.add_output()->set_name(tensor);
            graph.mutable_output()->rbegin()->mutable_type()->mutable_tensor_type()->set_elem_type(value.type);
        }
        to.push_back(value);
    }
    std::unique_ptr<Written> written(new Written(model, tensors));
    written->program_ = engine().load(network.SerializeAsString(), from, to);
    return written;
}

void Written::run(const Sample &sample, const Shapes &shapes)
{
    std::vector<Program::Place<const void *>> from;
    std::vector<Program::Place<void *>> to;
    prepare_arrays(model_, shapes, tensors_, arrays_);
    for (size_t i = 0; i < sample.inputs.size(); i++)
        from.push_back({sample.inputs[i].bytes.data(), &shapes.at(model_.inputs()[i].name)});
    for (const std::string &tensor : tensors_)
        to.push_back({arrays_.at(tensor).bytes.data(), &shapes.at(tensor)});
    program_->run(from, to);
}

} // namespace bsq_onnx
