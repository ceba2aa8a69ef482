/* The solver's errors and times on the layers of ../shared/layers at every effort, beside what other solvers reach there
 * (baselines.csv), the published bit-split as a NumPy loop (test/reference/bitsplit.py) and GPTQ's arithmetic with the same
 * BLAS. Ends with what is to be reached.
 *
 *     bench_solver [FOLDER] [--stand-in FILE] [--limit SECONDS] [--quick] [--most EFFORT] [--data FILE]
 *
 * FILE of --stand-in is what bitsplit.py wrote at 3 bits; --data writes the points of the plot. An effort that would take
 * the run beyond the limit is left out. Times are processor time of one thread. */
#include "bench.h"
#include "gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EFFORTS = 10, DEFAULT_EFFORT = 5, MOST_EFFORT = 9, SETTINGS = 6, BITS = 5 };

struct setting {
    int32_t bits, range;
    enum peer peer, best;
};

/* In the order of importance; two bits symmetric only has best known rows. */
static const struct setting SETTING[SETTINGS] = {
    {3, BSQ_WEIGHT_GRID_SYMMETRIC, PEER_BIT_SPLIT, PEER_BEST_SYMMETRIC},
    {2, BSQ_WEIGHT_GRID_FULL, PEER_GPTQ, PEER_BEST_FULL},
    {3, BSQ_WEIGHT_GRID_FULL, PEER_GPTQ, PEER_BEST_FULL},
    {4, BSQ_WEIGHT_GRID_FULL, PEER_GPTQ, PEER_BEST_FULL},
    {4, BSQ_WEIGHT_GRID_SYMMETRIC, PEER_BIT_SPLIT, PEER_BEST_SYMMETRIC},
    {2, BSQ_WEIGHT_GRID_SYMMETRIC, PEERS, PEER_BEST_SYMMETRIC},
};

/* The efforts that goals speak of come first. */
static const int32_t ORDER[EFFORTS] = {0, 1, 2, 3, 4, 5, 9, 6, 7, 8};

/* When errors are printed with six digits, equal ones may differ by this. */
static const double PRINTED = 5e-6;

struct run {
    bool done;
    double error;
    double seconds;
};

struct bench {
    const char *folder, *stand_in, *data;
    double limit; /* seconds for all runs of the solver */
    int32_t most; /* effort */
    struct baselines baselines;
    struct layer_data *layers[MOST_LAYERS];
    struct run runs[SETTINGS][EFFORTS][MOST_LAYERS];
    double stand_in_seconds[MOST_LAYERS]; /* of bitsplit.py; 0 where it has no row */
    struct run gptq[BITS][MOST_LAYERS];   /* by bits: its arithmetic */
    int32_t goals, reached;
};

/* ---- the solver ---------------------------------------------------------------------------------------------- */

static struct run solve_once(bsq_layer_t *layer, const bsq_options_t *options)
{
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    expect(bsq_layer_set_options(layer, options), "bsq_layer_set_options", layer);

    double start = processor_seconds();

    expect(bsq_optimize(layer, &report), "bsq_optimize", layer);
    return (struct run){true, report.error, processor_seconds() - start};
}

/* Quick ones are repeated, and the least time counts. */
static struct run solve(bsq_layer_t *layer, const bsq_options_t *options)
{
    enum { REPEATS = 3 };
    const double quick = 0.2;
    struct run run = solve_once(layer, options);
    double times[REPEATS] = {run.seconds};

    if (run.seconds > quick)
        return run;
    for (int32_t i = 1; i < REPEATS; i++)
        times[i] = solve_once(layer, options).seconds;
    run.seconds = least(times, REPEATS);
    return run;
}

static double total(const struct bench *bench, int32_t setting, int32_t effort)
{
    double sum = 0;

    for (int32_t i = 0; i < bench->baselines.count; i++)
        sum += bench->runs[setting][effort][i].seconds;
    return sum;
}

/* What all layers will take, from the nearest effort below that ran. */
static double predicted(const struct bench *bench, int32_t setting, int32_t effort)
{
    const double growth = 3.5;

    for (int32_t lower = effort - 1; lower > 0; lower--)
        if (bench->runs[setting][lower][0].done)
            return total(bench, setting, lower) * pow(growth, effort - lower);
    return 0;
}

/* Returns the seconds it took. */
static double run_setting(struct bench *bench, int32_t setting, int32_t effort)
{
    bsq_options_t options = effort_options(SETTING[setting].bits, SETTING[setting].range, effort);

    for (int32_t i = 0; i < bench->baselines.count; i++) {
        bsq_layer_t *layer = create_from_moments(bench->layers[i]);

        bench->runs[setting][effort][i] = solve(layer, &options);
        bsq_layer_free(layer);
    }
    return total(bench, setting, effort);
}

