/* What degenerate data must not do: leave results that nobody computed, drive J below zero, lose its digits, or take for
 * ever. Every layer here once did one of these. */
#include "support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 12, OUTPUTS = 3, ROWS = 60 };

/* Fills memory with what no result has, so that what is not written shows. */
static void *alloc_filled(size_t size, void *opaque)
{
    void *block = malloc(size);

    (void)opaque;
    if (block)
        memset(block, 0x5a, size);
    return block;
}

static void free_filled(void *block, void *opaque)
{
    (void)opaque;
    free(block);
}

static bsq_layer_t *layer_of(const bsq_options_t *options, int64_t inputs, int64_t outputs, const float *weights)
{
    bsq_layer_desc_t desc;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = inputs;
    desc.out_channels = outputs;
    ck_assert_int_eq(bsq_layer_create(&desc, options, weights, NULL, &layer, NULL), BSQ_OK);
    return layer;
}

static void calibrate(bsq_layer_t *layer, const float *x, const float *y, const float *row_weights, int64_t rows)
{
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.input = x;
    batch.target = y;
    batch.row_weights = row_weights;
    batch.size = rows;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
}

/* ---- beyond what can be computed ---- */

static void set_square(bsq_layer_t *layer, double size)
{
    const double h[4] = {size, 0.0, 0.0, size};
    bsq_moments_t moments;

    bsq_moments_init(&moments, sizeof moments);
    moments.h = h;
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
}

static const int32_t kinds[] = {BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_KIND_PER_GROUP};
static const int32_t solvers[] = {BSQ_SOLVER_AUTO, BSQ_SOLVER_ROUND};

/* Solves what has no finite J, after a solve that has: NUMERIC, and the earlier result stays. */
START_TEST(infinite_objectives_are_refused)
{
    const float weights[4] = {0.5f, -0.25f, 1.0f, 0.125f}, large[4] = {3e38f, -1e38f, 1e38f, 2e38f};
    bsq_options_t options;
    int8_t before[4], after[4];

    bsq_options_init(&options, sizeof options);
    options.memory_alloc = alloc_filled;
    options.memory_free = free_filled;
    options.scale_kind = kinds[_i % 3];
    options.group_size = 1;
    options.solver = solvers[_i / 3 % 2];

    bsq_layer_t *layer = layer_of(&options, 2, 2, _i < 6 ? weights : large);

    set_square(layer, _i < 6 ? 1.0 : 1e-30);
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_get_codes(layer, before, 4));
    set_square(layer, _i < 6 ? 1e308 : 1e235);
    ck_assert_int_eq(bsq_optimize(layer, NULL), BSQ_E_NUMERIC);
    ck_assert(strstr(bsq_layer_error_message(layer), "output channel 0"));
    test_ok(layer, bsq_layer_get_codes(layer, after, 4));
    ck_assert_mem_eq(before, after, 4);
    bsq_layer_free(layer);
}
END_TEST

/* Rounds weights far beyond what scales of a format reach, for one scale: without statistics, and with so many inputs that
 * H does not stand in double. */
START_TEST(weights_beyond_the_format_are_rounded)
{
    int64_t inputs = _i ? 1100 : INPUTS;
    float *weights = malloc((size_t)inputs * sizeof *weights), *x = malloc((size_t)inputs * 2 * sizeof *x), scale;
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.solver = BSQ_SOLVER_ROUND;
    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    for (int64_t i = 0; i < inputs; i++) {
        weights[i] = i % 2 ? 1e20f : -2e20f;
        x[i] = x[inputs + i] = (float)(i % 7);
    }

    bsq_layer_t *layer = layer_of(&options, inputs, 1, weights);

    if (_i)
        calibrate(layer, x, NULL, NULL, 2);
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_get_scales(layer, &scale, 1));
    ck_assert_msg(scale == 65504.0f, "the scale is %g", (double)scale);
    bsq_layer_free(layer);
    free(weights);
    free(x);
}
END_TEST

