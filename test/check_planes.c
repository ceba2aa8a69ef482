/* Bit-split and stitching, for every code of every width and every combination of digits. */
#include "stages/bitsplit.h"
#include "stages/stitch.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLANES = 7, MOST_CODES = 255 };

/* All codes -(2^(bits-1)-1) .. 2^(bits-1)-1 in order; gives their number. */
static int all_codes(int bits, int8_t codes[MOST_CODES])
{
    int highest = (1 << (bits - 1)) - 1;

    for (int code = -highest; code <= highest; code++)
        codes[code + highest] = (int8_t)code;
    return 2 * highest + 1;
}

START_TEST(split_gives_the_binary_digits_with_the_sign)
{
    int bits = _i, plane_count = bits - 1;
    int8_t codes[MOST_CODES], planes[MOST_PLANES * MOST_CODES];
    int count = all_codes(bits, codes);

    ck_assert(bsq_split(bits, count, codes, planes));
    for (int i = 0; i < count; i++) {
        int rest = abs(codes[i]), sign = codes[i] < 0 ? -1 : 1;

        for (int m = 0; m < plane_count; m++) {
            ck_assert_msg(planes[m * count + i] == sign * (rest % 2), "%d bits, code %d, plane %d: %d", bits, codes[i],
                          m, planes[m * count + i]);
            rest /= 2;
        }
        ck_assert_int_eq(rest, 0);
    }
}
END_TEST

START_TEST(stitch_is_the_inverse_of_split)
{
    int8_t codes[MOST_CODES], planes[MOST_PLANES * MOST_CODES], back[MOST_CODES];
    int count = all_codes(_i, codes);

    ck_assert(bsq_split(_i, count, codes, planes));
    memset(back, 99, sizeof back);
    bsq_stitch(_i, count, planes, back);
    ck_assert_mem_eq(back, codes, (size_t)count);
}
END_TEST

START_TEST(stitch_adds_digits_of_mixed_signs)
{
    enum { ALL = 2187 };
    static int8_t planes[MOST_PLANES * ALL], codes[ALL];
    static int expected[ALL];
    int bits = _i, count = 1;

    for (int m = 0; m < bits - 1; m++)
        count *= 3;
    for (int i = 0; i < count; i++) {
        int rest = i, weight = 1;

        expected[i] = 0;
        for (int m = 0; m < bits - 1; m++) {
            int digit = rest % 3 - 1;

            planes[m * count + i] = (int8_t)digit;
            expected[i] += weight * digit;
            weight *= 2;
            rest /= 3;
        }
    }
    bsq_stitch(bits, count, planes, codes);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(codes[i], expected[i]);
}
END_TEST

START_TEST(split_refuses_what_planes_cannot_express)
{
    int highest = (1 << (_i - 1)) - 1;

    for (int code = INT8_MIN; code <= INT8_MAX; code++)
        for (int place = 0; place < 5; place++) {
            int8_t codes[5] = {0, 1, -1, 1, 0}, planes[MOST_PLANES * 5];
            bool fits = code >= -highest && code <= highest;

            codes[place] = (int8_t)code;
            memset(planes, 77, sizeof planes);
            ck_assert_int_eq(bsq_split(_i, 5, codes, planes), fits);
            for (int i = fits ? 5 * (_i - 1) : 0; i < MOST_PLANES * 5; i++)
                ck_assert_int_eq(planes[i], 77);
        }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("planes");
    TCase *t = tcase_create("planes");

    tcase_add_loop_test(t, split_gives_the_binary_digits_with_the_sign, 2, 9);
    tcase_add_loop_test(t, stitch_is_the_inverse_of_split, 2, 9);
    tcase_add_loop_test(t, stitch_adds_digits_of_mixed_signs, 2, 9);
    tcase_add_loop_test(t, split_refuses_what_planes_cannot_express, 2, 9);
    suite_add_tcase(s, t);
    return s;
}
