/* Activation ranges: a streaming histogram and the input quantizer that fits it best.
 *
 * The histogram has one bin for each sign, exponent and upper 7 mantissa bits of a float, so it needs to know no range
 * in advance. A bin counts its values and keeps the smallest, the largest and the sum of their lower 16 bits: all of
 * them integers, so the order of the values leaves no trace. Inside a bin the density is taken as uniform from the
 * smallest value to the mean and from the mean to the largest; a bin that saw a single value is exact.
 *
 * The squared error needs one function for each sign: the excess C(t) = sum of max(|x| - t, 0). One more code beyond
 * the k-1 codes of a side changes x from (k-1) s to k s where |x| > t = (k - 1/2) s, which lowers the squared error by
 * 2 s C(t). So the error of a step s is sum x^2 - 2 s (sum of C over the codes of both sides), and because C falls
 * with t, the best zero point gives each next code to the side with the larger C. */
#include "activation.h"

#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { POSITIVE = 0, NEGATIVE = 1, SIDES = 2 };
enum { LOW_BITS = 16, LOW_MASK = 0xffff, BINS = 0x8000 };

/* Magnitudes whose float bits agree but for the lower 16. */
struct bin {
    uint64_t count;
    uint64_t sum;     /* of the lower bits */
    uint16_t largest; /* of the lower bits */
    uint16_t room;    /* LOW_MASK - smallest of the lower bits, so that an empty bin is all zero */
};

/* What lies in the bins beyond one. */
struct tail {
    double count;
    double sum;
    double square;
};

struct bsq_histogram {
    struct bsq_memory memory;
    struct tail *tails; /* (SIDES, BINS): scratch of bsq_histogram_quantizer, in the same block */
    int64_t count;
    struct bin bins[SIDES][BINS];
};

/* ---- the quantizer --------------------------------------------------------------------------------------- */

void bsq_quantizer_codes(const struct bsq_quantizer *quantizer, int32_t *lowest, int32_t *highest)
{
    int32_t codes = (int32_t)1 << quantizer->bits;

    *lowest = quantizer->type == BSQ_INPUT_SIGNED ? -codes / 2 : 0;
    *highest = *lowest + codes - 1;
}

bsq_status_t bsq_quantizer_check(const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    int32_t lowest, highest;

    if (quantizer->bits < 2 || quantizer->bits > 8)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: bits is %d, must be 2..8", (int)quantizer->bits);
    if (quantizer->type < BSQ_INPUT_UNSIGNED || quantizer->type > BSQ_INPUT_ZERO_POINT)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: type is %d, must be unsigned, signed or zero point",
                        (int)quantizer->type);
    if (!(quantizer->scale >= FLT_MIN && quantizer->scale <= FLT_MAX))
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: scale is %g, must be a positive normal float32",
                        quantizer->scale);
    if ((double)(float)quantizer->scale != quantizer->scale)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: scale %.17g is not a float32 value", quantizer->scale);
    bsq_quantizer_codes(quantizer, &lowest, &highest);
    if (quantizer->type != BSQ_INPUT_ZERO_POINT)
        lowest = highest = 0;
    if (quantizer->zero_point < lowest || quantizer->zero_point > highest)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: zero_point is %d, must be %d..%d",
                        (int)quantizer->zero_point, (int)lowest, (int)highest);
    return BSQ_OK;
}

bool bsq_quantizer_same(const struct bsq_quantizer *a, const struct bsq_quantizer *b)
{
    if (a->bits == 0 || b->bits == 0)
        return a->bits == b->bits;
    return a->bits == b->bits && a->type == b->type && a->zero_point == b->zero_point && a->scale == b->scale;
}

/* Half to even, for |x| below 2^30: the sum has no bits left for a fraction. */
static inline double round_even(double x)
{
    const double shift = 1.5 / (FLT_EVAL_METHOD == 2 ? (double)LDBL_EPSILON : DBL_EPSILON);

    return (x + shift) - shift;
}

