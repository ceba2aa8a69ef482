/* What no effort may fall behind, on layers whose H is dominated by few directions: GPTQ's arithmetic, in the same codes; the
 * symmetric codes, for the full range. */
#include "reference.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

enum { CHANNELS = 24, MOST_INPUTS = 200 };
static const double DAMPING = 0.01; /* of the published code */

/* A layer's weights and second moments. */
struct layer_case {
    int64_t n;
    float *weights; /* CHANNELS x n */
    double *h;      /* n x n */
};

/* How large an input is: like others; by a power law; one in thirty 30 to 100 times as large. */
static double magnitude(struct test_random *random, int kind, int64_t i)
{
    if (kind == 1)
        return 1.0 / (double)(i + 1);
    if (kind == 2)
        return test_random_below(random, 30) == 0 ? 30 + 70 * test_random_uniform(random) : 1.0;
    return exp(test_random_normal(random));
}

static double weight(struct test_random *random, int kind)
{
    double z = test_random_normal(random);

    if (kind == 1)
        return 0.05 * z * z * z;
    return 0.05 * (kind == 2 && test_random_below(random, 50) == 0 ? 6 * z : z);
}

static void *reserve(int64_t count, size_t size)
{
    void *memory = calloc((size_t)count, size);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Rows are noise, three slow waves, and one direction that has from nearly nothing to nearly all of the trace. */
static struct layer_case make(int number)
{
    static const int64_t sizes[] = {32, 72, 96, 128, MOST_INPUTS};
    struct test_random random = test_random_seed((uint64_t)number + 71);
    struct layer_case made = {.n = sizes[number % 5]};
    int kind = number / 5 % 4, weights = number / 20 % 3;
    int64_t n = made.n, rows = number % 2 ? 4 * n : n / 2;
    double share = 0.02 * pow(10, 2.5 * test_random_uniform(&random)), size[MOST_INPUTS], along[MOST_INPUTS];
    double offset = number % 3 ? 0.05 * test_random_normal(&random) : 0;

    made.weights = reserve(CHANNELS * n, sizeof *made.weights);
    made.h = reserve(n * n, sizeof *made.h);
    for (int64_t i = 0; i < n; i++) {
        size[i] = magnitude(&random, kind, i);
        along[i] = kind == 0 ? fabs(test_random_normal(&random)) : test_random_normal(&random);
    }
    for (int64_t r = 0; r < rows; r++) {
        double common = kind == 0 ? share * (5 + test_random_normal(&random)) : 0, wave[3], x[MOST_INPUTS];

        common = kind == 3 ? 6 * test_random_normal(&random) : common;
        for (int k = 0; k < 3; k++)
            wave[k] = test_random_normal(&random);
        for (int64_t i = 0; i < n; i++) {
            double own = test_random_normal(&random) + 0.7 * wave[0] * cos(0.3 * (double)i) +
                         0.5 * wave[1] * cos(1.7 * (double)i) + 0.5 * wave[2] * sin(0.11 * (double)i);

            x[i] = (kind == 0 ? 0.3 : 1.0) * size[i] * own + common * along[i];
        }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                made.h[i * n + j] += x[i] * x[j] / (double)rows;
    }
    for (int64_t i = 0; i < CHANNELS * n; i++)
        made.weights[i] = (float)(offset + weight(&random, weights));
    return made;
}

static void release(struct layer_case *made)
{
    free(made->weights);
    free(made->h);
}

/* Solves at an effort: the report, and scales where they are asked for. */
static bsq_report_t solve(const struct layer_case *made, int32_t bits, int32_t grid, int32_t effort, float *scales)
{
    bsq_layer_desc_t desc;
    bsq_options_t options;
    bsq_moments_t moments;
    bsq_report_t report;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = made->n;
    desc.out_channels = CHANNELS;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.weight_grid = grid;
    options.effort = effort;
    options.damping = DAMPING;
    ck_assert_int_eq(bsq_layer_create(&desc, &options, made->weights, NULL, &layer, NULL), BSQ_OK);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = made->h;
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_optimize(layer, &report));
    if (scales)
        test_ok(layer, bsq_layer_get_scales(layer, scales, CHANNELS));
    bsq_layer_free(layer);
    return report;
}

