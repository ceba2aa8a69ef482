/* Which stages run at which effort, and that nothing gets worse on the way. */
#include "solve.h"

#include "blas.h"
#include "bound.h"
#include "paper.h"
#include "pass.h"
#include "quick.h"
#include "scale.h"
#include "tensor.h"

#include <math.h>
#include <string.h>

/* Places of the records of one block: rounding, preparing, the exact search, then the stages of each level. */
enum { RECORD_ROUND, RECORD_PREPARE, RECORD_EXACT, RECORD_LEVELS };

struct solve {
    const struct bsq_solve_input *input; /* our own */
    struct bsq_solve_input own_input;
    bsq_options_t options;               /* of the input; weight_bits are those of the solve that runs */
    struct bsq_group_plan plan, held_plan;
    double start; /* of the work, in seconds */
    struct bsq_result *result;
    struct bsq_pass pass;
    struct bsq_paper paper;
    struct bsq_tensor tensor;
    void *extra;                      /* memory of paper or tensor */
    struct bsq_stage_record *records; /* blocks x record_count */
    int32_t record_count;
    int32_t levels;
    int64_t note_arrays; /* of M doubles, from 'error' on */
    double *floor;     /* M */
    double *gap;       /* M: mean of the output error, the bias that would take it away; NULL without means */
    double *held_energy, *held_error, *held_gap; /* M; NULL without held-out statistics (or their means) */
    double *error;       /* M: undamped output error, centred with bias correction */
    double *error_start; /* the same of rounding */
};

static int64_t channel_count(const struct solve *solve)
{
    return solve->input->geometry->out_channels;
}

/* ---- what a finished candidate is worth ---- */

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

/* J without its damping term, |w - u|^2 being 'distance'. */
static double undamped(const struct bsq_group *group, double j, double distance)
{
    return fmax(j - group->ridge * distance, 0.0);
}

/* Mean of the output error; 'u' is n doubles of scratch. */
static double mean_error(const struct bsq_block *block, const struct bsq_candidate *candidate, int64_t c, double *u)
{
    int64_t n = block->group->n;

    bsq_candidate_weights(candidate, n, c, u);
    return block->target_mean[c] - bsq_ddot(n, u, block->group->mean);
}

static void note_start(struct solve *solve, struct bsq_search *search, int64_t channel)
{
    const struct bsq_block *block = &search->block;
    const struct bsq_group *group = block->group;
    int64_t n = group->n;

    for (int64_t c = 0; c < block->channels; c++) {
        double distance = block->narrow ? search->distance[c]
                                        : bsq_candidate_distance(&search->best, n, c, block->weights + c * n);

        solve->result->channel[channel + c].objective_start = search->best.j[c];
        solve->error_start[channel + c] = undamped(group, search->best.j[c], distance);
        if (group->centred) /* the start has no corrected bias to show for */
            solve->error_start[channel + c] += pow(mean_error(block, &search->best, c, search->u), 2.0);
    }
}

static void note_result(struct solve *solve, struct bsq_search *search, const struct bsq_candidate *candidate,
                        int64_t channel)
{
    const struct bsq_block *block = &search->block;
    struct bsq_result *result = solve->result;
    int64_t n = block->group->n, scales = result->scales_per_channel;

    memcpy(result->codes + channel * n, candidate->codes, (size_t)(block->channels * n));
    memcpy(result->scales + channel * scales, candidate->scales,
           (size_t)(block->channels * scales) * sizeof *candidate->scales);
    for (int64_t c = 0; c < block->channels; c++) {
        bsq_channel_t *out = &result->channel[channel + c];

        out->objective = candidate->j[c];
        out->energy = block->energy[c];
        out->sweeps += search->sweeps[c];
        if (search->limited[c])
            out->outcome = BSQ_OUTCOME_LIMIT;
        if (search->proven[c])
            out->outcome = BSQ_OUTCOME_PROVEN;
        out->lower_bound = search->proven[c] ? 1.0 : fmax(ratio(search->bound[c], candidate->j[c]), 0.0);
        solve->error[channel + c] =
            undamped(block->group, candidate->j[c], bsq_candidate_distance(candidate, n, c, block->weights + c * n));
        solve->floor[channel + c] = block->floor[c];
        if (solve->gap)
            solve->gap[channel + c] = mean_error(block, candidate, c, search->u);
    }
}

