/* Inner loops: every kernel that this machine runs, against portable ones and against plain sums in double.
 *
 * No BLAS and nothing of the library but its kernels is needed, so that this also runs under emulation; cross/check.h
 * then stands for Check. */
#include "bsq.h"
#include "kernels/kernels.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_KERNEL = BSQ_KERNEL_PORTABLE, LAST_KERNEL = BSQ_KERNEL_NEON };

/* Unlike ck_assert_msg it leaves no trace when all is well: there are millions of them. */
#define expect(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

/* ---- what all tests need ---------------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t random_bits(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 32);
}

static int random_below(int bound)
{
    return (int)(random_bits() % (uint32_t)bound);
}

/* -1 .. 1 */
static float random_float(void)
{
    return (float)((double)random_bits() / 2147483648.0 - 1.0);
}

/* Exactly this many bytes, so that sanitizers see what is read or written beyond them. */
static void *get(size_t count, size_t size)
{
    void *memory = calloc(count * size > 0 ? count * size : 1, 1);

    expect(memory != NULL, "out of memory");
    return memory;
}

static void *copy_of(const void *from, size_t count, size_t size)
{
    void *memory = get(count, size);

    memcpy(memory, from, count * size);
    return memory;
}

static bool same_bits(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* The kernels of a loop test; NULL, and a line that says so, when this machine lacks them. */
static const struct bsq_kernels *kernels_of(int id)
{
    const struct bsq_kernels *kernels = bsq_kernels_by_id(id);

    if (!kernels)
        printf("%s: not on this machine\n", bsq_kernel_string(id));
    return kernels;
}

/* ---- which kernels there are ------------------------------------------------------------------------------ */

START_TEST(portable_ones_are_always_there)
{
    expect(bsq_kernels_by_id(BSQ_KERNEL_PORTABLE) == &bsq_kernels_portable, "portable");
    expect(bsq_kernels_by_id(0) == NULL && bsq_kernels_by_id(-1) == NULL && bsq_kernels_by_id(99) == NULL,
           "unknown kernels");
}
END_TEST

START_TEST(tables_are_complete)
{
    for (int id = FIRST_KERNEL; id <= LAST_KERNEL; id++) {
        const struct bsq_kernels *kernels = bsq_kernels_by_id(id);

        if (!kernels)
            continue;
        expect(kernels->id == id, "kernel %d says it is %d", id, (int)kernels->id);
        expect(kernels->beam && kernels->spread && kernels->follow && kernels->gather && kernels->sums &&
                   kernels->requantize && kernels->magnitudes && kernels->list_bits && kernels->extremes &&
                   kernels->round_sums && kernels->round_errors && kernels->round_codes && kernels->next_step &&
                   kernels->most_gain && kernels->code_sums && kernels->add_scaled && kernels->distance &&
                   kernels->pack4 && kernels->pack2 && kernels->unpack4 && kernels->unpack2 &&
                   !kernels->gemm_tn == !kernels->syrk,
               "kernel %d lacks a function", id);
    }
}
END_TEST

START_TEST(kernels_are_forced_and_released)
{
    const struct bsq_kernels *best = bsq_kernels();

    for (int id = FIRST_KERNEL; id <= LAST_KERNEL; id++) {
        const struct bsq_kernels *before = bsq_kernels(), *kernels = bsq_kernels_by_id(id);

        expect(bsq_kernels_force(id) == (kernels != NULL), "kernel %d", id);
        expect(bsq_kernels() == (kernels ? kernels : before), "kernel %d", id);
        expect(!kernels || best->id >= id, "kernel %d is better than the best", id);
    }
    expect(bsq_kernels_force(0) && bsq_kernels() == best, "the best again");
}
END_TEST

/* ---- beam: problems --------------------------------------------------------------------------------------- */

enum { LDR = BSQ_BEAM_ROWS + 3 };

/* What kinds of numbers a problem has. */
enum { USUAL, TIES, FAR_OUTSIDE, SMALL, LARGE, NEARLY_SINGULAR, KINDS };

struct problem {
    struct bsq_beam_block block;
    float *r, *t, *v, *step, *inverse, *cost;
};

struct answer {
    float *e, *cost;
    int32_t *parent;
};

static size_t states_of(const struct bsq_beam_block *block)
{
    return (size_t)(block->lanes * block->width);
}

static float draw(int kind)
{
    return kind == TIES ? 0.25F * (float)(random_below(17) - 8) : random_float();
}

static void draw_factor(struct problem *problem, int kind)
{
    problem->r = get((size_t)BSQ_BEAM_ROWS * LDR, sizeof(float));
    for (int i = 0; i < BSQ_BEAM_ROWS; i++)
        for (int j = 0; j < LDR; j++) {
            float value = 0.5F * draw(kind);

            if (i == j)
                value = kind == TIES ? 1.0F : kind == NEARLY_SINGULAR && i % 2 ? 1e-4F : 0.7F + fabsf(value);
            problem->r[i * LDR + j] = j < i ? 12345.0F : value; /* nobody reads below the diagonal */
        }
}

/* Every survivor of a lane has the same v; its cost grows, and from some survivor on there are none. */
static void draw_states(struct problem *problem, int kind, float unit)
{
    const struct bsq_beam_block *block = &problem->block;
    size_t states = states_of(block);

    for (int64_t k = 0; k < block->rows; k++)
        for (int64_t l = 0; l < block->lanes; l++) {
            float reach = kind == FAR_OUTSIDE ? 3000.0F : 1.2F * (block->highest + 0.5F);
            float v = unit * (kind == TIES ? 0.5F * (float)(random_below(9) - 4) : reach * random_float());

            if (k == 0 || block->lds > 0) {
                float step = unit * (kind == TIES ? 1.0F : 0.7F + 0.3F * random_float());

                problem->step[k * block->lds + l] = step;
                problem->inverse[k * block->lds + l] = 1.0F / step;
            }
            problem->v[k * block->ldv + l] = v;
            for (int64_t s = 0; s < block->width; s++)
                problem->t[(size_t)k * states + (size_t)(l * block->width + s)] = unit * draw(kind);
        }
    for (int64_t l = 0; l < block->lanes; l++) {
        int64_t there = random_below(3) ? block->width : 1 + random_below((int)block->width);
        float cost = kind == TIES ? 0.0F : unit * unit * fabsf(random_float());

        for (int64_t s = 0; s < block->width; s++) {
            problem->cost[l * block->width + s] = s < there ? cost : INFINITY;
            cost += kind == TIES ? 0.0F : 0.1F * unit * unit * fabsf(random_float());
        }
    }
}

static struct problem draw_problem(int64_t rows, int64_t lanes, int64_t width, int bits, int kind)
{
    struct problem problem;
    size_t states = (size_t)(lanes * width), count = (size_t)rows * states;
    float highest = (float)((1 << (bits - 1)) - 1);
    float unit = kind == SMALL ? 1e-12F : kind == LARGE ? 1e12F : 1.0F;
    int64_t lds = random_below(2) ? lanes : 0, ldv = lanes + random_below(3);

    draw_factor(&problem, kind);
    problem.t = get(count, sizeof(float));
    problem.v = get((size_t)((rows - 1) * ldv + lanes), sizeof(float));
    problem.step = get((size_t)(lds ? rows * lanes : lanes), sizeof(float));
    problem.inverse = get((size_t)(lds ? rows * lanes : lanes), sizeof(float));
    problem.cost = get(states, sizeof(float));
    problem.block = (struct bsq_beam_block){.rows = rows,
                                            .lanes = lanes,
                                            .width = width,
                                            .r = problem.r,
                                            .ldr = LDR,
                                            .t = problem.t,
                                            .v = problem.v,
                                            .ldv = ldv,
                                            .step = problem.step,
                                            .inverse = problem.inverse,
                                            .lds = lds,
                                            .lowest = random_below(2) ? -highest : -highest - 1.0F,
                                            .highest = highest};
    draw_states(&problem, kind, unit);
    return problem;
}

static void free_problem(struct problem *problem)
{
    free(problem->r);
    free(problem->t);
    free(problem->v);
    free(problem->step);
    free(problem->inverse);
    free(problem->cost);
}

static struct answer solve(const struct bsq_kernels *kernels, const struct problem *problem)
{
    struct bsq_beam_block block = problem->block;
    size_t states = states_of(&block);
    struct answer answer = {get((size_t)block.rows * states, sizeof(float)),
                            copy_of(problem->cost, states, sizeof(float)), get(states, sizeof(int32_t))};

    block.e = answer.e;
    block.cost = answer.cost;
    block.parent = answer.parent;
    kernels->beam(&block);
    return answer;
}

static void free_answer(struct answer *answer)
{
    free(answer->e);
    free(answer->cost);
    free(answer->parent);
}

/* ---- beam: checks ----------------------------------------------------------------------------------------- */

/* A state is a path: its codes are integers in range, its cost is what the path adds up to. Single precision
 * is good to 'rounding' of the magnitudes that were added, at most 34 terms a row. */
static void check_path(const struct problem *problem, const struct answer *answer, int64_t lane, int64_t survivor)
{
    static const double rounding = 64.0 * FLT_EPSILON;
    const struct bsq_beam_block *block = &problem->block;
    int64_t states = block->lanes * block->width, state = lane * block->width + survivor;
    int64_t from = lane * block->width + answer->parent[state];
    double cost = (double)problem->cost[from], cost_error = rounding * cost;

    expect(answer->parent[state] >= 0 && answer->parent[state] < block->width, "parent %d", (int)answer->parent[state]);
    for (int64_t k = 0; k < block->rows; k++) {
        double step = (double)block->step[k * block->lds + lane];
        double v = (double)block->v[k * block->ldv + lane], e = (double)answer->e[k * states + state];
        double code = rint((v - e) / step), residual = (double)block->t[k * states + from], size = fabs(residual);

        expect(code >= (double)block->lowest && code <= (double)block->highest, "code %g", code);
        expect(fabs(v - step * code - e) <= 2.0 * FLT_EPSILON * (fabs(v) + fabs(step * code)),
               "e %g is not v %g - %g step %g", e, v, code, step);
        for (int64_t j = k; j < block->rows; j++) {
            double term = (double)block->r[k * block->ldr + j] * (double)answer->e[j * states + state];

            residual += term;
            size += fabs(term);
        }
        cost += residual * residual;
        cost_error += rounding * size * (2.0 * fabs(residual) + rounding * size) + rounding * residual * residual;
    }
    expect(fabs(cost - (double)answer->cost[state]) <= cost_error, "cost %g, its path costs %g +- %g",
           (double)answer->cost[state], cost, cost_error);
}

/* Best first, those that are not there last. */
static void check_order(const struct problem *problem, const struct answer *answer)
{
    const struct bsq_beam_block *block = &problem->block;

    for (int64_t l = 0; l < block->lanes; l++)
        for (int64_t s = 1; s < block->width; s++)
            expect(answer->cost[l * block->width + s - 1] <= answer->cost[l * block->width + s],
                   "survivors %d and %d are out of order", (int)s - 1, (int)s);
}

static void check_paths(const struct problem *problem, const struct answer *answer)
{
    const struct bsq_beam_block *block = &problem->block;

    for (int64_t l = 0; l < block->lanes; l++)
        for (int64_t s = 0; s < block->width; s++)
            if (isfinite(answer->cost[l * block->width + s]))
                check_path(problem, answer, l, s);
}

/* Survivors that there are must have the same bits; of others only the cost counts, and that e is finite. */
static void check_same(const struct problem *problem, const struct answer *expected, const struct answer *answer)
{
    const struct bsq_beam_block *block = &problem->block;
    size_t states = states_of(block);

    for (size_t i = 0; i < states; i++)
        expect(same_bits(&expected->cost[i], &answer->cost[i], sizeof(float)), "state %d costs %.9g, not %.9g", (int)i,
               (double)answer->cost[i], (double)expected->cost[i]);
    for (size_t i = 0; i < states; i++) {
        bool there = isfinite(expected->cost[i]);

        for (int64_t k = 0; k < block->rows; k++) {
            size_t at = (size_t)k * states + i;

            expect(there ? same_bits(&expected->e[at], &answer->e[at], sizeof(float)) : isfinite(answer->e[at]),
                   "state %d, row %d: e is %.9g, not %.9g", (int)i, (int)k, (double)answer->e[at],
                   (double)expected->e[at]);
        }
        expect(answer->parent[i] >= 0 && answer->parent[i] < block->width, "parent %d", (int)answer->parent[i]);
        expect(!there || expected->parent[i] == answer->parent[i], "parents differ");
    }
}

static void compare_on(const struct bsq_kernels *kernels, int64_t rows, int64_t lanes, int64_t width, int bits,
                       int kind)
{
    struct problem problem = draw_problem(rows, lanes, width, bits, kind);
    struct answer expected = solve(&bsq_kernels_portable, &problem), answer = solve(kernels, &problem);

    check_order(&problem, &answer);
    check_paths(&problem, &answer);
    check_same(&problem, &expected, &answer);
    free_answer(&expected);
    free_answer(&answer);
    free_problem(&problem);
}

static const int widths[] = {1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32, 33, 63, 64};

enum { WIDTHS = sizeof widths / sizeof *widths };

START_TEST(beams_are_the_same)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 1;
    for (int round = 0; kernels && round < 12; round++)
        for (int w = 0; w < WIDTHS; w++)
            for (int kind = 0; kind < KINDS; kind++) {
                int most = widths[w] > 8 ? 9 : 70;

                compare_on(kernels, 1 + random_below(BSQ_BEAM_ROWS), 1 + random_below(most), widths[w],
                           2 + random_below(7), kind);
            }
}
END_TEST

