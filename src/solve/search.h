/* The search for codes and scales of one block of channels: one effort after the other, each starting from the result
 * of the one before and keeping the better, so that J never rises with effort. */
#ifndef BSQ_SOLVE_SEARCH_H
#define BSQ_SOLVE_SEARCH_H

#include "solve/workspace.h"

/* Polishes into best what stands in the trial, which must be better than anything known: the result of effort 1 of a
 * block that was solved in single precision and then loaded in double. */
void bsq_search_begin(struct bsq_search *search, struct bsq_stage_record *records);

/* Begins an effort: what it is made of, and its share of the block's work. */
void bsq_search_enter(struct bsq_search *search, int32_t effort);

/* Runs one effort for a block with a start in best and unrestricted; 'records' has BSQ_EFFORT_STAGES entries. */
void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records);

#endif
