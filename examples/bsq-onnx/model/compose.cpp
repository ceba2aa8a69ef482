#include "model/compose.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>

namespace bsq_onnx {

namespace {

using Names = std::vector<std::string>;

// A part of 'values' of (parts, each).
std::vector<float> part_of(const std::vector<float> &values, int64_t part, int64_t parts)
{
    const auto each = static_cast<std::ptrdiff_t>(values.size()) / parts;
    return {values.begin() + part * each, values.begin() + (part + 1) * each};
}

std::vector<float> unit_matrix(int64_t size)
{
    std::vector<float> values(static_cast<size_t>(size * size), 0);
    for (int64_t i = 0; i < size; i++)
        values[static_cast<size_t>(i * (size + 1))] = 1;
    return values;
}

// One node while it is opened. Names of what it becomes start with its own.
class Opening {
public:
    Opening(Graph &graph, const onnx::NodeProto &node) : graph_(graph), node_(node) { made_.node = node; }
    virtual ~Opening() = default;

    // Why it stays as it is, or "".
    virtual std::string refusal() const = 0;
    virtual void open() = 0;

    std::vector<onnx::NodeProto> nodes;
    Composite &made() { return made_; }

protected:
    bool constant(int input) const { return graph_.constant(input_of(node_, input)); }
    bool given(int input) const { return !input_of(node_, input).empty(); }
    const onnx::TensorProto &tensor(int input) const { return graph_.constants.at(node_.input(input)); }

    std::string name(const std::string &suffix) const { return graph_.unused(node_.name() + suffix); }

    // A node whose output, and name, is that of this one with the suffix; names are used once.
    std::string add(const std::string &op, const Names &inputs, const std::string &suffix)
    {
        const std::string output = name(suffix);
        nodes.push_back(make_node(op, output, inputs, output));
        made_.nodes.insert(output);
        return output;
    }

    std::string reals(const std::string &suffix, const Shape &shape, const std::vector<float> &values)
    {
        return graph_.add_constant(node_.name() + suffix, make_tensor(shape, values));
    }

    std::string integers(const std::string &suffix, const std::vector<int64_t> &values)
    {
        return graph_.add_constant(node_.name() + suffix, make_tensor({static_cast<int64_t>(values.size())}, values));
    }

    std::string reshape(const std::string &input, const Shape &shape, const std::string &suffix)
    {
        return add("Reshape", {input, integers(suffix + "/shape", shape)}, suffix);
    }

    // From 'begin' to 'end' along the first axis.
    std::string slice(const std::string &input, int64_t begin, int64_t end, const std::string &suffix)
    {
        if (graph_.opset >= 10)
            return add("Slice",
                       {input, integers(suffix + "/begin", {begin}), integers(suffix + "/end", {end}),
                        integers(suffix + "/axes", {0})},
                       suffix);
        const std::string output = add("Slice", {input}, suffix);
        set_integers(nodes.back(), "starts", {begin});
        set_integers(nodes.back(), "ends", {end});
        set_integers(nodes.back(), "axes", {0});
        return output;
    }

    std::string concat(const Names &inputs, int64_t axis, const std::string &suffix)
    {
        const std::string output = add("Concat", inputs, suffix);
        set_integer(nodes.back(), "axis", axis);
        return output;
    }

    struct Product {
        std::string layer, output; // its name; tensor
        std::string weights, bias; // constants, of (inputs, outputs) and (outputs)
    };

    // A layer: x times a matrix (outputs, inputs), and a bias.
    Product multiply(const std::string &input, const std::vector<float> &matrix, int64_t outputs,
                     const std::vector<float> &bias, const std::string &suffix)
    {
        const int64_t inputs = static_cast<int64_t>(matrix.size()) / outputs;
        Product product;
        product.weights = reals(suffix + "/weights", {inputs, outputs}, transpose(matrix, outputs, inputs));
        product.bias = reals(suffix + "/bias", {outputs}, bias);
        const std::string plain = add("MatMul", {input, product.weights}, suffix);
        product.layer = plain;
        product.output = add("Add", {plain, product.bias}, suffix + "/sum");
        return product;
    }

