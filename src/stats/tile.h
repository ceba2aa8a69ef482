/* A tile: a fixed number of rows, turned into sums of products. */
#ifndef BSQ_STATS_TILE_H
#define BSQ_STATS_TILE_H

#include "base/geometry.h"

enum {
    BSQ_PANEL = 128 /* rows of a matrix of moments that are multiplied and stored together */
};

/* Says how many rows a tile of this layer has: depends on the layer alone. */
int64_t bsq_tile_rows(const struct bsq_geometry *geometry);

/* Columns of a tile: row i at x + i * ld. */
struct bsq_tile_columns {
    const float *x;
    int64_t ld;
    int64_t columns;
};

/* Counts the doubles of scratch that products need for that many rows. */
int64_t bsq_tile_scratch(int64_t rows);

/* to (columns of a x columns of b, leading dimension ldt) += weighted sum over rows of a' b; at most BSQ_PANEL columns
 * of a. 'weights' is NULL when all are 1. When a begins where b does, what is below the diagonal may be left out. */
void bsq_tile_multiply(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b, const float *weights,
                       int64_t rows, double *scratch, double *to, int64_t ldt);

/* From this fan-in on, sums of a few products may be in single precision. */
enum { BSQ_TILE_SINGLE_INPUTS = 256 };

/* Says whether such products of 'rows' rows of n inputs, one after the other, may be summed in single precision: inputs
 * are many, and magnitudes are zero or leave room for their products. */
bool bsq_tile_allows_single(const float *x, int64_t rows, int64_t n);

/* Does the same when a begins where b does and all weights are 1; sums of a few products are in single precision. */
void bsq_tile_multiply_single(const struct bsq_tile_columns *a, const struct bsq_tile_columns *b, int64_t rows,
                              double *scratch, double *to, int64_t ldt);

/* sum += weighted sums of the columns, square += weighted sums of their squares (or NULL: not wanted). */
void bsq_tile_sum(const struct bsq_tile_columns *columns, const float *weights, int64_t rows, double *sum,
                  double *square);

/* An upper triangle of n x n stored as panels: panel p holds rows p * BSQ_PANEL on, columns from p * BSQ_PANEL to n.
 * The part of it below the diagonal is not used. */
int64_t bsq_panel_count(int64_t n);
int64_t bsq_panel_rows(int64_t n, int64_t panel);
int64_t bsq_panel_width(int64_t n, int64_t panel);  /* its leading dimension */
int64_t bsq_panel_offset(int64_t n, int64_t panel); /* offset of panel bsq_panel_count(n) is the whole size */

#endif
