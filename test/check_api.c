/* The API as a host sees it: life cycle, states and every status. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bsq_options_t options_of(struct test_heap *heap)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    if (heap) {
        test_heap_init(heap);
        test_heap_use(heap, &options);
    }
    return options;
}

/* ---- every status once, with a text ---- */

START_TEST(every_status_is_provoked_with_a_text)
{
    struct test_heap heap;
    bsq_options_t options = options_of(&heap);
    struct test_data data = test_data_linear(4, 8, 40, 1);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, true), bare = test_data_batch(&data, 0, 40, false);
    bsq_layer_t *layer = test_data_layer(&data, &options), *other;
    bsq_stats_t *stats;
    int8_t codes[32];
    size_t size;

    test_fails(layer, BSQ_E_STATE, "statistics", bsq_optimize(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "batch", bsq_layer_calibrate(layer, NULL));
    batch.size = -1;
    test_fails(layer, BSQ_E_SHAPE, "size", bsq_layer_calibrate(layer, &batch));
    batch.size = 40;
    batch.struct_size = 8;
    test_fails(layer, BSQ_E_VERSION, "bsq_batch_t", bsq_layer_calibrate(layer, &batch));
    batch.struct_size = sizeof batch;
    data.input[11] = NAN;
    test_fails(layer, BSQ_E_NUMERIC, "11", bsq_layer_calibrate(layer, &batch));
    data.input[11] = 0.5f;
    heap.fail_at = heap.calls + 1;
    test_fails(layer, BSQ_E_MEMORY, "", bsq_layer_calibrate(layer, &batch));
    ck_assert_str_ne(bsq_layer_error_message(layer), "");
    heap.fail_at = 0;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    ck_assert_str_ne(bsq_layer_error_message(layer), ""); /* of the last failure, until the next */
    test_fails(layer, BSQ_E_STATE, "target", bsq_layer_calibrate(layer, &bare));
    options.weight_bits = 9;
    test_fails(layer, BSQ_E_RANGE, "weight_bits", bsq_layer_set_options(layer, &options));
    options.weight_bits = 4;
    test_ok(layer, bsq_optimize(layer, NULL));
    test_fails(layer, BSQ_E_SIZE, "codes", bsq_layer_get_codes(layer, codes, 31));
    test_ok(layer, bsq_layer_get_codes(layer, codes, 32));
    test_fails(layer, BSQ_E_ARGUMENT, "result", bsq_layer_result_count(layer, 0, &size));
    ck_assert_str_ne(bsq_layer_error_message(layer), "");

    struct test_data wide = test_data_linear(4, 9, 40, 2);

    other = test_data_layer(&wide, &options);
    test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
    test_fails(other, BSQ_E_MISMATCH, "", bsq_layer_merge_stats(other, 0, stats));
    ck_assert_str_ne(bsq_layer_error_message(other), "");

    char text[256] = "";
    bsq_error_t error;
    bsq_stats_t *imported = stats;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);

    char *bytes = malloc(size);

    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_stats_import(bytes, size - 1, &options, &imported, &error), BSQ_E_CORRUPT);
    ck_assert_ptr_null(imported);
    ck_assert_str_ne(text, "");
    ck_assert_int_eq(error.status, BSQ_E_CORRUPT);
    free(bytes);
    bsq_stats_release(stats);
    bsq_layer_free(other);
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    ck_assert_int_eq(heap.foreign, 0);
    test_data_free(&wide);
    test_data_free(&data);
}
END_TEST

/* BSQ_E_CANCELLED, the one that needs a callback. */
static int32_t stop_at_once(const bsq_progress_t *progress, void *opaque)
{
    (void)opaque;
    ck_assert_uint_eq(progress->struct_size, sizeof *progress);
    return 7;
}

START_TEST(progress_callback_cancels)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(4, 8, 40, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);

    options.progress = stop_at_once;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_fails(layer, BSQ_E_CANCELLED, "", bsq_optimize(layer, NULL));
    ck_assert_str_ne(bsq_layer_error_message(layer), "");
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Counts callbacks, and stops at one of them: later answers are no, so that only the first counts. */
struct stop {
    int64_t calls;
    int64_t at;
};

static int32_t stop_once(const bsq_progress_t *progress, void *opaque)
{
    struct stop *stop = opaque;

    (void)progress;
    return ++stop->calls == stop->at;
}

