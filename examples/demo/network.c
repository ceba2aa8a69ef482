/* network.c - the demo's network: a file of weights, and pictures run through it layer by layer
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

/* Dense layers sum for eight outputs, as two times four, and for four positions together: as many sums as any 64-bit
 * machine has registers for. */
enum { PANEL = 8, ROWS = 4 };
typedef float quad_t __attribute__((vector_size(16)));

/* ---- extents ------------------------------------------------------------------------------------------------ */

int64_t layer_input_values(const struct layer *layer)
{
    return (int64_t)layer->size * layer->size * layer->inputs;
}

int64_t layer_product_values(const struct layer *layer)
{
    return (int64_t)layer->out_size * layer->out_size * layer->outputs;
}

int64_t layer_output_values(const struct layer *layer)
{
    return layer->pool ? layer->outputs : layer_product_values(layer);
}

int64_t layer_weight_values(const struct layer *layer)
{
    return (int64_t)layer->outputs * layer->fan_in;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

/* Dense layers: (outputs / PANEL, fan_in, PANEL). Depthwise layers: (taps, outputs). */
static void arrange_panels(struct layer *layer)
{
    int64_t n = layer->fan_in;
    for (int64_t o = 0; o < layer->outputs; o++) {
        for (int64_t k = 0; k < n; k++) {
            int64_t dense = (o / PANEL * n + k) * PANEL + o % PANEL;
            int64_t place = layer->kind == LAYER_DEPTHWISE ? k * layer->outputs + o : dense;
            layer->panels[place] = layer->weights[o * n + k];
        }
    }
}

void layer_set_weights(struct layer *layer, const float *weights, const float *bias)
{
    memcpy(layer->weights, weights, (size_t)layer_weight_values(layer) * sizeof *weights);
    memcpy(layer->bias, bias, (size_t)layer->outputs * sizeof *bias);
    arrange_panels(layer);
}

static void alloc_layer(struct layer *layer)
{
    layer->weights = work_alloc(layer_weight_values(layer), sizeof(float));
    layer->panels = work_alloc(layer_weight_values(layer), sizeof(float));
    layer->bias = work_alloc(layer->outputs, sizeof(float));
}

/* ---- file: little-endian, as every machine that this demo is likely to meet ------------------------------------ */

static const char file_magic[8] = {'b', 's', 'q', 'd', 'e', 'm', 'o', '1'};

static int sensible(const struct layer *layer, int32_t size, int32_t channels)
{
    int dense = layer->kind == LAYER_CONV || layer->kind == LAYER_LINEAR;
    int depthwise = layer->kind == LAYER_DEPTHWISE && layer->inputs == layer->outputs;
    int flat = layer->kind != LAYER_LINEAR || (layer->kernel == 1 && layer->stride == 1 && size == 1);
    int keeps = !layer->residual || (layer->inputs == layer->outputs && layer->stride == 1);
    return (dense || depthwise) && flat && keeps && layer->inputs == channels && layer->outputs > 0 &&
           layer->outputs <= 1024 && layer->outputs % PANEL == 0 && layer->kernel % 2 == 1 && layer->kernel > 0 &&
           layer->kernel <= 7 && (layer->stride == 1 || layer->stride == 2);
}

static int read_description(FILE *file, struct layer *layer)
{
    int32_t numbers[6];
    if (fread(layer->name, 1, LAYER_NAME, file) != LAYER_NAME || fread(numbers, 4, 6, file) != 6) {
        return 0;
    }
    layer->kind = numbers[0];
    layer->inputs = numbers[1];
    layer->outputs = numbers[2];
    layer->kernel = numbers[3];
    layer->stride = numbers[4];
    layer->residual = numbers[5] != 0;
    return 1;
}

static int read_descriptions(FILE *file, struct network *network, int32_t size, int32_t channels)
{
    for (int32_t i = 0; i < network->count; i++) {
        if (!read_description(file, &network->layers[i])) {
            return 0;
        }
    }
    for (int32_t i = 0; i < network->count; i++) {
        struct layer *layer = &network->layers[i];
        int last = i == network->count - 1;
        layer->pool = !last && layer[1].kind == LAYER_LINEAR;
        if (!sensible(layer, size, channels)) {
            return 0;
        }
        layer->relu = !last;
        layer->size = size;
        layer->out_size = (size - 1) / layer->stride + 1;
        layer->fan_in = layer->kernel * layer->kernel * (layer->kind == LAYER_DEPTHWISE ? 1 : layer->inputs);
        size = layer->pool ? 1 : layer->out_size;
        channels = layer->outputs;
    }
    return size == 1;
}

static int read_weights(FILE *file, struct network *network)
{
    for (int32_t i = 0; i < network->count; i++) {
        struct layer *layer = &network->layers[i];
        size_t count = (size_t)layer_weight_values(layer);
        size_t outputs = (size_t)layer->outputs;
        alloc_layer(layer);
        if (fread(layer->weights, 4, count, file) != count || fread(layer->bias, 4, outputs, file) != outputs) {
            return 0;
        }
        arrange_panels(layer);
    }
    return fgetc(file) == EOF;
}

static int read_file(FILE *file, struct network *network, int32_t size, int32_t channels)
{
    char magic[sizeof file_magic];
    if (fread(magic, 1, sizeof magic, file) != sizeof magic || memcmp(magic, file_magic, sizeof magic) != 0 ||
        fread(&network->count, 4, 1, file) != 1 || network->count < 1 || network->count > NETWORK_MAX_LAYERS) {
        network->count = 0;
        return 0;
    }
    return read_descriptions(file, network, size, channels) && read_weights(file, network);
}

struct network *network_read(const char *path, int32_t size, int32_t channels, const char **problem)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        *problem = "cannot be opened";
        return NULL;
    }
    struct network *network = work_alloc(1, sizeof *network);
    int good = read_file(file, network, size, channels);
    fclose(file);
    if (!good) {
        network_free(network);
        *problem = "is not a network for these pictures, as train.py writes it";
        return NULL;
    }
    return network;
}

