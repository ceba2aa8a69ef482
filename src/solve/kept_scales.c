/* Codes alone: scales, zero points and offsets are given, and stay. */
#include "solve/kept_scales.h"

#include "solve/polish.h"
#include "solve/search.h"

#include <string.h>

/* Copies the kept scales and shifts of the block into the trial. */
static void load_scales(struct bsq_search *search, const struct bsq_result *kept, int64_t channel)
{
    int64_t scales = search->plan->scales_per_channel, first = channel * scales;
    size_t bytes = (size_t)(search->block.channels * scales) * sizeof *kept->scales;

    memcpy(search->trial.scales, kept->scales + first, bytes);
    if (search->trial.shifts)
        memcpy(search->trial.shifts, kept->shifts + first, bytes);
}

void bsq_kept_scales_round(struct bsq_search *search, const struct bsq_result *kept, int64_t channel,
                           struct bsq_stage_record *record)
{
    const struct bsq_search_plan *plan = search->plan;
    struct bsq_candidate *trial = &search->trial;
    double start = bsq_seconds();

    bsq_search_reset(search);
    load_scales(search, kept, channel);
    for (int64_t c = 0; c < search->block.channels; c++)
        for (int64_t a = 0; a < plan->scales_per_channel; a++) {
            int64_t first = c * plan->fan_in + a * plan->group_size;

            bsq_round_codes(&plan->rounding, search->block.weights + first,
                            bsq_scale_span(plan->fan_in, plan->group_size, a),
                            trial->scales[c * plan->scales_per_channel + a], bsq_candidate_offset(trial, c, a),
                            trial->codes + first);
        }
    bsq_candidate_judge(trial, &search->block, search->u);
    (void)bsq_candidate_accept(&search->best, trial, &search->block);
    record->before = record->after = bsq_search_sum(search->best.j, search->block.channels);
    record->seconds = bsq_seconds() - start;
}

void bsq_kept_scales_take_codes(struct bsq_search *search, const struct bsq_result *kept, int64_t channel)
{
    int64_t n = search->plan->fan_in;

    load_scales(search, kept, channel);
    memcpy(search->trial.codes, kept->codes + channel * n, (size_t)(search->block.channels * n));
    bsq_candidate_judge(&search->trial, &search->block, search->u);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
}

void bsq_kept_scales_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    bsq_search_enter(search, effort);
    bsq_search_start_from(search, &search->best);
    bsq_polish_fixed(search, bsq_effort_width(effort), records);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    if (effort == 1)
        bsq_polish_kept(search, &search->best, false);
    for (int stage = 0; stage < BSQ_EFFORT_STAGES; stage++) /* of what is kept, not of what was tried */
        records[stage].before = records[stage].after = bsq_search_sum(search->best.j, search->block.channels);
}
