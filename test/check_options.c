/* Host structs: init, struct_size of other versions, every bound, and the texts of failures. */
#include "base/options.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bsq_message message;

#define FAILS(status, expected, ...) fails(status, expected, (const char *[]){__VA_ARGS__, NULL}, __LINE__)

/* The call gave this status, and its text names all of 'words'. */
static void fails(bsq_status_t status, bsq_status_t expected, const char *const *words, int line)
{
    ck_assert_msg(status == expected, "line %d: status %d instead of %d (%s)", line, status, expected, message.text);
    for (; *words; words++)
        ck_assert_msg(strstr(message.text, *words), "line %d: no \"%s\" in \"%s\"", line, *words, message.text);
    memset(&message, 0, sizeof message);
}

/* ---- init ---- */

struct init_case {
    const char *name;
    void (*init)(void *, size_t);
    size_t size;
};

#define INIT(type)                                                                                                     \
    static void init_##type(void *to, size_t size)                                                                     \
    {                                                                                                                  \
        bsq_##type##_init(to, size);                                                                                   \
    }

INIT(options)
INIT(layer_desc)
INIT(error)
INIT(batch)
INIT(input_quantizer)
INIT(moments)
INIT(report)
INIT(stage)
INIT(channel)

static const struct init_case init_cases[] = {
    {"options", init_options, sizeof(bsq_options_t)},
    {"layer_desc", init_layer_desc, sizeof(bsq_layer_desc_t)},
    {"error", init_error, sizeof(bsq_error_t)},
    {"batch", init_batch, sizeof(bsq_batch_t)},
    {"input_quantizer", init_input_quantizer, sizeof(bsq_input_quantizer_t)},
    {"moments", init_moments, sizeof(bsq_moments_t)},
    {"report", init_report, sizeof(bsq_report_t)},
    {"stage", init_stage, sizeof(bsq_stage_t)},
    {"channel", init_channel, sizeof(bsq_channel_t)},
};

enum { INIT_CASES = sizeof init_cases / sizeof *init_cases, ROOM = 512, GUARD = 0xA5 };

/* Every size from nothing to far beyond ours: exactly that many bytes are written, the size itself and, up to where
 * it is cut, the same bytes as in the whole struct; zeros behind, and zeros alone where not even the size fits. */
START_TEST(init_writes_its_size)
{
    const struct init_case *c = &init_cases[_i];
    _Alignas(max_align_t) unsigned char whole[ROOM], part[ROOM], expected[ROOM];

    memset(whole, GUARD, sizeof whole);
    c->init(whole, c->size);
    for (size_t size = 0; size < ROOM - 64; size++) {
        size_t known = size < c->size ? size : c->size;

        memset(expected, GUARD, sizeof expected);
        memset(expected, 0, size);
        if (size >= sizeof size) {
            memcpy(expected, whole, known);
            memcpy(expected, &size, sizeof size);
        }
        memset(part, GUARD, sizeof part);
        c->init(part, size);
        ck_assert_msg(!memcmp(part, expected, ROOM), "%s: size %zu", c->name, size);
    }
    c->init(NULL, c->size);
}
END_TEST

START_TEST(options_defaults)
{
    bsq_options_t o;

    memset(&o, GUARD, sizeof o);
    bsq_options_init(&o, sizeof o);
    ck_assert_uint_eq(o.struct_size, sizeof o);
    ck_assert(!o.memory_alloc && !o.memory_free && !o.memory_opaque);
    ck_assert(!o.progress && !o.progress_opaque && !o.log && !o.log_opaque && !o.parallel_for && !o.parallel_opaque);
    ck_assert(o.damping == -1.0 && o.asymmetry == 1.0 && o.input_percentile == 0.9999);
    ck_assert_int_eq(o.group_size, 0);
    ck_assert_int_eq(o.weight_bits, 4);
    ck_assert_int_eq(o.weight_grid, BSQ_WEIGHT_GRID_SYMMETRIC);
    ck_assert_int_eq(o.scale_kind, BSQ_SCALE_KIND_PER_CHANNEL);
    ck_assert_int_eq(o.scale_format, BSQ_SCALE_FORMAT_FLOAT32);
    ck_assert_int_eq(o.solver, BSQ_SOLVER_AUTO);
    ck_assert_int_eq(o.effort, 5);
    ck_assert_int_eq(o.threads, 1);
    ck_assert_int_eq(o.bias_correction, 0);
    ck_assert_int_eq(o.input_bits, 0);
    ck_assert_int_eq(o.input_type, BSQ_INPUT_TYPE_AUTO);
    ck_assert_int_eq(o.input_clip, BSQ_INPUT_CLIP_SQUARED_ERROR);
    ck_assert_int_eq(o.select_on_held_out, 0);
    ck_assert_int_eq(o.input_scale_kind, BSQ_INPUT_SCALE_KIND_PER_TENSOR);
    ck_assert_int_eq(o.lower_bound, 0);
}
END_TEST

