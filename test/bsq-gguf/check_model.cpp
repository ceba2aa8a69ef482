// The forward pass beside a plain one in double, and models that cannot be run.
#include <algorithm>
#include <cmath>

#include <cblas.h>

#include "judge/evaluate.hpp"
#include "model/forward.hpp"
#include "shared.hpp"
#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_gguf;

namespace {

using Vector = std::vector<double>;

Vector product(const Matrix &matrix, const std::vector<float> &bias, const Vector &x)
{
    std::vector<float> weights(static_cast<size_t>(matrix.rows * matrix.columns));
    dequantize(matrix, 0, matrix.rows, weights.data());
    Vector y(static_cast<size_t>(matrix.rows));
    for (size_t m = 0; m < y.size(); m++) {
        for (size_t i = 0; i < x.size(); i++)
            y[m] += static_cast<double>(weights[m * x.size() + i]) * x[i];
        y[m] += bias.empty() ? 0 : static_cast<double>(bias[m]);
    }
    return y;
}

Vector normed(const std::vector<float> &weight, const Vector &x, double epsilon)
{
    double sum = 0;
    for (const double value : x)
        sum += value * value;
    Vector y(x);
    for (size_t i = 0; i < x.size(); i++)
        y[i] *= static_cast<double>(weight[i]) / std::sqrt(sum / static_cast<double>(x.size()) + epsilon);
    return y;
}

void turn(Vector &x, const Shape &shape, size_t heads, size_t position)
{
    const auto size = static_cast<size_t>(shape.head_size), pairs = static_cast<size_t>(shape.rotary_size) / 2;
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < pairs; i++) {
            const double angle = static_cast<double>(position) * shape.frequencies[i];
            const bool halves = shape.order == RotaryOrder::halves;
            double &a = x[h * size + (halves ? i : 2 * i)], &b = x[h * size + (halves ? i + pairs : 2 * i + 1)];
            const double turned = a * std::cos(angle) - b * std::sin(angle);
            b = a * std::sin(angle) + b * std::cos(angle);
            a = turned;
        }
}

// Hidden states of one sequence, position by position.
std::vector<Vector> plain(const Model &model, const std::vector<int32_t> &tokens)
{
    const Shape &shape = model.shape();
    const auto size = static_cast<size_t>(shape.head_size), heads = static_cast<size_t>(shape.heads);
    const auto shared = static_cast<size_t>(shape.value_heads);
    const double epsilon = static_cast<double>(shape.epsilon);
    std::vector<Vector> residual;
    for (const int32_t token : tokens) {
        std::vector<float> row(static_cast<size_t>(shape.width));
        dequantize(model.embedding(), token, 1, row.data());
        residual.emplace_back(row.begin(), row.end());
    }
    for (int64_t b = 0; b < shape.blocks; b++) {
        const BlockWeights w = model.block(b);
        std::vector<Vector> keys, values;
        for (size_t t = 0; t < tokens.size(); t++) {
            const Vector x = normed(w.attn_norm, residual[t], epsilon);
            Vector q = product(w.linear[attn_q], w.bias[attn_q], x), k = product(w.linear[attn_k], w.bias[attn_k], x);
            turn(q, shape, heads, t);
            turn(k, shape, shared, t);
            keys.push_back(k);
            values.push_back(product(w.linear[attn_v], w.bias[attn_v], x));
            Vector out(heads * size);
            for (size_t h = 0; h < heads; h++) {
                const size_t from = h / (heads / shared) * size;
                Vector scores(t + 1);
                double sum = 0;
                for (size_t p = 0; p <= t; p++) {
                    for (size_t i = 0; i < size; i++)
                        scores[p] += q[h * size + i] * keys[p][from + i];
                    scores[p] = std::exp(scores[p] / std::sqrt(static_cast<double>(size)));
                    sum += scores[p];
                }
                for (size_t p = 0; p <= t; p++)
                    for (size_t i = 0; i < size; i++)
                        out[h * size + i] += scores[p] / sum * values[p][from + i];
            }
            const Vector y = product(w.linear[attn_output], w.bias[attn_output], out);
            for (size_t i = 0; i < y.size(); i++)
                residual[t][i] += y[i];
        }
        for (Vector &r : residual) {
            const Vector x = normed(w.ffn_norm, r, epsilon);
            Vector gate = product(w.linear[ffn_gate], w.bias[ffn_gate], x);
            const Vector up = product(w.linear[ffn_up], w.bias[ffn_up], x);
            for (size_t i = 0; i < gate.size(); i++)
                gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
            const Vector y = product(w.linear[ffn_down], w.bias[ffn_down], gate);
            for (size_t i = 0; i < y.size(); i++)
                r[i] += y[i];
        }
    }
    return residual;
}

