/* The start: rounding from the weights alone, judged by J. */
#ifndef BSQ_SOLVE_START_H
#define BSQ_SOLVE_START_H

#include "solve/workspace.h"

/* Rounds the block with the scales and shifts that stand in 'candidate'. */
void bsq_start_nearest_codes(struct bsq_search *search, struct bsq_candidate *candidate);

/* Writes scales and shifts of the block into 'candidate'; and codes rounded with them. */
void bsq_start_scales(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule);
void bsq_start_codes(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule);

/* Rounds by maximum and by alternating scale; the better of each channel, by J, goes into best and unrestricted. The
 * block must be loaded. */
void bsq_start_round(struct bsq_search *search, struct bsq_stage_record *record);

#endif