START_TEST(beams_of_every_shape)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 2;
    for (int64_t rows = 1; kernels && rows <= BSQ_BEAM_ROWS; rows++)
        for (int w = 0; w < WIDTHS; w++)
            compare_on(kernels, rows, 1 + rows % 5, widths[w], 2 + (int)(rows % 7), USUAL);
    for (int64_t lanes = 1; kernels && lanes <= 70; lanes++)
        for (int w = 0; w < 8; w++)
            compare_on(kernels, 2, lanes, widths[w], 3, USUAL);
}
END_TEST

/* ---- what lies around the beam ---------------------------------------------------------------------------- */

enum { MOST_COUNT = 40, LDT = BSQ_BEAM_WIDTH + 5, LDB = 3 };

static void spread_on(const struct bsq_kernels *kernels, int64_t rows, int64_t width, int64_t count)
{
    static const double rounding = 2.0 * FLT_EPSILON;
    float *r = get((size_t)rows * LDR, sizeof *r), *e = get((size_t)(count * width), sizeof *e);
    float *base = get((size_t)((rows - 1) * LDB + 1), sizeof *base), *scratch = get((size_t)(count * width), sizeof *e);
    size_t size = (size_t)((rows - 1) * LDT + width);
    float *t = get(size, sizeof *t), *expected = get(size, sizeof *t);
    int32_t row[MOST_COUNT];
    struct bsq_beam_spread task = {.rows = rows,
                                   .width = width,
                                   .count = count,
                                   .r = r,
                                   .row = row,
                                   .e = e,
                                   .difference = scratch,
                                   .base = base,
                                   .t = t,
                                   .ldr = LDR,
                                   .ldb = LDB,
                                   .ldt = LDT};

    for (int64_t i = 0; i < rows * LDR; i++)
        r[i] = random_float();
    for (int64_t i = 0; i < count * width; i++)
        e[i] = random_float();
    for (int64_t i = 0; i < (rows - 1) * LDB + 1; i++)
        base[i] = random_float();
    for (int64_t i = 0; i < count; i++)
        row[i] = random_below(LDR);
    kernels->spread(&task);
    task.t = expected;
    bsq_kernels_portable.spread(&task);
    expect(same_bits(t, expected, size * sizeof *t), "spread differs, width %d", (int)width);
    for (int64_t k = 0; k < rows; k++)
        for (int64_t s = 0; s < width; s++) {
            double sum = (double)base[k * LDB], magnitude = fabs(sum);

            for (int64_t i = 0; i < count; i++) {
                double term = (double)r[k * LDR + row[i]] * ((double)e[i * width + s] - (double)e[i * width]);

                sum += term;
                magnitude += fabs(term);
            }
            expect(fabs((double)t[k * LDT + s] - sum) <= rounding * (double)(count + 2) * magnitude, "t is %g, not %g",
                   (double)t[k * LDT + s], sum);
        }
    free(r);
    free(e);
    free(base);
    free(scratch);
    free(t);
    free(expected);
}

