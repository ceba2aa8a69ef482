/* mpi: calibration data over the ranks of MPI, one result, with the same bits for any number of ranks.
 *
 *     mpirun -n 4 build/examples/mpi */
#include "common/synthetic.h"

#include <bsq_mpi.h>

#include <stdio.h>

enum { INPUTS = 96, OUTPUTS = 64, SHARDS = 8, ROWS = 700 /* of a shard */, PARTS = 4 };

static float weights[OUTPUTS * INPUTS], rows[ROWS * INPUTS];

/* Streams the rows of one shard and adds their statistics to the sum. */
static bsq_status_t add_shard(bsq_mpi_sum_t *sum, bsq_layer_t *layer, int64_t shard)
{
    bsq_layer_t *own = NULL;
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    batch.input = rows;
    batch.size = ROWS;
    synthetic_activations(100 + (uint64_t)shard, ROWS, INPUTS, rows); /* a host would read its files */
    bsq_status_t status = bsq_layer_clone(layer, &own);
    status = status ? status : bsq_layer_calibrate(own, &batch);
    status = status ? status : bsq_mpi_sum_add(sum, shard, own, 0);
    bsq_layer_free(own);
    return status;
}

int main(int argc, char **argv)
{
    int rank = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    bsq_mpi_t *mpi = NULL;
    bsq_status_t status = bsq_mpi_create(MPI_COMM_WORLD, NULL, &mpi, NULL);
    bsq_layer_desc_t desc;
    bsq_layer_desc_init(&desc, sizeof desc);
    desc.in_channels = INPUTS;
    desc.out_channels = OUTPUTS;
    synthetic_weights(1, OUTPUTS * INPUTS, weights);
    bsq_layer_t *layer = NULL;
    bsq_mpi_sum_t *sum = NULL;
    int64_t shard = 0, end = 0;
    status = status ? status : bsq_layer_create(&desc, NULL, weights, NULL, &layer, NULL);
    status = status ? status : bsq_mpi_sum_create(mpi, SHARDS, &sum);
    status = status ? status : bsq_mpi_share(mpi, SHARDS, &shard, &end);
    for (; status == BSQ_OK && shard < end; shard++)
        status = add_shard(sum, layer, shard);
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    if (mpi != NULL) { /* a rank that failed says so here, and all of them stop */
        status = bsq_mpi_agree(mpi, status, layer ? bsq_layer_error_message(layer) : NULL);
        status = status ? status : bsq_mpi_reduce(mpi, sum, layer, 0);
        status = status ? status : bsq_mpi_optimize(mpi, layer, PARTS, &report);
    }
    if (rank == 0 && status == BSQ_OK)
        printf("%.0f rows, relative output error %.17g\n", report.rows, report.error);
    else if (rank == 0)
        fprintf(stderr, "mpi: %s\n", mpi ? bsq_mpi_error_message(mpi) : bsq_mpi_status_string(status));
    bsq_mpi_sum_free(sum);
    bsq_layer_free(layer);
    bsq_mpi_free(mpi);
    MPI_Finalize();
    return status != BSQ_OK;
}
