// Every number of a run as JSON.
#include "report/write.hpp"

#include <cstdlib>
#include <new>

#include "report/summary.hpp"

extern "C" {
#include "json.h"
}

namespace bsq_onnx {

namespace {

const char *type_name(int32_t type)
{
    return type == BSQ_INPUT_TYPE_SIGNED ? "signed" : type == BSQ_INPUT_TYPE_UNSIGNED ? "unsigned" : "zero point";
}

template <typename T> void numbers(json &out, const char *key, const std::vector<T> &values)
{
    json_open(&out, key, '[');
    for (T value : values)
        json_number(&out, nullptr, static_cast<double>(value));
    json_close(&out, ']');
}

void texts(json &out, const char *key, const std::vector<std::string> &values)
{
    json_open(&out, key, '[');
    for (const std::string &value : values)
        json_string(&out, nullptr, value.c_str());
    json_close(&out, ']');
}

// A number that is left out when it was not measured.
void measured(json &out, const char *key, double value)
{
    if (value >= 0)
        json_number(&out, key, value);
}

void write_layer(json &out, const LayerResult &layer)
{
    json_open(&out, nullptr, '{');
    json_string(&out, "name", layer.name.c_str());
    json_string(&out, "op", layer.op.c_str());
    json_string(&out, "input", layer.input.c_str());
    json_integer(&out, "bits", layer.bits);
    if (layer.bits == 0)
        json_string(&out, "reason", layer.reason.c_str());
    if (!layer.shared_with.empty())
        json_string(&out, "shared_with", layer.shared_with.c_str());
    json_integer(&out, "channels", layer.channels);
    json_integer(&out, "fan_in", layer.fan_in);
    json_integer(&out, "weight_bytes", layer.weight_bytes);
    json_integer(&out, "multiplications", layer.multiplications);
    if (layer.bits > 0) {
        json_number(&out, "error", layer.error);
        json_number(&out, "error_rounding", layer.error_rounding);
        measured(out, "held_out_error", layer.held_out_error);
        json_number(&out, "error_floor", layer.error_floor);
        json_number(&out, "lower_bound", layer.lower_bound);
        json_number(&out, "bound_contribution", layer.bound_contribution);
        measured(out, "contribution", layer.contribution);
        json_number(&out, "rows_per_input", layer.rows_per_input);
        json_number(&out, "seconds", layer.seconds);
        json_integer(&out, "warnings", layer.warnings);
        json_string(&out, "text", layer.text.c_str());
        numbers(out, "scales", layer.scales);
        if (layer.group_size > 0)
            json_integer(&out, "group_size", layer.group_size);
        if (!layer.zero_points.empty())
            numbers(out, "zero_points", layer.zero_points);
        numbers(out, "bias", layer.bias);
    }
    json_close(&out, '}');
}

void write_input(json &out, const InputResult &input)
{
    json_open(&out, nullptr, '{');
    json_string(&out, "tensor", input.tensor.c_str());
    json_integer(&out, "bits", input.bits);
    if (input.bits > 0) {
        json_string(&out, "type", type_name(input.type));
        json_integer(&out, "zero_point", input.zero_point);
        numbers(out, "scales", input.scales);
        if (!input.zero_points.empty())
            numbers(out, "zero_points", input.zero_points);
        measured(out, "strength", input.strength);
        json_number(&out, "clipped", input.clipped);
    }
    json_number(&out, "minimum", input.minimum);
    json_number(&out, "maximum", input.maximum);
    json_string(&out, "note", input.note.c_str());
    json_close(&out, '}');
}

void write_samples(json &out, const SampleUse &samples)
{
    const std::pair<const char *, const SampleRange *> uses[] = {
        {"calibration", &samples.calibration}, {"held_out", &samples.held_out}, {"evaluation", &samples.evaluation}};
    json_open(&out, "samples", '{');
    for (const auto &[use, range] : uses) {
        json_open(&out, use, '{');
        json_integer(&out, "count", range->count);
        if (range->count > 0) {
            json_string(&out, "first", range->first.c_str());
            json_string(&out, "last", range->last.c_str());
        }
        json_close(&out, '}');
    }
    if (samples.enough > 0)
        json_integer(&out, "enough_to_calibrate", samples.enough);
    json_string(&out, "note", samples.shared ? "held-out samples are evaluated, too" : "");
    json_close(&out, '}');
}

void write_evaluation(json &out, const Evaluation &evaluation)
{
    json_open(&out, "evaluation", '{');
    json_integer(&out, "samples", evaluation.samples);
    if (evaluation.labelled) {
        json_number(&out, "float_top1", evaluation.float_top1);
        json_number(&out, "float_top5", evaluation.float_top5);
        json_number(&out, "top1", evaluation.top1);
        json_number(&out, "top5", evaluation.top5);
    }
    measured(out, "agreement", evaluation.agreement);
    if (evaluation.samples > 0)
        json_number(&out, "output_error", evaluation.output_error);
    measured(out, "softmax_error", evaluation.softmax_error);
    json_close(&out, '}');
}

void write_metric(json &out, const MetricResult &metric)
{
    json_open(&out, nullptr, '{');
    json_string(&out, "metric", metric.metric.c_str());
    json_string(&out, "output", metric.output.c_str());
    json_integer(&out, "count", metric.count);
    if (metric.metric == "error")
        json_number(&out, "error", metric.error);
    if (metric.metric == "cosine") {
        json_number(&out, "mean_cosine", metric.mean_cosine);
        json_number(&out, "least_cosine", metric.least_cosine);
    }
    if (metric.metric == "tokens" || metric.metric == "top1") {
        json_number(&out, "agreement", metric.agreement);
        json_number(&out, "float_accuracy", metric.float_accuracy);
        json_number(&out, "accuracy", metric.accuracy);
    }
    if (metric.metric == "tokens") {
        json_number(&out, "float_perplexity", metric.float_perplexity);
        json_number(&out, "perplexity", metric.perplexity);
    }
    json_close(&out, '}');
}

void write_detection(json &out, const Detection &detection)
{
    json_open(&out, "detection", '{');
    json_integer(&out, "pictures", detection.pictures);
    json_integer(&out, "confident", detection.confident);
    json_integer(&out, "found", detection.found);
    json_integer(&out, "extra", detection.extra);
    json_number(&out, "box_iou", detection.box_iou);
    measured(out, "mask_iou", detection.mask_iou);
    measured(out, "mean_iou", detection.mean_iou);
    json_close(&out, '}');
}

void write_whole(json &out, const RunResult &result)
{
    json_integer(&out, "format", 2);
    json_string(&out, "model", result.model.c_str());
    json_string(&out, "output", result.output.c_str());
    json_string(&out, "command", result.command.c_str());
    json_string(&out, "version", result.version.c_str());
    json_string(&out, "engine", result.engine.c_str());
    texts(out, "settings", result.settings);
    write_samples(out, result.samples);
    json_integer(&out, "all_layers", static_cast<int64_t>(result.layers.size()));
    json_integer(&out, "quantized_layers", quantized_layers(result));
    json_integer(&out, "float_bytes", result.float_bytes);
    json_integer(&out, "quantized_bytes", result.quantized_bytes);
    json_number(&out, "average_bits", result.average_bits);
    texts(out, "rescaled", result.rescaled);
    texts(out, "tried", result.tried);
    measured(out, "network_bound", result.network_bound);
    if (result.contribution_samples > 0)
        json_integer(&out, "contribution_samples", result.contribution_samples);
    json_number(&out, "seconds_solving", result.seconds_solving);
    json_number(&out, "seconds_total", result.seconds_total);
    write_evaluation(out, result.evaluation);
    if (!result.metrics.empty()) {
        json_open(&out, "metrics", '[');
        for (const MetricResult &metric : result.metrics)
            write_metric(out, metric);
        json_close(&out, ']');
    }
    if (result.has_detection)
        write_detection(out, result.detection);
    texts(out, "warnings", all_warnings(result));
}

void write_all(json &out, const RunResult &result)
{
    json_open(&out, nullptr, '{');
    write_whole(out, result);
    json_open(&out, "inputs", '[');
    for (const InputResult &input : result.inputs)
        write_input(out, input);
    json_close(&out, ']');
    json_open(&out, "layers", '[');
    for (const LayerResult &layer : result.layers)
        write_layer(out, layer);
    json_close(&out, ']');
    json_close(&out, '}');
}

} // namespace

std::string write_sidecar(const RunResult &result)
{
    char *text = nullptr;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        throw std::bad_alloc();
    json out = json_begin(file, true);
    write_all(out, result);
    const bool failed = std::fclose(file) != 0;
    std::string bytes = failed ? std::string() : std::string(text, size);
    std::free(text);
    if (failed)
        throw std::bad_alloc();
    return bytes;
}

void print_json(const RunResult &result)
{
    json out = json_begin(stdout, true);
    json_open(&out, nullptr, '{');
    write_whole(out, result);
    json_close(&out, '}');
}

} // namespace bsq_onnx
