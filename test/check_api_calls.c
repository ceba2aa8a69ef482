/* What holds for every call: callbacks and other threads, the floating-point environment, signals, error structs. */
#include "support.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    return options;
}

/* ---- a layer that is at work ---- */

struct reentry {
    bsq_layer_t *layer;
    bsq_layer_t *other;
    const struct test_data *data;
    int calls;
};

/* Every call on the layer that called back; none does anything. */
static void call_everything(struct reentry *reentry)
{
    bsq_layer_t *layer = reentry->layer, *clone = reentry->other;
    bsq_batch_t batch = test_data_batch(reentry->data, 0, 10, false), counts = batch;
    bsq_options_t options = defaults();
    bsq_input_quantizer_t quantizer;
    bsq_moments_t moments;
    bsq_moments_buffers_t buffers;
    bsq_report_t report;
    bsq_stage_t stage;
    bsq_channel_t channel;
    bsq_layer_info_t info;
    bsq_tensor_t tensor;
    bsq_stats_t *stats = NULL;
    double doubles[8];
    float floats[64];
    int8_t codes[64];
    size_t count;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    bsq_moments_init(&moments, sizeof moments);
    bsq_moments_buffers_init(&buffers, sizeof buffers);
    bsq_report_init(&report, sizeof report);
    bsq_stage_init(&stage, sizeof stage);
    bsq_channel_init(&channel, sizeof channel);
    bsq_layer_info_init(&info, sizeof info);
    bsq_tensor_init(&tensor, sizeof tensor);
    reentry->calls++;

    const bsq_status_t statuses[] = {
        bsq_layer_clone(layer, &clone),
        bsq_layer_set_options(layer, &options),
        bsq_layer_get_options(layer, &options),
        bsq_layer_info(layer, &info),
        bsq_layer_batch_counts(layer, &counts, &count, NULL, NULL),
        bsq_layer_observe(layer, &batch),
        bsq_layer_calibrate(layer, &batch),
        bsq_layer_set_input_quantizer(layer, &quantizer),
        bsq_layer_get_input_quantizer(layer, &quantizer),
        bsq_layer_set_input_channels(layer, &quantizer, doubles, NULL, 8),
        bsq_layer_get_input_channels(layer, doubles, NULL, 8),
        bsq_layer_set_moments(layer, &moments),
        bsq_layer_get_moments(layer, &buffers),
        bsq_layer_share_stats(layer, 0, NULL),
        bsq_layer_share_input(layer, reentry->other),
        bsq_layer_share_input(reentry->other, layer),
        bsq_layer_acquire_stats(layer, 0, &stats),
        bsq_layer_merge_stats(layer, 0, NULL),
        bsq_optimize(layer, &report),
        bsq_layer_error_table(layer, 2, 8, doubles, 7),
        bsq_layer_get_report(layer, &report),
        bsq_layer_get_stage_report(layer, 0, &stage),
        bsq_layer_get_channel_report(layer, 0, &channel),
        bsq_layer_get_tensor(layer, &tensor),
        bsq_layer_set_tensor(layer, &tensor),
        bsq_layer_evaluate(layer, &tensor, &report),
        bsq_layer_result_count(layer, BSQ_RESULT_CODES, &count),
        bsq_layer_get_codes(layer, codes, 32),
        bsq_layer_get_scales(layer, floats, 4),
        bsq_layer_get_bias(layer, floats, 4),
        bsq_layer_get_dequantized(layer, floats, 32),
        bsq_layer_get_planes(layer, codes, 96),
        bsq_layer_get_code_bias(layer, floats, 4),
    };

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        ck_assert_msg(statuses[i] == BSQ_E_STATE, "call %zu: %d", i, (int)statuses[i]);
    ck_assert_ptr_null(clone);
    ck_assert_ptr_null(stats);
    ck_assert_ptr_nonnull(strstr(bsq_layer_error_message(layer), "at work"));
    bsq_layer_free(layer); /* does nothing */
}

