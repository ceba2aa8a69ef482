// Work that is kept in a folder, so that an interrupted run can go on.
#ifndef BSQ_ONNX_CHECKPOINT_HPP
#define BSQ_ONNX_CHECKPOINT_HPP

#include <string>
#include <vector>

#include "quantize/engine.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

// A layer that is done, with the quantizer of its input.
struct DoneLayer {
    LayerResult layer;
    Quantizer quantizer;
    InputResult input;
};

class Checkpoint {
public:
    // What must be the same for work to go on: a name and a value each.
    using Conditions = std::vector<std::pair<std::string, std::string>>;

    // Makes the folder, or reads what is in it. Throws Error when it holds something else, or the work of other
    // conditions: it then names the first that differs.
    Checkpoint(const std::string &folder, const Conditions &conditions);

    bool load_layer(size_t index, DoneLayer &done) const; // false when it is not there
    void save_layer(size_t index, const DoneLayer &done);
    std::string layer_path(size_t index) const;

    // Statistics of the layer that is worked on, as bsq_stats_export writes them; "" when they are not there.
    std::string load_stats(size_t index, bool held_out) const;
    void save_stats(size_t index, bool held_out, const std::string &bytes);

    // Bits that were chosen for the layers; empty when they are not there. Throws Error where there is something else.
    std::vector<int> load_bits() const;
    std::string bits_path() const { return path("bits"); }
    void save_bits(const std::vector<int> &bits);

private:
    std::string path(const std::string &name) const { return folder_ + "/" + name; }
    void write(const std::string &name, const std::string &bytes) const;

    std::string folder_;
};

// FNV-1a, for what is told apart, not protected.
uint64_t digest(const void *bytes, size_t size, uint64_t start = 0xcbf29ce484222325u);
std::string hexadecimal(uint64_t value);

} // namespace bsq_onnx

#endif
