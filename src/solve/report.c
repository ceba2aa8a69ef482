/* Bias correction, and how a solve went. */
#include "solve/private.h"

#include "solve/scale_format.h"
#include "stages/values.h"

#include <math.h>

/* Takes the mean of the output error into the bias, where that also helps on held-out statistics. */
static void correct_bias(struct bsq_solve *solve)
{
    struct bsq_result *result = solve->result;

    for (int64_t c = 0; c < solve->result->channels; c++) {
        bsq_channel_t *channel = &result->channel[c];
        double gap = solve->gap[c];

        if (solve->held_gap && !(gap * gap < 2.0 * gap * solve->held_gap[c])) {
            solve->error[c] += gap * gap; /* left as it was */
            continue;
        }
        result->bias_change[c] = gap;
        channel->bias_corrected = gap != 0.0;
        if (solve->held_gap)
            solve->held_error[c] = fmax(solve->held_error[c] - solve->held_gap[c] * solve->held_gap[c], 0.0) +
                                   pow(solve->held_gap[c] - gap, 2.0);
    }
}

/* |w - u|^2 and |w|^2 of one channel of the result. */
static void weight_squares(const struct bsq_solve *solve, int64_t c, double *distance, double *square)
{
    const struct bsq_result *result = solve->result;
    struct bsq_candidate candidate = {.group_size = result->group_size,
                                      .codes = result->codes,
                                      .scales_per_channel = result->scales_per_channel,
                                      .shifting = result->shifting,
                                      .scales = result->scales,
                                      .shifts = result->shifts};
    int64_t n = result->fan_in;
    const float *weights = solve->input->weights + c * n;

    *distance = bsq_candidate_distance(&candidate, n, c, weights);
    *square = bsq_kernels()->distance(weights, result->codes + c * n, 0.0, n); /* from zero */
}

static void report_channels(struct bsq_solve *solve)
{
    struct bsq_result *result = solve->result;
    bsq_report_t *report = &result->report;
    double start = 0.0, error = 0.0, floor = 0.0, corrected = 0.0, held_error = 0.0, distance = 0.0, square = 0.0;
    bool centred = solve->input->options->bias_correction && solve->gap;

    for (int64_t c = 0; c < result->channels; c++) {
        bsq_channel_t *channel = &result->channel[c];
        double apart, own, gap = solve->gap ? solve->gap[c] : 0.0, bias = result->bias_change[c];
        double with_gap = solve->error[c] + (centred && bias != 0.0 ? gap * gap : 0.0);

        weight_squares(solve, c, &apart, &own);
        channel->error = bsq_solve_ratio(solve->error[c], channel->energy);
        channel->error_start = bsq_solve_ratio(solve->error_start[c], channel->energy);
        channel->weight_error = bsq_solve_ratio(apart, own);
        channel->held_out_error =
            solve->held_error ? bsq_solve_ratio(solve->held_error[c], solve->held_energy[c]) : -1.0;
        report->objective_start += channel->objective_start;
        report->objective += channel->objective;
        report->energy += channel->energy;
        report->channels_improved += channel->objective < channel->objective_start;
        report->dead_outputs += !(own > 0.0);
        report->channels_proven += channel->outcome == BSQ_OUTCOME_PROVEN;
        report->lower_bound += channel->lower_bound * channel->objective;
        report->error_uncorrected += with_gap;
        corrected += fmax(with_gap - gap * gap, 0.0);
        start += solve->error_start[c];
        error += solve->error[c];
        floor += solve->floor[c];
        distance += apart;
        square += own;
        if (solve->held_error) {
            held_error += solve->held_error[c];
            report->held_out_energy += solve->held_energy[c];
        }
        if (channel->outcome == BSQ_OUTCOME_LIMIT)
            report->outcome = BSQ_OUTCOME_LIMIT;
    }
    report->lower_bound = bsq_solve_ratio(report->lower_bound, report->objective);
    if (report->channels_proven == result->channels)
        report->outcome = BSQ_OUTCOME_PROVEN;
    report->error_start = bsq_solve_ratio(start, report->energy);
    report->error = bsq_solve_ratio(error, report->energy);
    report->error_floor = bsq_solve_ratio(floor, report->energy);
    report->error_uncorrected = bsq_solve_ratio(report->error_uncorrected, report->energy);
    report->error_corrected = solve->gap ? bsq_solve_ratio(corrected, report->energy) : -1.0;
    report->weight_error = bsq_solve_ratio(distance, square);
    report->held_out_error = solve->held_error ? bsq_solve_ratio(held_error, report->held_out_energy) : -1.0;
}

/* Tells whether a scale is the least or the largest of its format; of two levels only what float32 ends is known. */
static bool has_limited_scale(const struct bsq_solve *solve)
{
    const struct bsq_result *result = solve->result;
    const struct bsq_rounding *rounding = &solve->plan.search.rounding;
    double least, most, unused;

    if (rounding->scale_bits)
        return false;
    bsq_values_neighbours(rounding, 0.0, &least, &unused);
    bsq_values_neighbours(rounding, INFINITY, &unused, &most);
    for (int64_t i = 0; i < result->channels * result->scales_per_channel; i++)
        if (fabs(result->scales[i]) <= least || fabs(result->scales[i]) >= most)
            return true;
    return false;
}

