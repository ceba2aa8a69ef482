/* Every layer of ../shared/layers at 2, 3 and 4 bits in both ranges with each solver, beside what other solvers reach;
 * then the two layers with raw batches through streaming. Ends with what must be reached, and fails when it is not.
 *
 *     bench_layers [FOLDER] [--efforts 0,1,5 | --all-efforts] [--only NAME] [--no-streaming] [--markdown FILE]
 *
 * Errors are computed here, in double, from the codes and the scales as stored. */
#include "bench.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS_LO = 2, BITS_HI = 4, EFFORTS = 10, DEFAULT_EFFORT = 5 };
enum { SYMMETRIC, FULL, RANGES };

/* The runs of one layer at one number of bits and range. */
enum { RUN_ROUND, RUN_PAPER, RUN_EFFORT, RUNS = RUN_EFFORT + EFFORTS };

static const double PAPER_MEAN = 1.005, PAPER_WORST = 1.10, AUTO_MEAN = 0.55, FULL_MEAN = 0.95;
static const double ROUNDING = 1e-9; /* how far double may be off when two objectives are compared */
static const char *const MARKER = "<!-- below: written by bench_layers --markdown -->";

struct run {
    bool done;
    double error;     /* relative output error */
    double objective; /* J */
    double seconds;
};

struct bench {
    const char *folder;
    const char *only;
    const char *markdown;
    bool efforts[EFFORTS];
    bool streaming;
    struct baselines baselines;
    struct run runs[MOST_LAYERS][BITS_HI + 1][RANGES][RUNS];
    int32_t above_rounding; /* runs whose J is above that of rounding */
    int32_t above_effort;   /* runs whose J is above that of a lower effort */
    int32_t misreported;    /* runs whose report does not say what codes and scales give */
    int32_t streamed;       /* solves of streamed layers */
    int32_t stream_differs; /* of them with other codes than from direct moments */
    int32_t failures;       /* requirements that are not reached */
    FILE *tables;           /* where the markdown goes, or NULL */
};

static const char *const RANGE_NAMES[RANGES] = {"symmetric", "full"};
static const char *const RUN_NAMES[RUNS] = {"round",    "paper",    "effort 0", "effort 1", "effort 2", "effort 3",
                                            "effort 4", "effort 5", "effort 6", "effort 7", "effort 8", "effort 9"};

/* ---- one solve ---------------------------------------------------------------------------------------------- */

static bsq_options_t options_of(int32_t bits, int32_t range, int32_t run)
{
    bsq_options_t options;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = bits;
    options.weight_grid = range == FULL ? BSQ_WEIGHT_GRID_FULL : BSQ_WEIGHT_GRID_SYMMETRIC;
    options.solver = run == RUN_ROUND ? BSQ_SOLVER_ROUND : run == RUN_PAPER ? BSQ_SOLVER_PAPER : BSQ_SOLVER_AUTO;
    if (run >= RUN_EFFORT)
        options.effort = run - RUN_EFFORT;
    return options;
}

/* Codes and scales of the layer's options, to be freed. */
struct solution {
    int8_t *codes;
    float *scales;
    bsq_report_t report;
    double seconds;
};

static struct solution solve(bsq_layer_t *layer, const struct layer_data *data, const bsq_options_t *options)
{
    size_t count = (size_t)(data->channels * data->n);
    struct solution solution = {reserve(data->channels * data->n, 1), reserve(data->channels, sizeof(float)), {0}, 0};

    expect(bsq_layer_set_options(layer, options), "bsq_layer_set_options", layer);
    bsq_report_init(&solution.report, sizeof solution.report);

    double start = processor_seconds();

    expect(bsq_optimize(layer, &solution.report), "bsq_optimize", layer);
    solution.seconds = processor_seconds() - start;
    expect(bsq_layer_get_codes(layer, solution.codes, count), "bsq_layer_get_codes", layer);
    expect(bsq_layer_get_scales(layer, solution.scales, (size_t)data->channels), "bsq_layer_get_scales", layer);
    return solution;
}

