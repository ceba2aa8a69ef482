/* Rounding: codes, scales and shifts from the weights alone. The start that nothing may fall behind. */
#ifndef BSQ_STAGES_ROUND_H
#define BSQ_STAGES_ROUND_H

#include "stages/objective.h"

/* The grid: what a weight may become, and which values scales and offsets may take. */
struct bsq_rounding {
    int32_t lowest, highest; /* codes */
    const int8_t *levels;    /* 'level_count' codes in ascending order; NULL: all from lowest to highest */
    int32_t level_count;
    struct bsq_shifting shifting;
    int32_t least_shift, most_shift; /* of those that are steps */
    int32_t scale_signed;            /* 1: scales may be negative */
    int32_t scale_format;            /* BSQ_SCALE_FORMAT_... */
    double scale_unit;               /* what values of the format E4M3 are multiplied with; else 1 */
    int32_t scale_bits;              /* of two-level scales; 0: one level */
    int64_t super_group;             /* scales that share a multiple */
};

/* Tells whether u = scale * code with codes one apart and a positive scale: then the calls for plain grids apply. */
static inline bool bsq_round_is_plain(const struct bsq_rounding *rounding)
{
    return !rounding->levels && rounding->shifting.kind == BSQ_SHIFT_NONE && !rounding->scale_signed &&
           !rounding->scale_bits;
}

/* The scale with which no weight is clipped; 1 when all are zero. */
double bsq_round_maximum_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count);

/* Plain: that with which the largest magnitude is halfway between the lowest and the highest code's. */
double bsq_round_extreme_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count);

/* Plain: codes and scale in turn minimise |w - scale code|^2, from 'scale' on until nothing moves. */
double bsq_round_alternating_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count,
                                   double scale);

/* Plain: the scale of least |w - scale code|^2 about, from the maximum scale: where a search may start. */
double bsq_round_least_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double maximum);

/* Plain: the allowed neighbour of 'scale' that rounds these weights with the smaller error. */
double bsq_round_allowed_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale);

/* Which scale a rounding uses: that with which nothing is clipped; codes and scale in turn from there; the best of a
 * search; plain: that of the largest magnitude in the middle of both ends, as GPTQ's published code has it. */
enum bsq_scale_rule { BSQ_RULE_MAXIMUM, BSQ_RULE_ALTERNATING, BSQ_RULE_LEAST, BSQ_RULE_EXTREMES };

/* Any grid: scale and shift of one group of weights by a rule, whatever values they may take. Errors are weighted by
 * 'importance' (count, or NULL: all alike). */
void bsq_round_fit(const struct bsq_rounding *rounding, const float *weights, const float *importance, int64_t count,
                   enum bsq_scale_rule rule, double *scale, double *shift);

/* Any grid: the nearest code for each weight; 'offset' as bsq_shift_offset gives it. */
void bsq_round_codes(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                     double offset, int8_t *codes);

#endif
