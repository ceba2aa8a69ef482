// Whether a layer that was kept for --resume is one that this run could have made: its file may be forged.
#include "quantize/resumed.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/layers.hpp"
#include "quantize/integer_bias.hpp"

namespace bsq_onnx {

namespace {

constexpr double unbounded = std::numeric_limits<double>::max();
constexpr double rounding = 1e-5; // relative, of products in float32

// False for NaN, too.
bool within(double value, double lowest, double highest = unbounded)
{
    return value >= lowest && value <= highest;
}

template <typename T> bool finite(const std::vector<T> &values)
{
    return std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); });
}

bool codes_fit(const std::vector<int8_t> &codes, const Expected &expected)
{
    const int most = (1 << (expected.bits - 1)) - 1;
    const int least = expected.options.weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC ? -most : -most - 1;
    if (expected.options.weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT)
        return codes.size() == expected.layer.weights.size() &&
               std::all_of(codes.begin(), codes.end(),
                           [&](int8_t code) { return static_cast<uint8_t>(code) < 1 << expected.bits; });
    return codes.size() == expected.layer.weights.size() &&
           std::all_of(codes.begin(), codes.end(), [&](int code) { return code >= least && code <= most; });
}

// As many as the groups of all channels.
size_t scale_count(const Expected &expected)
{
    const int64_t fan_in = expected.result.fan_in, group = expected.group_size;
    return static_cast<size_t>(expected.result.channels * (group > 0 ? (fan_in + group - 1) / group : 1));
}

bool zero_points_fit(const LayerResult &l, const Expected &expected)
{
    const bool has = expected.options.weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT;
    return l.zero_points.size() == (has ? scale_count(expected) : 0) &&
           std::all_of(l.zero_points.begin(), l.zero_points.end(),
                       [&](int32_t point) { return point >= 0 && point < 1 << expected.bits; });
}

// Weights are codes, less the zero point, times scales, with the folded scales of inputs taken out again.
bool weights_fit(const DoneLayer &done, const Layer &layer)
{
    const LayerResult &l = done.layer;
    if (l.dequantized.size() != layer.weights.size())
        return false;
    const auto fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
    for (size_t i = 0; i < l.dequantized.size(); i++) {
        const int64_t m = static_cast<int64_t>(i) / fan_in, k = static_cast<int64_t>(i) % fan_in;
        const int64_t groups = static_cast<int64_t>(l.scales.size()) / layer.desc.out_channels;
        const auto g = static_cast<size_t>(m * groups + (l.group_size > 0 ? k / l.group_size : 0));
        const int code = l.zero_points.empty() ? l.codes[i] : static_cast<uint8_t>(l.codes[i]) - l.zero_points[g];
        double weight = static_cast<double>(l.scales[g]) * code;
        if (done.quantizer.folded())
            weight *=
                done.quantizer.values.scale / done.quantizer.scales[static_cast<size_t>(input_channel(layer, m, k))];
        const double off = static_cast<double>(l.dequantized[i]) - weight;
        if (!(std::fabs(off) <= rounding * std::fabs(weight)))
            return false;
    }
    return true;
}

// In integer form, biases are codes times the scales of the input and of the channel.
bool bias_codes_fit(const LayerResult &l, const Expected &expected)
{
    const bool integers = expected.quantizer != nullptr && expected.quantizer->everywhere &&
                          !expected.quantizer->wide() && expected.layer.kind != Kind::matmul && !l.bias.empty();
    // A bias that needed a larger scale than the shared one stays float.
    const bool fits = !integers || expected.first == nullptr || l.scales.size() != l.bias.size() ||
                      bias_fits(expected.quantizer->values.scale, l);
    if (l.bias_codes.size() != (integers && fits ? l.bias.size() : 0))
        return false;
    for (size_t c = 0; c < l.bias_codes.size(); c++) {
        const double bias = expected.quantizer->values.scale * static_cast<double>(l.scales[c]) * l.bias_codes[c];
        if (!(std::fabs(static_cast<double>(l.bias[c]) - bias) <= rounding * std::fabs(bias)))
            return false;
    }
    return true;
}

bool shared_fit(const LayerResult &l, const LayerResult *first)
{
    return first == nullptr || (l.codes == first->codes && l.scales == first->scales &&
                                l.zero_points == first->zero_points && l.dequantized == first->dequantized);
}

