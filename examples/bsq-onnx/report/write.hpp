// Quantized networks as ONNX files, and the sidecar that has every number.
#ifndef BSQ_ONNX_WRITE_HPP
#define BSQ_ONNX_WRITE_HPP

#include <string>
#include <utility>
#include <vector>

#include "model/model.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

enum class Format {
    // int8 codes + DequantizeLinear, activations as QuantizeLinear / DequantizeLinear pairs on every tensor between
    // layers, int32 biases, opset 13 or above: what ONNX Runtime runs in integers
    qdq,
    qdq_layers, // the same before layers only, with float biases
    qdq_float,  // dequantized weights in the graph and opset of the file, no Q or DQ
    int4,       // opset 21: codes of up to 4 bits packed as INT4, else as qdq; with groups or zero points in blocks
    matmulnbits // com.microsoft MatMulNBits for Gemm and MatMul, all else float, in the opset of the file
};

// The bytes of the network; docs/formats.md says what is in it. A layer that was skipped (bits 0) keeps its weights and
// reads its input as it is; every other one reads it quantized, if 'result' quantizes that tensor.
// Throws Error when they are more than 2 GiB, which the format does not allow.
std::string write_model(const Model &model, const RunResult &result, Format format);

// The files of the network at 'path', each with its bytes: of more than 'limit' bytes it has its weights in a second
// one, path.data.
std::vector<std::pair<std::string, std::string>> network_files(const Model &model, const RunResult &result,
                                                               Format format, const std::string &path, int64_t limit);

// Bits, scales, zero points, errors of every layer and quantized tensor, as JSON.
std::string write_sidecar(const RunResult &result);

} // namespace bsq_onnx

#endif
