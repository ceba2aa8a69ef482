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
    bsq_moments_buffers_t moments;
    bsq_moments_t set;

    bsq_moments_buffers_init(&moments, sizeof moments);
    bsq_moments_init(&set, sizeof set);
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_layer_get_moments(layer, &moments));
    add_samples(layer, &data, 0, 40, false, 0);
    test_ok(layer, bsq_layer_get_moments(layer, &moments));
    ck_assert(moments.rows == 40);
    moments.p = values;
    test_fails(layer, BSQ_E_STATE, "target", bsq_layer_get_moments(layer, &moments));
    moments.p = NULL;
    moments.target_square = values;
    test_fails(layer, BSQ_E_STATE, "target", bsq_layer_get_moments(layer, &moments));
    moments.target_square = NULL;
    moments.held_out = 1;
    test_fails(layer, BSQ_E_STATE, "held-out", bsq_layer_get_moments(layer, &moments));
    moments.held_out = 0;
    moments.h = values;
    test_ok(layer, bsq_layer_get_moments(layer, &moments));
    set.h = values;
    test_ok(layer, bsq_layer_set_moments(layer, &set));
    moments.input_mean = values;
    test_fails(layer, BSQ_E_STATE, "means", bsq_layer_get_moments(layer, &moments));
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
    test_ok(other, bsq_layer_set_moments(other, &set));

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
    test_fails(linear, BSQ_E_MISMATCH, "geometry", bsq_layer_share_input(linear, source));
    data.desc.stride[0] = 2;
    strided = test_data_layer(&data, NULL);
    test_fails(strided, BSQ_E_MISMATCH, "geometry", bsq_layer_share_input(strided, source));
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
    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);

    void *bytes = malloc(size);

    ck_assert_int_eq(bsq_stats_export(stats, bytes, size - 1, NULL), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_stats_import(bytes, size, NULL, &imported, NULL), BSQ_OK);
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

/* ---- snapshots under other outputs ---- */

/* The same statistics, or read back from their bytes. */
static bsq_stats_t *acquire(bsq_layer_t *layer, int32_t held_out, bool imported)
{
    bsq_stats_t *stats, *read;
    size_t size;

    test_ok(layer, bsq_layer_acquire_stats(layer, held_out, &stats));
    if (!imported)
        return stats;
    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);

    void *bytes = malloc(size);

    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_stats_import(bytes, size, NULL, &read, NULL), BSQ_OK);
    free(bytes);
    bsq_stats_release(stats);
    return read;
}

/* Data of another number of outputs on the same inputs. */
static struct test_data other_outputs(const struct test_data *data, int outputs, int inputs, int rows)
{
    struct test_data other = test_data_linear(outputs, inputs, rows, 99);

    memcpy(other.input, data->input, (size_t)(inputs * rows) * sizeof *other.input);
    return other;
}

static void expect_same_codes(bsq_layer_t *a, bsq_layer_t *b, size_t count)
{
    int8_t codes[2][256];

    ck_assert_uint_le(count, sizeof codes[0]);
    test_ok(a, bsq_optimize(a, NULL));
    test_ok(b, bsq_optimize(b, NULL));
    test_ok(a, bsq_layer_get_codes(a, codes[0], count));
    test_ok(b, bsq_layer_get_codes(b, codes[1], count));
    ck_assert_mem_eq(codes[0], codes[1], count);
}

/* Shared inputs that one layer hands on to another with more outputs: what follows are targets of the new layer. */
START_TEST(shared_inputs_under_other_outputs)
{
    struct test_data few = test_data_linear(2, 6, 1200, 7), many = other_outputs(&few, 40, 6, 1200);
    bsq_layer_t *source = test_data_calibrated(&few, NULL, false), *shared = test_data_layer(&few, NULL);
    bsq_layer_t *layer = test_data_layer(&many, NULL), *alone = test_data_calibrated(&many, NULL, true);

    test_ok(shared, bsq_layer_share_input(shared, source));

    bsq_stats_t *stats = acquire(shared, 0, _i);

    test_ok(layer, bsq_layer_merge_stats(layer, 0, stats));
    bsq_stats_release(stats);
    add_samples(layer, &many, 0, 1200, true, 0);
    expect_same_codes(layer, alone, 240);
    add_samples(shared, &few, 0, 1200, true, 0);
    stats = acquire(shared, 0, _i);
    test_fails(layer, BSQ_E_MISMATCH, "output channels", bsq_layer_merge_stats(layer, 0, stats));
    test_fails(layer, BSQ_E_MISMATCH, "output channels", bsq_layer_merge_stats(layer, 1, stats));
    bsq_stats_release(stats);
    bsq_layer_free(alone);
    bsq_layer_free(layer);
    bsq_layer_free(shared);
    bsq_layer_free(source);
    test_data_free(&many);
    test_data_free(&few);
}
END_TEST

