/* What statistics hold: for the files of this folder, which fill it, read it, write it to bytes and read it back. */
#ifndef BSQ_STATS_PRIVATE_H
#define BSQ_STATS_PRIVATE_H

#include "stats/stats.h"
#include "stats/tile.h"

#include <stdatomic.h>

/* Rows that do not fill a tile yet, as they came (inputs quantized, targets without bias). */
struct bsq_tile {
    int64_t capacity; /* rows that there is room for */
    int64_t fill;
    float *x;       /* (groups, capacity, n) */
    float *weights; /* (capacity) */
    float *y;       /* (capacity, M); NULL when there is no target */
};

/* Rows that were counted, those of the tile included. A host's moments of an unknown number of rows have weight 1 and
 * rows 0. */
struct bsq_count {
    double rows;
    double weight;
    double weight_square;
};

/* What belongs to the inputs, and may be shared by layers that see the same ones. */
struct bsq_inputs {
    atomic_int references;
    int32_t has_mean;
    struct bsq_memory memory;
    double *h;   /* sums of x x', each group's upper triangle in panels (tile.h) */
    double *sum; /* (groups, n): sums of x */
    struct bsq_count count;
    struct bsq_tile tile;
};

/* Sums over rows throughout; means are formed when they are read. Where 'frozen', the inputs are another layer's and
 * fixed, and 'count' and 'tile' are those of the rows that came back with targets. */
struct bsq_stats_t {
    atomic_int references;
    int32_t frozen;
    int32_t has_target_mean;
    int32_t reserved;
    struct bsq_memory memory;
    struct bsq_geometry geometry;
    struct bsq_quantizer quantizer;
    struct bsq_inputs *inputs;
    double *p;             /* (M, n): sums of y x; NULL when there is no target */
    double *target_sum;    /* (M): sums of y */
    double *target_square; /* (M): sums of y^2 */
    struct bsq_count count;
    struct bsq_tile tile;
};

/* Give the tile and the count that targets go with. */
const struct bsq_tile *bsq_stats_tile(const struct bsq_stats_t *stats);
const struct bsq_count *bsq_stats_count(const struct bsq_stats_t *stats);
struct bsq_tile *bsq_stats_own_tile(struct bsq_stats_t *stats);
struct bsq_count *bsq_stats_own_count(struct bsq_stats_t *stats);

/* Says whether rows were counted: not for a host's moments that came without their number. */
bool bsq_stats_rows_known(const struct bsq_stats_t *stats);

/* Says whether two sums of the same numbers in another order may be these. */
bool bsq_counts_near(double a, double b);

/* Gives the weights of a tile's rows; NULL when all of them are 1. */
const float *bsq_tile_weights(const struct bsq_tile *tile);

/* Give the inputs and the targets of one group, and 'count' columns of them. */
struct bsq_tile_columns bsq_tile_inputs(const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                                        int64_t group);
struct bsq_tile_columns bsq_tile_targets(const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                                         int64_t group);
struct bsq_tile_columns bsq_columns_part(const struct bsq_tile_columns *columns, int64_t first, int64_t count);

/* Adds panel 'panel' of the products of the inputs with themselves, from its diagonal on. */
void bsq_tile_square(const struct bsq_tile *tile, const struct bsq_tile_columns *inputs, int64_t panel, bool single,
                     double *scratch, double *to, int64_t ldt);

/* Counts the doubles of one group's part of 'h'. */
int64_t bsq_inputs_group_size(const struct bsq_geometry *geometry);

/* Drops a reference to inputs; NULL is allowed. */
void bsq_inputs_release(struct bsq_inputs *inputs);

/* Copies inputs, with their rows unless 'tile' is false, and with the
 * targets of these if there are any and 'with_target' is true; NULL when out of memory. */
struct bsq_inputs *bsq_inputs_copy(const struct bsq_inputs *from, const struct bsq_geometry *geometry, bool tile,
                                   bool with_target, const struct bsq_memory *memory);

/* Makes zero sums for the target part, or drops it; false, and nothing has changed, when out of memory. */
bool bsq_stats_make_targets(struct bsq_stats_t *stats);
void bsq_stats_drop_targets(struct bsq_stats_t *stats);

/* Makes a copy that nobody else holds; frozen inputs stay shared, since nobody writes to them. NULL: no memory. */
struct bsq_stats_t *bsq_stats_copy(const struct bsq_stats_t *from, const struct bsq_memory *memory);

/* Counts the bytes that statistics of this geometry hold, targets included. */
size_t bsq_stats_held_bytes(const struct bsq_geometry *geometry);

/* Makes room for a tile in inputs that nobody else holds; false, and no number has changed, when out of memory. */
bool bsq_stats_make_ready(struct bsq_stats_t *stats, bool with_target);

/* Adds the unfinished rows of other statistics like rows of a batch; they are counted already, 'stats' is ready. */
bsq_status_t bsq_stats_append_rows(struct bsq_stats_t *stats, const struct bsq_tile *from, bool with_target,
                                   const struct bsq_stats_work *work);

/* Gives complete statistics of the same rows that are all in the sums: '*flushed' is a new reference. STATE where
 * shared inputs still wait for targets. */
bsq_status_t bsq_stats_flush(const struct bsq_stats_t *stats, const struct bsq_stats_work *work,
                             struct bsq_stats_t **flushed);

/* Multiplies rows that do not fill a tile, and empties it. */
bsq_status_t bsq_stats_finish_tile(struct bsq_stats_t *stats, const struct bsq_stats_work *work);

/* Makes room for 'capacity' rows, those that are there kept; false, and nothing has changed, when out of memory. */
bool bsq_tile_reserve(struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t capacity, bool with_target,
                      const struct bsq_memory *memory);
void bsq_tile_drop(struct bsq_tile *tile, const struct bsq_memory *memory);

/* Counts the bytes of that room. */
size_t bsq_tile_bytes(const struct bsq_geometry *geometry, int64_t capacity, bool with_target);

/* Copies 'count' rows from 'first' on behind those that are there. */
void bsq_tile_copy(const struct bsq_tile *from, int64_t first, int64_t count, struct bsq_tile *to,
                   const struct bsq_geometry *geometry);

/* Checks that sums can be those of some rows, within a slack for rounding: NUMERIC where a product of two moments says
 * that they cannot. Not of targets that came apart from shared inputs: for those, once their rows are as many,
 * STATE. */
bsq_status_t bsq_stats_check_sums(const struct bsq_stats_t *stats, struct bsq_message *message);

/* Checks that targets without their bias stay finite. */
bsq_status_t bsq_stats_check_bias(const struct bsq_geometry *geometry, const float *bias, struct bsq_message *message);

/* Computes the checksum of exported statistics: CRC-64/XZ. */
uint64_t bsq_stats_checksum(const void *data, size_t size);

#endif
