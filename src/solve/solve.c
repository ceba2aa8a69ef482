/* Solving: which stages run, what is noted of them, and that nothing gets worse on the way. */
#include "solve/private.h"

#include "base/blas.h"

#include <math.h>
#include <string.h>

/* ---- the ways to solve ---- */

static bsq_status_t solve_channels(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = solve->plan.efforts > 0 ? BSQ_STAGE_BEAM : BSQ_STAGE_ROUND;
    pass->begin = bsq_solve_begin_group;
    status = bsq_pass_run(pass, solve->plan.keeps_scales ? bsq_solve_block_kept : bsq_solve_block, solve);
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
    for (int64_t c = 0; c < solve->result->channels; c++)
        solve->result->scales[c] = solve->per_tensor.best.scale;
}

static bsq_status_t round_per_tensor(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    pass->stage = BSQ_STAGE_ROUND;
    status = bsq_per_tensor_round(&solve->per_tensor, pass, &solve->records[BSQ_RECORD_ROUND]);
    spread_scale(solve);
    return status == BSQ_OK ? bsq_pass_run(pass, bsq_solve_block_tensor_start, solve) : status;
}

static bsq_status_t solve_per_tensor(struct bsq_solve *solve)
{
    struct bsq_pass *pass = &solve->pass;
    int64_t last = pass->done + (solve->passes - 1 - solve->plan.judges_held_out) * solve->plan.blocks;
    bsq_status_t status = round_per_tensor(solve);

    pass->stage = BSQ_STAGE_BEAM;
    for (int32_t effort = 1; effort <= solve->plan.efforts && status == BSQ_OK; effort++)
        status = bsq_per_tensor_effort(&solve->per_tensor, pass, effort,
                                       solve->records + BSQ_RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES);
    spread_scale(solve);
    pass->done = last; /* efforts may end before all of their turns */
    if (status == BSQ_OK)
        status = bsq_pass_run(pass, bsq_solve_block_tensor_result, solve);
    return status;
}

/* Rounds, and judges what is given in the place of a result. */
static bsq_status_t judge_given(struct bsq_solve *solve)
{
    bsq_status_t status = solve->plan.per_tensor ? round_per_tensor(solve) : BSQ_OK;

    solve->pass.stage = BSQ_STAGE_ROUND;
    return status == BSQ_OK ? bsq_pass_run(&solve->pass, bsq_solve_block_given, solve) : status;
}

static bsq_status_t judge_held_out(struct bsq_solve *solve)
{
    if (!solve->plan.judges_held_out)
        return BSQ_OK;
    bsq_pass_replan(&solve->pass, &solve->plan.held_out);
    return bsq_pass_run(&solve->pass, bsq_solve_block_held_out, solve);
}

/* ---- memory ---- */

/* Lays out in 'memory' (NULL: only counts) what a solve notes, after its plan. Notes come first. */
static size_t lay_out(struct bsq_solve *solve, void *memory)
{
    const struct bsq_solve_plan *plan = &solve->plan;
    struct bsq_carver carver = {memory, 0};
    int64_t channels = plan->geometry->out_channels, n = plan->geometry->fan_in;
    size_t part;

    solve->error = bsq_carve(&carver, channels, sizeof *solve->error);
    solve->error_start = bsq_carve(&carver, channels, sizeof *solve->error_start);
    solve->floor = bsq_carve(&carver, channels, sizeof *solve->floor);
    if (plan->has_means)
        solve->gap = bsq_carve(&carver, channels, sizeof *solve->gap);
    if (plan->judges_held_out) {
        solve->held_energy = bsq_carve(&carver, channels, sizeof *solve->held_energy);
        solve->held_error = bsq_carve(&carver, channels, sizeof *solve->held_error);
    }
    if (plan->judges_held_out && plan->held_means)
        solve->held_gap = bsq_carve(&carver, channels, sizeof *solve->held_gap);
    solve->records = bsq_carve(&carver, plan->blocks * plan->records, sizeof *solve->records);
    solve->cleared = carver.used;
    if (plan->paper) {
        part = bsq_paper_layout(&solve->paper, channels, n, plan->search.bits, NULL);
        (void)bsq_paper_layout(&solve->paper, channels, n, plan->search.bits, bsq_carve(&carver, (int64_t)part, 1));
    } else if (plan->per_tensor) {
        part = bsq_per_tensor_layout(&solve->per_tensor, channels, n, plan->blocks, NULL);
        (void)bsq_per_tensor_layout(&solve->per_tensor, channels, n, plan->blocks,
                                    bsq_carve(&carver, (int64_t)part, 1));
    }
    return carver.used;
}

/* Counts the stages of a report: those of the records, and bias correction. */
static int32_t stages_of(const struct bsq_solve_plan *plan)
{
    return plan->records + 1;
}

bool bsq_solve_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, size_t *bytes, size_t *result)
{
    struct bsq_solve solve = {.plan = bsq_solve_plan_presumed(geometry, options)};
    int64_t squares, n = geometry->fan_in;

    if (!bsq_extent_mul(n, n, &squares) || squares > INT64_MAX / 64)
        return false;
    *result = bsq_memory_cost(bsq_result_bytes(geometry, options, stages_of(&solve.plan)));
    *bytes = bsq_memory_cost(bsq_pass_layout(&solve.pass, &solve.plan, NULL)) + bsq_memory_cost(lay_out(&solve, NULL)) +
             *result;
    return true;
}

/* ---- the solve ---- */

