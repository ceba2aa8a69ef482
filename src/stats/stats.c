/* Statistics: activations in, second moments out. */
#include "stats/private.h"

#include "base/blas.h"
#include "stats/gather.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Below these, waking threads costs more than they save. */
enum { SERIAL_PRODUCTS = 500000, SERIAL_VALUES = 100000 };

/* Rows that one block of work gathers. */
enum { GATHER_ROWS = 32 };

/* ---- life ------------------------------------------------------------------------------------------------- */

static void drop_tile(struct bsq_tile *tile, const struct bsq_memory *memory)
{
    bsq_memory_put(memory, tile->x);
    bsq_memory_put(memory, tile->weights);
    bsq_memory_put(memory, tile->y);
    memset(tile, 0, sizeof *tile);
}

static void copy_rows(const struct bsq_tile *from, int64_t first, int64_t count, struct bsq_tile *to,
                      const struct bsq_geometry *geometry)
{
    size_t n = (size_t)geometry->fan_in, outputs = (size_t)geometry->out_channels, rows = (size_t)count;

    if (count == 0)
        return;
    for (int64_t g = 0; g < geometry->groups; g++)
        memcpy(to->x + (g * to->capacity + to->fill) * geometry->fan_in,
               from->x + (g * from->capacity + first) * geometry->fan_in, rows * n * sizeof *to->x);
    memcpy(to->weights + to->fill, from->weights + first, rows * sizeof *to->weights);
    if (to->y && from->y)
        memcpy(to->y + to->fill * geometry->out_channels, from->y + first * geometry->out_channels,
               rows * outputs * sizeof *to->y);
    to->fill += count;
}

bool bsq_tile_reserve(struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t capacity, bool with_target,
                      const struct bsq_memory *memory)
{
    struct bsq_tile larger = {.capacity = capacity};

    if (tile->capacity >= capacity && (tile->y || !with_target))
        return true;
    if (larger.capacity < tile->capacity)
        larger.capacity = tile->capacity;
    larger.x = bsq_memory_get(memory, larger.capacity * geometry->groups, (size_t)geometry->fan_in * sizeof(float));
    larger.weights = bsq_memory_get(memory, larger.capacity, sizeof(float));
    if (with_target)
        larger.y = bsq_memory_get(memory, larger.capacity, (size_t)geometry->out_channels * sizeof(float));
    if (!larger.x || !larger.weights || (with_target && !larger.y)) {
        drop_tile(&larger, memory);
        return false;
    }
    copy_rows(tile, 0, tile->fill, &larger, geometry);
    drop_tile(tile, memory);
    *tile = larger;
    return true;
}

int64_t bsq_inputs_group_size(const struct bsq_geometry *geometry)
{
    return bsq_panel_offset(geometry->fan_in, bsq_panel_count(geometry->fan_in));
}

static void release_inputs(struct bsq_inputs *inputs)
{
    if (!inputs || atomic_fetch_sub(&inputs->references, 1) > 1)
        return;

    struct bsq_memory memory = inputs->memory;

    drop_tile(&inputs->tile, &memory);
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
        release_inputs(inputs);
        return NULL;
    }
    return inputs;
}

/* A copy with its own rows unless 'tile' is false. */
static struct bsq_inputs *copy_inputs(const struct bsq_inputs *from, const struct bsq_geometry *geometry, bool tile,
                                      const struct bsq_memory *memory)
{
    struct bsq_inputs *inputs = create_inputs(geometry, memory);

    if (!inputs)
        return NULL;
    if (tile && from->tile.capacity > 0 &&
        !bsq_tile_reserve(&inputs->tile, geometry, from->tile.capacity, from->tile.y, memory)) {
        release_inputs(inputs);
        return NULL;
    }
    memcpy(inputs->h, from->h, (size_t)(geometry->groups * bsq_inputs_group_size(geometry)) * sizeof(double));
    memcpy(inputs->sum, from->sum, (size_t)(geometry->groups * geometry->fan_in) * sizeof(double));
    inputs->has_mean = from->has_mean;
    inputs->count = from->count;
    if (tile)
        copy_rows(&from->tile, 0, from->tile.fill, &inputs->tile, geometry);
    return inputs;
}