static void free_solution(struct solution *solution)
{
    free(solution->codes);
    free(solution->scales);
}

/* ---- layers with second moments ------------------------------------------------------------------------------ */

static bool wanted(const struct bench *bench, int32_t range, int32_t run)
{
    if (run == RUN_PAPER)
        return range == SYMMETRIC;
    return run == RUN_ROUND || bench->efforts[run - RUN_EFFORT];
}

/* Effort 1 works in single precision. */
static bool near(double a, double b, int32_t run)
{
    return fabs(a - b) <= (run == RUN_EFFORT + 1 ? 3e-5 : 1e-6) * fabs(b) + 1e-15;
}

/* Compares a run with rounding and with the lower efforts. */
static void check_run(struct bench *bench, const struct run *runs, int32_t run, const struct layer_data *data,
                      const struct solution *solution)
{
    double limit = 1 + ROUNDING;

    if (!near(solution->report.error, runs[run].error, run) ||
        !near(solution->report.objective, runs[run].objective, run)) {
        printf("  ! %s: report says error %.9g, objective %.9g; codes and scales give %.9g, %.9g\n", data->name,
               solution->report.error, solution->report.objective, runs[run].error, runs[run].objective);
        bench->misreported++;
    }
    if (run < RUN_EFFORT)
        return;
    if (runs[run].objective > runs[RUN_ROUND].objective * limit ||
        solution->report.objective > solution->report.objective_start * limit) {
        printf("  ! %s: effort %d is above rounding\n", data->name, run - RUN_EFFORT);
        bench->above_rounding++;
    }
    for (int32_t lower = RUN_EFFORT; lower < run; lower++)
        if (runs[lower].done && runs[run].objective > runs[lower].objective * limit) {
            printf("  ! %s: effort %d is above effort %d\n", data->name, run - RUN_EFFORT, lower - RUN_EFFORT);
            bench->above_effort++;
        }
}

