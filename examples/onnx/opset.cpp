#include "opset.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <sstream>

namespace bsq_onnx {

namespace {

std::set<std::string> words(const std::string &text)
{
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

// Operators whose values are float32 and whose versions from oldest_opset to int4_opset are known here.
const std::set<std::string> known_operators =
    words("Abs Add AveragePool BatchNormalization Ceil Clip Concat Conv ConvTranspose DepthToSpace Div Dropout "
          "Elu Erf Exp Expand Flatten Floor Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity "
          "InstanceNormalization LRN LeakyRelu Log LogSoftmax MatMul Max MaxPool Mean Min Mul Neg PRelu Pad Pow "
          "Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Selu "
          "Sigmoid Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile Transpose "
          "Unsqueeze Upsample");

// Operators on shapes, which are computed when the network is read and leave it.
const std::set<std::string> shape_operators = words("Cast Constant Gather Shape");

std::string label(const onnx::NodeProto &node)
{
    return node.op_type() + " " + (node.name().empty() ? node.output(0) : node.name());
}

// One node while it is raised: what it becomes goes to 'nodes'.
struct Raise {
    Graph &graph;
    onnx::NodeProto &node;
    std::vector<onnx::NodeProto> &nodes;

    const std::string &output() const { return node.output(0); }

    int64_t rank() const { return static_cast<int64_t>(graph.shape(node.input(0)).size()); }

    // The attribute becomes input 'index', a constant, if it is there.
    void integers_to_input(const std::string &attribute, int index)
    {
        if (find_attribute(node, attribute))
            constant_to_input(attribute, index, get_integers(node, attribute));
    }

    void constant_to_input(const std::string &attribute, int index, const std::vector<int64_t> &values)
    {
        set_input(index, graph.add_constant(output() + "/" + attribute,
                                            make_tensor({static_cast<int64_t>(values.size())}, values)));
        remove_attribute(node, attribute);
    }

    void real_to_input(const std::string &attribute, int index)
    {
        if (!find_attribute(node, attribute))
            return;
        const std::vector<float> value = {get_real(node, attribute, 0)};
        set_input(index, graph.add_constant(output() + "/" + attribute, make_tensor({}, value)));
        remove_attribute(node, attribute);
    }

    void set_input(int index, const std::string &tensor)
    {
        while (node.input_size() <= index)
            node.add_input("");
        node.set_input(index, tensor);
    }
};

using Rule = std::function<void(Raise &)>;

void axes_input(Raise &raise)
{
    raise.integers_to_input("axes", 1);
}

void clip(Raise &raise)
{
    raise.real_to_input("min", 1);
    raise.real_to_input("max", 2);
}

void pad(Raise &raise)
{
    raise.integers_to_input("pads", 1);
    raise.real_to_input("value", 2);
}

void slice(Raise &raise)
{
    raise.integers_to_input("starts", 1);
    raise.integers_to_input("ends", 2);
    raise.integers_to_input("axes", 3);
}

// Opset 18 wants the sizes, or their number; they are written always.
void split(Raise &raise)
{
    if (input_of(raise.node, 1).empty() && !find_attribute(raise.node, "split")) {
        int64_t axis = get_integer(raise.node, "axis", 0);
        axis += axis < 0 ? raise.rank() : 0;
        std::vector<int64_t> sizes;
        for (const std::string &output : raise.node.output())
            sizes.push_back(raise.graph.shape(output).at(static_cast<size_t>(axis)));
        raise.constant_to_input("split", 1, sizes);
    }
    raise.integers_to_input("split", 1);
}

// Before opset 13 the axes from 'axis' on counted as one. Where more than one of them is longer than 1 they are made
// one.
void softmax(Raise &raise)
{
    const Shape shape = raise.graph.shape(raise.node.input(0));
    int64_t axis = get_integer(raise.node, "axis", 1);
    axis += axis < 0 ? raise.rank() : 0;
    Shape rows = {1, 1};
    int long_axes = 0;
    int64_t last = axis;
    for (int64_t i = 0; i < raise.rank(); i++) {
        const int64_t extent = shape[static_cast<size_t>(i)];
        rows[i < axis ? 0 : 1] *= extent;
        if (i >= axis && extent > 1) {
            long_axes++;
            last = i;
        }
    }
    if (long_axes <= 1 && axis < raise.rank()) {
        set_integer(raise.node, "axis", last);
        return;
    }
    const std::string output = raise.output();
    const std::string flat = raise.graph.unused(output + "/flat"), result = raise.graph.unused(output + "/rows");
    const std::string to_rows = raise.graph.add_constant(flat + "/shape", make_tensor({2}, rows));
    const std::string back =
        raise.graph.add_constant(output + "/shape", make_tensor({static_cast<int64_t>(shape.size())}, shape));
    raise.nodes.push_back(make_node("Reshape", flat, {raise.node.input(0), to_rows}, flat));
    onnx::NodeProto softmax_rows = make_node(raise.node.op_type(), raise.node.name(), {flat}, result);
    set_integer(softmax_rows, "axis", 1);
    raise.nodes.push_back(softmax_rows);
    raise.node = make_node("Reshape", output + "/back", {result, back}, output);
}

// Resize of opset 10 and Upsample before it: pixels at corners, nearest is the one before.
void resize(Raise &raise)
{
    if (const auto *scales = find_attribute(raise.node, "scales")) {
        const std::vector<float> values(scales->floats().begin(), scales->floats().end());
        raise.set_input(1, raise.graph.add_constant(raise.output() + "/scales",
                                                    make_tensor({static_cast<int64_t>(values.size())}, values)));
        remove_attribute(raise.node, "scales");
    }
    raise.node.set_op_type("Resize");
    raise.set_input(2, input_of(raise.node, 1));
    raise.set_input(1, "");
    set_text(raise.node, "coordinate_transformation_mode", "asymmetric");
    if (get_text(raise.node, "mode", "nearest") == "nearest")
        set_text(raise.node, "nearest_mode", "floor");
}

void batch_normalization(Raise &raise)
{
    if (get_integer(raise.node, "spatial", 1) != 1)
        throw Error("has statistics for each position (spatial = 0)");
    remove_attribute(raise.node, "spatial");
}

struct Change {
    int64_t version; // older nodes change
    Rule rule;
};

const std::map<std::string, Change> changes = {{"BatchNormalization", {9, batch_normalization}},
                                               {"Clip", {11, clip}},
                                               {"LogSoftmax", {13, softmax}},
                                               {"Pad", {11, pad}},
                                               {"ReduceL1", {18, axes_input}},
                                               {"ReduceL2", {18, axes_input}},
                                               {"ReduceMax", {18, axes_input}},
                                               {"ReduceMean", {18, axes_input}},
                                               {"ReduceMin", {18, axes_input}},
                                               {"ReduceSum", {13, axes_input}},
                                               {"Resize", {11, resize}},
                                               {"Slice", {10, slice}},
                                               {"Softmax", {13, softmax}},
                                               {"Split", {13, split}},
                                               {"Squeeze", {13, axes_input}},
                                               {"Unsqueeze", {13, axes_input}},
                                               {"Upsample", {10, resize}}};

} // namespace

void check_operator(const onnx::NodeProto &node)
{
    const bool standard = node.domain().empty() || node.domain() == "ai.onnx";
    if (!standard || (!known_operators.count(node.op_type()) && !shape_operators.count(node.op_type())))
        throw Error("operator " + label(node) + " is not supported");
}

void raise_opset(Graph &graph, int64_t to)
{
    if (graph.opset >= to)
        return;
    std::vector<onnx::NodeProto> nodes;
    for (onnx::NodeProto &node : graph.nodes) {
        const auto change = changes.find(node.op_type());
        if (change != changes.end() && graph.opset < change->second.version && change->second.version <= to) {
            Raise raise{graph, node, nodes};
            try {
                change->second.rule(raise);
            } catch (const Error &error) {
                throw Error(label(node) + " " + error.what());
            }
        }
        nodes.push_back(node);
    }
    graph.nodes = nodes;
    graph.opset = to;
}

namespace {

// A node without what newer opsets have as inputs; these become attributes.
void inputs_to_attributes(const Graph &graph, onnx::NodeProto &node)
{
    const std::string op = node.op_type();
    if (op != "ReduceSum" && op != "Split" && op != "Clip")
        return;
    for (int i = 1; i < node.input_size(); i++) {
        if (!graph.constant(node.input(i)))
            continue;
        const onnx::TensorProto &value = graph.constants.at(node.input(i));
        if (op == "Clip")
            set_real(node, i == 1 ? "min" : "max", floats_of(value).at(0));
        else
            set_integers(node, op == "Split" ? "split" : "axes", integers_of(value));
    }
    node.mutable_input()->DeleteSubrange(1, node.input_size() - 1);
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
    const size_t dims = graph.shape(node.input(0)).size() - 2;
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
    const bool counts_padding = op == "AveragePool" && get_integer(node, "count_include_pad", 0) != 0;
    if (counts_padding || (op == "Conv" && uneven(get_integers(node, "pads"))))
        pad_before(graph, node, form);
    if (op == "ConvTranspose" && uneven(get_integers(node, "pads")))
        crop_behind(graph, node, form);
    form.nodes.push_back(node);
    return form;
}

} // namespace bsq_onnx
