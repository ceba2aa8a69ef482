/* The joint optimum over scale and codes of one channel.
 *
 * Basis. The inputs of a layer are much alike, so sums of codes matter far more than single ones. U with integer
 * entries and determinant 1 or -1 turns codes into x = U^-1 q, such that the columns of R U are short and nearly at
 * right angles (Lenstra, Lenstra and Lovasz, 1982): what is decided first, the last x, then weighs most, and few of
 * its values are possible.
 *
 * Search. With z = R' U^-1 c and y = R' x (R' the triangular factor of R U) the cost sum_k (z_k - alpha y_k)^2 is, for
 * the rows decided so far, a parabola A - 2 B alpha + C alpha^2. A partial choice can only lead to a cost below a
 * threshold for the scales between the points where its parabola meets the threshold: that interval shrinks from row
 * to row, and where it is empty the choice is dropped. So one depth-first search decides scale and codes together.
 *
 * Range of the codes. Let e = v - c for any c, g = H e, and b_i the largest code where g_i > 0, else the smallest. Then
 *
 *     |R (v - alpha q)|^2 = 2 g'v - e'g - 2 alpha g'b + |R (c - alpha q)|^2 + 2 alpha sum_i |g_i| |b_i - q_i|
 *
 * for every alpha and q, and nothing that is added while codes are decided is negative. With c the best real point in
 * the box of possible alpha q, what precedes the squares is what clipping costs at that alpha, and the sphere around c
 * is smaller than the one around v by as much.
 *
 * Scales. c is right for one scale only: an interval of scales in which the search takes long is cut in two. The
 * interval with the least proven bound is next; its bound rises in steps, since work grows with the threshold to the
 * power n / 2. */
#include "stages/exact.h"

#include "base/blas.h"
#include "base/memory.h"
#include "stages/levels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A proof means that nothing is better by more than this share. */
static const double proven_gap = 1e-9;

/* What costs lose to rounding, as a share of the cost of codes that are all zero and for each input. */
static const double rounding = 0x1p-50;

/* Share of the best known cost from which on the last threshold is next; least factor from one to the next. */
static const double last_share = 0.97, least_step = 1.05;

/* A coordinate at an edge stays there unless its gradient could move it by more than this share of the box. */
static const double slack = 1e-7;

/* Lenstra, Lenstra and Lovasz's delta. */
static const double reduction = 0.99;

/* Intervals of scales that are open at one time; passes and steps to c; nodes for an interval that was not cut
 * yet. */
enum { MOST_PIECES = 512, PASSES = 20, MOST_STEPS = 40, PIECE_NODES = 100 };

struct piece {
    double low, high; /* of the scale */
    double bound;     /* nothing in it costs less */
    int64_t nodes;    /* after which it is cut */
    int64_t spent;    /* nodes that its bound took */
};

/* A row on the way down. */
struct level {
    double a, b, c;     /* parabola of the rows after this one */
    double low, high;   /* scales that are still possible */
    double t;           /* sum over decided j of R'_kj x_j */
    double start, next; /* values of x_k: down from start, then up */
    double step;
};

/* Arrays are of n. */
struct enumeration {
    const struct bsq_exact *exact;
    struct bsq_exact_task *task;
    struct piece *pieces; /* MOST_PIECES */
    struct level *levels;
    double *least, *most; /* what x may be */
    double *v;            /* in the order of the factor */
    double *c, *g;        /* c, and H (v - c) */
    double *edge;         /* b */
    double *z;
    double *x, *q;
    double *step;     /* of c, where it is free */
    double *cholesky; /* n x n: of H, where c is free */
    int64_t *free;
    double nothing; /* cost of codes that are all zero */
    double a, b;    /* parabola before anything is decided */
    double threshold;
    int64_t limit; /* of nodes, for this run */
};

/* ---- the basis ---- */

static size_t lay_out_state(struct enumeration *state, int64_t n, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    double **arrays[] = {&state->least, &state->most, &state->v, &state->c, &state->g,
                         &state->edge,  &state->z,    &state->x, &state->q, &state->step};

    *state = (struct enumeration){.exact = NULL};
    state->pieces = bsq_carve(&carver, MOST_PIECES, sizeof *state->pieces);
    state->levels = bsq_carve(&carver, n, sizeof *state->levels);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = bsq_carve(&carver, n, sizeof **arrays[i]);
    state->cholesky = bsq_carve(&carver, n * n, sizeof *state->cholesky);
    state->free = bsq_carve(&carver, n, sizeof *state->free);
    return carver.used;
}

