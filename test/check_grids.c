/* Every grid, with everything that goes with it: results are on their grid, the report is true of them, more effort is
 * never worse, nothing depends on threads, and kept scales stay. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- grids ---- */

struct grid {
    const char *name;
    int32_t bits, grid, scale_format, scale_bits, scale_signed;
    int64_t group_size, super_group; /* 0: a scale for each channel */
    double most;                     /* error at effort 5 as a share of rounding's */
};

static const int8_t own_levels[] = {-100, -40, -13, -3, 0, 2, 11, 37, 90};

#define F32 BSQ_SCALE_FORMAT_FLOAT32
#define F16 BSQ_SCALE_FORMAT_FLOAT16
#define FULL BSQ_WEIGHT_GRID_FULL
#define SYMMETRIC BSQ_WEIGHT_GRID_SYMMETRIC
#define ZERO BSQ_WEIGHT_GRID_ZERO_POINT
#define OFFSETS BSQ_WEIGHT_GRID_OFFSET

static const struct grid grids[] = {
    {"zero point", 4, ZERO, F32, 0, 0, 0, 0, 0.43},
    {"zero point, groups that do not divide n", 3, ZERO, F16, 0, 0, 10, 0, 0.44},
    {"zero point, 8 bits", 8, ZERO, F32, 0, 0, 16, 0, 0.40},
    {"zero point, 1 bit", 1, ZERO, F16, 0, 0, 16, 0, 0.50},
    {"zero point, two levels", 4, ZERO, F16, 8, 0, 8, 3, 0.39},
    {"offset", 4, OFFSETS, F32, 0, 0, 0, 0, 0.54},
    {"offset, bfloat16", 2, OFFSETS, BSQ_SCALE_FORMAT_BFLOAT16, 0, 0, 8, 0, 0.48},
    {"offset, 8 bits", 8, OFFSETS, F16, 0, 0, 16, 0, 0.49},
    {"offset, two levels", 4, OFFSETS, F16, 6, 0, 8, 4, 0.47},
    {"offset, two levels of 4 bits", 2, OFFSETS, F16, 4, 0, 8, 2, 0.44},
    {"full, signed", 4, FULL, F16, 0, 1, 16, 0, 0.48},
    {"full, signed, a channel", 3, FULL, F32, 0, 1, 0, 0, 0.40},
    {"full, two signed levels", 3, FULL, F16, 6, 1, 8, 3, 0.44},
    {"symmetric, two levels", 4, SYMMETRIC, F16, 8, 0, 8, 4, 0.44},
    {"symmetric, bfloat16", 4, SYMMETRIC, BSQ_SCALE_FORMAT_BFLOAT16, 0, 0, 16, 0, 0.46},
    {"symmetric, 1 bit", 1, SYMMETRIC, F32, 0, 0, 16, 0, 0.52},
    {"symmetric, two float32 levels", 4, SYMMETRIC, F32, 8, 0, 8, 4, 0.44},
    {"offset, two float32 levels", 4, OFFSETS, F32, 8, 0, 8, 4, 0.50},
    {"zero point, two bfloat16 levels", 3, ZERO, BSQ_SCALE_FORMAT_BFLOAT16, 4, 1, 8, 4, 0.47},
    {"zero point, 1 bit, e4m3", 1, ZERO, BSQ_SCALE_FORMAT_E4M3, 0, 0, 16, 0, 0.50},
    {"powers of two", 4, BSQ_WEIGHT_GRID_POWERS_OF_TWO, F32, 0, 0, 0, 0, 0.42},
    {"powers of two, 2 bits", 2, BSQ_WEIGHT_GRID_POWERS_OF_TWO, F32, 0, 0, 16, 0, 0.44},
    {"nf4", 4, BSQ_WEIGHT_GRID_NF4, F32, 0, 0, 16, 0, 0.46},
    {"iq4_nl, signed", 4, BSQ_WEIGHT_GRID_IQ4_NL, F16, 0, 1, 16, 0, 0.49},
    {"iq4_nl, two levels", 4, BSQ_WEIGHT_GRID_IQ4_NL, F16, 6, 1, 8, 4, 0.46},
    {"e2m1, e8m0", 4, BSQ_WEIGHT_GRID_E2M1, BSQ_SCALE_FORMAT_E8M0, 0, 0, 16, 0, 0.31},
    {"e2m1, e4m3", 4, BSQ_WEIGHT_GRID_E2M1, BSQ_SCALE_FORMAT_E4M3, 0, 0, 16, 0, 0.42},
    {"levels of the host", 4, BSQ_WEIGHT_GRID_LEVELS, F32, 0, 0, 0, 0, 0.41},
};

