// What operators look like in the versions of ONNX (opsets): all networks are brought into the form of opset 13 or
// above when they are read, so that nothing else needs to know older ones. The table is in docs/formats.md.
#ifndef BSQ_ONNX_OPSET_HPP
#define BSQ_ONNX_OPSET_HPP

#include "graph.hpp"

namespace bsq_onnx {

// Networks may be of these; QuantizeLinear and DequantizeLinear have an axis from 13 on, tensors may be INT4 from 21
// on.
constexpr int64_t oldest_opset = 7, newest_opset = 17, qdq_opset = 13, int4_opset = 21;

// Throws Error, naming the node, for an operator that is not known here.
void check_operator(const onnx::NodeProto &node);

// To qdq_opset, or, with int4_opset, from there to it. Shapes must be known. Throws Error when a node cannot be raised.
void raise_opset(Graph &graph, int64_t to);

// A node in the forms that OpenCV 4.6 reads and computes right, with constants of its own.
struct OpencvForm {
    std::vector<onnx::NodeProto> nodes;
    std::map<std::string, onnx::TensorProto> constants;
};

OpencvForm opencv_form(const Graph &graph, const onnx::NodeProto &node);

} // namespace bsq_onnx

#endif
