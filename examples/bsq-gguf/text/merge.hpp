// Neighbours that are merged, best first, until no pair is known: what both tokenizers do.
#ifndef BSQ_GGUF_MERGE_HPP
#define BSQ_GGUF_MERGE_HPP

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace bsq_gguf {

// How good it is to merge two parts: lower is better, and first in the text among equals. Parts that may not be merged
// give 'never'.
using MergeCost = std::function<double(std::string_view left, std::string_view right)>;
inline constexpr double never = 1e300;

// Cuts 'text' into UTF-8 characters (by their first bytes alone), merges, and returns the parts that are left.
std::vector<std::string_view> merge_parts(std::string_view text, const MergeCost &cost);

// Bytes of a character by its first byte, at most 'left'.
size_t character_size(unsigned char first, size_t left);

} // namespace bsq_gguf

#endif
