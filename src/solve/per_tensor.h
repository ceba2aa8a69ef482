/* One scale for the whole tensor: a grid over it, each value judged by the J of the whole layer. */
#ifndef BSQ_SOLVE_PER_TENSOR_H
#define BSQ_SOLVE_PER_TENSOR_H

#include "solve/pass.h"

/* Codes of the whole layer at one scale. */
struct bsq_per_tensor_point {
    int8_t *codes; /* M x n */
    double scale;
    double j;             /* of the layer */
    double along, square; /* sums of u'g and u'H u: the best multiple of the scale is 1 + along / square */
};

struct bsq_per_tensor {
    int64_t channels, fan_in;
    struct bsq_per_tensor_point best;         /* the scale is a value of the format */
    struct bsq_per_tensor_point unrestricted; /* any scale */
    struct bsq_per_tensor_point trial;
    double *j, *along, *square;      /* channels, of the pass that ran last */
    struct bsq_stage_record *blocks; /* BSQ_EFFORT_STAGES for each block: work of the passes of an effort */
};

size_t bsq_per_tensor_layout(struct bsq_per_tensor *tensor, int64_t channels, int64_t fan_in, int64_t blocks,
                             void *memory);

/* Counts the passes over all blocks that a solve makes at most, for progress. */
int64_t bsq_per_tensor_passes(int32_t effort);

/* Rounds, judged by J of the layer, into best and unrestricted. */
bsq_status_t bsq_per_tensor_round(struct bsq_per_tensor *tensor, struct bsq_pass *pass,
                                  struct bsq_stage_record *record);

/* Runs one effort; 'records' has BSQ_EFFORT_STAGES entries. */
bsq_status_t bsq_per_tensor_effort(struct bsq_per_tensor *tensor, struct bsq_pass *pass, int32_t effort,
                                   struct bsq_stage_record *records);

#endif
