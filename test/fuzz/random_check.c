/* Solves a drawn layer and holds every figure of the report against the rows. */
#include "random_heap.h"
#include "random_run.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bsq_status_t create(const struct drawn_layer *drawn, bsq_layer_t **layer)
{
    bsq_options_t options = drawn_layer_options(drawn);

    return bsq_layer_create(&drawn->desc, &options, drawn->weights, drawn->bias, layer, NULL);
}

static bsq_status_t read_stage(bsq_layer_t *layer, int32_t index, bsq_stage_t *stage)
{
    bsq_stage_init(stage, sizeof *stage);
    return bsq_layer_get_stage_report(layer, index, stage);
}

/* ---- failures ---- */

void fail(struct run *run, const char *format, ...)
{
    va_list arguments;

    if (run->failures++ == 0) {
        printf("seed %llu%s%s fails:\n", (unsigned long long)run->shown->seed, run->shown->grids ? " --grids" : "",
               run->shown->extreme ? " --extreme" : "");
        drawn_layer_print(run->shown);
    } else if (!run->verbose && run->failures > 4) {
        return;
    }
    va_start(arguments, format);
    printf("    ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

void expect_near(struct run *run, const char *name, int64_t channel, real value, real expected, real tolerance)
{
    if (!(fabsl(value - expected) <= tolerance))
        fail(run, "%s of channel %lld is %.17Lg, rows give %.17Lg: off by %.3Lg, %.3Lg allowed", name,
             (long long)channel, value, expected, value - expected, tolerance);
}

bool ok(struct run *run, const char *call, bsq_status_t status)
{
    if (status != BSQ_OK)
        fail(run, "%s: %s: %s", call, bsq_status_string(status), bsq_layer_error_message(run->layer));
    return status == BSQ_OK;
}

int64_t channel_of(const struct drawn_layer *drawn, int64_t m, int64_t i)
{
    int64_t channel, tap;

    drawn_layer_weight_place(drawn, i, &channel, &tap);
    return m / drawn->group_outputs * drawn->group_inputs + channel;
}

double beta_of(const struct run *run, int64_t m, int64_t i)
{
    return run->codes.bits ? run->codes.scales[channel_of(run->drawn, m, i)] / run->codes.scale : 1.0;
}

/* ---- how far doubles may be off ---- */

/* A sum of N products of doubles is off by N 2^-53 of the sum of their magnitudes at most. J is made of moments, sums
 * over rows, and of forms in n inputs with them; energy, 2 p'u, u'Hu and the ridge are each of 'size' at most. Moments
 * of 256 inputs and more are sums in single precision, good to 1e-6. */
static real relative_rounding(const struct rows *rows)
{
    return rows->n >= 256 ? 1e-6L : 0x1p-53L * 4 * (real)(rows->count + 4 * rows->n + 16);
}

/* Whether each channel has one scale of its own. */
static bool has_one_scale(const struct drawn_layer *drawn)
{
    return drawn->options.scale_kind == BSQ_SCALE_KIND_PER_CHANNEL ||
           (drawn->options.scale_kind == BSQ_SCALE_KIND_PER_GROUP && drawn->options.group_size == drawn->fan_in);
}

/* Whether weights are a positive scale times a code around 0. */
static bool is_plain(const bsq_options_t *options)
{
    return options->weight_grid <= BSQ_WEIGHT_GRID_FULL && options->weight_bits > 1 && !options->scale_signed &&
           !options->scale_bits && !options->keep_scales;
}

/* At effort 1 J may come from products in single precision. */
bool may_be_single(const struct run *run)
{
    const bsq_options_t *options = &run->drawn->options;

    return run->drawn->fan_in > 64 && options->solver == BSQ_SOLVER_AUTO && options->effort >= 1 && is_plain(options) &&
           has_one_scale(run->drawn) && options->scale_format == BSQ_SCALE_FORMAT_FLOAT32 &&
           !options->bias_correction && !(run->training.y && options->asymmetry > 0.0);
}

/* ---- getting there ---- */

/* Whether every code of a quantizer stands for a float32. */
static bool codes_have_values(int32_t type, int32_t bits, double scale, int32_t zero_point)
{
    int32_t lowest = type == BSQ_INPUT_TYPE_SIGNED ? -(1 << (bits - 1)) : 0, highest = lowest + (1 << bits) - 1;

    return fabs(scale * (lowest - zero_point)) <= (double)FLT_MAX &&
           fabs(scale * (highest - zero_point)) <= (double)FLT_MAX;
}

/* Whether the given quantizer is one that the library may take. */
static bool given_has_values(const struct drawn_layer *drawn)
{
    const bsq_input_quantizer_t *given = &drawn->quantizer;
    bool has = true;

    if (drawn->source == QUANTIZER_GIVEN)
        return codes_have_values(given->type, given->bits, given->scale, given->zero_point);
    for (int64_t c = 0; c < drawn->desc.in_channels; c++)
        has = has &&
              codes_have_values(given->type, given->bits, drawn->channel_scales[c], drawn->channel_zero_points[c]) &&
              codes_have_values(given->type, given->bits, given->scale, drawn->channel_zero_points[c]);
    return has;
}

/* Whether what is observed may lead to codes beyond float32: no step is above the largest input, but for rounding. */
static bool observed_is_near_limit(const struct drawn_layer *drawn)
{
    float most = 0;

    for (int32_t b = 0; b < drawn->batch_count; b++)
        for (int64_t i = 0; i < drawn->batches[b].inputs; i++)
            most = fmaxf(most, fabsf(drawn->batches[b].input[i]));
    return 2.0 * (double)most * (1 << drawn->options.input_bits) > (double)FLT_MAX;
}

/* A call that must be refused, as it is; false when there is nothing to go on with. */
static bool expect_refused(struct run *run, const char *call, bsq_status_t status)
{
    if (status != BSQ_E_NUMERIC)
        fail(run, "%s: codes beyond float32, and the status %d", call, (int)status);
    run->refused = true;
    return false;
}

static bool give_quantizer(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    bool plain = drawn->source == QUANTIZER_GIVEN;
    const char *call = plain ? "set_input_quantizer" : "set_input_channels";
    bsq_status_t status =
        plain ? bsq_layer_set_input_quantizer(run->layer, &drawn->quantizer)
              : bsq_layer_set_input_channels(run->layer, &drawn->quantizer, drawn->channel_scales,
                                             drawn->channel_zero_points, (size_t)drawn->desc.in_channels);

    return given_has_values(drawn) ? ok(run, call, status) : expect_refused(run, call, status);
}

static bool set_quantizer(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;

    if (drawn->source == QUANTIZER_GIVEN || drawn->source == QUANTIZER_GIVEN_CHANNELS)
        return give_quantizer(run);
    for (int32_t b = 0; drawn->source == QUANTIZER_OBSERVED && b < drawn->batch_count; b++)
        if (!ok(run, "observe", bsq_layer_observe(run->layer, &drawn->batches[b].batch)))
            return false;
    return true;
}

/* Reads the quantizer back and checks that it is one. */
static bool read_quantizer(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    int64_t count = drawn->desc.in_channels;
    struct input_codes *codes = &run->codes;
    bsq_input_quantizer_t quantizer;
    bsq_status_t status;

    codes->scales = zeroed(count, sizeof *codes->scales);
    codes->zero_points = zeroed(count, sizeof *codes->zero_points);
    if (drawn->source == QUANTIZER_NONE)
        return true;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    status = bsq_layer_get_input_quantizer(run->layer, &quantizer);
    if (status == BSQ_E_NUMERIC && drawn->source == QUANTIZER_OBSERVED && observed_is_near_limit(drawn))
        return expect_refused(run, "calibrate", bsq_layer_calibrate(run->layer, &drawn->batches[0].batch));
    if (!ok(run, "get_input_quantizer", status) ||
        !ok(run, "get_input_channels",
            bsq_layer_get_input_channels(run->layer, codes->scales, codes->zero_points, (size_t)count)))
        return false;
    codes->bits = quantizer.bits;
    codes->scale = quantizer.scale;
    codes->lowest = quantizer.type == BSQ_INPUT_TYPE_SIGNED ? -(1 << (codes->bits - 1)) : 0;
    codes->highest = codes->lowest + (1 << codes->bits) - 1;
    if (quantizer.type < BSQ_INPUT_TYPE_UNSIGNED || quantizer.type > BSQ_INPUT_TYPE_ZERO_POINT)
        fail(run, "type of the input quantizer is %d", (int)quantizer.type);
    if (quantizer.bits != drawn->options.input_bits)
        fail(run, "the input quantizer has %d bits", (int)quantizer.bits);
    for (int64_t c = 0; c < count; c++) {
        bool zero_point = quantizer.type == BSQ_INPUT_TYPE_ZERO_POINT;

        if (!(codes->scales[c] >= (double)FLT_MIN && codes->scales[c] <= (double)FLT_MAX))
            fail(run, "scale of input channel %lld is %g", (long long)c, codes->scales[c]);
        if (zero_point ? codes->zero_points[c] < codes->lowest || codes->zero_points[c] > codes->highest
                       : codes->zero_points[c] != 0)
            fail(run, "zero point of input channel %lld is %d", (long long)c, (int)codes->zero_points[c]);
        if (!codes_have_values(quantizer.type, codes->bits, codes->scales[c], codes->zero_points[c]) ||
            !codes_have_values(quantizer.type, codes->bits, codes->scale, codes->zero_points[c]))
            fail(run, "codes of input channel %lld are beyond float32", (long long)c);
    }
    return true;
}

/* False when a folded weight is infinite. */
static bool fold_weights(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    bool finite = true;

    run->weights = zeroed(drawn->channels * drawn->fan_in, sizeof *run->weights);
    for (int64_t m = 0; m < drawn->channels; m++)
        for (int64_t i = 0; i < drawn->fan_in; i++) {
            float *w = &run->weights[m * drawn->fan_in + i];

            *w = (float)((double)drawn->weights[m * drawn->fan_in + i] * beta_of(run, m, i));
            finite = finite && isfinite(*w);
        }
    return finite;
}

/* ---- errors ---- */

static real mean_of(const real *values, int64_t count)
{
    real sum = 0;

    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (real)count;
}

/* What sums over channels should be. */
struct sums {
    real objective, energy, error, held_out_error, held_out_energy, uncorrected, corrected, floor;
    real weight_error, weight_energy, lower_bound;
    real tolerance, held_out_tolerance;
    int64_t improved, proven, dead_outputs;
    bool limited;
};

/* The ridge's part of J, and what it adds to the size of J's terms. */
static real ridge_part(const struct run *run, int64_t group, const float *w, const real *u, real *size)
{
    int64_t n = run->drawn->fan_in;
    real *diagonal = zeroed(n, sizeof *diagonal), distance = 0, magnitude = 0, plain;

    for (int64_t i = 0; i < n; i++) {
        distance += ((real)w[i] - u[i]) * ((real)w[i] - u[i]);
        magnitude += (fabsl((real)w[i]) + fabsl(u[i])) * (fabsl((real)w[i]) + fabsl(u[i]));
    }
    rows_diagonal(&run->training, group, false, diagonal);
    plain = mean_of(diagonal, n);
    rows_diagonal(&run->training, group, run->drawn->options.bias_correction, diagonal);
    *size += (real)run->report.damping * plain * magnitude;
    distance *= (real)run->report.damping * mean_of(diagonal, n);
    free(diagonal);
    return distance;
}

/* The change of the bias is off by a rounding error of the training rows' outputs, whose size is 'trained'. */
static void check_held_out(struct run *run, int64_t m, const real *u, real change, real trained, struct sums *sums)
{
    const struct drawn_layer *drawn = run->drawn;
    const bsq_channel_t *channel = &run->channel[m];
    struct channel_error error;
    real shifted, tolerance, reach;

    if (!run->held_out.count) {
        if (channel->held_out_error != -1.0)
            fail(run, "held_out_error of channel %lld is %g without held-out rows", (long long)m,
                 channel->held_out_error);
        return;
    }
    error = rows_channel_error(&run->held_out, m / drawn->group_outputs, m, run->weights + m * drawn->fan_in, u,
                               run->training.y ? drawn->options.asymmetry : 0.0);
    shifted = error.variance + (error.mean - change) * (error.mean - change);
    reach = sqrtl(error.size) + fabsl(change);
    tolerance = relative_rounding(&run->held_out) * reach * reach +
                (change != 0 ? 2 * reach * relative_rounding(&run->training) * sqrtl(trained) : 0);
    if (error.energy > tolerance)
        expect_near(run, "held_out_error * energy", m, (real)channel->held_out_error * error.energy, shifted,
                    tolerance * (1 + shifted / error.energy));
    sums->held_out_error += shifted;
    sums->held_out_energy += error.energy;
    sums->held_out_tolerance += tolerance;
}

/* The least share of its damped diagonal that an input's mean square is, zeros apart: a mix with the layer's own output is
 * formed from damped products, of which an input keeps this share of the digits. */
static real least_share(const struct run *run, int64_t group)
{
    int64_t n = run->drawn->fan_in;
    real *diagonal = zeroed(n, sizeof *diagonal), ridge = 0, share = 1;

    rows_diagonal(&run->training, group, run->drawn->options.bias_correction, diagonal);
    for (int64_t j = 0; j < n; j++)
        ridge += (real)run->report.damping * diagonal[j] / (real)n;
    for (int64_t j = 0; j < n; j++)
        if (diagonal[j] > 0)
            share = fminl(share, diagonal[j] / (diagonal[j] + ridge));
    free(diagonal);
    return share;
}

/* Adds the least error of real weights; returns how independent the inputs are, 0 when that is not known. What floors are
 * compared with is 'independence', which counts the digits of mixed products too. */
static real add_floor(const struct run *run, int64_t m, struct sums *sums, real *independence)
{
    const struct drawn_layer *drawn = run->drawn;
    real own = drawn->fan_in > 64 ? 0 : 1; /* least squares of more inputs take seconds here */

    if (own > 0 && run->training.y && drawn->options.asymmetry > 0.0)
        sums->floor += rows_least_error(&run->training, m / drawn->group_outputs, m, run->weights + m * drawn->fan_in,
                                        drawn->options.asymmetry, drawn->options.bias_correction, &own);
    *independence = fminl(*independence, own);
    if (drawn->options.asymmetry < 1.0)
        *independence = fminl(*independence, least_share(run, m / drawn->group_outputs));
    return own;
}

/* With a target J is kept relative to the minimiser v, which dependent inputs take far away: h |v|^2 is energy / pivot at
 * most, where a pivot is the share of an input that the others leave, or damping. Where a pivot is below 1e-7, more damping
 * makes the minimiser. J has two forms in v, p'v and v'Hv, each n sums of terms of that size. */
static real minimiser_part(const struct run *run, real independence, real size)
{
    const real least_pivot = 1e-7L;
    real pivot = fmaxl(fmaxl(independence, (real)run->report.damping), least_pivot);

    return run->training.y && run->drawn->options.asymmetry > 0.0 ? 0x1p-52L * (real)run->drawn->fan_in * size / pivot
                                                                  : 0;
}

/* Weights with an offset are that of engines where the bias for codes is made: their products are float32 first. */
static void check_bias(struct run *run, int64_t m, const struct channel_error *error, const real *u, const real *parts,
                       real change)
{
    const struct drawn_layer *drawn = run->drawn;
    real before = drawn->bias ? (real)drawn->bias[m] : 0, shift = 0, reach = 0, expected = before + change, tolerance;
    real product = drawn->options.weight_grid == BSQ_WEIGHT_GRID_OFFSET ? 0x1p-23L : 0, rounded = 0;
    bool corrected = run->channel[m].bias_corrected;

    tolerance = relative_rounding(&run->training) * sqrtl(error->size) + 0x1p-23L * (fabsl(expected) + FLT_MIN);
    expect_near(run, "bias", m, (real)run->bias[m], expected, corrected ? tolerance : 0);
    for (int64_t i = 0; run->codes.bits && i < drawn->fan_in; i++) {
        real part = u[i] * (real)run->codes.scale * run->codes.zero_points[channel_of(drawn, m, i)];

        shift += part;
        reach += fabsl(part);
        rounded += product * parts[i] * (real)run->codes.scale * run->codes.zero_points[channel_of(drawn, m, i)];
    }
    if (isfinite(run->code_bias[m]) || fabsl(expected - shift) < (real)FLT_MAX / 2)
        expect_near(run, "code bias", m, (real)run->code_bias[m], expected - shift,
                    tolerance + rounded + 0x1p-23L * fabsl(expected - shift) + 0x1p-50L * reach * (real)drawn->fan_in);
}

/* J at real weights. */
static real objective_at(const struct run *run, int64_t m, const real *u)
{
    const struct drawn_layer *drawn = run->drawn;
    const float *w = run->weights + m * drawn->fan_in;
    int64_t group = m / drawn->group_outputs;
    struct channel_error error = rows_channel_error(&run->training, group, m, w, u, drawn->options.asymmetry);
    real unused = 0;

    return (drawn->options.bias_correction ? error.variance : error.mean_square) +
           ridge_part(run, group, w, u, &unused);
}

enum { MOST_TRIED = 4096, MOST_TRIED_INPUTS = 12 }; /* 3 to the power 7, 2 to the power 12 */

/* J(u) = base - 2 p'u + u'h u. */
struct form {
    real base, p[MOST_TRIED_INPUTS], h[MOST_TRIED_INPUTS * MOST_TRIED_INPUTS];
};

static void find_form(const struct run *run, int64_t m, struct form *form)
{
    const struct drawn_layer *drawn = run->drawn;
    const float *w = run->weights + m * drawn->fan_in;
    int64_t n = drawn->fan_in, group = m / drawn->group_outputs;
    real nothing[MOST_TRIED_INPUTS] = {0}, diagonal[MOST_TRIED_INPUTS], ridge;

    form->base = objective_at(run, m, nothing);
    rows_form(&run->training, group, m, w, drawn->options.asymmetry, drawn->options.bias_correction, form->h, form->p);
    rows_diagonal(&run->training, group, drawn->options.bias_correction, diagonal);
    ridge = (real)run->report.damping * mean_of(diagonal, n);
    for (int64_t i = 0; i < n; i++) {
        form->h[i * (n + 1)] += ridge;
        form->p[i] += ridge * (real)w[i];
    }
}

/* The least J over all levels less 'zero', each with its best scale. */
static real least_of_form(const struct form *form, int64_t n, const struct code_range *range, int32_t zero,
                          bool is_signed, int64_t total)
{
    const real least = FLT_MIN;
    int32_t code[MOST_TRIED_INPUTS];
    real best = INFINITY;

    for (int64_t i = 0; i < n; i++)
        code[i] = range->lowest;
    for (int64_t k = 0; k < total; k++) {
        real along = 0, square = 0, scale;

        for (int64_t i = 0; i < n; i++) {
            real level = (real)(grid_level(range, code[i]) - zero);

            along += form->p[i] * level;
            for (int64_t j = 0; j < n; j++)
                square += form->h[i * n + j] * level * (real)(grid_level(range, code[j]) - zero);
        }
        scale = square > 0 ? along / square : 0;
        scale = is_signed && scale < 0 ? fminl(scale, -least) : fmaxl(scale, least);
        best = fminl(best, form->base - 2 * scale * along + scale * scale * square);
        for (int64_t i = 0; i < n && ++code[i] > range->highest; i++)
            code[i] = range->lowest;
    }
    return best;
}

/* Where trying all codes is little work: nothing may be below a bound, and what is proven must be the best. Scales are
 * float32 values, which moves J by (2^-24 u)'H (2^-24 u) at most; 'size' is above u'H u. */
static void check_optimum(struct run *run, int64_t m, real size, real tolerance)
{
    const struct drawn_layer *drawn = run->drawn;
    const bsq_options_t *options = &drawn->options;
    const bsq_channel_t *channel = &run->channel[m];
    int32_t least_zero = options->zero_point_least, zeros = run->range.highest;
    int64_t n = drawn->fan_in, total = 1;
    struct form form;
    real best = INFINITY;

    if (!(channel->lower_bound > 0.0) || options->scale_kind != BSQ_SCALE_KIND_PER_CHANNEL ||
        options->scale_format != BSQ_SCALE_FORMAT_FLOAT32 || n > MOST_TRIED_INPUTS ||
        options->weight_grid == BSQ_WEIGHT_GRID_OFFSET)
        return;
    if (options->weight_grid != BSQ_WEIGHT_GRID_ZERO_POINT)
        least_zero = zeros = 0;
    for (int64_t i = 0; i < n && total <= MOST_TRIED; i++)
        total *= run->range.highest - run->range.lowest + 1;
    if (total > MOST_TRIED)
        return;
    find_form(run, m, &form);
    for (int32_t zero = least_zero; zero <= zeros; zero++)
        best = fminl(best, least_of_form(&form, n, &run->range, zero, options->scale_signed, total));
    tolerance += 0x1p-48L * size;
    if (!((real)channel->lower_bound * (real)channel->objective <= best * (1 + 1e-6L) + tolerance))
        fail(run, "lower bound of channel %lld is %.9g of J, the optimum %.9Lg: J is %g, %Lg allowed", (long long)m,
             channel->lower_bound, best / (real)channel->objective, channel->objective, tolerance);
}

/* Inputs that vary by less than 2^-21 of their size may count as constant when means are taken away: what they have in
 * common with the rest of the output is then missing, which is twice the product of both sizes at most. */
static real constant_part(const struct run *run, int64_t group, const float *w, const real *u, real size)
{
    int64_t n = run->drawn->fan_in;
    real *square = zeroed(2 * n, sizeof *square), *variance = square + n, part = 0;

    rows_diagonal(&run->training, group, false, square);
    rows_diagonal(&run->training, group, true, variance);
    for (int64_t i = 0; run->drawn->options.bias_correction && i < n; i++)
        if (variance[i] < 0x1p-41L * square[i])
            part += sqrtl(variance[i]) * (fabsl((real)w[i]) + fabsl(u[i]));
    free(square);
    return 2 * part * sqrtl(size) + part * part;
}

/* What products in single precision may lose. J is |R e|^2 with e = w - u, kept 1e-5 of it too high. A row of R e is a sum of
 * n terms of both signs, whose rounding errors are like random ones: 2^-24 of the root of n times the length of its terms
 * (N. J. Higham and T. Mary, probabilistic error analysis), here with four times as much room. Over all rows terms are as
 * long as e with each input times the root of its diagonal; where they cancel, J is small beside them. */
static real single_part(const struct run *run, int64_t group, const float *w, const real *u, real objective)
{
    int64_t n = run->drawn->fan_in;
    real *diagonal = zeroed(n, sizeof *diagonal), ridge, square = 0, off;

    rows_diagonal(&run->training, group, false, diagonal);
    ridge = (real)run->report.damping * mean_of(diagonal, n);
    for (int64_t i = 0; i < n; i++)
        square += (diagonal[i] + ridge) * ((real)w[i] - u[i]) * ((real)w[i] - u[i]);
    free(diagonal);
    off = 4 * 0x1p-24L * sqrtl((real)n * square);
    return 1e-5L * objective + 2 * off * sqrtl(objective) + off * off;
}

/* What J may lose where it is kept step by step, from a start that is 2^10 times as large at most, 2^13 times where scales are
 * moved too: some steps, and forms of n terms, are rounded at the size of that start. */
static real kept_part(const struct run *run, real objective)
{
    real share = is_plain(&run->drawn->options) ? 0x1p-43L : 0x1p-40L;

    return run->drawn->options.solver == BSQ_SOLVER_AUTO ? share * (real)(run->drawn->fan_in + 8) * objective : 0;
}

static void check_channel(struct run *run, int64_t m, real *u, struct sums *sums, real *independence)
{
    const struct drawn_layer *drawn = run->drawn;
    const bsq_options_t *options = &drawn->options;
    const bsq_channel_t *channel = &run->channel[m];
    const float *w = run->weights + m * drawn->fan_in;
    int64_t group = m / drawn->group_outputs;
    bool centred = options->bias_correction;
    real *parts = u + drawn->fan_in;
    struct channel_error error;
    real size, objective, rest, energy, tolerance, apart = 0, own = 0, change, pivot;

    channel_weights(run, m, u, parts);
    error = rows_channel_error(&run->training, group, m, w, u, options->asymmetry);
    change = channel->bias_corrected ? error.gap : 0;
    size = error.size;
    objective = centred ? error.variance : error.mean_square;
    objective += ridge_part(run, group, w, u, &size);
    pivot = add_floor(run, m, sums, independence);
    tolerance = relative_rounding(&run->training) * size + constant_part(run, group, w, u, size) +
                minimiser_part(run, pivot, size) + kept_part(run, objective);
    if (may_be_single(run))
        tolerance += single_part(run, group, w, u, objective);
    rest = centred ? error.variance + (channel->bias_corrected ? 0 : error.gap * error.gap) : error.mean_square;
    energy = centred && run->training.y && options->asymmetry > 0.0
                 ? error.variance_energy + error.wanted_mean * error.wanted_mean
                 : error.energy;
    run->objective[m] = objective;
    run->tolerance[m] = tolerance;

    expect_near(run, "objective", m, (real)channel->objective, objective, tolerance);
    expect_near(run, "energy", m, (real)channel->energy, energy, tolerance + (may_be_single(run) ? 1e-5L * energy : 0));
    if (channel->energy > 0.0)
        expect_near(run, "error * energy", m, (real)channel->error * (real)channel->energy, rest, tolerance);
    if (!(channel->objective >= 0.0))
        fail(run, "objective of channel %lld is %g", (long long)m, channel->objective);
    if (!(channel->objective_start >= 0.0))
        fail(run, "objective_start of channel %lld is %g", (long long)m, channel->objective_start);
    for (int64_t i = 0; i < drawn->fan_in; i++) {
        apart += ((real)w[i] - u[i]) * ((real)w[i] - u[i]);
        own += (real)w[i] * (real)w[i];
    }
    if (own > 0)
        expect_near(run, "weight_error", m, (real)channel->weight_error, apart / own,
                    0x1p-50L * (real)(drawn->fan_in + 8) * (1 + apart / own));
    if (!(channel->lower_bound >= 0.0 && channel->lower_bound <= 1.0))
        fail(run, "lower_bound of channel %lld is %.17g", (long long)m, channel->lower_bound);
    if (channel->outcome < BSQ_OUTCOME_CONVERGED || channel->outcome > BSQ_OUTCOME_PROVEN)
        fail(run, "outcome of channel %lld is %d", (long long)m, (int)channel->outcome);
    if (options->solver == BSQ_SOLVER_AUTO && options->scale_kind != BSQ_SCALE_KIND_PER_TENSOR &&
        !options->select_on_held_out && !(channel->objective <= channel->objective_start * (1.0 + 1e-15)))
        if (!may_be_single(run) || !(channel->objective <= channel->objective_start + 1e-4 * channel->objective))
            fail(run, "objective of channel %lld is %.17g, rounding's %.17g", (long long)m, channel->objective,
                 channel->objective_start);
    check_bias(run, m, &error, u, parts, change);
    check_optimum(run, m, size, tolerance);
    check_held_out(run, m, u, change, error.size, sums);

    sums->objective += objective;
    sums->energy += energy;
    sums->error += rest;
    sums->uncorrected += centred ? error.variance + error.gap * error.gap : error.mean_square;
    sums->corrected += error.variance;
    sums->weight_error += apart;
    sums->weight_energy += own;
    sums->lower_bound += (real)channel->lower_bound * (real)channel->objective;
    sums->tolerance += tolerance;
    sums->improved += channel->objective < channel->objective_start;
    sums->proven += channel->outcome == BSQ_OUTCOME_PROVEN;
    sums->dead_outputs += own == 0;
    sums->limited = sums->limited || channel->outcome == BSQ_OUTCOME_LIMIT;
}

/* ---- the report ---- */

static void check_finite(struct run *run)
{
    const bsq_report_t *report = &run->report;
    const double figures[] = {report->objective_start,
                              report->objective,
                              report->energy,
                              report->error,
                              report->error_start,
                              report->error_floor,
                              report->held_out_error,
                              report->held_out_energy,
                              report->weight_error,
                              report->error_uncorrected,
                              report->error_corrected,
                              report->damping,
                              report->rows,
                              report->rows_per_input,
                              report->seconds,
                              report->lower_bound};

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!isfinite(figures[i]) || figures[i] < -1.0)
            fail(run, "figure %d of the report is %g", (int)i, figures[i]);
    for (int64_t c = 0; c < run->drawn->channels; c++) {
        const bsq_channel_t *channel = &run->channel[c];
        const double own[] = {channel->objective_start, channel->objective,   channel->energy,
                              channel->error,           channel->error_start, channel->held_out_error,
                              channel->weight_error,    channel->lower_bound};

        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            if (!isfinite(own[i]) || own[i] < -1.0)
                fail(run, "figure %d of channel %lld is %g", (int)i, (long long)c, own[i]);
        if (!isfinite(run->bias[c]))
            fail(run, "bias of channel %lld is %g", (long long)c, (double)run->bias[c]);
    }
    for (int32_t k = 0; k < report->stages; k++) {
        bsq_stage_t stage;

        if (!ok(run, "stage report", read_stage(run->layer, k, &stage)))
            continue;
        if (!isfinite(stage.objective_before) || !isfinite(stage.objective_after) || !(stage.seconds >= 0.0))
            fail(run, "stage %d goes from %g to %g in %g s", (int)k, stage.objective_before, stage.objective_after,
                 stage.seconds);
        if (!strcmp(bsq_stage_string(stage.stage), bsq_stage_string(-1)))
            fail(run, "stage %d is of kind %d", (int)k, (int)stage.stage);
    }
}

static double default_damping(real rows, int64_t n)
{
    return fmin(fmax((double)(0.3L * (real)n / rows), 1e-6), 0.3);
}

static void check_layer_facts(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    const bsq_options_t *options = &drawn->options;
    const bsq_report_t *report = &run->report;
    real rows = run->training.sum * run->training.sum / run->training.squares;
    double damping = options->solver == BSQ_SOLVER_PAPER ? 0.0
                     : options->damping < 0.0            ? default_damping(rows, drawn->fan_in)
                                                         : options->damping;
    real *diagonal = zeroed(drawn->fan_in, sizeof *diagonal);
    int64_t dead = 0;

    for (int64_t g = 0; g < drawn->groups; g++) {
        rows_diagonal(&run->training, g, false, diagonal);
        for (int64_t i = 0; i < drawn->fan_in; i++)
            dead += !(diagonal[i] > 0);
    }
    free(diagonal);
    expect_near(run, "report: rows", -1, (real)report->rows, rows, rows * 1e-12L);
    expect_near(run, "report: rows_per_input", -1, (real)report->rows_per_input,
                (real)report->rows / (real)drawn->fan_in, rows * 1e-15L);
    expect_near(run, "report: damping", -1, (real)report->damping, (real)damping, (real)damping * 1e-12L);
    if (report->dead_inputs != dead)
        fail(run, "report: %lld dead inputs instead of %lld", (long long)report->dead_inputs, (long long)dead);
    if (report->solver != options->solver || report->weight_bits != options->weight_bits ||
        report->weight_grid != options->weight_grid)
        fail(run, "report: options are not those that were given");
    if (options->select_on_held_out && run->held_out.count && options->solver == BSQ_SOLVER_AUTO
            ? report->effort < 0 || report->effort > options->effort
            : report->effort != options->effort)
        fail(run, "report: effort is %d", (int)report->effort);
    if (!(report->warnings & BSQ_WARNING_DEAD_INPUTS) != !dead ||
        !(report->warnings & BSQ_WARNING_DEAD_OUTPUTS) != !report->dead_outputs ||
        !(report->warnings & BSQ_WARNING_FEW_ROWS) != !(report->rows_per_input < 2.0) ||
        (report->warnings & BSQ_WARNING_NO_STATISTICS))
        fail(run, "report: warnings are %d", (int)report->warnings);
    if (!strcmp(bsq_kernel_string(report->kernel), bsq_kernel_string(-1)))
        fail(run, "report: kernel is %d", (int)report->kernel);
}

static void check_sums(struct run *run, const struct sums *sums, real independence)
{
    const bsq_options_t *options = &run->drawn->options;
    const bsq_report_t *report = &run->report;
    real tolerance = sums->tolerance, energy = (real)report->energy;
    int32_t outcome = sums->proven == run->drawn->channels ? BSQ_OUTCOME_PROVEN
                      : sums->limited                      ? BSQ_OUTCOME_LIMIT
                                                           : BSQ_OUTCOME_CONVERGED;

    expect_near(run, "report: objective", -1, (real)report->objective, sums->objective, tolerance);
    expect_near(run, "report: energy", -1, energy, sums->energy,
                tolerance + (may_be_single(run) ? 1e-5L * sums->energy : 0));
    if (report->energy > 0.0) {
        expect_near(run, "report: error * energy", -1, (real)report->error * energy, sums->error, tolerance);
        expect_near(run, "report: error_uncorrected * energy", -1, (real)report->error_uncorrected * energy,
                    sums->uncorrected, tolerance);
        expect_near(run, "report: error_corrected * energy", -1, (real)report->error_corrected * energy,
                    sums->corrected, tolerance);
        if (!((real)report->error_floor * energy <= sums->error + tolerance))
            fail(run, "report: error_floor is %.17g, error %.17g", report->error_floor, report->error);
        /* The minimiser's weights, each times the root of its input's mean square, are up to the root of energy /
         * independence, and pivots in order of size may be so much larger than the least eigenvalue as there are inputs.
         * Inputs that depend on each other in all digits of their squares leave nothing to compare. */
        if (independence > 1e-6L)
            expect_near(run, "report: error_floor * energy", -1, (real)report->error_floor * energy, sums->floor,
                        tolerance * (real)run->drawn->fan_in / independence);
    }
    if (run->held_out.count) {
        expect_near(run, "report: held_out_energy", -1, (real)report->held_out_energy, sums->held_out_energy,
                    sums->held_out_tolerance);
        expect_near(run, "report: held_out_error * energy", -1,
                    (real)report->held_out_error * (real)report->held_out_energy, sums->held_out_error,
                    report->held_out_energy > 0.0 ? sums->held_out_tolerance : INFINITY);
    } else if (report->held_out_error != -1.0 || report->held_out_energy != 0.0) {
        fail(run, "report: held-out figures without held-out rows");
    }
    if (sums->weight_energy > 0)
        expect_near(run, "report: weight_error", -1, (real)report->weight_error,
                    sums->weight_error / sums->weight_energy,
                    0x1p-50L * (real)(run->drawn->fan_in * run->drawn->channels + 8) *
                        (1 + sums->weight_error / sums->weight_energy));
    if (!(report->lower_bound >= 0.0 && report->lower_bound <= 1.0))
        fail(run, "report: lower_bound is %.17g", report->lower_bound);
    expect_near(run, "report: lower_bound * objective", -1, (real)report->lower_bound * (real)report->objective,
                sums->lower_bound, (real)report->objective * 1e-12L);
    if (options->solver == BSQ_SOLVER_AUTO && !options->select_on_held_out && !may_be_single(run) &&
        !(report->objective <= report->objective_start * (1.0 + 1e-14)))
        fail(run, "report: objective is %.17g, rounding's %.17g", report->objective, report->objective_start);
    if (report->channels_improved != sums->improved || report->channels_proven != sums->proven ||
        report->dead_outputs != sums->dead_outputs || report->outcome != outcome)
        fail(run, "report: improved %lld of %lld, proven %lld of %lld, dead outputs %lld of %lld, outcome %d of %d",
             (long long)report->channels_improved, (long long)sums->improved, (long long)report->channels_proven,
             (long long)sums->proven, (long long)report->dead_outputs, (long long)sums->dead_outputs,
             (int)report->outcome, (int)outcome);
}

static void check_result(struct run *run)
{
    struct sums sums = {0};
    real *u = zeroed(2 * run->drawn->fan_in, sizeof *u), independence = 1;

    check_finite(run);
    check_values(run);
    if (run->failures == 0) {
        for (int64_t m = 0; m < run->drawn->channels; m++)
            check_channel(run, m, u, &sums, &independence);
        check_layer_facts(run);
        run->tolerance_sum = sums.tolerance;
        check_sums(run, &sums, independence);
    }
    free(u);
}

/* ---- rounding ---- */

/* J of a channel with the scale that clips no weight. */
static real largest_scale_objective(struct run *run, int64_t m, real *u)
{
    const struct drawn_layer *drawn = run->drawn;
    int64_t n = drawn->fan_in, group = m / drawn->group_outputs;
    const float *w = run->weights + m * n;
    real highest = (real)((1 << (drawn->options.weight_bits - 1)) - 1), scale = 0, unused = 0;
    struct channel_error error;

    for (int64_t i = 0; i < n; i++)
        scale = fmaxl(scale, fabsl((real)w[i]) / highest);
    scale = (real)(float)fmaxl(scale, (real)FLT_MIN);
    for (int64_t i = 0; i < n; i++)
        u[i] = scale * fminl(fmaxl(rintl((real)w[i] / scale), -highest), highest);
    error = rows_channel_error(&run->training, group, m, w, u, drawn->options.asymmetry);
    return (drawn->options.bias_correction ? error.variance : error.mean_square) +
           ridge_part(run, group, w, u, &unused);
}

/* Solves once more by rounding alone: what the first report says of the start must be what that result is. Rounding's own
 * bias or weights may be beyond float32 where those of the better result are not. */
static void check_start(struct run *run, bool at_limit)
{
    const struct drawn_layer *drawn = run->drawn;
    struct run start;
    struct drawn_layer rounded = *drawn;
    bsq_options_t *options = &rounded.options;
    real *u = zeroed(drawn->fan_in, sizeof *u);
    bsq_status_t status = BSQ_OK;
    bool ready;

    options->solver = BSQ_SOLVER_ROUND;
    options->effort = 0;
    options->select_on_held_out = 0;
    options->lower_bound = 0;
    options->damping = run->report.damping;
    ready = clone_run(run, &start, &rounded);
    if (ready && (status = bsq_optimize(start.layer, NULL)) == BSQ_E_NUMERIC && at_limit)
        ready = false;
    if (ready && ok(&start, "optimize by rounding", status) && read_result(&start)) {
        check_result(&start);
        for (int64_t m = 0; m < drawn->channels && start.failures == 0; m++) {
            real slack = start.tolerance[m];
            real found = (real)run->channel[m].objective_start;

            if (may_be_single(run)) {
                if (!(found <= start.objective[m] * (1 + 3e-5L) + slack))
                    fail(&start, "objective_start of channel %lld is %.17Lg, that of rounding %.17Lg", (long long)m,
                         found, start.objective[m]);
                continue;
            }
            expect_near(&start, "objective_start", m, found, start.objective[m], slack);
            if (run->channel[m].energy > 0.0)
                expect_near(&start, "error_start", m, (real)run->channel[m].error_start,
                            drawn->options.bias_correction ? run->channel[m].error_start
                                                           : (double)start.channel[m].error,
                            slack / (real)run->channel[m].energy);
            if (options->scale_kind == BSQ_SCALE_KIND_PER_CHANNEL &&
                options->scale_format == BSQ_SCALE_FORMAT_FLOAT32 &&
                options->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC && is_plain(options)) {
                real largest = largest_scale_objective(run, m, u);

                if (!(found <= largest * (1 + 1e-5L) + slack))
                    fail(&start, "objective_start of channel %lld is %.17Lg, the largest scale gives %.17Lg",
                         (long long)m, found, largest);
            }
        }
        release_result(&start);
    }
    bsq_layer_free(start.layer);
    run->failures = start.failures;
    free(u);
}

/* ---- a layer ---- */

/* What a layer without rows that count may do: fail for want of statistics, or round the weights alone. */
static void check_without_rows(struct run *run, bsq_status_t status)
{
    const bsq_options_t *options = &run->drawn->options;
    bool needed = options->solver == BSQ_SOLVER_PAPER || options->bias_correction ||
                  (options->solver == BSQ_SOLVER_AUTO && options->effort > 0);

    if (status == BSQ_E_STATE && needed)
        return;
    if (!ok(run, "optimize without rows", status) || !read_result(run))
        return;
    check_finite(run);
    check_values(run);
    release_result(run);
}

/* Whether what the layer multiplies are numbers; '*least' and '*most' of their magnitudes other than zero. */
static bool inputs_are_finite(const struct rows *rows, real *least, real *most)
{
    for (int64_t i = 0; i < rows->count * rows->groups * rows->n; i++) {
        real size = fabsl(rows->x[i]);

        if (!isfinite(size))
            return false;
        if (size > 0) {
            *least = fminl(*least, size);
            *most = fmaxl(*most, size);
        }
    }
    return true;
}

/* Counts a layer that was refused, which the library has to explain. */
static void count_refused(struct run *run, struct tally *tally)
{
    if (!strstr(bsq_layer_error_message(run->layer), " "))
        fail(run, "refused, and the text is '%s'", bsq_layer_error_message(run->layer));
    tally->refused++;
}

/* Puts the tensor into the layer whose scales are to be kept; false when there is nothing to go on with. */
static bool give_kept_tensor(struct run *run, bool at_limit, struct tally *tally)
{
    bsq_status_t status = bsq_layer_set_tensor(run->layer, &run->drawn->kept);
    bsq_report_t report;

    if (status == BSQ_E_NUMERIC && at_limit) {
        count_refused(run, tally);
        return false;
    }
    if (status == BSQ_E_STATE && run->training.count == 0 && run->drawn->options.bias_correction)
        return false;
    if (!ok(run, "set_tensor", status) || !ok(run, "report", read_report(run->layer, &report)))
        return false;
    run->given_objective = (real)report.objective;
    return true;
}

/* Efforts start from the codes that were there. */
static void check_given(struct run *run)
{
    const bsq_options_t *options = &run->drawn->options;

    if (options->solver == BSQ_SOLVER_AUTO && options->effort > 0 && !options->select_on_held_out &&
        !((real)run->report.objective <= run->given_objective * (1 + 1e-14L) + run->tolerance_sum))
        fail(run, "J is %.17g, with the codes that were there it was %.17Lg", run->report.objective,
             run->given_objective);
}

/* Whether a bias or a weight of a result may be beyond float32: where outputs, weights or targets divided by inputs
 * come near it. A factor of 2^20 covers sums, codes up to 128 and weights that compensate for each other. */
static bool is_near_limit(const struct run *run, real least, real most)
{
    const struct drawn_layer *drawn = run->drawn;
    const real limit = 0x1p108L;
    const bsq_tensor_t *kept = &drawn->kept;
    real weight = drawn->options.scale_format == BSQ_SCALE_FORMAT_FLOAT16 ? 0x1p-14L : (real)FLT_MIN, beta = 1,
         target = 0;

    weight = fmaxl(weight, (real)drawn->options.scale_unit);
    for (int64_t a = 0; drawn->options.keep_scales && a < kept->scale_count; a++)
        weight = fmaxl(weight, fmaxl(fabsl((real)kept->scales[a]), kept->offsets ? fabsl((real)kept->offsets[a]) : 0));
    for (int64_t m = 0; m < drawn->channels; m++)
        for (int64_t i = 0; i < drawn->fan_in; i++) {
            weight = fmaxl(weight, fabsl((real)run->weights[m * drawn->fan_in + i]));
            beta = fminl(beta, (real)beta_of(run, m, i));
        }
    for (int64_t i = 0; run->training.y && i < run->training.count * run->training.channels; i++)
        target = fmaxl(target, fabsl(run->training.y[i]));
    return weight / beta > limit || weight * most > limit || target > limit || target / least / beta > limit;
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Checks all there is to say of a result. */
static void check_solved(struct run *run, bool at_limit)
{
    const bsq_options_t *options = &run->drawn->options;
    bool some = run->drawn->seed % 8 == 0 && run->drawn->fan_in <= 40; /* all efforts take time */

    check_result(run);
    if (run->failures == 0 && options->keep_scales)
        check_given(run);
    if (run->failures == 0)
        check_start(run, at_limit);
    if (run->failures == 0)
        check_tensor_again(run);
    if (run->failures == 0 && some && options->solver == BSQ_SOLVER_AUTO && !options->select_on_held_out)
        check_efforts(run, at_limit);
}

static void solve_and_check(struct run *run, struct tally *tally)
{
    const struct drawn_layer *drawn = run->drawn;
    real least = INFINITY, most = 0;
    bool finite = fold_weights(run), at_limit;
    double begin, took;
    bsq_status_t status;

    finite = inputs_are_finite(&run->training, &least, &most) && finite;
    finite = inputs_are_finite(&run->held_out, &least, &most) && finite;
    if (run->codes.bits) /* zero points, which the bias for input codes has */
        most = fmaxl(most, 0x1p8L * (real)run->codes.scale);
    at_limit = is_near_limit(run, least, most);
    if (drawn->options.keep_scales && !give_kept_tensor(run, at_limit || !finite, tally))
        return;
    begin = seconds();
    status = bsq_optimize(run->layer, NULL);
    took = seconds() - begin;
    if (took > tally->seconds) {
        tally->seconds = took;
        tally->slowest = drawn->seed;
    }
    if (!finite) {
        if (status != BSQ_E_NUMERIC)
            fail(run, "a folded weight or input is infinite, and the status %d", (int)status);
        count_refused(run, tally);
    } else if (status == BSQ_E_NUMERIC && at_limit) {
        count_refused(run, tally);
    } else if (run->training.count == 0) {
        check_without_rows(run, status);
    } else if (ok(run, "optimize", status) && read_result(run)) {
        check_solved(run, at_limit);
        release_result(run);
    }
}

void check_layer(uint64_t seed, struct drawing drawing, bool verbose, struct tally *tally)
{
    struct drawn_layer drawn = draw_layer(seed, drawing);
    struct run run = {.drawn = &drawn, .shown = &drawn, .verbose = verbose};
    int64_t blocks;

    use_heap(&drawn.options, &blocks);
    if (verbose) {
        printf("seed %llu:\n", (unsigned long long)seed);
        drawn_layer_print(&drawn);
    }
    if (ok(&run, "create", create(&drawn, &run.layer)) && set_quantizer(&run) && read_quantizer(&run)) {
        bool calibrated = true;

        for (int32_t b = 0; b < drawn.batch_count && calibrated; b++)
            calibrated = ok(&run, "calibrate", bsq_layer_calibrate(run.layer, &drawn.batches[b].batch));
        run.training = rows_gather(&drawn, &run.codes, false);
        run.held_out = rows_gather(&drawn, &run.codes, true);
        if (calibrated)
            solve_and_check(&run, tally);
    }
    bsq_layer_free(run.layer);
    if (blocks)
        fail(&run, "%lld blocks of memory are left", (long long)blocks);
    tally->layers++;
    tally->refused += run.refused;
    tally->failures += run.failures > 0;
    rows_free(&run.training);
    rows_free(&run.held_out);
    free(run.weights);
    free(run.codes.scales);
    free(run.codes.zero_points);
    drawn_layer_free(&drawn);
}
