/* Formats with scales: round trips of random tensors, names, options, parts, and every refusal. What the bytes mean is
 * held against other readers: test/formats.py and test/engines. */
#include "formats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int32_t all[] = {
    BSQ_FORMAT_INT8,
    BSQ_FORMAT_ONNX_INT4,
    BSQ_FORMAT_ONNX_INT2,
    BSQ_FORMAT_TERNARY_PLANES,
    BSQ_FORMAT_SIGN_MAGNITUDE_PLANES,
    BSQ_FORMAT_ONNX_INT4_BLOCKS,
    BSQ_FORMAT_ONNX_UINT4_BLOCKS,
    BSQ_FORMAT_ONNX_INT2_BLOCKS,
    BSQ_FORMAT_ONNX_UINT2_BLOCKS,
    BSQ_FORMAT_ONNX_INT8_BLOCKS,
    BSQ_FORMAT_ONNX_UINT8_BLOCKS,
    BSQ_FORMAT_ONNX_MATMUL_NBITS,
    BSQ_FORMAT_GGUF_Q4_0,
    BSQ_FORMAT_GGUF_Q4_1,
    BSQ_FORMAT_GGUF_Q5_0,
    BSQ_FORMAT_GGUF_Q5_1,
    BSQ_FORMAT_GGUF_Q8_0,
    BSQ_FORMAT_GGUF_Q2_K,
    BSQ_FORMAT_GGUF_Q3_K,
    BSQ_FORMAT_GGUF_Q4_K,
    BSQ_FORMAT_GGUF_Q5_K,
    BSQ_FORMAT_GGUF_Q6_K,
    BSQ_FORMAT_GGUF_IQ4_NL,
    BSQ_FORMAT_GGUF_IQ4_XS,
    BSQ_FORMAT_GGUF_TQ2_0,
    BSQ_FORMAT_GGUF_MXFP4,
    BSQ_FORMAT_GPTQ,
    BSQ_FORMAT_GPTQ_V2,
    BSQ_FORMAT_AWQ,
    BSQ_FORMAT_MLX,
    BSQ_FORMAT_NCNN_INT8,
    BSQ_FORMAT_NCNN_GEMM,
    BSQ_FORMAT_TFLITE_INT8,
    BSQ_FORMAT_TFLITE_INT4,
    BSQ_FORMAT_NVFP4,
};
enum { ALL = sizeof all / sizeof *all, CODES_ALONE = 5 };

static char text[256];
static bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};

/* A call fails with this status and these words. */
#define FAILS(call, expected, words)                                                                                   \
    do {                                                                                                               \
        ck_assert_int_eq(call, expected);                                                                              \
        ck_assert_int_eq(error.status, expected);                                                                      \
        ck_assert_msg(strstr(text, words) != NULL, "no '%s' in '%s'", words, text);                                    \
    } while (0)

/* A tensor of what a format asks for. */
static bsq_tensor_t tensor_for(int32_t format, int64_t channels, int64_t fan_in)
{
    bsq_options_t options;
    bsq_tensor_t tensor;
    struct test_random random = test_random_seed(1);

    bsq_options_init(&options, sizeof options);
    if (format == BSQ_FORMAT_ONNX_INT2_BLOCKS || format == BSQ_FORMAT_ONNX_UINT2_BLOCKS)
        options.weight_bits = 2;
    ck_assert_msg(bsq_options_for_format(format, &options, &error) == BSQ_OK, "%s", text);
    tensor = test_tensor_of_options(&options, channels, fan_in);
    test_tensor_allocate(&tensor, 0);
    test_tensor_draw(&tensor, options.zero_point_least, &random);
    return tensor;
}

/* ---- names ---- */

START_TEST(names_lead_back)
{
    for (int i = 0; i < ALL; i++) {
        char name[64];

        ck_assert_int_lt(snprintf(name, sizeof name, "%s", bsq_format_string(all[i])), (int)sizeof name);
        ck_assert_int_eq(bsq_format_by_name(name), all[i]);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? '-' : *c;
        ck_assert_int_eq(bsq_format_by_name(name), all[i]);
    }
    ck_assert_str_eq(bsq_format_string(BSQ_FORMAT_GGUF_Q4_K), "gguf_q4_k");
    ck_assert_int_eq(bsq_format_by_name("gguf-q4_0"), BSQ_FORMAT_GGUF_Q4_0);
    ck_assert_int_eq(bsq_format_by_name("gguf_q4_"), 0);
    ck_assert_int_eq(bsq_format_by_name("gguf_q4_0 "), 0);
    ck_assert_int_eq(bsq_format_by_name(""), 0);
    ck_assert_int_eq(bsq_format_by_name(NULL), 0);
}
END_TEST

START_TEST(all_formats_are_listed)
{
    int count = 0;

    for (int32_t format = bsq_format_next(0); format; format = bsq_format_next(format)) {
        bool known = false;

        for (int i = 0; i < ALL; i++)
            known = known || all[i] == format;
        ck_assert(known);
        ck_assert_int_lt(count++, ALL);
    }
    ck_assert_int_eq(count, ALL);
    ck_assert_int_eq(bsq_format_next(1), 0);
    ck_assert_int_eq(bsq_format_next(-1), 0);
}
END_TEST

/* ---- options ---- */

struct asked {
    int32_t format, bits, grid, kind, scale_format, scale_bits, scale_signed, zero_point_least;
    int64_t group_size, super_group;
};

