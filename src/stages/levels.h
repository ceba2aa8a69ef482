/* Codes of a table: which level is nearest, and which are next to one. */
#ifndef BSQ_STAGES_LEVELS_H
#define BSQ_STAGES_LEVELS_H

#include <stdint.h>

/* Gives the number of the level nearest to x, of two as near the upper one, as the beam's kernels do. */
static inline int32_t bsq_level_nearest(const int8_t *levels, int32_t count, double x)
{
    int32_t below = 0, above = count; /* the answer is at or after 'below', and before 'above' */

    while (above - below > 1) {
        int32_t middle = (below + above) / 2;

        if (0.5 * (levels[middle - 1] + levels[middle]) <= x)
            below = middle;
        else
            above = middle;
    }
    return below;
}

/* Gives the level 'steps' (-1 or 1) from one of the table; the same where there is none. */
static inline int32_t bsq_level_next(const int8_t *levels, int32_t count, int32_t level, int32_t steps)
{
    int32_t at = bsq_level_nearest(levels, count, level) + steps;

    return at < 0 || at >= count ? level : levels[at];
}

#endif
