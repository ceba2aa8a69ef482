// The library's handle of a layer, and what goes into it.
#include "quantize/handle.hpp"

#include "model/transposed.hpp"
#include "shared.hpp"

namespace bsq_onnx {

void check(bsq_status_t status, const Layer &layer, const bsq_layer_t *handle)
{
    if (status == BSQ_E_CANCELLED || interrupted())
        throw Interrupted();
    if (status != BSQ_OK)
        throw Error("layer '" + layer.name + "': " + bsq_layer_error_message(handle));
}

void set_quantizer(const Layer &layer, const Quantizer &quantizer, bsq_layer_t *handle)
{
    if (quantizer.folded())
        check(bsq_layer_set_input_channels(handle, &quantizer.values, quantizer.scales.data(),
                                           quantizer.zero_points.data(), quantizer.scales.size()),
              layer, handle);
    else
        check(bsq_layer_set_input_quantizer(handle, &quantizer.values), layer, handle);
}

LayerHandle make_layer(const Layer &layer, const bsq_options_t &options)
{
    char text[200];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    bsq_layer_t *handle = nullptr;
    const float *bias = layer.bias.empty() ? nullptr : layer.bias.data();
    if (bsq_layer_create(&layer.desc, &options, layer.weights.data(), bias, &handle, &error) != BSQ_OK)
        throw Error("layer '" + layer.name + "': " + text);
    return LayerHandle(handle);
}

bsq_options_t layer_options(const Layer &layer, const Settings &settings, int bits)
{
    bsq_options_t options = settings.options;
    options.weight_bits = bits;
    const int64_t fan_in = static_cast<int64_t>(layer.weights.size()) / layer.desc.out_channels;
    int64_t group = settings.group_size;
    // MatMulNBits knows no other layout than blocks.
    while (settings.format == Format::matmulnbits && group > fan_in && group > least_matmul_block)
        group /= 2;
    if (group > 0 && (group < fan_in || (settings.format == Format::matmulnbits && group == fan_in))) {
        options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options.group_size = group;
    }
    return options;
}

Batch make_batch(const Layer &layer, const Shape &shape, const float *input, const float *target, bool held_out)
{
    Batch batch;
    bsq_batch_init(&batch, sizeof(bsq_batch_t));
    batch.input = input;
    batch.target = target;
    batch.held_out = held_out;
    Shape extents = shape;
    if (layer.desc.kind == BSQ_KIND_LINEAR)
        batch.size = count(shape) / layer.desc.in_channels;
    else
        batch.size = shape[0];
    if (layer.kind == Kind::conv_transpose) {
        extents = spread_shape(layer, shape);
        batch.input_ = spread_input(layer, shape, input);
        batch.input = batch.input_.data();
        batch.positions_ = 1;
        for (size_t i = 0; i < layer.spread.size(); i++)
            batch.positions_ *= extents[i + 2] - layer.desc.dilation[i] * (layer.desc.kernel[i] - 1);
        if (target != nullptr) {
            batch.target_ = turned_round(target, batch.size * layer.desc.out_channels, batch.positions_);
            batch.target = batch.target_.data();
        }
    }
    for (int i = 0; i < layer.desc.spatial_dims; i++)
        batch.spatial[i] = extents[static_cast<size_t>(i) + 2];
    return batch;
}

void Batch::weigh(const Layer &layer, const float *rows)
{
    row_weights = rows;
    row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    if (rows == nullptr || layer.kind != Kind::conv_transpose)
        return;
    rows_ = turned_round(rows, size, positions_);
    row_weights = rows_.data();
}

} // namespace bsq_onnx
