/* Streaming histograms of a layer's inputs. */
#ifndef BSQ_INPUT_HISTOGRAM_H
#define BSQ_INPUT_HISTOGRAM_H

#include "base/memory.h"

/* What was seen of a layer's inputs: of all together (0 channels), or of each channel. Its content depends on the
 * values alone, not on their order or batches. */
struct bsq_histogram;

/* Counts the bytes of one, which is one block. */
size_t bsq_histogram_bytes(int64_t channels);

struct bsq_histogram *bsq_histogram_create(const struct bsq_memory *memory, int64_t channels); /* NULL: no memory */
struct bsq_histogram *bsq_histogram_clone(const struct bsq_histogram *histogram);
void bsq_histogram_free(struct bsq_histogram *histogram); /* NULL allowed */

/* Adds finite values; to each channel those of 'size' samples of 'plane' values. Allocates nothing. */
void bsq_histogram_add(struct bsq_histogram *histogram, const float *x, int64_t count);
void bsq_histogram_add_channels(struct bsq_histogram *histogram, const float *x, int64_t size, int64_t plane,
                                bool channels_last);
int64_t bsq_histogram_count(const struct bsq_histogram *histogram);
int64_t bsq_histogram_channels(const struct bsq_histogram *histogram);

#endif
