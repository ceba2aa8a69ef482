/* What one line of Python does, in C: a layer, its statistics, its solve, its result. For bench_one_line.py. */
#include "bsq.h"

#include <stdlib.h>

BSQ_API int one_line(const float *weights, const float *inputs, int64_t rows, int64_t outputs, int64_t fan_in,
                     int32_t bits, int64_t group_size, int32_t effort, int8_t *codes, float *scales, double *error)
{
    bsq_options_t options;
    bsq_layer_desc_t desc;
    bsq_batch_t batch;
    bsq_report_t report;
    bsq_tensor_t tensor;
    bsq_layer_t *layer;
    bsq_status_t status;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.effort = effort;
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options.group_size = group_size;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = fan_in;
    desc.out_channels = outputs;
    if ((status = bsq_layer_create(&desc, &options, weights, NULL, &layer, NULL)) != BSQ_OK)
        return status;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = inputs;
    batch.size = rows;
    bsq_report_init(&report, sizeof report);
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.codes = codes;
    tensor.code_count = outputs * fan_in;
    tensor.scales = scales;
    tensor.scale_count = outputs * ((fan_in + group_size - 1) / group_size);
    if ((status = bsq_layer_calibrate(layer, &batch)) == BSQ_OK && (status = bsq_optimize(layer, &report)) == BSQ_OK)
        status = bsq_layer_get_tensor(layer, &tensor);
    *error = report.error;
    bsq_layer_free(layer);
    return status;
}
