/* The binary interface on machines with 64-bit pointers, checked by compiling this file.
 *
 * A change here is a change of the ABI: values, offsets and types that are pinned stay, structs grow at their end only.
 * Types are pinned too, since int64_t in the place of a double leaves every offset as it is. */
#include "bsq.h"

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

/* A field of the struct that is at hand: its offset and its type. */
#define OF(field) sizeof(((struct_type *)0)->field)
#define AT(field, offset, type)                                                                                        \
    _Static_assert(offsetof(struct_type, field) == (offset) &&                                                         \
                       _Generic(((struct_type *)0)->field, type : 1, default : 0),                                     \
                   #field)

/* No padding that the compiler chose: the fields fill the struct. */
#define FULL(sum) _Static_assert(sizeof(struct_type) == (sum), "padding")

/* The whole type of a call. */
#define CALL(name, type) _Static_assert(_Generic(&(name), type : 1, default : 0), #name)

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "pinned for LP64");
_Static_assert(_Generic((bsq_status_t)0, int32_t : 1, default : 0), "bsq_status_t");

#define struct_type bsq_error_t
SIZE(bsq_error_t, 32);
AT(struct_size, 0, size_t);
AT(message, 8, char *);
AT(capacity, 16, size_t);
AT(status, 24, int32_t);
AT(reserved, 28, int32_t);
FULL(OF(struct_size) + OF(message) + OF(capacity) + OF(status) + OF(reserved));
#undef struct_type

#define struct_type bsq_progress_t
SIZE(bsq_progress_t, 48);
AT(struct_size, 0, size_t);
AT(fraction, 8, double);
AT(objective, 16, double);
AT(done, 24, int64_t);
AT(total, 32, int64_t);
AT(stage, 40, int32_t);
AT(reserved, 44, int32_t);
FULL(OF(struct_size) + OF(fraction) + OF(objective) + OF(done) + OF(total) + OF(stage) + OF(reserved));
#undef struct_type

#define struct_type bsq_options_t
SIZE(bsq_options_t, 208);
AT(struct_size, 0, size_t);
AT(memory_alloc, 8, bsq_alloc_fn);
AT(memory_free, 16, bsq_free_fn);
AT(memory_opaque, 24, void *);
AT(progress, 32, bsq_progress_fn);
AT(progress_opaque, 40, void *);
AT(log, 48, bsq_log_fn);
AT(log_opaque, 56, void *);
AT(parallel_for, 64, bsq_parallel_for_fn);
AT(parallel_opaque, 72, void *);
AT(damping, 80, double);
AT(asymmetry, 88, double);
AT(input_percentile, 96, double);
AT(group_size, 104, int64_t);
AT(weight_bits, 112, int32_t);
AT(weight_grid, 116, int32_t);
AT(scale_kind, 120, int32_t);
AT(scale_format, 124, int32_t);
AT(solver, 128, int32_t);
AT(effort, 132, int32_t);
AT(threads, 136, int32_t);
AT(bias_correction, 140, int32_t);
AT(input_bits, 144, int32_t);
AT(input_type, 148, int32_t);
AT(input_clip, 152, int32_t);
AT(select_on_held_out, 156, int32_t);
AT(input_scale_kind, 160, int32_t);
AT(lower_bound, 164, int32_t);
AT(levels, 168, const int8_t *);
AT(super_group, 176, int64_t);
AT(level_count, 184, int32_t);
AT(scale_bits, 188, int32_t);
AT(scale_signed, 192, int32_t);
AT(scale_unit, 196, float);
AT(zero_point_least, 200, int32_t);
AT(keep_scales, 204, int32_t);
FULL(OF(struct_size) + OF(memory_alloc) + OF(memory_free) + OF(memory_opaque) + OF(progress) + OF(progress_opaque) +
     OF(log) + OF(log_opaque) + OF(parallel_for) + OF(parallel_opaque) + OF(damping) + OF(asymmetry) +
     OF(input_percentile) + OF(group_size) + OF(weight_bits) + OF(weight_grid) + OF(scale_kind) + OF(scale_format) +
     OF(solver) + OF(effort) + OF(threads) + OF(bias_correction) + OF(input_bits) + OF(input_type) + OF(input_clip) +
     OF(select_on_held_out) + OF(input_scale_kind) + OF(lower_bound) + OF(levels) + OF(super_group) + OF(level_count) +
     OF(scale_bits) + OF(scale_signed) + OF(scale_unit) + OF(zero_point_least) + OF(keep_scales));
#undef struct_type

