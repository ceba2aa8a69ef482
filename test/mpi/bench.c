/* What the model of docs/cluster.md is made of, measured: rates of one rank, and what several ranks need and exchange.
 *
 *     bench rates N...                    for each fan-in N: seconds of the processor for each kind of work
 *     bench run INPUTS OUTPUTS ROWS       one layer on all ranks: seconds of the processor of the slowest, bytes sent
 *
 * Work is measured in seconds of the processor, which other programs on the machine change little; exchange by the clock. */
#include "bsq_mpi.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what is sent ----------------------------------------------------------------------------------------- */

static double tree_bytes, spread_bytes;

/* Stand in front of MPI's, and count what the library hands over. */
int MPI_Isend(const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request)
{
    int size = 0;

    PMPI_Type_size(type, &size);
    tree_bytes += (double)count * size;
    return PMPI_Isend(buffer, count, type, to, tag, comm, request);
}

int MPI_Ibcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request)
{
    int size = 0, rank = 0;

    PMPI_Type_size(type, &size);
    PMPI_Comm_rank(comm, &rank);
    if (rank != root)
        spread_bytes += (double)count * size;
    return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double work(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static double wall(void)
{
    return seconds(CLOCK_MONOTONIC);
}

/* ---- a layer ---------------------------------------------------------------------------------------------- */

static void require(bsq_status_t status, const char *what)
{
    if (status == BSQ_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, bsq_mpi_status_string(status));
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Fills with numbers around zero, neighbours alike. */
static float *numbers(int64_t count, uint64_t seed)
{
    float *values = malloc((size_t)count * sizeof *values);
    float last = 0.0F;

    if (!values)
        require(BSQ_E_MEMORY, "memory");
    for (int64_t i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        last = 0.5F * last + (float)(seed >> 40) / 16777216.0F - 0.5F;
        values[i] = last;
    }
    return values;
}

static bsq_layer_t *create(int64_t inputs, int64_t outputs)
{
    float *weights = numbers(inputs * outputs, 1);
    bsq_layer_t *layer = NULL;
    bsq_options_t options;
    bsq_layer_desc_t desc;

    bsq_options_init(&options, sizeof options);
    options.weight_bits = 4;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = inputs;
    desc.out_channels = outputs;
    require(bsq_layer_create(&desc, &options, weights, NULL, &layer, NULL), "create");
    free(weights);
    return layer;
}

/* Seconds that making numbers took: no part of the library's work. */
static double making;

static void add_rows(bsq_layer_t *layer, int64_t inputs, int64_t outputs, int64_t rows, uint64_t seed)
{
    double start = work();
    float *input = numbers(rows * inputs, seed), *target = outputs ? numbers(rows * outputs, seed + 1) : NULL;
    bsq_batch_t batch;

    bsq_batch_init(&batch, sizeof batch);
    making += work() - start;
    batch.input = input;
    batch.target = target;
    batch.size = rows;
    require(bsq_layer_calibrate(layer, &batch), "calibrate");
    free(target);
    free(input);
}

/* ---- rates ------------------------------------------------------------------------------------------------ */

/* Seconds of adding 'rows' rows. */
static double adding(int64_t n, int64_t outputs, int64_t rows)
{
    bsq_layer_t *layer = create(n, outputs ? outputs : 1);
    double start = work();

    making = 0.0;
    add_rows(layer, n, outputs, rows, 5);
    start = work() - start - making;
    bsq_layer_free(layer);
    return start;
}

/* Seconds of preparing H, and of one channel: the solve's seconds of the processor, shared out as its stages' are. */
static void solving(int64_t n, int64_t outputs, const bsq_stats_t *stats, double *prepare, double *channel)
{
    bsq_layer_t *layer = create(n, outputs);
    double start, preparing = 0.0, all = 0.0;
    bsq_report_t report;

    bsq_report_init(&report, sizeof report);
    require(bsq_layer_merge_stats(layer, 0, stats), "merge");
    start = work();
    require(bsq_optimize(layer, &report), "optimize");
    start = work() - start;
    for (int32_t i = 0; i < report.stages; i++) {
        bsq_stage_t stage;

        bsq_stage_init(&stage, sizeof stage);
        require(bsq_layer_get_stage_report(layer, i, &stage), "stage");
        all += stage.seconds;
        if (stage.stage == BSQ_STAGE_PREPARE)
            preparing += stage.seconds;
    }
    *prepare = start * preparing / all;
    *channel = start * (1.0 - preparing / all) / (double)outputs;
    bsq_layer_free(layer);
}

/* Seconds of making numbers of statistics, and statistics of numbers with the twin and its fingerprints, for each number. */
static double moving(int64_t n, const bsq_stats_t *stats)
{
    size_t count = 0;
    double *sums, start;
    int64_t fingerprint;
    bsq_layer_t *layer = create(n, 1);

    require(bsq_stats_sum_count(stats, &count, NULL), "count");
    sums = malloc(count * sizeof *sums);
    if (!sums)
        require(BSQ_E_MEMORY, "memory");
    memset(sums, 0, count * sizeof *sums);
    start = work();
    require(bsq_stats_get_sums(stats, NULL, sums, count, NULL), "get_sums");
    require(bsq_layer_add_sums(layer, 0, sums, count), "add_sums");
    require(bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_STATISTICS, &fingerprint), "fingerprint");
    start = work() - start;
    bsq_layer_free(layer);
    free(sums);
    return start / (double)count;
}

/* Seconds of one addition of the tree. */
static double summing(void)
{
    enum { COUNT = 4 << 20 };
    double *a = calloc(COUNT, sizeof *a), *b = calloc(COUNT, sizeof *b), start;
    volatile double *seen = a;

    if (!a || !b)
        require(BSQ_E_MEMORY, "memory");
    for (int64_t i = 0; i < COUNT; i++)
        a[i] = b[i] = (double)i;
    start = work();
    for (int turn = 0; turn < 4; turn++)
        for (int64_t i = 0; i < COUNT; i++)
            a[i] = a[i] + b[i] + (double)turn;
    start = work() - start;
    (void)seen[COUNT / 2];
    free(a);
    free(b);
    return start / (4.0 * COUNT);
}

static void rates(int count, char **fan_ins)
{
    enum { ROWS = 1024, OUTPUTS = 256 };

    printf("add %.6g\n", summing());
    for (int i = 0; i < count; i++) {
        int64_t n = atoll(fan_ins[i]);
        bsq_layer_t *layer = create(n, 1);
        bsq_stats_t *stats = NULL;
        double plain = adding(n, 0, ROWS), both = adding(n, 512, ROWS), prepare, channel;

        add_rows(layer, n, 0, 512 * (n / 512), 3);
        require(bsq_layer_acquire_stats(layer, 0, &stats), "stats");
        solving(n, OUTPUTS, stats, &prepare, &channel);
        printf("n %lld h %.6g p %.6g channel %.6g prepare %.6g move %.6g\n", (long long)n, plain / ROWS,
               (both > plain ? both - plain : 1e-9) / (ROWS * 512.0), channel, prepare, moving(n, stats));
        (void)fflush(stdout);
        bsq_stats_release(stats);
        bsq_layer_free(layer);
    }
}

/* ---- a whole layer ---------------------------------------------------------------------------------------- */

static double most(double value)
{
    double all;

    MPI_Allreduce(&value, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static void run(int64_t inputs, int64_t outputs, int64_t rows)
{
    enum { SHARDS = 16, PARTS = 16 };
    int rank = 0, size = 0;
    int64_t shard = 0, end = 0;
    double start, accumulating, optimizing, exchanging, tree, spread;
    bsq_layer_t *layer = create(inputs, outputs);
    bsq_mpi_sum_t *sum = NULL;
    bsq_mpi_options_t options;
    bsq_mpi_t *mpi = NULL;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    bsq_mpi_options_init(&options, sizeof options);
    options.piece_bytes = 65536; /* many pieces, so that turns are fair */
    require(bsq_mpi_create(MPI_COMM_WORLD, &options, &mpi, NULL), "create");
    require(bsq_mpi_sum_create(mpi, SHARDS, &sum), "sum");
    require(bsq_mpi_share(mpi, SHARDS, &shard, &end), "share");
    making = 0.0;
    start = work();
    for (; shard < end; shard++) {
        bsq_layer_t *part = NULL;

        require(bsq_layer_clone(layer, &part), "clone");
        add_rows(part, inputs, outputs, rows / SHARDS, 100 + (uint64_t)shard);
        require(bsq_mpi_sum_add(sum, shard, part, 0), "add");
        bsq_layer_free(part);
    }
    accumulating = most(work() - start - making);
    tree_bytes = spread_bytes = 0.0;
    MPI_Barrier(MPI_COMM_WORLD);
    start = wall();
    require(bsq_mpi_reduce(mpi, sum, layer, 0), "reduce");
    exchanging = most(wall() - start);
    tree = most(tree_bytes);
    spread = most(spread_bytes);
    start = work();
    require(bsq_mpi_optimize(mpi, layer, PARTS, NULL), "optimize");
    optimizing = most(work() - start);
    if (rank == 0)
        printf("ranks %d accumulate %.6g reduce %.6g optimize %.6g sent %.6g came %.6g\n", size, accumulating,
               exchanging, optimizing, tree, spread);
    bsq_mpi_sum_free(sum);
    bsq_mpi_free(mpi);
    bsq_layer_free(layer);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (argc > 2 && strcmp(argv[1], "rates") == 0)
        rates(argc - 2, argv + 2);
    else if (argc == 5 && strcmp(argv[1], "run") == 0)
        run(atoll(argv[2]), atoll(argv[3]), atoll(argv[4]));
    MPI_Finalize();
    return 0;
}