enum { GRIDS = sizeof grids / sizeof *grids };

static bsq_options_t options_of(const struct grid *grid, int32_t effort)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = grid->bits;
    options.weight_grid = grid->grid;
    options.scale_kind = grid->group_size ? BSQ_SCALE_KIND_PER_GROUP : BSQ_SCALE_KIND_PER_CHANNEL;
    options.group_size = grid->group_size;
    options.scale_format = grid->scale_format;
    options.scale_bits = grid->scale_bits;
    options.scale_signed = grid->scale_signed;
    options.super_group = grid->super_group;
    options.effort = effort;
    options.damping = 0.01;
    if (grid->grid == BSQ_WEIGHT_GRID_LEVELS) {
        options.levels = own_levels;
        options.level_count = sizeof own_levels;
    }
    return options;
}

/* ---- what a result says ---- */

/* Checks a report against the weights that the tensor stands for. */
static void check_report(bsq_layer_t *layer, const struct test_data *data, const bsq_tensor_t *tensor,
                         const bsq_report_t *report, const bsq_options_t *options, bool target)
{
    size_t count = (size_t)(data->channels * data->fan_in);
    struct test_moments moments = test_moments_get(layer, data, 0, target);
    float *given = malloc(count * sizeof *given), *stands_for = malloc(count * sizeof *stands_for);
    double *weights = malloc(count * sizeof *weights);
    struct test_error error;
    double mu = target ? options->asymmetry : 0.0;

    ck_assert(stands_for && given && weights);
    ck_assert_int_eq(bsq_tensor_dequantize(tensor, stands_for, count, NULL), BSQ_OK);
    test_ok(layer, bsq_layer_get_dequantized(layer, given, count));
    for (size_t i = 0; i < count; i++) {
        weights[i] = (double)given[i];
        ck_assert_msg(fabs(weights[i] - (double)stands_for[i]) <= 0.0, "weight %zu: %g, %g", i, weights[i],
                      (double)stands_for[i]);
    }
    error = test_weights_error(weights, data, &moments, mu, report->damping);
    ck_assert_double_eq_tol(report->energy, error.energy, 1e-9 * error.energy);
    ck_assert_double_eq_tol(report->error, error.loss / error.energy, 1e-5 * report->error + 1e-10);
    ck_assert_double_eq_tol(report->objective, error.objective, 1e-5 * report->objective + 1e-10 * error.energy);
    free(stands_for);
    free(given);
    free(weights);
    test_moments_free(&moments);
}

/* Checks that a tensor is taken back and judged as it was. */
static void check_again(bsq_layer_t *layer, const bsq_tensor_t *tensor, const bsq_report_t *report)
{
    bsq_report_t judged;
    bsq_tensor_t again;

    bsq_report_init(&judged, sizeof judged);
    test_ok(layer, bsq_layer_evaluate(layer, tensor, &judged));
    ck_assert_double_eq_tol(judged.objective, report->objective, 1e-9 * report->objective);
    test_ok(layer, bsq_layer_set_tensor(layer, tensor));
    again = test_tensor_get(layer);
    ck_assert_int_eq(again.code_count, tensor->code_count);
    ck_assert_mem_eq(again.codes, tensor->codes, (size_t)tensor->code_count);
    ck_assert_mem_eq(again.scales, tensor->scales, (size_t)tensor->scale_count * sizeof(float));
    if (tensor->zero_points)
        ck_assert_mem_eq(again.zero_points, tensor->zero_points, (size_t)tensor->scale_count * sizeof(int32_t));
    if (tensor->offsets)
        ck_assert_mem_eq(again.offsets, tensor->offsets, (size_t)tensor->scale_count * sizeof(float));
    test_tensor_free(&again);
}

