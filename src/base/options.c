/* Structs that the host fills: struct_size, defaults, bounds. */
#include "base/options.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static const bsq_options_t default_options = {
    .struct_size = sizeof(bsq_options_t),
    .damping = -1.0,
    .asymmetry = 1.0,
    .input_percentile = 0.9999,
    .weight_bits = 4,
    .weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC,
    .scale_kind = BSQ_SCALE_KIND_PER_CHANNEL,
    .scale_format = BSQ_SCALE_FORMAT_FLOAT32,
    .solver = BSQ_SOLVER_AUTO,
    .effort = 5,
    .threads = 1,
    .input_type = BSQ_INPUT_TYPE_AUTO,
    .input_clip = BSQ_INPUT_CLIP_SQUARED_ERROR,
    .input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR,
};

static const bsq_layer_desc_t default_desc = {
    .struct_size = sizeof(bsq_layer_desc_t),
    .groups = 1,
    .kernel = {1, 1, 1},
    .stride = {1, 1, 1},
    .dilation = {1, 1, 1},
    .kind = BSQ_KIND_LINEAR,
    .weight_layout = BSQ_WEIGHT_LAYOUT_OIHW,
    .activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST,
};

static const bsq_batch_t default_batch = {
    .struct_size = sizeof(bsq_batch_t),
    .row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE,
};

static const bsq_input_quantizer_t default_quantizer = {
    .struct_size = sizeof(bsq_input_quantizer_t),
    .scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR,
};

static const bsq_tensor_t default_tensor = {
    .struct_size = sizeof(bsq_tensor_t),
    .weight_bits = 4,
    .weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC,
    .scale_kind = BSQ_SCALE_KIND_PER_CHANNEL,
    .scale_format = BSQ_SCALE_FORMAT_FLOAT32,
};

static const bsq_moments_t default_moments = {.struct_size = sizeof(bsq_moments_t)};
static const bsq_moments_buffers_t default_buffers = {.struct_size = sizeof(bsq_moments_buffers_t)};

/* ---- init ---- */

/* Writes 'size' bytes and no more: the defaults that fit, zeros behind them. */
static void init(void *to, size_t size, const void *defaults, size_t defaults_size)
{
    if (!to)
        return;
    memset(to, 0, size);
    if (size < sizeof size)
        return;
    memcpy(to, defaults, size < defaults_size ? size : defaults_size);
    memcpy(to, &size, sizeof size);
}

/* Does the same for structs whose defaults are zero. */
static void init_zero(void *to, size_t size)
{
    init(to, size, &size, sizeof size);
}

void bsq_options_init(bsq_options_t *options, size_t struct_size)
{
    init(options, struct_size, &default_options, sizeof default_options);
}

void bsq_layer_desc_init(bsq_layer_desc_t *desc, size_t struct_size)
{
    init(desc, struct_size, &default_desc, sizeof default_desc);
}

void bsq_error_init(bsq_error_t *error, size_t struct_size)
{
    init_zero(error, struct_size);
}

void bsq_layer_info_init(bsq_layer_info_t *info, size_t struct_size)
{
    init_zero(info, struct_size);
}

void bsq_batch_init(bsq_batch_t *batch, size_t struct_size)
{
    init(batch, struct_size, &default_batch, sizeof default_batch);
}

void bsq_input_quantizer_init(bsq_input_quantizer_t *quantizer, size_t struct_size)
{
    init(quantizer, struct_size, &default_quantizer, sizeof default_quantizer);
}

void bsq_tensor_init(bsq_tensor_t *tensor, size_t struct_size)
{
    init(tensor, struct_size, &default_tensor, sizeof default_tensor);
}

void bsq_part_init(bsq_part_t *part, size_t struct_size)
{
    init_zero(part, struct_size);
}

void bsq_moments_init(bsq_moments_t *moments, size_t struct_size)
{
    init_zero(moments, struct_size);
}

void bsq_moments_buffers_init(bsq_moments_buffers_t *buffers, size_t struct_size)
{
    init_zero(buffers, struct_size);
}

void bsq_stats_info_init(bsq_stats_info_t *info, size_t struct_size)
{
    init_zero(info, struct_size);
}

void bsq_report_init(bsq_report_t *report, size_t struct_size)
{
    init_zero(report, struct_size);
}

void bsq_stage_init(bsq_stage_t *stage, size_t struct_size)
{
    init_zero(stage, struct_size);
}

