/* The JSON object on stdout. */
#ifndef BSQ_LAYER_REPORT_H
#define BSQ_LAYER_REPORT_H

#include "load.h"

/* Returns the object as text, malloc'ed; NULL without memory. 'status' gets the exit status, after a message where that
 * is not 0. */
char *report_text(const struct work *work, const bsq_report_t *report, int *status);

#endif
