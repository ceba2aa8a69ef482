/* Quantized weights as a host holds them: what a description asks for. */
#include "base/tensor.h"

#include "base/memory.h"
#include "base/options.h"

#include <inttypes.h>

bsq_status_t bsq_tensor_count(const bsq_tensor_t *tensor, struct bsq_tensor_counts *counts, struct bsq_message *message)
{
    int64_t groups = (tensor->fan_in - 1) / tensor->group_size + 1;

    *counts = (struct bsq_tensor_counts){0};
    if (!bsq_extent_mul(tensor->channels, tensor->fan_in, &counts->codes) || (uint64_t)counts->codes > SIZE_MAX)
        return bsq_fail(message, BSQ_E_SHAPE, "%" PRId64 " x %" PRId64 " codes are too many for this machine",
                        tensor->channels, tensor->fan_in);
    counts->scales = tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : tensor->channels * groups;
    return BSQ_OK;
}

/* A buffer of a tensor, by name. */
struct buffer {
    const char *name;
    const void *place;
    int64_t count, needed;
};

enum { BUFFERS = 5 };

static void list_buffers(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                         struct buffer list[BUFFERS])
{
    const struct buffer all[BUFFERS] = {
        {"code", tensor->codes, tensor->code_count, counts->codes},
        {"scale", tensor->scales, tensor->scale_count, counts->scales},
        {"zero_point", tensor->zero_points, tensor->zero_point_count, counts->zero_points},
        {"offset", tensor->offsets, tensor->offset_count, counts->offsets},
        {"level", tensor->levels, tensor->level_count, counts->levels},
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
    for (int i = 0; i < BUFFERS; i++)
        if (list[i].needed && !list[i].place)
            return bsq_fail(message, BSQ_E_ARGUMENT, "'tensor' has no %ss", list[i].name);
    return bsq_tensor_check_counts(tensor, counts, message);
}

bsq_status_t bsq_tensor_check_codes(const bsq_tensor_t *tensor, int64_t count, bool symmetric, const char *name,
                                    bsq_status_t status, struct bsq_message *message)
{
    const int8_t *codes = tensor->codes;
    int32_t lowest, highest;
    bool inside = true;
    int64_t i = 0;

    bsq_code_range(tensor->weight_bits, symmetric ? BSQ_WEIGHT_GRID_SYMMETRIC : tensor->weight_grid, &lowest, &highest);
    for (int64_t k = 0; k < count; k++)
        inside &= codes[k] >= lowest && codes[k] <= highest;
    if (inside)
        return BSQ_OK;
    while (codes[i] >= lowest && codes[i] <= highest)
        i++;
    return bsq_fail(message, status, "%s: code %d at index %" PRId64 " is outside of %d..%d", name, codes[i], i,
                    (int)lowest, (int)highest);
}
