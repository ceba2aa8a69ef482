// Networks read, refused, and cut into segments that OpenCV runs.
#include "model/channels.hpp"
#include "shared.hpp"
#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>

extern "C" {
#include "support.h"
}

using bsq_onnx::Model;
using test::Network;

namespace {

// OpenCV runs the file and the segments, with the same result.
void expect_same(const std::string &path, double tolerance)
{
    const Model model = Model::load(path);
    const std::vector<float> input = test::random_values(bsq_onnx::count(model.input().shape), 7);
    const test::Tensors whole = test::run_file(path, model, input), parts = test::run_segments(model, input);
    for (const auto &[name, values] : whole) {
        const double worst = test::difference(parts.at(name), values);
        ck_assert_msg(worst <= tolerance, "%s: %s differs by %g", path.c_str(), name.c_str(), worst);
    }
}

START_TEST(real_networks)
{
    const char *data = std::getenv("SHARED_DATA");
    const std::string folder = std::string(data ? data : "../shared") + "/models/";
    const struct {
        const char *name;
        size_t layers;
    } networks[] = {{"resnet20_cifar10", 20},
                    {"squeezenet_v1.1", 26},
                    {"mobilenet_v1_0.75_224", 28},
                    {"nanodet_m_320", 73},
                    {"yolov5n_seg_640", 63}};
    for (const auto &network : networks) {
        const std::string path = folder + network.name + ".onnx";
        if (!std::ifstream(path)) {
            std::printf("skipped: %s is not there\n", path.c_str());
            continue;
        }
        ck_assert_uint_eq(Model::load(path).layers().size(), network.layers);
        expect_same(path, 1e-5);
    }
}
END_TEST

// ---- what is found in a network ----

// Two convolutions side by side behind one, joined by Concat; a residual Add; a Gemm behind all.
Network branches()
{
    Network net({1, 3, 8, 8});
    const std::string stem = net.node("Conv", {"input", net.random({4, 3, 3, 3}), net.random({4})}, "stem");
    net.with("kernel_shape", std::vector<int64_t>{3, 3}).with("pads", std::vector<int64_t>{1, 1, 1, 1});
    net.node("Relu", {stem}, "x");
    net.node("Conv", {"x", net.random({2, 4, 1, 1})}, "left");
    net.with("kernel_shape", std::vector<int64_t>{1, 1});
    net.node("Conv", {"x", net.random({2, 4, 1, 1}), net.random({2})}, "right");
    net.with("kernel_shape", std::vector<int64_t>{1, 1});
    net.node("Concat", {"left", "right"}, "both");
    net.with("axis", int64_t{1});
    net.node("MaxPool", {"both"}, "small");
    net.with("kernel_shape", std::vector<int64_t>{2, 2}).with("strides", std::vector<int64_t>{2, 2});
    net.node("Conv", {"small", net.random({4, 1, 3, 3})}, "deep");
    net.with("kernel_shape", std::vector<int64_t>{3, 3}).with("pads", std::vector<int64_t>{1, 1, 1, 1});
    net.with("group", int64_t{4});
    net.node("Add", {"deep", "small"}, "sum");
    net.node("Flatten", {"sum"}, "flat");
    net.node("Gemm", {"flat", net.random({5, 64}), net.random({5})}, "end");
    net.with("transB", int64_t{1});
    net.output("end", {1, 5});
    return net;
}

START_TEST(layers_and_segments)
{
    const std::string path = branches().save("branches.onnx");
    const Model model = Model::load(path);
    ck_assert_str_eq(model.input().name.c_str(), "input");
    ck_assert(model.input().shape == (bsq_onnx::Shape{1, 3, 8, 8}));
    ck_assert_uint_eq(model.outputs().size(), 1);
    ck_assert(model.outputs()[0].shape == (bsq_onnx::Shape{1, 5}));
    ck_assert(model.left_float().empty());

    std::vector<std::string> names;
    for (const auto &layer : model.layers())
        names.push_back(layer.name);
    ck_assert(names == (std::vector<std::string>{"stem", "left", "right", "deep", "end"}));
    const bsq_onnx::Layer &stem = model.layers()[0], &deep = model.layers()[3], &end = model.layers()[4];
    ck_assert_int_eq(stem.desc.kind, BSQ_KIND_CONV);
    ck_assert_int_eq(stem.desc.pad_end[1], 1);
    ck_assert_int_eq(stem.multiplications, 4 * 64 * 27);
    ck_assert_uint_eq(stem.bias.size(), 4);
    ck_assert(model.layers()[1].bias.empty());
    ck_assert_int_eq(deep.desc.groups, 4);
    ck_assert_int_eq(deep.desc.in_channels, 4);
    ck_assert_uint_eq(deep.weights.size(), 36);
    ck_assert_int_eq(end.desc.kind, BSQ_KIND_LINEAR);
    ck_assert_int_eq(end.desc.in_channels, 64);

    const auto &segments = model.segments();
    ck_assert_uint_eq(segments.size(), 5);
    ck_assert(segments[1].inputs == (std::vector<std::string>{"x"}));
    ck_assert(segments[2].inputs == (std::vector<std::string>{"x", "left"}));
    ck_assert(segments[2].outputs == (std::vector<std::string>{"small"}));
    // The Add reads what the layer reads, too: only the layer's goes through the quantizer.
    ck_assert(segments[3].inputs == (std::vector<std::string>{"small"}));
    ck_assert_str_ne(segments[3].layer_input.c_str(), "small");
    ck_assert_str_eq(segments[4].layer_input.c_str(), "flat");
    expect_same(path, 1e-5);
}
END_TEST

START_TEST(folding_and_joining)
{
    const Model model = Model::load(branches().save("branches.onnx"));
    std::string reason;
    ck_assert(model.may_fold("x", reason));
    ck_assert(model.may_fold("input", reason));
    ck_assert(model.may_fold("flat", reason));
    ck_assert(!model.may_fold("small", reason));
    ck_assert_ptr_nonnull(std::strstr(reason.c_str(), "Add sum reads it"));
    ck_assert(!model.may_fold("end", reason));
    ck_assert_ptr_nonnull(std::strstr(reason.c_str(), "output"));
    const std::vector<std::string> joined = model.joined("left");
    for (const char *name : {"right", "both", "small", "deep"})
        ck_assert(std::find(joined.begin(), joined.end(), name) != joined.end());
    ck_assert(model.joined("x").empty());
    ck_assert(model.joined("input").empty());
}
END_TEST

START_TEST(other_weights)
{
    const Model model = Model::load(branches().save("branches.onnx"));
    const bsq_onnx::Segment &segment = model.segments()[1];
    ck_assert_str_eq(model.layers()[1].name.c_str(), "left");
    onnx::ModelProto part;
    ck_assert(part.ParseFromString(model.segment_model(segment, std::vector<float>(8, 2), std::vector<float>(2, 3))));
    ck_assert_int_eq(part.graph().initializer_size(), 2);
    float first;
    std::memcpy(&first, part.graph().initializer(0).raw_data().data(), sizeof first);
    ck_assert(first == 2);
    std::memcpy(&first, part.graph().initializer(1).raw_data().data(), sizeof first);
    ck_assert(first == 3);
}
END_TEST

START_TEST(digest_of_bytes)
{
    Network net = branches();
    const uint64_t digest = Model::load(net.save("branches.onnx")).digest();
    ck_assert(digest == Model::load(net.save("branches.onnx")).digest());
    net.model.set_doc_string("other");
    ck_assert(digest != Model::load(net.save("branches.onnx")).digest());
}
END_TEST

// ---- what is refused ----

void expect_error(const std::string &path, const std::string &text)
{
    try {
        Model::load(path);
    } catch (const bsq_onnx::Error &error) {
        const std::string message = error.what();
        ck_assert_msg(message.find(text) != std::string::npos, "'%s' without '%s'", message.c_str(), text.c_str());
        ck_assert_msg(message.find(path) == 0, "'%s' without the path", message.c_str());
        ck_assert_msg(message.find('\n') == std::string::npos, "'%s' has several lines", message.c_str());
        return;
    }
    ck_abort_msg("accepted, without '%s'", text.c_str());
}

Network small(const bsq_onnx::Shape &input = {1, 3, 8, 8}, int64_t opset = 13)
{
    Network net(input, opset);
    net.node("Conv", {"input", net.random({4, 3, 3, 3})}, "conv");
    net.with("kernel_shape", std::vector<int64_t>{3, 3});
    net.output("conv", {1, 4, 6, 6});
    return net;
}

START_TEST(unusable_files)
{
    expect_error(test::file("missing.onnx"), "cannot be read");
    expect_error("/", "cannot be read");
    const std::string path = test::file("bad.onnx");
    test::write_bytes(path, "");
    expect_error(path, "not an ONNX network");
    test::write_bytes(path, "these are not the bytes of a network");
    expect_error(path, "not an ONNX network");
}
END_TEST

START_TEST(unusable_networks)
{
    const std::string name = "unusable.onnx";
    expect_error(small({2, 3, 8, 8}).save(name), "batch of 2");
    expect_error(small({1, 3, 0, 8}).save(name), "dynamic");
    expect_error(small({1, 3, 8, 8}, 6).save(name), "opset 6");
    expect_error(small({1, 3, 8, 8}, 99).save(name), "opset 99");
    expect_error(small({1, 4, 8, 8}).save(name), "");

    Network net = small();
    *net.model.mutable_graph()->add_input() = net.model.graph().input(0);
    net.model.mutable_graph()->mutable_input(1)->set_name("second");
    expect_error(net.save(name), "2 inputs");

    net = small();
    net.model.mutable_graph()->mutable_node(0)->set_op_type("Frobnicate");
    expect_error(net.save(name), "Frobnicate conv");

    net = small();
    net.model.mutable_graph()->mutable_node(0)->set_domain("com.example");
    expect_error(net.save(name), "not supported");

    net = small();
    net.model.mutable_graph()->mutable_node(0)->set_name("\xff");
    expect_error(net.save(name), "not UTF-8");

    net = small();
    net.with("strides", std::vector<int64_t>{0, 0});
    expect_error(net.save(name), "impossible strides");

    net = small();
    net.with("group", int64_t{0});
    expect_error(net.save(name), "impossible group");

    net = small();
    net.model.mutable_graph()->mutable_initializer(0)->add_float_data(1);
    expect_error(net.save(name), "not as many values");

    net = small();
    net.model.mutable_graph()->mutable_initializer(0)->set_dims(0, int64_t{1} << 62);
    expect_error(net.save(name), "too large");

    net = small();
    net.model.mutable_graph()->mutable_initializer(0)->set_data_location(onnx::TensorProto::EXTERNAL);
    expect_error(net.save(name), "another file");

    net = small();
    net.model.mutable_graph()->mutable_initializer(0)->set_float_data(5, std::nanf(""));
    expect_error(net.save(name), "not finite");

    net = small({1, 3, 8, 8}, 18);
    net.node("ReduceMax", {"conv", "input"}, "reduced");
    expect_error(net.save(name), "ReduceMax reduced has axes that are not constant");

    net = Network({1, 8});
    net.node("Relu", {"input"}, "relu");
    net.output("relu", {1, 8});
    expect_error(net.save(name), "no layer with constant weights");

    net = small();
    net.node("DequantizeLinear", {"conv", net.constant({}, {1})});
    expect_error(net.save(name), "quantized already");

    net = small();
    net.model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
        onnx::TensorProto::DOUBLE);
    expect_error(net.save(name), "");
}
END_TEST

