#include "model/constants.hpp"

#include <algorithm>
#include <numeric>

namespace bsq_onnx {

namespace {

// A constant's values, whichever field of the file has them; of types that are plain numbers.
bool array_of(const onnx::TensorProto &tensor, Array &array)
{
    array = Array();
    array.type = tensor.data_type();
    array.shape = shape_of(tensor);
    if (tensor.has_raw_data()) {
        array.bytes.assign(tensor.raw_data().begin(), tensor.raw_data().end());
        return element_size(array.type) > 0;
    }
    Array held; // as the file's fields have it, which are wider than some types
    held.shape = array.shape;
    const auto take = [&](int32_t type, const auto &values) {
        held.type = type;
        const auto *bytes = reinterpret_cast<const unsigned char *>(values.data());
        held.bytes.assign(bytes, bytes + static_cast<size_t>(values.size()) * sizeof *values.data());
    };
    switch (array.type) {
    case onnx::TensorProto::FLOAT: take(onnx::TensorProto::FLOAT, tensor.float_data()); break;
    case onnx::TensorProto::DOUBLE: take(onnx::TensorProto::DOUBLE, tensor.double_data()); break;
    case onnx::TensorProto::INT64: take(onnx::TensorProto::INT64, tensor.int64_data()); break;
    case onnx::TensorProto::FLOAT16:
    case onnx::TensorProto::BFLOAT16: { // the bits, in integers
        Array bits;
        take(onnx::TensorProto::INT32, tensor.int32_data());
        if (!convert(held, onnx::TensorProto::UINT16, bits))
            return false;
        array.bytes = bits.bytes;
        return true;
    }
    default: take(onnx::TensorProto::INT32, tensor.int32_data()); break;
    }
    return element_size(array.type) > 0 && convert(held, array.type, array);
}

onnx::TensorProto tensor_of(const Array &array)
{
    onnx::TensorProto tensor;
    tensor.set_data_type(array.type);
    for (const int64_t extent : array.shape)
        tensor.add_dims(extent);
    tensor.set_raw_data(array.bytes.data(), array.bytes.size());
    return tensor;
}

Array transposed(const Array &from, const std::vector<int64_t> &order)
{
    const size_t rank = from.shape.size(), size = element_size(from.type);
    Array to;
    to.type = from.type;
    std::vector<size_t> stride(rank, size), at(rank, 0);
    for (size_t i = rank; i-- > 1;)
        stride[i - 1] = stride[i] * static_cast<size_t>(from.shape[i]);
    for (const int64_t axis : order)
        to.shape.push_back(from.shape[static_cast<size_t>(axis)]);
    to.bytes.reserve(from.bytes.size());
    for (size_t k = 0; k < from.bytes.size() / size; k++) {
        size_t place = 0;
        for (size_t i = 0; i < rank; i++)
            place += at[i] * stride[static_cast<size_t>(order[i])];
        to.bytes.insert(to.bytes.end(), from.bytes.begin() + static_cast<long>(place),
                        from.bytes.begin() + static_cast<long>(place + size));
        for (size_t i = rank; i-- > 0;) {
            if (++at[i] < static_cast<size_t>(to.shape[i]))
                break;
            at[i] = 0;
        }
    }
    return to;
}

class Folder {
public:
    explicit Folder(Graph &graph) : graph_(graph) {}

    void run()
    {
        static const std::set<std::string> kinds = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
        for (size_t i = 0; i < graph_.nodes.size(); i++) {
            const onnx::NodeProto node = graph_.nodes[i];
            if (kinds.count(node.op_type()) == 0 || !is_standard(node))
                continue;
            for (int k = 1; k < node.input_size(); k++)
                fold(node.input(k));
            if (node.op_type() == "MatMul")
                drop_ones(graph_.nodes[i]);
            // A bias is added by the node behind.
            if (node.op_type() == "MatMul" && graph_.constant(node.input(1)))
                for (const int next : graph_.consumers(node.output(0)))
                    if (graph_.nodes[static_cast<size_t>(next)].op_type() == "Add")
                        for (const std::string &name : graph_.nodes[static_cast<size_t>(next)].input())
                            fold(name);
        }
        graph_.sweep();
    }

private:
    // Makes the tensor a constant, if it can be. Whoever else reads it reads the constant then.
    bool fold(const std::string &name)
    {
        if (name.empty() || graph_.constant(name))
            return !name.empty();
        const int made = graph_.producer(name);
        if (made < 0 || graph_.output(name))
            return false;
        const onnx::NodeProto node = graph_.nodes[static_cast<size_t>(made)];
        static const std::set<std::string> movers = {"Cast",    "Flatten",   "Identity", "Reshape",
                                                     "Squeeze", "Transpose", "Unsqueeze"};
        if (movers.count(node.op_type()) == 0 || !is_standard(node))
            return false;
        for (const std::string &input : node.input())
            if (!input.empty() && !fold(input))
                return false;
        Array from, to;
        if (!array_of(graph_.constants.at(node.input(0)), from) || !compute(node, from, to))
            return false;
        (graph_.constants[name] = tensor_of(to)).set_name(name);
        graph_.shapes.erase(name);
        onnx::NodeProto &gone = graph_.nodes[static_cast<size_t>(made)];
        gone.set_output(0, graph_.unused(name + "/folded"));
        return true;
    }

    bool compute(const onnx::NodeProto &node, const Array &from, Array &to) const
    {
        const std::string &op = node.op_type();
        if (op == "Cast")
            return convert(from, static_cast<int32_t>(get_integer(node, "to", 0)), to);
        if (op == "Transpose") {
            std::vector<int64_t> order(from.shape.size());
            std::iota(order.rbegin(), order.rend(), 0);
            order = get_integers(node, "perm", order);
            std::vector<int64_t> sorted = order;
            std::sort(sorted.begin(), sorted.end());
            for (size_t i = 0; i < sorted.size(); i++)
                if (sorted.size() != from.shape.size() || sorted[i] != static_cast<int64_t>(i))
                    return false;
            to = transposed(from, order);
            return true;
        }
        // All others keep the order of values: their shape is known.
        to = from;
        to.shape = graph_.shape(node.output(0));
        return count(to.shape) == count(from.shape);
    }

    void drop_ones(onnx::NodeProto &node)
    {
        if (!graph_.constant(node.input(1)) || graph_.constant(node.input(0)))
            return;
        onnx::TensorProto tensor = graph_.constants.at(node.input(1));
        const Shape shape = shape_of(tensor);
        if (shape.size() < 3 || shape.size() > graph_.shape(node.input(0)).size() ||
            std::any_of(shape.begin(), shape.end() - 2, [](int64_t extent) { return extent != 1; }))
            return;
        tensor.clear_dims();
        tensor.add_dims(shape[shape.size() - 2]);
        tensor.add_dims(shape[shape.size() - 1]);
        node.set_input(1, graph_.add_constant(node.input(1) + "/matrix", tensor));
    }

    Graph &graph_;
};

} // namespace

void fold_constants(Graph &graph)
{
    Folder(graph).run();
}

} // namespace bsq_onnx
