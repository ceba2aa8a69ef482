/* Activation ranges: streaming histograms and the input quantizer that fits them best.
 *
 * The histogram of a tensor has one bin for each sign, exponent and upper 7 mantissa bits of a float, so it needs to
 * know no range in advance. Those of channels are smaller: upper 4 mantissa bits, and a window of 24 exponents that
 * ends with the largest magnitude of the channel; what is below it is as good as zero, and is only counted. A bin counts
 * its values and keeps the smallest, the largest and the sum of their lower bits: all of them integers, so the order of the
 * values leaves no trace. Inside a bin the density is taken as uniform from the smallest value to the mean and from the
 * mean to the largest; a bin that saw a single value is exact.
 *
 * The squared error needs one function for each sign: the excess C(t) = sum of max(|x| - t, 0). One more code beyond
 * the k-1 codes of a side changes x from (k-1) s to k s where |x| > t = (k - 1/2) s, which lowers the squared error by
 * 2 s C(t). So the error of a step s is sum x^2 - 2 s (sum of C over the codes of both sides), and because C falls
 * with t, the best zero point gives each next code to the side with the larger C. */
#include "input/activation.h"

#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { POSITIVE = 0, NEGATIVE = 1, SIDES = 2 };

/* How fine a histogram is: bits of a float that do not choose its bin, and bins of a side. */
enum { TENSOR_LOW_BITS = 16, TENSOR_BINS = 0x8000 };
enum { CHANNEL_LOW_BITS = 19, CHANNEL_OCTAVE = 16, CHANNEL_BINS = 24 * CHANNEL_OCTAVE };

/* Magnitudes whose float bits agree but for the lower ones. */
struct bin {
    uint64_t count;
    uint64_t sum;     /* of the lower bits */
    uint32_t largest; /* of the lower bits */
    uint32_t room;    /* their mask - smallest of the lower bits, so that an empty bin is all zero */
};

/* How the best step is looked for: from 'first' times the one that reaches all values (or the largest value itself)
 * downwards by 'ratio'; then the highest peaks are refined. */
struct scan {
    double first;
    double ratio;
    int peaks;
    int refinements;
};

/* For a tensor close enough, 2^(-1/512), to find even the narrow peak of inputs that are on a grid. Channels are many: 2^
 * (-1/32) up to 4 bits, 2^(-1/8) above, where the error changes smoothly with the step. */
static const struct scan tensor_scan = {INFINITY, 0.99864711289, 8, 32};
static const struct scan channel_scan[] = {{2.0, 0.97857206208, 2, 12}, {2.0, 0.91700404320, 2, 12}};

/* What lies in a bin and those beyond it. */
struct tail {
    double count;
    double sum;
    double square;
};

/* The histogram of a tensor or of one channel, as it is read. */
struct view {
    const struct bin *bins[SIDES];
    struct tail *tails[SIDES]; /* one more than bins */
    int64_t count;             /* of all values */
    uint32_t base;             /* upper bits of the magnitudes in the first bin */
    uint32_t size;             /* bins of a side */
    int32_t low_bits;
    const struct scan *scan;
};

struct bsq_histogram {
    struct bsq_memory memory;
    int64_t channels;   /* 0: one histogram for the whole tensor */
    int64_t count;      /* of values, over all channels */
    struct view *views; /* one, or one for each channel */
    struct bin *bins;   /* (views, SIDES, bins) */
    struct tail *tails; /* (SIDES, bins + 1): scratch for whoever reads */
};

/* ---- the quantizer --------------------------------------------------------------------------------------- */

void bsq_quantizer_codes(const struct bsq_quantizer *quantizer, int32_t *lowest, int32_t *highest)
{
    int32_t codes = (int32_t)1 << quantizer->bits;

    *lowest = quantizer->type == BSQ_INPUT_TYPE_SIGNED ? -codes / 2 : 0;
    *highest = *lowest + codes - 1;
}

bsq_status_t bsq_quantizer_check(const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    int32_t lowest, highest;

    if (quantizer->bits < 2 || quantizer->bits > 8)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: bits is %d, must be 2..8", (int)quantizer->bits);
    if (quantizer->type < BSQ_INPUT_TYPE_UNSIGNED || quantizer->type > BSQ_INPUT_TYPE_ZERO_POINT)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: type is %d, must be unsigned, signed or zero point",
                        (int)quantizer->type);
    if (!(quantizer->scale >= FLT_MIN && quantizer->scale <= FLT_MAX))
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: scale is %g, must be a positive normal float32",
                        quantizer->scale);
    if ((double)(float)quantizer->scale != quantizer->scale)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: scale %.17g is not a float32 value", quantizer->scale);
    bsq_quantizer_codes(quantizer, &lowest, &highest);
    if (quantizer->type != BSQ_INPUT_TYPE_ZERO_POINT)
        lowest = highest = 0;
    if (quantizer->zero_point < lowest || quantizer->zero_point > highest)
        return bsq_fail(message, BSQ_E_RANGE, "input quantizer: zero_point is %d, must be %d..%d",
                        (int)quantizer->zero_point, (int)lowest, (int)highest);
    return BSQ_OK;
}