static void run_layer(struct bench *bench, int32_t index, const struct layer_data *data, int32_t bits, int32_t range)
{
    struct run *runs = bench->runs[index][bits][range];
    bsq_layer_t *layer = create_from_moments(data);

    for (int32_t run = 0; run < RUNS; run++) {
        if (!wanted(bench, range, run))
            continue;

        bsq_options_t options = options_of(bits, range, run);
        struct solution solution = solve(layer, data, &options);

        judge(data, data->h, solution.codes, solution.scales, solution.report.damping, &runs[run].error,
              &runs[run].objective);
        runs[run].error /= data->energy;
        runs[run].seconds = solution.seconds;
        runs[run].done = true;
        check_run(bench, runs, run, data, &solution);
        free_solution(&solution);
    }
    bsq_layer_free(layer);
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

static enum peer best_known(int32_t range)
{
    return range == FULL ? PEER_BEST_FULL : PEER_BEST_SYMMETRIC;
}

static void print_number(FILE *file, double value, const char *format, int32_t width)
{
    char text[32] = "-";

    if (value > 0)
        snprintf(text, sizeof text, format, value);
    fprintf(file, "%*s", width, text);
}

static void print_head(const struct bench *bench, int32_t range)
{
    printf("%-28s bits  range    ", "layer");
    for (int32_t run = 0; run < RUNS; run++)
        if (wanted(bench, range, run))
            printf("%12s%9s", RUN_NAMES[run], "s");
    printf("   |%11s%9s%11s%9s%12s\n", "Bit-Split", "s", "GPTQ", "s", "best known");
}

static void print_layer(const struct bench *bench, int32_t index, int32_t bits, int32_t range)
{
    const struct run *runs = bench->runs[index][bits][range];
    const struct baseline *peers = bench->baselines.rows[index][bits];

    printf("%-28s %4d  %-9s", bench->baselines.names[index], bits, RANGE_NAMES[range]);
    for (int32_t run = 0; run < RUNS; run++)
        if (wanted(bench, range, run)) {
            print_number(stdout, runs[run].error, "%.6g", 12);
            print_number(stdout, runs[run].seconds, "%.3g", 9);
        }
    printf("   |");
    for (int32_t peer = PEER_BIT_SPLIT; peer <= PEER_GPTQ; peer++) {
        print_number(stdout, peers[peer].error, "%.6g", 11);
        print_number(stdout, peers[peer].seconds, "%.3g", 9);
    }
    print_number(stdout, peers[best_known(range)].error, "%.6g", 12);
    printf("\n");
    fflush(stdout);
}

/* Errors of a run against those of a peer over the layers that have both. */
struct ratio {
    double mean; /* geometric; 0 when there is no layer */
    double worst;
    double time; /* all seconds against all seconds */
    int32_t layers;
};

static struct ratio ratio_of(const struct bench *bench, int32_t bits, int32_t range, int32_t run, int32_t peer)
{
    struct ratio ratio = {0, 0, 0, 0};
    double logs = 0, seconds = 0, peer_seconds = 0;

    for (int32_t i = 0; i < bench->baselines.count; i++) {
        const struct run *r = &bench->runs[i][bits][range][run];
        const struct baseline *b = &bench->baselines.rows[i][bits][peer];

        if (!r->done || b->error == 0)
            continue;
        logs += log(r->error / b->error);
        ratio.worst = fmax(ratio.worst, r->error / b->error);
        seconds += r->seconds;
        peer_seconds += b->seconds;
        ratio.layers++;
    }
    if (ratio.layers > 0) {
        ratio.mean = exp(logs / ratio.layers);
        ratio.time = seconds / peer_seconds;
    }
    return ratio;
}

static void print_means(const struct bench *bench)
{
    printf("\ngeometric mean of the errors (seconds in all) against\n%-4s %-10s %-9s %20s %20s %20s\n", "bits", "range",
           "solver", "Bit-Split", "GPTQ", "best known");
    for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++)
        for (int32_t range = 0; range < RANGES; range++)
            for (int32_t run = 0; run < RUNS; run++) {
                const int32_t peers[3] = {PEER_BIT_SPLIT, PEER_GPTQ, (int32_t)best_known(range)};

                if (!wanted(bench, range, run))
                    continue;
                printf("%-4d %-10s %-9s", bits, RANGE_NAMES[range], RUN_NAMES[run]);
                for (int32_t i = 0; i < 3; i++) {
                    struct ratio ratio = ratio_of(bench, bits, range, run, peers[i]);

                    print_number(stdout, ratio.mean, "%.3f", 11);
                    print_number(stdout, ratio.time, "(%.3g)", 10);
                }
                printf("\n");
            }
}

static void write_run(FILE *file, const struct run *run, bool with_seconds)
{
    if (!run->done)
        fprintf(file, " - |");
    else if (with_seconds)
        fprintf(file, " %.3g (%.2g s) |", run->error, run->seconds);
    else
        fprintf(file, " %.3g |", run->error);
}

static void write_peer(FILE *file, const struct baseline *peer)
{
    if (peer->error > 0)
        fprintf(file, " %.3g (%.2g s) |", peer->error, peer->seconds);
    else
        fprintf(file, " - |");
}

static void write_layers(const struct bench *bench, int32_t range)
{
    FILE *file = bench->tables;

    fprintf(file, "\n### %s range\n\n", range == FULL ? "Full" : "Symmetric");
    fprintf(file, "| layer | bits | round | paper | default effort | Bit-Split | GPTQ | best known |\n");
    fprintf(file, "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (int32_t i = 0; i < bench->baselines.count; i++)
        for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++) {
            const struct run *runs = bench->runs[i][bits][range];
            const struct baseline *peers = bench->baselines.rows[i][bits];

            if (!runs[RUN_ROUND].done)
                continue;
            fprintf(file, "| %s | %d |", bench->baselines.names[i], bits);
            write_run(file, &runs[RUN_ROUND], false);
            write_run(file, &runs[RUN_PAPER], true);
            write_run(file, &runs[RUN_EFFORT + DEFAULT_EFFORT], true);
            write_peer(file, &peers[PEER_BIT_SPLIT]);
            write_peer(file, &peers[PEER_GPTQ]);
            fprintf(file, " %.3g |\n", peers[best_known(range)].error);
        }
}