void bsq_channel_init(bsq_channel_t *channel, size_t struct_size)
{
    init_zero(channel, struct_size);
}

void bsq_norm_init(bsq_norm_t *norm, size_t struct_size)
{
    init_zero(norm, struct_size);
}

void bsq_allocation_init(bsq_allocation_t *allocation, size_t struct_size)
{
    init_zero(allocation, struct_size);
}

/* ---- struct_size ---- */

/* Reads the struct_size of a host's struct and checks it. */
static bsq_status_t read_size(size_t *size, const void *from, size_t least, const char *name,
                              struct bsq_message *message)
{
    memcpy(size, from, sizeof *size);
    if (*size < least)
        return bsq_fail(message, BSQ_E_VERSION, "struct_size of %s is %zu, at least %zu is needed: call its init first",
                        name, *size, least);
    if (*size > BSQ_LONGEST_STRUCT)
        return bsq_fail(message, BSQ_E_VERSION, "struct_size of %s is %zu, which no version has: call its init first",
                        name, *size);
    return BSQ_OK;
}

bsq_status_t bsq_struct_read(void *own, size_t own_size, size_t least, const void *from, const char *name,
                             struct bsq_message *message)
{
    const unsigned char *bytes = from;
    size_t size;
    bsq_status_t status = read_size(&size, from, least, name, message);

    if (status)
        return status;
    for (size_t i = own_size; i < size; i++) {
        if (bytes[i])
            return bsq_fail(message, BSQ_E_VERSION,
                            "%s has %zu bytes, byte %zu is in use, and this library (%s) knows %zu bytes only", name,
                            size, i, BSQ_VERSION_STRING, own_size);
    }
    memcpy((char *)own + sizeof size, bytes + sizeof size, (size < own_size ? size : own_size) - sizeof size);
    return BSQ_OK;
}

bsq_status_t bsq_struct_write(void *to, const void *own, size_t own_size, size_t least, const char *name,
                              struct bsq_message *message)
{
    size_t size;
    bsq_status_t status = read_size(&size, to, least, name, message);

    if (status)
        return status;
    memcpy((char *)to + sizeof size, (const char *)own + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
    return BSQ_OK;
}

/* ---- bounds ---- */

static bsq_status_t check_int(const char *name, int64_t value, int64_t low, int64_t high, struct bsq_message *message)
{
    if (value >= low && value <= high)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "%s is %lld, must be %lld..%lld", name, (long long)value, (long long)low,
                    (long long)high);
}

/* Values of one enumeration follow each other. */
static bsq_status_t check_enum(const char *name, int32_t value, int32_t low, int32_t high, struct bsq_message *message)
{
    if (value >= low && value <= high)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_ARGUMENT, "%s is %d, known values are %d..%d", name, (int)value, (int)low,
                    (int)high);
}

/* Written so that NaN fails. */
static bsq_status_t check_double(const char *name, double value, double low, double high, struct bsq_message *message)
{
    if (value >= low && value <= high)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "%s is %g, must be %g..%g", name, value, low, high);
}

static bsq_status_t check_reserved(const char *name, int32_t value, struct bsq_message *message)
{
    if (!value)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_ARGUMENT, "reserved of %s is %d, must be 0", name, (int)value);
}

static bsq_status_t check_given(const char *name, const void *from, struct bsq_message *message)
{
    if (from)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_ARGUMENT, "%s is NULL", name);
}

/* ---- options ---- */

struct int_bound {
    const char *name;
    size_t offset;
    int32_t low, high;
    bool enumeration;
};

#define FIELD(name) #name, offsetof(bsq_options_t, name)

static const struct int_bound int_bounds[] = {
    {FIELD(solver), BSQ_SOLVER_AUTO, BSQ_SOLVER_PAPER, true},
    {FIELD(effort), 0, 9, false},
    {FIELD(threads), 1, 1024, false},
    {FIELD(bias_correction), 0, 1, false},
    {FIELD(input_bits), 0, 8, false},
    {FIELD(input_type), BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_TYPE_ZERO_POINT, true},
    {FIELD(input_clip), BSQ_INPUT_CLIP_SQUARED_ERROR, BSQ_INPUT_CLIP_PERCENTILE, true},
    {FIELD(select_on_held_out), 0, 1, false},
    {FIELD(lower_bound), 0, 1, false},
    {FIELD(input_scale_kind), BSQ_INPUT_SCALE_KIND_PER_TENSOR, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, true},
    {FIELD(zero_point_least), 0, 1, false},
    {FIELD(keep_scales), 0, 1, false},
};

