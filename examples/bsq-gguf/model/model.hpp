// A language model of the llama architecture, as a GGUF file holds it.
#ifndef BSQ_GGUF_MODEL_HPP
#define BSQ_GGUF_MODEL_HPP

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "gguf/file.hpp"
#include "model/matrix.hpp"

namespace bsq_gguf {

// Pairs of a head that are turned together: neighbours, or those half a head apart.
enum class RotaryOrder { neighbours, halves };

struct Shape {
    std::string architecture;
    int64_t width, blocks, heads, value_heads, head_size, hidden, vocabulary; // value_heads: of keys and values
    int64_t rotary_size;                                                      // of each head, from its beginning
    int64_t trained_context;
    RotaryOrder order;
    float epsilon;
    std::vector<double> frequencies; // rotary_size / 2: turns of a pair for each position, in radians
};

// The linear layers of a block, in the order in which they work.
enum Linear : size_t { attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down, linear_count };

// Layers that read the same input, and are solved one after the other.
struct Stage {
    const char *input; // what they read
    Linear first;
    size_t count;
};
inline constexpr std::array<Stage, 4> stages = {{{"the normed input of attention", attn_q, 3},
                                                 {"the heads' output", attn_output, 1},
                                                 {"the normed input of the feed-forward part", ffn_gate, 2},
                                                 {"gate times up", ffn_down, 1}}};

// "blk.3.ffn_down"
std::string linear_name(int64_t block, Linear linear);

// What a block multiplies with. Matrices are views of the file, or bytes of their own.
struct BlockWeights {
    std::vector<float> attn_norm, ffn_norm;
    std::array<Matrix, linear_count> linear;
    std::array<std::vector<float>, linear_count> bias; // empty: none
};

class Model {
public:
    // Reads what is described, and checks that all tensors are there in the right shapes. Throws Error.
    explicit Model(const Gguf &file);

    const Gguf &file() const { return file_; }
    const Shape &shape() const { return shape_; }
    BlockWeights block(int64_t index) const;
    Matrix embedding() const;
    Matrix output() const; // the embedding again where the model has none of its own
    bool tied() const { return file_.find("output.weight") == nullptr; }
    std::vector<float> output_norm() const;

private:
    const Tensor &tensor(const std::string &name, int64_t rows, int64_t columns) const;
    std::vector<float> vector(const std::string &name, int64_t count) const;
    void read_shape();
    void read_frequencies();
    void check_tensors() const;
    [[noreturn]] void wrong(const std::string &what) const;

    const Gguf &file_;
    Shape shape_{};
};

} // namespace bsq_gguf

#endif
