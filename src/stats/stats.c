/* The life of statistics: create, share, copy, release, and what can be asked of them. */
#include "stats/private.h"

#include <math.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------------------- */

int64_t bsq_inputs_group_size(const struct bsq_geometry *geometry)
{
    return bsq_panel_offset(geometry->fan_in, bsq_panel_count(geometry->fan_in));
}

void bsq_inputs_release(struct bsq_inputs *inputs)
{
    if (!inputs || atomic_fetch_sub(&inputs->references, 1) > 1)
        return;

    struct bsq_memory memory = inputs->memory;

    bsq_tile_drop(&inputs->tile, &memory);
    bsq_memory_put(&memory, inputs);
}

/* Lays out inputs behind their struct and returns the bytes of the whole; NULL only counts. */
static size_t lay_out_inputs(struct bsq_inputs *inputs, const struct bsq_geometry *geometry)
{
    struct bsq_carver carver = {(char *)inputs, 0};

    (void)bsq_carve(&carver, 1, sizeof *inputs);

    double *h = bsq_carve(&carver, geometry->groups * bsq_inputs_group_size(geometry), sizeof *h);
    double *sum = bsq_carve(&carver, geometry->groups * geometry->fan_in, sizeof *sum);

    if (inputs) {
        inputs->h = h;
        inputs->sum = sum;
    }
    return carver.used;
}

static struct bsq_inputs *create_inputs(const struct bsq_geometry *geometry, const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs = bsq_memory_get_zeroed(memory, 1, lay_out_inputs(NULL, geometry));

    if (!inputs)
        return NULL;
    (void)lay_out_inputs(inputs, geometry);
    atomic_init(&inputs->references, 1);
    inputs->memory = *memory;
    inputs->has_mean = 1;
    return inputs;
}

struct bsq_inputs *bsq_inputs_copy(const struct bsq_inputs *from, const struct bsq_geometry *geometry, bool tile,
                                   bool with_target, const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs = create_inputs(geometry, memory);

    if (!inputs)
        return NULL;
    if (tile && from->tile.capacity > 0 &&
        !bsq_tile_reserve(&inputs->tile, geometry, from->tile.capacity, with_target && from->tile.y, memory)) {
        bsq_inputs_release(inputs);
        return NULL;
    }
    memcpy(inputs->h, from->h, (size_t)(geometry->groups * bsq_inputs_group_size(geometry)) * sizeof(double));
    memcpy(inputs->sum, from->sum, (size_t)(geometry->groups * geometry->fan_in) * sizeof(double));
    inputs->has_mean = from->has_mean;
    inputs->count = from->count;
    if (tile)
        bsq_tile_copy(&from->tile, 0, from->tile.fill, &inputs->tile, geometry);
    return inputs;
}

/* Lays out the sums of targets in one block, which starts with P, and returns its bytes; NULL only counts. */
static size_t lay_out_targets(struct bsq_stats_t *stats, const struct bsq_geometry *geometry, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    double *p = bsq_carve(&carver, geometry->out_channels * geometry->fan_in, sizeof *p);
    double *sum = bsq_carve(&carver, geometry->out_channels, sizeof *sum);
    double *square = bsq_carve(&carver, geometry->out_channels, sizeof *square);

    if (stats) {
        stats->p = p;
        stats->target_sum = sum;
        stats->target_square = square;
    }
    return carver.used;
}

void bsq_stats_drop_targets(struct bsq_stats_t *stats)
{
    bsq_memory_put(&stats->memory, stats->p);
    stats->p = stats->target_sum = stats->target_square = NULL;
}

bool bsq_stats_make_targets(struct bsq_stats_t *stats)
{
    void *memory;

    if (stats->p)
        return true;
    memory = bsq_memory_get_zeroed(&stats->memory, 1, lay_out_targets(NULL, &stats->geometry, NULL));
    if (!memory)
        return false;
    (void)lay_out_targets(stats, &stats->geometry, memory);
    stats->has_target_mean = 1;
    return true;
}

