/* A tile: a fixed number of rows, turned into sums of products.
 *
 * Products of two floats are exact in double, magnitudes from 1e-38 to 1e38 do not leave its range, and sums are good
 * to its last digits: second moments are as exact as the float64 sums of the same rows. That is what small layers get,
 * for which it costs little. With many inputs, of moderate magnitude, products are in single precision, and up to 32
 * make a sum that is added in double: twice as fast and more, and still good to 1e-6 of sqrt(H_ii H_jj). */
#include "stats/tile.h"

#include "base/blas.h"
#include "base/memory.h"
#include "kernels/kernels.h"

_Static_assert((int)BSQ_PANEL <= (int)BSQ_SYRK_MOST, "syrk() takes a panel");

int64_t bsq_tile_rows(const struct bsq_geometry *geometry)
{
    int64_t inputs = geometry->in_channels * geometry->kernel_volume;

    if (inputs <= 8192)
        return 512;
    if (inputs <= 16384)
        return 256;
    return inputs <= 32768 ? 128 : 64;
}

int64_t bsq_tile_scratch(int64_t rows)
{
    return (2 * rows + BSQ_SYRK_ROOM) * BSQ_PANEL;
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

static struct bsq_gemm_tn product_of(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b,
                                     const float *weights, int64_t rows, double *scratch, double *to, int64_t ldt)
{
    return (struct bsq_gemm_tn){.a = a->x,
                                .b = b->x,
                                .weights = weights,
                                .rows = rows,
                                .columns_a = a->columns,
                                .columns_b = b->columns,
                                .lda = a->ld,
                                .ldb = b->ld,
                                .symmetric = a->x == b->x,
                                .scratch = scratch,
                                .to = to,
                                .ldt = ldt};
}

void bsq_tile_multiply(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b, const float *weights,
                       int64_t rows, double *scratch, double *to, int64_t ldt)
{
    const struct bsq_kernels *kernels = bsq_kernels();
    double *left = scratch, *right = scratch + rows * BSQ_PANEL;

    if (kernels->gemm_tn) {
        struct bsq_gemm_tn product = product_of(a, b, weights, rows, scratch, to, ldt);

        kernels->gemm_tn(&product);
        return;
    }
    widen(a, 0, a->columns, NULL, rows, left);
    for (int64_t first = 0; first < b->columns; first += BSQ_PANEL) {
        int64_t count = bsq_extent_least(BSQ_PANEL, b->columns - first);

        widen(b, first, count, weights, rows, right);
        bsq_dgemm(true, false, a->columns, count, rows, 1.0, left, a->columns, right, count, 1.0, to + first, ldt);
    }
}

bool bsq_tile_allows_single(const float *x, int64_t rows, int64_t n)
{
    const float smallest = 0x1p-60F, largest = 0x1p60F; /* sums of products are within the range of float */
    float least, most;

    if (n < BSQ_TILE_SINGLE_INPUTS || !bsq_kernels()->syrk)
        return false;
    bsq_kernels()->magnitudes(x, rows * n, &least, &most);
    return least >= smallest && most <= largest;
}

void bsq_tile_multiply_single(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b, int64_t rows,
                              double *scratch, double *to, int64_t ldt)
{
    struct bsq_gemm_tn product = product_of(a, b, NULL, rows, scratch, to, ldt);

    bsq_kernels()->syrk(&product);
}

void bsq_tile_sum(const struct bsq_tile_columns *columns, const float *weights, int64_t rows, double *sum,
                  double *square)
{
    bsq_kernels()->sums(columns->x, columns->ld, rows, columns->columns, weights, sum, square);
}

int64_t bsq_panel_count(int64_t n)
{
    return (n + BSQ_PANEL - 1) / BSQ_PANEL;
}

int64_t bsq_panel_rows(int64_t n, int64_t panel)
{
    return bsq_extent_least(BSQ_PANEL, n - panel * BSQ_PANEL);
}

int64_t bsq_panel_width(int64_t n, int64_t panel)
{
    return n - panel * BSQ_PANEL;
}

int64_t bsq_panel_offset(int64_t n, int64_t panel)
{
    int64_t whole = bsq_extent_least(panel, n / BSQ_PANEL);
    int64_t offset = whole * BSQ_PANEL * n - BSQ_PANEL * BSQ_PANEL * (whole * (whole - 1) / 2);

    if (panel > whole)
        offset += (n - whole * BSQ_PANEL) * (n - whole * BSQ_PANEL);
    return offset;
}
