// Codes, scales and zero points between the library's handles and results.
#ifndef BSQ_ONNX_WEIGHTS_HPP
#define BSQ_ONNX_WEIGHTS_HPP

#include "quantize/handle.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

// Takes them from a handle that has a result, with the weights that they stand for.
void take_weights(const Layer &layer, bsq_layer_t *handle, LayerResult &result);

// Makes those of 'result' the handle's, which judges them on its own statistics and corrects its own bias. 'grid' is the
// BSQ_WEIGHT_GRID_... that they are of.
void give_weights(const Layer &layer, const LayerResult &result, int32_t grid, bsq_layer_t *handle);

// Gives the handle statistics with which the error is that of the weights themselves.
void weigh_alike(const Layer &layer, bool held_out_too, bsq_layer_t *handle);

} // namespace bsq_onnx

#endif
