/* Statistics: activations in, second moments out. Nothing else of the activations is kept.
 *
 * Rows are gathered into tiles of a fixed number of rows. A full tile is multiplied in single precision, each column
 * shifted by its mean and scaled by a power of two, and added in double: sums depend on the rows and their order
 * alone, not on the batches that brought them. */
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

/* Empty statistics for rows of this geometry and quantizer; NULL when out of memory. One reference. */
struct bsq_stats_t *bsq_stats_create(const struct bsq_geometry *geometry, const struct bsq_quantizer *quantizer,
                                     const struct bsq_memory *memory);

/* Statistics whose input part is that of 'source', shared and from now on fixed: batches add their target part only. */
bsq_status_t bsq_stats_share(const struct bsq_stats_t *source, const struct bsq_geometry *geometry,
                             const struct bsq_memory *memory, struct bsq_stats_t **stats, struct bsq_message *message);

/* Another reference to the same snapshot. */
struct bsq_stats_t *bsq_stats_retain(struct bsq_stats_t *stats);

/* Adds a checked struct's batch: every buffer is searched for NaN and infinity, shapes are checked, before a row counts.
 * '*stats' is replaced by a copy first when others hold references to it. 'bias' (M, or NULL) is subtracted from
 * targets. On failure, cancelling included, '*stats' is as it was. */
bsq_status_t bsq_stats_add(struct bsq_stats_t **stats, const bsq_batch_t *batch, const float *bias,
                           const struct bsq_stats_work *work);

/* Checks shapes and values of a batch against a geometry ('with_target' 0: input only), for bsq_layer_observe too;
 * gives the number of input values. */
bsq_status_t bsq_stats_check_batch(const struct bsq_geometry *geometry, const bsq_batch_t *batch, int32_t with_target,
                                   int64_t *input_values, struct bsq_message *message);

/* '*into' += 'from'. An empty '*into' (NULL allowed) takes a reference to 'from'. */
bsq_status_t bsq_stats_merge(struct bsq_stats_t **into, const struct bsq_stats_t *from,
                             const struct bsq_stats_work *work);

/* A host's own moments (every field of 'moments' present); replaces '*stats' (NULL allowed). */
bsq_status_t bsq_stats_set(struct bsq_stats_t **stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, const bsq_moments_t *moments,
                           const struct bsq_memory *memory, struct bsq_message *message);

/* The quantizer that the inputs went through; its channels are those of 'stats'. */
const struct bsq_quantizer *bsq_stats_quantizer(const struct bsq_stats_t *stats);

/* Whether 'stats' were gathered for this geometry and quantizer (output channels count only if there is a target);
 * MISMATCH with a text otherwise. */
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

/* Reading, as means over rows, the unfinished tile included. 'scratch' is bsq_stats_scratch bytes (64-byte aligned),
 * nothing is allocated: may run on a pool thread. */
size_t bsq_stats_scratch(const struct bsq_stats_t *stats);
void bsq_stats_read(const struct bsq_stats_t *stats, int64_t group, const struct bsq_group_moments *moments,
                    void *scratch);
void bsq_stats_read_h(const struct bsq_stats_t *stats, int64_t group, double *h, void *scratch);
void bsq_stats_read_diagonal(const struct bsq_stats_t *stats, int64_t group, double *diagonal);
void bsq_stats_read_input_mean(const struct bsq_stats_t *stats, int64_t group, double *mean);
void bsq_stats_read_targets(const struct bsq_stats_t *stats, int64_t group, double *mean, double *square);

/* scale * (H - mean mean') in single precision, n x n and symmetric; 'mean' NULL: nothing is subtracted. */
void bsq_stats_read_square(const struct bsq_stats_t *stats, int64_t group, const double *mean, double scale,
                           float *square, void *scratch);

/* With bsq_stats_block_scratch bytes: P of the group's channels first.. (count x n), and x H (rows x n), in double. */
size_t bsq_stats_block_scratch(const struct bsq_stats_t *stats);
void bsq_stats_read_p(const struct bsq_stats_t *stats, int64_t group, int64_t first, int64_t count, double *p,
                      void *scratch);
void bsq_stats_multiply(const struct bsq_stats_t *stats, int64_t group, int64_t rows, const double *x, double *product,
                        void *scratch);

/* The same scratches for tiles of that many rows, for predictions. */
int64_t bsq_stats_scratch_bytes(int64_t tile_rows, int64_t fan_in);
int64_t bsq_stats_block_scratch_bytes(int64_t tile_rows);

bool bsq_stats_has_target(const struct bsq_stats_t *stats);
bool bsq_stats_has_means(const struct bsq_stats_t *stats);   /* false for a host's moments without means */
double bsq_stats_rows(const struct bsq_stats_t *stats);      /* effective number (sum r)^2 / sum r^2; 0 unknown */
bool bsq_stats_empty(const struct bsq_stats_t *stats);       /* NULL counts as empty; no rows seen, no moments set */

/* STATE when a shared input part and the targets that were added to it count different rows. */
bsq_status_t bsq_stats_check_rows(const struct bsq_stats_t *stats, struct bsq_message *message);

/* Bytes that statistics of this geometry hold, targets included, and the most that adding a batch takes besides; 'copies'
 * says whether rows go into a copy, as they do with a progress callback or other holders. */
bool bsq_stats_bytes(const struct bsq_geometry *geometry, int32_t threads, bool copies, size_t *held, size_t *besides);

#endif
