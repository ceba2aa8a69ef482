/* The API on layers with many inputs, where H is kept once and in single precision: results are what they say, and memory
 * stays within what was promised and predicted. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

static bsq_report_t solve(bsq_layer_t *layer, const bsq_options_t *options)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_set_options(layer, options));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_msg(report.objective <= report.objective_start, "J %.17g is above that of rounding, %.17g",
                  report.objective, report.objective_start);
    return report;
}

/* With and without a target, few and many rows, scales of every kind. */
START_TEST(many_inputs_are_solved_as_few_are)
{
    bool target = _i % 2;
    struct test_data data = test_data_linear(3, 1030 + _i, _i < 3 ? 300 : 2500, (uint64_t)_i + 7);
    bsq_options_t options;
    double last = INFINITY;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 2 + _i % 4;
    options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC + _i / 2 % 2;
    options.scale_kind = _i == 4   ? BSQ_SCALE_KIND_PER_TENSOR
                         : _i == 5 ? BSQ_SCALE_KIND_PER_GROUP
                                   : BSQ_SCALE_KIND_PER_CHANNEL;
    options.group_size = 128;
    options.bias_correction = _i == 2 || _i == 3;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, target);

    for (options.effort = 0; options.effort <= 4; options.effort++) {
        bsq_report_t report = solve(layer, &options);
        double measured =
            options.bias_correction ? report.objective : measured_objective(layer, &data, &options, target);

        ck_assert_msg(fabs(report.objective - measured) <= (options.effort == 1 ? 1e-4 : 1e-6) * measured,
                      "effort %d: J is %.12g, not %.12g", (int)options.effort, measured, report.objective);
        ck_assert_msg(report.objective <= last, "effort %d: J rises from %.17g to %.17g", (int)options.effort, last,
                      report.objective);
        last = report.objective;
        if (options.effort >= 2)
            ck_assert_msg(report.objective < 0.9 * report.objective_start, "effort %d: %g against %g",
                          (int)options.effort, report.objective, report.objective_start);
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* So many that rows of H do not stand beside the factor. */
START_TEST(most_inputs_of_all)
{
    struct test_data data = test_data_linear(2, 3080, 120, 11);
    bsq_options_t options;
    double last = INFINITY;

    bsq_options_init(&options, sizeof options);
    options.asymmetry = 0;

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    for (options.effort = 1; options.effort <= 2; options.effort++) {
        bsq_report_t report = solve(layer, &options);
        double measured = measured_objective(layer, &data, &options, true);

        ck_assert_msg(fabs(report.objective - measured) <= 1e-4 * measured, "effort %d: J is %.12g, not %.12g",
                      (int)options.effort, measured, report.objective);
        ck_assert(report.objective <= last);
        last = report.objective;
    }
    ck_assert_msg(last < 0.9 * solve(layer, &options).objective_start, "J is %g", last);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* 8 G n^2 + 12 M n bytes and 64 MiB, 4 M n more with a target. */
static double promised(const struct test_data *data, bool target)
{
    double n = (double)data->fan_in, weights = (double)data->channels * n;

    return 8 * (double)data->groups * n * n + (target ? 16 : 12) * weights + 64 * 1024 * 1024;
}

static void check_memory(struct test_data *data, bool target)
{
    struct test_heap heap;
    bsq_options_t options;
    bsq_report_t report;
    size_t predicted;

    bsq_options_init(&options, sizeof options);
    bsq_report_init(&report, sizeof report);
    test_heap_init(&heap);
    test_heap_use(&heap, &options);

    bsq_layer_t *layer = test_data_calibrated(data, &options, target);

    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_int_eq(bsq_layer_memory(&data->desc, &options, &predicted, NULL), BSQ_OK);
    bsq_layer_free(layer);
    printf("n %lld, M %lld, %s target: peak %.1f MiB, predicted %.1f, promised %.1f\n", (long long)data->fan_in,
           (long long)data->channels, target ? "with" : "no", (double)heap.peak / 1048576, (double)predicted / 1048576,
           promised(data, target) / 1048576);
    ck_assert_msg((double)heap.peak <= promised(data, target), "%.1f MiB", (double)heap.peak / 1048576);
    ck_assert_msg((size_t)heap.peak <= predicted, "%.1f MiB", (double)heap.peak / 1048576);
    if (target) /* the prediction is for a layer with targets */
        ck_assert_msg((double)predicted <= 1.1 * (double)heap.peak, "predicted %.1f MiB", (double)predicted / 1048576);
}

START_TEST(memory_is_as_promised)
{
    static const int64_t shapes[][2] = {{576, 64}, {1024, 200}, {1500, 96}, {2304, 64}, {640, 1000}};
    struct test_data data = test_data_linear(shapes[_i][1], shapes[_i][0], 700, 3);

    check_memory(&data, false);
    check_memory(&data, true);
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("large");

    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, many_inputs_are_solved_as_few_are, 0, 6);
    if (!getenv("BSQ_CHECK_SLOW"))
        tcase_add_test(tests, most_inputs_of_all);
    tcase_add_loop_test(tests, memory_is_as_promised, 0, 5);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api large", all());
}
