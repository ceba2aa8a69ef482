/* Layer descriptions: what is accepted, and how many output positions an input has. */
#include "base/geometry.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static bsq_layer_desc_t conv(int32_t dims)
{
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = dims;
    desc.in_channels = 6;
    desc.out_channels = 4;
    return desc;
}

static void expect(const bsq_layer_desc_t *desc, bsq_status_t status, const char *word)
{
    struct bsq_geometry geometry;
    struct bsq_message message = {{0}};
    bsq_status_t got = bsq_geometry_init(&geometry, desc, &message);

    ck_assert_msg(got == status, "status %d instead of %d: %s", (int)got, (int)status, message.text);
    ck_assert_msg(strstr(message.text, word) != NULL, "no '%s' in '%s'", word, message.text);
}

START_TEST(derived_extents)
{
    bsq_layer_desc_t desc = conv(2);
    struct bsq_geometry geometry;
    struct bsq_message message;

    desc.groups = 2;
    desc.kernel[0] = 3;
    desc.kernel[1] = 5;
    desc.kernel[2] = 7; /* ignored */
    desc.pad_end[2] = -1;
    ck_assert_int_eq(bsq_geometry_init(&geometry, &desc, &message), BSQ_OK);
    ck_assert_int_eq(geometry.group_inputs, 3);
    ck_assert_int_eq(geometry.group_outputs, 2);
    ck_assert_int_eq(geometry.kernel_volume, 15);
    ck_assert_int_eq(geometry.fan_in, 45);
    ck_assert_int_eq(geometry.kernel[2], 1);
    ck_assert_int_eq(geometry.pad_end[2], 0);
    ck_assert_int_eq(geometry.dims, 2);
}
END_TEST

START_TEST(linear_has_no_space)
{
    bsq_layer_desc_t desc;
    struct bsq_geometry geometry;
    struct bsq_message message;
    int64_t spatial[3] = {0, -5, 7}, output[3], positions;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = 9;
    desc.out_channels = 2;
    desc.kernel[0] = 3; /* ignored */
    ck_assert_int_eq(bsq_geometry_init(&geometry, &desc, &message), BSQ_OK);
    ck_assert_int_eq(geometry.fan_in, 9);
    ck_assert_int_eq(geometry.dims, 0);
    ck_assert_int_eq(bsq_geometry_output(&geometry, spatial, output, &positions, &message), BSQ_OK);
    ck_assert_int_eq(positions, 1);
}
END_TEST

START_TEST(every_bad_description)
{
    bsq_layer_desc_t desc;

    desc = conv(2), desc.kind = 3;
    expect(&desc, BSQ_E_ARGUMENT, "kind");
    desc = conv(0);
    expect(&desc, BSQ_E_RANGE, "spatial_dims");
    desc = conv(4);
    expect(&desc, BSQ_E_RANGE, "spatial_dims");
    desc = conv(2), desc.weight_layout = 2;
    expect(&desc, BSQ_E_ARGUMENT, "weight_layout");
    desc = conv(2), desc.activation_layout = -1;
    expect(&desc, BSQ_E_ARGUMENT, "activation_layout");
    desc = conv(2), desc.in_channels = 0;
    expect(&desc, BSQ_E_SHAPE, "in_channels");
    desc = conv(2), desc.out_channels = -4;
    expect(&desc, BSQ_E_SHAPE, "out_channels");
    desc = conv(2), desc.groups = 0;
    expect(&desc, BSQ_E_SHAPE, "groups");
    desc = conv(2), desc.groups = 3;
    expect(&desc, BSQ_E_SHAPE, "multiples");
    desc = conv(2), desc.groups = 4;
    expect(&desc, BSQ_E_SHAPE, "multiples");
    desc = conv(2), desc.kind = BSQ_KIND_LINEAR, desc.groups = 2;
    expect(&desc, BSQ_E_SHAPE, "linear");
    desc = conv(2), desc.kernel[1] = 0;
    expect(&desc, BSQ_E_SHAPE, "dimension 1");
    desc = conv(2), desc.stride[0] = 0;
    expect(&desc, BSQ_E_SHAPE, "dimension 0");
    desc = conv(3), desc.dilation[2] = -1;
    expect(&desc, BSQ_E_SHAPE, "dimension 2");
    desc = conv(2), desc.pad_begin[1] = -1;
    expect(&desc, BSQ_E_SHAPE, "padding");
    desc = conv(2), desc.pad_end[0] = -1;
    expect(&desc, BSQ_E_SHAPE, "padding");
}
END_TEST

