/* save: quantizes a layer and writes the result, a tensor that describes itself, to a file; load.c reads it.
 *
 *     save FILE */
#include "common/synthetic.h"

#include <bsq.h>

#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 80, OUTPUTS = 32, SAMPLES = 600 };

static float weights[OUTPUTS * INPUTS];
static float activations[SAMPLES * INPUTS];

/* A file of one's own: extents and what the codes and scales are, then both; for machines of one kind. */
static int write_tensor(const char *path, const bsq_tensor_t *tensor)
{
    const int64_t extents[3] = {tensor->channels, tensor->fan_in, tensor->group_size};
    const int32_t kinds[4] = {tensor->weight_bits, tensor->weight_grid, tensor->scale_kind, tensor->scale_format};
    const size_t codes = (size_t)tensor->code_count;
    const size_t scales = (size_t)tensor->scale_count;
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return 0;
    }
    const int written = fwrite(extents, sizeof *extents, 3, file) == 3 && fwrite(kinds, sizeof *kinds, 4, file) == 4 &&
                        fwrite(tensor->codes, 1, codes, file) == codes &&
                        fwrite(tensor->scales, sizeof *tensor->scales, scales, file) == scales;
    return (fclose(file) == 0) && written;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: save FILE\n");
        return 2;
    }
    synthetic_weights(7, OUTPUTS * INPUTS, weights);
    synthetic_activations(8, SAMPLES, INPUTS, activations);
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;
    bsq_layer_t *layer = NULL;
    bsq_status_t status = bsq_layer_create(&desc, NULL, weights, NULL, &layer, NULL);
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
    status = status ? status : bsq_layer_get_tensor(layer, &tensor);
    tensor.codes = malloc((size_t)tensor.code_count + 1);
    tensor.scales = malloc(((size_t)tensor.scale_count + 1) * sizeof *tensor.scales);
    status = status ? status : bsq_layer_get_tensor(layer, &tensor);
    int failed = status != BSQ_OK;
    if (failed) {
        fprintf(stderr, "save: %s: %s\n", bsq_status_string(status), bsq_layer_error_message(layer));
    } else if (!write_tensor(arguments[1], &tensor)) {
        fprintf(stderr, "save: cannot write %s\n", arguments[1]);
        failed = 1;
    } else {
        printf("%.6f\n", report.error);
    }
    free(tensor.codes);
    free(tensor.scales);
    bsq_layer_free(layer);
    return failed;
}
