/* Layouts of quantized weights in memory: a row of a table for each, a file for each family. docs/formats.md has them
 * byte by byte. */
#ifndef BSQ_FORMAT_FORMAT_H
#define BSQ_FORMAT_FORMAT_H

#include "base/status.h"

#include <stdbool.h>

/* One layout. Its functions get tensors whose description was checked; what they read or write of them are the buffers
 * that the layout holds. */
struct bsq_format {
    int32_t id; /* BSQ_FORMAT_... */
    const char *name;
    int32_t most_bits;
    bool symmetric; /* cannot hold -2^(bits-1) */
    /* False when the number does not fit. */
    bool (*size)(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t *bytes);
    void (*pack)(const struct bsq_format *format, const bsq_tensor_t *tensor, unsigned char *packed);
    /* Writes the tensor's buffers only after all of 'packed' was found to be valid. */
    bsq_status_t (*unpack)(const struct bsq_format *format, const bsq_tensor_t *tensor, const unsigned char *packed,
                           struct bsq_message *message);
};

/* The row of BSQ_FORMAT_... 'id', or NULL. */
const struct bsq_format *bsq_format_find(int32_t id);

/* The exact number of bytes of a tensor of these extents; tensors here were read by bsq_tensor_read. */
bsq_status_t bsq_format_size(const bsq_tensor_t *tensor, int32_t id, size_t *size, struct bsq_message *message);

/* 'size' must be exact; writes every byte of 'packed'. */
bsq_status_t bsq_format_pack(const bsq_tensor_t *tensor, int32_t id, void *packed, size_t size,
                             struct bsq_message *message);

/* 'size' must be exact; fills the buffers of 'tensor'. */
bsq_status_t bsq_format_unpack(int32_t id, const void *packed, size_t size, const bsq_tensor_t *tensor,
                               struct bsq_message *message);

/* integers.c */
bool bsq_integers_size(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t *bytes);
void bsq_integers_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, unsigned char *packed);
bsq_status_t bsq_integers_unpack(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                 const unsigned char *packed, struct bsq_message *message);

/* planes.c */
bool bsq_ternary_size(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t *bytes);
void bsq_ternary_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, unsigned char *packed);
bsq_status_t bsq_ternary_unpack(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                const unsigned char *packed, struct bsq_message *message);
bool bsq_signed_size(const struct bsq_format *format, const bsq_tensor_t *tensor, int64_t *bytes);
void bsq_signed_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, unsigned char *packed);
bsq_status_t bsq_signed_unpack(const struct bsq_format *format, const bsq_tensor_t *tensor, const unsigned char *packed,
                               struct bsq_message *message);

#endif