static void write_means(const struct bench *bench)
{
    FILE *file = bench->tables;
    fprintf(file, "\n### Geometric means\n\n"
                  "Error as a multiple of the column's, over the layers that have such a row.\n\n"
                  "| bits | range | solver | Bit-Split | GPTQ | best known | seconds in all |\n"
                  "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++)
        for (int32_t range = 0; range < RANGES; range++)
            for (int32_t run = 0; run < RUNS; run++) {
                const int32_t peers[3] = {PEER_BIT_SPLIT, PEER_GPTQ, (int32_t)best_known(range)};
                double seconds = 0;

                if (!wanted(bench, range, run))
                    continue;
                fprintf(file, "| %d | %s | %s |", bits, RANGE_NAMES[range], RUN_NAMES[run]);
                for (int32_t i = 0; i < 3; i++) {
                    struct ratio ratio = ratio_of(bench, bits, range, run, peers[i]);

                    fputc(' ', file);
                    print_number(file, ratio.mean, "%.3f", 0);
                    fprintf(file, " |");
                }
                for (int32_t i = 0; i < bench->baselines.count; i++)
                    seconds += bench->runs[i][bits][range][run].seconds;
                fprintf(file, " %.3g |\n", seconds);
            }
}

/* ---- raw batches -------------------------------------------------------------------------------------------- */

enum { SPLITS = 4, MOST_PARTS = 64 };

/* Sizes of the batches of split 'split', which add up to 'size'; returns how many. */
static int32_t split_batches(int64_t size, int32_t split, int64_t parts[MOST_PARTS])
{
    const int64_t uneven[] = {1, 2, 7, 3, 19};
    int32_t count = 0;

    for (int64_t done = 0; done < size; done += parts[count++]) {
        int64_t part = split == 0 ? size : split == 1 ? 1 : split == 2 ? (size + 1) / 2 : uneven[count % 5];

        parts[count] = part < size - done ? part : size - done;
    }
    return count;
}

static void set_held_out(bsq_layer_t *layer, const struct layer_data *data)
{
    bsq_moments_t moments;

    bsq_moments_init(&moments, sizeof moments);
    moments.h = data->h;
    moments.held_out = 1;
    expect(bsq_layer_set_moments(layer, &moments), "bsq_layer_set_moments (held out)", layer);
}

static bsq_layer_t *create_streamed(const struct layer_data *data, const struct raw_data *raw, bool with_target,
                                    int32_t split)
{
    bsq_layer_t *layer = create_conv(data, raw, NULL);
    int64_t parts[MOST_PARTS], area = raw->height * raw->width, done = 0;
    int32_t count = split_batches(raw->size, split, parts);

    for (int32_t i = 0; i < count; i++) {
        bsq_batch_t batch;

        bsq_batch_init(&batch, sizeof batch);
        batch.input = raw->input + done * raw->inputs * area;
        batch.target = with_target ? raw->output + done * data->channels * area : NULL;
        batch.size = parts[i];
        batch.spatial[0] = raw->height;
        batch.spatial[1] = raw->width;
        expect(bsq_layer_calibrate(layer, &batch), "bsq_layer_calibrate", layer);
        done += parts[i];
    }
    if (!with_target)
        set_held_out(layer, data);
    return layer;
}

static bsq_layer_t *create_direct(const struct layer_data *data, const struct raw_data *raw,
                                  const struct raw_moments *direct, bool with_target)
{
    bsq_layer_t *layer = create_conv(data, raw, NULL);
    bsq_moments_t moments;

    bsq_moments_init(&moments, sizeof moments);
    moments.h = direct->h;
    moments.p = with_target ? direct->p : NULL;
    moments.target_square = with_target ? direct->square : NULL;
    moments.rows = (double)raw->rows;
    expect(bsq_layer_set_moments(layer, &moments), "bsq_layer_set_moments", layer);
    return layer;
}

static int64_t different_codes(const struct layer_data *data, const struct solution *a, const struct solution *b)
{
    int64_t count = 0;

    for (int64_t i = 0; i < data->channels * data->n; i++)
        count += a->codes[i] != b->codes[i];
    return count;
}

/* One setting: from the direct moments, and from every split of the batches. */
static void stream_setting(struct bench *bench, const struct layer_data *data, bsq_layer_t *direct,
                           bsq_layer_t *const streamed[SPLITS], bool with_target, const bsq_options_t *options,
                           const char *solver)
{
    struct solution expected = solve(direct, data, options);
    int64_t most = 0;
    double error = 0, held_out = -1;

    for (int32_t split = 0; split < SPLITS; split++) {
        struct solution solution = solve(streamed[split], data, options);
        int64_t differ = different_codes(data, &solution, &expected);

        bench->streamed++;
        bench->stream_differs += differ > 0;
        most = differ > most ? differ : most;
        error = solution.report.error;
        held_out = solution.report.held_out_error;
        free_solution(&solution);
    }

    char text[32] = "-";

    if (held_out >= 0)
        snprintf(text, sizeof text, "%.3g", held_out);
    printf("%-28s %4d  %-9s  %-9s %-6s %12.6g %12s %12lld\n", data->name, options->weight_bits,
           RANGE_NAMES[options->weight_grid], solver, with_target ? "yes" : "no", error, text, (long long)most);
    if (bench->tables)
        fprintf(bench->tables, "| %s | %d | %s | %s | %s | %.3g | %s | %lld |\n", data->name, options->weight_bits,
                RANGE_NAMES[options->weight_grid], solver, with_target ? "yes" : "no", error, text, (long long)most);
    fflush(stdout);
    free_solution(&expected);
}

static void stream_target(struct bench *bench, const struct layer_data *data, const struct raw_data *raw,
                          const struct raw_moments *moments, bool with_target)
{
    const int32_t runs[3] = {RUN_ROUND, RUN_PAPER, RUN_EFFORT + DEFAULT_EFFORT};
    bsq_layer_t *direct = create_direct(data, raw, moments, with_target);
    bsq_layer_t *streamed[SPLITS];
    for (int32_t split = 0; split < SPLITS; split++)
        streamed[split] = create_streamed(data, raw, with_target, split);
    for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++)
        for (int32_t range = 0; range < RANGES; range++)
            for (int32_t i = 0; i < 3; i++) {
                bsq_options_t options = options_of(bits, range, runs[i]);

                if (runs[i] != RUN_PAPER || range == SYMMETRIC)
                    stream_setting(bench, data, direct, streamed, with_target, &options, RUN_NAMES[runs[i]]);
            }
    for (int32_t split = 0; split < SPLITS; split++)
        bsq_layer_free(streamed[split]);
    bsq_layer_free(direct);
}

