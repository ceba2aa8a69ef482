// Weights that several layers share: solved once, for the rows of all of them.
#include "quantize/shared_weights.hpp"

#include <algorithm>

#include "model/layers.hpp"
#include "plan/work.hpp"
#include "quantize/parallel.hpp"
#include "quantize/rows.hpp"
#include "quantize/target.hpp"
#include "quantize/weights.hpp"

namespace bsq_onnx {

struct SharedWeights::Use {
    size_t segment, layer, first;
};

// Runs the float network, as far as it is needed, on one sample at a time.
class SharedWeights::Worker {
public:
    Worker(const Model &model, const std::vector<Use> &uses, const Quantizers &quantizers)
        : model_(model), uses_(uses), quantizers_(quantizers), rounded_(uses.size())
    {
        size_t next = 0;
        for (size_t i = 0; i <= uses.back().segment; i++) {
            const Segment &segment = model.segments()[i];
            std::vector<std::string> outputs = segment.outputs;
            if (next < uses.size() && uses[next].segment == i) {
                const Layer &layer = model.layers()[uses[next++].layer];
                if (std::count(outputs.begin(), outputs.end(), layer.output) == 0)
                    outputs.push_back(layer.output);
                targets_.emplace_back(model, segment, layer, quantizers);
            }
            runners_.emplace_back(model, segment, outputs);
            outputs_.push_back(outputs);
        }
    }

    void run(Sample sample, const RowMask &mask)
    {
        shapes_ = model_.shapes(sample.inputs);
        for (size_t i = 0; i < sample.inputs.size(); i++)
            arrays_[model_.inputs()[i].name] = std::move(sample.inputs[i]);
        for (size_t i = 0; i < runners_.size(); i++) {
            prepare_arrays(model_, *shapes_, outputs_[i], arrays_);
            bsq_onnx::run(runners_[i], model_.segments()[i].inputs, outputs_[i], *shapes_, arrays_);
        }
        for (size_t i = 0; i < uses_.size(); i++)
            see(i, mask);
    }

    void calibrate(size_t use, bool held_out, bsq_layer_t *pool) const
    {
        const Layer &layer = model_.layers()[uses_[use].layer];
        const float *input = rounded_[use].empty() ? arrays_.at(layer.input).floats() : rounded_[use].data();
        Batch batch = make_batch(layer, shapes_->at(layer.input), input, targets_[use].values(), held_out);
        batch.weigh(layer, targets_[use].row_weights());
        check(bsq_layer_calibrate(pool, &batch), layer, pool);
    }

private:
    // What the layer is to be fitted to.
    void see(size_t use, const RowMask &mask)
    {
        const Layer &layer = model_.layers()[uses_[use].layer];
        const Array &input = arrays_.at(layer.input), &output = arrays_.at(layer.output);
        if (const auto known = quantizers_.find(layer.input); known != quantizers_.end()) {
            const int64_t all = count(input.shape);
            rounded_[use].resize(static_cast<size_t>(all));
            known->second.apply(input.floats(), 1, 1, all, rounded_[use].data());
        }
        Target &target = targets_[use];
        std::copy(output.floats(), output.floats() + count(output.shape), target.values(output.shape));
        std::vector<const void *> inputs;
        for (const std::string &tensor : model_.segments()[uses_[use].segment].inputs)
            inputs.push_back(arrays_.at(tensor).bytes.data());
        target.adapt(inputs, *shapes_, row_weights(layer, output.shape, mask));
        take_bias_off(layer, output.shape, target.values(output.shape));
    }

    // Each use has a bias of its own, of which the pool knows nothing.
    static void take_bias_off(const Layer &layer, const Shape &shape, float *values)
    {
        if (layer.bias.empty())
            return;
        const int64_t channels = layer.desc.out_channels, all = count(shape);
        const int64_t inner = is_convolution(layer) ? all / shape[0] / channels : 1;
        for (int64_t i = 0; i < all; i++)
            values[i] -= layer.bias[static_cast<size_t>(i / inner % channels)];
    }

