/* The input quantizer that fits a histogram best.
 *
 * The squared error needs one function for each sign: the excess C(t) = sum of max(|x| - t, 0). One more code beyond
 * the k-1 codes of a side changes x from (k-1) s to k s where |x| > t = (k - 1/2) s, which lowers the squared error by
 * 2 s C(t). So the error of a step s is sum x^2 - 2 s (sum of C over the codes of both sides), and because C falls
 * with t, the best zero point gives each next code to the side with the larger C. */
#include "input/clip.h"

#include "input/private.h"
#include "kernels/rounding.h"

#include <float.h>
#include <math.h>

/* How the best step is looked for: from 'first' times the one that reaches all values (or the largest value itself)
 * downwards by 'ratio'; then the highest peaks are refined. */
struct scan {
    double first;
    double ratio;
    int peaks;
    int refinements;
};

/* For a tensor close enough, 2^(-1/512), to find even the narrow peak of inputs that are on a grid. Channels are many:
 * 2^(-1/32) up to 4 bits, 2^(-1/8) above, where the error changes smoothly with the step. */
static const struct scan tensor_scan = {INFINITY, 0.99864711289, 8, 32};
static const struct scan channel_scan[] = {{2.0, 0.97857206208, 2, 12}, {2.0, 0.91700404320, 2, 12}};

/* ---- reading a bin --------------------------------------------------------------------------------------- */

/* A bin's values, in double. */
struct spread {
    double count;
    double low, mean, high;
};

static struct spread spread_of(const struct view *view, int side, uint32_t index)
{
    const struct bin *bin = &view->bins[side][index];
    uint32_t upper = (view->base + index) << view->low_bits;
    uint32_t smallest = (((uint32_t)1 << view->low_bits) - 1) - bin->room;
    struct spread s = {
        .count = (double)bin->count,
        .low = bits_value(upper | smallest),
        .high = bits_value(upper | bin->largest),
    };

    /* Floats of one bin are equally spaced. */
    s.mean = s.low;
    if (bin->largest > smallest)
        s.mean += (s.high - s.low) * (((double)bin->sum / s.count - smallest) / (bin->largest - smallest));
    return s;
}

/* Gives the share of the values above the mean. */
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

static void sum_tails(const struct view *view, int side)
{
    struct tail tail = {0.0, 0.0, 0.0};

    view->tails[side][view->size] = tail;
    for (uint32_t i = view->size; i-- > 0;) {
        if (view->bins[side][i].count) {
            struct spread s = spread_of(view, side, i);

            tail.count += s.count;
            tail.sum += s.count * s.mean;
            tail.square += s.count * (s.mean * s.mean + (s.mean - s.low) * (s.high - s.mean) / 3.0);
        }
        view->tails[side][i] = tail;
    }
}

static double largest_magnitude(const struct view *view, int side)
{
    for (uint32_t i = view->size; i-- > 0;)
        if (view->bins[side][i].count)
            return spread_of(view, side, i).high;
    return 0.0;
}

/* Finds where t >= 0 lies: the tail beyond its bin, and what its bin holds (nothing outside of the window). */
struct place {
    const struct tail *beyond;
    struct spread bin;
};

static struct place place_of(const struct view *view, int side, double t)
{
    uint32_t upper = float_bits((float)fmin(t, FLT_MAX)) >> view->low_bits, index = upper - view->base;
    struct place place = {&view->tails[side][view->size], {0.0, 0.0, 0.0, 0.0}};

    if (t >= FLT_MAX || (upper >= view->base && index >= view->size))
        return place;
    if (upper < view->base) {
        place.beyond = view->tails[side];
        return place;
    }
    place.beyond = &view->tails[side][index + 1];
    if (view->bins[side][index].count)
        place.bin = spread_of(view, side, index);
    return place;
}

/* Counts the magnitudes above t >= 0. */
static double count_above(const struct view *view, int side, double t)
{
    struct place place = place_of(view, side, t);

    return place.beyond->count + (place.bin.count > 0.0 ? spread_above(&place.bin, t) : 0.0);
}

/* Computes C(t): the sum of what is above t >= 0. */
static double excess(const struct view *view, int side, double t)
{
    struct place place = place_of(view, side, t);
    double sum = place.beyond->sum - t * place.beyond->count;

    if (place.bin.count > 0.0)
        sum += spread_excess(&place.bin, t);
    return sum > 0.0 ? sum : 0.0;
}

/* Bounds from below the squared error that is left when what is above t > 0 becomes t. */
static double clip_error(const struct view *view, int side, double t)
{
    const struct tail *tail = place_of(view, side, t).beyond;

    return tail->square - t * (2.0 * tail->sum - t * tail->count);
}

/* ---- choosing a quantizer -------------------------------------------------------------------------------- */

/* Counts the codes other than zero that a type has on each side, and together. */
struct codes {
    int32_t most[SIDES];
    int32_t total;
};

static struct codes codes_of(int32_t type, int32_t bits)
{
    int32_t total = ((int32_t)1 << bits) - 1;

