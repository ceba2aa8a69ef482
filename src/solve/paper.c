/* The published algorithm, step by step. */
#include "solve/paper.h"

#include "stages/bitsplit.h"
#include "base/options.h"
#include "stages/scale.h"
#include "stages/stitch.h"

#include <math.h>
#include <string.h>

/* Epochs and the stopping norm are those of the published code; the number of alternations is bounded here only. */
enum { WEIGHT_EPOCHS = 50, RESPONSE_EPOCHS = 100, MOST_ALTERNATIONS = 1000 };
static const double still = 1e-9;

size_t bsq_paper_layout(struct bsq_paper *paper, int64_t channels, int64_t fan_in, int32_t bits, void *memory)
{
    struct bsq_carver carver = {memory, 0};

    *paper = (struct bsq_paper){.channels = channels, .fan_in = fan_in, .bits = bits};
    paper->codes = bsq_carve(&carver, channels * fan_in, sizeof *paper->codes);
    paper->planes = bsq_carve(&carver, channels * fan_in * (bits - 1), sizeof *paper->planes);
    paper->scales = bsq_carve(&carver, channels, sizeof *paper->scales);
    return carver.used;
}

/* The least-squares scale of a channel's codes; 'scale' where no code or no agreement is left. */
static double refit(const float *weights, const int8_t *codes, int64_t n, double scale)
{
    double along = 0.0, square = 0.0;

    for (int64_t j = 0; j < n; j++) {
        along += codes[j] * (double)weights[j];
        square += (double)codes[j] * codes[j];
    }
    return square > 0.0 && along > 0.0 ? along / square : scale;
}

/* Refits every scale; returns the norm of the change over all channels. */
static double refit_all(struct bsq_paper *paper, const float *weights)
{
    double sum = 0.0;

    for (int64_t c = 0; c < paper->channels; c++) {
        int64_t at = c * paper->fan_in;
        double scale = refit(weights + at, paper->codes + at, paper->fan_in, paper->scales[c]);
        double change = scale - paper->scales[c];

        sum += change * change;
        paper->scales[c] = scale;
    }
    return sqrt(sum);
}

static void alternate(struct bsq_paper *paper, const float *weights)
{
    int64_t n = paper->fan_in;
    struct bsq_rounding rounding = {.scale_format = BSQ_SCALE_FORMAT_FLOAT32};

    bsq_code_range(paper->bits, BSQ_WEIGHT_GRID_SYMMETRIC, &rounding.lowest, &rounding.highest);
    for (int64_t c = 0; c < paper->channels; c++)
        paper->scales[c] = bsq_round_maximum_scale(&rounding, weights + c * n, n);
    for (int i = 0; i < MOST_ALTERNATIONS; i++) {
        for (int64_t c = 0; c < paper->channels; c++)
            bsq_round_codes(&rounding, weights + c * n, n, paper->scales[c], 0.0, paper->codes + c * n);
        if (!(refit_all(paper, weights) > still))
            return;
    }
}

/* The best ternary digits of plane m for the weights alone. */
static void choose_plane(const float *weights, int64_t n, int32_t m, double scale, int8_t *digits, int8_t *codes)
{
    double step = ldexp(scale, m);

    for (int64_t j = 0; j < n; j++) {
        int32_t others = codes[j] - digits[j] * (1 << m);
        double rest = (double)weights[j] - scale * others;
        int32_t digit = 2.0 * fabs(rest) < step ? 0 : rest >= 0.0 ? 1 : -1;

        digits[j] = (int8_t)digit;
        codes[j] = (int8_t)(others + digit * (1 << m));
    }
}

void bsq_paper_start(struct bsq_paper *paper, const float *weights)
{
    int64_t n = paper->fan_in, planes = paper->bits - 1;

    alternate(paper, weights);
    for (int64_t c = 0; c < paper->channels; c++)
        (void)bsq_split(paper->bits, n, paper->codes + c * n, paper->planes + c * planes * n);
    for (int epoch = 0; epoch < WEIGHT_EPOCHS; epoch++) {
        /* the published scale is that of the most significant digit */
        if (!(ldexp(refit_all(paper, weights), paper->bits - 2) > still))
            return;
        for (int64_t c = 0; c < paper->channels; c++)
            for (int32_t m = paper->bits - 2; m >= 0; m--)
                choose_plane(weights + c * n, n, m, paper->scales[c], paper->planes + (c * planes + m) * n,
                             paper->codes + c * n);
    }
}

void bsq_paper_reconstruct(struct bsq_paper *paper, struct bsq_search *search, int64_t channel,
                           struct bsq_stage_record *record)
{
    int64_t n = paper->fan_in, planes = paper->bits - 1, channels = search->block.channels;
    struct bsq_candidate *trial = &search->trial, *best = &search->best;
    double start = bsq_seconds();

    memcpy(trial->codes, paper->codes + channel * n, (size_t)(channels * n));
    memcpy(trial->scales, paper->scales + channel, (size_t)channels * sizeof *trial->scales);
    bsq_candidate_judge(trial, &search->block, search->u);
    record->before = 0.0;
    for (int64_t c = 0; c < channels; c++) {
        struct bsq_point point = bsq_search_point(search, c);

        record->before += point.j;
        for (int epoch = 0; epoch < RESPONSE_EPOCHS; epoch++) {
            (void)bsq_scale_refit(&point, search->scratch);
            (void)bsq_bitsplit_sweep(&point, paper->bits, paper->planes + (channel + c) * planes * n);
        }
        (void)bsq_scale_refit(&point, search->scratch);
        search->sweeps[c] += RESPONSE_EPOCHS;
        bsq_stitch(paper->bits, n, paper->planes + (channel + c) * planes * n, trial->codes + c * n);
        trial->scales[c] = bsq_scale_stored(trial->scales[c], trial->codes + c * n, n);
    }
    bsq_candidate_judge(trial, &search->block, search->u);
    for (int64_t c = 0; c < channels; c++)
        if (bsq_block_admits(&search->block, c, trial->j[c]))
            best->j[c] = INFINITY; /* the published result, better than rounding or not */
    (void)bsq_candidate_accept(best, trial, &search->block);
    record->after = 0.0;
    for (int64_t c = 0; c < channels; c++)
        record->after += best->j[c];
    record->sweeps = channels * RESPONSE_EPOCHS;
    record->seconds = bsq_seconds() - start;
}
