/* The search for codes and scales of one block of channels. */
#include "solve/search.h"

#include "solve/beam_search.h"
#include "solve/first_beam.h"
#include "solve/polish.h"
#include "solve/scale_format.h"

#include <math.h>

/* What efforts cost, roughly, in units of the first: for progress inside a block (bench_solver prints their times). */
static const double costs[BSQ_EFFORT_MOST + 1] = {0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0, 20.0, 60.0, 300.0};

static bool run_beam(struct bsq_search *search)
{
    const struct bsq_effort_plan *effort_plan = search->effort_plan;
    int64_t sample = bsq_beam_sample(search->block.hessian->n, search->block.channels, &effort_plan->beam);

    if (effort_plan == bsq_effort_plan(1)) { /* nothing is known yet but the weights */
        bsq_first_beam_choose(search, sample, 1);
        return bsq_first_beam(search, 1);
    }
    if (effort_plan->quarter <= 1) /* the other quarters try the same */
        search->tried = bsq_search_choose(search, effort_plan, sample, 1, search->multipliers);
    return bsq_search_beam(search, effort_plan->beam.width, search->multipliers, search->tried, 1);
}

void bsq_search_enter(struct bsq_search *search, int32_t effort)
{
    double before = 0.0, all = 0.0;

    for (int32_t e = 0; e <= search->plan->effort; e++) {
        before += e < effort ? costs[e] : 0.0;
        all += costs[e];
    }
    search->effort_plan = bsq_effort_plan(effort);
    search->share = before / all;
    search->share_end = (before + costs[effort]) / all;
    if (search->plan->contains || search->plan->contained) { /* two searches, one after the other */
        double first = search->plan->contained ? 0.5 : 0.0;

        search->share = first + 0.5 * search->share;
        search->share_end = first + 0.5 * search->share_end;
    }
}

/* Ranks channels by falling J, ties by index. */
static void rank_channels(struct bsq_search *search)
{
    const double *j = search->unrestricted.j;

    for (int64_t c = 0; c < search->block.channels; c++) {
        search->rank[c] = 0;
        for (int64_t i = 0; i < search->block.channels; i++)
            search->rank[c] += j[i] > j[c] || (j[i] == j[c] && i < c);
    }
}

/* Lists the channels that the effort works on. */
static void list_channels(struct bsq_search *search)
{
    enum { QUARTERS = 4 };
    int64_t quarter = search->effort_plan->quarter, channels = search->block.channels;
    int64_t first = (channels * (quarter - 1) + QUARTERS - 1) / QUARTERS;
    int64_t end = (channels * quarter + QUARTERS - 1) / QUARTERS;

    bsq_search_list_all(search);
    if (quarter == 0)
        return;
    if (quarter == 1)
        rank_channels(search);
    search->listed = 0;
    for (int32_t c = 0; c < channels; c++)
        if (search->rank[c] >= first && search->rank[c] < end)
            search->ranked[search->listed++] = c;
    search->list = search->ranked;
}

void bsq_search_begin(struct bsq_search *search, struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    bsq_search_enter(search, 1);
    for (int64_t c = 0; c < channels; c++) /* what is known of J is not in double */
        search->best.j[c] = INFINITY;
    bsq_search_estimate(search);
    bsq_polish(search, &search->best, true, records);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
}

/* Effort 1 where values are restricted and the grid is not plain: error feedback alone, for the scales of the start and
 * then for allowed ones. Polishing takes ten times as long, and wider beams start anew from the scales. */
static void feed_back(struct bsq_search *search, struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    bsq_record_open(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum(search->unrestricted.j, channels));
    if (!run_beam(search))
        return;
    bsq_search_value(search);
    (void)bsq_candidate_accept(&search->unrestricted, &search->trial, &search->block);
    bsq_record_close(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum(search->unrestricted.j, channels));
    bsq_scale_format_restrict(search, &records[BSQ_EFFORT_SCALE]);
}

void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    bsq_search_enter(search, effort);
    if (effort == 1 && search->unrestricted.j != search->best.j && !bsq_round_is_plain(&search->plan->rounding)) {
        feed_back(search, records);
        return;
    }
    list_channels(search);
    for (int64_t c = 0; c < channels; c++) /* of channels that are not worked on */
        search->trial.j[c] = INFINITY;
    bsq_record_open(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum(search->unrestricted.j, channels));
    if (effort > 1)
        bsq_candidate_copy_scales(&search->trial, &search->unrestricted, channels);
    if (!run_beam(search))
        return;
    bsq_search_estimate(search);
    bsq_record_close(&records[BSQ_EFFORT_BEAM], search,
                     bsq_search_sum_better(&search->unrestricted, &search->trial, channels));
    bsq_polish(search, &search->unrestricted, true, records);
    if (bsq_candidate_accept(&search->unrestricted, &search->trial, &search->block) < channels && effort == 1) {
        bsq_polish_kept(search, &search->unrestricted, true);
        records[BSQ_EFFORT_DESCENT].after = bsq_search_sum(search->unrestricted.j, channels);
    }
    bsq_scale_format_settle(search, effort, records);
    bsq_search_list_all(search);
}
