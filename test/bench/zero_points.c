/* The error of zero points beside those of the full range and of GPTQ's own zero points. */
#include "zero_points.h"

#include "bench.h"
#include "gptq.h"

#include <math.h>
#include <stdlib.h>

static const double DAMPING = 0.01; /* of GPTQ's published code */

static double error_of(const struct layer_data *data, int32_t grid, int32_t bits, int64_t group, int32_t effort)
{
    bsq_layer_t *layer = create_from_moments(data);
    bsq_options_t options = effort_options(bits, grid, effort);
    bsq_report_t report;

    options.damping = DAMPING;
    options.scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options.scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    options.group_size = group;
    expect(bsq_layer_set_options(layer, &options), "bsq_layer_set_options", layer);
    bsq_report_init(&report, sizeof report);
    expect(bsq_optimize(layer, &report), "bsq_optimize", layer);
    bsq_layer_free(layer);
    return report.error;
}

/* Puts the inputs of a layer in the order of their falling diagonal. */
static void reorder(struct layer_data *data)
{
    int64_t n = data->n, *order = reserve(n, sizeof *order);
    float *weights = reserve(data->channels * n, sizeof *weights);
    double *h = reserve(n * n, sizeof *h);

    for (int64_t i = 0; i < n; i++) { /* by insertion: equal ones stay as they are */
        int64_t k = i;

        for (; k > 0 && data->h[order[k - 1] * (n + 1)] < data->h[i * (n + 1)]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++)
            h[i * n + j] = data->h[order[i] * n + order[j]];
        for (int64_t c = 0; c < data->channels; c++)
            weights[c * n + i] = data->weights[c * n + order[i]];
    }
    free(data->weights);
    free(data->h);
    free(order);
    data->weights = weights;
    data->h = h;
}

/* Errors of one layer: by GPTQ, in the full range, with zero points. */
static void find_errors(struct layer_data *data, int32_t bits, int64_t group, int32_t effort, double *errors)
{
    reorder(data);
    (void)gptq_groups_seconds(data, bits, group, &errors[0]);
    errors[1] = error_of(data, BSQ_WEIGHT_GRID_FULL, bits, group, effort);
    errors[2] = error_of(data, BSQ_WEIGHT_GRID_ZERO_POINT, bits, group, effort);
}

void compare_zero_points(layer_source source, void *opaque, int32_t count, int32_t effort)
{
    static const int64_t groups[] = {32, 128};

    printf("\nerror of zero points, geometric means over %d layers, float16 scales, effort %d\n", (int)count,
           (int)effort);
    printf("| bits | group | GPTQ with zero points | full range | zero points | of GPTQ (0.75) | of full (0.95) |\n"
           "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int32_t bits = 2; bits <= 4; bits++)
        for (int32_t g = 0; g < 2; g++) {
            double sums[3] = {0};

            for (int32_t i = 0; i < count; i++) {
                struct layer_data *data = source(opaque, i);
                double errors[3];

                find_errors(data, bits, groups[g], effort, errors);
                for (int k = 0; k < 3; k++)
                    sums[k] += log(errors[k]) / count;
                free_layer(data);
            }
            printf("| %d | %d | %.6f | %.6f | %.6f | %.3f | %.3f |\n", (int)bits, (int)groups[g], exp(sums[0]),
                   exp(sums[1]), exp(sums[2]), exp(sums[2] - sums[0]), exp(sums[2] - sums[1]));
            fflush(stdout);
        }
}