static bsq_status_t check_ints(const bsq_options_t *options, struct bsq_message *message)
{
    for (size_t i = 0; i < sizeof int_bounds / sizeof *int_bounds; i++) {
        const struct int_bound *bound = &int_bounds[i];
        bsq_status_t status;
        int32_t value;

        memcpy(&value, (const char *)options + bound->offset, sizeof value);
        status = bound->enumeration ? check_enum(bound->name, value, bound->low, bound->high, message)
                                    : check_int(bound->name, value, bound->low, bound->high, message);
        if (status)
            return status;
    }
    if (options->input_bits == 1)
        return bsq_fail(message, BSQ_E_RANGE, "input_bits is 1, must be 0 or 2..8");
    return BSQ_OK;
}

static bsq_status_t check_doubles(const bsq_options_t *options, struct bsq_message *message)
{
    bsq_status_t status;

    if ((status = check_double("damping", options->damping, -HUGE_VAL, 1.0, message)) ||
        (status = check_double("asymmetry", options->asymmetry, 0.0, 1.0, message)))
        return status;
    if (options->input_percentile > 0.5 && options->input_percentile <= 1.0)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "input_percentile is %g, must be above 0.5, at most 1",
                    options->input_percentile);
}

/* Fields of the grid, and those that only some grids have. */
static bsq_status_t check_grid(const bsq_options_t *options, struct bsq_message *message)
{
    const struct bsq_grid_choice choice = {
        .bits = options->weight_bits,
        .grid = options->weight_grid,
        .scale_kind = options->scale_kind,
        .scale_format = options->scale_format,
        .scale_bits = options->scale_bits,
        .scale_signed = options->scale_signed,
        .super_group = options->super_group,
        .level_count = options->level_count,
    };
    bool table = options->weight_grid == BSQ_WEIGHT_GRID_LEVELS, e4m3 = options->scale_format == BSQ_SCALE_FORMAT_E4M3;
    bsq_status_t status = bsq_grid_check(&choice, message);

    if (status ||
        (status = check_double("scale_unit", (double)options->scale_unit, 0.0, e4m3 ? (double)FLT_MAX : 0.0, message)))
        return status;
    if (e4m3 && options->scale_unit > 0.0f && options->scale_unit < FLT_MIN)
        return bsq_fail(message, BSQ_E_RANGE, "scale_unit is %g, must be 0 or a normal float32",
                        (double)options->scale_unit);
    if (options->zero_point_least && options->weight_grid != BSQ_WEIGHT_GRID_ZERO_POINT)
        return bsq_fail(message, BSQ_E_ARGUMENT, "zero_point_least needs weight_grid BSQ_WEIGHT_GRID_ZERO_POINT");
    if (!table)
        return options->level_count || options->levels
                   ? bsq_fail(message, BSQ_E_ARGUMENT, "levels need weight_grid BSQ_WEIGHT_GRID_LEVELS")
                   : BSQ_OK;
    if (!options->levels)
        return bsq_fail(message, BSQ_E_ARGUMENT, "levels is NULL");
    return bsq_grid_check_levels(options->levels, options->level_count, message);
}

static bsq_status_t check_paper(const bsq_options_t *options, struct bsq_message *message)
{
    if (options->solver != BSQ_SOLVER_PAPER)
        return BSQ_OK;
    if (options->weight_grid != BSQ_WEIGHT_GRID_SYMMETRIC)
        return bsq_fail(message, BSQ_E_ARGUMENT, "BSQ_SOLVER_PAPER needs weight_grid BSQ_WEIGHT_GRID_SYMMETRIC");
    if (options->scale_kind != BSQ_SCALE_KIND_PER_CHANNEL)
        return bsq_fail(message, BSQ_E_ARGUMENT, "BSQ_SOLVER_PAPER needs scale_kind BSQ_SCALE_KIND_PER_CHANNEL");
    if (options->scale_format != BSQ_SCALE_FORMAT_FLOAT32)
        return bsq_fail(message, BSQ_E_ARGUMENT, "BSQ_SOLVER_PAPER needs scale_format BSQ_SCALE_FORMAT_FLOAT32");
    if (options->weight_bits < 2)
        return bsq_fail(message, BSQ_E_ARGUMENT, "BSQ_SOLVER_PAPER needs weight_bits of at least 2");
    if (options->keep_scales)
        return bsq_fail(message, BSQ_E_ARGUMENT, "BSQ_SOLVER_PAPER does not keep scales");
    return BSQ_OK;
}