static void follow_on(const struct bsq_kernels *kernels, int64_t rows, int64_t width, bool reorder)
{
    int64_t ld = width + random_below(3);
    size_t size = (size_t)((rows - 1) * ld + width);
    float *e = get(size, sizeof *e), *before;
    int32_t parent[BSQ_BEAM_WIDTH];
    unsigned char differ[BSQ_BEAM_ROWS];

    for (size_t i = 0; i < size; i++)
        e[i] = (float)(random_below(20) == 0); /* rows that are all equal, and some that are not */
    for (int64_t s = 0; s < width; s++)
        parent[s] = random_below((int)width);
    before = copy_of(e, size, sizeof *e);
    kernels->follow(e, ld, rows, width, reorder ? parent : NULL, differ);
    for (int64_t k = 0; k < rows; k++) {
        bool different = false;

        for (int64_t s = 0; s < width; s++) {
            float wanted = before[k * ld + (reorder ? parent[s] : s)];

            expect(same_bits(&e[k * ld + s], &wanted, sizeof wanted), "row %d survivor %d", (int)k, (int)s);
            different |= e[k * ld + s] != e[k * ld];
        }
        for (int64_t s = width; s < ld && k + 1 < rows; s++)
            expect(same_bits(&e[k * ld + s], &before[k * ld + s], sizeof *e), "beyond the survivors");
        expect(differ[k] == different, "row %d: differ is %d", (int)k, (int)differ[k]);
    }
    free(e);
    free(before);
}

