// Which nodes are layers that can be quantized.
#ifndef BSQ_ONNX_LAYERS_HPP
#define BSQ_ONNX_LAYERS_HPP

#include "model/graph.hpp"

namespace bsq_onnx {

// Layers in execution order; nodes of their kinds that are none go to 'left_float' with the reason.
std::vector<Layer> find_layers(const Graph &graph, std::vector<Remark> &left_float);

// A layer's weights as its node has them, from desc's order (M, n): MatMul's are (n, M).
Shape weight_shape(const Layer &layer, const Graph &graph);

template <typename T> std::vector<T> node_order(const Layer &layer, const std::vector<T> &values)
{
    if (layer.kind != Kind::matmul)
        return values;
    return transpose(values, layer.desc.out_channels, layer.desc.in_channels);
}

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
