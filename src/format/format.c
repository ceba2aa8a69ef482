/* The table of layouts, and what holds for all of them. */
#include "format/format.h"

#include "base/tensor.h"

#include <inttypes.h>

static const struct bsq_format formats[] = {
    {BSQ_FORMAT_INT8, "int8", 8, false, bsq_integers_size, bsq_integers_pack, bsq_integers_unpack},
    {BSQ_FORMAT_ONNX_INT4, "ONNX int4", 4, false, bsq_integers_size, bsq_integers_pack, bsq_integers_unpack},
    {BSQ_FORMAT_ONNX_INT2, "ONNX int2", 2, false, bsq_integers_size, bsq_integers_pack, bsq_integers_unpack},
    {BSQ_FORMAT_TERNARY_PLANES, "ternary planes", 8, true, bsq_ternary_size, bsq_ternary_pack, bsq_ternary_unpack},
    {BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, "sign-magnitude planes", 8, true, bsq_signed_size, bsq_signed_pack,
     bsq_signed_unpack},
};

const struct bsq_format *bsq_format_find(int32_t id)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

/* Everything that can be wrong before bytes and buffers are looked at. */
static bsq_status_t describe(const bsq_tensor_t *tensor, int32_t id, const struct bsq_format **format,
                             struct bsq_tensor_counts *counts, size_t *size, struct bsq_message *message)
{
    bsq_status_t status = bsq_tensor_count(tensor, counts, message);
    int64_t bytes;

    *format = bsq_format_find(id);
    if (status != BSQ_OK)
        return status;
    if (!*format)
        return bsq_fail(message, BSQ_E_ARGUMENT, "format is %d, not a BSQ_FORMAT_... value", (int)id);
    if (tensor->weight_bits > (*format)->most_bits)
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds codes of at most %d bits, these have %d", (*format)->name,
                        (int)(*format)->most_bits, (int)tensor->weight_bits);
    if (!(*format)->size(*format, tensor, &bytes) || bytes < 0 || (uint64_t)bytes > SIZE_MAX)
        return bsq_fail(message, BSQ_E_SHAPE, "%" PRId64 " x %" PRId64 " codes are too many for this machine",
                        tensor->channels, tensor->fan_in);
    *size = (size_t)bytes;
    return BSQ_OK;
}

/* Checks the same, and that the packed buffer and those of the tensor that the layout holds are there and have their sizes. */
static bsq_status_t begin(const bsq_tensor_t *tensor, int32_t id, const struct bsq_format **format, size_t size,
                          struct bsq_tensor_counts *counts, struct bsq_message *message)
{
    bsq_tensor_t held = *tensor;
    size_t expected;
    bsq_status_t status = describe(tensor, id, format, counts, &expected, message);

    if (status != BSQ_OK)
        return status;
    held.scales = NULL;
    counts->scales = 0;
    if ((status = bsq_tensor_check_buffers(&held, counts, message)) != BSQ_OK)
        return status;
    if (size != expected)
        return bsq_fail(message, BSQ_E_SIZE, "%s: the buffer has %zu bytes, %zu are needed", (*format)->name, size,
                        expected);
    return BSQ_OK;
}

bsq_status_t bsq_format_size(const bsq_tensor_t *tensor, int32_t id, size_t *size, struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;

    return describe(tensor, id, &format, &counts, size, message);
}

bsq_status_t bsq_format_pack(const bsq_tensor_t *tensor, int32_t id, void *packed, size_t size,
                             struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;
    bsq_status_t status = begin(tensor, id, &format, size, &counts, message);

    if (status != BSQ_OK || (status = bsq_tensor_check_codes(tensor, counts.codes, format->symmetric, format->name,
                                                             BSQ_E_FORMAT, message)) != BSQ_OK)
        return status;
    format->pack(format, tensor, packed);
    return BSQ_OK;
}

bsq_status_t bsq_format_unpack(int32_t id, const void *packed, size_t size, const bsq_tensor_t *tensor,
                               struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;
    bsq_status_t status = begin(tensor, id, &format, size, &counts, message);

    return status == BSQ_OK ? format->unpack(format, tensor, packed, message) : status;
}
