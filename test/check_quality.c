/* Guards how good results are, on made-up layers: the error of each row of test/data/quality.csv, as a share of
 * rounding's and of the published method's, must stay what is written there. A change for the better is written too:
 *
 *     BSQ_QUALITY_WRITE=test/data/quality.csv build/test/check_quality
 *
 * measures the rows that the file lists and writes them with today's figures. A new row needs its first four fields and
 * two zeros. The file is looked for from the top folder, or in the folder that BSQ_TEST_DATA names. BSQ_CHECK_SLOW
 * leaves out rows above effort 1.
 *
 * Errors are those on the statistics that were solved for, or on the held-out ones where the layer has some. The column
 * to_paper is empty where the published method does not apply: it knows symmetric ranges and one scale a channel. */
#include "support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far a figure may be from the committed one, as a share of it. Kernels and BLAS variants change less than 1e-5. */
static const double tolerance = 0.01;

/* ---- layers ---- */

/* Sizes convolutions: samples of a linear layer are rows, those of a convolution (3x3) pictures of SIDE x SIDE. */
enum { SIDE = 12, KERNEL = 3 };

struct layer {
    const char *name;
    int32_t kind;
    int64_t in_channels, out_channels, groups;
    int64_t samples, held_out;
    int32_t scale_kind;
    int64_t group_size;
    bool target;
    int32_t scale_format; /* 0: the default */
};

static const struct layer layers[] = {
    {"plain", BSQ_KIND_LINEAR, 160, 160, 1, 1280, 0, BSQ_SCALE_KIND_PER_CHANNEL, 0, false, 0},
    {"depthwise", BSQ_KIND_CONV, 96, 96, 96, 8, 0, BSQ_SCALE_KIND_PER_CHANNEL, 0, false, 0},
    {"first", BSQ_KIND_CONV, 3, 96, 1, 16, 0, BSQ_SCALE_KIND_PER_CHANNEL, 0, false, 0},
    {"grouped", BSQ_KIND_LINEAR, 128, 96, 1, 1024, 0, BSQ_SCALE_KIND_PER_GROUP, 32, false, 0},
    {"grouped_power_of_two", BSQ_KIND_LINEAR, 64, 96, 1, 512, 0, BSQ_SCALE_KIND_PER_GROUP, 16, false,
     BSQ_SCALE_FORMAT_POWER_OF_TWO},
    {"tensor", BSQ_KIND_LINEAR, 96, 96, 1, 768, 0, BSQ_SCALE_KIND_PER_TENSOR, 0, false, 0},
    {"target", BSQ_KIND_LINEAR, 96, 96, 1, 768, 0, BSQ_SCALE_KIND_PER_CHANNEL, 0, true, 0},
    {"few_rows", BSQ_KIND_LINEAR, 96, 96, 1, 96, 0, BSQ_SCALE_KIND_PER_CHANNEL, 0, false, 0},
    {"few_rows_held_out", BSQ_KIND_LINEAR, 96, 96, 1, 96, 768, BSQ_SCALE_KIND_PER_CHANNEL, 0, false, 0},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static float *floats(int64_t count)
{
    float *values = calloc((size_t)count, sizeof *values);

    ck_assert_ptr_nonnull(values);
    return values;
}

/* Draws weights with longer tails than a normal distribution has, as trained ones have. */
static void fill_weights(struct test_random *random, float *weights, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double x = test_random_normal(random);

        weights[i] = (float)(0.1 * x * (0.5 + 0.5 * fabs(x)));
    }
}

/* Draws the size of an input: more than ten times as large at one end as at the other. */
static double input_size(struct test_random *random)
{
    return exp2(1.2 * test_random_normal(random));
}

/* Draws inputs that are sums of fewer factors, behind a ReLU. */
static void fill_rows(struct test_random *random, float *rows, int64_t count, int64_t width)
{
    const double noise = 0.4, mean = 0.3;
    int64_t factors = width / 4;
    float *mix = floats(width * factors), *factor = floats(factors), *size = floats(width);

    for (int64_t i = 0; i < width; i++) {
        size[i] = (float)input_size(random);
        for (int64_t k = 0; k < factors; k++)
            mix[i * factors + k] = (float)(test_random_normal(random) / sqrt(1.0 + (double)k));
    }
    for (int64_t r = 0; r < count; r++) {
        for (int64_t k = 0; k < factors; k++)
            factor[k] = (float)test_random_normal(random);
        for (int64_t i = 0; i < width; i++) {
            double x = mean + noise * test_random_normal(random);

            for (int64_t k = 0; k < factors; k++)
                x += (double)mix[i * factors + k] * (double)factor[k];
            rows[r * width + i] = (float)(fmax(x, 0.0) * (double)size[i]);
        }
    }
    free(mix);
    free(factor);
    free(size);
}