START_TEST(spread_and_follow)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 5;
    for (int round = 0; kernels && round < 10; round++)
        for (int w = 1; w < WIDTHS; w++) {
            spread_on(kernels, 1 + random_below(BSQ_BEAM_ROWS), widths[w], random_below(MOST_COUNT + 1));
            follow_on(kernels, 1 + random_below(BSQ_BEAM_ROWS), widths[w], round % 2 != 0);
        }
}
END_TEST

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The costs of the best 'width' extensions of one row, tried one by one in double. */
static void best_extensions(const struct problem *problem, int64_t lane, double *best)
{
    const struct bsq_beam_block *block = &problem->block;
    size_t count = 0, most = (size_t)block->width * 256;
    double *all = get(most, sizeof *all);

    for (int64_t s = 0; s < block->width; s++)
        for (double code = (double)block->lowest; code <= (double)block->highest; code += 1.0) {
            int64_t state = lane * block->width + s;
            double e = (double)problem->v[lane] - (double)problem->step[lane] * code;
            double residual = (double)problem->t[state] + (double)problem->r[0] * e;

            all[count++] = (double)problem->cost[state] + residual * residual;
        }
    qsort(all, count, sizeof *all, compare_doubles);
    for (size_t s = 0; s < (size_t)block->width; s++)
        best[s] = s < count ? all[s] : INFINITY;
    free(all);
}

/* One row is decided by trying everything; more rows follow from check_path, row after row. */
START_TEST(best_extensions_survive)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 3;
    for (int round = 0; kernels && round < 10; round++)
        for (int w = 0; w < WIDTHS; w++)
            for (int bits = 2; bits <= 8; bits++) {
                struct problem problem = draw_problem(1, 1 + random_below(5), widths[w], bits, USUAL);
                struct answer answer = solve(kernels, &problem);
                double best[BSQ_BEAM_WIDTH];

                for (int64_t l = 0; l < problem.block.lanes; l++) {
                    best_extensions(&problem, l, best);
                    for (int64_t s = 0; s < widths[w]; s++) {
                        double cost = (double)answer.cost[l * widths[w] + s];

                        expect(isinf(best[s]) ? isinf(cost) : fabs(cost - best[s]) <= 1e-5 * (best[s] + 1.0),
                               "survivor %d of %d costs %g, should be %g", (int)s, widths[w], cost, best[s]);
                    }
                }
                free_answer(&answer);
                free_problem(&problem);
            }
}
END_TEST

/* ---- statistics ------------------------------------------------------------------------------------------- */

