/* The API as a host sees it: what the getters, the packing and the report give, checked against each other and
 * against the definition of the error. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    return options;
}

static size_t count_of(bsq_layer_t *layer, int32_t result)
{
    size_t count = 77;

    test_ok(layer, bsq_layer_result_count(layer, result, &count));
    return count;
}

/* ---- counts ---- */

START_TEST(counts_are_exact)
{
    struct test_data data = test_data_linear(5, 7, 60, 1);
    bsq_options_t options = defaults();
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    int8_t codes[36];
    float floats[36];
    int8_t planes[7 * 35 + 1];

    for (int32_t bits = 2; bits <= 8; bits++) {
        options.weight_bits = bits;
        options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options.group_size = bits - 1;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, NULL));

        size_t scales = 5 * (size_t)((7 + bits - 2) / (bits - 1)), plane_count = (size_t)(bits - 1) * 35;

        ck_assert_uint_eq(count_of(layer, BSQ_RESULT_CODES), 35);
        ck_assert_uint_eq(count_of(layer, BSQ_RESULT_SCALES), scales);
        ck_assert_uint_eq(count_of(layer, BSQ_RESULT_BIAS), 5);
        ck_assert_uint_eq(count_of(layer, BSQ_RESULT_DEQUANTIZED), 35);
        ck_assert_uint_eq(count_of(layer, BSQ_RESULT_PLANES), plane_count);
        for (size_t off = 0; off < 3; off++) {
            bsq_status_t expected = off == 1 ? BSQ_OK : BSQ_E_SIZE;

            ck_assert_int_eq(bsq_layer_get_codes(layer, codes, 34 + off), expected);
            ck_assert_int_eq(bsq_layer_get_scales(layer, floats, scales - 1 + off), expected);
            ck_assert_int_eq(bsq_layer_get_bias(layer, floats, 4 + off), expected);
            ck_assert_int_eq(bsq_layer_get_dequantized(layer, floats, 34 + off), expected);
            ck_assert_int_eq(bsq_layer_get_planes(layer, planes, plane_count - 1 + off), expected);
        }
    }
    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    ck_assert_uint_eq(count_of(layer, BSQ_RESULT_SCALES), 5);
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_uint_eq(count_of(layer, BSQ_RESULT_SCALES), 1);
    options.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_uint_eq(count_of(layer, BSQ_RESULT_SCALES), 5);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- codes, planes, dequantized weights, packing ---- */

/* The planes, written down by their definition. */
static void check_planes(bsq_layer_t *layer, const int8_t *codes, int count, int32_t bits, bool expressible)
{
    int8_t planes[7 * 108];

    if (!expressible) {
        test_fails(layer, BSQ_E_FORMAT, "plane", bsq_layer_get_planes(layer, planes, (size_t)((bits - 1) * count)));
        return;
    }
    test_ok(layer, bsq_layer_get_planes(layer, planes, (size_t)((bits - 1) * count)));
    for (int i = 0; i < count; i++) {
        int sum = 0;

        for (int m = 0; m < bits - 1; m++) {
            int digit = planes[m * count + i];

            ck_assert(digit == 0 || digit == (codes[i] > 0 ? 1 : -1));
            sum += digit * (1 << m);
        }
        ck_assert_int_eq(sum, codes[i]);
    }
}

