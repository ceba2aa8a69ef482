/* The published bit-split algorithm, step by step, on second moments. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>

enum { WEIGHT_EPOCHS = 50, RESPONSE_EPOCHS = 100 };

static const double STOP = 1e-9;

static void note_margin(double *margin, double value, double threshold)
{
    if (margin && threshold > 0)
        *margin = fmin(*margin, fabs(value / threshold - 1));
}

/* How far |w / scale| is from the middle between two codes. */
static void note_rounding(double *margin, double x, int32_t highest)
{
    double size = fabs(x);

    if (size < highest)
        *margin = fmin(*margin, fabs(size - floor(size) - 0.5));
}

/* Half of everything between stopping and going on counts as close. */
static void note_stop(double *margin, double change)
{
    if (change > STOP / 2 && change < STOP * 2)
        *margin = 0;
}

static int usable(double scale)
{
    return scale > 0 && isfinite(scale);
}

void ref_round_max(const struct ref_layer *layer, int32_t bits, struct ref_codes *result)
{
    int32_t lowest, highest;

    ref_code_range(bits, 0, &lowest, &highest);
    result->margin = 1;
    for (int64_t c = 0; c < layer->channels; c++) {
        const double *w = layer->w + c * layer->n;
        double largest = 0;

        for (int64_t i = 0; i < layer->n; i++)
            largest = fmax(largest, fabs(w[i]));
        result->scales[c] = largest / highest;
        for (int64_t i = 0; i < layer->n; i++)
            result->codes[c * layer->n + i] = 0;
        if (result->scales[c] > 0)
            ref_round(layer->n, w, result->scales[c], lowest, highest, result->codes + c * layer->n);
    }
}

/* w'q / q'q, or 'old' where that is no scale. */
static double weight_scale(int64_t n, const double *w, const int8_t *codes, double old)
{
    double top = 0, bottom = 0;

    for (int64_t i = 0; i < n; i++) {
        top += w[i] * codes[i];
        bottom += codes[i] * codes[i];
    }
    return usable(top / bottom) ? top / bottom : old;
}

void ref_round_alternating(const struct ref_layer *layer, int32_t bits, struct ref_codes *result)
{
    int32_t lowest, highest;
    double change;

    ref_code_range(bits, 0, &lowest, &highest);
    ref_round_max(layer, bits, result);
    do {
        change = 0;
        for (int64_t c = 0; c < layer->channels; c++) {
            const double *w = layer->w + c * layer->n;
            int8_t *codes = result->codes + c * layer->n;
            double old = result->scales[c];

            if (!usable(old))
                continue;
            for (int64_t i = 0; i < layer->n; i++)
                note_rounding(&result->margin, w[i] / old, highest);
            ref_round(layer->n, w, old, lowest, highest, codes);
            result->scales[c] = weight_scale(layer->n, w, codes, old);
            change += (result->scales[c] - old) * (result->scales[c] - old);
        }
        change = sqrt(change);
        note_stop(&result->margin, change);
    } while (change > STOP);
}

/* sum over planes of 2^m digit, without plane 'skip' (-1: none). */
static double stitched(int32_t bits, int64_t n, const int8_t *planes, int64_t i, int32_t skip)
{
    double code = 0;

    for (int32_t m = 0; m < bits - 1; m++)
        if (m != skip)
            code += ldexp(planes[m * n + i], m);
    return code;
}

static void split(int32_t bits, int64_t n, const int8_t *codes, int8_t *planes)
{
    for (int64_t i = 0; i < n; i++)
        for (int32_t m = 0; m < bits - 1; m++) {
            int32_t digit = abs(codes[i]) >> m & 1;

            planes[m * n + i] = (int8_t)(codes[i] < 0 ? -digit : digit);
        }
}

static void stitch(int32_t bits, int64_t n, const int8_t *planes, int8_t *codes)
{
    for (int64_t i = 0; i < n; i++)
        codes[i] = (int8_t)stitched(bits, n, planes, i, -1);
}

int8_t ref_weight_digit(int64_t n, const double *w, double scale, int32_t bits, const int8_t *planes, int32_t m,
                        int64_t k, double *margin)
{
    double residual = w[k] - scale * stitched(bits, n, planes, k, m);

    note_margin(margin, 2 * fabs(residual), ldexp(scale, m));
    if (2 * fabs(residual) < ldexp(scale, m))
        return 0;
    return residual < 0 ? -1 : 1;
}

