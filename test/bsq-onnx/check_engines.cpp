// The engines: what ONNX Runtime computes is what OpenCV computes; which one is taken.
#include "engines/engine.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engines/rounding.hpp"
#include "model/trace.hpp"
#include "quantize/engine.hpp"
#include "shared.hpp"
#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

// Takes ONNX Runtime, or says that the test is left out.
static bool onnxruntime_is_here()
{
    try {
        choose_engine(EngineChoice::onnxruntime, "");
    } catch (const Error &error) {
        static bool said = false;
        if (!said)
            printf("ONNX Runtime: skipped, it is not here (make deps-engines)\n");
        said = true;
        return false;
    }
    ck_assert(std::strncmp(engine().name().c_str(), "ONNX Runtime 1.", 15) == 0);
    return true;
}

static Model make_model(const std::string &name)
{
    test::Network net({1, 3, 10, 8});
    net.node("Conv", {"input", net.random({8, 3, 3, 3}), net.random({8})}, "first");
    net.with("pads", std::vector<int64_t>{0, 1, 1, 0}); // uneven: OpenCV wants another form
    net.node("Relu", {"first"}, "x");
    net.node("Conv", {"x", net.random({8, 1, 3, 3})}, "depthwise");
    net.with("group", int64_t{8}).with("pads", std::vector<int64_t>{1, 1, 1, 1});
    net.node("Add", {"depthwise", "x"}, "sum");
    net.node("GlobalAveragePool", {"sum"}, "mean");
    net.node("Flatten", {"mean"}, "flat");
    net.node("Gemm", {"flat", net.random({8, 5}), net.random({5})}, "last");
    net.output("last", {1, 5});
    return Model::load(net.save(name));
}

static std::vector<std::vector<float>> outputs_of(const Model &model, const std::vector<std::string> &extra,
                                                  const Quantizers &quantizers, const std::vector<float> &input)
{
    const Segment all = whole(model, extra);
    Runner runner(model, all, all.outputs, quantizers);
    std::vector<std::vector<float>> values;
    std::vector<float *> places;
    for (const std::string &name : all.outputs)
        values.emplace_back(static_cast<size_t>(count(model.shape(name))), -1.0F);
    for (std::vector<float> &one : values)
        places.push_back(one.data());
    for (int times = 0; times < 2; times++) // the second one is not disturbed by the first
        runner.run({input.data()}, places);
    return values;
}

// A layer's output may be wanted for itself and for a later part of the network.
START_TEST(output_asked_twice)
{
    if (!onnxruntime_is_here())
        return;
    const Model model = make_model("engines");
    const std::vector<float> input = test::random_values(240, 7);
    const auto size = static_cast<size_t>(count(model.shape("sum")));
    std::vector<float> sums[2] = {std::vector<float>(size, -1.0F), std::vector<float>(size, -1.0F)};
    std::vector<float> last(5, -1.0F);
    Runner runner(model, whole(model, {"sum"}), {"sum", "last", "sum"}, {});
    runner.run({input.data()}, {sums[0].data(), last.data(), sums[1].data()});
    const auto once = outputs_of(model, {"sum"}, {}, input);
    ck_assert(sums[0] == once[1] && sums[1] == once[1] && last == once[0]);
    choose_engine(EngineChoice::automatic, "");
}
END_TEST

START_TEST(same_values)
{
    if (!onnxruntime_is_here())
        return;
    const Model model = make_model("engines");
    const std::vector<float> input = test::random_values(240, 7);
    const auto here = outputs_of(model, {"x", "sum"}, {}, input);
    choose_engine(EngineChoice::opencv, "");
    ck_assert(std::strncmp(engine().name().c_str(), "OpenCV ", 7) == 0);
    const auto there = outputs_of(model, {"x", "sum"}, {}, input);
    ck_assert_uint_eq(here.size(), 3);
    for (size_t i = 0; i < here.size(); i++)
        ck_assert_double_lt(test::difference(here[i], there[i]), 1e-5);
}
END_TEST

// A tensor that all readers get rounded: in ONNX Runtime by its own operators, with the bits of the library, ties too.
START_TEST(same_rounding)
{
    if (!onnxruntime_is_here())
        return;
    test::Network net({1, 1, 64});
    net.node("Relu", {"input"}, "x");
    net.node("MatMul",
             {"x", net.constant({64, 64},
                                [] {
                                    std::vector<float> unit(64 * 64, 0);
                                    for (size_t i = 0; i < 64; i++)
                                        unit[65 * i] = 1;
                                    return unit;
                                }())},
             "y");
    net.output("y", {1, 1, 64});
    const Model model = Model::load(net.save("rounding"));
    for (const float step : {0.1F, 0.25F, 3.0e37F}) {
        Quantizer quantizer;
        quantizer.values.bits = 4;
        quantizer.values.type = BSQ_INPUT_TYPE_UNSIGNED;
        quantizer.values.scale = step;
        quantizer.everywhere = true;
        std::vector<float> input;
        for (int i = 0; i < 64; i++) // ties, and what float division makes one
            input.push_back(std::nextafter((static_cast<float>(i % 32) - 2 + 0.5F) * step, i < 32 ? 0.0F : 1.0F));
        const std::vector<float> got = outputs_of(model, {}, {{"x", quantizer}}, input)[0];
        for (size_t i = 0; i < got.size(); i++)
            ck_assert_float_eq(got[i], rounded(std::max(input[i], 0.0F), static_cast<double>(step), 0, 15));
    }
}
END_TEST

