/* A tile: a fixed number of rows, turned into sums of products in single precision without losing digits. */
#ifndef BSQ_SRC_TILE_H
#define BSQ_SRC_TILE_H

#include "geometry.h"

enum {
    BSQ_PANEL = 128,      /* rows of a matrix of moments that are multiplied and stored together */
    BSQ_TILE_STRIP = 128, /* columns of a panel that are multiplied at a time */
    BSQ_TILE_PART = 32    /* rows of a tile that are summed in single precision */
};

/* What normalizing found, for each column: x = scale * d + mean, weighted with the square root of the row's weight. */
struct bsq_columns {
    double *scale;  /* a power of two */
    double *mean;   /* weighted */
    double *sum;    /* weighted sum of x */
    double *square; /* weighted sum of x^2; or NULL: not wanted */
};

/* The columns from 'first' on. */
struct bsq_columns bsq_columns_from(const struct bsq_columns *columns, int64_t first);

/* How many rows a tile of this layer has: depends on the layer alone. */
int64_t bsq_tile_rows(const struct bsq_geometry *geometry);

/* Replaces x (rows x columns) by d, |d| of the order of 1, and fills 'found'. 'weights' is NULL when all are 1. */
void bsq_tile_normalize(float *x, int64_t ld, int64_t rows, int64_t columns, const float *weights,
                        const struct bsq_columns *found);

/* One factor of a product: normalized columns. */
struct bsq_factor {
    const float *d;
    int64_t ld;
    int64_t columns;
    struct bsq_columns found;
};

/* Floats of scratch that bsq_tile_multiply needs for factors of up to that many columns. */
int64_t bsq_tile_scratch(int64_t rows, int64_t columns_a, int64_t columns_b);

/* to (columns of a x columns of b, leading dimension ldt) += weighted sum over rows of a' b; at most BSQ_PANEL columns
 * of a. */
void bsq_tile_multiply(const struct bsq_factor *a, const struct bsq_factor *b, int64_t rows, float *scratch, double *to,
                       int64_t ldt);

/* An upper triangle of n x n stored as panels: panel p holds rows p * BSQ_PANEL on, columns from p * BSQ_PANEL to n.
 * The part of it below the diagonal is not used. */
int64_t bsq_panel_count(int64_t n);
int64_t bsq_panel_rows(int64_t n, int64_t panel);
int64_t bsq_panel_width(int64_t n, int64_t panel);  /* its leading dimension */
int64_t bsq_panel_offset(int64_t n, int64_t panel); /* offset of panel bsq_panel_count(n) is the whole size */

#endif