START_TEST(other_defaults)
{
    bsq_layer_desc_t d;
    bsq_batch_t b;

    memset(&d, GUARD, sizeof d);
    bsq_layer_desc_init(&d, sizeof d);
    ck_assert(!d.in_channels && !d.out_channels && d.groups == 1);
    for (int i = 0; i < 3; i++) {
        ck_assert(d.kernel[i] == 1 && d.stride[i] == 1 && d.dilation[i] == 1);
        ck_assert(d.pad_begin[i] == 0 && d.pad_end[i] == 0);
    }
    ck_assert(d.kind == BSQ_KIND_LINEAR && d.spatial_dims == 0);
    ck_assert(d.weight_layout == BSQ_WEIGHT_LAYOUT_OIHW && d.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST);

    memset(&b, GUARD, sizeof b);
    bsq_batch_init(&b, sizeof b);
    ck_assert(!b.input && !b.target && !b.row_weights && !b.size && !b.held_out);
    ck_assert(b.row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE);
}
END_TEST

/* ---- struct_size ---- */

/* A struct as it might be in three versions: 'first' is in all, 'second' came later, 'third' is not known yet. */
struct version_1 {
    size_t struct_size;
    int64_t first;
};

struct version_2 {
    size_t struct_size;
    int64_t first, second;
};

struct version_3 {
    size_t struct_size;
    int64_t first, second, third;
};

static bsq_status_t read_versioned(struct version_2 *own, const void *from)
{
    *own = (struct version_2){sizeof *own, 10, 20};
    return bsq_struct_read(own, sizeof *own, sizeof(struct version_1), from, "thing", &message);
}

START_TEST(read_versions)
{
    struct version_1 older = {sizeof older, 1};
    struct version_2 own, equal = {sizeof equal, 1, 2};
    struct version_3 newer = {sizeof newer, 1, 2, 0};

    ck_assert_int_eq(read_versioned(&own, &older), BSQ_OK);
    ck_assert(own.struct_size == sizeof own && own.first == 1 && own.second == 20);
    ck_assert_int_eq(read_versioned(&own, &equal), BSQ_OK);
    ck_assert(own.struct_size == sizeof own && own.first == 1 && own.second == 2);
    ck_assert_int_eq(read_versioned(&own, &newer), BSQ_OK);
    ck_assert(own.struct_size == sizeof own && own.first == 1 && own.second == 2);
}
END_TEST

START_TEST(read_rejects_unknown_tail)
{
    for (size_t byte = offsetof(struct version_3, third); byte < sizeof(struct version_3); byte++) {
        struct version_3 newer = {sizeof newer, 1, 2, 0};
        struct version_2 own;

        ((unsigned char *)&newer)[byte] = 1;
        FAILS(read_versioned(&own, &newer), BSQ_E_VERSION, "thing", "32", BSQ_VERSION_STRING);
    }
}
END_TEST

START_TEST(read_rejects_sizes)
{
    struct version_3 from = {0, 1, 2, 0};
    struct version_2 own;

    for (size_t size = 0; size < sizeof(struct version_1); size++) {
        from.struct_size = size;
        FAILS(read_versioned(&own, &from), BSQ_E_VERSION, "thing", "init");
    }
    /* Uninitialized memory must not be taken for a length to read. */
    from.struct_size = SIZE_MAX;
    FAILS(read_versioned(&own, &from), BSQ_E_VERSION, "thing");
    from.struct_size = (size_t)1 << 40;
    FAILS(read_versioned(&own, &from), BSQ_E_VERSION, "thing");
}
END_TEST

