/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block.
 *
 *     J(u) = constant - 2 p'u + u'H u,   u = scale * code per input
 *
 * with H damped (and centred, when the bias is corrected). It is kept relative to a point v near the minimum (w itself
 * when there is no target), which loses no digits when J is small: with s = p - H v and g = p - H u,
 *
 *     J(u) = base + (v - u)'(g + s),   base = J(v). */
#ifndef BSQ_STAGES_OBJECTIVE_H
#define BSQ_STAGES_OBJECTIVE_H

#include "stages/beam.h"
#include "stats/stats.h"

/* Channels are cut into blocks, counted from the first of a group, of a size that depends on the problem only, so that
 * every product has such a shape too: large enough for BLAS, small enough to leave blocks for threads. */
enum { BSQ_BLOCK_LEAST = 64, BSQ_BLOCK_MOST = 256 };
int64_t bsq_block_channels(const struct bsq_geometry *geometry);

/* One convolution group. With a large fan-in there is no H in double: products with it come from the statistics, and what the
 * search needs on the way from 'rows' or, where the fan-in is too large for those too, from below the diagonal of 'r'. */
struct bsq_hessian {
    int64_t n;
    int64_t channels;      /* of the group */
    const struct bsq_stats_t *stats; /* NULL: H is the identity */
    int64_t index;         /* of the group in the statistics */
    double *h;             /* n x n, damped, centred with bias correction; or NULL */
    double *diagonal;      /* n: of H */
    double *reach;         /* n: the largest |H_ij|, j other than i, where there is h and a search */
    double *mean;          /* n: mean of x; zeros when unknown */
    double *target_mean;   /* channels, and */
    double *target_square; /* channels: with a target only */
    double *factor64;        /* n x n: R in double, where 'wide' */
    double *factor64_undamped;  /* n x n: the same of the undamped H; with h and a target only */
    float *factor32;              /* n x n: R of H / unit in 'order'; below its diagonal, where there is no h, H / unit */
    float *rows;           /* n x n: H / unit; or NULL */
    float *top;            /* top_rows x n: the largest rows of R, inputs as they are; for a narrow group */
    int64_t top_rows;      /* as many as rounding's J is likely to be told from that of error feedback by; or 0 */
    int64_t *order;
    int64_t *rank;         /* rank[order[k]] = k */
    void *scratch;         /* for reading statistics */
    double unit;           /* mean(diag H) without damping */
    double ridge;          /* lambda * unit: what damping adds to the diagonal */
    double undamped_ridge;    /* what floor_solver had to add */
    double mu;
    int64_t dead_inputs;
    int32_t centred;
    int32_t has_mean;
    int32_t searchable;    /* 0 when every input is always zero: nothing to search */
    int32_t raised;        /* 1 when the search needed more damping than J has */
    int32_t has_factor64;          /* 1: solver is there: for small fan-in always, with h and a target too */
    int32_t single;        /* 1: blocks are loaded for quick.h, without products in double */
    int32_t tried;         /* multipliers of the scales that quick.h tries with every channel of such a group: how many, */
    double multipliers[BSQ_BEAM_COUNT]; /* and which */
};

/* How a group is to be prepared. */
struct bsq_hessian_plan {
    const struct bsq_geometry *geometry;
    const struct bsq_stats_t *stats; /* NULL: H is the identity, for rounding from the weights alone */
    double damping;                  /* lambda */
    double mu;                       /* 0 without target */
    int32_t centred;
    int32_t factor;                  /* 0: no search will follow */
    int32_t dense;                   /* 1: h is wanted whatever the fan-in */
    int32_t has_factor64;                    /* 1: so is the factor in double */
    int32_t single;                  /* 1: quick.h will search, if r is that of J */
};

/* Whether H will stand in double. */
bool bsq_hessian_is_dense(const struct bsq_hessian_plan *plan);

/* Lays a group out in 'memory' (NULL: only counts) and returns the bytes that it needs. */
size_t bsq_hessian_layout(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, void *memory);

/* The same for statistics with targets that do not exist yet. */
size_t bsq_hessian_bytes(const struct bsq_geometry *geometry, bool dense, bool factor);

/* Reads the moments of group 'index' and factors them. Allocates nothing. */
void bsq_hessian_prepare(struct bsq_hessian *hessian, const struct bsq_hessian_plan *plan, int64_t index);

/* Bytes of scratch that a block of such a group needs. */
size_t bsq_block_scratch(const struct bsq_hessian_plan *plan);

/* The same for statistics with targets that do not exist yet. */
size_t bsq_block_scratch_most(const struct bsq_geometry *geometry);

/* One block of channels of a group. */
struct bsq_block {
    const struct bsq_hessian *hessian;
    const float *weights; /* channels x n */
    int64_t first;        /* first channel, counted in the group */
    int64_t channels;
    int32_t single;       /* 1: only v and target_mean are loaded, energy is the searcher's to find */
    double *v;            /* channels x n */
    double *p;            /* channels x n */
    double *s;            /* channels x n: p - H v, zero but for rounding when v is the minimiser */
    double *base;         /* channels: J at v */
    double *energy;       /* channels: what errors are relative to */
    double *floor;        /* channels: the least undamped error of any u; 0 without target */
    double *target_mean;  /* channels: mean of the wanted output */
    void *scratch;
};

size_t bsq_block_layout(struct bsq_block *block, int64_t channels, int64_t n, size_t scratch, void *memory);
void bsq_block_load(struct bsq_block *block, const struct bsq_hessian *hessian, const float *weights, int64_t first,
                    int64_t channels);

/* Loads the rest of a narrow block. */
void bsq_block_load_double(struct bsq_block *block);

/* Codes and scales of a block of channels: u_j = scales[j / group_size] * codes[j]. */
struct bsq_candidate {
    int64_t group_size;
    int64_t scales_per_channel;
    int8_t *codes;   /* channels x n */
    double *scales;  /* channels x scales_per_channel */
    double *j;       /* channels: objective */
    double *g;       /* channels x n: p - H u, half the negative gradient */
};

/* One channel of a candidate, as the stages that work on single channels see it. */
struct bsq_point {
    int64_t n;
    int64_t group_size;
    int64_t scales_per_channel;
    const double *h;        /* n x n; or NULL: rows come from the group */
    const struct bsq_hessian *hessian;
    const double *diagonal; /* n: of H */
    const double *p; /* n */
    int8_t *codes;   /* n */
    double *scales;  /* scales_per_channel */
    double *g;       /* n */
    double j;
    int32_t lowest, highest;
};

/* y += a * row j of H. */
void bsq_point_add_row(const struct bsq_point *point, int64_t j, double a, double *y);

struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                                     int32_t lowest, int32_t highest);

/* Sets j and g of every channel; 'u' is channels x n of scratch. */
void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u);

/* The same for the 'count' channels of the list, which rises; g of others is lost. */
void bsq_candidate_judge_some(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                              int64_t count, double *u);

/* |w - u|^2 of one channel. */
double bsq_candidate_distance(const struct bsq_candidate *candidate, int64_t n, int64_t channel, const float *weights);

/* u of one channel. */
void bsq_candidate_weights(const struct bsq_candidate *candidate, int64_t n, int64_t channel, double *u);

/* The same as bsq_candidate_judge_some for the search to go on from: products are in single precision where the group has
 * 'rows', so that the result has to be judged. */
void bsq_candidate_estimate(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                            int64_t count, double *u);

/* Takes over every channel of 'from' whose objective is lower; returns how many. */
int64_t bsq_candidate_accept(struct bsq_candidate *into, const struct bsq_candidate *from, int64_t channels,
                             int64_t n);

#endif
