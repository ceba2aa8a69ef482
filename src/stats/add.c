/* Rows in: a batch's rows go into the tile, and full tiles become part of the sums. */
#include "stats/private.h"

#include "base/progress.h"
#include "stats/gather.h"

/* Below these, waking threads costs more than they save. */
enum { SERIAL_PRODUCTS = 500000, SERIAL_VALUES = 100000 };

/* Rows that one block of work gathers. */
enum { GATHER_ROWS = 32 };

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

/* Counts the blocks of products that run at the same time at most. */
static int64_t slots_of(const struct bsq_geometry *geometry, const struct bsq_parallel *parallel)
{
    int64_t panels = bsq_panel_count(geometry->fan_in) + bsq_panel_count(geometry->group_outputs);

    return bsq_parallel_slots(parallel, geometry->groups * panels);
}

/* Lays out what adding needs in one block, which starts with the index, and returns its bytes; NULL only counts. */
static size_t lay_out(struct adding *adding, const struct bsq_geometry *geometry, int64_t slots, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t rows = bsq_tile_rows(geometry);

    adding->scratch_stride = bsq_tile_scratch(rows);
    adding->index = bsq_carve(&carver, rows, sizeof *adding->index);
    adding->column = bsq_carve(&carver, geometry->fan_in, sizeof *adding->column);
    adding->single = bsq_carve(&carver, geometry->groups, sizeof *adding->single);
    adding->scratch = bsq_carve(&carver, slots * adding->scratch_stride, sizeof *adding->scratch);
    return carver.used;
}

static size_t adding_bytes(const struct bsq_geometry *geometry, int32_t threads)
{
    const struct bsq_parallel parallel = {threads, NULL, NULL};
    struct adding unused;

    return lay_out(&unused, geometry, slots_of(geometry, &parallel), NULL);
}

void bsq_stats_bytes(const struct bsq_geometry *geometry, int32_t threads, bool copies, size_t *held, size_t *besides)
{
    *held = bsq_stats_held_bytes(geometry);
    *besides = bsq_memory_cost(adding_bytes(geometry, threads)) + (copies ? *held : 0);
}

static void end_adding(struct adding *adding)
{
    bsq_memory_put(adding->work->memory, adding->index);
}

static bool start_adding(struct adding *adding)
{
    const struct bsq_geometry *geometry = &adding->stats->geometry;
    int64_t slots = slots_of(geometry, adding->work->parallel);
    void *memory = bsq_memory_get(adding->work->memory, 1, lay_out(adding, geometry, slots, NULL));

    if (memory)
        (void)lay_out(adding, geometry, slots, memory);
    return memory != NULL;
}

/* Runs blocks where they are worth a thread. */
static bsq_status_t run(const struct adding *adding, int64_t count, bsq_work_fn block, bool worthwhile)
{
    const struct bsq_parallel here = {1, NULL, NULL};

    return bsq_parallel_run(worthwhile ? adding->work->parallel : &here, 0, count, block, (void *)(uintptr_t)adding,
                            adding->work->message);
}

/* Adds panel 'panel' of the products of targets with inputs. */
static void multiply_targets(const struct bsq_tile *tile, const struct bsq_tile_columns *targets,
                             const struct bsq_tile_columns *inputs, int64_t panel, double *scratch, double *p)
{
    int64_t first = panel * BSQ_PANEL;
    struct bsq_tile_columns a = bsq_columns_part(targets, first, bsq_panel_rows(targets->columns, panel));

    bsq_tile_multiply(&a, inputs, bsq_tile_weights(tile), tile->fill, scratch, p + first * inputs->columns,
                      inputs->columns);
}

/* Adds the sums of one group. */
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

/* Adds one block of products: panels of H unless the inputs are frozen, group after group, then panels of P. */
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

/* Adds a full tile to the sums and empties it. */
static bsq_status_t flush(struct adding *adding)
{
    struct bsq_stats_t *stats = adding->stats;
    const struct bsq_geometry *geometry = &stats->geometry;
    struct bsq_tile *tile = bsq_stats_own_tile(stats);
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

/* Checks that statistics take batches at all, and with or without a target. */
static bsq_status_t check_state(const struct bsq_stats_t *stats, bool with_target, struct bsq_message *message)
{
    if (stats->frozen) {
        if (with_target)
            return BSQ_OK;
        return bsq_fail(message, BSQ_E_STATE, "the inputs are shared and fixed: batches must bring targets");
    }
    if (!bsq_stats_rows_known(stats))
        return bsq_fail(message, BSQ_E_STATE,
                        "moments of an unknown number of rows cannot be added to: set 'rows' of the moments");
    if (bsq_stats_empty(stats) || with_target == bsq_stats_has_target(stats))
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_STATE,
                    with_target ? "a batch with target after batches without"
                                : "a batch without target after batches with");
}