static int32_t reenter_from_progress(const bsq_progress_t *progress, void *opaque)
{
    (void)progress;
    call_everything(opaque);
    return 0;
}

static void reenter_from_log(int32_t level, const char *text, void *opaque)
{
    (void)level;
    (void)text;
    call_everything(opaque);
}

START_TEST(a_layer_at_work_is_left_alone)
{
    struct test_data data = test_data_linear(4, 8, 1200, 1);
    struct reentry reentry = {.data = &data};
    bsq_options_t options = defaults();
    bsq_layer_t *layer, *quiet = test_data_calibrated(&data, &options, true);
    bsq_batch_t batch = test_data_batch(&data, 0, 1200, true);
    double errors[2];

    options.progress = reenter_from_progress;
    options.progress_opaque = &reentry;
    options.log = reenter_from_log;
    options.log_opaque = &reentry;
    layer = test_data_layer(&data, &options);
    reentry.layer = layer;
    reentry.other = test_data_layer(&data, NULL);
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    ck_assert_int_gt(reentry.calls, 1);
    reentry.calls = 0;
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_int_gt(reentry.calls, 1);
    test_ok(layer, bsq_layer_error_table(layer, 3, 4, errors, 2));
    test_ok(quiet, bsq_optimize(quiet, NULL));
    ck_assert(test_hash_result(TEST_HASH_START, layer) == test_hash_result(TEST_HASH_START, quiet));
    bsq_layer_free(reentry.other);
    bsq_layer_free(layer);
    bsq_layer_free(quiet);
    test_data_free(&data);
}
END_TEST

/* A second thread finds the layer at work while the first is in a callback. */
static void *calibrate_elsewhere(void *opaque)
{
    struct reentry *reentry = opaque;
    bsq_batch_t batch = test_data_batch(reentry->data, 0, 10, true);

    reentry->calls = bsq_layer_calibrate(reentry->layer, &batch);
    return NULL;
}

static int32_t wait_for_thread(const bsq_progress_t *progress, void *opaque)
{
    pthread_t thread;

    (void)progress;
    ck_assert_int_eq(pthread_create(&thread, NULL, calibrate_elsewhere, opaque), 0);
    pthread_join(thread, NULL);
    return 1;
}

START_TEST(a_second_thread_is_refused)
{
    struct test_data data = test_data_linear(4, 8, 1200, 1);
    struct reentry reentry = {.data = &data};
    bsq_options_t options = defaults();
    bsq_batch_t batch = test_data_batch(&data, 0, 1200, true);

    options.progress = wait_for_thread;
    options.progress_opaque = &reentry;
    reentry.layer = test_data_layer(&data, &options);
    test_fails(reentry.layer, BSQ_E_CANCELLED, "cancelled", bsq_layer_calibrate(reentry.layer, &batch));
    ck_assert_int_eq(reentry.calls, BSQ_E_STATE);
    bsq_layer_free(reentry.layer);
    test_data_free(&data);
}
END_TEST

