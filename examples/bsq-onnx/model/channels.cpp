// Channels that can be rescaled: every element of a tensor has a label, and operators carry labels on or join them.
#include "model/channels.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "model/graph.hpp"
#include "model/layers.hpp"

namespace bsq_onnx {

namespace {

using Label = uint32_t;
using Labels = std::vector<Label>; // of each element of a tensor

constexpr Label fixed = 0;

class Finder {
public:
    explicit Finder(const Model &model) : model_(model), graph_(model.graph())
    {
        for (size_t i = 0; i < graph_.nodes.size(); i++)
            for (const std::string &name : graph_.nodes[i].input())
                if (!graph_.output(name))
                    last_use_[name] = static_cast<int>(i);
    }

    ChannelClasses run()
    {
        ChannelClasses classes;
        for (const std::string &input : graph_.inputs)
            labels_[input].assign(size(input), fixed);
        size_t next = 0;
        std::vector<Labels> inputs, outputs; // by layer
        for (int i = 0; i < static_cast<int>(graph_.nodes.size()); i++) {
            if (next == model_.layers().size() || model_.layers()[next].node != i) {
                carry(graph_.nodes[static_cast<size_t>(i)]);
                drop(i);
                continue;
            }
            const Layer &layer = model_.layers()[next++];
            if (layer.kind == Kind::table) {
                inputs.emplace_back(static_cast<size_t>(layer.desc.in_channels), fixed);
                outputs.emplace_back(static_cast<size_t>(layer.desc.out_channels), fixed);
                fix_all(graph_.nodes[static_cast<size_t>(i)]);
                drop(i);
                continue;
            }
            inputs.push_back(channels(layer.input, layer.desc.in_channels, layer.desc.kind == BSQ_KIND_LINEAR));
            outputs.push_back(give(layer));
            i = layer.last_node;
            drop(layer.node);
        }
        for (const std::string &output : graph_.outputs)
            fix(output);
        // Weights that several layers share stay the same for all of them.
        for (size_t i = 0; i < inputs.size(); i++)
            if (const int twin = model_.layers()[i].twin_of; twin >= 0)
                for (const size_t layer : {i, static_cast<size_t>(twin)})
                    for (const Labels &labels : {inputs[layer], outputs[layer]})
                        for (const Label label : labels)
                            join(label, fixed);
        // Roots are numbered in the order in which layers give them.
        std::map<Label, size_t> number = {{root(fixed), 0}};
        const auto numbered = [&](const Labels &labels) {
            std::vector<size_t> result;
            for (const Label label : labels)
                result.push_back(number.emplace(root(label), number.size()).first->second);
            return result;
        };
        for (size_t i = 0; i < inputs.size(); i++) {
            classes.outputs.push_back(numbered(outputs[i]));
            classes.inputs.push_back(numbered(inputs[i]));
        }
        classes.count = number.size();
        return classes;
    }

private:
    size_t size(const std::string &tensor) const { return static_cast<size_t>(count(graph_.shape(tensor))); }

    // What comes from no node and is not the input, a constant, has no factor.
    Labels &of(const std::string &tensor)
    {
        const auto found = labels_.find(tensor);
        return found != labels_.end() ? found->second : labels_[tensor] = Labels(size(tensor), fixed);
    }

    // Tensors that no later node reads: labels of all together would take as much as a sample does.
    void drop(int node)
    {
        for (const std::string &name : graph_.nodes[static_cast<size_t>(node)].input())
            if (const auto last = last_use_.find(name); last != last_use_.end() && last->second == node)
                labels_.erase(name);
    }

    Label root(Label label)
    {
        while (parent_[label] != label)
            label = parent_[label] = parent_[parent_[label]];
        return label;
    }

    void join(Label a, Label b)
    {
        if (a == b)
            return;
        a = root(a), b = root(b);
        parent_[std::max(a, b)] = std::min(a, b); // so that what is fixed stays the root
    }

    void fix(const std::string &tensor)
    {
        if (const auto found = labels_.find(tensor); found != labels_.end())
            for (const Label label : found->second)
                join(label, fixed);
    }

