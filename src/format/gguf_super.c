/* GGUF's blocks of 256 codes with two-level scales: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K and IQ4_XS. */
#include "format/gguf.h"

#include "base/two_level.h"
#include "format/families.h"

enum { LENGTH = 256 };

static const char scales_are_none[] = "the scales are not integers times a float16";
static const char offsets_are_none[] = "the offsets are not integers times a float16";

/* ---- scales ---- */

static bool split_scales(const struct bsq_gguf_block *block, int count, int bits, bool is_signed, float *shared,
                         int32_t *integers)
{
    struct bsq_two_level rule = bsq_two_level_scales(BSQ_SCALE_FORMAT_FLOAT16, bits, is_signed);

    return bsq_two_level_split(&rule, block->scales, count, 1.0f, shared, integers);
}

static bool split_offsets(const struct bsq_gguf_block *block, int count, int bits, float *shared, int32_t *integers)
{
    struct bsq_two_level rule = bsq_two_level_offsets(BSQ_SCALE_FORMAT_FLOAT16, bits);

    return bsq_two_level_split(&rule, block->offsets, count, -1.0f, shared, integers);
}

static void set_scale(struct bsq_gguf_block *block, int index, int integer)
{
    block->scales[index] = block->shared * (float)integer;
}

/* ---- codes: bits 2 p and 2 p + 1 of byte j of each 128 belong to code 32 p + j ---- */

static void write_pairs(const uint8_t *fields, unsigned char *bytes)
{
    for (int k = 0; k < LENGTH; k++) {
        unsigned char *byte = &bytes[k / 128 * 32 + k % 32];

        *byte = (unsigned char)(*byte | (fields[k] & 3) << 2 * (k % 128 / 32));
    }
}

static uint8_t read_pair(const unsigned char *bytes, int k)
{
    return bytes[k / 128 * 32 + k % 32] >> 2 * (k % 128 / 32) & 3;
}

/* ... or the low nibble of byte j of each 32 to code j of 64, the high one to code j + 32. */
static void write_nibbles(const uint8_t *fields, unsigned char *bytes)
{
    for (int k = 0; k < LENGTH; k++) {
        unsigned char *byte = &bytes[k / 64 * 32 + k % 32];

        *byte = (unsigned char)(*byte | (fields[k] & 15) << 4 * (k % 64 / 32));
    }
}

static uint8_t read_nibble(const unsigned char *bytes, int k)
{
    return bytes[k / 64 * 32 + k % 32] >> 4 * (k % 64 / 32) & 15;
}

/* ... or bit p of byte j to code 32 p + j. */
static void write_bits(const uint8_t *fields, int from, unsigned char *bytes)
{
    for (int k = 0; k < LENGTH; k++)
        bytes[k % 32] = (unsigned char)(bytes[k % 32] | (fields[k] >> from & 1) << k / 32);
}

static uint8_t read_bit(const unsigned char *bytes, int k)
{
    return bytes[k % 32] >> k / 32 & 1;
}

/* ---- Q2_K: a byte of scale and offset for each 16 codes, pairs, shared scale, shared offset ---- */

static const char *write_q2_k(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    int32_t scales[16], offsets[16];
    float scale, offset;

    if (!split_scales(block, 16, 4, false, &scale, scales) || !bsq_gguf_write_half(scale, bytes + 80))
        return scales_are_none;
    if (!split_offsets(block, 16, 4, &offset, offsets) || !bsq_gguf_write_half(offset, bytes + 82))
        return offsets_are_none;
    for (int g = 0; g < 16; g++)
        bytes[g] = (unsigned char)(scales[g] | offsets[g] << 4);
    write_pairs(block->fields, bytes + 16);
    return NULL;
}

static const char *read_q2_k(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    float offset = bsq_gguf_read_half(bytes + 82);

    block->shared = bsq_gguf_read_half(bytes + 80);
    for (int g = 0; g < 16; g++) {
        set_scale(block, g, bytes[g] & 15);
        block->offsets[g] = -offset * (float)(bytes[g] >> 4);
    }
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = read_pair(bytes + 16, k);
    return NULL;
}

/* ---- Q3_K: third bits, pairs, 16 scales of 6 bits, shared scale ---- */

