// bsq-onnx: quantizes a trained ONNX network, with pictures to calibrate on, and says how good the result is.
//
// Results go to stdout. Whatever is wrong is one line on stderr, exit status 2 for a wrong command line and 1 for
// everything else; files are then not written.
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "shared.hpp"
#include "engines/engine.hpp"
#include "judge/alone.hpp"
#include "judge/bound.hpp"
#include "judge/evaluate.hpp"
#include "judge/smallest.hpp"
#include "model/model.hpp"
#include "plan/allocate.hpp"
#include "plan/equalize.hpp"
#include "plan/limits.hpp"
#include "plan/plan.hpp"
#include "plan/share.hpp"
#include "plan/work.hpp"
#include "quantize/checkpoint.hpp"
#include "quantize/engine.hpp"
#include "quantize/quantize.hpp"
#include "report/report.hpp"
#include "report/summary.hpp"
#include "report/write.hpp"
#include "samples/split.hpp"
#include "settings.hpp"
#include "tool/program.hpp"

using namespace bsq_onnx;

namespace {

Checkpoint::Conditions conditions(const Model &model, const Settings &settings, const Split &split)
{
    uint64_t samples = digest("", 0);
    for (const SampleRef &ref : split.for_layers()) {
        const Sample sample = ref.load();
        for (const Array &input : sample.inputs) {
            samples = digest(input.shape.data(), input.shape.size() * sizeof(int64_t), samples);
            samples = digest(input.bytes.data(), input.bytes.size(), samples);
        }
    }
    Checkpoint::Conditions list = {
        {"library", bsq_version_string()},
        {"engine", engine().name()},
        {"network", hexadecimal(model.digest())},
        {"number of samples", std::to_string(split.calibration.size()) + " + " + std::to_string(split.held_out.size())},
        {"set of samples", hexadecimal(samples)}};
    for (const std::string &line : describe(settings)) {
        const size_t space = line.rfind(' ');
        list.emplace_back("setting", line.substr(0, space) + " " + line.substr(space + 1));
    }
    return list;
}

// The network's file and all that goes with it, or none of them.
void write_results(const Model &model, const Settings &settings, RunResult &result)
{
    std::vector<std::pair<std::string, std::string>> files;
    auto network = network_files(model, result, settings.format, settings.output, settings.one_file_limit);
    result.float_bytes = model.bytes();
    for (const auto &file : network)
        result.quantized_bytes += static_cast<int64_t>(file.second.size());
    if (!settings.output.empty()) {
        files = std::move(network);
        files.emplace_back(settings.output + ".json", write_sidecar(result));
    }
    if (!settings.report.empty())
        files.emplace_back(settings.report, write_report(result));
    if (!files.empty())
        write_files(files);
}

// Bits of layers that are not given: kept ones, or by --avg-bits or --target-drop. The latter may have the network that
// goes with them, and says what it tried.
std::optional<Quantized> choose_or_load_bits(const Model &model, const Settings &settings, const Split &split,
                                             const Task *task, Plan &plan, Progress &progress, Checkpoint *checkpoint,
                                             std::vector<std::string> &tried)
{
    if (settings.average_bits <= 0 && settings.target_drop < 0)
        return std::nullopt;
    const std::vector<int> there = checkpoint != nullptr ? checkpoint->load_bits() : std::vector<int>();
    if (!there.empty()) {
        if (!may_be_chosen(model, settings, plan, there))
            throw Error(checkpoint->bits_path() + ": these bits cannot be chosen; remove it to have them chosen again");
        plan.bits = there;
        tried.push_back("bits of layers are those that were chosen before the interruption");
        return std::nullopt;
    }
    std::optional<Quantized> done;
    if (settings.target_drop >= 0) {
        Smallest smallest = find_smallest(model, settings, plan, split.half(0), task, progress);
        plan.bits = smallest.bits;
        tried = smallest.tried;
        if (checkpoint == nullptr)
            done = std::move(smallest.quantized);
    } else {
        choose_bits(model, settings, split.calibration, plan, progress);
    }
    if (checkpoint != nullptr)
        checkpoint->save_bits(plan.bits);
    return done;
}

// As of plan/work.hpp, of all that is shown as one bar.
double total_work(const Model &model, const Settings &settings, const Plan &plan, const Split &split)
{
    const auto fitted = static_cast<int64_t>(split.calibration.size()),
               judged = static_cast<int64_t>(split.evaluation.size());
    const auto samples = static_cast<int64_t>(split.calibration.size() + split.held_out.size());
    const double once = network_work(model);
    double quantizing = sharing_work(model, plan, samples), tables = 0;
    for (const Layer &layer : model.layers()) {
        quantizing += gathering_work(layer, samples) + solving_work(layer, settings.options.effort);
        tables += 7 * solving_work(layer, std::min(settings.options.effort, int32_t{2}));
    }
    const double judging = 2 * once * static_cast<double>(judged);
    double total = quantizing + judging + norm_work * static_cast<double>(model.layers().size()) +
                   alone_work(model, samples_for_alone(model, fitted, judged));
    if (settings.share || integer_form(settings))
        total += once * static_cast<double>(fitted);
    if (settings.average_bits > 0 || settings.target_drop >= 0)
        total += tables + alone_work(model, std::min<int64_t>(fitted, 12)) + once * static_cast<double>(fitted);
    if (settings.target_drop >= 0)
        total += (most_trials - 1) * quantizing + most_trials * judging / 2;
    return total;
}

// As many samples as the network takes at a time, the first ones.
std::vector<Array> example_of(const Samples &samples)
{
    if (samples.count() < samples.batch())
        throw Error("there are " + std::to_string(samples.count()) + " samples, and the network takes " +
                    std::to_string(samples.batch()) + " at a time");
    std::vector<int64_t> first;
    for (int64_t i = 0; i < samples.batch(); i++)
        first.push_back(i);
    return samples.load(first).inputs;
}

// The network as it will be written, where ONNX Runtime runs it in integers and so judges it; "": else.
std::string integer_network(const Model &model, const Settings &settings, const Quantized &quantized)
{
    if (!integer_form(settings) || engine().form() != NodeForm::onnx || settings.format != Format::qdq)
        return "";
    return write_model(model, summarize(model, settings, SampleUse(), quantized, Judgement(), Bound()),
                       settings.format);
}

RunResult run(const Settings &asked, Progress &progress)
{
    Settings settings = asked;
    const auto start = std::chrono::steady_clock::now();
    check_writable(settings.output);
    check_writable(settings.report);
    prepare_engine();
    choose_engine(settings.engine, settings.onnxruntime);
    std::unique_ptr<Samples> images, test;
    const auto read_samples = [&](const std::vector<Value> &inputs) {
        images = std::make_unique<Samples>(settings.images, settings.preprocessing, inputs, settings.batch);
        if (!settings.test.empty())
            test = std::make_unique<Samples>(settings.test, settings.preprocessing, inputs, settings.batch);
    };
    Tracing traces = tracing([&](const std::vector<Tracing::Declared> &declared) {
        std::vector<Value> inputs;
        for (const Tracing::Declared &input : declared)
            inputs.push_back({input.name, input.shape, input.type});
        read_samples(inputs);
        return example_of(*images);
    });
    traces.always = settings.batch > 1;
    if (traces.always && !traces.load)
        throw Error("--batch needs ONNX Runtime, which is not in use");
    const Model read = Model::load(settings.model, traces);
    const Limits limits = limits_of(read, settings);
    check_network(read, settings, limits);
    const std::unique_ptr<Task> task = make_task(settings.task, read);
    if (!images)
        read_samples(read.inputs());
    const Split split = split_samples(settings, *images, test.get(), enough_samples(read, images->batch()));
    row_mask_input(read, settings.row_mask);
    Metrics(read, settings.metrics, settings.token_ids, !settings.labels.empty()); // throws what is wrong with them
    const auto fitted = static_cast<int64_t>(split.calibration.size());
    Plan plan = make_plan(read, settings);
    if (settings.choose_effort)
        settings.options.effort = chosen_effort(read, plan, fitted + static_cast<int64_t>(split.held_out.size()),
                                                static_cast<int64_t>(split.evaluation.size()));
    std::unique_ptr<Checkpoint> checkpoint;
    if (!settings.resume.empty())
        checkpoint = std::make_unique<Checkpoint>(settings.resume, conditions(read, settings, split));
    check_layers(read, settings, plan, limits);

    progress.begin(total_work(read, settings, plan, split));
    const std::optional<Equalized> equalized = equalize(read, settings, plan, split.calibration, progress);
    const Model &model = equalized ? equalized->model : read;
    if (settings.share || integer_form(settings))
        plan.shared = share_quantizers(model, settings, plan, split.calibration, progress);
    std::vector<std::string> tried;
    std::optional<Quantized> quantized =
        choose_or_load_bits(model, settings, split, task.get(), plan, progress, checkpoint.get(), tried);
    if (!quantized)
        quantized = quantize(model, settings, plan, split.for_layers(), fitted, progress, checkpoint.get());
    // Samples on which bits were chosen do not judge.
    const Split judged = settings.target_drop >= 0 ? split.half(1) : split;
    const Judgement judgement = evaluate(model, settings, *quantized, integer_network(model, settings, *quantized),
                                         judged.evaluation, judged.labels, task.get(), progress);
    std::vector<double> errors;
    for (const LayerResult &layer : quantized->layers)
        errors.push_back(layer.own_error);
    const Bound bound = network_bound(model, settings, errors, progress);
    const std::vector<SampleRef> telling =
        judged.unseen(samples_for_alone(model, fitted, static_cast<int64_t>(judged.evaluation.size())));
    progress.step("contributions of layers", alone_work(model, static_cast<int64_t>(telling.size())));
    const std::vector<double> alone =
        errors_alone(model, quantized->layers, quantized->quantizers, telling, settings.options.threads, progress);
    progress.end("");
    progress.clear();

    RunResult result = summarize(model, settings, describe_use(judged), *quantized, judgement, bound);
    add_contributions(alone, static_cast<int64_t>(telling.size()), result);
    if (equalized)
        result.rescaled = equalized->tensors;
    result.tried = tried;
    result.seconds_total = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write_results(model, settings, result);
    return result;
}

int work(const Settings &settings)
{
    Progress progress(progress_style(settings.quiet, settings.json));
    return run_work("bsq-onnx", settings.resume, progress, [&] {
        const RunResult result = run(settings, progress);
        if (settings.json)
            print_json(result);
        else
            print_text(result);
    });
}

} // namespace

int main(int count, char **words)
{
    return run_program("bsq-onnx", count, words, read_settings, print_help, work);
}
