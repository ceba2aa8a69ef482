/* A pass: one kind of work over every block of channels of a layer. */
#include "solve/pass.h"

#include "base/options.h"

#include <string.h>

/* With a progress callback, blocks run in waves of this many for each thread, and at least this share of all. */
enum { WAVE_BLOCKS = 2, WAVE_SHARE = 64 };

struct bsq_search_plan bsq_pass_plan(const struct bsq_geometry *geometry, const bsq_options_t *options)
{
    struct bsq_search_plan plan = {
        .kernels = bsq_kernels(), .fan_in = geometry->fan_in,
        .block_channels = bsq_block_channels(geometry), .group_size = geometry->fan_in,
        .scales_per_channel = 1, .bits = options->weight_bits,
        .effort = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0,
        .lower_bound = options->lower_bound, .exact = 1, .planes = options->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC};

    plan.rounding.scale_format = options->scale_format;
    bsq_code_range(options->weight_bits, options->weight_grid, &plan.rounding.lowest, &plan.rounding.highest);
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP) {
        plan.group_size = options->group_size;
        plan.scales_per_channel = (plan.fan_in + plan.group_size - 1) / plan.group_size;
    }
    return plan;
}

static int32_t hessian_count(const struct bsq_pass *pass)
{
    return pass->groups_in_slots ? pass->slots : 1;
}

/* Reports that 'done' blocks are finished, parts of blocks counted; on the calling thread only. True means stop. */
static bool report_progress(struct bsq_pass *pass, double done)
{
    const bsq_options_t *options = pass->input->options;
    bsq_progress_t progress = {.struct_size = sizeof progress, .objective = pass->objective, .done = pass->done,
                               .total = pass->total, .stage = pass->stage};
    double fraction = done / (double)pass->total;

    if (!options->progress)
        return false;
    pass->fraction = fraction > pass->fraction ? fraction : pass->fraction;
    progress.fraction = pass->fraction;
    if (options->progress(&progress, options->progress_opaque))
        atomic_store(&pass->cancelled, 1);
    return atomic_load(&pass->cancelled);
}

/* Inside a block only the calling thread may call back: that is slot 0 of our own threads; in a host's pool no block is
 * known to be on it. */
static bool poll_block(void *opaque, int32_t slot, double share)
{
    struct bsq_pass *pass = opaque;
    bool calling = slot == 0 && (!pass->parallel.pool || pass->slots == 1);

    return calling ? report_progress(pass, (double)pass->done + share) : atomic_load(&pass->cancelled);
}

static size_t most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bsq_status_t allocate(struct bsq_pass *pass, const struct bsq_hessian_plan *other)
{
    const struct bsq_memory *memory = pass->input->memory;
    struct bsq_search search;
    struct bsq_hessian hessian;
    size_t search_bytes = bsq_search_layout(&search, &pass->plan, NULL);
    size_t hessian_bytes = bsq_hessian_layout(&hessian, &pass->hessian_plan, NULL);

    if (other)
        hessian_bytes = most_of(hessian_bytes, bsq_hessian_layout(&hessian, other, NULL));
    pass->search = bsq_memory_get(memory, pass->slots, sizeof *pass->search);
    pass->hessian = bsq_memory_get(memory, hessian_count(pass), sizeof *pass->hessian);
    pass->memory = bsq_memory_get_zeroed(memory, pass->slots + hessian_count(pass), sizeof *pass->memory);
    pass->prepare_seconds = bsq_memory_get_zeroed(memory, pass->blocks, sizeof *pass->prepare_seconds);
    pass->raised = bsq_memory_get_zeroed(memory, pass->blocks, sizeof *pass->raised);
    pass->dead_inputs = bsq_memory_get_zeroed(memory, pass->blocks, sizeof *pass->dead_inputs);
    if (!pass->search || !pass->hessian || !pass->memory || !pass->prepare_seconds || !pass->raised ||
        !pass->dead_inputs)
        return bsq_fail_memory(pass->input->message);
    for (int32_t i = 0; i < pass->slots + hessian_count(pass); i++) {
        pass->memory[i] = bsq_memory_get(memory, 1, i < pass->slots ? search_bytes : hessian_bytes);
        if (!pass->memory[i])
            return bsq_fail_memory(pass->input->message);
    }
    for (int32_t i = 0; i < pass->slots; i++) {
        (void)bsq_search_layout(&pass->search[i], &pass->plan, pass->memory[i]);
        pass->search[i].poll = poll_block;
        pass->search[i].poll_opaque = pass;
        pass->search[i].slot = i;
        pass->search[i].share = pass->search[i].share_end = 0.0;
    }
    return BSQ_OK;
}

