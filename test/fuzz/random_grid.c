/* Grids in the tests' own arithmetic, written from the text of include/bsq.h alone. */
#include "random_grid.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- levels ---- */

static void add_level(struct code_range *range, int32_t level)
{
    range->levels[range->level_count++] = level;
}

/* 0, +-1, +-2, +-4 .. */
static void add_powers(struct code_range *range, int32_t bits)
{
    int32_t most = (1 << (bits - 1)) - 2;

    for (int32_t k = most; k >= 0; k--)
        add_level(range, -(1 << k));
    add_level(range, 0);
    for (int32_t k = 0; k <= most; k++)
        add_level(range, 1 << k);
}

/* Twice the values of a float of 2 exponent and 1 fraction bits: 0, 0.5, then (1 + f / 2) 2^e. */
static void add_e2m1(struct code_range *range)
{
    int32_t values[8] = {0, 1};

    for (int32_t k = 2; k < 8; k++)
        values[k] = (2 + k % 2) << (k / 2 - 1);
    for (int32_t k = 7; k > 0; k--)
        add_level(range, -values[k]);
    for (int32_t k = 0; k < 8; k++)
        add_level(range, values[k]);
}

/* NF4 as QLoRA (arXiv:2305.14314) publishes it. */
static void add_nf4(struct code_range *range)
{
    static const double values[16] = {-1.0,
                                      -0.6961928009986877,
                                      -0.5250730514526367,
                                      -0.39491748809814453,
                                      -0.28444138169288635,
                                      -0.18477343022823334,
                                      -0.09105003625154495,
                                      0.0,
                                      0.07958029955625534,
                                      0.16093020141124725,
                                      0.24611230194568634,
                                      0.33791524171829224,
                                      0.44070982933044434,
                                      0.5626170039176941,
                                      0.7229568362236023,
                                      1.0};

    for (int k = 0; k < 16; k++)
        add_level(range, (int32_t)rint(127.0 * values[k]));
}

static void add_iq4_nl(struct code_range *range)
{
    static const int32_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    for (int k = 0; k < 16; k++)
        add_level(range, levels[k]);
}

static void add_levels(struct code_range *range, const bsq_options_t *options)
{
    switch (options->weight_grid) {
    case BSQ_WEIGHT_GRID_POWERS_OF_TWO: add_powers(range, options->weight_bits); break;
    case BSQ_WEIGHT_GRID_NF4: add_nf4(range); break;
    case BSQ_WEIGHT_GRID_IQ4_NL: add_iq4_nl(range); break;
    case BSQ_WEIGHT_GRID_E2M1: add_e2m1(range); break;
    case BSQ_WEIGHT_GRID_LEVELS:
        for (int32_t k = 0; k < options->level_count; k++)
            add_level(range, options->levels[k]);
        break;
    default: add_level(range, -1); add_level(range, 1); /* 2 c - 1 */
    }
}

struct code_range grid_range(const bsq_options_t *options)
{
    struct code_range range = {.from_zero = true};
    int32_t half = 1 << (options->weight_bits - 1);
    bool one_bit = options->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC && options->weight_bits == 1;

    if (options->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT || options->weight_grid == BSQ_WEIGHT_GRID_OFFSET) {
        range.highest = 2 * half - 1;
    } else if (options->weight_grid >= BSQ_WEIGHT_GRID_LEVELS || one_bit) {
        range.table = true;
        add_levels(&range, options);
        range.highest = range.level_count - 1;
    } else {
        range.from_zero = false;
        range.highest = half - 1;
        range.lowest = options->weight_grid == BSQ_WEIGHT_GRID_FULL ? -half : 1 - half;
    }
    return range;
}

int32_t grid_code(const struct code_range *range, int8_t byte)
{
    return range->from_zero && byte < 0 ? byte + 256 : byte;
}

int32_t grid_level(const struct code_range *range, int32_t code)
{
    return range->table ? range->levels[code] : code;
}

/* ---- weights ---- */

real grid_weight(const bsq_options_t *options, int32_t level, float scale, int32_t zero_point, float offset,
                 real *reach)
{
    real product = (real)scale * (level - zero_point), added = (real)offset;

    if (options->weight_grid != BSQ_WEIGHT_GRID_OFFSET)
        added = 0;
    if (reach)
        *reach = fabsl(product) + fabsl(added);
    return product + added;
}

