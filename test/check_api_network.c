/* Whole networks: operator norms against the operators themselves, bounds of chains against their errors, allocation of
 * bits against brute force. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a convolution as it is defined ---- */

/* One sample, any of 1 to 3 dimensions, OIHW weights, channels first. */
struct operator
{
    bsq_layer_desc_t desc;
    int64_t in[3], out[3]; /* extents, 1 from spatial_dims on */
    int64_t inputs, outputs;
    float *weights;
    int64_t weight_count;
};

static int64_t extent_of(const bsq_layer_desc_t *desc, const int64_t in[3], int d)
{
    if (d >= desc->spatial_dims)
        return 1;
    return (in[d] + desc->pad_begin[d] + desc->pad_end[d] - desc->dilation[d] * (desc->kernel[d] - 1) - 1) /
               desc->stride[d] +
           1;
}

static struct operator operator_of(const bsq_layer_desc_t *desc, int64_t extent, uint64_t seed)
{
    struct test_random random = test_random_seed(seed);
    struct operator op = {.desc = *desc};
    int64_t taps = 1, in = 1, out = 1;

    for (int d = 0; d < 3; d++) {
        op.in[d] = d < desc->spatial_dims ? extent + d : 1;
        op.out[d] = extent_of(desc, op.in, d);
        taps *= d < desc->spatial_dims ? desc->kernel[d] : 1;
        in *= op.in[d];
        out *= op.out[d];
    }
    op.inputs = desc->in_channels * in;
    op.outputs = desc->out_channels * out;
    op.weight_count = desc->out_channels * (desc->in_channels / desc->groups) * taps;
    op.weights = malloc((size_t)op.weight_count * sizeof *op.weights);
    for (int64_t i = 0; i < op.weight_count; i++)
        op.weights[i] = (float)(test_random_normal(&random) + 0.3);
    return op;
}

/* y += A x, or with 'adjoint' x += A' y: every product of weight and input once. */
static void apply(const struct operator* op, double *x, double *y, bool adjoint)
{
    const bsq_layer_desc_t *d = &op->desc;
    int64_t inputs = d->in_channels / d->groups, outputs = d->out_channels / d->groups, k[3];

    for (int i = 0; i < 3; i++)
        k[i] = i < d->spatial_dims ? d->kernel[i] : 1;
    for (int64_t o = 0; o < op->outputs; o++) {
        int64_t at[3] = {o / op->out[2] / op->out[1] % op->out[0], o / op->out[2] % op->out[1], o % op->out[2]};
        int64_t m = o / (op->out[0] * op->out[1] * op->out[2]);

        for (int64_t w = 0; w < inputs * k[0] * k[1] * k[2]; w++) {
            int64_t tap[3] = {w / k[2] / k[1] % k[0], w / k[2] % k[1], w % k[2]}, c = w / (k[0] * k[1] * k[2]);
            int64_t place = m / outputs * inputs + c;
            bool inside = true;

            for (int i = 0; i < 3; i++) {
                int64_t position = at[i];

                if (i < d->spatial_dims)
                    position = at[i] * d->stride[i] + tap[i] * d->dilation[i] - d->pad_begin[i];
                inside = inside && position >= 0 && position < op->in[i];
                place = place * op->in[i] + position;
            }
            if (!inside)
                continue;

            double weight = (double)op->weights[m * inputs * k[0] * k[1] * k[2] + w];

            if (adjoint)
                x[place] += weight * y[o];
            else
                y[o] += weight * x[place];
        }
    }
}

