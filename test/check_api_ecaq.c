/* Quantized inputs as a host sees them: arithmetic on integers equals that of the folded layer, with one scale for all
 * inputs and with one for each channel; where quantizers come from, and how they are handed on. */
#include "support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- layers ---- */

static const struct shape {
    const char *name;
    int dims;
    int64_t inputs, outputs, groups, kernel, stride, dilation, padding;
    int32_t weights_last, channels_last;
} shapes[] = {
    {"linear", 0, 9, 5, 1, 1, 1, 1, 0, 0, 0},
    {"linear, channels last", 0, 9, 5, 1, 1, 1, 1, 0, 1, 1},
    {"conv 1x1", 2, 6, 4, 1, 1, 1, 1, 0, 0, 0},
    {"conv with padding", 2, 5, 4, 1, 3, 1, 1, 1, 0, 0},
    {"conv with padding, channels last", 2, 5, 4, 1, 3, 1, 1, 1, 1, 1},
    {"conv, weights last", 2, 5, 4, 1, 3, 2, 1, 1, 1, 0},
    {"groups", 2, 6, 4, 2, 3, 2, 1, 1, 0, 0},
    {"groups, channels last", 2, 6, 4, 2, 3, 1, 2, 2, 1, 1},
    {"depthwise", 2, 5, 5, 5, 3, 1, 1, 1, 0, 0},
    {"depthwise, channels last", 2, 5, 10, 5, 3, 1, 1, 1, 1, 1},
};

enum { SHAPES = sizeof shapes / sizeof *shapes, TYPES = 3, SAMPLES = 24, EXTENT = 6 };

/* A layer with data; channels differ in size, the last one is always zero. */
struct scene {
    const struct shape *shape;
    bsq_layer_desc_t desc;
    int64_t taps, group_inputs, group_outputs, fan_in, in, out; /* in, out: pixels */
    int64_t side, out_side;
    int64_t input_count, output_count, weight_count;
    float *input, *target, *weights, *bias;
};

static double channel_size(int64_t c)
{
    return pow(4.0, (double)(c % 3) - 1.0) * (1.0 + 0.1 * (double)c);
}

static double activation(double x, int32_t type)
{
    if (type == BSQ_INPUT_TYPE_UNSIGNED)
        return x > 0 ? x : 0;
    return type == BSQ_INPUT_TYPE_SIGNED ? x : x / (1 + exp(-x)); /* SiLU: needs a zero point */
}

static int64_t input_place(const struct scene *scene, int64_t sample, int64_t c, int64_t pixel)
{
    bool last = scene->desc.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    int64_t channels = scene->shape->inputs;

    return last ? (sample * scene->in + pixel) * channels + c : (sample * channels + c) * scene->in + pixel;
}

static int64_t output_place(const struct scene *scene, int64_t sample, int64_t m, int64_t pixel)
{
    bool last = scene->desc.activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
    int64_t channels = scene->shape->outputs;

    return last ? (sample * scene->out + pixel) * channels + m : (sample * channels + m) * scene->out + pixel;
}

static int64_t weight_place(const struct scene *scene, int64_t m, int64_t c, int64_t tap)
{
    bool last = scene->desc.weight_layout == BSQ_WEIGHT_LAYOUT_OHWI;

    return m * scene->fan_in + (last ? tap * scene->group_inputs + c : c * scene->taps + tap);
}

/* What one sum over the inputs of an output goes through: the input pixel of a tap, or -1 in the padding. */
static int64_t pixel_of(const struct scene *scene, int64_t out, int64_t tap)
{
    const struct shape *shape = scene->shape;
    int64_t y, x;

    if (shape->dims == 0)
        return 0;
    y = out / scene->out_side * shape->stride + tap / shape->kernel * shape->dilation - shape->padding;
    x = out % scene->out_side * shape->stride + tap % shape->kernel * shape->dilation - shape->padding;
    return y < 0 || x < 0 || y >= scene->side || x >= scene->side ? -1 : y * scene->side + x;
}

/* Output m of one pixel: sum of weights times inputs, in double. */
static double output_of(const struct scene *scene, const double *weights, const double *input, int64_t sample,
                        int64_t m, int64_t out)
{
    int64_t first = m / scene->group_outputs * scene->group_inputs;
    double sum = 0;

    for (int64_t tap = 0; tap < scene->taps; tap++)
        for (int64_t c = 0; c < scene->group_inputs; c++) {
            int64_t pixel = pixel_of(scene, out, tap);

            if (pixel >= 0)
                sum += weights[weight_place(scene, m, c, tap)] * input[input_place(scene, sample, first + c, pixel)];
        }
    return sum;
}

