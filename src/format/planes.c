/* Layouts of bit planes, 64 codes to a word. */
#include "format/families.h"

#include <inttypes.h>
#include <string.h>

/* ---- 64 codes at a time, for bit planes ------------------------------------------------------------------ */

enum { BLOCK = 64, WORD_BYTES = 8, MOST_PLANES = 7 };

/* Byte by byte, so that every host reads and writes little-endian; written out, compilers make one move of it. */
static inline uint64_t read_word(const unsigned char *bytes)
{
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 | (uint64_t)bytes[3] << 24 |
           (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 | (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

static inline void write_word(unsigned char *bytes, uint64_t word)
{
    bytes[0] = (unsigned char)word;
    bytes[1] = (unsigned char)(word >> 8);
    bytes[2] = (unsigned char)(word >> 16);
    bytes[3] = (unsigned char)(word >> 24);
    bytes[4] = (unsigned char)(word >> 32);
    bytes[5] = (unsigned char)(word >> 40);
    bytes[6] = (unsigned char)(word >> 48);
    bytes[7] = (unsigned char)(word >> 56);
}

/* Bit 'bit' of each of 64 bytes, byte k in bit k. */
static inline uint64_t gather_bits(const unsigned char values[BLOCK], int bit)
{
    const uint64_t lowest = UINT64_C(0x0101010101010101);
    uint64_t word = 0;

    /* The product moves the lowest bits of 8 bytes side by side into the upper byte. */
    for (int k = 0; k < BLOCK / 8; k++)
        word |= ((read_word(values + 8 * k) >> bit & lowest) * UINT64_C(0x0102040810204080) >> 56) << 8 * k;
    return word;
}

/* The other way round for 'planes' words: bit k of word m becomes bit m of byte k. */
static inline void scatter_bits(const uint64_t *words, int planes, unsigned char values[BLOCK])
{
    const uint64_t lowest = UINT64_C(0x0101010101010101);

    for (int k = 0; k < BLOCK / 8; k++) {
        uint64_t bytes = 0;

        for (int m = 0; m < planes; m++) {
            uint64_t spread = (words[m] >> 8 * k & 0xff) * lowest & UINT64_C(0x8040201008040201);

            bytes |= ((spread + 0x7f * lowest) >> 7 & lowest) << m;
        }
        write_word(values + 8 * k, bytes);
    }
}

/* Counts the 64-bit words that hold one bit of each of a channel's codes. */
static int64_t words_of(const bsq_tensor_t *tensor)
{
    return tensor->fan_in / BLOCK + (tensor->fan_in % BLOCK != 0);
}

static int64_t block_length(const bsq_tensor_t *tensor, int64_t word)
{
    return tensor->fan_in - word * BLOCK < BLOCK ? tensor->fan_in - word * BLOCK : BLOCK;
}

/* Bits of a word that have an input. */
static uint64_t used_bits(const bsq_tensor_t *tensor, int64_t word)
{
    return UINT64_MAX >> (BLOCK - block_length(tensor, word));
}

static int lowest_bit(uint64_t word)
{
    int bit = 0;

    while (!(word >> bit & 1))
        bit++;
    return bit;
}

/* Without a branch: signs are as good as random. 'negative' is 0 or 1. */
static inline int negate_if(int negative, int value)
{
    return (value ^ -negative) + negative;
}

struct magnitudes {
    unsigned char value[BLOCK];
    uint64_t negative;
};

static void read_magnitudes(const bsq_tensor_t *tensor, const int8_t *channel, int64_t word,
                            struct magnitudes *magnitudes)
{
    int64_t length = block_length(tensor, word);
    unsigned char sign[BLOCK] = {0};

    memset(magnitudes->value, 0, sizeof magnitudes->value);
    for (int64_t k = 0; k < length; k++) {
        int code = channel[word * BLOCK + k], negative = code < 0;

        sign[k] = (unsigned char)negative;
        magnitudes->value[k] = (unsigned char)negate_if(negative, code);
    }
    magnitudes->negative = gather_bits(sign, 0);
}

/* ---- ternary planes: for each channel and plane, positive words, then negative words ---------------------- */

static int64_t ternary_stride(const bsq_tensor_t *tensor)
{
    return 2 * (tensor->weight_bits - 1) * words_of(tensor) * WORD_BYTES;
}

bsq_status_t bsq_ternary_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                  struct bsq_message *message)
{
    const int64_t shape[] = {tensor->channels, 2 * (tensor->weight_bits - 1), words_of(tensor)};

    (void)format;
    return bsq_parts_add(parts, "planes", BSQ_ELEMENT_TYPE_UINT64, 3, shape, message);
}

void bsq_ternary_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                      unsigned char *packed)
{
    int64_t side = words_of(tensor) * WORD_BYTES;

    (void)format;
    (void)parts;
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++) {
            unsigned char *place = packed + o * ternary_stride(tensor) + w * WORD_BYTES;
            struct magnitudes block;

            read_magnitudes(tensor, tensor->codes + o * tensor->fan_in, w, &block);
            for (int m = 0; m < tensor->weight_bits - 1; m++) {
                uint64_t digits = gather_bits(block.value, m);

                write_word(place + 2 * m * side, digits & ~block.negative);
                write_word(place + (2 * m + 1) * side, digits & block.negative);
            }
        }
}