bool bsq_stats_make_ready(struct bsq_stats_t *stats, bool with_target)
{
    const struct bsq_geometry *geometry = &stats->geometry;

    if (!stats->frozen && atomic_load(&stats->inputs->references) > 1) {
        struct bsq_inputs *own = bsq_inputs_copy(stats->inputs, geometry, true, with_target, &stats->memory);

        if (!own)
            return false;
        bsq_inputs_release(stats->inputs);
        stats->inputs = own;
    }
    if (!with_target && bsq_stats_count(stats)->weight == 0)
        bsq_stats_drop_targets(stats);

    const struct bsq_memory *memory = stats->frozen ? &stats->memory : &stats->inputs->memory;

    return (!with_target || bsq_stats_make_targets(stats)) &&
           bsq_tile_reserve(bsq_stats_own_tile(stats), geometry, bsq_tile_rows(geometry), with_target, memory);
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
    struct bsq_tile *tile = bsq_stats_own_tile(adding->stats);
    int64_t room = tile->capacity - tile->fill;

    adding->picked = 0;
    for (; *next < rows && adding->picked < room; ++*next) {
        float weight = weight_of(batch, positions, *next);

        if (!(weight > 0))
            continue;
        tile->weights[tile->fill + adding->picked] = weight;
        adding->index[adding->picked++] = *next;
        count_row(bsq_stats_own_count(adding->stats), weight);
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

/* Adds the rows of a batch, and reports after each tile. Where the sums are not a copy that can be thrown away, there
 * is one report only, of the whole batch and before they change: whoever stops then finds them as they were. */
static bsq_status_t add_rows(struct adding *adding, const bsq_batch_t *batch, int64_t positions, bool copied)
{
    struct bsq_tile *tile = bsq_stats_own_tile(adding->stats);
    const struct bsq_geometry *geometry = &adding->stats->geometry;
    int64_t rows = batch->size * positions, next = 0, values = geometry->groups * geometry->fan_in;
    bool reported = false;
    bsq_status_t status = BSQ_OK;

    while (next < rows && status == BSQ_OK) {
        pick_rows(adding, batch, positions, rows, &next);
        status = run(adding, (adding->picked + GATHER_ROWS - 1) / GATHER_ROWS, gather_block,
                     adding->picked > SERIAL_VALUES / values);
        if (status != BSQ_OK)
            return status;
        tile->fill += adding->picked;
        if (!copied && !reported)
            status =
                bsq_progress_report(adding->work->options, BSQ_STAGE_STATISTICS, rows, rows, adding->work->message);
        reported = true;
        if (status == BSQ_OK && tile->fill == tile->capacity)
            status = flush(adding);
        if (status == BSQ_OK && copied)
            status =
                bsq_progress_report(adding->work->options, BSQ_STAGE_STATISTICS, next, rows, adding->work->message);
    }
    return status;
}

/* Counts the tiles that the rows of the batch will fill: 0, 1, or 2 for more. */
static int filled_tiles(const struct bsq_stats_t *stats, const bsq_batch_t *batch, int64_t positions)
{
    int64_t capacity = bsq_tile_rows(&stats->geometry), fill = bsq_stats_tile(stats)->fill;

    for (int64_t row = 0; row < batch->size * positions && fill < 2 * capacity; row++)
        if (weight_of(batch, positions, row) > 0)
            fill++;
    return (int)(fill / capacity);
}

/* Says whether the sums must be changed in a copy: others hold them, or something outside of the library can stop the
 * work after they have changed: a host's pool that does not run its blocks, or the progress callback between tiles. */
static bool needs_copy(const struct bsq_stats_t *stats, const bsq_batch_t *batch, int64_t positions,
                       const struct bsq_stats_work *work)
{
    bool asks = work->options && work->options->progress;

    if (atomic_load(&stats->references) > 1)
        return true;
    return (work->parallel->pool || asks) && filled_tiles(stats, batch, positions) > (work->parallel->pool ? 0 : 1);
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

    bool copy = needs_copy(*stats, batch, positions, work);
    struct bsq_stats_t *target = copy ? bsq_stats_copy(*stats, work->memory) : *stats;
    struct bsq_gather gather;
    struct adding adding = {.stats = target, .work = work, .gather = &gather, .targets = batch->target};

    if (!target)
        return bsq_fail_memory(work->message);
    if (!bsq_stats_make_ready(target, batch->target) || !start_adding(&adding)) {
        if (copy)
            bsq_stats_release(target);
        return bsq_fail_memory(work->message);
    }
    bsq_gather_init(&gather, geometry, batch, bias, output, positions, adding.column);

    struct bsq_count count = *bsq_stats_count(target);
    int64_t fill = bsq_stats_tile(target)->fill;

    status = add_rows(&adding, batch, positions, copy);
    end_adding(&adding);
    if (status != BSQ_OK && !copy) {
        /* the sums have not changed, so the rows that came are only in the tile */
        *bsq_stats_own_count(target) = count;
        bsq_stats_own_tile(target)->fill = fill;
    }
    if (copy) {
        bsq_stats_release(status == BSQ_OK ? *stats : target);
        if (status == BSQ_OK)
            *stats = target;
    }
    return status;
}

bsq_status_t bsq_stats_append_rows(struct bsq_stats_t *stats, const struct bsq_tile *from, bool with_target,
                                   const struct bsq_stats_work *work)
{
    struct adding adding = {.stats = stats, .work = work, .targets = with_target};
    struct bsq_tile *tile = bsq_stats_own_tile(stats);
    bsq_status_t status = BSQ_OK;

    if (!start_adding(&adding))
        return bsq_fail_memory(work->message);
    for (int64_t first = 0; first < from->fill && status == BSQ_OK;) {
        int64_t room = tile->capacity - tile->fill, left = from->fill - first;
        int64_t count = left < room ? left : room;

        bsq_tile_copy(from, first, count, tile, &stats->geometry);
        first += count;
        if (tile->fill == tile->capacity)
            status = flush(&adding);
    }
    end_adding(&adding);
    return status;
}

bsq_status_t bsq_stats_finish_tile(struct bsq_stats_t *stats, const struct bsq_stats_work *work)
{
    struct adding adding = {.stats = stats, .work = work, .targets = bsq_stats_has_target(stats)};
    bsq_status_t status;

    if (bsq_stats_tile(stats)->fill == 0)
        return BSQ_OK;
    if (!start_adding(&adding))
        return bsq_fail_memory(work->message);
    status = flush(&adding);
    end_adding(&adding);
    return status;
}
