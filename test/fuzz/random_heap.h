/* Memory for the library that is no number before it is written, and is counted. */
#ifndef RANDOM_HEAP_H
#define RANDOM_HEAP_H

#include <bsq.h>

/* Makes layers of these options take theirs from here; '*blocks' says how many are alive. */
void use_heap(bsq_options_t *options, int64_t *blocks);

#endif
