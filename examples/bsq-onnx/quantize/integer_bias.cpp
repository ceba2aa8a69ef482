// Biases as engines that run integers add them.
#include "quantize/integer_bias.hpp"

#include <algorithm>
#include <cmath>

namespace bsq_onnx {

constexpr double most = 1 << 30; // leaves as much room to the sum of products

// The least scale of a channel at which its bias has that many steps.
static double least_scale(double input_scale, float bias)
{
    return std::fabs(static_cast<double>(bias)) / (static_cast<double>(static_cast<float>(input_scale)) * most);
}

bool bias_fits(double input_scale, const LayerResult &l)
{
    for (size_t c = 0; c < l.bias.size(); c++)
        if (static_cast<double>(l.scales[c]) < least_scale(input_scale, l.bias[c]))
            return false;
    return true;
}

void round_bias(double input_scale, int32_t weight_grid, LayerResult &l)
{
    const auto input_step = static_cast<float>(input_scale);
    const size_t fan_in = l.codes.size() / l.scales.size();
    const int highest = (1 << (l.bits - 1)) - 1;
    const int lowest = weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC ? -highest : -highest - 1;
    l.bias_codes.resize(l.bias.size());
    for (size_t c = 0; c < l.bias.size(); c++) {
        const auto bias = static_cast<double>(l.bias[c]);
        const double least = least_scale(input_scale, l.bias[c]);
        if (static_cast<double>(l.scales[c]) < least) {
            l.scales[c] = static_cast<float>(least * 1.001);
            for (size_t i = c * fan_in; i < (c + 1) * fan_in; i++) {
                const double code =
                    std::nearbyint(static_cast<double>(l.dequantized[i]) / static_cast<double>(l.scales[c]));
                l.codes[i] = static_cast<int8_t>(std::min<double>(std::max<double>(code, lowest), highest));
                l.dequantized[i] = l.scales[c] * static_cast<float>(l.codes[i]);
            }
        }
        const float step = input_step * l.scales[c];
        l.bias_codes[c] = step > 0 ? static_cast<int32_t>(std::nearbyint(bias / static_cast<double>(step))) : 0;
        l.bias[c] = step > 0 ? step * static_cast<float>(l.bias_codes[c]) : 0.0F;
    }
}

} // namespace bsq_onnx
