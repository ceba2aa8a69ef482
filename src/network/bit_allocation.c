/* Which layer gets how many bits: the multiple-choice knapsack problem, solved exactly.
 *
 * Relaxed, a layer may take any mix of its choices: then only those on the lower convex hull of (cost, error) matter,
 * and the best use of a budget is to buy steps along the hulls, the most error per cost first, the last one in part. So
 * a prefix of layers whose choices are decided (a state) has a lower bound, its own error and that of the relaxed rest,
 * and a completion, the same with the last step left out. States that another one dominates, or whose bound is not
 * below the best completion, are dropped; what is left after the last layer is the optimum. */
#include "base/floats.h"
#include "base/memory.h"
#include "base/options.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* States that are kept, over all layers: a limit of work and of memory. */
enum { MOST_STATES = 1 << 21 };

/* What a bound must be below the best by, as a share, to be worth another state: rounding of sums. */
static const double resolution = 1e-13;

/* One choice of a layer that no other one of it dominates; of a layer they rise in cost and fall in error. */
struct choice {
    int64_t cost;
    double error;
    int32_t index; /* in the host's tables */
};

/* From one corner of a layer's hull to the next. */
struct step {
    double rate; /* error saved per cost */
    double gain; /* error saved */
    int64_t cost;
    int32_t layer; /* in the order of the search */
    int32_t to;    /* index in 'choices' */
};

/* A prefix of layers with choices. */
struct state {
    int64_t cost;
    double error;
    int32_t parent; /* in the states of all layers */
    int32_t choice; /* of the layer that was decided last: index in 'choices' */
};

struct knapsack {
    const struct bsq_memory *memory;
    int32_t layers;
    int64_t budget;
    int32_t *order; /* layers: which of the host's comes when */
    int32_t *first; /* layers + 1, in that order: where their choices start */
    struct choice *choices;
    struct step *steps; /* of all layers, best rate first */
    int32_t step_count;
    /* what is open: the layers that a prefix leaves, at their cheapest, and their steps */
    int64_t open_base; /* cost of the cheapest choices */
    double open_least; /* error when all steps are bought */
    int32_t open_count;
    const struct step **open; /* step_count */
    int64_t *open_cost;       /* step_count + 1: of the first k */
    double *open_left;        /* step_count + 1: error that is left without those from k on */
    struct state *states;     /* of all layers, one layer after the other; the first has nothing decided */
    int32_t state_count, room;
    double best; /* error of the best completion, its cost and choices (in the order of the search) */
    int64_t best_cost;
    int32_t *best_choice; /* layers: index in 'choices' */
};

/* ---- tables ---------------------------------------------------------------------------------------------- */

static int by_cost(const void *left, const void *right)
{
    const struct choice *a = left, *b = right;

    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    if (a->error < b->error || a->error > b->error)
        return a->error < b->error ? -1 : 1;
    return a->index - b->index;
}

/* Keeps the choices that no other one dominates. */
static int32_t drop_dominated(struct choice *choices, int32_t count)
{
    int32_t kept = 1;

    qsort(choices, (size_t)count, sizeof *choices, by_cost);
    for (int32_t i = 1; i < count; i++)
        if (choices[i].error < choices[kept - 1].error)
            choices[kept++] = choices[i];
    return kept;
}

static double rate_between(const struct choice *from, const struct choice *to)
{
    return (from->error - to->error) / (double)(to->cost - from->cost);
}

/* Adds the steps along the lower convex hull of one layer: from each corner to where the rate is the best. */
static void add_steps(struct knapsack *sack, int32_t layer)
{
    int32_t end = sack->first[layer + 1];
    double last = INFINITY;

    for (int32_t from = sack->first[layer], to; from < end - 1; from = to) {
        to = from + 1;
        for (int32_t i = from + 2; i < end; i++)
            if (rate_between(&sack->choices[from], &sack->choices[i]) >=
                rate_between(&sack->choices[from], &sack->choices[to]))
                to = i;
        last = fmin(last, rate_between(&sack->choices[from], &sack->choices[to]));
        sack->steps[sack->step_count++] = (struct step){
            .rate = last,
            .gain = sack->choices[from].error - sack->choices[to].error,
            .cost = sack->choices[to].cost - sack->choices[from].cost,
            .layer = layer,
            .to = to,
        };
    }
}

