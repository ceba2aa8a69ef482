/* The reference of the other tests, tested itself: against sums over rows of data, and against trying everything. */
#include "sample.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { MOST = 8 };

static struct sample *small_sample(struct ref_random *random, int64_t n)
{
    return sample_create((struct sample_shape){.groups = 1, .group_outputs = 1, .n = n, .rows = 3 * n + 2}, random);
}

static void draw_codes(struct ref_random *random, int64_t n, int32_t lowest, int32_t highest, int8_t *codes)
{
    for (int64_t i = 0; i < n; i++)
        codes[i] = (int8_t)ref_random_between(random, lowest, highest);
}

/* Mean of ((1 - mu) x'w + mu y - x'v)^2 over the rows, plus the damping. */
static double objective_of_rows(const struct sample *sample, double mu, double ridge, const double *v)
{
    int64_t n = sample->shape.n, rows = sample->shape.rows;
    double sum = 0, distance = 0;

    for (int64_t r = 0; r < rows; r++) {
        double error = mu * sample->y[r];

        for (int64_t i = 0; i < n; i++)
            error += sample->x[r * n + i] * ((1 - mu) * sample->w[i] - v[i]);
        sum += error * error;
    }
    for (int64_t i = 0; i < n; i++)
        distance += (sample->w[i] - v[i]) * (sample->w[i] - v[i]);
    return sum / (double)rows + ridge * distance;
}

START_TEST(objective_is_the_error_of_the_rows)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 1 + _i % MOST);
    int64_t n = sample->shape.n;
    double mu = _i % 3 / 2.0, p[MOST], v[MOST], scale = 0.01 + 0.2 * ref_random_uniform(&random), energy;
    int8_t codes[MOST];

    sample_target(sample, mu, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 0.01, p, &energy);

    draw_codes(&random, n, -4, 3, codes);
    ref_dequantize(n, n, codes, &scale, v);

    double expected = objective_of_rows(sample, mu, channel.ridge, v);

    ck_assert_double_eq_tol(ref_objective(&channel, v), expected, 1e-12 * (energy + expected));
    ck_assert_double_eq_tol(ref_output_error(&channel, v), objective_of_rows(sample, mu, 0, v),
                            1e-12 * (energy + expected));

    double zero[MOST] = {0};

    ck_assert_double_eq_tol(energy, objective_of_rows(sample, mu, 0, zero), 1e-12 * energy);
    sample_free(sample);
}
END_TEST

START_TEST(change_is_the_difference_of_two_objectives)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 2 + _i % (MOST - 1));
    int64_t n = sample->shape.n, k = _i % n;
    double p[MOST], v[MOST], scale = 0.1, energy;
    int8_t codes[MOST];
    int32_t step = _i % 2 ? -1 : 2;

    sample_target(sample, 1, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 0.01, p, &energy);

    draw_codes(&random, n, -3, 3, codes);
    ref_dequantize(n, n, codes, &scale, v);

    double before = ref_objective(&channel, v), change = ref_change(&channel, v, k, scale, step);

    v[k] += scale * step;
    ck_assert_double_eq_tol(ref_objective(&channel, v) - before, change, 1e-12 * (energy + before));
    sample_free(sample);
}
END_TEST

START_TEST(best_scales_are_at_a_minimum)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 2 + _i % (MOST - 1));
    int64_t n = sample->shape.n, group_size = 1 + _i % n, count = (n + group_size - 1) / group_size;
    double p[MOST], v[MOST], scales[MOST], energy;
    int8_t codes[MOST];

    sample_target(sample, 0.5, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 1e-3, p, &energy);

    draw_codes(&random, n, -3, 3, codes);

    double least = ref_best_scales(&channel, group_size, codes, scales);

    ref_dequantize(n, group_size, codes, scales, v);
    ck_assert_double_eq_tol(ref_objective(&channel, v), least, 1e-14 * energy);
    for (int64_t g = 0; g < count; g++)
        for (int32_t side = -1; side <= 1; side += 2) {
            double kept = scales[g];

            scales[g] += side * 1e-3;
            ref_dequantize(n, group_size, codes, scales, v);
            ck_assert_double_ge(ref_objective(&channel, v), least - 1e-13 * energy);
            scales[g] = kept;
        }
    sample_free(sample);
}
END_TEST

