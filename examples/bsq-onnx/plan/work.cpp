// How much work a run is, by what is known before it.
#include "plan/work.hpp"

namespace bsq_onnx {

namespace {

constexpr int least_effort = 3, most_effort = 9;
constexpr double share_of_solving = 0.1;

// Of one sample through all of the network, once.
double run_once(const Layer &layer)
{
    return static_cast<double>(layer.multiplications);
}

} // namespace

double gathering_work(const Layer &layer, int64_t samples)
{
    const double fan_in = static_cast<double>(layer.weights.size()) / static_cast<double>(layer.desc.out_channels);
    const double rows = static_cast<double>(layer.multiplications) / static_cast<double>(layer.weights.size());
    const double channels = static_cast<double>(layer.desc.out_channels),
                 groups = static_cast<double>(layer.desc.groups);
    const double statistics = rows * groups * fan_in * (fan_in / 2 + channels / groups);
    // As float, quantized, and the layer alone for its target.
    return static_cast<double>(samples) * (3 * run_once(layer) + statistics);
}

double solving_work(const Layer &layer, int effort)
{
    // Times M n^2, by effort; measured beside gathering_work, see docs/results.md.
    static constexpr double factors[] = {1, 1.5, 2, 3, 4.5, 7, 11, 20, 40, 80};
    const double fan_in = static_cast<double>(layer.weights.size()) / static_cast<double>(layer.desc.out_channels);
    return static_cast<double>(layer.desc.out_channels) * fan_in * fan_in * factors[effort];
}

int chosen_effort(const Model &model, const Plan &plan, int64_t fitted, int64_t judged)
{
    for (int effort = most_effort; effort > least_effort; effort--) {
        double solving = 0, rest = 0;
        for (size_t i = 0; i < model.layers().size(); i++) {
            const Layer &layer = model.layers()[i];
            rest += 2 * static_cast<double>(judged) * run_once(layer);
            if (plan.bits[i] > 0) {
                rest += gathering_work(layer, fitted);
                solving += solving_work(layer, effort);
            }
        }
        if (solving <= share_of_solving * (solving + rest))
            return effort;
    }
    return least_effort;
}

} // namespace bsq_onnx
