/* Exported statistics: written to bytes and read back, the same on every machine.
 *
 * All numbers are little-endian, i32/i64 two's complement, f32/f64 IEEE 754. Nothing is aligned or padded.
 *
 *       0  8 bytes  "BSQSTATS"
 *       8  u32      version, 1
 *      12  u32      flags: 1 there is a target, 2 the inputs are shared (targets count their own rows),
 *                   4 means of the inputs are known, 8 means of the targets are known,
 *                   16 input channels have scales of their own, folded into the weights
 *      16  u64      size of the whole in bytes
 *      24  3 i64    groups G, in_channels, out_channels M
 *      48  15 i64   kernel, stride, dilation, pad_begin, pad_end, three of each
 *     168  4 i32    spatial dimensions (0: linear), weight layout, activation layout (both from 0), 0
 *     184  f64      scale of the input quantizer (of the folded inputs, with flag 16), 0 when inputs stay float
 *     192  4 i32    its zero point (0 with flag 16), bits, type, 0
 *     208  3 f64    of the inputs: rows (0: unknown), sum of their weights, sum of the squares of their weights
 *     232  3 f64    the same of the targets, with flag 2; else 0
 *     256  2 i64    unfinished rows of the inputs F; of the targets F', with flag 2, else 0
 *     272           with flag 16: scales of the input channels, in_channels f64; their zero points, in_channels i32
 *                   sums of x x': for each group the upper triangle of n x n, row after row, f64
 *                   sums of x: G x n f64
 *                   with flag 1: sums of y x: M x n f64; sums of y: M f64; sums of y^2: M f64
 *                   unfinished rows: F weights f32; G x F x n inputs f32; with flag 1 and without 2, F x M targets f32
 *                   with flag 2, unfinished rows of the targets: F' weights f32; G x F' x n inputs f32; with flag 1,
 *                   F' x M targets f32
 *     end-8  u64    CRC-64/XZ (reflected, polynomial 0x42f0e1eba9ea3693, begin and final xor all ones) of all before
 *
 * Sums do not contain the unfinished rows, the three numbers of rows and weights do. Moments are sums divided by the
 * sum of weights; with unknown rows that sum is 1. */
#include "stats/private.h"

#include <math.h>
#include <string.h>

enum { FORMAT_VERSION = 1, HEADER_SIZE = 272, CHECKSUM_SIZE = 8 };
enum { FLAG_TARGET = 1, FLAG_SHARED = 2, FLAG_INPUT_MEAN = 4, FLAG_TARGET_MEAN = 8, FLAG_CHANNELS = 16 };
enum { FLAGS_KNOWN = 31 };

static const char magic[8] = {'B', 'S', 'Q', 'S', 'T', 'A', 'T', 'S'};

/* ---- checksum --------------------------------------------------------------------------------------------- */

uint64_t bsq_stats_checksum(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t table[256], sum = UINT64_MAX;

    for (uint64_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = (table[i] >> 1) ^ (table[i] & 1 ? UINT64_C(0xc96c5795d7870f42) : 0);
    }
    for (size_t i = 0; i < size; i++)
        sum = (sum >> 8) ^ table[(sum ^ bytes[i]) & 0xff];
    return ~sum;
}

/* ---- size ------------------------------------------------------------------------------------------------- */

/* What decides where things lie. */
struct layout {
    const struct bsq_geometry *geometry;
    uint32_t flags;
    int64_t fill;     /* F */
    int64_t own_fill; /* F' */
};

static bool add_elements(int64_t *size, int64_t a, int64_t b, int64_t element)
{
    int64_t bytes;

    return bsq_extent_mul(a, b, &bytes) && bsq_extent_mul(bytes, element, &bytes) && bsq_extent_add(*size, bytes, size);
}

static bool add_tile(int64_t *size, const struct bsq_geometry *geometry, int64_t fill, bool with_target)
{
    const int64_t element = (int64_t)sizeof(float);

    return add_elements(size, fill, 1, element) &&
           add_elements(size, fill, geometry->groups * geometry->fan_in, element) &&
           (!with_target || add_elements(size, fill, geometry->out_channels, element));
}