START_TEST(joint_optimum_is_what_a_fine_grid_of_scales_finds)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 2 + _i % 3);
    int64_t n = sample->shape.n;
    int32_t lowest, highest;
    double p[MOST], scale, energy, least = INFINITY;
    int8_t codes[MOST], trial[MOST];

    ref_code_range(2 + _i % 2, _i % 3 == 0, &lowest, &highest);
    sample_target(sample, 0, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 1e-6, p, &energy);
    double joint = ref_brute_joint(&channel, n, lowest, highest, codes, &scale);

    for (int32_t i = 1; i <= 8000; i++)
        least = fmin(least, ref_brute_codes(&channel, i * 2e-4, lowest, highest, trial));
    ck_assert_double_ge(scale, 0);
    ck_assert_double_le(joint, least + 1e-13 * energy);
    /* The grid is within 1e-4 of the best scale: that costs at most q'Hq times its square. */
    ck_assert_double_ge(joint, least - 1e-8 * 9 * (double)n * ref_mean_diagonal(n, sample->h) * (double)n);
    sample_free(sample);
}
END_TEST

START_TEST(digits_are_the_best_of_three)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 2 + _i % (MOST - 1));
    int64_t n = sample->shape.n, k = _i % n;
    int32_t bits = 2 + _i % 7, m = _i % (bits - 1);
    double p[MOST], v[MOST], rest[MOST], scale = 0.4 / (1 << (bits - 1)), energy, margin = 1;
    int8_t planes[7 * MOST];
    double of_weights[3], of_response[3];

    sample_target(sample, 1, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 0, p, &energy);

    draw_codes(&random, (bits - 1) * n, -1, 1, planes);

    int8_t weight_digit = ref_weight_digit(n, sample->w, scale, bits, planes, m, k, &margin);

    ref_rest(n, channel.h, p, scale, bits, planes, m, rest);

    int8_t response_digit = ref_response_digit(n, channel.h, rest, scale, m, planes + m * n, k, &margin);

    for (int32_t digit = -1; digit <= 1; digit++) {
        double distance = 0;

        planes[m * n + k] = (int8_t)digit;
        for (int64_t i = 0; i < n; i++) {
            v[i] = 0;
            for (int32_t plane = 0; plane < bits - 1; plane++)
                v[i] += scale * (1 << plane) * planes[plane * n + i];
            distance += (sample->w[i] - v[i]) * (sample->w[i] - v[i]);
        }
        of_weights[digit + 1] = distance;
        of_response[digit + 1] = ref_objective(&channel, v);
    }
    for (int32_t i = 0; i < 3 && margin > 1e-6; i++) {
        ck_assert_double_le(of_weights[weight_digit + 1], of_weights[i]);
        ck_assert_double_le(of_response[response_digit + 1], of_response[i] + 1e-14 * energy);
    }
    sample_free(sample);
}
END_TEST

START_TEST(boundaries_of_digits)
{
    const double h = 2, p = 1, w = 1, nothing = 0;
    const int8_t zero = 0;

    /* r = -2 p = -2 and the threshold is 1 * H = 2: on the boundary the digit is not zero. */
    ck_assert_int_eq(ref_response_digit(1, &h, &p, 1, 0, &zero, 0, NULL), 1);
    ck_assert_int_eq(ref_response_digit(1, &h, &p, 1.001, 0, &zero, 0, NULL), 0);
    ck_assert_int_eq(ref_weight_digit(1, &w, 2, 2, &zero, 0, 0, NULL), 1);
    ck_assert_int_eq(ref_weight_digit(1, &w, 2.001, 2, &zero, 0, 0, NULL), 0);
    ck_assert_int_eq(ref_weight_digit(1, &nothing, 1, 2, &zero, 0, 0, NULL), 0);
}
END_TEST

static double weight_distance(const struct sample *sample, const struct ref_codes *result)
{
    int64_t n = sample->shape.n;
    double sum = 0;

    for (int64_t i = 0; i < sample->channels * n; i++) {
        double error = sample->w[i] - result->scales[i / n] * result->codes[i];

        sum += error * error;
    }
    return sum;
}

