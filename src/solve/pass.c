/* A pass: one kind of work over every block of channels of a layer. */
#include "solve/pass.h"

#include "base/progress.h"
#include <string.h>

/* With a progress callback, blocks run in waves of this many for each thread, and at least this share of all. */
enum { WAVE_BLOCKS = 2, WAVE_SHARE = 64 };

/* Reports that 'done' blocks are finished, parts of blocks counted; on the calling thread only. True means stop: work
 * that is under way asks a few times more until it ends, but the host, who has answered, is not asked again. */
static bool report_progress(struct bsq_pass *pass, double done)
{
    if (atomic_load(&pass->cancelled))
        return true;

    bsq_progress_t progress = {.struct_size = sizeof progress,
                               .objective = pass->objective,
                               .done = pass->done,
                               .total = pass->total,
                               .stage = pass->stage};
    double fraction = done / (double)pass->total;

    pass->fraction = fraction > pass->fraction ? fraction : pass->fraction;
    progress.fraction = pass->fraction;
    if (bsq_progress_stops(pass->input->options, &progress))
        atomic_store(&pass->cancelled, 1);
    return atomic_load(&pass->cancelled);
}

/* Inside a block only the calling thread may call back: that is slot 0 of our own threads; in a host's pool no block is
 * known to be on it. */
static bool poll_block(void *opaque, int32_t slot, double share)
{
    struct bsq_pass *pass = opaque;
    bool calling = slot == 0 && (!pass->parallel.pool || pass->plan->slots == 1);

    return calling ? report_progress(pass, (double)pass->done + share) : atomic_load(&pass->cancelled);
}

size_t bsq_pass_layout(struct bsq_pass *pass, const struct bsq_solve_plan *plan, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    struct bsq_search search;
    struct bsq_hessian hessian;
    size_t search_bytes = bsq_search_layout(&search, &plan->search, NULL);
    size_t own = bsq_hessian_layout(&hessian, &plan->hessian, NULL);
    size_t other = plan->judges_held_out ? bsq_hessian_layout(&hessian, &plan->held_out, NULL) : 0;

    *pass = (struct bsq_pass){.plan = plan};
    pass->search = bsq_carve(&carver, plan->slots, sizeof *pass->search);
    pass->hessian = bsq_carve(&carver, plan->hessians, sizeof *pass->hessian);
    pass->hessian_memory = bsq_carve(&carver, plan->hessians, sizeof *pass->hessian_memory);
    pass->prepare_seconds = bsq_carve(&carver, plan->blocks, sizeof *pass->prepare_seconds);
    pass->raised = bsq_carve(&carver, plan->blocks, sizeof *pass->raised);
    pass->dead_inputs = bsq_carve(&carver, plan->blocks, sizeof *pass->dead_inputs);
    for (int32_t i = 0; i < plan->slots; i++) {
        void *part = bsq_carve(&carver, (int64_t)search_bytes, 1);

        if (memory)
            (void)bsq_search_layout(&pass->search[i], &plan->search, part);
    }
    for (int32_t i = 0; i < plan->hessians; i++) {
        void *part = bsq_carve(&carver, (int64_t)(own > other ? own : other), 1);

        if (memory)
            pass->hessian_memory[i] = part;
    }
    return carver.used;
}

void bsq_pass_start(struct bsq_pass *pass, const struct bsq_solve_input *input)
{
    size_t blocks = (size_t)pass->plan->blocks;

    pass->input = input;
    pass->parallel = bsq_parallel_of(input->options);
    pass->total = pass->plan->blocks;
    memset(pass->prepare_seconds, 0, blocks * sizeof *pass->prepare_seconds);
    memset(pass->raised, 0, blocks * sizeof *pass->raised);
    memset(pass->dead_inputs, 0, blocks * sizeof *pass->dead_inputs);
    for (int32_t i = 0; i < pass->plan->slots; i++) {
        pass->search[i].poll = poll_block;
        pass->search[i].poll_opaque = pass;
        pass->search[i].slot = i;
        pass->search[i].share = pass->search[i].share_end = 0.0;
    }
    bsq_pass_replan(pass, &pass->plan->hessian);
}

