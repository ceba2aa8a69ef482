/* The search for codes and scales of one block of channels. */
#include "solve/search.h"

#include "stages/bitsplit.h"
#include "stages/descent.h"
#include "stages/scale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Passes over the codes of a channel, and turns of codes and scale, before it counts as stopped by a limit. */
enum { MOST_SWEEPS = 60, MOST_TURNS = 30 };

/* Codes and scale have met when a refit moves the scale by less than this share. */
static const double settled = 1e-9;

/* Level 1 knows nothing but the weights; from 2 to 5 a wide beam comes to one quarter of the channels after the other,
 * so that no level repeats what the one before did; then come wider beams, and at the end more scales with every channel.
 * Many scales for a sample of the channels and one for all is what buys most: a beam twice as wide gains more than a second
 * scale. */
static const struct bsq_effort_plan effort_plans[BSQ_EFFORT_MOST + 1] = {
    {{0, 0, 0}, 1.0, 1.0, 0, 0, 0, 0},      {{1, 9, 1}, 0.7, 1.4, 0, 0, 0, 0},
    {{16, 25, 1}, 0.85, 1.2, 1, 0, 0, 0},   {{16, 25, 1}, 0.85, 1.2, 2, 0, 0, 0},
    {{16, 25, 1}, 0.85, 1.2, 3, 0, 0, 0},   {{16, 25, 1}, 0.85, 1.2, 4, 0, 0, 0},
    {{64, 25, 1}, 0.85, 1.2, 0, 0, 0, 0},   {{64, 25, 2}, 0.85, 1.2, 0, 1, 1, 0},
    {{64, 25, 3}, 0.85, 1.2, 0, 1, 1, 8},   {{64, 25, 8}, 0.7, 1.4, 0, 1, 1, 32},
};

/* What the levels cost, roughly, in units of the first. */
static const double costs[BSQ_EFFORT_MOST + 1] = {0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0, 20.0, 60.0, 300.0};

const struct bsq_effort_plan *bsq_effort_plan(int32_t effort)
{
    return &effort_plans[effort];
}

double bsq_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void lay_out_candidate(struct bsq_candidate *candidate, const struct bsq_search_plan *plan,
                              struct bsq_carver *carver)
{
    candidate->group_size = plan->group_size;
    candidate->scales_per_channel = plan->scales_per_channel;
    candidate->codes = bsq_carve(carver, plan->block_channels * plan->fan_in, sizeof *candidate->codes);
    candidate->scales = bsq_carve(carver, plan->block_channels * plan->scales_per_channel, sizeof *candidate->scales);
    candidate->j = bsq_carve(carver, plan->block_channels, sizeof *candidate->j);
}

/* Nodes that the search for the optimum of one channel may visit. Fan-in up to 16 is easy: it always runs, and ends far
 * below its limit. First layers of networks for pictures (27) need some 10^4, a few 10^6; fan-in 64 a hundred times
 * that. */
static int64_t node_limit(int64_t fan_in, int32_t effort)
{
    static const int64_t limits[BSQ_EFFORT_MOST + 1] = {0, 0, 0, 0, 0, 10000, 50000, 200000, 2000000, 20000000};
    const int64_t always = 16, by_default = 32;
    const int32_t late = 7;

    if (fan_in > BSQ_EXACT_INPUTS || effort < 1 || (fan_in > by_default && effort < late))
        return 0;
    return fan_in <= always ? limits[BSQ_EFFORT_MOST] : limits[effort];
}

/* Whether optima of single channels are looked for: with one scale a channel, of any value. */
static bool has_exact(const struct bsq_search_plan *plan, int32_t effort)
{
    return plan->exact && node_limit(plan->fan_in, effort) > 0 && plan->scales_per_channel == 1 &&
           plan->rounding.scale_format == BSQ_SCALE_FORMAT_FLOAT32;
}