/* Bytes 0..7 hold the low 4 bits of scales g and g + 8, bytes 8..11 two bits each of scales g, g + 4, g + 8, g + 12. */
static void write_scales_of_16(const int32_t *scales, unsigned char *bytes)
{
    for (int g = 0; g < 16; g++) {
        int field = scales[g] + 32;

        bytes[g % 8] = (unsigned char)(bytes[g % 8] | (field & 15) << 4 * (g / 8));
        bytes[8 + g % 4] = (unsigned char)(bytes[8 + g % 4] | (field >> 4) << 2 * (g / 4));
    }
}

static int read_scale_of_16(const unsigned char *bytes, int g)
{
    return ((bytes[g % 8] >> 4 * (g / 8) & 15) | (bytes[8 + g % 4] >> 2 * (g / 4) & 3) << 4) - 32;
}

static const char *write_q3_k(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    int32_t scales[16];
    float scale;

    if (!split_scales(block, 16, 6, true, &scale, scales) || !bsq_gguf_write_half(scale, bytes + 108))
        return scales_are_none;
    write_bits(block->fields, 2, bytes);
    write_pairs(block->fields, bytes + 32);
    write_scales_of_16(scales, bytes + 96);
    return NULL;
}

static const char *read_q3_k(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    block->shared = bsq_gguf_read_half(bytes + 108);
    for (int g = 0; g < 16; g++)
        set_scale(block, g, read_scale_of_16(bytes + 96, g));
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = (uint8_t)(read_pair(bytes + 32, k) | read_bit(bytes, k) << 2);
    return NULL;
}

/* ---- Q4_K: shared scale, shared offset, 8 scales and 8 offsets of 6 bits, nibbles ---- */

/* Bytes 0..3 and 4..7 hold scales and offsets 0..3; bytes 8..11 the low 4 bits of scale and offset 4..7, whose upper
 * two bits stand above those of 0..3. */
static void write_scales_of_8(const int32_t *scales, const int32_t *offsets, unsigned char *bytes)
{
    for (int g = 0; g < 4; g++) {
        bytes[g] = (unsigned char)(scales[g] | scales[g + 4] >> 4 << 6);
        bytes[g + 4] = (unsigned char)(offsets[g] | offsets[g + 4] >> 4 << 6);
        bytes[g + 8] = (unsigned char)((scales[g + 4] & 15) | (offsets[g + 4] & 15) << 4);
    }
}

static int read_scale_of_8(const unsigned char *bytes, int g)
{
    return g < 4 ? bytes[g] & 63 : (bytes[g + 4] & 15) | bytes[g - 4] >> 6 << 4;
}

static int read_offset_of_8(const unsigned char *bytes, int g)
{
    return g < 4 ? bytes[g + 4] & 63 : bytes[g + 4] >> 4 | bytes[g] >> 6 << 4;
}

/* The 16 bytes that Q4_K and Q5_K begin with. */
static const char *write_head(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    int32_t scales[8], offsets[8];
    float scale, offset;

    if (!split_scales(block, 8, 6, false, &scale, scales) || !bsq_gguf_write_half(scale, bytes))
        return scales_are_none;
    if (!split_offsets(block, 8, 6, &offset, offsets) || !bsq_gguf_write_half(offset, bytes + 2))
        return offsets_are_none;
    write_scales_of_8(scales, offsets, bytes + 4);
    return NULL;
}

static void read_head(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    float offset = bsq_gguf_read_half(bytes + 2);

    block->shared = bsq_gguf_read_half(bytes);
    for (int g = 0; g < 8; g++) {
        set_scale(block, g, read_scale_of_8(bytes + 4, g));
        block->offsets[g] = -offset * (float)read_offset_of_8(bytes + 4, g);
    }
}

static const char *write_q4_k(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    write_nibbles(block->fields, bytes + 16);
    return write_head(block, bytes);
}

static const char *read_q4_k(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_head(bytes, block);
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = read_nibble(bytes + 16, k);
    return NULL;
}

/* ---- Q5_K: the same with fifth bits before the nibbles ---- */

static const char *write_q5_k(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    write_bits(block->fields, 4, bytes + 16);
    write_nibbles(block->fields, bytes + 48);
    return write_head(block, bytes);
}