static void run_all(struct bench *bench)
{
    double start = processor_seconds();

    for (int32_t i = 0; i < EFFORTS; i++)
        for (int32_t s = 0; s < SETTINGS; s++) {
            double left = bench->limit - (processor_seconds() - start);

            if (ORDER[i] <= bench->most && predicted(bench, s, ORDER[i]) <= left)
                run_setting(bench, s, ORDER[i]);
        }
}

/* ---- the others ---------------------------------------------------------------------------------------------- */

/* Lines of bitsplit.py: layer,bits,error,seconds,wall,epochs. */
static void read_stand_in(struct bench *bench)
{
    FILE *file = bench->stand_in ? fopen(bench->stand_in, "r") : NULL;
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        const char *comma = strchr(line, ',');
        int bits;
        double error, seconds;

        if (!comma || sscanf(comma, ",%d,%lf,%lf", &bits, &error, &seconds) != 3 || bits != 3)
            continue;
        for (int32_t i = 0; i < bench->baselines.count; i++)
            if (strlen(bench->baselines.names[i]) == (size_t)(comma - line) &&
                strncmp(bench->baselines.names[i], line, (size_t)(comma - line)) == 0)
                bench->stand_in_seconds[i] = seconds;
    }
    if (file)
        fclose(file);
}

static void run_gptq(struct bench *bench)
{
    for (int32_t bits = 2; bits < BITS; bits++)
        for (int32_t i = 0; i < bench->baselines.count; i++)
            if (bench->baselines.rows[i][bits][PEER_GPTQ].error > 0) {
                struct run *run = &bench->gptq[bits][i];

                run->seconds = gptq_seconds(bench->layers[i], bits, &run->error);
                run->done = true;
            }
}

/* ---- ratios -------------------------------------------------------------------------------------------------- */

/* Geometric mean of the errors against a peer's; 0 when not run or without such rows. */
static double mean_ratio(const struct bench *bench, int32_t setting, int32_t effort, enum peer peer)
{
    double logs = 0;
    int32_t layers = 0;

    for (int32_t i = 0; peer < PEERS && i < bench->baselines.count; i++) {
        double other = bench->baselines.rows[i][SETTING[setting].bits][peer].error;
        const struct run *run = &bench->runs[setting][effort][i];

        if (other > 0 && run->done) {
            logs += log(run->error / other);
            layers++;
        }
    }
    return layers ? exp(logs / layers) : 0;
}

/* Time of the layers for which 'others' has one, and of the others. */
struct times {
    double ours, theirs;
};

static struct times stand_in_times(const struct bench *bench, int32_t setting, int32_t effort)
{
    struct times times = {0, 0};

    for (int32_t i = 0; i < bench->baselines.count; i++)
        if (bench->stand_in_seconds[i] > 0) {
            times.ours += bench->runs[setting][effort][i].seconds;
            times.theirs += bench->stand_in_seconds[i];
        }
    return times;
}

static struct times gptq_times(const struct bench *bench, int32_t setting, int32_t effort)
{
    const struct run *gptq = bench->gptq[SETTING[setting].bits];
    struct times times = {0, 0};

    for (int32_t i = 0; i < bench->baselines.count; i++)
        if (gptq[i].done) {
            times.ours += bench->runs[setting][effort][i].seconds;
            times.theirs += gptq[i].seconds;
        }
    return times;
}

/* Symmetric ranges are compared with bit-split, full ones with GPTQ. */
static double time_ratio(const struct bench *bench, int32_t setting, int32_t effort)
{
    struct times times = SETTING[setting].range == BSQ_WEIGHT_GRID_FULL ? gptq_times(bench, setting, effort)
                         : SETTING[setting].bits == 3                   ? stand_in_times(bench, setting, effort)
                                                                        : (struct times){0, 0};

    return times.theirs > 0 ? times.ours / times.theirs : 0;
}

static bool is_done(const struct bench *bench, int32_t setting, int32_t effort)
{
    return bench->runs[setting][effort][0].done;
}

