// The layers of a language model in the types of llama.cpp: our errors beside those of its own quantizer with an importance
// matrix, and how far files of both are from the float model in llama.cpp itself.
//
//     bench_formats LIBRARIES BSQ-GGUF SHARED FOLDER [--types Q4_0,Q4_K] [--effort E]
//
// Then zero points on the same layers beside GPTQ's (zero_points.h), alone with --types zero-points.
//
// SHARED has models/bytes_llama.gguf and text/; files go to FOLDER. Statistics of the float model on 96 sequences of 256,
// damping 0.01; output and embedding stay float; divergence over the first 65,536 positions of the other text.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include <cblas.h>

extern "C" {
#include "zero_points.h"
}

#include "engine.hpp"
#include "predictions.hpp"
#include "quantize/activations.hpp"
#include "quantize/plan.hpp"
#include "quantize/solve.hpp"

using namespace bsq_gguf;

namespace {

constexpr int64_t context = 256, sequences = 96, evaluation_sequences = 256;
constexpr double damping = 0.01;
constexpr int engine_threads = 1; // more of them spin while others work

// Shares of llama.cpp's error and divergence that are required; 0: none.
struct Row {
    const char *type;
    double error, divergence;
};
const Row rows[] = {{"Q4_0", 0.15, 0.28}, {"Q4_1", 0.18, 0.33}, {"Q5_0", 0.15, 0.33}, {"Q4_K", 0.18, 0.30},
                    {"Q5_K", 0.18, 0.35}, {"Q6_K", 0.25, 0},    {"Q3_K", 0.20, 0.33}, {"Q2_K", 0.30, 0.50},
                    {"IQ4_NL", 0.2, 0.4}, {"MXFP4", 0.2, 0.4},  {"TQ2_0", 0.2, 0.4}};

// A linear layer with what its inputs are, on the text that it is fitted to and on other text.
struct Layer {
    std::string name;
    Matrix weights;
    std::vector<float> values;
    StatsHandle stats;
    std::vector<double> fitted, held_out; // H: (n, n)
};

void check(bsq_status_t status, const char *what)
{
    if (status != BSQ_OK)
        throw std::runtime_error(std::string(what) + ": " + bsq_status_string(status));
}

bsq_stats_t *copy_of(const StatsHandle &stats)
{
    bsq_stats_t *merged = nullptr;
    const bsq_stats_t *const list[] = {stats.get()};
    check(bsq_stats_merge(list, 1, nullptr, &merged, nullptr), "bsq_stats_merge");
    return merged;
}

std::vector<double> second_moments(const StatsHandle &stats, int64_t n)
{
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = n;
    desc.out_channels = 1;
    const std::vector<float> weights(static_cast<size_t>(n), 1.0f);
    bsq_layer_t *layer = nullptr;
    check(bsq_layer_create(&desc, nullptr, weights.data(), nullptr, &layer, nullptr), "bsq_layer_create");
    std::vector<double> h(static_cast<size_t>(n * n));
    bsq_moments_buffers_t buffers;
    bsq_moments_buffers_init(&buffers, sizeof buffers);
    buffers.h = h.data();
    check(bsq_layer_share_stats(layer, 0, stats.get()), "bsq_layer_share_stats");
    check(bsq_layer_get_moments(layer, &buffers), "bsq_layer_get_moments");
    bsq_layer_free(layer);
    return h;
}

// Statistics of all layers in the float model, stage by stage.
std::vector<Layer> gather_all(const Model &model, const Settings &settings, const Samples &fit, const Samples &other)
{
    std::vector<Layer> layers;
    Progress progress(Progress::Style::none);
    Room room = make_room(settings.memory);
    ActivationStore fitted(model, fit, settings.threads, false, room),
        held_out(model, other, settings.threads, false, room);
    fitted.embed(model.embedding(), model.embedding());
    held_out.embed(model.embedding(), model.embedding());
    for (int64_t b = 0; b < model.shape().blocks; b++) {
        const BlockWeights block = model.block(b);
        for (size_t s = 0; s < stages.size(); s++) {
            const Matrix &first = block.linear[stages[s].first];
            const auto stats_of = [&](ActivationStore &store) {
                const Feed feed = [&](int64_t at, int64_t count, const std::function<void(const Activations &)> &take) {
                    store.feed(block, block, s, stages[s].first, at, count, take, progress);
                };
                return gather(first, feed, settings, "statistics");
            };
            const StatsHandle stats = stats_of(fitted), others = stats_of(held_out);
            const std::vector<double> h = second_moments(stats, first.columns),
                                      g = second_moments(others, first.columns);
            for (size_t i = 0; i < stages[s].count; i++) {
                const auto linear = static_cast<Linear>(stages[s].first + i);
                Layer layer{linear_name(b, linear) + ".weight",
                            Matrix(*model.file().find(linear_name(b, linear) + ".weight")),
                            {},
                            StatsHandle(copy_of(stats)),
                            h,
                            g};
                layer.values.resize(static_cast<size_t>(layer.weights.rows * layer.weights.columns));
                dequantize(layer.weights, 0, layer.weights.rows, layer.values.data());
                layers.push_back(std::move(layer));
            }
            if (stages[s].count == 1) {
                fitted.advance(block, block, s, progress);
                held_out.advance(block, block, s, progress);
            }
        }
    }
    return layers;
}

// sum e'He, e = w less other weights
double energy_of(const Layer &layer, const std::vector<float> &other, const std::vector<double> &h)
{
    const auto n = static_cast<size_t>(layer.weights.columns);
    const size_t channels = layer.values.size() / n;
    std::vector<double> e(layer.values.size()), product(e.size());
    for (size_t i = 0; i < e.size(); i++)
        e[i] = static_cast<double>(layer.values[i]) - static_cast<double>(other[i]);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(channels), static_cast<blasint>(n),
                static_cast<blasint>(n), 1, e.data(), static_cast<blasint>(n), h.data(), static_cast<blasint>(n), 0,
                product.data(), static_cast<blasint>(n));
    double sum = 0;
    for (size_t i = 0; i < e.size(); i++)
        sum += e[i] * product[i];
    return sum;
}

