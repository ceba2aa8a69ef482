/* Results as tensors: read, put back, judged; and what a layer says of itself. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    return options;
}

static bsq_report_t new_report(void)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    return report;
}

static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/* ---- out of a layer and back ---- */

static const struct kind {
    int32_t kind, format, grid, bits;
    int64_t group;
    int64_t scales; /* of 5 x 11 */
} kinds[] = {
    {BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_FORMAT_FLOAT32, BSQ_WEIGHT_GRID_SYMMETRIC, 4, 0, 1},
    {BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, BSQ_WEIGHT_GRID_FULL, 3, 0, 5},
    {BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_POWER_OF_TWO, BSQ_WEIGHT_GRID_SYMMETRIC, 2, 0, 5},
    {BSQ_SCALE_KIND_PER_GROUP, BSQ_SCALE_FORMAT_FLOAT16, BSQ_WEIGHT_GRID_FULL, 4, 4, 15},
};

enum { KINDS = sizeof kinds / sizeof *kinds, CODES = 55 };

static bsq_options_t options_of(const struct kind *kind)
{
    bsq_options_t options = defaults();

    options.scale_kind = kind->kind;
    options.scale_format = kind->format;
    options.weight_grid = kind->grid;
    options.weight_bits = kind->bits;
    options.group_size = kind->group;
    return options;
}

