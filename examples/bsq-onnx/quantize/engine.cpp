// Runs parts of a network, and quantizes activations between them.
#include "quantize/engine.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include <opencv2/core/utility.hpp>
#include <opencv2/core/utils/logger.hpp>

#include "engines/engine.hpp"
#include "engines/rounding.hpp"
#include "model/graph.hpp"
#include "shared.hpp"

// The library's BLAS, where it has this call: more of its threads would be in the way of the library's own.
extern "C" void openblas_set_num_threads(int count) __attribute__((weak));

namespace bsq_onnx {

Quantizer::Quantizer()
{
    bsq_input_quantizer_init(&values, sizeof values);
    values.bits = 0;
}

Quantizer Quantizer::of_range(int bits, float least, float most)
{
    const double low = std::min(0.0, static_cast<double>(least)), high = std::max(0.0, static_cast<double>(most));
    const double last = std::exp2(bits) - 1;
    Quantizer result;
    result.values.bits = bits;
    result.values.type = low < 0 ? BSQ_INPUT_TYPE_ZERO_POINT : BSQ_INPUT_TYPE_UNSIGNED;
    const auto scale = static_cast<float>((high - low) / last);
    result.values.scale = static_cast<double>(std::min(std::max(scale, FLT_MIN), FLT_MAX));
    result.values.zero_point =
        static_cast<int32_t>(std::min(std::max(round_even(-low / result.values.scale), 0.0), last));
    return result;
}

Quantizer::Grid Quantizer::grid(int64_t channel) const
{
    const auto c = static_cast<size_t>(channel);
    const int32_t codes = int32_t{1} << values.bits;
    const int32_t lowest = values.type == BSQ_INPUT_TYPE_SIGNED ? -codes / 2 : 0;
    const int32_t zero = folded() ? zero_points[c] : values.zero_point;
    return {folded() ? scales[c] : values.scale, static_cast<double>(lowest - zero),
            static_cast<double>(lowest + codes - 1 - zero)};
}

void Quantizer::apply(const float *in, int64_t outer, int64_t channels, int64_t inner, float *out) const
{
    if (!folded()) {
        inner *= outer * channels;
        outer = channels = 1;
    }
    for (int64_t k = 0; k < outer * channels; k++) {
        const Grid g = grid(k % channels);
        for (int64_t i = 0; i < inner; i++)
            out[i] = rounded(in[i], g.step, g.lowest, g.highest);
        in += inner;
        out += inner;
    }
}

Quantizers everywhere(const Quantizers &quantizers)
{
    Quantizers those;
    for (const auto &entry : quantizers)
        if (entry.second.everywhere)
            those.insert(entry);
    return those;
}

Layout input_layout(const Layer &layer, const Shape &input_shape)
{
    const int64_t all = count(input_shape), channels = layer.desc.in_channels;
    if (layer.desc.kind == BSQ_KIND_LINEAR)
        return {all / channels, channels, 1};
    return {input_shape[0], channels, all / channels / input_shape[0]};
}

namespace {

Rounding rounding_of(const Quantizer &quantizer)
{
    const Quantizer::Grid grid = quantizer.grid(0);
    return {static_cast<float>(grid.step), static_cast<int>(grid.lowest), static_cast<int>(grid.highest)};
}

} // namespace

struct Runner::Impl {
    std::unique_ptr<Program> program;

    // What the engine is fed: an input of the segment each, as it is or quantized.
    struct Feed {
        Value value;        // under the name that the engine knows
        std::string tensor; // the model's
        size_t input;       // index into the segment's inputs
        bool quantized;     // the layer reads it: with a quantizer, where one is given
    };
    std::vector<Feed> feeds;
    std::vector<std::string> outputs;
    const Layer *layer = nullptr;
    const Model *model = nullptr;
    Quantizer quantizer;
    std::vector<float> scratch; // the layer's input, quantized