/* Inputs that are next to nothing leave their scale free: the search moves it where weights would be beyond float32. What fits
 * is found, in every format, by every solver. */
START_TEST(weights_stay_within_float)
{
    enum { WIDTH = 8, SAMPLES = 27 };
    const int32_t formats[] = {BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_POWER_OF_TWO};
    struct test_random random = test_random_seed((uint64_t)_i);
    float weights[WIDTH * OUTPUTS], x[SAMPLES * WIDTH], dequantized[WIDTH * OUTPUTS];
    bsq_options_t options;
    bsq_report_t report;

    bsq_options_init(&options, sizeof options);
    bsq_report_init(&report, sizeof report);
    options.weight_bits = 4;
    options.weight_grid = _i / 4 % 2 ? BSQ_WEIGHT_GRID_FULL : BSQ_WEIGHT_GRID_SYMMETRIC;
    options.scale_kind = kinds[_i % 3];
    options.group_size = WIDTH / 2;
    options.scale_format = formats[_i % 2];
    options.damping = 0.0;
    options.effort = 1 + _i % 7;
    for (int i = 0; i < WIDTH * OUTPUTS; i++)
        weights[i] = (float)((test_random_uniform(&random) - 0.5) * (_i % 5 ? 1e20 : 6.7e38));
    for (int i = 0; i < SAMPLES * WIDTH; i++)
        x[i] = (float)(test_random_uniform(&random) - 0.5) * (i % WIDTH < WIDTH / 2 ? 1e-37f : 1e-18f);

    bsq_layer_t *layer = layer_of(&options, WIDTH, OUTPUTS, weights);

    calibrate(layer, x, NULL, NULL, SAMPLES);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.objective <= report.objective_start);
    test_ok(layer, bsq_layer_get_dequantized(layer, dequantized, WIDTH * OUTPUTS));
    for (int i = 0; i < WIDTH * OUTPUTS; i++)
        ck_assert(isfinite(dequantized[i]));
    bsq_layer_free(layer);
}
END_TEST

/* Weights so small that their scale is the least float32 there is: single precision then knows no J, and rounding must not be
 * better than what is found. */
