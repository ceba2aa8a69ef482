/* One drawn layer on its way through the library. */
#ifndef BSQ_TEST_RANDOM_RUN_H
#define BSQ_TEST_RANDOM_RUN_H

#include "random_grid.h"

struct run {
    const struct drawn_layer *drawn;
    const struct drawn_layer *shown; /* as it was drawn, before it is solved in another way */
    bsq_layer_t *layer;
    struct rows training;
    struct rows held_out;
    struct input_codes codes;
    float *weights; /* folded */
    bool verbose;
    bool refused; /* before there was anything to solve */
    int64_t failures;
    /* the result */
    bsq_report_t report;
    bsq_channel_t *channel;
    bsq_tensor_t tensor; /* its codes and scales are those that the plain calls give too */
    struct code_range range;
    float *bias;
    float *code_bias;
    float *dequantized;
    int64_t group_size;
    int64_t scales_per_channel;
    /* of every channel, from the rows */
    real *objective;
    real *tolerance;
    real tolerance_sum;
    real given_objective; /* of the tensor whose scales are kept */
};

/* Prints what is wrong, after the layer. */
__attribute__((format(printf, 2, 3))) void fail(struct run *run, const char *format, ...);

void expect_near(struct run *run, const char *name, int64_t channel, real value, real expected, real tolerance);

/* Whether a call succeeded; else fails. */
bool ok(struct run *run, const char *call, bsq_status_t status);

bsq_status_t read_report(bsq_layer_t *layer, bsq_report_t *report);

/* The input channel of weight i of output channel m. */
int64_t channel_of(const struct drawn_layer *drawn, int64_t m, int64_t i);

/* What the weights of an input channel are multiplied by before they are quantized. */
double beta_of(const struct run *run, int64_t m, int64_t i);

/* Whether products in single precision may have been the base of J, as effort 1 forms it. */
bool may_be_single(const struct run *run);

/* ---- results (random_result.c) ---- */

/* Reads all there is of a result, to be released. */
bool read_result(struct run *run);
void release_result(struct run *run);

/* Reads the tensor of a result, to be released whether it could be read or not. */
bool read_tensor(struct run *run, bsq_tensor_t *tensor);
void release_tensor(bsq_tensor_t *tensor);

/* Checks that codes, scales, zero points and offsets are of the grid, and weights their formula. */
void check_values(struct run *run);

/* The weights of a channel; 'reach' (or NULL) is what the magnitudes of their parts sum to. */
void channel_weights(const struct run *run, int64_t m, real *u, real *reach);

/* Clones the layer into 'other', to be solved as 'drawn', kept scales being those of its tensor; false when that fails.
 * other->layer is to be freed. */
bool clone_run(struct run *run, struct run *other, const struct drawn_layer *drawn);

/* ---- the same layer again (random_again.c) ---- */

/* Checks that the tensor of a result is judged as the result was, and taken back as it is. */
void check_tensor_again(struct run *run);

/* Checks that J does not rise with the effort; 'at_limit': results of lower efforts may be beyond float32. */
void check_efforts(struct run *run, bool at_limit);

#endif
