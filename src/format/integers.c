/* Layouts of codes one after the other over the flattened tensor, 8, 4 or 2 bits each, low bits first: bytes, and
 * ONNX's small integers. */
#include "format/families.h"

#include "base/options.h"
#include "kernels/kernels.h"

#include <inttypes.h>
#include <string.h>

static int64_t count_of(const bsq_tensor_t *tensor)
{
    return tensor->channels * tensor->fan_in;
}

/* The code at 'index' of codes of 'width' bits. */
static inline int field_code(const unsigned char *packed, int64_t index, int width)
{
    int per_byte = 8 / width, half = 1 << (width - 1);
    int field = packed[index / per_byte] >> (int)(index % per_byte) * width & (2 * half - 1);

    return (field ^ half) - half;
}

bsq_status_t bsq_integers_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                   struct bsq_message *message)
{
    static const int32_t types[] = {
        [2] = BSQ_ELEMENT_TYPE_INT2, [4] = BSQ_ELEMENT_TYPE_INT4, [8] = BSQ_ELEMENT_TYPE_INT8};
    const int64_t shape[] = {tensor->channels, tensor->fan_in};

    return bsq_parts_add(parts, "codes", types[format->width], 2, shape, message);
}

/* Whole bytes in one go, then what is left of the last one. */
void bsq_integers_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                       unsigned char *packed)
{
    int width = format->width, per_byte = 8 / width, mask = (1 << width) - 1, byte = 0;
    int rest = (int)(count_of(tensor) % per_byte);
    int64_t whole = count_of(tensor) - rest;

    (void)parts;
    switch (width) {
    case 2: bsq_kernels()->pack2(tensor->codes, whole, packed); break;
    case 4: bsq_kernels()->pack4(tensor->codes, whole, packed); break;
    default: memcpy(packed, tensor->codes, (size_t)whole);
    }
    for (int k = 0; k < rest; k++)
        byte |= (tensor->codes[whole + k] & mask) << k * width;
    if (rest)
        packed[whole / per_byte] = (unsigned char)byte;
}

static bsq_status_t check_fields(const bsq_tensor_t *tensor, const unsigned char *packed, int width,
                                 struct bsq_message *message)
{
    int per_byte = 8 / width, rest = (int)(count_of(tensor) % per_byte);
    int32_t lowest, highest;

    if (rest && packed[count_of(tensor) / per_byte] >> rest * width)
        return bsq_fail(message, BSQ_E_FORMAT, "the last byte has bits behind the last code");
    bsq_code_range(tensor->weight_bits, tensor->weight_grid, &lowest, &highest);
    if (highest - lowest == (1 << width) - 1)
        return BSQ_OK;
    for (int64_t i = 0; i < count_of(tensor); i++) {
        int code = field_code(packed, i, width);

        if (code < lowest || code > highest)
            return bsq_fail(message, BSQ_E_FORMAT, "code %d at index %" PRId64 " is outside of %d..%d", code, i,
                            (int)lowest, (int)highest);
    }
    return BSQ_OK;
}

bsq_status_t bsq_integers_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                                 const unsigned char *packed, struct bsq_message *message)
{
    int width = format->width;
    bsq_status_t status = check_fields(tensor, packed, width, message);
    int64_t whole = count_of(tensor) - count_of(tensor) % (8 / width);

    (void)parts;
    if (status != BSQ_OK)
        return status;
    switch (width) {
    case 2: bsq_kernels()->unpack2(packed, whole, tensor->codes); break;
    case 4: bsq_kernels()->unpack4(packed, whole, tensor->codes); break;
    default: memcpy(tensor->codes, packed, (size_t)whole);
    }
    for (int64_t i = whole; i < count_of(tensor); i++)
        tensor->codes[i] = (int8_t)field_code(packed, i, width);
    return BSQ_OK;
}
