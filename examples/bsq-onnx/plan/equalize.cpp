// Channels of very different ranges, rescaled so that one quantizer serves them all.
#include "plan/equalize.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "model/channels.hpp"
#include "model/layers.hpp"
#include "plan/work.hpp"

namespace bsq_onnx {

namespace {

constexpr int64_t most_samples = 16;
constexpr double shares[] = {0.25, 0.5, 0.75}; // of the activations in the compromise
constexpr double worthwhile = 0.5;             // error that rescaling may leave
constexpr int most_power = 40;

// What the channels of a tensor are like on samples.
struct Channels {
    std::vector<double> range, energy; // greatest absolute value, mean square
    double lowest = 0, highest = 0;    // of all, with 0
};

// Powers of two by class.
using Powers = std::vector<int>;

class Equalizer {
public:
    Equalizer(const Model &model, const Plan &plan) : model_(model), plan_(plan), classes_(channel_classes(model)) {}

    bool any() const { return classes_.count > 1; }

    void watch(const std::vector<SampleRef> &samples, Progress &progress)
    {
        std::vector<std::string> tensors;
        for (const Layer &layer : model_.layers())
            if (!model_.is_input(layer.input) && seen_.emplace(layer.input, Channels()).second)
                tensors.push_back(layer.input);
        Runner runner(model_, whole(model_, tensors), tensors);
        std::map<std::string, std::vector<float>> values;
        std::vector<float *> to;
        for (const std::string &tensor : tensors) {
            values[tensor].resize(static_cast<size_t>(count(model_.shape(tensor))));
            to.push_back(values[tensor].data());
        }
        const size_t all = std::min(samples.size(), static_cast<size_t>(most_samples));
        progress.step("ranges of channels", network_work(model_) * static_cast<double>(all));
        for (size_t i = 0; i < all; i++) {
            // Spread over the samples: they may be in the order of their classes.
            const SampleRef &ref = samples[i * samples.size() / all];
            const Sample sample = ref.load();
            runner.run({sample.inputs[0].floats()}, to);
            for (const Layer &layer : model_.layers())
                if (const auto found = seen_.find(layer.input); found != seen_.end() && first_reader(layer))
                    add(layer, values.at(layer.input), 1 / static_cast<double>(all), found->second);
            progress.at(static_cast<double>(i) / static_cast<double>(all));
        }
        progress.end("");
    }

    // By class; zeros where the network is to stay as it is.
    Powers choose()
    {
        Powers best(classes_.count, 0);
        std::vector<std::vector<double>> errors; // by share, then by part
        std::vector<Powers> powers;
        const std::vector<size_t> part = parts();
        const std::vector<double> plain = errors_of(Powers(classes_.count, 0), part);
        for (const double share : shares) {
            powers.push_back(powers_of(share));
            errors.push_back(errors_of(powers.back(), part));
        }
        for (size_t c = 1; c < classes_.count; c++) {
            double least = worthwhile * plain[part[c]];
            for (size_t s = 0; s < powers.size(); s++)
                if (errors[s][part[c]] < least) {
                    least = errors[s][part[c]];
                    best[c] = powers[s][c];
                }
        }
        return best;
    }

    std::vector<Rescaling> rescalings(const Powers &powers) const
    {
        std::vector<Rescaling> list(model_.layers().size());
        const auto factors = [&](const std::vector<size_t> &classes) {
            std::vector<float> result;
            for (const size_t c : classes)
                result.push_back(std::ldexp(1.0F, powers[c]));
            return std::all_of(result.begin(), result.end(), [](float f) { return f == 1; }) ? std::vector<float>()
                                                                                             : result;
        };
        for (size_t i = 0; i < list.size(); i++)
            list[i] = {factors(classes_.inputs[i]), factors(classes_.outputs[i])};
        return list;
    }

private:
    // A tensor is watched once, in the layout of the first layer that reads it.
    bool first_reader(const Layer &layer) const
    {
        const auto &layers = model_.layers();
        return &*std::find_if(layers.begin(), layers.end(),
                              [&](const Layer &other) { return other.input == layer.input; }) == &layer;
    }

