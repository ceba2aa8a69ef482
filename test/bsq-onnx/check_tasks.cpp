// Heads of detection and segmentation networks: what was encoded by hand comes back; boxes and masks are compared.
#include "shared.hpp"
#include "judge/tasks/boxes.hpp"
#include "judge/tasks/tasks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>

#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

static Box box(int label, float score, float left, float top, float right, float bottom)
{
    Box b;
    b.label = label;
    b.score = score;
    b.left = left;
    b.top = top;
    b.right = right;
    b.bottom = bottom;
    return b;
}

static Mask filled(int left, int top, int width, int height)
{
    return {left, top, width, height, std::vector<uint8_t>(size_t(width) * size_t(height), 1)};
}

// ---- boxes ------------------------------------------------------------------------------------------------------

START_TEST(iou_by_hand)
{
    const Box a = box(0, 1, 0, 0, 10, 10);
    ck_assert_double_eq(box_iou(a, a), 1);
    ck_assert_double_eq_tol(box_iou(a, box(0, 1, 5, 0, 15, 10)), 50.0 / 150, 1e-12);
    ck_assert_double_eq(box_iou(a, box(0, 1, 10, 0, 20, 10)), 0);
    ck_assert_double_eq(box_iou(box(0, 1, 3, 3, 3, 3), box(0, 1, 3, 3, 3, 3)), 0);

    Mask left = filled(0, 0, 4, 4), right = filled(2, 1, 4, 4);
    ck_assert_double_eq_tol(mask_iou(left, right), 6.0 / 26, 1e-12);
    right.pixels[0] = 0; // at 2, 1: no longer in both, nor in any but the left one
    ck_assert_double_eq_tol(mask_iou(left, right), 5.0 / 26, 1e-12);
    ck_assert_double_eq(mask_iou(left, filled(4, 0, 2, 2)), 0);
    ck_assert_double_eq(mask_iou(Mask(), Mask()), 0);
}
END_TEST

START_TEST(suppression_keeps_the_best_of_each_class)
{
    const std::vector<Box> boxes = {
        box(1, 0.6F, 1, 0, 11, 10),                              // overlaps the next, worse
        box(1, 0.9F, 0, 0, 10, 10),  box(2, 0.5F, 0, 0, 10, 10), // another class
        box(1, 0.7F, 6, 0, 16, 10),                              // overlaps by 4 / 16 only
        box(1, 0.9F, 50, 0, 60, 10),                             // as good as the first: given order decides
    };
    const std::vector<size_t> kept = suppress(boxes, 0.5);
    ck_assert_uint_eq(kept.size(), 4);
    ck_assert_uint_eq(kept[0], 1);
    ck_assert_uint_eq(kept[1], 4);
    ck_assert_uint_eq(kept[2], 3);
    ck_assert_uint_eq(kept[3], 2);
    ck_assert_uint_eq(suppress(boxes, 0.95).size(), 5);
    ck_assert_uint_eq(suppress({}, 0.5).size(), 0);
}
END_TEST

START_TEST(class_names_of_coco)
{
    const std::vector<std::string> names = class_names(80);
    ck_assert_str_eq(names[0].c_str(), "person");
    ck_assert_str_eq(names[5].c_str(), "bus");
    ck_assert_str_eq(names[79].c_str(), "toothbrush");
    ck_assert(class_names(3)[2] == "class 2");
}
END_TEST

// ---- NanoDet ----------------------------------------------------------------------------------------------------

enum { BINS = 8, CLASSES = 5 };

// The grid of stride 32 has 2 x 4 places, the last ones cut off.
static const Value nanodet_input = {"input", {1, 3, 64, 100}};

static std::vector<Value> nanodet_outputs()
{
    std::vector<Value> outputs;
    for (const int64_t stride : {8, 16, 32}) {
        const int64_t places = (64 + stride - 1) / stride * ((100 + stride - 1) / stride);
        outputs.push_back({"cls_pred_stride_" + std::to_string(stride), {1, places, CLASSES}});
        outputs.push_back({"dis_pred_stride_" + std::to_string(stride), {1, places, 4 * BINS}});
    }
    return outputs;
}

static Outputs zeros(const std::vector<Value> &values)
{
    Outputs outputs;
    for (const Value &value : values) {
        int64_t size = 1;
        for (const int64_t extent : value.shape) {
            size *= extent;
        }
        outputs[value.name].assign(size_t(size), 0.0F);
    }
    return outputs;
}

