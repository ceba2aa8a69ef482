// Which nodes are layers that can be quantized.
#ifndef BSQ_ONNX_LAYERS_HPP
#define BSQ_ONNX_LAYERS_HPP

#include <algorithm>

#include "model/graph.hpp"

namespace bsq_onnx {

// Layers in execution order; nodes of their kinds that are none go to 'left_float' with the reason.
std::vector<Layer> find_layers(const Graph &graph, std::vector<Remark> &left_float);

// Convolutions have channels along axis 1, other layers along the last one.
bool is_convolution(const Layer &layer);

// Which input of its node they are.
int weight_input(const Layer &layer);

// A layer's weights as its node has them, from desc's order (M, n): MatMul's are (n, M), a transposed convolution's
// (inputs, M / groups, kernel), where desc's are (M, inputs / groups, kernel).
Shape weight_shape(const Layer &layer, const Graph &graph);

// Blocks of 'inner' values of (groups, outer, middle) as (groups, middle, outer).
template <typename T>
std::vector<T> swap_blocks(const std::vector<T> &values, int64_t groups, int64_t outer, int64_t middle, int64_t inner)
{
    std::vector<T> result(values.size());
    auto to = result.begin();
    for (int64_t g = 0; g < groups; g++)
        for (int64_t j = 0; j < middle; j++)
            for (int64_t i = 0; i < outer; i++)
                to = std::copy_n(values.begin() + ((g * outer + i) * middle + j) * inner, inner, to);
    return result;
}

template <typename T> std::vector<T> node_order(const Layer &layer, const std::vector<T> &values)
{
    const int64_t groups = layer.desc.groups, outputs = layer.desc.out_channels, inputs = layer.desc.in_channels;
    if (layer.kind == Kind::matmul)
        return transpose(values, outputs, inputs);
    if (layer.kind == Kind::conv_transpose)
        return swap_blocks(values, groups, outputs / groups, inputs / groups,
                           static_cast<int64_t>(values.size()) / (outputs * (inputs / groups)));
    return values;
}

// Names of the constants that are a layer's weights and bias; "" without one.
std::pair<std::string, std::string> constants_of(const Layer &layer, const Graph &graph);

// Whether a tensor is only there because a node was opened up.
bool inner_tensor(const Graph &graph, const std::string &tensor);

// The input channel that weight 'k' of output channel 'm' multiplies.
int64_t input_channel(const Layer &layer, int64_t m, int64_t k);

// Replaces the layer's weights and bias in the graph by those for rescaled channels.
void rescale_layer(const Layer &layer, const Rescaling &rescaling, Graph &graph);

// Index of the layer's first node, in this graph or in the same one of another opset.
int first_node(const Layer &layer, const Graph &graph);

// The nodes of a layer, reading other tensors; 'bias' is "" when there is none.
std::vector<onnx::NodeProto> layer_nodes(const Layer &layer, const Graph &graph, const std::string &input,
                                         const std::string &weights, const std::string &bias);

} // namespace bsq_onnx

#endif
