/* Layouts of codes in memory. A format is one row of the table at the end and the functions that the row names. */
#include "format/pack.h"

#include "kernels/kernels.h"
#include "base/memory.h"

#include <inttypes.h>
#include <string.h>

/* A tensor of codes; 'words' is how many 64-bit words hold one bit of each of a channel's codes. */
struct tensor {
    int32_t bits;
    int64_t channels;
    int64_t fan_in;
    int64_t count;
    int64_t words;
};

struct format {
    int32_t id;
    const char *name;
    int32_t most_bits;
    bool symmetric; /* cannot hold -2^(bits-1) */
    bool (*bytes)(const struct tensor *tensor, int64_t *bytes); /* false when the number does not fit */
    void (*pack)(const struct tensor *tensor, const int8_t *codes, unsigned char *packed);
    /* Writes 'codes' only after all of 'packed' was found to be valid. */
    bsq_status_t (*unpack)(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                           struct bsq_message *message);
};

/* ---- codes one after the other --------------------------------------------------------------------------- */

/* The code at 'index' of codes of 'width' bits, low bits first. */
static inline int field_code(const unsigned char *packed, int64_t index, int width)
{
    int per_byte = 8 / width, half = 1 << (width - 1);
    int field = packed[index / per_byte] >> (int)(index % per_byte) * width & (2 * half - 1);

    return (field ^ half) - half;
}

/* Whole bytes in one go, then what is left of the last one. */
static void pack_fields(const struct tensor *tensor, const int8_t *codes, unsigned char *packed, int width,
                        void (*pack)(const int8_t *codes, int64_t count, unsigned char *packed))
{
    int per_byte = 8 / width, mask = (1 << width) - 1, rest = (int)(tensor->count % per_byte), byte = 0;
    int64_t whole = tensor->count - rest;

    pack(codes, whole, packed);
    for (int k = 0; k < rest; k++)
        byte |= (codes[whole + k] & mask) << k * width;
    if (rest)
        packed[whole / per_byte] = (unsigned char)byte;
}

static inline bsq_status_t check_fields(const struct tensor *tensor, const unsigned char *packed, int width,
                                        struct bsq_message *message)
{
    int half = 1 << (tensor->bits - 1), per_byte = 8 / width, rest = (int)(tensor->count % per_byte);

    if (rest && packed[tensor->count / per_byte] >> rest * width)
        return bsq_fail(message, BSQ_E_FORMAT, "the last byte has bits behind the last code");
    if (tensor->bits == width)
        return BSQ_OK;
    for (int64_t i = 0; i < tensor->count; i++) {
        int code = field_code(packed, i, width);

        if (code < -half || code >= half)
            return bsq_fail(message, BSQ_E_FORMAT, "code %d at index %" PRId64 " has more than %d bits", code, i,
                            (int)tensor->bits);
    }
    return BSQ_OK;
}

static bsq_status_t unpack_fields(const struct tensor *tensor, const unsigned char *packed, int8_t *codes, int width,
                                  void (*unpack)(const unsigned char *packed, int64_t count, int8_t *codes),
                                  struct bsq_message *message)
{
    bsq_status_t status = check_fields(tensor, packed, width, message);
    int64_t whole = tensor->count - tensor->count % (8 / width);

    if (status != BSQ_OK)
        return status;
    unpack(packed, whole, codes);
    for (int64_t i = whole; i < tensor->count; i++)
        codes[i] = (int8_t)field_code(packed, i, width);
    return BSQ_OK;
}

static bool int8_bytes(const struct tensor *tensor, int64_t *bytes)
{
    *bytes = tensor->count;
    return true;
}

static void int8_pack(const struct tensor *tensor, const int8_t *codes, unsigned char *packed)
{
    memcpy(packed, codes, (size_t)tensor->count);
}

static bsq_status_t int8_unpack(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                                struct bsq_message *message)
{
    bsq_status_t status = check_fields(tensor, packed, 8, message);

    if (status == BSQ_OK)
        memcpy(codes, packed, (size_t)tensor->count);
    return status;
}

static bool int4_bytes(const struct tensor *tensor, int64_t *bytes)
{
    *bytes = tensor->count / 2 + (tensor->count % 2 != 0);
    return true;
}

