// Tokenizers: cuts of text by hand, merges, what cannot be used.
#include "shared.hpp"
#include "support.hpp"
#include "text/merge.hpp"
#include "text/samples.hpp"
#include "text/tokenizer.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_gguf;

namespace {

std::string joined(Cut cut, const std::string &text)
{
    std::string out;
    for (const std::string &word : cut_text(cut, text))
        out += (out.empty() ? "" : "|") + word;
    return out;
}

void expect_cut(Cut cut, const std::string &text, const std::string &expected)
{
    const std::string words = joined(cut, text);
    ck_assert_str_eq(words.c_str(), expected.c_str());
}

std::vector<int32_t> tokens_of(const std::string &path, const std::string &text)
{
    const test::Open open(path);
    return make_tokenizer(open.gguf)->encode(text);
}

} // namespace

START_TEST(words_of_gpt2)
{
    expect_cut(Cut::gpt2, "Hello world's 12345 !? x", "Hello| world|'s| 12345| !?| x");
    expect_cut(Cut::gpt2, "a  b\n\n c   ", "a| | b|\n\n| c|   ");
    expect_cut(Cut::gpt2, "WE'LL we'll", "WE|'|LL| we|'ll");
    expect_cut(Cut::gpt2, "\u00fcber\u00a0\u0661x", "\u00fcber|\u00a0|\u0661|x");
}
END_TEST

START_TEST(words_of_llama3_and_qwen2)
{
    expect_cut(Cut::llama3, "WE'LL do 12345 (things)!\n\n  next", "WE|'LL| do| |123|45| (|things|)!\n\n| | next");
    expect_cut(Cut::qwen2, "do 123", "do| |1|2|3");
    expect_cut(Cut::llama3, "a \r\n \n b", "a| \r\n \n| b");
    expect_cut(Cut::llama3, "x\t\ty  ", "x|\t|\ty|  ");
}
END_TEST

START_TEST(words_of_smollm)
{
    expect_cut(Cut::smollm, "in 2024 a", "in| |2|0|2|4| a");
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
    expect_cut(Cut::gpt2, "a\xff\xc3", "a|\ufffd\ufffd");
    ck_assert_uint_eq(cut_text(Cut::llama3, "").size(), 0);
}
END_TEST

START_TEST(best_merge_first)
{
    const auto cost = [](std::string_view left, std::string_view right) {
        const std::string pair = std::string(left) + std::string(right);
        return pair == "bc" ? 1.0 : pair == "ab" ? 2.0 : pair == "abc" ? 0.0 : pair == "aa" ? 3.0 : never;
    };
    const auto parts = [&](std::string_view text) {
        std::string out;
        for (const std::string_view part : merge_parts(text, cost))
            out += (out.empty() ? "" : "|") + std::string(part);
        return out;
    };
    ck_assert(parts("abc") == "abc");  // a with bc
    ck_assert(parts("aaa") == "aa|a"); // the first of equals
    ck_assert(parts("abab") == "ab|ab");
    ck_assert(parts("") == "");
}
END_TEST

START_TEST(a_byte_is_a_token)
{
    const std::string path = test::make_model({}, "bytes.gguf");
    const std::string text = test::mixed_text();
    const std::vector<int32_t> tokens = tokens_of(path, text);
    // But for spaces, which SentencePiece writes as U+2581: three bytes that are not merged here.
    size_t at = 0;
    for (const char c : text) {
        ck_assert_int_eq(tokens[at], c == ' ' ? 0xe2 + 3 : static_cast<unsigned char>(c) + 3);
        at += c == ' ' ? 3 : 1;
    }
    ck_assert_uint_eq(at, tokens.size());
}
END_TEST

START_TEST(pieces_and_what_users_defined)
{
    test::ModelSpec spec;
    spec.vocabulary = 400;
    spec.more = [](Metadata &metadata) { test::add_pieces(metadata, "the cat sat on the mat", 400); };
    const std::string path = test::make_model(spec, "pieces.gguf");
    const test::Open open(path);
    const auto tokenizer = make_tokenizer(open.gguf);
    ck_assert_int_eq(tokenizer->begin(), 1);
    const std::vector<std::string> texts = open.gguf.texts("tokenizer.ggml.tokens");
    std::string back;
    for (const int32_t token : tokenizer->encode("the mat<mine399>the"))
        back += "[" + texts[static_cast<size_t>(token)] + "]";
    ck_assert_msg(back.find("][<mine399>][\u2581") != std::string::npos, "%s", back.c_str());
    ck_assert_msg(back.compare(0, 4, "[\u2581") == 0, "%s", back.c_str());
}
END_TEST

