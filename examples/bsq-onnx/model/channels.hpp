// Channels that can be rescaled: a factor on what a layer gives is undone in the weights of the layers that read it.
#ifndef BSQ_ONNX_CHANNELS_HPP
#define BSQ_ONNX_CHANNELS_HPP

#include <vector>

#include "model/model.hpp"

namespace bsq_onnx {

// Channels of one class must have the same factor, because an Add, a path around layers or one layer's window joins them.
// Class 0 has none: the network's input and outputs, and what passes an operator that is not f(a x) = a f(x) for a > 0.
struct ChannelClasses {
    size_t count = 1;                         // classes are 0 .. count - 1
    std::vector<std::vector<size_t>> inputs;  // by layer, of each input channel
    std::vector<std::vector<size_t>> outputs; // by layer, of each output channel
};

ChannelClasses channel_classes(const Model &model);

} // namespace bsq_onnx

#endif
