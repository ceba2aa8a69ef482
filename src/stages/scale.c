/* Scales: the values that a format can hold, grids to search, and the best scales for given codes. */
#include "stages/scale.h"

#include "base/blas.h"
#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Channels with more scales and offsets than this are refit one scale at a time, which needs no matrix of them. */
enum { MOST_JOINT_PARTS = 64 };

/* Super groups of a channel that are refit, their scales and offsets: enough for 32768 inputs by 256. */
enum { MOST_SUPERS = 128 };

/* Values of a format: multiples of 2^(exponent - fraction), of 2^-grain at least, from 'least' to 'most'. */
struct values {
    double least, most;
    int fraction, grain;
};

static struct values values_of(int32_t format)
{
    switch (format) {
    case BSQ_SCALE_FORMAT_FLOAT16: return (struct values){0x1p-14, 65504.0, 10, 24}; /* IEEE 754 binary16 */
    case BSQ_SCALE_FORMAT_BFLOAT16: return (struct values){0x1p-126, 0x1.fep127, 7, 133};
    case BSQ_SCALE_FORMAT_E8M0:
    case BSQ_SCALE_FORMAT_POWER_OF_TWO: return (struct values){0x1p-126, 0x1p127, 0, 126};
    case BSQ_SCALE_FORMAT_E4M3:
        return (struct values){0x1p-9, 448.0, 3, 9}; /* OCP 8-bit floating point, with subnormals */
    default: return (struct values){(double)FLT_MIN, (double)FLT_MAX, 23, 149};
    }
}

double bsq_scale_float32(double x)
{
    return (double)(float)fmin(fmax(x, (double)FLT_MIN), (double)FLT_MAX);
}

double bsq_scale_offset_float32(double x)
{
    return fabs(x) < 0.5 * (double)FLT_MIN ? 0.0 : copysign(bsq_scale_float32(fabs(x)), x);
}

double bsq_scale_most(int32_t most)
{
    const double below = 0x1.fffffcp127; /* FLT_MAX less what rounding a quotient may add */

    return below / (most > 1 ? most : 1);
}

double bsq_scale_stored(double x, const int8_t *codes, int64_t count)
{
    double stored = bsq_scale_float32(x);
    int32_t most = 0;

    if (stored <= bsq_scale_most(-INT8_MIN))
        return stored;
    for (int64_t i = 0; i < count; i++)
        most = abs(codes[i]) > most ? abs(codes[i]) : most;
    return stored * most <= (double)FLT_MAX ? stored : bsq_scale_float32(bsq_scale_most(most));
}

void bsq_scale_neighbours(int32_t format, double x, double *lower, double *upper)
{
    struct values values = values_of(format);
    double grain;

    if (format == BSQ_SCALE_FORMAT_FLOAT32) {
        *lower = *upper = bsq_scale_float32(x);
        return;
    }
    x = fmin(fmax(x, values.least), values.most);
    grain = ldexp(1.0, ilogb(x) - values.fraction);
    grain = fmax(grain, ldexp(1.0, -values.grain));
    *lower = floor(x / grain) * grain;
    *upper = *lower < x ? fmin(*lower + grain, values.most) : *lower;
}

void bsq_scale_grid(double low, double high, int32_t count, double *multipliers)
{
    for (int32_t i = 0; i < count; i++)
        multipliers[i] = count == 1 ? 1.0 : low * pow(high / low, (double)i / (double)(count - 1));
}

/* A part of u that a refit stretches as a whole, or a constant that it adds: the products of scales 'first' to 'end',
 * offsets that are steps with them; the offsets of these scales; or one scale's share of a constant. */
enum part_kind { PART_SCALES, PART_OFFSETS, PART_CONSTANT };

struct part {
    enum part_kind kind;
    int64_t first, end;
};

/* Counts the parts of a channel that has a scale and, where it is free, an offset for each group. */
static int64_t count_parts(enum bsq_shift_kind shift_kind, int64_t scales_per_channel)
{
    return shift_kind == BSQ_SHIFT_FREE ? 2 * scales_per_channel : scales_per_channel;
}

int64_t bsq_scale_scratch(int64_t n, int64_t scales_per_channel, enum bsq_shift_kind shift_kind)
{
    int64_t parts = count_parts(shift_kind, scales_per_channel);
    int64_t joint = parts <= MOST_JOINT_PARTS ? parts : MOST_JOINT_PARTS;

    return joint * n + joint * joint + joint;
}

