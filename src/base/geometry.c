/* What a layer description means: checked extents, and how many output positions an input has. */
#include "base/geometry.h"

#include "base/blas.h"
#include "base/memory.h"
#include "base/options.h"

#include <string.h>

static bsq_status_t check_kinds(const bsq_layer_desc_t *desc, struct bsq_message *message)
{
    if (desc->kind != BSQ_KIND_LINEAR && desc->kind != BSQ_KIND_CONV)
        return bsq_fail(message, BSQ_E_ARGUMENT, "kind is %d, must be BSQ_KIND_LINEAR or BSQ_KIND_CONV",
                        (int)desc->kind);
    if (desc->kind == BSQ_KIND_CONV && (desc->spatial_dims < 1 || desc->spatial_dims > 3))
        return bsq_fail(message, BSQ_E_RANGE, "spatial_dims is %d, must be 1..3", (int)desc->spatial_dims);
    if (desc->weight_layout != BSQ_WEIGHT_LAYOUT_OIHW && desc->weight_layout != BSQ_WEIGHT_LAYOUT_OHWI)
        return bsq_fail(message, BSQ_E_ARGUMENT, "weight_layout %d is unknown", (int)desc->weight_layout);
    if (desc->activation_layout != BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST &&
        desc->activation_layout != BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST)
        return bsq_fail(message, BSQ_E_ARGUMENT, "activation_layout %d is unknown", (int)desc->activation_layout);
    return BSQ_OK;
}

static bsq_status_t check_channels(const bsq_layer_desc_t *desc, struct bsq_message *message)
{
    if (desc->in_channels < 1 || desc->out_channels < 1 || desc->groups < 1)
        return bsq_fail(message, BSQ_E_SHAPE, "in_channels %lld, out_channels %lld and groups %lld must be positive",
                        (long long)desc->in_channels, (long long)desc->out_channels, (long long)desc->groups);
    if (desc->kind == BSQ_KIND_LINEAR && desc->groups != 1)
        return bsq_fail(message, BSQ_E_SHAPE, "groups is %lld, a linear layer has 1", (long long)desc->groups);
    if (desc->in_channels % desc->groups || desc->out_channels % desc->groups)
        return bsq_fail(message, BSQ_E_SHAPE, "in_channels %lld and out_channels %lld must be multiples of groups %lld",
                        (long long)desc->in_channels, (long long)desc->out_channels, (long long)desc->groups);
    return BSQ_OK;
}

/* The taps of one dimension reach (kernel - 1) * dilation + 1 inputs. */
static bool reach(int64_t kernel, int64_t dilation, int64_t *extent)
{
    return bsq_extent_mul(kernel - 1, dilation, extent) && bsq_extent_add(*extent, 1, extent);
}

static bsq_status_t read_dimension(struct bsq_geometry *geometry, const bsq_layer_desc_t *desc, int32_t d,
                                   struct bsq_message *message)
{
    int64_t unused;

    if (desc->kernel[d] < 1 || desc->stride[d] < 1 || desc->dilation[d] < 1)
        return bsq_fail(message, BSQ_E_SHAPE, "kernel, stride and dilation of dimension %d must be positive", (int)d);
    if (desc->pad_begin[d] < 0 || desc->pad_end[d] < 0)
        return bsq_fail(message, BSQ_E_SHAPE, "padding of dimension %d is negative", (int)d);
    if (!reach(desc->kernel[d], desc->dilation[d], &unused) ||
        !bsq_extent_add(desc->pad_begin[d], desc->pad_end[d], &unused) ||
        !bsq_extent_mul(geometry->kernel_volume, desc->kernel[d], &geometry->kernel_volume))
        return bsq_fail(message, BSQ_E_SHAPE, "extents of dimension %d are too large", (int)d);
    geometry->kernel[d] = desc->kernel[d];
    geometry->stride[d] = desc->stride[d];
    geometry->dilation[d] = desc->dilation[d];
    geometry->pad_begin[d] = desc->pad_begin[d];
    geometry->pad_end[d] = desc->pad_end[d];
    return BSQ_OK;
}

/* Every product of extents that the library forms is below one of these, times a small number of bytes. */
static bool fits(const struct bsq_geometry *geometry)
{
    enum { MOST_BYTES = 64 };
    const int64_t most = (int64_t)(SIZE_MAX / 2 < INT64_MAX ? SIZE_MAX / 2 : INT64_MAX) / MOST_BYTES;
    int64_t inputs, squares, weights, tile;

    return bsq_extent_mul(geometry->in_channels, geometry->kernel_volume, &inputs) &&
           bsq_extent_mul(inputs, geometry->fan_in, &squares) && squares <= most &&
           bsq_extent_mul(geometry->out_channels, geometry->fan_in, &weights) && weights <= most &&
           bsq_extent_add(inputs, geometry->out_channels, &tile) && tile <= most / 512 && bsq_blas_fits(inputs) &&
           bsq_blas_fits(geometry->out_channels);
}

