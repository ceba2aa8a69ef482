/* quantize.c - the part of the demo that uses libbsq: one network in, its quantized copy out
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "quantize.h"

#include <bsq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

/* ---- running layers on several threads ------------------------------------------------------------------------ */

struct run {
    const struct layer *layer;
    const float *input;
    float *products, *output;
};

static void run_range(void *context, int64_t first, int64_t end)
{
    const struct run *run = context;
    float *products = run->products ? run->products + first * layer_product_values(run->layer) : NULL;
    layer_run(run->layer, end - first, run->input + first * layer_input_values(run->layer), products,
              run->output + first * layer_output_values(run->layer));
}

void run_layer(const struct layer *layer, int32_t threads, int64_t count, const float *input, float *products,
               float *output)
{
    struct run run = {layer, input, products, output};
    work_run(threads, count, run_range, &run);
}

static float *next_input(const struct layer *layer, int32_t threads, int64_t count, float *input, float *products)
{
    float *output = work_alloc(count * layer_output_values(layer), sizeof *output);
    run_layer(layer, threads, count, input, products, output);
    free(input);
    return output;
}

static float *first_input(const struct layer *layer, const struct calibration *calibration)
{
    int64_t values = calibration->count * layer_input_values(layer);
    float *input = work_alloc(values, sizeof *input);
    memcpy(input, calibration->pictures, (size_t)values * sizeof *input);
    return input;
}

void calibration_collect(struct calibration *calibration, const struct network *network, int32_t threads)
{
    float *input = first_input(&network->layers[0], calibration);
    for (int32_t i = 0; i < network->count; i++) {
        const struct layer *layer = &network->layers[i];
        calibration->targets[i] = work_alloc(calibration->count * layer_product_values(layer), sizeof(float));
        input = next_input(layer, threads, calibration->count, input, calibration->targets[i]);
    }
    free(input);
}

void calibration_free(struct calibration *calibration)
{
    for (int32_t i = 0; i < NETWORK_MAX_LAYERS; i++) {
        free(calibration->targets[i]);
        calibration->targets[i] = NULL;
    }
}

/* ---- one layer through the library ------------------------------------------------------------------------------ */

static void must(bsq_status_t status, const char *message)
{
    if (status != BSQ_OK) {
        fprintf(stderr, "demo: %s: %s\n", bsq_status_string(status), message);
        exit(1);
    }
}

static bsq_layer_desc_t describe(const struct layer *layer)
{
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = layer->inputs;
    desc.out_channels = layer->outputs;
    desc.weight_layout = BSQ_WEIGHT_LAYOUT_OHWI;
    desc.activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    if (layer->kind == LAYER_LINEAR) {
        return desc;
    }
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = 2;
    desc.groups = layer->kind == LAYER_DEPTHWISE ? layer->inputs : 1;
    for (int i = 0; i < 2; i++) {
        desc.kernel[i] = layer->kernel;
        desc.stride[i] = layer->stride;
        desc.pad_begin[i] = desc.pad_end[i] = layer->kernel / 2;
    }
    return desc;
}

static bsq_layer_t *create_layer(const struct layer *layer, const struct setting *setting)
{
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = setting->weight_bits;
    options.input_bits = setting->input_bits;
    options.solver = setting->solver;
    options.threads = setting->threads;

    char text[256] = "";
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    bsq_layer_desc_t desc = describe(layer);
    bsq_layer_t *handle;
    must(bsq_layer_create(&desc, &options, layer->weights, layer->bias, &handle, &error), text);
    return handle;
}

static void calibrate(bsq_layer_t *handle, const struct layer *layer, const struct setting *setting, int64_t count,
                      const float *input, const float *target)
{
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = input;
    batch.target = target;
    batch.size = count;
    batch.spatial[0] = batch.spatial[1] = layer->size;
    if (setting->input_bits > 0) {
        must(bsq_layer_observe(handle, &batch), bsq_layer_error_message(handle));
    }
    must(bsq_layer_calibrate(handle, &batch), bsq_layer_error_message(handle));
}

/* Puts the quantized weights, and the steps of the quantized input, in the place of the float ones. */
static void install(bsq_layer_t *handle, struct layer *layer, const struct setting *setting)
{
    size_t count = (size_t)layer_weight_values(layer);
    size_t outputs = (size_t)layer->outputs;
    float *weights = work_alloc((int64_t)count, sizeof *weights);
    float *bias = work_alloc(layer->outputs, sizeof *bias);
    must(bsq_layer_get_dequantized(handle, weights, count), bsq_layer_error_message(handle));
    must(bsq_layer_get_bias(handle, bias, outputs), bsq_layer_error_message(handle));
    layer_set_weights(layer, weights, bias);
    free(bias);
    free(weights);
    if (setting->input_bits > 0) {
        bsq_input_quantizer_t steps;
        bsq_input_quantizer_init(&steps, sizeof steps);
        must(bsq_layer_get_input_quantizer(handle, &steps), bsq_layer_error_message(handle));
        float levels = (float)(1 << steps.bits);
        float low = steps.type == BSQ_INPUT_TYPE_SIGNED ? -levels / 2 : (float)-steps.zero_point;
        layer->input_steps = (struct steps){(float)steps.scale, low, low + levels - 1};
    }
}

struct network *quantize_network(const struct network *network, const struct calibration *calibration,
                                 const struct setting *setting, struct outcome *outcome)
{
    double start = work_seconds();
    struct network *quantized = network_copy(network);
    float *input = first_input(&network->layers[0], calibration);
    for (int32_t i = 0; i < network->count; i++) {
        struct layer *layer = &quantized->layers[i];
        bsq_layer_t *handle = create_layer(layer, setting);
        calibrate(handle, layer, setting, calibration->count, input, calibration->targets[i]);
        bsq_report_t report;
        bsq_report_init(&report, sizeof report);
        must(bsq_optimize(handle, &report), bsq_layer_error_message(handle));
        install(handle, layer, setting);
        bsq_layer_free(handle);
        outcome->error[i] = report.error;
        outcome->solve_seconds[i] = report.seconds;
        input = next_input(layer, setting->threads, calibration->count, input, NULL);
    }
    free(input);
    outcome->seconds = work_seconds() - start;
    return quantized;
}
