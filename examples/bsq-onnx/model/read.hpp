// An ONNX file read, checked, and brought into the one form that the rest works with.
#ifndef BSQ_ONNX_READ_HPP
#define BSQ_ONNX_READ_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Both with known shapes and BatchNormalization folded.
struct Network {
    Graph original;  // of the opset of the file
    Graph raised;    // of opset 13 or above
    int64_t bytes;   // of the file, and of what lies beside it
    uint64_t digest; // of the bytes of the file, and of those beside it
};

// Throws Error, without the path.
Network read_network(const std::string &path);

} // namespace bsq_onnx

#endif
