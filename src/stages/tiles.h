/* Descent of many channels side by side, tile of inputs by tile. */
#ifndef BSQ_STAGES_TILES_H
#define BSQ_STAGES_TILES_H

#include "stages/objective.h"

/* Fewer channels do not pay for the products. */
enum { BSQ_TILES_LEAST_CHANNELS = 32 };

/* Tells whether tiles are less work than channel after channel: many channels, and rows of H that are too long to stay
 * close. */
bool bsq_tiles_apply(const struct bsq_hessian *hessian, int64_t channels);

/* Goes once over the inputs of 'count' channels of one candidate. Codes of a tile descend until they are still, and
 * with 'refit' the scales of groups that lie within it follow; what that adds to the gradient elsewhere is added for
 * all channels at once. So rows of H are read once for all channels. J and g of the points follow. 'work' is count x n
 * doubles; 'scratch' as bsq_scale_refit takes it. Returns how many codes changed. */
int64_t bsq_tiles_sweep(struct bsq_point *points, int64_t count, bool refit, double *work, double *scratch);

#endif
