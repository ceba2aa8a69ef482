/* What a solve does with one block, and what it notes. */
#include "solve/private.h"

#include "base/blas.h"
#include "solve/kept_scales.h"
#include "solve/lower_bound.h"
#include "solve/optimum.h"
#include "solve/scale_format.h"
#include "solve/single_precision.h"
#include "solve/start.h"

#include <math.h>
#include <string.h>

/* ---- what a finished candidate is worth ---- */

/* Gives J without its damping term, |w - u|^2 being 'distance'. */
static double undamped(const struct bsq_hessian *hessian, double j, double distance)
{
    return fmax(j - hessian->ridge * distance, 0.0);
}

/* Gives the mean of the output error; 'u' is n doubles of scratch. */
static double mean_error(const struct bsq_block *block, const struct bsq_candidate *candidate, int64_t c, double *u)
{
    int64_t n = block->hessian->n;

    bsq_candidate_weights(candidate, n, c, u);
    return block->target_mean[c] - bsq_ddot(n, u, block->hessian->mean);
}

static void note_start(struct bsq_solve *solve, struct bsq_search *search, int64_t channel)
{
    const struct bsq_block *block = &search->block;
    const struct bsq_hessian *hessian = block->hessian;
    int64_t n = hessian->n;

    for (int64_t c = 0; c < block->channels; c++) {
        double distance =
            block->single ? search->distance[c] : bsq_candidate_distance(&search->best, n, c, block->weights + c * n);

        solve->result->channel[channel + c].objective_start = bsq_solve_not_negative(search->best.j[c]);
        solve->error_start[channel + c] = undamped(hessian, search->best.j[c], distance);
        if (hessian->centred) /* the start has no corrected bias to show for */
            solve->error_start[channel + c] += pow(mean_error(block, &search->best, c, search->u), 2.0);
    }
}

static void note_result(struct bsq_solve *solve, struct bsq_search *search, const struct bsq_candidate *candidate,
                        int64_t channel)
{
    const struct bsq_block *block = &search->block;
    struct bsq_result *result = solve->result;
    int64_t n = block->hessian->n, scales = result->scales_per_channel;

    memcpy(result->codes + channel * n, candidate->codes, (size_t)(block->channels * n));
    memcpy(result->scales + channel * scales, candidate->scales,
           (size_t)(block->channels * scales) * sizeof *candidate->scales);
    if (result->shifts)
        memcpy(result->shifts + channel * scales, candidate->shifts,
               (size_t)(block->channels * scales) * sizeof *candidate->shifts);
    for (int64_t c = 0; c < block->channels; c++) {
        bsq_channel_t *out = &result->channel[channel + c];

        out->objective = bsq_solve_not_negative(candidate->j[c]);
        out->energy = block->energy[c];
        out->sweeps += search->sweeps[c];
        if (search->limited[c])
            out->outcome = BSQ_OUTCOME_LIMIT;
        if (search->proven[c])
            out->outcome = BSQ_OUTCOME_PROVEN;
        out->lower_bound =
            search->proven[c] ? 1.0 : fmin(fmax(bsq_solve_ratio(search->bound[c], candidate->j[c]), 0.0), 1.0);
        solve->error[channel + c] =
            undamped(block->hessian, candidate->j[c], bsq_candidate_distance(candidate, n, c, block->weights + c * n));
        solve->floor[channel + c] = fmin(block->floor[c], solve->error[channel + c]); /* above it by rounding only */
        if (solve->gap)
            solve->gap[channel + c] = mean_error(block, candidate, c, search->u);
    }
}

/* ---- work on blocks ---- */

struct bsq_stage_record *bsq_solve_records(struct bsq_solve *solve, int64_t block)
{
    return solve->records + block * solve->plan.records;
}

/* Records an effort that a block has no need of: J stays as it is. */
static void keep_objective(const struct bsq_search *search, struct bsq_stage_record *records)
{
    double sum = bsq_search_sum(search->best.j, search->block.channels);

    for (int k = 0; k < BSQ_EFFORT_STAGES; k++)
        records[k].before = records[k].after = sum;
}

