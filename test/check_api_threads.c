/* The API as a host sees it: the same bits for any threads, any pool, any cut into batches, from run to run. */
#include "support.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- pools of a host ---- */

static void pool_serial(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    ++*(int64_t *)opaque;
    for (int64_t i = 0; i < count; i++)
        fn(context, i);
}

static void pool_reversed(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    ++*(int64_t *)opaque;
    for (int64_t i = count; i-- > 0;)
        fn(context, i);
}

struct pool_task {
    bsq_block_fn fn;
    void *context;
    int64_t index;
};

static void *pool_main(void *opaque)
{
    struct pool_task *task = opaque;

    task->fn(task->context, task->index);
    return NULL;
}

/* A thread for every block. */
static void pool_threads(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    pthread_t threads[64];
    struct pool_task tasks[64];

    ++*(int64_t *)opaque;
    ck_assert_int_le(count, 64);
    for (int64_t i = 0; i < count; i++) {
        tasks[i] = (struct pool_task){fn, context, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pool_main, &tasks[i]), 0);
    }
    for (int64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* A pool that does not do what it is asked for. */
static void pool_lazy(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    (void)count;
    (void)fn;
    (void)context;
    ++*(int64_t *)opaque;
}

/* ---- one run ---- */

struct run {
    int32_t threads;
    bsq_parallel_for_fn pool;
    int64_t cut; /* samples of a batch; 0: all at once */
};

static const struct run runs[] = {
    {1, NULL, 0},           {1, NULL, 0},          {2, NULL, 0},         {4, NULL, 0}, {64, NULL, 0},
    {4, pool_serial, 0},    {3, pool_reversed, 0}, {5, pool_threads, 0}, {1, NULL, 1}, {2, NULL, 7},
    {4, pool_threads, 100}, {1, NULL, 513},        {3, NULL, 511},
};

enum { RUNS = sizeof runs / sizeof *runs };

static void calibrate_cut(bsq_layer_t *layer, const struct test_data *data, int64_t cut)
{
    int64_t training = data->size * 3 / 4;

    for (int64_t first = 0; first < data->size;) {
        int64_t end = first < training ? training : data->size, count = cut && cut < end - first ? cut : end - first;
        bsq_batch_t batch = test_data_batch(data, first, count, true);

        batch.held_out = first >= training;
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
        first += count;
    }
}

/* Statistics, codes, scales, bias, reports and error table as one number. */
static uint64_t hash_run(const struct test_data *data, const bsq_options_t *like, const struct run *run)
{
    bsq_options_t options = *like;
    struct test_heap heap;
    int64_t pool_calls = 0;
    double table[3];

    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    options.threads = run->threads;
    options.parallel_for = run->pool;
    options.parallel_opaque = &pool_calls;

    bsq_layer_t *layer = test_data_layer(data, &options);
    bsq_batch_t batch = test_data_batch(data, 0, data->size, false);

    if (options.input_bits)
        test_ok(layer, bsq_layer_observe(layer, &batch));
    calibrate_cut(layer, data, run->cut);
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_error_table(layer, 2, 4, table, 3));

    uint64_t hash = test_hash_stats(TEST_HASH_START, layer, 0);

    hash = test_hash_stats(hash, layer, 1);
    hash = test_hash_result(hash, layer);
    hash = test_hash(hash, table, sizeof table);
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    ck_assert_int_eq(heap.foreign, 0);
    if (run->pool)
        ck_assert_int_gt(pool_calls, 0);
    return hash;
}

static void compare_runs(const struct test_data *data, const bsq_options_t *options)
{
    uint64_t first = hash_run(data, options, &runs[0]);

    for (int i = 1; i < RUNS; i++)
        ck_assert_msg(hash_run(data, options, &runs[i]) == first, "run %d gives other bits (%d threads, cut %d)", i,
                      (int)runs[i].threads, (int)runs[i].cut);
}

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    return options;
}

START_TEST(linear_layers_are_bit_identical)
{
    struct test_data data = test_data_linear(150, 40, 1700, 3);
    bsq_options_t options = defaults();

    compare_runs(&data, &options);
    test_data_free(&data);
}
END_TEST

