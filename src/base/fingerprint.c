/* A fingerprint of memory: eight bytes a step, each multiplied by an odd number and folded, so that every bit of what came
 * before reaches all bits of the end. */
#include "base/fingerprint.h"

#include <string.h>

/* The fraction of the golden ratio in 64 bits, odd: its multiples are spread evenly. */
static const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * factor;
    return hash ^ (hash >> 32);
}

uint64_t bsq_fingerprint(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    size_t words = size / 8;
    uint64_t word;

    for (size_t i = 0; i < words; i++) {
        memcpy(&word, bytes + 8 * i, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    if (size % 8)
        memcpy(&word, bytes + 8 * words, size % 8);
    return mix(mix(hash, word), (uint64_t)size);
}
