#include "judge/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/forward.hpp"
#include "model/parallel.hpp"

namespace bsq_gguf {

namespace {

// Logits of so many values are made at a time.
constexpr int64_t logits_at_once = int64_t{1} << 22;

// The residual behind the last block, normed.
Values hidden_states(const Model &model, const Run &run, const int32_t *tokens, Progress &progress, double from,
                     double share)
{
    const auto width = static_cast<size_t>(run.shape.width);
    Values residual(static_cast<size_t>(run.rows()) * width), input;
    embed(run, model.embedding(), tokens, residual.data());
    for (int64_t b = 0; b < run.shape.blocks; b++) {
        const BlockWeights weights = model.block(b);
        for (const size_t stage : {size_t{1}, size_t{3}}) {
            stage_input(run, weights, stage, residual.data(), input);
            add_output(run, weights, stages[stage].first, input, residual.data());
        }
        progress.at(from + share * static_cast<double>(b + 1) / static_cast<double>(run.shape.blocks));
    }
    rms_norm(run, model.output_norm(), residual.data(), residual.data());
    return residual;
}

struct Position {
    double loss = 0, quantized_loss = 0, divergence = 0, same = 0;
};

double log_sum(const float *logits, int64_t count)
{
    const double largest = static_cast<double>(*std::max_element(logits, logits + count));
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += std::exp(static_cast<double>(logits[i]) - largest);
    return largest + std::log(sum);
}

Position judge(const float *own, const float *other, int64_t count, int32_t next)
{
    Position position;
    const double own_sum = log_sum(own, count);
    if (next >= 0)
        position.loss = own_sum - static_cast<double>(own[next]);
    if (other == nullptr)
        return position;
    const double other_sum = log_sum(other, count);
    if (next >= 0)
        position.quantized_loss = other_sum - static_cast<double>(other[next]);
    for (int64_t i = 0; i < count; i++) {
        const double p = static_cast<double>(own[i]) - own_sum, q = static_cast<double>(other[i]) - other_sum;
        position.divergence += std::exp(p) * (p - q);
    }
    position.same = std::max_element(own, own + count) - own == std::max_element(other, other + count) - other;
    return position;
}

// Of values of positions, 'context' a sequence, those of which that count.
class Averager {
public:
    void add(double value, bool counts)
    {
        if (!counts)
            return;
        sum_ += value, squares_ += value * value, count_++;
        own_sum_ += value, own_count_++;
    }
    void end_sequence()
    {
        if (own_count_ > 0)
            means_.push_back(own_sum_ / static_cast<double>(own_count_));
        own_sum_ = 0, own_count_ = 0;
    }
    Mean mean() const
    {
        Mean result;
        if (count_ == 0)
            return result;
        const auto count = static_cast<double>(count_);
        result.value = sum_ / count;
        if (means_.size() > 1) {
            const auto n = static_cast<double>(means_.size());
            double spread = 0;
            for (const double mean : means_)
                spread += (mean - result.value) * (mean - result.value);
            result.error = std::sqrt(spread / (n - 1) / n);
        } else if (count_ > 1) {
            result.error = std::sqrt(std::max(0.0, squares_ / count - result.value * result.value) / (count - 1));
        }
        return result;
    }

private:
    double sum_ = 0, squares_ = 0, own_sum_ = 0;
    int64_t count_ = 0, own_count_ = 0;
    std::vector<double> means_;
};

} // namespace

Judgement evaluate(const Model &model, const Model *quantized, const Samples &samples, int threads, Progress &progress)
{
    const Shape &shape = model.shape();
    const int64_t context = samples.context, at_once = sequences_at_once(context);
    const int64_t rows_at_once = std::max<int64_t>(1, logits_at_once / shape.vocabulary);
    const Matrix output = model.output(), other_output = quantized != nullptr ? quantized->output() : Matrix();
    Averager loss, quantized_loss, divergence, same;
    progress.step("evaluation", 1);
    for (int64_t first = 0; first < samples.sequences(); first += at_once) {
        const Run run{shape, std::min(at_once, samples.sequences() - first), context, threads};
        const int32_t *tokens = samples.tokens.data() + first * context;
        const double done = static_cast<double>(first) / static_cast<double>(samples.sequences());
        const double share = static_cast<double>(run.sequences) / static_cast<double>(samples.sequences());
        const Values own = hidden_states(model, run, tokens, progress, done, share / 2);
        Values other;
        if (quantized != nullptr)
            other = hidden_states(*quantized, run, tokens, progress, done + share / 2, share / 2);

        std::vector<Position> positions(static_cast<size_t>(run.rows()));
        for (int64_t row = 0; row < run.rows(); row += rows_at_once) {
            const int64_t count = std::min(rows_at_once, run.rows() - row);
            const Run part{shape, 1, count, threads};
            Values logits(static_cast<size_t>(count * shape.vocabulary)), other_logits;
            multiply(part, output, {}, own.data() + row * shape.width, logits.data());
            if (quantized != nullptr) {
                other_logits.resize(logits.size());
                multiply(part, other_output, {}, other.data() + row * shape.width, other_logits.data());
            }
            parallel_for(count, threads, [&](int64_t i) {
                positions[static_cast<size_t>(row + i)] =
                    judge(logits.data() + i * shape.vocabulary,
                          quantized != nullptr ? other_logits.data() + i * shape.vocabulary : nullptr, shape.vocabulary,
                          samples.next[static_cast<size_t>(first * context + row + i)]);
            });
        }
        for (int64_t row = 0; row < run.rows(); row++) {
            const Position &position = positions[static_cast<size_t>(row)];
            const bool known = samples.next[static_cast<size_t>(first * context + row)] >= 0;
            loss.add(position.loss, known);
            quantized_loss.add(position.quantized_loss, known);
            divergence.add(position.divergence, true);
            same.add(position.same, true);
            if (row % context == context - 1) {
                loss.end_sequence(), quantized_loss.end_sequence();
                divergence.end_sequence(), same.end_sequence();
            }
        }
    }
    Judgement judgement;
    judgement.positions = samples.sequences() * context;
    judgement.loss = loss.mean();
    judgement.quantized_loss = quantized_loss.mean();
    judgement.divergence = divergence.mean();
    judgement.same_top = same.mean();
    progress.end("", -1);
    return judgement;
}

} // namespace bsq_gguf