/* A refit that stretches u by more takes H u anew: p - g, which is H u too, has lost as many digits. */
static const double most_stretch = 1024.0;

/* Sums u'g and u'H u, both without the factor scale of u on their left. */
static void sums_along(const struct bsq_point *point, double *along, double *square)
{
    bsq_kernels()->code_sums(point->codes, point->p, point->g, point->n, along, square);
}

/* Multiplies the one scale by 1 + x: J falls by x (2 u'g - x u'H u). */
static void stretch(struct bsq_point *point, double x, double along, double square)
{
    point->j -= x * (2.0 * along - x * square) * point->scales[0];
    for (int64_t j = 0; j < point->n; j++)
        point->g[j] -= x * (point->p[j] - point->g[j]);
}

void bsq_scale_set(struct bsq_point *point, double scale)
{
    double along, square;

    sums_along(point, &along, &square);
    stretch(point, scale / point->scales[0] - 1.0, along, square);
    point->scales[0] = scale;
}

/* Gives what a part has at an input of scale 'a', before the factor that is common to the scale's inputs. */
static double share_of(const struct bsq_point *point, const struct part *part, int64_t a, int64_t j)
{
    double steps = point->shifting.kind == BSQ_SHIFT_STEPS ? point->shifts[a] : point->shifting.base;

    return part->kind == PART_SCALES ? point->codes[j] + steps : 1.0;
}

/* Gives that factor. A constant is counted in steps. */
static double factor_of(const struct bsq_point *point, const struct part *part, int64_t a)
{
    return part->kind == PART_OFFSETS ? point->shifts[a] : point->scales[a];
}

/* Multiplies H by a part. */
static void response_of(const struct bsq_point *point, const struct part *part, double *response)
{
    memset(response, 0, (size_t)point->n * sizeof *response);
    for (int64_t a = part->first; a < part->end; a++) {
        double factor = factor_of(point, part, a);

        for (int64_t j = a * point->group_size; j < bsq_scale_end(point->n, point->group_size, a); j++) {
            double share = share_of(point, part, a, j);

            if (share != 0.0)
                bsq_point_add_row(point, j, factor * share, response);
        }
    }
}

/* Multiplies a part by x. */
static double along_part(const struct bsq_point *point, const struct part *part, const double *x)
{
    double sum = 0.0;

    for (int64_t a = part->first; a < part->end; a++) {
        double own = 0.0;

        for (int64_t j = a * point->group_size; j < bsq_scale_end(point->n, point->group_size, a); j++)
            own += share_of(point, part, a, j) * x[j];
        sum += own * factor_of(point, part, a);
    }
    return sum;
}

/* Adds x times a part to u; scales, or offsets, become 1 + x times what they were. */
static void add_part(struct bsq_point *point, const struct part *part, double x)
{
    for (int64_t a = part->first; a < part->end; a++) {
        if (part->kind == PART_SCALES)
            point->scales[a] *= 1.0 + x;
        else
            point->shifts[a] += x * factor_of(point, part, a);
    }
}

/* Tells whether a part may grow by x: scales keep their sign. */
static bool may_add(const struct part *part, double x)
{
    return isfinite(x) && (part->kind != PART_SCALES || x > -1.0);
}

/* Moves part by part, each step the closed form of one, given the others. */
static double refit_in_turn(struct bsq_point *point, const struct part *parts, int64_t count, double *response)
{
    double largest = 0.0;

    for (int64_t i = 0; i < count; i++) {
        double along = along_part(point, &parts[i], point->g), square, x;

        response_of(point, &parts[i], response);
        square = along_part(point, &parts[i], response);
        x = along / square;
        if (!(square > 0.0) || !may_add(&parts[i], x))
            continue;
        point->j -= along * x;
        add_part(point, &parts[i], x);
        bsq_daxpy(point->n, -x, response, point->g);
        largest = fmax(largest, fabs(x));
    }
    return largest;
}

/* Takes a part out of the system: it stays as it is. */
static void leave_out(double *a, double *x, int64_t count, int64_t i)
{
    for (int64_t k = 0; k < i; k++)
        a[k * count + i] = 0.0;
    for (int64_t k = i + 1; k < count; k++)
        a[i * count + k] = 0.0;
    a[i * count + i] = 1.0;
    x[i] = 0.0;
}

