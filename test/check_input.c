/* Activation ranges: quantizing against a direct computation, chosen quantizers against a search over the raw values,
 * ranges against numbers worked out by hand. */
#include "input/clip.h"
#include "support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- direct computation ----------------------------------------------------------------------------------- */

static void code_bounds(int type, int bits, int *lowest, int *highest)
{
    int codes = 1 << bits;

    *lowest = type == BSQ_INPUT_TYPE_SIGNED ? -codes / 2 : 0;
    *highest = type == BSQ_INPUT_TYPE_SIGNED ? codes / 2 - 1 : codes - 1;
}

/* The definition in bsq.h, word by word. */
static double direct(const struct bsq_quantizer *quantizer, double x)
{
    int lowest, highest;

    code_bounds(quantizer->type, quantizer->bits, &lowest, &highest);

    double code = rint(x / quantizer->scale) + quantizer->zero_point;

    code = fmin(fmax(code, lowest), highest);
    return quantizer->scale * (code - quantizer->zero_point);
}

static double squared_error(const struct bsq_quantizer *quantizer, const float *x, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++) {
        double error = (double)x[i] - direct(quantizer, (double)x[i]);

        sum += error * error;
    }
    return sum;
}

static double energy(const float *x, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* ---- helpers ---------------------------------------------------------------------------------------------- */

static bsq_options_t options_of(int type, int bits, int clip, double percentile)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.input_type = type;
    options.input_bits = bits;
    options.input_clip = clip;
    options.input_percentile = percentile;
    return options;
}

static struct bsq_histogram *histogram_of(const float *x, int64_t count)
{
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    struct bsq_histogram *histogram = bsq_histogram_create(&memory, 0);

    ck_assert_ptr_nonnull(histogram);
    bsq_histogram_add(histogram, x, count);
    ck_assert_int_eq(bsq_histogram_count(histogram), count);
    return histogram;
}

static struct bsq_quantizer chosen(const float *x, int64_t count, int type, int bits, int clip, double percentile)
{
    bsq_options_t options = options_of(type, bits, clip, percentile);
    struct bsq_histogram *histogram = histogram_of(x, count);
    struct bsq_quantizer quantizer = bsq_histogram_quantizer(histogram, &options);
    struct bsq_message message = {""};

    bsq_histogram_free(histogram);
    ck_assert_msg(bsq_quantizer_check(&quantizer, &message) == BSQ_OK, "%s", message.text);
    ck_assert_int_eq(quantizer.bits, bits);
    return quantizer;
}

static void expect(const struct bsq_quantizer *quantizer, int type, double scale, int zero_point)
{
    ck_assert_int_eq(quantizer->type, type);
    ck_assert_int_eq(quantizer->zero_point, zero_point);
    ck_assert_msg(fabs(quantizer->scale - scale) <= 0x1p-23 * scale, "scale %.9g instead of %.9g", quantizer->scale,
                  scale);
}

/* ---- quantizing ------------------------------------------------------------------------------------------- */

START_TEST(codes_of_every_type)
{
    for (int type = BSQ_INPUT_TYPE_UNSIGNED; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int bits = 2; bits <= 8; bits++) {
            struct bsq_quantizer quantizer = {1.0, 0, bits, type, 0};
            int lowest, highest;
            int32_t low, high;

            code_bounds(type, bits, &lowest, &highest);
            bsq_quantizer_codes(&quantizer, &low, &high);
            ck_assert_int_eq(low, lowest);
            ck_assert_int_eq(high, highest);
        }
}
END_TEST

static void expect_applied(const struct bsq_quantizer *quantizer, const float *x, int64_t count)
{
    float *y = malloc((size_t)count * sizeof *y);

    ck_assert_ptr_nonnull(y);
    memcpy(y, x, (size_t)count * sizeof *y);
    bsq_quantizer_apply(quantizer, y, count);
    for (int64_t i = 0; i < count; i++) {
        float expected = (float)fmin(fmax(direct(quantizer, (double)x[i]), -FLT_MAX), FLT_MAX);

        if (y[i] != expected || (y[i] == 0 && signbit(y[i])))
            ck_abort_msg("x %.9g, scale %.9g, zero point %d, %d bits, type %d: %.9g instead of %.9g", (double)x[i],
                         quantizer->scale, (int)quantizer->zero_point, (int)quantizer->bits, (int)quantizer->type,
                         (double)y[i], (double)expected);
    }
    free(y);
}

START_TEST(apply_follows_the_definition)
{
    enum { COUNT = 1000 };
    const double scales[] = {1.0, 0.25, 0.1, 3.7e-3, 1e-30, 1e30, FLT_MIN, FLT_MAX / 300, FLT_MAX};
    int type = _i % 3 + BSQ_INPUT_TYPE_UNSIGNED, bits = 2 + _i / 3;
    struct test_random random = test_random_seed((uint64_t)_i);
    float x[COUNT];

    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        struct bsq_quantizer quantizer = {(double)(float)scales[s], 0, bits, type, 0};

        if (type == BSQ_INPUT_TYPE_ZERO_POINT)
            quantizer.zero_point = (int32_t)test_random_below(&random, 1 << bits);
        for (int i = 0; i < COUNT; i++) {
            double value = quantizer.scale * (i < 600 ? 0.5 * (i - 300) : 300 * (test_random_uniform(&random) - 0.5));

            x[i] = (float)fmin(fmax(value, -FLT_MAX), FLT_MAX);
        }
        x[990] = FLT_MAX;
        x[991] = -FLT_MAX;
        x[992] = FLT_TRUE_MIN;
        x[993] = -FLT_TRUE_MIN;
        x[994] = -0.0f;
        x[995] = FLT_MIN;
        x[996] = 1e30f;
        x[997] = -1e30f;
        expect_applied(&quantizer, x, COUNT);
    }
}
END_TEST

