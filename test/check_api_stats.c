/* The API as a host sees it: clones, shared inputs, a host's own moments, merging. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_both(bsq_layer_t *layer)
{
    return test_hash_stats(test_hash_stats(TEST_HASH_START, layer, 0), layer, 1);
}

static void add_samples(bsq_layer_t *layer, const struct test_data *data, int64_t first, int64_t count, bool target,
                        int32_t held_out)
{
    bsq_batch_t batch = test_data_batch(data, first, count, target);

    batch.held_out = held_out;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
}

/* ---- moments against their definition ---- */

START_TEST(moments_are_means_over_rows)
{
    struct test_data data = test_data_linear(3, 5, 700, 4);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true);
    struct test_moments moments = test_moments_get(layer, &data, 0, true);

    ck_assert(moments.rows == 700);
    for (int i = 0; i < 5; i++) {
        double mean = 0;

        for (int r = 0; r < 700; r++)
            mean += (double)data.input[r * 5 + i] / 700;
        ck_assert_double_eq_tol(moments.input_mean[i], mean, 1e-6);
        for (int j = 0; j < 5; j++) {
            double sum = 0, size = sqrt(moments.h[i * 5 + i] * moments.h[j * 5 + j]);

            for (int r = 0; r < 700; r++)
                sum += (double)data.input[r * 5 + i] * (double)data.input[r * 5 + j] / 700;
            ck_assert_double_eq_tol(moments.h[i * 5 + j], sum, 1e-6 * size);
        }
    }
    for (int m = 0; m < 3; m++) {
        double mean = 0, square = 0;

        for (int r = 0; r < 700; r++) {
            double y = (double)data.target[r * 3 + m] - (double)data.bias[m];

            mean += y / 700;
            square += y * y / 700;
        }
        ck_assert_double_eq_tol(moments.target_mean[m], mean, 1e-6);
        ck_assert_double_eq_tol(moments.target_square[m], square, 1e-6 * square);
        for (int i = 0; i < 5; i++) {
            double sum = 0;

            for (int r = 0; r < 700; r++)
                sum += ((double)data.target[r * 3 + m] - (double)data.bias[m]) * (double)data.input[r * 5 + i] / 700;
            ck_assert_double_eq_tol(moments.p[m * 5 + i], sum, 1e-6 * sqrt(square * moments.h[i * 5 + i]));
        }
    }
    test_moments_free(&moments);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(moments_that_are_not_there)
{
    struct test_data data = test_data_linear(3, 5, 40, 4);
    bsq_layer_t *layer = test_data_layer(&data, NULL);
    double values[25];
    bsq_moments_t moments;

    bsq_moments_init(&moments, sizeof moments);
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_layer_get_stats(layer, &moments));
    add_samples(layer, &data, 0, 40, false, 0);
    test_ok(layer, bsq_layer_get_stats(layer, &moments));
    ck_assert(moments.rows == 40);
    moments.p = values;
    test_fails(layer, BSQ_E_STATE, "target", bsq_layer_get_stats(layer, &moments));
    moments.p = NULL;
    moments.target_square = values;
    test_fails(layer, BSQ_E_STATE, "target", bsq_layer_get_stats(layer, &moments));
    moments.target_square = NULL;
    moments.held_out = 1;
    test_fails(layer, BSQ_E_STATE, "held-out", bsq_layer_get_stats(layer, &moments));
    moments.held_out = 0;
    moments.h = values;
    test_ok(layer, bsq_layer_get_stats(layer, &moments));
    moments.rows = 0;
    test_ok(layer, bsq_layer_set_stats(layer, &moments));
    moments.input_mean = values;
    test_fails(layer, BSQ_E_STATE, "means", bsq_layer_get_stats(layer, &moments));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Moments that were read give the same layer when they are set: in another layer, and with the same result. */