static void int4_pack(const struct tensor *tensor, const int8_t *codes, unsigned char *packed)
{
    pack_fields(tensor, codes, packed, 4, bsq_kernels()->pack4);
}

static bsq_status_t int4_unpack(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                                struct bsq_message *message)
{
    return unpack_fields(tensor, packed, codes, 4, bsq_kernels()->unpack4, message);
}

static bool int2_bytes(const struct tensor *tensor, int64_t *bytes)
{
    *bytes = tensor->count / 4 + (tensor->count % 4 != 0);
    return true;
}

static void int2_pack(const struct tensor *tensor, const int8_t *codes, unsigned char *packed)
{
    pack_fields(tensor, codes, packed, 2, bsq_kernels()->pack2);
}

static bsq_status_t int2_unpack(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                                struct bsq_message *message)
{
    return unpack_fields(tensor, packed, codes, 2, bsq_kernels()->unpack2, message);
}

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

static int64_t block_length(const struct tensor *tensor, int64_t word)
{
    return tensor->fan_in - word * BLOCK < BLOCK ? tensor->fan_in - word * BLOCK : BLOCK;
}

/* Bits of a word that have an input. */
static uint64_t used_bits(const struct tensor *tensor, int64_t word)
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

static void read_magnitudes(const struct tensor *tensor, const int8_t *channel, int64_t word,
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

static int64_t ternary_stride(const struct tensor *tensor)
{
    return 2 * (tensor->bits - 1) * tensor->words * WORD_BYTES;
}

static bool ternary_bytes(const struct tensor *tensor, int64_t *bytes)
{
    int64_t words;

    return bsq_extent_mul(tensor->words, 2 * (tensor->bits - 1) * WORD_BYTES, &words) &&
           bsq_extent_mul(tensor->channels, words, bytes);
}

static void ternary_pack(const struct tensor *tensor, const int8_t *codes, unsigned char *packed)
{
    int64_t side = tensor->words * WORD_BYTES;

    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++) {
            unsigned char *place = packed + o * ternary_stride(tensor) + w * WORD_BYTES;
            struct magnitudes block;

            read_magnitudes(tensor, codes + o * tensor->fan_in, w, &block);
            for (int m = 0; m < tensor->bits - 1; m++) {
                uint64_t digits = gather_bits(block.value, m);

                write_word(place + 2 * m * side, digits & ~block.negative);
                write_word(place + (2 * m + 1) * side, digits & block.negative);
            }
        }
}

static bsq_status_t ternary_check_word(const struct tensor *tensor, const unsigned char *packed, int64_t channel,
                                       int64_t word, struct bsq_message *message)
{
    int64_t side = tensor->words * WORD_BYTES;
    const unsigned char *place = packed + channel * ternary_stride(tensor) + word * WORD_BYTES;

    for (int m = 0; m < tensor->bits - 1; m++) {
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

static void ternary_unpack_word(const struct tensor *tensor, const unsigned char *packed, int64_t channel,
                                int64_t word, int8_t *codes)
{
    int64_t side = tensor->words * WORD_BYTES, length = block_length(tensor, word);
    const unsigned char *place = packed + channel * ternary_stride(tensor) + word * WORD_BYTES;
    unsigned char positive[BLOCK], negative[BLOCK];
    uint64_t words[2][MOST_PLANES];

    for (int m = 0; m < tensor->bits - 1; m++) {
        words[0][m] = read_word(place + 2 * m * side);
        words[1][m] = read_word(place + (2 * m + 1) * side);
    }
    scatter_bits(words[0], tensor->bits - 1, positive);
    scatter_bits(words[1], tensor->bits - 1, negative);
    for (int64_t k = 0; k < length; k++)
        codes[channel * tensor->fan_in + word * BLOCK + k] = (int8_t)(positive[k] - negative[k]);
}

static bsq_status_t ternary_unpack(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                                   struct bsq_message *message)
{
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++) {
            bsq_status_t status = ternary_check_word(tensor, packed, o, w, message);

            if (status != BSQ_OK)
                return status;
        }
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++)
            ternary_unpack_word(tensor, packed, o, w, codes);
    return BSQ_OK;
}

/* ---- sign and magnitude planes: for each channel, sign words, then the words of each magnitude bit -------- */

static int64_t signed_stride(const struct tensor *tensor)
{
    return tensor->bits * tensor->words * WORD_BYTES;
}

