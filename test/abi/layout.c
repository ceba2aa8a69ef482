/* The binary interface of version 1 on machines with 64-bit pointers, checked by compiling this file.
 *
 * A change here is a change of the ABI: values and offsets that are pinned stay, structs grow at their end only. */
#include "bsq.h"

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

/* No padding that the compiler chose: the fields fill the struct. */
#define OF(field) sizeof(((struct_type *)0)->field)
#define FULL(sum) _Static_assert(sizeof(struct_type) == (sum), "padding")

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "pinned for LP64");
_Static_assert(sizeof(bsq_status_t) == 4, "bsq_status_t");

SIZE(bsq_error_t, 32);
AT(bsq_error_t, struct_size, 0);
AT(bsq_error_t, message, 8);
AT(bsq_error_t, capacity, 16);
AT(bsq_error_t, status, 24);
AT(bsq_error_t, reserved, 28);
#define struct_type bsq_error_t
FULL(OF(struct_size) + OF(message) + OF(capacity) + OF(status) + OF(reserved));
#undef struct_type

SIZE(bsq_progress_t, 48);
AT(bsq_progress_t, struct_size, 0);
AT(bsq_progress_t, fraction, 8);
AT(bsq_progress_t, objective, 16);
AT(bsq_progress_t, done, 24);
AT(bsq_progress_t, total, 32);
AT(bsq_progress_t, stage, 40);
AT(bsq_progress_t, reserved, 44);
#define struct_type bsq_progress_t
FULL(OF(struct_size) + OF(fraction) + OF(objective) + OF(done) + OF(total) + OF(stage) + OF(reserved));
#undef struct_type

SIZE(bsq_options_t, 168);
AT(bsq_options_t, struct_size, 0);
AT(bsq_options_t, memory_alloc, 8);
AT(bsq_options_t, memory_free, 16);
AT(bsq_options_t, memory_opaque, 24);
AT(bsq_options_t, progress, 32);
AT(bsq_options_t, progress_opaque, 40);
AT(bsq_options_t, log, 48);
AT(bsq_options_t, log_opaque, 56);
AT(bsq_options_t, parallel_for, 64);
AT(bsq_options_t, parallel_opaque, 72);
AT(bsq_options_t, damping, 80);
AT(bsq_options_t, asymmetry, 88);
AT(bsq_options_t, input_percentile, 96);
AT(bsq_options_t, group_size, 104);
AT(bsq_options_t, weight_bits, 112);
AT(bsq_options_t, weight_range, 116);
AT(bsq_options_t, scale_kind, 120);
AT(bsq_options_t, scale_format, 124);
AT(bsq_options_t, solver, 128);
AT(bsq_options_t, effort, 132);
AT(bsq_options_t, threads, 136);
AT(bsq_options_t, bias_correction, 140);
AT(bsq_options_t, input_bits, 144);
AT(bsq_options_t, input_type, 148);
AT(bsq_options_t, input_clip, 152);
AT(bsq_options_t, select_on_held_out, 156);
AT(bsq_options_t, input_scale_kind, 160);
AT(bsq_options_t, lower_bound, 164);
#define struct_type bsq_options_t
FULL(OF(struct_size) + OF(memory_alloc) + OF(memory_free) + OF(memory_opaque) + OF(progress) + OF(progress_opaque) +
     OF(log) + OF(log_opaque) + OF(parallel_for) + OF(parallel_opaque) + OF(damping) + OF(asymmetry) +
     OF(input_percentile) + OF(group_size) + OF(weight_bits) + OF(weight_range) + OF(scale_kind) + OF(scale_format) +
     OF(solver) + OF(effort) + OF(threads) + OF(bias_correction) + OF(input_bits) + OF(input_type) + OF(input_clip) +
     OF(select_on_held_out) + OF(input_scale_kind) + OF(lower_bound));
#undef struct_type

SIZE(bsq_layer_desc_t, 168);
AT(bsq_layer_desc_t, struct_size, 0);
AT(bsq_layer_desc_t, in_channels, 8);
AT(bsq_layer_desc_t, out_channels, 16);
AT(bsq_layer_desc_t, groups, 24);
AT(bsq_layer_desc_t, kernel, 32);
AT(bsq_layer_desc_t, stride, 56);
AT(bsq_layer_desc_t, dilation, 80);
AT(bsq_layer_desc_t, pad_begin, 104);
AT(bsq_layer_desc_t, pad_end, 128);
AT(bsq_layer_desc_t, kind, 152);
AT(bsq_layer_desc_t, spatial_dims, 156);
AT(bsq_layer_desc_t, weight_layout, 160);
AT(bsq_layer_desc_t, activation_layout, 164);
#define struct_type bsq_layer_desc_t
FULL(OF(struct_size) + OF(in_channels) + OF(out_channels) + OF(groups) + OF(kernel) + OF(stride) + OF(dilation) +
     OF(pad_begin) + OF(pad_end) + OF(kind) + OF(spatial_dims) + OF(weight_layout) + OF(activation_layout));
