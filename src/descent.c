/* Integer coordinate descent on one channel, with the gradient kept up to date. */
#include "descent.h"

#include "kernels/kernels.h"

#include <math.h>

/* A step must gain more than this, in units of (step size)^2 h_jj: rounding alone must not move codes to and fro. */
static const double least_gain = 1e-12;

/* Moves code j to where J is least; true when that is elsewhere. */
static bool step(struct bsq_point *point, int64_t j, double scale)
{
    double unit = scale * point->diagonal[j], slope, best, gain;

    if (!(unit > 0.0))
        return false; /* a dead input */
    slope = point->g[j] / unit; /* J = unit scale ((x - slope)^2 - slope^2) for a step of x codes */
    best = rint(fmin(fmax(slope, point->lowest - point->codes[j]), point->highest - point->codes[j]));
    gain = slope * slope - (best - slope) * (best - slope);
    if (!(gain > least_gain))
        return false;
    point->codes[j] = (int8_t)(point->codes[j] + (int32_t)best);
    point->j -= gain * unit * scale;
    bsq_point_add_row(point, j, -best * scale, point->g);
    return true;
}

int64_t bsq_descent_sweep(struct bsq_point *point)
{
    const struct bsq_kernels *kernels = bsq_kernels_best();
    int64_t changes = 0;

    for (int64_t a = 0; a < point->scales_per_channel; a++) { /* inputs of one scale at a time */
        int64_t end = (a + 1) * point->group_size < point->n ? (a + 1) * point->group_size : point->n;
        double scale = point->scales[a];

        for (int64_t j = a * point->group_size; j < end; j++) {
            j = kernels->next_step(point->g, point->diagonal, 0.5 * scale, j, end);
            changes += j < end && step(point, j, scale);
        }
    }
    return changes;
}
