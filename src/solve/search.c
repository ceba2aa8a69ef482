/* The search for codes and scales of one block of channels. */
#include "solve/search.h"

#include "solve/polish.h"
#include "solve/scale_format.h"
#include "solve/start.h"
#include "stages/scale.h"

#include <math.h>
#include <string.h>

/* Level 1 knows nothing but the weights; from 2 to 5 a wide beam comes to one quarter of the channels after the other,
 * so that no level repeats what the one before did; then come wider beams, and at the end more scales with every channel.
 * Many scales for a sample of the channels and one for all is what buys most: a beam twice as wide gains more than a second
 * scale. */
static const struct bsq_effort_plan effort_plans[BSQ_EFFORT_MOST + 1] = {
    {{0, 0, 0}, 1.0, 1.0, 0, 0, 0, 0},      {{1, 9, 1}, 0.7, 1.4, 0, 0, 0, 0},
    {{16, 25, 1}, 0.85, 1.2, 1, 0, 0, 0},   {{16, 25, 1}, 0.85, 1.2, 2, 0, 0, 0},
    {{16, 25, 1}, 0.85, 1.2, 3, 0, 0, 0},   {{16, 25, 1}, 0.85, 1.2, 4, 0, 0, 0},
    {{64, 25, 1}, 0.85, 1.2, 0, 0, 0, 0},   {{64, 25, 2}, 0.85, 1.2, 0, 1, 1, 0},
    {{64, 25, 3}, 0.85, 1.2, 0, 1, 1, 8},   {{64, 25, 8}, 0.7, 1.4, 0, 1, 1, 32},
};

/* What the levels cost, roughly, in units of the first. */
static const double costs[BSQ_EFFORT_MOST + 1] = {0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0, 20.0, 60.0, 300.0};

const struct bsq_effort_plan *bsq_effort_plan(int32_t effort)
{
    return &effort_plans[effort];
}

static bool stop_beam(void *opaque, double share)
{
    struct bsq_search *search = opaque;

    return search->poll(search->poll_opaque, search->slot,
                        search->share + share * (search->share_end - search->share));
}

/* The beam of width 'width' with 'count' multipliers. */
static struct bsq_beam_task beam_task(struct bsq_search *search, const struct bsq_factor *factor, int32_t width,
                                      const double *multipliers, int32_t count, int32_t refit)
{
    const struct bsq_search_plan *plan = search->plan;

    return (struct bsq_beam_task){
        .factor = factor, .width = width, .list = search->list, .channels = search->listed,
        .v = search->block.v, .p = search->block.p,
        .scales = search->trial.scales, .group_size = plan->group_size,
        .scales_per_channel = plan->scales_per_channel, .multipliers = multipliers, .count = count,
        .lowest = plan->rounding.lowest, .highest = plan->rounding.highest, .refit = refit,
        .codes = search->trial.codes, .multiplier = search->multiplier, .error = search->error,
        .stop = stop_beam, .stop_opaque = search};
}

bool bsq_search_beam(struct bsq_search *search, int32_t width, const double *multipliers, int32_t count, int32_t refit)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    struct bsq_factor factor = {hessian->n, hessian->factor32, hessian->order, hessian->unit};
    struct bsq_beam_task task = beam_task(search, &factor, width, multipliers, count, refit);
    int64_t scales = search->plan->scales_per_channel;

    if (!bsq_beam_search(&task, search->beam))
        return false;
    for (int64_t i = 0; i < search->listed; i++) {
        int64_t c = bsq_search_channel(search, i);

        for (int64_t a = c * scales; a < (c + 1) * scales; a++)
            search->trial.scales[a] *= search->multiplier[c];
    }
    return true;
}

int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *effort_plan, int64_t sample, int32_t refit,
                          double *chosen)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    struct bsq_factor factor = {hessian->n, hessian->factor32, hessian->order, hessian->unit};
    double multipliers[BSQ_BEAM_COUNT];
    int32_t list[BSQ_BEAM_SAMPLE];
    struct bsq_beam_task task = beam_task(search, &factor, 1, multipliers, effort_plan->beam.count, refit);

    bsq_scale_grid(effort_plan->low, effort_plan->high, effort_plan->beam.count, multipliers);
    if (sample == 0) {
        memcpy(chosen, multipliers, (size_t)effort_plan->beam.count * sizeof *chosen);
        return effort_plan->beam.count;
    }
    for (int64_t c = 0; c < sample; c++)
        list[c] = (int32_t)(c * (search->block.channels / sample));
    task.list = list;
    task.channels = sample;
    bsq_beam_choose(&task, effort_plan->beam.tried, chosen, search->beam);
    return effort_plan->beam.tried;
}

static bool run_beam(struct bsq_search *search)
{
    const struct bsq_effort_plan *effort_plan = search->effort_plan;
    int64_t sample = bsq_beam_sample(search->block.hessian->n, search->block.channels, &effort_plan->beam);

    if (effort_plan->quarter <= 1) /* the other quarters try the same */
        search->tried = bsq_search_choose(search, effort_plan, sample, 1, search->multipliers);
    return bsq_search_beam(search, effort_plan->beam.width, search->multipliers, search->tried, 1);
}

/* Level 'effort' runs from now on. */
static void enter_effort(struct bsq_search *search, int32_t effort)
{
    double before = 0.0, all = 0.0;

    for (int32_t e = 0; e <= search->plan->effort; e++) {
        before += e < effort ? costs[e] : 0.0;
        all += costs[e];
    }
    search->effort_plan = &effort_plans[effort];
    search->share = before / all;
    search->share_end = (before + costs[effort]) / all;
}

/* Channels by falling J, ties by index. */
static void rank_channels(struct bsq_search *search)
{
    const double *j = search->unrestricted.j;

    for (int64_t c = 0; c < search->block.channels; c++) {
        search->rank[c] = 0;
        for (int64_t i = 0; i < search->block.channels; i++)
            search->rank[c] += j[i] > j[c] || (j[i] == j[c] && i < c);
    }
}

/* The channels that the level works on. */
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

    enter_effort(search, 1);
    for (int64_t c = 0; c < channels; c++) /* what is known of J is not in double */
        search->best.j[c] = INFINITY;
    bsq_search_estimate(search);
    bsq_polish(search, &search->best, true, records);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
}

void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    enter_effort(search, effort);
    list_channels(search);
    for (int64_t c = 0; c < channels; c++) /* of channels that are not worked on */
        search->trial.j[c] = INFINITY;
    bsq_record_open(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum(search->unrestricted.j, channels));
    if (effort == 1) /* nothing is known yet but the weights */
        bsq_start_scales(search, &search->trial, BSQ_RULE_LEAST);
    else
        bsq_candidate_copy_scales(&search->trial, &search->unrestricted, channels);
    if (!run_beam(search))
        return;
    bsq_search_estimate(search);
    bsq_record_close(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum_better(&search->unrestricted, &search->trial, channels));
    bsq_polish(search, &search->unrestricted, true, records);
    if (bsq_candidate_accept(&search->unrestricted, &search->trial, &search->block) < channels && effort == 1) {
        bsq_polish_kept(search, &search->unrestricted, true);
        records[BSQ_EFFORT_DESCENT].after = bsq_search_sum(search->unrestricted.j, channels);
    }
    bsq_scale_format_settle(search, effort, records);
    bsq_search_list_all(search);
}
