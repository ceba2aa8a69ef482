// The classes of the COCO data set, in the order in which networks trained on it number them.
#include "judge/tasks/boxes.hpp"

namespace bsq_onnx {

static const char *const coco[] = {
    "person",         "bicycle",    "car",           "motorcycle",    "airplane",     "bus",           "train",
    "truck",          "boat",       "traffic light", "fire hydrant",  "stop sign",    "parking meter", "bench",
    "bird",           "cat",        "dog",           "horse",         "sheep",        "cow",           "elephant",
    "bear",           "zebra",      "giraffe",       "backpack",      "umbrella",     "handbag",       "tie",
    "suitcase",       "frisbee",    "skis",          "snowboard",     "sports ball",  "kite",          "baseball bat",
    "baseball glove", "skateboard", "surfboard",     "tennis racket", "bottle",       "wine glass",    "cup",
    "fork",           "knife",      "spoon",         "bowl",          "banana",       "apple",         "sandwich",
    "orange",         "broccoli",   "carrot",        "hot dog",       "pizza",        "donut",         "cake",
    "chair",          "couch",      "potted plant",  "bed",           "dining table", "toilet",        "tv",
    "laptop",         "mouse",      "remote",        "keyboard",      "cell phone",   "microwave",     "oven",
    "toaster",        "sink",       "refrigerator",  "book",          "clock",        "vase",          "scissors",
    "teddy bear",     "hair drier", "toothbrush"};

static const int64_t coco_count = sizeof coco / sizeof coco[0];
static_assert(coco_count == 80, "COCO has 80 classes");

std::vector<std::string> class_names(int64_t count)
{
    if (count == coco_count) {
        return {coco, coco + coco_count};
    }
    std::vector<std::string> names;
    for (int64_t i = 0; i < count; i++) {
        names.push_back("class " + std::to_string(i));
    }
    return names;
}

} // namespace bsq_onnx