/* Writes A x = b with A_ab = u_a'H u_b, b_a = u_a'g: 'response' is count x n, what H makes of the parts. */
static void set_up(const struct bsq_point *point, const struct part *parts, int64_t count, const double *response,
                   double *a, double *x)
{
    const double parallel = 1e-9;
    int64_t n = point->n;

    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = i; k < count; k++)
            a[i * count + k] = along_part(point, &parts[i], response + k * n);
        x[i] = along_part(point, &parts[i], point->g);
    }
    for (int64_t i = 0; i < count; i++) {
        double own = a[i * count + i];
        int64_t k =
            i + count / 2; /* the constant of the same scale: the same direction where all its codes are equal */

        if (!(own > 0.0) ||
            (i < count / 2 && parts[k].kind == PART_CONSTANT &&
             own * a[k * count + k] - a[i * count + k] * a[i * count + k] <= parallel * own * a[k * count + k]))
            leave_out(a, x, count, i);
        else
            a[i * count + i] = own * (1.0 + 1e-12);
    }
}

/* Refits all parts at once. False, with nothing changed, when a scale would lose its sign or the system is singular
 * beyond repair. */
static bool refit_jointly(struct bsq_point *point, const struct part *parts, int64_t count, double *scratch,
                          double *largest)
{
    int64_t n = point->n;
    double *response = scratch, *a = response + count * n, *x = a + count * count;

    for (int64_t i = 0; i < count; i++)
        response_of(point, &parts[i], response + i * n);
    set_up(point, parts, count, response, a, x);
    if (!bsq_dpotrf(count, a, count))
        return false;
    bsq_dpotrs(count, a, count, 1, x, count);
    for (int64_t i = 0; i < count; i++)
        if (!may_add(&parts[i], x[i]))
            return false;
    *largest = 0.0;
    for (int64_t i = 0; i < count; i++) { /* one after the other, each with the J of the step that it makes */
        double square = along_part(point, &parts[i], response + i * n);

        point->j -= 2.0 * x[i] * along_part(point, &parts[i], point->g) - x[i] * x[i] * square;
        bsq_daxpy(n, -x[i], response + i * n, point->g);
        *largest = fmax(*largest, fabs(x[i]));
    }
    for (int64_t i = count; i-- > 0;) /* constants first: they are counted in scales as these are now */
        add_part(point, &parts[i], x[i]);
    return true;
}

static double refit_parts(struct bsq_point *point, const struct part *parts, int64_t count, double *scratch)
{
    double largest;

    if (count <= MOST_JOINT_PARTS && refit_jointly(point, parts, count, scratch, &largest))
        return largest;
    return refit_in_turn(point, parts, count, scratch);
}

bool bsq_scale_is_far(double along, double square)
{
    return !(fabs(along) <= most_stretch * square);
}

/* Moves the scale to the multiple 1 + u'g / u'H u of it, at which J is least. */
static double refit_single(struct bsq_point *point, double *response)
{
    const struct part all = {PART_SCALES, 0, 1};
    double along, square, x, side = point->scales[0] < 0.0 ? -1.0 : 1.0;

    sums_along(point, &along, &square);
    x = along / square;
    if (bsq_scale_is_far(along, side * square))
        return refit_in_turn(point, &all, 1, response);
    if (!(side * square > 0.0) || !may_add(&all, x))
        return 0.0;
    stretch(point, x, along, square);
    point->scales[0] *= 1.0 + x;
    return fabs(x);
}

/* Gives by how much the scale of a group, x[0], and its constant, x[1], are to grow for the least J, from their
 * products with each other and with g: each with itself, both. */
static void solve_pair(double scale, double constant, double both, const double *along, double *x)
{
    const double parallel = 1e-9;
    double rest = scale * constant - both * both;

    x[0] = x[1] = 0.0;
    if (constant > 0.0 && rest > parallel * scale * constant) {
        x[0] = (along[0] * constant - along[1] * both) / rest;
        x[1] = (along[1] * scale - along[0] * both) / rest;
    } else if (constant > 0.0) { /* all codes are equal: the constant has all of it */
        x[1] = along[1] / constant;
    } else if (scale > 0.0) {
        x[0] = along[0] / scale;
    }
}

/* Moves the scale of a group, and its constant where that is free, to the least J given the others, if it falls by more
 * than 'least'. Where that is follows from the group's own block of H; only g needs whole rows. 'scratch' is three
 * times the group. */
