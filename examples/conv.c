/* conv: a convolution inside a network that is already quantized in front of it.
 *
 * The layer gets inputs that earlier quantized layers have disturbed, and shall reproduce what the float network made
 * of the undisturbed ones (the target). Its inputs are quantized to 8 bits too. Several batches, each seen twice: once
 * to find the range of the inputs, once for the statistics. At the end the program runs the quantized layer itself. */
#include "common/synthetic.h"

#include <bsq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BATCHES = 4,
    SIZE = 8, /* samples in a batch */
    CHANNELS = 8,
    HEIGHT = 13,
    WIDTH = 16,
    OUTPUTS = 24,
    KERNEL = 3,
    STRIDE = 2,
    PAD_TOP_LEFT = 0, /* the asymmetric padding that TensorFlow calls SAME */
    PAD_BOTTOM_RIGHT = 1,
    OUT_HEIGHT = (HEIGHT + PAD_TOP_LEFT + PAD_BOTTOM_RIGHT - KERNEL) / STRIDE + 1,
    OUT_WIDTH = (WIDTH + PAD_TOP_LEFT + PAD_BOTTOM_RIGHT - KERNEL) / STRIDE + 1,
    FAN_IN = CHANNELS * KERNEL * KERNEL,
    INPUT_COUNT = SIZE * CHANNELS * HEIGHT * WIDTH,
    OUTPUT_COUNT = SIZE * OUTPUTS * OUT_HEIGHT * OUT_WIDTH,
    ROWS = SIZE * OUT_HEIGHT * OUT_WIDTH /* output positions in a batch */
};

static float weights[OUTPUTS * FAN_IN];
static float bias[OUTPUTS];
static float input[BATCHES][INPUT_COUNT];   /* what the quantized network feeds to the layer */
static float target[BATCHES][OUTPUT_COUNT]; /* what the layer gives in the float network */

/* One value of the convolution: sample s, output channel o, position (y, x). */
static double output_at(const float *w, const float *b, const float *in, int s, int o, int y, int x)
{
    double sum = (double)b[o];
    for (int c = 0; c < CHANNELS; c++) {
        for (int i = 0; i < KERNEL; i++) {
            for (int j = 0; j < KERNEL; j++) {
                const int row = y * STRIDE + i - PAD_TOP_LEFT;
                const int column = x * STRIDE + j - PAD_TOP_LEFT;
                if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH) {
                    sum += (double)w[((o * CHANNELS + c) * KERNEL + i) * KERNEL + j] *
                           (double)in[((s * CHANNELS + c) * HEIGHT + row) * WIDTH + column];
                }
            }
        }
    }
    return sum;
}

static void convolve(const float *w, const float *b, const float *in, float *out)
{
    for (int s = 0; s < SIZE; s++) {
        for (int o = 0; o < OUTPUTS; o++) {
            for (int y = 0; y < OUT_HEIGHT; y++) {
                for (int x = 0; x < OUT_WIDTH; x++) {
                    *out++ = (float)output_at(w, b, in, s, o, y, x);
                }
            }
        }
    }
}

/* Behind SiLU or hard-swish activations go a little below zero, so the quantizer needs a zero point. */
static const float depth = 0.25f;

static void lower(float *values)
{
    for (int k = 0; k < INPUT_COUNT; k++) {
        values[k] -= depth;
    }
}

static void lift(float *values)
{
    for (int k = 0; k < INPUT_COUNT; k++) {
        values[k] += depth;
    }
}

static void make_up_the_network(void)
{
    synthetic_weights(1, OUTPUTS * FAN_IN, weights);
    synthetic_weights(2, OUTPUTS, bias);
    for (uint64_t i = 0; i < BATCHES; i++) {
        synthetic_activations(10 + i, SIZE * CHANNELS * HEIGHT, WIDTH, input[i]);
        lower(input[i]);
        convolve(weights, bias, input[i], target[i]);
        lift(input[i]);
        synthetic_disturb(20 + i, 0.1f, INPUT_COUNT, input[i]);
        lower(input[i]);
    }
}

static void describe(bsq_layer_desc_t *desc)
{
    bsq_layer_desc_init(desc, sizeof *desc);
    desc->kind = BSQ_KIND_CONV;
    desc->spatial_dims = 2;
    desc->in_channels = CHANNELS;
    desc->out_channels = OUTPUTS;
    for (int i = 0; i < 2; i++) {
        desc->kernel[i] = KERNEL;
        desc->stride[i] = STRIDE;
        desc->pad_begin[i] = PAD_TOP_LEFT;
        desc->pad_end[i] = PAD_BOTTOM_RIGHT;
    }
}

