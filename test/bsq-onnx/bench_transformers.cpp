// What make bench-transformers measures beside bsq-onnx itself.
//
//     bench_transformers judge QUANTIZED.onnx NETWORK.onnx [options of bsq-onnx]
//     bench_transformers errors BITS GROUP NETWORK.onnx [options of bsq-onnx]
//
// The first runs both files whole in ONNX Runtime, judges the quantized one on the samples that bsq-onnx would, and prints
// the same JSON. The second prints, as JSON, the geometric mean over layers of the relative output error of rounding, of
// GPTQ and of the library, all on the statistics that the float network gives on the calibration samples; GROUP inputs
// share a scale and a zero point, 0: all of a channel, without one.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "judge/evaluate.hpp"
#include "model/graph.hpp"
#include "quantize/handle.hpp"
#include "report/summary.hpp"
#include "samples/split.hpp"

extern "C" {
#include "bench/gptq.h"
}

using namespace bsq_onnx;

namespace {

struct Given {
    Settings settings;
    std::unique_ptr<Samples> images, test;
    std::unique_ptr<Model> model;
    Split split;

    Given(int count, char **words) : settings(read_settings(count, words))
    {
        choose_engine(EngineChoice::onnxruntime, settings.onnxruntime);
        const auto sample = [&](const std::vector<Tracing::Declared> &declared) {
            std::vector<Value> inputs;
            for (const Tracing::Declared &input : declared)
                inputs.push_back({input.name, input.shape, input.type});
            read_samples(inputs);
            return images->load(int64_t{0}).inputs;
        };
        model = std::make_unique<Model>(Model::load(settings.model, tracing(sample)));
        if (!images)
            read_samples(model->inputs());
        split = split_samples(settings, *images, test.get(), enough_samples(*model));
    }

    void read_samples(const std::vector<Value> &inputs)
    {
        images = std::make_unique<Samples>(settings.images, settings.preprocessing, inputs);
        if (!settings.test.empty())
            test = std::make_unique<Samples>(settings.test, settings.preprocessing, inputs);
    }
};

std::string bytes_of(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error(path + ": cannot be read");
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

// ---- files in ONNX Runtime ----

void judge_file(const std::string &quantized_path, const Given &given)
{
    std::vector<std::string> inputs, outputs;
    for (const Value &input : given.model->inputs())
        inputs.push_back(input.name);
    for (const Value &output : given.model->outputs())
        outputs.push_back(output.name);
    const auto real = engine().trace(bytes_of(given.settings.model), inputs, outputs, true),
               quantized = engine().trace(bytes_of(quantized_path), inputs, outputs, true);
    Arrays reference, got;
    Contest contest;
    contest.telling = outputs;
    contest.run = [&](const Sample &sample) {
        const std::vector<Array> a = real->run(sample.inputs, true), b = quantized->run(sample.inputs, true);
        for (size_t i = 0; i < outputs.size(); i++) {
            reference[outputs[i]] = a[i];
            got[outputs[i]] = b[i];
        }
    };
    contest.reference = [&](const std::string &tensor) { return to_floats(reference.at(tensor)); };
    contest.quantized = [&](const std::string &tensor) { return to_floats(got.at(tensor)); };
    Progress progress(Progress::Style::none);
    const Judgement judgement =
        evaluate(*given.model, given.settings, contest, given.split.evaluation, given.split.labels, nullptr, progress);
    RunResult result;
    result.evaluation = judgement.evaluation;
    result.metrics = judgement.metrics;
    print_json(result);
}

// ---- layers ----

struct Problem {
    const Layer *layer;
    LayerHandle handle, rounded;
    std::vector<double> h;
};

// What GPTQ takes of it: the statistics that the library has.
layer_data data_of(Problem &problem)
{
    const Layer &layer = *problem.layer;
    layer_data data{};
    data.groups = 1;
    data.channels = layer.desc.out_channels;
    data.n = static_cast<int64_t>(layer.weights.size()) / data.channels;
    data.weights = const_cast<float *>(layer.weights.data());
    const auto n = static_cast<size_t>(data.n);
    problem.h.resize(n * n);
    bsq_moments_buffers_t moments;
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = problem.h.data();
    check(bsq_layer_get_moments(problem.handle.get(), &moments), layer, problem.handle.get());
    for (int64_t c = 0; c < data.channels; c++) {
        const float *w = data.weights + c * data.n;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                data.energy += static_cast<double>(w[i]) * problem.h[i * n + j] * static_cast<double>(w[j]);
    }
    data.h = problem.h.data();
    return data;
}

double solved(const Problem &problem, bsq_layer_t *handle)
{
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    check(bsq_optimize(handle, &report), *problem.layer, handle);
    return report.error;
}

void compare_layers(int bits, int64_t group, const Given &given)
{
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.asymmetry = 0;
    options.bias_correction = 0;
    options.threads = 1;
    options.effort = given.settings.options.effort;
    if (group > 0) {
        options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options.group_size = group;
        options.weight_grid = BSQ_WEIGHT_GRID_ZERO_POINT;
    }
    bsq_options_t plain = options;
    plain.effort = 0;
    std::vector<Problem> problems;
    for (const Layer &layer : given.model->layers()) {
        const int64_t n = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
        if (layer.kind != Kind::table && layer.desc.groups == 1 && n > group)
            problems.push_back({&layer, make_layer(layer, options), make_layer(layer, plain), {}});
    }
    const int mask = row_mask_input(*given.model, given.settings.row_mask);
    Chain chain(*given.model, std::vector<LayerResult>(given.model->layers().size()), {}, {});
    for (const SampleRef &ref : given.split.calibration) {
        const Sample sample = ref.load();
        chain.run(sample);
        const RowMask counts = row_mask(sample, mask, ref.name());
        for (Problem &problem : problems) {
            const Layer &layer = *problem.layer;
            const Array &input = chain.array(layer.input);
            Batch batch = make_batch(layer, input.shape, input.floats(), nullptr, false);
            batch.weigh(layer, row_weights(layer, chain.shapes().at(layer.output), counts));
            for (bsq_layer_t *handle : {problem.handle.get(), problem.rounded.get()})
                check(bsq_layer_calibrate(handle, &batch), layer, handle);
        }
    }
    double rounding = 0, gptq = 0, library = 0;
    for (Problem &problem : problems) {
        const layer_data data = data_of(problem);
        double error = 0;
        if (group > 0)
            gptq_groups_seconds(&data, bits, group, &error);
        else
            gptq_seconds(&data, bits, &error);
        gptq += std::log(error);
        rounding += std::log(solved(problem, problem.rounded.get()));
        library += std::log(solved(problem, problem.handle.get()));
    }
    const auto mean = [&](double sum) { return std::exp(sum / static_cast<double>(problems.size())); };
    std::printf("{\"layers\": %zu, \"rounding\": %.6g, \"gptq\": %.6g, \"library\": %.6g}\n", problems.size(),
                mean(rounding), mean(gptq), mean(library));
}

} // namespace

int main(int count, char **words)
{
    const std::string what = count > 3 ? words[1] : "";
    try {
        prepare_engine();
        if (what == "judge") {
            judge_file(words[2], Given(count - 2, words + 2));
            return 0;
        }
        if (what == "errors" && count > 4) {
            compare_layers(std::atoi(words[2]), std::atoi(words[3]), Given(count - 3, words + 3));
            return 0;
        }
    } catch (const std::exception &error) {
        std::cerr << "bench_transformers: " << error.what() << std::endl;
        return 1;
    }
    std::cerr << "bench_transformers judge|errors ..., as its source says" << std::endl;
    return 2;
}
