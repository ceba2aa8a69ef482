/* Effort 1 in single precision, on which higher efforts build. */
#include "solve/single_precision.h"

#include "base/blas.h"
#include "solve/first_beam.h"
#include "solve/polish.h"
#include "solve/start.h"
#include "stages/scale.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Small problems are solved in double in no time. */
enum { LEAST_INPUTS = 64 };

/* How far single precision may be off, as a share of J: bounds keep this distance. */
static const double margin = 1e-5;

bool bsq_single_precision_applies(const struct bsq_search_plan *plan, const struct bsq_hessian_plan *hessian)
{
    return bsq_round_is_plain(&plan->rounding) && plan->effort >= 1 && plan->fan_in > LEAST_INPUTS &&
           plan->scales_per_channel == 1 && plan->rounding.scale_format == BSQ_SCALE_FORMAT_FLOAT32 &&
           hessian->mu == 0.0 && !hessian->centred;
}

void bsq_single_precision_begin(struct bsq_search *search, struct bsq_hessian *hessian, const float *weights)
{
    int64_t n = hessian->n, sample = bsq_beam_sample(n, hessian->channels, &bsq_effort_plan(1)->beam);
    float *sampled = (float *)search->u;

    if (!hessian->single)
        return;
    for (int64_t c = 0; c < sample; c++)
        memcpy(sampled + c * n, weights + c * (hessian->channels / sample) * n, (size_t)n * sizeof *sampled);
    bsq_block_load(&search->block, hessian, sampled, 0, sample);
    bsq_search_reset(search);
    bsq_first_beam_choose(search, sample, 0);
    hessian->choices[0] = search->first_choice;
    if (search->plan->contains) {
        const struct bsq_search_plan *plan = search->plan, symmetric = bsq_symmetric_plan(plan);

        search->plan = &symmetric;
        search->has_maximum = false;
        bsq_first_beam_choose(search, sample, 0);
        hessian->choices[1] = search->first_choice;
        search->plan = plan;
    }
}

/* ---- sums of squares ----------------------------------------------------------------------------------------- */

/* Gives a block's worth of floats, twice: the search's u. */
static float *rows_of_channels(const struct bsq_search *search)
{
    return (float *)search->u;
}

static float *rows_of_inputs(const struct bsq_search *search)
{
    return (float *)search->u + search->block.channels * search->block.hessian->n;
}

/* Sets sums = |R e|^2 in units of the layer for 'count' channels, those of the list or (NULL) all; e (channels x n),
 * each channel in units of its own. */
static void full_squares(const struct bsq_search *search, const float *e, const double *units, const int32_t *list,
                         int64_t count, double *sums)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    const float *rows[BSQ_BLOCK_MOST] = {NULL};
    double squares[BSQ_BLOCK_MOST];

    for (int64_t i = 0; i < count; i++)
        rows[i] = e + (list ? list[i] : i) * hessian->n;
    bsq_hessian_squares(hessian, rows, count, rows_of_inputs(search), squares);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = list ? list[i] : i;

        sums[c] = squares[i] * hessian->unit * units[c] * units[c];
    }
}

/* Sets sums to the part of it that the largest rows of R make, of all channels. */
static void top_squares(const struct bsq_search *search, const float *e, const double *units, double *sums)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    int64_t n = hessian->n, channels = search->block.channels, rows = hessian->top_rows;
    float *z = rows_of_inputs(search);

    if (rows > 0)
        bsq_sgemm(false, true, channels, rows, n, 1.0f, e, n, hessian->top, n, 0.0f, z, rows);
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0.0;

        for (int64_t k = 0; k < rows; k++)
            sum += (double)z[c * rows + k] * (double)z[c * rows + k];
        sums[c] = sum * hessian->unit * units[c] * units[c];
    }
}

/* Sets the energies: w'Hw without damping. */
static void find_energies(struct bsq_search *search)
{
    struct bsq_block *block = &search->block;
    int64_t n = block->hessian->n, channels = block->channels;
    float *x = rows_of_channels(search);

    for (int64_t c = 0; c < channels; c++) {
        float inverse = (float)(1.0 / search->trial.scales[c]);

        for (int64_t j = c * n; j < (c + 1) * n; j++)
            x[j] = inverse * block->weights[j];
    }
    full_squares(search, x, search->trial.scales, NULL, channels, block->energy);
    for (int64_t c = 0; c < channels; c++) {
        const double *v = block->v + c * n;

        block->energy[c] = fmax(block->energy[c] - block->hessian->ridge * bsq_ddot(n, v, v), 0.0);
    }
}