    if (type == BSQ_INPUT_TYPE_UNSIGNED)
        return (struct codes){{total, 0}, total};
    if (type == BSQ_INPUT_TYPE_SIGNED)
        return (struct codes){{total / 2, total / 2 + 1}, total};
    return (struct codes){{total, total}, total};
}

static double next_excess(const struct view *view, const struct codes *codes, int side, int32_t used, double step)
{
    return used < codes->most[side] ? excess(view, side, (used + 0.5) * step) : 0.0;
}

/* Computes by how much a step lowers the squared error below sum x^2, and the number of negative codes with which it
 * does. */
static double step_gain(const struct view *view, const struct codes *codes, double step, int32_t *negative)
{
    double next[SIDES], sum = 0.0;
    int32_t used[SIDES] = {0, 0};

    for (int side = 0; side < SIDES; side++)
        next[side] = next_excess(view, codes, side, 0, step);
    for (int32_t i = 0; i < codes->total; i++) {
        int side = next[POSITIVE] >= next[NEGATIVE] ? POSITIVE : NEGATIVE;

        if (next[side] <= 0.0)
            break;
        sum += next[side];
        next[side] = next_excess(view, codes, side, ++used[side], step);
    }
    *negative = used[NEGATIVE];
    return 2.0 * step * sum;
}

static double gain_of(const struct view *view, const struct codes *codes, double step)
{
    int32_t negative;

    return step_gain(view, codes, step, &negative);
}

/* Finds the best step between 'low' and 'high', by golden section. */
static double refine_step(const struct view *view, const struct codes *codes, double low, double high)
{
    const double golden = 0.6180339887498949;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double gain_a = gain_of(view, codes, a), gain_b = gain_of(view, codes, b);

    for (int i = 0; i < view->scan->refinements; i++) {
        if (gain_a > gain_b) {
            high = b;
            b = a;
            gain_b = gain_a;
            a = high - golden * (high - low);
            gain_a = gain_of(view, codes, a);
        } else {
            low = a;
            a = b;
            gain_a = gain_b;
            b = low + golden * (high - low);
            gain_b = gain_of(view, codes, b);
        }
    }
    return 0.5 * (low + high);
}

