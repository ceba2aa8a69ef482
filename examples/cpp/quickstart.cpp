// quickstart: the same as quickstart.c with bsq.hpp, in C++20: one linear layer from float weights to packed 4-bit codes.
extern "C" {
#include "common/synthetic.h"
}

#include <bsq.hpp>

#include <cstdio>
#include <vector>

namespace {

constexpr int64_t inputs = 64, outputs = 32, samples = 2048;

void run()
{
    std::vector<float> weights(outputs * inputs), activations(samples * inputs);
    synthetic_weights(1, outputs * inputs, weights.data());
    synthetic_activations(2, samples, inputs, activations.data());

    // All that a host writes: failures arrive as bsq::error, handles free themselves.
    auto progress = [](const bsq_progress_t &now) { std::printf("  %3.0f %%\r", 100 * now.fraction); };
    bsq::layer layer({.in_channels = inputs, .out_channels = outputs}, {.progress = progress, .weight_bits = 4},
                     weights);
    layer.calibrate({.input = activations, .size = samples});
    const bsq::report report = layer.optimize();
    bsq::tensor_storage result = layer.get_tensor();
    const std::vector<unsigned char> packed = bsq::pack(result.view(), bsq::format::onnx_int4);

    std::printf("linear %d -> %d, %d-bit weights\n", int(inputs), int(outputs), int(report.weight_bits));
    std::printf("  rounding to nearest    %.5f relative output error\n", report.error_start);
    std::printf("  libbsq                 %.5f (%.2f x) in %.3f s\n", report.error, report.error / report.error_start,
                report.seconds);
    std::printf("  packed                 %zu bytes; first scale %.5f\n", packed.size(), double(result.scales[0]));
}

} // namespace

int main()
{
    try {
        run();
    } catch (const bsq::error &failure) {
        std::fprintf(stderr, "quickstart: %s: %s\n", bsq::to_string(failure.status()), failure.what());
        return 1;
    }
    return 0;
}
