/* bsq_mpi.h - libbsq on many machines: statistics, output channels and layers shared out over the ranks of MPI
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each rank streams its own part of the activations. Their statistics are then added up, and every rank has the whole:
 *
 *     bsq_mpi_create        a group of ranks, from a communicator
 *     bsq_mpi_sum_create    a sum over shards, which are numbered parts of the rows
 *     bsq_mpi_share         which shards are this rank's
 *     bsq_mpi_sum_add       the statistics of one shard
 *     bsq_mpi_reduce        the sum over the shards of all ranks becomes the statistics of a layer
 *     bsq_mpi_optimize      choose codes and scales, output channels shared out
 *     bsq_mpi_network       or: whole layers shared out
 *
 * Rules that hold beside those of bsq.h:
 *
 *   - Calls that are marked "collective" are made by all ranks of the group, in the same order. They return the same
 *     status on all of them: when one rank fails, is cancelled or refuses, all do, with its text and its number. What a
 *     rank had before the call, it has after it.
 *   - Results have the same bits for any number of ranks. They depend on how many shards and parts the host asks for,
 *     which it must not derive from the number of ranks. As in bsq.h that is for one build, one CPU type and one
 * OpenBLAS.
 *   - No call waits longer than options.timeout for another rank. After TIMEOUT and COMMUNICATION the group can only be
 *     freed, for messages may still be under way; statistics, results and sums stay.
 *   - Collective calls on one group are made by one thread at a time, the thread that may call MPI. The library talks
 * on communicators of its own, so that the host's messages are never met. It installs no handlers.
 */
#ifndef BSQ_MPI_H
#define BSQ_MPI_H

#include "bsq.h"

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What these calls return beside the values of bsq.h. */
enum {
    BSQ_MPI_E_TIMEOUT = -900,       /* another rank did not come in time */
    BSQ_MPI_E_COMMUNICATION = -910, /* a call of MPI failed; the text is MPI's */
    BSQ_MPI_E_DIFFERENT = -920      /* a rank differs from rank 0 in what must be the same; the text names it */
};

/* A short English text for a status of this header or of bsq.h, never NULL; static, never freed. */
BSQ_API const char *BSQ_CALL bsq_mpi_status_string(bsq_status_t status);

/* ---- groups of ranks ------------------------------------------------------------------------------------- */

/* Defaults are in brackets. */
typedef struct bsq_mpi_options_t {
    size_t struct_size;
    bsq_alloc_fn memory_alloc; /* as in bsq_options_t, for what groups and sums hold [NULL] */
    bsq_free_fn memory_free;   /* [NULL] */
    void *memory_opaque;
    double timeout;      /* seconds that a call waits for other ranks: more than one may be behind another in its work;
                            0: for ever [3600] */
    int64_t piece_bytes; /* what one message carries, at least 4096; a call holds a few of them [4194304] */
} bsq_mpi_options_t;
BSQ_API void BSQ_CALL bsq_mpi_options_init(bsq_mpi_options_t *options, size_t struct_size);

typedef struct bsq_mpi_t bsq_mpi_t;

/* Makes a group of the ranks of 'comm', which MPI_Init was called for; 'comm' is duplicated. DIFFERENT when
 * ranks run different versions of the library. On failure '*mpi' is NULL. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_create(MPI_Comm comm, const bsq_mpi_options_t *options, bsq_mpi_t **mpi,
                                             bsq_error_t *error);

/* Frees the group; NULL is allowed. After TIMEOUT and COMMUNICATION it waits for nobody,
 * and what MPI still holds of the group's is left to it. Collective, before MPI_Finalize. */
BSQ_API void BSQ_CALL bsq_mpi_free(bsq_mpi_t *mpi);

/* Text of the last failed call on this group, "" before the first. It begins with the number of the rank whose failure
 * it was. Owned by the group, valid until the next call on it. */
BSQ_API const char *BSQ_CALL bsq_mpi_error_message(const bsq_mpi_t *mpi);

/* Gives this rank's share of 'count' numbered things: first..end-1. Shares are contiguous, in the order of ranks, and
 * differ by one at most. RANGE for a negative count. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_share(bsq_mpi_t *mpi, int64_t count, int64_t *first, int64_t *end);

/* Returns BSQ_OK when all ranks bring that, else the status of the lowest rank that brings another one, with
 * its 'text' (NULL: that of the status). For what ranks do on their own: read files, calibrate. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_agree(bsq_mpi_t *mpi, bsq_status_t status, const char *text);

/* A bsq_progress_fn whose opaque is the group: stops the work (1) when another rank has failed in the collective call
 * that this one works for. For layers that the callback of bsq_mpi_network solves; the library's own calls ask by
 * themselves, and ask the layer's own callback, too. */
