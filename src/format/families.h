/* The functions that rows of the table of formats name. */
#ifndef BSQ_FORMAT_FAMILIES_H
#define BSQ_FORMAT_FAMILIES_H

#include "format/format.h"

typedef bsq_status_t bsq_describe_fn(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                     struct bsq_parts *parts, struct bsq_message *message);
typedef bsq_status_t bsq_check_fn(const struct bsq_format *format, const bsq_tensor_t *tensor,
                                  struct bsq_message *message);
typedef void bsq_pack_fn(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                         unsigned char *packed);
typedef bsq_status_t bsq_unpack_fn(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                                   const unsigned char *packed, struct bsq_message *message);

/* integers.c */
bsq_describe_fn bsq_integers_describe;
bsq_pack_fn bsq_integers_pack;
bsq_unpack_fn bsq_integers_unpack;

/* planes.c */
bsq_describe_fn bsq_ternary_describe, bsq_signed_describe;
bsq_pack_fn bsq_ternary_pack, bsq_signed_pack;
bsq_unpack_fn bsq_ternary_unpack, bsq_signed_unpack;

/* onnx.c */
bsq_describe_fn bsq_onnx_describe, bsq_matmul_describe;
bsq_check_fn bsq_onnx_check, bsq_matmul_check;
bsq_pack_fn bsq_onnx_pack, bsq_matmul_pack;
bsq_unpack_fn bsq_onnx_unpack, bsq_matmul_unpack;

/* gguf.c, gguf_blocks.c, gguf_super.c */
struct bsq_gguf_layout;
extern const struct bsq_gguf_layout bsq_gguf_q4_0, bsq_gguf_q4_1, bsq_gguf_q5_0, bsq_gguf_q5_1, bsq_gguf_q8_0,
    bsq_gguf_iq4_nl, bsq_gguf_mxfp4, bsq_gguf_tq2_0;
extern const struct bsq_gguf_layout bsq_gguf_q2_k, bsq_gguf_q3_k, bsq_gguf_q4_k, bsq_gguf_q5_k, bsq_gguf_q6_k,
    bsq_gguf_iq4_xs;
bsq_describe_fn bsq_gguf_describe;
bsq_check_fn bsq_gguf_check;
bsq_pack_fn bsq_gguf_pack;
bsq_unpack_fn bsq_gguf_unpack;

/* gptq.c: int32 words that go down the inputs (GPTQ) or along the outputs (AWQ) */
bsq_describe_fn bsq_gptq_describe, bsq_awq_describe;
bsq_check_fn bsq_gptq_check, bsq_awq_check;
bsq_pack_fn bsq_gptq_pack, bsq_awq_pack;
bsq_unpack_fn bsq_gptq_unpack, bsq_awq_unpack;

/* mlx.c */
bsq_describe_fn bsq_mlx_describe;
bsq_check_fn bsq_mlx_check;
bsq_pack_fn bsq_mlx_pack;
bsq_unpack_fn bsq_mlx_unpack;

/* mobile.c: ncnn and TFLite */
bsq_describe_fn bsq_ncnn_describe, bsq_tflite_describe;
bsq_check_fn bsq_ncnn_check, bsq_tflite_check;
bsq_pack_fn bsq_ncnn_pack, bsq_tflite_pack;
bsq_unpack_fn bsq_ncnn_unpack, bsq_tflite_unpack;

/* nvfp4.c */
bsq_describe_fn bsq_nvfp4_describe;
bsq_check_fn bsq_nvfp4_check;
bsq_pack_fn bsq_nvfp4_pack;
bsq_unpack_fn bsq_nvfp4_unpack;

#endif