/* ---- work on blocks ---- */

static struct bsq_stage_record *records_of(struct solve *solve, int64_t block)
{
    return solve->records + block * solve->record_count;
}

/* A level that a block has no need of leaves J as it is. */
static void keep_objective(const struct bsq_search *search, struct bsq_stage_record *records)
{
    double sum = 0.0;

    for (int64_t c = 0; c < search->block.channels; c++)
        sum += search->best.j[c];
    for (int k = 0; k < BSQ_LEVEL_STAGES; k++)
        records[k].before = records[k].after = sum;
}

/* Rounding and level 1 of a block. */
static void begin_block(struct solve *solve, struct bsq_search *search, struct bsq_stage_record *records, int64_t channel)
{
    if (search->block.narrow && bsq_quick_search(search, &records[RECORD_ROUND], &records[RECORD_LEVELS + BSQ_LEVEL_BEAM])) {
        note_start(solve, search, channel);
        if (solve->levels > 1) {
            bsq_block_widen(&search->block);
            bsq_search_begin(search, records + RECORD_LEVELS);
        }
        return;
    }
    if (search->block.narrow)
        bsq_block_widen(&search->block);
    bsq_search_round(search, &records[RECORD_ROUND]);
    note_start(solve, search, channel);
    if (solve->levels >= 1 && search->block.group->searchable) {
        bsq_search_level_run(search, 1, records + RECORD_LEVELS);
        bsq_search_exact(search, 1, &records[RECORD_EXACT]);
    } else if (solve->levels >= 1) {
        keep_objective(search, records + RECORD_LEVELS);
    }
}

static void search_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct solve *solve = pass->context;
    struct bsq_stage_record *records = records_of(solve, block);
    int32_t effort = 2;

    begin_block(solve, search, records, channel);
    if (search->block.narrow) {
        note_result(solve, search, &search->trial, channel);
        return;
    }
    for (; effort <= solve->levels && search->block.group->searchable && !bsq_search_proven(search); effort++) {
        bsq_search_level_run(search, effort, records + RECORD_LEVELS + (effort - 1) * BSQ_LEVEL_STAGES);
        bsq_search_exact(search, effort, &records[RECORD_EXACT]);
    }
    for (; effort <= solve->levels; effort++)
        keep_objective(search, records + RECORD_LEVELS + (effort - 1) * BSQ_LEVEL_STAGES);
    bsq_bound_block(search, &search->best, &records[RECORD_EXACT]);
    note_result(solve, search, &search->best, channel);
}

static void paper_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct solve *solve = pass->context;
    struct bsq_stage_record *records = records_of(solve, block);

    bsq_search_round(search, &records[RECORD_ROUND]);
    note_start(solve, search, channel);
    bsq_paper_reconstruct(&solve->paper, search, channel, &records[RECORD_LEVELS + BSQ_LEVEL_BITSPLIT]);
    bsq_bound_block(search, &search->best, NULL);
    note_result(solve, search, &search->best, channel);
}

/* Puts codes and scales that stand somewhere into the trial and judges them. */
static void judge(struct bsq_search *search, const int8_t *codes, const double *scales, int64_t channel)
{
    struct bsq_candidate *trial = &search->trial;
    int64_t n = search->block.group->n, channels = search->block.channels, count = trial->scales_per_channel;

    memcpy(trial->codes, codes + channel * n, (size_t)(channels * n));
    memcpy(trial->scales, scales + channel * count, (size_t)(channels * count) * sizeof *scales);
    bsq_candidate_judge(trial, &search->block, search->u);
}