/* Against sums in double: 'off' is what they may differ by, as a share of the sum of magnitudes. */
static void check_product(const struct bsq_gemm_tn *p, const double *before, double off)
{
    for (int64_t i = 0; i < p->columns_a; i++)
        for (int64_t j = p->symmetric ? i : 0; j < p->columns_b; j++) {
            double sum = before[i * p->ldt + j], size = fabs(sum), found = p->to[i * p->ldt + j];

            for (int64_t row = 0; row < p->rows; row++) {
                double weight = p->weights ? (double)p->weights[row] : 1.0;
                double term = weight * (double)p->a[row * p->lda + i] * (double)p->b[row * p->ldb + j];

                sum += term;
                size += fabs(term);
            }
            expect(fabs(found - sum) <= off * size, "(%d, %d) of %d x %d: %.17g, not %.17g", (int)i, (int)j,
                   (int)p->rows, (int)p->columns_b, found, sum);
        }
    for (int64_t i = 0; i + 1 < p->columns_a; i++)
        for (int64_t j = p->columns_b; j < p->ldt; j++)
            expect(same_bits(&before[i * p->ldt + j], &p->to[i * p->ldt + j], sizeof(double)), "beyond row %d", (int)i);
}

static void multiply(const struct bsq_kernels *kernels, int64_t rows, int64_t columns_a, int64_t columns_b,
                     bool weighted, bool symmetric)
{
    int64_t ld = columns_b + random_below(4), ldt = columns_b + random_below(4);
    size_t cells = (size_t)((columns_a - 1) * ldt + columns_b), values = (size_t)((rows - 1) * ld + columns_b);
    float *b = get(values, sizeof *b), *a, *weights = get((size_t)rows, sizeof *weights);
    double *before = get(cells, sizeof *before), *to;
    double *scratch = get((size_t)(rows * ((columns_a + 7) / 8 * 8)), sizeof *scratch);

    for (size_t i = 0; i < values; i++)
        b[i] = random_float();
    for (int64_t i = 0; i < rows; i++)
        weights[i] = fabsf(random_float());
    for (size_t i = 0; i < cells; i++)
        before[i] = (double)random_float();
    a = symmetric ? b : copy_of(b, values, sizeof *b);
    to = copy_of(before, cells, sizeof *to);

    struct bsq_gemm_tn product = {.a = a,
                                  .b = b,
                                  .weights = weighted ? weights : NULL,
                                  .rows = rows,
                                  .columns_a = columns_a,
                                  .columns_b = columns_b,
                                  .lda = ld,
                                  .ldb = ld,
                                  .symmetric = symmetric,
                                  .scratch = scratch,
                                  .to = to,
                                  .ldt = ldt};

    kernels->gemm_tn(&product);
    check_product(&product, before, 1e-15 * sqrt((double)rows + 16.0)); /* the rounding of as many terms */
    if (!symmetric)
        free(a);
    free(b);
    free(weights);
    free(before);
    free(to);
    free(scratch);
}

START_TEST(products_are_right)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 4;
    if (!kernels || !kernels->gemm_tn)
        return;
    for (int64_t columns = 1; columns <= 40; columns++) {
        multiply(kernels, 1 + random_below(20), columns, columns, columns % 2, true);
        multiply(kernels, 1 + random_below(20), columns, columns + random_below(50), columns % 2, false);
    }
    multiply(kernels, 512, 9, 9, false, true);
    multiply(kernels, 513, 128, 131, false, true);
    multiply(kernels, 600, 33, 150, true, false);
}
END_TEST

/* Half of the values are zeros, of either sign; the others are random or, when 'whole', small integers. */
static float *draw_activations(size_t count, bool whole)
{
    float *x = get(count, sizeof *x);

    for (size_t i = 0; i < count; i++) {
        float value = whole ? (float)(random_below(17) - 8) : ldexpf(random_float(), random_below(21) - 10);

        x[i] = random_below(2) ? value : random_below(2) ? 0.0F : -0.0F;
    }
    return x;
}

/* In single precision sums of small integers are exact, others good to its rounding. */
static void square(const struct bsq_kernels *kernels, int64_t rows, int64_t columns_a, int64_t columns_b, bool whole)
{
    int64_t ld = columns_b + random_below(4), ldt = columns_b + random_below(4);
    size_t cells = (size_t)((columns_a - 1) * ldt + columns_b);
    float *x = draw_activations((size_t)((rows - 1) * ld + columns_b), whole);
    double *to = get(cells, sizeof *to), *before = get(cells, sizeof *before);
    double *scratch = get((size_t)((rows + BSQ_SYRK_ROOM) * BSQ_SYRK_MOST), sizeof *scratch);

    for (size_t i = 0; i < cells; i++)
        to[i] = before[i] = (double)random_below(100);

    struct bsq_gemm_tn product = {.a = x,
                                  .b = x,
                                  .rows = rows,
                                  .columns_a = columns_a,
                                  .columns_b = columns_b,
                                  .lda = ld,
                                  .ldb = ld,
                                  .symmetric = true,
                                  .scratch = scratch,
                                  .to = to,
                                  .ldt = ldt};

    kernels->syrk(&product);
    check_product(&product, before, whole ? 0.0 : 1e-6);
    free(x);
    free(to);
    free(before);
    free(scratch);
}

START_TEST(squares_are_right)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 6;
    if (!kernels || !kernels->syrk)
        return;
    for (int64_t columns = 1; columns <= 300; columns += 1 + random_below(9)) {
        int64_t most = columns < BSQ_SYRK_MOST ? columns : BSQ_SYRK_MOST;

        square(kernels, 1 + random_below(200), 1 + random_below((int)most), columns, true);
        square(kernels, 1 + random_below(200), most, columns, false);
    }
    square(kernels, 1, BSQ_SYRK_MOST, BSQ_SYRK_MOST, true);
    square(kernels, 512, BSQ_SYRK_MOST, 384, true);
}
END_TEST