struct network *network_copy(const struct network *network)
{
    struct network *copy = work_alloc(1, sizeof *copy);
    *copy = *network;
    for (int32_t i = 0; i < copy->count; i++) {
        alloc_layer(&copy->layers[i]);
        layer_set_weights(&copy->layers[i], network->layers[i].weights, network->layers[i].bias);
    }
    return copy;
}

void network_free(struct network *network)
{
    for (int32_t i = 0; network && i < network->count; i++) {
        free(network->layers[i].weights);
        free(network->layers[i].panels);
        free(network->layers[i].bias);
    }
    free(network);
}

/* ---- one layer ---------------------------------------------------------------------------------------------- */

static void keep_steps(struct steps steps, int64_t count, const float *x, float *kept)
{
    for (int64_t i = 0; i < count; i++) {
        float code = rintf(x[i] / steps.scale);
        code = code < steps.low ? steps.low : code > steps.high ? steps.high : code;
        kept[i] = steps.scale * code;
    }
}

/* Copies the inputs that each output position sees, zero outside of the picture: (positions, fan_in). */
static void gather_rows(const struct layer *layer, const float *input, float *rows)
{
    size_t channels = (size_t)layer->inputs;
    for (int32_t i = 0; i < layer->out_size * layer->out_size; i++) {
        for (int32_t tap = 0; tap < layer->kernel * layer->kernel; tap++) {
            int32_t y = i / layer->out_size * layer->stride + tap / layer->kernel - layer->kernel / 2;
            int32_t x = i % layer->out_size * layer->stride + tap % layer->kernel - layer->kernel / 2;
            if (y >= 0 && y < layer->size && x >= 0 && x < layer->size) {
                memcpy(rows, input + (size_t)(y * layer->size + x) * channels, channels * sizeof *rows);
            } else {
                memset(rows, 0, channels * sizeof *rows);
            }
            rows += channels;
        }
    }
}

static quad_t load(const float *x)
{
    quad_t quad;
    memcpy(&quad, x, sizeof quad);
    return quad;
}

static void store(float *y, quad_t low, quad_t high)
{
    memcpy(y, &low, sizeof low);
    memcpy(y + PANEL / 2, &high, sizeof high);
}

/* PANEL outputs at ROWS positions. Positions after the last are the last one again. */
static void panel_products(const struct layer *layer, const float *rows, int32_t position, int32_t output,
                           float *products)
{
    int64_t n = layer->fan_in;
    int32_t last = layer->out_size * layer->out_size - 1;
    const float *row[ROWS];
    float *to[ROWS];
    for (int i = 0; i < ROWS; i++) {
        int32_t at = position + i < last ? position + i : last;
        row[i] = rows + at * n;
        to[i] = products + at * layer->outputs + output;
    }
    const float *weights = layer->panels + output * n;
    const float *x0 = row[0], *x1 = row[1], *x2 = row[2], *x3 = row[3];
    quad_t low0 = load(layer->bias + output), high0 = load(layer->bias + output + PANEL / 2);
    quad_t low1 = low0, low2 = low0, low3 = low0, high1 = high0, high2 = high0, high3 = high0;
    for (int64_t k = 0; k < n; k++) {
        quad_t low = load(weights + k * PANEL), high = load(weights + k * PANEL + PANEL / 2);
        low0 += low * x0[k];
        high0 += high * x0[k];
        low1 += low * x1[k];
        high1 += high * x1[k];
        low2 += low * x2[k];
        high2 += high * x2[k];
        low3 += low * x3[k];
        high3 += high * x3[k];
    }
    store(to[0], low0, high0);
    store(to[1], low1, high1);
    store(to[2], low2, high2);
    store(to[3], low3, high3);
}

