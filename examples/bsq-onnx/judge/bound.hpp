// A bound of the error of the network's outputs, and what each layer adds to it.
#ifndef BSQ_ONNX_BOUND_HPP
#define BSQ_ONNX_BOUND_HPP

#include <vector>

#include "model/model.hpp"
#include "shared.hpp"
#include "settings.hpp"

namespace bsq_onnx {

inline constexpr double norm_work = 5e7; // of a layer's norm, as of plan/work.hpp

struct Bound {
    double total = -1;                 // -1: a node is in the way of which nothing is known
    std::vector<double> contributions; // of each layer, in the order of Model::layers(); zeros when it is unknown
};

// 'errors': for each layer the root of the mean square, over samples, of the norm by which its quantized form changes
// its output on the inputs that it gets; 0 for layers that stay float. The bound is of the same kind: norms of layers
// (bsq_operator_norm) and of the nodes between are multiplied along every way to an output and summed over the ways.
Bound network_bound(const Model &model, const Settings &settings, const std::vector<double> &errors,
                    Progress &progress);

} // namespace bsq_onnx

#endif
