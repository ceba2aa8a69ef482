/* Arrays of codes, scales, zero points and offsets in packed tensors, checked before anything is written. */
#include "format/arrays.h"

#include "base/small_float.h"
#include "base/tensor.h"

#include <inttypes.h>
#include <string.h>

uint32_t bsq_word_read(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void bsq_word_write(unsigned char *bytes, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(word >> 8 * i);
}

float bsq_float32_read(const unsigned char *bytes)
{
    uint32_t word = bsq_word_read(bytes);
    float x;

    memcpy(&x, &word, sizeof x);
    return x;
}

void bsq_float32_write(unsigned char *bytes, float x)
{
    uint32_t word;

    memcpy(&word, &x, sizeof word);
    bsq_word_write(bytes, word);
}

/* ---- scales and offsets ---------------------------------------------------------------------------------- */

int32_t bsq_element_type_of_scales(const bsq_tensor_t *tensor)
{
    switch (tensor->scale_format) {
    case BSQ_SCALE_FORMAT_FLOAT16: return BSQ_ELEMENT_TYPE_FLOAT16;
    case BSQ_SCALE_FORMAT_BFLOAT16: return BSQ_ELEMENT_TYPE_BFLOAT16;
    default: return BSQ_ELEMENT_TYPE_FLOAT32;
    }
}

static const char *element_name(int32_t element_type)
{
    return element_type == BSQ_ELEMENT_TYPE_FLOAT16 ? "float16" : "bfloat16";
}

/* The 16 bits of a number; false when it is none of that type. */
static bool write_half(int32_t element_type, float x, uint16_t *half)
{
    return element_type == BSQ_ELEMENT_TYPE_FLOAT16 ? bsq_float16_write(x, half) : bsq_bfloat16_write(x, half);
}

static int64_t count_of(const bsq_tensor_t *tensor)
{
    return tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : tensor->channels * bsq_format_groups_of(tensor);
}

bsq_status_t bsq_numbers_check(const struct bsq_format *format, const bsq_tensor_t *tensor, const float *from,
                               int32_t element_type, const char *what, struct bsq_message *message)
{
    uint16_t half;

    for (int64_t i = 0; element_type != BSQ_ELEMENT_TYPE_FLOAT32 && i < count_of(tensor); i++)
        if (!write_half(element_type, from[i], &half))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: %s[%" PRId64 "] is %.9g, not a %s", format->name, what, i,
                            (double)from[i], element_name(element_type));
    return BSQ_OK;
}

/* Where the number of scale i stands. */
static int64_t element_of(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, int64_t i)
{
    int64_t groups = bsq_format_groups_of(tensor);

    return i / groups * numbers->channel_step + i % groups * numbers->group_step;
}

void bsq_numbers_pack(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, const float *from,
                      unsigned char *packed)
{
    for (int64_t i = 0; i < count_of(tensor); i++) {
        int64_t element = element_of(numbers, tensor, i);
        uint16_t half = 0;

        if (numbers->element_type == BSQ_ELEMENT_TYPE_FLOAT32) {
            bsq_float32_write(packed + 4 * element, from[i]);
            continue;
        }
        (void)write_half(numbers->element_type, from[i], &half);
        packed[2 * element] = (unsigned char)half;
        packed[2 * element + 1] = (unsigned char)(half >> 8);
    }
}

static float read_number(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, const unsigned char *packed,
                         int64_t i)
{
    int64_t element = element_of(numbers, tensor, i);
    uint16_t half;

    if (numbers->element_type == BSQ_ELEMENT_TYPE_FLOAT32)
        return bsq_float32_read(packed + 4 * element);
    half = (uint16_t)(packed[2 * element] | packed[2 * element + 1] << 8);
    return numbers->element_type == BSQ_ELEMENT_TYPE_FLOAT16 ? bsq_float16_read(half) : bsq_bfloat16_read(half);
}

bsq_status_t bsq_numbers_check_packed(const struct bsq_format *format, const struct bsq_numbers *numbers,
                                      const bsq_tensor_t *tensor, const unsigned char *packed, bool offsets,
                                      struct bsq_message *message)
{
    for (int64_t i = 0; i < count_of(tensor); i++) {
        float x = read_number(numbers, tensor, packed, i);

        if (!(offsets ? bsq_tensor_takes_offset(tensor, x) : bsq_tensor_takes_scale(tensor, x)))
            return bsq_fail(message, BSQ_E_FORMAT, "%s: %s[%" PRId64 "] is %.9g, which the tensor cannot hold",
                            format->name, numbers->what, i, (double)x);
    }
    return BSQ_OK;
}

void bsq_numbers_unpack(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, const unsigned char *packed,
                        float *to)
{
    for (int64_t i = 0; i < count_of(tensor); i++)
        to[i] = read_number(numbers, tensor, packed, i);
}

/* ---- codes and zero points ------------------------------------------------------------------------------- */

int32_t bsq_code_shift(const bsq_tensor_t *tensor)
{
    bool around_zero = tensor->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC || tensor->weight_grid == BSQ_WEIGHT_GRID_FULL;

    return around_zero ? 1 << (tensor->weight_bits - 1) : 0;
}

int32_t bsq_zero_of(const bsq_tensor_t *tensor, int64_t scale)
{
    return tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT ? tensor->zero_points[scale] : bsq_code_shift(tensor);
}