static bool signed_bytes(const struct tensor *tensor, int64_t *bytes)
{
    int64_t words;

    return bsq_extent_mul(tensor->words, tensor->bits * WORD_BYTES, &words) &&
           bsq_extent_mul(tensor->channels, words, bytes);
}

static void signed_pack(const struct tensor *tensor, const int8_t *codes, unsigned char *packed)
{
    int64_t plane = tensor->words * WORD_BYTES;

    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++) {
            unsigned char *place = packed + o * signed_stride(tensor) + w * WORD_BYTES;
            struct magnitudes block;

            read_magnitudes(tensor, codes + o * tensor->fan_in, w, &block);
            write_word(place, block.negative);
            for (int m = 0; m < tensor->bits - 1; m++)
                write_word(place + (m + 1) * plane, gather_bits(block.value, m));
        }
}

static bsq_status_t signed_check_word(const struct tensor *tensor, const unsigned char *packed, int64_t channel,
                                      int64_t word, struct bsq_message *message)
{
    int64_t plane = tensor->words * WORD_BYTES;
    const unsigned char *place = packed + channel * signed_stride(tensor) + word * WORD_BYTES;
    uint64_t negative = read_word(place), magnitude = 0;

    for (int m = 0; m < tensor->bits - 1; m++)
        magnitude |= read_word(place + (m + 1) * plane);
    if ((negative | magnitude) & ~used_bits(tensor, word))
        return bsq_fail(message, BSQ_E_FORMAT, "channel %" PRId64 ": a plane has bits behind the last input", channel);
    if (negative & ~magnitude)
        return bsq_fail(message, BSQ_E_FORMAT, "channel %" PRId64 ": a sign without magnitude at input %" PRId64,
                        channel, word * BLOCK + lowest_bit(negative & ~magnitude));
    return BSQ_OK;
}

static void signed_unpack_word(const struct tensor *tensor, const unsigned char *packed, int64_t channel,
                               int64_t word, int8_t *codes)
{
    int64_t plane = tensor->words * WORD_BYTES, length = block_length(tensor, word);
    const unsigned char *place = packed + channel * signed_stride(tensor) + word * WORD_BYTES;
    unsigned char sign[BLOCK], magnitude[BLOCK];
    uint64_t words[1 + MOST_PLANES];

    for (int m = 0; m < tensor->bits; m++)
        words[m] = read_word(place + m * plane);
    scatter_bits(words, 1, sign);
    scatter_bits(words + 1, tensor->bits - 1, magnitude);
    for (int64_t k = 0; k < length; k++)
        codes[channel * tensor->fan_in + word * BLOCK + k] = (int8_t)negate_if(sign[k], magnitude[k]);
}

static bsq_status_t signed_unpack(const struct tensor *tensor, const unsigned char *packed, int8_t *codes,
                                  struct bsq_message *message)
{
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++) {
            bsq_status_t status = signed_check_word(tensor, packed, o, w, message);

            if (status != BSQ_OK)
                return status;
        }
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t w = 0; w < tensor->words; w++)
            signed_unpack_word(tensor, packed, o, w, codes);
    return BSQ_OK;
}

/* ---- the table ------------------------------------------------------------------------------------------- */

static const struct format formats[] = {
    {BSQ_FORMAT_INT8, "int8", 8, false, int8_bytes, int8_pack, int8_unpack},
    {BSQ_FORMAT_ONNX_INT4, "ONNX int4", 4, false, int4_bytes, int4_pack, int4_unpack},
    {BSQ_FORMAT_ONNX_INT2, "ONNX int2", 2, false, int2_bytes, int2_pack, int2_unpack},
    {BSQ_FORMAT_TERNARY_PLANES, "ternary planes", 8, true, ternary_bytes, ternary_pack, ternary_unpack},
    {BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, "sign-magnitude planes", 8, true, signed_bytes, signed_pack, signed_unpack},
};

static const struct format *find_format(int32_t id)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

static bool fits_memory(int64_t bytes)
{
    return bytes >= 0 && (int64_t)(size_t)bytes == bytes;
}

/* Everything that can be wrong before bytes are looked at. */
static bsq_status_t describe(int32_t id, int32_t bits, int64_t channels, int64_t fan_in, const struct format **format,
                             struct tensor *tensor, size_t *size, struct bsq_message *message)
{
    int64_t bytes = 0;

