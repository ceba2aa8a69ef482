// Nodes as OpenCV 4.6 wants them.
#ifndef BSQ_ONNX_OPENCV_FORM_HPP
#define BSQ_ONNX_OPENCV_FORM_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// A node in the forms that OpenCV 4.6 reads and computes right, with constants of its own.
struct OpencvForm {
    std::vector<onnx::NodeProto> nodes;
    std::map<std::string, onnx::TensorProto> constants;
};

OpencvForm opencv_form(const Graph &graph, const onnx::NodeProto &node);

} // namespace bsq_onnx

#endif
