/* Exported statistics: what is written, that going on from them is exact, and that nothing damaged is accepted. */
#include "base/options.h"
#include "stats/private.h"
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Offsets of the header, from its description. */
enum {
    AT_VERSION = 8,
    AT_FLAGS = 12,
    AT_SIZE = 16,
    AT_GROUPS = 24,
    AT_OUT_CHANNELS = 40,
    AT_KERNEL = 48,
    AT_PAD = 120,
    AT_DIMS = 168,
    AT_LAYOUT = 172,
    AT_ZERO = 180,
    AT_SCALE = 184,
    AT_BITS = 196,
    AT_ROWS = 208,
    AT_WEIGHT = 216,
    AT_OWN_ROWS = 232,
    AT_FILL = 256,
    AT_OWN_FILL = 264,
    AT_DATA = 272
};

struct bytes {
    unsigned char *data;
    size_t size;
};

struct bench {
    struct test_heap heap;
    bsq_options_t options;
    struct bsq_memory memory;
    struct bsq_parallel parallel;
    struct bsq_message message;
    struct bsq_stats_work work;
};

static void start_bench(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    test_heap_init(&bench->heap);
    bsq_options_init(&bench->options, sizeof bench->options);
    test_heap_use(&bench->heap, &bench->options);
    bench->memory = bsq_memory_hooks(&bench->options);
    bench->parallel = bsq_parallel_of(&bench->options);
    bench->work = (struct bsq_stats_work){&bench->memory, &bench->parallel, &bench->options, &bench->message};
}

static void end_bench(struct bench *bench)
{
    ck_assert_int_eq(bench->heap.blocks, 0);
}

static struct bytes export(const struct bsq_stats_t *stats)
{
    struct bytes bytes;

    ck_assert_int_eq(bsq_stats_export_size(stats, &bytes.size, NULL), BSQ_OK);
    bytes.data = malloc(bytes.size);
    memset(bytes.data, 0xa5, bytes.size);
    ck_assert_int_eq(bsq_stats_export(stats, bytes.data, bytes.size, NULL), BSQ_OK);
    return bytes;
}

/* A copy that ends where its heap block ends, so that tools see reading beyond it. */
static bsq_status_t import_copy(struct bench *bench, const unsigned char *data, size_t size, struct bsq_stats_t **stats)
{
    unsigned char *copy = malloc(size ? size : 1);
    char text[200];
    bsq_error_t error;
    bsq_status_t status;

    memcpy(copy, data, size);
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    *stats = (struct bsq_stats_t *)(void *)copy;
    status = bsq_stats_import(copy, size, &bench->options, stats, &error);
    ck_assert_int_eq(error.status, status);
    ck_assert((status == BSQ_OK) == (*stats != NULL));
    ck_assert((status == BSQ_OK) == (text[0] == '\0'));
    free(copy);
    return status;
}

static void expect_equal(const struct bytes *a, const struct bytes *b)
{
    ck_assert_uint_eq(a->size, b->size);
    ck_assert(memcmp(a->data, b->data, a->size) == 0);
}

/* ---- samples ---------------------------------------------------------------------------------------------- */

enum { PLAIN, TARGET, SHARED, SHARED_BARE, GIVEN, QUANTIZED, EMPTY, SAMPLES };

static struct bsq_geometry geometry_of(const struct test_data *data)
{
    struct bsq_geometry geometry;
    struct bsq_message message;

    ck_assert_int_eq(bsq_geometry_init(&geometry, &data->desc, &message), BSQ_OK);
    return geometry;
}

static struct bsq_stats_t *given(struct bench *bench, const struct bsq_geometry *geometry)
{
    struct bsq_quantizer none = {0};
    struct bsq_stats_t *stats = NULL;
    bsq_moments_t moments;
    int64_t n = geometry->fan_in;
    double *h = calloc((size_t)(geometry->groups * n * n), sizeof(double));

    for (int64_t g = 0; g < geometry->groups; g++)
        for (int64_t i = 0; i < n; i++)
            h[(g * n + i) * n + i] = (double)(i + 1);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = h;
    ck_assert_int_eq(bsq_stats_set(&stats, geometry, &none, &moments, &bench->memory, &bench->message), BSQ_OK);
    free(h);
    return stats;
}

