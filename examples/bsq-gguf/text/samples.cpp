#include "text/samples.hpp"

#include <algorithm>
#include <cstring>

#include "shared.hpp"
#include "text/tokenizer.hpp"

namespace bsq_gguf {

namespace {

std::string name_of(const Source &source)
{
    return source.tokens.empty() ? source.texts.front() + (source.texts.size() > 1 ? " and the others" : "")
                                 : source.tokens;
}

std::vector<int32_t> read_tokens(const std::string &path)
{
    const MappedFile file(path);
    if (file.size() % sizeof(int32_t) != 0)
        throw Error(path + ": is not a file of int32 token ids: its size is not a multiple of 4");
    std::vector<int32_t> tokens(file.size() / sizeof(int32_t));
    std::memcpy(tokens.data(), file.data(), file.size());
    return tokens;
}

std::vector<int32_t> read_texts(const Gguf &model, const std::vector<std::string> &paths, int32_t &begin)
{
    const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(model);
    begin = tokenizer->begin();
    std::vector<int32_t> tokens;
    for (const std::string &path : paths) {
        const MappedFile file(path);
        const std::vector<int32_t> more =
            tokenizer->encode(std::string(reinterpret_cast<const char *>(file.data()), file.size()));
        tokens.insert(tokens.end(), more.begin(), more.end());
    }
    return tokens;
}

} // namespace

Samples read_samples(const Gguf &model, int64_t vocabulary, const Source &source, int64_t context, int64_t most)
{
    int32_t begin = -1;
    const std::vector<int32_t> all =
        source.tokens.empty() ? read_texts(model, source.texts, begin) : read_tokens(source.tokens);
    for (size_t i = 0; i < all.size(); i++)
        if (all[i] < 0 || all[i] >= vocabulary)
            throw Error(name_of(source) + ": token " + std::to_string(i) + " is " + std::to_string(all[i]) +
                        "; the model has " + std::to_string(vocabulary));

    Samples samples;
    samples.context = context;
    const auto fresh = static_cast<size_t>(begin >= 0 ? context - 1 : context); // tokens of the text in a sequence
    size_t at = 0;
    while (fresh > 0 && all.size() - at >= fresh && (most == 0 || samples.sequences() < most)) {
        if (begin >= 0)
            samples.tokens.push_back(begin);
        for (size_t i = begin >= 0 ? 0 : 1; i <= fresh; i++)
            samples.next.push_back(at + i < all.size() ? all[at + i] : -1);
        samples.tokens.insert(samples.tokens.end(), all.begin() + static_cast<std::ptrdiff_t>(at),
                              all.begin() + static_cast<std::ptrdiff_t>(at + fresh));
        at += fresh;
    }
    if (samples.tokens.empty())
        throw Error(name_of(source) + ": has " + std::to_string(all.size()) + " tokens, fewer than the " +
                    std::to_string(fresh) + " of one sequence (--context)");
    return samples;
}

} // namespace bsq_gguf
