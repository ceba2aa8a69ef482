// What operators look like in the versions of ONNX (opsets): all networks are brought into the form of opset 13 or
// above when they are read, so that nothing else needs to know older ones. The table is in docs/formats.md.
#ifndef BSQ_ONNX_OPSET_HPP
#define BSQ_ONNX_OPSET_HPP

#include <functional>

#include "model/graph.hpp"

namespace bsq_onnx {

// Networks may be of oldest_opset to newest_opset; the ONNX library of Debian 12 knows operators up to known_opset.
// QuantizeLinear and DequantizeLinear have an axis from qdq_opset on, tensors may be INT4 from int4_opset on.
constexpr int64_t oldest_opset = 7, known_opset = 17, newest_opset = 23, qdq_opset = 13, int4_opset = 21;

// Whether ONNX's library describes the operator in known_opset.
bool is_described(const onnx::NodeProto &node);

// Brings a network of a newer opset to known_opset. Throws Error, naming the node, when a node cannot be lowered. One
// with operators that the ONNX library does not know stays as it is.
void lower_opset(onnx::ModelProto &model);

// The same for the copy of one node: 'constant' gives the value of a constant input, or NULL.
using FindConstant = std::function<const onnx::TensorProto *(const std::string &)>;
void lower_node(const FindConstant &constant, onnx::NodeProto &node);

// Whether OpenCV runs the operator.
bool known_to_opencv(const onnx::NodeProto &node);

// To qdq_opset, or, with int4_opset, from there to it. Shapes must be known. Throws Error when a node cannot be raised.
void raise_opset(Graph &graph, int64_t to);

} // namespace bsq_onnx

#endif
