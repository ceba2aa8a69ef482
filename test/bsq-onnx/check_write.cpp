// Files written whole or not at all, and what OpenCV makes of them.
#include "report/write.hpp"
#include "shared.hpp"
#include "support.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {
#include "support.h"
}

using bsq_onnx::Model;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

// A new, empty folder.
std::string folder(const std::string &name)
{
    const std::string path = test::file(name);
    ck_assert_int_eq(std::system(("rm -rf '" + path + "'").c_str()), 0);
    ck_assert_int_eq(mkdir(path.c_str(), 0777), 0);
    return path;
}

int entries(const std::string &path)
{
    int count = 0;
    DIR *dir = opendir(path.c_str());
    ck_assert_ptr_nonnull(dir);
    while (const dirent *entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

std::string content(const std::string &path)
{
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
}

void expect_failure(const Files &files, const std::string &text)
{
    try {
        bsq_onnx::write_files(files);
    } catch (const bsq_onnx::Error &error) {
        ck_assert_msg(std::strstr(error.what(), text.c_str()), "'%s' without '%s'", error.what(), text.c_str());
        return;
    }
    ck_abort_msg("written, without '%s'", text.c_str());
}

START_TEST(whole_files)
{
    const std::string at = folder("whole");
    umask(022);
    const std::string large(300000, 'x');
    bsq_onnx::write_files({{at + "/a", "first"}, {at + "/b", large}});
    ck_assert(content(at + "/a") == "first");
    ck_assert(content(at + "/b") == large);
    bsq_onnx::write_files({{at + "/a", ""}});
    ck_assert(content(at + "/a").empty());
    ck_assert_int_eq(entries(at), 2);
    struct stat info;
    ck_assert_int_eq(stat((at + "/a").c_str(), &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0644);
}
END_TEST

START_TEST(nothing_half_written)
{
    const std::string at = folder("half");
    bsq_onnx::write_files({{at + "/old", "old"}});
    expect_failure({{at + "/old", "new"}, {at + "/missing/b", "b"}}, "missing/b: cannot be written: No such file");
    ck_assert(content(at + "/old") == "old");
    expect_failure({{at + "/new", "new"}, {at, "b"}}, "not a regular file");
    expect_failure({{at + "/new", "new"}, {"/dev/null", "b"}}, "not a regular file");
    ck_assert_int_eq(entries(at), 1);
}
END_TEST

START_TEST(full_disk)
{
    const std::string at = folder("full");
    signal(SIGXFSZ, SIG_IGN);
    rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit limit = {1000, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_failure({{at + "/a", "a"}, {at + "/b", std::string(2000, 'b')}}, "b: cannot be written: File too large");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(entries(at), 0);
}
END_TEST

START_TEST(sidecar)
{
    bsq_onnx::RunResult result;
    result.command = "bsq-onnx \"a b\"\n";
    result.layers.resize(1);
    result.layers[0].name = "conv";
    result.layers[0].bits = 3;
    result.layers[0].scales = {0.5F, 0.25F};
    result.inputs.resize(1);
    result.inputs[0].tensor = "input";
    result.inputs[0].bits = 8;
    result.inputs[0].type = BSQ_INPUT_TYPE_ZERO_POINT;
    result.inputs[0].zero_point = 7;
    result.inputs[0].scales = {0.125};
    ck_assert(bsq_onnx::write_sidecar(result).find("strength") == std::string::npos);
    result.inputs[0].strength = 0.5;
    const std::string text = bsq_onnx::write_sidecar(result);
    for (const char *part : {"\"bsq-onnx \\\"a b\\\"\\u000a\"", "\"bits\": 3", "\"zero_point\": 7", "\"zero point\"",
                             "\"strength\": 0.5", "0.125", "\"quantized_layers\": 1"})
        ck_assert_msg(text.find(part) != std::string::npos, "%s is missing", part);
    for (const char *part : {"held_out_error", "agreement", "output_error", "top1", "detection", "network_bound"})
        ck_assert_msg(text.find(part) == std::string::npos, "%s was not measured", part);
}
END_TEST

// A run that leaves all weights as they are.
bsq_onnx::RunResult unchanged(const Model &model)
{
    bsq_onnx::RunResult result;
    for (const auto &layer : model.layers()) {
        bsq_onnx::LayerResult same;
        same.name = layer.name;
        same.bits = 8;
        same.dequantized = layer.weights;
        same.bias = layer.bias;
        result.layers.push_back(same);
    }
    return result;
}

START_TEST(float_files_in_opencv)
{
    const char *data = std::getenv("SHARED_DATA");
    const std::string models = std::string(data ? data : "../shared") + "/models/";
    for (const char *name : {"resnet20_cifar10", "squeezenet_v1.1", "mobilenet_v1_0.75_224", "nanodet_m_320"}) {
        const std::string path = models + name + ".onnx", copy = test::file("copy.onnx");
        if (!std::ifstream(path)) {
            std::printf("skipped: %s is not there\n", path.c_str());
            continue;
        }
        const Model model = Model::load(path);
        bsq_onnx::write_files({{copy, bsq_onnx::write_model(model, unchanged(model), bsq_onnx::Format::qdq_float)}});
        const std::vector<float> input = test::random_values(bsq_onnx::count(model.input().shape), 7);
        const test::Tensors before = test::run_file(path, model, input), after = test::run_file(copy, model, input);
        for (const auto &[output, values] : before)
            ck_assert_msg(test::difference(after.at(output), values) <= 1e-5, "%s: %s", name, output.c_str());
    }
}
END_TEST

} // namespace

Suite *test_suite()
{
    TCase *tests = tcase_create("files");
    tcase_add_test(tests, whole_files);
    tcase_add_test(tests, nothing_half_written);
    tcase_add_test(tests, full_disk);
    tcase_add_test(tests, sidecar);
    tcase_add_test(tests, float_files_in_opencv);
    return test_suite_of("bsq-onnx: files", tests);
}
