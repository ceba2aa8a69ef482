/* The API as a host sees it that puts a layer's work on several machines: slices, sums, results from elsewhere,
 * fingerprints. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t fingerprint(bsq_layer_t *layer, int32_t what)
{
    int64_t value = 0;

    test_ok(layer, bsq_layer_fingerprint(layer, what, &value));
    return value;
}

static double *sums_of(bsq_layer_t *layer, size_t *count)
{
    bsq_stats_t *stats = NULL;
    double *sums;

    test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
    ck_assert_int_eq(bsq_stats_sum_count(stats, count, NULL), BSQ_OK);
    sums = malloc(*count * sizeof *sums);
    ck_assert_ptr_nonnull(sums);
    ck_assert_int_eq(bsq_stats_get_sums(stats, NULL, sums, *count, NULL), BSQ_OK);
    bsq_stats_release(stats);
    return sums;
}

static void near_all(const double *a, const double *b, int64_t count)
{
    double size = 0.0;

    for (int64_t i = 0; i < count; i++)
        size = fmax(size, fabs(a[i]));
    for (int64_t i = 0; i < count; i++)
        ck_assert_double_eq_tol(a[i], b[i], 1e-12 * size);
}

/* ---- slices ---- */

START_TEST(a_slice_has_the_moments_of_its_channels)
{
    struct test_data data = test_data_linear(7, 5, 700, 4); /* a full tile and rows that do not fill one */
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true), *slice = NULL;
    double h[2][25], p[2][35], mean[2][7], square[2][7];
    bsq_moments_buffers_t moments;

    test_ok(layer, bsq_layer_slice(layer, 2, 3, &slice));
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = h[0], moments.p = p[0], moments.target_mean = mean[0], moments.target_square = square[0];
    test_ok(layer, bsq_layer_get_moments(layer, &moments));
    moments.h = h[1], moments.p = p[1], moments.target_mean = mean[1], moments.target_square = square[1];
    test_ok(slice, bsq_layer_get_moments(slice, &moments));
    ck_assert(moments.rows == 700);
    ck_assert_mem_eq(h[0], h[1], sizeof h[0]);
    near_all(p[0] + 10, p[1], 15);
    near_all(mean[0] + 2, mean[1], 3);
    near_all(square[0] + 2, square[1], 3);
    test_ok(slice, bsq_optimize(slice, NULL));
    bsq_layer_free(layer);
    test_ok(slice, bsq_optimize(slice, NULL)); /* the statistics stay */
    bsq_layer_free(slice);
    test_data_free(&data);
}
END_TEST

