/* Everything that this library asks of BLAS and LAPACK. */
#include "base/blas.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <pthread.h>

/* blasint and lapack_int are int in the usual builds and 64 bits wide in others. */
#ifdef OPENBLAS_USE64BITINT
#define BLAS_INDEX_MAX INT64_MAX
#else
#define BLAS_INDEX_MAX INT_MAX
#endif

typedef blasint blas_index;

bool bsq_blas_fits(int64_t extent)
{
    return extent <= BLAS_INDEX_MAX;
}

/* A sequential OpenBLAS shares one buffer between all callers and gives wrong numbers when two threads call it. Ours
 * then take turns; vector operations need no buffer. Any other OpenBLAS sees to that itself. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static bool enter(void)
{
    bool sequential = openblas_get_parallel() == OPENBLAS_SEQUENTIAL;

    if (sequential)
        (void)pthread_mutex_lock(&turn);
    return sequential;
}

static void leave(bool sequential)
{
    if (sequential)
        (void)pthread_mutex_unlock(&turn);
}

static CBLAS_TRANSPOSE flag(bool transpose)
{
    return transpose ? CblasTrans : CblasNoTrans;
}

void bsq_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    bool sequential = enter();

    cblas_sgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), (blas_index)m, (blas_index)n, (blas_index)k, alpha,
                a, (blas_index)lda, b, (blas_index)ldb, beta, c, (blas_index)ldc);
    leave(sequential);
}

void bsq_dgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
               int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc)
{
    bool sequential = enter();

    cblas_dgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), (blas_index)m, (blas_index)n, (blas_index)k, alpha,
                a, (blas_index)lda, b, (blas_index)ldb, beta, c, (blas_index)ldc);
    leave(sequential);
}

void bsq_strmm(int64_t m, int64_t n, const float *r, int64_t ldr, float *b, int64_t ldb)
{
    bool sequential = enter();

    cblas_strmm(CblasRowMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, (blas_index)m, (blas_index)n, 1.0F, r,
                (blas_index)ldr, b, (blas_index)ldb);
    leave(sequential);
}

double bsq_ddot(int64_t n, const double *x, const double *y)
{
    return cblas_ddot((blas_index)n, x, 1, y, 1);
}

void bsq_daxpy(int64_t n, double alpha, const double *x, double *y)
{
    cblas_daxpy((blas_index)n, alpha, x, 1, y, 1);
}

/* LAPACK sees the row-major upper triangle as a column-major lower one: L = R', and LL' = R'R. */
bool bsq_spotrf(int64_t n, float *a, int64_t lda)
{
    bool sequential = enter();
    lapack_int info = LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)lda);

    leave(sequential);
    return info == 0;
}

bool bsq_dpotrf(int64_t n, double *a, int64_t lda)
{
    bool sequential = enter();
    lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)lda);

    leave(sequential);
    return info == 0;
}

void bsq_spotrs(int64_t n, const float *r, int64_t ldr, int64_t count, float *b, int64_t ldb)
{
    bool sequential = enter();

    (void)LAPACKE_spotrs_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, (lapack_int)count, r, (lapack_int)ldr, b,
                              (lapack_int)ldb);
    leave(sequential);
}

void bsq_dpotrs(int64_t n, const double *r, int64_t ldr, int64_t count, double *b, int64_t ldb)
{
    bool sequential = enter();

    (void)LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, (lapack_int)count, r, (lapack_int)ldr, b,
                              (lapack_int)ldb);
    leave(sequential);
}
