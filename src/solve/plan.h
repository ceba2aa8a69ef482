/* What follows from a layer, its options and its statistics before any memory is held: what is prepared of H, how
 * channels are cut into blocks, and how many there are of everything. Every layout takes its extents from here, so that
 * a prediction is the layout of a plan for statistics that do not exist yet. */
#ifndef BSQ_SOLVE_PLAN_H
#define BSQ_SOLVE_PLAN_H

#include "base/parallel.h"
#include "solve/workspace.h"

struct bsq_result;

/* What a solve is given. */
struct bsq_solve_input {
    const struct bsq_geometry *geometry;
    const float *weights;               /* M x n */
    const struct bsq_stats_t *stats;    /* or NULL: from the weights alone */
    const struct bsq_stats_t *held_out; /* or NULL */
    const struct bsq_result *kept;      /* of the options' grid: its scales and shifts stay; or NULL */
    const bsq_options_t *options;       /* complete and checked */
    const struct bsq_memory *memory;
    struct bsq_message *message;
};

struct bsq_solve_plan {
    const struct bsq_geometry *geometry;
    struct bsq_search_plan search;
    struct bsq_hessian_plan hessian;
    struct bsq_hessian_plan held_out; /* with judges_held_out */
    bool keeps_scales;                /* codes alone are chosen */
    bool paper;                       /* the published algorithm */
    bool per_tensor;                  /* one scale for all channels */
    bool judges_held_out;
    bool has_means; /* statistics have means of the inputs */
    bool held_means;
    bool groups_in_slots; /* many small groups, one a block, each prepared where it is solved */
    int32_t efforts;      /* that are searched; 0 rounds */
    int32_t records;      /* of stages, for each block */
    int32_t slots;        /* workspaces */
    int32_t hessians;     /* that are prepared at one time */
    int64_t blocks_per_group;
    int64_t blocks;
};

/* Places of the records of one block: rounding, preparing, the exact search, then the stages of each effort. */
enum { BSQ_RECORD_ROUND, BSQ_RECORD_PREPARE, BSQ_RECORD_EXACT, BSQ_RECORD_EFFORTS };

/* Plans a solve of 'input'. */
struct bsq_solve_plan bsq_solve_plan(const struct bsq_solve_input *input);

/* Plans a solve with statistics that bring means and targets, and nothing held out. */
struct bsq_solve_plan bsq_solve_plan_presumed(const struct bsq_geometry *geometry, const bsq_options_t *options);

/* Gives how the weights of a grid are shifted. */
struct bsq_shifting bsq_plan_shifting(int32_t bits, int32_t grid);

/* Sets the number of bits and the codes that go with it; at most the bits of the options that were planned for. */
void bsq_solve_plan_bits(struct bsq_solve_plan *plan, const bsq_options_t *options, int32_t bits);

#endif