// Whatever the bytes are: an error of one line, or a network.
void try_bytes(const std::string &path, const std::string &bytes, int &refused)
{
    test::write_bytes(path, bytes);
    try {
        const Model model = Model::load(path);
        for (const auto &segment : model.segments())
            ck_assert(!model.segment_model(segment).empty());
    } catch (const bsq_onnx::Error &error) {
        ck_assert_ptr_null(std::strchr(error.what(), '\n'));
        refused++;
    }
}

// By class: a factor for each of its channels, 1 for what is fixed.
float factor_of(size_t c)
{
    return c == 0 ? 1.0F : std::ldexp(1.0F, static_cast<int>(c * 5 % 9) - 4);
}

// Channels are joined by an Add, carried by Concat, Split, Transpose and pools, and fixed by the ends and by a Sigmoid; a
// network with other factors for every class computes the same.
START_TEST(rescaled_channels)
{
    test::Network n({1, 3, 8, 8});
    const auto conv = [&](const std::string &x, const bsq_onnx::Shape &shape, const std::string &name) {
        return n.node("Conv", {x, n.random(shape, 0, 0.4F), n.random({shape[0]})}, name);
    };
    const std::string a = n.node("Relu", {conv("input", {4, 3, 1, 1}, "first")});
    const std::string b = n.node("Relu", {conv(a, {4, 4, 1, 1}, "second")});
    const std::string sum = n.node("Add", {a, b});
    const std::string padded = n.node("Pad", {sum, n.integers({0, 1, 0, 0, 0, 1, 0, 0})}); // a channel on both sides
    const std::string pool =
        n.node("MaxPool", {conv(n.node("Add", {padded, conv(sum, {6, 4, 1, 1}, "beside")}), {6, 6, 1, 1}, "third")});
    n.with("kernel_shape", std::vector<int64_t>{2, 2}).with("strides", std::vector<int64_t>{2, 2});
    const std::string gate = n.node("Sigmoid", {conv(pool, {6, 6, 1, 1}, "fourth")});
    const std::string wide = n.node("Concat", {pool, gate});
    n.with("axis", int64_t{1});
    const std::string last = conv(wide, {2, 12, 1, 1}, "last");
    n.output(last, {1, 2, 4, 4});
    const Model model = Model::load(n.save("channels.onnx"));
    const bsq_onnx::ChannelClasses classes = bsq_onnx::channel_classes(model);
    ck_assert_uint_eq(classes.inputs.size(), 6);
    ck_assert(classes.outputs[0] == classes.outputs[1] && classes.outputs[0] == classes.inputs[2]); // by the Add
    ck_assert(
        std::equal(classes.outputs[0].begin(), classes.outputs[0].end(), classes.inputs[3].begin() + 1)); // padded
    ck_assert(classes.outputs[2] == classes.inputs[3] && classes.inputs[3][0] != 0 && classes.inputs[3][5] != 0);
    ck_assert_uint_eq(std::set<size_t>(classes.outputs[0].begin(), classes.outputs[0].end()).size(), 4);
    ck_assert(classes.inputs[0] == std::vector<size_t>(3, 0) && classes.outputs[5] == std::vector<size_t>(2, 0));
    ck_assert(classes.outputs[4] == std::vector<size_t>(6, 0)); // before the Sigmoid
    std::vector<size_t> joined = classes.outputs[3];
    joined.resize(12, 0);
    ck_assert(classes.inputs[5] == joined);
    ck_assert_uint_eq(classes.count, 1 + 4 + 2 + 6);

    std::vector<bsq_onnx::Rescaling> rescalings;
    for (size_t i = 0; i < 6; i++) {
        bsq_onnx::Rescaling rescaling;
        for (const size_t c : classes.inputs[i])
            rescaling.input.push_back(factor_of(c));
        for (const size_t c : classes.outputs[i])
            rescaling.output.push_back(factor_of(c));
        rescalings.push_back(rescaling);
    }
    const Model other = model.rescaled(rescalings);
    ck_assert(other.layers()[1].weights != model.layers()[1].weights);
    const std::vector<float> input = test::random_values(3 * 64, 5);
    const test::Tensors before = test::run_segments(model, input), after = test::run_segments(other, input);
    ck_assert(before.at(last) == after.at(last)); // factors are powers of two
    ck_assert(before.at(sum) != after.at(sum));
}
END_TEST