START_TEST(too_large)
{
    bsq_layer_desc_t desc;

    desc = conv(3), desc.kernel[0] = desc.kernel[1] = desc.kernel[2] = INT64_C(1) << 31;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.kernel[0] = INT64_C(1) << 40, desc.dilation[0] = INT64_C(1) << 40;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.pad_begin[0] = INT64_MAX, desc.pad_end[0] = 1;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.in_channels = INT64_C(1) << 40;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.in_channels = INT64_MAX, desc.kernel[0] = 2;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.out_channels = INT64_MAX;
    expect(&desc, BSQ_E_SHAPE, "too large");
    desc = conv(1), desc.in_channels = INT64_C(1) << 30, desc.out_channels = 1;
    expect(&desc, BSQ_E_SHAPE, "too large");
}
END_TEST

/* Counts output positions by trying each one. */
static int64_t count_positions(int64_t input, int64_t kernel, int64_t stride, int64_t dilation, int64_t begin,
                               int64_t end)
{
    int64_t count = 0;

    for (int64_t at = -begin; at + (kernel - 1) * dilation < input + end; at += stride)
        count++;
    return count;
}

START_TEST(output_extents)
{
    struct bsq_message message;

    for (int64_t input = 1; input < 12; input++)
        for (int64_t kernel = 1; kernel < 5; kernel++)
            for (int64_t stride = 1; stride < 4; stride++)
                for (int64_t dilation = 1; dilation < 4; dilation++)
                    for (int64_t pad = 0; pad < 9; pad++) {
                        bsq_layer_desc_t desc = conv(1);
                        struct bsq_geometry geometry;
                        int64_t spatial[3] = {input, 0, 0}, output[3], positions, begin = pad / 3, end = pad % 3;
                        int64_t expected = count_positions(input, kernel, stride, dilation, begin, end);
                        bsq_status_t status;

                        desc.kernel[0] = kernel;
                        desc.stride[0] = stride;
                        desc.dilation[0] = dilation;
                        desc.pad_begin[0] = begin;
                        desc.pad_end[0] = end;
                        ck_assert_int_eq(bsq_geometry_init(&geometry, &desc, &message), BSQ_OK);
                        status = bsq_geometry_output(&geometry, spatial, output, &positions, &message);
                        ck_assert_int_eq(status, expected ? BSQ_OK : BSQ_E_SHAPE);
                        if (expected) {
                            ck_assert_int_eq(output[0], expected);
                            ck_assert_int_eq(positions, expected);
                            ck_assert_int_eq(output[1] * output[2], 1);
                        }
                    }
}
END_TEST

START_TEST(bad_inputs)
{
    bsq_layer_desc_t desc = conv(3);
    struct bsq_geometry geometry;
    struct bsq_message message;
    int64_t output[3], positions;
    int64_t zero[3] = {3, 0, 3}, huge[3] = {INT64_C(1) << 30, INT64_C(1) << 30, INT64_C(1) << 30};
    int64_t most[3] = {INT64_MAX, 1, 1};

    desc.pad_end[0] = 1;
    ck_assert_int_eq(bsq_geometry_init(&geometry, &desc, &message), BSQ_OK);
    ck_assert_int_eq(bsq_geometry_output(&geometry, zero, output, &positions, &message), BSQ_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(message.text, "spatial[1]"));
    ck_assert_int_eq(bsq_geometry_output(&geometry, huge, output, &positions, &message), BSQ_E_SHAPE);
    ck_assert_int_eq(bsq_geometry_output(&geometry, most, output, &positions, &message), BSQ_E_SHAPE);
}
END_TEST

START_TEST(same_input)
{
    struct bsq_geometry a, b;
    struct bsq_message message;
    bsq_layer_desc_t desc = conv(2);

    ck_assert_int_eq(bsq_geometry_init(&a, &desc, &message), BSQ_OK);
    desc.out_channels = 40;
    ck_assert_int_eq(bsq_geometry_init(&b, &desc, &message), BSQ_OK);
    ck_assert(bsq_geometry_same_input(&a, &b));
    for (int change = 0; change < 9; change++) {
        desc = conv(2);
        switch (change) {
        case 0: desc.in_channels = 8; break;
        case 1: desc.groups = 2; break;
        case 2: desc.kernel[1] = 2; break;
        case 3: desc.stride[0] = 2; break;
        case 4: desc.dilation[1] = 2; break;
        case 5: desc.pad_begin[0] = 1; break;
        case 6: desc.pad_end[1] = 1; break;
        case 7: desc.weight_layout = BSQ_WEIGHT_LAYOUT_OHWI; break;
        default: desc.activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST; break;
        }
        ck_assert_int_eq(bsq_geometry_init(&b, &desc, &message), BSQ_OK);
        ck_assert_msg(!bsq_geometry_same_input(&a, &b), "change %d", change);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("geometry");
    TCase *tests = tcase_create("geometry");

    tcase_add_test(tests, derived_extents);
    tcase_add_test(tests, linear_has_no_space);
    tcase_add_test(tests, every_bad_description);
    tcase_add_test(tests, too_large);
    tcase_add_test(tests, output_extents);
    tcase_add_test(tests, bad_inputs);
    tcase_add_test(tests, same_input);
    suite_add_tcase(suite, tests);
    return suite;
}
