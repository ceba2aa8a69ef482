/* Quantized weights as a host holds them: what a description asks for. */
#include "base/tensor.h"

#include "base/memory.h"
#include "base/options.h"
#include "base/two_level.h"

#include <inttypes.h>
#include <math.h>

bsq_status_t bsq_tensor_count(const bsq_tensor_t *tensor, struct bsq_tensor_counts *counts, struct bsq_message *message)
{
    int64_t groups = (tensor->fan_in - 1) / tensor->group_size + 1;

    *counts = (struct bsq_tensor_counts){0};
    if (!bsq_extent_mul(tensor->channels, tensor->fan_in, &counts->codes) || (uint64_t)counts->codes > SIZE_MAX)
        return bsq_fail(message, BSQ_E_SHAPE, "%" PRId64 " x %" PRId64 " codes are too many for this machine",
                        tensor->channels, tensor->fan_in);
    counts->scales = tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : tensor->channels * groups;
    counts->zero_points = tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT ? counts->scales : 0;
    counts->input_order = tensor->fan_in;
    counts->offsets = tensor->weight_grid == BSQ_WEIGHT_GRID_OFFSET ? counts->scales : 0;
    if (bsq_grid_is_table(tensor->weight_grid)) {
        struct bsq_grid grid;

        bsq_tensor_grid(tensor, &grid);
        counts->levels = grid.level_count;
    }
    return BSQ_OK;
}

void bsq_tensor_grid(const bsq_tensor_t *tensor, struct bsq_grid *grid)
{
    bsq_grid_describe(tensor->weight_bits, tensor->weight_grid, tensor->levels, tensor->level_count, grid);
}

/* A buffer of a tensor, by name. */
struct buffer {
    const char *name;
    const void *place;
    int64_t count, needed;
};

enum { LEVELS = 4, INPUT_ORDER, BUFFERS };

static void list_buffers(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                         struct buffer list[BUFFERS])
{
    const struct buffer all[BUFFERS] = {
        {"code", tensor->codes, tensor->code_count, counts->codes},
        {"scale", tensor->scales, tensor->scale_count, counts->scales},
        {"zero_point", tensor->zero_points, tensor->zero_point_count, counts->zero_points},
        {"offset", tensor->offsets, tensor->offset_count, counts->offsets},
        {"level", tensor->levels, tensor->level_count, counts->levels},
        {"input_order", tensor->input_order, tensor->input_order_count, counts->input_order},
    };

    for (int i = 0; i < BUFFERS; i++)
        list[i] = all[i];
}

bsq_status_t bsq_tensor_check_counts(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                     struct bsq_message *message)
{
    struct buffer list[BUFFERS];

    list_buffers(tensor, counts, list);
    for (int i = 0; i < BUFFERS; i++)
        if (list[i].place && list[i].count != list[i].needed)
            return bsq_fail(message, BSQ_E_SIZE, "%s_count is %" PRId64 ", %" PRId64 " are needed", list[i].name,
                            list[i].count, list[i].needed);
    return BSQ_OK;
}

bsq_status_t bsq_tensor_check_buffers(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                      struct bsq_message *message)
{
    struct buffer list[BUFFERS];

    list_buffers(tensor, counts, list);
    for (int i = 0; i < INPUT_ORDER; i++)
        if (list[i].needed && !list[i].place && !(i == LEVELS && tensor->weight_grid != BSQ_WEIGHT_GRID_LEVELS))
            return bsq_fail(message, BSQ_E_ARGUMENT, "'tensor' has no %ss", list[i].name);
    return bsq_tensor_check_counts(tensor, counts, message);
}

bsq_status_t bsq_tensor_check_codes(const bsq_tensor_t *tensor, int64_t count, bool symmetric, const char *name,
                                    bsq_status_t status, struct bsq_message *message)
{
    struct bsq_grid grid;
    int64_t i = 0;
    bool inside = true;

    bsq_tensor_grid(tensor, &grid);
    if (symmetric && grid.lowest < -grid.highest)
        grid.lowest = -grid.highest;

    /* Bytes of both kinds count up from the lowest code. */
    uint8_t lowest = (uint8_t)grid.lowest, span = (uint8_t)(grid.highest - grid.lowest);

    for (int64_t k = 0; k < count; k++)
        inside &= (uint8_t)((uint8_t)tensor->codes[k] - lowest) <= span;
    if (inside)
        return BSQ_OK;
    while ((uint8_t)((uint8_t)tensor->codes[i] - lowest) <= span)
        i++;
    return bsq_fail(message, status, "%s: code %d at index %" PRId64 " is outside of %d..%d", name,
                    (int)bsq_grid_code(&grid, tensor->codes, i), i, (int)grid.lowest, (int)grid.highest);
}

