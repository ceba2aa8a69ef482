// bsq-onnx: quantizes a trained ONNX network, with pictures to calibrate on, and says how good the result is.
//
// Results go to stdout. Whatever is wrong is one line on stderr, exit status 2 for a wrong command line and 1 for
// everything else; files are then not written.
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "shared.hpp"
#include "judge/alone.hpp"
#include "judge/bound.hpp"
#include "judge/evaluate.hpp"
#include "model/model.hpp"
#include "plan/allocate.hpp"
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
        const Sample sample = ref.from->load(ref.index);
        samples = digest(sample.input.data(), sample.input.size() * sizeof(float), samples);
    }
    Checkpoint::Conditions list = {
        {"library", bsq_version_string()},
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
    const std::string network = write_model(model, result, settings.format);
    result.float_bytes = static_cast<int64_t>(std::filesystem::file_size(settings.model));
    result.quantized_bytes = static_cast<int64_t>(network.size());
    if (!settings.output.empty()) {
        files.emplace_back(settings.output, network);
        files.emplace_back(settings.output + ".json", write_sidecar(result));
    }
    if (!settings.report.empty())
        files.emplace_back(settings.report, write_report(result));
    if (!files.empty())
        write_files(files);
}

void choose_or_load_bits(const Model &model, const Settings &settings, const Split &split, Plan &plan,
                         Progress &progress, Checkpoint *checkpoint)
{
    const std::vector<int> there = checkpoint != nullptr ? checkpoint->load_bits() : std::vector<int>();
    if (!there.empty()) {
        if (!may_be_chosen(model, settings, plan, there))
            throw Error(checkpoint->bits_path() + ": these bits cannot be chosen; remove it to have them chosen again");
        plan.bits = there;
        return;
    }
    choose_bits(model, settings, split.calibration, plan, progress);
    if (checkpoint != nullptr)
        checkpoint->save_bits(plan.bits);
}

RunResult run(const Settings &asked, Progress &progress)
{
    Settings settings = asked;
    const auto start = std::chrono::steady_clock::now();
    check_writable(settings.output);
    check_writable(settings.report);
    prepare_engine();
    const Model model = Model::load(settings.model);
    const Limits limits = limits_of(settings);
    check_network(model, settings, limits);
    const std::unique_ptr<Task> task = make_task(settings.task, model);
    const Samples images(settings.images, settings.preprocessing, model.input());
    std::unique_ptr<Samples> test;
    if (!settings.test.empty())
        test = std::make_unique<Samples>(settings.test, settings.preprocessing, model.input());
    const Split split = split_samples(settings, images, test.get(), enough_samples(model));
    Plan plan = make_plan(model, settings);
    if (settings.choose_effort)
        settings.options.effort =
            chosen_effort(model, plan, static_cast<int64_t>(split.calibration.size() + split.held_out.size()),
                          static_cast<int64_t>(split.evaluation.size()));
    std::unique_ptr<Checkpoint> checkpoint;
    if (!settings.resume.empty())
        checkpoint = std::make_unique<Checkpoint>(settings.resume, conditions(model, settings, split));

    check_layers(model, settings, plan, limits);
    if (settings.average_bits > 0)
        choose_or_load_bits(model, settings, split, plan, progress, checkpoint.get());
    if (settings.share || integer_form(settings))
        plan.shared = share_quantizers(model, settings, plan, split.calibration, progress);
    const std::vector<SampleRef> samples = split.for_layers();
    const auto fitted = static_cast<int64_t>(split.calibration.size());
    const Quantized quantized = quantize(model, settings, plan, samples, fitted, progress, checkpoint.get());
    const Judgement judgement =
        evaluate(model, quantized, split.evaluation, split.labels, task.get(), settings.options.threads, progress);
    std::vector<double> errors;
    for (const LayerResult &layer : quantized.layers)
        errors.push_back(layer.own_error);
    const Bound bound = network_bound(model, settings, errors, progress);
    const std::vector<SampleRef> telling =
        split.unseen(samples_for_alone(model, fitted, static_cast<int64_t>(split.evaluation.size())));
    progress.begin(1);
    progress.step("contributions of layers", 1);
    const std::vector<double> alone =
        errors_alone(model, quantized.layers, quantized.quantizers, telling, settings.options.threads, progress);
    progress.end("");
    progress.clear();

    RunResult result = summarize(model, settings, describe_use(split), quantized, judgement, bound);
    add_contributions(alone, static_cast<int64_t>(telling.size()), result);
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
