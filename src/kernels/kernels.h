/* Inner loops that are worth more than one version. portable.c is the reference; dispatch.c picks once.
 *
 * Every version does the same operations in the same order, each rounded by itself, so results have the same bits; only
 * 'gemm_tn' and 'syrk' may differ, as BLAS does. Headers that say that they are included are compiled once for each
 * kind of machine, with the vectors and instructions that the including file stands for. */
#ifndef BSQ_SRC_KERNELS_H
#define BSQ_SRC_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BSQ_BEAM_ROWS = 32,   /* rows of the factor that one call of beam() decides */
    BSQ_BEAM_WIDTH = 64,  /* most survivors of a lane */
    BSQ_BEAM_LEVELS = 256 /* most levels of a table */
};

enum {
    BSQ_SYRK_MOST = 128, /* most columns_a of syrk() */
    BSQ_SYRK_ROOM = 130  /* scratch besides, as rows */
};

/* One diagonal block of a beam search: 'rows' codes of every lane, the last row first. A lane is one channel at one
 * scale; its 'width' survivors lie side by side, best first, so that a row of states is lanes x width. */
struct bsq_beam_block {
    int64_t rows;
    int64_t lanes;
    int64_t width;
    const float *r; /* rows x rows upper triangle, leading dimension ldr */
    int64_t ldr;
    const float *t; /* rows x states: what the codes decided before this block add to each row of R (v - step q) */
    const float *v; /* rows x lanes, leading dimension ldv */
    int64_t ldv;
    const float *step;    /* rows x lanes, leading dimension lds: 0 when all rows have the same */
    const float *inverse; /* 1 / step, as step */
    int64_t lds;
    float *e;        /* rows x states, out: v - step q along each survivor's path; may be v when width is 1 */
    float *cost;     /* states, in and out: squared residual so far; infinity where there is no survivor */
    int32_t *parent; /* states, out: which survivor of the lane each one descends from; untouched when width is 1 */
    float lowest, highest; /* codes, integers from -128 to 127; the least and the greatest level of a table */
    const float *levels; /* what codes stand for, integers in ascending order, with room for 16; NULL: for themselves */
    int32_t level_count;
};

/* What rows before a block add to it for each of the 'width' survivors of one lane, from what they add for the first:
 * t[k][s] = base[k] + sum over i of r[k][row[i]] * (e[i][s] - e[i][0]), added up in that order. */
struct bsq_beam_spread {
    int64_t rows, width, count;
    const float *r;     /* rows of the factor, leading dimension ldr */
    const int32_t *row; /* count: inputs in which survivors differ from the first */
    const float *e;     /* count x width */
    float *difference;  /* count x width, scratch */
    const float *base;  /* rows, ldb apart */
    float *t;           /* rows x width, leading dimension ldt */
    int64_t ldr, ldb, ldt;
};

/* to (columns_a x columns_b) += sum over rows of weight * a * b, products and sums in double. */
struct bsq_gemm_tn {
    const float *a;       /* rows x columns_a, leading dimension lda */
    const float *b;       /* rows x columns_b, leading dimension ldb */
    const float *weights; /* of the rows; NULL: all are 1 */
    int64_t rows, columns_a, columns_b;
    int64_t lda, ldb;
    bool symmetric;  /* column i of a is column i of b: what is below the diagonal may be left out */
    double *scratch; /* rows x (columns_a rounded up to a multiple of 8) */
    double *to;
    int64_t ldt;
};

/* What rounding x / scale to the codes of a grid leaves: x is weighted, a shift is taken off before. */
struct bsq_fit {
    const float *x, *weight; /* count; weight NULL: all are 1 */
    int64_t count;
    float inverse, shift;  /* of the scale; in steps */
    float lowest, highest; /* codes */
    const float *levels;   /* 'level_count' that codes are one of, in ascending order; NULL: all integers between */
    int32_t level_count;
};

/* With r = x / scale - shift - code and d = code + shift: weighted sums of r^2, r d, d^2, r, d. */
struct bsq_fit_sums {
    double rr, rd, dd, r, d;
};

