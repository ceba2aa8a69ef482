/* The joint optimum of scale and codes against enumeration of all codes. */
#include "stages/exact.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 6 };

/* A small problem: R with a positive diagonal, v of a few steps. */
struct problem {
    int64_t n;
    double r[MOST * MOST], v[MOST], z[MOST];
    int64_t order[MOST];
    int32_t lowest, highest;
};

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (double)(*state >> 11) * 0x1p-53;
}

static struct problem make(int seed, int32_t bits, int32_t full)
{
    uint64_t state = (uint64_t)seed * 7919 + 17;
    struct problem problem = {.n = 1 + seed % (bits == 4 ? 4 : MOST - 1)};

    problem.highest = (1 << (bits - 1)) - 1;
    problem.lowest = -problem.highest - full;
    for (int64_t i = 0; i < problem.n; i++) {
        problem.order[i] = (i + seed) % problem.n;
        problem.v[i] = 2.0 * uniform(&state) - 1.0;
        for (int64_t j = i; j < problem.n; j++)
            problem.r[i * problem.n + j] = i == j ? 0.1 + uniform(&state) : 2.0 * uniform(&state) - 1.0;
    }
    for (int64_t i = 0; i < problem.n; i++)
        for (int64_t j = i; j < problem.n; j++)
            problem.z[i] += problem.r[i * problem.n + j] * problem.v[problem.order[j]];
    return problem;
}

/* |R (v - alpha q)|^2 with the best alpha > 0; 'q' in the order of the inputs. */
static double cost_of(const struct problem *problem, const int8_t *q, double *alpha)
{
    double zz = 0, zy = 0, yy = 0;

    for (int64_t i = 0; i < problem->n; i++) {
        double y = 0;

        for (int64_t j = i; j < problem->n; j++)
            y += problem->r[i * problem->n + j] * q[problem->order[j]];
        zz += problem->z[i] * problem->z[i];
        zy += problem->z[i] * y;
        yy += y * y;
    }
    *alpha = yy > 0 ? zy / yy : 0;
    return zy > 0 && yy > 0 ? zz - zy * zy / yy : zz;
}

static double least_by_enumeration(const struct problem *problem)
{
    int8_t q[MOST];
    double least = INFINITY, alpha;
    int64_t i;

    memset(q, problem->lowest, sizeof q);
    do {
        least = fmin(least, cost_of(problem, q, &alpha));
        for (i = 0; i < problem->n && q[i] == problem->highest; i++)
            q[i] = (int8_t)problem->lowest;
        if (i < problem->n)
            q[i]++;
    } while (i < problem->n);
    return least;
}

static struct bsq_exact_task task_of(const struct problem *problem, int8_t *codes, int64_t limit)
{
    double unused;

    memset(codes, 0, MOST);
    return (struct bsq_exact_task){.v = problem->v,
                                   .lowest = problem->lowest,
                                   .highest = problem->highest,
                                   .first_share = 0.5,
                                   .node_limit = limit,
                                   .codes = codes,
                                   .scale = 0.3,
                                   .cost = cost_of(problem, codes, &unused)};
}

static int32_t solve(const struct problem *problem, struct bsq_exact_task *task)
{
    struct bsq_exact exact;
    void *memory = malloc(bsq_exact_layout(&exact, problem->n, NULL));
    int32_t proven;

    ck_assert_ptr_nonnull(memory);
    (void)bsq_exact_layout(&exact, problem->n, memory);
    bsq_exact_prepare(&exact, problem->r, problem->order);
    proven = bsq_exact_solve(&exact, task);
    free(memory);
    return proven;
}

START_TEST(equals_enumeration)
{
    for (int32_t bits = 2; bits <= 4; bits++)
        for (int32_t full = 0; full < 2; full++) {
            struct problem problem = make(_i, bits, full);
            int8_t codes[MOST];
            struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX);
            double least = least_by_enumeration(&problem), alpha, total = task.cost;

            ck_assert_int_eq(solve(&problem, &task), 1);
            ck_assert_double_eq_tol(task.cost, least, 2e-9 * total);
            ck_assert_double_eq_tol(cost_of(&problem, codes, &alpha), task.cost, 1e-9 * total);
            ck_assert_double_eq_tol(task.scale, alpha, 1e-9 * alpha);
            ck_assert_double_le(task.bound, least + 2e-9 * total);
            for (int64_t j = 0; j < problem.n; j++)
                ck_assert(codes[j] >= problem.lowest && codes[j] <= problem.highest);
        }
}
END_TEST

/* However early it stops, the bound holds, and what it has is what it says. */
START_TEST(bound_holds_at_any_limit)
{
    for (int64_t limit = 1; limit < 3000; limit = limit * 3 / 2 + 1) {
        struct problem problem = make(_i, 3, _i % 2);
        int8_t codes[MOST];
        struct bsq_exact_task task = task_of(&problem, codes, limit);
        double least = least_by_enumeration(&problem), alpha, total = task.cost;
        int32_t proven = solve(&problem, &task);

        ck_assert_double_le(task.bound, least + 2e-9 * total);
        ck_assert_double_ge(task.cost, least - 2e-9 * total);
        ck_assert_double_eq_tol(cost_of(&problem, codes, &alpha), task.cost, 1e-9 * total);
        if (proven)
            ck_assert_double_eq_tol(task.cost, least, 2e-9 * total);
        else
            ck_assert_int_eq(task.nodes, limit);
    }
}
END_TEST

