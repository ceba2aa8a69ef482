/* Rows of a batch: copied from activations in any layout into a tile, in the order of the weights.
 *
 * Rows are taken in short runs of neighbours on one line of the output. They share the lines of the input that they
 * read, and which taps fall into padding is found once for a run, so the inner loops only copy. */
#include "stats/gather.h"

#include "kernels/kernels.h"

#include <string.h>

/* Rows in a run: few enough that the lines that are written stay in the first cache. */
enum { RUN = 16 };

/* Output channels that are copied together: a cache line of the tile. */
enum { TARGET_BLOCK = 16 };

struct run {
    int64_t count;
    const float *sample;
    int64_t origin[2];        /* input coordinate of tap 0 in the two outer dimensions */
    int64_t begin[2], end[2]; /* taps there that do not fall into padding */
    int64_t x[RUN];           /* the same along the line, for each row */
    int64_t x_begin[RUN], x_end[RUN];
    bool whole; /* no tap of any row falls into padding */
};

static bool is_channels_last(const struct bsq_geometry *geometry)
{
    return geometry->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST || geometry->dims == 0;
}

/* Fills in where columns are read, for rows without padding. */
static void plan_columns(const struct bsq_gather *gather, int64_t *column)
{
    const struct bsq_geometry *geometry = gather->geometry;
    bool channel_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW;
    int64_t line = gather->in[2], plane = gather->in[1] * line;
    int64_t channel_stride = channel_major ? geometry->kernel_volume : 1;
    int64_t tap_stride = channel_major ? 1 : geometry->group_inputs, tap = 0;

    for (int32_t d = 0; d < 3; d++)
        if ((gather->kernel[d] - 1) * gather->dilation[d] >= gather->in[d])
            return; /* every row touches padding, and offsets might not fit */
    for (int64_t z = 0; z < gather->kernel[0]; z++)
        for (int64_t y = 0; y < gather->kernel[1]; y++)
            for (int64_t x = 0; x < gather->kernel[2]; x++, tap++)
                for (int64_t c = 0; c < geometry->group_inputs; c++)
                    column[c * channel_stride + tap * tap_stride] =
                        (c * gather->in[0] + z * gather->dilation[0]) * plane + y * gather->dilation[1] * line +
                        x * gather->dilation[2];
}

void bsq_gather_init(struct bsq_gather *gather, const struct bsq_geometry *geometry, const bsq_batch_t *batch,
                     const float *bias, const int64_t output[3], int64_t positions, int64_t *column)
{
    gather->geometry = geometry;
    gather->input = batch->input;
    gather->target = batch->target;
    gather->bias = bias;
    gather->positions = positions;
    gather->sample = geometry->in_channels;
    for (int32_t d = 0; d < 3; d++) {
        int32_t from = d - (3 - geometry->dims);
        bool own = from >= 0;

        gather->kernel[d] = own ? geometry->kernel[from] : 1;
        gather->stride[d] = own ? geometry->stride[from] : 1;
        gather->dilation[d] = own ? geometry->dilation[from] : 1;
        gather->pad[d] = own ? geometry->pad_begin[from] : 0;
        gather->in[d] = own ? batch->spatial[from] : 1;
        gather->out[d] = own ? output[from] : 1;
        gather->sample *= gather->in[d];
    }
    gather->column = column;
    if (!is_channels_last(geometry))
        plan_columns(gather, column);
}

/* Finds the taps k with 0 <= origin + k * dilation < extent. */
static void find_taps(const struct bsq_gather *gather, int32_t d, int64_t origin, int64_t *begin, int64_t *end)
{
    int64_t dilation = gather->dilation[d], inside = gather->in[d] - 1 - origin;

    *begin = origin < 0 ? (-origin - 1) / dilation + 1 : 0;
    *end = inside < 0 ? 0 : inside / dilation + 1;
    if (*end > gather->kernel[d])
        *end = gather->kernel[d];
    if (*begin > *end)
        *begin = *end;
}

