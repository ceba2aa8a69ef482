/* Draws layers: every kind and option, data from harmless to degenerate. */
#include "random_grid.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(char *text, size_t size, const char *word)
{
    size_t used = strlen(text);

    (void)snprintf(text + used, size - used, "%s%s", used ? "+" : "", word);
}

/* ---- shape ---- */

static void draw_linear(struct source *source, struct drawn_layer *layer)
{
    layer->desc.kind = BSQ_KIND_LINEAR;
    layer->desc.in_channels = chance(source, 0.004)  ? between(source, 200, 300)
                              : chance(source, 0.05) ? between(source, 25, 90)
                                                     : between(source, 1, 20);
    layer->desc.out_channels = chance(source, 0.03) ? between(source, 9, 70) : between(source, 1, 6);
}

static void draw_convolution(struct source *source, struct drawn_layer *layer)
{
    bsq_layer_desc_t *desc = &layer->desc;
    int64_t inputs, outputs = between(source, 1, 3), volume = 1;

    desc->kind = BSQ_KIND_CONV;
    desc->spatial_dims = pick(source, 1, 3);
    for (int32_t d = 0; d < desc->spatial_dims; d++) {
        int64_t most = desc->spatial_dims == 3 ? 2 : 3, reach;

        desc->kernel[d] = between(source, 1, most);
        desc->stride[d] = between(source, 1, 2);
        desc->dilation[d] = between(source, 1, 2);
        reach = (desc->kernel[d] - 1) * desc->dilation[d];
        desc->pad_begin[d] = between(source, 0, reach);
        desc->pad_end[d] = between(source, 0, reach);
        volume *= desc->kernel[d];
    }
    switch (between(source, 0, 2)) {
    case 0: /* depthwise */
        desc->groups = between(source, 1, 6);
        inputs = 1;
        break;
    case 1:
        desc->groups = between(source, 2, 3);
        inputs = between(source, 1, 3);
        break;
    default: inputs = between(source, 1, 4); outputs = between(source, 1, 6);
    }
    desc->in_channels = inputs * desc->groups;
    desc->out_channels = outputs * desc->groups;
    desc->weight_layout = chance(source, 0.5) ? BSQ_WEIGHT_LAYOUT_OHWI : BSQ_WEIGHT_LAYOUT_OIHW;
    layer->kernel_volume = volume;
}

static void draw_shape(struct source *source, struct drawn_layer *layer)
{
    bsq_layer_desc_t *desc = &layer->desc;

    bsq_layer_desc_init(desc, sizeof *desc);
    layer->kernel_volume = 1;
    if (chance(source, 0.45))
        draw_linear(source, layer);
    else
        draw_convolution(source, layer);
    desc->activation_layout =
        chance(source, 0.5) ? BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST : BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST;
    layer->groups = desc->groups;
    layer->channels = desc->out_channels;
    layer->group_inputs = desc->in_channels / desc->groups;
    layer->group_outputs = desc->out_channels / desc->groups;
    layer->fan_in = layer->group_inputs * layer->kernel_volume;
}

void drawn_layer_weight_place(const struct drawn_layer *layer, int64_t i, int64_t *channel, int64_t *tap)
{
    if (layer->desc.weight_layout == BSQ_WEIGHT_LAYOUT_OIHW) {
        *channel = i / layer->kernel_volume;
        *tap = i % layer->kernel_volume;
    } else {
        *channel = i % layer->group_inputs;
        *tap = i / layer->group_inputs;
    }
}

/* ---- options ---- */

