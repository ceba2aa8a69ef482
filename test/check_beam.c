/* The beam search as a whole: codes in range, the error that it tells, a sample of channels that chooses multipliers,
 * the same result with all kernels and however channels are cut. */
#include "stages/beam.h"
#include "bsq.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MULTIPLIERS = 5 };
static const double MULTIPLIER[MULTIPLIERS] = {0.5, 0.7, 1.0, 1.3, 1.8}, UNIT = 3.5;

/* A well conditioned factor, and what the search gets and gives. */
struct problem {
    int64_t n, channels, group_size, scales_per_channel;
    float *r;
    int64_t *order;
    double *v, *p, *scales;
    int8_t *codes;
    double *multiplier, *error;
};

static bool never(void *opaque, double share)
{
    (void)opaque;
    (void)share;
    return false;
}

static bool at_once(void *opaque, double share)
{
    (void)opaque;
    (void)share;
    return true;
}

/* z = R x, or R'x, in the order of the factor. */
static void multiply(const struct problem *problem, bool transposed, const double *x, double *z)
{
    int64_t n = problem->n;

    memset(z, 0, (size_t)n * sizeof *z);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            z[transposed ? j : i] += (double)problem->r[i * n + j] * x[transposed ? i : j];
}

static void ordered(const struct problem *problem, const double *x, double *y)
{
    for (int64_t k = 0; k < problem->n; k++)
        y[k] = x[problem->order[k]];
}

static void draw_channel(struct problem *problem, struct test_random *random, int64_t c)
{
    int64_t n = problem->n;
    double *v = problem->v + c * n, *x = malloc((size_t)n * sizeof *x), *z = malloc((size_t)n * sizeof *z);

    for (int64_t j = 0; j < n; j++)
        v[j] = 0.01 * (double)(c + 1) * test_random_normal(random);
    ordered(problem, v, x);
    multiply(problem, false, x, z);
    multiply(problem, true, z, x);
    for (int64_t k = 0; k < n; k++)
        problem->p[c * n + problem->order[k]] = UNIT * x[k];
    for (int64_t a = 0; a < problem->scales_per_channel; a++)
        problem->scales[c * problem->scales_per_channel + a] = 0.008 * (double)(c + 1) * (1.0 + 0.1 * (double)a);
    free(x);
    free(z);
}

static struct problem draw(int64_t n, int64_t channels, int64_t group_size, uint64_t seed)
{
    struct test_random random = test_random_seed(seed);
    struct problem problem = {.n = n,
                              .channels = channels,
                              .group_size = group_size,
                              .scales_per_channel = (n + group_size - 1) / group_size};
    size_t all = (size_t)(n * channels);

    problem.r = malloc((size_t)(n * n) * sizeof *problem.r);
    problem.order = malloc((size_t)n * sizeof *problem.order);
    problem.v = malloc(all * sizeof *problem.v);
    problem.p = malloc(all * sizeof *problem.p);
    problem.scales = malloc((size_t)(channels * problem.scales_per_channel) * sizeof *problem.scales);
    problem.codes = malloc(all);
    problem.multiplier = malloc((size_t)channels * sizeof *problem.multiplier);
    problem.error = malloc((size_t)channels * sizeof *problem.error);
    for (int64_t i = 0; i < n; i++) {
        problem.order[i] = (i * 7 + 3) % n;
        for (int64_t j = 0; j < n; j++)
            problem.r[i * n + j] = j < i    ? NAN /* nobody reads below the diagonal */
                                   : i == j ? 1.0f
                                            : (float)(0.4 * test_random_normal(&random) / sqrt((double)n));
    }
    for (int64_t c = 0; c < channels; c++)
        draw_channel(&problem, &random, c);
    return problem;
}

static void free_problem(struct problem *problem)
{
    free(problem->r);
    free(problem->order);
    free(problem->v);
    free(problem->p);
    free(problem->scales);
    free(problem->codes);
    free(problem->multiplier);
    free(problem->error);
}

static bool search(struct problem *problem, const struct bsq_kernels *kernels, struct bsq_beam_plan plan, bool refit,
                   bool (*stop)(void *, double))
{
    struct bsq_factor factor = {problem->n, problem->r, problem->order, UNIT};
    double chosen[BSQ_BEAM_COUNT];
    int32_t list[BSQ_BEAM_SAMPLE];
    int64_t sample = bsq_beam_sample(problem->n, problem->channels, &plan);
    struct bsq_beam_task task = {.factor = &factor,
                                 .width = plan.width,
                                 .count = plan.count,
                                 .channels = problem->channels,
                                 .v = problem->v,
                                 .p = refit ? problem->p : NULL,
                                 .scales = problem->scales,
                                 .group_size = problem->group_size,
                                 .scales_per_channel = problem->scales_per_channel,
                                 .multipliers = MULTIPLIER,
                                 .lowest = -4,
                                 .highest = 3,
                                 .refit = refit,
                                 .stop = stop,
                                 .codes = problem->codes,
                                 .multiplier = problem->multiplier,
                                 .error = problem->error};
    size_t bytes = bsq_beam_workspace(problem->n, problem->channels, &plan);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    bool done;

    ck_assert(bsq_kernels_force(kernels->id));
    memset(workspace, 255, bytes);
    if (sample > 0) {
        struct bsq_beam_task choice = task;

        for (int64_t c = 0; c < sample; c++)
            list[c] = (int32_t)(c * (problem->channels / sample));
        choice.list = list;
        choice.channels = sample;
        bsq_beam_choose(&choice, plan.tried, chosen, workspace);
        task.count = plan.tried;
        task.multipliers = chosen;
    }
    done = bsq_beam_search(&task, workspace);
    (void)bsq_kernels_force(0);
    free(workspace);
    return done;
}

