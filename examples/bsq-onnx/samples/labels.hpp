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
    std::vector<int64_t> classes;         // of each of those samples
    std::map<int64_t, std::string> names; // of classes, where the file has them
};

// The classes of the samples with these indices, from a .npy of int64, one for each sample that there is, or a text
// of lines "class file" or "class file name of the class". A line's file is a path, or the last parts of one: "a/x.jpg"
// is a line of "pictures/a/x.jpg" and not of "pictures/b/x.jpg" when there are both. Throws Error when one of the
// samples has no line or two that fit alike, or a line two of them.
Labels read_labels(const std::string &path, const Samples &samples, const std::vector<int64_t> &indices);

} // namespace bsq_onnx

#endif
