/* The published algorithm, step by step (Wang et al. 2020; docs/method.md says where it differs from the published
 * code): the oracle that the library's own solver is compared with. */
#ifndef BSQ_SOLVE_PAPER_H
#define BSQ_SOLVE_PAPER_H

#include "solve/search.h"

/* All channels of a layer on the way through the algorithm. */
struct bsq_paper {
    int64_t channels;
    int64_t fan_in;
    int32_t bits;
    int8_t *codes;  /* channels x fan_in */
    int8_t *planes; /* channels x (bits - 1) x fan_in */
    double *scales; /* channels */
};

size_t bsq_paper_layout(struct bsq_paper *paper, int64_t channels, int64_t fan_in, int32_t bits, void *memory);

/* Rounding with alternating scale, then bit-split on the weights alone. */
void bsq_paper_start(struct bsq_paper *paper, const float *weights);

/* Response reconstruction of a loaded block whose first channel is 'channel' of the layer; the result is in
 * search->best, its scales rounded to float32. */
void bsq_paper_reconstruct(struct bsq_paper *paper, struct bsq_search *search, int64_t channel,
                           struct bsq_stage_record *record);

#endif
