/* What J of a channel cannot be below: the branch and bound of exact.c, from a low threshold and with few nodes. What
 * it finds on the way is not taken over: a bound is a report. */
#include "solve/lower_bound.h"

#include "solve/exact_grid.h"

#include <math.h>

/* Bounds are looked for up to this fan-in, with so many nodes a channel: ten times as many double what is proven of 576
 * inputs at 3 bits, from 5 to 10 %, which is of no use either (docs/method.md, section 6). */
enum { MOST_INPUTS = 1024, NODES = 20000 };

static const double first_share = 0.01;

bool bsq_lower_bound_applies(const struct bsq_search_plan *plan)
{
    return bsq_exact_grid_applies(&plan->rounding) && plan->scales_per_channel == 1 && plan->fan_in <= MOST_INPUTS;
}

static double bound_of(struct bsq_search *search, int64_t channel, double cost, double scale)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    struct bsq_exact_task task = {.v = search->block.v + channel * search->plan->fan_in,
                                  .first_share = first_share,
                                  .node_limit = NODES,
                                  .stop = bsq_search_stop,
                                  .stop_opaque = search,
                                  .codes = search->kept_codes,
                                  .scale = scale,
                                  .cost = cost};
    double unused;

    (void)bsq_exact_grid_solve(&search->exact, rounding, &task, &unused);
    return task.bound;
}

void bsq_lower_bound_block(struct bsq_search *search, const struct bsq_candidate *kept, struct bsq_stage_record *record)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    double start = bsq_seconds();

    if (!search->plan->lower_bound || !hessian->has_factor64 || hessian->inexact || bsq_search_proven(search))
        return;
    bsq_exact_prepare(&search->exact, hessian->factor64, hessian->order);
    for (int64_t c = 0; c < search->block.channels && !bsq_search_stop(search); c++) {
        double base = search->block.base[c], cost = kept->j[c] - base;

        if (!search->proven[c] && cost > 0.0)
            search->bound[c] = fmax(search->bound[c], base + bound_of(search, c, cost, kept->scales[c]));
    }
    if (record)
        record->seconds += bsq_seconds() - start;
}
