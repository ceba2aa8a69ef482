// Stands in for calls of the library that are not there yet, for Q4_0, Q5_0 and Q8_0 alone. To be deleted with them.
#ifndef BSQ_GGUF_INTERIM_HPP
#define BSQ_GGUF_INTERIM_HPP

#include "bsq.h"

enum {
    BSQ_FORMAT_GGUF_Q4_0 = 3002,
    BSQ_FORMAT_GGUF_Q4_1 = 3003,
    BSQ_FORMAT_GGUF_Q5_0 = 3006,
    BSQ_FORMAT_GGUF_Q5_1 = 3007,
    BSQ_FORMAT_GGUF_Q8_0 = 3008,
    BSQ_FORMAT_GGUF_Q2_K = 3010,
    BSQ_FORMAT_GGUF_Q3_K = 3011,
    BSQ_FORMAT_GGUF_Q4_K = 3012,
    BSQ_FORMAT_GGUF_Q5_K = 3013,
    BSQ_FORMAT_GGUF_Q6_K = 3014,
    BSQ_FORMAT_GGUF_IQ4_NL = 3020,
    BSQ_FORMAT_GGUF_IQ4_XS = 3023,
    BSQ_FORMAT_GGUF_TQ2_0 = 3035,
    BSQ_FORMAT_GGUF_MXFP4 = 3039
};

bsq_status_t interim_options_for_format(int32_t format, bsq_options_t *options, bsq_error_t *error);
bsq_status_t interim_packed_size(const bsq_tensor_t *tensor, int32_t format, size_t *size, bsq_error_t *error);
bsq_status_t interim_pack(const bsq_tensor_t *tensor, int32_t format, void *buffer, size_t size, bsq_error_t *error);
bsq_status_t interim_unpack(int32_t format, const void *packed, size_t size, bsq_tensor_t *tensor, bsq_error_t *error);
bsq_status_t interim_dequantize(const bsq_tensor_t *tensor, float *weights, size_t count, bsq_error_t *error);

#define bsq_options_for_format interim_options_for_format
#define bsq_tensor_packed_size interim_packed_size
#define bsq_tensor_pack interim_pack
#define bsq_tensor_unpack interim_unpack
#define bsq_tensor_dequantize interim_dequantize

#endif
