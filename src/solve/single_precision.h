/* Effort 1 in single precision: error feedback, its own sums of squares for J, and rounding ruled out by the rows of
 * the factor that matter most to it. No product with H in double, which would take longer than all the rest. Higher
 * efforts start from it. */
#ifndef BSQ_SOLVE_SINGLE_PRECISION_H
#define BSQ_SOLVE_SINGLE_PRECISION_H

#include "solve/search.h"

/* Tells whether the options allow it; H has its say too (bsq_hessian.single). */
bool bsq_single_precision_applies(const struct bsq_search_plan *plan, const struct bsq_hessian_plan *hessian);

/* Chooses what the blocks of a group in single precision will try, from its 'weights'. */
void bsq_single_precision_begin(struct bsq_search *search, struct bsq_hessian *hessian, const float *weights);

/* Solves a block that was loaded in single precision: the result stands in search->trial afterwards, J of rounding in
 * search->best and its |w - u|^2 in search->distance. J is
 * from single-precision products and kept on the high side, at most 2e-5 of it too high. At effort 1 the energies stand
 * in the block, and J of rounding is a lower bound, from the rows that suffice; at higher efforts it is that of all
 * inputs. A channel for which rounding is better keeps it. False when single precision cannot tell which is, or the
 * search was stopped: the block then has to be solved in double. */
bool bsq_single_precision_search(struct bsq_search *search, struct bsq_stage_record *rounding,
                                 struct bsq_stage_record *beam);

#endif