static void cut_into_blocks(struct bsq_pass *pass, const struct bsq_geometry *geometry, const bsq_options_t *options)
{
    pass->parallel = bsq_parallel_of(options);
    pass->plan = bsq_pass_plan(geometry, options);
    pass->blocks_per_group =
        (geometry->group_outputs + pass->plan.block_channels - 1) / pass->plan.block_channels;
    pass->blocks = pass->blocks_per_group * geometry->groups;
    pass->groups_in_slots = geometry->groups > 1 && pass->blocks_per_group == 1;
    pass->slots = bsq_parallel_slots(&pass->parallel, pass->groups_in_slots ? pass->blocks : pass->blocks_per_group);
}

bsq_status_t bsq_pass_open(struct bsq_pass *pass, const struct bsq_solve_input *input,
                           const struct bsq_hessian_plan *plan, const struct bsq_hessian_plan *other)
{
    bsq_status_t status;

    *pass = (struct bsq_pass){.input = input, .hessian_plan = *plan, .prepared = -1};
    cut_into_blocks(pass, input->geometry, input->options);
    pass->total = pass->blocks;
    pass->plan.block_scratch = most_of(bsq_block_scratch(plan), other ? bsq_block_scratch(other) : 0);
    status = allocate(pass, other);
    if (status != BSQ_OK)
        bsq_pass_close(pass);
    else
        bsq_pass_replan(pass, plan);
    return status;
}

void bsq_pass_close(struct bsq_pass *pass)
{
    const struct bsq_memory *memory = pass->input->memory;

    for (int32_t i = 0; pass->memory && i < pass->slots + hessian_count(pass); i++)
        bsq_memory_put(memory, pass->memory[i]);
    bsq_memory_put(memory, pass->memory);
    bsq_memory_put(memory, pass->search);
    bsq_memory_put(memory, pass->hessian);
    bsq_memory_put(memory, pass->prepare_seconds);
    bsq_memory_put(memory, pass->raised);
    bsq_memory_put(memory, pass->dead_inputs);
    *pass = (struct bsq_pass){.input = pass->input};
}

void bsq_pass_replan(struct bsq_pass *pass, const struct bsq_hessian_plan *plan)
{
    pass->hessian_plan = *plan;
    pass->prepared = -1;
    for (int32_t i = 0; i < hessian_count(pass); i++)
        (void)bsq_hessian_layout(&pass->hessian[i], plan, pass->memory[pass->slots + i]);
}

static void prepare(struct bsq_pass *pass, struct bsq_hessian *hessian, int64_t index)
{
    int64_t first = index * pass->blocks_per_group;
    double start = bsq_seconds();

    bsq_hessian_prepare(hessian, &pass->hessian_plan, index);
    pass->prepare_seconds[first] += bsq_seconds() - start;
    pass->raised[first] |= hessian->raised;
    pass->dead_inputs[first] = hessian->dead_inputs;
}

static void begin(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian, int64_t index)
{
    double start = bsq_seconds();

    if (pass->begin)
        pass->begin(pass, search, hessian, index);
    pass->prepare_seconds[index * pass->blocks_per_group] += bsq_seconds() - start;
}

