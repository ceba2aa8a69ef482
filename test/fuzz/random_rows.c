/* Rows of a drawn layer, and what they say about weights, in long double. */
#include "random_layers.h"
#include "random_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- gathering ---- */

/* The folded, quantized input: scale * (code - zero point), as float32. */
static float work_on(const struct input_codes *codes, int64_t channel, float x)
{
    double code;

    if (!codes->bits)
        return x;
    code = rint((double)x / codes->scales[channel]) + codes->zero_points[channel];
    code = fmin(fmax(code, codes->lowest), codes->highest);
    return (float)(codes->scale * (code - codes->zero_points[channel]));
}

static void gather_row(const struct drawn_layer *layer, const struct input_codes *codes,
                       const struct drawn_batch *drawn, int64_t sample, int64_t position, real *x)
{
    const bsq_layer_desc_t *desc = &layer->desc;
    int32_t dims = desc->kind == BSQ_KIND_CONV ? desc->spatial_dims : 0;
    int64_t places = 1, at[3] = {0, 0, 0}, rest = position;

    for (int32_t d = dims; d-- > 0; rest /= drawn->output[d])
        at[d] = rest % drawn->output[d];
    for (int32_t d = 0; d < dims; d++)
        places *= drawn->batch.spatial[d];
    for (int64_t g = 0; g < layer->groups; g++)
        for (int64_t i = 0; i < layer->fan_in; i++, x++) {
            int64_t channel, tap, place = 0, index[3] = {0, 0, 0};
            bool inside = true;

            drawn_layer_weight_place(layer, i, &channel, &tap);
            channel += g * layer->group_inputs;
            for (int32_t d = dims; d-- > 0; tap /= desc->kernel[d])
                index[d] = at[d] * desc->stride[d] - desc->pad_begin[d] + tap % desc->kernel[d] * desc->dilation[d];
            for (int32_t d = 0; d < dims; d++) {
                inside = inside && index[d] >= 0 && index[d] < drawn->batch.spatial[d];
                place = place * drawn->batch.spatial[d] + index[d];
            }
            *x = 0;
            if (inside) {
                int64_t from = desc->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST
                                   ? place * desc->in_channels + channel
                                   : channel * places + place;

                *x = (real)work_on(codes, channel, drawn->input[sample * places * desc->in_channels + from]);
            }
        }
}

/* Targets without bias, as float32. */
static void gather_targets(const struct drawn_layer *layer, const struct drawn_batch *drawn, int64_t sample,
                           int64_t position, real *y)
{
    int64_t channels = layer->channels, positions = drawn->positions;
    const float *from = drawn->target + sample * positions * channels;

    for (int64_t m = 0; m < channels; m++) {
        float value =
            from[layer->desc.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST ? position * channels + m
                                                                                      : m * positions + position];

        y[m] = (real)(layer->bias ? value - layer->bias[m] : value);
    }
}

static real weight_of(const struct drawn_batch *drawn, int64_t sample, int64_t position)
{
    if (!drawn->row_weights)
        return 1;
    return (real)drawn->row_weights[drawn->batch.row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW
                                        ? sample * drawn->positions + position
                                        : sample];
}

struct rows rows_gather(const struct drawn_layer *layer, const struct input_codes *codes, bool held_out)
{
    struct rows rows = {.groups = layer->groups, .n = layer->fan_in, .channels = layer->channels};
    int64_t room = 0;
    bool targets = false;

    for (int32_t b = 0; b < layer->batch_count; b++)
        if ((layer->batches[b].batch.held_out == 1) == held_out) {
            room += layer->batches[b].batch.size * layer->batches[b].positions;
            targets = targets || (layer->batches[b].target && layer->batches[b].batch.size);
        }
    rows.x = zeroed(room * rows.groups * rows.n, sizeof *rows.x);
    rows.y = targets ? zeroed(room * rows.channels, sizeof *rows.y) : NULL;
    rows.weight = zeroed(room, sizeof *rows.weight);
    for (int32_t b = 0; b < layer->batch_count; b++) {
        const struct drawn_batch *drawn = &layer->batches[b];

        for (int64_t s = 0; (drawn->batch.held_out == 1) == held_out && s < drawn->batch.size; s++)
            for (int64_t position = 0; position < drawn->positions; position++) {
                real weight = weight_of(drawn, s, position);

                if (!(weight > 0))
                    continue;
                gather_row(layer, codes, drawn, s, position, rows.x + rows.count * rows.groups * rows.n);
                if (targets)
                    gather_targets(layer, drawn, s, position, rows.y + rows.count * rows.channels);
                rows.weight[rows.count++] = weight;
                rows.sum += weight;
                rows.squares += weight * weight;
            }
    }
    return rows;
}

