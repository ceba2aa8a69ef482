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
    bsq_memory_put(&memory, inputs->h);
    bsq_memory_put(&memory, inputs->sum);
    bsq_memory_put(&memory, inputs);
}

static struct bsq_inputs *create_inputs(const struct bsq_geometry *geometry, const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs = bsq_memory_get_zeroed(memory, 1, sizeof *inputs);

    if (!inputs)
        return NULL;
    atomic_init(&inputs->references, 1);
    inputs->memory = *memory;
    inputs->has_mean = 1;
    inputs->h = bsq_memory_get_zeroed(memory, geometry->groups * bsq_inputs_group_size(geometry), sizeof(double));
    inputs->sum = bsq_memory_get_zeroed(memory, geometry->groups * geometry->fan_in, sizeof(double));
    if (!inputs->h || !inputs->sum) {
        bsq_inputs_release(inputs);
        return NULL;
    }
    return inputs;
}

/* A copy with its own rows unless 'tile' is false. */
struct bsq_inputs *bsq_inputs_copy(const struct bsq_inputs *from, const struct bsq_geometry *geometry, bool tile,
                                      const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs = create_inputs(geometry, memory);

    if (!inputs)
        return NULL;
    if (tile && from->tile.capacity > 0 &&
        !bsq_tile_reserve(&inputs->tile, geometry, from->tile.capacity, from->tile.y, memory)) {
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

void bsq_stats_drop_targets(struct bsq_stats_t *stats)
{
    bsq_memory_put(&stats->memory, stats->p);
    bsq_memory_put(&stats->memory, stats->target_sum);
    bsq_memory_put(&stats->memory, stats->target_square);
    stats->p = stats->target_sum = stats->target_square = NULL;
}

bool bsq_stats_make_targets(struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = &stats->geometry;

    if (stats->p)
        return true;
    stats->p = bsq_memory_get_zeroed(&stats->memory, geometry->out_channels * geometry->fan_in, sizeof(double));
    stats->target_sum = bsq_memory_get_zeroed(&stats->memory, geometry->out_channels, sizeof(double));
    stats->target_square = bsq_memory_get_zeroed(&stats->memory, geometry->out_channels, sizeof(double));
    stats->has_target_mean = 1;
    if (stats->p && stats->target_sum && stats->target_square)
        return true;
    bsq_stats_drop_targets(stats);
    return false;
}

/* 'inputs' is taken over; NULL, and they are released, when out of memory. */
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

/* A copy that nobody else holds; frozen inputs stay shared, since nobody writes to them. */
struct bsq_stats_t *bsq_stats_copy(const struct bsq_stats_t *from, const struct bsq_memory *memory)
{
    const struct bsq_geometry *geometry = &from->geometry;
    struct bsq_inputs *inputs = from->frozen ? retain_inputs(from->inputs)
                                             : bsq_inputs_copy(from->inputs, geometry, true, memory);
    struct bsq_stats_t *stats = create_around(inputs, geometry, &from->quantizer, memory);

    if (!stats)
        return NULL;
    if ((from->p && !bsq_stats_make_targets(stats)) ||
        (from->tile.capacity > 0 &&
         !bsq_tile_reserve(&stats->tile, geometry, from->tile.capacity, from->tile.y, memory))) {
        bsq_stats_release(stats);
        return NULL;
    }
    if (from->p) {
        size_t outputs = (size_t)geometry->out_channels;

        memcpy(stats->p, from->p, outputs * (size_t)geometry->fan_in * sizeof(double));
        memcpy(stats->target_sum, from->target_sum, outputs * sizeof(double));
        memcpy(stats->target_square, from->target_square, outputs * sizeof(double));
    }
    stats->frozen = from->frozen;
    stats->has_target_mean = from->has_target_mean;
    stats->count = from->count;
    bsq_tile_copy(&from->tile, 0, from->tile.fill, &stats->tile, geometry);
    return stats;
}

bsq_status_t bsq_stats_share(const struct bsq_stats_t *source, const struct bsq_geometry *geometry,
                             const struct bsq_memory *memory, struct bsq_stats_t **stats, struct bsq_message *message)
{
    *stats = NULL;
    if (bsq_stats_empty(source))
        return bsq_fail(message, BSQ_E_STATE, "there are no statistics to share");
    if (!bsq_geometry_same_input(&source->geometry, geometry))
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

double bsq_stats_rows(const struct bsq_stats_t *stats)
{
    const struct bsq_count *count = &stats->inputs->count;

    return count->weight_square > 0 ? count->weight * count->weight / count->weight_square : 0;
}

bool bsq_counts_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

bsq_status_t bsq_stats_check_rows(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    const struct bsq_count *inputs = &stats->inputs->count, *own = &stats->count;

    if (!stats->frozen || own->rows == 0 || !bsq_stats_rows_known(stats))
        return BSQ_OK;
    if (!bsq_counts_near(inputs->rows, own->rows) || !bsq_counts_near(inputs->weight, own->weight))
        return bsq_fail(message, BSQ_E_STATE,
                        "the shared inputs have %.0f rows of weight %g, the targets %.0f of weight %g", inputs->rows,
                        inputs->weight, own->rows, own->weight);
    return BSQ_OK;
}

const struct bsq_quantizer *bsq_stats_quantizer(const struct bsq_stats_t *stats)
{
    return &stats->quantizer;
}

bsq_status_t bsq_stats_fit(const struct bsq_stats_t *stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    if (!bsq_geometry_same_input(&stats->geometry, geometry))
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of another layer geometry");
    if (!bsq_quantizer_same(&stats->quantizer, quantizer))
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of another input quantizer");
    if (bsq_stats_has_target(stats) && stats->geometry.out_channels != geometry->out_channels)
        return bsq_fail(message, BSQ_E_MISMATCH, "the statistics are those of %lld output channels, not %lld",
                        (long long)stats->geometry.out_channels, (long long)geometry->out_channels);
    return BSQ_OK;
}

int64_t bsq_stats_slots(const struct bsq_geometry *geometry, const struct bsq_parallel *parallel)
{
    int64_t n = geometry->fan_in, outputs = geometry->group_outputs;
    int64_t blocks = geometry->groups * (bsq_panel_count(n) + bsq_panel_count(outputs));

    return bsq_parallel_slots(parallel, blocks);
}

/* What one allocation of the library costs, added to a total; false when that does not fit. */
static bool add_cost(size_t *total, int64_t count, int64_t each, size_t size)
{
    int64_t elements;

    if (!bsq_extent_mul(count, each, &elements) || (uint64_t)elements > (SIZE_MAX / 2 - *total) / size)
        return false;
    *total += bsq_memory_cost((size_t)elements * size);
    return true;
}

bool bsq_stats_bytes(const struct bsq_geometry *geometry, int32_t threads, bool copies, size_t *held, size_t *besides)
{
    struct bsq_parallel parallel = {threads, NULL, NULL};
    int64_t tile = bsq_tile_rows(geometry), inputs = geometry->groups * geometry->fan_in;
    int64_t outputs = geometry->out_channels, slots = bsq_stats_slots(geometry, &parallel);
    size_t work = 0;

    *held = 0;
    if (!add_cost(held, 1, 1, sizeof(struct bsq_stats_t)) || !add_cost(held, 1, 1, sizeof(struct bsq_inputs)) ||
        !add_cost(held, geometry->groups, bsq_inputs_group_size(geometry), sizeof(double)) ||
        !add_cost(held, inputs, 1, sizeof(double)) || !add_cost(held, tile, inputs, sizeof(float)) ||
        !add_cost(held, tile, 1, sizeof(float)) || !add_cost(held, tile, outputs, sizeof(float)) ||
        !add_cost(held, outputs, geometry->fan_in, sizeof(double)) || !add_cost(held, outputs, 1, sizeof(double)) ||
        !add_cost(held, outputs, 1, sizeof(double)))
        return false;
    if (!add_cost(&work, tile, 1, sizeof(int64_t)) || !add_cost(&work, geometry->fan_in, 1, sizeof(int64_t)) ||
        !add_cost(&work, geometry->groups, 1, sizeof(bool)) ||
        !add_cost(&work, slots, bsq_tile_scratch(tile), sizeof(double)) || work > SIZE_MAX / 2 - *held)
        return false;
    *besides = work + (copies ? *held : 0);
    return true;
}