static int by_rate(const void *left, const void *right)
{
    const struct step *a = left, *b = right;

    if (a->rate < b->rate || a->rate > b->rate)
        return a->rate > b->rate ? -1 : 1;
    return a->layer != b->layer ? a->layer - b->layer : a->to - b->to;
}

/* The layers whose costs differ most come first: what is then left to the relaxed rest is fine-grained. */
static void sort_layers(struct knapsack *sack, const int64_t *costs, int32_t choices)
{
    int64_t *spread = sack->open_cost; /* not in use yet; there are at least as many */

    for (int32_t k = 0; k < sack->layers; k++) {
        const int64_t *own = costs + (int64_t)k * choices;
        int64_t low = own[0], high = own[0], place = k;

        for (int32_t i = 1; i < choices; i++) {
            low = own[i] < low ? own[i] : low;
            high = own[i] > high ? own[i] : high;
        }
        for (; place > 0 && spread[place - 1] < high - low; place--) {
            spread[place] = spread[place - 1];
            sack->order[place] = sack->order[place - 1];
        }
        spread[place] = high - low;
        sack->order[place] = k;
    }
}

static void load_tables(struct knapsack *sack, const double *errors, const int64_t *costs, const double *weights,
                        int32_t choices)
{
    sort_layers(sack, costs, choices);
    for (int32_t layer = 0; layer < sack->layers; layer++) {
        int64_t row = (int64_t)sack->order[layer] * choices;
        struct choice *own = sack->choices + sack->first[layer];

        for (int32_t i = 0; i < choices; i++)
            own[i] = (struct choice){costs[row + i], errors[row + i], i};
        for (int32_t i = 0; weights && i < choices; i++)
            own[i].error *= weights[sack->order[layer]];
        sack->first[layer + 1] = sack->first[layer] + drop_dominated(own, choices);
        add_steps(sack, layer);
    }
    qsort(sack->steps, (size_t)sack->step_count, sizeof *sack->steps, by_rate);
}

/* ---- bounds ---------------------------------------------------------------------------------------------- */

/* Leaves the layers from 'layer' on open. */
static void open_layers(struct knapsack *sack, int32_t layer)
{
    sack->open_base = 0;
    sack->open_least = 0.0;
    for (int32_t k = layer; k < sack->layers; k++) {
        sack->open_base += sack->choices[sack->first[k]].cost;
        sack->open_least += sack->choices[sack->first[k + 1] - 1].error;
    }
    sack->open_count = 0;
    sack->open_cost[0] = 0;
    for (int32_t i = 0; i < sack->step_count; i++) {
        if (sack->steps[i].layer < layer)
            continue;
        sack->open[sack->open_count] = &sack->steps[i];
        sack->open_cost[sack->open_count + 1] = sack->open_cost[sack->open_count] + sack->steps[i].cost;
        sack->open_count++;
    }
    sack->open_left[sack->open_count] = 0.0;
    for (int32_t i = sack->open_count; i-- > 0;)
        sack->open_left[i] = sack->open_left[i + 1] + sack->open[i]->gain;
}

