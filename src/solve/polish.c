/* Polishing: bit-split, coordinate descent and closed-form scales in turn, from codes and scales that stand in the
 * trial. */
#include "solve/polish.h"

#include "solve/beam_search.h"
#include "stages/bitsplit.h"
#include "stages/descent.h"
#include "stages/scale.h"
#include "stages/tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Passes over the codes of a channel, and turns of codes and scale, before it counts as stopped by a limit. */
enum { MOST_SWEEPS = 60, MOST_TURNS = 30 };

/* Codes and scale have met when a refit moves the scale by less than this share; scales that are not refit jointly, and
 * converge slowly, when it lowers J by less than this. */
static const double settled = 1e-9, settled_in_turn = 1e-4;

/* Goes digit by digit through the ternary planes of the trial's codes until none changes; 'refit' moves scales too. */
static void bitsplit_channel(struct bsq_search *search, int64_t channel, bool refit)
{
    const struct bsq_search_plan *plan = search->plan;
    struct bsq_point point = bsq_search_point(search, channel);

    if (!bsq_split(plan->bits, plan->fan_in, point.codes, search->planes))
        return;
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        search->sweeps[channel]++;
        if (!bsq_bitsplit_sweep(&point, plan->bits, search->planes))
            break;
        if (refit)
            (void)bsq_scale_refit(&point, search->scratch);
    }
    search->trial.j[channel] = point.j;
}

/* Sweeps until no code changes; false when the limit came first. */
static bool descend(struct bsq_search *search, struct bsq_point *point, int64_t channel)
{
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        search->sweeps[channel]++;
        if (!bsq_descent_sweep(point))
            return true;
    }
    return false;
}

/* Refits the scales; true when they had settled. */
static bool refit_settled(struct bsq_search *search, struct bsq_point *point)
{
    bool jointly = point->scales_per_channel == 1 || !bsq_tiles_apply(point->hessian, search->listed);
    double before = point->j;
    double moved = jointly ? bsq_scale_refit(point, search->scratch) : bsq_scale_refit_groups(point, search->scratch);

    return moved <= settled ||
           (!(jointly && bsq_scale_refits_jointly(point)) && before - point->j <= settled_in_turn * before);
}

/* Codes and scales in turn until neither moves; false when the limit came first. */
static bool descend_point(struct bsq_search *search, struct bsq_point *point, int64_t channel, bool refit)
{
    bool met = false,
         pairs = search->effort_plan->pairs && point->h && point->scales_per_channel == 1 && !point->levels;

    for (int turn = 0; turn < MOST_TURNS && !met; turn++) {
        bool still = descend(search, point, channel);

        met = still && (!refit || refit_settled(search, point));
        if (met && pairs)
            met = bsq_descent_pairs(point, search->block.hessian->reach, search->prices) == 0;
    }
    return met;
}

static void keep_point(struct bsq_search *search, const struct bsq_point *point)
{
    memcpy(search->kept_codes, point->codes, (size_t)point->n);
    memcpy(search->kept_g, point->g, (size_t)point->n * sizeof *point->g);
}

/* Pushes a few codes off an optimum and descends again, as often as the effort says; the better point stays. */
static void restart(struct bsq_search *search, struct bsq_point *point, int64_t channel)
{
    enum { PUSHED = 4 };
    uint64_t random = (uint64_t)(search->block.first + channel) * 2 + 1;
    double j = point->j, scale = point->scales[0], shift = point->shifts ? point->shifts[0] : 0.0;

    keep_point(search, point);
    for (int32_t i = 0; i < search->effort_plan->restarts; i++) {
        for (int k = 0; k < PUSHED; k++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            bsq_descent_push(point, (int64_t)((random >> 33) % (uint64_t)point->n), random >> 32 & 1 ? 1 : -1);
        }
        (void)descend_point(search, point, channel, true);
        if (point->j < j) { /* on its way J was far above: what it lost there is too much to compare by */
            bsq_candidate_judge_channel(&search->trial, &search->block, channel, search->u);
            point->j = search->trial.j[channel];
        }
        if (point->j < j) {
            j = point->j;
            scale = point->scales[0];
            shift = point->shifts ? point->shifts[0] : 0.0;
            keep_point(search, point);
        } else {
            point->j = j;
            point->scales[0] = scale;
            if (point->shifts)
                point->shifts[0] = shift;
            memcpy(point->codes, search->kept_codes, (size_t)point->n);
            memcpy(point->g, search->kept_g, (size_t)point->n * sizeof *point->g);
        }
    }
}

static void descend_channel(struct bsq_search *search, int64_t channel, bool refit)
{
    const double lost = 0x1p-10; /* a J that falls further has lost as many digits, being kept step by step */
    struct bsq_point point = bsq_search_point(search, channel);
    double before = point.j;

    search->limited[channel] |= !descend_point(search, &point, channel, refit);
    if (refit && point.scales_per_channel == 1 && point.h)
        restart(search, &point, channel);
    search->trial.j[channel] = point.j;
    if (point.h && point.j < lost * before)
        bsq_candidate_judge_channel(&search->trial, &search->block, channel, search->u);
}