static bsq_status_t check_hooks(const bsq_options_t *options, struct bsq_message *message)
{
    if (!options->memory_alloc == !options->memory_free)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_ARGUMENT, "memory_alloc and memory_free must be given both or not at all");
}

bsq_status_t bsq_options_read(bsq_options_t *own, const bsq_options_t *from, struct bsq_message *message)
{
    bsq_status_t status;

    *own = default_options;
    if (!from)
        return BSQ_OK;
    if ((status = bsq_struct_read(own, sizeof *own, BSQ_FIRST_OPTIONS, from, "bsq_options_t", message)) ||
        (status = check_hooks(own, message)) || (status = check_doubles(own, message)) ||
        (status = check_ints(own, message)) || (status = check_grid(own, message)))
        return status;
    return check_paper(own, message);
}

bsq_status_t bsq_options_check_layer(const bsq_options_t *options, const struct bsq_geometry *geometry,
                                     struct bsq_message *message)
{
    if (options->scale_kind != BSQ_SCALE_KIND_PER_GROUP)
        return BSQ_OK;
    return check_int("group_size", options->group_size, 1, geometry->fan_in, message);
}

/* ---- the other structs ---- */

bsq_status_t bsq_desc_read(bsq_layer_desc_t *own, const bsq_layer_desc_t *from, struct bsq_message *message)
{
    bsq_status_t status = check_given("desc", from, message);

    *own = default_desc;
    if (status)
        return status;
    return bsq_struct_read(own, sizeof *own, BSQ_FIRST_DESC, from, "bsq_layer_desc_t", message);
}

bsq_status_t bsq_batch_read_extents(bsq_batch_t *own, const bsq_batch_t *from, struct bsq_message *message)
{
    bsq_status_t status = check_given("batch", from, message);

    *own = default_batch;
    if (status || (status = bsq_struct_read(own, sizeof *own, BSQ_FIRST_BATCH, from, "bsq_batch_t", message)) ||
        (status = check_enum("row_weights_kind", own->row_weights_kind, BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE,
                             BSQ_ROW_WEIGHTS_KIND_PER_ROW, message)) ||
        (status = check_int("held_out", own->held_out, 0, 1, message)))
        return status;
    if (own->size < 0)
        return bsq_fail(message, BSQ_E_SHAPE, "size of the batch is %lld, must not be negative", (long long)own->size);
    return BSQ_OK;
}

bsq_status_t bsq_batch_read(bsq_batch_t *own, const bsq_batch_t *from, struct bsq_message *message)
{
    bsq_status_t status = bsq_batch_read_extents(own, from, message);

    return status == BSQ_OK && own->size ? check_given("input", own->input, message) : status;
}

bsq_status_t bsq_moments_read(bsq_moments_t *own, const bsq_moments_t *from, struct bsq_message *message)
{
    bsq_status_t status = check_given("moments", from, message);

    *own = default_moments;
    if (status || (status = bsq_struct_read(own, sizeof *own, BSQ_FIRST_MOMENTS, from, "bsq_moments_t", message)) ||
        (status = check_int("held_out", own->held_out, 0, 1, message)) ||
        (status = check_double("rows", own->rows, 0.0, DBL_MAX, message)))
        return status;
    return check_reserved("bsq_moments_t", own->reserved, message);
}

bsq_status_t bsq_moments_buffers_read(bsq_moments_buffers_t *own, const bsq_moments_buffers_t *from,
                                      struct bsq_message *message)
{
    bsq_status_t status = check_given("buffers", from, message);

    *own = default_buffers;
    if (status ||
        (status =
             bsq_struct_read(own, sizeof *own, BSQ_FIRST_MOMENTS_BUFFERS, from, "bsq_moments_buffers_t", message)) ||
        (status = check_int("held_out", own->held_out, 0, 1, message)))
        return status;
    return check_reserved("bsq_moments_buffers_t", own->reserved, message);
}