static void drop_targets(struct bsq_stats_t *stats)
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
    drop_targets(stats);
    return false;
}

/* 'inputs' is taken over; NULL, and they are released, when out of memory. */
static struct bsq_stats_t *create_around(struct bsq_inputs *inputs, const struct bsq_geometry *geometry,
                                         const struct bsq_quantizer *quantizer, const struct bsq_memory *memory)
{
    struct bsq_stats_t *stats = inputs ? bsq_memory_get_zeroed(memory, 1, sizeof *stats) : NULL;

    if (!stats) {
        release_inputs(inputs);
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

    release_inputs(stats->inputs);
    drop_targets(stats);
    drop_tile(&stats->tile, &memory);
    bsq_quantizer_release(&stats->quantizer);
    bsq_memory_put(&memory, stats);
}

/* A copy that nobody else holds; frozen inputs stay shared, since nobody writes to them. */
static struct bsq_stats_t *duplicate(const struct bsq_stats_t *from, const struct bsq_memory *memory)
{
    const struct bsq_geometry *geometry = &from->geometry;
    struct bsq_inputs *inputs = from->frozen ? retain_inputs(from->inputs)
                                             : copy_inputs(from->inputs, geometry, true, memory);
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
    copy_rows(&from->tile, 0, from->tile.fill, &stats->tile, geometry);
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

static struct bsq_tile *tile_of(struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->tile : &stats->inputs->tile;
}

static struct bsq_count *count_of(struct bsq_stats_t *stats)
{
    return stats->frozen ? &stats->count : &stats->inputs->count;
}

static bool rows_known(const struct bsq_stats_t *stats)
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

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

bsq_status_t bsq_stats_check_rows(const struct bsq_stats_t *stats, struct bsq_message *message)
{
    const struct bsq_count *inputs = &stats->inputs->count, *own = &stats->count;

    if (!stats->frozen || own->rows == 0 || !rows_known(stats))
        return BSQ_OK;
    if (!near(inputs->rows, own->rows) || !near(inputs->weight, own->weight))
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

static int64_t slots_for(const struct bsq_geometry *geometry, const struct bsq_parallel *parallel)
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
    int64_t outputs = geometry->out_channels, slots = slots_for(geometry, &parallel);
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

/* ---- tiles ------------------------------------------------------------------------------------------------ */

/* What is needed to add rows, allocated before the first one counts. */
struct adding {
    struct bsq_stats_t *stats;
    const struct bsq_stats_work *work;
    const struct bsq_gather *gather;
    int64_t *index; /* rows of the batch that go into the tile next */
    int64_t picked;
    int64_t *column; /* of bsq_gather_init */
    bool *single;    /* for each group: whether its products are summed in single precision */
    double *scratch; /* of products, for each slot */
    int64_t scratch_stride;
    bool targets;
};

static void end_adding(struct adding *adding)
{
    const struct bsq_memory *memory = adding->work->memory;

    bsq_memory_put(memory, adding->index);
    bsq_memory_put(memory, adding->column);
    bsq_memory_put(memory, adding->single);
    bsq_memory_put(memory, adding->scratch);
}

static bool start_adding(struct adding *adding)
{
    const struct bsq_geometry *geometry = &adding->stats->geometry;
    const struct bsq_memory *memory = adding->work->memory;
    int64_t tile = bsq_tile_rows(geometry);

    adding->scratch_stride = bsq_tile_scratch(tile);
    adding->index = bsq_memory_get(memory, tile, sizeof(int64_t));
    adding->column = bsq_memory_get(memory, geometry->fan_in, sizeof *adding->column);
    adding->single = bsq_memory_get(memory, geometry->groups, sizeof *adding->single);
    adding->scratch = bsq_memory_get(memory, slots_for(geometry, adding->work->parallel),
                                     (size_t)adding->scratch_stride * sizeof(double));
    if (!adding->index || !adding->column || !adding->single || !adding->scratch) {
        end_adding(adding);
        return false;
    }
    return true;
}

/* Runs blocks where they are worth a thread. */
static bsq_status_t run(const struct adding *adding, int64_t count, bsq_work_fn block, bool worthwhile)
{
    const struct bsq_parallel here = {1, NULL, NULL};

    return bsq_parallel_run(worthwhile ? adding->work->parallel : &here, 0, count, block, (void *)(uintptr_t)adding,
                            adding->work->message);
}

const float *bsq_tile_weights(const struct bsq_tile *tile)
{
    for (int64_t i = 0; i < tile->fill; i++)
        if (tile->weights[i] != 1.0F)
            return tile->weights;
    return NULL;
}

struct bsq_tile_columns bsq_columns_part(const struct bsq_tile_columns *columns, int64_t first, int64_t count)
{
    return (struct bsq_tile_columns){columns->x ? columns->x + first : NULL, columns->ld, count};
}

struct bsq_tile_columns bsq_tile_inputs(const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                                        int64_t group)
{
    int64_t n = geometry->fan_in;

    return (struct bsq_tile_columns){tile->x ? tile->x + group * tile->capacity * n : NULL, n, n};
}

struct bsq_tile_columns bsq_tile_targets(const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                                         int64_t group)
{
    int64_t outputs = geometry->group_outputs;

    return (struct bsq_tile_columns){tile->y ? tile->y + group * outputs : NULL, geometry->out_channels, outputs};
}

void bsq_tile_square(const struct bsq_tile *tile, const struct bsq_tile_columns *inputs, int64_t panel, bool single,
                     double *scratch, double *to, int64_t ldt)
{
    int64_t first = panel * BSQ_PANEL;
    struct bsq_tile_columns a = bsq_columns_part(inputs, first, bsq_panel_rows(inputs->columns, panel));
    struct bsq_tile_columns b = bsq_columns_part(inputs, first, bsq_panel_width(inputs->columns, panel));

    if (single)
        bsq_tile_multiply_single(&a, &b, tile->fill, scratch, to, ldt);
    else
        bsq_tile_multiply(&a, &b, bsq_tile_weights(tile), tile->fill, scratch, to, ldt);
}

/* Panel 'panel' of the products of targets with inputs. */
static void multiply_targets(const struct bsq_tile *tile, const struct bsq_tile_columns *targets,
                             const struct bsq_tile_columns *inputs, int64_t panel, double *scratch, double *p)
{
    int64_t first = panel * BSQ_PANEL;
    struct bsq_tile_columns a = bsq_columns_part(targets, first, bsq_panel_rows(targets->columns, panel));

    bsq_tile_multiply(&a, inputs, bsq_tile_weights(tile), tile->fill, scratch, p + first * inputs->columns,
                      inputs->columns);
}

/* The sums of one group. */
static void sum_block(void *context, int64_t group, int32_t slot)
{
    const struct adding *adding = context;
    struct bsq_stats_t *stats = adding->stats;
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_tile *tile = bsq_stats_tile(stats);
    const float *weights = bsq_tile_weights(tile);
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, geometry, group), targets;

    (void)slot;
    if (!stats->frozen) {
        bsq_tile_sum(&inputs, weights, tile->fill, stats->inputs->sum + group * geometry->fan_in, NULL);
        adding->single[group] = !weights && bsq_tile_allows_single(inputs.x, tile->fill, geometry->fan_in);
    }
    if (!adding->targets)
        return;
    targets = bsq_tile_targets(tile, geometry, group);
    bsq_tile_sum(&targets, weights, tile->fill, stats->target_sum + group * geometry->group_outputs,
                 stats->target_square + group * geometry->group_outputs);
}

/* Blocks: panels of H unless the inputs are frozen, group after group, then panels of P. */
static void multiply_block(void *context, int64_t block, int32_t slot)
{
    const struct adding *adding = context;
    struct bsq_stats_t *stats = adding->stats;
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_tile *tile = bsq_stats_tile(stats);
    int64_t n = geometry->fan_in, outputs = geometry->group_outputs;
    int64_t input_panels = bsq_panel_count(n), target_panels = bsq_panel_count(outputs);
    int64_t input_blocks = stats->frozen ? 0 : geometry->groups * input_panels;
    double *scratch = adding->scratch + slot * adding->scratch_stride;

    if (block < input_blocks) {
        int64_t group = block / input_panels, panel = block % input_panels;
        struct bsq_tile_columns inputs = bsq_tile_inputs(tile, geometry, group);
        double *h = stats->inputs->h + group * bsq_inputs_group_size(geometry) + bsq_panel_offset(n, panel);

        bsq_tile_square(tile, &inputs, panel, adding->single[group], scratch, h, bsq_panel_width(n, panel));
        return;
    }

    int64_t group = (block - input_blocks) / target_panels, panel = (block - input_blocks) % target_panels;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, geometry, group);
    struct bsq_tile_columns targets = bsq_tile_targets(tile, geometry, group);

    multiply_targets(tile, &targets, &inputs, panel, scratch, stats->p + group * outputs * n);
}

/* A full tile becomes part of the sums. */
static bsq_status_t flush(struct adding *adding)
{
    struct bsq_stats_t *stats = adding->stats;
    const struct bsq_geometry *geometry = &stats->geometry;
    struct bsq_tile *tile = tile_of(stats);
    int64_t n = geometry->fan_in, inputs = geometry->groups * n, outputs = adding->targets ? geometry->out_channels : 0;
    bool worthwhile = tile->fill * n > SERIAL_PRODUCTS / (inputs + outputs);
    bsq_status_t status = run(adding, geometry->groups, sum_block, worthwhile);
    int64_t blocks;

    if (status != BSQ_OK)
        return status;
    blocks = stats->frozen ? 0 : geometry->groups * bsq_panel_count(n);
    if (adding->targets)
        blocks += geometry->groups * bsq_panel_count(geometry->group_outputs);
    status = run(adding, blocks, multiply_block, worthwhile);
    tile->fill = 0;
    return status;
}

/* ---- adding ----------------------------------------------------------------------------------------------- */

/* Whether statistics take batches at all, and with or without a target. */
static bsq_status_t check_state(const struct bsq_stats_t *stats, bool with_target, struct bsq_message *message)
{
    if (stats->frozen) {
        if (with_target)
            return BSQ_OK;
        return bsq_fail(message, BSQ_E_STATE, "the inputs are shared and fixed: batches must bring targets");
    }
    if (!rows_known(stats))
        return bsq_fail(message, BSQ_E_STATE,
                        "moments of an unknown number of rows cannot be added to: set 'rows' of the moments");
    if (bsq_stats_empty(stats) || with_target == bsq_stats_has_target(stats))
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_STATE, with_target ? "a batch with target after batches without"
                                                      : "a batch without target after batches with");
}