#define OF(name) BSQ_FORMAT_##name
#define ON(name) BSQ_WEIGHT_GRID_##name, BSQ_SCALE_KIND_PER_GROUP
#define IN(name) BSQ_SCALE_FORMAT_##name
static const struct asked asked[] = {
    {OF(GGUF_Q4_0), 4, ON(FULL), IN(FLOAT16), 0, 1, 0, 32, 0},
    {OF(GGUF_Q4_1), 4, ON(OFFSET), IN(FLOAT16), 0, 0, 0, 32, 0},
    {OF(GGUF_Q5_0), 5, ON(FULL), IN(FLOAT16), 0, 1, 0, 32, 0},
    {OF(GGUF_Q5_1), 5, ON(OFFSET), IN(FLOAT16), 0, 0, 0, 32, 0},
    {OF(GGUF_Q8_0), 8, ON(SYMMETRIC), IN(FLOAT16), 0, 0, 0, 32, 0},
    {OF(GGUF_Q2_K), 2, ON(OFFSET), IN(FLOAT16), 4, 0, 0, 16, 16},
    {OF(GGUF_Q3_K), 3, ON(FULL), IN(FLOAT16), 6, 1, 0, 16, 16},
    {OF(GGUF_Q4_K), 4, ON(OFFSET), IN(FLOAT16), 6, 0, 0, 32, 8},
    {OF(GGUF_Q5_K), 5, ON(OFFSET), IN(FLOAT16), 6, 0, 0, 32, 8},
    {OF(GGUF_Q6_K), 6, ON(FULL), IN(FLOAT16), 8, 1, 0, 16, 16},
    {OF(GGUF_IQ4_NL), 4, ON(IQ4_NL), IN(FLOAT16), 0, 1, 0, 32, 0},
    {OF(GGUF_IQ4_XS), 4, ON(IQ4_NL), IN(FLOAT16), 6, 1, 0, 32, 8},
    {OF(GGUF_TQ2_0), 2, ON(SYMMETRIC), IN(FLOAT16), 0, 0, 0, 256, 0},
    {OF(GGUF_MXFP4), 4, ON(E2M1), IN(E8M0), 0, 0, 0, 32, 0},
    {OF(ONNX_MATMUL_NBITS), 4, ON(ZERO_POINT), IN(FLOAT32), 0, 0, 0, 32, 0},
    {OF(GPTQ), 4, ON(ZERO_POINT), IN(FLOAT16), 0, 0, 1, 128, 0},
    {OF(GPTQ_V2), 4, ON(ZERO_POINT), IN(FLOAT16), 0, 0, 0, 128, 0},
    {OF(AWQ), 4, ON(ZERO_POINT), IN(FLOAT16), 0, 0, 0, 128, 0},
    {OF(MLX), 4, ON(OFFSET), IN(FLOAT32), 0, 0, 0, 64, 0},
    {OF(NCNN_INT8), 8, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_SCALE_KIND_PER_CHANNEL, IN(FLOAT32), 0, 0, 0, 0, 0},
    {OF(TFLITE_INT4), 4, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_SCALE_KIND_PER_CHANNEL, IN(FLOAT32), 0, 0, 0, 0, 0},
    {OF(NVFP4), 4, ON(E2M1), IN(E4M3), 0, 0, 0, 16, 0},
};

START_TEST(options_are_what_formats_need)
{
    const struct asked *want = &asked[_i];
    bsq_options_t options, plain;

    bsq_options_init(&options, sizeof options);
    plain = options;
    ck_assert_msg(bsq_options_for_format(want->format, &options, &error) == BSQ_OK, "%s", text);
    ck_assert_int_eq(options.weight_bits, want->bits);
    ck_assert_int_eq(options.weight_grid, want->grid);
    ck_assert_int_eq(options.scale_kind, want->kind);
    ck_assert_int_eq(options.scale_format, want->scale_format);
    ck_assert_int_eq(options.scale_bits, want->scale_bits);
    ck_assert_int_eq(options.scale_signed, want->scale_signed);
    ck_assert_int_eq(options.zero_point_least, want->zero_point_least);
    ck_assert_int_eq(options.group_size, want->group_size);
    ck_assert_int_eq(options.super_group, want->super_group);
    ck_assert_int_eq(options.effort, plain.effort);
    ck_assert_int_eq(options.threads, plain.threads);
    ck_assert(options.levels == NULL && options.level_count == 0);
}
END_TEST

START_TEST(options_keep_what_formats_leave)
{
    bsq_options_t options, before;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.group_size = 32;
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_GPTQ, &options, NULL), BSQ_OK);
    ck_assert(options.weight_bits == 3 && options.group_size == 32);
    before = options;
    options.weight_bits = before.weight_bits = 5;
    FAILS(bsq_options_for_format(BSQ_FORMAT_GPTQ, &options, &error), BSQ_E_RANGE, "2, 3, 4, 8");
    ck_assert_mem_eq(&options, &before, sizeof options);
    options.weight_bits = 4;
    options.group_size = 48;
    FAILS(bsq_options_for_format(BSQ_FORMAT_MLX, &options, &error), BSQ_E_RANGE, "32, 64 or 128");
    FAILS(bsq_options_for_format(BSQ_FORMAT_ONNX_MATMUL_NBITS, &options, &error), BSQ_E_RANGE, "power of two");
    options.group_size = 64;
    options.scale_format = BSQ_SCALE_FORMAT_POWER_OF_TWO;
    FAILS(bsq_options_for_format(BSQ_FORMAT_MLX, &options, &error), BSQ_E_RANGE, "scale_format");
    options.scale_format = BSQ_SCALE_FORMAT_BFLOAT16;
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_MLX, &options, &error), BSQ_OK);
    ck_assert_int_eq(options.scale_format, BSQ_SCALE_FORMAT_BFLOAT16);
}
END_TEST

START_TEST(options_are_set_again)
{
    bsq_options_t options, fresh;

    bsq_options_init(&options, sizeof options);
    bsq_options_init(&fresh, sizeof fresh);
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_GGUF_Q4_K, &options, NULL), BSQ_OK);
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT32;
    options.group_size = 0;
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_MLX, &options, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_MLX, &fresh, NULL), BSQ_OK);
    ck_assert_mem_eq(&options, &fresh, sizeof options);
}
END_TEST

