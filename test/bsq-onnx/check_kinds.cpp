// Layers of all kinds against direct computations.
#include "model/layers.hpp"
#include "model/transposed.hpp"
#include "quantize/handle.hpp"
#include "support.hpp"

#include <cmath>
#include <cstring>

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

namespace {

struct Transposed {
    Shape input, weights; // (1, C, ...), (C, M / groups, ...)
    int64_t groups;
    std::vector<int64_t> strides, dilations, pads, extra;
};

const Transposed transposed[] = {
    {{1, 6, 5}, {6, 2, 3}, 2, {2}, {1}, {1, 0}, {1}},
    {{1, 4, 5, 4}, {4, 6, 2, 2}, 1, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}},
    {{1, 4, 4, 5}, {4, 3, 4, 3}, 2, {2, 1}, {1, 2}, {1, 2, 1, 0}, {1, 0}},
    {{1, 3, 4, 3}, {3, 1, 3, 3}, 3, {1, 2}, {2, 1}, {3, 3, 2, 1}, {0, 1}}, // depthwise; pads beyond the kernel's reach
    {{1, 2, 3, 2, 3}, {2, 4, 2, 3, 1}, 1, {1, 2, 3}, {1, 1, 1}, {0, 1, 0, 1, 0, 0}, {0, 0, 2}}};

std::string save(const Transposed &t, const std::string &name)
{
    test::Network net(t.input);
    net.node("ConvTranspose", {"input", net.random(t.weights), net.random({t.weights[1] * t.groups})}, "up");
    net.with("group", t.groups).with("strides", t.strides).with("dilations", t.dilations).with("pads", t.pads);
    net.with("output_padding", t.extra);
    Shape out = {1, t.weights[1] * t.groups};
    const size_t dims = t.strides.size();
    for (size_t i = 0; i < dims; i++)
        out.push_back((t.input[i + 2] - 1) * t.strides[i] + (t.weights[i + 2] - 1) * t.dilations[i] + 1 - t.pads[i] -
                      t.pads[i + dims] + t.extra[i]);
    net.output("up", out);
    return net.save(name);
}

// Moves to the next position of 'extents'; false behind the last one.
bool advance(Shape &at, const Shape &extents)
{
    for (size_t i = at.size(); i-- > 0;) {
        if (++at[i] < extents[i])
            return true;
        at[i] = 0;
    }
    return false;
}

// As ONNX says it: every value of the input is spread by the kernel. Weights in the layer's order (M, n).
std::vector<double> directly(const Transposed &t, const Layer &layer, const std::vector<float> &weights,
                             const std::vector<float> &input)
{
    const int64_t outputs = layer.desc.out_channels, inputs = layer.desc.in_channels;
    const size_t dims = t.strides.size();
    const Shape in(t.input.begin() + 2, t.input.end()), kernel(t.weights.begin() + 2, t.weights.end()),
        out(layer.output_shape.begin() + 2, layer.output_shape.end());
    const int64_t volume = count(kernel), each = inputs / t.groups;
    std::vector<double> result(static_cast<size_t>(outputs * count(out)), 0.0);
    for (int64_t m = 0; m < outputs; m++)
        for (int64_t c = 0; c < each; c++) {
            const int64_t channel = m / (outputs / t.groups) * each + c;
            Shape q(dims, 0);
            int64_t x = 0;
            do {
                Shape k(dims, 0);
                int64_t w = 0;
                do {
                    int64_t place = 0;
                    bool inside = true;
                    for (size_t i = 0; i < dims; i++) {
                        const int64_t o = q[i] * t.strides[i] + k[i] * t.dilations[i] - t.pads[i];
                        inside = inside && o >= 0 && o < out[i];
                        place = place * out[i] + o;
                    }
                    if (inside)
                        result[static_cast<size_t>(m * count(out) + place)] +=
                            static_cast<double>(weights[static_cast<size_t>((m * each + c) * volume + w)]) *
                            static_cast<double>(input[static_cast<size_t>(channel * count(in) + x)]);
                    w++;
                } while (advance(k, kernel));
                x++;
            } while (advance(q, in));
        }
    return result;
}

} // namespace