static void draw_options(struct source *source, struct drawn_layer *layer)
{
    static const int32_t efforts[] = {0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 5, 6, 7, 8, 9};
    bsq_options_t *options = &layer->options;

    bsq_options_init(options, sizeof *options);
    options->weight_bits = chance(source, 0.6) ? pick(source, 2, 4) : pick(source, 5, 8);
    options->weight_grid = chance(source, 0.5) ? BSQ_WEIGHT_GRID_FULL : BSQ_WEIGHT_GRID_SYMMETRIC;
    options->scale_kind = chance(source, 0.5)   ? BSQ_SCALE_KIND_PER_CHANNEL
                          : chance(source, 0.5) ? BSQ_SCALE_KIND_PER_GROUP
                                                : BSQ_SCALE_KIND_PER_TENSOR;
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP)
        options->group_size = between(source, 1, layer->fan_in);
    options->scale_format = chance(source, 0.6)   ? BSQ_SCALE_FORMAT_FLOAT32
                            : chance(source, 0.5) ? BSQ_SCALE_FORMAT_FLOAT16
                                                  : BSQ_SCALE_FORMAT_POWER_OF_TWO;
    options->effort = efforts[between(source, 0, (int64_t)(sizeof efforts / sizeof *efforts) - 1)];
    if (layer->fan_in > 40 && options->effort > 5)
        options->effort -= 4;
    options->solver = chance(source, 0.84)  ? BSQ_SOLVER_AUTO
                      : chance(source, 0.5) ? BSQ_SOLVER_ROUND
                                            : BSQ_SOLVER_PAPER;
    if (options->solver == BSQ_SOLVER_PAPER) {
        options->weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
        options->scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
        options->scale_format = BSQ_SCALE_FORMAT_FLOAT32;
        options->group_size = 0;
    }
    options->damping = chance(source, 0.35)   ? -1.0
                       : chance(source, 0.45) ? 0.0
                                              : fmin(power_of_ten(source, -10.0, 0.3), 1.0);
    options->asymmetry = chance(source, 0.5) ? 1.0 : chance(source, 0.3) ? 0.0 : uniform(source, 0.0, 1.0);
    options->bias_correction = chance(source, 0.3);
    options->select_on_held_out = chance(source, 0.2);
    options->lower_bound = chance(source, 0.15) && layer->fan_in <= 64; /* takes seconds above */
    options->threads = chance(source, 0.03) ? 2 : 1;
}

static float normal_float(double value)
{
    return (float)fmin(fmax(value, (double)FLT_MIN), 3e38);
}

/* 'size' is about what inputs are. */
static void draw_quantizer(struct source *source, struct drawn_layer *layer, double size)
{
    bsq_options_t *options = &layer->options;
    bsq_input_quantizer_t *quantizer = &layer->quantizer;
    int64_t count = layer->desc.in_channels;

    bsq_input_quantizer_init(quantizer, sizeof *quantizer);
    if (!chance(source, 0.35))
        return;
    options->input_bits = pick(source, 2, 8);
    options->input_type = pick(source, BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_TYPE_ZERO_POINT);
    options->input_clip = pick(source, BSQ_INPUT_CLIP_SQUARED_ERROR, BSQ_INPUT_CLIP_PERCENTILE);
    options->input_percentile = uniform(source, 0.9, 1.0);
    options->input_scale_kind =
        chance(source, 0.5) ? BSQ_INPUT_SCALE_KIND_PER_CHANNEL : BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    layer->source = (enum quantizer_source)between(source, QUANTIZER_OBSERVED, QUANTIZER_GIVEN_CHANNELS);
    if (layer->source == QUANTIZER_OBSERVED)
        return;

    int32_t steps = (1 << options->input_bits) - 1;

    quantizer->bits = options->input_bits;
    quantizer->type = pick(source, BSQ_INPUT_TYPE_UNSIGNED, BSQ_INPUT_TYPE_ZERO_POINT);
    quantizer->scale = (double)normal_float(size * power_of_ten(source, -0.7, 0.7) / steps);
    if (layer->source == QUANTIZER_GIVEN) {
        quantizer->zero_point = quantizer->type == BSQ_INPUT_TYPE_ZERO_POINT ? pick(source, 0, steps) : 0;
        return;
    }
    layer->channel_scales = zeroed(count, sizeof *layer->channel_scales);
    layer->channel_zero_points = zeroed(count, sizeof *layer->channel_zero_points);
    for (int64_t c = 0; c < count; c++) {
        layer->channel_scales[c] = (double)normal_float(size * power_of_ten(source, -1.0, 1.0) / steps);
        if (quantizer->type == BSQ_INPUT_TYPE_ZERO_POINT)
            layer->channel_zero_points[c] = pick(source, 0, steps);
    }
}

/* ---- inputs ---- */

/* What the inputs of all batches have in common. */
struct input_style {
    int64_t channels;
    int64_t factors; /* inputs are mixtures of so many numbers, and noise */
    double *mixture; /* (channels, factors) */
    double *scale;   /* of every channel */
    double *offset;
    double *constant; /* not 0: the channel has this value */
    int64_t *twin;    /* the channel that this one repeats, or itself */
    double noise;
    bool positive;
    bool whole;   /* whole numbers */
    double zeros; /* share of values that are zero */
    double size;
};

