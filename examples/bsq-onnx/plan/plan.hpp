// Which layers get how many bits.
#ifndef BSQ_ONNX_PLAN_HPP
#define BSQ_ONNX_PLAN_HPP

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/model.hpp"
#include "quantize/engine.hpp"
#include "settings.hpp"

namespace bsq_onnx {

// What tensors have in common that meet in an Add or Concat, or between which values only move.
struct SharedQuantizer {
    Quantizer quantizer;
    std::vector<std::string> tensors;
    std::map<std::string, std::pair<float, float>> ranges; // of the float network, by tensor
};

struct Plan {
    std::vector<int> bits;                 // of each layer, in the order of Model::layers(); 0: it stays float
    std::vector<std::string> reasons;      // why it does, or ""
    std::vector<bool> fixed;               // --avg-bits may not change these bits
    std::map<std::string, int> input_bits; // of the tensors that quantized layers read
    std::map<std::string, SharedQuantizer>
        shared; // by tensor, in integer form all; others have quantizers of their own
};

// First layers are those that no other layer comes before, last ones those that no other layer follows on a way to an
// output.
std::vector<bool> edge_layers(const Model &model);

// The layer whose quantized weights a layer takes: the first of those with the same weights that does not stay float; most
// layers their own.
size_t first_use(const Model &model, const std::vector<int> &bits, size_t layer);

// How many weights of a layer the file has for it alone or for it first.
int64_t stored_weights(const Model &model, const std::vector<int> &bits, size_t layer);

// Tensors that lead to a layer.
std::set<std::string> tensors_before_layers(const Model &model);

// Throws Error when a layer is named that does not exist.
Plan make_plan(const Model &model, const Settings &settings);

// The bits of inputs that go with the bits of layers.
std::map<std::string, int> plan_inputs(const Model &model, const Settings &settings, const std::vector<int> &bits);

} // namespace bsq_onnx

#endif
