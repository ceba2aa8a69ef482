/* Random layers for tests: weights, rows of inputs and targets, and the moments that a host would compute from them. */
#ifndef BSQ_TEST_SAMPLE_H
#define BSQ_TEST_SAMPLE_H

#include "reference.h"

#include "bsq.h"

/* A small generator with a fixed sequence on every machine. */
struct ref_random {
    uint64_t state;
};

uint64_t ref_random_next(struct ref_random *random);
double ref_random_uniform(struct ref_random *random);                             /* 0 <= x < 1 */
double ref_random_normal(struct ref_random *random);                              /* mean 0, variance 1 */
int64_t ref_random_between(struct ref_random *random, int64_t low, int64_t high); /* both included */

struct sample_shape {
    int64_t groups;
    int64_t group_outputs;
    int64_t n;
    int64_t rows;
};

struct sample {
    struct sample_shape shape;
    int64_t channels;
    float *weights;      /* M x n */
    double *w;           /* the same in double */
    double *x;           /* G x rows x n */
    double *y;           /* M x rows: the weights' own output, disturbed */
    double *h;           /* G x n x n */
    double *mean;        /* G x n */
    double *cross;       /* M x n */
    double *square;      /* M */
    double *target_mean; /* M */
};

/* Inputs are correlated and mostly positive, as behind a ReLU. */
struct sample *sample_create(struct sample_shape shape, struct ref_random *random);
void sample_free(struct sample *sample);

/* p (M x n) and energies (M) for a share 'mu' of the target. */
void sample_target(const struct sample *sample, double mu, double *p, double *energy);

/* Channel c of it, for a given p and energies of sample_target and lambda. */
struct ref_channel sample_channel(const struct sample *sample, int64_t c, double lambda, const double *p,
                                  const double *energy);

/* A layer of the library with these weights and moments, with a target if asked; 'rows' is what the moments are
 * said to come from. NULL when a call fails. */
bsq_layer_t *sample_layer(const struct sample *sample, const bsq_options_t *options, int32_t with_target, double rows);

#endif