std::vector<int32_t> some_tokens(size_t count)
{
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < count; i++)
        tokens.push_back(static_cast<int32_t>((i * i * 7 + i * 13 + 5) % 250));
    return tokens;
}

Values forward(const Model &model, const Run &run, const std::vector<int32_t> &tokens)
{
    Values residual(tokens.size() * static_cast<size_t>(model.shape().width)), input;
    embed(run, model.embedding(), tokens.data(), residual.data());
    for (int64_t b = 0; b < model.shape().blocks; b++) {
        const BlockWeights weights = model.block(b);
        for (const size_t stage : {size_t{1}, size_t{3}}) {
            stage_input(run, weights, stage, residual.data(), input);
            add_output(run, weights, stages[stage].first, input, residual.data());
        }
    }
    return residual;
}

void expect_plain(const test::ModelSpec &spec, const std::string &name)
{
    const std::string path = test::make_model(spec, name);
    const test::Open open(path);
    const size_t context = 150; // more than one block of queries
    std::vector<int32_t> tokens = some_tokens(2 * context);
    const Run run{open.model.shape(), 2, static_cast<int64_t>(context), 2};
    const Values ours = forward(open.model, run, tokens);
    for (size_t s = 0; s < 2; s++) {
        const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(s * context);
        const std::vector<Vector> theirs = plain(open.model, {begin, begin + static_cast<std::ptrdiff_t>(context)});
        double difference = 0, all = 0;
        for (size_t t = 0; t < context; t++)
            for (size_t i = 0; i < theirs[t].size(); i++) {
                const double d = theirs[t][i] - static_cast<double>(ours[(s * context + t) * theirs[t].size() + i]);
                difference += d * d;
                all += theirs[t][i] * theirs[t][i];
            }
        ck_assert_msg(difference < 1e-10 * all, "%s: %g", name.c_str(), difference / all);
    }
    // The same bits with another number of threads.
    const Values others = forward(open.model, {run.shape, 2, run.context, 1}, tokens);
    ck_assert(others == ours);
}

} // namespace

START_TEST(llama)
{
    expect_plain({}, "llama.gguf");
    test::ModelSpec spec;
    spec.value_heads = 4;
    spec.biases = true;
    expect_plain(spec, "llama-biases.gguf");
    spec.head_size = 10;
    spec.value_heads = 1;
    spec.rotary_factors = true;
    expect_plain(spec, "llama-heads.gguf");
    spec.more = [](Metadata &m) { m.set("llama.rope.dimension_count", uint32_t{6}); };
    spec.rotary_factors = false;
    expect_plain(spec, "llama-part.gguf");
}
END_TEST

START_TEST(qwen2)
{
    test::ModelSpec spec;
    spec.architecture = "qwen2";
    spec.biases = true;
    spec.type = "BF16";
    expect_plain(spec, "qwen2.gguf");
}
END_TEST

