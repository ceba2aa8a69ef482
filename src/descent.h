/* Integer coordinate descent on one channel, with the gradient kept up to date. */
#ifndef BSQ_SRC_DESCENT_H
#define BSQ_SRC_DESCENT_H

#include "problem.h"

/* One pass over the codes: each becomes the one that minimises J given all others. A step costs n operations, a code that
 * stays nearly none. Returns how many codes changed. */
int64_t bsq_descent_sweep(struct bsq_point *point);

#endif