START_TEST(moments_survive_a_round_trip)
{
    struct test_data data = test_data_conv(8, 4);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true), *other = test_data_layer(&data, NULL);
    struct test_moments moments = test_moments_get(layer, &data, 0, true);
    bsq_moments_t set;

    bsq_moments_init(&set, sizeof set);
    set.h = moments.h;
    set.input_mean = moments.input_mean;
    set.p = moments.p;
    set.target_mean = moments.target_mean;
    set.target_square = moments.target_square;
    set.rows = moments.rows;
    test_ok(other, bsq_layer_set_stats(other, &set));

    struct test_moments back = test_moments_get(other, &data, 0, true);

    ck_assert(back.rows == moments.rows);
    for (int i = 0; i < 2 * 18 * 18; i++)
        ck_assert_double_eq_tol(back.h[i], moments.h[i], 1e-12 * fabs(moments.h[i]) + 1e-15);
    for (int i = 0; i < 6 * 18; i++)
        ck_assert_double_eq_tol(back.p[i], moments.p[i], 1e-12 * fabs(moments.p[i]) + 1e-15);
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(other, bsq_optimize(other, NULL));

    int8_t a[108], b[108];

    test_ok(layer, bsq_layer_get_codes(layer, a, 108));
    test_ok(other, bsq_layer_get_codes(other, b, 108));
    ck_assert_mem_eq(a, b, 108);
    add_samples(other, &data, 0, 4, true, 0);
    test_moments_free(&back);
    test_moments_free(&moments);
    bsq_layer_free(layer);
    bsq_layer_free(other);
    test_data_free(&data);
}
END_TEST

/* ---- clone ---- */

START_TEST(clone_is_the_same_layer_without_results)
{
    struct test_heap heap;
    struct test_data data = test_data_linear(4, 6, 90, 4);
    bsq_options_t options;
    bsq_layer_t *clone, *again;
    size_t count;

    bsq_options_init(&options, sizeof options);
    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    options.weight_bits = 3;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    add_samples(layer, &data, 0, 50, true, 0);
    add_samples(layer, &data, 50, 20, true, 1);
    test_ok(layer, bsq_optimize(layer, NULL));

    uint64_t stats = hash_both(layer), result = test_hash_result(TEST_HASH_START, layer);

    test_ok(layer, bsq_layer_clone(layer, &clone));
    test_fails(clone, BSQ_E_STATE, "bsq_optimize", bsq_layer_result_count(clone, BSQ_RESULT_CODES, &count));
    ck_assert(hash_both(clone) == stats);
    add_samples(clone, &data, 70, 20, true, 0);
    ck_assert(hash_both(clone) != stats);
    ck_assert(hash_both(layer) == stats);
    ck_assert(test_hash_result(TEST_HASH_START, layer) == result);
    test_ok(layer, bsq_layer_clone(layer, &again));
    bsq_layer_free(layer);
    test_ok(again, bsq_optimize(again, NULL));
    ck_assert(test_hash_result(TEST_HASH_START, again) == result);
    bsq_layer_free(again);
    bsq_layer_free(clone);
    ck_assert_int_eq(heap.blocks, 0);
    test_data_free(&data);
}
END_TEST