START_TEST(tensors_say_what_they_are)
{
    bsq_options_t options = options_of(&kinds[_i]);
    struct test_data data = test_data_linear(5, 11, 60, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);
    int8_t codes[CODES];
    float scales[15];
    bsq_tensor_t tensor;

    test_ok(layer, bsq_optimize(layer, NULL));
    bsq_tensor_init(&tensor, sizeof tensor);
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    ck_assert(!tensor.codes && !tensor.scales && !tensor.zero_points && !tensor.offsets && !tensor.levels);
    ck_assert(tensor.channels == 5 && tensor.fan_in == 11 && tensor.group_size == (kinds[_i].group ? 4 : 11));
    ck_assert(tensor.weight_bits == kinds[_i].bits && tensor.weight_grid == kinds[_i].grid);
    ck_assert(tensor.scale_kind == kinds[_i].kind && tensor.scale_format == kinds[_i].format);
    ck_assert(tensor.code_count == CODES && tensor.scale_count == kinds[_i].scales);
    ck_assert(tensor.zero_point_count == 0 && tensor.offset_count == 0 && tensor.level_count == 0);

    bsq_tensor_t filled = test_tensor_get(layer);

    test_ok(layer, bsq_layer_get_codes(layer, codes, CODES));
    test_ok(layer, bsq_layer_get_scales(layer, scales, (size_t)kinds[_i].scales));
    ck_assert_mem_eq(codes, filled.codes, CODES);
    ck_assert_mem_eq(scales, filled.scales, (size_t)kinds[_i].scales * sizeof *scales);

    /* Counts are exact, and nothing is written where one is not. */
    for (int off = -1; off <= 1; off += 2) {
        bsq_tensor_t wrong = filled;

        memset(filled.codes, 0x55, CODES);
        wrong.scale_count += off;
        test_fails(layer, BSQ_E_SIZE, "scale_count", bsq_layer_get_tensor(layer, &wrong));
        ck_assert_int_eq(filled.codes[0], 0x55);
        wrong = filled;
        wrong.code_count += off;
        test_fails(layer, BSQ_E_SIZE, "code_count", bsq_layer_get_tensor(layer, &wrong));
    }
    int32_t zero_point = 7;
    bsq_tensor_t wrong = filled;

    wrong.zero_points = &zero_point;
    wrong.zero_point_count = 1;
    test_fails(layer, BSQ_E_SIZE, "zero_point_count", bsq_layer_get_tensor(layer, &wrong));
    test_tensor_free(&filled);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A result that is judged is worth what its report said, and put into another layer it gives the same everything. */
START_TEST(results_come_back)
{
    bsq_options_t options = options_of(&kinds[_i % KINDS]);
    struct test_data data = test_data_linear(5, 11, 60, 2);
    bool with_bias = _i >= KINDS;

    options.bias_correction = with_bias;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 40, true), held_out = test_data_batch(&data, 40, 20, true);
    bsq_report_t report = new_report(), judged = new_report(), loaded = new_report();
    float bias[2][5], weights[2][CODES];
    bsq_channel_t channels[2];

    held_out.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &held_out));

    bsq_layer_t *other;

    test_ok(layer, bsq_layer_clone(layer, &other));
    test_ok(layer, bsq_optimize(layer, &report));

    bsq_tensor_t tensor = test_tensor_get(layer);
    uint64_t before = test_hash_result(TEST_HASH_START, layer);

    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &judged));
    ck_assert(test_hash_result(TEST_HASH_START, layer) == before);
    ck_assert(close_to(judged.objective, report.objective) && close_to(judged.error, report.error));
    ck_assert(close_to(judged.objective_start, report.objective_start));
    ck_assert(close_to(judged.error_start, report.error_start) && close_to(judged.energy, report.energy));
    ck_assert(close_to(judged.held_out_error, report.held_out_error));
    ck_assert(close_to(judged.weight_error, report.weight_error));
    ck_assert(close_to(judged.error_uncorrected, report.error_uncorrected));
    ck_assert(judged.damping == report.damping && judged.rows == report.rows);
    ck_assert(judged.weight_bits == report.weight_bits && judged.weight_grid == report.weight_grid);
    ck_assert(judged.solver == 0 && judged.effort == 0 && judged.stages == 0 && judged.outcome == BSQ_OUTCOME_NONE);

    /* The other layer has other options; the tensor says what matters. */
    options = defaults();
    options.bias_correction = with_bias;
    options.weight_bits = 8;
    options.solver = BSQ_SOLVER_PAPER;
    test_ok(other, bsq_layer_set_options(other, &options));
    test_ok(other, bsq_layer_set_tensor(other, &tensor));
    test_ok(other, bsq_layer_get_report(other, &loaded));
    ck_assert(close_to(loaded.error, report.error) && close_to(loaded.error_corrected, report.error_corrected));

    bsq_tensor_t again = test_tensor_get(other);

    ck_assert_mem_eq(again.codes, tensor.codes, CODES);
    ck_assert_mem_eq(again.scales, tensor.scales, (size_t)tensor.scale_count * sizeof *tensor.scales);
    ck_assert(again.scale_format == tensor.scale_format && again.group_size == tensor.group_size);
    test_ok(layer, bsq_layer_get_bias(layer, bias[0], 5));
    test_ok(other, bsq_layer_get_bias(other, bias[1], 5));
    test_ok(layer, bsq_layer_get_dequantized(layer, weights[0], CODES));
    test_ok(other, bsq_layer_get_dequantized(other, weights[1], CODES));
    for (int m = 0; m < 5; m++)
        ck_assert_float_eq_tol(bias[0][m], bias[1][m], 1e-6f);
    ck_assert_mem_eq(weights[0], weights[1], sizeof weights[0]);
    bsq_channel_init(&channels[0], sizeof channels[0]);
    bsq_channel_init(&channels[1], sizeof channels[1]);
    test_ok(layer, bsq_layer_get_channel_report(layer, 3, &channels[0]));
    test_ok(other, bsq_layer_get_channel_report(other, 3, &channels[1]));
    ck_assert(close_to(channels[0].error, channels[1].error));
    ck_assert_int_eq(channels[1].outcome, BSQ_OUTCOME_NONE);
    test_tensor_free(&again);
    test_tensor_free(&tensor);
    bsq_layer_free(other);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* By the definition: |W x - scale code x|^2 over the rows, of any codes. */