#define struct_type bsq_layer_desc_t
SIZE(bsq_layer_desc_t, 168);
AT(struct_size, 0, size_t);
AT(in_channels, 8, int64_t);
AT(out_channels, 16, int64_t);
AT(groups, 24, int64_t);
AT(kernel, 32, int64_t *);
AT(stride, 56, int64_t *);
AT(dilation, 80, int64_t *);
AT(pad_begin, 104, int64_t *);
AT(pad_end, 128, int64_t *);
AT(kind, 152, int32_t);
AT(spatial_dims, 156, int32_t);
AT(weight_layout, 160, int32_t);
AT(activation_layout, 164, int32_t);
FULL(OF(struct_size) + OF(in_channels) + OF(out_channels) + OF(groups) + OF(kernel) + OF(stride) + OF(dilation) +
     OF(pad_begin) + OF(pad_end) + OF(kind) + OF(spatial_dims) + OF(weight_layout) + OF(activation_layout));
#undef struct_type

#define struct_type bsq_layer_info_t
SIZE(bsq_layer_info_t, 48);
AT(struct_size, 0, size_t);
AT(in_channels, 8, int64_t);
AT(out_channels, 16, int64_t);
AT(groups, 24, int64_t);
AT(fan_in, 32, int64_t);
AT(state, 40, int32_t);
AT(reserved, 44, int32_t);
FULL(OF(struct_size) + OF(in_channels) + OF(out_channels) + OF(groups) + OF(fan_in) + OF(state) + OF(reserved));
#undef struct_type

#define struct_type bsq_batch_t
SIZE(bsq_batch_t, 72);
AT(struct_size, 0, size_t);
AT(input, 8, const float *);
AT(target, 16, const float *);
AT(row_weights, 24, const float *);
AT(size, 32, int64_t);
AT(spatial, 40, int64_t *);
AT(row_weights_kind, 64, int32_t);
AT(held_out, 68, int32_t);
FULL(OF(struct_size) + OF(input) + OF(target) + OF(row_weights) + OF(size) + OF(spatial) + OF(row_weights_kind) +
     OF(held_out));
#undef struct_type

#define struct_type bsq_input_quantizer_t
SIZE(bsq_input_quantizer_t, 32);
AT(struct_size, 0, size_t);
AT(scale, 8, double);
AT(zero_point, 16, int32_t);
AT(bits, 20, int32_t);
AT(type, 24, int32_t);
AT(scale_kind, 28, int32_t);
FULL(OF(struct_size) + OF(scale) + OF(zero_point) + OF(bits) + OF(type) + OF(scale_kind));
#undef struct_type

#define struct_type bsq_moments_t
SIZE(bsq_moments_t, 64);
AT(struct_size, 0, size_t);
AT(h, 8, const double *);
AT(input_mean, 16, const double *);
AT(p, 24, const double *);
AT(target_mean, 32, const double *);
AT(target_square, 40, const double *);
AT(rows, 48, double);
AT(held_out, 56, int32_t);
AT(reserved, 60, int32_t);
FULL(OF(struct_size) + OF(h) + OF(input_mean) + OF(p) + OF(target_mean) + OF(target_square) + OF(rows) + OF(held_out) +
     OF(reserved));
#undef struct_type

#define struct_type bsq_moments_buffers_t
SIZE(bsq_moments_buffers_t, 64);
AT(struct_size, 0, size_t);
AT(h, 8, double *);
AT(input_mean, 16, double *);
AT(p, 24, double *);
AT(target_mean, 32, double *);
AT(target_square, 40, double *);
AT(rows, 48, double);
AT(held_out, 56, int32_t);
AT(reserved, 60, int32_t);
FULL(OF(struct_size) + OF(h) + OF(input_mean) + OF(p) + OF(target_mean) + OF(target_square) + OF(rows) + OF(held_out) +
     OF(reserved));
#undef struct_type

#define struct_type bsq_stats_info_t
SIZE(bsq_stats_info_t, 240);
AT(struct_size, 0, size_t);
AT(in_channels, 8, int64_t);
AT(out_channels, 16, int64_t);
AT(groups, 24, int64_t);
AT(fan_in, 32, int64_t);
AT(kernel, 40, int64_t *);
AT(stride, 64, int64_t *);
AT(dilation, 88, int64_t *);
AT(pad_begin, 112, int64_t *);
AT(pad_end, 136, int64_t *);
AT(rows, 160, double);
AT(effective_rows, 168, double);
AT(target_rows, 176, double);
AT(input_scale, 184, double);
AT(kind, 192, int32_t);
AT(spatial_dims, 196, int32_t);
AT(weight_layout, 200, int32_t);
AT(activation_layout, 204, int32_t);
AT(has_target, 208, int32_t);
AT(has_means, 212, int32_t);
AT(shares_inputs, 216, int32_t);
AT(input_bits, 220, int32_t);
AT(input_type, 224, int32_t);
AT(input_zero_point, 228, int32_t);
AT(input_scale_kind, 232, int32_t);
AT(reserved, 236, int32_t);
FULL(OF(struct_size) + OF(in_channels) + OF(out_channels) + OF(groups) + OF(fan_in) + OF(kernel) + OF(stride) +
     OF(dilation) + OF(pad_begin) + OF(pad_end) + OF(rows) + OF(effective_rows) + OF(target_rows) + OF(input_scale) +
     OF(kind) + OF(spatial_dims) + OF(weight_layout) + OF(activation_layout) + OF(has_target) + OF(has_means) +
     OF(shares_inputs) + OF(input_bits) + OF(input_type) + OF(input_zero_point) + OF(input_scale_kind) + OF(reserved));
