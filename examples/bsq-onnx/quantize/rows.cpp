#include "quantize/rows.hpp"

#include <algorithm>

#include "quantize/target.hpp"
#include "shared.hpp"

namespace bsq_onnx {

int row_mask_input(const Model &model, const std::string &name)
{
    if (name.empty())
        return -1;
    for (size_t i = 0; i < model.inputs().size(); i++)
        if (model.inputs()[i].name == name)
            return static_cast<int>(i);
    throw Error("--row-mask: the network has no input '" + name + "'");
}

RowMask row_mask(const Sample &sample, int input, const std::string &label)
{
    if (input < 0)
        return {};
    RowMask mask = to_floats(sample.inputs.at(static_cast<size_t>(input)));
    for (const float value : mask)
        if (value != 0 && value != 1)
            throw Error(label + ": the input of --row-mask has a value that is neither 0 nor 1");
    if (std::all_of(mask.begin(), mask.end(), [](float value) { return value == 0; }))
        throw Error(label + ": the input of --row-mask leaves nothing");
    if (std::all_of(mask.begin(), mask.end(), [](float value) { return value == 1; }))
        return {};
    return mask;
}

const float *row_weights(const Layer &layer, const Shape &output, const RowMask &mask)
{
    const int64_t rows = count(output) / layer.desc.out_channels;
    return !mask.empty() && rows == static_cast<int64_t>(mask.size()) ? mask.data() : nullptr;
}

Rows rows_that_count(const float *values, int64_t rows, int64_t channels, const RowMask &mask,
                     std::vector<float> &scratch)
{
    if (mask.empty() || rows != static_cast<int64_t>(mask.size()))
        return {values, rows};
    scratch.clear();
    for (int64_t row = 0; row < rows; row++)
        if (mask[static_cast<size_t>(row)] > 0)
            scratch.insert(scratch.end(), values + row * channels, values + (row + 1) * channels);
    return {scratch.data(), static_cast<int64_t>(scratch.size()) / channels};
}

std::string input_key(const Model &model, const Layer &layer)
{
    const bsq_layer_desc_t &d = layer.desc;
    if (passing_of(model, layer.output).cuts() || layer.kind == Kind::table)
        return layer.name;
    std::string key = layer.input + " " + std::to_string(d.kind) + " " + std::to_string(d.groups);
    for (int i = 0; i < d.spatial_dims; i++)
        for (const int64_t extent : {d.kernel[i], d.stride[i], d.dilation[i], d.pad_begin[i], d.pad_end[i]})
            key += " " + std::to_string(extent);
    for (const Spread &spread : layer.spread)
        for (const int64_t extent : {spread.step, spread.before, spread.after})
            key += " spread " + std::to_string(extent);
    return key;
}

} // namespace bsq_onnx
