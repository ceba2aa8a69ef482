// Which class every sample belongs to.
#ifndef BSQ_ONNX_LABELS_HPP
#define BSQ_ONNX_LABELS_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "samples.hpp"

namespace bsq_onnx {

struct Labels {
    std::vector<int64_t> classes;         // of each sample
    std::map<int64_t, std::string> names; // of classes, where the file has them
};

// From a .npy of int64, one for each sample, or a text of lines "class file" or "class file name of the class". A line's file
// is a path, or the last parts of one: "a/x.jpg" is a line of "pictures/a/x.jpg" and not of "pictures/b/x.jpg" when there are
// both. Throws Error when a sample has no line or two that fit alike, or a line two samples.
Labels read_labels(const std::string &path, const Samples &samples);

} // namespace bsq_onnx

#endif
