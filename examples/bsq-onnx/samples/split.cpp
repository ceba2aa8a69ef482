// Which samples serve what.
#include "samples/split.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "shared.hpp"

namespace bsq_onnx {

std::vector<SampleRef> Split::for_layers() const
{
    std::vector<SampleRef> all = calibration;
    all.insert(all.end(), held_out.begin(), held_out.end());
    return all;
}

Split Split::half(size_t first) const
{
    Split other = *this;
    other.evaluation.clear();
    other.labels.classes.clear();
    size_t label = 0;
    for (size_t i = 0; i < evaluation.size(); i++) {
        const size_t next = label + evaluation[i].indices.size();
        if (i % 2 == first) {
            other.evaluation.push_back(evaluation[i]);
            if (!labels.classes.empty())
                other.labels.classes.insert(other.labels.classes.end(),
                                            labels.classes.begin() + static_cast<long>(label),
                                            labels.classes.begin() + static_cast<long>(next));
        }
        label = next;
    }
    return other;
}

std::vector<SampleRef> Split::unseen(int64_t most) const
{
    const std::vector<SampleRef> &from = evaluation.empty() ? held_out : evaluation;
    const size_t count = std::min(from.size(), static_cast<size_t>(most));
    std::vector<SampleRef> some;
    for (size_t i = 0; i < count; i++)
        some.push_back(from[i * from.size() / count]);
    return some;
}

// In batches; what does not fill one is left out where it must.
static std::vector<SampleRef> refs_of(const Samples &samples, const std::vector<int64_t> &indices, int64_t &left_out)
{
    const auto batch = static_cast<size_t>(samples.batch());
    std::vector<SampleRef> refs;
    for (size_t i = 0; i < indices.size(); i += batch) {
        const size_t end = std::min(indices.size(), i + batch);
        if (end - i < batch && samples.batch_is_fixed())
            left_out += static_cast<int64_t>(end - i);
        else
            refs.push_back(
                {&samples, {indices.begin() + static_cast<long>(i), indices.begin() + static_cast<long>(end)}});
    }
    return refs;
}

static int64_t calibration_count(const Settings &settings, int64_t images, bool with_test, int64_t enough)
{
    const int64_t asked = settings.calibration_samples;
    if (asked > images)
        throw Error("--calib is " + std::to_string(asked) + ", but there are " + std::to_string(images) + " samples");
    if (asked >= 0)
        return asked;
    return std::min(enough, with_test ? images : (images + 1) / 2);
}

int64_t enough_samples(const Model &model, int64_t batch)
{
    constexpr int64_t rows_per_input = 64; // from there on layers follow the float network's output as far as asked for
    int64_t enough = 1;
    for (const Layer &layer : model.layers()) {
        if (layer.kind == Kind::table)
            continue;
        const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
        const int64_t rows = count(layer.output_shape) / layer.desc.out_channels;
        enough = std::max(enough, (rows_per_input * fan_in * batch + rows - 1) / std::max<int64_t>(rows, 1));
    }
    return enough;
}

// The indices of those that calibrate, ascending.
static std::vector<int64_t> chosen(const Settings &settings, int64_t images, int64_t fitted)
{
    std::vector<int64_t> indices;
    if (settings.calibration_seed < 0) {
        for (int64_t i = 0; i < fitted; i++)
            indices.push_back(settings.calibrate_on_first ? i : (i * images) / fitted);
        return indices;
    }
    std::vector<int64_t> all(static_cast<size_t>(images));
    std::iota(all.begin(), all.end(), 0);
    std::mt19937_64 random(static_cast<uint64_t>(settings.calibration_seed));
    // The engine's numbers are laid down by the standard, those of its distributions are not.
    for (size_t i = 0; i < static_cast<size_t>(fitted); i++) {
        std::swap(all[i], all[i + random() % (all.size() - i)]);
        indices.push_back(all[i]);
    }
    std::sort(indices.begin(), indices.end());
    return indices;
}

Split split_samples(const Settings &settings, const Samples &images, const Samples *test, int64_t enough)
{
    const Samples &judged = test != nullptr ? *test : images;
    const int64_t fitted = calibration_count(settings, images.count(), test != nullptr, enough);
    Split split;
    split.enough = enough;
    std::vector<int64_t> calibration = chosen(settings, images.count(), fitted), left; // of the images
    for (int64_t i = 0; i < images.count(); i++)
        if (!std::binary_search(calibration.begin(), calibration.end(), i))
            left.push_back(i);
    split.calibration = refs_of(images, calibration, split.left_out);
    if (split.calibration.empty())
        throw Error("the network takes " + std::to_string(images.batch()) + " samples at a time, and " +
                    std::to_string(fitted) + " are to calibrate");

    // Held-out samples that are left over by calibration, else some of those that judge.
    const auto asked = static_cast<size_t>(settings.held_out_samples);
    std::vector<int64_t> judges = left;
    if (test != nullptr) {
        judges.clear();
        for (int64_t i = 0; i < judged.count(); i++)
            judges.push_back(i);
    }
    if (test != nullptr && !left.empty()) {
        left.resize(std::min(left.size(), asked));
        split.held_out = refs_of(images, left, split.left_out);
    } else {
        const size_t taken = std::min(judges.size(), asked);
        split.held_out = refs_of(
            judged, std::vector<int64_t>(judges.begin(), judges.begin() + static_cast<long>(taken)), split.left_out);
        split.shared = taken > 0 && judges.size() < 2 * asked;
        if (!split.shared)
            judges.erase(judges.begin(), judges.begin() + static_cast<long>(taken));
    }
    if (settings.evaluation_samples >= 0)
        judges.resize(std::min(judges.size(), static_cast<size_t>(settings.evaluation_samples)));
    split.evaluation = refs_of(judged, judges, split.left_out);
    if (judged.batch_is_fixed())
        judges.resize(split.evaluation.size() * static_cast<size_t>(judged.batch()));
    split.shared = split.shared && !judges.empty();
    if (!settings.labels.empty())
        split.labels = read_labels(settings.labels, judged, judges);
    return split;
}

static SampleRange describe(const std::vector<SampleRef> &refs)
{
    SampleRange range;
    for (const SampleRef &ref : refs)
        range.count += static_cast<int64_t>(ref.indices.size());
    if (!refs.empty()) {
        range.first = refs.front().name();
        range.last = refs.back().from->name(refs.back().indices.back());
    }
    return range;
}

SampleUse describe_use(const Split &split)
{
    return {describe(split.calibration),
            describe(split.held_out),
            describe(split.evaluation),
            split.shared,
            split.enough,
            split.left_out};
}

} // namespace bsq_onnx
