/* The search of exact.c on grids that are several for it. */
#include "solve/exact_grid.h"

#include <math.h>

/* One of them: codes of the grid plus 'shift', the other way round on the negative side. */
struct part {
    int32_t shift;
    bool negative;
};

static int32_t shift_count(const struct bsq_rounding *rounding)
{
    return rounding->shifting.kind == BSQ_SHIFT_STEPS ? rounding->most_shift - rounding->least_shift + 1 : 1;
}

bool bsq_exact_grid_applies(const struct bsq_rounding *rounding)
{
    int32_t low = rounding->lowest, high = rounding->highest;

    if (rounding->shifting.kind == BSQ_SHIFT_STEPS) {
        low += rounding->least_shift;
        high += rounding->most_shift;
    }
    return rounding->shifting.kind != BSQ_SHIFT_FREE && high <= INT8_MAX &&
           low >= (rounding->scale_signed ? -INT8_MAX : INT8_MIN);
}

/* Gives number i of them. */
static struct part part_of(const struct bsq_rounding *rounding, int32_t i)
{
    int32_t shifts = shift_count(rounding);

    return (struct part){rounding->shifting.kind == BSQ_SHIFT_STEPS ? rounding->least_shift + i % shifts : 0,
                         i / shifts > 0};
}

/* Sets the range of a part, and its levels in 'levels'. */
static void set_range(struct bsq_exact_task *task, const struct bsq_rounding *rounding, const struct part *part,
                      int8_t *levels)
{
    int32_t count = rounding->level_count;

    task->lowest = part->negative ? -rounding->highest : rounding->lowest + part->shift;
    task->highest = part->negative ? -rounding->lowest : rounding->highest + part->shift;
    task->levels = rounding->levels;
    task->level_count = count;
    if (!rounding->levels || !part->negative)
        return;
    for (int32_t i = 0; i < count; i++)
        levels[i] = (int8_t)-rounding->levels[count - 1 - i];
    task->levels = levels;
}

/* Turns what was found in a part into codes and scale of the grid. */
static void take_part(struct bsq_exact_task *task, int64_t n, const struct part *part, double *shift)
{
    for (int64_t i = 0; i < n; i++)
        task->codes[i] = (int8_t)(part->negative ? -task->codes[i] : task->codes[i] - part->shift);
    if (part->negative)
        task->scale = -task->scale;
    *shift = part->shift;
}

int32_t bsq_exact_grid_solve(const struct bsq_exact *exact, const struct bsq_rounding *rounding,
                             struct bsq_exact_task *task, double *shift)
{
    int32_t count = shift_count(rounding) * (rounding->scale_signed ? 2 : 1), proven = 1;
    double bound = INFINITY, scale = task->scale;
    int8_t levels[BSQ_BEAM_LEVELS];

    task->node_limit = (task->node_limit - 1) / count + 1;
    for (int32_t i = 0; i < count; i++) {
        struct part part = part_of(rounding, i);
        double known = task->cost;

        set_range(task, rounding, &part, levels);
        task->scale = fabs(scale); /* where a search may begin */
        proven &= bsq_exact_solve(exact, task);
        bound = fmin(bound, task->bound);
        if (task->cost < known) {
            take_part(task, exact->n, &part, shift);
            scale = task->scale;
        }
    }
    task->scale = scale;
    task->bound = bound;
    return proven;
}