static void stream_layers(struct bench *bench)
{
    printf("\nraw batches in %d splits; H.npy held out where there is no target\n", SPLITS);
    printf("%-28s bits  range      solver    target %12s %12s %12s\n", "layer", "error", "held out", "codes differ");
    if (bench->tables)
        fprintf(bench->tables,
                "\n### Raw batches\n\nInputs streamed in %d different splits; `H.npy`, from more pictures, is held out "
                "where there is no target. The last column\ncounts the codes that differ, in the worst split, from "
                "those of second moments summed in double.\n\n"
                "| layer | bits | range | solver | target | error | held-out error | codes that differ |\n"
                "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
                SPLITS);
    for (int32_t i = 0; i < bench->baselines.count; i++) {
        const char *name = bench->baselines.names[i];

        if ((bench->only && strcmp(bench->only, name) != 0) || !has_raw_data(bench->folder, name))
            continue;

        struct layer_data *data = load_layer(bench->folder, name);
        struct raw_data raw = load_raw(bench->folder, data);
        struct raw_moments moments = direct_moments(data, &raw);

        for (int32_t with_target = 0; with_target < 2; with_target++)
            stream_target(bench, data, &raw, &moments, with_target != 0);
        free_moments(&moments);
        free_raw(&raw);
        free_layer(data);
    }
}