/* The lowest effort whose errors are at most 'most' times the peer's; -1 when there is none. */
static int32_t fastest(const struct bench *bench, int32_t setting, double most)
{
    for (int32_t e = 1; e < EFFORTS; e++)
        if (is_done(bench, setting, e) && mean_ratio(bench, setting, e, SETTING[setting].peer) <= most)
            return e;
    return -1;
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

static const char *range_name(int32_t setting)
{
    return SETTING[setting].range == BSQ_WEIGHT_GRID_FULL ? "full" : "symmetric";
}

static void print_cell(double value, const char *format)
{
    printf(" ");
    if (value > 0)
        printf(format, value);
    else
        printf("-");
    printf(" |");
}

static void print_means(const struct bench *bench)
{
    printf("\n### Error and time by effort\n\n"
           "Geometric means of the errors over the layers, as multiples of the published code's (symmetric: Bit-Split, "
           "full: GPTQ) and of\nthe best known; seconds of all layers; at 3 bits symmetric and in the full range also "
           "as multiples of the stand-in's.\n\n"
           "| bits | range | effort | published | best known | seconds | x stand-in |\n"
           "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int32_t s = 0; s < SETTINGS; s++)
        for (int32_t e = 0; e < EFFORTS; e++) {
            if (!is_done(bench, s, e))
                continue;
            printf("| %d | %s | %d |", SETTING[s].bits, range_name(s), e);
            print_cell(mean_ratio(bench, s, e, SETTING[s].peer), "%.3f");
            print_cell(mean_ratio(bench, s, e, SETTING[s].best), "%.3f");
            print_cell(total(bench, s, e), "%.3g");
            print_cell(time_ratio(bench, s, e), "%.3g");
            printf("\n");
        }
}

static void print_stand_ins(const struct bench *bench)
{
    double published = 0, here = 0;

    printf("\n### Stand-ins\n\n"
           "| stand-in | layers | seconds here | seconds of the published code, elsewhere | error / published |\n"
           "| --- | --- | --- | --- | --- |\n");
    for (int32_t i = 0; i < bench->baselines.count; i++) {
        published += bench->baselines.rows[i][3][PEER_BIT_SPLIT].seconds;
        here += bench->stand_in_seconds[i];
    }
    if (here > 0)
        printf("| Bit-Split as a NumPy loop, 3 bits | %d | %.3g | %.3g | - |\n", bench->baselines.count, here,
               published);
    for (int32_t bits = 2; bits < BITS; bits++) {
        double logs = 0;
        int32_t layers = 0;

        published = here = 0;
        for (int32_t i = 0; i < bench->baselines.count; i++)
            if (bench->gptq[bits][i].done) {
                const struct baseline *row = &bench->baselines.rows[i][bits][PEER_GPTQ];

                published += row->seconds;
                here += bench->gptq[bits][i].seconds;
                logs += log(bench->gptq[bits][i].error / row->error);
                layers++;
            }
        printf("| GPTQ's arithmetic, %d bits | %d | %.3g | %.3g | %.3f |\n", bits, layers, here, published,
               exp(logs / layers));
    }
}

/* ---- goals --------------------------------------------------------------------------------------------------- */

static void goal(struct bench *bench, const char *what, double most, double value)
{
    bool is_known = value > 0, is_reached = is_known && value <= most;

    printf("| %s | %.4g |", what, most);
    print_cell(value, "%.4g");
    printf(" %s |\n", is_known ? is_reached ? "yes" : "**no**" : "not run");
    bench->goals++;
    bench->reached += is_reached;
}

static void error_goal(struct bench *bench, int32_t setting, int32_t effort, double most)
{
    char text[128];

    snprintf(text, sizeof text, "error at effort %d, %d bits %s, against %s", effort, SETTING[setting].bits,
             range_name(setting), SETTING[setting].peer == PEER_GPTQ ? "GPTQ" : "Bit-Split");
    goal(bench, text, most, mean_ratio(bench, setting, effort, SETTING[setting].peer));
}

static void time_goal(struct bench *bench, int32_t setting, int32_t effort, const char *which, double most)
{
    char text[192];

    snprintf(text, sizeof text, "time at effort %d (%s), %d bits %s, against %s", effort, which, SETTING[setting].bits,
             range_name(setting),
             SETTING[setting].range == BSQ_WEIGHT_GRID_FULL ? "GPTQ's arithmetic" : "Bit-Split as a NumPy loop");
    goal(bench, text, most, effort > 0 && is_done(bench, setting, effort) ? time_ratio(bench, setting, effort) : 0);
}

static void print_goals(struct bench *bench)
{
    const double full_goals[BITS] = {0, 0, 0.60, 0.71, 0.72};

    printf("\n### What is to be reached on the layers\n\n| goal | at most | measured | reached |\n"
           "| --- | --- | --- | --- |\n");
    for (int32_t s = 0; s < SETTINGS; s++)
        if (SETTING[s].peer == PEER_BIT_SPLIT) {
            error_goal(bench, s, DEFAULT_EFFORT, 0.45);
            error_goal(bench, s, MOST_EFFORT, 0.41);
        } else if (SETTING[s].peer == PEER_GPTQ) {
            error_goal(bench, s, DEFAULT_EFFORT, full_goals[SETTING[s].bits]);
        }
    time_goal(bench, 0, fastest(bench, 0, 0.50), "the lowest with <= 0.50 x its error", 1.0 / 100);
    time_goal(bench, 0, DEFAULT_EFFORT, "default", 1.0 / 40);
    for (int32_t s = 0; s < SETTINGS; s++)
        if (SETTING[s].peer == PEER_GPTQ)
            time_goal(bench, s, fastest(bench, s, 0.90), "the lowest with <= 0.90 x its error", 1);
}

/* Every best known row that the highest effort does not reach. */
static void print_best_known(struct bench *bench)
{
    int32_t rows = 0, above = 0;

    printf("\n### Effort %d against best known rows\n\n| layer | bits | range | error | best known | ratio |\n"
           "| --- | --- | --- | --- | --- | --- |\n",
           MOST_EFFORT);
    for (int32_t s = 0; s < SETTINGS; s++)
        for (int32_t i = 0; i < bench->baselines.count; i++) {
            const struct run *run = &bench->runs[s][MOST_EFFORT][i];
            double best = bench->baselines.rows[i][SETTING[s].bits][SETTING[s].best].error;

            if (!run->done || best == 0)
                continue;
            rows++;
            if (run->error <= best * (1 + PRINTED))
                continue;
            above++;
            printf("| %s | %d | %s | %.6g | %.6g | %.4f |\n", bench->baselines.names[i], SETTING[s].bits, range_name(s),
                   run->error, best, run->error / best);
        }
    printf("\n%d of %d rows that were run are above the best known.\n", above, rows);
    bench->goals++;
    bench->reached += rows > 0 && above == 0;
}

/* ---- plot ---------------------------------------------------------------------------------------------------- */

/* Blocks of "time error effort" that plot.gp draws: 3 bits symmetric, then the full range at 2, 3 and 4 bits. */
static void write_points(const struct bench *bench)
{
    FILE *file = fopen(bench->data, "w");

    if (!file)
        stop(bench->data, "cannot be written");
    for (int32_t s = 0; s < SETTINGS; s++) {
        if (SETTING[s].peer == PEERS || (SETTING[s].range == BSQ_WEIGHT_GRID_SYMMETRIC && SETTING[s].bits != 3))
            continue;
        fprintf(file, "# %d bits, %s: time, error, effort\n", SETTING[s].bits, range_name(s));
        for (int32_t e = 1; e < EFFORTS; e++)
            if (is_done(bench, s, e) && time_ratio(bench, s, e) > 0)
                fprintf(file, "%.6g %.6g %d\n", time_ratio(bench, s, e), mean_ratio(bench, s, e, SETTING[s].peer), e);
        fprintf(file, "\n\n");
    }
    fclose(file);
}

/* ---- program ------------------------------------------------------------------------------------------------- */

static void parse_arguments(struct bench *bench, int argc, char **argv)
{
    bench->folder = "../shared/layers";
    bench->limit = 300;
    bench->most = MOST_EFFORT;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--quick") == 0)
            bench->limit = 40;
        else if (strcmp(argv[i], "--limit") == 0 && more)
            bench->limit = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--most") == 0 && more)
            bench->most = atoi(argv[++i]);
        else if (strcmp(argv[i], "--stand-in") == 0 && more)
            bench->stand_in = argv[++i];
        else if (strcmp(argv[i], "--data") == 0 && more)
            bench->data = argv[++i];
        else if (argv[i][0] != '-')
            bench->folder = argv[i];
        else
            stop(argv[i], "unknown option or value missing");
    }
}

int main(int argc, char **argv)
{
    struct bench *bench = reserve(1, sizeof *bench);
    char path[PATH_SIZE];

    parse_arguments(bench, argc, argv);
    snprintf(path, sizeof path, "%s/../baselines.csv", bench->folder);
    if (!is_there(path)) {
        printf("bench_solver: skipped: there is no %s\n", path);
        free(bench);
        return EXIT_SUCCESS;
    }
    print_machine(stdout);
    read_baselines(path, &bench->baselines);
    for (int32_t i = 0; i < bench->baselines.count; i++)
        bench->layers[i] = load_layer(bench->folder, bench->baselines.names[i]);
    read_stand_in(bench);
    run_gptq(bench);
    run_all(bench);
    print_means(bench);
    print_stand_ins(bench);
    print_best_known(bench);
    print_goals(bench);
    printf("\n%d of %d goals reached\n", bench->reached, bench->goals);
    if (bench->data)
        write_points(bench);
    for (int32_t i = 0; i < bench->baselines.count; i++)
        free_layer(bench->layers[i]);
    free(bench);
    return EXIT_SUCCESS;
}