static double *widened(const float *values, int64_t count)
{
    double *wide = malloc((size_t)count * sizeof *wide);

    for (int64_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
    return wide;
}

static float *room(int64_t count)
{
    return calloc((size_t)count, sizeof(float));
}

static struct scene scene_of(const struct shape *shape, int32_t type, uint64_t seed)
{
    struct test_random random = test_random_seed(seed);
    struct scene scene = {.shape = shape};
    int64_t side = shape->dims ? EXTENT : 1;

    bsq_layer_desc_init(&scene.desc, sizeof scene.desc);
    scene.desc.kind = shape->dims ? BSQ_KIND_CONV : BSQ_KIND_LINEAR;
    scene.desc.spatial_dims = shape->dims;
    scene.desc.in_channels = shape->inputs;
    scene.desc.out_channels = shape->outputs;
    scene.desc.groups = shape->groups;
    scene.desc.weight_layout = BSQ_WEIGHT_LAYOUT_OIHW + shape->weights_last;
    scene.desc.activation_layout = BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST + shape->channels_last;
    for (int d = 0; d < shape->dims; d++) {
        scene.desc.kernel[d] = shape->kernel;
        scene.desc.stride[d] = shape->stride;
        scene.desc.dilation[d] = shape->dilation;
        scene.desc.pad_begin[d] = scene.desc.pad_end[d] = shape->padding;
    }
    scene.side = side;
    scene.out_side = (side + 2 * shape->padding - shape->dilation * (shape->kernel - 1) - 1) / shape->stride + 1;
    scene.in = side * side;
    scene.out = scene.out_side * scene.out_side;
    scene.taps = shape->kernel * shape->kernel;
    scene.group_inputs = shape->inputs / shape->groups;
    scene.group_outputs = shape->outputs / shape->groups;
    scene.fan_in = scene.group_inputs * scene.taps;
    scene.weight_count = shape->outputs * scene.fan_in;
    scene.input_count = SAMPLES * shape->inputs * scene.in;
    scene.output_count = SAMPLES * shape->outputs * scene.out;
    scene.input = room(scene.input_count);
    scene.target = room(scene.output_count);
    scene.weights = room(scene.weight_count);
    scene.bias = room(shape->outputs);
    for (int64_t m = 0; m < shape->outputs; m++) {
        scene.bias[m] = (float)test_random_normal(&random);
        for (int64_t c = 0; c < scene.group_inputs; c++) {
            double size = channel_size(m / scene.group_outputs * scene.group_inputs + c);

            for (int64_t tap = 0; tap < scene.taps; tap++)
                scene.weights[weight_place(&scene, m, c, tap)] = (float)(test_random_normal(&random) / size);
        }
    }
    for (int64_t s = 0; s < SAMPLES; s++)
        for (int64_t c = 0; c < shape->inputs - 1; c++)
            for (int64_t pixel = 0; pixel < scene.in; pixel++)
                scene.input[input_place(&scene, s, c, pixel)] =
                    (float)(channel_size(c) * activation(test_random_normal(&random) + 0.2, type));

    double *weights = widened(scene.weights, scene.weight_count), *input = widened(scene.input, scene.input_count);

    for (int64_t s = 0; s < SAMPLES; s++)
        for (int64_t m = 0; m < shape->outputs; m++)
            for (int64_t out = 0; out < scene.out; out++)
                scene.target[output_place(&scene, s, m, out)] =
                    (float)(output_of(&scene, weights, input, s, m, out) + (double)scene.bias[m]);
    free(weights);
    free(input);
    return scene;
}

static void drop(struct scene *scene)
{
    free(scene->input);
    free(scene->target);
    free(scene->weights);
    free(scene->bias);
}

static bsq_options_t options_of(int32_t type, int32_t kind, int32_t bits)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.input_bits = bits;
    options.input_type = type;
    options.input_scale_kind = kind;
    options.effort = 2;
    return options;
}

static bsq_batch_t batch_of(const struct scene *scene, bool with_target)
{
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.input = scene->input;
    batch.target = with_target ? scene->target : NULL;
    batch.size = SAMPLES;
    batch.spatial[0] = batch.spatial[1] = scene->side;
    return batch;
}

static bsq_layer_t *layer_of(const struct scene *scene, const bsq_options_t *options)
{
    bsq_layer_t *layer;

    ck_assert_int_eq(bsq_layer_create(&scene->desc, options, scene->weights, scene->bias, &layer, NULL), BSQ_OK);
    return layer;
}

static bsq_layer_t *calibrated(const struct scene *scene, const bsq_options_t *options)
{
    bsq_layer_t *layer = layer_of(scene, options);
    bsq_batch_t batch = batch_of(scene, true);

    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    return layer;
}

/* ---- an engine ---- */

/* Everything that an engine gets of a layer. */
struct engine {
    const struct scene *scene;
    bsq_input_quantizer_t quantizer;
    double *scales; /* of the input channels */
    int32_t *zero_points;
    int8_t *codes;
    float *weight_scales, *bias, *code_bias, *dequantized;
    int32_t *input; /* codes of the inputs */
};

static int32_t code_of(const struct engine *engine, double x, int64_t c)
{
    int32_t codes = 1 << engine->quantizer.bits;
    int32_t lowest = engine->quantizer.type == BSQ_INPUT_TYPE_SIGNED ? -codes / 2 : 0;
    double code = rint(x / engine->scales[c]) + engine->zero_points[c];

    return (int32_t)fmin(fmax(code, lowest), lowest + codes - 1);
}

static struct engine engine_of(bsq_layer_t *layer, const struct scene *scene)
{
    struct engine engine = {.scene = scene};
    size_t inputs = (size_t)scene->shape->inputs, outputs = (size_t)scene->shape->outputs;
    size_t weights = (size_t)scene->weight_count;

