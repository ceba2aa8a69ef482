/* NVFP4: E2M1 codes, two a byte, an E4M3 scale for 16 of them, a float32 for the whole tensor. */
#include "base/small_float.h"
#include "format/arrays.h"
#include "format/families.h"

#include <inttypes.h>
#include <math.h>

enum { WEIGHT, SCALE, SCALE_2, GROUP = 16 };

bsq_status_t bsq_nvfp4_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                struct bsq_message *message)
{
    const int64_t bytes[] = {tensor->channels, tensor->fan_in / 2};
    const int64_t groups[] = {tensor->channels, tensor->fan_in / GROUP};
    bsq_status_t status;

    (void)format;
    if ((status = bsq_parts_add(parts, "weight", BSQ_ELEMENT_TYPE_UINT8, 2, bytes, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "weight_scale", BSQ_ELEMENT_TYPE_E4M3, 2, groups, message)) != BSQ_OK)
        return status;
    return bsq_parts_add(parts, "weight_scale_2", BSQ_ELEMENT_TYPE_FLOAT32, 0, NULL, message);
}

static int64_t scales_of(const bsq_tensor_t *tensor)
{
    return tensor->channels * (tensor->fan_in / GROUP);
}

/* Levels are twice the values of E2M1, so that the number for the tensor is twice the unit. */
bsq_status_t bsq_nvfp4_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    uint8_t bits;

    if (!isfinite(2.0f * tensor->scale_unit))
        return bsq_fail(message, BSQ_E_FORMAT, "%s: scale_unit is %.9g, too large", format->name,
                        (double)tensor->scale_unit);
    for (int64_t i = 0; i < scales_of(tensor); i++)
        if (!bsq_scale_write_e4m3(tensor->scale_unit, tensor->scales[i], &bits))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: scales[%" PRId64 "] is %.9g, not scale_unit times an E4M3",
                            format->name, i, (double)tensor->scales[i]);
    return BSQ_OK;
}

void bsq_nvfp4_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                    unsigned char *packed)
{
    struct bsq_fields nibbles = bsq_fields_dense(0, 4);

    (void)format;
    for (int64_t i = 0; i < tensor->channels * tensor->fan_in; i++)
        bsq_field_put(&nibbles, packed + parts->part[WEIGHT].offset, 0, i, bsq_e2m1_bits((uint8_t)tensor->codes[i]));
    for (int64_t i = 0; i < scales_of(tensor); i++)
        (void)bsq_scale_write_e4m3(tensor->scale_unit, tensor->scales[i], packed + parts->part[SCALE].offset + i);
    bsq_float32_write(packed + parts->part[SCALE_2].offset, 2.0f * tensor->scale_unit);
}

bsq_status_t bsq_nvfp4_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                              const unsigned char *packed, struct bsq_message *message)
{
    const unsigned char *weight = packed + parts->part[WEIGHT].offset, *scale = packed + parts->part[SCALE].offset;
    float unit = 0.5f * bsq_float32_read(packed + parts->part[SCALE_2].offset);
    struct bsq_fields nibbles = bsq_fields_dense(0, 4);
    int32_t to = tensor->scale_format;

    for (int64_t i = 0; i < scales_of(tensor); i++)
        if (!bsq_scale_is_value(to, unit, unit * bsq_e4m3_read(scale[i])))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: scale %" PRId64 " is %.9g, which the tensor cannot hold",
                            format->name, i, (double)(unit * bsq_e4m3_read(scale[i])));
    for (int64_t i = 0; i < tensor->channels * tensor->fan_in; i++)
        tensor->codes[i] = (int8_t)bsq_e2m1_code(bsq_field_get(&nibbles, weight, 0, i));
    for (int64_t i = 0; i < scales_of(tensor); i++)
        tensor->scales[i] = unit * bsq_e4m3_read(scale[i]);
    if (to == BSQ_SCALE_FORMAT_E4M3)
        tensor->scale_unit = unit;
    return BSQ_OK;
}