START_TEST(rounding_is_nearest_and_alternating_rests)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = sample_create((struct sample_shape){1, 3, 2 + _i % 30, 1}, &random);
    int64_t n = sample->shape.n, count = 3 * n;
    int32_t bits = 2 + _i % 7, lowest, highest;
    struct ref_layer layer = {1, 3, n, sample->w, sample->h, NULL};
    struct ref_codes most = {malloc((size_t)count), calloc(3, sizeof(double)), 0};
    struct ref_codes alternating = {malloc((size_t)count), calloc(3, sizeof(double)), 0};

    ref_code_range(bits, 0, &lowest, &highest);
    ref_round_max(&layer, bits, &most);
    ref_round_alternating(&layer, bits, &alternating);
    ck_assert_double_le(weight_distance(sample, &alternating), weight_distance(sample, &most) * (1 + 1e-12));
    for (int64_t i = 0; i < count; i++) {
        double scale = alternating.scales[i / n], error = fabs(sample->w[i] - scale * alternating.codes[i]);

        ck_assert_int_le(abs(most.codes[i]), highest);
        ck_assert_double_le(fabs(sample->w[i] - most.scales[i / n] * most.codes[i]),
                            0.5 * most.scales[i / n] * (1 + 1e-12));
        for (int32_t code = lowest; code <= highest; code++)
            ck_assert_double_le(error, fabs(sample->w[i] - scale * code) + 1e-9);
    }
    free(most.codes);
    free(most.scales);
    free(alternating.codes);
    free(alternating.scales);
    sample_free(sample);
}
END_TEST

START_TEST(paper_lies_between_rounding_and_the_optimum)
{
    struct ref_random random = {(uint64_t)_i};
    struct sample *sample = small_sample(&random, 2 + _i % 4);
    int64_t n = sample->shape.n;
    int32_t bits = 2 + _i % 2, lowest, highest;
    double p[MOST], v[MOST], energy, paper_scale, rounded_scale, best_scale;
    int8_t paper_codes[MOST], rounded_codes[MOST], best_codes[MOST];
    struct ref_codes paper = {paper_codes, &paper_scale, 0}, rounded = {rounded_codes, &rounded_scale, 0};

    ref_code_range(bits, 0, &lowest, &highest);
    sample_target(sample, _i % 2, p, &energy);

    struct ref_channel channel = sample_channel(sample, 0, 0, p, &energy);
    struct ref_layer layer = {1, 1, n, sample->w, sample->h, p};

    ref_paper(&layer, bits, &paper);
    ref_round_alternating(&layer, bits, &rounded);
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_le(abs(paper_codes[i]), highest);

    ref_dequantize(n, n, rounded_codes, &rounded_scale, v);

    double of_rounding = ref_objective(&channel, v);

    ref_dequantize(n, n, paper_codes, &paper_scale, v);

    double of_paper = ref_objective(&channel, v);
    double optimum = ref_brute_joint(&channel, n, lowest, highest, best_codes, &best_scale);

    ck_assert_double_le(of_paper, of_rounding + 1e-13 * energy);
    ck_assert_double_ge(of_paper, optimum - 1e-13 * energy);
    sample_free(sample);
}
END_TEST

START_TEST(damping_by_rows)
{
    ck_assert_double_eq(ref_damping(0, 10), 1e-6);
    ck_assert_double_eq(ref_damping(1e9, 10), 1e-6);
    ck_assert_double_eq(ref_damping(10, 10), 0.3);
    ck_assert_double_eq(ref_damping(1, 10), 0.3);
    ck_assert_double_eq_tol(ref_damping(20, 10), 0.15, 1e-15);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("reference");
    TCase *t = tcase_create("formulas");

    tcase_add_loop_test(t, objective_is_the_error_of_the_rows, 0, 60);
    tcase_add_loop_test(t, change_is_the_difference_of_two_objectives, 0, 60);
    tcase_add_loop_test(t, best_scales_are_at_a_minimum, 0, 100);
    tcase_add_loop_test(t, joint_optimum_is_what_a_fine_grid_of_scales_finds, 0, 6);
    tcase_add_loop_test(t, digits_are_the_best_of_three, 0, 300);
    tcase_add_test(t, boundaries_of_digits);
    tcase_add_loop_test(t, rounding_is_nearest_and_alternating_rests, 0, 60);
    tcase_add_loop_test(t, paper_lies_between_rounding_and_the_optimum, 0, 60);
    tcase_add_test(t, damping_by_rows);
    suite_add_tcase(s, t);
    return s;
}