    engine.scales = calloc(inputs, sizeof(double));
    engine.zero_points = calloc(inputs, sizeof(int32_t));
    engine.codes = calloc(weights, 1);
    engine.weight_scales = calloc(outputs, sizeof(float));
    engine.bias = calloc(outputs, sizeof(float));
    engine.code_bias = calloc(outputs, sizeof(float));
    engine.dequantized = calloc(weights, sizeof(float));
    engine.input = calloc((size_t)scene->input_count, sizeof(int32_t));
    bsq_input_quantizer_init(&engine.quantizer, sizeof engine.quantizer);
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &engine.quantizer));
    test_ok(layer, bsq_layer_get_input_channels(layer, engine.scales, engine.zero_points, inputs));
    test_ok(layer, bsq_layer_get_codes(layer, engine.codes, weights));
    test_ok(layer, bsq_layer_get_scales(layer, engine.weight_scales, outputs));
    test_ok(layer, bsq_layer_get_bias(layer, engine.bias, outputs));
    test_ok(layer, bsq_layer_get_code_bias(layer, engine.code_bias, outputs));
    test_ok(layer, bsq_layer_get_dequantized(layer, engine.dequantized, weights));
    for (int64_t s = 0; s < SAMPLES; s++)
        for (int64_t c = 0; c < scene->shape->inputs; c++)
            for (int64_t pixel = 0; pixel < scene->in; pixel++) {
                int64_t at = input_place(scene, s, c, pixel);

                engine.input[at] = code_of(&engine, (double)scene->input[at], c);
            }
    return engine;
}

static void stop(struct engine *engine)
{
    free(engine->scales);
    free(engine->zero_points);
    free(engine->codes);
    free(engine->weight_scales);
    free(engine->bias);
    free(engine->code_bias);
    free(engine->dequantized);
    free(engine->input);
}

/* Sum of products of codes, in 32 bits: zero points left in and padding filled with them, or taken off. */
static int32_t accumulate(const struct engine *engine, int64_t sample, int64_t m, int64_t out, bool zero_points_in)
{
    const struct scene *scene = engine->scene;
    int64_t first = m / scene->group_outputs * scene->group_inputs;
    int32_t sum = 0;

    for (int64_t tap = 0; tap < scene->taps; tap++)
        for (int64_t c = 0; c < scene->group_inputs; c++) {
            int64_t pixel = pixel_of(scene, out, tap);
            int32_t zero = engine->zero_points[first + c];
            int32_t code = pixel < 0 ? zero : engine->input[input_place(scene, sample, first + c, pixel)];

            sum += engine->codes[weight_place(scene, m, c, tap)] * (zero_points_in ? code : code - zero);
        }
    return sum;
}

/* What the layer computes in real numbers, folded or not. */
struct real {
    double *folded_weights, *folded_input, *weights, *input;
};

static struct real real_of(const struct engine *engine)
{
    const struct scene *scene = engine->scene;
    struct real real = {
        widened(engine->dequantized, scene->weight_count),
        widened(scene->input, scene->input_count),
        widened(engine->dequantized, scene->weight_count),
        widened(scene->input, scene->input_count),
    };

    for (int64_t i = 0; i < scene->weight_count; i++)
        real.folded_weights[i] = (double)(engine->weight_scales[i / scene->fan_in] * (float)engine->codes[i]);
    for (int64_t s = 0; s < SAMPLES; s++)
        for (int64_t c = 0; c < scene->shape->inputs; c++)
            for (int64_t pixel = 0; pixel < scene->in; pixel++) {
                int64_t at = input_place(scene, s, c, pixel);
                int32_t steps = engine->input[at] - engine->zero_points[c];

                real.folded_input[at] = (double)(float)(engine->quantizer.scale * steps);
                real.input[at] = engine->scales[c] * steps;
            }
    return real;
}

static void forget(struct real *real)
{
    free(real->folded_weights);
    free(real->folded_input);
    free(real->weights);
    free(real->input);
}

/* A size that rounding errors of an output can be compared with. */
static double size_of(const struct scene *scene, const struct real *real, int64_t m)
{
    double weights = 0, input = 0;

    for (int64_t i = m * scene->fan_in; i < (m + 1) * scene->fan_in; i++)
        weights += fabs(real->folded_weights[i]);
    for (int64_t i = 0; i < scene->input_count; i++)
        input = fmax(input, fabs(real->folded_input[i]));
    return weights * input;
}

/* Index: shape, type and kind of scale. */
static void parts_of(int index, const struct shape **shape, int32_t *type, int32_t *kind)
{
    *shape = &shapes[index % SHAPES];
    *type = BSQ_INPUT_TYPE_UNSIGNED + index / SHAPES % TYPES;
    *kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR + index / SHAPES / TYPES;
}

enum { CASES = SHAPES * TYPES * 2 };

