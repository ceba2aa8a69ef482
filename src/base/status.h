/* Status codes with the text that goes with them. */
#ifndef BSQ_BASE_STATUS_H
#define BSQ_BASE_STATUS_H

#include "bsq.h"

/* The text of the last failure of a handle or of one call. */
struct bsq_message {
    char text[256];
};

/* Writes the formatted text and returns 'status', so that a failure is one statement: return bsq_fail(...). */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bsq_status_t
bsq_fail(struct bsq_message *message, bsq_status_t status, const char *format, ...);

/* The one text for a failed allocation. */
bsq_status_t bsq_fail_memory(struct bsq_message *message);

/* Copies status and text into the caller's struct; returns 'status'. Nothing is written to NULL, or by a struct_size
 * that was never set. */
bsq_status_t bsq_error_store(bsq_error_t *error, bsq_status_t status, const struct bsq_message *message);

#endif
