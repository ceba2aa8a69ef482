/* Scales, zero points and offsets moved to the values that they may take. */
#include "solve/scale_format.h"

#include "solve/beam_search.h"
#include "solve/polish.h"
#include "stages/descent.h"
#include "stages/levels.h"
#include "stages/scale.h"
#include "stages/values.h"

#include <math.h>
#include <string.h>

/* ---- all scales at once -------------------------------------------------------------------------------------- */

/* Puts allowed values next to the unrestricted ones into the trial. */
static void load_side(struct bsq_search *search, enum bsq_values_side side)
{
    const struct bsq_search_plan *plan = search->plan;
    int64_t scales = plan->scales_per_channel;
    struct bsq_candidate *trial = &search->trial;

    bsq_candidate_copy_scales(trial, &search->unrestricted, search->block.channels);
    for (int64_t c = 0; c < search->block.channels; c++)
        bsq_values_restrict(&plan->rounding, scales, side, trial->scales + c * scales,
                            trial->shifts ? trial->shifts + c * scales : NULL);
}

/* Tries the nearest values with the codes that unrestricted has: where values are close together nothing is better. */
static void try_codes(struct bsq_search *search)
{
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    memcpy(search->trial.codes, search->unrestricted.codes, (size_t)(search->block.channels * search->plan->fan_in));
    load_side(search, BSQ_VALUES_NEAREST);
    bsq_polish_fixed(search, 0, unused);
    bsq_search_judge(search); /* where the scale moved far, J began so far above that nothing is left of its digits */
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
}

/* Tries such values, codes solved for them by a beam of 'width'. */
static void try_side(struct bsq_search *search, enum bsq_values_side side, int32_t width)
{
    struct bsq_candidate *trial = &search->trial;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    load_side(search, side);
    bsq_polish_fixed(search, width, unused);
    (void)bsq_candidate_accept(&search->best, trial, &search->block);
}

/* Tries values of the format next to the unrestricted ones, codes solved for each: first all the lower, then all the
 * upper neighbours; with several scales a channel also the nearest of each. */
static void restrict_scales(struct bsq_search *search, int32_t width)
{
    try_codes(search);
    if (search->plan->rounding.scale_bits) {
        try_side(search, BSQ_VALUES_LOWER, width);
        try_side(search, BSQ_VALUES_NEAREST, width);
        return;
    }
    try_side(search, BSQ_VALUES_LOWER, width);
    try_side(search, BSQ_VALUES_UPPER, width);
    if (search->plan->scales_per_channel > 1)
        try_side(search, BSQ_VALUES_NEAREST, width);
}

/* ---- one scale after the other ------------------------------------------------------------------------------- */

/* Moves each of several scales of a channel in turn to its next values up and down, codes solved for each. */
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
            bsq_values_neighbours(&plan->rounding, wanted, &lower, &upper);
            memcpy(search->trial.scales + c * scales, search->best.scales + c * scales,
                   (size_t)scales * sizeof *search->trial.scales);
            search->trial.scales[c * scales + a] = now == lower ? upper : lower;
        }
        bsq_polish_fixed(search, 0, unused);
        (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    }
}

/* A scale of a channel and what it may become. */
struct move {
    int64_t scale;
    double value, shift; /* of a grid that has shifts */
};

/* Gives the code next to u. */
static int32_t code_for(const struct bsq_point *point, double u, double scale, double offset)
{
    double code = (u - offset) / scale;

    if (point->levels)
        return point->levels[bsq_level_nearest(point->levels, point->level_count, code)];
    return (int32_t)rint(fmin(fmax(code, point->lowest), point->highest));
}

/* Moves a scale, and its codes to what is nearest to their u; g and j follow. */
static void make_move(struct bsq_point *point, const struct move *move)
{
    double *shift = point->shifts ? point->shifts + move->scale : NULL, *scale = point->scales + move->scale;
    double before = bsq_shift_offset(&point->shifting, *scale, shift);
    double after = bsq_shift_offset(&point->shifting, move->value, &move->shift);
    int64_t end = bsq_scale_end(point->n, point->group_size, move->scale);

    for (int64_t j = move->scale * point->group_size; j < end; j++) {
        double u = *scale * point->codes[j] + before, change;

        point->codes[j] = (int8_t)code_for(point, u, move->value, after);
        change = move->value * point->codes[j] + after - u;
        if (!(fabs(change) > 0.0))
            continue;
        point->j += change * (change * point->diagonal[j] - 2.0 * point->g[j]);
        bsq_point_add_row(point, j, -change, point->g);
    }
    *scale = move->value;
    if (shift)
        *shift = move->shift;
}

/* Makes a move and descends; the better of both points stays. */
static bool try_move(struct bsq_search *search, struct bsq_point *point, int64_t channel, const struct move *move)
{
    enum { MOST_SWEEPS = 4 };
    const double least = 1e-9; /* of J */
    double *shift = point->shifts ? point->shifts + move->scale : NULL, *scale = point->scales + move->scale;
    struct move back = {move->scale, *scale, shift ? *shift : 0.0};
    double j = point->j;

    memcpy(search->kept_codes, point->codes, (size_t)point->n);
    memcpy(search->kept_g, point->g, (size_t)point->n * sizeof *point->g);
    make_move(point, move);
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        search->sweeps[channel]++;
        if (!bsq_descent_sweep(point))
            break;
    }
    if (point->j < j * (1.0 - least))
        return true;
    point->j = j;
    *scale = back.value;
    if (shift)
        *shift = back.shift;
    memcpy(point->codes, search->kept_codes, (size_t)point->n);
    memcpy(point->g, search->kept_g, (size_t)point->n * sizeof *point->g);
    return false;
}

