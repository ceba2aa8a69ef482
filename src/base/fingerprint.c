/* A fingerprint of memory: eight bytes a step, each multiplied by an odd number and folded, so that every bit of what
 * came before reaches all bits of the end. */
#include "base/fingerprint.h"

#include <string.h>

/* The fraction of the golden ratio in 64 bits, odd: its multiples are spread evenly. */
static const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * factor;
    return hash ^ (hash >> 32);
}

/* Four chains at a time: one multiplication need not wait for the one before. */
enum { CHAINS = 4, WORD = 8, STEP = CHAINS * WORD };

uint64_t bsq_fingerprint(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t chains[CHAINS], words[CHAINS] = {0};
    size_t left = size % STEP;

    for (int k = 0; k < CHAINS; k++)
        chains[k] = hash + (uint64_t)k * factor;
    for (; size - left > 0; size -= STEP, bytes += STEP) {
        memcpy(words, bytes, STEP);
        for (int k = 0; k < CHAINS; k++)
            chains[k] = mix(chains[k], words[k]);
    }
    memset(words, 0, sizeof words);
    memcpy(words, bytes, left);
    for (int k = 0; k < CHAINS; k++)
        hash = mix(mix(hash, chains[k]), words[k]);
    return mix(hash, (uint64_t)left);
}