static void dense_products(const struct layer *layer, const float *rows, float *products)
{
    for (int32_t position = 0; position < layer->out_size * layer->out_size; position += ROWS) {
        for (int32_t output = 0; output < layer->outputs; output += PANEL) {
            panel_products(layer, rows, position, output, products);
        }
    }
}

/* 'rows' hold all channels of each tap, one tap after the other. */
static void depthwise_products(const struct layer *layer, const float *rows, float *products)
{
    int32_t channels = layer->outputs;
    for (int32_t i = 0; i < layer->out_size * layer->out_size; i++) {
        memcpy(products, layer->bias, (size_t)channels * sizeof *products);
        for (int32_t j = 0; j < layer->fan_in * channels; j += channels) {
            for (int32_t c = 0; c < channels; c++) {
                products[c] += layer->panels[j + c] * rows[j + c];
            }
        }
        rows += layer->fan_in * channels;
        products += channels;
    }
}

static void add_and_clip(const struct layer *layer, const float *input, const float *products, float *sums)
{
    for (int64_t i = 0; i < layer_product_values(layer); i++) {
        float y = layer->residual ? products[i] + input[i] : products[i];
        sums[i] = layer->relu && y < 0 ? 0 : y;
    }
}

static void take_mean(const struct layer *layer, const float *sums, float *output)
{
    int64_t positions = (int64_t)layer->out_size * layer->out_size;
    for (int32_t c = 0; c < layer->outputs; c++) {
        float sum = 0;
        for (int64_t i = 0; i < positions; i++) {
            sum += sums[i * layer->outputs + c];
        }
        output[c] = sum / (float)positions;
    }
}

static void finish(const struct layer *layer, const float *input, const float *products, float *sums, float *output)
{
    add_and_clip(layer, input, products, layer->pool ? sums : output);
    if (layer->pool) {
        take_mean(layer, sums, output);
    }
}

void layer_run(const struct layer *layer, int64_t count, const float *input, float *products, float *output)
{
    int64_t values = layer_input_values(layer);
    int64_t taps = (int64_t)layer->kernel * layer->kernel;
    float *kept = work_alloc(values, sizeof *kept);
    float *rows = work_alloc((int64_t)layer->out_size * layer->out_size * taps * layer->inputs, sizeof *rows);
    float *own = work_alloc(layer_product_values(layer), sizeof *own);
    float *sums = work_alloc(layer_product_values(layer), sizeof *sums);
    for (int64_t i = 0; i < count; i++) {
        const float *x = input + i * values;
        float *y = products ? products + i * layer_product_values(layer) : own;
        if (layer->input_steps.scale > 0) {
            keep_steps(layer->input_steps, values, x, kept);
            x = kept;
        }
        gather_rows(layer, x, rows);
        if (layer->kind == LAYER_DEPTHWISE) {
            depthwise_products(layer, rows, y);
        } else {
            dense_products(layer, rows, y);
        }
        finish(layer, x, y, sums, output + i * layer_output_values(layer));
    }
    free(sums);
    free(own);
    free(rows);
    free(kept);
}

/* ---- the network -------------------------------------------------------------------------------------------- */

/* Few pictures go through all layers together, so that what they leave fits into the cache. */
enum { TOGETHER = 16 };

static int64_t most_values(const struct network *network)
{
    int64_t most = 0;
    for (int32_t i = 0; i < network->count; i++) {
        int64_t values = layer_output_values(&network->layers[i]);
        most = values > most ? values : most;
    }
    return most;
}

void network_run(const struct network *network, int64_t count, const float *pictures, float *scores)
{
    int64_t most = most_values(network);
    int64_t picture = layer_input_values(&network->layers[0]);
    int64_t classes = network->layers[network->count - 1].outputs;
    float *buffers[2] = {work_alloc(most * TOGETHER, sizeof(float)), work_alloc(most * TOGETHER, sizeof(float))};
    for (int64_t first = 0; first < count; first += TOGETHER) {
        int64_t now = count - first < TOGETHER ? count - first : TOGETHER;
        const float *x = pictures + first * picture;
        for (int32_t i = 0; i < network->count; i++) {
            float *y = i == network->count - 1 ? scores + first * classes : buffers[i % 2];
            layer_run(&network->layers[i], now, x, NULL, y);
            x = y;
        }
    }
    free(buffers[0]);
    free(buffers[1]);
}