bool bsq_search_bounds(const struct bsq_search_plan *plan)
{
    return plan->lower_bound && plan->scales_per_channel == 1 && plan->fan_in <= BSQ_BOUND_INPUTS;
}

size_t bsq_search_layout(struct bsq_search *search, const struct bsq_search_plan *plan, void *memory)
{
    int64_t n = plan->fan_in;
    size_t beam = 0;
    size_t block = bsq_block_layout(&search->block, plan->block_channels, n, plan->block_scratch, memory);
    struct bsq_carver carver = {memory, block};

    for (int32_t effort = 1; effort <= plan->effort; effort++) {
        size_t bytes = bsq_beam_workspace(n, plan->block_channels, &effort_plans[effort].beam);

        beam = bytes > beam ? bytes : beam;
    }
    search->plan = plan;
    lay_out_candidate(&search->best, plan, &carver);
    lay_out_candidate(&search->trial, plan, &carver);
    if (plan->rounding.scale_format == BSQ_SCALE_FORMAT_FLOAT32)
        search->unrestricted = search->best;
    else
        lay_out_candidate(&search->unrestricted, plan, &carver);
    search->trial.g = bsq_carve(&carver, plan->block_channels * n, sizeof *search->trial.g);
    search->u = bsq_carve(&carver, plan->block_channels * n, sizeof *search->u);
    search->scratch = bsq_carve(&carver, bsq_scale_scratch(n, plan->scales_per_channel), sizeof *search->scratch);
    search->kept_g = bsq_carve(&carver, n, sizeof *search->kept_g);
    search->kept_codes = bsq_carve(&carver, n, sizeof *search->kept_codes);
    search->prices = bsq_carve(&carver, 2 * n, sizeof *search->prices);
    search->rank = bsq_carve(&carver, plan->block_channels, sizeof *search->rank);
    search->ranked = bsq_carve(&carver, plan->block_channels, sizeof *search->ranked);
    search->multipliers = bsq_carve(&carver, BSQ_BEAM_COUNT, sizeof *search->multipliers);
    search->multiplier = bsq_carve(&carver, plan->block_channels, sizeof *search->multiplier);
    search->planes = bsq_carve(&carver, (plan->bits - 1) * n, sizeof *search->planes);
    search->error = bsq_carve(&carver, plan->block_channels, sizeof *search->error);
    search->maximum = bsq_carve(&carver, plan->block_channels * plan->scales_per_channel, sizeof *search->maximum);
    search->distance = bsq_carve(&carver, plan->block_channels, sizeof *search->distance);
    search->sweeps = bsq_carve(&carver, plan->block_channels, sizeof *search->sweeps);
    search->limited = bsq_carve(&carver, plan->block_channels, sizeof *search->limited);
    search->proven = bsq_carve(&carver, plan->block_channels, sizeof *search->proven);
    search->bound = bsq_carve(&carver, plan->block_channels, sizeof *search->bound);
    search->beam = bsq_carve(&carver, (int64_t)beam, 1);
    if (has_exact(plan, plan->effort) || bsq_search_bounds(plan)) {
        size_t bytes = bsq_exact_layout(&search->exact, n, NULL);

        (void)bsq_exact_layout(&search->exact, n, bsq_carve(&carver, (int64_t)bytes, 1));
    }
    return carver.used;
}

double bsq_search_sum(const double *j, int64_t channels)
{
    double sum = 0.0;

    for (int64_t c = 0; c < channels; c++)
        sum += j[c];
    return sum;
}

/* What would be kept now: the better of both, channel by channel. */
static double sum_of_better(const struct bsq_candidate *a, const struct bsq_candidate *b, int64_t channels)
{
    double sum = 0.0;

    for (int64_t c = 0; c < channels; c++)
        sum += b->j[c] < a->j[c] ? b->j[c] : a->j[c];
    return sum;
}

