/* What each effort adds to the efforts below it. */
#ifndef BSQ_SOLVE_EFFORT_H
#define BSQ_SOLVE_EFFORT_H

#include "stages/beam.h"

enum { BSQ_EFFORT_MOST = 9 };

struct bsq_effort_plan {
    struct bsq_beam_plan beam; /* its multipliers are of the best scales so far */
    double low, high;          /* the multipliers' range */
    int32_t
        quarter; /* of the channels that it works on, 1 to 4, those with the largest J after effort 1 first; 0: all */
    int32_t digits;   /* 1: bit-split before descent */
    int32_t pairs;    /* 1: pairs of codes move too */
    int32_t restarts; /* descents from codes that were pushed off an optimum */
};

/* effort 1 .. BSQ_EFFORT_MOST */
const struct bsq_effort_plan *bsq_effort_plan(int32_t effort);

/* Gives the survivors of an effort's beams where scales are not searched channel by channel: at most those of its plan.
 */
int32_t bsq_effort_width(int32_t effort);

#endif
