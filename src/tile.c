/* A tile: a fixed number of rows, turned into sums of products in single precision without losing digits.
 *
 * With r the weights of the rows, R their sum, and for every column m = sum r x / R:
 *
 *     sum r x_i x_j = sum r (x_i - m_i)(x_j - m_j) + R m_i m_j
 *
 * because sum r (x - m) is zero. The last term is formed in double. The first one is sgemm's, of columns
 * d = sqrt(r) (x - m) / 2^e with e so that the largest sqrt(r) |x| is in [1, 2) of a column: nothing overflows, nothing
 * that matters underflows, and constant columns are exact. Powers of two are exact, and are put back in double.
 *
 * Single precision sums of k terms may be off by k/2 units in the last place when the terms are alike (a column of two
 * values, beside a copy of itself), always to the same side. So sgemm sums BSQ_TILE_PART rows, which keeps the error
 * of H_ij below 1e-6 sqrt(H_ii H_jj) then too, and the parts are added in double, four at a time. */
#include "tile.h"

#include "blas.h"
#include "kernels/kernels.h"

#include <math.h>

/* Columns that are normalized together: one pass finds what the next one needs while the cache still has them. */
enum { COLUMNS = 128 };

/* Powers of two that have a normal float as reciprocal. */
enum { MOST_EXPONENT = 126 };

int64_t bsq_tile_rows(const struct bsq_geometry *geometry)
{
    int64_t inputs = geometry->in_channels * geometry->kernel_volume;

    if (inputs <= 8192)
        return 512;
    if (inputs <= 16384)
        return 256;
    return inputs <= 32768 ? 128 : 64;
}

