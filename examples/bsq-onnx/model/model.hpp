// An ONNX network: read, checked, BatchNorm folded, its layers found, cut into segments that an engine can run.
#ifndef BSQ_ONNX_MODEL_HPP
#define BSQ_ONNX_MODEL_HPP

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bsq.h"
#include "model/array.hpp"

namespace onnx {
class ModelProto;
}

namespace bsq_onnx {

struct Network;
class Graph;

// A tensor that the network computes, or takes in, with the extents that it has for one sample (batch 1), or for the
// example of a traced network.
struct Value {
    std::string name;
    Shape shape;
    int32_t type = float_type;
};

// A table is one of rows that Gather picks: its weights alone decide how it is quantized.
enum class Kind { conv, conv_transpose, gemm, matmul, table };

// How a transposed convolution's input is spread along an axis, see model/transposed.hpp.
struct Spread {
    int64_t step, before, after; // distance of values; zeros around them, fewer than none cut some off
};

// A node with constant weights: what is quantized.
struct Layer {
    std::string name;   // of the node; of its output tensor when the node has none
    std::string op;     // Conv, ConvTranspose, Gemm, MatMul, or that of the node that it is a part of
    bool part = false;  // of another node, see model/compose.hpp
    bool inner = false; // its input is only there inside of that node, or is indices: it has no quantizer
    Kind kind;
    // Indices into the model's nodes, which are in execution order: they differ when an Add brings a MatMul's bias.
    int node, last_node;
    std::string input;          // tensor
    std::string output;         // tensor, before the activation function
    bsq_layer_desc_t desc;      // of a transposed convolution: of the convolution that does the same
    std::vector<Spread> spread; // of transposed convolutions: for each axis of the kernel
    Shape input_shape;
    Shape output_shape;
    std::vector<float> weights; // (M, n) in the order of desc, alpha and transposes already in them
    std::vector<float> bias;    // M, or empty
    int64_t multiplications;    // of one sample
    // Index of the first layer of the same kind and geometry with the same weights; -1: there is none before.
    int twin_of = -1;
};

// What the channels around a layer are multiplied by: weights are divided by the input's factors and multiplied by the
// output's. Empty: by 1.
struct Rescaling {
    std::vector<float> input, output; // (in_channels), (out_channels)
};

// A run of nodes in execution order: at most one layer, its first node, and everything up to the next layer.
struct Segment {
    int layer;                        // index into layers(), or -1
    int first_node, last_node;        // inclusive
    std::vector<std::string> inputs;  // tensors that other segments computed, or the network's input
    std::vector<std::string> outputs; // tensors that later segments or the network's user need
    // Input of segment_model that stands for the layer's input tensor and takes its quantized values: the tensor's own
    // name, or another one when other nodes of the segment read the tensor, unquantized, too. "" without a layer.
    std::string layer_input;
};

// A tensor whose readers all get it rounded to scale * code, codes lowest..highest.
struct Rounding {
    float scale;
    int lowest, highest;

    bool operator==(const Rounding &other) const
    {
        return scale == other.scale && lowest == other.lowest && highest == other.highest;
    }
};
using Roundings = std::map<std::string, Rounding>; // by tensor

// The operator of NodeForm::opencv that does so: attributes as above. Not of ONNX: the engine brings it.
inline constexpr const char *round_operator = "BsqRound";

// How segment_model writes nodes: as ONNX says, or as OpenCV 4.6 reads them and computes right.
enum class NodeForm { onnx, opencv };

// A node that could have been a layer but is not.
struct Remark {
    std::string node;
    std::string op;
    std::string reason;
};

struct Composite;

class Model {
public:
    // Reads and checks 'path'. Throws Error, with the reason in one line, for a file that cannot be read, is not ONNX,
    // or has no layer with constant weights. BatchNormalization is folded. A network with dynamic shapes, several
    // inputs, types other than float32 or operators that are not known here is traced: an engine runs it on a sample,
    // which says what its tensors are. Throws Error for such a network without 'tracing'.
    static Model load(const std::string &path, const Tracing &tracing = {});

    Model(Model &&) noexcept;
    Model &operator=(Model &&) noexcept;
    ~Model();

    const std::vector<Value> &inputs() const;
    const Value &input() const { return inputs().front(); }
    bool is_input(const std::string &tensor) const;
    const std::vector<Value> &outputs() const;
    const std::vector<Layer> &layers() const;
    const std::vector<Segment> &segments() const;
    const std::vector<Remark> &left_float() const; // Conv, ConvTranspose, Gemm and MatMul nodes that are no layers
    const Shape &shape(const std::string &tensor) const;
    int32_t type(const std::string &tensor) const; // float32 for all tensors of a network that is not traced

    // Whether samples may have other extents than shape() says, which are then those of one of them.
    bool traced() const;

    // Extents of all tensors for a sample with such inputs. A traced network runs once for inputs of new extents.
    // May be called by several threads.
    std::shared_ptr<const Shapes> shapes(const std::vector<Array> &inputs) const;

    const Graph &graph() const; // what proto() is
    const Graph &original_graph() const;
    const onnx::ModelProto &proto() const;    // raised to opset 13, BatchNorm folded, Constant nodes made initializers
    const onnx::ModelProto &original() const; // the same, but for the opset, which is the file's
    uint64_t digest() const;                  // of the file's bytes: what --resume compares
    int64_t bytes() const;                    // of the file and what lies beside it
    const std::map<std::string, int32_t> &halves() const; // see model/halves.hpp

    const std::vector<Composite> &composites() const; // nodes that are several layers

    // Whether a tensor is only there because a node was opened up.
    bool is_inner(const std::string &tensor) const;

    // A network of its own with the nodes of 'segment' and the layer's weights and bias replaced by those given where
    // they are not empty ((M, n) in desc's order, M): serialized ONNX. It takes in layer_input
    // and the other inputs of the segment, and gives its outputs and the layer's output. With 'roundings' it takes in the
    // segment's inputs under their own names, layer_input is not among them, and all that reads a tensor of 'roundings'
    // reads it rounded; outputs are given as they are before that.
    std::string segment_model(const Segment &segment, const std::vector<float> &weights = {},
                              const std::vector<float> &bias = {}, const Roundings &roundings = {},
                              NodeForm form = NodeForm::opencv) const;

    // The same network with channels of tensors between its layers rescaled, one entry for each layer.
    Model rescaled(const std::vector<Rescaling> &rescalings) const;

    // Whether the values of 'tensor' may be divided by a scale per channel that its consumers' weights take over: every
    // consumer is a layer that reads it as its data input, and it is no output of the network. 'reason' says why not.
    bool may_fold(const std::string &tensor, std::string &reason) const;

    // Tensors that Add or Concat join with 'tensor', directly or through operators that keep values, so that they share
    // its quantizer.
    std::vector<std::string> joined(const std::string &tensor) const;

private:
    struct Impl;
    static std::unique_ptr<Impl> build(const Network &network);
    explicit Model(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace bsq_onnx

#endif
