/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block.
 *
 *     J(u) = constant - 2 p'u + u'H u,   u = scale * code per input
 *
 * with H damped (and centred, when the bias is corrected). It is kept relative to a point v near the minimum (w itself
 * when there is no target), which loses no digits when J is small: with s = p - H v and g = p - H u,
 *
 *     J(u) = base + (v - u)'(g + s),   base = J(v). */
#ifndef BSQ_SRC_PROBLEM_H
#define BSQ_SRC_PROBLEM_H

#include "beam.h"
#include "stats.h"

/* Channels are cut into blocks of this many, counted from the first of a group: fixed, so that every product has a
 * shape that depends on the problem only. */
enum { BSQ_BLOCK_CHANNELS = 64 };

/* One convolution group. */
struct bsq_group {
    int64_t n;
    int64_t channels;      /* of the group */
    double *h;             /* n x n, damped, centred with bias correction; NULL: the identity */
    double *diagonal;      /* n: of h */
    double *mean;          /* n: mean of x; zeros when unknown */
    double *p;             /* channels x n, target_mean and target_square: channels; with a target only */
    double *target_mean;
    double *target_square;
    double *solver;        /* n x n: R in double, where 'wide' */
    double *floor_solver;  /* n x n: the same of the undamped H; with a target only */
    float *r;              /* n x n: R for the search */
    int64_t *order;
    void *scratch;         /* for bsq_stats_read */
    double unit;           /* mean(diag H) without damping: r is that of H / unit */
    double ridge;          /* lambda * unit: what damping adds to the diagonal */
    double floor_ridge;    /* what floor_solver had to add */
    double mu;
    int64_t dead_inputs;
    int32_t centred;
    int32_t searchable;    /* 0 when every input is always zero: nothing to search */
    int32_t raised;        /* 1 when the search needed more damping than J has */
    int32_t wide;          /* 1: solver is there: always for small fan-in and with a target */
    int32_t narrow;        /* 1: blocks are loaded for quick.h, without products in double */
};

/* How a group is to be prepared. */
struct bsq_group_plan {
    const struct bsq_geometry *geometry;
    const struct bsq_stats_t *stats; /* NULL: H is the identity, for rounding from the weights alone */
    double damping;                  /* lambda */
    double mu;                       /* 0 without target */
    int32_t centred;
    int32_t factor;                  /* 0: no search will follow */
    int32_t narrow;                  /* 1: quick.h will search, if r is that of J */
};

/* Lays a group out in 'memory' (NULL: only counts) and returns the bytes that it needs. */
size_t bsq_group_layout(struct bsq_group *group, const struct bsq_group_plan *plan, void *memory);

/* Reads the moments of group 'index' and factors them. Allocates nothing. */
void bsq_group_prepare(struct bsq_group *group, const struct bsq_group_plan *plan, int64_t index);

/* One block of channels of a group. */
struct bsq_block {
    const struct bsq_group *group;
    const float *weights; /* channels x n */
    int64_t first;        /* first channel, counted in the group */
    int64_t channels;
    int32_t narrow;       /* 1: only v and target_mean are loaded, energy is the searcher's to find */
    double *v;            /* channels x n */
    double *p;            /* channels x n */
    double *s;            /* channels x n: p - H v, zero but for rounding when v is the minimiser */
    double *base;         /* channels: J at v */
    double *energy;       /* channels: what errors are relative to */
    double *floor;        /* channels: the least undamped error of any u; 0 without target */
    double *target_mean;  /* channels: mean of the wanted output */
};

size_t bsq_block_layout(struct bsq_block *block, int64_t n, void *memory);
void bsq_block_load(struct bsq_block *block, const struct bsq_group *group, const float *weights, int64_t first,
                    int64_t channels);

/* Loads the rest of a narrow block. */
void bsq_block_widen(struct bsq_block *block);

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
    const double *h;        /* n x n */
    const double *diagonal; /* n: of h */
    const double *p; /* n */
    int8_t *codes;   /* n */
    double *scales;  /* scales_per_channel */
    double *g;       /* n */
    double j;
    int32_t lowest, highest;
};

struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                                     int32_t lowest, int32_t highest);

/* Sets j and g of every channel and leaves u (channels x n) in 'u'. */
void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u);

/* u of one channel. */
void bsq_candidate_weights(const struct bsq_candidate *candidate, int64_t n, int64_t channel, double *u);

/* Takes over every channel of 'from' whose objective is lower; returns how many. */
int64_t bsq_candidate_accept(struct bsq_candidate *into, const struct bsq_candidate *from, int64_t channels,
                             int64_t n);

#endif
