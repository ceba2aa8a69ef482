/* Solving: which stages run, what is noted of them, and that nothing gets worse on the way. */
#ifndef BSQ_SOLVE_SOLVE_H
#define BSQ_SOLVE_SOLVE_H

#include "solve/plan.h"
#include "solve/result.h"

/* Fills '*result' (freed by bsq_result_free), or leaves it NULL on MEMORY, CANCELLED, STATE. */
bsq_status_t bsq_solve(const struct bsq_solve_input *input, struct bsq_result **result);

/* Judges the codes and scales of 'given', which are of the bits, grid and scales of the options, in the place of what a
 * solve would choose; its result has them, no stages and no outcome. */
bsq_status_t bsq_solve_evaluate(const struct bsq_solve_input *input, const struct bsq_result *given,
                                struct bsq_result **result);

/* Gives the relative output errors for every number of bits from 'bits_lo' to 'bits_hi' in place of that of the
 * options, with the effort that a comparison is worth; what does not depend on the number of bits is prepared once. */
bsq_status_t bsq_solve_errors(const struct bsq_solve_input *input, int32_t bits_lo, int32_t bits_hi, double *errors);

/* The most bytes that bsq_solve has allocated at one time, its result included, and those of the result alone. False
 * when they are more than can be counted. */
bool bsq_solve_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, size_t *bytes, size_t *result);

#endif