START_TEST(segments)
{
    if (!onnxruntime_is_here())
        return;
    const Model model = make_model("segments");
    const std::vector<float> input = test::random_values(240, 8);
    const auto all = outputs_of(model, {}, {}, input);
    std::map<std::string, std::vector<float>> known = {{"input", input}};
    for (const Segment &segment : model.segments()) {
        Runner runner(model, segment, segment.outputs);
        std::vector<const float *> from;
        std::vector<float *> to;
        for (const std::string &name : segment.inputs)
            from.push_back(known.at(name).data());
        for (const std::string &name : segment.outputs) {
            known[name].resize(static_cast<size_t>(count(model.shape(name))));
            to.push_back(known[name].data());
        }
        runner.run(from, to);
    }
    ck_assert_double_lt(test::difference(known.at("last"), all[0]), 1e-5);
}
END_TEST

static void refuses(EngineChoice choice, const std::string &path, const char *text)
{
    try {
        choose_engine(choice, path);
    } catch (const Error &error) {
        ck_assert_msg(std::strstr(error.what(), text) != nullptr, "%s", error.what());
        ck_assert(std::strchr(error.what(), '\n') == nullptr);
        return;
    }
    ck_abort_msg("%s is taken", path.c_str());
}

START_TEST(refusals)
{
    refuses(EngineChoice::onnxruntime, "/nowhere/lib.so", "ONNX Runtime is not here: /nowhere/lib.so");
    refuses(EngineChoice::automatic, "/nowhere", "ONNX Runtime is not here: /nowhere");
    refuses(EngineChoice::onnxruntime, "libm.so.6", "libm.so.6: is not ONNX Runtime");
    test::write_bytes(test::file("broken.so"), "\177ELF no library");
    refuses(EngineChoice::onnxruntime, test::file("broken.so"), "ONNX Runtime is not here: ");
    setenv("BSQ_ONNXRUNTIME", "/elsewhere/lib.so", 1);
    refuses(EngineChoice::automatic, "", "/elsewhere/lib.so");
    choose_engine(EngineChoice::opencv, "");
    unsetenv("BSQ_ONNXRUNTIME");
    // The one before stays when a choice fails.
    refuses(EngineChoice::onnxruntime, "/nowhere", "not here");
    ck_assert(std::strncmp(engine().name().c_str(), "OpenCV ", 7) == 0);
}
END_TEST

// What does not fit into one piece is traced without its large constants.
START_TEST(traced_without_constants)
{
    if (!onnxruntime_is_here())
        return;
    test::Network net({1, 3, 40});
    net.node("MatMul", {"input", net.random({40, 50})}, "product");
    net.node("Add", {"product", net.random({50})}, "sum");
    net.node("ArgMax", {"sum"}, "place");
    net.with("axis", int64_t{2});
    net.output("place", {1, 3, 1});
    Graph graph(net.model);
    graph.traced = true;
    const Tracing here = tracing(nullptr);
    const std::vector<Array> sample = {make_array(onnx::TensorProto::FLOAT, {1, 3, 40})};
    const Tracer::Result with = Tracer(graph, here).run(sample), without = Tracer(graph, here, 0).run(sample);
    ck_assert(with.shapes.at("sum") == (Shape{1, 3, 50}) && with.types.at("place") == onnx::TensorProto::INT64);
    ck_assert(with.shapes == without.shapes && with.types == without.types);
}
END_TEST

// A network that an engine cannot run is named as such, and the next one runs.
START_TEST(networks_that_fail)
{
    for (const EngineChoice choice : {EngineChoice::opencv, EngineChoice::onnxruntime}) {
        if (choice == EngineChoice::opencv)
            choose_engine(choice, "");
        else if (!onnxruntime_is_here())
            return;
        test::Network unknown({1, 4});
        unknown.node("Unheard", {"input"}, "y");
        unknown.output("y", {1, 4});
        for (const std::string &bytes : {std::string("no network"), unknown.bytes()}) {
            try {
                engine().load(bytes, {{"x", {1}}}, {{"y", {1}}});
                ck_abort_msg("%s loads nonsense", engine().name().c_str());
            } catch (const Error &error) {
                ck_assert(std::strstr(error.what(), "cannot run this network: ") != nullptr);
            }
        }
        const Model model = make_model("after");
        ck_assert(std::isfinite(outputs_of(model, {}, {}, test::random_values(240, 9))[0][0]));
    }
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("engines");
    prepare_engine();
    tcase_add_test(tests, same_values);
    tcase_add_test(tests, output_asked_twice);
    tcase_add_test(tests, same_rounding);
    tcase_add_test(tests, segments);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, traced_without_constants);
    tcase_add_test(tests, networks_that_fail);
    tcase_set_timeout(tests, 0);
    return test_suite_of("bsq-onnx: engines", tests);
}
