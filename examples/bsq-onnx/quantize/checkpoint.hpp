// Work that is kept in a folder, so that an interrupted run can go on.
#ifndef BSQ_ONNX_CHECKPOINT_HPP
#define BSQ_ONNX_CHECKPOINT_HPP

#include <string>
#include <vector>

#include "quantize/engine.hpp"
#include "quantize/result.hpp"
#include "shared.hpp"

namespace bsq_onnx {

// A layer that is done, with the quantizer of its input.
struct DoneLayer {
    LayerResult layer;
    Quantizer quantizer;
    InputResult input;
};

class Checkpoint {
public:
    using Conditions = WorkFolder::Conditions;

    // As the folder's constructor: throws Error when work that is there cannot go on.
    Checkpoint(const std::string &folder, const Conditions &conditions);

    bool load_layer(size_t index, DoneLayer &done) const; // false when it is not there
    void save_layer(size_t index, const DoneLayer &done);
    std::string layer_path(size_t index) const;

    // Statistics of the layer that is worked on, as bsq_stats_export writes them; "" when they are not there.
    std::string load_stats(size_t index, bool held_out) const;
    void save_stats(size_t index, bool held_out, const std::string &bytes);

    // Bits that were chosen for the layers; empty when they are not there. Throws Error where there is something else.
    std::vector<int> load_bits() const;
    std::string bits_path() const { return folder_.path("bits"); }
    void save_bits(const std::vector<int> &bits);

private:
    WorkFolder folder_;
};

} // namespace bsq_onnx

#endif