START_TEST(scales_at_the_end_of_float_are_judged)
{
    struct test_data data = test_data_linear(6, 80, 191, 3);
    bsq_options_t options;
    bsq_report_t report;
    bsq_tensor_t tensor;
    int8_t codes[6 * 80];
    float scales[6];

    bsq_options_init(&options, sizeof options);
    bsq_report_init(&report, sizeof report);
    bsq_tensor_init(&tensor, sizeof tensor);
    options.weight_bits = 8;
    options.effort = 1 + _i;
    for (int64_t i = 0; i < 6 * 80; i++)
        data.weights[i] *= 1e-36f;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    double found;

    test_ok(layer, bsq_optimize(layer, &report));
    found = report.objective;
    ck_assert_msg(found <= report.objective_start, "J is %.9g, rounding's %.9g", found, report.objective_start);
    tensor.codes = codes;
    tensor.code_count = 6 * 80;
    tensor.scales = scales;
    tensor.scale_count = 6;
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    ck_assert_msg(fabs(found - report.objective) <= 3e-5 * report.objective, "J is %.9g, that of its codes %.9g", found,
                  report.objective);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Wants outputs so much larger than the inputs that the best scale is no float32 value: what is stored is not proven. */
START_TEST(scales_beyond_float_are_not_proven)
{
    const float weights[2] = {0.5f, -0.25f};
    const float x[8] = {1e-18f, 2e-18f, -1e-18f, 3e-18f, 2e-18f, -1e-18f, 1e-18f, 1e-18f},
                y[4] = {1e24f, 3e24f, 2e24f, 1e24f};
    bsq_options_t options;
    bsq_report_t report;

    bsq_options_init(&options, sizeof options);
    bsq_report_init(&report, sizeof report);
    options.weight_bits = 2;
    options.damping = 0.0;

    bsq_layer_t *layer = layer_of(&options, 2, 1, weights);

    calibrate(layer, x, y, NULL, 4);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_int_eq(report.channels_proven, 0);
    ck_assert_msg(report.lower_bound < 1.0, "the bound is %.17g of J", report.lower_bound);
    bsq_layer_free(layer);
}
END_TEST

static bsq_input_quantizer_t input_quantizer(int32_t type, int32_t bits, double scale, int32_t zero_point)
{
    bsq_input_quantizer_t quantizer;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.type = type;
    quantizer.bits = bits;
    quantizer.scale = (double)(float)scale;
    quantizer.zero_point = zero_point;
    return quantizer;
}

/* A scale is refused once its largest code on either side of the zero point is beyond float32, and not before. */
START_TEST(given_input_quantizers_beyond_float_are_refused)
{
    static const struct {
        int32_t type, bits, zero_point, most;
    } cases[] = {{BSQ_INPUT_TYPE_UNSIGNED, 2, 0, 3},   {BSQ_INPUT_TYPE_UNSIGNED, 8, 0, 255},
                 {BSQ_INPUT_TYPE_SIGNED, 3, 0, 4},     {BSQ_INPUT_TYPE_ZERO_POINT, 4, 0, 15},
                 {BSQ_INPUT_TYPE_ZERO_POINT, 4, 9, 9}, {BSQ_INPUT_TYPE_ZERO_POINT, 4, 15, 15}};
    const float weights[4] = {0.5f, -0.25f, 1.0f, 0.125f};
    double highest = (double)FLT_MAX / cases[_i].most, ordinary[2] = {1.0, 1.0}, channels[2] = {1.0, 1.0};
    const int32_t zero_points[2] = {cases[_i].zero_point, cases[_i].zero_point};
    bsq_options_t options;
    bsq_input_quantizer_t fits, beyond;

    bsq_options_init(&options, sizeof options);
    options.input_bits = cases[_i].bits;
    fits = input_quantizer(cases[_i].type, cases[_i].bits, highest * 0.999, cases[_i].zero_point);
    beyond = input_quantizer(cases[_i].type, cases[_i].bits, highest * 1.001, cases[_i].zero_point);

    bsq_layer_t *layer = layer_of(&options, 2, 2, weights);

    test_fails(layer, BSQ_E_NUMERIC, "beyond float32", bsq_layer_set_input_quantizer(layer, &beyond));
    test_ok(layer, bsq_layer_set_input_quantizer(layer, &fits));
    bsq_layer_free(layer);

    options.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_CHANNEL;
    layer = layer_of(&options, 2, 2, weights);
    fits.zero_point = beyond.zero_point = 0;
    test_ok(layer, bsq_layer_set_input_channels(layer, &fits, ordinary, zero_points, 2));
    test_fails(layer, BSQ_E_NUMERIC, "channel 0",
               bsq_layer_set_input_channels(layer, &beyond, ordinary, zero_points, 2));
    channels[1] = fits.scale;
    fits.scale = 1.0;
    test_ok(layer, bsq_layer_set_input_channels(layer, &fits, channels, zero_points, 2));
    channels[1] = beyond.scale;
    test_fails(layer, BSQ_E_NUMERIC, "channel 1", bsq_layer_set_input_channels(layer, &fits, channels, zero_points, 2));
    bsq_layer_free(layer);
}
END_TEST

/* Three positive steps of signed codes reach the inputs, the fourth negative one is beyond float32: no quantizer is chosen,
 * and nothing is fixed by trying. */
START_TEST(observed_inputs_at_the_end_of_float_are_refused)
{
    const float weights[4] = {0.5f, -0.25f, 1.0f, 0.125f};
    float x[8] = {3e38f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    bsq_options_t options;
    bsq_input_quantizer_t quantizer = input_quantizer(0, 0, 0.0, 0);
    bsq_batch_t batch;

    bsq_options_init(&options, sizeof options);
    options.input_bits = 3;
    options.input_type = BSQ_INPUT_TYPE_SIGNED;
    options.input_scale_kind = _i ? BSQ_INPUT_SCALE_KIND_PER_CHANNEL : BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = x;
    batch.size = 4;
    for (int small = 0; small < 2; small++) {
        bsq_layer_t *layer = layer_of(&options, 2, 2, weights);

        x[0] = small ? 3.0f : 3e38f;
        test_ok(layer, bsq_layer_observe(layer, &batch));
        if (small) {
            test_ok(layer, bsq_layer_get_input_quantizer(layer, &quantizer));
            test_ok(layer, bsq_layer_calibrate(layer, &batch));
            test_ok(layer, bsq_optimize(layer, NULL));
        } else {
            test_fails(layer, BSQ_E_NUMERIC, "beyond float32", bsq_layer_get_input_quantizer(layer, &quantizer));
            test_fails(layer, BSQ_E_NUMERIC, "beyond float32", bsq_layer_calibrate(layer, &batch));
            quantizer = input_quantizer(BSQ_INPUT_TYPE_UNSIGNED, 3, 4e37, 0);
            test_ok(layer, bsq_layer_set_input_quantizer(layer, &quantizer));
            test_ok(layer, bsq_layer_calibrate(layer, &batch));
            test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_observe(layer, &batch));
        }
        bsq_layer_free(layer);
    }
}
END_TEST

/* ---- J below zero ---- */

/* Constant inputs leave nothing of the centred objective: results stay ordinary, whatever scales, formats and weights of
 * rows. */
START_TEST(constant_inputs_leave_ordinary_weights)
{
    static const int32_t formats[] = {BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_FLOAT16,
                                      BSQ_SCALE_FORMAT_POWER_OF_TWO};
    struct test_random random = test_random_seed((uint64_t)_i + 1);
    bool target = _i / 9 % 2, weighted = _i / 18 % 2;

    for (int turn = 0; turn < 12; turn++) {
        float weights[OUTPUTS * INPUTS], x[ROWS * INPUTS], y[ROWS * OUTPUTS], rows[ROWS], real[OUTPUTS * INPUTS];
        int64_t inputs = 2 + turn % (INPUTS - 1);
        bsq_options_t options;
        bsq_report_t report;

        for (int64_t i = 0; i < OUTPUTS * inputs; i++)
            weights[i] = (float)(test_random_uniform(&random) - 0.5);
        for (int64_t j = 0; j < inputs; j++) {
            float value = (float)(test_random_uniform(&random) - 0.5);

            for (int64_t i = 0; i < ROWS; i++)
                x[i * inputs + j] = value;
        }
        for (int64_t i = 0; i < ROWS; i++)
            rows[i] = (float)(test_random_uniform(&random) + 0.1);
        for (int64_t i = 0; i < ROWS * OUTPUTS; i++)
            y[i] = (float)(0.01 * test_random_normal(&random));
        bsq_options_init(&options, sizeof options);
        options.bias_correction = 1;
        options.scale_kind = kinds[_i % 3];
        options.scale_format = formats[_i / 3 % 3];
        options.group_size = inputs / 2;
        options.damping = turn % 3 == 0 ? -1.0 : turn % 3 == 1 ? 0.0 : 1e-3;

        bsq_layer_t *layer = layer_of(&options, inputs, OUTPUTS, weights);

        calibrate(layer, x, target ? y : NULL, weighted ? rows : NULL, ROWS);
        bsq_report_init(&report, sizeof report);
        test_ok(layer, bsq_optimize(layer, &report));
        test_ok(layer, bsq_layer_get_dequantized(layer, real, (size_t)(OUTPUTS * inputs)));
        ck_assert_msg(report.objective >= 0.0, "J is %g", report.objective);
        for (int64_t i = 0; i < OUTPUTS * inputs; i++)
            ck_assert_msg(fabsf(real[i]) <= 2.0f, "inputs %d: a weight of %g became %g", (int)inputs,
                          (double)weights[i], (double)real[i]);
        bsq_layer_free(layer);
    }
}
END_TEST

/* ---- digits of J ---- */

/* Targets far larger than the layer's own output: J of every channel is what its rows give. */
START_TEST(large_targets_leave_the_digits_of_j)
{
    struct test_random random = test_random_seed(11);
    double size = pow(10.0, _i);
    float weights[OUTPUTS * INPUTS], other[OUTPUTS * INPUTS], x[ROWS * INPUTS], y[ROWS * OUTPUTS],
        real[OUTPUTS * INPUTS];
    double squares = 0.0;

    for (int64_t i = 0; i < OUTPUTS * INPUTS; i++) {
        weights[i] = (float)test_random_normal(&random);
        other[i] = (float)test_random_normal(&random);
    }
    for (int64_t i = 0; i < ROWS * INPUTS; i++) {
        x[i] = (float)test_random_normal(&random);
        squares += (double)x[i] * (double)x[i] / ROWS / INPUTS;
    }
    for (int64_t i = 0; i < ROWS * OUTPUTS; i++) {
        double sum = 0.0;

        for (int64_t j = 0; j < INPUTS; j++)
            sum += (double)other[i % OUTPUTS * INPUTS + j] * (double)x[i / OUTPUTS * INPUTS + j];
        y[i] = (float)(size * sum);
    }
    for (int kind = 0; kind < 3; kind++) {
        bsq_options_t options;
        bsq_report_t report;

        bsq_options_init(&options, sizeof options);
        options.scale_kind = kinds[kind];
        options.group_size = INPUTS / 2;

        bsq_layer_t *layer = layer_of(&options, INPUTS, OUTPUTS, weights);

        calibrate(layer, x, y, NULL, ROWS);
        bsq_report_init(&report, sizeof report);
        test_ok(layer, bsq_optimize(layer, &report));
        test_ok(layer, bsq_layer_get_dequantized(layer, real, OUTPUTS * INPUTS));
        for (int64_t m = 0; m < OUTPUTS; m++) {
            double objective = 0.0;
            bsq_channel_t channel;

            for (int64_t i = 0; i < ROWS; i++) {
                double error = (double)y[i * OUTPUTS + m];

                for (int64_t j = 0; j < INPUTS; j++)
                    error -= (double)real[m * INPUTS + j] * (double)x[i * INPUTS + j];
                objective += error * error / ROWS;
            }
            for (int64_t j = 0; j < INPUTS; j++)
                objective +=
                    report.damping * squares * pow((double)weights[m * INPUTS + j] - (double)real[m * INPUTS + j], 2.0);
            bsq_channel_init(&channel, sizeof channel);
            test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
            ck_assert_msg(fabs(channel.objective - objective) <= 1e-6 * objective,
                          "targets of 1e%d, scales of kind %d: J is %.9g, not %.9g", _i, (int)options.scale_kind,
                          objective, channel.objective);
        }
        bsq_layer_free(layer);
    }
}
END_TEST

/* ---- limits of work ---- */

/* Scales of single inputs that are nearly the same creep along for as long as turns are allowed: the result is valid, and
 * the report says what ended it. */
START_TEST(limits_of_work_are_reported)
{
    struct test_data data = test_data_linear(4, 6, 14, (uint64_t)_i + 1);
    struct test_random random = test_random_seed((uint64_t)_i + 1);
    bsq_options_t options;
    bsq_report_t report;
    int32_t limited = 0;

    for (int64_t i = 0; i < 14; i++) {
        double common = test_random_normal(&random);

        for (int64_t j = 0; j < 6; j++)
            data.input[i * 6 + j] = (float)(common + 0.01 * test_random_normal(&random));
        for (int64_t m = 0; m < 4; m++)
            data.target[i * 4 + m] = (float)(100.0 * test_random_normal(&random));
    }
    bsq_options_init(&options, sizeof options);
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options.group_size = 1;
    options.effort = 3;
    options.damping = 0.0;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    for (int64_t m = 0; m < 4; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        limited += channel.outcome == BSQ_OUTCOME_LIMIT;
    }
    ck_assert_int_gt(limited, 0);
    ck_assert_int_eq(report.outcome, BSQ_OUTCOME_LIMIT);
    ck_assert(report.objective <= report.objective_start);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* H of rank 2 but for a trace of damping: at the default effort the search for the optimum gives up within the nodes
 * that it has. An exact search that proves these in fewer may change what is expected here. */
START_TEST(flat_problems_are_left_unproven)
{
    enum { FLAT = 11, RANK = 2 };
    struct test_random random = test_random_seed((uint64_t)_i + 1);
    double h[FLAT * FLAT] = {0.0}, size = 1.0;
    float weights[OUTPUTS * FLAT];
    bsq_options_t options;
    bsq_moments_t moments;
    bsq_report_t report;

    for (int k = 0; k < RANK; k++, size *= 0.3) {
        double v[FLAT];

        for (int i = 0; i < FLAT; i++)
            v[i] = test_random_normal(&random);
        for (int i = 0; i < FLAT * FLAT; i++)
            h[i] += size * v[i / FLAT] * v[i % FLAT];
    }
    for (int i = 0; i < OUTPUTS * FLAT; i++)
        weights[i] = (float)test_random_normal(&random);
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 8;

    bsq_layer_t *layer = layer_of(&options, FLAT, OUTPUTS, weights);

    bsq_moments_init(&moments, sizeof moments);
    moments.h = h;
    moments.rows = 1e7;
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_int_eq(report.channels_proven, 0);
    ck_assert_double_gt(report.lower_bound, 0.0);
    ck_assert_double_lt(report.lower_bound, 1.0);
    ck_assert(report.objective <= report.objective_start);
    bsq_layer_free(layer);
}
END_TEST

/* ---- what a stage must not leave out ---- */

/* A layer of one channel shows what is skipped: from effort 7 on bit-split goes over every channel once at least. */
START_TEST(bitsplit_works_on_every_channel)
{
    struct test_data data = test_data_linear(1, 70, 300, 3);
    bsq_options_t options;
    bsq_report_t report;
    bsq_stage_t stage;
    int32_t seen = 0;

    bsq_options_init(&options, sizeof options);
    options.effort = 7;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    for (int32_t i = 0; i < report.stages; i++) {
        bsq_stage_init(&stage, sizeof stage);
        test_ok(layer, bsq_layer_get_stage_report(layer, i, &stage));
        if (stage.stage != BSQ_STAGE_BITSPLIT)
            continue;
        ck_assert_int_gt(stage.sweeps, 0);
        seen++;
    }
    ck_assert_int_eq(seen, 1);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A bound for rounding's J is not above the optimum, and near it where there are few inputs. */
START_TEST(bounds_are_not_above_the_optimum)
{
    struct test_data data = test_data_linear(6, 6, 60, (uint64_t)_i + 1);
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 2 + _i % 3;
    options.lower_bound = 1;
    options.damping = 1e-3;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    double bound[6];

    options.solver = BSQ_SOLVER_ROUND;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, NULL));
    for (int64_t m = 0; m < 6; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        bound[m] = channel.lower_bound * channel.objective;
    }
    options.solver = BSQ_SOLVER_AUTO;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, NULL));
    for (int64_t m = 0; m < 6; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        ck_assert_int_eq(channel.outcome, BSQ_OUTCOME_PROVEN);
        ck_assert_msg(bound[m] <= channel.objective * (1.0 + 1e-6) && bound[m] >= 0.99 * channel.objective,
                      "channel %d: the bound is %.9g, the optimum %.9g", (int)m, bound[m], channel.objective);
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

enum { STEP_INPUTS = 17, STEP_OUTPUTS = 8, STEP_ROWS = 200 };

/* Solves by 'effort' and reads the channels. */
static void solve_channels(bsq_layer_t *layer, bsq_options_t *options, int32_t effort, bsq_channel_t *channels)
{
    options->effort = effort;
    test_ok(layer, bsq_layer_set_options(layer, options));
    test_ok(layer, bsq_optimize(layer, NULL));
    for (int64_t m = 0; m < STEP_OUTPUTS; m++) {
        bsq_channel_init(&channels[m], sizeof *channels);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channels[m]));
    }
}

