/* Random layers for tests. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>

uint64_t ref_random_next(struct ref_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

double ref_random_uniform(struct ref_random *random)
{
    return (double)(ref_random_next(random) >> 11) * 0x1p-53;
}

double ref_random_normal(struct ref_random *random)
{
    double u = 1 - ref_random_uniform(random);
    double v = ref_random_uniform(random);

    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

int64_t ref_random_between(struct ref_random *random, int64_t low, int64_t high)
{
    return low + (int64_t)(ref_random_next(random) % (uint64_t)(high - low + 1));
}

static double *reserve(int64_t count)
{
    return calloc((size_t)count, sizeof(double));
}

/* Every row is a mixture of few features, cut at zero where it is negative, with some noise on each input. */
static void draw_inputs(int64_t rows, int64_t n, double *x, struct ref_random *random)
{
    int64_t features = n / 2 + 1;
    double *mixture = reserve(features * n);
    double *feature = reserve(features);

    for (int64_t i = 0; i < features * n; i++)
        mixture[i] = ref_random_normal(random) / sqrt((double)features);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t f = 0; f < features; f++)
            feature[f] = ref_random_normal(random);
        for (int64_t i = 0; i < n; i++) {
            double value = 0.3 + 0.3 * ref_random_normal(random);

            for (int64_t f = 0; f < features; f++)
                value += feature[f] * mixture[f * n + i];
            x[r * n + i] = fmax(value, 0);
        }
    }
    free(mixture);
    free(feature);
}

static void sum_inputs(const struct sample *sample, int64_t group)
{
    int64_t n = sample->shape.n, rows = sample->shape.rows;
    const double *x = sample->x + group * rows * n;
    double share = 1 / (double)rows;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            sample->mean[group * n + i] += share * x[r * n + i];
            for (int64_t j = 0; j < n; j++)
                sample->h[(group * n + i) * n + j] += share * x[r * n + i] * x[r * n + j];
        }
}

static void sum_targets(const struct sample *sample, int64_t c, struct ref_random *random)
{
    int64_t n = sample->shape.n, rows = sample->shape.rows;
    const double *x = sample->x + c / sample->shape.group_outputs * rows * n;
    double *y = sample->y + c * rows;
    double share = 1 / (double)rows;

    for (int64_t r = 0; r < rows; r++) {
        y[r] = 0.1 * ref_random_normal(random);
        for (int64_t i = 0; i < n; i++)
            y[r] += (1 + 0.1 * ref_random_normal(random)) * sample->w[c * n + i] * x[r * n + i];
        sample->square[c] += share * y[r] * y[r];
        sample->target_mean[c] += share * y[r];
        for (int64_t i = 0; i < n; i++)
            sample->cross[c * n + i] += share * y[r] * x[r * n + i];
    }
}

struct sample *sample_create(struct sample_shape shape, struct ref_random *random)
{
    struct sample *sample = calloc(1, sizeof *sample);
    int64_t n = shape.n, channels = shape.groups * shape.group_outputs;

    sample->shape = shape;
    sample->channels = channels;
    sample->weights = calloc((size_t)(channels * n), sizeof(float));
    sample->w = reserve(channels * n);
    sample->x = reserve(shape.groups * shape.rows * n);
    sample->y = reserve(channels * shape.rows);
    sample->h = reserve(shape.groups * n * n);
    sample->mean = reserve(shape.groups * n);
    sample->cross = reserve(channels * n);
    sample->square = reserve(channels);
    sample->target_mean = reserve(channels);
    for (int64_t i = 0; i < channels * n; i++) {
        sample->weights[i] = (float)(0.2 * ref_random_normal(random));
        sample->w[i] = sample->weights[i];
    }
    for (int64_t g = 0; g < shape.groups; g++) {
        draw_inputs(shape.rows, n, sample->x + g * shape.rows * n, random);
        sum_inputs(sample, g);
    }
    for (int64_t c = 0; c < channels; c++)
        sum_targets(sample, c, random);
    return sample;
}

void sample_free(struct sample *sample)
{
    free(sample->weights);
    free(sample->w);
    free(sample->x);
    free(sample->y);
    free(sample->h);
    free(sample->mean);
    free(sample->cross);
    free(sample->square);
    free(sample->target_mean);
    free(sample);
}

static const double *group_h(const struct sample *sample, int64_t c)
{
    return sample->h + c / sample->shape.group_outputs * sample->shape.n * sample->shape.n;
}

void sample_target(const struct sample *sample, double mu, double *p, double *energy)
{
    int64_t n = sample->shape.n;

    for (int64_t c = 0; c < sample->channels; c++) {
        const double *h = group_h(sample, c), *w = sample->w + c * n, *cross = sample->cross + c * n;

        ref_target(n, h, w, mu, cross, p + c * n);
        energy[c] = ref_energy(n, h, w, mu, cross, sample->square[c]);
    }
}

struct ref_channel sample_channel(const struct sample *sample, int64_t c, double lambda, const double *p,
                                  const double *energy)
{
    int64_t n = sample->shape.n;
    const double *h = group_h(sample, c);

    return (struct ref_channel){.n = n,
                                .h = h,
                                .p = p + c * n,
                                .w = sample->w + c * n,
                                .energy = energy[c],
                                .ridge = lambda * ref_mean_diagonal(n, h)};
}

bsq_layer_t *sample_layer(const struct sample *sample, const bsq_options_t *options, int32_t with_target, double rows)
{
    bsq_layer_desc_t desc;
    bsq_moments_t moments;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = 1;
    desc.kernel[0] = sample->shape.n;
    desc.groups = sample->shape.groups;
    desc.in_channels = sample->shape.groups;
    desc.out_channels = sample->channels;
    if (bsq_layer_create(&desc, options, sample->weights, NULL, &layer, NULL) != BSQ_OK)
        return NULL;
    bsq_moments_init(&moments, sizeof moments);
    moments.h = sample->h;
    moments.input_mean = sample->mean;
    moments.rows = rows;
    if (with_target) {
        moments.p = sample->cross;
        moments.target_mean = sample->target_mean;
        moments.target_square = sample->square;
    }
    if (bsq_layer_set_moments(layer, &moments) != BSQ_OK) {
        bsq_layer_free(layer);
        return NULL;
    }
    return layer;
}
