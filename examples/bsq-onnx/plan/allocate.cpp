// Mixed precision: bits of each layer within a budget.
//
// A layer's own relative error e_l(b) comes from its error table. What it does to the network is measured: the network
// runs with this layer alone at a few bits, on samples that the statistics have not seen, and the relative error E_l of
// its outputs is taken. Errors of layers add up nearly, so the sum of e_l(b_l) E_l / e_l(probe) is what is made small.
#include "plan/allocate.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "judge/alone.hpp"
#include "plan/work.hpp"
#include "shared.hpp"

namespace bsq_onnx {

constexpr int lowest_bits = 2, highest_bits = 8, choices = highest_bits - lowest_bits + 1;
constexpr int probe_bits = 4;

namespace {

constexpr int64_t most_statistics = 64, most_probes = 12;

class Measurer {
public:
    Measurer(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples, const Plan &plan,
             Progress &progress);
    ErrorTables run();

private:
    void gather();
    LayerResult probe(size_t index);
    void measure();

    const Model &model_;
    const Settings &settings_;
    const std::vector<SampleRef> &samples_;
    const Plan &plan_;
    Progress &progress_;
    int64_t probes_; // the last of the samples
    Chain chain_;    // float
    std::vector<LayerHandle> handles_;
    std::vector<double> errors_; // (layers, choices)
};

Measurer::Measurer(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples,
                   const Plan &plan, Progress &progress)
    : model_(model), settings_(settings), samples_(samples), plan_(plan), progress_(progress),
      probes_(std::max<int64_t>(1, std::min(most_probes, static_cast<int64_t>(samples.size()) / 4))),
      chain_(model, std::vector<LayerResult>(model.layers().size()), {}, {}),
      errors_(model.layers().size() * choices, 0)
{
}

ErrorTables Measurer::run()
{
    bsq_options_t options = settings_.options;
    options.weight_bits = probe_bits;
    options.input_bits = 0;
    options.asymmetry = 0;
    options.bias_correction = 0;
    options.effort = std::min(options.effort, int32_t{2});
    options.progress = Progress::callback;
    options.progress_opaque = &progress_;
    for (const Layer &layer : model_.layers()) {
        const bsq_options_t grouped = layer_options(layer, settings_, probe_bits);
        options.scale_kind = grouped.scale_kind;
        options.group_size = grouped.group_size;
        handles_.push_back(make_layer(layer, options));
    }
    gather();
    measure();
    return {errors_};
}

// Statistics of all layers in one pass of the float network.
void Measurer::gather()
{
    const int64_t all = static_cast<int64_t>(samples_.size());
    const int64_t count = all > probes_ ? std::min(most_statistics, all - probes_) : all;
    const int mask = row_mask_input(model_, settings_.row_mask);
    progress_.step("statistics for the choice of bits", 2 * network_work(model_) * static_cast<double>(count));
    for (int64_t i = 0; i < count; i++) {
        const SampleRef &ref = samples_[static_cast<size_t>(i)];
        const Sample sample = ref.load();
        chain_.run(sample);
        const RowMask rows = row_mask(sample, mask, ref.name());
        for (size_t k = 0; k < handles_.size(); k++) {
            const Layer &layer = model_.layers()[k];
            if (plan_.fixed[k] || layer.kind == Kind::table)
                continue;
            Batch batch =
                make_batch(layer, chain_.shapes().at(layer.input), chain_.array(layer.input).floats(), nullptr, false);
            batch.weigh(layer, row_weights(layer, chain_.shapes().at(layer.output), rows));
            check(bsq_layer_calibrate(handles_[k].get(), &batch), layer, handles_[k].get());
        }
        progress_.at(static_cast<double>(i) / static_cast<double>(count));
    }
    progress_.end("");
}

// The layer's error table, and its weights at the probe's bits.
LayerResult Measurer::probe(size_t index)
{
    const Layer &layer = model_.layers()[index];
    bsq_layer_t *handle = handles_[index].get();
    LayerResult result;
    result.input = layer.input;
    result.bias = layer.bias;
    if (!plan_.fixed[index]) {
        double *errors = &errors_[index * choices];
        check(bsq_layer_error_table(handle, lowest_bits, highest_bits, errors, choices), layer, handle);
        check(bsq_optimize(handle, nullptr), layer, handle);
        result.bits = probe_bits;
        result.dequantized.resize(layer.weights.size());
        check(bsq_layer_get_dequantized(handle, result.dequantized.data(), result.dequantized.size()), layer, handle);
    }
    handles_[index].reset();
    return result;
}

// Error tables become errors of the network's outputs.
void Measurer::measure()
{
    std::vector<LayerResult> layers;
    for (size_t i = 0; i < handles_.size(); i++) {
        progress_.step("bits: " + model_.layers()[i].name,
                       choices * solving_work(model_.layers()[i], std::min(settings_.options.effort, int32_t{2})));
        layers.push_back(probe(i));
        progress_.end("");
    }
    progress_.step("contributions of layers", alone_work(model_, probes_));
    const std::vector<SampleRef> last(samples_.end() - static_cast<long>(probes_), samples_.end());
    const std::vector<double> alone = errors_alone(model_, layers, {}, last, settings_.options.threads, progress_);
    progress_.end("");
    for (size_t i = 0; i < layers.size(); i++) {
        if (layers[i].bits == 0)
            continue;
        double *errors = &errors_[i * choices];
        const double own = errors[probe_bits - lowest_bits];
        for (int b = 0; b < choices; b++)
            errors[b] = own > 0 ? errors[b] * alone[i] / own : 0;
        progress_.note("bits: " + model_.layers()[i].name + " at " + std::to_string(probe_bits) +
                       " bits alone changes the outputs by " + std::to_string(alone[i]) + " (" +
                       std::to_string(probes_) + (probes_ == 1 ? " sample)" : " samples)"));
    }
}

} // namespace

ErrorTables measure_errors(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples,
                           const Plan &plan, Progress &progress)
{
    return Measurer(model, settings, samples, plan, progress).run();
}

double ErrorTables::at(size_t layer, int bits) const
{
    return errors[layer * choices + static_cast<size_t>(bits - lowest_bits)];
}

double ErrorTables::of(const Plan &plan, const std::vector<int> &bits) const
{
    double sum = 0;
    for (size_t i = 0; i < bits.size(); i++)
        sum += plan.fixed[i] ? 0 : at(i, bits[i]);
    return sum;
}

// Bits that all weights of layers that do not stay float may have together.
static int64_t total_bits(const Model &model, const Settings &settings, const Plan &plan)
{
    int64_t weights = 0;
    for (size_t i = 0; i < model.layers().size(); i++)
        weights += plan.bits[i] > 0 ? stored_weights(model, plan.bits, i) : 0;
    return static_cast<int64_t>(settings.average_bits * static_cast<double>(weights));
}

std::vector<int> allocate(const Model &model, const Plan &plan, const ErrorTables &tables,
                          const std::vector<int> &allowed, int64_t budget)
{
    std::vector<double> errors;
    std::vector<int64_t> costs;
    std::vector<size_t> free_layers;
    std::map<size_t, size_t> row_of; // of errors, by layer
    for (size_t i = 0; i < model.layers().size(); i++) {
        const int64_t size = stored_weights(model, plan.bits, i);
        const size_t first = first_use(model, plan.bits, i);
        if (first != i && !plan.fixed[i]) {
            for (size_t k = 0; k < allowed.size(); k++)
                errors[row_of.at(first) * allowed.size() + k] += tables.at(i, allowed[k]);
            continue;
        }
        if (plan.fixed[i]) {
            budget -= size * plan.bits[i];
            continue;
        }
        row_of[i] = free_layers.size();
        free_layers.push_back(i);
        for (const int bits : allowed) {
            errors.push_back(tables.at(i, bits));
            costs.push_back(size * bits);
        }
    }
    std::vector<int> bits = plan.bits;
    if (free_layers.empty())
        return bits;
    std::vector<int32_t> chosen(free_layers.size());
    char text[200];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    if (budget < 0)
        throw Error("layers with given bits need more");
    if (bsq_allocate_bits(errors.data(), costs.data(), nullptr, free_layers.size(), allowed.size(), budget, nullptr,
                          chosen.data(), nullptr, &error) != BSQ_OK)
        throw Error(text);
    for (size_t i = 0; i < free_layers.size(); i++)
        bits[free_layers[i]] = allowed[static_cast<size_t>(chosen[i])];
    for (size_t i = 0; i < bits.size(); i++)
        bits[i] = bits[first_use(model, plan.bits, i)];
    return bits;
}

void choose_bits(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples, Plan &plan,
                 Progress &progress)
{
    const ErrorTables tables = measure_errors(model, settings, samples, plan, progress);
    std::vector<int> allowed;
    for (int bits = lowest_bits; bits <= highest_bits; bits++)
        allowed.push_back(bits);
    try {
        plan.bits = allocate(model, plan, tables, allowed, total_bits(model, settings, plan));
    } catch (const Error &error) {
        throw Error("--avg-bits " + std::to_string(settings.average_bits) + " cannot be reached: " + error.what());
    }
}

bool may_be_chosen(const Model &model, const Settings &settings, const Plan &plan, const std::vector<int> &bits)
{
    if (bits.size() != plan.bits.size())
        return false;
    const bool by_size = settings.target_drop >= 0;
    int64_t spent = 0;
    bool free_layers = false;
    for (size_t i = 0; i < bits.size(); i++) {
        const bool possible = by_size ? std::count(sized_bits.begin(), sized_bits.end(), bits[i]) > 0
                                      : bits[i] >= lowest_bits && bits[i] <= highest_bits;
        if (plan.fixed[i] ? bits[i] != plan.bits[i] : !possible)
            return false;
        if (bits[i] != bits[first_use(model, plan.bits, i)])
            return false;
        free_layers = free_layers || !plan.fixed[i];
        spent += bits[i] * stored_weights(model, plan.bits, i);
    }
    return by_size || !free_layers || spent <= total_bits(model, settings, plan);
}

} // namespace bsq_onnx