START_TEST(convolutions_are_bit_identical)
{
    struct test_data data = test_data_conv(60, 3);
    bsq_options_t options = defaults();

    options.input_bits = 8;
    options.bias_correction = 1;
    options.effort = 6;
    options.weight_grid = BSQ_WEIGHT_GRID_FULL;
    compare_runs(&data, &options);
    test_data_free(&data);
}
END_TEST

START_TEST(other_scales_are_bit_identical)
{
    struct test_data data = test_data_linear(150, 20, 900, 5);
    bsq_options_t options = defaults();

    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    compare_runs(&data, &options);
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options.group_size = 8;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    compare_runs(&data, &options);
    test_data_free(&data);
}
END_TEST

START_TEST(other_solvers_are_bit_identical)
{
    struct test_data data = test_data_linear(150, 20, 900, 6);
    bsq_options_t options = defaults();

    options.solver = BSQ_SOLVER_PAPER;
    compare_runs(&data, &options);
    options.solver = BSQ_SOLVER_ROUND;
    compare_runs(&data, &options);
    test_data_free(&data);
}
END_TEST

/* ---- pools that fail, layers in parallel ---- */

START_TEST(a_pool_that_does_nothing_is_an_error)
{
    struct test_data data = test_data_linear(300, 40, 1700, 3);
    bsq_options_t options = defaults(), lazy;
    int64_t pool_calls = 0;
    bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

    test_ok(layer, bsq_optimize(layer, NULL));

    uint64_t before = test_hash_result(test_hash_stats(TEST_HASH_START, layer, 0), layer);

    lazy = options;
    lazy.threads = 2;
    lazy.parallel_for = pool_lazy;
    lazy.parallel_opaque = &pool_calls;
    test_ok(layer, bsq_layer_set_options(layer, &lazy));
    test_fails(layer, BSQ_E_STATE, "parallel_for", bsq_optimize(layer, NULL));
    ck_assert_int_gt(pool_calls, 0);
    ck_assert(test_hash_result(test_hash_stats(TEST_HASH_START, layer, 0), layer) == before);
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert(test_hash_result(test_hash_stats(TEST_HASH_START, layer, 0), layer) == before);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

struct solver_thread {
    pthread_t handle;
    bsq_layer_t *layer;
    const struct test_data *data;
    bsq_status_t status;
    uint64_t hash;
};

static void *solve_main(void *opaque)
{
    struct solver_thread *self = opaque;
    bsq_batch_t batch = test_data_batch(self->data, 0, 600, true);

    self->status = bsq_layer_calibrate(self->layer, &batch);
    if (self->status == BSQ_OK)
        self->status = bsq_optimize(self->layer, NULL);
    self->hash = test_hash_result(test_hash_stats(TEST_HASH_START, self->layer, 0), self->layer);
    bsq_layer_free(self->layer);
    return NULL;
}

/* Clones share statistics: each adds to its own copy, solves and is freed in a thread of its own. */
START_TEST(clones_work_in_parallel)
{
    enum { CLONES = 4 };
    struct test_data data = test_data_linear(40, 24, 1500, 3);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true);
    struct solver_thread threads[CLONES];

    for (int i = 0; i < CLONES; i++) {
        threads[i].data = &data;
        test_ok(layer, bsq_layer_clone(layer, &threads[i].layer));
    }
    for (int i = 0; i < CLONES; i++)
        ck_assert_int_eq(pthread_create(&threads[i].handle, NULL, solve_main, &threads[i]), 0);
    bsq_layer_free(layer);
    for (int i = 0; i < CLONES; i++)
        pthread_join(threads[i].handle, NULL);
    for (int i = 0; i < CLONES; i++) {
        ck_assert_int_eq(threads[i].status, BSQ_OK);
        ck_assert(threads[i].hash == threads[0].hash);
    }
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("threads");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, linear_layers_are_bit_identical);
    tcase_add_test(tests, convolutions_are_bit_identical);
    tcase_add_test(tests, other_scales_are_bit_identical);
    tcase_add_test(tests, other_solvers_are_bit_identical);
    tcase_add_test(tests, a_pool_that_does_nothing_is_an_error);
    tcase_add_test(tests, clones_work_in_parallel);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api threads", all());
}