static double refit_group(struct bsq_point *point, int64_t a, double least, double *scratch)
{
    const struct part parts[] = {{PART_SCALES, a, a + 1}, {PART_CONSTANT, a, a + 1}};
    int64_t first = a * point->group_size, span = bsq_scale_span(point->n, point->group_size, a);
    double *u[] = {scratch, scratch + span}, *response = scratch + 2 * span, products[2][2] = {{0}}, along[2] = {0},
           x[2];
    int count = point->shifting.kind == BSQ_SHIFT_FREE ? 2 : 1;

    for (int i = 0; i < count; i++) {
        for (int64_t j = 0; j < span; j++)
            u[i][j] = factor_of(point, &parts[i], a) * share_of(point, &parts[i], a, first + j);
        along[i] = bsq_ddot(span, u[i], point->g + first);
    }
    for (int i = 0; i < count; i++) {
        memset(response, 0, (size_t)span * sizeof *response);
        for (int64_t j = 0; j < span; j++)
            if (fabs(u[i][j]) > 0.0)
                bsq_point_add_part(point, first + j, u[i][j], first, span, response);
        for (int k = 0; k <= i; k++)
            products[i][k] = bsq_ddot(span, u[k], response);
    }
    solve_pair(products[0][0], products[1][1], products[1][0], along, x);
    if (!may_add(&parts[0], x[0]))
        solve_pair(0.0, products[1][1], 0.0, along, x);
    if (!may_add(&parts[1], x[1]) || x[0] * along[0] + x[1] * along[1] <= least)
        return 0.0;
    for (int64_t j = 0; j < span; j++) {
        double change = x[0] * u[0][j] + (count > 1 ? x[1] * u[1][j] : 0.0);

        if (fabs(change) > 0.0)
            bsq_point_add_row(point, first + j, -change, point->g);
    }
    for (int i = count; i-- > 0;) { /* the constant first: it is counted in scales as they are now */
        point->j -= x[i] * (2.0 * along[i] - x[i] * products[i][i]);
        add_part(point, &parts[i], x[i]);
    }
    point->j += 2.0 * x[0] * x[1] * products[1][0];
    return fmax(fabs(x[0]), fabs(x[1]));
}

double bsq_scale_refit_groups(struct bsq_point *point, double *scratch)
{
    const double share = 1e-3; /* of J, over all groups: leaves two thirds of the rows unread, and J as low */
    double largest = 0.0, least = fmax(share * point->j, 0.0) / (double)point->scales_per_channel;

    for (int64_t a = point->first / point->group_size; a * point->group_size < point->end; a++)
        largest = fmax(largest, refit_group(point, a, least, scratch));
    return largest;
}

bool bsq_scale_refits_jointly(const struct bsq_point *point)
{
    return count_parts(point->shifting.kind, point->scales_per_channel) <= MOST_JOINT_PARTS;
}

double bsq_scale_refit(struct bsq_point *point, double *scratch)
{
    int64_t scales = point->scales_per_channel, count = count_parts(point->shifting.kind, scales);
    struct part parts[MOST_JOINT_PARTS];

    if (count == 1 && point->shifting.kind == BSQ_SHIFT_NONE)
        return refit_single(point, scratch);
    if (!bsq_scale_refits_jointly(point))
        return bsq_scale_refit_groups(point, scratch);
    for (int64_t i = 0; i < count; i++)
        parts[i] = i < scales ? (struct part){PART_SCALES, i, i + 1}
                              : (struct part){PART_CONSTANT, i - scales, i - scales + 1};
    return refit_parts(point, parts, count, scratch);
}

/* Adds the supers of one kind to a list. */
static int64_t list_supers(const struct bsq_point *point, int64_t super_group, enum part_kind kind, struct part *parts)
{
    int64_t count = 0;

    for (int64_t first = 0; first < point->scales_per_channel; first += super_group) {
        int64_t end = first + super_group;

        parts[count++] = (struct part){kind, first, end < point->scales_per_channel ? end : point->scales_per_channel};
    }
    return count;
}

double bsq_scale_refit_supers(struct bsq_point *point, int64_t super_group, double *scratch)
{
    int64_t supers = (point->scales_per_channel - 1) / super_group + 1;
    struct part parts[2 * MOST_SUPERS];
    int64_t count;

    if (supers > MOST_SUPERS)
        return 0.0;
    count = list_supers(point, super_group, PART_SCALES, parts);
    if (point->shifting.kind == BSQ_SHIFT_FREE)
        count += list_supers(point, super_group, PART_OFFSETS, parts + count);
    return refit_parts(point, parts, count, scratch);
}
