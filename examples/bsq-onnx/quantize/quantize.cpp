// Quantizes a network layer by layer, in execution order.
#include "quantize/quantize.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plan/share.hpp"
#include "shared.hpp"
#include "plan/strength.hpp"
#include "plan/work.hpp"
#include "quantize/describe.hpp"
#include "quantize/integer_bias.hpp"
#include "quantize/kept_stats.hpp"
#include "quantize/parallel.hpp"
#include "quantize/resumed.hpp"
#include "quantize/rows.hpp"
#include "quantize/shared_weights.hpp"
#include "quantize/target.hpp"
#include "quantize/weights.hpp"

namespace bsq_onnx {

namespace {

constexpr double unknown_strength = -1;

class Pass {
public:
    Pass(const Model &model, const Settings &settings, const Plan &plan, const std::vector<SampleRef> &samples,
         int64_t calibration, Progress &progress, Checkpoint *checkpoint);
    Quantized run();

private:
    void load_samples();
    void run_segment(int index);
    void run_float(int index, bsq_layer_t *handle, const Layer *layer);
    void run_quantized(int index);
    void check_resumed(const Layer &layer, size_t index, const DoneLayer &done) const;
    void choose_quantizer(const Layer &layer, int bits);
    std::string note_on(const std::string &tensor) const;
    Quantizer observe(const Layer &layer, int bits, bool per_channel);
    Quantizer wide_quantizer(const Layer &layer, int bits);
    Candidate choose_scales(const std::string &tensor, const std::vector<Candidate> &scales);
    bsq_options_t options_of(const Layer &layer, int bits) const;
    bool may_fold(const std::string &tensor, std::string &reason) const;
    bool is_described(const std::string &tensor) const;
    void describe_others();
    void describe_input(const Layer &layer, const Candidate &scales, const std::string &note);
    LayerHandle prepare(const Layer &layer, int bits);
    bsq_report_t solve_or_take(const Layer &layer, size_t index, bsq_layer_t *handle);
    void solve(const Segment &segment, const Layer &layer, size_t index, bsq_layer_t *handle);
    double own_error(const Segment &segment, const Layer &layer);
    void drop_dead(int index);

    const Shapes &shapes(int64_t sample) const { return *shapes_[static_cast<size_t>(sample)]; }
    int64_t count_of(const std::string &tensor, int64_t sample) const { return count(shapes(sample).at(tensor)); }
    int64_t samples() const { return static_cast<int64_t>(samples_.size()); }
    void add_to(Store &store, const std::string &tensor) const;
    const void *now(const std::string &tensor, int64_t sample);
    std::vector<const void *> inputs_now(const Segment &segment, int64_t sample);
    const float *read_by(const Layer &layer, int64_t sample);
    Seen seen(const Layer &layer, int64_t sample);
    double rows_of(const Layer &layer) const;
    std::vector<std::string> needed(const Segment &segment, int index) const;

    const Model &model_;
    const Settings &settings_;
    const Plan &plan_;
    const std::vector<SampleRef> &samples_;
    int64_t calibration_;
    int workers_;
    Progress &progress_;
    Checkpoint *checkpoint_;
    SharedWeights shared_;