/* Rounds a block and runs effort 1. What rounding had is noted, but for the symmetric codes of the full range. */
static void begin_block(struct bsq_solve *solve, struct bsq_search *search, struct bsq_stage_record *records,
                        int64_t channel)
{
    struct bsq_stage_record *beam = &records[BSQ_RECORD_EFFORTS + BSQ_EFFORT_BEAM];
    bool contained = search->plan->contained;
    bool single = search->block.single || (contained && search->block.hessian->single && solve->plan.efforts > 1);

    if (single && bsq_single_precision_search(search, &records[BSQ_RECORD_ROUND], beam)) {
        if (!contained)
            note_start(solve, search, channel);
        if (solve->plan.efforts > 1) {
            if (search->block.single)
                bsq_block_load_double(&search->block);
            bsq_search_begin(search, records + BSQ_RECORD_EFFORTS);
        }
        return;
    }
    if (search->block.single)
        bsq_block_load_double(&search->block);
    bsq_start_round(search, &records[BSQ_RECORD_ROUND]);
    if (!contained)
        note_start(solve, search, channel);
    if (solve->plan.efforts >= 1 && search->block.hessian->searchable) {
        bsq_search_effort(search, 1, records + BSQ_RECORD_EFFORTS);
        bsq_optimum_search(search, 1, &records[BSQ_RECORD_EXACT]);
    } else if (solve->plan.efforts >= 1) {
        keep_objective(search, records + BSQ_RECORD_EFFORTS);
    }
}

/* Runs all efforts; returns what they found. */
static struct bsq_candidate *search_block(struct bsq_solve *solve, struct bsq_search *search,
                                          struct bsq_stage_record *records, int64_t channel)
{
    int32_t effort = 2;

    begin_block(solve, search, records, channel);
    if (search->block.single)
        return &search->trial;
    for (; effort <= solve->plan.efforts && search->block.hessian->searchable && !bsq_search_proven(search); effort++) {
        bsq_search_effort(search, effort, records + BSQ_RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES);
        bsq_optimum_search(search, effort, &records[BSQ_RECORD_EXACT]);
    }
    for (; effort <= solve->plan.efforts; effort++)
        keep_objective(search, records + BSQ_RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES);
    return &search->best;
}

/* What is known of a block's channels beside the result. */
struct progress_made {
    int64_t sweeps[BSQ_BLOCK_MOST];
    int32_t limited[BSQ_BLOCK_MOST], proven[BSQ_BLOCK_MOST];
    double bound[BSQ_BLOCK_MOST];
};

static void save_progress(struct progress_made *made, const struct bsq_search *search)
{
    for (int64_t c = 0; c < search->block.channels; c++) {
        made->sweeps[c] = search->sweeps[c];
        made->limited[c] = search->limited[c];
        made->proven[c] = search->proven[c];
        made->bound[c] = search->bound[c];
    }
}

/* Puts what the full range has into 'found', where it is as good, and what is known of it. */
static void merge_full_range(struct bsq_search *search, struct bsq_candidate *found, const struct progress_made *made)
{
    int64_t n = search->plan->fan_in;

    for (int64_t c = 0; c < search->block.channels; c++) {
        bool better = found->j[c] < search->full.j[c];

        if (!better)
            bsq_candidate_copy_channel(found, &search->full, n, c);
        search->sweeps[c] += made->sweeps[c];
        search->limited[c] = better ? search->limited[c] : made->limited[c];
        search->proven[c] = better ? 0 : made->proven[c];
        search->bound[c] = made->bound[c];
    }
}

/* Adds the work on the symmetric codes to the stages. The last of them ends with J of what is left. */
static void merge_records(const struct bsq_search *search, struct bsq_stage_record *records,
                          const struct bsq_stage_record *own, int32_t count, double after)
{
    struct bsq_stage_record *last = &records[count - BSQ_EFFORT_STAGES];

    for (int32_t i = 0; i < count; i++) {
        records[i].seconds += own[i].seconds;
        records[i].sweeps += own[i].sweeps;
    }
    if (search->block.single)
        last[BSQ_EFFORT_BEAM].after = after;
    else if (bsq_scale_format_applies(&search->plan->rounding))
        last[BSQ_EFFORT_SCALE].after = after;
    else
        last[BSQ_EFFORT_DESCENT].after = after;
    if (records[BSQ_RECORD_EXACT].seconds > 0.0)
        records[BSQ_RECORD_EXACT].after = after;
}

/* The full range contains the symmetric codes, and a search that knows only these may find what a search of all passes
 * by: it runs too, and each channel has the better result. So the full range never ends above the symmetric one. */
static struct bsq_candidate *search_symmetric(struct bsq_solve *solve, struct bsq_search *search,
                                              struct bsq_candidate *found, struct bsq_stage_record *records)
{
    enum { MOST_RECORDS = BSQ_RECORD_EFFORTS + BSQ_EFFORT_MOST * BSQ_EFFORT_STAGES };
    const struct bsq_search_plan *plan = search->plan, symmetric = bsq_symmetric_plan(plan);
    struct bsq_stage_record own[MOST_RECORDS] = {{0}};
    struct progress_made made;
    int64_t n = plan->fan_in;

