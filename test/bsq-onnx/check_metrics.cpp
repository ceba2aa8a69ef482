// What --metric gives, of outputs that are made up; element types of samples.
#include "judge/metrics.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "model/constants.hpp"
#include "model/graph.hpp"
#include "shared.hpp"
#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

// Its input is of floats here: the metrics look at names and shapes alone.
static Model make_model()
{
    test::Network net({1, 3, 2});
    net.node("MatMul", {"input", net.random({2, 4})}, "logits");
    net.output("logits", {1, 3, 4});
    return Model::load(net.save("metrics"));
}

static Array ids_of(const std::vector<int64_t> &values)
{
    Array array = make_array(onnx::TensorProto::INT64, {1, static_cast<int64_t>(values.size())});
    for (size_t i = 0; i < values.size(); i++)
        std::memcpy(array.bytes.data() + 8 * i, &values[i], 8);
    return array;
}

static const std::vector<float> reference = {3, 0, 4, 0, 0, 1, 0, 0, 2, 2, 1, 0},
                                quantized = {3, 0, 4, 0, 1, 0, 0, 0, 0, 0, 5, 0};

START_TEST(error_and_cosine)
{
    const Model model = make_model();
    const Shape shape = {1, 3, 4};
    for (const bool masked : {false, true}) {
        Metrics metrics(model, {{MetricKind::error, ""}, {MetricKind::cosine, "logits"}}, "", false);
        const RowMask mask = masked ? RowMask{1, 0, 1} : RowMask();
        for (size_t i = 0; i < metrics.count(); i++)
            metrics.add(i, Sample(), {reference, quantized, shape}, mask, Labels(), 0);
        const std::vector<MetricResult> results = metrics.results();
        ck_assert_uint_eq(results.size(), 2);
        // Rows differ by 0, (-1, 1) and (2, 2, -4); they have squares of 25, 1 and 9.
        ck_assert_double_eq_tol(results[0].error, masked ? 24.0 / 34 : 26.0 / 35, 1e-12);
        const double third = 5.0 / 15;
        ck_assert_double_eq_tol(results[1].mean_cosine, masked ? (1 + third) / 2 : (1 + third) / 3, 1e-12);
        ck_assert_double_eq_tol(results[1].least_cosine, masked ? third : 0, 1e-12);
        ck_assert_int_eq(results[1].count, masked ? 2 : 3);
    }
}
END_TEST

static double loss(const std::vector<double> &scores, size_t target)
{
    double sum = 0;
    for (const double score : scores)
        sum += std::exp(score);
    return std::log(sum) - scores[target];
}

