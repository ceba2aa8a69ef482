#include "model/model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "shared.hpp"

namespace bsq_gguf {

namespace {

const char *const linear_names[linear_count] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                "ffn_gate", "ffn_up", "ffn_down"};

// Extents beyond this are those of no model, and would overflow products.
constexpr int64_t most = int64_t{1} << 24;

} // namespace

std::string linear_name(int64_t block, Linear linear)
{
    return "blk." + std::to_string(block) + "." + linear_names[linear];
}

void Model::wrong(const std::string &what) const
{
    throw Error(file_.name() + ": " + what);
}

Model::Model(const Gguf &file) : file_(file)
{
    read_shape();
    read_frequencies();
    check_tensors();
}

void Model::read_shape()
{
    const std::string architecture = file_.text("general.architecture", "");
    if (architecture.empty())
        wrong("has no general.architecture");
    if (architecture != "llama" && architecture != "qwen2")
        wrong("has the architecture " + architecture.substr(0, 80) + "; llama and qwen2 can be quantized");
    shape_.architecture = architecture;
    shape_.order = architecture == "llama" ? RotaryOrder::neighbours : RotaryOrder::halves;
    const auto extent = [&](const std::string &key, int64_t otherwise, int64_t least = 1) {
        const int64_t value = file_.integer(architecture + "." + key, otherwise);
        if (value < least || value > most)
            wrong(architecture + "." + key +
                  (value == -1 ? " is missing" : " is " + std::to_string(value) + ", which cannot be"));
        return value;
    };
    const auto whole = [&](const std::string &key) { return file_.integer(architecture + "." + key, 0); };
    if (whole("expert_count") != 0)
        wrong("is a mixture of experts, which cannot be quantized");
    if (whole("attention.sliding_window") != 0)
        wrong("has attention in a sliding window, which is not known here");
    shape_.width = extent("embedding_length", -1);
    shape_.blocks = extent("block_count", -1);
    shape_.hidden = extent("feed_forward_length", -1);
    shape_.heads = extent("attention.head_count", -1);
    shape_.value_heads = extent("attention.head_count_kv", shape_.heads);
    shape_.trained_context = extent("context_length", -1);
    if (shape_.heads % shape_.value_heads != 0)
        wrong("has " + std::to_string(shape_.heads) + " heads for " + std::to_string(shape_.value_heads) +
              " of keys and values");
    if (file_.entry(architecture + ".attention.key_length") == nullptr && shape_.width % shape_.heads != 0)
        wrong("has " + std::to_string(shape_.heads) + " heads, which do not divide its width of " +
              std::to_string(shape_.width));
    shape_.head_size = extent("attention.key_length", std::max<int64_t>(shape_.width / shape_.heads, 1));
    if (extent("attention.value_length", shape_.head_size) != shape_.head_size)
        wrong("has values of another size than keys");
    if (shape_.head_size * shape_.heads > most)
        wrong("has too many heads");
    shape_.rotary_size = extent("rope.dimension_count", shape_.head_size, 0);
    if (shape_.rotary_size % 2 != 0 || shape_.rotary_size > shape_.head_size)
        wrong(architecture + ".rope.dimension_count is " + std::to_string(shape_.rotary_size) + " of heads of " +
              std::to_string(shape_.head_size));
    const double epsilon = file_.number(architecture + ".attention.layer_norm_rms_epsilon", -1);
    if (!(epsilon > 0 && epsilon < 1))
        wrong(architecture + ".attention.layer_norm_rms_epsilon is missing, or not between 0 and 1");
    shape_.epsilon = static_cast<float>(epsilon);

    const Tensor *embedding = file_.find("token_embd.weight");
    if (embedding == nullptr)
        wrong("has no tensor token_embd.weight");
    shape_.vocabulary = embedding->rows();
    if (shape_.vocabulary < 2 || shape_.vocabulary > most)
        wrong("has " + std::to_string(shape_.vocabulary) + " tokens");
}

