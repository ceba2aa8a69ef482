/* Beams over the channels of a workspace. */
#include "solve/beam_search.h"

#include "stages/scale.h"

#include <string.h>

static bool stop_beam(void *opaque, double share)
{
    struct bsq_search *search = opaque;

    return search->poll(search->poll_opaque, search->slot, search->share + share * (search->share_end - search->share));
}

/* The beam of width 'width' with 'count' multipliers. */
static struct bsq_beam_task beam_task(struct bsq_search *search, const struct bsq_factor *factor, int32_t width,
                                      const double *multipliers, int32_t count, int32_t refit)
{
    const struct bsq_search_plan *plan = search->plan;

    return (struct bsq_beam_task){.factor = factor,
                                  .width = width,
                                  .list = search->list,
                                  .channels = search->listed,
                                  .v = search->block.v,
                                  .p = search->block.p,
                                  .scales = search->trial.scales,
                                  .shifts = search->trial.shifts,
                                  .shifting = plan->rounding.shifting,
                                  .group_size = plan->group_size,
                                  .scales_per_channel = plan->scales_per_channel,
                                  .multipliers = multipliers,
                                  .count = count,
                                  .lowest = plan->rounding.lowest,
                                  .highest = plan->rounding.highest,
                                  .levels = plan->rounding.levels,
                                  .level_count = plan->rounding.level_count,
                                  .refit = refit,
                                  .codes = search->trial.codes,
                                  .multiplier = search->multiplier,
                                  .error = search->error,
                                  .stop = stop_beam,
                                  .stop_opaque = search};
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
        for (int64_t a = c * scales; task.shifting.kind == BSQ_SHIFT_FREE && a < (c + 1) * scales; a++)
            search->trial.shifts[a] *= search->multiplier[c];
    }
    return true;
}

int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *effort_plan, int64_t sample,
                          int32_t refit, double *chosen)
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
