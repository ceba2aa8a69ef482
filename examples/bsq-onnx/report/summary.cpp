// All results of a run together, and what is printed of them.
#include "report/summary.hpp"

#include <algorithm>
#include <cstdio>

#include "engines/engine.hpp"
#include "report/metric_text.hpp"

namespace bsq_onnx {

static void add_bits(const Model &model, RunResult &result)
{
    int64_t weights = 0, bits = 0;
    for (size_t i = 0; i < result.layers.size(); i++) {
        const LayerResult &l = result.layers[i];
        const auto all = l.shared_with.empty() ? static_cast<int64_t>(model.layers()[i].weights.size()) : 0;
        weights += all;
        bits += all * (l.bits > 0 ? l.bits : 32);
        result.seconds_solving += l.seconds;
    }
    result.average_bits = weights > 0 ? static_cast<double>(bits) / static_cast<double>(weights) : 0;
}

RunResult summarize(const Model &model, const Settings &settings, const SampleUse &samples, const Quantized &quantized,
                    const Judgement &judgement, const Bound &bound)
{
    RunResult result;
    result.model = settings.model;
    result.output = settings.output;
    result.command = settings.command;
    result.version = bsq_version_string();
    result.engine = engine().name();
    result.settings = describe(settings);
    result.settings.push_back("engine " + result.engine);
    result.effort = settings.options.effort;
    result.accuracy_level = settings.accuracy_level;
    result.samples = samples;
    result.layers = quantized.layers;
    result.inputs = quantized.inputs;
    result.evaluation = judgement.evaluation;
    result.has_detection = judgement.has_detection;
    result.detection = judgement.detection;
    result.exhibits = judgement.exhibits;
    result.metrics = judgement.metrics;
    result.classes = judgement.classes;
    for (size_t i = 0; i < result.layers.size() && bound.total > 0; i++)
        result.layers[i].bound_contribution = bound.contributions[i] / bound.total;
    if (bound.total >= 0 && judgement.output_norm > 0)
        result.network_bound = bound.total / judgement.output_norm;
    add_bits(model, result);
    if (samples.shared)
        result.warnings.push_back("too few samples: those that layers' held-out errors are of judge the network, too");
    if (samples.left_out > 0)
        result.warnings.push_back(std::to_string(samples.left_out) +
                                  (samples.left_out == 1 ? " sample is" : " samples are") +
                                  " left out: the network takes more than one at a time");
    const bool used = result.evaluation.labelled ||
                      std::any_of(settings.metrics.begin(), settings.metrics.end(),
                                  [](const MetricChoice &choice) { return choice.kind == MetricKind::top1; });
    if (!settings.labels.empty() && result.evaluation.samples > 0 && !used)
        result.warnings.push_back("--labels is of no use: the network does not give each class a score");
    if (!judgement.classes.empty() && result.evaluation.samples > 0 && !result.has_detection)
        result.warnings.push_back("boxes are not compared: the samples are no pictures");
    for (const Remark &remark : model.left_float())
        result.warnings.push_back(remark.op + " '" + remark.node + "' stays float: " + remark.reason);
    return result;
}

void add_contributions(const std::vector<double> &alone, int64_t samples, RunResult &result)
{
    result.contribution_samples = samples;
    for (size_t i = 0; i < result.layers.size() && samples > 0; i++)
        if (result.layers[i].bits > 0)
            result.layers[i].contribution = alone[i];
}

int64_t quantized_layers(const RunResult &result)
{
    return std::count_if(result.layers.begin(), result.layers.end(), [](const LayerResult &l) { return l.bits > 0; });
}

std::vector<std::string> all_warnings(const RunResult &result)
{
    std::vector<std::string> warnings = result.warnings;
    const auto few = std::count_if(result.layers.begin(), result.layers.end(),
                                   [](const LayerResult &l) { return (l.warnings & BSQ_WARNING_FEW_ROWS) != 0; });
    if (few > 0)
        warnings.push_back(std::to_string(few) + (few == 1 ? " layer" : " layers") +
                           " saw fewer than two rows for each weight of a channel: more calibration samples may help");
    for (const InputResult &input : result.inputs)
        if (input.bits > 0 && input.clipped > much_clipped) {
            char text[200];
            std::snprintf(text, sizeof text, "%.1f %% of the values of '%.120s' are clipped", 100 * input.clipped,
                          input.tensor.c_str());
            warnings.push_back(text);
        }
    return warnings;
}

void print_text(const RunResult &result)
{
    std::printf("%s: %lld of %zu %s quantized, %.2f bits a weight, file of %.2f MB instead of %.2f MB\n",
                result.model.c_str(), static_cast<long long>(quantized_layers(result)), result.layers.size(),
                result.layers.size() == 1 ? "layer" : "layers", result.average_bits,
                static_cast<double>(result.quantized_bytes) / 1e6, static_cast<double>(result.float_bytes) / 1e6);
    if (!result.rescaled.empty())
        std::printf("channels of %zu %s rescaled: their ranges differ\n", result.rescaled.size(),
                    result.rescaled.size() == 1 ? "tensor" : "tensors");
    for (const std::string &line : result.tried)
        std::printf("%s\n", line.c_str());
    const int64_t fitted = result.samples.calibration.count, enough = result.samples.enough;
    if (enough > 0)
        std::printf(
            "%lld %s calibrated, %s; effort %d\n", static_cast<long long>(fitted), fitted == 1 ? "sample" : "samples",
            fitted >= enough
                ? "every layer has 64 rows for each input or more"
                : ("of " + std::to_string(enough) + " that would give every layer 64 rows for each input").c_str(),
            result.effort);
    const Evaluation &e = result.evaluation;
    if (e.samples > 0) {
        std::printf("on %lld other %s: ", static_cast<long long>(e.samples), e.samples == 1 ? "sample" : "samples");
        if (e.labelled)
            std::printf("top-1 %.2f %% (float %.2f %%), top-5 %.2f %% (float %.2f %%), ", 100 * e.top1,
                        100 * e.float_top1, 100 * e.top5, 100 * e.float_top5);
        if (e.agreement >= 0)
            std::printf("same class as float %.2f %%, ", 100 * e.agreement);
        std::printf("relative error of the outputs %.4g", e.output_error);
        if (e.softmax_error >= 0)
            std::printf(", after the softmax %.4g", e.softmax_error);
        std::printf("\n");
    }
    for (const MetricResult &metric : result.metrics)
        std::printf("%s\n", metric_text(metric).c_str());
    const Detection &d = result.detection;
    if (result.has_detection && d.confident > 0) {
        std::printf("boxes: %lld of %lld confident float boxes found (%.2f %%), %lld more, mean IoU %.3f",
                    static_cast<long long>(d.found), static_cast<long long>(d.confident),
                    100 * static_cast<double>(d.found) / static_cast<double>(d.confident),
                    static_cast<long long>(d.extra), d.box_iou);
        if (d.mask_iou >= 0)
            std::printf(", of masks %.3f, mean over classes %.3f", d.mask_iou, d.mean_iou);
        std::printf("\n");
    }
    std::printf("%.1f s, %.1f s of them solving\n", result.seconds_total, result.seconds_solving);
    for (const std::string &warning : all_warnings(result))
        std::printf("warning: %s\n", warning.c_str());
}

} // namespace bsq_onnx