START_TEST(options_are_refused)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    FAILS(bsq_options_for_format(1, &options, &error), BSQ_E_ARGUMENT, "format is 1");
    FAILS(bsq_options_for_format(BSQ_FORMAT_MLX, NULL, &error), BSQ_E_ARGUMENT, "options");
    /* A struct of the first version has no field for two-level scales. */
    bsq_options_init(&options, 168);
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_GGUF_Q4_1, &options, &error), BSQ_OK);
    FAILS(bsq_options_for_format(BSQ_FORMAT_GGUF_Q4_K, &options, &error), BSQ_E_VERSION, "bsq_options_t");
}
END_TEST

/* ---- round trips ---- */

/* Values and signs, but for the sign of 0. */
static void expect_same(const float *a, const float *b, int64_t count, int32_t format, const char *what)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(!(a[i] < b[i] || a[i] > b[i] || isnan(a[i]) || isnan(b[i])), "%s: %s[%d] is %.9g, was %.9g",
                      bsq_format_string(format), what, (int)i, (double)a[i], (double)b[i]);
}

static bool is_ncnn(int32_t format)
{
    return format == BSQ_FORMAT_NCNN_INT8 || format == BSQ_FORMAT_NCNN_GEMM;
}

static void expect_tensor(const bsq_tensor_t *tensor, const bsq_tensor_t *back, int32_t format)
{
    ck_assert_msg(memcmp(tensor->codes, back->codes, (size_t)tensor->code_count) == 0, "%s: codes",
                  bsq_format_string(format));
    /* ncnn's scales are reciprocals, which come back but for rounding. */
    for (int64_t i = 0; is_ncnn(format) && i < tensor->scale_count; i++)
        ck_assert(fabsf(tensor->scales[i] - back->scales[i]) <= 1.3e-7f * tensor->scales[i]);
    if (!is_ncnn(format))
        expect_same(back->scales, tensor->scales, tensor->scale_count, format, "scales");
    if (tensor->offsets)
        expect_same(back->offsets, tensor->offsets, tensor->scale_count, format, "offsets");
    if (tensor->zero_points)
        ck_assert_mem_eq(back->zero_points, tensor->zero_points, (size_t)tensor->scale_count * sizeof(int32_t));
    ck_assert(!(tensor->scale_unit < back->scale_unit || tensor->scale_unit > back->scale_unit));
}

static void round_trip(const bsq_tensor_t *description, int32_t format, void *opaque)
{
    struct test_random *random = opaque;
    bsq_tensor_t tensor = *description, back = *description;
    unsigned char *packed, *again;
    size_t size;

    test_tensor_allocate(&tensor, 0);
    test_tensor_allocate(&back, 0x5a);
    test_tensor_draw(&tensor, 1, random);
    packed = test_tensor_packed(&tensor, format, &size);
    ck_assert_msg(bsq_tensor_unpack(format, packed, size, &back, &error) == BSQ_OK, "%s", text);
    expect_tensor(&tensor, &back, format);
    again = test_tensor_packed(&back, format, &size);
    if (!is_ncnn(format))
        ck_assert_mem_eq(again, packed, size);
    if (bsq_format_string(format)[0] == 'g') {
        float *weights = test_tensor_weights(&tensor), *others = test_tensor_weights(&back);

        expect_same(weights, others, tensor.code_count, format, "weights");
        free(weights);
        free(others);
    }
    test_tensor_free(&tensor);
    test_tensor_free(&back);
    free(packed);
    free(again);
}

START_TEST(round_trips)
{
    int32_t format = all[CODES_ALONE + _i];
    struct test_random random = test_random_seed((uint64_t)format);

    ck_assert_msg(test_formats_visit(format, round_trip, &random) > 0, "%s", bsq_format_string(format));
}
END_TEST

/* ---- parts ---- */

static void list_parts(const bsq_tensor_t *tensor, int32_t format, void *opaque)
{
    int64_t end = 0;
    int32_t count;
    size_t size;

    (void)opaque;
    ck_assert_int_eq(bsq_tensor_packed_size(tensor, format, &size, NULL), BSQ_OK);
    ck_assert_int_eq(bsq_tensor_part_count(tensor, format, &count, NULL), BSQ_OK);
    ck_assert_int_ge(count, 1);
    for (int32_t i = 0; i < count; i++) {
        bsq_part_t part;

        bsq_part_init(&part, sizeof part);
        ck_assert_int_eq(bsq_tensor_get_part(tensor, format, i, &part, NULL), BSQ_OK);
        ck_assert(part.offset >= end && part.offset < end + 8 && part.offset % 8 == 0);
        ck_assert(part.size > 0 && part.rank >= 0 && part.rank <= 4 && part.name && *part.name);
        for (int32_t d = 0; d < part.rank; d++)
            ck_assert_int_gt(part.shape[d], 0);
        end = part.offset + part.size;
    }
    ck_assert_uint_eq((size_t)end, size);
}

START_TEST(parts_cover_the_bytes)
{
    ck_assert_int_gt(test_formats_visit(all[_i], list_parts, NULL), 0);
}
END_TEST

static void expect_part(const bsq_tensor_t *tensor, int32_t format, int32_t index, const char *name,
                        int32_t element_type, int32_t rank, int64_t first, int64_t second)
{
    bsq_part_t part;

    bsq_part_init(&part, sizeof part);
    ck_assert_int_eq(bsq_tensor_get_part(tensor, format, index, &part, &error), BSQ_OK);
    ck_assert_str_eq(part.name, name);
    ck_assert_int_eq(part.element_type, element_type);
    ck_assert_int_eq(part.rank, rank);
    ck_assert(rank < 1 || part.shape[0] == first);
    ck_assert(rank < 2 || part.shape[1] == second);
}