    void fix_all(const onnx::NodeProto &node)
    {
        for (const std::string &name : node.input())
            fix(name);
        for (const std::string &name : node.output())
            if (!name.empty())
                labels_[name].assign(size(name), fixed);
    }

    // One label for each channel of the layer's output; a MatMul may have a bias that other nodes read, too.
    Labels give(const Layer &layer)
    {
        const auto all = static_cast<size_t>(layer.desc.out_channels);
        Labels channels(all, fixed);
        if (layer.kind != Kind::matmul)
            for (Label &channel : channels)
                channel = fresh();
        Labels &labels = labels_[layer.output];
        const size_t elements = size(layer.output), inner = is_convolution(layer) ? elements / all : 1;
        for (size_t i = 0; i < elements; i++)
            labels.push_back(channels[i / inner % all]);
        return channels;
    }

    // The label of each channel, those of its elements joined.
    Labels channels(const std::string &tensor, int64_t count, bool last)
    {
        const Labels &labels = of(tensor);
        const auto all = static_cast<size_t>(count);
        const size_t inner = last ? 1 : labels.size() / all;
        Labels result(labels.begin(), labels.begin() + static_cast<long>(last ? all : 0));
        for (size_t c = 0; !last && c < all; c++)
            result.push_back(labels[c * inner]);
        for (size_t i = 0; i < labels.size(); i++)
            join(labels[i], result[i / inner % all]);
        return result;
    }

    // Windows and paddings within a channel of (1, channels, ...); with 'before' new channels, of zeros, in front and others
    // behind.
    bool carry_channels(const onnx::NodeProto &node, int64_t before = 0)
    {
        const std::string &in = node.input(0), &out = node.output(0);
        const Shape &from = graph_.shape(in), &to = graph_.shape(out);
        if (from.size() < 3 || to.size() < 3 || from[0] != 1 || to[0] != 1 || node.output_size() > 1 || before < 0 ||
            from[1] + before > to[1] || (from[1] != to[1] && node.op_type() != "Pad"))
            return false;
        const Labels each = channels(in, from[1], false);
        Labels labels;
        const int64_t inner = count(to) / to[1];
        for (int64_t c = 0; c < to[1]; c++) {
            const bool there = c >= before && c < before + from[1];
            labels.insert(labels.end(), static_cast<size_t>(inner),
                          there ? each[static_cast<size_t>(c - before)] : fresh());
        }
        labels_[out] = std::move(labels);
        return true;
    }

    Label fresh()
    {
        parent_.push_back(static_cast<Label>(parent_.size()));
        return parent_.back();
    }

    // Zeros are zeros in any scale.
    bool carry_padded(const onnx::NodeProto &node)
    {
        std::vector<int64_t> pads = get_integers(node, "pads");
        if (const std::string given = input_of(node, 1); !given.empty() && graph_.constant(given))
            pads = integers_of(graph_.constants.at(given));
        return input_of(node, 3).empty() && pads.size() == 2 * graph_.shape(node.input(0)).size() && pads.size() > 2 &&
               pads_with_zero(node) && carry_channels(node, pads[1]);
    }

    bool carry_transposed(const onnx::NodeProto &node)
    {
        const Shape &from = graph_.shape(node.input(0));
        std::vector<int64_t> order(from.size());
        for (size_t i = 0; i < order.size(); i++)
            order[i] = static_cast<int64_t>(order.size() - 1 - i);
        order = get_integers(node, "perm", order);
        const Labels in = of(node.input(0));
        Labels &labels = labels_[node.output(0)];
        std::vector<size_t> stride(from.size(), 1), at(from.size(), 0);
        for (size_t i = from.size() - 1; i > 0; i--)
            stride[i - 1] = stride[i] * static_cast<size_t>(from[i]);
        for (size_t k = 0; k < in.size(); k++) {
            size_t place = 0;
            for (size_t i = 0; i < order.size(); i++)
                place += at[i] * stride[static_cast<size_t>(order[i])];
            labels.push_back(in[place]);
            for (size_t i = order.size(); i-- > 0;) {
                if (++at[i] < static_cast<size_t>(from[static_cast<size_t>(order[i])]))
                    break;
                at[i] = 0;
            }
        }
        return true;
    }