float grid_weight_float(const bsq_options_t *options, int32_t level, float scale, int32_t zero_point, float offset,
                        double beta)
{
    if (options->weight_grid == BSQ_WEIGHT_GRID_OFFSET) {
        float product = scale * (float)level;

        return (float)(((double)product + (double)offset) / beta);
    }
    return (float)((double)scale * (level - zero_point) / beta);
}

/* ---- values ---- */

/* What a format's numbers are: (1 + fraction) 2^exponent, 'bits' of fraction, from 2^least on; 'most' is the largest. */
struct float_format {
    int bits, least;
    double most;
};

static struct float_format format_of(int32_t scale_format)
{
    switch (scale_format) {
    case BSQ_SCALE_FORMAT_FLOAT16: return (struct float_format){10, -14, 65504.0};
    case BSQ_SCALE_FORMAT_BFLOAT16: return (struct float_format){7, -126, 0x1.fep127};
    case BSQ_SCALE_FORMAT_POWER_OF_TWO:
    case BSQ_SCALE_FORMAT_E8M0: return (struct float_format){0, -126, 0x1p127};
    default: return (struct float_format){23, -126, (double)FLT_MAX};
    }
}

/* Whether x > 0 is a multiple of the last bit that its format has at its size; 'small' lets values below the normal ones
 * be some too. */
static bool is_value(int32_t scale_format, double x, bool small)
{
    struct float_format format = format_of(scale_format);
    int exponent;

    if (!(x > 0.0 && x <= format.most) || (!small && x < ldexp(1.0, format.least)))
        return false;
    (void)frexp(x, &exponent);
    exponent = exponent - 1 < format.least ? format.least : exponent - 1;
    x = ldexp(x, format.bits - exponent);
    return rint(x) == x;
}

/* Whether x is 'unit' times a positive value of the 8-bit float, as float32. */
static bool is_e4m3(float unit, float x)
{
    for (int exponent = -6; exponent <= 8; exponent++)
        for (int fraction = exponent > -6 ? 8 : 1; fraction < (exponent < 8 ? 16 : 15); fraction++)
            if (x == (float)((double)unit * ldexp(fraction, exponent - 3)))
                return true;
    return false;
}

bool grid_takes_scale(const bsq_options_t *options, float unit, float scale)
{
    float size = options->scale_signed ? fabsf(scale) : scale;

    if (!(size >= FLT_MIN && size <= FLT_MAX))
        return false;
    if (options->scale_format == BSQ_SCALE_FORMAT_E4M3)
        return is_e4m3(unit, size);
    return is_value(options->scale_format, (double)size, false);
}

bool grid_takes_offset(const bsq_options_t *options, float offset)
{
    return offset == 0.0f || is_value(options->scale_format, fabs((double)offset), true);
}

bool grid_takes_super_group(const bsq_options_t *options, bool offsets, const float *values, int64_t count)
{
    int32_t all = 1 << options->scale_bits, lowest = 1, highest = all - 1;
    double largest = 0.0;

    if (offsets) {
        lowest = 1 - all;
        highest = 0;
    } else if (options->scale_signed) {
        lowest = -all / 2;
        highest = all / 2 - 1;
    }
    for (int64_t i = 0; i < count; i++)
        if (fabs((double)values[i]) > fabs(largest))
            largest = (double)values[i];
    if (largest == 0.0)
        return offsets;
    for (int32_t k = lowest; k <= highest; k++) {
        double shared = k ? largest / k : 0.0;
        bool all_divide = shared * k == largest && shared != 0.0 &&
                          is_value(options->scale_format, fabs(shared), true) &&
                          (shared > 0.0 || options->scale_signed);

        for (int64_t i = 0; all_divide && i < count; i++) {
            double integer = rint((double)values[i] / shared);

            all_divide = integer * shared == (double)values[i] && integer >= lowest && integer <= highest &&
                         (offsets || integer != 0.0);
        }
        if (all_divide)
            return true;
    }
    return false;
}

/* ---- drawing ---- */

static bool has_sign(int32_t format)
{
    return format == BSQ_SCALE_FORMAT_FLOAT32 || format == BSQ_SCALE_FORMAT_FLOAT16 ||
           format == BSQ_SCALE_FORMAT_BFLOAT16;
}

