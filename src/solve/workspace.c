/* The workspace of a search: its arrays, which channels are worked on, and the records of its stages. */
#include "solve/workspace.h"

#include "stages/scale.h"
#include "stages/values.h"

#include <math.h>
#include <string.h>
#include <time.h>

double bsq_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void lay_out_candidate(struct bsq_candidate *candidate, const struct bsq_search_plan *plan,
                              struct bsq_carver *carver)
{
    candidate->group_size = plan->group_size;
    candidate->scales_per_channel = plan->scales_per_channel;
    candidate->shifting = plan->rounding.shifting;
    candidate->codes = bsq_carve(carver, plan->block_channels * plan->fan_in, sizeof *candidate->codes);
    candidate->scales = bsq_carve(carver, plan->block_channels * plan->scales_per_channel, sizeof *candidate->scales);
    candidate->shifts = NULL;
    if (candidate->shifting.kind != BSQ_SHIFT_NONE)
        candidate->shifts =
            bsq_carve(carver, plan->block_channels * plan->scales_per_channel, sizeof *candidate->shifts);
    candidate->j = bsq_carve(carver, plan->block_channels, sizeof *candidate->j);
}

size_t bsq_search_layout(struct bsq_search *search, const struct bsq_search_plan *plan, void *memory)
{
    int64_t n = plan->fan_in;
    size_t beam = 0;
    size_t block = bsq_block_layout(&search->block, plan->block_channels, n, plan->block_scratch, memory);
    struct bsq_carver carver = {memory, block};

    for (int32_t effort = 1; effort <= plan->effort; effort++) {
        size_t bytes = bsq_beam_workspace(n, plan->block_channels, &bsq_effort_plan(effort)->beam);

        beam = bytes > beam ? bytes : beam;
    }
    search->plan = plan;
    lay_out_candidate(&search->best, plan, &carver);
    lay_out_candidate(&search->trial, plan, &carver);
    if (plan->effort > 0)
        lay_out_candidate(&search->first, plan, &carver);
    if (plan->contains)
        lay_out_candidate(&search->full, plan, &carver);
    if (bsq_values_are_free(&plan->rounding))
        search->unrestricted = search->best;
    else
        lay_out_candidate(&search->unrestricted, plan, &carver);
    search->trial.g = bsq_carve(&carver, plan->block_channels * n, sizeof *search->trial.g);
    search->u = bsq_carve(&carver, plan->block_channels * n, sizeof *search->u);
    search->scratch = bsq_carve(&carver, bsq_scale_scratch(n, plan->scales_per_channel, plan->rounding.shifting.kind),
                                sizeof *search->scratch);
    search->kept_g = bsq_carve(&carver, n, sizeof *search->kept_g);
    search->kept_codes = bsq_carve(&carver, n, sizeof *search->kept_codes);
    search->prices = bsq_carve(&carver, 2 * n, sizeof *search->prices);
    search->rank = bsq_carve(&carver, plan->block_channels, sizeof *search->rank);
    search->ranked = bsq_carve(&carver, plan->block_channels, sizeof *search->ranked);
    search->multipliers = bsq_carve(&carver, BSQ_BEAM_COUNT, sizeof *search->multipliers);
    search->multiplier = bsq_carve(&carver, plan->block_channels, sizeof *search->multiplier);
    search->planes = bsq_carve(&carver, (plan->bits - 1) * n, sizeof *search->planes);
    search->error = bsq_carve(&carver, plan->block_channels, sizeof *search->error);
    search->maximum = bsq_carve(&carver, plan->block_channels * plan->scales_per_channel, sizeof *search->maximum);
    search->importance = bsq_carve(&carver, bsq_round_is_plain(&plan->rounding) ? 0 : n, sizeof *search->importance);
    search->distance = bsq_carve(&carver, plan->block_channels, sizeof *search->distance);
    search->sweeps = bsq_carve(&carver, plan->block_channels, sizeof *search->sweeps);
    search->limited = bsq_carve(&carver, plan->block_channels, sizeof *search->limited);
    search->proven = bsq_carve(&carver, plan->block_channels, sizeof *search->proven);
    search->bound = bsq_carve(&carver, plan->block_channels, sizeof *search->bound);
    search->beam = bsq_carve(&carver, (int64_t)beam, 1);
    if (plan->exact || plan->lower_bound) {
        size_t bytes = bsq_exact_layout(&search->exact, n, NULL);

        (void)bsq_exact_layout(&search->exact, n, bsq_carve(&carver, (int64_t)bytes, 1));
    }
    return carver.used;
}

