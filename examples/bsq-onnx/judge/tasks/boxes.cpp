#include "judge/tasks/boxes.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "shared.hpp"

namespace bsq_onnx {

static double area(const Box &box)
{
    return std::max(0.0, double(box.right) - box.left) * std::max(0.0, double(box.bottom) - box.top);
}

double box_iou(const Box &a, const Box &b)
{
    const double width = double(std::min(a.right, b.right)) - std::max(a.left, b.left);
    const double height = double(std::min(a.bottom, b.bottom)) - std::max(a.top, b.top);
    if (!(width > 0) || !(height > 0)) {
        return 0;
    }
    const double both = width * height;
    return both / (area(a) + area(b) - both);
}

static int64_t covered(const Mask &mask)
{
    return std::count(mask.pixels.begin(), mask.pixels.end(), uint8_t(1));
}

double mask_iou(const Mask &a, const Mask &b)
{
    const int left = std::max(a.left, b.left), right = std::min(a.left + a.width, b.left + b.width);
    const int top = std::max(a.top, b.top), bottom = std::min(a.top + a.height, b.top + b.height);
    int64_t both = 0;
    for (int y = top; y < bottom; y++) {
        const uint8_t *in_a = a.pixels.data() + int64_t(y - a.top) * a.width - a.left;
        const uint8_t *in_b = b.pixels.data() + int64_t(y - b.top) * b.width - b.left;
        for (int x = left; x < right; x++) {
            both += in_a[x] & in_b[x];
        }
    }
    const int64_t any = covered(a) + covered(b) - both;
    return any > 0 ? double(both) / double(any) : 0;
}

std::vector<size_t> suppress(const std::vector<Box> &boxes, double limit)
{
    std::vector<size_t> order(boxes.size()), kept;
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return boxes[a].score > boxes[b].score; });
    for (const size_t candidate : order) {
        const auto covers = [&](size_t better) {
            return boxes[better].label == boxes[candidate].label && box_iou(boxes[better], boxes[candidate]) > limit;
        };
        if (std::none_of(kept.begin(), kept.end(), covers)) {
            kept.push_back(candidate);
        }
    }
    return kept;
}

bool to_picture(double left, double top, double right, double bottom, const Placement &placement, Box &box)
{
    const auto x = [&](double value) {
        return float(std::clamp((value - placement.left) / placement.scale_x, 0.0, double(placement.picture_width)));
    };
    const auto y = [&](double value) {
        return float(std::clamp((value - placement.top) / placement.scale_y, 0.0, double(placement.picture_height)));
    };
    box.left = x(left);
    box.top = y(top);
    box.right = x(right);
    box.bottom = y(bottom);
    return box.right > box.left && box.bottom > box.top; // false for NaN too
}

const float *output_values(const Outputs &outputs, const std::string &name, int64_t size)
{
    const auto found = outputs.find(name);
    if (found == outputs.end()) {
        throw Error("the network's output '" + name + "' is missing");
    }
    if (int64_t(found->second.size()) != size) {
        throw Error("the network's output '" + name + "' has " + std::to_string(found->second.size()) +
                    " values, not " + std::to_string(size));
    }
    return found->second.data();
}

double sigmoid(double x)
{
    return 1 / (1 + std::exp(-x));
}

} // namespace bsq_onnx
