/* The input quantizer that fits a histogram best. */
#ifndef BSQ_INPUT_CLIP_H
#define BSQ_INPUT_CLIP_H

#include "input/histogram.h"
#include "input/quantizer.h"

/* Choose the quantizer for options->input_bits, input_type, input_clip and input_percentile. The one with channels
 * holds a reference to them; false when out of memory. */
struct bsq_quantizer bsq_histogram_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options);
bool bsq_histogram_channel_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options,
                                     struct bsq_quantizer *quantizer);

#endif
