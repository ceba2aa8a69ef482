// bsq.hpp as a host uses it: moves, failures as exceptions and as statuses, exceptions through callables, hooks, every
// call beside the call of bsq.h that it stands for.
#include <bsq.hpp>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

extern "C" {
#include "support.h"
}

// ---- what goes through new ----

static bool counting;
static int64_t news;

// ThreadSanitizer of clang has its own, which cannot be replaced: nothing is counted then.
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define NEW_IS_TAKEN
#endif
#endif

#ifndef NEW_IS_TAKEN
// Not inlined: gcc would see free() called on what came from new, and warn.
__attribute__((noinline)) void *operator new(std::size_t size)
{
    news += counting;
    if (void *block = std::malloc(size ? size : 1))
        return block;
    throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void *block) noexcept
{
    std::free(block);
}
__attribute__((noinline)) void operator delete(void *block, std::size_t) noexcept
{
    std::free(block);
}
#endif

// ---- data ----

namespace {

constexpr int64_t M = 6, N = 40, rows = 700;

struct Data {
    std::vector<float> weights, bias, input, target;
};

const Data &data()
{
    static const Data made = [] {
        test_data c = test_data_linear(M, N, rows, 3);
        Data d;
        d.weights.assign(c.weights, c.weights + M * N);
        d.bias.assign(c.bias, c.bias + M);
        d.input.assign(c.input, c.input + rows * N);
        d.target.assign(c.target, c.target + rows * M);
        test_data_free(&c);
        return d;
    }();
    return made;
}

bsq::layer_desc desc()
{
    return bsq::layer_desc().set_in_channels(N).set_out_channels(M);
}

bsq::batch all_rows()
{
    return bsq::batch().set_input(data().input).set_size(rows);
}

bsq::layer make(const bsq::options &options = {})
{
    return bsq::layer(desc(), options, data().weights, data().bias);
}

bsq::layer calibrated(const bsq::options &options = {})
{
    bsq::layer layer = make(options);
    layer.calibrate(all_rows());
    return layer;
}

// Stops the test unless 'fn' throws a bsq::error of that status with a text that contains 'word'.
template <class F> void throws(bsq::status status, const char *word, F fn)
{
    try {
        fn();
    } catch (const bsq::error &failure) {
        ck_assert_int_eq(int(failure.status()), int(status));
        ck_assert_msg(std::string(failure.what()).find(word) != std::string::npos, "no '%s' in '%s'", word,
                      failure.what());
        return;
    }
    ck_abort_msg("nothing was thrown where '%s' was due", word);
}

template <class F> void throws_own(const char *text, F fn)
{
    try {
        fn();
    } catch (const std::runtime_error &failure) {
        ck_assert_str_eq(failure.what(), text);
        return;
    }
    ck_abort_msg("'%s' did not arrive", text);
}

void ok(bsq::status status)
{
    ck_assert_int_eq(int(status), BSQ_OK);
}
void is(bsq::status status, bsq::status expected)
{
    ck_assert_int_eq(int(status), int(expected));
}

} // namespace

// ---- types ----

static_assert(!std::is_copy_constructible_v<bsq::layer> && !std::is_copy_assignable_v<bsq::layer>);
static_assert(std::is_nothrow_move_constructible_v<bsq::layer> && std::is_nothrow_move_assignable_v<bsq::layer>);
static_assert(!std::is_copy_constructible_v<bsq::stats> && std::is_nothrow_move_constructible_v<bsq::stats>);
static_assert(std::is_aggregate_v<bsq::options> && std::is_aggregate_v<bsq::layer_desc> &&
              std::is_aggregate_v<bsq::batch> && std::is_aggregate_v<bsq::moments> && std::is_aggregate_v<bsq::tensor>);
static_assert(std::is_nothrow_copy_constructible_v<bsq::error>);
static_assert(noexcept(std::declval<bsq::layer &>().try_optimize()));
static_assert(std::is_convertible_v<std::vector<float> &, bsq::span<const float>>);
static_assert(!std::is_convertible_v<const std::vector<float> &, bsq::span<float>>);
static_assert(!std::is_convertible_v<std::vector<float>, bsq::span<const float>>, "a vector that is gone at once");
static_assert(!std::is_convertible_v<std::vector<double> &, bsq::span<const float>>);
static_assert(!std::is_convertible_v<std::vector<float> &, bsq::bytes>);
static_assert(std::is_convertible_v<std::string &, bsq::const_bytes>);

