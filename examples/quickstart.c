/* quickstart: one linear layer from float weights to packed 4-bit codes.
 *
 * The calls between the two lines of dashes are all that a host writes. The rest makes up a layer to work on, and at
 * the end computes the layer's outputs itself, to see that the error is the one that the library reports. */
#include "common/synthetic.h"

#include <bsq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 64, OUTPUTS = 32, SAMPLES = 2048 };

static float weights[OUTPUTS * INPUTS];
static float quantized[OUTPUTS * INPUTS];
static float activations[SAMPLES * INPUTS];

static double squared_output(const float *w)
{
    double sum = 0;
    for (int s = 0; s < SAMPLES; s++) {
        for (int m = 0; m < OUTPUTS; m++) {
            double y = 0;
            for (int k = 0; k < INPUTS; k++) {
                y += (double)w[m * INPUTS + k] * (double)activations[s * INPUTS + k];
            }
            sum += y * y;
        }
    }
    return sum;
}

/* |X (W - Q)'|^2 / |X W'|^2 over the calibration data, without the library. */
static double own_relative_error(void)
{
    static float difference[OUTPUTS * INPUTS];
    for (int i = 0; i < OUTPUTS * INPUTS; i++) {
        difference[i] = weights[i] - quantized[i];
    }
    return squared_output(difference) / squared_output(weights);
}

int main(void)
{
    synthetic_weights(1, OUTPUTS * INPUTS, weights);
    synthetic_activations(2, SAMPLES, INPUTS, activations);

    /* ---------------------------------------------------------------------------------------------------------- */
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;

    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 4;

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

    static int8_t codes[OUTPUTS * INPUTS];
    float scales[OUTPUTS];
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.codes = codes;
    tensor.code_count = OUTPUTS * INPUTS;
    tensor.scales = scales;
    tensor.scale_count = OUTPUTS;
    status = status ? status : bsq_layer_get_tensor(layer, &tensor);

    size_t size = 0;
    status = status ? status : bsq_tensor_packed_size(&tensor, BSQ_FORMAT_ONNX_INT4, &size, NULL);
    void *packed = malloc(size ? size : 1);
    status = status ? status : bsq_tensor_pack(&tensor, BSQ_FORMAT_ONNX_INT4, packed, size, NULL);
    /* ---------------------------------------------------------------------------------------------------------- */

    status = status ? status : bsq_layer_get_dequantized(layer, quantized, OUTPUTS * INPUTS);
    free(packed);
    if (status != BSQ_OK) {
        fprintf(stderr, "quickstart: %s: %s\n", bsq_status_string(status), bsq_layer_error_message(layer));
        bsq_layer_free(layer);
        return 1;
    }
    bsq_layer_free(layer);

    printf("linear %d -> %d, %d-bit weights\n", INPUTS, OUTPUTS, (int)report.weight_bits);
    printf("  rounding to nearest    %.5f relative output error\n", report.error_start);
    printf("  libbsq                 %.5f (%.2f x) in %.3f s\n", report.error, report.error / report.error_start,
           report.seconds);
    printf("  packed                 %zu bytes, was %zu; first scale %.5f\n", size, sizeof weights, (double)scales[0]);

    const double own = own_relative_error();
    if (!(fabs(own - report.error) <= 1e-3 * own) || !(report.error < report.error_start)) {
        fprintf(stderr, "quickstart: computed directly the error is %.9g, not %.9g\n", own, report.error);
        return 1;
    }
    return 0;
}
