/* Packing: bytes written down by hand, a slow second writer for every size, and every refusal. */
#include "base/status.h"
#include "support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int32_t formats[] = {BSQ_FORMAT_INT8, BSQ_FORMAT_ONNX_INT4, BSQ_FORMAT_ONNX_INT2,
                                  BSQ_FORMAT_TERNARY_PLANES, BSQ_FORMAT_SIGN_MAGNITUDE_PLANES};
enum { FORMATS = 5 };

/* The public calls on codes alone. */
static bsq_status_t size_of(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, size_t *size,
                            bsq_error_t *error)
{
    bsq_tensor_t tensor = test_tensor_codes(bits, channels, fan_in, NULL);

    return bsq_tensor_packed_size(&tensor, format, size, error);
}

static bsq_status_t pack(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const int8_t *codes,
                         void *packed, size_t size, bsq_error_t *error)
{
    bsq_tensor_t tensor = test_tensor_codes(bits, channels, fan_in, (int8_t *)codes);

    return bsq_tensor_pack(&tensor, format, packed, size, error);
}

static bsq_status_t unpack(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const void *packed,
                           size_t size, int8_t *codes, bsq_error_t *error)
{
    bsq_tensor_t tensor = test_tensor_codes(bits, channels, fan_in, codes);

    return bsq_tensor_unpack(format, packed, size, &tensor, error);
}

static int most_bits(int32_t format)
{
    return format == BSQ_FORMAT_ONNX_INT4 ? 4 : format == BSQ_FORMAT_ONNX_INT2 ? 2 : 8;
}

static bool is_planes(int32_t format)
{
    return format == BSQ_FORMAT_TERNARY_PLANES || format == BSQ_FORMAT_SIGN_MAGNITUDE_PLANES;
}

/* ---- by hand ---------------------------------------------------------------------------------------------- */

static void expect_bytes(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const int8_t *codes,
                         const unsigned char *bytes, size_t size)
{
    unsigned char packed[256];
    int8_t back[256];
    size_t asked = 0;

    memset(packed, 0xee, sizeof packed);
    ck_assert_int_eq(size_of(format, bits, channels, fan_in, &asked, NULL), BSQ_OK);
    ck_assert_uint_eq(asked, size);
    ck_assert_int_eq(pack(format, bits, channels, fan_in, codes, packed, size, NULL), BSQ_OK);
    ck_assert_mem_eq(packed, bytes, size);
    ck_assert_uint_eq(packed[size], 0xee);
    ck_assert_int_eq(unpack(format, bits, channels, fan_in, bytes, size, back, NULL), BSQ_OK);
    ck_assert_mem_eq(back, codes, (size_t)(channels * fan_in));
}

