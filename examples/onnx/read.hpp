// An ONNX file read, checked, and brought into the one form that the rest works with.
#ifndef BSQ_ONNX_READ_HPP
#define BSQ_ONNX_READ_HPP

#include "graph.hpp"

namespace bsq_onnx {

// Of opset 13 or above, shapes known, BatchNormalization folded; 'digest' is of the file's bytes. Throws Error.
Graph read_network(const std::string &path, uint64_t &digest);

} // namespace bsq_onnx

#endif
