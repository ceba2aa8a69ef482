// Where a network that engines run in integers has quantizers: on every tensor between its layers.
#ifndef BSQ_ONNX_POINTS_HPP
#define BSQ_ONNX_POINTS_HPP

#include <limits>
#include <string>
#include <vector>

#include "plan/plan.hpp"

namespace bsq_onnx {

// Tensors with one quantizer: those between which values only move (MaxPool, Concat, Transpose, ...), or one alone.
struct PointGroup {
    std::vector<std::string> tensors;
    // No code stands for more than this, where a Clip ends all of them there: engines drop the Clip, or read it twice.
    float most = std::numeric_limits<float>::infinity();
    std::vector<float> clips; // where Clips before single tensors of the group end
};

// The tensors that the network's quantized layers read and give, and those of the operators between them, as ONNX
// Runtime fuses them to integer forms: a Relu or Clip behind a layer or an Add belongs to it, as far as codes imply it;
// what the last layers give stays float unless it is averaged. settings.keep_float names tensors, or nodes, without
// quantizers. In execution order.
std::vector<PointGroup> integer_points(const Model &model, const Settings &settings, const Plan &plan);

} // namespace bsq_onnx

#endif
