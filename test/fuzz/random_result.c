/* Reads results and holds them against their grid. */
#include "random_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

bsq_status_t read_report(bsq_layer_t *layer, bsq_report_t *report)
{
    bsq_report_init(report, sizeof *report);
    return bsq_layer_get_report(layer, report);
}

static bsq_status_t read_channel(bsq_layer_t *layer, int64_t index, bsq_channel_t *channel)
{
    bsq_channel_init(channel, sizeof *channel);
    return bsq_layer_get_channel_report(layer, index, channel);
}

bool read_tensor(struct run *run, bsq_tensor_t *tensor)
{
    bsq_tensor_init(tensor, sizeof *tensor);
    if (!ok(run, "get_tensor without buffers", bsq_layer_get_tensor(run->layer, tensor)))
        return false;
    tensor->codes = zeroed(tensor->code_count, sizeof *tensor->codes);
    tensor->scales = zeroed(tensor->scale_count, sizeof *tensor->scales);
    if (tensor->zero_point_count)
        tensor->zero_points = zeroed(tensor->zero_point_count, sizeof *tensor->zero_points);
    if (tensor->offset_count)
        tensor->offsets = zeroed(tensor->offset_count, sizeof *tensor->offsets);
    if (tensor->level_count)
        tensor->levels = zeroed(tensor->level_count, sizeof *tensor->levels);
    return ok(run, "get_tensor", bsq_layer_get_tensor(run->layer, tensor));
}

void release_tensor(bsq_tensor_t *tensor)
{
    free(tensor->codes);
    free(tensor->scales);
    free(tensor->zero_points);
    free(tensor->offsets);
    free(tensor->levels);
}

/* Checks that the calls for single results give what the tensor has. */
static bool check_single_results(struct run *run)
{
    const bsq_tensor_t *tensor = &run->tensor;
    int8_t *codes = zeroed(tensor->code_count, sizeof *codes);
    float *scales = zeroed(tensor->scale_count, sizeof *scales);
    bool read = ok(run, "get_codes", bsq_layer_get_codes(run->layer, codes, (size_t)tensor->code_count)) &&
                ok(run, "get_scales", bsq_layer_get_scales(run->layer, scales, (size_t)tensor->scale_count));

    if (read && memcmp(codes, tensor->codes, (size_t)tensor->code_count) != 0)
        fail(run, "get_codes and get_tensor differ");
    if (read && memcmp(scales, tensor->scales, (size_t)tensor->scale_count * sizeof *scales) != 0)
        fail(run, "get_scales and get_tensor differ");
    free(codes);
    free(scales);
    return read;
}

/* Checks what a tensor says of itself. */
static bool check_description(struct run *run, int64_t scales)
{
    const bsq_options_t *options = &run->drawn->options;
    const bsq_tensor_t *tensor = &run->tensor;
    bool zero_points = options->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT,
         offsets = options->weight_grid == BSQ_WEIGHT_GRID_OFFSET;
    bool e4m3 = options->scale_format == BSQ_SCALE_FORMAT_E4M3;
    int64_t levels = options->weight_grid >= BSQ_WEIGHT_GRID_LEVELS ? run->range.level_count : 0;

    if (tensor->channels == run->drawn->channels && tensor->fan_in == run->drawn->fan_in &&
        tensor->group_size == run->group_size && tensor->weight_bits == options->weight_bits &&
        tensor->weight_grid == options->weight_grid && tensor->scale_kind == options->scale_kind &&
        tensor->scale_format == options->scale_format && tensor->scale_bits == options->scale_bits &&
        tensor->scale_signed == options->scale_signed && tensor->super_group == options->super_group &&
        tensor->code_count == tensor->channels * tensor->fan_in && tensor->scale_count == scales &&
        tensor->zero_point_count == (zero_points ? scales : 0) && tensor->offset_count == (offsets ? scales : 0) &&
        tensor->level_count == levels &&
        (e4m3 ? tensor->scale_unit > 0.0f && (options->scale_unit == 0.0f || tensor->scale_unit == options->scale_unit)
              : tensor->scale_unit == 0.0f))
        return true;
    fail(run, "the tensor is %lld x %lld, %d bits, grid %d, %lld scales, %lld zero points, %lld offsets, unit %g",
         (long long)tensor->channels, (long long)tensor->fan_in, (int)tensor->weight_bits, (int)tensor->weight_grid,
         (long long)tensor->scale_count, (long long)tensor->zero_point_count, (long long)tensor->offset_count,
         (double)tensor->scale_unit);
    return false;
}

