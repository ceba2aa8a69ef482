/* Blocks of work on own threads and on pools of the host, also on pools that do not keep their promise. */
#include "base/parallel.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 1000, SLOTS = 64 };

/* ---- work: counts every block, and that a slot has one user at a time ---- */

struct tally {
    int64_t first;
    int32_t slots;
    atomic_int runs[BLOCKS];
    atomic_int busy[SLOTS];
    atomic_int wrong; /* blocks out of range, slots out of range or used twice at a time */
};

static void count_block(void *context, int64_t block, int32_t slot)
{
    struct tally *tally = context;

    if (block < tally->first || block >= tally->first + BLOCKS || slot < 0 || slot >= tally->slots) {
        atomic_fetch_add(&tally->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&tally->busy[slot], 1))
        atomic_fetch_add(&tally->wrong, 1);
    atomic_fetch_add(&tally->runs[block - tally->first], 1);
    for (volatile int i = 0; i < 200; i++) {
    }
    atomic_fetch_sub(&tally->busy[slot], 1);
}

static void expect_once(struct tally *tally, int64_t count)
{
    ck_assert_int_eq(atomic_load(&tally->wrong), 0);
    for (int64_t i = 0; i < BLOCKS; i++)
        ck_assert_int_eq(atomic_load(&tally->runs[i]), i < count);
}

/* ---- pools ---- */

struct pool {
    int64_t calls;
    int64_t largest; /* count that was asked for */
};

static void note(struct pool *pool, int64_t count)
{
    pool->calls++;
    if (count > pool->largest)
        pool->largest = count;
}

static void serial_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    note(opaque, count);
    for (int64_t i = 0; i < count; i++)
        fn(context, i);
}

static void reversed_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    note(opaque, count);
    for (int64_t i = count - 1; i >= 0; i--)
        fn(context, i);
}

struct job {
    bsq_block_fn fn;
    void *context;
    int64_t index;
};

static void *run_job(void *opaque)
{
    struct job *job = opaque;

    job->fn(job->context, job->index);
    return NULL;
}

static void threaded_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    pthread_t threads[SLOTS];
    struct job jobs[SLOTS];

    note(opaque, count);
    ck_assert_int_le(count, SLOTS);
    for (int64_t i = 0; i < count; i++) {
        jobs[i] = (struct job){fn, context, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void idle_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    (void)fn;
    (void)context;
    note(opaque, count);
}

/* Drops all but its last index. The one that runs does the work of all. */
static void dropping_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    note(opaque, count);
    fn(context, count - 1);
}

static const bsq_parallel_for_fn good_pools[] = {NULL, serial_pool, reversed_pool, threaded_pool};

enum { GOOD_POOLS = sizeof good_pools / sizeof *good_pools };

/* ---- tests ---- */

static bsq_status_t run(struct tally *tally, bsq_parallel_for_fn fn, struct pool *pool, int32_t threads, int64_t first,
                        int64_t count, struct bsq_message *message)
{
    struct bsq_parallel parallel = {threads, fn, pool};

    memset(tally, 0, sizeof *tally);
    tally->first = first;
    tally->slots = bsq_parallel_slots(&parallel, count);
    return bsq_parallel_run(&parallel, first, count, count_block, tally, message);
}

START_TEST(every_block_once)
{
    static const int32_t threads[] = {1, 2, 3, 4, 8, 64};
    static const int64_t counts[] = {0, 1, 2, 3, 7, 8, 64, 65, BLOCKS};
    struct tally *tally = malloc(sizeof *tally);
    struct bsq_message message;

    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct pool pool = {0, 0};

            ck_assert_int_eq(run(tally, good_pools[_i], &pool, threads[t], 17, counts[c], &message), BSQ_OK);
            expect_once(tally, counts[c]);
            ck_assert_int_le(pool.calls, 1);
            ck_assert_int_le(pool.largest, threads[t]);
        }
    }
    free(tally);
}
END_TEST

START_TEST(slots)
{
    struct bsq_parallel parallel = {8, NULL, NULL};

    ck_assert_int_eq(bsq_parallel_slots(&parallel, 0), 1);
    ck_assert_int_eq(bsq_parallel_slots(&parallel, 1), 1);
    ck_assert_int_eq(bsq_parallel_slots(&parallel, 7), 7);
    ck_assert_int_eq(bsq_parallel_slots(&parallel, 8), 8);
    ck_assert_int_eq(bsq_parallel_slots(&parallel, INT64_MAX), 8);
    parallel.threads = 1024;
    ck_assert_int_eq(bsq_parallel_slots(&parallel, INT64_MAX), 1024);
}
END_TEST

START_TEST(of_options)
{
    int opaque = 0;
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.threads = 5;
    options.parallel_for = serial_pool;
    options.parallel_opaque = &opaque;

    struct bsq_parallel parallel = bsq_parallel_of(&options);

    ck_assert_int_eq(parallel.threads, 5);
    ck_assert(parallel.pool == serial_pool && parallel.opaque == &opaque);
}
END_TEST

/* A pool that loses work is an error, not a wrong result. */
START_TEST(idle_pool_is_noticed)
{
    struct tally *tally = malloc(sizeof *tally);
    struct pool pool = {0, 0};
    struct bsq_message message;

    ck_assert_int_eq(run(tally, idle_pool, &pool, 4, 0, 100, &message), BSQ_E_STATE);
    ck_assert_int_eq(pool.calls, 1);
    ck_assert_ptr_nonnull(strstr(message.text, "parallel_for"));
    expect_once(tally, 0);
    free(tally);
}
END_TEST

START_TEST(dropped_indices_are_made_up_for)
{
    struct tally *tally = malloc(sizeof *tally);
    struct pool pool = {0, 0};
    struct bsq_message message;

    ck_assert_int_eq(run(tally, dropping_pool, &pool, 4, 0, 100, &message), BSQ_OK);
    expect_once(tally, 100);
    free(tally);
}
END_TEST

/* One block at a time needs no pool: the host's pool may be busy with the caller itself. */
START_TEST(one_thread_stays_on_the_caller)
{
    struct tally *tally = malloc(sizeof *tally);
    struct pool pool = {0, 0};
    struct bsq_message message;

    ck_assert_int_eq(run(tally, idle_pool, &pool, 1, 0, 100, &message), BSQ_OK);
    ck_assert_int_eq(pool.calls, 0);
    expect_once(tally, 100);
    free(tally);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("parallel");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, every_block_once, 0, GOOD_POOLS);
    tcase_add_test(all, slots);
    tcase_add_test(all, of_options);
    tcase_add_test(all, idle_pool_is_noticed);
    tcase_add_test(all, dropped_indices_are_made_up_for);
    tcase_add_test(all, one_thread_stays_on_the_caller);
    suite_add_tcase(suite, all);
    return suite;
}
