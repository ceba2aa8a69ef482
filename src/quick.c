/* Effort 1 in single precision, on which higher efforts build. */
#include "quick.h"

#include "blas.h"
#include "scale.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Small problems are solved in double in no time. */
enum { LEAST_INPUTS = 64 };

/* The inputs decided first make up most of J: this share of them is looked at to rule rounding out. */
enum { CORNER_SHARE = 4 };

/* How far single precision may be off, as a share of J: bounds keep this distance. */
static const double margin = 1e-5;

bool bsq_quick_applies(const struct bsq_search_plan *plan, const struct bsq_group_plan *group)
{
    return plan->effort >= 1 && plan->fan_in > LEAST_INPUTS && plan->scales_per_channel == 1 &&
           plan->rounding.scale_format == BSQ_SCALE_FLOAT32 && group->mu == 0.0 && !group->centred;
}

/* sums = |R e|^2 in units of the layer, over the last 'rows' rows of R; e (rows x channels, each channel in units of
 * its own) is lost. */
static void corner_squares(const struct bsq_search *search, float *e, int64_t rows, const double *units, double *sums)
{
    const struct bsq_group *group = search->block.group;
    int64_t n = group->n, first = n - rows, channels = search->block.channels;
    double plain[BSQ_BLOCK_MOST] = {0};

    bsq_strmm(rows, channels, group->r + first * n + first, n, e, channels);
    memset(sums, 0, (size_t)channels * sizeof *sums);
    search->plan->kernels->sums(e, channels, rows, channels, NULL, plain, sums);
    for (int64_t c = 0; c < channels; c++)
        sums[c] *= group->unit * units[c] * units[c];
}

/* to (rows x channels) = weights times 'inverse' of their channel, minus codes (or NULL), of the inputs in 'order'. A few
 * channels at a time, so that what is read and written stays close. */
static void gather(const struct bsq_block *block, const int64_t *order, int64_t rows, const double *inverse,
                   const int8_t *codes, float *to)
{
    enum { SIDE = 16 };
    int64_t n = block->group->n, channels = block->channels;

    for (int64_t first = 0; first < channels; first += SIDE) {
        int64_t end = first + SIDE < channels ? first + SIDE : channels;

        for (int64_t k = 0; k < rows; k++)
            for (int64_t c = first; c < end; c++) {
                int64_t at = c * n + order[k];

                to[k * channels + c] = (float)((double)block->weights[at] * inverse[c] - (codes ? codes[at] : 0));
            }
    }
}

/* w'Hw without damping. */
static void find_energies(struct bsq_search *search)
{
    struct bsq_block *block = &search->block;
    int64_t n = block->group->n, channels = block->channels;
    double units[BSQ_BLOCK_MOST] = {0}, inverse[BSQ_BLOCK_MOST] = {0};
    float *x = (float *)search->u;

    for (int64_t c = 0; c < channels; c++) {
        units[c] = search->trial.scales[c];
        inverse[c] = 1.0 / units[c];
    }
    gather(block, block->group->order, n, inverse, NULL, x);
    corner_squares(search, x, n, units, block->energy);
    for (int64_t c = 0; c < channels; c++) {
        const double *v = block->v + c * n;

        block->energy[c] = fmax(block->energy[c] - block->group->ridge * bsq_ddot(n, v, v), 0.0);
    }
}

/* What the last 'rows' rows of R make of J for the codes and scales that stand in best; all of J when that is all
 * rows. */
static void judge_corner(struct bsq_search *search, int64_t rows, double *sums)
{
    const struct bsq_block *block = &search->block;
    double inverse[BSQ_BLOCK_MOST] = {0};
    float *e = (float *)search->u;

    for (int64_t c = 0; c < block->channels; c++)
        inverse[c] = 1.0 / search->best.scales[c];
    gather(block, block->group->order + block->group->n - rows, rows, inverse, search->best.codes, e);
    corner_squares(search, e, rows, search->best.scales, sums);
}

