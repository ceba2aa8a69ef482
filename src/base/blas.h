/* Everything that this library asks of BLAS and LAPACK. blas.c is the only file that includes their headers.
 * Matrices are row-major with a leading dimension; extents must have passed bsq_blas_fits. */
#ifndef BSQ_BASE_BLAS_H
#define BSQ_BASE_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Tells whether an extent fits the index type of the BLAS that is linked. */
bool bsq_blas_fits(int64_t extent);

/* C = alpha op(A) op(B) + beta C, C m x n, inner extent k; 'transpose_a' reads A as k x m, 'transpose_b' B as n x k. */
void bsq_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void bsq_dgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
               int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

/* B = R B, R m x m upper triangular, B m x n. */
void bsq_strmm(int64_t m, int64_t n, const float *r, int64_t ldr, float *b, int64_t ldb);

double bsq_ddot(int64_t n, const double *x, const double *y);
void bsq_daxpy(int64_t n, double alpha, const double *x, double *y);

/* Upper triangular R with R'R = A, in place of A's upper triangle; the lower one is not touched. False when A is not
 * positive definite to working precision. */
bool bsq_spotrf(int64_t n, float *a, int64_t lda);
bool bsq_dpotrf(int64_t n, double *a, int64_t lda);

/* Solves R'R X = B for 'count' right sides, each a row of B (count x n), in place; R as bsq_dpotrf leaves it. */
void bsq_spotrs(int64_t n, const float *r, int64_t ldr, int64_t count, float *b, int64_t ldb);
void bsq_dpotrs(int64_t n, const double *r, int64_t ldr, int64_t count, double *b, int64_t ldb);

#endif
