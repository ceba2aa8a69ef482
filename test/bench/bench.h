/* What the benchmark programs share: clocks, the machine's name, memory that counts, rows to measure with. */
#ifndef BSQ_TEST_BENCH_BENCH_H
#define BSQ_TEST_BENCH_BENCH_H

#include "layer_data.h"

#include "bsq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- failing ------------------------------------------------------------------------------------------------ */

/* Ends the program. */
void stop(const char *what, const char *detail);

/* Zeroed memory, or the end of the program. */
void *reserve(int64_t count, size_t size);

/* Ends the program when a call failed; 'layer' may be NULL. */
void expect(bsq_status_t status, const char *call, bsq_layer_t *layer);

bool is_there(const char *path);

/* ---- time --------------------------------------------------------------------------------------------------- */

/* processor: of all threads of this process, so that what other programs do does not count; wall: as it passes. */
struct seconds {
    double processor;
    double wall;
};

struct seconds seconds_now(void);
struct seconds seconds_since(struct seconds start);
double processor_seconds(void);

/* The least of 'count' times. Other programs only add to a time, processor time too when they share the core: the least
 * is the one to compare. */
double least(const double *values, int32_t count);

/* ---- the machine -------------------------------------------------------------------------------------------- */

/* The first "model name" of /proc/cpuinfo. */
void machine_name(char *name, size_t size);

/* One line: library, processor, OpenBLAS with its core and threads, load of the machine. */
void print_machine(FILE *file);

/* Processor seconds of one sgemm on squares of SGEMM_SIDE. */
enum { SGEMM_SIDE = 1024 };
double sgemm_seconds(void);

/* ---- layers ------------------------------------------------------------------------------------------------- */

/* As a convolution over one position, which has the right groups and fan-in; with the moments as statistics. */
bsq_layer_t *create_from_moments(const struct layer_data *data);

/* A 3x3 convolution of the raw batches; options NULL: defaults. Without statistics. */
bsq_layer_t *create_conv(const struct layer_data *data, const struct raw_data *raw, const bsq_options_t *options);

/* Default options at these bits, range and effort. */
bsq_options_t effort_options(int32_t bits, int32_t range, int32_t effort);

/* ---- rows to measure with ------------------------------------------------------------------------------------ */

/* A generator of its own, so that numbers are the same everywhere. */
struct random {
    uint64_t state;
};

double random_normal(struct random *random);
void fill_normal(struct random *random, float *values, int64_t count);

/* 'count' rows of n inputs each: ReLU of Gaussian values, neighbours correlated by 0.9. */
void fill_rows(struct random *random, float *rows, int64_t count, int64_t n);

/* A linear layer with M x n Gaussian weights. */
bsq_layer_t *create_linear(int64_t channels, int64_t n, const bsq_options_t *options);

/* Calibrates with 'count' such rows, in batches; returns the time of bsq_layer_calibrate alone. */
struct seconds calibrate_rows(bsq_layer_t *layer, int64_t count, int64_t n);

#endif
