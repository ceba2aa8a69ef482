/* What tests share: a counting heap, random numbers, small layers with data, a fingerprint of results. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *test_suite_of(const char *name, TCase *tests)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    return suite;
}

/* ---- heap ---- */

/* In front of every block; as wide as the strictest alignment. */
union heap_header {
    size_t size;
    max_align_t align;
};

static void *heap_alloc(size_t size, void *opaque)
{
    struct test_heap *heap = opaque;

    heap->foreign += !pthread_equal(heap->owner, pthread_self());
    heap->calls += !heap->paused;
    if (!heap->paused && heap->calls == heap->fail_at) {
        heap->failed++;
        return NULL;
    }

    union heap_header *header = malloc(sizeof *header + size);

    if (!header)
        return NULL;
    header->size = size;
    heap->blocks++;
    heap->bytes += (int64_t)size;
    if (heap->bytes > heap->peak)
        heap->peak = heap->bytes;
    memset(header + 1, 0xff, size); /* not a number: what reads it shows */
    return header + 1;
}

static void heap_free(void *block, void *opaque)
{
    struct test_heap *heap = opaque;
    union heap_header *header = (union heap_header *)block - 1;

    heap->foreign += !pthread_equal(heap->owner, pthread_self());
    heap->blocks--;
    heap->bytes -= (int64_t)header->size;
    memset(block, 0x5a, header->size);
    free(header);
}

void test_heap_init(struct test_heap *heap)
{
    memset(heap, 0, sizeof *heap);
    heap->owner = pthread_self();
}

void test_heap_use(struct test_heap *heap, bsq_options_t *options)
{
    options->memory_alloc = heap_alloc;
    options->memory_free = heap_free;
    options->memory_opaque = heap;
}

/* ---- random numbers ---- */

struct test_random test_random_seed(uint64_t seed)
{
    return (struct test_random){seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du};
}

