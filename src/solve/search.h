/* The search for codes and scales of one block of channels: one level of effort after the other, each starting from the
 * result of the one before and keeping the better, so that J never rises with effort. */
#ifndef BSQ_SOLVE_SEARCH_H
#define BSQ_SOLVE_SEARCH_H

#include "stages/exact.h"
#include "stages/objective.h"
#include "stages/round.h"

enum { BSQ_EFFORT_MOST = 9 };

/* Bounds are looked for up to this fan-in. */
enum { BSQ_BOUND_INPUTS = 1024 };

/* What one level of effort tries. */
struct bsq_effort_plan {
    struct bsq_beam_plan beam; /* its multipliers are of the best scales so far */
    double low, high;          /* the multipliers' range */
    int32_t quarter;  /* of the channels that it works on, 1 to 4, those with the largest J after level 1 first; 0: all */
    int32_t digits;   /* 1: bit-split before descent */
    int32_t pairs;    /* 1: pairs of codes move too */
    int32_t restarts; /* descents from codes that were pushed off an optimum */
};

/* effort 1 .. BSQ_EFFORT_MOST */
const struct bsq_effort_plan *bsq_effort_plan(int32_t effort);

/* Work and objective of one stage in one block. */
struct bsq_stage_record {
    double before, after;
    double seconds;
    int64_t sweeps;
};

/* The stages of one level, in order. */
enum { BSQ_EFFORT_BEAM, BSQ_EFFORT_BITSPLIT, BSQ_EFFORT_DESCENT, BSQ_EFFORT_SCALE, BSQ_EFFORT_STAGES };

/* What holds for all blocks of a layer. */
struct bsq_search_plan {
    const struct bsq_kernels *kernels;
    struct bsq_rounding rounding;
    int64_t fan_in;
    int64_t block_channels;
    size_t block_scratch; /* of the block, in bytes */
    int64_t group_size;
    int64_t scales_per_channel;
    int32_t bits;
    int32_t effort;   /* levels to run: 0 rounds */
    int32_t lower_bound; /* 1: bounds are asked for */
    int32_t exact;    /* 1: optima of channels of small fan-in are looked for */
    int32_t planes;   /* 1: the range is that of ternary planes, so that bit-split applies */
};

/* Asked between parts of the work on a block, with the share of it that is done. True means stop: what the search then
 * leaves is valid memory but no result. */
typedef bool (*bsq_poll_fn)(void *opaque, int32_t slot, double share);

/* A workspace for one block at a time. */
struct bsq_search {
    const struct bsq_search_plan *plan;
    const struct bsq_effort_plan *effort_plan; /* that runs */
    struct bsq_block block;
    int32_t *rank;      /* channels: place by falling J after level 1 */
    int32_t *ranked;    /* channels: those of a quarter, rising */
    const int32_t *list; /* channels that are worked on: NULL when it is all of them */
    int64_t listed;      /* how many */
    double *multipliers; /* BSQ_BEAM_COUNT: those that are tried with every channel, */
    int32_t tried;       /* how many */
    struct bsq_candidate best;  /* what is kept: scales are values of the format */
    struct bsq_candidate unrestricted;  /* the best with any float32 scales; the same as best when that is the format */
    struct bsq_candidate trial;
    double *u;          /* channels x n */
    double *scratch;    /* of bsq_scale_refit */
    double *prices;     /* 2 n: of bsq_descent_pairs */
    double *kept_g;     /* n: of the best point of a channel between restarts */
    int8_t *kept_codes; /* n */
    double *multiplier; /* channels */
    double *maximum;    /* channels x scales_per_channel: maximum scales */
    bool has_maximum;   /* they stand there */
    double *error;      /* channels: of the beam's result */
    double *distance;   /* channels: |w - u|^2 of rounding, from quick.h */
    int8_t *planes;     /* (bits - 1) x n */
    void *beam;
    struct bsq_exact exact;
    int64_t *sweeps;    /* channels */
    int32_t *limited;   /* channels: stopped at the limit of sweeps */
    int32_t *proven;    /* channels: best is the optimum */
    double *bound;      /* channels: J cannot be below; -infinity when unknown */
    bsq_poll_fn poll;
    void *poll_opaque;
    int32_t slot;       /* for poll */
    double share, share_end; /* of the block's work: done before the beam that runs, and with it */
};

size_t bsq_search_layout(struct bsq_search *search, const struct bsq_search_plan *plan, void *memory);

/* Which scale a rounding uses. */
enum bsq_scale_rule { BSQ_RULE_MAXIMUM, BSQ_RULE_ALTERNATING, BSQ_RULE_LEAST };

/* Scales of the block into 'candidate'; and codes rounded with them. */
void bsq_search_round_scales(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule);
void bsq_search_round_block(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule);

/* Chooses multipliers of a level for scales that stand in the trial, by 'sample' channels spread over the block; 0: all of
 * the level's. Returns how many there are. */
int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *effort_plan, int64_t sample, int32_t refit,
                          double *chosen);

/* A beam from the scales that stand in the trial, into it; sets error. False when it was stopped. */
bool bsq_search_beam(struct bsq_search *search, int32_t width, const double *multipliers, int32_t count, int32_t refit);

/* Sets sweeps, limited, proven and bound of every channel to nothing, all channels being worked on. */
void bsq_search_reset(struct bsq_search *search);

/* Codes with a common divisor say the same with a larger scale: the smallest codes are kept, so that equally good
 * results are the same result. */
void bsq_search_reduce_codes(const struct bsq_search_plan *plan, struct bsq_candidate *candidate, int64_t channel);

/* Rounding, judged by J: the better of maximum and alternating scale for each channel, into best and open.
 * The block must be loaded. */
void bsq_search_round(struct bsq_search *search, struct bsq_stage_record *record);

/* Polishes what stands in the trial, which must be better than anything known, into best: the result of level 1 for a
 * block that was solved by quick.h and then widened. */
void bsq_search_begin(struct bsq_search *search, struct bsq_stage_record *records);

/* Runs one level for a block with a start in best and open; 'records' has BSQ_LEVEL_STAGES entries. */
void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records);

/* The joint optimum of scale and codes for channels of small fan-in, as far as a limit of nodes allows that rises with
 * effort; sets proven and bound. For one float32 scale a channel only. To be run after each level, so that the next one
 * starts from its result; adds to 'record'. */
void bsq_search_exact(struct bsq_search *search, int32_t effort, struct bsq_stage_record *record);

/* Whether bounds will be looked for. */
bool bsq_search_bounds(const struct bsq_search_plan *plan);

/* Whether the best of every channel is proven to be the optimum: nothing is left to search. */
bool bsq_search_proven(const struct bsq_search *search);

/* For a scale that is given (per tensor): codes for scales that stand in trial.scales, by beam search of that width or,
 * with width 0, starting from the codes in trial, then descent; sets trial.j and trial.g. */
void bsq_search_fixed(struct bsq_search *search, int32_t width, struct bsq_stage_record *records);

/* Sum over channels, in their order. */
double bsq_search_sum(const double *j, int64_t channels);

/* Seconds from an arbitrary start. */
double bsq_seconds(void);

#endif
