/* Structs that the host fills: struct_size, defaults, bounds. */
#ifndef BSQ_BASE_OPTIONS_H
#define BSQ_BASE_OPTIONS_H

#include "base/geometry.h"
#include "base/status.h"

/* Reads a host's struct of any version into our own. 'own' already holds the defaults and its struct_size; 'from'
 * must have at least 'least' bytes (the first version of the struct). A longer 'from' must be zero behind our end.
 * 'name' is for the text. */
bsq_status_t bsq_struct_read(void *own, size_t own_size, size_t least, const void *from, const char *name,
                             struct bsq_message *message);

/* Writes our struct into a host's of any version, up to the smaller of both sizes; the host's struct_size stays. */
bsq_status_t bsq_struct_write(void *to, const void *own, size_t own_size, size_t least, const char *name,
                              struct bsq_message *message);

/* Options (NULL: defaults), completed and checked against their bounds. */
bsq_status_t bsq_options_read(bsq_options_t *own, const bsq_options_t *from, struct bsq_message *message);

/* What can only be checked when the layer is known (group_size). */
bsq_status_t bsq_options_check_layer(const bsq_options_t *options, const struct bsq_geometry *geometry,
                                     struct bsq_message *message);

bsq_status_t bsq_batch_read(bsq_batch_t *own, const bsq_batch_t *from, struct bsq_message *message);
bsq_status_t bsq_moments_read(bsq_moments_t *own, const bsq_moments_t *from, struct bsq_message *message);
bsq_status_t bsq_moments_buffers_read(bsq_moments_buffers_t *own, const bsq_moments_buffers_t *from,
                                      struct bsq_message *message);
bsq_status_t bsq_desc_read(bsq_layer_desc_t *own, const bsq_layer_desc_t *from, struct bsq_message *message);
bsq_status_t bsq_input_quantizer_read(bsq_input_quantizer_t *own, const bsq_input_quantizer_t *from,
                                      struct bsq_message *message);

/* Extra check of an error struct is not needed: bsq_error_store reads no more than its struct_size. */

/* Lowest and highest code of a number of bits in a range (BSQ_RANGE_...). */
void bsq_code_range(int32_t bits, int32_t range, int32_t *lowest, int32_t *highest);

#endif