static void check_format(bsq_layer_t *layer, const int8_t *codes, int64_t channels, int64_t fan_in, int32_t bits,
                         int32_t format, bool possible)
{
    unsigned char packed[4096];
    int8_t unpacked[108];
    size_t size, count = (size_t)(channels * fan_in);
    bsq_tensor_t tensor = test_tensor_get(layer), back = test_tensor_codes(bits, channels, fan_in, unpacked);
    bsq_status_t status = bsq_tensor_packed_size(&tensor, format, &size, NULL);

    if (status == BSQ_OK) {
        ck_assert_uint_le(size, sizeof packed);
        ck_assert_int_eq(bsq_tensor_pack(&tensor, format, packed, size - 1, NULL), BSQ_E_SIZE);
        ck_assert_int_eq(bsq_tensor_pack(&tensor, format, packed, size + 1, NULL), BSQ_E_SIZE);
        status = bsq_tensor_pack(&tensor, format, packed, size, NULL);
    }
    test_tensor_free(&tensor);
    ck_assert_msg(status == (possible ? BSQ_OK : BSQ_E_FORMAT), "format %d at %d bits: %d", (int)format, (int)bits,
                  (int)status);
    if (!possible)
        return;
    ck_assert_int_eq(bsq_tensor_unpack(format, packed, size, &back, NULL), BSQ_OK);
    ck_assert_mem_eq(codes, unpacked, count);
    ck_assert_int_eq(bsq_tensor_unpack(format, packed, size - 1, &back, NULL), BSQ_E_SIZE);
}

static void check_one_result(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options)
{
    struct test_output output = test_output_get(layer, data, options);
    int32_t bits = options->weight_bits, highest = (1 << (bits - 1)) - 1;
    int32_t lowest = options->weight_grid == BSQ_WEIGHT_GRID_FULL ? -highest - 1 : -highest;
    int64_t count = data->channels * data->fan_in;
    bool has_lowest = false;

    for (int64_t i = 0; i < count; i++) {
        int64_t m = i / data->fan_in;
        double scale = test_output_scale(&output, data, m, i % data->fan_in);

        ck_assert_int_ge(output.codes[i], lowest);
        ck_assert_int_le(output.codes[i], highest);
        has_lowest |= output.codes[i] < -highest;
        ck_assert(scale > 0);
        ck_assert(output.dequantized[i] == (float)(scale * output.codes[i]));
    }
    check_planes(layer, output.codes, (int)count, bits, !has_lowest);
    check_format(layer, output.codes, data->channels, data->fan_in, bits, BSQ_FORMAT_INT8, true);
    check_format(layer, output.codes, data->channels, data->fan_in, bits, BSQ_FORMAT_ONNX_INT4, bits <= 4);
    check_format(layer, output.codes, data->channels, data->fan_in, bits, BSQ_FORMAT_ONNX_INT2, bits <= 2);
    check_format(layer, output.codes, data->channels, data->fan_in, bits, BSQ_FORMAT_TERNARY_PLANES, !has_lowest);
    check_format(layer, output.codes, data->channels, data->fan_in, bits, BSQ_FORMAT_SIGN_MAGNITUDE_PLANES,
                 !has_lowest);
    test_output_free(&output);
}