/* The tensor's best point as it stands, as start or as result. */
static void tensor_start_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct solve *solve = pass->context;

    (void)block;
    judge(search, solve->tensor.best.codes, solve->result->scales, channel);
    (void)memcpy(search->best.j, search->trial.j, (size_t)search->block.channels * sizeof *search->trial.j);
    memcpy(search->best.codes, search->trial.codes, (size_t)(search->block.channels * search->block.group->n));
    memcpy(search->best.scales, search->trial.scales, (size_t)search->block.channels * sizeof *search->trial.scales);
    note_start(solve, search, channel);
}

static void tensor_result_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct solve *solve = pass->context;

    (void)block;
    judge(search, solve->tensor.best.codes, solve->result->scales, channel);
    bsq_search_reset(search);
    bsq_bound_block(search, &search->trial, NULL);
    note_result(solve, search, &search->trial, channel);
}

static void held_out_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct solve *solve = pass->context;

    (void)block;
    judge(search, solve->result->codes, solve->result->scales, channel);
    for (int64_t c = 0; c < search->block.channels; c++) {
        solve->held_energy[channel + c] = search->block.energy[c];
        solve->held_error[channel + c] = fmax(search->trial.j[c], 0.0);
        if (solve->held_gap)
            solve->held_gap[channel + c] = mean_error(&search->block, &search->trial, c, search->u);
    }
}

/* ---- the ways to solve ---- */

static void begin_group(struct bsq_pass *pass, struct bsq_search *search, struct bsq_group *group, int64_t index)
{
    bsq_quick_begin(search, group, pass->input->weights + index * group->channels * group->n);
}

static bsq_status_t solve_channels(struct solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = solve->levels > 0 ? BSQ_STAGE_BEAM : BSQ_STAGE_ROUND;
    pass->begin = begin_group;
    status = bsq_pass_run(pass, search_block, solve);
    pass->begin = NULL;
    return status;
}

static bsq_status_t solve_as_published(struct solve *solve)
{
    bsq_paper_start(&solve->paper, solve->input->weights);
    solve->pass.stage = BSQ_STAGE_BITSPLIT;
    return bsq_pass_run(&solve->pass, paper_block, solve);
}

static void spread_scale(struct solve *solve)
{
    for (int64_t c = 0; c < channel_count(solve); c++)
        solve->result->scales[c] = solve->tensor.best.scale;
}

static bsq_status_t solve_tensor(struct solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = BSQ_STAGE_ROUND;
    status = bsq_tensor_round(&solve->tensor, pass, &solve->records[RECORD_ROUND]);
    spread_scale(solve);
    if (status == BSQ_OK)
        status = bsq_pass_run(pass, tensor_start_block, solve);
    pass->stage = BSQ_STAGE_BEAM;
    for (int32_t effort = 1; effort <= solve->levels && status == BSQ_OK; effort++)
        status = bsq_tensor_level(&solve->tensor, pass, effort,
                                  solve->records + RECORD_LEVELS + (effort - 1) * BSQ_LEVEL_STAGES);
    spread_scale(solve);
    if (status == BSQ_OK)
        status = bsq_pass_run(pass, tensor_result_block, solve);
    return status;
}

/* ---- memory ---- */

static bool is_paper(const bsq_options_t *options)
{
    return options->solver == BSQ_SOLVER_PAPER;
}

static bool is_tensor(const bsq_options_t *options)
{
    return options->scale_kind == BSQ_SCALE_PER_TENSOR;
}

static size_t lay_out_extra(struct solve *solve, const struct bsq_geometry *geometry, const bsq_options_t *options,
                            int64_t blocks, void *memory)
{
    if (is_paper(options))
        return bsq_paper_layout(&solve->paper, geometry->out_channels, geometry->fan_in, options->weight_bits, memory);
    if (is_tensor(options))
        return bsq_tensor_layout(&solve->tensor, geometry->out_channels, geometry->fan_in, blocks, memory);
    return 0;
}

/* Those of the records, and bias correction. */
int32_t bsq_solve_stages(const bsq_options_t *options)
{
    int32_t levels = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0;

    return RECORD_LEVELS + (is_paper(options) ? 1 : levels) * BSQ_LEVEL_STAGES + 1;
}