static int32_t draw_weight_grid(struct source *source)
{
    static const int32_t grids[] = {
        BSQ_WEIGHT_GRID_SYMMETRIC,  BSQ_WEIGHT_GRID_SYMMETRIC,     BSQ_WEIGHT_GRID_FULL,       BSQ_WEIGHT_GRID_FULL,
        BSQ_WEIGHT_GRID_ZERO_POINT, BSQ_WEIGHT_GRID_ZERO_POINT,    BSQ_WEIGHT_GRID_ZERO_POINT, BSQ_WEIGHT_GRID_OFFSET,
        BSQ_WEIGHT_GRID_OFFSET,     BSQ_WEIGHT_GRID_OFFSET,        BSQ_WEIGHT_GRID_LEVELS,     BSQ_WEIGHT_GRID_LEVELS,
        BSQ_WEIGHT_GRID_LEVELS,     BSQ_WEIGHT_GRID_POWERS_OF_TWO, BSQ_WEIGHT_GRID_NF4,        BSQ_WEIGHT_GRID_IQ4_NL,
        BSQ_WEIGHT_GRID_E2M1};

    return grids[between(source, 0, (int64_t)(sizeof grids / sizeof *grids) - 1)];
}

/* Ascending levels, anywhere in int8. */
static void draw_levels(struct source *source, struct drawn_layer *layer)
{
    bsq_options_t *options = &layer->options;
    int32_t most = 1 << options->weight_bits, count = chance(source, 0.3) ? most : pick(source, 2, most), left = count;
    int32_t low = -128, high = 127;

    if (chance(source, 0.4)) { /* close together, on one side of 0 or on both */
        low = pick(source, -128, 128 - count);
        high = low + count - 1 + pick(source, 0, 127 - (low + count - 1));
    }
    layer->levels = zeroed(count, sizeof *layer->levels);
    for (int32_t level = low; level <= high && left; level++)
        if (between(source, 1, high - level + 1) <= left)
            layer->levels[count - left--] = (int8_t)level;
    options->levels = layer->levels;
    options->level_count = count;
}

static void draw_bits(struct source *source, bsq_options_t *options)
{
    switch (options->weight_grid) {
    case BSQ_WEIGHT_GRID_SYMMETRIC:
    case BSQ_WEIGHT_GRID_ZERO_POINT:
    case BSQ_WEIGHT_GRID_OFFSET:
        options->weight_bits = chance(source, 0.6) ? pick(source, 1, 4) : pick(source, 5, 8);
        break;
    case BSQ_WEIGHT_GRID_FULL:
    case BSQ_WEIGHT_GRID_LEVELS:
        options->weight_bits = chance(source, 0.6) ? pick(source, 2, 4) : pick(source, 5, 8);
        break;
    case BSQ_WEIGHT_GRID_POWERS_OF_TWO: options->weight_bits = pick(source, 2, 4); break;
    default: options->weight_bits = 4;
    }
}

static void draw_scales(struct source *source, struct drawn_layer *layer)
{
    bsq_options_t *options = &layer->options;
    bool plain = options->weight_grid <= BSQ_WEIGHT_GRID_FULL, offset = options->weight_grid == BSQ_WEIGHT_GRID_OFFSET;

    options->scale_kind = chance(source, 0.6)            ? BSQ_SCALE_KIND_PER_GROUP
                          : plain && chance(source, 0.2) ? BSQ_SCALE_KIND_PER_TENSOR
                                                         : BSQ_SCALE_KIND_PER_CHANNEL;
    options->group_size = options->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? between(source, 1, layer->fan_in) : 0;
    options->scale_format = pick(source, BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_E4M3);
    if (!has_sign(options->scale_format) && (offset || chance(source, 0.3)))
        options->scale_format = chance(source, 0.5) ? BSQ_SCALE_FORMAT_FLOAT32 : BSQ_SCALE_FORMAT_FLOAT16;
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP && has_sign(options->scale_format) && chance(source, 0.4)) {
        if (chance(source, 0.7))
            options->group_size = between(source, 1, (layer->fan_in + 3) / 4);
        options->scale_bits = 2 * pick(source, 2, 4);
        options->super_group = between(source, 1, (layer->fan_in - 1) / options->group_size + 3);
    }
    if (has_sign(options->scale_format) && (options->scale_bits || options->weight_grid == BSQ_WEIGHT_GRID_FULL ||
                                            options->weight_grid >= BSQ_WEIGHT_GRID_LEVELS))
        options->scale_signed = chance(source, 0.4);
}