bool read_result(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    int64_t channels = drawn->channels, n = drawn->fan_in, scales;
    size_t count = 0;

    run->range = grid_range(&drawn->options);
    run->group_size = drawn->options.scale_kind == BSQ_SCALE_KIND_PER_GROUP ? drawn->options.group_size : n;
    run->scales_per_channel = (n + run->group_size - 1) / run->group_size;
    scales = drawn->options.scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : channels * run->scales_per_channel;
    run->channel = zeroed(channels, sizeof *run->channel);
    run->bias = zeroed(channels, sizeof *run->bias);
    run->code_bias = zeroed(channels, sizeof *run->code_bias);
    run->dequantized = zeroed(channels * n, sizeof *run->dequantized);
    run->objective = zeroed(channels, sizeof *run->objective);
    run->tolerance = zeroed(channels, sizeof *run->tolerance);
    memset(&run->tensor, 0, sizeof run->tensor);
    if (!ok(run, "result_count", bsq_layer_result_count(run->layer, BSQ_RESULT_SCALES, &count)))
        return false;
    if (count != (size_t)scales) {
        fail(run, "%zu scales instead of %lld", count, (long long)scales);
        return false;
    }
    for (int64_t c = 0; c < channels; c++)
        if (!ok(run, "channel report", read_channel(run->layer, c, &run->channel[c])))
            return false;
    return ok(run, "report", read_report(run->layer, &run->report)) &&
           ok(run, "get_bias", bsq_layer_get_bias(run->layer, run->bias, (size_t)channels)) &&
           ok(run, "get_code_bias", bsq_layer_get_code_bias(run->layer, run->code_bias, (size_t)channels)) &&
           ok(run, "get_dequantized",
              bsq_layer_get_dequantized(run->layer, run->dequantized, (size_t)(channels * n))) &&
           read_tensor(run, &run->tensor) && check_description(run, scales) && check_single_results(run);
}

void release_result(struct run *run)
{
    free(run->channel);
    free(run->bias);
    free(run->code_bias);
    free(run->dequantized);
    free(run->objective);
    free(run->tolerance);
    release_tensor(&run->tensor);
}

/* ---- scales, zero points and offsets ---- */

/* The place of the scale of weight i of channel m. */
static int64_t scale_place(const struct run *run, int64_t m, int64_t i)
{
    if (run->drawn->options.scale_kind == BSQ_SCALE_KIND_PER_TENSOR)
        return 0;
    return m * run->scales_per_channel + i / run->group_size;
}

static void check_single_scales(struct run *run)
{
    const bsq_options_t *options = &run->drawn->options;
    const bsq_tensor_t *tensor = &run->tensor;

    for (int64_t a = 0; a < tensor->scale_count; a++) {
        if (!grid_takes_scale(options, tensor->scale_unit, tensor->scales[a]))
            fail(run, "scale %lld is %a, not of its format (unit %a)", (long long)a, (double)tensor->scales[a],
                 (double)tensor->scale_unit);
        if (tensor->offsets && !grid_takes_offset(options, tensor->offsets[a]))
            fail(run, "offset %lld is %a, not of its format", (long long)a, (double)tensor->offsets[a]);
    }
}

static void check_super_groups(struct run *run)
{
    const bsq_options_t *options = &run->drawn->options;
    const bsq_tensor_t *tensor = &run->tensor;

    for (int64_t m = 0; m < tensor->channels; m++)
        for (int64_t first = 0; first < run->scales_per_channel; first += options->super_group) {
            int64_t rest = run->scales_per_channel - first, at = m * run->scales_per_channel + first;
            int64_t count = rest < options->super_group ? rest : options->super_group;

            if (!grid_takes_super_group(options, false, tensor->scales + at, count))
                fail(run, "%lld scales from %lld on, %a and others, are not integers times one value", (long long)count,
                     (long long)at, (double)tensor->scales[at]);
            if (tensor->offsets && !grid_takes_super_group(options, true, tensor->offsets + at, count))
                fail(run, "%lld offsets from %lld on, %a and others, are not integers times one value",
                     (long long)count, (long long)at, (double)tensor->offsets[at]);
        }
}

