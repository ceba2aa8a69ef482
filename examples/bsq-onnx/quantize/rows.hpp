// Which rows of a sample's tensors count: padding does not.
#ifndef BSQ_ONNX_ROWS_HPP
#define BSQ_ONNX_ROWS_HPP

#include "model/model.hpp"
#include "samples/samples.hpp"

namespace bsq_onnx {

// A weight of 0 or 1 for each position, as an input of the network says it (an attention mask); empty: all count.
using RowMask = std::vector<float>;

// The index of that input; -1 for "". Throws Error when there is none of that name, or its values cannot be a mask.
int row_mask_input(const Model &model, const std::string &name);

// What 'input' of the sample says. Throws Error when one of its values is neither 0 nor 1.
RowMask row_mask(const Sample &sample, int input, const std::string &label);

// The weights of the rows of a layer's output, or NULL where the mask is not of them: its rows are as many as positions.
const float *row_weights(const Layer &layer, const Shape &output, const RowMask &mask);

// The rows of (rows, channels) values that count, one behind the other, when the mask is of such rows; else all. Gives how
// many there are. 'scratch' is where they go when some do not count.
struct Rows {
    const float *values;
    int64_t count;
};
Rows rows_that_count(const float *values, int64_t rows, int64_t channels, const RowMask &mask,
                     std::vector<float> &scratch);

// Layers with the same key see the same rows: statistics of their inputs are shared. Rows that count by what passes the
// layer's own activation function are not.
std::string input_key(const Model &model, const Layer &layer);

} // namespace bsq_onnx

#endif
