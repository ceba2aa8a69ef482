/* The API as a host sees it: never above rounding, never worse with more effort, always finite. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- data that real layers bring and tests forget ---- */

enum data_kind {
    KIND_PLAIN,
    KIND_DEAD_INPUTS,
    KIND_DEAD_OUTPUTS,
    KIND_ALL_DEAD_INPUTS,
    KIND_ALL_DEAD_OUTPUTS,
    KIND_ONE_ROW,
    KIND_FEW_ROWS,
    KIND_CONSTANT_INPUT,
    KIND_CONSTANT_INPUTS,
    KIND_DUPLICATES,
    KIND_TINY,
    KIND_HUGE,
    KIND_TINY_WEIGHTS,
    KIND_HUGE_INPUTS,
    KIND_MIXED_INPUTS,
    KIND_CONV,
    KINDS
};

static const char *const kind_names[KINDS] = {
    "plain",       "dead inputs", "dead outputs",       "all inputs dead", "all outputs dead",
    "one row",     "few rows",    "one constant input", "constant inputs", "duplicate inputs",
    "1e-30",       "1e30",        "weights of 1e-30",   "inputs of 1e18",  "inputs of 1e-15 to 1e15",
    "convolution",
};

static void scale_values(float *values, int64_t count, double factor)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((double)values[i] * factor);
}

/* Input 'to' becomes factor times input 'from', plus 'constant'. */
static void set_input(struct test_data *data, int64_t to, int64_t from, double factor, double constant)
{
    for (int64_t r = 0; r < data->size; r++) {
        float *x = data->input + r * data->fan_in;

        x[to] = (float)(factor * (double)x[from] + constant);
    }
}

static void zero_weights(struct test_data *data, int64_t channel)
{
    memset(data->weights + channel * data->fan_in, 0, (size_t)data->fan_in * sizeof *data->weights);
}

static int64_t rows_of(enum data_kind kind)
{
    return kind == KIND_ONE_ROW ? 1 : kind == KIND_FEW_ROWS ? 5 : 80;
}

static void spoil(struct test_data *data, enum data_kind kind)
{
    int64_t weights = data->channels * data->fan_in, inputs = data->size * data->input_stride;
    int64_t targets = data->size * data->target_stride;

    switch (kind) {
    case KIND_DEAD_INPUTS:
        set_input(data, 0, 0, 0, 0);
        set_input(data, 7, 7, 0, 0);
        break;
    case KIND_DEAD_OUTPUTS: zero_weights(data, 1); break;
    case KIND_ALL_DEAD_INPUTS: memset(data->input, 0, (size_t)inputs * sizeof *data->input); break;
    case KIND_ALL_DEAD_OUTPUTS:
        for (int64_t m = 0; m < data->channels; m++)
            zero_weights(data, m);
        break;
    case KIND_CONSTANT_INPUT: set_input(data, 2, 2, 0, 1.5); break;
    case KIND_CONSTANT_INPUTS:
        for (int64_t i = 0; i < data->fan_in; i++)
            set_input(data, i, i, 0, (double)i - 3.25);
        break;
    case KIND_DUPLICATES:
        set_input(data, 3, 4, 1, 0);
        set_input(data, 5, 4, -2, 0);
        break;
    case KIND_TINY:
    case KIND_HUGE: {
        double factor = kind == KIND_TINY ? 1e-30 : 1e30;

        scale_values(data->input, inputs, factor);
        scale_values(data->target, targets, factor);
        scale_values(data->bias, data->channels, factor);
        break;
    }
    case KIND_TINY_WEIGHTS:
        scale_values(data->weights, weights, 1e-30);
        scale_values(data->target, targets, 1e-30);
        scale_values(data->bias, data->channels, 1e-30);
        break;
    case KIND_HUGE_INPUTS:
        scale_values(data->input, inputs, 1e18);
        scale_values(data->weights, weights, 1e18);
        break;
    case KIND_MIXED_INPUTS:
        set_input(data, 1, 1, 1e-15, 0);
        set_input(data, 2, 2, 1e15, 0);
        break;
    default: break;
    }
}

static struct test_data data_of(enum data_kind kind)
{
    struct test_data data = kind == KIND_CONV ? test_data_conv(4, 3) : test_data_linear(3, 9, rows_of(kind), 3);

    spoil(&data, kind);
    return data;
}

/* ---- what must hold for every result ---- */