static bsq_status_t check_input(const struct bsq_solve_input *input)
{
    const bsq_options_t *options = input->options;
    int64_t n = input->geometry->fan_in;

    if (!input->stats &&
        (options->solver == BSQ_SOLVER_PAPER || (options->solver == BSQ_SOLVER_AUTO && options->effort > 0)))
        return bsq_fail(input->message, BSQ_E_STATE,
                        "no statistics: calibrate first, or choose BSQ_SOLVER_ROUND or effort 0");
    if (options->bias_correction && (!input->stats || !bsq_stats_has_means(input->stats)))
        return bsq_fail(input->message, BSQ_E_STATE, "bias correction needs the means of the inputs");
    if (!bsq_blas_fits(n) || !bsq_blas_fits(BSQ_BLOCK_MOST * n))
        return bsq_fail(input->message, BSQ_E_SHAPE, "a fan-in of %lld is too large for this BLAS", (long long)n);
    return input->stats ? bsq_stats_check_rows(input->stats, input->message) : BSQ_OK;
}

/* Prepares for 'count' solves of up to options->weight_bits bits; to be closed whatever the status. */
static bsq_status_t open_solves(struct bsq_solve *solve, const struct bsq_solve_input *input, int32_t count)
{
    const struct bsq_memory *memory = input->memory;
    bsq_status_t status = check_input(input);

    *solve = (struct bsq_solve){.own_input = *input, .options = *input->options, .start = bsq_seconds()};
    solve->input = &solve->own_input;
    solve->own_input.options = &solve->options;
    if (status != BSQ_OK)
        return status;
    solve->plan = bsq_solve_plan(solve->input);
    solve->memory = bsq_memory_get(memory, 1, lay_out(solve, NULL));
    solve->pass_memory = bsq_memory_get(memory, 1, bsq_pass_layout(&solve->pass, &solve->plan, NULL));
    if (!solve->memory || !solve->pass_memory)
        return bsq_fail_memory(input->message);
    (void)bsq_pass_layout(&solve->pass, &solve->plan, solve->pass_memory);
    bsq_pass_start(&solve->pass, solve->input);
    solve->passes =
        (solve->plan.per_tensor ? bsq_per_tensor_passes(solve->plan.efforts) + 2 : 1) + solve->plan.judges_held_out;
    solve->pass.total = count * solve->plan.blocks * solve->passes;
    return BSQ_OK;
}

static void close_solves(struct bsq_solve *solve)
{
    bsq_memory_put(solve->input->memory, solve->pass_memory);
    bsq_memory_put(solve->input->memory, solve->memory);
}

/* Refuses results that are not finite: J, or a scale, left the range of double or float32. */
static bsq_status_t check_finite(const struct bsq_solve *solve)
{
    const struct bsq_result *result = solve->result;

    for (int64_t c = 0; c < result->channels; c++) {
        bool finite = isfinite(result->channel[c].objective) && isfinite(result->channel[c].energy);

        for (int64_t a = 0; a < result->scales_per_channel; a++)
            finite = finite && isfinite(result->scales[c * result->scales_per_channel + a]) &&
                     fabs(result->scales[c * result->scales_per_channel + a]) > 0.0 &&
                     !(result->shifts && !isfinite(result->shifts[c * result->scales_per_channel + a]));
        if (!finite)
            return bsq_fail(solve->input->message, BSQ_E_NUMERIC,
                            "output channel %lld: its weights and the statistics are too large, no codes have a finite "
                            "error",
                            (long long)c);
    }
    return BSQ_OK;
}

/* Solves for that many bits. What is prepared for a single group stays prepared from one solve to the next. */
static bsq_status_t run_solve(struct bsq_solve *solve, int32_t bits)
{
    const struct bsq_solve_input *input = solve->input;
    struct bsq_pass *pass = &solve->pass;
    bsq_status_t status;

    solve->options.weight_bits = bits;
    bsq_solve_plan_bits(&solve->plan, &solve->options, bits);
    (void)lay_out(solve, solve->memory);
    memset(solve->memory, 0, solve->cleared);
    if (solve->plan.judges_held_out)
        bsq_pass_replan(pass, &solve->plan.hessian);
    solve->result = bsq_result_create(input->geometry, &solve->options, stages_of(&solve->plan), input->memory);
    if (!solve->result)
        return bsq_fail_memory(input->message);
    if (solve->options.scale_format == BSQ_SCALE_FORMAT_E4M3)
        solve->result->scale_unit = (float)solve->plan.search.rounding.scale_unit;
    pass->finished = solve->result->channel;
    status = solve->given             ? judge_given(solve)
             : solve->plan.paper      ? solve_as_published(solve)
             : solve->plan.per_tensor ? solve_per_tensor(solve)
                                      : solve_channels(solve);
    if (status == BSQ_OK)
        status = judge_held_out(solve);
    if (status == BSQ_OK)
        status = check_finite(solve);
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
    close_solves(&solve);
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
    bsq_report_t *report;
    bsq_status_t status;

    options.solver = BSQ_SOLVER_ROUND;
    options.keep_scales = 0;
    own_input.options = &options;
    if ((status = solve_once(&own_input, given, result)) != BSQ_OK)
        return status;
    report = &(*result)->report;
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
    options.keep_scales = 0;
    options.lower_bound = 0;
    own.options = &options;
    if (!options.bias_correction) /* held-out statistics decide about nothing else */
        own.held_out = NULL;
    status = open_solves(&solve, &own, bits_hi - bits_lo + 1);
    solve.plan.search.exact = 0; /* what a proof costs grows with the bits */
    for (int32_t bits = bits_lo; bits <= bits_hi && status == BSQ_OK; bits++) {
        status = run_solve(&solve, bits);
        if (status == BSQ_OK)
            errors[bits - bits_lo] = solve.result->report.error;
        solve.pass.finished = NULL;
        bsq_result_free(solve.result);
        solve.result = NULL;
    }
    close_solves(&solve);
    return status;
}
