/* Scales moved to the values that their format allows, codes solved again for them. */
#ifndef BSQ_SOLVE_SCALE_FORMAT_H
#define BSQ_SOLVE_SCALE_FORMAT_H

#include "solve/workspace.h"

/* Tells whether there is anything to settle: scales, zero points or offsets that may not be any float32. */
bool bsq_scale_format_applies(const struct bsq_rounding *rounding);

/* Tries the nearest allowed values of what unrestricted has found, with error feedback alone. */
void bsq_scale_format_restrict(struct bsq_search *search, struct bsq_stage_record *record);

/* Brings best up to what unrestricted has found; nothing to do where any float32 is allowed. 'effort' is the effort
 * that runs. */
void bsq_scale_format_settle(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records);

#endif