static bool whole_size(const struct layout *layout, int64_t *size)
{
    const struct bsq_geometry *geometry = layout->geometry;
    const int64_t element = (int64_t)sizeof(double);
    int64_t n = geometry->fan_in, outputs = geometry->out_channels;
    bool target = layout->flags & FLAG_TARGET, shared = layout->flags & FLAG_SHARED;

    *size = HEADER_SIZE + CHECKSUM_SIZE;
    return (!(layout->flags & FLAG_CHANNELS) ||
            add_elements(size, geometry->in_channels, 1, element + (int64_t)sizeof(int32_t))) &&
           add_elements(size, geometry->groups, n * (n + 1) / 2, element) &&
           add_elements(size, geometry->groups, n, element) &&
           (!target || (add_elements(size, outputs, n, element) && add_elements(size, outputs, 2, element))) &&
           add_tile(size, geometry, layout->fill, target && !shared) &&
           (!shared || add_tile(size, geometry, layout->own_fill, target)) && (uint64_t)*size <= SIZE_MAX;
}

static struct layout layout_of(const struct bsq_stats_t *stats)
{
    struct layout layout = {&stats->geometry, 0, stats->inputs->tile.fill, stats->tile.fill};

    if (bsq_stats_has_target(stats))
        layout.flags |= FLAG_TARGET;
    if (stats->frozen)
        layout.flags |= FLAG_SHARED;
    if (stats->inputs->has_mean)
        layout.flags |= FLAG_INPUT_MEAN;
    if (bsq_stats_has_target(stats) && stats->has_target_mean)
        layout.flags |= FLAG_TARGET_MEAN;
    if (stats->quantizer.channels)
        layout.flags |= FLAG_CHANNELS;
    return layout;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_bits(unsigned char **at, uint64_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char)(bits >> (8 * i));
}

static void put_i64(unsigned char **at, const int64_t *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        put_bits(at, (uint64_t)values[i], 8);
}

static void put_i32(unsigned char **at, int32_t value)
{
    put_bits(at, (uint32_t)value, 4);
}

static void put_f64(unsigned char **at, const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits;

        memcpy(&bits, values + i, sizeof bits);
        put_bits(at, bits, 8);
    }
}

static void put_f32(unsigned char **at, const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, values + i, sizeof bits);
        put_bits(at, bits, 4);
    }
}

static void put_geometry(unsigned char **at, const struct bsq_geometry *geometry)
{
    put_i64(at, &geometry->groups, 1);
    put_i64(at, &geometry->in_channels, 1);
    put_i64(at, &geometry->out_channels, 1);
    put_i64(at, geometry->kernel, 3);
    put_i64(at, geometry->stride, 3);
    put_i64(at, geometry->dilation, 3);
    put_i64(at, geometry->pad_begin, 3);
    put_i64(at, geometry->pad_end, 3);
    put_i32(at, geometry->dims);
    put_i32(at, geometry->weight_layout - BSQ_WEIGHT_LAYOUT_OIHW);
    put_i32(at, geometry->activation_layout - BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST);
    put_i32(at, 0);
}

static void put_quantizer(unsigned char **at, const struct bsq_quantizer *quantizer)
{
    const struct bsq_quantizer none = {0};
    const struct bsq_quantizer *used = quantizer->bits ? quantizer : &none;

    put_f64(at, &used->scale, 1);
    put_i32(at, used->zero_point);
    put_i32(at, used->bits);
    put_i32(at, used->bits ? used->type - BSQ_INPUT_TYPE_AUTO : 0);
    put_i32(at, 0);
}

static void put_channels(unsigned char **at, const struct bsq_input_channels *channels)
{
    put_f64(at, channels->scale, channels->count);
    for (int64_t c = 0; c < channels->count; c++)
        put_i32(at, channels->zero_point[c]);
}

