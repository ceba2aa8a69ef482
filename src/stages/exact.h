/* The joint optimum over scale and codes of one channel, for small fan-in: branch and bound over the scale, a sphere
 * decoder in a reduced basis inside. */
#ifndef BSQ_STAGES_EXACT_H
#define BSQ_STAGES_EXACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Channels with more inputs are not tried. */
enum { BSQ_EXACT_INPUTS = 64 };

/* What is the same for all channels of a group. Codes, H and U are in the order of the factor. */
struct bsq_exact {
    int64_t n;
    int64_t *order;   /* n: which input position k of the factor is */
    double *h;        /* n x n: R'R */
    double *r;        /* n x n: upper triangular, R U with its rows rotated */
    double *u;        /* n x n: codes = U x, integers with determinant 1 or -1 */
    double *inverse;  /* n x n: of U */
    int64_t *settled; /* n: codes by the position of x that settles them: the first non-zero in their row of U */
    int64_t *first;   /* n + 1: where those of each position begin */
    void *scratch;    /* of one search at a time */
};

size_t bsq_exact_layout(struct bsq_exact *exact, int64_t n, void *memory);

/* 'r' (n x n, upper triangle, row-major) is the factor in which position k is input order[k]. */
void bsq_exact_prepare(struct bsq_exact *exact, const double *r, const int64_t *order);

/* min over alpha > 0 and codes of |R (v - alpha q)|^2. */
struct bsq_exact_task {
    const double *v; /* n */
    int32_t lowest, highest;
    const int8_t *levels; /* 'level_count' of them in ascending order that codes may be; NULL: all between these */
    int32_t level_count;
    double first_share; /* of cost: the first threshold */
    int64_t node_limit;
    bool (*stop)(void *opaque); /* or NULL: asked now and then; true gives up */
    void *stop_opaque;
    int8_t *codes; /* n; replaced when something better is found */
    double scale;  /* of these codes */
    double cost;   /* in: of the best that is known, above 0; out: of codes and scale */
    double bound;  /* out: no codes and scale cost less: equal to cost when proven */
    int64_t nodes; /* out: visited */
};

/* Returns 1 when the result is proven to be the optimum, 0 when the node limit came first. */
int32_t bsq_exact_solve(const struct bsq_exact *exact, struct bsq_exact_task *task);

#endif
