/* Stitching: ternary planes back to integer codes. */
#include "stages/stitch.h"

#include <string.h>

void bsq_stitch(int32_t bits, int64_t count, const int8_t *planes, int8_t *codes)
{
    memset(codes, 0, (size_t)count);
    for (int32_t m = 0; m < bits - 1; m++) {
        const int8_t *plane = planes + (size_t)m * (size_t)count;
        int weight = 1 << m;

        for (int64_t i = 0; i < count; i++)
            codes[i] = (int8_t)(codes[i] + weight * plane[i]);
    }
}
