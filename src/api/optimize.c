/* Public calls that solve: the run itself, the table over numbers of bits, and the report. */
#include "api/layer.h"

#include "base/options.h"
#include "solve/solve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The weights that meet folded inputs, in a block of their own. */
static bsq_status_t fold_weights(bsq_layer_t *layer, const struct bsq_quantizer *quantizer, float **folded)
{
    const struct bsq_geometry *geometry = &layer->geometry;
    int64_t n = geometry->fan_in, count = geometry->out_channels * n;
    float *weights = bsq_memory_get(&layer->memory, count, sizeof *weights);

    if (!weights)
        return bsq_fail_memory(&layer->message);
    for (int64_t i = 0; i < count; i++) {
        int64_t channel = bsq_geometry_channel(geometry, i / n / geometry->group_outputs, i % n);

        weights[i] = (float)(layer->weights[i] * bsq_quantizer_beta(quantizer, channel));
        if (isfinite(weights[i]))
            continue;
        bsq_memory_put(&layer->memory, weights);
        return bsq_fail(&layer->message, BSQ_E_NUMERIC, "weights[%lld] times the beta of its input is infinite",
                        (long long)i);
    }
    *folded = weights;
    return BSQ_OK;
}

/* What a solve needs to know of the inputs. Without statistics one scale for all of them may still be unknown. */
static bsq_status_t find_quantizer(bsq_layer_t *layer, struct bsq_quantizer *quantizer)
{
    struct bsq_message before = layer->message;
    bsq_status_t status = bsq_layer_resolve_quantizer(layer, quantizer);

    if (status != BSQ_E_STATE || layer->options.input_scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL)
        return status;
    layer->message = before;
    return BSQ_OK;
}

/* Gathers what a solve by 'options' gets; 'folded' (or NULL) is to be put back when it is done. */
static bsq_status_t make_input(bsq_layer_t *layer, const bsq_options_t *options, struct bsq_quantizer *quantizer,
                               struct bsq_solve_input *input, float **folded)
{
    bsq_status_t status = find_quantizer(layer, quantizer);

    *folded = NULL;
    *input = (struct bsq_solve_input){
        .geometry = &layer->geometry,
        .stats = bsq_layer_known(layer->stats),
        .held_out = bsq_layer_known(layer->held_out),
        .options = options,
        .memory = &layer->memory,
        .message = &layer->message,
    };
    if (status != BSQ_OK || (quantizer->channels && (status = fold_weights(layer, quantizer, folded)) != BSQ_OK))
        return status;
    input->weights = *folded ? *folded : layer->weights;
    return input->held_out ? bsq_stats_check_rows(input->held_out, &layer->message) : BSQ_OK;
}

bsq_status_t bsq_layer_solve(bsq_layer_t *layer, const bsq_options_t *options, const struct bsq_result *given,
                             struct bsq_result **result)
{
    bsq_options_t own = *options;
    struct bsq_solve_input input;
    struct bsq_quantizer quantizer;
    float *folded;
    bsq_status_t status;

    *result = NULL;
    own.keep_scales = options->keep_scales && !given;
    if (own.keep_scales && !layer->result)
        return bsq_fail(&layer->message, BSQ_E_STATE, "keep_scales: there is no result whose scales could be kept");
    if (own.keep_scales)
        bsq_result_grid(layer->result, &own);
    status = make_input(layer, &own, &quantizer, &input, &folded);
    input.kept = own.keep_scales ? layer->result : NULL;
    if (status == BSQ_OK)
        status = given ? bsq_solve_evaluate(&input, given, result) : bsq_solve(&input, result);
    bsq_memory_put(&layer->memory, folded);
    if (status != BSQ_OK)
        return status;
    (*result)->inputs = bsq_quantizer_retain(&quantizer);
    if ((status = bsq_layer_check_result(layer, *result)) != BSQ_OK) {
        bsq_result_free(*result);
        *result = NULL;
    }
    return status;
}

/* ---- series of solves ---- */

/* Progress of one solve as a part of a series. */
struct series {
    bsq_progress_fn progress;
    void *opaque;
    int32_t index;
    int32_t count;
};

static int32_t series_progress(const bsq_progress_t *progress, void *opaque)
{
    const struct series *series = opaque;
    bsq_progress_t whole = *progress;

    whole.fraction = (series->index + progress->fraction) / series->count;
    whole.done = series->index * progress->total + progress->done;
    whole.total = series->count * progress->total;
    return series->progress(&whole, series->opaque);
}