/* Inputs that are mixtures, and noise: a search for the optimum needs more nodes than it gets at once. */
static bsq_layer_t *layer_of_mixtures(const bsq_options_t *options, uint64_t seed)
{
    enum { FACTORS = 12 };
    struct test_random random = test_random_seed(seed);
    float weights[STEP_OUTPUTS * STEP_INPUTS], x[STEP_ROWS * STEP_INPUTS];
    double mixture[FACTORS * STEP_INPUTS];
    bsq_layer_t *layer;

    for (int i = 0; i < STEP_OUTPUTS * STEP_INPUTS; i++)
        weights[i] = (float)(test_random_uniform(&random) - 0.5);
    for (int i = 0; i < FACTORS * STEP_INPUTS; i++)
        mixture[i] = test_random_uniform(&random) - 0.5;
    for (int r = 0; r < STEP_ROWS; r++) {
        for (int i = 0; i < STEP_INPUTS; i++)
            x[r * STEP_INPUTS + i] = 0.3f * (float)(test_random_uniform(&random) - 0.5);
        for (int k = 0; k < FACTORS; k++) {
            double factor = 2.0 * test_random_uniform(&random) - 1.0;

            for (int i = 0; i < STEP_INPUTS; i++)
                x[r * STEP_INPUTS + i] += (float)(factor * mixture[k * STEP_INPUTS + i]);
        }
    }
    layer = layer_of(options, STEP_INPUTS, STEP_OUTPUTS, weights);
    calibrate(layer, x, NULL, NULL, STEP_ROWS);
    return layer;
}