START_TEST(write_versions)
{
    const struct version_2 own = {sizeof own, 1, 2};
    struct version_3 to = {sizeof(struct version_1), 7, 8, 9};

    ck_assert_int_eq(bsq_struct_write(&to, &own, sizeof own, sizeof(struct version_1), "thing", &message), BSQ_OK);
    ck_assert(to.struct_size == sizeof(struct version_1) && to.first == 1 && to.second == 8 && to.third == 9);
    to = (struct version_3){sizeof to, 7, 8, 9};
    ck_assert_int_eq(bsq_struct_write(&to, &own, sizeof own, sizeof(struct version_1), "thing", &message), BSQ_OK);
    ck_assert(to.struct_size == sizeof to && to.first == 1 && to.second == 2 && to.third == 9);
    to = (struct version_3){sizeof(struct version_1) - 1, 7, 8, 9};
    FAILS(bsq_struct_write(&to, &own, sizeof own, sizeof(struct version_1), "thing", &message), BSQ_E_VERSION, "thing");
    ck_assert(to.first == 7 && to.second == 8 && to.third == 9);
}
END_TEST

/* Every public struct through its own reader: our size, shorter, longer. */
static bsq_status_t read_options(const void *from)
{
    bsq_options_t own;

    return bsq_options_read(&own, from, &message);
}

static bsq_status_t read_desc(const void *from)
{
    bsq_layer_desc_t own;

    return bsq_desc_read(&own, from, &message);
}

static bsq_status_t read_batch(const void *from)
{
    bsq_batch_t own;

    return bsq_batch_read(&own, from, &message);
}

static bsq_status_t read_moments(const void *from)
{
    bsq_moments_t own;

    return bsq_moments_read(&own, from, &message);
}

static bsq_status_t read_quantizer(const void *from)
{
    bsq_input_quantizer_t own;

    return bsq_input_quantizer_read(&own, from, &message);
}

struct read_case {
    bsq_status_t (*read)(const void *from);
    void (*init)(void *to, size_t size);
    size_t size;
    size_t least; /* of its first version */
};

static const struct read_case read_cases[] = {
    {read_options, init_options, sizeof(bsq_options_t), BSQ_FIRST_OPTIONS},
    {read_desc, init_layer_desc, sizeof(bsq_layer_desc_t), BSQ_FIRST_DESC},
    {read_batch, init_batch, sizeof(bsq_batch_t), BSQ_FIRST_BATCH},
    {read_moments, init_moments, sizeof(bsq_moments_t), BSQ_FIRST_MOMENTS},
    {read_quantizer, NULL, sizeof(bsq_input_quantizer_t), BSQ_FIRST_QUANTIZER},
};

enum { READ_CASES = sizeof read_cases / sizeof *read_cases };

START_TEST(read_public_structs)
{
    const struct read_case *c = &read_cases[_i];
    _Alignas(max_align_t) unsigned char from[ROOM] = {0};

    for (size_t longer = 0; longer <= 64; longer += 8) {
        size_t size = c->size + longer;

        if (c->init)
            c->init(from, size);
        else
            *(bsq_input_quantizer_t *)(void *)from =
                (bsq_input_quantizer_t){.struct_size = size,
                                        .scale = 1,
                                        .bits = 8,
                                        .type = BSQ_INPUT_TYPE_SIGNED,
                                        .scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR};
        ck_assert_int_eq(c->read(from), BSQ_OK);
        if (longer) {
            from[size - 1] = 1;
            FAILS(c->read(from), BSQ_E_VERSION, "bsq_");
            from[size - 1] = 0;
        }
    }
    for (size_t size = 0; size < c->least; size++) {
        memcpy(from, &size, sizeof size);
        FAILS(c->read(from), BSQ_E_VERSION, "struct_size", "bsq_");
    }
    if (c->read == read_options)
        ck_assert_int_eq(c->read(NULL), BSQ_OK);
    else
        FAILS(c->read(NULL), BSQ_E_ARGUMENT, "NULL");
}
END_TEST

/* ---- bounds ---- */

static bsq_options_t defaults(void)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    return options;
}

struct bound {
    const char *name;
    size_t offset;
    int32_t low, high;
    bsq_status_t status;
};

