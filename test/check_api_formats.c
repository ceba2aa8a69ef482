/* What a format asks for is what it holds: a layer solved by bsq_options_for_format packs, and the packed bytes stand for
 * exactly the weights that the report judged. */
#include "formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 32, FAN_IN = 512, ROWS = 700, MOST_FORMATS = 64 };

static int32_t formats[MOST_FORMATS];
static int format_count;

static bsq_tensor_t result_of(bsq_layer_t *layer)
{
    bsq_tensor_t tensor;

    bsq_tensor_init(&tensor, sizeof tensor);
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    tensor.level_count = 0; /* levels are known by name */
    test_tensor_allocate(&tensor, 0x5a);
    test_ok(layer, bsq_layer_get_tensor(layer, &tensor));
    return tensor;
}

static void expect_weights(bsq_layer_t *layer, const bsq_tensor_t *tensor, const char *what)
{
    float *judged = malloc((size_t)tensor->code_count * sizeof *judged), *read;

    ck_assert(judged != NULL);
    test_ok(layer, bsq_layer_get_dequantized(layer, judged, (size_t)tensor->code_count));
    read = test_tensor_weights(tensor);
    for (int64_t i = 0; i < tensor->code_count; i++)
        ck_assert_msg(!(judged[i] < read[i] || judged[i] > read[i]), "%s: weight %d is %.9g, the layer has %.9g", what,
                      (int)i, (double)read[i], (double)judged[i]);
    free(judged);
    free(read);
}

static bool is_ncnn(int32_t format)
{
    return format == BSQ_FORMAT_NCNN_INT8 || format == BSQ_FORMAT_NCNN_GEMM;
}

/* Formats of codes alone say nothing about scales: those of the tensor stay. */
static bool has_scales(int32_t format)
{
    return format != BSQ_FORMAT_INT8 && format != BSQ_FORMAT_ONNX_INT4 && format != BSQ_FORMAT_ONNX_INT2 &&
           format != BSQ_FORMAT_TERNARY_PLANES && format != BSQ_FORMAT_SIGN_MAGNITUDE_PLANES;
}

static int32_t bits_for(int32_t format)
{
    return format == BSQ_FORMAT_ONNX_INT2_BLOCKS || format == BSQ_FORMAT_ONNX_UINT2_BLOCKS ? 2 : 4;
}

static void solve_and_pack(int32_t format, int32_t effort)
{
    struct test_data data = test_data_linear(CHANNELS, FAN_IN, ROWS, 11);
    const char *name = bsq_format_string(format);
    bsq_options_t options;
    bsq_tensor_t tensor, back;
    unsigned char *packed;
    bsq_layer_t *layer;
    size_t size;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits_for(format);
    options.effort = effort;
    ck_assert_int_eq(bsq_options_for_format(format, &options, NULL), BSQ_OK);
    layer = test_data_calibrated(&data, &options, false);
    test_ok(layer, bsq_optimize(layer, NULL));
    tensor = result_of(layer);
    expect_weights(layer, &tensor, name);
    packed = test_tensor_packed(&tensor, format, &size);
    back = tensor;
    back.scale_unit = 0.0f;
    test_tensor_allocate(&back, 0x5a);
    if (!has_scales(format)) {
        back.scale_unit = tensor.scale_unit;
        memcpy(back.scales, tensor.scales, (size_t)tensor.scale_count * sizeof *tensor.scales);
    }
    ck_assert_msg(bsq_tensor_unpack(format, packed, size, &back, NULL) == BSQ_OK, "%s", name);
    if (!is_ncnn(format))
        expect_weights(layer, &back, name);
    free(packed);
    test_tensor_free(&tensor);
    test_tensor_free(&back);
    bsq_layer_free(layer);
    test_data_free(&data);
}

START_TEST(rounded_layers_pack)
{
    solve_and_pack(formats[_i], 0);
}
END_TEST

START_TEST(solved_layers_pack)
{
    solve_and_pack(formats[_i], 1);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("formats");

    for (int32_t format = bsq_format_next(0); format && format_count < MOST_FORMATS; format = bsq_format_next(format))
        formats[format_count++] = format;
    tcase_add_loop_test(tests, rounded_layers_pack, 0, format_count);
    tcase_add_loop_test(tests, solved_layers_pack, 0, format_count);
    return test_suite_of("api formats", tests);
}
