/* The joint optimum over scale and codes of one channel, for small fan-in: a sphere decoder that carries the interval of
 * scales along. */
#ifndef BSQ_SRC_EXACT_H
#define BSQ_SRC_EXACT_H

#include <stddef.h>
#include <stdint.h>

/* Channels with more inputs, or more codes to choose from, are not tried. */
enum { BSQ_EXACT_INPUTS = 64, BSQ_EXACT_CODES = 16 };

/* min over alpha > 0 and codes of |R (v - alpha q)|^2. */
struct bsq_exact_task {
    int64_t n;
    const double *r;       /* n x n, upper triangle, row-major; inputs in the order in which they are decided, last first */
    const int64_t *order;  /* order[k]: which input position k of the factor is */
    const double *v;       /* n */
    int32_t lowest, highest;
    int64_t node_limit;
    int8_t *codes;  /* n; replaced when something better is found */
    double scale;   /* of these codes */
    double cost;    /* in: of the best that is known; out: of codes and scale */
    double bound;   /* out: no codes and scale cost less: equal to cost when proven */
    int64_t nodes;  /* out: visited */
};

/* Returns 1 when the result is proven to be the optimum, 0 when the node limit came first. */
int32_t bsq_exact_solve(struct bsq_exact_task *task);

#endif