    static void add(const Layer &layer, const std::vector<float> &values, double weight, Channels &channels)
    {
        const Layout layout = input_layout(layer);
        channels.range.resize(static_cast<size_t>(layout.channels));
        channels.energy.resize(channels.range.size());
        const double each = weight / static_cast<double>(layout.outer * layout.inner);
        for (int64_t k = 0; k < layout.outer * layout.channels; k++) {
            const auto c = static_cast<size_t>(k % layout.channels);
            for (int64_t i = k * layout.inner; i < (k + 1) * layout.inner; i++) {
                const auto value = static_cast<double>(values[static_cast<size_t>(i)]);
                channels.range[c] = std::max(channels.range[c], std::fabs(value));
                channels.energy[c] += each * value * value;
                channels.lowest = std::min(channels.lowest, value);
                channels.highest = std::max(channels.highest, value);
            }
        }
    }

    bool quantized(size_t layer) const
    {
        return plan_.bits[layer] > 0 && seen_.count(model_.layers()[layer].input) > 0;
    }

    // Classes that some layer reads together have the same number: they are rescaled together or not at all.
    std::vector<size_t> parts() const
    {
        std::vector<size_t> part(classes_.count);
        for (size_t c = 0; c < part.size(); c++)
            part[c] = c;
        const auto root = [&](size_t c) {
            while (part[c] != c)
                c = part[c];
            return c;
        };
        for (const std::vector<size_t> &together : classes_.inputs) {
            size_t first = 0;
            for (const size_t c : together) {
                if (c == 0)
                    continue;
                if (first != 0)
                    part[root(c)] = root(first);
                first = c;
            }
        }
        for (size_t c = 0; c < part.size(); c++)
            part[c] = root(c);
        return part;
    }

    // The greatest weight of each input channel, relative to what its row gives: rows have scales of their own.
    std::vector<double> column_ranges(const Layer &layer, const Channels &channels) const
    {
        std::vector<double> ranges(static_cast<size_t>(layer.desc.in_channels), 0);
        const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
        for (int64_t m = 0; m < layer.desc.out_channels; m++) {
            const float *row = &layer.weights[static_cast<size_t>(m * fan_in)];
            double energy = 0;
            for (int64_t k = 0; k < fan_in; k++)
                energy += static_cast<double>(row[k]) * static_cast<double>(row[k]) *
                          channels.energy[static_cast<size_t>(input_channel(layer, m, k))];
            for (int64_t k = 0; k < fan_in && energy > 0; k++) {
                double &range = ranges[static_cast<size_t>(input_channel(layer, m, k))];
                range = std::max(range, std::fabs(static_cast<double>(row[k])) / std::sqrt(energy));
            }
        }
        return ranges;
    }

    Powers powers_of(double share) const
    {
        // Sums of logarithms, so that the mean over readers does not depend on the scales that the network came with.
        std::vector<double> log_range(classes_.count, 0), log_weight(classes_.count, 0);
        std::vector<int> ranges(classes_.count, 0), weights(classes_.count, 0);
        std::map<std::string, bool> counted;
        for (size_t i = 0; i < model_.layers().size(); i++) {
            if (!quantized(i))
                continue;
            const Layer &layer = model_.layers()[i];
            const Channels &channels = seen_.at(layer.input);
            const std::vector<double> columns = column_ranges(layer, channels);
            const bool first = counted.emplace(layer.input, true).second;
            for (size_t k = 0; k < classes_.inputs[i].size(); k++) {
                const size_t c = classes_.inputs[i][k];
                if (first && channels.range[k] > 0)
                    log_range[c] += std::log2(channels.range[k]), ranges[c]++;
                if (columns[k] > 0)
                    log_weight[c] += std::log2(columns[k]), weights[c]++;
            }
        }
        Powers powers(classes_.count, 0);
        for (size_t c = 1; c < classes_.count; c++) {
            if (ranges[c] == 0 || weights[c] == 0)
                continue;
            const double power = (1 - share) * log_weight[c] / weights[c] - share * log_range[c] / ranges[c];
            powers[c] = std::min(std::max(static_cast<int>(std::lround(power)), -most_power), most_power);
        }
        return powers;
    }