static bsq_status_t create_result(struct solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const bsq_options_t *options = input->options;
    const struct bsq_memory *memory = input->memory;
    struct bsq_search_plan plan = bsq_pass_plan(input->geometry, options);
    struct bsq_result *result = bsq_memory_get_zeroed(memory, 1, sizeof *result);
    int64_t channels = channel_count(solve);

    if (!result)
        return bsq_fail_memory(input->message);
    solve->result = result;
    result->memory = *memory;
    result->channels = channels;
    result->fan_in = plan.fan_in;
    result->group_size = plan.group_size;
    result->scales_per_channel = plan.scales_per_channel;
    result->bits = options->weight_bits;
    result->range = options->weight_range;
    result->scale_kind = options->scale_kind;
    result->codes = bsq_memory_get_zeroed(memory, channels * plan.fan_in, sizeof *result->codes);
    result->scales = bsq_memory_get_zeroed(memory, channels * plan.scales_per_channel, sizeof *result->scales);
    result->bias_change = bsq_memory_get_zeroed(memory, channels, sizeof *result->bias_change);
    result->stages = bsq_memory_get_zeroed(memory, bsq_solve_stages(options), sizeof *result->stages);
    result->channel = bsq_memory_get_zeroed(memory, channels, sizeof *result->channel);
    if (!result->codes || !result->scales || !result->bias_change || !result->stages || !result->channel)
        return bsq_fail_memory(input->message);
    for (int64_t c = 0; c < channels; c++) {
        result->channel[c].struct_size = sizeof result->channel[c];
        result->channel[c].outcome = BSQ_OUTCOME_CONVERGED;
    }
    return BSQ_OK;
}

void bsq_result_free(struct bsq_result *result)
{
    struct bsq_memory memory;

    if (!result)
        return;
    memory = result->memory;
    bsq_memory_put(&memory, result->codes);
    bsq_memory_put(&memory, result->scales);
    bsq_memory_put(&memory, result->bias_change);
    bsq_memory_put(&memory, result->stages);
    bsq_memory_put(&memory, result->channel);
    bsq_quantizer_release(&result->inputs);
    bsq_memory_put(&memory, result);
}

static bsq_status_t allocate_notes(struct solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const struct bsq_memory *memory = input->memory;
    int64_t channels = channel_count(solve);
    bool means = input->stats && bsq_stats_has_means(input->stats);
    bool held_means = input->held_out && bsq_stats_has_means(input->held_out);
    double *next;
    struct solve sizing = {.input = input};
    size_t extra = lay_out_extra(&sizing, input->geometry, input->options, solve->pass.blocks, NULL);

    solve->note_arrays = 3 + means + (input->held_out ? 2 + held_means : 0);
    solve->error = next = bsq_memory_get(memory, solve->note_arrays * channels, sizeof *next);
    solve->records = bsq_memory_get(memory, solve->pass.blocks * solve->record_count, sizeof *solve->records);
    if (extra)
        solve->extra = bsq_memory_get(memory, 1, extra);
    if (!next || !solve->records || (extra && !solve->extra))
        return bsq_fail_memory(input->message);
    solve->error_start = next + channels;
    solve->floor = next + 2 * channels;
    next += 3 * channels;
    if (means) {
        solve->gap = next;
        next += channels;
    }
    if (input->held_out) {
        solve->held_energy = next;
        solve->held_error = next + channels;
        solve->held_gap = held_means ? next + 2 * channels : NULL;
    }
    return BSQ_OK;
}

/* Nothing of the solve before. */
static void clear_notes(struct solve *solve)
{
    const struct bsq_solve_input *input = solve->input;

    memset(solve->error, 0, (size_t)(solve->note_arrays * channel_count(solve)) * sizeof *solve->error);
    memset(solve->records, 0,
           (size_t)(solve->pass.blocks * solve->record_count) * sizeof *solve->records);
    (void)lay_out_extra(solve, input->geometry, input->options, solve->pass.blocks, solve->extra);
}

