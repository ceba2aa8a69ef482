/* What libbsq-mpi does on several ranks, one way a run: test/mpi.sh starts it under mpirun and compares what it prints.
 *
 *     ranks kinds             hashes of layers of all kinds, of which rank 0 prints one line each
 *     ranks network TEAM      hashes of layers that teams of TEAM ranks solve
 *     ranks overlap           two sums, one under way while the other is added up
 *     ranks differ WHAT       rank 1 has something else than rank 0
 *     ranks fail WHAT         rank 1 fails; then all go on
 *     ranks memory            rank 1 is out of memory at the 1st, 2nd, ... allocation; then all go on
 *     ranks late              rank 1 does not come in time
 *     ranks resume FOLDER [KILL]  shards' statistics are kept in FOLDER; rank 1 is killed after KILL of its own
 */
#include "kinds.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int rank, size;
static bsq_mpi_t *mpi;

/* Fails the run where something is not as it must be. */
static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "rank %d: not so: %s (%s)\n", rank, what, bsq_mpi_error_message(mpi));
    MPI_Abort(MPI_COMM_WORLD, 3);
}

static void say(const char *text, uint64_t a, uint64_t b)
{
    if (rank == 0)
        printf("%-24s %016llx %016llx\n", text, (unsigned long long)a, (unsigned long long)b);
}

