// A host without exceptions: compiled with -fno-exceptions, every failure is a status.
#include <bsq.hpp>

#include <cstdio>
#include <cstring>

static int failed;

static void expect(const char *what, bool holds)
{
    if (!holds) {
        std::printf("failed: %s\n", what);
        failed = 1;
    }
}

int main()
{
    float weights[3 * 4], input[64 * 4];
    for (int i = 0; i < 12; i++)
        weights[i] = static_cast<float>(i % 5) - 1.9F;
    for (int i = 0; i < 256; i++)
        input[i] = static_cast<float>((i * 37) % 101) / 50.0F - 1.0F;

    int calls = 0;
    bool stop = false;
    auto progress = [&](const bsq_progress_t &) {
        calls++;
        return stop ? bsq::next::stop : bsq::next::go_on;
    };
    bsq::options options;
    options.progress = progress;
    bsq::message text;
    bsq::layer layer;
    const bsq::layer_desc desc = bsq::layer_desc().set_in_channels(4).set_out_channels(3);
    expect("weights of another layer",
           bsq::layer::try_create(desc, options, {weights, 11}, {}, layer, &text) == bsq::status::size);
    expect("a text without a handle", std::strstr(text.c_str(), "M * n") != nullptr);
    expect("create", bsq::layer::try_create(desc, options, weights, {}, layer, &text) == bsq::status::ok);
    expect("too early", layer.try_optimize() == bsq::status::state);
    expect("a text", std::strstr(layer.message(), "statistics") != nullptr);
    expect("calibrate", layer.try_calibrate(bsq::batch().set_input(input).set_size(64)) == bsq::status::ok);
    bsq::report report;
    stop = true;
    expect("cancelled", layer.try_optimize(report) == bsq::status::cancelled);
    stop = false;
    expect("optimize", layer.try_optimize(report) == bsq::status::ok && report.error < 0.1 && calls > 1);
    std::int8_t codes[12];
    unsigned char packed[6];
    bsq::tensor tensor = bsq::tensor().set_codes(codes);
    expect("tensor", layer.try_get_tensor(tensor) == bsq::status::ok);
    expect("pack", bsq::try_pack(tensor, bsq::format::onnx_int4, packed) == bsq::status::ok);
    return failed;
}