size_t bsq_exact_layout(struct bsq_exact *exact, int64_t n, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    struct enumeration unused;

    *exact = (struct bsq_exact){.n = n};
    exact->h = bsq_carve(&carver, n * n, sizeof *exact->h);
    exact->r = bsq_carve(&carver, n * n, sizeof *exact->r);
    exact->u = bsq_carve(&carver, n * n, sizeof *exact->u);
    exact->inverse = bsq_carve(&carver, n * n, sizeof *exact->inverse);
    exact->order = bsq_carve(&carver, n, sizeof *exact->order);
    exact->settled = bsq_carve(&carver, n, sizeof *exact->settled);
    exact->first = bsq_carve(&carver, n + 1, sizeof *exact->first);
    exact->scratch = bsq_carve(&carver, (int64_t)lay_out_state(&unused, n, NULL), 1);
    return carver.used;
}

/* Takes whole multiples of the columns before k from column k. */
static void shorten_column(struct bsq_exact *exact, int64_t k)
{
    int64_t n = exact->n;

    for (int64_t j = k; j-- > 0;) {
        double multiple = nearbyint(exact->r[j * n + k] / exact->r[j * n + j]);

        if (multiple == 0.0)
            continue;
        for (int64_t i = 0; i <= j; i++)
            exact->r[i * n + k] -= multiple * exact->r[i * n + j];
        for (int64_t i = 0; i < n; i++) {
            exact->u[i * n + k] -= multiple * exact->u[i * n + j];
            exact->inverse[j * n + i] += multiple * exact->inverse[k * n + i];
        }
    }
}

static void swap(double *a, double *b)
{
    double other = *a;

    *a = *b;
    *b = other;
}

/* Swaps columns k - 1 and k, and rotates rows k - 1 and k so that r is triangular again. */
static void swap_columns(struct bsq_exact *exact, int64_t k)
{
    int64_t n = exact->n;
    double *upper = exact->r + (k - 1) * n, *lower = exact->r + k * n, length, cosine, sine;

    for (int64_t i = 0; i < n; i++) {
        if (i <= k)
            swap(&exact->r[i * n + k - 1], &exact->r[i * n + k]);
        swap(&exact->u[i * n + k - 1], &exact->u[i * n + k]);
        swap(&exact->inverse[(k - 1) * n + i], &exact->inverse[k * n + i]);
    }
    length = hypot(upper[k - 1], lower[k - 1]);
    cosine = upper[k - 1] / length;
    sine = lower[k - 1] / length;
    for (int64_t j = k - 1; j < n; j++) {
        double above = upper[j], below = lower[j];

        upper[j] = cosine * above + sine * below;
        lower[j] = cosine * below - sine * above;
    }
    lower[k - 1] = 0.0;
}

/* Steps are limited, for rounding could make them go round in circles; any basis will do. */
static void reduce_basis(struct bsq_exact *exact)
{
    int64_t n = exact->n, steps = 200 * n * n;

    for (int64_t k = 1; k < n && steps-- > 0;) {
        const double *upper = exact->r + (k - 1) * n, *lower = exact->r + k * n;

        shorten_column(exact, k);
        if (lower[k] * lower[k] + upper[k] * upper[k] >= reduction * upper[k - 1] * upper[k - 1]) {
            k++;
        } else {
            swap_columns(exact, k);
            k -= k > 1;
        }
    }
}

/* Lists which codes are settled by which x. */
static void sort_codes(struct bsq_exact *exact)
{
    int64_t n = exact->n, count = 0;

    for (int64_t k = 0; k < n; k++) {
        exact->first[k] = count;
        for (int64_t i = 0; i < n; i++) {
            int64_t j = 0;

            while (j < k && exact->u[i * n + j] == 0.0)
                j++;
            if (j == k && exact->u[i * n + k] != 0.0)
                exact->settled[count++] = i;
        }
    }
    exact->first[n] = count;
}