static void add(struct bench *bench, struct bsq_stats_t **stats, const bsq_batch_t *batch, const float *bias)
{
    ck_assert_int_eq(bsq_stats_add(stats, batch, bias, &bench->work), BSQ_OK);
}

/* Statistics of the first samples of 'data', of every shape that an export can have. */
static struct bsq_stats_t *sample(struct bench *bench, const struct test_data *data, int kind, int64_t samples)
{
    struct bsq_geometry geometry = geometry_of(data);
    const struct bsq_quantizer quantizer = {0.25, 2, 4, BSQ_INPUT_TYPE_ZERO_POINT, 0}, none = {0};
    bsq_batch_t batch = test_data_batch(data, 0, samples, kind != PLAIN && kind != SHARED_BARE);
    struct bsq_stats_t *stats, *shared;

    if (kind == GIVEN)
        return given(bench, &geometry);
    stats = bsq_stats_create(&geometry, kind == QUANTIZED ? &quantizer : &none, &bench->memory);
    if (kind == EMPTY)
        return stats;
    add(bench, &stats, &batch, data->bias);
    if (kind != SHARED && kind != SHARED_BARE)
        return stats;
    ck_assert_int_eq(bsq_stats_share(stats, &geometry, &bench->memory, &shared, &bench->message), BSQ_OK);
    bsq_stats_release(stats);
    if (kind == SHARED) {
        batch = test_data_batch(data, 0, samples / 2, true);
        add(bench, &shared, &batch, data->bias);
    }
    return shared;
}

/* ---- tests ------------------------------------------------------------------------------------------------ */

START_TEST(there_and_back)
{
    struct test_data data = test_data_conv(40, 1);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes, again;

    start_bench(&bench);
    stats = sample(&bench, &data, _i, 40);
    bytes = export(stats);
    ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size, &read), BSQ_OK);
    again = export(read);
    expect_equal(&bytes, &again);
    ck_assert(bsq_stats_rows(read) == bsq_stats_rows(stats));
    ck_assert(bsq_stats_has_target(read) == bsq_stats_has_target(stats));
    ck_assert(bsq_stats_has_means(read) == bsq_stats_has_means(stats));
    ck_assert(bsq_stats_empty(read) == bsq_stats_empty(stats));
    bsq_stats_release(read);
    bsq_stats_release(stats);
    free(bytes.data);
    free(again.data);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

/* What was exported half-way and read back goes on as if nothing had happened, with room for few rows and for many. */
START_TEST(going_on_is_exact)
{
    struct test_data data = test_data_conv(60, 2);
    int kind = _i % 2 ? SHARED : TARGET;
    bsq_batch_t middle = test_data_batch(&data, 20, 1, true), rest = test_data_batch(&data, 21, 39, true);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes, direct, resumed;

    start_bench(&bench);
    stats = sample(&bench, &data, kind, 20);
    bytes = export(stats);
    ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size, &read), BSQ_OK);
    if (_i >= 2)
        add(&bench, &stats, &middle, data.bias), add(&bench, &read, &middle, data.bias);
    add(&bench, &stats, &rest, data.bias);
    add(&bench, &read, &rest, data.bias);
    direct = export(stats);
    resumed = export(read);
    expect_equal(&direct, &resumed);
    bsq_stats_release(read);
    bsq_stats_release(stats);
    free(bytes.data);
    free(direct.data);
    free(resumed.data);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

static uint64_t little_endian(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes - 1; i >= 0; i--)
        value = value * 256 + at[i];
    return value;
}