    Graph &graph_;
    const onnx::NodeProto node_;
    Composite made_;
};

// ---- LSTM and GRU ----

class Recurrent : public Opening {
public:
    Recurrent(Graph &graph, const onnx::NodeProto &node)
        : Opening(graph, node), lstm_(node.op_type() == "LSTM"), gates_(lstm_ ? 4 : 3)
    {
    }

    std::string refusal() const override
    {
        if (!constant(1) || !constant(2))
            return "its weights are not constant";
        if (given(3) && !constant(3))
            return "its bias is not constant";
        if (given(7) && !constant(7))
            return "its peepholes are not constant";
        if (get_integer(node_, "layout", 0) != 0)
            return "its batch comes before its steps";
        const Shape shape = shape_of(tensor(2));
        if (shape.size() != 3 || shape[1] != gates_ * shape[2] || shape[0] != directions())
            throw Error(op_of(node_) + " " + node_.name() + " has recurrent weights of a wrong size");
        const Shape own = shape_of(tensor(1));
        if (own.size() != 3 || own[0] != shape[0] || own[1] != shape[1])
            throw Error(op_of(node_) + " " + node_.name() + " has input weights of a wrong size");
        if (given(3) && count(shape_of(tensor(3))) != 2 * shape[0] * shape[1])
            throw Error(op_of(node_) + " " + node_.name() + " has a bias of a wrong size");
        if (directions() > 1 && (find_attribute(node_, "activation_alpha") || find_attribute(node_, "activation_beta")))
            return "its activation functions have parameters";
        if (resets_first()) {
            const auto *names = find_attribute(node_, "activations");
            for (int i = 0; names != nullptr && i < names->strings_size(); i += 2)
                if (names->strings(i) != "Sigmoid")
                    return "its gates have another activation function than Sigmoid";
            if (find_attribute(node_, "clip"))
                return "it clips its gates";
        }
        if (given(4) && graph_.opset < 11)
            return "it has lengths of its sequences in an opset before 11";
        return "";
    }

    void open() override
    {
        const Shape shape = shape_of(tensor(2));
        hidden_ = shape[2];
        made_.matrices = {{1, {}, shape_of(tensor(1)), false}, {2, {}, shape, false}};
        made_.bias_input = 3;
        made_.bias_shape = {directions(), 2 * gates_ * hidden_};
        std::vector<Names> results(static_cast<size_t>(node_.output_size()));
        for (int64_t d = 0; d < directions(); d++) {
            const Names one = direction(d);
            for (size_t i = 0; i < one.size(); i++)
                results[i].push_back(one[i]);
        }
        for (size_t i = 0; i < results.size(); i++) {
            const std::string &output = node_.output(static_cast<int>(i));
            if (output.empty() || results[i].size() < 2)
                continue;
            nodes.push_back(make_node("Concat", name("/join" + std::to_string(i)), results[i], output));
            made_.nodes.insert(nodes.back().name());
            set_integer(nodes.back(), "axis", i == 0 ? 1 : 0);
        }
    }

private:
    int64_t directions() const { return get_text(node_, "direction", "forward") == "bidirectional" ? 2 : 1; }
    bool resets_first() const { return !lstm_ && get_integer(node_, "linear_before_reset", 0) == 0; }

    // What belongs to one direction of an input (directions, ...), or "".
    std::string own(int input, int64_t d, const std::string &suffix)
    {
        if (!given(input) || directions() == 1)
            return input_of(node_, input);
        if (constant(input)) {
            Shape shape = shape_of(tensor(input));
            shape[0] = 1;
            return reals(suffix, shape, part_of(floats_of(tensor(input)), d, directions()));
        }
        return slice(node_.input(input), d, d + 1, suffix);
    }