void bsq_exact_prepare(struct bsq_exact *exact, const double *r, const int64_t *order)
{
    int64_t n = exact->n;

    memcpy(exact->order, order, (size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;

            for (int64_t k = 0; k <= i && k <= j; k++)
                sum += r[k * n + i] * r[k * n + j];
            exact->h[i * n + j] = sum;
            exact->r[i * n + j] = j < i ? 0.0 : r[i * n + j];
            exact->u[i * n + j] = exact->inverse[i * n + j] = i == j;
        }
    }
    reduce_basis(exact);
    sort_codes(exact);
}

/* ---- intervals of scales ---- */

/* Gives a scale inside an interval that may begin at zero and have no end. */
static double inside(double low, double high, double scale)
{
    if (high == INFINITY)
        return low > 0.0 ? 2.0 * low : scale;
    return low > 0.0 ? sqrt(low * high) : 0.5 * high;
}

/* Shrinks an interval to where a parabola stays below a threshold; false when nothing is left. */
static bool shrink(double a, double b, double c, double threshold, double *low, double *high)
{
    double discriminant = b * b - c * (a - threshold), from, to;

    if (c > 0.0) {
        double root, inverse = 1.0 / c;

        if (!(discriminant > 0.0))
            return false;
        root = sqrt(discriminant);
        from = (b - root) * inverse;
        to = (b + root) * inverse;
    } else {
        if (b == 0.0 && !(a < threshold))
            return false;
        from = b > 0.0 ? (a - threshold) / (2.0 * b) : -INFINITY;
        to = b < 0.0 ? (a - threshold) / (2.0 * b) : INFINITY;
    }
    *low = from > *low ? from : *low;
    *high = to < *high ? to : *high;
    return *low < *high;
}

/* ---- the range of the codes ---- */

/* Solves H_ff d = g_f for the 'count' free coordinates; false when H is not positive definite to working precision. */
static bool solve_free(struct enumeration *state, int64_t count)
{
    const double *h = state->exact->h;
    double *factor = state->cholesky;

    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = i; j < count; j++)
            factor[i * count + j] = h[state->free[i] * state->exact->n + state->free[j]];
        state->step[i] = state->g[state->free[i]];
    }
    if (count == 0 || !bsq_dpotrf(count, factor, count))
        return count == 0;
    bsq_dpotrs(count, factor, count, 1, state->step, count);
    return true;
}

/* g = H (v - c). */
static void find_gradient(struct enumeration *state)
{
    int64_t n = state->exact->n;

    for (int64_t i = 0; i < n; i++) {
        state->g[i] = 0.0;
        for (int64_t j = 0; j < n; j++)
            state->g[i] += state->exact->h[i * n + j] * (state->v[j] - state->c[j]);
    }
}

/* |R (v - c)|^2. */
static double cost_of_centre(const struct enumeration *state)
{
    double sum = 0.0;

    for (int64_t i = 0; i < state->exact->n; i++)
        sum += state->g[i] * (state->v[i] - state->c[i]);
    return sum;
}

/* Moves c along the step by 'length', clipped to the box, and g with it. */
static void move_centre(struct enumeration *state, int64_t count, double length, double low, double high)
{
    for (int64_t i = 0; i < count; i++) {
        double *c = &state->c[state->free[i]];

        *c = fmin(fmax(*c + length * state->step[i], low), high);
    }
    find_gradient(state);
}

/* The part of the step that the box allows; '*stop' is which free coordinate ends it, or -1. */
static double longest_step(const struct enumeration *state, int64_t count, double low, double high, int64_t *stop)
{
    double length = 1.0;

    *stop = -1;
    for (int64_t i = 0; i < count; i++) {
        double d = state->step[i], room = (d > 0.0 ? high : low) - state->c[state->free[i]];

        if (length * fabs(d) > fabs(room)) {
            length = room / d;
            *stop = state->free[i];
        }
    }
    return length;
}

/* Moves c towards the best point over its free coordinates: to that point clipped to the box where that is better,
 * else as far as the box allows. Those that end at an edge are free no longer. Returns how many are. */
static int64_t step_free(struct enumeration *state, int64_t count, double low, double high)
{
    double length, before = cost_of_centre(state), *kept = state->q;
    size_t bytes = (size_t)state->exact->n * sizeof *kept;
    int64_t stop, left = 0;

    if (!solve_free(state, count))
        return 0;
    length = longest_step(state, count, low, high, &stop);
    memcpy(kept, state->c, bytes);
    move_centre(state, count, 1.0, low, high);
    if (stop >= 0 && !(cost_of_centre(state) < before)) {
        memcpy(state->c, kept, bytes);
        move_centre(state, count, length, low, high);
        state->c[stop] = state->c[stop] - low < high - state->c[stop] ? low : high;
    }
    for (int64_t i = 0; i < count; i++)
        if (state->c[state->free[i]] > low && state->c[state->free[i]] < high)
            state->free[left++] = state->free[i];
    return left;
}