START_TEST(results_agree_with_each_other)
{
    struct test_data data = test_data_conv(6, 2);
    bsq_options_t options = defaults();
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    for (int32_t bits = 2; bits <= 8; bits++)
        for (int32_t range = BSQ_WEIGHT_GRID_SYMMETRIC; range <= BSQ_WEIGHT_GRID_FULL; range++)
            for (int32_t kind = BSQ_SCALE_KIND_PER_TENSOR; kind <= BSQ_SCALE_KIND_PER_GROUP; kind++) {
                options.weight_bits = bits;
                options.weight_grid = range;
                options.scale_kind = kind;
                options.group_size = 5;
                options.effort = 2;
                test_ok(layer, bsq_layer_set_options(layer, &options));
                test_ok(layer, bsq_optimize(layer, NULL));
                check_one_result(layer, &data, &options);
            }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- the report against the definition ---- */

static void check_close(double a, double b, double relative, const char *what)
{
    ck_assert_msg(fabs(a - b) <= relative * fabs(b), "%s: %.17g instead of %.17g", what, a, b);
}

static double weight_error(const struct test_output *output, const struct test_data *data)
{
    double error = 0, energy = 0;

    for (int64_t i = 0; i < data->channels * data->fan_in; i++) {
        double w = (double)data->weights[i];
        double scale = test_output_scale(output, data, i / data->fan_in, i % data->fan_in);

        error += (w - scale * output->codes[i]) * (w - scale * output->codes[i]);
        energy += w * w;
    }
    return error / energy;
}

/* Sums over channels, and per-channel reports that add up to them. */
static void check_channels(bsq_layer_t *layer, const struct test_output *output)
{
    double objective = 0, start = 0, energy = 0, loss = 0;
    int64_t improved = 0;

    for (int64_t m = 0; m < (int64_t)output->bias_count; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        objective += channel.objective;
        start += channel.objective_start;
        energy += channel.energy;
        loss += channel.error * channel.energy;
        improved += channel.objective < channel.objective_start;
    }
    check_close(objective, output->report.objective, 1e-9, "sum of objectives");
    check_close(start, output->report.objective_start, 1e-9, "sum of objectives of rounding");
    check_close(energy, output->report.energy, 1e-9, "sum of energies");
    check_close(loss, output->report.error * output->report.energy, 1e-9, "sum of errors");
    ck_assert_int_eq(improved, output->report.channels_improved);
}

static void check_stages(bsq_layer_t *layer, const struct test_output *output)
{
    ck_assert_int_gt(output->report.stages, 0);
    for (int32_t i = 0; i < output->report.stages; i++) {
        bsq_stage_t stage;

        bsq_stage_init(&stage, sizeof stage);
        test_ok(layer, bsq_layer_get_stage_report(layer, i, &stage));
        ck_assert(stage.seconds >= 0 && isfinite(stage.objective_before) && isfinite(stage.objective_after));
        ck_assert_str_ne(bsq_stage_string(stage.stage), "unknown");
        ck_assert_int_ge(stage.sweeps, 0);
        ck_assert(stage.effort >= 0 && stage.effort <= output->report.effort);
    }
    ck_assert_str_ne(bsq_outcome_string(output->report.outcome), "unknown");
    ck_assert_str_ne(bsq_kernel_string(output->report.kernel), "unknown");
    ck_assert(output->report.seconds >= 0);
}

static void check_report(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options, bool target)
{
    struct test_output output = test_output_get(layer, data, options);
    struct test_moments train = test_moments_get(layer, data, 0, target);
    struct test_moments held_out = test_moments_get(layer, data, 1, target);
    double mu = target ? options->asymmetry : 0;
    struct test_error error = test_output_error(&output, data, &train, mu, output.report.damping);
    struct test_error apart = test_output_error(&output, data, &held_out, mu, 0);
    const bsq_report_t *report = &output.report;

    check_close(report->energy, error.energy, 1e-6, "energy");
    check_close(report->objective, error.objective, 1e-6, "objective");
    check_close(report->error, error.loss / error.energy, 1e-6, "error");
    check_close(report->held_out_energy, apart.energy, 1e-6, "held-out energy");
    check_close(report->held_out_error, apart.loss / apart.energy, 1e-6, "held-out error");
    check_close(report->weight_error, weight_error(&output, data), 1e-6, "weight error");
    ck_assert(report->objective <= report->objective_start * (1 + 1e-12));
    ck_assert(report->error_floor <= report->error * (1 + 1e-9));
    ck_assert(target && mu > 0 ? report->error_floor > 0 : report->error_floor >= 0);
    ck_assert(report->error_uncorrected == report->error);
    check_close(report->rows, train.rows, 1e-12, "rows");
    check_close(report->rows_per_input, train.rows / (double)data->fan_in, 1e-12, "rows per input");
    ck_assert_int_eq(report->solver, options->solver);
    ck_assert_int_eq(report->effort, options->effort);
    ck_assert_int_eq(report->weight_bits, options->weight_bits);
    ck_assert_int_eq(report->weight_grid, options->weight_grid);
    check_channels(layer, &output);
    check_stages(layer, &output);
    for (size_t m = 0; m < output.bias_count; m++)
        ck_assert(output.bias[m] == data->bias[m]);
    test_moments_free(&train);
    test_moments_free(&held_out);
    test_output_free(&output);
}

static void calibrate_both(bsq_layer_t *layer, const struct test_data *data, bool target)
{
    int64_t half = data->size / 2;
    bsq_batch_t train = test_data_batch(data, 0, half, target);
    bsq_batch_t held_out = test_data_batch(data, half, data->size - half, target);

    held_out.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &train));
    test_ok(layer, bsq_layer_calibrate(layer, &held_out));
}

