/* The values that scales and offsets may take. */
#include "stages/values.h"

#include "bsq.h"
#include "stages/scale.h"

#include <float.h>
#include <math.h>

bool bsq_values_are_free(const struct bsq_rounding *rounding)
{
    return rounding->scale_format == BSQ_SCALE_FORMAT_FLOAT32 && !rounding->scale_bits;
}

/* ---- one level ----------------------------------------------------------------------------------------------- */

/* Takes off what the product of an E4M3 value and a unit has lost as a float32. */
static double without_noise(double x)
{
    double grain = x > 0.0 && isfinite(x) ? ldexp(1.0, ilogb(x) - 16) : 1.0;

    return rint(x / grain) * grain;
}

/* Gives the same for multiples of a unit, which are normal numbers. */
static void unit_neighbours(double unit, double x, double *lower, double *upper)
{
    const int32_t format = BSQ_SCALE_FORMAT_E4M3;
    double ratio = without_noise(x / unit), unused, least, most;

    bsq_scale_neighbours(format, (double)FLT_MIN / unit, &unused, &least);
    bsq_scale_neighbours(format, (double)FLT_MAX / unit, &most, &unused);
    bsq_scale_neighbours(format, fmin(fmax(ratio, least), most), lower, upper);
    *lower = bsq_scale_float32(*lower * unit);
    *upper = bsq_scale_float32(*upper * unit);
}

void bsq_values_neighbours(const struct bsq_rounding *rounding, double x, double *lower, double *upper)
{
    double side = x < 0.0 ? -1.0 : 1.0, size = fabs(x);

    if (rounding->scale_format == BSQ_SCALE_FORMAT_E4M3)
        unit_neighbours(rounding->scale_unit, size, lower, upper);
    else
        bsq_scale_neighbours(rounding->scale_format, size, lower, upper);
    *lower *= side;
    *upper *= side;
}

/* Gives the nearest of the values that offsets, and the multiples of two levels, may have, for x >= 0; 0 for what is
 * less than half of the least. Only those of float16 go below its normal numbers. With two levels a float32 leaves so
 * many bits free that its products are float32 too, and none is beyond it. */
static double nearest_value(const struct bsq_rounding *rounding, double x)
{
    bool half = rounding->scale_format == BSQ_SCALE_FORMAT_FLOAT16;
    int bits = half ? 10 : rounding->scale_format == BSQ_SCALE_FORMAT_BFLOAT16 ? 7 : 23 - rounding->scale_bits;
    int least = half ? -14 : -126, exponent;
    double most = half ? 65504.0 : ldexp(2.0 - ldexp(1.0, -bits), 127 - rounding->scale_bits);

    x = fmin(x, most);
    if (!half && x < (double)FLT_MIN)
        return x < 0.5 * (double)FLT_MIN ? 0.0 : (double)FLT_MIN;
    exponent = x > ldexp(1.0, least) ? ilogb(x) : least;
    return fmin(ldexp(rint(ldexp(x, bits - exponent)), exponent - bits), most);
}

double bsq_values_offset(const struct bsq_rounding *rounding, double x)
{
    return copysign(nearest_value(rounding, fabs(x)), x);
}

/* ---- two levels ---------------------------------------------------------------------------------------------- */

/* Integers that a value may have, of its own sign: 'most' on the positive side, 'most_negative' on the other. */
struct integers {
    int32_t least, most, most_negative;
};

static struct integers integers_of(const struct bsq_rounding *rounding, bool offsets)
{
    int32_t all = 1 << rounding->scale_bits;

    if (offsets) /* an offset is minus an integer times its multiple */
        return (struct integers){0, 0, all - 1};
    if (rounding->scale_signed)
        return (struct integers){1, all / 2 - 1, all / 2};
    return (struct integers){1, all - 1, 0};
}

/* Gives the integer nearest to x multiples, with its sign. */
static int32_t integer_of(const struct integers *allowed, double x, double multiple)
{
    int32_t most = x < 0.0 ? allowed->most_negative : allowed->most, side = x < 0.0 ? -1 : 1;
    double size = rint(fmin(fabs(x) / multiple, 1024.0));

    if (most == 0) /* a side on which there is nothing */
        return allowed->least;
    return side * (int32_t)fmin(fmax(size, allowed->least), most);
}

/* Sums the squares that integers leave of the values. */
static double rest_of(const struct integers *allowed, const double *values, int64_t count, double multiple)
{
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++) {
        double apart = values[i] - multiple * integer_of(allowed, values[i], multiple);

        sum += apart * apart;
    }
    return sum;
}

/* Gives the value that needs the largest multiple: the one that is largest for the integers of its side. */
static double widest(const struct integers *allowed, const double *values, int64_t count)
{
    double most = 0.0;

    for (int64_t i = 0; i < count; i++) {
        int32_t largest = values[i] < 0.0 ? allowed->most_negative : allowed->most;

        if (largest > 0)
            most = fmax(most, fabs(values[i]) / largest);
    }
    return most;
}

