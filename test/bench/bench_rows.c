/* Few rows: the solver on statistics from 0.5, 1, 2 and 4 n rows, taken as whole pictures, of the layers with raw batches,
 * judged on the pictures that are left; at several efforts and dampings. Ends with whether a higher effort raises the error
 * on held-out rows by more than 2 % at automatic damping.
 *
 *     bench_rows [FOLDER] [--quick] [--bits 2,3,4] [--threads N] [--folds N] [--most EFFORT]
 *
 * Every number is the geometric mean over several choices of the pictures that are taken. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_EFFORTS = 9, MOST_DAMPINGS = 8, PARTS = 4 };

static const double SHARES[PARTS] = {0.5, 1, 2, 4};
static const double AUTOMATIC = -1, MOST_RISE = 0.02;

struct bench {
    const char *folder, *bits;
    int32_t efforts[MOST_EFFORTS], effort_count;
    double dampings[MOST_DAMPINGS]; /* the first is automatic */
    int32_t damping_count, threads, folds;
    int32_t settings, rises,
        rises_from_rounding; /* settings where an effort rises above a lower one, but for rounding */
};

/* ---- pictures -------------------------------------------------------------------------------------------------- */

static void add_pictures(bsq_layer_t *layer, const struct raw_data *raw, int64_t from, int64_t to, int32_t held_out)
{
    bsq_batch_t batch;

    if (from >= to)
        return;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = raw->input + from * raw->inputs * raw->height * raw->width;
    batch.size = to - from;
    batch.spatial[0] = raw->height;
    batch.spatial[1] = raw->width;
    batch.held_out = held_out;
    expect(bsq_layer_calibrate(layer, &batch), "bsq_layer_calibrate", layer);
}

/* As many whole pictures as come nearest to so many rows, at least one, and one is left. */
static int64_t pictures_of(const struct layer_data *data, const struct raw_data *raw, double share)
{
    int64_t area = raw->height * raw->width;
    int64_t pictures = llround(share * (double)data->n / (double)area);

    return pictures < 1 ? 1 : pictures < raw->size ? pictures : raw->size - 1;
}

/* Fold f takes 'pictures' pictures from its place on, all others are held out. */
static bsq_layer_t *create_fold(const struct layer_data *data, const struct raw_data *raw, int64_t pictures,
                                int32_t fold, int32_t folds)
{
    bsq_layer_t *layer = create_conv(data, raw, NULL);
    int64_t from = folds > 1 ? (raw->size - pictures) * fold / (folds - 1) : 0;

    add_pictures(layer, raw, from, from + pictures, 0);
    add_pictures(layer, raw, 0, from, 1);
    add_pictures(layer, raw, from + pictures, raw->size, 1);
    return layer;
}

/* ---- one part --------------------------------------------------------------------------------------------------- */

struct cell {
    double train, held_out; /* sums of logarithms, then means */
    double damping;
};

static void solve_fold(const struct bench *bench, bsq_layer_t *layer, int32_t bits, int32_t dampings,
                       struct cell cells[MOST_DAMPINGS][MOST_EFFORTS])
{
    for (int32_t d = 0; d < dampings; d++)
        for (int32_t e = 0; e < bench->effort_count; e++) {
            bsq_options_t options = effort_options(bits, BSQ_WEIGHT_GRID_SYMMETRIC, bench->efforts[e]);
            bsq_report_t report;

            options.damping = bench->dampings[d];
            options.threads = bench->threads;
            bsq_report_init(&report, sizeof report);
            expect(bsq_layer_set_options(layer, &options), "bsq_layer_set_options", layer);
            expect(bsq_optimize(layer, &report), "bsq_optimize", layer);
            cells[d][e].train += log(report.error);
            cells[d][e].held_out += log(report.held_out_error);
            cells[d][e].damping = report.damping;
        }
}

static void print_line(const struct bench *bench, const char *start, const struct cell *cells, bool is_automatic)
{
    printf("%s %s%.2g |", start, is_automatic ? "auto " : "", cells[0].damping);
    for (int32_t e = 0; e < bench->effort_count; e++)
        printf(" %.4g |", cells[e].held_out);
    printf(" %.4g |", cells[bench->effort_count - 1].train);
}

/* The largest rise from an effort, 'first' or above, to a higher one. */
static double largest_rise(const struct bench *bench, const struct cell *cells, int32_t first)
{
    double lowest = cells[first].held_out, rise = -1;

    for (int32_t e = first + 1; e < bench->effort_count; e++) {
        rise = fmax(rise, cells[e].held_out / lowest - 1);
        lowest = fmin(lowest, cells[e].held_out);
    }
    return rise;
}