static struct input_style draw_input_style(struct source *source, struct drawn_layer *layer)
{
    int64_t channels = layer->desc.in_channels;
    struct input_style style = {.channels = channels, .factors = between(source, 1, 4), .size = 1.0};
    char *mode = layer->input_mode;
    size_t room = sizeof layer->input_mode;
    bool shifted = chance(source, 0.3), uneven = chance(source, 0.25);
    double spread = chance(source, 0.3) ? (layer->extreme ? 20.0 : 6.0) : 1.0;

    style.mixture = zeroed(channels * style.factors, sizeof *style.mixture);
    style.scale = zeroed(channels, sizeof *style.scale);
    style.offset = zeroed(channels, sizeof *style.offset);
    style.constant = zeroed(channels, sizeof *style.constant);
    style.twin = zeroed(channels, sizeof *style.twin);
    if (layer->extreme) {
        style.size = power_of_ten(source, -38.0, 38.0);
        note(mode, room, "extreme");
    } else if (chance(source, 0.2)) {
        style.size = power_of_ten(source, -6.0, 6.0);
    }
    style.noise = chance(source, 0.2) ? 0.0 : chance(source, 0.2) ? power_of_ten(source, -8.0, -1.0) : 0.5;
    if (style.noise < 0.5)
        note(mode, room, style.noise > 0.0 ? "nearly-low-rank" : "low-rank");
    if ((style.positive = chance(source, 0.35)))
        note(mode, room, "positive");
    if ((style.whole = chance(source, 0.1)))
        note(mode, room, "whole");
    if (chance(source, 0.15)) {
        style.zeros = uniform(source, 0.2, 0.95);
        note(mode, room, "sparse");
    }
    for (int64_t i = 0; i < channels * style.factors; i++)
        style.mixture[i] = normal(source);
    if (uneven)
        note(mode, room, "uneven");
    for (int64_t c = 0; c < channels; c++) {
        style.scale[c] = uneven ? power_of_ten(source, -spread, spread) : 1.0;
        style.offset[c] = shifted ? normal(source) * power_of_ten(source, -1.0, 2.0) : 0.0;
        style.twin[c] = c;
    }
    if (chance(source, 0.15)) {
        style.scale[between(source, 0, channels - 1)] = 0.0;
        note(mode, room, "dead-input");
    }
    if (chance(source, 0.15)) {
        int64_t most = chance(source, 0.2) ? channels : 1;

        for (int64_t c = 0; c < most; c++)
            style.constant[between(source, 0, channels - 1)] = normal(source) + 3.0;
        note(mode, room, "constant");
    }
    if (chance(source, 0.15) && channels > 1) {
        style.twin[between(source, 1, channels - 1)] = 0;
        note(mode, room, "duplicate");
    }
    return style;
}

static void input_style_free(struct input_style *style)
{
    free(style->mixture);
    free(style->scale);
    free(style->offset);
    free(style->constant);
    free(style->twin);
}

/* The values of all channels at one place; 'factors' are that many random numbers. */
static void draw_place(struct source *source, const struct input_style *style, double *factors, double *values)
{
    for (int64_t k = 0; k < style->factors; k++)
        factors[k] = normal(source);
    for (int64_t c = 0; c < style->channels; c++) {
        double value = style->noise * normal(source);

        for (int64_t k = 0; k < style->factors; k++)
            value += style->mixture[c * style->factors + k] * factors[k];
        value = value * style->scale[c] + style->offset[c] * style->scale[c];
        if (style->positive)
            value = fmax(value, 0.0);
        if (style->whole)
            value = rint(3.0 * value);
        if (style->zeros > 0.0 && chance(source, style->zeros))
            value = 0.0;
        if (style->constant[c] != 0.0)
            value = style->constant[c];
        values[c] = value;
    }
    for (int64_t c = 0; c < style->channels; c++)
        values[c] = values[style->twin[c]];
}

/* Extents at which a convolution has an output, and so few that rows do not become many. */
static void draw_extents(struct source *source, const struct drawn_layer *layer, struct drawn_batch *drawn)
{
    const bsq_layer_desc_t *desc = &layer->desc;

    drawn->positions = 1;
    for (int32_t d = 0; d < 3; d++)
        drawn->output[d] = 1;
    for (int32_t d = 0; desc->kind == BSQ_KIND_CONV && d < desc->spatial_dims; d++) {
        int64_t reach = (desc->kernel[d] - 1) * desc->dilation[d] + 1;
        int64_t least = reach - desc->pad_begin[d] - desc->pad_end[d];
        int64_t most = desc->spatial_dims == 1 ? 20 : desc->spatial_dims == 2 ? 4 : 2;

        drawn->batch.spatial[d] = (least > 1 ? least : 1) + between(source, 0, most);
        drawn->output[d] =
            (drawn->batch.spatial[d] + desc->pad_begin[d] + desc->pad_end[d] - reach) / desc->stride[d] + 1;
        drawn->positions *= drawn->output[d];
    }
}

