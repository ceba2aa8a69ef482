/* What holds for all formats: parts, sizes, the order of checks. */
#include "format/format.h"

#include "base/memory.h"
#include "base/tensor.h"

#include <inttypes.h>
#include <string.h>

/* ---- parts ----------------------------------------------------------------------------------------------- */

enum { PART_ALIGNMENT = 8 };

static int element_bits(int32_t element_type)
{
    switch (element_type) {
    case BSQ_ELEMENT_TYPE_INT2:
    case BSQ_ELEMENT_TYPE_UINT2: return 2;
    case BSQ_ELEMENT_TYPE_INT4:
    case BSQ_ELEMENT_TYPE_UINT4: return 4;
    case BSQ_ELEMENT_TYPE_FLOAT16:
    case BSQ_ELEMENT_TYPE_BFLOAT16: return 16;
    case BSQ_ELEMENT_TYPE_INT32:
    case BSQ_ELEMENT_TYPE_UINT32:
    case BSQ_ELEMENT_TYPE_FLOAT32: return 32;
    case BSQ_ELEMENT_TYPE_UINT64: return 64;
    default: return 8;
    }
}

/* Bytes of so many elements, the last byte filled up with zeros. */
static bool bytes_of(int64_t elements, int bits, int64_t *bytes)
{
    if (bits >= 8)
        return bsq_extent_mul(elements, bits / 8, bytes);
    *bytes = elements / (8 / bits) + (elements % (8 / bits) != 0);
    return true;
}

bsq_status_t bsq_parts_add(struct bsq_parts *parts, const char *name, int32_t element_type, int32_t rank,
                           const int64_t *shape, struct bsq_message *message)
{
    bsq_part_t *part = &parts->part[parts->count];
    int64_t elements = 1, start;
    bool fits = bsq_extent_add(parts->size, PART_ALIGNMENT - 1, &start);

    *part = (bsq_part_t){.struct_size = sizeof *part, .name = name, .rank = rank, .element_type = element_type};
    for (int32_t i = 0; i < rank; i++) {
        part->shape[i] = shape[i];
        fits = fits && bsq_extent_mul(elements, shape[i], &elements);
    }
    part->offset = start / PART_ALIGNMENT * PART_ALIGNMENT;
    fits = fits && bytes_of(elements, element_bits(element_type), &part->size) &&
           bsq_extent_add(part->offset, part->size, &parts->size) && (uint64_t)parts->size <= SIZE_MAX;
    if (!fits)
        return bsq_fail(message, BSQ_E_SHAPE, "the codes are too many for this machine");
    parts->count++;
    return BSQ_OK;
}

/* ---- whole tensors --------------------------------------------------------------------------------------- */

/* Everything that can be wrong before bytes and buffers are looked at. */
static bsq_status_t describe(const bsq_tensor_t *tensor, int32_t id, const struct bsq_format **format,
                             struct bsq_tensor_counts *counts, struct bsq_parts *parts, struct bsq_message *message)
{
    bsq_status_t status = bsq_tensor_count(tensor, counts, message);

    *parts = (struct bsq_parts){0};
    *format = bsq_format_find(id);
    if (status != BSQ_OK)
        return status;
    if (!*format)
        return bsq_fail(message, BSQ_E_ARGUMENT, "format is %d, not a BSQ_FORMAT_... value", (int)id);
    if ((status = bsq_needs_check(*format, tensor, message)) != BSQ_OK)
        return status;
    return (*format)->describe(*format, tensor, parts, message);
}

bsq_status_t bsq_format_parts(const bsq_tensor_t *tensor, int32_t id, struct bsq_parts *parts,
                              struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;

    return describe(tensor, id, &format, &counts, parts, message);
}

/* Checks the same, and that the packed buffer and those of the tensor that the layout holds are there and have their
 * sizes. */
static bsq_status_t begin(const bsq_tensor_t *tensor, int32_t id, const struct bsq_format **format, size_t size,
                          struct bsq_tensor_counts *counts, struct bsq_parts *parts, struct bsq_message *message)
{
    bsq_tensor_t held = *tensor;
    bsq_status_t status = describe(tensor, id, format, counts, parts, message);

    if (status != BSQ_OK)
        return status;
    if ((*format)->needs.groups == BSQ_GROUPS_IGNORED) {
        held.scales = NULL;
        counts->scales = 0;
    }
    if ((status = bsq_tensor_check_buffers(&held, counts, message)) != BSQ_OK)
        return status;
    if (size != (size_t)parts->size)
        return bsq_fail(message, BSQ_E_SIZE, "%s: the buffer has %zu bytes, %zu are needed", (*format)->name, size,
                        (size_t)parts->size);
    return BSQ_OK;
}

/* What is wrong with a tensor anywhere is wrong with it in a format. */
static bsq_status_t refuse(const struct bsq_format *format, struct bsq_message *message)
{
    struct bsq_message cause = *message;

    return bsq_fail(message, BSQ_E_FORMAT, "%s: %s", format->name, cause.text);
}

bsq_status_t bsq_format_pack(const bsq_tensor_t *tensor, int32_t id, void *packed, size_t size,
                             struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;
    struct bsq_parts parts;
    bsq_status_t status = begin(tensor, id, &format, size, &counts, &parts, message);

    if (status != BSQ_OK)
        return status;
    if ((status = bsq_tensor_check_codes(tensor, counts.codes, format->symmetric, format->name, BSQ_E_FORMAT,
                                         message)) != BSQ_OK)
        return status;
    if (format->needs.groups != BSQ_GROUPS_IGNORED) {
        if (bsq_tensor_check_scales(tensor, &counts, message) != BSQ_OK)
            return refuse(format, message);
        if ((status = format->check(format, tensor, message)) != BSQ_OK)
            return status;
        memset(packed, 0, size);
    }
    format->pack(format, tensor, &parts, packed);
    return BSQ_OK;
}

/* Finds bytes between parts that are not 0. */
static bsq_status_t check_gaps(const struct bsq_format *format, const struct bsq_parts *parts,
                               const unsigned char *packed, struct bsq_message *message)
{
    int64_t end = 0;

    for (int32_t i = 0; i < parts->count; i++) {
        for (; end < parts->part[i].offset; end++)
            if (packed[end])
                return bsq_fail(message, BSQ_E_FORMAT, "%s: byte %" PRId64 ", between parts, is not 0", format->name,
                                end);
        end += parts->part[i].size;
    }
    return BSQ_OK;
}

bsq_status_t bsq_format_unpack(int32_t id, const void *packed, size_t size, bsq_tensor_t *tensor,
                               struct bsq_message *message)
{
    const struct bsq_format *format;
    struct bsq_tensor_counts counts;
    struct bsq_parts parts;
    bsq_status_t status = begin(tensor, id, &format, size, &counts, &parts, message);

    if (status != BSQ_OK || (status = check_gaps(format, &parts, packed, message)) != BSQ_OK)
        return status;
    return format->unpack(format, tensor, &parts, packed, message);
}
