// Samples: where pictures go in the network's input, which class they have, and which of them serve what.
#include "shared.hpp"
#include "samples/arrays.hpp"
#include "samples/split.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>

#include <zip.h>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "support.hpp"

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

namespace fs = std::filesystem;

static const Value input = {"input", {1, 3, 48, 64}};

// A folder of its own with black pictures.
static std::string folder(const std::string &name, const std::vector<std::string> &pictures, cv::Size size = {8, 8})
{
    const std::string path = test::file(name);
    fs::remove_all(path);
    for (const std::string &picture : pictures) {
        fs::create_directories(fs::path(path + "/" + picture).parent_path());
        ck_assert(cv::imwrite(path + "/" + picture, cv::Mat::zeros(size, CV_8UC3)));
    }
    return path;
}

static std::string error_of(const std::function<void()> &call)
{
    try {
        call();
    } catch (const Error &error) {
        return error.what();
    }
    return "";
}

static void assert_error(const std::string &text, const std::vector<std::string> &parts)
{
    for (const std::string &part : parts)
        ck_assert_msg(text.find(part) != std::string::npos, "'%s' is not in '%s'", part.c_str(), text.c_str());
}

// ---- pictures ---------------------------------------------------------------------------------------------------

// A white rectangle in a picture is where the placement says in the input, whatever is done to the picture.
static void assert_placed(Fit fit, cv::Size size)
{
    const cv::Rect white(size.width * 5 / 16, size.height * 3 / 8, size.width / 4, size.height / 4);
    cv::Mat picture = cv::Mat::zeros(size, CV_8UC3);
    picture(white).setTo(cv::Scalar::all(255));
    const std::string path = folder("placed", {"a.png"}) + "/a.png";
    ck_assert(cv::imwrite(path, picture));
    Preprocessing preprocessing;
    preprocessing.fit = fit;
    preprocessing.shorter = 60;
    const Sample sample = Samples({path}, preprocessing, input).load(0);
    const Placement &p = sample.placement;
    ck_assert_int_eq(p.picture_width, size.width);
    ck_assert_int_eq(p.picture_height, size.height);
    double area = 0, x = 0, y = 0;
    for (int row = 0; row < 48; row++) {
        for (int column = 0; column < 64; column++) {
            const auto value = static_cast<double>(sample.inputs[0].floats()[row * 64 + column]) / 255;
            area += value;
            x += value * (column + 0.5);
            y += value * (row + 0.5);
        }
    }
    ck_assert_double_eq_tol(area, white.area() * p.scale_x * p.scale_y, 0.1 * area);
    ck_assert_double_eq_tol(x / area, (white.x + white.width / 2.0) * p.scale_x + p.left, 0.3);
    ck_assert_double_eq_tol(y / area, (white.y + white.height / 2.0) * p.scale_y + p.top, 0.3);
}

START_TEST(pictures_are_where_their_placement_says)
{
    for (const Fit fit : {Fit::stretch, Fit::crop, Fit::letterbox})
        for (const cv::Size size : {cv::Size(64, 48), cv::Size(160, 80), cv::Size(80, 112), cv::Size(33, 37)})
            assert_placed(fit, size);
}
END_TEST

// ---- labels -----------------------------------------------------------------------------------------------------

static Labels labels_of(const std::string &text, const std::vector<std::string> &sources)
{
    test::write_bytes(test::file("labels.txt"), text);
    const Samples samples(sources, Preprocessing(), input);
    std::vector<int64_t> all(static_cast<size_t>(samples.count()));
    std::iota(all.begin(), all.end(), 0);
    return read_labels(test::file("labels.txt"), samples, all);
}

static void assert_labels(const std::string &text, const std::vector<std::string> &sources,
                          const std::vector<int64_t> &wanted)
{
    const std::vector<int64_t> got = labels_of(text, sources).classes;
    ck_assert_uint_eq(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); i++)
        ck_assert_int_eq(got[i], wanted[i]);
}

