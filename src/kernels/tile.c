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

static void add_four(const float *restrict parts, int64_t stride, int64_t columns, double *restrict total)
{
    const float *a = parts, *b = parts + stride, *c = parts + 2 * stride, *d = parts + 3 * stride;

    for (int64_t j = 0; j < columns; j++)
        total[j] += (double)((a[j] + b[j]) + (c[j] + d[j]));
}

static void add_one(const float *restrict part, int64_t columns, double *restrict total)
{
    for (int64_t j = 0; j < columns; j++)
        total[j] += (double)part[j];
}

void bsq_tile_accumulate(const float *restrict parts, int64_t stride, int64_t count, int64_t columns, double scale,
                         const double *restrict column_scale, double shift, const double *restrict column_mean,
                         double *restrict total, double *restrict to)
{
    int64_t part = 0;

    memset(total, 0, (size_t)columns * sizeof *total);
    for (; part + 4 <= count; part += 4)
        add_four(parts + part * stride, stride, columns, total);
    for (; part < count; part++)
        add_one(parts + part * stride, columns, total);
    for (int64_t j = 0; j < columns; j++)
        to[j] += scale * column_scale[j] * total[j] + shift * column_mean[j];
}
