/* GPTQ in single precision. Matrices are column-major: W is M x n, so that an input's weights for all channels lie side by
 * side; the factor is the lower one, L of H^-1 = LL', whose column k is row k of the upper one. */
#include "gptq.h"

#include "bench.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128, REPEATS = 5 };
static const double DAMPING = 0.01; /* of the published code */

struct gptq {
    int64_t channels, n;
    float lowest, highest;
    float *h;       /* n x n, becomes the factor */
    float *weights; /* M x n, becomes the quantized ones */
    float *errors;  /* M x BLOCK */
    float *scales;  /* M */
    float *zeros;   /* M: zero points of the group that is quantized; NULL: none, and one scale a channel */
    int64_t group;  /* inputs in order that share a scale and a zero point */
};

static void factor(struct gptq *gptq)
{
    lapack_int n = (lapack_int)gptq->n;

    if (LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'L', n, gptq->h, n) != 0 ||
        LAPACKE_spotri_work(LAPACK_COL_MAJOR, 'L', n, gptq->h, n) != 0 ||
        LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'L', n, gptq->h, n) != 0)
        stop("gptq", "H is not positive definite");
}

/* Half away from zero, in a form that compilers turn into vector code. */
static float nearest(float value)
{
    return (float)(int32_t)(value + (value < 0 ? -0.5f : 0.5f));
}

/* Quantizes one input for all channels; what is lost, divided by the factor's diagonal, goes to 'error'. */
static void quantize(const struct gptq *gptq, float *restrict w, float diagonal, float *restrict error)
{
    const float *restrict scales = gptq->scales;

    for (int64_t c = 0; c < gptq->channels; c++) {
        float zero = gptq->zeros ? gptq->zeros[c] : 0, code = nearest(w[c] / scales[c]) + zero;

        code = code < gptq->lowest ? gptq->lowest : code > gptq->highest ? gptq->highest : code;
        error[c] = (w[c] - scales[c] * (code - zero)) / diagonal;
        w[c] = scales[c] * (code - zero);
    }
}

/* The published choice of scale and zero point for the group from input 'from' on: its extremes as they are by now, with 0. */
static void find_group(struct gptq *gptq, int64_t from)
{
    int64_t to = from + gptq->group < gptq->n ? from + gptq->group : gptq->n;

    for (int64_t c = 0; c < gptq->channels; c++) {
        float low = 0, high = 0;

        for (int64_t k = from; k < to; k++) {
            low = fminf(low, gptq->weights[k * gptq->channels + c]);
            high = fmaxf(high, gptq->weights[k * gptq->channels + c]);
        }
        gptq->scales[c] = high > low ? (high - low) / gptq->highest : 1;
        gptq->zeros[c] = nearest(-low / gptq->scales[c]);
    }
}

static void run_block(struct gptq *gptq, int64_t from, int64_t to)
{
    blasint channels = (blasint)gptq->channels, n = (blasint)gptq->n;

    for (int64_t k = from; k < to; k++) {
        const float *column = gptq->h + k * n + k;
        float *w = gptq->weights + k * channels, *error = gptq->errors + (k - from) * channels;

        if (gptq->zeros && k % gptq->group == 0)
            find_group(gptq, k);
        quantize(gptq, w, column[0], error);
        if (k + 1 < to)
            cblas_sger(CblasColMajor, channels, (blasint)(to - k - 1), -1, error, 1, column + 1, 1, w + channels,
                       channels);
    }
    if (to < n)
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, channels, n - (blasint)to, (blasint)(to - from), -1,
                    gptq->errors, channels, gptq->h + from * n + to, n, 1, gptq->weights + to * channels, channels);
}

static void run(struct gptq *gptq)
{
    factor(gptq);
    for (int64_t from = 0; from < gptq->n; from += BLOCK)
        run_block(gptq, from, from + BLOCK < gptq->n ? from + BLOCK : gptq->n);
}

/* ---- what is not timed --------------------------------------------------------------------------------------- */

struct order {
    double key;
    int64_t index;
};

static int by_key(const void *a, const void *b)
{
    double x = ((const struct order *)a)->key, y = ((const struct order *)b)->key;

    return (x < y) - (x > y);
}