    if (!search->block.hessian->searchable || bsq_search_proven(search))
        return found;
    save_progress(&made, search);
    for (int64_t c = 0; c < search->block.channels; c++)
        bsq_candidate_copy_channel(&search->full, found, n, c);
    search->plan = &symmetric;
    found = search_block(solve, search, own, 0);
    search->plan = plan;
    merge_full_range(search, found, &made);
    merge_records(search, records, own, solve->plan.records, bsq_search_sum(found->j, search->block.channels));
    return found;
}

void bsq_solve_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;
    struct bsq_stage_record *records = bsq_solve_records(solve, block);
    struct bsq_candidate *found = search_block(solve, search, records, channel);

    if (search->plan->contains)
        found = search_symmetric(solve, search, found, records);
    if (!search->block.single)
        bsq_lower_bound_block(search, found, &records[BSQ_RECORD_EXACT]);
    note_result(solve, search, found, channel);
}

void bsq_solve_block_kept(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;
    const struct bsq_result *kept = solve->input->kept;
    struct bsq_stage_record *records = bsq_solve_records(solve, block);

    bsq_kept_scales_round(search, kept, channel, &records[BSQ_RECORD_ROUND]);
    note_start(solve, search, channel);
    if (solve->plan.efforts > 0)
        bsq_kept_scales_take_codes(search, kept, channel);
    for (int32_t effort = 1; effort <= solve->plan.efforts; effort++) {
        struct bsq_stage_record *own = records + BSQ_RECORD_EFFORTS + (effort - 1) * BSQ_EFFORT_STAGES;

        if (search->block.hessian->searchable)
            bsq_kept_scales_effort(search, effort, own);
        else
            keep_objective(search, own);
    }
    bsq_lower_bound_block(search, &search->best, NULL);
    note_result(solve, search, &search->best, channel);
}

void bsq_solve_block_paper(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;
    struct bsq_stage_record *records = bsq_solve_records(solve, block);

    bsq_start_round(search, &records[BSQ_RECORD_ROUND]);
    note_start(solve, search, channel);
    bsq_paper_reconstruct(&solve->paper, search, channel, &records[BSQ_RECORD_EFFORTS + BSQ_EFFORT_BITSPLIT]);
    bsq_lower_bound_block(search, &search->best, NULL);
    note_result(solve, search, &search->best, channel);
}

/* The tensor's best point as it stands, as start or as result. */
void bsq_solve_block_tensor_start(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;

    (void)block;
    bsq_search_judge_given(search, solve->per_tensor.best.codes, solve->result->scales, NULL, channel);
    (void)memcpy(search->best.j, search->trial.j, (size_t)search->block.channels * sizeof *search->trial.j);
    memcpy(search->best.codes, search->trial.codes, (size_t)(search->block.channels * search->block.hessian->n));
    memcpy(search->best.scales, search->trial.scales, (size_t)search->block.channels * sizeof *search->trial.scales);
    note_start(solve, search, channel);
}

void bsq_solve_block_tensor_result(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;

    (void)block;
    bsq_search_judge_given(search, solve->per_tensor.best.codes, solve->result->scales, NULL, channel);
    bsq_search_reset(search);
    bsq_lower_bound_block(search, &search->trial, NULL);
    note_result(solve, search, &search->trial, channel);
}

void bsq_solve_block_given(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;

    if (!solve->plan.per_tensor) {
        bsq_start_round(search, &bsq_solve_records(solve, block)[BSQ_RECORD_ROUND]);
        note_start(solve, search, channel);
    }
    bsq_search_judge_given(search, solve->given->codes, solve->given->scales, solve->given->shifts, channel);
    bsq_search_reset(search);
    bsq_lower_bound_block(search, &search->trial, NULL);
    note_result(solve, search, &search->trial, channel);
}

void bsq_solve_block_held_out(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    struct bsq_solve *solve = pass->context;

    (void)block;
    bsq_search_judge_given(search, solve->result->codes, solve->result->scales, solve->result->shifts, channel);
    for (int64_t c = 0; c < search->block.channels; c++) {
        solve->held_energy[channel + c] = search->block.energy[c];
        solve->held_error[channel + c] = fmax(search->trial.j[c], 0.0);
        if (solve->held_gap)
            solve->held_gap[channel + c] = mean_error(&search->block, &search->trial, c, search->u);
    }
}

void bsq_solve_begin_group(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian, int64_t index)
{
    bsq_single_precision_begin(search, hessian, pass->input->weights + index * hessian->channels * hessian->n);
}