/* What a search for the optimum leaves when its nodes are used up before the proof: a bound that is not above the optimum,
 * which more nodes prove. Bounds rise from half of J in steps of 2^(4 / n): of 17 inputs the last but one is 0.96 of it, so
 * that a bound 5 % too high shows. */
START_TEST(bounds_of_unfinished_searches_are_not_above_the_optimum)
{
    enum { LIMITED = 5, PROVING = 8, LAYERS = 4 };
    bsq_channel_t early[STEP_OUTPUTS], proven[STEP_OUTPUTS];
    bsq_options_t options;
    int32_t near = 0;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.damping = 1e-3;
    for (uint64_t seed = 1; seed <= LAYERS; seed++) {
        bsq_layer_t *layer = layer_of_mixtures(&options, seed);

        solve_channels(layer, &options, LIMITED, early);
        solve_channels(layer, &options, PROVING, proven);
        for (int64_t m = 0; m < STEP_OUTPUTS; m++) {
            double bound = early[m].lower_bound * early[m].objective;

            ck_assert_int_eq(proven[m].outcome, BSQ_OUTCOME_PROVEN);
            ck_assert_msg(bound <= proven[m].objective * (1.0 + 1e-6),
                          "channel %d: the bound is %.9g, the optimum %.9g", (int)m, bound, proven[m].objective);
            near += early[m].outcome != BSQ_OUTCOME_PROVEN && bound > 0.955 * proven[m].objective;
        }
        bsq_layer_free(layer);
    }
    ck_assert_msg(near > 0, "no search ends one step before the proof");
}
END_TEST