/* Draws smooth noise: each value goes with those above it and on its left. */
static void fill_field(struct test_random *random, float *field)
{
    const double near = 0.45, fresh = 0.5;

    for (int64_t y = 0; y < SIDE; y++)
        for (int64_t x = 0; x < SIDE; x++) {
            double above = y > 0 ? (double)field[(y - 1) * SIDE + x] : 0.0;
            double left = x > 0 ? (double)field[y * SIDE + x - 1] : 0.0;

            field[y * SIDE + x] = (float)(near * (above + left) + fresh * test_random_normal(random));
        }
}

/* Draws pictures whose channels have a part in common, behind a ReLU. */
static void fill_pictures(struct test_random *random, float *pictures, int64_t count, int64_t channels)
{
    const double mean = 0.3;
    float *size = floats(channels), *common = floats(SIDE * SIDE), *own = floats(SIDE * SIDE);

    for (int64_t c = 0; c < channels; c++)
        size[c] = (float)input_size(random);
    for (int64_t i = 0; i < count; i++) {
        fill_field(random, common);
        for (int64_t c = 0; c < channels; c++) {
            float *to = pictures + (i * channels + c) * SIDE * SIDE;

            fill_field(random, own);
            for (int64_t k = 0; k < SIDE * SIDE; k++)
                to[k] = (float)(fmax(mean + (double)common[k] + (double)own[k], 0.0) * (double)size[c]);
        }
    }
    free(size);
    free(common);
    free(own);
}

/* Computes outputs and changes each a little, as quantized layers before this one would. */
static void fill_targets(struct test_random *random, const struct layer *layer, const float *weights, const float *rows,
                         int64_t count, float *targets)
{
    const double disturbed = 0.02;
    int64_t n = layer->in_channels;

    for (int64_t r = 0; r < count; r++)
        for (int64_t m = 0; m < layer->out_channels; m++) {
            double y = 0.0;

            for (int64_t i = 0; i < n; i++)
                y += (double)weights[m * n + i] * (double)rows[r * n + i];
            targets[r * layer->out_channels + m] = (float)(y * (1.0 + disturbed * test_random_normal(random)));
        }
}

static bsq_layer_desc_t describe(const struct layer *layer)
{
    bsq_layer_desc_t desc;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = layer->kind;
    desc.in_channels = layer->in_channels;
    desc.out_channels = layer->out_channels;
    desc.groups = layer->groups;
    if (layer->kind == BSQ_KIND_CONV) {
        desc.spatial_dims = 2;
        for (int i = 0; i < 2; i++) {
            desc.kernel[i] = KERNEL;
            desc.pad_begin[i] = desc.pad_end[i] = KERNEL / 2;
        }
    }
    return desc;
}

/* Hands over 'count' samples and their targets (or NULL). */
static void calibrate(bsq_layer_t *handle, const float *input, const float *target, int64_t count, int32_t held_out)
{
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.input = input;
    batch.target = target;
    batch.size = count;
    batch.spatial[0] = batch.spatial[1] = SIDE;
    batch.held_out = held_out;
    test_ok(handle, bsq_layer_calibrate(handle, &batch));
}