BSQ_API int32_t BSQ_CALL bsq_mpi_progress(const bsq_progress_t *progress, void *mpi);

/* Gives 'layer' on all ranks the input quantizer that it has on rank 0, observed or given, so that shards are
 * quantized alike. Where inputs stay float nothing happens. Fails as the calls of bsq.h on quantizers do. Collective.
 */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_share_quantizer(bsq_mpi_t *mpi, bsq_layer_t *layer);

/* ---- statistics ------------------------------------------------------------------------------------------ */

/* A sum of the statistics of shards 0..shards-1: (0 + 1) + (2 + 3) and so on, a tree that does not depend on who has
 * which of them. A sum holds at most one partial sum for each level of the tree: 1 + log2 of this rank's shards. */
typedef struct bsq_mpi_sum_t bsq_mpi_sum_t;

/* Creates an empty sum. RANGE for no shards. Local: no other rank is asked. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_sum_create(bsq_mpi_t *mpi, int64_t shards, bsq_mpi_sum_t **sum);

/* Frees a sum; NULL is allowed. One that is under way stays. */
BSQ_API void BSQ_CALL bsq_mpi_sum_free(bsq_mpi_sum_t *sum);

/* Adds the statistics ('held_out': which) that 'layer' has of all the rows of 'shard', which must be the next one of
 * this rank's share (STATE); a layer without any is a shard without rows. What is added is copied. MISMATCH when the
 * layer has another description or input quantizer than those before, or targets where they had none. On failure
 * nothing has changed. Local. A run that can be resumed writes each shard's statistics to a file (bsq_stats_export),
 * and reads what is there before it calibrates (bsq_stats_import, bsq_layer_merge_stats). */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_sum_add(bsq_mpi_sum_t *sum, int64_t shard, bsq_layer_t *layer, int32_t held_out);

/* Adds up what all ranks have, when each has added its share (STATE), and makes the sum the statistics
 * ('held_out': which) of 'layer', which has none (STATE) and the same description everywhere (DIFFERENT). Rows that a
 * layer has already are added to by bsq_layer_merge_stats, from a layer of these. The sum is empty afterwards, and
 * after a failure as it was. Each rank sends and receives about as many bytes as the triangle of H, P and the rest
 * have, once for the sum and once for its distribution, in pieces. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_reduce(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out);

/* Reduces in two steps, between which the host goes on with other work: accumulates the next layer, say. Where
 * MPI allows several threads (MPI_THREAD_MULTIPLE) a thread of the library exchanges meanwhile, else the second call
 * does all of it. One sum of a group at a time is under way (STATE); it must not be freed. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_reduce_begin(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum);
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_reduce_end(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer,
                                                 int32_t held_out);

/* ---- solve ----------------------------------------------------------------------------------------------- */

/* Solves as bsq_optimize does, with the output channels of 'layer' in 'parts' parts of equal size (of whole groups,
 * when there are several; fewer parts where there are fewer channels or groups), shared out over ranks. The layer has
 * the same description, options, weights and statistics on all ranks (DIFFERENT), and has the whole result and its
 * report on all of them afterwards; 'report' may be NULL. Each part is solved as a layer of its own: one part gives the
 * bits of bsq_optimize. Each part prepares H again, so that more parts than ranks cost time. A layer is not cut where
 * one number is chosen for all channels: a scale for the tensor, a scale_unit that is not given, an effort by held-out
 * error; one rank solves it then. What the report says of seconds is the sum over parts. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_optimize(bsq_mpi_t *mpi, bsq_layer_t *layer, int64_t parts, bsq_report_t *report);

/* What bsq_mpi_network calls for layer 'index', on all ranks of a team together: 'team' is a group of these alone, for
 * the collective calls above. Makes the layer, solves it, saves it; a status other than BSQ_OK ends the whole call.
 * Only 'team' may be called from it, and freed by nobody. */
typedef bsq_status_t(BSQ_CALL *bsq_mpi_layer_fn)(bsq_mpi_t *team, int64_t index, void *opaque);

/* Cuts the ranks into teams of 'team_ranks' each (the last may be smaller) and shares out 'count' layers that
 * do not depend on each other over them: by their 'costs' (finite, >= 0, in any unit, the same on all ranks), the
 * largest first, to the team that has the least so far. A text of a failure in 'fn' is that of the team's last failed
 * call. Collective. */
BSQ_API bsq_status_t BSQ_CALL bsq_mpi_network(bsq_mpi_t *mpi, const double *costs, int64_t count, int32_t team_ranks,
                                              bsq_mpi_layer_fn fn, void *opaque);

#ifdef __cplusplus
}
#endif

#endif