void rows_free(struct rows *rows)
{
    free(rows->x);
    free(rows->y);
    free(rows->weight);
}

/* ---- errors ---- */

static const real *row_inputs(const struct rows *rows, int64_t row, int64_t group)
{
    return rows->x + (row * rows->groups + group) * rows->n;
}

/* The wanted output of one row. */
static real wanted(const struct rows *rows, int64_t row, int64_t group, int64_t channel, const float *w, double mu)
{
    const real *x = row_inputs(rows, row, group);
    real sum = 0;

    if (!rows->y)
        mu = 0.0;
    for (int64_t i = 0; mu < 1.0 && i < rows->n; i++)
        sum += (real)w[i] * x[i];
    return (1 - (real)mu) * sum + (rows->y ? (real)mu * rows->y[row * rows->channels + channel] : 0);
}

struct channel_error rows_channel_error(const struct rows *rows, int64_t group, int64_t channel, const float *w,
                                        const real *u, double mu)
{
    struct channel_error error = {0};
    real *rest = zeroed(2 * rows->count, sizeof *rest), *want = rest + rows->count;
    real *diagonal = zeroed(rows->n, sizeof *diagonal), want_mean = 0, output_mean = 0, target_square = 0, size = 0;

    for (int64_t r = 0; r < rows->count; r++) {
        const real *x = row_inputs(rows, r, group);
        real share = rows->weight[r] / rows->sum, own = 0, output = 0;

        for (int64_t i = 0; i < rows->n; i++) {
            own += (real)w[i] * x[i];
            output += u[i] * x[i];
        }
        want[r] = wanted(rows, r, group, channel, w, mu);
        rest[r] = want[r] - output;
        error.mean += share * rest[r];
        error.mean_square += share * rest[r] * rest[r];
        error.energy += share * want[r] * want[r];
        want_mean += share * want[r];
        output_mean += share * output;
        error.wanted_mean += share * (rows->y && mu > 0.0 ? rows->y[r * rows->channels + channel] : own);
        if (rows->y && mu > 0.0)
            target_square += share * rows->y[r * rows->channels + channel] * rows->y[r * rows->channels + channel];
    }
    for (int64_t r = 0; r < rows->count; r++) {
        real share = rows->weight[r] / rows->sum, apart = rest[r] - error.mean, off = want[r] - want_mean;

        error.variance += share * apart * apart;
        error.variance_energy += share * off * off;
    }
    error.gap = error.wanted_mean - output_mean;
    rows_diagonal(rows, group, false, diagonal);
    for (int64_t i = 0; i < rows->n; i++)
        size += sqrtl(diagonal[i]) * (fabsl((real)w[i]) + fabsl(u[i]));
    size += sqrtl(target_square);
    error.size = size * size;
    free(diagonal);
    free(rest);
    return error;
}

void rows_diagonal(const struct rows *rows, int64_t group, bool centred, real *diagonal)
{
    for (int64_t i = 0; i < rows->n; i++) {
        real mean = 0, sum = 0;

        for (int64_t r = 0; centred && r < rows->count; r++)
            mean += rows->weight[r] / rows->sum * row_inputs(rows, r, group)[i];
        for (int64_t r = 0; r < rows->count; r++) {
            real x = row_inputs(rows, r, group)[i] - mean;

            sum += rows->weight[r] / rows->sum * x * x;
        }
        diagonal[i] = sum;
    }
}

