/* Rows of a batch: copied from activations in any layout into a tile, in the order of the weights. */
#ifndef BSQ_STATS_GATHER_H
#define BSQ_STATS_GATHER_H

#include "base/geometry.h"

/* One batch's inputs and targets as rows. Row i is output position i % positions of sample i / positions. */
struct bsq_gather {
    const struct bsq_geometry *geometry;
    const float *input;
    const float *target; /* or NULL */
    const float *bias;   /* subtracted from targets; or NULL */
    int64_t positions;   /* of one sample */
    int64_t sample;      /* values of one sample's input */
    /* Three dimensions, the last one the innermost; those that the layer does not have come first and are 1. */
    int64_t kernel[3], stride[3], dilation[3], pad[3], in[3], out[3];
    const int64_t
        *column; /* n: where each is read, from tap 0 of a group's first channel on; channels before positions */
};

/* Prepares a batch that bsq_stats_check_batch has accepted; 'output' is from bsq_geometry_output. Room for 'column' (n)
 * is the caller's, for as long as rows are copied. */
void bsq_gather_init(struct bsq_gather *gather, const struct bsq_geometry *geometry, const bsq_batch_t *batch,
                     const float *bias, const int64_t output[3], int64_t positions, int64_t *column);

/* Copies the inputs of the rows 'index' (ascending) of every group: row i of group g goes to
 * x + g * group_stride + i * n. */
void bsq_gather_inputs(const struct bsq_gather *gather, const int64_t *index, int64_t count, float *x,
                       int64_t group_stride);

/* Copies the targets without bias of the rows 'index': row i goes to y + i * M. */
void bsq_gather_targets(const struct bsq_gather *gather, const int64_t *index, int64_t count, float *y);

#endif