START_TEST(a_slice_of_groups_has_their_inputs)
{
    struct test_data data = test_data_conv(40, 3);
    bsq_options_t options;
    bsq_layer_t *layer, *slice = NULL;
    bsq_layer_info_t info;
    struct test_moments whole;
    double h[18 * 18], p[3 * 18];
    double scales[4], own_scales[2];
    bsq_moments_buffers_t moments;
    bsq_batch_t batch;

    bsq_options_init(&options, sizeof options);
    options.input_bits = 5;
    options.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_CHANNEL;
    layer = test_data_layer(&data, &options);
    batch = test_data_batch(&data, 0, data.size, true);
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_layer_slice(layer, 3, 3, &slice));
    bsq_layer_info_init(&info, sizeof info);
    test_ok(slice, bsq_layer_info(slice, &info));
    ck_assert_int_eq(info.groups, 1);
    ck_assert_int_eq(info.in_channels, 2);
    test_ok(layer, bsq_layer_get_input_channels(layer, scales, NULL, 4));
    test_ok(slice, bsq_layer_get_input_channels(slice, own_scales, NULL, 2));
    ck_assert_mem_eq(own_scales, scales + 2, sizeof own_scales);
    whole = test_moments_get(layer, &data, 0, true);
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = h, moments.p = p;
    test_ok(slice, bsq_layer_get_moments(slice, &moments));
    ck_assert_mem_eq(h, whole.h + 18 * 18, sizeof h);
    near_all(whole.p + 3 * 18, p, 3 * 18);
    test_ok(slice, bsq_optimize(slice, NULL));
    test_moments_free(&whole);
    bsq_layer_free(slice);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(slices_that_are_none_are_refused)
{
    struct test_data data = test_data_conv(4, 3);
    bsq_layer_t *layer = test_data_layer(&data, NULL), *slice = layer;
    static const int64_t ranges[][2] = {{-1, 2},        {0, 0},         {0, 7}, {6, 1},
                                        {INT64_MAX, 1}, {3, INT64_MAX}, {1, 3}, {0, 2}};

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        ck_assert_int_eq(bsq_layer_slice(layer, ranges[i][0], ranges[i][1], &slice), BSQ_E_RANGE);
        ck_assert_ptr_null(slice);
    }
    ck_assert_int_eq(bsq_layer_slice(layer, 0, 3, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_slice(NULL, 0, 3, &slice), BSQ_E_ARGUMENT);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- sums ---- */

START_TEST(sums_of_halves_add_up_to_the_whole)
{
    struct test_data data = test_data_conv(60, 9);
    bsq_layer_t *whole = test_data_calibrated(&data, NULL, true), *layer = test_data_layer(&data, NULL);
    struct test_moments a, b;
    double *sum = NULL, *half = NULL;
    size_t count = 0;

    for (int64_t first = 0; first < 60; first += 20) {
        bsq_layer_t *part = test_data_layer(&data, NULL);
        bsq_batch_t batch = test_data_batch(&data, first, 20, true);

        test_ok(part, bsq_layer_calibrate(part, &batch));
        half = sums_of(part, &count);
        for (size_t i = 0; sum && i < count; i++)
            half[i] += sum[i];
        free(sum);
        sum = half;
        bsq_layer_free(part);
    }
    ck_assert(sum[0] == 60.0 * 30.0 && sum[3] == 3.0 && sum[4] == 3.0);
    test_ok(layer, bsq_layer_add_sums(layer, 0, sum, count));
    a = test_moments_get(whole, &data, 0, true);
    b = test_moments_get(layer, &data, 0, true);
    ck_assert(a.rows == b.rows);
    near_all(a.h, b.h, data.groups * data.fan_in * data.fan_in);
    near_all(a.p, b.p, data.channels * data.fan_in);
    near_all(a.input_mean, b.input_mean, data.groups * data.fan_in);
    near_all(a.target_square, b.target_square, data.channels);
    test_ok(layer, bsq_layer_add_sums(layer, 0, sum, count)); /* to those that are there */
    test_moments_free(&b);
    b = test_moments_get(layer, &data, 0, true);
    ck_assert(b.rows == 2 * a.rows);
    near_all(a.h, b.h, data.groups * data.fan_in * data.fan_in);
    test_moments_free(&a);
    test_moments_free(&b);
    free(sum);
    bsq_layer_free(layer);
    bsq_layer_free(whole);
    test_data_free(&data);
}
END_TEST

/* Refuses sums one of which was changed, and leaves the layer as it was. */
static void refuse(bsq_layer_t *layer, double *sums, size_t count, size_t at, double value, bsq_status_t expected)
{
    double before = sums[at];
    int64_t statistics = fingerprint(layer, BSQ_FINGERPRINT_STATISTICS);

    sums[at] = value;
    ck_assert_int_eq(bsq_layer_add_sums(layer, 0, sums, count), expected);
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_STATISTICS) == statistics);
    sums[at] = before;
}