#define BOUND(field, low, high, status)                                                                                \
    {                                                                                                                  \
#field, offsetof(bsq_options_t, field), low, high, status                                                      \
    }

static const struct bound bounds[] = {
    BOUND(weight_bits, 1, 8, BSQ_E_RANGE),
    BOUND(scale_kind, BSQ_SCALE_KIND_PER_TENSOR, BSQ_SCALE_KIND_PER_GROUP, BSQ_E_ARGUMENT),
    BOUND(scale_format, BSQ_SCALE_FORMAT_FLOAT32, BSQ_SCALE_FORMAT_E4M3, BSQ_E_ARGUMENT),
    BOUND(solver, BSQ_SOLVER_AUTO, BSQ_SOLVER_PAPER, BSQ_E_ARGUMENT),
    BOUND(effort, 0, 9, BSQ_E_RANGE),
    BOUND(threads, 1, 1024, BSQ_E_RANGE),
    BOUND(bias_correction, 0, 1, BSQ_E_RANGE),
    BOUND(input_bits, 2, 8, BSQ_E_RANGE),
    BOUND(input_type, BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_TYPE_ZERO_POINT, BSQ_E_ARGUMENT),
    BOUND(input_clip, BSQ_INPUT_CLIP_SQUARED_ERROR, BSQ_INPUT_CLIP_PERCENTILE, BSQ_E_ARGUMENT),
    BOUND(select_on_held_out, 0, 1, BSQ_E_RANGE),
    BOUND(input_scale_kind, BSQ_INPUT_SCALE_KIND_PER_TENSOR, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, BSQ_E_ARGUMENT),
    BOUND(lower_bound, 0, 1, BSQ_E_RANGE),
};

enum { BOUNDS = sizeof bounds / sizeof *bounds };

START_TEST(option_int_bounds)
{
    const struct bound *b = &bounds[_i];
    const int32_t wrong[] = {b->low - 1, b->high + 1, INT32_MIN, INT32_MAX};
    bsq_options_t options, own;

    for (int32_t value = b->low; value <= b->high; value++) {
        int32_t seen;

        options = defaults();
        memcpy((char *)&options + b->offset, &value, sizeof value);
        ck_assert_int_eq(bsq_options_read(&own, &options, &message), BSQ_OK);
        memcpy(&seen, (char *)&own + b->offset, sizeof seen);
        ck_assert_int_eq(seen, value);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[16];

        options = defaults();
        memcpy((char *)&options + b->offset, &wrong[i], sizeof wrong[i]);
        (void)snprintf(text, sizeof text, "%d", wrong[i]);
        FAILS(bsq_options_read(&own, &options, &message), b->status, b->name, text);
    }
}
END_TEST

/* Options of a grid, and what is said of them: a status and two parts of its text. */
struct grid_case {
    int32_t bits, grid, scale_kind, scale_format, scale_bits, scale_signed, zero_point_least;
    int64_t super_group;
    float scale_unit;
    bsq_status_t status;
    const char *name, *other;
};

#define SYMMETRIC BSQ_WEIGHT_GRID_SYMMETRIC
#define FULL BSQ_WEIGHT_GRID_FULL
#define ZERO BSQ_WEIGHT_GRID_ZERO_POINT
#define OFFSETS BSQ_WEIGHT_GRID_OFFSET
#define TENSOR BSQ_SCALE_KIND_PER_TENSOR
#define CHANNEL BSQ_SCALE_KIND_PER_CHANNEL
#define GROUP BSQ_SCALE_KIND_PER_GROUP
#define F32 BSQ_SCALE_FORMAT_FLOAT32
#define F16 BSQ_SCALE_FORMAT_FLOAT16

