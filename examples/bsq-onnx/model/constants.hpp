// Constants in disguise: weights that a network moves or converts before it uses them.
#ifndef BSQ_ONNX_CONSTANTS_HPP
#define BSQ_ONNX_CONSTANTS_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Makes constants of what Identity, Transpose, Reshape, Flatten, Squeeze, Unsqueeze and Cast give of constants, as far as
// layers take it in as their weights or bias: all other nodes stay as the file has them. A matrix of MatMul that has
// extents of 1 in front, which add nothing to its result's shape, loses them. Shapes must be known.
void fold_constants(Graph &graph);

} // namespace bsq_onnx

#endif
