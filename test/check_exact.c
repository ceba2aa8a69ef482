/* The joint optimum of scale and codes against enumeration of all codes. */
#include "exact.h"

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
    return (struct bsq_exact_task){.n = problem->n, .r = problem->r, .order = problem->order, .v = problem->v,
                                   .lowest = problem->lowest, .highest = problem->highest, .node_limit = limit,
                                   .codes = codes, .cost = cost_of(problem, codes, &unused)};
}

START_TEST(equals_enumeration)
{
    for (int32_t bits = 2; bits <= 4; bits++)
        for (int32_t full = 0; full < 2; full++) {
            struct problem problem = make(_i, bits, full);
            int8_t codes[MOST];
            struct bsq_exact_task task = task_of(&problem, codes, INT64_MAX);
            double least = least_by_enumeration(&problem), alpha, total = task.cost;

            ck_assert_int_eq(bsq_exact_solve(&task), 1);
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
        int32_t proven = bsq_exact_solve(&task);

        ck_assert_double_le(task.bound, least + 2e-9 * total);
        ck_assert_double_ge(task.cost, least - 2e-9 * total);
        ck_assert_double_eq_tol(cost_of(&problem, codes, &alpha), task.cost, 1e-9 * total);
        if (proven)
            ck_assert_double_eq_tol(task.cost, least, 2e-9 * total);
        else
            ck_assert_int_gt(task.nodes, limit);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exact");
    TCase *tests = tcase_create("exact");
    SRunner *runner = srunner_create(suite);

    tcase_add_loop_test(tests, equals_enumeration, 0, 200);
    tcase_add_loop_test(tests, bound_holds_at_any_limit, 0, 60);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