/* Inputs that are nearly the same, a weight that no codes reach, a scale far off: what reduces the basis and what
 * charges clipping must not cost the optimum. */
START_TEST(hard_cases_equal_enumeration)
{
    uint64_t state = (uint64_t)_i + 99;
    struct problem problem = make(_i, 3, _i % 2);
    int8_t codes[MOST];
    double least, total;

    for (int64_t i = 1; i < problem.n; i++)
        for (int64_t j = i; j < problem.n; j++)
            problem.r[i * problem.n + j] *= 0.01;
    if (problem.n > 1)
        problem.v[_i % problem.n] *= 20.0;
    for (int64_t i = 0; i < problem.n; i++) {
        problem.z[i] = 0.0;
        for (int64_t j = i; j < problem.n; j++)
            problem.z[i] += problem.r[i * problem.n + j] * problem.v[problem.order[j]];
    }
    least = least_by_enumeration(&problem);

    struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX);

    total = task.cost;
    task.scale = pow(10.0, 4.0 * uniform(&state) - 2.0);
    task.cost = least * (1.0 + uniform(&state)) + 1e-9 * total;
    ck_assert_int_eq(solve(&problem, &task), 1);
    ck_assert_double_eq_tol(task.cost, least, 1e-8 * total);
}
END_TEST

/* H of rank 1 or 2 but for a little damping is flat in all other directions: the search ends with its nodes all the
 * same, and with what it says. */
START_TEST(flat_problems_end_with_their_nodes)
{
    const double damping = 1e-4;
    struct problem problem = make(_i, 3, 0);

    for (int64_t i = 1 + _i % 2; i < problem.n; i++)
        for (int64_t j = i; j < problem.n; j++)
            problem.r[i * problem.n + j] = i == j ? damping : 0.0;
    memset(problem.z, 0, sizeof problem.z);
    for (int64_t i = 0; i < problem.n; i++)
        for (int64_t j = i; j < problem.n; j++)
            problem.z[i] += problem.r[i * problem.n + j] * problem.v[problem.order[j]];
    for (int64_t limit = 10; limit <= 1000; limit *= 10) {
        int8_t codes[MOST];
        struct bsq_exact_task task = task_of(&problem, codes, limit);
        double least = least_by_enumeration(&problem), alpha, total = task.cost;
        int32_t proven = solve(&problem, &task);

        ck_assert_int_le(task.nodes, limit);
        ck_assert_double_le(task.bound, least + 2e-9 * total);
        ck_assert_double_eq_tol(cost_of(&problem, codes, &alpha), task.cost, 1e-9 * total);
        if (proven)
            ck_assert_double_eq_tol(task.cost, least, 2e-9 * total);
    }
}
END_TEST

/* One that has all but the proof is not moved away from it. */
START_TEST(the_optimum_stays)
{
    struct problem problem = make(_i, 2, _i % 2);
    int8_t codes[MOST], again[MOST];
    struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX), second;

    ck_assert_int_eq(solve(&problem, &task), 1);
    memcpy(again, codes, sizeof again);
    second = task;
    second.codes = again;
    ck_assert_int_eq(solve(&problem, &second), 1);
    ck_assert_double_eq_tol(second.cost, task.cost, 1e-15);
    ck_assert_double_eq(second.bound, second.cost);
    if (!(second.cost < task.cost))
        ck_assert_mem_eq(again, codes, sizeof again);
}
END_TEST

/* Codes are what was given unless the cost falls: so a search of several ranges keeps what an earlier one found. */
START_TEST(equals_do_not_replace)
{
    struct problem problem = make(5 * _i, 2, 0);
    int8_t codes[MOST], again[MOST];
    struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX);

    ck_assert_int_eq(problem.n, 1);
    ck_assert_int_eq(solve(&problem, &task), 1);
    for (int32_t range = 2; range < 16; range++) {
        double cost = task.cost;

        memcpy(again, codes, sizeof again);
        task.lowest = task.highest = problem.v[0] < 0.0 ? -range : range;
        ck_assert_int_eq(solve(&problem, &task), 1);
        ck_assert_double_le(task.cost, cost);
        if (!(task.cost < cost))
            ck_assert_mem_eq(codes, again, sizeof again);
    }
}
END_TEST

static bool stop_at_once(void *opaque)
{
    ++*(int *)opaque;
    return true;
}

START_TEST(stops_when_told)
{
    struct problem problem = make(3, 3, 0);
    int8_t codes[MOST];
    struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX);
    int asked = 0;

    task.stop = stop_at_once;
    task.stop_opaque = &asked;
    ck_assert_int_eq(solve(&problem, &task), 0);
    ck_assert_int_eq(asked, 1);
    ck_assert_int_eq(task.nodes, 0);
    ck_assert_double_eq(task.bound, 0.0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("exact");
    TCase *tests = tcase_create("exact");

    tcase_add_loop_test(tests, equals_enumeration, 0, 200);
    tcase_add_loop_test(tests, bound_holds_at_any_limit, 0, 60);
    tcase_add_loop_test(tests, hard_cases_equal_enumeration, 0, 200);
    tcase_add_loop_test(tests, flat_problems_end_with_their_nodes, 0, 60);
    tcase_add_loop_test(tests, the_optimum_stays, 0, 50);
    tcase_add_loop_test(tests, equals_do_not_replace, 0, 200);
    tcase_add_test(tests, stops_when_told);
    suite_add_tcase(suite, tests);
    return suite;
}