START_TEST(parts_are_named_as_engines_do)
{
    bsq_tensor_t gptq = tensor_for(BSQ_FORMAT_GPTQ, 32, 256), mlx = tensor_for(BSQ_FORMAT_MLX, 3, 128);
    bsq_tensor_t nvfp4 = tensor_for(BSQ_FORMAT_NVFP4, 2, 32), q4_k = tensor_for(BSQ_FORMAT_GGUF_Q4_K, 2, 512);
    bsq_part_t part;

    expect_part(&gptq, BSQ_FORMAT_GPTQ, 0, "qweight", BSQ_ELEMENT_TYPE_INT32, 2, 32, 32);
    expect_part(&gptq, BSQ_FORMAT_GPTQ, 1, "qzeros", BSQ_ELEMENT_TYPE_INT32, 2, 2, 4);
    expect_part(&gptq, BSQ_FORMAT_GPTQ, 2, "scales", BSQ_ELEMENT_TYPE_FLOAT16, 2, 2, 32);
    expect_part(&gptq, BSQ_FORMAT_GPTQ, 3, "g_idx", BSQ_ELEMENT_TYPE_INT32, 1, 256, 0);
    expect_part(&mlx, BSQ_FORMAT_MLX, 0, "weight", BSQ_ELEMENT_TYPE_UINT32, 2, 3, 16);
    expect_part(&mlx, BSQ_FORMAT_MLX, 2, "biases", BSQ_ELEMENT_TYPE_FLOAT32, 2, 3, 2);
    expect_part(&nvfp4, BSQ_FORMAT_NVFP4, 1, "weight_scale", BSQ_ELEMENT_TYPE_E4M3, 2, 2, 2);
    expect_part(&nvfp4, BSQ_FORMAT_NVFP4, 2, "weight_scale_2", BSQ_ELEMENT_TYPE_FLOAT32, 0, 0, 0);
    expect_part(&q4_k, BSQ_FORMAT_GGUF_Q4_K, 0, "blocks", BSQ_ELEMENT_TYPE_UINT8, 3, 2, 2);
    bsq_part_init(&part, sizeof part);
    FAILS(bsq_tensor_get_part(&q4_k, BSQ_FORMAT_GGUF_Q4_K, 1, &part, &error), BSQ_E_RANGE, "index is 1");
    FAILS(bsq_tensor_get_part(&q4_k, BSQ_FORMAT_GGUF_Q4_K, -1, &part, &error), BSQ_E_RANGE, "index is -1");
    FAILS(bsq_tensor_get_part(&q4_k, BSQ_FORMAT_GGUF_Q4_K, 0, NULL, &error), BSQ_E_ARGUMENT, "part");
    test_tensor_free(&gptq);
    test_tensor_free(&mlx);
    test_tensor_free(&nvfp4);
    test_tensor_free(&q4_k);
}
END_TEST

/* ---- what formats cannot hold ---- */

START_TEST(extents_between_blocks_are_refused)
{
    const struct {
        int32_t format;
        int64_t channels, fan_in;
        const char *words;
    } wrong[] = {
        {BSQ_FORMAT_GGUF_Q4_0, 2, 48, "blocks of 32"},    {BSQ_FORMAT_GGUF_Q4_K, 2, 128, "blocks of 256"},
        {BSQ_FORMAT_GGUF_TQ2_0, 1, 300, "blocks of 256"}, {BSQ_FORMAT_GGUF_MXFP4, 1, 33, "blocks of 32"},
        {BSQ_FORMAT_NVFP4, 1, 24, "blocks of 16"},        {BSQ_FORMAT_GPTQ, 32, 132, "multiple of 8"},
        {BSQ_FORMAT_GPTQ, 12, 128, "channels is 12"},     {BSQ_FORMAT_AWQ, 12, 128, "channels is 12"},
        {BSQ_FORMAT_AWQ, 8, 192, "whole groups"},         {BSQ_FORMAT_MLX, 8, 96, "whole groups"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bsq_tensor_t tensor = tensor_for(wrong[i].format, wrong[i].channels, wrong[i].fan_in);
        unsigned char bytes[64] = {0};
        size_t size = 1;
        int32_t count = 1;

        FAILS(bsq_tensor_packed_size(&tensor, wrong[i].format, &size, &error), BSQ_E_FORMAT, wrong[i].words);
        ck_assert_uint_eq(size, 0);
        FAILS(bsq_tensor_part_count(&tensor, wrong[i].format, &count, &error), BSQ_E_FORMAT, wrong[i].words);
        FAILS(bsq_tensor_pack(&tensor, wrong[i].format, bytes, 64, &error), BSQ_E_FORMAT, wrong[i].words);
        FAILS(bsq_tensor_unpack(wrong[i].format, bytes, 64, &tensor, &error), BSQ_E_FORMAT, wrong[i].words);
        test_tensor_free(&tensor);
    }
}
END_TEST

START_TEST(other_tensors_are_refused)
{
    bsq_tensor_t tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_0, 2, 256), other;
    size_t size;

    FAILS(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_GGUF_Q4_1, &size, &error), BSQ_E_FORMAT, "grids offset");
    FAILS(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_GGUF_Q8_0, &size, &error), BSQ_E_FORMAT, "codes of 8 bits");
    other = tensor;
    other.group_size = 64;
    FAILS(bsq_tensor_packed_size(&other, BSQ_FORMAT_GGUF_Q4_0, &size, &error), BSQ_E_FORMAT, "scales of 32");
    other.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    other.group_size = 0;
    FAILS(bsq_tensor_packed_size(&other, BSQ_FORMAT_GGUF_Q4_0, &size, &error), BSQ_E_FORMAT, "of 256");
    other.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    FAILS(bsq_tensor_packed_size(&other, BSQ_FORMAT_GGUF_Q4_0, &size, &error), BSQ_E_FORMAT, "whole tensor");
    other = tensor;
    other.scale_bits = 6;
    other.super_group = 8;
    FAILS(bsq_tensor_packed_size(&other, BSQ_FORMAT_GGUF_Q4_0, &size, &error), BSQ_E_FORMAT, "scale_bits 0");
    test_tensor_free(&tensor);
}
END_TEST

