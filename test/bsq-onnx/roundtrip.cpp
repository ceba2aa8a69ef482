// Quantizes a network by rounding, with all that the writers can be asked for, and writes what it should compute:
//
//     roundtrip NETWORK.onnx FOLDER WEIGHT_BITS INPUT_BITS tensor|channel|none
//
// FOLDER gets input.npy, qdq.onnx, float.onnx, int4.onnx, sidecar.json, and for output number i, by OpenCV, segment by
// segment: floatI.npy of the network as it is, weightsI.npy with quantized weights, quantizedI.npy with quantized
// inputs, too.
#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "shared.hpp"
#include "report/write.hpp"

extern "C" {
#include "npy.h"
}

using namespace bsq_onnx;

namespace {

struct Settings {
    int weight_bits, input_bits;
    bool folded;
};

// Values of a channel among those of a tensor: position i belongs to channel i / inner % channels.
struct Channels {
    int64_t count, inner;
    size_t operator()(size_t i) const { return static_cast<size_t>(static_cast<int64_t>(i) / inner % count); }
};

Channels channels_of(const Layer &layer)
{
    const int64_t inner = layer.desc.kind == BSQ_KIND_LINEAR ? 1 : count(layer.input_shape) / layer.desc.in_channels;
    return {layer.desc.in_channels, inner};
}

// Every second signed tensor gets a zero point.
InputResult quantizer(const Model &model, const Layer &layer, const std::vector<float> &values,
                      const Settings &settings, size_t index)
{
    InputResult input;
    input.tensor = layer.input;
    input.bits = settings.input_bits;
    const Channels channel = channels_of(layer);
    const bool folded = settings.folded && model.may_fold(layer.input, input.note);
    std::vector<float> low(folded ? static_cast<size_t>(channel.count) : 1, 0), high = low;
    for (size_t i = 0; i < values.size(); i++) {
        const size_t c = folded ? channel(i) : 0;
        low[c] = std::min(low[c], values[i] * 0.9F); // some values are clipped
        high[c] = std::max(high[c], values[i] * 0.9F);
    }
    const bool negative = *std::min_element(low.begin(), low.end()) < 0;
    input.type = !negative ? BSQ_INPUT_TYPE_UNSIGNED : index % 2 ? BSQ_INPUT_TYPE_SIGNED : BSQ_INPUT_TYPE_ZERO_POINT;
    const int steps = (1 << input.bits) - 1;
    input.zero_point = input.type == BSQ_INPUT_TYPE_ZERO_POINT ? steps / 3 : 0;
    for (size_t c = 0; c < low.size(); c++) {
        double scale = high[c] / static_cast<float>(steps);
        if (input.type == BSQ_INPUT_TYPE_SIGNED)
            scale = std::max(-low[c], high[c]) / static_cast<float>(steps / 2);
        if (folded) // zero points of their own too
            input.zero_points.push_back(input.zero_point +
                                        (input.type == BSQ_INPUT_TYPE_ZERO_POINT ? static_cast<int>(c % 2) : 0));
        const int zero = folded ? input.zero_points[c] : input.zero_point;
        if (input.type == BSQ_INPUT_TYPE_ZERO_POINT)
            scale = std::max(-low[c] / static_cast<float>(zero), high[c] / static_cast<float>(steps - zero));
        input.scales.push_back(scale > 0 ? static_cast<float>(scale) : 1);
    }
    return input;
}

std::vector<float> quantized(const std::vector<float> &values, const InputResult &input, const Channels &channel)
{
    const bool is_signed = input.type == BSQ_INPUT_TYPE_SIGNED;
    const float lowest = is_signed ? -std::ldexp(1.0F, input.bits - 1) : 0;
    const float highest = lowest + std::ldexp(1.0F, input.bits) - 1;
    std::vector<float> result;
    for (size_t i = 0; i < values.size(); i++) {
        const float scale = static_cast<float>(input.scales[input.scales.size() == 1 ? 0 : channel(i)]);
        const float zero =
            static_cast<float>(input.zero_points.empty() ? input.zero_point : input.zero_points[channel(i)]);
        const float code = std::nearbyint(values[i] / scale) + zero;
        result.push_back(scale * (std::min(std::max(code, lowest), highest) - zero));
    }
    return result;
}

LayerResult round_weights(const Layer &layer, const InputResult &input, const Settings &settings)
{
    LayerResult result;
    result.name = layer.name;
    result.bits = settings.weight_bits;
    result.channels = layer.desc.out_channels;
    result.fan_in = static_cast<int64_t>(layer.weights.size()) / result.channels;
    result.bias = layer.bias;
    const size_t fan_in = static_cast<size_t>(result.fan_in);
    const int64_t group_inputs = layer.desc.in_channels / layer.desc.groups;
    const int64_t volume = result.fan_in / group_inputs, group_outputs = result.channels / layer.desc.groups;
    const double largest_step = input.scales.empty() ? 1 : *std::max_element(input.scales.begin(), input.scales.end());
    const float largest_code = std::ldexp(1.0F, settings.weight_bits - 1) - 1;
    for (size_t o = 0; o < static_cast<size_t>(result.channels); o++) {
        std::vector<float> beta(fan_in, 1), folded;
        for (size_t i = 0; i < fan_in; i++) {
            const int64_t channel =
                static_cast<int64_t>(o) / group_outputs * group_inputs + static_cast<int64_t>(i) / volume;
            if (input.scales.size() > 1)
                beta[i] = static_cast<float>(input.scales[static_cast<size_t>(channel)] / largest_step);
            folded.push_back(layer.weights[o * fan_in + i] * beta[i]);
        }
        float largest = 0;
        for (float weight : folded)
            largest = std::max(largest, std::fabs(weight));
        const float scale = largest > 0 ? largest / largest_code : 1;
        result.scales.push_back(scale);
        for (size_t i = 0; i < fan_in; i++) {
            const float code = std::nearbyint(folded[i] / scale);
            result.codes.push_back(static_cast<int8_t>(code));
            result.dequantized.push_back(scale * code / beta[i]);
        }
    }
    return result;
}

RunResult quantize(const Model &model, const test::Tensors &tensors, const Settings &settings)
{
    RunResult result;
    result.version = bsq_version_string();
    for (const Layer &layer : model.layers()) {
        const auto known = std::find_if(result.inputs.begin(), result.inputs.end(),
                                        [&](const InputResult &input) { return input.tensor == layer.input; });
        InputResult input;
        if (known != result.inputs.end()) {
            input = *known;
        } else if (settings.input_bits > 0) {
            input = quantizer(model, layer, tensors.at(layer.input), settings, result.inputs.size());
            result.inputs.push_back(input);
        }
        result.layers.push_back(round_weights(layer, input, settings));
    }
    return result;
}

void save_outputs(const std::string &folder, const std::string &name, const Model &model, const test::Tensors &tensors)
{
    for (size_t i = 0; i < model.outputs().size(); i++) {
        const Value &output = model.outputs()[i];
        const std::string path = folder + "/" + name + std::to_string(i) + ".npy";
        if (!npy_save(path.c_str(), NPY_FLOAT32, static_cast<int32_t>(output.shape.size()), output.shape.data(),
                      tensors.at(output.name).data()))
            throw Error(path + ": cannot be written");
    }
}

void run(const std::string &path, const std::string &folder, const Settings &settings)
{
    const Model model = Model::load(path);
    const Value &input = model.input();
    const std::vector<float> values = test::random_values(count(input.shape), 3);
    npy_save((folder + "/input.npy").c_str(), NPY_FLOAT32, static_cast<int32_t>(input.shape.size()), input.shape.data(),
             values.data());
    const test::Tensors tensors = test::run_segments(model, values);
    save_outputs(folder, "float", model, tensors);

    const RunResult result = quantize(model, tensors, settings);
    const test::Changes weights = {&result, nullptr};
    save_outputs(folder, "weights", model, test::run_segments(model, values, weights));
    const test::Changes all = {&result, [&](const Layer &layer, const std::vector<float> &x) {
                                   for (const InputResult &known : result.inputs)
                                       if (known.tensor == layer.input)
                                           return quantized(x, known, channels_of(layer));
                                   return x;
                               }};
    save_outputs(folder, "quantized", model, test::run_segments(model, values, all));
    write_files({{folder + "/qdq.onnx", write_model(model, result, Format::qdq_layers)},
                 {folder + "/float.onnx", write_model(model, result, Format::qdq_float)},
                 {folder + "/int4.onnx", write_model(model, result, Format::int4)},
                 {folder + "/sidecar.json", write_sidecar(result)}});
}

} // namespace

int main(int count, char **words)
{
    if (count != 6)
        return 2;
    try {
        run(words[1], words[2], {std::atoi(words[3]), std::atoi(words[4]), std::string(words[5]) == "channel"});
    } catch (const std::exception &error) {
        std::fprintf(stderr, "roundtrip: %s\n", error.what());
        return 1;
    }
    return 0;
}
