/* Rounding and clamping of doubles, inline for the loops that need them for every value. */
#ifndef BSQ_KERNELS_ROUNDING_H
#define BSQ_KERNELS_ROUNDING_H

#include <float.h>

/* Rounds half to even, for |x| below 2^30: the sum has no bits left for a fraction. */
static inline double bsq_round_even(double x)
{
    const double shift = 1.5 / (FLT_EVAL_METHOD == 2 ? (double)LDBL_EPSILON : DBL_EPSILON);

    return (x + shift) - shift;
}

static inline double bsq_clamp(double x, double low, double high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

#endif
