// Networks read, and cut into segments that OpenCV runs.
#include "onnx/error.hpp"
#include "support.hpp"

#include <cstdlib>
#include <fstream>

#include <check.h>

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

} // namespace

int main()
{
    Suite *suite = suite_create("onnx model");
    TCase *tcase = tcase_create("onnx model");
    tcase_add_test(tcase, real_networks);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