/* The claim of ECAQ: codes times codes, one multiplier for each output channel, zero points in the bias. */
START_TEST(integers_equal_real_numbers)
{
    const struct shape *shape;
    int32_t type, kind;

    parts_of(_i, &shape, &type, &kind);
    for (int bits = 2; bits <= 8; bits += 3) {
        struct scene scene = scene_of(shape, type, (uint64_t)_i);
        bsq_options_t options = options_of(type, kind, bits);
        bsq_report_t report;
        double squares = 0;

        options.bias_correction = bits == 5;
        bsq_report_init(&report, sizeof report);

        bsq_layer_t *layer = calibrated(&scene, &options);

        test_ok(layer, bsq_optimize(layer, &report));

        struct engine engine = engine_of(layer, &scene);
        struct real real = real_of(&engine);

        ck_assert_int_eq(engine.quantizer.type, type);
        ck_assert_int_eq(engine.quantizer.scale_kind, kind);
        for (int64_t m = 0; m < shape->outputs; m++) {
            double multiplier = (double)engine.weight_scales[m] * engine.quantizer.scale, bias = (double)engine.bias[m];
            double size = size_of(&scene, &real, m);

            for (int64_t s = 0; s < SAMPLES; s++)
                for (int64_t out = 0; out < scene.out; out++) {
                    double plain = accumulate(&engine, s, m, out, false) * multiplier + bias;
                    double with_zero_points =
                        accumulate(&engine, s, m, out, true) * multiplier + (double)engine.code_bias[m];
                    double folded = output_of(&scene, real.folded_weights, real.folded_input, s, m, out) + bias;
                    double unfolded = output_of(&scene, real.weights, real.input, s, m, out) + bias;
                    double target = (double)scene.target[output_place(&scene, s, m, out)];

                    ck_assert_double_eq_tol(plain, folded, 1e-6 * size);
                    ck_assert_double_eq_tol(with_zero_points, folded,
                                            3e-6 * (size + fabs(bias)) * (1 << engine.quantizer.bits));
                    ck_assert_double_eq_tol(unfolded, folded, 1e-6 * size);
                    squares += (plain - target) * (plain - target);
                }
        }
        squares /= (double)(SAMPLES * scene.out);
        ck_assert_double_eq_tol(squares, report.error * report.energy, 1e-4 * squares);
        forget(&real);
        stop(&engine);
        bsq_layer_free(layer);
        drop(&scene);
    }
}
END_TEST

/* H, P and the means are those of the folded rows, padding as zeros. */
START_TEST(statistics_are_folded)
{
    const struct shape *shape;
    int32_t type, kind;

    parts_of(_i, &shape, &type, &kind);

    struct scene scene = scene_of(shape, type, (uint64_t)_i);
    bsq_options_t options = options_of(type, kind, 4);
    bsq_layer_t *layer = calibrated(&scene, &options);
    int64_t n = scene.fan_in;

    test_ok(layer, bsq_optimize(layer, NULL));

    struct engine engine = engine_of(layer, &scene);
    struct real real = real_of(&engine);
    struct test_data sizes = {.channels = shape->outputs, .fan_in = n, .groups = shape->groups};
    struct test_moments moments = test_moments_get(layer, &sizes, 0, true);
    double *row = malloc((size_t)n * sizeof *row), *h = calloc((size_t)(n * n), sizeof *h);

    for (int64_t g = 0; g < shape->groups; g++) {
        memset(h, 0, (size_t)(n * n) * sizeof *h);
        for (int64_t s = 0; s < SAMPLES; s++)
            for (int64_t out = 0; out < scene.out; out++) {
                for (int64_t tap = 0; tap < scene.taps; tap++)
                    for (int64_t c = 0; c < scene.group_inputs; c++) {
                        int64_t pixel = pixel_of(&scene, out, tap);
                        int64_t channel = g * scene.group_inputs + c;

                        row[weight_place(&scene, 0, c, tap)] =
                            pixel < 0 ? 0 : real.folded_input[input_place(&scene, s, channel, pixel)];
                    }
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = 0; j < n; j++)
                        h[i * n + j] += row[i] * row[j] / (double)(SAMPLES * scene.out);
            }
        for (int64_t i = 0; i < n * n; i++)
            ck_assert_double_eq_tol(moments.h[g * n * n + i], h[i], 1e-12 * (1 + h[i / n * (n + 1)]));
    }
    free(row);
    free(h);
    test_moments_free(&moments);
    forget(&real);
    stop(&engine);
    bsq_layer_free(layer);
    drop(&scene);
}
END_TEST

/* Scales of channels help where channels differ, and damping pulls towards the weights as they are folded. */
START_TEST(channels_are_better_and_damped)
{
    struct scene scene = scene_of(&shapes[3], BSQ_INPUT_TYPE_ZERO_POINT, 3);
    double errors[2];

    for (int32_t kind = 0; kind < 2; kind++) {
        bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_TENSOR + kind, 4);
        bsq_report_t report;
        bsq_layer_t *layer = calibrated(&scene, &options);

        bsq_report_init(&report, sizeof report);
        test_ok(layer, bsq_optimize(layer, &report));
        errors[kind] = report.error;
        options.damping = 1;
        options.weight_bits = 8;
        test_ok(layer, bsq_layer_set_options(layer, &options));
        test_ok(layer, bsq_optimize(layer, &report));

        struct engine engine = engine_of(layer, &scene);
        double distance = 0, size = 0;

        for (int64_t i = 0; i < scene.weight_count; i++) {
            int64_t c = i % scene.fan_in / scene.taps;
            double beta = engine.scales[c] / engine.quantizer.scale, w = (double)scene.weights[i] * beta;
            double difference = w - (double)engine.weight_scales[i / scene.fan_in] * engine.codes[i];

            distance += difference * difference;
            size += w * w;
        }
        ck_assert_double_eq_tol(report.weight_error, distance / size, 1e-4 * report.weight_error);
        ck_assert_double_le(report.weight_error, 0.3);
        stop(&engine);
        bsq_layer_free(layer);
    }
    ck_assert_double_le(errors[1], 0.5 * errors[0]);
    drop(&scene);
}
END_TEST

