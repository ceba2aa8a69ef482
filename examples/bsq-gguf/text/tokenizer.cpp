#include "text/tokenizer.hpp"

#include <algorithm>
#include <cstdio>

#include "shared.hpp"
#include "text/merge.hpp"

namespace bsq_gguf {

namespace {

// Types of tokens by their numbers in the file.
enum { unknown_token = 2, user_defined_token = 4 };

constexpr size_t most_tokens = 1u << 24;

// ---- byte-fallback SentencePiece: merges by scores, what is left over byte by byte ------------------------------

class SentencePiece : public Tokenizer {
public:
    explicit SentencePiece(const Gguf &file)
        : Tokenizer(file, true), prefix_(file.boolean("tokenizer.ggml.add_space_prefix", true)),
          scores_(file.numbers("tokenizer.ggml.scores"))
    {
        if (scores_.size() != static_cast<size_t>(count()))
            throw Error(file.name() + ": has " + std::to_string(scores_.size()) + " scores for " +
                        std::to_string(count()) + " tokens");
        const int64_t unknown = file.integer("tokenizer.ggml.unknown_token_id", 0);
        for (unsigned byte = 0; byte < 256; byte++) {
            char name[8];
            std::snprintf(name, sizeof name, "<0x%02X>", byte);
            int32_t token = find(name);
            if (token < 0)
                token = find(std::string(1, static_cast<char>(byte)));
            bytes_.push_back(token >= 0 ? token : static_cast<int32_t>(std::clamp<int64_t>(unknown, 0, count() - 1)));
        }
    }

protected:
    void encode_piece(const std::string &piece, bool after_token, std::vector<int32_t> &tokens) const override
    {
        std::string text;
        for (const char c : (prefix_ && after_token ? " " : "") + piece)
            if (c == ' ')
                text += "\u2581";
            else
                text += c;
        const MergeCost cost = [this](std::string_view left, std::string_view right) {
            const int32_t token = find(std::string(left) + std::string(right));
            return token < 0 ? never : -scores_[static_cast<size_t>(token)];
        };
        for (const std::string_view part : merge_parts(text, cost)) {
            const int32_t token = find(std::string(part));
            if (token >= 0)
                tokens.push_back(token);
            else
                for (const char c : part)
                    tokens.push_back(bytes_[static_cast<unsigned char>(c)]);
        }
    }

private:
    bool prefix_;
    std::vector<double> scores_;
    std::vector<int32_t> bytes_;
};

// ---- byte-level BPE: merges by rank inside of words, each byte a character --------------------------------------

std::string utf8(uint32_t point)
{
    std::string out;
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else {
        out += static_cast<char>(0xc0 | point >> 6);
        out += static_cast<char>(0x80 | (point & 0x3f));
    }
    return out;
}

// Bytes that print stand for themselves, the others follow from U+0100 on.
std::vector<std::string> byte_characters()
{
    std::vector<std::string> characters;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        characters.push_back(utf8(prints ? byte : next++));
    }
    return characters;
}

struct PreTokenizer {
    const char *name;
    Cut cut;
    bool whole_words; // that are tokens need no merges
    bool begins;
};

const PreTokenizer pre_tokenizers[] = {
    {"gpt-2", Cut::gpt2, false, false},
    {"phi-2", Cut::gpt2, false, false},
    {"llama3", Cut::llama3, true, true},
    {"llama-v3", Cut::llama3, true, true},
    {"llama-bpe", Cut::llama3, true, true},
    {"qwen2", Cut::qwen2, false, false},
    {"deepseek-r1-qwen", Cut::qwen2, false, false},
    {"smollm", Cut::smollm, false, false},
};

const PreTokenizer &pre_tokenizer(const Gguf &file)
{
    const std::string name = file.text("tokenizer.ggml.pre", "");
    for (const PreTokenizer &known : pre_tokenizers)
        if (name == known.name)
            return known;
    throw Error(file.name() + ": has the pre-tokenizer '" + name.substr(0, 40) +
                "', which is not known here; give token ids with --tokens");
}

class BytePairs : public Tokenizer {
public:
    explicit BytePairs(const Gguf &file)
        : Tokenizer(file, pre_tokenizer(file).begins), kind_(pre_tokenizer(file)), characters_(byte_characters())
    {
        const std::vector<std::string> merges = file.texts("tokenizer.ggml.merges");
        if (merges.empty())
            throw Error(file.name() + ": has no merges for its tokenizer");
        for (const std::string &merge : merges) {
            const size_t space = merge.find(' ', 1);
            if (space == std::string::npos || space + 1 == merge.size())
                throw Error(file.name() + ": has a merge that is not two parts with a space between them");
            ranks_.emplace(merge, static_cast<double>(ranks_.size()));
        }
    }

protected:
    void encode_piece(const std::string &piece, bool, std::vector<int32_t> &tokens) const override
    {
        const MergeCost cost = [this](std::string_view left, std::string_view right) {
            const auto rank = ranks_.find(std::string(left) + " " + std::string(right));
            return rank == ranks_.end() ? never : rank->second;
        };
        for (const std::string &raw : cut_text(kind_.cut, piece)) {
            std::string word;
            for (const char c : raw)
                word += characters_[static_cast<unsigned char>(c)];
            const int32_t whole = kind_.whole_words ? find(word) : -1;
            if (whole >= 0) {
                tokens.push_back(whole);
                continue;
            }
            for (const std::string_view part : merge_parts(word, cost)) {
                const int32_t token = find(std::string(part));
                if (token >= 0) {
                    tokens.push_back(token);
                    continue;
                }
                for (const char c : part) // a byte that is no token is left out
                    if (find(std::string(1, c)) >= 0)
                        tokens.push_back(find(std::string(1, c)));
            }
        }
    }

private:
    PreTokenizer kind_;
    std::vector<std::string> characters_;
    std::unordered_map<std::string, double> ranks_; // of "left right"
};

} // namespace