START_TEST(magnitudes_are_found)
{
    const struct bsq_kernels *kernels = kernels_of(_i);
    static const float special[] = {0.0F, -0.0F, 1e-45F, -FLT_MAX, INFINITY, -INFINITY, NAN};
    enum { SPECIAL = sizeof special / sizeof *special };

    random_state = 7;
    for (int64_t count = 0; kernels && count <= 70; count++)
        for (int trial = 0; trial < 2 * SPECIAL; trial++) {
            float *x = get((size_t)count, sizeof *x), least = INFINITY, most = 0.0F, found_least, found_most;

            for (int64_t i = 0; i < count; i++)
                x[i] = trial < SPECIAL ? random_float() : 0.0F;
            if (count > 0)
                x[random_below((int)count)] = special[trial % SPECIAL];
            for (int64_t i = 0; i < count; i++) {
                float size = fabsf(x[i]);

                least = size > 0.0F && size < least ? size : least;
                most = isnan(size) || size > most ? size : most;
            }
            kernels->magnitudes(x, count, &found_least, &found_most);
            expect(isfinite(most) ? same_bits(&most, &found_most, sizeof most) : !isfinite(found_most),
                   "most of %d: %g", (int)count, (double)found_most);
            expect(!isfinite(most) || same_bits(&least, &found_least, sizeof least), "least of %d: %g", (int)count,
                   (double)found_least);
            free(x);
        }
}
END_TEST

START_TEST(bits_are_listed)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 9;
    for (int64_t count = 0; kernels && count <= 300; count += 1 + count / 40)
        for (int64_t stride = 1; stride <= 3; stride++) {
            float *x = draw_activations(count > 0 ? (size_t)((count - 1) * stride + 1) : 0, false);
            uint32_t *found = get((size_t)count, sizeof *found);
            int64_t listed = kernels->list_bits(x, count, stride, found), next = 0;

            for (int64_t i = 0; i < count; i++) {
                uint32_t bits;

                memcpy(&bits, x + i * stride, sizeof bits);
                if (bits == 0)
                    continue;
                expect(next < listed && found[next] == bits, "value %d of %d", (int)i, (int)count);
                next++;
            }
            expect(next == listed, "%d of %d listed, not %d", (int)listed, (int)count, (int)next);
            free(x);
            free(found);
        }
}
END_TEST

START_TEST(rows_are_gathered)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 8;
    for (int64_t columns = 1; kernels && columns <= 40; columns++)
        for (int64_t step = 1; step <= 3; step++) {
            int64_t rows = 1 + random_below(20), ldt = columns + random_below(3), reach = 1 + random_below(50);
            size_t cells = (size_t)((rows - 1) * ldt + columns);
            float *from = draw_activations((size_t)(reach + (rows - 1) * step), false),
                  *to = draw_activations(cells, false);
            float *before = copy_of(to, cells, sizeof *to);
            int64_t *column = get((size_t)columns, sizeof *column);

            for (int64_t j = 0; j < columns; j++)
                column[j] = random_below((int)reach);
            kernels->gather(from, column, step, rows, columns, to, ldt);
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < ldt && i * ldt + j < (int64_t)cells; j++)
                    expect(same_bits(to + i * ldt + j, j < columns ? from + column[j] + i * step : before + i * ldt + j,
                                     sizeof *to),
                           "row %d, column %d of %d", (int)i, (int)j, (int)columns);
            free(from);
            free(to);
            free(before);
            free(column);
        }
}
END_TEST

START_TEST(sums_are_the_same)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 5;
    for (int64_t columns = 1; kernels && columns <= 70; columns++) {
        int64_t rows = 1 + random_below(40), ld = columns + random_below(3);
        size_t values = (size_t)((rows - 1) * ld + columns), width = (size_t)columns;
        float *x = get(values, sizeof *x), *weights = get((size_t)rows, sizeof *weights);
        double *sum[2], *square[2];

        for (size_t i = 0; i < values; i++)
            x[i] = random_float() * (random_below(9) ? 1.0F : 1e30F);
        for (int64_t i = 0; i < rows; i++)
            weights[i] = fabsf(random_float());
        for (int k = 0; k < 2; k++) {
            sum[k] = get(width, sizeof(double));
            square[k] = get(width, sizeof(double));
            for (size_t j = 0; j < width; j++)
                sum[k][j] = square[k][j] = (double)j;
            (k ? kernels : &bsq_kernels_portable)
                ->sums(x, ld, rows, columns, columns % 2 ? weights : NULL, sum[k], columns % 3 ? square[k] : NULL);
        }
        expect(same_bits(sum[0], sum[1], width * sizeof(double)), "sums of %d columns", (int)columns);
        expect(same_bits(square[0], square[1], width * sizeof(double)), "squares of %d columns", (int)columns);
        for (int64_t j = 0; j < columns; j++) {
            double expected = (double)j, size = (double)j;

            for (int64_t i = 0; i < rows; i++) {
                double term = (columns % 2 ? (double)weights[i] : 1.0) * (double)x[i * ld + j];

                expected += term;
                size += fabs(term);
            }
            expect(fabs(expected - sum[1][j]) <= 1e-14 * size, "sum of column %d", (int)j);
        }
        for (int k = 0; k < 2; k++) {
            free(sum[k]);
            free(square[k]);
        }
        free(x);
        free(weights);
    }
}
END_TEST

