/* The API as a host sees it: the n-th allocation fails, the n-th progress callback stops, and nothing is lost or
 * leaked; what is asked from the allocator stays below the prediction. */
#include "support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a host's work from the first call to the last ---- */

/* How the flow is disturbed: by the allocation or by the progress callback of that number; 0: not at all. */
struct trouble {
    struct test_heap heap;
    int64_t calls;   /* progress callbacks */
    int64_t stop_at; /* 0: never */
    int64_t stopped;
    double fraction; /* of the last callback of this call */
    bool paused;
};

struct flow {
    struct trouble trouble;
    bsq_options_t options;
    const struct test_data *data;
    bool with_target;
    bool only_rounds;
    bsq_layer_t *layer, *twin, *second;
    bsq_stats_t *stats, *held_out, *imported;
    void *bytes;
    size_t size;
    double table[3];
    uint64_t hash;
    int64_t disturbed; /* steps that failed and were repeated */
};

typedef bsq_status_t (*step_fn)(struct flow *flow);

static int32_t on_progress(const bsq_progress_t *progress, void *opaque)
{
    struct trouble *trouble = opaque;

    ck_assert(progress->fraction >= trouble->fraction && progress->fraction <= 1.0 + 1e-12);
    ck_assert_int_ge(progress->done, 0);
    ck_assert_int_le(progress->done, progress->total);
    trouble->fraction = progress->fraction;
    trouble->calls += !trouble->paused;
    if (trouble->paused || trouble->calls != trouble->stop_at)
        return 0;
    trouble->stopped++;
    return 1;
}

static bsq_status_t step_create(struct flow *flow)
{
    flow->layer = (bsq_layer_t *)flow;

    bsq_status_t status =
        bsq_layer_create(&flow->data->desc, &flow->options, flow->data->weights, flow->data->bias, &flow->layer, NULL);

    ck_assert_int_eq(status == BSQ_OK, flow->layer != NULL);
    return status;
}

static bsq_status_t step_second(struct flow *flow)
{
    return bsq_layer_create(&flow->data->desc, &flow->options, flow->data->weights, NULL, &flow->second, NULL);
}

static bsq_status_t step_observe(struct flow *flow)
{
    bsq_batch_t batch = test_data_batch(flow->data, 0, flow->data->size, false);

    return flow->options.input_bits ? bsq_layer_observe(flow->layer, &batch) : BSQ_OK;
}

static bsq_status_t calibrate(struct flow *flow, bsq_layer_t *layer, int64_t first, int64_t count, int32_t held_out)
{
    bsq_batch_t batch = test_data_batch(flow->data, first, count, flow->with_target);

    batch.held_out = held_out;
    flow->trouble.fraction = 0;
    return bsq_layer_calibrate(layer, &batch);
}

static bsq_status_t step_calibrate_first(struct flow *flow)
{
    return calibrate(flow, flow->layer, 0, flow->data->size / 3, 0);
}

static bsq_status_t step_calibrate_rest(struct flow *flow)
{
    int64_t third = flow->data->size / 3;

    return calibrate(flow, flow->layer, third, flow->data->size - 2 * third, 0);
}

static bsq_status_t step_calibrate_held_out(struct flow *flow)
{
    int64_t third = flow->data->size / 3;

    return calibrate(flow, flow->layer, flow->data->size - third, third, 1);
}

static bsq_status_t step_optimize(struct flow *flow)
{
    return bsq_optimize(flow->layer, NULL);
}

/* Keeps one of several results. */
static bsq_status_t step_optimize_selected(struct flow *flow)
{
    bsq_options_t options = flow->options;
    bsq_status_t status;

    options.select_on_held_out = 1;
    status = bsq_layer_set_options(flow->layer, &options);
    if (status == BSQ_OK)
        status = bsq_optimize(flow->layer, NULL);
    if (status == BSQ_OK)
        status = bsq_layer_set_options(flow->layer, &flow->options);
    return status;
}