/* Finds the run that starts at row index[0]; at most 'count' rows. */
static void start_run(const struct bsq_gather *gather, const int64_t *index, int64_t count, struct run *run)
{
    int64_t sample = index[0] / gather->positions, position = index[0] % gather->positions;
    int64_t along = position % gather->out[2], line = position / gather->out[2];
    int64_t outer[2] = {line / gather->out[1], line % gather->out[1]};
    int64_t most = gather->out[2] - along;
    bool whole_line = true;

    if (most > count)
        most = count;
    if (most > RUN)
        most = RUN;
    run->count = 1;
    while (run->count < most && index[run->count] == index[0] + run->count)
        run->count++;
    run->sample = gather->input + sample * gather->sample;
    run->whole = true;
    for (int32_t d = 0; d < 2; d++) {
        run->origin[d] = outer[d] * gather->stride[d] - gather->pad[d];
        find_taps(gather, d, run->origin[d], &run->begin[d], &run->end[d]);
        run->whole &= run->end[d] - run->begin[d] == gather->kernel[d];
    }
    for (int64_t i = 0; i < run->count; i++) {
        bool all;

        run->x[i] = (along + i) * gather->stride[2] - gather->pad[2];
        find_taps(gather, 2, run->x[i], &run->x_begin[i], &run->x_end[i]);
        all = run->x_end[i] - run->x_begin[i] == gather->kernel[2];
        if (i == 0)
            whole_line = all;
        else if (all != whole_line)
            run->count = i; /* what touches padding does not hold up the rest */
    }
    run->whole &= whole_line;
}

/* Clears rows that touch padding, which reads as zero, before the taps that do not are copied. */
static void clear_padded(const struct bsq_gather *gather, const struct run *run, float *rows)
{
    if (!run->whole)
        memset(rows, 0, (size_t)(run->count * gather->geometry->fan_in) * sizeof *rows);
}

/* Copies rows without padding: every column of the tile reads a line of the input from a place of its own on. */
static void copy_columns(const struct bsq_gather *gather, const struct run *run, const float *channels, float *rows)
{
    int64_t n = gather->geometry->fan_in;
    const float *first = channels + (run->origin[0] * gather->in[1] + run->origin[1]) * gather->in[2] + run->x[0];

    bsq_kernels()->gather(first, gather->column, gather->stride[2], run->count, n, rows, n);
}

/* Copies every row's taps along one line of one channel. */
static void copy_line(const struct bsq_gather *gather, const struct run *run, const float *line, float *rows,
                      int64_t tap_stride)
{
    for (int64_t i = 0; i < run->count; i++)
        for (int64_t k = run->x_begin[i]; k < run->x_end[i]; k++)
            rows[i * gather->geometry->fan_in + k * tap_stride] = line[run->x[i] + k * gather->dilation[2]];
}

static void copy_channels_first(const struct bsq_gather *gather, const struct run *run, int64_t group, float *rows)
{
    const struct bsq_geometry *geometry = gather->geometry;
    bool channel_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW;
    int64_t channel_stride = channel_major ? geometry->kernel_volume : 1;
    int64_t tap_stride = channel_major ? 1 : geometry->group_inputs;
    int64_t plane = gather->in[0] * gather->in[1] * gather->in[2];
    const float *first = run->sample + group * geometry->group_inputs * plane;

    if (run->whole) {
        copy_columns(gather, run, first, rows);
        return;
    }
    for (int64_t c = 0; c < geometry->group_inputs; c++)
        for (int64_t z = run->begin[0]; z < run->end[0]; z++)
            for (int64_t y = run->begin[1]; y < run->end[1]; y++) {
                int64_t depth = run->origin[0] + z * gather->dilation[0];
                int64_t height = run->origin[1] + y * gather->dilation[1];
                const float *line = first + c * plane + (depth * gather->in[1] + height) * gather->in[2];
                int64_t tap = (z * gather->kernel[1] + y) * gather->kernel[2];

                copy_line(gather, run, line, rows + c * channel_stride + tap * tap_stride, tap_stride);
            }
}

