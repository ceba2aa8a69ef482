/* The layers that the benchmarks read: weights and second moments, for two of them raw batches as well, and what other
 * solvers reach on them (baselines.csv). */
#ifndef BSQ_TEST_BENCH_LAYER_DATA_H
#define BSQ_TEST_BENCH_LAYER_DATA_H

#include <stdint.h>

enum { NAME_SIZE = 64, PATH_SIZE = 1024, MOST_LAYERS = 32, KERNEL = 3, PAD = 1 };

/* ---- baselines ---------------------------------------------------------------------------------------------- */

enum peer { PEER_BIT_SPLIT, PEER_GPTQ, PEER_BEST_SYMMETRIC, PEER_BEST_FULL, PEERS };

/* error is 0 where the file has no such row. */
struct baseline {
    double error;
    double seconds;
};

struct baselines {
    char names[MOST_LAYERS][NAME_SIZE];
    int32_t count;
    struct baseline rows[MOST_LAYERS][9][PEERS]; /* by layer, bits, peer */
};

void read_baselines(const char *path, struct baselines *baselines);

/* ---- layers ------------------------------------------------------------------------------------------------- */

struct layer_data {
    char name[NAME_SIZE];
    int64_t groups;
    int64_t channels; /* M */
    int64_t n;
    float *weights; /* M x n */
    double *h;      /* G x n x n */
    double energy;  /* sum of w'Hw */
};

struct layer_data *load_layer(const char *folder, const char *name);
void free_layer(struct layer_data *layer);

/* Undamped error and J at 'damping' of codes and scales (one a channel; codes NULL: of nothing at all), with 'h' in
 * place of the layer's. */
void judge(const struct layer_data *layer, const double *h, const int8_t *codes, const float *scales, double damping,
           double *error, double *objective);

/* ---- raw batches -------------------------------------------------------------------------------------------- */

/* Input and output of a 3x3 convolution, stride 1, padding 1, channels first. */
struct raw_data {
    int64_t size, inputs, height, width;
    int64_t rows; /* size x height x width */
    float *input;
    float *output;
    float *bias;
};

int has_raw_data(const char *folder, const char *name);
struct raw_data load_raw(const char *folder, const struct layer_data *layer);
void free_raw(struct raw_data *raw);

/* Second moments in double, straight from the rows. */
struct raw_moments {
    double *h;      /* G x n x n */
    double *p;      /* M x n */
    double *square; /* M */
};

struct raw_moments direct_moments(const struct layer_data *layer, const struct raw_data *raw);
void free_moments(struct raw_moments *moments);

#endif