static bool same_channels(const struct bsq_input_channels *a, const struct bsq_input_channels *b)
{
    if (!a || !b || a == b)
        return a == b;
    for (int64_t c = 0; c < a->count; c++)
        if (c >= b->count || a->scale[c] != b->scale[c] || a->zero_point[c] != b->zero_point[c])
            return false;
    return a->count == b->count;
}

bool bsq_quantizer_same(const struct bsq_quantizer *a, const struct bsq_quantizer *b)
{
    if (a->bits == 0 || b->bits == 0)
        return a->bits == b->bits;
    return a->bits == b->bits && a->type == b->type && a->zero_point == b->zero_point && a->scale == b->scale &&
           same_channels(a->channels, b->channels);
}

/* ---- scales of channels ---------------------------------------------------------------------------------- */

static size_t channels_bytes(int64_t count)
{
    struct bsq_carver carver = {NULL, sizeof(struct bsq_input_channels)};

    (void)bsq_carve(&carver, count, sizeof(double));
    (void)bsq_carve(&carver, count, sizeof(int32_t));
    return carver.used;
}

size_t bsq_input_channels_cost(int64_t count)
{
    return bsq_memory_cost(channels_bytes(count));
}

struct bsq_input_channels *bsq_input_channels_create(const struct bsq_memory *memory, int64_t count)
{
    struct bsq_input_channels *channels = bsq_memory_get_zeroed(memory, 1, channels_bytes(count));
    struct bsq_carver carver = {(char *)channels, sizeof *channels};

    if (!channels)
        return NULL;
    atomic_init(&channels->references, 1);
    channels->memory = *memory;
    channels->count = count;
    channels->scale = bsq_carve(&carver, count, sizeof *channels->scale);
    channels->zero_point = bsq_carve(&carver, count, sizeof *channels->zero_point);
    return channels;
}

struct bsq_quantizer bsq_quantizer_retain(const struct bsq_quantizer *quantizer)
{
    if (quantizer->channels)
        (void)atomic_fetch_add(&quantizer->channels->references, 1);
    return *quantizer;
}

void bsq_quantizer_release(struct bsq_quantizer *quantizer)
{
    struct bsq_input_channels *channels = quantizer->channels;

    quantizer->channels = NULL;
    if (channels && atomic_fetch_sub(&channels->references, 1) == 1) {
        struct bsq_memory memory = channels->memory;

        bsq_memory_put(&memory, channels);
    }
}

bsq_status_t bsq_quantizer_check_channels(const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    const struct bsq_input_channels *channels = quantizer->channels;
    struct bsq_quantizer own = *quantizer;
    struct bsq_message text;

    for (int64_t c = 0; c < channels->count; c++) {
        own.scale = channels->scale[c];
        own.zero_point = channels->zero_point[c];
        if (bsq_quantizer_check(&own, &text) != BSQ_OK)
            return bsq_fail(message, BSQ_E_RANGE, "channel %lld: %.200s", (long long)c, text.text);
    }
    return BSQ_OK;
}

double bsq_quantizer_scale(const struct bsq_quantizer *quantizer, int64_t channel)
{
    return quantizer->channels ? quantizer->channels->scale[channel] : quantizer->scale;
}

int32_t bsq_quantizer_zero_point(const struct bsq_quantizer *quantizer, int64_t channel)
{
    return quantizer->channels ? quantizer->channels->zero_point[channel] : quantizer->zero_point;
}

double bsq_quantizer_beta(const struct bsq_quantizer *quantizer, int64_t channel)
{
    return quantizer->channels ? quantizer->channels->scale[channel] / quantizer->scale : 1.0;
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
    bsq_kernels()->requantize(x, count, quantizer->scale, lowest - quantizer->zero_point,
                                   highest - quantizer->zero_point);
}

void bsq_quantizer_fold(const struct bsq_quantizer *quantizer, const struct bsq_geometry *geometry, int64_t group,
                        float *x, int64_t rows)
{
    const bool channel_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW;
    const int64_t first = group * geometry->group_inputs;
    const double *scale = quantizer->channels->scale + first;
    const int32_t *zero_point = quantizer->channels->zero_point + first;
    int64_t outer = channel_major ? geometry->group_inputs : geometry->kernel_volume;
    int64_t inner = channel_major ? geometry->kernel_volume : geometry->group_inputs;
    int32_t lowest, highest;

    bsq_quantizer_codes(quantizer, &lowest, &highest);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < outer; i++)
            for (int64_t j = 0; j < inner; j++, x++) {
                int64_t c = channel_major ? i : j;
                double low = lowest - zero_point[c], high = highest - zero_point[c];

                *x = (float)(quantizer->scale * round_even(clamp((double)*x / scale[c], low, high)));
            }
}

