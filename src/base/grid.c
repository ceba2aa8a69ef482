/* Grids: the codes and levels that weights may have, the values that scales and offsets may have. */
#include "base/grid.h"

#include "base/small_float.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

/* ---- tables ---------------------------------------------------------------------------------------------- */

static const int8_t one_bit[] = {-1, 1};
static const int8_t powers_2[] = {-1, 0, 1};
static const int8_t powers_3[] = {-4, -2, -1, 0, 1, 2, 4};
static const int8_t powers_4[] = {-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64};

/* Quantiles of a normal distribution with 0 among them (QLoRA, arXiv:2305.14314, appendix E), times 127 and rounded. */
static const int8_t nf4[] = {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127};

/* The levels of llama.cpp's IQ4_NL and IQ4_XS. */
static const int8_t iq4_nl[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* Twice the values of the 4-bit float of 2 exponent and 1 fraction bits (OCP Microscaling Formats 1.0, section 5.3.3).
 */
static const int8_t e2m1[] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};

#define TABLE(levels) ((int32_t)sizeof(levels)), levels

static void use_table(struct bsq_grid *out, int32_t count, const int8_t *levels)
{
    *out = (struct bsq_grid){0, count - 1, true, count, levels};
}

static void use_powers(struct bsq_grid *out, int32_t bits)
{
    switch (bits) {
    case 2: use_table(out, TABLE(powers_2)); break;
    case 3: use_table(out, TABLE(powers_3)); break;
    default: use_table(out, TABLE(powers_4)); break;
    }
}

void bsq_grid_describe(int32_t bits, int32_t grid, const int8_t *levels, int64_t level_count, struct bsq_grid *out)
{
    int32_t half = bits > 1 ? 1 << (bits - 1) : 1;

    switch (grid) {
    case BSQ_WEIGHT_GRID_ZERO_POINT:
    case BSQ_WEIGHT_GRID_OFFSET: *out = (struct bsq_grid){0, (1 << bits) - 1, true, 0, NULL}; break;
    case BSQ_WEIGHT_GRID_LEVELS: use_table(out, (int32_t)level_count, levels); break;
    case BSQ_WEIGHT_GRID_POWERS_OF_TWO: use_powers(out, bits); break;
    case BSQ_WEIGHT_GRID_NF4: use_table(out, TABLE(nf4)); break;
    case BSQ_WEIGHT_GRID_IQ4_NL: use_table(out, TABLE(iq4_nl)); break;
    case BSQ_WEIGHT_GRID_E2M1: use_table(out, TABLE(e2m1)); break;
    case BSQ_WEIGHT_GRID_FULL: *out = (struct bsq_grid){-half, half - 1, false, 0, NULL}; break;
    default:
        if (bits == 1)
            use_table(out, TABLE(one_bit));
        else
            *out = (struct bsq_grid){1 - half, half - 1, false, 0, NULL};
        break;
    }
}

bool bsq_grid_is_table(int32_t grid)
{
    return grid >= BSQ_WEIGHT_GRID_LEVELS;
}

void bsq_code_range(int32_t bits, int32_t grid, int32_t *lowest, int32_t *highest)
{
    struct bsq_grid described;

    bsq_grid_describe(bits, grid, NULL, 0, &described);
    *lowest = described.lowest;
    *highest = described.highest;
}

/* ---- bounds ---------------------------------------------------------------------------------------------- */

static bsq_status_t check_bits(const struct bsq_grid_choice *choice, struct bsq_message *message)
{
    int32_t least = 2, most = 8;

    switch (choice->grid) {
    case BSQ_WEIGHT_GRID_SYMMETRIC:
    case BSQ_WEIGHT_GRID_ZERO_POINT:
    case BSQ_WEIGHT_GRID_OFFSET: least = 1; break;
    case BSQ_WEIGHT_GRID_POWERS_OF_TWO: most = 4; break;
    case BSQ_WEIGHT_GRID_NF4:
    case BSQ_WEIGHT_GRID_IQ4_NL:
    case BSQ_WEIGHT_GRID_E2M1: least = most = 4; break;
    default: break;
    }
    if (choice->bits >= least && choice->bits <= most)
        return BSQ_OK;
    if (least == most)
        return bsq_fail(message, BSQ_E_RANGE, "weight_bits is %d, must be %d on this grid", (int)choice->bits,
                        (int)least);
    return bsq_fail(message, BSQ_E_RANGE, "weight_bits is %d, must be %d..%d on this grid", (int)choice->bits,
                    (int)least, (int)most);
}

static bool has_sign(int32_t scale_format)
{
    return scale_format == BSQ_SCALE_FORMAT_FLOAT32 || scale_format == BSQ_SCALE_FORMAT_FLOAT16 ||
           scale_format == BSQ_SCALE_FORMAT_BFLOAT16;
}

static bsq_status_t check_two_levels(const struct bsq_grid_choice *choice, struct bsq_message *message)
{
    if (choice->scale_bits == 0) {
        if (choice->super_group == 0)
            return BSQ_OK;
        return bsq_fail(message, BSQ_E_RANGE, "super_group is %" PRId64 ", must be 0 without scale_bits",
                        choice->super_group);
    }
    if (choice->scale_bits != 4 && choice->scale_bits != 6 && choice->scale_bits != 8)
        return bsq_fail(message, BSQ_E_RANGE, "scale_bits is %d, must be 0, 4, 6 or 8", (int)choice->scale_bits);
    if (choice->super_group < 1)
        return bsq_fail(message, BSQ_E_RANGE, "super_group is %" PRId64 ", must be at least 1 with scale_bits",
                        choice->super_group);
    if (choice->scale_kind != BSQ_SCALE_KIND_PER_GROUP)
        return bsq_fail(message, BSQ_E_ARGUMENT, "scale_bits needs scale_kind BSQ_SCALE_KIND_PER_GROUP");
    if (!has_sign(choice->scale_format))
        return bsq_fail(message, BSQ_E_ARGUMENT, "scale_bits needs scale_format float32, float16 or bfloat16");
    return BSQ_OK;
}