static int64_t area(const struct drawn_layer *layer, const bsq_batch_t *batch)
{
    int64_t places = 1;

    for (int32_t d = 0; layer->desc.kind == BSQ_KIND_CONV && d < layer->desc.spatial_dims; d++)
        places *= batch->spatial[d];
    return places;
}

static void draw_inputs(struct source *source, const struct drawn_layer *layer, const struct input_style *style,
                        struct drawn_batch *drawn)
{
    int64_t places = area(layer, &drawn->batch), channels = style->channels;
    double *values = zeroed(channels + style->factors, sizeof *values);

    drawn->inputs = drawn->batch.size * places * channels;
    drawn->input = zeroed(drawn->inputs, sizeof *drawn->input);
    for (int64_t s = 0; s < drawn->batch.size; s++)
        for (int64_t place = 0; place < places; place++) {
            float *to = drawn->input + s * places * channels;

            draw_place(source, style, values + channels, values);
            for (int64_t c = 0; c < channels; c++) {
                int64_t at = layer->desc.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST ? place * channels + c
                                                                                                  : c * places + place;

                to[at] = finite_float(values[c] * style->size);
            }
        }
    free(values);
    drawn->batch.input = drawn->input;
}

/* ---- weights, bias, targets ---- */

static void draw_weights(struct source *source, struct drawn_layer *layer)
{
    int64_t channels = layer->channels, n = layer->fan_in;
    double size = layer->extreme ? power_of_ten(source, -38.0, 38.0) : 1.0;
    double spread = layer->extreme ? 20.0 : 5.0;
    bool uneven = chance(source, 0.15), heavy = chance(source, 0.2), equal = chance(source, 0.05);
    bool rows_uneven = chance(source, 0.15), whole = chance(source, 0.08);
    char *mode = layer->weight_mode;
    size_t room = sizeof layer->weight_mode;

    layer->weights = zeroed(channels * n, sizeof *layer->weights);
    for (int64_t c = 0; c < channels; c++) {
        double row = size * (rows_uneven ? power_of_ten(source, -spread, spread) : 1.0);

        for (int64_t i = 0; i < n; i++) {
            double value = equal ? 0.75 : normal(source);

            if (heavy && chance(source, 0.1))
                value *= 20.0;
            if (uneven)
                value *= power_of_ten(source, -spread, spread);
            if (whole)
                value = rint(2.0 * value);
            layer->weights[c * n + i] = finite_float(value * row);
        }
    }
    if (uneven || rows_uneven)
        note(mode, room, uneven ? "uneven" : "uneven-channels");
    if (heavy)
        note(mode, room, "heavy");
    if (equal)
        note(mode, room, "equal");
    if (whole)
        note(mode, room, "whole");
    if (chance(source, 0.12)) {
        memset(layer->weights + between(source, 0, channels - 1) * n, 0, (size_t)n * sizeof *layer->weights);
        note(mode, room, "dead-output");
    }
    if (chance(source, 0.6)) {
        double bias = layer->extreme ? power_of_ten(source, -38.0, 28.0) : power_of_ten(source, -2.0, 1.0);

        layer->bias = zeroed(channels, sizeof *layer->bias);
        for (int64_t c = 0; c < channels; c++)
            layer->bias[c] = finite_float(bias * normal(source));
    }
}

enum target_style { TARGET_OWN, TARGET_NOISY, TARGET_UNRELATED, TARGET_LARGE, TARGET_CONSTANT, TARGET_STYLES };

