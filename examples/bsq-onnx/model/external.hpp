// Constants that lie in files beside the network's.
#ifndef BSQ_ONNX_EXTERNAL_HPP
#define BSQ_ONNX_EXTERNAL_HPP

#include <string>

#include "model/graph.hpp"

namespace bsq_onnx {

// Brings every tensor of the network at 'path' into it. Files are taken from the network's folder, or below it, only.
// Throws Error, naming tensor and file. Returns 'hash' with the bytes in it.
uint64_t load_external(onnx::ModelProto &model, const std::string &path, uint64_t hash);

uint64_t fnv1a(const std::string &bytes, uint64_t hash = 0xcbf29ce484222325U);

// Moves tensors of 'least' bytes and more out of the network: what belongs into the file of that name beside it.
std::string move_external(onnx::ModelProto &model, const std::string &name, size_t least = 1024);

} // namespace bsq_onnx

#endif
