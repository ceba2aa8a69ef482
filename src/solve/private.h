/* What one solve holds: for solve.c, which runs it, solve_blocks.c, which works on blocks, and solve_report.c, which says how
 * it went. */
#ifndef BSQ_SOLVE_PRIVATE_H
#define BSQ_SOLVE_PRIVATE_H

#include "solve/paper.h"
#include "solve/pass.h"
#include "solve/solve.h"
#include "solve/per_tensor.h"

/* Places of the records of one block: rounding, preparing, the exact search, then the stages of each level. */
enum { RECORD_ROUND, RECORD_PREPARE, RECORD_EXACT, RECORD_EFFORTS };

struct bsq_solve {
    const struct bsq_solve_input *input; /* our own */
    struct bsq_solve_input own_input;
    bsq_options_t options;               /* of the input; weight_bits are those of the solve that runs */
    struct bsq_hessian_plan plan, held_plan;
    double start; /* of the work, in seconds */
    struct bsq_result *result;
    const struct bsq_result *given; /* to be judged in the place of a result; or NULL */
    struct bsq_pass pass;
    struct bsq_paper paper;
    struct bsq_per_tensor tensor;
    void *extra;                      /* memory of paper or tensor */
    struct bsq_stage_record *records; /* blocks x record_count */
    int32_t record_count;
    int32_t levels;
    int64_t note_arrays; /* of M doubles, from 'error' on */
    double *floor;     /* M */
    double *gap;       /* M: mean of the output error, the bias that would take it away; NULL without means */
    double *held_energy, *held_error, *held_gap; /* M; NULL without held-out statistics (or their means) */
    double *error;       /* M: undamped output error, centred with bias correction */
    double *error_start; /* the same of rounding */
};

static inline int64_t bsq_solve_channels(const struct bsq_solve *solve)
{
    return solve->input->geometry->out_channels;
}

static inline bool bsq_solve_is_paper(const bsq_options_t *options)
{
    return options->solver == BSQ_SOLVER_PAPER;
}

static inline bool bsq_solve_is_tensor(const bsq_options_t *options)
{
    return options->scale_kind == BSQ_SCALE_KIND_PER_TENSOR;
}

/* part / whole; 0 of nothing */
static inline double bsq_solve_ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

/* The records of one block. */
struct bsq_stage_record *bsq_solve_records(struct bsq_solve *solve, int64_t block);

/* What passes do, with the solve as their context: before the blocks of a group; rounding and all levels; the published
 * algorithm; the tensor's best point as the start, and as the result; what is given; the result on held-out statistics. */
void bsq_solve_begin_group(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian, int64_t index);
void bsq_solve_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_paper(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_tensor_start(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_tensor_result(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_given(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);
void bsq_solve_block_held_out(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel);

/* Corrects the bias where asked for, and fills the report, channels and stages of the result. */
void bsq_solve_report(struct bsq_solve *solve);

#endif
