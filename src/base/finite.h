/* NaN and infinity in a host's buffers. */
#ifndef BSQ_BASE_FINITE_H
#define BSQ_BASE_FINITE_H

#include "base/status.h"

/* Searches 'count' values for the first that is not finite; NUMERIC, with 'name' and its index, when there is one. */
bsq_status_t bsq_check_finite(const char *name, const float *values, int64_t count, struct bsq_message *message);

#endif
