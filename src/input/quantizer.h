/* The quantizer of a layer's inputs. */
#ifndef BSQ_INPUT_QUANTIZER_H
#define BSQ_INPUT_QUANTIZER_H

#include "base/geometry.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdatomic.h>

/* Scale and zero point of each input channel; never written to while more than one reference exists. */
struct bsq_input_channels {
    atomic_int references;
    struct bsq_memory memory;
    int64_t count;
    double *scale;
    int32_t *zero_point;
};

/* A fixed input quantizer. bits = 0: inputs stay float. With channels, 'scale' is that of the folded inputs and
 * 'zero_point' is 0; whoever stores a quantizer holds a reference to its channels. */
struct bsq_quantizer {
    double scale;
    int32_t zero_point;
    int32_t bits;
    int32_t type;
    struct bsq_input_channels *channels; /* or NULL: one scale for all inputs */
};

/* Creates channels with one reference; NULL when out of memory. Counts the bytes of their one block. */
struct bsq_input_channels *bsq_input_channels_create(const struct bsq_memory *memory, int64_t count);
size_t bsq_input_channels_bytes(int64_t count);

/* Give the same quantizer with another reference to its channels, and give that back. */
struct bsq_quantizer bsq_quantizer_retain(const struct bsq_quantizer *quantizer);
void bsq_quantizer_release(struct bsq_quantizer *quantizer);

/* Give what holds for one input channel: its scale and zero point, and the factor that is folded into its weights. */
double bsq_quantizer_scale(const struct bsq_quantizer *quantizer, int64_t channel);
int32_t bsq_quantizer_zero_point(const struct bsq_quantizer *quantizer, int64_t channel);
double bsq_quantizer_beta(const struct bsq_quantizer *quantizer, int64_t channel);

/* Gives the lowest and the highest code. */
void bsq_quantizer_codes(const struct bsq_quantizer *quantizer, int32_t *lowest, int32_t *highest);

/* Checks a quantizer that a host gives; its channels apart. */
bsq_status_t bsq_quantizer_check(const struct bsq_quantizer *quantizer, struct bsq_message *message);
bsq_status_t bsq_quantizer_check_channels(const struct bsq_quantizer *quantizer, struct bsq_message *message);

/* Refuses a quantizer one of whose codes stands for an input, plain or folded, that float32 does not hold. */
bsq_status_t bsq_quantizer_check_values(const struct bsq_quantizer *quantizer, struct bsq_message *message);

bool bsq_quantizer_same(const struct bsq_quantizer *a, const struct bsq_quantizer *b);

/* Replaces each of 'count' values by the real value of the code that it gets. */
void bsq_quantizer_apply(const struct bsq_quantizer *quantizer, float *x, int64_t count);

/* Replaces 'rows' rows of one group by the folded inputs: scale * (code - zero_point of the channel). Only for a
 * quantizer with channels. */
void bsq_quantizer_fold(const struct bsq_quantizer *quantizer, const struct bsq_geometry *geometry, int64_t group,
                        float *x, int64_t rows);

#endif