/* All ranks have the same 64 bits. */
static void require_same(uint64_t bits, const char *what)
{
    uint64_t least, most;

    MPI_Allreduce(&bits, &least, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(&bits, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    require(least == most, what);
}

/* Makes a layer, observes where inputs are quantized, and gives it the statistics of all shards. */
static bsq_layer_t *calibrated(const struct kind *kind)
{
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;

    require(kind_create(kind, &layer) == BSQ_OK, "create");
    if (kind->options.input_bits) {
        require(rank != 0 || kind_observe(kind, 0, layer) == BSQ_OK, "observe");
        require(bsq_mpi_share_quantizer(mpi, layer) == BSQ_OK, "share_quantizer");
    }
    require(bsq_mpi_agree(mpi, kind_add(kind, mpi, layer, 0, &sum), NULL) == BSQ_OK, "add");
    require(bsq_mpi_reduce(mpi, sum, layer, 0) == BSQ_OK, "reduce");
    bsq_mpi_sum_free(sum);
    if (kind->held_out) {
        require(kind_add(kind, mpi, layer, 1, &sum) == BSQ_OK, "add held out");
        require(bsq_mpi_reduce(mpi, sum, layer, 1) == BSQ_OK, "reduce held out");
        bsq_mpi_sum_free(sum);
    }
    require_same(kind_hash_statistics(layer), "the same statistics on all ranks");
    return layer;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-300;
}

/* What a report in parts says is what a judge of the whole tensor finds. */
static void check_report(bsq_layer_t *layer)
{
    bsq_report_t own, judged;
    bsq_tensor_t tensor;

    bsq_report_init(&own, sizeof own);
    bsq_report_init(&judged, sizeof judged);
    bsq_tensor_init(&tensor, sizeof tensor);
    require(bsq_layer_get_report(layer, &own) == BSQ_OK && bsq_layer_get_tensor(layer, &tensor) == BSQ_OK, "report");
    tensor.codes = malloc((size_t)tensor.code_count);
    tensor.scales = malloc((size_t)tensor.scale_count * sizeof *tensor.scales);
    tensor.zero_points = malloc((size_t)tensor.zero_point_count * sizeof *tensor.zero_points + 1);
    tensor.offsets = malloc((size_t)tensor.offset_count * sizeof *tensor.offsets + 1);
    tensor.levels = malloc((size_t)tensor.level_count + 1);
    if (!tensor.zero_point_count) {
        free(tensor.zero_points);
        tensor.zero_points = NULL;
    }
    if (!tensor.offset_count) {
        free(tensor.offsets);
        tensor.offsets = NULL;
    }
    require(bsq_layer_get_tensor(layer, &tensor) == BSQ_OK && bsq_layer_evaluate(layer, &tensor, &judged) == BSQ_OK,
            "evaluate");
    require(near(own.energy, judged.energy) && near(own.error, judged.error), "the report's error is the tensor's");
    require(fabs(own.weight_error - judged.weight_error) <= 1e-6 * judged.weight_error,
            "the report's error of the weights is the tensor's");
    require(near(own.held_out_error, judged.held_out_error), "the report's held-out error is the tensor's");
    free(tensor.levels);
    free(tensor.offsets);
    free(tensor.zero_points);
    free(tensor.scales);
    free(tensor.codes);
}

static void kinds(void)
{
    for (int i = 0; i < kinds_count(); i++) {
        struct kind kind = kind_at(i);
        bsq_layer_t *layer = calibrated(&kind), *alone = NULL;
        bsq_report_t report;

        bsq_report_init(&report, sizeof report);
        require(bsq_layer_clone(layer, &alone) == BSQ_OK && bsq_optimize(alone, NULL) == BSQ_OK, "optimize");
        require(bsq_mpi_optimize(mpi, layer, 1, NULL) == BSQ_OK, "mpi_optimize in one part");
        require(kind_hash_result(layer) == kind_hash_result(alone), "one part is what bsq_optimize finds");
        require(bsq_mpi_optimize(mpi, layer, 3, &report) == BSQ_OK, "mpi_optimize in three parts");
        require_same(kind_hash_result(layer), "the same result on all ranks");
        require(kind_hash_result(layer) != 0 && report.rows > 0.0, "a result");
        check_report(layer);
        say(kind.name, kind_hash_statistics(layer), kind_hash_result(layer));
        if (kind.options.solver == BSQ_SOLVER_AUTO) {
            kind.options.keep_scales = 1;
            require(bsq_layer_set_options(layer, &kind.options) == BSQ_OK, "set_options");
            require(bsq_mpi_optimize(mpi, layer, 3, NULL) == BSQ_OK, "mpi_optimize with kept scales");
            say("  its scales kept", 0, kind_hash_result(layer));
        }
        bsq_layer_free(alone);
        bsq_layer_free(layer);
    }
}

/* ---- network ---------------------------------------------------------------------------------------------- */

static uint64_t network_hashes[64];

static bsq_status_t solve_layer(bsq_mpi_t *team, int64_t index, void *opaque)
{
    struct kind kind = kind_at((int)index);
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;
    bsq_status_t status = kind_create(&kind, &layer);
    int team_rank = 0;

    (void)opaque;
    if (status == BSQ_OK && kind.options.input_bits) {
        status = kind_observe(&kind, 0, layer);
        status = status ? status : bsq_mpi_share_quantizer(team, layer);
    }
    status = status ? status : bsq_mpi_agree(team, kind_add(&kind, team, layer, 0, &sum), NULL);
    status = status ? status : bsq_mpi_reduce(team, sum, layer, 0);
    status = status ? status : bsq_mpi_optimize(team, layer, 3, NULL);
    if (status == BSQ_OK) {
        int64_t first = 0, end = 0;

        (void)bsq_mpi_share(team, 1, &first, &end);
        team_rank = first == end; /* 0 where the first of one thing is this rank's */
        if (team_rank == 0)
            network_hashes[index] = kind_hash_result(layer);
    }
    bsq_mpi_sum_free(sum);
    bsq_layer_free(layer);
    return status;
}

static void network(int team)
{
    double costs[64];
    uint64_t all[64];

    for (int i = 0; i < kinds_count(); i++)
        costs[i] = (double)(1 + i * 7 % 5);
    require(bsq_mpi_network(mpi, costs, kinds_count(), team, solve_layer, NULL) == BSQ_OK, "network");
    MPI_Allreduce(network_hashes, all, kinds_count(), MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    for (int i = 0; i < kinds_count(); i++)
        say(kind_at(i).name, 0, all[i]);
}

/* ---- overlap ---------------------------------------------------------------------------------------------- */

static void overlap(void)
{
    struct kind first = kind_named("target"), second = kind_named("conv");
    bsq_layer_t *a = NULL, *b = NULL, *c = NULL;
    bsq_mpi_sum_t *of_a = NULL, *of_b = NULL;

    require(kind_create(&first, &a) == BSQ_OK && kind_create(&second, &b) == BSQ_OK, "create");
    require(kind_add(&first, mpi, a, 0, &of_a) == BSQ_OK, "add");
    require(bsq_mpi_reduce_begin(mpi, of_a) == BSQ_OK, "begin");
    require(kind_add(&second, mpi, b, 0, &of_b) == BSQ_OK, "add while another sum is under way");
    require(bsq_mpi_reduce_begin(mpi, of_b) == BSQ_E_STATE, "two sums under way are refused");
    require(bsq_mpi_sum_add(of_a, 0, a, 0) == BSQ_E_STATE, "nothing is added to a sum under way");
    require(bsq_mpi_reduce_end(mpi, of_a, a, 0) == BSQ_OK, "end");
    require(bsq_mpi_reduce_end(mpi, of_a, a, 0) == BSQ_E_STATE, "it ends once");
    require(bsq_mpi_reduce(mpi, of_b, b, 0) == BSQ_OK, "reduce");
    c = calibrated(&first);
    require(kind_hash_statistics(a) == kind_hash_statistics(c), "the same in two steps");
    say("overlap", kind_hash_statistics(a), kind_hash_statistics(b));
    bsq_mpi_sum_free(of_a);
    bsq_mpi_sum_free(of_b);
    bsq_layer_free(a);
    bsq_layer_free(b);
    bsq_layer_free(c);
}

/* ---- ranks that differ ------------------------------------------------------------------------------------ */

/* Prints what each rank got; the script looks at the texts. */
static void print_outcome(const char *what, bsq_status_t status)
{
    for (int r = 0; r < size; r++) {
        if (r == rank)
            printf("%s: rank %d gets %d: %s\n", what, rank, (int)status, bsq_mpi_error_message(mpi));
        fflush(stdout);
        MPI_Barrier(MPI_COMM_WORLD);
    }
}

static void differ(const char *what)
{
    struct kind kind = kind_named("linear");
    bsq_layer_t *layer = NULL, *other = NULL;
    bsq_mpi_sum_t *sum = NULL;
    bool odd = rank == 1;
    bsq_status_t status;

    if (strcmp(what, "shards") == 0) {
        require(bsq_mpi_sum_create(mpi, odd ? 4 : 5, &sum) == BSQ_OK && kind_create(&kind, &layer) == BSQ_OK, "sum");
        int64_t shard, end;
        require(bsq_mpi_share(mpi, odd ? 4 : 5, &shard, &end) == BSQ_OK, "share");
        for (; shard < end; shard++)
            require(bsq_mpi_sum_add(sum, shard, layer, 0) == BSQ_OK, "a shard without rows");
        status = bsq_mpi_reduce(mpi, sum, layer, 0);
    } else if (strcmp(what, "description") == 0 || strcmp(what, "target") == 0) {
        if (odd && *what == 'd')
            kind.desc.in_channels = 41;
        kind.target = odd && *what == 't';
        require(kind_create(&kind, &layer) == BSQ_OK && kind_add(&kind, mpi, layer, 0, &sum) == BSQ_OK, "add");
        status = bsq_mpi_reduce(mpi, sum, layer, 0);
    } else if (strcmp(what, "call") == 0) {
        layer = calibrated(&kind);
        status = odd ? bsq_mpi_agree(mpi, BSQ_OK, NULL) : bsq_mpi_optimize(mpi, layer, 2, NULL);
    } else {
        layer = calibrated(&kind);
        if (strcmp(what, "weight_bits") == 0)
            kind.options.weight_bits = odd ? 4 : 3;
        if (strcmp(what, "damping") == 0)
            kind.options.damping = odd ? 0.25 : 0.5;
        require(bsq_layer_set_options(layer, &kind.options) == BSQ_OK, "set_options");
        if (odd && strcmp(what, "statistics") == 0)
            require(kind_calibrate(&kind, 0, 0, layer) == BSQ_OK, "calibrate");
        if (odd && strcmp(what, "weights") == 0) {
            float weights[50 * 40] = {1.0F};
            bsq_stats_t *stats = NULL;

            require(bsq_layer_create(&kind.desc, &kind.options, weights, NULL, &other, NULL) == BSQ_OK &&
                        bsq_layer_acquire_stats(layer, 0, &stats) == BSQ_OK &&
                        bsq_layer_merge_stats(other, 0, stats) == BSQ_OK,
                    "another layer");
            bsq_stats_release(stats);
        }
        status = bsq_mpi_optimize(mpi, other ? other : layer, odd && strcmp(what, "parts") == 0 ? 3 : 2, NULL);
    }
    print_outcome(what, status);
    require_same((uint64_t)(int64_t)status, "the same status");
    require(bsq_mpi_agree(mpi, BSQ_OK, NULL) == BSQ_OK, "the group goes on");
    bsq_mpi_sum_free(sum);
    bsq_layer_free(other);
    bsq_layer_free(layer);
}

/* ---- ranks that fail -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t signalled;

static void note_signal(int number)
{
    (void)number;
    signalled = 1;
}

/* Stops rank 1 by itself at once, or when a signal has come; others are asked too, and go on. */
static int32_t BSQ_CALL stop_one(const bsq_progress_t *progress, void *opaque)
{
    (void)progress;
    if (rank == 1 && strcmp(opaque, "signal") == 0)
        (void)raise(SIGTERM);
    return rank == 1 && (signalled || strcmp(opaque, "cancel") == 0);
}

static bsq_status_t bad_batch(const struct kind *kind, bsq_layer_t *layer)
{
    float input[40] = {0};
    bsq_batch_t batch;

    (void)kind;
    bsq_batch_init(&batch, sizeof batch);
    input[5] = NAN;
    batch.input = input;
    batch.size = 1;
    return bsq_layer_calibrate(layer, &batch);
}

static bsq_status_t fail_in_team(bsq_mpi_t *team, int64_t index, void *opaque)
{
    (void)opaque;
    return bsq_mpi_agree(team, index == 1 ? BSQ_E_FORMAT : BSQ_OK, "this layer is not to be read");
}

static void fail(char *what)
{
    struct kind kind = kind_named("linear");
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;
    bsq_status_t status;

    if (strcmp(what, "batch") == 0) {
        require(kind_create(&kind, &layer) == BSQ_OK && kind_add(&kind, mpi, layer, 0, &sum) == BSQ_OK, "add");
        status = rank == 1 ? bad_batch(&kind, layer) : BSQ_OK;
        status = bsq_mpi_agree(mpi, status, bsq_layer_error_message(layer));
        print_outcome(what, status);
        require(bsq_mpi_reduce(mpi, sum, layer, 0) == BSQ_OK, "nothing was lost");
    } else if (strcmp(what, "network") == 0) {
        double costs[4] = {1.0, 2.0, 1.0, 1.0};

        layer = calibrated(&kind);
        status = bsq_mpi_network(mpi, costs, 4, 1, fail_in_team, NULL);
        print_outcome(what, status);
    } else {
        bsq_options_t options = kind.options;

        layer = calibrated(&kind);
        (void)signal(SIGTERM, note_signal);
        options.progress = stop_one;
        options.progress_opaque = what;
        require(bsq_layer_set_options(layer, &options) == BSQ_OK, "set_options");
        status = bsq_mpi_optimize(mpi, layer, 4, NULL);
        print_outcome(what, status);
        require(bsq_layer_set_options(layer, &kind.options) == BSQ_OK, "set_options");
    }
    require_same((uint64_t)(int64_t)status, "the same status");
    require(status != BSQ_OK, "a failure");
    require(bsq_mpi_optimize(mpi, layer, 3, NULL) == BSQ_OK, "all go on");
    say(what, kind_hash_statistics(layer), kind_hash_result(layer));
    bsq_mpi_sum_free(sum);
    bsq_layer_free(layer);
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

static struct heap {
    int64_t calls, fail_at, blocks;
} heap;

static void *BSQ_CALL heap_alloc(size_t bytes, void *opaque)
{
    void *block;

    (void)opaque;
    if (++heap.calls == heap.fail_at || !(block = malloc(bytes)))
        return NULL;
    heap.blocks++;
    return block;
}

static void BSQ_CALL heap_free(void *block, void *opaque)
{
    (void)opaque;
    heap.blocks--;
    free(block);
}

/* All that a rank does, from its shards on. */
static bsq_status_t whole_flow(const struct kind *kind, bsq_layer_t **layer)
{
    bsq_mpi_sum_t *sum = NULL;
    bsq_status_t status = bsq_mpi_agree(mpi, kind_create(kind, layer), "create");

    if (status == BSQ_OK)
        status = bsq_mpi_agree(mpi, kind_add(kind, mpi, *layer, 0, &sum), "add");
    if (status == BSQ_OK)
        status = bsq_mpi_reduce(mpi, sum, *layer, 0);
    if (status == BSQ_OK)
        status = bsq_mpi_optimize(mpi, *layer, 3, NULL);
    bsq_mpi_sum_free(sum);
    return status;
}

static void memory(void)
{
    struct kind kind = kind_named("target");
    int64_t tries = 0, blocks = heap.blocks;
    bsq_status_t status = BSQ_E_MEMORY;

    kind.options.memory_alloc = heap_alloc;
    kind.options.memory_free = heap_free;
    while (status != BSQ_OK) {
        bsq_layer_t *layer = NULL;

        tries++;
        heap.calls = 0;
        heap.fail_at = rank == 1 ? tries : 0;
        status = whole_flow(&kind, &layer);
        require_same((uint64_t)(int64_t)status, "the same status");
        require(status == BSQ_OK || status == BSQ_E_MEMORY, "out of memory or not");
        if (status == BSQ_OK)
            say("memory", kind_hash_statistics(layer), kind_hash_result(layer));
        bsq_layer_free(layer);
        require(heap.blocks == blocks, "all memory is given back");
    }
    require(size == 1 || tries > 40, "many allocations were tried");
}

/* ---- ranks that do not come ------------------------------------------------------------------------------- */

static void late(void)
{
    struct kind kind = kind_named("linear");
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;
    bsq_status_t status;

    require(kind_create(&kind, &layer) == BSQ_OK && kind_add(&kind, mpi, layer, 0, &sum) == BSQ_OK, "add");
    if (rank == 1)
        (void)nanosleep(&(struct timespec){4, 0}, NULL);
    status = bsq_mpi_reduce(mpi, sum, layer, 0);
    if (rank != 1) {
        printf("late: rank %d gets %d: %s\n", rank, (int)status, bsq_mpi_error_message(mpi));
        require(status == BSQ_MPI_E_TIMEOUT, "a timeout");
        require(bsq_mpi_agree(mpi, BSQ_OK, NULL) == BSQ_E_STATE, "the group can only be freed");
        require(kind_calibrate(&kind, 0, 0, layer) == BSQ_OK, "the layer is still there");
    }
    fflush(stdout);
    bsq_mpi_sum_free(sum);
    bsq_mpi_free(mpi);
    if (rank != 1)
        (void)nanosleep(&(struct timespec){4, 0}, NULL); /* MPI ends the run when the first one leaves */
    MPI_Abort(MPI_COMM_WORLD, 0);
}

/* ---- runs that are resumed -------------------------------------------------------------------------------- */

/* Reads a shard's statistics, where there are any; a file that is damaged is as good as none. */
static bool read_shard(const char *path, bsq_layer_t *part)
{
    FILE *file = fopen(path, "rb");
    bsq_stats_t *stats = NULL;
    bool good = false;
    long bytes;
    void *data;

    if (!file)
        return false;
    (void)fseek(file, 0, SEEK_END);
    bytes = ftell(file);
    (void)fseek(file, 0, SEEK_SET);
    data = malloc((size_t)bytes + 1);
    if (data && fread(data, 1, (size_t)bytes, file) == (size_t)bytes &&
        bsq_stats_import(data, (size_t)bytes, NULL, &stats, NULL) == BSQ_OK)
        good = bsq_layer_merge_stats(part, 0, stats) == BSQ_OK;
    bsq_stats_release(stats);
    free(data);
    (void)fclose(file);
    return good;
}

/* Writes them beside the name that counts, and renames the file when all of it is there. */
static bool write_shard(const char *folder, int64_t shard, bsq_layer_t *part)
{
    char path[600], whole[600];
    bsq_stats_t *stats = NULL;
    size_t bytes = 0;
    void *data = NULL;
    bool good = false;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/shard-%lld.part", folder, (long long)shard);
    (void)snprintf(whole, sizeof whole, "%s/shard-%lld.bsq", folder, (long long)shard);
    if (bsq_layer_acquire_stats(part, 0, &stats) == BSQ_OK && bsq_stats_export_size(stats, &bytes, NULL) == BSQ_OK &&
        (data = malloc(bytes)) && bsq_stats_export(stats, data, bytes, NULL) == BSQ_OK && (file = fopen(path, "wb"))) {
        good = fwrite(data, 1, bytes, file) == bytes;
        good = fclose(file) == 0 && good && rename(path, whole) == 0;
    }
    free(data);
    bsq_stats_release(stats);
    return good;
}

static void resume(const char *folder, int64_t killed)
{
    struct kind kind = kind_named("target");
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;
    int64_t shard = 0, end = 0, made = 0, all = 0;
    bsq_status_t status = BSQ_OK;

    require(kind_create(&kind, &layer) == BSQ_OK && bsq_mpi_sum_create(mpi, KIND_SHARDS, &sum) == BSQ_OK &&
                bsq_mpi_share(mpi, KIND_SHARDS, &shard, &end) == BSQ_OK,
            "create");
    for (; shard < end && status == BSQ_OK; shard++) {
        bsq_layer_t *part = NULL;
        char path[600];

        (void)snprintf(path, sizeof path, "%s/shard-%lld.bsq", folder, (long long)shard);
        require(bsq_layer_clone(layer, &part) == BSQ_OK, "clone");
        if (!read_shard(path, part)) {
            if (rank == 1 && made == killed)
                (void)raise(SIGKILL);
            made++;
            status = kind_calibrate(&kind, shard, 0, part);
            if (status == BSQ_OK && !write_shard(folder, shard, part))
                status = BSQ_E_CANCELLED;
        }
        if (status == BSQ_OK)
            status = bsq_mpi_sum_add(sum, shard, part, 0);
        bsq_layer_free(part);
    }
    status = bsq_mpi_agree(mpi, status, "statistics of a shard could not be written");
    if (status == BSQ_OK) {
        MPI_Allreduce(&made, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        if (rank == 0)
            fprintf(stderr, "made %lld of %d\n", (long long)all, KIND_SHARDS);
        require(bsq_mpi_reduce(mpi, sum, layer, 0) == BSQ_OK && bsq_mpi_optimize(mpi, layer, 3, NULL) == BSQ_OK,
                "the rest");
        say("resume", kind_hash_statistics(layer), kind_hash_result(layer));
    } else {
        print_outcome("resume", status);
    }
    bsq_mpi_sum_free(sum);
    bsq_layer_free(layer);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    char none[] = "", *what = argc > 2 ? argv[2] : none;
    int level;
    bsq_mpi_options_t options;

    MPI_Init_thread(&argc, &argv, strcmp(way, "overlap") == 0 ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    bsq_mpi_options_init(&options, sizeof options);
    options.timeout = strcmp(way, "late") == 0 ? 1.0 : 120.0;
    options.piece_bytes = 4096; /* many pieces of small statistics */
    if (strcmp(way, "memory") == 0) {
        options.memory_alloc = heap_alloc;
        options.memory_free = heap_free;
    }
    if (bsq_mpi_create(MPI_COMM_WORLD, &options, &mpi, NULL) != BSQ_OK)
        MPI_Abort(MPI_COMM_WORLD, 2);
    if (strcmp(way, "kinds") == 0)
        kinds();
    else if (strcmp(way, "network") == 0)
        network(atoi(what));
    else if (strcmp(way, "overlap") == 0)
        overlap();
    else if (strcmp(way, "differ") == 0)
        differ(what);
    else if (strcmp(way, "fail") == 0)
        fail(what);
    else if (strcmp(way, "memory") == 0)
        memory();
    else if (strcmp(way, "late") == 0)
        late();
    else if (strcmp(way, "resume") == 0)
        resume(what, argc > 3 ? atoll(argv[3]) : -1);
    bsq_mpi_free(mpi);
    MPI_Finalize();
    return 0;
}
