// Channels of very different ranges, rescaled so that one quantizer serves them all.
#ifndef BSQ_ONNX_EQUALIZE_HPP
#define BSQ_ONNX_EQUALIZE_HPP

#include <optional>
#include <string>
#include <vector>

#include "plan/plan.hpp"
#include "quantize/quantize.hpp"
#include "shared.hpp"

namespace bsq_onnx {

struct Equalized {
    Model model;                      // the same function as the network, to the bit but for overflow
    std::vector<std::string> tensors; // layers' inputs whose channels have other scales now
};

// A channel whose values reach a in the layers that read it, and whose weights reach w there, gets the factor
// w^(1 - s) / a^s, rounded to a power of two: with it, ranges of channels (s = 1), of weights (s = 0) or both to the same
// part are alike, whatever scales the network came with. Taken for channels that are read together where some s of 1/4,
// 1/2 and 3/4 at least halves the error that rounding is expected to make in the layers that read them. Nothing when that
// is so nowhere. 'samples': the first of them are run.
std::optional<Equalized> equalize(const Model &model, const Settings &settings, const Plan &plan,
                                  const std::vector<SampleRef> &samples, Progress &progress);

} // namespace bsq_onnx

#endif
