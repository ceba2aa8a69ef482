/* What the objective needs of one convolution group's inputs: H, damped and centred, in the order in which inputs are
 * decided, and its triangular factor. */
#ifndef BSQ_STAGES_HESSIAN_H
#define BSQ_STAGES_HESSIAN_H

#include "stages/beam.h"
#include "stats/stats.h"

/* What the beam of effort 1 tries with every channel of a group: multipliers of the usual scales, and other scales to
 * begin from, a bit each (solve/first_beam.h). */
struct bsq_first_choice {
    double multipliers[BSQ_BEAM_COUNT];
    int32_t tried;
    int32_t origins;
};

/* H of one convolution group. With a large fan-in there is no H in double: products with it come from the statistics,
 * and what the search needs on the way from 'rows' or, where the fan-in is too large for those too, from below the
 * diagonal of 'factor32'. */
struct bsq_hessian {
    int64_t n;
    int64_t channels;                /* of the group */
    const struct bsq_stats_t *stats; /* NULL: H is the identity */
    int64_t index;                   /* of the group in the statistics */
    double *h;                       /* n x n, damped, centred with bias correction; or NULL */
    double *diagonal;                /* n: of H */
    double *reach;                   /* n: the largest |H_ij|, j other than i, where there is h and a search */
    double *mean;                    /* n: mean of x; zeros when unknown */
    double *target_mean;             /* channels, and */
    double *target_square;           /* channels: with a target only */
    double *factor64;                /* n x n: R in double, with has_factor64 */
    double *factor64_undamped;       /* n x n: the same of the undamped H; with h and a target only */
    float *factor32;       /* n x n: R of H / unit in 'order'; where there is no h, below its diagonal H / unit */
    float *rows;           /* n x n: H / unit; or NULL */
    float *top;            /* top_rows x n: the largest rows of R, columns as inputs are; with 'single' */
    int64_t top_rows;      /* enough of them to tell rounding from error feedback by J, as a rule; or 0 */
    int64_t *order;        /* n: rising diagonal: the factor decides the last first */
    int64_t *rank;         /* rank[order[k]] = k */
    bool *idle;            /* n: inputs that are always zero or, with bias correction, constant */
    void *scratch;         /* for reading statistics */
    double unit;           /* mean(diag H) without damping */
    double ridge;          /* lambda * unit: what damping adds to the diagonal */
    double undamped_share; /* of the diagonal, that factor64_undamped had to add */
    double mu;
    int64_t dead_inputs;
    int32_t centred;
    int32_t has_mean;
    int32_t searchable;   /* 0 when every input is always zero: nothing to search */
    int32_t raised;       /* 1 when the search needed more damping than J has */
    int32_t inexact;      /* 1 when factors are not those of J: damping was raised, or an input is always zero */
    int32_t has_factor64; /* 1 for small fan-in always, with h and a target too */
    int32_t single;       /* 1: blocks are loaded for the single-precision search, without products in double */
    struct bsq_first_choice choices[2]; /* what the single-precision search tries; in the full range with its symmetric
                                           codes alone too */
};

/* How H is to be prepared. */
struct bsq_hessian_plan {
    const struct bsq_geometry *geometry;
    const struct bsq_stats_t *stats; /* NULL: H is the identity, for rounding from the weights alone */
    bool present;                    /* there are statistics, or will be */
    bool targets;                    /* they have targets */
    double damping;                  /* lambda */
    double mu;                       /* 0 without target */
    int32_t centred;
    int32_t factor;   /* 0: no search will follow */
    int32_t dense;    /* 1: h is wanted whatever the fan-in */
    int32_t factor64; /* 1: so is the factor in double */
    int32_t rows;     /* 1: so are rows in single precision for a search, where there is no h; 'single' is 0 then */
    int32_t single;   /* 1: the single-precision search will run, if factor32 is that of J */
};

/* Tells whether H will stand in double. */
bool bsq_hessian_is_dense(const struct bsq_hessian_plan *plan);

/* Lays H out in 'memory' (NULL: only counts) and returns the bytes that it needs; of the plan's statistics it reads
 * nothing. */
size_t bsq_hessian_layout(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, void *memory);

/* Reads the moments of group 'index' and factors them. Allocates nothing. */
void bsq_hessian_prepare(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, int64_t index);

/* Sets sums[i] = |R e_i|^2 / unit for 'count' rows of n, BSQ_BLOCK_MOST at most, that lie where e says; 'x' is n x
 * count of scratch. A sum of squares has single precision however small it is. */
void bsq_hessian_squares(const struct bsq_hessian *hessian, const float *const *e, int64_t count, float *x,
                         double *sums);

#endif
