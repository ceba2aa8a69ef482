// The forward pass in float32, on OpenBLAS, in the parts between which layers are quantized.
//
// Activations are rows, one for each position of each sequence; sequences follow each other and are of equal length. Results
// are the same bits for any number of threads: work is cut into pieces of fixed size. OpenBLAS must be told to use one.
#ifndef BSQ_GGUF_FORWARD_HPP
#define BSQ_GGUF_FORWARD_HPP

#include <cstdint>
#include <vector>

#include "model/model.hpp"

namespace bsq_gguf {

struct Run {
    const Shape &shape;
    int64_t sequences; // in the rows of one call
    int64_t context;   // rows of each
    int threads;
    int64_t rows() const { return sequences * context; }
};

// Sequences that go through the layers together: some thousand rows, whatever the memory.
int64_t sequences_at_once(int64_t context);

using Values = std::vector<float>;

// Rows of the embedding.
void embed(const Run &run, const Matrix &embedding, const int32_t *tokens, float *residual);

// out = x / sqrt(mean(x^2) + epsilon) * weight
void rms_norm(const Run &run, const std::vector<float> &weight, const float *in, float *out);

// out (rows, M) = in (rows, n) times the matrix's rows, and the bias if there is one
void multiply(const Run &run, const Matrix &matrix, const std::vector<float> &bias, const float *in, float *out);

// What the layers of a stage read, from the residual at the beginning of the half block: 'input' is (rows, n).
void stage_input(const Run &run, const BlockWeights &weights, size_t stage, const float *residual, Values &input);

// Adds the output of the half block whose last layer read 'input': attn_output's or ffn_down's.
void add_output(const Run &run, const BlockWeights &weights, Linear last, const Values &input, float *residual);

} // namespace bsq_gguf

#endif