static bsq_status_t step_table(struct flow *flow)
{
    return bsq_layer_error_table(flow->layer, 2, 4, flow->table, 3);
}

static bsq_status_t step_clone(struct flow *flow)
{
    bsq_status_t status = bsq_layer_clone(flow->layer, &flow->twin);

    ck_assert_int_eq(status == BSQ_OK, flow->twin != NULL);
    return status;
}

/* The statistics are shared now: adding to them copies. */
static bsq_status_t step_calibrate_shared(struct flow *flow)
{
    return calibrate(flow, flow->layer, 0, flow->data->size / 3, 0);
}

static bsq_status_t step_share(struct flow *flow)
{
    return bsq_layer_share_input(flow->second, flow->twin);
}

static bsq_status_t step_calibrate_target_part(struct flow *flow)
{
    int64_t rest = flow->data->size - flow->data->size / 3;

    return flow->with_target ? calibrate(flow, flow->second, 0, rest, 0) : BSQ_OK;
}

static bsq_status_t step_optimize_second(struct flow *flow)
{
    return bsq_optimize(flow->second, NULL);
}

static bsq_status_t step_acquire(struct flow *flow)
{
    bsq_status_t status = bsq_layer_acquire_stats(flow->layer, 0, &flow->stats);

    return status == BSQ_OK ? bsq_stats_export_size(flow->stats, &flow->size, NULL) : status;
}

static bsq_status_t step_export(struct flow *flow)
{
    if (!flow->bytes)
        flow->bytes = malloc(flow->size);
    ck_assert_ptr_nonnull(flow->bytes);
    return bsq_stats_export(flow->stats, flow->bytes, flow->size, NULL);
}

static bsq_status_t step_import(struct flow *flow)
{
    bsq_status_t status = bsq_stats_import(flow->bytes, flow->size, &flow->options, &flow->imported, NULL);

    ck_assert_int_eq(status == BSQ_OK, flow->imported != NULL);
    return status;
}

static bsq_status_t step_merge(struct flow *flow)
{
    return bsq_layer_merge_stats(flow->twin, 0, flow->imported);
}

static bsq_status_t step_optimize_twin(struct flow *flow)
{
    return bsq_optimize(flow->twin, NULL);
}

static bsq_status_t step_moments(struct flow *flow)
{
    int64_t n = flow->data->fan_in;
    double *h = malloc((size_t)(flow->data->groups * n * (n + 1)) * sizeof *h);
    bsq_moments_buffers_t buffers;
    bsq_moments_t moments;

    ck_assert_ptr_nonnull(h);
    bsq_moments_buffers_init(&buffers, sizeof buffers);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = buffers.h = h;
    moments.input_mean = buffers.input_mean = h + flow->data->groups * n * n;
    moments.rows = 12;

    bsq_status_t status = bsq_layer_get_moments(flow->twin, &buffers);

    if (status == BSQ_OK)
        status = bsq_layer_set_moments(flow->twin, &moments);
    free(h);
    return status;
}

static bsq_status_t step_pack(struct flow *flow)
{
    uint8_t packed[4096];
    size_t size;
    bsq_tensor_t tensor = test_tensor_get(flow->layer);
    bsq_status_t status = bsq_tensor_packed_size(&tensor, BSQ_FORMAT_INT8, &size, NULL);

    ck_assert_uint_le(size, sizeof packed);
    if (status == BSQ_OK)
        status = bsq_tensor_pack(&tensor, BSQ_FORMAT_INT8, packed, size, NULL);
    if (status == BSQ_OK)
        flow->hash = test_hash(flow->hash, packed, size);
    test_tensor_free(&tensor);
    return status;
}

