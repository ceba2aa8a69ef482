// Held against unmodified llama.cpp, where it is there: tokens, losses of models of every kind, blocks of every type.
#include <cmath>
#include <cstdlib>

#include <cblas.h>

#include "engine.hpp"
#include "judge/evaluate.hpp"
#include "predictions.hpp"
#include "shared.hpp"
#include "support.hpp"
#include "text/tokenizer.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_gguf;

namespace {

// LLAMA_LIBRARIES says where its libraries are.
std::unique_ptr<test::Llama> llama;

void expect_tokens(const test::ModelSpec &spec, const std::string &name, const std::string &text)
{
    const std::string path = test::make_model(spec, name);
    const test::Open open(path);
    const std::vector<int32_t> ours = make_tokenizer(open.gguf)->encode(text);
    const std::vector<int32_t> theirs = llama->load(path, 0, 1)->tokenize(text, false);
    for (size_t i = 0; i < std::min(ours.size(), theirs.size()); i++)
        ck_assert_msg(ours[i] == theirs[i], "%s: token %zu of %zu is %d, in llama.cpp %d", name.c_str(), i, ours.size(),
                      ours[i], theirs[i]);
    ck_assert_uint_eq(ours.size(), theirs.size());
    ck_assert_uint_gt(ours.size(), 0);
}

Samples random_samples(int64_t vocabulary, int64_t sequences, int64_t context)
{
    Samples samples;
    samples.context = context;
    uint32_t state = 7;
    for (int64_t i = 0; i < sequences * context; i++) {
        state = state * 1664525 + 1013904223;
        samples.tokens.push_back(static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(vocabulary)));
    }
    samples.next.assign(samples.tokens.begin() + 1, samples.tokens.end());
    samples.next.push_back(-1);
    return samples;
}

// Loss and every prediction are llama.cpp's.
void expect_predictions(const test::ModelSpec &spec, const std::string &name)
{
    const std::string path = test::make_model(spec, name);
    const test::Open open(path);
    const Samples samples = random_samples(spec.vocabulary, 3, 60);
    Progress progress(Progress::Style::none);
    const double ours = evaluate(open.model, nullptr, samples, 1, progress).loss.value;
    const double theirs = test::mean_loss(test::predict(*llama, path, samples, 1), samples);
    ck_assert_msg(std::fabs(ours - theirs) < 2e-4 * ours, "%s: loss %.6f, in llama.cpp %.6f", name.c_str(), ours,
                  theirs);
}

} // namespace

START_TEST(tokens_of_sentence_piece)
{
    expect_tokens({}, "bytes.gguf", test::mixed_text());
    test::ModelSpec spec;
    spec.vocabulary = 600;
    spec.more = [](Metadata &metadata) { test::add_pieces(metadata, test::mixed_text(), 600); };
    for (const char *text : {"", "x", " x", "<mine599>", "a<mine599> b"})
        if (*text != '\0')
            expect_tokens(spec, "pieces.gguf", text);
    expect_tokens(spec, "pieces.gguf", test::mixed_text());
}
END_TEST

START_TEST(tokens_of_byte_pairs)
{
    for (const char *pre : {"gpt-2", "llama-bpe", "qwen2", "smollm"}) {
        test::ModelSpec spec;
        spec.vocabulary = 700;
        spec.more = [pre](Metadata &metadata) { test::add_byte_pairs(metadata, pre, test::mixed_text(), 700); };
        expect_tokens(spec, std::string("pairs-") + pre + ".gguf", test::mixed_text());
        expect_tokens(spec, std::string("pairs-") + pre + ".gguf", "  a <|mine|> b'S 's\n\n 1234 \n  ");
    }
}
END_TEST

START_TEST(predictions)
{
    test::ModelSpec spec;
    expect_predictions(spec, "plain.gguf");
    spec.value_heads = 4;
    spec.tied = true;
    expect_predictions(spec, "tied.gguf");
    spec.rotary_factors = true;
    spec.head_size = 24;
    spec.value_heads = 1;
    expect_predictions(spec, "factors.gguf");
    spec.biases = true;
    spec.type = "F16";
    expect_predictions(spec, "float16.gguf");
    spec.type = "BF16";
    expect_predictions(spec, "bfloat16.gguf");
}
END_TEST

START_TEST(predictions_of_qwen2)
{
    test::ModelSpec spec;
    spec.architecture = "qwen2";
    spec.biases = true;
    expect_predictions(spec, "qwen2.gguf");
}
END_TEST

START_TEST(scaled_positions)
{
    test::ModelSpec spec;
    spec.more = [](Metadata &metadata) {
        metadata.set("llama.rope.scaling.type", std::string("linear"));
        metadata.set("llama.rope.scaling.factor", 4.0f);
    };
    expect_predictions(spec, "scaled.gguf");
}
END_TEST

// The forward pass multiplies with what the engine does: blocks that llama.cpp has filled.
START_TEST(blocks_of_every_type)
{
    std::vector<float> weights(8 * 512);
    uint32_t state = 3;
    for (float &weight : weights) {
        state = state * 1664525 + 1013904223;
        weight = static_cast<float>(state >> 8) / 8388608.0f - 1;
    }
    for (const Type &type : all_types()) {
        if (type.is_float())
            continue;
        std::vector<unsigned char> blocks = llama->quantize(type.number, weights, 512, nullptr);
        const std::vector<float> theirs = llama->dequantize(type.number, blocks, weights.size());
        const Matrix matrix(type, 8, 512, std::move(blocks));
        std::vector<float> ours(weights.size());
        dequantize(matrix, 0, 3, ours.data());
        dequantize(matrix, 3, 5, ours.data() + 3 * 512);
        for (size_t i = 0; i < ours.size(); i++)
            ck_assert_msg(ours[i] == theirs[i], "%s: weight %zu is %.9g, in llama.cpp %.9g", type.name, i,
                          static_cast<double>(ours[i]), static_cast<double>(theirs[i]));
    }
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("all");
    openblas_set_num_threads(1);
    llama = std::make_unique<test::Llama>(std::getenv("LLAMA_LIBRARIES"));
    tcase_add_test(tests, tokens_of_sentence_piece);
    tcase_add_test(tests, tokens_of_byte_pairs);
    tcase_add_test(tests, predictions);
    tcase_add_test(tests, predictions_of_qwen2);
    tcase_add_test(tests, scaled_positions);
    tcase_add_test(tests, blocks_of_every_type);
    return test_suite_of("bsq-gguf: beside llama.cpp", tests);
}