static const struct grid_case grid_cases[] = {
    {4, ZERO, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_OK, "", ""},
    {1, ZERO, GROUP, F16, 0, 0, 1, 0, 0, BSQ_OK, "", ""},
    {8, OFFSETS, GROUP, BSQ_SCALE_FORMAT_BFLOAT16, 0, 0, 0, 0, 0, BSQ_OK, "", ""},
    {4, OFFSETS, GROUP, F16, 6, 0, 0, 8, 0, BSQ_OK, "", ""},
    {6, FULL, GROUP, F16, 8, 1, 0, 16, 0, BSQ_OK, "", ""},
    {4, FULL, GROUP, F16, 0, 1, 0, 0, 0, BSQ_OK, "", ""},
    {4, BSQ_WEIGHT_GRID_E2M1, GROUP, BSQ_SCALE_FORMAT_E4M3, 0, 0, 0, 0, 1.5f, BSQ_OK, "", ""},
    {4, 109, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_E_ARGUMENT, "weight_grid", "109"},
    {4, 99, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_E_ARGUMENT, "weight_grid", "99"},
    {1, FULL, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_E_RANGE, "weight_bits", "1"},
    {5, BSQ_WEIGHT_GRID_POWERS_OF_TWO, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_E_RANGE, "weight_bits", "5"},
    {3, BSQ_WEIGHT_GRID_NF4, CHANNEL, F32, 0, 0, 0, 0, 0, BSQ_E_RANGE, "weight_bits", "3"},
    {4, ZERO, TENSOR, F32, 0, 0, 0, 0, 0, BSQ_E_ARGUMENT, "weight_grid", "group"},
    {4, BSQ_WEIGHT_GRID_NF4, TENSOR, F32, 0, 0, 0, 0, 0, BSQ_E_ARGUMENT, "weight_grid", "group"},
    {4, OFFSETS, CHANNEL, BSQ_SCALE_FORMAT_E8M0, 0, 0, 0, 0, 0, BSQ_E_ARGUMENT, "OFFSET", "scale_format"},
    {4, FULL, GROUP, F16, 5, 0, 0, 8, 0, BSQ_E_RANGE, "scale_bits", "5"},
    {4, FULL, CHANNEL, F16, 6, 0, 0, 8, 0, BSQ_E_ARGUMENT, "scale_bits", "scale_kind"},
    {4, FULL, GROUP, F16, 6, 0, 0, 0, 0, BSQ_E_RANGE, "super_group", "0"},
    {4, FULL, GROUP, F16, 0, 0, 0, 8, 0, BSQ_E_RANGE, "super_group", "8"},
    {4, FULL, GROUP, BSQ_SCALE_FORMAT_E4M3, 6, 0, 0, 8, 0, BSQ_E_ARGUMENT, "scale_bits", "scale_format"},
    {4, FULL, CHANNEL, F16, 0, 2, 0, 0, 0, BSQ_E_RANGE, "scale_signed", "2"},
    {4, SYMMETRIC, CHANNEL, F16, 0, 1, 0, 0, 0, BSQ_E_ARGUMENT, "scale_signed", "full"},
    {4, FULL, CHANNEL, F32, 0, 0, 1, 0, 0, BSQ_E_ARGUMENT, "zero_point_least", "ZERO_POINT"},
    {4, ZERO, CHANNEL, F32, 0, 0, 2, 0, 0, BSQ_E_RANGE, "zero_point_least", "2"},
    {4, FULL, CHANNEL, F32, 0, 0, 0, 0, 1.0f, BSQ_E_RANGE, "scale_unit", "1"},
    {4, FULL, CHANNEL, BSQ_SCALE_FORMAT_E4M3, 0, 0, 0, 0, -1.0f, BSQ_E_RANGE, "scale_unit", "-1"},
    {4, FULL, CHANNEL, BSQ_SCALE_FORMAT_E4M3, 0, 0, 0, 0, 1e-40f, BSQ_E_RANGE, "scale_unit", "normal"},
};

enum { GRID_CASES = sizeof grid_cases / sizeof *grid_cases };

START_TEST(option_grids)
{
    const struct grid_case *c = &grid_cases[_i];
    bsq_options_t own, options = defaults();
    bsq_status_t status;

    options.weight_bits = c->bits;
    options.weight_grid = c->grid;
    options.scale_kind = c->scale_kind;
    options.scale_format = c->scale_format;
    options.scale_bits = c->scale_bits;
    options.scale_signed = c->scale_signed;
    options.super_group = c->super_group;
    options.scale_unit = c->scale_unit;
    options.zero_point_least = c->zero_point_least;
    options.group_size = 16;
    status = bsq_options_read(&own, &options, &message);
    ck_assert_msg(status == c->status, "status %d: %s", (int)status, message.text);
    if (status != BSQ_OK)
        FAILS(bsq_options_read(&own, &options, &message), c->status, c->name, c->other);
}
END_TEST