/* Counts the open steps that a state can afford. */
static int32_t affordable(const struct knapsack *sack, int64_t money)
{
    int32_t low = 0, high = sack->open_count;

    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;

        if (sack->open_cost[middle] <= money)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The completion of state 'index', of which 'decided' layers are decided, with the first 'steps' open ones. */
static void note_completion(struct knapsack *sack, const struct state *state, int32_t decided, int32_t steps)
{
    sack->best = state->error + sack->open_least + sack->open_left[steps];
    sack->best_cost = state->cost + sack->open_base + sack->open_cost[steps];
    for (int32_t layer = decided; layer < sack->layers; layer++)
        sack->best_choice[layer] = sack->first[layer];
    for (int32_t i = 0; i < steps; i++)
        sack->best_choice[sack->open[i]->layer] = sack->open[i]->to;
    for (int32_t layer = decided; layer-- > 0; state = &sack->states[state->parent])
        sack->best_choice[layer] = state->choice;
}

/* The lower bound of what a state leads to, infinite when it leads to nothing that fits. Notes its completion when that
 * is the best so far. */
static double bound_state(struct knapsack *sack, const struct state *state, int32_t decided)
{
    int64_t money = sack->budget - state->cost - sack->open_base;

    if (money < 0)
        return INFINITY;

    int32_t steps = affordable(sack, money);
    double complete = state->error + sack->open_least + sack->open_left[steps];
    int64_t cost = state->cost + sack->open_base + sack->open_cost[steps];

    if (complete < sack->best || (!(complete > sack->best) && cost < sack->best_cost))
        note_completion(sack, state, decided, steps);
    if (steps == sack->open_count)
        return complete;
    return complete - sack->open[steps]->rate * (double)(money - sack->open_cost[steps]);
}

/* ---- search ---------------------------------------------------------------------------------------------- */

static bool make_room(struct knapsack *sack)
{
    struct state *larger;

    if (sack->state_count < sack->room)
        return true;
    larger = bsq_memory_get(sack->memory, 2 * (int64_t)sack->room, sizeof *larger);
    if (!larger)
        return false;
    memcpy(larger, sack->states, (size_t)sack->state_count * sizeof *larger);
    bsq_memory_put(sack->memory, sack->states);
    sack->states = larger;
    sack->room *= 2;
    return true;
}

static bool comes_before(const struct state *a, const struct state *b)
{
    return a->cost < b->cost || (a->cost == b->cost && a->error < b->error);
}

/* The next state in the order of costs: 'next' says for each choice which parent is its turn. */
static bool next_state(const struct knapsack *sack, int32_t layer, int32_t *next, int32_t end, struct state *state)
{
    int32_t first = sack->first[layer], count = sack->first[layer + 1] - first, found = -1;

    for (int32_t i = 0; i < count; i++) {
        if (next[i] == end)
            continue;

        const struct state *parent = &sack->states[next[i]];
        const struct choice *choice = &sack->choices[first + i];
        struct state made = {parent->cost + choice->cost, parent->error + choice->error, next[i], first + i};

        if (found >= 0 && !comes_before(&made, state))
            continue;
        *state = made;
        found = i;
    }
    if (found >= 0)
        next[found]++;
    return found >= 0;
}

enum outcome { DONE, STOPPED, NO_MEMORY };

/* Decides 'layer' for every state from 'begin' to 'end'; what is worth it becomes a state behind them. */
static enum outcome decide_layer(struct knapsack *sack, int32_t layer, int32_t begin, int32_t end, int32_t *next,
                                 double *least)
{
    int32_t count = sack->first[layer + 1] - sack->first[layer];
    double error = INFINITY;
    struct state state;

    open_layers(sack, layer + 1);
    *least = INFINITY;
    for (int32_t i = 0; i < count; i++)
        next[i] = begin;
    while (next_state(sack, layer, next, end, &state)) {
        double bound;

        if (!(state.error < error))
            continue;
        error = state.error;
        bound = bound_state(sack, &state, layer + 1);
        if (!(bound < sack->best * (1.0 - resolution)))
            continue;
        if (sack->state_count == MOST_STATES)
            return STOPPED;
        if (!make_room(sack))
            return NO_MEMORY;
        sack->states[sack->state_count++] = state;
        *least = fmin(*least, bound);
    }
    return DONE;
}

/* Finds the best choices; 'lower' becomes a bound that none is below. */
static enum outcome search(struct knapsack *sack, int32_t *next, double *lower)
{
    int32_t begin = 0, end = 1;
    enum outcome outcome = DONE;
    double least;

    sack->states[0] = (struct state){0, 0.0, -1, -1};
    sack->state_count = 1;
    sack->best = INFINITY;
    sack->best_cost = INT64_MAX;
    open_layers(sack, 0);
    *lower = bound_state(sack, &sack->states[0], 0);
    for (int32_t layer = 0; layer < sack->layers && begin < end; layer++) {
        outcome = decide_layer(sack, layer, begin, end, next, &least);
        if (outcome != DONE)
            return outcome;
        *lower = fmin(sack->best, least);
        begin = end;
        end = sack->state_count;
    }
    *lower = sack->best;
    return DONE;
}

/* ---- the call -------------------------------------------------------------------------------------------- */

/* What the host gives. */
struct tables {
    const double *errors;
    const int64_t *costs;
    const double *weights; /* or NULL */
    size_t count, choices;
    int64_t budget;
};

static bsq_status_t check_number(const char *name, size_t index, double value, struct bsq_message *message)
{
    if (value >= 0.0 && value <= DBL_MAX)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_RANGE, "%s[%llu] is %g, must be finite and not negative", name,
                    (unsigned long long)index, value);
}