    // One for each step and sequence that is a part of it, else zero; (steps, sequences, 1).
    std::string steps_there(const std::string &product)
    {
        if (!there_.empty())
            return there_;
        if (constant(4) && !graph_.traced)
            return there_ = known_steps();
        const std::string steps =
            add("Gather", {add("Shape", {product}, "/extents"), integers("/first", {0})}, "/number_of_steps");
        const std::string from = graph_.add_constant(node_.name() + "/from", make_tensor({}, std::vector<int64_t>{0}));
        const std::string by = graph_.add_constant(node_.name() + "/by", make_tensor({}, std::vector<int64_t>{1}));
        const std::string index =
            reshape(add("Range", {from, add("Squeeze", {steps}, "/number"), by}, "/range"), {-1, 1, 1}, "/index");
        const std::string wide = add("Cast", {node_.input(4)}, "/lengths");
        set_integer(nodes.back(), "to", onnx::TensorProto::INT64);
        const std::string less = add("Less", {index, reshape(wide, {1, -1, 1}, "/each")}, "/less");
        there_ = add("Cast", {less}, "/there");
        set_integer(nodes.back(), "to", onnx::TensorProto::FLOAT);
        return there_;
    }

    std::string known_steps()
    {
        const std::vector<int64_t> lengths = integers_of(tensor(4));
        const int64_t all = graph_.shape(node_.input(0)).at(0);
        std::vector<float> values;
        for (int64_t t = 0; t < all; t++)
            for (const int64_t length : lengths)
                values.push_back(t < length ? 1 : 0);
        return reals("/there", {all, static_cast<int64_t>(lengths.size()), 1}, values);
    }

    // From hidden_ to twice that along the last axis: of the reset gate.
    std::string second(const std::string &input, const std::string &suffix)
    {
        if (graph_.opset >= 10)
            return add("Slice",
                       {input, integers(suffix + "/begin", {hidden_}), integers(suffix + "/end", {2 * hidden_}),
                        integers(suffix + "/axes", {2})},
                       suffix);
        const std::string output = add("Slice", {input}, suffix);
        set_integers(nodes.back(), "starts", {hidden_});
        set_integers(nodes.back(), "ends", {2 * hidden_});
        set_integers(nodes.back(), "axes", {2});
        return output;
    }

    std::string reset_gate(const std::string &x, const std::string &gates, const std::string &tail)
    {
        const std::string sum =
            add("Add", {second(x, "/reset_x" + tail), second(gates, "/reset_gates" + tail)}, "/reset_sum" + tail);
        return add("Sigmoid", {sum}, "/reset" + tail);
    }

    // Which layers the node's matrices and biases come from.
    void note(const Product &x, const std::vector<Product> &recurrent)
    {
        made_.matrices[0].layers.push_back(x.layer);
        made_.bias.push_back(x.layer);
        for (const Product &product : recurrent) {
            made_.matrices[1].layers.push_back(product.layer);
            made_.bias.push_back(product.layer);
            graph_.observed.insert(product.output);
        }
    }

    // The state that each step starts from, (steps, sequences, hidden), from that behind each step.
    std::string states_before(const std::string &behind, const std::string &product, const std::string &initial,
                              bool backward, const std::string &suffix)
    {
        const std::string all = reshape(behind, {0, -1, hidden_}, suffix + "/states");
        const std::string none =
            add("Mul", {slice(all, 0, 1, suffix + "/some"), reals(suffix + "/zero", {1}, {0})}, suffix + "/none");
        const bool lengths = given(4);
        std::string first = initial.empty() || (lengths && backward) ? none : initial;
        const auto known = graph_.shapes.find(node_.input(0));
        const bool single = !graph_.traced && known != graph_.shapes.end() && known->second.at(0) == 1;
        std::string before = first;
        if (!single) {
            const std::string others =
                backward ? slice(all, 1, INT64_MAX, suffix + "/later") : slice(all, 0, -1, suffix + "/earlier");
            before = concat(backward ? Names{others, first} : Names{first, others}, 0, suffix + "/before");
        }
        if (!lengths)
            return before;
        const std::string there = steps_there(product);
        before = add("Mul", {before, there}, suffix + "/counting");
        if (backward && !initial.empty()) {
            // Sequences begin at their last step.
            const std::string gone =
                add("Mul", {slice(there, 0, 1, suffix + "/any"), reals(suffix + "/no", {1}, {0})}, suffix + "/gone");
            const std::string next =
                concat({slice(there, 1, INT64_MAX, suffix + "/next"), gone}, 0, suffix + "/follows");
            const std::string last = add("Sub", {there, next}, suffix + "/last");
            before = add("Add", {before, add("Mul", {last, initial}, suffix + "/start")}, suffix + "/all");
        }
        return before;
    }

