// One quantizer for tensors that meet in an Add or Concat.
#include "plan/share.hpp"

#include <algorithm>
#include <set>

namespace bsq_onnx {

namespace {

struct Group {
    std::vector<std::string> tensors;
    int bits = 0;
    LayerHandle observer; // sees the values of all of them
};

// A layer of one weight: every value of a tensor is a row of its input, whatever shape the tensor has.
Layer single_input()
{
    Layer layer{};
    layer.name = "shared quantizer";
    bsq_layer_desc_init(&layer.desc, sizeof layer.desc);
    layer.desc.kind = BSQ_KIND_LINEAR;
    layer.desc.in_channels = layer.desc.out_channels = 1;
    layer.weights = {1};
    return layer;
}

std::vector<Group> find_groups(const Model &model, const Settings &settings, const Plan &plan)
{
    std::vector<Group> groups;
    std::set<std::string> seen;
    for (const auto &[tensor, bits] : plan.input_bits) {
        if (!seen.insert(tensor).second)
            continue;
        Group group;
        group.tensors = {tensor};
        group.bits = bits;
        for (const std::string &other : model.joined(tensor)) {
            const auto found = plan.input_bits.find(other);
            if (found == plan.input_bits.end())
                continue;
            seen.insert(other);
            group.tensors.push_back(other);
            group.bits = std::max(group.bits, found->second);
        }
        if (group.tensors.size() < 2)
            continue;
        bsq_options_t options = settings.options;
        options.input_bits = group.bits;
        group.observer = make_layer(single_input(), options);
        groups.push_back(std::move(group));
    }
    return groups;
}

void observe(const std::vector<float> &values, const Group &group)
{
    const Layer layer = single_input();
    bsq_batch_t batch = make_batch(layer, values.data(), nullptr, false);
    batch.size = static_cast<int64_t>(values.size());
    check(bsq_layer_observe(group.observer.get(), &batch), layer, group.observer.get());
}

} // namespace

std::map<std::string, SharedQuantizer> share_quantizers(const Model &model, const Settings &settings, const Plan &plan,
                                                        const std::vector<SampleRef> &samples, Progress &progress)
{
    std::map<std::string, SharedQuantizer> shared;
    const std::vector<Group> groups = find_groups(model, settings, plan);
    if (groups.empty())
        return shared;
    std::map<std::string, std::vector<float>> values;
    std::vector<std::string> computed;
    for (const Group &group : groups)
        for (const std::string &tensor : group.tensors) {
            values[tensor].resize(static_cast<size_t>(count(model.shape(tensor))));
            if (tensor != model.input().name)
                computed.push_back(tensor);
        }
    Runner runner(model, whole(model, computed), computed);
    std::vector<float *> to;
    for (const std::string &tensor : computed)
        to.push_back(values.at(tensor).data());
    progress.begin(static_cast<double>(samples.size()));
    for (const SampleRef &ref : samples) {
        progress.step("shared quantizers", 1);
        const Sample sample = ref.from->load(ref.index);
        runner.run({sample.input.data()}, to);
        if (const auto input = values.find(model.input().name); input != values.end())
            input->second = sample.input;
        for (const Group &group : groups)
            for (const std::string &tensor : group.tensors)
                observe(values.at(tensor), group);
        progress.end("");
    }
    for (const Group &group : groups) {
        SharedQuantizer quantizer;
        quantizer.tensors = group.tensors;
        check(bsq_layer_get_input_quantizer(group.observer.get(), &quantizer.quantizer.values), single_input(),
              group.observer.get());
        for (const std::string &tensor : group.tensors)
            shared[tensor] = quantizer;
    }
    return shared;
}

} // namespace bsq_onnx