/* Reports the solves by 'options' as parts of a series from now on. */
static void begin_series(struct series *series, bsq_options_t *options, int32_t count)
{
    *series = (struct series){options->progress, options->progress_opaque, 0, count};
    if (options->progress) {
        options->progress = series_progress;
        options->progress_opaque = series;
    }
}

/* The effort of least held-out error, the lowest of equals. Each effort includes those below it and costs about as much
 * as all of them together, so solving by all of them takes about twice as long as solving by the last. */
static bsq_status_t solve_selected(bsq_layer_t *layer, const bsq_options_t *options, struct bsq_result **result)
{
    bsq_options_t now = *options;
    struct bsq_result *other;
    struct series series;
    double seconds = 0.0;
    bsq_status_t status;

    if (!options->select_on_held_out || options->solver != BSQ_SOLVER_AUTO || !bsq_layer_known(layer->held_out))
        return bsq_layer_solve(layer, options, NULL, result);
    *result = NULL;
    begin_series(&series, &now, options->effort + 1);
    for (; series.index < series.count; series.index++) {
        now.effort = series.index;
        if ((status = bsq_layer_solve(layer, &now, NULL, &other)) != BSQ_OK) {
            bsq_result_free(*result);
            *result = NULL;
            return status;
        }
        seconds += other->report.seconds;
        if (!*result || other->report.held_out_error < (*result)->report.held_out_error) {
            struct bsq_result *worse = *result;

            *result = other;
            other = worse;
        }
        bsq_result_free(other);
    }
    (*result)->report.seconds = seconds;
    return BSQ_OK;
}

/* ---- log ---- */

static void log_warnings(const bsq_layer_t *layer, int32_t warnings)
{
    static const struct {
        int32_t bit;
        const char *text;
    } texts[] = {
        {BSQ_WARNING_FEW_ROWS, "few rows for this fan-in"},
        {BSQ_WARNING_SCALE_LIMITED, "a scale left the range of its format"},
        {BSQ_WARNING_RAISED_DAMPING, "damping was raised for the search"},
        {BSQ_WARNING_DEAD_INPUTS, "some inputs are always zero"},
        {BSQ_WARNING_DEAD_OUTPUTS, "some channels have no weights"},
        {BSQ_WARNING_NO_STATISTICS, "solved without statistics"},
    };
    struct bsq_message line = {""};
    size_t length = 0;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (warnings & texts[i].bit)
            length += (size_t)snprintf(line.text + length, sizeof line.text - length, "%s%s", length ? ", " : "",
                                       texts[i].text);
    if (length)
        bsq_layer_log(layer, BSQ_LOG_WARNING, "optimize: %s", line.text);
}

static void log_report(const bsq_layer_t *layer, const bsq_report_t *report)
{
    bsq_layer_log(layer, BSQ_LOG_INFO, "optimize: %d bits, relative error %.4g, rounding %.4g, %s, %.3f s",
                  (int)report->weight_bits, report->error, report->error_start, bsq_outcome_string(report->outcome),
                  report->seconds);
    log_warnings(layer, report->warnings);
}

/* ---- solve ---- */

bsq_status_t bsq_layer_write_report(bsq_layer_t *layer, bsq_report_t *to, const struct bsq_result *result)
{
    return bsq_struct_write(to, &result->report, sizeof result->report, BSQ_FIRST_REPORT, "bsq_report_t",
                            &layer->message);
}

bsq_status_t bsq_layer_check_report(bsq_layer_t *layer, bsq_report_t *to)
{
    size_t nothing = sizeof nothing;

    return bsq_struct_write(to, &nothing, sizeof nothing, BSQ_FIRST_REPORT, "bsq_report_t", &layer->message);
}

static bsq_status_t optimize(bsq_layer_t *layer, bsq_report_t *report)
{
    struct bsq_result *result;
    bsq_status_t status;

    if ((report && (status = bsq_layer_check_report(layer, report)) != BSQ_OK) ||
        (status = solve_selected(layer, &layer->options, &result)) != BSQ_OK)
        return status;
    bsq_result_free(layer->result);
    layer->result = result;
    log_report(layer, &result->report);
    return report ? bsq_layer_write_report(layer, report, result) : BSQ_OK;
}