START_TEST(defaults_are_those_of_c)
{
    const auto same = [](const auto &own, const auto &c) { return std::memcmp(&own, &c, sizeof c) == 0; };
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    ck_assert(same(bsq::detail::to_c(bsq::options()), options));
    bsq_layer_desc_t layer;
    bsq_layer_desc_init(&layer, sizeof layer);
    ck_assert(same(bsq::detail::to_c(bsq::layer_desc()), layer));
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    ck_assert(same(bsq::detail::to_c(bsq::batch()), batch));
    bsq_input_quantizer_t quantizer;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    ck_assert(same(bsq::detail::to_c(bsq::input_quantizer()), quantizer));
    bsq_moments_t moments;
    bsq_moments_init(&moments, sizeof moments);
    ck_assert(same(bsq::detail::to_c(bsq::moments()), moments));
    bsq_moments_buffers_t buffers;
    bsq_moments_buffers_init(&buffers, sizeof buffers);
    ck_assert(same(bsq::detail::to_c(bsq::moments_buffers()), buffers));
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    ck_assert(same(bsq::detail::to_c(bsq::tensor()), tensor));
}
END_TEST

START_TEST(options_come_back)
{
    bsq::options options;
    options.damping = 0.25, options.asymmetry = 0.5, options.input_percentile = 0.75, options.group_size = 8;
    options.weight_bits = 3, options.weight_grid = bsq::weight_grid::full;
    options.scale_kind = bsq::scale_kind::per_group, options.scale_format = bsq::scale_format::float16;
    options.effort = 2, options.threads = 3, options.bias_correction = true, options.input_bits = 8;
    options.input_type = bsq::input_type::signed_codes, options.input_clip = bsq::input_clip::percentile;
    options.select_on_held_out = true, options.input_scale_kind = bsq::input_scale_kind::per_channel;
    options.lower_bound = true;
    auto progress = [](const bsq_progress_t &) {};
    auto log = [](bsq::log_level, const char *) {};
    options.progress = progress, options.log = log;
    bsq::layer layer = make(options);
    const bsq_options_t put = bsq::detail::to_c(options), got = bsq::detail::to_c(layer.get_options());
    ck_assert(std::memcmp(&put, &got, sizeof put) == 0);

    // What was read works as what was put, the callables too.
    layer.set_options(layer.get_options().set_effort(1));
    ck_assert_int_eq(layer.get_options().effort, 1);
}
END_TEST

START_TEST(handles_move)
{
    bsq::layer first = calibrated();
    bsq_layer_t *const handle = first.get();
    bsq::layer second = std::move(first);
    ck_assert(!first && second.get() == handle);
    second.calibrate(all_rows());
    throws(bsq::status::argument, "'layer' is NULL", [&] { first.optimize(); });
    is(first.try_optimize(), bsq::status::argument);

    // Assignment frees what was there: the other's heap is empty.
    test_heap heap;
    test_heap_init(&heap);
    bsq_options_t c;
    bsq_options_init(&c, sizeof c);
    test_heap_use(&heap, &c);
    bsq::layer third = make({bsq::memory_ref(c.memory_alloc, c.memory_free, c.memory_opaque)});
    ck_assert_int_gt(heap.blocks, 0);
    third = std::move(second);
    ck_assert_int_eq(heap.blocks, 0);
    ck_assert(third.get() == handle && !second);
    third.calibrate(all_rows());
    bsq::layer &self = third;
    third = std::move(self);
    ck_assert(third.get() == handle);

    bsq::stats stats = third.acquire_stats(), taken = std::move(stats);
    ck_assert(!stats && taken);
    stats = std::move(taken);
    ck_assert(stats && !taken);
    throws(bsq::status::argument, "", [&] { (void)taken.info(); });
    bsq_layer_free(third.release());
    ck_assert(!third);
    ck_assert_double_eq(stats.info().rows, 3.0 * double(rows));
}
END_TEST

// ---- failures ----

