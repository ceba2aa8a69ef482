/* Integer coordinate descent on one channel, with the gradient kept up to date. */
#include "stages/descent.h"

#include "kernels/kernels.h"
#include "stages/levels.h"

#include <math.h>

/* A step must gain more than this, in units of (step size)^2 h_jj: rounding alone must not move codes to and fro. */
static const double least_gain = 1e-12;

/* Gives the allowed code nearest to code j and x steps, less code j. */
static double nearest_step(const struct bsq_point *point, int64_t j, double x)
{
    int32_t code = point->codes[j];

    if (point->levels)
        return point->levels[bsq_level_nearest(point->levels, point->level_count, code + x)] - code;
    return rint(fmin(fmax(x, point->lowest - code), point->highest - code));
}

/* Moves code j to where J is least; true when that is elsewhere. */
static bool step(struct bsq_point *point, int64_t j, double scale)
{
    double unit = scale * point->diagonal[j], slope, best, gain;

    if (!(fabs(unit) > 0.0))
        return false;           /* a dead input */
    slope = point->g[j] / unit; /* J = unit scale ((x - slope)^2 - slope^2) for a step of x codes */
    best = nearest_step(point, j, slope);
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
    const struct bsq_kernels *kernels = bsq_kernels();
    int64_t changes = 0;

    for (int64_t j = point->first; j < point->end;) { /* inputs of one scale at a time */
        int64_t a = j / point->group_size, end = bsq_scale_end(point->end, point->group_size, a);
        double scale = point->scales[a];

        while ((j = kernels->next_step(point->g, point->diagonal, 0.5 * fabs(scale), j, end)) < end)
            changes += step(point, j++, scale);
    }
    return changes;
}

/* Gives the code that u_j has after 'steps' steps of the scale's magnitude. */
static int32_t code_after(const struct bsq_point *point, int64_t j, int32_t steps)
{
    return point->codes[j] + (point->scales[0] < 0.0 ? -steps : steps);
}

static bool is_code(const struct bsq_point *point, int32_t code)
{
    return code >= point->lowest && code <= point->highest;
}

/* Gives what a step of u up and down costs beside its slope; more than anything gains where there is no such code. */
static void price_steps(const struct bsq_point *point, int64_t j, double *up, double *down)
{
    const double never = 1e300;
    double price = fabs(point->scales[0]) * point->diagonal[j];

    up[j] = is_code(point, code_after(point, j, 1)) ? price : never;
    down[j] = is_code(point, code_after(point, j, -1)) ? price : never;
}

/* Makes code j 'code', by which u_j changes as given; j and g follow. */
static void move_code(struct bsq_point *point, int64_t j, int32_t code, double change)
{
    point->codes[j] = (int8_t)code;
    point->j += change * (change * point->diagonal[j] - 2.0 * point->g[j]);
    bsq_point_add_row(point, j, -change, point->g);
}

static void take_step(struct bsq_point *point, int64_t j, int32_t steps)
{
    move_code(point, j, code_after(point, j, steps), steps * fabs(point->scales[0]));
}

/* Moves code i by 'steps' and the partner with which J falls the most by one; false when none gains more than rounding.
 */
static bool move_pair(struct bsq_point *point, int64_t i, int32_t steps, double reach, double *up, double *down)
{
    double scale = fabs(point->scales[0]), shift = steps * scale, unit = scale * point->diagonal[i];
    double least = unit - 2.0 * steps * point->g[i] + least_gain * unit;
    const double *h = point->h + i * point->n;
    int64_t partner = -1;
    int32_t towards = 0;

    /* no code gains by a step alone, so that one after i's can gain 2 scale |h_ij| at most */
    if ((steps > 0 ? up[i] : down[i]) > unit || !(least < 2.0 * scale * reach) ||
        !(bsq_kernels()->most_gain(h, point->g, up, down, shift, point->n) > least))
        return false;
    for (int64_t j = 0; j < point->n; j++) {
        double g = point->g[j] - shift * h[j], rise = 2.0 * g - up[j], fall = -2.0 * g - down[j];

        if (j == i || !(fmax(rise, fall) > least))
            continue;
        least = fmax(rise, fall);
        partner = j;
        towards = rise > fall ? 1 : -1;
    }
    if (partner < 0)
        return false;
    take_step(point, i, steps);
    take_step(point, partner, towards);
    price_steps(point, i, up, down);
    price_steps(point, partner, up, down);
    return true;
}

/* Moves code j to the level above or below it, or the other way round where there is none. */
static void push_level(struct bsq_point *point, int64_t j, int32_t steps)
{
    int32_t from = point->codes[j], to = bsq_level_next(point->levels, point->level_count, from, steps);

    if (to == from)
        to = bsq_level_next(point->levels, point->level_count, from, -steps);
    move_code(point, j, to, (to - from) * point->scales[0]);
}

void bsq_descent_push(struct bsq_point *point, int64_t j, int32_t steps)
{
    if (point->levels)
        push_level(point, j, steps);
    else
        take_step(point, j, is_code(point, code_after(point, j, steps)) ? steps : -steps);
}

int64_t bsq_descent_pairs(struct bsq_point *point, const double *reach, double *scratch)
{
    double *up = scratch, *down = scratch + point->n;
    int64_t moved = 0;

    for (int64_t j = 0; j < point->n; j++)
        price_steps(point, j, up, down);
    for (int64_t i = 0; i < point->n; i++)
        moved += point->diagonal[i] > 0.0 &&
                 (move_pair(point, i, 1, reach[i], up, down) || move_pair(point, i, -1, reach[i], up, down));
    return moved;
}
