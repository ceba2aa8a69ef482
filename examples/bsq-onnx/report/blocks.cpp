// Weights with several scales a channel, or with zero points, as the library packs them for ONNX.
#include "report/blocks.hpp"

#include "shared.hpp"

namespace bsq_onnx {

static int32_t type_of(int32_t element)
{
    switch (element) {
    case BSQ_ELEMENT_TYPE_INT4: return int4_type;
    case BSQ_ELEMENT_TYPE_INT8: return onnx::TensorProto::INT8;
    case BSQ_ELEMENT_TYPE_UINT8: return onnx::TensorProto::UINT8;
    default: return onnx::TensorProto::FLOAT;
    }
}

bool has_blocks(const LayerResult &layer)
{
    return layer.group_size > 0 || !layer.zero_points.empty();
}

std::map<std::string, onnx::TensorProto> packed_parts(const LayerResult &layer, int32_t format)
{
    LayerResult copy = layer; // the library's struct has no const pointers
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.codes = copy.codes.data(), tensor.code_count = static_cast<int64_t>(copy.codes.size());
    tensor.scales = copy.scales.data(), tensor.scale_count = static_cast<int64_t>(copy.scales.size());
    tensor.channels = layer.channels;
    tensor.fan_in = layer.fan_in;
    tensor.weight_bits = layer.bits;
    tensor.weight_grid = BSQ_WEIGHT_GRID_FULL;
    tensor.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    if (!copy.zero_points.empty()) {
        tensor.weight_grid = BSQ_WEIGHT_GRID_ZERO_POINT;
        tensor.zero_points = copy.zero_points.data(), tensor.zero_point_count = tensor.scale_count;
    }
    if (layer.group_size > 0) {
        tensor.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        tensor.group_size = layer.group_size;
    }
    char text[200];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    size_t size = 0;
    std::string bytes;
    int32_t parts = 0;
    const auto check = [&](bsq_status_t status) {
        if (status != BSQ_OK)
            throw Error("layer '" + layer.name + "': " + text);
    };
    check(bsq_tensor_packed_size(&tensor, format, &size, &error));
    bytes.resize(size);
    check(bsq_tensor_pack(&tensor, format, bytes.data(), size, &error));
    check(bsq_tensor_part_count(&tensor, format, &parts, &error));
    std::map<std::string, onnx::TensorProto> constants;
    for (int32_t i = 0; i < parts; i++) {
        bsq_part_t part;
        bsq_part_init(&part, sizeof part);
        check(bsq_tensor_get_part(&tensor, format, i, &part, &error));
        onnx::TensorProto &constant = constants[part.name];
        constant.set_data_type(type_of(part.element_type));
        for (int32_t k = 0; k < part.rank; k++)
            constant.add_dims(part.shape[k]);
        constant.set_raw_data(bytes.substr(static_cast<size_t>(part.offset), static_cast<size_t>(part.size)));
    }
    return constants;
}

} // namespace bsq_onnx
