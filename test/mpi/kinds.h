/* Layers of all kinds with data in shards, for the programs that run under mpirun. */
#ifndef BSQ_TEST_MPI_KINDS_H
#define BSQ_TEST_MPI_KINDS_H

#include "bsq_mpi.h"

#include <stdbool.h>

enum { KIND_SHARDS = 5 };

/* A layer and what there is to calibrate it with: samples by their number, so that any rank makes those of any shard. */
struct kind {
    const char *name;
    bsq_layer_desc_t desc;
    bsq_options_t options;
    int64_t samples; /* of a shard; shards differ, and one is empty where 'gap' */
    int64_t spatial;
    bool target, held_out, weighted, gap;
};

int kinds_count(void);

/* Gives kind 'index', at little effort, and by its name. */
struct kind kind_at(int index);
struct kind kind_named(const char *name);

/* Makes the layer, without statistics. */
bsq_status_t kind_create(const struct kind *kind, bsq_layer_t **layer);

/* Adds the rows of one shard to 'layer', or observes them. */
bsq_status_t kind_calibrate(const struct kind *kind, int64_t shard, int32_t held_out, bsq_layer_t *layer);
bsq_status_t kind_observe(const struct kind *kind, int64_t shard, bsq_layer_t *layer);

/* Adds up this rank's shards of a layer; 'after' (or NULL) sees each. */
bsq_status_t kind_add(const struct kind *kind, bsq_mpi_t *mpi, bsq_layer_t *layer, int32_t held_out,
                      bsq_mpi_sum_t **sum);

/* Hashes of the statistics, and of the result with its report but for seconds. */
uint64_t kind_hash_statistics(bsq_layer_t *layer);
uint64_t kind_hash_result(bsq_layer_t *layer);

#endif
