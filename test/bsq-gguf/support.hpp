// What the tests of bsq-gguf share: small models with seeds, and files with mistakes.
#ifndef BSQ_TEST_GGUF_SUPPORT_HPP
#define BSQ_TEST_GGUF_SUPPORT_HPP

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gguf/writer.hpp"
#include "model/model.hpp"

namespace test {

// A model that is made up: extents, what it has, and a seed for its weights.
struct ModelSpec {
    std::string architecture = "llama";
    int64_t width = 64, heads = 4, value_heads = 2, hidden = 96, blocks = 2, vocabulary = 259, context = 64;
    int64_t head_size = 0; // 0: width / heads
    bool tied = false, biases = false, rotary_factors = false;
    std::string type = "F32"; // of the matrices
    uint32_t seed = 1;
    std::function<void(bsq_gguf::Metadata &)> more; // metadata on top; or NULL
};

// Writes it: a byte is a token, three more as in files of SentencePiece. Returns the path, in the folder of the tests.
std::string make_model(const ModelSpec &spec, const std::string &name);
// The same into any file.
void write_model(const ModelSpec &spec, const std::string &path);

// A tokenizer of byte pairs, with merges learned from 'text', in place of the bytes.
void add_byte_pairs(bsq_gguf::Metadata &metadata, const std::string &pre, const std::string &text, int64_t vocabulary);
// One of SentencePiece with pieces learned from 'text'.
void add_pieces(bsq_gguf::Metadata &metadata, const std::string &text, int64_t vocabulary);

void set_texts(bsq_gguf::Metadata &metadata, const std::string &key, const std::vector<std::string> &texts);

std::string file(const std::string &name); // in the folder of the tests
void write_bytes(const std::string &path, const std::string &bytes);
std::string read_bytes(const std::string &path);

// A page of text of many kinds: scripts, numbers, white space, code, bytes that are no UTF-8.
std::string mixed_text();

// A model that is open.
struct Open {
    bsq_gguf::MappedFile mapped;
    bsq_gguf::Gguf gguf;
    bsq_gguf::Model model;
    explicit Open(const std::string &path) : mapped(path), gguf(mapped.data(), mapped.size(), path), model(gguf) {}
};

// Fails the test unless work throws bsq_gguf::Error with that text in one line.
void expect_error(const std::string &text, const std::function<void()> &work);

} // namespace test

#endif