/* Tries the allowed values beside a scale. */
static bool move_scale(struct bsq_search *search, struct bsq_point *point, int64_t channel, int64_t a)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    bool moved = false;

    for (int up = 1; up >= 0 && !moved; up--) {
        double next = bsq_values_next(rounding, point->scales_per_channel, false, point->scales, a, up);
        struct move move = {a, next, point->shifts ? point->shifts[a] : 0.0};

        if (next < point->scales[a] || next > point->scales[a])
            moved = try_move(search, point, channel, &move);
    }
    return moved;
}

/* Tries the allowed values beside a zero point or an offset. */
static bool move_shift(struct bsq_search *search, struct bsq_point *point, int64_t channel, int64_t a)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    bool moved = false;

    for (int up = 1; up >= 0 && !moved; up--) {
        double now = point->shifts[a], next = now + (up ? 1.0 : -1.0);

        if (point->shifting.kind == BSQ_SHIFT_FREE)
            next = bsq_values_next(rounding, point->scales_per_channel, true, point->shifts, a, up);
        else if (next < rounding->least_shift || next > rounding->most_shift)
            continue;
        if (next < now || next > now)
            moved = try_move(search, point, channel, &(struct move){a, point->scales[a], next});
    }
    return moved;
}

/* Goes over the scales and shifts of a channel. */
static void improve_channel(struct bsq_search *search, int64_t channel)
{
    struct bsq_point point = bsq_search_point(search, channel);
    bool scales_move = !bsq_values_are_free(&search->plan->rounding);

    for (int64_t a = 0; a < point.scales_per_channel; a++) {
        if (scales_move)
            (void)move_scale(search, &point, channel, a);
        if (point.shifting.kind != BSQ_SHIFT_NONE)
            (void)move_shift(search, &point, channel, a);
    }
    search->trial.j[channel] = point.j;
}

/* Goes over all of them, from what is kept. */
static void improve_channels(struct bsq_search *search)
{
    bsq_search_start_from(search, &search->best);
    bsq_search_judge(search);
    for (int64_t i = 0; i < search->listed && !bsq_search_stop(search); i++)
        improve_channel(search, bsq_search_channel(search, i));
    bsq_search_judge(search);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
}

/* Moves the multiples that super groups share to where J is least, codes solved for them. */
static void improve_supers(struct bsq_search *search)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    struct bsq_candidate *trial = &search->trial, *best = &search->best;
    int64_t scales = search->plan->scales_per_channel;
    struct bsq_stage_record unused[BSQ_EFFORT_STAGES];

    bsq_search_start_from(search, best);
    bsq_search_judge(search);
    for (int64_t i = 0; i < search->listed; i++) {
        int64_t c = bsq_search_channel(search, i), first = c * scales;
        struct bsq_point point = bsq_search_point(search, c);

        (void)bsq_scale_refit_supers(&point, rounding->super_group, search->scratch);
        bsq_values_restrict_supers(rounding, scales, false, best->scales + first, trial->scales + first);
        if (rounding->shifting.kind == BSQ_SHIFT_FREE)
            bsq_values_restrict_supers(rounding, scales, true, best->shifts + first, trial->shifts + first);
    }
    bsq_polish_fixed(search, 0, unused);
    (void)bsq_candidate_accept(best, trial, &search->block);
}

/* ---- all ----------------------------------------------------------------------------------------------------- */

bool bsq_scale_format_applies(const struct bsq_rounding *rounding)
{
    return !bsq_values_are_free(rounding) || rounding->shifting.kind == BSQ_SHIFT_STEPS;
}

void bsq_scale_format_restrict(struct bsq_search *search, struct bsq_stage_record *record)
{
    const double one = 1.0;
    int64_t channels = search->block.channels;

    bsq_record_open(record, search, bsq_search_sum(search->best.j, channels));
    load_side(search, BSQ_VALUES_NEAREST);
    if (!bsq_search_beam(search, 1, &one, 1, 0))
        return;
    bsq_search_value(search);
    (void)bsq_candidate_accept(&search->best, &search->trial, &search->block);
    bsq_record_close(record, search, bsq_search_sum(search->best.j, channels));
}

void bsq_scale_format_settle(struct bsq_search *search, int32_t effort, struct bsq_stage_record *records)
{
    const struct bsq_rounding *rounding = &search->plan->rounding;
    bool is_free = bsq_values_are_free(rounding), plain = bsq_round_is_plain(rounding);

    bsq_record_open(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
    if (!is_free)
        restrict_scales(search, search->effort_plan->beam.width);
    if (!is_free && plain)
        improve_each_scale(search);
    else if (bsq_scale_format_applies(rounding))
        improve_channels(search);
    if (rounding->scale_bits)
        improve_supers(search);
    if (!is_free && effort == 1)
        bsq_polish_kept(search, &search->best, false);
    bsq_record_close(&records[BSQ_EFFORT_SCALE], search, bsq_search_sum(search->best.j, search->block.channels));
}