static double length_of(const double *x, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* |A| from below, by power iteration on A'A. */
static double iterate(const struct operator* op, int count)
{
    struct test_random random = test_random_seed(99);
    double *x = malloc((size_t)op->inputs * sizeof *x), *y = malloc((size_t)op->outputs * sizeof *y), norm = 0;

    for (int64_t i = 0; i < op->inputs; i++)
        x[i] = test_random_normal(&random);
    for (int i = 0; i < count; i++) {
        double length = length_of(x, op->inputs);

        for (int64_t j = 0; j < op->inputs; j++)
            x[j] /= length;
        memset(y, 0, (size_t)op->outputs * sizeof *y);
        apply(op, x, y, false);
        norm = length_of(y, op->outputs);
        memset(x, 0, (size_t)op->inputs * sizeof *x);
        apply(op, x, y, true);
    }
    free(x);
    free(y);
    return norm;
}

static bsq_norm_t norm_of(const struct operator* op, double tolerance)
{
    char text[256] = "";
    bsq_error_t error;
    bsq_norm_t norm;
    bsq_status_t status;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    bsq_norm_init(&norm, sizeof norm);
    status = bsq_operator_norm(&op->desc, NULL, op->weights, tolerance, &norm, &error);
    ck_assert_msg(status == BSQ_OK, "%s", text);
    return norm;
}

/* ---- operator norms ---- */

static const struct shape {
    int dims;
    int64_t inputs, outputs, groups, kernel, stride, dilation, padding;
} shapes[] = {
    {0, 7, 5, 1, 1, 1, 1, 0},  {0, 5, 9, 1, 1, 1, 1, 0}, {1, 3, 4, 1, 5, 1, 1, 2}, {1, 3, 2, 1, 4, 3, 1, 1},
    {1, 2, 2, 1, 3, 2, 2, 2},  {1, 2, 3, 1, 5, 4, 2, 3}, {2, 3, 5, 1, 3, 1, 1, 1}, {2, 5, 3, 1, 3, 2, 1, 1},
    {2, 4, 4, 4, 3, 1, 1, 1},  {2, 4, 8, 4, 3, 2, 1, 1}, {2, 4, 6, 2, 3, 1, 2, 2}, {2, 3, 4, 1, 1, 2, 1, 0},
    {2, 2, 12, 1, 7, 2, 1, 3}, {3, 2, 3, 1, 3, 1, 1, 1}, {3, 2, 2, 1, 2, 2, 1, 0},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static bsq_layer_desc_t desc_of(const struct shape *shape)
{
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = shape->dims ? BSQ_KIND_CONV : BSQ_KIND_LINEAR;
    desc.spatial_dims = shape->dims;
    desc.in_channels = shape->inputs;
    desc.out_channels = shape->outputs;
    desc.groups = shape->groups;
    for (int d = 0; d < shape->dims; d++) {
        desc.kernel[d] = shape->kernel;
        desc.stride[d] = shape->stride;
        desc.dilation[d] = shape->dilation;
        desc.pad_begin[d] = desc.pad_end[d] = shape->padding;
    }
    return desc;
}

/* Extents at which the operator is nearly as long as over unlimited space. */
static int64_t large_extent(int dims)
{
    return dims == 1 ? 120 : dims == 2 ? 26 : 10;
}

START_TEST(norm_bounds_the_operator)
{
    bsq_layer_desc_t desc = desc_of(&shapes[_i]);
    const double tolerances[] = {0.02, 0.1, 0.5, 3};

    for (int t = 0; t < 4; t++) {
        for (int64_t extent = shapes[_i].dilation * (shapes[_i].kernel - 1) + 1; extent < 9; extent += 3) {
            struct operator small = operator_of(&desc, extent, (uint64_t)_i);
            bsq_norm_t norm = norm_of(&small, tolerances[t]);

            ck_assert_double_le(iterate(&small, 40), norm.upper);
            ck_assert_double_le(norm.lower, norm.upper);
            free(small.weights);
        }

        struct operator large = operator_of(&desc, large_extent(shapes[_i].dims), (uint64_t)_i);
        bsq_norm_t norm = norm_of(&large, tolerances[t]);
        double found = t < 2 ? iterate(&large, 150) : 0;

        ck_assert_double_le(norm.upper, (1 + tolerances[t]) * norm.lower * (1 + 1e-6));
        ck_assert_double_le(found, norm.upper);
        /* The limited operator comes close to the bound, in three dimensions less so. */
        if (t == 0)
            ck_assert_double_ge(found, (shapes[_i].dims < 3 ? 0.93 : 0.8) * norm.upper);
        free(large.weights);
    }
}
END_TEST

/* The norm of what is known: a diagonal, a sum over all inputs, a moving mean, weights of no size and of great ones. */
START_TEST(known_norms)
{
    bsq_layer_desc_t desc = desc_of(&shapes[6]);
    struct operator op = operator_of(&desc, 8, 1);
    bsq_norm_t norm;

    for (int64_t i = 0; i < op.weight_count; i++)
        op.weights[i] = 1;
    norm = norm_of(&op, 0.01);
    ck_assert_double_ge(norm.upper, 9 * sqrt(15));
    ck_assert_double_le(norm.upper, 9 * sqrt(15) * 1.011);
    ck_assert_double_eq_tol(norm.lower, 9 * sqrt(15), 0.1);
    for (int64_t i = 0; i < op.weight_count; i++)
        op.weights[i] = i == 4 ? -1e30F : 0;
    norm = norm_of(&op, 0.01);
    ck_assert_double_ge(norm.upper, 1e30F);
    ck_assert_double_le(norm.upper, 1.011e30);
    for (int64_t i = 0; i < op.weight_count; i++)
        op.weights[i] = i == 4 ? 1e-30F : 0;
    norm = norm_of(&op, 0.01);
    ck_assert_double_ge(norm.upper, 1e-30F);
    ck_assert_double_le(norm.upper, 1.011e-30);
    op.weights[4] = 0;
    norm = norm_of(&op, 0.01);
    ck_assert(norm.upper == 0 && norm.lower == 0);
    free(op.weights);
}
END_TEST

/* Both layouts of weights say the same. */
START_TEST(norm_of_other_layout)
{
    bsq_layer_desc_t desc = desc_of(&shapes[10]);
    struct operator op = operator_of(&desc, 8, 3), other = operator_of(&desc, 8, 3);
    int64_t inputs = desc.in_channels / desc.groups;

    for (int64_t m = 0; m < desc.out_channels; m++)
        for (int64_t c = 0; c < inputs; c++)
            for (int64_t t = 0; t < 9; t++)
                other.weights[(m * 9 + t) * inputs + c] = op.weights[(m * inputs + c) * 9 + t];
    other.desc.weight_layout = BSQ_WEIGHT_LAYOUT_OHWI;

    bsq_norm_t a = norm_of(&op, 0.1), b = norm_of(&other, 0.1);

    ck_assert(a.upper == b.upper && a.lower == b.lower);
    free(op.weights);
    free(other.weights);
}
END_TEST

static int32_t stop_at_third(const bsq_progress_t *progress, void *opaque)
{
    int *calls = opaque;

    ck_assert_int_eq(progress->stage, BSQ_STAGE_NORM);
    ck_assert(progress->fraction > 0 && progress->fraction <= 1);
    return ++*calls == 3;
}

START_TEST(norm_refuses)
{
    bsq_layer_desc_t desc = desc_of(&shapes[6]);
    struct operator op = operator_of(&desc, 8, 1);
    bsq_options_t options;
    bsq_norm_t norm;
    int calls = 0;

    bsq_norm_init(&norm, sizeof norm);
    ck_assert_int_eq(bsq_operator_norm(NULL, NULL, op.weights, 0.1, &norm, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, NULL, 0.1, &norm, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 0.1, NULL, NULL), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 0.009, &norm, NULL), BSQ_E_RANGE);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 11, &norm, NULL), BSQ_E_RANGE);
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, NAN, &norm, NULL), BSQ_E_RANGE);
    desc.groups = 2;
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 0.1, &norm, NULL), BSQ_E_SHAPE);
    desc.groups = 1;
    norm.struct_size = 8;
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 0.1, &norm, NULL), BSQ_E_VERSION);
    norm.struct_size = sizeof norm;
    bsq_options_init(&options, sizeof options);
    options.progress = stop_at_third;
    options.progress_opaque = &calls;
    ck_assert_int_eq(bsq_operator_norm(&desc, &options, op.weights, 0.1, &norm, NULL), BSQ_E_CANCELLED);
    ck_assert(norm.upper == 0 && norm.lower == 0);
    op.weights[7] = INFINITY;

    char text[64];
    bsq_error_t error;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    ck_assert_int_eq(bsq_operator_norm(&desc, NULL, op.weights, 0.1, &norm, &error), BSQ_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(text, "weights[7]"));
    ck_assert_int_eq(error.status, BSQ_E_NUMERIC);
    free(op.weights);
}
END_TEST

