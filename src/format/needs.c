/* What formats hold: tensors held against it, options set by it. */
#include "format/format.h"

#include "base/geometry.h"

#include <inttypes.h>
#include <stdio.h>

int64_t bsq_format_groups_of(const bsq_tensor_t *tensor)
{
    return (tensor->fan_in - 1) / tensor->group_size + 1;
}

/* The members of a set of small numbers in words: "2, 4, 8". */
static const char *list_bits(uint32_t set, char text[64])
{
    size_t used = 0;

    text[0] = '\0';
    for (int bits = 0; bits < 16 && used < 60; bits++)
        if (set & BSQ_BIT(bits))
            used += (size_t)snprintf(text + used, 64 - used, "%s%d", used ? ", " : "", bits);
    return text;
}

static const char *grid_name(int32_t grid)
{
    static const char *const names[] = {"symmetric",     "full", "zero point", "offset", "levels",
                                        "powers of two", "NF4",  "IQ4_NL",     "E2M1"};

    return names[grid - BSQ_WEIGHT_GRID_SYMMETRIC];
}

static const char *list_grids(uint32_t set, char text[128])
{
    size_t used = 0;

    text[0] = '\0';
    for (int32_t grid = BSQ_WEIGHT_GRID_SYMMETRIC; grid <= BSQ_WEIGHT_GRID_E2M1; grid++)
        if (set & BSQ_GRID_BIT(grid))
            used += (size_t)snprintf(text + used, 128 - used, "%s%s", used ? ", " : "", grid_name(grid));
    return text;
}

/* ---- groups ---- */

static bool holds_group(const struct bsq_format_needs *needs, int64_t group)
{
    switch (needs->groups) {
    case BSQ_GROUPS_FIXED: return group == needs->group;
    case BSQ_GROUPS_32_64_128: return group == 32 || group == 64 || group == 128;
    case BSQ_GROUPS_POWER_OF_TWO: return group >= 16 && group <= 256 && (group & (group - 1)) == 0;
    default: return true;
    }
}

static const char *list_groups(const struct bsq_format_needs *needs, char text[64])
{
    switch (needs->groups) {
    case BSQ_GROUPS_FIXED: (void)snprintf(text, 64, "%d", (int)needs->group); break;
    case BSQ_GROUPS_32_64_128: (void)snprintf(text, 64, "32, 64 or 128"); break;
    case BSQ_GROUPS_POWER_OF_TWO: (void)snprintf(text, 64, "a power of two from 16 to 256"); break;
    default: (void)snprintf(text, 64, "any number of"); break;
    }
    return text;
}

/* ---- tensors ---- */

static bsq_status_t check_groups(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                 struct bsq_message *message)
{
    const struct bsq_format_needs *needs = &format->needs;
    char list[64];

    if (tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR && needs->groups != BSQ_GROUPS_ANY)
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds no scale that the whole tensor shares", format->name);
    if (needs->groups == BSQ_GROUPS_CHANNEL && tensor->group_size != tensor->fan_in)
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds a scale for each channel, not for groups of %" PRId64,
                        format->name, tensor->group_size);
    if (!holds_group(needs, tensor->group_size))
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds scales of %s inputs, these are of %" PRId64, format->name,
                        list_groups(needs, list), tensor->group_size);
    if (tensor->scale_bits != needs->scale_bits || tensor->super_group != needs->super_group)
        return bsq_fail(message, BSQ_E_FORMAT,
                        "%s holds scales with scale_bits %d and super_group %d, these have %d and %" PRId64,
                        format->name, (int)needs->scale_bits, (int)needs->super_group, (int)tensor->scale_bits,
                        tensor->super_group);
    return BSQ_OK;
}

