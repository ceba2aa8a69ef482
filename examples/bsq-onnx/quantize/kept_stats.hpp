// Statistics of the layer at hand, kept for --resume.
#ifndef BSQ_ONNX_KEPT_STATS_HPP
#define BSQ_ONNX_KEPT_STATS_HPP

#include "model/model.hpp"
#include "quantize/checkpoint.hpp"

namespace bsq_onnx {

// Takes over what is kept: of the samples that calibrate, and of those held out where there are such. False when any of it
// is not there.
bool import_stats(const Checkpoint &checkpoint, const Layer &layer, size_t index, bool held_out_too,
                  bsq_layer_t *handle);

void export_stats(Checkpoint &checkpoint, const Layer &layer, size_t index, bool held_out_too, bsq_layer_t *handle);

} // namespace bsq_onnx

#endif