/* Puts one value in place of another and expects that packing fails, without a byte written. */
#define WONT_PACK(tensor, format, place, value, words)                                                                 \
    do {                                                                                                               \
        size_t wont_size;                                                                                              \
        unsigned char *wont_bytes = test_tensor_packed(&(tensor), format, &wont_size), *wont_copy;                     \
        wont_copy = malloc(wont_size);                                                                                 \
        ck_assert(wont_copy != NULL);                                                                                  \
        memset(wont_bytes, 0x77, wont_size);                                                                           \
        memset(wont_copy, 0x77, wont_size);                                                                            \
        place = value;                                                                                                 \
        FAILS(bsq_tensor_pack(&(tensor), format, wont_bytes, wont_size, &error), BSQ_E_FORMAT, words);                 \
        ck_assert_mem_eq(wont_bytes, wont_copy, wont_size);                                                            \
        free(wont_bytes);                                                                                              \
        free(wont_copy);                                                                                               \
        test_tensor_free(&(tensor));                                                                                   \
    } while (0)

START_TEST(values_that_formats_lack_are_refused)
{
    bsq_tensor_t tensor;

    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_0, 2, 64);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_0, tensor.scales[3], 0.1f, "scales[3] is 0.1");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_0, 2, 64);
    tensor.scale_format = BSQ_SCALE_FORMAT_FLOAT32;
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_0, tensor.scales[3], 0.1f, "block 1 of channel 1: the scale is not");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_1, 2, 64);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_1, tensor.offsets[0], (float)NAN, "offsets[0] is");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_1, 2, 64);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_1, tensor.scales[0], -1.0f, "positive");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_K, 2, 256);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_K, tensor.scales[9], 1234.5f, "of channel 1");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_K, 2, 256);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q4_K, tensor.offsets[3], 1.0f, "offsets 0..7");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q6_K, 1, 256);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_Q6_K, tensor.scales[5], 0.0f, "scales 0..15");
    tensor = tensor_for(BSQ_FORMAT_GGUF_MXFP4, 1, 32);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_MXFP4, tensor.scales[0], 0x1p127f, "up to 2^126");
    tensor = tensor_for(BSQ_FORMAT_GGUF_MXFP4, 1, 32);
    WONT_PACK(tensor, BSQ_FORMAT_GGUF_MXFP4, tensor.codes[7], 15, "code 15 at index 7");
    tensor = tensor_for(BSQ_FORMAT_GPTQ, 32, 128);
    WONT_PACK(tensor, BSQ_FORMAT_GPTQ, tensor.zero_points[2], 0, "zero_points[2] is 0");
    tensor = tensor_for(BSQ_FORMAT_GPTQ, 32, 128);
    WONT_PACK(tensor, BSQ_FORMAT_GPTQ, tensor.zero_points[2], 16, "zero_points[2] is 16");
    tensor = tensor_for(BSQ_FORMAT_AWQ, 32, 128);
    tensor.scale_format = BSQ_SCALE_FORMAT_FLOAT32;
    WONT_PACK(tensor, BSQ_FORMAT_AWQ, tensor.scales[1], 1e-9f, "scales[1] is");
    tensor = tensor_for(BSQ_FORMAT_NVFP4, 2, 32);
    WONT_PACK(tensor, BSQ_FORMAT_NVFP4, tensor.scales[1], 500.0f * tensor.scale_unit, "scales[1] is");
    tensor = tensor_for(BSQ_FORMAT_TFLITE_INT8, 2, 9);
    tensor.weight_bits = 8;
    WONT_PACK(tensor, BSQ_FORMAT_TFLITE_INT8, tensor.codes[4], -128, "code -128 at index 4");
    tensor = tensor_for(BSQ_FORMAT_NCNN_INT8, 2, 9);
    WONT_PACK(tensor, BSQ_FORMAT_NCNN_INT8, tensor.scales[1], 0x1p127f, "reciprocal");
}
END_TEST

/* ---- malformed bytes ---- */

/* Changes one byte of a packed tensor and expects that it is refused, with no buffer touched. */
static void wont_unpack(bsq_tensor_t *tensor, int32_t format, int32_t part_index, int64_t byte, int value,
                        const char *words)
{
    size_t size;
    unsigned char *packed = test_tensor_packed(tensor, format, &size);
    bsq_tensor_t back = *tensor, untouched = *tensor;
    bsq_part_t part;

    bsq_part_init(&part, sizeof part);
    ck_assert_int_eq(bsq_tensor_get_part(tensor, format, part_index, &part, NULL), BSQ_OK);
    test_tensor_allocate(&back, 0x5a);
    test_tensor_allocate(&untouched, 0x5a);
    packed[part.offset + byte] = (unsigned char)value;
    FAILS(bsq_tensor_unpack(format, packed, size, &back, &error), BSQ_E_FORMAT, words);
    ck_assert_mem_eq(back.codes, untouched.codes, (size_t)back.code_count);
    ck_assert_mem_eq(back.scales, untouched.scales, (size_t)back.scale_count * sizeof *back.scales);
    test_tensor_free(&back);
    test_tensor_free(&untouched);
    test_tensor_free(tensor);
    free(packed);
}