static bsq_status_t check_signs(const struct bsq_grid_choice *choice, struct bsq_message *message)
{
    if (choice->scale_signed < 0 || choice->scale_signed > 1)
        return bsq_fail(message, BSQ_E_RANGE, "scale_signed is %d, must be 0..1", (int)choice->scale_signed);
    if (choice->grid == BSQ_WEIGHT_GRID_OFFSET && !has_sign(choice->scale_format))
        return bsq_fail(message, BSQ_E_ARGUMENT,
                        "weight_grid BSQ_WEIGHT_GRID_OFFSET needs scale_format float32, float16 or bfloat16");
    if (!choice->scale_signed || choice->scale_bits)
        return BSQ_OK;
    if (choice->grid != BSQ_WEIGHT_GRID_FULL && !bsq_grid_is_table(choice->grid))
        return bsq_fail(message, BSQ_E_ARGUMENT,
                        "scale_signed without scale_bits needs the full grid or one of levels");
    if (!has_sign(choice->scale_format))
        return bsq_fail(message, BSQ_E_ARGUMENT, "scale_signed needs scale_format float32, float16 or bfloat16");
    return BSQ_OK;
}

/* Values of one enumeration follow each other. */
static bsq_status_t check_enum(const char *name, int32_t value, int32_t low, int32_t high, struct bsq_message *message)
{
    if (value >= low && value <= high)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_ARGUMENT, "%s is %d, known values are %d..%d", name, (int)value, (int)low,
                    (int)high);
}

bsq_status_t bsq_grid_check(const struct bsq_grid_choice *choice, struct bsq_message *message)
{
    bsq_status_t status;

    if ((status = check_enum("weight_grid", choice->grid, BSQ_WEIGHT_GRID_SYMMETRIC, BSQ_WEIGHT_GRID_E2M1, message)) ||
        (status = check_bits(choice, message)) ||
        (status = check_enum("scale_kind", choice->scale_kind, BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_KIND_PER_GROUP,
                             message)) ||
        (status = check_enum("scale_format", choice->scale_format, BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_E4M3,
                             message)) ||
        (status = check_two_levels(choice, message)) || (status = check_signs(choice, message)))
        return status;
    if (choice->grid > BSQ_WEIGHT_GRID_FULL && choice->scale_kind == BSQ_SCALE_KIND_PER_TENSOR)
        return bsq_fail(message, BSQ_E_ARGUMENT, "this weight_grid needs a scale for each channel or group");
    if (choice->grid == BSQ_WEIGHT_GRID_LEVELS && (choice->level_count < 2 || choice->level_count > 1 << choice->bits))
        return bsq_fail(message, BSQ_E_RANGE, "level_count is %" PRId64 ", must be 2..%d", choice->level_count,
                        1 << choice->bits);
    return BSQ_OK;
}

bsq_status_t bsq_grid_check_levels(const int8_t *levels, int64_t count, struct bsq_message *message)
{
    for (int64_t i = 1; i < count; i++)
        if (levels[i] <= levels[i - 1])
            return bsq_fail(message, BSQ_E_RANGE, "levels[%" PRId64 "] is %d, must be above levels[%" PRId64 "], %d", i,
                            levels[i], i - 1, levels[i - 1]);
    return BSQ_OK;
}

/* ---- values of scales ------------------------------------------------------------------------------------ */

static bool is_normal(float x)
{
    return fabsf(x) >= FLT_MIN && fabsf(x) <= FLT_MAX;
}

bool bsq_scale_write_e4m3(float unit, float x, uint8_t *bits)
{
    float ratio = x / unit, value, grain;

    if (!is_normal(unit) || !(ratio < 500.0f))
        return false;
    grain = ldexpf(1.0f, (ratio < 0x1p-6f ? -6 : ilogbf(ratio)) - 3);
    value = nearbyintf(ratio / grain) * grain;
    return value > 0.0f && bsq_e4m3_write(value, bits) && !(unit * value < x) && !(unit * value > x);
}

bool bsq_scale_is_value(int32_t format, float unit, float x)
{
    uint16_t bits;
    uint8_t byte;
    int exponent;

    if (!(x > 0.0f) || !is_normal(x))
        return false;
    switch (format) {
    case BSQ_SCALE_FORMAT_FLOAT16: return bsq_float16_write(x, &bits);
    case BSQ_SCALE_FORMAT_BFLOAT16: return bsq_bfloat16_write(x, &bits);
    case BSQ_SCALE_FORMAT_POWER_OF_TWO:
    case BSQ_SCALE_FORMAT_E8M0: return !(frexpf(x, &exponent) > 0.5f);
    case BSQ_SCALE_FORMAT_E4M3: return bsq_scale_write_e4m3(unit, x, &byte);
    default: return true;
    }
}

bool bsq_offset_is_value(int32_t format, float x)
{
    return !(x < 0.0f || x > 0.0f) ? !isnan(x) : bsq_scale_is_value(format, 0.0f, fabsf(x));
}
