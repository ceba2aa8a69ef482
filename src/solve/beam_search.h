/* Beams over the channels of a workspace, from scales that stand in its trial. */
#ifndef BSQ_SOLVE_BEAM_SEARCH_H
#define BSQ_SOLVE_BEAM_SEARCH_H

#include "solve/workspace.h"

/* Chooses multipliers of an effort for scales that stand in the trial, by 'sample' channels spread over the block; 0:
 * all of the effort's. Returns how many there are. */
int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *plan, int64_t sample, int32_t refit,
                          double *chosen);

/* Runs a beam from the scales that stand in the trial, into it; sets error. False when it was stopped. */
bool bsq_search_beam(struct bsq_search *search, int32_t width, const double *multipliers, int32_t count, int32_t refit);

#endif
