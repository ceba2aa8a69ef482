/* Grids with zero points, tables and two levels: their error beside the full range and GPTQ's own zero points, and what they
 * take beside plain ones.
 *
 *     bench_grids [FOLDER] [--quick]
 *
 * FOLDER has layers (../shared/layers); those of one group and at least 128 inputs are used, damping 0.01. All are solved with
 * their inputs in the order in which GPTQ decides them, since its groups follow that order (act-order). Times are processor
 * time of one thread, side by side on one made-up layer of 1024 x 1024. */
#include "bench.h"
#include "gptq.h"
#include "zero_points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TIMED = 1024, DEFAULT_EFFORT = 5 };

static const char *const NAMES[] = {
    "mobilenet.conv_pw_7",     "mobilenet.conv_pw_13", "resnet20.layer1_0_conv1",    "resnet20.layer2_1_conv1",
    "resnet20.layer3_2_conv1", "squeezenet.conv10",    "squeezenet.fire5_expand3x3", "squeezenet.fire9_expand3x3"};
enum { LAYERS = sizeof NAMES / sizeof *NAMES };

static struct layer_data *load(void *folder, int32_t index)
{
    return load_layer(folder, NAMES[index]);
}

/* ---- times --------------------------------------------------------------------------------------------------- */

struct timed {
    const char *name;
    bsq_options_t options;
};

static bsq_options_t grid_options(int32_t grid, int64_t group, int32_t effort)
{
    bsq_options_t options = effort_options(4, grid, effort);

    options.group_size = group;
    options.scale_kind = group ? BSQ_SCALE_KIND_PER_GROUP : BSQ_SCALE_KIND_PER_CHANNEL;
    return options;
}

static bsq_options_t format_options(const char *name, int32_t effort)
{
    bsq_options_t options = effort_options(4, BSQ_WEIGHT_GRID_FULL, effort);

    expect(bsq_options_for_format(bsq_format_by_name(name), &options, NULL), "bsq_options_for_format", NULL);
    return options;
}

static double solve_seconds(bsq_layer_t *layer, const bsq_options_t *options)
{
    enum { REPEATS = 3 };
    double times[REPEATS];

    expect(bsq_layer_set_options(layer, options), "bsq_layer_set_options", layer);
    for (int32_t i = 0; i < REPEATS; i++) {
        double start = processor_seconds();

        expect(bsq_optimize(layer, NULL), "bsq_optimize", layer);
        times[i] = processor_seconds() - start;
    }
    return least(times, REPEATS);
}

/* The made-up layer in the form that GPTQ's arithmetic takes. */
static struct layer_data *moments_of(bsq_layer_t *layer)
{
    struct layer_data *data = reserve(1, sizeof *data);
    struct random random = {1};
    bsq_moments_buffers_t moments;

    data->groups = 1;
    data->channels = data->n = TIMED;
    data->energy = 1.0;
    data->weights = reserve((int64_t)TIMED * TIMED, sizeof *data->weights);
    data->h = reserve((int64_t)TIMED * TIMED, sizeof *data->h);
    fill_normal(&random, data->weights, (int64_t)TIMED * TIMED);
    bsq_moments_buffers_init(&moments, sizeof moments);
    moments.h = data->h;
    expect(bsq_layer_get_moments(layer, &moments), "bsq_layer_get_moments", layer);
    return data;
}

static void print_ratio(const char *what, double seconds, const char *than, double other, double most)
{
    printf("| %s | %.3f s | %s | %.3f s | %.2f | %.2f |\n", what, seconds, than, other, seconds / other, most);
    fflush(stdout);
}

static void compare_times(void)
{
    bsq_options_t options = effort_options(4, BSQ_WEIGHT_GRID_FULL, 1);
    bsq_layer_t *layer = create_linear(TIMED, TIMED, &options);
    struct layer_data *data;
    double gptq, full, unused;

    (void)calibrate_rows(layer, 2 * TIMED, TIMED);
    data = moments_of(layer);
    gptq = gptq_groups_seconds(data, 4, 32, &unused);
    printf("\nprocessor time on one layer of %d x %d, one thread\n", (int)TIMED, (int)TIMED);
    printf("| | | beside | | ratio | at most |\n| --- | --- | --- | --- | --- | --- |\n");
    options = format_options("gguf_q4_k", 1);
    print_ratio("Q4_K, effort 1", solve_seconds(layer, &options), "GPTQ's arithmetic, groups of 32", gptq, 2.0);
    options = format_options("gguf_q4_0", DEFAULT_EFFORT);
    full = solve_seconds(layer, &options);
    options = format_options("gguf_q4_k", DEFAULT_EFFORT);
    print_ratio("Q4_K, effort 5", solve_seconds(layer, &options), "Q4_0, effort 5", full, 3.0);
    options = grid_options(BSQ_WEIGHT_GRID_FULL, 32, DEFAULT_EFFORT);
    full = solve_seconds(layer, &options);
    options = grid_options(BSQ_WEIGHT_GRID_NF4, 32, DEFAULT_EFFORT);
    print_ratio("NF4, groups of 32, effort 5", solve_seconds(layer, &options), "full range, the same", full, 2.0);
    options = grid_options(BSQ_WEIGHT_GRID_ZERO_POINT, 32, DEFAULT_EFFORT);
    print_ratio("zero points, groups of 32, effort 5", solve_seconds(layer, &options), "full range, the same", full,
                3.0);
    free_layer(data);
    bsq_layer_free(layer);
}

int main(int count, char **arguments)
{
    const char *folder = "../shared/layers";
    int32_t effort = DEFAULT_EFFORT;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0)
            effort = 1;
        else
            folder = arguments[i];
    }
    print_machine(stdout);
    compare_times();
    if (is_there(folder))
        compare_zero_points(load, (void *)(uintptr_t)folder, LAYERS, effort);
    else
        printf("\nerrors: left out, there is no %s\n", folder);
    return 0;
}
