/* The values that scales and offsets may take: those of a format, or small integers times a multiple that some share.
 */
#ifndef BSQ_STAGES_VALUES_H
#define BSQ_STAGES_VALUES_H

#include "stages/round.h"

/* Tells whether scales may take any float32, and offsets too. */
bool bsq_values_are_free(const struct bsq_rounding *rounding);

/* Scales of one level: gives the nearest values not above and not below x in magnitude, with its sign; both are the
 * nearest value where any float32 is allowed. */
void bsq_values_neighbours(const struct bsq_rounding *rounding, double x, double *lower, double *upper);

/* Gives the nearest value of an offset of one level. */
double bsq_values_offset(const struct bsq_rounding *rounding, double x);

/* Which allowed values become the scales: the nearest ones; or, to try others, those below and above. */
enum bsq_values_side { BSQ_VALUES_NEAREST, BSQ_VALUES_LOWER, BSQ_VALUES_UPPER };

/* Moves the 'count' scales of a channel, and its offsets where they are free (shifts NULL: there are none), to allowed
 * values. With two levels each super group gets the multiple that leaves the least sum of squares; LOWER then takes
 * the multiple with which the largest scale has the largest integer. */
void bsq_values_restrict(const struct bsq_rounding *rounding, int64_t count, enum bsq_values_side side, double *scales,
                         double *shifts);

/* Two levels: gives scales, or offsets, that are 'now' times one factor for each super group, the factors of 'wanted',
 * their integers with the multiples next to these; in 'wanted'. */
void bsq_values_restrict_supers(const struct bsq_rounding *rounding, int64_t count, bool offsets, const double *now,
                                double *wanted);

/* Gives the next allowed value beside scale, or offset, number 'a' of the 'count' values of a channel, which are
 * allowed: up or down in magnitude, with the multiple that is there. The value itself where there is none, and of
 * offsets of one level. */
double bsq_values_next(const struct bsq_rounding *rounding, int64_t count, bool offsets, const double *values,
                       int64_t a, bool up);

#endif
