/* Grids: the codes and levels that weights may have, the values that scales and offsets may have. */
#ifndef BSQ_BASE_GRID_H
#define BSQ_BASE_GRID_H

#include "base/status.h"

#include <stdbool.h>

/* What options and tensors have in common: which values a weight may take. */
struct bsq_grid_choice {
    int32_t bits, grid; /* BSQ_WEIGHT_GRID_... */
    int32_t scale_kind, scale_format;
    int32_t scale_bits, scale_signed;
    int64_t super_group;
    int64_t level_count; /* of the host's table */
};

/* ARGUMENT or RANGE when fields are outside of their bounds or do not go together. */
bsq_status_t bsq_grid_check(const struct bsq_grid_choice *choice, struct bsq_message *message);

/* RANGE when the levels of a host's table do not ascend. */
bsq_status_t bsq_grid_check_levels(const int8_t *levels, int64_t count, struct bsq_message *message);

/* The codes of a grid. */
struct bsq_grid {
    int32_t lowest, highest; /* code */
    bool from_zero;          /* bytes of codes are uint8, not int8 */
    int32_t level_count;     /* of a table; else 0 */
    const int8_t *levels;    /* the level of each code from 0 on, ascending; NULL when codes are their own levels */
};

/* 'levels' and 'level_count' are those of a host's table, which must live as long as 'out' is used. The symmetric grid
 * of 1 bit is the table -1, 1. */
void bsq_grid_describe(int32_t bits, int32_t grid, const int8_t *levels, int64_t level_count, struct bsq_grid *out);

/* Tells whether levels are part of a tensor on this grid. */
bool bsq_grid_is_table(int32_t grid);

/* Lowest and highest code of a number of bits on a grid that is not the host's table. */
void bsq_code_range(int32_t bits, int32_t grid, int32_t *lowest, int32_t *highest);

/* Reads the code at 'index' of codes of a grid. */
static inline int32_t bsq_grid_code(const struct bsq_grid *grid, const int8_t *codes, int64_t index)
{
    return grid->from_zero ? (int32_t)(uint8_t)codes[index] : codes[index];
}

/* Tells whether x is a positive value of a scale format, 'unit' times one with E4M3. Of float16 also the subnormal
 * values: engines read them, and the multiples that K types share seldom are above. */
bool bsq_scale_is_value(int32_t format, float unit, float x);

/* The 8-bit float whose product with 'unit' is rounded to x > 0; false when there is none. */
bool bsq_scale_write_e4m3(float unit, float x, uint8_t *bits);

/* Tells whether x is 0 or a value of either sign: what offsets may be. */
bool bsq_offset_is_value(int32_t format, float x);

#endif