/* Inputs by falling diagonal. */
static struct order *sort_inputs(const struct layer_data *data)
{
    struct order *order = reserve(data->n, sizeof *order);

    for (int64_t i = 0; i < data->n; i++)
        order[i] = (struct order){data->h[i * data->n + i], i};
    qsort(order, (size_t)data->n, sizeof *order, by_key);
    return order;
}

static void choose_scales(const struct layer_data *data, int32_t bits, float *scales)
{
    bsq_layer_t *layer = create_from_moments(data);
    bsq_options_t options = effort_options(bits, BSQ_WEIGHT_GRID_FULL, 0);

    expect(bsq_layer_set_options(layer, &options), "bsq_layer_set_options", layer);
    expect(bsq_optimize(layer, NULL), "bsq_optimize", layer);
    expect(bsq_layer_get_scales(layer, scales, (size_t)data->channels), "bsq_layer_get_scales", layer);
    bsq_layer_free(layer);
}

static void fill(struct gptq *gptq, const struct layer_data *data, const struct order *order)
{
    int64_t n = data->n;
    double ridge = 0;

    for (int64_t i = 0; i < n; i++)
        ridge += DAMPING / (double)n * data->h[i * n + i];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            gptq->h[i * n + j] = (float)(data->h[order[i].index * n + order[j].index] + (i == j ? ridge : 0));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < data->channels; c++)
            gptq->weights[i * data->channels + c] = data->weights[c * n + order[i].index];
}

static double error_of(const struct gptq *gptq, const struct layer_data *data, const struct order *order)
{
    int64_t n = data->n;
    double *difference = reserve(n, sizeof *difference), *product = reserve(n, sizeof *product), sum = 0;

    for (int64_t c = 0; c < data->channels; c++) {
        for (int64_t i = 0; i < n; i++)
            difference[order[i].index] =
                (double)data->weights[c * n + order[i].index] - (double)gptq->weights[i * data->channels + c];
        cblas_dsymv(CblasRowMajor, CblasUpper, (blasint)n, 1, data->h, (blasint)n, difference, 1, 0, product, 1);
        sum += cblas_ddot((blasint)n, difference, 1, product, 1);
    }
    free(difference);
    free(product);
    return sum / data->energy;
}

/* Runs it a few times: the least time. */
static double run_timed(struct gptq *gptq, const struct layer_data *data, double *error)
{
    struct order *order = sort_inputs(data);
    double times[REPEATS];

    for (int32_t i = 0; i < REPEATS; i++) {
        fill(gptq, data, order);

        double start = processor_seconds();

        run(gptq);
        times[i] = processor_seconds() - start;
    }
    *error = error_of(gptq, data, order);
    free(order);
    return least(times, REPEATS);
}

static struct gptq create(const struct layer_data *data, float lowest, float highest)
{
    return (struct gptq){.channels = data->channels,
                         .n = data->n,
                         .lowest = lowest,
                         .highest = highest,
                         .h = reserve(data->n * data->n, sizeof(float)),
                         .weights = reserve(data->channels * data->n, sizeof(float)),
                         .errors = reserve(data->channels * BLOCK, sizeof(float)),
                         .scales = reserve(data->channels, sizeof(float))};
}

static void release(struct gptq *gptq)
{
    free(gptq->h);
    free(gptq->weights);
    free(gptq->errors);
    free(gptq->scales);
    free(gptq->zeros);
}

double gptq_seconds(const struct layer_data *data, int32_t bits, double *error)
{
    struct gptq gptq = create(data, (float)-(1 << (bits - 1)), (float)((1 << (bits - 1)) - 1));
    double seconds;

    choose_scales(data, bits, gptq.scales);
    seconds = run_timed(&gptq, data, error);
    release(&gptq);
    return seconds;
}

double gptq_groups_seconds(const struct layer_data *data, int32_t bits, int64_t group, double *error)
{
    struct gptq gptq = create(data, 0, (float)((1 << bits) - 1));
    double seconds;

    gptq.zeros = reserve(data->channels, sizeof *gptq.zeros);
    gptq.group = group;
    seconds = run_timed(&gptq, data, error);
    release(&gptq);
    return seconds;
}
