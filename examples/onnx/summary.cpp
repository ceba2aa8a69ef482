// All results of a run together, and what is printed of them.
#include "summary.hpp"

#include <cstdio>

extern "C" {
#include "json.h"
}

namespace bsq_onnx {

static void add_sizes(const Model &model, RunResult &result)
{
    int64_t weights = 0, bits = 0;
    for (size_t i = 0; i < result.layers.size(); i++) {
        const LayerResult &l = result.layers[i];
        const auto all = static_cast<int64_t>(model.layers()[i].weights.size());
        const auto floats = static_cast<int64_t>(model.layers()[i].bias.size());
        result.float_bytes += 4 * (all + floats);
        result.quantized_bytes += 4 * static_cast<int64_t>(l.bias.size());
        result.quantized_bytes += l.bits > 0 ? l.weight_bytes + 4 * static_cast<int64_t>(l.scales.size()) : 4 * all;
        weights += all;
        bits += all * (l.bits > 0 ? l.bits : 32);
        result.seconds_solving += l.seconds;
    }
    result.average_bits = weights > 0 ? static_cast<double>(bits) / static_cast<double>(weights) : 0;
}

// Those of the run and those that layers and inputs carry.
static std::vector<std::string> all_warnings(const RunResult &result)
{
    std::vector<std::string> warnings = result.warnings;
    int few = 0;
    for (const LayerResult &l : result.layers)
        few += (l.warnings & BSQ_WARN_FEW_ROWS) != 0;
    if (few > 0)
        warnings.push_back(std::to_string(few) + " layers saw fewer than two rows for each weight of a channel: more "
                                                        "calibration samples may help");
    for (const InputResult &input : result.inputs)
        if (input.clipped > 0.01) {
            char text[200];
            std::snprintf(text, sizeof text, "%.1f %% of the values of '%.120s' are clipped", 100 * input.clipped,
                          input.tensor.c_str());
            warnings.push_back(text);
        }
    return warnings;
}

RunResult summarize(const Model &model, const Settings &settings, const Quantized &quantized, const Judgement &judgement,
                    const Bound &bound, const Task *task)
{
    RunResult result;
    result.model = settings.model;
    result.output = settings.output;
    result.command = settings.command;
    result.version = bsq_version_string();
    result.settings = describe(settings);
    result.layers = quantized.layers;
    result.inputs = quantized.inputs;
    result.evaluation = judgement.evaluation;
    result.has_detection = judgement.has_detection;
    result.detection = judgement.detection;
    if (task != nullptr)
        result.classes = task->classes();
    result.exhibits = judgement.exhibits;
    result.classes = judgement.classes;
    for (size_t i = 0; i < result.layers.size() && bound.total > 0; i++)
        result.layers[i].bound_contribution = bound.contributions[i] / bound.total;
    if (bound.total >= 0 && judgement.output_norm > 0)
        result.network_bound = bound.total / judgement.output_norm;
    add_sizes(model, result);
    for (const Remark &remark : model.left_float())
        result.warnings.push_back(remark.op + " '" + remark.node + "' stays float: " + remark.reason);
    return result;
}

static int quantized_layers(const RunResult &result)
{
    int count = 0;
    for (const LayerResult &l : result.layers)
        count += l.bits > 0;
    return count;
}

void print_text(const RunResult &result)
{
    std::printf("%s: %d of %zu layers quantized, %.2f bits a weight, %.2f MB instead of %.2f MB\n", result.model.c_str(),
                quantized_layers(result), result.layers.size(), result.average_bits,
                static_cast<double>(result.quantized_bytes) / 1e6, static_cast<double>(result.float_bytes) / 1e6);
    const Evaluation &e = result.evaluation;
    if (e.samples > 0) {
        std::printf("on %lld other samples: ", static_cast<long long>(e.samples));
        if (e.labelled)
            std::printf("top-1 %.2f %% (float %.2f %%), top-5 %.2f %% (float %.2f %%), ", 100 * e.top1, 100 * e.float_top1,
                        100 * e.top5, 100 * e.float_top5);
        if (e.agreement >= 0)
            std::printf("same class as float %.2f %%, ", 100 * e.agreement);
        std::printf("relative error of the outputs %.4g\n", e.output_error);
    }
    const Detection &d = result.detection;
    if (result.has_detection && d.confident > 0) {
        std::printf("boxes: %lld of %lld confident float boxes found (%.2f %%), %lld more, mean IoU %.3f",
                    static_cast<long long>(d.found), static_cast<long long>(d.confident),
                    100 * static_cast<double>(d.found) / static_cast<double>(d.confident), static_cast<long long>(d.extra),
                    d.box_iou);
        if (d.mask_iou >= 0)
            std::printf(", of masks %.3f, mean over classes %.3f", d.mask_iou, d.mean_iou);
        std::printf("\n");
    }
    std::printf("%.1f s, %.1f s of them solving\n", result.seconds_total, result.seconds_solving);
    for (const std::string &warning : all_warnings(result))
        std::printf("warning: %s\n", warning.c_str());
}

void print_json(const RunResult &result)
{
    struct json json = json_begin(stdout, true);
    json_open(&json, nullptr, '{');
    json_string(&json, "network", result.model.c_str());
    json_integer(&json, "layers", static_cast<int64_t>(result.layers.size()));
    json_integer(&json, "quantized_layers", quantized_layers(result));
    json_number(&json, "average_bits", result.average_bits);
    json_integer(&json, "float_bytes", result.float_bytes);
    json_integer(&json, "quantized_bytes", result.quantized_bytes);
    json_integer(&json, "calibration_samples", result.calibration_samples);
    json_number(&json, "seconds", result.seconds_total);
    json_number(&json, "seconds_solving", result.seconds_solving);
    if (result.network_bound >= 0)
        json_number(&json, "network_bound", result.network_bound);
    const Evaluation &e = result.evaluation;
    json_open(&json, "evaluation", '{');
    json_integer(&json, "samples", e.samples);
    if (e.samples > 0)
        json_number(&json, "output_error", e.output_error);
    if (e.agreement >= 0)
        json_number(&json, "agreement", e.agreement);
    if (e.labelled) {
        json_number(&json, "float_top1", e.float_top1);
        json_number(&json, "top1", e.top1);
        json_number(&json, "float_top5", e.float_top5);
        json_number(&json, "top5", e.top5);
    }
    json_close(&json, '}');
    if (result.has_detection) {
        const Detection &d = result.detection;
        json_open(&json, "detection", '{');
        json_integer(&json, "pictures", d.pictures);
        json_integer(&json, "confident", d.confident);
        json_integer(&json, "found", d.found);
        json_integer(&json, "extra", d.extra);
        json_number(&json, "box_iou", d.box_iou);
        if (d.mask_iou >= 0)
            json_number(&json, "mask_iou", d.mask_iou);
        if (d.mean_iou >= 0)
            json_number(&json, "mean_iou", d.mean_iou);
        json_close(&json, '}');
    }
    json_open(&json, "warnings", '[');
    for (const std::string &warning : all_warnings(result))
        json_string(&json, nullptr, warning.c_str());
    json_close(&json, ']');
    json_close(&json, '}');
}

} // namespace bsq_onnx