static double double_at(const unsigned char *at)
{
    uint64_t bits = little_endian(at, 8);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* CRC-64/XZ bit by bit. */
static uint64_t slow_checksum(const unsigned char *data, size_t size)
{
    uint64_t sum = UINT64_MAX;

    for (size_t i = 0; i < size; i++) {
        sum ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ (sum & 1 ? UINT64_C(0xc96c5795d7870f42) : 0);
    }
    return ~sum;
}

/* The format as it is written down: 3 rows of 2 inputs and 1 target fit on a page. */
START_TEST(byte_by_byte)
{
    bsq_layer_desc_t desc;
    struct bsq_geometry geometry;
    const struct bsq_quantizer none = {0};
    const float input[6] = {1, 2, 3, 4, 5, 6}, target[3] = {7, 8, 9}, bias[1] = {1}, weights[3] = {1, 0, 2};
    struct bench bench;
    struct bsq_stats_t *stats;
    struct bytes bytes;
    bsq_batch_t batch;
    const size_t arrays = (3 + 2 + 2 + 1 + 1) * 8, rows = 2 * 4 + 2 * 2 * 4 + 2 * 4;
    const float expected[8] = {1, 2, 1, 2, 5, 6, 6, 8};

    start_bench(&bench);
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = 2;
    desc.out_channels = 1;
    ck_assert_int_eq(bsq_geometry_init(&geometry, &desc, &bench.message), BSQ_OK);
    stats = bsq_stats_create(&geometry, &none, &bench.memory);
    bsq_batch_init(&batch, sizeof batch);
    batch.input = input, batch.target = target, batch.row_weights = weights, batch.size = 3;
    add(&bench, &stats, &batch, bias);
    bytes = export(stats);
    ck_assert_uint_eq(bytes.size, AT_DATA + arrays + rows + 8);
    ck_assert(memcmp(bytes.data, "BSQSTATS", 8) == 0);
    ck_assert_uint_eq(little_endian(bytes.data + AT_VERSION, 4), 1);
    ck_assert_uint_eq(little_endian(bytes.data + AT_FLAGS, 4), 1 + 4 + 8);
    ck_assert_uint_eq(little_endian(bytes.data + AT_SIZE, 8), bytes.size);
    ck_assert_uint_eq(little_endian(bytes.data + AT_GROUPS, 8), 1);
    ck_assert_uint_eq(little_endian(bytes.data + AT_GROUPS + 8, 8), 2);
    ck_assert_uint_eq(little_endian(bytes.data + AT_OUT_CHANNELS, 8), 1);
    ck_assert_uint_eq(little_endian(bytes.data + AT_KERNEL, 8), 1);
    ck_assert_uint_eq(little_endian(bytes.data + AT_PAD, 8), 0);
    ck_assert_uint_eq(little_endian(bytes.data + AT_DIMS, 4), 0);
    ck_assert_uint_eq(little_endian(bytes.data + AT_BITS, 4), 0);
    ck_assert(double_at(bytes.data + AT_ROWS) == 2);
    ck_assert(double_at(bytes.data + AT_WEIGHT) == 3);
    ck_assert(double_at(bytes.data + AT_WEIGHT + 8) == 5);
    ck_assert(double_at(bytes.data + AT_OWN_ROWS) == 0);
    ck_assert_uint_eq(little_endian(bytes.data + AT_FILL, 8), 2);
    ck_assert_uint_eq(little_endian(bytes.data + AT_OWN_FILL, 8), 0);
    for (size_t i = 0; i < arrays; i++)
        ck_assert_uint_eq(bytes.data[AT_DATA + i], 0);
    for (size_t i = 0; i < 8; i++) {
        uint32_t bits = (uint32_t)little_endian(bytes.data + AT_DATA + arrays + 4 * i, 4);
        float value;

        memcpy(&value, &bits, sizeof value);
        ck_assert(value == expected[i]);
    }
    ck_assert_uint_eq(little_endian(bytes.data + bytes.size - 8, 8), slow_checksum(bytes.data, bytes.size - 8));
    ck_assert_uint_eq(bsq_stats_checksum("123456789", 9), UINT64_C(0x995dc9bbdf1939fa));
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
}
END_TEST

START_TEST(every_truncation)
{
    struct test_data data = test_data_conv(3, 3);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes;

    start_bench(&bench);
    stats = sample(&bench, &data, _i, 3);
    bytes = export(stats);
    for (size_t size = 0; size < bytes.size; size++) {
        bsq_status_t status = import_copy(&bench, bytes.data, size, &read);

        ck_assert_int_eq(status, size == 0 ? BSQ_E_FORMAT : BSQ_E_CORRUPT);
    }
    bytes.data = realloc(bytes.data, bytes.size + 1);
    bytes.data[bytes.size] = 0;
    ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size + 1, &read), BSQ_E_CORRUPT);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