// Logits whose softmax has the mean 'steps'.
static void put_distance(float *bins, double steps)
{
    const int low = int(steps);
    std::fill(bins, bins + BINS, -100.0F);
    bins[low] = float(std::log(1 - (steps - low)) + 3);
    if (steps > low) {
        bins[low + 1] = float(std::log(steps - low) + 3);
    }
}

// Puts a box, given in pixels of the network's input, at a place of a grid.
static void put_nanodet(Outputs &outputs, int stride, int column, int row, const Box &b)
{
    const int columns = (100 + stride - 1) / stride;
    const size_t place = size_t(row * columns + column);
    outputs["cls_pred_stride_" + std::to_string(stride)][place * CLASSES + size_t(b.label)] = b.score;
    float *sides = outputs["dis_pred_stride_" + std::to_string(stride)].data() + place * 4 * BINS;
    const double x = (column + 0.5) * stride, y = (row + 0.5) * stride;
    put_distance(sides, (x - b.left) / stride);
    put_distance(sides + BINS, (y - b.top) / stride);
    put_distance(sides + 2 * BINS, (b.right - x) / stride);
    put_distance(sides + 3 * BINS, (b.bottom - y) / stride);
}

static void assert_box(const Box &got, const Box &wanted)
{
    ck_assert_int_eq(got.label, wanted.label);
    ck_assert_float_eq_tol(got.score, wanted.score, 1e-5F);
    ck_assert_float_eq_tol(got.left, wanted.left, 1e-3F);
    ck_assert_float_eq_tol(got.top, wanted.top, 1e-3F);
    ck_assert_float_eq_tol(got.right, wanted.right, 1e-3F);
    ck_assert_float_eq_tol(got.bottom, wanted.bottom, 1e-3F);
}

static const Placement plain_nanodet = {100, 64, 1, 1, 0, 0};

START_TEST(nanodet_gives_back_what_was_encoded)
{
    const auto task = make_task("auto", nanodet_input, nanodet_outputs());
    ck_assert_str_eq(task->name(), "nanodet");
    ck_assert_uint_eq(task->classes().size(), CLASSES);
    ck_assert(!task->has_masks());
    Outputs outputs = zeros(nanodet_outputs());
    const Box small = box(3, 0.6F, 10, 9.5F, 40, 25.25F), large = box(0, 0.9F, 2, 3, 99, 60);
    put_nanodet(outputs, 8, 3, 2, small);
    put_nanodet(outputs, 32, 1, 0, large);
    put_nanodet(outputs, 32, 2, 1, box(0, 0.8F, 3, 4, 98, 60)); // gives way to 'large'
    put_nanodet(outputs, 16, 0, 0, box(1, 0.3F, 0, 0, 20, 20)); // below the score
    const std::vector<Box> boxes = task->decode(outputs, plain_nanodet);
    ck_assert_uint_eq(boxes.size(), 2);
    assert_box(boxes[0], large);
    assert_box(boxes[1], small);
}
END_TEST

START_TEST(boxes_go_back_to_the_picture)
{
    const auto task = make_task("nanodet", nanodet_input, nanodet_outputs());
    Outputs outputs = zeros(nanodet_outputs());
    put_nanodet(outputs, 16, 2, 1, box(2, 0.7F, 15, 10, 60, 50));
    const Placement letterbox = {180, 80, 0.5, 0.5, 5, 12};
    const std::vector<Box> boxes = task->decode(outputs, letterbox);
    ck_assert_uint_eq(boxes.size(), 1);
    assert_box(boxes[0], box(2, 0.7F, 20, 0, 110, 76)); // the top lies above the picture
    const Placement stretched = {220, 32, 0.5, 2, 5, 12};
    assert_box(task->decode(outputs, stretched).at(0), box(2, 0.7F, 20, 0, 110, 19));
    const Placement elsewhere = {180, 80, 0.5, 0.5, 61, 12}; // the picture begins right of the box
    ck_assert_uint_eq(task->decode(outputs, elsewhere).size(), 0);
}
END_TEST