void Model::read_frequencies()
{
    const std::string key = shape_.architecture + ".rope.";
    const double base = file_.number(key + "freq_base", 10000);
    const std::string scaling = file_.text(key + "scaling.type", "none");
    const double linear =
        scaling == "linear" ? file_.number(key + "scaling.factor", 1) : file_.number(key + "scale_linear", 1);
    if (scaling != "none" && scaling != "linear")
        wrong("scales rotary positions by '" + scaling.substr(0, 40) + "', which is not known here");
    if (!(base > 0) || !(linear > 0))
        wrong(key + "freq_base or the factor of its scaling is not above 0");
    const int64_t pairs = shape_.rotary_size / 2;
    std::vector<float> factors(static_cast<size_t>(pairs), 1.0f);
    if (file_.find("rope_freqs.weight") != nullptr)
        factors = vector("rope_freqs.weight", pairs);
    for (int64_t i = 0; i < pairs; i++) {
        const double factor = static_cast<double>(factors[static_cast<size_t>(i)]);
        if (!(factor > 0))
            wrong("rope_freqs.weight has a value that is not above 0");
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(shape_.rotary_size);
        shape_.frequencies.push_back(std::pow(base, exponent) / linear / factor);
    }
}

const Tensor &Model::tensor(const std::string &name, int64_t rows, int64_t columns) const
{
    const Tensor *found = file_.find(name);
    if (found == nullptr)
        wrong("has no tensor " + name);
    if (found->extents.size() > 2 || found->columns() != columns || found->rows() != rows) {
        std::string extents;
        for (const int64_t extent : found->extents)
            extents += (extents.empty() ? "" : " x ") + std::to_string(extent);
        wrong("tensor " + name + " is " + extents + " where the model has " + std::to_string(columns) +
              (rows > 1 ? " x " + std::to_string(rows) : ""));
    }
    return *found;
}

std::vector<float> Model::vector(const std::string &name, int64_t count) const
{
    const Tensor &found = tensor(name, 1, count);
    if (!found.type->is_float())
        wrong("tensor " + name + " is not of floats");
    std::vector<float> values(static_cast<size_t>(count));
    dequantize(Matrix(found), 0, 1, values.data());
    if (std::any_of(values.begin(), values.end(), [](float value) { return !std::isfinite(value); }))
        wrong("tensor " + name + " has values that are not finite");
    return values;
}

static std::array<int64_t, 2> linear_extents(const Shape &shape, size_t linear)
{
    const int64_t all = shape.heads * shape.head_size, shared = shape.value_heads * shape.head_size;
    switch (linear) {
    case attn_q: return {all, shape.width};
    case attn_k:
    case attn_v: return {shared, shape.width};
    case attn_output: return {shape.width, all};
    case ffn_down: return {shape.width, shape.hidden};
    default: return {shape.hidden, shape.width};
    }
}

BlockWeights Model::block(int64_t index) const
{
    const std::string prefix = "blk." + std::to_string(index) + ".";
    BlockWeights weights;
    weights.attn_norm = vector(prefix + "attn_norm.weight", shape_.width);
    weights.ffn_norm = vector(prefix + "ffn_norm.weight", shape_.width);
    for (size_t i = 0; i < linear_count; i++) {
        const auto [rows, columns] = linear_extents(shape_, i);
        weights.linear[i] = Matrix(tensor(prefix + linear_names[i] + ".weight", rows, columns));
        const std::string bias = prefix + linear_names[i] + ".bias";
        if (file_.find(bias) != nullptr)
            weights.bias[i] = vector(bias, rows);
    }
    return weights;
}

Matrix Model::embedding() const
{
    return Matrix(tensor("token_embd.weight", shape_.vocabulary, shape_.width));
}

Matrix Model::output() const
{
    return tied() ? embedding() : Matrix(tensor("output.weight", shape_.vocabulary, shape_.width));
}

std::vector<float> Model::output_norm() const
{
    return vector("output_norm.weight", shape_.width);
}

// A tensor that the forward pass would not see is part of another architecture.
void Model::check_tensors() const
{
    std::vector<std::string> known = {"token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"};
    for (int64_t b = 0; b < shape_.blocks; b++) {
        const BlockWeights weights = block(b);
        const std::string prefix = "blk." + std::to_string(b) + ".";
        known.push_back(prefix + "attn_norm.weight");
        known.push_back(prefix + "ffn_norm.weight");
        for (const char *name : linear_names) {
            known.push_back(prefix + name + ".weight");
            known.push_back(prefix + name + ".bias");
        }
    }
    embedding();
    output();
    output_norm();
    std::sort(known.begin(), known.end());
    for (const Tensor &found : file_.tensors())
        if (!std::binary_search(known.begin(), known.end(), found.name))
            wrong("tensor " + found.name.substr(0, 80) + " is none of the architecture " + shape_.architecture +
                  " as it is known here");
}

} // namespace bsq_gguf
