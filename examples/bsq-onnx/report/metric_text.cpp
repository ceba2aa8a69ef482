#include "report/metric_text.hpp"

#include <cstdio>

namespace bsq_onnx {

std::string metric_text(const MetricResult &m)
{
    const auto count = static_cast<long long>(m.count);
    char text[300];
    if (m.metric == "error")
        std::snprintf(text, sizeof text, "relative error %.4g on %lld %s", m.error, count,
                      count == 1 ? "sample" : "samples");
    else if (m.metric == "cosine")
        std::snprintf(text, sizeof text, "cosine similarity %.6f, least %.6f, of %lld %s", m.mean_cosine,
                      m.least_cosine, count, count == 1 ? "vector" : "vectors");
    else if (m.metric == "tokens")
        std::snprintf(
            text, sizeof text,
            "same token as float %.2f %%, next token right %.2f %% (float %.2f %%), perplexity %.4f (float %.4f), "
            "on %lld %s",
            100 * m.agreement, 100 * m.accuracy, 100 * m.float_accuracy, m.perplexity, m.float_perplexity, count,
            count == 1 ? "token" : "tokens");
    else
        std::snprintf(text, sizeof text, "top-1 %.2f %% (float %.2f %%), same class as float %.2f %%, on %lld %s",
                      100 * m.accuracy, 100 * m.float_accuracy, 100 * m.agreement, count,
                      m.by_position ? (count == 1 ? "position" : "positions") : (count == 1 ? "sample" : "samples"));
    return "output " + m.output + ": " + text;
}

} // namespace bsq_onnx