/* A clone takes over what was observed, whether the quantizer is open, given or fixed. */
START_TEST(clone_keeps_the_input_quantizer)
{
    struct test_data data = test_data_linear(4, 6, 90, 4);
    bsq_batch_t batch = test_data_batch(&data, 0, 90, false);
    bsq_options_t options;
    bsq_layer_t *clone;
    bsq_input_quantizer_t a, b;

    bsq_options_init(&options, sizeof options);
    options.input_bits = 5;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    bsq_input_quantizer_init(&a, sizeof a);
    bsq_input_quantizer_init(&b, sizeof b);
    test_ok(layer, bsq_layer_observe(layer, &batch));
    for (int state = 0; state < 3; state++) {
        test_ok(layer, bsq_layer_clone(layer, &clone));
        test_ok(layer, bsq_layer_get_input_quantizer(layer, &a));
        test_ok(clone, bsq_layer_get_input_quantizer(clone, &b));
        ck_assert_mem_eq(&a, &b, sizeof a);
        ck_assert_int_eq(bsq_layer_observe(clone, &batch), state == 2 ? BSQ_E_STATE : BSQ_OK);
        test_ok(clone, bsq_layer_calibrate(clone, &batch));
        bsq_layer_free(clone);
        a.scale *= 2;
        if (state == 0)
            test_ok(layer, bsq_layer_set_input_quantizer(layer, &a));
        else if (state == 1)
            test_ok(layer, bsq_layer_calibrate(layer, &batch));
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- share_input ---- */

/* Layers that read one tensor, each with weights and targets of its own, give the codes that each gives alone. */
START_TEST(layers_that_share_an_input)
{
    enum { LAYERS = 3 };
    struct test_data data[LAYERS];
    bsq_layer_t *source, *layer[LAYERS], *alone[LAYERS];

    for (int k = 0; k < LAYERS; k++) {
        data[k] = test_data_linear(3 + k, 6, 1500, (uint64_t)(20 + k));
        memcpy(data[k].input, data[0].input, 1500 * 6 * sizeof(float));
        alone[k] = test_data_layer(&data[k], NULL);
        layer[k] = test_data_layer(&data[k], NULL);
        add_samples(alone[k], &data[k], 0, 1000, true, 0);
        add_samples(alone[k], &data[k], 1000, 500, true, 1);
        test_ok(alone[k], bsq_optimize(alone[k], NULL));
    }
    source = test_data_layer(&data[0], NULL);
    add_samples(source, &data[0], 0, 1000, false, 0);
    add_samples(source, &data[0], 1000, 500, false, 1);
    for (int k = 0; k < LAYERS; k++) {
        struct test_moments shared;

        test_ok(layer[k], bsq_layer_share_input(layer[k], source));
        shared = test_moments_get(layer[k], &data[k], 1, false);
        ck_assert(shared.rows == 500);
        test_moments_free(&shared);
        test_fails(layer[k], BSQ_E_STATE, "statistics", bsq_layer_share_input(layer[k], source));
    }
    add_samples(source, &data[0], 0, 100, false, 0);
    for (int k = 0; k < LAYERS; k++) {
        struct test_output a, b;

        add_samples(layer[k], &data[k], 0, 300, true, 0);
        test_fails(layer[k], BSQ_E_STATE, "", bsq_optimize(layer[k], NULL));
        ck_assert_str_ne(bsq_layer_error_message(layer[k]), "");
        add_samples(layer[k], &data[k], 300, 700, true, 0);
        add_samples(layer[k], &data[k], 1000, 500, true, 1);
        test_ok(layer[k], bsq_optimize(layer[k], NULL));
        a = test_output_get(alone[k], &data[k], NULL);
        b = test_output_get(layer[k], &data[k], NULL);
        ck_assert_mem_eq(a.codes, b.codes, a.code_count);
        ck_assert_mem_eq(a.scales, b.scales, a.scale_count * sizeof *a.scales);
        ck_assert_double_eq_tol(a.report.error, b.report.error, 1e-9);
        ck_assert_double_eq_tol(a.report.held_out_error, b.report.held_out_error, 1e-9);
        test_output_free(&a);
        test_output_free(&b);
    }
    bsq_layer_free(source);
    for (int k = 0; k < LAYERS; k++) {
        bsq_layer_free(layer[k]);
        bsq_layer_free(alone[k]);
        test_data_free(&data[k]);
    }
}
END_TEST

/* There is one H for all of them. */
START_TEST(sharing_takes_no_second_h)
{
    enum { N = 600 };
    struct test_heap heap;
    struct test_data data = test_data_linear(2, N, 600, 1);
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    test_heap_init(&heap);
    test_heap_use(&heap, &options);

    bsq_layer_t *source = test_data_calibrated(&data, &options, false), *layer = test_data_layer(&data, &options);
    int64_t before = heap.bytes;

    test_ok(layer, bsq_layer_share_input(layer, source));
    add_samples(layer, &data, 0, 600, true, 0);
    ck_assert_int_lt(heap.bytes - before, (int64_t)N * N * (int64_t)sizeof(double) / 2);
    bsq_layer_free(source);
    test_ok(layer, bsq_layer_error_table(layer, 4, 4, (double[1]){0}, 1));
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    test_data_free(&data);
}
END_TEST

START_TEST(sharing_needs_the_same_input)
{
    struct test_data data = test_data_conv(4, 1), other = test_data_linear(3, 18, 40, 1);
    bsq_layer_t *source = test_data_layer(&data, NULL), *layer = test_data_layer(&data, NULL);
    bsq_layer_t *linear = test_data_layer(&other, NULL), *strided;
    bsq_input_quantizer_t quantizer;
    double errors[1];

    test_fails(layer, BSQ_E_STATE, "source", bsq_layer_share_input(layer, source));
    test_fails(layer, BSQ_E_STATE, "source", bsq_layer_share_input(layer, layer));
    add_samples(source, &data, 0, 4, true, 0);
    test_fails(linear, BSQ_E_MISMATCH, "source", bsq_layer_share_input(linear, source));
    data.desc.stride[0] = 2;
    strided = test_data_layer(&data, NULL);
    test_fails(strided, BSQ_E_MISMATCH, "source", bsq_layer_share_input(strided, source));
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 0.5;
    quantizer.bits = 8;
    quantizer.type = BSQ_INPUT_TYPE_SIGNED;
    test_ok(strided, bsq_layer_set_input_quantizer(strided, &quantizer));
    bsq_layer_free(strided);
    data.desc.stride[0] = 1;
    strided = test_data_layer(&data, NULL);
    test_ok(strided, bsq_layer_set_input_quantizer(strided, &quantizer));
    test_fails(strided, BSQ_E_MISMATCH, "quantizer", bsq_layer_share_input(strided, source));
    test_ok(layer, bsq_layer_share_input(layer, source));
    test_ok(layer, bsq_layer_error_table(layer, 3, 3, errors, 1));
    bsq_layer_free(strided);
    bsq_layer_free(linear);
    bsq_layer_free(layer);
    bsq_layer_free(source);
    test_data_free(&other);
    test_data_free(&data);
}
END_TEST

/* The number of input bits is enough: the quantizer comes with the inputs. */
START_TEST(sharing_brings_the_quantizer)
{
    struct test_data data = test_data_linear(3, 6, 40, 1);
    bsq_options_t options, fewer;
    bsq_input_quantizer_t a, b;

    bsq_options_init(&options, sizeof options);
    options.input_bits = 6;
    fewer = options;
    fewer.input_bits = 5;

    bsq_layer_t *source = test_data_calibrated(&data, &options, false), *layer = test_data_layer(&data, &options);
    bsq_layer_t *other = test_data_layer(&data, &fewer), *real = test_data_layer(&data, NULL);

    bsq_input_quantizer_init(&a, sizeof a);
    bsq_input_quantizer_init(&b, sizeof b);
    test_ok(layer, bsq_layer_share_input(layer, source));
    test_ok(source, bsq_layer_get_input_quantizer(source, &a));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &b));
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_lt(bsq_layer_share_input(other, source), BSQ_OK);
    test_fails(real, BSQ_E_MISMATCH, "quantizer", bsq_layer_share_input(real, source));
    bsq_layer_free(real);
    bsq_layer_free(other);
    bsq_layer_free(layer);
    bsq_layer_free(source);
    test_data_free(&data);
}
END_TEST