/* ---- scales, zero points and offsets ---- */

bool bsq_tensor_takes_scale(const bsq_tensor_t *tensor, float scale)
{
    return bsq_scale_is_value(tensor->scale_format, tensor->scale_unit, tensor->scale_signed ? fabsf(scale) : scale);
}

bool bsq_tensor_takes_offset(const bsq_tensor_t *tensor, float offset)
{
    return bsq_offset_is_value(tensor->scale_format, offset);
}

static bsq_status_t check_single_scales(const bsq_tensor_t *tensor, int64_t count, struct bsq_message *message)
{
    for (int64_t i = 0; i < count; i++)
        if (!bsq_tensor_takes_scale(tensor, tensor->scales[i]))
            return bsq_fail(message, BSQ_E_RANGE, "scales[%" PRId64 "] is %.9g, not a %svalue of its format", i,
                            (double)tensor->scales[i], tensor->scale_signed ? "" : "positive ");
    return BSQ_OK;
}

static bsq_status_t check_single_offsets(const bsq_tensor_t *tensor, int64_t count, struct bsq_message *message)
{
    for (int64_t i = 0; i < count; i++)
        if (!bsq_tensor_takes_offset(tensor, tensor->offsets[i]))
            return bsq_fail(message, BSQ_E_RANGE, "offsets[%" PRId64 "] is %.9g, not a value of its format", i,
                            (double)tensor->offsets[i]);
    return BSQ_OK;
}

/* Takes every super-group of 'numbers' apart. */
static bsq_status_t check_super_groups(const bsq_tensor_t *tensor, const struct bsq_two_level *rule,
                                       const float *numbers, float sign, const char *name, struct bsq_message *message)
{
    int64_t groups = (tensor->fan_in - 1) / tensor->group_size + 1;

    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t first = 0; first < groups; first += tensor->super_group) {
            int64_t rest = groups - first, count = rest < tensor->super_group ? rest : tensor->super_group;
            float shared;

            if (!bsq_two_level_split(rule, numbers + o * groups + first, count, sign, &shared, NULL))
                return bsq_fail(message, BSQ_E_RANGE,
                                "%s %" PRId64 "..%" PRId64 " of channel %" PRId64
                                " are not integers of scale_bits times one value of their format",
                                name, first, first + count - 1, o);
        }
    return BSQ_OK;
}

static bsq_status_t check_two_levels(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                     struct bsq_message *message)
{
    struct bsq_two_level scales =
        bsq_two_level_scales(tensor->scale_format, tensor->scale_bits, tensor->scale_signed != 0);
    struct bsq_two_level offsets = bsq_two_level_offsets(tensor->scale_format, tensor->scale_bits);
    bsq_status_t status = check_super_groups(tensor, &scales, tensor->scales, 1.0f, "scales", message);

    if (status != BSQ_OK || !counts->offsets)
        return status;
    return check_super_groups(tensor, &offsets, tensor->offsets, -1.0f, "offsets", message);
}

bsq_status_t bsq_tensor_check_scales(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                     struct bsq_message *message)
{
    int32_t highest = (1 << tensor->weight_bits) - 1;
    bsq_status_t status;

    for (int64_t i = 0; i < counts->zero_points; i++)
        if (tensor->zero_points[i] < 0 || tensor->zero_points[i] > highest)
            return bsq_fail(message, BSQ_E_RANGE, "zero_points[%" PRId64 "] is %d, must be 0..%d", i,
                            (int)tensor->zero_points[i], (int)highest);
    if (tensor->scale_bits)
        return check_two_levels(tensor, counts, message);
    status = check_single_scales(tensor, counts->scales, message);
    return status == BSQ_OK ? check_single_offsets(tensor, counts->offsets, message) : status;
}