struct bsq_columns bsq_columns_from(const struct bsq_columns *columns, int64_t first)
{
    return (struct bsq_columns){columns->scale + first, columns->mean + first, columns->sum + first,
                                columns->square ? columns->square + first : NULL};
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The e with 2^e <= peak < 2^(e+1); 0 for 0. */
static int exponent_of(double peak)
{
    int exponent;

    if (!(peak > 0))
        return 0;
    (void)frexp(peak, &exponent);
    return exponent - 1;
}

static void sum_squares(const float *x, int64_t ld, int64_t rows, int64_t columns, const float *weights, double *square)
{
    for (int64_t j = 0; j < columns; j++)
        square[j] = 0;
    for (int64_t i = 0; i < rows; i++) {
        double weight = weights ? (double)weights[i] : 1;

        for (int64_t j = 0; j < columns; j++)
            square[j] += weight * (double)x[i * ld + j] * (double)x[i * ld + j];
    }
}

static void normalize_plain(float *x, int64_t ld, int64_t rows, int64_t columns, const struct bsq_columns *found)
{
    float peak[COLUMNS], factor[COLUMNS], high[COLUMNS], low[COLUMNS];

    bsq_tile_peaks(x, ld, rows, columns, peak, found->sum);
    for (int64_t j = 0; j < columns; j++) {
        int exponent = exponent_of((double)peak[j]);

        if (exponent > MOST_EXPONENT)
            exponent = MOST_EXPONENT;
        if (exponent < -MOST_EXPONENT)
            exponent = -MOST_EXPONENT;
        found->scale[j] = ldexp(1, exponent);
        found->mean[j] = found->sum[j] / (double)rows;
        factor[j] = (float)ldexp(1, -exponent);
        high[j] = (float)ldexp(found->mean[j], -exponent);
        low[j] = (float)(ldexp(found->mean[j], -exponent) - (double)high[j]);
    }
    bsq_tile_shift(x, ld, rows, columns, factor, high, low);
}

/* The same in double, since weights may shift magnitudes by more than a float holds. */
static void normalize_weighted(float *x, int64_t ld, int64_t rows, int64_t columns, const float *weights,
                               const struct bsq_columns *found)
{
    double peak[COLUMNS], total = 0;

    for (int64_t j = 0; j < columns; j++)
        peak[j] = found->sum[j] = 0;
    for (int64_t i = 0; i < rows; i++) {
        double weight = (double)weights[i], root = sqrt(weight);

        total += weight;
        for (int64_t j = 0; j < columns; j++) {
            double value = (double)x[i * ld + j];

            peak[j] = fmax(peak[j], root * fabs(value));
            found->sum[j] += weight * value;
        }
    }
    for (int64_t j = 0; j < columns; j++) {
        found->scale[j] = ldexp(1, exponent_of(peak[j]));
        found->mean[j] = found->sum[j] / total;
    }
    for (int64_t i = 0; i < rows; i++) {
        double root = sqrt((double)weights[i]);

        for (int64_t j = 0; j < columns; j++)
            x[i * ld + j] = (float)(root * ((double)x[i * ld + j] - found->mean[j]) / found->scale[j]);
    }
}

void bsq_tile_normalize(float *x, int64_t ld, int64_t rows, int64_t columns, const float *weights,
                        const struct bsq_columns *found)
{
    for (int64_t first = 0; first < columns; first += COLUMNS) {
        int64_t count = smaller(COLUMNS, columns - first);
        struct bsq_columns part = bsq_columns_from(found, first);

        if (part.square)
            sum_squares(x + first, ld, rows, count, weights, part.square);
        if (weights)
            normalize_weighted(x + first, ld, rows, count, weights, &part);
        else
            normalize_plain(x + first, ld, rows, count, &part);
    }
}

static int64_t part_count(int64_t rows)
{
    return (rows + BSQ_TILE_PART - 1) / BSQ_TILE_PART;
}

int64_t bsq_tile_scratch(int64_t rows, int64_t columns_a, int64_t columns_b)
{
    return part_count(rows) * smaller(BSQ_PANEL, columns_a) * smaller(BSQ_TILE_STRIP, columns_b);
}

/* 'width' columns of b from 'first' on. */
static void multiply_strip(const struct bsq_factor *a, const struct bsq_factor *b, int64_t first, int64_t width,
                           int64_t rows, float *scratch, double *to, int64_t ldt)
{
    int64_t parts = part_count(rows), stride = a->columns * width;
    double total[BSQ_TILE_STRIP];

    for (int64_t part = 0; part < parts; part++) {
        int64_t row = part * BSQ_TILE_PART;

        bsq_sgemm(true, false, a->columns, width, smaller(BSQ_TILE_PART, rows - row), 1.0F, a->d + row * a->ld, a->ld,
                  b->d + row * b->ld + first, b->ld, 0.0F, scratch + part * stride, width);
    }
    for (int64_t i = 0; i < a->columns; i++)
        bsq_tile_accumulate(scratch + i * width, stride, parts, width, a->found.scale[i], b->found.scale + first,
                            a->found.sum[i], b->found.mean + first, total, to + i * ldt + first);
}

void bsq_tile_multiply(const struct bsq_factor *a, const struct bsq_factor *b, int64_t rows, float *scratch, double *to,
                       int64_t ldt)
{
    for (int64_t first = 0; first < b->columns; first += BSQ_TILE_STRIP)
        multiply_strip(a, b, first, smaller(BSQ_TILE_STRIP, b->columns - first), rows, scratch, to, ldt);
}

int64_t bsq_panel_count(int64_t n)
{
    return (n + BSQ_PANEL - 1) / BSQ_PANEL;
}

int64_t bsq_panel_rows(int64_t n, int64_t panel)
{
    return smaller(BSQ_PANEL, n - panel * BSQ_PANEL);
}

int64_t bsq_panel_width(int64_t n, int64_t panel)
{
    return n - panel * BSQ_PANEL;
}

int64_t bsq_panel_offset(int64_t n, int64_t panel)
{
    int64_t whole = smaller(panel, n / BSQ_PANEL);
    int64_t offset = whole * BSQ_PANEL * n - BSQ_PANEL * BSQ_PANEL * (whole * (whole - 1) / 2);

    if (panel > whole)
        offset += (n - whole * BSQ_PANEL) * (n - whole * BSQ_PANEL);
    return offset;
}