static void check_numbers(const bsq_report_t *report, const char *name)
{
    const double values[] = {report->objective_start, report->objective,      report->energy,
                             report->error,           report->error_start,    report->error_floor,
                             report->held_out_error,  report->weight_error,   report->error_uncorrected,
                             report->error_corrected, report->held_out_energy};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        ck_assert_msg(isfinite(values[i]), "%s: value %d of the report is %g", name, (int)i, values[i]);
}

/* A scale that the format can express. */
static bool scale_is_valid(float scale, int32_t format)
{
    int exponent;
    float mantissa = frexpf(scale, &exponent);

    if (!(scale > 0) || !isfinite(scale))
        return false;
    if (format == BSQ_SCALE_FORMAT_POWER_OF_TWO)
        return mantissa == 0.5f;
    if (format == BSQ_SCALE_FORMAT_FLOAT16)
        return exponent >= -13 && scale <= 65504.0f && mantissa * 2048 == rintf(mantissa * 2048);
    return true;
}

static void check_result(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options,
                         const char *name)
{
    struct test_output output = test_output_get(layer, data, options);
    int32_t highest = (1 << (options->weight_bits - 1)) - 1;
    int32_t lowest = options->weight_grid == BSQ_WEIGHT_GRID_FULL ? -highest - 1 : -highest;

    check_numbers(&output.report, name);
    for (size_t i = 0; i < output.scale_count; i++)
        ck_assert_msg(scale_is_valid(output.scales[i], options->scale_format), "%s: scale %g", name,
                      (double)output.scales[i]);
    for (size_t i = 0; i < output.code_count; i++) {
        ck_assert_msg(output.codes[i] >= lowest && output.codes[i] <= highest, "%s: code %d", name, output.codes[i]);
        ck_assert_msg(isfinite(output.dequantized[i]), "%s: weight %g", name, (double)output.dequantized[i]);
    }
    for (size_t m = 0; m < output.bias_count; m++)
        ck_assert_msg(isfinite(output.bias[m]), "%s: bias %g", name, (double)output.bias[m]);
    test_output_free(&output);
}

/* J of the last result from the statistics as the host sees them. */
static double measured_objective(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options,
                                 bool target)
{
    struct test_output output = test_output_get(layer, data, options);
    struct test_moments moments = test_moments_get(layer, data, 0, target);
    struct test_error error =
        test_output_error(&output, data, &moments, target ? options->asymmetry : 0, output.report.damping);

    test_moments_free(&moments);
    test_output_free(&output);
    return error.objective;
}

static double solve(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options, const char *name)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_set_options(layer, options));
    test_ok(layer, bsq_optimize(layer, &report));
    check_result(layer, data, options, name);
    ck_assert_msg(report.objective <= report.objective_start, "%s: J %.17g is above that of rounding, %.17g", name,
                  report.objective, report.objective_start);
    return report.objective;
}

/* Rounding, then every effort; under sanitizers, which slow the highest most, those up to 4. */
static void climb(bsq_layer_t *layer, const struct test_data *data, bsq_options_t options, const char *name)
{
    int32_t most = getenv("BSQ_CHECK_SLOW") ? 4 : 9;

    options.solver = BSQ_SOLVER_ROUND;

    double last = solve(layer, data, &options, name), measured = measured_objective(layer, data, &options, true);

    options.solver = BSQ_SOLVER_AUTO;
    for (options.effort = 0; options.effort <= most; options.effort++) {
        double objective = solve(layer, data, &options, name);

        ck_assert_msg(objective <= last, "%s, effort %d, %d bits: J rises from %.17g to %.17g", name,
                      (int)options.effort, (int)options.weight_bits, last, objective);
        last = objective;
    }
    options.effort = most;
    ck_assert_msg(measured_objective(layer, data, &options, true) <= measured * (1 + 1e-6),
                  "%s: measured J above rounding", name);
}

static bsq_options_t combination(int bits, int range, int kind, int format)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.weight_grid = range;
    options.scale_kind = kind;
    options.scale_format = format;
    options.group_size = 4;
    return options;
}

