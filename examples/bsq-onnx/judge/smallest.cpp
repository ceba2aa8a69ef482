// The smallest network that loses no more than it may.
#include "judge/smallest.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plan/allocate.hpp"

namespace bsq_onnx {

double points_lost(const Judgement &judgement)
{
    const Evaluation &e = judgement.evaluation;
    if (e.samples > 0 && e.labelled)
        return 100 * (e.float_top1 - e.top1);
    if (e.samples > 0 && e.agreement >= 0)
        return 100 * (1 - e.agreement);
    for (const MetricResult &metric : judgement.metrics)
        if (metric.metric == "tokens" && metric.count > 0)
            return 100 * (1 - metric.agreement);
    const Detection &d = judgement.detection;
    if (judgement.has_detection && d.confident > 0)
        return 100 * (1 - static_cast<double>(d.found) / static_cast<double>(d.confident));
    throw Error("--target-drop needs a network that classifies, --metric tokens, or pictures in which it finds boxes");
}

namespace {

struct Trial {
    std::vector<int> bits;
    Quantized quantized;
    double expected = 0, error = 0, lost = 0; // error of the outputs by the tables, as measured; points
};

class Search {
public:
    Search(const Model &model, const Settings &settings, const Plan &plan, const Split &split, const Task *task,
           Progress &progress)
        : model_(model), settings_(settings), plan_(plan), split_(split), task_(task), progress_(progress),
          tables_(measure_errors(model, settings, split.calibration, plan, progress))
    {
    }

    Smallest run()
    {
        Trial small = attempt(all_at(sized_bits.front()));
        if (fits(small))
            return found(std::move(small));
        Trial large = attempt(all_at(sized_bits.back()));
        if (!fits(large))
            throw Error("--target-drop " + text(settings_.target_drop) + " cannot be reached: " + tried_.back());
        while (static_cast<int>(tried_.size()) < most_trials) {
            const std::vector<int> bits = between(small, large);
            if (bits == small.bits || bits == large.bits)
                break;
            Trial trial = attempt(bits);
            (fits(trial) ? large : small) = std::move(trial);
        }
        return found(std::move(large));
    }

private:
    static std::string text(double value)
    {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%g", value);
        return buffer;
    }

    bool fits(const Trial &trial) const { return trial.lost <= settings_.target_drop + 1e-9; } // shares are rounded

    Smallest found(Trial trial) { return {trial.bits, std::move(trial.quantized), tried_}; }

    std::vector<int> all_at(int bits) const
    {
        std::vector<int> all = plan_.bits;
        for (size_t i = 0; i < all.size(); i++)
            if (!plan_.fixed[i])
                all[i] = bits;
        return all;
    }

    int64_t size(const std::vector<int> &bits) const
    {
        int64_t sum = 0;
        for (size_t i = 0; i < bits.size(); i++)
            sum += bits[i] * stored_weights(model_, bits, i);
        return sum;
    }

    // The error between both at which the limit may lie: losses are taken to grow with its logarithm. What the larger
    // network is off by beyond its table, by its activations, the one in between is, too.
    double wanted_error(const Trial &small, const Trial &large) const
    {
        constexpr double least = 1e-30;
        const double range = small.lost - large.lost;
        const double share = range > 0 ? std::clamp((small.lost - settings_.target_drop) / range, 0.25, 0.75) : 0.5;
        const double error = std::exp((1 - share) * std::log(std::max(small.error, least)) +
                                      share * std::log(std::max(large.error, least)));
        const double beyond = std::max(large.error - large.expected, 0.0);
        return std::max(error - beyond, std::sqrt(std::max(large.expected * error, least)));
    }

    // Halves the budget's range until the expected error is next to the wanted one.
    std::vector<int> between(const Trial &small, const Trial &large) const
    {
        const double wanted = wanted_error(small, large);
        int64_t low = size(small.bits), high = size(large.bits);
        std::vector<int> bits = large.bits;
        while (high - low > (high + low) / 1000 + 1) {
            const int64_t middle = low + (high - low) / 2;
            bits = allocate(model_, plan_, tables_, sized_bits, middle);
            (tables_.of(plan_, bits) > wanted ? low : high) = middle;
        }
        return bits;
    }

    Trial attempt(const std::vector<int> &bits)
    {
        Plan plan = plan_;
        plan.bits = bits;
        Trial trial;
        trial.bits = bits;
        trial.expected = tables_.of(plan_, bits);
        trial.quantized = quantize(model_, settings_, plan, split_.for_layers(),
                                   static_cast<int64_t>(split_.calibration.size()), progress_, nullptr);
        const Judgement judgement =
            evaluate(model_, settings_, trial.quantized, "", split_.evaluation, split_.labels, task_, progress_);
        trial.lost = points_lost(judgement);
        trial.error = judgement.evaluation.output_error;
        int64_t weights = 0;
        for (size_t i = 0; i < bits.size(); i++)
            weights += bits[i] > 0 ? stored_weights(model_, bits, i) : 0;
        char line[200];
        std::snprintf(
            line, sizeof line,
            "tried %.2f bits a weight: %.2f points lost on %lld samples, error of the outputs %.4g, expected %.4g",
            static_cast<double>(size(bits)) / static_cast<double>(std::max<int64_t>(weights, 1)), trial.lost,
            static_cast<long long>(judgement.evaluation.samples), judgement.evaluation.output_error, trial.expected);
        tried_.push_back(line);
        progress_.note(line);
        return trial;
    }

    const Model &model_;
    const Settings &settings_;
    const Plan &plan_;
    const Split &split_;
    const Task *task_;
    Progress &progress_;
    const ErrorTables tables_;
    std::vector<std::string> tried_;
};

} // namespace

Smallest find_smallest(const Model &model, const Settings &settings, const Plan &plan, const Split &split,
                       const Task *task, Progress &progress)
{
    return Search(model, settings, plan, split, task, progress).run();
}

} // namespace bsq_onnx
