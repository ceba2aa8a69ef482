/* Ranks of MPI share out the batches, one shard each, and the output channels. What is written does not depend on how many
 * ranks there are. */
#include "../messages.h"
#include "../ranks.h"

#include <bsq_mpi.h>

#include <stdio.h>

/* Channels of a part that is solved on its own, and parts at most: H is prepared once for each. */
enum { PART_CHANNELS = 128, MOST_PARTS = 64 };

static bsq_mpi_t *mpi;
static int rank;

void ranks_begin(int *count, char ***words)
{
    MPI_Init(count, words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (bsq_mpi_create(MPI_COMM_WORLD, NULL, &mpi, NULL) != BSQ_OK) {
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILED);
    }
}

int ranks_end(int status)
{
    status = ranks_agree(status);
    bsq_mpi_free(mpi);
    MPI_Finalize();
    return status;
}

int ranks_first(void)
{
    return rank == 0;
}

/* Waits in the library first, whose waits end. */
int ranks_agree(int status)
{
    int worst = status;
    const bsq_status_t agreed = bsq_mpi_agree(mpi, status == 0 ? BSQ_OK : BSQ_E_CANCELLED, NULL);
    if (agreed == BSQ_OK || agreed == BSQ_E_CANCELLED) {
        MPI_Allreduce(&status, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
        return worst;
    }
    complain(EXIT_FAILED, "%s", bsq_mpi_error_message(mpi));
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILED);
    return EXIT_FAILED;
}

/* Says what failed on all ranks, once. */
static int complain_group(bsq_status_t status, const char *what)
{
    if (status == BSQ_OK) {
        return 0;
    }
    if (rank == 0) {
        complain(EXIT_FAILED, "%s: %s", what, bsq_mpi_error_message(mpi));
    }
    return interrupted ? EXIT_SIGNAL + interrupted : EXIT_FAILED;
}

/* Rank 0 sees the inputs of all batches, so that they are quantized by what all of them are. */
static int observe(struct work *work)
{
    int status = 0;
    for (int32_t i = 0; rank == 0 && i < work->settings->input.count && status == 0 && !interrupted; i++) {
        status = stream_batch(work, i, 1);
    }
    status = ranks_agree(status);
    return status != 0 ? status : complain_group(bsq_mpi_share_quantizer(mpi, work->layer), "inputs");
}

/* Adds the statistics of one batch to the sum. */
static int add_batch(struct work *work, bsq_mpi_sum_t *sum, int32_t batch)
{
    bsq_layer_t *whole = work->layer;
    if (bsq_layer_clone(whole, &work->layer) != BSQ_OK) {
        work->layer = whole;
        return complain_layer(whole, "clone");
    }
    int status = stream_batch(work, batch, 0);
    if (status == 0 && bsq_mpi_sum_add(sum, batch, work->layer, 0) != BSQ_OK) {
        status = complain(EXIT_FAILED, "%s: %s", work->settings->input.text[batch], bsq_mpi_error_message(mpi));
    }
    bsq_layer_free(work->layer);
    work->layer = whole;
    return status;
}

int ranks_stream(struct work *work, int status)
{
    const int32_t batches = work->settings->input.count;
    bsq_mpi_sum_t *sum = NULL;
    int64_t batch = 0;
    int64_t end = 0;
    status = ranks_agree(status);
    if (status != 0 || batches == 0) {
        return status;
    }
    if (work->settings->options.input_bits > 0 && (status = observe(work)) != 0) {
        return status;
    }
    if (bsq_mpi_sum_create(mpi, batches, &sum) != BSQ_OK || bsq_mpi_share(mpi, batches, &batch, &end) != BSQ_OK) {
        status = complain(EXIT_FAILED, "%s", bsq_mpi_error_message(mpi));
    }
    for (; batch < end && status == 0 && !interrupted; batch++) {
        status = add_batch(work, sum, (int32_t)batch);
    }
    status = ranks_agree(interrupted ? EXIT_SIGNAL + interrupted : status);
    if (status == 0) {
        status = complain_group(bsq_mpi_reduce(mpi, sum, work->layer, 0), "statistics");
    }
    bsq_mpi_sum_free(sum);
    return status;
}

int ranks_solve(struct work *work, bsq_report_t *report)
{
    const int64_t parts = (work->channels + PART_CHANNELS - 1) / PART_CHANNELS;
    return complain_group(bsq_mpi_optimize(mpi, work->layer, parts < MOST_PARTS ? parts : MOST_PARTS, report), "solve");
}
