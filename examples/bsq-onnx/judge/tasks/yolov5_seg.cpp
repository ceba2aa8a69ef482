// YOLOv5 with masks: for each place of three grids and each of three anchors a box, its scores and coefficients that
// mix prototype pictures into the object's mask.
#include <algorithm>
#include <cmath>

#include "judge/tasks/boxes.hpp"
#include "judge/tasks/heads.hpp"

namespace bsq_onnx {

namespace {

struct Anchors {
    int stride;
    double size[3][2]; // width, height in pixels of the input
};

const Anchors known_anchors[] = {{8, {{10, 13}, {16, 30}, {33, 23}}},
                                 {16, {{30, 61}, {62, 45}, {59, 119}}},
                                 {32, {{116, 90}, {156, 198}, {373, 326}}}};

struct Level {
    const Anchors *anchors;
    int64_t columns, places;
    std::string output;
};

// Prototype pictures, each pixel standing for step x step pixels of the input.
struct Prototypes {
    int64_t count = 0, width = 0, height = 0, step = 0;
};

struct Candidates {
    std::vector<Box> boxes;
    std::vector<const float *> coefficients; // of each
};

class Yolov5Seg : public Task {
public:
    Yolov5Seg(std::vector<Level> levels, int64_t classes, const Prototypes &prototypes)
        : levels_(std::move(levels)), classes_(class_names(classes)), prototypes_(prototypes)
    {
    }
    const char *name() const override { return "yolov5-seg"; }
    float confident_score() const override { return 0.4F; }
    float match_score() const override { return 0.25F; }
    bool has_masks() const override { return true; }
    const std::vector<std::string> &classes() const override { return classes_; }
    std::vector<Box> decode(const Outputs &outputs, const Placement &placement) const override;

private:
    void decode_level(const Level &level, const Outputs &outputs, const Placement &placement,
                      Candidates &candidates) const;
    Mask make_mask(const float *prototypes, const float *coefficients, const Placement &placement,
                   const Box &box) const;

