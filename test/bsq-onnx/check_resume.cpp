// Work kept for --resume: fields that cannot be of the layer are noticed although the checksum is right.
#include "shared.hpp"
#include "plan/allocate.hpp"
#include "quantize/quantize.hpp"
#include "support.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

extern "C" {
#include "npy.h"
#include "support.h"
}

using namespace bsq_onnx;

namespace {

constexpr int64_t calibration = 6, all = 8;

// A run with work kept in a folder, of three layers: a convolution, a depthwise one and a Gemm.
class Run {
public:
    explicit Run(bool per_channel, bool shared = false) : model_(load(shared))
    {
        bsq_options_init(&settings_.options, sizeof settings_.options);
        settings_.options.input_bits = 8;
        settings_.options.bias_correction = 1;
        settings_.format = Format::qdq_layers; // quantizers are chosen layer by layer
        settings_.per_channel = per_channel;
        settings_.edge_bits = 0;
        settings_.depthwise_bits = 0;
        plan_ = make_plan(model_, settings_);
        samples_ = std::make_unique<Samples>(std::vector<std::string>{array()}, Preprocessing(), model_.input());
        for (int64_t i = 0; i < all; i++)
            refs_.push_back({samples_.get(), {i}});
        const std::string folder = test::file("resume");
        std::filesystem::remove_all(folder);
        checkpoint_ = std::make_unique<Checkpoint>(folder, Checkpoint::Conditions{{"test", "resume"}});
        go();
    }

    Quantized go()
    {
        Progress progress(Progress::Style::none);
        return quantize(model_, settings_, plan_, refs_, calibration, progress, checkpoint_.get());
    }

    Checkpoint &checkpoint() { return *checkpoint_; }
    size_t layers() const { return model_.layers().size(); }

private:
    static Model load(bool shared)
    {
        test::Network net({1, 3, 8, 8});
        net.node("Conv", {"input", net.random({4, 3, 3, 3}), net.random({4})}, "stem");
        net.node("Relu", {"stem"}, "x");
        net.node("Conv", {"x", net.random({4, 1, 3, 3})}, "deep");
        net.with("group", int64_t{4});
        net.node("Relu", {"deep"}, "y");
        net.node("Flatten", {"y"}, "flat");
        std::string end = "flat";
        if (shared) {
            const std::string matrix = net.random({64, 64});
            net.node("MatMul", {"flat", matrix}, "once");
            net.node("Tanh", {"once"}, "z");
            net.node("MatMul", {"z", matrix}, "twice");
            end = "twice";
        }
        net.node("Gemm", {end, net.random({5, 64}), net.random({5})}, "end");
        net.with("transB", int64_t{1});
        net.output("end", {1, 5});
        return Model::load(net.save("resume.onnx"));
    }
    static std::string array()
    {
        const std::string path = test::file("resume.npy");
        const Shape shape = {all, 3, 8, 8};
        const std::vector<float> values = test::random_values(count(shape), 11);
        ck_assert(npy_save(path.c_str(), NPY_FLOAT32, 4, shape.data(), values.data()));
        return path;
    }

