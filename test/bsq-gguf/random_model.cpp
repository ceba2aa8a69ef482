// Writes a model with random weights.
//
//     random_model FILE [name=value...]
//
// Names: architecture, width, heads, value_heads, hidden, blocks, vocabulary, context, type, seed, tied, biases; "7b" sets
// the extents of LLaMA-7B, one block, float16.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>

#include "support.hpp"

int main(int count, char **words)
{
    if (count < 2) {
        std::fputs("random_model FILE [7b] [name=value...]\n", stderr);
        return 2;
    }
    test::ModelSpec spec;
    const std::map<std::string, int64_t *> extents = {
        {"width", &spec.width},    {"heads", &spec.heads},   {"value_heads", &spec.value_heads},
        {"hidden", &spec.hidden},  {"blocks", &spec.blocks}, {"vocabulary", &spec.vocabulary},
        {"context", &spec.context}};
    for (int i = 2; i < count; i++) {
        const std::string word = words[i];
        const size_t equal = word.find('=');
        const std::string name = word.substr(0, equal),
                          value = equal == std::string::npos ? "" : word.substr(equal + 1);
        if (word == "7b") {
            spec.width = 4096, spec.heads = spec.value_heads = 32, spec.hidden = 11008, spec.blocks = 1;
            spec.vocabulary = 32000, spec.context = 4096, spec.type = "F16";
        } else if (name == "tied") {
            spec.tied = true;
        } else if (name == "biases") {
            spec.biases = true;
        } else if (name == "architecture") {
            spec.architecture = value;
        } else if (name == "type") {
            spec.type = value;
        } else if (name == "seed") {
            spec.seed = static_cast<uint32_t>(std::atol(value.c_str()));
        } else if (extents.count(name) > 0) {
            *extents.at(name) = std::atoll(value.c_str());
        } else {
            std::fprintf(stderr, "random_model: what is %s?\n", words[i]);
            return 2;
        }
    }
    try {
        test::write_model(spec, words[1]);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "random_model: %s\n", error.what());
        return 1;
    }
}