START_TEST(sums_that_cannot_be_are_refused)
{
    struct test_data data = test_data_linear(3, 5, 90, 4);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true);
    bsq_stats_t *stats = NULL;
    bsq_moments_t moments;
    size_t count = 0;
    double *sums = sums_of(layer, &count), h[25] = {0};

    for (size_t i = 0; i < 8; i++) {
        refuse(layer, sums, count, i, NAN, i == 4 ? BSQ_E_SIZE : BSQ_E_NUMERIC);
        refuse(layer, sums, count, i, -1.0, i == 4 ? BSQ_E_SIZE : BSQ_E_NUMERIC);
    }
    refuse(layer, sums, count, 0, 0.5, BSQ_E_NUMERIC);
    refuse(layer, sums, count, 2, 1.0, BSQ_E_NUMERIC); /* (sum r)^2 above N sum r^2 */
    refuse(layer, sums, count, 3, 2.0, BSQ_E_MISMATCH);
    refuse(layer, sums, count, 8, -1.0, BSQ_E_NUMERIC); /* a negative diagonal */
    refuse(layer, sums, count, 9, 1e30, BSQ_E_NUMERIC); /* above it */
    refuse(layer, sums, count, 9, INFINITY, BSQ_E_NUMERIC);
    refuse(layer, sums, count, count - 1, 0.0, BSQ_E_NUMERIC); /* no square of a target that is not 0 */
    ck_assert_int_eq(bsq_layer_add_sums(layer, 0, sums, count - 1), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_layer_add_sums(layer, 0, sums, 3), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_layer_add_sums(layer, 2, sums, count), BSQ_E_RANGE);
    ck_assert_int_eq(bsq_layer_add_sums(layer, 0, NULL, count), BSQ_E_ARGUMENT);
    test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
    ck_assert_int_eq(bsq_stats_get_sums(stats, NULL, sums, count + 1, NULL), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_stats_get_sums(stats, NULL, NULL, count, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_get_sums(NULL, NULL, sums, count, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_sum_count(stats, NULL, NULL), BSQ_E_ARGUMENT);
    bsq_stats_release(stats);
    bsq_moments_init(&moments, sizeof moments);
    for (int i = 0; i < 5; i++)
        h[6 * i] = 1.0;
    moments.h = h; /* of an unknown number of rows */
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
    ck_assert_int_eq(bsq_stats_sum_count(stats, &count, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_stats_get_sums(stats, NULL, sums, count, NULL), BSQ_E_STATE);
    bsq_stats_release(stats);
    free(sums);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- results from elsewhere ---- */

/* All that the calls that read a result give. */
struct whole {
    bsq_tensor_t tensor;
    bsq_report_t report;
    bsq_stage_t stages[64];
    bsq_channel_t channels[16];
    float bias[16];
};

static void read_whole(bsq_layer_t *layer, struct whole *whole)
{
    whole->tensor = test_tensor_get(layer);
    bsq_report_init(&whole->report, sizeof whole->report);
    test_ok(layer, bsq_layer_get_report(layer, &whole->report));
    ck_assert_int_le(whole->report.stages, 64);
    for (int32_t i = 0; i < whole->report.stages; i++) {
        bsq_stage_init(&whole->stages[i], sizeof *whole->stages);
        test_ok(layer, bsq_layer_get_stage_report(layer, i, &whole->stages[i]));
    }
    for (int64_t m = 0; m < whole->tensor.channels; m++) {
        bsq_channel_init(&whole->channels[m], sizeof *whole->channels);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &whole->channels[m]));
    }
    test_ok(layer, bsq_layer_get_bias(layer, whole->bias, (size_t)whole->tensor.channels));
}

static bsq_status_t set_whole(bsq_layer_t *layer, const struct whole *whole)
{
    return bsq_layer_set_result(layer, &whole->tensor, whole->bias, &whole->report, whole->stages, whole->channels);
}

START_TEST(a_result_from_elsewhere_is_the_same_here)
{
    struct test_data data = test_data_linear(7, 12, 700, 4);
    bsq_options_t options;
    bsq_layer_t *there, *here;
    struct whole a, b;

    bsq_options_init(&options, sizeof options);
    options.bias_correction = 1;
    options.weight_grid = BSQ_WEIGHT_GRID_ZERO_POINT;
    there = test_data_calibrated(&data, &options, true);
    here = test_data_layer(&data, &options);
    test_ok(there, bsq_optimize(there, NULL));
    read_whole(there, &a);
    test_ok(here, set_whole(here, &a));
    read_whole(here, &b);
    ck_assert_mem_eq(a.tensor.codes, b.tensor.codes, (size_t)a.tensor.code_count);
    ck_assert_mem_eq(a.tensor.scales, b.tensor.scales, (size_t)a.tensor.scale_count * sizeof(float));
    ck_assert_mem_eq(a.tensor.zero_points, b.tensor.zero_points, (size_t)a.tensor.scale_count * sizeof(int32_t));
    ck_assert_mem_eq(&a.report, &b.report, sizeof a.report);
    ck_assert_mem_eq(a.stages, b.stages, (size_t)a.report.stages * sizeof *a.stages);
    ck_assert_mem_eq(a.channels, b.channels, 7 * sizeof *a.channels);
    ck_assert_mem_eq(a.bias, b.bias, 7 * sizeof *a.bias);
    test_tensor_free(&b.tensor);
    a.report.weight_error = -1.0;
    test_ok(here, set_whole(here, &a));
    read_whole(there, &b);
    test_tensor_free(&a.tensor);
    read_whole(here, &a);
    ck_assert_double_eq_tol(a.report.weight_error, b.report.weight_error, 1e-9);
    test_tensor_free(&a.tensor);
    test_tensor_free(&b.tensor);
    bsq_layer_free(there);
    bsq_layer_free(here);
    test_data_free(&data);
}
END_TEST

START_TEST(results_that_cannot_be_are_refused)
{
    struct test_data data = test_data_linear(7, 12, 90, 4);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false), *other = test_data_layer(&data, NULL);
    struct whole whole;
    size_t count;

    test_ok(layer, bsq_optimize(layer, NULL));
    read_whole(layer, &whole);
    whole.bias[2] = NAN;
    ck_assert_int_eq(set_whole(other, &whole), BSQ_E_NUMERIC);
    whole.bias[2] = 0.0F;
    whole.tensor.channels = 6;
    ck_assert_int_eq(set_whole(other, &whole), BSQ_E_MISMATCH);
    whole.tensor.channels = 7;
    whole.tensor.codes[3] = 100;
    ck_assert_int_eq(set_whole(other, &whole), BSQ_E_RANGE);
    whole.tensor.codes[3] = 0;
    whole.report.stages = -1;
    ck_assert_int_eq(set_whole(other, &whole), BSQ_E_RANGE);
    whole.report.stages = 1;
    ck_assert_int_eq(bsq_layer_set_result(other, &whole.tensor, whole.bias, &whole.report, NULL, whole.channels),
                     BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_set_result(other, &whole.tensor, NULL, &whole.report, whole.stages, whole.channels),
                     BSQ_E_ARGUMENT);
    whole.channels[6].struct_size = 3;
    ck_assert_int_eq(set_whole(other, &whole), BSQ_E_VERSION);
    ck_assert_int_eq(bsq_layer_result_count(other, BSQ_RESULT_CODES, &count), BSQ_E_STATE); /* still none */
    whole.channels[6].struct_size = sizeof *whole.channels;
    test_ok(other, set_whole(other, &whole));
    test_tensor_free(&whole.tensor);
    bsq_layer_free(layer);
    bsq_layer_free(other);
    test_data_free(&data);
}
END_TEST

