/* The API as a host sees it: NULL, bounds, struct versions, NaN and infinity. */
#include "support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    return options;
}

/* Creates and frees; gives the status and leaves the text in 'text' (256 bytes). */
static bsq_status_t try_create(const struct test_data *data, const bsq_options_t *options, char *text)
{
    bsq_error_t error;
    bsq_layer_t *layer = NULL;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = 256;

    bsq_status_t status = bsq_layer_create(&data->desc, options, data->weights, data->bias, &layer, &error);

    ck_assert_int_eq(status == BSQ_OK, layer != NULL);
    ck_assert_int_eq(status == BSQ_OK, text[0] == '\0');
    ck_assert_int_eq(status, error.status);
    bsq_layer_free(layer);
    return status;
}

/* ---- NULL ---- */

START_TEST(null_handles_are_refused)
{
    bsq_options_t options = defaults();
    bsq_batch_t batch;
    bsq_input_quantizer_t quantizer;
    bsq_moments_t moments;
    bsq_moments_buffers_t buffers;
    bsq_report_t report;
    bsq_stage_t stage;
    bsq_channel_t channel;
    bsq_layer_info_t info;
    bsq_tensor_t tensor;
    bsq_layer_t *clone = (bsq_layer_t *)&batch;
    bsq_stats_t *stats = (bsq_stats_t *)&batch;
    double errors[7];
    float floats[1];
    int8_t bytes[1];
    size_t count = 1;

    bsq_batch_init(&batch, sizeof batch);
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    bsq_moments_init(&moments, sizeof moments);
    bsq_moments_buffers_init(&buffers, sizeof buffers);
    bsq_report_init(&report, sizeof report);
    bsq_stage_init(&stage, sizeof stage);
    bsq_channel_init(&channel, sizeof channel);
    bsq_layer_info_init(&info, sizeof info);
    bsq_tensor_init(&tensor, sizeof tensor);
    ck_assert_int_eq(bsq_layer_clone(NULL, &clone), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(clone);
    ck_assert_int_eq(bsq_layer_set_options(NULL, &options), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_observe(NULL, &batch), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_calibrate(NULL, &batch), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_set_input_quantizer(NULL, &quantizer), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_input_quantizer(NULL, &quantizer), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_set_moments(NULL, &moments), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_moments(NULL, &buffers), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_share_input(NULL, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_acquire_stats(NULL, 0, &stats), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(stats);
    ck_assert_int_eq(bsq_layer_merge_stats(NULL, 0, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_export_size(NULL, &count, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_stats_export(NULL, bytes, 1, NULL), BSQ_E_ARGUMENT);
    stats = (bsq_stats_t *)&batch;
    ck_assert_int_eq(bsq_stats_import(NULL, 1, NULL, &stats, NULL), BSQ_E_ARGUMENT);
    ck_assert_ptr_null(stats);
    ck_assert_int_eq(bsq_stats_import(bytes, 1, NULL, NULL, NULL), BSQ_E_ARGUMENT);
    bsq_stats_release(NULL);
    ck_assert_int_eq(bsq_optimize(NULL, &report), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_error_table(NULL, 2, 8, errors, 7), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_report(NULL, &report), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_stage_report(NULL, 0, &stage), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_channel_report(NULL, 0, &channel), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_result_count(NULL, BSQ_RESULT_CODES, &count), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_codes(NULL, bytes, 1), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_scales(NULL, floats, 1), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_bias(NULL, floats, 1), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_dequantized(NULL, floats, 1), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_planes(NULL, bytes, 1), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_options(NULL, &options), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_info(NULL, &info), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_batch_counts(NULL, &batch, &count, NULL, NULL), BSQ_E_ARGUMENT);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(bsq_layer_get_tensor(NULL, &tensor), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_set_tensor(NULL, &tensor), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_evaluate(NULL, &tensor, &report), BSQ_E_ARGUMENT);
    count = 1;
    ck_assert_int_eq(bsq_tensor_packed_size(NULL, BSQ_FORMAT_INT8, &count, NULL), BSQ_E_ARGUMENT);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(bsq_tensor_packed_size(&tensor, BSQ_FORMAT_INT8, NULL, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_tensor_pack(NULL, BSQ_FORMAT_INT8, bytes, 1, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_tensor_pack(&tensor, BSQ_FORMAT_INT8, NULL, 1, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_INT8, bytes, 1, NULL, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_tensor_unpack(BSQ_FORMAT_INT8, NULL, 1, &tensor, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_memory(NULL, NULL, &count, NULL), BSQ_E_ARGUMENT);
    ck_assert_uint_eq(count, 0);
    ck_assert_str_ne(bsq_layer_error_message(NULL), "");
    bsq_layer_free(NULL);
}
END_TEST

START_TEST(null_arguments_are_refused_by_name)
{
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false);

    test_ok(layer, bsq_optimize(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "clone", bsq_layer_clone(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "batch", bsq_layer_observe(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "batch", bsq_layer_calibrate(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "quantizer", bsq_layer_set_input_quantizer(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "quantizer", bsq_layer_get_input_quantizer(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "moments", bsq_layer_set_moments(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "buffers", bsq_layer_get_moments(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "source", bsq_layer_share_input(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "stats", bsq_layer_acquire_stats(layer, 0, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "stats", bsq_layer_merge_stats(layer, 0, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "errors", bsq_layer_error_table(layer, 2, 8, NULL, 7));
    test_fails(layer, BSQ_E_ARGUMENT, "report", bsq_layer_get_report(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "stage", bsq_layer_get_stage_report(layer, 0, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "channel", bsq_layer_get_channel_report(layer, 0, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "count", bsq_layer_result_count(layer, BSQ_RESULT_CODES, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "codes", bsq_layer_get_codes(layer, NULL, 6));
    test_fails(layer, BSQ_E_ARGUMENT, "scales", bsq_layer_get_scales(layer, NULL, 2));
    test_fails(layer, BSQ_E_ARGUMENT, "bias", bsq_layer_get_bias(layer, NULL, 2));
    test_fails(layer, BSQ_E_ARGUMENT, "weights", bsq_layer_get_dequantized(layer, NULL, 6));
    test_fails(layer, BSQ_E_ARGUMENT, "planes", bsq_layer_get_planes(layer, NULL, 18));
    test_fails(layer, BSQ_E_ARGUMENT, "options", bsq_layer_get_options(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "info", bsq_layer_info(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "batch", bsq_layer_batch_counts(layer, NULL, NULL, NULL, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "tensor", bsq_layer_get_tensor(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "tensor", bsq_layer_set_tensor(layer, NULL));
    test_fails(layer, BSQ_E_ARGUMENT, "report", bsq_layer_evaluate(layer, NULL, NULL));
    ck_assert_int_eq(bsq_layer_memory(&data.desc, NULL, NULL, NULL), BSQ_E_ARGUMENT);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(selectors_are_checked)
{
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false);
    bsq_report_t report;
    bsq_stage_t stage;
    bsq_channel_t channel;
    bsq_stats_t *stats;
    size_t count;

    bsq_report_init(&report, sizeof report);
    bsq_stage_init(&stage, sizeof stage);
    bsq_channel_init(&channel, sizeof channel);
    test_ok(layer, bsq_optimize(layer, &report));
    ck_assert_int_gt(report.stages, 0);
    test_fails(layer, BSQ_E_ARGUMENT, "result", bsq_layer_result_count(layer, 0, &count));
    test_fails(layer, BSQ_E_ARGUMENT, "result", bsq_layer_result_count(layer, BSQ_RESULT_CODE_BIAS + 1, &count));
    test_fails(layer, BSQ_E_RANGE, "index", bsq_layer_get_stage_report(layer, -1, &stage));
    test_fails(layer, BSQ_E_RANGE, "index", bsq_layer_get_stage_report(layer, report.stages, &stage));
    test_ok(layer, bsq_layer_get_stage_report(layer, report.stages - 1, &stage));
    test_fails(layer, BSQ_E_RANGE, "index", bsq_layer_get_channel_report(layer, -1, &channel));
    test_fails(layer, BSQ_E_RANGE, "index", bsq_layer_get_channel_report(layer, 2, &channel));
    test_fails(layer, BSQ_E_RANGE, "held_out", bsq_layer_acquire_stats(layer, 2, &stats));
    ck_assert_ptr_null(stats);
    test_fails(layer, BSQ_E_STATE, "held-out", bsq_layer_acquire_stats(layer, 1, &stats));
    test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
    test_fails(layer, BSQ_E_RANGE, "held_out", bsq_layer_merge_stats(layer, -1, stats));
    bsq_stats_release(stats);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- bounds of options and description ---- */

static void refuse_int(const char *name, size_t offset, int32_t value, bsq_status_t expected)
{
    struct test_data data = test_data_linear(2, 3, 1, 1);
    bsq_options_t options = defaults();
    char text[256] = "";

    memcpy((char *)&options + offset, &value, sizeof value);

    bsq_status_t status = try_create(&data, &options, text);

    ck_assert_msg(status == expected, "%s = %d gives %d, not %d", name, (int)value, (int)status, (int)expected);
    ck_assert_msg(expected == BSQ_OK || strstr(text, name), "%s is not in '%s'", name, text);
    test_data_free(&data);
}

#define REFUSE(field, value, status) refuse_int(#field, offsetof(bsq_options_t, field), value, status)

START_TEST(integer_options_have_bounds)
{
    REFUSE(weight_bits, 0, BSQ_E_RANGE);
    REFUSE(weight_bits, 1, BSQ_OK);
    REFUSE(weight_bits, 8, BSQ_OK);
    REFUSE(weight_bits, 9, BSQ_E_RANGE);
    REFUSE(effort, -1, BSQ_E_RANGE);
    REFUSE(effort, 0, BSQ_OK);
    REFUSE(effort, 9, BSQ_OK);
    REFUSE(effort, 10, BSQ_E_RANGE);
    REFUSE(threads, 0, BSQ_E_RANGE);
    REFUSE(threads, 1024, BSQ_OK);
    REFUSE(threads, 1025, BSQ_E_RANGE);
    REFUSE(bias_correction, -1, BSQ_E_RANGE);
    REFUSE(bias_correction, 1, BSQ_OK);
    REFUSE(bias_correction, 2, BSQ_E_RANGE);
    REFUSE(input_bits, -1, BSQ_E_RANGE);
    REFUSE(input_bits, 1, BSQ_E_RANGE);
    REFUSE(input_bits, 2, BSQ_OK);
    REFUSE(input_bits, 8, BSQ_OK);
    REFUSE(input_bits, 9, BSQ_E_RANGE);
    REFUSE(select_on_held_out, 1, BSQ_OK);
    REFUSE(select_on_held_out, 2, BSQ_E_RANGE);
    REFUSE(lower_bound, 1, BSQ_OK);
    REFUSE(lower_bound, 2, BSQ_E_RANGE);
}
END_TEST

/* Every constant in every field of an enumeration: only those that bear the field's name fit. */
START_TEST(enumerations_cannot_be_mixed_up)
{
    static const struct {
        const char *name;
        size_t offset;
        int32_t first, last;
    } fields[] = {
#define FIELD(field, first, last) {#field, offsetof(bsq_options_t, field), first, last}
        FIELD(solver, BSQ_SOLVER_AUTO, BSQ_SOLVER_PAPER),
        FIELD(weight_grid, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_WEIGHT_GRID_E2M1),      /* a table of the host needs levels */
        FIELD(scale_kind, BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_KIND_PER_CHANNEL), /* groups need a size */
        FIELD(scale_format, BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_E4M3),
        FIELD(input_type, BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_TYPE_ZERO_POINT),
        FIELD(input_scale_kind, BSQ_INPUT_SCALE_KIND_PER_TENSOR, BSQ_INPUT_SCALE_KIND_PER_CHANNEL),
        FIELD(input_clip, BSQ_INPUT_CLIP_SQUARED_ERROR, BSQ_INPUT_CLIP_PERCENTILE),
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (int32_t value = -1; value <= BSQ_FORMAT_SIGN_MAGNITUDE_PLANES; value++) {
            bool own = value >= fields[i].first && value <= fields[i].last;

            if ((strcmp(fields[i].name, "scale_kind") == 0 && value == BSQ_SCALE_KIND_PER_GROUP) ||
                (strcmp(fields[i].name, "weight_grid") == 0 && value == BSQ_WEIGHT_GRID_LEVELS))
                continue;
            refuse_int(fields[i].name, fields[i].offset, value, own ? BSQ_OK : BSQ_E_ARGUMENT);
        }
}
END_TEST

static void refuse_double(const char *name, size_t offset, double value, bsq_status_t expected)
{
    struct test_data data = test_data_linear(2, 3, 1, 1);
    bsq_options_t options = defaults();
    char text[256] = "";

    memcpy((char *)&options + offset, &value, sizeof value);

    bsq_status_t status = try_create(&data, &options, text);

    ck_assert_msg(status == expected, "%s = %g gives %d, not %d", name, value, (int)status, (int)expected);
    ck_assert_msg(expected == BSQ_OK || strstr(text, name), "%s is not in '%s'", name, text);
    test_data_free(&data);
}

#define REFUSE_DOUBLE(field, value, status) refuse_double(#field, offsetof(bsq_options_t, field), value, status)

START_TEST(real_options_have_bounds)
{
    REFUSE_DOUBLE(damping, -1.0, BSQ_OK);
    REFUSE_DOUBLE(damping, 0.0, BSQ_OK);
    REFUSE_DOUBLE(damping, 1.0, BSQ_OK);
    REFUSE_DOUBLE(damping, 1.0 + DBL_EPSILON, BSQ_E_RANGE);
    REFUSE_DOUBLE(damping, (double)NAN, BSQ_E_RANGE);
    REFUSE_DOUBLE(asymmetry, 0.0, BSQ_OK);
    REFUSE_DOUBLE(asymmetry, -DBL_MIN, BSQ_E_RANGE);
    REFUSE_DOUBLE(asymmetry, 1.0 + DBL_EPSILON, BSQ_E_RANGE);
    REFUSE_DOUBLE(asymmetry, (double)NAN, BSQ_E_RANGE);
    REFUSE_DOUBLE(input_percentile, 0.5, BSQ_E_RANGE);
    REFUSE_DOUBLE(input_percentile, 0.51, BSQ_OK);
    REFUSE_DOUBLE(input_percentile, 1.0, BSQ_OK);
    REFUSE_DOUBLE(input_percentile, 1.01, BSQ_E_RANGE);
    REFUSE_DOUBLE(input_percentile, (double)NAN, BSQ_E_RANGE);
}
END_TEST

START_TEST(combined_options_are_checked)
{
    struct test_data data = test_data_linear(2, 3, 1, 1);
    bsq_options_t options = defaults();
    struct test_heap heap;
    char text[256] = "";

    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_RANGE);
    ck_assert_ptr_nonnull(strstr(text, "group_size"));
    options.group_size = 4;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_RANGE);
    options.group_size = 3;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_OK);
    options.solver = BSQ_SOLVER_PAPER;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_ARGUMENT);
    options.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_OK);
    options.weight_grid = BSQ_WEIGHT_GRID_FULL;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_ARGUMENT);
    options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_ARGUMENT);

    options = defaults();
    test_heap_init(&heap);
    test_heap_use(&heap, &options);
    options.memory_free = NULL;
    ck_assert_int_eq(try_create(&data, &options, text), BSQ_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(text, "memory_free"));
    test_data_free(&data);
}
END_TEST

static void refuse_shape(struct test_data *data, int64_t *field, int64_t value, bsq_status_t expected)
{
    int64_t before = *field;
    char text[256] = "";
    size_t bytes = 1;

    *field = value;
    ck_assert_int_eq(try_create(data, NULL, text), expected);
    ck_assert_int_eq(bsq_layer_memory(&data->desc, NULL, &bytes, NULL), expected);
    ck_assert_uint_eq(bytes, 0);
    *field = before;
}

START_TEST(descriptions_are_checked)
{
    struct test_data data = test_data_conv(1, 1);
    char text[256] = "";

    refuse_shape(&data, &data.desc.in_channels, 0, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.in_channels, 5, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.in_channels, INT64_MAX - 1, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.out_channels, -6, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.out_channels, 7, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.groups, 0, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.kernel[1], 0, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.stride[0], 0, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.dilation[1], -1, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.pad_begin[0], -1, BSQ_E_SHAPE);
    refuse_shape(&data, &data.desc.pad_end[1], -1, BSQ_E_SHAPE);
    ck_assert_int_eq(try_create(&data, NULL, text), BSQ_OK);
    data.desc.kind = 3;
    ck_assert_int_eq(try_create(&data, NULL, text), BSQ_E_ARGUMENT);
    data.desc.kind = BSQ_KIND_CONV;
    data.desc.weight_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    ck_assert_int_eq(try_create(&data, NULL, text), BSQ_E_ARGUMENT);
    data.desc.weight_layout = BSQ_WEIGHT_LAYOUT_OIHW;
    data.desc.activation_layout = BSQ_WEIGHT_LAYOUT_OHWI;
    ck_assert_int_eq(try_create(&data, NULL, text), BSQ_E_ARGUMENT);
    data.desc.activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST;
    data.desc.spatial_dims = 4;
    ck_assert_int_lt(try_create(&data, NULL, text), BSQ_OK);
    data.desc.spatial_dims = 0;
    ck_assert_int_lt(try_create(&data, NULL, text), BSQ_OK);
    test_data_free(&data);
}
END_TEST

START_TEST(batches_are_checked)
{
    struct test_data data = test_data_conv(2, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL);
    bsq_batch_t batch = test_data_batch(&data, 0, 2, true), bad;
    float weights[60];

    for (int i = 0; i < 60; i++)
        weights[i] = 1;
    bad = batch;
    bad.spatial[1] = 0;
    test_fails(layer, BSQ_E_SHAPE, "spatial", bsq_layer_calibrate(layer, &bad));
    bad = batch;
    bad.size = INT64_MAX;
    test_fails(layer, BSQ_E_SHAPE, "", bsq_layer_calibrate(layer, &bad));
    bad = batch;
    bad.input = NULL;
    test_fails(layer, BSQ_E_ARGUMENT, "input", bsq_layer_calibrate(layer, &bad));
    bad = batch;
    bad.held_out = 2;
    test_fails(layer, BSQ_E_RANGE, "held_out", bsq_layer_calibrate(layer, &bad));
    bad = batch;
    bad.row_weights = weights;
    bad.row_weights_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    test_fails(layer, BSQ_E_ARGUMENT, "row_weights_kind", bsq_layer_calibrate(layer, &bad));
    bad.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    weights[59] = -1;
    ck_assert_int_lt(bsq_layer_calibrate(layer, &bad), BSQ_OK);
    ck_assert_ptr_nonnull(strstr(bsq_layer_error_message(layer), "59"));
    weights[59] = 1;
    test_ok(layer, bsq_layer_calibrate(layer, &bad));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- versions of structs ---- */

/* A struct of ours inside a longer one of tomorrow. */
struct longer {
    union {
        bsq_options_t options;
        bsq_layer_desc_t desc;
        bsq_batch_t batch;
        bsq_moments_t moments;
        bsq_moments_buffers_t buffers;
        bsq_input_quantizer_t quantizer;
        bsq_report_t report;
        bsq_stage_t stage;
        bsq_channel_t channel;
    } now;
    char tail[40];
};

START_TEST(input_structs_of_other_versions)
{
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL), *other;
    bsq_batch_t batch = test_data_batch(&data, 0, 30, false);
    struct longer longer;
    double h[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

    memset(&longer, 0, sizeof longer);
    bsq_options_init(&longer.now.options, sizeof longer.now.options + 8);
    test_ok(layer, bsq_layer_set_options(layer, &longer.now.options));
    ((char *)&longer)[sizeof(bsq_options_t) + 7] = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_options_t", bsq_layer_set_options(layer, &longer.now.options));
    longer.now.options.struct_size = sizeof longer.now.options;
    test_ok(layer, bsq_layer_set_options(layer, &longer.now.options));
    longer.now.options.struct_size = offsetof(bsq_options_t, lower_bound); /* the last field of the first version */
    test_fails(layer, BSQ_E_VERSION, "bsq_options_t", bsq_layer_set_options(layer, &longer.now.options));
    longer.now.options.struct_size = 0;
    test_fails(layer, BSQ_E_VERSION, "bsq_options_t", bsq_layer_set_options(layer, &longer.now.options));

    memset(&longer, 0, sizeof longer);
    longer.now.desc = data.desc;
    longer.now.desc.struct_size = sizeof(bsq_layer_desc_t) + 16;
    ck_assert_int_eq(bsq_layer_create(&longer.now.desc, NULL, data.weights, NULL, &other, NULL), BSQ_OK);
    bsq_layer_free(other);
    ((char *)&longer)[sizeof(bsq_layer_desc_t)] = 1;
    ck_assert_int_eq(bsq_layer_create(&longer.now.desc, NULL, data.weights, NULL, &other, NULL), BSQ_E_VERSION);
    longer.now.desc.struct_size = 8;
    ck_assert_int_eq(bsq_layer_create(&longer.now.desc, NULL, data.weights, NULL, &other, NULL), BSQ_E_VERSION);

    memset(&longer, 0, sizeof longer);
    longer.now.batch = batch;
    longer.now.batch.struct_size = sizeof(bsq_batch_t) + 16;
    test_ok(layer, bsq_layer_calibrate(layer, &longer.now.batch));
    ((char *)&longer)[sizeof(bsq_batch_t) + 15] = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_batch_t", bsq_layer_calibrate(layer, &longer.now.batch));
    longer.now.batch.struct_size = sizeof(bsq_batch_t) - 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_batch_t", bsq_layer_calibrate(layer, &longer.now.batch));

    memset(&longer, 0, sizeof longer);
    bsq_moments_init(&longer.now.moments, sizeof(bsq_moments_t) + 1);
    longer.now.moments.h = h;
    test_ok(layer, bsq_layer_set_moments(layer, &longer.now.moments));
    ((char *)&longer)[sizeof(bsq_moments_t)] = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_moments_t", bsq_layer_set_moments(layer, &longer.now.moments));
    test_fails(layer, BSQ_E_VERSION, "bsq_moments_buffers_t", bsq_layer_get_moments(layer, &longer.now.buffers));
    bsq_layer_free(layer);
    layer = test_data_layer(&data, NULL);

    memset(&longer, 0, sizeof longer);
    bsq_input_quantizer_init(&longer.now.quantizer, sizeof(bsq_input_quantizer_t) + 8);
    longer.now.quantizer.scale = 0.5;
    longer.now.quantizer.bits = 4;
    longer.now.quantizer.type = BSQ_INPUT_TYPE_SIGNED;
    test_ok(layer, bsq_layer_set_input_quantizer(layer, &longer.now.quantizer));
    ((char *)&longer)[sizeof(bsq_input_quantizer_t)] = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_input_quantizer_t",
               bsq_layer_set_input_quantizer(layer, &longer.now.quantizer));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Writes nothing behind the caller's struct, and nothing of it behind ours. */
START_TEST(output_structs_of_other_versions)
{
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, false);
    struct longer longer;
    bsq_report_t report;

    memset(&longer, 0x77, sizeof longer);
    longer.now.report.struct_size = sizeof(bsq_report_t) + 40;
    test_ok(layer, bsq_optimize(layer, &longer.now.report));
    ck_assert_uint_eq(longer.now.report.struct_size, sizeof(bsq_report_t) + 40);
    for (size_t i = sizeof(bsq_report_t); i < sizeof longer; i++)
        ck_assert_int_eq(((char *)&longer)[i], 0x77);
    bsq_report_init(&report, sizeof report);
    test_ok(layer, bsq_layer_get_report(layer, &report));
    longer.now.report.struct_size = sizeof report;
    ck_assert_mem_eq(&report, &longer.now.report, sizeof report);

    report.struct_size = sizeof report - 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_report_t", bsq_layer_get_report(layer, &report));
    test_fails(layer, BSQ_E_VERSION, "bsq_report_t", bsq_optimize(layer, &report));
    memset(&longer, 0x77, sizeof longer);
    longer.now.stage.struct_size = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_stage_t", bsq_layer_get_stage_report(layer, 0, &longer.now.stage));
    longer.now.stage.struct_size = sizeof(bsq_stage_t) + 8;
    test_ok(layer, bsq_layer_get_stage_report(layer, 0, &longer.now.stage));
    ck_assert_int_eq(((char *)&longer)[sizeof(bsq_stage_t)], 0x77);
    longer.now.channel.struct_size = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_channel_t", bsq_layer_get_channel_report(layer, 0, &longer.now.channel));
    longer.now.channel.struct_size = sizeof(bsq_channel_t) + 8;
    test_ok(layer, bsq_layer_get_channel_report(layer, 0, &longer.now.channel));
    ck_assert_int_eq(((char *)&longer)[sizeof(bsq_channel_t)], 0x77);
    longer.now.quantizer.struct_size = 1;
    test_fails(layer, BSQ_E_VERSION, "bsq_input_quantizer_t",
               bsq_layer_get_input_quantizer(layer, &longer.now.quantizer));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* ---- NaN and infinity ---- */

/* The statistics and results before a bad batch are those after it. */
static void refuse_value(bsq_layer_t *layer, const bsq_batch_t *batch, float *value, const char *where)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    float before = *value;
    uint64_t stats = test_hash_stats(test_hash_stats(TEST_HASH_START, layer, 0), layer, 1);

    for (int i = 0; i < 3; i++) {
        *value = bad[i];
        test_fails(layer, BSQ_E_NUMERIC, where, bsq_layer_calibrate(layer, batch));
        ck_assert(test_hash_stats(test_hash_stats(TEST_HASH_START, layer, 0), layer, 1) == stats);
    }
    *value = before;
}

START_TEST(batches_must_be_finite)
{
    struct test_data data = test_data_conv(3, 1);
    bsq_layer_t *layer = test_data_layer(&data, NULL);
    bsq_batch_t batch = test_data_batch(&data, 0, 3, true);
    float weights[90];

    for (int i = 0; i < 90; i++)
        weights[i] = 0.5f;
    for (int twice = 0; twice < 2; twice++) {
        refuse_value(layer, &batch, &data.input[0], "[0]");
        refuse_value(layer, &batch, &data.input[359], "input[359]");
        refuse_value(layer, &batch, &data.target[539], "target[539]");
        refuse_value(layer, &batch, &data.target[100], "target[100]");
        batch.row_weights = weights;
        refuse_value(layer, &batch, &weights[2], "row_weights[2]");
        batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
        refuse_value(layer, &batch, &weights[89], "row_weights[89]");
        batch.row_weights = NULL;
        batch.held_out = twice;
        refuse_value(layer, &batch, &data.input[17], "input[17]");
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
        batch.held_out = 0;
    }
    test_ok(layer, bsq_optimize(layer, NULL));
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

START_TEST(observed_batches_must_be_finite)
{
    bsq_options_t options = defaults();
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_batch_t batch = test_data_batch(&data, 0, 30, false);
    bsq_input_quantizer_t before, after;

    options.input_bits = 4;

    bsq_layer_t *layer = test_data_layer(&data, &options);

    bsq_input_quantizer_init(&before, sizeof before);
    bsq_input_quantizer_init(&after, sizeof after);
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &before));
    data.input[2] = 1000;
    data.input[88] = -INFINITY;
    test_fails(layer, BSQ_E_NUMERIC, "input[88]", bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &after));
    ck_assert_mem_eq(&before, &after, sizeof after);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

/* Every value of a host's moments in turn. */
static void refuse_moments(bsq_layer_t *layer, bsq_moments_t *moments, double *values, int count)
{
    uint64_t stats = test_hash_stats(TEST_HASH_START, layer, 0);

    for (int i = 0; i < count; i++) {
        double before = values[i];
        char index[24];

        values[i] = i % 2 ? (double)NAN : HUGE_VAL;
        snprintf(index, sizeof index, "[%d]", i);
        test_fails(layer, BSQ_E_NUMERIC, index, bsq_layer_set_moments(layer, moments));
        ck_assert(test_hash_stats(TEST_HASH_START, layer, 0) == stats);
        values[i] = before;
    }
}

START_TEST(moments_must_be_finite)
{
    struct test_data data = test_data_linear(2, 3, 30, 1);
    bsq_layer_t *layer = test_data_calibrated(&data, NULL, true);
    struct test_moments own = test_moments_get(layer, &data, 0, true);
    bsq_moments_t moments;

    bsq_moments_init(&moments, sizeof moments);
    test_fails(layer, BSQ_E_ARGUMENT, "h", bsq_layer_set_moments(layer, &moments));
    moments.h = own.h;
    moments.input_mean = own.input_mean;
    moments.p = own.p;
    moments.target_mean = own.target_mean;
    moments.target_square = own.target_square;
    moments.rows = own.rows;
    refuse_moments(layer, &moments, own.h, 9);
    refuse_moments(layer, &moments, own.input_mean, 3);
    refuse_moments(layer, &moments, own.p, 6);
    refuse_moments(layer, &moments, own.target_mean, 2);
    refuse_moments(layer, &moments, own.target_square, 2);
    moments.rows = -1;
    test_fails(layer, BSQ_E_RANGE, "rows", bsq_layer_set_moments(layer, &moments));
    moments.rows = 30;
    own.h[1] += 1e-3 * sqrt(own.h[0] * own.h[4]);
    test_fails(layer, BSQ_E_NUMERIC, "", bsq_layer_set_moments(layer, &moments));
    own.h[1] = own.h[3];
    own.h[4] = -own.h[4];
    test_fails(layer, BSQ_E_NUMERIC, "", bsq_layer_set_moments(layer, &moments));
    own.h[4] = -own.h[4];
    test_ok(layer, bsq_layer_set_moments(layer, &moments));
    test_ok(layer, bsq_optimize(layer, NULL));
    test_moments_free(&own);
    bsq_layer_free(layer);
    test_data_free(&data);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("arguments");

    tcase_add_test(tests, null_handles_are_refused);
    tcase_add_test(tests, null_arguments_are_refused_by_name);
    tcase_add_test(tests, selectors_are_checked);
    tcase_add_test(tests, integer_options_have_bounds);
    tcase_add_test(tests, enumerations_cannot_be_mixed_up);
    tcase_add_test(tests, real_options_have_bounds);
    tcase_add_test(tests, combined_options_are_checked);
    tcase_add_test(tests, descriptions_are_checked);
    tcase_add_test(tests, batches_are_checked);
    tcase_add_test(tests, input_structs_of_other_versions);
    tcase_add_test(tests, output_structs_of_other_versions);
    tcase_add_test(tests, batches_must_be_finite);
    tcase_add_test(tests, observed_batches_must_be_finite);
    tcase_add_test(tests, moments_must_be_finite);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api arguments", all());
}