/* Nobody else's numbers change, and there is room for a tile; false when out of memory. The numbers stay the same. */
static bool make_ready(struct bsq_stats_t *stats, bool with_target)
{
    const struct bsq_geometry *geometry = &stats->geometry;

    if (!stats->frozen && atomic_load(&stats->inputs->references) > 1) {
        struct bsq_inputs *own = copy_inputs(stats->inputs, geometry, true, &stats->memory);

        if (!own)
            return false;
        release_inputs(stats->inputs);
        stats->inputs = own;
    }
    if (!with_target && bsq_stats_count(stats)->weight == 0)
        drop_targets(stats);

    const struct bsq_memory *memory = stats->frozen ? &stats->memory : &stats->inputs->memory;

    return (!with_target || bsq_stats_make_targets(stats)) &&
           bsq_tile_reserve(tile_of(stats), geometry, bsq_tile_rows(geometry), with_target, memory);
}

static void count_row(struct bsq_count *count, float weight)
{
    count->rows += 1;
    count->weight += (double)weight;
    count->weight_square += (double)weight * (double)weight;
}

static float weight_of(const bsq_batch_t *batch, int64_t positions, int64_t row)
{
    if (!batch->row_weights)
        return 1.0F;
    return batch->row_weights[batch->row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? row : row / positions];
}