START_TEST(judged_by_the_definition)
{
    struct test_data data = test_data_linear(5, 11, 60, 3);
    struct test_random random = test_random_seed(4);
    bsq_options_t options = defaults();
    bsq_report_t report = new_report();
    int8_t codes[CODES];
    float scales[5];
    bsq_tensor_t tensor = test_tensor_codes(4, 5, 11, codes);
    double error = 0, energy = 0;

    options.asymmetry = 0;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);

    for (int i = 0; i < CODES; i++)
        codes[i] = (int8_t)(test_random_below(&random, 16) - 8);
    for (int m = 0; m < 5; m++)
        scales[m] = 0.01f + (float)test_random_uniform(&random);
    tensor.scales = scales;
    tensor.scale_count = 5;
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    for (int r = 0; r < 60; r++)
        for (int m = 0; m < 5; m++) {
            double wanted = 0, given = 0;

            for (int i = 0; i < 11; i++) {
                wanted += (double)data.weights[m * 11 + i] * data.input[r * 11 + i];
                given += (double)scales[m] * codes[m * 11 + i] * data.input[r * 11 + i];
            }
            error += (wanted - given) * (wanted - given);
            energy += wanted * wanted;
        }
    ck_assert_double_eq_tol(report.error, error / energy, 1e-6 * error / energy);
    ck_assert_double_eq_tol(report.energy, energy / 60, 1e-6 * energy / 60);
    ck_assert_int_eq(report.channels_improved, 0);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(bad_tensors_are_refused)
{
    struct test_data data = test_data_linear(5, 11, 60, 5);
    bsq_options_t options = options_of(&kinds[3]);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    test_ok(layer, bsq_optimize(layer, NULL));

    uint64_t before = test_hash_result(TEST_HASH_START, layer);
    bsq_tensor_t good = test_tensor_get(layer), bad;
    bsq_report_t report = new_report();
    float scale = good.scales[6];
    const float wrong[] = {0.0f, -scale, NAN, INFINITY, 1e-6f, 0.1f, 70000.0f};

#define BAD(status, word, change)                                                                                      \
    do {                                                                                                               \
        bad = good;                                                                                                    \
        change;                                                                                                        \
        test_fails(layer, status, word, bsq_layer_set_tensor(layer, &bad));                                            \
        test_fails(layer, status, word, bsq_layer_evaluate(layer, &bad, &report));                                     \
    } while (0)

    BAD(BSQ_E_MISMATCH, "5 x 11", bad.channels = 4);
    BAD(BSQ_E_MISMATCH, "5 x 11", bad.fan_in = 12);
    BAD(BSQ_E_SHAPE, "positive", bad.fan_in = 0);
    BAD(BSQ_E_SIZE, "code_count", bad.code_count--);
    BAD(BSQ_E_SIZE, "scale_count", bad.scale_count++);
    BAD(BSQ_E_ARGUMENT, "codes", bad.codes = NULL);
    BAD(BSQ_E_ARGUMENT, "scales", bad.scales = NULL);
    BAD(BSQ_E_RANGE, "group_size", bad.group_size = 0);
    BAD(BSQ_E_RANGE, "group_size", bad.group_size = 12);
    BAD(BSQ_E_RANGE, "weight_bits", bad.weight_bits = 9);
    BAD(BSQ_E_ARGUMENT, "weight_grid", bad.weight_grid = BSQ_SCALE_KIND_PER_GROUP);
    BAD(BSQ_E_ARGUMENT, "scale_kind", bad.scale_kind = 0);
    BAD(BSQ_E_ARGUMENT, "scale_format", bad.scale_format = BSQ_SCALE_KIND_PER_TENSOR);
    BAD(BSQ_E_VERSION, "bsq_tensor_t", bad.struct_size = 8);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        good.scales[6] = wrong[i];
        BAD(BSQ_E_RANGE, "scales[6]", (void)0);
    }
    good.scales[6] = scale;
    good.codes[54] = 8;
    BAD(BSQ_E_RANGE, "index 54", (void)0);
    good.codes[54] = -8;
    BAD(BSQ_E_RANGE, "outside of -7..7", bad.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC);
    report.struct_size = 8;
    test_fails(layer, BSQ_E_VERSION, "bsq_report_t", bsq_layer_evaluate(layer, &good, &report));
    ck_assert(test_hash_result(TEST_HASH_START, layer) == before);
    test_tensor_free(&good);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Without statistics a tensor is judged by the weights alone, whatever would be solved for, and whatever the memory held. */