START_TEST(tokenizers_that_cannot_be_used)
{
    const auto refuse = [](const char *text, const std::function<void(Metadata &)> &more) {
        test::ModelSpec spec;
        spec.vocabulary = 300;
        spec.more = more;
        const std::string path = test::make_model(spec, "refused.gguf");
        const test::Open open(path);
        test::expect_error(text, [&] { make_tokenizer(open.gguf); });
    };
    refuse("has a tokenizer of kind 'bert', which is not known here; give token ids with --tokens",
           [](Metadata &m) { m.set("tokenizer.ggml.model", std::string("bert")); });
    refuse("has the pre-tokenizer 'falcon'", [](Metadata &m) { test::add_byte_pairs(m, "falcon", "abab", 300); });
    refuse("has no merges", [](Metadata &m) {
        test::add_byte_pairs(m, "gpt-2", "abab", 300);
        test::set_texts(m, "tokenizer.ggml.merges", {});
    });
    refuse("not two parts", [](Metadata &m) {
        test::add_byte_pairs(m, "gpt-2", "abab", 300);
        test::set_texts(m, "tokenizer.ggml.merges", {"ab"});
    });
    refuse("has 0 scores for 300 tokens", [](Metadata &m) {
        m.set("tokenizer.ggml.scores", ValueType::array, std::string("\6\0\0\0\0\0\0\0\0\0\0\0", 12));
    });
    refuse("has 0 tokens", [](Metadata &m) { test::set_texts(m, "tokenizer.ggml.tokens", {}); });
    refuse("begins sequences with token 999", [](Metadata &m) {
        m.set("tokenizer.ggml.add_bos_token", ValueType::boolean, std::string("\1"));
        m.set("tokenizer.ggml.bos_token_id", uint32_t{999});
    });
    refuse("tokenizer.ggml.add_bos_token is neither true nor false",
           [](Metadata &m) { m.set("tokenizer.ggml.add_bos_token", uint32_t{1}); });
}
END_TEST

START_TEST(sequences)
{
    const std::string path = test::make_model({}, "sequences.gguf");
    const test::Open open(path);
    const std::string text = test::file("text"), ids = test::file("ids");
    test::write_bytes(text, "abcdefghij");
    const Samples samples = read_samples(open.gguf, 259, {{text}, ""}, 4, 0);
    ck_assert_int_eq(samples.sequences(), 2);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(samples.tokens[static_cast<size_t>(i)], 'a' + 3 + i);
        ck_assert_int_eq(samples.next[static_cast<size_t>(i)], 'b' + 3 + i);
    }
    ck_assert_int_eq(read_samples(open.gguf, 259, {{text, text}, ""}, 4, 0).sequences(), 5);
    ck_assert_int_eq(read_samples(open.gguf, 259, {{text, text}, ""}, 4, 3).sequences(), 3);
    ck_assert_int_eq(read_samples(open.gguf, 259, {{text}, ""}, 10, 0).next.back(), -1);

    const int32_t numbers[] = {1, 2, 3, 258};
    test::write_bytes(ids, std::string(reinterpret_cast<const char *>(numbers), sizeof numbers));
    ck_assert_int_eq(read_samples(open.gguf, 259, {{}, ids}, 2, 0).tokens[3], 258);
    test::expect_error("token 3 is 258; the model has 200", [&] { read_samples(open.gguf, 200, {{}, ids}, 2, 0); });
    test::expect_error("fewer than the 5 of one sequence", [&] { read_samples(open.gguf, 259, {{}, ids}, 5, 0); });
    test::write_bytes(ids, "abcde");
    test::expect_error("not a multiple of 4", [&] { read_samples(open.gguf, 259, {{}, ids}, 2, 0); });
    test::write_bytes(ids, "");
    test::expect_error("is empty", [&] { read_samples(open.gguf, 259, {{}, ids}, 2, 0); });
    test::expect_error("No such file", [&] { read_samples(open.gguf, 259, {{"/none"}, ""}, 2, 0); });
}
END_TEST

START_TEST(a_token_that_begins)
{
    test::ModelSpec spec;
    spec.more = [](Metadata &m) { m.set("tokenizer.ggml.add_bos_token", ValueType::boolean, std::string("\1")); };
    const std::string path = test::make_model(spec, "begins.gguf");
    const test::Open open(path);
    const std::string text = test::file("text2");
    test::write_bytes(text, "abcdefg");
    const Samples samples = read_samples(open.gguf, 259, {{text}, ""}, 4, 0);
    const std::vector<int32_t> tokens = {1, 'a' + 3, 'b' + 3, 'c' + 3, 1, 'd' + 3, 'e' + 3, 'f' + 3};
    const std::vector<int32_t> next = {'a' + 3, 'b' + 3, 'c' + 3, 'd' + 3, 'd' + 3, 'e' + 3, 'f' + 3, 'g' + 3};
    ck_assert(samples.tokens == tokens);
    ck_assert(samples.next == next);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, words_of_gpt2);
    tcase_add_test(tests, words_of_llama3_and_qwen2);
    tcase_add_test(tests, words_of_smollm);
    tcase_add_test(tests, bytes_that_are_no_text);
    tcase_add_test(tests, best_merge_first);
    tcase_add_test(tests, a_byte_is_a_token);
    tcase_add_test(tests, pieces_and_what_users_defined);
    tcase_add_test(tests, tokenizers_that_cannot_be_used);
    tcase_add_test(tests, sequences);
    tcase_add_test(tests, a_token_that_begins);
    return test_suite_of("bsq-gguf: tokenizers", tests);
}