/* Every width, range, kind and format of scales, on a random layer each. */
START_TEST(effort_never_hurts)
{
    int bits = _i + 2;
    uint64_t seed = (uint64_t)bits * 100;

    for (int range = BSQ_WEIGHT_GRID_SYMMETRIC; range <= BSQ_WEIGHT_GRID_FULL; range++)
        for (int kind = BSQ_SCALE_KIND_PER_TENSOR; kind <= BSQ_SCALE_KIND_PER_GROUP; kind++)
            for (int format = BSQ_SCALE_FORMAT_FLOAT32; format <= BSQ_SCALE_FORMAT_POWER_OF_TWO; format++) {
                struct test_data data = test_data_linear(3, 10, 14 + 30 * (format - BSQ_SCALE_FORMAT_FLOAT32), seed++);
                bsq_options_t options = combination(bits, range, kind, format);

                options.asymmetry = (kind - BSQ_SCALE_KIND_PER_TENSOR + 1) / 3.0;

                bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

                climb(layer, &data, options, "random layer");
                bsq_layer_free(layer);
                test_data_free(&data);
            }
}
END_TEST

START_TEST(effort_never_hurts_odd_data)
{
    struct test_data data = data_of((enum data_kind)_i);

    for (int kind = BSQ_SCALE_KIND_PER_TENSOR; kind <= BSQ_SCALE_KIND_PER_GROUP; kind++) {
        bsq_options_t options = combination(3 + kind - BSQ_SCALE_KIND_PER_TENSOR,
                                            BSQ_WEIGHT_GRID_SYMMETRIC + (kind + 1) % 2, kind, BSQ_SCALE_FORMAT_FLOAT32);
        bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

        climb(layer, &data, options, kind_names[_i]);
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

/* Layers large enough for effort 1 in single precision, on which the others build: what they report for rounding is its J. */
START_TEST(effort_never_hurts_many_inputs)
{
    struct test_data data = test_data_linear(5 + 66 * (_i % 2), 90 + 130 * (_i / 2 % 2), 500, (uint64_t)_i + 40);
    bsq_options_t options = combination(2 + _i % 3, BSQ_WEIGHT_GRID_SYMMETRIC + _i / 2 % 2, BSQ_SCALE_KIND_PER_CHANNEL,
                                        BSQ_SCALE_FORMAT_FLOAT32);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);
    bsq_report_t report;

    options.asymmetry = 0;
    climb(layer, &data, options, "many inputs");
    bsq_report_init(&report, sizeof report);
    for (options.effort = 2; options.effort <= 6; options.effort += 4) {
        double start;

        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        start = report.objective_start;
        options.solver = BSQ_SOLVER_ROUND;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        options.solver = BSQ_SOLVER_AUTO;
        ck_assert_double_eq_tol(start, report.objective, 1e-4 * start);
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

static void check_warnings(const bsq_report_t *report, enum data_kind kind)
{
    if (kind == KIND_DEAD_INPUTS || kind == KIND_ALL_DEAD_INPUTS) {
        ck_assert(report->warnings & BSQ_WARNING_DEAD_INPUTS);
        ck_assert_int_eq(report->dead_inputs, kind == KIND_DEAD_INPUTS ? 2 : 9);
    }
    if (kind == KIND_DEAD_OUTPUTS || kind == KIND_ALL_DEAD_OUTPUTS) {
        ck_assert(report->warnings & BSQ_WARNING_DEAD_OUTPUTS);
        ck_assert_int_eq(report->dead_outputs, kind == KIND_DEAD_OUTPUTS ? 1 : 3);
    }
    if (kind == KIND_ONE_ROW || kind == KIND_FEW_ROWS)
        ck_assert(report->warnings & BSQ_WARNING_FEW_ROWS);
    if (kind == KIND_PLAIN)
        ck_assert_int_eq(report->warnings, 0);
}

/* Every solver, with and without target, held-out rows, bias correction and quantized inputs. */
START_TEST(odd_data_gives_finite_results)
{
    struct test_data data = data_of((enum data_kind)_i);

    for (int variant = 0; variant < 24; variant++) {
        int32_t solver = BSQ_SOLVER_AUTO + variant % 3;
        bsq_options_t options =
            combination(2 + variant % 7, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_SCALE_KIND_PER_CHANNEL,
                        BSQ_SCALE_FORMAT_FLOAT32 + (solver == BSQ_SOLVER_AUTO ? variant / 3 % 3 : 0));

        options.solver = solver;
        options.scale_kind =
            solver == BSQ_SOLVER_PAPER ? BSQ_SCALE_KIND_PER_CHANNEL : BSQ_SCALE_KIND_PER_TENSOR + variant / 2 % 3;
        options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC + (solver == BSQ_SOLVER_PAPER ? 0 : variant / 4 % 2);
        options.bias_correction = variant / 5 % 2;
        options.input_bits = variant / 6 % 2 ? 8 : 0;
        options.damping = variant / 7 % 2 ? 0 : -1;

        bsq_layer_t *layer = test_data_layer(&data, &options);
        bsq_batch_t batch = test_data_batch(&data, 0, data.size, variant % 2);
        bsq_report_t report;

        if (options.input_bits)
            test_ok(layer, bsq_layer_observe(layer, &batch));
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
        if (variant / 8 % 2) {
            batch.held_out = 1;
            test_ok(layer, bsq_layer_calibrate(layer, &batch));
        }
        bsq_report_init(&report, sizeof report);
        test_ok(layer, bsq_optimize(layer, &report));
        check_result(layer, &data, &options, kind_names[_i]);
        if (options.input_bits == 0 && options.scale_format == 0)
            check_warnings(&report, (enum data_kind)_i);
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

/* A dead layer costs nothing, whatever its neighbours are. */
START_TEST(nothing_in_gives_no_error)
{
    struct test_data data = data_of(KIND_ALL_DEAD_OUTPUTS);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false);
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.error == 0 && report.objective == 0 && report.energy == 0);

    struct test_output output = test_output_get(layer, &data, NULL);

    for (size_t i = 0; i < output.code_count; i++)
        ck_assert_int_eq(output.codes[i], 0);
    test_output_free(&output);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Codes that express the weights exactly are found. */
START_TEST(exact_weights_are_kept)
{
    struct test_data data = test_data_linear(4, 8, 200, 5);
    bsq_options_t options =
        combination(3, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32);
    struct test_random random = test_random_seed(3);
    bsq_report_t report;

    for (int i = 0; i < 32; i++)
        data.weights[i] = 0.25f * (float)(i % 8 ? test_random_below(&random, 7) - 3 : 3);

    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.error < 1e-12);
    ck_assert(report.weight_error < 1e-12);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Data help: with correlated inputs the default solver is far below rounding. */
START_TEST(data_help)
{
    struct test_data data = test_data_linear(16, 48, 2000, 5);
    bsq_options_t options =
        combination(3, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32);
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_msg(report.error < 0.7 * report.error_start, "%g against %g", report.error, report.error_start);
    ck_assert_int_eq(report.channels_improved, 16);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Effort 1 on larger layers takes J from single precision: what it reports is what its codes and scales give. */
START_TEST(quick_results_are_what_they_say)
{
    struct test_data data = test_data_linear(70, 96, 40 + 60 * (_i % 3), (uint64_t)_i + 40);

    spoil(&data, (enum data_kind)_i);
    for (int bits = 2; bits <= 8; bits += 3) {
        bsq_options_t options = combination(bits, BSQ_WEIGHT_GRID_SYMMETRIC + bits / 3 % 2, BSQ_SCALE_KIND_PER_CHANNEL,
                                            BSQ_SCALE_FORMAT_FLOAT32);
        bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
        double measured, last, rounding;

        options.solver = BSQ_SOLVER_ROUND;
        rounding = solve(layer, &data, &options, kind_names[_i]);
        options.solver = BSQ_SOLVER_AUTO;
        options.effort = 1;
        last = solve(layer, &data, &options, kind_names[_i]);
        measured = measured_objective(layer, &data, &options, false);
        ck_assert_msg(fabs(last - measured) <= 3e-5 * measured, "%s, %d bits: J is %.9g, not %.9g", kind_names[_i],
                      bits, measured, last);
        ck_assert_msg(last <= rounding, "%s, %d bits: %.9g is above rounding, %.9g", kind_names[_i], bits, last,
                      rounding);
        for (options.effort = 2; options.effort <= 4; options.effort++) {
            double next = solve(layer, &data, &options, kind_names[_i]);

            ck_assert_msg(next <= last, "%s, %d bits, effort %d: J rises from %.17g to %.17g", kind_names[_i], bits,
                          (int)options.effort, last, next);
            last = next;
        }
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("quality");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, effort_never_hurts, 0, 7);
    tcase_add_loop_test(tests, effort_never_hurts_odd_data, 0, KINDS);
    tcase_add_loop_test(tests, effort_never_hurts_many_inputs, 0, 4);
    tcase_add_loop_test(tests, odd_data_gives_finite_results, 0, KINDS);
    tcase_add_test(tests, nothing_in_gives_no_error);
    tcase_add_test(tests, exact_weights_are_kept);
    tcase_add_test(tests, data_help);
    tcase_add_loop_test(tests, quick_results_are_what_they_say, 0, KIND_CONV);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api quality", all());
}
