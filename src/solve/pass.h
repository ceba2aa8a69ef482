/* A pass: one kind of work over every block of channels of a layer. Prepares H of each group, hands out workspaces,
 * runs the blocks on threads, reports progress and stops when asked to. */
#ifndef BSQ_SOLVE_PASS_H
#define BSQ_SOLVE_PASS_H

#include "solve/plan.h"

#include <stdatomic.h>

struct bsq_pass;

/* Works on one loaded block: 'block' counts blocks of the layer, 'channel' is its first channel in the layer. */
typedef void (*bsq_pass_work)(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);

/* Called once for each group before its blocks. */
typedef void (*bsq_pass_begin)(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian,
                               int64_t index);

struct bsq_pass {
    const struct bsq_solve_input *input;
    const struct bsq_solve_plan *plan;
    const struct bsq_hessian_plan *hessian_plan; /* one of the plan's, changed between passes by bsq_pass_replan */
    struct bsq_parallel parallel;
    int64_t prepared;            /* which group stands in hessian[0]; -1 none */
    struct bsq_search *search;   /* plan->slots */
    struct bsq_hessian *hessian; /* plan->hessians */
    void **hessian_memory;       /* plan->hessians: of each */
    bsq_pass_begin begin;        /* or NULL */
    bsq_pass_work work;
    void *context;           /* of the work */
    double *prepare_seconds; /* blocks: what preparing the block's group took, on its first block */
    int32_t *raised;         /* blocks: 1 where the group's search needed more damping */
    int64_t *dead_inputs;    /* blocks: dead inputs of the group, on its first block */
    /* progress, over all passes */
    int64_t done, total;
    double objective;              /* of the finished ones */
    double fraction;               /* last reported */
    atomic_int cancelled;          /* set by the calling thread, seen by all */
    const bsq_channel_t *finished; /* channels of the layer; 0 where they are not solved yet; or NULL */
    int32_t stage;
};

/* Lays out in 'memory' (NULL: only counts) what passes of this plan need, and returns the bytes. */
size_t bsq_pass_layout(struct bsq_pass *pass, const struct bsq_solve_plan *plan, void *memory);

/* Makes a pass that was laid out ready to run. */
void bsq_pass_start(struct bsq_pass *pass, const struct bsq_solve_input *input);

/* Switches to another of the plan's ways to prepare H, which is then prepared anew. */
void bsq_pass_replan(struct bsq_pass *pass, const struct bsq_hessian_plan *plan);

/* Runs 'work' on every block. CANCELLED, or STATE from a host's pool. */
bsq_status_t bsq_pass_run(struct bsq_pass *pass, bsq_pass_work work, void *context);

#endif