START_TEST(numbers_that_are_none_give_no_box)
{
    const auto task = make_task("auto", nanodet_input, nanodet_outputs());
    Outputs outputs = zeros(nanodet_outputs());
    put_nanodet(outputs, 16, 2, 1, box(2, 0.7F, 15, 10, 60, 50));
    put_nanodet(outputs, 16, 3, 2, box(2, 0.7F, 25, 20, 70, 60));
    outputs["dis_pred_stride_16"][(1 * 7 + 2) * 4 * BINS] = std::numeric_limits<float>::quiet_NaN();
    outputs["cls_pred_stride_16"][(2 * 7 + 3) * CLASSES + 2] = std::numeric_limits<float>::quiet_NaN();
    ck_assert_uint_eq(task->decode(outputs, plain_nanodet).size(), 0);
}
END_TEST

// ---- YOLOv5 with masks ------------------------------------------------------------------------------------------

enum { COEFFICIENTS = 2, WIDTH = 5 + CLASSES + COEFFICIENTS };

static const Value yolo_input = {"images", {1, 3, 64, 96}};

static std::vector<Value> yolo_outputs()
{
    std::vector<Value> outputs = {{"proto", {1, COEFFICIENTS, 16 * 24}}};
    for (const int64_t stride : {8, 16, 32}) {
        outputs.push_back({"pred_" + std::to_string(stride), {1, 3, 64 / stride * (96 / stride), WIDTH}});
    }
    return outputs;
}

static float logit(double share)
{
    return float(std::log(share / (1 - share)));
}

struct Yolo {
    Outputs outputs = zeros(yolo_outputs());
    Yolo()
    {
        for (const char *name : {"pred_8", "pred_16", "pred_32"}) {
            std::fill(outputs[name].begin(), outputs[name].end(), -20.0F);
        }
    }
    // 'b' in pixels of the network's input, its score divided evenly between object and class.
    void put(int stride, int anchor, double anchor_width, double anchor_height, const Box &b, float first, float second)
    {
        const int columns = 96 / stride, rows = 64 / stride;
        const double x = (b.left + b.right) / 2.0 / stride, y = (b.top + b.bottom) / 2.0 / stride;
        const int column = int(x), row = int(y);
        const int place = (anchor * rows + row) * columns + column;
        float *v = outputs["pred_" + std::to_string(stride)].data() + place * WIDTH;
        v[0] = logit((x - column + 0.5) / 2);
        v[1] = logit((y - row + 0.5) / 2);
        v[2] = logit(std::sqrt((b.right - b.left) / anchor_width) / 2);
        v[3] = logit(std::sqrt((b.bottom - b.top) / anchor_height) / 2);
        v[4] = v[5 + b.label] = logit(std::sqrt(b.score));
        v[5 + CLASSES] = first;
        v[6 + CLASSES] = second;
    }
};

START_TEST(yolo_gives_back_what_was_encoded)
{
    const auto task = make_task("auto", yolo_input, yolo_outputs());
    ck_assert_str_eq(task->name(), "yolov5-seg");
    ck_assert(task->has_masks());
    Yolo yolo;
    const Box small = box(4, 0.45F, 10, 12, 24, 32), wide = box(1, 0.8F, 30, 5, 90, 55);
    yolo.put(8, 1, 16, 30, small, 0, 0);
    yolo.put(16, 2, 59, 119, wide, 0, 0);
    yolo.put(32, 0, 116, 90, box(1, 0.7F, 31, 6, 90, 56), 0, 0);   // gives way
    yolo.put(32, 1, 156, 198, box(2, 0.2F, 10, 10, 80, 60), 0, 0); // below the score
    const std::vector<Box> boxes = task->decode(yolo.outputs, {96, 64, 1, 1, 0, 0});
    ck_assert_uint_eq(boxes.size(), 2);
    assert_box(boxes[0], wide);
    assert_box(boxes[1], small);
}
END_TEST

// Prototypes: the first is positive left of grid column 12, the second above grid row 8.
static void put_halves(Outputs &outputs)
{
    for (int y = 0; y < 16; y++) {
        for (int x = 0; x < 24; x++) {
            outputs["proto"][size_t(y * 24 + x)] = x < 12 ? 1.0F : -1.0F;
            outputs["proto"][size_t((16 + y) * 24 + x)] = y < 8 ? 1.0F : -1.0F;
        }
    }
}

