/* The beam of effort 1. */
#include "solve/first_beam.h"

#include "solve/beam_search.h"
#include "solve/start.h"

#include <math.h>
#include <string.h>

/* Other scales to begin from, and up to how many times the error of the first ones a sample may have with them: errors
 * of single channels vary, so that the sample says for sure only what is far off. */
static const struct origin {
    enum bsq_scale_rule rule;
    double most;
} origins[] = {{BSQ_RULE_EXTREMES, 1.3}, {BSQ_RULE_MAXIMUM, 1.05}, {BSQ_RULE_ALTERNATING, 1.05}, {BSQ_RULE_LEAST, 1.2}};

enum { ORIGINS = sizeof origins / sizeof *origins };

/* Tells whether an origin is one of its own on the grid. */
static bool is_other(const struct bsq_search *search, enum bsq_scale_rule rule)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    const struct bsq_first_choice *choice = &search->first_choice;

    if (rule == BSQ_RULE_LEAST) /* as they are, where the sample was better off with a multiple of them */
        return choice->tried == 1 && fabs(choice->multipliers[0] - 1.0) > 1e-3;
    if (bsq_round_is_plain(rounding))
        return rule != BSQ_RULE_MAXIMUM || rounding->lowest != -rounding->highest;
    return rule != BSQ_RULE_EXTREMES && search->plan->scales_per_channel == 1;
}

/* Runs a beam of one survivor from the scales of a rule; false when it was stopped. */
static bool run_from(struct bsq_search *search, enum bsq_scale_rule rule, const double *multipliers, int32_t count,
                     int32_t refit)
{
    bsq_start_scales(search, &search->trial, rule);
    return bsq_search_beam(search, 1, multipliers, count, refit);
}

static double sum_errors(const struct bsq_search *search)
{
    double sum = 0.0;

    for (int64_t i = 0; i < search->listed; i++)
        sum += search->error[bsq_search_channel(search, i)];
    return sum;
}

/* Gives the origins to go out from, a bit each: the first one of which the sample allows it, or the better of the
 * others. */
static int32_t choose_origins(struct bsq_search *search, int32_t refit)
{
    const double one = 1.0;
    double first, least = INFINITY;
    int32_t chosen = 0;

    if (!run_from(search, BSQ_RULE_LEAST, search->first_choice.multipliers, search->first_choice.tried, refit))
        return 0;
    first = sum_errors(search);
    for (int32_t i = 0; i < ORIGINS && !(chosen & 1); i++) {
        double error;

        if (!is_other(search, origins[i].rule) || !run_from(search, origins[i].rule, &one, 1, refit))
            continue;
        error = sum_errors(search);
        if (error <= origins[i].most * first && error < least) {
            least = error;
            chosen = 1 << i;
        }
    }
    return chosen;
}

void bsq_first_beam_choose(struct bsq_search *search, int64_t sample, int32_t refit)
{
    struct bsq_first_choice *choice = &search->first_choice;
    int32_t list[BSQ_BEAM_SAMPLE];

    bsq_start_scales(search, &search->trial, BSQ_RULE_LEAST);
    choice->tried = bsq_search_choose(search, bsq_effort_plan(1), sample, refit, choice->multipliers);
    choice->origins = (1 << ORIGINS) - 1;
    if (sample == 0)
        return;
    for (int64_t c = 0; c < sample; c++)
        list[c] = (int32_t)(c * (search->block.channels / sample));
    search->list = list;
    search->listed = sample;
    choice->origins = choose_origins(search, refit);
    bsq_search_list_all(search);
}

bool bsq_first_beam(struct bsq_search *search, int32_t refit)
{
    const double one = 1.0;
    const struct bsq_first_choice *choice = &search->first_choice;
    struct bsq_candidate *trial = &search->trial, *kept = &search->first;
    int64_t n = search->plan->fan_in, channels = search->block.channels;

    if (!run_from(search, BSQ_RULE_LEAST, choice->multipliers, choice->tried, refit))
        return false;
    for (int32_t i = 0; i < ORIGINS; i++) {
        if (!(choice->origins >> i & 1) || !is_other(search, origins[i].rule))
            continue;
        for (int64_t c = 0; c < channels; c++) {
            trial->j[c] = search->error[c];
            bsq_candidate_copy_channel(kept, trial, n, c);
        }
        if (!run_from(search, origins[i].rule, &one, 1, refit))
            return false;
        for (int64_t c = 0; c < channels; c++) {
            if (search->error[c] < kept->j[c])
                continue;
            bsq_candidate_copy_channel(trial, kept, n, c);
            search->error[c] = kept->j[c];
        }
    }
    return true;
}