/* The numbers of docs/method.md, section 3. */
START_TEST(worked_example)
{
    const float weights[] = {0.9F, -0.2F}, bias[] = {0.5F};
    const float input[] = {0.4F, 12, 1.8F, 5, 2.2F, 25, 0.9F, 9};
    const double output[] = {-2.573333, 0, -2.573333, -0.643333}, scales[] = {1, 8};
    const int32_t codes[] = {0, 2, 2, 1, 2, 3, 1, 1}, products[] = {-4, 0, -4, -1};
    float target[4], scale, dequantized[2];
    int8_t found[2];
    bsq_layer_desc_t desc;
    bsq_options_t options;
    bsq_input_quantizer_t quantizer;
    bsq_batch_t batch;
    bsq_report_t report;
    bsq_layer_t *layer;

    for (int i = 0; i < 4; i++)
        target[i] = weights[0] * input[2 * i] + weights[1] * input[2 * i + 1] + bias[0];
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = 2;
    desc.out_channels = 1;
    bsq_options_init(&options, sizeof options);
    options.weight_bits = 3;
    options.damping = 0;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 8;
    quantizer.bits = 2;
    quantizer.type = BSQ_INPUT_TYPE_UNSIGNED;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = input;
    batch.target = target;
    batch.size = 4;
    bsq_report_init(&report, sizeof report);
    for (int kind = 0; kind < 2; kind++) {
        ck_assert_int_eq(bsq_layer_create(&desc, &options, weights, bias, &layer, NULL), BSQ_OK);
        if (kind == 0)
            test_ok(layer, bsq_layer_set_input_quantizer(layer, &quantizer));
        else
            test_ok(layer, bsq_layer_set_input_channels(layer, &quantizer, scales, NULL, 2));
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
        test_ok(layer, bsq_optimize(layer, &report));
        ck_assert_double_eq_tol(report.energy, 3.661625, 1e-6);
        ck_assert_double_eq_tol(report.error, kind ? 0.0675 : 0.1692, 5e-5);
        ck_assert_double_eq_tol(report.error_floor, kind ? report.error : 0.1692, 5e-5);
        if (kind)
            ck_assert_double_eq_tol(report.error_start, 0.1017, 5e-5);
        test_ok(layer, bsq_layer_get_codes(layer, found, 2));
        test_ok(layer, bsq_layer_get_scales(layer, &scale, 1));
        test_ok(layer, bsq_layer_get_dequantized(layer, dequantized, 2));
        bsq_layer_free(layer);
    }
    ck_assert(found[0] == 1 && found[1] == -2);
    ck_assert_double_eq_tol((double)scale, 0.080417, 1e-6);
    ck_assert_double_eq_tol((double)dequantized[0], 0.643333, 1e-6);
    ck_assert_double_eq_tol((double)dequantized[1], -0.160833, 1e-6);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(found[0] * codes[2 * i] + found[1] * codes[2 * i + 1], products[i]);
        ck_assert_double_eq_tol(products[i] * (double)scale * quantizer.scale, output[i], 2e-6);
    }
}
END_TEST

/* ---- where quantizers come from ---- */

/* The channel that is always zero has beta 1, the largest beta is 1, and scales follow the sizes of channels. */
START_TEST(observed_channels)
{
    struct scene scene = scene_of(&shapes[0], BSQ_INPUT_TYPE_UNSIGNED, 1);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 8);
    bsq_layer_t *layer = layer_of(&scene, &options);
    bsq_batch_t batch = batch_of(&scene, false);
    bsq_input_quantizer_t quantizer;
    double scales[9], largest = 0;
    int32_t zero_points[9];

    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    options.input_clip = BSQ_INPUT_CLIP_MINIMUM_MAXIMUM;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &quantizer));
    test_ok(layer, bsq_layer_get_input_channels(layer, scales, zero_points, 9));
    for (int c = 0; c < 8; c++) {
        double most = 0;

        for (int s = 0; s < SAMPLES; s++)
            most = fmax(most, (double)scene.input[s * 9 + c]);
        ck_assert_double_eq_tol(scales[c], most / 255, 1e-6 * most);
        ck_assert_int_eq(zero_points[c], 0);
        largest = fmax(largest, scales[c]);
    }
    ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_UNSIGNED);
    ck_assert_int_eq(quantizer.scale_kind, BSQ_INPUT_SCALE_KIND_PER_CHANNEL);
    ck_assert(quantizer.scale == largest && scales[8] == largest && quantizer.zero_point == 0);
    /* One negative value anywhere: zero points for all. What was chosen before no longer holds. */
    scene.input[3] = -1;
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &quantizer));
    ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_ZERO_POINT);
    test_ok(layer, bsq_layer_get_input_channels(layer, NULL, zero_points, 9));
    ck_assert_int_gt(zero_points[3], 0);
    ck_assert_int_eq(zero_points[4], 0);
    options.input_clip = BSQ_INPUT_CLIP_SQUARED_ERROR;
    options.input_bits = 3;
    test_ok(layer, bsq_layer_set_options(layer, &options));
    test_ok(layer, bsq_layer_get_input_quantizer(layer, &quantizer));
    ck_assert_int_eq(quantizer.bits, 3);
    bsq_layer_free(layer);
    drop(&scene);
}
END_TEST