START_TEST(a_layer_does_not_share_with_itself)
{
    struct test_data data = test_data_linear(4, 8, 10, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL);

    test_fails(layer, BSQ_E_STATE, "source", bsq_layer_share_input(layer, layer));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Text stays over successes, those of calls that first try something else too. */
START_TEST(text_stays_until_the_next_failure)
{
    struct test_data data = test_data_linear(4, 8, 10, 1);
    bsq_options_t options = defaults();

    options.input_bits = 8;
    options.effort = 0;

    bsq_layer_t *layer = test_data_layer(&data, &options);
    int8_t codes[32];

    ck_assert_str_eq(bsq_layer_error_message(layer), "");
    test_fails(layer, BSQ_E_ARGUMENT, "batch", bsq_layer_calibrate(layer, NULL));
    test_ok(layer, bsq_optimize(layer, NULL));
    ck_assert_ptr_nonnull(strstr(bsq_layer_error_message(layer), "batch"));
    test_ok(layer, bsq_layer_get_codes(layer, codes, 32));
    ck_assert_ptr_nonnull(strstr(bsq_layer_error_message(layer), "batch"));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- the floating-point environment ---- */

static int rounding_seen;

static void pool_rounding_up(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    int before = fegetround();

    (void)opaque;
    rounding_seen |= before != FE_TONEAREST;
    ck_assert_int_eq(fesetround(FE_UPWARD), 0);
    for (int64_t i = 0; i < count; i++)
        fn(context, i);
    ck_assert_int_eq(fegetround(), FE_UPWARD);
    ck_assert_int_eq(fesetround(before), 0);
}

static uint64_t run_rounding(int mode, const struct test_data *data, const bsq_options_t *options)
{
    bsq_layer_desc_t desc = data->desc;
    bsq_norm_t norm;
    uint64_t hash;

    ck_assert_int_eq(fesetround(mode), 0);

    bsq_layer_t *layer = test_data_calibrated(data, options, true);

    test_ok(layer, bsq_optimize(layer, NULL));
    bsq_norm_init(&norm, sizeof norm);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, data->weights, 0.1, &norm, NULL), BSQ_OK);
    ck_assert_int_eq(fegetround(), mode);
    hash = test_hash(test_hash_result(TEST_HASH_START, layer), &norm.upper, sizeof norm.upper);
    bsq_layer_free(layer);
    ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
    return hash;
}

START_TEST(rounding_modes_do_not_matter)
{
    const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    struct test_data data = test_data_linear(20, 30, 700, 2);
    bsq_options_t options = defaults();

    options.effort = 2;

    uint64_t expected = run_rounding(FE_TONEAREST, &data, &options);

    for (int i = 0; i < 3; i++)
        ck_assert(run_rounding(modes[i], &data, &options) == expected);
    options.threads = 3;
    ck_assert(run_rounding(FE_UPWARD, &data, &options) == expected);
    options.parallel_for = pool_rounding_up;
    ck_assert(run_rounding(FE_TONEAREST, &data, &options) == expected);
    ck_assert_int_eq(rounding_seen, 0); /* callbacks see round to nearest */
    test_data_free(&data);
}
END_TEST

/* ---- the host's pool ---- */

static int pool_calls;

static void count_pool(int64_t count, bsq_block_fn fn, void *context, void *opaque)
{
    (void)opaque;
    pool_calls++;
    for (int64_t i = 0; i < count; i++)
        fn(context, i);
}

/* One thread is the calling thread. */
START_TEST(one_thread_needs_no_pool)
{
    struct test_data data = test_data_linear(300, 20, 2000, 3);
    bsq_options_t options = defaults();

    options.effort = 1;
    options.parallel_for = count_pool;
    for (options.threads = 1; options.threads <= 2; options.threads++) {
        bsq_layer_t *layer = test_data_calibrated(&data, &options, true);

        test_ok(layer, bsq_optimize(layer, NULL));
        ck_assert_int_eq(pool_calls > 0, options.threads == 2);
        bsq_layer_free(layer);
    }
    test_data_free(&data);
}
END_TEST

/* ---- signals ---- */

enum { FAN_IN = 1024, ROWS = 1024, PAGE = 1 << 16 };

static float *guarded;
static volatile sig_atomic_t faults;

static void open_page(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    faults = faults + 1;
    (void)mprotect(guarded, sizeof(float) * FAN_IN * ROWS, PROT_READ | PROT_WRITE);
}

static int32_t close_page(const bsq_progress_t *progress, void *opaque)
{
    (void)progress;
    (void)opaque;
    return mprotect(guarded, sizeof(float) * FAN_IN * ROWS, PROT_NONE) != 0;
}

