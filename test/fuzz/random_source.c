/* Random numbers: splitmix64. */
#include "random_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t next(struct source *source)
{
    uint64_t z = source->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double uniform(struct source *source, double low, double high)
{
    return low + (high - low) * ((double)(next(source) >> 11) * 0x1p-53);
}

int64_t between(struct source *source, int64_t low, int64_t high)
{
    return low + (int64_t)(next(source) % (uint64_t)(high - low + 1));
}

int32_t pick(struct source *source, int32_t low, int32_t high)
{
    return (int32_t)between(source, low, high);
}

bool chance(struct source *source, double probability)
{
    return uniform(source, 0.0, 1.0) < probability;
}

double normal(struct source *source)
{
    double sum = 0.0;

    for (int i = 0; i < 12; i++)
        sum += uniform(source, -0.5, 0.5);
    return sum;
}

double power_of_ten(struct source *source, double low, double high)
{
    return pow(10.0, uniform(source, low, high));
}

float finite_float(double value)
{
    const double most = 3e38;

    return (float)fmin(fmax(value, -most), most);
}

void *zeroed(int64_t count, size_t size)
{
    void *memory = calloc((size_t)(count > 0 ? count : 1), size);

    if (!memory) {
        fputs("random_layers: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}
