/* Descent in tiles: what it keeps of J and of the gradient is that of its codes and scales, in each form that H may have in memory. */
#include "stages/scale.h"
#include "stages/tiles.h"

#include "sample.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Not whole tiles, so that the last is narrower. */
enum { INPUTS = 520, CHANNELS = 48, FACTORS = 12 };

enum form { FORM_DOUBLE, FORM_ROWS, FORM_BELOW_FACTOR, FORMS };

/* The problem of some channels: H of few strong directions, and v. */
struct tiles_case {
    struct bsq_hessian hessian;
    double *h, *diagonal, *v, *p, *g, *scales, *shifts, *work, *scratch;
    float *square;
    int64_t *order, *rank;
    int8_t *codes;
    struct bsq_point points[CHANNELS];
};

static void *zeros(int64_t count, size_t size)
{
    void *memory = calloc((size_t)count, size);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void create_h(struct tiles_case *self, struct ref_random *random)
{
    double *directions = zeros((int64_t)FACTORS * INPUTS, sizeof *directions);

    for (int64_t i = 0; i < (int64_t)FACTORS * INPUTS; i++)
        directions[i] = ref_random_uniform(random) - 0.5;
    for (int64_t i = 0; i < INPUTS; i++)
        for (int64_t j = 0; j < INPUTS; j++) {
            double sum = i == j ? 0.5 + 0.001 * (double)i : 0.0;

            for (int64_t k = 0; k < FACTORS; k++)
                sum += directions[k * INPUTS + i] * directions[k * INPUTS + j];
            self->h[i * INPUTS + j] = (double)(float)sum; /* the same in single precision */
        }
    for (int64_t i = 0; i < INPUTS; i++) {
        self->diagonal[i] = self->h[i * INPUTS + i];
        self->order[i] = (i * 7 + 3) % INPUTS;
        self->rank[self->order[i]] = i;
    }
    free(directions);
}

/* Puts H where a form has it. */
static void store_h(struct tiles_case *self, enum form form)
{
    self->hessian = (struct bsq_hessian){.n = INPUTS,
                                         .channels = CHANNELS,
                                         .diagonal = self->diagonal,
                                         .order = self->order,
                                         .rank = self->rank,
                                         .unit = 2.0};
    if (form == FORM_DOUBLE)
        self->hessian.h = self->h;
    else if (form == FORM_ROWS)
        self->hessian.rows = self->square;
    else
        self->hessian.factor32 = self->square;
    for (int64_t i = 0; i < INPUTS; i++)
        for (int64_t j = 0; j < INPUTS; j++)
            if (form == FORM_ROWS)
                self->square[i * INPUTS + j] = (float)(0.5 * self->h[i * INPUTS + j]);
            else /* above the diagonal is the factor, which nothing here reads */
                self->square[i * INPUTS + j] =
                    j < i ? (float)(0.5 * self->h[self->order[i] * INPUTS + self->order[j]]) : NAN;
}

static double weight_of(const struct bsq_point *point, int64_t j)
{
    int64_t a = j / point->group_size;
    const double *shift = point->shifts ? &point->shifts[a] : NULL;

    return point->scales[a] * point->codes[j] + bsq_shift_offset(&point->shifting, point->scales[a], shift);
}

/* Gives J, and g into 'g', of codes and scales as they are. */
static double judge(const struct tiles_case *self, int64_t c, double *g)
{
    const struct bsq_point *point = &self->points[c];
    double j = 0.0;

    for (int64_t i = 0; i < INPUTS; i++) {
        g[i] = 0.0;
        for (int64_t k = 0; k < INPUTS; k++)
            g[i] += self->h[i * INPUTS + k] * (self->v[c * INPUTS + k] - weight_of(point, k));
    }
    for (int64_t i = 0; i < INPUTS; i++)
        j += g[i] * (self->v[c * INPUTS + i] - weight_of(point, i));
    return j;
}

static void create_points(struct tiles_case *self, struct ref_random *random, int64_t group_size,
                          enum bsq_shift_kind shift_kind)
{
    int64_t scales = (INPUTS + group_size - 1) / group_size;

    for (int64_t c = 0; c < CHANNELS; c++) {
        struct bsq_point *point = &self->points[c];

        *point = (struct bsq_point){.n = INPUTS,
                                    .group_size = group_size,
                                    .scales_per_channel = scales,
                                    .shifting = {shift_kind, 0.0},
                                    .h = self->hessian.h,
                                    .hessian = &self->hessian,
                                    .diagonal = self->diagonal,
                                    .p = self->p + c * INPUTS,
                                    .codes = self->codes + c * INPUTS,
                                    .scales = self->scales + c * INPUTS,
                                    .shifts = shift_kind == BSQ_SHIFT_NONE ? NULL : self->shifts + c * INPUTS,
                                    .g = self->g + c * INPUTS,
                                    .end = INPUTS,
                                    .rows = self->hessian.rows,
                                    .lowest = -4,
                                    .highest = 3};
        for (int64_t a = 0; a < scales; a++) {
            point->scales[a] = 0.2 + 0.1 * ref_random_uniform(random);
            self->shifts[c * INPUTS + a] = shift_kind == BSQ_SHIFT_STEPS ? 1.0 : 0.05;
        }
        for (int64_t j = 0; j < INPUTS; j++) {
            double v = 2.0 * ref_random_uniform(random) - 1.0;

            self->v[c * INPUTS + j] = v;
            point->codes[j] = (int8_t)fmax(fmin(rint(v / point->scales[j / group_size]), 3.0), -4.0);
        }
        point->j = judge(self, c, point->g);
        for (int64_t j = 0; j < INPUTS; j++) { /* p = H v = g + H u */
            self->p[c * INPUTS + j] = point->g[j];
            for (int64_t k = 0; k < INPUTS; k++)
                self->p[c * INPUTS + j] += self->h[j * INPUTS + k] * weight_of(point, k);
        }
    }
}

static struct tiles_case *create(enum form form, int64_t group_size, enum bsq_shift_kind shift_kind)
{
    struct tiles_case *self = zeros(1, sizeof *self);
    struct ref_random random = {77};
    int64_t square = (int64_t)INPUTS * INPUTS, all = (int64_t)CHANNELS * INPUTS;

    self->h = zeros(square, sizeof *self->h);
    self->square = zeros(square, sizeof *self->square);
    self->diagonal = zeros(INPUTS, sizeof *self->diagonal);
    self->order = zeros(INPUTS, sizeof *self->order);
    self->rank = zeros(INPUTS, sizeof *self->rank);
    self->v = zeros(all, sizeof *self->v);
    self->p = zeros(all, sizeof *self->p);
    self->g = zeros(all, sizeof *self->g);
    self->scales = zeros(all, sizeof *self->scales);
    self->shifts = zeros(all, sizeof *self->shifts);
    self->codes = zeros(all, sizeof *self->codes);
    self->work = zeros(all, sizeof *self->work);
    self->scratch = zeros(bsq_scale_scratch(INPUTS, INPUTS / group_size + 1, shift_kind), sizeof *self->scratch);
    create_h(self, &random);
    store_h(self, form);
    create_points(self, &random, group_size, shift_kind);
    return self;
}

static void destroy(struct tiles_case *self)
{
    void *const all[] = {self->h, self->square, self->diagonal, self->order, self->rank, self->v,      self->p,
                         self->g, self->scales, self->shifts,   self->codes, self->work, self->scratch};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(self);
}

static void check_kept(const struct tiles_case *self, double precision)
{
    double g[INPUTS];

    for (int64_t c = 0; c < CHANNELS; c++) {
        const struct bsq_point *point = &self->points[c];
        double j = judge(self, c, g);

        ck_assert_double_eq_tol(point->j, j, precision * j);
        for (int64_t i = 0; i < INPUTS; i++)
            ck_assert_double_eq_tol(point->g[i], g[i], precision * sqrt(j * self->diagonal[i]));
        ck_assert(point->first == 0 && point->end == INPUTS && point->rows == self->hessian.rows);
    }
}

static double sum_of_j(const struct tiles_case *self)
{
    double sum = 0.0;

    for (int64_t c = 0; c < CHANNELS; c++)
        sum += self->points[c].j;
    return sum;
}

/* Several groups to a tile, wider than one, too wide for one; one scale; and shifts. */
static const struct kind {
    int64_t group_size;
    enum bsq_shift_kind shift_kind;
} kinds[] = {{40, BSQ_SHIFT_NONE},     {200, BSQ_SHIFT_NONE}, {300, BSQ_SHIFT_NONE},
             {INPUTS, BSQ_SHIFT_NONE}, {40, BSQ_SHIFT_STEPS}, {40, BSQ_SHIFT_FREE}};

enum { KINDS = sizeof kinds / sizeof *kinds };

START_TEST(j_and_gradient_are_those_of_codes_and_scales)
{
    enum form form = (enum form)(_i % FORMS);
    const struct kind *kind = &kinds[_i / FORMS];
    const double precision = form == FORM_DOUBLE ? 1e-11 : 1e-5;
    struct tiles_case *self = create(form, kind->group_size, kind->shift_kind);
    double before = sum_of_j(self);
    int64_t changes = 1;

    ck_assert(bsq_tiles_apply(&self->hessian, CHANNELS));
    for (int sweep = 0; sweep < 3; sweep++) {
        changes = bsq_tiles_sweep(self->points, CHANNELS, true, self->work, self->scratch);
        ck_assert_double_lt(sum_of_j(self), before);
        before = sum_of_j(self);
        ck_assert(sweep > 0 || changes > 0);
    }
    check_kept(self, precision);
    destroy(self);
}
END_TEST

/* Where a sweep changes nothing, no step of a code lowers J. */
START_TEST(still_codes_are_where_no_step_gains)
{
    struct tiles_case *self = create((enum form)_i, 40, BSQ_SHIFT_NONE);
    int sweeps = 0;

    while (bsq_tiles_sweep(self->points, CHANNELS, false, self->work, self->scratch) > 0)
        ck_assert_int_lt(++sweeps, 100);
    for (int64_t c = 0; c < CHANNELS; c++)
        for (int64_t j = 0; j < INPUTS; j++)
            for (int step = -1; step <= 1; step += 2) {
                const struct bsq_point *point = &self->points[c];
                double change = step * point->scales[j / 40], code = point->codes[j] + step;

                ck_assert(code < point->lowest || code > point->highest ||
                          change * (change * self->diagonal[j] - 2.0 * point->g[j]) >
                              -1e-9 * change * change * self->diagonal[j]);
            }
    destroy(self);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("tiles");
    TCase *tests = tcase_create("tiles");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, j_and_gradient_are_those_of_codes_and_scales, 0, FORMS * KINDS);
    tcase_add_loop_test(tests, still_codes_are_where_no_step_gains, 0, FORMS);
    suite_add_tcase(suite, tests);
    return suite;
}