bsq_status_t bsq_optimize(bsq_layer_t *layer, bsq_report_t *report)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, optimize(layer, report)) : status;
}

/* RANGE when the layer's grid does not have all these numbers of bits. */
static bsq_status_t check_table_bits(bsq_layer_t *layer, int32_t bits_lo, int32_t bits_hi)
{
    bsq_status_t status = BSQ_OK;

    for (int32_t bits = bits_lo; bits <= bits_hi && status == BSQ_OK; bits++) {
        bsq_options_t options = layer->options, checked;

        options.weight_bits = bits;
        status = bsq_options_read(&checked, &options, &layer->message);
    }
    return status;
}

static bsq_status_t error_table(bsq_layer_t *layer, int32_t bits_lo, int32_t bits_hi, double *errors, size_t count)
{
    double table[9];
    struct bsq_solve_input input;
    struct bsq_quantizer quantizer;
    float *folded;
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, errors, "errors")) != BSQ_OK)
        return status;
    if (bits_lo < 2 || bits_hi > 8 || bits_lo > bits_hi)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "bits_lo..bits_hi is %d..%d, not a range inside 2..8",
                        (int)bits_lo, (int)bits_hi);
    if ((status = check_table_bits(layer, bits_lo, bits_hi)) != BSQ_OK)
        return status;
    if (count != (size_t)(bits_hi - bits_lo + 1))
        return bsq_fail(&layer->message, BSQ_E_SIZE, "'count' is %llu, %d errors are asked for",
                        (unsigned long long)count, (int)(bits_hi - bits_lo + 1));
    status = make_input(layer, &layer->options, &quantizer, &input, &folded);
    if (status == BSQ_OK)
        status = bsq_solve_errors(&input, bits_lo, bits_hi, table);
    bsq_memory_put(&layer->memory, folded);
    if (status == BSQ_OK)
        memcpy(errors, table, count * sizeof *errors);
    return status;
}

bsq_status_t bsq_layer_error_table(bsq_layer_t *layer, int32_t bits_lo, int32_t bits_hi, double *errors, size_t count)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, error_table(layer, bits_lo, bits_hi, errors, count)) : status;
}

/* ---- report ---- */

static bsq_status_t check_index(bsq_layer_t *layer, int64_t index, int64_t count)
{
    if (index < 0 || index >= count)
        return bsq_fail(&layer->message, BSQ_E_RANGE, "index is %lld, not in 0..%lld", (long long)index,
                        (long long)count - 1);
    return BSQ_OK;
}

static bsq_status_t get_report(bsq_layer_t *layer, bsq_report_t *report)
{
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, report, "report")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK)
        return status;
    return bsq_layer_write_report(layer, report, layer->result);
}

bsq_status_t bsq_layer_get_report(bsq_layer_t *layer, bsq_report_t *report)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_report(layer, report)) : status;
}

static bsq_status_t get_stage_report(bsq_layer_t *layer, int32_t index, bsq_stage_t *stage)
{
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, stage, "stage")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK ||
        (status = check_index(layer, index, layer->result->stage_count)) != BSQ_OK)
        return status;
    return bsq_struct_write(stage, &layer->result->stages[index], sizeof *stage, BSQ_FIRST_STAGE, "bsq_stage_t",
                            &layer->message);
}

bsq_status_t bsq_layer_get_stage_report(bsq_layer_t *layer, int32_t index, bsq_stage_t *stage)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_stage_report(layer, index, stage)) : status;
}

static bsq_status_t get_channel_report(bsq_layer_t *layer, int64_t index, bsq_channel_t *channel)
{
    bsq_status_t status;

    if ((status = bsq_layer_require(layer, channel, "channel")) != BSQ_OK ||
        (status = bsq_layer_require_result(layer)) != BSQ_OK ||
        (status = check_index(layer, index, layer->result->channels)) != BSQ_OK)
        return status;
    return bsq_struct_write(channel, &layer->result->channel[index], sizeof *channel, BSQ_FIRST_CHANNEL,
                            "bsq_channel_t", &layer->message);
}

bsq_status_t bsq_layer_get_channel_report(bsq_layer_t *layer, int64_t index, bsq_channel_t *channel)
{
    bsq_status_t status = bsq_layer_enter(layer);

    return status == BSQ_OK ? bsq_layer_leave(layer, get_channel_report(layer, index, channel)) : status;
}