#undef struct_type

#define struct_type bsq_report_t
SIZE(bsq_report_t, 208);
AT(struct_size, 0, size_t);
AT(objective_start, 8, double);
AT(objective, 16, double);
AT(energy, 24, double);
AT(error, 32, double);
AT(error_start, 40, double);
AT(error_floor, 48, double);
AT(held_out_error, 56, double);
AT(held_out_energy, 64, double);
AT(weight_error, 72, double);
AT(error_uncorrected, 80, double);
AT(error_corrected, 88, double);
AT(damping, 96, double);
AT(rows, 104, double);
AT(rows_per_input, 112, double);
AT(seconds, 120, double);
AT(sweeps, 128, int64_t);
AT(channels_improved, 136, int64_t);
AT(dead_inputs, 144, int64_t);
AT(dead_outputs, 152, int64_t);
AT(channels_proven, 160, int64_t);
AT(lower_bound, 168, double);
AT(stages, 176, int32_t);
AT(outcome, 180, int32_t);
AT(warnings, 184, int32_t);
AT(kernel, 188, int32_t);
AT(solver, 192, int32_t);
AT(effort, 196, int32_t);
AT(weight_bits, 200, int32_t);
AT(weight_grid, 204, int32_t);
FULL(OF(struct_size) + OF(objective_start) + OF(objective) + OF(energy) + OF(error) + OF(error_start) +
     OF(error_floor) + OF(held_out_error) + OF(held_out_energy) + OF(weight_error) + OF(error_uncorrected) +
     OF(error_corrected) + OF(damping) + OF(rows) + OF(rows_per_input) + OF(seconds) + OF(sweeps) +
     OF(channels_improved) + OF(dead_inputs) + OF(dead_outputs) + OF(channels_proven) + OF(lower_bound) + OF(stages) +
     OF(outcome) + OF(warnings) + OF(kernel) + OF(solver) + OF(effort) + OF(weight_bits) + OF(weight_grid));
#undef struct_type

#define struct_type bsq_stage_t
SIZE(bsq_stage_t, 48);
AT(struct_size, 0, size_t);
AT(objective_before, 8, double);
AT(objective_after, 16, double);
AT(seconds, 24, double);
AT(sweeps, 32, int64_t);
AT(stage, 40, int32_t);
AT(effort, 44, int32_t);
FULL(OF(struct_size) + OF(objective_before) + OF(objective_after) + OF(seconds) + OF(sweeps) + OF(stage) + OF(effort));
#undef struct_type

#define struct_type bsq_channel_t
SIZE(bsq_channel_t, 88);
AT(struct_size, 0, size_t);
AT(objective_start, 8, double);
AT(objective, 16, double);
AT(energy, 24, double);
AT(error, 32, double);
AT(error_start, 40, double);
AT(held_out_error, 48, double);
AT(weight_error, 56, double);
AT(lower_bound, 64, double);
AT(sweeps, 72, int64_t);
AT(outcome, 80, int32_t);
AT(bias_corrected, 84, int32_t);
FULL(OF(struct_size) + OF(objective_start) + OF(objective) + OF(energy) + OF(error) + OF(error_start) +
     OF(held_out_error) + OF(weight_error) + OF(lower_bound) + OF(sweeps) + OF(outcome) + OF(bias_corrected));
#undef struct_type