START_TEST(every_flipped_byte)
{
    struct test_data data = test_data_conv(2, 4);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes;

    start_bench(&bench);
    stats = sample(&bench, &data, _i ? SHARED : TARGET, _i ? 2 : 1);
    bytes = export(stats);
    for (size_t at = 0; at < bytes.size; at++) {
        static const unsigned char flips[4] = {0xff, 0x01, 0x80, 0x10};
        unsigned char flip = at < AT_DATA ? flips[0] : flips[at % 4];
        bsq_status_t wanted = at < AT_VERSION ? BSQ_E_FORMAT : at < AT_FLAGS ? BSQ_E_VERSION : BSQ_E_CORRUPT;

        for (int f = 0; f < (at < AT_DATA ? 4 : 1); f++) {
            if (at < AT_DATA)
                flip = flips[f];
            bytes.data[at] ^= flip;

            bsq_status_t got = import_copy(&bench, bytes.data, bytes.size, &read);

            /* version 1 with its only bit flipped is version 0, which never was */
            ck_assert_msg(got == wanted || (at == AT_VERSION && flip == 1 && got == BSQ_E_CORRUPT),
                          "byte %zu, flip %d: status %d", at, flip, (int)got);
            bytes.data[at] ^= flip;
        }
    }
    ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size, &read), BSQ_OK);
    bsq_stats_release(read);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A forged export, its checksum right. It must be refused, and must not get more memory than it brings bytes. */
static void expect_refused(struct bench *bench, const struct bytes *bytes, size_t at, uint64_t value, int width)
{
    unsigned char *forged = malloc(bytes->size);
    struct bsq_stats_t *read;
    bsq_status_t status;

    memcpy(forged, bytes->data, bytes->size);
    put(forged + at, value, width);
    put(forged + bytes->size - 8, slow_checksum(forged, bytes->size - 8), 8);
    bench->heap.peak = bench->heap.bytes;

    int64_t before = bench->heap.bytes;

    status = import_copy(bench, forged, bytes->size, &read);
    ck_assert_msg(status == BSQ_E_CORRUPT, "offset %zu, value %llx: status %d", at, (unsigned long long)value,
                  (int)status);
    ck_assert_int_le(bench->heap.peak - before, 4 * (int64_t)bytes->size + 2048);
    free(forged);
}

START_TEST(forged_fields)
{
    static const double bad[] = {-1, -1e-300, INFINITY, NAN};
    struct test_data data = test_data_conv(_i == SHARED ? 4 : 2, 5);
    struct bench bench;
    struct bsq_stats_t *stats;
    struct bytes bytes;

    start_bench(&bench);
    stats = sample(&bench, &data, _i, _i == SHARED ? 4 : 2);
    bytes = export(stats);
    expect_refused(&bench, &bytes, AT_FLAGS, 16, 4);
    expect_refused(&bench, &bytes, AT_FLAGS, _i == SHARED ? 1 : 2, 4);
    for (size_t at = AT_GROUPS; at < AT_DIMS; at += 8)
        expect_refused(&bench, &bytes, at, UINT64_MAX, 8);
    for (size_t at = AT_GROUPS; at < AT_KERNEL + 24; at += 8) {
        expect_refused(&bench, &bytes, at, (uint64_t)INT64_MAX, 8);
        expect_refused(&bench, &bytes, at, UINT64_C(1) << 33, 8);
    }
    expect_refused(&bench, &bytes, AT_DIMS, 4, 4);
    expect_refused(&bench, &bytes, AT_DIMS, 0, 4);
    expect_refused(&bench, &bytes, AT_LAYOUT, 7, 4);
    expect_refused(&bench, &bytes, AT_ZERO, 1, 4);
    expect_refused(&bench, &bytes, AT_BITS, 9, 4);
    expect_refused(&bench, &bytes, AT_SCALE, bits_of(-0.5), 8);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_refused(&bench, &bytes, AT_ROWS, bits_of(bad[i]), 8);
        expect_refused(&bench, &bytes, AT_WEIGHT, bits_of(bad[i]), 8);
        expect_refused(&bench, &bytes, AT_OWN_ROWS, bits_of(bad[i]), 8);
        expect_refused(&bench, &bytes, AT_DATA, bits_of(bad[i]), 8); /* the diagonal of H */
    }
    expect_refused(&bench, &bytes, AT_ROWS, bits_of(0), 8);
    expect_refused(&bench, &bytes, AT_WEIGHT, bits_of(0), 8);
    for (uint64_t fill = 1; fill < 600; fill += 37) {
        expect_refused(&bench, &bytes, AT_FILL, fill, 8);
        expect_refused(&bench, &bytes, AT_OWN_FILL, fill, 8);
    }
    expect_refused(&bench, &bytes, AT_FILL, UINT64_MAX, 8);
    expect_refused(&bench, &bytes, AT_FILL, (uint64_t)INT64_MAX, 8);
    expect_refused(&bench, &bytes, bytes.size - 12, 0x7f800000, 4); /* the last unfinished value is infinite */
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