START_TEST(failures_are_exceptions_and_statuses)
{
    bsq::layer created;
    bsq::message text;
    const auto both = [&](bsq::status status, const char *word, const bsq::layer_desc &what, const bsq::options &how,
                          bsq::span<const float> weights) {
        is(bsq::layer::try_create(what, how, weights, {}, created, &text), status);
        ck_assert_msg(std::strstr(text.c_str(), word) != nullptr, "no '%s' in '%s'", word, text.c_str());
        ck_assert(!created);
        is(bsq::layer::try_create(what, how, weights, {}, created), status);
        throws(status, word, [&] { bsq::layer(what, how, weights); });
    };
    const Data &d = data();
    std::vector<float> nan = d.weights;
    nan[7] = std::numeric_limits<float>::quiet_NaN();
    both(bsq::status::argument, "solver", desc(), bsq::options().set_solver(bsq::solver(99)), d.weights);
    both(bsq::status::argument, "weights", desc(), {}, {});
    both(bsq::status::range, "weight_bits", desc(), bsq::options().set_weight_bits(9), d.weights);
    both(bsq::status::shape, "in_channels", desc().set_in_channels(0), {}, d.weights);
    both(bsq::status::size, "M * n", desc().set_in_channels(N + 1), {}, d.weights);
    both(bsq::status::numeric, "7", desc(), {}, nan);
    throws(bsq::status::size, "M elements", [&] { bsq::layer(desc(), {}, d.weights, {d.bias.data(), M - 1}); });

    bsq::layer layer = make();
    const auto fails = [&](bsq::status status, const char *word, auto tried, auto thrown) {
        is(tried(), status);
        ck_assert_msg(std::strstr(layer.message(), word) != nullptr, "no '%s' in '%s'", word, layer.message());
        throws(status, word, thrown);
    };
    int8_t codes[M * N];
    fails(
        bsq::status::state, "statistics", [&] { return layer.try_optimize(); }, [&] { layer.optimize(); });
    fails(
        bsq::status::state, "result", [&] { return layer.try_get_codes(codes); }, [&] { layer.get_codes(codes); });
    // A buffer that is too short is refused before C looks at it, and C's text is back at the next failure.
    bsq::batch batch = all_rows().set_size(rows + 1);
    fails(
        bsq::status::size, "'input'", [&] { return layer.try_calibrate(batch); }, [&] { layer.calibrate(batch); });
    batch = all_rows().set_target(data().bias);
    fails(
        bsq::status::size, "'target'", [&] { return layer.try_calibrate(batch); }, [&] { layer.calibrate(batch); });
    batch = all_rows().set_row_weights(data().bias);
    fails(
        bsq::status::size, "'row_weights'", [&] { return layer.try_calibrate(batch); },
        [&] { layer.calibrate(batch); });
    fails(
        bsq::status::state, "result", [&] { return layer.try_get_codes(codes); }, [&] { layer.get_codes(codes); });
    layer.calibrate(all_rows());
    layer.optimize();
    fails(
        bsq::status::size, "",
        [&] {
            return layer.try_get_codes({codes, 3});
        },
        [&] {
            layer.get_codes({codes, 3});
        });

    bsq::tensor_storage result = layer.get_tensor();
    bsq::tensor view = result.view();
    unsigned char bytes[M * N];
    view.codes[0] = 100;
    is(bsq::try_pack(view, bsq::format::int8, bytes, &text), bsq::status::format);
    throws(bsq::status::format, text.c_str(), [&] { bsq::pack(view, bsq::format::int8, bytes); });
    fails(
        bsq::status::range, "code", [&] { return layer.try_set_tensor(view); }, [&] { layer.set_tensor(view); });
    view.codes = {codes, 3};
    throws(bsq::status::size, "", [&] { layer.set_tensor(view); });

    bsq::stats snapshot = layer.acquire_stats(), imported;
    std::vector<unsigned char> exported = snapshot.export_bytes();
    is(snapshot.try_export_to({exported.data(), 5}, &text), bsq::status::size);
    exported[exported.size() / 2] ^= 1;
    is(bsq::stats::try_import(exported, {}, imported, &text), bsq::status::corrupt);
    ck_assert(!imported);
    throws(bsq::status::corrupt, text.c_str(), [&] { (void)bsq::stats::import(exported); });
    exported[0] ^= 1;
    throws(bsq::status::format, "", [&] { (void)bsq::stats::import(exported); });
    bsq::layer other(bsq::layer_desc().set_in_channels(2).set_out_channels(1), {}, std::array<float, 2>{{1, 2}});
    throws(bsq::status::mismatch, "", [&] { other.merge_stats(snapshot); });

    throws(bsq::status::argument, bsq::to_string(bsq::status::argument),
           [] { throw bsq::error(bsq::status::argument, ""); });
}
END_TEST

// What only a newer library knows is a status too.
START_TEST(every_status_has_a_name)
{
    std::map<std::string, bsq::status> names;
    for (const bsq::status code :
         {bsq::status::ok, bsq::status::argument, bsq::status::range, bsq::status::shape, bsq::status::size,
          bsq::status::state, bsq::status::memory, bsq::status::numeric, bsq::status::format, bsq::status::corrupt,
          bsq::status::mismatch, bsq::status::cancelled, bsq::status::version})
        ck_assert(names.emplace(bsq::to_string(code), code).second);
}
END_TEST

// ---- callables ----

START_TEST(progress_stops_and_throws)
{
    int calls = 0, throw_at = 0, stop_at = 0;
    auto progress = [&](const bsq_progress_t &now) {
        ck_assert(now.fraction >= 0 && now.fraction <= 1);
        if (++calls == throw_at)
            throw std::runtime_error("from progress");
        return calls == stop_at ? bsq::next::stop : bsq::next::go_on;
    };
    bsq::layer layer = calibrated(bsq::options().set_progress(progress));
    const std::vector<int8_t> before = (layer.optimize(), layer.codes());
    const int most = calls;
    ck_assert_int_gt(most, 3);

    calls = 0, stop_at = 2;
    throws(bsq::status::cancelled, "cancelled", [&] { layer.optimize(); });
    calls = 0;
    is(layer.try_optimize(), bsq::status::cancelled);

    calls = 0, stop_at = 0, throw_at = 2;
    throws_own("from progress", [&] { layer.optimize(); });
    ck_assert_int_eq(calls, 2);
    calls = 0;
    is(layer.try_optimize(), bsq::status::cancelled);
    ck_assert(layer.codes() == before);

    // The exception of one call does not come out of the next, and a call that follows works.
    calls = 0, throw_at = 0;
    layer.optimize();
    ck_assert(layer.codes() == before);

    // Batches, error tables and operator norms.
    calls = 0, throw_at = 1;
    throws_own("from progress", [&] { layer.calibrate(all_rows()); });
    ck_assert_double_eq(layer.acquire_stats().info().rows, double(rows));
    calls = 0;
    double errors[2];
    throws_own("from progress", [&] { layer.error_table(2, 3, errors); });
    calls = 0;
    const bsq::layer_desc conv = desc().set_kind(bsq::kind::conv).set_spatial_dims(1);
    throws_own("from progress",
               [&] { bsq::operator_norm(conv, data().weights, 0.1, bsq::options().set_progress(progress)); });

    // C calls on the handle have nobody to throw to: cancelled.
    calls = 0;
    ck_assert_int_eq(bsq_optimize(layer.get(), nullptr), BSQ_E_CANCELLED);
}
END_TEST

