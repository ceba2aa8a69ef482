/* Stitching: ternary planes back to integer codes. */
#ifndef BSQ_STAGES_STITCH_H
#define BSQ_STAGES_STITCH_H

#include <stdint.h>

/* codes = sum over m of 2^m plane_m, plane m at planes + m * count; digits may have mixed signs. */
void bsq_stitch(int32_t bits, int64_t count, const int8_t *planes, int8_t *codes);

#endif