START_TEST(tensors_need_no_statistics)
{
    struct test_data data = test_data_linear(5, 11, 60, 6);
    bsq_options_t options = defaults();
    bsq_report_t report = new_report(), judged = new_report();
    bsq_layer_t *layer, *rounded;
    struct test_heap heap;

    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    options.lower_bound = _i & 1;
    options.solver = _i & 2 ? BSQ_SOLVER_ROUND : BSQ_SOLVER_AUTO;
    layer = test_data_layer(&data, &options);
    options = defaults();
    options.solver = BSQ_SOLVER_ROUND;
    rounded = test_data_layer(&data, &options);
    test_ok(rounded, bsq_optimize(rounded, &report));

    bsq_tensor_t tensor = test_tensor_get(rounded);

    test_ok(layer, bsq_layer_set_tensor(layer, &tensor));
    test_ok(layer, bsq_layer_get_report(layer, &judged));
    ck_assert(close_to(judged.error, report.error) && (judged.warnings & BSQ_WARNING_NO_STATISTICS));
    options = defaults();
    test_heap_use(&heap, &options);
    options.bias_correction = 1;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_fails(layer, BSQ_E_STATE, "means", bsq_layer_set_tensor(layer, &tensor));
    test_tensor_free(&tensor);
    bsq_layer_free(rounded);
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    test_data_free(&data);
}
END_TEST

/* ---- packing without a layer ---- */

START_TEST(packing_looks_at_the_grid)
{
    int8_t codes[4] = {-8, 7, 0, 1}, back[4] = {9, 9, 9, 9};
    unsigned char packed[2];
    char text[128];
    bsq_error_t error;
    bsq_tensor_t tensor = test_tensor_codes(4, 1, 4, codes), other = test_tensor_codes(4, 1, 4, back);

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    ck_assert_int_eq(bsq_tensor_pack(&tensor, BSQ_FORMAT_ONNX_INT4, packed, 2, &error), BSQ_OK);
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_ONNX_INT4, packed, 2, &other, &error), BSQ_OK);
    ck_assert_mem_eq(codes, back, 4);
    memset(back, 9, sizeof back);
    tensor.weight_grid = other.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_ONNX_INT4, packed, 2, &other, &error), BSQ_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(text, "-7..7"));
    ck_assert_int_eq(back[3], 9);
    ck_assert_int_eq(bsq_tensor_pack(&tensor, BSQ_FORMAT_ONNX_INT4, packed, 2, &error), BSQ_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(text, "index 0"));
    tensor.code_count = 5;
    ck_assert_int_eq(bsq_tensor_pack(&tensor, BSQ_FORMAT_ONNX_INT4, packed, 2, &error), BSQ_E_SIZE);
    ck_assert_ptr_nonnull(strstr(text, "code_count"));
    ck_assert_str_eq(bsq_format_string(BSQ_FORMAT_ONNX_INT4), "onnx_int4");
}
END_TEST

/* ---- what a layer says of itself ---- */