static void put_count(unsigned char **at, const struct bsq_count *count)
{
    put_f64(at, &count->rows, 1);
    put_f64(at, &count->weight, 1);
    put_f64(at, &count->weight_square, 1);
}

static void put_triangle(unsigned char **at, const double *panels, int64_t n)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t width = bsq_panel_width(n, panel);
        const double *rows = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++)
            put_f64(at, rows + i * width + i, width - i);
    }
}

static void put_tile(unsigned char **at, const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                     bool with_target)
{
    int64_t n = geometry->fan_in;

    if (tile->fill == 0)
        return;
    put_f32(at, tile->weights, tile->fill);
    for (int64_t g = 0; g < geometry->groups; g++)
        put_f32(at, tile->x + g * tile->capacity * n, tile->fill * n);
    if (with_target)
        put_f32(at, tile->y, tile->fill * geometry->out_channels);
}

static void put_header(unsigned char **at, const struct bsq_stats_t *stats, const struct layout *layout, int64_t size)
{
    memcpy(*at, magic, sizeof magic);
    *at += sizeof magic;
    put_bits(at, FORMAT_VERSION, 4);
    put_bits(at, layout->flags, 4);
    put_i64(at, &size, 1);
    put_geometry(at, &stats->geometry);
    put_quantizer(at, &stats->quantizer);
    put_count(at, &stats->inputs->count);
    put_count(at, &stats->count);
    put_i64(at, &layout->fill, 1);
    put_i64(at, &layout->own_fill, 1);
}

bsq_status_t bsq_stats_encoded_size(const struct bsq_stats_t *stats, size_t *size, struct bsq_message *message)
{
    struct layout layout = layout_of(stats);
    int64_t bytes;

    if (!whole_size(&layout, &bytes))
        return bsq_fail(message, BSQ_E_SHAPE, "exported statistics would be larger than this machine can address");
    *size = (size_t)bytes;
    return BSQ_OK;
}

void bsq_stats_encode(const struct bsq_stats_t *stats, size_t size, void *buffer)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    struct layout layout = layout_of(stats);
    bool target = layout.flags & FLAG_TARGET, shared = layout.flags & FLAG_SHARED;
    unsigned char *at = buffer;

    put_header(&at, stats, &layout, (int64_t)size);
    if (layout.flags & FLAG_CHANNELS)
        put_channels(&at, stats->quantizer.channels);
    for (int64_t g = 0; g < geometry->groups; g++)
        put_triangle(&at, stats->inputs->h + g * bsq_inputs_group_size(geometry), geometry->fan_in);
    put_f64(&at, stats->inputs->sum, geometry->groups * geometry->fan_in);
    if (target) {
        put_f64(&at, stats->p, geometry->out_channels * geometry->fan_in);
        put_f64(&at, stats->target_sum, geometry->out_channels);
        put_f64(&at, stats->target_square, geometry->out_channels);
    }
    put_tile(&at, &stats->inputs->tile, geometry, target && !shared);
    if (shared)
        put_tile(&at, &stats->tile, geometry, target);
    put_bits(&at, bsq_stats_checksum(buffer, (size_t)(at - (unsigned char *)buffer)), 8);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* What was read so far; 'sound' turns false at the first value that no export writes. Sums must give finite means, so
 * their sum of weights is in 'weight'; it is 1 for other numbers. */
struct reader {
    const unsigned char *at;
    double weight;
    bool sound;
};

static uint64_t get_bits(struct reader *reader, int bytes)
{
    uint64_t bits = 0;

    for (int i = 0; i < bytes; i++)
        bits |= (uint64_t)*reader->at++ << (8 * i);
    return bits;
}

/* Reads two's complement, without relying on what the machine does with it. */
static int64_t get_i64(struct reader *reader)
{
    uint64_t bits = get_bits(reader, 8);

    return bits <= INT64_MAX ? (int64_t)bits : -1 - (int64_t)~bits;
}

static int32_t get_i32(struct reader *reader)
{
    uint32_t bits = (uint32_t)get_bits(reader, 4);

    return bits <= INT32_MAX ? (int32_t)bits : -1 - (int32_t)~bits;
}

