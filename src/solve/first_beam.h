/* The beam of effort 1. It knows nothing but the weights, and what is best for them is far from the best for the
 * outputs where few directions of H hold most of its trace: so it goes out from other scales too where a sample says
 * that these may be better, among them those of the published code of GPTQ. What it finds with them is what GPTQ's
 * arithmetic finds. */
#ifndef BSQ_SOLVE_FIRST_BEAM_H
#define BSQ_SOLVE_FIRST_BEAM_H

#include "solve/workspace.h"

/* Chooses what is tried, into search->first_choice, by 'sample' channels spread over the block; 0: all there is. */
void bsq_first_beam_choose(struct bsq_search *search, int64_t sample, int32_t refit);

/* Runs the beams with what was chosen, all channels of the block: the best of each is left in the trial, its error in
 * search->error. False when it was stopped. */
bool bsq_first_beam(struct bsq_search *search, int32_t refit);

#endif
