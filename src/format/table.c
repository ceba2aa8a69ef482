/* The table of formats: what each holds, and who writes and reads it. */
#include "format/families.h"

/* Sets of bits and grids. */
#define UP_TO(most) ((BSQ_BIT((most) + 1) - 1) & ~(BSQ_BIT(0) | BSQ_BIT(1)))
#define PACKABLE (BSQ_BIT(2) | BSQ_BIT(3) | BSQ_BIT(4) | BSQ_BIT(8))
#define AROUND_ZERO (BSQ_GRID_BIT(BSQ_WEIGHT_GRID_SYMMETRIC) | BSQ_GRID_BIT(BSQ_WEIGHT_GRID_FULL))
#define WITH_ZERO_POINT (AROUND_ZERO | BSQ_GRID_BIT(BSQ_WEIGHT_GRID_ZERO_POINT))

/* Those to solve for. */
#define GRIDS(set, chosen) .grids = set, .grid = BSQ_WEIGHT_GRID_##chosen
#define ONLY(name) GRIDS(BSQ_GRID_BIT(BSQ_WEIGHT_GRID_##name), name)
#define GROUPS(kind, usual) .groups = BSQ_GROUPS_##kind, .group = usual
#define SCALES(format) .scale_format = BSQ_SCALE_FORMAT_##format
#define TWO_LEVELS(bits, super) .scale_bits = bits, .super_group = super
#define SIGNED .scale_signed = 1

/* Functions of a family. */
#define CODES_ALONE(family)                                                                                            \
    .describe = bsq_##family##_describe, .pack = bsq_##family##_pack, .unpack = bsq_##family##_unpack
#define FAMILY(family) CODES_ALONE(family), .check = bsq_##family##_check
#define GGUF(name) .layout = &bsq_gguf_##name, FAMILY(gguf)

#define FORMAT(number, text) .id = BSQ_FORMAT_##number, .name = text
#define HOLDS(...) .needs = {__VA_ARGS__}