static uint64_t hash_of(bsq_layer_t *layer)
{
    test_ok(layer, bsq_optimize(layer, NULL));
    return test_hash_result(test_hash_stats(TEST_HASH_START, layer, 0), layer);
}

/* Handed over to another layer, the quantizer does the same, bit for bit; its own scale may be any. */
START_TEST(channels_given_by_the_host)
{
    struct scene scene = scene_of(&shapes[4], BSQ_INPUT_TYPE_ZERO_POINT, 1);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 4);
    bsq_layer_t *source = calibrated(&scene, &options), *layer;
    bsq_batch_t batch = batch_of(&scene, true);
    uint64_t expected = hash_of(source);
    struct engine first = engine_of(source, &scene);

    options.input_bits = 0;
    for (int factor = 1; factor <= 8; factor *= 8) {
        bsq_input_quantizer_t quantizer = first.quantizer;

        layer = layer_of(&scene, &options);
        quantizer.scale *= factor;
        test_ok(layer, bsq_layer_set_input_channels(layer, &quantizer, first.scales, first.zero_points, 5));
        test_ok(layer, bsq_layer_calibrate(layer, &batch));
        if (factor == 1)
            ck_assert(hash_of(layer) == expected);
        test_ok(layer, bsq_optimize(layer, NULL));

        struct engine second = engine_of(layer, &scene);

        ck_assert_mem_eq(first.codes, second.codes, (size_t)scene.weight_count);
        ck_assert_mem_eq(first.dequantized, second.dequantized, (size_t)scene.weight_count * sizeof(float));
        ck_assert_mem_eq(first.code_bias, second.code_bias, 4 * sizeof(float));
        for (int m = 0; m < 4; m++)
            ck_assert(first.weight_scales[m] == (float)factor * second.weight_scales[m]);
        stop(&second);
        bsq_layer_free(layer);
    }
    stop(&first);
    bsq_layer_free(source);
    drop(&scene);
}
END_TEST

/* Tensors that meet in an Add or Concat: one layer observes all of them, or one quantizer is handed on. */
START_TEST(tensors_share_a_quantizer)
{
    for (int32_t kind = 0; kind < 2; kind++) {
        struct scene one = scene_of(&shapes[3], BSQ_INPUT_TYPE_UNSIGNED, 1),
                     two = scene_of(&shapes[3], BSQ_INPUT_TYPE_SIGNED, 2);
        bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_TENSOR + kind, 8);
        bsq_layer_t *observer = layer_of(&one, &options), *layer = layer_of(&two, NULL);
        bsq_batch_t first = batch_of(&one, true), second = batch_of(&two, true);
        bsq_input_quantizer_t quantizer, back;
        double scales[5];
        int32_t zero_points[5];

        bsq_input_quantizer_init(&quantizer, sizeof quantizer);
        bsq_input_quantizer_init(&back, sizeof back);
        test_ok(observer, bsq_layer_observe(observer, &first));
        test_ok(observer, bsq_layer_get_input_quantizer(observer, &quantizer));
        ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_UNSIGNED);
        test_ok(observer, bsq_layer_observe(observer, &second));
        test_ok(observer, bsq_layer_get_input_quantizer(observer, &quantizer));
        ck_assert_int_eq(quantizer.type, BSQ_INPUT_TYPE_ZERO_POINT);
        test_ok(observer, bsq_layer_get_input_channels(observer, scales, zero_points, 5));
        if (kind == 0) {
            test_ok(layer, bsq_layer_set_input_quantizer(layer, &quantizer));
            ck_assert(scales[0] == quantizer.scale && zero_points[4] == quantizer.zero_point);
        } else {
            test_fails(layer, BSQ_E_ARGUMENT, "bsq_layer_set_input_channels",
                       bsq_layer_set_input_quantizer(layer, &quantizer));
            test_ok(layer, bsq_layer_set_input_channels(layer, &quantizer, scales, zero_points, 5));
        }
        test_ok(observer, bsq_layer_calibrate(observer, &first));
        test_ok(layer, bsq_layer_calibrate(layer, &second));
        test_ok(layer, bsq_layer_get_input_quantizer(layer, &back));
        ck_assert_mem_eq(&quantizer, &back, sizeof back);
        /* and so their statistics are of one kind: those of one tensor can be added to those of the other */
        bsq_stats_t *stats;

        test_ok(layer, bsq_layer_acquire_stats(layer, 0, &stats));
        test_ok(observer, bsq_layer_merge_stats(observer, 0, stats));
        bsq_stats_release(stats);
        bsq_layer_free(observer);
        bsq_layer_free(layer);
        drop(&one);
        drop(&two);
    }
}
END_TEST

/* ---- statistics that carry a quantizer ---- */