static bsq_status_t check_input_scale(double scale, struct bsq_message *message)
{
    if (!(scale >= (double)FLT_MIN && scale <= (double)FLT_MAX))
        return bsq_fail(message, BSQ_E_RANGE, "scale is %g, must be a normal float32 value, %g..%g", scale,
                        (double)FLT_MIN, (double)FLT_MAX);
    if ((double)(float)scale != scale)
        return bsq_fail(message, BSQ_E_RANGE, "scale is %.17g, must be a float32 value; the nearest is %.17g", scale,
                        (double)(float)scale);
    return BSQ_OK;
}

bsq_status_t bsq_input_quantizer_read(bsq_input_quantizer_t *own, const bsq_input_quantizer_t *from,
                                      struct bsq_message *message)
{
    bsq_status_t status = check_given("quantizer", from, message);

    *own = default_quantizer;
    if (status ||
        (status = bsq_struct_read(own, sizeof *own, BSQ_FIRST_QUANTIZER, from, "bsq_input_quantizer_t", message)) ||
        (status = check_input_scale(own->scale, message)) || (status = check_int("bits", own->bits, 2, 8, message)) ||
        (status = check_enum("type", own->type, BSQ_INPUT_TYPE_UNSIGNED, BSQ_INPUT_TYPE_ZERO_POINT, message)) ||
        (status = check_int("zero_point", own->zero_point, 0,
                            own->type == BSQ_INPUT_TYPE_ZERO_POINT ? (1 << own->bits) - 1 : 0, message)))
        return status;
    return check_enum("scale_kind", own->scale_kind, BSQ_INPUT_SCALE_KIND_PER_TENSOR, BSQ_INPUT_SCALE_KIND_PER_CHANNEL,
                      message);
}

/* Bits, grid and scales as options have them too. */
static bsq_status_t check_tensor_grid(const bsq_tensor_t *tensor, struct bsq_message *message)
{
    const struct bsq_grid_choice choice = {
        .bits = tensor->weight_bits,
        .grid = tensor->weight_grid,
        .scale_kind = tensor->scale_kind,
        .scale_format = tensor->scale_format,
        .scale_bits = tensor->scale_bits,
        .scale_signed = tensor->scale_signed,
        .super_group = tensor->super_group,
        .level_count = tensor->level_count,
    };
    bsq_status_t status = bsq_grid_check(&choice, message);

    if (status == BSQ_OK && tensor->weight_grid == BSQ_WEIGHT_GRID_LEVELS && tensor->levels)
        status = bsq_grid_check_levels(tensor->levels, tensor->level_count, message);
    return status;
}

bsq_status_t bsq_tensor_read(bsq_tensor_t *own, const bsq_tensor_t *from, struct bsq_message *message)
{
    bsq_status_t status = check_given("tensor", from, message);

    *own = default_tensor;
    if (status || (status = bsq_struct_read(own, sizeof *own, BSQ_FIRST_TENSOR, from, "bsq_tensor_t", message)) ||
        (status = check_tensor_grid(own, message)) ||
        (status = check_double("scale_unit", (double)own->scale_unit, 0.0,
                               own->scale_format == BSQ_SCALE_FORMAT_E4M3 ? (double)FLT_MAX : 0.0, message)) ||
        (status = check_reserved("bsq_tensor_t", own->reserved, message)))
        return status;
    if (own->channels < 1 || own->fan_in < 1)
        return bsq_fail(message, BSQ_E_SHAPE, "a tensor of %lld x %lld codes: extents must be positive",
                        (long long)own->channels, (long long)own->fan_in);
    if (own->scale_kind == BSQ_SCALE_KIND_PER_GROUP)
        return check_int("group_size", own->group_size, 1, own->fan_in, message);
    if (own->group_size != 0 && own->group_size != own->fan_in)
        return bsq_fail(message, BSQ_E_RANGE, "group_size is %lld, must be fan_in or 0 unless scales are of groups",
                        (long long)own->group_size);
    own->group_size = own->fan_in;
    return BSQ_OK;
}

bsq_status_t bsq_error_check(const bsq_error_t *error, struct bsq_message *message)
{
    bsq_error_t own;
    bsq_status_t status;

    if (!error)
        return BSQ_OK;
    status = bsq_struct_read(&own, sizeof own, BSQ_FIRST_ERROR, error, "bsq_error_t", message);
    return status ? status : check_reserved("bsq_error_t", own.reserved, message);
}