/* ---- progress ---- */

static int32_t note_fraction(const bsq_progress_t *progress, void *opaque)
{
    double *last = opaque;

    ck_assert_msg(progress->fraction >= *last && progress->fraction <= 1.0, "%g after %g", progress->fraction, *last);
    *last = progress->fraction;
    return 0;
}

/* Every kind of solve ends with all of its work reported. */
START_TEST(progress_ends_at_one)
{
    struct test_data data = test_data_linear(70, 20, 200, 5);
    bsq_options_t options;
    double last = 0.0, errors[3];

    bsq_options_init(&options, sizeof options);
    options.progress = note_fraction;
    options.progress_opaque = &last;
    options.scale_kind = kinds[_i % 3];
    options.group_size = 7;
    options.effort = _i / 3 % 2 ? 7 : 2;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);
    bsq_batch_t batch = test_data_batch(&data, 0, data.size, true);

    if (_i / 6) {
        batch.held_out = 1;
        last = 0.0;
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
    }
    last = 0.0;
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_msg(last == 1.0, "the last report is of %.17g", last);
    last = 0.0;
    test_ok(layer, bsq_layer_error_table(layer, 2, 4, errors, 3));
    ck_assert_msg(last == 1.0, "the last report of the table is of %.17g", last);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* So do the published method, held-out rows that decide about biases or efforts, and the judging of a tensor. */