/* Inputs of a layer's own, without targets: a layer with other outputs goes on from them, bit for bit. */
START_TEST(own_inputs_under_other_outputs)
{
    struct test_data few = test_data_linear(2, 6, 1200, 7), many = other_outputs(&few, 40, 6, 1200);
    bsq_layer_t *source = test_data_layer(&few, NULL), *layer = test_data_layer(&many, NULL);
    bsq_layer_t *whole = test_data_calibrated(&many, NULL, false);

    add_samples(source, &few, 0, 700, false, 0);

    bsq_stats_t *stats = acquire(source, 0, _i);
    uint64_t before = hash_both(source);

    test_ok(layer, bsq_layer_merge_stats(layer, 0, stats));
    bsq_stats_release(stats);
    add_samples(layer, &many, 700, 500, false, 0);
    ck_assert(hash_both(layer) == hash_both(whole));
    ck_assert(hash_both(source) == before);
    bsq_layer_free(whole);
    bsq_layer_free(layer);
    bsq_layer_free(source);
    test_data_free(&many);
    test_data_free(&few);
}
END_TEST

/* Query, key and value go on sharing after an import, and so do slices of one layer's outputs. */
START_TEST(inputs_are_shared_from_a_snapshot)
{
    struct test_data data = test_data_linear(5, 6, 1200, 7), slice = other_outputs(&data, 3, 6, 1200);
    bsq_layer_t *source = test_data_layer(&data, NULL), *layer = test_data_layer(&slice, NULL);
    bsq_layer_t *alone = test_data_layer(&slice, NULL);
    struct test_output a, b;

    for (int held_out = 0; held_out < 2; held_out++) {
        add_samples(source, &data, held_out * 800, held_out ? 400 : 800, true, held_out);
        add_samples(alone, &slice, held_out * 800, held_out ? 400 : 800, true, held_out);

        bsq_stats_t *stats = acquire(source, held_out, _i);

        test_ok(layer, bsq_layer_share_stats(layer, held_out, stats));
        test_fails(layer, BSQ_E_STATE, "already", bsq_layer_share_stats(layer, held_out, stats));
        bsq_stats_release(stats);
    }
    bsq_layer_free(source);
    for (int held_out = 0; held_out < 2; held_out++)
        add_samples(layer, &slice, held_out * 800, held_out ? 400 : 800, true, held_out);
    expect_same_codes(layer, alone, 18);
    a = test_output_get(alone, &slice, NULL);
    b = test_output_get(layer, &slice, NULL);
    ck_assert_double_eq_tol(a.report.held_out_error, b.report.held_out_error, 1e-9);
    test_output_free(&a);
    test_output_free(&b);
    bsq_layer_free(alone);
    bsq_layer_free(layer);
    test_data_free(&slice);
    test_data_free(&data);
}
END_TEST

/* As many rows are not enough: targets must come with the inputs that are shared. */
START_TEST(targets_of_other_inputs)
{
    struct test_data data = test_data_linear(2, 6, 1200, 7);
    bsq_layer_t *source = test_data_calibrated(&data, NULL, false), *layer = test_data_layer(&data, NULL);

    test_ok(layer, bsq_layer_share_input(layer, source));
    for (int i = 0; i < 1200 * 6; i++)
        data.input[i] *= 100;
    for (int i = 0; i < 1200 * 2; i++)
        data.target[i] = data.input[i / 2 * 6];
    add_samples(layer, &data, 0, 1200, true, 0);
    test_fails(layer, BSQ_E_STATE, "other inputs", bsq_optimize(layer, NULL));
    bsq_layer_free(layer);
    bsq_layer_free(source);
    test_data_free(&data);
}
END_TEST

