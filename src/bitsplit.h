/* Bit-split: codes as b-1 ternary digit planes, and the subproblem of one plane.
 *
 * q = sum over m of 2^m t_m, m = 0 .. b-2, each t_m in {-1, 0, +1}. THE definition of bit order and sign. */
#ifndef BSQ_SRC_BITSPLIT_H
#define BSQ_SRC_BITSPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* Planes of 'count' codes, plane m at planes + m * count, each digit with the sign of its code. False, and nothing is
 * written, when a code is outside -(2^(bits-1)-1) .. 2^(bits-1)-1. */
bool bsq_split(int32_t bits, int64_t count, const int8_t *codes, int8_t *planes);

#endif