#define struct_type bsq_tensor_t
SIZE(bsq_tensor_t, 168);
AT(struct_size, 0, size_t);
AT(codes, 8, int8_t *);
AT(scales, 16, float *);
AT(zero_points, 24, int32_t *);
AT(offsets, 32, float *);
AT(levels, 40, int8_t *);
AT(code_count, 48, int64_t);
AT(scale_count, 56, int64_t);
AT(zero_point_count, 64, int64_t);
AT(offset_count, 72, int64_t);
AT(level_count, 80, int64_t);
AT(channels, 88, int64_t);
AT(fan_in, 96, int64_t);
AT(group_size, 104, int64_t);
AT(weight_bits, 112, int32_t);
AT(weight_grid, 116, int32_t);
AT(scale_kind, 120, int32_t);
AT(scale_format, 124, int32_t);
AT(scale_unit, 128, float);
AT(scale_bits, 132, int32_t);
AT(scale_signed, 136, int32_t);
AT(reserved, 140, int32_t);
AT(super_group, 144, int64_t);
AT(input_order, 152, int32_t *);
AT(input_order_count, 160, int64_t);
FULL(OF(struct_size) + OF(codes) + OF(scales) + OF(zero_points) + OF(offsets) + OF(levels) + OF(code_count) +
     OF(scale_count) + OF(zero_point_count) + OF(offset_count) + OF(level_count) + OF(channels) + OF(fan_in) +
     OF(group_size) + OF(weight_bits) + OF(weight_grid) + OF(scale_kind) + OF(scale_format) + OF(scale_unit) +
     OF(scale_bits) + OF(scale_signed) + OF(reserved) + OF(super_group) + OF(input_order) + OF(input_order_count));
#undef struct_type

#define struct_type bsq_part_t
SIZE(bsq_part_t, 72);
AT(struct_size, 0, size_t);
AT(name, 8, const char *);
AT(offset, 16, int64_t);
AT(size, 24, int64_t);
AT(shape, 32, int64_t *);
AT(rank, 64, int32_t);
AT(element_type, 68, int32_t);
FULL(OF(struct_size) + OF(name) + OF(offset) + OF(size) + OF(shape) + OF(rank) + OF(element_type));
#undef struct_type

#define struct_type bsq_norm_t
SIZE(bsq_norm_t, 24);
AT(struct_size, 0, size_t);
AT(upper, 8, double);
AT(lower, 16, double);
FULL(OF(struct_size) + OF(upper) + OF(lower));
#undef struct_type

#define struct_type bsq_allocation_t
SIZE(bsq_allocation_t, 40);
AT(struct_size, 0, size_t);
AT(error, 8, double);
AT(lower_bound, 16, double);
AT(cost, 24, int64_t);
AT(outcome, 32, int32_t);
AT(reserved, 36, int32_t);
FULL(OF(struct_size) + OF(error) + OF(lower_bound) + OF(cost) + OF(outcome) + OF(reserved));
#undef struct_type

VALUE(BSQ_OK, 0);
VALUE(BSQ_E_ARGUMENT, -100);
VALUE(BSQ_E_RANGE, -110);
VALUE(BSQ_E_SHAPE, -200);
VALUE(BSQ_E_SIZE, -210);
VALUE(BSQ_E_STATE, -300);
VALUE(BSQ_E_MEMORY, -400);
VALUE(BSQ_E_NUMERIC, -500);
VALUE(BSQ_E_FORMAT, -600);
VALUE(BSQ_E_CORRUPT, -610);
VALUE(BSQ_E_MISMATCH, -620);
VALUE(BSQ_E_CANCELLED, -700);
VALUE(BSQ_E_VERSION, -800);

VALUE(BSQ_LOG_WARNING, 1501);
VALUE(BSQ_LOG_INFO, 1502);

VALUE(BSQ_SOLVER_AUTO, 10);
VALUE(BSQ_SOLVER_ROUND, 11);
VALUE(BSQ_SOLVER_PAPER, 12);

VALUE(BSQ_WEIGHT_GRID_SYMMETRIC, 100);
VALUE(BSQ_WEIGHT_GRID_FULL, 101);
VALUE(BSQ_WEIGHT_GRID_ZERO_POINT, 102);
VALUE(BSQ_WEIGHT_GRID_OFFSET, 103);
VALUE(BSQ_WEIGHT_GRID_LEVELS, 104);
VALUE(BSQ_WEIGHT_GRID_POWERS_OF_TWO, 105);
VALUE(BSQ_WEIGHT_GRID_NF4, 106);
VALUE(BSQ_WEIGHT_GRID_IQ4_NL, 107);
VALUE(BSQ_WEIGHT_GRID_E2M1, 108);

VALUE(BSQ_SCALE_KIND_PER_TENSOR, 200);
VALUE(BSQ_SCALE_KIND_PER_CHANNEL, 201);
VALUE(BSQ_SCALE_KIND_PER_GROUP, 202);

VALUE(BSQ_SCALE_FORMAT_FLOAT32, 300);
VALUE(BSQ_SCALE_FORMAT_FLOAT16, 301);
VALUE(BSQ_SCALE_FORMAT_POWER_OF_TWO, 302);
VALUE(BSQ_SCALE_FORMAT_BFLOAT16, 303);
VALUE(BSQ_SCALE_FORMAT_E8M0, 304);
VALUE(BSQ_SCALE_FORMAT_E4M3, 305);