/* ---- merge ---- */

/* Into an empty layer a merge is exact, so the next batch continues where the other process stopped. */
START_TEST(merging_continues_or_adds)
{
    struct test_data data = test_data_conv(40, 6);
    bsq_layer_t *whole = test_data_layer(&data, NULL), *first = test_data_layer(&data, NULL);
    bsq_layer_t *second = test_data_layer(&data, NULL), *resumed = test_data_layer(&data, NULL);
    bsq_stats_t *stats, *imported;
    size_t size;

    add_samples(whole, &data, 0, 40, true, 0);
    add_samples(first, &data, 0, 17, true, 0);
    add_samples(second, &data, 17, 23, true, 0);
    test_ok(first, bsq_layer_acquire_stats(first, 0, &stats));
    ck_assert_int_eq(bsq_stats_export_size(stats, &size), BSQ_OK);

    void *bytes = malloc(size);

    ck_assert_int_eq(bsq_stats_export(stats, bytes, size - 1), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_stats_export(stats, bytes, size), BSQ_OK);
    ck_assert_int_eq(bsq_stats_import(bytes, size, NULL, NULL, &imported), BSQ_OK);
    free(bytes);
    bsq_stats_release(stats);
    test_ok(resumed, bsq_layer_merge_stats(resumed, 0, imported));
    add_samples(resumed, &data, 17, 23, true, 0);
    ck_assert(hash_both(resumed) == hash_both(whole));
    test_ok(second, bsq_layer_merge_stats(second, 0, imported));
    bsq_stats_release(imported);

    struct test_moments a = test_moments_get(whole, &data, 0, true), b = test_moments_get(second, &data, 0, true);

    ck_assert_double_eq_tol(a.rows, b.rows, 1e-9);
    for (int i = 0; i < 2 * 18 * 18; i++)
        ck_assert_double_eq_tol(a.h[i], b.h[i], 2e-6);
    for (int i = 0; i < 6 * 18; i++)
        ck_assert_double_eq_tol(a.p[i], b.p[i], 2e-6);
    test_moments_free(&a);
    test_moments_free(&b);
    bsq_layer_free(whole);
    bsq_layer_free(first);
    bsq_layer_free(second);
    bsq_layer_free(resumed);
    test_data_free(&data);
}
END_TEST

