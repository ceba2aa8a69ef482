/* What a layer description means: checked extents, and where the inputs of a row lie. */
#ifndef BSQ_BASE_GEOMETRY_H
#define BSQ_BASE_GEOMETRY_H

#include "base/status.h"

#include <stdbool.h>

/* A description that has been checked. A linear layer is a convolution with a 1-wide kernel over no space: dims = 0. */
struct bsq_geometry {
    int64_t groups;
    int64_t in_channels;   /* of the whole layer */
    int64_t out_channels;  /* M */
    int64_t group_inputs;  /* in_channels / groups */
    int64_t group_outputs; /* M / groups */
    int64_t kernel_volume;
    int64_t fan_in;                                                      /* n = group_inputs * kernel_volume */
    int64_t kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3]; /* 1, 1, 1, 0, 0 from dims on */
    int32_t dims;
    int32_t weight_layout;
    int32_t activation_layout;
    int32_t reserved;
};

/* Checks 'desc' (any struct_size that is valid) and fills 'geometry'. */
bsq_status_t bsq_geometry_init(struct bsq_geometry *geometry, const bsq_layer_desc_t *desc,
                               struct bsq_message *message);

/* Output extents for input extents 'spatial' (3 entries from dims on are 1 in 'output'), and the number of output
 * positions; SHAPE when the kernel does not fit or a count overflows. */
bsq_status_t bsq_geometry_output(const struct bsq_geometry *geometry, const int64_t spatial[3], int64_t output[3],
                                 int64_t *positions, struct bsq_message *message);

/* The input channel, counted in the layer, that input 'position' (0..n-1) of a group's rows comes from. */
int64_t bsq_geometry_channel(const struct bsq_geometry *geometry, int64_t group, int64_t position);

/* Says whether two layers gather the same rows, in the same order of inputs, from one tensor in whatever layout it is.
 * Layers that look at one pixel at a time are linear layers over pixels, so these agree among each other. */
bool bsq_geometry_same_rows(const struct bsq_geometry *a, const struct bsq_geometry *b);

/* Says whether two layers describe their inputs in the same way. */
bool bsq_geometry_same_input(const struct bsq_geometry *a, const struct bsq_geometry *b);

#endif
