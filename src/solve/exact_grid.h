/* The search of exact.c on grids that are several for it: one for each zero point, and each sign of the scale. */
#ifndef BSQ_SOLVE_EXACT_GRID_H
#define BSQ_SOLVE_EXACT_GRID_H

#include "solve/workspace.h"

/* Tells whether a grid is made of such: offsets are not, nor are codes that int8 does not hold with their shift. */
bool bsq_exact_grid_applies(const struct bsq_rounding *rounding);

/* Searches them all, each with its share of task->node_limit; range and levels of the task are set here. Codes and
 * scale are those of the grid afterwards, sign included; '*shift' is written where there is one and something better
 * was found. Returns 1 when the result is proven to be the optimum of all. */
int32_t bsq_exact_grid_solve(const struct bsq_exact *exact, const struct bsq_rounding *rounding,
                             struct bsq_exact_task *task, double *shift);

#endif