/* Kept scales are those that were there. */
static void check_kept(struct run *run)
{
    const bsq_tensor_t *tensor = &run->tensor, *kept = &run->drawn->kept;
    size_t count = (size_t)tensor->scale_count;

    if (memcmp(tensor->scales, kept->scales, count * sizeof *kept->scales) != 0 ||
        (kept->zero_points && memcmp(tensor->zero_points, kept->zero_points, count * sizeof *kept->zero_points) != 0) ||
        (kept->offsets && memcmp(tensor->offsets, kept->offsets, count * sizeof *kept->offsets) != 0))
        fail(run, "scales that are to be kept were not");
}

void check_values(struct run *run)
{
    const struct drawn_layer *drawn = run->drawn;
    const bsq_options_t *options = &drawn->options;
    const bsq_tensor_t *tensor = &run->tensor;
    float *own = zeroed(tensor->code_count, sizeof *own);

    if (options->scale_bits)
        check_super_groups(run);
    else
        check_single_scales(run);
    if (options->keep_scales)
        check_kept(run);
    for (int64_t a = 0; a < tensor->zero_point_count; a++)
        if (tensor->zero_points[a] < options->zero_point_least || tensor->zero_points[a] > run->range.highest)
            fail(run, "zero point %lld is %d", (long long)a, (int)tensor->zero_points[a]);
    for (int64_t k = 0; k < tensor->level_count; k++)
        if (tensor->levels[k] != run->range.levels[k])
            fail(run, "level %lld is %d", (long long)k, tensor->levels[k]);
    (void)ok(run, "dequantize", bsq_tensor_dequantize(tensor, own, (size_t)tensor->code_count, NULL));
    for (int64_t at = 0; at < tensor->code_count && !run->failures; at++) {
        int64_t m = at / drawn->fan_in, i = at % drawn->fan_in, a = scale_place(run, m, i);
        int32_t code = grid_code(&run->range, tensor->codes[at]), level;
        int32_t zero_point = tensor->zero_points ? tensor->zero_points[a] : 0;
        float offset = tensor->offsets ? tensor->offsets[a] : 0.0f, value = run->dequantized[at], expected;

        if (code < run->range.lowest || code > run->range.highest) {
            fail(run, "code %lld is %d", (long long)at, (int)code);
            break;
        }
        level = grid_level(&run->range, code);
        expected = grid_weight_float(options, level, tensor->scales[a], zero_point, offset, beta_of(run, m, i));
        if (value != expected || !isfinite(value))
            fail(run, "dequantized %lld is %a, the formula gives %a", (long long)at, (double)value, (double)expected);
        expected = grid_weight_float(options, level, tensor->scales[a], zero_point, offset, 1.0);
        if (own[at] != expected && isfinite(expected))
            fail(run, "weight %lld of the tensor is %a, the formula gives %a", (long long)at, (double)own[at],
                 (double)expected);
    }
    free(own);
}

void channel_weights(const struct run *run, int64_t m, real *u, real *reach)
{
    const bsq_tensor_t *tensor = &run->tensor;

    for (int64_t i = 0; i < run->drawn->fan_in; i++) {
        int64_t a = scale_place(run, m, i);
        int32_t code = grid_code(&run->range, tensor->codes[m * run->drawn->fan_in + i]);

        u[i] = grid_weight(&run->drawn->options, grid_level(&run->range, code), tensor->scales[a],
                           tensor->zero_points ? tensor->zero_points[a] : 0,
                           tensor->offsets ? tensor->offsets[a] : 0.0f, reach ? &reach[i] : NULL);
    }
}

/* ---- once more ---- */

bool clone_run(struct run *run, struct run *other, const struct drawn_layer *drawn)
{
    bsq_options_t options = drawn_layer_options(drawn);

    *other = *run;
    other->drawn = drawn;
    other->layer = NULL;
    return ok(run, "clone", bsq_layer_clone(run->layer, &other->layer)) &&
           ok(other, "set_options", bsq_layer_set_options(other->layer, &options)) &&
           (!options.keep_scales || ok(other, "set_tensor", bsq_layer_set_tensor(other->layer, &drawn->kept)));
}
