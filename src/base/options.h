/* Structs that the host fills: struct_size, defaults, bounds. */
#ifndef BSQ_BASE_OPTIONS_H
#define BSQ_BASE_OPTIONS_H

#include "base/geometry.h"
#include "base/grid.h"
#include "base/status.h"

/* Bytes of the first version of each struct, the least that is accepted: pinned numbers, so that appending a field does
 * not shut out programs that were built before. 'words' is how many fields are pointers or size_t. */
#define BSQ_FIRST(words, bytes) ((words) * sizeof(void *) + (bytes))
enum {
    BSQ_FIRST_ERROR = BSQ_FIRST(3, 8),
    BSQ_FIRST_OPTIONS = BSQ_FIRST(10, 88),
    BSQ_FIRST_DESC = BSQ_FIRST(1, 160),
    BSQ_FIRST_INFO = BSQ_FIRST(1, 40),
    BSQ_FIRST_BATCH = BSQ_FIRST(4, 40),
    BSQ_FIRST_QUANTIZER = BSQ_FIRST(1, 24),
    BSQ_FIRST_MOMENTS = BSQ_FIRST(6, 16),
    BSQ_FIRST_MOMENTS_BUFFERS = BSQ_FIRST(6, 16),
    BSQ_FIRST_STATS_INFO = BSQ_FIRST(1, 232),
    BSQ_FIRST_REPORT = BSQ_FIRST(1, 200),
    BSQ_FIRST_STAGE = BSQ_FIRST(1, 40),
    BSQ_FIRST_CHANNEL = BSQ_FIRST(1, 80),
    BSQ_FIRST_TENSOR = BSQ_FIRST(6, 80),
    BSQ_FIRST_PART = BSQ_FIRST(2, 56),
    BSQ_FIRST_NORM = BSQ_FIRST(1, 16),
    BSQ_FIRST_ALLOCATION = BSQ_FIRST(1, 32)
};

/* No version will ever be longer; a larger struct_size was never set, and nothing is read by it. */
enum { BSQ_LONGEST_STRUCT = 1 << 16 };

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

/* Checks what needs the layer (group_size). */
bsq_status_t bsq_options_check_layer(const bsq_options_t *options, const struct bsq_geometry *geometry,
                                     struct bsq_message *message);

bsq_status_t bsq_batch_read(bsq_batch_t *own, const bsq_batch_t *from, struct bsq_message *message);

/* Reads a batch whose extents alone matter: its buffers may be missing. */
bsq_status_t bsq_batch_read_extents(bsq_batch_t *own, const bsq_batch_t *from, struct bsq_message *message);

bsq_status_t bsq_moments_read(bsq_moments_t *own, const bsq_moments_t *from, struct bsq_message *message);
bsq_status_t bsq_moments_buffers_read(bsq_moments_buffers_t *own, const bsq_moments_buffers_t *from,
                                      struct bsq_message *message);
bsq_status_t bsq_desc_read(bsq_layer_desc_t *own, const bsq_layer_desc_t *from, struct bsq_message *message);
bsq_status_t bsq_input_quantizer_read(bsq_input_quantizer_t *own, const bsq_input_quantizer_t *from,
                                      struct bsq_message *message);

/* Bits, grid, kind and format of scales within their bounds, extents positive, and group_size: n unless scales are of
 * groups. Buffers are not looked at. */
bsq_status_t bsq_tensor_read(bsq_tensor_t *own, const bsq_tensor_t *from, struct bsq_message *message);

/* How calls that take the caller's error struct begin: VERSION or ARGUMENT when it cannot be used. NULL is allowed. */
bsq_status_t bsq_error_check(const bsq_error_t *error, struct bsq_message *message);

#endif
