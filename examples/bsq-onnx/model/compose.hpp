// Nodes that hold several matrices, opened up so that each of them is a layer: the network computes the same, and what a
// matrix is multiplied with is a tensor of it. They are written as the nodes that they were.
#ifndef BSQ_ONNX_COMPOSE_HPP
#define BSQ_ONNX_COMPOSE_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Opens LSTM and GRU, and Attention and EmbedLayerNormalization of com.microsoft, where their matrices are constant; what FusedMatMul of com.microsoft
// does becomes a MatMul. Those that stay as they are go to graph.refused with the reason. Shapes must be known; those of new
// tensors are not.
//
// An LSTM becomes, for each direction,
//
//     product = x W' + b                      a layer
//     LSTM with the unit matrix for W         what it gives for each step, one step late, is h
//     recurrent = h R' + b                    a layer, whose result nothing reads
//     LSTM with the unit matrix for W         what the node gives, with the same R as the layer
//
// and a GRU that resets before it multiplies (linear_before_reset is 0) has two such layers, the second of which reads
// reset * h.
void open_composites(Graph &graph);

} // namespace bsq_onnx

#endif
