/* Statistics: activations in, second moments out. Nothing else of the activations is kept.
 *
 * Rows are gathered into tiles of a fixed number of rows. A full tile is multiplied, exactly or in short sums in single
 * precision (tile.c), and added in double: sums depend on the rows and their order alone, not on the batches that
 * brought them. */
#ifndef BSQ_STATS_STATS_H
#define BSQ_STATS_STATS_H

#include "input/quantizer.h"
#include "base/geometry.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

/* bsq_stats_t is the public name; a snapshot is never written to while more than one reference exists. */
struct bsq_stats_t;

/* What adding rows needs beside the rows. */
struct bsq_stats_work {
    const struct bsq_memory *memory;
    const struct bsq_parallel *parallel;
    const bsq_options_t *options; /* progress callback */
    struct bsq_message *message;
};

/* Creates empty statistics for rows of this geometry and quantizer; NULL when out of memory. One reference. */
struct bsq_stats_t *bsq_stats_create(const struct bsq_geometry *geometry, const struct bsq_quantizer *quantizer,
                                     const struct bsq_memory *memory);

/* Creates statistics whose input part is that of 'source', shared and from now on fixed: batches add their target part
 * only. MISMATCH when the rows are not those of this geometry. */
bsq_status_t bsq_stats_share(const struct bsq_stats_t *source, const struct bsq_geometry *geometry,
                             const struct bsq_memory *memory, struct bsq_stats_t **stats, struct bsq_message *message);

/* Takes another reference to the same snapshot. */
struct bsq_stats_t *bsq_stats_retain(struct bsq_stats_t *stats);

/* Adds a checked struct's batch: every buffer is searched for NaN and infinity, shapes are checked, before a row
 * counts. '*stats' is replaced by a copy first when others hold references to it. 'bias' (M, or NULL) is subtracted
 * from targets. On failure, cancelling included, '*stats' is as it was. */
bsq_status_t bsq_stats_add(struct bsq_stats_t **stats, const bsq_batch_t *batch, const float *bias,
                           const struct bsq_stats_work *work);

/* Checks shapes and values of a batch against a geometry ('with_target' 0: input only), for bsq_layer_observe too;
 * gives the number of input values. */
bsq_status_t bsq_stats_check_batch(const struct bsq_geometry *geometry, const bsq_batch_t *batch, int32_t with_target,
                                   int64_t *input_values, struct bsq_message *message);

/* Gives the same statistics to another layer that they fit: a reference where the description is the same, else inputs
 * that are shared until either side adds to them, under 'geometry'. NULL when out of memory. */
struct bsq_stats_t *bsq_stats_adopt(const struct bsq_stats_t *from, const struct bsq_geometry *geometry,
                                    const struct bsq_memory *memory);

/* Sums 'count' (at least one) statistics in their order; those without rows may be anywhere. '*sum' is a new reference,
 * to one of the list where no other has rows, and NULL on failure. MISMATCH when they do not fit each other. */
bsq_status_t bsq_stats_sum(const struct bsq_stats_t *const *list, size_t count, const struct bsq_stats_work *work,
                           struct bsq_stats_t **sum);

/* Replaces '*stats' (NULL allowed) by a host's own moments (every field of 'moments' present). NUMERIC when they cannot
 * be those of any rows. */
bsq_status_t bsq_stats_set(struct bsq_stats_t **stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, const bsq_moments_t *moments,
                           const struct bsq_memory *memory, struct bsq_message *message);

/* Statistics as the plain numbers of bsq_stats_get_sums: how many, written, and made statistics again. SIZE for another
 * count, STATE for statistics that are not complete, NUMERIC for numbers that are not the sums of any rows. */
size_t bsq_stats_numbers(const struct bsq_geometry *geometry, bool targets);
bsq_status_t bsq_stats_to_sums(const struct bsq_stats_t *stats, const struct bsq_stats_work *work, double *sums,
                               size_t count);
bsq_status_t bsq_stats_from_sums(const struct bsq_geometry *geometry, const struct bsq_quantizer *quantizer,
                                 const double *sums, size_t count, const struct bsq_memory *memory,
                                 struct bsq_stats_t **stats, struct bsq_message *message);

/* Cuts out the statistics of a slice: 'geometry' is that of output channels from 'first' on, whole groups where there
 * are several, 'quantizer' that of their inputs. H is shared where there is one group. */
bsq_status_t bsq_stats_slice(const struct bsq_stats_t *from, const struct bsq_geometry *geometry, int64_t first,
                             const struct bsq_quantizer *quantizer, const struct bsq_memory *memory,
                             struct bsq_stats_t **slice, struct bsq_message *message);