VALUE(BSQ_INPUT_TYPE_AUTO, 400);
VALUE(BSQ_INPUT_TYPE_UNSIGNED, 401);
VALUE(BSQ_INPUT_TYPE_SIGNED, 402);
VALUE(BSQ_INPUT_TYPE_ZERO_POINT, 403);

VALUE(BSQ_INPUT_SCALE_KIND_PER_TENSOR, 500);
VALUE(BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 501);

VALUE(BSQ_INPUT_CLIP_SQUARED_ERROR, 600);
VALUE(BSQ_INPUT_CLIP_MINIMUM_MAXIMUM, 601);
VALUE(BSQ_INPUT_CLIP_PERCENTILE, 602);

VALUE(BSQ_KIND_LINEAR, 700);
VALUE(BSQ_KIND_CONV, 701);

VALUE(BSQ_WEIGHT_LAYOUT_OIHW, 800);
VALUE(BSQ_WEIGHT_LAYOUT_OHWI, 801);

VALUE(BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST, 900);
VALUE(BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST, 901);

VALUE(BSQ_STATE_STATISTICS, 1);
VALUE(BSQ_STATE_TARGETS, 2);
VALUE(BSQ_STATE_MEANS, 4);
VALUE(BSQ_STATE_HELD_OUT, 8);
VALUE(BSQ_STATE_OBSERVED, 16);
VALUE(BSQ_STATE_QUANTIZER_FIXED, 32);
VALUE(BSQ_STATE_RESULT, 64);

VALUE(BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE, 1000);
VALUE(BSQ_ROW_WEIGHTS_KIND_PER_ROW, 1001);

VALUE(BSQ_STAGE_STATISTICS, 1101);
VALUE(BSQ_STAGE_ROUND, 1110);
VALUE(BSQ_STAGE_PREPARE, 1120);
VALUE(BSQ_STAGE_BEAM, 1130);
VALUE(BSQ_STAGE_BITSPLIT, 1140);
VALUE(BSQ_STAGE_DESCENT, 1150);
VALUE(BSQ_STAGE_EXACT, 1155);
VALUE(BSQ_STAGE_SCALE, 1160);
VALUE(BSQ_STAGE_BIAS, 1170);
VALUE(BSQ_STAGE_NORM, 1180);

VALUE(BSQ_OUTCOME_NONE, 0);
VALUE(BSQ_OUTCOME_CONVERGED, 1201);
VALUE(BSQ_OUTCOME_LIMIT, 1202);
VALUE(BSQ_OUTCOME_PROVEN, 1203);

VALUE(BSQ_WARNING_FEW_ROWS, 1);
VALUE(BSQ_WARNING_SCALE_LIMITED, 2);
VALUE(BSQ_WARNING_RAISED_DAMPING, 4);
VALUE(BSQ_WARNING_DEAD_INPUTS, 8);
VALUE(BSQ_WARNING_DEAD_OUTPUTS, 16);
VALUE(BSQ_WARNING_NO_STATISTICS, 32);

VALUE(BSQ_KERNEL_PORTABLE, 1301);
VALUE(BSQ_KERNEL_AVX2, 1302);
VALUE(BSQ_KERNEL_AVX512, 1303);
VALUE(BSQ_KERNEL_NEON, 1304);