#undef struct_type

SIZE(bsq_batch_t, 72);
AT(bsq_batch_t, struct_size, 0);
AT(bsq_batch_t, input, 8);
AT(bsq_batch_t, target, 16);
AT(bsq_batch_t, row_weights, 24);
AT(bsq_batch_t, size, 32);
AT(bsq_batch_t, spatial, 40);
AT(bsq_batch_t, row_weights_kind, 64);
AT(bsq_batch_t, held_out, 68);
#define struct_type bsq_batch_t
FULL(OF(struct_size) + OF(input) + OF(target) + OF(row_weights) + OF(size) + OF(spatial) + OF(row_weights_kind) +
     OF(held_out));
#undef struct_type

SIZE(bsq_input_quantizer_t, 32);
AT(bsq_input_quantizer_t, struct_size, 0);
AT(bsq_input_quantizer_t, scale, 8);
AT(bsq_input_quantizer_t, zero_point, 16);
AT(bsq_input_quantizer_t, bits, 20);
AT(bsq_input_quantizer_t, type, 24);
AT(bsq_input_quantizer_t, scale_kind, 28);
#define struct_type bsq_input_quantizer_t
FULL(OF(struct_size) + OF(scale) + OF(zero_point) + OF(bits) + OF(type) + OF(scale_kind));
#undef struct_type

SIZE(bsq_moments_t, 64);
AT(bsq_moments_t, struct_size, 0);
AT(bsq_moments_t, h, 8);
AT(bsq_moments_t, input_mean, 16);
AT(bsq_moments_t, p, 24);
AT(bsq_moments_t, target_mean, 32);
AT(bsq_moments_t, target_square, 40);
AT(bsq_moments_t, rows, 48);
AT(bsq_moments_t, held_out, 56);
AT(bsq_moments_t, reserved, 60);
#define struct_type bsq_moments_t
FULL(OF(struct_size) + OF(h) + OF(input_mean) + OF(p) + OF(target_mean) + OF(target_square) + OF(rows) +
     OF(held_out) + OF(reserved));
#undef struct_type

SIZE(bsq_moments_buffers_t, 64);
AT(bsq_moments_buffers_t, struct_size, 0);
AT(bsq_moments_buffers_t, h, 8);
AT(bsq_moments_buffers_t, input_mean, 16);
AT(bsq_moments_buffers_t, p, 24);
AT(bsq_moments_buffers_t, target_mean, 32);
AT(bsq_moments_buffers_t, target_square, 40);
AT(bsq_moments_buffers_t, rows, 48);
AT(bsq_moments_buffers_t, held_out, 56);
AT(bsq_moments_buffers_t, reserved, 60);
#define struct_type bsq_moments_buffers_t
FULL(OF(struct_size) + OF(h) + OF(input_mean) + OF(p) + OF(target_mean) + OF(target_square) + OF(rows) +
     OF(held_out) + OF(reserved));
#undef struct_type

SIZE(bsq_stats_info_t, 240);
AT(bsq_stats_info_t, struct_size, 0);
AT(bsq_stats_info_t, in_channels, 8);
AT(bsq_stats_info_t, out_channels, 16);
AT(bsq_stats_info_t, groups, 24);
AT(bsq_stats_info_t, fan_in, 32);
AT(bsq_stats_info_t, kernel, 40);
AT(bsq_stats_info_t, stride, 64);
AT(bsq_stats_info_t, dilation, 88);
AT(bsq_stats_info_t, pad_begin, 112);
AT(bsq_stats_info_t, pad_end, 136);
AT(bsq_stats_info_t, rows, 160);
AT(bsq_stats_info_t, effective_rows, 168);
AT(bsq_stats_info_t, target_rows, 176);
AT(bsq_stats_info_t, input_scale, 184);
AT(bsq_stats_info_t, kind, 192);
AT(bsq_stats_info_t, spatial_dims, 196);
AT(bsq_stats_info_t, weight_layout, 200);
AT(bsq_stats_info_t, activation_layout, 204);
AT(bsq_stats_info_t, has_target, 208);
AT(bsq_stats_info_t, has_means, 212);
AT(bsq_stats_info_t, shares_inputs, 216);
AT(bsq_stats_info_t, input_bits, 220);
AT(bsq_stats_info_t, input_type, 224);
AT(bsq_stats_info_t, input_zero_point, 228);
AT(bsq_stats_info_t, input_scale_kind, 232);
AT(bsq_stats_info_t, reserved, 236);
#define struct_type bsq_stats_info_t
FULL(OF(struct_size) + OF(in_channels) + OF(out_channels) + OF(groups) + OF(fan_in) + OF(kernel) + OF(stride) +
     OF(dilation) + OF(pad_begin) + OF(pad_end) + OF(rows) + OF(effective_rows) + OF(target_rows) + OF(input_scale) +
     OF(kind) + OF(spatial_dims) + OF(weight_layout) + OF(activation_layout) + OF(has_target) + OF(has_means) +
     OF(shares_inputs) + OF(input_bits) + OF(input_type) + OF(input_zero_point) + OF(input_scale_kind) +
     OF(reserved));
