// load: the same as load.c in C++20: handles that free themselves, failures as exceptions, buffers as vectors.
//
//     load FILE
extern "C" {
#include "common/synthetic.h"
}

#include <bsq.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int64_t inputs = 80, outputs = 32, samples = 600;

struct Free {
    void operator()(bsq_layer_t *layer) const { bsq_layer_free(layer); }
};
using Layer = std::unique_ptr<bsq_layer_t, Free>;

void check(bsq_status_t status, const Layer &layer)
{
    if (status != BSQ_OK)
        throw std::runtime_error(bsq_layer_error_message(layer.get()));
}

// A bsq_error_t with a buffer of its own.
class Error {
public:
    Error()
    {
        bsq_error_init(&error_, sizeof error_);
        error_.message = text_.data();
        error_.capacity = text_.size();
    }
    bsq_error_t *get() { return &error_; }
    void check(bsq_status_t status) const
    {
        if (status != BSQ_OK)
            throw std::runtime_error(text_.data());
    }

private:
    std::vector<char> text_ = std::vector<char>(256);
    bsq_error_t error_;
};

// A tensor whose buffers are its own.
struct Tensor {
    std::vector<int8_t> codes;
    std::vector<float> scales;
    bsq_tensor_t view;
};

template <typename T> void read(std::ifstream &file, std::span<T> values)
{
    if (!file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(values.size_bytes())))
        throw std::runtime_error("the file is too short");
}

Tensor read_tensor(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    int64_t extents[3] = {};
    int32_t kinds[4] = {};
    read(file, std::span<int64_t>(extents));
    read(file, std::span<int32_t>(kinds));
    if (extents[0] != outputs || extents[1] != inputs)
        throw std::runtime_error("the tensor is of another layer");
    Tensor tensor{std::vector<int8_t>(outputs * inputs), std::vector<float>(outputs), {}};
    read(file, std::span<int8_t>(tensor.codes));
    read(file, std::span<float>(tensor.scales));
    bsq_tensor_init(&tensor.view, sizeof tensor.view);
    tensor.view.codes = tensor.codes.data();
    tensor.view.code_count = static_cast<int64_t>(tensor.codes.size());
    tensor.view.scales = tensor.scales.data();
    tensor.view.scale_count = static_cast<int64_t>(tensor.scales.size());
    tensor.view.channels = extents[0];
    tensor.view.fan_in = extents[1];
    tensor.view.group_size = extents[2];
    tensor.view.weight_bits = kinds[0];
    tensor.view.weight_grid = kinds[1];
    tensor.view.scale_kind = kinds[2];
    tensor.view.scale_format = kinds[3];
    return tensor;
}

Layer calibrated_layer()
{
    std::vector<float> weights(outputs * inputs), activations(samples * inputs);
    synthetic_weights(7, outputs * inputs, weights.data());
    synthetic_activations(8, samples, inputs, activations.data());
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = inputs;
    desc.out_channels = outputs;
    bsq_layer_t *created = nullptr;
    Error error;
    error.check(bsq_layer_create(&desc, nullptr, weights.data(), nullptr, &created, error.get()));
    Layer layer(created);
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = activations.data();
    batch.size = samples;
    check(bsq_layer_calibrate(layer.get(), &batch), layer);
    return layer;
}

void run(const std::string &path)
{
    const Tensor tensor = read_tensor(path);
    const Layer layer = calibrated_layer();
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    check(bsq_layer_evaluate(layer.get(), &tensor.view, &report), layer);

    Error error;
    size_t size = 0;
    error.check(bsq_tensor_packed_size(&tensor.view, BSQ_FORMAT_ONNX_INT4, &size, error.get()));
    std::vector<unsigned char> packed(size);
    error.check(bsq_tensor_pack(&tensor.view, BSQ_FORMAT_ONNX_INT4, packed.data(), size, error.get()));
    std::printf("%.6f\n%zu bytes of %s\n", report.error, size, bsq_format_string(BSQ_FORMAT_ONNX_INT4));
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