    Model model_;
    Settings settings_;
    Plan plan_;
    std::unique_ptr<Samples> samples_;
    std::vector<SampleRef> refs_;
    std::unique_ptr<Checkpoint> checkpoint_;
};

struct Forgery {
    const char *field; // as the error names it
    std::function<void(DoneLayer &)> forge;
};

void expect_refused(Run &run, size_t layer, const Forgery &forgery)
{
    DoneLayer whole;
    ck_assert(run.checkpoint().load_layer(layer, whole));
    DoneLayer forged = whole;
    forgery.forge(forged);
    run.checkpoint().save_layer(layer, forged);
    std::string said;
    try {
        run.go();
    } catch (const Error &error) {
        said = error.what();
    }
    const std::string wanted = ": " + std::string(forgery.field) + " cannot be of layer '";
    ck_assert_msg(said.find(wanted) != std::string::npos, "layer %zu, %s: '%s'", layer, forgery.field, said.c_str());
    run.checkpoint().save_layer(layer, whole);
}

const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

const Forgery forgeries[] = {
    {"name", [](DoneLayer &d) { d.layer.name = "other"; }},
    {"operator", [](DoneLayer &d) { d.layer.op = "MatMul"; }},
    {"input", [](DoneLayer &d) { d.layer.input += "2"; }},
    {"bits", [](DoneLayer &d) { d.layer.bits = 5; }},
    {"reason", [](DoneLayer &d) { d.layer.reason = "asked for"; }},
    {"channels", [](DoneLayer &d) { d.layer.channels++; }},
    {"fan-in", [](DoneLayer &d) { d.layer.fan_in = int64_t{1} << 60; }},
    {"bytes of weights", [](DoneLayer &d) { d.layer.weight_bytes--; }},
    {"multiplications", [](DoneLayer &d) { d.layer.multiplications = -1; }},
    {"codes", [](DoneLayer &d) { d.layer.codes.pop_back(); }},
    {"codes", [](DoneLayer &d) { d.layer.codes.back() = 9; }},
    {"codes", [](DoneLayer &d) { d.layer.codes.front() = -8; }}, // -7..7 is the range
    {"scales", [](DoneLayer &d) { d.layer.scales.push_back(1); }},
    {"scales", [](DoneLayer &d) { d.layer.scales[0] = std::nanf(""); }},
    {"scales", [](DoneLayer &d) { d.layer.scales[0] = -d.layer.scales[0]; }},
    {"bias", [](DoneLayer &d) { d.layer.bias.clear(); }},
    {"bias", [](DoneLayer &d) { d.layer.bias[0] = static_cast<float>(infinity); }},
    {"weights", [](DoneLayer &d) { d.layer.dequantized.pop_back(); }},
    {"weights", [](DoneLayer &d) { d.layer.dequantized[1] += 1; }},
    {"weights", [](DoneLayer &d) { d.layer.dequantized[1] = std::nanf(""); }},
    {"weights", [](DoneLayer &d) { d.layer.scales[0] *= 2; }},
    {"error", [](DoneLayer &d) { d.layer.error = nan; }},
    {"error of rounding", [](DoneLayer &d) { d.layer.error_rounding = -1; }},
    {"held-out error", [](DoneLayer &d) { d.layer.held_out_error = -1; }},
    {"floor of the error", [](DoneLayer &d) { d.layer.error_floor = infinity; }},
    {"lower bound", [](DoneLayer &d) { d.layer.lower_bound = 1.5; }},
    {"own error", [](DoneLayer &d) { d.layer.own_error = -1; }},
    {"rows", [](DoneLayer &d) { d.layer.rows_per_input = nan; }},
    {"seconds", [](DoneLayer &d) { d.layer.seconds = -1; }},
    {"warnings", [](DoneLayer &d) { d.layer.warnings = 1 << 20; }},
    {"text", [](DoneLayer &d) { d.layer.text = "made up"; }},
    {"bits of the input", [](DoneLayer &d) { d.quantizer.values.bits = 0; }},
    {"type of the input", [](DoneLayer &d) { d.quantizer.values.type = 77; }},
    {"zero points of the input", [](DoneLayer &d) { d.quantizer.values.zero_point = 1 << 20; }},
    {"zero points of the input", [](DoneLayer &d) { d.quantizer.zero_points.push_back(0); }},
    {"scales of the input", [](DoneLayer &d) { d.quantizer.values.scale = 0; }},
    {"scales of the input", [](DoneLayer &d) { d.quantizer.values.scale = nan; }},
    {"tensor", [](DoneLayer &d) { d.input.tensor = "other"; }},
    {"bits of the tensor", [](DoneLayer &d) { d.input.bits = 4; }},
    {"type of the tensor", [](DoneLayer &d) { d.input.type = 77; }},
    {"zero point of the tensor", [](DoneLayer &d) { d.input.zero_point++; }},
    {"scales of the tensor", [](DoneLayer &d) { d.input.scales[0] *= 2; }},
    {"zero points of the tensor", [](DoneLayer &d) { d.input.zero_points.push_back(3); }},
    {"strength", [](DoneLayer &d) { d.input.strength = 2; }},
    {"note", [](DoneLayer &d) { d.input.note = "made up"; }},
    {"range", [](DoneLayer &d) { d.input.minimum = d.input.maximum + 1; }},
    {"range", [](DoneLayer &d) { d.input.maximum = infinity; }},
    {"clipped share", [](DoneLayer &d) { d.input.clipped = 1.5; }},
    {"histogram", [](DoneLayer &d) { d.input.histogram.clear(); }},
    {"histogram", [](DoneLayer &d) { d.input.histogram[0] = -1; }},
    {"histogram", [](DoneLayer &d) { d.input.histogram.assign(d.input.histogram.size(), 0); }},
};

void forge_everything(bool per_channel)
{
    Run run(per_channel);
    const Quantized before = run.go();
    for (size_t layer = 0; layer < run.layers(); layer++)
        for (const Forgery &forgery : forgeries)
            expect_refused(run, layer, forgery);
    const Quantized after = run.go(); // what is whole is taken
    for (size_t i = 0; i < before.layers.size(); i++)
        ck_assert(before.layers[i].codes == after.layers[i].codes);
}

START_TEST(forged_fields)
{
    forge_everything(false);
}
END_TEST

START_TEST(forged_fields_of_folded_inputs)
{
    forge_everything(true);
    Run run(true);
    DoneLayer done;
    ck_assert(run.checkpoint().load_layer(1, done));
    ck_assert_msg(done.quantizer.folded(), "channels of the second layer's input have no scales of their own");
    expect_refused(run, 1, {"scales of the input", [](DoneLayer &d) { d.quantizer.values.scale *= 2; }});
    expect_refused(run, 1, {"scales of the input", [](DoneLayer &d) {
                                d.quantizer.scales.push_back(d.quantizer.scales[0]);
                                d.quantizer.zero_points.push_back(d.quantizer.zero_points[0]);
                            }});
    expect_refused(run, 1, {"zero points of the input", [](DoneLayer &d) { d.quantizer.zero_points[0] = -1; }});
}
END_TEST

START_TEST(forged_shared_weights)
{
    Run run(false, true);
    const auto turn = [](DoneLayer &d) {
        d.layer.codes[0] = static_cast<int8_t>(-d.layer.codes[0] + (d.layer.codes[0] == 0));
        d.layer.dequantized[0] = d.layer.scales[0] * static_cast<float>(d.layer.codes[0]);
    };
    DoneLayer first, second;
    ck_assert(run.checkpoint().load_layer(2, first) && run.checkpoint().load_layer(3, second));
    ck_assert_str_eq(second.layer.shared_with.c_str(), first.layer.name.c_str());
    ck_assert(first.layer.codes == second.layer.codes && first.layer.scales == second.layer.scales);
    expect_refused(run, 3, {"shared weights", turn});
    expect_refused(run, 3, {"bytes of weights", [](DoneLayer &d) { d.layer.weight_bytes = 1; }});
    expect_refused(run, 3, {"layer that shares its weights", [](DoneLayer &d) { d.layer.shared_with.clear(); }});
    expect_refused(run, 2, {"layer that shares its weights", [](DoneLayer &d) { d.layer.shared_with = "twice"; }});
    run.go(); // what is whole is taken
}
END_TEST

START_TEST(bytes_behind_the_end)
{
    Run run(false);
    DoneLayer done;
    std::string bytes;
    {
        std::ifstream file(run.checkpoint().layer_path(0), std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(file), {});
    }
    bytes.resize(bytes.size() - sizeof(uint64_t));
    bytes += "more";
    const uint64_t sum = digest(bytes.data(), bytes.size());
    bytes.append(reinterpret_cast<const char *>(&sum), sizeof sum);
    test::write_bytes(run.checkpoint().layer_path(0), bytes);
    try {
        run.checkpoint().load_layer(0, done);
        ck_abort_msg("accepted");
    } catch (const Error &error) {
        ck_assert_ptr_nonnull(std::strstr(error.what(), "is damaged"));
    }
}
END_TEST

START_TEST(forged_bits)
{
    Settings settings;
    bsq_options_init(&settings.options, sizeof settings.options);
    test::Network net({1, 8});
    net.node("Gemm", {"input", net.random({8, 8})}, "a");
    net.node("Gemm", {"a", net.random({8, 8})}, "b");
    net.output("b", {1, 8});
    const Model model = Model::load(net.save("bits.onnx"));
    settings.average_bits = 4;
    settings.edge_bits = 0;
    settings.bits_for["b"] = 5;
    const Plan plan = make_plan(model, settings);
    ck_assert(may_be_chosen(model, settings, plan, {3, 5}));
    for (const std::vector<int> &bits :
         std::vector<std::vector<int>>{{3}, {3, 5, 3}, {3, 4}, {1, 5}, {9, 5}, {0, 5}, {4, 5}})
        ck_assert(!may_be_chosen(model, settings, plan, bits));
}
END_TEST

} // namespace

Suite *test_suite()
{
    TCase *tests = tcase_create("resume");
    tcase_add_test(tests, forged_fields);
    tcase_add_test(tests, forged_fields_of_folded_inputs);
    tcase_add_test(tests, forged_shared_weights);
    tcase_add_test(tests, bytes_behind_the_end);
    tcase_add_test(tests, forged_bits);
    tcase_set_timeout(tests, 120);
    return test_suite_of("bsq-onnx: work that is kept", tests);
}
