/* Integer coordinate descent on one channel, with the gradient kept up to date. */
#ifndef BSQ_STAGES_DESCENT_H
#define BSQ_STAGES_DESCENT_H

#include "stages/objective.h"

/* Goes over the codes of inputs from 'first' to 'end' of the point once: each becomes the one that minimises J given
 * all others. A step costs n operations, a code that stays nearly none. Returns how many codes changed. */
int64_t bsq_descent_sweep(struct bsq_point *point);

/* Goes once over pairs of codes that gain together by a step of one each, though neither does alone; for one scale, H
 * in double, no table, and codes that no sweep changes. 'reach' is the largest |H_ij|, j other than i, of each row;
 * 'scratch' is 2 n doubles. At most n operations for each code and direction. Returns how many pairs moved. */
int64_t bsq_descent_pairs(struct bsq_point *point, const double *reach, double *scratch);

/* Moves code j by 'steps', or back by as many where that is no code. One scale. */
void bsq_descent_push(struct bsq_point *point, int64_t j, int32_t steps);

#endif