/* Inside of a block, between blocks, and in a series of solves; on one thread and several. */
START_TEST(a_stop_is_asked_for_once)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(24, 80, 400, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    struct stop stop = {0, 0};
    double errors[2];

    options.progress = stop_once;
    options.progress_opaque = &stop;
    options.threads = _i ? 3 : 1;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, NULL));

    int64_t whole = stop.calls;

    ck_assert_int_gt(whole, 3);
    for (int64_t at = 1; at <= whole; at += 1 + whole / 20) {
        stop = (struct stop){0, at};

        bsq_status_t status = bsq_optimize(layer, NULL);

        /* how often several threads call depends on which of them does how much */
        ck_assert(status == BSQ_E_CANCELLED || (_i && status == BSQ_OK && stop.calls < at));
        ck_assert_int_le(stop.calls, at);
        stop = (struct stop){0, at};
        status = bsq_layer_error_table(layer, 3, 4, errors, 2);
        ck_assert(status == BSQ_E_CANCELLED || (status == BSQ_OK && stop.calls < at));
        ck_assert_int_le(stop.calls, at);
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- create ---- */

START_TEST(failed_create_leaves_null_and_a_text)
{
    struct test_heap heap;
    bsq_options_t options = options_of(&heap);
    struct test_data data = test_data_linear(4, 8, 4, 1);
    char text[256] = "", small[8] = "1234567";
    bsq_error_t error;
    bsq_layer_t *layer = (bsq_layer_t *)&data;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    ck_assert_int_eq(bsq_layer_create(NULL, &options, data.weights, NULL, &layer, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(layer);
    ck_assert_ptr_nonnull(strstr(text, "desc"));

    layer = (bsq_layer_t *)&data;
    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, NULL, NULL, &layer, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(layer);
    ck_assert_ptr_nonnull(strstr(text, "weights"));

    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, data.weights, NULL, NULL, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "layer"));
    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, data.weights, NULL, NULL, NULL), BSQ_E_ARGUMENT);

    data.weights[5] = INFINITY;
    layer = (bsq_layer_t *)&data;
    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, data.weights, NULL, &layer, &error), BSQ_E_NUMERIC);
    ck_assert_ptr_null(layer);
    ck_assert_ptr_nonnull(strstr(text, "weights[5]"));
    ck_assert_int_eq(error.status, BSQ_E_NUMERIC);
    data.weights[5] = 0;
    data.bias[3] = NAN;
    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, data.weights, data.bias, &layer, &error), BSQ_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(text, "bias[3]"));

    error.message = small;
    error.capacity = sizeof small;
    ck_assert_int_eq(bsq_layer_create(NULL, NULL, NULL, NULL, &layer, &error), BSQ_E_ARGUMENT);
    ck_assert_uint_eq(strlen(small), 7);

    error.message = text;
    error.capacity = sizeof text;
    ck_assert_int_eq(bsq_layer_create(&data.desc, NULL, data.weights, NULL, &layer, &error), BSQ_OK);
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(error.status, BSQ_OK);
    bsq_layer_free(layer);
    bsq_layer_free(NULL);
    ck_assert_int_eq(heap.blocks, 0);
    test_data_free(&data);
}
END_TEST

START_TEST(create_copies_what_it_is_given)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(4, 8, 60, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    options.threads = 2;
    test_ok(layer, bsq_optimize(layer, NULL));

    uint64_t before = test_hash_result(TEST_HASH_START, layer);
    struct test_data same = test_data_linear(4, 8, 60, 1);
    bsq_layer_t *second = test_data_calibrated(&same, NULL, true);

    memset(same.weights, 0, 4 * 8 * sizeof(float));
    memset(same.bias, 0, 4 * sizeof(float));
    memset(same.input, 0, 60 * 8 * sizeof(float));
    memset(&same.desc, 0, sizeof same.desc);
    test_ok(second, bsq_optimize(second, NULL));
    ck_assert(test_hash_result(TEST_HASH_START, second) == before);
    bsq_layer_free(second);
    bsq_layer_free(layer);
    test_data_free(&same);
    test_data_free(&data);
}
END_TEST

/* ---- call order ---- */

