/* Inner loops of a tile of statistics. */
#ifndef BSQ_SRC_KERNELS_TILE_H
#define BSQ_SRC_KERNELS_TILE_H

#include <stdint.h>

/* Largest magnitude and sum of each column. */
void bsq_tile_peaks(const float *x, int64_t ld, int64_t rows, int64_t columns, float *peak, double *sum);

/* x = (x * factor - high) - low for each column: high + low is a mean with more digits than a float has. */
void bsq_tile_shift(float *x, int64_t ld, int64_t rows, int64_t columns, const float *factor, const float *high,
                    const float *low);

/* One row of moments: to[j] += scale * column_scale[j] * (sum over parts of part[j]) + shift * column_mean[j].
 * Parts lie 'stride' apart; four of them are added in float, fours in double. 'total' is scratch for 'columns' values. */
void bsq_tile_accumulate(const float *parts, int64_t stride, int64_t count, int64_t columns, double scale,
                         const double *column_scale, double shift, const double *column_mean, double *total,
                         double *to);

#endif