START_TEST(labels_belong_to_paths)
{
    const std::string base = folder("labelled", {"a/x.png", "a/y.png", "b/x.png"}), a = base + "/a", b = base + "/b";
    assert_labels("3 x.png\n\n4 y.png\r\n", {a}, {3, 4});
    assert_labels("3 elsewhere/x.png\n4 ./y.png\n", {a}, {3, 4});
    assert_labels("3 a/x.png\n4 y.png\n5 b/x.png\n", {a, b}, {3, 4, 5});
    assert_labels("5 b/x.png\n4 y.png\n3 x.png\n", {a, b}, {3, 4, 5});
    assert_labels("3 " + a + "/x.png\n4 y.png\n5 " + b + "/./x.png\n", {a, b}, {3, 4, 5});
    assert_labels("3 x.png\n3 x.png\n4 y.png\n", {a, a}, {3, 4, 3, 4});
    const Labels named = labels_of("3 x.png tabby cat \r\n4 y.png\n", {a});
    ck_assert_uint_eq(named.names.size(), 1);
    ck_assert_str_eq(named.names.at(3).c_str(), "tabby cat");

    const auto fails = [&](const std::string &text, const std::vector<std::string> &sources) {
        return error_of([&] { labels_of(text, sources); });
    };
    assert_error(fails("3 x.png\n4 y.png\n", {a, b}),
                 {"line 1 may be of ", "a/x.png or of ", "b/x.png", "write the folder"});
    assert_error(fails("3 x.png\n4 y.png\n5 x.png\n", {a}), {"line 1 and line 3 have other classes for ", "a/x.png"});
    assert_error(fails("3 c/x.png\n4 y.png\n5 d/x.png\n", {a}), {"line 1 and line 3"});
    assert_error(fails("3 x.png\n", {a}), {"no line for ", "y.png"});
    assert_error(fails("3 x.png\ncat y.png\n", {a}), {"line 2 is not"});
    assert_error(fails("-3 x.png\n", {a}), {"line 1 is not"});
}
END_TEST

// One for each sample, or for each of its positions; any integers.
START_TEST(labels_from_arrays)
{
    const std::string a = folder("three", {"x.png", "y.png", "z.png"}), path = test::file("labels.npy");
    const auto read = [&](npy_type type, const std::vector<int64_t> &shape, const void *data) {
        ck_assert(npy_save(path.c_str(), type, static_cast<int32_t>(shape.size()), shape.data(), data));
        return read_labels(path, Samples({a}, Preprocessing(), input), {2, 0});
    };
    const int64_t wide[] = {7, 8, 9};
    ck_assert(read(NPY_INT64, {3}, wide).classes == (std::vector<int64_t>{9, 7}));
    const uint8_t bytes[] = {0, 1, 2, 3, 4, 255};
    const Labels two = read(NPY_UINT8, {3, 2}, bytes);
    ck_assert(two.classes == (std::vector<int64_t>{4, 255, 0, 1}) && two.positions == Shape{2} && !two.whole());
    ck_assert_int_eq(two.of(1)[1], 1);
    const int16_t small[] = {-1, 1, 2};
    ck_assert(read(NPY_INT16, {3, 1}, small).classes == (std::vector<int64_t>{2, -1}));
    const double real[] = {1, 2, 3};
    assert_error(error_of([&] { read(NPY_FLOAT64, {3}, real); }), {"labels.npy: labels are integers"});
    assert_error(error_of([&] { read(NPY_UINT8, {6}, bytes); }), {"6 labels for 3 samples"});
}
END_TEST

// ---- what serves what -------------------------------------------------------------------------------------------

static std::vector<std::string> names(const std::string &letter, int count)
{
    std::vector<std::string> list;
    for (int i = 0; i < count; i++)
        list.push_back(letter + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".png");
    return list;
}

struct Counts {
    const char *calibration, *held_out, *evaluation; // "a00-a03", or ""
    bool shared;
};

static std::string short_text(const SampleRange &range)
{
    if (range.count == 0)
        return "";
    const std::string first = fs::path(range.first).stem().string(), last = fs::path(range.last).stem().string();
    ck_assert_int_eq(range.count, std::stoi(last.substr(1)) - std::stoi(first.substr(1)) + 1);
    return first + "-" + last;
}

static void assert_range(const SampleRange &range, const char *wanted)
{
    const std::string text = short_text(range);
    ck_assert_str_eq(text.c_str(), wanted);
}

// Of 'images' pictures a00.., and 'tests' pictures b00.. when that is not 0.
static void assert_split(int images, int tests, int64_t calib, int64_t held_out, int64_t eval, const Counts &wanted)
{
    Settings settings;
    settings.calibrate_on_first = true;
    settings.calibration_samples = calib;
    settings.held_out_samples = held_out;
    settings.evaluation_samples = eval;
    const Samples a({folder("split-a", names("a", images))}, Preprocessing(), input);
    const Samples b({folder("split-b", names("b", std::max(tests, 1)))}, Preprocessing(), input);
    const Split split = split_samples(settings, a, tests > 0 ? &b : nullptr, 128);
    const SampleUse use = describe_use(split);
    assert_range(use.calibration, wanted.calibration);
    assert_range(use.held_out, wanted.held_out);
    assert_range(use.evaluation, wanted.evaluation);
    ck_assert_int_eq(use.shared, wanted.shared);
    ck_assert_uint_eq(split.for_layers().size(), split.calibration.size() + split.held_out.size());
}