START_TEST(int8_by_hand)
{
    const int8_t codes[] = {-128, -1, 0, 1, 2, 127};
    const unsigned char bytes[] = {0x80, 0xff, 0x00, 0x01, 0x02, 0x7f};

    expect_bytes(BSQ_FORMAT_INT8, 8, 2, 3, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(int4_by_hand)
{
    /* The second channel starts in the upper half of a byte. */
    const int8_t codes[] = {-8, 7, 1, -1, 0, 3, -2, 5, -5};
    const unsigned char bytes[] = {0x78, 0xf1, 0x30, 0x5e, 0x0b};

    expect_bytes(BSQ_FORMAT_ONNX_INT4, 4, 3, 3, codes, bytes, sizeof bytes);
    expect_bytes(BSQ_FORMAT_ONNX_INT4, 4, 1, 9, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(int4_holds_fewer_bits)
{
    const int8_t codes[] = {-4, 3, -1};
    const unsigned char bytes[] = {0x3c, 0x0f};

    expect_bytes(BSQ_FORMAT_ONNX_INT4, 3, 3, 1, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(int2_by_hand)
{
    const int8_t codes[] = {1, 0, -2, -1, -1, 1};
    const unsigned char bytes[] = {0xe1, 0x07};

    expect_bytes(BSQ_FORMAT_ONNX_INT2, 2, 2, 3, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(ternary_planes_by_hand)
{
    /* 3 bits, 2 planes: 3 = 1 + 2, -2 = -2, -3 = -1 - 2, 1 = 1 | 0, -1 = -1, 2 = 2, -2 = -2 */
    const int8_t codes[] = {3, -2, -3, 1, 0, -1, 2, -2};
    const unsigned char bytes[] = {
        0x09, 0, 0, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0, 0,
        0x00, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 0,
    };

    expect_bytes(BSQ_FORMAT_TERNARY_PLANES, 3, 2, 4, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(ternary_planes_of_two_words_by_hand)
{
    int8_t codes[66] = {0};
    const unsigned char bytes[] = {
        0x00, 0x01, 0, 0, 0, 0, 0, 0,    0x01, 0, 0, 0, 0, 0, 0, 0,
        0x00, 0,    0, 0, 0, 0, 0, 0x80, 0x02, 0, 0, 0, 0, 0, 0, 0,
    };

    codes[8] = codes[64] = 1;
    codes[63] = codes[65] = -1;
    expect_bytes(BSQ_FORMAT_TERNARY_PLANES, 2, 1, 66, codes, bytes, sizeof bytes);
}
END_TEST

START_TEST(sign_magnitude_planes_by_hand)
{
    const int8_t codes[] = {3, -2, -3, 1, 0, -1, 2, -2};
    const unsigned char bytes[] = {
        0x06, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0,
        0x0a, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0,
    };

    expect_bytes(BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 3, 2, 4, codes, bytes, sizeof bytes);
}
END_TEST

/* Codes of the same sign in all planes are what we write; what others write may mix them. */
START_TEST(ternary_planes_of_mixed_signs_are_read)
{
    const unsigned char bytes[32] = {[0] = 0x02, [8] = 0x01, [16] = 0x01, [24] = 0x02};
    int8_t codes[2];

    ck_assert_int_eq(unpack(BSQ_FORMAT_TERNARY_PLANES, 3, 1, 2, bytes, sizeof bytes, codes, NULL), BSQ_OK);
    ck_assert_int_eq(codes[0], 1);
    ck_assert_int_eq(codes[1], -1);
}
END_TEST

/* ---- every size ------------------------------------------------------------------------------------------- */

/* Sets bit 'bit' counted from the start of the bytes, low bits first: the order inside of 64-bit words too. */
static void set_bit(unsigned char *bytes, int64_t bit, int value)
{
    bytes[bit / 8] = (unsigned char)(bytes[bit / 8] | value << bit % 8);
}

static void slow_fields(int width, int64_t count, const int8_t *codes, unsigned char *packed)
{
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < width; k++)
            set_bit(packed, i * width + k, ((codes[i] + 256) >> k) % 2);
}

static void slow_planes(int32_t format, int bits, int64_t channels, int64_t n, const int8_t *codes,
                        unsigned char *packed)
{
    int64_t line = (n + 63) / 64 * 64;

    for (int64_t o = 0; o < channels; o++)
        for (int64_t i = 0; i < n; i++) {
            int code = codes[o * n + i], magnitude = abs(code);

            if (format == BSQ_FORMAT_SIGN_MAGNITUDE_PLANES)
                set_bit(packed, o * bits * line + i, code < 0);
            for (int m = 0; m < bits - 1; m++) {
                int digit = magnitude / (1 << m) % 2;

                if (format == BSQ_FORMAT_SIGN_MAGNITUDE_PLANES)
                    set_bit(packed, (o * bits + 1 + m) * line + i, digit);
                else
                    set_bit(packed, (o * 2 * (bits - 1) + 2 * m + (code < 0)) * line + i, digit);
            }
        }
}

static size_t slow_size(int32_t format, int bits, int64_t channels, int64_t n)
{
    int64_t line = (n + 63) / 64 * 8;

    switch (format) {
    case BSQ_FORMAT_INT8: return (size_t)(channels * n);
    case BSQ_FORMAT_ONNX_INT4: return (size_t)((channels * n + 1) / 2);
    case BSQ_FORMAT_ONNX_INT2: return (size_t)((channels * n + 3) / 4);
    case BSQ_FORMAT_TERNARY_PLANES: return (size_t)(channels * (bits - 1) * 2 * line);
    default: return (size_t)(channels * bits * line);
    }
}

static void slow_pack(int32_t format, int bits, int64_t channels, int64_t n, const int8_t *codes, unsigned char *packed)
{
    memset(packed, 0, slow_size(format, bits, channels, n));
    if (is_planes(format))
        slow_planes(format, bits, channels, n, codes, packed);
    else
        slow_fields(most_bits(format), channels * n, codes, packed);
}

static void draw_codes(struct test_random *random, int32_t format, int bits, int64_t count, int8_t *codes)
{
    int lowest = -(1 << (bits - 1)) + is_planes(format), highest = (1 << (bits - 1)) - 1;

    for (int64_t i = 0; i < count; i++)
        codes[i] = (int8_t)(lowest + test_random_below(random, highest - lowest + 1));
}

/* Buffers of exactly the right size, so that sanitizers see a byte too many. */
static void round_trip(struct test_random *random, int32_t format, int bits, int64_t channels, int64_t n)
{
    size_t count = (size_t)(channels * n), size = slow_size(format, bits, channels, n), asked = 0;
    int8_t *codes = malloc(count), *back = malloc(count);
    unsigned char *packed = malloc(size), *expected = malloc(size);

    ck_assert(codes && back && packed && expected);
    draw_codes(random, format, bits, channels * n, codes);
    memset(packed, 0xa5, size);
    memset(back, 0x5a, count);
    slow_pack(format, bits, channels, n, codes, expected);
    ck_assert_int_eq(size_of(format, bits, channels, n, &asked, NULL), BSQ_OK);
    ck_assert_uint_eq(asked, size);
    ck_assert_int_eq(pack(format, bits, channels, n, codes, packed, size, NULL), BSQ_OK);
    ck_assert_msg(memcmp(packed, expected, size) == 0, "format %d, %d bits, %d x %d", (int)format, bits, (int)channels,
                  (int)n);
    ck_assert_int_eq(unpack(format, bits, channels, n, expected, size, back, NULL), BSQ_OK);
    ck_assert_msg(memcmp(back, codes, count) == 0, "format %d, %d bits, %d x %d", (int)format, bits, (int)channels,
                  (int)n);
    free(codes);
    free(back);
    free(packed);
    free(expected);
}

START_TEST(round_trips_of_every_size)
{
    int32_t format = formats[_i];
    struct test_random random = test_random_seed((uint64_t)format);
    const int64_t channels[] = {1, 2, 3, 8};

    for (int bits = 2; bits <= most_bits(format); bits++)
        for (int64_t n = 1; n <= 130; n++)
            for (int c = 0; c < 4; c++)
                round_trip(&random, format, bits, channels[c], n);
}
END_TEST

/* ---- refusals --------------------------------------------------------------------------------------------- */

static void expect_refusal(bsq_status_t status, const char *word, int32_t format, int32_t bits, int64_t channels,
                           int64_t n, const void *packed, size_t size)
{
    char text[200] = "";
    int8_t codes[512], before[sizeof codes];
    bsq_error_t error;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    memset(codes, 0x33, sizeof codes);
    memset(before, 0x33, sizeof before);
    ck_assert_int_eq(unpack(format, bits, channels, n, packed, size, codes, &error), status);
    ck_assert_int_eq(unpack(format, bits, channels, n, packed, size, codes, NULL), status);
    ck_assert_int_eq(error.status, status);
    ck_assert_msg(strstr(text, word) != NULL, "no '%s' in '%s'", word, text);
    ck_assert_mem_eq(codes, before, sizeof codes);
}

START_TEST(null_is_refused)
{
    int8_t code = 0;

    expect_refusal(BSQ_E_ARGUMENT, "packed", BSQ_FORMAT_INT8, 8, 1, 1, NULL, 1);
    ck_assert_int_eq(unpack(BSQ_FORMAT_INT8, 8, 1, 1, &code, 1, NULL, NULL), BSQ_E_ARGUMENT);
}
END_TEST

START_TEST(unknown_formats_are_refused)
{
    const int32_t unknown[] = {0, -1, 1, BSQ_FORMAT_INT8 + 1, BSQ_SCALE_FORMAT_FLOAT16, 2201, INT32_MAX, INT32_MIN};
    const unsigned char bytes[8] = {0};
    size_t size;

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        expect_refusal(BSQ_E_ARGUMENT, "format is", unknown[i], 4, 1, 1, bytes, 1);
        ck_assert_str_eq(bsq_format_string(unknown[i]), "unknown");
        ck_assert_int_eq(size_of(unknown[i], 4, 1, 1, &size, NULL), BSQ_E_ARGUMENT);
    }
}
END_TEST

START_TEST(bits_are_bounded)
{
    const int32_t outside[] = {INT32_MIN, -1, 0, 1, 9, 32, INT32_MAX};
    const unsigned char bytes[128] = {0};
    int32_t format = formats[_i];

    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        expect_refusal(BSQ_E_RANGE, "2..8", format, outside[i], 1, 1, bytes, 1);
    for (int bits = most_bits(format) + 1; bits <= 8; bits++)
        expect_refusal(BSQ_E_FORMAT, "holds codes of", format, bits, 1, 1, bytes, 1);
}
END_TEST

START_TEST(extents_are_checked)
{
    const int64_t wrong[][2] = {
        {0, 1},
        {1, 0},
        {-1, 1},
        {1, -1},
        {INT64_MIN, 1},
        {INT64_MAX, 2},
        {2, INT64_MAX},
        {INT64_MAX, INT64_MAX},
        {INT64_C(1) << 32, INT64_C(1) << 32},
    };
    const unsigned char bytes[8] = {0};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refusal(BSQ_E_SHAPE, "codes", formats[_i], 2, wrong[i][0], wrong[i][1], bytes, 8);
}
END_TEST

/* The number of codes fits, that of bytes does not. */
START_TEST(planes_that_are_too_large_are_refused)
{
    const unsigned char bytes[8] = {0};

    expect_refusal(BSQ_E_SHAPE, "too many", BSQ_FORMAT_TERNARY_PLANES, 8, INT64_C(1) << 61, 1, bytes, 8);
    expect_refusal(BSQ_E_SHAPE, "too many", BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 8, INT64_C(1) << 61, 1, bytes, 8);
    expect_refusal(BSQ_E_SHAPE, "too many", BSQ_FORMAT_TERNARY_PLANES, 8, 1, INT64_MAX, bytes, 8);
    expect_refusal(BSQ_E_SIZE, "bytes", BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 2, 1, INT64_MAX, bytes, 8);
}
END_TEST

START_TEST(sizes_are_exact)
{
    const unsigned char bytes[512] = {0};
    unsigned char packed[512];
    int8_t codes[67] = {0};
    int32_t format = formats[_i];
    size_t size = slow_size(format, 2, 1, 67);

    memset(packed, 0x77, sizeof packed);
    for (size_t wrong = 0; wrong < 300; wrong++)
        if (wrong != size) {
            expect_refusal(BSQ_E_SIZE, "bytes", format, 2, 1, 67, bytes, wrong);
            ck_assert_int_eq(pack(format, 2, 1, 67, codes, packed, wrong, NULL), BSQ_E_SIZE);
        }
    for (size_t i = 0; i < sizeof packed; i++)
        ck_assert_uint_eq(packed[i], 0x77);
}
END_TEST

START_TEST(codes_outside_of_their_bits_are_refused)
{
    int32_t format = formats[_i];

    for (int bits = 2; bits <= most_bits(format); bits++)
        for (int code = INT8_MIN; code <= INT8_MAX; code++) {
            unsigned char packed[256];
            char text[200] = "";
            bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
            int8_t codes[3] = {0, (int8_t)code, 0};
            int highest = (1 << (bits - 1)) - 1, lowest = -highest - !is_planes(format);
            bool fits = code >= lowest && code <= highest;
            size_t size = slow_size(format, bits, 1, 3);

            memset(packed, 0x77, sizeof packed);
            ck_assert_int_eq(pack(format, bits, 1, 3, codes, packed, size, &error), fits ? BSQ_OK : BSQ_E_FORMAT);
            if (fits)
                continue;
            ck_assert_msg(strstr(text, "index 1 ") != NULL, "%s", text);
            ck_assert_uint_eq(packed[0], 0x77);
            ck_assert_uint_eq(packed[size - 1], 0x77);
        }
}
END_TEST

START_TEST(fields_outside_of_their_bits_are_refused)
{
    for (int bits = 2; bits < 8; bits++)
        for (int byte = 0; byte < 256; byte++) {
            int code = byte < 128 ? byte : byte - 256, half = 1 << (bits - 1);
            unsigned char bytes[3] = {0, (unsigned char)byte, 0};

            if (code < -half || code >= half)
                expect_refusal(BSQ_E_FORMAT, "index 1 ", BSQ_FORMAT_INT8, bits, 1, 3, bytes, 3);
        }
    for (int bits = 2; bits < 4; bits++)
        for (int nibble = 0; nibble < 16; nibble++) {
            int code = nibble < 8 ? nibble : nibble - 16, half = 1 << (bits - 1);
            unsigned char bytes[2] = {(unsigned char)(nibble << 4), 0};

            if (code < -half || code >= half)
                expect_refusal(BSQ_E_FORMAT, "index 1 ", BSQ_FORMAT_ONNX_INT4, bits, 3, 1, bytes, 2);
        }
}
END_TEST

/* Sets each bit in turn behind the end of zeros. */
START_TEST(padding_bits_are_refused)
{
    for (int bit = 4; bit < 8; bit++) {
        unsigned char bytes[2] = {0, (unsigned char)(1 << bit)};

        expect_refusal(BSQ_E_FORMAT, "last byte", BSQ_FORMAT_ONNX_INT4, 4, 1, 3, bytes, 2);
    }
    for (int rest = 1; rest < 4; rest++)
        for (int bit = 2 * rest; bit < 8; bit++) {
            unsigned char bytes[2] = {0, (unsigned char)(1 << bit)};

            expect_refusal(BSQ_E_FORMAT, "last byte", BSQ_FORMAT_ONNX_INT2, 2, 1, 4 + rest, bytes, 2);
        }
    for (int n = 1; n < 64; n++)
        for (int bit = n; bit < 64; bit++)
            for (int line = 0; line < 8; line++) {
                unsigned char bytes[8 * 8] = {0};

                set_bit(bytes, 64 * line + bit, 1);
                expect_refusal(BSQ_E_FORMAT, "last input", BSQ_FORMAT_TERNARY_PLANES, 3, 2, n, bytes, 64);
                expect_refusal(BSQ_E_FORMAT, "last input", BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 4, 2, n, bytes, 64);
            }
}
END_TEST

START_TEST(two_signs_and_minus_zero_are_refused)
{
    for (int input = 0; input < 70; input++)
        for (int plane = 0; plane < 2; plane++) {
            unsigned char bytes[2 * 2 * 2 * 2 * 8] = {0};
            char text[80];

            /* 2 channels of 2 planes of 2 sides of 2 words; the second channel. */
            set_bit(bytes, (8 + 4 * plane) * 64 + input, 1);
            set_bit(bytes, (8 + 4 * plane + 2) * 64 + input, 1);
            (void)snprintf(text, sizeof text, "plane %d: both masks are set at input %d", plane, input);
            expect_refusal(BSQ_E_FORMAT, text, BSQ_FORMAT_TERNARY_PLANES, 3, 2, 70, bytes, sizeof bytes);
        }
    for (int input = 0; input < 70; input++) {
        unsigned char bytes[2 * 3 * 2 * 8] = {0};
        char text[80];

        set_bit(bytes, 6 * 64 + input, 1);
        (void)snprintf(text, sizeof text, "channel 1: a sign without magnitude at input %d", input);
        expect_refusal(BSQ_E_FORMAT, text, BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 3, 2, 70, bytes, sizeof bytes);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pack");
    TCase *hand = tcase_create("by hand"), *sizes = tcase_create("sizes"), *refusals = tcase_create("refusals");

    tcase_add_test(hand, int8_by_hand);
    tcase_add_test(hand, int4_by_hand);
    tcase_add_test(hand, int4_holds_fewer_bits);
    tcase_add_test(hand, int2_by_hand);
    tcase_add_test(hand, ternary_planes_by_hand);
    tcase_add_test(hand, ternary_planes_of_two_words_by_hand);
    tcase_add_test(hand, sign_magnitude_planes_by_hand);
    tcase_add_test(hand, ternary_planes_of_mixed_signs_are_read);
    tcase_add_loop_test(sizes, round_trips_of_every_size, 0, FORMATS);
    tcase_add_test(refusals, null_is_refused);
    tcase_add_test(refusals, unknown_formats_are_refused);
    tcase_add_loop_test(refusals, bits_are_bounded, 0, FORMATS);
    tcase_add_loop_test(refusals, extents_are_checked, 0, FORMATS);
    tcase_add_test(refusals, planes_that_are_too_large_are_refused);
    tcase_add_loop_test(refusals, sizes_are_exact, 0, FORMATS);
    tcase_add_loop_test(refusals, codes_outside_of_their_bits_are_refused, 0, FORMATS);
    tcase_add_test(refusals, fields_outside_of_their_bits_are_refused);
    tcase_add_test(refusals, padding_bits_are_refused);
    tcase_add_test(refusals, two_signs_and_minus_zero_are_refused);
    suite_add_tcase(s, hand);
    suite_add_tcase(s, sizes);
    suite_add_tcase(s, refusals);
    return s;
}