void draw_grid(struct source *source, struct drawn_layer *layer)
{
    bsq_options_t *options = &layer->options;

    if (options->solver == BSQ_SOLVER_PAPER)
        options->solver = BSQ_SOLVER_AUTO;
    options->weight_grid = draw_weight_grid(source);
    draw_bits(source, options);
    draw_scales(source, layer);
    if (options->weight_grid == BSQ_WEIGHT_GRID_LEVELS)
        draw_levels(source, layer);
    options->zero_point_least = options->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT && chance(source, 0.3);
    options->keep_scales = chance(source, 0.25);
    if (options->scale_format == BSQ_SCALE_FORMAT_E4M3 && (options->keep_scales || chance(source, 0.4)))
        options->scale_unit = (float)fmin(
            fmax(layer->extreme ? power_of_ten(source, -38.0, 38.0) : power_of_ten(source, -6.0, 2.0), (double)FLT_MIN),
            3e38);
}

/* ---- a tensor ---- */

/* The nearest value of a format to x > 0, with so many bits of fraction at most, but for the smallest ones: these are of
 * the format when 'small' says so. */
static double value_near(int32_t scale_format, double x, int bits, bool small)
{
    struct float_format format = format_of(scale_format);
    int exponent;

    bits = bits < format.bits ? bits : format.bits;
    x = fmin(fmax(x, ldexp(1.0, format.least - (small ? format.bits : 0))), format.most);
    (void)frexp(x, &exponent);
    exponent = exponent - 1 < format.least ? format.least : exponent - 1;
    x = ldexp(fmax(floor(ldexp(x, bits - exponent)), 1.0), exponent - bits);
    return fmax(x, ldexp(1.0, format.least - (small ? format.bits : 0)));
}

/* The same of E4M3, a normal float32. */
static float e4m3_near(float unit, double x)
{
    int exponent;
    double value = fmin(fmax(x, 2.0 * (double)FLT_MIN), 3e38) / (double)unit;

    value = fmin(fmax(value, 0x1p-9), 448.0);

    (void)frexp(value, &exponent);
    exponent = exponent - 1 < -6 ? -6 : exponent - 1;
    value = ldexp(fmax(floor(ldexp(value, 3 - exponent)), 1.0), exponent - 3);
    return (float)((double)unit * value);
}

/* Numbers of one super group: integers times one value, their products normal float32 (or 0). */
static void draw_super_group(struct source *source, const bsq_options_t *options, bool offsets, double size,
                             int64_t count, float *values)
{
    int32_t all = 1 << options->scale_bits;
    double shared = value_near(options->scale_format, fmin(size / all, 0x1p118), 23 - options->scale_bits, true);

    while (shared < (double)FLT_MIN)
        shared *= 2.0;
    for (int64_t i = 0; i < count; i++) {
        int32_t integer = offsets                 ? -pick(source, 0, all - 1)
                          : options->scale_signed ? pick(source, -all / 2, all / 2 - 1)
                                                  : pick(source, 1, all - 1);

        if (!integer && !offsets)
            integer = 1;
        values[i] = (float)(shared * integer);
    }
}

/* Numbers that stand alone. */
static void draw_single(struct source *source, const bsq_options_t *options, bool offsets, double size, int64_t count,
                        float *values)
{
    for (int64_t i = 0; i < count; i++) {
        double x = size * power_of_ten(source, -0.7, 0.5);

        values[i] = options->scale_format == BSQ_SCALE_FORMAT_E4M3
                        ? e4m3_near(options->scale_unit, x)
                        : (float)value_near(options->scale_format, x, 23, false);
        if (offsets ? chance(source, 0.6) : options->scale_signed && chance(source, 0.5))
            values[i] = -values[i];
        if (offsets && chance(source, 0.1))
            values[i] = 0.0f;
    }
}

static void draw_values(struct source *source, const struct drawn_layer *layer, bool offsets, double size,
                        int64_t scales, float *values)
{
    const bsq_options_t *options = &layer->options;
    int64_t super = options->scale_bits ? options->super_group : scales;

    for (int64_t first = 0; first < scales; first += super) {
        int64_t count = scales - first < super ? scales - first : super;
        double own = layer->extreme && chance(source, 0.1) ? power_of_ten(source, -38.0, 38.0) : size;

        if (options->scale_bits)
            draw_super_group(source, options, offsets, own, count, values + first);
        else
            draw_single(source, options, offsets, own, count, values + first);
    }
}