/* Values of one layer; adds what it costs at least and at most, and its largest error. */
static bsq_status_t check_layer(const struct tables *tables, size_t layer, int64_t *cheapest, int64_t *dearest,
                                double *worst, struct bsq_message *message)
{
    double weight = tables->weights ? tables->weights[layer] : 1.0, error = 0.0;
    int64_t low = INT64_MAX, high = 0;
    bsq_status_t status = check_number("weights", layer, weight, message);

    for (size_t i = layer * tables->choices; i < (layer + 1) * tables->choices && status == BSQ_OK; i++) {
        status = check_number("errors", i, tables->errors[i], message);
        if (status == BSQ_OK && tables->costs[i] < 0)
            status = bsq_fail(message, BSQ_E_RANGE, "costs[%llu] is %lld, must not be negative", (unsigned long long)i,
                              (long long)tables->costs[i]);
        low = tables->costs[i] < low ? tables->costs[i] : low;
        high = tables->costs[i] > high ? tables->costs[i] : high;
        error = fmax(error, weight * tables->errors[i]);
    }
    *worst += error;
    if (status == BSQ_OK && (!bsq_extent_add(*dearest, high, dearest) || !isfinite(*worst)))
        status = bsq_fail(message, BSQ_E_RANGE, "costs or errors sum to more than a number can hold");
    if (status == BSQ_OK)
        *cheapest += low; /* no more than the dearest */
    return status;
}

static bsq_status_t check_tables(const struct tables *tables, struct bsq_message *message)
{
    int64_t cheapest = 0, dearest = 0;
    double worst = 0.0;
    bsq_status_t status = BSQ_OK;

    if (!tables->errors || !tables->costs)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'%s' is NULL", tables->errors ? "costs" : "errors");
    if (tables->count == 0 || tables->choices == 0 || tables->count > (size_t)INT32_MAX / 2 / tables->choices)
        return bsq_fail(message, BSQ_E_SHAPE, "%llu layers of %llu choices are none or too many",
                        (unsigned long long)tables->count, (unsigned long long)tables->choices);
    for (size_t k = 0; k < tables->count && status == BSQ_OK; k++)
        status = check_layer(tables, k, &cheapest, &dearest, &worst, message);
    if (status == BSQ_OK && cheapest > tables->budget)
        return bsq_fail(message, BSQ_E_RANGE, "budget is %lld, the cheapest choices cost %lld",
                        (long long)tables->budget, (long long)cheapest);
    return status;
}

/* Lays the knapsack out in 'memory' (NULL: only counts). */
static size_t lay_out(struct knapsack *sack, int32_t **next, int64_t layers, int64_t choices, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t all = layers * choices;

    sack->order = bsq_carve(&carver, layers, sizeof *sack->order);
    sack->first = bsq_carve(&carver, layers + 1, sizeof *sack->first);
    sack->choices = bsq_carve(&carver, all, sizeof *sack->choices);
    sack->steps = bsq_carve(&carver, all, sizeof *sack->steps);
    sack->open = bsq_carve(&carver, all, sizeof *sack->open);
    sack->open_cost = bsq_carve(&carver, all + 1, sizeof *sack->open_cost);
    sack->open_left = bsq_carve(&carver, all + 1, sizeof *sack->open_left);
    sack->best_choice = bsq_carve(&carver, layers, sizeof *sack->best_choice);
    *next = bsq_carve(&carver, choices, sizeof **next);
    return carver.used;
}

