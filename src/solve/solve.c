/* Which stages run at which effort, and that nothing gets worse on the way. */
#include "solve/private.h"

#include "base/blas.h"
#include "solve/single_precision.h"

#include <math.h>
#include <string.h>

/* ---- the ways to solve ---- */

static bsq_status_t solve_channels(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = solve->levels > 0 ? BSQ_STAGE_BEAM : BSQ_STAGE_ROUND;
    pass->begin = bsq_solve_begin_group;
    status = bsq_pass_run(pass, bsq_solve_block, solve);
    pass->begin = NULL;
    return status;
}

static bsq_status_t solve_as_published(struct bsq_solve *solve)
{
    bsq_paper_start(&solve->paper, solve->input->weights);
    solve->pass.stage = BSQ_STAGE_BITSPLIT;
    return bsq_pass_run(&solve->pass, bsq_solve_block_paper, solve);
}

static void spread_scale(struct bsq_solve *solve)
{
    for (int64_t c = 0; c < bsq_solve_channels(solve); c++)
        solve->result->scales[c] = solve->tensor.best.scale;
}

static bsq_status_t round_tensor(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = BSQ_STAGE_ROUND;
    status = bsq_per_tensor_round(&solve->tensor, pass, &solve->records[RECORD_ROUND]);
    spread_scale(solve);
    return status == BSQ_OK ? bsq_pass_run(pass, bsq_solve_block_tensor_start, solve) : status;
}

static bsq_status_t solve_tensor(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status = round_tensor(solve);

    pass->stage = BSQ_STAGE_BEAM;
    for (int32_t effort = 1; effort <= solve->levels && status == BSQ_OK; effort++)
        status = bsq_per_tensor_effort(&solve->tensor, pass, effort,
                                  solve->records + RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES);
    spread_scale(solve);
    if (status == BSQ_OK)
        status = bsq_pass_run(pass, bsq_solve_block_tensor_result, solve);
    return status;
}

/* Rounding, and what is given in the place of a result. */
static bsq_status_t judge_given(struct bsq_solve *solve)
{
    bsq_status_t status = bsq_solve_is_tensor(&solve->options) ? round_tensor(solve) : BSQ_OK;

    solve->pass.stage = BSQ_STAGE_ROUND;
    return status == BSQ_OK ? bsq_pass_run(&solve->pass, bsq_solve_block_given, solve) : status;
}

/* ---- memory ---- */

static size_t lay_out_extra(struct bsq_solve *solve, const struct bsq_geometry *geometry, const bsq_options_t *options,
                            int64_t blocks, void *memory)
{
    if (bsq_solve_is_paper(options))
        return bsq_paper_layout(&solve->paper, geometry->out_channels, geometry->fan_in, options->weight_bits, memory);
    if (bsq_solve_is_tensor(options))
        return bsq_per_tensor_layout(&solve->tensor, geometry->out_channels, geometry->fan_in, blocks, memory);
    return 0;
}

/* Those of the records, and bias correction. */
int32_t bsq_solve_stages(const bsq_options_t *options)
{
    int32_t levels = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0;

    return RECORD_EFFORTS + (bsq_solve_is_paper(options) ? 1 : levels) * BSQ_EFFORT_STAGES + 1;
}

