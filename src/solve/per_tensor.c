/* One scale for the whole tensor: a grid over it, each value judged by the J of the whole layer. */
#include "solve/per_tensor.h"

#include "solve/polish.h"
#include "stages/scale.h"
#include "stages/values.h"

#include <math.h>
#include <string.h>

/* Turns of scale and codes after the grid. */
enum { MOST_TURNS = 4 };

size_t bsq_per_tensor_layout(struct bsq_per_tensor *tensor, int64_t channels, int64_t fan_in, int64_t blocks,
                             void *memory)
{
    struct bsq_carver carver = {memory, 0};

    *tensor = (struct bsq_per_tensor){.channels = channels, .fan_in = fan_in};
    tensor->best.codes = bsq_carve(&carver, channels * fan_in, 1);
    tensor->unrestricted.codes = bsq_carve(&carver, channels * fan_in, 1);
    tensor->trial.codes = bsq_carve(&carver, channels * fan_in, 1);
    tensor->j = bsq_carve(&carver, channels, sizeof *tensor->j);
    tensor->along = bsq_carve(&carver, channels, sizeof *tensor->along);
    tensor->square = bsq_carve(&carver, channels, sizeof *tensor->square);
    tensor->blocks = bsq_carve(&carver, blocks * BSQ_EFFORT_STAGES, sizeof *tensor->blocks);
    return carver.used;
}

/* Counts the scales of an effort's grid: each is tried with all channels. */
static int32_t grid_scales(const struct bsq_effort_plan *effort_plan)
{
    enum { MOST = 9 };

    return effort_plan->beam.count < MOST ? effort_plan->beam.count : MOST;
}

int64_t bsq_per_tensor_passes(int32_t effort)
{
    int64_t passes = 2;

    for (int32_t e = 1; e <= effort; e++)
        passes += grid_scales(bsq_effort_plan(e)) + MOST_TURNS + 2;
    return passes;
}

/* What a pass does to the codes of the trial. */
struct tensor_work {
    struct bsq_per_tensor *tensor;
    const struct bsq_effort_plan *effort_plan; /* NULL: only judge them */
    int32_t width;                             /* beam from the weights; 0: start from the codes that are there */
};

static void solve_block(struct bsq_pass *pass, struct bsq_search *search, int64_t block, int64_t channel)
{
    const struct tensor_work *work = pass->context;
    struct bsq_per_tensor *tensor = work->tensor;
    struct bsq_candidate *trial = &search->trial;
    int64_t n = tensor->fan_in, channels = search->block.channels;
    struct bsq_stage_record records[BSQ_EFFORT_STAGES] = {{0}};
    int8_t *codes = tensor->trial.codes + channel * n;

    memcpy(trial->codes, codes, (size_t)(channels * n));
    bsq_search_reset(search);
    for (int64_t c = 0; c < channels; c++)
        trial->scales[c] = tensor->trial.scale;
    search->effort_plan = work->effort_plan;
    if (work->effort_plan && search->block.hessian->searchable)
        bsq_polish_fixed(search, work->width, records);
    if (!work->effort_plan || !search->block.hessian->searchable || !search->block.hessian->h)
        bsq_candidate_judge(trial, &search->block, search->u);
    memcpy(codes, trial->codes, (size_t)(channels * n));
    for (int64_t c = 0; c < channels; c++) {
        double along = 0.0, square = 0.0;

        for (int64_t i = c * n; i < (c + 1) * n; i++) {
            double u = trial->scales[c] * trial->codes[i];

            along += u * trial->g[i];
            square += u * (search->block.p[i] - trial->g[i]);
        }
        if (bsq_scale_is_far(along, square))
            square = bsq_candidate_square(trial, &search->block, c, search->u, search->scratch);
        tensor->along[channel + c] = along;
        tensor->square[channel + c] = square;
        tensor->j[channel + c] = trial->j[c];
        if (work->effort_plan &&
            (!bsq_block_admits(&search->block, c, trial->j[c]) || !bsq_candidate_fits(trial, n, c)))
            tensor->j[channel + c] = INFINITY;
    }
    for (int k = 0; k < BSQ_EFFORT_STAGES; k++) {
        tensor->blocks[block * BSQ_EFFORT_STAGES + k].seconds += records[k].seconds;
        tensor->blocks[block * BSQ_EFFORT_STAGES + k].sweeps += records[k].sweeps;
    }
}

