// Which class every sample belongs to.
#ifndef BSQ_ONNX_LABELS_HPP
#define BSQ_ONNX_LABELS_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "samples/samples.hpp"

namespace bsq_onnx {

struct Labels {
    std::vector<int64_t> classes;         // of each of those samples, and of each position in them
    Shape positions;                      // of one sample: height and width, say; {}: the sample has one class
    std::map<int64_t, std::string> names; // of classes, where the file has them

    bool any() const { return !classes.empty(); }
    bool whole() const { return any() && positions.empty(); } // one class for each sample
    const int64_t *of(size_t sample) const { return &classes[sample * static_cast<size_t>(count(positions))]; }
};

// The classes of the samples with these indices, from a .npy of integers, one for each sample that there is or, with
// further axes, for each of its positions (negative: it does not count), or a text
// of lines "class file" or "class file name of the class". A line's file is a path, or the last parts of one: "a/x.jpg"
// is a line of "pictures/a/x.jpg" and not of "pictures/b/x.jpg" when there are both. Throws Error when one of the
// samples has no line or two that fit alike, or a line two of them.
Labels read_labels(const std::string &path, const Samples &samples, const std::vector<int64_t> &indices);

} // namespace bsq_onnx

#endif