// A callable may use other layers, whose exceptions are its own.
START_TEST(calls_nest)
{
    bool inner_throws = true;
    auto inner_progress = [&](const bsq_progress_t &) {
        if (inner_throws)
            throw std::runtime_error("from within");
    };
    bsq::layer inner = calibrated();
    inner.set_options(bsq::options().set_progress(inner_progress));
    int way = 0, caught = 0;
    auto progress = [&](const bsq_progress_t &) {
        switch (way) {
        case 0: inner.optimize(); break;
        case 1: try { inner.optimize();
            } catch (const std::runtime_error &) {
                caught++;
            }
            break;
        default: is(inner.try_optimize(), bsq::status::cancelled); caught++;
        }
    };
    bsq::layer layer = calibrated();
    layer.set_options(bsq::options().set_progress(progress).set_effort(1));
    throws_own("from within", [&] { layer.optimize(); });
    way = 1;
    layer.optimize();
    ck_assert_int_gt(caught, 0);
    way = 2, caught = 0;
    layer.optimize();
    ck_assert_int_gt(caught, 0);
    ok(layer.try_optimize());

    // The layer that is at work refuses.
    bsq::status met = bsq::status::ok;
    auto meddles = [&](const bsq_progress_t &) { met = layer.try_optimize(); };
    layer.set_options(bsq::options().set_progress(meddles));
    layer.optimize();
    is(met, bsq::status::state);
}
END_TEST

START_TEST(log_lines_come_and_throw)
{
    std::vector<std::string> lines;
    bool throwing = false;
    auto log = [&](bsq::log_level level, const char *text) {
        ck_assert(level == bsq::log_level::info || level == bsq::log_level::warning);
        lines.push_back(text);
        if (throwing)
            throw std::runtime_error("from log");
    };
    bsq::layer layer = calibrated(bsq::options().set_log(log));
    layer.optimize();
    ck_assert_uint_ge(lines.size(), 2);
    const std::vector<int8_t> codes = layer.codes();
    layer.set_options(bsq::options().set_log(log).set_weight_bits(2));
    throwing = true, lines.clear();
    throws_own("from log", [&] { layer.optimize(); });
    ck_assert_uint_eq(lines.size(), 1);
    ck_assert_int_eq(layer.get_report().weight_bits, 2);
    ck_assert(layer.codes() != codes);
}
END_TEST

namespace {

// Counts its blocks; throws at one of them.
class Memory {
public:
    void *allocate(std::size_t size)
    {
        if (++calls == throw_at)
            throw std::runtime_error("from memory");
        blocks++;
        return std::malloc(size);
    }
    void deallocate(void *block)
    {
        blocks--;
        std::free(block);
    }
    int64_t calls = 0, blocks = 0, throw_at = 0;
};

} // namespace

