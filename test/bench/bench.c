/* What the benchmark programs share. */
#include "bench.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- failing ------------------------------------------------------------------------------------------------ */

void stop(const char *what, const char *detail)
{
    fflush(stdout);
    fprintf(stderr, "bench: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

void *reserve(int64_t count, size_t size)
{
    void *block = calloc(count > 0 ? (size_t)count : 1, size);

    if (!block)
        stop("memory", "none left");
    return block;
}

void expect(bsq_status_t status, const char *call, bsq_layer_t *layer)
{
    if (status != BSQ_OK)
        stop(call, layer ? bsq_layer_error_message(layer) : bsq_status_string(status));
}

bool is_there(const char *path)
{
    FILE *file = fopen(path, "r");

    if (file)
        fclose(file);
    return file != NULL;
}

/* ---- time --------------------------------------------------------------------------------------------------- */

static double clock_seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double processor_seconds(void)
{
    return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

struct seconds seconds_now(void)
{
    return (struct seconds){processor_seconds(), clock_seconds(CLOCK_MONOTONIC)};
}

struct seconds seconds_since(struct seconds start)
{
    struct seconds now = seconds_now();

    return (struct seconds){now.processor - start.processor, now.wall - start.wall};
}

double least(const double *values, int32_t count)
{
    double lowest = values[0];

    for (int32_t i = 1; i < count; i++)
        lowest = values[i] < lowest ? values[i] : lowest;
    return lowest;
}

/* ---- the machine -------------------------------------------------------------------------------------------- */

void machine_name(char *name, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(name, size, "unknown processor");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            line[strcspn(line, "\n")] = 0;
            snprintf(name, size, "%s", strchr(line, ':') + 2);
            break;
        }
    if (file)
        fclose(file);
}

/* Of the last minute: whether wall times can be trusted. 0 when unknown. */
static double load(void)
{
    FILE *file = fopen("/proc/loadavg", "r");
    double value = 0;

    if (file && fscanf(file, "%lf", &value) != 1)
        value = 0;
    if (file)
        fclose(file);
    return value;
}

void print_machine(FILE *file)
{
    char machine[256];

    machine_name(machine, sizeof machine);
    fprintf(file, "libbsq %s on %s, OpenBLAS core %s with %d thread%s, load %.2f\n", bsq_version_string(), machine,
            openblas_get_corename(), openblas_get_num_threads(), openblas_get_num_threads() == 1 ? "" : "s", load());
}

double sgemm_seconds(void)
{
    const int64_t count = (int64_t)SGEMM_SIDE * SGEMM_SIDE;
    float *a = reserve(count, sizeof *a), *b = reserve(count, sizeof *b), *c = reserve(count, sizeof *c);

    for (int64_t i = 0; i < count; i++) {
        a[i] = (float)(i % 17) - 8;
        b[i] = (float)(i % 19) - 9;
        c[i] = 1;
    }

    double start = processor_seconds();

    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, SGEMM_SIDE, SGEMM_SIDE, SGEMM_SIDE, 1, a, SGEMM_SIDE, b,
                SGEMM_SIDE, 0, c, SGEMM_SIDE);

    double took = processor_seconds() - start;

    free(a);
    free(b);
    free(c);
    return took;
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

bsq_layer_t *create_from_moments(const struct layer_data *data)
{
    bsq_layer_desc_t desc;
    bsq_moments_t moments;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = 1;
    desc.kernel[0] = data->n;
    desc.groups = data->groups;
    desc.in_channels = data->groups;
    desc.out_channels = data->channels;
    expect(bsq_layer_create(&desc, NULL, data->weights, NULL, &layer, NULL), "bsq_layer_create", NULL);
    bsq_moments_init(&moments, sizeof moments);
    moments.h = data->h;
    expect(bsq_layer_set_moments(layer, &moments), "bsq_layer_set_moments", layer);
    return layer;
}

bsq_layer_t *create_conv(const struct layer_data *data, const struct raw_data *raw, const bsq_options_t *options)
{
    bsq_layer_desc_t desc;
    bsq_layer_t *layer;

    bsq_layer_desc_init(&desc, sizeof desc);
    desc.kind = BSQ_KIND_CONV;
    desc.spatial_dims = 2;
    desc.groups = data->groups;
    desc.in_channels = raw->inputs;
    desc.out_channels = data->channels;
    for (int32_t d = 0; d < 2; d++) {
        desc.kernel[d] = KERNEL;
        desc.pad_begin[d] = desc.pad_end[d] = PAD;
    }
    expect(bsq_layer_create(&desc, options, data->weights, raw->bias, &layer, NULL), "bsq_layer_create", NULL);
    return layer;
}

bsq_options_t effort_options(int32_t bits, int32_t range, int32_t effort)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.weight_grid = range;
    options.effort = effort;
    return options;
}

/* ---- rows to measure with ------------------------------------------------------------------------------------ */

/* splitmix64, in (0, 1). */
static double random_unit(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

double random_normal(struct random *random)
{
    static const double two_pi = 6.283185307179586;
    double radius = sqrt(-2 * log(random_unit(random)));

    return radius * cos(two_pi * random_unit(random));
}

void fill_normal(struct random *random, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)random_normal(random);
}

void fill_rows(struct random *random, float *rows, int64_t count, int64_t n)
{
    const double keep = 0.9, add = sqrt(1 - keep * keep);

    for (int64_t r = 0; r < count; r++) {
        double value = random_normal(random);

        for (int64_t j = 0; j < n; j++) {
            rows[r * n + j] = value > 0 ? (float)value : 0;
            value = keep * value + add * random_normal(random);
        }
    }
}

bsq_layer_t *create_linear(int64_t channels, int64_t n, const bsq_options_t *options)
{
    float *weights = reserve(channels * n, sizeof *weights);
    struct random random = {2};
    bsq_layer_desc_t desc;
    bsq_layer_t *layer;

    fill_normal(&random, weights, channels * n);
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = n;
    desc.out_channels = channels;
    expect(bsq_layer_create(&desc, options, weights, NULL, &layer, NULL), "bsq_layer_create", NULL);
    free(weights);
    return layer;
}

struct seconds calibrate_rows(bsq_layer_t *layer, int64_t count, int64_t n)
{
    enum { BATCH = 1024 };
    float *rows = reserve(BATCH * n, sizeof *rows);
    struct random random = {3};
    struct seconds sum = {0, 0};

    for (int64_t done = 0; done < count; done += BATCH) {
        bsq_batch_t batch;

        bsq_batch_init(&batch, sizeof batch);
        batch.size = count - done < BATCH ? count - done : BATCH;
        batch.input = rows;
        fill_rows(&random, rows, batch.size, n);

        struct seconds start = seconds_now();

        expect(bsq_layer_calibrate(layer, &batch), "bsq_layer_calibrate", layer);

        struct seconds took = seconds_since(start);

        sum.processor += took.processor;
        sum.wall += took.wall;
    }
    free(rows);
    return sum;
}
