/* GGUF's blocks of one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL and MXFP4 of 32 codes, TQ2_0 of 256. */
#include "format/gguf.h"

#include "format/families.h"
#include "format/fields.h"

#include <math.h>

enum { LENGTH = 32, HALF = LENGTH / 2 };

static const char scale_is_none[] = "the scale is not a float16";
static const char offset_is_none[] = "the offset is not a float16";

/* ---- parts of blocks ---- */

/* Byte j holds code j low and code j + 16 high. */
static void write_nibbles(const uint8_t *fields, unsigned char *bytes)
{
    for (int j = 0; j < HALF; j++)
        bytes[j] = (unsigned char)((fields[j] & 15) | (fields[j + HALF] & 15) << 4);
}

static void read_nibbles(const unsigned char *bytes, uint8_t *fields)
{
    for (int j = 0; j < HALF; j++) {
        fields[j] = bytes[j] & 15;
        fields[j + HALF] = bytes[j] >> 4;
    }
}

/* Bit j of 32 is the fifth of code j. */
static void write_fifth_bits(const uint8_t *fields, unsigned char *bytes)
{
    for (int j = 0; j < LENGTH; j++)
        bytes[j / 8] = (unsigned char)(bytes[j / 8] | (fields[j] >> 4 & 1) << j % 8);
}

static void add_fifth_bits(const unsigned char *bytes, uint8_t *fields)
{
    for (int j = 0; j < LENGTH; j++)
        fields[j] = (uint8_t)(fields[j] | (bytes[j / 8] >> j % 8 & 1) << 4);
}

static void read_scale(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    block->scales[0] = block->shared = bsq_gguf_read_half(bytes);
}

/* ---- Q4_0, IQ4_NL: scale, nibbles ---- */

static const char *write_q4_0(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    write_nibbles(block->fields, bytes + 2);
    return bsq_gguf_write_half(block->scales[0], bytes) ? NULL : scale_is_none;
}

static const char *read_q4_0(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes, block);
    read_nibbles(bytes + 2, block->fields);
    return NULL;
}

/* ---- Q4_1: scale, offset, nibbles ---- */

static const char *write_q4_1(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    if (!bsq_gguf_write_half(block->offsets[0], bytes + 2))
        return offset_is_none;
    write_nibbles(block->fields, bytes + 4);
    return bsq_gguf_write_half(block->scales[0], bytes) ? NULL : scale_is_none;
}

static const char *read_q4_1(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes, block);
    block->offsets[0] = bsq_gguf_read_half(bytes + 2);
    read_nibbles(bytes + 4, block->fields);
    return NULL;
}

/* ---- Q5_0, Q5_1: the same with fifth bits before the nibbles ---- */

static const char *write_q5_0(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    write_fifth_bits(block->fields, bytes + 2);
    write_nibbles(block->fields, bytes + 6);
    return bsq_gguf_write_half(block->scales[0], bytes) ? NULL : scale_is_none;
}

static const char *read_q5_0(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes, block);
    read_nibbles(bytes + 6, block->fields);
    add_fifth_bits(bytes + 2, block->fields);
    return NULL;
}

static const char *write_q5_1(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    if (!bsq_gguf_write_half(block->offsets[0], bytes + 2))
        return offset_is_none;
    write_fifth_bits(block->fields, bytes + 4);
    write_nibbles(block->fields, bytes + 8);
    return bsq_gguf_write_half(block->scales[0], bytes) ? NULL : scale_is_none;
}

static const char *read_q5_1(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes, block);
    block->offsets[0] = bsq_gguf_read_half(bytes + 2);
    read_nibbles(bytes + 8, block->fields);
    add_fifth_bits(bytes + 4, block->fields);
    return NULL;
}

/* ---- Q8_0: scale, int8 ---- */

static const char *write_q8_0(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    for (int j = 0; j < LENGTH; j++)
        bytes[2 + j] = (unsigned char)(block->fields[j] - 128);
    return bsq_gguf_write_half(block->scales[0], bytes) ? NULL : scale_is_none;
}

static const char *read_q8_0(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes, block);
    for (int j = 0; j < LENGTH; j++)
        block->fields[j] = (uint8_t)(bytes[2 + j] + 128);
    return NULL;
}

/* ---- MXFP4: exponent, nibbles ---- */

enum { EXPONENT_BIAS = 128 }; /* 127, and 1 as levels are twice the values */

static const char *write_mxfp4(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    uint8_t fields[LENGTH];
    int exponent = ilogbf(block->scales[0]) + EXPONENT_BIAS;

    if (exponent > 254 || ldexpf(1.0f, exponent - EXPONENT_BIAS) < block->scales[0])
        return "the scale is not a power of two up to 2^126";
    for (int j = 0; j < LENGTH; j++)
        fields[j] = (uint8_t)bsq_e2m1_bits(block->fields[j]);
    bytes[0] = (unsigned char)exponent;
    write_nibbles(fields, bytes + 1);
    return NULL;
}

static const char *read_mxfp4(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    if (bytes[0] == 255)
        return "the scale is NaN";
    block->scales[0] = block->shared = ldexpf(1.0f, bytes[0] - EXPONENT_BIAS);
    read_nibbles(bytes + 1, block->fields);
    for (int j = 0; j < LENGTH; j++)
        block->fields[j] = (uint8_t)bsq_e2m1_code(block->fields[j]);
    return NULL;
}

/* ---- TQ2_0: digits + 1 in two bits, scale; byte j of each half holds codes j, j + 32, j + 64, j + 96 of it ---- */

enum { TERNARY_LENGTH = 256, TERNARY_BYTES = TERNARY_LENGTH / 4 };

static const char *write_tq2_0(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    for (int k = 0; k < TERNARY_LENGTH; k++) {
        unsigned char *byte = &bytes[k / 128 * 32 + k % 32];

        *byte = (unsigned char)(*byte | (block->fields[k] - 1) << 2 * (k % 128 / 32));
    }
    return bsq_gguf_write_half(block->scales[0], bytes + TERNARY_BYTES) ? NULL : scale_is_none;
}

static const char *read_tq2_0(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_scale(bytes + TERNARY_BYTES, block);
    for (int k = 0; k < TERNARY_LENGTH; k++)
        block->fields[k] = (uint8_t)((bytes[k / 128 * 32 + k % 32] >> 2 * (k % 128 / 32) & 3) + 1);
    return NULL;
}

const struct bsq_gguf_layout bsq_gguf_q4_0 = {LENGTH, 18, write_q4_0, read_q4_0};
const struct bsq_gguf_layout bsq_gguf_q4_1 = {LENGTH, 20, write_q4_1, read_q4_1};
const struct bsq_gguf_layout bsq_gguf_q5_0 = {LENGTH, 22, write_q5_0, read_q5_0};
const struct bsq_gguf_layout bsq_gguf_q5_1 = {LENGTH, 24, write_q5_1, read_q5_1};
const struct bsq_gguf_layout bsq_gguf_q8_0 = {LENGTH, 34, write_q8_0, read_q8_0};
const struct bsq_gguf_layout bsq_gguf_iq4_nl = {LENGTH, 18, write_q4_0, read_q4_0};
const struct bsq_gguf_layout bsq_gguf_mxfp4 = {LENGTH, 17, write_mxfp4, read_mxfp4};
const struct bsq_gguf_layout bsq_gguf_tq2_0 = {TERNARY_LENGTH, 66, write_tq2_0, read_tq2_0};
