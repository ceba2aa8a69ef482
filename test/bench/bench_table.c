/* Error tables over 2 to 8 bits: what one takes, in times of one solve at default effort and 4 bits, and how far its
 * errors are above those of that effort.
 *
 *     bench_table [FOLDER] */
#include "bench.h"

#include <math.h>
#include <string.h>

enum { LO = 2, HI = 8, DEFAULT_EFFORT = 5 };

struct sums {
    double one, table;   /* seconds */
    double logs[HI + 1]; /* of table / full solve */
    double squares[HI + 1];
    double most;
    int32_t layers;
};

static double solve_error(bsq_layer_t *layer, int32_t bits, double *seconds)
{
    bsq_options_t options = effort_options(bits, BSQ_WEIGHT_GRID_SYMMETRIC, DEFAULT_EFFORT);
    bsq_report_t report;
    double start;

    bsq_report_init(&report, sizeof report);
    expect(bsq_layer_set_options(layer, &options), "bsq_layer_set_options", layer);
    start = processor_seconds();
    expect(bsq_optimize(layer, &report), "bsq_optimize", layer);
    *seconds = processor_seconds() - start;
    return report.error;
}

static void run_layer(const struct layer_data *data, struct sums *sums)
{
    bsq_layer_t *layer = create_from_moments(data);
    double table[HI - LO + 1], one = 0, seconds, start;

    (void)solve_error(layer, 4, &one);
    start = processor_seconds();
    expect(bsq_layer_error_table(layer, LO, HI, table, HI - LO + 1), "bsq_layer_error_table", layer);
    seconds = processor_seconds() - start;
    printf("  %-28s %5lld x %4lld, %3lld groups: %8.4f s, table %6.2f x;", data->name, (long long)data->channels,
           (long long)data->n, (long long)data->groups, one, seconds / one);
    sums->one += one;
    sums->table += seconds;
    sums->layers++;
    for (int32_t bits = LO; bits <= HI; bits++) {
        double share = table[bits - LO] / solve_error(layer, bits, &seconds);

        printf(" %.3f", share);
        sums->logs[bits] += log(share);
        sums->squares[bits] += log(share) * log(share);
        sums->most = fmax(sums->most, share);
    }
    printf("\n");
    bsq_layer_free(layer);
}

int main(int count, char **arguments)
{
    const char *folder = count > 1 ? arguments[1] : "../shared/layers";
    char path[PATH_SIZE];
    static struct baselines baselines;
    struct sums sums = {0};

    snprintf(path, sizeof path, "%s/../baselines.csv", folder);
    if (!is_there(path)) {
        printf("bench_table: skipped, there are no layers in %s\n", folder);
        return 0;
    }
    print_machine(stdout);
    printf("seconds of one solve (effort %d, 4 bits, symmetric), a table of %d to %d bits as a multiple of it, and its "
           "errors as multiples of those of effort %d\n",
           DEFAULT_EFFORT, LO, HI, DEFAULT_EFFORT);
    read_baselines(path, &baselines);
    for (int32_t i = 0; i < baselines.count; i++) {
        struct layer_data *data = load_layer(folder, baselines.names[i]);

        if (!data)
            continue;
        run_layer(data, &sums);
        free_layer(data);
    }
    if (!sums.layers)
        return 0;
    printf("all together: tables take %.2f times what one solve of each layer does\nerrors, geometric mean:",
           sums.table / sums.one);
    for (int32_t bits = LO; bits <= HI; bits++)
        printf(" %.3f", exp(sums.logs[bits] / sums.layers));
    printf("\nstandard deviation:    ");
    for (int32_t bits = LO; bits <= HI; bits++) {
        double mean = sums.logs[bits] / sums.layers;

        printf(" %.3f", sqrt(fmax(sums.squares[bits] / sums.layers - mean * mean, 0)));
    }
    printf("\nat most: %.3f\n", sums.most);
    return 0;
}
