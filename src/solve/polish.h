/* Polishing: bit-split, coordinate descent and closed-form scales in turn, until no single change lowers J. */
#ifndef BSQ_SOLVE_POLISH_H
#define BSQ_SOLVE_POLISH_H

#include "solve/workspace.h"

/* Divides codes by their common divisor and multiplies the scale by it, so that equally good results are the same
 * result. */
void bsq_reduce_codes(const struct bsq_search_plan *plan, struct bsq_candidate *candidate, int64_t channel);

/* Polishes the listed channels of the trial; 'refit' moves scales too. 'kept' is what records compare it with;
 * 'records' has BSQ_EFFORT_STAGES entries, or is NULL. */
void bsq_polish(struct bsq_search *search, const struct bsq_candidate *kept, bool refit,
                struct bsq_stage_record *records);

/* Polishes what is kept: a start that no trial has beaten is not yet a point that no single change improves. */
void bsq_polish_kept(struct bsq_search *search, struct bsq_candidate *kept, bool refit);

/* Finds codes for scales that stand in the trial and are given: by a beam of that width or, with width 0, from the
 * codes in the trial, then by descent; sets j and g of the trial. 'records' as in bsq_polish. */
void bsq_polish_fixed(struct bsq_search *search, int32_t width, struct bsq_stage_record *records);

#endif