/* Sums over the inputs of one output place, as floats would: which targets there are is all that matters. */
static double own_output(const struct drawn_layer *layer, const struct drawn_batch *drawn, int64_t sample, int64_t m,
                         const int64_t at[3])
{
    const bsq_layer_desc_t *desc = &layer->desc;
    int64_t places = area(layer, &drawn->batch), channels = desc->in_channels;
    const float *input = drawn->input + sample * places * channels;
    double sum = 0.0;

    for (int64_t i = 0; i < layer->fan_in; i++) {
        int64_t channel, tap, place = 0, rest, index[3] = {0, 0, 0};
        bool inside = true;

        drawn_layer_weight_place(layer, i, &channel, &tap);
        channel += m / layer->group_outputs * layer->group_inputs;
        rest = tap;
        for (int32_t d = desc->kind == BSQ_KIND_CONV ? desc->spatial_dims : 0; d-- > 0; rest /= desc->kernel[d])
            index[d] = at[d] * desc->stride[d] - desc->pad_begin[d] + rest % desc->kernel[d] * desc->dilation[d];
        for (int32_t d = 0; desc->kind == BSQ_KIND_CONV && d < desc->spatial_dims; d++) {
            inside = inside && index[d] >= 0 && index[d] < drawn->batch.spatial[d];
            place = place * drawn->batch.spatial[d] + index[d];
        }
        if (inside)
            sum += (double)layer->weights[m * layer->fan_in + i] *
                   (double)
                       input[desc->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST ? place * channels + channel
                                                                                            : channel * places + place];
    }
    return sum + (layer->bias ? (double)layer->bias[m] : 0.0);
}

static void draw_targets(struct source *source, const struct drawn_layer *layer, enum target_style style, double size,
                         struct drawn_batch *drawn)
{
    int64_t channels = layer->channels, positions = drawn->positions;

    drawn->target = zeroed(drawn->batch.size * positions * channels, sizeof *drawn->target);
    for (int64_t s = 0; s < drawn->batch.size; s++)
        for (int64_t position = 0; position < positions; position++)
            for (int64_t m = 0; m < channels; m++) {
                int64_t at[3], rest = position;
                double value;

                for (int32_t d = 3; d-- > 0; rest /= drawn->output[d])
                    at[d] = rest % drawn->output[d];
                value = own_output(layer, drawn, s, m, at);
                if (style == TARGET_NOISY)
                    value *= 1.0 + 0.2 * normal(source);
                if (style == TARGET_UNRELATED)
                    value = size * normal(source);
                if (style == TARGET_LARGE)
                    value = 1e6 * (value + size * normal(source));
                if (style == TARGET_CONSTANT)
                    value = size * (double)(m + 1);
                drawn->target[s * positions * channels +
                              (layer->desc.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST
                                   ? position * channels + m
                                   : m * positions + position)] = finite_float(value);
            }
    drawn->batch.target = drawn->target;
}

static void draw_row_weights(struct source *source, bool per_row, struct drawn_batch *drawn)
{
    int64_t count = drawn->batch.size * (per_row ? drawn->positions : 1);
    double zeros = chance(source, 0.3) ? uniform(source, 0.1, 0.9) : 0.0;
    double spread = chance(source, 0.2) ? 4.0 : 0.5;

    drawn->row_weights = zeroed(count, sizeof *drawn->row_weights);
    for (int64_t i = 0; i < count; i++)
        drawn->row_weights[i] = chance(source, zeros) ? 0.0f : (float)power_of_ten(source, -spread, spread);
    drawn->batch.row_weights = drawn->row_weights;
    drawn->batch.row_weights_kind = per_row ? BSQ_ROW_WEIGHTS_KIND_PER_ROW : BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE;
}

/* ---- batches ---- */

static void draw_batches(struct source *source, struct drawn_layer *layer, const struct input_style *style)
{
    static const char *const names[TARGET_STYLES] = {"own", "noisy", "unrelated", "large", "constant"};
    int64_t training = between(source, 1, 3), held = chance(source, 0.35) ? between(source, 1, 2) : 0;
    bool target[2] = {chance(source, 0.5), chance(source, 0.5)}, weighted = chance(source, 0.3);
    enum target_style target_style = (enum target_style)between(source, 0, TARGET_STYLES - 1);
    double size = layer->extreme ? power_of_ten(source, -38.0, 38.0) : power_of_ten(source, -2.0, 2.0);
    bool few = chance(source, 0.15);

    if (chance(source, 0.8))
        target[1] = target[0];
    if (target[0] || target[1])
        note(layer->target_mode, sizeof layer->target_mode, names[target_style]);
    layer->batch_count = (int32_t)(training + held);
    for (int32_t b = 0; b < layer->batch_count; b++) {
        struct drawn_batch *drawn = &layer->batches[b];
        bool is_held = b >= training;

        bsq_batch_init(&drawn->batch, sizeof drawn->batch);
        draw_extents(source, layer, drawn);
        drawn->batch.size = few                                   ? 1
                            : layer->desc.kind == BSQ_KIND_LINEAR ? between(source, 1, 2 * layer->fan_in + 20)
                                                                  : between(source, 1, 4);
        if (few && b > 0 && !is_held)
            drawn->batch.size = 0;
        drawn->batch.held_out = is_held;
        draw_inputs(source, layer, style, drawn);
        if (target[is_held])
            draw_targets(source, layer, target_style, size, drawn);
        if (weighted && chance(source, 0.8))
            draw_row_weights(source, chance(source, 0.5), drawn);
    }
}

