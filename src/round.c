/* Rounding: codes and scales from the weights alone. */
#include "round.h"

#include "bsq.h"
#include "scale.h"

#include <math.h>

/* Alternation ends at a fixed point; this only stops the rare case of two scales that differ by rounding for ever. */
enum { MOST_ALTERNATIONS = 200 };

/* Adding and subtracting 1.5 * 2^52 rounds a double of small magnitude to the nearest integer, ties to even. */
static const double rounder = 6755399441055744.0;

/* Written out, because this is where rounding spends its time and library calls would keep it from being vectorised. */
static double nearest_code(const struct bsq_rounding *rounding, double w, double scale)
{
    double x = w / scale, lowest = rounding->lowest, highest = rounding->highest;

    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    return (x + rounder) - rounder;
}

double bsq_round_maximum_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count)
{
    double scale = 0.0;

    for (int64_t j = 0; j < count; j++) {
        double w = (double)weights[j], need = w / (w > 0.0 ? rounding->highest : rounding->lowest);

        scale = need > scale ? need : scale;
    }
    return scale > 0.0 ? scale : 1.0;
}

double bsq_round_alternating_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count,
                                   double scale)
{
    for (int i = 0; i < MOST_ALTERNATIONS; i++) {
        double along = 0.0, square = 0.0, next;

        for (int64_t j = 0; j < count; j++) {
            double code = nearest_code(rounding, (double)weights[j], scale);

            along += code * (double)weights[j];
            square += code * code;
        }
        next = along / square;
        if (!(square > 0.0) || !(next > 0.0) || next == scale)
            return scale;
        scale = next;
    }
    return scale;
}

static double weight_error(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale)
{
    double sum = 0.0;

    for (int64_t j = 0; j < count; j++) {
        double error = ((double)weights[j] - scale * nearest_code(rounding, (double)weights[j], scale)) / scale;

        sum += error * error;
    }
    return sum * scale * scale;
}

double bsq_round_least_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count)
{
    enum { STEPS = 40 };
    double most = bsq_round_maximum_scale(rounding, weights, count), best = most, least = INFINITY;
    double multipliers[STEPS];

    bsq_scale_grid(0.12, 1.0, STEPS, multipliers);
    for (int i = STEPS; i-- > 0;) {
        double error = weight_error(rounding, weights, count, most * multipliers[i]);

        if (error < least) {
            least = error;
            best = most * multipliers[i];
        }
    }
    return bsq_round_alternating_scale(rounding, weights, count, best);
}

double bsq_round_allowed_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale)
{
    double lower, upper;

    bsq_scale_neighbours(rounding->scale_format, scale, &lower, &upper);
    if (lower == upper)
        return lower;
    return weight_error(rounding, weights, count, lower) <= weight_error(rounding, weights, count, upper) ? lower
                                                                                                         : upper;
}

void bsq_round_codes(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                     int8_t *codes)
{
    for (int64_t j = 0; j < count; j++)
        codes[j] = (int8_t)nearest_code(rounding, (double)weights[j], scale);
}
