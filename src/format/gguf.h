/* Blocks of GGUF files: what all of them have in common. */
#ifndef BSQ_FORMAT_GGUF_H
#define BSQ_FORMAT_GGUF_H

#include <stdbool.h>
#include <stdint.h>

enum { BSQ_GGUF_MOST_CODES = 256, BSQ_GGUF_MOST_SCALES = 16 };

/* A block taken apart. */
struct bsq_gguf_block {
    uint8_t fields[BSQ_GGUF_MOST_CODES]; /* codes from 0 on: those around 0 are moved up by 2^(bits-1) */
    float scales[BSQ_GGUF_MOST_SCALES];
    float offsets[BSQ_GGUF_MOST_SCALES];
    float shared; /* read: what scales are multiples of, or the scale */
};

/* A kind of block: how many codes and bytes it has, and its two functions. Each returns NULL, or what is wrong. */
struct bsq_gguf_layout {
    int length, bytes;
    const char *(*write)(const struct bsq_gguf_block *block, unsigned char *bytes);
    const char *(*read)(const unsigned char *bytes, struct bsq_gguf_block *block);
};

/* float16 numbers of blocks: false when x is none; what is read may be NaN or infinite. */
bool bsq_gguf_write_half(float x, unsigned char *bytes);
float bsq_gguf_read_half(const unsigned char *bytes);

#endif