START_TEST(options_can_be_read)
{
    struct test_data data = test_data_linear(2, 3, 10, 1);
    bsq_options_t options = options_of(&kinds[3]), read = defaults();

    options.group_size = 2;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    test_ok(layer, bsq_layer_get_options(layer, &read));
    ck_assert_mem_eq(&read, &options, sizeof read);
    read.struct_size = 16;
    test_fails(layer, BSQ_E_VERSION, "bsq_options_t", bsq_layer_get_options(layer, &read));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

static int32_t state_of(bsq_layer_t *layer)
{
    bsq_layer_info_t info;

    bsq_layer_info_init(&info, sizeof info);
    test_ok(layer, bsq_layer_info(layer, &info));
    return info.state;
}

START_TEST(info_follows_the_layer)
{
    struct test_data data = test_data_conv(2, 1);
    bsq_options_t options = defaults();
    bsq_batch_t batch = test_data_batch(&data, 0, 1, true);
    bsq_layer_info_t info;

    options.input_bits = 8;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    int32_t known = BSQ_STATE_STATISTICS | BSQ_STATE_TARGETS | BSQ_STATE_MEANS | BSQ_STATE_QUANTIZER_FIXED;

    bsq_layer_info_init(&info, sizeof info);
    test_ok(layer, bsq_layer_info(layer, &info));
    ck_assert(info.in_channels == 4 && info.out_channels == 6 && info.groups == 2 && info.fan_in == 18);
    ck_assert_int_eq(info.state, 0);
    test_ok(layer, bsq_layer_observe(layer, &batch));
    ck_assert_int_eq(state_of(layer), BSQ_STATE_OBSERVED);
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    ck_assert_int_eq(state_of(layer), known);
    batch.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    ck_assert_int_eq(state_of(layer), known | BSQ_STATE_HELD_OUT);
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_int_eq(state_of(layer), known | BSQ_STATE_HELD_OUT | BSQ_STATE_RESULT);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(batches_can_be_measured)
{
    struct test_data conv = test_data_conv(2, 1), linear = test_data_linear(5, 11, 3, 1);
    bsq_layer_t *layer = test_data_layer(&conv, NULL);
    bsq_batch_t batch = test_data_batch(&conv, 0, 2, false);
    size_t input, target, weights;

    batch.input = NULL;
    test_ok(layer, bsq_layer_batch_counts(layer, &batch, &input, &target, &weights));
    ck_assert(input == 2 * 4 * 30 && target == 2 * 6 * 30 && weights == 2);
    batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    test_ok(layer, bsq_layer_batch_counts(layer, &batch, NULL, NULL, &weights));
    ck_assert_uint_eq(weights, 60);
    batch.spatial[0] = 0;
    test_fails(layer, BSQ_E_SHAPE, "spatial", bsq_layer_batch_counts(layer, &batch, &input, &target, &weights));
    ck_assert(input == 0 && target == 0 && weights == 0);
    batch.spatial[0] = INT64_C(1) << 40;
    batch.spatial[1] = INT64_C(1) << 30;
    test_fails(layer, BSQ_E_SHAPE, "", bsq_layer_batch_counts(layer, &batch, &input, NULL, NULL));
    bsq_layer_free(layer);

    layer = test_data_layer(&linear, NULL);
    batch = test_data_batch(&linear, 0, 3, false);
    test_ok(layer, bsq_layer_batch_counts(layer, &batch, &input, &target, &weights));
    ck_assert(input == 33 && target == 15 && weights == 3);
    bsq_layer_free(layer);
    test_data_free(&conv);
    test_data_free(&linear);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("tensor");

    tcase_add_loop_test(tests, tensors_say_what_they_are, 0, KINDS);
    tcase_add_loop_test(tests, results_come_back, 0, 2 * KINDS);
    tcase_add_test(tests, judged_by_the_definition);
    tcase_add_test(tests, bad_tensors_are_refused);
    tcase_add_loop_test(tests, tensors_need_no_statistics, 0, 4);
    tcase_add_test(tests, packing_looks_at_the_grid);
    tcase_add_test(tests, options_can_be_read);
    tcase_add_test(tests, info_follows_the_layer);
    tcase_add_test(tests, batches_can_be_measured);
    return test_suite_of("tensor", tests);
}
