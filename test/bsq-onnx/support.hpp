// What the tests of bsq-onnx share: tiny networks, and networks run by OpenCV, whole or in segments.
#ifndef BSQ_TEST_ONNX_SUPPORT_HPP
#define BSQ_TEST_ONNX_SUPPORT_HPP

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <onnx/onnx_pb.h>
#include <opencv2/core.hpp>

#include "model/model.hpp"
#include "quantize/result.hpp"

namespace test {

using Tensors = std::map<std::string, std::vector<float>>;

// A network that is put together node by node. Weights come from a generator with a fixed seed.
class Network {
public:
    explicit Network(const bsq_onnx::Shape &input, int64_t opset = 13);

    // Adds a node; the returned name is its output's, and its own.
    std::string node(const std::string &op, const std::vector<std::string> &inputs, const std::string &name = "");
    std::string random(const bsq_onnx::Shape &shape, float mean = 0, float deviation = 1);
    std::string constant(const bsq_onnx::Shape &shape, const std::vector<float> &values);
    std::string integers(const std::vector<int64_t> &values);

    // Attributes of the last node.
    Network &with(const std::string &attribute, int64_t value);
    Network &with(const std::string &attribute, float value);
    Network &with(const std::string &attribute, const std::string &value);
    Network &with(const std::string &attribute, const std::vector<int64_t> &values);

    void output(const std::string &tensor, const bsq_onnx::Shape &shape);
    std::string bytes() const { return model.SerializeAsString(); }
    // Writes the network into the folder of the tests and returns the path.
    std::string save(const std::string &name) const;

    onnx::ModelProto model;

private:
    std::string initializer(onnx::TensorProto &tensor);
    uint64_t state_ = 1;
};

// A file of that name in the folder of the tests.
std::string file(const std::string &name);
void write_bytes(const std::string &path, const std::string &bytes);

std::vector<float> random_values(int64_t count, uint64_t seed);

// The outputs of the network in the file, by OpenCV.
Tensors run_file(const std::string &path, const bsq_onnx::Model &model, const std::vector<float> &input);

// What is other than in the float network: weights and biases, where 'result' is not NULL, and what layers read.
struct Changes {
    const bsq_onnx::RunResult *result;
    std::function<std::vector<float>(const bsq_onnx::Layer &, const std::vector<float> &)> layer_input;
};

// All tensors between segments, and the outputs, run segment by segment.
Tensors run_segments(const bsq_onnx::Model &model, const std::vector<float> &input, const Changes &changes = {});

// Largest difference relative to the largest value; fails the test when sizes differ.
double difference(const std::vector<float> &values, const std::vector<float> &expected);

} // namespace test

#endif
