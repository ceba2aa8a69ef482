#include "judge/metrics.hpp"

#include <algorithm>
#include <cmath>

#include "shared.hpp"

namespace bsq_onnx {

namespace {

const char *name_of(MetricKind kind)
{
    static const char *const names[] = {"error", "cosine", "tokens", "top1"};
    return names[static_cast<int>(kind)];
}

const Value &output_of(const Model &model, const MetricChoice &choice)
{
    const std::string what = std::string("--metric ") + name_of(choice.kind);
    if (choice.output.empty() && model.outputs().size() != 1)
        throw Error(what + ": the network has " + std::to_string(model.outputs().size()) + " outputs; " + what +
                    "=OUTPUT says which");
    for (const Value &output : model.outputs())
        if (choice.output.empty() || output.name == choice.output)
            return output;
    throw Error(what + ": the network has no output '" + choice.output + "'");
}

int64_t positions(const Shape &shape)
{
    return shape.empty() ? 0 : count(shape) / std::max<int64_t>(shape.back(), 1);
}

// As the file has it: float16 is computed with as float32.
std::string type_in_file(const Model &model, const Value &value)
{
    const auto half = model.halves().find(value.name);
    return element_type_name(half != model.halves().end() ? half->second : value.type);
}

// The input of integers that goes with the positions of 'output'.
size_t ids_of(const Model &model, const Value &output, const std::string &asked)
{
    std::vector<size_t> fitting;
    for (size_t i = 0; i < model.inputs().size(); i++) {
        const Value &input = model.inputs()[i];
        const bool fits = holds_integers(input.type) && count(input.shape) == positions(output.shape);
        if (!asked.empty() && input.name == asked && !fits)
            throw Error("--token-ids: input '" + asked + "' is " + extents_text(input.shape) + " of " +
                        type_in_file(model, input) + ", which are no tokens of output '" + output.name + "' of " +
                        extents_text(output.shape));
        if (fits && (asked.empty() || input.name == asked))
            fitting.push_back(i);
    }
    if (fitting.size() == 1)
        return fitting[0];
    if (!asked.empty())
        throw Error("--token-ids: the network has no input '" + asked + "'");
    throw Error("--metric tokens: " + std::string(fitting.empty() ? "no input has" : "several inputs may have") +
                " the tokens of output '" + output.name + "'" +
                (fitting.empty() ? "" : "; --token-ids NAME says which"));
}

// Scores lie 'step' apart; the first of equals.
size_t best_of(const float *scores, int64_t number, int64_t step = 1)
{
    int64_t best = 0;
    for (int64_t i = 1; i < number; i++)
        best = scores[i * step] > scores[best * step] ? i : best;
    return static_cast<size_t>(best);
}

// -log of the share that 'target' has after a softmax.
double loss_of(const float *scores, int64_t number, int64_t target)
{
    const auto most = static_cast<double>(scores[best_of(scores, number)]);
    double sum = 0;
    for (int64_t i = 0; i < number; i++)
        sum += std::exp(static_cast<double>(scores[i]) - most);
    return std::log(sum) + most - static_cast<double>(scores[target]);
}

} // namespace

Metrics::Metrics(const Model &model, const std::vector<MetricChoice> &choices, const std::string &token_ids,
                 bool labelled)
    : model_(model)
{
    for (const MetricChoice &choice : choices) {
        const Value &output = output_of(model, choice);
        if (element_size(output.type) == 0 || holds_integers(output.type))
            throw Error(std::string("--metric ") + name_of(choice.kind) + ": output '" + output.name + "' is " +
                        element_type_name(output.type) + ", not real numbers");
        Part part;
        part.kind = choice.kind;
        part.result.metric = name_of(choice.kind);
        part.result.output = output.name;
        if (choice.kind == MetricKind::tokens)
            part.ids = ids_of(model, output, token_ids);
        if (choice.kind == MetricKind::top1 && !labelled)
            throw Error("--metric top1 needs --labels");
        parts_.push_back(part);
    }
}

void Metrics::add_cosines(Part &part, const Outputs &outputs, const RowMask &mask)
{
    const int64_t width = outputs.shape.empty() ? 1 : outputs.shape.back(), all = positions(outputs.shape);
    const bool masked = static_cast<int64_t>(mask.size()) == all;
    for (int64_t row = 0; row < all; row++) {
        if (masked && mask[static_cast<size_t>(row)] == 0)
            continue;
        const float *a = &outputs.reference[static_cast<size_t>(row * width)],
                    *b = &outputs.quantized[static_cast<size_t>(row * width)];
        double both = 0, first = 0, second = 0;
        for (int64_t i = 0; i < width; i++) {
            both += static_cast<double>(a[i]) * static_cast<double>(b[i]);
            first += static_cast<double>(a[i]) * static_cast<double>(a[i]);
            second += static_cast<double>(b[i]) * static_cast<double>(b[i]);
        }
        const double lengths = std::sqrt(first * second);
        const double cosine = lengths > 0 ? both / lengths : first == second ? 1 : 0;
        part.sums[0] += cosine;
        part.result.least_cosine = part.result.count == 0 ? cosine : std::min(part.result.least_cosine, cosine);
        part.result.count++;
    }
}

// Sequences are rows of the ids; the last position of each has nothing to predict.
void Metrics::add_tokens(Part &part, const Sample &sample, const Outputs &outputs, const RowMask &mask) const
{
    const Array &given = sample.inputs[part.ids];
    const std::vector<int64_t> ids = to_integers(given);
    const int64_t classes = outputs.shape.back(), all = positions(outputs.shape);
    const int64_t length = given.shape.empty() ? 1 : given.shape.back();
    const bool masked = static_cast<int64_t>(mask.size()) == all;
    const auto counts = [&](int64_t row) { return !masked || mask[static_cast<size_t>(row)] > 0; };
    for (int64_t row = 0; row < all; row++) {
        if (row % length == length - 1 || !counts(row) || !counts(row + 1))
            continue;
        const int64_t next = ids[static_cast<size_t>(row + 1)];
        if (next < 0 || next >= classes)
            throw Error("--metric tokens: input '" + model_.inputs()[part.ids].name + "' has the token " +
                        std::to_string(next) + ", output '" + part.result.output + "' has " + std::to_string(classes));
        const float *a = &outputs.reference[static_cast<size_t>(row * classes)],
                    *b = &outputs.quantized[static_cast<size_t>(row * classes)];
        part.result.agreement += best_of(a, classes) == best_of(b, classes);
        part.result.float_accuracy += static_cast<int64_t>(best_of(a, classes)) == next;
        part.result.accuracy += static_cast<int64_t>(best_of(b, classes)) == next;
        part.sums[0] += loss_of(a, classes, next);
        part.sums[1] += loss_of(b, classes, next);
        part.result.count++;
    }
}

// Classes lie along the axis that is left of the output's when the labels' positions, and the batch, are taken away: the
// last one, or the one behind the batch.
void Metrics::add_classes(Part &part, const Outputs &outputs, const RowMask &mask, const Labels &labels, size_t index)
{
    const auto all = static_cast<int64_t>(outputs.reference.size()), places = bsq_onnx::count(labels.positions);
    Shape shape = outputs.shape;
    while (!shape.empty() && shape[0] == 1 && shape.size() > labels.positions.size() + 1)
        shape.erase(shape.begin());
    const bool fits = shape.size() == labels.positions.size() + 1;
    const bool last = fits && std::equal(labels.positions.begin(), labels.positions.end(), shape.begin());
    if (!labels.positions.empty() && !last &&
        !(fits && std::equal(labels.positions.begin(), labels.positions.end(), shape.begin() + 1)))
        throw Error("--metric top1: output '" + part.result.output + "' of " + extents_text(outputs.shape) +
                    " has no scores of classes for labels of " + extents_text(labels.positions) + " a sample");
    const int64_t classes = all / places, next = last || labels.positions.empty() ? 1 : places;
    const auto best = [&](const std::vector<float> &scores, int64_t place) {
        return static_cast<int64_t>(
            best_of(&scores[static_cast<size_t>(next == 1 ? place * classes : place)], classes, next));
    };
    part.result.by_position = !labels.positions.empty();
    const bool masked = part.result.by_position && static_cast<int64_t>(mask.size()) == places;
    for (int64_t place = 0; place < places; place++) {
        const int64_t label = labels.of(index)[place];
        if ((masked && mask[static_cast<size_t>(place)] == 0) || (part.result.by_position && label < 0))
            continue;
        const int64_t a = best(outputs.reference, place), b = best(outputs.quantized, place);
        part.result.agreement += a == b;
        part.result.float_accuracy += a == label;
        part.result.accuracy += b == label;
        part.result.count++;
    }
}

void Metrics::add(size_t number, const Sample &sample, const Outputs &outputs, const RowMask &mask,
                  const Labels &labels, size_t index)
{
    Part &part = parts_[number];
    if (part.kind == MetricKind::cosine) {
        add_cosines(part, outputs, mask);
    } else if (part.kind == MetricKind::tokens) {
        add_tokens(part, sample, outputs, mask);
    } else if (part.kind == MetricKind::top1) {
        add_classes(part, outputs, mask, labels, index);
    } else {
        const int64_t width = outputs.shape.empty() ? 1 : std::max<int64_t>(outputs.shape.back(), 1);
        const bool masked = static_cast<int64_t>(mask.size()) == positions(outputs.shape);
        for (size_t i = 0; i < outputs.reference.size(); i++) {
            if (masked && mask[i / static_cast<size_t>(width)] == 0)
                continue;
            const auto wanted = static_cast<double>(outputs.reference[i]);
            const double off = static_cast<double>(outputs.quantized[i]) - wanted;
            part.sums[0] += off * off;
            part.sums[1] += wanted * wanted;
        }
        part.result.count++;
    }
}

std::vector<MetricResult> Metrics::results() const
{
    std::vector<MetricResult> list;
    for (const Part &part : parts_) {
        MetricResult result = part.result;
        const auto all = static_cast<double>(std::max<int64_t>(result.count, 1));
        if (part.kind == MetricKind::error) {
            result.error = part.sums[1] > 0 ? part.sums[0] / part.sums[1] : 0;
        } else if (part.kind == MetricKind::cosine) {
            result.mean_cosine = part.sums[0] / all;
        } else {
            result.agreement /= all;
            result.float_accuracy /= all;
            result.accuracy /= all;
        }
        if (part.kind == MetricKind::tokens) {
            result.float_perplexity = std::exp(part.sums[0] / all);
            result.perplexity = std::exp(part.sums[1] / all);
        }
        list.push_back(result);
    }
    return list;
}

} // namespace bsq_onnx
