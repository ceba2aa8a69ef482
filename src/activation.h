/* Activation ranges: a streaming histogram, the input quantizer that it gives, and how a value is quantized. */
#ifndef BSQ_SRC_ACTIVATION_H
#define BSQ_SRC_ACTIVATION_H

#include "memory.h"
#include "status.h"

/* A fixed input quantizer. bits = 0: inputs stay float. */
struct bsq_quantizer {
    double scale;
    int32_t zero_point;
    int32_t bits;
    int32_t type;
    int32_t reserved;
};

/* Lowest and highest code. */
void bsq_quantizer_codes(const struct bsq_quantizer *quantizer, int32_t *lowest, int32_t *highest);

/* Checks a quantizer that a host gives. */
bsq_status_t bsq_quantizer_check(const struct bsq_quantizer *quantizer, struct bsq_message *message);

bool bsq_quantizer_same(const struct bsq_quantizer *a, const struct bsq_quantizer *b);

/* The real value of the code that x gets, for 'count' values in place. */
void bsq_quantizer_apply(const struct bsq_quantizer *quantizer, float *x, int64_t count);

/* What was seen of a layer's inputs. Its content depends on the values alone, not on their order or batches. */
struct bsq_histogram;

/* What one asks from the allocator: a fixed size, and one block. */
size_t bsq_histogram_bytes(void);

struct bsq_histogram *bsq_histogram_create(const struct bsq_memory *memory); /* NULL when out of memory */
struct bsq_histogram *bsq_histogram_clone(const struct bsq_histogram *histogram);
void bsq_histogram_free(struct bsq_histogram *histogram); /* NULL allowed */

/* Adds finite values. Allocates nothing. */
void bsq_histogram_add(struct bsq_histogram *histogram, const float *x, int64_t count);
int64_t bsq_histogram_count(const struct bsq_histogram *histogram);

/* The quantizer for options->input_bits, input_type, input_clip and input_percentile. */
struct bsq_quantizer bsq_histogram_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options);

#endif