START_TEST(samples_serve_one_thing)
{
    assert_split(30, 0, 10, 4, -1, {"a00-a09", "a10-a13", "a14-a29", false});
    assert_split(30, 0, 10, 4, 5, {"a00-a09", "a10-a13", "a14-a18", false});
    assert_split(30, 0, 10, 0, -1, {"a00-a09", "", "a10-a29", false});
    assert_split(30, 0, -1, 4, -1, {"a00-a14", "a15-a18", "a19-a29", false});
    assert_split(30, 0, 30, 4, -1, {"a00-a29", "", "", false});
    // Where half of the rest or more would be held out, it judges, too.
    assert_split(30, 0, 10, 16, -1, {"a00-a09", "a10-a25", "a10-a29", true});
    assert_split(30, 0, 29, 16, -1, {"a00-a28", "a29-a29", "a29-a29", true});
    assert_split(30, 0, 10, 16, 0, {"a00-a09", "a10-a25", "", false});
    // With samples to test on, what calibration leaves is held out; else some of them.
    assert_split(30, 20, 10, 4, -1, {"a00-a09", "a10-a13", "b00-b19", false});
    assert_split(30, 20, 29, 4, -1, {"a00-a28", "a29-a29", "b00-b19", false});
    assert_split(30, 20, -1, 4, -1, {"a00-a29", "b00-b03", "b04-b19", false});
    assert_split(30, 20, -1, 16, 6, {"a00-a29", "b00-b15", "b00-b05", true});
}
END_TEST

static void assert_indices(const std::vector<SampleRef> &refs, const std::vector<int64_t> &wanted)
{
    ck_assert_uint_eq(refs.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); i++)
        ck_assert_int_eq(refs[i].indices.at(0), wanted[i]);
}

