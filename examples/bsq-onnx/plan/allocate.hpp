// Mixed precision: bits of each layer within a budget.
#ifndef BSQ_ONNX_ALLOCATE_HPP
#define BSQ_ONNX_ALLOCATE_HPP

#include "judge/evaluate.hpp"
#include "plan/plan.hpp"

namespace bsq_onnx {

// By layer and number of bits, 2 to 8: the relative error of the network's outputs that a layer is expected to make alone.
struct ErrorTables {
    std::vector<double> errors; // (layers, 7); zeros for layers whose bits are fixed

    double at(size_t layer, int bits) const;
    double of(const Plan &plan, const std::vector<int> &bits) const; // sum over layers that are not fixed
};

// 'samples' are split in two: statistics of layers, and runs of the network with one layer quantized.
ErrorTables measure_errors(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples,
                           const Plan &plan, Progress &progress);

// Bits of all layers, of those that are not fixed among 'allowed', so that the sum of errors is the least for which
// weights take no more than 'budget' bits. Throws Error when nothing fits.
std::vector<int> allocate(const Model &model, const Plan &plan, const ErrorTables &tables,
                          const std::vector<int> &allowed, int64_t budget);

// What weights take in files that have 4 bits: a layer of other bits is as large as one of these.
inline const std::vector<int> sized_bits = {4, 8};

// Replaces plan.bits of the layers that are not fixed, so that weights have settings.average_bits on average, by what a
// layer's error does to the network's output. Throws Error when the average cannot be reached.
void choose_bits(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples, Plan &plan,
                 Progress &progress);

// Whether choose_bits, or find_smallest with settings.target_drop, could have come to these bits of layers: that they are
// in range, leave what is fixed and fit the budget.
bool may_be_chosen(const Model &model, const Settings &settings, const Plan &plan, const std::vector<int> &bits);

} // namespace bsq_onnx

#endif