    const Model &model_;
    const std::vector<Use> &uses_;
    const Quantizers &quantizers_;
    std::vector<Runner> runners_;                   // of segments
    std::vector<std::vector<std::string>> outputs_; // of segments
    std::vector<Target> targets_;                   // of uses
    std::vector<std::vector<float>> rounded_;       // inputs of uses; empty: as they are
    Arrays arrays_;
    std::shared_ptr<const Shapes> shapes_;
};

SharedWeights::SharedWeights(const Model &model, const Settings &settings, const Plan &plan,
                             const std::vector<SampleRef> &samples, int64_t calibration, Progress &progress)
    : model_(model), settings_(settings), plan_(plan), samples_(samples), calibration_(calibration), progress_(progress)
{
}

std::vector<size_t> SharedWeights::uses(size_t layer) const
{
    std::vector<size_t> uses;
    for (size_t i = layer; i < plan_.bits.size() && model_.layers()[layer].kind != Kind::table; i++)
        if (plan_.bits[i] > 0 && first_use(model_, plan_.bits, i) == layer)
            uses.push_back(i);
    return uses.size() > 1 ? uses : std::vector<size_t>();
}

std::vector<SharedWeights::Use> SharedWeights::later_uses(size_t layer) const
{
    std::vector<Use> later;
    for (size_t i = 0; i < model_.segments().size(); i++) {
        if (model_.segments()[i].layer < 0)
            continue;
        const auto index = static_cast<size_t>(model_.segments()[i].layer);
        const size_t first = first_use(model_, plan_.bits, index);
        if (first != index && first >= layer && model_.layers()[index].kind != Kind::table)
            later.push_back({i, index, first});
    }
    return later;
}

// Quantizers that were chosen before layers are, so that rows are the same wherever an interrupted run goes on.
Quantizers SharedWeights::known() const
{
    Quantizers known;
    for (const auto &[tensor, shared] : plan_.shared)
        if (settings_.options.input_bits > 0)
            known[tensor] = shared.quantizer;
    for (const Layer &layer : model_.layers())
        if (layer.inner)
            known.erase(layer.input);
    return known;
}

void SharedWeights::gather(size_t layer)
{
    if (gathered_)
        return;
    gathered_ = true;
    const std::vector<Use> later = later_uses(layer);
    std::vector<std::vector<size_t>> groups; // places in 'later', by first use
    for (size_t i = 0; i < later.size(); i++) {
        Layer first = model_.layers()[later[i].first];
        first.bias.clear();
        bsq_options_t options = layer_options(first, settings_, plan_.bits[later[i].first]);
        options.input_bits = 0;
        auto [pool, fresh] = pools_.try_emplace(later[i].first);
        if (fresh)
            pool->second = make_layer(first, options);
        const auto group = std::find_if(groups.begin(), groups.end(),
                                        [&](const auto &one) { return later[one[0]].first == later[i].first; });
        if (group != groups.end())
            group->push_back(i);
        else
            groups.push_back({i});
    }
    progress_.step("rows of shared weights", sharing_work(model_, plan_, static_cast<int64_t>(samples_.size())));
    const Quantizers quantizers = known();
    const int mask = row_mask_input(model_, settings_.row_mask);
    const auto all = static_cast<int64_t>(samples_.size());
    const int count = workers(settings_.options.threads, all);
    std::vector<Worker> runs;
    for (int i = 0; i < count; i++)
        runs.emplace_back(model_, later, quantizers);
    for (int64_t first = 0; first < all; first += count) {
        const int64_t last = std::min(all, first + count);
        for_samples(count, first, last, [&](int worker, int64_t i) {
            const SampleRef &ref = samples_[static_cast<size_t>(i)];
            Sample sample = ref.load();
            const RowMask rows = row_mask(sample, mask, ref.name());
            runs[static_cast<size_t>(worker)].run(std::move(sample), rows);
        });
        // Each of them sees samples in their order.
        for_samples(count, 0, static_cast<int64_t>(groups.size()), [&](int, int64_t g) {
            for (int64_t i = first; i < last; i++)
                for (const size_t use : groups[static_cast<size_t>(g)])
                    runs[static_cast<size_t>(i - first)].calibrate(use, i >= calibration_,
                                                                   pools_.at(later[use].first).get());
        });
        progress_.at(static_cast<double>(last) / static_cast<double>(all));
    }
    progress_.end("");
}

// Inputs of the first use went through its quantizer, those of the pool through their own: sums of both can be added.
void SharedWeights::add_sums(const Layer &layer, int32_t held_out, bsq_layer_t *own, bsq_layer_t *pool) const
{
    bsq_stats_t *stats = nullptr;
    check(bsq_layer_acquire_stats(own, held_out, &stats), layer, own);
    size_t count = 0;
    std::vector<double> sums;
    bsq_status_t status = bsq_stats_sum_count(stats, &count, nullptr);
    if (status == BSQ_OK) {
        sums.resize(count);
        status = bsq_stats_get_sums(stats, &settings_.options, sums.data(), count, nullptr);
    }
    bsq_stats_release(stats);
    if (status != BSQ_OK)
        throw Error("layer '" + layer.name + "': statistics: " + bsq_status_string(status));
    check(bsq_layer_add_sums(pool, held_out, sums.data(), count), layer, pool);
}

bsq_report_t SharedWeights::solve(size_t index, bsq_layer_t *own, double asymmetry, LayerResult &result)
{
    const Layer &layer = model_.layers()[index];
    const LayerHandle pool = std::move(pools_.at(index));
    pools_.erase(index);
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    check(bsq_layer_get_options(own, &options), layer, own);
    options.asymmetry = asymmetry;
    check(bsq_layer_set_options(pool.get(), &options), layer, pool.get());
    for (int32_t held_out = 0; held_out <= (static_cast<int64_t>(samples_.size()) > calibration_ ? 1 : 0); held_out++)
        add_sums(layer, held_out, own, pool.get());
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    check(bsq_optimize(pool.get(), &report), layer, pool.get());
    take_weights(layer, pool.get(), result);
    return report;
}

} // namespace bsq_onnx