static void run_part(struct bench *bench, const struct layer_data *data, const struct raw_data *raw, int32_t bits,
                     double share, int32_t dampings)
{
    struct cell cells[MOST_DAMPINGS][MOST_EFFORTS] = {{{0, 0, 0}}};
    int64_t pictures = pictures_of(data, raw, share);
    char start[128];

    for (int32_t fold = 0; fold < bench->folds; fold++) {
        bsq_layer_t *layer = create_fold(data, raw, pictures, fold, bench->folds);

        solve_fold(bench, layer, bits, dampings, cells);
        bsq_layer_free(layer);
    }
    snprintf(start, sizeof start, "| %s | %d | %lld | %.2f |", data->name, bits, (long long)pictures,
             (double)(pictures * raw->height * raw->width) / (double)data->n);
    for (int32_t d = 0; d < dampings; d++) {
        for (int32_t e = 0; e < bench->effort_count; e++) {
            cells[d][e].train = exp(cells[d][e].train / bench->folds);
            cells[d][e].held_out = exp(cells[d][e].held_out / bench->folds);
        }
        print_line(bench, start, cells[d], d == 0);
        printf(" %+.1f %% | %+.1f %% |\n", 100 * largest_rise(bench, cells[d], 0),
               100 * largest_rise(bench, cells[d], 1));
    }
    fflush(stdout);
    bench->settings++;
    bench->rises += largest_rise(bench, cells[0], 1) > MOST_RISE;
    bench->rises_from_rounding += largest_rise(bench, cells[0], 0) > MOST_RISE;
}

static void run_layer(struct bench *bench, const char *name)
{
    struct layer_data *data = load_layer(bench->folder, name);
    struct raw_data raw = load_raw(bench->folder, data);

    for (int32_t bits = 2; bits <= 4; bits++) {
        int64_t last = 0;

        if (!strchr(bench->bits, '0' + bits))
            continue;
        for (int32_t part = 0; part < PARTS; part++) {
            int64_t pictures = pictures_of(data, &raw, SHARES[part]);

            if (pictures != last)
                run_part(bench, data, &raw, bits, SHARES[part], bits == 3 ? bench->damping_count : 1);
            last = pictures;
        }
    }
    free_raw(&raw);
    free_layer(data);
}

/* ---- program ---------------------------------------------------------------------------------------------------- */

static void print_head(const struct bench *bench)
{
    printf("\n### Few rows\n\nRelative output error on held-out pictures, symmetric range, geometric means over %d "
           "choices of the "
           "pictures; in the end the\nerror on the rows themselves at the highest effort, and the largest rise from an "
           "effort "
           "to a higher one, with\nand without rounding (effort 0).\n\n| layer | bits | pictures | N / n | damping |",
           bench->folds);
    for (int32_t e = 0; e < bench->effort_count; e++)
        printf(" effort %d |", bench->efforts[e]);
    printf(" own rows | rise | from effort 1 |\n| --- | --- | --- | --- | --- |");
    for (int32_t e = 0; e < bench->effort_count; e++)
        printf(" --- |");
    printf(" --- | --- | --- |\n");
}

static struct bench defaults(bool quick)
{
    static const struct bench whole = {.efforts = {0, 1, 3, 5, 7, 9},
                                       .effort_count = 6,
                                       .dampings = {-1, 1e-6, 1e-3, 1e-2, 1e-1, 3e-1, 1},
                                       .damping_count = 7,
                                       .folds = 3};
    static const struct bench fast = {
        .efforts = {0, 1, 3, 5}, .effort_count = 4, .dampings = {-1, 1e-6, 1e-1}, .damping_count = 3, .folds = 1};
    struct bench bench = quick ? fast : whole;

    bench.folder = "../shared/layers";
    bench.bits = "2,3,4";
    bench.threads = 2;
    bench.dampings[0] = AUTOMATIC;
    return bench;
}

static struct bench parse_arguments(int argc, char **argv)
{
    bool quick = false;

    for (int i = 1; i < argc; i++)
        quick = quick || strcmp(argv[i], "--quick") == 0;

    struct bench bench = defaults(quick);

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--bits") == 0 && more)
            bench.bits = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && more)
            bench.threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--folds") == 0 && more && atoi(argv[i + 1]) > 0)
            bench.folds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--most") == 0 && more)
            for (i++; bench.effort_count > 1 && bench.efforts[bench.effort_count - 1] > atoi(argv[i]);)
                bench.effort_count--;
        else if (argv[i][0] != '-')
            bench.folder = argv[i];
        else if (strcmp(argv[i], "--quick") != 0)
            stop(argv[i], "unknown option or value missing");
    }
    return bench;
}

int main(int argc, char **argv)
{
    struct bench bench = parse_arguments(argc, argv);
    struct baselines *baselines = reserve(1, sizeof *baselines);
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/../baselines.csv", bench.folder);
    if (!is_there(path)) {
        printf("bench_rows: skipped: there is no %s\n", path);
        free(baselines);
        return EXIT_SUCCESS;
    }
    read_baselines(path, baselines);
    print_machine(stdout);
    print_head(&bench);
    for (int32_t i = 0; i < baselines->count; i++)
        if (has_raw_data(bench.folder, baselines->names[i]))
            run_layer(&bench, baselines->names[i]);
    printf("\n%s: at automatic damping, a higher effort raises the held-out error by more than %.0f %% in %d of %d "
           "settings; above "
           "that of rounding (effort 0) in %d.\n",
           bench.rises || bench.rises_from_rounding ? "NOT REACHED" : "reached", 100 * MOST_RISE, bench.rises,
           bench.settings, bench.rises_from_rounding);
    free(baselines);
    return EXIT_SUCCESS;
}