START_TEST(merging_needs_the_same_kind)
{
    struct test_data data = test_data_linear(3, 6, 40, 1);
    bsq_layer_t *with = test_data_calibrated(&data, NULL, true), *without = test_data_calibrated(&data, NULL, false);
    bsq_layer_t *quantized = test_data_layer(&data, NULL);
    bsq_input_quantizer_t quantizer;
    bsq_stats_t *stats;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 0.5;
    quantizer.bits = 8;
    quantizer.type = BSQ_INPUT_TYPE_SIGNED;
    test_ok(with, bsq_layer_acquire_stats(with, 0, &stats));

    uint64_t before = hash_both(without);

    test_fails(without, BSQ_E_MISMATCH, "", bsq_layer_merge_stats(without, 0, stats));
    ck_assert(hash_both(without) == before);
    test_ok(quantized, bsq_layer_set_input_quantizer(quantized, &quantizer));
    test_fails(quantized, BSQ_E_MISMATCH, "", bsq_layer_merge_stats(quantized, 0, stats));
    test_ok(with, bsq_layer_merge_stats(with, 0, stats));

    struct test_moments twice = test_moments_get(with, &data, 0, true);

    ck_assert_double_eq_tol(twice.rows, 80, 1e-9);
    test_ok(with, bsq_layer_merge_stats(with, 1, stats));
    bsq_stats_release(stats);
    test_moments_free(&twice);
    bsq_layer_free(quantized);
    bsq_layer_free(without);
    bsq_layer_free(with);
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("stats");

    tcase_add_test(tests, moments_are_means_over_rows);
    tcase_add_test(tests, moments_that_are_not_there);
    tcase_add_test(tests, moments_survive_a_round_trip);
    tcase_add_test(tests, clone_is_the_same_layer_without_results);
    tcase_add_test(tests, clone_keeps_the_input_quantizer);
    tcase_add_test(tests, layers_that_share_an_input);
    tcase_add_test(tests, sharing_takes_no_second_h);
    tcase_add_test(tests, sharing_needs_the_same_input);
    tcase_add_test(tests, sharing_brings_the_quantizer);
    tcase_add_test(tests, merging_continues_or_adds);
    tcase_add_test(tests, merging_needs_the_same_kind);
    return tests;
}

int main(void)
{
    return test_run("api stats", all());
}
