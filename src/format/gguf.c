/* Blocks of GGUF files along the rows of a tensor. */
#include "format/gguf.h"

#include "base/small_float.h"
#include "base/tensor.h"
#include "format/arrays.h"
#include "format/families.h"

#include <inttypes.h>
#include <math.h>

bool bsq_gguf_write_half(float x, unsigned char *bytes)
{
    uint16_t half;

    if (!bsq_float16_write(x, &half))
        return false;
    bytes[0] = (unsigned char)half;
    bytes[1] = (unsigned char)(half >> 8);
    return true;
}

float bsq_gguf_read_half(const unsigned char *bytes)
{
    return bsq_float16_read((uint16_t)(bytes[0] | bytes[1] << 8));
}

static const struct bsq_gguf_layout *layout_of(const struct bsq_format *format)
{
    return (const struct bsq_gguf_layout *)format->layout;
}

bsq_status_t bsq_gguf_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                               struct bsq_message *message)
{
    const struct bsq_gguf_layout *layout = layout_of(format);
    const int64_t shape[] = {tensor->channels, tensor->fan_in / layout->length, layout->bytes};

    return bsq_parts_add(parts, "blocks", BSQ_ELEMENT_TYPE_UINT8, 3, shape, message);
}

/* ---- between tensors and blocks -------------------------------------------------------------------------- */

/* Looks at block 'index' of a tensor as at a tensor of its own, buffers and all. */
static bsq_tensor_t block_of(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t index)
{
    int64_t length = layout_of(format)->length, scales = length / tensor->group_size;
    bsq_tensor_t block = *tensor;

    block.channels = 1;
    block.fan_in = block.code_count = length;
    block.codes = tensor->codes + index * length;
    block.scales = tensor->scales + index * scales;
    if (tensor->weight_grid == BSQ_WEIGHT_GRID_OFFSET)
        block.offsets = tensor->offsets + index * scales;
    return block;
}

static int64_t blocks_of(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    return tensor->channels * (tensor->fan_in / layout_of(format)->length);
}

static void take_apart(const bsq_tensor_t *from, struct bsq_gguf_block *block)
{
    int32_t shift = bsq_code_shift(from);
    struct bsq_grid grid;

    bsq_tensor_grid(from, &grid);
    for (int64_t k = 0; k < from->fan_in; k++)
        block->fields[k] = (uint8_t)(bsq_grid_code(&grid, from->codes, k) + shift);
    for (int64_t g = 0; g < from->fan_in / from->group_size; g++) {
        block->scales[g] = from->scales[g];
        block->offsets[g] = from->weight_grid == BSQ_WEIGHT_GRID_OFFSET ? from->offsets[g] : 0.0f;
    }
}

/* A scale of 0 makes all weights 0, or all offsets: so do codes of 0 with a scale that is not 0, where there is a code
 * of 0. */
static void replace_zero_scales(const bsq_tensor_t *to, struct bsq_gguf_block *block)
{
    int32_t zero = bsq_code_shift(to);

    if (bsq_grid_is_table(to->weight_grid))
        return;
    for (int64_t g = 0; g < to->fan_in / to->group_size; g++) {
        if (block->scales[g] < 0.0f || block->scales[g] > 0.0f || isnan(block->scales[g]))
            continue;
        block->scales[g] = block->shared < 0.0f || block->shared > 0.0f ? block->shared : 0x1p-14f;
        for (int64_t k = 0; k < to->group_size; k++)
            block->fields[g * to->group_size + k] = (uint8_t)zero;
    }
}

static void put_together(const struct bsq_gguf_block *block, bsq_tensor_t *to)
{
    int32_t shift = bsq_code_shift(to);

    for (int64_t k = 0; k < to->fan_in; k++)
        to->codes[k] = (int8_t)(block->fields[k] - shift);
    for (int64_t g = 0; g < to->fan_in / to->group_size; g++) {
        to->scales[g] = block->scales[g];
        if (to->weight_grid == BSQ_WEIGHT_GRID_OFFSET)
            to->offsets[g] = block->offsets[g];
    }
}

static bsq_status_t fail_block(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t index,
                               const char *why, struct bsq_message *message)
{
    int64_t along = tensor->fan_in / layout_of(format)->length;

    return bsq_fail(message, BSQ_E_FORMAT, "%s, block %" PRId64 " of channel %" PRId64 ": %s", format->name,
                    index % along, index / along, why);
}

/* ---- pack and unpack ------------------------------------------------------------------------------------- */

bsq_status_t bsq_gguf_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    for (int64_t i = 0; i < blocks_of(format, tensor); i++) {
        unsigned char bytes[BSQ_GGUF_MOST_CODES + 32] = {0};
        bsq_tensor_t from = block_of(format, tensor, i);
        struct bsq_gguf_block block;
        const char *why;

        take_apart(&from, &block);
        if ((why = layout_of(format)->write(&block, bytes)) != NULL)
            return fail_block(format, tensor, i, why, message);
    }
    return BSQ_OK;
}

void bsq_gguf_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                   unsigned char *packed)
{
    (void)parts;
    for (int64_t i = 0; i < blocks_of(format, tensor); i++) {
        bsq_tensor_t from = block_of(format, tensor, i);
        struct bsq_gguf_block block;

        take_apart(&from, &block);
        (void)layout_of(format)->write(&block, packed + i * layout_of(format)->bytes);
    }
}

/* Reads a block into buffers of its own, and holds it against what the tensor takes. */
static bsq_status_t check_block(const struct bsq_format *format, const bsq_tensor_t *tensor, const unsigned char *bytes,
                                int64_t index, struct bsq_message *message)
{
    int8_t codes[BSQ_GGUF_MOST_CODES];
    float scales[BSQ_GGUF_MOST_SCALES], offsets[BSQ_GGUF_MOST_SCALES];
    bsq_tensor_t to = block_of(format, tensor, index);
    struct bsq_tensor_counts counts;
    struct bsq_gguf_block block;
    struct bsq_message cause;
    const char *why = layout_of(format)->read(bytes, &block);

    if (why)
        return fail_block(format, tensor, index, why, message);
    to.codes = codes;
    to.scales = scales;
    to.offsets = offsets;
    replace_zero_scales(&to, &block);
    put_together(&block, &to);
    if (bsq_tensor_count(&to, &counts, &cause) != BSQ_OK ||
        bsq_tensor_check_codes(&to, counts.codes, false, "codes", BSQ_E_FORMAT, &cause) != BSQ_OK ||
        bsq_tensor_check_scales(&to, &counts, &cause) != BSQ_OK)
        return fail_block(format, tensor, index, cause.text, message);
    return BSQ_OK;
}

bsq_status_t bsq_gguf_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                             const unsigned char *packed, struct bsq_message *message)
{
    int64_t bytes = layout_of(format)->bytes, count = blocks_of(format, tensor);
    struct bsq_gguf_block block;

    (void)parts;
    for (int64_t i = 0; i < count; i++) {
        bsq_status_t status = check_block(format, tensor, packed + i * bytes, i, message);

        if (status != BSQ_OK)
            return status;
    }
    for (int64_t i = 0; i < count; i++) {
        bsq_tensor_t to = block_of(format, tensor, i);

        (void)layout_of(format)->read(packed + i * bytes, &block);
        replace_zero_scales(&to, &block);
        put_together(&block, &to);
    }
    return BSQ_OK;
}