// What the library makes of the spread input is what the node does: its error is that of the node's outputs.
START_TEST(transposed_convolutions)
{
    const Transposed &t = transposed[_i];
    const Model model = Model::load(save(t, "transposed.onnx"));
    ck_assert_uint_eq(model.layers().size(), 1);
    const Layer &layer = model.layers()[0];
    ck_assert_int_eq(layer.desc.out_channels, t.weights[1] * t.groups);
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.effort = 3;
    options.bias_correction = 0;
    const LayerHandle handle = make_layer(layer, options);
    std::vector<std::vector<float>> inputs;
    for (uint64_t i = 0; i < 12; i++) {
        inputs.push_back(test::random_values(count(t.input), 20 + i));
        const Batch batch = make_batch(layer, t.input, inputs.back().data(), nullptr, false);
        ck_assert_int_eq(bsq_layer_calibrate(handle.get(), &batch), BSQ_OK);
    }
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    ck_assert_int_eq(bsq_optimize(handle.get(), &report), BSQ_OK);
    std::vector<float> weights(layer.weights.size());
    ck_assert_int_eq(bsq_layer_get_dequantized(handle.get(), weights.data(), weights.size()), BSQ_OK);
    double off = 0, all = 0;
    for (const std::vector<float> &input : inputs) {
        const std::vector<double> wanted = directly(t, layer, layer.weights, input),
                                  got = directly(t, layer, weights, input);
        for (size_t i = 0; i < wanted.size(); i++) {
            off += (got[i] - wanted[i]) * (got[i] - wanted[i]);
            all += wanted[i] * wanted[i];
        }
    }
    ck_assert_msg(std::fabs(report.error - off / all) < 1e-6 * off / all, "error %.9g, directly %.9g", report.error,
                  off / all);
    ck_assert_double_gt(report.error, 1e-4);
}
END_TEST

// Weights go into the node's order and back, and the node's own computation is the direct one.
START_TEST(transposed_order)
{
    const Transposed &t = transposed[_i];
    const std::string path = save(t, "order.onnx");
    const Model model = Model::load(path);
    const Layer &layer = model.layers()[0];
    const onnx::TensorProto &own = model.proto().graph().initializer(0).dims_size() > 1
                                       ? model.proto().graph().initializer(0)
                                       : model.proto().graph().initializer(1);
    const std::vector<float> in_node = floats_of(own);
    ck_assert(node_order(layer, layer.weights) == in_node);
    const std::vector<float> input = test::random_values(count(t.input), 3);
    std::vector<double> wanted = directly(t, layer, layer.weights, input);
    const int64_t positions = count(layer.output_shape) / layer.desc.out_channels;
    std::vector<float> expected;
    for (size_t i = 0; i < wanted.size(); i++)
        expected.push_back(
            static_cast<float>(wanted[i] + static_cast<double>(layer.bias[i / static_cast<size_t>(positions)])));
    // The target, which is turned round with the input, is a convolution of the spread one.
    const Shape spread = spread_shape(layer, t.input);
    const std::vector<float> turned = spread_input(layer, t.input, input.data());
    const std::vector<float> target = turned_round(expected.data(), layer.desc.out_channels, positions);
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 8;
    const LayerHandle handle = make_layer(layer, options);
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.size = 1;
    batch.input = turned.data();
    batch.target = target.data();
    for (size_t i = 2; i < spread.size(); i++)
        batch.spatial[i - 2] = spread[i];
    ck_assert_int_eq(bsq_layer_calibrate(handle.get(), &batch), BSQ_OK);
    size_t in_count = 0, out_count = 0, rows = 0;
    ck_assert_int_eq(bsq_layer_batch_counts(handle.get(), &batch, &in_count, &out_count, &rows), BSQ_OK);
    ck_assert_uint_eq(in_count, turned.size());
    ck_assert_uint_eq(out_count, target.size());
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("kinds");
    const int count = static_cast<int>(sizeof transposed / sizeof transposed[0]);
    tcase_add_loop_test(tests, transposed_convolutions, 0, count);
    tcase_add_loop_test(tests, transposed_order, 0, count);
    return test_suite_of("bsq-onnx: kinds of layers", tests);
}