/* splitmix64 */
uint64_t test_random_next(struct test_random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double test_random_uniform(struct test_random *random)
{
    return (double)(test_random_next(random) >> 11) * 0x1p-53;
}

/* The sum of 12 uniform numbers is close enough and needs no library function. */
double test_random_normal(struct test_random *random)
{
    double sum = -6.0;

    for (int i = 0; i < 12; i++)
        sum += test_random_uniform(random);
    return sum;
}

int64_t test_random_below(struct test_random *random, int64_t bound)
{
    return (int64_t)(test_random_next(random) % (uint64_t)bound);
}

/* ---- layers with data ---- */

static float *normals(struct test_random *random, int64_t count, double size)
{
    float *values = malloc((size_t)count * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(size * test_random_normal(random));
    return values;
}

/* Neighbouring inputs go together, and inputs differ in size, as in real layers; mean not 0. */
static void correlate(float *rows, int64_t count, int64_t width)
{
    for (int64_t r = 0; r < count; r++) {
        float *x = rows + r * width;

        for (int64_t i = 1; i < width; i++)
            x[i] = (float)(0.6 * (double)x[i - 1] + 0.8 * (double)x[i]);
        for (int64_t i = 0; i < width; i++)
            x[i] = (float)(((double)x[i] + 0.3) * (0.5 + (double)(i % 5) / 3.0));
    }
}

static void linear_targets(struct test_data *data, struct test_random *random)
{
    for (int64_t r = 0; r < data->size; r++)
        for (int64_t m = 0; m < data->channels; m++) {
            double y = (double)data->bias[m] + 0.05 * test_random_normal(random);

            for (int64_t i = 0; i < data->fan_in; i++)
                y += (double)data->weights[m * data->fan_in + i] * (double)data->input[r * data->fan_in + i];
            data->target[r * data->channels + m] = (float)y;
        }
}

struct test_data test_data_linear(int64_t channels, int64_t fan_in, int64_t rows, uint64_t seed)
{
    struct test_random random = test_random_seed(seed);
    struct test_data data = {
        .channels = channels,
        .fan_in = fan_in,
        .groups = 1,
        .size = rows,
        .rows_per_sample = 1,
        .input_stride = fan_in,
        .target_stride = channels,
    };

    bsq_layer_desc_init(&data.desc, sizeof data.desc);
    data.desc.in_channels = fan_in;
    data.desc.out_channels = channels;
    data.weights = normals(&random, channels * fan_in, 0.2);
    data.bias = normals(&random, channels, 0.1);
    data.input = normals(&random, rows * fan_in, 1.0);
    correlate(data.input, rows, fan_in);
    data.target = normals(&random, rows * channels, 1.0);
    linear_targets(&data, &random);
    return data;
}

struct test_data test_data_conv(int64_t size, uint64_t seed)
{
    struct test_random random = test_random_seed(seed);
    struct test_data data = {
        .channels = 6,
        .fan_in = 18,
        .groups = 2,
        .size = size,
        .rows_per_sample = 30,
        .spatial = {6, 5, 0},
        .input_stride = 4 * 30,
        .target_stride = 6 * 30,
    };

    bsq_layer_desc_init(&data.desc, sizeof data.desc);
    data.desc.kind = BSQ_KIND_CONV;
    data.desc.spatial_dims = 2;
    data.desc.in_channels = 4;
    data.desc.out_channels = 6;
    data.desc.groups = 2;
    for (int i = 0; i < 2; i++) {
        data.desc.kernel[i] = 3;
        data.desc.pad_begin[i] = 1;
        data.desc.pad_end[i] = 1;
    }
    data.weights = normals(&random, 6 * 18, 0.2);
    data.bias = normals(&random, 6, 0.1);
    data.input = normals(&random, size * data.input_stride, 1.0);
    correlate(data.input, size * 24, 5);
    data.target = normals(&random, size * data.target_stride, 1.0);
    return data;
}

void test_data_free(struct test_data *data)
{
    free(data->weights);
    free(data->bias);
    free(data->input);
    free(data->target);
}

bsq_batch_t test_data_batch(const struct test_data *data, int64_t first, int64_t count, bool with_target)
{
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.input = data->input + first * data->input_stride;
    batch.target = with_target ? data->target + first * data->target_stride : NULL;
    batch.size = count;
    memcpy(batch.spatial, data->spatial, sizeof batch.spatial);
    return batch;
}

bsq_layer_t *test_data_layer(const struct test_data *data, const bsq_options_t *options)
{
    char text[256] = "";
    bsq_error_t error;
    bsq_layer_t *layer;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;

    bsq_status_t status = bsq_layer_create(&data->desc, options, data->weights, data->bias, &layer, &error);

    ck_assert_msg(status == BSQ_OK, "bsq_layer_create: %d, %s", (int)status, text);
    return layer;
}

bsq_layer_t *test_data_calibrated(const struct test_data *data, const bsq_options_t *options, bool with_target)
{
    bsq_layer_t *layer = test_data_layer(data, options);
    bsq_batch_t batch = test_data_batch(data, 0, data->size, with_target);

    if (options && options->input_bits)
        test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    return layer;
}

/* ---- statistics and results ---- */

static double *doubles(int64_t count)
{
    double *values = calloc((size_t)count, sizeof *values);

    ck_assert_ptr_nonnull(values);
    return values;
}

struct test_moments test_moments_get(bsq_layer_t *layer, const struct test_data *data, int32_t held_out, bool target)
{
    struct test_moments moments = {
        .h = doubles(data->groups * data->fan_in * data->fan_in),
        .input_mean = doubles(data->groups * data->fan_in),
        .p = target ? doubles(data->channels * data->fan_in) : NULL,
        .target_mean = target ? doubles(data->channels) : NULL,
        .target_square = target ? doubles(data->channels) : NULL,
    };
    bsq_moments_buffers_t ask;

    bsq_moments_buffers_init(&ask, sizeof ask);
    ask.h = moments.h;
    ask.input_mean = moments.input_mean;
    ask.p = moments.p;
    ask.target_mean = moments.target_mean;
    ask.target_square = moments.target_square;
    ask.held_out = held_out;
    test_ok(layer, bsq_layer_get_moments(layer, &ask));
    moments.rows = ask.rows;
    return moments;
}

void test_moments_free(struct test_moments *moments)
{
    free(moments->h);
    free(moments->input_mean);
    free(moments->p);
    free(moments->target_mean);
    free(moments->target_square);
}

struct test_output test_output_get(bsq_layer_t *layer, const struct test_data *data, const bsq_options_t *options)
{
    struct test_output result = {.group_size = data->fan_in};

    if (options && options->scale_kind == BSQ_SCALE_KIND_PER_GROUP)
        result.group_size = options->group_size;
    test_ok(layer, bsq_layer_result_count(layer, BSQ_RESULT_CODES, &result.code_count));
    test_ok(layer, bsq_layer_result_count(layer, BSQ_RESULT_SCALES, &result.scale_count));
    test_ok(layer, bsq_layer_result_count(layer, BSQ_RESULT_BIAS, &result.bias_count));
    result.codes = malloc(result.code_count);
    result.scales = malloc(result.scale_count * sizeof *result.scales);
    result.bias = malloc(result.bias_count * sizeof *result.bias);
    result.dequantized = malloc(result.code_count * sizeof *result.dequantized);
    ck_assert(result.codes && result.scales && result.bias && result.dequantized);
    test_ok(layer, bsq_layer_get_codes(layer, result.codes, result.code_count));
    test_ok(layer, bsq_layer_get_scales(layer, result.scales, result.scale_count));
    test_ok(layer, bsq_layer_get_bias(layer, result.bias, result.bias_count));
    test_ok(layer, bsq_layer_get_dequantized(layer, result.dequantized, result.code_count));
    bsq_report_init(&result.report, sizeof result.report);
    test_ok(layer, bsq_layer_get_report(layer, &result.report));
    return result;
}

void test_output_free(struct test_output *result)
{
    free(result->codes);
    free(result->scales);
    free(result->bias);
    free(result->dequantized);
}

double test_output_scale(const struct test_output *result, const struct test_data *data, int64_t m, int64_t i)
{
    if (result->scale_count == 1)
        return (double)result->scales[0];

    int64_t per_channel = (data->fan_in + result->group_size - 1) / result->group_size;

    return (double)result->scales[m * per_channel + i / result->group_size];
}

/* x'Ay of two vectors */
static double bilinear(const double *a, int64_t n, const double *x, const double *y)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            sum += x[i] * a[i * n + j] * y[j];
    return sum;
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static double mean_diagonal(const double *h, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += h[i * n + i];
    return sum / (double)n;
}

/* energy - 2 p'v + v'Hv with p = (1 - mu) H w + mu P, expanded around e = v - w: no digits are lost when e is small. */
static struct test_error channel_error(const double *v, const struct test_data *data,
                                       const struct test_moments *moments, double mu, double lambda, int64_t m)
{
    int64_t n = data->fan_in, g = m / (data->channels / data->groups);
    const double *h = moments->h + g * n * n;
    double *w = doubles(n), *e = doubles(n), damping = 0;

    for (int64_t i = 0; i < n; i++) {
        w[i] = (double)data->weights[m * n + i];
        e[i] = v[i] - w[i];
        damping += e[i] * e[i];
    }

    double whw = bilinear(h, n, w, w), loss = bilinear(h, n, e, e), energy = whw;

    if (moments->p) {
        const double *p = moments->p + m * n;
        double square = moments->target_square[m], wp = dot(w, p, n);
        double residual = square - 2 * wp + whw; /* of the original weights, against the target */

        energy = (1 - mu) * (1 - mu) * whw + 2 * mu * (1 - mu) * wp + mu * mu * square;
        loss += 2 * mu * (bilinear(h, n, e, w) - dot(e, p, n)) + mu * mu * residual;
    }

    struct test_error error = {loss + lambda * mean_diagonal(h, n) * damping, loss, energy};

    free(w);
    free(e);
    return error;
}

struct test_error test_weights_error(const double *weights, const struct test_data *data,
                                     const struct test_moments *moments, double mu, double lambda)
{
    struct test_error sum = {0, 0, 0};

    for (int64_t m = 0; m < data->channels; m++) {
        struct test_error one = channel_error(weights + m * data->fan_in, data, moments, mu, lambda, m);

        sum.objective += one.objective;
        sum.loss += one.loss;
        sum.energy += one.energy;
    }
    return sum;
}

struct test_error test_output_error(const struct test_output *result, const struct test_data *data,
                                    const struct test_moments *moments, double mu, double lambda)
{
    int64_t n = data->fan_in;
    double *weights = doubles(data->channels * n);
    struct test_error error;

    for (int64_t i = 0; i < data->channels * n; i++)
        weights[i] = test_output_scale(result, data, i / n, i % n) * result->codes[i];
    error = test_weights_error(weights, data, moments, mu, lambda);
    free(weights);
    return error;
}

/* ---- tensors ---- */

bsq_tensor_t test_tensor_codes(int32_t bits, int64_t channels, int64_t fan_in, int8_t *codes)
{
    bsq_tensor_t tensor;

    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.weight_bits = bits;
    tensor.weight_grid = BSQ_WEIGHT_GRID_FULL;
    tensor.channels = channels;
    tensor.fan_in = fan_in;
    tensor.codes = codes;
    tensor.code_count =
        (int64_t)((uint64_t)channels * (uint64_t)fan_in); /* tests give extents that are too large too */
    return tensor;
}

bsq_tensor_t test_tensor_get(bsq_layer_t *layer)
{
    bsq_tensor_t tensor;

    bsq_tensor_init(&tensor, sizeof tensor);
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    tensor.codes = malloc((size_t)tensor.code_count);
    tensor.scales = malloc((size_t)tensor.scale_count * sizeof *tensor.scales);
    ck_assert(tensor.codes && tensor.scales);
    if (tensor.zero_point_count)
        ck_assert_ptr_nonnull(tensor.zero_points = malloc((size_t)tensor.zero_point_count * sizeof(int32_t)));
    if (tensor.offset_count)
        ck_assert_ptr_nonnull(tensor.offsets = malloc((size_t)tensor.offset_count * sizeof(float)));
    if (tensor.level_count)
        ck_assert_ptr_nonnull(tensor.levels = malloc((size_t)tensor.level_count));
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    return tensor;
}

void test_tensor_free(bsq_tensor_t *tensor)
{
    free(tensor->codes);
    free(tensor->scales);
    free(tensor->zero_points);
    free(tensor->offsets);
    free(tensor->levels);
}

/* ---- fingerprint ---- */

uint64_t test_hash(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *next = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ next[i]) * 0x100000001b3u;
    return hash;
}

uint64_t test_hash_stats(uint64_t hash, bsq_layer_t *layer, int32_t held_out)
{
    bsq_stats_t *stats;
    size_t size;

    if (bsq_layer_acquire_stats(layer, held_out, &stats) == BSQ_E_STATE)
        return hash;
    ck_assert_ptr_nonnull(stats);
    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);

    void *bytes = malloc(size);

    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    hash = test_hash(hash, bytes, size);
    free(bytes);
    bsq_stats_release(stats);
    return hash;
}

