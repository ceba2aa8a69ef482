/* The JSON object on stdout. */
#include "report.h"

#include "common/json.h"
#include "messages.h"
#include "packed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A number that the report gives as negative, or as 0, when there is none. */
static double known(double value, int is_known)
{
    return is_known ? value : (double)NAN;
}

static void print_scale(struct json *json, const bsq_options_t *options)
{
    static const char *const names[] = {"tensor", "channel", "group"};
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP) {
        char text[32];
        snprintf(text, sizeof text, "group:%lld", (long long)options->group_size);
        json_string(json, "scale", text);
    } else {
        json_string(json, "scale", names[options->scale_kind - BSQ_SCALE_KIND_PER_TENSOR]);
    }
    json_string(json, "scale_format", argument_choice_name(scale_formats, options->scale_format));
}

static void print_warnings(struct json *json, int32_t warnings)
{
    static const struct argument_choice names[] = {{"few_rows", BSQ_WARNING_FEW_ROWS},
                                                   {"scale_limited", BSQ_WARNING_SCALE_LIMITED},
                                                   {"raised_damping", BSQ_WARNING_RAISED_DAMPING},
                                                   {"dead_inputs", BSQ_WARNING_DEAD_INPUTS},
                                                   {"dead_outputs", BSQ_WARNING_DEAD_OUTPUTS},
                                                   {"no_statistics", BSQ_WARNING_NO_STATISTICS}};
    json_open(json, "warnings", '[');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((warnings & names[i].value) != 0) {
            json_string(json, NULL, names[i].name);
        }
    }
    json_close(json, ']');
}

static int print_stages(struct json *json, bsq_layer_t *layer, int32_t count)
{
    json_open(json, "stages", '[');
    for (int32_t i = 0; i < count; i++) {
        bsq_stage_t stage;
        bsq_stage_init(&stage, sizeof stage);
        if (bsq_layer_get_stage_report(layer, i, &stage) != BSQ_OK) {
            return complain_layer(layer, "report");
        }
        json_open(json, NULL, '{');
        json_string(json, "stage", bsq_stage_string(stage.stage));
        json_integer(json, "effort", stage.effort);
        json_number(json, "objective_before", stage.objective_before);
        json_number(json, "objective_after", stage.objective_after);
        json_integer(json, "sweeps", stage.sweeps);
        json_number(json, "seconds", stage.seconds);
        json_close(json, '}');
    }
    json_close(json, ']');
    return 0;
}

/* Scales and zero points of the input channels. */
static int print_channels(struct json *json, bsq_layer_t *layer)
{
    bsq_layer_info_t info;
    bsq_layer_info_init(&info, sizeof info);
    if (bsq_layer_info(layer, &info) != BSQ_OK) {
        return complain_layer(layer, "--act-scale");
    }
    const size_t count = (size_t)info.in_channels;
    double *scales = malloc(count * sizeof *scales);
    int32_t *zero_points = malloc(count * sizeof *zero_points);
    int failed = 0;
    if (scales == NULL || zero_points == NULL) {
        failed = complain_memory();
    } else if (bsq_layer_get_input_channels(layer, scales, zero_points, count) != BSQ_OK) {
        failed = complain_layer(layer, "--act-scale");
    } else {
        json_open(json, "act_channel_scales", '[');
        for (size_t i = 0; i < count; i++) {
            json_number(json, NULL, scales[i]);
        }
        json_close(json, ']');
        json_open(json, "act_channel_zero_points", '[');
        for (size_t i = 0; i < count; i++) {
            json_integer(json, NULL, zero_points[i]);
        }
        json_close(json, ']');
    }
    free(scales);
    free(zero_points);
    return failed;
}

static int print_inputs(struct json *json, bsq_layer_t *layer, int32_t bits)
{
    json_integer(json, "act_bits", bits);
    if (bits == 0) {
        return 0;
    }
    bsq_input_quantizer_t quantizer;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    if (bsq_layer_get_input_quantizer(layer, &quantizer) != BSQ_OK) {
        return complain_layer(layer, "--act-bits");
    }
    json_string(json, "act_type", argument_choice_name(input_types, quantizer.type));
    json_number(json, "act_scale", quantizer.scale);
    json_integer(json, "act_zero_point", quantizer.zero_point);
    return quantizer.scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL ? print_channels(json, layer) : 0;
}

static void print_errors(struct json *json, const bsq_report_t *report, const struct settings *settings)
{
    json_number(json, "error", report->error);
    json_number(json, "error_round", report->error_start);
    json_number(json, "error_floor", report->error_floor);
    json_number(json, "held_out_error", known(report->held_out_error, report->held_out_error >= 0));
    json_number(json, "weight_error", report->weight_error);
    if (settings->options.bias_correction) {
        json_number(json, "error_uncorrected", report->error_uncorrected);
        json_number(json, "error_corrected", known(report->error_corrected, report->error_corrected >= 0));
    }
    json_number(json, "objective", report->objective);
    json_number(json, "objective_round", report->objective_start);
    json_number(json, "energy", report->energy);
    json_number(json, "seconds", report->seconds);
}

/* A bound far below J says nothing about J. */
static const char *bound_text(double bound)
{
    const double useful = 0.1;
    return bound <= 0 ? "unknown" : bound < useful ? "not useful" : bound < 1 ? "useful" : "proven";
}

static int write_report(const struct work *work, const bsq_report_t *report, FILE *file)
{
    const struct settings *settings = work->settings;
    struct json json = json_begin(file, settings->pretty);
    char packed[64];
    json_open(&json, NULL, '{');
    print_errors(&json, report, settings);
    json_string(&json, "outcome", bsq_outcome_string(report->outcome));
    json_string(&json, "solver", argument_choice_name(solvers, report->solver));
    json_integer(&json, "effort", report->effort);
    json_integer(&json, "bits", report->weight_bits);
    json_string(&json, "range", argument_choice_name(ranges, report->weight_grid));
    print_scale(&json, &settings->options);
    json_integer(&json, "out_channels", work->channels);
    json_integer(&json, "fan_in", work->fan_in);
    json_integer(&json, "groups", work->desc.groups);
    json_number(&json, "rows", known(report->rows, report->rows > 0));
    json_number(&json, "rows_per_input", known(report->rows_per_input, report->rows > 0));
    json_number(&json, "damping", report->damping);
    json_integer(&json, "channels_improved", report->channels_improved);
    json_integer(&json, "dead_inputs", report->dead_inputs);
    json_integer(&json, "dead_outputs", report->dead_outputs);
    json_integer(&json, "channels_proven", report->channels_proven);
    json_number(&json, "lower_bound", report->lower_bound);
    json_string(&json, "lower_bound_says", bound_text(report->lower_bound));
    json_integer(&json, "sweeps", report->sweeps);
    json_integer(&json, "threads", settings->options.threads);
    json_string(&json, "kernel", bsq_kernel_string(report->kernel));
    json_string(&json, "packed", packed_name(settings, packed));
    int status = print_inputs(&json, work->layer, settings->options.input_bits);
    print_warnings(&json, report->warnings);
    if (status == 0) {
        status = print_stages(&json, work->layer, report->stages);
    }
    json_close(&json, '}');
    return status;
}

char *report_text(const struct work *work, const bsq_report_t *report, int *status)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) {
        *status = complain_memory();
        return NULL;
    }
    *status = write_report(work, report, file);
    if (fclose(file) != 0 && *status == 0) {
        *status = complain_memory();
    }
    return text;
}