bsq_status_t bsq_needs_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    const struct bsq_format_needs *needs = &format->needs;
    bsq_status_t status;
    char list[128];

    if (!(needs->bits & BSQ_BIT(tensor->weight_bits)))
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds codes of %s bits, these have %d", format->name,
                        list_bits(needs->bits, list), (int)tensor->weight_bits);
    if (!(needs->grids & BSQ_GRID_BIT(tensor->weight_grid)))
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds grids %s, this is %s", format->name,
                        list_grids(needs->grids, list), grid_name(tensor->weight_grid));
    if (needs->groups != BSQ_GROUPS_IGNORED && (status = check_groups(format, tensor, message)) != BSQ_OK)
        return status;
    if (needs->block && tensor->fan_in % needs->block)
        return bsq_fail(message, BSQ_E_FORMAT, "%s has blocks of %d inputs; fan_in is %" PRId64 ", no multiple of it",
                        format->name, (int)needs->block, tensor->fan_in);
    if (tensor->input_order && format->id != BSQ_FORMAT_GPTQ && format->id != BSQ_FORMAT_GPTQ_V2)
        return bsq_fail(message, BSQ_E_FORMAT, "%s holds no order of inputs: input_order must be NULL", format->name);
    return BSQ_OK;
}

/* ---- options ---- */

static bsq_status_t set_bits(const struct bsq_format *format, bsq_options_t *options, struct bsq_message *message)
{
    uint32_t bits = format->needs.bits;
    char list[64];

    if (bits && !(bits & (bits - 1)))
        for (options->weight_bits = 0; !(bits & BSQ_BIT(options->weight_bits));)
            options->weight_bits++;
    if (options->weight_bits >= 0 && options->weight_bits < 32 && bits & BSQ_BIT(options->weight_bits))
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "weight_bits is %d, %s holds %s", (int)options->weight_bits, format->name,
                    list_bits(bits, list));
}

static void set_grid(const struct bsq_format_needs *needs, bsq_options_t *options)
{
    bool known = options->weight_grid >= BSQ_WEIGHT_GRID_SYMMETRIC && options->weight_grid <= BSQ_WEIGHT_GRID_E2M1;

    if (needs->grid)
        options->weight_grid = needs->grid;
    else if (!known || !(needs->grids & BSQ_GRID_BIT(options->weight_grid)))
        options->weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
    options->levels = NULL;
    options->level_count = 0;
    options->zero_point_least = needs->zero_point_least;
}

static bsq_status_t set_groups(const struct bsq_format *format, bsq_options_t *options, struct bsq_message *message)
{
    const struct bsq_format_needs *needs = &format->needs;
    char list[64];

    if (needs->groups == BSQ_GROUPS_CHANNEL) {
        options->scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
        options->group_size = 0;
        return BSQ_OK;
    }
    options->scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    if (needs->groups == BSQ_GROUPS_FIXED || options->group_size == 0)
        options->group_size = needs->group;
    if (options->group_size > 0 && holds_group(needs, options->group_size))
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "group_size is %" PRId64 ", %s holds scales of %s inputs",
                    options->group_size, format->name, list_groups(needs, list));
}

static bsq_status_t set_scales(const struct bsq_format *format, bsq_options_t *options, struct bsq_message *message)
{
    const struct bsq_format_needs *needs = &format->needs;

    options->scale_bits = needs->scale_bits;
    options->super_group = needs->super_group;
    options->scale_signed = needs->scale_signed;
    if (needs->scale_format)
        options->scale_format = needs->scale_format;
    if (options->scale_format != BSQ_SCALE_FORMAT_E4M3)
        options->scale_unit = 0.0f;
    if (needs->scale_format || options->scale_format == BSQ_SCALE_FORMAT_FLOAT32 ||
        options->scale_format == BSQ_SCALE_FORMAT_FLOAT16 || options->scale_format == BSQ_SCALE_FORMAT_BFLOAT16)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "scale_format is %d, %s holds float32, float16 and bfloat16",
                    (int)options->scale_format, format->name);
}

bsq_status_t bsq_format_options(int32_t id, bsq_options_t *options, struct bsq_message *message)
{
    const struct bsq_format *format = bsq_format_find(id);
    bsq_status_t status;

    if (!format)
        return bsq_fail(message, BSQ_E_ARGUMENT, "format is %d, not a BSQ_FORMAT_... value", (int)id);
    if ((status = set_bits(format, options, message)) != BSQ_OK)
        return status;
    set_grid(&format->needs, options);
    if (format->needs.groups == BSQ_GROUPS_IGNORED)
        return BSQ_OK;
    if ((status = set_groups(format, options, message)) != BSQ_OK)
        return status;
    return set_scales(format, options, message);
}
