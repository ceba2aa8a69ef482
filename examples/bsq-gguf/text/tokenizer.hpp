// Text into tokens, by the tokenizer that a GGUF file carries.
#ifndef BSQ_GGUF_TOKENIZER_HPP
#define BSQ_GGUF_TOKENIZER_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gguf/file.hpp"

namespace bsq_gguf {

class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    // Tokens of a text as llama_tokenize gives them without special ones; bytes that are not UTF-8 are tokens too.
    std::vector<int32_t> encode(const std::string &text) const;
    // The token that every sequence begins with, -1 when there is none.
    int32_t begin() const { return begin_; }

protected:
    Tokenizer(const Gguf &file, bool begins);
    // A piece between tokens that users defined; 'after_token': there is none before it, or one of those.
    virtual void encode_piece(const std::string &text, bool after_token, std::vector<int32_t> &tokens) const = 0;
    int32_t find(const std::string &text) const; // -1 when there is no such token
    int32_t count() const { return static_cast<int32_t>(texts_.size()); }

private:
    std::vector<std::string> texts_;
    std::unordered_map<std::string, int32_t> places_;
    std::vector<int32_t> defined_; // by users: found in the text before anything else, the longest first
    int32_t begin_ = -1;
};

// The tokenizer of the file. Throws Error when it has none, or one that is not known here.
std::unique_ptr<Tokenizer> make_tokenizer(const Gguf &file);

// Parts of a text, which tokens do not cross: as the pre-tokenizer of that name cuts it. Exposed for tests.
enum class Cut { gpt2, llama3, qwen2, smollm };
std::vector<std::string> cut_text(Cut cut, std::string text);

} // namespace bsq_gguf

#endif