START_TEST(statistics_bring_the_channels)
{
    struct scene scene = scene_of(&shapes[6], BSQ_INPUT_TYPE_ZERO_POINT, 1);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 4), other = options;
    bsq_layer_t *source = calibrated(&scene, &options), *shared = layer_of(&scene, &options);
    bsq_layer_t *merged = layer_of(&scene, &options), *clone, *tensor;
    bsq_batch_t batch = batch_of(&scene, true);
    uint64_t expected = hash_of(source);
    bsq_stats_t *stats, *imported;
    double scales[6], back[6];
    size_t size;
    unsigned char *bytes;

    test_ok(source, bsq_layer_get_input_channels(source, scales, NULL, 6));
    test_ok(source, bsq_layer_acquire_stats(source, 0, &stats));
    ck_assert_int_eq(bsq_stats_export_size(stats, &size, NULL), BSQ_OK);
    bytes = malloc(size);
    ck_assert_int_eq(bsq_stats_export(stats, bytes, size, NULL), BSQ_OK);
    test_ok(source, bsq_layer_clone(source, &clone));
    bsq_layer_free(source);
    bsq_stats_release(stats);
    ck_assert(hash_of(clone) == expected);

    test_ok(shared, bsq_layer_share_input(shared, clone));
    test_ok(shared, bsq_layer_get_input_channels(shared, back, NULL, 6));
    ck_assert_mem_eq(scales, back, sizeof back);
    test_ok(shared, bsq_layer_calibrate(shared, &batch));
    test_ok(shared, bsq_optimize(shared, NULL));
    bsq_layer_free(clone);

    ck_assert_int_eq(bsq_stats_import(bytes, size, NULL, &imported, NULL), BSQ_OK);
    test_ok(merged, bsq_layer_merge_stats(merged, 0, imported));
    ck_assert(hash_of(merged) == expected);
    test_ok(merged, bsq_layer_get_input_channels(merged, back, NULL, 6));
    ck_assert_mem_eq(scales, back, sizeof back);

    /* One scale for all, or others, do not go with them. */
    other.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    tensor = layer_of(&scene, &other);
    test_ok(tensor, bsq_layer_observe(tensor, &batch));
    test_fails(tensor, BSQ_E_MISMATCH, "quantizer", bsq_layer_merge_stats(tensor, 0, imported));
    test_fails(tensor, BSQ_E_MISMATCH, "quantizer", bsq_layer_share_input(tensor, merged));
    bsq_layer_free(tensor);
    tensor = layer_of(&scene, &options);
    for (int i = 0; i < 2; i++) {
        batch.size = 1 + i; /* what was seen of another sample alone */
        test_ok(tensor, bsq_layer_observe(tensor, &batch));
    }
    test_fails(tensor, BSQ_E_MISMATCH, "quantizer", bsq_layer_merge_stats(tensor, 0, imported));
    bsq_layer_free(tensor);

    /* Damage to a scale or a zero point is found, with the checksum put right or not (test/fuzz/fuzz_import.c). */
    bytes[272] ^= 1;
    ck_assert_int_eq(bsq_stats_import(bytes, size, NULL, &stats, NULL), BSQ_E_CORRUPT);
    free(bytes);
    bsq_stats_release(imported);
    bsq_layer_free(merged);
    bsq_layer_free(shared);
    drop(&scene);
}
END_TEST

/* ---- without statistics, and what is refused ---- */

/* Rounding needs the quantizer too, since it rounds folded weights. */
START_TEST(rounding_without_statistics)
{
    struct scene scene = scene_of(&shapes[3], BSQ_INPUT_TYPE_UNSIGNED, 1);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 8);
    bsq_batch_t batch = batch_of(&scene, false);
    bsq_layer_t *layer;
    float again[256];
    double scales[5];

    options.solver = BSQ_SOLVER_ROUND;
    options.weight_bits = 8;
    layer = layer_of(&scene, &options);
    test_fails(layer, BSQ_E_STATE, "bsq_layer_observe", bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_optimize(layer, NULL));
    test_ok(layer, bsq_layer_get_input_channels(layer, scales, NULL, 5));

    struct engine engine = engine_of(layer, &scene);

    for (int64_t i = 0; i < scene.weight_count; i++) {
        double step = (double)engine.weight_scales[i / scene.fan_in] * engine.quantizer.scale /
                      scales[i % scene.fan_in / scene.taps];

        ck_assert_double_le(fabs((double)engine.dequantized[i] - (double)scene.weights[i]), 0.52 * step);
    }
    /* Results keep the quantizer that they were made for. */
    scene.input[0] = 100;
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_dequantized(layer, again, (size_t)scene.weight_count));
    ck_assert_mem_eq(again, engine.dequantized, (size_t)scene.weight_count * sizeof *again);
    stop(&engine);
    bsq_layer_free(layer);
    drop(&scene);
}
END_TEST

