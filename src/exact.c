/* The joint optimum over scale and codes of one channel.
 *
 * With z = R v and y = R q the cost sum_k (z_k - alpha y_k)^2 is, for the rows decided so far, a parabola
 * A - 2 B alpha + C alpha^2. A partial choice of codes can only lead to a cost below a threshold for the scales between
 * the points where its parabola meets the threshold: that interval shrinks from row to row, and where it is empty the
 * choice is dropped. So one depth-first search decides scale and codes together (Schnorr-Euchner order: the child of least
 * bound first).
 *
 * The search runs for rising thresholds. One that ends without a find proves that nothing costs less than its threshold;
 * work grows with the threshold to the power n / 2, so that the early ones cost little, and what the last complete one
 * proved is the bound when the limit of nodes comes first. */
#include "exact.h"

#include <math.h>
#include <string.h>

/* A proof means that nothing is better by more than this share. */
static const double proven_gap = 1e-9;

/* Thresholds as shares of the best known cost. */
static const double shares[] = {0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0};

/* A row on the way down: what led here, and the children that are left, the best first. */
struct level {
    double a, b, c;       /* parabola of the rows after this one */
    double low, high;     /* scales that are still possible */
    double t;             /* sum over decided inputs j of R_kj q_j */
    int32_t count, next;
    double bound[BSQ_EXACT_CODES]; /* children */
    int8_t code[BSQ_EXACT_CODES];
};

struct search {
    struct bsq_exact_task *task;
    double z[BSQ_EXACT_INPUTS];
    int32_t q[BSQ_EXACT_INPUTS];
    double threshold;
    int32_t found;
};

/* The least value of a parabola on an interval. */
static double least_on(double a, double b, double c, double low, double high)
{
    double alpha = c > 0.0 ? b / c : low;

    alpha = alpha < low ? low : alpha > high ? high : alpha;
    return a - 2.0 * b * alpha + c * alpha * alpha;
}

/* Shrinks an interval to where a parabola stays below a threshold; false when nothing is left. */
static int shrink(double a, double b, double c, double threshold, double *low, double *high)
{
    double discriminant = b * b - c * (a - threshold), root, from, to;

    if (!(c > 0.0))
        return a < threshold;
    if (!(discriminant > 0.0))
        return 0;
    root = sqrt(discriminant);
    from = (b - root) / c;
    to = (b + root) / c;
    *low = from > *low ? from : *low;
    *high = to < *high ? to : *high;
    return *low < *high;
}

/* Children of row k by rising bound, those above the threshold left out. */
static void list_children(const struct search *search, struct level *level, int64_t k)
{
    const struct bsq_exact_task *task = search->task;
    double z = search->z[k], diagonal = task->r[k * task->n + k];

    level->count = level->next = 0;
    for (int32_t code = task->lowest; code <= task->highest; code++) {
        double y = level->t + diagonal * code, a = level->a + z * z, b = level->b + z * y, c = level->c + y * y;
        double bound = least_on(a, b, c, level->low, level->high);
        int32_t i = level->count;

        if (!(bound < search->threshold))
            continue;
        for (; i > 0 && level->bound[i - 1] > bound; i--) {
            level->bound[i] = level->bound[i - 1];
            level->code[i] = level->code[i - 1];
        }
        level->bound[i] = bound;
        level->code[i] = (int8_t)code;
        level->count++;
    }
}

/* All codes are decided: takes them over and lowers the threshold to their cost. */
static void take(struct search *search, double a, double b, double c)
{
    struct bsq_exact_task *task = search->task;
    double cost = a - b * b / c;

    if (!(b > 0.0) || !(c > 0.0) || !(cost < search->threshold))
        return;
    for (int64_t k = 0; k < task->n; k++)
        task->codes[task->order[k]] = (int8_t)search->q[k];
    task->scale = b / c;
    task->cost = cost;
    search->threshold = cost * (1.0 - proven_gap);
    search->found = 1;
}

/* Goes to the next child of row k; false when there is none left. */
static int descend(struct search *search, struct level *levels, int64_t k)
{
    const struct bsq_exact_task *task = search->task;
    struct level *level = &levels[k], *below;
    double z = search->z[k], y;
    int64_t n = task->n;

    while (level->next < level->count) {
        int32_t i = level->next++;
        double low = level->low, high = level->high, a, b, c, t = 0.0;

        if (!(level->bound[i] < search->threshold)) /* it fell since the children were listed */
            return 0;
        search->q[k] = level->code[i];
        y = level->t + task->r[k * n + k] * level->code[i];
        a = level->a + z * z;
        b = level->b + z * y;
        c = level->c + y * y;
        if (k == 0) {
            take(search, a, b, c);
            continue;
        }
        if (!shrink(a, b, c, search->threshold, &low, &high))
            continue;
        below = level - 1;
        for (int64_t j = k; j < n; j++)
            t += task->r[(k - 1) * n + j] * search->q[j];
        below->a = a;
        below->b = b;
        below->c = c;
        below->low = low;
        below->high = high;
        below->t = t;
        list_children(search, below, k - 1);
        return 1;
    }
    return 0;
}

/* One search below search->threshold; false when the nodes ran out. */
static int run(struct search *search, struct level *levels)
{
    struct bsq_exact_task *task = search->task;
    int64_t top = task->n - 1, k = top;

    levels[top].a = levels[top].b = levels[top].c = levels[top].t = 0.0;
    levels[top].low = 0.0;
    levels[top].high = 1e300;
    list_children(search, &levels[top], top);
    while (k <= top) {
        if (++task->nodes > task->node_limit)
            return 0;
        k += descend(search, levels, k) ? -1 : 1;
    }
    return 1;
}

static void load(struct search *search, struct bsq_exact_task *task)
{
    int64_t n = task->n;

    search->task = task;
    for (int64_t k = 0; k < n; k++) {
        search->z[k] = 0.0;
        for (int64_t j = k; j < n; j++)
            search->z[k] += task->r[k * n + j] * task->v[task->order[j]];
    }
}

int32_t bsq_exact_solve(struct bsq_exact_task *task)
{
    struct search search;
    struct level levels[BSQ_EXACT_INPUTS];

    task->nodes = 0;
    task->bound = 0.0;
    load(&search, task);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double threshold = task->cost * (i + 1 < sizeof shares / sizeof *shares ? shares[i] : 1.0 - proven_gap);

        search.threshold = threshold;
        search.found = 0;
        if (!run(&search, levels))
            return 0;
        if (search.found) { /* a complete search below its threshold: nothing is better than what it found */
            task->bound = task->cost;
            return 1;
        }
        task->bound = threshold;
    }
    task->bound = task->cost;
    return 1;
}
