/* Random small layers, and what their rows say about a result. Nothing here uses the library's own arithmetic: rows are
 * gathered, quantized, folded and multiplied here, in long double. */
#ifndef BSQ_TEST_RANDOM_LAYERS_H
#define BSQ_TEST_RANDOM_LAYERS_H

#include "bsq.h"

#include <stdbool.h>

enum { MOST_BATCHES = 6 };

typedef long double real;

/* ---- a drawn layer ---- */

/* One batch; what it points to is owned. */
struct drawn_batch {
    bsq_batch_t batch;
    int64_t output[3];
    int64_t positions; /* rows of one sample */
    int64_t inputs;    /* values in 'input' */
    float *input;
    float *target;
    float *row_weights;
};

enum quantizer_source { QUANTIZER_NONE, QUANTIZER_OBSERVED, QUANTIZER_GIVEN, QUANTIZER_GIVEN_CHANNELS };

/* What is drawn: grids with one scale and a code, as they were first, or all of them; and of which magnitudes. */
struct drawing {
    bool grids;
    bool extreme;
};

struct drawn_layer {
    uint64_t seed;
    bool grids;
    bool extreme;
    bsq_layer_desc_t desc;
    bsq_options_t options; /* with options.keep_scales the grid is that of 'kept' */
    int8_t *levels;        /* options.levels, or NULL */
    bsq_tensor_t kept;     /* with options.keep_scales */
    int64_t channels;      /* M */
    int64_t fan_in;        /* n */
    int64_t groups;        /* G */
    int64_t group_inputs;  /* input channels of a group */
    int64_t group_outputs;
    int64_t kernel_volume;
    float *weights;
    float *bias; /* or NULL */
    struct drawn_batch batches[MOST_BATCHES];
    int32_t batch_count;
    enum quantizer_source source;
    bsq_input_quantizer_t quantizer; /* as given */
    double *channel_scales;          /* as given */
    int32_t *channel_zero_points;
    char input_mode[64], weight_mode[64], target_mode[64]; /* for people */
};

/* Draws the layer of 'seed'. */
struct drawn_layer draw_layer(uint64_t seed, struct drawing drawing);
void drawn_layer_free(struct drawn_layer *layer);

/* The options that the library gets: where scales are kept, nothing of the grid. */
bsq_options_t drawn_layer_options(const struct drawn_layer *layer);

/* Writes one line about the layer. */
void drawn_layer_print(const struct drawn_layer *layer);

/* The input channel, in its group, and the tap of weight i of a channel. */
void drawn_layer_weight_place(const struct drawn_layer *layer, int64_t i, int64_t *channel, int64_t *tap);

/* ---- rows ---- */

/* How inputs become those that the layer works on. */
struct input_codes {
    int32_t bits; /* 0: inputs stay float */
    int32_t lowest;
    int32_t highest;
    double scale;
    double *scales; /* of every input channel */
    int32_t *zero_points;
};

/* All rows of training or of held-out batches whose weight is not zero. */
struct rows {
    int64_t count;
    int64_t groups, n, channels;
    real *x;      /* (count, G, n), quantized and folded */
    real *y;      /* (count, M), without bias; NULL when there are no targets */
    real *weight; /* (count) */
    real sum;     /* of weights */
    real squares; /* of weights */
};

struct rows rows_gather(const struct drawn_layer *layer, const struct input_codes *codes, bool held_out);
void rows_free(struct rows *rows);

/* What one output channel's error is made of. */
struct channel_error {
    real mean_square;     /* of t - u'x, t being the mix of own output and target */
    real variance;        /* of the same */
    real mean;            /* of the same */
    real gap;             /* wanted mean - u'mean(x): the mean of the target where there is one */
    real energy;          /* mean of t^2 */
    real variance_energy; /* variance of t */
    real wanted_mean;
    real size; /* of the terms that J is the sum of: what its rounding error is proportional to */
};

struct channel_error rows_channel_error(const struct rows *rows, int64_t group, int64_t channel, const float *w,
                                        const real *u, double mu);

/* The mean square of every input of a group, or its variance. */
void rows_diagonal(const struct rows *rows, int64_t group, bool centred, real *diagonal);

/* The quadratic form of a channel's error, without what does not depend on u: u'h u - 2 p'u. */
void rows_form(const struct rows *rows, int64_t group, int64_t channel, const float *w, double mu, bool centred,
               real *h, real *p);

/* The least that real weights leave of a channel's error, and how nearly dependent the inputs are: the least part of an
 * input's mean square that the mean, where it is taken away, and the inputs before it leave over. */
real rows_least_error(const struct rows *rows, int64_t group, int64_t channel, const float *w, double mu, bool centred,
                      real *independence);

/* ---- checks ---- */

/* What a run counts. */
struct tally {
    int64_t layers;
    int64_t failures; /* layers that failed a check */
    int64_t refused;  /* layers that had to be refused, and were */
    uint64_t slowest;
    double seconds; /* of the slowest bsq_optimize */
};

/* Draws, solves and judges the layer of a seed; failures are printed. */
void check_layer(uint64_t seed, struct drawing drawing, bool verbose, struct tally *tally);

#endif
