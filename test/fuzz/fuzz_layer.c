/* Any options, description, batch and call order on tiny layers: every call ends with a status and a text, results
 * stay in their bounds, and nothing outside of the buffers is touched. Buffers have the exact size, for ASan. */
#include "bsq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input; reads as zeros behind its end. */
struct bytes {
    const uint8_t *next;
    size_t left;
};

static uint8_t take(struct bytes *bytes)
{
    if (!bytes->left)
        return 0;
    bytes->left--;
    return *bytes->next++;
}

static int32_t take_below(struct bytes *bytes, int32_t bound)
{
    return take(bytes) % bound;
}

/* Mostly small, sometimes absurd. */
static int64_t take_extent(struct bytes *bytes, int32_t bound)
{
    uint8_t byte = take(bytes);

    if (byte == 255)
        return INT64_MAX;
    return byte >= 250 ? 250 - (int64_t)byte : byte % bound;
}

static float take_float(struct bytes *bytes)
{
    static const float rare[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 1e-30f, 3e38f, 1e-42f};
    uint8_t byte = take(bytes);

    return byte >= 248 ? rare[byte - 248] : (float)((int)byte - 124) / 16.0f;
}

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Statuses that exist. */
static bsq_status_t known(bsq_status_t status)
{
    require(strcmp(bsq_status_string(status), bsq_status_string(-1)) != 0);
    return status;
}

/* A failed call leaves a text. */
static bsq_status_t checked(const bsq_layer_t *layer, bsq_status_t status)
{
    require(status == BSQ_OK || bsq_layer_error_message(layer)[0] != '\0');
    return known(status);
}

/* 'count' values in a block of exactly their size; never NULL. */
static float *take_floats(struct bytes *bytes, int64_t count)
{
    float *values = malloc(count > 0 ? (size_t)count * sizeof *values : 1);

    require(values != NULL);
    for (int64_t i = 0; i < count; i++)
        values[i] = take_float(bytes);
    return values;
}

/* ---- structs ---- */

static bsq_options_t take_options(struct bytes *bytes)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 1 + take_below(bytes, 9);
    options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC + take_below(bytes, 8) % 3;
    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR - 1 + take_below(bytes, 9) % 5;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT32 + take_below(bytes, 7) % 4;
    options.solver = BSQ_SOLVER_AUTO + take_below(bytes, 7) % 4;
    options.effort = take_below(bytes, 40) ? take_below(bytes, 4) : take_below(bytes, 12) - 1;
    options.threads = take_below(bytes, 4);
    options.bias_correction = take_below(bytes, 5) % 3;
    options.input_bits = take_below(bytes, 2) ? take_below(bytes, 11) - 1 : 0;
    options.input_type = BSQ_INPUT_TYPE_AUTO + take_below(bytes, 9) % 5;
    options.input_clip = BSQ_INPUT_CLIP_SQUARED_ERROR + take_below(bytes, 7) % 4;
    options.group_size = take_extent(bytes, 9);
    options.damping = take_below(bytes, 2) ? -1 : (double)take_float(bytes);
    options.asymmetry = take_below(bytes, 2) ? 1 : (double)take_float(bytes);
    options.input_percentile = take_below(bytes, 2) ? 0.9 : (double)take_float(bytes);
    options.select_on_held_out = take_below(bytes, 5) % 3;
    options.lower_bound = take_below(bytes, 5) % 3;
    options.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR + take_below(bytes, 64) % 3;
    if (options.solver == BSQ_SOLVER_PAPER && take_below(bytes, 4)) {
        options.weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
        options.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
        options.scale_format = BSQ_SCALE_FORMAT_FLOAT32;
    }
    if (take_below(bytes, 32) == 31)
        options.struct_size = take(bytes) % sizeof options;
    return options;
}