static bsq_status_t stream_batches(bsq_layer_t *layer)
{
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.size = SIZE;
    batch.spatial[0] = HEIGHT;
    batch.spatial[1] = WIDTH;
    bsq_status_t status = BSQ_OK;
    for (int i = 0; i < BATCHES && status == BSQ_OK; i++) {
        batch.input = input[i];
        status = bsq_layer_observe(layer, &batch);
    }
    for (int i = 0; i < BATCHES && status == BSQ_OK; i++) {
        batch.input = input[i];
        batch.target = target[i];
        status = bsq_layer_calibrate(layer, &batch);
    }
    return status;
}

static bsq_status_t print_stages(bsq_layer_t *layer, const bsq_report_t *report)
{
    printf("  stage          effort       J before        J after   seconds\n");
    for (int32_t i = 0; i < report->stages; i++) {
        bsq_stage_t stage;
        bsq_stage_init(&stage, sizeof stage);
        const bsq_status_t status = bsq_layer_get_stage_report(layer, i, &stage);
        if (status != BSQ_OK) {
            return status;
        }
        printf("  %-14s %6d %14.6f %14.6f %9.4f\n", bsq_stage_string(stage.stage), (int)stage.effort,
               stage.objective_before, stage.objective_after, stage.seconds);
    }
    return BSQ_OK;
}

/* What an engine does to the layer's inputs, by the formula in bsq.h for a quantizer with a zero point. */
static void quantize_inputs(const bsq_input_quantizer_t *quantizer)
{
    const double highest = (double)((1 << quantizer->bits) - 1);
    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < INPUT_COUNT; k++) {
            const double code = rint((double)input[i][k] / quantizer->scale) + quantizer->zero_point;
            input[i][k] = (float)(quantizer->scale * (fmin(fmax(code, 0), highest) - quantizer->zero_point));
        }
    }
}

/* Mean over rows of the squared distance to the target, summed over output channels, without the library. */
static double own_squared_error(const float *w, const float *b)
{
    static float out[OUTPUT_COUNT];
    double sum = 0;
    for (int i = 0; i < BATCHES; i++) {
        convolve(w, b, input[i], out);
        for (int k = 0; k < OUTPUT_COUNT; k++) {
            const double difference = (double)out[k] - (double)target[i][k];
            sum += difference * difference;
        }
    }
    return sum / (double)(BATCHES * ROWS);
}

static bsq_status_t run(bsq_layer_t *layer, double *reported, double *own)
{
    static float quantized[OUTPUTS * FAN_IN];
    static float new_bias[OUTPUTS];
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    bsq_input_quantizer_t quantizer;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);

    bsq_status_t status = stream_batches(layer);
    status = status ? status : bsq_layer_get_input_quantizer(layer, &quantizer);
    status = status ? status : bsq_optimize(layer, &report);
    status = status ? status : bsq_layer_get_dequantized(layer, quantized, OUTPUTS * FAN_IN);
    status = status ? status : bsq_layer_get_bias(layer, new_bias, OUTPUTS);
    if (status != BSQ_OK) {
        return status;
    }
    printf("conv %dx%d stride %d, %d -> %d channels, %d-bit weights, %d-bit inputs of step %.5f around %d\n", KERNEL,
           KERNEL, STRIDE, CHANNELS, OUTPUTS, (int)report.weight_bits, (int)quantizer.bits, quantizer.scale,
           (int)quantizer.zero_point);
    printf("  relative output error  %.5f, of rounding %.5f, with any codes at least %.5f\n", report.error,
           report.error_start, report.error_floor);
    printf("  bias                   error %.5f without correction, %.5f with it\n", report.error_uncorrected,
           report.error_corrected);
    printf("  rows                   %.0f, %.1f for each weight of a channel\n", report.rows, report.rows_per_input);
    printf("  outcome                %s, %d of %d channels better than rounding, %.3f s, %s kernel\n",
           bsq_outcome_string(report.outcome), (int)report.channels_improved, OUTPUTS, report.seconds,
           bsq_kernel_string(report.kernel));
    quantize_inputs(&quantizer);
    *reported = report.error * report.energy;
    *own = own_squared_error(quantized, new_bias);
    return print_stages(layer, &report);
}

int main(void)
{
    make_up_the_network();
    bsq_layer_desc_t desc;
    describe(&desc);
    bsq_options_t options;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.input_bits = 8;
    options.bias_correction = 1;

    char text[256];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;

    bsq_layer_t *layer = NULL;
    if (bsq_layer_create(&desc, &options, weights, bias, &layer, &error) != BSQ_OK) {
        fprintf(stderr, "conv: %s\n", text);
        return 1;
    }
    double reported = 0;
    double own = 0;
    const bsq_status_t status = run(layer, &reported, &own);
    if (status != BSQ_OK) {
        fprintf(stderr, "conv: %s\n", bsq_layer_error_message(layer));
    }
    bsq_layer_free(layer);
    if (status == BSQ_OK && !(fabs(own - reported) <= 1e-3 * own)) {
        fprintf(stderr, "conv: run directly the squared error is %.9g, not %.9g\n", own, reported);
        return 1;
    }
    return status != BSQ_OK;
}
