/* Random tensors in every format that has scales, for readers that are not ours: NumPy (test/formats.py) and ONNX Runtime.
 *
 *     write_cases FOLDER      writes FOLDER/FORMAT.cases
 *
 * Each case is a line of JSON that describes it, then the packed bytes, the weights that bsq_tensor_dequantize gives as
 * float32, and "order" int32: which of the engine's inputs each input is. */
#include "formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct writer {
    FILE *file;
    struct test_random random;
    int count;
};

static void write_parts(FILE *file, const bsq_tensor_t *tensor, int32_t format)
{
    int32_t count;

    ck_assert_int_eq(bsq_tensor_part_count(tensor, format, &count, NULL), BSQ_OK);
    for (int32_t i = 0; i < count; i++) {
        bsq_part_t part;

        bsq_part_init(&part, sizeof part);
        ck_assert_int_eq(bsq_tensor_get_part(tensor, format, i, &part, NULL), BSQ_OK);
        fprintf(file, "%s\"%s\": {\"type\": %d, \"offset\": %" PRId64 ", \"size\": %" PRId64 ", \"shape\": [",
                i ? ", " : "", part.name, (int)part.element_type, part.offset, part.size);
        for (int32_t d = 0; d < part.rank; d++)
            fprintf(file, "%s%" PRId64, d ? ", " : "", part.shape[d]);
        fprintf(file, "]}");
    }
}

/* A random order, and with it GPTQ's tensors. */
static int32_t *draw_order(int64_t n, struct test_random *random)
{
    int32_t *order = malloc((size_t)n * sizeof *order);

    ck_assert(order != NULL);
    for (int64_t k = 0; k < n; k++) {
        int64_t other = test_random_below(random, k + 1);

        order[k] = order[other];
        order[other] = (int32_t)k;
    }
    return order;
}

static void write_case(const bsq_tensor_t *description, int32_t format, void *opaque)
{
    struct writer *writer = opaque;
    bsq_tensor_t tensor = *description;
    bool is_gptq = format == BSQ_FORMAT_GPTQ || format == BSQ_FORMAT_GPTQ_V2;
    size_t size;

    test_tensor_allocate(&tensor, 0);
    test_tensor_draw(&tensor, 1, &writer->random);
    if (is_gptq && writer->count % 2) {
        tensor.input_order = draw_order(tensor.fan_in, &writer->random);
        tensor.input_order_count = tensor.fan_in;
    }

    unsigned char *packed = test_tensor_packed(&tensor, format, &size);
    float *weights = test_tensor_weights(&tensor);

    fprintf(writer->file,
            "{\"format\": \"%s\", \"bits\": %d, \"grid\": %d, \"channels\": %" PRId64 ", \"fan_in\": %" PRId64
            ", \"group_size\": %" PRId64 ", \"scale_kind\": %d, \"size\": %zu, \"order\": %d, \"parts\": {",
            bsq_format_string(format), (int)tensor.weight_bits, (int)tensor.weight_grid, tensor.channels, tensor.fan_in,
            tensor.group_size ? tensor.group_size : tensor.fan_in, (int)tensor.scale_kind, size,
            tensor.input_order != NULL);
    write_parts(writer->file, &tensor, format);
    fprintf(writer->file, "}}\n");
    fwrite(packed, 1, size, writer->file);
    fwrite(weights, sizeof *weights, (size_t)tensor.code_count, writer->file);
    if (tensor.input_order)
        fwrite(tensor.input_order, sizeof *tensor.input_order, (size_t)tensor.fan_in, writer->file);
    writer->count++;
    free(tensor.input_order);
    free(packed);
    free(weights);
    test_tensor_free(&tensor);
}

static bool has_scales(int32_t format)
{
    return format != BSQ_FORMAT_INT8 && format != BSQ_FORMAT_ONNX_INT4 && format != BSQ_FORMAT_ONNX_INT2 &&
           format != BSQ_FORMAT_TERNARY_PLANES && format != BSQ_FORMAT_SIGN_MAGNITUDE_PLANES;
}

static const char *folder;

START_TEST(write_all)
{
    (void)mkdir(folder, 0777);
    for (int32_t format = bsq_format_next(0); format; format = bsq_format_next(format)) {
        struct writer writer = {.random = test_random_seed((uint64_t)format)};
        char path[4096];

        if (!has_scales(format))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s.cases", folder, bsq_format_string(format));
        writer.file = fopen(path, "wb");
        ck_assert_msg(writer.file != NULL, "%s", path);
        (void)test_formats_visit(format, write_case, &writer);
        ck_assert(!ferror(writer.file) && fclose(writer.file) == 0);
    }
}
END_TEST

int main(int argc, char **argv)
{
    TCase *tests = tcase_create("all");
    SRunner *runner;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: write_cases FOLDER\n");
        return 2;
    }
    folder = argv[1];
    tcase_add_test(tests, write_all);
    runner = srunner_create(test_suite_of("cases", tests));
    srunner_set_fork_status(runner, CK_NOFORK); /* what is shared with tests asserts, which needs a test to run */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
