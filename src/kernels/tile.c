/* Inner loops of a tile of statistics. */
#include "tile.h"

#include <math.h>
#include <string.h>

void bsq_tile_peaks(const float *restrict x, int64_t ld, int64_t rows, int64_t columns, float *restrict peak,
                    double *restrict sum)
{
    memset(peak, 0, (size_t)columns * sizeof *peak);
    memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * ld;

        for (int64_t j = 0; j < columns; j++) {
            float size = fabsf(row[j]);

            peak[j] = size > peak[j] ? size : peak[j];
            sum[j] += (double)row[j];
        }
    }
}

void bsq_tile_shift(float *restrict x, int64_t ld, int64_t rows, int64_t columns, const float *restrict factor,
                    const float *restrict high, const float *restrict low)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = x + i * ld;

        for (int64_t j = 0; j < columns; j++)
            row[j] = (row[j] * factor[j] - high[j]) - low[j];
    }
}

static void add_pair(const float *restrict a, const float *restrict b, int64_t columns, double *restrict total)
{
    for (int64_t j = 0; j < columns; j++)
        total[j] += (double)(a[j] + b[j]);
}

static void add_last(const float *restrict a, int64_t columns, double *restrict total)
{
    for (int64_t j = 0; j < columns; j++)
        total[j] += (double)a[j];
}

void bsq_tile_accumulate(const float *restrict parts, int64_t stride, int64_t count, int64_t columns, double scale,
                         const double *restrict column_scale, double shift, const double *restrict column_mean,
                         double *restrict total, double *restrict to)
{
    int64_t part = 0;

    memset(total, 0, (size_t)columns * sizeof *total);
    for (; part + 2 <= count; part += 2)
        add_pair(parts + part * stride, parts + (part + 1) * stride, columns, total);
    if (part < count)
        add_last(parts + part * stride, columns, total);
    for (int64_t j = 0; j < columns; j++)
        to[j] += scale * column_scale[j] * total[j] + shift * column_mean[j];
}
