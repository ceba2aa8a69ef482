// Where a network that engines run in integers has quantizers.
#include "plan/points.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "model/graph.hpp"

namespace bsq_onnx {

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();

// Operators that engines have an integer form of, or that only move values.
bool runs_in_integers(const onnx::NodeProto &node)
{
    static const std::set<std::string> those = {"Add",       "AveragePool", "Clip", "GlobalAveragePool",
                                                "HardSwish", "LeakyRelu",   "Mul",  "Relu",
                                                "Resize",    "Sigmoid"};
    return those.count(node.op_type()) > 0 || keeps_values(node);
}

bool is_clip(const onnx::NodeProto &node)
{
    return node.op_type() == "Relu" || node.op_type() == "Clip";
}

class Finder {
public:
    Finder(const Model &model, const Settings &settings, const Plan &plan)
        : model_(model), settings_(settings), plan_(plan), graph_(model.graph()),
          before_layers_(tensors_before_layers(model))
    {
        for (size_t i = 0; i < graph_.nodes.size(); i++)
            for (const std::string &output : graph_.nodes[i].output())
                producer_[output] = static_cast<int>(i);
        for (size_t i = 0; i < model.layers().size(); i++)
            for (int node = model.layers()[i].node; node <= model.layers()[i].last_node; node++)
                layer_at_[node] = i;
    }

    std::vector<PointGroup> run()
    {
        ask_layers();
        for (size_t i = graph_.nodes.size(); i-- > 0;)
            if (layer_at_.count(static_cast<int>(i)) == 0 && runs_in_integers(graph_.nodes[i]))
                ask_around(graph_.nodes[i]);
        std::vector<PointGroup> groups = join();
        // Where codes do not imply a Relu or Clip it stays, and what it reads needs a quantizer of its own.
        bool more = false;
        for (const PointGroup &group : groups)
            for (const std::string &tensor : group.tensors)
                if (const auto found = absorbed_.find(tensor); found != absorbed_.end() && !implied(tensor, group))
                    more = add(found->second) || more;
        return more ? join() : groups;
    }

private:
    bool add(const std::string &tensor)
    {
        if (settings_.keep_float.count(tensor) > 0 || graph_.constant(tensor) || model_.is_inner(tensor) ||
            graph_.type(tensor) != float_type)
            return false;
        const auto made = producer_.find(tensor);
        if (made != producer_.end()) {
            const std::string &name = graph_.nodes[static_cast<size_t>(made->second)].name();
            if (!name.empty() && settings_.keep_float.count(name) > 0)
                return false;
        }
        return wanted_.insert(tensor).second;
    }

    const onnx::NodeProto *only_reader(const std::string &tensor) const
    {
        const std::vector<int> readers = graph_.consumers(tensor);
        return readers.size() == 1 && !graph_.output(tensor) ? &graph_.nodes[static_cast<size_t>(readers[0])] : nullptr;
    }

    // What layers read, and what they give, behind their Relu or Clip.
    void ask_layers()
    {
        for (size_t i = 0; i < model_.layers().size(); i++) {
            const Layer &layer = model_.layers()[i];
            if (plan_.bits[i] == 0)
                continue;
            add(layer.input);
            std::string output = layer.output;
            const onnx::NodeProto *reader = only_reader(output);
            if (reader != nullptr && is_clip(*reader)) {
                absorbed_[reader->output(0)] = output;
                output = reader->output(0);
            }
            reader = only_reader(output);
            if (before_layers_.count(output) > 0 || (reader != nullptr && reader->op_type() == "GlobalAveragePool"))
                add(output);
        }
    }

    // A node before a tensor with a quantizer: all that it reads and gives has one.
    void ask_around(const onnx::NodeProto &node)
    {
        const auto &outputs = node.output();
        if (std::none_of(outputs.begin(), outputs.end(), [&](const std::string &name) { return wanted_.count(name); }))
            return;
        const std::vector<std::string> inputs = data_inputs(graph_, node);
        const bool with_constant = (node.op_type() == "Add" || node.op_type() == "Mul") && inputs.size() < 2;
        if (with_constant)
            return;
        for (const std::string &output : outputs)
            add(output);
        if (is_clip(node) && absorbs(node)) {
            absorbed_[node.output(0)] = node.input(0);
            return;
        }
        for (const std::string &input : inputs)
            add(input);
    }

    // Whether what computes the node's input can end with it.
    bool absorbs(const onnx::NodeProto &node) const
    {
        const auto made = producer_.find(node.input(0));
        if (made == producer_.end() || only_reader(node.input(0)) == nullptr)
            return false;
        const auto layer = layer_at_.find(made->second);
        return layer != layer_at_.end() ? plan_.bits[layer->second] > 0
                                        : graph_.nodes[static_cast<size_t>(made->second)].op_type() == "Add";
    }

