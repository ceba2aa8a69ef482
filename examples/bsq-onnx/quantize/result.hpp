// What a run brings forth, and all that its writers need: the network writer, the sidecar, the report.
#ifndef BSQ_ONNX_RESULT_HPP
#define BSQ_ONNX_RESULT_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "bsq.h"

namespace bsq_onnx {

// One quantized layer, in the order of Model::layers().
struct LayerResult {
    std::string name;
    std::string op;          // Conv, Gemm, MatMul
    std::string input;       // tensor
    int bits = 0;            // 0: skipped, its weights stay float
    std::string reason;      // why it was skipped, or ""
    std::string shared_with; // the layer before whose codes, scales and zero points these are; "" when they are its own
    int64_t channels = 0, fan_in = 0;
    int64_t weight_bytes = 0; // at 'bits', codes only, its own
    int64_t multiplications = 0;
    std::vector<int8_t> codes;        // (M, n); with zero points bytes from 0 on
    std::vector<float> scales;        // M, or (M, ceil(n / group_size))
    int64_t group_size = 0;           // inputs that share a scale; 0: all of a channel
    std::vector<int32_t> zero_points; // as many as scales, or none
    std::vector<float> bias;          // M, or empty when the layer has none and needs none
    std::vector<int32_t> bias_codes;  // in integer form: M, in steps of the input's scale times the channel's
    std::vector<float> dequantized;   // (M, n): weights that multiply the dequantized, unfolded inputs
    double error = 0;                 // relative output errors
    double error_rounding = 0;
    double held_out_error = -1; // -1: not measured
    double error_floor = 0;
    double lower_bound = 0; // share of the objective
    double own_error =
        0; // root mean square of the norm by which its quantized form changes its output on the same inputs
    double bound_contribution = 0; // to the bound of the network's output error, relative: sums to 1; 0 when unknown
    double contribution =
        -1; // relative error of the network's outputs with this layer alone quantized; -1: not measured
    double rows_per_input = 0;
    double seconds = 0;   // of its solves
    int32_t warnings = 0; // BSQ_WARNING_...
    std::string text;     // other warnings for people, or ""
};

// A share of clipped values above this is told.
inline constexpr double much_clipped = 0.01;

inline constexpr size_t histogram_bins = 64; // of InputResult::histogram

// One quantized tensor of activations.
struct InputResult {
    std::string tensor;
    int bits = 0;     // 0: stays float
    int32_t type = 0; // BSQ_INPUT_TYPE_UNSIGNED, _SIGNED, _ZERO_POINT
    int32_t zero_point = 0;
    std::vector<double>
        scales; // 1, or one per channel when folded; the folded inputs then have the largest as their scale
    std::vector<int32_t> zero_points; // one for each of several scales; empty with one scale
    double strength = -1;             // how far channels have scales of their own, 0..1; -1: there was no choice
    std::string note; // why it is not folded although that was asked for, or which tensors share it; or ""
    double minimum = 0, maximum = 0; // observed on calibration samples
    double clipped = 0;              // share of values outside of the range
    std::vector<double> histogram;   // shares of equal bins over minimum..maximum
};

// Accuracy and agreement of the evaluated samples.
struct Evaluation {
    int64_t samples = 0;
    bool labelled = false;
    double float_top1 = 0, float_top5 = 0, top1 = 0, top5 = 0; // shares, when labelled
    int64_t changed = 0;   // samples with another class, or with a confident box that only one network has
    double agreement = -1; // share of samples with the float network's class; -1 when the network does not classify
    // |y - y_float|^2 / |y_float|^2 of the network's outputs before a final softmax, over all samples
    double output_error = 0;
    double softmax_error = -1; // the same of the outputs themselves; -1 when none comes from a softmax
};

// What --metric asked for of one output. What a metric does not have stays as it is.
struct MetricResult {
    std::string metric; // error, cosine, tokens, top1
    std::string output;
    int64_t count = 0;                                      // samples, positions, vectors or tokens
    bool by_position = false;                               // top1: each position of a sample has a class
    double error = 0;                                       // error: |y - y_float|^2 / |y_float|^2
    double mean_cosine = 0, least_cosine = 0;               // cosine: over vectors
    double agreement = 0, float_accuracy = 0, accuracy = 0; // tokens, top1: shares
    double float_perplexity = 0, perplexity = 0;            // tokens: of the next one
};

// Which pixels of the original picture belong to an object: a rectangle of 0 and 1, rows first; nothing outside of it.
struct Mask {
    int left = 0, top = 0, width = 0, height = 0;
    std::vector<uint8_t> pixels; // height x width, or empty when the network gives no masks
};

struct Box {
    int label = 0;
    float score = 0, left = 0, top = 0, right = 0, bottom = 0; // pixels of the original picture
    Mask mask;                                                 // cut to the box
};

// One picture for the report, with what float and quantized networks found in it.
struct Exhibit {
    std::string name;
    int width = 0, height = 0;
    std::vector<uint8_t> bgr; // height x width x 3
    std::vector<Box> float_boxes, boxes;
    std::string float_text, text; // for classification: class and probability
    std::string label_text;       // its true class, or ""
    // Confident boxes that only one network has; 1 where classes differ. Exhibits with most of them come first.
    int64_t changes = 0;
};

// Boxes of the quantized network against those of the float network.
struct Detection {
    float confident_score = 0; // as of Task
    float match_score = 0;
    int64_t pictures = 0;
    int64_t confident = 0; // float boxes from the confident score on
    int64_t found = 0;     // of them: same class, IoU >= 0.5 among the quantized network's boxes
    int64_t extra = 0;     // confident quantized boxes that no float box matches
    double box_iou = 0;    // mean over the found
    double mask_iou = -1;  // mean over the found, masks cut to their boxes; -1 without masks
    double mean_iou = -1;  // mean over classes of the IoU of all pixels that confident objects cover; -1 without masks
};

// Samples that follow each other: how many, and the names of two of them.
struct SampleRange {
    int64_t count = 0;
    std::string first, last;
};

// Which samples the figures are of.
struct SampleUse {
    SampleRange calibration; // LayerResult::error and error_rounding, InputResult
    SampleRange held_out;    // LayerResult::held_out_error
    SampleRange evaluation;  // Evaluation, Detection; none of them calibrates
    bool shared = false;     // too few: held-out samples are evaluated, too
    int64_t enough = 0;      // so many calibrating ones would give each layer 64 rows for each input; 0: unknown
    int64_t left_out = 0;    // they do not fill the batch that the network has
};

struct RunResult {
    std::string model, output, command, version;
    std::string engine;                // what ran the network, with its version
    std::vector<std::string> settings; // "weight bits 4", ... for people
    int effort = 0;
    int accuracy_level = 0;            // of MatMulNBits, 0: not said
    std::vector<std::string> rescaled; // tensors whose channels were rescaled
    std::vector<std::string> tried;    // by --target-drop, for people
    std::vector<LayerResult> layers;
    std::vector<InputResult> inputs;
    Evaluation evaluation;
    bool has_detection = false;
    Detection detection;
    std::vector<MetricResult> metrics;
    std::vector<std::string> classes; // names of Box::label, or empty
    std::vector<Exhibit> exhibits;
    SampleUse samples;
    int64_t float_bytes = 0, quantized_bytes = 0; // of the network's files
    double average_bits = 0;                      // over weights
    int64_t contribution_samples = 0;             // of LayerResult::contribution
    double network_bound = -1;                    // relative, of the output error; -1: unknown
    double seconds_solving = 0, seconds_total = 0;
    std::vector<std::string> warnings; // of the run as a whole; layers and inputs have their own
};

} // namespace bsq_onnx

#endif
