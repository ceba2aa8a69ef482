/* Scales: the values that a format can hold, grids to search, and the best scales for given codes. */
#include "stages/scale.h"

#include "base/blas.h"
#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Channels with more scales than this are refit one scale at a time, which needs no matrix of them. */
enum { MOST_JOINT_SCALES = 64 };

static void format_limits(int32_t format, double *least, double *most)
{
    switch (format) {
    case BSQ_SCALE_FORMAT_FLOAT16: /* IEEE 754 binary16: 10 bits of fraction, exponents -14..15 */
        *least = 0x1p-14;
        *most = 65504.0;
        break;
    case BSQ_SCALE_FORMAT_POWER_OF_TWO:
        *least = 0x1p-126;
        *most = 0x1p127;
        break;
    default:
        *least = (double)FLT_MIN;
        *most = (double)FLT_MAX;
        break;
    }
}

double bsq_scale_float32(double x)
{
    return (double)(float)fmin(fmax(x, (double)FLT_MIN), (double)FLT_MAX);
}

double bsq_scale_most(int32_t most)
{
    const double below = 0x1.fffffcp127; /* FLT_MAX less what rounding a quotient may add */

    return below / (most > 1 ? most : 1);
}

double bsq_scale_stored(double x, const int8_t *codes, int64_t count)
{
    double stored = bsq_scale_float32(x);
    int32_t most = 0;

    if (stored <= bsq_scale_most(-INT8_MIN))
        return stored;
    for (int64_t i = 0; i < count; i++)
        most = abs(codes[i]) > most ? abs(codes[i]) : most;
    return stored * most <= (double)FLT_MAX ? stored : bsq_scale_float32(bsq_scale_most(most));
}

void bsq_scale_neighbours(int32_t format, double x, double *lower, double *upper)
{
    double least, most, grain;

    if (format == BSQ_SCALE_FORMAT_FLOAT32) {
        *lower = *upper = bsq_scale_float32(x);
        return;
    }
    format_limits(format, &least, &most);
    x = fmin(fmax(x, least), most);
    grain = ldexp(1.0, ilogb(x) - (format == BSQ_SCALE_FORMAT_FLOAT16 ? 10 : 0));
    *lower = format == BSQ_SCALE_FORMAT_FLOAT16 ? floor(x / grain) * grain : grain;
    *upper = *lower < x ? fmin(*lower + grain, most) : *lower;
}

void bsq_scale_grid(double low, double high, int32_t count, double *multipliers)
{
    for (int32_t i = 0; i < count; i++)
        multipliers[i] = count == 1 ? 1.0 : low * pow(high / low, (double)i / (double)(count - 1));
}

int64_t bsq_scale_scratch(int64_t n, int64_t scales_per_channel)
{
    int64_t joint = scales_per_channel > 1 && scales_per_channel <= MOST_JOINT_SCALES ? scales_per_channel : 1;

    return joint * n + joint * joint + joint;
}

/* A refit that stretches u by more takes H u anew: p - g, which is H u too, has lost as many digits. */
static const double most_stretch = 1024.0;

/* Sums u'g and u'H u, both without the factor scale of u on their left. */
static void sums_along(const struct bsq_point *point, double *along, double *square)
{
    bsq_kernels()->code_sums(point->codes, point->p, point->g, point->n, along, square);
}

/* Multiplies the one scale by 1 + x: J falls by x (2 u'g - x u'H u). */
static void stretch(struct bsq_point *point, double x, double along, double square)
{
    point->j -= x * (2.0 * along - x * square) * point->scales[0];
    for (int64_t j = 0; j < point->n; j++)
        point->g[j] -= x * (point->p[j] - point->g[j]);
}

void bsq_scale_set(struct bsq_point *point, double scale)
{
    double along, square;

    sums_along(point, &along, &square);
    stretch(point, scale / point->scales[0] - 1.0, along, square);
    point->scales[0] = scale;
}