/* ---- the input quantizer ---------------------------------------------------------------------------------- */

/* Any bits of a finite float, halves of the step, and what lies beside them. */
static float draw_input(double scale)
{
    uint32_t bits = random_bits();
    float x;

    switch (random_below(4)) {
    case 0: return (float)(scale * 0.5 * (double)(random_below(600) - 300));
    case 1: return nextafterf((float)(scale * 0.5 * (double)(random_below(600) - 300)), bits % 2 ? FLT_MAX : -FLT_MAX);
    case 2: return (float)(scale * 100.0 * (double)random_float());
    default: memcpy(&x, &bits, sizeof x); return isfinite(x) ? x : FLT_MAX;
    }
}

/* By the definition: rint rounds halves to even. */
static float requantized(float x, double scale, double low, double high)
{
    double value = scale * rint(fmin(fmax((double)x / scale, low), high));

    return (float)fmin(fmax(value, -(double)FLT_MAX), (double)FLT_MAX);
}

START_TEST(quantized_inputs_are_the_same)
{
    static const float scales[] = {1.0F, 0.1F, 3.7e-3F, FLT_MIN, 1e-30F, 1e30F, FLT_MAX, 0.333F};
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 6;
    for (int count = 0; kernels && count <= 200; count++) {
        double scale = (double)scales[count % 8];
        double low = -(double)random_below(129), high = low + (double)((1 << (2 + count % 7)) - 1);
        float *x = get((size_t)count, sizeof *x), *found;

        for (int i = 0; i < count; i++)
            x[i] = draw_input(scale);
        found = copy_of(x, (size_t)count, sizeof *x);
        kernels->requantize(found, count, scale, low, high);
        for (int i = 0; i < count; i++) {
            float expected = requantized(x[i], scale, low, high);

            expect(found[i] == expected, "%.9g in steps of %g, codes %g..%g: %.9g, not %.9g", (double)x[i], scale, low,
                   high, (double)found[i], (double)expected);
        }
        bsq_kernels_portable.requantize(x, count, scale, low, high);
        expect(same_bits(x, found, (size_t)count * sizeof *x), "portable ones differ in bits");
        free(x);
        free(found);
    }
}
END_TEST

/* ---- rounding and descent ---------------------------------------------------------------------------------- */

START_TEST(rounded_weights_are_the_same)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 7;
    for (int count = 0; kernels && count <= 200; count++) {
        double scale = 0.01 * (1 + random_below(50)), along = 0, square = 0, found[2], portable[2];
        float *x = get((size_t)count, sizeof *x), least = 0, most = 0, ends[2];
        float *errors = get((size_t)count, sizeof *errors), *others = get((size_t)count, sizeof *others);
        int8_t *codes = get((size_t)count, 1);

        for (int i = 0; i < count; i++) {
            double code;

            x[i] = 2.0F * random_float() - 1.0F;
            code = (double)rintf(fminf(fmaxf(x[i] * (float)(1.0 / scale), -8), 7));
            along += code * (double)x[i];
            square += code * code;
            least = fminf(least, x[i]);
            most = fmaxf(most, x[i]);
        }
        kernels->extremes(x, count, &ends[0], &ends[1]);
        expect(ends[0] == least && ends[1] == most, "extremes %g %g", (double)ends[0], (double)ends[1]);
        kernels->round_sums(x, count, (float)(1.0 / scale), -8, 7, &found[0], &found[1]);
        expect(fabs(found[0] - along) <= 1e-6 * (1 + fabs(along)) && found[1] == square, "sums %g %g, not %g %g",
               found[0], found[1], along, square);
        bsq_kernels_portable.round_sums(x, count, (float)(1.0 / scale), -8, 7, &portable[0], &portable[1]);
        expect(same_bits(found, portable, sizeof found), "portable ones differ in bits");
        found[0] = kernels->round_errors(x, count, 1.0 / scale, -8, 7, errors);
        portable[0] = bsq_kernels_portable.round_errors(x, count, 1.0 / scale, -8, 7, others);
        expect(same_bits(found, portable, sizeof *found), "sums of errors differ in bits");
        expect(same_bits(errors, others, (size_t)count * sizeof *errors), "errors differ in bits");
        portable[1] = 0;
        for (int i = 0; i < count; i++) {
            double quotient = (double)x[i] * (1.0 / scale), error = quotient - rint(fmin(fmax(quotient, -8), 7));

            expect(errors[i] == (float)error, "error %g, not %g", (double)errors[i], error);
            portable[1] += error * error;
        }
        expect(fabs(found[0] - portable[1]) <= 1e-12 * (1 + portable[1]), "sum %g, not %g", found[0], portable[1]);
        kernels->round_codes(x, count, scale, -8, 7, codes);
        for (int i = 0; i < count; i++)
            expect(codes[i] == (int)rint(fmin(fmax((double)x[i] / scale, -8), 7)), "%g in steps of %g is %d",
                   (double)x[i], scale, codes[i]);
        free(x);
        free(errors);
        free(others);
        free(codes);
    }
}
END_TEST

