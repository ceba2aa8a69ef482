/* What the files of this folder share: groups, how ranks wait for each other, and how they come to one status. */
#ifndef BSQ_MPI_PRIVATE_H
#define BSQ_MPI_PRIVATE_H

#include "bsq_mpi.h"

#include <pthread.h>
#include <stdbool.h>

enum { BSQ_MPI_TEXT = 320 };

/* A text of a failure, on its way. */
struct bsq_mpi_text {
    char text[BSQ_MPI_TEXT];
};

/* ---- text.c ---- */

/* Writes the formatted text and returns 'status', so that a failure is one statement. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bsq_status_t
bsq_mpi_fail(struct bsq_mpi_text *text, bsq_status_t status, const char *format, ...);

/* The text of a failed call on a layer. */
bsq_status_t bsq_mpi_fail_layer(struct bsq_mpi_text *text, bsq_status_t status, const bsq_layer_t *layer);
bsq_status_t bsq_mpi_fail_memory(struct bsq_mpi_text *text);

/* ---- memory ---- */

struct bsq_mpi_memory {
    bsq_alloc_fn alloc;
    bsq_free_fn free;
    void *opaque;
};

/* Gives 'count' x 'size' bytes of zeros, one at least; NULL when out of memory. */
void *bsq_mpi_get(const struct bsq_mpi_memory *memory, int64_t count, size_t size);
void bsq_mpi_put(const struct bsq_mpi_memory *memory, void *block);

/* Gives room for numbers, as they come: all of them are written before they are read. */
double *bsq_mpi_get_numbers(const struct bsq_mpi_memory *memory, int64_t count);

/* ---- line.c: one communicator, waits that end ---- */

enum { BSQ_MPI_TAG_STOP = 1, BSQ_MPI_TAG_TREE = 2 };

/* Values that a small collective sends and writes. They lie in the line, which is not freed while MPI may use it. */
enum { BSQ_MPI_VALUES = 64 };

struct bsq_mpi_line {
    MPI_Comm comm;
    int rank;
    int size;
    double timeout;
    bool broken;               /* a wait was given up: messages may still be under way */
    struct bsq_mpi_text *text; /* of the group, or of the thread that reduces */
    int64_t sent[BSQ_MPI_VALUES];
    int64_t got[BSQ_MPI_VALUES];
    char note[BSQ_MPI_TEXT];
};

/* Turns what MPI returned into a status; a failure breaks the line. */
bsq_status_t bsq_mpi_check(struct bsq_mpi_line *line, int code);

/* Waits for all of the requests. TIMEOUT and COMMUNICATION break the line; 'doing' says of what, for the text. */
bsq_status_t bsq_mpi_wait(struct bsq_mpi_line *line, MPI_Request *requests, int count, const char *doing);

/* Reduce 'count' of line->sent into line->got on all ranks, or send rank 'root's line->sent into everybody's line->got.
 */
bsq_status_t bsq_mpi_all(struct bsq_mpi_line *line, int count, MPI_Op op, const char *doing);
bsq_status_t bsq_mpi_from(struct bsq_mpi_line *line, int count, int root, const char *doing);

/* Sends 'bytes' of rank 'root' to all in pieces, a few of them under way at a time. */
bsq_status_t bsq_mpi_spread(struct bsq_mpi_line *line, void *data, int64_t bytes, int64_t piece, int root,
                            const char *doing);

/* Comes to one status: BSQ_OK when all ranks bring that; else that of the lowest rank that failed by itself, its text
 * in line->text. 'follows' says that this rank only stopped because another one failed. */
bsq_status_t bsq_mpi_settle(struct bsq_mpi_line *line, bsq_status_t status, bool follows, const char *text);

/* ---- groups ---- */

struct bsq_mpi_t {
    struct bsq_mpi_line line;    /* of the host's thread */
    struct bsq_mpi_line beneath; /* of sums under way, whose thread may talk at the same time */
    struct bsq_mpi_text text, beneath_text;
    struct bsq_mpi_memory memory;
    bsq_mpi_t *parent; /* of a team: the group it is a part of; else NULL */
    bsq_mpi_sum_t *under_way;
    int64_t piece_bytes;
    MPI_Request *stops; /* this rank's calls to stop, one for each rank; NULL when it sent none */
    bool stopped;       /* another rank's was seen */
};

/* Begins a collective call: ARGUMENT without a group, STATE when an earlier call was given up on its line or, where
 * that matters, on the one beneath it. */
bsq_status_t bsq_mpi_usable(bsq_mpi_t *mpi, bool beneath);

bsq_status_t bsq_mpi_group_create(MPI_Comm comm, const bsq_mpi_options_t *options, bsq_mpi_t *parent, bsq_mpi_t **mpi,
                                  struct bsq_mpi_text *text);

/* Calls on all other ranks to stop what they do in this collective call. */
void bsq_mpi_stop(bsq_mpi_t *mpi);

/* Says whether another rank, or one of the group around a team, has called on this one to stop. */
bool bsq_mpi_must_stop(bsq_mpi_t *mpi);

/* Comes to one status at the end of work that may have been stopped, and takes all calls to stop off the line. */
bsq_status_t bsq_mpi_end_work(bsq_mpi_t *mpi, bsq_status_t status, const struct bsq_mpi_text *text);

/* A layer's progress callback with the question before it whether to stop. */
struct bsq_mpi_watch {
    bsq_mpi_t *mpi;
    bsq_progress_fn next;
    void *opaque;
};