/* Frees coordinates at an edge of the box that want to leave it: all of them, or the one that most does. Returns how
 * many are free. */
static int64_t free_caught(struct enumeration *state, int64_t count, double low, double high, bool all)
{
    int64_t most = -1;
    double least = 0.0;

    for (int64_t i = 0; i < state->exact->n; i++) {
        double pull = state->c[i] >= high ? -state->g[i] : state->c[i] <= low ? state->g[i] : 0.0;

        pull -= slack * state->exact->h[i * state->exact->n + i] * (high - low);
        if (pull > 0.0 && all)
            state->free[count++] = i;
        if (pull > least) {
            least = pull;
            most = i;
        }
    }
    if (!all && most >= 0)
        state->free[count++] = most;
    return count;
}

/* Brings c nearer to the best point of the box, coordinate by coordinate. */
static void approach_centre(struct enumeration *state, double low, double high)
{
    const double *h = state->exact->h;
    int64_t n = state->exact->n;

    for (int pass = 0; pass < PASSES; pass++) {
        for (int64_t i = 0; i < n; i++) {
            double next = fmin(fmax(state->c[i] + state->g[i] / h[i * n + i], low), high), step = next - state->c[i];

            if (step == 0.0)
                continue;
            state->c[i] = next;
            for (int64_t j = 0; j < n; j++)
                state->g[j] -= step * h[i * n + j];
        }
    }
}

/* The line of what clipping costs: edge, a and b for c and g. */
static void draw_line(struct enumeration *state)
{
    state->a = state->b = 0.0;
    for (int64_t i = 0; i < state->exact->n; i++) {
        state->edge[i] = state->g[i] > 0.0 ? state->task->highest : state->task->lowest;
        state->a += state->g[i] * (state->v[i] + state->c[i]);
        state->b += state->g[i] * state->edge[i];
    }
}

/* Goes from c to the best point of the box, by active sets. */
static void reach_centre(struct enumeration *state, double low, double high)
{
    int64_t n = state->exact->n, count = 0;

    for (int64_t i = 0; i < n; i++)
        if (state->c[i] > low && state->c[i] < high)
            state->free[count++] = i;
    for (int64_t step = 0; step < MOST_STEPS; step++) {
        int64_t left = step_free(state, count, low, high);

        if (left == count) {
            left = free_caught(state, count, low, high, 2 * step < MOST_STEPS);
            if (left == count)
                return;
        }
        count = left;
    }
}

/* Moves the search to the best real point of the box at a scale inside the piece. Any other point would give a bound
 * too: an end before the best one is no error, and one that drops the whole piece will do. */
static void centre_search(struct enumeration *state, const struct piece *piece)
{
    const struct bsq_exact *exact = state->exact;
    double scale = inside(piece->low, piece->high, state->task->scale), low = piece->low, high = piece->high;
    double least = scale * state->task->lowest, most = scale * state->task->highest;
    int64_t n = exact->n;

    for (int64_t i = 0; i < n; i++)
        state->c[i] = fmin(fmax(state->v[i], least), most);
    find_gradient(state);
    approach_centre(state, least, most);
    draw_line(state);
    if (!shrink(state->a, state->b, 0.0, state->threshold, &low, &high))
        return;
    reach_centre(state, least, most);
    draw_line(state);
    for (int64_t i = 0; i < n; i++) {
        state->x[i] = 0.0;
        for (int64_t j = 0; j < n; j++)
            state->x[i] += exact->inverse[i * n + j] * state->c[j];
    }
    for (int64_t i = 0; i < n; i++) {
        state->z[i] = 0.0;
        for (int64_t j = i; j < n; j++)
            state->z[i] += exact->r[i * n + j] * state->x[j];
    }
}

/* ---- depth first ---- */