START_TEST(a_model_beside_itself)
{
    const std::string path = test::make_model({}, "itself.gguf");
    const test::Open open(path);
    Samples samples;
    samples.context = 50;
    samples.tokens = some_tokens(150);
    samples.next = some_tokens(150);
    samples.next.back() = -1;
    Progress progress(Progress::Style::none);
    const Judgement judgement = evaluate(open.model, &open.model, samples, 2, progress);
    ck_assert_int_eq(judgement.positions, 150);
    ck_assert(judgement.loss.value == judgement.quantized_loss.value);
    ck_assert(judgement.divergence.value == 0 && judgement.divergence.error == 0);
    ck_assert(judgement.same_top.value == 1);
    ck_assert(judgement.loss.error > 0);
    const Judgement again = evaluate(open.model, nullptr, samples, 1, progress);
    ck_assert(again.loss.value == judgement.loss.value);

    test::ModelSpec other;
    other.seed = 2;
    const std::string other_path = test::make_model(other, "other.gguf");
    const test::Open second(other_path);
    const Judgement far = evaluate(open.model, &second.model, samples, 2, progress);
    ck_assert(far.divergence.value > 0.1 && far.same_top.value < 1);
}
END_TEST

START_TEST(models_that_cannot_be_run)
{
    const auto refuse = [](const char *text, const test::ModelSpec &spec) {
        const std::string path = test::make_model(spec, "refused-model.gguf");
        const MappedFile mapped(path);
        const Gguf file(mapped.data(), mapped.size(), path);
        test::expect_error(text, [&] { const Model model(file); });
    };
    const auto with = [&](const char *text, const std::function<void(Metadata &)> &more) {
        test::ModelSpec spec;
        spec.more = more;
        refuse(text, spec);
    };
    test::ModelSpec spec;
    spec.architecture = "falcon";
    refuse("has the architecture falcon; llama and qwen2 can be quantized", spec);
    with("llama.embedding_length is -5, which cannot be",
         [](Metadata &m) { m.set("llama.embedding_length", ValueType::int32, std::string("\xfb\xff\xff\xff")); });
    with("llama.attention.head_count is 0", [](Metadata &m) { m.set("llama.attention.head_count", uint32_t{0}); });
    with("has 3 heads, which do not divide", [](Metadata &m) {
        m.set("llama.attention.head_count", uint32_t{3});
        m.set("llama.attention.head_count_kv", uint32_t{3});
    });
    with("has 4 heads for 3", [](Metadata &m) { m.set("llama.attention.head_count_kv", uint32_t{3}); });
    with("is a mixture of experts", [](Metadata &m) { m.set("llama.expert_count", uint32_t{8}); });
    with("sliding window", [](Metadata &m) { m.set("llama.attention.sliding_window", uint32_t{8}); });
    with("rope.dimension_count is 5", [](Metadata &m) { m.set("llama.rope.dimension_count", uint32_t{5}); });
    with("rope.dimension_count is 18", [](Metadata &m) { m.set("llama.rope.dimension_count", uint32_t{18}); });
    with("'yarn', which is not known", [](Metadata &m) { m.set("llama.rope.scaling.type", std::string("yarn")); });
    with("layer_norm_rms_epsilon", [](Metadata &m) { m.set("llama.attention.layer_norm_rms_epsilon", 0.0f); });
    with("freq_base", [](Metadata &m) { m.set("llama.rope.freq_base", -1.0f); });
    with("tensor blk.0.ffn_gate.weight is 64 x 96 where the model has 64 x 95",
         [](Metadata &m) { m.set("llama.feed_forward_length", uint32_t{95}); });
    with("has no tensor blk.2.attn_norm.weight", [](Metadata &m) { m.set("llama.block_count", uint32_t{3}); });
    with("tensor blk.1.attn_norm.weight is none of the architecture",
         [](Metadata &m) { m.set("llama.block_count", uint32_t{1}); });
    with("llama.block_count is 4294967295", [](Metadata &m) { m.set("llama.block_count", uint32_t{0xffffffff}); });
    with("values of another size", [](Metadata &m) { m.set("llama.attention.value_length", uint32_t{8}); });
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("all");
    openblas_set_num_threads(1);
    tcase_add_test(tests, llama);
    tcase_add_test(tests, qwen2);
    tcase_add_test(tests, a_model_beside_itself);
    tcase_add_test(tests, models_that_cannot_be_run);
    return test_suite_of("bsq-gguf: models", tests);
}
