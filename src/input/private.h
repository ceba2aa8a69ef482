/* What a histogram holds: for histogram.c, which fills it, and clip.c, which chooses a quantizer from it. */
#ifndef BSQ_INPUT_PRIVATE_H
#define BSQ_INPUT_PRIVATE_H

#include "input/histogram.h"

#include <string.h>

enum { POSITIVE = 0, NEGATIVE = 1, SIDES = 2 };

/* Magnitudes whose float bits agree but for the lower ones. */
struct bin {
    uint64_t count;
    uint64_t sum;     /* of the lower bits */
    uint32_t largest; /* of the lower bits */
    uint32_t room;    /* their mask - smallest of the lower bits, so that an empty bin is all zero */
};

/* What lies in a bin and those beyond it. */
struct tail {
    double count;
    double sum;
    double square;
};

struct scan;

/* The histogram of a tensor or of one channel, as it is read. */
struct view {
    const struct bin *bins[SIDES];
    struct tail *tails[SIDES]; /* one more than bins */
    int64_t count;             /* of all values */
    uint32_t base;             /* upper bits of the magnitudes in the first bin */
    uint32_t size;             /* bins of a side */
    int32_t low_bits;
    const struct scan *scan; /* set by clip.c */
};

struct bsq_histogram {
    struct bsq_memory memory;
    int64_t channels;   /* 0: one histogram for the whole tensor */
    int64_t count;      /* of values, over all channels */
    struct view *views; /* one, or one for each channel */
    struct bin *bins;   /* (views, SIDES, bins) */
    struct tail *tails; /* (SIDES, bins + 1): scratch for whoever reads */
};

static inline uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double bits_value(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

#endif
