/* Objective, scales, rounding and brute force, from the formulas. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* x'Hy */
static double form(int64_t n, const double *h, const double *x, const double *y)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * dot(n, h + i * n, y);
    return sum;
}

double ref_damping(double rows, int64_t n)
{
    if (rows == 0)
        return 1e-6;
    return fmax(1e-6, 0.3 * fmin(1, (double)n / rows));
}

double ref_mean_diagonal(int64_t n, const double *h)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += h[i * n + i];
    return sum / (double)n;
}

void ref_target(int64_t n, const double *h, const double *w, double mu, const double *cross, double *p)
{
    for (int64_t i = 0; i < n; i++) {
        p[i] = dot(n, h + i * n, w);
        if (mu != 0)
            p[i] = (1 - mu) * p[i] + mu * cross[i];
    }
}

double ref_energy(int64_t n, const double *h, const double *w, double mu, const double *cross, double square)
{
    double own = form(n, h, w, w);

    if (mu == 0)
        return own;
    return (1 - mu) * (1 - mu) * own + 2 * mu * (1 - mu) * dot(n, w, cross) + mu * mu * square;
}

void ref_dequantize(int64_t n, int64_t group_size, const int8_t *codes, const double *scales, double *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = scales[i / group_size] * codes[i];
}

double ref_output_error(const struct ref_channel *channel, const double *values)
{
    return channel->energy - 2 * dot(channel->n, channel->p, values) + form(channel->n, channel->h, values, values);
}

double ref_objective(const struct ref_channel *channel, const double *values)
{
    double distance = 0;

    for (int64_t i = 0; i < channel->n; i++)
        distance += (channel->w[i] - values[i]) * (channel->w[i] - values[i]);
    return ref_output_error(channel, values) + channel->ridge * distance;
}

double ref_change(const struct ref_channel *channel, const double *values, int64_t k, double scale, int32_t step)
{
    double move = scale * step;
    double slope = dot(channel->n, channel->h + k * channel->n, values) - channel->p[k] +
                   channel->ridge * (values[k] - channel->w[k]);

    return 2 * move * slope + move * move * (channel->h[k * channel->n + k] + channel->ridge);
}

void ref_code_range(int32_t bits, int32_t full, int32_t *lowest, int32_t *highest)
{
    *highest = (1 << (bits - 1)) - 1;
    *lowest = -*highest - (full ? 1 : 0);
}

void ref_round(int64_t n, const double *w, double scale, int32_t lowest, int32_t highest, int8_t *codes)
{
    for (int64_t i = 0; i < n; i++)
        codes[i] = (int8_t)fmin(fmax(rint(w[i] / scale), lowest), highest);
}

/* Solves the symmetric system A x = b of a least squares problem by elimination, largest pivot on the diagonal first;
 * an unknown whose pivot is gone is 0. */
static void eliminate(int64_t count, double *a, double *b, double *x)
{
    int64_t *order = malloc((size_t)count * sizeof *order);
    double largest = 0;

    for (int64_t i = 0; i < count; i++) {
        order[i] = i;
        largest = fmax(largest, a[i * count + i]);
    }

    int64_t rank = 0;

    for (; rank < count; rank++) {
        int64_t best = rank;

        for (int64_t i = rank + 1; i < count; i++)
            if (a[order[i] * count + order[i]] > a[order[best] * count + order[best]])
                best = i;

        int64_t pivot = order[best];

        order[best] = order[rank];
        order[rank] = pivot;
        if (!(a[pivot * count + pivot] > 1e-13 * largest))
            break;
        for (int64_t r = rank + 1; r < count; r++) {
            int64_t i = order[r];
            double factor = a[i * count + pivot] / a[pivot * count + pivot];

            for (int64_t j = 0; j < count; j++)
                a[i * count + j] -= factor * a[pivot * count + j];
            b[i] -= factor * b[pivot];
        }
    }
    for (int64_t i = 0; i < count; i++)
        x[i] = 0;
    for (int64_t r = rank - 1; r >= 0; r--) {
        int64_t i = order[r];
        double rest = b[i];

        for (int64_t c = r + 1; c < rank; c++)
            rest -= a[i * count + order[c]] * x[order[c]];
        x[i] = rest / a[i * count + i];
    }
    free(order);
}

double ref_best_scales(const struct ref_channel *channel, int64_t group_size, const int8_t *codes, double *scales)
{
    int64_t n = channel->n;
    int64_t count = (n + group_size - 1) / group_size;
    double *a = calloc((size_t)(count * count), sizeof *a);
    double *b = calloc((size_t)count, sizeof *b);
    double *values = calloc((size_t)n, sizeof *values);

    for (int64_t i = 0; i < n; i++) {
        b[i / group_size] += codes[i] * (channel->p[i] + channel->ridge * channel->w[i]);
        for (int64_t j = 0; j < n; j++) {
            double damped = channel->h[i * n + j] + (i == j ? channel->ridge : 0);

            a[i / group_size * count + j / group_size] += codes[i] * codes[j] * damped;
        }
    }
    eliminate(count, a, b, scales);
    ref_dequantize(n, group_size, codes, scales, values);

    double objective = ref_objective(channel, values);

    free(a);
    free(b);
    free(values);
    return objective;
}

double ref_best_scale(const struct ref_channel *channel, const int8_t *codes)
{
    double scale;

    ref_best_scales(channel, channel->n, codes, &scale);
    return fmax(scale, 0);
}

/* Counts 'codes' up like a number; 0 when it starts over. */
static int next_codes(int64_t n, int32_t lowest, int32_t highest, int8_t *codes)
{
    for (int64_t i = 0; i < n; i++) {
        if (codes[i] < highest) {
            codes[i]++;
            return 1;
        }
        codes[i] = (int8_t)lowest;
    }
    return 0;
}

static void copy_codes(int64_t n, const int8_t *from, int8_t *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i];
}

double ref_brute_codes(const struct ref_channel *channel, double scale, int32_t lowest, int32_t highest, int8_t *codes)
{
    int64_t n = channel->n;
    int8_t *trial = malloc((size_t)n);
    double *values = calloc((size_t)n, sizeof *values);
    double best = INFINITY;

    for (int64_t i = 0; i < n; i++)
        trial[i] = (int8_t)lowest;
    do {
        ref_dequantize(n, n, trial, &scale, values);

        double objective = ref_objective(channel, values);

        if (objective < best) {
            best = objective;
            copy_codes(n, trial, codes);
        }
    } while (next_codes(n, lowest, highest, trial));
    free(trial);
    free(values);
    return best;
}

double ref_brute_joint(const struct ref_channel *channel, int64_t group_size, int32_t lowest, int32_t highest,
                       int8_t *codes, double *scales)
{
    int64_t n = channel->n;
    int64_t count = (n + group_size - 1) / group_size;
    int8_t *trial = malloc((size_t)n);
    double *trial_scales = malloc((size_t)count * sizeof *trial_scales);
    double best = INFINITY;

    for (int64_t i = 0; i < n; i++)
        trial[i] = (int8_t)lowest;
    do {
        double objective = ref_best_scales(channel, group_size, trial, trial_scales);
        int allowed = 1;

        for (int64_t g = 0; g < count; g++)
            allowed &= trial_scales[g] >= 0;
        if (allowed && objective < best) {
            best = objective;
            copy_codes(n, trial, codes);
            for (int64_t g = 0; g < count; g++)
                scales[g] = trial_scales[g];
        }
    } while (next_codes(n, lowest, highest, trial));
    free(trial);
    free(trial_scales);
    return best;
}
