/* The sum over the shards of all ranks, by a tree that is the same whoever holds which of them.
 *
 * A node of the tree is the sum of its halves, left + right, number by number, so each piece of the numbers can be
 * added up somewhere else. For every piece a node is held by one of the ranks that hold its halves, by turns of the
 * pieces: at each level half of what is left moves, and a rank sends and receives about one whole in all, however many
 * ranks there are. Every rank knows who holds what. */
#include "mpi/private.h"

#include <string.h>

/* Pieces that are on their way to a rank, and from it, at one time. */
enum { UNDER_WAY = 4 };

/* What a rank does with one piece of one node: add two halves that it has, send one away, or receive one and add. */
enum { OPERATION_ADD, OPERATION_SEND, OPERATION_RECEIVE };

struct bsq_mpi_operation {
    int kind;
    int peer;
    bool has_left; /* which half is here */
    int64_t node;
    int64_t piece;
};

/* ---- who holds what --------------------------------------------------------------------------------------- */

static int32_t levels_of(int64_t shards)
{
    int32_t levels = 0;

    while ((INT64_C(1) << levels) < shards)
        levels++;
    return levels;
}

/* Tells which half's holder a piece of a node goes to: bits that are mixed well, so that turns are fair at all levels.
 */
static bool turn_right(int64_t piece, int32_t level)
{
    uint64_t mixed = ((uint64_t)piece + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (mixed >> (63 - level)) & 1;
}

/* Gives the rank that holds a piece of a node. */
static int holder(const struct bsq_mpi_exchange *exchange, int32_t level, int64_t index, int64_t piece)
{
    int64_t shards = exchange->sum->shards, size = exchange->line->size;

    for (;; level--) {
        int64_t first = index << level, end = (index + 1) << level;
        int rank = bsq_mpi_rank_of(shards, size, first);

        if (rank == bsq_mpi_rank_of(shards, size, (end < shards ? end : shards) - 1))
            return rank;
        index *= 2;
        if ((index + 1) << (level - 1) < shards && turn_right(piece, level))
            index++;
    }
}

/* Says whether shards of a node are in more than one share. */
static bool is_spread(const struct bsq_mpi_exchange *exchange, int32_t level, int64_t index)
{
    int64_t shards = exchange->sum->shards, size = exchange->line->size;
    int64_t first = index << level, end = (index + 1) << level;

    return bsq_mpi_rank_of(shards, size, first) != bsq_mpi_rank_of(shards, size, (end < shards ? end : shards) - 1);
}

/* ---- where values lie ------------------------------------------------------------------------------------- */

/* Gives where this rank keeps the sum of a node that it shares with others: it has one at each end of its shards. */
static double *place_of(const struct bsq_mpi_exchange *exchange, int32_t level, int64_t index)
{
    return exchange->sum->first >> level == index ? exchange->whole : exchange->edge;
}

/* Gives the values of a node that this rank holds; NULL: zeros. Of its own it has whole nodes, each as high up as it
 * goes. */
static const double *values_of(const struct bsq_mpi_exchange *exchange, int32_t level, int64_t index)
{
    const bsq_mpi_sum_t *sum = exchange->sum;

    for (int i = 0; i < sum->node_count; i++)
        if (sum->nodes[i].level == level && sum->nodes[i].index == index)
            return sum->nodes[i].values;
    return place_of(exchange, level, index);
}

static const double *piece_of(const double *values, const struct bsq_mpi_exchange *exchange, int64_t piece)
{
    return values ? values + piece * exchange->piece : NULL;
}

static int64_t piece_size(const struct bsq_mpi_exchange *exchange, int64_t piece)
{
    int64_t left = exchange->count - piece * exchange->piece;

    return left < exchange->piece ? left : exchange->piece;
}

/* ---- operations of one level ------------------------------------------------------------------------------ */

/* Finds what this rank does with a piece of a node; false: nothing. */
static bool find_operation(const struct bsq_mpi_exchange *exchange, int32_t level, int64_t index, int64_t piece,
                           struct bsq_mpi_operation *operation)
{
    int rank = exchange->line->rank, left, right, held;

    if ((2 * index + 1) << (level - 1) >= exchange->sum->shards || !is_spread(exchange, level, index))
        return false;
    left = holder(exchange, level - 1, 2 * index, piece);
    right = holder(exchange, level - 1, 2 * index + 1, piece);
    held = holder(exchange, level, index, piece);
    if (rank != left && rank != right)
        return false;
    *operation = (struct bsq_mpi_operation){.node = index, .piece = piece, .has_left = rank == left};
    if (left == right) {
        operation->kind = OPERATION_ADD;
        return true;
    }
    operation->peer = rank == left ? right : left;
    operation->kind = rank == held ? OPERATION_RECEIVE : OPERATION_SEND;
    return true;
}

/* Lists them in the order of pieces, and of nodes for each: the order in which all ranks go through them, so that
 * whoever waits waits for somebody that is no further than he. */
static int64_t list_operations(struct bsq_mpi_exchange *exchange, int32_t level)
{
    const bsq_mpi_sum_t *sum = exchange->sum;
    int64_t nodes[2] = {sum->first >> level, (sum->end - 1) >> level}, count = 0;

    if (sum->first == sum->end)
        return 0;
    for (int64_t piece = 0; piece < exchange->pieces; piece++)
        for (int i = 0; i < (nodes[0] == nodes[1] ? 1 : 2); i++)
            if (find_operation(exchange, level, nodes[i], piece, &exchange->operations[count]))
                count++;
    return count;
}

/* Adds a piece that came in, or one that was here, to the other half. */
static void add_piece(const struct bsq_mpi_exchange *exchange, int32_t level, const struct bsq_mpi_operation *operation,
                      const double *came)
{
    int64_t piece = operation->piece, node = operation->node;
    double *to = place_of(exchange, level, node) + piece * exchange->piece;
    const double *left = came, *right = came;

    if (operation->has_left || !came)
        left = piece_of(values_of(exchange, level - 1, 2 * node), exchange, piece);
    if (!operation->has_left || !came)
        right = piece_of(values_of(exchange, level - 1, 2 * node + 1), exchange, piece);
    bsq_mpi_add(to, left, right, piece_size(exchange, piece));
}

/* Messages under way, each at the place of its turn. */
struct traffic {
    MPI_Request in[UNDER_WAY], out[UNDER_WAY];
    int64_t asked, came, sent; /* receives that were begun, those that ended, and sends */
    int64_t next;              /* operation from which on receives are looked for */
};

/* Begins as many receives as there is room for. */
static bsq_status_t begin_receives(struct bsq_mpi_exchange *exchange, struct traffic *traffic, int64_t operations)
{
    struct bsq_mpi_line *line = exchange->line;
    bsq_status_t status = BSQ_OK;

    for (; traffic->next < operations && traffic->asked - traffic->came < UNDER_WAY && status == BSQ_OK;
         traffic->next++) {
        const struct bsq_mpi_operation *operation = &exchange->operations[traffic->next];
        int64_t turn = traffic->asked % UNDER_WAY;

        if (operation->kind != OPERATION_RECEIVE)
            continue;
        status = bsq_mpi_check(line, MPI_Irecv(exchange->ring + turn * exchange->piece,
                                               (int)piece_size(exchange, operation->piece), MPI_DOUBLE, operation->peer,
                                               BSQ_MPI_TAG_TREE, line->comm, &traffic->in[turn]));
        traffic->asked++;
    }
    return status;
}

static bsq_status_t send_piece(struct bsq_mpi_exchange *exchange, struct traffic *traffic, int32_t level,
                               const struct bsq_mpi_operation *operation)
{
    struct bsq_mpi_line *line = exchange->line;
    int64_t turn = traffic->sent++ % UNDER_WAY, piece = operation->piece;
    int64_t child = 2 * operation->node + !operation->has_left;
    const double *values = values_of(exchange, level - 1, child);
    bsq_status_t status = bsq_mpi_wait(line, &traffic->out[turn], 1, "for statistics to be taken");

    if (status != BSQ_OK)
        return status;
    values = values ? values + piece * exchange->piece : exchange->ring + UNDER_WAY * exchange->piece; /* zeros */
    return bsq_mpi_check(line, MPI_Isend(values, (int)piece_size(exchange, piece), MPI_DOUBLE, operation->peer,
                                         BSQ_MPI_TAG_TREE, line->comm, &traffic->out[turn]));
}

static bsq_status_t run_operation(struct bsq_mpi_exchange *exchange, struct traffic *traffic, int32_t level,
                                  const struct bsq_mpi_operation *operation)
{
    int64_t turn = traffic->came % UNDER_WAY;
    bsq_status_t status;

    switch (operation->kind) {
    case OPERATION_SEND: return send_piece(exchange, traffic, level, operation);
    case OPERATION_RECEIVE:
        if ((status = bsq_mpi_wait(exchange->line, &traffic->in[turn], 1, "for another rank's statistics")) != BSQ_OK)
            return status;
        add_piece(exchange, level, operation, exchange->ring + turn * exchange->piece);
        traffic->came++;
        return BSQ_OK;
    default: add_piece(exchange, level, operation, NULL); return BSQ_OK;
    }
}

static bsq_status_t run_level(struct bsq_mpi_exchange *exchange, int32_t level)
{
    struct traffic traffic = {.asked = 0};
    int64_t operations = list_operations(exchange, level);
    bsq_status_t status = BSQ_OK;

    for (int i = 0; i < UNDER_WAY; i++)
        traffic.in[i] = traffic.out[i] = MPI_REQUEST_NULL;
    for (int64_t i = 0; i < operations && status == BSQ_OK; i++) {
        status = begin_receives(exchange, &traffic, operations);
        if (status == BSQ_OK)
            status = run_operation(exchange, &traffic, level, &exchange->operations[i]);
    }
    return status == BSQ_OK ? bsq_mpi_wait(exchange->line, traffic.out, UNDER_WAY, "for statistics to be taken")
                            : status;
}

/* ---- from those who hold it to all ------------------------------------------------------------------------ */

static bsq_status_t spread(struct bsq_mpi_exchange *exchange)
{
    struct bsq_mpi_line *line = exchange->line;
    MPI_Request requests[UNDER_WAY];
    bsq_status_t status = BSQ_OK;

    for (int i = 0; i < UNDER_WAY; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (int64_t piece = 0; piece < exchange->pieces && status == BSQ_OK; piece++) {
        int root = holder(exchange, exchange->levels, 0, piece);
        double *to = exchange->whole + piece * exchange->piece;
        MPI_Request *request = &requests[piece % UNDER_WAY];

        if (root == line->rank) {
            const double *values = piece_of(values_of(exchange, exchange->levels, 0), exchange, piece);

            if (!values)
                memset(to, 0, (size_t)piece_size(exchange, piece) * sizeof *to);
            else if (values != to)
                memcpy(to, values, (size_t)piece_size(exchange, piece) * sizeof *to);
        }
        if ((status = bsq_mpi_wait(line, request, 1, "for the sum of statistics")) == BSQ_OK)
            status = bsq_mpi_check(
                line, MPI_Ibcast(to, (int)piece_size(exchange, piece), MPI_DOUBLE, root, line->comm, request));
    }
    return status == BSQ_OK ? bsq_mpi_wait(line, requests, UNDER_WAY, "for the sum of statistics") : status;
}

bsq_status_t bsq_mpi_exchange_run(struct bsq_mpi_exchange *exchange)
{
    bsq_status_t status = BSQ_OK;

    for (int32_t level = 1; level <= exchange->levels && status == BSQ_OK; level++)
        status = run_level(exchange, level);
    return status == BSQ_OK ? spread(exchange) : status;
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

/* Says whether nodes at both ends of this rank's shards are shared with others, and are not the same. */
static bool needs_edge(const struct bsq_mpi_exchange *exchange)
{
    const bsq_mpi_sum_t *sum = exchange->sum;

    for (int32_t level = 1; level <= exchange->levels && sum->first < sum->end; level++) {
        int64_t first = sum->first >> level, last = (sum->end - 1) >> level;

        if (first != last && is_spread(exchange, level, last))
            return true;
    }
    return false;
}

bool bsq_mpi_exchange_create(struct bsq_mpi_exchange *exchange, struct bsq_mpi_line *line, const bsq_mpi_sum_t *sum,
                             int64_t count, int64_t piece_bytes)
{
    const struct bsq_mpi_memory *memory = &sum->memory;
    bool edge;

    *exchange = (struct bsq_mpi_exchange){.line = line, .sum = sum, .count = count};
    exchange->piece = piece_bytes / (int64_t)sizeof(double);
    if (exchange->piece > count)
        exchange->piece = count;
    exchange->pieces = (count - 1) / exchange->piece + 1;
    exchange->levels = levels_of(sum->shards);
    edge = needs_edge(exchange);
    exchange->whole = bsq_mpi_get_numbers(memory, count);
    exchange->edge = edge ? bsq_mpi_get_numbers(memory, count) : NULL;
    exchange->ring = bsq_mpi_get(memory, (UNDER_WAY + 1) * exchange->piece, sizeof(double));
    exchange->operations = bsq_mpi_get(memory, 2 * exchange->pieces, sizeof *exchange->operations);
    return exchange->whole && (exchange->edge || !edge) && exchange->ring && exchange->operations;
}

void bsq_mpi_exchange_free(struct bsq_mpi_exchange *exchange)
{
    const struct bsq_mpi_memory *memory = &exchange->sum->memory;

    bsq_mpi_put(memory, exchange->operations);
    bsq_mpi_put(memory, exchange->ring);
    bsq_mpi_put(memory, exchange->edge);
    bsq_mpi_put(memory, exchange->whole);
}
