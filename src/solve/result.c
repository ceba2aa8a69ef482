/* What a solve leaves behind. */
#include "solve/result.h"

#include <string.h>

/* Lays a result out in 'memory' (NULL: only counts); itself it comes first. */
static size_t lay_out(struct bsq_result *result, int32_t stages, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t channels = result->channels;

    (void)bsq_carve(&carver, 1, sizeof *result);
    result->codes = bsq_carve(&carver, channels * result->fan_in, sizeof *result->codes);
    result->scales = bsq_carve(&carver, channels * result->scales_per_channel, sizeof *result->scales);
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
                                .scale_format = options->scale_format};

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

void bsq_result_free(struct bsq_result *result)
{
    struct bsq_memory memory;

    if (!result)
        return;
    memory = result->memory;
    bsq_quantizer_release(&result->inputs);
    bsq_memory_put(&memory, result);
}