    Room room_;
    Store float_, quantized_; // the second holds what differs from the first
    std::map<std::string, int> last_use_;
    std::map<std::string, int> readers_left_;           // layers to come, by input_key
    std::map<std::string, LayerHandle> to_share_;       // whose statistics they take over
    std::vector<float> rounded_;                        // a sample of the layer's input
    std::vector<float> counting_;                       // the rows of one that count
    std::vector<std::shared_ptr<const Shapes>> shapes_; // of each sample
    std::vector<RowMask> masks_;                        // of each sample
    double seconds_choosing_ = 0;                       // scales for the layer at hand
    Quantized result_;
};

Pass::Pass(const Model &model, const Settings &settings, const Plan &plan, const std::vector<SampleRef> &samples,
           int64_t calibration, Progress &progress, Checkpoint *checkpoint)
    : model_(model), settings_(settings), plan_(plan), samples_(samples), calibration_(calibration),
      workers_(workers(settings.options.threads, static_cast<int64_t>(samples.size()))), progress_(progress),
      checkpoint_(checkpoint), shared_(model, settings, plan, samples, calibration, progress),
      room_(make_room(settings.memory)), float_(room_), quantized_(room_)
{
    for (size_t i = 0; i < model.segments().size(); i++)
        for (const std::string &tensor : model.segments()[i].inputs)
            last_use_[tensor] = static_cast<int>(i);
    for (size_t i = 0; i < model.layers().size(); i++)
        if (plan.bits[i] > 0)
            readers_left_[input_key(model, model.layers()[i])]++;
    for (size_t i = 0; i < model.layers().size(); i++) {
        const Layer &layer = model.layers()[i];
        LayerResult l;
        l.name = layer.name;
        l.op = layer.op;
        l.input = layer.input;
        l.reason = plan.reasons[i];
        if (const size_t first = first_use(model, plan.bits, i); first != i)
            l.shared_with = model.layers()[first].name;
        l.channels = layer.desc.out_channels;
        l.fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
        l.multiplications = layer.multiplications;
        l.bias = layer.bias;
        result_.layers.push_back(l);
    }
}

const void *Pass::now(const std::string &tensor, int64_t sample)
{
    return (quantized_.has(tensor) ? quantized_ : float_).bytes_at(tensor, sample);
}

std::vector<const void *> Pass::inputs_now(const Segment &segment, int64_t sample)
{
    std::vector<const void *> values;
    for (const std::string &tensor : segment.inputs)
        values.push_back(now(tensor, sample));
    return values;
}

void Pass::add_to(Store &store, const std::string &tensor) const
{
    std::vector<size_t> bytes;
    for (int64_t i = 0; i < samples(); i++)
        bytes.push_back(static_cast<size_t>(count_of(tensor, i)) * element_size(model_.type(tensor)));
    store.add(tensor, bytes);
}

// What the layer reads of a sample, without rows that do not count.
Seen Pass::seen(const Layer &layer, int64_t sample)
{
    const auto *values = static_cast<const float *>(now(layer.input, sample));
    Layout layout = input_layout(layer, shapes(sample).at(layer.input));
    if (layer.desc.kind != BSQ_KIND_LINEAR)
        return {values, layout};
    const Rows rows =
        rows_that_count(values, layout.outer, layout.channels, masks_[static_cast<size_t>(sample)], counting_);
    layout.outer = rows.count;
    return {rows.values, layout};
}

// How many rows the layer sees while it is calibrated.
double Pass::rows_of(const Layer &layer) const
{
    if (layer.kind == Kind::table)
        return 0;
    double rows = 0;
    for (int64_t i = 0; i < calibration_; i++) {
        const Shape &output = shapes(i).at(layer.output);
        const RowMask &mask = masks_[static_cast<size_t>(i)];
        const float *weights = row_weights(layer, output, mask);
        rows += weights != nullptr ? static_cast<double>(std::count(mask.begin(), mask.end(), 1.0F))
                                   : static_cast<double>(count(output) / layer.desc.out_channels);
    }
    return rows;
}

// The outputs of a segment that later segments read.
std::vector<std::string> Pass::needed(const Segment &segment, int index) const
{
    std::vector<std::string> outputs;
    for (const std::string &tensor : segment.outputs)
        if (const auto use = last_use_.find(tensor); use != last_use_.end() && use->second > index)
            outputs.push_back(tensor);
    return outputs;
}

Quantized Pass::run()
{
    load_samples();
    for (const auto &[tensor, shared] : plan_.shared)
        if (shared.quantizer.everywhere)
            result_.quantizers[tensor] = shared.quantizer;
    for (size_t i = 0; i < model_.segments().size(); i++)
        run_segment(static_cast<int>(i));
    describe_others();
    return std::move(result_);
}

void Pass::load_samples()
{
    const int mask = row_mask_input(model_, settings_.row_mask);
    // Their extents come first. What was computed for one sample's serves all that have the same.
    const auto load = [&](int64_t i) { return samples_[static_cast<size_t>(i)].load(); };
    const auto take = [&](const Sample &sample, int64_t i) {
        shapes_.push_back(model_.shapes(sample.inputs));
        masks_.push_back(row_mask(sample, mask, samples_[static_cast<size_t>(i)].name()));
    };
    const auto put = [&](const Sample &sample, int64_t i) {
        for (size_t k = 0; k < sample.inputs.size(); k++) {
            const Array &input = sample.inputs[k];
            auto *to = static_cast<unsigned char *>(float_.bytes_at(model_.inputs()[k].name, i));
            std::copy(input.bytes.begin(), input.bytes.end(), to);
        }
        progress_.at(0);
    };
    const bool twice = model_.traced() || mask >= 0;
    for (int64_t i = 0; twice && i < samples(); i++) {
        take(load(i), i);
        progress_.at(0);
    }
    if (!twice) {
        shapes_.assign(samples_.size(), model_.shapes({}));
        masks_.resize(samples_.size());
    }
    for (const Value &input : model_.inputs())
        add_to(float_, input.name);
    for (int64_t i = 0; i < samples(); i++)
        put(load(i), i);
}

void Pass::run_segment(int index)
{
    const Segment &segment = model_.segments()[static_cast<size_t>(index)];
    if (segment.layer < 0) {
        run_float(index, nullptr, nullptr);
    } else {
        const auto which = static_cast<size_t>(segment.layer);
        const Layer &layer = model_.layers()[which];
        const int bits = plan_.bits[which];
        DoneLayer done;
        const bool kept = bits > 0 && checkpoint_ != nullptr && checkpoint_->load_layer(which, done);
        if (bits > 0 && !kept && !shared_.uses(which).empty())
            shared_.gather(which);
        progress_.step(layer.name, gathering_work(layer, samples()) + solving_work(layer, settings_.options.effort));
        if (bits == 0) {
            run_float(index, nullptr, nullptr);
            progress_.end("layer " + std::to_string(which + 1) + "/" + std::to_string(model_.layers().size()) + " " +
                          layer.name + ": stays float");
        } else if (kept) {
            check_resumed(layer, which, done);
            result_.layers[which] = done.layer;
            if (done.quantizer.quantizes() && !is_described(layer.input)) {
                result_.quantizers.emplace(layer.input, done.quantizer);
                result_.inputs.push_back(done.input);
            }
            run_float(index, nullptr, nullptr);
            readers_left_[input_key(model_, layer)]--;
            progress_.end("layer " + std::to_string(which + 1) + "/" + std::to_string(model_.layers().size()) + " " +
                          layer.name + ": was done before");
        } else {
            LayerHandle handle = prepare(layer, bits);
            const bool held_out_too = samples() > calibration_;
            const bool alone = layer.kind == Kind::table; // its weights say it all
            if (alone)
                weigh_alike(layer, held_out_too, handle.get());
            // A layer that shares its input has statistics already: its rows are gathered again.
            if (alone || (checkpoint_ != nullptr && to_share_.count(input_key(model_, layer)) == 0 &&
                          import_stats(*checkpoint_, layer, which, held_out_too, handle.get()))) {
                run_float(index, nullptr, nullptr);
            } else {
                run_float(index, handle.get(), &layer);
                if (checkpoint_ != nullptr)
                    export_stats(*checkpoint_, layer, which, held_out_too, handle.get());
            }
            solve(segment, layer, which, handle.get());
            if (--readers_left_[input_key(model_, layer)] > 0)
                to_share_.emplace(input_key(model_, layer), std::move(handle));
            else
                to_share_.erase(input_key(model_, layer));
        }
    }
    run_quantized(index);
    drop_dead(index);
}

// Runs the float network's segment; with 'handle' its layer's statistics are gathered.
void Pass::run_float(int index, bsq_layer_t *handle, const Layer *layer)
{
    const Segment &segment = model_.segments()[static_cast<size_t>(index)];
    std::vector<std::string> outputs = needed(segment, index);
    for (const std::string &tensor : outputs)
        add_to(float_, tensor);
    // No output is asked for twice: engines may fill one place only.
    const bool kept = handle != nullptr && std::count(outputs.begin(), outputs.end(), layer->output) > 0;
    if (handle != nullptr && !kept)
        outputs.push_back(layer->output);
    if (outputs.empty())
        return;
    std::vector<Runner> runners;
    std::vector<Target> targets;
    for (int i = 0; i < workers_; i++) {
        runners.emplace_back(model_, segment, outputs);
        if (handle != nullptr)
            targets.emplace_back(model_, segment, *layer, result_.quantizers);
    }
    const auto run = [&](int worker, int64_t i) {
        const auto w = static_cast<size_t>(worker);
        std::vector<const void *> from(segment.inputs.size());
        std::vector<void *> to(outputs.size());
        for (size_t k = 0; k < from.size(); k++)
            from[k] = float_.bytes_at(segment.inputs[k], i);
        for (size_t k = 0; k < to.size(); k++)
            to[k] = handle != nullptr && !kept && k + 1 == to.size() ? targets[w].values(shapes(i).at(layer->output))
                                                                     : float_.bytes_at(outputs[k], i);
        runners[w].run(from, to, shapes(i));
        if (kept) {
            const float *values = float_.at(layer->output, i);
            std::copy(values, values + count_of(layer->output, i), targets[w].values(shapes(i).at(layer->output)));
        }
        if (handle != nullptr)
            targets[w].adapt(inputs_now(segment, i), shapes(i),
                             row_weights(*layer, shapes(i).at(layer->output), masks_[static_cast<size_t>(i)]));
    };
    // Statistics take samples in their order.
    for (int64_t first = 0; first < samples(); first += workers_) {
        const int64_t last = std::min(samples(), first + workers_);
        for_samples(workers_, first, last, run);
        for (int64_t i = first; i < last && handle != nullptr; i++) {
            const Target &target = targets[static_cast<size_t>(i - first)];
            const float *input = read_by(*layer, i);
            Batch batch = make_batch(*layer, shapes(i).at(layer->input), input, target.values(), i >= calibration_);
            batch.weigh(*layer, target.row_weights());
            check(bsq_layer_calibrate(handle, &batch), *layer, handle);
        }
        progress_.at(0.4 * static_cast<double>(last) / static_cast<double>(samples()));
    }
}

// What the layer's statistics are to be of: quantizers of up to 8 bits are the library's.
const float *Pass::read_by(const Layer &layer, int64_t sample)
{
    const auto *values = static_cast<const float *>(now(layer.input, sample));
    const auto found = result_.quantizers.find(layer.input);
    if (found == result_.quantizers.end() || !found->second.wide())
        return values;
    rounded_.resize(static_cast<size_t>(count_of(layer.input, sample)));
    found->second.apply(values, 1, 1, count_of(layer.input, sample), rounded_.data());
    return rounded_.data();
}

// Runs the segment again where something before it, or its layer, is quantized.
void Pass::run_quantized(int index)
{
    const Segment &segment = model_.segments()[static_cast<size_t>(index)];
    const std::vector<std::string> outputs = needed(segment, index);
    const LayerResult *layer = segment.layer < 0 ? nullptr : &result_.layers[static_cast<size_t>(segment.layer)];
    const bool own = layer != nullptr && layer->bits > 0;
    const bool changed = std::any_of(segment.inputs.begin(), segment.inputs.end(),
                                     [&](const std::string &tensor) { return quantized_.has(tensor); });
    // In integer form each segment reads quantized tensors.
    if (outputs.empty() || !(own || changed || integer_form(settings_)))
        return;
    std::vector<Runner> runners;
    for (int i = 0; i < workers_; i++)
        runners.emplace_back(model_, segment, outputs, own ? result_.quantizers : everywhere(result_.quantizers),
                             own ? layer->dequantized : std::vector<float>(), own ? layer->bias : std::vector<float>());
    for (const std::string &tensor : outputs)
        add_to(quantized_, tensor);
    for_samples(workers_, 0, samples(), [&](int worker, int64_t i) {
        std::vector<void *> to(outputs.size());
        for (size_t k = 0; k < to.size(); k++)
            to[k] = quantized_.bytes_at(outputs[k], i);
        runners[static_cast<size_t>(worker)].run(inputs_now(segment, i), to, shapes(i));
        if (worker == 0)
            progress_.at(0);
    });
}

void Pass::drop_dead(int index)
{
    for (const auto &use : last_use_)
        if (use.second == index) {
            float_.drop(use.first);
            quantized_.drop(use.first);
        }
}

// ---- a layer ----

// How far a layer is fitted to the float network's output rather than to its own: not at all with no more rows than
// inputs, where any output can be had and none of it holds on other samples; as far as is asked for from 64 rows for an
// input on, since rows of one picture are much alike.
double asymmetry_of(const Layer &layer, double rows, double asked)
{
    const double fan_in = static_cast<double>(layer.weights.size()) / static_cast<double>(layer.desc.out_channels);
    return asked * std::min(std::max(std::log(rows / fan_in) / std::log(64.0), 0.0), 1.0);
}

bsq_options_t Pass::options_of(const Layer &layer, int bits) const
{
    bsq_options_t options = layer_options(layer, settings_, bits);
    options.input_bits = 0;
    if (layer.kind == Kind::table)
        options.bias_correction = 0;
    options.asymmetry = asymmetry_of(layer, rows_of(layer), options.asymmetry);
    return options;
}

bool Pass::is_described(const std::string &tensor) const
{
    return std::any_of(result_.inputs.begin(), result_.inputs.end(),
                       [&](const InputResult &input) { return input.tensor == tensor; });
}

LayerHandle Pass::prepare(const Layer &layer, int bits)
{
    seconds_choosing_ = 0;
    const bool stays_float = integer_form(settings_) && plan_.shared.count(layer.input) == 0;
    if (settings_.options.input_bits > 0 && !stays_float && !layer.inner && !is_described(layer.input))
        choose_quantizer(layer, plan_.input_bits.at(layer.input));
    bsq_options_t options = options_of(layer, bits);
    options.progress = Progress::callback;
    options.progress_opaque = &progress_;
    LayerHandle handle = make_layer(layer, options);
    const auto quantizer = result_.quantizers.find(layer.input);
    if (quantizer != result_.quantizers.end() && !quantizer->second.wide())
        set_quantizer(layer, quantizer->second, handle.get());
    const auto source = to_share_.find(input_key(model_, layer));
    if (source != to_share_.end())
        check(bsq_layer_share_input(handle.get(), source->second.get()), layer, handle.get());
    return handle;
}

// Whether a tensor's channels may have scales of their own; 'reason' says why not.
bool Pass::may_fold(const std::string &tensor, std::string &reason) const
{
    if (!model_.may_fold(tensor, reason))
        return false;
    for (size_t i = 0; i < model_.layers().size(); i++)
        if (model_.layers()[i].input == tensor && plan_.bits[i] == 0) {
            reason = "layer '" + model_.layers()[i].name + "' reads it and stays float";
            return false;
        }
    return true;
}

// What is told about the tensor's quantizer: who shares it, or why it is not folded although that was asked for.
std::string Pass::note_on(const std::string &tensor) const
{
    std::string note;
    if (const auto found = plan_.shared.find(tensor); found != plan_.shared.end()) {
        for (const std::string &other : found->second.tensors)
            if (other != tensor)
                note += (note.empty() ? "shared with " : ", ") + other;
    } else if (settings_.per_channel) {
        if (const auto bits = plan_.input_bits.find(tensor);
            bits != plan_.input_bits.end() && bits->second > most_library_bits)
            note = "16 bits have one scale";
        else
            may_fold(tensor, note);
    }
    return note;
}

// The quantizer of a tensor, from what its first reader sees.
void Pass::choose_quantizer(const Layer &layer, int bits)
{
    const std::string note = note_on(layer.input);
    Candidate scales = {unknown_strength, Quantizer()};
    if (const auto found = plan_.shared.find(layer.input); found != plan_.shared.end()) {
        scales.quantizer = found->second.quantizer;
    } else {
        scales.quantizer = bits > most_library_bits ? wide_quantizer(layer, bits) : observe(layer, bits, false);
        limit_by_clip(model_, layer.input, scales.quantizer);
        if (settings_.per_channel && note.empty() && !scales.quantizer.wide())
            scales = choose_scales(layer.input, candidates(scales.quantizer, observe(layer, bits, true)));
    }
    result_.quantizers[layer.input] = scales.quantizer;
    describe_input(layer, scales, note);
}

// Throws Error when what was kept of a layer is not of this run.
void Pass::check_resumed(const Layer &layer, size_t index, const DoneLayer &done) const
{
    const auto shared = plan_.shared.find(layer.input);
    const auto chosen = result_.quantizers.find(layer.input);
    const Quantizer *known = chosen != result_.quantizers.end() ? &chosen->second
                             : shared != plan_.shared.end()     ? &shared->second.quantizer
                                                                : nullptr;
    const std::string note = note_on(layer.input);
    const bool stays_float = integer_form(settings_) && shared == plan_.shared.end();
    const int input_bits = settings_.options.input_bits == 0 || stays_float || layer.inner ? 0
                           : known != nullptr                                              ? known->values.bits
                                              : plan_.input_bits.at(layer.input);
    const bool chooses_scales = settings_.per_channel && !layer.inner && shared == plan_.shared.end() && note.empty();
    const int64_t group_size = options_of(layer, plan_.bits[index]).group_size;
    const size_t first = first_use(model_, plan_.bits, index);
    const std::string field =
        misfit(done, {layer, result_.layers[index], options_of(layer, plan_.bits[index]), plan_.bits[index], input_bits,
                      group_size, samples() > calibration_, chooses_scales, note, known,
                      first != index ? &result_.layers[first] : nullptr});
    if (!field.empty())
        throw Error(checkpoint_->layer_path(index) + ": " + field + " cannot be of layer '" + layer.name +
                    "'; remove it to have this layer done again");
}

// One of more bits than the library's have, from the range of the layer's input.
Quantizer Pass::wide_quantizer(const Layer &layer, int bits)
{
    float least = 0, most = 0;
    for (int64_t i = 0; i < calibration_; i++) {
        const auto [x, layout] = seen(layer, i);
        const auto [low, high] = std::minmax_element(x, x + layout.outer * layout.channels * layout.inner);
        least = std::min(least, *low), most = std::max(most, *high);
        progress_.at(0);
    }
    return Quantizer::of_range(bits, least, most);
}

// The quantizer of least error of the layer's input.
Quantizer Pass::observe(const Layer &layer, int bits, bool per_channel)
{
    bsq_options_t options = settings_.options;
    options.input_bits = bits;
    if (per_channel)
        options.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_CHANNEL;
    const LayerHandle handle = make_layer(layer, options);
    for (int64_t i = 0; i < calibration_; i++) {
        const auto [values, layout] = seen(layer, i);
        Batch batch = make_batch(layer, shapes(i).at(layer.input), values, nullptr, false);
        batch.size = layer.desc.kind == BSQ_KIND_LINEAR ? layout.outer : batch.size;
        check(bsq_layer_observe(handle.get(), &batch), layer, handle.get());
        progress_.at(0);
    }
    Quantizer quantizer;
    check(bsq_layer_get_input_quantizer(handle.get(), &quantizer.values), layer, handle.get());
    if (quantizer.values.scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL) {
        quantizer.scales.resize(static_cast<size_t>(layer.desc.in_channels));
        quantizer.zero_points.resize(quantizer.scales.size());
        check(bsq_layer_get_input_channels(handle.get(), quantizer.scales.data(), quantizer.zero_points.data(),
                                           quantizer.scales.size()),
              layer, handle.get());
        quantizer.values.zero_point = 0;
    }
    return quantizer;
}

// Those that suit all layers which read the tensor.
Candidate Pass::choose_scales(const std::string &tensor, const std::vector<Candidate> &scales)
{
    std::vector<Reader> readers;
    for (const Segment &segment : model_.segments())
        if (segment.layer >= 0 && model_.layers()[static_cast<size_t>(segment.layer)].input == tensor) {
            const Layer &layer = model_.layers()[static_cast<size_t>(segment.layer)];
            readers.push_back({&layer, &segment, options_of(layer, plan_.bits[static_cast<size_t>(segment.layer)])});
        }
    const Activations activations = {calibration_, [&](int64_t i) { return float_.at(tensor, i); },
                                     [&](int64_t i) { return static_cast<const float *>(now(tensor, i)); },
                                     [&](int64_t i) -> const Shapes & { return shapes(i); },
                                     [&](int64_t i) -> const RowMask & { return masks_[static_cast<size_t>(i)]; }};
    const Strength strength = choose_strength(model_, scales, readers, activations, progress_);
    seconds_choosing_ = strength.seconds;
    return scales[strength.chosen];
}

void Pass::describe_input(const Layer &layer, const Candidate &scales, const std::string &note)
{
    InputResult input = describe_quantizer(layer.input, scales.quantizer);
    input.strength = scales.strength;
    input.note = note;
    describe_values(
        scales.quantizer, calibration_, [&](int64_t i) { return seen(layer, i); }, input);
    result_.inputs.push_back(input);
}

// Tensors that no layer reads are not kept: of them there is no histogram, and the range is the float network's.
void Pass::describe_others()
{
    for (const auto &[tensor, shared] : plan_.shared) {
        if (is_described(tensor))
            continue;
        InputResult input = describe_quantizer(tensor, shared.quantizer);
        input.note = note_on(tensor);
        const auto &[least, most] = shared.ranges.at(tensor);
        input.minimum = static_cast<double>(least);
        input.maximum = static_cast<double>(most);
        result_.inputs.push_back(input);
    }
}

// What quantizing the layer and its input changes in its output, on a few samples.
double Pass::own_error(const Segment &segment, const Layer &layer)
{
    const LayerResult &l = result_.layers[static_cast<size_t>(segment.layer)];
    Runner real(model_, segment, {layer.output});
    Runner quantized(model_, segment, {layer.output}, result_.quantizers, l.dequantized, l.bias);
    std::vector<float> wanted, got;
    const int64_t few = std::min<int64_t>(calibration_, 8);
    double sum = 0;
    for (int64_t i = 0; i < few; i++) {
        wanted.resize(static_cast<size_t>(count_of(layer.output, i)));
        got.resize(wanted.size());
        const std::vector<const void *> from = inputs_now(segment, i);
        real.run(from, {wanted.data()}, shapes(i));
        quantized.run(from, {got.data()}, shapes(i));
        for (size_t k = 0; k < got.size(); k++) {
            const double off = static_cast<double>(got[k]) - static_cast<double>(wanted[k]);
            sum += off * off;
        }
    }
    return std::sqrt(sum / static_cast<double>(few));
}

// Weights that are this layer's alone are solved, shared ones at their first use; later ones judge them, and have biases of
// their own.
bsq_report_t Pass::solve_or_take(const Layer &layer, size_t index, bsq_layer_t *handle)
{
    LayerResult &l = result_.layers[index];
    const LayerResult &first = result_.layers[first_use(model_, plan_.bits, index)];
    const std::vector<size_t> uses = shared_.uses(index);
    bsq_report_t report, judged;
    bsq_report_init(&report, sizeof report);
    bsq_report_init(&judged, sizeof judged);
    l.bits = plan_.bits[index];
    if (&first == &l && uses.empty()) {
        check(bsq_optimize(handle, &report), layer, handle);
        take_weights(layer, handle, l);
        return report;
    }
    if (&first != &l) {
        l.codes = first.codes, l.scales = first.scales, l.zero_points = first.zero_points;
        l.group_size = first.group_size;
        l.dequantized = first.dequantized;
        report.rows_per_input = first.rows_per_input;
        report.warnings = first.warnings;
    } else {
        double rows = 0;
        for (const size_t use : uses)
            rows += rows_of(model_.layers()[use]);
        report = shared_.solve(index, handle, asymmetry_of(layer, rows, settings_.options.asymmetry), l);
    }
    give_weights(layer, l, settings_.options.weight_grid, handle);
    check(bsq_layer_get_report(handle, &judged), layer, handle);
    judged.rows_per_input = report.rows_per_input;
    judged.warnings = report.warnings;
    judged.lower_bound = report.lower_bound;
    judged.seconds += report.seconds;
    return judged;
}

void Pass::solve(const Segment &segment, const Layer &layer, size_t index, bsq_layer_t *handle)
{
    const bsq_report_t report = solve_or_take(layer, index, handle);
    LayerResult &l = result_.layers[index];
    const bool shared = !l.shared_with.empty();
    l.weight_bytes = shared ? 0 : (static_cast<int64_t>(layer.weights.size()) * l.bits + 7) / 8;
    if (layer.kind != Kind::table && (!layer.bias.empty() || settings_.options.bias_correction)) {
        l.bias.resize(static_cast<size_t>(l.channels));
        check(bsq_layer_get_bias(handle, l.bias.data(), l.bias.size()), layer, handle);
    }
    if (const auto quantizer = result_.quantizers.find(layer.input);
        integer_form(settings_) && !l.bias.empty() && layer.kind != Kind::matmul &&
        quantizer != result_.quantizers.end() && !quantizer->second.wide() &&
        (!shared || bias_fits(quantizer->second.values.scale, l)))
        round_bias(quantizer->second.values.scale, settings_.options.weight_grid, l);
    l.error = report.error;
    l.error_rounding = report.error_start;
    l.held_out_error = report.held_out_error;
    l.error_floor = report.error_floor;
    l.lower_bound = report.lower_bound;
    l.rows_per_input = report.rows_per_input;
    l.seconds = report.seconds + seconds_choosing_;
    l.warnings = layer.kind == Kind::table ? 0 : report.warnings; // of statistics
    l.own_error = own_error(segment, layer);

    if (checkpoint_ != nullptr) {
        DoneLayer done;
        done.layer = l;
        for (const InputResult &input : result_.inputs)
            if (input.tensor == layer.input) {
                done.input = input;
                done.quantizer = result_.quantizers.at(layer.input);
            }
        checkpoint_->save_layer(index, done);
    }
    char text[200];
    std::snprintf(text, sizeof text, "layer %zu/%zu %s: %d bits, %serror %.3g (rounding %.3g), %.2f s", index + 1,
                  model_.layers().size(), layer.name.c_str(), l.bits, shared ? "shared weights, " : "", l.error,
                  l.error_rounding, l.seconds);
    progress_.end(text, l.error);
}

} // namespace

Quantized quantize(const Model &model, const Settings &settings, const Plan &plan,
                   const std::vector<SampleRef> &samples, int64_t calibration, Progress &progress,
                   Checkpoint *checkpoint)
{
    return Pass(model, settings, plan, samples, calibration, progress, checkpoint).run();
}

} // namespace bsq_onnx
