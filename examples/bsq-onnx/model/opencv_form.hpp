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

// Throws Error, naming 'path' and the first node of an operator that OpenCV does not run.
void check_opencv(const onnx::ModelProto &model, const std::string &path);

OpencvForm opencv_form(const Graph &graph, const onnx::NodeProto &node);

} // namespace bsq_onnx

#endif
