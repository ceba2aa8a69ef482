// How far channels get scales of their own: what is to choose from, and what is chosen.
#include "quantize/quantize.hpp"
#include "model/graph.hpp"
#include "plan/strength.hpp"

#include <cmath>

#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

static Quantizer made_up(int32_t type, int bits, double scale, int32_t zero_point)
{
    Quantizer quantizer;
    quantizer.values.type = type;
    quantizer.values.bits = bits;
    quantizer.values.scale = scale;
    quantizer.values.zero_point = zero_point;
    return quantizer;
}

START_TEST(between)
{
    const Quantizer tensor = made_up(BSQ_INPUT_TYPE_UNSIGNED, 4, 0.5, 0);
    Quantizer channels = made_up(BSQ_INPUT_TYPE_UNSIGNED, 4, 8, 0);
    channels.scales = {8, 0.5, 0.125};
    channels.zero_points = {0, 0, 0};
    const std::vector<Candidate> all = candidates(tensor, channels);
    ck_assert_uint_eq(all.size(), 3);
    ck_assert(all[0].strength == 0 && !all[0].quantizer.folded() && all[0].quantizer.values.scale == 0.5);
    ck_assert(all[2].strength == 1 && all[2].quantizer.scales == channels.scales);
    ck_assert(all[1].strength == 0.5 && all[1].quantizer.values.scale == 2);
    ck_assert((all[1].quantizer.scales == std::vector<double>{2, 0.5, 0.25}));
    ck_assert((all[1].quantizer.zero_points == std::vector<int32_t>{0, 0, 0}));
}
END_TEST

// A channel's range stays around its middle, holds zero, and where it becomes wider it holds all of the channel's own.
START_TEST(between_zero_points)
{
    const Quantizer tensor = made_up(BSQ_INPUT_TYPE_ZERO_POINT, 4, 1, 5);
    Quantizer channels = made_up(BSQ_INPUT_TYPE_ZERO_POINT, 4, 1, 0);
    channels.scales = {1, 0.25, 0.25, 0.25, 0.3000000119};
    channels.zero_points = {5, 0, 15, 7, 3};
    const Quantizer half = candidates(tensor, channels)[1].quantizer;
    ck_assert(half.scales[0] == 1 && half.zero_points[0] == 5);
    for (size_t c = 1; c < channels.scales.size(); c++) {
        const Quantizer::Grid own = channels.grid(static_cast<int64_t>(c)), wide = half.grid(static_cast<int64_t>(c));
        ck_assert_double_eq_tol(wide.step, std::sqrt(own.step), 1e-7);
        ck_assert(static_cast<double>(static_cast<float>(wide.step)) == wide.step);
        ck_assert(wide.lowest <= 0 && wide.highest >= 0 && wide.highest - wide.lowest == 15);
        ck_assert_double_le(wide.lowest * wide.step, own.lowest * own.step + wide.step / 2);
        ck_assert_double_ge(wide.highest * wide.step, own.highest * own.step - wide.step / 2);
    }
}
END_TEST

// A network of two layers behind each other: the second one's input is what is looked at.
static const int64_t inputs = 8, outputs = 6, rows = 64;

struct Case {
    Model model;
    std::vector<std::vector<float>> samples;
};

