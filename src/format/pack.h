/* Layouts of codes in memory: one table row and one pair of functions a format. docs/formats.md has them byte by byte. */
#ifndef BSQ_FORMAT_PACK_H
#define BSQ_FORMAT_PACK_H

#include "base/status.h"

/* Exact number of bytes of channels x fan_in codes of 'bits' bits. */
bsq_status_t bsq_pack_size(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, size_t *size,
                           struct bsq_message *message);

/* 'size' must be exact; writes every byte of 'packed'. */
bsq_status_t bsq_pack_codes(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const int8_t *codes,
                            void *packed, size_t size, struct bsq_message *message);
bsq_status_t bsq_unpack_codes(int32_t format, int32_t bits, int64_t channels, int64_t fan_in, const void *packed,
                              size_t size, int8_t *codes, struct bsq_message *message);

#endif
