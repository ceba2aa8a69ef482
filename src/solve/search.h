/* The search for codes and scales of one block of channels: one effort after the other, each starting from the result of
 * the one before and keeping the better, so that J never rises with effort. */
#ifndef BSQ_SOLVE_SEARCH_H
#define BSQ_SOLVE_SEARCH_H

#include "solve/workspace.h"

/* effort 1 .. BSQ_EFFORT_MOST */
const struct bsq_effort_plan *bsq_effort_plan(int32_t effort);

/* Chooses multipliers of an effort for scales that stand in the trial, by 'sample' channels spread over the block; 0: all
 * of the effort's. Returns how many there are. */
int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *plan, int64_t sample, int32_t refit,
                          double *chosen);

/* Runs a beam from the scales that stand in the trial, into it; sets error. False when it was stopped. */
bool bsq_search_beam(struct bsq_search *search, int32_t width, const double *multipliers, int32_t count, int32_t refit);

/* Polishes into best what stands in the trial, which must be better than anything known: the result of effort 1 of a block
 * that was solved in single precision and then loaded in double. */
void bsq_search_begin(struct bsq_search *search, struct bsq_stage_record *records);

/* Runs one effort for a block with a start in best and unrestricted; 'records' has BSQ_EFFORT_STAGES entries. */
void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records);

#endif
