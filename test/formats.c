/* Random tensors that formats hold, for tests of packing. The public header alone is used. */
#include "formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bsq_tensor_t test_tensor_of_options(const bsq_options_t *options, int64_t channels, int64_t fan_in)
{
    bsq_tensor_t tensor;

    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.channels = channels;
    tensor.fan_in = fan_in;
    tensor.group_size = options->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? options->group_size : 0;
    tensor.weight_bits = options->weight_bits;
    tensor.weight_grid = options->weight_grid;
    tensor.scale_kind = options->scale_kind;
    tensor.scale_format = options->scale_format;
    tensor.scale_bits = options->scale_bits;
    tensor.scale_signed = options->scale_signed;
    tensor.super_group = options->super_group;
    return tensor;
}

/* ---- buffers ---- */

static int64_t groups_of(const bsq_tensor_t *tensor)
{
    return tensor->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? (tensor->fan_in - 1) / tensor->group_size + 1 : 1;
}

static void *filled(int64_t count, size_t size, int fill)
{
    void *block = malloc((size_t)count * size);

    ck_assert(block != NULL);
    return memset(block, fill, (size_t)count * size);
}

void test_tensor_allocate(bsq_tensor_t *tensor, int fill)
{
    int64_t scales = tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 1 : tensor->channels * groups_of(tensor);

    tensor->code_count = tensor->channels * tensor->fan_in;
    tensor->codes = filled(tensor->code_count, 1, fill);
    tensor->scale_count = scales;
    tensor->scales = filled(scales, sizeof *tensor->scales, fill);
    tensor->zero_points = NULL;
    tensor->offsets = NULL;
    if (tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT) {
        tensor->zero_point_count = scales;
        tensor->zero_points = filled(scales, sizeof *tensor->zero_points, fill);
    }
    if (tensor->weight_grid == BSQ_WEIGHT_GRID_OFFSET) {
        tensor->offset_count = scales;
        tensor->offsets = filled(scales, sizeof *tensor->offsets, fill);
    }
}

/* ---- numbers ---- */

/* A positive number of 'digits' binary digits. */
static double draw_number(struct test_random *random, int digits, int lowest, int highest)
{
    double fraction = ldexp(1.0, digits - 1) + (double)test_random_below(random, INT64_C(1) << (digits - 1));
    int exponent = lowest + (int)test_random_below(random, highest - lowest + 1);

    return ldexp(fraction, exponent - digits + 1);
}

static double draw_e4m3(struct test_random *random)
{
    int bits = 1 + (int)test_random_below(random, 126), exponent = bits >> 3;

    return exponent ? ldexp(8 + (bits & 7), exponent - 10) : ldexp(bits, -9);
}

/* A positive scale that stands alone; of float16 also subnormal ones. */
static double draw_scale(const bsq_tensor_t *tensor, struct test_random *random)
{
    switch (tensor->scale_format) {
    case BSQ_SCALE_FORMAT_FLOAT16:
        if (test_random_below(random, 8) == 0)
            return ldexp(1.0 + (double)test_random_below(random, 1023), -24);
        return draw_number(random, 11, -14, 15);
    case BSQ_SCALE_FORMAT_BFLOAT16: return draw_number(random, 8, -30, 30);
    case BSQ_SCALE_FORMAT_POWER_OF_TWO:
    case BSQ_SCALE_FORMAT_E8M0: return draw_number(random, 1, -30, 30);
    case BSQ_SCALE_FORMAT_E4M3: return (double)(tensor->scale_unit * (float)draw_e4m3(random));
    default: return draw_number(random, 24, -30, 30);
    }
}

static float draw_sign(struct test_random *random, bool is_signed)
{
    return is_signed && test_random_below(random, 2) ? -1.0f : 1.0f;
}

/* Scales of a super-group are integers times one number, and so are offsets, which are not above 0. */
static void draw_super_group(bsq_tensor_t *tensor, int64_t first, int64_t count, struct test_random *random)
{
    int lowest = tensor->scale_signed ? -(1 << (tensor->scale_bits - 1)) : 1;
    int highest = tensor->scale_signed ? (1 << (tensor->scale_bits - 1)) - 1 : (1 << tensor->scale_bits) - 1;
    float scale = (float)draw_scale(tensor, random), offset = (float)draw_scale(tensor, random);

    for (int64_t i = first; i < first + count; i++) {
        int integer = 0;

        while (integer == 0)
            integer = lowest + (int)test_random_below(random, highest - lowest + 1);
        tensor->scales[i] = scale * (float)integer;
        if (tensor->offsets)
            tensor->offsets[i] = -offset * (float)test_random_below(random, 1 << tensor->scale_bits);
    }
}

static void draw_scales(bsq_tensor_t *tensor, struct test_random *random)
{
    int64_t groups = groups_of(tensor);

    if (tensor->scale_format == BSQ_SCALE_FORMAT_E4M3)
        tensor->scale_unit = (float)draw_number(random, 24, -20, 0);
    for (int64_t o = 0; tensor->scale_bits && o < tensor->channels; o++)
        for (int64_t g = 0; g < groups; g += tensor->super_group)
            draw_super_group(tensor, o * groups + g,
                             groups - g < tensor->super_group ? groups - g : tensor->super_group, random);
    for (int64_t i = 0; !tensor->scale_bits && i < tensor->scale_count; i++) {
        tensor->scales[i] = (float)draw_scale(tensor, random) * draw_sign(random, tensor->scale_signed);
        if (tensor->offsets)
            tensor->offsets[i] =
                (float)draw_scale(tensor, random) * draw_sign(random, true) * (float)(test_random_below(random, 8) > 0);
    }
}

