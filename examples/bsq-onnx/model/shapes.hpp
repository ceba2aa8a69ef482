// Shapes that a network computes, as frameworks export them: constants in disguise when all extents are known.
#ifndef BSQ_ONNX_SHAPES_HPP
#define BSQ_ONNX_SHAPES_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Computes graph.shapes from the input's on, and makes constants of what depends on shapes and constants alone. Throws
// Error when a shape is not static, does not fit, or a tensor is not float32.
void compute_shapes(Graph &graph);

} // namespace bsq_onnx

#endif