/* Neighbours of every tie, where a quotient in single precision would round to the tie. */
START_TEST(apply_is_exact_beside_ties)
{
    struct test_random random = test_random_seed(5);

    for (int trial = 0; trial < 200; trial++) {
        struct bsq_quantizer quantizer = {(double)(float)(0.5 + test_random_uniform(&random)), 0, 8,
                                          BSQ_INPUT_TYPE_UNSIGNED, 0};
        float x[3 * 255];

        for (int code = 0; code < 255; code++) {
            float tie = (float)(quantizer.scale * (code + 0.5));

            x[3 * code] = nextafterf(tie, 0.0f);
            x[3 * code + 1] = tie;
            x[3 * code + 2] = nextafterf(tie, 1000.0f);
        }
        expect_applied(&quantizer, x, 3 * 255);
    }
}
END_TEST

START_TEST(apply_takes_any_count)
{
    const struct bsq_quantizer quantizer = {0.5, 3, 4, BSQ_INPUT_TYPE_ZERO_POINT, 0}, none = {0};

    for (int count = 0; count < 70; count++) {
        float x[71], before[71];

        for (int i = 0; i < 71; i++)
            x[i] = before[i] = 0.37f * (float)(i - 30);
        bsq_quantizer_apply(&none, x, count);
        ck_assert_mem_eq(x, before, sizeof x);
        bsq_quantizer_apply(&quantizer, x, count);
        for (int i = 0; i < 71; i++)
            ck_assert_float_eq(x[i], i < count ? (float)direct(&quantizer, (double)before[i]) : before[i]);
    }
}
END_TEST

static void expect_checked(bsq_status_t status, double scale, int zero_point, int bits, int type)
{
    struct bsq_quantizer quantizer = {scale, zero_point, bits, type, 0};
    struct bsq_message message = {""};

    ck_assert_int_eq(bsq_quantizer_check(&quantizer, &message), status);
    ck_assert_int_eq(message.text[0] != 0, status != BSQ_OK);
}

START_TEST(quantizers_of_a_host_are_checked)
{
    for (int bits = 2; bits <= 8; bits++) {
        expect_checked(BSQ_OK, 0.5, 0, bits, BSQ_INPUT_TYPE_UNSIGNED);
        expect_checked(BSQ_OK, FLT_MIN, 0, bits, BSQ_INPUT_TYPE_SIGNED);
        expect_checked(BSQ_OK, FLT_MAX, (1 << bits) - 1, bits, BSQ_INPUT_TYPE_ZERO_POINT);
        expect_checked(BSQ_E_RANGE, 1.0, 1 << bits, bits, BSQ_INPUT_TYPE_ZERO_POINT);
        expect_checked(BSQ_E_RANGE, 1.0, -1, bits, BSQ_INPUT_TYPE_ZERO_POINT);
        expect_checked(BSQ_E_RANGE, 1.0, 1, bits, BSQ_INPUT_TYPE_SIGNED);
        expect_checked(BSQ_E_RANGE, 1.0, 1, bits, BSQ_INPUT_TYPE_UNSIGNED);
    }
    expect_checked(BSQ_E_RANGE, 1.0, 0, 0, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 1.0, 0, 1, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 1.0, 0, 9, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 1.0, 0, 4, BSQ_INPUT_TYPE_AUTO);
    expect_checked(BSQ_E_RANGE, 1.0, 0, 4, 4);
    expect_checked(BSQ_E_RANGE, 0.0, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, -1.0, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, (double)NAN, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, (double)INFINITY, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 0.5 * FLT_MIN, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 2.0 * FLT_MAX, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
    expect_checked(BSQ_E_RANGE, 0.1, 0, 4, BSQ_INPUT_TYPE_UNSIGNED);
}
END_TEST

START_TEST(quantizers_compare)
{
    const struct bsq_quantizer a = {0.5, 3, 4, BSQ_INPUT_TYPE_ZERO_POINT, 0}, none = {0}, no_bits = {2.0, 1, 0, 1, 0};
    struct bsq_quantizer other[] = {a, a, a, a};

    other[0].scale = 0.25;
    other[1].zero_point = 4;
    other[2].bits = 5;
    other[3].type = BSQ_INPUT_TYPE_SIGNED;
    ck_assert(bsq_quantizer_same(&a, &a));
    for (int i = 0; i < 4; i++)
        ck_assert(!bsq_quantizer_same(&a, &other[i]) && !bsq_quantizer_same(&other[i], &a));
    ck_assert(bsq_quantizer_same(&none, &no_bits));
    ck_assert(!bsq_quantizer_same(&none, &a) && !bsq_quantizer_same(&a, &none));
}
END_TEST

/* ---- samples ---------------------------------------------------------------------------------------------- */

enum {
    GAUSSIAN,
    RELU,
    SILU,
    HEAVY,
    SPARSE,
    UNIFORM,
    CONSTANT,
    NEGATIVE_CONSTANT,
    TWO_VALUES,
    ON_A_GRID,
    OUTLIER,
    TINY,
    HUGE,
    KINDS
};

static double draw(struct test_random *random, int kind)
{
    double normal = test_random_normal(random), uniform = test_random_uniform(random);

    switch (kind) {
    case GAUSSIAN: return normal;
    case RELU: return normal > 0 ? normal : 0;
    case SILU: return 2 * normal / (1 + exp(-2 * normal));
    case HEAVY: return normal * normal * normal / (0.05 + uniform);
    case SPARSE: return uniform < 0.02 ? normal : 0;
    case UNIFORM: return 3 * uniform - 1;
    case CONSTANT: return 0.7;
    case NEGATIVE_CONSTANT: return -13;
    case TWO_VALUES: return uniform < 0.3 ? 1.0 : 1.7;
    case ON_A_GRID: return 0.0123 * (double)test_random_below(random, 201);
    case OUTLIER: return uniform < 0.001 ? 40 : normal;
    case TINY: return 1e-30 * normal;
    default: return 1e30 * (normal > 0 ? normal : 0.1 * normal);
    }
}

static float *sample(int kind, int64_t count)
{
    struct test_random random = test_random_seed((uint64_t)kind);
    float *x = malloc((size_t)count * sizeof *x);

    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)draw(&random, kind);
    return x;
}