/* |R (v - u)|^2 in double. */
static double error_of(const struct problem *problem, int64_t c)
{
    int64_t n = problem->n;
    double *e = malloc((size_t)n * sizeof *e), *z = malloc((size_t)n * sizeof *z), sum = 0;

    for (int64_t k = 0; k < n; k++) {
        int64_t j = problem->order[k];
        double scale = problem->scales[c * problem->scales_per_channel + j / problem->group_size];

        ck_assert(problem->codes[c * n + j] >= -4 && problem->codes[c * n + j] <= 3);
        e[k] = problem->v[c * n + j] - problem->multiplier[c] * scale * problem->codes[c * n + j];
    }
    multiply(problem, false, e, z);
    for (int64_t k = 0; k < n; k++)
        sum += z[k] * z[k];
    free(e);
    free(z);
    return UNIT * sum;
}

static double total(const struct problem *problem)
{
    double sum = 0;

    for (int64_t c = 0; c < problem->channels; c++)
        sum += problem->error[c] / (double)((c + 1) * (c + 1));
    return sum;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

START_TEST(errors_are_those_of_the_result)
{
    static const int64_t sizes[][3] = {{1, 1, 1},      {31, 3, 31},    {33, 2, 10},
                                       {130, 20, 130}, {300, 40, 300}, {290, 18, 100}};
    const int64_t *size = sizes[_i % 6];
    struct bsq_beam_plan plan = {_i / 6 % 4 < 3 ? 1 << (_i / 6 % 4) : 5, MULTIPLIERS, 1 + _i % MULTIPLIERS};
    struct problem problem = draw(size[0], size[1], size[2], (uint64_t)_i);

    for (int refit = 0; refit < 2; refit++) {
        ck_assert(search(&problem, bsq_kernels(), plan, refit != 0, never));
        for (int64_t c = 0; c < problem.channels; c++) {
            double energy = 0, error = error_of(&problem, c);
            bool listed = false;

            for (int64_t j = 0; j < problem.n; j++)
                energy += problem.v[c * problem.n + j] * problem.p[c * problem.n + j];
            ck_assert_double_eq_tol(problem.error[c], error, 1e-5 * error + 1e-6 * energy);
            for (int m = 0; m < MULTIPLIERS; m++)
                listed |= !(problem.multiplier[c] < MULTIPLIER[m] || problem.multiplier[c] > MULTIPLIER[m]);
            ck_assert(refit || listed);
        }
    }
    free_problem(&problem);
}
END_TEST

/* A worse choice of multipliers, fewer survivors or no refit cost something; how much is known for this problem. */
START_TEST(more_is_better)
{
    struct problem problem = draw(320, 48, 320, 77);
    double all, sampled, one, wide;

    ck_assert(search(&problem, bsq_kernels(), (struct bsq_beam_plan){1, MULTIPLIERS, MULTIPLIERS}, true, never));
    all = total(&problem);
    ck_assert(search(&problem, bsq_kernels(), (struct bsq_beam_plan){1, MULTIPLIERS, 2}, true, never));
    sampled = total(&problem);
    ck_assert(search(&problem, bsq_kernels(), (struct bsq_beam_plan){1, 1, 1}, true, never)); /* half the scale */
    one = total(&problem);
    ck_assert(search(&problem, bsq_kernels(), (struct bsq_beam_plan){8, MULTIPLIERS, MULTIPLIERS}, true, never));
    wide = total(&problem);
    ck_assert_double_ge(sampled, all * (1 - 1e-6));
    ck_assert_double_le(sampled, all * 1.02);
    ck_assert_double_gt(one, all * 1.2);
    ck_assert_double_lt(wide, all * 0.99);
    free_problem(&problem);
}
END_TEST

/* A list is searched as its channels are on their own; nothing is written for the others. */
START_TEST(a_list_of_channels_is_enough)
{
    static const int32_t list[] = {1, 4, 5, 11};
    struct problem all = draw(72, 12, _i ? 30 : 72, 9), some = draw(72, 12, _i ? 30 : 72, 9);
    struct bsq_factor factor = {some.n, some.r, some.order, UNIT};
    struct bsq_beam_plan plan = {4, MULTIPLIERS, MULTIPLIERS};
    struct bsq_beam_task task = {.factor = &factor,
                                 .width = plan.width,
                                 .list = list,
                                 .channels = 4,
                                 .v = some.v,
                                 .p = some.p,
                                 .scales = some.scales,
                                 .group_size = some.group_size,
                                 .scales_per_channel = some.scales_per_channel,
                                 .multipliers = MULTIPLIER,
                                 .count = MULTIPLIERS,
                                 .lowest = -4,
                                 .highest = 3,
                                 .refit = 1,
                                 .stop = never,
                                 .codes = some.codes,
                                 .multiplier = some.multiplier,
                                 .error = some.error};
    size_t bytes = bsq_beam_workspace(some.n, some.channels, &plan);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    int listed = 0;

    memset(some.codes, 99, (size_t)(some.n * some.channels));
    ck_assert(search(&all, &bsq_kernels_portable, plan, true, never));
    ck_assert(bsq_beam_search(&task, workspace));
    for (int32_t c = 0; c < some.channels; c++) {
        bool is_listed = listed < 4 && list[listed] == c;

        listed += is_listed;
        for (int64_t j = c * some.n; j < (c + 1) * some.n; j++)
            ck_assert_int_eq(some.codes[j], is_listed ? all.codes[j] : 99);
        if (is_listed)
            ck_assert_double_eq_tol(some.error[c], all.error[c], 1e-5 * all.error[c]);
    }
    free(workspace);
    free_problem(&all);
    free_problem(&some);
}
END_TEST

/* Products of BLAS are the same; all that differs is the kernels. */
START_TEST(kernels_agree)
{
    static const int32_t widths[] = {1, 2, 4, 8, 16, 64};
    struct bsq_beam_plan plan = {widths[_i], MULTIPLIERS, 2};
    struct problem a = draw(290, 19, 290, 5), b = draw(290, 19, 290, 5);

    ck_assert(search(&a, &bsq_kernels_portable, plan, true, never));
    for (int32_t id = BSQ_KERNEL_AVX2; id <= BSQ_KERNEL_NEON; id++) {
        const struct bsq_kernels *kernels = bsq_kernels_by_id(id);

        if (!kernels)
            continue;
        ck_assert(search(&b, kernels, plan, true, never));
        ck_assert_mem_eq(a.codes, b.codes, (size_t)(a.n * a.channels));
        ck_assert_mem_eq(a.multiplier, b.multiplier, (size_t)a.channels * sizeof *a.multiplier);
        ck_assert_mem_eq(a.error, b.error, (size_t)a.channels * sizeof *a.error);
    }
    free_problem(&a);
    free_problem(&b);
}
END_TEST

START_TEST(far_targets_have_no_error)
{
    struct problem problem = draw(40, 2, 40, 6);

    problem.v[3] = 1e6;
    ck_assert(search(&problem, bsq_kernels(), (struct bsq_beam_plan){2, MULTIPLIERS, MULTIPLIERS}, true, never));
    ck_assert_double_infinite(problem.error[0]);
    ck_assert_double_finite(problem.error[1]);
    ck_assert_int_eq(problem.codes[3], 3);
    free_problem(&problem);
}
END_TEST

START_TEST(it_stops_when_told)
{
    struct problem problem = draw(40, 2, 40, 6);

    ck_assert(!search(&problem, bsq_kernels(), (struct bsq_beam_plan){1, 1, 1}, false, at_once));
    free_problem(&problem);
}
END_TEST

/* A block at the end of a layer has fewer channels, tries more, and gets the memory of a full one. */
START_TEST(fewer_channels_need_no_more)
{
    const struct bsq_beam_plan plans[] = {{1, 9, 1}, {16, 25, 1}, {64, 25, 8}, {8, 5, 5}};

    for (int i = 0; i < 4; i++)
        for (int64_t n = 20; n <= 4100; n += 680)
            for (int64_t channels = 1; channels < 64; channels++)
                ck_assert_uint_le(bsq_beam_workspace(n, channels, &plans[i]), bsq_beam_workspace(n, 64, &plans[i]));
}
END_TEST

/* What the library promises for its memory rests on these. */
START_TEST(workspaces_are_bounded)
{
    const struct bsq_beam_plan usual = {16, 25, 1}, most = {64, 25, 8};

    ck_assert_uint_le(bsq_beam_workspace(4096, 64, &usual), (size_t)24 << 20);
    ck_assert_uint_le(bsq_beam_workspace(4096, 64, &most), (size_t)48 << 20);
    ck_assert_uint_le(bsq_beam_workspace(512, 64, &most), (size_t)24 << 20);
}
END_TEST

Suite *test_suite(void)
{
    TCase *t = tcase_create("search");

    tcase_add_loop_test(t, errors_are_those_of_the_result, 0, 24);
    tcase_add_test(t, more_is_better);
    tcase_add_loop_test(t, a_list_of_channels_is_enough, 0, 2);
    tcase_add_loop_test(t, kernels_agree, 0, 6);
    tcase_add_test(t, far_targets_have_no_error);
    tcase_add_test(t, it_stops_when_told);
    tcase_add_test(t, fewer_channels_need_no_more);
    tcase_add_test(t, workspaces_are_bounded);
    return test_suite_of("beam", t);
}