void draw_kept_tensor(struct source *source, struct drawn_layer *layer)
{
    const bsq_options_t *options = &layer->options;
    bool tensor_wide = options->scale_kind == BSQ_SCALE_KIND_PER_TENSOR;
    int64_t group = options->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? options->group_size : layer->fan_in;
    int64_t per_channel = (layer->fan_in - 1) / group + 1, rows = tensor_wide ? 1 : layer->channels;
    struct code_range range = grid_range(options);
    bsq_tensor_t *kept = &layer->kept;
    double most = 0.0, reach = 0.0;

    for (int64_t i = 0; i < layer->channels * layer->fan_in; i++)
        most = fmax(most, fabs((double)layer->weights[i]));
    for (int32_t code = range.lowest; code <= range.highest; code++)
        reach = fmax(reach, fabs((double)grid_level(&range, code)));
    bsq_tensor_init(kept, sizeof *kept);
    kept->channels = layer->channels;
    kept->fan_in = layer->fan_in;
    kept->group_size = group;
    kept->weight_bits = options->weight_bits;
    kept->weight_grid = options->weight_grid;
    kept->scale_kind = options->scale_kind;
    kept->scale_format = options->scale_format;
    kept->scale_unit = options->scale_unit;
    kept->scale_bits = options->scale_bits;
    kept->scale_signed = options->scale_signed;
    kept->super_group = options->super_group;
    kept->code_count = layer->channels * layer->fan_in;
    kept->scale_count = rows * per_channel;
    kept->codes = zeroed(kept->code_count, sizeof *kept->codes);
    kept->scales = zeroed(kept->scale_count, sizeof *kept->scales);
    for (int64_t i = 0; i < kept->code_count; i++)
        kept->codes[i] = (int8_t)pick(source, range.lowest, range.highest);
    for (int64_t m = 0; m < rows; m++)
        draw_values(source, layer, false, most / fmax(reach, 1.0), per_channel, kept->scales + m * per_channel);
    if (options->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT) {
        kept->zero_point_count = kept->scale_count;
        kept->zero_points = zeroed(kept->scale_count, sizeof *kept->zero_points);
        for (int64_t i = 0; i < kept->scale_count; i++)
            kept->zero_points[i] = pick(source, options->zero_point_least, range.highest);
    }
    if (options->weight_grid == BSQ_WEIGHT_GRID_OFFSET) {
        kept->offset_count = kept->scale_count;
        kept->offsets = zeroed(kept->scale_count, sizeof *kept->offsets);
        for (int64_t m = 0; m < rows; m++)
            draw_values(source, layer, true, most, per_channel, kept->offsets + m * per_channel);
    }
    if (options->weight_grid == BSQ_WEIGHT_GRID_LEVELS) {
        kept->levels = layer->levels;
        kept->level_count = options->level_count;
    }
}

/* ---- for people ---- */

void print_grid(const bsq_options_t *options)
{
    static const char *const grids[] = {"symmetric",     "full", "zero-point", "offset", "levels",
                                        "powers-of-two", "nf4",  "iq4-nl",     "e2m1"};
    static const char *const formats[] = {"float32", "float16", "power2", "bfloat16", "e8m0", "e4m3"};

    printf("%d bits %s, scale per %s", (int)options->weight_bits,
           grids[options->weight_grid - BSQ_WEIGHT_GRID_SYMMETRIC],
           options->scale_kind == BSQ_SCALE_KIND_PER_TENSOR    ? "tensor"
           : options->scale_kind == BSQ_SCALE_KIND_PER_CHANNEL ? "channel"
                                                               : "group");
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP)
        printf(" of %lld", (long long)options->group_size);
    printf(" %s", formats[options->scale_format - BSQ_SCALE_FORMAT_FLOAT32]);
    if (options->scale_bits)
        printf(" x %d bits of %lld", (int)options->scale_bits, (long long)options->super_group);
    if (options->scale_unit > 0.0f)
        printf(" x %g", (double)options->scale_unit);
    printf("%s%s", options->scale_signed ? ", signed" : "", options->zero_point_least ? ", zero points from 1" : "");
    if (options->level_count) {
        printf(", %d levels", (int)options->level_count);
        for (int32_t k = 0; k < options->level_count && k < 20; k++)
            printf(" %d", options->levels[k]);
    }
    if (options->keep_scales)
        printf(", kept scales");
}