static void release(struct solve *solve)
{
    const struct bsq_memory *memory = solve->input->memory;

    bsq_pass_close(&solve->pass);
    bsq_memory_put(memory, solve->error);
    bsq_memory_put(memory, solve->records);
    bsq_memory_put(memory, solve->extra);
}

/* ---- bias and report ---- */

/* Takes the mean of the output error into the bias, where that also helps on held-out statistics. */
static void correct_bias(struct solve *solve)
{
    struct bsq_result *result = solve->result;

    for (int64_t c = 0; c < channel_count(solve); c++) {
        bsq_channel_t *channel = &result->channel[c];
        double gap = solve->gap[c];

        if (solve->held_gap && !(gap * gap < 2.0 * gap * solve->held_gap[c])) {
            solve->error[c] += gap * gap; /* left as it was */
            continue;
        }
        result->bias_change[c] = gap;
        channel->bias_corrected = gap != 0.0;
        if (solve->held_gap)
            solve->held_error[c] += gap * gap - 2.0 * gap * solve->held_gap[c];
    }
}

/* |w - u|^2 and |w|^2 of one channel of the result. */
static void weight_squares(const struct solve *solve, int64_t c, double *distance, double *square)
{
    const struct bsq_result *result = solve->result;
    struct bsq_candidate candidate = {.group_size = result->group_size, .codes = result->codes,
                                      .scales_per_channel = result->scales_per_channel, .scales = result->scales};
    int64_t n = result->fan_in;
    const float *weights = solve->input->weights + c * n;

    *distance = bsq_candidate_distance(&candidate, n, c, weights);
    *square = solve->pass.plan.kernels->distance(weights, result->codes + c * n, 0.0, n);
}

static void report_channels(struct solve *solve)
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
        channel->error = ratio(solve->error[c], channel->energy);
        channel->error_start = ratio(solve->error_start[c], channel->energy);
        channel->weight_error = ratio(apart, own);
        channel->held_out_error = solve->held_error ? ratio(solve->held_error[c], solve->held_energy[c]) : -1.0;
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
    report->lower_bound = ratio(report->lower_bound, report->objective);
    if (report->channels_proven == result->channels)
        report->outcome = BSQ_OUTCOME_PROVEN;
    report->error_start = ratio(start, report->energy);
    report->error = ratio(error, report->energy);
    report->error_floor = ratio(floor, report->energy);
    report->error_uncorrected = ratio(report->error_uncorrected, report->energy);
    report->error_corrected = solve->gap ? ratio(corrected, report->energy) : -1.0;
    report->weight_error = ratio(distance, square);
    report->held_out_error = solve->held_error ? ratio(held_error, report->held_out_energy) : -1.0;
}

static bool has_limited_scale(const struct solve *solve)
{
    const struct bsq_result *result = solve->result;
    int32_t format = solve->input->options->scale_format;
    double least, most, unused;

    bsq_scale_neighbours(format, 0.0, &least, &unused);
    bsq_scale_neighbours(format, INFINITY, &unused, &most);
    for (int64_t i = 0; i < result->channels * result->scales_per_channel; i++)
        if (result->scales[i] <= least || result->scales[i] >= most)
            return true;
    return false;
}

static void report_layer(struct solve *solve, double damping)
{
    const struct bsq_solve_input *input = solve->input;
    bsq_report_t *report = &solve->result->report;

    report->damping = damping;
    report->rows = input->stats ? bsq_stats_rows(input->stats) : 0.0;
    report->rows_per_input = report->rows / (double)input->geometry->fan_in;
    report->kernel = solve->pass.plan.kernels->id;
    report->solver = input->options->solver;
    report->effort = input->options->effort;
    report->weight_bits = input->options->weight_bits;
    report->weight_range = input->options->weight_range;
    for (int64_t b = 0; b < solve->pass.blocks; b++) {
        report->dead_inputs += solve->pass.dead_inputs[b];
        if (solve->pass.raised[b])
            report->warnings |= BSQ_WARN_RAISED_DAMPING;
    }
    if (report->rows > 0.0 && report->rows_per_input < 2.0)
        report->warnings |= BSQ_WARN_FEW_ROWS;
    if (report->dead_inputs > 0)
        report->warnings |= BSQ_WARN_DEAD_INPUTS;
    if (report->dead_outputs > 0)
        report->warnings |= BSQ_WARN_DEAD_OUTPUTS;
    if (!input->stats)
        report->warnings |= BSQ_WARN_NO_STATISTICS;
    if (has_limited_scale(solve))
        report->warnings |= BSQ_WARN_SCALE_LIMITED;
}

