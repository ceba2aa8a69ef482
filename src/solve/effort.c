/* What each effort adds to the efforts below it. */
#include "solve/effort.h"

/* Effort 1 knows nothing but the weights; from 2 to 5 a wide beam comes to one quarter of the channels after the other,
 * so that no effort repeats what the one before did; then come wider beams, and at the end more scales with every
 * channel. Many scales for a sample of the channels and one for all is what buys most: a beam twice as wide gains more
 * than a second scale (docs/results.md, "What is to be reached on the layers"; make bench-solver measures each row). */
static const struct bsq_effort_plan effort_plans[BSQ_EFFORT_MOST + 1] = {
    {{0, 0, 0}, 1.0, 1.0, 0, 0, 0, 0},    {{1, 9, 1}, 0.7, 1.4, 0, 0, 0, 0},    {{16, 25, 1}, 0.85, 1.2, 1, 0, 0, 0},
    {{16, 25, 1}, 0.85, 1.2, 2, 0, 0, 0}, {{16, 25, 1}, 0.85, 1.2, 3, 0, 0, 0}, {{16, 25, 1}, 0.85, 1.2, 4, 0, 0, 0},
    {{64, 25, 1}, 0.85, 1.2, 0, 0, 0, 0}, {{64, 25, 2}, 0.85, 1.2, 0, 1, 1, 0}, {{64, 25, 3}, 0.85, 1.2, 0, 1, 1, 8},
    {{64, 25, 8}, 0.7, 1.4, 0, 1, 1, 32},
};

const struct bsq_effort_plan *bsq_effort_plan(int32_t effort)
{
    return &effort_plans[effort];
}

int32_t bsq_effort_width(int32_t effort)
{
    static const int32_t widths[BSQ_EFFORT_MOST + 1] = {0, 1, 2, 4, 8, 16, 32, 64, 64, 64};

    return widths[effort];
}
