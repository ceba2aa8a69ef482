/* Rounding: codes and scales from the weights alone. The start that nothing may fall behind. */
#ifndef BSQ_STAGES_ROUND_H
#define BSQ_STAGES_ROUND_H

#include <stdint.h>

/* How weights become codes. */
struct bsq_rounding {
    int32_t lowest, highest;
    int32_t scale_format; /* BSQ_SCALE_... */
};

/* The scale with which no weight is clipped; 1 when all are zero. */
double bsq_round_maximum_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count);

/* Codes and scale in turn minimise |w - scale code|^2, from 'scale' on until nothing moves. */
double bsq_round_alternating_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count,
                                   double scale);

/* The scale of least |w - scale code|^2 about, from the maximum scale: where a search may start. */
double bsq_round_least_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double maximum);

/* The allowed neighbour of 'scale' that rounds these weights with the smaller error. */
double bsq_round_allowed_scale(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale);

/* codes = clamp(round half to even(w / scale)). */
void bsq_round_codes(const struct bsq_rounding *rounding, const float *weights, int64_t count, double scale,
                     int8_t *codes);

#endif
