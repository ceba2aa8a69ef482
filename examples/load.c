/* load: reads the tensor that save.c wrote, judges it by calibration data, and packs it for an engine.
 *
 *     load FILE */
#include "common/synthetic.h"

#include <bsq.h>

#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 80, OUTPUTS = 32, SAMPLES = 600, MOST = 1 << 20 };

static float weights[OUTPUTS * INPUTS];
static float activations[SAMPLES * INPUTS];

/* What is in the file is checked by the library, as anything that a host gives it. Buffers are the caller's to free. */
static int read_tensor(const char *path, bsq_tensor_t *tensor)
{
    int64_t extents[3] = {0};
    int32_t kinds[4] = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    int read = fread(extents, sizeof *extents, 3, file) == 3 && fread(kinds, sizeof *kinds, 4, file) == 4 &&
               extents[0] > 0 && extents[0] <= MOST && extents[1] > 0 && extents[1] <= MOST / extents[0];
    if (read) {
        tensor->channels = extents[0];
        tensor->fan_in = extents[1];
        tensor->group_size = extents[2];
        tensor->weight_bits = kinds[0];
        tensor->weight_grid = kinds[1];
        tensor->scale_kind = kinds[2];
        tensor->scale_format = kinds[3];
        tensor->code_count = extents[0] * extents[1];
        tensor->scale_count = extents[0]; /* save.c has a scale for each channel */
        tensor->codes = malloc((size_t)tensor->code_count);
        tensor->scales = malloc((size_t)tensor->scale_count * sizeof *tensor->scales);
        read = tensor->codes != NULL && tensor->scales != NULL &&
               fread(tensor->codes, 1, (size_t)tensor->code_count, file) == (size_t)tensor->code_count &&
               fread(tensor->scales, sizeof *tensor->scales, (size_t)tensor->scale_count, file) ==
                   (size_t)tensor->scale_count;
    }
    return (fclose(file) == 0) && read;
}

int main(int count, char **arguments)
{
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    if (count != 2 || !read_tensor(arguments[1], &tensor)) {
        fprintf(stderr, count == 2 ? "load: no tensor in this file\n" : "usage: load FILE\n");
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
    status = status ? status : bsq_layer_evaluate(layer, &tensor, &report);

    /* Packing needs no layer. */
    char text[256] = "";
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    size_t size = 0;
    bsq_status_t packing = bsq_tensor_packed_size(&tensor, BSQ_FORMAT_ONNX_INT4, &size, &error);
    void *packed = malloc(size + 1);
    packing = packing ? packing : bsq_tensor_pack(&tensor, BSQ_FORMAT_ONNX_INT4, packed, size, &error);
    if (status != BSQ_OK || packing != BSQ_OK) {
        fprintf(stderr, "load: %s\n", status != BSQ_OK ? bsq_layer_error_message(layer) : text);
    } else {
        printf("%.6f\n%zu bytes of %s\n", report.error, size, bsq_format_string(BSQ_FORMAT_ONNX_INT4));
    }
    free(packed);
    free(tensor.codes);
    free(tensor.scales);
    bsq_layer_free(layer);
    return status != BSQ_OK || packing != BSQ_OK;
}