Tokenizer::Tokenizer(const Gguf &file, bool begins) : texts_(file.texts("tokenizer.ggml.tokens"))
{
    if (texts_.empty() || texts_.size() > most_tokens)
        throw Error(file.name() + ": has " + std::to_string(texts_.size()) + " tokens");
    const std::vector<int64_t> types = file.integers("tokenizer.ggml.token_type");
    for (size_t i = 0; i < texts_.size(); i++) {
        places_[texts_[i]] = static_cast<int32_t>(i);
        if (i < types.size() && types[i] == user_defined_token && !texts_[i].empty())
            defined_.push_back(static_cast<int32_t>(i));
    }
    std::stable_sort(defined_.begin(), defined_.end(), [&](int32_t a, int32_t b) {
        return texts_[static_cast<size_t>(a)].size() > texts_[static_cast<size_t>(b)].size();
    });
    if (file.boolean("tokenizer.ggml.add_bos_token", begins)) {
        const int64_t begin = file.integer("tokenizer.ggml.bos_token_id", begins ? 1 : -1);
        if (begin < 0 || begin >= count())
            throw Error(file.name() + ": begins sequences with token " + std::to_string(begin) +
                        ", which there is not");
        begin_ = static_cast<int32_t>(begin);
    }
}

int32_t Tokenizer::find(const std::string &text) const
{
    const auto place = places_.find(text);
    return place == places_.end() ? -1 : place->second;
}

std::vector<int32_t> Tokenizer::encode(const std::string &text) const
{
    struct Piece {
        std::string text;
        int32_t token; // -1: text
    };
    std::vector<Piece> pieces = {{text, -1}};
    for (const int32_t token : defined_) {
        const std::string &word = texts_[static_cast<size_t>(token)];
        std::vector<Piece> next;
        for (Piece &piece : pieces) {
            if (piece.token >= 0) {
                next.push_back(std::move(piece));
                continue;
            }
            size_t at = 0;
            for (size_t found = piece.text.find(word); found != std::string::npos; found = piece.text.find(word, at)) {
                if (found > at)
                    next.push_back({piece.text.substr(at, found - at), -1});
                next.push_back({"", token});
                at = found + word.size();
            }
            if (at < piece.text.size())
                next.push_back({piece.text.substr(at), -1});
        }
        pieces = std::move(next);
    }
    std::vector<int32_t> tokens;
    bool after_token = true;
    for (const Piece &piece : pieces) {
        if (piece.token >= 0)
            tokens.push_back(piece.token);
        else if (!piece.text.empty())
            encode_piece(piece.text, after_token, tokens);
        after_token = piece.token >= 0;
    }
    return tokens;
}

std::unique_ptr<Tokenizer> make_tokenizer(const Gguf &file)
{
    const std::string kind = file.text("tokenizer.ggml.model", "");
    if (kind == "llama")
        return std::make_unique<SentencePiece>(file);
    if (kind == "gpt2")
        return std::make_unique<BytePairs>(file);
    throw Error(file.name() + ": " +
                (kind.empty() ? "has no tokenizer" : "has a tokenizer of kind '" + kind.substr(0, 40) + "'") +
                (kind.empty() ? "" : ", which is not known here") + "; give token ids with --tokens");
}

} // namespace bsq_gguf
