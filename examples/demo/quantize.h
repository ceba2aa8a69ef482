/* quantize.h - the part of the demo that uses libbsq: one network in, its quantized copy out
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEMO_QUANTIZE_H
#define DEMO_QUANTIZE_H

#include <stdint.h>

#include "network.h"

/* Pictures, and what the float network makes of them in every layer, before residual and ReLU. */
struct calibration {
    int64_t count;
    const float *pictures;
    float *targets[NETWORK_MAX_LAYERS];
};

struct setting {
    int32_t weight_bits;
    int32_t input_bits; /* 0: activations stay float */
    int32_t solver;     /* BSQ_SOLVER_... */
    int32_t threads;
};

struct outcome {
    double error[NETWORK_MAX_LAYERS];         /* relative output error, against the float network's outputs */
    double solve_seconds[NETWORK_MAX_LAYERS]; /* bsq_optimize */
    double seconds;                           /* everything: running the layers, statistics, solving */
};

/* Runs the pictures through 'network' once and keeps the outputs; free with calibration_free. */
void calibration_collect(struct calibration *calibration, const struct network *network, int32_t threads);
void calibration_free(struct calibration *calibration);

/* Quantizes layer after layer, each on the inputs that the quantized layers before it give and with the float
 * network's output as its target. Ends the program with the library's message when a call fails. */
struct network *quantize_network(const struct network *network, const struct calibration *calibration,
                                 const struct setting *setting, struct outcome *outcome);

/* The same layer on several threads. */
void run_layer(const struct layer *layer, int32_t threads, int64_t count, const float *input, float *products,
               float *output);

#endif