static bsq_status_t step_evaluate(struct flow *flow)
{
    bsq_report_t report;
    bsq_tensor_t tensor = test_tensor_get(flow->layer);
    bsq_status_t status;

    bsq_report_init(&report, sizeof report);
    status = bsq_layer_evaluate(flow->layer, &tensor, &report);
    if (status == BSQ_OK)
        flow->hash = test_hash(flow->hash, &report.error, sizeof report.error);
    test_tensor_free(&tensor);
    return status;
}

static bsq_status_t step_set_tensor(struct flow *flow)
{
    bsq_tensor_t tensor = test_tensor_get(flow->layer);
    bsq_status_t status = bsq_layer_set_tensor(flow->layer, &tensor);

    test_tensor_free(&tensor);
    return status;
}

static const struct step {
    const char *name;
    step_fn run;
} steps[] = {
    {"create", step_create},
    {"create second", step_second},
    {"observe", step_observe},
    {"calibrate", step_calibrate_first},
    {"calibrate more", step_calibrate_rest},
    {"calibrate held out", step_calibrate_held_out},
    {"optimize", step_optimize},
    {"optimize selected", step_optimize_selected},
    {"error table", step_table},
    {"clone", step_clone},
    {"calibrate shared", step_calibrate_shared},
    {"optimize again", step_optimize},
    {"share input", step_share},
    {"calibrate target part", step_calibrate_target_part},
    {"optimize second", step_optimize_second},
    {"acquire", step_acquire},
    {"export", step_export},
    {"import", step_import},
    {"merge", step_merge},
    {"optimize twin", step_optimize_twin},
    {"get and set moments", step_moments},
    {"optimize twin again", step_optimize_twin},
    {"pack", step_pack},
    {"evaluate", step_evaluate},
    {"set tensor", step_set_tensor},
};

/* ---- running it ---- */

/* Statistics and results of one layer; the trouble waits meanwhile. */
static uint64_t hash_layer(struct flow *flow, uint64_t hash, bsq_layer_t *layer)
{
    if (!layer)
        return test_hash(hash, "none", 4);
    flow->trouble.heap.paused = true;
    hash = test_hash_stats(hash, layer, 0);
    hash = test_hash_stats(hash, layer, 1);
    hash = test_hash_result(hash, layer);
    flow->trouble.heap.paused = false;
    return hash;
}

static uint64_t hash_state(struct flow *flow)
{
    uint64_t hash = hash_layer(flow, TEST_HASH_START, flow->layer);

    hash = hash_layer(flow, hash, flow->twin);
    return hash_layer(flow, hash, flow->second);
}

static bool is_in_trouble(const struct flow *flow)
{
    return flow->trouble.heap.failed + flow->trouble.stopped > 0;
}

/* A step that fails does so because of the trouble, with its status; then everything is as before, and the step
 * succeeds when it is repeated. */
static void run_step(struct flow *flow, const struct step *step, bsq_status_t expected)
{
    bool spared = is_in_trouble(flow);
    uint64_t before = spared ? 0 : hash_state(flow);

    flow->trouble.fraction = 0;

    bsq_status_t status = step->run(flow);

    if (spared || !is_in_trouble(flow)) {
        ck_assert_msg(status == BSQ_OK, "%s: %d", step->name, (int)status);
        return;
    }
    ck_assert_msg(status == expected, "%s: status %d instead of %d", step->name, (int)status, (int)expected);
    ck_assert_msg(hash_state(flow) == before, "%s changed something although it failed", step->name);
    flow->disturbed++;
    flow->trouble.fraction = 0;
    status = step->run(flow);
    ck_assert_msg(status == BSQ_OK, "%s, repeated: %d", step->name, (int)status);
}