    // The node for one direction, of products instead of inputs.
    void add_core(const std::string &product, const std::string &weights, const std::string &bias, int64_t d,
                  const Names &outputs, const std::string &core_name, const Names &kept)
    {
        onnx::NodeProto core = node_;
        core.set_name(core_name);
        core.clear_input();
        core.clear_output();
        const int64_t rows = gates_ * hidden_;
        if (unit_.empty())
            unit_ = reals("/unit", {1, rows, rows}, unit_matrix(rows));
        for (const std::string &input : Names{product, unit_, weights, bias, input_of(node_, 4), kept[0]})
            core.add_input(input);
        if (lstm_) {
            core.add_input(kept[1]);
            core.add_input(kept[2]);
        }
        for (const std::string &output : outputs)
            core.add_output(output);
        if (directions() > 1) {
            set_text(core, "direction", d == 0 ? "forward" : "reverse");
            if (const auto *names = find_attribute(node_, "activations")) {
                const int each = names->strings_size() / 2;
                onnx::AttributeProto some = *names;
                some.clear_strings();
                for (int i = 0; i < each; i++)
                    some.add_strings(names->strings(static_cast<int>(d) * each + i));
                remove_attribute(core, "activations");
                *core.add_attribute() = some;
            }
        }
        nodes.push_back(core);
        made_.nodes.insert(core_name);
    }

    // Names of what the direction gives, as many as the node does.
    Names direction(int64_t d)
    {
        const int64_t rows = gates_ * hidden_;
        const std::string tail = d == 1 ? "_reverse" : "";
        const bool backward = d == 1 || get_text(node_, "direction", "forward") == "reverse";
        const std::vector<float> w = part_of(floats_of(tensor(1)), d, directions()),
                                 r = part_of(floats_of(tensor(2)), d, directions());
        std::vector<float> wb(static_cast<size_t>(rows), 0), rb = wb;
        if (given(3)) {
            const std::vector<float> bias = floats_of(tensor(3));
            wb = part_of(bias, 2 * d, 2 * directions());
            rb = part_of(bias, 2 * d + 1, 2 * directions());
        }
        const Product x = multiply(node_.input(0), w, rows, wb, "/input" + tail);
        const Names kept = {own(5, d, "/initial_h" + tail), lstm_ ? own(6, d, "/initial_c" + tail) : "",
                            lstm_ ? own(7, d, "/peepholes" + tail) : ""};
        const std::string none = reals("/no_bias" + tail, {rows}, std::vector<float>(static_cast<size_t>(rows), 0));

        // As it is before its recurrent weights are quantized.
        std::vector<float> both(static_cast<size_t>(rows), 0);
        both.insert(both.end(), rb.begin(), rb.end());
        const std::string states = name("/steps" + tail);
        add_core(x.output, reals("/recurrent_float" + tail, {1, rows, hidden_}, r),
                 reals("/bias_float" + tail, {1, 2 * rows}, both), d, {states}, name("/float" + tail), kept);
        const std::string h = states_before(states, x.output, kept[0], backward, tail + "/h");

        Names matrices, biases = {none};
        const auto take = [&](const Product &product, int64_t outputs, const std::string &suffix) {
            const std::string turned = add("Transpose", {product.weights}, suffix + "/turned");
            set_integers(nodes.back(), "perm", {1, 0});
            matrices.push_back(turned);
            // A tensor of the layer's own segment, which later ones read.
            biases.push_back(reshape(product.bias, {outputs}, suffix + "/bias_used"));
        };
        if (!resets_first()) {
            const Product product = multiply(h, r, rows, rb, "/recurrent" + tail);
            take(product, rows, "/recurrent" + tail);
            note(x, {product});
        } else {
            const auto cut = static_cast<std::ptrdiff_t>(2 * hidden_);
            const Product gates = multiply(h, {r.begin(), r.begin() + cut * hidden_}, 2 * hidden_,
                                           {rb.begin(), rb.begin() + cut}, "/recurrent" + tail);
            take(gates, 2 * hidden_, "/recurrent" + tail);
            const std::string reset = reset_gate(x.output, gates.output, tail);
            const Product candidate =
                multiply(add("Mul", {reset, h}, "/reset_h" + tail), {r.begin() + cut * hidden_, r.end()}, hidden_,
                         {rb.begin() + cut, rb.end()}, "/recurrent_candidate" + tail);
            take(candidate, hidden_, "/recurrent_candidate" + tail);
            note(x, {gates, candidate});
        }
        const std::string matrix = matrices.size() > 1 ? concat(matrices, 0, "/matrices" + tail) : matrices[0];
        const std::string weights = reshape(matrix, {1, rows, hidden_}, "/weights" + tail);
        const std::string bias = reshape(concat(biases, 0, "/biases" + tail), {1, 2 * rows}, "/bias" + tail);
        Names outputs;
        for (int i = 0; i < node_.output_size(); i++) {
            const std::string &output = node_.output(i);
            outputs.push_back(output.empty() || directions() == 1 ? output
                                                                  : name("/output" + std::to_string(i) + tail));
        }
        add_core(x.output, weights, bias, d, outputs, directions() == 1 ? node_.name() + "/core" : name("/core" + tail),
                 kept);
        return outputs;
    }