START_TEST(malformed_bytes_are_refused)
{
    bsq_tensor_t tensor;

    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_0, 2, 64);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_Q4_0, 0, 3 * 18 + 1, 0x7c, "block 1 of channel 1: scales[0]");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_1, 2, 64);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_Q4_1, 0, 1, 0x80, "block 0 of channel 0: scales[0]");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q8_0, 2, 64);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_Q8_0, 0, 5, 0x80, "code -128 at index 3");
    tensor = tensor_for(BSQ_FORMAT_GGUF_TQ2_0, 2, 256);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_TQ2_0, 0, 66, 0xff, "code 2 at index 0");
    tensor = tensor_for(BSQ_FORMAT_GGUF_MXFP4, 2, 64);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_MXFP4, 0, 17, 255, "block 1 of channel 0: the scale is NaN");
    tensor = tensor_for(BSQ_FORMAT_GGUF_MXFP4, 2, 64);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_MXFP4, 0, 17, 1, "scales[0]");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_K, 1, 256);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_Q4_K, 0, 1, 0xfc, "scales 0..7");
    tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_K, 1, 256);
    wont_unpack(&tensor, BSQ_FORMAT_GGUF_Q4_K, 0, 3, 0xfc, "offsets 0..7");
    tensor = tensor_for(BSQ_FORMAT_GPTQ, 32, 128);
    wont_unpack(&tensor, BSQ_FORMAT_GPTQ, 1, 0, 0xff, "zero point 16");
    tensor = tensor_for(BSQ_FORMAT_GPTQ, 32, 256);
    wont_unpack(&tensor, BSQ_FORMAT_GPTQ, 3, 4, 1, "g_idx has 127 inputs in group 0");
    tensor = tensor_for(BSQ_FORMAT_AWQ, 32, 128);
    wont_unpack(&tensor, BSQ_FORMAT_AWQ, 2, 1, 0x7e, "scales[0]");
    tensor = tensor_for(BSQ_FORMAT_MLX, 3, 64);
    wont_unpack(&tensor, BSQ_FORMAT_MLX, 1, 3, 0x80, "scales[0]");
    tensor = tensor_for(BSQ_FORMAT_MLX, 3, 64);
    wont_unpack(&tensor, BSQ_FORMAT_MLX, 2, 7, 0x7f, "offsets[1]");
    tensor = tensor_for(BSQ_FORMAT_NVFP4, 2, 32);
    wont_unpack(&tensor, BSQ_FORMAT_NVFP4, 1, 2, 0x7f, "scale 2 is nan");
    tensor = tensor_for(BSQ_FORMAT_NVFP4, 2, 32);
    wont_unpack(&tensor, BSQ_FORMAT_NVFP4, 2, 3, 0xff, "scale 0 is");
    tensor = tensor_for(BSQ_FORMAT_NCNN_GEMM, 2, 69);
    wont_unpack(&tensor, BSQ_FORMAT_NCNN_GEMM, 0, 34, 0xf0, "bits behind the last field of row 0");
    tensor = tensor_for(BSQ_FORMAT_NCNN_GEMM, 2, 69);
    wont_unpack(&tensor, BSQ_FORMAT_NCNN_GEMM, 0, 36, 0x08, "code -8 of channel 1, input 2");
    tensor = tensor_for(BSQ_FORMAT_NCNN_INT8, 2, 9);
    wont_unpack(&tensor, BSQ_FORMAT_NCNN_INT8, 1, 3, 0xff, "scale 0 is the reciprocal of no");
    tensor = tensor_for(BSQ_FORMAT_TFLITE_INT4, 3, 3);
    wont_unpack(&tensor, BSQ_FORMAT_TFLITE_INT4, 0, 4, 0x10, "behind the last field");
    tensor = tensor_for(BSQ_FORMAT_TFLITE_INT4, 3, 3);
    wont_unpack(&tensor, BSQ_FORMAT_TFLITE_INT4, 0, 5, 1, "byte 5, between parts");
    tensor = tensor_for(BSQ_FORMAT_ONNX_UINT4_BLOCKS, 3, 32);
    wont_unpack(&tensor, BSQ_FORMAT_ONNX_UINT4_BLOCKS, 2, 1, 0x10, "behind the last field");
    tensor = tensor_for(BSQ_FORMAT_ONNX_MATMUL_NBITS, 3, 32);
    wont_unpack(&tensor, BSQ_FORMAT_ONNX_MATMUL_NBITS, 2, 1, 0x10, "behind the last field of row 1");
}
END_TEST

START_TEST(sizes_are_exact)
{
    for (int i = CODES_ALONE; i < ALL; i++) {
        bsq_tensor_t tensor = tensor_for(all[i], 32, 256);
        unsigned char *packed;
        size_t size;

        packed = test_tensor_packed(&tensor, all[i], &size);
        FAILS(bsq_tensor_pack(&tensor, all[i], packed, size - 1, &error), BSQ_E_SIZE, "bytes");
        FAILS(bsq_tensor_unpack(all[i], packed, size - 1, &tensor, &error), BSQ_E_SIZE, "bytes");
        FAILS(bsq_tensor_unpack(all[i], packed, 0, &tensor, &error), BSQ_E_SIZE, "bytes");
        tensor.scale_count++;
        FAILS(bsq_tensor_pack(&tensor, all[i], packed, size, &error), BSQ_E_SIZE, "scale_count");
        tensor.scale_count--;
        free(tensor.scales);
        tensor.scales = NULL;
        FAILS(bsq_tensor_unpack(all[i], packed, size, &tensor, &error), BSQ_E_ARGUMENT, "no scales");
        test_tensor_free(&tensor);
        free(packed);
    }
}
END_TEST

START_TEST(extents_beyond_the_machine_are_refused)
{
    for (int i = CODES_ALONE; i < ALL; i++) {
        bsq_tensor_t tensor = tensor_for(all[i], 32, 256);
        size_t size;
        bsq_status_t status;

        tensor.fan_in = INT64_MAX / 4096 * 256;
        tensor.channels = 32;
        status = bsq_tensor_packed_size(&tensor, all[i], &size, &error);
        ck_assert(status == BSQ_E_SHAPE || status == BSQ_OK);
        tensor.fan_in = INT64_MAX / 4096 * 4096;
        tensor.channels = 1;
        status = bsq_tensor_packed_size(&tensor, all[i], &size, &error);
        ck_assert(status == BSQ_E_SHAPE || status == BSQ_OK || status == BSQ_E_FORMAT);
        tensor.channels = INT64_MAX / 2;
        FAILS(bsq_tensor_packed_size(&tensor, all[i], &size, &error), BSQ_E_SHAPE, "too many");
        test_tensor_free(&tensor);
    }
}
END_TEST

