// Mixed precision: bits of each layer within a budget.
#ifndef BSQ_ONNX_ALLOCATE_HPP
#define BSQ_ONNX_ALLOCATE_HPP

#include "judge/evaluate.hpp"
#include "plan/plan.hpp"

namespace bsq_onnx {

// Replaces plan.bits of the layers that are not fixed, so that weights have settings.average_bits on average, by what a
// layer's error does to the network's output. 'samples' are split in two: statistics of layers, and runs of the network
// with one layer quantized. Throws Error when the average cannot be reached.
void choose_bits(const Model &model, const Settings &settings, const std::vector<SampleRef> &samples, Plan &plan,
                 Progress &progress);

// Whether choose_bits could have come to these bits of layers: that they are in range, leave what is fixed and fit the
// budget.
bool may_be_chosen(const Model &model, const Settings &settings, const Plan &plan, const std::vector<int> &bits);

} // namespace bsq_onnx

#endif