/* ---- the histogram --------------------------------------------------------------------------------------- */

/* Lays out a histogram behind its struct and returns the bytes of the whole; NULL only counts. */
static size_t lay_out(struct bsq_histogram *histogram, int64_t channels)
{
    int64_t views = channels ? channels : 1, size = channels ? CHANNEL_BINS : TENSOR_BINS;
    struct bsq_carver carver = {(char *)histogram, sizeof *histogram};
    struct view *view = bsq_carve(&carver, views, sizeof *view);
    struct bin *bins = bsq_carve(&carver, views * SIDES * size, sizeof *bins);
    struct tail *tails = bsq_carve(&carver, SIDES * (size + 1), sizeof *tails);

    if (!histogram)
        return carver.used;
    histogram->channels = channels;
    histogram->views = view;
    histogram->bins = bins;
    histogram->tails = tails;
    for (int64_t v = 0; v < views; v++)
        view[v] = (struct view){
            .bins = {bins + v * SIDES * size, bins + (v * SIDES + 1) * size},
            .tails = {tails, tails + size + 1},
            .size = (uint32_t)size,
            .low_bits = channels ? CHANNEL_LOW_BITS : TENSOR_LOW_BITS,
            .scan = &tensor_scan,
        };
    return carver.used;
}

size_t bsq_histogram_bytes(int64_t channels)
{
    return lay_out(NULL, channels);
}

struct bsq_histogram *bsq_histogram_create(const struct bsq_memory *memory, int64_t channels)
{
    struct bsq_histogram *histogram = bsq_memory_get_zeroed(memory, 1, bsq_histogram_bytes(channels));

    if (!histogram)
        return NULL;
    histogram->memory = *memory;
    (void)lay_out(histogram, channels);
    return histogram;
}

struct bsq_histogram *bsq_histogram_clone(const struct bsq_histogram *histogram)
{
    struct bsq_histogram *clone = bsq_histogram_create(&histogram->memory, histogram->channels);
    int64_t views = histogram->channels ? histogram->channels : 1;

    if (!clone)
        return NULL;
    clone->count = histogram->count;
    for (int64_t v = 0; v < views; v++) {
        clone->views[v].count = histogram->views[v].count;
        clone->views[v].base = histogram->views[v].base;
    }
    memcpy(clone->bins, histogram->bins, (size_t)(views * SIDES * histogram->views->size) * sizeof *clone->bins);
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

/* The bins of a side, to be filled. */
static inline struct bin *bins_of(const struct bsq_histogram *histogram, const struct view *view, uint32_t side)
{
    return histogram->bins + (view - histogram->views) * SIDES * view->size + side * view->size;
}

/* Moves the window of a channel so that it ends with the octave of 'upper'. */
static void slide(struct bsq_histogram *histogram, struct view *view, uint32_t upper)
{
    uint32_t end = (upper / CHANNEL_OCTAVE + 1) * CHANNEL_OCTAVE, by = end - view->size - view->base;

    for (uint32_t side = 0; side < SIDES; side++) {
        struct bin *bins = bins_of(histogram, view, side);
        uint32_t kept = by < view->size ? view->size - by : 0;

        memmove(bins, bins + view->size - kept, kept * sizeof *bins);
        memset(bins + kept, 0, (view->size - kept) * sizeof *bins);
    }
    view->base += by;
}

/* The bits of 'count' values. */
static void add_bits(struct bsq_histogram *histogram, struct view *view, const uint32_t *values, int64_t count)
{
    const uint32_t mask = ((uint32_t)1 << view->low_bits) - 1;
    struct bin *bins[SIDES] = {bins_of(histogram, view, POSITIVE), bins_of(histogram, view, NEGATIVE)};

    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = values[i], upper = (bits & INT32_MAX) >> view->low_bits;
        uint32_t low = bits & mask, room = mask - low;

        if (upper < view->base)
            continue;
        if (upper - view->base >= view->size)
            slide(histogram, view, upper);

        struct bin *bin = &bins[bits >> 31][upper - view->base];

        bin->count++;
        bin->sum += low;
        bin->largest = low > bin->largest ? low : bin->largest;
        bin->room = room > bin->room ? room : bin->room;
    }
}

static void add_zeros(struct bsq_histogram *histogram, struct view *view, int64_t count)
{
    struct bin *bin = bins_of(histogram, view, POSITIVE);

    if (count == 0 || view->base > 0)
        return;
    bin->count += (uint64_t)count;
    bin->room = ((uint32_t)1 << view->low_bits) - 1;
}

