/* Made-up numbers that stand in the examples where a real program has its layer: the same on every run and machine. */
#ifndef BSQ_EXAMPLES_SYNTHETIC_H
#define BSQ_EXAMPLES_SYNTHETIC_H

#include <stdint.h>

/* Weights of a trained layer: around zero, small ones more often than large ones. */
void synthetic_weights(uint64_t seed, int64_t count, float *weights);

/* Activations behind a ReLU, where neighbours look alike: 'samples' runs of 'length' values. */
void synthetic_activations(uint64_t seed, int64_t samples, int64_t length, float *values);

/* values += size * noise, and what falls below zero becomes zero, as behind a ReLU. */
void synthetic_disturb(uint64_t seed, float size, int64_t count, float *values);

#endif
