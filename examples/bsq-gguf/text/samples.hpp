// Texts and files of tokens as sequences of one length.
#ifndef BSQ_GGUF_SAMPLES_HPP
#define BSQ_GGUF_SAMPLES_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/file.hpp"

namespace bsq_gguf {

struct Samples {
    int64_t context = 0;
    std::vector<int32_t> tokens; // (sequences, context)
    std::vector<int32_t> next;   // what follows each of them in the text; -1 where that is not known
    int64_t sequences() const { return context > 0 ? static_cast<int64_t>(tokens.size()) / context : 0; }
};

// What is to be read: texts through the tokenizer of the model, in the order given, or little-endian int32 token ids.
struct Source {
    std::vector<std::string> texts;
    std::string tokens; // a file; then there are no texts
};

// Cuts into sequences of 'context', at most 'most' of them (0: all); a rest is left out. Where the model has a token that
// begins sequences each begins with it. Throws Error when there is not one whole sequence, or a token beyond the
// vocabulary.
Samples read_samples(const Gguf &model, int64_t vocabulary, const Source &source, int64_t context, int64_t most);

} // namespace bsq_gguf

#endif
