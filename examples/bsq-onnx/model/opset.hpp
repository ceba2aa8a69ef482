// What operators look like in the versions of ONNX (opsets): all networks are brought into the form of opset 13 or
// above when they are read, so that nothing else needs to know older ones. The table is in docs/formats.md.
#ifndef BSQ_ONNX_OPSET_HPP
#define BSQ_ONNX_OPSET_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Networks may be of oldest_opset to newest_opset; the ONNX library of Debian 12 knows operators up to known_opset.
// QuantizeLinear and DequantizeLinear have an axis from qdq_opset on, tensors may be INT4 from int4_opset on.
constexpr int64_t oldest_opset = 7, known_opset = 17, newest_opset = 23, qdq_opset = 13, int4_opset = 21;

// From above known_opset to it. Throws Beyond, naming the node, when a node cannot be lowered.
void lower_opset(onnx::ModelProto &model);

// Throws Beyond, naming the node, for an operator that is not known here.
void check_operator(const onnx::NodeProto &node);

// To qdq_opset, or, with int4_opset, from there to it. Shapes must be known. Throws Error when a node cannot be raised.
void raise_opset(Graph &graph, int64_t to);

} // namespace bsq_onnx

#endif
