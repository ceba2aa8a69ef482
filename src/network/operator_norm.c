/* The public call that bounds the operator norm of a layer.
 *
 * A convolution over unlimited space acts on each frequency on its own: on the channels, by the matrix
 * W(f) = sum over taps of weight * exp(i f . tap). A strided one does the same to its input cut into phases, each phase
 * one more channel. Padding with zeros and inputs of limited extents only restrict it, so the largest singular value
 * over all frequencies bounds the norm for all extents.
 *
 * For a unit vector u, u*W(f)W(f)*u is a real trigonometric polynomial in each dimension of f. One of degree D is
 * nowhere above 1 / cos(pi D / N) times its largest value on N > 2 D equidistant points (by Riesz' lemma: around its
 * maximum it does not fall faster than a cosine of that degree), so a grid of frequencies is enough. On it, a level t
 * is certified where a Cholesky factor of t I - W W* exists; where it does not, power iteration says how to raise t. */
#include "base/blas.h"
#include "base/finite.h"
#include "base/floats.h"
#include "base/geometry.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/progress.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* ---- frequencies ----------------------------------------------------------------------------------------- */

/* How taps lie along one dimension. With stride s and dilation d, every 'turn' = s / gcd(s, d)-th tap reads the same
 * phase of the input: tap t reads phase t % turn, at distance t / turn from the first tap that does. */
struct axis {
    int64_t taps;
    int64_t turn;
    int64_t phases;
    int64_t degree; /* the largest distance */
    int64_t points; /* of the grid */
};

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static struct axis axis_of(int64_t taps, int64_t stride, int64_t dilation)
{
    struct axis axis = {.taps = taps, .turn = stride / greatest_divisor(stride, dilation), .points = 1};

    axis.phases = taps < axis.turn ? taps : axis.turn;
    axis.degree = (taps - 1) / axis.turn;
    return axis;
}

/* One convolution group at one frequency: W as a matrix of 'rows' <= 'columns', transposed where that is the shape. */
struct response {
    const struct bsq_geometry *geometry;
    struct axis axes[3];
    int64_t phases; /* of all axes */
    int64_t points; /* of the grid */
    int64_t rows, columns;
    bool transposed; /* rows are inputs */
    bool real;       /* one frequency only, 0 */
    double *w;       /* rows x 2 columns: real part, then imaginary part of each row */
    double *gram;    /* order x order: W W*, as a real matrix of twice the order unless 'real' */
    double *factor;  /* order x order */
    double *cross;   /* rows x rows */
    double *vector;  /* order: where power iteration has come to */
    double *product; /* order */
    int64_t order;
};

/* The share of the tolerance that certifying a level takes; the grid has the rest. */
static double slack_of(double tolerance)
{
    return 0.5 * tolerance;
}

static void init_axes(struct response *response, const struct bsq_geometry *geometry, double tolerance)
{
    int32_t curved = 0;

    response->phases = response->points = 1;
    for (int32_t d = 0; d < 3; d++) {
        response->axes[d] = axis_of(geometry->kernel[d], geometry->stride[d], geometry->dilation[d]);
        response->phases *= response->axes[d].phases;
        curved += response->axes[d].degree > 0;
    }
    for (int32_t d = 0; d < 3; d++) {
        struct axis *axis = &response->axes[d];
        double most = pow((1.0 + tolerance) * (1.0 + tolerance) / (1.0 + slack_of(tolerance)), 1.0 / curved);

        if (axis->degree > 0)
            axis->points = (int64_t)ceil(pi * (double)axis->degree / acos(1.0 / most));
        response->points *= axis->points;
    }
    response->real = curved == 0;
}

/* By how much the square of the norm can be above its largest value on the grid. */
static double grid_factor(const struct response *response)
{
    double factor = 1.0;

    for (int32_t d = 0; d < 3; d++)
        factor /= cos(pi * (double)response->axes[d].degree / (double)response->axes[d].points);
    return factor;
}

static size_t lay_out(struct response *response, void *memory)
{
    struct bsq_carver carver = {memory, 0};
    int64_t square = response->order * response->order;

    response->w = bsq_carve(&carver, response->rows * 2 * response->columns, sizeof *response->w);
    response->gram = bsq_carve(&carver, square, sizeof *response->gram);
    response->factor = bsq_carve(&carver, square, sizeof *response->factor);
    response->cross = bsq_carve(&carver, response->rows * response->rows, sizeof *response->cross);
    response->vector = bsq_carve(&carver, response->order, sizeof *response->vector);
    response->product = bsq_carve(&carver, response->order, sizeof *response->product);
    return carver.used;
}

static bool init_response(struct response *response, const struct bsq_geometry *geometry, double tolerance)
{
    int64_t inputs, outputs = geometry->group_outputs;

    *response = (struct response){.geometry = geometry};
    init_axes(response, geometry, tolerance);
    inputs = geometry->group_inputs * response->phases;
    response->transposed = inputs < outputs;
    response->rows = response->transposed ? inputs : outputs;
    response->columns = response->transposed ? outputs : inputs;
    response->order = response->real ? response->rows : 2 * response->rows;

    int64_t square, whole;

    return bsq_extent_mul(response->order, response->order, &square) && bsq_blas_fits(2 * response->columns) &&
           bsq_blas_fits(response->order) && bsq_extent_mul(response->rows, 2 * response->columns, &whole) &&
           bsq_extent_add(whole, 3 * square, &whole) && (uint64_t)whole < SIZE_MAX / (2 * sizeof(double));
}

