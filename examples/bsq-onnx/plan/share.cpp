// Quantizers that are chosen before layers are.
#include "plan/share.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <set>

#include "model/graph.hpp"
#include "plan/points.hpp"
#include "plan/work.hpp"
#include "quantize/parallel.hpp"

namespace bsq_onnx {

namespace {

struct Group {
    PointGroup points;
    int bits = 0;
    bool everywhere = false;
    LayerHandle observer; // sees the values of all of them
    std::map<std::string, std::pair<float, float>> ranges;
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

void open_observer(const Settings &settings, Group &group)
{
    bsq_options_t options = settings.options;
    options.input_bits = group.bits;
    group.observer = make_layer(single_input(), options);
}

std::vector<Group> find_joined(const Model &model, const Plan &plan)
{
    std::vector<Group> groups;
    std::set<std::string> seen;
    for (const auto &[tensor, bits] : plan.input_bits) {
        if (!seen.insert(tensor).second)
            continue;
        Group group;
        group.points.tensors = {tensor};
        group.bits = bits;
        for (const std::string &other : model.joined(tensor)) {
            const auto found = plan.input_bits.find(other);
            if (found == plan.input_bits.end())
                continue;
            seen.insert(other);
            group.points.tensors.push_back(other);
            group.bits = std::max(group.bits, found->second);
        }
        if (group.points.tensors.size() > 1)
            groups.push_back(std::move(group));
    }
    return groups;
}

// Bits are those of layers' inputs among a group's tensors, or as asked for.
std::vector<Group> find_points(const Model &model, const Settings &settings, const Plan &plan)
{
    std::vector<Group> groups;
    for (const PointGroup &points : integer_points(model, settings, plan)) {
        Group group;
        group.points = points;
        group.bits = settings.options.input_bits;
        for (const std::string &tensor : points.tensors)
            if (const auto found = plan.input_bits.find(tensor); found != plan.input_bits.end())
                group.bits = std::max(group.bits, found->second);
        for (const std::string &tensor : points.tensors)
            if (const auto given = settings.input_bits_for.find(tensor); given != settings.input_bits_for.end())
                group.bits = given->second;
        group.everywhere = true;
        groups.push_back(std::move(group));
    }
    return groups;
}

// No code stands for more than 'most'.
void cap(Quantizer &quantizer, float most)
{
    const double codes = quantizer.grid(0).highest;
    auto step = static_cast<float>(static_cast<double>(most) / codes);
    // Engines multiply in single precision.
    while (step * static_cast<float>(codes) > most)
        step = std::nextafter(step, 0.0F);
    quantizer.values.scale = static_cast<double>(step);
}

// Steps are what files hold; none reaches beyond what ends all of the group's tensors, nor a little beyond a single
// one's Clip, which ONNX Runtime would take away twice.
void limit(const PointGroup &points, Quantizer &quantizer)
{
    quantizer.values.scale =
        std::max(static_cast<double>(static_cast<float>(quantizer.values.scale)), static_cast<double>(FLT_MIN));
    const auto top = [&] { return static_cast<float>(quantizer.values.scale * quantizer.grid(0).highest); };
    if (std::isfinite(points.most) && points.most > 0 && top() > points.most)
        cap(quantizer, points.most);
    for (const float clip : points.clips)
        if (clip > 0 && top() > clip && top() < clip + static_cast<float>(quantizer.values.scale))
            cap(quantizer, clip);
}

// Values of a tensor, in rows along its last axis; those that do not count are left out where a mask is of such rows.
void observe(const Array &array, const RowMask &mask, Group &group, const std::string &tensor)
{
    std::vector<float> scratch;
    const int64_t width = array.shape.empty() ? 1 : std::max<int64_t>(array.shape.back(), 1);
    const Rows rows = rows_that_count(array.floats(), count(array.shape) / width, width, mask, scratch);
    const int64_t all = rows.count * width;
    const auto [least, most] = std::minmax_element(rows.values, rows.values + all);
    const auto range = group.ranges.emplace(tensor, std::make_pair(*least, *most)).first;
    range->second = {std::min(range->second.first, *least), std::max(range->second.second, *most)};
    if (!group.observer)
        return;
    const Layer layer = single_input();
    const Batch batch = make_batch(layer, {all, 1}, rows.values, nullptr, false);
    check(bsq_layer_observe(group.observer.get(), &batch), layer, group.observer.get());
}

// Of more bits than the library's have.
Quantizer range_quantizer(const Group &group)
{
    float least = 0, most = 0;
    for (const auto &[tensor, range] : group.ranges)
        least = std::min(least, range.first), most = std::max(most, range.second);
    return Quantizer::of_range(group.bits, least, most);
}

} // namespace

void limit_by_clip(const Model &model, const std::string &tensor, Quantizer &quantizer)
{
    const onnx::GraphProto &graph = model.proto().graph();
    for (const onnx::NodeProto &node : graph.node())
        for (const onnx::TensorProto &constant : graph.initializer())
            if (node.op_type() == "Clip" && node.output(0) == tensor && constant.name() == input_of(node, 2) &&
                !quantizer.folded()) {
                const float most = floats_of(constant).at(0);
                limit({{tensor}, most, {most}}, quantizer);
            }
}

std::map<std::string, SharedQuantizer> share_quantizers(const Model &model, const Settings &settings, const Plan &plan,
                                                        const std::vector<SampleRef> &samples, Progress &progress)
{
    std::map<std::string, SharedQuantizer> shared;
    std::vector<Group> groups = integer_form(settings) ? find_points(model, settings, plan) : find_joined(model, plan);
    if (groups.empty())
        return shared;
    std::vector<std::string> computed;
    const int mask = row_mask_input(model, settings.row_mask);
    for (Group &group : groups) {
        if (group.bits <= most_library_bits)
            open_observer(settings, group);
        for (const std::string &tensor : group.points.tensors)
            if (!model.is_input(tensor))
                computed.push_back(tensor);
    }
    const int count = workers(settings.options.threads, static_cast<int64_t>(samples.size()));
    std::vector<Arrays> values(static_cast<size_t>(count));
    std::vector<RowMask> masks(values.size());
    std::vector<Runner> runners;
    const Segment all_nodes = whole(model, computed);
    for (int i = 0; i < count; i++)
        runners.emplace_back(model, all_nodes, computed);
    const auto all = static_cast<int64_t>(samples.size());
    const double once = network_work(model);
    for (int64_t first = 0; first < all; first += count) {
        const int64_t last = std::min(all, first + count);
        progress.step("quantizers of activations", once * static_cast<double>(last - first));
        for_samples(count, first, last, [&](int worker, int64_t i) {
            const auto w = static_cast<size_t>(worker);
            const SampleRef &ref = samples[static_cast<size_t>(i)];
            Sample sample = ref.load();
            const std::shared_ptr<const Shapes> shapes = model.shapes(sample.inputs);
            masks[w] = row_mask(sample, mask, ref.name());
            prepare_arrays(model, *shapes, computed, values[w]);
            for (size_t k = 0; k < sample.inputs.size(); k++)
                values[w][model.inputs()[k].name] = std::move(sample.inputs[k]);
            run(runners[w], all_nodes.inputs, computed, *shapes, values[w]);
        });
        // Each group sees samples in their order.
        for_samples(count, 0, static_cast<int64_t>(groups.size()), [&](int, int64_t g) {
            Group &group = groups[static_cast<size_t>(g)];
            for (int64_t i = first; i < last; i++)
                for (const std::string &tensor : group.points.tensors)
                    observe(values[static_cast<size_t>(i - first)].at(tensor), masks[static_cast<size_t>(i - first)],
                            group, tensor);
        });
        progress.end("");
    }
    for (const Group &group : groups) {
        SharedQuantizer quantizer;
        quantizer.tensors = group.points.tensors;
        quantizer.ranges = group.ranges;
        if (group.observer)
            check(bsq_layer_get_input_quantizer(group.observer.get(), &quantizer.quantizer.values), single_input(),
                  group.observer.get());
        else
            quantizer.quantizer = range_quantizer(group);
        quantizer.quantizer.everywhere = group.everywhere;
        if (group.everywhere)
            limit(group.points, quantizer.quantizer);
        for (const std::string &tensor : group.points.tensors)
            shared[tensor] = quantizer;
    }
    return shared;
}

} // namespace bsq_onnx
