/* The files that come out. */
#ifndef BSQ_LAYER_OUTPUTS_H
#define BSQ_LAYER_OUTPUTS_H

#include "load.h"

/* Makes --out: before the long work, so that a wrong name is seen early. */
int make_directory(struct work *work);

/* Writes all files or none. Both return the exit status, after a message where that is not 0. */
int write_outputs(struct work *work);

#endif
