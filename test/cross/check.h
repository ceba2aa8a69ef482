/* As much of Check as check_kernels.c uses, where Check is not installed: for machines that are emulated. */
#ifndef BSQ_TEST_CROSS_CHECK_H
#define BSQ_TEST_CROSS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

enum { CK_ENV, CROSS_MOST_TESTS = 64 };

struct cross_test {
    const char *name;
    void (*run)(int _i);
    int first, end;
};

typedef struct {
    const char *name;
    struct cross_test test[CROSS_MOST_TESTS];
    int count;
} Suite;

typedef Suite TCase;
typedef Suite SRunner;

static Suite cross_suite;

#define START_TEST(name)                                                                                               \
    static void name##_run(int _i);                                                                                    \
    static const struct cross_test name = {#name, name##_run, 0, 1};                                                   \
    static void name##_run(int _i)                                                                                     \
    {                                                                                                                  \
        (void)_i;
#define END_TEST }

#define ck_abort_msg(...) (printf(__VA_ARGS__), printf("\n"), exit(EXIT_FAILURE))

static inline Suite *suite_create(const char *name)
{
    cross_suite.name = name;
    return &cross_suite;
}

static inline TCase *tcase_create(const char *name)
{
    (void)name;
    return &cross_suite;
}

static inline void suite_add_tcase(Suite *suite, TCase *tests)
{
    (void)suite;
    (void)tests;
}

static inline void cross_add(struct cross_test test, int first, int end)
{
    test.first = first;
    test.end = end;
    if (cross_suite.count == CROSS_MOST_TESTS)
        ck_abort_msg("more than %d tests", CROSS_MOST_TESTS);
    cross_suite.test[cross_suite.count++] = test;
}

#define tcase_add_test(tests, name) ((void)(tests), cross_add(name, 0, 1))
#define tcase_add_loop_test(tests, name, first, end) ((void)(tests), cross_add(name, first, end))

static inline SRunner *srunner_create(Suite *suite)
{
    return suite;
}

/* The first failure ends the program. */
static inline void srunner_run_all(SRunner *runner, int mode)
{
    int checks = 0;

    (void)mode;
    for (int t = 0; t < runner->count; t++)
        for (int i = runner->test[t].first; i < runner->test[t].end; i++, checks++)
            runner->test[t].run(i);
    printf("Running suite(s): %s\n100%%: Checks: %d, Failures: 0, Errors: 0\n", runner->name, checks);
}

static inline int srunner_ntests_failed(const SRunner *runner)
{
    (void)runner;
    return 0;
}

static inline void srunner_free(const SRunner *runner)
{
    (void)runner;
}

#endif