/* Runs the whole flow; gives a hash of all that came out of it. */
static uint64_t run_flow(struct flow *flow, bsq_status_t expected)
{
    flow->hash = TEST_HASH_START;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        run_step(flow, &steps[i], expected);

    uint64_t hash = hash_state(flow);

    hash = test_hash(hash, flow->table, sizeof flow->table);
    hash = test_hash(hash, &flow->hash, sizeof flow->hash);
    hash = test_hash(hash, flow->bytes, flow->size);
    bsq_layer_free(flow->second);
    bsq_stats_release(flow->stats);
    bsq_layer_free(flow->layer);
    bsq_layer_free(flow->twin);
    bsq_stats_release(flow->imported);
    free(flow->bytes);
    ck_assert_int_eq(flow->trouble.heap.blocks, 0);
    ck_assert_int_eq(flow->trouble.heap.bytes, 0);
    ck_assert_int_eq(flow->trouble.heap.foreign, 0);
    return hash;
}

/* A fresh flow with the options of 'like'. */
static struct flow *flow_new(const struct flow *like)
{
    struct flow *flow = calloc(1, sizeof *flow);

    ck_assert_ptr_nonnull(flow);
    *flow = *like;
    test_heap_init(&flow->trouble.heap);
    test_heap_use(&flow->trouble.heap, &flow->options);
    flow->options.progress = on_progress;
    flow->options.progress_opaque = &flow->trouble;
    return flow;
}

enum { MOST_TROUBLE = 20000 };

/* From one disturbed call to the next: all of them, or under sanitizers one of these many, for each of them runs the
 * whole flow. */
static int64_t trouble_stride(void)
{
    return getenv("BSQ_CHECK_SLOW") ? 23 : 1;
}

static void fail_every_allocation(const struct flow *like)
{
    struct flow *flow = flow_new(like);
    uint64_t hash = run_flow(flow, BSQ_OK);
    int64_t expected = flow->trouble.heap.calls, stride = trouble_stride();

    ck_assert_int_lt(expected, MOST_TROUBLE);
    free(flow);
    for (int64_t n = 1; n <= expected + stride; n += stride) {
        flow = flow_new(like);
        flow->trouble.heap.fail_at = n;
        ck_assert_msg(run_flow(flow, BSQ_E_MEMORY) == hash, "another result after allocation %d failed", (int)n);

        bool failed = flow->trouble.heap.failed > 0;

        ck_assert_int_eq(failed, n <= expected);
        ck_assert_int_eq(flow->disturbed, failed);
        free(flow);
    }
}

static void stop_at_every_callback(const struct flow *like)
{
    struct flow *flow = flow_new(like);
    uint64_t hash = run_flow(flow, BSQ_OK);
    int64_t expected = flow->trouble.calls, stride = trouble_stride(), n = 1 - stride;
    bool stopped = true;

    ck_assert_int_gt(expected, 0);
    ck_assert_int_lt(expected, MOST_TROUBLE);
    free(flow);
    while (stopped) {
        flow = flow_new(like);
        flow->trouble.stop_at = n += stride;
        ck_assert_msg(run_flow(flow, BSQ_E_CANCELLED) == hash, "another result after callback %d stopped", (int)n);
        stopped = flow->trouble.stopped > 0;
        ck_assert_int_eq(flow->disturbed, stopped);
        free(flow);
    }
    ck_assert_int_gt(n, 1); /* how often it is called depends on which thread does how much */
}

/* ---- the flows ---- */

struct variant {
    const char *name;
    int32_t solver, scale_kind, scale_format, range, bits, effort, threads, input_bits, bias_correction;
    bool with_target, conv;
    bool folded;
};