/* Gives the multiple for values of one super group. */
static double choose_multiple(const struct bsq_rounding *rounding, const struct integers *allowed, const double *values,
                              int64_t count, enum bsq_values_side side)
{
    enum { TRIED = 24 };
    const double step = 1.02; /* up to 1.6 times: the largest scale then has 40 of 63 */
    double least = widest(allowed, values, count), smallest = nearest_value(rounding, least), best, rest;

    if (!(smallest > 0.0))
        smallest = rounding->scale_format == BSQ_SCALE_FORMAT_FLOAT16 ? 0x1p-24 : (double)FLT_MIN;
    best = smallest;
    rest = rest_of(allowed, values, count, best);
    for (int i = 1; side != BSQ_VALUES_LOWER && i < TRIED; i++) {
        double multiple = nearest_value(rounding, least * pow(step, i)), left;

        if (!(multiple > 0.0))
            continue;
        left = rest_of(allowed, values, count, multiple);
        if (left < rest) {
            rest = left;
            best = multiple;
        }
    }
    return best;
}

/* Finds the multiple of values that are allowed: the largest one of which all are integers. 0 when all are 0. */
static double find_multiple(const struct bsq_rounding *rounding, const struct integers *allowed, const double *values,
                            int64_t count)
{
    double most = 0.0, found = 0.0;
    int32_t largest = allowed->most > allowed->most_negative ? allowed->most : allowed->most_negative;

    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(values[i]));
    for (int32_t k = 1; k <= largest && most > 0.0 && !(found > 0.0); k++) {
        double multiple = nearest_value(rounding, most / k);

        if (multiple > 0.0 && !(rest_of(allowed, values, count, multiple) > 0.0))
            found = multiple;
    }
    return found;
}

static int64_t span_of(const struct bsq_rounding *rounding, int64_t count, int64_t first)
{
    return count - first < rounding->super_group ? count - first : rounding->super_group;
}

static void restrict_levels(const struct bsq_rounding *rounding, int64_t count, enum bsq_values_side side, bool offsets,
                            double *values)
{
    struct integers allowed = integers_of(rounding, offsets);

    for (int64_t first = 0; first < count; first += rounding->super_group) {
        int64_t span = span_of(rounding, count, first);
        double multiple = choose_multiple(rounding, &allowed, values + first, span, side);

        for (int64_t a = first; a < first + span; a++)
            values[a] = multiple * integer_of(&allowed, values[a], multiple);
    }
}

void bsq_values_restrict(const struct bsq_rounding *rounding, int64_t count, enum bsq_values_side side, double *scales,
                         double *shifts)
{
    bool offsets = shifts && rounding->shifting.kind == BSQ_SHIFT_FREE;

    if (rounding->scale_bits) {
        restrict_levels(rounding, count, side, false, scales);
        if (offsets)
            restrict_levels(rounding, count, side, true, shifts);
        return;
    }
    for (int64_t a = 0; a < count; a++) {
        double lower, upper;

        bsq_values_neighbours(rounding, scales[a], &lower, &upper);
        scales[a] = side == BSQ_VALUES_LOWER                ? lower
                    : side == BSQ_VALUES_UPPER              ? upper
                    : upper / scales[a] < scales[a] / lower ? upper
                                                            : lower;
        if (offsets)
            shifts[a] = bsq_values_offset(rounding, shifts[a]);
    }
}

void bsq_values_restrict_supers(const struct bsq_rounding *rounding, int64_t count, bool offsets, const double *now,
                                double *wanted)
{
    struct integers allowed = integers_of(rounding, offsets);

    for (int64_t first = 0; first < count; first += rounding->super_group) {
        int64_t end = first + span_of(rounding, count, first);
        double multiple = find_multiple(rounding, &allowed, now + first, end - first), moved = 0.0;

        for (int64_t a = first; a < end && !(moved > 0.0); a++)
            if (fabs(now[a]) > 0.0 && multiple > 0.0)
                moved = nearest_value(rounding, fmax(multiple * wanted[a] / now[a], 0.0));
        for (int64_t a = first; a < end; a++)
            wanted[a] = moved > 0.0 ? moved * rint(now[a] / multiple) : now[a];
    }
}

/* Gives the next integer. */
static double next_integer(const struct bsq_rounding *rounding, int64_t count, bool offsets, const double *values,
                           int64_t a, bool up)
{
    struct integers allowed = integers_of(rounding, offsets);
    int64_t first = a - a % rounding->super_group;
    double multiple = find_multiple(rounding, &allowed, values + first, span_of(rounding, count, first));
    int32_t now, most, next;

    if (!(multiple > 0.0))
        return values[a];
    now = (int32_t)rint(fabs(values[a]) / multiple);
    most = values[a] < 0.0 || offsets ? allowed.most_negative : allowed.most;
    next = now + (up ? 1 : -1);
    if (next < allowed.least || next > most)
        return values[a];
    return (values[a] < 0.0 || offsets ? -multiple : multiple) * next;
}

double bsq_values_next(const struct bsq_rounding *rounding, int64_t count, bool offsets, const double *values,
                       int64_t a, bool up)
{
    const double beside = 2e-4; /* less than the distance of two values of a format, more than noise */
    double lower, upper;

    if (rounding->scale_bits)
        return next_integer(rounding, count, offsets, values, a, up);
    if (offsets || bsq_values_are_free(rounding))
        return values[a];
    bsq_values_neighbours(rounding, values[a] * (up ? 1.0 + beside : 1.0 - beside), &lower, &upper);
    return up ? upper : lower;
}