/* ---- least squared error ---------------------------------------------------------------------------------- */

static double largest(const float *x, int64_t count)
{
    double most = 0;

    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

/* The least squared error over a dense grid of scales and, where there is one, all zero points. */
static double least_error(const float *x, int64_t count, int type, int bits, int scales)
{
    double most = largest(x, count), best = energy(x, count);
    int zero_points = type == BSQ_INPUT_TYPE_ZERO_POINT ? 1 << bits : 1, octaves = bits + 3;

    for (int s = 0; s <= scales; s++)
        for (int z = 0; z < zero_points; z++) {
            struct bsq_quantizer quantizer = {most * exp2(-(double)octaves * s / scales), z, bits, type, 0};

            best = fmin(best, squared_error(&quantizer, x, count));
        }
    return best;
}

static void expect_least_error(int kind, int64_t count, int type, int bits, int scales)
{
    float *x = sample(kind, count);
    struct bsq_quantizer quantizer = chosen(x, count, type, bits, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
    double error = squared_error(&quantizer, x, count), best = least_error(x, count, type, bits, scales);

    ck_assert_int_eq(quantizer.type, type);
    ck_assert_msg(error <= 1.01 * best + 1e-13 * energy(x, count),
                  "kind %d, type %d, %d bits: scale %g, zero point %d: %g, best of the grid %g", kind, type, bits,
                  quantizer.scale, (int)quantizer.zero_point, error, best);
    free(x);
}

/* Many values, so that bins are full. */
START_TEST(squared_error_of_many_values)
{
    for (int bits = 2; bits <= 8; bits += 2) {
        expect_least_error(_i, 20000, BSQ_INPUT_TYPE_UNSIGNED, bits, 150);
        expect_least_error(_i, 20000, BSQ_INPUT_TYPE_SIGNED, bits, 150);
    }
}
END_TEST

/* Few values, where the error of one of them counts. */
START_TEST(squared_error_of_few_values)
{
    const int64_t counts[] = {1, 2, 3, 10, 100, 1000};

    for (int c = 0; c < 6; c++)
        for (int bits = 2; bits <= 8; bits += 2) {
            expect_least_error(_i, counts[c], BSQ_INPUT_TYPE_UNSIGNED, bits, 800);
            expect_least_error(_i, counts[c], BSQ_INPUT_TYPE_SIGNED, bits, 800);
        }
}
END_TEST

START_TEST(squared_error_with_a_zero_point)
{
    expect_least_error(_i, 20000, BSQ_INPUT_TYPE_ZERO_POINT, 2, 200);
    expect_least_error(_i, 3000, BSQ_INPUT_TYPE_ZERO_POINT, 4, 200);
    expect_least_error(_i, 600, BSQ_INPUT_TYPE_ZERO_POINT, 6, 150);
    expect_least_error(_i, 300, BSQ_INPUT_TYPE_ZERO_POINT, 8, 100);
}
END_TEST

START_TEST(values_on_a_grid_stay_as_they_are)
{
    enum { COUNT = 5000 };
    const int types[] = {BSQ_INPUT_TYPE_UNSIGNED, BSQ_INPUT_TYPE_ZERO_POINT};
    float *x = sample(ON_A_GRID, COUNT);

    for (int t = 0; t < 2; t++) {
        struct bsq_quantizer quantizer = chosen(x, COUNT, types[t], 8, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);

        ck_assert_double_lt(squared_error(&quantizer, x, COUNT), 1e-9 * energy(x, COUNT));
    }
    for (int i = 0; i < COUNT; i++)
        x[i] -= 0.0123f * 90;

    struct bsq_quantizer quantizer = chosen(x, COUNT, BSQ_INPUT_TYPE_AUTO, 8, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);

    ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_ZERO_POINT);
    ck_assert_double_lt(squared_error(&quantizer, x, COUNT), 1e-9 * energy(x, COUNT));
    free(x);
}
END_TEST

START_TEST(squared_error_is_not_above_the_other_clips)
{
    enum { COUNT = 5000 };
    float *x = sample(_i, COUNT);

    for (int type = BSQ_INPUT_TYPE_UNSIGNED; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int bits = 2; bits <= 8; bits += 2) {
            struct bsq_quantizer best = chosen(x, COUNT, type, bits, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
            struct bsq_quantizer full = chosen(x, COUNT, type, bits, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
            struct bsq_quantizer most = chosen(x, COUNT, type, bits, BSQ_INPUT_CLIP_PERCENTILE, 0.999);
            double least = fmin(squared_error(&full, x, COUNT), squared_error(&most, x, COUNT));

            ck_assert_double_le(squared_error(&best, x, COUNT), 1.002 * least + 1e-13 * energy(x, COUNT));
        }
    free(x);
}
END_TEST

/* ---- ranges ----------------------------------------------------------------------------------------------- */

START_TEST(minimum_maximum_by_hand)
{
    const float mixed[] = {0.5f, -1.0f, 3.0f, 0.0f}, negative[] = {-4.0f, 1.0f}, positive[] = {2.0f, 10.0f};
    const float below[] = {-2.0f, -6.0f};
    struct bsq_quantizer q;

    q = chosen(mixed, 4, BSQ_INPUT_TYPE_AUTO, 8, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, 4.0 / 255, 64); /* 1 / (4 / 255) = 63.75 */
    q = chosen(mixed, 4, BSQ_INPUT_TYPE_ZERO_POINT, 2, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, 4.0 / 3, 1);
    q = chosen(mixed, 4, BSQ_INPUT_TYPE_SIGNED, 8, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_SIGNED, 3.0 / 127, 0);
    q = chosen(mixed, 4, BSQ_INPUT_TYPE_UNSIGNED, 4, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_UNSIGNED, 3.0 / 15, 0);
    q = chosen(negative, 2, BSQ_INPUT_TYPE_SIGNED, 3, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_SIGNED, 1.0, 0);
    q = chosen(positive, 2, BSQ_INPUT_TYPE_AUTO, 2, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_UNSIGNED, 10.0 / 3, 0);
    /* Zero is in every range. */
    q = chosen(positive, 2, BSQ_INPUT_TYPE_ZERO_POINT, 4, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, 10.0 / 15, 0);
    q = chosen(below, 2, BSQ_INPUT_TYPE_AUTO, 4, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, 6.0 / 15, 15);
    q = chosen(below, 2, BSQ_INPUT_TYPE_SIGNED, 2, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);
    expect(&q, BSQ_INPUT_TYPE_SIGNED, 3.0, 0);
}
END_TEST

START_TEST(type_follows_the_sign)
{
    const float zero[] = {0.0f, -0.0f, 1.0f}, tiny[] = {1.0f, -FLT_TRUE_MIN};

    for (int clip = BSQ_INPUT_CLIP_SQUARED_ERROR; clip <= BSQ_INPUT_CLIP_PERCENTILE; clip++) {
        ck_assert_int_eq(chosen(zero, 3, BSQ_INPUT_TYPE_AUTO, 4, clip, 0.99).type, BSQ_INPUT_TYPE_UNSIGNED);
        ck_assert_int_eq(chosen(tiny, 2, BSQ_INPUT_TYPE_AUTO, 4, clip, 0.99).type, BSQ_INPUT_TYPE_ZERO_POINT);
        ck_assert_int_eq(chosen(tiny, 2, BSQ_INPUT_TYPE_UNSIGNED, 4, clip, 0.99).type, BSQ_INPUT_TYPE_UNSIGNED);
        ck_assert_int_eq(chosen(zero, 3, BSQ_INPUT_TYPE_SIGNED, 4, clip, 0.99).type, BSQ_INPUT_TYPE_SIGNED);
    }
}
END_TEST

START_TEST(nothing_to_see_gives_scale_one)
{
    const float zeros[] = {0.0f, -0.0f, 0.0f}, below[] = {-1.0f, -2.0f};
    struct bsq_quantizer q;

    for (int clip = BSQ_INPUT_CLIP_SQUARED_ERROR; clip <= BSQ_INPUT_CLIP_PERCENTILE; clip++) {
        for (int type = BSQ_INPUT_TYPE_AUTO; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
            for (int count = 0; count <= 3; count++) {
                q = chosen(zeros, count, type, 4, clip, 0.9);
                expect(&q, type == BSQ_INPUT_TYPE_AUTO ? BSQ_INPUT_TYPE_UNSIGNED : type, 1.0, 0);
            }
        q = chosen(below, 2, BSQ_INPUT_TYPE_UNSIGNED, 4, clip, 0.9);
        expect(&q, BSQ_INPUT_TYPE_UNSIGNED, 1.0, 0);
    }
}
END_TEST

START_TEST(no_bits_give_no_quantizer)
{
    const float x[] = {1.0f, 2.0f};
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, 0, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
    struct bsq_histogram *histogram = histogram_of(x, 2);

    ck_assert_int_eq(bsq_histogram_quantizer(histogram, &options).bits, 0);
    bsq_histogram_free(histogram);
}
END_TEST

/* Powers of two never share a bin, so counts are exact: i times 2^i, i = 1..count. */
static int64_t powers(int most, float sign, float *x)
{
    int64_t count = 0;

    for (int i = 1; i <= most; i++)
        for (int k = 0; k < i; k++)
            x[count++] = sign * ldexpf(1.0f, i);
    return count;
}

START_TEST(percentile_counts_exactly)
{
    float x[200];
    int64_t count = powers(10, 1.0f, x);
    struct bsq_quantizer q;

    ck_assert_int_eq(count, 55);
    /* 10 values are 2^10, 9 are 2^9, 8 are 2^8 ... */
    for (int outside = 0; outside < 27; outside++) {
        double share = 1 - outside / 55.0, limit = outside < 10 ? 1024 : outside < 19 ? 512 : 256;

        q = chosen(x, count, BSQ_INPUT_TYPE_UNSIGNED, 4, BSQ_INPUT_CLIP_PERCENTILE, share);
        expect(&q, BSQ_INPUT_TYPE_UNSIGNED, limit / 15, 0);
        q = chosen(x, count, BSQ_INPUT_TYPE_ZERO_POINT, 4, BSQ_INPUT_CLIP_PERCENTILE, share);
        expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, limit / 15, 0);
        q = chosen(x, count, BSQ_INPUT_TYPE_SIGNED, 4, BSQ_INPUT_CLIP_PERCENTILE, share);
        expect(&q, BSQ_INPUT_TYPE_SIGNED, limit / 7, 0);
    }
    /* A share that leaves a fraction of a value outside leaves none. */
    q = chosen(x, count, BSQ_INPUT_TYPE_UNSIGNED, 4, BSQ_INPUT_CLIP_PERCENTILE, 1 - 9.9 / 55);
    expect(&q, BSQ_INPUT_TYPE_UNSIGNED, 1024.0 / 15, 0);
}
END_TEST

START_TEST(percentile_has_two_sides)
{
    float x[200];
    int64_t count = powers(10, 1.0f, x);
    struct bsq_quantizer q;

    /* 55 positive values as above, 6 negative ones: 3 of -8, 2 of -4, 1 of -2. */
    count += powers(3, -1.0f, x + count);
    ck_assert_int_eq(count, 61);

    const struct {
        int outside;
        double low, high;
    } expected[] = {{0, 8, 1024},  {4, 8, 1024}, {6, 4, 1024}, {10, 2, 1024}, {12, 0, 1024},
                    {15, 0, 1024}, {16, 0, 512}, {24, 0, 512}, {25, 0, 256}};

    /* Half of those outside on each side; what the few negative ones do not use goes to the other side. */
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        double width = expected[i].low + expected[i].high, scale = width / 255;

        q = chosen(x, count, BSQ_INPUT_TYPE_ZERO_POINT, 8, BSQ_INPUT_CLIP_PERCENTILE, 1 - expected[i].outside / 61.0);
        expect(&q, BSQ_INPUT_TYPE_ZERO_POINT, scale, (int)rint(expected[i].low / scale));
    }
}
END_TEST

/* Inside a bin the limit is interpolated: the share is kept within a few values. */
START_TEST(percentile_of_many_values)
{
    enum { COUNT = 40000 };
    const double shares[] = {0.6, 0.9, 0.99, 0.999, 0.9999};
    float *x = sample(_i, COUNT);

    for (int type = BSQ_INPUT_TYPE_SIGNED; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int s = 0; s < 5; s++) {
            struct bsq_quantizer q = chosen(x, COUNT, type, 8, BSQ_INPUT_CLIP_PERCENTILE, shares[s]);
            int lowest, highest, outside = 0;

            code_bounds(type, 8, &lowest, &highest);
            for (int i = 0; i < COUNT; i++) {
                double code = (double)x[i] / q.scale + q.zero_point;

                outside += code < lowest - 0.51 || code > highest + 0.51;
            }
            ck_assert_msg(outside <= (1 - shares[s]) * COUNT + 0.001 * COUNT, "type %d, share %g: %d outside", type,
                          shares[s], outside);
            if (type == BSQ_INPUT_TYPE_ZERO_POINT && (_i == GAUSSIAN || _i == HEAVY))
                ck_assert_msg(outside >= (1 - shares[s]) * COUNT - 0.012 * COUNT, "type %d, share %g: %d outside", type,
                              shares[s], outside);
        }
    free(x);
}
END_TEST

START_TEST(percentile_one_is_minimum_maximum)
{
    enum { COUNT = 3000 };
    float *x = sample(_i, COUNT);

    for (int type = BSQ_INPUT_TYPE_AUTO; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int bits = 2; bits <= 8; bits++) {
            struct bsq_quantizer all = chosen(x, COUNT, type, bits, BSQ_INPUT_CLIP_PERCENTILE, 1);
            struct bsq_quantizer range = chosen(x, COUNT, type, bits, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 1);

            ck_assert(bsq_quantizer_same(&all, &range));
        }
    free(x);
}
END_TEST

START_TEST(percentile_of_mostly_zeros_is_the_full_range)
{
    float x[100] = {[3] = 5.0f, [50] = 2.0f};
    struct bsq_quantizer q = chosen(x, 100, BSQ_INPUT_TYPE_AUTO, 4, BSQ_INPUT_CLIP_PERCENTILE, 0.9);

    expect(&q, BSQ_INPUT_TYPE_UNSIGNED, 5.0 / 15, 0);
}
END_TEST

/* ---- the histogram ---------------------------------------------------------------------------------------- */

static void shuffle(struct test_random *random, float *x, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t k = test_random_below(random, i + 1);
        float swap = x[i];

        x[i] = x[k];
        x[k] = swap;
    }
}

static void expect_same_choice(struct bsq_histogram *a, struct bsq_histogram *b)
{
    ck_assert_int_eq(bsq_histogram_count(a), bsq_histogram_count(b));
    for (int type = BSQ_INPUT_TYPE_AUTO; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int clip = BSQ_INPUT_CLIP_SQUARED_ERROR; clip <= BSQ_INPUT_CLIP_PERCENTILE; clip++)
            for (int bits = 3; bits <= 8; bits += 4) {
                bsq_options_t options = options_of(type, bits, clip, 0.999);
                struct bsq_quantizer one = bsq_histogram_quantizer(a, &options);
                struct bsq_quantizer two = bsq_histogram_quantizer(b, &options);

                ck_assert(bsq_quantizer_same(&one, &two));
            }
}

START_TEST(order_and_cut_do_not_matter)
{
    enum { COUNT = 5000 };
    float *x = sample(_i, COUNT);
    struct test_random random = test_random_seed(99);
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    struct bsq_histogram *whole = histogram_of(x, COUNT), *parts = bsq_histogram_create(&memory, 0);

    ck_assert_ptr_nonnull(parts);
    shuffle(&random, x, COUNT);
    for (int64_t i = 0; i < COUNT;) {
        int64_t length = test_random_below(&random, 700);

        length = i + length > COUNT ? COUNT - i : length;
        bsq_histogram_add(parts, x + i, length);
        i += length;
    }
    expect_same_choice(whole, parts);
    bsq_histogram_free(whole);
    bsq_histogram_free(parts);
    free(x);
}
END_TEST

START_TEST(clones_go_their_own_way)
{
    enum { COUNT = 2000 };
    float *x = sample(SILU, 2 * COUNT);
    struct bsq_histogram *first = histogram_of(x, COUNT), *same = histogram_of(x, COUNT);
    struct bsq_histogram *both = histogram_of(x, 2 * COUNT), *clone = bsq_histogram_clone(first);

    ck_assert_ptr_nonnull(clone);
    expect_same_choice(clone, first);
    bsq_histogram_add(clone, x + COUNT, COUNT);
    expect_same_choice(clone, both);
    expect_same_choice(first, same);
    bsq_histogram_free(first);
    bsq_histogram_free(same);
    bsq_histogram_free(both);
    bsq_histogram_free(clone);
    bsq_histogram_free(NULL);
    free(x);
}
END_TEST

START_TEST(one_block_of_a_known_size)
{
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, 8, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
    float *x = sample(HEAVY, 1000);
    struct test_heap heap;

    test_heap_init(&heap);
    test_heap_use(&heap, &options);

    struct bsq_memory memory = bsq_memory_hooks(&options);
    struct bsq_histogram *histogram = bsq_histogram_create(&memory, 0);

    ck_assert_ptr_nonnull(histogram);
    bsq_histogram_add(histogram, x, 1000);
    (void)bsq_histogram_quantizer(histogram, &options);
    ck_assert_int_eq(heap.calls, 1);
    ck_assert_int_eq(heap.bytes, (int64_t)bsq_memory_cost(bsq_histogram_bytes(0)));
    heap.fail_at = 2;
    ck_assert_ptr_null(bsq_histogram_clone(histogram));
    heap.fail_at = 3;
    ck_assert_ptr_null(bsq_histogram_create(&memory, 0));
    bsq_histogram_free(histogram);
    ck_assert_int_eq(heap.blocks, 0);
    free(x);
}
END_TEST

/* ---- histograms of channels -------------------------------------------------------------------------------- */

/* Every kind of values as a channel, in both layouts. */
enum { PLANE = 50 };

static float *interleave(int64_t samples, bool channels_last)
{
    float *x = malloc((size_t)(samples * KINDS * PLANE) * sizeof *x);

    ck_assert_ptr_nonnull(x);
    for (int c = 0; c < KINDS; c++) {
        float *own = sample(c, samples * PLANE);

        for (int64_t i = 0; i < samples * PLANE; i++)
            x[channels_last ? i * KINDS + c : (i / PLANE * KINDS + c) * PLANE + i % PLANE] = own[i];
        free(own);
    }
    return x;
}

static struct bsq_quantizer channels_of(const struct bsq_histogram *histogram, const bsq_options_t *options)
{
    struct bsq_quantizer quantizer;

    ck_assert(bsq_histogram_channel_quantizer(histogram, options, &quantizer));
    ck_assert_int_eq(quantizer.channels->count, KINDS);
    return quantizer;
}

/* One channel of a quantizer, as one of its own. */
static struct bsq_quantizer one_of(const struct bsq_quantizer *quantizer, int c)
{
    return (struct bsq_quantizer){bsq_quantizer_scale(quantizer, c), bsq_quantizer_zero_point(quantizer, c),
                                  quantizer->bits, quantizer->type, NULL};
}

/* Coarser bins cost next to nothing; values on a grid, which only finer ones find, are the
 * exception. */
START_TEST(channels_are_chosen_nearly_as_well)
{
    enum { SAMPLES = 400 };
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    struct bsq_histogram *histogram = bsq_histogram_create(&memory, KINDS);
    float *x = interleave(SAMPLES, false);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_UNSIGNED + _i, 2, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);

    ck_assert_ptr_nonnull(histogram);
    bsq_histogram_add_channels(histogram, x, SAMPLES, PLANE, false);
    ck_assert_int_eq(bsq_histogram_count(histogram), SAMPLES * PLANE * KINDS);
    for (; options.input_bits <= 8; options.input_bits++) {
        struct bsq_quantizer quantizer = channels_of(histogram, &options);

        for (int c = 0; c < KINDS; c++) {
            float *own = sample(c, SAMPLES * PLANE);
            struct bsq_quantizer coarse = one_of(&quantizer, c);
            struct bsq_quantizer fine =
                chosen(own, SAMPLES * PLANE, options.input_type, options.input_bits, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
            double error = squared_error(&coarse, own, SAMPLES * PLANE);
            double best = squared_error(&fine, own, SAMPLES * PLANE);

            if (c != ON_A_GRID && c != TWO_VALUES)
                ck_assert_msg(error <= 1.1 * best + 1e-13 * energy(own, SAMPLES * PLANE),
                              "kind %d, %d bits: %g instead of %g", c, (int)options.input_bits, error, best);
            free(own);
        }
        bsq_quantizer_release(&quantizer);
    }
    bsq_histogram_free(histogram);
    free(x);
}
END_TEST

/* Neither do layout, order and cut matter for channels, although their windows move on the way. */
START_TEST(channels_in_any_order)
{
    enum { SAMPLES = 40 };
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    struct bsq_histogram *first = bsq_histogram_create(&memory, KINDS), *last = bsq_histogram_create(&memory, KINDS);
    float *x = interleave(SAMPLES, false), *y = interleave(SAMPLES, true);
    struct test_random random = test_random_seed(3);

    for (int c = 0; c < KINDS; c++) /* one value of any size now and then */
        for (int64_t i = 0; i < SAMPLES * PLANE; i += 37) {
            float value = (float)ldexp(test_random_normal(&random), (int)test_random_below(&random, 160) - 80);

            x[(i / PLANE * KINDS + c) * PLANE + i % PLANE] = y[i * KINDS + c] = value;
        }
    bsq_histogram_add_channels(first, x, SAMPLES, PLANE, false);
    for (int64_t i = SAMPLES; i-- > 0;) {
        bsq_histogram_add_channels(last, y + i * KINDS * PLANE, 1, PLANE / 2, true);
        bsq_histogram_add_channels(last, y + (2 * i + 1) * KINDS * (PLANE / 2), 1, PLANE / 2, true);
    }

    struct bsq_histogram *clone = bsq_histogram_clone(last);

    for (int type = BSQ_INPUT_TYPE_AUTO; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
        for (int clip = BSQ_INPUT_CLIP_SQUARED_ERROR; clip <= BSQ_INPUT_CLIP_PERCENTILE; clip++) {
            bsq_options_t options = options_of(type, 4, clip, 0.99);
            struct bsq_quantizer one = channels_of(first, &options), two = channels_of(last, &options);
            struct bsq_quantizer three = channels_of(clone, &options);

            ck_assert(bsq_quantizer_same(&one, &two) && bsq_quantizer_same(&one, &three));
            two.channels->scale[4] *= 2;
            three.channels->zero_point[5] += 1;
            ck_assert(!bsq_quantizer_same(&one, &two) && !bsq_quantizer_same(&one, &three));
            bsq_quantizer_release(&one);
            bsq_quantizer_release(&two);
            bsq_quantizer_release(&three);
        }
    bsq_histogram_free(first);
    bsq_histogram_free(last);
    bsq_histogram_free(clone);
    free(x);
    free(y);
}
END_TEST

/* The full range of a channel and shares of it are those of its values, as far as 24 exponents reach. */
START_TEST(ranges_of_channels)
{
    float x[200] = {0}; /* two channels, last */
    struct bsq_memory memory = bsq_memory_hooks(NULL);
    struct bsq_histogram *histogram = bsq_histogram_create(&memory, 2);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, 4, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 0.9);
    struct bsq_quantizer quantizer;

    bsq_histogram_add_channels(histogram, x, 100, 1, true);
    ck_assert(bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    ck_assert(quantizer.scale == 1 && quantizer.channels->scale[0] == 1 && quantizer.type == BSQ_INPUT_TYPE_UNSIGNED);
    bsq_quantizer_release(&quantizer);
    for (int i = 0; i < 100; i++)
        x[2 * i + 1] = i < 10 ? 60.0f : i < 20 ? 30.0f : 1e-12f;
    bsq_histogram_add_channels(histogram, x, 100, 1, true);
    ck_assert(bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    ck_assert(quantizer.channels->scale[1] == 4 && quantizer.channels->scale[0] == 4 && quantizer.scale == 4);
    ck_assert(bsq_quantizer_beta(&quantizer, 0) == 1 && bsq_quantizer_beta(&quantizer, 1) == 1);
    bsq_quantizer_release(&quantizer);
    options.input_clip = BSQ_INPUT_CLIP_PERCENTILE;
    options.input_percentile = 0.95;
    ck_assert(bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    ck_assert(quantizer.channels->scale[1] == 2);
    bsq_quantizer_release(&quantizer);
    options.input_percentile = 0.9; /* what is left is too small to count: nothing is left outside then */
    ck_assert(bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    ck_assert(quantizer.channels->scale[1] == 4);
    bsq_quantizer_release(&quantizer);
    bsq_histogram_free(histogram);
}
END_TEST

START_TEST(channels_of_a_known_size)
{
    enum { CHANNELS = 5 };
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, 8, BSQ_INPUT_CLIP_SQUARED_ERROR, 1);
    float *x = sample(HEAVY, CHANNELS * 100);
    struct test_heap heap;
    struct bsq_quantizer quantizer, other;

    test_heap_init(&heap);
    test_heap_use(&heap, &options);

    struct bsq_memory memory = bsq_memory_hooks(&options);
    struct bsq_histogram *histogram = bsq_histogram_create(&memory, CHANNELS);

    bsq_histogram_add_channels(histogram, x, 100, 1, true);
    ck_assert_int_eq(heap.bytes, (int64_t)bsq_memory_cost(bsq_histogram_bytes(CHANNELS)));
    ck_assert_int_lt(heap.bytes, 60000 + 20000 * CHANNELS);
    heap.fail_at = 2;
    ck_assert(!bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    ck_assert(bsq_histogram_channel_quantizer(histogram, &options, &quantizer));
    bsq_histogram_free(histogram);
    ck_assert_int_eq(heap.bytes, (int64_t)bsq_memory_cost(bsq_input_channels_bytes(CHANNELS)));
    other = bsq_quantizer_retain(&quantizer);
    bsq_quantizer_release(&quantizer);
    bsq_quantizer_release(&quantizer); /* holds none any more */
    ck_assert_int_eq(heap.blocks, 1);
    bsq_quantizer_release(&other);
    ck_assert_int_eq(heap.blocks, 0);
    free(x);
}
END_TEST

/* Whatever comes in, a quantizer within its bounds comes out ('chosen' checks that), and zero stays zero. */
START_TEST(extreme_values_give_valid_quantizers)
{
    const float values[] = {0.0f, FLT_TRUE_MIN, -FLT_TRUE_MIN, FLT_MIN, -FLT_MIN, 1e-30f,  -1e-30f,
                            1.0f, -1.0f,        1e30f,         -1e30f,  FLT_MAX,  -FLT_MAX};
    enum { VALUES = 13 };

    for (int a = 0; a < VALUES; a++)
        for (int b = a; b < VALUES; b++)
            for (int type = BSQ_INPUT_TYPE_AUTO; type <= BSQ_INPUT_TYPE_ZERO_POINT; type++)
                for (int clip = BSQ_INPUT_CLIP_SQUARED_ERROR; clip <= BSQ_INPUT_CLIP_PERCENTILE; clip++) {
                    int bits = 2 + (a + b) % 7;
                    float x[] = {values[a], values[b], 0.0f};
                    struct bsq_quantizer q = chosen(x, 3, type, bits, clip, 0.6);

                    expect_applied(&q, x, 3);
                }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("input");
    TCase *apply = tcase_create("apply"), *error = tcase_create("squared error"), *range = tcase_create("range");
    TCase *histogram = tcase_create("histogram");

    tcase_add_test(apply, codes_of_every_type);
    tcase_add_loop_test(apply, apply_follows_the_definition, 0, 21);
    tcase_add_test(apply, apply_is_exact_beside_ties);
    tcase_add_test(apply, apply_takes_any_count);
    tcase_add_test(apply, quantizers_of_a_host_are_checked);
    tcase_add_test(apply, quantizers_compare);
    tcase_add_loop_test(error, squared_error_of_many_values, 0, KINDS);
    tcase_add_loop_test(error, squared_error_of_few_values, 0, KINDS);
    tcase_add_loop_test(error, squared_error_with_a_zero_point, 0, KINDS);
    tcase_add_test(error, values_on_a_grid_stay_as_they_are);
    tcase_add_loop_test(error, squared_error_is_not_above_the_other_clips, 0, KINDS);
    tcase_add_test(range, minimum_maximum_by_hand);
    tcase_add_test(range, type_follows_the_sign);
    tcase_add_test(range, nothing_to_see_gives_scale_one);
    tcase_add_test(range, no_bits_give_no_quantizer);
    tcase_add_test(range, percentile_counts_exactly);
    tcase_add_test(range, percentile_has_two_sides);
    tcase_add_loop_test(range, percentile_of_many_values, 0, KINDS);
    tcase_add_loop_test(range, percentile_one_is_minimum_maximum, 0, KINDS);
    tcase_add_test(range, percentile_of_mostly_zeros_is_the_full_range);
    tcase_add_loop_test(histogram, order_and_cut_do_not_matter, 0, KINDS);
    tcase_add_test(histogram, clones_go_their_own_way);
    tcase_add_test(histogram, one_block_of_a_known_size);
    tcase_add_test(histogram, extreme_values_give_valid_quantizers);
    tcase_add_loop_test(histogram, channels_are_chosen_nearly_as_well, 0, 3);
    tcase_add_test(histogram, channels_in_any_order);
    tcase_add_test(histogram, ranges_of_channels);
    tcase_add_test(histogram, channels_of_a_known_size);
    suite_add_tcase(s, apply);
    suite_add_tcase(s, error);
    suite_add_tcase(s, range);
    suite_add_tcase(s, histogram);
    return s;
}
