// Networks of float16 and bfloat16, worked on in float32: what the file has of these types is noted when it is read and
// made so again when it is written.
#ifndef BSQ_ONNX_HALVES_HPP
#define BSQ_ONNX_HALVES_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Makes inputs, outputs, constants and casts of these types float32, exactly. Returns which inputs, outputs and
// constants they were, with their types.
std::map<std::string, int32_t> widen(onnx::ModelProto &model);

// Gives inputs and outputs their types back, behind casts, and stores constants whose values allow it in theirs, in
// front of casts, which engines evaluate when they load the network.
void narrow(const std::map<std::string, int32_t> &halves, onnx::ModelProto &model);

} // namespace bsq_onnx

#endif
