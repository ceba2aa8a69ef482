// Graphs made simple before layers are looked for: the same network in fewer forms.
#ifndef BSQ_ONNX_FOLD_HPP
#define BSQ_ONNX_FOLD_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// The steps, in this order; shapes must be known before each of them.

// Identity and Dropout go away.
void bypass_identities(Graph &graph);

// auto_pad becomes pads; Gemm becomes x B' + c with B (M, n) and c (M), its factors in the constants.
void normalize_layers(Graph &graph);

// BatchNormalization, Mul and Add with one value per channel go into the weights and bias of the layer before them.
void fold_affine(Graph &graph);

// The bias of a MatMul with constant weights: index of the Add that follows it, or -1. The Add is moved behind its
// MatMul by fold_affine.
int matmul_bias(const Graph &graph, int node);

} // namespace bsq_onnx

#endif
