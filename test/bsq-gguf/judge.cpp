// Files of bsq-gguf in unmodified llama.cpp: its losses beside ours, and the divergence of each file from the first.
//
//     judge LIBRARIES TEXT CONTEXT SEQUENCES FLOAT.gguf [OTHER.gguf...]
//
// Prints a line for each file; exit status 1 when a loss is not ours within 1e-3 nats.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include <cblas.h>

#include "judge/evaluate.hpp"
#include "engine.hpp"
#include "predictions.hpp"

using namespace bsq_gguf;

namespace {

// The engine has one thread: more of them spin while others work, which takes many times longer on a busy machine.
constexpr int threads = 2, engine_threads = 1;

// Mean loss in our own forward pass.
double own_loss(const std::string &path, const Samples &samples)
{
    const MappedFile mapped(path);
    const Gguf file(mapped.data(), mapped.size(), path);
    const Model model(file);
    Progress progress(Progress::Style::none);
    return evaluate(model, nullptr, samples, threads, progress).loss.value;
}

Samples read(const std::string &path, const std::string &text, int64_t context, int64_t sequences)
{
    const MappedFile mapped(path);
    const Gguf file(mapped.data(), mapped.size(), path);
    return read_samples(file, Model(file).shape().vocabulary, {{text}, ""}, context, sequences);
}

} // namespace

int main(int count, char **words)
{
    if (count < 6) {
        std::fputs("judge LIBRARIES TEXT CONTEXT SEQUENCES FLOAT.gguf [OTHER.gguf...]\n", stderr);
        return 2;
    }
    try {
        openblas_set_num_threads(1);
        const test::Llama llama(words[1]);
        const Samples samples = read(words[5], words[2], std::atoll(words[3]), std::atoll(words[4]));
        test::Predictions first;
        bool good = true;
        for (int i = 5; i < count; i++) {
            test::Predictions own = test::predict(llama, words[i], samples, engine_threads);
            const double ours = own_loss(words[i], samples), loss = test::mean_loss(own, samples);
            const bool near = std::fabs(ours - loss) <= 1e-3;
            std::printf("%-40s loss %.6f in llama.cpp, %.6f here%s", words[i], loss, ours, near ? "" : ", TOO FAR");
            if (i == 5)
                first = std::move(own);
            else
                std::printf("; divergence %.6f, same top %.2f %%", test::mean_divergence(first, own),
                            100 * test::same_top(first, own));
            std::printf("\n");
            std::fflush(stdout);
            good = good && near;
        }
        return good ? 0 : 1;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "judge: %s\n", error.what());
        return 1;
    }
}