static void get_f64(struct reader *reader, double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = get_bits(reader, 8);

        memcpy(values + i, &bits, sizeof bits);
        reader->sound = reader->sound && isfinite(values[i]) && isfinite(values[i] / reader->weight);
    }
}

static void get_f32(struct reader *reader, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)get_bits(reader, 4);

        memcpy(values + i, &bits, sizeof bits);
        reader->sound = reader->sound && isfinite(values[i]);
    }
}

static void require(struct reader *reader, bool sound)
{
    reader->sound = reader->sound && sound;
}

/* Enumerations are counted from their first value in files. */
static int32_t get_enum(struct reader *reader, int32_t first)
{
    enum { MOST_VALUES = 16 };
    int32_t value = get_i32(reader);

    require(reader, value >= 0 && value < MOST_VALUES);
    return first + (value >= 0 && value < MOST_VALUES ? value : 0);
}

static void get_extents(struct reader *reader, int64_t values[3])
{
    for (int d = 0; d < 3; d++)
        values[d] = get_i64(reader);
}

/* Checks what it reads as a host's description, and must be in the form in which it is exported. */
static void get_geometry(struct reader *reader, struct bsq_geometry *geometry)
{
    struct bsq_message unused;
    struct bsq_geometry given = {0};
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.groups = given.groups = get_i64(reader);
    desc.in_channels = given.in_channels = get_i64(reader);
    desc.out_channels = get_i64(reader);
    get_extents(reader, desc.kernel);
    get_extents(reader, desc.stride);
    get_extents(reader, desc.dilation);
    get_extents(reader, desc.pad_begin);
    get_extents(reader, desc.pad_end);
    desc.spatial_dims = given.dims = get_i32(reader);
    desc.weight_layout = given.weight_layout = get_enum(reader, BSQ_WEIGHT_LAYOUT_OIHW);
    desc.activation_layout = given.activation_layout = get_enum(reader, BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST);
    desc.kind = desc.spatial_dims ? BSQ_KIND_CONV : BSQ_KIND_LINEAR;
    require(reader, get_i32(reader) == 0);
    memcpy(given.kernel, desc.kernel, sizeof given.kernel);
    memcpy(given.stride, desc.stride, sizeof given.stride);
    memcpy(given.dilation, desc.dilation, sizeof given.dilation);
    memcpy(given.pad_begin, desc.pad_begin, sizeof given.pad_begin);
    memcpy(given.pad_end, desc.pad_end, sizeof given.pad_end);
    require(reader, bsq_geometry_init(geometry, &desc, &unused) == BSQ_OK && bsq_geometry_same_input(geometry, &given));
}

static void get_quantizer(struct reader *reader, struct bsq_quantizer *quantizer)
{
    struct bsq_message unused;

    get_f64(reader, &quantizer->scale, 1);
    quantizer->zero_point = get_i32(reader);
    quantizer->bits = get_i32(reader);
    quantizer->type = get_enum(reader, quantizer->bits ? BSQ_INPUT_TYPE_AUTO : 0);
    require(reader, get_i32(reader) == 0);
    if (quantizer->bits)
        require(reader, bsq_quantizer_check(quantizer, &unused) == BSQ_OK);
    else
        require(reader, quantizer->scale == 0 && quantizer->zero_point == 0 && quantizer->type == 0);
}

/* Reads into the quantizer of the header, which then holds a reference; false when out of memory. */
static bool get_channels(struct reader *reader, struct bsq_quantizer *quantizer, int64_t count,
                         const struct bsq_memory *memory)
{
    struct bsq_message unused;

    quantizer->channels = bsq_input_channels_create(memory, count);
    if (!quantizer->channels)
        return false;
    get_f64(reader, quantizer->channels->scale, count);
    for (int64_t c = 0; c < count; c++)
        quantizer->channels->zero_point[c] = get_i32(reader);
    require(reader, bsq_quantizer_check_channels(quantizer, &unused) == BSQ_OK);
    return true;
}