static void report_layer(struct bsq_solve *solve, double damping)
{
    const struct bsq_solve_input *input = solve->input;
    bsq_report_t *report = &solve->result->report;

    report->damping = damping;
    report->rows = input->stats ? bsq_stats_rows(input->stats) : 0.0;
    report->rows_per_input = report->rows / (double)input->geometry->fan_in;
    report->kernel = bsq_kernels()->id;
    report->solver = input->options->solver;
    report->effort = input->options->effort;
    report->weight_bits = input->options->weight_bits;
    report->weight_grid = input->options->weight_grid;
    for (int64_t b = 0; b < solve->plan.blocks; b++) {
        report->dead_inputs += solve->pass.dead_inputs[b];
        if (solve->pass.raised[b])
            report->warnings |= BSQ_WARNING_RAISED_DAMPING;
    }
    if (report->rows > 0.0 && report->rows_per_input < 2.0)
        report->warnings |= BSQ_WARNING_FEW_ROWS;
    if (report->dead_inputs > 0)
        report->warnings |= BSQ_WARNING_DEAD_INPUTS;
    if (report->dead_outputs > 0)
        report->warnings |= BSQ_WARNING_DEAD_OUTPUTS;
    if (!input->stats)
        report->warnings |= BSQ_WARNING_NO_STATISTICS;
    if (has_limited_scale(solve))
        report->warnings |= BSQ_WARNING_SCALE_LIMITED;
}

/* Adds a stage to the report from record 'index' of every block. */
static void report_stage(struct bsq_solve *solve, int32_t index, int32_t stage, int32_t effort)
{
    struct bsq_result *result = solve->result;
    bsq_stage_t *out = &result->stages[result->stage_count++];

    out->struct_size = sizeof *out;
    out->stage = stage;
    out->effort = effort;
    for (int64_t b = 0; b < solve->plan.blocks; b++) {
        const struct bsq_stage_record *record = &bsq_solve_records(solve, b)[index];

        out->objective_before += bsq_solve_not_negative(record->before);
        out->objective_after += bsq_solve_not_negative(record->after);
        out->seconds += record->seconds;
        out->sweeps += record->sweeps;
    }
}

static void report_stages(struct bsq_solve *solve)
{
    static const int32_t stages[BSQ_EFFORT_STAGES] = {BSQ_STAGE_BEAM, BSQ_STAGE_BITSPLIT, BSQ_STAGE_DESCENT,
                                                      BSQ_STAGE_SCALE};
    const bsq_options_t *options = solve->input->options;
    struct bsq_result *result = solve->result;
    bsq_stage_t *prepared;

    report_stage(solve, BSQ_RECORD_ROUND, BSQ_STAGE_ROUND, 0);
    report_stage(solve, BSQ_RECORD_PREPARE, BSQ_STAGE_PREPARE, 0);
    prepared = &result->stages[result->stage_count - 1];
    prepared->objective_before = prepared->objective_after = prepared[-1].objective_after;
    for (int64_t b = 0; b < solve->plan.blocks; b++)
        prepared->seconds += solve->pass.prepare_seconds[b];
    for (int32_t effort = 1; effort <= solve->plan.efforts; effort++) {
        for (int32_t k = 0; k < BSQ_EFFORT_STAGES; k++) {
            bool digits = bsq_effort_plan(effort)->digits && solve->plan.search.planes;
            bool idle = (k == BSQ_EFFORT_BITSPLIT && !digits) ||
                        (k == BSQ_EFFORT_SCALE && !bsq_scale_format_applies(&solve->plan.search.rounding) &&
                         !solve->plan.per_tensor);

            if (!idle)
                report_stage(solve, BSQ_RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES + k, stages[k], effort);
        }
    }
    if (solve->plan.efforts > 0 && !solve->plan.per_tensor && solve->result->report.lower_bound > 0.0)
        report_stage(solve, BSQ_RECORD_EXACT, BSQ_STAGE_EXACT, options->effort);
    if (solve->plan.paper)
        report_stage(solve, BSQ_RECORD_EFFORTS + BSQ_EFFORT_BITSPLIT, BSQ_STAGE_BITSPLIT, options->effort);
    if (options->bias_correction) {
        bsq_stage_t *bias = &result->stages[result->stage_count];

        bias->struct_size = sizeof *bias;
        bias->stage = BSQ_STAGE_BIAS;
        bias->effort = options->effort;
        bias->objective_before = bias->objective_after = bias[-1].objective_after;
        result->stage_count++;
    }
    result->report.stages = result->stage_count;
    for (int32_t i = 0; i < result->stage_count; i++)
        result->report.sweeps += result->stages[i].sweeps;
}

void bsq_solve_report(struct bsq_solve *solve)
{
    solve->result->report.struct_size = sizeof solve->result->report;
    solve->result->report.outcome = BSQ_OUTCOME_CONVERGED;
    if (solve->options.bias_correction)
        correct_bias(solve);
    report_channels(solve);
    report_layer(solve, solve->plan.hessian.damping);
    report_stages(solve);
    solve->result->report.seconds = bsq_seconds() - solve->start;
}
