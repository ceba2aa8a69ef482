// The quantized network against the float one, on samples that nothing was fitted to.
#ifndef BSQ_ONNX_EVALUATE_HPP
#define BSQ_ONNX_EVALUATE_HPP

#include <map>
#include <string>
#include <vector>

#include <functional>
#include <memory>

#include "judge/metrics.hpp"
#include "judge/tasks/tasks.hpp"

#include "model/model.hpp"
#include "quantize/engine.hpp"
#include "quantize/quantize.hpp"
#include "quantize/rows.hpp"
#include "samples/labels.hpp"
#include "settings.hpp"

namespace bsq_onnx {

// The quantized network, segment by segment with quantized inputs of layers between.
class Chain {
public:
    // Of the layers, those with bits; 'extra' tensors are kept besides the network's outputs.
    Chain(const Model &model, const std::vector<LayerResult> &layers, const Quantizers &quantizers,
          const std::vector<std::string> &extra);

    void run(const Sample &sample);
    const Array &array(const std::string &tensor) const { return arrays_.at(tensor); }
    std::vector<float> tensor(const std::string &name) const { return to_floats(array(name)); }

    // Extents of the sample's tensors.
    const Shapes &shapes() const { return *shapes_; }

    // The same in parts: a segment may be replaced by one with the same outputs.
    void run_from(size_t segment);
    const std::vector<std::string> &outputs(size_t segment) const { return outputs_[segment]; }
    void swap(size_t segment, Runner &runner) { std::swap(runners_[segment], runner); }

private:
    const Model &model_;
    std::vector<Runner> runners_;
    std::vector<std::vector<std::string>> outputs_; // of each segment
    Arrays arrays_;
    std::shared_ptr<const Shapes> shapes_;
};

// For each output of the network the tensor that tells most: what a final Softmax reads, else the output itself.
std::vector<std::string> telling_tensors(const Model &model);

// |y - y_float|^2 and |y_float|^2, summed.
struct Difference {
    double error = 0, energy = 0;
    void add(const std::vector<float> &y, const std::vector<float> &reference);
    // Without rows of the last axis that do not count, where the mask is of such rows.
    void add(const std::vector<float> &y, const std::vector<float> &reference, const Shape &shape, const RowMask &mask);
    double relative() const { return energy > 0 ? error / energy : 0; }
};

struct Judgement {
    double output_norm = 0; // root mean square over samples, of the float network's telling tensors together
    Evaluation evaluation;
    bool has_detection = false;
    Detection detection;
    std::vector<std::string> classes; // names of Box::label
    std::vector<Exhibit> exhibits;
    std::vector<MetricResult> metrics;
};

// What is compared: a float and a quantized network, however they run.
struct Contest {
    std::vector<std::string> telling; // for each output of the network the tensor that tells most
    std::function<void(const Sample &)> run;
    std::function<std::vector<float>(const std::string &)> reference, quantized; // tensors after run
};

Judgement evaluate(const Model &model, const Settings &settings, const Contest &contest,
                   const std::vector<SampleRef> &samples, const Labels &labels, const Task *task, Progress &progress);

// The same of what was quantized: the network as it is written where its bytes are given and the engine runs them, else
// segment by segment. 'labels' are those of the samples, or empty. 'task' may be NULL.
Judgement evaluate(const Model &model, const Settings &settings, const Quantized &quantized, const std::string &written,
                   const std::vector<SampleRef> &samples, const Labels &labels, const Task *task, Progress &progress);

} // namespace bsq_onnx

#endif
