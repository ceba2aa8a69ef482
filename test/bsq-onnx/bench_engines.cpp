// How long one sample takes in each engine, on one thread, side by side.
//
//     bench_engines NETWORK.onnx...
//
// Whole networks, and the same segment by segment as they run while layers are quantized.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include "engines/engine.hpp"
#include "quantize/engine.hpp"
#include "shared.hpp"
#include "support.hpp"

using namespace bsq_onnx;

namespace {

struct Part {
    Runner runner;
    std::vector<const float *> from;
    std::vector<float *> to;
};

// Tensors of one sample, and what fills them.
struct Network {
    std::map<std::string, std::vector<float>> tensors;
    std::vector<Part> parts;

    Network(const Model &model, const std::vector<Segment> &segments)
    {
        tensors[model.input().name] = test::random_values(count(model.input().shape), 1);
        for (const Segment &segment : segments)
            for (const std::string &name : segment.outputs)
                tensors[name].resize(static_cast<size_t>(count(model.shape(name))));
        for (const Segment &segment : segments) {
            parts.push_back({Runner(model, segment, segment.outputs), {}, {}});
            for (const std::string &name : segment.inputs)
                parts.back().from.push_back(tensors.at(name).data());
            for (const std::string &name : segment.outputs)
                parts.back().to.push_back(tensors.at(name).data());
        }
    }

    double milliseconds()
    {
        const auto start = std::chrono::steady_clock::now();
        for (Part &part : parts)
            part.runner.run(part.from, part.to);
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    }
};

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void compare(const char *what, const Model &model, const std::vector<Segment> &segments)
{
    choose_engine(EngineChoice::opencv, "");
    Network opencv(model, segments);
    const std::string first = engine().name();
    choose_engine(EngineChoice::onnxruntime, "");
    Network onnxruntime(model, segments);
    std::vector<double> one, other, ratios;
    for (int round = 0; round < 21; round++) {
        const double a = opencv.milliseconds(), b = onnxruntime.milliseconds();
        if (round == 0)
            continue;
        one.push_back(a);
        other.push_back(b);
        ratios.push_back(a / b);
    }
    std::printf("  %-9s %s %8.2f ms, %s %8.2f ms, %.2f x\n", what, first.c_str(), median(one), engine().name().c_str(),
                median(other), median(ratios));
}

} // namespace

int main(int count, char **words)
{
    try {
        prepare_engine();
        for (int i = 1; i < count; i++) {
            const Model model = Model::load(words[i]);
            std::printf("%s\n", words[i]);
            compare("whole", model, {whole(model, {})});
            compare("segments", model, model.segments());
        }
    } catch (const Error &error) {
        std::fprintf(stderr, "bench_engines: %s\n", error.what());
        return 1;
    }
    return 0;
}
