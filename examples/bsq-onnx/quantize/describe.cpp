// What is told about a quantized tensor of activations.
#include "quantize/describe.hpp"

#include <algorithm>

namespace bsq_onnx {

InputResult describe_quantizer(const std::string &tensor, const Quantizer &quantizer)
{
    InputResult input;
    input.tensor = tensor;
    input.bits = quantizer.values.bits;
    input.type = quantizer.values.type;
    input.zero_point = quantizer.values.zero_point;
    input.scales = quantizer.folded() ? quantizer.scales : std::vector<double>{quantizer.values.scale};
    input.zero_points = quantizer.zero_points;
    return input;
}

void describe_values(const Quantizer &quantizer, int64_t samples, const std::function<Seen(int64_t)> &values,
                     InputResult &input)
{
    float minimum = values(0).values[0], maximum = minimum;
    int64_t number = 0;
    for (int64_t i = 0; i < samples; i++) {
        const auto [x, layout] = values(i);
        const int64_t each = layout.outer * layout.channels * layout.inner;
        number += each;
        for (int64_t k = 0; k < each; k++) {
            minimum = std::min(minimum, x[k]);
            maximum = std::max(maximum, x[k]);
        }
    }
    input.minimum = static_cast<double>(minimum);
    input.maximum = static_cast<double>(maximum);

    const double width = (input.maximum - input.minimum) / static_cast<double>(histogram_bins);
    std::vector<int64_t> bins(histogram_bins, 0);
    int64_t outside = 0;
    for (int64_t i = 0; i < samples; i++) {
        const auto [x, layout] = values(i);
        for (int64_t k = 0; k < layout.outer * layout.channels; k++) {
            const Quantizer::Grid grid = quantizer.grid(k % layout.channels);
            const double low = (grid.lowest - 0.5) * grid.step, high = (grid.highest + 0.5) * grid.step;
            for (int64_t end = k * layout.inner + layout.inner, at = k * layout.inner; at < end; at++) {
                const auto value = static_cast<double>(x[at]);
                const double bin = width > 0 ? (value - input.minimum) / width : 0;
                bins[static_cast<size_t>(std::min(bin, static_cast<double>(histogram_bins - 1)))]++;
                outside += value < low || value > high;
            }
        }
    }
    const auto all = static_cast<double>(number);
    input.clipped = static_cast<double>(outside) / all;
    for (const int64_t bin : bins)
        input.histogram.push_back(static_cast<double>(bin) / all);
}

} // namespace bsq_onnx