/* A host that maps its activations by itself handles the fault of a worker as that of its own thread. */
START_TEST(faults_reach_the_host)
{
    struct sigaction action;
    struct test_data data = test_data_linear(8, FAN_IN, 1, 4);
    bsq_options_t options = defaults();
    bsq_batch_t batch = test_data_batch(&data, 0, 1, false);

    if (getenv("BSQ_CHECK_SLOW")) { /* sanitizers have handlers of their own */
        test_data_free(&data);
        return;
    }
    guarded = aligned_alloc(PAGE, sizeof(float) * FAN_IN * ROWS);
    ck_assert_ptr_nonnull(guarded);
    for (int64_t i = 0; i < (int64_t)FAN_IN * ROWS; i++)
        guarded[i] = (float)(i % 13) - 6;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = open_page;
    action.sa_flags = SA_SIGINFO;
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    options.threads = 4;
    options.progress = close_page;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    batch.input = guarded;
    batch.size = ROWS;
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    ck_assert_int_gt(faults, 0);
    bsq_layer_free(layer);
    open_page(0, NULL, NULL);
    free(guarded);
    test_data_free(&data);
}
END_TEST

/* ---- error structs ---- */

struct longer_error {
    bsq_error_t known;
    int64_t unknown;
};

START_TEST(error_structs_are_checked)
{
    struct test_data data = test_data_linear(2, 3, 1, 1);
    struct longer_error error;
    char text[128];
    bsq_layer_t *layer = NULL;
    size_t size;
    bsq_tensor_t tensor = test_tensor_codes(4, 1, 4, NULL);

    bsq_error_init(&error.known, sizeof error);
    error.known.message = text;
    error.known.capacity = sizeof text;
    error.unknown = 0;
    ck_assert_int_eq(bsq_layer_create(&data.desc, NULL, data.weights, NULL, &layer, &error.known), BSQ_OK);
    ck_assert_int_eq(error.known.status, BSQ_OK);
    bsq_layer_free(layer);
    error.unknown = 7;
    ck_assert_int_eq(bsq_layer_create(&data.desc, NULL, data.weights, NULL, &layer, &error.known), BSQ_E_VERSION);
    ck_assert_ptr_null(layer);
    ck_assert_ptr_nonnull(strstr(text, "bsq_error_t"));
    ck_assert_int_eq(error.known.status, BSQ_E_VERSION);
    error.unknown = 0;
    error.known.reserved = 9;
    ck_assert_int_eq(bsq_layer_memory(&data.desc, NULL, &size, &error.known), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "reserved"));
    ck_assert_int_eq(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_INT8, &size, &error.known), BSQ_E_ARGUMENT);
    error.known.reserved = 0;
    error.known.struct_size = sizeof error.known - 1;
    text[0] = '\0';
    ck_assert_int_eq(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_INT8, &size, &error.known), BSQ_E_VERSION);
    ck_assert_str_eq(text, ""); /* whatever that is, it is not written to */
    test_data_free(&data);
}
END_TEST

/* ---- results of calls that stop ---- */

static int32_t cancel(const bsq_progress_t *progress, void *opaque)
{
    (void)progress;
    (void)opaque;
    return 1;
}

START_TEST(a_cancelled_norm_is_not_written)
{
    struct test_data data = test_data_linear(4, 5, 1, 1);
    bsq_options_t options = defaults();
    bsq_norm_t norm;

    options.progress = cancel;
    bsq_norm_init(&norm, sizeof norm);
    norm.upper = 5;
    norm.lower = 4;
    ck_assert_int_eq(bsq_operator_norm(&data.desc, &options, data.weights, 0.1, &norm, NULL), BSQ_E_CANCELLED);
    ck_assert(norm.upper == 5 && norm.lower == 4);
    test_data_free(&data);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("calls");

    tcase_add_test(tests, a_layer_at_work_is_left_alone);
    tcase_add_test(tests, a_second_thread_is_refused);
    tcase_add_test(tests, a_layer_does_not_share_with_itself);
    tcase_add_test(tests, text_stays_until_the_next_failure);
    tcase_add_test(tests, rounding_modes_do_not_matter);
    tcase_add_test(tests, one_thread_needs_no_pool);
    tcase_add_test(tests, faults_reach_the_host);
    tcase_add_test(tests, error_structs_are_checked);
    tcase_add_test(tests, a_cancelled_norm_is_not_written);
    return test_suite_of("calls", tests);
}
