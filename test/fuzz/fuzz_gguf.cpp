// Any bytes as a GGUF file: refused with a text, or read, its tokenizer used, and its model run on a few tokens.
#include <cstddef>
#include <cstdint>
#include <functional>

#include "judge/evaluate.hpp"
#include "shared.hpp"
#include "text/tokenizer.hpp"

using namespace bsq_gguf;

namespace {

void use(const std::function<void()> &work)
{
    try {
        work();
    } catch (const Error &) {
        // says what is wrong
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    use([&] {
        const Gguf file(data, size, "fuzzed");
        use([&] { make_tokenizer(file)->encode("It's 12 \u00fcber\n  tests\xff <|mine|>"); });
        const Model model(file);
        Samples samples;
        samples.context = 5;
        for (int32_t i = 0; i < 5; i++)
            samples.tokens.push_back(i % static_cast<int32_t>(model.shape().vocabulary));
        samples.next = samples.tokens;
        Progress progress(Progress::Style::none);
        evaluate(model, nullptr, samples, 1, progress);
    });
    return 0;
}