std::string result_misfit(const LayerResult &l, const Expected &expected)
{
    constexpr int32_t warnings = BSQ_WARNING_FEW_ROWS | BSQ_WARNING_SCALE_LIMITED | BSQ_WARNING_RAISED_DAMPING |
                                 BSQ_WARNING_DEAD_INPUTS | BSQ_WARNING_DEAD_OUTPUTS | BSQ_WARNING_NO_STATISTICS;
    const LayerResult &known = expected.result;
    const bool has_bias = !expected.layer.bias.empty() || expected.options.bias_correction != 0;
    const int64_t bits = static_cast<int64_t>(expected.layer.weights.size()) * expected.bits;
    const struct {
        const char *name;
        bool fits;
    } fields[] = {
        {"name", l.name == known.name},
        {"operator", l.op == known.op},
        {"input", l.input == known.input},
        {"bits", l.bits == expected.bits},
        {"reason", l.reason == known.reason},
        {"layer that shares its weights", l.shared_with == known.shared_with},
        {"channels", l.channels == known.channels},
        {"fan-in", l.fan_in == known.fan_in},
        {"bytes of weights", l.weight_bytes == (expected.first == nullptr ? (bits + 7) / 8 : 0)},
        {"multiplications", l.multiplications == known.multiplications},
        {"codes", codes_fit(l.codes, expected)},
        {"group size", l.group_size == expected.group_size},
        {"zero points", zero_points_fit(l, expected)},
        {"scales", l.scales.size() == scale_count(expected) && finite(l.scales) &&
                       std::all_of(l.scales.begin(), l.scales.end(), [](float scale) { return scale > 0; })},
        {"bias", l.bias.size() == (has_bias ? static_cast<size_t>(known.channels) : 0) && finite(l.bias)},
        {"shared weights", shared_fit(l, expected.first)},
        {"codes of the bias", bias_codes_fit(l, expected)},
        {"error", within(l.error, 0)},
        {"error of rounding", within(l.error_rounding, 0)},
        {"held-out error", expected.held_out ? within(l.held_out_error, 0) : l.held_out_error == -1},
        {"floor of the error", within(l.error_floor, 0)},
        {"lower bound", within(l.lower_bound, 0, 1)},
        {"own error", within(l.own_error, 0)},
        {"rows", within(l.rows_per_input, 0)},
        {"seconds", within(l.seconds, 0)},
        {"warnings", (l.warnings & ~warnings) == 0},
        {"text", l.text.empty()},
    };
    for (const auto &field : fields)
        if (!field.fits)
            return field.name;
    return "";
}

bool same(const Quantizer &a, const Quantizer &b)
{
    return a.values.bits == b.values.bits && a.values.type == b.values.type && a.values.scale == b.values.scale &&
           a.values.zero_point == b.values.zero_point && a.scales == b.scales && a.zero_points == b.zero_points;
}

std::string quantizer_misfit(const Quantizer &q, const Expected &expected)
{
    if (q.values.bits != expected.input_bits)
        return "bits of the input";
    if (expected.quantizer != nullptr)
        return same(q, *expected.quantizer) ? "" : "quantizer of the input";
    if (!q.quantizes())
        return same(q, Quantizer()) ? "" : "quantizer of the input";
    const bool type = q.values.type == BSQ_INPUT_TYPE_UNSIGNED || q.values.type == BSQ_INPUT_TYPE_SIGNED ||
                      q.values.type == BSQ_INPUT_TYPE_ZERO_POINT;
    if (!type || (expected.options.input_type != BSQ_INPUT_TYPE_AUTO && q.values.type != expected.options.input_type))
        return "type of the input";
    const auto point_fits = [&](int32_t point) {
        return point == 0 || (q.values.type == BSQ_INPUT_TYPE_ZERO_POINT && within(point, 0, (1 << q.values.bits) - 1));
    };
    if (!point_fits(q.values.zero_point) || q.zero_points.size() != q.scales.size() ||
        !std::all_of(q.zero_points.begin(), q.zero_points.end(), point_fits))
        return "zero points of the input";
    const auto scale_fits = [](double scale) { return scale > 0 && std::isfinite(scale); };
    const bool number = q.scales.empty() || (expected.chooses_scales &&
                                             q.scales.size() == static_cast<size_t>(expected.layer.desc.in_channels) &&
                                             q.values.scale == *std::max_element(q.scales.begin(), q.scales.end()));
    if (!number || !scale_fits(q.values.scale) || !std::all_of(q.scales.begin(), q.scales.end(), scale_fits))
        return "scales of the input";
    return "";
}

std::string input_misfit(const InputResult &i, const Quantizer &q, const Expected &expected)
{
    const bool quantized = q.quantizes();
    const std::vector<double> scales = !quantized   ? std::vector<double>()
                                       : q.folded() ? q.scales
                                                    : std::vector{q.values.scale};
    double sum = 0;
    bool shares = i.histogram.size() == (quantized ? histogram_bins : 0);
    for (const double share : i.histogram) {
        shares = shares && within(share, 0, 1);
        sum += share;
    }
    const struct {
        const char *name;
        bool fits;
    } fields[] = {
        {"tensor", i.tensor == (quantized ? expected.layer.input : "")},
        {"bits of the tensor", i.bits == q.values.bits},
        {"type of the tensor", i.type == (quantized ? q.values.type : 0)},
        {"zero point of the tensor", i.zero_point == (quantized ? q.values.zero_point : 0)},
        {"scales of the tensor", i.scales == scales},
        {"zero points of the tensor", i.zero_points == q.zero_points},
        {"strength", quantized && expected.chooses_scales ? within(i.strength, 0, 1) : i.strength == -1},
        {"note", i.note == (quantized ? expected.note : "")},
        {"range", within(i.minimum, -unbounded) && within(i.maximum, i.minimum)},
        {"clipped share", within(i.clipped, 0, 1)},
        {"histogram", shares && (!quantized || within(sum, 1 - rounding, 1 + rounding))},
    };
    for (const auto &field : fields)
        if (!field.fits)
            return field.name;
    return "";
}

} // namespace

std::string misfit(const DoneLayer &done, const Expected &expected)
{
    std::string field = result_misfit(done.layer, expected);
    if (field.empty())
        field = quantizer_misfit(done.quantizer, expected);
    if (field.empty())
        field = input_misfit(done.input, done.quantizer, expected);
    if (field.empty() && !weights_fit(done, expected.layer))
        field = "weights";
    return field;
}

} // namespace bsq_onnx