/* A convolution that looks at one pixel is a linear layer over pixels. */
START_TEST(pixels_are_rows)
{
    enum { PIXELS = 12, SAMPLES = 60, ROWS = PIXELS * SAMPLES, INPUTS = 6, OUTPUTS = 4 };
    struct test_data linear = test_data_linear(OUTPUTS, INPUTS, ROWS, 3),
                     conv = test_data_linear(OUTPUTS, INPUTS, ROWS, 3);
    bsq_layer_t *source, *layer, *alone = test_data_calibrated(&linear, NULL, true);
    bool first = _i & 1;
    bsq_batch_t batch;

    conv.desc.kind = BSQ_KIND_CONV;
    conv.desc.spatial_dims = 2;
    conv.desc.activation_layout = first ? BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST : BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    conv.desc.weight_layout = _i & 2 ? BSQ_WEIGHT_LAYOUT_OHWI : BSQ_WEIGHT_LAYOUT_OIHW;
    conv.desc.dilation[1] = 5;
    for (int row = 0; first && row < ROWS; row++)
        for (int c = 0; c < INPUTS; c++)
            conv.input[(row / PIXELS * INPUTS + c) * PIXELS + row % PIXELS] = linear.input[row * INPUTS + c];
    for (int row = 0; first && row < ROWS; row++)
        for (int c = 0; c < OUTPUTS; c++)
            conv.target[(row / PIXELS * OUTPUTS + c) * PIXELS + row % PIXELS] = linear.target[row * OUTPUTS + c];
    bsq_batch_init(&batch, sizeof batch);
    batch.size = SAMPLES;
    batch.spatial[0] = 3;
    batch.spatial[1] = 4;
    batch.input = conv.input;
    source = test_data_layer(_i & 4 ? &linear : &conv, NULL);
    layer = test_data_layer(_i & 4 ? &conv : &linear, NULL);
    if (_i & 4)
        add_samples(source, &linear, 0, ROWS, false, 0);
    else
        test_ok(source, bsq_layer_calibrate(source, &batch));
    test_ok(layer, bsq_layer_share_input(layer, source));
    batch.target = conv.target;
    if (_i & 4)
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
    else
        add_samples(layer, &linear, 0, ROWS, true, 0);
    expect_same_codes(layer, alone, OUTPUTS * INPUTS);
    conv.desc.stride[0] = 2;

    bsq_layer_t *strided = test_data_layer(&conv, NULL);

    test_fails(strided, BSQ_E_MISMATCH, "geometry", bsq_layer_share_input(strided, source));
    bsq_layer_free(strided);
    bsq_layer_free(alone);
    bsq_layer_free(layer);
    bsq_layer_free(source);
    test_data_free(&conv);
    test_data_free(&linear);
}
END_TEST

/* ---- without a layer ---- */