/* The layer's output error by GPTQ, relative to the energy: with the scales of its published code, or with given ones. */
static double gptq_error(const struct layer_case *made, const struct ref_gptq *gptq, int32_t bits, bool full,
                         const float *scales)
{
    int64_t n = made->n;
    int32_t lowest, highest;
    double error = 0, energy = 0, *nothing = reserve(n, sizeof *nothing);

    ref_code_range(bits, full, &lowest, &highest);
    for (int64_t m = 0; m < CHANNELS; m++) {
        double w[MOST_INPUTS], p[MOST_INPUTS], values[MOST_INPUTS], largest = 0;
        struct ref_channel channel = {.n = n, .h = made->h, .p = p, .w = w};

        for (int64_t i = 0; i < n; i++) {
            w[i] = (double)made->weights[m * n + i];
            largest = fmax(largest, fabs(w[i]));
        }
        ref_target(n, made->h, w, 0, NULL, p);
        channel.energy = ref_energy(n, made->h, w, 0, NULL, 0);
        ref_gptq_quantize(gptq, w, scales ? (double)scales[m] : 2 * largest / (highest - lowest), lowest, highest,
                          values);
        error += ref_output_error(&channel, values);
        energy += ref_output_error(&channel, nothing);
    }
    free(nothing);
    return error / energy;
}

static const int32_t efforts[] = {1, 2, 5};
enum { EFFORTS = sizeof efforts / sizeof *efforts };

/* No effort is above GPTQ, with the scales of its published code and with those of the best rounding. */
START_TEST(no_effort_is_above_gptq)
{
    struct layer_case made = make(7 * _i);
    struct ref_gptq gptq = ref_gptq_create(made.n, made.h, DAMPING);

    for (int32_t bits = 2; bits <= 4; bits++)
        for (int full = 0; full < 2; full++) {
            int32_t grid = full ? BSQ_WEIGHT_GRID_FULL : BSQ_WEIGHT_GRID_SYMMETRIC;
            float scales[CHANNELS];
            double published, rounded;

            (void)solve(&made, bits, grid, 0, scales);
            published = gptq_error(&made, &gptq, bits, full, NULL);
            rounded = gptq_error(&made, &gptq, bits, full, scales);
            for (int i = 0; i < EFFORTS; i++) {
                double error = solve(&made, bits, grid, efforts[i], NULL).error;

                ck_assert_msg(error <= fmin(published, rounded),
                              "%d bits, full range %d, effort %d: the error is %.6g, GPTQ's %.6g and %.6g", (int)bits,
                              full, (int)efforts[i], error, published, rounded);
            }
        }
    ref_gptq_free(&gptq);
    release(&made);
}
END_TEST

/* J of the full range is not above that of the symmetric codes, which it contains. */
START_TEST(the_full_range_is_not_above_the_symmetric_one)
{
    struct layer_case made = make(7 * _i);

    for (int32_t bits = 2; bits <= 4; bits++)
        for (int i = 0; i < EFFORTS; i++) {
            double symmetric = solve(&made, bits, BSQ_WEIGHT_GRID_SYMMETRIC, efforts[i], NULL).objective;
            double full = solve(&made, bits, BSQ_WEIGHT_GRID_FULL, efforts[i], NULL).objective;

            ck_assert_msg(full <= symmetric * (1 + 1e-12), "%d bits, effort %d: J is %.9g, symmetric %.9g", (int)bits,
                          (int)efforts[i], full, symmetric);
        }
    release(&made);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("promises");
    bool slow = getenv("BSQ_CHECK_SLOW") != NULL; /* sanitizers look at the code, not at the figures */

    tcase_add_loop_test(tests, no_effort_is_above_gptq, 0, slow ? 3 : 30);
    tcase_add_loop_test(tests, the_full_range_is_not_above_the_symmetric_one, 0, slow ? 3 : 20);
    return test_suite_of("promises", tests);
}