    // Concat and Split: blocks along an axis go from 'whole' to 'parts' or back.
    bool carry_blocks(const onnx::NodeProto &node)
    {
        const bool joins = node.op_type() == "Concat";
        std::vector<std::string> parts(node.output().begin(), node.output().end());
        if (joins)
            parts.assign(node.input().begin(), node.input().end());
        const std::string &whole = joins ? node.output(0) : node.input(0);
        const Shape &shape = graph_.shape(whole);
        const auto rank = static_cast<int64_t>(shape.size());
        const auto axis = static_cast<size_t>((get_integer(node, "axis", joins ? 1 : 0) + rank) % rank);
        size_t outer = 1;
        for (size_t i = 0; i < axis; i++)
            outer *= static_cast<size_t>(shape[i]);
        for (const std::string &part : parts) {
            if (joins && graph_.constant(part))
                return false;
            if (!joins)
                labels_[part].resize(size(part));
        }
        Labels all(joins ? size(whole) : 0);
        Labels &of_whole = joins ? all : of(whole);
        size_t at = 0;
        for (size_t o = 0; o < outer; o++)
            for (const std::string &part : parts) {
                Labels &labels = of(part);
                for (size_t i = o * labels.size() / outer; i < (o + 1) * labels.size() / outer; i++, at++)
                    (joins ? of_whole[at] : labels[i]) = joins ? labels[i] : of_whole[at];
            }
        if (joins)
            labels_[whole] = all;
        return true;
    }

    bool carry_sum(const onnx::NodeProto &node)
    {
        const std::string &out = node.output(0);
        Labels labels;
        for (const std::string &name : node.input()) {
            if (name.empty() || graph_.constant(name) || size(name) != size(out))
                return false;
            const Labels &own = of(name);
            for (size_t i = 0; i < labels.size(); i++)
                join(labels[i], own[i]);
            if (labels.empty())
                labels = own;
        }
        labels_[out] = labels;
        return true;
    }

    bool pads_with_zero(const onnx::NodeProto &node) const
    {
        const std::string value = input_of(node, 2);
        if (get_text(node, "mode", "constant") != "constant" || value.empty())
            return get_real(node, "value", 0) == 0;
        return graph_.constant(value) && floats_of(graph_.constants.at(value)) == std::vector<float>{0};
    }

    bool carries(const onnx::NodeProto &node)
    {
        static const std::set<std::string> same = {"Abs",  "Flatten", "Identity", "LeakyRelu",
                                                   "Relu", "Reshape", "Squeeze",  "Unsqueeze"};
        static const std::set<std::string> within = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool",
                                                     "Resize",      "Upsample"};
        const std::string op = op_of(node);
        if (node.input_size() == 0 || node.input(0).empty() || graph_.constant(node.input(0)))
            return false;
        if (same.count(op)) {
            const Labels labels = of(node.input(0));
            labels_[node.output(0)] = labels;
            return true;
        }
        if (within.count(op))
            return carry_channels(node);
        if (op == "Pad")
            return carry_padded(node);
        if (op == "Transpose")
            return carry_transposed(node);
        if (op == "Concat" || op == "Split")
            return carry_blocks(node);
        return (op == "Add" || op == "Sub" || op == "Sum") && carry_sum(node);
    }

    void carry(const onnx::NodeProto &node)
    {
        if (!carries(node))
            fix_all(node);
    }

    const Model &model_;
    const Graph graph_;
    std::map<std::string, int> last_use_; // node
    std::map<std::string, Labels> labels_;
    Labels parent_ = {fixed};
};

} // namespace

ChannelClasses channel_classes(const Model &model)
{
    return Finder(model).run();
}

} // namespace bsq_onnx
