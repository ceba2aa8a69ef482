// How far a tensor's channels get scales of their own, with the weights that take the scales over in mind.
#include "plan/strength.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "quantize/quantize.hpp"
#include "quantize/target.hpp"

namespace bsq_onnx {

namespace {

constexpr int32_t most_effort = 1;
constexpr int64_t most_samples = 128;

// The channels' ranges between those of both quantizers: steps as powers, each range around its channel's own middle.
Quantizer between(const Quantizer &tensor, const Quantizer &channels, double strength)
{
    const double last = std::exp2(tensor.values.bits) - 1;
    Quantizer result = channels;
    result.values.scale = 0;
    for (size_t c = 0; c < channels.scales.size(); c++) {
        const double power = std::pow(channels.scales[c] / tensor.values.scale, strength);
        const auto scale = static_cast<float>(tensor.values.scale * power);
        result.scales[c] = static_cast<double>(std::min(std::max(scale, FLT_MIN), FLT_MAX));
        result.values.scale = std::max(result.values.scale, result.scales[c]);
        if (result.values.type == BSQ_INPUT_TYPE_ZERO_POINT) {
            const double middle = (last / 2 - channels.zero_points[c]) * channels.scales[c] / result.scales[c];
            result.zero_points[c] = static_cast<int32_t>(std::lround(std::min(std::max(last / 2 - middle, 0.0), last)));
        }
    }
    return result;
}

// A reader with one of the quantizers.
class Trial {
public:
    Trial(const Model &model, const Segment &segment, const Reader &reader, const Quantizer &quantizer);
    void fit(const float *now, const std::vector<float> &wanted, const Shapes &shapes, const RowMask &mask);
    double solve(const Model &model, const Segment &segment); // seconds
    // Sum of squares, of what passes.
    double difference(const float *now, const std::vector<float> &wanted, const Shapes &shapes);

private:
    const Layer &layer_;
    const Quantizer &quantizer_;
    Passing passing_;
    Target target_;
    LayerHandle handle_;
    std::unique_ptr<Runner> runner_; // with the solved weights
    std::vector<float> got_;
};

Trial::Trial(const Model &model, const Segment &segment, const Reader &reader, const Quantizer &quantizer)
    : layer_(*reader.layer), quantizer_(quantizer), passing_(passing_of(model, layer_.output)),
      target_(model, segment, layer_, {{layer_.input, quantizer}}), handle_(make_layer(layer_, reader.options))
{
    set_quantizer(layer_, quantizer, handle_.get());
}

void Trial::fit(const float *now, const std::vector<float> &wanted, const Shapes &shapes, const RowMask &mask)
{
    const Shape &output = shapes.at(layer_.output);
    std::copy(wanted.begin(), wanted.end(), target_.values(output));
    target_.adapt({now}, shapes, row_weights(layer_, output, mask));
    Batch batch = make_batch(layer_, shapes.at(layer_.input), now, target_.values(), false);
    batch.weigh(layer_, target_.row_weights());
    check(bsq_layer_calibrate(handle_.get(), &batch), layer_, handle_.get());
}

double Trial::solve(const Model &model, const Segment &segment)
{
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    check(bsq_optimize(handle_.get(), &report), layer_, handle_.get());
    std::vector<float> weights(layer_.weights.size()), bias(static_cast<size_t>(layer_.desc.out_channels));
    check(bsq_layer_get_dequantized(handle_.get(), weights.data(), weights.size()), layer_, handle_.get());
    check(bsq_layer_get_bias(handle_.get(), bias.data(), bias.size()), layer_, handle_.get());
    runner_ = std::make_unique<Runner>(model, segment, std::vector<std::string>{layer_.output},
                                       Quantizers{{layer_.input, quantizer_}}, weights, bias);
    return report.seconds;
}

double Trial::difference(const float *now, const std::vector<float> &wanted, const Shapes &shapes)
{
    got_.resize(wanted.size());
    runner_->run({now}, {got_.data()}, shapes);
    double sum = 0;
    for (size_t k = 0; k < got_.size(); k++) {
        const double off =
            static_cast<double>(passing_.passed(got_[k])) - static_cast<double>(passing_.passed(wanted[k]));
        sum += off * off;
    }
    return sum;
}

// The layer alone, without the nodes behind it.
Segment alone(const Reader &reader)
{
    Segment segment = *reader.segment;
    segment.last_node = reader.layer->last_node;
    segment.inputs = {reader.layer->input};
    segment.outputs.clear();
    segment.layer_input = reader.layer->input;
    return segment;
}

// Of each candidate, the relative error of a reader's output.
std::vector<double> try_reader(const Model &model, const std::vector<Candidate> &candidates, const Reader &reader,
                               const Activations &activations, Progress &progress, double &seconds)
{
    const Segment segment = alone(reader);
    Runner real(model, segment, {reader.layer->output});
    std::vector<Trial> trials;
    for (const Candidate &candidate : candidates)
        trials.emplace_back(model, segment, reader, candidate.quantizer);
    std::vector<float> wanted;
    const auto run_real = [&](int64_t i) {
        wanted.resize(static_cast<size_t>(count(activations.shapes(i).at(reader.layer->output))));
        real.run({activations.real(i)}, {wanted.data()}, activations.shapes(i));
    };
    const int64_t samples = std::min(activations.samples, most_samples), step = samples > 1 ? 2 : 1;
    for (int64_t i = 0; i < samples; i += step) {
        run_real(i);
        for (Trial &trial : trials)
            trial.fit(activations.now(i), wanted, activations.shapes(i), activations.mask(i));
        progress.at(0);
    }
    for (Trial &trial : trials)
        seconds += trial.solve(model, segment);
    const Passing passing = passing_of(model, reader.layer->output);
    double energy = DBL_MIN;
    std::vector<double> errors(candidates.size(), 0);
    for (int64_t i = step - 1; i < samples; i += step) {
        run_real(i);
        for (const float value : wanted)
            energy += static_cast<double>(passing.passed(value)) * static_cast<double>(passing.passed(value));
        for (size_t k = 0; k < trials.size(); k++)
            errors[k] += trials[k].difference(activations.now(i), wanted, activations.shapes(i));
        progress.at(0);
    }
    for (double &error : errors)
        error /= energy;
    return errors;
}

} // namespace

std::vector<Candidate> candidates(const Quantizer &tensor, const Quantizer &channels)
{
    return {{0, tensor}, {0.5, between(tensor, channels, 0.5)}, {1, channels}};
}

Strength choose_strength(const Model &model, const std::vector<Candidate> &candidates,
                         const std::vector<Reader> &readers, const Activations &activations, Progress &progress)
{
    Strength result = {0, 0};
    std::vector<double> sums(candidates.size(), 0);
    for (Reader reader : readers) {
        reader.options.effort = std::min(reader.options.effort, most_effort);
        const std::vector<double> errors = try_reader(model, candidates, reader, activations, progress, result.seconds);
        std::transform(sums.begin(), sums.end(), errors.begin(), sums.begin(), std::plus<>());
    }
    result.chosen = static_cast<size_t>(std::min_element(sums.begin(), sums.end()) - sums.begin());
    return result;
}

} // namespace bsq_onnx