static void check_reports(const struct test_data *data, bool target)
{
    bsq_options_t options = defaults();
    bsq_layer_t *layer = test_data_layer(data, &options);

    calibrate_both(layer, data, target);
    for (int32_t solver = BSQ_SOLVER_AUTO; solver <= BSQ_SOLVER_PAPER; solver++)
        for (int32_t bits = 2; bits <= 4; bits++)
            for (int mu = 0; mu <= 2; mu++)
                for (int32_t kind = BSQ_SCALE_KIND_PER_TENSOR; kind <= BSQ_SCALE_KIND_PER_GROUP; kind++) {
                    if (solver == BSQ_SOLVER_PAPER && kind != BSQ_SCALE_KIND_PER_CHANNEL)
                        continue;
                    options.solver = solver;
                    options.weight_bits = bits;
                    options.scale_kind = kind;
                    options.group_size = 4;
                    options.asymmetry = mu / 2.0;
                    options.effort = 3 + mu;
                    test_ok(layer, bsq_layer_set_options(layer, &options));
                    test_ok(layer, bsq_optimize(layer, NULL));
                    check_report(layer, data, &options, target);
                }
    bsq_layer_free(layer);
}

START_TEST(report_is_what_the_definition_gives)
{
    struct test_data linear = test_data_linear(5, 10, 240, 8), conv = test_data_conv(8, 8);

    check_reports(&linear, _i);
    check_reports(&conv, _i);
    test_data_free(&linear);
    test_data_free(&conv);
}
END_TEST

START_TEST(damping_of_the_report)
{
    static const struct {
        int64_t rows;
        double damping;
    } cases[] = {{6, 0.3}, {10, 0.3}, {80, 0.0375}, {200, 0.015}};
    bsq_options_t options = defaults();
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_data data = test_data_linear(3, 10, cases[i].rows, 8);
        bsq_layer_t *layer = test_data_calibrated(&data, &options, false);

        options.damping = -1;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        check_close(report.damping, cases[i].damping, 1e-9, "damping");
        options.damping = 0.03;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        ck_assert(report.damping == 0.03);
        ck_assert_int_eq((report.warnings & BSQ_WARNING_FEW_ROWS) != 0, cases[i].rows < 20);
        bsq_layer_free(layer);
        test_data_free(&data);
    }
}
END_TEST

/* ---- bias correction ---- */

/* Mean squared output error over the rows first..end-1 themselves, with the bias as the getter gives it. */
static double error_between(const struct test_data *data, const struct test_output *output, int64_t first, int64_t end)
{
    double sum = 0;

    for (int64_t r = first; r < end; r++)
        for (int64_t m = 0; m < data->channels; m++) {
            double e = (double)output->bias[m] - (double)data->target[r * data->channels + m];

            for (int64_t i = 0; i < data->fan_in; i++)
                e += (double)output->dequantized[m * data->fan_in + i] * (double)data->input[r * data->fan_in + i];
            sum += e * e;
        }
    return sum / (double)(end - first);
}

static double error_on_rows(const struct test_data *data, const struct test_output *output)
{
    return error_between(data, output, 0, data->size);
}

/* Mean of what output m lacks, without its bias. */
static double mean_gap(const struct test_data *data, const struct test_output *output,
                       const struct test_moments *moments, int64_t m)
{
    double gap = moments->target_mean[m];

    for (int64_t i = 0; i < data->fan_in; i++)
        gap -= test_output_scale(output, data, m, i) * output->codes[m * data->fan_in + i] * moments->input_mean[i];
    return gap;
}