// The second layer's inputs differ in size by factors of four, its weights are +-0.5 / size^power.
static Case make_case(const std::string &name, float power)
{
    test::Network net({1, rows, inputs});
    std::vector<float> unit(inputs * inputs, 0), weights(inputs * outputs), sizes;
    for (size_t i = 0; i < inputs; i++) {
        unit[i * inputs + i] = 1;
        sizes.push_back(std::exp2(-2.0F * static_cast<float>(i)));
    }
    for (size_t k = 0; k < weights.size(); k++)
        weights[k] = ((k * 7 / 3) % 2 == 0 ? 0.5F : -0.5F) / std::pow(sizes[k / outputs], power);
    net.node("MatMul", {"input", net.constant({inputs, inputs}, unit)}, "first");
    net.node("Relu", {"first"}, "x");
    net.node("MatMul", {"x", net.constant({inputs, outputs}, weights)}, "second");
    net.output("second", {1, rows, outputs});
    Case made = {Model::load(net.save(name)), {}};
    for (uint64_t sample = 0; sample < 8; sample++) {
        std::vector<float> values = test::random_values(rows * inputs, sample + 1);
        for (size_t k = 0; k < values.size(); k++)
            values[k] = std::fabs(values[k]) * sizes[k % inputs];
        made.samples.push_back(values);
    }
    return made;
}

static Quantizer observed(const Case &made, int bits, int32_t kind)
{
    const Layer &layer = made.model.layers()[1];
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.input_bits = bits;
    options.input_scale_kind = kind;
    const LayerHandle handle = make_layer(layer, options);
    for (const std::vector<float> &sample : made.samples) {
        const bsq_batch_t batch = make_batch(layer, layer.input_shape, sample.data(), nullptr, false);
        check(bsq_layer_observe(handle.get(), &batch), layer, handle.get());
    }
    Quantizer quantizer;
    check(bsq_layer_get_input_quantizer(handle.get(), &quantizer.values), layer, handle.get());
    if (kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL) {
        quantizer.scales.resize(inputs);
        quantizer.zero_points.resize(inputs);
        check(bsq_layer_get_input_channels(handle.get(), quantizer.scales.data(), quantizer.zero_points.data(), inputs),
              layer, handle.get());
    }
    return quantizer;
}

static double chosen(const Case &made, const std::vector<Candidate> &scales, int weight_bits, size_t readers = 1)
{
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = weight_bits;
    const Reader reader = {&made.model.layers()[1], &made.model.segments()[1], options};
    const auto values = [&](int64_t i) { return made.samples[static_cast<size_t>(i)].data(); };
    Progress progress(Progress::Style::none);
    const RowMask all;
    const Activations activations = {static_cast<int64_t>(made.samples.size()), values, values,
                                     [&](int64_t) -> const Shapes & { return made.model.graph().shapes; },
                                     [&](int64_t) -> const RowMask & { return all; }};
    const Strength strength =
        choose_strength(made.model, scales, std::vector<Reader>(readers, reader), activations, progress);
    ck_assert_double_ge(strength.seconds, 0);
    return scales[strength.chosen].strength;
}

static std::vector<Candidate> scales_of(const Case &made, int bits)
{
    return candidates(observed(made, bits, BSQ_INPUT_SCALE_KIND_PER_TENSOR),
                      observed(made, bits, BSQ_INPUT_SCALE_KIND_PER_CHANNEL));
}

START_TEST(fine_weights)
{
    // Small inputs with large weights: with one scale nothing is left of them, and the weights have bits to spare.
    const Case made = make_case("fine.onnx", 1);
    ck_assert(chosen(made, scales_of(made, 3), 8) == 1);
}
END_TEST

START_TEST(coarse_weights)
{
    // Weights of one size fit two bits exactly; once they take over scales they do not.
    const Case made = make_case("coarse.onnx", 0);
    const std::vector<Candidate> scales = scales_of(made, 8);
    ck_assert(chosen(made, scales, 2) == 0);
    ck_assert(chosen(made, scales, 2, 2) == 0);
    ck_assert(chosen(made, {scales[2], scales[1]}, 2) == 0.5);
    // Equals: the first.
    ck_assert(chosen(made, {scales[1], scales[2], {7, scales[1].quantizer}}, 2) == 0.5);
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("strength");
    tcase_add_test(tests, between);
    tcase_add_test(tests, between_zero_points);
    tcase_add_test(tests, fine_weights);
    tcase_add_test(tests, coarse_weights);
    return test_suite_of("bsq-onnx: scales of channels", tests);
}
