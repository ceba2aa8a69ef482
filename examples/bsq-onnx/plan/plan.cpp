// Which layers get how many bits.
#include "plan/plan.hpp"

#include <algorithm>
#include <set>

#include <onnx/onnx_pb.h>

#include "shared.hpp"
#include "quantize/handle.hpp"

namespace bsq_onnx {

std::vector<bool> edge_layers(const Model &model)
{
    const std::vector<Layer> &layers = model.layers();
    const onnx::GraphProto &graph = model.proto().graph();
    std::map<std::string, int> layer_of; // by output tensor
    for (size_t i = 0; i < layers.size(); i++)
        layer_of[layers[i].output] = static_cast<int>(i);

    // The layers that a tensor comes from with no other layer between, -1 for the network's input.
    std::map<std::string, std::set<int>> from;
    for (const Value &input : model.inputs())
        from[input.name] = {-1};
    std::vector<bool> edge(layers.size(), false);
    for (const onnx::NodeProto &node : graph.node()) {
        std::set<int> sources;
        for (const std::string &input : node.input())
            if (const auto found = from.find(input); found != from.end())
                sources.insert(found->second.begin(), found->second.end());
        for (const std::string &output : node.output())
            from[output] = sources;
        for (const std::string &output : node.output()) {
            const auto layer = layer_of.find(output);
            if (layer == layer_of.end())
                continue;
            // What is behind a table of the network's indices is what others have as the network's input.
            if (layers[static_cast<size_t>(layer->second)].kind == Kind::table)
                continue;
            if (from[layers[static_cast<size_t>(layer->second)].input] == std::set<int>{-1})
                edge[static_cast<size_t>(layer->second)] = true;
            from[output] = {layer->second};
        }
    }
    for (const Value &output : model.outputs())
        for (const int layer : from[output.name])
            if (layer >= 0)
                edge[static_cast<size_t>(layer)] = true;
    return edge;
}

size_t first_use(const Model &model, const std::vector<int> &bits, size_t layer)
{
    const auto root = [&](size_t i) {
        const int twin = model.layers()[i].twin_of;
        return twin < 0 ? i : static_cast<size_t>(twin);
    };
    if (bits[layer] == 0)
        return layer;
    size_t first = root(layer);
    while (first < layer && (root(first) != root(layer) || bits[first] == 0))
        first++;
    return first;
}

int64_t stored_weights(const Model &model, const std::vector<int> &bits, size_t layer)
{
    return first_use(model, bits, layer) == layer ? static_cast<int64_t>(model.layers()[layer].weights.size()) : 0;
}

// Uses of the same weights have the same bits: the most that were asked for by name, else the most of all.
static void agree_on_bits(const Model &model, const Settings &settings, Plan &plan)
{
    struct Uses {
        int named = 0, most = 0;
        bool fixed = false;
    };
    std::map<size_t, Uses> groups; // by first use
    const size_t layers = plan.bits.size();
    std::vector<size_t> first(layers);
    for (size_t i = 0; i < layers; i++) {
        first[i] = first_use(model, plan.bits, i);
        Uses &uses = groups[first[i]];
        uses.most = std::max(uses.most, plan.bits[i]);
        uses.fixed = uses.fixed || plan.fixed[i];
        if (settings.bits_for.count(model.layers()[i].name) > 0)
            uses.named = std::max(uses.named, plan.bits[i]);
    }
    for (size_t i = 0; i < layers; i++) {
        const Uses &uses = groups[first[i]];
        plan.bits[i] = uses.named > 0 ? uses.named : uses.most;
        plan.fixed[i] = uses.fixed;
    }
}

std::set<std::string> tensors_before_layers(const Model &model)
{
    std::set<std::string> tensors;
    for (const Layer &layer : model.layers())
        tensors.insert(layer.input);
    const auto &nodes = model.proto().graph().node();
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        const auto &outputs = node->output();
        if (std::any_of(outputs.begin(), outputs.end(), [&](const std::string &name) { return tensors.count(name); }))
            tensors.insert(node->input().begin(), node->input().end());
    }
    return tensors;
}

