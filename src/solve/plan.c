/* What follows from a layer, its options and its statistics before any memory is held. */
#include "solve/plan.h"

#include "base/grid.h"
#include "base/options.h"
#include "solve/lower_bound.h"
#include "solve/optimum.h"
#include "solve/single_precision.h"
#include "stages/scale.h"

#include <math.h>

/* What is known of statistics. */
struct known {
    const struct bsq_stats_t *stats;
    bool present, target, means;
    double rows; /* 0: unknown */
};

static struct known look_at(const struct bsq_stats_t *stats)
{
    if (!stats)
        return (struct known){.stats = NULL};
    return (struct known){stats, true, bsq_stats_has_target(stats), bsq_stats_has_means(stats), bsq_stats_rows(stats)};
}

/* Gives lambda: that of the options, or from N / n (docs/method.md, section 11). */
static double choose_damping(const bsq_options_t *options, double rows, int64_t fan_in)
{
    const double most = 0.3, least = 1e-6;

    if (options->solver == BSQ_SOLVER_PAPER)
        return 0.0;
    if (options->damping >= 0.0)
        return options->damping;
    if (!(rows > 0.0))
        return least;
    return fmax(most * fmin((double)fan_in / rows, 1.0), least);
}

struct bsq_shifting bsq_plan_shifting(int32_t bits, int32_t grid)
{
    switch (grid) {
    case BSQ_WEIGHT_GRID_ZERO_POINT: return (struct bsq_shifting){BSQ_SHIFT_STEPS, 0.0};
    case BSQ_WEIGHT_GRID_OFFSET: return (struct bsq_shifting){BSQ_SHIFT_FREE, (double)(1 << (bits - 1))};
    default: return (struct bsq_shifting){BSQ_SHIFT_NONE, 0.0};
    }
}

static void plan_search(struct bsq_solve_plan *plan, const bsq_options_t *options)
{
    const struct bsq_geometry *geometry = plan->geometry;
    struct bsq_search_plan *search = &plan->search;

    *search = (struct bsq_search_plan){.fan_in = geometry->fan_in,
                                       .block_channels = bsq_block_channels(geometry),
                                       .group_size = geometry->fan_in,
                                       .scales_per_channel = 1,
                                       .effort = plan->efforts};
    search->rounding = (struct bsq_rounding){.scale_format = options->scale_format,
                                             .scale_unit = 1.0,
                                             .scale_signed = options->scale_signed,
                                             .scale_bits = options->scale_bits,
                                             .super_group = options->super_group};
    if (options->scale_kind == BSQ_SCALE_KIND_PER_GROUP) {
        search->group_size = options->group_size;
        search->scales_per_channel = (search->fan_in + search->group_size - 1) / search->group_size;
    }
    bsq_solve_plan_bits(plan, options, options->weight_bits);
    search->contains = options->weight_grid == BSQ_WEIGHT_GRID_FULL && bsq_round_is_plain(&search->rounding) &&
                       plan->efforts > 0 && !plan->keeps_scales && !plan->per_tensor;
    search->exact = bsq_optimum_applies(search) && !plan->keeps_scales;
    search->lower_bound = options->lower_bound && bsq_lower_bound_applies(search);
}

static void plan_hessian(struct bsq_solve_plan *plan, const bsq_options_t *options, const struct known *known)
{
    bool bounds = plan->search.lower_bound;
    struct bsq_hessian_plan *hessian = &plan->hessian;

    *hessian = (struct bsq_hessian_plan){.geometry = plan->geometry,
                                         .stats = known->stats,
                                         .present = known->present,
                                         .targets = known->target,
                                         .damping = choose_damping(options, known->rows, plan->geometry->fan_in),
                                         .mu = known->target ? options->asymmetry : 0.0,
                                         .centred = options->bias_correction,
                                         .factor = plan->efforts > 0 || bounds,
                                         .factor64 = bounds,
                                         .dense = plan->paper || bounds,
                                         .rows = plan->search.scales_per_channel > 1};
    hessian->single = !plan->per_tensor && !plan->keeps_scales && (plan->efforts > 1 || !bounds) &&
                      bsq_single_precision_applies(&plan->search, hessian);
}

static void plan_held_out(struct bsq_solve_plan *plan, const struct known *known)
{
    plan->judges_held_out = known->present;
    plan->held_means = known->means;
    plan->held_out = (struct bsq_hessian_plan){.geometry = plan->geometry,
                                               .stats = known->stats,
                                               .present = known->present,
                                               .targets = known->target,
                                               .mu = known->target ? plan->hessian.mu : 0.0,
                                               .dense = plan->paper};
}

