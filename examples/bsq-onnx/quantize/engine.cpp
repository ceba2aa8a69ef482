// Runs parts of a network, and quantizes activations between them.
#include "quantize/engine.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include <opencv2/core/utility.hpp>
#include <opencv2/core/utils/logger.hpp>

#include "engines/engine.hpp"
#include "engines/rounding.hpp"
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

Layout input_layout(const Layer &layer)
{
    const int64_t all = count(layer.input_shape), channels = layer.desc.in_channels;
    if (layer.desc.kind == BSQ_KIND_LINEAR)
        return {all / channels, channels, 1};
    return {1, channels, all / channels};
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
        Value value;
        size_t input; // index into the segment's inputs
        bool layer;   // the layer reads it, so it is quantized where a quantizer is given
    };
    std::vector<Feed> feeds;
    Quantizer quantizer;
    Layout layout{};
    std::vector<float> scratch; // the layer's input, quantized

    void add_feed(const Model &model, const Segment &segment, const std::string &tensor, const std::string &name,
                  bool layer);
    const float *values(const Feed &feed, const float *input);
};

void Runner::Impl::add_feed(const Model &model, const Segment &segment, const std::string &tensor,
                            const std::string &name, bool layer)
{
    const auto at = std::find(segment.inputs.begin(), segment.inputs.end(), tensor);
    feeds.push_back({{name, model.shape(tensor)}, static_cast<size_t>(at - segment.inputs.begin()), layer});
}

const float *Runner::Impl::values(const Feed &feed, const float *input)
{
    if (!feed.layer || !quantizer.quantizes())
        return input;
    scratch.resize(static_cast<size_t>(layout.outer * layout.channels * layout.inner));
    quantizer.apply(input, layout.outer, layout.channels, layout.inner, scratch.data());
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
    const bool layer_alone = layer != nullptr && roundings.empty();
    for (const std::string &name : segment.inputs)
        if (!layer_alone || name != layer->input || name != segment.layer_input)
            impl_->add_feed(model, segment, name, name, false);
    if (layer_alone) {
        impl_->add_feed(model, segment, layer->input, segment.layer_input, true);
        impl_->layout = input_layout(*layer);
        if (const auto found = quantizers.find(layer->input); found != quantizers.end())
            impl_->quantizer = found->second;
    }
    std::vector<Value> from, to;
    for (const Impl::Feed &feed : impl_->feeds)
        from.push_back(feed.value);
    for (const std::string &name : outputs)
        to.push_back({name, model.shape(name)});
    const std::string bytes = model.segment_model(segment, weights, bias, roundings, engine().form());
    impl_->program = engine().load(bytes, from, to);
}

Runner::Runner(Runner &&) noexcept = default;
Runner &Runner::operator=(Runner &&) noexcept = default;
Runner::~Runner() = default;

void Runner::run(const std::vector<const float *> &inputs, const std::vector<float *> &outputs)
{
    std::vector<const float *> fed;
    for (const Impl::Feed &feed : impl_->feeds)
        fed.push_back(impl_->values(feed, inputs[feed.input]));
    impl_->program->run(fed, outputs);
}

Segment whole(const Model &model, const std::vector<std::string> &extra)
{
    Segment segment;
    segment.layer = -1;
    segment.first_node = 0;
    segment.last_node = model.segments().back().last_node;
    segment.inputs = {model.input().name};
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