struct bsq_kernels {
    int32_t id; /* BSQ_KERNEL_... */
    void (*beam)(const struct bsq_beam_block *block);
    void (*spread)(const struct bsq_beam_spread *spread);
    /* Each of 'rows' rows of e (leading dimension lde) becomes e[parent[0]], e[parent[1]], ... (parent NULL: stays);
     * differ: whether they are not all equal. */
    void (*follow)(float *e, int64_t lde, int64_t rows, int64_t width, const int32_t *parent, unsigned char *differ);
    /* NULL: BLAS is the better choice. */
    void (*gemm_tn)(const struct bsq_gemm_tn *product);
    /* The same for at most BSQ_SYRK_MOST columns_a that are the first of b's, no weights, and magnitudes that are 0 or
     * far from the ends of the range of float: up to 32 products that are not 0 make a sum in single precision. The
     * scratch has (rows + BSQ_SYRK_ROOM) x BSQ_SYRK_MOST doubles. NULL where gemm_tn is. */
    void (*syrk)(const struct bsq_gemm_tn *product);
    /* to[i * ldt + j] = from[column[j] + i * step] for i < rows and j < columns. */
    void (*gather)(const float *from, const int64_t *column, int64_t step, int64_t rows, int64_t columns, float *to,
                   int64_t ldt);
    /* For each column: sum += weight * x, and square += weight * x * x unless it is NULL. */
    void (*sums)(const float *x, int64_t ld, int64_t rows, int64_t columns, const float *weights, double *sum,
                 double *square);
    /* x = scale * (x / scale clamped and rounded half to even), kept within the range of float. */
    void (*requantize)(float *x, int64_t count, double scale, double low, double high);
    /* The least magnitude that is not zero (infinity: there is none) and the largest, which is not finite when any is
     * not. */
    void (*magnitudes)(const float *x, int64_t count, float *least, float *most);
    /* The bits of those of 'count' values, 'stride' apart, that are not +0, one after the other; returns how many.
     * There is room for all of them. */
    int64_t (*list_bits)(const float *x, int64_t count, int64_t stride, uint32_t *bits);
    /* The least of x and 0, the largest of x and 0. */
    void (*extremes)(const float *x, int64_t count, float *least, float *most);
    /* Sums over x of code * x and of code^2, code = x * inverse clamped and rounded half to even; in single precision
     * for a few terms at a time. */
    void (*round_sums)(const float *x, int64_t count, float inverse, float low, float high, double *along,
                       double *square);
    /* In single precision for a few terms at a time. */
    void (*fit)(const struct bsq_fit *fit, struct bsq_fit_sums *sums);
    /* errors = x * inverse - (that clamped and rounded half to even); returns the sum of their squares. */
    double (*round_errors)(const float *x, int64_t count, double inverse, double low, double high, float *errors);
    /* codes = x / scale clamped and rounded half to even. */
    void (*round_codes)(const float *x, int64_t count, double scale, double low, double high, int8_t *codes);
    /* The first i from 'from' on with |g_i| > half * diagonal_i; 'count' when there is none. */
    int64_t (*next_step)(const double *g, const double *diagonal, double half, int64_t from, int64_t count);
    /* With x_i = g_i - shift h_i, the most of 2 x_i - up_i and -2 x_i - down_i over all i; count is positive. */
    double (*most_gain)(const double *h, const double *g, const double *up, const double *down, double shift,
                        int64_t count);
    /* Sums of code * g and of code * (p - g). */
    void (*code_sums)(const int8_t *codes, const double *p, const double *g, int64_t count, double *along,
                      double *square);
    /* y += scale * x */
    void (*add_scaled)(const float *x, double scale, int64_t count, double *y);
    /* Sum of (x - scale * code)^2. */
    double (*distance)(const float *x, const int8_t *codes, double scale, int64_t count);
    /* Packs count codes of 4 or 2 bits, low bits first; count is a multiple of 8 / bits. And back. */
    void (*pack4)(const int8_t *codes, int64_t count, unsigned char *packed);
    void (*pack2)(const int8_t *codes, int64_t count, unsigned char *packed);
    void (*unpack4)(const unsigned char *packed, int64_t count, int8_t *codes);
    void (*unpack2)(const unsigned char *packed, int64_t count, int8_t *codes);
};

extern const struct bsq_kernels bsq_kernels_portable;

/* NULL where they are not compiled in. */
const struct bsq_kernels *bsq_kernels_avx2(void);
const struct bsq_kernels *bsq_kernels_avx512(void);
const struct bsq_kernels *bsq_kernels_neon(void);

/* The best that this machine runs. */
const struct bsq_kernels *bsq_kernels(void);

/* The kernels BSQ_KERNEL_...; NULL when this machine does not run them. */
const struct bsq_kernels *bsq_kernels_by_id(int32_t id);

/* For tests: bsq_kernels() is these from now on, or with 0 the best again. False when this machine lacks them. */
bool bsq_kernels_force(int32_t id);

#endif