START_TEST(scaled_rows_are_added)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 9;
    for (int count = 0; kernels && count <= 80; count++) {
        float *x = get((size_t)count, sizeof *x);
        double *y = get((size_t)count, sizeof *y), *sum = get((size_t)count, sizeof *sum);

        for (int i = 0; i < count; i++) {
            volatile double product; /* rounded by itself */

            x[i] = 2.0F * random_float() - 1.0F;
            y[i] = (double)random_float();
            product = 0.7 * (double)x[i];
            sum[i] = y[i] + product;
        }
        kernels->add_scaled(x, 0.7, count, y);
        expect(same_bits(y, sum, (size_t)count * sizeof *y), "%d sums differ", count);
        free(x);
        free(y);
        free(sum);
    }
}
END_TEST

START_TEST(steps_and_sums_of_descent_are_the_same)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 8;
    for (int count = 1; kernels && count <= 150; count++) {
        double *g = get((size_t)count, sizeof *g), *p = get((size_t)count, sizeof *p);
        double *diagonal = get((size_t)count, sizeof *diagonal), along = 0, square = 0, found[2], portable[2];
        int8_t *codes = get((size_t)count, 1);
        double half = random_below(4) ? 1.0 : 0.1, most = -DBL_MAX;

        for (int i = 0; i < count; i++) {
            g[i] = 2.0 * (double)random_float() - 1.0;
            p[i] = (double)random_float();
            diagonal[i] = random_below(20) ? 1.0 : 0.5; /* the few that are above */
            codes[i] = (int8_t)(random_below(256) - 128);
            along += codes[i] * g[i];
            square += codes[i] * (p[i] - g[i]);
        }
        for (int from = 0; from <= count; from++) {
            int expected = from;

            while (expected < count && !(fabs(g[expected]) > half * diagonal[expected]))
                expected++;
            expect(kernels->next_step(g, diagonal, half, from, count) == expected, "from %d of %d", from, count);
        }
        for (int i = 0; i < count; i++) /* p stands for a row of H, the diagonal for prices */
            most = fmax(most, 2 * fabs(g[i] - half * p[i]) - diagonal[i]);
        expect(kernels->most_gain(p, g, diagonal, diagonal, half, count) == most, "most gain %g, not %g",
               kernels->most_gain(p, g, diagonal, diagonal, half, count), most);
        kernels->code_sums(codes, p, g, count, &found[0], &found[1]);
        expect(fabs(found[0] - along) <= 1e-9 && fabs(found[1] - square) <= 1e-9, "sums %g %g, not %g %g", found[0],
               found[1], along, square);
        bsq_kernels_portable.code_sums(codes, p, g, count, &portable[0], &portable[1]);
        expect(same_bits(found, portable, sizeof found), "portable ones differ in bits");
        free(g);
        free(p);
        free(diagonal);
        free(codes);
    }
}
END_TEST

/* ---- packing ---------------------------------------------------------------------------------------------- */

static void check_packing(const struct bsq_kernels *kernels, int width, int count)
{
    int per_byte = 8 / width, half = 1 << (width - 1), bytes = count / per_byte;
    int8_t *codes = get((size_t)count, 1), *back = get((size_t)count, 1);
    unsigned char *packed = get((size_t)bytes, 1);

    for (int i = 0; i < count; i++)
        codes[i] = (int8_t)(random_below(2 * half) - half);
    (width == 4 ? kernels->pack4 : kernels->pack2)(codes, count, packed);
    for (int i = 0; i < count; i++) {
        int field = packed[i / per_byte] / (1 << i % per_byte * width) % (2 * half);

        expect(field == (codes[i] + 2 * half) % (2 * half), "code %d of %d bits: %d became %d", i, width, codes[i],
               field);
    }
    (width == 4 ? kernels->unpack4 : kernels->unpack2)(packed, count, back);
    expect(same_bits(codes, back, (size_t)count), "%d codes of %d bits", count, width);
    free(codes);
    free(back);
    free(packed);
}

START_TEST(packing_is_right)
{
    const struct bsq_kernels *kernels = kernels_of(_i);

    random_state = 7;
    for (int bytes = 0; kernels && bytes <= 300; bytes++) {
        check_packing(kernels, 4, 2 * bytes);
        check_packing(kernels, 2, 4 * bytes);
    }
}
END_TEST

/* ---- all -------------------------------------------------------------------------------------------------- */

Suite *test_suite(void)
{
    Suite *s = suite_create("kernels");
    TCase *dispatch = tcase_create("dispatch"), *each = tcase_create("each");

    tcase_add_test(dispatch, portable_ones_are_always_there);
    tcase_add_test(dispatch, tables_are_complete);
    tcase_add_test(dispatch, kernels_are_forced_and_released);
    tcase_add_loop_test(each, beams_are_the_same, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, beams_of_every_shape, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, spread_and_follow, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, best_extensions_survive, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, products_are_right, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, squares_are_right, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, magnitudes_are_found, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, bits_are_listed, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, rows_are_gathered, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, sums_are_the_same, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, quantized_inputs_are_the_same, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, rounded_weights_are_the_same, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, scaled_rows_are_added, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, steps_and_sums_of_descent_are_the_same, FIRST_KERNEL, LAST_KERNEL + 1);
    tcase_add_loop_test(each, packing_is_right, FIRST_KERNEL, LAST_KERNEL + 1);
    suite_add_tcase(s, dispatch);
    suite_add_tcase(s, each);
    return s;
}