void rows_form(const struct rows *rows, int64_t group, int64_t channel, const float *w, double mu, bool centred,
               real *h, real *p)
{
    int64_t n = rows->n;
    real *mean = zeroed(n + 1, sizeof *mean);

    for (int64_t r = 0; centred && r < rows->count; r++) {
        for (int64_t i = 0; i < n; i++)
            mean[i] += rows->weight[r] / rows->sum * row_inputs(rows, r, group)[i];
        mean[n] += rows->weight[r] / rows->sum * wanted(rows, r, group, channel, w, mu);
    }
    for (int64_t i = 0; i < n; i++) {
        p[i] = 0;
        for (int64_t j = 0; j < n; j++)
            h[i * n + j] = 0;
    }
    for (int64_t r = 0; r < rows->count; r++) {
        const real *x = row_inputs(rows, r, group);
        real share = rows->weight[r] / rows->sum, want = wanted(rows, r, group, channel, w, mu) - mean[n];

        for (int64_t i = 0; i < n; i++) {
            p[i] += share * want * (x[i] - mean[i]);
            for (int64_t j = 0; j < n; j++)
                h[i * n + j] += share * (x[i] - mean[i]) * (x[j] - mean[j]);
        }
    }
    free(mean);
}

/* ---- least squares ---- */

static real length(const real *x, int64_t count)
{
    real sum = 0;

    for (int64_t r = 0; r < count; r++)
        sum += x[r] * x[r];
    return sum;
}

/* Takes from 'x' its part along 'q', of square length 'square'. */
static void take_away(real *x, const real *q, real square, int64_t count)
{
    real along = 0;

    for (int64_t r = 0; r < count; r++)
        along += x[r] * q[r];
    along /= square;
    for (int64_t r = 0; r < count; r++)
        x[r] -= along * q[r];
}

/* Modified Gram-Schmidt with the longest column first; what is left of a column at rounding level is no direction. */
real rows_least_error(const struct rows *rows, int64_t group, int64_t channel, const float *w, double mu, bool centred,
                      real *independence)
{
    const real nothing = 1e-30L; /* of a square length */
    int64_t count = rows->count, n = rows->n;
    real *columns = zeroed((n + 1) * count, sizeof *columns), *first = zeroed(n, sizeof *first), least;
    real *t = columns + n * count;

    for (int64_t r = 0; r < count; r++) {
        real root = sqrtl(rows->weight[r] / rows->sum);

        for (int64_t i = 0; i < n; i++)
            columns[i * count + r] = root * row_inputs(rows, r, group)[i];
        t[r] = root * wanted(rows, r, group, channel, w, mu);
    }
    for (int64_t i = 0; i < n; i++)
        first[i] = length(columns + i * count, count);
    if (centred) {
        real *ones = zeroed(count, sizeof *ones);

        for (int64_t r = 0; r < count; r++)
            ones[r] = sqrtl(rows->weight[r] / rows->sum);
        for (int64_t i = 0; i <= n; i++)
            take_away(columns + i * count, ones, 1, count);
        free(ones);
    }
    for (int64_t i = 0; i < n; i++) {
        if (!(length(columns + i * count, count) > nothing * first[i]))
            first[i] = 0; /* a constant has no part in what is centred */
    }
    *independence = 1;
    for (int64_t turn = 0; turn < n; turn++) {
        int64_t best = -1;
        real most = nothing, left;

        for (int64_t i = 0; i < n; i++) {
            left = first[i] > 0 ? length(columns + i * count, count) / first[i] : 0;
            if (left > most) {
                most = left;
                best = i;
            }
        }
        if (best < 0) {
            for (int64_t i = 0; i < n; i++)
                if (first[i] > 0)
                    *independence = 0;
            break;
        }
        *independence = fminl(*independence, most);
        left = length(columns + best * count, count);
        for (int64_t i = 0; i < n; i++)
            if (i != best && first[i] > 0)
                take_away(columns + i * count, columns + best * count, left, count);
        take_away(t, columns + best * count, left, count);
        first[best] = 0;
    }
    least = length(t, count);
    free(first);
    free(columns);
    return least;
}