/* Takes 'inputs' over; NULL, and they are released, when out of memory. */
static struct bsq_stats_t *create_around(struct bsq_inputs *inputs, const struct bsq_geometry *geometry,
                                         const struct bsq_quantizer *quantizer, const struct bsq_memory *memory)
{
    struct bsq_stats_t *stats = inputs ? bsq_memory_get_zeroed(memory, 1, sizeof *stats) : NULL;

    if (!stats) {
        bsq_inputs_release(inputs);
        return NULL;
    }
    atomic_init(&stats->references, 1);
    stats->memory = *memory;
    stats->geometry = *geometry;
    stats->quantizer = bsq_quantizer_retain(quantizer);
    stats->inputs = inputs;
    return stats;
}

struct bsq_stats_t *bsq_stats_create(const struct bsq_geometry *geometry, const struct bsq_quantizer *quantizer,
                                     const struct bsq_memory *memory)
{
    return create_around(create_inputs(geometry, memory), geometry, quantizer, memory);
}

struct bsq_stats_t *bsq_stats_retain(struct bsq_stats_t *stats)
{
    (void)atomic_fetch_add(&stats->references, 1);
    return stats;
}

static struct bsq_inputs *retain_inputs(struct bsq_inputs *inputs)
{
    (void)atomic_fetch_add(&inputs->references, 1);
    return inputs;
}

void bsq_stats_release(bsq_stats_t *stats)
{
    if (!stats || atomic_fetch_sub(&stats->references, 1) > 1)
        return;

    struct bsq_memory memory = stats->memory;

    bsq_inputs_release(stats->inputs);
    bsq_stats_drop_targets(stats);
    bsq_tile_drop(&stats->tile, &memory);
    bsq_quantizer_release(&stats->quantizer);
    bsq_memory_put(&memory, stats);
}

/* Makes statistics with these inputs, which are taken over, and with copies of the targets and of the rows that belong
 * to them. */
static struct bsq_stats_t *copy_around(struct bsq_inputs *inputs, const struct bsq_stats_t *from,
                                       const struct bsq_geometry *geometry, const struct bsq_memory *memory)
{
    struct bsq_stats_t *stats = create_around(inputs, geometry, &from->quantizer, memory);
    bool targets = bsq_stats_has_target(from);

    if (!stats)
        return NULL;
    stats->frozen = from->frozen;
    if (!targets)
        return stats;
    if (!bsq_stats_make_targets(stats) ||
        (from->tile.capacity > 0 && !bsq_tile_reserve(&stats->tile, geometry, from->tile.capacity, true, memory))) {
        bsq_stats_release(stats);
        return NULL;
    }

    size_t outputs = (size_t)geometry->out_channels;

    memcpy(stats->p, from->p, outputs * (size_t)geometry->fan_in * sizeof(double));
    memcpy(stats->target_sum, from->target_sum, outputs * sizeof(double));
    memcpy(stats->target_square, from->target_square, outputs * sizeof(double));
    stats->has_target_mean = from->has_target_mean;
    stats->count = from->count;
    bsq_tile_copy(&from->tile, 0, from->tile.fill, &stats->tile, geometry);
    return stats;
}

struct bsq_stats_t *bsq_stats_copy(const struct bsq_stats_t *from, const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs =
        from->frozen ? retain_inputs(from->inputs)
                     : bsq_inputs_copy(from->inputs, &from->geometry, true, bsq_stats_has_target(from), memory);

    return copy_around(inputs, from, &from->geometry, memory);
}

struct bsq_stats_t *bsq_stats_adopt(const struct bsq_stats_t *from, const struct bsq_geometry *geometry,
                                    const struct bsq_memory *memory)
{
    if (memcmp(&from->geometry, geometry, sizeof *geometry) == 0)
        return bsq_stats_retain((struct bsq_stats_t *)(uintptr_t)from); /* only its count of references changes */
    return copy_around(retain_inputs(from->inputs), from, geometry, memory);
}

