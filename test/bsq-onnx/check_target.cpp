// What a layer is asked for, given the activation function behind it.
#include "quantize/target.hpp"

#include "model/graph.hpp"

#include <algorithm>
#include <cmath>

#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

static const int64_t channels = 3, rows = 2;

// A layer that gives its input, and what reads it.
static Model make_model(const std::string &name, const std::function<std::string(test::Network &)> &behind)
{
    test::Network net({1, rows, channels});
    net.node("MatMul", {"input", net.constant({channels, channels}, {1, 0, 0, 0, 1, 0, 0, 0, 1})}, "x");
    net.output(behind(net), {1, rows, channels});
    return Model::load(net.save(name + ".onnx"));
}

static std::string silu(test::Network &net)
{
    return net.node("Mul", {net.node("Sigmoid", {"x"}), "x"});
}

START_TEST(what_passes)
{
    const Passing nothing = passing_of(make_model("output", [](test::Network &) { return "x"; }), "x");
    ck_assert(!nothing.cuts() && nothing.passed(-3) == -3 && nothing.share(-3, -4) == 1);

    const Passing relu =
        passing_of(make_model("relu", [](test::Network &net) { return net.node("Relu", {"x"}); }), "x");
    ck_assert(relu.cuts() && relu.passed(-3) == 0 && relu.passed(3) == 3);
    ck_assert(relu.share(-3, -4) == 0 && relu.share(-3, 4) == 1 && relu.share(3, 4) == 1);

    const Passing clip =
        passing_of(make_model("clip",
                              [](test::Network &net) {
                                  return net.node("Clip", {"x", net.constant({}, {-1}), net.constant({}, {6})});
                              }),
                   "x");
    ck_assert(clip.cuts() && clip.passed(-3) == -1 && clip.passed(7) == 6);
    ck_assert(clip.share(-3, -4) == 0 && clip.share(7, 8) == 0 && clip.share(-3, 8) == 1);

    const Passing gate = passing_of(make_model("silu", silu), "x");
    ck_assert(gate.cuts() && !relu.silu);
    ck_assert_float_eq_tol(gate.passed(2), 2 / (1 + std::exp(-2.0F)), 1e-6);
    ck_assert(gate.share(0, 3) == 1 && gate.share(2, 2) == 1 && gate.share(0.1F, 0.1F) == 1);
    ck_assert(gate.share(-6, -9) < 0.02F && gate.share(-50, -200) < 1e-6F);
    ck_assert(gate.share(1e30F, 1e30F) == 1 && gate.share(-1e30F, -1e30F) == 0 && gate.share(-1e30F, 1e30F) > 0);
    ck_assert_float_eq_tol(gate.share(-1, -1), 2 * 0.0723F, 2e-3);
    ck_assert_float_eq(gate.share(-1, -0.5F), gate.share(-0.5F, -1));
}
END_TEST

// Sigmoid and Mul that are no SiLU.
START_TEST(no_silu)
{
    const std::function<std::string(test::Network &)> others[] = {
        [](test::Network &net) { return net.node("Sigmoid", {"x"}); },
        [](test::Network &net) {
            return net.node("Mul", {net.node("Sigmoid", {"x"}), net.constant({1}, {2})});
        },
        [](test::Network &net) {
            return net.node("Mul", {net.node("Tanh", {"x"}), "x"});
        },
        [](test::Network &net) {
            return net.node("Add", {net.node("Sigmoid", {"x"}), "x"});
        },
        [](test::Network &net) {
            return net.node("Add", {silu(net), "x"});
        },
        [](test::Network &net) {
            const std::string gate = net.node("Sigmoid", {"x"});
            return net.node("Add", {net.node("Mul", {gate, "x"}), gate});
        },
        [](test::Network &net) {
            net.output("x", {1, rows, channels});
            return silu(net);
        },
    };
    int number = 0;
    for (const auto &behind : others) {
        const Passing passing = passing_of(make_model("other" + std::to_string(number), behind), "x");
        ck_assert_msg(!passing.cuts(), "number %d", number);
        number++;
    }
}
END_TEST

START_TEST(targets)
{
    const Model model = make_model("target", silu);
    Target target(model, model.segments()[0], model.layers()[0], Quantizers());
    const std::vector<float> own = {3, -9, -9, 1, 2, 3}, wanted = {4, -8, 2, 1.5F, 2.5F, 3.5F};
    std::copy(wanted.begin(), wanted.end(), target.values(model.layers()[0].output_shape));
    target.adapt({own.data()}, model.graph().shapes, nullptr);
    for (size_t k = 0; k < own.size(); k++)
        if (k == 1)
            ck_assert_float_eq_tol(target.values()[k], own[k], 0.01);
        else if (k == 2) // from far below to above zero: the part that passes
            ck_assert(target.values()[k] > -6 && target.values()[k] < -4);
        else
            ck_assert_float_eq(target.values()[k], wanted[k]);
    ck_assert(target.row_weights()[0] > 0.4F && target.row_weights()[0] < 0.6F && target.row_weights()[1] == 1);
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("target");
    tcase_add_test(tests, what_passes);
    tcase_add_test(tests, no_silu);
    tcase_add_test(tests, targets);
    return test_suite_of("bsq-onnx: targets", tests);
}