/* ---- requirements ------------------------------------------------------------------------------------------- */

static void require(struct bench *bench, bool reached, const char *what, double value)
{
    printf("%-12s %-86s %.6g\n", reached ? "reached" : "NOT REACHED", what, value);
    if (bench->tables)
        fprintf(bench->tables, "| %s | %.4g | %s |\n", what, value, reached ? "yes" : "**no**");
    if (!reached)
        bench->failures++;
}

static void require_mean(struct bench *bench, const char *what, int32_t bits, int32_t range, int32_t run, int32_t peer,
                         double limit)
{
    struct ratio ratio = ratio_of(bench, bits, range, run, peer);
    char text[128];

    if (ratio.layers == 0 || bench->only)
        return; /* the limits are for all layers together */
    snprintf(text, sizeof text, "%s, %d bits, %s: geometric mean over %d layers <= %.4g", what, bits,
             RANGE_NAMES[range], ratio.layers, limit);
    require(bench, ratio.mean <= limit, text, ratio.mean);
}

static void print_requirements(struct bench *bench)
{
    printf("\n");
    if (bench->tables)
        fprintf(bench->tables, "\n### What must be reached\n\n"
                               "| requirement | measured | reached |\n| --- | --- | --- |\n");
    for (int32_t bits = 3; bits <= BITS_HI; bits++) {
        struct ratio paper = ratio_of(bench, bits, SYMMETRIC, RUN_PAPER, PEER_BIT_SPLIT);
        char text[128];

        require_mean(bench, "paper mode against published Bit-Split", bits, SYMMETRIC, RUN_PAPER, PEER_BIT_SPLIT,
                     PAPER_MEAN);
        snprintf(text, sizeof text, "paper mode against published Bit-Split, %d bits: worst layer <= %.4g", bits,
                 PAPER_WORST);
        if (paper.layers > 0)
            require(bench, paper.worst <= PAPER_WORST, text, paper.worst);
    }
    for (int32_t bits = 3; bits <= BITS_HI; bits++)
        require_mean(bench, "default effort against published Bit-Split", bits, SYMMETRIC, RUN_EFFORT + DEFAULT_EFFORT,
                     PEER_BIT_SPLIT, AUTO_MEAN);
    for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++)
        require_mean(bench, "default effort against published GPTQ", bits, FULL, RUN_EFFORT + DEFAULT_EFFORT, PEER_GPTQ,
                     FULL_MEAN);
    require(bench, bench->above_rounding == 0, "runs whose J is above that of rounding: none", bench->above_rounding);
    require(bench, bench->above_effort == 0, "runs whose J is above that of a lower effort: none", bench->above_effort);
    require(bench, bench->misreported == 0, "reports that codes and scales do not bear out: none", bench->misreported);
    if (bench->streamed > 0)
        require(bench, bench->stream_differs == 0, "streamed solves with other codes than from direct moments: none",
                bench->stream_differs);
}

/* ---- markdown ------------------------------------------------------------------------------------------------ */

/* Everything up to the marker stays; what follows it is written anew. */
static FILE *open_markdown(const char *path)
{
    FILE *old = fopen(path, "r");
    char *head = reserve(1 << 20, 1);
    size_t size = old ? fread(head, 1, (1 << 20) - 1, old) : 0;
    char *marker = strstr(head, MARKER);

    if (old)
        fclose(old);

    FILE *file = fopen(path, "w");

    if (!file)
        stop(path, "cannot be written");
    fwrite(head, 1, marker ? (size_t)(marker - head) : size, file);
    fprintf(file, "%s\n", MARKER);
    free(head);
    return file;
}

