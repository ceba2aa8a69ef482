/* GPTQ's arithmetic (Frantar et al., 2022, algorithm 1, with act-order): inputs by falling diagonal, each quantized with a given
 * scale, what is lost spread over those that follow by the rows of the Cholesky factor of the inverse. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Gauss-Jordan, without pivots: for positive definite matrices. */
static void invert(int64_t n, double *a, double *inverse)
{
    memset(inverse, 0, (size_t)(n * n) * sizeof *inverse);
    for (int64_t i = 0; i < n; i++)
        inverse[i * (n + 1)] = 1;
    for (int64_t k = 0; k < n; k++) {
        double pivot = a[k * (n + 1)];

        for (int64_t j = 0; j < n; j++) {
            a[k * n + j] /= pivot;
            inverse[k * n + j] /= pivot;
        }
        for (int64_t i = 0; i < n; i++) {
            double factor = i == k ? 0 : a[i * n + k];

            for (int64_t j = 0; factor != 0 && j < n; j++) {
                a[i * n + j] -= factor * a[k * n + j];
                inverse[i * n + j] -= factor * inverse[k * n + j];
            }
        }
    }
}

/* The upper factor: a = u'u. */
static void factor(int64_t n, const double *a, double *u)
{
    memset(u, 0, (size_t)(n * n) * sizeof *u);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            double sum = a[i * n + j];

            for (int64_t k = 0; k < i; k++)
                sum -= u[k * n + i] * u[k * n + j];
            u[i * n + j] = i == j ? sqrt(sum) : sum / u[i * (n + 1)];
        }
}

struct ref_gptq ref_gptq_create(int64_t n, const double *h, double damping)
{
    struct ref_gptq gptq = {n, malloc((size_t)n * sizeof(int64_t)), malloc((size_t)(n * n) * sizeof(double))};
    double *a = malloc((size_t)(n * n) * sizeof *a), *inverse = malloc((size_t)(n * n) * sizeof *inverse);
    double ridge = damping * ref_mean_diagonal(n, h);

    if (!gptq.order || !gptq.factor || !a || !inverse)
        abort();
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i;

        for (; k > 0 && h[gptq.order[k - 1] * (n + 1)] < h[i * (n + 1)]; k--)
            gptq.order[k] = gptq.order[k - 1];
        gptq.order[k] = i;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            a[i * n + j] = h[gptq.order[i] * n + gptq.order[j]] + (i == j ? ridge : 0);
    invert(n, a, inverse);
    factor(n, inverse, gptq.factor);
    free(a);
    free(inverse);
    return gptq;
}

void ref_gptq_free(struct ref_gptq *gptq)
{
    free(gptq->order);
    free(gptq->factor);
}

void ref_gptq_quantize(const struct ref_gptq *gptq, const double *w, double scale, int32_t lowest, int32_t highest,
                       double *values)
{
    int64_t n = gptq->n;
    double *rest = malloc((size_t)n * sizeof *rest);

    if (!rest)
        abort();
    for (int64_t k = 0; k < n; k++)
        rest[k] = w[gptq->order[k]];
    for (int64_t k = 0; k < n; k++) {
        double code = fmin(fmax(rint(rest[k] / scale), lowest), highest);
        double error = (rest[k] - scale * code) / gptq->factor[k * (n + 1)];

        values[gptq->order[k]] = scale * code;
        for (int64_t j = k + 1; j < n; j++)
            rest[j] -= error * gptq->factor[k * n + j];
    }
    free(rest);
}
