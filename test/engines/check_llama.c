/* Blocks of GGUF, judged by llama.cpp: what its library makes of our bytes is what bsq_tensor_dequantize says, bit for bit, and
 * what it writes itself is read back.
 *
 *     check_llama libggml-base.so
 *
 * The library is loaded at run time; of its headers only the struct of types is repeated here, as far as it is used. */
#include "formats.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The beginning of ggml's struct ggml_type_traits (ggml.h, 2026). */
struct type_traits {
    const char *name;
    int64_t block;
    int64_t interleave;
    size_t bytes;
    bool is_quantized;
    void (*to_float)(const void *blocks, float *weights, int64_t count);
};

typedef const struct type_traits *get_type_traits_fn(int type);
typedef size_t quantize_chunk_fn(int type, const float *from, void *blocks, int64_t start, int64_t rows,
                                 int64_t row_length, const float *importance);

static get_type_traits_fn *get_type_traits;
static quantize_chunk_fn *quantize_chunk;

enum { FIRST_GGUF = 3000, LAST_GGUF = 3999 };

static const struct type_traits *traits_of(int32_t format)
{
    return get_type_traits(format - FIRST_GGUF);
}

static bool is_gguf(int32_t format)
{
    return format >= FIRST_GGUF && format <= LAST_GGUF;
}

/* ---- our bytes, read by ggml ---- */

/* Random tensors with all scales that there are. */
static void judge(const bsq_tensor_t *description, int32_t format, void *opaque)
{
    struct test_random *random = opaque;
    const struct type_traits *traits = traits_of(format);
    bsq_tensor_t tensor = *description;
    size_t size;

    test_tensor_allocate(&tensor, 0);
    test_tensor_draw(&tensor, 0, random);

    unsigned char *packed = test_tensor_packed(&tensor, format, &size);
    float *weights = test_tensor_weights(&tensor), *read = malloc((size_t)tensor.code_count * sizeof *read);

    ck_assert(read != NULL);
    ck_assert_uint_eq(size, (size_t)(tensor.code_count / traits->block) * traits->bytes);
    traits->to_float(packed, read, tensor.code_count);
    ck_assert_msg(memcmp(read, weights, (size_t)tensor.code_count * sizeof *read) == 0,
                  "%s: %" PRId64 " x %" PRId64 " weights differ", bsq_format_string(format), tensor.channels,
                  tensor.fan_in);
    free(packed);
    free(weights);
    free(read);
    test_tensor_free(&tensor);
}

static int32_t formats[32];
static int format_count;

START_TEST(packed_blocks_are_read)
{
    struct test_random random = test_random_seed((uint64_t)formats[_i]);
    int count = test_formats_visit(formats[_i], judge, &random);

    ck_assert_int_gt(count, 0);
    for (int more = 0; more < 50; more++)
        (void)test_formats_visit(formats[_i], judge, &random);
}
END_TEST

START_TEST(types_have_our_names)
{
    const char *name = bsq_format_string(formats[_i]) + strlen("gguf_"), *other = traits_of(formats[_i])->name;

    for (; *name || *other; name++, other++)
        ck_assert_msg(*name == (*other >= 'A' && *other <= 'Z' ? *other + 'a' - 'A' : *other), "%s",
                      traits_of(formats[_i])->name);
}
END_TEST

/* ---- its own bytes, read by us ---- */

static void draw_weights(float *weights, int64_t rows, int64_t n, double magnitude, struct test_random *random)
{
    for (int64_t i = 0; i < rows * n; i++)
        weights[i] = (float)(magnitude * test_random_normal(random));
}

/* Equal but for the sign of 0, where a scale of 0 was replaced. */
static void expect_weights(const float *read, const float *theirs, int64_t count, int32_t format, double magnitude)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(!(read[i] < theirs[i] || read[i] > theirs[i]) && read[i] == read[i],
                      "%s, magnitude %g: weight %" PRId64 " is %.9g, llama.cpp reads %.9g", bsq_format_string(format),
                      magnitude, i, (double)read[i], (double)theirs[i]);
}

static void read_back(int32_t format, double magnitude, bool zeros, struct test_random *random)
{
    enum { ROWS = 6, N = 512 };
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    bsq_options_t options;
    bsq_tensor_t tensor;
    float *weights = malloc(ROWS * N * sizeof *weights), *theirs = malloc(ROWS * N * sizeof *theirs), *read;
    unsigned char *blocks;
    size_t size;

    bsq_options_init(&options, sizeof options);
    ck_assert_int_eq(bsq_options_for_format(format, &options, NULL), BSQ_OK);
    tensor = test_tensor_of_options(&options, ROWS, N);
    test_tensor_allocate(&tensor, 0);
    ck_assert_int_eq(bsq_tensor_packed_size(&tensor, format, &size, NULL), BSQ_OK);
    blocks = malloc(size);
    ck_assert(weights && theirs && blocks);
    draw_weights(weights, ROWS, N, magnitude, random);
    if (zeros)
        memset(weights + N / 2, 0, N * sizeof *weights);
    ck_assert_uint_eq(quantize_chunk(format - FIRST_GGUF, weights, blocks, 0, ROWS, N, NULL), size);
    traits_of(format)->to_float(blocks, theirs, ROWS * N);
    ck_assert_msg(bsq_tensor_unpack(format, blocks, size, &tensor, &error) == BSQ_OK, "%s", text);
    read = test_tensor_weights(&tensor);
    expect_weights(read, theirs, ROWS * N, format, magnitude);
    free(weights);
    free(theirs);
    free(read);
    free(blocks);
    test_tensor_free(&tensor);
}

/* Small weights have scales that are subnormal as float16. */
START_TEST(its_blocks_are_unpacked)
{
    const double magnitudes[] = {1.0, 0.02, 3e-3, 40.0};
    struct test_random random = test_random_seed(77);
    /* MXFP4 and the tables without a level of 0 hold no block of zeros. */
    bool zeros = formats[_i] != BSQ_FORMAT_GGUF_IQ4_NL && formats[_i] != BSQ_FORMAT_GGUF_IQ4_XS &&
                 formats[_i] != BSQ_FORMAT_GGUF_MXFP4;

    for (int m = 0; m < 4; m++)
        for (int turn = 0; turn < (zeros ? 2 : 1); turn++)
            read_back(formats[_i], magnitudes[m], turn == 1, &random);
}
END_TEST

static void *must(void *pointer, const char *what)
{
    if (!pointer) {
        fprintf(stderr, "check_llama: %s: %s\n", what, dlerror());
        exit(1);
    }
    return pointer;
}

/* Functions are read through a pointer to them: C has no other way from void *. */
static void load(const char *path)
{
    void *library = must(dlopen(path, RTLD_NOW | RTLD_LOCAL), path);

    *(void **)&get_type_traits = must(dlsym(library, "ggml_get_type_traits"), "ggml_get_type_traits");
    *(void **)&quantize_chunk = must(dlsym(library, "ggml_quantize_chunk"), "ggml_quantize_chunk");
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create("llama.cpp");
    TCase *tests = tcase_create("blocks");
    SRunner *runner;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: check_llama libggml-base.so\n");
        return 2;
    }
    load(argv[1]);
    for (int32_t format = bsq_format_next(0); format; format = bsq_format_next(format))
        if (is_gguf(format))
            formats[format_count++] = format;
    tcase_add_loop_test(tests, types_have_our_names, 0, format_count);
    tcase_add_loop_test(tests, packed_blocks_are_read, 0, format_count);
    tcase_add_loop_test(tests, its_blocks_are_unpacked, 0, format_count);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