START_TEST(masks_are_cut_to_the_box_in_pixels_of_the_picture)
{
    const auto task = make_task("yolov5-seg", yolo_input, yolo_outputs());
    Yolo yolo;
    put_halves(yolo.outputs);
    // Left of column 48 of the input; the other one above row 32.
    yolo.put(32, 0, 116, 90, box(0, 0.9F, 20, 12, 80, 60), 9, 0);
    yolo.put(16, 2, 59, 119, box(1, 0.8F, 8, 8, 40, 56), 0, 9);
    // Pictures of 160 x 40, in the middle of the input at half the width and more of the height.
    const std::vector<Box> boxes = task->decode(yolo.outputs, {160, 40, 0.5, 1.25, 8, 7});
    ck_assert_uint_eq(boxes.size(), 2);
    assert_box(boxes[0], box(0, 0.9F, 24, 4, 144, 40));
    for (const Box &b : boxes) {
        const Mask &mask = b.mask;
        ck_assert_int_eq(mask.left, int(std::lround(b.left)));
        ck_assert_int_eq(mask.top, int(std::lround(b.top)));
        ck_assert_int_eq(mask.width, int(std::lround(b.right)) - mask.left);
        ck_assert_int_eq(mask.height, int(std::lround(b.bottom)) - mask.top);
        ck_assert_uint_eq(mask.pixels.size(), size_t(mask.width) * size_t(mask.height));
        for (int i = 0; i < mask.width * mask.height; i++) {
            const double x = (mask.left + i % mask.width + 0.5) * 0.5 + 8;
            const double y = (mask.top + i / mask.width + 0.5) * 1.25 + 7;
            const int wanted = b.label == 0 ? x < 48 : y < 32;
            ck_assert_int_eq(mask.pixels[size_t(i)], wanted);
        }
    }
}
END_TEST

START_TEST(outputs_that_do_not_fit)
{
    ck_assert(make_task("none", yolo_input, yolo_outputs()) == nullptr);
    ck_assert(make_task("auto", yolo_input, {{"prob", {1, 1000}}}) == nullptr);
    ck_assert(make_task("auto", yolo_input, nanodet_outputs()) == nullptr); // of another input size
    const auto fails = [](const std::function<void()> &call, const char *text) {
        try {
            call();
        } catch (const Error &error) {
            return std::string(error.what()).find(text) != std::string::npos;
        }
        return false;
    };
    ck_assert(fails([] { make_task("nanodet", yolo_input, yolo_outputs()); }, "cls_pred_stride_"));
    ck_assert(fails([] { make_task("yolov5-seg", nanodet_input, nanodet_outputs()); }, "proto"));
    ck_assert(fails([] { make_task("boxes", yolo_input, yolo_outputs()); }, "unknown task 'boxes'"));

    std::vector<Value> odd = yolo_outputs();
    odd[0].shape[2] = 16 * 24 + 1;
    ck_assert(make_task("auto", yolo_input, odd) == nullptr);
    odd = yolo_outputs();
    odd[3].shape[3]++;
    ck_assert(make_task("auto", yolo_input, odd) == nullptr);
    odd = nanodet_outputs();
    odd[1].shape[2] = 33;
    ck_assert(make_task("auto", nanodet_input, odd) == nullptr);

    const auto task = make_task("auto", yolo_input, yolo_outputs());
    Yolo yolo;
    yolo.outputs["pred_16"].pop_back();
    ck_assert(fails([&] { task->decode(yolo.outputs, {96, 64, 1, 1, 0, 0}); }, "'pred_16' has"));
    yolo.outputs.erase("pred_16");
    ck_assert(fails([&] { task->decode(yolo.outputs, {96, 64, 1, 1, 0, 0}); }, "'pred_16' is missing"));
}
END_TEST

// ---- comparison -------------------------------------------------------------------------------------------------

START_TEST(matches_are_one_to_one_and_best_first)
{
    const std::vector<Box> wanted = {box(0, 0.9F, 0, 0, 10, 10), box(0, 0.8F, 2, 0, 12, 10),
                                     box(1, 0.9F, 0, 0, 10, 10)};
    // The first box among suits both; it belongs to the second, which it equals.
    std::vector<int> matches = match_boxes(wanted, {box(0, 0.5F, 2, 0, 12, 10)});
    ck_assert_int_eq(matches[0], -1);
    ck_assert_int_eq(matches[1], 0);
    ck_assert_int_eq(matches[2], -1);
    matches = match_boxes(wanted, {box(0, 0.5F, 2, 0, 12, 10), box(0, 0.4F, 0, 3, 10, 13), box(1, 0.4F, 0, 0, 10, 4)});
    ck_assert_int_eq(matches[0], 1);
    ck_assert_int_eq(matches[1], 0);
    ck_assert_int_eq(matches[2], -1); // IoU 0.4
    matches = match_boxes({box(0, 1, 0, 0, 10, 10)}, {box(0, 1, 0, 0, 10, 5)});
    ck_assert_int_eq(matches[0], 0); // IoU 0.5, just enough
    ck_assert_uint_eq(match_boxes({}, wanted).size(), 0);
}
END_TEST

