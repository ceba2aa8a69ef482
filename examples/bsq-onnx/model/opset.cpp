#include "model/opset.hpp"

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
          "InstanceNormalization LRN LeakyRelu Log LogSoftmax MatMul Max MaxPool Min Mul Neg PRelu Pad Pow "
          "Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Selu "
          "Sigmoid Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Transpose "
          "Unsqueeze Upsample");

// Operators on shapes, which are computed when the network is read and leave it.
const std::set<std::string> shape_operators = words("Cast Constant Gather Shape");

std::string label(const onnx::NodeProto &node)
{
    return op_of(node) + " " + (node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name());
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

// Newer forms of networks that this ONNX has no description of, back to the newest that it has.
namespace {

using FindConstant = std::function<const onnx::TensorProto *(const std::string &)>; // NULL: it is none

void lower_reduction(const FindConstant &constant, onnx::NodeProto &node)
{
    if (get_integer(node, "noop_with_empty_axes", 0) != 0)
        throw Error("has noop_with_empty_axes, which is not supported");
    remove_attribute(node, "noop_with_empty_axes");
    const std::string name = input_of(node, 1);
    if (name.empty())
        return;
    const onnx::TensorProto *axes = constant(name);
    if (!axes)
        throw Error("has axes that are not constant");
    set_integers(node, "axes", integers_of(*axes));
    node.mutable_input()->RemoveLast();
}

void lower_resize(onnx::NodeProto &node)
{
    if (get_integer(node, "antialias", 0) != 0 || find_attribute(node, "axes") ||
        get_text(node, "keep_aspect_ratio_policy", "stretch") != "stretch" ||
        get_text(node, "coordinate_transformation_mode", "") == "half_pixel_symmetric")
        throw Error("has a form of opset 18 that is not supported");
    remove_attribute(node, "antialias");
    remove_attribute(node, "keep_aspect_ratio_policy");
}

void lower_node(const FindConstant &constant, onnx::NodeProto &node)
{
    if (!is_standard(node))
        return;
    const std::string op = node.op_type();
    try {
        if (op.rfind("Reduce", 0) == 0 && op != "ReduceSum")
            lower_reduction(constant, node);
        if (op == "Resize")
            lower_resize(node);
        if (op == "Split")
            remove_attribute(node, "num_outputs"); // equal parts are the rule without it
        if (op == "Pad" && !input_of(node, 3).empty())
            throw Error("has axes, which is not supported");
        if (op == "AveragePool") {
            for (int64_t step : get_integers(node, "dilations"))
                if (step != 1)
                    throw Error("has dilations, which is not supported");
            remove_attribute(node, "dilations");
        }
        if (op == "Cast")
            remove_attribute(node, "saturate");
    } catch (const Error &error) {
        throw Beyond(label(node) + " " + error.what());
    }
}

} // namespace

void lower_opset(onnx::ModelProto &model)
{
    const auto &nodes = model.graph().node();
    std::map<std::string, onnx::TensorProto> made;
    std::map<std::string, const onnx::TensorProto *> constants;
    for (const auto &tensor : model.graph().initializer())
        constants[tensor.name()] = &tensor;
    for (const auto &node : nodes)
        if (op_of(node) == "Constant")
            constants[node.output(0)] = &(made[node.output(0)] = constant_value(node));
    const auto find = [&](const std::string &name) {
        const auto found = constants.find(name);
        return found == constants.end() ? nullptr : found->second;
    };
    for (auto &import : *model.mutable_opset_import()) {
        if (!(import.domain().empty() || import.domain() == "ai.onnx") || import.version() <= known_opset ||
            import.version() > newest_opset)
            continue;
        import.set_version(known_opset);
        model.set_ir_version(std::min<int64_t>(model.ir_version(), onnx::Version::IR_VERSION));
        for (auto &node : *model.mutable_graph()->mutable_node())
            lower_node(find, node);
    }
}

void check_operator(const onnx::NodeProto &node)
{
    if (!is_standard(node) || (!known_operators.count(node.op_type()) && !shape_operators.count(node.op_type())))
        throw Beyond("operator " + label(node) + " is not supported");
}

void raise_opset(Graph &graph, int64_t to)
{
    if (graph.opset >= to)
        return;
    std::vector<onnx::NodeProto> nodes;
    for (onnx::NodeProto &node : graph.nodes) {
        const auto change = changes.find(op_of(node));
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

} // namespace bsq_onnx