static uint64_t hash_report(uint64_t hash, bsq_layer_t *layer)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_get_report(layer, &report));
    report.seconds = 0;
    hash = test_hash(hash, &report, sizeof report);
    for (int32_t i = 0; i < report.stages; i++) {
        bsq_stage_t stage;

        bsq_stage_init(&stage, sizeof stage);
        test_ok(layer, bsq_layer_get_stage_report(layer, i, &stage));
        stage.seconds = 0;
        hash = test_hash(hash, &stage, sizeof stage);
    }
    return hash;
}

uint64_t test_hash_result(uint64_t hash, bsq_layer_t *layer)
{
    size_t codes, scales, biases;

    if (bsq_layer_result_count(layer, BSQ_RESULT_CODES, &codes) == BSQ_E_STATE)
        return hash;
    test_ok(layer, bsq_layer_result_count(layer, BSQ_RESULT_SCALES, &scales));
    test_ok(layer, bsq_layer_result_count(layer, BSQ_RESULT_BIAS, &biases));

    int8_t *code = malloc(codes);
    float *scale = malloc(scales * sizeof *scale), *bias = malloc(biases * sizeof *bias);

    ck_assert(code && scale && bias);
    test_ok(layer, bsq_layer_get_codes(layer, code, codes));
    test_ok(layer, bsq_layer_get_scales(layer, scale, scales));
    test_ok(layer, bsq_layer_get_bias(layer, bias, biases));
    hash = test_hash(hash, code, codes);
    hash = test_hash(hash, scale, scales * sizeof *scale);
    hash = test_hash(hash, bias, biases * sizeof *bias);
    free(code);
    free(scale);
    free(bias);
    for (int64_t m = 0; m < (int64_t)biases; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        test_ok(layer, bsq_layer_get_channel_report(layer, m, &channel));
        hash = test_hash(hash, &channel, sizeof channel);
    }
    return hash_report(hash, layer);
}