#undef struct_type

SIZE(bsq_report_t, 208);
AT(bsq_report_t, struct_size, 0);
AT(bsq_report_t, objective_start, 8);
AT(bsq_report_t, objective, 16);
AT(bsq_report_t, energy, 24);
AT(bsq_report_t, error, 32);
AT(bsq_report_t, error_start, 40);
AT(bsq_report_t, error_floor, 48);
AT(bsq_report_t, held_out_error, 56);
AT(bsq_report_t, held_out_energy, 64);
AT(bsq_report_t, weight_error, 72);
AT(bsq_report_t, error_uncorrected, 80);
AT(bsq_report_t, error_corrected, 88);
AT(bsq_report_t, damping, 96);
AT(bsq_report_t, rows, 104);
AT(bsq_report_t, rows_per_input, 112);
AT(bsq_report_t, seconds, 120);
AT(bsq_report_t, sweeps, 128);
AT(bsq_report_t, channels_improved, 136);
AT(bsq_report_t, dead_inputs, 144);
AT(bsq_report_t, dead_outputs, 152);
AT(bsq_report_t, channels_proven, 160);
AT(bsq_report_t, lower_bound, 168);
AT(bsq_report_t, stages, 176);
AT(bsq_report_t, outcome, 180);
AT(bsq_report_t, warnings, 184);
AT(bsq_report_t, kernel, 188);
AT(bsq_report_t, solver, 192);
AT(bsq_report_t, effort, 196);
AT(bsq_report_t, weight_bits, 200);
AT(bsq_report_t, weight_range, 204);
#define struct_type bsq_report_t
FULL(OF(struct_size) + OF(objective_start) + OF(objective) + OF(energy) + OF(error) + OF(error_start) +
     OF(error_floor) + OF(held_out_error) + OF(held_out_energy) + OF(weight_error) + OF(error_uncorrected) +
     OF(error_corrected) + OF(damping) + OF(rows) + OF(rows_per_input) + OF(seconds) + OF(sweeps) +
     OF(channels_improved) + OF(dead_inputs) + OF(dead_outputs) + OF(channels_proven) + OF(lower_bound) +
     OF(stages) + OF(outcome) + OF(warnings) + OF(kernel) + OF(solver) + OF(effort) + OF(weight_bits) + OF(weight_range));
#undef struct_type

SIZE(bsq_stage_t, 48);
AT(bsq_stage_t, struct_size, 0);
AT(bsq_stage_t, objective_before, 8);
AT(bsq_stage_t, objective_after, 16);
AT(bsq_stage_t, seconds, 24);
AT(bsq_stage_t, sweeps, 32);
AT(bsq_stage_t, stage, 40);
AT(bsq_stage_t, effort, 44);
#define struct_type bsq_stage_t
FULL(OF(struct_size) + OF(objective_before) + OF(objective_after) + OF(seconds) + OF(sweeps) + OF(stage) +
     OF(effort));
#undef struct_type

SIZE(bsq_channel_t, 88);
AT(bsq_channel_t, struct_size, 0);
AT(bsq_channel_t, objective_start, 8);
AT(bsq_channel_t, objective, 16);
AT(bsq_channel_t, energy, 24);
AT(bsq_channel_t, error, 32);
AT(bsq_channel_t, error_start, 40);
AT(bsq_channel_t, held_out_error, 48);
AT(bsq_channel_t, weight_error, 56);
AT(bsq_channel_t, lower_bound, 64);
AT(bsq_channel_t, sweeps, 72);
AT(bsq_channel_t, outcome, 80);
AT(bsq_channel_t, bias_corrected, 84);
#define struct_type bsq_channel_t
FULL(OF(struct_size) + OF(objective_start) + OF(objective) + OF(energy) + OF(error) + OF(error_start) +
     OF(held_out_error) + OF(weight_error) + OF(lower_bound) + OF(sweeps) + OF(outcome) + OF(bias_corrected));
#undef struct_type

SIZE(bsq_norm_t, 24);
AT(bsq_norm_t, struct_size, 0);
AT(bsq_norm_t, upper, 8);
AT(bsq_norm_t, lower, 16);
#define struct_type bsq_norm_t
FULL(OF(struct_size) + OF(upper) + OF(lower));
#undef struct_type

