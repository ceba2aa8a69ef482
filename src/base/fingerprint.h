/* A fingerprint of memory, fast enough for gigabytes: to tell whether two machines hold the same, not against malice.
 */
#ifndef BSQ_BASE_FINGERPRINT_H
#define BSQ_BASE_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

enum { BSQ_FINGERPRINT_BEGIN = 1 };

/* Continues 'hash' with 'size' bytes, as this machine orders them. */
uint64_t bsq_fingerprint(uint64_t hash, const void *data, size_t size);

#endif
