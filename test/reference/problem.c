/* Random layers for tests. */
#include "problem.h"

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

static void sum_inputs(const struct problem *problem, int64_t group)
{
    int64_t n = problem->shape.n, rows = problem->shape.rows;
    const double *x = problem->x + group * rows * n;
    double share = 1 / (double)rows;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            problem->mean[group * n + i] += share * x[r * n + i];
            for (int64_t j = 0; j < n; j++)
                problem->h[(group * n + i) * n + j] += share * x[r * n + i] * x[r * n + j];
        }
}

static void sum_targets(const struct problem *problem, int64_t c, struct ref_random *random)
{
    int64_t n = problem->shape.n, rows = problem->shape.rows;
    const double *x = problem->x + c / problem->shape.group_outputs * rows * n;
    double *y = problem->y + c * rows;
    double share = 1 / (double)rows;

    for (int64_t r = 0; r < rows; r++) {
        y[r] = 0.1 * ref_random_normal(random);
        for (int64_t i = 0; i < n; i++)
            y[r] += (1 + 0.1 * ref_random_normal(random)) * problem->w[c * n + i] * x[r * n + i];
        problem->square[c] += share * y[r] * y[r];
        problem->target_mean[c] += share * y[r];
        for (int64_t i = 0; i < n; i++)
            problem->cross[c * n + i] += share * y[r] * x[r * n + i];
    }
}

struct problem *problem_create(struct problem_shape shape, struct ref_random *random)
{
    struct problem *problem = calloc(1, sizeof *problem);
    int64_t n = shape.n, channels = shape.groups * shape.group_outputs;

    problem->shape = shape;
    problem->channels = channels;
    problem->weights = calloc((size_t)(channels * n), sizeof(float));
    problem->w = reserve(channels * n);
    problem->x = reserve(shape.groups * shape.rows * n);
    problem->y = reserve(channels * shape.rows);
    problem->h = reserve(shape.groups * n * n);
    problem->mean = reserve(shape.groups * n);
    problem->cross = reserve(channels * n);
    problem->square = reserve(channels);
    problem->target_mean = reserve(channels);
    for (int64_t i = 0; i < channels * n; i++) {
        problem->weights[i] = (float)(0.2 * ref_random_normal(random));
        problem->w[i] = problem->weights[i];
    }
    for (int64_t g = 0; g < shape.groups; g++) {
        draw_inputs(shape.rows, n, problem->x + g * shape.rows * n, random);
        sum_inputs(problem, g);
    }
    for (int64_t c = 0; c < channels; c++)
        sum_targets(problem, c, random);
    return problem;
}

void problem_free(struct problem *problem)
{
    free(problem->weights);
    free(problem->w);
    free(problem->x);
    free(problem->y);
    free(problem->h);
    free(problem->mean);
    free(problem->cross);
    free(problem->square);
    free(problem->target_mean);
    free(problem);
}

static const double *group_h(const struct problem *problem, int64_t c)
{
    return problem->h + c / problem->shape.group_outputs * problem->shape.n * problem->shape.n;
}

void problem_target(const struct problem *problem, double mu, double *p, double *energy)
{
    int64_t n = problem->shape.n;

    for (int64_t c = 0; c < problem->channels; c++) {
        const double *h = group_h(problem, c), *w = problem->w + c * n, *cross = problem->cross + c * n;

        ref_target(n, h, w, mu, cross, p + c * n);
        energy[c] = ref_energy(n, h, w, mu, cross, problem->square[c]);
    }
}

struct ref_channel problem_channel(const struct problem *problem, int64_t c, double lambda, const double *p,
                                   const double *energy)
{
    int64_t n = problem->shape.n;
    const double *h = group_h(problem, c);

    return (struct ref_channel){.n = n,
                                .h = h,
                                .p = p + c * n,
                                .w = problem->w + c * n,
                                .energy = energy[c],
                                .ridge = lambda * ref_mean_diagonal(n, h)};
}

bsq_layer_t *problem_layer(const struct problem *problem, const bsq_options_t *options, int32_t with_target,
                           double rows)
{
    bsq_layer_desc_t desc;
    bsq_moments_t moments;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_CONV;
    desc.spatial_dims = 1;
    desc.kernel[0] = problem->shape.n;
    desc.groups = problem->shape.groups;
    desc.in_channels = problem->shape.groups;
    desc.out_channels = problem->channels;
    if (bsq_layer_create(&desc, options, problem->weights, NULL, NULL, &layer) != BSQ_OK)
        return NULL;
    bsq_moments_init(&moments, sizeof moments);
    moments.h = problem->h;
    moments.input_mean = problem->mean;
    moments.rows = rows;
    if (with_target) {
        moments.p = problem->cross;
        moments.target_mean = problem->target_mean;
        moments.target_square = problem->square;
    }
    if (bsq_layer_set_stats(layer, &moments) != BSQ_OK) {
        bsq_layer_free(layer);
        return NULL;
    }
    return layer;
}
