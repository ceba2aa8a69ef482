#include "predictions.hpp"

#include <algorithm>
#include <cmath>

namespace test {

Predictions predict(const Llama &llama, const std::string &path, const bsq_gguf::Samples &samples, int threads)
{
    const auto model = llama.load(path, static_cast<uint32_t>(samples.context), threads);
    Predictions out;
    out.vocabulary = static_cast<size_t>(model->vocabulary());
    for (int64_t s = 0; s < samples.sequences(); s++) {
        const auto begin = samples.tokens.begin() + s * samples.context;
        std::vector<float> logits = model->logits(std::vector<int32_t>(begin, begin + samples.context));
        for (size_t at = 0; at < logits.size(); at += out.vocabulary) {
            float *row = &logits[at];
            const double largest = static_cast<double>(*std::max_element(row, row + out.vocabulary));
            double sum = 0;
            for (size_t i = 0; i < out.vocabulary; i++)
                sum += std::exp(static_cast<double>(row[i]) - largest);
            const double all = largest + std::log(sum);
            for (size_t i = 0; i < out.vocabulary; i++)
                row[i] = static_cast<float>(static_cast<double>(row[i]) - all);
        }
        out.logs.insert(out.logs.end(), logits.begin(), logits.end());
    }
    return out;
}

double mean_loss(const Predictions &predictions, const bsq_gguf::Samples &samples)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < samples.next.size(); i++) {
        if (samples.next[i] < 0)
            continue;
        sum -= static_cast<double>(predictions.logs[i * predictions.vocabulary + static_cast<size_t>(samples.next[i])]);
        count++;
    }
    return sum / static_cast<double>(count);
}

double mean_divergence(const Predictions &from, const Predictions &to)
{
    double sum = 0;
    for (size_t i = 0; i < from.logs.size(); i++) {
        const double p = static_cast<double>(from.logs[i]), q = static_cast<double>(to.logs[i]);
        sum += std::exp(p) * (p - q);
    }
    return sum / static_cast<double>(from.logs.size() / from.vocabulary);
}

double same_top(const Predictions &a, const Predictions &b)
{
    size_t same = 0;
    const auto width = static_cast<std::ptrdiff_t>(a.vocabulary);
    for (auto x = a.logs.begin(), y = b.logs.begin(); x != a.logs.end(); x += width, y += width)
        same += std::max_element(x, x + width) - x == std::max_element(y, y + width) - y;
    return static_cast<double>(same) / static_cast<double>(a.logs.size() / a.vocabulary);
}

} // namespace test