START_TEST(option_levels)
{
    static const int8_t rising[] = {-5, 0, 3}, equal[] = {-5, 3, 3};
    bsq_options_t own, options = defaults();

    options.levels = rising;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "levels", "BSQ_WEIGHT_GRID_LEVELS");
    options.weight_grid = BSQ_WEIGHT_GRID_LEVELS;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_RANGE, "level_count", "0");
    options.level_count = 17;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_RANGE, "level_count", "17");
    options.level_count = 3;
    ck_assert_int_eq(bsq_options_read(&own, &options, &message), BSQ_OK);
    options.levels = equal;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_RANGE, "levels[2]", "3");
    options.levels = NULL;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "levels", "NULL");
}
END_TEST

START_TEST(option_input_bits_off)
{
    bsq_options_t own, options = defaults();

    options.input_bits = 0;
    ck_assert_int_eq(bsq_options_read(&own, &options, &message), BSQ_OK);
    options.input_bits = -1;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_RANGE, "input_bits", "-1");
}
END_TEST

static bsq_status_t with_double(size_t offset, double value)
{
    bsq_options_t own, options = defaults();
    bsq_status_t status;

    memcpy((char *)&options + offset, &value, sizeof value);
    status = bsq_options_read(&own, &options, &message);
    if (!status)
        ck_assert_mem_eq((char *)&own + offset, &value, sizeof value);
    return status;
}

START_TEST(option_double_bounds)
{
    const size_t damping = offsetof(bsq_options_t, damping), asymmetry = offsetof(bsq_options_t, asymmetry),
                 percentile = offsetof(bsq_options_t, input_percentile);
    const double good[][4] = {{-1e300, -DBL_MIN, 0, 1}, {0, DBL_MIN, 0.5, 1}, {0.5 + DBL_EPSILON, 0.6, 0.9999, 1}};
    const double bad[][4] = {{1 + DBL_EPSILON, 2, HUGE_VAL, NAN},
                             {-DBL_MIN, 1 + DBL_EPSILON, -HUGE_VAL, NAN},
                             {0.5, -1, 1 + DBL_EPSILON, NAN}};
    const size_t offsets[] = {damping, asymmetry, percentile};
    const char *const names[] = {"damping", "asymmetry", "input_percentile"};

    for (int f = 0; f < 3; f++) {
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(with_double(offsets[f], good[f][i]), BSQ_OK);
            FAILS(with_double(offsets[f], bad[f][i]), BSQ_E_RANGE, names[f], "must be");
        }
    }
}
END_TEST

START_TEST(option_paper)
{
    bsq_options_t own, options = defaults();

    options.solver = BSQ_SOLVER_PAPER;
    ck_assert_int_eq(bsq_options_read(&own, &options, &message), BSQ_OK);
    options.weight_grid = BSQ_WEIGHT_GRID_FULL;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "PAPER", "weight_grid");
    options = defaults();
    options.solver = BSQ_SOLVER_PAPER;
    options.scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "PAPER", "scale_kind");
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "PAPER", "scale_kind");
    options = defaults();
    options.solver = BSQ_SOLVER_PAPER;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "PAPER", "scale_format");
    options.scale_format = BSQ_SCALE_FORMAT_POWER_OF_TWO;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "PAPER", "scale_format");
}
END_TEST

static void *some_alloc(size_t size, void *opaque)
{
    (void)opaque;
    return malloc(size);
}

static void some_free(void *block, void *opaque)
{
    (void)opaque;
    free(block);
}

START_TEST(option_hooks)
{
    bsq_options_t own, options = defaults();

    options.memory_alloc = some_alloc;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "memory_alloc", "memory_free");
    options.memory_free = some_free;
    ck_assert_int_eq(bsq_options_read(&own, &options, &message), BSQ_OK);
    ck_assert(own.memory_alloc == some_alloc && own.memory_free == some_free);
    options.memory_alloc = NULL;
    FAILS(bsq_options_read(&own, &options, &message), BSQ_E_ARGUMENT, "memory_alloc", "memory_free");
}
END_TEST