static bsq_status_t create_result(struct bsq_solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const bsq_options_t *options = input->options;
    const struct bsq_memory *memory = input->memory;
    struct bsq_search_plan plan = bsq_pass_plan(input->geometry, options);
    struct bsq_result *result = bsq_memory_get_zeroed(memory, 1, sizeof *result);
    int64_t channels = bsq_solve_channels(solve);

    if (!result)
        return bsq_fail_memory(input->message);
    solve->result = result;
    result->memory = *memory;
    result->channels = channels;
    result->fan_in = plan.fan_in;
    result->group_size = plan.group_size;
    result->scales_per_channel = plan.scales_per_channel;
    result->bits = options->weight_bits;
    result->grid = options->weight_grid;
    result->scale_kind = options->scale_kind;
    result->scale_format = options->scale_format;
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

static bsq_status_t allocate_notes(struct bsq_solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const struct bsq_memory *memory = input->memory;
    int64_t channels = bsq_solve_channels(solve);
    bool means = input->stats && bsq_stats_has_means(input->stats);
    bool held_means = input->held_out && bsq_stats_has_means(input->held_out);
    double *next;
    struct bsq_solve sizing = {.input = input};
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
static void clear_notes(struct bsq_solve *solve)
{
    const struct bsq_solve_input *input = solve->input;

    memset(solve->error, 0, (size_t)(solve->note_arrays * bsq_solve_channels(solve)) * sizeof *solve->error);
    memset(solve->records, 0,
           (size_t)(solve->pass.blocks * solve->record_count) * sizeof *solve->records);
    (void)lay_out_extra(solve, input->geometry, input->options, solve->pass.blocks, solve->extra);
}

static void release(struct bsq_solve *solve)
{
    const struct bsq_memory *memory = solve->input->memory;

    bsq_pass_close(&solve->pass);
    bsq_memory_put(memory, solve->error);
    bsq_memory_put(memory, solve->records);
    bsq_memory_put(memory, solve->extra);
}

/* ---- the solve ---- */

/* lambda: given, or from N / n (docs/method.md). */
static double choose_damping(const bsq_options_t *options, double rows, int64_t fan_in)
{
    const double most = 0.3, least = 1e-6;

    if (bsq_solve_is_paper(options))
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

    if (!input->stats && (bsq_solve_is_paper(options) || (options->solver == BSQ_SOLVER_AUTO && options->effort > 0)))
        return bsq_fail(input->message, BSQ_E_STATE,
                        "no statistics: calibrate first, or choose BSQ_SOLVER_ROUND or effort 0");
    if (options->bias_correction && (!input->stats || !bsq_stats_has_means(input->stats)))
        return bsq_fail(input->message, BSQ_E_STATE, "bias correction needs the means of the inputs");
    if (!bsq_blas_fits(n) || !bsq_blas_fits(BSQ_BLOCK_MOST * n))
        return bsq_fail(input->message, BSQ_E_SHAPE, "a fan-in of %lld is too large for this BLAS", (long long)n);
    return input->stats ? bsq_stats_check_rows(input->stats, input->message) : BSQ_OK;
}

static bsq_status_t judge_held_out(struct bsq_solve *solve)
{
    if (!solve->input->held_out)
        return BSQ_OK;
    bsq_pass_replan(&solve->pass, &solve->held_plan);
    return bsq_pass_run(&solve->pass, bsq_solve_block_held_out, solve);
}

/* What the groups need. */
static void plan_groups(struct bsq_solve *solve)
{
    const struct bsq_solve_input *input = solve->input;
    const bsq_options_t *options = input->options;
    struct bsq_search_plan search_plan = bsq_pass_plan(input->geometry, options);
    bool target = input->stats && bsq_stats_has_target(input->stats);
    bool held_target = input->held_out && bsq_stats_has_target(input->held_out);
    double rows = input->stats ? bsq_stats_rows(input->stats) : 0.0;

    solve->plan = (struct bsq_hessian_plan){.geometry = input->geometry,
                                          .stats = input->stats,
                                          .damping = choose_damping(options, rows, input->geometry->fan_in),
                                          .mu = target ? options->asymmetry : 0.0,
                                          .centred = options->bias_correction,
                                          .has_factor64 = bsq_search_bounds(&search_plan),
                                          .dense = bsq_solve_is_paper(options) || search_plan.scales_per_channel > 1};
    solve->plan.factor = solve->levels > 0 || solve->plan.has_factor64;
    solve->held_plan = (struct bsq_hessian_plan){.geometry = input->geometry,
                                               .stats = input->held_out,
                                               .mu = held_target ? solve->plan.mu : 0.0,
                                               .dense = solve->plan.dense};
    solve->plan.dense |= solve->plan.has_factor64;
    solve->plan.single = !bsq_solve_is_tensor(options) && (solve->levels > 1 || !solve->plan.has_factor64) &&
                         bsq_single_precision_applies(&search_plan, &solve->plan);
}

/* Prepares for 'count' solves of up to options->weight_bits bits; to be released whatever the status. */
static bsq_status_t open_solves(struct bsq_solve *solve, const struct bsq_solve_input *input, int32_t count)
{
    int64_t passes;
    bsq_status_t status = check_input(input);

    *solve = (struct bsq_solve){.own_input = *input, .options = *input->options};
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
    passes = bsq_solve_is_tensor(input->options) ? bsq_per_tensor_passes(solve->levels) + 2 : 1;
    solve->pass.total = count * solve->pass.blocks * (passes + (input->held_out != NULL));
    return status;
}

/* Solves for that many bits. What is prepared for a single group stays prepared from one solve to the next. */
static bsq_status_t run_solve(struct bsq_solve *solve, int32_t bits)
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
    status = solve->given                   ? judge_given(solve)
             : bsq_solve_is_paper(options)  ? solve_as_published(solve)
             : bsq_solve_is_tensor(options) ? solve_tensor(solve)
                                  : solve_channels(solve);
    if (status == BSQ_OK)
        status = judge_held_out(solve);
    if (status != BSQ_OK)
        return status;
    bsq_solve_report(solve);
    return BSQ_OK;
}

/* Solves, or judges what is given. */
static bsq_status_t solve_once(const struct bsq_solve_input *input, const struct bsq_result *given,
                               struct bsq_result **result)
{
    struct bsq_solve solve;
    bsq_status_t status = open_solves(&solve, input, 1);

    *result = NULL;
    solve.given = given;
    if (status == BSQ_OK)
        status = run_solve(&solve, input->options->weight_bits);
    if (status == BSQ_OK)
        *result = solve.result;
    else
        bsq_result_free(solve.result);
    release(&solve);
    return status;
}

bsq_status_t bsq_solve(const struct bsq_solve_input *input, struct bsq_result **result)
{
    return solve_once(input, NULL, result);
}

bsq_status_t bsq_solve_evaluate(const struct bsq_solve_input *input, const struct bsq_result *given,
                                struct bsq_result **result)
{
    struct bsq_solve_input own_input = *input;
    bsq_options_t options = *input->options;
    bsq_status_t status;

    options.solver = BSQ_SOLVER_ROUND;
    own_input.options = &options;
    if ((status = solve_once(&own_input, given, result)) != BSQ_OK)
        return status;

    bsq_report_t *report = &(*result)->report;

    (*result)->stage_count = report->stages = report->solver = report->effort = 0;
    report->sweeps = 0;
    report->outcome = BSQ_OUTCOME_NONE;
    for (int64_t c = 0; c < (*result)->channels; c++)
        (*result)->channel[c].outcome = BSQ_OUTCOME_NONE;
    return BSQ_OK;
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
    struct bsq_solve solve;
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
    struct bsq_solve sizing = {.levels = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0};
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