static const struct variant variants[] = {
    {"auto", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, 0, 3, 5, 1, 0, 0, true, false,
     false},
    {"auto at most effort", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, 1, 2, 9, 1, 0, 0,
     false, false, false},
    {"auto per tensor", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_FORMAT_FLOAT16, 0, 4, 3, 1, 0, 0, false,
     false, false},
    {"auto per group", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_GROUP, BSQ_SCALE_FORMAT_FLOAT32, 1, 2, 5, 2, 0, 0, true,
     false, false},
    {"auto, powers of two", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_GROUP, BSQ_SCALE_FORMAT_POWER_OF_TWO, 1, 4, 1, 1, 0, 0,
     true, true, false},
    {"auto, inputs and bias", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, 0, 3, 1, 2, 8, 1,
     true, true, false},
    {"auto, folded inputs", BSQ_SOLVER_AUTO, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, 0, 3, 1, 2, 4, 0,
     true, true, true},
    {"paper", BSQ_SOLVER_PAPER, BSQ_SCALE_KIND_PER_CHANNEL, BSQ_SCALE_FORMAT_FLOAT32, 0, 3, 5, 1, 0, 0, true, false,
     false},
    {"round", BSQ_SOLVER_ROUND, BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_FORMAT_FLOAT32, 1, 8, 5, 1, 0, 0, true, true,
     false},
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static struct flow flow_of(const struct variant *variant, const struct test_data *data)
{
    struct flow flow;

    memset(&flow, 0, sizeof flow);
    bsq_options_init(&flow.options, sizeof flow.options);
    flow.options.solver = variant->solver;
    flow.options.scale_kind = variant->scale_kind;
    flow.options.scale_format = variant->scale_format;
    flow.options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC + variant->range;
    flow.options.weight_bits = variant->bits;
    flow.options.effort = variant->effort;
    flow.options.threads = variant->threads;
    flow.options.input_bits = variant->input_bits;
    flow.options.bias_correction = variant->bias_correction;
    flow.options.input_scale_kind =
        variant->folded ? BSQ_INPUT_SCALE_KIND_PER_CHANNEL : BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    flow.options.group_size = variant->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? 4 : 0;
    flow.with_target = variant->with_target;
    flow.data = data;
    return flow;
}

static struct test_data data_of(const struct variant *variant)
{
    return variant->conv ? test_data_conv(3, 5) : test_data_linear(3, 6, 30, 5);
}

START_TEST(every_allocation_may_fail)
{
    struct test_data data = data_of(&variants[_i]);
    struct flow flow = flow_of(&variants[_i], &data);

    fail_every_allocation(&flow);
    test_data_free(&data);
}
END_TEST

START_TEST(every_callback_may_stop)
{
    struct test_data data = data_of(&variants[_i]);
    struct flow flow = flow_of(&variants[_i], &data);

    stop_at_every_callback(&flow);
    test_data_free(&data);
}
END_TEST

/* Enough rows for several tiles, so that adding a batch is stopped in its middle. */
START_TEST(stopped_batches_are_taken_back)
{
    struct test_data data = test_data_linear(3, 6, 7000, 9);
    struct flow like = flow_of(&variants[0], &data), *flow = flow_new(&like);
    int64_t expected;

    test_ok(NULL, step_create(flow));
    test_ok(flow->layer, calibrate(flow, flow->layer, 0, 300, 0));
    test_ok(flow->layer, calibrate(flow, flow->layer, 300, 6700, 0));
    expected = flow->trouble.calls;
    ck_assert_int_ge(expected, 2);

    uint64_t whole = test_hash_stats(TEST_HASH_START, flow->layer, 0);

    bsq_layer_free(flow->layer);
    for (int64_t n = 1; n <= expected; n++) {
        *flow = like;
        test_heap_init(&flow->trouble.heap);
        test_heap_use(&flow->trouble.heap, &flow->options);
        flow->options.progress = on_progress;
        flow->options.progress_opaque = &flow->trouble;
        flow->trouble.stop_at = n;
        test_ok(NULL, step_create(flow));
        for (int part = 0; part < 2; part++) {
            uint64_t before = test_hash_stats(TEST_HASH_START, flow->layer, 0);
            int64_t first = part ? 300 : 0, count = part ? 6700 : 300;

            bsq_status_t status = calibrate(flow, flow->layer, first, count, 0);

            if (status == BSQ_E_CANCELLED) {
                ck_assert(test_hash_stats(TEST_HASH_START, flow->layer, 0) == before);
                status = calibrate(flow, flow->layer, first, count, 0);
            }
            ck_assert_int_eq(status, BSQ_OK);
        }
        ck_assert_int_eq(flow->trouble.stopped, 1);
        ck_assert(test_hash_stats(TEST_HASH_START, flow->layer, 0) == whole);
        bsq_layer_free(flow->layer);
        ck_assert_int_eq(flow->trouble.heap.blocks, 0);
    }
    free(flow);
    test_data_free(&data);
}
END_TEST

/* ---- bsq_layer_memory ---- */

/* The whole life of one layer with targets, and what it took at most. */
static int64_t peak_of(const struct test_data *data, bsq_options_t *options)
{
    struct test_heap heap;
    double table[9];
    bsq_layer_t *layer;
    bsq_batch_t batch = test_data_batch(data, 0, data->size, true);

    test_heap_init(&heap);
    test_heap_use(&heap, options);
    layer = test_data_layer(data, options);
    if (options->input_bits)
        test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_error_table(layer, 2, options->weight_bits, table, (size_t)options->weight_bits - 1));
    bsq_layer_free(layer);
    ck_assert_int_eq(heap.blocks, 0);
    return heap.peak;
}

