// The quantized network against the float one, on samples that nothing was fitted to.
#ifndef BSQ_ONNX_EVALUATE_HPP
#define BSQ_ONNX_EVALUATE_HPP

#include <map>
#include <string>
#include <vector>

#include "judge/tasks/tasks.hpp"
#include <functional>

#include "model/model.hpp"
#include "quantize/engine.hpp"
#include "quantize/quantize.hpp"
#include "samples/labels.hpp"

namespace bsq_onnx {

// The quantized network, segment by segment with quantized inputs of layers between.
class Chain {
public:
    // Of the layers, those with bits; 'extra' tensors are kept besides the network's outputs.
    Chain(const Model &model, const std::vector<LayerResult> &layers, const Quantizers &quantizers,
          const std::vector<std::string> &extra);

    void run(const std::vector<float> &input);
    const std::vector<float> &tensor(const std::string &name) const { return tensors_.at(name); }

    // The same in parts: what was computed may be kept and put back, and a segment replaced by one with the same
    // outputs.
    using Tensors = std::map<std::string, std::vector<float>>;
    Tensors &tensors() { return tensors_; }
    void run_from(size_t segment);
    const std::vector<std::string> &outputs(size_t segment) const { return outputs_[segment]; }
    void swap(size_t segment, Runner &runner) { std::swap(runners_[segment], runner); }

private:
    const Model &model_;
    std::vector<Runner> runners_;
    std::vector<std::vector<std::string>> outputs_; // of each segment
    Tensors tensors_;
};

// For each output of the network the tensor that tells most: what a final Softmax reads, else the output itself.
std::vector<std::string> telling_tensors(const Model &model);

// |y - y_float|^2 and |y_float|^2, summed.
struct Difference {
    double error = 0, energy = 0;
    void add(const std::vector<float> &y, const std::vector<float> &reference);
    double relative() const { return energy > 0 ? error / energy : 0; }
};

struct Judgement {
    double output_norm = 0; // root mean square over samples, of the float network's telling tensors together
    Evaluation evaluation;
    bool has_detection = false;
    Detection detection;
    std::vector<std::string> classes; // names of Box::label
    std::vector<Exhibit> exhibits;
};

// What is compared: a float and a quantized network, however they run.
struct Contest {
    std::vector<std::string> telling; // for each output of the network the tensor that tells most
    std::function<void(const std::vector<float> &)> run;
    std::function<const std::vector<float> &(const std::string &)> reference, quantized; // tensors after run
};

Judgement evaluate(const Model &model, const Contest &contest, const std::vector<SampleRef> &samples,
                   const Labels &labels, const Task *task, Progress &progress);

// The same of what was quantized, run here. 'labels' are those of the samples, or empty. 'task' may be NULL.
Judgement evaluate(const Model &model, const Quantized &quantized, const std::vector<SampleRef> &samples,
                   const Labels &labels, const Task *task, int threads, Progress &progress);

} // namespace bsq_onnx

#endif
