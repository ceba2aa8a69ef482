/* The joint optimum of scale and codes of single channels of small fan-in. */
#ifndef BSQ_SOLVE_OPTIMUM_H
#define BSQ_SOLVE_OPTIMUM_H

#include "solve/workspace.h"

/* Tells whether optima of single channels can be looked for at some effort of the plan: with one scale a channel, of
 * any value. */
bool bsq_optimum_applies(const struct bsq_search_plan *plan);

/* Looks for the optimum of every channel as far as a limit of nodes allows that rises with effort; sets proven and
 * bound. To be run after each effort, so that the next one starts from its result; adds to 'record'. */
void bsq_optimum_search(struct bsq_search *search, int32_t effort, struct bsq_stage_record *record);

#endif
