/* Scales: the values that a format can hold, grids to search, and the best scales for given codes. */
#ifndef BSQ_STAGES_SCALE_H
#define BSQ_STAGES_SCALE_H

#include "stages/objective.h"

/* Gives the nearest float32 within the normal range: what a result stores. */
double bsq_scale_float32(double x);

/* Gives the nearest float32 that an offset may be: a normal one of either sign, or 0. */
double bsq_scale_offset_float32(double x);

/* Gives the scale, but for rounding the largest, with which codes of magnitude 'most' are weights that float32 holds.
 */
double bsq_scale_most(int32_t most);

/* Gives what a result stores of x for these codes: the nearest float32, or the largest that leaves them weights of
 * float32. */
double bsq_scale_stored(double x, const int8_t *codes, int64_t count);

/* Gives the nearest values of 'format' (BSQ_SCALE_...) at or below and at or above x > 0, within its normal range; both
 * are the nearest value for float32, which is too fine to choose. */
void bsq_scale_neighbours(int32_t format, double x, double *lower, double *upper);

/* 'count' multipliers in geometric progression from 'low' to 'high'; 1 alone when count is 1. */
void bsq_scale_grid(double low, double high, int32_t count, double *multipliers);

/* Counts the doubles of scratch that the refits need. */
int64_t bsq_scale_scratch(int64_t n, int64_t scales_per_channel, enum bsq_shift_kind shift_kind);

/* Moves the scales of a channel, and offsets where they are free, to the least J for its codes: in closed form, jointly
 * when there are several. Scales that would lose their sign are left. Keeps g and j up to date; returns the largest
 * relative change. */
double bsq_scale_refit(struct bsq_point *point, double *scratch);

/* Does the same group after group, for the groups within 'first' to 'end' of the point. */
double bsq_scale_refit_groups(struct bsq_point *point, double *scratch);

/* Tells whether that is done jointly. Too many scales move one after the other, so that it takes several calls. */
bool bsq_scale_refits_jointly(const struct bsq_point *point);

/* Stretches all scales of a super group by one factor, and its offsets by another, to the least J. */
double bsq_scale_refit_supers(struct bsq_point *point, int64_t super_group, double *scratch);

/* Tells whether a refit with the sums u'g and u'H u moves a scale so far that u'H u must be taken anew. */
bool bsq_scale_is_far(double along, double square);

/* Sets the scale of a channel that has one and no shift; keeps g and j up to date. */
void bsq_scale_set(struct bsq_point *point, double scale);

#endif