/* ---- tests ---- */

START_TEST(results_are_true)
{
    const struct grid *grid = &grids[_i % GRIDS];
    bool target = _i / GRIDS % 2, conv = _i / GRIDS / 2;
    struct test_data data = conv ? test_data_conv(12, 5) : test_data_linear(70, 48, 300, 7);
    double before = INFINITY, rounding = 0.0;

    for (int32_t effort = 0; effort <= (conv ? 9 : 5); effort++) {
        bsq_options_t options = options_of(grid, effort);
        bsq_layer_t *layer;
        bsq_report_t report;
        bsq_tensor_t tensor;

        if (options.group_size > data.fan_in)
            options.group_size = data.fan_in;
        layer = test_data_calibrated(&data, &options, target);
        bsq_report_init(&report, sizeof report);
        test_ok(layer, bsq_optimize(layer, &report));
        tensor = test_tensor_get(layer);
        check_report(layer, &data, &tensor, &report, &options, target);
        check_again(layer, &tensor, &report);
        ck_assert_msg(report.objective <= before * (1.0 + 1e-12), "%s, effort %d: J %.9g above %.9g", grid->name,
                      (int)effort, report.objective, before);
        ck_assert_double_le(report.objective, report.objective_start * (1.0 + 1e-12));
        before = report.objective;
        rounding = report.error_start;
        if (effort == 5 && !conv && !target)
            ck_assert_msg(report.error <= grid->most * rounding, "%s: %.4f of rounding", grid->name,
                          report.error / rounding);
        test_tensor_free(&tensor);
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

START_TEST(threads_change_nothing)
{
    struct test_data data = test_data_linear(260, 40, 200, 11);
    uint64_t hash[3];

    for (int32_t i = 0; i < 3; i++) {
        bsq_options_t options = options_of(&grids[_i], 3);
        bsq_layer_t *layer;

        options.threads = 1 + i;
        layer = test_data_calibrated(&data, &options, false);
        test_ok(layer, bsq_optimize(layer, NULL));
        hash[i] = test_hash_result(TEST_HASH_START, layer);
        bsq_layer_free(layer);
    }
    ck_assert_uint_eq(hash[1], hash[0]);
    ck_assert_uint_eq(hash[2], hash[0]);
    test_data_free(&data);
}
END_TEST

/* Codes alone: scales stay, J does not rise, neither with effort. */
START_TEST(kept_scales_stay)
{
    struct test_data data = test_data_linear(70, 48, 300, 13);
    bsq_options_t options = options_of(&grids[_i], 0);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    bsq_report_t report, kept;
    bsq_tensor_t tensor;
    double before;

    bsq_report_init(&report, sizeof report);
    bsq_report_init(&kept, sizeof kept);
    test_ok(layer, bsq_optimize(layer, &report));
    tensor = test_tensor_get(layer);
    before = report.objective;
    for (int32_t effort = 1; effort <= 6; effort++) {
        bsq_tensor_t now;

        bsq_options_init(&options, sizeof options); /* the grid is the result's */
        options.keep_scales = 1;
        options.effort = effort;
        options.damping = 0.01;
        test_ok(layer, bsq_layer_set_tensor(layer, &tensor));
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &kept));
        now = test_tensor_get(layer);
        ck_assert_int_eq(now.weight_grid, tensor.weight_grid);
        ck_assert_mem_eq(now.scales, tensor.scales, (size_t)tensor.scale_count * sizeof(float));
        if (now.zero_points)
            ck_assert_mem_eq(now.zero_points, tensor.zero_points, (size_t)tensor.scale_count * sizeof(int32_t));
        if (now.offsets)
            ck_assert_mem_eq(now.offsets, tensor.offsets, (size_t)tensor.scale_count * sizeof(float));
        ck_assert_double_le(kept.objective, before);
        before = kept.objective;
        check_report(layer, &data, &now, &kept, &options, false);
        test_tensor_free(&now);
    }
    ck_assert_double_lt(kept.objective, 0.9 * report.objective);
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(kept_scales_need_a_result)
{
    struct test_data data = test_data_linear(4, 8, 50, 17);
    bsq_options_t options = options_of(&grids[0], 1);
    bsq_layer_t *layer;

    options.keep_scales = 1;
    layer = test_data_calibrated(&data, &options, false);
    test_fails(layer, BSQ_E_STATE, "keep_scales", bsq_optimize(layer, NULL));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Everything else that a layer may ask for, with each grid: inputs quantized by channel, corrected biases, held-out
 * statistics that choose the effort, bounds. */
START_TEST(grids_go_with_the_rest)
{
    struct test_data data = test_data_linear(66, 20, 200, 19);
    bsq_options_t options = options_of(&grids[_i], 3);
    bsq_layer_t *layer;
    bsq_report_t report;
    bsq_batch_t batch;

    options.bias_correction = 1;
    options.select_on_held_out = 1;
    options.lower_bound = 1;
    options.input_bits = 8;
    options.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_CHANNEL;
    layer = test_data_layer(&data, &options);
    batch = test_data_batch(&data, 0, 150, true);
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    batch = test_data_batch(&data, 150, 50, true);
    batch.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.error <= report.error_start && report.held_out_error >= 0.0 && report.lower_bound <= 1.0);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* The least J of any codes of the grid, of each with its best scale: counted through. Shifts are whole numbers. */
static double least_objective(const struct grid *grid, const double *h, const double *w, int64_t n, double ridge)
{
    int32_t span = 1 << grid->bits, shifts = grid->grid == ZERO ? span : 1, low = grid->grid == FULL ? -span / 2 : 0;
    double least = INFINITY;

    for (int32_t shift = 0; shift < shifts; shift++)
        for (int64_t all = 0; all < (int64_t)pow(span, (double)n); all++) {
            double along = 0.0, square = 0.0, own = 0.0, q[8], scale;
            int64_t rest = all;

            for (int64_t j = 0; j < n; j++, rest /= span) {
                int32_t code = (int32_t)(rest % span);

                q[j] = grid->grid == BSQ_WEIGHT_GRID_POWERS_OF_TWO ? (double[]){-1, 0, 1, 1}[code]
                       : grid->grid == SYMMETRIC                   ? (double[]){-1, 1}[code]
                                                                   : code + low - shift;
            }
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++) {
                    double hij = h[i * n + j] + (i == j ? ridge : 0.0);

                    along += w[i] * hij * q[j];
                    square += q[i] * hij * q[j];
                    own += w[i] * hij * w[j];
                }
            scale = square > 0.0 ? along / square : 0.0;
            if (grid->scale_signed || scale > 0.0)
                least = fmin(least, own - scale * along);
        }
    return least;
}

static const struct grid small_grids[] = {
    {"zero point", 2, ZERO, F32, 0, 0, 0, 0, 0},
    {"full, signed", 2, FULL, F32, 0, 1, 0, 0, 0},
    {"powers of two", 2, BSQ_WEIGHT_GRID_POWERS_OF_TWO, F32, 0, 0, 0, 0, 0},
    {"one bit", 1, SYMMETRIC, F32, 0, 0, 0, 0, 0},
};

enum { SMALL_GRIDS = sizeof small_grids / sizeof *small_grids };

/* Small channels are proven to be optima, and are what counting through finds. */
START_TEST(optima_of_small_channels)
{
    const struct grid *grid = &small_grids[_i];
    struct test_data data = test_data_linear(9, 6, 80, 37);
    bsq_options_t options = options_of(grid, 5);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    struct test_moments moments = test_moments_get(layer, &data, 0, false);
    double ridge = 0.0, weights[6];

    test_ok(layer, bsq_optimize(layer, NULL));
    for (int64_t j = 0; j < data.fan_in; j++)
        ridge += 0.01 * moments.h[j * data.fan_in + j] / (double)data.fan_in;
    for (int64_t c = 0; c < data.channels; c++) {
        bsq_channel_t channel;
        double least;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, c, &channel));
        for (int64_t j = 0; j < data.fan_in; j++)
            weights[j] = (double)data.weights[c * data.fan_in + j];
        least = least_objective(grid, moments.h, weights, data.fan_in, ridge);
        ck_assert_int_eq(channel.outcome, BSQ_OUTCOME_PROVEN);
        ck_assert_double_eq_tol(channel.objective, least, 1e-6 * least);
    }
    test_moments_free(&moments);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A host's table outlives the host's copy of it, and options read back are those that were given. */