/* Begins row k at the x that comes nearest to the centre. */
static void open_level(struct enumeration *state, int64_t k)
{
    struct level *level = &state->levels[k];
    double scale = level->c > 0.0 ? level->b / level->c : inside(level->low, level->high, state->task->scale);
    double x;

    scale = fmin(fmax(scale, level->low), level->high);
    x = floor((state->z[k] / scale - level->t) / state->exact->r[k * state->exact->n + k]);
    level->start = level->next = fmin(fmax(x, state->least[k]), state->most[k]);
    level->step = -1.0;
}

/* Takes over codes that are all decided, and lowers the threshold to their cost. */
static void take(struct enumeration *state, double a, double b, double c)
{
    struct bsq_exact_task *task = state->task;
    double cost = b > 0.0 && c > 0.0 ? fmax(a - b * b / c, 0.0) : INFINITY;

    if (!(cost < state->threshold))
        return;
    for (int64_t i = 0; i < state->exact->n; i++)
        task->codes[state->exact->order[i]] = (int8_t)state->q[i];
    task->scale = b / c;
    task->cost = cost;
    state->threshold = task->cost * (1.0 - proven_gap);
}

/* Tells whether a code inside the range is one of the table, where there is one. */
static bool is_level(const struct bsq_exact_task *task, double code)
{
    int32_t nearest = task->levels ? task->levels[bsq_level_nearest(task->levels, task->level_count, code)] : 0;

    return !task->levels || !(fabs(nearest - code) > 0.0);
}

/* Codes that x_k settles; false when one is out of range. '*distance' is what they lie from their edges, weighted. */
static bool settle(struct enumeration *state, int64_t k, double *distance)
{
    const struct bsq_exact *exact = state->exact;
    int64_t n = exact->n;

    *distance = 0.0;
    for (int64_t f = exact->first[k]; f < exact->first[k + 1]; f++) {
        int64_t i = exact->settled[f];
        double code = 0.0;

        for (int64_t j = k; j < n; j++)
            code += exact->u[i * n + j] * state->x[j];
        if (code < state->task->lowest || code > state->task->highest || !is_level(state->task, code))
            return false;
        state->q[i] = code;
        *distance += fabs(state->g[i] * (state->edge[i] - code));
    }
    return true;
}

enum verdict { BEYOND, DROPPED, ENTERED };

/* Tries a value of x_k. BEYOND: no value further out can do either. ENTERED: row k - 1 is open. */
static enum verdict try_value(struct enumeration *state, int64_t k, double value)
{
    const struct level *level = &state->levels[k];
    const double *r = state->exact->r;
    int64_t n = state->exact->n;
    double z = state->z[k], y = level->t + r[k * n + k] * value, low = level->low, high = level->high, distance;
    double a = level->a + z * z, b = level->b + z * y, c = level->c + y * y, t = 0.0;
    struct level *below;

    if (!shrink(a, b, c, state->threshold, &low, &high))
        return BEYOND;
    state->x[k] = value;
    if (!settle(state, k, &distance))
        return DROPPED;
    b -= distance;
    if (distance > 0.0 && !shrink(a, b, c, state->threshold, &low, &high))
        return DROPPED;
    if (k == 0) {
        take(state, a, b, c);
        return DROPPED;
    }
    for (int64_t j = k; j < n; j++)
        t += r[(k - 1) * n + j] * state->x[j];
    below = &state->levels[k - 1];
    *below = (struct level){.a = a, .b = b, .c = c, .low = low, .high = high, .t = t};
    open_level(state, k - 1);
    return ENTERED;
}

/* Searches an interval of scales below search->threshold; false when the nodes ran out. */
static bool run(struct enumeration *state, double low, double high)
{
    int64_t n = state->exact->n, k = n - 1;

    if (!shrink(state->a, state->b, 0.0, state->threshold, &low, &high))
        return true;
    state->levels[k] = (struct level){.a = state->a, .b = state->b, .low = low, .high = high};
    open_level(state, k);
    while (k < n) {
        struct level *level = &state->levels[k];
        double value = level->next;
        bool allowed = value >= state->least[k] && value <= state->most[k];
        enum verdict verdict;

        if (state->task->nodes >= state->limit)
            return false;
        state->task->nodes++;
        level->next += level->step;
        verdict = allowed ? try_value(state, k, value) : BEYOND;
        if (verdict == ENTERED) {
            k--;
        } else if (verdict == BEYOND && level->step < 0.0) {
            level->step = 1.0;
            level->next = level->start + 1.0;
        } else if (verdict == BEYOND) {
            k++;
        }
    }
    return true;
}

