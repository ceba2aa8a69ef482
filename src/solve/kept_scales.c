/* Codes alone: scales, zero points and offsets are given, and stay. */
#include "solve/kept_scales.h"

#include "solve/polish.h"
#include "solve/search.h"
#include "solve/start.h"

void bsq_kept_scales_round(struct bsq_search *search, const struct bsq_result *kept, int64_t channel,
                           struct bsq_stage_record *record)
{
    double start = bsq_seconds();

    bsq_search_reset(search);
    bsq_search_load_scales(search, kept->scales, kept->shifts, channel);
    bsq_start_nearest_codes(search, &search->trial);
    bsq_candidate_judge(&search->trial, &search->block, search->u);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    record->before = record->after = bsq_search_sum(search->best.j, search->block.channels);
    record->seconds = bsq_seconds() - start;
}

void bsq_kept_scales_take_codes(struct bsq_search *search, const struct bsq_result *kept, int64_t channel)
{
    bsq_search_judge_given(search, kept->codes, kept->scales, kept->shifts, channel);
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