VALUE(BSQ_FORMAT_INT8, 2000);
VALUE(BSQ_FORMAT_ONNX_INT4, 2100);
VALUE(BSQ_FORMAT_ONNX_INT2, 2110);
VALUE(BSQ_FORMAT_TERNARY_PLANES, 2200);
VALUE(BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 2210);
VALUE(BSQ_FORMAT_ONNX_INT4_BLOCKS, 2120);
VALUE(BSQ_FORMAT_ONNX_UINT4_BLOCKS, 2121);
VALUE(BSQ_FORMAT_ONNX_INT2_BLOCKS, 2122);
VALUE(BSQ_FORMAT_ONNX_UINT2_BLOCKS, 2123);
VALUE(BSQ_FORMAT_ONNX_INT8_BLOCKS, 2124);
VALUE(BSQ_FORMAT_ONNX_UINT8_BLOCKS, 2125);
VALUE(BSQ_FORMAT_ONNX_MATMUL_NBITS, 2140);
VALUE(BSQ_FORMAT_GGUF_Q4_0, 3002);
VALUE(BSQ_FORMAT_GGUF_Q4_1, 3003);
VALUE(BSQ_FORMAT_GGUF_Q5_0, 3006);
VALUE(BSQ_FORMAT_GGUF_Q5_1, 3007);
VALUE(BSQ_FORMAT_GGUF_Q8_0, 3008);
VALUE(BSQ_FORMAT_GGUF_Q2_K, 3010);
VALUE(BSQ_FORMAT_GGUF_Q3_K, 3011);
VALUE(BSQ_FORMAT_GGUF_Q4_K, 3012);
VALUE(BSQ_FORMAT_GGUF_Q5_K, 3013);
VALUE(BSQ_FORMAT_GGUF_Q6_K, 3014);
VALUE(BSQ_FORMAT_GGUF_IQ4_NL, 3020);
VALUE(BSQ_FORMAT_GGUF_IQ4_XS, 3023);
VALUE(BSQ_FORMAT_GGUF_TQ2_0, 3035);
VALUE(BSQ_FORMAT_GGUF_MXFP4, 3039);
VALUE(BSQ_FORMAT_GPTQ, 4000);
VALUE(BSQ_FORMAT_GPTQ_V2, 4001);
VALUE(BSQ_FORMAT_AWQ, 4010);
VALUE(BSQ_FORMAT_MLX, 4200);
VALUE(BSQ_FORMAT_NCNN_INT8, 4300);
VALUE(BSQ_FORMAT_NCNN_GEMM, 4310);
VALUE(BSQ_FORMAT_TFLITE_INT8, 4400);
VALUE(BSQ_FORMAT_TFLITE_INT4, 4410);
VALUE(BSQ_FORMAT_NVFP4, 4500);

VALUE(BSQ_FINGERPRINT_DESCRIPTION, 1701);
VALUE(BSQ_FINGERPRINT_WEIGHTS, 1702);
VALUE(BSQ_FINGERPRINT_INPUTS, 1703);
VALUE(BSQ_FINGERPRINT_STATISTICS, 1704);
VALUE(BSQ_ELEMENT_TYPE_INT8, 1601);
VALUE(BSQ_ELEMENT_TYPE_UINT8, 1602);
VALUE(BSQ_ELEMENT_TYPE_INT32, 1603);
VALUE(BSQ_ELEMENT_TYPE_UINT32, 1604);
VALUE(BSQ_ELEMENT_TYPE_UINT64, 1605);
VALUE(BSQ_ELEMENT_TYPE_INT4, 1611);
VALUE(BSQ_ELEMENT_TYPE_UINT4, 1612);
VALUE(BSQ_ELEMENT_TYPE_INT2, 1613);
VALUE(BSQ_ELEMENT_TYPE_UINT2, 1614);
VALUE(BSQ_ELEMENT_TYPE_FLOAT32, 1621);
VALUE(BSQ_ELEMENT_TYPE_FLOAT16, 1622);
VALUE(BSQ_ELEMENT_TYPE_BFLOAT16, 1623);
VALUE(BSQ_ELEMENT_TYPE_E4M3, 1624);

VALUE(BSQ_RESULT_CODES, 1401);
VALUE(BSQ_RESULT_SCALES, 1402);
VALUE(BSQ_RESULT_BIAS, 1403);
VALUE(BSQ_RESULT_DEQUANTIZED, 1404);

VALUE(BSQ_RESULT_PLANES, 1405);
VALUE(BSQ_RESULT_CODE_BIAS, 1406);

_Static_assert(_Generic((bsq_alloc_fn)0, void *(*)(size_t, void *) : 1, default : 0), "bsq_alloc_fn");
_Static_assert(_Generic((bsq_free_fn)0, void (*)(void *, void *) : 1, default : 0), "bsq_free_fn");
_Static_assert(_Generic((bsq_progress_fn)0, int32_t (*)(const bsq_progress_t *, void *) : 1, default : 0),
               "bsq_progress_fn");
_Static_assert(_Generic((bsq_log_fn)0, void (*)(int32_t, const char *, void *) : 1, default : 0), "bsq_log_fn");
_Static_assert(_Generic((bsq_block_fn)0, void (*)(void *, int64_t) : 1, default : 0), "bsq_block_fn");
_Static_assert(_Generic((bsq_parallel_for_fn)0, void (*)(int64_t, bsq_block_fn, void *, void *) : 1, default : 0),
               "bsq_parallel_for_fn");

CALL(bsq_version, int32_t (*)(void));
CALL(bsq_version_string, const char *(*)(void));
CALL(bsq_status_string, const char *(*)(bsq_status_t));
CALL(bsq_error_init, void (*)(bsq_error_t *, size_t));
CALL(bsq_options_init, void (*)(bsq_options_t *, size_t));
CALL(bsq_layer_desc_init, void (*)(bsq_layer_desc_t *, size_t));
CALL(bsq_layer_create, bsq_status_t (*)(const bsq_layer_desc_t *, const bsq_options_t *, const float *, const float *,
                                        bsq_layer_t **, bsq_error_t *));
