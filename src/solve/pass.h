/* A pass: one kind of work over every block of channels of a layer. Prepares the groups, hands out workspaces, runs the
 * blocks on threads, reports progress and stops when asked to. */
#ifndef BSQ_SOLVE_PASS_H
#define BSQ_SOLVE_PASS_H

#include "base/parallel.h"
#include "solve/search.h"
#include "solve/solve.h"

#include <stdatomic.h>

struct bsq_pass;

/* Work on one loaded block: 'block' counts blocks of the layer, 'channel' is its first channel in the layer. */
typedef void (*bsq_pass_work)(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);

/* Called once for each group before its blocks. */
typedef void (*bsq_pass_begin)(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian, int64_t index);

struct bsq_pass {
    const struct bsq_solve_input *input;
    struct bsq_parallel parallel;
    struct bsq_search_plan plan;
    struct bsq_hessian_plan hessian_plan; /* may be changed between passes, by bsq_pass_replan */
    int64_t blocks_per_group;
    int64_t blocks;
    int32_t slots;
    int32_t groups_in_slots;   /* 1: many small groups, one a block, each prepared where it is solved */
    int64_t prepared;          /* which group stands in group[0]; -1 none */
    struct bsq_search *search; /* slots */
    struct bsq_hessian *hessian;   /* slots, or 1 */
    void **memory;             /* of the workspaces: slots for search, then as many as there are groups */
    bsq_pass_begin begin; /* or NULL */
    bsq_pass_work work;
    void *context;             /* of the work */
    double *prepare_seconds;   /* blocks: what preparing the block's group took, on its first block */
    int32_t *raised;           /* blocks: 1 where the group's search needed more damping */
    int64_t *dead_inputs;      /* blocks: dead inputs of the group, on its first block */
    /* progress, over all passes */
    int64_t done, total;
    double objective;              /* of the finished ones */
    double fraction;               /* last reported */
    atomic_int cancelled;          /* set by the calling thread, seen by all */
    const bsq_channel_t *finished; /* channels of the layer; 0 where they are not solved yet; or NULL */
    int32_t stage;
};

/* The plan that follows from the options. */
struct bsq_search_plan bsq_pass_plan(const struct bsq_geometry *geometry, const bsq_options_t *options);

/* Allocates workspaces; 'other' (or NULL) is a second group plan that will be used. On MEMORY nothing is kept. */
bsq_status_t bsq_pass_open(struct bsq_pass *pass, const struct bsq_solve_input *input,
                           const struct bsq_hessian_plan *plan, const struct bsq_hessian_plan *other);
void bsq_pass_close(struct bsq_pass *pass);

/* Switches to another group plan: groups are prepared anew. */
void bsq_pass_replan(struct bsq_pass *pass, const struct bsq_hessian_plan *plan);

/* Runs 'work' on every block. CANCELLED, or STATE from a host's pool. */
bsq_status_t bsq_pass_run(struct bsq_pass *pass, bsq_pass_work work, void *context);

/* Bytes that bsq_pass_open allocates for a layer with statistics and targets. */
bool bsq_pass_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, size_t *bytes);

#endif