struct bsq_search_plan bsq_symmetric_plan(const struct bsq_search_plan *plan)
{
    struct bsq_search_plan symmetric = *plan;

    symmetric.rounding.lowest = -plan->rounding.highest;
    symmetric.planes = symmetric.contained = 1;
    symmetric.contains = 0;
    return symmetric;
}

double bsq_search_sum(const double *j, int64_t channels)
{
    double sum = 0.0;

    for (int64_t c = 0; c < channels; c++)
        sum += j[c];
    return sum;
}

double bsq_search_sum_better(const struct bsq_candidate *a, const struct bsq_candidate *b, int64_t channels)
{
    double sum = 0.0;

    for (int64_t c = 0; c < channels; c++)
        sum += b->j[c] < a->j[c] ? b->j[c] : a->j[c];
    return sum;
}

static int64_t total_sweeps(const struct bsq_search *search)
{
    int64_t sum = 0;

    for (int64_t c = 0; c < search->block.channels; c++)
        sum += search->sweeps[c];
    return sum;
}

void bsq_record_open(struct bsq_stage_record *record, const struct bsq_search *search, double before)
{
    record->before = before;
    record->seconds = -bsq_seconds();
    record->sweeps = -total_sweeps(search);
}

void bsq_record_close(struct bsq_stage_record *record, const struct bsq_search *search, double after)
{
    record->after = after;
    record->seconds += bsq_seconds();
    record->sweeps += total_sweeps(search);
}

void bsq_search_list_all(struct bsq_search *search)
{
    search->list = NULL;
    search->listed = search->block.channels;
}

void bsq_search_judge(struct bsq_search *search)
{
    bsq_candidate_judge_some(&search->trial, &search->block, search->list, search->listed, search->u);
}

void bsq_search_estimate(struct bsq_search *search)
{
    bsq_candidate_estimate(&search->trial, &search->block, search->list, search->listed, search->u);
}

void bsq_search_value(struct bsq_search *search)
{
    bsq_candidate_value(&search->trial, &search->block, search->list, search->listed, search->u);
}

void bsq_search_reset(struct bsq_search *search)
{
    bsq_search_list_all(search);
    search->has_maximum = false;
    for (int64_t c = 0; c < search->block.channels; c++) {
        search->best.j[c] = INFINITY;
        search->unrestricted.j[c] = INFINITY;
        search->sweeps[c] = 0;
        search->limited[c] = 0;
        search->proven[c] = 0;
        search->bound[c] = -INFINITY;
    }
}

void bsq_search_start_from(struct bsq_search *search, const struct bsq_candidate *from)
{
    int64_t channels = search->block.channels;

    memcpy(search->trial.codes, from->codes, (size_t)(channels * search->plan->fan_in));
    bsq_candidate_copy_scales(&search->trial, from, channels);
}

void bsq_search_load_scales(struct bsq_search *search, const double *scales, const double *shifts, int64_t channel)
{
    struct bsq_candidate *trial = &search->trial;
    int64_t count = trial->scales_per_channel;
    size_t bytes = (size_t)(search->block.channels * count) * sizeof *scales;

    memcpy(trial->scales, scales + channel * count, bytes);
    if (trial->shifts)
        memcpy(trial->shifts, shifts + channel * count, bytes);
}

void bsq_search_judge_given(struct bsq_search *search, const int8_t *codes, const double *scales, const double *shifts,
                            int64_t channel)
{
    int64_t n = search->block.hessian->n;

    memcpy(search->trial.codes, codes + channel * n, (size_t)(search->block.channels * n));
    bsq_search_load_scales(search, scales, shifts, channel);
    bsq_candidate_judge(&search->trial, &search->block, search->u);
}

struct bsq_point bsq_search_point(struct bsq_search *search, int64_t channel)
{
    struct bsq_point point = bsq_candidate_point(&search->trial, &search->block, channel);

    point.lowest = search->plan->rounding.lowest;
    point.highest = search->plan->rounding.highest;
    point.levels = search->plan->rounding.levels;
    point.level_count = search->plan->rounding.level_count;
    return point;
}

bool bsq_search_stop(void *opaque)
{
    struct bsq_search *search = opaque;

    return search->poll(search->poll_opaque, search->slot, search->share_end);
}

bool bsq_search_proven(const struct bsq_search *search)
{
    for (int64_t c = 0; c < search->block.channels; c++)
        if (!search->proven[c])
            return false;
    return true;
}