/* The place of a tap: which phase it reads, and its angle at grid point 'point'. */
static int64_t place_tap(const struct response *response, int64_t tap, int64_t point, double *angle)
{
    int64_t phase = 0, stride = 1;

    *angle = 0.0;
    for (int32_t d = 2; d >= 0; d--) {
        const struct axis *axis = &response->axes[d];
        int64_t t = tap % axis->taps, step = point % axis->points;

        *angle += 2.0 * pi * (double)(step * (t / axis->turn) % axis->points) / (double)axis->points;
        phase += stride * (t % axis->turn);
        stride *= axis->phases;
        tap /= axis->taps;
        point /= axis->points;
    }
    return phase;
}

/* The grid point of the opposite frequency, where W is the conjugate. */
static int64_t opposite(const struct response *response, int64_t point)
{
    int64_t found = 0, stride = 1;

    for (int32_t d = 2; d >= 0; d--) {
        int64_t points = response->axes[d].points;

        found += stride * ((points - point % points) % points);
        stride *= points;
        point /= points;
    }
    return found;
}

/* W of one group at one grid point; 'weights' are those of the group. */
static void respond(struct response *response, const float *weights, int64_t point)
{
    const struct bsq_geometry *geometry = response->geometry;
    int64_t outputs = geometry->group_outputs, inputs = geometry->group_inputs, taps = geometry->kernel_volume;
    bool channel_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW;

    memset(response->w, 0, (size_t)(response->rows * 2 * response->columns) * sizeof *response->w);
    for (int64_t tap = 0; tap < taps; tap++) {
        double angle;
        int64_t phase = place_tap(response, tap, point, &angle);
        double real = cos(angle), imaginary = sin(angle);

        for (int64_t m = 0; m < outputs; m++)
            for (int64_t c = 0; c < inputs; c++) {
                int64_t place = channel_major ? c * taps + tap : tap * inputs + c;
                double weight = (double)weights[m * geometry->fan_in + place];
                int64_t input = c * response->phases + phase;
                double *to = response->transposed ? response->w + input * 2 * response->columns + m
                                                  : response->w + m * 2 * response->columns + input;

                to[0] += weight * real;
                to[response->columns] += weight * imaginary;
            }
    }
}

/* W W* = A + i B as the real matrix (A -B; B A), which has the same eigenvalues, each twice. */
static void form_gram(struct response *response)
{
    int64_t rows = response->rows, columns = response->columns, ld = 2 * columns, order = response->order;
    double *gram = response->gram, *cross = response->cross;

    bsq_dgemm(false, true, rows, rows, ld, 1.0, response->w, ld, response->w, ld, 0.0, gram, order);
    if (response->real)
        return;
    bsq_dgemm(false, true, rows, rows, columns, 1.0, response->w + columns, ld, response->w, ld, 0.0, cross, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) {
            double b = cross[i * rows + j] - cross[j * rows + i];

            gram[(rows + i) * order + rows + j] = gram[i * order + j];
            gram[(rows + i) * order + j] = b;
            gram[i * order + rows + j] = -b;
        }
}

/* Tells whether no eigenvalue of the Gram matrix is above 'level', but for rounding. */
static bool certify(struct response *response, double level)
{
    int64_t order = response->order;

    for (int64_t i = 0; i < order * order; i++)
        response->factor[i] = -response->gram[i];
    for (int64_t i = 0; i < order; i++)
        response->factor[i * order + i] += level;
    return bsq_dpotrf(order, response->factor, order);
}

/* Bounds what rounding can add to a certified level, as a share of it. Errors of the response, of the Gram matrix and
 * of its factor are each below the unit roundoff times the length of their sums, in the Frobenius norm. */
static double rounding_of(const struct response *response)
{
    double lengths = 2.0 * (double)response->columns + 2.0 * (double)response->order +
                     (double)response->geometry->kernel_volume + 16.0;

    return 4.0 * DBL_EPSILON * (double)response->order * lengths;
}

static double norm_of(const double *x, int64_t count)
{
    return sqrt(bsq_ddot(count, x, x));
}

/* Power iteration; returns the Rayleigh quotient, which no iteration can take above the largest eigenvalue. */
static double iterate(struct response *response, int32_t count)
{
    int64_t order = response->order;
    double *x = response->vector, *y = response->product, quotient = 0.0;

    for (int32_t i = 0; i < count; i++) {
        double length = norm_of(x, order);

        for (int64_t j = 0; j < order; j++)
            x[j] /= length;
        bsq_dgemm(false, false, 1, order, order, 1.0, x, order, response->gram, order, 0.0, y, order);
        quotient = bsq_ddot(order, x, y);
        if (!(quotient > 0.0))
            break;
        memcpy(x, y, (size_t)order * sizeof *x);
    }
    return quotient;
}

