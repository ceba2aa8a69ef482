/* Random numbers, and memory for what is drawn. */
#ifndef BSQ_TEST_RANDOM_SOURCE_H
#define BSQ_TEST_RANDOM_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source {
    uint64_t state;
};

double uniform(struct source *source, double low, double high);
int64_t between(struct source *source, int64_t low, int64_t high); /* both may be drawn */
int32_t pick(struct source *source, int32_t low, int32_t high);
bool chance(struct source *source, double probability);
double normal(struct source *source); /* about so */
double power_of_ten(struct source *source, double low, double high);

/* The nearest float32 that is finite. */
float finite_float(double value);

/* Zeroed memory; ends the program where there is none. */
void *zeroed(int64_t count, size_t size);

#endif
