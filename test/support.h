/* What tests share: a counting heap, random numbers, small layers with data, a fingerprint of results.
 * It uses the public header alone, so API tests and unit tests can both link it. */
#ifndef BSQ_TEST_SUPPORT_H
#define BSQ_TEST_SUPPORT_H

#include "bsq.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>

/* What every test program defines and main.c runs. */
Suite *test_suite(void);

/* A suite of one test case. */
Suite *test_suite_of(const char *name, TCase *tests);

/* ---- heap ---- */

/* Counts what goes through the allocator hooks, and fails on demand. For one thread; calls from others are counted as
 * foreign, which no library call may cause. */
struct test_heap {
    int64_t calls;   /* allocations asked for */
    int64_t fail_at; /* the allocation that fails, counted from 1; 0: none */
    int64_t failed;  /* how many did */
    int64_t blocks;  /* alive */
    int64_t bytes;   /* alive */
    int64_t peak;    /* the most bytes that were alive */
    int64_t foreign; /* calls from another thread */
    bool paused;     /* do not count calls, do not fail */
    pthread_t owner;
};

void test_heap_init(struct test_heap *heap);
void test_heap_use(struct test_heap *heap, bsq_options_t *options);

/* ---- random numbers ---- */

struct test_random {
    uint64_t state;
};

struct test_random test_random_seed(uint64_t seed);
uint64_t test_random_next(struct test_random *random);
double test_random_uniform(struct test_random *random);               /* 0..1 */
double test_random_normal(struct test_random *random);                /* mean 0, variance 1 */
int64_t test_random_below(struct test_random *random, int64_t bound); /* 0..bound-1 */

/* ---- layers with data ---- */

/* A description with weights, bias and one batch of inputs and targets; all owned. */
struct test_data {
    bsq_layer_desc_t desc;
    int64_t channels; /* M */
    int64_t fan_in;   /* n */
    int64_t groups;
    int64_t size; /* samples */
    int64_t rows_per_sample;
    int64_t spatial[3];
    int64_t input_stride; /* values of one sample */
    int64_t target_stride;
    float *weights;
    float *bias;
    float *input;
    float *target;
};

/* Linear layer, correlated inputs, target = W x + bias + noise. */
struct test_data test_data_linear(int64_t channels, int64_t fan_in, int64_t rows, uint64_t seed);

/* Convolution 3x3, 2 groups, 4 -> 6 channels, padding 1, on 6x5 pictures; random targets. */
struct test_data test_data_conv(int64_t size, uint64_t seed);
void test_data_free(struct test_data *data);

/* Samples first..first+count-1 of the data as a batch. */
bsq_batch_t test_data_batch(const struct test_data *data, int64_t first, int64_t count, bool with_target);

/* A layer of the data, calibrated with all of it; fails the test otherwise. */
bsq_layer_t *test_data_layer(const struct test_data *data, const bsq_options_t *options);
bsq_layer_t *test_data_calibrated(const struct test_data *data, const bsq_options_t *options, bool with_target);

/* ---- statistics and results as the host sees them ---- */

/* Everything bsq_layer_get_moments gives. */
struct test_moments {
    double *h, *input_mean, *p, *target_mean, *target_square;
    double rows;
};

struct test_moments test_moments_get(bsq_layer_t *layer, const struct test_data *data, int32_t held_out, bool target);
void test_moments_free(struct test_moments *moments);

/* The last result. */
struct test_output {
    int8_t *codes;
    float *scales;
    float *bias;
    float *dequantized;
    size_t code_count, scale_count, bias_count;
    int64_t group_size; /* inputs that share a scale */
    bsq_report_t report;
};

/* 'options' are those that bsq_optimize ran with. */
struct test_output test_output_get(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options);
void test_output_free(struct test_output *result);

/* The scale of weight i of channel m. */
double test_output_scale(const struct test_output *result, const struct test_data *data, int64_t m, int64_t i);

/* Error of the result on moments, by the definition and in double: sums over channels of J (damping included when
 * 'lambda' > 0), of J without damping, and of the energy. 'mu' is taken as 0 when there is no target. */
struct test_error {
    double objective, loss, energy;
};

struct test_error test_output_error(const struct test_output *result, const struct test_data *data,
                                    const struct test_moments *moments, double mu, double lambda);

/* The same of any weights (M, n). */
struct test_error test_weights_error(const double *weights, const struct test_data *data,
                                     const struct test_moments *moments, double mu, double lambda);

/* ---- tensors ---- */

/* Codes alone, on the full grid. */
bsq_tensor_t test_tensor_codes(int32_t bits, int64_t channels, int64_t fan_in, int8_t *codes);

/* The result of a layer, in buffers of its own. */
bsq_tensor_t test_tensor_get(bsq_layer_t *layer);
void test_tensor_free(bsq_tensor_t *tensor);

/* ---- fingerprint ---- */

/* FNV-1a over everything that must be bit-identical. */
uint64_t test_hash(uint64_t hash, const void *bytes, size_t size);
uint64_t test_hash_stats(uint64_t hash, bsq_layer_t *layer, int32_t held_out); /* unchanged when there are none */
uint64_t test_hash_result(uint64_t hash, bsq_layer_t *layer); /* all results and the report but its seconds */
enum { TEST_HASH_START = 17 };

/* Stops the test unless the call succeeds; shows the call and the layer's text. */
#define test_ok(layer, call)                                                                                           \
    do {                                                                                                               \
        bsq_status_t test_status = (call);                                                                             \
        ck_assert_msg(test_status == BSQ_OK, "%s: status %d, %s", #call, (int)test_status,                             \
                      bsq_layer_error_message(layer));                                                                 \
    } while (0)

/* Stops the test unless the call fails with that status and a text that contains 'word'. */
#define test_fails(layer, status, word, call)                                                                          \
    do {                                                                                                               \
        bsq_status_t test_status = (call);                                                                             \
        ck_assert_msg(test_status == (status), "%s: status %d instead of %d, %s", #call, (int)test_status,             \
                      (int)(status), bsq_layer_error_message(layer));                                                  \
        ck_assert_msg(strstr(bsq_layer_error_message(layer), word) != NULL, "%s: no '%s' in '%s'", #call, word,        \
                      bsq_layer_error_message(layer));                                                                 \
    } while (0)

#endif