static int64_t scale_span(const struct bsq_search_plan *plan, int64_t scale)
{
    int64_t left = plan->fan_in - scale * plan->group_size;

    return left < plan->group_size ? left : plan->group_size;
}

static double scale_by_rule(const struct bsq_rounding *rounding, const float *weights, int64_t count, double maximum,
                            enum bsq_scale_rule rule)
{
    switch (rule) {
    case BSQ_RULE_MAXIMUM: return maximum;
    case BSQ_RULE_ALTERNATING: return bsq_round_alternating_scale(rounding, weights, count, maximum);
    default: return bsq_round_least_scale(rounding, weights, count, maximum);
    }
}

void bsq_search_round_scales(struct bsq_search *search, struct bsq_candidate *candidate, enum bsq_scale_rule rule)
{
    const struct bsq_search_plan *plan = search->plan;

    for (int64_t c = 0; c < search->block.channels; c++)
        for (int64_t a = 0; a < plan->scales_per_channel; a++) {
            const float *weights = search->block.weights + c * plan->fan_in + a * plan->group_size;
            int64_t count = scale_span(plan, a), at = c * plan->scales_per_channel + a;

            if (!search->has_maximum)
                search->maximum[at] = bsq_round_maximum_scale(&plan->rounding, weights, count);
            candidate->scales[at] =
                bsq_round_allowed_scale(&plan->rounding, weights, count,
                                        scale_by_rule(&plan->rounding, weights, count, search->maximum[at], rule));
        }
    search->has_maximum = true;
}

void bsq_search_round_block(struct bsq_search *search, struct bsq_candidate *candidate,
                            enum bsq_scale_rule rule)
{
    const struct bsq_search_plan *plan = search->plan;

    bsq_search_round_scales(search, candidate, rule);
    for (int64_t c = 0; c < search->block.channels; c++)
        for (int64_t a = 0; a < plan->scales_per_channel; a++) {
            int64_t first = c * plan->fan_in + a * plan->group_size;

            bsq_round_codes(&plan->rounding, search->block.weights + first, scale_span(plan, a),
                            candidate->scales[c * plan->scales_per_channel + a], candidate->codes + first);
        }
}

static void work_on_all(struct bsq_search *search)
{
    search->list = NULL;
    search->listed = search->block.channels;
}

/* Which channel is number i of those that are worked on. */
static int64_t listed_channel(const struct bsq_search *search, int64_t i)
{
    return search->list ? search->list[i] : i;
}

static void judge_listed(struct bsq_search *search)
{
    bsq_candidate_judge_some(&search->trial, &search->block, search->list, search->listed, search->u);
}

/* For what is polished next, which ends with a judgement where this is not one. */
static void estimate_listed(struct bsq_search *search)
{
    bsq_candidate_estimate(&search->trial, &search->block, search->list, search->listed, search->u);
}

void bsq_search_reset(struct bsq_search *search)
{
    work_on_all(search);
    search->has_maximum = false;
    for (int64_t c = 0; c < search->block.channels; c++) {
        search->best.j[c] = INFINITY;
        search->unrestricted.j[c] = INFINITY;
        search->sweeps[c] = 0;
        search->limited[c] = 0;
        search->proven[c] = 0;
        search->bound[c] = -INFINITY;
    }
}

void bsq_search_round(struct bsq_search *search, struct bsq_stage_record *record)
{
    int64_t channels = search->block.channels, n = search->plan->fan_in;
    double start = bsq_seconds();

    bsq_search_reset(search);
    for (enum bsq_scale_rule rule = BSQ_RULE_MAXIMUM; rule <= BSQ_RULE_ALTERNATING; rule++) {
        bsq_search_round_block(search, &search->trial, rule);
        bsq_candidate_judge(&search->trial, &search->block, search->u);
        if (rule == BSQ_RULE_MAXIMUM)
            record->before = bsq_search_sum(search->trial.j, channels);
        (void)bsq_candidate_accept(&search->best, &search->trial, channels, n);
        if (search->unrestricted.j != search->best.j)
            (void)bsq_candidate_accept(&search->unrestricted, &search->trial, channels, n);
    }
    record->after = bsq_search_sum(search->best.j, channels);
    record->seconds = bsq_seconds() - start;
}