    const bool lstm_;
    const int64_t gates_;
    int64_t hidden_ = 0;
    std::string unit_, there_; // names of what both directions have in common
};

// ---- Attention of com.microsoft ----

class Attention : public Opening {
public:
    using Opening::Opening;

    std::string refusal() const override
    {
        if (!constant(1) || tensor(1).dims_size() != 2)
            return "its weights are not constant";
        if (given(2) && !constant(2))
            return "its bias is not constant";
        if (given(2) && count(shape_of(tensor(2))) != tensor(1).dims(1))
            throw Error(op_of(node_) + " " + node_.name() + " has a bias of a wrong size");
        return "";
    }

    void open() override
    {
        const int64_t inputs = tensor(1).dims(0), outputs = tensor(1).dims(1);
        const std::vector<float> zeros(static_cast<size_t>(outputs), 0);
        const Product product = multiply(node_.input(0), transpose(floats_of(tensor(1)), inputs, outputs), outputs,
                                         given(2) ? floats_of(tensor(2)) : zeros, "/projection");
        made_.matrices = {{1, {product.layer}, {inputs, outputs}, true}};
        made_.bias_input = 2;
        made_.bias = {product.layer};
        made_.bias_shape = {outputs};
        onnx::NodeProto core = node_;
        core.set_name(name("/core"));
        while (core.input_size() < 3)
            core.add_input("");
        core.set_input(0, product.output);
        core.set_input(1, reals("/unit", {outputs, outputs}, unit_matrix(outputs)));
        core.set_input(2, reals("/no_bias", {outputs}, zeros));
        if (!find_attribute(core, "qkv_hidden_sizes"))
            set_integers(core, "qkv_hidden_sizes", {outputs / 3, outputs / 3, outputs / 3});
        nodes.push_back(core);
        made_.nodes.insert(core.name());
    }
};

// ---- EmbedLayerNormalization of com.microsoft ----

class Embedding : public Opening {
public:
    using Opening::Opening;

    std::string refusal() const override
    {
        for (const int i : {2, 3, 4})
            if (given(i) && (!constant(i) || tensor(i).dims_size() != 2))
                return "its tables are not constant matrices";
        if (!given(8) && graph_.opset < 11)
            return "it counts positions in an opset before 11";
        return "";
    }

