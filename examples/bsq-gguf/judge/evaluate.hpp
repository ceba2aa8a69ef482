// How much worse the quantized model predicts than the float one.
#ifndef BSQ_GGUF_EVALUATE_HPP
#define BSQ_GGUF_EVALUATE_HPP

#include <cstdint>

#include "model/model.hpp"
#include "shared.hpp"
#include "text/samples.hpp"

namespace bsq_gguf {

// A mean over all positions; its standard error from how much the means of sequences differ (of positions, when there is
// one sequence).
struct Mean {
    double value = 0, error = 0;
};

struct Judgement {
    int64_t positions = 0; // 0: nothing was evaluated
    Mean loss;             // of the float model, nats a token
    Mean quantized_loss;
    Mean divergence; // Kullback-Leibler, of the quantized model's predictions from the float one's, nats a token
    Mean same_top;   // share of positions with the same most likely token
};

// Runs both models on every sequence. 'quantized' NULL: the float one alone. Throws Interrupted.
Judgement evaluate(const Model &model, const Model *quantized, const Samples &samples, int threads, Progress &progress);

} // namespace bsq_gguf

#endif