    std::vector<PointGroup> join() const
    {
        std::map<std::string, std::string> parent;
        const std::function<std::string(const std::string &)> root = [&](const std::string &tensor) {
            std::string name = tensor;
            while (parent.at(name) != name)
                name = parent.at(name);
            return name;
        };
        for (const std::string &tensor : wanted_)
            parent[tensor] = tensor;
        for (const onnx::NodeProto &node : graph_.nodes) {
            if (!keeps_values(node))
                continue;
            std::vector<std::string> together = data_inputs(graph_, node);
            together.insert(together.end(), node.output().begin(), node.output().end());
            std::string first;
            for (const std::string &tensor : together) {
                if (wanted_.count(tensor) == 0)
                    continue;
                if (!first.empty())
                    parent[root(tensor)] = root(first);
                first = tensor;
            }
        }
        std::vector<PointGroup> groups;
        std::map<std::string, size_t> index;
        const auto put = [&](const std::string &tensor) {
            if (wanted_.count(tensor) == 0)
                return;
            const auto [at, fresh] = index.emplace(root(tensor), groups.size());
            if (fresh)
                groups.emplace_back();
            groups[at->second].tensors.push_back(tensor);
        };
        for (const Value &input : model_.inputs())
            put(input.name);
        for (const onnx::NodeProto &node : graph_.nodes)
            for (const std::string &output : node.output())
                put(output);
        for (PointGroup &group : groups)
            limit(group);
        return groups;
    }

    void limit(PointGroup &group) const
    {
        group.most = -infinite;
        for (const std::string &tensor : group.tensors) {
            group.most = std::max(group.most, range(tensor).second);
            const auto made = producer_.find(tensor);
            if (made != producer_.end() && graph_.nodes[static_cast<size_t>(made->second)].op_type() == "Clip")
                group.clips.push_back(range(tensor).second);
        }
    }

    // What a tensor's values cannot pass, by the operators behind which it stands.
    std::pair<float, float> range(const std::string &tensor) const
    {
        const auto made = producer_.find(tensor);
        if (made == producer_.end() || layer_at_.count(made->second) > 0)
            return {-infinite, infinite};
        const onnx::NodeProto &node = graph_.nodes[static_cast<size_t>(made->second)];
        const std::string &op = node.op_type();
        if (op == "Sigmoid")
            return {0.0F, 1.0F};
        if (op == "Relu")
            return {0.0F, infinite};
        if (op == "Clip")
            return {bound(node, 1, -infinite), bound(node, 2, infinite)};
        const bool pools = op == "AveragePool" || op == "GlobalAveragePool";
        if (!keeps_values(node) && !pools && op != "Add")
            return {-infinite, infinite};
        std::pair<float, float> all = {infinite, -infinite};
        for (const std::string &input : data_inputs(graph_, node)) {
            const std::pair<float, float> one = range(input);
            all = {std::min(all.first, one.first), std::max(all.second, one.second)};
        }
        if (op == "Pad")
            all = {std::min(all.first, 0.0F), std::max(all.second, 0.0F)};
        if (op == "Add")
            all = {all.first >= 0 && data_inputs(graph_, node).size() == 2 ? 0.0F : -infinite, infinite};
        return all;
    }

    float bound(const onnx::NodeProto &node, int input, float otherwise) const
    {
        const std::string name = input_of(node, input);
        if (name.empty() || !graph_.constant(name))
            return otherwise;
        return floats_of(graph_.constants.at(name)).at(0);
    }

    // Whether codes of the group reach no value that the Relu or Clip before 'tensor' would change.
    bool implied(const std::string &tensor, const PointGroup &group) const
    {
        const std::pair<float, float> own = range(tensor);
        return own.second >= group.most &&
               std::all_of(group.tensors.begin(), group.tensors.end(),
                           [&](const auto &other) { return range(other).first >= std::max(own.first, 0.0F); });
    }

    const Model &model_;
    const Settings &settings_;
    const Plan &plan_;
    const Graph graph_;
    const std::set<std::string> before_layers_;
    std::map<std::string, int> producer_;         // node, by tensor
    std::map<int, size_t> layer_at_;              // by node
    std::set<std::string> wanted_;                // tensors with quantizers
    std::map<std::string, std::string> absorbed_; // by what a Relu or Clip gives: what it reads
};

} // namespace

std::vector<PointGroup> integer_points(const Model &model, const Settings &settings, const Plan &plan)
{
    return Finder(model, settings, plan).run();
}

} // namespace bsq_onnx