/* ---- codes ---- */

static void code_bounds(const bsq_tensor_t *tensor, int *lowest, int *highest)
{
    int half = 1 << (tensor->weight_bits - 1);

    switch (tensor->weight_grid) {
    case BSQ_WEIGHT_GRID_SYMMETRIC: *lowest = 1 - half, *highest = half - 1; break;
    case BSQ_WEIGHT_GRID_FULL: *lowest = -half, *highest = half - 1; break;
    case BSQ_WEIGHT_GRID_E2M1: *lowest = 0, *highest = 14; break;
    default: *lowest = 0, *highest = 2 * half - 1; break;
    }
}

void test_tensor_draw(bsq_tensor_t *tensor, int32_t least_zero, struct test_random *random)
{
    int lowest, highest;

    code_bounds(tensor, &lowest, &highest);
    for (int64_t i = 0; i < tensor->code_count; i++)
        tensor->codes[i] = (int8_t)(lowest + (int)test_random_below(random, highest - lowest + 1));
    for (int64_t i = 0; tensor->zero_points && i < tensor->zero_point_count; i++)
        tensor->zero_points[i] =
            least_zero + (int32_t)test_random_below(random, (1 << tensor->weight_bits) - least_zero);
    draw_scales(tensor, random);
}

/* ---- all that a format holds ---- */

struct visitor {
    int32_t format;
    test_visit_fn *visit;
    void *opaque;
    int count;
};

static void visit_extents(struct visitor *visitor, const bsq_options_t *options)
{
    static const int64_t extents[][2] = {{1, 1}, {3, 5}, {5, 48}, {8, 96}, {3, 256}, {32, 160}, {2, 512}};

    for (size_t e = 0; e < sizeof extents / sizeof *extents; e++) {
        bsq_tensor_t tensor = test_tensor_of_options(options, extents[e][0], extents[e][1]);
        size_t size;

        if (bsq_tensor_packed_size(&tensor, visitor->format, &size, NULL) == BSQ_OK) {
            visitor->visit(&tensor, visitor->format, visitor->opaque);
            visitor->count++;
        }
    }
}

/* Grids other than the one that is solved on. */
static void visit_grids(struct visitor *visitor, const bsq_options_t *options)
{
    for (int32_t grid = BSQ_WEIGHT_GRID_SYMMETRIC; grid <= BSQ_WEIGHT_GRID_E2M1; grid++) {
        bsq_options_t own = *options;

        own.weight_grid = grid;
        if (grid == BSQ_WEIGHT_GRID_SYMMETRIC && !own.scale_bits)
            own.scale_signed = 0;
        visit_extents(visitor, &own);
    }
}

/* Those that only one format has. */
static bool is_special(int32_t scale_format)
{
    return scale_format == BSQ_SCALE_FORMAT_E8M0 || scale_format == BSQ_SCALE_FORMAT_E4M3;
}

int test_formats_visit(int32_t format, test_visit_fn *visit, void *opaque)
{
    static const int64_t groups[] = {16, 32, 48, 64, 128, 0};
    static const int32_t scale_formats[] = {BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_FLOAT16,
                                            BSQ_SCALE_FORMAT_BFLOAT16};
    struct visitor visitor = {format, visit, opaque, 0};

    for (int32_t bits = 2; bits <= 8; bits++)
        for (int g = 0; g < 6; g++)
            for (int s = 0; s < 3; s++) {
                bsq_options_t options;

                bsq_options_init(&options, sizeof options);
                options.weight_bits = bits;
                options.group_size = groups[g];
                options.scale_format = scale_formats[s];
                if (bsq_options_for_format(format, &options, NULL) != BSQ_OK || options.weight_bits != bits ||
                    (groups[g] && options.group_size != groups[g]) ||
                    (options.scale_format != scale_formats[s] && !(s == 0 && is_special(options.scale_format))))
                    continue;
                visit_grids(&visitor, &options);
                if (groups[g])
                    continue;
                options.scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
                visit_grids(&visitor, &options);
                options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
                visit_grids(&visitor, &options);
            }
    return visitor.count;
}

unsigned char *test_tensor_packed(const bsq_tensor_t *tensor, int32_t format, size_t *size)
{
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    unsigned char *packed;

    ck_assert_msg(bsq_tensor_packed_size(tensor, format, size, &error) == BSQ_OK, "%s", text);
    packed = malloc(*size);
    ck_assert(packed != NULL);
    memset(packed, 0xa5, *size);
    ck_assert_msg(bsq_tensor_pack(tensor, format, packed, *size, &error) == BSQ_OK, "%s", text);
    return packed;
}

float *test_tensor_weights(const bsq_tensor_t *tensor)
{
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    float *weights = malloc((size_t)tensor->code_count * sizeof *weights);

    ck_assert(weights != NULL);
    ck_assert_msg(bsq_tensor_dequantize(tensor, weights, (size_t)tensor->code_count, &error) == BSQ_OK, "%s", text);
    return weights;
}
