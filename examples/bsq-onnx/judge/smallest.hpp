// The smallest network that loses no more than it may.
#ifndef BSQ_ONNX_SMALLEST_HPP
#define BSQ_ONNX_SMALLEST_HPP

#include <string>
#include <vector>

#include "judge/evaluate.hpp"
#include "plan/plan.hpp"
#include "samples/split.hpp"

namespace bsq_onnx {

inline constexpr int most_trials = 5;

struct Smallest {
    std::vector<int> bits;
    Quantized quantized;
    std::vector<std::string> tried; // what was quantized and judged, and what came out
};

// Points of 100 that the quantized network loses: of top-1, without labels of agreement, or of boxes found. Throws Error
// where nothing of that is known.
double points_lost(const Judgement &judgement);

// Layers that are not fixed get 4 or 8 bits. All at 4 are tried, all at 8, then at most three in between: of all within a
// budget those of which error tables expect the least error, the budget such that this error is where the limit may lie,
// by what the networks on both sides of it lost and by their measured errors. 'split': its evaluated samples judge. Throws
// Error when 8 bits lose more than settings.target_drop.
Smallest find_smallest(const Model &model, const Settings &settings, const Plan &plan, const Split &split,
                       const Task *task, Progress &progress);

} // namespace bsq_onnx

#endif