START_TEST(levels_are_copied)
{
    struct test_data data = test_data_linear(6, 24, 100, 23);
    int8_t levels[sizeof own_levels];
    bsq_options_t options = options_of(&grids[GRIDS - 1], 2), read;
    bsq_layer_t *layer, *clone;
    bsq_tensor_t tensor, short_tensor;

    memcpy(levels, own_levels, sizeof levels);
    options.levels = levels;
    layer = test_data_calibrated(&data, &options, false);
    memset(levels, 0, sizeof levels);
    bsq_options_init(&read, sizeof read);
    test_ok(layer, bsq_layer_get_options(layer, &read));
    ck_assert_int_eq(read.level_count, (int32_t)sizeof own_levels);
    ck_assert_mem_eq(read.levels, own_levels, sizeof own_levels);
    test_ok(layer, bsq_layer_set_options(layer, &read)); /* its own */
    test_ok(layer, bsq_layer_clone(layer, &clone));
    bsq_layer_free(layer);
    test_ok(clone, bsq_optimize(clone, NULL));
    tensor = test_tensor_get(clone);
    ck_assert_int_eq(tensor.level_count, (int64_t)sizeof own_levels);
    ck_assert_mem_eq(tensor.levels, own_levels, sizeof own_levels);
    short_tensor = tensor;
    short_tensor.level_count--;
    test_fails(clone, BSQ_E_SIZE, "level_count", bsq_layer_get_tensor(clone, &short_tensor));
    test_tensor_free(&tensor);
    bsq_layer_free(clone);
    test_data_free(&data);
}
END_TEST

