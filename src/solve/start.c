/* The start: rounding from the weights alone. */
#include "solve/start.h"

#include "stages/values.h"

#include <math.h>

static double scale_by_rule(const struct bsq_rounding *rounding, const float *weights, int64_t count, double maximum,
                            enum bsq_scale_rule rule)
{
    switch (rule) {
    case BSQ_RULE_MAXIMUM: return maximum;
    case BSQ_RULE_EXTREMES: return bsq_round_extreme_scale(rounding, weights, count);
    case BSQ_RULE_ALTERNATING: return bsq_round_alternating_scale(rounding, weights, count, maximum);
    default: return bsq_round_least_scale(rounding, weights, count, maximum);
    }
}

/* Scales of a plain grid. */
static void start_plain(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule)
{
    const struct bsq_search_plan *plan = search->plan;

    for (int64_t c = 0; c < search->block.channels; c++)
        for (int64_t a = 0; a < plan->scales_per_channel; a++) {
            const float *weights = search->block.weights + c * plan->fan_in + a * plan->group_size;
            int64_t count = bsq_scale_span(plan->fan_in, plan->group_size, a), at = c * plan->scales_per_channel + a;

            if (!search->has_maximum)
                search->maximum[at] = bsq_round_maximum_scale(&plan->rounding, weights, count);
            candidate->scales[at] =
                bsq_round_allowed_scale(&plan->rounding, weights, count,
                                        scale_by_rule(&plan->rounding, weights, count, search->maximum[at], rule));
        }
    search->has_maximum = true;
}

/* Scales and shifts of any grid. What a search starts from need not have allowed values yet. */
static void start_any(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule)
{
    const struct bsq_search_plan *plan = search->plan;
    const double *diagonal = search->block.hessian->diagonal;

    for (int64_t j = 0; j < plan->fan_in; j++)
        search->importance[j] = (float)(diagonal[j] / search->block.hessian->unit);
    for (int64_t c = 0; c < search->block.channels; c++) {
        int64_t first = c * plan->scales_per_channel;
        double *shifts = candidate->shifts ? candidate->shifts + first : NULL;

        for (int64_t a = 0; a < plan->scales_per_channel; a++)
            bsq_round_fit(&plan->rounding, search->block.weights + c * plan->fan_in + a * plan->group_size,
                          rule == BSQ_RULE_LEAST ? search->importance + a * plan->group_size : NULL,
                          bsq_scale_span(plan->fan_in, plan->group_size, a), rule, &candidate->scales[first + a],
                          shifts ? shifts + a : NULL);
        if (rule != BSQ_RULE_LEAST)
            bsq_values_restrict(&plan->rounding, plan->scales_per_channel, BSQ_VALUES_NEAREST,
                                candidate->scales + first, shifts);
    }
}

void bsq_start_scales(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule)
{
    if (bsq_round_is_plain(&search->plan->rounding))
        start_plain(search, candidate, rule);
    else
        start_any(search, candidate, rule);
}

void bsq_start_nearest_codes(struct bsq_search *search, struct bsq_candidate *candidate)
{
    const struct bsq_search_plan *plan = search->plan;

    for (int64_t c = 0; c < search->block.channels; c++)
        for (int64_t a = 0; a < plan->scales_per_channel; a++) {
            int64_t first = c * plan->fan_in + a * plan->group_size;

            bsq_round_codes(&plan->rounding, search->block.weights + first,
                            bsq_scale_span(plan->fan_in, plan->group_size, a),
                            candidate->scales[c * plan->scales_per_channel + a], bsq_candidate_offset(candidate, c, a),
                            candidate->codes + first);
        }
}

void bsq_start_codes(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule)
{
    bsq_start_scales(search, candidate, rule);
    bsq_start_nearest_codes(search, candidate);
}

void bsq_start_round(struct bsq_search *search, struct bsq_stage_record *record)
{
    int64_t channels = search->block.channels;
    double start = bsq_seconds();

    bsq_search_reset(search);
    for (enum bsq_scale_rule rule = BSQ_RULE_MAXIMUM; rule <= BSQ_RULE_ALTERNATING; rule++) {
        bsq_start_codes(search, &search->trial, rule);
        bsq_search_value(search);
        if (rule == BSQ_RULE_MAXIMUM)
            record->before = bsq_search_sum(search->trial.j, channels);
        (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
        if (search->unrestricted.j != search->best.j)
            (void)bsq_candidate_accept(&search->unrestricted, &search->trial, &search->block);
    }
    record->after = bsq_search_sum(search->best.j, channels);
    record->seconds = bsq_seconds() - start;
}