    std::vector<Level> levels_;
    std::vector<std::string> classes_;
    Prototypes prototypes_;
};

void Yolov5Seg::decode_level(const Level &level, const Outputs &outputs, const Placement &placement,
                             Candidates &candidates) const
{
    const int64_t classes = int64_t(classes_.size()), width = 5 + classes + prototypes_.count;
    const float *values = output_values(outputs, level.output, 3 * level.places * width);
    const int stride = level.anchors->stride;
    for (int64_t i = 0; i < 3 * level.places; i++) {
        const float *v = values + i * width;
        const float *best = std::max_element(v + 5, v + 5 + classes);
        const double score = sigmoid(v[4]) * sigmoid(*best);
        if (!(score >= double(match_score()))) {
            continue;
        }
        const int64_t place = i % level.places;
        const double *anchor = level.anchors->size[i / level.places];
        const double x = (2 * sigmoid(v[0]) - 0.5 + double(place % level.columns)) * stride;
        const double y = (2 * sigmoid(v[1]) - 0.5 + double(place / level.columns)) * stride;
        const double half_width = 2 * std::pow(sigmoid(v[2]), 2) * anchor[0]; // half of (2 s)^2 anchor
        const double half_height = 2 * std::pow(sigmoid(v[3]), 2) * anchor[1];
        Box box;
        box.label = int(best - v - 5);
        box.score = float(score);
        if (to_picture(x - half_width, y - half_height, x + half_width, y + half_height, placement, box)) {
            candidates.boxes.push_back(box);
            candidates.coefficients.push_back(v + 5 + classes);
        }
    }
}

// Where a coordinate of the picture lies between two neighbours on the prototypes' grid.
struct Between {
    int64_t low, high;
    double share; // of 'high'
};

Between between(double position, int64_t count)
{
    const double clamped = std::clamp(position, 0.0, double(count - 1));
    const int64_t low = int64_t(clamped);
    return {low, std::min(low + 1, count - 1), clamped - double(low)};
}

std::vector<Between> grid_positions(int first, int count, double scale, double offset, int64_t step, int64_t size)
{
    std::vector<Between> positions;
    for (int i = 0; i < count; i++) {
        positions.push_back(between(((first + i + 0.5) * scale + offset) / double(step) - 0.5, size));
    }
    return positions;
}

// The object's probability on the grid points 'x_first'..'x_last', 'y_first'..'y_last'; points outside stay 0.
std::vector<double> mix(const float *prototypes, const float *coefficients, const Prototypes &shape, int64_t x_first,
                        int64_t x_last, int64_t y_first, int64_t y_last)
{
    std::vector<double> probability(size_t(shape.width * shape.height));
    for (int64_t y = y_first; y <= y_last; y++) {
        for (int64_t x = x_first; x <= x_last; x++) {
            double sum = 0;
            for (int64_t k = 0; k < shape.count; k++) {
                sum += double(coefficients[k]) * prototypes[(k * shape.height + y) * shape.width + x];
            }
            probability[size_t(y * shape.width + x)] = sigmoid(sum);
        }
    }
    return probability;
}

// Pixels whose middle lies in the box and whose probability, interpolated between grid points, is above a half.
Mask Yolov5Seg::make_mask(const float *prototypes, const float *coefficients, const Placement &placement,
                          const Box &box) const
{
    Mask mask;
    mask.left = int(std::ceil(box.left - 0.5F));
    mask.top = int(std::ceil(box.top - 0.5F));
    mask.width = std::max(0, int(std::ceil(box.right - 0.5F)) - mask.left);
    mask.height = std::max(0, int(std::ceil(box.bottom - 0.5F)) - mask.top);
    mask.pixels.assign(size_t(mask.width) * size_t(mask.height), 0);
    if (mask.pixels.empty()) {
        return mask;
    }
    const int64_t width = prototypes_.width;
    const auto xs = grid_positions(mask.left, mask.width, placement.scale_x, placement.left, prototypes_.step, width);
    const auto ys =
        grid_positions(mask.top, mask.height, placement.scale_y, placement.top, prototypes_.step, prototypes_.height);
    const std::vector<double> probability =
        mix(prototypes, coefficients, prototypes_, xs.front().low, xs.back().high, ys.front().low, ys.back().high);
    uint8_t *pixel = mask.pixels.data();
    for (const Between &y : ys) {
        const double *upper = probability.data() + y.low * width, *lower = probability.data() + y.high * width;
        for (const Between &x : xs) {
            const double above = upper[x.low] + (upper[x.high] - upper[x.low]) * x.share;
            const double below = lower[x.low] + (lower[x.high] - lower[x.low]) * x.share;
            *pixel++ = above + (below - above) * y.share > 0.5;
        }
    }
    return mask;
}

std::vector<Box> Yolov5Seg::decode(const Outputs &outputs, const Placement &placement) const
{
    Candidates candidates;
    for (const Level &level : levels_) {
        decode_level(level, outputs, placement, candidates);
    }
    const float *prototypes =
        output_values(outputs, "proto", prototypes_.count * prototypes_.width * prototypes_.height);
    std::vector<Box> kept;
    for (const size_t i : suppress(candidates.boxes, 0.45)) {
        kept.push_back(candidates.boxes[i]);
        kept.back().mask = make_mask(prototypes, candidates.coefficients[i], placement, kept.back());
    }
    return kept;
}

// The step s with (height / s) (width / s) pixels, 0 when there is none.
int64_t step_of(int64_t height, int64_t width, int64_t pixels)
{
    for (int64_t step = 1; step <= std::min(height, width); step++) {
        if (height % step == 0 && width % step == 0 && height / step * (width / step) == pixels) {
            return step;
        }
    }
    return 0;
}

} // namespace

std::unique_ptr<Task> make_yolov5_seg(const Value &input, const std::vector<Value> &outputs)
{
    const Value *proto = find_value(outputs, "proto");
    if (proto == nullptr || proto->shape.size() != 3 || input.shape.size() != 4) {
        return nullptr;
    }
    const int64_t height = input.shape[2], width = input.shape[3];
    Prototypes prototypes;
    prototypes.count = proto->shape[1];
    prototypes.step = step_of(height, width, proto->shape[2]);
    if (prototypes.count < 1 || prototypes.step == 0) {
        return nullptr;
    }
    prototypes.width = width / prototypes.step;
    prototypes.height = height / prototypes.step;

    std::vector<Level> levels;
    int64_t values = 0;
    for (const Anchors &anchors : known_anchors) {
        const Value *output = find_value(outputs, "pred_" + std::to_string(anchors.stride));
        const int64_t columns = width / anchors.stride, places = columns * (height / anchors.stride);
        if (output == nullptr || output->shape.size() != 4 || output->shape[1] != 3 || output->shape[2] != places ||
            output->shape[3] <= 5 + prototypes.count || (values != 0 && output->shape[3] != values)) {
            return nullptr;
        }
        values = output->shape[3];
        levels.push_back({&anchors, columns, places, output->name});
    }
    return std::make_unique<Yolov5Seg>(std::move(levels), values - 5 - prototypes.count, prototypes);
}

} // namespace bsq_onnx
