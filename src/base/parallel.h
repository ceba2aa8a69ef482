/* Independent blocks of work on threads of our own or on the host's pool. */
#ifndef BSQ_BASE_PARALLEL_H
#define BSQ_BASE_PARALLEL_H

#include "base/status.h"

struct bsq_parallel {
    int32_t threads;
    bsq_parallel_for_fn pool; /* or NULL: threads of our own */
    void *opaque;
};

/* One block. 'slot' is below bsq_parallel_slots and is used by one thread at a time: it chooses a workspace, and must
 * not influence the result. */
typedef void (*bsq_work_fn)(void *context, int64_t block, int32_t slot);

struct bsq_parallel bsq_parallel_of(const bsq_options_t *options);

/* Counts the blocks that run at the same time at most: the workspaces that are needed. */
int32_t bsq_parallel_slots(const struct bsq_parallel *parallel, int64_t blocks);

/* Runs blocks first..first+count-1 and returns when all are done. STATE when a host's pool has not run what it was
 * asked for. */
bsq_status_t bsq_parallel_run(const struct bsq_parallel *parallel, int64_t first, int64_t count, bsq_work_fn work,
                              void *context, struct bsq_message *message);

#endif