double relative_error(const Layer &layer, const std::vector<float> &other, const std::vector<double> &h)
{
    return energy_of(layer, other, h) / energy_of(layer, std::vector<float>(other.size()), h);
}

// Blocks of all layers, and how good they are.
struct Set {
    std::vector<std::vector<unsigned char>> blocks;
    double error = 0, held_out = 0, seconds = 0; // geometric means over layers
};

Set make_set(const test::Llama &llama, const std::vector<Layer> &layers, const Type &type,
             const std::function<std::vector<unsigned char>(const Layer &)> &make)
{
    Set set;
    for (const Layer &layer : layers) {
        const auto start = std::chrono::steady_clock::now();
        set.blocks.push_back(make(layer));
        set.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const std::vector<float> values = llama.dequantize(type.number, set.blocks.back(), layer.values.size());
        set.error += std::log(relative_error(layer, values, layer.fitted));
        set.held_out += std::log(relative_error(layer, values, layer.held_out));
    }
    set.error = std::exp(set.error / static_cast<double>(layers.size()));
    set.held_out = std::exp(set.held_out / static_cast<double>(layers.size()));
    return set;
}

void write_file(const Model &model, const Settings &settings, const std::vector<Layer> &layers, const Set &set,
                const std::string &path)
{
    const Plan plan = make_plan(model, settings);
    Writer writer(path, new_metadata(model, settings, plan, sequences, context), planned_tensors(model, plan), 32);
    const std::vector<Tensor> &tensors = model.file().tensors();
    for (size_t i = 0; i < tensors.size(); i++) {
        size_t k = 0;
        while (k < layers.size() && layers[k].name != tensors[i].name)
            k++;
        if (k < layers.size())
            writer.write(i, set.blocks[k].data(), set.blocks[k].size());
        else
            writer.write(i, tensors[i].data, tensors[i].size);
    }
    writer.publish();
}

void shell(const std::string &command)
{
    if (std::system(command.c_str()) != 0)
        throw std::runtime_error("failed: " + command);
}

std::string share(double value, double of, double required)
{
    char text[80];
    if (required > 0)
        std::snprintf(text, sizeof text, "%.3f (at most %.2f)%s", value / of, required,
                      value / of <= required ? "" : " **above**");
    else
        std::snprintf(text, sizeof text, "%.3f", value / of);
    return text;
}