static void run_block(void *context, int64_t block, int32_t slot)
{
    struct bsq_pass *pass = context;
    const struct bsq_geometry *geometry = pass->input->geometry;
    struct bsq_search *search = &pass->search[slot];
    struct bsq_hessian *hessian = &pass->hessian[pass->groups_in_slots ? slot : 0];
    int64_t index = block / pass->blocks_per_group, first = block % pass->blocks_per_group * pass->plan.block_channels;
    int64_t left = geometry->group_outputs - first, channel = index * geometry->group_outputs + first;

    if (pass->groups_in_slots) {
        prepare(pass, hessian, index);
        begin(pass, search, hessian, index);
    }
    bsq_block_load(&search->block, hessian, pass->input->weights + channel * geometry->fan_in, first,
                   left < pass->plan.block_channels ? left : pass->plan.block_channels);
    pass->work(pass, search, block, channel);
}

static void sum_objective(struct bsq_pass *pass)
{
    pass->objective = 0.0;
    for (int64_t c = 0; pass->finished && c < pass->input->geometry->out_channels; c++)
        pass->objective += pass->finished[c].objective;
}

/* Blocks first..end-1, which need nothing prepared but what is. */
static bsq_status_t run_range(struct bsq_pass *pass, int64_t first, int64_t end)
{
    int64_t wave = WAVE_BLOCKS * (int64_t)pass->slots;
    bsq_status_t status = BSQ_OK;

    if (wave < (end - first) / WAVE_SHARE)
        wave = (end - first) / WAVE_SHARE;
    if (!pass->input->options->progress)
        wave = end - first;
    for (; first < end && status == BSQ_OK; first += wave) {
        int64_t count = end - first < wave ? end - first : wave;

        status = bsq_parallel_run(&pass->parallel, first, count, run_block, pass, pass->input->message);
        if (status != BSQ_OK)
            return status;
        pass->done += count;
        sum_objective(pass);
        if (atomic_load(&pass->cancelled) || report_progress(pass, (double)pass->done))
            return bsq_fail(pass->input->message, BSQ_E_CANCELLED, "the progress callback asked to stop");
    }
    return status;
}

bsq_status_t bsq_pass_run(struct bsq_pass *pass, bsq_pass_work work, void *context)
{
    bsq_status_t status = BSQ_OK;

    pass->work = work;
    pass->context = context;
    if (pass->groups_in_slots)
        return run_range(pass, 0, pass->blocks);
    for (int64_t index = 0; index < pass->input->geometry->groups && status == BSQ_OK; index++) {
        if (pass->prepared != index)
            prepare(pass, &pass->hessian[0], index);
        pass->prepared = index;
        begin(pass, &pass->search[0], &pass->hessian[0], index);
        status = run_range(pass, index * pass->blocks_per_group, (index + 1) * pass->blocks_per_group);
    }
    return status;
}

bool bsq_pass_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, size_t *bytes)
{
    struct bsq_pass pass = {.slots = 0};
    struct bsq_search search;
    int64_t n = geometry->fan_in, squares;
    size_t hessian_bytes;

    cut_into_blocks(&pass, geometry, options);
    if (!bsq_extent_mul(n, n, &squares) || squares > INT64_MAX / 64)
        return false;
    hessian_bytes = bsq_hessian_bytes(geometry, options->solver == BSQ_SOLVER_PAPER || pass.plan.scales_per_channel > 1 ||
                                                bsq_search_bounds(&pass.plan),
                                  pass.plan.effort > 0 || bsq_search_bounds(&pass.plan));
    pass.plan.block_scratch = bsq_block_scratch_most(geometry);
    *bytes = (size_t)pass.slots * bsq_memory_cost(bsq_search_layout(&search, &pass.plan, NULL)) +
             (size_t)hessian_count(&pass) * bsq_memory_cost(hessian_bytes) +
             (size_t)pass.blocks * (sizeof *pass.prepare_seconds + sizeof *pass.raised + sizeof *pass.dead_inputs) +
             (size_t)pass.slots * (sizeof *pass.search + sizeof *pass.hessian + 2 * sizeof *pass.memory) +
             6 * bsq_memory_cost(0);
    return true;
}