static void check_names(const Model &model, const Settings &settings)
{
    std::set<std::string> known, named = settings.skip;
    for (const Layer &layer : model.layers())
        known.insert(layer.name);
    for (const auto &entry : settings.bits_for)
        named.insert(entry.first);
    for (const std::string &name : named)
        if (known.count(name) == 0)
            throw Error("the network has no layer '" + name + "'");
    std::set<std::string> tensors, nodes;
    for (const Value &input : model.inputs())
        tensors.insert(input.name);
    for (const onnx::NodeProto &node : model.proto().graph().node()) {
        tensors.insert(node.output().begin(), node.output().end());
        nodes.insert(node.name());
    }
    for (const auto &entry : settings.input_bits_for)
        if (tensors.count(entry.first) == 0)
            throw Error("the network has no tensor '" + entry.first + "'");
    for (const std::string &name : settings.keep_float)
        if (tensors.count(name) == 0 && nodes.count(name) == 0)
            throw Error("the network has no tensor and no node '" + name + "'");
}

// Why the layer cannot be a MatMulNBits, where it is to be one; or "".
static std::string unfit_for_matmul(const Layer &layer, const Settings &settings)
{
    if (settings.format != Format::matmulnbits)
        return "";
    if (layer.desc.kind == BSQ_KIND_CONV)
        return "MatMulNBits has no convolutions";
    if (layer.kind == Kind::table)
        return "MatMulNBits has no tables";
    if (layer.part)
        return "MatMulNBits cannot be a part of " + layer.op;
    return layer.desc.in_channels < least_matmul_block ? "MatMulNBits needs at least 16 inputs" : "";
}

Plan make_plan(const Model &model, const Settings &settings)
{
    check_names(model, settings);
    const std::vector<bool> edge = edge_layers(model);
    const std::set<std::string> before_layers = tensors_before_layers(model);
    Plan plan;
    for (size_t i = 0; i < model.layers().size(); i++) {
        const std::string &name = model.layers()[i].name;
        const auto given = settings.bits_for.find(name);
        int bits = settings.options.weight_bits;
        if (edge[i])
            bits = std::max(bits, settings.edge_bits);
        const bsq_layer_desc_t &desc = model.layers()[i].desc;
        if (desc.groups > 1 && desc.groups == desc.in_channels)
            bits = std::max(bits, settings.depthwise_bits);
        const bool table = model.layers()[i].kind == Kind::table;
        if (table)
            bits = most_library_bits; // few products, and no statistics that would say which weights matter
        if (given != settings.bits_for.end())
            bits = given->second;
        const std::string unfit = unfit_for_matmul(model.layers()[i], settings);
        const bool skipped = settings.skip.count(name) > 0 || !unfit.empty();
        const bool head = settings.float_head && before_layers.count(model.layers()[i].output) == 0;
        plan.bits.push_back(skipped || head ? 0 : bits);
        plan.reasons.push_back(!unfit.empty() ? unfit : skipped || head ? "asked for" : "");
        plan.fixed.push_back(skipped || head || table || given != settings.bits_for.end());
    }
    if (std::all_of(plan.bits.begin(), plan.bits.end(), [](int bits) { return bits == 0; }) &&
        settings.format == Format::matmulnbits)
        throw Error(settings.model + ": no layer can be a MatMulNBits");
    agree_on_bits(model, settings, plan);
    plan.input_bits = plan_inputs(model, settings, plan.bits);
    return plan;
}

std::map<std::string, int> plan_inputs(const Model &model, const Settings &settings, const std::vector<int> &bits)
{
    std::map<std::string, int> inputs;
    if (settings.options.input_bits == 0)
        return inputs;
    const std::vector<bool> edge = edge_layers(model);
    for (size_t i = 0; i < bits.size(); i++) {
        if (bits[i] == 0 || model.layers()[i].inner)
            continue;
        int &input = inputs[model.layers()[i].input];
        input = std::max({input, static_cast<int>(settings.options.input_bits), edge[i] ? settings.edge_bits : 0});
    }
    for (auto &[tensor, input] : inputs)
        if (const auto given = settings.input_bits_for.find(tensor); given != settings.input_bits_for.end())
            input = given->second;
    return inputs;
}

} // namespace bsq_onnx
