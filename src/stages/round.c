/* Rounding: codes, scales and shifts from the weights alone. */
#include "stages/round.h"

#include "bsq.h"
#include "kernels/kernels.h"
#include "kernels/rounding.h"
#include "stages/levels.h"
#include "stages/scale.h"
#include "stages/values.h"

#include <float.h>
#include <math.h>

/* Alternation ends at a fixed point; this only stops the rare case of two scales that differ by rounding for ever. */
enum { MOST_ALTERNATIONS = 200 };

enum { ROUND_SAMPLE = 256 };

double bsq_round_maximum_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count)
{
    float least, most;
    double below, above, scale;

    bsq_kernels()->extremes(weights, count, &least, &most);
    below = (double)least / rounding->lowest;
    above = (double)most / rounding->highest;
    scale = below > above ? below : above;
    return scale > 0.0 ? scale : 1.0;
}

double bsq_round_extreme_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count)
{
    float least, most;
    double scale;

    bsq_kernels()->extremes(weights, count, &least, &most);
    scale = 2.0 * fmax(-(double)least, (double)most) / (rounding->highest - rounding->lowest);
    return scale > 0.0 ? scale : 1.0;
}

static void round_sums(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                       double *along, double *square)
{
    bsq_kernels()->round_sums(weights, count, (float)fmin(1.0 / scale, FLT_MAX), (float)rounding->lowest,
                              (float)rounding->highest, along, square);
}

static double alternate(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                        int turns)
{
    for (int i = 0; i < turns; i++) {
        double along, square, next;

        round_sums(rounding, weights, count, scale, &along, &square);
        next = along / square;
        if (!(square > 0.0) || !(next > 0.0) || !isfinite(next) || next == scale)
            return scale;
        scale = next;
    }
    return scale;
}

double bsq_round_alternating_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count,
                                   double scale)
{
    return alternate(rounding, weights, count, scale, MOST_ALTERNATIONS);
}

/* |w - scale code|^2 without its constant |w|^2. */
static double weight_error(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale)
{
    double along, square;

    round_sums(rounding, weights, count, scale, &along, &square);
    return scale * (scale * square - 2.0 * along);
}

/* Copies some of the weights, spread evenly: enough to tell scales apart that are a grid step away. */
static int64_t take_sample(const float *weights, int64_t count, float *sample)
{
    int64_t stride = (count + ROUND_SAMPLE - 1) / ROUND_SAMPLE, taken = 0;

    for (int64_t j = 0; j < count; j += stride)
        sample[taken++] = weights[j];
    return taken;
}

double bsq_round_least_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double maximum)
{
    enum { STEPS = 13, TURNS = 4 };
    const double step = 1.0 / 1.2; /* down to 0.11 of the maximum */
    double scale = maximum, best = scale, least = INFINITY;
    float sample[ROUND_SAMPLE];
    int64_t taken = take_sample(weights, count, sample);

    for (int i = 0; i < STEPS; i++, scale *= step) {
        double error = weight_error(rounding, sample, taken, scale);

        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return alternate(rounding, weights, count, best, TURNS);
}

/* Tells whether float32 holds every weight that rounds with this scale. */
static bool fits(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale)
{
    float least, most;
    double below, above;

    if (scale <= bsq_scale_most(-INT8_MIN))
        return true;
    bsq_kernels()->extremes(weights, count, &least, &most);
    below = scale * fmax(rint((double)least / scale), rounding->lowest);
    above = scale * fmin(rint((double)most / scale), rounding->highest);
    return -below <= (double)FLT_MAX && above <= (double)FLT_MAX;
}

double bsq_round_allowed_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale)
{
    double lower, upper;

    bsq_values_neighbours(rounding, scale, &lower, &upper);
    if (!fits(rounding, weights, count, lower)) {
        bsq_values_neighbours(rounding, bsq_scale_most(-rounding->lowest), &lower, &upper);
        return lower;
    }
    if (lower == upper || !fits(rounding, weights, count, upper))
        return lower;
    return weight_error(rounding, weights, count, lower) <= weight_error(rounding, weights, count, upper) ? lower
                                                                                                          : upper;
}