START_TEST(damaged_files)
{
    const std::string path = test::file("damaged.onnx"), whole = branches().bytes();
    int refused = 0, tried = 0;
    for (size_t size = 0; size < whole.size(); size += size < 1500 ? 1 : 97, tried++)
        try_bytes(path, whole.substr(0, size), refused);
    ck_assert_int_ge(refused, tried - 8); // some cuts fall between fields that are not needed
    uint64_t state = 1;
    for (int i = 0; i < 3000; i++) {
        std::string bytes = whole;
        for (int k = 0; k <= i % 4; k++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            bytes[(state >> 33) % bytes.size()] = static_cast<char>(state >> 25);
        }
        try_bytes(path, bytes, refused);
    }
    ck_assert_int_gt(refused, tried + 500);
}
END_TEST

} // namespace

Suite *test_suite()
{
    TCase *tests = tcase_create("model");
    tcase_add_test(tests, real_networks);
    tcase_add_test(tests, layers_and_segments);
    tcase_add_test(tests, folding_and_joining);
    tcase_add_test(tests, other_weights);
    tcase_add_test(tests, digest_of_bytes);
    tcase_add_test(tests, unusable_files);
    tcase_add_test(tests, unusable_networks);
    tcase_add_test(tests, rescaled_channels);
    tcase_add_test(tests, damaged_files);
    tcase_set_timeout(tests, 120);
    return test_suite_of("bsq-onnx: model", tests);
}
