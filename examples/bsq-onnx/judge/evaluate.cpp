// The quantized network against the float one, on samples that nothing was fitted to.
#include "judge/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include <onnx/onnx_pb.h>

#include "judge/written.hpp"
#include "plan/work.hpp"
#include "quantize/parallel.hpp"

namespace bsq_onnx {

constexpr size_t exhibits_most = 6;

// ---- the quantized network -----------------------------------------------------------------------------------

Chain::Chain(const Model &model, const std::vector<LayerResult> &layers, const Quantizers &quantizers,
             const std::vector<std::string> &extra)
    : model_(model)
{
    const onnx::GraphProto &graph = model.proto().graph();
    for (Segment segment : model.segments()) {
        for (int i = segment.first_node; i <= segment.last_node; i++)
            for (const std::string &tensor : graph.node(i).output())
                if (std::count(extra.begin(), extra.end(), tensor) > 0 &&
                    std::count(segment.outputs.begin(), segment.outputs.end(), tensor) == 0)
                    segment.outputs.push_back(tensor);
        const LayerResult *layer = segment.layer < 0 ? nullptr : &layers[static_cast<size_t>(segment.layer)];
        if (layer != nullptr && layer->bits > 0)
            runners_.emplace_back(model, segment, segment.outputs, quantizers, layer->dequantized, layer->bias);
        else
            runners_.emplace_back(model, segment, segment.outputs, everywhere(quantizers));
        outputs_.push_back(segment.outputs);
    }
}

void Chain::run(const Sample &sample)
{
    shapes_ = model_.shapes(sample.inputs);
    for (size_t i = 0; i < sample.inputs.size(); i++)
        arrays_[model_.inputs()[i].name] = sample.inputs[i];
    for (const std::vector<std::string> &outputs : outputs_)
        prepare_arrays(model_, *shapes_, outputs, arrays_);
    run_from(0);
}

void Chain::run_from(size_t segment)
{
    for (size_t i = segment; i < runners_.size(); i++)
        bsq_onnx::run(runners_[i], model_.segments()[i].inputs, outputs_[i], *shapes_, arrays_);
}

std::vector<std::string> telling_tensors(const Model &model)
{
    std::vector<std::string> tensors;
    for (const Value &output : model.outputs()) {
        std::string tensor = output.name;
        for (const onnx::NodeProto &node : model.proto().graph().node())
            if (node.op_type() == "Softmax" && node.output(0) == tensor)
                tensor = node.input(0);
        tensors.push_back(tensor);
    }
    return tensors;
}

// ---- comparison ----------------------------------------------------------------------------------------------

void Difference::add(const std::vector<float> &y, const std::vector<float> &reference)
{
    for (size_t i = 0; i < y.size(); i++) {
        const double wanted = static_cast<double>(reference[i]), off = static_cast<double>(y[i]) - wanted;
        error += off * off;
        energy += wanted * wanted;
    }
}

void Difference::add(const std::vector<float> &y, const std::vector<float> &reference, const Shape &shape,
                     const RowMask &mask)
{
    const int64_t width = shape.empty() ? 1 : std::max<int64_t>(shape.back(), 1), rows = count(shape) / width;
    if (mask.empty() || rows != static_cast<int64_t>(mask.size())) {
        add(y, reference);
        return;
    }
    std::vector<float> some, others;
    rows_that_count(y.data(), rows, width, mask, some);
    rows_that_count(reference.data(), rows, width, mask, others);
    add(some, others);
}

namespace {

size_t best_of(const std::vector<float> &scores)
{
    return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

// Whether fewer than 'places' classes are scored above the label.
bool among(const std::vector<float> &scores, int64_t label, int64_t places)
{
    if (label < 0 || label >= static_cast<int64_t>(scores.size()))
        return false;
    const float score = scores[static_cast<size_t>(label)];
    return std::count_if(scores.begin(), scores.end(), [&](float other) { return other > score; }) < places;
}

// One vector of scores for a sample.
bool classifies(const Model &model, const Task *task)
{
    if (task != nullptr || model.outputs().size() != 1)
        return false;
    Shape shape = model.outputs()[0].shape;
    if (!shape.empty())
        shape[0] = 1; // of one sample
    return count(shape) > 1 && count(shape) == *std::max_element(shape.begin(), shape.end());
}

std::string class_name(const Labels &labels, int64_t label)
{
    const auto name = labels.names.find(label);
    return name != labels.names.end() ? name->second : "class " + std::to_string(label);
}

std::string class_text(const Labels &labels, const std::vector<float> &logits)
{
    const size_t best = best_of(logits);
    double sum = 0;
    for (const float value : logits)
        sum += std::exp(static_cast<double>(value) - static_cast<double>(logits[best]));
    char probability[16];
    std::snprintf(probability, sizeof probability, " (%.2f)", 1 / sum);
    return class_name(labels, static_cast<int64_t>(best)) + probability;
}

struct Pair {
    std::vector<float> reference, quantized;
};

class Judge {
public:
    Judge(const Model &model, const Settings &settings, const Contest &contest, const Labels &labels, const Task *task);
    // Those that the network takes at a time, the first of them being number 'index'.
    void add(size_t index, const SampleRef &ref);
    Judgement result();

private:
    void add_part(size_t index, const Sample &sample, const std::string &name);
    Shape shape_of(const std::string &tensor) const;
    std::vector<float> part_of(const std::vector<float> &values, const std::string &tensor) const;
    std::vector<float> reference(const std::string &tensor) const
    {
        return part_of(contest_.reference(tensor), tensor);
    }
    std::vector<float> quantized(const std::string &tensor) const
    {
        return part_of(contest_.quantized(tensor), tensor);
    }
    void add_class(size_t index, Exhibit &exhibit);
    void add_boxes(const Sample &sample, Exhibit &exhibit);
    void show(const Sample &sample, Exhibit &exhibit);

    const Model &model_;
    const Labels &labels_;
    const Task *task_;
    const Contest &contest_;
    bool classifies_;
    int mask_input_;
    Metrics metrics_;
    std::vector<Difference> differences_; // of each output
    Difference behind_softmax_;
    std::unique_ptr<Comparison> comparison_;
    Judgement judgement_;
    std::shared_ptr<const Shapes> shapes_; // of what ran last
    size_t part_ = 0, parts_ = 1;          // the sample at hand of those that ran
    int64_t float_top1_ = 0, float_top5_ = 0, top1_ = 0, top5_ = 0;
};

Judge::Judge(const Model &model, const Settings &settings, const Contest &contest, const Labels &labels,
             const Task *task)
    : model_(model), labels_(labels), task_(task), contest_(contest), classifies_(classifies(model, task)),
      mask_input_(row_mask_input(model, settings.row_mask)),
      metrics_(model, settings.metrics, settings.token_ids, labels.any()), differences_(contest.telling.size()),
      comparison_(task != nullptr ? new Comparison(*task) : nullptr)
{
}

void Judge::add_class(size_t index, Exhibit &exhibit)
{
    const std::vector<float> float_scores = reference(contest_.telling[0]), scores = quantized(contest_.telling[0]);
    exhibit.changes = best_of(float_scores) != best_of(scores);
    if (labels_.whole()) {
        const int64_t label = *labels_.of(index);
        float_top1_ += among(float_scores, label, 1);
        float_top5_ += among(float_scores, label, 5);
        top1_ += among(scores, label, 1);
        top5_ += among(scores, label, 5);
        exhibit.label_text = class_name(labels_, label);
    }
    exhibit.float_text = class_text(labels_, float_scores);
    exhibit.text = class_text(labels_, scores);
}

void Judge::add_boxes(const Sample &sample, Exhibit &exhibit)
{
    Outputs float_outputs, outputs;
    for (const Value &output : model_.outputs()) {
        float_outputs[output.name] = reference(output.name);
        outputs[output.name] = quantized(output.name);
    }
    exhibit.float_boxes = task_->decode(float_outputs, sample.placement);
    exhibit.boxes = task_->decode(outputs, sample.placement);
    exhibit.changes = comparison_->add(exhibit.float_boxes, exhibit.boxes);
}

// Keeps the pictures on which the networks differ most; among equals those with most confident boxes, and the first.
void Judge::show(const Sample &sample, Exhibit &exhibit)
{
    if (sample.picture.empty())
        return;
    const auto worth = [&](const Exhibit &e) {
        const auto sure = [&](const Box &box) { return box.score >= task_->confident_score(); };
        return std::make_pair(e.changes, std::count_if(e.float_boxes.begin(), e.float_boxes.end(), sure) +
                                             std::count_if(e.boxes.begin(), e.boxes.end(), sure));
    };
    if (task_ != nullptr && worth(exhibit).second == 0)
        return;
    std::vector<Exhibit> &kept = judgement_.exhibits;
    if (kept.size() >= exhibits_most) {
        const auto least = std::min_element(kept.rbegin(), kept.rend(),
                                            [&](const Exhibit &a, const Exhibit &b) { return worth(a) < worth(b); });
        if (worth(*least) >= worth(exhibit))
            return;
        kept.erase(std::next(least).base());
    }
    exhibit.width = sample.picture.cols;
    exhibit.height = sample.picture.rows;
    const cv::Mat whole_picture = sample.picture.isContinuous() ? sample.picture : sample.picture.clone();
    exhibit.bgr.assign(whole_picture.datastart, whole_picture.dataend);
    kept.push_back(std::move(exhibit));
}

Shape Judge::shape_of(const std::string &tensor) const
{
    Shape shape = shapes_->at(tensor);
    if (parts_ == 1)
        return shape;
    if (shape.empty() || shape[0] != static_cast<int64_t>(parts_))
        throw Error("tensor " + tensor + " of " + extents_text(shape) + " has no axis for the " +
                    std::to_string(parts_) + " samples that the network takes at a time");
    shape[0] = 1;
    return shape;
}

std::vector<float> Judge::part_of(const std::vector<float> &values, const std::string &tensor) const
{
    if (parts_ == 1)
        return values;
    const auto each = static_cast<std::ptrdiff_t>(count(shape_of(tensor))),
               at = each * static_cast<std::ptrdiff_t>(part_);
    return {values.begin() + at, values.begin() + at + each};
}

void Judge::add(size_t index, const SampleRef &ref)
{
    const Sample sample = ref.load();
    shapes_ = model_.shapes(sample.inputs);
    contest_.run(sample);
    parts_ = ref.indices.size();
    for (part_ = 0; part_ < parts_; part_++) {
        const int64_t one = ref.indices[part_];
        add_part(index + part_, parts_ == 1 ? sample : ref.from->load(one), ref.from->name(one));
    }
}

void Judge::add_part(size_t index, const Sample &sample, const std::string &name)
{
    const RowMask mask = row_mask(sample, mask_input_, name);
    for (size_t i = 0; i < contest_.telling.size(); i++)
        if (const std::string &tensor = contest_.telling[i]; !holds_integers(model_.type(tensor)))
            differences_[i].add(quantized(tensor), reference(tensor), shape_of(tensor), mask);
    for (size_t i = 0; i < metrics_.count(); i++) {
        const std::string &output = metrics_.output(i);
        const std::vector<float> wanted = reference(output), got = quantized(output);
        metrics_.add(i, sample, {wanted, got, shape_of(output)}, mask, labels_, index);
    }
    for (size_t i = 0; i < contest_.telling.size(); i++)
        if (const std::string &output = model_.outputs()[i].name; output != contest_.telling[i])
            behind_softmax_.add(quantized(output), reference(output));
    Exhibit exhibit;
    exhibit.name = name.substr(name.rfind('/') + 1);
    if (classifies_)
        add_class(index, exhibit);
    if (task_ != nullptr && !sample.picture.empty())
        add_boxes(sample, exhibit);
    judgement_.evaluation.changed += exhibit.changes > 0;
    judgement_.evaluation.samples++;
    show(sample, exhibit);
}

Judgement Judge::result()
{
    Evaluation &e = judgement_.evaluation;
    const auto share = [&](int64_t hits) { return static_cast<double>(hits) / static_cast<double>(e.samples); };
    e.agreement = -1;
    if (classifies_ && e.samples > 0) {
        e.agreement = share(e.samples - e.changed);
        e.labelled = labels_.whole();
        e.float_top1 = share(float_top1_);
        e.float_top5 = share(float_top5_);
        e.top1 = share(top1_);
        e.top5 = share(top5_);
    }
    Difference sum;
    for (const Difference &difference : differences_) {
        sum.error += difference.error;
        sum.energy += difference.energy;
    }
    e.output_error = sum.relative();
    if (behind_softmax_.energy > 0)
        e.softmax_error = behind_softmax_.relative();
    std::stable_sort(judgement_.exhibits.begin(), judgement_.exhibits.end(),
                     [](const Exhibit &a, const Exhibit &b) { return a.changes > b.changes; });
    judgement_.output_norm = e.samples > 0 ? std::sqrt(sum.energy / static_cast<double>(e.samples)) : 0;
    if (task_ != nullptr) {
        judgement_.detection = comparison_->result();
        judgement_.has_detection = judgement_.detection.pictures > 0;
        judgement_.classes = task_->classes();
    }
    if (e.samples > 0)
        judgement_.metrics = metrics_.results();
    return std::move(judgement_);
}

} // namespace

Judgement evaluate(const Model &model, const Settings &settings, const Contest &contest,
                   const std::vector<SampleRef> &samples, const Labels &labels, const Task *task, Progress &progress)
{
    Judge judge(model, settings, contest, labels, task);
    const double once = network_work(model);
    size_t index = 0;
    for (const SampleRef &ref : samples) {
        progress.step("evaluation", 2 * once);
        judge.add(index, ref);
        index += ref.indices.size();
        progress.end("");
    }
    return judge.result();
}

Judgement evaluate(const Model &model, const Settings &settings, const Quantized &quantized, const std::string &written,
                   const std::vector<SampleRef> &samples, const Labels &labels, const Task *task, Progress &progress)
{
    Contest contest;
    contest.telling = telling_tensors(model);
    const Segment all = whole(model, contest.telling);
    Runner real(model, all, all.outputs);
    const std::unique_ptr<Written> file = written.empty() ? nullptr : Written::load(model, written, all.outputs);
    std::optional<Chain> chain;
    if (!file)
        chain.emplace(model, quantized.layers, quantized.quantizers, all.outputs);
    Arrays reference;
    contest.run = [&](const Sample &sample) {
        const std::shared_ptr<const Shapes> shapes = model.shapes(sample.inputs);
        for (size_t i = 0; i < sample.inputs.size(); i++)
            reference[model.inputs()[i].name] = sample.inputs[i];
        prepare_arrays(model, *shapes, all.outputs, reference);
        for_samples(std::min<int>(settings.options.threads, 2), 0, 2, [&](int, int64_t which) {
            if (which == 0)
                run(real, all.inputs, all.outputs, *shapes, reference);
            else if (file)
                file->run(sample, *shapes);
            else
                chain->run(sample);
        });
    };
    contest.reference = [&](const std::string &tensor) { return to_floats(reference.at(tensor)); };
    contest.quantized = [&](const std::string &tensor) { return file ? file->tensor(tensor) : chain->tensor(tensor); };
    return evaluate(model, settings, contest, samples, labels, task, progress);
}

} // namespace bsq_onnx
