// bsq-gguf: quantizes a language model in a GGUF file, with text to calibrate on, and says how good the result is.
//
// Results go to stdout. Whatever is wrong is one line on stderr, exit status 2 for a wrong command line and 1 for
// everything else; files are then not written.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include <cblas.h>
#include <sys/resource.h>

#include "bsq.h"
#include "gguf/writer.hpp"
#include "judge/evaluate.hpp"
#include "quantize/allocate.hpp"
#include "quantize/quantize.hpp"
#include "report/report.hpp"
#include "settings.hpp"
#include "shared.hpp"
#include "tool/program.hpp"

using namespace bsq_gguf;

namespace {

double since(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A model and the file that it lies in.
struct OpenModel {
    MappedFile mapped;
    Gguf file;
    Model model;
    explicit OpenModel(const std::string &path) : mapped(path), file(mapped.data(), mapped.size(), path), model(file) {}
};

WorkFolder::Conditions conditions(const OpenModel &open, const Settings &settings, const Samples &samples)
{
    WorkFolder::Conditions list = {
        {"library", bsq_version_string()},
        {"model", hexadecimal(digest(open.mapped.data(), open.mapped.size()))},
        {"number of sequences", std::to_string(samples.sequences()) + " of " + std::to_string(samples.context)},
        {"text", hexadecimal(digest(samples.tokens.data(), samples.tokens.size() * sizeof(int32_t)))}};
    for (const std::string &line : describe(settings)) {
        const size_t space = line.rfind(' ');
        list.emplace_back("setting", line.substr(0, space) + " " + line.substr(space + 1));
    }
    return list;
}

double matrix_weights(const Model &model)
{
    double weights = 0;
    for (const Tensor &tensor : model.file().tensors())
        if (tensor.extents.size() == 2)
            weights += static_cast<double>(tensor.rows()) * static_cast<double>(tensor.columns());
    return weights;
}

void check_memory(const Model &model, const Settings &settings, const Plan &plan)
{
    const Need need = memory_need(model, settings, plan, settings.context);
    if (need.bytes > static_cast<size_t>(settings.memory))
        throw Error(model.file().name() + ": " + need.tensor + " needs " + std::to_string((need.bytes >> 20) + 1) +
                    " MB to be solved; --memory is " + std::to_string(settings.memory >> 20));
}

// Writes the new file beside its name, for it to take when all is done.
std::unique_ptr<Writer> quantize_to_file(const OpenModel &open, const Settings &settings, Progress &progress,
                                         RunResult &result)
{
    const Model &model = open.model;
    Plan plan = make_plan(model, settings);
    check_memory(model, settings, plan);
    const Samples samples =
        read_samples(open.file, model.shape().vocabulary, settings.calibration, settings.context, settings.sequences);
    std::unique_ptr<Kept> kept;
    if (!settings.resume.empty())
        kept = std::make_unique<Kept>(settings.resume, conditions(open, settings, samples));
    if (settings.average_bits > 0) {
        progress.begin(matrix_weights(model));
        choose_types(model, settings, samples, plan, kept.get(), progress);
    }
    const Metadata metadata = new_metadata(model, settings, plan, samples.sequences(), samples.context);
    std::unique_ptr<Writer> writer;
    if (!settings.output.empty())
        writer =
            std::make_unique<Writer>(settings.output, metadata, planned_tensors(model, plan), open.file.alignment());
    progress.begin(matrix_weights(model));
    const Sink sink = [&](size_t index, const void *bytes, size_t size) {
        if (writer)
            writer->write(index, bytes, size);
        open.mapped.release();
    };
    result.tensors = quantize(model, settings, plan, samples, sink, kept.get(), progress, result.seconds);
    result.sequences = samples.sequences();
    result.context = samples.context;
    if (writer)
        result.size_after = writer->size();
    return writer;
}

// A model that has the tokens of the float one; what it is goes into the result.
std::unique_ptr<OpenModel> open_to_compare(const std::string &path, const Model &model, RunResult &result)
{
    auto other = std::make_unique<OpenModel>(path);
    if (other->model.shape().vocabulary != model.shape().vocabulary)
        throw Error(path + ": has " + std::to_string(other->model.shape().vocabulary) + " tokens, " +
                    model.file().name() + " has " + std::to_string(model.shape().vocabulary));
    result.output = path;
    result.size_after = other->mapped.size();
    return other;
}

RunResult run(Settings settings, Progress &progress)
{
    const auto start = std::chrono::steady_clock::now();
    check_writable(settings.output);
    check_writable(settings.report);
    const OpenModel open(settings.model);
    settings.context =
        settings.context > 0 ? settings.context : std::min<int64_t>(512, open.model.shape().trained_context);

    RunResult result;
    result.model = settings.model;
    result.output = settings.output;
    result.command = settings.command;
    result.shape = open.model.shape();
    result.size_before = open.mapped.size();
    // Read first: what is wrong with it is known before the work.
    Samples evaluation;
    const bool evaluates = !settings.evaluation.texts.empty() || !settings.evaluation.tokens.empty();
    if (evaluates)
        evaluation = read_samples(open.file, open.model.shape().vocabulary, settings.evaluation, settings.context,
                                  settings.evaluation_sequences);
    std::unique_ptr<Writer> writer;
    if (settings.quantizes()) {
        result.settings = describe(settings);
        writer = quantize_to_file(open, settings, progress, result);
    }
    if (evaluates) {
        const auto before = std::chrono::steady_clock::now();
        progress.begin(1);
        std::unique_ptr<OpenModel> quantized;
        if (writer)
            quantized = std::make_unique<OpenModel>(writer->finish());
        else if (!settings.compare.empty())
            quantized = open_to_compare(settings.compare, open.model, result);
        result.judgement =
            evaluate(open.model, quantized ? &quantized->model : nullptr, evaluation, settings.threads, progress);
        result.seconds.evaluation = since(before);
    }
    progress.clear();
    result.seconds.all = since(start);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    result.peak_memory = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    if (writer)
        writer->publish();
    if (!settings.report.empty())
        write_files({{settings.report, write_report(result)}});
    return result;
}

int work(const Settings &settings)
{
    // Work is cut into pieces here and in the library, one thread each.
    openblas_set_num_threads(1);
    Progress progress(progress_style(settings.quiet, settings.json));
    return run_work("bsq-gguf", settings.resume, progress, [&] {
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
    return run_program("bsq-gguf", count, words, read_settings, print_help, work);
}