bsq_status_t bsq_stats_share(const struct bsq_stats_t *source, const struct bsq_geometry *geometry,
                             const struct bsq_memory *memory, struct bsq_stats_t **stats, struct bsq_message *message)
{
    *stats = NULL;
    if (bsq_stats_empty(source))
        return bsq_fail(message, BSQ_E_STATE, "there are no statistics to share");
    if (!bsq_geometry_same_rows(&source->geometry, geometry))
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of another layer geometry");
    *stats = create_around(retain_inputs(source->inputs), geometry, &source->quantizer, memory);
    if (!*stats)
        return bsq_fail_memory(message);
    (*stats)->frozen = 1;
    return BSQ_OK;
}

/* ---- questions -------------------------------------------------------------------------------------------- */

const struct bsq_tile *bsq_stats_tile(const struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->tile : &stats->inputs->tile;
}

const struct bsq_count *bsq_stats_count(const struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->count : &stats->inputs->count;
}

struct bsq_tile *bsq_stats_own_tile(struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->tile : &stats->inputs->tile;
}

struct bsq_count *bsq_stats_own_count(struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->count : &stats->inputs->count;
}

bool bsq_stats_rows_known(const struct bsq_stats_t *stats)
{
    return stats->inputs->count.rows > 0 || stats->inputs->count.weight == 0;
}

bool bsq_stats_empty(const struct bsq_stats_t *stats)
{
    return !stats || stats->inputs->count.weight == 0;
}

bool bsq_stats_has_target(const struct bsq_stats_t *stats)
{
    return stats->p && bsq_stats_count(stats)->weight > 0;
}

bool bsq_stats_has_means(const struct bsq_stats_t *stats)
{
    return stats->inputs->has_mean && (!bsq_stats_has_target(stats) || stats->has_target_mean);
}

double bsq_stats_counted_rows(const struct bsq_stats_t *stats)
{
    return stats->inputs->count.rows;
}

double bsq_stats_target_rows(const struct bsq_stats_t *stats)
{
    return bsq_stats_has_target(stats) ? bsq_stats_count(stats)->rows : 0;
}

bool bsq_stats_shares_inputs(const struct bsq_stats_t *stats)
{
    return stats->frozen;
}

double bsq_stats_rows(const struct bsq_stats_t *stats)
{
    const struct bsq_count *count = &stats->inputs->count;

    return count->weight_square > 0 ? count->weight * count->weight / count->weight_square : 0;
}

bool bsq_counts_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

const struct bsq_geometry *bsq_stats_geometry(const struct bsq_stats_t *stats)
{
    return &stats->geometry;
}

const struct bsq_quantizer *bsq_stats_quantizer(const struct bsq_stats_t *stats)
{
    return &stats->quantizer;
}

bsq_status_t bsq_stats_fit(const struct bsq_stats_t *stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    if (!bsq_geometry_same_rows(&stats->geometry, geometry))
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of another layer geometry");
    if (!bsq_quantizer_same(&stats->quantizer, quantizer))
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of another input quantizer");
    if (bsq_stats_has_target(stats) && stats->geometry.out_channels != geometry->out_channels)
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics have targets of %lld output channels, not %lld",
                        (long long)stats->geometry.out_channels, (long long)geometry->out_channels);
    return BSQ_OK;
}

size_t bsq_stats_held_bytes(const struct bsq_geometry *geometry)
{
    return bsq_memory_cost(sizeof(struct bsq_stats_t)) + bsq_memory_cost(lay_out_inputs(NULL, geometry)) +
           bsq_memory_cost(lay_out_targets(NULL, geometry, NULL)) +
           bsq_memory_cost(bsq_tile_bytes(geometry, bsq_tile_rows(geometry), true));
}
