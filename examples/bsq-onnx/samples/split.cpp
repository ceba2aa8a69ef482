// Which samples serve what.
#include "samples/split.hpp"

#include <algorithm>

#include "shared.hpp"

namespace bsq_onnx {

std::vector<SampleRef> Split::for_layers() const
{
    std::vector<SampleRef> all = calibration;
    all.insert(all.end(), held_out.begin(), held_out.end());
    return all;
}

static std::vector<SampleRef> range(const Samples &samples, int64_t first, int64_t last)
{
    std::vector<SampleRef> refs;
    for (int64_t i = first; i < last; i++)
        refs.push_back({&samples, i});
    return refs;
}

static int64_t calibration_count(const Settings &settings, int64_t images, bool with_test)
{
    const int64_t asked = settings.calibration_samples;
    if (asked > images)
        throw Error("--calib is " + std::to_string(asked) + ", but there are " + std::to_string(images) + " samples");
    if (asked >= 0)
        return asked;
    return with_test ? images : std::min<int64_t>(128, (images + 1) / 2);
}

Split split_samples(const Settings &settings, const Samples &images, const Samples *test)
{
    const Samples &judged = test != nullptr ? *test : images;
    const int64_t fitted = calibration_count(settings, images.count(), test != nullptr);
    Split split;
    split.calibration = range(images, 0, fitted);

    // Held-out samples that are left over by calibration, else some of those that judge.
    const int64_t held_out = settings.held_out_samples, left = images.count() - fitted;
    int64_t first = test != nullptr ? 0 : fitted; // of those that judge
    if (test != nullptr && left > 0) {
        split.held_out = range(images, fitted, fitted + std::min(left, held_out));
    } else {
        const int64_t rest = judged.count() - first, taken = std::min(rest, held_out);
        split.held_out = range(judged, first, first + taken);
        split.shared = taken > 0 && rest < 2 * held_out;
        first += split.shared ? 0 : taken;
    }
    int64_t last = judged.count();
    if (settings.evaluation_samples >= 0)
        last = std::min(last, first + settings.evaluation_samples);
    split.evaluation = range(judged, first, last);
    split.shared = split.shared && last > first;
    if (!settings.labels.empty())
        split.labels = read_labels(settings.labels, judged, first, last);
    return split;
}

static SampleRange describe(const std::vector<SampleRef> &refs)
{
    SampleRange range;
    range.count = static_cast<int64_t>(refs.size());
    if (!refs.empty()) {
        range.first = refs.front().from->name(refs.front().index);
        range.last = refs.back().from->name(refs.back().index);
    }
    return range;
}

SampleUse describe_use(const Split &split)
{
    return {describe(split.calibration), describe(split.held_out), describe(split.evaluation), split.shared};
}

} // namespace bsq_onnx