/* What a mix of outputs and targets has for energy once its mean is the target's. */
static double energy_of_target_mean(const struct test_data *data, const struct test_moments *moments, double mu,
                                    double energy)
{
    for (int64_t m = 0; m < data->channels; m++) {
        double mean = mu * moments->target_mean[m];

        for (int64_t i = 0; i < data->fan_in; i++)
            mean += (1 - mu) * (double)data->weights[m * data->fan_in + i] * moments->input_mean[i];
        energy += moments->target_mean[m] * moments->target_mean[m] - mean * mean;
    }
    return energy;
}

/* Adds to the targets of rows from 'first' on, to each output's another number. */
static void shift_targets(const struct test_data *data, int64_t first, double shift)
{
    for (int64_t i = first * data->channels; i < data->size * data->channels; i++)
        data->target[i] = (float)((double)data->target[i] + shift * (double)(1 + i % data->channels));
}

START_TEST(bias_correction_does_what_the_report_says)
{
    struct test_data data = test_data_linear(5, 10, 300, 8);
    bsq_options_t options = defaults();
    int64_t corrected = 0;

    options.weight_bits = 3;
    options.bias_correction = 1;
    options.asymmetry = _i == 0 ? 1.0 : 0.5; /* the wanted mean is the target's, with any mu above 0 */

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    test_ok(layer, bsq_optimize(layer, NULL));

    struct test_output output = test_output_get(layer, &data, &options);
    struct test_moments moments = test_moments_get(layer, &data, 0, true);
    struct test_error plain = test_output_error(&output, &data, &moments, 1, 0);

    if (_i == 0) {
        check_close(output.report.error * output.report.energy, error_on_rows(&data, &output), 1e-5,
                    "error on the rows");
        check_close(output.report.error_uncorrected * output.report.energy, plain.loss, 1e-6,
                    "error without correction");
    }
    ck_assert(output.report.error_corrected <= output.report.error_uncorrected * (1 + 1e-9));
    plain = test_output_error(&output, &data, &moments, options.asymmetry, 0);
    check_close(output.report.energy, energy_of_target_mean(&data, &moments, options.asymmetry, plain.energy), 1e-6,
                "energy");
    for (int64_t m = 0; m < data.channels; m++) {
        bsq_channel_t channel;
        double expected = moments.target_mean[m];

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        for (int64_t i = 0; i < data.fan_in; i++)
            expected -= (double)output.dequantized[m * data.fan_in + i] * moments.input_mean[i];
        if (!channel.bias_corrected)
            expected = 0;
        corrected += channel.bias_corrected;
        ck_assert_double_eq_tol((double)output.bias[m], (double)data.bias[m] + expected, 1e-5);
    }
    ck_assert_int_gt(corrected, 0);
    test_moments_free(&moments);
    test_output_free(&output);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A report of biases that stay says what correcting them would leave. */
START_TEST(error_corrected_is_what_correction_would_leave)
{
    struct test_data data = test_data_linear(5, 10, 300, 8);
    bsq_options_t options = defaults();

    options.weight_bits = 3;
    shift_targets(&data, 0, 0.1);

    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    test_ok(layer, bsq_optimize(layer, NULL));

    struct test_output output = test_output_get(layer, &data, &options);
    struct test_moments moments = test_moments_get(layer, &data, 0, true);
    double loss = test_output_error(&output, &data, &moments, 1, 0).loss, corrected = loss;

    for (int64_t m = 0; m < data.channels; m++)
        corrected -= mean_gap(&data, &output, &moments, m) * mean_gap(&data, &output, &moments, m);
    ck_assert_msg(corrected < 0.9 * loss, "there is nothing to correct: %g of %g", corrected, loss);
    check_close(output.report.error_uncorrected * output.report.energy, loss, 1e-6, "error without correction");
    check_close(output.report.error_corrected * output.report.energy, corrected, 1e-6, "error with correction");
    test_moments_free(&moments);
    test_output_free(&output);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* The held-out error is that of the outputs as they will be, corrected by the mean of the other rows. */
START_TEST(held_out_error_is_of_corrected_outputs)
{
    struct test_data data = test_data_linear(5, 10, 300, 8);
    bsq_options_t options = defaults();
    int64_t half = data.size / 2;

    options.weight_bits = 3;
    options.bias_correction = 1;
    shift_targets(&data, 0, 0.1);
    shift_targets(&data, half, 0.03);

    bsq_layer_t *layer = test_data_layer(&data, &options);

    calibrate_both(layer, &data, true);
    test_ok(layer, bsq_optimize(layer, NULL));

    struct test_output output = test_output_get(layer, &data, &options);

    for (int64_t m = 0; m < data.channels; m++)
        ck_assert(output.bias[m] != data.bias[m]);
    check_close(output.report.error * output.report.energy, error_between(&data, &output, 0, half), 1e-5, "error");
    check_close(output.report.held_out_error * output.report.held_out_energy,
                error_between(&data, &output, half, data.size), 1e-5, "held-out error");
    test_output_free(&output);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Held-out rows decide: where the correction does not help there, the bias stays. */
START_TEST(bias_correction_is_kept_only_where_it_helps)
{
    struct test_data data = test_data_linear(5, 10, 300, 8);
    bsq_options_t options = defaults();

    options.weight_bits = 3;
    options.bias_correction = 1;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    bsq_batch_t batch = test_data_batch(&data, 0, 300, false);

    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    for (int64_t i = 0; i < 300 * 10; i++)
        data.input[i] = -data.input[i];
    batch.held_out = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_optimize(layer, NULL));

    struct test_output output = test_output_get(layer, &data, &options);

    for (int64_t m = 0; m < 5; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        ck_assert_int_eq(channel.bias_corrected, 0);
        ck_assert(output.bias[m] == data.bias[m]);
    }
    test_output_free(&output);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* A layer without bias gets one of zeros, and without means there is nothing to correct with. */
START_TEST(bias_without_means_or_bias)
{
    struct test_data data = test_data_linear(3, 4, 60, 8);
    bsq_options_t options = defaults();
    bsq_layer_t *layer;
    bsq_moments_t moments;
    bsq_report_t report;
    double h[16] = {2, 1, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 3};
    float bias[3];

    options.bias_correction = 1;
    bsq_moments_init(&moments, sizeof moments);
    bsq_report_init(&report, sizeof report);
    moments.h = h;
    ck_assert_int_eq(bsq_layer_create(&data.desc, &options, data.weights, NULL, &layer, NULL), BSQ_OK);
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    test_fails(layer, BSQ_E_STATE, "means", bsq_optimize(layer, &report));
    test_ok(layer, bsq_layer_set_options(layer, NULL));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert(report.error_corrected == -1);
    ck_assert(report.held_out_error == -1);
    ck_assert(report.rows == 0 && report.rows_per_input == 0);
    ck_assert(!(report.warnings & BSQ_WARNING_FEW_ROWS));
    test_ok(layer, bsq_layer_get_bias(layer, bias, 3));
    for (int m = 0; m < 3; m++)
        ck_assert(bias[m] == 0);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Held-out rows may bring a target where the others do not, and the other way round. */
START_TEST(held_out_targets_are_their_own)
{
    struct test_data data = test_data_linear(3, 6, 80, 8);
    bsq_options_t options = defaults();

    for (int target = 0; target < 2; target++) {
        bsq_layer_t *layer = test_data_layer(&data, &options);
        bsq_batch_t train = test_data_batch(&data, 0, 50, target), apart = test_data_batch(&data, 50, 30, !target);

        apart.held_out = 1;
        test_ok(layer, bsq_layer_calibrate(layer, &train));
        test_ok(layer, bsq_layer_calibrate(layer, &apart));
        test_ok(layer, bsq_optimize(layer, NULL));

        struct test_output output = test_output_get(layer, &data, &options);
        struct test_moments moments = test_moments_get(layer, &data, 1, !target);
        struct test_error error = test_output_error(&output, &data, &moments, 0, 0);

        if (target)
            check_close(output.report.held_out_error, error.loss / error.energy, 1e-6, "held-out error");
        ck_assert(output.report.held_out_error > 0 && output.report.held_out_error < 1);
        test_moments_free(&moments);
        test_output_free(&output);
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

/* With select_on_held_out the effort of least held-out error is kept, the lowest of equals, with all of its result. */
START_TEST(held_out_error_selects_the_effort)
{
    bool below = false;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct test_data data = test_data_linear(2, 20, 60, seed);
        bsq_options_t options = defaults();
        bsq_layer_t *layer = test_data_layer(&data, &options);
        bsq_report_t report, best = {.held_out_error = INFINITY};
        uint64_t hash = 0, other;

        bsq_report_init(&report, sizeof report);
        calibrate_both(layer, &data, true);
        options.damping = 0; /* so that more effort may fit noise */
        options.weight_bits = 3;
        for (options.effort = 0; options.effort <= 4; options.effort++) {
            test_ok(layer, bsq_layer_set_options(layer, &options));
            test_ok(layer, bsq_optimize(layer, &report));
            if (report.held_out_error < best.held_out_error) {
                best = report;
                hash = test_hash_result(TEST_HASH_START, layer);
            }
        }
        options.effort = 4;
        options.select_on_held_out = 1;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        other = test_hash_result(TEST_HASH_START, layer);
        ck_assert_int_eq(report.effort, best.effort);
        ck_assert_double_eq(report.held_out_error, best.held_out_error);
        ck_assert(other == hash);
        below |= best.effort > 0 && best.effort < options.effort;
        bsq_layer_free(layer);
        test_data_free(&data);
    }
    ck_assert_msg(below, "no case in which a lower effort is better");
}
END_TEST

START_TEST(nothing_selects_without_held_out_rows)
{
    struct test_data data = test_data_linear(2, 20, 60, 3);
    bsq_options_t options = defaults();
    bsq_layer_t *layer;
    bsq_report_t report;

    options.select_on_held_out = 1;
    bsq_report_init(&report, sizeof report);
    layer = test_data_calibrated(&data, &options, true);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_int_eq(report.effort, options.effort);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Two inputs that are always the same, and a target that moments say goes a little with their difference: weights far
 * out in that direction come nearer to it than any small ones, and the floor must not be above them. */
START_TEST(floor_is_below_weights_in_flat_directions)
{
    const double apart = 1e-5, far = 5e4, square = 1000.0;
    const double h[4] = {1, 1, 1, 1}, p[2] = {1 + apart, 1 - apart};
    const float weights[2] = {0.6f, 0.4f};
    int8_t codes[2] = {127, -127};
    float scale = (float)(far / 127);
    bsq_layer_desc_t desc;
    bsq_moments_t moments;
    bsq_report_t report, other;
    bsq_layer_t *layer;
    bsq_tensor_t tensor = test_tensor_codes(8, 1, 2, codes);

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = 2;
    desc.out_channels = 1;
    bsq_moments_init(&moments, sizeof moments);
    moments.h = h;
    moments.p = p;
    moments.target_square = &square;
    tensor.scales = &scale;
    tensor.scale_count = 1;
    bsq_report_init(&report, sizeof report);
    bsq_report_init(&other, sizeof other);
    ck_assert_int_eq(bsq_layer_create(&desc, NULL, weights, NULL, &layer, NULL), BSQ_OK);
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    test_ok(layer, bsq_optimize(layer, &report));
    test_ok(layer, bsq_layer_evaluate(layer, &tensor, &other));
    check_close(other.error * square, square - 4 * apart * far, 1e-6, "error of weights far out");
    ck_assert_msg(report.error_floor <= other.error, "a floor of %.9g above an error of %.9g", report.error_floor,
                  other.error);
    bsq_layer_free(layer);
}
END_TEST

/* A bound is never above the optimum, which small fan-in has by exact search, whatever the kind of scale. */
START_TEST(bounds_are_below_every_result)
{
    struct test_data data = test_data_linear(3, 12, 300, (uint64_t)_i + 5);
    bsq_options_t options = defaults();
    bsq_layer_t *layer = test_data_calibrated(&data, &options, _i % 2);
    bsq_report_t report;
    double best;

    bsq_report_init(&report, sizeof report);
    for (options.weight_bits = 2; options.weight_bits <= 4; options.weight_bits++) {
        options.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
        options.scale_format = BSQ_SCALE_FORMAT_FLOAT32;
        options.solver = BSQ_SOLVER_AUTO;
        options.lower_bound = 0;
        options.effort = 9;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));
        ck_assert_int_eq(report.channels_proven, 3); /* by an enumeration that check_exact.c compares with another */
        best = report.objective;
        options.lower_bound = 1;
        for (int kind = 0; kind < 5; kind++) {
            options.scale_kind = kind == 1 ? BSQ_SCALE_KIND_PER_TENSOR : BSQ_SCALE_KIND_PER_CHANNEL;
            options.scale_format = kind == 2 ? BSQ_SCALE_FORMAT_POWER_OF_TWO : BSQ_SCALE_FORMAT_FLOAT32;
            options.solver = kind == 3 ? BSQ_SOLVER_PAPER : kind == 4 ? BSQ_SOLVER_ROUND : BSQ_SOLVER_AUTO;
            options.effort = kind == 0 ? 1 : 5;
            test_ok(layer, bsq_layer_set_options(layer, &options));
            test_ok(layer, bsq_optimize(layer, &report));
            ck_assert_double_gt(report.lower_bound, 0.0);
            ck_assert_double_le(report.lower_bound, 1.0);
            if (kind != 3) /* whose J has no damping */
                ck_assert_double_le(report.lower_bound * report.objective, best * (1 + 1e-9));
            ck_assert_double_ge(report.lower_bound * report.objective, 0.5 * (kind == 3 ? 0.0 : best));
        }
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Above the fan-in of exact searches: a bound only where it is asked for. */
START_TEST(bounds_come_when_asked_for)
{
    struct test_data data = test_data_linear(2, 80, 400, 3);
    bsq_options_t options = defaults();
    bsq_layer_t *layer = test_data_calibrated(&data, &options, false);
    bsq_report_t report, best;
    bsq_channel_t channel;

    bsq_report_init(&report, sizeof report);
    bsq_report_init(&best, sizeof best);
    bsq_channel_init(&channel, sizeof channel);
    options.weight_bits = 2;
    options.effort = 9;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, &best));
    ck_assert_double_eq(best.lower_bound, 0.0);
    options.effort = 2;
    options.lower_bound = 1;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_double_gt(report.lower_bound, 0.0);
    ck_assert_double_le(report.lower_bound * report.objective, best.objective * (1 + 1e-9));
    for (int64_t c = 0; c < 2; c++) {
        test_ok(layer, bsq_layer_get_channel_report(layer, c, &channel));
        ck_assert_double_gt(channel.lower_bound, 0.0);
    }
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("results");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, counts_are_exact);
    tcase_add_test(tests, results_agree_with_each_other);
    tcase_add_loop_test(tests, report_is_what_the_definition_gives, 0, 2);
    tcase_add_test(tests, held_out_targets_are_their_own);
    tcase_add_test(tests, held_out_error_selects_the_effort);
    tcase_add_test(tests, nothing_selects_without_held_out_rows);
    tcase_add_loop_test(tests, bounds_are_below_every_result, 0, 4);
    tcase_add_test(tests, bounds_come_when_asked_for);
    tcase_add_test(tests, damping_of_the_report);
    tcase_add_loop_test(tests, bias_correction_does_what_the_report_says, 0, 2);
    tcase_add_test(tests, error_corrected_is_what_correction_would_leave);
    tcase_add_test(tests, held_out_error_is_of_corrected_outputs);
    tcase_add_test(tests, floor_is_below_weights_in_flat_directions);
    tcase_add_test(tests, bias_correction_is_kept_only_where_it_helps);
    tcase_add_test(tests, bias_without_means_or_bias);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api results", all());
}
