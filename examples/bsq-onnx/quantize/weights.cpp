// Codes, scales and zero points between the library's handles and results.
#include "quantize/weights.hpp"

namespace bsq_onnx {

void take_weights(const Layer &layer, bsq_layer_t *handle, LayerResult &l)
{
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    check(bsq_layer_get_tensor(handle, &tensor), layer, handle);
    const bool groups = tensor.scale_kind == BSQ_SCALE_KIND_PER_GROUP;
    l.group_size = groups ? tensor.group_size : 0;
    const int64_t each = groups ? (l.fan_in + l.group_size - 1) / l.group_size : 1;
    l.codes.resize(layer.weights.size());
    l.scales.resize(static_cast<size_t>(l.channels * each));
    l.zero_points.resize(tensor.weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT ? l.scales.size() : 0);
    tensor.codes = l.codes.data(), tensor.code_count = static_cast<int64_t>(l.codes.size());
    tensor.scales = l.scales.data(), tensor.scale_count = static_cast<int64_t>(l.scales.size());
    if (!l.zero_points.empty())
        tensor.zero_points = l.zero_points.data(), tensor.zero_point_count = tensor.scale_count;
    check(bsq_layer_get_tensor(handle, &tensor), layer, handle);
    l.dequantized.resize(layer.weights.size());
    check(bsq_layer_get_dequantized(handle, l.dequantized.data(), l.dequantized.size()), layer, handle);
}

void give_weights(const Layer &layer, const LayerResult &result, int32_t grid, bsq_layer_t *handle)
{
    LayerResult copy = result; // the library's struct has no const pointers
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.codes = copy.codes.data(), tensor.code_count = static_cast<int64_t>(copy.codes.size());
    tensor.scales = copy.scales.data(), tensor.scale_count = static_cast<int64_t>(copy.scales.size());
    if (!copy.zero_points.empty())
        tensor.zero_points = copy.zero_points.data(), tensor.zero_point_count = tensor.scale_count;
    tensor.channels = result.channels;
    tensor.fan_in = result.fan_in;
    tensor.weight_bits = result.bits;
    tensor.weight_grid = grid;
    tensor.scale_kind = result.group_size > 0 ? BSQ_SCALE_KIND_PER_GROUP : BSQ_SCALE_KIND_PER_CHANNEL;
    tensor.group_size = result.group_size;
    check(bsq_layer_set_tensor(handle, &tensor), layer, handle);
}

void weigh_alike(const Layer &layer, bool held_out_too, bsq_layer_t *handle)
{
    const int64_t n = layer.desc.in_channels;
    std::vector<float> unit(static_cast<size_t>(n * n), 0);
    for (int64_t i = 0; i < n; i++)
        unit[static_cast<size_t>(i * (n + 1))] = 1;
    for (int held_out = 0; held_out <= (held_out_too ? 1 : 0); held_out++) {
        const Batch batch = make_batch(layer, {n, n}, unit.data(), nullptr, held_out != 0);
        check(bsq_layer_calibrate(handle, &batch), layer, handle);
    }
}

} // namespace bsq_onnx
