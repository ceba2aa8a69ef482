// Boxes and masks, whatever network they come from.
#ifndef BSQ_ONNX_BOXES_HPP
#define BSQ_ONNX_BOXES_HPP

#include <cstddef>
#include <string>
#include <vector>

#include "judge/tasks/tasks.hpp"

namespace bsq_onnx {

// Intersection over union. 0 when both are empty.
double box_iou(const Box &a, const Box &b);
double mask_iou(const Mask &a, const Mask &b);

// The boxes that stay, best score first: one goes when a better one of its class overlaps it with an IoU above 'limit'.
std::vector<size_t> suppress(const std::vector<Box> &boxes, double limit);

// A rectangle in the network's input as a box in the picture, cut to the picture. False when nothing of it is left.
bool to_picture(double left, double top, double right, double bottom, const Placement &placement, Box &box);

// One sample's output 'name'. Throws Error when it is missing or does not have 'size' values.
const float *output_values(const Outputs &outputs, const std::string &name, int64_t size);

double sigmoid(double x);

// The 80 names of COCO; "class 0", "class 1", ... for any other number.
std::vector<std::string> class_names(int64_t count);

} // namespace bsq_onnx

#endif
