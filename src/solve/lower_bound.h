/* What J of a channel cannot be below, whatever its codes and its scale. */
#ifndef BSQ_SOLVE_LOWER_BOUND_H
#define BSQ_SOLVE_LOWER_BOUND_H

#include "solve/workspace.h"

/* Tells whether bounds can be looked for; they need the factor in double. */
bool bsq_lower_bound_applies(const struct bsq_search_plan *plan);

/* Raises search->bound for the channels of 'kept' that are not proven, where the options ask for it and the Hessian has
 * its factor in double. Adds its time to 'record' (or NULL). */
void bsq_lower_bound_block(struct bsq_search *search, const struct bsq_candidate *kept,
                           struct bsq_stage_record *record);

#endif