static void get_count(struct reader *reader, struct bsq_count *count)
{
    get_f64(reader, &count->rows, 1);
    get_f64(reader, &count->weight, 1);
    get_f64(reader, &count->weight_square, 1);
    require(reader, count->rows >= 0 && count->weight >= 0 && count->weight_square >= 0);
    require(reader, count->rows > 0 ? count->weight > 0 && count->weight_square > 0
                                    : (count->weight == 0 || count->weight == 1) && count->weight_square == 0);
}

struct header {
    struct bsq_geometry geometry;
    struct bsq_quantizer quantizer;
    struct bsq_count count;
    struct bsq_count own_count;
    struct layout layout;
    int64_t size;
};

static void get_header(struct reader *reader, struct header *header)
{
    struct layout *layout = &header->layout;

    reader->at += sizeof magic + sizeof(uint32_t);
    layout->geometry = &header->geometry;
    layout->flags = (uint32_t)get_bits(reader, 4);
    header->size = get_i64(reader);
    get_geometry(reader, &header->geometry);
    get_quantizer(reader, &header->quantizer);
    get_count(reader, &header->count);
    get_count(reader, &header->own_count);
    layout->fill = get_i64(reader);
    layout->own_fill = get_i64(reader);

    bool target = layout->flags & FLAG_TARGET, shared = layout->flags & FLAG_SHARED;

    require(reader, layout->flags <= FLAGS_KNOWN && (target || !(layout->flags & FLAG_TARGET_MEAN)));
    require(reader, !(layout->flags & FLAG_CHANNELS) || (header->quantizer.bits && !header->quantizer.zero_point));
    require(reader, layout->fill >= 0 && (double)layout->fill <= header->count.rows);
    require(reader, layout->own_fill >= 0 && (double)layout->own_fill <= header->own_count.rows);
    require(reader, shared ? target == (header->own_count.rows > 0) : header->own_count.weight == 0);
    require(reader, header->own_count.rows > 0 || header->own_count.weight == 0);
    require(reader, header->count.weight > 0 || (!target && !shared));
    if (reader->sound)
        require(reader,
                layout->fill < bsq_tile_rows(&header->geometry) && layout->own_fill < bsq_tile_rows(&header->geometry));
}

static void get_triangle(struct reader *reader, double *panels, int64_t n)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t width = bsq_panel_width(n, panel);
        double *rows = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++) {
            get_f64(reader, rows + i * width + i, width - i);
            require(reader, rows[i * width + i] >= 0);
        }
    }
}

static void get_tile(struct reader *reader, struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t fill,
                     bool with_target)
{
    if (fill == 0)
        return;
    get_f32(reader, tile->weights, fill);
    for (int64_t i = 0; i < fill; i++)
        require(reader, tile->weights[i] > 0);
    get_f32(reader, tile->x, geometry->groups * fill * geometry->fan_in);
    if (with_target)
        get_f32(reader, tile->y, fill * geometry->out_channels);
    tile->fill = fill;
}

/* Makes room for what the header announces, and no more: its size has been compared with that of the data. */
static struct bsq_stats_t *create_from(const struct header *header, const struct bsq_memory *memory)
{
    struct bsq_stats_t *stats = bsq_stats_create(&header->geometry, &header->quantizer, memory);
    const struct layout *layout = &header->layout;
    bool target = layout->flags & FLAG_TARGET, shared = layout->flags & FLAG_SHARED;

    if (stats && (!target || bsq_stats_make_targets(stats)) &&
        (!layout->fill ||
         bsq_tile_reserve(&stats->inputs->tile, &header->geometry, layout->fill, target && !shared, memory)) &&
        (!layout->own_fill || bsq_tile_reserve(&stats->tile, &header->geometry, layout->own_fill, target, memory)))
        return stats;
    bsq_stats_release(stats);
    return NULL;
}