    void add_feed(const Segment &segment, const std::string &tensor, const std::string &name, bool quantized);
    const void *values(const Feed &feed, const void *input, const Shape &shape);
};

void Runner::Impl::add_feed(const Segment &segment, const std::string &tensor, const std::string &name, bool quantized)
{
    const auto at = std::find(segment.inputs.begin(), segment.inputs.end(), tensor);
    feeds.push_back({{name, model->shape(tensor), model->type(tensor)},
                     tensor,
                     static_cast<size_t>(at - segment.inputs.begin()),
                     quantized});
}

const void *Runner::Impl::values(const Feed &feed, const void *input, const Shape &shape)
{
    if (!feed.quantized || !quantizer.quantizes())
        return input;
    const Layout layout = input_layout(*layer, shape);
    scratch.resize(static_cast<size_t>(layout.outer * layout.channels * layout.inner));
    quantizer.apply(static_cast<const float *>(input), layout.outer, layout.channels, layout.inner, scratch.data());
    return scratch.data();
}

Runner::Runner(const Model &model, const Segment &segment, const std::vector<std::string> &outputs,
               const Quantizers &quantizers, const std::vector<float> &weights, const std::vector<float> &bias)
    : impl_(new Impl)
{
    Roundings roundings;
    for (const auto &[tensor, quantizer] : quantizers)
        if (quantizer.everywhere)
            roundings[tensor] = rounding_of(quantizer);
    const Layer *layer = segment.layer < 0 ? nullptr : &model.layers()[static_cast<size_t>(segment.layer)];
    impl_->layer = layer;
    impl_->model = &model;
    impl_->outputs = outputs;
    const bool layer_alone = layer != nullptr && roundings.empty();
    for (const std::string &name : segment.inputs)
        if (!layer_alone || name != layer->input || name != segment.layer_input)
            impl_->add_feed(segment, name, name, false);
    if (layer_alone) {
        impl_->add_feed(segment, layer->input, segment.layer_input, true);
        if (const auto found = quantizers.find(layer->input); found != quantizers.end())
            impl_->quantizer = found->second;
    }
    std::vector<Value> from, to;
    for (const Impl::Feed &feed : impl_->feeds)
        from.push_back(feed.value);
    for (const std::string &name : outputs)
        to.push_back({name, model.shape(name), model.type(name)});
    const std::string bytes = model.segment_model(segment, weights, bias, roundings, engine().form());
    impl_->program = engine().load(bytes, from, to);
}

Runner::Runner(Runner &&) noexcept = default;
Runner &Runner::operator=(Runner &&) noexcept = default;
Runner::~Runner() = default;

void Runner::run(const std::vector<const void *> &inputs, const std::vector<void *> &outputs, const Shapes &shapes)
{
    std::vector<Program::Place<const void *>> from;
    std::vector<Program::Place<void *>> to;
    for (const Impl::Feed &feed : impl_->feeds) {
        const Shape &shape = shapes.at(feed.tensor);
        from.push_back({impl_->values(feed, inputs[feed.input], shape), &shape});
    }
    for (size_t i = 0; i < outputs.size(); i++)
        to.push_back({outputs[i], &shapes.at(impl_->outputs[i])});
    impl_->program->run(from, to);
}

void Runner::run(const std::vector<const float *> &inputs, const std::vector<float *> &outputs)
{
    run(std::vector<const void *>(inputs.begin(), inputs.end()), std::vector<void *>(outputs.begin(), outputs.end()),
        impl_->model->graph().shapes);
}

void prepare_arrays(const Model &model, const Shapes &shapes, const std::vector<std::string> &tensors, Arrays &arrays)
{
    for (const std::string &tensor : tensors) {
        Array &array = arrays[tensor];
        if (const Shape &shape = shapes.at(tensor); array.bytes.empty() || array.shape != shape)
            array = make_array(model.type(tensor), shape);
    }
}

void run(Runner &runner, const std::vector<std::string> &inputs, const std::vector<std::string> &outputs,
         const Shapes &shapes, Arrays &arrays)
{
    std::vector<const void *> from;
    std::vector<void *> to;
    for (const std::string &tensor : inputs)
        from.push_back(arrays.at(tensor).bytes.data());
    for (const std::string &tensor : outputs)
        to.push_back(arrays.at(tensor).bytes.data());
    runner.run(from, to, shapes);
}

Segment whole(const Model &model, const std::vector<std::string> &extra)
{
    Segment segment;
    segment.layer = -1;
    segment.first_node = 0;
    segment.last_node = model.segments().back().last_node;
    for (const Value &input : model.inputs())
        segment.inputs.push_back(input.name);
    for (const Value &output : model.outputs())
        segment.outputs.push_back(output.name);
    for (const std::string &tensor : extra)
        if (std::count(segment.outputs.begin(), segment.outputs.end(), tensor) == 0)
            segment.outputs.push_back(tensor);
    return segment;
}

void prepare_engine()
{
    cv::setNumThreads(1);
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    if (openblas_set_num_threads != nullptr)
        openblas_set_num_threads(1);
}

} // namespace bsq_onnx