// An input of integers beside the network's own is what a traced network has.
START_TEST(tokens)
{
    try {
        Metrics(make_model(), {{MetricKind::tokens, ""}}, "", false);
        ck_abort_msg("tokens without an input of integers");
    } catch (const Error &error) {
        ck_assert_str_eq(error.what(), "--metric tokens: no input has the tokens of output 'logits'");
    }
    test::Network net({1, 3, 2});
    net.node("MatMul", {"input", net.random({2, 4})}, "product");
    net.node("Cast", {"ids"}, "real");
    net.with("to", int64_t{onnx::TensorProto::FLOAT});
    net.node("ReduceSum", {"real"}, "sum");
    net.node("Add", {"product", "sum"}, "logits");
    net.output("logits", {1, 3, 4});
    onnx::ValueInfoProto &ids = *net.model.mutable_graph()->add_input();
    ids = value_info("ids", {1, 3}, onnx::TensorProto::INT64);
    // A stand-in for an engine: shapes and types of the four tensors.
    struct Known : Trace {
        std::vector<Array> run(const std::vector<Array> &, bool) override
        {
            std::vector<Array> arrays(4);
            arrays[0].shape = arrays[3].shape = {1, 3, 4};
            arrays[1].shape = {1, 3};
            arrays[2].shape = {1, 1};
            return arrays;
        }
    };
    const Tracing tracing = {
        [](const std::string &, const std::vector<std::string> &inputs, const std::vector<std::string> &outputs) {
            ck_assert_uint_eq(inputs.size(), 2);
            ck_assert_uint_eq(outputs.size(), 4);
            return std::make_unique<Known>();
        },
        [](const std::vector<Tracing::Declared> &declared) {
            ck_assert_uint_eq(declared.size(), 2);
            return std::vector<Array>{make_array(float_type, {1, 3, 2}), ids_of({0, 2, 1})};
        }};
    const Model model = Model::load(net.save("tokens"), tracing);
    ck_assert(model.traced() && model.layers().size() == 1);
    Sample sample;
    sample.inputs = {make_array(float_type, {1, 3, 2}), ids_of({0, 2, 1})};
    const Shape shape = {1, 3, 4};
    Metrics metrics(model, {{MetricKind::tokens, ""}}, "", false);
    metrics.add(0, sample, {reference, quantized, shape}, {}, Labels(), 0);
    MetricResult result = metrics.results()[0];
    ck_assert_int_eq(result.count, 2); // the third position has no next token
    ck_assert_double_eq_tol(result.agreement, 0.5, 1e-12);
    ck_assert_double_eq_tol(result.float_accuracy, 1, 1e-12);
    ck_assert_double_eq_tol(result.accuracy, 0.5, 1e-12);
    const double first = loss({3, 0, 4, 0}, 2);
    ck_assert_double_eq_tol(result.float_perplexity, std::exp((first + loss({0, 1, 0, 0}, 1)) / 2), 1e-9);
    ck_assert_double_eq_tol(result.perplexity, std::exp((first + loss({1, 0, 0, 0}, 1)) / 2), 1e-9);

    Metrics masked(model, {{MetricKind::tokens, ""}}, "ids", false);
    masked.add(0, sample, {reference, quantized, shape}, {1, 1, 0}, Labels(), 0);
    ck_assert_int_eq(masked.results()[0].count, 1);
    ck_assert_double_eq_tol(masked.results()[0].float_perplexity, std::exp(first), 1e-9);
    sample.inputs[1] = ids_of({0, 7, 1});
    try {
        metrics.add(0, sample, {reference, quantized, shape}, {}, Labels(), 0);
        ck_abort_msg("a token beyond the output's");
    } catch (const Error &error) {
        ck_assert_str_eq(error.what(), "--metric tokens: input 'ids' has the token 7, output 'logits' has 4");
    }
}
END_TEST

// Two rows of three classes, the classes last or in front of the positions.
START_TEST(classes)
{
    const Model model = make_model();
    const std::vector<float> last = {3, 0, 4, 0, 5, 1}, front = {3, 0, 0, 5, 4, 1};
    const std::vector<float> last_too = {3, 0, 4, 7, 5, 1}, front_too = {3, 7, 0, 5, 4, 1};
    Labels labels;
    labels.positions = {2};
    labels.classes = {-1, -1, 2, 1, 0, -1};
    for (const bool behind : {true, false}) {
        const Shape shape = behind ? Shape{1, 2, 3} : Shape{1, 3, 2};
        Metrics metrics(model, {{MetricKind::top1, ""}}, "", true);
        for (size_t i = 0; i < 3; i++)
            metrics.add(0, Sample(), {behind ? last : front, behind ? last_too : front_too, shape}, {}, labels, i);
        const MetricResult result = metrics.results()[0];
        ck_assert(result.by_position);
        ck_assert_int_eq(result.count, 3); // two and one: negative ones do not count
        ck_assert_double_eq_tol(result.float_accuracy, 2.0 / 3, 1e-12);
        ck_assert_double_eq_tol(result.accuracy, 1.0 / 3, 1e-12);
        ck_assert_double_eq_tol(result.agreement, 2.0 / 3, 1e-12);

        Metrics masked(model, {{MetricKind::top1, ""}}, "", true);
        masked.add(0, Sample(), {behind ? last : front, behind ? last_too : front_too, shape}, {1, 0}, labels, 1);
        ck_assert_int_eq(masked.results()[0].count, 1);
        ck_assert_double_eq_tol(masked.results()[0].accuracy, 1, 1e-12);
    }
    labels.positions = {4};
    labels.classes.resize(4, 0);
    try {
        Metrics(model, {{MetricKind::top1, ""}}, "", true).add(0, Sample(), {last, last, {1, 2, 3}}, {}, labels, 0);
        ck_abort_msg("labels of other positions than the output has");
    } catch (const Error &error) {
        ck_assert_str_eq(error.what(),
                         "--metric top1: output 'logits' of 1x2x3 has no scores of classes for labels of 4 a sample");
    }
    labels.positions.clear();
    labels.classes = {0};
    Metrics whole(model, {{MetricKind::top1, ""}}, "", true);
    whole.add(0, Sample(), {{0, 1}, {1, 0}, {1, 2}}, {}, labels, 0);
    ck_assert(!whole.results()[0].by_position);
    ck_assert_double_eq_tol(whole.results()[0].accuracy, 1, 1e-12);
}
END_TEST