static bsq_layer_desc_t take_desc(struct bytes *bytes)
{
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_LINEAR + (take_below(bytes, 16) ? take_below(bytes, 2) : take_below(bytes, 4) - 1);
    desc.in_channels = take_extent(bytes, 7);
    desc.out_channels = take_extent(bytes, 7);
    desc.groups = take_below(bytes, 2) ? take_extent(bytes, 5) : 1;
    desc.spatial_dims = desc.kind == BSQ_KIND_CONV || !take_below(bytes, 16) ? take_below(bytes, 5) : 0;
    desc.weight_layout = BSQ_WEIGHT_LAYOUT_OIHW + take_below(bytes, 10) % 3;
    desc.activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST + take_below(bytes, 10) % 3;
    for (int i = 0; i < 3; i++) {
        desc.kernel[i] = take_extent(bytes, 4);
        desc.stride[i] = take_extent(bytes, 4);
        desc.dilation[i] = take_extent(bytes, 4);
        desc.pad_begin[i] = take_extent(bytes, 3);
        desc.pad_end[i] = take_extent(bytes, 3);
    }
    return desc;
}

static int small(int64_t extent)
{
    return extent >= 0 && extent <= 16;
}

static int spatial_of(const bsq_layer_desc_t *desc)
{
    return desc->kind != BSQ_KIND_CONV ? 0 : desc->spatial_dims < 3 ? desc->spatial_dims : 3;
}

/* Whether the weights fit a small buffer; a description that is larger is refused before they are read. */
static int weights_are_small(const bsq_layer_desc_t *desc)
{
    int is_small = small(desc->in_channels) && small(desc->out_channels) && small(desc->groups);

    for (int i = 0; i < spatial_of(desc); i++)
        is_small &= small(desc->kernel[i]);
    return is_small;
}

static int windows_are_small(const bsq_layer_desc_t *desc)
{
    int is_small = 1;

    for (int i = 0; i < spatial_of(desc); i++)
        is_small &=
            small(desc->stride[i]) && small(desc->dilation[i]) && small(desc->pad_begin[i]) && small(desc->pad_end[i]);
    return is_small;
}

static int64_t fan_in_of(const bsq_layer_desc_t *desc)
{
    int64_t fan_in = desc->groups > 0 ? desc->in_channels / desc->groups : 0;

    for (int i = 0; i < spatial_of(desc); i++)
        fan_in *= desc->kernel[i];
    return fan_in;
}

/* ---- calls ---- */

/* A batch with input and target of exactly the sizes that the description asks for. */
static void calibrate(bsq_layer_t *layer, const bsq_layer_desc_t *desc, struct bytes *bytes, int observe)
{
    bsq_batch_t batch;
    int64_t inputs = desc->in_channels, outputs = desc->out_channels, rows = 1;

    bsq_batch_init(&batch, sizeof batch);
    batch.size = take_below(bytes, 5);
    for (int i = 0; i < 3; i++)
        batch.spatial[i] = take_below(bytes, 6);
    for (int i = 0; i < spatial_of(desc); i++) {
        int64_t room =
            batch.spatial[i] + desc->pad_begin[i] + desc->pad_end[i] - desc->dilation[i] * (desc->kernel[i] - 1) - 1;

        inputs *= batch.spatial[i];
        rows *= room >= 0 ? room / desc->stride[i] + 1 : 0;
    }

    float *input = take_floats(bytes, batch.size * inputs);
    float *target = take_below(bytes, 2) ? take_floats(bytes, batch.size * rows * outputs) : NULL;
    float *weights = NULL;

    batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE + take_below(bytes, 2);
    if (take_below(bytes, 4) == 3)
        weights =
            take_floats(bytes, batch.row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? batch.size * rows : batch.size);
    batch.input = input;
    batch.target = target;
    batch.row_weights = weights;
    batch.held_out = take_below(bytes, 4) == 3;
    checked(layer, observe ? bsq_layer_observe(layer, &batch) : bsq_layer_calibrate(layer, &batch));
    free(input);
    free(target);
    free(weights);
}

static void pack_and_unpack(const bsq_tensor_t *tensor)
{
    static const int32_t formats[] = {BSQ_FORMAT_INT8, BSQ_FORMAT_ONNX_INT4, BSQ_FORMAT_ONNX_INT2,
                                      BSQ_FORMAT_TERNARY_PLANES, BSQ_FORMAT_SIGN_MAGNITUDE_PLANES};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        size_t size;

        if (known(bsq_tensor_packed_size(tensor, formats[i], &size, NULL)) != BSQ_OK)
            continue;

        void *packed = malloc(size);
        bsq_tensor_t back = *tensor;

        back.codes = malloc((size_t)tensor->code_count);
        require(packed && back.codes);
        if (known(bsq_tensor_pack(tensor, formats[i], packed, size, NULL)) == BSQ_OK) {
            require(bsq_tensor_unpack(formats[i], packed, size, &back, NULL) == BSQ_OK);
            require(memcmp(back.codes, tensor->codes, (size_t)tensor->code_count) == 0);
        }
        free(packed);
        free(back.codes);
    }
}