/* ---- bits ---- */

enum { MOST_LAYERS = 400, CHOICES = 7 };

struct table {
    size_t count, choices;
    double errors[MOST_LAYERS * CHOICES];
    double weights[MOST_LAYERS];
    int64_t costs[MOST_LAYERS * CHOICES];
};

/* The least error within the budget, or -1; and the least cost of those. */
static double brute_force(const struct table *table, int64_t budget, int64_t *cost)
{
    size_t picks[MOST_LAYERS] = {0};
    double best = -1;

    for (;;) {
        double error = 0;
        int64_t sum = 0;
        size_t k = 0;

        for (size_t i = 0; i < table->count; i++) {
            error += table->weights[i] * table->errors[i * table->choices + picks[i]];
            sum += table->costs[i * table->choices + picks[i]];
        }
        if (sum <= budget && (best < 0 || error < best || (!(error > best) && sum < *cost))) {
            best = error;
            *cost = sum;
        }
        for (; k < table->count && ++picks[k] == table->choices; k++)
            picks[k] = 0;
        if (k == table->count)
            return best;
    }
}

static bsq_allocation_t allocate(const struct table *table, int64_t budget, int32_t *chosen)
{
    char text[128] = "";
    bsq_allocation_t allocation;
    bsq_error_t error;
    bsq_status_t status;
    double sum = 0;
    int64_t cost = 0;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    bsq_allocation_init(&allocation, sizeof allocation);
    status = bsq_allocate_bits(table->errors, table->costs, table->weights, table->count, table->choices, budget, NULL,
                               chosen, &allocation, &error);
    ck_assert_msg(status == BSQ_OK, "%s", text);
    for (size_t k = 0; k < table->count; k++) {
        ck_assert(chosen[k] >= 0 && (size_t)chosen[k] < table->choices);
        sum += table->weights[k] * table->errors[k * table->choices + (size_t)chosen[k]];
        cost += table->costs[k * table->choices + (size_t)chosen[k]];
    }
    ck_assert_int_le(cost, budget);
    ck_assert_int_eq(cost, allocation.cost);
    ck_assert_double_eq_tol(sum, allocation.error, 1e-12 * (sum + 1));
    ck_assert_double_le(allocation.lower_bound, allocation.error * (1 + 1e-12));
    return allocation;
}

