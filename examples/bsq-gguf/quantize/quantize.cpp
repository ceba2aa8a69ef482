#include "quantize/quantize.hpp"

#include <algorithm>
#include <cstring>

#include "model/forward.hpp"
#include "quantize/activations.hpp"
#include "quantize/solve.hpp"

namespace bsq_gguf {

namespace {

class Quantizer {
public:
    Quantizer(const Model &model, const Settings &settings, const Plan &plan, const Samples &samples, const Sink &sink,
              const Kept *kept, Progress &progress, Seconds &seconds)
        : model_(model), plan_(plan), sink_(sink), kept_(kept), progress_(progress), seconds_(seconds),
          solver_(settings, progress, seconds), activations_(model, samples, settings.threads, settings.mu > 0,
                                                             room_beside(model, settings, plan, samples.context))
    {
    }

    std::vector<TensorResult> run()
    {
        const Matrix embedding = matrix("token_embd.weight", model_.embedding(), {}, {}, false, no_stats());
        activations_.embed(model_.embedding(), embedding);
        for (int64_t b = 0; b < model_.shape().blocks; b++)
            block(b);
        output();
        copy_others();
        return std::move(results_);
    }

private:
    StatsHandle &no_stats()
    {
        shared_.reset();
        return shared_;
    }

    // A matrix of the new file: solved, rounded, or as it is. It is given away, and returned for the forward pass.
    Matrix matrix(const std::string &name, const Matrix &weights, const std::vector<float> &bias, const Feed &feed,
                  bool share, StatsHandle &shared)
    {
        const Tensor *tensor = model_.file().find(name);
        const auto index = static_cast<size_t>(tensor - model_.file().tensors().data());
        TensorResult result;
        result.name = name;
        result.from = tensor->type;
        result.type = plan_.types[index];
        result.rows = weights.rows;
        result.columns = weights.columns;
        done_[index] = true;
        progress_.step(name, static_cast<double>(weights.rows * weights.columns));
        Matrix made;
        if (result.type == tensor->type) {
            result.size = tensor->size;
            made = Matrix(*tensor);
        } else {
            std::vector<unsigned char> bytes;
            const bool there = kept_ != nullptr && kept_->load(result, bytes);
            if (!there) {
                bytes = result.type->is_float()
                            ? solver_.round(weights, *result.type)
                            : solver_.solve(weights, bias, *result.type, feed, share, shared, result);
                result.size = bytes.size();
                if (kept_ != nullptr)
                    kept_->save(result, bytes);
            }
            made = Matrix(*result.type, weights.rows, weights.columns, std::move(bytes));
        }
        sink_(index, made.data, made.bytes());
        results_.push_back(result);
        progress_.end(line_of(result), result.solved ? result.error : -1);
        return made;
    }

    static std::string line_of(const TensorResult &result)
    {
        char text[200];
        if (result.solved)
            std::snprintf(text, sizeof text, "%-28s %-6s error %.6f  (rounding %.6f)  %.1f s", result.name.c_str(),
                          result.type->name, result.error, result.error_rounding, result.seconds);
        else
            std::snprintf(text, sizeof text, "%-28s %-6s", result.name.c_str(), result.type->name);
        return text;
    }

    void block(int64_t index)
    {
        const BlockWeights own = model_.block(index);
        BlockWeights quantized = model_.block(index);
        for (size_t s = 0; s < stages.size(); s++) {
            const Stage &stage = stages[s];
            StatsHandle &shared = no_stats();
            for (size_t i = 0; i < stage.count; i++) {
                const auto linear = static_cast<Linear>(stage.first + i);
                const Feed feed = [&](int64_t first, int64_t count,
                                      const std::function<void(const Activations &)> &take) {
                    activations_.feed(own, quantized, s, linear, first, count, take, progress_);
                };
                quantized.linear[linear] = matrix(linear_name(index, linear) + ".weight", own.linear[linear],
                                                  own.bias[linear], feed, i + 1 < stage.count, shared);
            }
            shared_.reset();
            if (stage.count == 1) {
                Clock clock;
                activations_.advance(own, quantized, s, progress_);
                clock.charge(seconds_.forward);
            }
        }
    }

    void output()
    {
        if (model_.tied())
            return;
        const Matrix own = model_.output();
        const std::vector<float> norm = model_.output_norm();
        const Feed feed = [&](int64_t first, int64_t count, const std::function<void(const Activations &)> &take) {
            activations_.feed_output(norm, own, first, count, take, progress_);
        };
        matrix("output.weight", own, {}, feed, false, no_stats());
    }

    // Norms, biases and whatever else is no matrix.
    void copy_others()
    {
        const std::vector<Tensor> &tensors = model_.file().tensors();
        for (size_t i = 0; i < tensors.size(); i++)
            if (!done_[i])
                sink_(i, tensors[i].data, tensors[i].size);
    }

    const Model &model_;
    const Plan &plan_;
    const Sink &sink_;
    const Kept *kept_;
    Progress &progress_;
    Seconds &seconds_;
    Solver solver_;
    ActivationStore activations_;
    StatsHandle shared_;
    std::vector<TensorResult> results_;
    std::vector<bool> done_ = std::vector<bool>(model_.file().tensors().size(), false);
};

} // namespace

Need memory_need(const Model &model, const Settings &settings, const Plan &plan, int64_t context)
{
    Need need;
    const std::vector<Tensor> &tensors = model.file().tensors();
    const size_t scratch = ActivationStore::scratch(model.shape(), context, settings.threads);
    for (size_t i = 0; i < tensors.size(); i++) {
        if (plan.types[i] == tensors[i].type || plan.types[i]->is_float())
            continue;
        const size_t bytes = scratch + solve_memory(*plan.types[i], tensors[i].rows(), tensors[i].columns(), settings);
        if (bytes > need.bytes)
            need = {bytes, tensors[i].name};
    }
    return need;
}

Room room_beside(const Model &model, const Settings &settings, const Plan &plan, int64_t context)
{
    Room room = make_room(settings.memory);
    const Need need = memory_need(model, settings, plan, context);
    room.memory = std::max<int64_t>(0, settings.memory - static_cast<int64_t>(need.bytes));
    return room;
}

std::vector<TensorResult> quantize(const Model &model, const Settings &settings, const Plan &plan,
                                   const Samples &samples, const Sink &sink, const Kept *kept, Progress &progress,
                                   Seconds &seconds)
{
    return Quantizer(model, settings, plan, samples, sink, kept, progress, seconds).run();
}

} // namespace bsq_gguf