/* A result judged again is worth the same, and stands when it is put back. */
static void judge_again(bsq_layer_t *layer, const bsq_tensor_t *tensor, const bsq_report_t *report)
{
    bsq_report_t again;

    bsq_report_init(&again, sizeof again);
    require(bsq_layer_evaluate(layer, tensor, &again) == BSQ_OK);
    require(fabs(again.error - report->error) <= 1e-4 * fmax(report->error_start, 1e-6));
    require(bsq_layer_set_tensor(layer, tensor) == BSQ_OK);
    require(bsq_layer_get_report(layer, &again) == BSQ_OK && again.stages == 0);
}

static void check_result(bsq_layer_t *layer, int64_t channels, int64_t fan_in)
{
    bsq_report_t report;
    bsq_tensor_t tensor;

    bsq_report_init(&report, sizeof report);
    bsq_tensor_init(&tensor, sizeof tensor);
    require(bsq_layer_get_report(layer, &report) == BSQ_OK);
    require(report.objective <= report.objective_start && isfinite(report.objective_start));
    require(bsq_layer_get_tensor(layer, &tensor) == BSQ_OK);
    require(tensor.code_count == channels * fan_in && tensor.scale_count > 0);
    require(tensor.weight_bits == report.weight_bits && tensor.weight_grid == report.weight_grid);
    tensor.codes = malloc((size_t)tensor.code_count);
    tensor.scales = malloc((size_t)tensor.scale_count * sizeof *tensor.scales);
    require(tensor.codes && tensor.scales);
    require(bsq_layer_get_tensor(layer, &tensor) == BSQ_OK);

    int highest = (1 << (tensor.weight_bits - 1)) - 1;
    int lowest = -highest - (tensor.weight_grid == BSQ_WEIGHT_GRID_FULL);

    for (int64_t i = 0; i < tensor.code_count; i++)
        require(tensor.codes[i] <= highest && tensor.codes[i] >= lowest);
    for (int64_t i = 0; i < tensor.scale_count; i++)
        require(isfinite(tensor.scales[i]) && tensor.scales[i] > 0);
    pack_and_unpack(&tensor);
    judge_again(layer, &tensor, &report);
    free(tensor.codes);
    free(tensor.scales);
}

/* Whatever the bytes are, they are refused or can be exported again. */
static void import(struct bytes *bytes)
{
    bsq_stats_t *stats;
    size_t size = bytes->left, again;
    void *copy = malloc(size ? size : 1);

    require(copy != NULL);
    if (size)
        memcpy(copy, bytes->next, size);
    if (known(bsq_stats_import(copy, size, NULL, &stats, NULL)) == BSQ_OK)
        require(bsq_stats_export_size(stats, &again, NULL) == BSQ_OK && again == size);
    else
        require(stats == NULL);
    bsq_stats_release(stats);
    free(copy);
}

/* ---- statistics between layers ---- */

/* Two layers on the same inputs, of other output channels maybe, and the last snapshot that was taken (or NULL). */
struct pair {
    bsq_layer_t *layer[2];
    bsq_layer_desc_t desc[2];
    bsq_stats_t *stats;
};

/* A layer on the same inputs, whose number of outputs differs as a rule; NULL when it cannot be. */
static bsq_layer_t *create_sibling(bsq_layer_desc_t *desc, const bsq_options_t *options, struct bytes *bytes)
{
    bsq_layer_t *sibling = NULL;
    float *weights;

    desc->out_channels = desc->groups * (1 + take_below(bytes, 5));
    if (!take_below(bytes, 4))
        desc->activation_layout ^= BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST ^ BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    weights = take_floats(bytes, desc->out_channels * fan_in_of(desc));
    known(bsq_layer_create(desc, options, weights, NULL, &sibling, NULL));
    free(weights);
    return sibling;
}

static void replace_stats(struct pair *pair, bsq_stats_t *stats)
{
    bsq_stats_release(pair->stats);
    pair->stats = stats;
}