START_TEST(snapshots_are_merged_in_order)
{
    enum { SHARDS = 4 };
    static const int first[SHARDS + 1] = {0, 5, 17, 18, 40};
    struct test_data data = test_data_conv(40, 6), other = test_data_linear(2, 6, 40, 1);
    bsq_layer_t *in_turn = test_data_layer(&data, NULL), *at_once = test_data_layer(&data, NULL), *stranger;
    bsq_stats_t *shards[SHARDS], *merged;
    const bsq_stats_t *list[SHARDS];
    char text[200];
    bsq_error_t error;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    for (int k = 0; k < SHARDS; k++) {
        bsq_layer_t *layer = test_data_layer(&data, NULL);

        add_samples(layer, &data, first[k], first[k + 1] - first[k], true, 0);
        list[k] = shards[k] = acquire(layer, 0, k % 2);
        bsq_layer_free(layer);
        test_ok(in_turn, bsq_layer_merge_stats(in_turn, 0, shards[k]));
    }
    ck_assert_int_eq(bsq_stats_merge(list, SHARDS, NULL, &merged, &error), BSQ_OK);
    ck_assert_str_eq(text, "");
    test_ok(at_once, bsq_layer_merge_stats(at_once, 0, merged));
    ck_assert(hash_both(at_once) == hash_both(in_turn));
    bsq_stats_release(merged);
    ck_assert_int_eq(bsq_stats_merge(list, 0, NULL, &merged, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(merged);
    ck_assert_ptr_nonnull(strstr(text, "count"));
    stranger = test_data_calibrated(&other, NULL, true);
    bsq_stats_release(shards[2]);
    list[2] = shards[2] = acquire(stranger, 0, false);
    ck_assert_int_eq(bsq_stats_merge(list, SHARDS, NULL, &merged, &error), BSQ_E_MISMATCH);
    ck_assert_ptr_nonnull(strstr(text, "geometry"));
    list[2] = NULL;
    ck_assert_int_eq(bsq_stats_merge(list, SHARDS, NULL, &merged, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "[2]"));
    ck_assert_int_eq(bsq_stats_merge(list, 2, NULL, NULL, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "merged"));
    ck_assert_int_eq(bsq_stats_export(shards[0], text, 7, &error), BSQ_E_SIZE);
    ck_assert_ptr_nonnull(strstr(text, "7 bytes"));
    ck_assert_int_eq(bsq_stats_export_size(NULL, NULL, &error), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "stats"));
    for (int k = 0; k < SHARDS; k++)
        bsq_stats_release(shards[k]);
    bsq_layer_free(stranger);
    bsq_layer_free(at_once);
    bsq_layer_free(in_turn);
    test_data_free(&other);
    test_data_free(&data);
}
END_TEST

START_TEST(snapshots_say_what_they_hold)
{
    struct test_data data = test_data_conv(4, 1), linear = test_data_linear(3, 6, 40, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true), *quantized = test_data_layer(&linear, NULL);
    bsq_layer_t *shared = test_data_layer(&linear, NULL);
    bsq_input_quantizer_t quantizer;
    bsq_stats_info_t info;
    bsq_stats_t *stats = acquire(layer, 0, _i);

    bsq_stats_info_init(&info, sizeof info);
    ck_assert_int_eq(bsq_stats_info(stats, &info, NULL), BSQ_OK);
    ck_assert_int_eq(info.in_channels, data.desc.in_channels);
    ck_assert_int_eq(info.out_channels, data.desc.out_channels);
    ck_assert_int_eq(info.groups, data.desc.groups);
    ck_assert_int_eq(info.fan_in, data.fan_in);
    ck_assert_mem_eq(info.kernel, data.desc.kernel, sizeof info.kernel);
    ck_assert_mem_eq(info.pad_end, data.desc.pad_end, sizeof info.pad_end);
    ck_assert_int_eq(info.kind, BSQ_KIND_CONV);
    ck_assert_int_eq(info.spatial_dims, data.desc.spatial_dims);
    ck_assert(info.rows > 0 && info.effective_rows == info.rows && info.target_rows == info.rows);
    ck_assert(info.has_target == 1 && info.has_means == 1 && info.shares_inputs == 0);
    ck_assert(info.input_bits == 0 && info.input_scale == 0 && info.input_type == 0 && info.input_scale_kind == 0);
    bsq_stats_release(stats);

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 0.25;
    quantizer.bits = 5;
    quantizer.type = BSQ_INPUT_TYPE_ZERO_POINT;
    quantizer.zero_point = 9;
    test_ok(quantized, bsq_layer_set_input_quantizer(quantized, &quantizer));
    test_ok(shared, bsq_layer_set_input_quantizer(shared, &quantizer));
    add_samples(quantized, &linear, 0, 40, false, 0);
    test_ok(shared, bsq_layer_share_input(shared, quantized));
    add_samples(shared, &linear, 0, 30, true, 0);
    stats = acquire(shared, 0, _i);
    ck_assert_int_eq(bsq_stats_info(stats, &info, NULL), BSQ_OK);
    ck_assert(info.rows == 40 && info.target_rows == 30 && info.shares_inputs == 1 && info.has_target == 1);
    ck_assert(info.kind == BSQ_KIND_LINEAR && info.spatial_dims == 0 && info.input_scale == 0.25);
    ck_assert_int_eq(info.input_bits, 5);
    ck_assert_int_eq(info.input_type, BSQ_INPUT_TYPE_ZERO_POINT);
    ck_assert_int_eq(info.input_zero_point, 9);
    ck_assert_int_eq(info.input_scale_kind, BSQ_INPUT_SCALE_KIND_PER_TENSOR);
    info.struct_size = 8;
    ck_assert_int_eq(bsq_stats_info(stats, &info, NULL), BSQ_E_VERSION);
    ck_assert_int_eq(bsq_stats_info(NULL, &info, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_info(stats, NULL, NULL), BSQ_E_ARGUMENT);
    bsq_stats_release(stats);
    bsq_layer_free(shared);
    bsq_layer_free(quantized);
    bsq_layer_free(layer);
    test_data_free(&linear);
    test_data_free(&data);
}
END_TEST

/* ---- batches without rows ---- */

START_TEST(empty_batches_fix_nothing)
{
    struct test_data data = test_data_linear(3, 6, 40, 1);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, true), none = test_data_batch(&data, 0, 0, true);
    float weights[40] = {0};
    bsq_options_t options;
    bsq_stats_t *stats;

    bsq_options_init(&options, sizeof options);
    options.input_bits = 6;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &none));
    batch.row_weights = weights;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "statistics", bsq_layer_acquire_stats(layer, 0, &stats));
    batch.row_weights = NULL;
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &none));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_observe(layer, &batch));
    bsq_layer_free(layer);
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
    tcase_add_loop_test(tests, shared_inputs_under_other_outputs, 0, 2);
    tcase_add_loop_test(tests, own_inputs_under_other_outputs, 0, 2);
    tcase_add_loop_test(tests, inputs_are_shared_from_a_snapshot, 0, 2);
    tcase_add_test(tests, targets_of_other_inputs);
    tcase_add_loop_test(tests, pixels_are_rows, 0, 8);
    tcase_add_test(tests, snapshots_are_merged_in_order);
    tcase_add_loop_test(tests, snapshots_say_what_they_hold, 0, 2);
    tcase_add_test(tests, empty_batches_fix_nothing);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api stats", all());
}
