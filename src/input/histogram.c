/* Streaming histograms of a layer's inputs.
 *
 * The histogram of a tensor has one bin for each sign, exponent and upper 7 mantissa bits of a float, so it needs to
 * know no range in advance. Those of channels are smaller: upper 4 mantissa bits, and a window of 24 exponents that
 * ends with the largest magnitude of the channel; what is below it is as good as zero, and is only counted. A bin
 * counts its values and keeps the smallest, the largest and the sum of their lower bits: all of them integers, so the
 * order of the values leaves no trace. Inside a bin the density is taken as uniform from the smallest value to the mean
 * and from the mean to the largest; a bin that saw a single value is exact. */
#include "input/private.h"

#include "kernels/kernels.h"

/* How fine a histogram is: bits of a float that do not choose its bin, and bins of a side. */
enum { TENSOR_LOW_BITS = 16, TENSOR_BINS = 0x8000 };
enum { CHANNEL_LOW_BITS = 19, CHANNEL_OCTAVE = 16, CHANNEL_BINS = 24 * CHANNEL_OCTAVE };

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

/* Gives the bins of a side, to be filled. */
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

/* Adds 'count' values by their bits. */
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

/* Adds values. Zeros, of which activations have many, are set aside: values that change the same bin wait for each
 * other. */
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
