// One quantizer for tensors that meet in an Add or Concat, as engines that compute in integers want it.
#ifndef BSQ_ONNX_SHARE_HPP
#define BSQ_ONNX_SHARE_HPP

#include <map>
#include <string>
#include <vector>

#include "plan/plan.hpp"
#include "shared.hpp"
#include "quantize/quantize.hpp"

namespace bsq_onnx {

// Tensors that quantized layers read and Add or Concat join, in groups of two or more. The quantizer of a group comes
// from what the float network gives for all of its tensors, one scale for all channels, with the most bits that one of
// them has.
std::map<std::string, SharedQuantizer> share_quantizers(const Model &model, const Settings &settings, const Plan &plan,
                                                        const std::vector<SampleRef> &samples, Progress &progress);

} // namespace bsq_onnx

#endif
