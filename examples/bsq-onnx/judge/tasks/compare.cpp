// What the quantized network finds of what the float network found.
#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "judge/tasks/boxes.hpp"

namespace bsq_onnx {

static const double least_iou = 0.5;

std::vector<int> match_boxes(const std::vector<Box> &wanted, const std::vector<Box> &among)
{
    std::vector<std::tuple<double, int, int>> pairs; // by falling IoU, then in the given order
    for (int i = 0; i < int(wanted.size()); i++) {
        for (int j = 0; j < int(among.size()); j++) {
            const double iou = box_iou(wanted[size_t(i)], among[size_t(j)]);
            if (wanted[size_t(i)].label == among[size_t(j)].label && iou >= least_iou) {
                pairs.emplace_back(-iou, i, j);
            }
        }
    }
    std::sort(pairs.begin(), pairs.end());
    std::vector<int> matches(wanted.size(), -1);
    std::vector<bool> taken(among.size());
    for (const auto &[iou, i, j] : pairs) {
        if (matches[size_t(i)] < 0 && !taken[size_t(j)]) {
            matches[size_t(i)] = j;
            taken[size_t(j)] = true;
        }
    }
    return matches;
}

static std::vector<Box> from_score(const std::vector<Box> &boxes, float score)
{
    std::vector<Box> kept;
    std::copy_if(boxes.begin(), boxes.end(), std::back_inserter(kept), [&](const Box &b) { return b.score >= score; });
    return kept;
}

Comparison::Comparison(const Task &task) : has_masks_(task.has_masks())
{
    sum_.confident_score = task.confident_score();
    sum_.match_score = task.match_score();
    sum_.mask_iou = 0;
}

int64_t Comparison::add(const std::vector<Box> &float_boxes, const std::vector<Box> &boxes)
{
    const std::vector<Box> wanted = from_score(float_boxes, sum_.confident_score);
    const std::vector<Box> sure = from_score(boxes, sum_.confident_score);
    const std::vector<Box> among = from_score(boxes, sum_.match_score);
    const std::vector<int> matches = match_boxes(wanted, among);
    const int64_t missed = std::count(matches.begin(), matches.end(), -1);
    sum_.pictures++;
    sum_.confident += int64_t(wanted.size());
    for (size_t i = 0; i < wanted.size(); i++) {
        if (matches[i] >= 0) {
            const Box &match = among[size_t(matches[i])];
            sum_.found++;
            sum_.box_iou += box_iou(wanted[i], match);
            sum_.mask_iou += has_masks_ ? mask_iou(wanted[i].mask, match.mask) : 0;
        }
    }
    const std::vector<int> backed = match_boxes(sure, from_score(float_boxes, sum_.match_score));
    const int64_t extra = std::count(backed.begin(), backed.end(), -1);
    sum_.extra += extra;
    if (has_masks_) {
        add_pixels(wanted, sure);
    }
    return missed + extra;
}

// The pixels that the masks of one class cover in a picture: where overlapping masks meet, a pixel counts once.
static void cover(const std::vector<Box> &boxes, int label, uint8_t bit, int width, std::vector<uint8_t> &canvas)
{
    for (const Box &box : boxes) {
        const Mask &mask = box.mask;
        for (int64_t i = 0; box.label == label && i < int64_t(mask.pixels.size()); i++) {
            const int64_t x = mask.left + i % mask.width, y = mask.top + i / mask.width;
            if (mask.pixels[size_t(i)]) {
                canvas[size_t(y * width + x)] = uint8_t(canvas[size_t(y * width + x)] | bit);
            }
        }
    }
}

void Comparison::add_pixels(const std::vector<Box> &float_boxes, const std::vector<Box> &boxes)
{
    int width = 0, height = 0;
    std::set<int> labels;
    for (const std::vector<Box> *side : {&float_boxes, &boxes}) {
        for (const Box &box : *side) {
            width = std::max(width, box.mask.left + box.mask.width);
            height = std::max(height, box.mask.top + box.mask.height);
            labels.insert(box.label);
        }
    }
    for (const int label : labels) {
        std::vector<uint8_t> canvas(size_t(width) * size_t(height));
        cover(float_boxes, label, 1, width, canvas);
        cover(boxes, label, 2, width, canvas);
        const int64_t both = std::count(canvas.begin(), canvas.end(), uint8_t(3));
        pixels_[label].first += both;
        pixels_[label].second += int64_t(canvas.size()) - std::count(canvas.begin(), canvas.end(), uint8_t(0));
    }
}

Detection Comparison::result() const
{
    Detection mean = sum_;
    const double found = double(std::max<int64_t>(sum_.found, 1));
    mean.box_iou = sum_.box_iou / found;
    mean.mask_iou = has_masks_ && sum_.found > 0 ? sum_.mask_iou / found : -1;
    double sum = 0;
    int classes = 0;
    for (const auto &[label, count] : pixels_) {
        if (count.second > 0) {
            sum += double(count.first) / double(count.second);
            classes++;
        }
    }
    mean.mean_iou = classes > 0 ? sum / classes : -1;
    return mean;
}

} // namespace bsq_onnx
