/* The workspace in which one block of channels is searched: candidates, scratch, which channels are worked on, and the
 * records of what each stage did. */
#ifndef BSQ_SOLVE_WORKSPACE_H
#define BSQ_SOLVE_WORKSPACE_H

#include "solve/effort.h"
#include "stages/exact.h"
#include "stages/objective.h"
#include "stages/round.h"

/* Work and objective of one stage in one block. */
struct bsq_stage_record {
    double before, after;
    double seconds;
    int64_t sweeps;
};

/* The stages of one effort, in order. */
enum { BSQ_EFFORT_BEAM, BSQ_EFFORT_BITSPLIT, BSQ_EFFORT_DESCENT, BSQ_EFFORT_SCALE, BSQ_EFFORT_STAGES };

/* What holds for all blocks of a layer. */
struct bsq_search_plan {
    struct bsq_rounding rounding;
    int64_t fan_in;
    int64_t block_channels;
    size_t block_scratch; /* of the block, in bytes */
    int64_t group_size;
    int64_t scales_per_channel;
    int32_t bits;
    int32_t effort;      /* the last to run; 0 rounds */
    int32_t lower_bound; /* 1: bounds are looked for */
    int32_t exact;       /* 1: optima of single channels are looked for */
    int32_t planes;      /* 1: the range is that of ternary planes, so that bit-split applies */
    int32_t contains;    /* 1: the full range, whose symmetric codes are searched on their own too, */
    int32_t contained;   /* 1: and these alone */
};

/* Gives the plan for the symmetric codes of the full range. */
struct bsq_search_plan bsq_symmetric_plan(const struct bsq_search_plan *plan);

/* Asked between parts of the work on a block, with the share of it that is done. True means stop: what the search then
 * leaves is valid memory but no result. */
typedef bool (*bsq_poll_fn)(void *opaque, int32_t slot, double share);

/* A workspace for one block at a time. */
struct bsq_search {
    const struct bsq_search_plan *plan;
    const struct bsq_effort_plan *effort_plan; /* of the effort that runs */
    struct bsq_block block;
    int32_t *rank;                        /* channels: place by falling J after effort 1 */
    int32_t *ranked;                      /* channels: those of a quarter, rising */
    const int32_t *list;                  /* channels that are worked on: NULL when it is all of them */
    int64_t listed;                       /* how many */
    double *multipliers;                  /* BSQ_BEAM_COUNT: those that are tried with every channel, */
    int32_t tried;                        /* how many */
    struct bsq_first_choice first_choice; /* the same of effort 1 */
    struct bsq_candidate best;            /* what is kept: scales are values of the format */
    struct bsq_candidate unrestricted; /* the best with any float32 scales; the same as best when that is the format */
    struct bsq_candidate trial;
    struct bsq_candidate first; /* what first_beam.h keeps while it tries more */
    struct bsq_candidate full;  /* the result of the full range, while its symmetric codes are searched alone */
    double *u;                  /* channels x n */
    double *scratch;            /* of bsq_scale_refit */
    double *prices;             /* 2 n: of bsq_descent_pairs */
    double *kept_g;             /* n: of the best point of a channel between restarts */
    int8_t *kept_codes;         /* n */
    double *multiplier;         /* channels */
    double *maximum;            /* channels x scales_per_channel: maximum scales */
    bool has_maximum;           /* they stand there */
    double *error;              /* channels: of the beam's result */
    float *importance;          /* n: diag H in units of its mean, where the grid is not plain */
    double *distance;           /* channels: |w - u|^2 of rounding, from single_precision.h */
    int8_t *planes;             /* (bits - 1) x n */
    void *beam;
    struct bsq_exact exact;
    int64_t *sweeps;  /* channels */
    int32_t *limited; /* channels: stopped at the limit of sweeps */
    int32_t *proven;  /* channels: best is the optimum */
    double *bound;    /* channels: J cannot be below; -infinity when unknown */
    bsq_poll_fn poll;
    void *poll_opaque;
    int32_t slot;            /* for poll */
    double share, share_end; /* of the block's work: done before the stage that runs, and with it */
};

/* Lays a workspace out in 'memory' (NULL: only counts) and returns the bytes that it needs. */
size_t bsq_search_layout(struct bsq_search *search, const struct bsq_search_plan *plan, void *memory);

/* Sets sweeps, limited, proven and bound of every channel to nothing; all channels are worked on. */
void bsq_search_reset(struct bsq_search *search);

/* Works on all channels of the block from now on. */
void bsq_search_list_all(struct bsq_search *search);

/* Gives number i of the channels that are worked on. */
static inline int64_t bsq_search_channel(const struct bsq_search *search, int64_t i)
{
    return search->list ? search->list[i] : i;
}

/* Sets j and g of the trial's listed channels, in double; or, for what will be judged after polishing, from products in
 * single precision where the Hessian has them. */
void bsq_search_judge(struct bsq_search *search);
void bsq_search_estimate(struct bsq_search *search);

/* Sets j alone (bsq_candidate_value). */
void bsq_search_value(struct bsq_search *search);

/* Gives one channel of the trial. */
struct bsq_point bsq_search_point(struct bsq_search *search, int64_t channel);

/* Copies codes and scales of 'from' into the trial. */
void bsq_search_start_from(struct bsq_search *search, const struct bsq_candidate *from);

/* Copies the block's scales and shifts (NULL: none) from those of the layer, whose channel 'channel' is the block's
 * first, into the trial; and judges the trial with them and with codes that are the layer's too. */
void bsq_search_load_scales(struct bsq_search *search, const double *scales, const double *shifts, int64_t channel);
void bsq_search_judge_given(struct bsq_search *search, const int8_t *codes, const double *scales, const double *shifts,
                            int64_t channel);

/* Asks the host whether to stop; between parts of a block that beams do not count. */
bool bsq_search_stop(void *search);

/* Tells whether the best of every channel is proven to be the optimum, so that nothing is left to search. */
bool bsq_search_proven(const struct bsq_search *search);

/* Sums over channels, in their order: of j; and of the better of two candidates' j. */
double bsq_search_sum(const double *j, int64_t channels);
double bsq_search_sum_better(const struct bsq_candidate *a, const struct bsq_candidate *b, int64_t channels);

/* Begin and end a stage: notes the sum of J, the time and the sweeps in between. 'record' may be NULL. */
void bsq_record_open(struct bsq_stage_record *record, const struct bsq_search *search, double before);
void bsq_record_close(struct bsq_stage_record *record, const struct bsq_search *search, double after);

/* Seconds from an arbitrary start. */
double bsq_seconds(void);

#endif