/* Creates and calibrates a layer. Layers of the same extents have the same weights. */
static bsq_layer_t *make_layer(const struct layer *layer)
{
    struct test_random random = test_random_seed(1);
    bsq_layer_desc_t desc = describe(layer);
    bool linear = layer->kind == BSQ_KIND_LINEAR;
    int64_t fan_in = layer->in_channels / layer->groups * (linear ? 1 : KERNEL * KERNEL);
    int64_t stride = layer->in_channels * (linear ? 1 : SIDE * SIDE), samples = layer->samples + layer->held_out;
    float *weights = floats(layer->out_channels * fan_in), *input = floats(samples * stride), *target = NULL;
    bsq_layer_t *handle;

    fill_weights(&random, weights, layer->out_channels * fan_in);
    if (linear)
        fill_rows(&random, input, samples, layer->in_channels);
    else
        fill_pictures(&random, input, samples, layer->in_channels);
    if (layer->target) {
        target = floats(samples * layer->out_channels);
        fill_targets(&random, layer, weights, input, samples, target);
    }
    ck_assert_int_eq(bsq_layer_create(&desc, NULL, weights, NULL, &handle, NULL), BSQ_OK);
    calibrate(handle, input, target, layer->samples, 0);
    if (layer->held_out)
        calibrate(handle, input + layer->samples * stride, NULL, layer->held_out, 1);
    free(weights);
    free(input);
    free(target);
    return handle;
}

/* Solves and returns the relative output error. */
static double solve(bsq_layer_t *handle, const bsq_options_t *options)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    test_ok(handle, bsq_layer_set_options(handle, options));
    test_ok(handle, bsq_optimize(handle, &report));
    return report.held_out_error >= 0.0 ? report.held_out_error : report.error;
}

/* ---- the table ---- */

struct row {
    char layer[32];
    int bits;
    char range[16];
    int effort;
    double to_rounding;
    double to_paper; /* 0: none */
};

enum { MOST_ROWS = 100, MOST_EFFORT = 9 };

static const char heading[] = "layer,bits,range,effort,to_rounding,to_paper\n";

static const char *table_path(char *path, size_t size)
{
    const char *folder = getenv("BSQ_TEST_DATA");

    snprintf(path, size, "%s/quality.csv", folder ? folder : "test/data");
    return path;
}

static int read_table(struct row *rows)
{
    char path[4096], line[256];
    FILE *file = fopen(table_path(path, sizeof path), "r");
    int count = 0;

    ck_assert_msg(file != NULL, "%s cannot be read: run from the top folder, or set BSQ_TEST_DATA", path);
    ck_assert_msg(fgets(line, sizeof line, file) && strcmp(line, heading) == 0, "%s has another heading", path);
    while (fgets(line, sizeof line, file)) {
        struct row *row = &rows[count++];
        int end = 0;

        ck_assert_msg(count <= MOST_ROWS, "%s has too many rows", path);
        ck_assert_msg(sscanf(line, "%31[^,],%d,%15[^,],%d,%lf,%n", row->layer, &row->bits, row->range, &row->effort,
                             &row->to_rounding, &end) == 5 &&
                          end > 0,
                      "%s: a row cannot be read: %s", path, line);
        row->to_paper = strtod(line + end, NULL);
    }
    fclose(file);
    return count;
}

static void write_table(const char *path, const struct row *rows, int count)
{
    FILE *file = fopen(path, "w");

    ck_assert_msg(file != NULL, "%s cannot be written", path);
    fputs(heading, file);
    for (int i = 0; i < count; i++) {
        fprintf(file, "%s,%d,%s,%d,%.5f,", rows[i].layer, rows[i].bits, rows[i].range, rows[i].effort,
                rows[i].to_rounding);
        if (rows[i].to_paper > 0.0)
            fprintf(file, "%.5f", rows[i].to_paper);
        fputc('\n', file);
    }
    ck_assert_int_eq(fclose(file), 0);
}

/* ---- measuring ---- */

/* Holds errors that rows of the same bits and range are compared with. */
struct reference {
    int bits;
    char range[16];
    double rounding, paper; /* 0: does not apply */
};

static struct reference measure_reference(bsq_layer_t *handle, bsq_options_t options, const char *range)
{
    struct reference reference = {.bits = options.weight_bits};

    snprintf(reference.range, sizeof reference.range, "%s", range);
    options.solver = BSQ_SOLVER_ROUND;
    reference.rounding = solve(handle, &options);
    if (strcmp(range, "symmetric") == 0 && options.scale_kind == BSQ_SCALE_KIND_PER_CHANNEL) {
        options.solver = BSQ_SOLVER_PAPER;
        reference.paper = solve(handle, &options);
    }
    return reference;
}

