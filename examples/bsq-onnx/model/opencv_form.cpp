#include "model/opencv_form.hpp"

#include <algorithm>

namespace bsq_onnx {

namespace {

// A node without what newer opsets have as inputs; these become attributes. Limits that are not constant stay, and
// OpenCV refuses them.
void inputs_to_attributes(const Graph &graph, onnx::NodeProto &node)
{
    const std::string op = node.op_type();
    if (op != "ReduceSum" && op != "Split" && op != "Clip")
        return;
    onnx::NodeProto result = node;
    for (int i = 1; i < node.input_size(); i++) {
        if (node.input(i).empty())
            continue;
        if (!graph.constant(node.input(i)))
            return;
        const onnx::TensorProto &value = graph.constants.at(node.input(i));
        if (op == "Clip")
            set_real(result, i == 1 ? "min" : "max", floats_of(value).at(0));
        else
            set_integers(result, op == "Split" ? "split" : "axes", integers_of(value));
    }
    result.mutable_input()->DeleteSubrange(1, node.input_size() - 1);
    node = result;
}

// Max and Min with a number: OpenCV wants tensors of the same shape.
void limit_to_clip(const Graph &graph, onnx::NodeProto &node)
{
    for (int i = 0; i < 2 && node.input_size() == 2; i++) {
        const std::string tensor = node.input(1 - i), limit = node.input(i);
        if (!graph.constant(limit) || count(shape_of(graph.constants.at(limit))) != 1)
            continue;
        const std::string side = node.op_type() == "Max" ? "min" : "max";
        node = make_node("Clip", node.name(), {tensor}, node.output(0));
        set_real(node, side, floats_of(graph.constants.at(limit)).at(0));
        return;
    }
}

std::string integers(OpencvForm &form, const std::string &name, const std::vector<int64_t> &values)
{
    form.constants[name] = make_tensor({static_cast<int64_t>(values.size())}, values);
    return name;
}

bool uneven(const std::vector<int64_t> &pads)
{
    return !std::equal(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(pads.size() / 2),
                       pads.begin() + static_cast<std::ptrdiff_t>(pads.size() / 2));
}

// Padding in a node of its own, where it is not the same on both sides, which OpenCV ignores in 1 and 3 dimensions, or
// counts in an average, which it does not know.
void pad_before(const Graph &graph, onnx::NodeProto &node, OpencvForm &form)
{
    const size_t dims = graph.shape(node.output(0)).size() - 2;
    const std::vector<int64_t> pads = get_integers(node, "pads", std::vector<int64_t>(2 * dims, 0));
    std::vector<int64_t> all(2 * dims + 4, 0);
    for (size_t i = 0; i < dims; i++) {
        all[i + 2] = pads[i];
        all[i + dims + 4] = pads[i + dims];
    }
    const std::string padded = graph.unused(node.output(0) + "/padded");
    form.nodes.push_back(make_node("Pad", padded, {node.input(0), integers(form, padded + "/pads", all)}, padded));
    set_text(form.nodes.back(), "mode", "constant");
    node.set_input(0, padded);
    remove_attribute(node, "pads");
}

// The same for ConvTranspose, whose padding takes away from the result.
void crop_behind(const Graph &graph, onnx::NodeProto &node, OpencvForm &form)
{
    const std::vector<int64_t> pads = get_integers(node, "pads");
    const size_t dims = pads.size() / 2;
    const Shape &shape = graph.shape(node.output(0));
    std::vector<int64_t> starts, ends, axes;
    for (size_t i = 0; i < dims; i++) {
        starts.push_back(pads[i]);
        ends.push_back(pads[i] + shape[i + 2]);
        axes.push_back(static_cast<int64_t>(i) + 2);
    }
    const std::string name = node.output(0), whole = graph.unused(name + "/whole");
    node.set_output(0, whole);
    remove_attribute(node, "pads");
    form.nodes.push_back(node);
    node = make_node("Slice", whole + "/crop",
                     {whole, integers(form, whole + "/starts", starts), integers(form, whole + "/ends", ends),
                      integers(form, whole + "/axes", axes)},
                     name);
}

} // namespace

OpencvForm opencv_form(const Graph &graph, const onnx::NodeProto &original)
{
    OpencvForm form;
    onnx::NodeProto node = original;
    const std::string op = node.op_type();
    inputs_to_attributes(graph, node);
    if (op == "Squeeze" || op == "Unsqueeze" || op == "Flatten" || op == "Reshape")
        node = make_node("Reshape", node.name(),
                         {node.input(0), integers(form, node.output(0) + "/shape", graph.shape(node.output(0)))},
                         node.output(0));
    if (op == "Softmax" || op == "LogSoftmax")
        set_integer(node, "axis", get_integer(node, "axis", -1));
    if (op == "Max" || op == "Min")
        limit_to_clip(graph, node);
    const bool counts_padding = op == "AveragePool" && get_integer(node, "count_include_pad", 0) != 0;
    if (counts_padding || (op == "Conv" && uneven(get_integers(node, "pads"))))
        pad_before(graph, node, form);
    if (op == "ConvTranspose" && uneven(get_integers(node, "pads")))
        crop_behind(graph, node, form);
    form.nodes.push_back(node);
    return form;
}

} // namespace bsq_onnx
