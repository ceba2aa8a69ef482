/* Beam search (K-best) through the triangular factor of the objective; with one survivor it is error feedback. */
#ifndef BSQ_STAGES_BEAM_H
#define BSQ_STAGES_BEAM_H

#include "kernels/kernels.h"
#include "stages/shift.h"

#include <stdbool.h>
#include <stddef.h>

/* R'R = H / unit with the inputs in 'order', the one that is decided first last; unit > 0 such that the mean of the
 * diagonal of R'R is about 1. */
struct bsq_factor {
    int64_t n;
    const float *r;       /* n x n, row-major, upper triangle; what is below is not read */
    const int64_t *order; /* order[k]: which input position k of the factor is */
    double unit;
};

enum { BSQ_BEAM_COUNT = 32, BSQ_BEAM_SAMPLE = 16 };

/* What a search is made of. */
struct bsq_beam_plan {
    int32_t width; /* survivors, 1 .. BSQ_BEAM_WIDTH */
    int32_t count; /* multipliers to choose from, 1 .. BSQ_BEAM_COUNT */
    int32_t tried; /* of them, with every channel: the best for a sample of the channels; small problems try all */
};

/* For each channel: codes q and a multiplier m of its scales, from a list, that make |R (v - m (scale q + offset))|
 * small. */
struct bsq_beam_task {
    const struct bsq_factor *factor;
    int32_t width;        /* survivors */
    const int32_t *list;  /* the channels to search; NULL: the first ones */
    int64_t channels;     /* how many */
    const double *v;      /* channels x n */
    const double *p;      /* channels x n: H v; read for a refit only */
    const double *scales; /* channels x scales_per_channel, not 0 */
    const double *shifts; /* the same, as a candidate has them (objective.h); or NULL */
    struct bsq_shifting shifting;
    int64_t group_size; /* inputs that share a scale */
    int64_t scales_per_channel;
    const double *multipliers;
    int32_t count; /* of them */
    int32_t lowest, highest;
    const int8_t *levels; /* 'level_count' values in ascending order that codes may have; NULL: all of these */
    int32_t level_count;
    int32_t refit; /* judge what is left at the end by the error after a refit of the multiplier */
    bool (*stop)(void *opaque,
                 double share); /* asked between passes with the share that is done: true ends the search */
    void *stop_opaque;
    int8_t *codes;      /* out: channels x n */
    double *multiplier; /* out: channels: the best, refit when asked for */
    double *error;      /* out: channels: (v - u)'H(v - u) of the result u = multiplier scale q. R e is in single
                               precision: good to 1e-5 of the error before a refit where H is well conditioned, less
                               elsewhere. Infinite where v is too far from any code. */
};

/* Counts the bytes of workspace for problems of up to 'channels' channels: depends on nothing else, so that results do
 * not depend on threads. */
size_t bsq_beam_workspace(int64_t n, int64_t channels, const struct bsq_beam_plan *plan);

/* Says how many channels choose the multipliers for all; 0: every channel tries all. */
int64_t bsq_beam_sample(int64_t n, int64_t channels, const struct bsq_beam_plan *plan);

/* Puts the 'tried' multipliers into 'best', in their order, that are best on average for the channels of the list, of
 * which bsq_beam_sample must allow as many. Workspace as for plan.count multipliers. */
void bsq_beam_choose(const struct bsq_beam_task *task, int32_t tried, double *best, void *workspace);

/* Tries every multiplier with every channel of the list; of other channels nothing is written. False when it was
 * stopped: codes, multiplier and error then have no meaning. */
bool bsq_beam_search(const struct bsq_beam_task *task, void *workspace);

#endif
