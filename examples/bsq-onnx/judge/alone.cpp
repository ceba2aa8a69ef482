// What each layer's quantization alone does to the network's outputs.
#include "judge/alone.hpp"

#include <algorithm>

#include "judge/evaluate.hpp"
#include "plan/work.hpp"
#include "quantize/parallel.hpp"

namespace bsq_onnx {

namespace {

// The float network, and each of its segments with a quantized layer.
class Alone {
public:
    Alone(const Model &model, const std::vector<LayerResult> &layers, const Quantizers &quantizers,
          const std::vector<std::string> &telling)
        : telling_(telling), chain_(model, std::vector<LayerResult>(layers.size()), {}, telling)
    {
        for (size_t i = 0; i < model.segments().size(); i++) {
            Segment segment = model.segments()[i];
            if (segment.layer < 0 || layers[static_cast<size_t>(segment.layer)].bits == 0)
                continue;
            const LayerResult &l = layers[static_cast<size_t>(segment.layer)];
            Quantizers own;
            if (const auto found = quantizers.find(l.input); found != quantizers.end())
                own.insert(*found);
            segment.outputs = chain_.outputs(i);
            runners_.push_back({i, static_cast<size_t>(segment.layer),
                                Runner(model, segment, segment.outputs, own, l.dequantized, l.bias)});
        }
    }

    // The last layer comes first: what later segments read from before a replaced one is then still the float network's.
    void run(const Sample &sample, std::vector<Difference> &differences)
    {
        chain_.run(sample);
        std::vector<std::vector<float>> reference;
        for (const std::string &tensor : telling_)
            reference.push_back(chain_.tensor(tensor));
        for (auto own = runners_.rbegin(); own != runners_.rend(); ++own) {
            chain_.swap(own->segment, own->runner);
            chain_.run_from(own->segment);
            chain_.swap(own->segment, own->runner);
            for (size_t i = 0; i < telling_.size(); i++)
                differences[own->layer].add(chain_.tensor(telling_[i]), reference[i]);
        }
    }

private:
    struct Own {
        size_t segment, layer;
        Runner runner;
    };

    const std::vector<std::string> &telling_;
    Chain chain_;
    std::vector<Own> runners_;
};

} // namespace

double alone_work(const Model &model, int64_t samples)
{
    return network_work(model) * static_cast<double>(samples) * (1 + static_cast<double>(model.layers().size()) / 2);
}

int64_t samples_for_alone(const Model &model, int64_t fitted, int64_t judged)
{
    constexpr int64_t most = 16;
    const double passes = 4 * static_cast<double>(fitted) + 2 * static_cast<double>(judged);
    const double each = 1 + static_cast<double>(model.layers().size()) / 2;
    return std::min(most, std::max<int64_t>(1, static_cast<int64_t>(passes / 10 / each)));
}

std::vector<double> errors_alone(const Model &model, const std::vector<LayerResult> &layers,
                                 const Quantizers &quantizers, const std::vector<SampleRef> &samples, int threads,
                                 Progress &progress)
{
    const auto all = static_cast<int64_t>(samples.size());
    const int count = workers(threads, all);
    const std::vector<std::string> telling = telling_tensors(model);
    std::vector<Alone> alone;
    for (int i = 0; i < count && all > 0; i++)
        alone.emplace_back(model, layers, quantizers, telling);
    std::vector<std::vector<Difference>> differences(samples.size(), std::vector<Difference>(layers.size()));
    for_samples(count, 0, all, [&](int worker, int64_t i) {
        const SampleRef &ref = samples[static_cast<size_t>(i)];
        alone[static_cast<size_t>(worker)].run(ref.load(), differences[static_cast<size_t>(i)]);
        if (worker == 0)
            progress.at(static_cast<double>(i + 1) / static_cast<double>(all));
    });
    std::vector<double> errors;
    for (size_t layer = 0; layer < layers.size(); layer++) {
        Difference sum;
        for (const std::vector<Difference> &of_sample : differences) {
            sum.error += of_sample[layer].error;
            sum.energy += of_sample[layer].energy;
        }
        errors.push_back(sum.relative());
    }
    return errors;
}

} // namespace bsq_onnx