/* Counts of the targets' own rows that no export writes, each caught by one check alone. */
START_TEST(forged_own_counts)
{
    static const struct {
        int kind;
        double rows, weight, weight_square;
    } forged[] = {
        {TARGET, 3, 3, 3}, {PLAIN, 3, 3, 3},  {SHARED_BARE, 3, 3, 3}, {SHARED_BARE, 0, 1, 0}, {SHARED, 0, 0, 0},
        {SHARED, 0, 1, 0}, {SHARED, 1, 1, 1}, {SHARED, 900, 0, 900},  {SHARED, 900, 900, 0},  {SHARED, -900, 900, 900},
    };
    struct test_data data = test_data_conv(4, 5);
    struct bench bench;
    struct bsq_stats_t *stats;
    struct bytes bytes;

    start_bench(&bench);
    stats = sample(&bench, &data, forged[_i].kind, 4);
    bytes = export(stats);
    put(bytes.data + AT_OWN_ROWS, bits_of(forged[_i].rows), 8);
    put(bytes.data + AT_OWN_ROWS + 8, bits_of(forged[_i].weight), 8);
    put(bytes.data + AT_OWN_ROWS + 16, bits_of(forged[_i].weight_square), 8);
    expect_refused(&bench, &bytes, AT_VERSION, 1, 4);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

/* One output on two inputs, H the identity, ten rows; every sum of products up to what the sums of squares allow. */
START_TEST(forged_contradictions)
{
    enum { H01 = 1, SUM = 3, P = 5, TARGET_SUM = 7, TARGET_SQUARE = 8 };
    static const int products[] = {H01, SUM, SUM + 1, P, P + 1, TARGET_SUM};
    static const double h[] = {1, 0, 0, 1}, zeros[] = {0, 0}, one = 1;
    const struct bsq_quantizer none = {0};
    struct test_data data = test_data_linear(1, 2, 4, 5);
    struct bsq_geometry geometry = geometry_of(&data);
    struct bench bench;
    struct bsq_stats_t *stats = NULL, *read;
    bsq_moments_t moments;
    struct bytes bytes;

    start_bench(&bench);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = h;
    moments.input_mean = moments.p = moments.target_mean = zeros;
    moments.target_square = &one;
    moments.rows = 10;
    ck_assert_int_eq(bsq_stats_set(&stats, &geometry, &none, &moments, &bench.memory, &bench.message), BSQ_OK);
    bytes = export(stats);
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        unsigned char *at = bytes.data + AT_DATA + 8 * products[i];

        for (int sign = -1; sign <= 1; sign += 2) {
            expect_refused(&bench, &bytes, (size_t)(at - bytes.data), bits_of(sign * 10.1), 8);
            put(at, bits_of(sign * 10.005), 8);
            put(bytes.data + bytes.size - 8, slow_checksum(bytes.data, bytes.size - 8), 8);
            ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size, &read), BSQ_OK);
            bsq_stats_release(read);
        }
        put(at, 0, 8);
    }
    expect_refused(&bench, &bytes, AT_DATA + 8 * TARGET_SQUARE, bits_of(-1), 8);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

