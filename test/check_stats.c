/* Statistics against direct computation in double: every kind of layer, any cut into batches, any number of threads,
 * merging, weights, magnitudes, and that nothing is lost when a call fails. */
#include "base/options.h"
#include "stats/stats.h"
#include "support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the library promises for H and P. */
#define TOLERANCE 1e-6

/* ---- problems --------------------------------------------------------------------------------------------- */

struct kind {
    const char *name;
    int32_t dims; /* 0: linear */
    int64_t in_channels, out_channels, groups;
    int64_t kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3], spatial[3];
    int64_t size;
};

static const struct kind kinds[] = {
    {"linear", 0, 13, 5, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {0}, 700},
    {"wide linear", 0, 300, 140, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {0}, 530},
    {"1x1", 2, 9, 4, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {5, 7, 0}, 17},
    {"3x3", 2, 5, 3, 1, {3, 3, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {9, 11, 0}, 7},
    {"3x3 on one pixel", 2, 3, 2, 1, {3, 3, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, 40},
    {"1-D stride", 1, 4, 6, 1, {5, 1, 1}, {2, 1, 1}, {1, 1, 1}, {2, 0, 0}, {2, 0, 0}, {31, 0, 0}, 40},
    {"3-D", 3, 3, 4, 1, {2, 3, 2}, {1, 2, 1}, {1, 1, 2}, {1, 1, 2}, {0, 1, 1}, {4, 5, 6}, 9},
    {"asymmetric padding", 2, 3, 4, 1, {3, 4, 1}, {2, 1, 1}, {1, 1, 1}, {0, 3, 0}, {2, 1, 0}, {6, 9, 0}, 21},
    {"dilation", 2, 4, 2, 1, {3, 3, 1}, {1, 1, 1}, {2, 3, 1}, {2, 3, 0}, {2, 3, 0}, {7, 8, 0}, 11},
    {"padding wider than the picture",
     1,
     2,
     3,
     1,
     {3, 1, 1},
     {1, 1, 1},
     {4, 1, 1},
     {9, 0, 0},
     {9, 0, 0},
     {3, 0, 0},
     60},
    {"groups", 2, 6, 9, 3, {3, 2, 1}, {1, 1, 1}, {1, 2, 1}, {1, 0, 0}, {0, 1, 0}, {6, 6, 0}, 20},
    {"depthwise", 2, 7, 7, 7, {3, 3, 1}, {2, 2, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 0}, {12, 12, 0}, 17},
    {"channel multiplier", 2, 3, 6, 3, {5, 5, 1}, {1, 1, 1}, {1, 1, 1}, {2, 2, 0}, {2, 2, 0}, {7, 6, 0}, 15},
    {"grouped 1x1", 2, 8, 4, 2, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {6, 9, 0}, 12},
    {"taps far apart",
     2,
     2,
     2,
     1,
     {2, 2, 1},
     {1, 1, 1},
     {INT64_C(1) << 60, INT64_C(1) << 60, 1},
     {INT64_C(1) << 60, INT64_C(1) << 60, 0},
     {0, 0, 0},
     {3, 4, 0},
     7},
    {"wide 3x3", 2, 29, 3, 1, {3, 3, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {10, 6, 0}, 10},
    {"wide 1x1", 2, 257, 2, 1, {1, 1, 1}, {2, 2, 1}, {1, 1, 1}, {0}, {0}, {15, 39, 0}, 4},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* A layer, data for it, and rows gathered the slow way. */
struct problem {
    const struct kind *kind;
    struct bsq_geometry geometry;
    bsq_batch_t batch;
    float *input, *target, *bias, *row_weights;
    int64_t positions, rows, input_sample, target_sample;
    int64_t output[3];
};

static int64_t volume(const struct kind *kind, const int64_t extents[3])
{
    int64_t product = 1;

    for (int32_t d = 0; d < kind->dims; d++)
        product *= extents[d];
    return product;
}

static struct problem make_problem(const struct kind *kind, int32_t weight_layout, int32_t activation_layout,
                                   uint64_t seed)
{
    struct problem problem = {.kind = kind};
    struct bsq_message message = {{0}};
    struct test_random random = test_random_seed(seed);
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = kind->dims ? BSQ_KIND_CONV : BSQ_KIND_LINEAR;
    desc.spatial_dims = kind->dims;
    desc.in_channels = kind->in_channels;
    desc.out_channels = kind->out_channels;
    desc.groups = kind->groups;
    memcpy(desc.kernel, kind->kernel, sizeof desc.kernel);
    memcpy(desc.stride, kind->stride, sizeof desc.stride);
    memcpy(desc.dilation, kind->dilation, sizeof desc.dilation);
    memcpy(desc.pad_begin, kind->pad_begin, sizeof desc.pad_begin);
    memcpy(desc.pad_end, kind->pad_end, sizeof desc.pad_end);
    desc.weight_layout = weight_layout;
    desc.activation_layout = activation_layout;
    ck_assert_msg(bsq_geometry_init(&problem.geometry, &desc, &message) == BSQ_OK, "%s: %s", kind->name, message.text);
    problem.positions = 1;
    for (int32_t d = 0; d < 3; d++) {
        int64_t reach = (kind->kernel[d] - 1) * kind->dilation[d];

        problem.output[d] = 1;
        if (d < kind->dims)
            problem.output[d] =
                (kind->spatial[d] + kind->pad_begin[d] + kind->pad_end[d] - reach - 1) / kind->stride[d] + 1;
        problem.positions *= problem.output[d];
    }
    problem.rows = problem.positions * kind->size;
    problem.input_sample = kind->in_channels * volume(kind, kind->spatial);
    problem.target_sample = kind->out_channels * problem.positions;
    problem.input = malloc((size_t)(problem.input_sample * kind->size) * sizeof(float));
    problem.target = malloc((size_t)(problem.target_sample * kind->size) * sizeof(float));
    problem.bias = malloc((size_t)kind->out_channels * sizeof(float));
    for (int64_t i = 0; i < problem.input_sample * kind->size; i++)
        problem.input[i] = (float)(test_random_normal(&random) + 0.7);
    for (int64_t i = 0; i < problem.target_sample * kind->size; i++)
        problem.target[i] = (float)(test_random_normal(&random) * 3 - 1);
    for (int64_t i = 0; i < kind->out_channels; i++)
        problem.bias[i] = (float)test_random_normal(&random);
    bsq_batch_init(&problem.batch, sizeof problem.batch);
    problem.batch.input = problem.input;
    problem.batch.target = problem.target;
    problem.batch.size = kind->size;
    memcpy(problem.batch.spatial, kind->spatial, sizeof kind->spatial);
    return problem;
}

static struct problem make_linear(int64_t n, int64_t outputs, int64_t rows, uint64_t seed)
{
    static struct kind kind;

    kind = (struct kind){"linear", 0, n, outputs, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {0}, rows};
    return make_problem(&kind, BSQ_WEIGHT_LAYOUT_OIHW, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, seed);
}

static void free_problem(struct problem *problem)
{
    free(problem->input);
    free(problem->target);
    free(problem->bias);
    free(problem->row_weights);
}

/* Samples first..first+count-1; row weights per row are cut too. */
static bsq_batch_t part_of(const struct problem *problem, int64_t first, int64_t count)
{
    bsq_batch_t batch = problem->batch;
    int64_t weights = batch.row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? problem->positions : 1;

    batch.input += first * problem->input_sample;
    if (batch.target)
        batch.target += first * problem->target_sample;
    if (batch.row_weights)
        batch.row_weights += first * weights;
    batch.size = count;
    return batch;
}

/* ---- the slow way ----------------------------------------------------------------------------------------- */

/* Value of one input channel at a coordinate, 0 in the padding. */
static double input_at(const struct problem *problem, int64_t sample, int64_t channel, const int64_t at[3])
{
    const struct kind *kind = problem->kind;
    int64_t flat = 0, plane = volume(kind, kind->spatial);

    for (int32_t d = 0; d < kind->dims; d++) {
        if (at[d] < 0 || at[d] >= kind->spatial[d])
            return 0;
        flat = flat * kind->spatial[d] + at[d];
    }
    if (problem->geometry.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST)
        return (double)problem->input[(sample * plane + flat) * kind->in_channels + channel];
    return (double)problem->input[(sample * kind->in_channels + channel) * plane + flat];
}

/* Index of a weight of a channel within its n. */
static int64_t weight_index(const struct problem *problem, int64_t channel, const int64_t tap[3])
{
    const struct kind *kind = problem->kind;
    int64_t flat = 0, taps = volume(kind, kind->kernel), channels = kind->in_channels / kind->groups;

    for (int32_t d = 0; d < kind->dims; d++)
        flat = flat * kind->kernel[d] + tap[d];
    return problem->geometry.weight_layout == BSQ_WEIGHT_LAYOUT_OHWI ? flat * channels + channel
                                                                     : channel * taps + flat;
}

static void next_tap(const struct kind *kind, int64_t tap[3])
{
    for (int32_t d = kind->dims - 1; d >= 0; d--) {
        if (++tap[d] < kind->kernel[d])
            return;
        tap[d] = 0;
    }
}

static void input_coordinate(const struct problem *problem, int64_t position, const int64_t tap[3], int64_t at[3])
{
    const struct kind *kind = problem->kind;

    for (int32_t d = kind->dims - 1; d >= 0; d--) {
        at[d] = position % problem->output[d] * kind->stride[d] + tap[d] * kind->dilation[d] - kind->pad_begin[d];
        position /= problem->output[d];
    }
}

/* All rows of one group, rows x n. */
static double *gather_slowly(const struct problem *problem, int64_t group)
{
    const struct kind *kind = problem->kind;
    int64_t n = problem->geometry.fan_in, channels = kind->in_channels / kind->groups;
    double *x = malloc((size_t)(problem->rows * n) * sizeof(double));

    for (int64_t row = 0; row < problem->rows; row++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t tap[3] = {0, 0, 0}, at[3] = {0, 0, 0};

            for (int64_t t = 0; t < volume(kind, kind->kernel); t++, next_tap(kind, tap)) {
                input_coordinate(problem, row % problem->positions, tap, at);
                x[row * n + weight_index(problem, c, tap)] =
                    input_at(problem, row / problem->positions, group * channels + c, at);
            }
        }
    return x;
}

static double target_at(const struct problem *problem, int64_t row, int64_t channel)
{
    int64_t channels = problem->kind->out_channels, sample = row / problem->positions;
    int64_t position = row % problem->positions;
    bool last = problem->geometry.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    int64_t index = last ? row * channels + channel : (sample * channels + channel) * problem->positions + position;

    return (double)problem->target[index] - (problem->bias ? (double)problem->bias[channel] : 0);
}

static double weight_at(const struct problem *problem, int64_t row)
{
    const bsq_batch_t *batch = &problem->batch;

    if (!batch->row_weights)
        return 1;
    return (double)
        batch->row_weights[batch->row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? row : row / problem->positions];
}

/* ---- reading and comparing -------------------------------------------------------------------------------- */

struct moments {
    double *h, *mean, *p, *target_mean, *target_square;
};

static struct moments read_moments(const struct bsq_stats_t *stats, const struct bsq_geometry *geometry)
{
    int64_t n = geometry->fan_in, groups = geometry->groups, outputs = geometry->out_channels;
    struct moments m = {calloc((size_t)(groups * n * n), sizeof(double)), calloc((size_t)(groups * n), sizeof(double)),
                        calloc((size_t)(outputs * n), sizeof(double)), calloc((size_t)outputs, sizeof(double)),
                        calloc((size_t)outputs, sizeof(double))};
    void *scratch = aligned_alloc(64, (bsq_stats_scratch(geometry) + 127) / 64 * 64);
    int64_t own = geometry->group_outputs;

    for (int64_t g = 0; g < groups; g++) {
        struct bsq_group_moments group = {m.h + g * n * n, m.mean + g * n, m.p + g * own * n, m.target_mean + g * own,
                                          m.target_square + g * own};

        bsq_stats_read(stats, g, &group, scratch);
    }
    free(scratch);
    return m;
}

static void free_moments(struct moments *m)
{
    free(m->h);
    free(m->mean);
    free(m->p);
    free(m->target_mean);
    free(m->target_square);
}

/* The whole of the statistics in bytes, to compare bits. */
static uint64_t fingerprint(const struct bsq_stats_t *stats)
{
    size_t size;

    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);

    unsigned char *bytes = malloc(size);
    uint64_t hash;

    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    hash = test_hash(TEST_HASH_START, bytes, size);
    free(bytes);
    return hash;
}

/* Weighted sum over rows of a column times a column. */
static double dot(const struct problem *problem, const double *a, const double *b, int64_t step_a, int64_t step_b)
{
    double sum = 0;

    for (int64_t row = 0; row < problem->rows; row++)
        sum += weight_at(problem, row) * a[row * step_a] * b[row * step_b];
    return sum;
}

static double worst_error;

static void expect_near(const char *what, double got, double wanted, double scale, double tolerance)
{
    double error = fabs(got - wanted);

    ck_assert_msg(isfinite(got) && error <= tolerance * scale, "%s: %.17g instead of %.17g, off by %g of %g", what, got,
                  wanted, error, scale);
    if (scale > 0 && tolerance == TOLERANCE)
        worst_error = fmax(worst_error, error / scale);
}

static void compare_h(const struct problem *problem, const double *x, double total, const double *h, const double *mean)
{
    int64_t n = problem->geometry.fan_in;

    for (int64_t i = 0; i < n; i++) {
        double sum = 0, size = 0, diagonal = dot(problem, x + i, x + i, n, n) / total;

        for (int64_t row = 0; row < problem->rows; row++) {
            sum += weight_at(problem, row) * x[row * n + i];
            size += weight_at(problem, row) * fabs(x[row * n + i]);
        }
        expect_near("mean", mean[i], sum / total, size / total, 1e-13);
        for (int64_t j = 0; j < n; j++) {
            double other = i == j ? diagonal : dot(problem, x + j, x + j, n, n) / total;

            expect_near("H", h[i * n + j], dot(problem, x + i, x + j, n, n) / total, sqrt(diagonal) * sqrt(other),
                        TOLERANCE);
            ck_assert(h[i * n + j] == h[j * n + i]);
        }
    }
}

static void compare_p(const struct problem *problem, const double *x, int64_t group, double total,
                      const struct moments *m)
{
    int64_t n = problem->geometry.fan_in, own = problem->geometry.group_outputs;
    double *y = malloc((size_t)problem->rows * sizeof(double));

    for (int64_t c = group * own; c < (group + 1) * own; c++) {
        double square, sum = 0, size = 0;

        for (int64_t row = 0; row < problem->rows; row++) {
            y[row] = target_at(problem, row, c);
            sum += weight_at(problem, row) * y[row];
            size += weight_at(problem, row) * fabs(y[row]);
        }
        square = dot(problem, y, y, 1, 1) / total;
        expect_near("target mean", m->target_mean[c], sum / total, size / total, 1e-7);
        expect_near("target square", m->target_square[c], square, square, 2e-7);
        for (int64_t j = 0; j < n; j++)
            expect_near("P", m->p[c * n + j], dot(problem, y, x + j, 1, n) / total,
                        sqrt(square * dot(problem, x + j, x + j, n, n) / total), TOLERANCE);
    }
    free(y);
}

static void compare(const struct problem *problem, const struct bsq_stats_t *stats)
{
    int64_t n = problem->geometry.fan_in;
    double total = 0, squares = 0;
    struct moments m = read_moments(stats, &problem->geometry);

    for (int64_t row = 0; row < problem->rows; row++) {
        total += weight_at(problem, row);
        squares += weight_at(problem, row) * weight_at(problem, row);
    }
    expect_near("rows", bsq_stats_rows(stats), total * total / squares, problem->rows, 1e-12);
    for (int64_t g = 0; g < problem->geometry.groups; g++) {
        double *x = gather_slowly(problem, g);

        compare_h(problem, x, total, m.h + g * n * n, m.mean + g * n);
        if (problem->batch.target)
            compare_p(problem, x, g, total, &m);
        free(x);
    }
    free_moments(&m);
}

/* ---- calling ---------------------------------------------------------------------------------------------- */

static const struct bsq_quantizer no_quantizer;

struct bench {
    struct test_heap heap;
    bsq_options_t options;
    struct bsq_memory memory;
    struct bsq_parallel parallel;
    struct bsq_message message;
    struct bsq_stats_work work;
};

static void start_bench(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    test_heap_init(&bench->heap);
    bsq_options_init(&bench->options, sizeof bench->options);
    test_heap_use(&bench->heap, &bench->options);
    bench->memory = bsq_memory_hooks(&bench->options);
    bench->parallel = bsq_parallel_of(&bench->options);
    bench->work = (struct bsq_stats_work){&bench->memory, &bench->parallel, &bench->options, &bench->message};
}

static void end_bench(struct bench *bench)
{
    ck_assert_int_eq(bench->heap.blocks, 0);
    ck_assert_int_eq(bench->heap.foreign, 0);
}

static void add(struct bench *bench, struct bsq_stats_t **stats, const bsq_batch_t *batch, const float *bias)
{
    bsq_status_t status = bsq_stats_add(stats, batch, bias, &bench->work);

    ck_assert_msg(status == BSQ_OK, "status %d, %s", (int)status, bench->message.text);
}

/* Adds statistics to those that are there, if any are, as a layer does. */
static bsq_status_t merge(struct bsq_stats_t **into, const struct bsq_stats_t *from, const struct bsq_stats_work *work)
{
    const struct bsq_stats_t *list[2] = {*into, from};
    struct bsq_stats_t *sum;
    bsq_status_t status = bsq_stats_sum(*into ? list : list + 1, *into ? 2 : 1, work, &sum);

    ck_assert_int_eq(status == BSQ_OK, sum != NULL);
    if (status != BSQ_OK)
        return status;
    bsq_stats_release(*into);
    *into = sum;
    return BSQ_OK;
}

static struct bsq_stats_t *create(struct bench *bench, const struct problem *problem)
{
    struct bsq_stats_t *stats = bsq_stats_create(&problem->geometry, &no_quantizer, &bench->memory);

    ck_assert_ptr_nonnull(stats);
    return stats;
}

/* All of the problem in one batch. */
static struct bsq_stats_t *gather_all(struct bench *bench, const struct problem *problem)
{
    struct bsq_stats_t *stats = create(bench, problem);

    add(bench, &stats, &problem->batch, problem->bias);
    return stats;
}

static void expect_failure(struct bench *bench, bsq_status_t got, bsq_status_t wanted, const char *word)
{
    ck_assert_msg(got == wanted, "status %d instead of %d: %s", (int)got, (int)wanted, bench->message.text);
    ck_assert_msg(strstr(bench->message.text, word) != NULL, "no '%s' in '%s'", word, bench->message.text);
}

/* ---- every kind of layer ---------------------------------------------------------------------------------- */

START_TEST(moments_of_every_kind)
{
    int layouts = _i % 4;
    struct problem problem = make_problem(&kinds[_i / 4], BSQ_WEIGHT_LAYOUT_OIHW + layouts % 2,
                                          BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST + layouts / 2, (uint64_t)_i + 1);
    struct bench bench;
    struct bsq_stats_t *stats;

    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    ck_assert(bsq_stats_has_target(stats) && bsq_stats_has_means(stats) && !bsq_stats_empty(stats));
    compare(&problem, stats);
    bsq_stats_release(stats);

    problem.batch.target = NULL;
    stats = gather_all(&bench, &problem);
    ck_assert(!bsq_stats_has_target(stats));
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* Output of the layer for weights (M, n), by the definition of a convolution, into the targets. */
static void convolve(struct problem *problem, const float *weights)
{
    const struct kind *kind = problem->kind;
    int64_t n = problem->geometry.fan_in, channels = kind->in_channels / kind->groups;
    int64_t own = kind->out_channels / kind->groups;
    bool last = problem->geometry.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;

    for (int64_t row = 0; row < problem->rows; row++)
        for (int64_t o = 0; o < kind->out_channels; o++) {
            int64_t sample = row / problem->positions, position = row % problem->positions;
            double sum = (double)problem->bias[o];

            for (int64_t c = 0; c < channels; c++) {
                int64_t tap[3] = {0, 0, 0}, at[3] = {0, 0, 0};

                for (int64_t t = 0; t < volume(kind, kind->kernel); t++, next_tap(kind, tap)) {
                    input_coordinate(problem, position, tap, at);
                    sum += (double)weights[o * n + weight_index(problem, c, tap)] *
                           input_at(problem, sample, o / own * channels + c, at);
                }
            }
            problem->target[last ? row * kind->out_channels + o
                                 : (sample * kind->out_channels + o) * problem->positions + position] = (float)sum;
        }
}

/* With targets that are the layer's own output, P = W H and the mean square is w'Hw. */
START_TEST(convolution_is_weights_times_rows)
{
    int layouts = _i % 4;
    struct problem problem = make_problem(&kinds[_i / 4], BSQ_WEIGHT_LAYOUT_OIHW + layouts % 2,
                                          BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST + layouts / 2, (uint64_t)_i + 100);
    int64_t n = problem.geometry.fan_in, outputs = problem.geometry.out_channels;
    struct test_random random = test_random_seed(5);
    float *weights = malloc((size_t)(outputs * n) * sizeof(float));
    struct bench bench;
    struct bsq_stats_t *stats;
    struct moments m;

    for (int64_t i = 0; i < outputs * n; i++)
        weights[i] = (float)test_random_normal(&random);
    convolve(&problem, weights);
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    m = read_moments(stats, &problem.geometry);
    for (int64_t o = 0; o < outputs; o++) {
        const double *h = m.h + o / problem.geometry.group_outputs * n * n;
        double energy = 0, scale = 0;

        for (int64_t i = 0; i < n; i++) {
            double p = 0, bound = 0;

            for (int64_t j = 0; j < n; j++) {
                p += h[i * n + j] * (double)weights[o * n + j];
                bound += sqrt(h[i * n + i] * h[j * n + j]) * fabs((double)weights[o * n + j]);
            }
            expect_near("W H", m.p[o * n + i], p, bound, 2e-6);
            energy += p * (double)weights[o * n + i];
            scale += bound * fabs((double)weights[o * n + i]);
        }
        expect_near("w'Hw", m.target_square[o], energy, scale, 2e-6);
    }
    free_moments(&m);
    bsq_stats_release(stats);
    end_bench(&bench);
    free(weights);
    free_problem(&problem);
}
END_TEST

START_TEST(quantized_inputs)
{
    const struct bsq_quantizer quantizer = {0.125, 3, 4, BSQ_INPUT_TYPE_ZERO_POINT, 0};
    struct problem problem = make_problem(&kinds[3], BSQ_WEIGHT_LAYOUT_OIHW, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 9);
    struct bench bench;
    struct bsq_stats_t *stats;

    start_bench(&bench);
    stats = bsq_stats_create(&problem.geometry, &quantizer, &bench.memory);
    add(&bench, &stats, &problem.batch, problem.bias);
    for (int64_t i = 0; i < problem.input_sample * problem.kind->size; i++) {
        double code = nearbyint((double)problem.input[i] / 0.125) + 3;

        problem.input[i] = (float)(0.125 * (fmin(fmax(code, 0), 15) - 3));
    }
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* ---- the same bits ---------------------------------------------------------------------------------------- */

enum { PLAIN, WEIGHTED, WIDE, LONG_PROBLEMS };

/* Some of the rows of the weighted one have weight 0. */
static struct problem make_long_problem(int which)
{
    static const struct kind long_kind = {"long",    2,         8,         6,         2,          {3, 3, 1},
                                          {1, 1, 1}, {1, 1, 1}, {1, 0, 0}, {1, 2, 0}, {9, 10, 0}, 40};
    static const struct kind wide_kind = {"long and wide", 2,         64,        4,         2,          {3, 3, 1},
                                          {1, 1, 1},       {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {6, 10, 0}, 40};
    struct problem problem = make_problem(which == WIDE ? &wide_kind : &long_kind, BSQ_WEIGHT_LAYOUT_OIHW,
                                          BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 21);
    struct test_random random = test_random_seed(22);

    if (which != WEIGHTED)
        return problem;
    problem.row_weights = malloc((size_t)problem.rows * sizeof(float));
    for (int64_t row = 0; row < problem.rows; row++)
        problem.row_weights[row] = row % 3 == 1 ? 0 : (float)test_random_uniform(&random);
    problem.batch.row_weights = problem.row_weights;
    problem.batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    return problem;
}

START_TEST(any_cut_into_batches)
{
    struct problem problem = make_long_problem(_i);
    struct test_random random = test_random_seed(3);
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t whole;

    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    whole = fingerprint(stats);
    bsq_stats_release(stats);
    for (int cut = 0; cut < 12; cut++) {
        stats = create(&bench, &problem);
        for (int64_t first = 0; first < problem.kind->size;) {
            int64_t left = problem.kind->size - first;
            int64_t count = cut == 0 ? 1 : test_random_below(&random, left + 1);
            bsq_batch_t batch = part_of(&problem, first, count);

            add(&bench, &stats, &batch, problem.bias);
            first += count;
        }
        ck_assert_msg(fingerprint(stats) == whole, "cut %d", cut);
        bsq_stats_release(stats);
    }
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

struct pool_call {
    bsq_block_fn fn;
    void *context;
    int64_t index;
};

static void *pool_thread(void *opaque)
{
    struct pool_call *call = opaque;

    call->fn(call->context, call->index);
    return NULL;
}

/* A host's pool: every block on a thread of its own, the last one first. */
static void pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    pthread_t threads[16];
    struct pool_call calls[16];

    (void)opaque;
    ck_assert_int_le(count, 16);
    for (int64_t i = count - 1; i >= 0; i--) {
        calls[i] = (struct pool_call){fn, context, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pool_thread, &calls[i]), 0);
    }
    for (int64_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

START_TEST(any_number_of_threads)
{
    static const int32_t counts[] = {1, 2, 4, 3, 1};
    struct problem problem = _i == 2 ? make_linear(300, 200, 1300, 4) : make_long_problem(_i);
    uint64_t first = 0;

    for (int run = 0; run < 5; run++) {
        struct bench bench;
        struct bsq_stats_t *stats;

        start_bench(&bench);
        bench.parallel.threads = counts[run];
        if (run == 3)
            bench.parallel.pool = pool;
        stats = gather_all(&bench, &problem);
        if (run == 0)
            first = fingerprint(stats);
        ck_assert_msg(fingerprint(stats) == first, "run %d", run);
        bsq_stats_release(stats);
        end_bench(&bench);
    }
    free_problem(&problem);
}
END_TEST

/* ---- merging and sharing ---------------------------------------------------------------------------------- */

START_TEST(merge_equals_the_whole)
{
    struct problem problem = make_long_problem(_i);
    struct bench bench;
    struct bsq_stats_t *stats = NULL;

    start_bench(&bench);
    for (int64_t first = 0; first < problem.kind->size; first += 10) {
        struct bsq_stats_t *shard = create(&bench, &problem);
        bsq_batch_t batch = part_of(&problem, first, 10);
        uint64_t before;

        add(&bench, &shard, &batch, problem.bias);
        before = fingerprint(shard);
        ck_assert_int_eq(merge(&stats, shard, &bench.work), BSQ_OK);
        ck_assert(fingerprint(shard) == before);
        bsq_stats_release(shard);
    }
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(merge_into_nothing_is_exact)
{
    struct problem problem = make_long_problem(WEIGHTED);
    bsq_batch_t first = part_of(&problem, 0, 17), second = part_of(&problem, 17, 23);
    struct bench bench;
    struct bsq_stats_t *whole, *shard, *stats;

    start_bench(&bench);
    whole = gather_all(&bench, &problem);
    shard = create(&bench, &problem);
    stats = create(&bench, &problem);
    add(&bench, &shard, &first, problem.bias);
    ck_assert_int_eq(merge(&stats, shard, &bench.work), BSQ_OK);
    add(&bench, &stats, &second, problem.bias);
    ck_assert(fingerprint(stats) == fingerprint(whole));
    ck_assert(fingerprint(shard) != fingerprint(whole));
    bsq_stats_release(shard);
    bsq_stats_release(stats);
    bsq_stats_release(whole);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(merge_with_itself)
{
    struct problem problem = make_long_problem(PLAIN);
    struct bench bench;
    struct bsq_stats_t *stats, *same;
    struct moments once, twice;

    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    once = read_moments(stats, &problem.geometry);
    same = bsq_stats_retain(stats);
    ck_assert_int_eq(merge(&stats, same, &bench.work), BSQ_OK);
    bsq_stats_release(same);
    twice = read_moments(stats, &problem.geometry);
    ck_assert(bsq_stats_rows(stats) == 2.0 * (double)problem.rows);
    for (int64_t i = 0; i < problem.geometry.fan_in; i++)
        expect_near("H", twice.h[i], once.h[i], sqrt(once.h[0] * once.h[i * problem.geometry.fan_in + i]), TOLERANCE);
    ck_assert_int_eq(merge(&stats, stats, &bench.work), BSQ_OK);
    ck_assert(bsq_stats_rows(stats) == 4.0 * (double)problem.rows);
    free_moments(&once);
    free_moments(&twice);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(merge_refuses)
{
    struct problem problem = make_linear(6, 2, 30, 1), wider = make_linear(6, 3, 30, 1),
                   other = make_linear(7, 2, 30, 1);
    const struct bsq_quantizer quantizer = {0.5, 0, 8, BSQ_INPUT_TYPE_SIGNED, 0};
    struct bench bench;
    struct bsq_stats_t *stats, *from;
    uint64_t before;

    start_bench(&bench);
    stats = create(&bench, &problem);
    add(&bench, &stats, &problem.batch, NULL);
    before = fingerprint(stats);

    from = create(&bench, &other);
    add(&bench, &from, &other.batch, NULL);
    expect_failure(&bench, merge(&stats, from, &bench.work), BSQ_E_MISMATCH, "geometry");
    bsq_stats_release(from);
    from = create(&bench, &wider);
    add(&bench, &from, &wider.batch, NULL);
    expect_failure(&bench, merge(&stats, from, &bench.work), BSQ_E_MISMATCH, "output channels");
    bsq_stats_release(from);
    from = bsq_stats_create(&problem.geometry, &quantizer, &bench.memory);
    add(&bench, &from, &problem.batch, NULL);
    expect_failure(&bench, merge(&stats, from, &bench.work), BSQ_E_MISMATCH, "quantizer");
    bsq_stats_release(from);
    problem.batch.target = NULL;
    from = create(&bench, &problem);
    add(&bench, &from, &problem.batch, NULL);
    expect_failure(&bench, merge(&stats, from, &bench.work), BSQ_E_MISMATCH, "target");
    bsq_stats_release(from);
    ck_assert(fingerprint(stats) == before);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
    free_problem(&wider);
    free_problem(&other);
}
END_TEST

/* A layer with other output channels takes over the inputs, then sees the rows again with its own targets. */
START_TEST(shared_inputs)
{
    struct problem problem = make_linear(20, 3, 900, 6), second = make_linear(20, 7, 900, 6);
    bsq_batch_t head = part_of(&second, 0, 611), tail = part_of(&second, 611, 289);
    struct bench bench;
    struct bsq_stats_t *source, *stats, *merged = NULL, *again;
    uint64_t source_before;

    start_bench(&bench);
    source = gather_all(&bench, &problem);
    source_before = fingerprint(source);
    ck_assert_int_eq(bsq_stats_share(source, &second.geometry, &bench.memory, &stats, &bench.message), BSQ_OK);
    ck_assert(!bsq_stats_has_target(stats) && !bsq_stats_empty(stats));
    ck_assert_int_eq(bsq_stats_check_rows(stats, &bench.message), BSQ_OK);
    memcpy(second.input, problem.input, (size_t)(900 * 20) * sizeof(float));
    add(&bench, &stats, &head, second.bias);
    expect_failure(&bench, bsq_stats_check_rows(stats, &bench.message), BSQ_E_STATE, "900");
    expect_failure(&bench, merge(&stats, stats, &bench.work), BSQ_E_STATE, "shared");
    add(&bench, &stats, &tail, second.bias);
    ck_assert_int_eq(bsq_stats_check_rows(stats, &bench.message), BSQ_OK);
    compare(&second, stats);
    ck_assert(fingerprint(source) == source_before);
    tail.target = NULL;
    expect_failure(&bench, bsq_stats_add(&stats, &tail, NULL, &bench.work), BSQ_E_STATE, "target");

    /* complete, they are like any others */
    ck_assert_int_eq(merge(&merged, stats, &bench.work), BSQ_OK);
    again = gather_all(&bench, &second);
    ck_assert_int_eq(merge(&merged, again, &bench.work), BSQ_OK);
    ck_assert(bsq_stats_rows(merged) == 1800);
    compare(&second, again);
    bsq_stats_release(again);
    bsq_stats_release(merged);

    /* later batches of the source do not show */
    again = bsq_stats_retain(stats);
    source_before = fingerprint(stats);
    add(&bench, &source, &problem.batch, problem.bias);
    ck_assert(fingerprint(stats) == source_before);
    bsq_stats_release(again);
    bsq_stats_release(source);
    compare(&second, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
    free_problem(&second);
}
END_TEST

START_TEST(snapshots_do_not_change)
{
    struct problem problem = make_long_problem(PLAIN);
    struct bench bench;
    struct bsq_stats_t *stats, *snapshot;
    uint64_t before;

    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    snapshot = bsq_stats_retain(stats);
    before = fingerprint(snapshot);
    add(&bench, &stats, &problem.batch, problem.bias);
    ck_assert(stats != snapshot);
    ck_assert(fingerprint(snapshot) == before);
    ck_assert(fingerprint(stats) != before);
    bsq_stats_release(stats);
    ck_assert(fingerprint(snapshot) == before);
    bsq_stats_release(snapshot);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* ---- accuracy --------------------------------------------------------------------------------------------- */

/* Constant, rectified, two copies of two values, large mean with small spread, all zero, plain: over a million rows. */
START_TEST(a_million_rows)
{
    enum { N = 8, ROWS = 1000000 };
    struct problem problem = make_linear(N, 1, ROWS, 8);
    struct test_random random = test_random_seed(80);
    struct bench bench;
    struct bsq_stats_t *stats;

    for (int64_t row = 0; row < ROWS; row++) {
        float *x = problem.input + row * N;

        x[0] = 0.3F;
        x[1] = x[1] > 0 ? x[1] : 0;
        x[2] = x[3] = test_random_next(&random) & 1 ? 0.7F : -0.7F;
        x[4] = 1000 + 0.01F * x[4];
        x[5] = 0;
        problem.target[row] = x[6] * 0.25F + x[2];
    }
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    worst_error = 0;
    compare(&problem, stats);
    printf("a million rows: error of H and P up to %.2e\n", worst_error);

    struct moments m = read_moments(stats, &problem.geometry);

    expect_near("constant", m.h[0], (double)0.3F * (double)0.3F, (double)0.3F * (double)0.3F, 1e-11);
    for (int64_t j = 0; j < N; j++)
        ck_assert(m.h[5 * N + j] == 0);
    free_moments(&m);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* Sums of equal terms are where single precision loses most: two values, in columns that are copies, in one tile. */
START_TEST(two_values)
{
    struct test_random random = test_random_seed(81);

    worst_error = 0;
    for (int repeat = 0; repeat < 300; repeat++) {
        int64_t rows = repeat % 3 == 0 ? 512 : repeat % 3 == 1 ? 64 : 511;
        struct problem problem = make_linear(4, 2, rows, 1);
        struct bench bench;
        struct bsq_stats_t *stats;
        float a = (float)(1 + test_random_uniform(&random)), b = (float)(1 + test_random_uniform(&random));

        for (int64_t row = 0; row < rows; row++) {
            float sign = row % 2 ? 1 : -1;
            float *x = problem.input + row * 4;

            x[0] = x[1] = sign * a;
            x[2] = sign * b;
            x[3] = -sign * a * 1e-20F;
            problem.target[row * 2] = sign * b;
            problem.target[row * 2 + 1] = sign * a;
        }
        start_bench(&bench);
        free(problem.bias);
        problem.bias = NULL;
        stats = gather_all(&bench, &problem);
        compare(&problem, stats);
        bsq_stats_release(stats);
        end_bench(&bench);
        free_problem(&problem);
    }
    printf("two values: error of H and P up to %.2e\n", worst_error);
}
END_TEST

/* Layers that are summed in single precision: constant, rectified, two values, large mean with small spread, plain. */
START_TEST(many_inputs)
{
    enum { KINDS_OF_COLUMN = 5, N = 256, ROWS = 2048 };
    struct problem problem = make_linear(N, 1, ROWS, 9);
    struct bench bench;
    struct bsq_stats_t *stats;

    for (int64_t i = 0; i < ROWS * N; i++) {
        float *x = problem.input + i, size = 1.0F + (float)(i % N) / 97.0F;

        switch (i % N % KINDS_OF_COLUMN) {
        case 0: *x = 0.3F * size; break;
        case 1: *x = *x > 0 ? *x : 0; break;
        case 2: *x = *x > 0 ? 0.7F * size : -0.7F * size; break;
        case 3: *x = 1000 + 0.01F * *x; break;
        default: break;
        }
    }
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    worst_error = 0;
    compare(&problem, stats);
    printf("many inputs: error of H and P up to %.2e\n", worst_error);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(magnitudes)
{
    enum { SCALES = 10, ROWS = 1100 };
    static const float scales[SCALES] = {1e-30F, 1e30F, 1, 1e-30F, 1e30F, 3e38F, 1e-38F, 1e-44F, 1e10F, 1};
    int64_t n = _i ? 260 : SCALES; /* many inputs may be summed in single precision, and these must not be */
    struct problem problem = make_linear(n, 3, ROWS, 12);
    struct bench bench;
    struct bsq_stats_t *stats;

    for (int64_t row = 0; row < ROWS; row++) {
        float *x = problem.input + row * n, *y = problem.target + row * 3;

        for (int64_t j = 0; j < n; j++)
            x[j] = fmodf(x[j], 1) * scales[j % SCALES];
        x[2] = row % 5 ? x[2] * 1e-30F : x[2] * 1e30F; /* both in one column */
        x[9] = row == 700 ? 1e30F : x[9];              /* one that drowns the others */
        y[0] *= 1e30F;
        y[1] *= 1e-30F;
        y[2] = row % 2 ? 1e-30F : -1e30F;
    }
    free(problem.bias);
    problem.bias = NULL;
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* ---- row weights ------------------------------------------------------------------------------------------ */

START_TEST(weights_are_repeated_rows)
{
    enum { N = 6, ROWS = 700 };
    struct problem problem = make_linear(N, 2, ROWS, 14), repeated = make_linear(N, 2, ROWS * 4, 14);
    struct bench bench;
    struct bsq_stats_t *stats, *other;
    struct moments a, b;
    int64_t next = 0;

    problem.row_weights = malloc(ROWS * sizeof(float));
    problem.batch.row_weights = problem.row_weights;
    problem.batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE + _i;
    for (int64_t row = 0; row < ROWS; row++) {
        problem.row_weights[row] = (float)(row % 5);
        for (int64_t copy = 0; copy < row % 5; copy++, next++) {
            memcpy(repeated.input + next * N, problem.input + row * N, N * sizeof(float));
            memcpy(repeated.target + next * 2, problem.target + row * 2, 2 * sizeof(float));
        }
    }
    repeated.batch.size = next;
    memcpy(repeated.bias, problem.bias, 2 * sizeof(float));
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    compare(&problem, stats);
    other = gather_all(&bench, &repeated);
    a = read_moments(stats, &problem.geometry);
    b = read_moments(other, &problem.geometry);
    for (int64_t i = 0; i < N * N; i++)
        expect_near("H", a.h[i], b.h[i], sqrt(b.h[i / N * (N + 1)] * b.h[i % N * (N + 1)]), TOLERANCE);
    ck_assert(bsq_stats_rows(stats) < bsq_stats_rows(other));
    free_moments(&a);
    free_moments(&b);
    bsq_stats_release(stats);
    bsq_stats_release(other);
    end_bench(&bench);
    free_problem(&problem);
    free_problem(&repeated);
}
END_TEST

START_TEST(weights_per_sample)
{
    struct problem problem = make_problem(&kinds[7], BSQ_WEIGHT_LAYOUT_OHWI, BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST, 15);
    struct bench bench;
    struct bsq_stats_t *stats;

    problem.row_weights = malloc((size_t)problem.kind->size * sizeof(float));
    for (int64_t i = 0; i < problem.kind->size; i++)
        problem.row_weights[i] = (float)(i % 3) * 0.37F;
    problem.batch.row_weights = problem.row_weights;
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(weights_of_any_magnitude)
{
    enum { N = 5, ROWS = 800 };
    struct problem problem = make_linear(N, 2, ROWS, 16);
    struct bench bench;
    struct bsq_stats_t *stats;

    problem.row_weights = malloc(ROWS * sizeof(float));
    problem.batch.row_weights = problem.row_weights;
    problem.batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    for (int64_t row = 0; row < ROWS; row++) {
        float *x = problem.input + row * N;

        problem.row_weights[row] = _i == 0 ? 1e-30F : _i == 1 ? 1e30F : row % 2 ? 1e30F : 1e-30F;
        x[0] *= row % 2 ? 1e-30F : 1e30F;
        x[1] *= 1e30F;
        x[2] = 0.1F;
        x[3] *= row % 2 ? 1e-15F : 1e15F;
    }
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    compare(&problem, stats);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* ---- failures lose nothing -------------------------------------------------------------------------------- */

START_TEST(bad_values)
{
    struct problem problem = make_problem(&kinds[3], BSQ_WEIGHT_LAYOUT_OIHW, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 30);
    int64_t inputs = problem.input_sample * problem.kind->size, targets = problem.target_sample * problem.kind->size;
    struct {
        float *values;
        int64_t count;
        const char *name;
    } buffers[3];
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t before;

    problem.row_weights = malloc((size_t)problem.rows * sizeof(float));
    for (int64_t row = 0; row < problem.rows; row++)
        problem.row_weights[row] = 1;
    problem.batch.row_weights = problem.row_weights;
    problem.batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    buffers[0].values = problem.input, buffers[0].count = inputs, buffers[0].name = "input";
    buffers[1].values = problem.target, buffers[1].count = targets, buffers[1].name = "target";
    buffers[2].values = problem.row_weights, buffers[2].count = problem.rows, buffers[2].name = "row_weights";
    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    before = fingerprint(stats);
    for (int b = 0; b < 3; b++)
        for (int64_t at = 0; at < buffers[b].count; at += at < 1030 ? 1 : 97) {
            int64_t index = at + 97 >= buffers[b].count ? buffers[b].count - 1 : at;
            float good = buffers[b].values[index];
            char text[64];

            (void)snprintf(text, sizeof text, "%s[%lld]", buffers[b].name, (long long)index);
            buffers[b].values[index] = bad[at % 3];
            expect_failure(&bench, bsq_stats_add(&stats, &problem.batch, problem.bias, &bench.work), BSQ_E_NUMERIC,
                           text);
            buffers[b].values[index] = good;
        }
    problem.row_weights[5] = -1e-10F;
    expect_failure(&bench, bsq_stats_add(&stats, &problem.batch, problem.bias, &bench.work), BSQ_E_RANGE,
                   "row_weights[5]");
    problem.row_weights[5] = 1;
    problem.bias[2] = -FLT_MAX;
    expect_failure(&bench, bsq_stats_add(&stats, &problem.batch, problem.bias, &bench.work), BSQ_E_NUMERIC, "bias[2]");
    ck_assert(fingerprint(stats) == before);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(bad_batches)
{
    struct problem problem = make_problem(&kinds[3], BSQ_WEIGHT_LAYOUT_OIHW, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 31);
    struct bench bench;
    struct bsq_stats_t *stats;
    bsq_batch_t batch;
    int64_t values;

    start_bench(&bench);
    stats = create(&bench, &problem);
    batch = problem.batch, batch.size = -1;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_SHAPE, "size");
    batch = problem.batch, batch.spatial[1] = 0;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_SHAPE, "spatial[1]");
    batch = problem.batch, batch.input = NULL;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_ARGUMENT, "input");
    batch = problem.batch, batch.size = INT64_MAX;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_SHAPE, "large");
    batch = problem.batch, batch.spatial[0] = INT64_C(1) << 61;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_SHAPE, "");
    batch = problem.batch, batch.row_weights_kind = 2;
    expect_failure(&bench, bsq_stats_add(&stats, &batch, NULL, &bench.work), BSQ_E_ARGUMENT, "row_weights_kind");
    ck_assert(bsq_stats_empty(stats) && bsq_stats_empty(NULL));

    /* observing reads the inputs alone */
    problem.target[0] = NAN;
    ck_assert_int_eq(bsq_stats_check_batch(&problem.geometry, &problem.batch, 0, &values, &bench.message), BSQ_OK);
    ck_assert_int_eq(values, problem.input_sample * problem.kind->size);
    ck_assert_int_eq(bsq_stats_check_batch(&problem.geometry, &problem.batch, 1, &values, &bench.message),
                     BSQ_E_NUMERIC);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(target_or_none)
{
    struct problem problem = make_linear(5, 2, 40, 32);
    bsq_batch_t without = problem.batch, empty = problem.batch;
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t before;

    without.target = NULL;
    empty.size = 0;
    empty.input = NULL;
    start_bench(&bench);
    stats = create(&bench, &problem);
    add(&bench, &stats, &empty, NULL);
    ck_assert(bsq_stats_empty(stats));
    problem.row_weights = calloc(40, sizeof(float));
    problem.batch.row_weights = problem.row_weights;
    add(&bench, &stats, &problem.batch, NULL); /* nothing counts, so nothing is decided */
    ck_assert(bsq_stats_empty(stats) && bsq_stats_rows(stats) == 0);
    add(&bench, &stats, &without, NULL);
    ck_assert(!bsq_stats_has_target(stats));
    before = fingerprint(stats);
    problem.batch.row_weights = NULL;
    expect_failure(&bench, bsq_stats_add(&stats, &problem.batch, NULL, &bench.work), BSQ_E_STATE, "target");
    ck_assert(fingerprint(stats) == before);
    bsq_stats_release(stats);
    stats = gather_all(&bench, &problem);
    before = fingerprint(stats);
    expect_failure(&bench, bsq_stats_add(&stats, &without, NULL, &bench.work), BSQ_E_STATE, "without");
    ck_assert(fingerprint(stats) == before);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

struct stopper {
    int64_t calls, stop_at;
    double fraction;
    int64_t total;
};

static int32_t stop(const bsq_progress_t *progress, void *opaque)
{
    struct stopper *stopper = opaque;

    ck_assert(progress->stage == BSQ_STAGE_STATISTICS && progress->total == stopper->total);
    ck_assert(progress->fraction >= stopper->fraction && progress->fraction <= 1);
    stopper->fraction = progress->fraction;
    return ++stopper->calls == stopper->stop_at;
}

/* From no rows and from some; with few rows (no tile is filled) and many. */
START_TEST(cancel_takes_the_batch_back)
{
    struct problem problem = make_long_problem(WEIGHTED);
    int64_t seen = _i & 1 ? 9 : 0, size = _i & 2 ? 31 : 3;
    bsq_batch_t head = part_of(&problem, 0, seen), tail = part_of(&problem, seen, size);
    struct stopper stopper = {.total = size * problem.positions};
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t before, after;
    int64_t stops = 0;
    bsq_status_t status;

    start_bench(&bench);
    stats = create(&bench, &problem);
    add(&bench, &stats, &head, problem.bias);
    before = fingerprint(stats);
    bench.options.progress = stop;
    bench.options.progress_opaque = &stopper;
    do {
        stopper.calls = 0;
        stopper.fraction = 0;
        stopper.stop_at = ++stops;
        status = bsq_stats_add(&stats, &tail, problem.bias, &bench.work);
        if (status != BSQ_OK) {
            expect_failure(&bench, status, BSQ_E_CANCELLED, "cancel");
            ck_assert(fingerprint(stats) == before);
        }
    } while (status != BSQ_OK);
    ck_assert_int_ge(stops, _i & 2 ? 4 : 2);
    ck_assert(stopper.fraction == 1);
    after = fingerprint(stats);
    bsq_stats_release(stats);

    bench.options.progress = NULL;
    stats = create(&bench, &problem);
    add(&bench, &stats, &head, problem.bias);
    add(&bench, &stats, &tail, problem.bias);
    ck_assert(fingerprint(stats) == after);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* A batch that fills one tile, from some rows on: it is taken back, or counts, without a second H. */
START_TEST(one_tile_needs_no_copy)
{
    struct problem problem = make_linear(300, 5, 1200, 44);
    bsq_batch_t head = part_of(&problem, 0, 300), tail = part_of(&problem, 300, 700);
    struct stopper stopper = {.total = 700, .stop_at = 1};
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t before, after;
    size_t held, besides;

    start_bench(&bench);
    bsq_stats_bytes(&problem.geometry, 1, false, &held, &besides);
    stats = create(&bench, &problem);
    add(&bench, &stats, &head, problem.bias);
    before = fingerprint(stats);
    bench.options.progress = stop;
    bench.options.progress_opaque = &stopper;
    bench.heap.peak = 0;
    expect_failure(&bench, bsq_stats_add(&stats, &tail, problem.bias, &bench.work), BSQ_E_CANCELLED, "cancel");
    ck_assert(fingerprint(stats) == before);
    stopper = (struct stopper){.total = 700};
    add(&bench, &stats, &tail, problem.bias);
    ck_assert_int_eq(stopper.calls, 1);
    ck_assert(stopper.fraction == 1);
    ck_assert_int_le(bench.heap.peak, held + besides);
    after = fingerprint(stats);
    bsq_stats_release(stats);

    bench.options.progress = NULL;
    stats = create(&bench, &problem);
    add(&bench, &stats, &head, problem.bias);
    add(&bench, &stats, &tail, problem.bias);
    ck_assert(fingerprint(stats) == after);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* Runs its blocks only so many times. */
static void lazy_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    int64_t *left = opaque;

    if ((*left)-- <= 0)
        return;
    for (int64_t i = 0; i < count; i++)
        fn(context, i);
}

START_TEST(a_pool_that_does_not_run)
{
    struct problem problem = make_linear(200, 20, 1500, 40);
    struct bench bench;
    struct bsq_stats_t *stats;
    uint64_t before;
    int64_t calls = 0, left;
    bsq_status_t status;

    start_bench(&bench);
    stats = gather_all(&bench, &problem);
    before = fingerprint(stats);
    bench.parallel = (struct bsq_parallel){2, lazy_pool, &left};
    do {
        left = calls++;
        status = bsq_stats_add(&stats, &problem.batch, problem.bias, &bench.work);
        if (status != BSQ_OK) {
            expect_failure(&bench, status, BSQ_E_STATE, "parallel_for");
            ck_assert(fingerprint(stats) == before);
        }
    } while (status != BSQ_OK);
    ck_assert_int_gt(calls, 5);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* Everything that allocates, one after the other; false at the first failure. */
static bool whole_flow(struct bench *bench, const struct problem *problem)
{
    bsq_batch_t head = part_of(problem, 0, 20), tail = part_of(problem, 20, 20);
    struct bsq_stats_t *stats = bsq_stats_create(&problem->geometry, &no_quantizer, &bench->memory);
    struct bsq_stats_t *held = NULL, *shared = NULL, *merged = NULL;
    uint64_t before = 0;
    bsq_status_t status = BSQ_E_MEMORY;

    if (!stats)
        return false;
    status = bsq_stats_add(&stats, &head, problem->bias, &bench->work);
    if (status != BSQ_OK)
        goto done;
    before = fingerprint(stats);
    held = bsq_stats_retain(stats);
    status = bsq_stats_add(&stats, &tail, problem->bias, &bench->work);
    if (status != BSQ_OK) {
        ck_assert(stats == held);
        goto done;
    }
    status = bsq_stats_share(held, &problem->geometry, &bench->memory, &shared, &bench->message);
    if (status != BSQ_OK) {
        ck_assert_ptr_null(shared);
        goto done;
    }
    status = bsq_stats_add(&shared, &head, problem->bias, &bench->work);
    if (status != BSQ_OK) {
        ck_assert(!bsq_stats_has_target(shared));
        goto done;
    }
    merged = bsq_stats_retain(shared);
    status = merge(&merged, stats, &bench->work);
    if (status != BSQ_OK) {
        ck_assert(merged == shared);
        goto done;
    }
    bsq_stats_release(held);
    held = stats;
    stats = NULL;
    status = bsq_stats_add(&held, &head, problem->bias, &bench->work);
    before = 0;
done:
    if (before)
        ck_assert(fingerprint(held ? held : stats) == before);
    ck_assert(status == BSQ_OK || status == BSQ_E_MEMORY);
    bsq_stats_release(stats);
    bsq_stats_release(held);
    bsq_stats_release(shared);
    bsq_stats_release(merged);
    return status == BSQ_OK;
}

START_TEST(every_allocation_fails)
{
    struct problem problem = make_long_problem(WEIGHTED);
    struct bench bench;
    int64_t fail_at = 0;
    bool passed;

    start_bench(&bench);
    do {
        bench.heap.calls = 0;
        bench.heap.fail_at = ++fail_at;
        passed = whole_flow(&bench, &problem);
        ck_assert_int_eq(bench.heap.blocks, 0);
    } while (!passed);
    ck_assert_int_gt(fail_at, 18); /* each block is asked for once */
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

START_TEST(memory_is_bounded)
{
    struct problem problem = make_long_problem(PLAIN);
    struct bench bench;
    struct bsq_stats_t *stats;
    size_t held, besides;
    int64_t small_peak, large_peak;

    start_bench(&bench);
    bsq_stats_bytes(&problem.geometry, 1, true, &held, &besides);
    for (int run = 0; run < 2; run++) {
        bsq_batch_t batch = part_of(&problem, 0, run ? 40 : 2);

        bench.heap.peak = 0;
        stats = create(&bench, &problem);
        add(&bench, &stats, &batch, problem.bias);
        *(run ? &large_peak : &small_peak) = bench.heap.peak;
        ck_assert_int_eq(bench.heap.bytes, held);
        bsq_stats_release(stats);
    }
    ck_assert_int_eq(small_peak, large_peak);
    ck_assert_int_le(large_peak, held + besides);

    /* a copy at the same time */
    stats = gather_all(&bench, &problem);
    bench.heap.peak = 0;

    struct bsq_stats_t *snapshot = bsq_stats_retain(stats);

    add(&bench, &stats, &problem.batch, problem.bias);
    ck_assert_int_eq(bench.heap.peak, held + besides);
    bsq_stats_release(snapshot);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

/* ---- a host's moments ------------------------------------------------------------------------------------- */

/* Symmetric H for two groups of 140 inputs, which takes more than one panel; M = 4. */
struct given {
    struct bsq_geometry geometry;
    bsq_moments_t moments;
    bsq_moments_buffers_t own; /* what 'moments' points to */
};

enum { GIVEN_N = 140, GIVEN_GROUPS = 2, GIVEN_OUTPUTS = 4 };

static struct given make_given(void)
{
    static const struct kind kind = {"given",   1,         GIVEN_N * 2, GIVEN_OUTPUTS, GIVEN_GROUPS, {1, 1, 1},
                                     {1, 1, 1}, {1, 1, 1}, {0},         {0},           {3, 0, 0},    1};
    struct problem problem = make_problem(&kind, BSQ_WEIGHT_LAYOUT_OIHW, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 50);
    struct given given = {.geometry = problem.geometry};
    struct test_random random = test_random_seed(51);
    int64_t n = GIVEN_N;

    bsq_moments_init(&given.moments, sizeof given.moments);
    bsq_moments_buffers_init(&given.own, sizeof given.own);
    given.own.h = calloc((size_t)(GIVEN_GROUPS * n * n), sizeof(double));
    given.own.input_mean = calloc((size_t)(GIVEN_GROUPS * n), sizeof(double));
    given.own.p = calloc((size_t)(GIVEN_OUTPUTS * n), sizeof(double));
    given.own.target_mean = calloc(GIVEN_OUTPUTS, sizeof(double));
    given.own.target_square = calloc(GIVEN_OUTPUTS, sizeof(double));
    for (int64_t g = 0; g < GIVEN_GROUPS; g++)
        for (int64_t i = 0; i < n; i++) {
            given.own.input_mean[g * n + i] = test_random_uniform(&random);
            for (int64_t j = 0; j <= i; j++) {
                double value = test_random_normal(&random) + (i == j ? 12 : 0);

                given.own.h[(g * n + i) * n + j] = given.own.h[(g * n + j) * n + i] = value;
            }
        }
    for (int64_t i = 0; i < GIVEN_OUTPUTS * n; i++)
        given.own.p[i] = test_random_normal(&random);
    for (int64_t i = 0; i < GIVEN_OUTPUTS; i++) {
        given.own.target_mean[i] = test_random_uniform(&random);
        given.own.target_square[i] = 3 + test_random_uniform(&random);
    }
    given.moments.h = given.own.h;
    given.moments.input_mean = given.own.input_mean;
    given.moments.p = given.own.p;
    given.moments.target_mean = given.own.target_mean;
    given.moments.target_square = given.own.target_square;
    given.moments.rows = 77;
    free_problem(&problem);
    return given;
}

static void free_given(struct given *given)
{
    free(given->own.h);
    free(given->own.input_mean);
    free(given->own.p);
    free(given->own.target_mean);
    free(given->own.target_square);
}

static bsq_status_t set(struct bench *bench, struct bsq_stats_t **stats, const struct given *given)
{
    return bsq_stats_set(stats, &given->geometry, &no_quantizer, &given->moments, &bench->memory, &bench->message);
}

static void expect_values(const double *got, const double *wanted, int64_t count, double tolerance)
{
    for (int64_t i = 0; i < count; i++)
        expect_near("moment", got[i], wanted[i], fabs(wanted[i]), tolerance);
}

START_TEST(given_moments_come_back)
{
    struct given given = make_given();
    struct bench bench;
    struct bsq_stats_t *stats = NULL;
    struct moments m;

    given.moments.rows = _i ? 77 : 0;
    start_bench(&bench);
    ck_assert_int_eq(set(&bench, &stats, &given), BSQ_OK);
    ck_assert_int_eq(set(&bench, &stats, &given), BSQ_OK); /* replaces */
    ck_assert(bsq_stats_has_target(stats) && bsq_stats_has_means(stats) && !bsq_stats_empty(stats));
    ck_assert(fabs(bsq_stats_rows(stats) - given.moments.rows) < 1e-9);
    m = read_moments(stats, &given.geometry);
    expect_values(m.h, given.moments.h, GIVEN_GROUPS * GIVEN_N * GIVEN_N, _i ? 1e-15 : 0);
    expect_values(m.mean, given.moments.input_mean, GIVEN_GROUPS * GIVEN_N, _i ? 1e-15 : 0);
    expect_values(m.p, given.moments.p, GIVEN_OUTPUTS * GIVEN_N, _i ? 1e-15 : 0);
    expect_values(m.target_mean, given.moments.target_mean, GIVEN_OUTPUTS, _i ? 1e-15 : 0);
    expect_values(m.target_square, given.moments.target_square, GIVEN_OUTPUTS, _i ? 1e-15 : 0);
    free_moments(&m);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_given(&given);
}
END_TEST

START_TEST(given_moments_are_checked)
{
    struct given given = make_given();
    double *h = given.own.h, *p = given.own.p, *square = given.own.target_square, kept;
    struct bench bench;
    struct bsq_stats_t *stats = NULL;
    struct moments m;
    uint64_t before;

    start_bench(&bench);
    ck_assert_int_eq(set(&bench, &stats, &given), BSQ_OK);
    before = fingerprint(stats);
    given.moments.h = NULL;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_ARGUMENT, "h");
    given.moments.h = h, given.moments.target_square = NULL;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_ARGUMENT, "target_square");
    given.moments.target_square = square, given.moments.p = NULL;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_ARGUMENT, "p and");
    given.moments.p = p, given.moments.rows = -1;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_RANGE, "rows");
    given.moments.rows = NAN;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_RANGE, "rows");
    given.moments.rows = 77;
    kept = h[5], h[5] = NAN;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "h[5]");
    h[5] = 1e308;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "h[5]");
    h[5] = kept;
    kept = h[GIVEN_N + 1], h[GIVEN_N + 1] = -1e-9;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "negative");
    h[GIVEN_N + 1] = kept;
    kept = square[1], square[1] = -1;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "target_square[1]");
    square[1] = kept;
    kept = p[3], p[3] = INFINITY;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "p[3]");
    p[3] = kept;

    /* products above what squares allow, in each of the places; a little is left to rounding */
    static const double factors[] = {-1.01, 1.01, 1.0005, -1.0005};
    double *mean = given.own.input_mean, *target_mean = given.own.target_mean;

    for (int f = 0; f < 4; f++) {
        bsq_status_t wanted = f < 2 ? BSQ_E_NUMERIC : BSQ_OK;
        int64_t far = GIVEN_N * GIVEN_N + 3 * GIVEN_N + 131, mirror = GIVEN_N * GIVEN_N + 131 * GIVEN_N + 3;

        kept = h[far];
        h[far] = h[mirror] = factors[f] * sqrt(h[GIVEN_N * GIVEN_N + 3 * (GIVEN_N + 1)]) *
                             sqrt(h[GIVEN_N * GIVEN_N + 131 * (GIVEN_N + 1)]);
        ck_assert_int_eq(set(&bench, &stats, &given), wanted);
        h[far] = h[mirror] = kept;
        kept = mean[GIVEN_N + 131], mean[GIVEN_N + 131] = factors[f] * sqrt(h[GIVEN_N * GIVEN_N + 131 * (GIVEN_N + 1)]);
        ck_assert_int_eq(set(&bench, &stats, &given), wanted);
        mean[GIVEN_N + 131] = kept;
        kept = target_mean[3], target_mean[3] = factors[f] * sqrt(square[3]);
        ck_assert_int_eq(set(&bench, &stats, &given), wanted);
        target_mean[3] = kept;
        kept = p[2 * GIVEN_N + 130];
        p[2 * GIVEN_N + 130] = factors[f] * sqrt(square[2] * h[GIVEN_N * GIVEN_N + 130 * (GIVEN_N + 1)]);
        ck_assert_int_eq(set(&bench, &stats, &given), wanted);
        p[2 * GIVEN_N + 130] = kept;
    }
    ck_assert_int_eq(set(&bench, &stats, &given), BSQ_OK);
    before = fingerprint(stats);

    double bound = 1e-6 * sqrt(h[0] * h[7 * GIVEN_N + 7]);

    kept = h[7], h[7] += 1.1 * bound;
    expect_failure(&bench, set(&bench, &stats, &given), BSQ_E_NUMERIC, "symmetric");
    ck_assert(fingerprint(stats) == before);
    h[7] = kept + 0.9 * bound;
    ck_assert_int_eq(set(&bench, &stats, &given), BSQ_OK);
    m = read_moments(stats, &given.geometry);
    expect_near("mean of both", m.h[7], kept + 0.45 * bound, 1, 1e-15);
    ck_assert(m.h[7] == m.h[7 * GIVEN_N]);
    free_moments(&m);
    bsq_stats_release(stats);
    end_bench(&bench);
    free_given(&given);
}
END_TEST

/* Moments of the first rows by a host, then the other rows as a batch. */
START_TEST(rows_after_given_moments)
{
    struct problem problem = make_linear(12, 3, 1300, 52);
    bsq_batch_t head = part_of(&problem, 0, 700), tail = part_of(&problem, 700, 600);
    struct bench bench;
    struct bsq_stats_t *stats, *given = NULL, *shard;
    struct moments m;
    bsq_moments_t moments;

    start_bench(&bench);
    stats = create(&bench, &problem);
    add(&bench, &stats, &head, problem.bias);
    m = read_moments(stats, &problem.geometry);
    bsq_stats_release(stats);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = m.h, moments.input_mean = m.mean, moments.p = m.p;
    moments.target_mean = m.target_mean, moments.target_square = m.target_square, moments.rows = 700;
    for (int merging = 0; merging < 2; merging++) {
        ck_assert_int_eq(
            bsq_stats_set(&given, &problem.geometry, &no_quantizer, &moments, &bench.memory, &bench.message), BSQ_OK);
        if (merging) {
            shard = create(&bench, &problem);
            add(&bench, &shard, &tail, problem.bias);
            ck_assert_int_eq(merge(&given, shard, &bench.work), BSQ_OK);
            bsq_stats_release(shard);
        } else {
            add(&bench, &given, &tail, problem.bias);
        }
        compare(&problem, given);
    }
    bsq_stats_release(given);
    given = NULL;

    moments.rows = 0;
    moments.input_mean = NULL;
    ck_assert_int_eq(bsq_stats_set(&given, &problem.geometry, &no_quantizer, &moments, &bench.memory, &bench.message),
                     BSQ_OK);
    ck_assert(!bsq_stats_has_means(given) && !bsq_stats_empty(given) && bsq_stats_rows(given) == 0);
    expect_failure(&bench, bsq_stats_add(&given, &tail, NULL, &bench.work), BSQ_E_STATE, "unknown");
    shard = gather_all(&bench, &problem);
    expect_failure(&bench, merge(&given, shard, &bench.work), BSQ_E_STATE, "unknown");
    expect_failure(&bench, merge(&shard, given, &bench.work), BSQ_E_STATE, "unknown");
    bsq_stats_release(shard);
    bsq_stats_release(given);
    free_moments(&m);
    end_bench(&bench);
    free_problem(&problem);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("stats");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, moments_of_every_kind, 0, 4 * KINDS);
    tcase_add_loop_test(tests, convolution_is_weights_times_rows, 0, 4 * KINDS);
    tcase_add_test(tests, quantized_inputs);
    tcase_add_loop_test(tests, any_cut_into_batches, 0, LONG_PROBLEMS);
    tcase_add_loop_test(tests, any_number_of_threads, 0, 3);
    tcase_add_loop_test(tests, merge_equals_the_whole, 0, 2);
    tcase_add_test(tests, merge_into_nothing_is_exact);
    tcase_add_test(tests, merge_with_itself);
    tcase_add_test(tests, merge_refuses);
    tcase_add_test(tests, shared_inputs);
    tcase_add_test(tests, snapshots_do_not_change);
    tcase_add_test(tests, a_million_rows);
    tcase_add_test(tests, two_values);
    tcase_add_test(tests, many_inputs);
    tcase_add_loop_test(tests, magnitudes, 0, 2);
    tcase_add_loop_test(tests, weights_are_repeated_rows, 0, 2);
    tcase_add_test(tests, weights_per_sample);
    tcase_add_loop_test(tests, weights_of_any_magnitude, 0, 3);
    tcase_add_test(tests, bad_values);
    tcase_add_test(tests, bad_batches);
    tcase_add_test(tests, target_or_none);
    tcase_add_loop_test(tests, cancel_takes_the_batch_back, 0, 4);
    tcase_add_test(tests, one_tile_needs_no_copy);
    tcase_add_test(tests, a_pool_that_does_not_run);
    tcase_add_test(tests, every_allocation_fails);
    tcase_add_test(tests, memory_is_bounded);
    tcase_add_loop_test(tests, given_moments_come_back, 0, 2);
    tcase_add_test(tests, given_moments_are_checked);
    tcase_add_test(tests, rows_after_given_moments);
    return test_suite_of("stats", tests);
}
