/* A tile: a fixed number of rows, turned into sums of products.
 *
 * Products of two floats are exact in double, magnitudes from 1e-38 to 1e38 do not leave its range, and sums are good to
 * its last digits: second moments are as exact as the float64 sums of the same rows, so that codes chosen from them are
 * the same too. (Single-precision products were tried, shifted, scaled and summed 32 rows at a time: twice as fast, good
 * to 5e-7, and enough of a difference to change codes of a real layer where two choices are nearly as good.) */
#include "tile.h"

#include "blas.h"
#include "kernels/kernels.h"

int64_t bsq_tile_rows(const struct bsq_geometry *geometry)
{
    int64_t inputs = geometry->in_channels * geometry->kernel_volume;

    if (inputs <= 8192)
        return 512;
    if (inputs <= 16384)
        return 256;
    return inputs <= 32768 ? 128 : 64;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t bsq_tile_scratch(int64_t rows)
{
    return 2 * rows * BSQ_PANEL;
}

/* 'count' columns from 'first' on as doubles, multiplied by the weights of their rows. */
static void widen(const struct bsq_tile_columns *columns, int64_t first, int64_t count, const float *weights,
                  int64_t rows, double *to)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *x = columns->x + i * columns->ld + first;
        double weight = weights ? (double)weights[i] : 1.0;

        for (int64_t j = 0; j < count; j++)
            to[i * count + j] = weight * (double)x[j];
    }
}

void bsq_tile_multiply(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b, const float *weights,
                       int64_t rows, double *scratch, double *to, int64_t ldt)
{
    const struct bsq_kernels *kernels = bsq_kernels_best();
    double *left = scratch, *right = scratch + rows * BSQ_PANEL;

    if (kernels->product) {
        struct bsq_product product = {
            .a = a->x, .b = b->x, .weights = weights, .rows = rows, .columns_a = a->columns, .columns_b = b->columns,
            .lda = a->ld, .ldb = b->ld, .symmetric = a->x == b->x, .scratch = scratch, .to = to, .ldt = ldt};

        kernels->product(&product);
        return;
    }
    widen(a, 0, a->columns, NULL, rows, left);
    for (int64_t first = 0; first < b->columns; first += BSQ_PANEL) {
        int64_t count = smaller(BSQ_PANEL, b->columns - first);

        widen(b, first, count, weights, rows, right);
        bsq_dgemm(true, false, a->columns, count, rows, 1.0, left, a->columns, right, count, 1.0, to + first, ldt);
    }
}

void bsq_tile_sum(const struct bsq_tile_columns *columns, const float *weights, int64_t rows, double *sum,
                  double *square)
{
    bsq_kernels_best()->sums(columns->x, columns->ld, rows, columns->columns, weights, sum, square);
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
