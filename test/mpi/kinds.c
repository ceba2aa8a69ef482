/* Layers of all kinds with data in shards. */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbers ---------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* About normal: the sum of four uniform numbers. */
static float value(uint64_t seed, int64_t i)
{
    uint64_t bits = mix(seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)i);
    float sum = 0.0F;

    for (int k = 0; k < 4; k++)
        sum += (float)(bits >> (16 * k) & 0xffff) / 65536.0F - 0.5F;
    return sum;
}

/* ---- kinds ------------------------------------------------------------------------------------------------ */

static void linear(struct kind *kind)
{
    kind->desc.in_channels = 40;
    kind->desc.out_channels = 50;
    kind->samples = 300;
}

static void conv(struct kind *kind, int64_t in, int64_t out, int64_t groups)
{
    kind->desc.kind = BSQ_KIND_CONV;
    kind->desc.spatial_dims = 2;
    kind->desc.in_channels = in;
    kind->desc.out_channels = out;
    kind->desc.groups = groups;
    for (int d = 0; d < 2; d++) {
        kind->desc.kernel[d] = 3;
        kind->desc.pad_begin[d] = kind->desc.pad_end[d] = 1;
    }
    kind->samples = 20;
    kind->spatial = 6;
}

static const char *const names[] = {"linear",          "target",           "conv",
                                    "groups",          "depthwise",        "grouped target",
                                    "input quantizer", "input channels",   "grouped input channels",
                                    "bias correction", "per tensor",       "zero points",
                                    "offsets",         "groups of inputs", "held out",
                                    "select",          "weights of rows",  "shards without rows",
                                    "levels",          "named levels",     "unit",
                                    "paper",           "one channel"};

int kinds_count(void)
{
    return (int)(sizeof names / sizeof *names);
}

static bool is(const struct kind *kind, const char *name)
{
    return strcmp(kind->name, name) == 0;
}

static void set_options(struct kind *kind)
{
    static const int8_t levels[5] = {-9, -3, 0, 2, 7};
    bsq_options_t *options = &kind->options;

    kind->target = is(kind, "target") || is(kind, "grouped target") || is(kind, "bias correction");
    kind->held_out = is(kind, "held out") || is(kind, "select");
    kind->weighted = is(kind, "weights of rows");
    kind->gap = is(kind, "shards without rows");
    options->bias_correction = is(kind, "bias correction");
    options->select_on_held_out = is(kind, "select");
    if (is(kind, "input quantizer") || is(kind, "input channels") || is(kind, "grouped input channels"))
        options->input_bits = 6;
    if (is(kind, "input channels") || is(kind, "grouped input channels"))
        options->input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_CHANNEL;
    if (is(kind, "per tensor"))
        options->scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    if (is(kind, "zero points"))
        options->weight_grid = BSQ_WEIGHT_GRID_ZERO_POINT;
    if (is(kind, "offsets"))
        options->weight_grid = BSQ_WEIGHT_GRID_OFFSET;
    if (is(kind, "named levels")) {
        options->weight_grid = BSQ_WEIGHT_GRID_NF4;
        options->weight_bits = 4;
    }
    if (is(kind, "levels")) {
        options->weight_grid = BSQ_WEIGHT_GRID_LEVELS;
        options->levels = levels;
        options->level_count = 5;
    }
    if (is(kind, "groups of inputs") || is(kind, "unit")) {
        options->scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options->group_size = 16;
    }
    if (is(kind, "unit"))
        options->scale_format = BSQ_SCALE_FORMAT_E4M3;
    if (is(kind, "paper"))
        options->solver = BSQ_SOLVER_PAPER;
}

struct kind kind_named(const char *name)
{
    struct kind kind = {.name = name};

    bsq_layer_desc_init(&kind.desc, sizeof kind.desc);
    bsq_options_init(&kind.options, sizeof kind.options);
    kind.options.weight_bits = 3;
    kind.options.effort = 2;
    if (is(&kind, "conv"))
        conv(&kind, 3, 20, 1);
    else if (is(&kind, "groups") || is(&kind, "grouped target") || is(&kind, "grouped input channels"))
        conv(&kind, 8, 20, 4);
    else if (is(&kind, "depthwise"))
        conv(&kind, 7, 14, 7);
    else
        linear(&kind);
    if (is(&kind, "one channel"))
        kind.desc.out_channels = 1;
    set_options(&kind);
    return kind;
}