/* An error table has the numbers of bits that the grid has. */
START_TEST(tables_of_bits)
{
    struct test_data data = test_data_linear(8, 32, 100, 29);
    bsq_options_t options = options_of(&grids[0], 2);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    double errors[3];

    test_ok(layer, bsq_layer_error_table(layer, 2, 4, errors, 3));
    ck_assert(errors[0] > errors[1] && errors[1] > errors[2] && errors[2] > 0.0);
    options.weight_grid = BSQ_WEIGHT_GRID_NF4;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_layer_error_table(layer, 4, 4, errors, 1));
    test_fails(layer, BSQ_E_RANGE, "weight_bits", bsq_layer_error_table(layer, 2, 4, errors, 3));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(planes_need_plain_codes)
{
    struct test_data data = test_data_linear(2, 4, 20, 31);
    bsq_options_t options = options_of(&grids[0], 1);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    int8_t planes[3 * 2 * 4];

    test_ok(layer, bsq_optimize(layer, NULL));
    test_fails(layer, BSQ_E_FORMAT, "planes", bsq_layer_get_planes(layer, planes, sizeof planes));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Weights at the lower end of float32: what a solve stores is what a tensor may hold. */
START_TEST(tiny_weights)
{
    struct test_data data = test_data_linear(6, 40, 60, 37);
    bsq_options_t options = options_of(&grids[_i], 2);
    bsq_layer_t *layer;
    bsq_report_t report;
    bsq_tensor_t tensor;

    for (int64_t i = 0; i < data.channels * data.fan_in; i++)
        data.weights[i] *= _i % 2 ? 1e-37f : 3e-39f;
    layer = test_data_calibrated(&data, &options, false);
    test_ok(layer, bsq_optimize(layer, NULL));
    tensor = test_tensor_get(layer);
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Weights far below the least scale: J is that of the codes, whatever was tried on the way. */
START_TEST(weights_below_scales)
{
    struct test_data data = test_data_linear(4, 5, 30, (uint64_t)(53 + _i));
    bsq_options_t options = options_of(&grids[0], 9);
    bsq_layer_t *layer;
    bsq_report_t report;
    bsq_tensor_t tensor;

    options.weight_grid = SYMMETRIC;
    options.weight_bits = 2;
    options.scale_format = F16;
    for (int64_t i = 0; i < data.channels * data.fan_in; i++)
        data.weights[i] *= 1e-13f;
    layer = test_data_calibrated(&data, &options, false);
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    tensor = test_tensor_get(layer);
    check_report(layer, &data, &tensor, &report, &options, false);
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Multiples of a unit stay inside float32, at either end. */
START_TEST(units_at_the_ends)
{
    static const float units[] = {0x1.ad5f4p-119f, 0x1.99f95cp-125f, FLT_MIN, 0x1.8p125f, FLT_MAX};
    struct test_data data = test_data_linear(4, 16, 60, 47);
    bsq_options_t options = options_of(&grids[0], 2);
    bsq_layer_t *layer;
    bsq_report_t report;
    bsq_tensor_t tensor;

    options.weight_grid = BSQ_WEIGHT_GRID_E2M1;
    options.scale_format = BSQ_SCALE_FORMAT_E4M3;
    options.scale_unit = units[_i];
    for (int64_t i = 0; i < data.channels * data.fan_in; i++)
        data.weights[i] *= units[_i] < 1.0f ? 1e-38f : 1e36f;
    layer = test_data_calibrated(&data, &options, false);
    test_ok(layer, bsq_optimize(layer, NULL));
    tensor = test_tensor_get(layer);
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* An offset is not lost beside a scale that is larger by far, where the code is 0. */
START_TEST(offsets_beside_large_scales)
{
    struct test_data data = test_data_linear(1, 2, 30, 41);
    bsq_options_t options = options_of(&grids[0], 1);
    int8_t codes[2] = {0, 0};
    float scale = 0x1p70f, offset = 3.0f;
    bsq_tensor_t tensor;
    bsq_report_t report;
    bsq_layer_t *layer;

    data.weights[0] = 2.0f;
    data.weights[1] = 4.0f;
    layer = test_data_calibrated(&data, &options, false);
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.weight_grid = OFFSETS;
    tensor.weight_bits = 8;
    tensor.channels = 1;
    tensor.fan_in = tensor.code_count = 2;
    tensor.codes = codes;
    tensor.scales = &scale;
    tensor.offsets = &offset;
    tensor.scale_count = tensor.offset_count = 1;
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    ck_assert_double_eq_tol(report.weight_error, 2.0 / 20.0, 1e-15);
    ck_assert_double_gt(report.objective, 0.0);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Channels whose weights are all 0 keep that as nearly as scales allow, on grids without a 0 too. */
START_TEST(weights_of_zero)
{
    struct test_data data = test_data_linear(3, 16, 60, 43);
    size_t count = (size_t)(data.channels * data.fan_in);
    float *weights = malloc(count * sizeof *weights);
    bsq_options_t options = options_of(&grids[_i], 3);
    bsq_layer_t *layer;
    bsq_report_t report;

    ck_assert(weights);
    memset(data.weights, 0, count * sizeof *weights);
    layer = test_data_calibrated(&data, &options, false);
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    test_ok(layer, bsq_layer_get_dequantized(layer, weights, count));
    for (size_t i = 0; i < count; i++)
        ck_assert_float_le(fabsf(weights[i]), 0x1p-10f);
    ck_assert_double_le(report.objective, report.objective_start);
    bsq_layer_free(layer);
    free(weights);
    test_data_free(&data);
}
END_TEST

Suite *test_suite(void)
{
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, results_are_true, 0, 4 * GRIDS);
    tcase_add_loop_test(all, threads_change_nothing, 0, GRIDS);
    tcase_add_loop_test(all, kept_scales_stay, 0, GRIDS);
    tcase_add_loop_test(all, tiny_weights, 0, GRIDS);
    tcase_add_loop_test(all, weights_below_scales, 0, 4);
    tcase_add_loop_test(all, units_at_the_ends, 0, 5);
    tcase_add_loop_test(all, weights_of_zero, 0, GRIDS);
    tcase_add_test(all, offsets_beside_large_scales);
    tcase_add_test(all, kept_scales_need_a_result);
    tcase_add_loop_test(all, grids_go_with_the_rest, 0, GRIDS);
    tcase_add_loop_test(all, optima_of_small_channels, 0, SMALL_GRIDS);
    tcase_add_test(all, levels_are_copied);
    tcase_add_test(all, tables_of_bits);
    tcase_add_test(all, planes_need_plain_codes);
    return test_suite_of("grids", all);
}