CALL(bsq_layer_clone, bsq_status_t (*)(bsq_layer_t *, bsq_layer_t **));
CALL(bsq_layer_slice, bsq_status_t (*)(bsq_layer_t *, int64_t, int64_t, bsq_layer_t **));
CALL(bsq_layer_fingerprint, bsq_status_t (*)(bsq_layer_t *, int32_t, int64_t *));
CALL(bsq_layer_free, void (*)(bsq_layer_t *));
CALL(bsq_layer_set_options, bsq_status_t (*)(bsq_layer_t *, const bsq_options_t *));
CALL(bsq_layer_get_options, bsq_status_t (*)(bsq_layer_t *, bsq_options_t *));
CALL(bsq_layer_error_message, const char *(*)(const bsq_layer_t *));
CALL(bsq_layer_info_init, void (*)(bsq_layer_info_t *, size_t));
CALL(bsq_layer_info, bsq_status_t (*)(bsq_layer_t *, bsq_layer_info_t *));
CALL(bsq_layer_memory, bsq_status_t (*)(const bsq_layer_desc_t *, const bsq_options_t *, size_t *, bsq_error_t *));
CALL(bsq_batch_init, void (*)(bsq_batch_t *, size_t));
CALL(bsq_layer_batch_counts, bsq_status_t (*)(bsq_layer_t *, const bsq_batch_t *, size_t *, size_t *, size_t *));
CALL(bsq_layer_observe, bsq_status_t (*)(bsq_layer_t *, const bsq_batch_t *));
CALL(bsq_layer_calibrate, bsq_status_t (*)(bsq_layer_t *, const bsq_batch_t *));
CALL(bsq_input_quantizer_init, void (*)(bsq_input_quantizer_t *, size_t));
CALL(bsq_layer_set_input_quantizer, bsq_status_t (*)(bsq_layer_t *, const bsq_input_quantizer_t *));
CALL(bsq_layer_set_input_channels,
     bsq_status_t (*)(bsq_layer_t *, const bsq_input_quantizer_t *, const double *, const int32_t *, size_t));
CALL(bsq_layer_get_input_quantizer, bsq_status_t (*)(bsq_layer_t *, bsq_input_quantizer_t *));
CALL(bsq_layer_get_input_channels, bsq_status_t (*)(bsq_layer_t *, double *, int32_t *, size_t));
CALL(bsq_moments_init, void (*)(bsq_moments_t *, size_t));
CALL(bsq_moments_buffers_init, void (*)(bsq_moments_buffers_t *, size_t));
CALL(bsq_layer_set_moments, bsq_status_t (*)(bsq_layer_t *, const bsq_moments_t *));
CALL(bsq_layer_get_moments, bsq_status_t (*)(bsq_layer_t *, bsq_moments_buffers_t *));
CALL(bsq_layer_acquire_stats, bsq_status_t (*)(bsq_layer_t *, int32_t, bsq_stats_t **));
CALL(bsq_layer_merge_stats, bsq_status_t (*)(bsq_layer_t *, int32_t, const bsq_stats_t *));
CALL(bsq_layer_share_stats, bsq_status_t (*)(bsq_layer_t *, int32_t, const bsq_stats_t *));
CALL(bsq_layer_share_input, bsq_status_t (*)(bsq_layer_t *, bsq_layer_t *));
CALL(bsq_stats_merge,
     bsq_status_t (*)(const bsq_stats_t *const *, size_t, const bsq_options_t *, bsq_stats_t **, bsq_error_t *));