START_TEST(option_group_size)
{
    const struct bsq_geometry geometry = {.fan_in = 27};
    bsq_options_t options = defaults();

    options.group_size = -5;
    ck_assert_int_eq(bsq_options_check_layer(&options, &geometry, &message), BSQ_OK);
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    FAILS(bsq_options_check_layer(&options, &geometry, &message), BSQ_E_RANGE, "group_size", "-5", "1..27");
    options.group_size = 0;
    FAILS(bsq_options_check_layer(&options, &geometry, &message), BSQ_E_RANGE, "group_size", "0", "1..27");
    options.group_size = 28;
    FAILS(bsq_options_check_layer(&options, &geometry, &message), BSQ_E_RANGE, "group_size", "28", "1..27");
    for (options.group_size = 1; options.group_size <= 27; options.group_size++)
        ck_assert_int_eq(bsq_options_check_layer(&options, &geometry, &message), BSQ_OK);
}
END_TEST

START_TEST(batch_bounds)
{
    const float value = 0;
    bsq_batch_t own, batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.size = 1;
    FAILS(bsq_batch_read(&own, &batch, &message), BSQ_E_ARGUMENT, "input");
    batch.input = &value;
    ck_assert_int_eq(bsq_batch_read(&own, &batch, &message), BSQ_OK);
    ck_assert(own.input == &value && own.size == 1);
    batch.size = -1;
    FAILS(bsq_batch_read(&own, &batch, &message), BSQ_E_SHAPE, "size", "-1");
    batch.size = 1;
    batch.row_weights_kind = 2;
    FAILS(bsq_batch_read(&own, &batch, &message), BSQ_E_ARGUMENT, "row_weights_kind", "2");
    batch.row_weights_kind = -1;
    FAILS(bsq_batch_read(&own, &batch, &message), BSQ_E_ARGUMENT, "row_weights_kind", "-1");
    batch.row_weights_kind = BSQ_ROW_WEIGHTS_KIND_PER_ROW;
    for (batch.held_out = 0; batch.held_out <= 1; batch.held_out++)
        ck_assert_int_eq(bsq_batch_read(&own, &batch, &message), BSQ_OK);
    FAILS(bsq_batch_read(&own, &batch, &message), BSQ_E_RANGE, "held_out", "2");
}
END_TEST

START_TEST(moments_bounds)
{
    const double wrong[] = {-DBL_MIN, HUGE_VAL, NAN};
    bsq_moments_t own, moments;

    bsq_moments_init(&moments, sizeof moments);
    moments.rows = DBL_MAX;
    ck_assert_int_eq(bsq_moments_read(&own, &moments, &message), BSQ_OK);
    for (int i = 0; i < 3; i++) {
        moments.rows = wrong[i];
        FAILS(bsq_moments_read(&own, &moments, &message), BSQ_E_RANGE, "rows");
    }
    moments.rows = 0;
    moments.held_out = -1;
    FAILS(bsq_moments_read(&own, &moments, &message), BSQ_E_RANGE, "held_out", "-1");
    moments.held_out = 1;
    ck_assert_int_eq(bsq_moments_read(&own, &moments, &message), BSQ_OK);
    moments.reserved = 1;
    FAILS(bsq_moments_read(&own, &moments, &message), BSQ_E_ARGUMENT, "reserved", "bsq_moments_t");
}
END_TEST

/* ---- input quantizer ---- */

static bsq_status_t with_quantizer(double scale, int32_t zero_point, int32_t bits, int32_t type)
{
    bsq_input_quantizer_t own, quantizer;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = scale;
    quantizer.zero_point = zero_point;
    quantizer.bits = bits;
    quantizer.type = type;
    return bsq_input_quantizer_read(&own, &quantizer, &message);
}

