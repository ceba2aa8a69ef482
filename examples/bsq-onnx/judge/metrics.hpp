// What else a network is judged by, output by output: --metric.
#ifndef BSQ_ONNX_METRICS_HPP
#define BSQ_ONNX_METRICS_HPP

#include <string>
#include <vector>

#include "model/model.hpp"
#include "quantize/result.hpp"
#include "quantize/rows.hpp"
#include "samples/labels.hpp"
#include "samples/samples.hpp"

namespace bsq_onnx {

enum class MetricKind {
    error,  // relative error of the output
    cosine, // similarity of the output's vectors, which lie along its last axis
    tokens, // the output has logits of the next token at each position
    top1    // the output has a score for each class, of the sample or of each position in it
};

struct MetricChoice {
    MetricKind kind;
    std::string output; // "": the network's only one
};

class Metrics {
public:
    // 'token_ids' is the input that has the tokens, "" for the only one of integers that has as many values as the output
    // has positions. Throws Error when an output or input does not fit, or labels are needed and not there.
    Metrics(const Model &model, const std::vector<MetricChoice> &choices, const std::string &token_ids, bool labelled);

    bool any() const { return !parts_.empty(); }

    // One sample's outputs of both networks, as 'part' of them says; 'index' is the sample's place in the labels.
    struct Outputs {
        const std::vector<float> &reference, &quantized;
        const Shape &shape;
    };
    size_t count() const { return parts_.size(); }
    const std::string &output(size_t part) const { return parts_[part].result.output; }
    void add(size_t part, const Sample &sample, const Outputs &outputs, const RowMask &mask, const Labels &labels,
             size_t index);

    std::vector<MetricResult> results() const;

private:
    struct Part {
        MetricKind kind;
        size_t ids = 0; // index of the input
        MetricResult result;
        double sums[4] = {};
    };

    static void add_cosines(Part &part, const Outputs &outputs, const RowMask &mask);
    static void add_classes(Part &part, const Outputs &outputs, const RowMask &mask, const Labels &labels,
                            size_t index);
    void add_tokens(Part &part, const Sample &sample, const Outputs &outputs, const RowMask &mask) const;

    const Model &model_;
    std::vector<Part> parts_;
};

} // namespace bsq_onnx

#endif
