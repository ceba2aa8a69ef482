// The nodes and constants of a network while it is read, changed and written.
#ifndef BSQ_ONNX_GRAPH_HPP
#define BSQ_ONNX_GRAPH_HPP

#include <map>
#include <set>
#include <string>
#include <vector>

#include <onnx/onnx_pb.h>

#include "shared.hpp"
#include "model/model.hpp"

namespace bsq_onnx {

// What is not known here, but may be to an engine.
struct Beyond : Error {
    using Error::Error;
};

// ---- attributes of a node ----

const onnx::AttributeProto *find_attribute(const onnx::NodeProto &node, const std::string &name);
int64_t get_integer(const onnx::NodeProto &node, const std::string &name, int64_t otherwise);
float get_real(const onnx::NodeProto &node, const std::string &name, float otherwise);
std::string get_text(const onnx::NodeProto &node, const std::string &name, const std::string &otherwise);
std::vector<int64_t> get_integers(const onnx::NodeProto &node, const std::string &name,
                                  const std::vector<int64_t> &otherwise = {});
void set_integer(onnx::NodeProto &node, const std::string &name, int64_t value);
void set_real(onnx::NodeProto &node, const std::string &name, float value);
void set_text(onnx::NodeProto &node, const std::string &name, const std::string &value);
void set_integers(onnx::NodeProto &node, const std::string &name, const std::vector<int64_t> &values);
void remove_attribute(onnx::NodeProto &node, const std::string &name);

// The operator, behind its domain where that is not ONNX's own: "com.microsoft.Gelu".
std::string op_of(const onnx::NodeProto &node);

bool is_standard(const onnx::NodeProto &node);

// The input's name; "" when it is left out.
std::string input_of(const onnx::NodeProto &node, int index);

// ---- tensors ----

Shape shape_of(const onnx::TensorProto &tensor);
std::vector<float> floats_of(const onnx::TensorProto &tensor);     // of FLOAT, FLOAT16 and BFLOAT16
std::vector<int64_t> integers_of(const onnx::TensorProto &tensor); // of INT64 and INT32
onnx::TensorProto make_tensor(const Shape &shape, const std::vector<float> &values);
onnx::TensorProto make_tensor(const Shape &shape, const std::vector<int64_t> &values);
onnx::TensorProto make_tensor(const Shape &shape, const std::vector<int8_t> &values);

// A row-major matrix the other way round.
template <typename T> std::vector<T> transpose(const std::vector<T> &values, int64_t rows, int64_t columns)
{
    std::vector<T> result(values.size());
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            result[static_cast<size_t>(j * rows + i)] = values[static_cast<size_t>(i * columns + j)];
    return result;
}

// Of a Constant node.
onnx::TensorProto constant_value(const onnx::NodeProto &node);

onnx::NodeProto make_node(const std::string &op, const std::string &name, const std::vector<std::string> &inputs,
                          const std::string &output);

// What a tensor is, for a graph's list of inputs or outputs.
onnx::ValueInfoProto value_info(const std::string &name, const Shape &shape, int32_t type = float_type);

// All that a node reads: its inputs, and what the graphs inside of it read of the one around them.
std::vector<std::string> reads_of(const onnx::NodeProto &node);

class Graph;

// A node that was opened up, see model/compose.hpp.
struct Composite {
    onnx::NodeProto node;        // as it was
    std::set<std::string> nodes; // names of those that stand for it
    // An input made of the matrices (M, n) of layers, one below the other.
    struct Matrices {
        int input;
        std::vector<std::string> layers;
        Shape shape;
        bool transposed; // the other way round
    };
    std::vector<Matrices> matrices;
    int bias_input = -1;
    std::vector<std::string> bias; // layers whose biases are that input, one behind the other
    Shape bias_shape;
};

// Whether a node's output values are values of its inputs, or zero.
bool keeps_values(const onnx::NodeProto &node);

// The inputs whose values it works on: not constants, shapes, sizes.
std::vector<std::string> data_inputs(const Graph &graph, const onnx::NodeProto &node);

// ---- the graph ----

class Graph {
public:
    // Constant nodes and initializers become constants; inputs are the others.
    explicit Graph(const onnx::ModelProto &model);

    // The network again, with the shapes of the tensors that are known.
    onnx::ModelProto proto() const;

    bool constant(const std::string &tensor) const { return constants.count(tensor) != 0; }
    bool output(const std::string &tensor) const;
    const Shape &shape(const std::string &tensor) const; // throws Error when it is not known
    int32_t type(const std::string &tensor) const;       // float32 where nothing else is known
    bool input(const std::string &tensor) const;

    // What the tensor is: with its extents, or, where those are an example's, with as many as it has.
    onnx::ValueInfoProto info(const std::string &tensor) const;

    // Index of the node that computes a tensor, or -1; those that take it in.
    int producer(const std::string &tensor) const;
    std::vector<int> consumers(const std::string &tensor) const;

    // A name that no tensor and no node has, 'base' itself when it is free.
    std::string unused(const std::string &base) const;
    std::string add_constant(const std::string &base, const onnx::TensorProto &value);

    // All that takes in 'from' takes in 'to' instead.
    void replace_uses(const std::string &from, const std::string &to);

    int64_t proto_version() const { return frame_.ir_version(); } // of the file's format

    // The operator sets that it needs, of other domains too.
    std::vector<onnx::OperatorSetIdProto> imports() const;

    // Nodes and constants that no output needs go away.
    void sweep();

    int64_t opset = 0;
    std::vector<Composite> composites;
    std::vector<Remark> refused;           // nodes that could have been composites
    std::set<std::string> observed;        // tensors that stay though no output needs them
    std::map<std::string, int32_t> halves; // inputs, outputs and constants that had another type than float32
    std::vector<std::string> inputs, outputs;
    std::vector<onnx::NodeProto> nodes; // in execution order
    std::map<std::string, onnx::TensorProto> constants;
    Shapes shapes;                        // of what nodes compute, and of the inputs
    std::map<std::string, int32_t> types; // of those that are not float32; 0: no tensors
    // Shapes and types are what an engine gave for one sample; other samples may have other extents.
    bool traced = false;

private:
    onnx::ModelProto frame_; // what the graph does not change: names, texts
};

} // namespace bsq_onnx

#endif
