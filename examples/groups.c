/* groups: a linear layer whose inputs share scales in groups of 32, as most engines for language models want it.
 *
 * Scales are float16 values, found together with the codes. The result is a tensor that describes itself; multiplied
 * out by its own description it makes the error that the report says. */
#include "common/synthetic.h"

#include <bsq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 144, OUTPUTS = 48, SAMPLES = 1000, GROUP = 32 };

static float weights[OUTPUTS * INPUTS];
static float activations[SAMPLES * INPUTS];

/* Reads the result of 'layer' into buffers of the size that it asks for, to be freed by the caller. */
static bsq_status_t read_tensor(bsq_layer_t *layer, bsq_tensor_t *tensor)
{
    bsq_tensor_init(tensor, sizeof *tensor);
    const bsq_status_t status = bsq_layer_get_tensor(layer, tensor);
    if (status != BSQ_OK) {
        return status;
    }
    tensor->codes = malloc((size_t)tensor->code_count);
    tensor->scales = malloc((size_t)tensor->scale_count * sizeof *tensor->scales);
    if (tensor->codes == NULL || tensor->scales == NULL) {
        return BSQ_E_MEMORY;
    }
    return bsq_layer_get_tensor(layer, tensor);
}

/* Weight i of channel m, by what the tensor says of itself. */
static double weight_of(const bsq_tensor_t *tensor, int64_t m, int64_t i)
{
    const int64_t groups = (tensor->fan_in - 1) / tensor->group_size + 1;
    return (double)tensor->scales[m * groups + i / tensor->group_size] * tensor->codes[m * tensor->fan_in + i];
}

/* |X (W - Q)'|^2 / |X W'|^2 over the calibration data, without the library. */
static double own_relative_error(const bsq_tensor_t *tensor)
{
    double error = 0;
    double energy = 0;
    for (int s = 0; s < SAMPLES; s++) {
        for (int m = 0; m < OUTPUTS; m++) {
            double wanted = 0;
            double given = 0;
            for (int i = 0; i < INPUTS; i++) {
                const double x = (double)activations[s * INPUTS + i];
                wanted += (double)weights[m * INPUTS + i] * x;
                given += weight_of(tensor, m, i) * x;
            }
            error += (wanted - given) * (wanted - given);
            energy += wanted * wanted;
        }
    }
    return error / energy;
}

int main(void)
{
    synthetic_weights(1, OUTPUTS * INPUTS, weights);
    synthetic_activations(2, SAMPLES, INPUTS, activations);
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 4;
    options.weight_grid = BSQ_WEIGHT_GRID_FULL;
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    options.group_size = GROUP;
    options.effort = 2;

    bsq_layer_t *layer = NULL;
    bsq_status_t status = bsq_layer_create(&desc, &options, weights, NULL, &layer, NULL);
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = activations;
    batch.size = SAMPLES;
    status = status ? status : bsq_layer_calibrate(layer, &batch);
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    status = status ? status : bsq_optimize(layer, &report);
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    status = status ? status : read_tensor(layer, &tensor);
    if (status != BSQ_OK) {
        fprintf(stderr, "groups: %s: %s\n", bsq_status_string(status), bsq_layer_error_message(layer));
    } else {
        printf("linear %d -> %d, %d-bit weights, a scale for %d inputs\n", INPUTS, OUTPUTS, (int)tensor.weight_bits,
               (int)tensor.group_size);
        printf("  rounding to nearest    %.5f relative output error\n", report.error_start);
        printf("  libbsq                 %.5f\n", report.error);
        printf("  codes and scales       %lld and %lld\n", (long long)tensor.code_count, (long long)tensor.scale_count);
    }
    const double own = status == BSQ_OK ? own_relative_error(&tensor) : 0;
    free(tensor.codes);
    free(tensor.scales);
    bsq_layer_free(layer);
    if (status == BSQ_OK && !(fabs(own - report.error) <= 1e-3 * own)) {
        fprintf(stderr, "groups: multiplied out the error is %.9g, not %.9g\n", own, report.error);
        return 1;
    }
    return status != BSQ_OK;
}
