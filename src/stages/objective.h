/* The problem that every stage works on: the objective of docs/method.md for one convolution group, block by block.
 *
 *     J(u) = constant - 2 p'u + u'H u,   u = scale * value + offset per input
 *
 * with H damped (and centred, when the bias is corrected). It is kept relative to a point v near the minimum (w itself
 * when there is no target), which loses no digits when J is small: with s = p - H v and g = p - H u,
 *
 *     J(u) = base + (v - u)'(g + s),   base = J(v). */
#ifndef BSQ_STAGES_OBJECTIVE_H
#define BSQ_STAGES_OBJECTIVE_H

#include "stages/hessian.h"
#include "stages/shift.h"

/* Channels are cut into blocks, counted from the first of a group, of a size that depends on the problem only, so that
 * every product has such a shape too: large enough for BLAS, small enough to leave blocks for threads. */
enum { BSQ_BLOCK_LEAST = 64, BSQ_BLOCK_MOST = 256 };
int64_t bsq_block_channels(const struct bsq_geometry *geometry);

/* Counts the bytes of scratch that a block needs with such an H. */
size_t bsq_block_scratch(const struct bsq_hessian_plan *plan);

/* One block of channels of a group. */
struct bsq_block {
    const struct bsq_hessian *hessian;
    const float *weights; /* channels x n */
    int64_t first;        /* first channel, counted in the group */
    int64_t channels;
    int32_t single;      /* 1: only v and target_mean are loaded, energy is the searcher's to find */
    double *v;           /* channels x n */
    double *p;           /* channels x n */
    double *s;           /* channels x n: p - H v, zero but for rounding when v is the minimiser */
    double *base;        /* channels: J at v */
    double *energy;      /* channels: what errors are relative to */
    double *floor;       /* channels: the least undamped error of any u; 0 without target */
    double *target_mean; /* channels: mean of the wanted output */
    void *scratch;
};

size_t bsq_block_layout(struct bsq_block *block, int64_t channels, int64_t n, size_t scratch, void *memory);
void bsq_block_load(struct bsq_block *block, const struct bsq_hessian *hessian, const float *weights, int64_t first,
                    int64_t channels);

/* Loads the rest of a block that was loaded for single precision. */
void bsq_block_load_double(struct bsq_block *block);

/* Gives the end of the inputs that scale number 'scale' of a channel multiplies; and how many they are. The last may be
 * fewer than 'group_size'. */
static inline int64_t bsq_scale_end(int64_t n, int64_t group_size, int64_t scale)
{
    return (scale + 1) * group_size < n ? (scale + 1) * group_size : n;
}

static inline int64_t bsq_scale_span(int64_t n, int64_t group_size, int64_t scale)
{
    return bsq_scale_end(n, group_size, scale) - scale * group_size;
}

/* Codes, scales and shifts of a block of channels: u_j = scales[j / group_size] * codes[j], shifted by the shift of the
 * same place. Codes are the values that a scale multiplies, not the numbers by which a host knows them. */
struct bsq_candidate {
    int64_t group_size;
    int64_t scales_per_channel;
    struct bsq_shifting shifting;
    int8_t *codes;  /* channels x n */
    double *scales; /* channels x scales_per_channel */
    double *shifts; /* channels x scales_per_channel; NULL without */
    double *j;      /* channels: objective */
    double *g;      /* channels x n: p - H u, half the negative gradient */
};

/* One channel of a candidate, as the stages that work on single channels see it. */
struct bsq_point {
    int64_t n;
    int64_t group_size;
    int64_t scales_per_channel;
    struct bsq_shifting shifting;
    const double *h; /* n x n; or NULL: rows come from the group */
    const struct bsq_hessian *hessian;
    const double *diagonal; /* n: of H */
    const double *p;        /* n */
    int8_t *codes;          /* n */
    double *scales;         /* scales_per_channel */
    double *shifts;         /* scales_per_channel; NULL without */
    double *g;              /* n */
    int64_t first, end;     /* inputs whose g is kept up to date: all but within a tile (stages/tiles.h) */
    const float *rows;      /* rows of H / unit in single precision from that of input 'rows_from' on; or NULL */
    int64_t rows_from;
    double j;
    int32_t lowest, highest;
    const int8_t *levels; /* 'level_count' values in ascending order; NULL: all from lowest to highest */
    int32_t level_count;
};