static void compare_memory(const struct test_data *data, bsq_options_t *options, double slack, const char *name)
{
    size_t predicted;
    int64_t peak = peak_of(data, options);

    ck_assert_int_eq(bsq_layer_memory(&data->desc, options, &predicted, NULL), BSQ_OK);
    ck_assert_msg(peak <= (int64_t)predicted, "%s: %lld bytes are above the prediction, %lld", name, (long long)peak,
                  (long long)predicted);
    ck_assert_msg((double)predicted <= slack * (double)peak, "%s: %lld bytes are far below the prediction, %lld", name,
                  (long long)peak, (long long)predicted);
}

START_TEST(memory_is_predicted)
{
    static const struct {
        int64_t channels, fan_in;
    } sizes[] = {{1, 1}, {3, 7}, {64, 96}, {33, 128}, {200, 24}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct test_data data = test_data_linear(sizes[i].channels, sizes[i].fan_in, 700, 2);

        for (size_t v = 0; v < VARIANTS; v++) {
            struct flow flow = flow_of(&variants[v], &data);
            char name[96];

            if (flow.options.group_size > sizes[i].fan_in)
                flow.options.group_size = sizes[i].fan_in;
            snprintf(name, sizeof name, "%s, %d x %d", variants[v].name, (int)sizes[i].channels, (int)sizes[i].fan_in);
            if (flow.options.effort == 9 && sizes[i].fan_in > 7)
                flow.options.effort = 7;
            compare_memory(&data, &flow.options, i < 2 ? 1e3 : 3.0, name);
        }
        test_data_free(&data);
    }
}
END_TEST

/* The prediction needs no memory, and four times the rows do not change what is needed, but for the part of the last
 * tile that is filled. */
START_TEST(memory_does_not_grow_with_rows)
{
    struct test_heap heap;
    struct test_data few = test_data_linear(8, 20, 3000, 2), many = test_data_linear(8, 20, 12000, 2);
    bsq_options_t options;
    size_t bytes;

    bsq_options_init(&options, sizeof options);
    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    ck_assert_int_eq(bsq_layer_memory(&few.desc, &options, &bytes, NULL), BSQ_OK);
    ck_assert_int_eq(heap.calls, 0);
    options.memory_alloc = NULL;
    options.memory_free = NULL;
    ck_assert((double)peak_of(&many, &options) <= 1.05 * (double)peak_of(&few, &options));
    test_data_free(&few);
    test_data_free(&many);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("memory");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_allocation_may_fail, 0, VARIANTS);
    tcase_add_loop_test(tests, every_callback_may_stop, 0, VARIANTS);
    tcase_add_test(tests, stopped_batches_are_taken_back);
    tcase_add_test(tests, memory_is_predicted);
    tcase_add_test(tests, memory_does_not_grow_with_rows);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api memory", all());
}