// A folder may be sorted by class: those that calibrate come from all of it, and labels stay with their samples.
START_TEST(calibration_is_spread)
{
    Settings settings;
    settings.held_out_samples = 1;
    settings.labels = test::file("spread.txt");
    std::string lines;
    for (int i = 0; i < 10; i++)
        lines += std::to_string(100 + i) + " " + names("a", 10)[static_cast<size_t>(i)] + "\n";
    test::write_bytes(settings.labels, lines);
    const Samples a({folder("spread", names("a", 10))}, Preprocessing(), input);
    settings.calibration_samples = 4;
    const Split split = split_samples(settings, a, nullptr, 128);
    assert_indices(split.calibration, {0, 2, 5, 7});
    assert_indices(split.held_out, {1});
    assert_indices(split.evaluation, {3, 4, 6, 8, 9});
    ck_assert(split.labels.classes == (std::vector<int64_t>{103, 104, 106, 108, 109}));
    // As many as are enough, at most half.
    settings.calibration_samples = -1;
    assert_indices(split_samples(settings, a, nullptr, 2).calibration, {0, 5});
    assert_indices(split_samples(settings, a, nullptr, 1000).calibration, {0, 2, 4, 6, 8});
    assert_indices(split_samples(settings, a, &a, 1000).calibration, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}
END_TEST

START_TEST(labels_are_of_the_evaluated)
{
    Settings settings;
    settings.calibrate_on_first = true;
    settings.calibration_samples = 3;
    settings.held_out_samples = 2;
    settings.labels = test::file("evaluated.txt");
    std::string lines;
    for (int i = 5; i < 12; i++)
        lines += std::to_string(100 + i) + " " + names("a", 12)[static_cast<size_t>(i)] + "\n";
    test::write_bytes(settings.labels, lines);
    const Samples a({folder("evaluated", names("a", 12))}, Preprocessing(), input);
    const Split split = split_samples(settings, a, nullptr, 128);
    ck_assert_uint_eq(split.evaluation.size(), 7);
    ck_assert_uint_eq(split.labels.classes.size(), 7);
    ck_assert_int_eq(split.labels.classes[0], 105);
    ck_assert_int_eq(split.labels.classes[6], 111);
}
END_TEST

// ---- archives ---------------------------------------------------------------------------------------------------

static std::string bytes_of(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

// An .npz file with one array as it is and one compressed.
static std::string archive(const std::string &name, const std::vector<std::string> &arrays)
{
    const std::string path = test::file(name);
    fs::remove(path);
    zip_t *zip = zip_open(path.c_str(), ZIP_CREATE, nullptr);
    ck_assert_ptr_nonnull(zip);
    for (size_t i = 0; i < arrays.size(); i++) {
        const std::string source = test::file(arrays[i]);
        const zip_int64_t index = zip_file_add(zip, arrays[i].c_str(), zip_source_file(zip, source.c_str(), 0, -1), 0);
        ck_assert_int_eq(index, static_cast<zip_int64_t>(i));
        zip_set_file_compression(zip, static_cast<zip_uint64_t>(index), i == 0 ? ZIP_CM_STORE : ZIP_CM_DEFLATE, 0);
    }
    ck_assert_int_eq(zip_close(zip), 0);
    return path;
}

// Any bytes changed, taken out or doubled: the sample is read, or refused in one line.
START_TEST(damaged_archives)
{
    const std::vector<Value> inputs = {{"real", {1, 4, 8}}, {"more", {1, 6}}};
    const std::vector<float> values(32, 0.5F);
    ck_assert(npy_save(test::file("real.npy").c_str(), NPY_FLOAT32, 3, inputs[0].shape.data(), values.data()));
    ck_assert(npy_save(test::file("more.npy").c_str(), NPY_FLOAT32, 2, inputs[1].shape.data(), values.data()));
    const std::string whole = bytes_of(archive("whole.npz", {"real.npy", "more.npy"})),
                      path = test::file("damaged.npz");
    std::mt19937 random(17);
    int read = 0, refused = 0;
    for (int i = 0; i < 600; i++) {
        std::string bytes = whole;
        for (unsigned change = i == 0 ? 0 : 1 + random() % 4; change > 0; change--) {
            const size_t at = random() % bytes.size(), length = std::min<size_t>(1 + random() % 40, bytes.size() - at);
            switch (random() % 4) {
            case 0: bytes[at] = static_cast<char>(random()); break;
            case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8)); break;
            case 2: bytes.erase(at, length); break;
            default: bytes.insert(at, bytes.substr(at, length));
            }
        }
        test::write_bytes(path, bytes);
        const std::string error = error_of([&] {
            const Sample sample = Samples(Sources{{path}, {}}, Preprocessing(), inputs).load(int64_t{0});
            ck_assert_uint_eq(sample.inputs.size(), 2);
            ck_assert_uint_eq(sample.inputs[0].bytes.size(), values.size() * sizeof(float));
        });
        (error.empty() ? read : refused)++;
        ck_assert_msg(error.empty() || error.find(path) != std::string::npos, "%d: '%s'", i, error.c_str());
        ck_assert_msg(std::none_of(error.begin(), error.end(), [](unsigned char c) { return c < ' '; }),
                      "%d: more than one line: '%s'", i, error.c_str());
        ck_assert_msg(i > 0 || error.empty(), "the whole archive: %s", error.c_str());
    }
    ck_assert_msg(read > 0 && refused > 200, "%d archives are read, %d refused", read, refused);
}
END_TEST

// One whose size is said to be near 4 GB, of which a few bytes are there.
START_TEST(archive_of_a_wrong_size)
{
    const std::vector<float> values(32, 0.5F);
    const Shape shape = {1, 32};
    ck_assert(npy_save(test::file("real.npy").c_str(), NPY_FLOAT32, 2, shape.data(), values.data()));
    std::string bytes = bytes_of(archive("sized.npz", {"real.npy"}));
    const size_t central = bytes.find("PK\x01\x02"); // its uncompressed size is 24 bytes from there
    ck_assert(central != std::string::npos);
    bytes.replace(central + 24, 4, "\xf0\xff\xff\xff");
    test::write_bytes(test::file("sized.npz"), bytes);
    const std::string error = error_of([&] {
        Samples(Sources{{test::file("sized.npz")}, {}}, Preprocessing(), {{"real", shape}}).load(int64_t{0});
    });
    assert_error(error, {"sized.npz: 'real'"});
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("samples");
    tcase_add_test(tests, pictures_are_where_their_placement_says);
    tcase_add_test(tests, labels_belong_to_paths);
    tcase_add_test(tests, labels_from_arrays);
    tcase_add_test(tests, samples_serve_one_thing);
    tcase_add_test(tests, calibration_is_spread);
    tcase_add_test(tests, labels_are_of_the_evaluated);
    tcase_add_test(tests, damaged_archives);
    tcase_add_test(tests, archive_of_a_wrong_size);
    tcase_set_timeout(tests, 60);
    return test_suite_of("bsq-onnx: samples", tests);
}
