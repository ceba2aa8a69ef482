/* The optimum of single channels, and what their J cannot be below: the branch and bound of exact.c on a block. */
#include "solve/optimum.h"

#include "solve/exact_grid.h"
#include "solve/polish.h"
#include "stages/scale.h"
#include "stages/values.h"

#include <float.h>
#include <math.h>

/* Gives the nodes that the search for the optimum of one channel may visit; 0: it does not run. A node takes some 50
 * ns, so that all efforts up to the default one spend at most 20 ms on a channel, whatever H is. Up to a fan-in of 16
 * ordinary channels need a few thousand nodes; where H is flat in many directions none of the limits suffices. First
 * layers of networks for pictures (27) need some 10^4, a few 10^6; fan-in 64 a hundred times that. */
static int64_t node_limit(int64_t fan_in, int32_t effort)
{
    static const int64_t small[BSQ_EFFORT_MOST + 1] = {0, 100000, 0, 0, 0, 100000, 400000, 2000000, 8000000, 20000000};
    static const int64_t limits[BSQ_EFFORT_MOST + 1] = {0, 0, 0, 0, 0, 10000, 50000, 200000, 2000000, 20000000};
    const int64_t always = 16, by_default = 32;
    const int32_t late = 7;

    if (fan_in <= always)
        return small[effort];
    if (fan_in > BSQ_EXACT_INPUTS || (fan_in > by_default && effort < late))
        return 0;
    return limits[effort];
}

bool bsq_optimum_applies(const struct bsq_search_plan *plan)
{
    bool runs = false;

    for (int32_t effort = 1; effort <= plan->effort; effort++)
        runs |= node_limit(plan->fan_in, effort) > 0;
    return runs && bsq_exact_grid_applies(&plan->rounding) && plan->scales_per_channel == 1 &&
           bsq_values_are_free(&plan->rounding);
}

/* Looks for the optimum of one channel, into the trial; false when nothing is better than what is kept. */
static bool exact_channel(struct bsq_search *search, int64_t channel, int64_t limit)
{
    const struct bsq_block *block = &search->block;
    int64_t n = block->hessian->n;
    struct bsq_exact_task task = {.v = block->v + channel * n,
                                  .first_share = 0.5,
                                  .node_limit = limit,
                                  .stop = bsq_search_stop,
                                  .stop_opaque = search,
                                  .codes = search->trial.codes + channel * n,
                                  .scale = search->trial.scales[channel],
                                  .cost = search->best.j[channel] - block->base[channel]};
    double known = task.cost, shift = search->trial.shifts ? search->trial.shifts[channel] : 0.0;

    if (!(task.cost > 0.0))
        return false;
    search->proven[channel] = bsq_exact_grid_solve(&search->exact, &search->plan->rounding, &task, &shift);
    search->bound[channel] = fmax(search->bound[channel], block->base[channel] + task.bound);
    search->trial.scales[channel] = task.scale;
    if (search->trial.shifts)
        search->trial.shifts[channel] = shift;
    return task.cost < known;
}

void bsq_optimum_search(struct bsq_search *search, int32_t effort, struct bsq_stage_record *record)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, n = plan->fan_in, limit = node_limit(n, effort);
    struct bsq_stage_record now;
    int32_t found = 0;

    bsq_record_open(&now, search, bsq_search_sum(search->best.j, channels));
    if (limit > 0 && plan->exact && !search->block.hessian->inexact && !bsq_search_proven(search)) {
        bsq_exact_prepare(&search->exact, search->block.hessian->factor64, search->block.hessian->order);
        bsq_search_start_from(search, &search->best);
        for (int64_t c = 0; c < channels && !bsq_search_stop(search); c++)
            found += !search->proven[c] && exact_channel(search, c, limit);
        if (found) {
            for (int64_t c = 0; c < channels; c++) {
                double wanted, stored;

                bsq_reduce_codes(plan, &search->trial, c);
                wanted = search->trial.scales[c];
                stored = bsq_scale_stored(fabs(wanted), search->trial.codes + c * n, n);
                search->trial.scales[c] = copysign(stored, wanted);
                if (fabs(stored - fabs(wanted)) >
                    FLT_EPSILON * fabs(wanted)) /* out of float32's range: not what was proven */
                    search->proven[c] = 0;
            }
            bsq_candidate_judge(&search->trial, &search->block, search->u);
            (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
        }
    }
    bsq_record_close(&now, search, bsq_search_sum(search->best.j, channels));
    record->before = record->seconds > 0.0 ? record->before : now.before;
    record->after = now.after;
    record->seconds += now.seconds;
}