struct kind kind_at(int index)
{
    return kind_named(names[index]);
}

bsq_status_t kind_create(const struct kind *kind, bsq_layer_t **layer)
{
    const bsq_layer_desc_t *desc = &kind->desc;
    int64_t n = desc->in_channels / desc->groups * desc->kernel[0] * desc->kernel[1], count = desc->out_channels * n;
    float *weights = malloc((size_t)(count + desc->out_channels) * sizeof *weights);
    bsq_status_t status = BSQ_E_MEMORY;

    for (int64_t i = 0; weights && i < count + desc->out_channels; i++)
        weights[i] = value(7, i);
    if (weights)
        status = bsq_layer_create(desc, &kind->options, weights, weights + count, layer, NULL);
    free(weights);
    return status;
}

/* ---- data ------------------------------------------------------------------------------------------------- */

static int64_t samples_of(const struct kind *kind, int64_t shard)
{
    return kind->gap && shard % 2 ? 0 : kind->samples + 7 * shard;
}

/* Makes inputs, targets and weights of rows of a shard; neighbours among inputs look alike. */
static bsq_status_t make_batch(const struct kind *kind, int64_t shard, int32_t held_out, bsq_layer_t *layer,
                               bsq_batch_t *batch, float **memory)
{
    size_t inputs, targets, weights;
    uint64_t seed = 1000 + (uint64_t)(shard + held_out * 100);

    bsq_batch_init(batch, sizeof *batch);
    batch->size = samples_of(kind, shard);
    batch->held_out = held_out;
    batch->spatial[0] = batch->spatial[1] = kind->spatial;
    bsq_status_t status = bsq_layer_batch_counts(layer, batch, &inputs, &targets, &weights);
    if (status != BSQ_OK)
        return status;
    *memory = malloc((inputs + targets + weights + 1) * sizeof **memory);
    if (!*memory)
        return BSQ_E_MEMORY;
    for (size_t i = 0; i < inputs; i++)
        (*memory)[i] = value(seed, (int64_t)i) + 0.5F * value(seed + 1, (int64_t)(i / 4)) + 0.1F;
    for (size_t i = 0; i < targets; i++)
        (*memory)[inputs + i] = value(seed + 2, (int64_t)i);
    for (size_t i = 0; i < weights; i++)
        (*memory)[inputs + targets + i] = (float)(i % 3) + 0.5F * (float)(shard % 2);
    batch->input = *memory;
    if (kind->target)
        batch->target = *memory + inputs;
    if (kind->weighted)
        batch->row_weights = *memory + inputs + targets;
    return BSQ_OK;
}

bsq_status_t kind_calibrate(const struct kind *kind, int64_t shard, int32_t held_out, bsq_layer_t *layer)
{
    float *memory = NULL;
    bsq_batch_t batch;
    bsq_status_t status = make_batch(kind, shard, held_out, layer, &batch, &memory);

    if (status == BSQ_OK && batch.size > 0)
        status = bsq_layer_calibrate(layer, &batch);
    free(memory);
    return status;
}

bsq_status_t kind_observe(const struct kind *kind, int64_t shard, bsq_layer_t *layer)
{
    float *memory = NULL;
    bsq_batch_t batch;
    bsq_status_t status = make_batch(kind, shard, 0, layer, &batch, &memory);

    if (status == BSQ_OK)
        status = bsq_layer_observe(layer, &batch);
    free(memory);
    return status;
}

bsq_status_t kind_add(const struct kind *kind, bsq_mpi_t *mpi, bsq_layer_t *layer, int32_t held_out,
                      bsq_mpi_sum_t **sum)
{
    int64_t shard = 0, end = 0;
    bsq_status_t status = bsq_mpi_sum_create(mpi, KIND_SHARDS, sum);

    if (status == BSQ_OK)
        status = bsq_mpi_share(mpi, KIND_SHARDS, &shard, &end);
    for (; status == BSQ_OK && shard < end; shard++) {
        bsq_layer_t *part = NULL;

        if ((status = bsq_layer_clone(layer, &part)) == BSQ_OK &&
            (status = kind_calibrate(kind, shard, held_out, part)) == BSQ_OK)
            status = bsq_mpi_sum_add(*sum, shard, part, held_out);
        bsq_layer_free(part);
    }
    return status;
}