/* Continues a fingerprint with all that statistics hold. */
uint64_t bsq_stats_fingerprint(uint64_t hash, const struct bsq_stats_t *stats);

const struct bsq_geometry *bsq_stats_geometry(const struct bsq_stats_t *stats);

/* Gives the quantizer that the inputs went through; its channels are those of 'stats'. */
const struct bsq_quantizer *bsq_stats_quantizer(const struct bsq_stats_t *stats);

/* Checks that 'stats' were gathered from the rows of this geometry with this quantizer, and that targets, if there are
 * any, are of as many output channels; MISMATCH with a text otherwise. */
bsq_status_t bsq_stats_fit(const struct bsq_stats_t *stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, struct bsq_message *message);

/* Moments of one group, each filled where not NULL. */
struct bsq_group_moments {
    double *h;             /* n x n, symmetric */
    double *input_mean;    /* n */
    double *p;             /* group_outputs x n; left alone without target */
    double *target_mean;   /* group_outputs */
    double *target_square; /* group_outputs */
};

/* Reads means over rows, those of the unfinished tile included. 'scratch' is bsq_stats_scratch bytes (64-byte aligned),
 * nothing is allocated: may run on a pool thread. */
size_t bsq_stats_scratch(const struct bsq_geometry *geometry);
void bsq_stats_read(const struct bsq_stats_t *stats, int64_t group, const struct bsq_group_moments *moments,
                    void *scratch);
void bsq_stats_read_h(const struct bsq_stats_t *stats, int64_t group, double *h, void *scratch);
void bsq_stats_read_diagonal(const struct bsq_stats_t *stats, int64_t group, double *diagonal);
void bsq_stats_read_input_mean(const struct bsq_stats_t *stats, int64_t group, double *mean);
void bsq_stats_read_targets(const struct bsq_stats_t *stats, int64_t group, double *mean, double *square);

/* scale * (H - mean mean') in single precision, n x n and symmetric; 'mean' NULL: nothing is subtracted. */
void bsq_stats_read_square(const struct bsq_stats_t *stats, int64_t group, const double *mean, double scale,
                           float *square, void *scratch);

/* Reads or computes with bsq_stats_block_scratch bytes: P of the group's channels first.. (count x n), and x H (rows x
 * n), in double. */
size_t bsq_stats_block_scratch(const struct bsq_geometry *geometry);
void bsq_stats_read_p(const struct bsq_stats_t *stats, int64_t group, int64_t first, int64_t count, double *p,
                      void *scratch);
void bsq_stats_multiply(const struct bsq_stats_t *stats, int64_t group, int64_t rows, const double *x, double *product,
                        void *scratch);

bool bsq_stats_has_target(const struct bsq_stats_t *stats);
bool bsq_stats_has_means(const struct bsq_stats_t *stats);      /* false for a host's moments without means */
double bsq_stats_rows(const struct bsq_stats_t *stats);         /* effective number (sum r)^2 / sum r^2; 0 unknown */
double bsq_stats_counted_rows(const struct bsq_stats_t *stats); /* without regard to weights; 0 unknown */
double bsq_stats_target_rows(const struct bsq_stats_t *stats);  /* the same of rows that brought targets */
bool bsq_stats_shares_inputs(const struct bsq_stats_t *stats);
bool bsq_stats_empty(const struct bsq_stats_t *stats); /* NULL counts as empty; no rows seen, no moments set */

/* Gives how exact a mean square is, as a share of it. */
double bsq_stats_precision(const struct bsq_stats_t *stats);

/* Fails with STATE when the targets that were added to a shared input part are not those of its rows. */
bsq_status_t bsq_stats_check_rows(const struct bsq_stats_t *stats, struct bsq_message *message);

/* Counts the bytes that statistics of this geometry hold, targets included, and the most that adding a batch takes
 * besides; 'copies' says whether rows go into a copy, as they do when others hold the statistics, and with a host's
 * pool or a progress callback where the batch fills tiles. */
void bsq_stats_bytes(const struct bsq_geometry *geometry, int32_t threads, bool copies, size_t *held, size_t *besides);

/* ---- exported statistics (io.c) ---- */

bsq_status_t bsq_stats_encoded_size(const struct bsq_stats_t *stats, size_t *size, struct bsq_message *message);

/* Writes as many bytes as that. */
void bsq_stats_encode(const struct bsq_stats_t *stats, size_t size, void *buffer);

/* Reads them back; FORMAT, VERSION or CORRUPT when they are not what was written. */
bsq_status_t bsq_stats_decode(const void *data, size_t size, const struct bsq_memory *memory,
                              struct bsq_stats_t **stats, struct bsq_message *message);

#endif