/* Solves or judges the trial at its scale; sums are taken channel by channel, whichever thread solved them. */
static bsq_status_t run_trial(struct bsq_per_tensor *tensor, struct bsq_pass *pass,
                              const struct bsq_effort_plan *effort_plan, int32_t width)
{
    struct tensor_work work = {tensor, effort_plan, width};
    bsq_status_t status = bsq_pass_run(pass, solve_block, &work);

    tensor->trial.j = tensor->trial.along = tensor->trial.square = 0.0;
    for (int64_t c = 0; c < tensor->channels; c++) {
        tensor->trial.j += tensor->j[c];
        tensor->trial.along += tensor->along[c];
        tensor->trial.square += tensor->square[c];
    }
    return status;
}

static void swap_points(struct bsq_per_tensor_point *a, struct bsq_per_tensor_point *b)
{
    struct bsq_per_tensor_point other = *a;

    *a = *b;
    *b = other;
}

static void copy_point(const struct bsq_per_tensor *tensor, struct bsq_per_tensor_point *to,
                       const struct bsq_per_tensor_point *from)
{
    int8_t *codes = to->codes;

    memcpy(codes, from->codes, (size_t)(tensor->channels * tensor->fan_in));
    *to = *from;
    to->codes = codes;
}

/* Gives J when the scale is moved to its best value for these codes, and that scale. */
static double refit_j(const struct bsq_per_tensor_point *point, double *scale)
{
    double x = point->square > 0.0 ? point->along / point->square : 0.0;

    if (!(x > -1.0) || !isfinite(x))
        x = 0.0;
    *scale = point->scale * (1.0 + x);
    return point->j - x * (2.0 * point->along - x * point->square);
}

bsq_status_t bsq_per_tensor_round(struct bsq_per_tensor *tensor, struct bsq_pass *pass, struct bsq_stage_record *record)
{
    const struct bsq_rounding *rounding = &pass->plan->search.rounding;
    const float *weights = pass->input->weights;
    int64_t count = tensor->channels * tensor->fan_in;
    double most = bsq_round_maximum_scale(rounding, weights, count), start = bsq_seconds();
    double wanted[2] = {most, bsq_round_alternating_scale(rounding, weights, count, most)};

    tensor->best.j = INFINITY;
    for (int i = 0; i < 2; i++) {
        bsq_status_t status;

        tensor->trial.scale = bsq_round_allowed_scale(rounding, weights, count, wanted[i]);
        bsq_round_codes(rounding, weights, count, tensor->trial.scale, 0.0, tensor->trial.codes);
        status = run_trial(tensor, pass, NULL, 0);
        if (status != BSQ_OK)
            return status;
        if (i == 0)
            record->before = tensor->trial.j;
        if (tensor->trial.j < tensor->best.j)
            swap_points(&tensor->best, &tensor->trial);
    }
    copy_point(tensor, &tensor->unrestricted, &tensor->best);
    record->after = tensor->best.j;
    record->seconds = bsq_seconds() - start;
    return BSQ_OK;
}

/* Tries a grid of scales around 'centre', by the J that a refit leaves; unrestricted takes the best when it is better.
 */
static bsq_status_t try_grid(struct bsq_per_tensor *tensor, struct bsq_pass *pass,
                             const struct bsq_effort_plan *effort_plan, int32_t width, double centre)
{
    double multipliers[BSQ_BEAM_COUNT], unused;

    bsq_scale_grid(effort_plan->low, effort_plan->high, grid_scales(effort_plan), multipliers);
    for (int32_t i = 0; i < grid_scales(effort_plan); i++) {
        bsq_status_t status;

        tensor->trial.scale = centre * multipliers[i];
        status = run_trial(tensor, pass, effort_plan, width);
        if (status != BSQ_OK)
            return status;
        if (refit_j(&tensor->trial, &unused) < refit_j(&tensor->unrestricted, &unused))
            swap_points(&tensor->unrestricted, &tensor->trial);
    }
    return BSQ_OK;
}

