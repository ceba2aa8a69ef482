/* Rounding: codes and scales from the weights alone. */
#include "stages/round.h"

#include "bsq.h"
#include "kernels/kernels.h"
#include "stages/scale.h"

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

    bsq_scale_neighbours(rounding->scale_format, scale, &lower, &upper);
    if (!fits(rounding, weights, count, lower)) {
        bsq_scale_neighbours(rounding->scale_format, bsq_scale_most(-rounding->lowest), &lower, &upper);
        return lower;
    }
    if (lower == upper || !fits(rounding, weights, count, upper))
        return lower;
    return weight_error(rounding, weights, count, lower) <= weight_error(rounding, weights, count, upper) ? lower
                                                                                                          : upper;
}

void bsq_round_codes(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                     int8_t *codes)
{
    bsq_kernels()->round_codes(weights, count, scale, rounding->lowest, rounding->highest, codes);
}