bsq_status_t bsq_geometry_init(struct bsq_geometry *geometry, const bsq_layer_desc_t *desc, struct bsq_message *message)
{
    bsq_layer_desc_t own;
    bsq_status_t status = bsq_desc_read(&own, desc, message);

    if (status != BSQ_OK || (status = check_kinds(&own, message)) != BSQ_OK ||
        (status = check_channels(&own, message)) != BSQ_OK)
        return status;
    memset(geometry, 0, sizeof *geometry);
    for (int32_t d = 0; d < 3; d++)
        geometry->kernel[d] = geometry->stride[d] = geometry->dilation[d] = 1;
    geometry->dims = own.kind == BSQ_KIND_CONV ? own.spatial_dims : 0;
    geometry->kernel_volume = 1;
    for (int32_t d = 0; d < geometry->dims; d++) {
        status = read_dimension(geometry, &own, d, message);
        if (status != BSQ_OK)
            return status;
    }
    geometry->groups = own.groups;
    geometry->in_channels = own.in_channels;
    geometry->out_channels = own.out_channels;
    geometry->group_inputs = own.in_channels / own.groups;
    geometry->group_outputs = own.out_channels / own.groups;
    geometry->weight_layout = own.weight_layout;
    geometry->activation_layout = own.activation_layout;
    if (!bsq_extent_mul(geometry->group_inputs, geometry->kernel_volume, &geometry->fan_in) || !fits(geometry))
        return bsq_fail(message, BSQ_E_SHAPE, "the layer is too large for this machine");
    return BSQ_OK;
}

static bsq_status_t output_extent(const struct bsq_geometry *geometry, int32_t d, int64_t input, int64_t *output,
                                  struct bsq_message *message)
{
    int64_t padded, taps;

    if (input < 1)
        return bsq_fail(message, BSQ_E_SHAPE, "spatial[%d] is %lld, must be positive", (int)d, (long long)input);
    if (!bsq_extent_add(input, geometry->pad_begin[d] + geometry->pad_end[d], &padded))
        return bsq_fail(message, BSQ_E_SHAPE, "spatial[%d] is too large", (int)d);
    (void)reach(geometry->kernel[d], geometry->dilation[d], &taps);
    if (padded < taps)
        return bsq_fail(message, BSQ_E_SHAPE, "the kernel reaches over %lld inputs of dimension %d, there are %lld",
                        (long long)taps, (int)d, (long long)padded);
    *output = (padded - taps) / geometry->stride[d] + 1;
    return BSQ_OK;
}

bsq_status_t bsq_geometry_output(const struct bsq_geometry *geometry, const int64_t spatial[3], int64_t output[3],
                                 int64_t *positions, struct bsq_message *message)
{
    *positions = 1;
    for (int32_t d = 0; d < 3; d++) {
        output[d] = 1;
        if (d >= geometry->dims)
            continue;

        bsq_status_t status = output_extent(geometry, d, spatial[d], &output[d], message);

        if (status != BSQ_OK)
            return status;
        if (!bsq_extent_mul(*positions, output[d], positions))
            return bsq_fail(message, BSQ_E_SHAPE, "too many output positions");
    }
    return BSQ_OK;
}

int64_t bsq_geometry_channel(const struct bsq_geometry *geometry, int64_t group, int64_t position)
{
    bool channel_major = geometry->weight_layout == BSQ_WEIGHT_LAYOUT_OIHW;

    return group * geometry->group_inputs +
           (channel_major ? position / geometry->kernel_volume : position % geometry->group_inputs);
}

/* Says whether each row is one pixel, and every pixel is a row. */
static bool is_pointwise(const struct bsq_geometry *geometry)
{
    for (int32_t d = 0; d < 3; d++)
        if (geometry->kernel[d] != 1 || geometry->stride[d] != 1 || geometry->pad_begin[d] || geometry->pad_end[d])
            return false;
    return true;
}

bool bsq_geometry_same_rows(const struct bsq_geometry *a, const struct bsq_geometry *b)
{
    bool any_order = a->kernel_volume == 1 || a->group_inputs == 1;

    if (a->groups != b->groups || a->in_channels != b->in_channels || a->kernel_volume != b->kernel_volume ||
        (!any_order && a->weight_layout != b->weight_layout))
        return false;
    if (is_pointwise(a) && is_pointwise(b))
        return true;
    for (int32_t d = 0; d < 3; d++)
        if (a->kernel[d] != b->kernel[d] || a->stride[d] != b->stride[d] || a->pad_begin[d] != b->pad_begin[d] ||
            a->pad_end[d] != b->pad_end[d] || (a->kernel[d] > 1 && a->dilation[d] != b->dilation[d]))
            return false;
    return a->dims == b->dims;
}

bool bsq_geometry_same_input(const struct bsq_geometry *a, const struct bsq_geometry *b)
{
    for (int32_t d = 0; d < 3; d++)
        if (a->kernel[d] != b->kernel[d] || a->stride[d] != b->stride[d] || a->dilation[d] != b->dilation[d] ||
            a->pad_begin[d] != b->pad_begin[d] || a->pad_end[d] != b->pad_end[d])
            return false;
    return a->groups == b->groups && a->in_channels == b->in_channels && a->dims == b->dims &&
           a->weight_layout == b->weight_layout && a->activation_layout == b->activation_layout;
}
