// How much work a run is, by what is known before it.
#include "plan/work.hpp"

namespace bsq_onnx {

namespace {

constexpr int least_effort = 3, most_effort = 9;
constexpr double share_of_solving = 0.1;
constexpr double layer_overhead =
    1e8; // what a layer takes with any samples: its segment is read by the engine several times

double work_of(const Layer &layer, int64_t samples, double each)
{
    return static_cast<double>(layer.multiplications) * static_cast<double>(samples) * each;
}

} // namespace

double network_work(const Model &model)
{
    double work = 0;
    for (const Layer &layer : model.layers())
        work += judging_work(layer, 1) / 2;
    return work;
}

double gathering_work(const Layer &layer, int64_t samples)
{
    return work_of(layer, samples, 0.8);
}

double sharing_work(const Model &model, const Plan &plan, int64_t samples)
{
    double work = 0;
    for (size_t i = 0; i < model.layers().size(); i++)
        if (first_use(model, plan.bits, i) != i)
            work += gathering_work(model.layers()[i], samples);
    return work > 0 ? work + network_work(model) * static_cast<double>(samples) : 0;
}

double judging_work(const Layer &layer, int64_t samples)
{
    return work_of(layer, samples, 0.3);
}

double solving_work(const Layer &layer, int effort)
{
    // Channels of few inputs are solved to a proven optimum, those of some are searched widely, of many narrowly.
    constexpr double few = 16, some = 256;
    static constexpr double of_few[] = {1e4, 2e5, 2.5e5, 3e5, 3.5e5, 3.5e5, 3.5e5, 3.5e5, 7e5, 2e6};
    static constexpr double of_some[] = {1e4, 6e4, 1e5, 2e5, 3.5e5, 6e5, 2.6e6, 8e6, 5e7, 1.5e8};
    static constexpr double of_many[] = {0.8, 1.2, 1.4, 1.6, 1.7, 1.8, 2.8, 5.2, 22, 70}; // times n^2
    const double fan_in = static_cast<double>(layer.weights.size()) / static_cast<double>(layer.desc.out_channels);
    const double each = fan_in <= few    ? of_few[effort]
                        : fan_in <= some ? of_some[effort]
                                         : of_many[effort] * fan_in * fan_in;
    return each * static_cast<double>(layer.desc.out_channels);
}

int chosen_effort(const Model &model, const Plan &plan, int64_t fitted, int64_t judged)
{
    for (int effort = most_effort; effort > least_effort; effort--) {
        double solving = 0, rest = 0;
        for (size_t i = 0; i < model.layers().size(); i++) {
            const Layer &layer = model.layers()[i];
            rest += gathering_work(layer, fitted) + judging_work(layer, judged) + layer_overhead;
            solving += plan.bits[i] > 0 ? solving_work(layer, effort) : 0;
        }
        if (solving <= share_of_solving * (solving + rest))
            return effort;
    }
    return least_effort;
}

} // namespace bsq_onnx