START_TEST(results_need_optimize)
{
    struct test_data data = test_data_linear(2, 3, 4, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL);
    bsq_report_t report;
    bsq_stage_t stage;
    bsq_channel_t channel;
    bsq_tensor_t tensor;
    int8_t bytes[64];
    float floats[16];
    size_t count = 5;

    bsq_tensor_init(&tensor, sizeof tensor);
    bsq_report_init(&report, sizeof report);
    bsq_stage_init(&stage, sizeof stage);
    bsq_channel_init(&channel, sizeof channel);
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_result_count(layer, BSQ_RESULT_CODES, &count));
    ck_assert_uint_eq(count, 0);
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_codes(layer, bytes, 6));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_scales(layer, floats, 2));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_bias(layer, floats, 2));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_dequantized(layer, floats, 6));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_planes(layer, bytes, 18));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_tensor(layer, &tensor));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_report(layer, &report));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_stage_report(layer, 0, &stage));
    test_fails(layer, BSQ_E_STATE, "bsq_optimize", bsq_layer_get_channel_report(layer, 0, &channel));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(only_rounding_needs_no_statistics)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(3, 5, 40, 1);
    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 0, false);
    bsq_report_t report;
    double errors[7];

    bsq_report_init(&report, sizeof report);
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_optimize(layer, &report));
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_layer_error_table(layer, 2, 8, errors, 7));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_optimize(layer, &report));
    options.effort = 0;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.warnings & BSQ_WARNING_NO_STATISTICS);
    options.effort = 5;
    options.solver = BSQ_SOLVER_ROUND;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_double_eq_tol(report.error, report.weight_error, 1e-12);
    test_ok(layer, bsq_layer_error_table(layer, 2, 8, errors, 7));
    for (int i = 1; i < 7; i++)
        ck_assert(errors[i] < errors[i - 1]);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(results_stay_until_the_next_optimize)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(4, 8, 60, 3);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);
    bsq_batch_t batch = test_data_batch(&data, 0, 30, true);
    bsq_tensor_t tensor;
    int8_t codes[32];
    double table[7];

    test_ok(layer, bsq_optimize(layer, NULL));

    uint64_t before = test_hash_result(TEST_HASH_START, layer);

    options.weight_bits = 8;
    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    ck_assert(test_hash_result(TEST_HASH_START, layer) == before);
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_layer_error_table(layer, 2, 8, table, 7));
    ck_assert(test_hash_result(TEST_HASH_START, layer) == before);
    test_ok(layer, bsq_layer_get_codes(layer, codes, 32));
    tensor = test_tensor_get(layer);
    ck_assert_int_eq(tensor.weight_bits, 4);
    ck_assert_mem_eq(codes, tensor.codes, 32);
    test_tensor_free(&tensor);
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert(test_hash_result(TEST_HASH_START, layer) != before);
    tensor = test_tensor_get(layer);
    ck_assert_int_eq(tensor.weight_bits, 8);
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* With the effort that a table has at most, 5 or 2 for these fan-ins, and without looking for optima: these have the least J,
 * and with it, but for the damping, the least error. */
START_TEST(error_table_is_what_optimize_reports)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(_i == 3 ? 33 : 4, _i % 2 ? 70 : 10, 200, 3);
    bsq_layer_t *layer;
    double table[7], untouched[2] = {-5, -6};

    options.effort = _i < 4 ? 9 : 1;
    options.scale_kind = _i < 4 ? BSQ_SCALE_KIND_PER_CHANNEL : BSQ_SCALE_KIND_PER_TENSOR;
    if (_i == 6)
        options.solver = BSQ_SOLVER_ROUND;
    layer = test_data_calibrated(&data, &options, true);
    test_ok(layer, bsq_layer_error_table(layer, 2, 8, table, 7));
    for (int32_t bits = 2; bits <= 8; bits++) {
        bsq_report_t report;

        bsq_report_init(&report, sizeof report);
        if (_i < 4)
            options.effort = _i % 2 == 0 ? 5 : 2;
        options.weight_bits = bits;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        bool proven = report.channels_proven > 0;

        ck_assert_msg(table[bits - 2] >= report.error * (1 - (proven ? 1e-3 : 1e-6)), "%d bits: %.17g, %.17g",
                      (int)bits, table[bits - 2], report.error);
        ck_assert_msg(table[bits - 2] <= report.error * (proven ? 2 : 1 + 1e-9), "%d bits: %.17g, %.17g", (int)bits,
                      table[bits - 2], report.error);
        ck_assert_int_eq(report.weight_bits, bits);
    }
    test_fails(layer, BSQ_E_RANGE, "bits", bsq_layer_error_table(layer, 1, 2, untouched, 2));
    test_fails(layer, BSQ_E_RANGE, "bits", bsq_layer_error_table(layer, 8, 9, untouched, 2));
    test_fails(layer, BSQ_E_RANGE, "bits", bsq_layer_error_table(layer, 4, 3, untouched, 0));
    test_fails(layer, BSQ_E_SIZE, "count", bsq_layer_error_table(layer, 4, 4, untouched, 2));
    test_fails(layer, BSQ_E_SIZE, "count", bsq_layer_error_table(layer, 3, 5, untouched, 2));
    test_fails(layer, BSQ_E_ARGUMENT, "errors", bsq_layer_error_table(layer, 4, 4, NULL, 1));
    ck_assert(untouched[0] == -5 && untouched[1] == -6);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- set_options ---- */