/* Brings the listed channels close to where neither codes nor scales move, side by side. */
static void descend_in_tiles(struct bsq_search *search, bool refit)
{
    enum { MOST_TILE_SWEEPS = 8 };
    const double least = 1e-3; /* of J: channels that a sweep gains less are left to descend alone */
    struct bsq_point points[BSQ_BLOCK_MOST];
    int32_t channel[BSQ_BLOCK_MOST];
    double before[BSQ_BLOCK_MOST];
    int64_t count = search->listed;

    for (int64_t i = 0; i < count; i++) {
        channel[i] = (int32_t)bsq_search_channel(search, i);
        points[i] = bsq_search_point(search, channel[i]);
    }
    for (int sweep = 0; sweep < MOST_TILE_SWEEPS && count >= BSQ_TILES_LEAST_CHANNELS; sweep++) {
        int64_t left = 0;

        for (int64_t i = 0; i < count; i++) {
            before[i] = points[i].j;
            search->sweeps[channel[i]]++;
        }
        bsq_tiles_sweep(points, count, refit, search->u, search->scratch);
        for (int64_t i = 0; i < count; i++) {
            if (refit && points[i].scales_per_channel == 1)
                (void)bsq_scale_refit(&points[i], search->scratch);
            search->trial.j[channel[i]] = points[i].j;
            if (!(before[i] - points[i].j > least * before[i]))
                continue;
            points[left] = points[i];
            channel[left++] = channel[i];
        }
        count = left;
    }
}

static void descend_listed(struct bsq_search *search, bool refit)
{
    if (bsq_tiles_apply(search->block.hessian, search->listed))
        descend_in_tiles(search, refit);
    for (int64_t i = 0; i < search->listed; i++)
        descend_channel(search, bsq_search_channel(search, i), refit);
}

void bsq_reduce_codes(const struct bsq_search_plan *plan, struct bsq_candidate *candidate, int64_t channel)
{
    if (plan->rounding.levels || plan->rounding.shifting.kind != BSQ_SHIFT_NONE)
        return;
    for (int64_t a = 0; a < plan->scales_per_channel; a++) {
        int8_t *codes = candidate->codes + channel * plan->fan_in + a * plan->group_size;
        int64_t count = bsq_scale_span(plan->fan_in, plan->group_size, a);
        int32_t divisor = 0;

        for (int64_t j = 0; j < count && divisor != 1; j++)
            for (int32_t rest = abs(codes[j]); rest;) { /* divisor = gcd(divisor, code) */
                int32_t next = divisor % rest;

                divisor = rest;
                rest = next;
            }
        if (divisor <= 1)
            continue;
        for (int64_t j = 0; j < count; j++)
            codes[j] = (int8_t)(codes[j] / divisor);
        candidate->scales[channel * plan->scales_per_channel + a] *= divisor;
    }
}

/* Moves scales to the values that will be stored, g and j with them. With several scales in a channel, or shifts, it is
 * less work to judge anew. */
static void store_scales(struct bsq_search *search)
{
    struct bsq_candidate *trial = &search->trial;
    int64_t scales = trial->scales_per_channel;
    bool alone = scales == 1 && !trial->shifts;

    for (int64_t i = 0; i < search->listed; i++) {
        int64_t c = bsq_search_channel(search, i);
        struct bsq_point point = bsq_search_point(search, c);

        bsq_reduce_codes(search->plan, trial, c);
        for (int64_t a = 0; a < scales; a++) {
            int64_t first = a * point.group_size;
            double stored = copysign(bsq_scale_stored(fabs(point.scales[a]), point.codes + first,
                                                      bsq_scale_span(point.n, point.group_size, a)),
                                     point.scales[a]);

            if (alone)
                bsq_scale_set(&point, stored);
            point.scales[a] = stored;
            if (point.shifting.kind == BSQ_SHIFT_FREE)
                point.shifts[a] = bsq_scale_offset_float32(point.shifts[a]);
            trial->j[c] = point.j;
        }
    }
    if (!alone)
        bsq_search_estimate(search);
}

void bsq_polish(struct bsq_search *search, const struct bsq_candidate *kept, bool refit,
                struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    bsq_record_open(&records[BSQ_EFFORT_BITSPLIT], search, bsq_search_sum_better(kept, &search->trial, channels));
    for (int64_t i = 0; search->effort_plan->digits && search->plan->planes && i < search->listed; i++)
        bitsplit_channel(search, bsq_search_channel(search, i), refit);
    bsq_record_close(&records[BSQ_EFFORT_BITSPLIT], search, bsq_search_sum_better(kept, &search->trial, channels));
    bsq_record_open(&records[BSQ_EFFORT_DESCENT], search, records[BSQ_EFFORT_BITSPLIT].after);
    descend_listed(search, refit);
    if (refit) {
        store_scales(search);
        descend_listed(search, false);
    }
    if (!search->block.hessian->h) /* J was kept with rows in single precision */
        bsq_search_value(search);
    bsq_record_close(&records[BSQ_EFFORT_DESCENT], search, bsq_search_sum_better(kept, &search->trial, channels));
}

void bsq_polish_fixed(struct bsq_search *search, int32_t width, struct bsq_stage_record *records)
{
    const double one = 1.0;
    double start = bsq_seconds();

    if (width > 0 && !bsq_search_beam(search, width, &one, 1, 0))
        return;
    bsq_search_estimate(search);
    records[BSQ_EFFORT_BEAM].before = bsq_search_sum(search->trial.j, search->block.channels);
    records[BSQ_EFFORT_BEAM].after = records[BSQ_EFFORT_BEAM].before;
    records[BSQ_EFFORT_BEAM].seconds = bsq_seconds() - start;
    bsq_polish(search, &search->trial, false, records);
}

void bsq_polish_kept(struct bsq_search *search, struct bsq_candidate *kept, bool refit)
{
    struct bsq_stage_record records[BSQ_EFFORT_STAGES];

    bsq_search_start_from(search, kept);
    bsq_search_estimate(search);
    bsq_polish(search, kept, refit, records);
    (void)bsq_candidate_accept(kept, &search->trial, &search->block);
}