/* ---- any grid ------------------------------------------------------------------------------------------------ */

/* One way to round a group: a scale, not 0, and the shift in steps. */
struct fit {
    double scale, steps;
    double error; /* after a refit of the scale, and of the shift where it is free */
};

/* Rounds with a scale and a shift, and moves both to where the error is least for the codes. */
static struct fit try_fit(const struct bsq_rounding *rounding, const struct bsq_fit *task, double total, double scale,
                          double steps)
{
    struct bsq_fit own = *task;
    struct bsq_fit_sums sums;
    double share, constant = 0.0, gain;

    own.inverse = (float)fmax(fmin(1.0 / scale, FLT_MAX), -FLT_MAX);
    own.shift = (float)steps;
    bsq_kernels()->fit(&own, &sums);
    share = sums.dd > 0.0 ? sums.rd / sums.dd : 0.0;
    gain = share * sums.rd;
    if (rounding->shifting.kind == BSQ_SHIFT_FREE) { /* r ~ share d + constant, by weighted least squares */
        double spread = sums.dd * total - sums.d * sums.d;

        if (spread > 1e-6 * sums.dd * total) {
            share = (sums.rd * total - sums.r * sums.d) / spread;
            constant = (sums.r * sums.dd - sums.rd * sums.d) / spread;
            gain = share * sums.rd + constant * sums.r;
        }
    }
    if (!(share > -1.0) || !isfinite(share) || !isfinite(constant)) /* of another grid than was tried */
        return (struct fit){scale, steps, INFINITY};
    return (struct fit){scale * (1.0 + share),
                        rounding->shifting.kind == BSQ_SHIFT_FREE ? steps + constant / (1.0 + share) : steps,
                        scale * scale * fmax(sums.rr - gain, 0.0)};
}

/* Gives the whole number of steps that is allowed and nearest. */
static double allowed_steps(const struct bsq_rounding *rounding, double steps)
{
    if (rounding->shifting.kind != BSQ_SHIFT_STEPS)
        return rounding->shifting.kind == BSQ_SHIFT_FREE ? steps : 0.0;
    return bsq_clamp(bsq_round_even(bsq_clamp(steps, -1024.0, 1024.0)), rounding->least_shift, rounding->most_shift);
}

/* What weights reach down and up to. Where a zero is among what codes express, whatever the scale, it is inside. */
static void range_of(const struct bsq_rounding *rounding, const float *weights, int64_t count, double *low,
                     double *high)
{
    *low = *high = rounding->shifting.kind == BSQ_SHIFT_FREE && !rounding->scale_bits ? (double)weights[0] : 0.0;
    for (int64_t j = 0; j < count; j++) {
        *low = fmin(*low, (double)weights[j]);
        *high = fmax(*high, (double)weights[j]);
    }
}

/* Gives the scale of weights that need none: any, or the least where a table has no zero. */
static double idle_scale(const struct bsq_rounding *rounding)
{
    bool zero = !rounding->levels || !rounding->levels[bsq_level_nearest(rounding->levels, rounding->level_count, 0.0)];

    return zero ? 1.0 : (double)FLT_MIN;
}

/* The grid that holds all of the range, turned round with a negative side. */
static struct fit fit_of_range(const struct bsq_rounding *rounding, double low, double high, double side)
{
    double lowest = rounding->lowest, highest = rounding->highest, scale;

    if (rounding->shifting.kind != BSQ_SHIFT_NONE) {
        scale = (high - low) / (highest - lowest);
        scale = scale > 0.0 && isfinite(scale) ? scale : fmax(fabs(low), (double)FLT_MIN);
        return (struct fit){scale, allowed_steps(rounding, low / scale - lowest), INFINITY};
    }
    if (side < 0.0)
        scale = fmax(lowest < 0.0 ? high / -lowest : 0.0, highest > 0.0 ? -low / highest : 0.0);
    else
        scale = fmax(lowest < 0.0 ? low / lowest : 0.0, highest > 0.0 ? high / highest : 0.0);
    scale = scale > 0.0 && isfinite(scale) ? scale : idle_scale(rounding);
    return (struct fit){side * scale, 0.0, INFINITY};
}