START_TEST(options_that_may_not_change)
{
    struct test_heap heap, second;
    bsq_options_t options = options_of(&heap), changed;
    struct test_data data = test_data_linear(3, 5, 40, 1);

    options.input_bits = 8;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, false);

    changed = options;
    test_heap_init(&second);
    test_heap_use(&second, &changed);
    test_fails(layer, BSQ_E_STATE, "allocator", bsq_layer_set_options(layer, &changed));
    test_fails(layer, BSQ_E_STATE, "allocator", bsq_layer_set_options(layer, NULL));
    changed = options;
    changed.input_bits = 6;
    test_ok(layer, bsq_layer_set_options(layer, &changed));
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    changed = options;
    changed.input_bits = 0;
    test_fails(layer, BSQ_E_STATE, "input_bits", bsq_layer_set_options(layer, &changed));
    changed = options;
    changed.input_type = BSQ_INPUT_TYPE_SIGNED;
    test_fails(layer, BSQ_E_STATE, "input_type", bsq_layer_set_options(layer, &changed));
    changed = options;
    changed.input_clip = BSQ_INPUT_CLIP_PERCENTILE;
    test_fails(layer, BSQ_E_STATE, "input_clip", bsq_layer_set_options(layer, &changed));
    changed = options;
    changed.input_percentile = 0.99;
    test_fails(layer, BSQ_E_STATE, "input_percentile", bsq_layer_set_options(layer, &changed));
    changed = options;
    changed.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    changed.group_size = 6;
    test_fails(layer, BSQ_E_RANGE, "group_size", bsq_layer_set_options(layer, &changed));
    changed.group_size = 5;
    changed.weight_bits = 2;
    changed.threads = 3;
    changed.damping = 0.5;
    test_ok(layer, bsq_layer_set_options(layer, &changed));
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    ck_assert_int_eq(second.calls, 0);
    test_data_free(&data);
}
END_TEST

/* ---- input quantizer ---- */

START_TEST(input_quantizer_from_observation)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(3, 5, 40, 1);

    options.input_bits = 8;
    options.input_clip = BSQ_INPUT_CLIP_MINIMUM_MAXIMUM;
    options.input_type = BSQ_INPUT_TYPE_SIGNED;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, false), none = test_data_batch(&data, 0, 0, false);
    bsq_input_quantizer_t quantizer, fixed;
    double largest = 0;

    for (int i = 0; i < 200; i++)
        largest = fmax(largest, fabs((double)data.input[i]));
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    bsq_input_quantizer_init(&fixed, sizeof fixed);
    test_fails(layer, BSQ_E_STATE, "bsq_layer_observe", bsq_layer_get_input_quantizer(layer, &quantizer));
    test_fails(layer, BSQ_E_STATE, "bsq_layer_observe", bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_layer_observe(layer, &none));
    test_fails(layer, BSQ_E_STATE, "bsq_layer_observe", bsq_layer_get_input_quantizer(layer, &quantizer));
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &quantizer));
    ck_assert_int_eq(quantizer.bits, 8);
    ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_SIGNED);
    ck_assert_int_eq(quantizer.zero_point, 0);
    ck_assert_double_eq_tol(quantizer.scale, largest / 127.5, largest * 0.006);
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_observe(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_set_input_quantizer(layer, &quantizer));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &fixed));
    ck_assert_mem_eq(&quantizer, &fixed, sizeof fixed);
    test_ok(layer, bsq_optimize(layer, NULL));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* H of a layer with a quantizer of the host is that of the inputs quantized by hand. */