class Bench {
public:
    Bench(const char *libraries, const std::string &tool, const std::string &shared, const std::string &folder,
          int effort)
        : llama_(libraries), tool_(tool), shared_(shared), folder_(folder), path_(shared + "/models/bytes_llama.gguf"),
          mapped_(path_), file_(mapped_.data(), mapped_.size(), path_), model_(file_)
    {
        settings_.threads = 2;
        settings_.damping = damping;
        settings_.effort = effort;
        settings_.mu = 0;
        settings_.memory = int64_t{1} << 30;
        settings_.calibration = {{shared + "/text/calibration.txt"}, ""};
        const Samples fit = read({{shared + "/text/calibration.txt"}, ""}, sequences);
        evaluation_ = read({{shared + "/text/eval.txt"}, ""}, evaluation_sequences);
        const Samples other = read({{shared + "/text/eval.txt"}, ""}, sequences);
        layers_ = gather_all(model_, settings_, fit, other);
        float_ = test::predict(llama_, path_, evaluation_, engine_threads);
        std::printf("float loss in llama.cpp: %.4f nats a token over %zu positions\n\n",
                    test::mean_loss(float_, evaluation_), evaluation_.tokens.size());
        std::printf("| type | bits | llama.cpp: error | held out | ours: error | held out | share of error | seconds | "
                    "llama.cpp: "
                    "divergence | ours, not sequential | bsq-gguf | share of divergence |\n"
                    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    }

    void measure(const Row &row)
    {
        const Type &type = *type_of_name(row.type);
        settings_.types = {&type};
        const Set theirs = make_set(llama_, layers_, type, [&](const Layer &layer) {
            const auto n = static_cast<size_t>(layer.weights.columns);
            std::vector<float> importance(n);
            for (size_t i = 0; i < n; i++)
                importance[i] = static_cast<float>(layer.fitted[i * n + i]);
            return llama_.quantize(type.number, layer.values, layer.weights.columns, &importance);
        });
        Progress progress(Progress::Style::none);
        Seconds seconds;
        Solver solver(settings_, progress, seconds);
        const Set ours = make_set(llama_, layers_, type, [&](const Layer &layer) {
            StatsHandle stats(copy_of(layer.stats));
            TensorResult result;
            result.name = layer.name;
            const Feed feed = [](int64_t, int64_t, const std::function<void(const Activations &)> &) {};
            return solver.solve(layer.weights, {}, type, feed, false, stats, result);
        });
        const std::string base = folder_ + "/" + row.type;
        write_file(model_, settings_, layers_, theirs, base + "-llama.gguf");
        write_file(model_, settings_, layers_, ours, base + "-layers.gguf");
        shell(tool_ + " " + path_ + " --text " + shared_ +
              "/text/calibration.txt --context 256 --sequences 96 --damping 0.01" + " --type " + row.type +
              " --effort " + std::to_string(settings_.effort) + " --threads 2 --quiet -o " + base + "-bsq.gguf > " +
              base + "-bsq.txt");
        const double their_divergence = divergence(base + "-llama.gguf"), layers = divergence(base + "-layers.gguf"),
                     sequential = divergence(base + "-bsq.gguf");
        std::printf("| %s | %.2f | %.6f | %.6f | %.6f | %.6f | %s | %.0f | %.5f | %.5f | %.5f | %s |\n", row.type,
                    bits_of(type), theirs.error, theirs.held_out, ours.error, ours.held_out,
                    share(ours.error, theirs.error, row.error).c_str(), ours.seconds, their_divergence, layers,
                    sequential, share(sequential, their_divergence, row.divergence).c_str());
        std::fflush(stdout);
    }

    void measure_zero_points(int effort)
    {
        compare_zero_points(layer_of, &layers_, static_cast<int32_t>(layers_.size()), effort);
    }

private:
    // A layer as the benches in C have it.
    static layer_data *layer_of(void *opaque, int32_t index)
    {
        const Layer &layer = (*static_cast<std::vector<Layer> *>(opaque))[static_cast<size_t>(index)];
        auto *data = static_cast<layer_data *>(std::calloc(1, sizeof(layer_data)));
        const std::vector<float> zeros(layer.values.size());
        data->groups = 1;
        data->channels = layer.weights.rows;
        data->n = layer.weights.columns;
        data->weights = static_cast<float *>(std::malloc(layer.values.size() * sizeof(float)));
        data->h = static_cast<double *>(std::malloc(layer.fitted.size() * sizeof(double)));
        std::copy(layer.values.begin(), layer.values.end(), data->weights);
        std::copy(layer.fitted.begin(), layer.fitted.end(), data->h);
        data->energy = energy_of(layer, zeros, layer.fitted);
        return data;
    }
    Samples read(const Source &source, int64_t most) const
    {
        return read_samples(file_, model_.shape().vocabulary, source, context, most);
    }
    double divergence(const std::string &path) const
    {
        return test::mean_divergence(float_, test::predict(llama_, path, evaluation_, engine_threads));
    }

    test::Llama llama_;
    std::string tool_, shared_, folder_, path_;
    MappedFile mapped_;
    Gguf file_;
    Model model_;
    Settings settings_;
    Samples evaluation_;
    std::vector<Layer> layers_;
    test::Predictions float_;
};

} // namespace

int main(int count, char **words)
{
    if (count < 5) {
        std::fputs("bench_formats LIBRARIES BSQ-GGUF SHARED FOLDER [--types Q4_0,Q4_K] [--effort E]\n", stderr);
        return 2;
    }
    std::string only;
    int effort = 5;
    for (int i = 5; i + 1 < count; i += 2) {
        if (std::strcmp(words[i], "--types") == 0)
            only = std::string(",") + words[i + 1] + ",";
        else if (std::strcmp(words[i], "--effort") == 0)
            effort = std::atoi(words[i + 1]);
    }
    try {
        openblas_set_num_threads(1);
        Bench bench(words[1], words[2], words[3], words[4], effort);
        const bool zero_points = only.empty() || only.find(",zero-points,") != std::string::npos;
        for (const Row &row : rows)
            if (only.empty() || only.find("," + std::string(row.type) + ",") != std::string::npos)
                try {
                    bench.measure(row);
                } catch (const std::exception &error) {
                    std::printf("| %s | not measured: %s |\n", row.type, error.what());
                }
        if (zero_points)
            bench.measure_zero_points(effort);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench_formats: %s\n", error.what());
        return 1;
    }
}