/* ---- fingerprints ---- */

START_TEST(fingerprints_tell_layers_apart)
{
    struct test_data data = test_data_linear(4, 6, 700, 4);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false), *twin = NULL, *other;
    bsq_batch_t batch = test_data_batch(&data, 0, 1, false);
    int64_t unused;

    test_ok(layer, bsq_layer_clone(layer, &twin));
    for (int32_t what = BSQ_FINGERPRINT_DESCRIPTION; what <= BSQ_FINGERPRINT_STATISTICS; what++)
        ck_assert(fingerprint(layer, what) == fingerprint(twin, what));
    test_ok(twin, bsq_layer_calibrate(twin, &batch));
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_STATISTICS) != fingerprint(twin, BSQ_FINGERPRINT_STATISTICS));
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_WEIGHTS) == fingerprint(twin, BSQ_FINGERPRINT_WEIGHTS));
    data.weights[23] = nextafterf(data.weights[23], 100.0F);
    other = test_data_layer(&data, NULL);
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_WEIGHTS) != fingerprint(other, BSQ_FINGERPRINT_WEIGHTS));
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_STATISTICS) != fingerprint(other, BSQ_FINGERPRINT_STATISTICS));
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_DESCRIPTION) == fingerprint(other, BSQ_FINGERPRINT_DESCRIPTION));
    bsq_layer_free(other);
    data.desc.kind = BSQ_KIND_CONV;
    data.desc.spatial_dims = 1;
    other = test_data_layer(&data, NULL);
    ck_assert(fingerprint(layer, BSQ_FINGERPRINT_DESCRIPTION) != fingerprint(other, BSQ_FINGERPRINT_DESCRIPTION));
    ck_assert_int_eq(bsq_layer_fingerprint(layer, 5, &unused), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_WEIGHTS, NULL), BSQ_E_ARGUMENT);
    bsq_layer_free(other);
    bsq_layer_free(twin);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- memory ---- */

