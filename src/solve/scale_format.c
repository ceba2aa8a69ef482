/* Scales moved to the values that their format allows. */
#include "solve/scale_format.h"

#include "solve/polish.h"
#include "stages/scale.h"

#include <string.h>

/* Tries scales of the format next to the unrestricted ones, codes solved for each: first all the lower, then all the upper
 * neighbours; with several scales a channel also the nearest of each. */
static void restrict_scales(struct bsq_search *search, int32_t width)
{
    enum { LOWER, UPPER, NEAREST, CHOICES };
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, count = channels * plan->scales_per_channel;
    int choices = plan->scales_per_channel > 1 ? CHOICES : NEAREST;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    for (int choice = LOWER; choice < choices; choice++) {
        for (int64_t i = 0; i < count; i++) {
            double wanted = search->unrestricted.scales[i], lower, upper;

            bsq_scale_neighbours(plan->rounding.scale_format, wanted, &lower, &upper);
            search->trial.scales[i] = choice == LOWER   ? lower
                                      : choice == UPPER ? upper
                                                        : (upper / wanted < wanted / lower ? upper : lower);
        }
        bsq_polish_fixed(search, width, unused);
        (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    }
}

/* Moves each of several scales of a channel in turn to its next values up and down, codes solved for each. */
static void improve_each_scale(struct bsq_search *search)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, n = plan->fan_in, scales = plan->scales_per_channel;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    for (int64_t a = 0; scales > 1 && a < scales; a++) {
        for (int64_t c = 0; c < channels; c++) {
            double now = search->best.scales[c * scales + a], wanted = search->unrestricted.scales[c * scales + a];
            double lower, upper;

            memcpy(search->trial.codes + c * n, search->best.codes + c * n, (size_t)n);
            bsq_scale_neighbours(plan->rounding.scale_format, wanted, &lower, &upper);
            memcpy(search->trial.scales + c * scales, search->best.scales + c * scales,
                   (size_t)scales * sizeof *search->trial.scales);
            search->trial.scales[c * scales + a] = now == lower ? upper : lower;
        }
        bsq_polish_fixed(search, 0, unused);
        (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    }
}

void bsq_scale_format_settle(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    bsq_record_open(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
    if (search->plan->rounding.scale_format != BSQ_SCALE_FORMAT_FLOAT32) {
        restrict_scales(search, search->effort_plan->beam.width);
        improve_each_scale(search);
        if (effort == 1)
            bsq_polish_kept(search, &search->best, false);
    }
    bsq_record_close(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
}
