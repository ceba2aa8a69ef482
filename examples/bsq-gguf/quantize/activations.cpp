#include "quantize/activations.hpp"

#include <algorithm>

namespace bsq_gguf {

namespace {

const char *const own_name = "float", *const quantized_name = "quantized";

// Rows first .. first + count - 1 of a matrix, and of its bias.
Matrix slice_of(const Matrix &matrix, int64_t first, int64_t count)
{
    Matrix slice;
    slice.type = matrix.type;
    slice.rows = count;
    slice.columns = matrix.columns;
    slice.data = matrix.data + static_cast<size_t>(first) * matrix.row_bytes();
    return slice;
}

std::vector<float> slice_of(const std::vector<float> &bias, int64_t first, int64_t count)
{
    return bias.empty() ? bias : std::vector<float>(bias.begin() + first, bias.begin() + first + count);
}

void add(const Values &output, float *residual)
{
    for (size_t i = 0; i < output.size(); i++)
        residual[i] += output[i];
}

} // namespace

ActivationStore::ActivationStore(const Model &model, const Samples &samples, int threads, bool targets, Room room)
    : shape_(model.shape()), samples_(samples), threads_(threads), targets_(targets),
      at_once_(std::min(sequences_at_once(samples.context), samples.sequences())), room_(std::move(room)), store_(room_)
{
    const int64_t floats = at_once_ * samples.context * shape_.width;
    store_.add(quantized_name, batches(), floats);
    if (targets_)
        store_.add(own_name, batches(), floats);
}

size_t ActivationStore::scratch(const Shape &shape, int64_t context, int threads)
{
    const int64_t rows = sequences_at_once(context) * context, attention = shape.heads * shape.head_size;
    const int64_t kv = shape.value_heads * shape.head_size;
    // Inputs of both models, and while one of them is made what it is made of; targets of one slice.
    const int64_t widest = std::max(attention, shape.hidden);
    const int64_t half = std::max(2 * attention + 2 * kv, 2 * shape.hidden) + shape.width;
    const int64_t target = std::min(slice_rows, std::max({attention, shape.hidden, shape.vocabulary}));
    const int64_t each = 128 * (widest + std::max(context, widest)); // of a thread: weights, codes, scores
    return static_cast<size_t>((rows * (widest + half + target) + threads * each) * int64_t{sizeof(float)});
}

Run ActivationStore::run_of(int64_t batch) const
{
    return {shape_, std::min(at_once_, samples_.sequences() - batch * at_once_), samples_.context, threads_};
}

void ActivationStore::share_of_work(int64_t batch, Progress &progress) const
{
    progress.at(0.5 * static_cast<double>(batch) / static_cast<double>(batches()));
}

void ActivationStore::embed(const Matrix &own, const Matrix &quantized)
{
    for (int64_t b = 0; b < batches(); b++) {
        const int32_t *tokens = samples_.tokens.data() + b * at_once_ * samples_.context;
        bsq_gguf::embed(run_of(b), quantized, tokens, store_.at(quantized_name, b));
        if (targets_)
            bsq_gguf::embed(run_of(b), own, tokens, store_.at(own_name, b));
    }
}

void ActivationStore::feed(const BlockWeights &own, const BlockWeights &quantized, size_t stage, Linear linear,
                           int64_t first, int64_t count, const std::function<void(const Activations &)> &take,
                           Progress &progress)
{
    const Matrix slice = slice_of(own.linear[linear], first, count);
    const std::vector<float> bias = slice_of(own.bias[linear], first, count);
    // The targets of the last layer of a half block are what it adds to the float model's residual.
    const bool moves_on = targets_ && stages[stage].count == 1 && count == own.linear[linear].rows;
    for (int64_t b = 0; b < batches(); b++) {
        share_of_work(b, progress);
        const Run run = run_of(b);
        Values target, input;
        if (targets_) {
            stage_input(run, own, stage, store_.at(own_name, b), input);
            target.resize(static_cast<size_t>(run.rows() * count));
            multiply(run, slice, bias, input.data(), target.data());
            if (moves_on)
                add(target, store_.at(own_name, b));
        }
        stage_input(run, quantized, stage, store_.at(quantized_name, b), input);
        take({input.data(), targets_ ? target.data() : nullptr, run.rows()});
    }
    own_moved_on_ = moves_on;
}

void ActivationStore::feed_output(const std::vector<float> &norm, const Matrix &output, int64_t first, int64_t count,
                                  const std::function<void(const Activations &)> &take, Progress &progress)
{
    const Matrix slice = slice_of(output, first, count);
    for (int64_t b = 0; b < batches(); b++) {
        share_of_work(b, progress);
        const Run run = run_of(b);
        Values target, input(static_cast<size_t>(run.rows() * shape_.width));
        if (targets_) {
            rms_norm(run, norm, store_.at(own_name, b), input.data());
            target.resize(static_cast<size_t>(run.rows() * count));
            multiply(run, slice, {}, input.data(), target.data());
        }
        rms_norm(run, norm, store_.at(quantized_name, b), input.data());
        take({input.data(), targets_ ? target.data() : nullptr, run.rows()});
    }
}

void ActivationStore::advance(const BlockWeights &own, const BlockWeights &quantized, size_t stage, Progress &progress)
{
    const Linear last = stages[stage].first;
    for (int64_t b = 0; b < batches(); b++) {
        progress.at(0);
        const Run run = run_of(b);
        Values input;
        const auto advance_one = [&](const BlockWeights &weights, const char *name) {
            stage_input(run, weights, stage, store_.at(name, b), input);
            add_output(run, weights, last, input, store_.at(name, b));
        };
        advance_one(quantized, quantized_name);
        if (targets_ && !own_moved_on_)
            advance_one(own, own_name);
    }
    own_moved_on_ = false;
}

} // namespace bsq_gguf