static const char *read_q5_k(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    read_head(bytes, block);
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = (uint8_t)(read_nibble(bytes + 48, k) | read_bit(bytes + 16, k) << 4);
    return NULL;
}

/* ---- Q6_K: low nibbles, upper pairs, 16 int8 scales, shared scale ---- */

/* The low nibbles: byte j of each 64 holds codes j and j + 64 of 128. */
static int low_byte(int k)
{
    return k / 128 * 64 + k % 64;
}

static const char *write_q6_k(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    uint8_t upper[LENGTH];
    int32_t scales[16];
    float scale;

    if (!split_scales(block, 16, 8, true, &scale, scales) || !bsq_gguf_write_half(scale, bytes + 208))
        return scales_are_none;
    for (int k = 0; k < LENGTH; k++) {
        unsigned char *byte = &bytes[low_byte(k)];

        *byte = (unsigned char)(*byte | (block->fields[k] & 15) << 4 * (k % 128 / 64));
        upper[k] = block->fields[k] >> 4;
    }
    write_pairs(upper, bytes + 128);
    for (int g = 0; g < 16; g++)
        bytes[192 + g] = (unsigned char)scales[g];
    return NULL;
}

static const char *read_q6_k(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    block->shared = bsq_gguf_read_half(bytes + 208);
    for (int g = 0; g < 16; g++)
        set_scale(block, g, (int8_t)bytes[192 + g]);
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = (uint8_t)((bytes[low_byte(k)] >> 4 * (k % 128 / 64) & 15) | read_pair(bytes + 128, k) << 4);
    return NULL;
}

/* ---- IQ4_XS: shared scale, upper two bits and low nibbles of 8 scales, nibbles ---- */

/* The nibbles: byte j of each 16 holds codes j and j + 16 of 32. */
static int near_byte(int k)
{
    return 8 + k / 32 * 16 + k % 16;
}

static const char *write_iq4_xs(const struct bsq_gguf_block *block, unsigned char *bytes)
{
    int32_t scales[8];
    float scale;

    if (!split_scales(block, 8, 6, true, &scale, scales) || !bsq_gguf_write_half(scale, bytes))
        return scales_are_none;
    for (int g = 0; g < 8; g++) {
        int field = scales[g] + 32;

        bytes[2 + g / 4] = (unsigned char)(bytes[2 + g / 4] | (field >> 4) << 2 * (g % 4));
        bytes[4 + g / 2] = (unsigned char)(bytes[4 + g / 2] | (field & 15) << 4 * (g % 2));
    }
    for (int k = 0; k < LENGTH; k++)
        bytes[near_byte(k)] = (unsigned char)(bytes[near_byte(k)] | block->fields[k] << 4 * (k % 32 / 16));
    return NULL;
}

static const char *read_iq4_xs(const unsigned char *bytes, struct bsq_gguf_block *block)
{
    block->shared = bsq_gguf_read_half(bytes);
    for (int g = 0; g < 8; g++)
        set_scale(block, g, ((bytes[4 + g / 2] >> 4 * (g % 2) & 15) | (bytes[2 + g / 4] >> 2 * (g % 4) & 3) << 4) - 32);
    for (int k = 0; k < LENGTH; k++)
        block->fields[k] = bytes[near_byte(k)] >> 4 * (k % 32 / 16) & 15;
    return NULL;
}

const struct bsq_gguf_layout bsq_gguf_q2_k = {LENGTH, 84, write_q2_k, read_q2_k};
const struct bsq_gguf_layout bsq_gguf_q3_k = {LENGTH, 110, write_q3_k, read_q3_k};
const struct bsq_gguf_layout bsq_gguf_q4_k = {LENGTH, 144, write_q4_k, read_q4_k};
const struct bsq_gguf_layout bsq_gguf_q5_k = {LENGTH, 176, write_q5_k, read_q5_k};
const struct bsq_gguf_layout bsq_gguf_q6_k = {LENGTH, 210, write_q6_k, read_q6_k};
const struct bsq_gguf_layout bsq_gguf_iq4_xs = {LENGTH, 136, write_iq4_xs, read_iq4_xs};
