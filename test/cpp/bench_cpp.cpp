// What bsq.hpp costs over bsq.h: the same calls in C, as statuses and as exceptions, in nanoseconds; the least of many
// rounds. The calls are the cheapest that there are, on a layer of 16 inputs and 4 outputs.
#include <bsq.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int rounds = 300, repeats = 200;

void need(bool well)
{
    if (!well)
        std::abort();
}

template <class F> double once(F fn)
{
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; i++)
        fn();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / repeats;
}

// The three ways take turns, so that a busy machine is busy for all of them.
template <class C, class S, class E> void row(const char *what, C c, S status, E exception)
{
    double least[3] = {1e30, 1e30, 1e30};
    for (int round = 0; round < rounds; round++) {
        least[0] = std::min(least[0], once(c));
        least[1] = std::min(least[1], once(status));
        least[2] = std::min(least[2], once(exception));
    }
    std::printf("%-28s %10.0f %10.0f %10.0f   %+6.1f %%\n", what, least[0], least[1], least[2],
                100 * (std::max(least[1], least[2]) / least[0] - 1));
}

} // namespace

int main()
{
    std::vector<float> weights(64), input(2048 * 16);
    for (std::size_t i = 0; i < weights.size(); i++)
        weights[i] = float(i * 29 % 64) / 32 - 1;
    for (std::size_t i = 0; i < input.size(); i++)
        input[i] = float(i * 7919 % 10007) / 5000 - 1;
    const auto layer_desc = bsq::layer_desc().set_in_channels(16).set_out_channels(4);
    bsq::options options;
    options.effort = 1;
    bsq::layer layer(layer_desc, options, weights);
    bsq_layer_t *const c = layer.get();
    const auto batch_of = [&](int64_t size) {
        return bsq::batch().set_input({input.data(), std::size_t(size) * 16}).set_size(size);
    };
    const auto c_batch_of = [&](int64_t size) {
        bsq_batch_t batch;
        bsq_batch_init(&batch, sizeof batch);
        batch.input = input.data();
        batch.size = size;
        return batch;
    };
    layer.calibrate(batch_of(2048));
    layer.optimize();
    int8_t codes[64];

    std::printf("%-28s %10s %10s %10s   %8s\n", "call, ns", "C", "status", "exception", "over C");
    row(
        "get_codes, 64 codes", [&] { need(bsq_layer_get_codes(c, codes, 64) == BSQ_OK); },
        [&] { need(layer.try_get_codes(codes) == bsq::status::ok); }, [&] { layer.get_codes(codes); });
    row(
        "set_options",
        [&] {
            bsq_options_t now;
            bsq_options_init(&now, sizeof now);
            now.effort = 1;
            need(bsq_layer_set_options(c, &now) == BSQ_OK);
        },
        [&] { need(layer.try_set_options(bsq::options().set_effort(1)) == bsq::status::ok); },
        [&] { layer.set_options(bsq::options().set_effort(1)); });
    for (const int64_t size : {1, 64, 2048}) {
        char what[32];
        std::snprintf(what, sizeof what, "calibrate, %d rows", int(size));
        row(
            what,
            [&] {
                const bsq_batch_t batch = c_batch_of(size);
                need(bsq_layer_calibrate(c, &batch) == BSQ_OK);
            },
            [&] { need(layer.try_calibrate(batch_of(size)) == bsq::status::ok); },
            [&] { layer.calibrate(batch_of(size)); });
    }
    row(
        "optimize",
        [&] {
            bsq_report_t report;
            bsq_report_init(&report, sizeof report);
            need(bsq_optimize(c, &report) == BSQ_OK);
        },
        [&] {
            bsq::report report;
            need(layer.try_optimize(report) == bsq::status::ok);
        },
        [&] { (void)layer.optimize(); });
    return 0;
}