/* Multiplies H by the part of u that scale 'group' multiplies. */
static void response_of(const struct bsq_point *point, int64_t group, double *response)
{
    memset(response, 0, (size_t)point->n * sizeof *response);
    for (int64_t j = group * point->group_size; j < bsq_scale_end(point->n, point->group_size, group); j++)
        if (point->codes[j])
            bsq_point_add_row(point, j, point->scales[group] * point->codes[j], response);
}

/* Multiplies the part of u that scale 'group' multiplies by x. */
static double along_group(const struct bsq_point *point, int64_t group, const double *x)
{
    double sum = 0.0;

    for (int64_t j = group * point->group_size; j < bsq_scale_end(point->n, point->group_size, group); j++)
        sum += point->codes[j] * x[j];
    return sum * point->scales[group];
}

/* Refits scales one after the other: each step is the closed form of one, given the others. */
static double refit_in_turn(struct bsq_point *point, double *response)
{
    double largest = 0.0;

    for (int64_t a = 0; a < point->scales_per_channel; a++) {
        double along = along_group(point, a, point->g), square, x;

        response_of(point, a, response);
        square = along_group(point, a, response);
        x = along / square;
        if (!(square > 0.0) || !isfinite(x) || !(x > -1.0))
            continue;
        point->j -= along * x;
        point->scales[a] *= 1.0 + x;
        bsq_daxpy(point->n, -x, response, point->g);
        largest = fmax(largest, fabs(x));
    }
    return largest;
}

/* Refits all scales at once: A x = b with A_ab = u_a'H u_b, b_a = u_a'g. False, with nothing changed, when a scale would not
 * stay positive or A is singular beyond repair. */
static bool refit_jointly(struct bsq_point *point, double *scratch, double *largest)
{
    int64_t count = point->scales_per_channel, n = point->n;
    double *response = scratch, *a = response + count * n, *x = a + count * count, gain = 0.0;

    for (int64_t i = 0; i < count; i++)
        response_of(point, i, response + i * n);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = i; k < count; k++)
            a[i * count + k] = along_group(point, i, response + k * n);
        if (!(a[i * count + i] > 0.0))
            a[i * count + i] = 1.0; /* no codes: this scale stays */
        else
            a[i * count + i] *= 1.0 + 1e-12;
        x[i] = along_group(point, i, point->g);
    }
    if (!bsq_dpotrf(count, a, count))
        return false;
    bsq_dpotrs(count, a, count, 1, x, count);
    for (int64_t i = 0; i < count; i++)
        if (!(x[i] > -1.0) || !isfinite(x[i]))
            return false;
    *largest = 0.0;
    for (int64_t i = 0; i < count; i++) { /* one after the other, each with the J of the step that it makes */
        double square = along_group(point, i, response + i * n);

        gain = 2.0 * x[i] * along_group(point, i, point->g) - x[i] * x[i] * square;
        point->j -= gain;
        bsq_daxpy(n, -x[i], response + i * n, point->g);
        *largest = fmax(*largest, fabs(x[i]));
    }
    for (int64_t i = 0; i < count; i++)
        point->scales[i] *= 1.0 + x[i];
    return true;
}

bool bsq_scale_is_far(double along, double square)
{
    return !(fabs(along) <= most_stretch * square);
}

/* Moves the scale to the multiple 1 + u'g / u'H u of it, at which J is least. */
static double refit_single(struct bsq_point *point, double *response)
{
    double along, square, x;

    sums_along(point, &along, &square);
    x = along / square;
    if (bsq_scale_is_far(along, square))
        return refit_in_turn(point, response);
    if (!(square > 0.0) || !isfinite(x) || !(x > -1.0))
        return 0.0;
    stretch(point, x, along, square);
    point->scales[0] *= 1.0 + x;
    return fabs(x);
}

double bsq_scale_refit(struct bsq_point *point, double *scratch)
{
    double largest;

    if (point->scales_per_channel == 1)
        return refit_single(point, scratch);
    if (point->scales_per_channel <= MOST_JOINT_SCALES && refit_jointly(point, scratch, &largest))
        return largest;
    return refit_in_turn(point, scratch);
}