    // By part: the relative error that rounding inputs and weights is expected to make in layers that read it, mean over
    // their channels.
    std::vector<double> errors_of(const Powers &powers, const std::vector<size_t> &part) const
    {
        std::vector<double> errors(classes_.count, 0);
        for (size_t i = 0; i < model_.layers().size(); i++) {
            const std::vector<size_t> &in = classes_.inputs[i];
            const auto free = std::find_if(in.begin(), in.end(), [](size_t c) { return c != 0; });
            if (quantized(i) && free != in.end())
                errors[part[*free]] += layer_error(i, powers);
        }
        return errors;
    }

    double layer_error(size_t index, const Powers &powers) const
    {
        const Layer &layer = model_.layers()[index];
        const Channels &channels = seen_.at(layer.input);
        const std::vector<size_t> &in = classes_.inputs[index];
        std::vector<double> factor;
        double range = 0;
        for (size_t c = 0; c < in.size(); c++) {
            factor.push_back(std::ldexp(1.0, powers[in[c]]));
            range = std::max(range, channels.range[c] * factor[c]);
        }
        if (channels.lowest < 0 && channels.highest > 0)
            range *= 2; // about: both sides share the codes
        const int input_bits = plan_.input_bits.count(layer.input) ? plan_.input_bits.at(layer.input) : 0;
        const double input_step = input_bits > 0 ? range / (std::exp2(input_bits) - 1) : 0;
        const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
        double sum = 0;
        int64_t rows = 0;
        for (int64_t m = 0; m < layer.desc.out_channels; m++) {
            double largest = 0, wanted = 0, by_input = 0, energy = 0;
            for (int64_t k = 0; k < fan_in; k++) {
                const auto c = static_cast<size_t>(input_channel(layer, m, k));
                const auto weight = static_cast<double>(layer.weights[static_cast<size_t>(m * fan_in + k)]);
                const double scaled = weight / factor[c];
                largest = std::max(largest, std::fabs(scaled));
                wanted += weight * weight * channels.energy[c];
                by_input += scaled * scaled;
                energy += channels.energy[c] * factor[c] * factor[c];
            }
            if (wanted <= 0)
                continue;
            const double weight_step = 2 * largest / (std::exp2(plan_.bits[index]) - 1);
            sum += (by_input * input_step * input_step + energy * weight_step * weight_step) / (12 * wanted);
            rows++;
        }
        return rows > 0 ? sum / static_cast<double>(rows) : 0;
    }

    const Model &model_;
    const Plan &plan_;
    const ChannelClasses classes_;
    std::map<std::string, Channels> seen_; // by tensor that a layer reads
};

} // namespace

std::optional<Equalized> equalize(const Model &model, const Settings &settings, const Plan &plan,
                                  const std::vector<SampleRef> &samples, Progress &progress)
{
    // Which channels belong together would have to hold for all extents.
    if (!settings.equalize || settings.options.input_bits == 0 || model.traced())
        return std::nullopt;
    Equalizer equalizer(model, plan);
    if (!equalizer.any())
        return std::nullopt;
    equalizer.watch(samples, progress);
    const std::vector<Rescaling> rescalings = equalizer.rescalings(equalizer.choose());
    std::vector<std::string> tensors;
    for (size_t i = 0; i < rescalings.size(); i++)
        if (const std::string &tensor = model.layers()[i].input;
            !rescalings[i].input.empty() && std::count(tensors.begin(), tensors.end(), tensor) == 0)
            tensors.push_back(tensor);
    if (tensors.empty())
        return std::nullopt;
    return Equalized{model.rescaled(rescalings), tensors};
}

} // namespace bsq_onnx