/* Adds a stage to the report from record 'index' of every block. */
static void report_stage(struct solve *solve, int32_t index, int32_t stage, int32_t effort)
{
    struct bsq_result *result = solve->result;
    bsq_stage_t *out = &result->stages[result->stage_count++];

    out->struct_size = sizeof *out;
    out->stage = stage;
    out->effort = effort;
    for (int64_t b = 0; b < solve->pass.blocks; b++) {
        const struct bsq_stage_record *record = &records_of(solve, b)[index];

        out->objective_before += record->before;
        out->objective_after += record->after;
        out->seconds += record->seconds;
        out->sweeps += record->sweeps;
    }
}

static void report_stages(struct solve *solve)
{
    static const int32_t stages[BSQ_LEVEL_STAGES] = {BSQ_STAGE_BEAM, BSQ_STAGE_BITSPLIT, BSQ_STAGE_DESCENT,
                                                     BSQ_STAGE_SCALE};
    const bsq_options_t *options = solve->input->options;
    struct bsq_result *result = solve->result;
    bsq_stage_t *prepared;

    report_stage(solve, RECORD_ROUND, BSQ_STAGE_ROUND, 0);
    report_stage(solve, RECORD_PREPARE, BSQ_STAGE_PREPARE, 0);
    prepared = &result->stages[result->stage_count - 1];
    prepared->objective_before = prepared->objective_after = prepared[-1].objective_after;
    for (int64_t b = 0; b < solve->pass.blocks; b++)
        prepared->seconds += solve->pass.prepare_seconds[b];
    for (int32_t effort = 1; effort <= solve->levels; effort++) {
        for (int32_t k = 0; k < BSQ_LEVEL_STAGES; k++) {
            bool digits = bsq_search_level(effort)->digits && options->weight_range == BSQ_RANGE_SYMMETRIC;
            bool idle = (k == BSQ_LEVEL_BITSPLIT && !digits) ||
                        (k == BSQ_LEVEL_SCALE && options->scale_format == BSQ_SCALE_FLOAT32 && !is_tensor(options));

            if (!idle)
                report_stage(solve, RECORD_LEVELS + (effort - 1) * BSQ_LEVEL_STAGES + k, stages[k], effort);
        }
    }
    if (solve->levels > 0 && !is_tensor(options) && solve->result->report.lower_bound > 0.0)
        report_stage(solve, RECORD_EXACT, BSQ_STAGE_EXACT, options->effort);
    if (is_paper(options))
        report_stage(solve, RECORD_LEVELS + BSQ_LEVEL_BITSPLIT, BSQ_STAGE_BITSPLIT, options->effort);
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

/* ---- the solve ---- */

/* lambda: given, or from N / n (docs/method.md). */
static double choose_damping(const bsq_options_t *options, double rows, int64_t fan_in)
{
    const double most = 0.3, least = 1e-6;

    if (is_paper(options))
        return 0.0;
    if (options->damping >= 0.0)
        return options->damping;
    if (!(rows > 0.0))
        return least;
    return fmax(most * fmin((double)fan_in / rows, 1.0), least);
}

static bsq_status_t check_input(const struct bsq_solve_input *input)
{
    const bsq_options_t *options = input->options;
    int64_t n = input->geometry->fan_in;

    if (!input->stats && (is_paper(options) || (options->solver == BSQ_SOLVER_AUTO && options->effort > 0)))
        return bsq_fail(input->message, BSQ_E_STATE,
                        "no statistics: calibrate first, or choose BSQ_SOLVER_ROUND or effort 0");
    if (options->bias_correction && (!input->stats || !bsq_stats_has_means(input->stats)))
        return bsq_fail(input->message, BSQ_E_STATE, "bias correction needs the means of the inputs");
    if (!bsq_blas_fits(n) || !bsq_blas_fits(BSQ_BLOCK_MOST * n))
        return bsq_fail(input->message, BSQ_E_SHAPE, "a fan-in of %lld is too large for this BLAS", (long long)n);
    return input->stats ? bsq_stats_check_rows(input->stats, input->message) : BSQ_OK;
}

static bsq_status_t judge_held_out(struct solve *solve)
{
    if (!solve->input->held_out)
        return BSQ_OK;
    bsq_pass_replan(&solve->pass, &solve->held_plan);
    return bsq_pass_run(&solve->pass, held_out_block, solve);
}

/* What the groups need. */
static void plan_groups(struct solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const bsq_options_t *options = input->options;
    struct bsq_search_plan search_plan = bsq_pass_plan(input->geometry, options);
    bool target = input->stats && bsq_stats_has_target(input->stats);
    bool held_target = input->held_out && bsq_stats_has_target(input->held_out);
    double rows = input->stats ? bsq_stats_rows(input->stats) : 0.0;

    solve->plan = (struct bsq_group_plan){.geometry = input->geometry,
                                          .stats = input->stats,
                                          .damping = choose_damping(options, rows, input->geometry->fan_in),
                                          .mu = target ? options->asymmetry : 0.0,
                                          .centred = options->bias_correction,
                                          .wide = bsq_search_bounds(&search_plan),
                                          .dense = is_paper(options) || search_plan.scales_per_channel > 1};
    solve->plan.factor = solve->levels > 0 || solve->plan.wide;
    solve->held_plan = (struct bsq_group_plan){.geometry = input->geometry,
                                               .stats = input->held_out,
                                               .mu = held_target ? solve->plan.mu : 0.0,
                                               .dense = solve->plan.dense};
    solve->plan.dense |= solve->plan.wide;
    solve->plan.narrow = !is_tensor(options) && (solve->levels > 1 || !solve->plan.wide) &&
                         bsq_quick_applies(&search_plan, &solve->plan);
}

/* Prepares for 'count' solves of up to options->weight_bits bits; to be released whatever the status. */
static bsq_status_t open_solves(struct solve *solve, const struct bsq_solve_input *input, int32_t count)
{
    int64_t passes;
    bsq_status_t status = check_input(input);

    *solve = (struct solve){.own_input = *input, .options = *input->options};
    solve->input = &solve->own_input;
    solve->own_input.options = &solve->options;
    solve->pass.input = solve->input;
    solve->start = bsq_seconds();
    solve->levels = input->options->solver == BSQ_SOLVER_AUTO ? input->options->effort : 0;
    solve->record_count = bsq_solve_stages(input->options) - 1;
    if (status != BSQ_OK)
        return status;
    plan_groups(solve);
    status = bsq_pass_open(&solve->pass, solve->input, &solve->plan, input->held_out ? &solve->held_plan : NULL);
    if (status == BSQ_OK)
        status = allocate_notes(solve);
    passes = is_tensor(input->options) ? bsq_tensor_passes(solve->levels) + 2 : 1;
    solve->pass.total = count * solve->pass.blocks * (passes + (input->held_out != NULL));
    return status;
}

/* Solves for that many bits. What is prepared for a single group stays prepared from one solve to the next. */
static bsq_status_t run_solve(struct solve *solve, int32_t bits)
{
    const bsq_options_t *options = &solve->options;
    struct bsq_pass *pass = &solve->pass;
    struct bsq_search_plan plan;
    bsq_status_t status;

    solve->options.weight_bits = bits;
    plan = bsq_pass_plan(solve->input->geometry, options);
    pass->plan.bits = plan.bits;
    pass->plan.effort = solve->levels;
    pass->plan.rounding = plan.rounding;
    clear_notes(solve);
    if (solve->input->held_out)
        bsq_pass_replan(pass, &solve->plan);
    if ((status = create_result(solve)) != BSQ_OK)
        return status;
    pass->finished = solve->result->channel;
    status = is_paper(options)    ? solve_as_published(solve)
             : is_tensor(options) ? solve_tensor(solve)
                                  : solve_channels(solve);
    if (status == BSQ_OK)
        status = judge_held_out(solve);
    if (status != BSQ_OK)
        return status;
    solve->result->report.struct_size = sizeof solve->result->report;
    solve->result->report.outcome = BSQ_OUTCOME_CONVERGED;
    if (options->bias_correction)
        correct_bias(solve);
    report_channels(solve);
    report_layer(solve, solve->plan.damping);
    report_stages(solve);
    solve->result->report.seconds = bsq_seconds() - solve->start;
    return BSQ_OK;
}

bsq_status_t bsq_solve(const struct bsq_solve_input *input, struct bsq_result **result)
{
    struct solve solve;
    bsq_status_t status = open_solves(&solve, input, 1);

    *result = NULL;
    if (status == BSQ_OK)
        status = run_solve(&solve, input->options->weight_bits);
    if (status == BSQ_OK)
        *result = solve.result;
    else
        bsq_result_free(solve.result);
    release(&solve);
    return status;
}

/* How much work an entry of a table is worth: what is compared are numbers of bits, whose errors differ by a factor of
 * about four from one to the next. Small layers cost little, and gain more from effort. */
static int32_t table_effort(const struct bsq_solve_input *input)
{
    enum { TINY_FAN_IN = 64, TINY_EFFORT = 5, SMALL_FAN_IN = 256, SMALL_EFFORT = 2 };
    int64_t n = input->geometry->fan_in;
    int32_t effort = n <= TINY_FAN_IN ? TINY_EFFORT : n <= SMALL_FAN_IN ? SMALL_EFFORT : 1;

    return input->options->effort < effort ? input->options->effort : effort;
}

bsq_status_t bsq_solve_errors(const struct bsq_solve_input *input, int32_t bits_lo, int32_t bits_hi, double *errors)
{
    bsq_options_t options = *input->options;
    struct bsq_solve_input own = *input;
    struct solve solve;
    bsq_status_t status;

    options.weight_bits = bits_hi;
    options.effort = table_effort(input);
    options.lower_bound = 0;
    own.options = &options;
    if (!options.bias_correction) /* held-out statistics decide about nothing else */
        own.held_out = NULL;
    status = open_solves(&solve, &own, bits_hi - bits_lo + 1);
    solve.pass.plan.exact = 0; /* what a proof costs grows with the bits */
    for (int32_t bits = bits_lo; bits <= bits_hi && status == BSQ_OK; bits++) {
        status = run_solve(&solve, bits);
        if (status == BSQ_OK)
            errors[bits - bits_lo] = solve.result->report.error;
        solve.pass.finished = NULL;
        bsq_result_free(solve.result);
        solve.result = NULL;
    }
    release(&solve);
    return status;
}

bool bsq_solve_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, size_t *bytes)
{
    struct solve sizing = {.levels = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0};
    int64_t channels = geometry->out_channels, count = channels * geometry->fan_in;
    struct bsq_search_plan plan = bsq_pass_plan(geometry, options);
    int64_t scales = plan.scales_per_channel;
    int64_t blocks = (geometry->group_outputs + plan.block_channels - 1) / plan.block_channels * geometry->groups;
    size_t records = (size_t)bsq_solve_stages(options) - 1;
    size_t pass;

    if (!bsq_pass_bytes(geometry, options, &pass))
        return false;
    *bytes = pass + lay_out_extra(&sizing, geometry, options, blocks, NULL);
    *bytes += (size_t)count + (size_t)(channels * scales) * sizeof(double);
    *bytes += (size_t)channels * (sizeof(bsq_channel_t) + 5 * sizeof(double));
    *bytes += (size_t)blocks * records * sizeof(struct bsq_stage_record) + (records + 1) * sizeof(bsq_stage_t);
    *bytes += sizeof(struct bsq_result) + 9 * bsq_memory_cost(0);
    return true;
}