static inline double clamp(double x, double low, double high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

void bsq_quantizer_apply(const struct bsq_quantizer *quantizer, float *x, int64_t count)
{
    int32_t lowest, highest;

    if (quantizer->bits == 0)
        return;
    bsq_quantizer_codes(quantizer, &lowest, &highest);
    bsq_kernels_best()->requantize(x, count, quantizer->scale, lowest - quantizer->zero_point,
                                   highest - quantizer->zero_point);
}

/* ---- the histogram --------------------------------------------------------------------------------------- */

size_t bsq_histogram_bytes(void)
{
    return sizeof(struct bsq_histogram) + SIDES * BINS * sizeof(struct tail);
}

struct bsq_histogram *bsq_histogram_create(const struct bsq_memory *memory)
{
    struct bsq_histogram *histogram = bsq_memory_get(memory, 1, bsq_histogram_bytes());

    if (!histogram)
        return NULL;
    memset(histogram, 0, sizeof *histogram);
    histogram->memory = *memory;
    histogram->tails = (struct tail *)(void *)(histogram + 1);
    return histogram;
}

struct bsq_histogram *bsq_histogram_clone(const struct bsq_histogram *histogram)
{
    struct bsq_histogram *clone = bsq_histogram_create(&histogram->memory);

    if (!clone)
        return NULL;
    clone->count = histogram->count;
    memcpy(clone->bins, histogram->bins, sizeof clone->bins);
    return clone;
}

void bsq_histogram_free(struct bsq_histogram *histogram)
{
    if (!histogram)
        return;

    struct bsq_memory memory = histogram->memory;

    bsq_memory_put(&memory, histogram);
}

static inline uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double bits_value(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

void bsq_histogram_add(struct bsq_histogram *histogram, const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = float_bits(x[i]);
        struct bin *bin = &histogram->bins[bits >> 31][bits >> LOW_BITS & (BINS - 1)];
        uint16_t low = (uint16_t)(bits & LOW_MASK), room = (uint16_t)(LOW_MASK - low);

        bin->count++;
        bin->sum += low;
        bin->largest = low > bin->largest ? low : bin->largest;
        bin->room = room > bin->room ? room : bin->room;
    }
    histogram->count += count;
}

int64_t bsq_histogram_count(const struct bsq_histogram *histogram)
{
    return histogram->count;
}

/* ---- reading a bin --------------------------------------------------------------------------------------- */

/* A bin's values, in double. */
struct spread {
    double count;
    double low, mean, high;
};

static struct spread spread_of(const struct bin *bin, uint32_t index)
{
    uint32_t smallest = LOW_MASK - (uint32_t)bin->room;
    struct spread s = {
        .count = (double)bin->count,
        .low = bits_value(index << LOW_BITS | smallest),
        .high = bits_value(index << LOW_BITS | bin->largest),
    };

    /* Floats of one bin are equally spaced. */
    s.mean = s.low;
    if (bin->largest > smallest)
        s.mean += (s.high - s.low) * (((double)bin->sum / s.count - smallest) / (bin->largest - smallest));
    return s;
}

/* Share of the values above the mean. */
static double upper_share(const struct spread *s)
{
    return s->high > s->low ? (s->mean - s->low) / (s->high - s->low) : 0.0;
}

static double spread_above(const struct spread *s, double t)
{
    double upper = upper_share(s);

    if (t >= s->high)
        return 0.0;
    if (t < s->low)
        return s->count;
    if (t >= s->mean)
        return s->count * upper * (s->high - t) / (s->high - s->mean);
    return s->count * (upper + (1.0 - upper) * (s->mean - t) / (s->mean - s->low));
}

static double spread_excess(const struct spread *s, double t)
{
    double upper = upper_share(s);

    if (t >= s->high)
        return 0.0;
    if (t <= s->low)
        return s->count * (s->mean - t);
    if (t >= s->mean)
        return s->count * upper * 0.5 * (s->high - t) * (s->high - t) / (s->high - s->mean);
    return s->count * (upper * (0.5 * (s->mean + s->high) - t) +
                       (1.0 - upper) * 0.5 * (s->mean - t) * (s->mean - t) / (s->mean - s->low));
}

/* ---- reading a side -------------------------------------------------------------------------------------- */

static void sum_tails(const struct bsq_histogram *histogram, int side)
{
    struct tail tail = {0.0, 0.0, 0.0};

    for (int i = BINS; i-- > 0;) {
        const struct bin *bin = &histogram->bins[side][i];

        histogram->tails[side * BINS + i] = tail;
        if (bin->count) {
            struct spread s = spread_of(bin, (uint32_t)i);

            tail.count += s.count;
            tail.sum += s.count * s.mean;
            tail.square += s.count * (s.mean * s.mean + (s.mean - s.low) * (s.high - s.mean) / 3.0);
        }
    }
}

static double largest_magnitude(const struct bsq_histogram *histogram, int side)
{
    for (int i = BINS; i-- > 0;)
        if (histogram->bins[side][i].count)
            return spread_of(&histogram->bins[side][i], (uint32_t)i).high;
    return 0.0;
}

/* How many magnitudes are above t >= 0. */
static double count_above(const struct bsq_histogram *histogram, int side, double t)
{
    if (t >= FLT_MAX)
        return 0.0;

    uint32_t index = float_bits((float)t) >> LOW_BITS;
    struct spread s = spread_of(&histogram->bins[side][index], index);

    return histogram->tails[side * BINS + (int)index].count + (s.count > 0.0 ? spread_above(&s, t) : 0.0);
}

/* C(t): sum of what is above t >= 0. */
static double excess(const struct bsq_histogram *histogram, int side, double t)
{
    if (t >= FLT_MAX)
        return 0.0;

    uint32_t index = float_bits((float)t) >> LOW_BITS;
    const struct bin *bin = &histogram->bins[side][index];
    const struct tail *tail = &histogram->tails[side * BINS + (int)index];
    double sum = tail->sum - t * tail->count;

    if (bin->count) {
        struct spread s = spread_of(bin, index);

        sum += spread_excess(&s, t);
    }
    return sum > 0.0 ? sum : 0.0;
}

/* A lower bound of the squared error that is left when what is above t > 0 becomes t. */
static double clip_error(const struct bsq_histogram *histogram, int side, double t)
{
    if (t >= FLT_MAX)
        return 0.0;

    const struct tail *tail = &histogram->tails[side * BINS + (int)(float_bits((float)t) >> LOW_BITS)];

    return tail->square - t * (2.0 * tail->sum - t * tail->count);
}

/* ---- choosing a quantizer -------------------------------------------------------------------------------- */

/* How many codes other than zero a type has on each side, and together. */
struct codes {
    int32_t most[SIDES];
    int32_t total;
};

static struct codes codes_of(int32_t type, int32_t bits)
{
    int32_t total = ((int32_t)1 << bits) - 1;

    if (type == BSQ_INPUT_UNSIGNED)
        return (struct codes){{total, 0}, total};
    if (type == BSQ_INPUT_SIGNED)
        return (struct codes){{total / 2, total / 2 + 1}, total};
    return (struct codes){{total, total}, total};
}

static double next_excess(const struct bsq_histogram *histogram, const struct codes *codes, int side, int32_t used,
                          double step)
{
    return used < codes->most[side] ? excess(histogram, side, (used + 0.5) * step) : 0.0;
}

/* By how much a step lowers the squared error below sum x^2, and the number of negative codes with which it does. */
static double step_gain(const struct bsq_histogram *histogram, const struct codes *codes, double step,
                        int32_t *negative)
{
    double next[SIDES], sum = 0.0;
    int32_t used[SIDES] = {0, 0};

    for (int side = 0; side < SIDES; side++)
        next[side] = next_excess(histogram, codes, side, 0, step);
    for (int32_t i = 0; i < codes->total; i++) {
        int side = next[POSITIVE] >= next[NEGATIVE] ? POSITIVE : NEGATIVE;

        if (next[side] <= 0.0)
            break;
        sum += next[side];
        next[side] = next_excess(histogram, codes, side, ++used[side], step);
    }
    *negative = used[NEGATIVE];
    return 2.0 * step * sum;
}

static double gain_of(const struct bsq_histogram *histogram, const struct codes *codes, double step)
{
    int32_t negative;

    return step_gain(histogram, codes, step, &negative);
}

/* The best step between 'low' and 'high', by golden section. */
static double refine_step(const struct bsq_histogram *histogram, const struct codes *codes, double low, double high)
{
    const double golden = 0.6180339887498949;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double gain_a = gain_of(histogram, codes, a), gain_b = gain_of(histogram, codes, b);

    for (int i = 0; i < 32; i++) {
        if (gain_a > gain_b) {
            high = b;
            b = a;
            gain_b = gain_a;
            a = high - golden * (high - low);
            gain_a = gain_of(histogram, codes, a);
        } else {
            low = a;
            a = b;
            gain_a = gain_b;
            b = low + golden * (high - low);
            gain_b = gain_of(histogram, codes, b);
        }
    }
    return 0.5 * (low + high);
}

static double nearest_scale(double step)
{
    return (double)(float)clamp(step, FLT_MIN, FLT_MAX);
}

/* The peaks of a scan over steps, the highest first. */
enum { PEAKS = 8 };

struct peaks {
    double step[PEAKS];
    double gain[PEAKS];
    int count;
};

static void add_peak(struct peaks *peaks, double step, double gain)
{
    if (peaks->count == PEAKS && gain <= peaks->gain[PEAKS - 1])
        return;

    int place = peaks->count < PEAKS ? peaks->count++ : PEAKS - 1;

    for (; place > 0 && gain > peaks->gain[place - 1]; place--) {
        peaks->gain[place] = peaks->gain[place - 1];
        peaks->step[place] = peaks->step[place - 1];
    }
    peaks->gain[place] = gain;
    peaks->step[place] = step;
}

/* 2^(-1/512): close enough to find even the narrow peak of inputs that are on a grid. */
static const double scan_ratio = 0.99864711289;

/* Whether clipping alone costs more than 'error' from this step downwards. */
static bool is_too_small(const struct bsq_histogram *histogram, const struct codes *codes, double step, double error)
{
    double least = 0.0;

    for (int side = 0; side < SIDES; side++)
        if (codes->most[side])
            least += clip_error(histogram, side, (codes->most[side] + 0.5) * step);
    return least > error;
}

/* Goes down from the largest magnitude as long as steps can be better than the best peak. */
static void scan_steps(const struct bsq_histogram *histogram, const struct codes *codes, struct peaks *peaks)
{
    double most = 0.0, energy = 0.0, before = 0.0, last = 0.0, highest = peaks->gain[0], step;

    for (int side = 0; side < SIDES; side++)
        if (codes->most[side]) {
            most = fmax(most, largest_magnitude(histogram, side));
            energy += histogram->tails[side * BINS].square;
        }
    for (step = most; step >= FLT_MIN && !is_too_small(histogram, codes, step, energy - highest); step *= scan_ratio) {
        double gain = gain_of(histogram, codes, step);

        if (last >= before && last >= gain)
            add_peak(peaks, step / scan_ratio, last);
        highest = fmax(highest, gain);
        before = last;
        last = gain;
    }
    add_peak(peaks, step / scan_ratio, last);
}

/* The step of least squared error. 'start' is what it must not fall behind. */
static double squared_error_step(const struct bsq_histogram *histogram, const struct codes *codes, double start)
{
    struct peaks peaks = {.count = 0};
    double best = nearest_scale(start), best_gain = gain_of(histogram, codes, best);

    add_peak(&peaks, best, best_gain);
    scan_steps(histogram, codes, &peaks);
    for (int i = 0; i < peaks.count; i++) {
        double step = nearest_scale(
            refine_step(histogram, codes, peaks.step[i] * scan_ratio, peaks.step[i] / scan_ratio));
        double gain = gain_of(histogram, codes, step);

        if (gain > best_gain) {
            best = step;
            best_gain = gain;
        }
    }
    return best;
}

/* The least step, as a float32 value, that leaves at most 'allowed' values beyond reach[side] steps of zero; sides
 * with reach 0 do not count. */
static double least_step(const struct bsq_histogram *histogram, const int32_t reach[SIDES], double allowed)
{
    uint32_t low = 0, high = float_bits(FLT_MAX);

    /* The bits of positive floats are in the order of their values. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        double step = bits_value(middle), outside = 0.0;

        for (int side = 0; side < SIDES; side++)
            if (reach[side])
                outside += count_above(histogram, side, reach[side] * step);
        if (outside <= allowed)
            high = middle;
        else
            low = middle + 1;
    }
    return bits_value(low);
}

/* Limits of a range with a zero point that leaves 'allowed' values outside, as evenly on both sides as there are
 * values. */
static void zero_point_limits(const struct bsq_histogram *histogram, double allowed, double limits[SIDES])
{
    const int32_t reach[SIDES][SIDES] = {{1, 0}, {0, 1}};
    double positive = count_above(histogram, POSITIVE, 0.0), negative = count_above(histogram, NEGATIVE, 0.0);
    double below = fmin(0.5 * allowed, negative), above = fmin(allowed - below, positive);

    below = fmin(allowed - above, negative);
    limits[POSITIVE] = least_step(histogram, reach[POSITIVE], above);
    limits[NEGATIVE] = least_step(histogram, reach[NEGATIVE], below);
}

/* The step that leaves 'allowed' values outside of the range, 0 when that range is empty, and the zero point. */
static double range_step(const struct bsq_histogram *histogram, const struct codes *codes, int32_t type,
                         double allowed, int32_t *zero_point)
{
    double limits[SIDES];

    *zero_point = 0;
    if (type != BSQ_INPUT_ZERO_POINT)
        return least_step(histogram, codes->most, allowed);
    zero_point_limits(histogram, allowed, limits);

    double width = limits[POSITIVE] + limits[NEGATIVE], step = nearest_scale(width / codes->total);

    if (width > 0.0)
        *zero_point = (int32_t)clamp(round_even(limits[NEGATIVE] / step), 0.0, codes->total);
    return width > 0.0 ? step : 0.0;
}

static void choose(const struct bsq_histogram *histogram, const bsq_options_t *options,
                   struct bsq_quantizer *quantizer)
{
    struct codes codes = codes_of(quantizer->type, quantizer->bits);
    int32_t zero_point;
    double allowed = 0.0, step = 0.0;

    /* A little more than the share, so that 0.9 of 10 values leaves 1 outside although 1 - 0.9 is below 0.1. */
    if (options->input_clip == BSQ_CLIP_PERCENTILE)
        allowed = floor((1.0 + 1e-9) * (1.0 - options->input_percentile) * (double)histogram->count);
    if (allowed > 0.0)
        step = range_step(histogram, &codes, quantizer->type, allowed, &zero_point);
    /* So many zeros that the range would be empty: nothing is left outside then. */
    if (step <= 0.0)
        step = range_step(histogram, &codes, quantizer->type, 0.0, &zero_point);
    if (step <= 0.0)
        return;
    if (options->input_clip == BSQ_CLIP_SQUARED_ERROR) {
        step = squared_error_step(histogram, &codes, step);
        (void)step_gain(histogram, &codes, step, &zero_point);
    }
    quantizer->scale = nearest_scale(step);
    quantizer->zero_point = quantizer->type == BSQ_INPUT_ZERO_POINT ? zero_point : 0;
}

struct bsq_quantizer bsq_histogram_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options)
{
    struct bsq_quantizer quantizer = {.scale = 1.0, .bits = options->input_bits, .type = options->input_type};

    if (quantizer.bits == 0)
        return (struct bsq_quantizer){0};
    for (int side = 0; side < SIDES; side++)
        sum_tails(histogram, side);
    if (quantizer.type == BSQ_INPUT_AUTO)
        quantizer.type =
            largest_magnitude(histogram, NEGATIVE) > 0.0 ? BSQ_INPUT_ZERO_POINT : BSQ_INPUT_UNSIGNED;
    choose(histogram, options, &quantizer);
    return quantizer;
}