/* Makes a start that no matrix is made for. */
static void start_vector(struct response *response)
{
    uint64_t state = 0x9e3779b97f4a7c15U;

    for (int64_t j = 0; j < response->order; j++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        response->vector[j] = 0.5 + (double)(state >> 40) / 16777216.0;
    }
}

static double trace_of(const struct response *response)
{
    double sum = 0.0;

    for (int64_t i = 0; i < response->order; i++)
        sum += response->gram[i * response->order + i];
    return sum;
}

/* Squares of the bounds, over what was looked at so far. */
struct level {
    double upper; /* certified */
    double lower;
};

/* Raises the level until it is certified for the Gram matrix as it stands. */
static void raise_level(struct response *response, double slack, struct level *level)
{
    double trace = trace_of(response);

    if (!(trace > 0.0))
        return;
    for (int32_t count = 16; !(level->upper > 0.0 && certify(response, level->upper)); count *= 2, slack *= 2.0) {
        start_vector(response);
        level->lower = fmax(level->lower, iterate(response, count));
        level->upper = fmax(level->upper, (1.0 + slack) * level->lower);
        if (level->upper >= trace) {
            level->upper = (1.0 + DBL_EPSILON) * trace;
            return;
        }
    }
}

/* ---- operator norm --------------------------------------------------------------------------------------- */

static bsq_status_t bound_operator(struct response *response, const bsq_options_t *options, const float *weights,
                                   double tolerance, struct level *level, struct bsq_message *message)
{
    const struct bsq_geometry *geometry = response->geometry;
    bsq_status_t status = BSQ_OK;

    for (int64_t group = 0; group < geometry->groups; group++)
        for (int64_t point = 0; point < response->points && status == BSQ_OK; point++) {
            if (opposite(response, point) < point)
                continue;
            respond(response, weights + group * geometry->group_outputs * geometry->fan_in, point);
            form_gram(response);
            raise_level(response, slack_of(tolerance), level);
            status = bsq_progress_report(options, BSQ_STAGE_NORM, group * response->points + point + 1,
                                         geometry->groups * response->points, message);
        }
    return status;
}

static bsq_status_t check_weights(const struct bsq_geometry *geometry, const float *weights,
                                  struct bsq_message *message)
{
    int64_t count = geometry->out_channels * geometry->fan_in;

    if (!weights)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'weights' is NULL");
    return bsq_check_finite("weights", weights, count, message);
}

static bsq_status_t operator_norm(const bsq_layer_desc_t *desc, const bsq_options_t *options, const float *weights,
                                  double tolerance, bsq_norm_t *norm, struct bsq_message *message)
{
    bsq_norm_t own = {.struct_size = sizeof own};
    struct bsq_geometry geometry;
    struct response response;
    struct level level = {0.0, 0.0};
    bsq_options_t checked;
    bsq_status_t status;

    if (!desc || !norm)
        return bsq_fail(message, BSQ_E_ARGUMENT, "'%s' is NULL", desc ? "norm" : "desc");
    if (!(tolerance >= 0.01 && tolerance <= 10.0))
        return bsq_fail(message, BSQ_E_RANGE, "tolerance is %g, must be 0.01..10", tolerance);
    if ((status = bsq_options_read(&checked, options, message)) != BSQ_OK ||
        (status = bsq_geometry_init(&geometry, desc, message)) != BSQ_OK ||
        (status = check_weights(&geometry, weights, message)) != BSQ_OK ||
        (status = bsq_struct_write(norm, &own, sizeof own.struct_size, BSQ_FIRST_NORM, "bsq_norm_t", message)) !=
            BSQ_OK)
        return status;
    if (!init_response(&response, &geometry, tolerance))
        return bsq_fail(message, BSQ_E_SHAPE, "the layer is too large for this machine");

    struct bsq_memory memory = bsq_memory_hooks(&checked);
    void *block = bsq_memory_get(&memory, 1, lay_out(&response, NULL));

    if (!block)
        return bsq_fail_memory(message);
    (void)lay_out(&response, block);
    status = bound_operator(&response, &checked, weights, tolerance, &level, message);
    bsq_memory_put(&memory, block);
    if (status != BSQ_OK)
        return status;
    own.lower = sqrt(level.lower);
    own.upper = sqrt(level.upper * grid_factor(&response) * (1.0 + rounding_of(&response)));
    return bsq_struct_write(norm, &own, sizeof own, BSQ_FIRST_NORM, "bsq_norm_t", message);
}

bsq_status_t bsq_operator_norm(const bsq_layer_desc_t *desc, const bsq_options_t *options, const float *weights,
                               double tolerance, bsq_norm_t *norm, bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_floats floats;
    bsq_status_t status = bsq_error_check(error, &message);

    bsq_floats_enter(&floats);
    if (status == BSQ_OK)
        status = operator_norm(desc, options, weights, tolerance, norm, &message);
    bsq_floats_leave(&floats);
    return bsq_error_store(error, status, &message);
}
