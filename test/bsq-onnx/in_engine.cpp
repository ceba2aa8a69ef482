// Judges two networks that run in ONNX Runtime as bsq-onnx judges what it quantizes: the same samples, the same figures.
//
//     in_engine 'node test/engines/onnxruntime.js build/engines/node_modules' QUANTIZED.onnx NETWORK.onnx [options of bsq-onnx]
//
// The first words run an engine that reads samples and writes outputs, float32. Prints the figures as one JSON object.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>

#include <sys/wait.h>
#include <unistd.h>

#include "shared.hpp"
#include "judge/evaluate.hpp"
#include "quantize/engine.hpp"
#include "report/summary.hpp"
#include "samples/split.hpp"
#include "settings.hpp"

using namespace bsq_onnx;

namespace {

// A network that runs in another process.
class Engine {
public:
    Engine(const std::string &command, const std::string &network)
    {
        int in[2], out[2];
        if (pipe(in) != 0 || pipe(out) != 0)
            throw Error("no pipe");
        child_ = fork();
        if (child_ == 0) {
            dup2(in[0], 0);
            dup2(out[1], 1);
            for (const int end : {in[0], in[1], out[0], out[1]})
                close(end);
            execl("/bin/sh", "sh", "-c", ("exec " + command + " run \"$0\"").c_str(), network.c_str(), nullptr);
            _exit(127);
        }
        close(in[0]);
        close(out[1]);
        to_ = in[1];
        from_ = out[0];
    }
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;
    ~Engine()
    {
        close(to_);
        close(from_);
        waitpid(child_, nullptr, 0);
    }

    void start(const std::vector<float> &input)
    {
        transfer([&](char *data, size_t size) { return write(to_, data, size); }, const_cast<float *>(input.data()),
                 input.size());
    }

    void finish(std::vector<float> &output)
    {
        transfer([&](char *data, size_t size) { return read(from_, data, size); }, output.data(), output.size());
    }

private:
    template <typename Call> void transfer(Call call, float *values, size_t count)
    {
        char *data = reinterpret_cast<char *>(values);
        for (size_t left = count * sizeof(float); left > 0;) {
            const ssize_t done = call(data, left);
            if (done <= 0)
                throw Error("the engine stopped");
            data += done;
            left -= static_cast<size_t>(done);
        }
    }

    pid_t child_;
    int to_, from_;
};

int judge(const std::string &command, const std::string &quantized_path, const Settings &settings)
{
    const Model model = Model::load(settings.model);
    const std::unique_ptr<Task> task = make_task(settings.task, model);
    const Samples images(settings.images, settings.preprocessing, model.inputs());
    std::unique_ptr<Samples> test;
    if (!settings.test.empty())
        test = std::make_unique<Samples>(settings.test, settings.preprocessing, model.inputs());
    const Split split = split_samples(settings, images, test.get(), enough_samples(model));

    Engine real(command, settings.model), quantized(command, quantized_path);
    std::map<std::string, std::vector<float>> reference, got;
    Contest contest;
    for (const Value &output : model.outputs()) {
        contest.telling.push_back(output.name);
        reference[output.name].resize(static_cast<size_t>(count(output.shape)));
        got[output.name] = reference[output.name];
    }
    contest.run = [&](const Sample &sample) {
        const std::vector<float> input = to_floats(sample.inputs[0]);
        real.start(input);
        quantized.start(input);
        for (const Value &output : model.outputs()) {
            real.finish(reference.at(output.name));
            quantized.finish(got.at(output.name));
        }
    };
    contest.reference = [&](const std::string &tensor) { return reference.at(tensor); };
    contest.quantized = [&](const std::string &tensor) { return got.at(tensor); };
    Progress progress(Progress::Style::none);
    const Judgement judgement =
        evaluate(model, settings, contest, split.evaluation, split.labels, task.get(), progress);
    RunResult result;
    result.evaluation = judgement.evaluation;
    result.has_detection = judgement.has_detection;
    result.detection = judgement.detection;
    print_json(result);
    return 0;
}

} // namespace

int main(int count, char **words)
{
    if (count < 4) {
        std::cerr << "in_engine COMMAND QUANTIZED.onnx NETWORK.onnx [options of bsq-onnx]" << std::endl;
        return 2;
    }
    try {
        std::vector<char *> rest(words + 2, words + count);
        return judge(words[1], words[2], read_settings(count - 2, rest.data()));
    } catch (const std::exception &error) {
        std::cerr << "in_engine: " << error.what() << std::endl;
        return 1;
    }
}