/* Chooses rows from '*next' on until the tile would be full. */
static void pick_rows(struct adding *adding, const bsq_batch_t *batch, int64_t positions, int64_t rows, int64_t *next)
{
    struct bsq_tile *tile = tile_of(adding->stats);
    int64_t room = tile->capacity - tile->fill;

    adding->picked = 0;
    for (; *next < rows && adding->picked < room; ++*next) {
        float weight = weight_of(batch, positions, *next);

        if (!(weight > 0))
            continue;
        tile->weights[tile->fill + adding->picked] = weight;
        adding->index[adding->picked++] = *next;
        count_row(count_of(adding->stats), weight);
    }
}

static void quantize_rows(const struct bsq_quantizer *quantizer, const struct bsq_geometry *geometry, int64_t group,
                          float *x, int64_t rows)
{
    if (quantizer->channels)
        bsq_quantizer_fold(quantizer, geometry, group, x, rows);
    else
        bsq_quantizer_apply(quantizer, x, rows * geometry->fan_in);
}

static void gather_block(void *context, int64_t block, int32_t slot)
{
    const struct adding *adding = context;
    const struct bsq_stats_t *stats = adding->stats;
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_tile *tile = bsq_stats_tile(stats);
    int64_t first = block * GATHER_ROWS, n = geometry->fan_in, stride = tile->capacity * n;
    int64_t count = adding->picked - first < GATHER_ROWS ? adding->picked - first : GATHER_ROWS;
    float *x = tile->x + (tile->fill + first) * n;

    (void)slot;
    bsq_gather_inputs(adding->gather, adding->index + first, count, x, stride);
    for (int64_t g = 0; g < geometry->groups; g++)
        quantize_rows(&stats->quantizer, geometry, g, x + g * stride, count);
    if (adding->targets)
        bsq_gather_targets(adding->gather, adding->index + first, count,
                           tile->y + (tile->fill + first) * geometry->out_channels);
}