static bool stop_beam(void *opaque, double share)
{
    struct bsq_search *search = opaque;

    return search->poll(search->poll_opaque, search->slot,
                        search->share + share * (search->share_end - search->share));
}

/* The beam of width 'width' with 'count' multipliers. */
static struct bsq_beam_task beam_task(struct bsq_search *search, const struct bsq_factor *factor, int32_t width,
                                      const double *multipliers, int32_t count, int32_t refit)
{
    const struct bsq_search_plan *plan = search->plan;

    return (struct bsq_beam_task){
        .kernels = plan->kernels, .factor = factor, .width = width, .list = search->list, .channels = search->listed,
        .v = search->block.v, .p = search->block.p,
        .scales = search->trial.scales, .group_size = plan->group_size,
        .scales_per_channel = plan->scales_per_channel, .multipliers = multipliers, .count = count,
        .lowest = plan->rounding.lowest, .highest = plan->rounding.highest, .refit = refit,
        .codes = search->trial.codes, .multiplier = search->multiplier, .error = search->error,
        .stop = stop_beam, .stop_opaque = search};
}

bool bsq_search_beam(struct bsq_search *search, int32_t width, const double *multipliers, int32_t count, int32_t refit)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    struct bsq_factor factor = {hessian->n, hessian->factor32, hessian->order, hessian->unit};
    struct bsq_beam_task task = beam_task(search, &factor, width, multipliers, count, refit);
    int64_t scales = search->plan->scales_per_channel;

    if (!bsq_beam_search(&task, search->beam))
        return false;
    for (int64_t i = 0; i < search->listed; i++) {
        int64_t c = listed_channel(search, i);

        for (int64_t a = c * scales; a < (c + 1) * scales; a++)
            search->trial.scales[a] *= search->multiplier[c];
    }
    return true;
}

int32_t bsq_search_choose(struct bsq_search *search, const struct bsq_effort_plan *effort_plan, int64_t sample, int32_t refit,
                          double *chosen)
{
    const struct bsq_hessian *hessian = search->block.hessian;
    struct bsq_factor factor = {hessian->n, hessian->factor32, hessian->order, hessian->unit};
    double multipliers[BSQ_BEAM_COUNT];
    int32_t list[BSQ_BEAM_SAMPLE];
    struct bsq_beam_task task = beam_task(search, &factor, 1, multipliers, effort_plan->beam.count, refit);

    bsq_scale_grid(effort_plan->low, effort_plan->high, effort_plan->beam.count, multipliers);
    if (sample == 0) {
        memcpy(chosen, multipliers, (size_t)effort_plan->beam.count * sizeof *chosen);
        return effort_plan->beam.count;
    }
    for (int64_t c = 0; c < sample; c++)
        list[c] = (int32_t)(c * (search->block.channels / sample));
    task.list = list;
    task.channels = sample;
    bsq_beam_choose(&task, effort_plan->beam.tried, chosen, search->beam);
    return effort_plan->beam.tried;
}

static bool run_beam(struct bsq_search *search)
{
    const struct bsq_effort_plan *effort_plan = search->effort_plan;
    int64_t sample = bsq_beam_sample(search->block.hessian->n, search->block.channels, &effort_plan->beam);

    if (effort_plan->quarter <= 1) /* the other quarters try the same */
        search->tried = bsq_search_choose(search, effort_plan, sample, 1, search->multipliers);
    return bsq_search_beam(search, effort_plan->beam.width, search->multipliers, search->tried, 1);
}

static struct bsq_point trial_point(struct bsq_search *search, int64_t channel)
{
    return bsq_candidate_point(&search->trial, &search->block, channel, search->plan->rounding.lowest,
                               search->plan->rounding.highest);
}