START_TEST(comparison_counts_boxes)
{
    const auto task = make_task("auto", nanodet_input, nanodet_outputs());
    Comparison comparison(*task);
    ck_assert_int_eq(comparison.result().pictures, 0);
    ck_assert_double_eq(comparison.result().box_iou, 0);
    // Found at a low score; missed; not confident, so not asked for; and a new one that the float network does not see.
    comparison.add({box(0, 0.9F, 0, 0, 10, 10), box(1, 0.5F, 20, 0, 30, 10), box(2, 0.45F, 40, 0, 50, 10)},
                   {box(0, 0.36F, 0, 0, 10, 8), box(1, 0.34F, 20, 0, 30, 10), box(2, 0.6F, 40, 0, 50, 10),
                    box(3, 0.7F, 60, 0, 70, 10)});
    comparison.add({box(0, 0.9F, 0, 0, 10, 10)}, {box(0, 0.9F, 0, 0, 10, 10)});
    comparison.add({}, {});
    const Detection result = comparison.result();
    ck_assert_int_eq(result.pictures, 3);
    ck_assert_int_eq(result.confident, 3);
    ck_assert_int_eq(result.found, 2);
    ck_assert_int_eq(result.extra, 1);
    ck_assert_double_eq_tol(result.box_iou, 0.9, 1e-7);
    ck_assert_double_eq(result.mask_iou, -1);
    ck_assert_double_eq(result.mean_iou, -1);
    ck_assert_float_eq(result.confident_score, 0.5F);
    ck_assert_float_eq(result.match_score, 0.35F);
}
END_TEST

START_TEST(comparison_measures_masks)
{
    const auto task = make_task("auto", yolo_input, yolo_outputs());
    Comparison comparison(*task);
    ck_assert_double_eq(comparison.result().mask_iou, -1);
    Box a = box(0, 0.9F, 0, 0, 10, 10), b = a, c = box(0, 0.9F, 20, 0, 30, 10), d = box(1, 0.9F, 40, 0, 50, 10);
    a.mask = filled(0, 0, 10, 10);
    b.mask = filled(0, 0, 10, 5);
    c.mask = filled(20, 0, 10, 10);
    d.mask = filled(40, 0, 10, 10);
    comparison.add({a, c, d}, {b, c});
    Detection result = comparison.result();
    ck_assert_int_eq(result.found, 2);
    ck_assert_double_eq_tol(result.mask_iou, 0.75, 1e-12);
    ck_assert_double_eq_tol(result.mean_iou, (150.0 / 200 + 0) / 2, 1e-12); // the class of 'd' was missed
    comparison.add({d}, {d});
    result = comparison.result();
    ck_assert_double_eq_tol(result.mask_iou, 2.5 / 3, 1e-12);
    ck_assert_double_eq_tol(result.mean_iou, (0.75 + 0.5) / 2, 1e-12);
}
END_TEST

// ---- the networks that the heads are made for -------------------------------------------------------------------

struct Scene {
    cv::Mat blob;
    Placement placement;
};

static std::string shared_data()
{
    const char *folder = getenv("SHARED_DATA");
    return folder != nullptr ? folder : "../shared";
}

static Scene letterbox(const cv::Mat &picture, int size, int pad)
{
    const double scale = std::min(double(size) / picture.cols, double(size) / picture.rows);
    const int width = int(std::lround(picture.cols * scale)), height = int(std::lround(picture.rows * scale));
    const int left = (size - width) / 2, top = (size - height) / 2;
    cv::Mat resized, square;
    cv::resize(picture, resized, {width, height}, 0, 0, cv::INTER_LINEAR);
    cv::copyMakeBorder(resized, square, top, size - height - top, left, size - width - left, cv::BORDER_CONSTANT,
                       cv::Scalar::all(pad));
    return {square, {picture.cols, picture.rows, scale, scale, double(left), double(top)}};
}

