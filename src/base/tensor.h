/* Quantized weights as a host holds them: what a description asks for. */
#ifndef BSQ_BASE_TENSOR_H
#define BSQ_BASE_TENSOR_H

#include "base/grid.h"
#include "base/status.h"

#include <stdbool.h>

/* Counts the elements of each buffer of a tensor, 0 where its grid has no such thing. */
struct bsq_tensor_counts {
    int64_t codes, scales, zero_points, offsets, levels, input_order;
};

/* Counts of a tensor that was read with bsq_tensor_read; SHAPE when they are too large for this machine. */
bsq_status_t bsq_tensor_count(const bsq_tensor_t *tensor, struct bsq_tensor_counts *counts,
                              struct bsq_message *message);

/* The grid of a tensor; a host's table is borrowed from it. */
void bsq_tensor_grid(const bsq_tensor_t *tensor, struct bsq_grid *grid);

/* SIZE when a buffer that is given has another count. */
bsq_status_t bsq_tensor_check_counts(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                     struct bsq_message *message);

/* ARGUMENT when one of the buffers that the tensor's grid needs is missing, SIZE for their counts. */
bsq_status_t bsq_tensor_check_buffers(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                      struct bsq_message *message);

/* 'status' with the first code that is not on the tensor's grid; 'symmetric' also forbids the lowest code of the full
 * grid. 'name' says in the text what cannot hold it. */
bsq_status_t bsq_tensor_check_codes(const bsq_tensor_t *tensor, int64_t count, bool symmetric, const char *name,
                                    bsq_status_t status, struct bsq_message *message);

/* Tells whether a number is a scale or an offset of the tensor's format and signs, where they stand alone. */
bool bsq_tensor_takes_scale(const bsq_tensor_t *tensor, float scale);
bool bsq_tensor_takes_offset(const bsq_tensor_t *tensor, float offset);

/* RANGE with the first scale or offset that is not a value of its format, with the first super-group that is not of two
 * levels, or with the first zero point that is no code; buffers were checked. */
bsq_status_t bsq_tensor_check_scales(const bsq_tensor_t *tensor, const struct bsq_tensor_counts *counts,
                                     struct bsq_message *message);

#endif
