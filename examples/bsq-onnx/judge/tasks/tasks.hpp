// What the outputs of a network mean: boxes and masks of the detection and segmentation heads that are known.
#ifndef BSQ_ONNX_TASKS_HPP
#define BSQ_ONNX_TASKS_HPP

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/model.hpp"
#include "quantize/result.hpp"

namespace bsq_onnx {

// Where a picture went in the network's input: x_network = x_picture * scale_x + left, y_network = y_picture *
// scale_y + top.
struct Placement {
    int picture_width = 0, picture_height = 0;
    double scale_x = 1, scale_y = 1, left = 0, top = 0;
};

using Outputs = std::map<std::string, std::vector<float>>; // by tensor name, one sample, row-major

class Task {
public:
    virtual ~Task() = default;
    virtual const char *name() const = 0;
    // Score from which a box of the float network counts as confident, and from which one of the quantized network may
    // match it.
    virtual float confident_score() const = 0;
    virtual float match_score() const = 0;
    virtual bool has_masks() const = 0;
    virtual const std::vector<std::string> &classes() const = 0; // names of Box::label
    // Boxes from match_score() on, after non-maximum suppression, best first, in pixels of the picture and inside of
    // it. Throws Error when an output is missing or has another size than make_task was told.
    virtual std::vector<Box> decode(const Outputs &outputs, const Placement &placement) const = 0;
};

// "auto" recognises the head by the outputs' names and shapes and gives NULL for a network that is none of them;
// "nanodet", "yolov5-seg", "none" ask for one. Throws Error when the outputs do not fit. Input size and number of
// classes come from the shapes.
std::unique_ptr<Task> make_task(const std::string &name, const Value &input, const std::vector<Value> &outputs);

inline std::unique_ptr<Task> make_task(const std::string &name, const Model &model)
{
    return make_task(name, model.input(), model.outputs());
}

// For each of 'wanted' the index of the box in 'among' that matches it, or -1: same class, IoU >= 0.5, the best pairs
// first, one to one.
std::vector<int> match_boxes(const std::vector<Box> &wanted, const std::vector<Box> &among);

// Matches boxes of the quantized network with confident ones of the float network, picture by picture.
class Comparison {
public:
    explicit Comparison(const Task &task);
    // Returns how many confident boxes only one of both has.
    int64_t add(const std::vector<Box> &float_boxes, const std::vector<Box> &boxes);
    Detection result() const;

private:
    void add_pixels(const std::vector<Box> &float_boxes, const std::vector<Box> &boxes);

    bool has_masks_;
    Detection sum_;                                     // box_iou, mask_iou: sums over the found
    std::map<int, std::pair<int64_t, int64_t>> pixels_; // by class: in both, in any
};

} // namespace bsq_onnx

#endif