START_TEST(channels_are_checked)
{
    struct scene scene = scene_of(&shapes[0], BSQ_INPUT_TYPE_UNSIGNED, 1);
    bsq_options_t options = options_of(BSQ_INPUT_TYPE_AUTO, BSQ_INPUT_SCALE_KIND_PER_CHANNEL, 8), other = options;
    bsq_layer_t *layer = layer_of(&scene, &options), *real = layer_of(&scene, NULL);
    bsq_batch_t batch = batch_of(&scene, false);
    bsq_input_quantizer_t quantizer;
    double scales[9];
    int32_t zero_points[9] = {0};
    const double bad[] = {0, -1, NAN, INFINITY, 1e-45, 1e39, 0.1};

    for (int c = 0; c < 9; c++)
        scales[c] = 0.5;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    quantizer.scale = 1;
    quantizer.bits = 4;
    quantizer.type = BSQ_INPUT_TYPE_ZERO_POINT;
    ck_assert_int_eq(bsq_layer_set_input_channels(NULL, &quantizer, scales, NULL, 9), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_input_channels(NULL, scales, NULL, 9), BSQ_E_ARGUMENT);
    ck_assert_int_eq(bsq_layer_get_code_bias(NULL, NULL, 5), BSQ_E_ARGUMENT);
    test_fails(layer, BSQ_E_ARGUMENT, "quantizer", bsq_layer_set_input_channels(layer, NULL, scales, NULL, 9));
    test_fails(layer, BSQ_E_ARGUMENT, "scales", bsq_layer_set_input_channels(layer, &quantizer, NULL, NULL, 9));
    test_fails(layer, BSQ_E_SIZE, "9", bsq_layer_set_input_channels(layer, &quantizer, scales, NULL, 8));
    test_fails(layer, BSQ_E_SIZE, "9", bsq_layer_get_input_channels(layer, scales, NULL, 8));
    test_fails(layer, BSQ_E_STATE, "observe", bsq_layer_get_input_channels(layer, scales, NULL, 9));
    test_fails(real, BSQ_E_STATE, "float", bsq_layer_get_input_channels(real, scales, NULL, 9));
    test_fails(layer, BSQ_E_STATE, "no result", bsq_layer_get_code_bias(layer, NULL, 5));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scales[7] = bad[i];
        test_fails(layer, BSQ_E_RANGE, "channel 7", bsq_layer_set_input_channels(layer, &quantizer, scales, NULL, 9));
    }
    scales[7] = 0.5;
    zero_points[8] = 16;
    test_fails(layer, BSQ_E_RANGE, "channel 8",
               bsq_layer_set_input_channels(layer, &quantizer, scales, zero_points, 9));
    zero_points[8] = 15;
    quantizer.zero_point = 1;
    test_fails(layer, BSQ_E_RANGE, "zero_point",
               bsq_layer_set_input_channels(layer, &quantizer, scales, zero_points, 9));
    quantizer.zero_point = 0;
    quantizer.type = BSQ_INPUT_TYPE_UNSIGNED;
    test_fails(layer, BSQ_E_RANGE, "channel 8",
               bsq_layer_set_input_channels(layer, &quantizer, scales, zero_points, 9));

    /* A quantizer that is given is kept when another one is refused; observing does not replace it. */
    quantizer.type = BSQ_INPUT_TYPE_ZERO_POINT;
    test_ok(layer, bsq_layer_set_input_channels(layer, &quantizer, scales, zero_points, 9));
    scales[7] = 0;
    test_fails(layer, BSQ_E_RANGE, "channel 7", bsq_layer_set_input_channels(layer, &quantizer, scales, NULL, 9));
    test_ok(layer, bsq_layer_observe(layer, &batch));
    test_ok(layer, bsq_layer_get_input_channels(layer, scales, zero_points, 9));
    ck_assert(scales[7] == 0.5 && zero_points[8] == 15 && zero_points[0] == 0);
    other.input_scale_kind = BSQ_INPUT_SCALE_KIND_PER_TENSOR;
    test_fails(layer, BSQ_E_STATE, "input_scale_kind", bsq_layer_set_options(layer, &other));
    test_ok(layer, bsq_layer_calibrate(layer, &batch));
    test_fails(layer, BSQ_E_STATE, "fixed", bsq_layer_set_input_channels(layer, &quantizer, scales, NULL, 9));
    test_fails(layer, BSQ_E_STATE, "input_scale_kind", bsq_layer_set_options(layer, &other));

    /* A scale of the folded inputs that is too small for the weights. */
    bsq_layer_t *extreme = layer_of(&scene, &options);

    for (int c = 0; c < 9; c++)
        scales[c] = 1e30F;
    quantizer.scale = 1e-30F;
    test_ok(extreme, bsq_layer_set_input_channels(extreme, &quantizer, scales, NULL, 9));
    test_ok(extreme, bsq_layer_calibrate(extreme, &batch));
    test_fails(extreme, BSQ_E_NUMERIC, "weights[0]", bsq_optimize(extreme, NULL));
    bsq_layer_free(extreme);
    bsq_layer_free(real);
    bsq_layer_free(layer);
    drop(&scene);
}
END_TEST

static TCase *all(void)
{
    TCase *tests = tcase_create("ecaq");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, integers_equal_real_numbers, 0, CASES);
    tcase_add_loop_test(tests, statistics_are_folded, 0, CASES);
    tcase_add_test(tests, channels_are_better_and_damped);
    tcase_add_test(tests, worked_example);
    tcase_add_test(tests, observed_channels);
    tcase_add_test(tests, channels_given_by_the_host);
    tcase_add_test(tests, tensors_share_a_quantizer);
    tcase_add_test(tests, statistics_bring_the_channels);
    tcase_add_test(tests, rounding_without_statistics);
    tcase_add_test(tests, channels_are_checked);
    return tests;
}

Suite *test_suite(void)
{
    return test_suite_of("api ecaq", all());
}