static bsq_status_t report(const struct adding *adding, int64_t done, int64_t total)
{
    const bsq_options_t *options = adding->work->options;
    bsq_progress_t progress = {.struct_size = sizeof progress,
                               .fraction = (double)done / (double)total,
                               .done = done,
                               .total = total,
                               .stage = BSQ_STAGE_STATISTICS};

    if (!options || !options->progress || options->progress(&progress, options->progress_opaque) == 0)
        return BSQ_OK;
    return bsq_fail(adding->work->message, BSQ_E_CANCELLED, "cancelled by the progress callback");
}

static bsq_status_t add_rows(struct adding *adding, const bsq_batch_t *batch, int64_t positions)
{
    struct bsq_tile *tile = tile_of(adding->stats);
    const struct bsq_geometry *geometry = &adding->stats->geometry;
    int64_t rows = batch->size * positions, next = 0, values = geometry->groups * geometry->fan_in;
    bsq_status_t status = BSQ_OK;

    while (next < rows && status == BSQ_OK) {
        pick_rows(adding, batch, positions, rows, &next);
        status = run(adding, (adding->picked + GATHER_ROWS - 1) / GATHER_ROWS, gather_block,
                     adding->picked > SERIAL_VALUES / values);
        if (status != BSQ_OK)
            return status;
        tile->fill += adding->picked;
        if (tile->fill == tile->capacity)
            status = flush(adding);
        if (status == BSQ_OK)
            status = report(adding, next, rows);
    }
    return status;
}

