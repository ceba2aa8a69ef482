/* The quantizer of a layer's inputs: its codes, its checks, its channels, and how a value is quantized. */
#include "input/quantizer.h"

#include "kernels/kernels.h"
#include "kernels/rounding.h"

#include <float.h>
#include <string.h>

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

/* Lays out channels behind their struct and returns the bytes of the whole; NULL only counts. */
static size_t lay_out(struct bsq_input_channels *channels, int64_t count)
{
    struct bsq_carver carver = {(char *)channels, 0};

    (void)bsq_carve(&carver, 1, sizeof *channels);

    double *scale = bsq_carve(&carver, count, sizeof *scale);
    int32_t *zero_point = bsq_carve(&carver, count, sizeof *zero_point);

    if (channels) {
        channels->count = count;
        channels->scale = scale;
        channels->zero_point = zero_point;
    }
    return carver.used;
}

size_t bsq_input_channels_bytes(int64_t count)
{
    return lay_out(NULL, count);
}

struct bsq_input_channels *bsq_input_channels_create(const struct bsq_memory *memory, int64_t count)
{
    struct bsq_input_channels *channels = bsq_memory_get_zeroed(memory, 1, bsq_input_channels_bytes(count));

    if (!channels)
        return NULL;
    (void)lay_out(channels, count);
    atomic_init(&channels->references, 1);
    channels->memory = *memory;
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

/* Checks that every code has a value that float32 holds, its zero point and scale being these. */
static bool holds_values(const struct bsq_quantizer *quantizer, double scale, int32_t zero_point)
{
    int32_t lowest, highest;

    bsq_quantizer_codes(quantizer, &lowest, &highest);
    return scale * (highest - zero_point) <= FLT_MAX && scale * (zero_point - lowest) <= FLT_MAX;
}

bsq_status_t bsq_quantizer_check_values(const struct bsq_quantizer *quantizer, struct bsq_message *message)
{
    const struct bsq_input_channels *channels = quantizer->channels;

    if (!channels && !holds_values(quantizer, quantizer->scale, quantizer->zero_point))
        return bsq_fail(message, BSQ_E_NUMERIC, "input quantizer: with a scale of %g some codes are beyond float32",
                        quantizer->scale);
    for (int64_t c = 0; channels && c < channels->count; c++)
        if (!holds_values(quantizer, channels->scale[c], channels->zero_point[c]) ||
            !holds_values(quantizer, quantizer->scale, channels->zero_point[c]))
            return bsq_fail(message, BSQ_E_NUMERIC,
                            "channel %lld: input quantizer: with scales of %g, and %g of all channels, some codes are "
                            "beyond float32",
                            (long long)c, channels->scale[c], quantizer->scale);
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

                *x = (float)(quantizer->scale * bsq_round_even(bsq_clamp((double)*x / scale[c], low, high)));
            }
}