/* Zeros, of which activations have many, are set aside: values that change the same bin wait for each other. */
static void add_values(struct bsq_histogram *histogram, struct view *view, const float *x, int64_t count,
                       int64_t stride)
{
    enum { SOME = 256 };
    uint32_t values[SOME];

    for (int64_t first = 0; first < count; first += SOME) {
        int64_t some = count - first < SOME ? count - first : SOME;
        int64_t listed = bsq_kernels()->list_bits(x + first * stride, some, stride, values);

        add_zeros(histogram, view, some - listed);
        add_bits(histogram, view, values, listed);
    }
    view->count += count;
    histogram->count += count;
}

void bsq_histogram_add(struct bsq_histogram *histogram, const float *x, int64_t count)
{
    add_values(histogram, histogram->views, x, count, 1);
}

void bsq_histogram_add_channels(struct bsq_histogram *histogram, const float *x, int64_t size, int64_t plane,
                                bool channels_last)
{
    int64_t channels = histogram->channels;

    for (int64_t c = 0; c < channels; c++) {
        if (channels_last) {
            add_values(histogram, &histogram->views[c], x + c, size * plane, channels);
            continue;
        }
        for (int64_t i = 0; i < size; i++)
            add_values(histogram, &histogram->views[c], x + (i * channels + c) * plane, plane, 1);
    }
}

int64_t bsq_histogram_count(const struct bsq_histogram *histogram)
{
    return histogram->count;
}

int64_t bsq_histogram_channels(const struct bsq_histogram *histogram)
{
    return histogram->channels;
}

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

/* Where t >= 0 lies: the tail beyond its bin, and what its bin holds (nothing outside of the window). */
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

/* How many magnitudes are above t >= 0. */
static double count_above(const struct view *view, int side, double t)
{
    struct place place = place_of(view, side, t);

    return place.beyond->count + (place.bin.count > 0.0 ? spread_above(&place.bin, t) : 0.0);
}

/* C(t): sum of what is above t >= 0. */
static double excess(const struct view *view, int side, double t)
{
    struct place place = place_of(view, side, t);
    double sum = place.beyond->sum - t * place.beyond->count;

    if (place.bin.count > 0.0)
        sum += spread_excess(&place.bin, t);
    return sum > 0.0 ? sum : 0.0;
}

/* A lower bound of the squared error that is left when what is above t > 0 becomes t. */
static double clip_error(const struct view *view, int side, double t)
{
    const struct tail *tail = place_of(view, side, t).beyond;

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

    if (type == BSQ_INPUT_TYPE_UNSIGNED)
        return (struct codes){{total, 0}, total};
    if (type == BSQ_INPUT_TYPE_SIGNED)
        return (struct codes){{total / 2, total / 2 + 1}, total};
    return (struct codes){{total, total}, total};
}

static double next_excess(const struct view *view, const struct codes *codes, int side, int32_t used,
                          double step)
{
    return used < codes->most[side] ? excess(view, side, (used + 0.5) * step) : 0.0;
}

/* By how much a step lowers the squared error below sum x^2, and the number of negative codes with which it does. */
static double step_gain(const struct view *view, const struct codes *codes, double step,
                        int32_t *negative)
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

/* The best step between 'low' and 'high', by golden section. */
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

/* Whether clipping alone costs more than 'error' from this step downwards. */
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

/* The step of least squared error. 'start' is what it must not fall behind. */
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

/* The least step, as a float32 value, that leaves at most 'allowed' values beyond reach[side] steps of zero; sides
 * with reach 0 do not count. */
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

/* Limits of a range with a zero point that leaves 'allowed' values outside, as evenly on both sides as there are
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

/* The step that leaves 'allowed' values outside of the range, 0 when that range is empty, and the zero point. */
static double range_step(const struct view *view, const struct codes *codes, int32_t type,
                         double allowed, int32_t *zero_point)
{
    double limits[SIDES];

    *zero_point = 0;
    if (type != BSQ_INPUT_TYPE_ZERO_POINT)
        return least_step(view, codes->most, allowed);
    zero_point_limits(view, allowed, limits);

    double width = limits[POSITIVE] + limits[NEGATIVE], step = nearest_scale(width / codes->total);

    if (width > 0.0)
        *zero_point = (int32_t)clamp(round_even(limits[NEGATIVE] / step), 0.0, codes->total);
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

/* The type that the options ask for, or that the values of all 'count' views need. */
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

    if (quantizer.bits == 0)
        return (struct bsq_quantizer){0};
    quantizer.type = type_for(histogram->views, 1, options);
    (void)choose(histogram->views, options, &quantizer);
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