START_TEST(input_quantizer_given_by_the_host)
{
    struct test_data data = test_data_linear(3, 5, 40, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, false);
    bsq_input_quantizer_t quantizer, back;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    bsq_input_quantizer_init(&back, sizeof back);
    test_fails(layer, BSQ_E_STATE, "input_bits", bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &back));
    ck_assert_int_eq(back.bits, 0);
    quantizer.scale = 0.25;
    quantizer.bits = 4;
    quantizer.type = BSQ_INPUT_TYPE_ZERO_POINT;
    quantizer.zero_point = 16;
    test_fails(layer, BSQ_E_RANGE, "zero_point", bsq_layer_set_input_quantizer(layer, &quantizer));
    quantizer.zero_point = 6;
    test_ok(layer, bsq_layer_set_input_quantizer(layer, &quantizer));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &back));
    ck_assert_mem_eq(&quantizer, &back, sizeof back);
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_set_input_quantizer(layer, &quantizer));

    struct test_moments moments = test_moments_get(layer, &data, 0, false);

    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            double sum = 0;

            for (int r = 0; r < 40; r++) {
                double a = fmin(fmax(rint((double)data.input[r * 5 + i] / 0.25) + 6, 0), 15) - 6;
                double b = fmin(fmax(rint((double)data.input[r * 5 + j] / 0.25) + 6, 0), 15) - 6;

                sum += a * b * 0.0625 / 40;
            }
            ck_assert_double_eq_tol(moments.h[i * 5 + j], sum, 1e-6);
        }
    test_moments_free(&moments);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A failing first batch fixes nothing. */
START_TEST(failed_calibrate_does_not_fix_the_quantizer)
{
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(3, 5, 40, 1);

    options.input_bits = 4;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, false);

    test_ok(layer, bsq_layer_observe(layer, &batch));
    data.input[0] = NAN;
    test_fails(layer, BSQ_E_NUMERIC, "0", bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_NUMERIC, "0", bsq_layer_observe(layer, &batch));
    data.input[0] = 1;
    test_ok(layer, bsq_layer_observe(layer, &batch));
    options.input_bits = 5;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_observe(layer, &batch));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- log ---- */

struct log {
    int32_t warnings, infos;
};

static void count_lines(int32_t level, const char *text, void *opaque)
{
    struct log *log = opaque;

    ck_assert_uint_gt(strlen(text), 0);
    ck_assert_ptr_null(strchr(text, '\n'));
    log->warnings += level == BSQ_LOG_WARNING;
    log->infos += level == BSQ_LOG_INFO;
}

START_TEST(log_tells_warnings_and_what_was_done)
{
    struct log log = {0, 0};
    bsq_options_t options = options_of(NULL);
    struct test_data data = test_data_linear(3, 8, 60, 1);

    options.log = count_lines;
    options.log_opaque = &log;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t few = test_data_batch(&data, 0, 8, false), rest = test_data_batch(&data, 8, 52, false);
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_calibrate(layer, &few));
    ck_assert_int_eq(log.infos, 1);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.warnings & BSQ_WARNING_FEW_ROWS);
    ck_assert_int_eq(log.infos, 2);
    ck_assert_int_eq(log.warnings, 1);
    test_ok(layer, bsq_layer_calibrate(layer, &rest));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(!(report.warnings & BSQ_WARNING_FEW_ROWS));
    ck_assert_double_eq_tol(report.rows, 60, 1e-9);
    ck_assert_double_eq_tol(report.rows_per_input, 7.5, 1e-9);
    ck_assert_int_eq(log.warnings, report.warnings ? 2 : 1);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("life");

    tcase_add_test(tests, every_status_is_provoked_with_a_text);
    tcase_add_test(tests, progress_callback_cancels);
    tcase_add_loop_test(tests, a_stop_is_asked_for_once, 0, 2);
    tcase_add_test(tests, failed_create_leaves_null_and_a_text);
    tcase_add_test(tests, create_copies_what_it_is_given);
    tcase_add_test(tests, results_need_optimize);
    tcase_add_test(tests, only_rounding_needs_no_statistics);
    tcase_add_test(tests, results_stay_until_the_next_optimize);
    tcase_add_loop_test(tests, error_table_is_what_optimize_reports, 0, 7);
    tcase_add_test(tests, options_that_may_not_change);
    tcase_add_test(tests, input_quantizer_from_observation);
    tcase_add_test(tests, input_quantizer_given_by_the_host);
    tcase_add_test(tests, failed_calibrate_does_not_fix_the_quantizer);
    tcase_add_test(tests, log_tells_warnings_and_what_was_done);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api", all());
}