static Array doubles(const std::vector<double> &values)
{
    Array array = make_array(onnx::TensorProto::DOUBLE, {static_cast<int64_t>(values.size())});
    std::memcpy(array.bytes.data(), values.data(), array.bytes.size());
    return array;
}

START_TEST(element_types)
{
    // Halves: normal, subnormal, ties to even, the largest and what is beyond it.
    const std::vector<double> reals = {1,           -2.5,        0x1p-24, 0x1p-25, 0x1.8p-24,
                                       1 + 0x1p-11, 1 + 0x3p-11, 65504,   65519,   65520};
    const std::vector<float> halves = {1, -2.5F,       0x1p-24F, 0,     0x1p-23F,
                                       1, 1 + 0x1p-9F, 65504,    65504, std::numeric_limits<float>::infinity()};
    Array array;
    ck_assert(convert(doubles(reals), onnx::TensorProto::FLOAT16, array));
    ck_assert(to_floats(array) == halves);
    ck_assert(convert(doubles({1, 1 + 0x1p-8, 1 + 0x3p-8, -3}), onnx::TensorProto::BFLOAT16, array));
    ck_assert(to_floats(array) == (std::vector<float>{1, 1, 1 + 0x1p-6F, -3}));
    for (const int32_t type :
         {onnx::TensorProto::INT8, onnx::TensorProto::UINT8, onnx::TensorProto::INT16, onnx::TensorProto::UINT16,
          onnx::TensorProto::INT32, onnx::TensorProto::UINT32, onnx::TensorProto::UINT64, onnx::TensorProto::BOOL}) {
        ck_assert(convert(ids_of({0, 1}), type, array));
        ck_assert(to_integers(array) == (std::vector<int64_t>{0, 1}));
        const bool negative =
            type == onnx::TensorProto::INT8 || type == onnx::TensorProto::INT16 || type == onnx::TensorProto::INT32;
        ck_assert(convert(ids_of({-1}), type, array) == negative);
        if (element_size(type) < 8)
            ck_assert(!convert(ids_of({int64_t{1} << 33}), type, array));
    }
    ck_assert(!convert(ids_of({1}), float_type, array) && !convert(doubles({1}), onnx::TensorProto::INT64, array));
}
END_TEST

// Weights behind nodes that move them become constants; a Transpose that something else needs, too, stays right.
START_TEST(folded_constants)
{
    test::Network net({1, 2, 3});
    const std::vector<float> values = {1, 2, 3, 4, 5, 6};
    net.node("Transpose", {net.constant({2, 3}, values)}, "turned");
    net.node("MatMul", {"input", "turned"}, "first");
    net.node("Identity", {net.constant({6}, values)}, "same");
    net.node("Reshape", {"same", net.integers({1, 2, 3})}, "shaped");
    net.node("MatMul", {"first", "shaped"}, "second");
    net.output("second", {1, 2, 3});
    const Model model = Model::load(net.save("folded"));
    ck_assert_uint_eq(model.layers().size(), 2);
    ck_assert(model.layers()[0].weights == values);
    ck_assert(model.layers()[1].weights == (std::vector<float>{1, 4, 2, 5, 3, 6}));
    ck_assert(model.left_float().empty());
    const std::vector<float> input = test::random_values(6, 3);
    std::vector<float> expected(6, 0), between(4, 0);
    for (size_t row = 0; row < 2; row++)
        for (size_t i = 0; i < 2; i++)
            for (size_t k = 0; k < 3; k++)
                between[2 * row + i] += input[3 * row + k] * values[3 * i + k];
    for (size_t row = 0; row < 2; row++)
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < 2; i++)
                expected[3 * row + k] += between[2 * row + i] * values[3 * i + k];
    ck_assert_double_lt(test::difference(test::run_segments(model, input).at("second"), expected), 1e-6);
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, error_and_cosine);
    tcase_add_test(tests, tokens);
    tcase_add_test(tests, classes);
    tcase_add_test(tests, element_types);
    tcase_add_test(tests, folded_constants);
    return test_suite_of("bsq-onnx: metrics", tests);
}
