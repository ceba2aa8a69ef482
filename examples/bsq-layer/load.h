/* From files to a layer with statistics. */
#ifndef BSQ_LAYER_LOAD_H
#define BSQ_LAYER_LOAD_H

#include "common/npy.h"
#include "settings.h"

#include <bsq.h>

/* A layer and everything that must be let go in the end. */
struct work {
    const struct settings *settings;
    struct npy_array weights; /* its data has moved to 'values' */
    float *values;
    float *bias;
    int64_t channels; /* M */
    int64_t fan_in;   /* n */
    bsq_layer_desc_t desc;
    bsq_layer_t *layer;
    int created_out; /* whether --out was made by this run */
};

/* Each returns the exit status, after a message where that is not 0. */

/* Reads all files but those of activations and makes the layer. */
int load_layer(struct work *work);

/* Streams batch 'i' into the layer, to find the range of the inputs or for the statistics. */
int stream_batch(struct work *work, int32_t i, int observe);

/* Reads the moments that only judge the result. */
int load_held_out(struct work *work);

#endif