/* Moves scale and codes of unrestricted in turn, for as long as it helps. */
static bsq_status_t take_turns(struct bsq_per_tensor *tensor, struct bsq_pass *pass,
                               const struct bsq_effort_plan *effort_plan)
{
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        bsq_status_t status;

        copy_point(tensor, &tensor->trial, &tensor->unrestricted);
        (void)refit_j(&tensor->unrestricted, &tensor->trial.scale);
        status = run_trial(tensor, pass, effort_plan, 0);
        if (status != BSQ_OK)
            return status;
        if (!(tensor->trial.j < tensor->unrestricted.j * (1.0 - 1e-9)))
            return BSQ_OK;
        swap_points(&tensor->unrestricted, &tensor->trial);
    }
    return BSQ_OK;
}

/* Tries values of the format next to the scale of unrestricted, codes solved for each; best takes the better. */
static bsq_status_t settle(struct bsq_per_tensor *tensor, struct bsq_pass *pass,
                           const struct bsq_effort_plan *effort_plan, int32_t width)
{
    const struct bsq_rounding *rounding = &pass->plan->search.rounding;
    double neighbours[2], wanted;

    (void)refit_j(&tensor->unrestricted, &wanted);
    bsq_values_neighbours(rounding, wanted, &neighbours[0], &neighbours[1]);
    for (int i = 0; i < (neighbours[0] < neighbours[1] ? 2 : 1); i++) {
        bsq_status_t status;

        copy_point(tensor, &tensor->trial, &tensor->unrestricted);
        tensor->trial.scale = neighbours[i];
        status = run_trial(tensor, pass, effort_plan, bsq_values_are_free(rounding) ? 0 : width);
        if (status != BSQ_OK)
            return status;
        if (tensor->trial.j < tensor->best.j)
            swap_points(&tensor->best, &tensor->trial);
    }
    return BSQ_OK;
}

/* Adds what the blocks spent on a stage since the effort began. */
static void collect_work(const struct bsq_per_tensor *tensor, int64_t blocks, struct bsq_stage_record *records)
{
    for (int k = 0; k < BSQ_EFFORT_STAGES; k++) {
        for (int64_t b = 0; b < blocks; b++) {
            records[k].seconds += tensor->blocks[b * BSQ_EFFORT_STAGES + k].seconds;
            records[k].sweeps += tensor->blocks[b * BSQ_EFFORT_STAGES + k].sweeps;
        }
    }
}

bsq_status_t bsq_per_tensor_effort(struct bsq_per_tensor *tensor, struct bsq_pass *pass, int32_t effort,
                                   struct bsq_stage_record *records)
{
    const struct bsq_effort_plan *effort_plan = bsq_effort_plan(effort);
    int64_t count = tensor->channels * tensor->fan_in;
    double centre = tensor->unrestricted.scale, found;
    bsq_status_t status;

    memset(tensor->blocks, 0, (size_t)(pass->plan->blocks * BSQ_EFFORT_STAGES) * sizeof *tensor->blocks);
    records[BSQ_EFFORT_BEAM].before = tensor->unrestricted.j;
    if (effort == 1)
        centre =
            bsq_round_least_scale(&pass->plan->search.rounding, pass->input->weights, count,
                                  bsq_round_maximum_scale(&pass->plan->search.rounding, pass->input->weights, count));
    status = try_grid(tensor, pass, effort_plan, bsq_effort_width(effort), centre);
    if (status == BSQ_OK) {
        records[BSQ_EFFORT_BEAM].after = tensor->unrestricted.j;
        records[BSQ_EFFORT_BITSPLIT].before = records[BSQ_EFFORT_BITSPLIT].after = tensor->unrestricted.j;
        records[BSQ_EFFORT_DESCENT].before = tensor->unrestricted.j;
        status = take_turns(tensor, pass, effort_plan);
        records[BSQ_EFFORT_DESCENT].after = tensor->unrestricted.j;
    }
    if (status == BSQ_OK) {
        records[BSQ_EFFORT_SCALE].before = tensor->best.j;
        found = bsq_seconds();
        status = settle(tensor, pass, effort_plan, bsq_effort_width(effort));
        records[BSQ_EFFORT_SCALE].seconds = bsq_seconds() - found;
        records[BSQ_EFFORT_SCALE].after = tensor->best.j;
    }
    collect_work(tensor, pass->plan->blocks, records);
    return status;
}