/* Tables of every kind: falling errors, any errors, few different numbers (ties), equal costs, zeros. */
static void fill(struct table *table, struct test_random *random, int kind)
{
    for (size_t k = 0; k < table->count; k++) {
        double error = exp(2 * test_random_normal(random));
        int64_t size = 1 + test_random_below(random, 1000);

        table->weights[k] = kind == 2 ? 1 : 0.5 + test_random_uniform(random);
        for (size_t i = 0; i < table->choices; i++) {
            size_t at = k * table->choices + i;

            table->errors[at] = error * pow(0.25, (double)i) * (1 + 0.1 * test_random_uniform(random));
            table->costs[at] = size * (int64_t)(i + 2);
            if (kind == 1) {
                table->errors[at] = test_random_uniform(random);
                table->costs[at] = test_random_below(random, 100);
            }
            if (kind == 2) {
                table->errors[at] = (double)test_random_below(random, 4);
                table->costs[at] = test_random_below(random, 4);
            }
            if (kind == 3)
                table->costs[at] = (int64_t)(i + 2) * 64;
        }
    }
}

START_TEST(allocation_equals_brute_force)
{
    struct test_random random = test_random_seed((uint64_t)_i);
    struct table table;

    for (int run = 0; run < 60; run++) {
        int64_t cheapest = 0, dearest = 0;
        int32_t chosen[MOST_LAYERS];

        table.count = 1 + (size_t)test_random_below(&random, 5);
        table.choices = 1 + (size_t)test_random_below(&random, 5);
        fill(&table, &random, _i);
        for (size_t k = 0; k < table.count; k++) {
            int64_t low = INT64_MAX, high = 0;

            for (size_t i = 0; i < table.choices; i++) {
                int64_t cost = table.costs[k * table.choices + i];

                low = cost < low ? cost : low;
                high = cost > high ? cost : high;
            }
            cheapest += low;
            dearest += high;
        }
        for (int64_t budget = cheapest; budget <= dearest + 10; budget += 1 + (dearest - cheapest) / 7) {
            int64_t cost = 0;
            double best = brute_force(&table, budget, &cost);
            bsq_allocation_t found = allocate(&table, budget, chosen);

            ck_assert_int_eq(found.outcome, BSQ_OUTCOME_PROVEN);
            ck_assert_double_ge(best, 0);
            ck_assert_double_eq_tol(found.error, best, 1e-12 * (best + 1));
            ck_assert_double_eq_tol(found.lower_bound, best, 1e-12 * (best + 1));
        }
    }
}
END_TEST

