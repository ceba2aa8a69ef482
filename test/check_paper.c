/* Paper mode against the reference: the same codes and the same scales, channel by channel. */
#include "sample.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* The library keeps scales as float32 values; everything before is double. */
static const double SCALE_TOLERANCE = 0x1p-23;

/* Closer decisions than this may fall either way in double. */
static const double MARGIN = 1e-9;

struct answer {
    int8_t *codes;
    float *scales;
    bsq_report_t report;
};

static bsq_options_t paper_options(int32_t bits, double mu)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.solver = BSQ_SOLVER_PAPER;
    options.weight_bits = bits;
    options.asymmetry = mu;
    return options;
}

static struct answer solve(const struct sample *sample, const bsq_options_t *options, int32_t with_target)
{
    size_t count = (size_t)(sample->channels * sample->shape.n);
    struct answer answer = {malloc(count), calloc((size_t)sample->channels, sizeof(float)), {0}};
    bsq_layer_t *layer = sample_layer(sample, options, with_target, (double)sample->shape.rows);

    ck_assert_ptr_nonnull(layer);
    bsq_report_init(&answer.report, sizeof answer.report);
    ck_assert_int_eq(bsq_optimize(layer, &answer.report), BSQ_OK);
    ck_assert_int_eq(bsq_layer_get_codes(layer, answer.codes, count), BSQ_OK);
    ck_assert_int_eq(bsq_layer_get_scales(layer, answer.scales, (size_t)sample->channels), BSQ_OK);
    bsq_layer_free(layer);
    return answer;
}

static void release(struct answer *answer)
{
    free(answer->codes);
    free(answer->scales);
}

/* Error of the reference's codes at the stored scales, as a share of the energy. */
static double reference_error(const struct sample *sample, const struct ref_codes *codes, const float *scales,
                              const double *p, const double *energy)
{
    int64_t n = sample->shape.n;
    double *values = calloc((size_t)n, sizeof *values), error = 0, whole = 0;

    for (int64_t c = 0; c < sample->channels; c++) {
        struct ref_channel channel = sample_channel(sample, c, 0, p, energy);
        double scale = scales[c];

        ref_dequantize(n, n, codes->codes + c * n, &scale, values);
        error += ref_output_error(&channel, values);
        whole += energy[c];
    }
    free(values);
    return error / whole;
}

/* An input that is always zero has no best code. */
static int live(const struct sample *sample, int64_t c, int64_t i)
{
    int64_t n = sample->shape.n;

    return sample->h[(c / sample->shape.group_outputs * n + i) * n + i] > 0;
}

/* False when the reference saw a decision that is too close to compare. */
static int compare(const struct sample *sample, int32_t bits, double mu, int32_t with_target)
{
    int64_t n = sample->shape.n, channels = sample->channels;
    double *p = calloc((size_t)(channels * n), sizeof *p), *energy = calloc((size_t)channels, sizeof *energy);
    struct ref_codes expected = {malloc((size_t)(channels * n)), calloc((size_t)channels, sizeof(double)), 1};

    sample_target(sample, with_target ? mu : 0, p, energy);

    struct ref_layer layer = {sample->shape.groups, channels, n, sample->w, sample->h, p};

    ref_paper(&layer, bits, &expected);

    int comparable = expected.margin > MARGIN;

    if (comparable) {
        bsq_options_t options = paper_options(bits, mu);
        struct answer answer = solve(sample, &options, with_target);

        for (int64_t i = 0; i < channels * n; i++)
            if (live(sample, i / n, i % n))
                ck_assert_msg(answer.codes[i] == expected.codes[i], "channel %d input %d: %d, expected %d",
                              (int)(i / n), (int)(i % n), answer.codes[i], expected.codes[i]);
        for (int64_t c = 0; c < channels; c++)
            if (expected.scales[c] > 0)
                ck_assert_double_eq_tol(answer.scales[c], expected.scales[c], SCALE_TOLERANCE * expected.scales[c]);
        ck_assert_double_eq(answer.report.damping, 0);

        double error = reference_error(sample, &expected, answer.scales, p, energy);

        ck_assert_double_eq_tol(answer.report.error, error, 1e-9 * error + 1e-12);
        release(&answer);
    }
    free(p);
    free(energy);
    free(expected.codes);
    free(expected.scales);
    return comparable;
}

START_TEST(same_codes_and_scales)
{
    int32_t bits = 2 + _i;
    int32_t compared = 0;
    struct ref_random random = {(uint64_t)(1000 + _i)};

    for (int32_t round = 0; round < 60; round++) {
        struct sample_shape shape = {.groups = round % 4 == 3 ? ref_random_between(&random, 2, 4) : 1,
                                     .group_outputs = ref_random_between(&random, 1, 2),
                                     .n = ref_random_between(&random, 2, 40),
                                     .rows = ref_random_between(&random, 1, 120)};

        if (shape.groups == 1)
            shape.group_outputs = ref_random_between(&random, 1, 8);

        struct sample *sample = sample_create(shape, &random);

        compared += compare(sample, bits, round % 3 / 2.0, round % 2);
        sample_free(sample);
    }
    ck_assert_int_ge(compared, 57);
}
END_TEST

START_TEST(dead_inputs_and_outputs)
{
    int32_t bits = 2 + _i;
    struct ref_random random = {(uint64_t)(2000 + _i)};
    struct sample *sample = sample_create((struct sample_shape){1, 4, 12, 60}, &random);
    int64_t n = sample->shape.n;

    for (int64_t i = 0; i < n; i++) {
        sample->h[5 * n + i] = sample->h[i * n + 5] = 0;
        sample->weights[2 * n + i] = 0;
        sample->w[2 * n + i] = 0;
    }
    sample->mean[5] = 0;
    ck_assert(compare(sample, bits, 0, 0));
    sample_free(sample);
}
END_TEST

START_TEST(no_other_range_scale_or_format)
{
    struct ref_random random = {3000};
    struct sample *sample = sample_create((struct sample_shape){1, 2, 6, 30}, &random);
    bsq_options_t options = paper_options(3, 0);

    if (_i == 0)
        options.weight_grid = BSQ_WEIGHT_GRID_FULL;
    else if (_i == 1)
        options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    else
        options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    ck_assert_ptr_null(sample_layer(sample, &options, 0, 0));
    sample_free(sample);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("paper");
    TCase *t = tcase_create("against the reference");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, same_codes_and_scales, 0, 7);
    tcase_add_loop_test(t, dead_inputs_and_outputs, 0, 7);
    tcase_add_loop_test(t, no_other_range_scale_or_format, 0, 3);
    suite_add_tcase(s, t);
    return s;
}