    *format = find_format(id);
    if (!*format)
        return bsq_fail(message, BSQ_E_FORMAT, "unknown format %d", (int)id);
    if (bits < 2 || bits > 8)
        return bsq_fail(message, BSQ_E_RANGE, "codes of %d bits, must be 2..8", (int)bits);
    if (bits > (*format)->most_bits)
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds codes of at most %d bits, these have %d", (*format)->name,
                        (int)(*format)->most_bits, (int)bits);
    if (channels <= 0 || fan_in <= 0)
        return bsq_fail(message, BSQ_E_SHAPE, "%" PRId64 " x %" PRId64 " codes: extents must be positive", channels,
                        fan_in);

    *tensor = (struct tensor){.bits = bits, .channels = channels, .fan_in = fan_in};
    tensor->words = fan_in / BLOCK + (fan_in % BLOCK != 0);
    if (!bsq_extent_mul(channels, fan_in, &tensor->count) || !fits_memory(tensor->count) ||
        !(*format)->bytes(tensor, &bytes) || !fits_memory(bytes))
        return bsq_fail(message, BSQ_E_SHAPE, "%" PRId64 " x %" PRId64 " codes are too many for this machine",
                        channels, fan_in);
    *size = (size_t)bytes;
    return BSQ_OK;
}

static bsq_status_t check_size(const struct format *format, size_t expected, size_t size, struct bsq_message *message)
{
    if (size != expected)
        return bsq_fail(message, BSQ_E_SIZE, "%s: the buffer has %zu bytes, %zu are needed", format->name, size,
                        expected);
    return BSQ_OK;
}

static bsq_status_t check_codes(const struct format *format, const struct tensor *tensor, const int8_t *codes,
                                struct bsq_message *message)
{
    int highest = (1 << (tensor->bits - 1)) - 1, lowest = format->symmetric ? -highest : -highest - 1;
    bool inside = true;
    int64_t i = 0;

    for (int64_t k = 0; k < tensor->count; k++)
        inside &= codes[k] >= lowest && codes[k] <= highest;
    if (inside)
        return BSQ_OK;
    while (codes[i] >= lowest && codes[i] <= highest)
        i++;
    return bsq_fail(message, BSQ_E_FORMAT, "%s: code %d at index %" PRId64 " is outside of %d..%d", format->name,
                    codes[i], i, lowest, highest);
}

bsq_status_t bsq_pack_size(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, size_t *size,
                           struct bsq_message *message)
{
    const struct format *row;
    struct tensor tensor;

    return describe(format, bits, channels, fan_in, &row, &tensor, size, message);
}

bsq_status_t bsq_pack_codes(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const int8_t *codes,
                            void *packed, size_t size, struct bsq_message *message)
{
    const struct format *row;
    struct tensor tensor;
    size_t expected;
    bsq_status_t status = describe(format, bits, channels, fan_in, &row, &tensor, &expected, message);

    if (status == BSQ_OK)
        status = check_size(row, expected, size, message);
    if (status == BSQ_OK)
        status = check_codes(row, &tensor, codes, message);
    if (status == BSQ_OK)
        row->pack(&tensor, codes, packed);
    return status;
}

bsq_status_t bsq_unpack_codes(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const void *packed,
                              size_t size, int8_t *codes, struct bsq_message *message)
{
    const struct format *row;
    struct tensor tensor;
    size_t expected;
    bsq_status_t status = describe(format, bits, channels, fan_in, &row, &tensor, &expected, message);

    if (status == BSQ_OK)
        status = check_size(row, expected, size, message);
    if (status == BSQ_OK)
        status = row->unpack(&tensor, packed, codes, message);
    return status;
}

bsq_status_t bsq_unpack(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const void *packed,
                        size_t size, int8_t *codes, bsq_error_t *error)
{
    struct bsq_message message = {""};
    bsq_status_t status;

    if (!packed || !codes)
        status = bsq_fail(&message, BSQ_E_ARGUMENT, "bsq_unpack: '%s' is NULL", packed ? "codes" : "packed");
    else
        status = bsq_unpack_codes(format, bits, channels, fan_in, packed, size, codes, &message);
    return bsq_error_store(error, status, &message);
}