/* Small whole costs: the optimum by dynamic programming over the budget. */
START_TEST(allocation_of_many_layers)
{
    enum { BUDGET = 6000 };
    static double best[BUDGET + 1], before[BUDGET + 1];
    struct test_random random = test_random_seed((uint64_t)_i + 50);
    static struct table table;
    int32_t chosen[MOST_LAYERS], again[MOST_LAYERS];

    table.count = 120;
    table.choices = CHOICES;
    fill(&table, &random, 0);
    for (size_t i = 0; i < table.count * CHOICES; i++)
        table.costs[i] = 1 + table.costs[i] / 60;
    memset(best, 0, sizeof best);
    for (size_t k = 0; k < table.count; k++) {
        memcpy(before, best, sizeof best);
        for (int b = 0; b <= BUDGET; b++) {
            best[b] = INFINITY;
            for (size_t i = 0; i < CHOICES; i++) {
                int64_t cost = table.costs[k * CHOICES + i];

                if (cost <= b)
                    best[b] = fmin(best[b], before[b - cost] + table.weights[k] * table.errors[k * CHOICES + i]);
            }
        }
    }
    for (int64_t budget = BUDGET; isfinite(best[budget]); budget -= 317) {
        bsq_allocation_t found = allocate(&table, budget, chosen);

        ck_assert_int_eq(found.outcome, BSQ_OUTCOME_PROVEN);
        ck_assert_double_eq_tol(found.error, best[budget], 1e-11 * best[budget]);
        (void)allocate(&table, budget, again);
        ck_assert_mem_eq(chosen, again, table.count * sizeof *chosen);
    }
}
END_TEST

/* Hundreds of layers with costs in bytes, as they come in networks. */
START_TEST(allocation_of_large_networks)
{
    struct test_random random = test_random_seed((uint64_t)_i + 90);
    static struct table table;
    int32_t chosen[MOST_LAYERS];
    int64_t size = 0;

    table.count = MOST_LAYERS;
    table.choices = CHOICES;
    fill(&table, &random, 0);
    for (size_t k = 0; k < table.count; k++) {
        int64_t weights = 100 + test_random_below(&random, 2000000);

        for (size_t i = 0; i < CHOICES; i++)
            table.costs[k * CHOICES + i] = weights * (int64_t)(i + 2) / 8 + 64;
        size += weights;
    }
    for (int average = 2; average <= 8; average++)
        ck_assert_int_eq(allocate(&table, size * average / 8 + 64 * MOST_LAYERS, chosen).outcome, BSQ_OUTCOME_PROVEN);
}
END_TEST