/* Digit by digit through the ternary planes of the trial's codes, until none changes; 'refit' moves scales too. */
static void bitsplit_channel(struct bsq_search *search, int64_t channel, bool refit)
{
    const struct bsq_search_plan *plan = search->plan;
    struct bsq_point point = trial_point(search, channel);

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

/* Codes and scales in turn until neither moves; false when the limit came first. */
static bool descend_point(struct bsq_search *search, struct bsq_point *point, int64_t channel, bool refit)
{
    bool met = false, pairs = search->effort_plan->pairs && point->h && point->scales_per_channel == 1;

    for (int turn = 0; turn < MOST_TURNS && !met; turn++) {
        bool still = descend(search, point, channel);

        met = still && (!refit || bsq_scale_refit(point, search->scratch) <= settled);
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

/* Pushes a few codes off an optimum and descends again, for as often as the level says; the better point stays. */
static void restart(struct bsq_search *search, struct bsq_point *point, int64_t channel)
{
    enum { PUSHED = 4 };
    uint64_t random = (uint64_t)(search->block.first + channel) * 2 + 1;
    double j = point->j, scale = point->scales[0];

    keep_point(search, point);
    for (int32_t i = 0; i < search->effort_plan->restarts; i++) {
        for (int k = 0; k < PUSHED; k++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            bsq_descent_push(point, (int64_t)((random >> 33) % (uint64_t)point->n), random >> 32 & 1 ? 1 : -1);
        }
        (void)descend_point(search, point, channel, true);
        if (point->j < j) {
            j = point->j;
            scale = point->scales[0];
            keep_point(search, point);
        } else {
            point->j = j;
            point->scales[0] = scale;
            memcpy(point->codes, search->kept_codes, (size_t)point->n);
            memcpy(point->g, search->kept_g, (size_t)point->n * sizeof *point->g);
        }
    }
}

static void descend_channel(struct bsq_search *search, int64_t channel, bool refit)
{
    struct bsq_point point = trial_point(search, channel);

    search->limited[channel] |= !descend_point(search, &point, channel, refit);
    if (refit && point.scales_per_channel == 1 && point.h)
        restart(search, &point, channel);
    search->trial.j[channel] = point.j;
}

static void descend_listed(struct bsq_search *search, bool refit)
{
    for (int64_t i = 0; i < search->listed; i++)
        descend_channel(search, listed_channel(search, i), refit);
}

static int64_t total_sweeps(const struct bsq_search *search)
{
    int64_t sum = 0;

    for (int64_t c = 0; c < search->block.channels; c++)
        sum += search->sweeps[c];
    return sum;
}

/* Times one stage and notes what it did to the sum of J. */
static void open_record(struct bsq_stage_record *record, const struct bsq_search *search, double before)
{
    record->before = before;
    record->seconds = -bsq_seconds();
    record->sweeps = -total_sweeps(search);
}

static void close_record(struct bsq_stage_record *record, const struct bsq_search *search, double after)
{
    record->after = after;
    record->seconds += bsq_seconds();
    record->sweeps += total_sweeps(search);
}

void bsq_search_reduce_codes(const struct bsq_search_plan *plan, struct bsq_candidate *candidate, int64_t channel)
{
    for (int64_t a = 0; a < plan->scales_per_channel; a++) {
        int8_t *codes = candidate->codes + channel * plan->fan_in + a * plan->group_size;
        int64_t count = scale_span(plan, a);
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

/* Scales as they will be stored, g and j to match. With several scales in a channel it is less work to judge anew. */
static void store_scales(struct bsq_search *search)
{
    struct bsq_candidate *trial = &search->trial;
    int64_t scales = trial->scales_per_channel;

    for (int64_t i = 0; i < search->listed; i++) {
        int64_t c = listed_channel(search, i);

        bsq_search_reduce_codes(search->plan, trial, c);
        for (int64_t a = 0; a < scales; a++) {
            struct bsq_point point = trial_point(search, c);
            double stored, unused;

            bsq_scale_neighbours(BSQ_SCALE_FORMAT_FLOAT32, point.scales[a], &stored, &unused);
            if (scales == 1)
                bsq_scale_set(&point, stored);
            point.scales[a] = stored;
            trial->j[c] = point.j;
        }
    }
    if (scales > 1)
        judge_listed(search);
}

/* Bit-split, then descent, on the trial; 'kept' is what it is compared with. Ends on codes that no single change
 * improves. */
static void polish(struct bsq_search *search, const struct bsq_candidate *kept, bool refit,
                   struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    open_record(&records[BSQ_EFFORT_BITSPLIT], search, sum_of_better(kept, &search->trial, channels));
    for (int64_t i = 0; search->effort_plan->digits && search->plan->planes && i < search->listed; i++)
        bitsplit_channel(search, listed_channel(search, i), refit);
    close_record(&records[BSQ_EFFORT_BITSPLIT], search, sum_of_better(kept, &search->trial, channels));
    open_record(&records[BSQ_EFFORT_DESCENT], search, records[BSQ_EFFORT_BITSPLIT].after);
    descend_listed(search, refit);
    if (refit) {
        store_scales(search);
        descend_listed(search, false);
    }
    if (!search->block.hessian->h) /* J was kept with rows in single precision */
        judge_listed(search);
    close_record(&records[BSQ_EFFORT_DESCENT], search, sum_of_better(kept, &search->trial, channels));
}

void bsq_search_fixed(struct bsq_search *search, int32_t width, struct bsq_stage_record *records)
{
    const double one = 1.0;
    double start = bsq_seconds();

    if (width > 0 && !bsq_search_beam(search, width, &one, 1, 0))
        return;
    estimate_listed(search);
    records[BSQ_EFFORT_BEAM].before = bsq_search_sum(search->trial.j, search->block.channels);
    records[BSQ_EFFORT_BEAM].after = records[BSQ_EFFORT_BEAM].before;
    records[BSQ_EFFORT_BEAM].seconds = bsq_seconds() - start;
    polish(search, &search->trial, false, records);
}

static void copy_scales(struct bsq_candidate *to, const struct bsq_candidate *from, int64_t channels)
{
    memcpy(to->scales, from->scales, (size_t)(channels * to->scales_per_channel) * sizeof *to->scales);
}

/* Codes and scales of the trial become those of 'from'. */
static void start_from(struct bsq_search *search, const struct bsq_candidate *from)
{
    int64_t channels = search->block.channels;

    memcpy(search->trial.codes, from->codes, (size_t)(channels * search->plan->fan_in));
    copy_scales(&search->trial, from, channels);
}

/* Polishes what is kept: a start that no trial has beaten is not yet a point that no single change improves. */
static void polish_kept(struct bsq_search *search, struct bsq_candidate *kept, bool refit,
                        struct bsq_stage_record *records)
{
    start_from(search, kept);
    estimate_listed(search);
    polish(search, kept, refit, records);
    (void)bsq_candidate_accept(kept, &search->trial, search->block.channels, search->plan->fan_in);
}

/* Scales of the format next to the open ones, codes solved for each: first all the lower, then all the upper
 * neighbours; with several scales a channel also the nearest of each. */
static void restrict_scales(struct bsq_search *search, int32_t width)
{
    enum { LOWER, UPPER, NEAREST, CHOICES };
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, count = channels * plan->scales_per_channel;
    int choices = plan->scales_per_channel > 1 ? CHOICES : NEAREST;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    for (int choice = LOWER; choice < choices; choice++) {
        for (int64_t i = 0; i < count; i++) {
            double wanted = search->unrestricted.scales[i], lower, upper;

            bsq_scale_neighbours(plan->rounding.scale_format, wanted, &lower, &upper);
            search->trial.scales[i] = choice == LOWER   ? lower
                                      : choice == UPPER ? upper
                                                        : (upper / wanted < wanted / lower ? upper : lower);
        }
        bsq_search_fixed(search, width, unused);
        (void)bsq_candidate_accept(&search->best, &search->trial, channels, plan->fan_in);
    }
}

/* With several scales a channel: each in turn moves to its next values up and down, codes solved for each. */
static void improve_each_scale(struct bsq_search *search)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, n = plan->fan_in, scales = plan->scales_per_channel;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    for (int64_t a = 0; scales > 1 && a < scales; a++) {
        for (int64_t c = 0; c < channels; c++) {
            double now = search->best.scales[c * scales + a], wanted = search->unrestricted.scales[c * scales + a];
            double lower, upper;

            memcpy(search->trial.codes + c * n, search->best.codes + c * n, (size_t)n);
            bsq_scale_neighbours(plan->rounding.scale_format, wanted, &lower, &upper);
            memcpy(search->trial.scales + c * scales, search->best.scales + c * scales,
                   (size_t)scales * sizeof *search->trial.scales);
            search->trial.scales[c * scales + a] = now == lower ? upper : lower;
        }
        bsq_search_fixed(search, 0, unused);
        (void)bsq_candidate_accept(&search->best, &search->trial, channels, n);
    }
}

/* Scales that the format does not allow are open; now for those that it does. */
static void settle_scales(struct bsq_search *search, struct bsq_stage_record *records)
{
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    open_record(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
    if (search->plan->rounding.scale_format != BSQ_SCALE_FORMAT_FLOAT32) {
        restrict_scales(search, search->effort_plan->beam.width);
        improve_each_scale(search);
        if (search->effort_plan == &effort_plans[1])
            polish_kept(search, &search->best, false, unused);
    }
    close_record(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
}

/* Level 'effort' runs from now on. */
static void enter_effort(struct bsq_search *search, int32_t effort)
{
    double before = 0.0, all = 0.0;

    for (int32_t e = 0; e <= search->plan->effort; e++) {
        before += e < effort ? costs[e] : 0.0;
        all += costs[e];
    }
    search->effort_plan = &effort_plans[effort];
    search->share = before / all;
    search->share_end = (before + costs[effort]) / all;
}

/* Channels by falling J, ties by index. */
static void rank_channels(struct bsq_search *search)
{
    const double *j = search->unrestricted.j;

    for (int64_t c = 0; c < search->block.channels; c++) {
        search->rank[c] = 0;
        for (int64_t i = 0; i < search->block.channels; i++)
            search->rank[c] += j[i] > j[c] || (j[i] == j[c] && i < c);
    }
}

/* The channels that the level works on. */
static void list_channels(struct bsq_search *search)
{
    enum { QUARTERS = 4 };
    int64_t quarter = search->effort_plan->quarter, channels = search->block.channels;
    int64_t first = (channels * (quarter - 1) + QUARTERS - 1) / QUARTERS;
    int64_t end = (channels * quarter + QUARTERS - 1) / QUARTERS;

    work_on_all(search);
    if (quarter == 0)
        return;
    if (quarter == 1)
        rank_channels(search);
    search->listed = 0;
    for (int32_t c = 0; c < channels; c++)
        if (search->rank[c] >= first && search->rank[c] < end)
            search->ranked[search->listed++] = c;
    search->list = search->ranked;
}

void bsq_search_begin(struct bsq_search *search, struct bsq_stage_record *records)
{
    int64_t channels = search->block.channels;

    enter_effort(search, 1);
    for (int64_t c = 0; c < channels; c++) /* what is known of J is not in double */
        search->best.j[c] = INFINITY;
    estimate_listed(search);
    polish(search, &search->best, true, records);
    (void)bsq_candidate_accept(&search->best, &search->trial, channels, search->plan->fan_in);
}

void bsq_search_effort(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels;

    enter_effort(search, effort);
    list_channels(search);
    for (int64_t c = 0; c < channels; c++) /* of channels that are not worked on */
        search->trial.j[c] = INFINITY;
    open_record(&records[BSQ_EFFORT_BEAM], search, bsq_search_sum(search->unrestricted.j, channels));
    if (effort == 1) /* nothing is known yet but the weights */
        bsq_search_round_scales(search, &search->trial, BSQ_RULE_LEAST);
    else
        copy_scales(&search->trial, &search->unrestricted, channels);
    if (!run_beam(search))
        return;
    estimate_listed(search);
    close_record(&records[BSQ_EFFORT_BEAM], search, sum_of_better(&search->unrestricted, &search->trial, channels));
    polish(search, &search->unrestricted, true, records);
    if (bsq_candidate_accept(&search->unrestricted, &search->trial, channels, plan->fan_in) < channels && effort == 1) {
        struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

        polish_kept(search, &search->unrestricted, true, unused);
        records[BSQ_EFFORT_DESCENT].after = bsq_search_sum(search->unrestricted.j, channels);
    }
    settle_scales(search, records);
    work_on_all(search);
}

static bool stop_exact(void *opaque)
{
    struct bsq_search *search = opaque;

    return search->poll(search->poll_opaque, search->slot, search->share_end);
}

/* The optimum of one channel into the trial; false when nothing is better than what is kept. */
static bool exact_channel(struct bsq_search *search, int64_t channel, int64_t limit)
{
    const struct bsq_block *block = &search->block;
    int64_t n = block->hessian->n;
    struct bsq_exact_task task = {
        .v = block->v + channel * n, .lowest = search->plan->rounding.lowest,
        .highest = search->plan->rounding.highest, .first_share = 0.5, .node_limit = limit,
        .stop = stop_exact, .stop_opaque = search,
        .codes = search->trial.codes + channel * n, .scale = search->trial.scales[channel],
        .cost = search->best.j[channel] - block->base[channel]};
    double known = task.cost, unused;

    if (!(task.cost > 0.0))
        return false;
    search->proven[channel] = bsq_exact_solve(&search->exact, &task);
    search->bound[channel] = fmax(search->bound[channel], block->base[channel] + task.bound);
    search->trial.scales[channel] = task.scale;
    bsq_scale_neighbours(BSQ_SCALE_FORMAT_FLOAT32, task.scale, &search->trial.scales[channel], &unused);
    return task.cost < known;
}

void bsq_search_exact(struct bsq_search *search, int32_t effort, struct bsq_stage_record *record)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t channels = search->block.channels, n = plan->fan_in, limit = node_limit(n, effort);
    struct bsq_stage_record now;
    int32_t found = 0;

    open_record(&now, search, bsq_search_sum(search->best.j, channels));
    if (has_exact(plan, effort) && !search->block.hessian->raised && !bsq_search_proven(search)) {
        bsq_exact_prepare(&search->exact, search->block.hessian->factor64, search->block.hessian->order);
        start_from(search, &search->best);
        for (int64_t c = 0; c < channels && !stop_exact(search); c++)
            found += !search->proven[c] && exact_channel(search, c, limit);
        if (found) {
            for (int64_t c = 0; c < channels; c++)
                bsq_search_reduce_codes(plan, &search->trial, c);
            bsq_candidate_judge(&search->trial, &search->block, search->u);
            (void)bsq_candidate_accept(&search->best, &search->trial, channels, n);
        }
    }
    close_record(&now, search, bsq_search_sum(search->best.j, channels));
    record->before = record->seconds > 0.0 ? record->before : now.before;
    record->after = now.after;
    record->seconds += now.seconds;
}

bool bsq_search_proven(const struct bsq_search *search)
{
    for (int64_t c = 0; c < search->block.channels; c++)
        if (!search->proven[c])
            return false;
    return true;
}
