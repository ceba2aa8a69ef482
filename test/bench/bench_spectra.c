/* Wide layers as language models have them: inputs whose second moments fall by a power law, some of them far larger than the
 * rest. Error and time beside GPTQ's arithmetic on the same H.
 *
 *     bench_spectra [--quick] [--most N]
 *
 * A row of inputs is D Q z: z of n Gaussian values of which number k has the variance (k + 1)^-1, Q an orthogonal matrix
 * (signs, then Hadamard's), D diagonal: 1, or for one input in 200 between 30 and 100. */
#include "bench.h"

#include "gptq.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512, GROUP = 128, ROWS_PER_INPUT = 4 };

static const double DAMPING = 0.01; /* of GPTQ's published code */

struct inputs {
    int64_t n;
    float *deviations; /* of z */
    float *signs;
    float *sizes; /* D */
};

static double uniform(struct random *random)
{
    return 0.5 * erfc(-random_normal(random) / sqrt(2.0));
}

static struct inputs create_inputs(struct random *random, int64_t n, bool outliers)
{
    enum { ONE_IN = 200 };
    struct inputs inputs = {n, reserve(n, sizeof(float)), reserve(n, sizeof(float)), reserve(n, sizeof(float))};

    for (int64_t k = 0; k < n; k++) {
        inputs.deviations[k] = (float)pow((double)(k + 1), -0.5);
        inputs.signs[k] = uniform(random) < 0.5 ? -1.0F : 1.0F;
        inputs.sizes[k] = 1.0F;
    }
    for (int64_t i = 0; outliers && i < n / ONE_IN; i++)
        inputs.sizes[(int64_t)(uniform(random) * (double)n) % n] = (float)(30.0 + 70.0 * uniform(random));
    return inputs;
}

static void free_inputs(struct inputs *inputs)
{
    free(inputs->deviations);
    free(inputs->signs);
    free(inputs->sizes);
}

/* Multiplies by Hadamard's matrix over sqrt n, n a power of two. */
static void transform(float *x, int64_t n)
{
    float scale = (float)(1.0 / sqrt((double)n));

    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t first = 0; first < n; first += 2 * half)
            for (int64_t i = first; i < first + half; i++) {
                float a = x[i], b = x[i + half];

                x[i] = a + b;
                x[i + half] = a - b;
            }
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale;
}

static void fill_batch(struct random *random, const struct inputs *inputs, float *rows)
{
    int64_t n = inputs->n;

    fill_normal(random, rows, BATCH * n);
    for (int64_t r = 0; r < BATCH; r++) {
        float *row = rows + r * n;

        for (int64_t k = 0; k < n; k++)
            row[k] *= inputs->deviations[k] * inputs->signs[k];
        transform(row, n);
        for (int64_t i = 0; i < n; i++)
            row[i] *= inputs->sizes[i];
    }
}

/* Second moments of such inputs. */
static void fill_h(double *h, int64_t n, bool outliers)
{
    struct random random = {21};
    struct inputs inputs = create_inputs(&random, n, outliers);
    float *rows = reserve(BATCH * n, sizeof *rows);
    bsq_layer_t *layer = create_linear(1, n, NULL);
    bsq_moments_buffers_t moments;
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    batch.input = rows;
    batch.size = BATCH;
    for (int64_t done = 0; done < ROWS_PER_INPUT * n; done += BATCH) {
        fill_batch(&random, &inputs, rows);
        expect(bsq_layer_calibrate(layer, &batch), "bsq_layer_calibrate", layer);
    }
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = h;
    expect(bsq_layer_get_moments(layer, &moments), "bsq_layer_get_moments", layer);
    bsq_layer_free(layer);
    free(rows);
    free_inputs(&inputs);
}

static double energy_of(const struct layer_data *data)
{
    int64_t n = data->n;
    double *product = reserve(n, sizeof *product), *wide = reserve(n, sizeof *wide), energy = 0;

    for (int64_t c = 0; c < data->channels; c++) {
        for (int64_t j = 0; j < n; j++)
            wide[j] = (double)data->weights[c * n + j];
        cblas_dsymv(CblasRowMajor, CblasUpper, (blasint)n, 1, data->h, (blasint)n, wide, 1, 0, product, 1);
        energy += cblas_ddot((blasint)n, wide, 1, product, 1);
    }
    free(product);
    free(wide);
    return energy;
}

static struct layer_data *create_data(int64_t channels, int64_t n, bool outliers)
{
    struct random random = {22};
    struct layer_data *data = reserve(1, sizeof *data);

    *data = (struct layer_data){.groups = 1, .channels = channels, .n = n};
    data->weights = reserve(channels * n, sizeof *data->weights);
    data->h = reserve(n * n, sizeof *data->h);
    fill_normal(&random, data->weights, channels * n);
    fill_h(data->h, n, outliers);
    data->energy = energy_of(data);
    return data;
}

/* Error and time of an effort, beside those of GPTQ. */
static void print_effort(bsq_layer_t *layer, int32_t bits, bool groups, int32_t effort, double theirs, double seconds)
{
    bsq_options_t options = effort_options(bits, groups ? BSQ_WEIGHT_GRID_ZERO_POINT : BSQ_WEIGHT_GRID_FULL, effort);
    bsq_report_t report;

    options.damping = DAMPING;
    if (groups) {
        options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
        options.group_size = GROUP;
    }
    bsq_report_init(&report, sizeof report);
    expect(bsq_layer_set_options(layer, &options), "bsq_layer_set_options", layer);

    double start = processor_seconds();

    expect(bsq_optimize(layer, &report), "bsq_optimize", layer);
    printf(" %.3g | %.2f | %.1f |", report.error, report.error / theirs, (processor_seconds() - start) / seconds);
    fflush(stdout);
}

static void print_rows(int64_t n, bool outliers, int32_t most_effort)
{
    int64_t channels = n / 4;
    struct layer_data *data = create_data(channels, n, outliers);
    bsq_layer_t *layer = create_from_moments(data);

    for (int32_t bits = 3; bits <= 4; bits++)
        for (int32_t groups = 0; groups <= 1; groups++) {
            double error,
                seconds = groups ? gptq_groups_seconds(data, bits, GROUP, &error) : gptq_seconds(data, bits, &error);

            printf("| %lld | %s | %d, %s | %.3g | %.3g |", (long long)n, outliers ? "with" : "without", bits,
                   groups ? "groups of 128, zero points" : "full range", error, seconds);
            for (int32_t effort = 1; effort <= most_effort; effort += 4)
                print_effort(layer, bits, groups != 0, effort, error, seconds);
            printf("\n");
        }
    free_layer(data);
    bsq_layer_free(layer);
}

int main(int argc, char **argv)
{
    int64_t most = 4096;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--quick") == 0)
            most = 1024;
        else if (strcmp(argv[i], "--most") == 0 && i + 1 < argc)
            most = strtoll(argv[++i], NULL, 10);
        else
            stop(argv[i], "unknown option or value missing");
    print_machine(stdout);
    printf("\n### Spectra of language models\n\nM = n / 4, N = %d n, damping %g, one thread; times are of the "
           "processor.\n\n"
           "| n | outliers | bits | GPTQ's error | s | effort 1 | of GPTQ's | time | effort 5 | of GPTQ's | time |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
           ROWS_PER_INPUT, DAMPING);
    for (int64_t n = 1024; n <= most; n *= 2)
        for (int outliers = 0; outliers <= 1; outliers++)
            print_rows(n, outliers != 0, 5);
    return EXIT_SUCCESS;
}