/* Copies the channels of one group at 'taps' neighbouring taps. */
static void copy_pixels(const struct bsq_gather *gather, int64_t taps, const float *from, float *to)
{
    const struct bsq_geometry *geometry = gather->geometry;
    bool tap_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OHWI || geometry->kernel_volume == 1;
    int64_t step = gather->dilation[2] * geometry->in_channels, inputs = geometry->group_inputs;
    int64_t channel_stride = tap_major ? 1 : geometry->kernel_volume, tap_stride = tap_major ? inputs : 1;

    if (tap_major && step == inputs) {
        memcpy(to, from, (size_t)(taps * inputs) * sizeof *to);
        return;
    }
    if (inputs == 1 && tap_stride == 1) { /* depthwise */
        for (int64_t k = 0; k < taps; k++)
            to[k] = from[k * step];
        return;
    }
    for (int64_t k = 0; k < taps; k++)
        for (int64_t c = 0; c < inputs; c++)
            to[c * channel_stride + k * tap_stride] = from[k * step + c];
}

static void copy_channels_last(const struct bsq_gather *gather, const struct run *run, int64_t group, float *rows)
{
    const struct bsq_geometry *geometry = gather->geometry;
    int64_t tap_stride = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OHWI ? geometry->group_inputs : 1;

    for (int64_t i = 0; i < run->count; i++)
        for (int64_t z = run->begin[0]; z < run->end[0]; z++)
            for (int64_t y = run->begin[1]; y < run->end[1]; y++) {
                int64_t depth = run->origin[0] + z * gather->dilation[0];
                int64_t height = run->origin[1] + y * gather->dilation[1];
                int64_t x = run->x[i] + run->x_begin[i] * gather->dilation[2];
                int64_t pixel = (depth * gather->in[1] + height) * gather->in[2] + x;
                int64_t tap = (z * gather->kernel[1] + y) * gather->kernel[2] + run->x_begin[i];

                if (run->x_begin[i] < run->x_end[i])
                    copy_pixels(gather, run->x_end[i] - run->x_begin[i],
                                run->sample + pixel * geometry->in_channels + group * geometry->group_inputs,
                                rows + i * geometry->fan_in + tap * tap_stride);
            }
}

void bsq_gather_inputs(const struct bsq_gather *gather, const int64_t *index, int64_t count, float *x,
                       int64_t group_stride)
{
    const struct bsq_geometry *geometry = gather->geometry;
    struct run run;

    for (int64_t row = 0; row < count; row += run.count) {
        start_run(gather, index + row, count - row, &run);
        for (int64_t g = 0; g < geometry->groups; g++) {
            float *rows = x + g * group_stride + row * geometry->fan_in;

            clear_padded(gather, &run, rows);
            if (is_channels_last(geometry))
                copy_channels_last(gather, &run, g, rows);
            else
                copy_channels_first(gather, &run, g, rows);
        }
    }
}

/* Finds where row 'index' starts in the targets; its channels are 'positions' or 1 apart. */
static const float *target_row(const struct bsq_gather *gather, int64_t index, bool channels_last)
{
    int64_t channels = gather->geometry->out_channels;
    int64_t sample = index / gather->positions, position = index % gather->positions;

    if (channels_last)
        return gather->target + index * channels;
    return gather->target + sample * channels * gather->positions + position;
}

void bsq_gather_targets(const struct bsq_gather *gather, const int64_t *index, int64_t count, float *y)
{
    int64_t channels = gather->geometry->out_channels;
    bool channels_last = gather->geometry->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    int64_t stride = channels_last ? 1 : gather->positions;

    for (int64_t first = 0; first < channels; first += TARGET_BLOCK) {
        int64_t end = first + TARGET_BLOCK < channels ? first + TARGET_BLOCK : channels;

        for (int64_t i = 0; i < count; i++) {
            const float *from = target_row(gather, index[i], channels_last);

            for (int64_t m = first; m < end; m++)
                y[i * channels + m] = gather->bias ? from[m * stride] - gather->bias[m] : from[m * stride];
        }
    }
}
