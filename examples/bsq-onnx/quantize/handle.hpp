// The library's handle of a layer, and what goes into it.
#ifndef BSQ_ONNX_HANDLE_HPP
#define BSQ_ONNX_HANDLE_HPP

#include <memory>

#include "model/model.hpp"
#include "quantize/engine.hpp"
#include "settings.hpp"

namespace bsq_onnx {

struct LayerDeleter {
    void operator()(bsq_layer_t *layer) const { bsq_layer_free(layer); }
};
using LayerHandle = std::unique_ptr<bsq_layer_t, LayerDeleter>;

LayerHandle make_layer(const Layer &layer, const bsq_options_t &options);

inline constexpr int64_t least_matmul_block = 16; // inputs that share a scale in MatMulNBits

// Those of the run, with the layer's own bits and, where it has more inputs than one, groups of them.
bsq_options_t layer_options(const Layer &layer, const Settings &settings, int bits);

void set_quantizer(const Layer &layer, const Quantizer &quantizer, bsq_layer_t *handle);

// A batch, and room for what the library is given in another order than the network has it.
class Batch : public bsq_batch_t {
public:
    // Weights of output positions, or NULL; they are copied where the layer's positions are turned round.
    void weigh(const Layer &layer, const float *rows);

private:
    int64_t positions_ = 0; // of a transposed convolution's output
    std::vector<float> input_, target_, rows_;
    friend Batch make_batch(const Layer &layer, const Shape &shape, const float *input, const float *target,
                            bool held_out);
};

// A batch of one sample, whose input has that shape.
Batch make_batch(const Layer &layer, const Shape &shape, const float *input, const float *target, bool held_out);

// Throws Error with the layer's text, or Interrupted.
void check(bsq_status_t status, const Layer &layer, const bsq_layer_t *handle);

} // namespace bsq_onnx

#endif
