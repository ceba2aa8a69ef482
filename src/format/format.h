/* Layouts of quantized weights in memory: a row of a table for each, a file for each family. docs/formats.md has them
 * byte by byte. */
#ifndef BSQ_FORMAT_FORMAT_H
#define BSQ_FORMAT_FORMAT_H

#include "base/status.h"

#include <stdbool.h>

/* Which groups of inputs may share a scale. */
enum bsq_format_groups {
    BSQ_GROUPS_IGNORED,      /* codes alone: scales are not looked at */
    BSQ_GROUPS_ANY,          /* per tensor, channel or group */
    BSQ_GROUPS_FREE,         /* per channel or group */
    BSQ_GROUPS_CHANNEL,      /* per channel */
    BSQ_GROUPS_FIXED,        /* 'group' inputs */
    BSQ_GROUPS_32_64_128,    /* of these */
    BSQ_GROUPS_POWER_OF_TWO, /* 16 to 256 */
};

#define BSQ_GRID_BIT(grid) (UINT32_C(1) << ((grid)-BSQ_WEIGHT_GRID_SYMMETRIC))
#define BSQ_BIT(bits) (UINT32_C(1) << (bits))

/* Which tensors a format holds, and what options they need. */
struct bsq_format_needs {
    uint32_t bits, grids; /* sets of BSQ_BIT, BSQ_GRID_BIT */
    int32_t grid;         /* to solve on; 0: the host's where it is one of 'grids' */
    enum bsq_format_groups groups;
    int32_t group;        /* the only one, or the usual one */
    int32_t block;        /* fan_in must be a multiple of it, or 0 */
    int32_t scale_format; /* to solve for; 0: the host's of float32, float16 and bfloat16 */
    int32_t scale_signed; /* to solve with */
    int32_t scale_bits;   /* two-level scales */
    int32_t super_group;  /* of them */
    int32_t zero_point_least;
};

enum { BSQ_MOST_PARTS = 4 };

/* The parts of a packed tensor. */
struct bsq_parts {
    int32_t count;
    int64_t size; /* bytes up to the end of the last */
    bsq_part_t part[BSQ_MOST_PARTS];
};

/* One layout. Its functions get tensors whose description and buffers were checked; what they read or write of them are
 * the buffers that the layout holds. */
struct bsq_format {
    int32_t id; /* BSQ_FORMAT_... */
    const char *name;
    struct bsq_format_needs needs;
    int32_t width;      /* bits of a stored code, where that is not weight_bits */
    const void *layout; /* of the family's own */
    /* Lists the parts with bsq_parts_add; FORMAT for extents that the format cannot hold. */
    bsq_status_t (*describe)(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                             struct bsq_message *message);
    /* FORMAT for what cannot be held exactly; NULL of formats of codes alone. */
    bsq_status_t (*check)(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message);
    /* Writes a tensor that was checked; all bytes are 0 before, but with codes alone. */
    void (*pack)(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                 unsigned char *packed);
    /* Writes the tensor's buffers only after all of 'packed' was found to be valid. */
    bsq_status_t (*unpack)(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                           const unsigned char *packed, struct bsq_message *message);
    bool symmetric; /* cannot hold -2^(bits-1) */
};

/* The row of BSQ_FORMAT_... 'id', or NULL; the first one, and the one after a row, or NULL. */
const struct bsq_format *bsq_format_find(int32_t id);
const struct bsq_format *bsq_format_after(const struct bsq_format *format);

/* The parts of a tensor of this description; tensors here were read by bsq_tensor_read. */
bsq_status_t bsq_format_parts(const bsq_tensor_t *tensor, int32_t id, struct bsq_parts *parts,
                              struct bsq_message *message);

/* 'size' must be exact; writes every byte of 'packed'. */
bsq_status_t bsq_format_pack(const bsq_tensor_t *tensor, int32_t id, void *packed, size_t size,
                             struct bsq_message *message);

/* 'size' must be exact; fills the buffers of 'tensor', and its scale_unit where the format has one. */
bsq_status_t bsq_format_unpack(int32_t id, const void *packed, size_t size, bsq_tensor_t *tensor,
                               struct bsq_message *message);

/* Sets what a format needs in options that are not checked. */
bsq_status_t bsq_format_options(int32_t id, bsq_options_t *options, struct bsq_message *message);

/* FORMAT when a format does not hold tensors of this description. */
bsq_status_t bsq_needs_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message);

/* Appends a part of 'rank' extents; SHAPE when it is too large for this machine. */
bsq_status_t bsq_parts_add(struct bsq_parts *parts, const char *name, int32_t element_type, int32_t rank,
                           const int64_t *shape, struct bsq_message *message);

/* Counts the scales of a channel. */
int64_t bsq_format_groups_of(const bsq_tensor_t *tensor);

#endif