static bool is_above(const struct bsq_search *search, const double *sums)
{
    for (int64_t c = 0; c < search->block.channels; c++)
        if (!(sums[c] * (1.0 - margin) > search->trial.j[c]))
            return false;
    return true;
}

/* Rounding of channel c, in best with an objective of 'sum', may be as good as the trial: takes it over where it clearly
 * is better. False when single precision cannot tell. */
static bool take_rounding(struct bsq_search *search, int64_t c, double sum, double *start)
{
    struct bsq_candidate *trial = &search->trial;
    const struct bsq_candidate *best = &search->best;
    int64_t n = search->plan->fan_in;

    if (!(trial->j[c] > 0.0)) { /* a channel of zeros */
        start[c] = fmin(sum * (1.0 + margin), start[c]);
        return true;
    }
    if (!(start[c] > trial->j[c]) && !(best->scales[c] < trial->scales[c]) && !(best->scales[c] > trial->scales[c]))
        return true; /* the other rule's, which has been taken, is the same */
    if (!(sum * (1.0 + margin) < trial->j[c] * (1.0 - 2.0 * margin)))
        return false;
    memcpy(trial->codes + c * n, best->codes + c * n, (size_t)n);
    trial->scales[c] = best->scales[c];
    trial->j[c] = start[c] = sum * (1.0 + margin);
    return true;
}

/* Rounds by 'rule' into best and notes what is known of its J. Channels of the trial that it is better than become what it
 * is. False when that cannot be told for some. */
static bool rule_out(struct bsq_search *search, enum bsq_scale_rule rule, double *start)
{
    int64_t n = search->plan->fan_in, share = search->plan->effort == 1 ? CORNER_SHARE : 1;
    double sums[BSQ_BLOCK_MOST] = {0};

    bsq_search_round_block(search, &search->best, rule);
    judge_corner(search, (n + share - 1) / share, sums);
    if (share > 1 && !is_above(search, sums))
        judge_corner(search, n, sums);
    for (int64_t c = 0; c < search->block.channels; c++) {
        double least = sums[c] * (1.0 - margin);

        if (least > search->trial.j[c])
            start[c] = fmin(least, start[c]);
        else if (!take_rounding(search, c, sums[c], start))
            return false;
    }
    return true;
}

static bool feed_back(struct bsq_search *search)
{
    struct bsq_candidate *trial = &search->trial;
    double unused;

    bsq_search_round_scales(search, trial, BSQ_RULE_LEAST);
    if (!bsq_search_beam(search, bsq_search_level(1), 0))
        return false;
    for (int64_t c = 0; c < search->block.channels; c++) {
        bsq_search_reduce_codes(search->plan, trial, c);
        bsq_scale_neighbours(BSQ_SCALE_FLOAT32, trial->scales[c], &trial->scales[c], &unused);
        trial->j[c] = search->error[c] * (1.0 + margin);
    }
    return true;
}

static double sum_of(const double *values, int64_t count)
{
    double sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    return sum;
}

bool bsq_quick_search(struct bsq_search *search, struct bsq_stage_record *rounding, struct bsq_stage_record *beam)
{
    int64_t channels = search->block.channels;
    double start[BSQ_BLOCK_MOST], begin = bsq_seconds(), middle;

    bsq_search_reset(search);
    for (int64_t c = 0; c < channels; c++)
        start[c] = INFINITY;
    if (!feed_back(search))
        return false;
    middle = bsq_seconds();
    if (search->plan->effort == 1)
        find_energies(search);
    if (!rule_out(search, BSQ_RULE_MAXIMUM, start) || !rule_out(search, BSQ_RULE_ALTERNATING, start))
        return false;
    memcpy(search->best.j, start, (size_t)channels * sizeof *start);
    rounding->before = rounding->after = beam->before = sum_of(start, channels);
    beam->after = sum_of(search->trial.j, channels);
    beam->seconds = middle - begin;
    rounding->seconds = bsq_seconds() - middle;
    return true;
}