/* Sets what a row asks for: a range, or what the format of that name needs. */
static void set_grid(bsq_options_t *options, const struct row *row)
{
    options->weight_bits = row->bits;
    if (strcmp(row->range, "full") == 0)
        options->weight_grid = BSQ_WEIGHT_GRID_FULL;
    else if (strcmp(row->range, "symmetric") == 0)
        options->weight_grid = BSQ_WEIGHT_GRID_SYMMETRIC;
    else
        ck_assert_msg(bsq_options_for_format(bsq_format_by_name(row->range), options, NULL) == BSQ_OK &&
                          options->weight_bits == row->bits,
                      "no range or format of %d bits is called %s", row->bits, row->range);
}

/* Measures those rows that are of this layer and not above 'most_effort'; others are left alone. Returns how many. */
static int measure(const struct layer *layer, const struct row *rows, int count, int most_effort, struct row *measured)
{
    bsq_layer_t *handle = make_layer(layer);
    struct reference reference = {.bits = 0};
    int done = 0;

    for (int i = 0; i < count; i++) {
        bsq_options_t options;
        double error;

        if (strcmp(rows[i].layer, layer->name) != 0 || rows[i].effort > most_effort)
            continue;
        bsq_options_init(&options, sizeof options);
        options.scale_kind = layer->scale_kind;
        options.group_size = layer->group_size;
        if (layer->scale_format)
            options.scale_format = layer->scale_format;
        set_grid(&options, &rows[i]);
        options.effort = rows[i].effort;
        if (reference.bits != rows[i].bits || strcmp(reference.range, rows[i].range) != 0)
            reference = measure_reference(handle, options, rows[i].range);
        error = solve(handle, &options);
        measured[i].to_rounding = error / reference.rounding;
        measured[i].to_paper = reference.paper > 0.0 ? error / reference.paper : 0.0;
        done++;
    }
    bsq_layer_free(handle);
    return done;
}

/* ---- tests ---- */

static void compare(const struct row *row, const char *what, double now, double written)
{
    ck_assert_msg(now >= written * (1.0 - tolerance) && now <= written * (1.0 + tolerance),
                  "%s, %d bits, %s, effort %d: the error is %.5f of %s's, %.5f is written down: %+.2f %%", row->layer,
                  row->bits, row->range, row->effort, now, what, written, 100.0 * (now / written - 1.0));
}

START_TEST(errors_are_those_written_down)
{
    struct row rows[MOST_ROWS] = {{.bits = 0}}, now[MOST_ROWS] = {{.bits = 0}};
    int count = read_table(rows), most_effort = getenv("BSQ_CHECK_SLOW") ? 1 : MOST_EFFORT;

    ck_assert_msg(measure(&layers[_i], rows, count, most_effort, now) > 0, "no row is of %s", layers[_i].name);
    for (int i = 0; i < count; i++) {
        if (!(now[i].to_rounding > 0.0))
            continue;
        compare(&rows[i], "rounding", now[i].to_rounding, rows[i].to_rounding);
        compare(&rows[i], "the published method", now[i].to_paper, rows[i].to_paper);
    }
}
END_TEST

/* Rejects a misspelt name: no test would look at its row. */
START_TEST(every_row_is_of_a_layer)
{
    struct row rows[MOST_ROWS];
    int count = read_table(rows);

    for (int i = 0; i < count; i++) {
        bool known = false;

        for (int k = 0; k < LAYERS; k++)
            known |= strcmp(rows[i].layer, layers[k].name) == 0;
        ck_assert_msg(known, "no layer is called %s", rows[i].layer);
    }
}
END_TEST

static const char *write_path;

START_TEST(table_is_written)
{
    struct row rows[MOST_ROWS], now[MOST_ROWS];
    int count = read_table(rows);

    memcpy(now, rows, sizeof now);
    for (int k = 0; k < LAYERS; k++)
        (void)measure(&layers[k], rows, count, MOST_EFFORT, now);
    write_table(write_path, now, count);
}
END_TEST

Suite *test_suite(void)
{
    TCase *tests = tcase_create("quality");

    tcase_set_timeout(tests, 240);
    write_path = getenv("BSQ_QUALITY_WRITE");
    if (write_path) {
        tcase_add_test(tests, table_is_written);
    } else {
        tcase_add_test(tests, every_row_is_of_a_layer);
        tcase_add_loop_test(tests, errors_are_those_written_down, 0, LAYERS);
    }
    return test_suite_of("quality", tests);
}