/* Slices, adds sums and sets a result; the first that fails ends it. */
static bsq_status_t run(bsq_layer_t *layer, const struct whole *whole, const double *sums, size_t count)
{
    bsq_layer_t *slice = NULL;
    bsq_stats_t *stats = NULL;
    bsq_options_t options;
    double *own = malloc(count * sizeof *own);
    bsq_status_t status = bsq_layer_slice(layer, 2, 3, &slice);

    bsq_options_init(&options, sizeof options);
    status = status ? status : bsq_layer_get_options(layer, &options);
    status = status ? status : bsq_layer_acquire_stats(layer, 0, &stats);
    status = status ? status : bsq_stats_get_sums(stats, &options, own, count, NULL);
    status = status ? status : set_whole(layer, whole);
    status = status ? status : bsq_layer_add_sums(layer, 0, sums, count);
    bsq_stats_release(stats);
    bsq_layer_free(slice);
    free(own);
    return status;
}

START_TEST(out_of_memory_loses_nothing)
{
    struct test_data data = test_data_linear(7, 12, 700, 4);
    struct test_heap heap;
    bsq_options_t options;
    bsq_layer_t *layer;
    struct whole whole;
    size_t count = 0;
    double *sums;
    bsq_status_t status = BSQ_E_MEMORY;

    bsq_options_init(&options, sizeof options);
    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    layer = test_data_calibrated(&data, &options, true);
    test_ok(layer, bsq_optimize(layer, NULL));
    read_whole(layer, &whole);
    sums = sums_of(layer, &count);
    for (int64_t n = 1; status != BSQ_OK; n++) {
        int64_t blocks = heap.blocks, before = fingerprint(layer, BSQ_FINGERPRINT_STATISTICS);

        heap.calls = heap.failed = 0;
        heap.fail_at = n;
        status = run(layer, &whole, sums, count);
        heap.fail_at = 0;
        ck_assert_int_eq(status, heap.failed ? BSQ_E_MEMORY : BSQ_OK);
        if (status == BSQ_OK) {
            ck_assert_int_gt(n, 8);
            break;
        }
        ck_assert_int_eq(heap.blocks, blocks);
        ck_assert(fingerprint(layer, BSQ_FINGERPRINT_STATISTICS) == before);
    }
    free(sums);
    test_tensor_free(&whole.tensor);
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    test_data_free(&data);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("slices");

    tcase_add_test(tests, a_slice_has_the_moments_of_its_channels);
    tcase_add_test(tests, a_slice_of_groups_has_their_inputs);
    tcase_add_test(tests, slices_that_are_none_are_refused);
    tcase_add_test(tests, sums_of_halves_add_up_to_the_whole);
    tcase_add_test(tests, sums_that_cannot_be_are_refused);
    tcase_add_test(tests, a_result_from_elsewhere_is_the_same_here);
    tcase_add_test(tests, results_that_cannot_be_are_refused);
    tcase_add_test(tests, fingerprints_tell_layers_apart);
    tcase_add_test(tests, out_of_memory_loses_nothing);
    return test_suite_of("api slices", tests);
}