/* Codes and scale in turn, until nothing moves or the turns are over. */
static struct fit alternate_fit(const struct bsq_rounding *rounding, const struct bsq_fit *task, double total,
                                struct fit fit, int turns)
{
    for (int i = 0; i < turns; i++) {
        struct fit next = try_fit(rounding, task, total, fit.scale, fit.steps);

        if (!(next.error < fit.error))
            return fit;
        fit = next;
    }
    return fit;
}

static void keep_better(struct fit *best, struct fit fit)
{
    if (fit.error < best->error)
        *best = fit;
}

/* Tries ranges that are shrunk towards their middle, and with steps the shifts next to theirs. */
static struct fit search_fit(const struct bsq_rounding *rounding, const struct bsq_fit *task, double total,
                             struct fit whole)
{
    enum { RANGES = 12 };
    const double shrink = 1.0 / 1.12; /* down to 0.29 of the range */
    double middle = 0.5 * (rounding->lowest + rounding->highest), offset = whole.scale * (middle + whole.steps);
    double around = rounding->shifting.kind == BSQ_SHIFT_STEPS ? 1.0 : 0.0, scale = whole.scale;
    struct fit best = whole;

    for (int i = 0; i < RANGES; i++, scale *= shrink) {
        double steps = rounding->shifting.kind == BSQ_SHIFT_NONE ? 0.0 : offset / scale - middle;

        for (double more = -around; more <= around; more += 1.0)
            keep_better(&best, try_fit(rounding, task, total, scale, allowed_steps(rounding, steps + more)));
    }
    return best;
}

void bsq_round_fit(const struct bsq_rounding *rounding, const float *weights, const float *importance, int64_t count,
                   enum bsq_scale_rule rule, double *scale, double *shift)
{
    enum { TURNS = 4 };
    float levels[BSQ_BEAM_LEVELS];
    struct bsq_fit task = {.x = weights,
                           .weight = importance,
                           .count = count,
                           .lowest = (float)rounding->lowest,
                           .highest = (float)rounding->highest,
                           .levels = rounding->levels ? levels : NULL,
                           .level_count = rounding->level_count};
    double low, high, total = importance ? 0.0 : (double)count;
    struct fit best = {1.0, 0.0, INFINITY};

    for (int32_t i = 0; i < rounding->level_count; i++)
        levels[i] = rounding->levels[i];
    for (int64_t j = 0; importance && j < count; j++)
        total += (double)importance[j];
    range_of(rounding, weights, count, &low, &high);
    for (int side = 0; side <= (rounding->scale_signed ? 1 : 0); side++) {
        struct fit whole = fit_of_range(rounding, low, high, side ? -1.0 : 1.0), found = whole;

        if (rule == BSQ_RULE_LEAST)
            found = search_fit(rounding, &task, total, whole);
        if (rule != BSQ_RULE_MAXIMUM)
            found = alternate_fit(rounding, &task, total, found, rule == BSQ_RULE_LEAST ? TURNS : MOST_ALTERNATIONS);
        else if (rounding->scale_signed)
            found.error = try_fit(rounding, &task, total, whole.scale, whole.steps).error;
        if (side == 0 || found.error < best.error)
            best = found;
    }
    *scale = best.scale;
    if (shift)
        *shift = rounding->shifting.kind == BSQ_SHIFT_FREE ? best.scale * (best.steps - rounding->shifting.base)
                                                           : best.steps;
}

void bsq_round_codes(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                     double offset, int8_t *codes)
{
    if (!rounding->levels && rounding->shifting.kind == BSQ_SHIFT_NONE) {
        bsq_kernels()->round_codes(weights, count, scale, rounding->lowest, rounding->highest, codes);
        return;
    }
    for (int64_t j = 0; j < count; j++) {
        double code = ((double)weights[j] - offset) / scale;

        codes[j] = rounding->levels
                       ? rounding->levels[bsq_level_nearest(rounding->levels, rounding->level_count, code)]
                       : (int8_t)(int32_t)bsq_round_even(bsq_clamp(code, rounding->lowest, rounding->highest));
    }
}
