/* What a solve leaves behind. */
#include "solve/plan.h"
#include "solve/result.h"

#include "base/grid.h"
#include "stages/levels.h"

#include <math.h>
#include <string.h>

/* Lays a result out in 'memory' (NULL: only counts); itself it comes first. */
static size_t lay_out(struct bsq_result *result, int32_t stages, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t channels = result->channels;

    (void)bsq_carve(&carver, 1, sizeof *result);
    result->codes = bsq_carve(&carver, channels * result->fan_in, sizeof *result->codes);
    result->scales = bsq_carve(&carver, channels * result->scales_per_channel, sizeof *result->scales);
    if (result->shifting.kind != BSQ_SHIFT_NONE)
        result->shifts = bsq_carve(&carver, channels * result->scales_per_channel, sizeof *result->shifts);
    result->bias_change = bsq_carve(&carver, channels, sizeof *result->bias_change);
    result->stages = bsq_carve(&carver, stages, sizeof *result->stages);
    result->channel = bsq_carve(&carver, channels, sizeof *result->channel);
    return carver.used;
}

static struct bsq_result shape(const struct bsq_geometry *geometry, const bsq_options_t *options)
{
    struct bsq_result result = {.channels = geometry->out_channels,
                                .fan_in = geometry->fan_in,
                                .group_size = geometry->fan_in,
                                .bits = options->weight_bits,
                                .grid = options->weight_grid,
                                .scale_kind = options->scale_kind,
                                .scale_format = options->scale_format,
                                .scale_bits = options->scale_bits,
                                .scale_signed = options->scale_signed,
                                .super_group = options->super_group,
                                .level_count = options->level_count,
                                .shifting = bsq_plan_shifting(options->weight_bits, options->weight_grid)};

    if (options->level_count)
        memcpy(result.levels, options->levels, (size_t)options->level_count);
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP)
        result.group_size = options->group_size;
    result.scales_per_channel = (result.fan_in - 1) / result.group_size + 1;
    return result;
}

size_t bsq_result_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages)
{
    struct bsq_result result = shape(geometry, options);

    return lay_out(&result, stages, NULL);
}

struct bsq_result *bsq_result_create(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages,
                                     const struct bsq_memory *memory)
{
    struct bsq_result result = shape(geometry, options);
    struct bsq_result *created = bsq_memory_get_zeroed(memory, 1, lay_out(&result, stages, NULL));

    if (!created)
        return NULL;
    result.memory = *memory;
    (void)lay_out(&result, stages, created);
    memcpy(created, &result, sizeof result);
    created->report.struct_size = sizeof created->report;
    for (int64_t c = 0; c < created->channels; c++) {
        created->channel[c].struct_size = sizeof created->channel[c];
        created->channel[c].outcome = BSQ_OUTCOME_CONVERGED;
    }
    return created;
}

/* ---- as hosts know it ---- */

static void describe(const struct bsq_result *result, struct bsq_grid *grid)
{
    bsq_grid_describe(result->bits, result->grid, result->levels, result->level_count, grid);
}

/* Gives what the code of a grid without a table is above the one that is kept. */
static int32_t middle_of(const struct bsq_result *result)
{
    return result->shifting.kind == BSQ_SHIFT_NONE ? 0 : 1 << (result->bits - 1);
}

void bsq_result_codes(const struct bsq_result *result, int8_t *codes)
{
    int64_t count = result->channels * result->fan_in;
    int32_t middle = middle_of(result);
    struct bsq_grid grid;

    describe(result, &grid);
    for (int64_t i = 0; i < count; i++) {
        int32_t code = grid.levels ? bsq_level_nearest(grid.levels, grid.level_count, result->codes[i])
                                   : result->codes[i] + middle;

        codes[i] = (int8_t)(code < 128 ? code : code - 256); /* bytes from 128 on are uint8 */
    }
}

void bsq_result_zero_points(const struct bsq_result *result, int32_t *zero_points)
{
    int64_t count = result->channels * result->scales_per_channel;

    for (int64_t i = 0; i < count; i++) /* scale (code + shift) = scale (code + middle - zero_point) */
        zero_points[i] = middle_of(result) - (int32_t)rint(result->shifts[i]);
}

void bsq_result_offsets(const struct bsq_result *result, float *offsets)
{
    int64_t count = result->channels * result->scales_per_channel;

    for (int64_t i = 0; i < count; i++)
        offsets[i] = (float)result->shifts[i];
}

void bsq_result_take(struct bsq_result *result, const bsq_tensor_t *tensor)
{
    int64_t codes = result->channels * result->fan_in, scales = result->channels * result->scales_per_channel;
    int32_t middle = middle_of(result);
    struct bsq_grid grid;

    describe(result, &grid);
    for (int64_t i = 0; i < codes; i++) {
        int32_t code = bsq_grid_code(&grid, tensor->codes, i);

        result->codes[i] = (int8_t)(grid.levels ? grid.levels[code] : code - middle);
    }
    for (int64_t i = 0; i < scales; i++) {
        result->scales[i] = (double)tensor->scales[tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 0 : i];
        if (result->shifting.kind == BSQ_SHIFT_STEPS)
            result->shifts[i] = middle - tensor->zero_points[i];
        if (result->shifting.kind == BSQ_SHIFT_FREE)
            result->shifts[i] = (double)tensor->offsets[i];
    }
}

void bsq_result_grid(const struct bsq_result *result, bsq_options_t *options)
{
    options->weight_bits = result->bits;
    options->weight_grid = result->grid;
    options->scale_kind = result->scale_kind;
    options->scale_format = result->scale_format;
    options->group_size = result->group_size;
    options->levels = result->level_count ? result->levels : NULL;
    options->level_count = result->level_count;
    options->scale_unit = result->scale_unit;
    options->scale_bits = result->scale_bits;
    options->scale_signed = result->scale_signed;
    options->super_group = result->super_group;
    options->zero_point_least = 0;
}

double bsq_result_weight(const struct bsq_result *result, int64_t m, int64_t i)
{
    int64_t at = m * result->scales_per_channel + i / result->group_size;
    double code = result->codes[m * result->fan_in + i];

    switch (result->shifting.kind) {
    case BSQ_SHIFT_STEPS: return result->scales[at] * (code + result->shifts[at]);
    case BSQ_SHIFT_FREE: /* rounded as bsq_tensor_dequantize does, before an offset is added in float32 */
        return (double)(float)(result->scales[at] * (code + result->shifting.base)) + result->shifts[at];
    default: return result->scales[at] * code;
    }
}

void bsq_result_free(struct bsq_result *result)
{
    struct bsq_memory memory;

    if (!result)
        return;
    memory = result->memory;
    bsq_quantizer_release(&result->inputs);
    bsq_memory_put(&memory, result);
}
