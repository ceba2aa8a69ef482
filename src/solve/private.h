/* What one solve holds: for solve.c, which runs it, blocks.c, which works on blocks, and report.c, which says how it
 * went. */
#ifndef BSQ_SOLVE_PRIVATE_H
#define BSQ_SOLVE_PRIVATE_H

#include "solve/paper.h"
#include "solve/pass.h"
#include "solve/per_tensor.h"
#include "solve/solve.h"

/* Arrays are of M. */
struct bsq_solve {
    const struct bsq_solve_input *input; /* our own */
    struct bsq_solve_input own_input;
    bsq_options_t options; /* of the input; weight_bits are those of the solve that runs */
    struct bsq_solve_plan plan;
    double start; /* of the work, in seconds */
    struct bsq_result *result;
    const struct bsq_result *given; /* to be judged in the place of a result; or NULL */
    struct bsq_pass pass;
    struct bsq_paper paper;
    struct bsq_per_tensor per_tensor;
    void *memory, *pass_memory; /* one block for what is below, one for the pass */
    size_t cleared;             /* how much of the former is zeroed before each solve */
    int64_t passes;             /* of one solve, at most */
    double *error;              /* undamped output error, centred with bias correction */
    double *error_start;        /* the same of rounding */
    double *floor;
    double *gap; /* mean of the output error, the bias that would take it away; NULL without means */
    double *held_energy, *held_error, *held_gap; /* NULL without held-out statistics (or their means) */
    struct bsq_stage_record *records;            /* blocks x plan.records */
};

/* Gives J as it is reported: below zero it is so by rounding only. Not a number stays what it is. */
static inline double bsq_solve_not_negative(double j)
{
    return j < 0.0 ? 0.0 : j;
}

/* part / whole; 0 of nothing */
static inline double bsq_solve_ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

/* The records of one block. */
struct bsq_stage_record *bsq_solve_records(struct bsq_solve *solve, int64_t block);

/* What passes do, with the solve as their context: before the blocks of a group; rounding and all efforts; the same
 * with kept scales; the published algorithm; the tensor's best point as the start, and as the result; what is given;
 * the result on held-out statistics. */
void bsq_solve_begin_group(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian,
                           int64_t index);
void bsq_solve_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_kept(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_paper(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_tensor_start(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_tensor_result(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_given(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_held_out(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);

/* Corrects the bias where asked for, and fills the report, channels and stages of the result. */
void bsq_solve_report(struct bsq_solve *solve);

#endif