START_TEST(memory_is_the_hosts)
{
    Memory memory;
    {
        bsq::layer layer = calibrated(bsq::options().set_memory(memory));
        layer.optimize();
        ck_assert_int_gt(memory.blocks, 0);
        const int64_t before = memory.blocks;
        memory.throw_at = memory.calls + 3;
        throws_own("from memory", [&] { layer.optimize(); });
        memory.throw_at = memory.calls + 3;
        is(layer.try_optimize(), bsq::status::memory);
        ck_assert_int_eq(memory.blocks, before);
        bsq::stats snapshot = layer.acquire_stats();
        layer.reset();
        ck_assert_int_gt(memory.blocks, 0);
    }
    ck_assert_int_eq(memory.blocks, 0);
    memory.throw_at = memory.calls + 2;
    throws_own("from memory", [&] { make(bsq::options().set_memory(memory)); });
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

START_TEST(pool_is_the_hosts)
{
    constexpr int64_t outputs = 150, samples = 1700;
    test_data c = test_data_linear(outputs, N, samples, 3);
    const bsq::layer_desc wide = desc().set_out_channels(outputs);
    const bsq::span<const float> weights(c.weights, outputs * N), input(c.input, samples * N);
    const bsq::batch batch = bsq::batch().set_input(input).set_size(samples);
    bsq::layer own(wide, {}, weights);
    own.calibrate(batch);
    own.optimize();
    int64_t asked = 0;
    bool throwing = false;
    auto pool = [&](int64_t count, bsq::block run) {
        asked++;
        if (throwing)
            throw std::runtime_error("from pool");
        std::vector<std::thread> threads;
        for (int64_t i = 0; i < count; i++)
            threads.emplace_back([=] { run(i); });
        for (std::thread &thread : threads)
            thread.join();
    };
    bsq::layer layer(wide, bsq::options().set_pool(pool).set_threads(3), weights);
    layer.calibrate(batch);
    layer.optimize();
    ck_assert_int_gt(asked, 0);
    ck_assert(layer.codes() == own.codes());
    throwing = true;
    throws_own("from pool", [&] { layer.optimize(); });
    is(layer.try_optimize(), bsq::status::state);
    throwing = false;
    layer.optimize();
    ck_assert(layer.codes() == own.codes());
    test_data_free(&c);
}
END_TEST

// ---- the calls, beside those of C ----

START_TEST(a_host_in_c_gets_the_same)
{
    const Data &d = data();
    Memory memory, c_memory;
    bsq::options options = bsq::options().set_bias_correction(true).set_memory(memory);
    std::vector<int8_t> codes(M * N), c_codes(M * N);
    std::vector<float> scales(M), c_scales(M);

    // Warms up what is allocated once, by Check too.
    ck_assert_ptr_nonnull(bsq::version_string());
    counting = true;
    {
        bsq::layer layer;
        bsq::report report;
        ok(bsq::layer::try_create(desc(), options, d.weights, d.bias, layer));
        ok(layer.try_calibrate(all_rows().set_target(d.target)));
        ok(layer.try_optimize(report));
        bsq::tensor tensor = bsq::tensor().set_codes(codes).set_scales(scales);
        ok(layer.try_get_tensor(tensor));
        ck_assert_int_eq(tensor.channels, M);
        ck_assert_int_eq(tensor.fan_in, N);
    }
    {
        bsq::layer layer(desc(), options, d.weights, d.bias);
        layer.calibrate(all_rows());
        layer.optimize();
        layer.get_codes(codes);
        layer.clone();
        layer.acquire_stats();
    }
    counting = false;
    ck_assert_int_eq(news, 0);

    const auto run_c = [&](bool target) {
        const bsq_options_t c_options = bsq::detail::to_c(options.set_memory(c_memory));
        const bsq_layer_desc_t c_desc = bsq::detail::to_c(desc());
        bsq_batch_t batch = bsq::detail::to_c(all_rows());
        batch.target = target ? d.target.data() : nullptr;
        bsq_layer_t *c = nullptr;
        ck_assert_int_eq(bsq_layer_create(&c_desc, &c_options, d.weights.data(), d.bias.data(), &c, nullptr), BSQ_OK);
        test_ok(c, bsq_layer_calibrate(c, &batch));
        test_ok(c, bsq_optimize(c, nullptr));
        test_ok(c, bsq_layer_get_codes(c, c_codes.data(), c_codes.size()));
        test_ok(c, bsq_layer_get_scales(c, c_scales.data(), c_scales.size()));
        return c;
    };
    bsq_layer_free(run_c(true));
    ck_assert(scales == c_scales);
    bsq_layer_t *c = run_c(false);
    bsq_layer_t *clone = nullptr;
    test_ok(c, bsq_layer_clone(c, &clone));
    bsq_layer_free(clone);
    bsq_layer_free(c);
    ck_assert(codes == c_codes);
    // The same blocks, no more and no fewer.
    ck_assert_int_eq(memory.calls, c_memory.calls);
    ck_assert_int_eq(memory.blocks, 0);
}
END_TEST

START_TEST(results_and_reports)
{
    bsq::layer layer = calibrated(bsq::options().set_weight_bits(3));
    const bsq::report report = layer.optimize();
    ck_assert(report.error > 0 && report.error < report.error_start);
    ck_assert_double_eq(layer.get_report().objective, report.objective);
    ck_assert_int_gt(report.stages, 0);
    ck_assert_ptr_nonnull(bsq::to_string(bsq::stage(layer.get_stage_report(0).stage)));
    double sum = 0;
    for (int64_t m = 0; m < M; m++)
        sum += layer.get_channel_report(m).objective;
    ck_assert_double_eq_tol(sum, report.objective, 1e-9 * sum);
    throws(bsq::status::range, "", [&] { (void)layer.get_channel_report(M); });
    ck_assert_str_ne(bsq::to_string(bsq::outcome(report.outcome)), bsq::to_string(bsq::outcome::none));
    ck_assert_ptr_nonnull(bsq::to_string(bsq::kernel(report.kernel)));
    ck_assert(!bsq::has(report, bsq::warning::no_statistics));
    const bsq::layer_info info = layer.info();
    ck_assert(bsq::has(info, bsq::state::result) && !bsq::has(info, bsq::state::targets));
    ck_assert_int_eq(info.fan_in, N);

    // Every result, and what they say of each other.
    const std::vector<int8_t> codes = layer.codes(), planes = layer.planes();
    const std::vector<float> scales = layer.scales(), weights = layer.dequantized();
    ck_assert_uint_eq(planes.size(), 2 * M * N);
    ck_assert_uint_eq(layer.result_count(bsq::result::scales), M);
    for (std::size_t i = 0; i < codes.size(); i++) {
        ck_assert_int_eq(codes[i], planes[i] + 2 * planes[M * N + i]);
        ck_assert_float_eq(weights[i], scales[i / N] * codes[i]);
    }
    ck_assert(layer.bias() == data().bias && layer.code_bias() == data().bias);

    // The tensor, packed and back, judged and put back.
    bsq::tensor_storage own = layer.get_tensor();
    bsq::tensor tensor = own.view();
    ck_assert(own.codes == codes && own.scales == scales && tensor.weight_bits == 3);
    const std::vector<unsigned char> packed = bsq::pack(tensor, bsq::format::onnx_int4);
    ck_assert_uint_eq(packed.size(), M * N / 2);
    ck_assert_uint_eq(bsq::packed_size(tensor, bsq::format::int8), M * N);
    ck_assert_str_eq(bsq::to_string(bsq::format::int8), bsq_format_string(BSQ_FORMAT_INT8));
    std::fill(own.codes.begin(), own.codes.end(), int8_t(0));
    bsq::unpack(bsq::format::onnx_int4, packed, tensor);
    ck_assert(own.codes == codes);
    ck_assert_double_eq_tol(layer.evaluate(tensor).error, report.error, 1e-6 * report.error);
    bsq::layer second = layer.clone();
    second.set_tensor(tensor);
    ck_assert(second.codes() == codes);
}
END_TEST

// What a format asks for, the parts that it writes, and the weights that come back.
START_TEST(formats_of_engines)
{
    bsq::options how = bsq::options().set_threads(2);
    bsq::options_for_format(bsq::format::gguf_q4_k, how);
    ck_assert(how.weight_grid == bsq::weight_grid::offset && how.scale_kind == bsq::scale_kind::per_group);
    ck_assert(how.scale_bits == 6 && how.super_group == 8 && how.group_size == 32 && how.threads == 2);

    std::vector<std::int8_t> codes(2 * 128, 3), read(codes.size());
    std::vector<float> scales{0.5F, 0.25F, 1.0F, 2.0F}, offsets{-1.0F, 0.0F, 0.5F, -8.0F};
    std::vector<float> other_scales(4), other_offsets(4), values(codes.size());
    bsq::tensor tensor = bsq::tensor()
                             .set_codes(codes)
                             .set_scales(scales)
                             .set_offsets(offsets)
                             .set_channels(2)
                             .set_fan_in(128)
                             .set_group_size(64)
                             .set_weight_grid(bsq::weight_grid::offset)
                             .set_scale_kind(bsq::scale_kind::per_group)
                             .set_scale_format(bsq::scale_format::float16);
    const std::vector<unsigned char> packed = bsq::pack(tensor, bsq::format::mlx);
    const std::vector<bsq::part> parts = bsq::parts(tensor, bsq::format::mlx);
    ck_assert_uint_eq(parts.size(), 3);
    ck_assert_str_eq(parts[1].name, "scales");
    ck_assert(parts[2].element_type == static_cast<std::int32_t>(bsq::element_type::float16));
    bsq::tensor back = tensor;
    back.set_codes(read).set_scales(other_scales).set_offsets(other_offsets);
    bsq::unpack(bsq::format::mlx, packed, back);
    ck_assert(read == codes && other_scales == scales && other_offsets == offsets);
    bsq::dequantize(back, values);
    ck_assert(values[0] == 0.5F && values[127] == 0.75F && values[255] == -2.0F);

    ck_assert(bsq::format_by_name("gguf-q4_k") == bsq::format::gguf_q4_k);
    ck_assert(bsq::format_by_name("q4_k") == bsq::format(0));
    ck_assert(bsq::next(bsq::format::gptq) == bsq::format::gptq_v2);
    bsq::message text;
    is(bsq::try_options_for_format(bsq::format::mlx, how.set_group_size(48), &text), bsq::status::range);
    is(bsq::try_dequantize(back, bsq::span<float>(values.data(), 3), &text), bsq::status::size);
    throws(bsq::status::size, text.c_str(), [&] { bsq::dequantize(back, bsq::span<float>(values.data(), 3)); });
}
END_TEST

START_TEST(statistics_travel)
{
    bsq::layer layer = make(), whole = calibrated();
    const bsq::span<const float> input = data().input;
    layer.calibrate(bsq::batch().set_input({input.data(), 300 * N}).set_size(300));
    bsq::layer rest = make();
    rest.calibrate(bsq::batch().set_input({input.data() + 300 * N, 400 * N}).set_size(400));
    const bsq::stats a = layer.acquire_stats(), b = bsq::stats::import(rest.acquire_stats().export_bytes());
    const bsq_stats_t *const parts[] = {a.get(), b.get()};
    const bsq::stats both = bsq::stats::merge(parts);
    ck_assert_double_eq(both.info().rows, double(rows));
    ck_assert_uint_eq(both.export_size(), both.export_bytes().size());

    std::vector<double> h(N * N), merged_h(N * N), mean(N);
    bsq::moments_buffers buffers = bsq::moments_buffers().set_h(h).set_input_mean(mean);
    whole.get_moments(buffers);
    ck_assert_double_eq(buffers.rows, double(rows));
    bsq::layer merged = make(), shared = make(), given = make(), held = make();
    merged.merge_stats(both);
    bsq::moments_buffers merged_buffers = bsq::moments_buffers().set_h(merged_h);
    merged.get_moments(merged_buffers);
    for (std::size_t i = 0; i < h.size(); i++)
        ck_assert_double_eq_tol(merged_h[i], h[i], 1e-6 * (1 + std::abs(h[i])));
    shared.share_stats(both);
    held.merge_stats(both, true);
    ck_assert(bsq::has(held.info(), bsq::state::held_out));
    bsq::layer third = make();
    third.share_input(whole);
    given.set_moments(bsq::moments().set_h(h).set_input_mean(mean).set_rows(double(rows)));
    whole.optimize(), shared.optimize(), third.optimize(), given.optimize();
    ck_assert(third.codes() == whole.codes());
    throws(bsq::status::size, "'h'", [&] { given.set_moments(bsq::moments().set_h({h.data(), N})); });
    throws(bsq::status::size, "'p'", [&] { given.set_moments(bsq::moments().set_h(h).set_p(mean)); });
    bsq::moments_buffers wrong = bsq::moments_buffers().set_input_mean(h);
    throws(bsq::status::size, "'input_mean'", [&] { given.get_moments(wrong); });
}
END_TEST

START_TEST(work_goes_to_several_machines)
{
    bsq::layer whole = make(), sum = make();
    whole.calibrate(all_rows());
    const bsq::stats stats = whole.acquire_stats();
    const std::vector<double> sums = stats.sums();
    ck_assert_uint_eq(sums.size(), stats.sum_count());
    sum.add_sums(sums);
    whole.optimize();
    sum.optimize();
    ck_assert(sum.fingerprint(bsq::fingerprint_of::weights) == whole.fingerprint(bsq::fingerprint_of::weights));
    throws(bsq::status::size, "numbers", [&] { sum.add_sums({sums.data(), sums.size() - 1}); });
    bsq::layer part = whole.slice(1, 2);
    ck_assert_int_eq(part.info().out_channels, 2);
    part.optimize();
    throws(bsq::status::range, "output channels", [&] { part = whole.slice(0, 1000); });
    bsq::tensor_storage storage = whole.get_tensor();
    const bsq::tensor tensor = storage.view();
    const bsq::report found = whole.get_report();
    std::vector<bsq::stage_report> stages;
    std::vector<bsq::channel_report> channels;
    for (std::int32_t i = 0; i < found.stages; i++)
        stages.push_back(whole.get_stage_report(i));
    for (std::int64_t m = 0; m < whole.info().out_channels; m++)
        channels.push_back(whole.get_channel_report(m));
    bsq::layer there = make();
    const std::vector<float> bias = whole.bias();
    there.set_result(tensor, bias, found, stages, channels);
    ck_assert(there.codes() == whole.codes());
    channels.pop_back();
    throws(bsq::status::size, "channels", [&] { there.set_result(tensor, bias, found, stages, channels); });
}
END_TEST

START_TEST(inputs_are_quantized)
{
    const bsq::options options = bsq::options().set_input_bits(8);
    bsq::layer layer = make(options);
    layer.observe(all_rows());
    const bsq::input_quantizer chosen = layer.get_input_quantizer();
    ck_assert_int_eq(chosen.bits, 8);
    std::vector<double> scales(N);
    std::vector<int32_t> zero_points(N);
    layer.get_input_channels(scales, zero_points);
    ck_assert_double_eq(scales[3], chosen.scale);
    ck_assert_int_eq(zero_points[3], chosen.zero_point);
    bsq::layer second = make(options), third = make(options);
    second.set_input_quantizer(chosen);
    ck_assert_double_eq(second.get_input_quantizer().scale, chosen.scale);
    third.set_input_channels(bsq::input_quantizer(chosen).set_zero_point(0), scales, zero_points);
    third.calibrate(all_rows());
    zero_points.pop_back();
    throws(bsq::status::size, "differ", [&] { third.set_input_channels(chosen, scales, zero_points); });
    throws(bsq::status::size, "differ", [&] { third.get_input_channels(scales, zero_points); });
    // A layer whose extents C++ was not told, and a convolution, ask C for their counts.
    bsq::layer adopted(make().release());
    adopted.calibrate(all_rows());
    throws(bsq::status::size, "'input'", [&] { adopted.calibrate(all_rows().set_size(rows - 1)); });
    bsq::layer copy = make().clone();
    throws(bsq::status::size, "'input'", [&] { copy.calibrate(all_rows().set_size(rows - 1)); });
    copy.calibrate(all_rows().set_input({}).set_size(0));
    bsq::layer conv(desc().set_kind(bsq::kind::conv).set_spatial_dims(1), {}, data().weights);
    const bsq::batch pixels = all_rows().set_size(rows / 10).set_spatial({{10, 0, 0}});
    conv.calibrate(pixels);
    throws(bsq::status::size, "'input'", [&] { conv.calibrate(bsq::batch(pixels).set_spatial({{9, 0, 0}})); });
    throws(bsq::status::shape, "", [&] { conv.calibrate(bsq::batch(pixels).set_spatial({{0, 0, 0}})); });
    const bsq::batch_counts counts = layer.counts(all_rows().set_row_weights_kind(bsq::row_weights_kind::per_row));
    ck_assert(counts.input == rows * N && counts.target == rows * M && counts.row_weights == rows);
}
END_TEST

START_TEST(networks)
{
    const bsq::norm norm = bsq::operator_norm(desc(), data().weights, 0.05);
    ck_assert(norm.lower > 0 && norm.lower <= norm.upper);
    throws(bsq::status::range, "tolerance", [] { bsq::operator_norm(desc(), data().weights, 0); });
    throws(bsq::status::size, "M * n", [] { bsq::operator_norm(desc(), {data().weights.data(), 3}, 0.05); });

    bsq::layer layer = calibrated();
    double errors[6] = {0, 0, 0, 4, 2, 1};
    layer.error_table(2, 4, {errors, 3});
    ck_assert(errors[0] > errors[1] && errors[1] > errors[2]);
    const int64_t costs[6] = {2, 3, 4, 2, 3, 4};
    int32_t chosen[2] = {-1, -1};
    const bsq::allocation found = bsq::allocate_bits(errors, costs, {}, 3, 6, chosen);
    ck_assert_int_eq(chosen[0], 0);
    ck_assert_int_eq(chosen[1], 2);
    ck_assert_int_eq(found.cost, 6);
    ck_assert_int_eq(found.outcome, BSQ_OUTCOME_PROVEN);
    throws(bsq::status::size, "'costs'", [&] { bsq::allocate_bits(errors, {costs, 5}, {}, 3, 6, chosen); });
    throws(bsq::status::range, "", [&] { bsq::allocate_bits(errors, costs, {}, 3, 3, chosen); });
    ck_assert_uint_gt(bsq::layer::memory(desc()), M * N * 5);
    ck_assert_int_eq(bsq::version(), BSQ_VERSION);
}
END_TEST

#if __cplusplus >= 202002L
START_TEST(fields_by_name)
{
    int calls = 0;
    auto progress = [&](const bsq_progress_t &) { calls++; };
    bsq::layer layer({.in_channels = N, .out_channels = M}, {.progress = progress, .weight_bits = 2, .effort = 1},
                     data().weights);
    layer.calibrate({.input = data().input, .size = rows});
    layer.optimize();
    ck_assert_int_gt(calls, 0);
    std::vector<int8_t> codes(M * N);
    bsq::tensor tensor{.codes = codes};
    layer.get_tensor(tensor);
    ck_assert_int_eq(tensor.weight_bits, 2);
    const bsq::layer_desc conv{.in_channels = 4, .kernel = {3, 3}, .kind = bsq::kind::conv, .spatial_dims = 2};
    ck_assert(conv.kernel[1] == 3 && conv.stride[1] == 1);
}
END_TEST
#endif

Suite *test_suite()
{
    TCase *tests = tcase_create("bsq.hpp");
    tcase_add_test(tests, defaults_are_those_of_c);
    tcase_add_test(tests, options_come_back);
    tcase_add_test(tests, handles_move);
    tcase_add_test(tests, failures_are_exceptions_and_statuses);
    tcase_add_test(tests, every_status_has_a_name);
    tcase_add_test(tests, progress_stops_and_throws);
    tcase_add_test(tests, calls_nest);
    tcase_add_test(tests, log_lines_come_and_throw);
    tcase_add_test(tests, memory_is_the_hosts);
    tcase_add_test(tests, pool_is_the_hosts);
    tcase_add_test(tests, a_host_in_c_gets_the_same);
    tcase_add_test(tests, results_and_reports);
    tcase_add_test(tests, formats_of_engines);
    tcase_add_test(tests, statistics_travel);
    tcase_add_test(tests, work_goes_to_several_machines);
    tcase_add_test(tests, inputs_are_quantized);
    tcase_add_test(tests, networks);
#if __cplusplus >= 202002L
    tcase_add_test(tests, fields_by_name);
#endif
    return test_suite_of("cpp", tests);
}