/* Whether the rows of the batch that count fill the tile, so that sums change. */
static bool fills_tile(const struct bsq_stats_t *stats, const bsq_batch_t *batch, int64_t positions)
{
    int64_t missing = bsq_tile_rows(&stats->geometry) - bsq_stats_tile(stats)->fill;

    for (int64_t row = 0; row < batch->size * positions && missing > 0; row++)
        if (weight_of(batch, positions, row) > 0)
            missing--;
    return missing <= 0;
}

/* Whether something outside of the library can stop the work half-way: then sums are changed in a copy. */
static bool may_stop(const struct bsq_stats_work *work)
{
    return work->parallel->pool || (work->options && work->options->progress);
}

bsq_status_t bsq_stats_add(struct bsq_stats_t **stats, const bsq_batch_t *batch, const float *bias,
                           const struct bsq_stats_work *work)
{
    const struct bsq_geometry *geometry = &(*stats)->geometry;
    int64_t values, output[3], positions;
    bsq_status_t status = bsq_stats_check_batch(geometry, batch, 1, &values, work->message);

    if (status != BSQ_OK || batch->size == 0 ||
        (status = check_state(*stats, batch->target, work->message)) != BSQ_OK ||
        (batch->target && (status = bsq_stats_check_bias(geometry, bias, work->message)) != BSQ_OK))
        return status;
    (void)bsq_geometry_output(geometry, batch->spatial, output, &positions, work->message);

    bool copy = atomic_load(&(*stats)->references) > 1 || (may_stop(work) && fills_tile(*stats, batch, positions));
    struct bsq_stats_t *target = copy ? duplicate(*stats, work->memory) : *stats;
    struct bsq_gather gather;
    struct adding adding = {.stats = target, .work = work, .gather = &gather, .targets = batch->target};

    if (!target)
        return bsq_fail_memory(work->message);
    if (!make_ready(target, batch->target) || !start_adding(&adding)) {
        if (copy)
            bsq_stats_release(target);
        return bsq_fail_memory(work->message);
    }
    bsq_gather_init(&gather, geometry, batch, bias, output, positions, adding.column);

    struct bsq_count count = *bsq_stats_count(target);
    int64_t fill = bsq_stats_tile(target)->fill;

    status = add_rows(&adding, batch, positions);
    end_adding(&adding);
    if (status != BSQ_OK && !copy) {
        /* no tile was full, so the rows that came are only in the tile */
        *count_of(target) = count;
        tile_of(target)->fill = fill;
    }
    if (copy) {
        bsq_stats_release(status == BSQ_OK ? *stats : target);
        if (status == BSQ_OK)
            *stats = target;
    }
    return status;
}

/* ---- merging ---------------------------------------------------------------------------------------------- */

/* Whether the targets of frozen statistics belong to exactly the rows of its inputs, so that they are like others. */
static bool complete(const struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_tile *a = &stats->tile, *b = &stats->inputs->tile;
    size_t row = (size_t)geometry->fan_in * sizeof(float);

    if (!stats->frozen)
        return true;
    if (!stats->p || stats->count.rows != stats->inputs->count.rows ||
        !near(stats->count.weight, stats->inputs->count.weight) || a->fill != b->fill)
        return false;
    if (a->fill == 0)
        return true;
    for (int64_t g = 0; g < geometry->groups; g++)
        if (memcmp(a->x + g * a->capacity * geometry->fan_in, b->x + g * b->capacity * geometry->fan_in,
                   (size_t)a->fill * row) != 0)
            return false;
    return memcmp(a->weights, b->weights, (size_t)a->fill * sizeof(float)) == 0;
}

/* Gives complete statistics inputs of their own, to which others can be added. */
static bool unfreeze(struct bsq_stats_t *stats)
{
    struct bsq_inputs *own = stats->frozen ? copy_inputs(stats->inputs, &stats->geometry, false, &stats->memory) : NULL;

    if (!stats->frozen)
        return true;
    if (!own)
        return false;
    own->tile = stats->tile;
    memset(&stats->tile, 0, sizeof stats->tile);
    memset(&stats->count, 0, sizeof stats->count);
    release_inputs(stats->inputs);
    stats->inputs = own;
    stats->frozen = 0;
    return true;
}