static double nearest_scale(double step)
{
    return (double)(float)bsq_clamp(step, FLT_MIN, FLT_MAX);
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

/* Says whether clipping alone costs more than 'error' from this step downwards. */
static bool is_too_small(const struct view *view, const struct codes *codes, double step, double error)
{
    double least = 0.0;

    for (int side = 0; side < SIDES; side++)
        if (codes->most[side])
            least += clip_error(view, side, (codes->most[side] + 0.5) * step);
    return least > error;
}

/* Goes down as long as steps can be better than the best peak; the first peak is the step that reaches all values. */
static void scan_steps(const struct view *view, const struct codes *codes, struct peaks *peaks)
{
    const double ratio = view->scan->ratio;
    double most = 0.0, energy = 0.0, before = 0.0, last = 0.0, highest = peaks->gain[0], step;

    for (int side = 0; side < SIDES; side++)
        if (codes->most[side]) {
            most = fmax(most, largest_magnitude(view, side));
            energy += view->tails[side]->square;
        }
    most = fmin(most, view->scan->first * peaks->step[0]);
    for (step = most; step >= FLT_MIN && !is_too_small(view, codes, step, energy - highest); step *= ratio) {
        double gain = gain_of(view, codes, step);

        if (last >= before && last >= gain)
            add_peak(peaks, step / ratio, last);
        highest = fmax(highest, gain);
        before = last;
        last = gain;
    }
    add_peak(peaks, step / ratio, last);
}

/* Finds the step of least squared error. 'start' is what it must not fall behind. */
static double squared_error_step(const struct view *view, const struct codes *codes, double start)
{
    struct peaks peaks = {.count = 0};
    double best = nearest_scale(start), best_gain = gain_of(view, codes, best);

    add_peak(&peaks, best, best_gain);
    scan_steps(view, codes, &peaks);
    for (int i = 0; i < peaks.count && i < view->scan->peaks; i++) {
        double ratio = view->scan->ratio;
        double step = nearest_scale(refine_step(view, codes, peaks.step[i] * ratio, peaks.step[i] / ratio));
        double gain = gain_of(view, codes, step);

        if (gain > best_gain) {
            best = step;
            best_gain = gain;
        }
    }
    return best;
}

/* Finds the least step, as a float32 value, that leaves at most 'allowed' values beyond reach[side] steps of zero;
 * sides with reach 0 do not count. */
static double least_step(const struct view *view, const int32_t reach[SIDES], double allowed)
{
    uint32_t low = 0, high = float_bits(FLT_MAX);

    /* The bits of positive floats are in the order of their values. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        double step = bits_value(middle), outside = 0.0;

        for (int side = 0; side < SIDES; side++)
            if (reach[side])
                outside += count_above(view, side, reach[side] * step);
        if (outside <= allowed)
            high = middle;
        else
            low = middle + 1;
    }
    return bits_value(low);
}

/* Finds limits of a range with a zero point that leaves 'allowed' values outside, as evenly on both sides as there are
 * values. */
static void zero_point_limits(const struct view *view, double allowed, double limits[SIDES])
{
    const int32_t reach[SIDES][SIDES] = {{1, 0}, {0, 1}};
    double positive = count_above(view, POSITIVE, 0.0), negative = count_above(view, NEGATIVE, 0.0);
    double below = fmin(0.5 * allowed, negative), above = fmin(allowed - below, positive);

    below = fmin(allowed - above, negative);
    limits[POSITIVE] = least_step(view, reach[POSITIVE], above);
    limits[NEGATIVE] = least_step(view, reach[NEGATIVE], below);
}

/* Finds the step that leaves 'allowed' values outside of the range, 0 when that range is empty, and the zero point. */
static double range_step(const struct view *view, const struct codes *codes, int32_t type, double allowed,
                         int32_t *zero_point)
{
    double limits[SIDES];

    *zero_point = 0;
    if (type != BSQ_INPUT_TYPE_ZERO_POINT)
        return least_step(view, codes->most, allowed);
    zero_point_limits(view, allowed, limits);

    double width = limits[POSITIVE] + limits[NEGATIVE], step = nearest_scale(width / codes->total);

    if (width > 0.0)
        *zero_point = (int32_t)bsq_clamp(bsq_round_even(limits[NEGATIVE] / step), 0.0, codes->total);
    return width > 0.0 ? step : 0.0;
}

/* Sets scale and zero point; false when there is nothing but zeros. */
static bool choose(const struct view *view, const bsq_options_t *options, struct bsq_quantizer *quantizer)
{
    struct codes codes = codes_of(quantizer->type, quantizer->bits);
    int32_t zero_point;
    double allowed = 0.0, step = 0.0;

    for (int side = 0; side < SIDES; side++)
        sum_tails(view, side);
    /* A little more than the share, so that 0.9 of 10 values leaves 1 outside although 1 - 0.9 is below 0.1. */
    if (options->input_clip == BSQ_INPUT_CLIP_PERCENTILE)
        allowed = floor((1.0 + 1e-9) * (1.0 - options->input_percentile) * (double)view->count);
    if (allowed > 0.0)
        step = range_step(view, &codes, quantizer->type, allowed, &zero_point);
    /* So many zeros that the range would be empty: nothing is left outside then. */
    if (step <= 0.0)
        step = range_step(view, &codes, quantizer->type, 0.0, &zero_point);
    if (step <= 0.0)
        return false;
    if (options->input_clip == BSQ_INPUT_CLIP_SQUARED_ERROR) {
        step = squared_error_step(view, &codes, step);
        (void)step_gain(view, &codes, step, &zero_point);
    }
    quantizer->scale = nearest_scale(step);
    quantizer->zero_point = quantizer->type == BSQ_INPUT_TYPE_ZERO_POINT ? zero_point : 0;
    return true;
}

/* Gives the type that the options ask for, or that the values of all 'count' views need. */
static int32_t type_for(const struct view *views, int64_t count, const bsq_options_t *options)
{
    if (options->input_type != BSQ_INPUT_TYPE_AUTO)
        return options->input_type;
    for (int64_t v = 0; v < count; v++)
        if (largest_magnitude(&views[v], NEGATIVE) > 0.0)
            return BSQ_INPUT_TYPE_ZERO_POINT;
    return BSQ_INPUT_TYPE_UNSIGNED;
}

struct bsq_quantizer bsq_histogram_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options)
{
    struct bsq_quantizer quantizer = {.scale = 1.0, .bits = options->input_bits};
    struct view view = *histogram->views;

    if (quantizer.bits == 0)
        return (struct bsq_quantizer){0};
    view.scan = &tensor_scan;
    quantizer.type = type_for(&view, 1, options);
    (void)choose(&view, options, &quantizer);
    return quantizer;
}

bool bsq_histogram_channel_quantizer(const struct bsq_histogram *histogram, const bsq_options_t *options,
                                     struct bsq_quantizer *quantizer)
{
    struct bsq_input_channels *channels = bsq_input_channels_create(&histogram->memory, histogram->channels);

    *quantizer = (struct bsq_quantizer){.bits = options->input_bits, .channels = channels};
    if (!channels)
        return false;
    quantizer->type = type_for(histogram->views, histogram->channels, options);
    for (int64_t c = 0; c < channels->count; c++) {
        struct bsq_quantizer own = *quantizer;
        struct view view = histogram->views[c];

        view.scan = &channel_scan[own.bits > 4];
        if (!choose(&view, options, &own))
            continue;
        channels->scale[c] = own.scale;
        channels->zero_point[c] = own.zero_point;
        quantizer->scale = fmax(quantizer->scale, own.scale);
    }
    if (quantizer->scale <= 0.0)
        quantizer->scale = 1.0;
    for (int64_t c = 0; c < channels->count; c++)
        if (channels->scale[c] <= 0.0)
            channels->scale[c] = quantizer->scale;
    return true;
}