/* ---- by hand ---- */

/* The block of docs/formats.md. */
START_TEST(q4_0_by_hand)
{
    static const unsigned char bytes[18] = {0x00, 0x38, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
                                            0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f};
    bsq_tensor_t tensor = tensor_for(BSQ_FORMAT_GGUF_Q4_0, 1, 32);
    unsigned char *packed;
    size_t size;

    tensor.scales[0] = 0.5f;
    for (int k = 0; k < 32; k++)
        tensor.codes[k] = (int8_t)(k < 16 ? k - 8 : 0);
    packed = test_tensor_packed(&tensor, BSQ_FORMAT_GGUF_Q4_0, &size);
    ck_assert_uint_eq(size, sizeof bytes);
    ck_assert_mem_eq(packed, bytes, sizeof bytes);
    free(packed);
    test_tensor_free(&tensor);
}
END_TEST

/* 3 bits across words: codes 10 and 21 of a column, and of a row of zero points, which the first version stores less 1. */
START_TEST(gptq_of_3_bits_by_hand)
{
    enum { N = 32 };
    bsq_options_t options;
    bsq_tensor_t tensor;
    unsigned char *packed;
    bsq_part_t zeros;
    size_t size;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.group_size = N;
    ck_assert_int_eq(bsq_options_for_format(BSQ_FORMAT_GPTQ, &options, NULL), BSQ_OK);
    tensor = test_tensor_of_options(&options, N, N);
    test_tensor_allocate(&tensor, 0);
    for (int o = 0; o < N; o++) {
        tensor.scales[o] = 1.0f;
        tensor.zero_points[o] = o == 10 ? 6 : 1;
    }
    tensor.codes[10] = 5;    /* channel 0: 01 at bits 30 and 31 of word 0, 1 at bit 0 of word 1 */
    tensor.codes[21] = 3;    /* 1 at bit 31 of word 1, 01 at bits 0 and 1 of word 2 */
    tensor.codes[N + 0] = 7; /* channel 1, input 0 */
    packed = test_tensor_packed(&tensor, BSQ_FORMAT_GPTQ, &size);
    for (int word = 0; word < 3; word++) {
        static const unsigned char low[] = {0x00, 0x01, 0x01}, high[] = {0x40, 0x80, 0x00};
        const unsigned char *column = packed + 4 * N * word;

        ck_assert(column[0] == low[word] && column[1] == 0 && column[2] == 0 && column[3] == high[word]);
        ck_assert(column[4] == (word ? 0x00 : 0x07));
    }
    bsq_part_init(&zeros, sizeof zeros);
    ck_assert_int_eq(bsq_tensor_get_part(&tensor, BSQ_FORMAT_GPTQ, 1, &zeros, NULL), BSQ_OK);
    ck_assert_uint_eq(packed[zeros.offset + 3], 0x40); /* 5 = 101 from bit 30 on */
    ck_assert_uint_eq(packed[zeros.offset + 4], 0x01);
    free(packed);
    test_tensor_free(&tensor);
}
END_TEST

/* ---- scales of 0 in blocks ---- */

/* llama.cpp writes a scale of 0 where all weights are 0. */
START_TEST(zero_blocks_are_read)
{
    static const int32_t formats[] = {BSQ_FORMAT_GGUF_Q4_0, BSQ_FORMAT_GGUF_Q4_1, BSQ_FORMAT_GGUF_Q5_0,
                                      BSQ_FORMAT_GGUF_Q5_1, BSQ_FORMAT_GGUF_Q8_0, BSQ_FORMAT_GGUF_Q2_K,
                                      BSQ_FORMAT_GGUF_Q3_K, BSQ_FORMAT_GGUF_Q4_K, BSQ_FORMAT_GGUF_Q5_K,
                                      BSQ_FORMAT_GGUF_Q6_K, BSQ_FORMAT_GGUF_TQ2_0};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        bsq_tensor_t tensor = tensor_for(formats[i], 1, 256);
        size_t size;
        unsigned char *packed = test_tensor_packed(&tensor, formats[i], &size);
        float *weights;

        memset(packed, 0, size);
        ck_assert_msg(bsq_tensor_unpack(formats[i], packed, size, &tensor, &error) == BSQ_OK, "%s", text);
        weights = test_tensor_weights(&tensor);
        for (int k = 0; k < 256; k++)
            ck_assert(!(weights[k] < 0.0f || weights[k] > 0.0f));
        free(weights);
        free(packed);
        test_tensor_free(&tensor);
    }
}
END_TEST

START_TEST(zero_blocks_without_a_zero_level_are_refused)
{
    static const int32_t formats[] = {BSQ_FORMAT_GGUF_IQ4_NL, BSQ_FORMAT_GGUF_IQ4_XS};

    for (int i = 0; i < 2; i++) {
        bsq_tensor_t tensor = tensor_for(formats[i], 1, 256);
        size_t size;
        unsigned char *packed = test_tensor_packed(&tensor, formats[i], &size);

        memset(packed, 0, size);
        FAILS(bsq_tensor_unpack(formats[i], packed, size, &tensor, &error), BSQ_E_FORMAT, "scales");
        free(packed);
        test_tensor_free(&tensor);
    }
}
END_TEST

/* ---- GPTQ's order of inputs ---- */

static void shuffle(int32_t *order, int64_t count, struct test_random *random)
{
    for (int64_t k = 0; k < count; k++) {
        int64_t other = test_random_below(random, k + 1);

        order[k] = order[other];
        order[other] = (int32_t)k;
    }
}