START_TEST(quantizer_bounds)
{
    const double good[] = {1.0, (double)0.1f, (double)FLT_MIN, (double)FLT_MAX};
    const double bad[] = {0.0, -1.0, 0.1, (double)FLT_MIN / 2, (double)FLT_MAX * 2, HUGE_VAL, NAN};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_int_eq(with_quantizer(good[i], 0, 8, BSQ_INPUT_TYPE_UNSIGNED), BSQ_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(with_quantizer(bad[i], 0, 8, BSQ_INPUT_TYPE_UNSIGNED), BSQ_E_RANGE, "scale", "float32");
    FAILS(with_quantizer(1, 0, 0, BSQ_INPUT_TYPE_SIGNED), BSQ_E_RANGE, "bits", "0", "2..8");
    FAILS(with_quantizer(1, 0, 1, BSQ_INPUT_TYPE_SIGNED), BSQ_E_RANGE, "bits", "1", "2..8");
    FAILS(with_quantizer(1, 0, 9, BSQ_INPUT_TYPE_SIGNED), BSQ_E_RANGE, "bits", "9", "2..8");
    FAILS(with_quantizer(1, 0, 8, BSQ_INPUT_TYPE_AUTO), BSQ_E_ARGUMENT, "type", "400");
    FAILS(with_quantizer(1, 0, 8, BSQ_INPUT_TYPE_ZERO_POINT + 1), BSQ_E_ARGUMENT, "type", "404");
}
END_TEST

START_TEST(quantizer_zero_point)
{
    for (int32_t bits = 2; bits <= 8; bits++) {
        int32_t highest = (1 << bits) - 1;

        for (int32_t zero = 0; zero <= highest; zero++)
            ck_assert_int_eq(with_quantizer(1, zero, bits, BSQ_INPUT_TYPE_ZERO_POINT), BSQ_OK);
        FAILS(with_quantizer(1, highest + 1, bits, BSQ_INPUT_TYPE_ZERO_POINT), BSQ_E_RANGE, "zero_point");
        FAILS(with_quantizer(1, -1, bits, BSQ_INPUT_TYPE_ZERO_POINT), BSQ_E_RANGE, "zero_point", "-1");
        FAILS(with_quantizer(1, 1, bits, BSQ_INPUT_TYPE_UNSIGNED), BSQ_E_RANGE, "zero_point", "1");
        FAILS(with_quantizer(1, -1, bits, BSQ_INPUT_TYPE_SIGNED), BSQ_E_RANGE, "zero_point", "-1");
    }
}
END_TEST

START_TEST(quantizer_scale_kind)
{
    bsq_input_quantizer_t own, quantizer;

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 1;
    quantizer.bits = 8;
    quantizer.type = BSQ_INPUT_TYPE_SIGNED;
    quantizer.scale_kind = 2;
    FAILS(bsq_input_quantizer_read(&own, &quantizer, &message), BSQ_E_ARGUMENT, "scale_kind", "2");
}
END_TEST

START_TEST(code_ranges)
{
    const int32_t highest[] = {1, 3, 7, 15, 31, 63, 127};

    for (int32_t bits = 2; bits <= 8; bits++) {
        int32_t lo, hi;

        bsq_code_range(bits, BSQ_WEIGHT_GRID_SYMMETRIC, &lo, &hi);
        ck_assert(hi == highest[bits - 2] && lo == -hi);
        bsq_code_range(bits, BSQ_WEIGHT_GRID_FULL, &lo, &hi);
        ck_assert(hi == highest[bits - 2] && lo == -hi - 1);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("options");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, init_writes_its_size, 0, INIT_CASES);
    tcase_add_test(all, options_defaults);
    tcase_add_test(all, other_defaults);
    tcase_add_test(all, read_versions);
    tcase_add_test(all, read_rejects_unknown_tail);
    tcase_add_test(all, read_rejects_sizes);
    tcase_add_test(all, write_versions);
    tcase_add_loop_test(all, read_public_structs, 0, READ_CASES);
    tcase_add_loop_test(all, option_int_bounds, 0, BOUNDS);
    tcase_add_loop_test(all, option_grids, 0, GRID_CASES);
    tcase_add_test(all, option_levels);
    tcase_add_test(all, option_input_bits_off);
    tcase_add_test(all, option_double_bounds);
    tcase_add_test(all, option_paper);
    tcase_add_test(all, option_hooks);
    tcase_add_test(all, option_group_size);
    tcase_add_test(all, batch_bounds);
    tcase_add_test(all, moments_bounds);
    tcase_add_test(all, quantizer_bounds);
    tcase_add_test(all, quantizer_zero_point);
    tcase_add_test(all, quantizer_scale_kind);
    tcase_add_test(all, code_ranges);
    suite_add_tcase(suite, all);
    return suite;
}