CALL(bsq_stats_sum_count, bsq_status_t (*)(const bsq_stats_t *, size_t *, bsq_error_t *));
CALL(bsq_stats_get_sums, bsq_status_t (*)(const bsq_stats_t *, const bsq_options_t *, double *, size_t, bsq_error_t *));
CALL(bsq_layer_add_sums, bsq_status_t (*)(bsq_layer_t *, int32_t, const double *, size_t));
CALL(bsq_stats_info_init, void (*)(bsq_stats_info_t *, size_t));
CALL(bsq_stats_info, bsq_status_t (*)(const bsq_stats_t *, bsq_stats_info_t *, bsq_error_t *));
CALL(bsq_stats_export_size, bsq_status_t (*)(const bsq_stats_t *, size_t *, bsq_error_t *));
CALL(bsq_stats_export, bsq_status_t (*)(const bsq_stats_t *, void *, size_t, bsq_error_t *));
CALL(bsq_stats_import, bsq_status_t (*)(const void *, size_t, const bsq_options_t *, bsq_stats_t **, bsq_error_t *));
CALL(bsq_stats_release, void (*)(bsq_stats_t *));
CALL(bsq_report_init, void (*)(bsq_report_t *, size_t));
CALL(bsq_stage_init, void (*)(bsq_stage_t *, size_t));
CALL(bsq_channel_init, void (*)(bsq_channel_t *, size_t));
CALL(bsq_optimize, bsq_status_t (*)(bsq_layer_t *, bsq_report_t *));
CALL(bsq_layer_error_table, bsq_status_t (*)(bsq_layer_t *, int32_t, int32_t, double *, size_t));
CALL(bsq_layer_get_report, bsq_status_t (*)(bsq_layer_t *, bsq_report_t *));
CALL(bsq_layer_get_stage_report, bsq_status_t (*)(bsq_layer_t *, int32_t, bsq_stage_t *));
CALL(bsq_layer_get_channel_report, bsq_status_t (*)(bsq_layer_t *, int64_t, bsq_channel_t *));
CALL(bsq_stage_string, const char *(*)(int32_t));
CALL(bsq_outcome_string, const char *(*)(int32_t));
CALL(bsq_kernel_string, const char *(*)(int32_t));
CALL(bsq_tensor_init, void (*)(bsq_tensor_t *, size_t));
CALL(bsq_layer_get_tensor, bsq_status_t (*)(bsq_layer_t *, bsq_tensor_t *));
CALL(bsq_layer_set_result, bsq_status_t (*)(bsq_layer_t *, const bsq_tensor_t *, const float *, const bsq_report_t *,
                                            const bsq_stage_t *, const bsq_channel_t *));
CALL(bsq_layer_set_tensor, bsq_status_t (*)(bsq_layer_t *, const bsq_tensor_t *));
CALL(bsq_layer_evaluate, bsq_status_t (*)(bsq_layer_t *, const bsq_tensor_t *, bsq_report_t *));
CALL(bsq_format_string, const char *(*)(int32_t));
CALL(bsq_format_by_name, int32_t (*)(const char *));
CALL(bsq_format_next, int32_t (*)(int32_t));
CALL(bsq_options_for_format, bsq_status_t (*)(int32_t, bsq_options_t *, bsq_error_t *));
CALL(bsq_part_init, void (*)(bsq_part_t *, size_t));
CALL(bsq_tensor_dequantize, bsq_status_t (*)(const bsq_tensor_t *, float *, size_t, bsq_error_t *));
CALL(bsq_tensor_part_count, bsq_status_t (*)(const bsq_tensor_t *, int32_t, int32_t *, bsq_error_t *));
CALL(bsq_tensor_get_part, bsq_status_t (*)(const bsq_tensor_t *, int32_t, int32_t, bsq_part_t *, bsq_error_t *));
CALL(bsq_tensor_packed_size, bsq_status_t (*)(const bsq_tensor_t *, int32_t, size_t *, bsq_error_t *));
CALL(bsq_tensor_pack, bsq_status_t (*)(const bsq_tensor_t *, int32_t, void *, size_t, bsq_error_t *));
CALL(bsq_tensor_unpack, bsq_status_t (*)(int32_t, const void *, size_t, bsq_tensor_t *, bsq_error_t *));
CALL(bsq_layer_result_count, bsq_status_t (*)(bsq_layer_t *, int32_t, size_t *));
CALL(bsq_layer_get_codes, bsq_status_t (*)(bsq_layer_t *, int8_t *, size_t));
CALL(bsq_layer_get_scales, bsq_status_t (*)(bsq_layer_t *, float *, size_t));
CALL(bsq_layer_get_bias, bsq_status_t (*)(bsq_layer_t *, float *, size_t));
CALL(bsq_layer_get_dequantized, bsq_status_t (*)(bsq_layer_t *, float *, size_t));
CALL(bsq_layer_get_planes, bsq_status_t (*)(bsq_layer_t *, int8_t *, size_t));
CALL(bsq_layer_get_code_bias, bsq_status_t (*)(bsq_layer_t *, float *, size_t));
CALL(bsq_norm_init, void (*)(bsq_norm_t *, size_t));
CALL(bsq_operator_norm, bsq_status_t (*)(const bsq_layer_desc_t *, const bsq_options_t *, const float *, double,
                                         bsq_norm_t *, bsq_error_t *));
CALL(bsq_allocation_init, void (*)(bsq_allocation_t *, size_t));
CALL(bsq_allocate_bits, bsq_status_t (*)(const double *, const int64_t *, const double *, size_t, size_t, int64_t,
                                         const bsq_options_t *, int32_t *, bsq_allocation_t *, bsq_error_t *));
