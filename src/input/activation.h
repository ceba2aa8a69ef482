/* Activation ranges: streaming histograms, the input quantizer that they give, and how a value is quantized. */
#ifndef BSQ_INPUT_ACTIVATION_H
#define BSQ_INPUT_ACTIVATION_H

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

/* With one reference; NULL when out of memory. What it asks from the allocator. */
struct bsq_input_channels *bsq_input_channels_create(const struct bsq_memory *memory, int64_t count);
size_t bsq_input_channels_cost(int64_t count);

/* The same quantizer with another reference to its channels, and back. */
struct bsq_quantizer bsq_quantizer_retain(const struct bsq_quantizer *quantizer);
void bsq_quantizer_release(struct bsq_quantizer *quantizer);

/* What holds for one input channel: its scale and zero point, and the factor that is folded into its weights. */
double bsq_quantizer_scale(const struct bsq_quantizer *quantizer, int64_t channel);
int32_t bsq_quantizer_zero_point(const struct bsq_quantizer *quantizer, int64_t channel);
double bsq_quantizer_beta(const struct bsq_quantizer *quantizer, int64_t channel);

/* Lowest and highest code. */
void bsq_quantizer_codes(const struct bsq_quantizer *quantizer, int32_t *lowest, int32_t *highest);

/* Checks a quantizer that a host gives; its channels apart. */
bsq_status_t bsq_quantizer_check(const struct bsq_quantizer *quantizer, struct bsq_message *message);
bsq_status_t bsq_quantizer_check_channels(const struct bsq_quantizer *quantizer, struct bsq_message *message);

bool bsq_quantizer_same(const struct bsq_quantizer *a, const struct bsq_quantizer *b);

/* The real value of the code that x gets, for 'count' values in place. */
void bsq_quantizer_apply(const struct bsq_quantizer *quantizer, float *x, int64_t count);

/* The folded inputs of 'rows' rows of one group, in place: scale * (code - zero_point of the channel). Only for a
 * quantizer with channels. */
void bsq_quantizer_fold(const struct bsq_quantizer *quantizer, const struct bsq_geometry *geometry, int64_t group,
                        float *x, int64_t rows);

/* What was seen of a layer's inputs: of all together (0 channels), or of each channel. Its content depends on the
 * values alone, not on their order or batches. */
struct bsq_histogram;

/* What one asks from the allocator, in one block. */
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

/* The quantizer for options->input_bits, input_type, input_clip and input_percentile. The one with channels holds a
 * reference to them; false when out of memory. */
struct bsq_quantizer bsq_histogram_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options);
bool bsq_histogram_channel_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options,
                                     struct bsq_quantizer *quantizer);

#endif