static bsq_status_t ternary_check_word(const bsq_tensor_t *tensor, const unsigned char *packed, int64_t channel,
                                       int64_t word, struct bsq_message *message)
{
    int64_t side = words_of(tensor) * WORD_BYTES;
    const unsigned char *place = packed + channel * ternary_stride(tensor) + word * WORD_BYTES;

    for (int m = 0; m < tensor->weight_bits - 1; m++) {
        uint64_t positive = read_word(place + 2 * m * side), negative = read_word(place + (2 * m + 1) * side);

        if (positive & negative)
            return bsq_fail(message, BSQ_E_FORMAT,
                            "channel %" PRId64 ", plane %d: both masks are set at input %" PRId64, channel, m,
                            word * BLOCK + lowest_bit(positive & negative));
        if ((positive | negative) & ~used_bits(tensor, word))
            return bsq_fail(message, BSQ_E_FORMAT,
                            "channel %" PRId64 ", plane %d: a mask has bits behind the last input", channel, m);
    }
    return BSQ_OK;
}

static void ternary_unpack_word(const bsq_tensor_t *tensor, const unsigned char *packed, int64_t channel, int64_t word)
{
    int64_t side = words_of(tensor) * WORD_BYTES, length = block_length(tensor, word);
    const unsigned char *place = packed + channel * ternary_stride(tensor) + word * WORD_BYTES;
    unsigned char positive[BLOCK], negative[BLOCK];
    uint64_t words[2][MOST_PLANES];

    for (int m = 0; m < tensor->weight_bits - 1; m++) {
        words[0][m] = read_word(place + 2 * m * side);
        words[1][m] = read_word(place + (2 * m + 1) * side);
    }
    scatter_bits(words[0], tensor->weight_bits - 1, positive);
    scatter_bits(words[1], tensor->weight_bits - 1, negative);
    for (int64_t k = 0; k < length; k++)
        tensor->codes[channel * tensor->fan_in + word * BLOCK + k] = (int8_t)(positive[k] - negative[k]);
}

bsq_status_t bsq_ternary_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                                const unsigned char *packed, struct bsq_message *message)
{
    (void)format;
    (void)parts;
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++) {
            bsq_status_t status = ternary_check_word(tensor, packed, o, w, message);

            if (status != BSQ_OK)
                return status;
        }
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++)
            ternary_unpack_word(tensor, packed, o, w);
    return BSQ_OK;
}

/* ---- sign and magnitude planes: for each channel, sign words, then the words of each magnitude bit -------- */

static int64_t signed_stride(const bsq_tensor_t *tensor)
{
    return tensor->weight_bits * words_of(tensor) * WORD_BYTES;
}

bsq_status_t bsq_signed_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                                 struct bsq_message *message)
{
    const int64_t shape[] = {tensor->channels, tensor->weight_bits, words_of(tensor)};

    (void)format;
    return bsq_parts_add(parts, "planes", BSQ_ELEMENT_TYPE_UINT64, 3, shape, message);
}

void bsq_signed_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                     unsigned char *packed)
{
    int64_t plane = words_of(tensor) * WORD_BYTES;

    (void)format;
    (void)parts;
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++) {
            unsigned char *place = packed + o * signed_stride(tensor) + w * WORD_BYTES;
            struct magnitudes block;

            read_magnitudes(tensor, tensor->codes + o * tensor->fan_in, w, &block);
            write_word(place, block.negative);
            for (int m = 0; m < tensor->weight_bits - 1; m++)
                write_word(place + (m + 1) * plane, gather_bits(block.value, m));
        }
}

static bsq_status_t signed_check_word(const bsq_tensor_t *tensor, const unsigned char *packed, int64_t channel,
                                      int64_t word, struct bsq_message *message)
{
    int64_t plane = words_of(tensor) * WORD_BYTES;
    const unsigned char *place = packed + channel * signed_stride(tensor) + word * WORD_BYTES;
    uint64_t negative = read_word(place), magnitude = 0;

    for (int m = 0; m < tensor->weight_bits - 1; m++)
        magnitude |= read_word(place + (m + 1) * plane);
    if ((negative | magnitude) & ~used_bits(tensor, word))
        return bsq_fail(message, BSQ_E_FORMAT, "channel %" PRId64 ": a plane has bits behind the last input", channel);
    if (negative & ~magnitude)
        return bsq_fail(message, BSQ_E_FORMAT, "channel %" PRId64 ": a sign without magnitude at input %" PRId64,
                        channel, word * BLOCK + lowest_bit(negative & ~magnitude));
    return BSQ_OK;
}

static void signed_unpack_word(const bsq_tensor_t *tensor, const unsigned char *packed, int64_t channel, int64_t word)
{
    int64_t plane = words_of(tensor) * WORD_BYTES, length = block_length(tensor, word);
    const unsigned char *place = packed + channel * signed_stride(tensor) + word * WORD_BYTES;
    unsigned char sign[BLOCK], magnitude[BLOCK];
    uint64_t words[1 + MOST_PLANES];

    for (int m = 0; m < tensor->weight_bits; m++)
        words[m] = read_word(place + m * plane);
    scatter_bits(words, 1, sign);
    scatter_bits(words + 1, tensor->weight_bits - 1, magnitude);
    for (int64_t k = 0; k < length; k++)
        tensor->codes[channel * tensor->fan_in + word * BLOCK + k] = (int8_t)negate_if(sign[k], magnitude[k]);
}

bsq_status_t bsq_signed_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                               const unsigned char *packed, struct bsq_message *message)
{
    (void)format;
    (void)parts;
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++) {
            bsq_status_t status = signed_check_word(tensor, packed, o, w, message);

            if (status != BSQ_OK)
                return status;
        }
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < words_of(tensor); w++)
            signed_unpack_word(tensor, packed, o, w);
    return BSQ_OK;
}