/* ---- hashes ----------------------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t before, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        before = (before ^ at[i]) * UINT64_C(1099511628211);
    return before;
}

uint64_t kind_hash_statistics(bsq_layer_t *layer)
{
    uint64_t sum = UINT64_C(14695981039346656037);

    for (int32_t held_out = 0; held_out <= 1; held_out++) {
        bsq_stats_t *stats = NULL;
        size_t size = 0;
        void *bytes = NULL;

        if (bsq_layer_acquire_stats(layer, held_out, &stats) == BSQ_OK &&
            bsq_stats_export_size(stats, &size, NULL) == BSQ_OK && (bytes = malloc(size)) &&
            bsq_stats_export(stats, bytes, size, NULL) == BSQ_OK)
            sum = hash(sum, bytes, size);
        free(bytes);
        bsq_stats_release(stats);
    }
    return sum;
}

static uint64_t hash_reports(uint64_t sum, bsq_layer_t *layer, int64_t channels)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    if (bsq_layer_get_report(layer, &report) != BSQ_OK)
        return 0;
    report.seconds = 0.0;
    sum = hash(sum, &report, sizeof report);
    for (int32_t i = 0; i < report.stages; i++) {
        bsq_stage_t stage;

        bsq_stage_init(&stage, sizeof stage);
        if (bsq_layer_get_stage_report(layer, i, &stage) != BSQ_OK)
            return 0;
        stage.seconds = 0.0;
        sum = hash(sum, &stage, sizeof stage);
    }
    for (int64_t m = 0; m < channels; m++) {
        bsq_channel_t channel;

        bsq_channel_init(&channel, sizeof channel);
        if (bsq_layer_get_channel_report(layer, m, &channel) != BSQ_OK)
            return 0;
        sum = hash(sum, &channel, sizeof channel);
    }
    return sum;
}

uint64_t kind_hash_result(bsq_layer_t *layer)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    size_t count = 0;
    bsq_layer_info_t info;
    bsq_tensor_t tensor;
    int8_t *codes;
    float *floats;
    int32_t *zero_points;

    bsq_layer_info_init(&info, sizeof info);
    bsq_tensor_init(&tensor, sizeof tensor);
    if (bsq_layer_info(layer, &info) != BSQ_OK || bsq_layer_get_tensor(layer, &tensor) != BSQ_OK)
        return 0;
    codes = malloc((size_t)tensor.code_count + 256);
    floats = malloc((size_t)(tensor.scale_count + tensor.offset_count + 2 * tensor.channels) * sizeof *floats);
    zero_points = malloc((size_t)(tensor.zero_point_count + 1) * sizeof *zero_points);
    tensor.codes = codes;
    tensor.scales = floats;
    tensor.offsets = tensor.offset_count ? floats + tensor.scale_count : NULL;
    tensor.zero_points = tensor.zero_point_count ? zero_points : NULL;
    if (bsq_layer_get_tensor(layer, &tensor) == BSQ_OK &&
        bsq_layer_get_bias(layer, floats + tensor.scale_count + tensor.offset_count, (size_t)tensor.channels) ==
            BSQ_OK &&
        bsq_layer_get_code_bias(layer, floats + tensor.scale_count + tensor.offset_count + tensor.channels,
                                (size_t)tensor.channels) == BSQ_OK) {
        count = (size_t)(tensor.scale_count + tensor.offset_count + 2 * tensor.channels);
        sum = hash(sum, codes, (size_t)tensor.code_count);
        sum = hash(sum, floats, count * sizeof *floats);
        sum = hash(sum, zero_points, (size_t)tensor.zero_point_count * sizeof *zero_points);
        sum = hash(sum, &tensor.scale_unit, sizeof tensor.scale_unit);
        sum = hash_reports(sum, layer, info.out_channels);
    } else {
        sum = 0;
    }
    free(zero_points);
    free(floats);
    free(codes);
    return sum;
}