START_TEST(progress_of_other_work_ends_at_one)
{
    struct test_data data = test_data_linear(70, 20, 200, 5);
    bsq_batch_t batch = test_data_batch(&data, 0, data.size, true);
    bsq_options_t options;
    bsq_report_t report;
    double last = 0.0;

    bsq_options_init(&options, sizeof options);
    options.progress = note_fraction;
    options.progress_opaque = &last;
    options.solver = _i == 0 ? BSQ_SOLVER_PAPER : BSQ_SOLVER_AUTO;
    options.bias_correction = _i == 1;
    options.select_on_held_out = _i == 2;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    last = 0.0;
    batch.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    last = 0.0;
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_msg(last == 1.0, "the last report is of %.17g", last);

    bsq_tensor_t tensor = test_tensor_get(layer);

    bsq_report_init(&report, sizeof report);
    last = 0.0;
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &report));
    ck_assert_msg(last == 1.0, "the last report of judging is of %.17g", last);
    test_tensor_free(&tensor);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("limits");

    tcase_add_loop_test(tests, infinite_objectives_are_refused, 0, 12);
    tcase_add_loop_test(tests, weights_beyond_the_format_are_rounded, 0, 2);
    tcase_add_loop_test(tests, weights_stay_within_float, 0, 84);
    tcase_add_loop_test(tests, scales_at_the_end_of_float_are_judged, 0, 3);
    tcase_add_test(tests, scales_beyond_float_are_not_proven);
    tcase_add_loop_test(tests, given_input_quantizers_beyond_float_are_refused, 0, 6);
    tcase_add_loop_test(tests, observed_inputs_at_the_end_of_float_are_refused, 0, 2);
    tcase_add_loop_test(tests, constant_inputs_leave_ordinary_weights, 0, 36);
    tcase_add_loop_test(tests, large_targets_leave_the_digits_of_j, 0, 18);
    tcase_add_loop_test(tests, limits_of_work_are_reported, 0, 4);
    tcase_add_test(tests, bitsplit_works_on_every_channel);
    tcase_add_loop_test(tests, bounds_are_not_above_the_optimum, 0, 6);
    tcase_add_test(tests, bounds_of_unfinished_searches_are_not_above_the_optimum);
    tcase_add_loop_test(tests, progress_ends_at_one, 0, 12);
    tcase_add_loop_test(tests, progress_of_other_work_ends_at_one, 0, 3);
    tcase_add_test(tests, flat_problems_are_left_unproven);
    return test_suite_of("limits", tests);
}
