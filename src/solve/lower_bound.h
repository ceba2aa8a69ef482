/* What J of a channel cannot be below, whatever its codes and its scale. */
#ifndef BSQ_SOLVE_LOWER_BOUND_H
#define BSQ_SOLVE_LOWER_BOUND_H

#include "solve/search.h"

/* Raises search->bound for the channels of 'kept' that are not proven, where the options ask for it and the group has
 * its factor in double. Adds its time to 'record' (or NULL). */
void bsq_lower_bound_block(struct bsq_search *search, const struct bsq_candidate *kept, struct bsq_stage_record *record);

#endif