START_TEST(versions_and_strangers)
{
    struct test_data data = test_data_conv(2, 6);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes;
    bsq_options_t newer;

    start_bench(&bench);
    stats = sample(&bench, &data, TARGET, 2);
    bytes = export(stats);
    put(bytes.data + AT_VERSION, 2, 4);
    put(bytes.data + bytes.size - 8, slow_checksum(bytes.data, bytes.size - 8), 8);
    ck_assert_int_eq(import_copy(&bench, bytes.data, bytes.size, &read), BSQ_E_VERSION);
    ck_assert_int_eq(import_copy(&bench, (const unsigned char *)"\x93NUMPY something else", 22, &read), BSQ_E_FORMAT);
    ck_assert_int_eq(import_copy(&bench, (const unsigned char *)"BSQ", 3, &read), BSQ_E_CORRUPT);
    ck_assert_int_eq(bsq_stats_import(NULL, 10, NULL, &read, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_import(bytes.data, bytes.size, NULL, NULL, NULL), BSQ_E_ARGUMENT);
    newer = bench.options;
    newer.threads = 0;
    ck_assert_int_eq(bsq_stats_import(bytes.data, bytes.size, &newer, &read, NULL), BSQ_E_RANGE);
    ck_assert_ptr_null(read);
    free(bytes.data);

    size_t size;

    ck_assert_int_eq(bsq_stats_export_size(NULL, &size, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_export_size(stats, NULL, NULL), BSQ_E_ARGUMENT);
    bytes = export(stats);
    ck_assert_int_eq(bsq_stats_export(NULL, bytes.data, bytes.size, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_export(stats, NULL, bytes.size, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_export(stats, bytes.data, bytes.size - 1, NULL), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_stats_export(stats, bytes.data, bytes.size + 1, NULL), BSQ_E_SIZE);
    ck_assert_int_eq(bsq_stats_import(bytes.data, bytes.size, NULL, &read, NULL), BSQ_OK); /* malloc */
    bsq_stats_release(read);
    bsq_stats_release(NULL);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

START_TEST(every_allocation_fails)
{
    struct test_data data = test_data_conv(10, 7);
    struct bench bench;
    struct bsq_stats_t *stats, *read;
    struct bytes bytes;
    int64_t fail_at = 0, blocks;
    bsq_status_t status;

    start_bench(&bench);
    stats = sample(&bench, &data, SHARED, 10);
    bytes = export(stats);
    blocks = bench.heap.blocks;
    do {
        bench.heap.calls = 0;
        bench.heap.fail_at = ++fail_at;
        status = import_copy(&bench, bytes.data, bytes.size, &read);
        ck_assert(status == BSQ_OK || (status == BSQ_E_MEMORY && bench.heap.blocks == blocks));
    } while (status != BSQ_OK);
    ck_assert_int_gt(fail_at, 4); /* each block is asked for once */
    bsq_stats_release(read);
    free(bytes.data);
    bsq_stats_release(stats);
    end_bench(&bench);
    test_data_free(&data);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("stats_io");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, there_and_back, 0, SAMPLES);
    tcase_add_loop_test(tests, going_on_is_exact, 0, 4);
    tcase_add_test(tests, byte_by_byte);
    tcase_add_loop_test(tests, every_truncation, 0, SAMPLES);
    tcase_add_loop_test(tests, every_flipped_byte, 0, 2);
    tcase_add_loop_test(tests, forged_fields, TARGET, SHARED + 1);
    tcase_add_loop_test(tests, forged_own_counts, 0, 10);
    tcase_add_test(tests, forged_contradictions);
    tcase_add_test(tests, versions_and_strangers);
    tcase_add_test(tests, every_allocation_fails);
    return test_suite_of("stats_io", tests);
}