/* ---- rounding ------------------------------------------------------------------------------------------------- */

static bool is_above(const struct bsq_search *search, int64_t c, double sum)
{
    return sum * (1.0 - margin) > search->trial.j[c];
}

/* Bounds J of rounding from below: by the largest rows at effort 1, by all where they do not suffice. */
static void bound_rounding(const struct bsq_search *search, const float *e, const double *scales, double *sums)
{
    int32_t list[BSQ_BLOCK_MOST];
    int64_t channels = search->block.channels, listed = 0;
    bool top = search->plan->effort == 1;

    if (top)
        top_squares(search, e, scales, sums);
    for (int32_t c = 0; c < channels; c++)
        if (!top || !is_above(search, c, sums[c]))
            list[listed++] = c;
    if (listed > 0)
        full_squares(search, e, scales, list, listed, sums);
}

/* Takes rounding of channel c, with 'scale' and an objective of 'sum', over into the trial where it clearly is better.
 * False when single precision cannot tell. */
static bool take_rounding(struct bsq_search *search, int64_t c, double scale, double sum, double *start)
{
    struct bsq_candidate *trial = &search->trial;
    int64_t n = search->plan->fan_in;

    if (!(trial->j[c] > 0.0)) { /* a channel of zeros */
        start[c] = fmin(sum * (1.0 + margin), start[c]);
        return true;
    }
    if (!(start[c] > trial->j[c]) && !(scale < trial->scales[c]) && !(scale > trial->scales[c]))
        return true; /* the other rule's, which has been taken, is the same */
    if (!(sum * (1.0 + margin) < trial->j[c] * (1.0 - 2.0 * margin)))
        return false;
    bsq_round_codes(&search->plan->rounding, search->block.weights + c * n, n, scale, 0.0, trial->codes + c * n);
    trial->scales[c] = scale;
    trial->j[c] = start[c] = sum * (1.0 + margin);
    return true;
}

/* Rounds by 'rule' and notes what is known of the least J of rounding, in 'start', and of |w - u|^2 there. Channels of
 * the trial that it is better than become what it is. False when that cannot be told for some. */
static bool rule_out(struct bsq_search *search, enum bsq_scale_rule rule, double *start)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    const double *scales = search->best.scales;
    int64_t n = search->plan->fan_in, channels = search->block.channels;
    double sums[BSQ_BLOCK_MOST], distance[BSQ_BLOCK_MOST];
    float *e = rows_of_channels(search);

    bsq_start_scales(search, &search->best, rule);
    for (int64_t c = 0; c < channels; c++)
        distance[c] = scales[c] * scales[c] *
                      bsq_kernels()->round_errors(search->block.weights + c * n, n, 1.0 / scales[c], rounding->lowest,
                                                  rounding->highest, e + c * n);
    bound_rounding(search, e, scales, sums);
    for (int64_t c = 0; c < channels; c++) {
        double before = start[c];

        if (is_above(search, c, sums[c]))
            start[c] = fmin(sums[c] * (1.0 - margin), start[c]);
        else if (!take_rounding(search, c, scales[c], sums[c], start))
            return false;
        if (start[c] < before)
            search->distance[c] = distance[c];
    }
    return true;
}

/* ---- the search ----------------------------------------------------------------------------------------------- */

static bool feed_back(struct bsq_search *search)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    struct bsq_candidate *trial = &search->trial;

    search->first_choice = hessian->choices[search->plan->contained];
    if (!bsq_first_beam(search, 0))
        return false;
    for (int64_t c = 0; c < search->block.channels; c++) {
        double wanted;

        bsq_reduce_codes(search->plan, trial, c);
        wanted = trial->scales[c];
        trial->scales[c] = bsq_scale_stored(wanted, trial->codes + c * search->plan->fan_in, search->plan->fan_in);
        if (fabs(trial->scales[c] - wanted) > FLT_EPSILON * wanted) /* out of float32's range: J is not known */
            return false;
        trial->j[c] = search->error[c] * (1.0 + margin);
    }
    return true;
}

bool bsq_single_precision_search(struct bsq_search *search, struct bsq_stage_record *rounding,
                                 struct bsq_stage_record *beam)
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
    rounding->before = rounding->after = beam->before = bsq_search_sum(start, channels);
    beam->after = bsq_search_sum(search->trial.j, channels);
    beam->seconds = middle - begin;
    rounding->seconds = bsq_seconds() - middle;
    return true;
}
