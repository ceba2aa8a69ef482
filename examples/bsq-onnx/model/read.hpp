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
    Tracing tracing; // empty when the network is not traced
};

// What is wrong with a sample that the network was to be traced with.
struct SampleError : Error {
    using Error::Error;
};

// Throws Error, without the path, or SampleError.
Network read_network(const std::string &path, const Tracing &tracing);

} // namespace bsq_onnx

#endif