static void add_values(double *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

static void add_sums(struct bsq_stats_t *to, const struct bsq_stats_t *from)
{
    const struct bsq_geometry *geometry = &to->geometry;
    struct bsq_count *count = &to->inputs->count;

    add_values(to->inputs->h, from->inputs->h, geometry->groups * bsq_inputs_group_size(geometry));
    add_values(to->inputs->sum, from->inputs->sum, geometry->groups * geometry->fan_in);
    to->inputs->has_mean = to->inputs->has_mean && from->inputs->has_mean;
    count->rows += from->inputs->count.rows;
    count->weight += from->inputs->count.weight;
    count->weight_square += from->inputs->count.weight_square;
    if (!to->p)
        return;
    add_values(to->p, from->p, geometry->out_channels * geometry->fan_in);
    add_values(to->target_sum, from->target_sum, geometry->out_channels);
    add_values(to->target_square, from->target_square, geometry->out_channels);
    to->has_target_mean = to->has_target_mean && from->has_target_mean;
}

/* The other's unfinished rows, like rows of a batch. They are counted already. */
static bsq_status_t append_rows(struct adding *adding, const struct bsq_tile *from)
{
    struct bsq_tile *tile = tile_of(adding->stats);
    bsq_status_t status = BSQ_OK;

    for (int64_t first = 0; first < from->fill && status == BSQ_OK;) {
        int64_t room = tile->capacity - tile->fill, left = from->fill - first;
        int64_t count = left < room ? left : room;

        copy_rows(from, first, count, tile, &adding->stats->geometry);
        first += count;
        if (tile->fill == tile->capacity)
            status = flush(adding);
    }
    return status;
}

static bsq_status_t check_merge(const struct bsq_stats_t *into, const struct bsq_stats_t *from,
                                struct bsq_message *message)
{
    bsq_status_t status = bsq_stats_fit(from, &into->geometry, &into->quantizer, message);

    if (status != BSQ_OK)
        return status;
    if (bsq_stats_has_target(into) != bsq_stats_has_target(from))
        return bsq_fail(message, BSQ_E_MISMATCH, "statistics with and without a target cannot be merged");
    if (!rows_known(into) || !rows_known(from))
        return bsq_fail(message, BSQ_E_STATE, "moments of an unknown number of rows cannot be merged");
    if (!complete(into) || !complete(from))
        return bsq_fail(message, BSQ_E_STATE,
                        "statistics with shared inputs cannot be merged before all of their targets were added");
    return BSQ_OK;
}

bsq_status_t bsq_stats_merge(struct bsq_stats_t **into, const struct bsq_stats_t *from,
                             const struct bsq_stats_work *work)
{
    struct bsq_stats_t *other = (struct bsq_stats_t *)(uintptr_t)from; /* only its count of references changes */

    if (bsq_stats_empty(*into)) {
        (void)bsq_stats_retain(other);
        bsq_stats_release(*into);
        *into = other;
        return BSQ_OK;
    }
    if (bsq_stats_empty(from))
        return BSQ_OK;

    bsq_status_t status = check_merge(*into, from, work->message);

    if (status != BSQ_OK)
        return status;

    struct bsq_stats_t *sum = duplicate(*into, work->memory);
    bool targets = bsq_stats_has_target(from);
    struct adding adding = {.stats = sum, .work = work, .targets = targets};

    if (!sum)
        return bsq_fail_memory(work->message);
    if (!unfreeze(sum) || !make_ready(sum, targets) || !start_adding(&adding)) {
        bsq_stats_release(sum);
        return bsq_fail_memory(work->message);
    }
    add_sums(sum, from);
    status = append_rows(&adding, bsq_stats_tile(from));
    end_adding(&adding);
    bsq_stats_release(status == BSQ_OK ? *into : sum);
    if (status == BSQ_OK)
        *into = sum;
    return status;
}