START_TEST(allocation_refuses)
{
    double errors[] = {4, 1, 4, 1}, weights[] = {1, 1};
    int64_t costs[] = {1, 2, 3, 4};
    int32_t chosen[] = {9, 9};
    const double bad[] = {-1, NAN, INFINITY};
    char text[128] = "";
    bsq_allocation_t allocation;
    bsq_error_t error;

    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    bsq_allocation_init(&allocation, sizeof allocation);
#define REFUSE(status, word, ...)                                                                                      \
    do {                                                                                                               \
        ck_assert_int_eq(bsq_allocate_bits(__VA_ARGS__, NULL, chosen, &allocation, &error), status);                   \
        ck_assert_msg(strstr(text, word) != NULL, "no '%s' in '%s'", word, text);                                      \
    } while (0)
    REFUSE(BSQ_E_RANGE, "cost 4", errors, costs, weights, 2, 2, 3);
    REFUSE(BSQ_E_RANGE, "budget is -1", errors, costs, NULL, 2, 2, -1);
    REFUSE(BSQ_E_SHAPE, "0 layers", errors, costs, weights, 0, 2, 9);
    REFUSE(BSQ_E_SHAPE, "0 choices", errors, costs, weights, 2, 0, 9);
    REFUSE(BSQ_E_SHAPE, "too many", errors, costs, weights, SIZE_MAX / 2, 2, 9);
    REFUSE(BSQ_E_ARGUMENT, "errors", NULL, costs, weights, 2, 2, 9);
    REFUSE(BSQ_E_ARGUMENT, "costs", errors, NULL, weights, 2, 2, 9);
    for (int i = 0; i < 3; i++) {
        errors[2] = bad[i];
        REFUSE(BSQ_E_RANGE, "errors[2]", errors, costs, weights, 2, 2, 9);
        errors[2] = 4;
        weights[1] = bad[i];
        REFUSE(BSQ_E_RANGE, "weights[1]", errors, costs, weights, 2, 2, 9);
        weights[1] = 1;
    }
    costs[3] = -1;
    REFUSE(BSQ_E_RANGE, "costs[3]", errors, costs, weights, 2, 2, 9);
    costs[3] = INT64_MAX;
    REFUSE(BSQ_E_RANGE, "sum to more", errors, costs, weights, 2, 2, 9);
    costs[3] = 4;
    errors[0] = errors[2] = 1.7e308;
    REFUSE(BSQ_E_RANGE, "sum to more", errors, costs, weights, 2, 2, 9);
    errors[0] = errors[2] = 4;
    ck_assert_int_eq(bsq_allocate_bits(errors, costs, NULL, 2, 2, 9, NULL, NULL, NULL, NULL), BSQ_E_ARGUMENT);
    allocation.struct_size = 8;
    REFUSE(BSQ_E_VERSION, "bsq_allocation_t", errors, costs, weights, 2, 2, 9);
    ck_assert(chosen[0] == 9 && chosen[1] == 9);
    /* without a report, and with a budget that is as large as can be */
    ck_assert_int_eq(bsq_allocate_bits(errors, costs, NULL, 2, 2, INT64_MAX, NULL, chosen, NULL, NULL), BSQ_OK);
    ck_assert(chosen[0] == 1 && chosen[1] == 1);
}
END_TEST

/* ---- memory ---- */

/* Every allocation fails once; nothing is written or left behind. */
START_TEST(out_of_memory)
{
    bsq_layer_desc_t desc = desc_of(&shapes[6]);
    struct operator op = operator_of(&desc, 8, 1);
    static struct table table;
    struct test_random random = test_random_seed(5);
    int32_t chosen[MOST_LAYERS];
    bool done = false;

    table.count = MOST_LAYERS;
    table.choices = CHOICES;
    fill(&table, &random, 0);
    for (int64_t fail_at = 1; !done; fail_at++) {
        struct test_heap heap;
        bsq_options_t options;
        bsq_norm_t norm;
        bsq_status_t first, second;

        test_heap_init(&heap);
        bsq_options_init(&options, sizeof options);
        test_heap_use(&heap, &options);
        heap.fail_at = fail_at;
        bsq_norm_init(&norm, sizeof norm);
        chosen[0] = -1;
        first = bsq_operator_norm(&desc, &options, op.weights, 0.1, &norm, NULL);
        second = bsq_allocate_bits(table.errors, table.costs, table.weights, MOST_LAYERS, CHOICES, 2000000, &options,
                                   chosen, NULL, NULL);
        ck_assert_int_eq(heap.blocks, 0);
        ck_assert((first == BSQ_OK) == (norm.upper > 0) && (second == BSQ_OK) == (chosen[0] >= 0));
        done = heap.failed == 0;
        ck_assert_int_eq(first != BSQ_OK ? first : second, done ? BSQ_OK : BSQ_E_MEMORY);
        ck_assert_int_lt(fail_at, 100);
    }
    free(op.weights);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("network");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, norm_bounds_the_operator, 0, SHAPES);
    tcase_add_test(tests, known_norms);
    tcase_add_test(tests, norm_of_other_layout);
    tcase_add_test(tests, norm_refuses);
    tcase_add_loop_test(tests, allocation_equals_brute_force, 0, 4);
    tcase_add_loop_test(tests, allocation_of_many_layers, 0, 4);
    tcase_add_loop_test(tests, allocation_of_large_networks, 0, 4);
    tcase_add_test(tests, allocation_refuses);
    tcase_add_test(tests, out_of_memory);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api network", all());
}