SIZE(bsq_allocation_t, 40);
AT(bsq_allocation_t, struct_size, 0);
AT(bsq_allocation_t, error, 8);
AT(bsq_allocation_t, lower_bound, 16);
AT(bsq_allocation_t, cost, 24);
AT(bsq_allocation_t, outcome, 32);
AT(bsq_allocation_t, reserved, 36);
#define struct_type bsq_allocation_t
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

VALUE(BSQ_LOG_WARNING, 1);
VALUE(BSQ_LOG_INFO, 2);

VALUE(BSQ_RANGE_SYMMETRIC, 0);
VALUE(BSQ_RANGE_FULL, 1);

VALUE(BSQ_SCALE_PER_TENSOR, 1);
VALUE(BSQ_SCALE_PER_CHANNEL, 2);
VALUE(BSQ_SCALE_PER_GROUP, 3);

VALUE(BSQ_SCALE_FLOAT32, 0);
VALUE(BSQ_SCALE_FLOAT16, 1);
VALUE(BSQ_SCALE_POWER_OF_TWO, 2);

VALUE(BSQ_SOLVER_AUTO, 0);
VALUE(BSQ_SOLVER_ROUND, 1);
VALUE(BSQ_SOLVER_PAPER, 2);

VALUE(BSQ_INPUT_AUTO, 0);
VALUE(BSQ_INPUT_UNSIGNED, 1);
VALUE(BSQ_INPUT_SIGNED, 2);
VALUE(BSQ_INPUT_ZERO_POINT, 3);

VALUE(BSQ_INPUT_PER_TENSOR, 0);
VALUE(BSQ_INPUT_PER_CHANNEL, 1);

VALUE(BSQ_CLIP_SQUARED_ERROR, 0);
VALUE(BSQ_CLIP_MINIMUM_MAXIMUM, 1);
VALUE(BSQ_CLIP_PERCENTILE, 2);

VALUE(BSQ_LINEAR, 1);
VALUE(BSQ_CONV, 2);

VALUE(BSQ_WEIGHTS_OIHW, 0);
VALUE(BSQ_WEIGHTS_OHWI, 1);

VALUE(BSQ_CHANNELS_FIRST, 0);
VALUE(BSQ_CHANNELS_LAST, 1);

VALUE(BSQ_ROW_WEIGHTS_PER_SAMPLE, 0);
VALUE(BSQ_ROW_WEIGHTS_PER_ROW, 1);

VALUE(BSQ_STAGE_STATISTICS, 1);
VALUE(BSQ_STAGE_ROUND, 10);
VALUE(BSQ_STAGE_PREPARE, 20);
VALUE(BSQ_STAGE_BEAM, 30);
VALUE(BSQ_STAGE_BITSPLIT, 40);
VALUE(BSQ_STAGE_DESCENT, 50);
VALUE(BSQ_STAGE_EXACT, 55);
VALUE(BSQ_STAGE_SCALE, 60);
VALUE(BSQ_STAGE_BIAS, 70);
VALUE(BSQ_STAGE_NORM, 80);

VALUE(BSQ_OUTCOME_NONE, 0);
VALUE(BSQ_OUTCOME_CONVERGED, 1);
VALUE(BSQ_OUTCOME_LIMIT, 2);
VALUE(BSQ_OUTCOME_PROVEN, 3);

VALUE(BSQ_WARN_FEW_ROWS, 1);
VALUE(BSQ_WARN_SCALE_LIMITED, 2);
VALUE(BSQ_WARN_RAISED_DAMPING, 4);
VALUE(BSQ_WARN_DEAD_INPUTS, 8);
VALUE(BSQ_WARN_DEAD_OUTPUTS, 16);
VALUE(BSQ_WARN_NO_STATISTICS, 32);

VALUE(BSQ_KERNEL_PORTABLE, 1);
VALUE(BSQ_KERNEL_AVX2, 2);
VALUE(BSQ_KERNEL_AVX512, 3);
VALUE(BSQ_KERNEL_NEON, 4);

VALUE(BSQ_RESULT_CODES, 1);
VALUE(BSQ_RESULT_SCALES, 2);
VALUE(BSQ_RESULT_BIAS, 3);
VALUE(BSQ_RESULT_DEQUANTIZED, 4);
VALUE(BSQ_RESULT_PLANES, 5);
VALUE(BSQ_RESULT_INPUT_SCALES, 6);
VALUE(BSQ_RESULT_CODE_BIAS, 7);

VALUE(BSQ_FORMAT_INT8, 100);
VALUE(BSQ_FORMAT_ONNX_INT4, 200);
VALUE(BSQ_FORMAT_ONNX_INT2, 210);
VALUE(BSQ_FORMAT_TERNARY_PLANES, 300);
VALUE(BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 310);