    void open() override
    {
        const std::string &ids = node_.input(0);
        std::string sum = pick(2, ids, "/word");
        sum = add("Add", {sum, pick(3, given(8) ? node_.input(8) : positions(ids), "/position")}, "/with_position");
        if (given(4))
            sum = add("Add", {sum, pick(4, node_.input(1), "/segment")}, "/with_segment");
        nodes.push_back(
            make_node("LayerNormalization", name("/norm"), {sum, node_.input(5), node_.input(6)}, node_.output(0)));
        set_real(nodes.back(), "epsilon", get_real(node_, "epsilon", 1e-12F));
        made_.nodes.insert(nodes.back().name());
        if (node_.output_size() > 2 && !node_.output(2).empty()) {
            nodes.push_back(make_node("Identity", name("/sum"), {sum}, node_.output(2)));
            made_.nodes.insert(nodes.back().name());
        }
        if (node_.output_size() < 2 || node_.output(1).empty())
            return;
        // What it makes of the mask is its own.
        onnx::NodeProto core = node_;
        core.set_name(name("/mask"));
        core.set_output(0, name("/unused"));
        if (core.output_size() > 2)
            core.mutable_output()->RemoveLast();
        nodes.push_back(core);
        made_.nodes.insert(core.name());
    }

private:
    std::string pick(int table, const std::string &indices, const std::string &suffix)
    {
        const std::string rows = add("Gather", {node_.input(table), indices}, suffix);
        made_.matrices.push_back({table, {rows}, shape_of(tensor(table)), false});
        return rows;
    }

    std::string positions(const std::string &ids)
    {
        // Counted from 1 on, and one less: ONNX Runtime makes one node of the pattern that counts from 0, and forgets that
        // parts of it are wanted.
        const std::string one = graph_.add_constant(node_.name() + "/one", make_tensor({}, std::vector<int64_t>{1}));
        const std::string length = add("Gather", {add("Shape", {ids}, "/extents"), one}, "/length");
        const std::string behind = add("Add", {length, one}, "/behind_last");
        return add("Sub", {add("Range", {one, behind, one}, "/counted"), one}, "/positions");
    }
};

// FusedMatMul: alpha a' b', with b constant, as a MatMul. Gives why not, or "".
std::string unfuse(Graph &graph, onnx::NodeProto &node)
{
    if (!graph.constant(input_of(node, 1)) || graph.constants.at(node.input(1)).dims_size() != 2)
        return "its weights are not one constant matrix";
    for (const char *name : {"transA", "transBatchA", "transBatchB"})
        if (get_integer(node, name, 0) != 0)
            return "it transposes its input";
    const onnx::TensorProto &matrix = graph.constants.at(node.input(1));
    Shape shape = shape_of(matrix);
    std::vector<float> weights = floats_of(matrix);
    if (get_integer(node, "transB", 0) != 0) {
        weights = transpose(weights, shape[0], shape[1]);
        std::swap(shape[0], shape[1]);
    }
    for (float &weight : weights)
        weight *= get_real(node, "alpha", 1);
    const std::string constant = graph.add_constant(node.output(0) + "/weight", make_tensor(shape, weights));
    node = make_node("MatMul", node.name(), {node.input(0), constant}, node.output(0));
    return "";
}

std::unique_ptr<Opening> opening_of(Graph &graph, const onnx::NodeProto &node)
{
    const std::string op = op_of(node);
    if (op == "LSTM" || op == "GRU")
        return std::make_unique<Recurrent>(graph, node);
    if (op == "com.microsoft.Attention")
        return std::make_unique<Attention>(graph, node);
    if (op == "com.microsoft.EmbedLayerNormalization")
        return std::make_unique<Embedding>(graph, node);
    return nullptr;
}

} // namespace

void open_composites(Graph &graph)
{
    std::vector<onnx::NodeProto> nodes;
    for (onnx::NodeProto &node : graph.nodes) {
        std::string reason;
        if (op_of(node) == "com.microsoft.FusedMatMul")
            reason = unfuse(graph, node);
        const std::unique_ptr<Opening> opening = opening_of(graph, node);
        if (opening)
            reason = opening->refusal();
        if (!reason.empty())
            graph.refused.push_back({node.name(), node.op_type(), reason});
        if (!opening || !reason.empty()) {
            nodes.push_back(node);
            continue;
        }
        opening->open();
        graph.observed.insert(node.input().begin(), node.input().end());
        nodes.insert(nodes.end(), opening->nodes.begin(), opening->nodes.end());
        graph.composites.push_back(opening->made());
    }
    graph.nodes = nodes;
}

} // namespace bsq_onnx
