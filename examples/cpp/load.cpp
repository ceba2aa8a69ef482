// load: the same as load.c with bsq.hpp, in C++20.
//
//     load FILE
extern "C" {
#include "common/synthetic.h"
}

#include <bsq.hpp>

#include <cstdio>
#include <exception>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int64_t inputs = 80, outputs = 32, samples = 600;

template <typename T> void read(std::ifstream &file, std::span<T> values)
{
    if (!file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(values.size_bytes())))
        throw std::runtime_error("the file is too short");
}

bsq::tensor_storage read_tensor(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    int64_t extents[3] = {};
    int32_t kinds[4] = {};
    read(file, std::span<int64_t>(extents));
    read(file, std::span<int32_t>(kinds));
    if (extents[0] != outputs || extents[1] != inputs)
        throw std::runtime_error("the tensor is of another layer");
    bsq::tensor_storage tensor;
    tensor.codes.resize(outputs * inputs);
    tensor.scales.resize(outputs);
    read(file, std::span<int8_t>(tensor.codes));
    read(file, std::span<float>(tensor.scales));
    tensor.description = {.channels = extents[0],
                          .fan_in = extents[1],
                          .group_size = extents[2],
                          .weight_bits = kinds[0],
                          .weight_grid = bsq::weight_grid(kinds[1]),
                          .scale_kind = bsq::scale_kind(kinds[2]),
                          .scale_format = bsq::scale_format(kinds[3])};
    return tensor;
}

bsq::layer calibrated_layer()
{
    std::vector<float> weights(outputs * inputs), activations(samples * inputs);
    synthetic_weights(7, outputs * inputs, weights.data());
    synthetic_activations(8, samples, inputs, activations.data());
    bsq::layer layer({.in_channels = inputs, .out_channels = outputs}, {}, weights);
    layer.calibrate({.input = activations, .size = samples});
    return layer;
}

void run(const std::string &path)
{
    bsq::tensor_storage tensor = read_tensor(path);
    const bsq::report report = calibrated_layer().evaluate(tensor.view());
    const std::vector<unsigned char> packed = bsq::pack(tensor.view(), bsq::format::onnx_int4);
    std::printf("%.6f\n%zu bytes of %s\n", report.error, packed.size(), bsq::to_string(bsq::format::onnx_int4));
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        std::fprintf(stderr, "usage: load FILE\n");
        return 2;
    }
    try {
        run(arguments[1]);
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "load: %s\n", failure.what());
        return 1;
    }
    return 0;
}
