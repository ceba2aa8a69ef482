// Pre-tokenizers: the regular expressions of byte-level BPE, by hand.
//
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   qwen2   the same with \p{N} alone
//   smollm  \p{N} are words of their own, then gpt2 on what lies between them
#include <algorithm>
#include <iterator>

#include "text/tokenizer.hpp"
#include "text/unicode_ranges.hpp"

namespace bsq_gguf {

namespace {

enum class Kind : unsigned char { letter, number, space, other };

template <size_t count> bool within(const Range (&ranges)[count], uint32_t point)
{
    const auto after = std::upper_bound(std::begin(ranges), std::end(ranges), point,
                                        [](uint32_t value, const Range &range) { return value < range.first; });
    return after != std::begin(ranges) && point <= std::prev(after)->last;
}

// A character of the text: where it begins, and what it is.
struct Character {
    size_t start;
    uint32_t point;
    Kind kind;
};

// Bytes that are no UTF-8 become U+FFFD, in 'text' too.
std::vector<Character> characters_of(std::string &text)
{
    const std::string replacement = "\ufffd";
    std::vector<Character> out;
    std::string repaired;
    for (size_t at = 0; at < text.size();) {
        const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
        const uint32_t first = byte(at);
        const size_t size = first < 0x80   ? 1
                            : first < 0xc0 ? 0
                            : first < 0xe0 ? 2
                            : first < 0xf0 ? 3
                            : first < 0xf8 ? 4
                                           : 0;
        bool good = size > 0 && size <= text.size() - at;
        for (size_t k = 1; good && k < size; k++)
            good = (byte(at + k) & 0xc0) == 0x80;
        uint32_t point = 0xfffd;
        if (good) {
            point = size == 1 ? first : first & (0x7fu >> size);
            for (size_t k = 1; k < size; k++)
                point = point << 6 | (byte(at + k) & 0x3f);
        }
        const Kind kind = within(letter_ranges, point)   ? Kind::letter
                          : within(number_ranges, point) ? Kind::number
                          : within(space_ranges, point)  ? Kind::space
                                                         : Kind::other;
        out.push_back({repaired.size(), point, kind});
        repaired += good ? text.substr(at, size) : replacement;
        at += good ? size : 1;
    }
    text = std::move(repaired);
    return out;
}

class Cutter {
public:
    Cutter(Cut cut, const std::vector<Character> &characters, size_t end) : cut_(cut), all_(characters), end_(end) {}

    // Where the word ends that begins at 'at'.
    size_t word(size_t at) const
    {
        const bool newer = cut_ == Cut::llama3 || cut_ == Cut::qwen2;
        if (const size_t end = contraction(at, newer); end > at)
            return end;
        return newer ? newer_word(at) : gpt2_word(at);
    }

private:
    bool is(size_t at, Kind kind) const { return at < end_ && all_[at].kind == kind; }
    bool is_break(size_t at) const { return at < end_ && (all_[at].point == '\r' || all_[at].point == '\n'); }
    size_t run(size_t at, Kind kind) const
    {
        while (is(at, kind))
            at++;
        return at;
    }

    size_t contraction(size_t at, bool any_case) const
    {
        if (all_[at].point != '\'')
            return at;
        const auto letter = [&](size_t i) {
            const uint32_t point = i < end_ ? all_[i].point : 0;
            return any_case && point >= 'A' && point <= 'Z' ? point + ('a' - 'A') : point;
        };
        const uint32_t a = letter(at + 1), b = letter(at + 2);
        if (a == 's' || a == 't' || a == 'm' || a == 'd')
            return at + 2;
        return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? at + 3 : at;
    }

    // White space, but for the last character where something follows that begins a word with it.
    size_t space(size_t at) const
    {
        const size_t end = run(at, Kind::space);
        return end < end_ && end > at + 1 ? end - 1 : end;
    }

    size_t gpt2_word(size_t at) const
    {
        const size_t begin = all_[at].point == ' ' && at + 1 < end_ ? at + 1 : at;
        const Kind kind = all_[begin].kind;
        return kind == Kind::space ? space(at) : run(begin, kind);
    }

    size_t newer_word(size_t at) const
    {
        if (is(at, Kind::letter))
            return run(at, Kind::letter);
        if (!is(at, Kind::number) && !is_break(at) && is(at + 1, Kind::letter))
            return run(at + 1, Kind::letter);
        if (is(at, Kind::number)) {
            const size_t most = cut_ == Cut::llama3 ? 3 : 1;
            return std::min(run(at, Kind::number), at + most);
        }
        const size_t begin = all_[at].point == ' ' ? at + 1 : at;
        if (is(begin, Kind::other)) {
            size_t end = run(begin, Kind::other);
            while (is_break(end))
                end++;
            return end;
        }
        const size_t spaces = run(at, Kind::space);
        for (size_t end = spaces; end > at; end--)
            if (is_break(end - 1))
                return end;
        return space(at);
    }

    Cut cut_;
    const std::vector<Character> &all_;
    size_t end_;
};

} // namespace

std::vector<std::string> cut_text(Cut cut, std::string text)
{
    const std::vector<Character> all = characters_of(text);
    std::vector<std::string> words;
    const auto start = [&](size_t i) { return i < all.size() ? all[i].start : text.size(); };
    const auto cut_range = [&](size_t at, size_t end) {
        const Cutter cutter(cut, all, end);
        while (at < end) {
            const size_t next = cutter.word(at);
            words.push_back(text.substr(start(at), start(next) - start(at)));
            at = next;
        }
    };
    if (cut != Cut::smollm) {
        cut_range(0, all.size());
        return words;
    }
    size_t from = 0;
    for (size_t i = 0; i <= all.size(); i++) {
        if (i < all.size() && all[i].kind != Kind::number)
            continue;
        cut_range(from, i);
        if (i < all.size())
            words.push_back(text.substr(start(i), start(i + 1) - start(i)));
        from = i + 1;
    }
    return words;
}

} // namespace bsq_gguf