static void write_choices(const struct knapsack *sack, const struct tables *tables, int32_t *chosen,
                          bsq_allocation_t *allocation)
{
    for (int32_t layer = 0; layer < sack->layers; layer++)
        chosen[sack->order[layer]] = sack->choices[sack->best_choice[layer]].index;
    for (size_t k = 0; k < tables->count; k++) {
        size_t place = k * tables->choices + (size_t)chosen[k];

        allocation->cost += tables->costs[place];
        allocation->error += (tables->weights ? tables->weights[k] : 1.0) * tables->errors[place];
    }
}

static bsq_status_t allocate(const struct tables *tables, const struct bsq_memory *memory, int32_t *chosen,
                             bsq_allocation_t *allocation, struct bsq_message *message)
{
    enum { FIRST_ROOM = 4096 };
    int64_t layers = (int64_t)tables->count, choices = (int64_t)tables->choices;
    struct knapsack sack = {.memory = memory, .layers = (int32_t)layers, .budget = tables->budget, .room = FIRST_ROOM};
    int32_t *next;
    void *block = bsq_memory_get(memory, 1, lay_out(&sack, &next, layers, choices, NULL));
    enum outcome outcome = NO_MEMORY;

    sack.states = bsq_memory_get(memory, sack.room, sizeof *sack.states);
    if (block && sack.states) {
        (void)lay_out(&sack, &next, layers, choices, block);
        sack.first[0] = 0;
        load_tables(&sack, tables->errors, tables->costs, tables->weights, (int32_t)choices);
        outcome = search(&sack, next, &allocation->lower_bound);
    }
    if (outcome != NO_MEMORY)
        write_choices(&sack, tables, chosen, allocation);
    bsq_memory_put(memory, sack.states);
    bsq_memory_put(memory, block);
    allocation->outcome = outcome == STOPPED ? BSQ_OUTCOME_LIMIT : BSQ_OUTCOME_PROVEN;
    return outcome == NO_MEMORY ? bsq_fail_memory(message) : BSQ_OK;
}

static bsq_status_t allocate_bits(const struct tables *tables, const bsq_options_t *options, int32_t *chosen,
                                  bsq_allocation_t *allocation, struct bsq_message *message)
{
    bsq_allocation_t own = {.struct_size = sizeof own};
    bsq_options_t checked;
    bsq_status_t status;

    if (!chosen)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'chosen' is NULL");
    if ((status = bsq_options_read(&checked, options, message)) != BSQ_OK ||
        (status = check_tables(tables, message)) != BSQ_OK ||
        (allocation && (status = bsq_struct_write(allocation, &own, sizeof own.struct_size, BSQ_FIRST_ALLOCATION,
                                                  "bsq_allocation_t", message)) != BSQ_OK))
        return status;

    struct bsq_memory memory = bsq_memory_hooks(&checked);

    status = allocate(tables, &memory, chosen, &own, message);
    if (status != BSQ_OK || !allocation)
        return status;
    return bsq_struct_write(allocation, &own, sizeof own, BSQ_FIRST_ALLOCATION, "bsq_allocation_t", message);
}

bsq_status_t bsq_allocate_bits(const double *errors, const int64_t *costs, const double *weights, size_t count,
                               size_t choices, int64_t budget, const bsq_options_t *options, int32_t *chosen,
                               bsq_allocation_t *allocation, bsq_error_t *error)
{
    const struct tables tables = {errors, costs, weights, count, choices, budget};
    struct bsq_message message = {""};
    struct bsq_floats floats;
    bsq_status_t status = bsq_error_check(error, &message);

    bsq_floats_enter(&floats);
    if (status == BSQ_OK)
        status = allocate_bits(&tables, options, chosen, allocation, &message);
    bsq_floats_leave(&floats);
    return bsq_error_store(error, status, &message);
}
