/* Bit-split: codes as ternary digit planes. */
#include "stages/bitsplit.h"

#include <math.h>

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

int64_t bsq_bitsplit_sweep(struct bsq_point *point, int32_t bits, int8_t *planes)
{
    int64_t n = point->n, changes = 0;

    for (int32_t m = bits - 2; m >= 0; m--) {
        int8_t *digits = planes + m * n;
        double place = (double)(1 << m);

        for (int64_t j = 0; j < n; j++) {
            double step = place * point->scales[j / point->group_size], unit = step * point->diagonal[j];
            double without = point->g[j] + unit * digits[j]; /* g with this digit taken out */
            int32_t digit = fabs(without) < 0.5 * unit ? 0 : (without > 0.0) - (without < 0.0);
            int32_t change = digit - digits[j];

            if (!change)
                continue;
            point->j += step * change * (unit * change - 2.0 * point->g[j]);
            digits[j] = (int8_t)digit;
            point->codes[j] = (int8_t)(point->codes[j] + change * (1 << m));
            bsq_point_add_row(point, j, -step * change, point->g);
            changes++;
        }
    }
    return changes;
}