/* Adds y += a * row j of H, for inputs from 'first' to 'end' of the point. */
void bsq_point_add_row(const struct bsq_point *point, int64_t j, double a, double *y);

/* Adds to y the 'count' products of that row from number 'first' on, where H has rows in memory. */
void bsq_point_add_part(const struct bsq_point *point, int64_t j, double a, int64_t first, int64_t count, double *y);

/* Gives one channel; what values codes may take is for the caller to fill in. */
struct bsq_point bsq_candidate_point(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel);

/* Sets j and g of every channel; 'u' is channels x n of scratch. */
void bsq_candidate_judge(struct bsq_candidate *candidate, const struct bsq_block *block, double *u);

/* Does the same for the 'count' channels of the list, which rises; g of others is lost. */
void bsq_candidate_judge_some(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                              int64_t count, double *u);

/* Sets j and g of one channel, and no others; 'u' is n of scratch. */
void bsq_candidate_judge_channel(struct bsq_candidate *candidate, const struct bsq_block *block, int64_t c, double *u);

/* Gives |w - u|^2 of one channel. */
double bsq_candidate_distance(const struct bsq_candidate *candidate, int64_t n, int64_t channel, const float *weights);

/* Gives u'H u of one channel, whether or not H stands in memory; 'u' and 'product' are n doubles of scratch each. */
double bsq_candidate_square(const struct bsq_candidate *candidate, const struct bsq_block *block, int64_t channel,
                            double *u, double *product);

/* Gives what is added to the products of scale number 'a' of a channel. */
double bsq_candidate_offset(const struct bsq_candidate *candidate, int64_t channel, int64_t a);

/* Writes u of one channel. */
void bsq_candidate_weights(const struct bsq_candidate *candidate, int64_t n, int64_t channel, double *u);

/* Estimates the same, for the search to go on from: products are in single precision where the group has
 * 'rows', so that the result has to be judged. */
void bsq_candidate_estimate(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                            int64_t count, double *u);

/* Sets j of the listed channels, in single precision where the factor is that of J and H does not stand in double; g
 * stays as it is there. */
void bsq_candidate_value(struct bsq_candidate *candidate, const struct bsq_block *block, const int32_t *list,
                         int64_t count, double *u);

/* Copies scales and shifts of the first 'channels' channels. */
void bsq_candidate_copy_scales(struct bsq_candidate *to, const struct bsq_candidate *from, int64_t channels);

/* Copies codes, scales, shifts and j of channel c, which has n inputs. */
void bsq_candidate_copy_channel(struct bsq_candidate *to, const struct bsq_candidate *from, int64_t n, int64_t c);

/* Tells whether J of a channel is possible: H is never so exact that J cannot fall a little below zero, but where it
 * falls further, H is not positive definite in that direction and J means nothing. */
bool bsq_block_admits(const struct bsq_block *block, int64_t channel, double j);

/* Tells whether float32 holds every weight of a channel. */
bool bsq_candidate_fits(const struct bsq_candidate *candidate, int64_t n, int64_t channel);

/* Takes over every channel of 'from' whose objective is lower, and possible, and whose weights float32 holds; returns
 * how many. Objectives below the rounding error of their terms are equals, and those that single precision cannot tell
 * apart where they come from it. */
int64_t bsq_candidate_accept(struct bsq_candidate *into, const struct bsq_candidate *from,
                             const struct bsq_block *block);

#endif
