/* Bit-split: codes as b-1 ternary digit planes, and the subproblem of one plane.
 *
 * q = sum over m of 2^m t_m, m = 0 .. b-2, each t_m in {-1, 0, +1}. THE definition of bit order and sign. */
#ifndef BSQ_STAGES_BITSPLIT_H
#define BSQ_STAGES_BITSPLIT_H

#include "stages/objective.h"

#include <stdbool.h>
#include <stdint.h>

/* Planes of 'count' codes, plane m at planes + m * count, each digit with the sign of its code. False, and nothing is
 * written, when a code is outside -(2^(bits-1)-1) .. 2^(bits-1)-1. */
bool bsq_split(int32_t bits, int64_t count, const int8_t *codes, int8_t *planes);

/* Goes once over the ternary planes of a channel, the most significant first: each digit becomes the one that minimises
 * J given all others (Wang et al. 2020, eq. 5). With the digit taken out, half the negative gradient is g'; the digit
 * is sign(g') where |g'| >= scale 2^m h_jj / 2, else 0. 'planes' (bits - 1 of n digits) and the codes stay in step, g
 * is kept up to date, j too. Returns how many digits changed. */
int64_t bsq_bitsplit_sweep(struct bsq_point *point, int32_t bits, int8_t *planes);

#endif