/* What a layer exports can be imported. */
static void pass_through_bytes(struct pair *pair)
{
    bsq_stats_t *read;
    size_t size;
    void *copy;

    require(bsq_stats_export_size(pair->stats, &size, NULL) == BSQ_OK);
    copy = malloc(size);
    require(copy && bsq_stats_export(pair->stats, copy, size, NULL) == BSQ_OK);
    require(bsq_stats_import(copy, size, NULL, &read, NULL) == BSQ_OK);
    free(copy);
    replace_stats(pair, read);
}

static void merge_with_itself(struct pair *pair)
{
    const bsq_stats_t *list[2] = {pair->stats, pair->stats};
    bsq_stats_t *merged;

    if (known(bsq_stats_merge(list, 2, NULL, &merged, NULL)) == BSQ_OK)
        replace_stats(pair, merged);
    else
        require(merged == NULL);
}

static void exchange(struct pair *pair, int which, struct bytes *bytes)
{
    bsq_layer_t *layer = pair->layer[which];
    int32_t call = take_below(bytes, 6), held_out = take_below(bytes, 8) == 7;
    bsq_stats_t *stats;

    if (call == 0)
        checked(layer, bsq_layer_share_input(layer, pair->layer[!which]));
    else if (call == 1 && checked(layer, bsq_layer_acquire_stats(layer, held_out, &stats)) == BSQ_OK)
        replace_stats(pair, stats);
    else if (call == 2 && pair->stats)
        checked(layer, bsq_layer_share_stats(layer, held_out, pair->stats));
    else if (call == 3 && pair->stats)
        checked(layer, bsq_layer_merge_stats(layer, held_out, pair->stats));
    else if (call == 4 && pair->stats)
        pass_through_bytes(pair);
    else if (call == 5 && pair->stats)
        merge_with_itself(pair);
}

static void drive(struct pair *pair, struct bytes *bytes)
{
    int64_t fan_in = fan_in_of(pair->desc);

    for (int call = 0; call < 12 && bytes->left; call++) {
        int which = pair->layer[1] && take_below(bytes, 3) == 2;
        bsq_layer_t *layer = pair->layer[which];
        bsq_options_t options;
        double errors[8];
        int32_t low, count;

        switch (take_below(bytes, 11)) {
        case 0:
        case 1: calibrate(layer, &pair->desc[which], bytes, 0); break;
        case 2: calibrate(layer, &pair->desc[which], bytes, 1); break;
        case 3:
            options = take_options(bytes);
            checked(layer, bsq_layer_set_options(layer, &options));
            break;
        case 4:
            low = take_below(bytes, 10);
            count = take_below(bytes, 4);
            checked(layer, bsq_layer_error_table(layer, low, low + count - 1, errors, (size_t)count));
            break;
        case 5:
        case 6:
            if (checked(layer, bsq_optimize(layer, NULL)) == BSQ_OK)
                check_result(layer, pair->desc[which].out_channels, fan_in);
            break;
        default:
            if (pair->layer[1])
                exchange(pair, which, bytes);
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    bsq_options_t options = take_options(&bytes);
    bsq_layer_desc_t desc = take_desc(&bytes);
    int64_t count = weights_are_small(&desc) ? desc.out_channels * fan_in_of(&desc) : 0;
    float *weights = take_floats(&bytes, count), *bias = NULL;
    bsq_layer_t *layer = NULL;
    size_t memory;

    if (take_below(&bytes, 2))
        bias = take_floats(&bytes, weights_are_small(&desc) ? desc.out_channels : 0);

    bsq_status_t status = known(bsq_layer_create(&desc, &options, weights, bias, &layer, NULL));

    require((status == BSQ_OK) == (layer != NULL));
    if (status != BSQ_E_NUMERIC)
        require(known(bsq_layer_memory(&desc, &options, &memory, NULL)) == status);
    if (layer && windows_are_small(&desc) && fan_in_of(&desc) <= 32) {
        struct pair pair = {{layer, NULL}, {desc, desc}, NULL};

        pair.layer[1] = create_sibling(&pair.desc[1], &options, &bytes);
        drive(&pair, &bytes);
        bsq_stats_release(pair.stats);
        bsq_layer_free(pair.layer[1]);
    }
    import(&bytes);
    bsq_layer_free(layer);
    free(weights);
    free(bias);
    return 0;
}
