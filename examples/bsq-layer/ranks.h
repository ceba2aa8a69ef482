/* The work that ranks share out when the program runs on several: made of alone.c, or of mpi/ranks.c for bsq-layer-mpi. */
#ifndef BSQ_LAYER_RANKS_H
#define BSQ_LAYER_RANKS_H

#include "load.h"

/* Come first and last. ranks_end returns the exit status, the same on all. */
void ranks_begin(int *count, char ***words);
int ranks_end(int status);

/* Says whether this rank writes and prints what is for all of them. */
int ranks_first(void);

/* Returns the exit status of the rank that has the worst. */
int ranks_agree(int status);

/* Gives the layer the statistics of all batches, unless 'status' says that something failed before; and chooses codes and
 * scales. Return the exit status, after a message where that is not 0. */
int ranks_stream(struct work *work, int status);
int ranks_solve(struct work *work, bsq_report_t *report);

#endif
