// Weights with several scales a channel, or with zero points, as the library packs them for ONNX.
#ifndef BSQ_ONNX_BLOCKS_HPP
#define BSQ_ONNX_BLOCKS_HPP

#include <map>
#include <string>

#include <onnx/onnx_pb.h>

#include "quantize/result.hpp"

namespace bsq_onnx {

// ONNX 1.16's number for INT4, which older headers do not have.
inline constexpr int32_t int4_type = 22;

// Whether the layer's weights need blocks: more scales than one a channel, or zero points.
bool has_blocks(const LayerResult &layer);

// The constants that 'format' (BSQ_FORMAT_ONNX_...) has for the layer's weights, by the names that docs/formats.md gives
// them. Throws Error when the library refuses them.
std::map<std::string, onnx::TensorProto> packed_parts(const LayerResult &layer, int32_t format);

} // namespace bsq_onnx

#endif