static void write_head(const struct bench *bench, int argc, char **argv)
{
    char machine[256];

    machine_name(machine, sizeof machine);
    fprintf(bench->tables, "\nlibbsq %s on %s (OpenBLAS core %s, %d thread%s), processor time of one thread:\n\n   ",
            bsq_version_string(), machine, openblas_get_corename(), openblas_get_num_threads(),
            openblas_get_num_threads() == 1 ? "" : "s");
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--markdown") == 0)
            i++;
        else
            fprintf(bench->tables, " %s", argv[i]);
    fprintf(bench->tables, "\n");
}

/* ---- program ------------------------------------------------------------------------------------------------- */

static void parse_efforts(struct bench *bench, const char *list)
{
    for (int32_t e = 0; e < EFFORTS; e++)
        bench->efforts[e] = strchr(list, '0' + e) != NULL;
    if (list[strspn(list, "0123456789,")])
        stop("--efforts", "a list of numbers 0 to 9 is wanted");
}

static void parse_arguments(struct bench *bench, int argc, char **argv)
{
    bench->folder = "../shared/layers";
    bench->streaming = true;
    parse_efforts(bench, "0,1,5");
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--all-efforts") == 0)
            parse_efforts(bench, "0123456789");
        else if (strcmp(argv[i], "--no-streaming") == 0)
            bench->streaming = false;
        else if (strcmp(argv[i], "--efforts") == 0 && more)
            parse_efforts(bench, argv[++i]);
        else if (strcmp(argv[i], "--only") == 0 && more)
            bench->only = argv[++i];
        else if (strcmp(argv[i], "--markdown") == 0 && more)
            bench->markdown = argv[++i];
        else if (argv[i][0] != '-')
            bench->folder = argv[i];
        else
            stop(argv[i], "unknown option or value missing");
    }
}

static void run_layers(struct bench *bench)
{
    for (int32_t range = 0; range < RANGES; range++) {
        print_head(bench, range);
        for (int32_t i = 0; i < bench->baselines.count; i++) {
            if (bench->only && strcmp(bench->only, bench->baselines.names[i]) != 0)
                continue;

            struct layer_data *data = load_layer(bench->folder, bench->baselines.names[i]);

            for (int32_t bits = BITS_LO; bits <= BITS_HI; bits++) {
                run_layer(bench, i, data, bits, range);
                print_layer(bench, i, bits, range);
            }
            free_layer(data);
        }
    }
}

int main(int argc, char **argv)
{
    struct bench *bench = reserve(1, sizeof *bench);
    char path[PATH_SIZE];

    parse_arguments(bench, argc, argv);
    snprintf(path, sizeof path, "%s/../baselines.csv", bench->folder);
    if (!is_there(path)) {
        printf("bench_layers: skipped: there is no %s\n", path);
        free(bench);
        return EXIT_SUCCESS;
    }
    read_baselines(path, &bench->baselines);
    if (openblas_get_num_threads() != 1)
        printf("note: OpenBLAS has %d threads; times are comparable with OPENBLAS_NUM_THREADS=1\n",
               openblas_get_num_threads());
    run_layers(bench);
    print_means(bench);
    if (bench->markdown) {
        bench->tables = open_markdown(bench->markdown);
        write_head(bench, argc, argv);
        write_means(bench);
        for (int32_t range = 0; range < RANGES; range++)
            write_layers(bench, range);
    }
    if (bench->streaming)
        stream_layers(bench);
    print_requirements(bench);
    if (bench->tables)
        fclose(bench->tables);

    int status = bench->failures ? EXIT_FAILURE : EXIT_SUCCESS;

    free(bench);
    return status;
}