int32_t BSQ_CALL bsq_mpi_watch(const bsq_progress_t *progress, void *watch);

/* ---- same.c: what must be the same on all ranks ---- */

enum {
    BSQ_MPI_CALL_CREATE = 1,
    BSQ_MPI_CALL_AGREE,
    BSQ_MPI_CALL_QUANTIZER,
    BSQ_MPI_CALL_REDUCE,
    BSQ_MPI_CALL_BEGIN,
    BSQ_MPI_CALL_END,
    BSQ_MPI_CALL_OPTIMIZE,
    BSQ_MPI_CALL_NETWORK,
    BSQ_MPI_CALLS
};

/* A list of values with names. */
struct bsq_mpi_same {
    int count;
    const char *names[BSQ_MPI_VALUES];
    bool real[BSQ_MPI_VALUES];
    bool hidden[BSQ_MPI_VALUES]; /* a fingerprint, whose digits say nothing */
    int64_t values[BSQ_MPI_VALUES];
};

/* Begins a list with the call that is made: calls in another order are named, too. */
void bsq_mpi_same_begin(struct bsq_mpi_same *same, int call);
void bsq_mpi_same_integer(struct bsq_mpi_same *same, const char *name, int64_t value);
void bsq_mpi_same_real(struct bsq_mpi_same *same, const char *name, double value);
void bsq_mpi_same_hidden(struct bsq_mpi_same *same, const char *name, int64_t value);

/* Adds what a layer is: description and input quantizer. */
bsq_status_t bsq_mpi_same_layer(struct bsq_mpi_same *same, bsq_layer_t *layer, struct bsq_mpi_text *text);

/* Adds how it is to be solved. */
void bsq_mpi_same_options(struct bsq_mpi_same *same, const bsq_options_t *options);

/* Comes to one status: DIFFERENT, with the first value that is not rank 0's, else what ranks bring. */
bsq_status_t bsq_mpi_compare(struct bsq_mpi_line *line, const struct bsq_mpi_same *same, bsq_status_t status,
                             const struct bsq_mpi_text *text);

/* ---- sum.c ---- */

/* The sum over shards index << level .. (index + 1) << level, those there are. */
struct bsq_mpi_node {
    int32_t level;
    int64_t index;
    double *values; /* NULL: no rows, zeros */
};

enum { BSQ_MPI_NODES = 2 * 64 };

struct bsq_mpi_sum_t {
    struct bsq_mpi_memory memory;
    bsq_mpi_t *mpi;
    int64_t shards;
    int64_t first, next, end;    /* of this rank's share: the shard that comes next */
    int64_t count;               /* numbers of a node; 0 before there are rows */
    int64_t description, inputs; /* fingerprints of the layer that they are of */
    int node_count;
    struct bsq_mpi_node nodes[BSQ_MPI_NODES]; /* in the order of shards */
    struct bsq_mpi_exchange *exchange;        /* of a sum that is under way */
    bool lent;                                /* MPI may still read it */
};

/* Gives the share of rank 'rank' of 'size'. */
void bsq_mpi_share_of(int64_t count, int64_t rank, int64_t size, int64_t *first, int64_t *end);

/* Gives the rank whose share shard 'shard' is in. */
int bsq_mpi_rank_of(int64_t count, int64_t size, int64_t shard);

/* Forgets what was added. */
void bsq_mpi_sum_clear(bsq_mpi_sum_t *sum);

/* to = left + right; either may be NULL: zeros. */
void bsq_mpi_add(double *to, const double *left, const double *right, int64_t count);

/* ---- tree.c ---- */

/* Where the values of all shards are added up. */
struct bsq_mpi_exchange {
    struct bsq_mpi_line *line;
    const bsq_mpi_sum_t *sum;
    int64_t count; /* numbers */
    int64_t piece; /* numbers of a piece */
    int64_t pieces;
    int32_t levels;
    double *whole; /* in the end the sum; on the way that of the node with this rank's first shard */
    double *edge;  /* that of the node with its last shard, where that is another one; NULL: never needed */
    double *ring;  /* pieces that come in */
    struct bsq_mpi_operation *operations;
    pthread_t thread;
    bool threaded;
    bsq_status_t status;
};

/* Makes room for an exchange of 'count' numbers; false when out of memory. */
bool bsq_mpi_exchange_create(struct bsq_mpi_exchange *exchange, struct bsq_mpi_line *line, const bsq_mpi_sum_t *sum,
                             int64_t count, int64_t piece_bytes);
void bsq_mpi_exchange_free(struct bsq_mpi_exchange *exchange);

/* Adds up and spreads: 'whole' is the sum on all ranks then. */
bsq_status_t bsq_mpi_exchange_run(struct bsq_mpi_exchange *exchange);

/* ---- result.c: the result of a part on its way ---- */

/* Measures and writes the result of a layer as bytes of this machine and library. */
bsq_status_t bsq_mpi_result_size(bsq_layer_t *layer, int64_t *size, struct bsq_mpi_text *text);
bsq_status_t bsq_mpi_result_write(bsq_layer_t *layer, void *bytes, int64_t size, struct bsq_mpi_text *text);

/* Puts together the results of 'parts' parts of equal description, in order, and makes them the layer's. */
bsq_status_t bsq_mpi_result_join(bsq_layer_t *layer, void *const *bytes, int64_t parts,
                                 const struct bsq_mpi_memory *memory, struct bsq_mpi_text *text);

#endif