/* ---- branch and bound over the scale ---- */

/* Takes over codes that leave all of the cost: zeros, or without a zero the code next to it with the least scale. */
static void take_nothing(struct enumeration *state)
{
    struct bsq_exact_task *task = state->task;
    int32_t code = task->lowest > 0 ? task->lowest : task->highest < 0 ? task->highest : 0;

    if (task->levels)
        code = task->levels[bsq_level_nearest(task->levels, task->level_count, 0.0)];
    memset(task->codes, code, (size_t)state->exact->n);
    if (code != 0)
        task->scale = (double)FLT_MIN;
    task->cost = state->nothing;
}

static void load(struct enumeration *state, const struct bsq_exact *exact, struct bsq_exact_task *task)
{
    int64_t n = exact->n;
    (void)lay_out_state(state, n, exact->scratch);
    state->exact = exact;
    state->task = task;
    for (int64_t i = 0; i < n; i++) {
        state->v[i] = task->v[exact->order[i]];
        state->least[i] = state->most[i] = 0.0;
        for (int64_t j = 0; j < n; j++) {
            double one = exact->inverse[i * n + j] * task->lowest, other = exact->inverse[i * n + j] * task->highest;

            state->least[i] += fmin(one, other);
            state->most[i] += fmax(one, other);
            state->nothing += state->v[i] * exact->h[i * n + j] * task->v[exact->order[j]];
        }
    }
    if (state->nothing < task->cost)
        take_nothing(state);
}

/* The next threshold of a piece: one that should take a quarter of its nodes, but at least four times what the one
 * before took. */
static double next_threshold(const struct enumeration *state, const struct piece *piece)
{
    double cost = state->task->cost, more = (double)piece->nodes / (4.0 * (double)(piece->spent + 1));
    double next = piece->bound * fmax(pow(fmax(more, 4.0), 2.0 / (double)state->exact->n), least_step);

    next = fmax(next, state->task->first_share * cost);
    return next < last_share * cost ? next : cost * (1.0 - proven_gap);
}

/* Raises the bound of a piece; false when its nodes came first. */
static bool raise_bound(struct enumeration *state, struct piece *piece)
{
    struct bsq_exact_task *task = state->task;
    int64_t before = task->nodes, limit = before + piece->nodes;

    state->threshold = next_threshold(state, piece);
    centre_search(state, piece);
    state->limit = limit < task->node_limit ? limit : task->node_limit;
    if (!run(state, piece->low, piece->high))
        return false;
    piece->bound = state->threshold;
    piece->spent = task->nodes - before;
    return true;
}

/* Cuts a piece in two; both may take more nodes than it could. */
static void cut(struct piece *piece, struct piece *half, double scale)
{
    double at = inside(piece->low, piece->high, scale);

    piece->nodes *= 2;
    *half = *piece;
    piece->high = half->low = at;
}

int32_t bsq_exact_solve(const struct bsq_exact *exact, struct bsq_exact_task *task)
{
    struct enumeration state;
    struct piece *pieces;
    int32_t count = 1, least = 0;

    task->nodes = 0;
    load(&state, exact, task);
    pieces = state.pieces;
    pieces[0] = (struct piece){.high = INFINITY, .nodes = PIECE_NODES};
    while (count > 0 && !(task->stop && task->stop(task->stop_opaque))) {
        bool raised = raise_bound(&state, &pieces[least]);

        if (raised && pieces[least].bound >= task->cost * (1.0 - proven_gap))
            pieces[least] = pieces[--count];
        else if (!raised && task->nodes >= task->node_limit)
            break;
        else if (!raised && count < MOST_PIECES)
            cut(&pieces[least], &pieces[count++], task->scale);
        else if (!raised)
            pieces[least].nodes *= 2;
        least = 0;
        for (int32_t i = 1; i < count; i++)
            least = pieces[i].bound < pieces[least].bound ? i : least;
    }
    task->bound = task->cost;
    if (count > 0)
        task->bound = fmin(pieces[least].bound, fmax(task->cost - rounding * (double)exact->n * state.nothing, 0.0));
    /* With the least scale, codes that were not tried may be better. */
    return count == 0 && task->scale > (double)FLT_MIN;
}
