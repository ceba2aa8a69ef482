#include "model/forward.hpp"

#include <algorithm>
#include <cmath>

#include <cblas.h>

#include "model/parallel.hpp"

namespace bsq_gguf {

namespace {

// Rows of weights that are turned into floats and multiplied at a time; queries that meet all keys; rows of one piece.
constexpr int64_t panel = 128, query_block = 128, row_block = 64;

blasint blas(int64_t value)
{
    return static_cast<blasint>(value);
}

size_t count_of(int64_t rows, int64_t columns)
{
    return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

void for_rows(const Run &run, const std::function<void(int64_t)> &work)
{
    const int64_t rows = run.rows();
    parallel_for((rows + row_block - 1) / row_block, run.threads, [&](int64_t piece) {
        for (int64_t r = piece * row_block; r < std::min(rows, (piece + 1) * row_block); r++)
            work(r);
    });
}

// Turns the pairs of each of 'heads' heads by their positions.
void rotate(const Run &run, int64_t heads, float *values)
{
    const Shape &shape = run.shape;
    const int64_t pairs = shape.rotary_size / 2;
    const bool halves = shape.order == RotaryOrder::halves;
    for_rows(run, [&](int64_t row) {
        const auto position = static_cast<double>(row % run.context);
        for (int64_t i = 0; i < pairs; i++) {
            const double angle = position * shape.frequencies[static_cast<size_t>(i)];
            const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
            for (int64_t h = 0; h < heads; h++) {
                float *head = values + (row * heads + h) * shape.head_size;
                float &a = head[halves ? i : 2 * i], &b = head[halves ? i + pairs : 2 * i + 1];
                const float turned = a * c - b * s;
                b = a * s + b * c;
                a = turned;
            }
        }
    });
}

// Scores of a row to weights that sum to 1: positions up to its own count.
void softmax(float *scores, int64_t count, int64_t all)
{
    const float largest = *std::max_element(scores, scores + count);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        scores[i] = std::exp(scores[i] - largest);
        sum += static_cast<double>(scores[i]);
    }
    const auto factor = static_cast<float>(1 / sum);
    for (int64_t i = 0; i < count; i++)
        scores[i] *= factor;
    std::fill(scores + count, scores + all, 0.0f);
}

void attend(const Run &run, const Values &q, const Values &k, const Values &v, float *out)
{
    const Shape &shape = run.shape;
    const int64_t size = shape.head_size, width = shape.heads * size, narrow = shape.value_heads * size;
    const int64_t share = shape.heads / shape.value_heads, blocks = (run.context + query_block - 1) / query_block;
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
    parallel_for(run.sequences * shape.heads * blocks, run.threads, [&](int64_t item) {
        const int64_t block = item % blocks, head = item / blocks % shape.heads;
        const int64_t sequence = item / blocks / shape.heads;
        const int64_t first = block * query_block, queries = std::min(query_block, run.context - first);
        const int64_t keys = first + queries, start = sequence * run.context;
        Values scores(count_of(queries, keys));
        const float *key = k.data() + start * narrow + head / share * size;
        const float *value = v.data() + start * narrow + head / share * size;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas(queries), blas(keys), blas(size), scale,
                    q.data() + (start + first) * width + head * size, blas(width), key, blas(narrow), 0, scores.data(),
                    blas(keys));
        for (int64_t i = 0; i < queries; i++)
            softmax(scores.data() + i * keys, first + i + 1, keys);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(queries), blas(size), blas(keys), 1, scores.data(),
                    blas(keys), value, blas(narrow), 0, out + (start + first) * width + head * size, blas(width));
    });
}

} // namespace

int64_t sequences_at_once(int64_t context)
{
    return std::max<int64_t>(1, 2048 / context);
}

void embed(const Run &run, const Matrix &embedding, const int32_t *tokens, float *residual)
{
    for_rows(run, [&](int64_t row) { dequantize(embedding, tokens[row], 1, residual + row * embedding.columns); });
}

void rms_norm(const Run &run, const std::vector<float> &weight, const float *in, float *out)
{
    const auto width = static_cast<int64_t>(weight.size());
    for_rows(run, [&](int64_t row) {
        const float *x = in + row * width;
        double sum = 0;
        for (int64_t i = 0; i < width; i++)
            sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        const auto factor = static_cast<float>(
            1 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(run.shape.epsilon)));
        for (int64_t i = 0; i < width; i++)
            out[row * width + i] = x[i] * factor * weight[static_cast<size_t>(i)];
    });
}

void multiply(const Run &run, const Matrix &matrix, const std::vector<float> &bias, const float *in, float *out)
{
    const int64_t rows = run.rows();
    parallel_for((matrix.rows + panel - 1) / panel, run.threads, [&](int64_t piece) {
        const int64_t first = piece * panel, count = std::min(panel, matrix.rows - first);
        Values weights(count_of(count, matrix.columns));
        dequantize(matrix, first, count, weights.data());
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas(rows), blas(count), blas(matrix.columns), 1, in,
                    blas(matrix.columns), weights.data(), blas(matrix.columns), 0, out + first, blas(matrix.rows));
        if (!bias.empty())
            for (int64_t r = 0; r < rows; r++)
                for (int64_t m = first; m < first + count; m++)
                    out[r * matrix.rows + m] += bias[static_cast<size_t>(m)];
    });
}

// stage 0: norm; 1: heads of norm; 2: norm; 3: gate times up of norm
void stage_input(const Run &run, const BlockWeights &weights, size_t stage, const float *residual, Values &input)
{
    const Shape &shape = run.shape;
    const int64_t rows = run.rows();
    const auto project = [&](Linear linear, const Values &from) {
        Values to(count_of(rows, weights.linear[linear].rows));
        multiply(run, weights.linear[linear], weights.bias[linear], from.data(), to.data());
        return to;
    };
    Values normed(count_of(rows, shape.width));
    rms_norm(run, stage < 2 ? weights.attn_norm : weights.ffn_norm, residual, normed.data());
    if (stage == 0 || stage == 2) {
        input = std::move(normed);
    } else if (stage == 1) {
        Values q = project(attn_q, normed), k = project(attn_k, normed);
        const Values v = project(attn_v, normed);
        rotate(run, shape.heads, q.data());
        rotate(run, shape.value_heads, k.data());
        input.resize(count_of(rows, shape.heads * shape.head_size));
        attend(run, q, k, v, input.data());
    } else {
        input = project(ffn_gate, normed);
        const Values up = project(ffn_up, normed);
        for_rows(run, [&](int64_t row) {
            for (int64_t i = row * shape.hidden; i < (row + 1) * shape.hidden; i++) {
                float &x = input[static_cast<size_t>(i)];
                x = x / (1 + std::exp(-x)) * up[static_cast<size_t>(i)];
            }
        });
    }
}

void add_output(const Run &run, const BlockWeights &weights, Linear last, const Values &input, float *residual)
{
    const int64_t width = run.shape.width;
    Values output(count_of(run.rows(), width));
    multiply(run, weights.linear[last], weights.bias[last], input.data(), output.data());
    for_rows(run, [&](int64_t row) {
        for (int64_t i = row * width; i < (row + 1) * width; i++)
            residual[i] += output[static_cast<size_t>(i)];
    });
}

} // namespace bsq_gguf
