/* Codes alone: scales, zero points and offsets are given, and stay. */
#ifndef BSQ_SOLVE_KEPT_SCALES_H
#define BSQ_SOLVE_KEPT_SCALES_H

#include "solve/result.h"
#include "solve/workspace.h"

/* Rounds the loaded block, whose first channel in the layer is 'channel', with the scales of 'kept' into best. */
void bsq_kept_scales_round(struct bsq_search *search, const struct bsq_result *kept, int64_t channel,
                           struct bsq_stage_record *record);

/* Takes over the codes of 'kept' where they are better. */
void bsq_kept_scales_take_codes(struct bsq_search *search, const struct bsq_result *kept, int64_t channel);

/* Runs one effort: a beam, wider with each effort, then descent; 'records' has BSQ_EFFORT_STAGES entries. */
void bsq_kept_scales_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records);

#endif