static int compare(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Weights as the engine orders its inputs. */
static void expect_reordered(const bsq_tensor_t *tensor, const bsq_tensor_t *back)
{
    float *weights = test_tensor_weights(tensor), *others = test_tensor_weights(back);
    int64_t n = tensor->fan_in;

    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++)
                if (back->input_order[j] == tensor->input_order[k])
                    ck_assert(!(weights[o * n + k] < others[o * n + j] || weights[o * n + k] > others[o * n + j]));
    free(weights);
    free(others);
}

START_TEST(gptq_keeps_an_order_of_inputs)
{
    enum { N = 96, GROUP = 32 };
    struct test_random random = test_random_seed(5);
    bsq_tensor_t tensor = tensor_for(BSQ_FORMAT_GPTQ_V2, 32, N), back;
    int32_t order[N], found[N];
    unsigned char *packed, *again;
    bsq_part_t part;
    size_t size;

    test_tensor_free(&tensor);
    tensor.group_size = GROUP;
    test_tensor_allocate(&tensor, 0);
    test_tensor_draw(&tensor, 0, &random);
    back = tensor;
    test_tensor_allocate(&back, 0x5a);
    shuffle(order, N, &random);
    tensor.input_order = order;
    tensor.input_order_count = N;
    packed = test_tensor_packed(&tensor, BSQ_FORMAT_GPTQ_V2, &size);

    bsq_part_init(&part, sizeof part);
    ck_assert_int_eq(bsq_tensor_get_part(&tensor, BSQ_FORMAT_GPTQ_V2, 3, &part, NULL), BSQ_OK);
    for (int k = 0; k < N; k++)
        ck_assert_int_eq(packed[part.offset + 4 * order[k]], k / GROUP);

    FAILS(bsq_tensor_unpack(BSQ_FORMAT_GPTQ_V2, packed, size, &back, &error), BSQ_E_FORMAT, "input_order is NULL");
    back.input_order = found;
    back.input_order_count = N - 1;
    FAILS(bsq_tensor_unpack(BSQ_FORMAT_GPTQ_V2, packed, size, &back, &error), BSQ_E_SIZE, "input_order_count");
    back.input_order_count = N;
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_GPTQ_V2, packed, size, &back, &error), BSQ_OK);
    for (int g = 0; g < N / GROUP; g++) {
        qsort(order + g * GROUP, GROUP, sizeof *order, compare);
        ck_assert_mem_eq(order + g * GROUP, found + g * GROUP, GROUP * sizeof *order);
    }
    again = test_tensor_packed(&back, BSQ_FORMAT_GPTQ_V2, &size);
    ck_assert_mem_eq(again, packed, size);
    shuffle(order, N, &random);
    free(packed);
    free(again);

    packed = test_tensor_packed(&tensor, BSQ_FORMAT_GPTQ_V2, &size);
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_GPTQ_V2, packed, size, &back, &error), BSQ_OK);
    expect_reordered(&tensor, &back);
    free(packed);
    test_tensor_free(&tensor);
    test_tensor_free(&back);
}
END_TEST

START_TEST(orders_of_inputs_are_checked)
{
    enum { N = 128 };
    bsq_tensor_t tensor = tensor_for(BSQ_FORMAT_GPTQ_V2, 32, N);
    int32_t order[N];
    unsigned char *packed;
    size_t size;

    packed = test_tensor_packed(&tensor, BSQ_FORMAT_GPTQ_V2, &size);
    for (int k = 0; k < N; k++)
        order[k] = k;
    tensor.input_order = order;
    tensor.input_order_count = N;
    order[7] = 9;
    FAILS(bsq_tensor_pack(&tensor, BSQ_FORMAT_GPTQ_V2, packed, size, &error), BSQ_E_RANGE, "input 9 twice");
    order[7] = N;
    FAILS(bsq_tensor_pack(&tensor, BSQ_FORMAT_GPTQ_V2, packed, size, &error), BSQ_E_RANGE, "input_order[7] is 128");
    order[7] = -1;
    FAILS(bsq_tensor_pack(&tensor, BSQ_FORMAT_GPTQ_V2, packed, size, &error), BSQ_E_RANGE, "input_order[7] is -1");
    FAILS(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_AWQ, &size, &error), BSQ_E_FORMAT, "input_order must be NULL");
    free(packed);
    test_tensor_free(&tensor);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("formats");
    TCase *names = tcase_create("names"), *trips = tcase_create("round trips"), *refusals = tcase_create("refusals");

    tcase_add_test(names, names_lead_back);
    tcase_add_test(names, all_formats_are_listed);
    tcase_add_loop_test(names, options_are_what_formats_need, 0, sizeof asked / sizeof *asked);
    tcase_add_test(names, options_keep_what_formats_leave);
    tcase_add_test(names, options_are_set_again);
    tcase_add_test(names, options_are_refused);
    tcase_add_loop_test(trips, round_trips, 0, ALL - CODES_ALONE);
    tcase_add_loop_test(trips, parts_cover_the_bytes, CODES_ALONE, ALL);
    tcase_add_test(trips, parts_are_named_as_engines_do);
    tcase_add_test(trips, q4_0_by_hand);
    tcase_add_test(trips, gptq_of_3_bits_by_hand);
    tcase_add_test(trips, zero_blocks_are_read);
    tcase_add_test(trips, gptq_keeps_an_order_of_inputs);
    tcase_add_test(refusals, zero_blocks_without_a_zero_level_are_refused);
    tcase_add_test(refusals, extents_between_blocks_are_refused);
    tcase_add_test(refusals, other_tensors_are_refused);
    tcase_add_test(refusals, values_that_formats_lack_are_refused);
    tcase_add_test(refusals, malformed_bytes_are_refused);
    tcase_add_test(refusals, sizes_are_exact);
    tcase_add_test(refusals, extents_beyond_the_machine_are_refused);
    tcase_add_test(refusals, orders_of_inputs_are_checked);
    suite_add_tcase(suite, names);
    suite_add_tcase(suite, trips);
    suite_add_tcase(suite, refusals);
    return suite;
}
