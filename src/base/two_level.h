/* Two-level scales and offsets: small integers times a number that several of them share. */
#ifndef BSQ_BASE_TWO_LEVEL_H
#define BSQ_BASE_TWO_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

/* Most scales of a super-group that are taken apart at once by layouts; tensors may have more. */
enum { BSQ_SUPER_GROUP = 16 };

/* Which numbers there may be. */
struct bsq_two_level {
    int32_t format; /* BSQ_SCALE_FORMAT_... of what is shared */
    int32_t lowest, highest;
    bool zero; /* 0 is allowed */
};

/* Those of scales of 'bits' bits, and of offsets, which are taken apart with their signs changed. */
struct bsq_two_level bsq_two_level_scales(int32_t format, int32_t bits, bool is_signed);
struct bsq_two_level bsq_two_level_offsets(int32_t format, int32_t bits);

/* Takes 'count' numbers, each times 'sign', apart into exact products: of all ways the one with the largest shared
 * number, the positive one of two. Writes 'shared', 0 when all numbers are 0, and 'integers' unless NULL; false when
 * there is no way. */
bool bsq_two_level_split(const struct bsq_two_level *rule, const float *numbers, int64_t count, float sign,
                         float *shared, int32_t *integers);

#endif
