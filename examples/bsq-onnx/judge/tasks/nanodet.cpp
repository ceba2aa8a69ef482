// NanoDet: for each place of three grids the classes' scores, and the distances from the place to the four sides as
// distributions over a few bins.
#include <algorithm>
#include <cmath>

#include "judge/tasks/boxes.hpp"
#include "judge/tasks/heads.hpp"

namespace bsq_onnx {

namespace {

struct Level {
    int stride;
    int64_t columns, places;
    std::string scores, distances;
};

class Nanodet : public Task {
public:
    Nanodet(std::vector<Level> levels, int64_t classes, int64_t bins)
        : levels_(std::move(levels)), classes_(class_names(classes)), bins_(bins)
    {
    }
    const char *name() const override { return "nanodet"; }
    float confident_score() const override { return 0.5F; }
    float match_score() const override { return 0.35F; }
    bool has_masks() const override { return false; }
    const std::vector<std::string> &classes() const override { return classes_; }
    std::vector<Box> decode(const Outputs &outputs, const Placement &placement) const override;

private:
    void decode_level(const Level &level, const Outputs &outputs, const Placement &placement,
                      std::vector<Box> &boxes) const;

    std::vector<Level> levels_;
    std::vector<std::string> classes_;
    int64_t bins_; // of a side
};

// The mean of softmax(values) over 0..count-1.
double expectation(const float *values, int64_t count)
{
    const double top = *std::max_element(values, values + count);
    double sum = 0, weighted = 0;
    for (int64_t i = 0; i < count; i++) {
        const double share = std::exp(values[i] - top);
        sum += share;
        weighted += share * double(i);
    }
    return weighted / sum;
}

void Nanodet::decode_level(const Level &level, const Outputs &outputs, const Placement &placement,
                           std::vector<Box> &boxes) const
{
    const int64_t classes = int64_t(classes_.size());
    const float *scores = output_values(outputs, level.scores, level.places * classes);
    const float *distances = output_values(outputs, level.distances, level.places * 4 * bins_);
    for (int64_t place = 0; place < level.places; place++) {
        const float *of_place = scores + place * classes;
        const float *best = std::max_element(of_place, of_place + classes);
        if (!(*best >= match_score())) {
            continue;
        }
        double side[4]; // left, top, right, bottom
        for (int i = 0; i < 4; i++) {
            side[i] = level.stride * expectation(distances + (place * 4 + i) * bins_, bins_);
        }
        const double x = (double(place % level.columns) + 0.5) * level.stride;
        const double y = (double(place / level.columns) + 0.5) * level.stride;
        Box box;
        box.label = int(best - of_place);
        box.score = *best;
        if (to_picture(x - side[0], y - side[1], x + side[2], y + side[3], placement, box)) {
            boxes.push_back(box);
        }
    }
}

std::vector<Box> Nanodet::decode(const Outputs &outputs, const Placement &placement) const
{
    std::vector<Box> boxes, kept;
    for (const Level &level : levels_) {
        decode_level(level, outputs, placement, boxes);
    }
    for (const size_t i : suppress(boxes, 0.5)) {
        kept.push_back(boxes[i]);
    }
    return kept;
}

} // namespace

std::unique_ptr<Task> make_nanodet(const Value &input, const std::vector<Value> &outputs)
{
    std::vector<Level> levels;
    int64_t classes = 0, sides = 0;
    for (const Value &scores : outputs) {
        const int stride = stride_of(scores.name, "cls_pred_stride_");
        const Value *distances = find_value(outputs, "dis_pred_stride_" + std::to_string(stride));
        if (stride == 0 || distances == nullptr || input.shape.size() != 4 || scores.shape.size() != 3 ||
            distances->shape.size() != 3) {
            continue;
        }
        const int64_t rows = (input.shape[2] + stride - 1) / stride, columns = (input.shape[3] + stride - 1) / stride;
        const bool fits = scores.shape[1] == rows * columns && distances->shape[1] == rows * columns &&
                          scores.shape[2] > 0 && distances->shape[2] > 0 && distances->shape[2] % 4 == 0 &&
                          (levels.empty() || (scores.shape[2] == classes && distances->shape[2] == sides));
        if (!fits) {
            return nullptr;
        }
        classes = scores.shape[2];
        sides = distances->shape[2];
        levels.push_back({stride, columns, rows * columns, scores.name, distances->name});
    }
    return levels.empty() ? nullptr : std::make_unique<Nanodet>(std::move(levels), classes, sides / 4);
}

} // namespace bsq_onnx