void bsq_pass_replan(struct bsq_pass *pass, const struct bsq_hessian_plan *plan)
{
    pass->hessian_plan = plan;
    pass->prepared = -1;
    for (int32_t i = 0; i < pass->plan->hessians; i++)
        (void)bsq_hessian_layout(&pass->hessian[i], plan, pass->hessian_memory[i]);
}

static void prepare(struct bsq_pass *pass, struct bsq_hessian *hessian, int64_t index)
{
    int64_t first = index * pass->plan->blocks_per_group;
    double start = bsq_seconds();

    bsq_hessian_prepare(hessian, pass->hessian_plan, index);
    pass->prepare_seconds[first] += bsq_seconds() - start;
    if (pass->hessian_plan != &pass->plan->hessian)
        return; /* reports are of the statistics that were solved for */
    pass->raised[first] |= hessian->raised;
    pass->dead_inputs[first] = hessian->dead_inputs;
}

static void begin(struct bsq_pass *pass, struct bsq_search *search, struct bsq_hessian *hessian, int64_t index)
{
    double start = bsq_seconds();

    if (pass->begin)
        pass->begin(pass, search, hessian, index);
    pass->prepare_seconds[index * pass->plan->blocks_per_group] += bsq_seconds() - start;
}

static void run_block(void *context, int64_t block, int32_t slot)
{
    struct bsq_pass *pass = context;
    const struct bsq_geometry *geometry = pass->input->geometry;
    struct bsq_search *search = &pass->search[slot];
    struct bsq_hessian *hessian = &pass->hessian[pass->plan->groups_in_slots ? slot : 0];
    int64_t index = block / pass->plan->blocks_per_group,
            first = block % pass->plan->blocks_per_group * pass->plan->search.block_channels;
    int64_t left = geometry->group_outputs - first, channel = index * geometry->group_outputs + first;

    if (pass->plan->groups_in_slots) {
        prepare(pass, hessian, index);
        begin(pass, search, hessian, index);
    }
    bsq_block_load(&search->block, hessian, pass->input->weights + channel * geometry->fan_in, first,
                   left < pass->plan->search.block_channels ? left : pass->plan->search.block_channels);
    pass->work(pass, search, block, channel);
}

static void sum_objective(struct bsq_pass *pass)
{
    pass->objective = 0.0;
    for (int64_t c = 0; pass->finished && c < pass->input->geometry->out_channels; c++)
        pass->objective += pass->finished[c].objective;
}

/* Runs blocks first..end-1, for which H stands prepared or which prepare their own. */
static bsq_status_t run_range(struct bsq_pass *pass, int64_t first, int64_t end)
{
    int64_t wave = WAVE_BLOCKS * (int64_t)pass->plan->slots;
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
        if (report_progress(pass, (double)pass->done))
            return bsq_fail_cancelled(pass->input->message);
    }
    return status;
}

bsq_status_t bsq_pass_run(struct bsq_pass *pass, bsq_pass_work work, void *context)
{
    bsq_status_t status = BSQ_OK;

    pass->work = work;
    pass->context = context;
    if (pass->plan->groups_in_slots)
        return run_range(pass, 0, pass->plan->blocks);
    for (int64_t index = 0; index < pass->input->geometry->groups && status == BSQ_OK; index++) {
        if (pass->prepared != index)
            prepare(pass, &pass->hessian[0], index);
        pass->prepared = index;
        begin(pass, &pass->search[0], &pass->hessian[0], index);
        status = run_range(pass, index * pass->plan->blocks_per_group, (index + 1) * pass->plan->blocks_per_group);
    }
    return status;
}