void ref_rest(int64_t n, const double *h, const double *p, double scale, int32_t bits, const int8_t *planes, int32_t m,
              double *rest)
{
    double *others = calloc((size_t)n, sizeof *others);

    for (int64_t i = 0; i < n; i++)
        others[i] = scale * stitched(bits, n, planes, i, m);
    for (int64_t i = 0; i < n; i++) {
        rest[i] = p[i];
        for (int64_t j = 0; j < n; j++)
            rest[i] -= h[i * n + j] * others[j];
    }
    free(others);
}

int8_t ref_response_digit(int64_t n, const double *h, const double *rest, double scale, int32_t m, const int8_t *digits,
                          int64_t k, double *margin)
{
    double own = 0;

    for (int64_t i = 0; i < n; i++)
        if (i != k)
            own += h[k * n + i] * digits[i];

    double r = 2 * (own * ldexp(scale, m) - rest[k]);
    double threshold = ldexp(scale, m) * h[k * n + k];

    note_margin(margin, fabs(r), threshold);
    if (fabs(r) < threshold)
        return 0;
    return r < 0 ? 1 : -1;
}

/* The weights-only stage of the whole layer: 'planes' holds (bits - 1) x n for each channel. */
static void split_weights(const struct ref_layer *layer, int32_t bits, int8_t *planes, struct ref_codes *result)
{
    int64_t n = layer->n;
    int64_t stride = (bits - 1) * n;

    for (int32_t epoch = 0; epoch < WEIGHT_EPOCHS; epoch++) {
        double change = 0;

        for (int64_t c = 0; c < layer->channels; c++) {
            double old = result->scales[c];

            stitch(bits, n, planes + c * stride, result->codes + c * n);
            result->scales[c] = weight_scale(n, layer->w + c * n, result->codes + c * n, old);
            change += (result->scales[c] - old) * (result->scales[c] - old);
        }
        change = ldexp(sqrt(change), bits - 2);
        note_stop(&result->margin, change);
        if (change <= STOP)
            return;
        for (int64_t c = 0; c < layer->channels; c++)
            for (int32_t m = bits - 2; m >= 0 && usable(result->scales[c]); m--)
                for (int64_t k = 0; k < n; k++)
                    planes[c * stride + m * n + k] = ref_weight_digit(n, layer->w + c * n, result->scales[c], bits,
                                                                      planes + c * stride, m, k, &result->margin);
    }
}

/* p'q / q'Hq, or 'old' where that is no scale. */
static double response_scale(int64_t n, const double *h, const double *p, const int8_t *codes, double old)
{
    double top = 0, bottom = 0;

    for (int64_t i = 0; i < n; i++) {
        top += p[i] * codes[i];
        for (int64_t j = 0; j < n; j++)
            bottom += h[i * n + j] * codes[i] * codes[j];
    }
    return usable(top / bottom) ? top / bottom : old;
}

static void reconstruct(int64_t n, const double *h, const double *p, int32_t bits, int8_t *planes, int8_t *codes,
                        double *scale, double *margin)
{
    double *rest = calloc((size_t)n, sizeof *rest);

    for (int32_t epoch = 0; epoch < RESPONSE_EPOCHS; epoch++) {
        stitch(bits, n, planes, codes);
        *scale = response_scale(n, h, p, codes, *scale);
        for (int32_t m = bits - 2; m >= 0 && usable(*scale); m--) {
            ref_rest(n, h, p, *scale, bits, planes, m, rest);
            for (int64_t k = 0; k < n; k++)
                planes[m * n + k] = ref_response_digit(n, h, rest, *scale, m, planes + m * n, k, margin);
        }
    }
    free(rest);
    stitch(bits, n, planes, codes);
    *scale = response_scale(n, h, p, codes, *scale);
}

void ref_paper(const struct ref_layer *layer, int32_t bits, struct ref_codes *result)
{
    int64_t n = layer->n;
    int64_t stride = (bits - 1) * n;
    int8_t *planes = malloc((size_t)(layer->channels * stride));

    ref_round_alternating(layer, bits, result);
    for (int64_t c = 0; c < layer->channels; c++)
        split(bits, n, result->codes + c * n, planes + c * stride);
    split_weights(layer, bits, planes, result);
    for (int64_t c = 0; c < layer->channels; c++) {
        int64_t group = c / (layer->channels / layer->groups);

        reconstruct(n, layer->h + group * n * n, layer->p + c * n, bits, planes + c * stride, result->codes + c * n,
                    result->scales + c, &result->margin);
    }
    free(planes);
}