static const struct bsq_format formats[] = {
    {FORMAT(INT8, "int8"), HOLDS(.bits = UP_TO(8), .grids = AROUND_ZERO), .width = 8, CODES_ALONE(integers)},
    {FORMAT(ONNX_INT4, "onnx_int4"), HOLDS(.bits = UP_TO(4), .grids = AROUND_ZERO), .width = 4, CODES_ALONE(integers)},
    {FORMAT(ONNX_INT2, "onnx_int2"), HOLDS(.bits = UP_TO(2), .grids = AROUND_ZERO), .width = 2, CODES_ALONE(integers)},
    {FORMAT(TERNARY_PLANES, "ternary_planes"), HOLDS(.bits = UP_TO(8), .grids = AROUND_ZERO), .symmetric = true,
     CODES_ALONE(ternary)},
    {FORMAT(SIGN_MAGNITUDE_PLANES, "sign_magnitude_planes"), HOLDS(.bits = UP_TO(8), .grids = AROUND_ZERO),
     .symmetric = true, CODES_ALONE(signed)},

    {FORMAT(ONNX_INT4_BLOCKS, "onnx_int4_blocks"),
     HOLDS(.bits = UP_TO(4), GRIDS(WITH_ZERO_POINT, FULL), GROUPS(ANY, 32)), .width = 4, FAMILY(onnx)},
    {FORMAT(ONNX_UINT4_BLOCKS, "onnx_uint4_blocks"),
     HOLDS(.bits = UP_TO(4), GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(ANY, 32)), .width = 4, FAMILY(onnx)},
    {FORMAT(ONNX_INT2_BLOCKS, "onnx_int2_blocks"),
     HOLDS(.bits = UP_TO(2), GRIDS(WITH_ZERO_POINT, FULL), GROUPS(ANY, 32)), .width = 2, FAMILY(onnx)},
    {FORMAT(ONNX_UINT2_BLOCKS, "onnx_uint2_blocks"),
     HOLDS(.bits = UP_TO(2), GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(ANY, 32)), .width = 2, FAMILY(onnx)},
    {FORMAT(ONNX_INT8_BLOCKS, "onnx_int8_blocks"),
     HOLDS(.bits = UP_TO(8), GRIDS(WITH_ZERO_POINT, FULL), GROUPS(ANY, 32)), .width = 8, FAMILY(onnx)},
    {FORMAT(ONNX_UINT8_BLOCKS, "onnx_uint8_blocks"),
     HOLDS(.bits = UP_TO(8), GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(ANY, 32)), .width = 8, FAMILY(onnx)},
    {FORMAT(ONNX_MATMUL_NBITS, "onnx_matmul_nbits"),
     HOLDS(.bits = BSQ_BIT(2) | BSQ_BIT(4) | BSQ_BIT(8), GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(POWER_OF_TWO, 32)),
     FAMILY(matmul)},

    {FORMAT(GGUF_Q4_0, "gguf_q4_0"),
     HOLDS(.bits = BSQ_BIT(4), GRIDS(AROUND_ZERO, FULL), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16), SIGNED),
     GGUF(q4_0)},
    {FORMAT(GGUF_Q4_1, "gguf_q4_1"),
     HOLDS(.bits = BSQ_BIT(4), ONLY(OFFSET), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16)), GGUF(q4_1)},
    {FORMAT(GGUF_Q5_0, "gguf_q5_0"),
     HOLDS(.bits = BSQ_BIT(5), GRIDS(AROUND_ZERO, FULL), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16), SIGNED),
     GGUF(q5_0)},
    {FORMAT(GGUF_Q5_1, "gguf_q5_1"),
     HOLDS(.bits = BSQ_BIT(5), ONLY(OFFSET), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16)), GGUF(q5_1)},
    {FORMAT(GGUF_Q8_0, "gguf_q8_0"),
     HOLDS(.bits = BSQ_BIT(8), GRIDS(AROUND_ZERO, SYMMETRIC), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16)),
     GGUF(q8_0)},
    {FORMAT(GGUF_Q2_K, "gguf_q2_k"),
     HOLDS(.bits = BSQ_BIT(2), ONLY(OFFSET), GROUPS(FIXED, 16), .block = 256, SCALES(FLOAT16), TWO_LEVELS(4, 16)),
     GGUF(q2_k)},
    {FORMAT(GGUF_Q3_K, "gguf_q3_k"),
     HOLDS(.bits = BSQ_BIT(3), GRIDS(AROUND_ZERO, FULL), GROUPS(FIXED, 16), .block = 256, SCALES(FLOAT16), SIGNED,
           TWO_LEVELS(6, 16)),
     GGUF(q3_k)},
    {FORMAT(GGUF_Q4_K, "gguf_q4_k"),
     HOLDS(.bits = BSQ_BIT(4), ONLY(OFFSET), GROUPS(FIXED, 32), .block = 256, SCALES(FLOAT16), TWO_LEVELS(6, 8)),
     GGUF(q4_k)},
    {FORMAT(GGUF_Q5_K, "gguf_q5_k"),
     HOLDS(.bits = BSQ_BIT(5), ONLY(OFFSET), GROUPS(FIXED, 32), .block = 256, SCALES(FLOAT16), TWO_LEVELS(6, 8)),
     GGUF(q5_k)},
    {FORMAT(GGUF_Q6_K, "gguf_q6_k"),
     HOLDS(.bits = BSQ_BIT(6), GRIDS(AROUND_ZERO, FULL), GROUPS(FIXED, 16), .block = 256, SCALES(FLOAT16), SIGNED,
           TWO_LEVELS(8, 16)),
     GGUF(q6_k)},
    {FORMAT(GGUF_IQ4_NL, "gguf_iq4_nl"),
     HOLDS(.bits = BSQ_BIT(4), ONLY(IQ4_NL), GROUPS(FIXED, 32), .block = 32, SCALES(FLOAT16), SIGNED), GGUF(iq4_nl)},
    {FORMAT(GGUF_IQ4_XS, "gguf_iq4_xs"),
     HOLDS(.bits = BSQ_BIT(4), ONLY(IQ4_NL), GROUPS(FIXED, 32), .block = 256, SCALES(FLOAT16), SIGNED,
           TWO_LEVELS(6, 8)),
     GGUF(iq4_xs)},
    {FORMAT(GGUF_TQ2_0, "gguf_tq2_0"),
     HOLDS(.bits = BSQ_BIT(2), ONLY(SYMMETRIC), GROUPS(FIXED, 256), .block = 256, SCALES(FLOAT16)), GGUF(tq2_0)},
    {FORMAT(GGUF_MXFP4, "gguf_mxfp4"),
     HOLDS(.bits = BSQ_BIT(4), ONLY(E2M1), GROUPS(FIXED, 32), .block = 32, SCALES(E8M0)), GGUF(mxfp4)},

    {FORMAT(GPTQ, "gptq"),
     HOLDS(.bits = PACKABLE, GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(FREE, 128), SCALES(FLOAT16),
           .zero_point_least = 1),
     FAMILY(gptq)},
    {FORMAT(GPTQ_V2, "gptq_v2"),
     HOLDS(.bits = PACKABLE, GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(FREE, 128), SCALES(FLOAT16)), FAMILY(gptq)},
    {FORMAT(AWQ, "awq"),
     HOLDS(.bits = BSQ_BIT(4), GRIDS(WITH_ZERO_POINT, ZERO_POINT), GROUPS(FREE, 128), SCALES(FLOAT16)), FAMILY(awq)},
    {FORMAT(MLX, "mlx"), HOLDS(.bits = UP_TO(6) | BSQ_BIT(8), ONLY(OFFSET), GROUPS(32_64_128, 64)), FAMILY(mlx)},
    {FORMAT(NCNN_INT8, "ncnn_int8"),
     HOLDS(.bits = BSQ_BIT(8), ONLY(SYMMETRIC), .groups = BSQ_GROUPS_CHANNEL, SCALES(FLOAT32)), FAMILY(ncnn)},
    {FORMAT(NCNN_GEMM, "ncnn_gemm"),
     HOLDS(.bits = BSQ_BIT(4) | BSQ_BIT(6) | BSQ_BIT(8), ONLY(SYMMETRIC), GROUPS(32_64_128, 64), SCALES(FLOAT32)),
     FAMILY(ncnn)},
    {FORMAT(TFLITE_INT8, "tflite_int8"),
     HOLDS(.bits = UP_TO(8), ONLY(SYMMETRIC), .groups = BSQ_GROUPS_CHANNEL, SCALES(FLOAT32)), .width = 8,
     FAMILY(tflite)},
    {FORMAT(TFLITE_INT4, "tflite_int4"),
     HOLDS(.bits = UP_TO(4), ONLY(SYMMETRIC), .groups = BSQ_GROUPS_CHANNEL, SCALES(FLOAT32)), .width = 4,
     FAMILY(tflite)},
    {FORMAT(NVFP4, "nvfp4"), HOLDS(.bits = BSQ_BIT(4), ONLY(E2M1), GROUPS(FIXED, 16), .block = 16, SCALES(E4M3)),
     FAMILY(nvfp4)},
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

const struct bsq_format *bsq_format_find(int32_t id)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

const struct bsq_format *bsq_format_after(const struct bsq_format *format)
{
    if (!format)
        return formats;
    return format + 1 < formats + FORMATS ? format + 1 : NULL;
}