static void cut_into_blocks(struct bsq_solve_plan *plan, const bsq_options_t *options)
{
    const struct bsq_geometry *geometry = plan->geometry;
    struct bsq_parallel parallel = bsq_parallel_of(options);
    size_t own = bsq_block_scratch(&plan->hessian), other = bsq_block_scratch(&plan->held_out);

    plan->search.block_scratch = own > other ? own : other;
    plan->blocks_per_group = (geometry->group_outputs - 1) / plan->search.block_channels + 1;
    plan->blocks = plan->blocks_per_group * geometry->groups;
    plan->groups_in_slots = geometry->groups > 1 && plan->blocks_per_group == 1;
    plan->slots = bsq_parallel_slots(&parallel, plan->groups_in_slots ? plan->blocks : plan->blocks_per_group);
    plan->hessians = plan->groups_in_slots ? plan->slots : 1;
}

static struct bsq_solve_plan make(const struct bsq_geometry *geometry, const bsq_options_t *options,
                                  const struct known *stats, const struct known *held_out)
{
    struct bsq_solve_plan plan = {.geometry = geometry,
                                  .paper = options->solver == BSQ_SOLVER_PAPER,
                                  .keeps_scales = options->keep_scales,
                                  .per_tensor =
                                      options->scale_kind == BSQ_SCALE_KIND_PER_TENSOR && !options->keep_scales,
                                  .has_means = stats->means,
                                  .efforts = options->solver == BSQ_SOLVER_AUTO ? options->effort : 0};

    plan.records = BSQ_RECORD_EFFORTS + (plan.paper ? 1 : plan.efforts) * BSQ_EFFORT_STAGES;
    plan_search(&plan, options);
    plan_hessian(&plan, options, stats);
    plan_held_out(&plan, held_out);
    cut_into_blocks(&plan, options);
    return plan;
}

/* Gives what values of the format E4M3 are multiplied with: the option, or what makes the largest of them the scale of
 * the largest weight. */
static double choose_unit(const struct bsq_solve_input *input, const struct bsq_rounding *rounding)
{
    const double most = 448.0;
    int64_t count = input->geometry->out_channels * input->geometry->fan_in;
    double scale, shift;

    if (input->options->scale_unit > 0.0f)
        return (double)input->options->scale_unit;
    if (bsq_round_is_plain(rounding))
        scale = bsq_round_maximum_scale(rounding, input->weights, count);
    else
        bsq_round_fit(rounding, input->weights, NULL, count, BSQ_RULE_MAXIMUM, &scale, &shift);
    return bsq_scale_float32(scale / most);
}

struct bsq_solve_plan bsq_solve_plan(const struct bsq_solve_input *input)
{
    struct known stats = look_at(input->stats), held_out = look_at(input->held_out);
    struct bsq_solve_plan plan = make(input->geometry, input->options, &stats, &held_out);

    if (input->options->scale_format == BSQ_SCALE_FORMAT_E4M3)
        plan.search.rounding.scale_unit = choose_unit(input, &plan.search.rounding);
    return plan;
}

struct bsq_solve_plan bsq_solve_plan_presumed(const struct bsq_geometry *geometry, const bsq_options_t *options)
{
    struct known stats = {.present = true, .target = true, .means = true}, nothing = {.stats = NULL};
    bsq_options_t presumed = *options;

    presumed.asymmetry = 1.0;
    return make(geometry, &presumed, &stats, &nothing);
}

void bsq_solve_plan_bits(struct bsq_solve_plan *plan, const bsq_options_t *options, int32_t bits)
{
    struct bsq_rounding *rounding = &plan->search.rounding;
    struct bsq_grid grid;
    int32_t middle = 1 << (bits - 1);

    plan->search.bits = bits;
    bsq_grid_describe(bits, options->weight_grid, options->levels, options->level_count, &grid);
    rounding->levels = grid.levels;
    rounding->level_count = grid.level_count;
    rounding->lowest = grid.levels ? grid.levels[0] : grid.lowest;
    rounding->highest = grid.levels ? grid.levels[grid.level_count - 1] : grid.highest;
    rounding->shifting = bsq_plan_shifting(bits, options->weight_grid);
    if (rounding->shifting.kind != BSQ_SHIFT_NONE) { /* codes from 0 on, kept as int8 around their middle */
        rounding->lowest -= middle;
        rounding->highest -= middle;
        rounding->least_shift = middle - grid.highest;
        rounding->most_shift = middle - options->zero_point_least;
    }
    plan->search.planes = options->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC && !grid.levels;
}
