#include "report/report.hpp"

#include <cmath>
#include <cstdio>

extern "C" {
#include "json.h"
}

namespace bsq_gguf {

double average_bits(const RunResult &result)
{
    double bits = 0, weights = 0;
    for (const TensorResult &tensor : result.tensors) {
        if (!tensor.solved)
            continue;
        bits += 8.0 * static_cast<double>(tensor.size);
        weights += static_cast<double>(tensor.rows) * static_cast<double>(tensor.columns);
    }
    return weights > 0 ? bits / weights : 0;
}

double mean_error(const RunResult &result)
{
    double sum = 0;
    int64_t count = 0;
    for (const TensorResult &tensor : result.tensors) {
        if (!tensor.solved || tensor.by_weights || !(tensor.error > 0))
            continue;
        sum += std::log(tensor.error);
        count++;
    }
    return count > 0 ? std::exp(sum / static_cast<double>(count)) : 0;
}

void print_text(const RunResult &result)
{
    if (result.size_after > 0) {
        std::printf("%s: %.1f MB, was %.1f MB; %.2f bits a weight in %zu matrices\n", result.output.c_str(),
                    static_cast<double>(result.size_after) / 1e6, static_cast<double>(result.size_before) / 1e6,
                    average_bits(result), result.tensors.size());
        if (mean_error(result) > 0)
            std::printf("relative output error of layers, geometric mean: %.6f\n", mean_error(result));
        std::printf("seconds: %.1f forward, %.1f statistics, %.1f solve, %.1f evaluation, %.1f in all\n",
                    result.seconds.forward, result.seconds.statistics, result.seconds.solve, result.seconds.evaluation,
                    result.seconds.all);
        std::printf("memory: %.0f MB at most\n", static_cast<double>(result.peak_memory) / 1e6);
    }
    const Judgement &j = result.judgement;
    if (j.positions == 0)
        return;
    const auto perplexity = [](const char *what, const Mean &loss) {
        const double value = std::exp(loss.value);
        std::printf("%-20s perplexity %.4f +- %.4f  (%.4f +- %.4f nats a token)\n", what, value, value * loss.error,
                    loss.value, loss.error);
    };
    std::printf("%lld positions\n", static_cast<long long>(j.positions));
    perplexity(result.size_after > 0 ? "before" : "the model", j.loss);
    if (result.size_after > 0) {
        perplexity("after", j.quantized_loss);
        std::printf("%-20s %.6f +- %.6f nats a token\n", "divergence (KL)", j.divergence.value, j.divergence.error);
        std::printf("%-20s %.2f +- %.2f %%\n", "same top token", 100 * j.same_top.value, 100 * j.same_top.error);
    }
}

void print_json(const RunResult &result)
{
    struct json json = json_begin(stdout, false);
    json_open(&json, nullptr, '{');
    json_string(&json, "model", result.model.c_str());
    json_string(&json, "output", result.output.empty() ? nullptr : result.output.c_str());
    json_integer(&json, "size_before", static_cast<int64_t>(result.size_before));
    json_integer(&json, "size_after", static_cast<int64_t>(result.size_after));
    json_number(&json, "bits", average_bits(result));
    json_number(&json, "error", mean_error(result));
    json_integer(&json, "peak_memory", static_cast<int64_t>(result.peak_memory));
    json_integer(&json, "sequences", result.sequences);
    json_integer(&json, "context", result.context);
    json_open(&json, "tensors", '[');
    for (const TensorResult &tensor : result.tensors) {
        json_open(&json, nullptr, '{');
        json_string(&json, "name", tensor.name.c_str());
        json_string(&json, "from", tensor.from->name);
        json_string(&json, "type", tensor.type->name);
        json_integer(&json, "rows", tensor.rows);
        json_integer(&json, "columns", tensor.columns);
        json_integer(&json, "size", static_cast<int64_t>(tensor.size));
        if (tensor.solved) {
            json_string(&json, "errors_of", tensor.by_weights ? "weights" : "outputs");
            json_number(&json, "error", tensor.error);
            json_number(&json, "error_rounding", tensor.error_rounding);
            json_number(&json, "error_floor", tensor.error_floor);
            json_number(&json, "seconds", tensor.seconds);
        }
        json_close(&json, '}');
    }
    json_close(&json, ']');
    const auto mean = [&](const char *name, const Mean &value) {
        json_open(&json, name, '{');
        json_number(&json, "value", value.value);
        json_number(&json, "standard_error", value.error);
        json_close(&json, '}');
    };
    const Judgement &j = result.judgement;
    if (j.positions > 0) {
        json_open(&json, "evaluation", '{');
        json_integer(&json, "positions", j.positions);
        mean("loss", j.loss);
        if (result.size_after > 0) {
            mean("quantized_loss", j.quantized_loss);
            mean("divergence", j.divergence);
            mean("same_top", j.same_top);
        }
        json_close(&json, '}');
    }
    json_open(&json, "seconds", '{');
    json_number(&json, "forward", result.seconds.forward);
    json_number(&json, "statistics", result.seconds.statistics);
    json_number(&json, "solve", result.seconds.solve);
    json_number(&json, "evaluation", result.seconds.evaluation);
    json_number(&json, "all", result.seconds.all);
    json_close(&json, '}');
    json_close(&json, '}');
    std::putchar('\n');
}

} // namespace bsq_gguf