struct drawn_layer draw_layer(uint64_t seed, struct drawing drawing)
{
    struct drawn_layer layer = {.seed = seed, .grids = drawing.grids, .extreme = drawing.extreme};
    struct source source = {seed * UINT64_C(0x2545f4914f6cdd1d) + (drawing.extreme ? 1 : 0) + (drawing.grids ? 2 : 0)};
    struct input_style style;

    draw_shape(&source, &layer);
    draw_options(&source, &layer);
    if (layer.grids)
        draw_grid(&source, &layer);
    style = draw_input_style(&source, &layer);
    draw_quantizer(&source, &layer, style.size);
    draw_weights(&source, &layer);
    if (layer.options.keep_scales)
        draw_kept_tensor(&source, &layer);
    draw_batches(&source, &layer, &style);
    input_style_free(&style);
    return layer;
}

void drawn_layer_free(struct drawn_layer *layer)
{
    for (int32_t b = 0; b < layer->batch_count; b++) {
        free(layer->batches[b].input);
        free(layer->batches[b].target);
        free(layer->batches[b].row_weights);
    }
    free(layer->levels);
    free(layer->kept.codes);
    free(layer->kept.scales);
    free(layer->kept.zero_points);
    free(layer->kept.offsets);
    free(layer->weights);
    free(layer->bias);
    free(layer->channel_scales);
    free(layer->channel_zero_points);
}

bsq_options_t drawn_layer_options(const struct drawn_layer *layer)
{
    bsq_options_t options = layer->options, plain;

    if (!options.keep_scales)
        return options;
    bsq_options_init(&plain, sizeof plain);
    options.weight_bits = plain.weight_bits;
    options.weight_grid = plain.weight_grid;
    options.scale_kind = plain.scale_kind;
    options.scale_format = plain.scale_format;
    options.group_size = plain.group_size;
    options.levels = NULL;
    options.level_count = 0;
    options.scale_bits = options.scale_signed = 0;
    options.super_group = 0;
    options.scale_unit = 0.0f;
    options.zero_point_least = 0;
    return options;
}

void drawn_layer_print(const struct drawn_layer *layer)
{
    static const char *const sources[] = {"float", "observed", "given", "given-channels"};
    const bsq_options_t *options = &layer->options;
    const bsq_layer_desc_t *desc = &layer->desc;
    int64_t rows[2] = {0, 0}, weighted = 0;

    for (int32_t b = 0; b < layer->batch_count; b++) {
        const struct drawn_batch *drawn = &layer->batches[b];

        rows[drawn->batch.held_out] += drawn->batch.size * drawn->positions;
        weighted += drawn->row_weights != NULL;
    }
    printf("  %s%dd M=%lld n=%lld G=%lld %s ", desc->kind == BSQ_KIND_LINEAR ? "linear" : "conv",
           (int)desc->spatial_dims, (long long)layer->channels, (long long)layer->fan_in, (long long)layer->groups,
           desc->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW ? "oihw" : "ohwi");
    print_grid(options);
    printf(", %s effort %d, damping %g, mu %g%s%s%s, inputs %s",
           options->solver == BSQ_SOLVER_AUTO    ? "auto"
           : options->solver == BSQ_SOLVER_ROUND ? "round"
                                                 : "paper",
           (int)options->effort, options->damping, options->asymmetry, options->bias_correction ? ", bias" : "",
           options->select_on_held_out ? ", select" : "", options->lower_bound ? ", bound" : "",
           sources[layer->source]);
    if (options->input_bits)
        printf(" %d bits", (int)options->input_bits);
    printf(", %lld rows, %lld held%s, x %s, w %s, y %s\n", (long long)rows[0], (long long)rows[1],
           weighted ? ", weighted" : "", layer->input_mode, layer->weight_mode, layer->target_mode);
}
