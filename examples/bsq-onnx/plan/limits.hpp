// How much memory and work a network may ask for: extents in a small file can be of any size.
#ifndef BSQ_ONNX_LIMITS_HPP
#define BSQ_ONNX_LIMITS_HPP

#include "model/model.hpp"
#include "plan/plan.hpp"
#include "settings.hpp"

namespace bsq_onnx {

struct Limits {
    int64_t memory;          // bytes of all tensors of one sample, and of one layer's statistics
    int64_t multiplications; // of one sample, statistics included
};

// What --memory says, or by the machine and by the size of the network's file.
Limits limits_of(const Model &model, const Settings &settings);

// Both throw Error, in one line that names node and tensor and says what they would take. The first comes before any
// sample is read, the second once it is known which layers are quantized.
void check_network(const Model &model, const Settings &settings, const Limits &limits);
void check_layers(const Model &model, const Settings &settings, const Plan &plan, const Limits &limits);

} // namespace bsq_onnx

#endif
