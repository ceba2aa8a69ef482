#include "model/transposed.hpp"

#include <algorithm>

namespace bsq_onnx {

Shape spread_shape(const Layer &layer, const Shape &input)
{
    Shape shape = input;
    for (size_t i = 2; i < shape.size(); i++) {
        const Spread &spread = layer.spread[i - 2];
        shape[i] = (input[i] - 1) * spread.step + 1 + spread.before + spread.after;
    }
    return shape;
}

std::vector<float> spread_input(const Layer &layer, const Shape &input, const float *values)
{
    const Shape shape = spread_shape(layer, input);
    std::vector<float> spread(static_cast<size_t>(count(shape)), 0.0F);
    std::vector<int64_t> at(input.size(), 0);
    const int64_t all = count(input);
    for (int64_t k = 0; k < all; k++) {
        int64_t place = 0;
        bool inside = true;
        for (size_t i = 0; i < input.size(); i++) {
            int64_t along = at[i];
            if (i >= 2) {
                const Spread &axis = layer.spread[i - 2];
                along = shape[i] - 1 - (along * axis.step + axis.before);
            }
            inside = inside && along >= 0 && along < shape[i];
            place = place * shape[i] + along;
        }
        if (inside)
            spread[static_cast<size_t>(place)] = values[k];
        for (size_t i = input.size(); i-- > 0;) {
            if (++at[i] < input[i])
                break;
            at[i] = 0;
        }
    }
    return spread;
}

std::vector<float> turned_round(const float *values, int64_t runs, int64_t each)
{
    std::vector<float> result(static_cast<size_t>(runs * each));
    for (int64_t i = 0; i < runs; i++)
        std::reverse_copy(values + i * each, values + (i + 1) * each, result.begin() + i * each);
    return result;
}

} // namespace bsq_onnx