// How many confident objects of each class the float network finds in a scene. Boxes lie in the picture, and masks fill
// a good part of their boxes.
static std::map<std::string, int> look(const char *network, const char *scene, bool yolo)
{
    const cv::Mat picture = cv::imread(shared_data() + "/images/scenes/" + scene + ".jpg");
    Scene input = letterbox(picture, yolo ? 640 : 320, yolo ? 114 : 0);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(shared_data() + "/models/" + network + ".onnx");
    cv::Mat pixels;
    input.blob.convertTo(pixels, CV_32F);
    if (yolo) {
        pixels /= 255;
    } else {
        pixels -= cv::Scalar(103.53, 116.28, 123.675);
        cv::multiply(pixels, cv::Scalar(.017429, .017507, .017125), pixels);
    }
    net.setInput(cv::dnn::blobFromImage(pixels, 1, {}, {}, yolo));
    const std::vector<std::string> names = net.getUnconnectedOutLayersNames();
    std::vector<cv::Mat> blobs;
    net.forward(blobs, names);
    Outputs outputs;
    std::vector<Value> values;
    for (size_t i = 0; i < names.size(); i++) {
        outputs[names[i]].assign(blobs[i].begin<float>(), blobs[i].end<float>());
        values.push_back({names[i], Shape(blobs[i].size.p, blobs[i].size.p + blobs[i].dims)});
    }
    const int64_t size = yolo ? 640 : 320;
    const auto task = make_task("auto", {"input", {1, 3, size, size}}, values);
    ck_assert_str_eq(task->name(), yolo ? "yolov5-seg" : "nanodet");
    const std::vector<Box> boxes = task->decode(outputs, input.placement);
    std::map<std::string, int> counts;
    for (const Box &b : boxes) {
        ck_assert(b.left >= 0 && b.top >= 0 && b.right <= float(picture.cols) && b.bottom <= float(picture.rows));
        ck_assert(b.score >= task->match_score());
        if (b.score >= task->confident_score()) {
            const std::vector<uint8_t> &mask = b.mask.pixels;
            ck_assert(!yolo || 3 * size_t(std::count(mask.begin(), mask.end(), 1)) > mask.size());
            counts[task->classes()[size_t(b.label)]]++;
        }
    }
    Comparison same(*task);
    same.add(boxes, boxes);
    const Detection result = same.result();
    ck_assert_int_gt(result.confident, 0);
    ck_assert_int_eq(result.found, result.confident);
    ck_assert_int_eq(result.extra, 0);
    ck_assert_double_eq(result.box_iou, 1);
    ck_assert_double_eq(result.mask_iou, yolo ? 1 : -1);
    for (const auto &[name, count] : counts) {
        printf("%s, %s: %d x %s\n", network, scene, count, name.c_str());
    }
    return counts;
}

START_TEST(real_networks_find_what_is_in_the_scenes)
{
    if (!std::ifstream(shared_data() + "/models/nanodet_m_320.onnx")) {
        puts("skipped: no networks in SHARED_DATA");
        return;
    }
    std::map<std::string, int> counts = look("nanodet_m_320", "busstop", false);
    ck_assert_int_ge(counts["person"], 5);
    counts = look("nanodet_m_320", "parking", false);
    ck_assert_int_ge(counts["person"], 5);
    ck_assert_int_ge(counts["car"], 2);
    counts = look("yolov5n_seg_640", "busstop", true);
    ck_assert_int_ge(counts["person"], 5);
    ck_assert_int_eq(counts["bus"], 1);
    counts = look("yolov5n_seg_640", "parking", true);
    ck_assert_int_ge(counts["person"], 8);
    ck_assert_int_ge(counts["car"], 6);
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("tasks");
    tcase_add_test(tests, iou_by_hand);
    tcase_add_test(tests, suppression_keeps_the_best_of_each_class);
    tcase_add_test(tests, class_names_of_coco);
    tcase_add_test(tests, nanodet_gives_back_what_was_encoded);
    tcase_add_test(tests, boxes_go_back_to_the_picture);
    tcase_add_test(tests, numbers_that_are_none_give_no_box);
    tcase_add_test(tests, yolo_gives_back_what_was_encoded);
    tcase_add_test(tests, masks_are_cut_to_the_box_in_pixels_of_the_picture);
    tcase_add_test(tests, outputs_that_do_not_fit);
    tcase_add_test(tests, matches_are_one_to_one_and_best_first);
    tcase_add_test(tests, comparison_counts_boxes);
    tcase_add_test(tests, comparison_measures_masks);
    tcase_add_test(tests, real_networks_find_what_is_in_the_scenes);
    return test_suite_of("bsq-onnx: boxes and masks", tests);
}
