// Shapes that a network computes, as frameworks export them: constants in disguise when all extents are known.
#ifndef BSQ_ONNX_SHAPES_HPP
#define BSQ_ONNX_SHAPES_HPP

#include "graph.hpp"

namespace bsq_onnx {

// Computes graph.shapes, and makes constants of what depends on shapes and constants alone.
void compute_shapes(Graph &graph);

} // namespace bsq_onnx

#endif
