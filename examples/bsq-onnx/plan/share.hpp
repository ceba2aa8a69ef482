// Quantizers that are chosen before layers are: of tensors that meet in an Add or Concat, or, in integer form, of all
// that carry one.
#ifndef BSQ_ONNX_SHARE_HPP
#define BSQ_ONNX_SHARE_HPP

#include <map>
#include <string>
#include <vector>

#include "plan/plan.hpp"
#include "shared.hpp"
#include "quantize/quantize.hpp"

namespace bsq_onnx {

// In integer form those of integer_points; else tensors that quantized layers read and Add or Concat join, in groups of
// two or more. The quantizer of a group comes from what the float network gives for all of its tensors, one scale for
// all channels, with the most bits that one of them has.
std::map<std::string, SharedQuantizer> share_quantizers(const Model &model, const Settings &settings, const Plan &plan,
                                                        const std::vector<SampleRef> &samples, Progress &progress);

// Where 'tensor' comes from a Clip: no code stands for more than its bound.
void limit_by_clip(const Model &model, const std::string &tensor, Quantizer &quantizer);

} // namespace bsq_onnx

#endif
