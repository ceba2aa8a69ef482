/* Integer coordinate descent on one channel, with the gradient kept up to date. */
#include "descent.h"

#include "blas.h"

#include <math.h>

/* A step must gain more than this, in units of (step size)^2 h_jj: rounding alone must not move codes to and fro. */
static const double least_gain = 1e-12;

int64_t bsq_descent_sweep(struct bsq_point *point)
{
    int64_t n = point->n, changes = 0;

    for (int64_t j = 0; j < n; j++) {
        double scale = point->scales[j / point->group_size], hjj = point->h[j * n + j], unit = scale * hjj;
        double slope, best, gain;

        if (!(fabs(point->g[j]) > 0.5 * unit) || !(unit > 0.0))
            continue; /* nothing within half a step, or a dead input */
        slope = point->g[j] / unit; /* J = unit scale ((x - slope)^2 - slope^2) for a step of x codes */
        best = rint(fmin(fmax(slope, point->lowest - point->codes[j]), point->highest - point->codes[j]));
        gain = slope * slope - (best - slope) * (best - slope);
        if (!(gain > least_gain))
            continue;
        point->codes[j] = (int8_t)(point->codes[j] + (int32_t)best);
        point->j -= gain * unit * scale;
        bsq_daxpy(n, -best * scale, point->h + j * n, point->g);
        changes++;
    }
    return changes;
}
