// What the outputs of a network mean: boxes and masks of the detection and segmentation heads that are known.
#ifndef BSQ_ONNX_TASKS_HPP
#define BSQ_ONNX_TASKS_HPP

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../model.hpp"
#include "../result.hpp"

namespace bsq_onnx {

// Where a picture went in the network's input: x_network = x_picture * scale + left, same for y and top.
struct Placement {
    int picture_width = 0, picture_height = 0;
    double scale = 1, left = 0, top = 0;
};

using Outputs = std::map<std::string, std::vector<float>>; // by tensor name, one sample, row-major

class Task {
public:
    virtual ~Task() = default;
    virtual const char *name() const = 0;
    // Score from which a box of the float network counts as confident, and from which one of the quantized network may match it.
    virtual float confident_score() const = 0;
    virtual float match_score() const = 0;
    // Boxes from match_score() on, after non-maximum suppression, best first, in pixels of the picture.
    virtual std::vector<Box> decode(const Outputs &outputs, const Placement &placement) const = 0;
};

// "auto" recognises the head by the outputs' names and shapes and gives NULL for a network that is none of them;
// "nanodet", "yolov5-seg", "none" ask for one. Throws Error when the outputs do not fit.
std::unique_ptr<Task> make_task(const std::string &name, const Model &model);

// Matches boxes of the quantized network with confident ones of the float network, and adds to 'detection'.
class Comparison {
public:
    explicit Comparison(const Task &task) : task_(task) {}
    void add(const std::vector<Box> &float_boxes, const std::vector<Box> &boxes);
    Detection result() const;

private:
    const Task &task_;
    Detection sum_;
};

} // namespace bsq_onnx

#endif
