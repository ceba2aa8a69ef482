/* network.h - the demo's network: a file of weights, and pictures run through it layer by layer
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Activations of one picture are (height, width, channels) float32.
 */
#ifndef DEMO_NETWORK_H
#define DEMO_NETWORK_H

#include <stdint.h>

enum { LAYER_CONV = 1, LAYER_DEPTHWISE = 2, LAYER_LINEAR = 3 };
enum { LAYER_NAME = 16, NETWORK_MAX_LAYERS = 32 };

/* Values are kept in whole steps: x becomes scale * clamp(round(x / scale), low, high); scale 0 leaves them float. */
struct steps {
    float scale, low, high;
};

struct layer {
    char name[LAYER_NAME + 1];
    int32_t kind, inputs, outputs, kernel, stride;
    int32_t residual; /* 1: the layer's input is added to its products */
    int32_t relu;
    int32_t pool; /* 1: only the mean over the picture goes on to the next layer */
    int32_t size; /* input extent, the same in height and width */
    int32_t out_size;
    int32_t fan_in;
    float *weights; /* (outputs, kernel, kernel, inputs of one output) */
    float *bias;
    float *panels; /* the weights in the order in which layer_run reads them */
    struct steps input_steps;
};

struct network {
    int32_t count;
    struct layer layers[NETWORK_MAX_LAYERS];
};

/* Reads what train.py wrote for pictures of 'size' and 'channels'. NULL on failure, and a text in '*problem'. */
struct network *network_read(const char *path, int32_t size, int32_t channels, const char **problem);
struct network *network_copy(const struct network *network);
void network_free(struct network *network);

int64_t layer_input_values(const struct layer *layer);
int64_t layer_product_values(const struct layer *layer);
int64_t layer_output_values(const struct layer *layer);
int64_t layer_weight_values(const struct layer *layer);

/* Takes other weights and biases of the same extents, copied. */
void layer_set_weights(struct layer *layer, const float *weights, const float *bias);

/* Runs 'count' pictures through one layer. 'products' (or NULL) receives what the weights and bias give, before
 * residual, ReLU and pooling; 'output' what the next layer gets. */
void layer_run(const struct layer *layer, int64_t count, const float *input, float *products, float *output);

/* Runs 'count' pictures through all layers: 'scores' is (count, classes). */
void network_run(const struct network *network, int64_t count, const float *pictures, float *scores);

#endif
