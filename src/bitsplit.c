/* Bit-split: codes as ternary digit planes. */
#include "bitsplit.h"

#include <stddef.h>

static bool is_expressible(int32_t bits, int64_t count, const int8_t *codes)
{
    int highest = (1 << (bits - 1)) - 1;
    bool inside = true;

    for (int64_t i = 0; i < count; i++)
        inside &= codes[i] >= -highest && codes[i] <= highest;
    return inside;
}

bool bsq_split(int32_t bits, int64_t count, const int8_t *codes, int8_t *planes)
{
    if (!is_expressible(bits, count, codes))
        return false;
    for (int32_t m = 0; m < bits - 1; m++) {
        int8_t *plane = planes + (size_t)m * (size_t)count;

        for (int64_t i = 0; i < count; i++) {
            int magnitude = codes[i] < 0 ? -codes[i] : codes[i];
            int digit = magnitude >> m & 1;

            plane[i] = (int8_t)(codes[i] < 0 ? -digit : digit);
        }
    }
    return true;
}
