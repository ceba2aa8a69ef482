/* The host's progress callback, asked one way by all. */
#ifndef BSQ_BASE_PROGRESS_H
#define BSQ_BASE_PROGRESS_H

#include "base/status.h"

#include <stdbool.h>

/* Reports to the host, if it listens ('options' may be NULL); on the calling thread only. True means stop. */
bool bsq_progress_stops(const bsq_options_t *options, const bsq_progress_t *progress);

/* Reports 'done' of 'total' parts of a call that consists of one stage; CANCELLED when the host asks to stop. */
bsq_status_t bsq_progress_report(const bsq_options_t *options, int32_t stage, int64_t done, int64_t total,
                                 struct bsq_message *message);

/* Fails with CANCELLED and its one text. */
bsq_status_t bsq_fail_cancelled(struct bsq_message *message);

#endif
