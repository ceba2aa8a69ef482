#include "text/merge.hpp"

#include <algorithm>
#include <queue>

namespace bsq_gguf {

namespace {

constexpr size_t none = static_cast<size_t>(-1);

struct Part {
    size_t start, size, before, after;
};

struct Pair {
    double cost;
    size_t left, right, size;
    bool operator<(const Pair &other) const { return cost > other.cost || (cost == other.cost && left > other.left); }
};

} // namespace

size_t character_size(unsigned char first, size_t left)
{
    const size_t size = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return std::min(size, left);
}

std::vector<std::string_view> merge_parts(std::string_view text, const MergeCost &cost)
{
    std::vector<Part> parts;
    for (size_t at = 0; at < text.size();) {
        const size_t size = character_size(static_cast<unsigned char>(text[at]), text.size() - at);
        parts.push_back({at, size, parts.empty() ? none : parts.size() - 1, parts.size() + 1});
        at += size;
    }
    if (!parts.empty())
        parts.back().after = none;

    const auto text_of = [&](const Part &part) { return text.substr(part.start, part.size); };
    std::priority_queue<Pair> pairs;
    const auto add = [&](size_t left, size_t right) {
        if (left == none || right == none)
            return;
        const double price = cost(text_of(parts[left]), text_of(parts[right]));
        if (price < never)
            pairs.push({price, left, right, parts[left].size + parts[right].size});
    };
    for (size_t i = 1; i < parts.size(); i++)
        add(i - 1, i);
    while (!pairs.empty()) {
        const Pair pair = pairs.top();
        pairs.pop();
        Part &left = parts[pair.left], &right = parts[pair.right];
        if (left.size == 0 || right.size == 0 || left.size + right.size != pair.size)
            continue; // one of them was merged since
        left.size += right.size;
        right.size = 0;
        left.after = right.after;
        if (right.after != none)
            parts[right.after].before = pair.left;
        add(left.before, pair.left);
        add(pair.left, left.after);
    }

    std::vector<std::string_view> out;
    for (const Part &part : parts)
        if (part.size > 0)
            out.push_back(text_of(part));
    return out;
}

} // namespace bsq_gguf