static void get_body(struct reader *reader, const struct header *header, struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = &header->geometry;
    const struct layout *layout = &header->layout;
    bool target = layout->flags & FLAG_TARGET, shared = layout->flags & FLAG_SHARED;

    stats->frozen = shared;
    stats->inputs->has_mean = (layout->flags & FLAG_INPUT_MEAN) != 0;
    stats->has_target_mean = (layout->flags & FLAG_TARGET_MEAN) != 0;
    stats->inputs->count = header->count;
    stats->count = header->own_count;
    reader->weight = header->count.weight > 0 ? header->count.weight : 1;
    for (int64_t g = 0; g < geometry->groups; g++)
        get_triangle(reader, stats->inputs->h + g * bsq_inputs_group_size(geometry), geometry->fan_in);
    get_f64(reader, stats->inputs->sum, geometry->groups * geometry->fan_in);
    if (target) {
        reader->weight = bsq_stats_count(stats)->weight;
        get_f64(reader, stats->p, geometry->out_channels * geometry->fan_in);
        get_f64(reader, stats->target_sum, geometry->out_channels);
        get_f64(reader, stats->target_square, geometry->out_channels);
    }
    get_tile(reader, &stats->inputs->tile, geometry, layout->fill, target && !shared);
    get_tile(reader, &stats->tile, geometry, layout->own_fill, target);
}

static bsq_status_t check_frame(const unsigned char *data, size_t size, struct bsq_message *message)
{
    const size_t known = size < sizeof magic ? size : sizeof magic;

    if (size == 0 || memcmp(data, magic, known) != 0)
        return bsq_fail(message, BSQ_E_FORMAT, "these are not exported statistics");
    if (size < HEADER_SIZE + CHECKSUM_SIZE)
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics are truncated: only %llu bytes",
                        (unsigned long long)size);

    struct reader reader = {data + sizeof magic, 1, true};
    uint64_t version = get_bits(&reader, 4);

    if (version > FORMAT_VERSION)
        return bsq_fail(message, BSQ_E_VERSION, "exported statistics of version %llu, this library knows %d",
                        (unsigned long long)version, (int)FORMAT_VERSION);
    reader.at += 4;

    uint64_t announced = get_bits(&reader, 8);

    if (announced != size)
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics should have %llu bytes, there are %llu",
                        (unsigned long long)announced, (unsigned long long)size);
    reader.at = data + size - CHECKSUM_SIZE;
    if (version < FORMAT_VERSION || get_bits(&reader, 8) != bsq_stats_checksum(data, size - CHECKSUM_SIZE))
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics are damaged: the checksum differs");
    return BSQ_OK;
}

bsq_status_t bsq_stats_decode(const void *data, size_t size, const struct bsq_memory *memory,
                              struct bsq_stats_t **stats, struct bsq_message *message)
{
    struct reader reader = {data, 1, true};
    struct header header = {0};
    struct bsq_message reason;
    int64_t expected;
    bsq_status_t status = check_frame(data, size, message);

    if (status != BSQ_OK)
        return status;
    get_header(&reader, &header);
    if (!reader.sound || !whole_size(&header.layout, &expected) || (uint64_t)expected != size)
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics are damaged: the header contradicts itself");

    if (header.layout.flags & FLAG_CHANNELS &&
        !get_channels(&reader, &header.quantizer, header.geometry.in_channels, memory))
        return bsq_fail_memory(message);
    if (header.quantizer.bits)
        require(&reader, bsq_quantizer_check_values(&header.quantizer, &reason) == BSQ_OK);

    struct bsq_stats_t *read = create_from(&header, memory);

    bsq_quantizer_release(&header.quantizer);
    if (!read)
        return bsq_fail_memory(message);
    get_body(&reader, &header, read);
    if (!reader.sound) {
        bsq_stats_release(read);
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics are damaged: a value that cannot be");
    }
    if (bsq_stats_check_sums(read, &reason) != BSQ_OK) {
        bsq_stats_release(read);
        return bsq_fail(message, BSQ_E_CORRUPT, "exported statistics contradict themselves: %.190s", reason.text);
    }
    *stats = read;
    return BSQ_OK;
}
