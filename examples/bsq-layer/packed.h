/* The packed tensor: bytes for packed.npy, or a .safetensors file where the format has several parts. */
#ifndef BSQ_LAYER_PACKED_H
#define BSQ_LAYER_PACKED_H

#include "load.h"

/* A file's contents, malloc'ed. */
struct packed {
    const char *name; /* NULL: there is no such file */
    unsigned char *bytes;
    size_t size;
};

/* The packed tensor, packed.npy or packed.safetensors, and what ncnn's tools read: a line of its table of scales, and with
 * ncnn-gemm the rows of codes that the line names. */
enum { PACKED_TENSOR, PACKED_TABLE, PACKED_ROWS, PACKED_FILES };

/* The format of the packed tensor; 0 where none was asked for and the grid has none of codes alone. */
int32_t packed_format(const struct settings *settings);

/* Its name on the command line, NULL without one; text holds it. */
const char *packed_name(const struct settings *settings, char text[64]);

/* Says before the long work that the format does not hold such a layer. */
int check_packed(const struct work *work);

/* Packs a tensor. All return the exit status, after a message where that is not 0. */
int pack_result(const struct work *work, const bsq_tensor_t *tensor, struct packed files[PACKED_FILES]);

#endif
