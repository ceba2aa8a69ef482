/* Made-up numbers for the examples. */
#include "synthetic.h"

/* A 64-bit linear congruential generator; the high bits are the good ones. Even in -1..1. */
static float next_uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(*state >> 40) / 8388608.0f - 1.0f;
}

void synthetic_weights(uint64_t seed, int64_t count, float *weights)
{
    for (int64_t i = 0; i < count; i++) {
        const float u = next_uniform(&seed);
        weights[i] = 0.5f * u * u * u + 0.05f * next_uniform(&seed);
    }
}

void synthetic_activations(uint64_t seed, int64_t samples, int64_t length, float *values)
{
    for (int64_t s = 0; s < samples; s++) {
        float walk = next_uniform(&seed);
        for (int64_t i = 0; i < length; i++) {
            walk = 0.8f * walk + 0.6f * next_uniform(&seed);
            values[s * length + i] = walk > 0 ? walk : 0;
        }
    }
}

void synthetic_disturb(uint64_t seed, float size, int64_t count, float *values)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] += size * next_uniform(&seed);
        values[i] = values[i] > 0 ? values[i] : 0;
    }
}
