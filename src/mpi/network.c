/* Whole layers over teams of ranks. */
#include "mpi/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One layer of the list that is shared out. */
struct job {
    double cost;
    int64_t index;
};

/* Orders by cost, the largest first; of equals the first of the list. */
static int compare_jobs(const void *a, const void *b)
{
    const struct job *left = a, *right = b;

    if (left->cost != right->cost)
        return left->cost > right->cost ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

static int64_t least_of(const double *loads, int64_t teams)
{
    int64_t least = 0;

    for (int64_t team = 1; team < teams; team++)
        if (loads[team] < loads[least])
            least = team;
    return least;
}

/* What one call works with. */
struct network {
    bsq_mpi_t *mpi;
    bsq_mpi_t *team;
    int64_t teams, own; /* how many, and which is this rank's */
    int64_t count;
    struct job *jobs;
    double *loads; /* of teams */
    bsq_mpi_layer_fn fn;
    void *opaque;
    struct bsq_mpi_text text;
};

static bsq_status_t prepare(struct network *network, const double *costs, int32_t team_ranks, struct bsq_mpi_same *same)
{
    const struct bsq_mpi_memory *memory = &network->mpi->memory;
    double sum = 0.0;

    if (!network->fn || (!costs && network->count > 0))
        return bsq_mpi_fail(&network->text, BSQ_E_ARGUMENT, "'%s' is NULL", network->fn ? "costs" : "fn");
    if (network->count < 0 || team_ranks < 1)
        return bsq_mpi_fail(&network->text, BSQ_E_RANGE, "count is %lld, team_ranks is %d: must be 0 and 1 at least",
                            (long long)network->count, (int)team_ranks);
    network->teams = (network->mpi->line.size - 1) / team_ranks + 1;
    network->own = network->mpi->line.rank / team_ranks;
    network->jobs = bsq_mpi_get(memory, network->count, sizeof *network->jobs);
    network->loads = bsq_mpi_get(memory, network->teams, sizeof *network->loads);
    if (!network->jobs || !network->loads)
        return bsq_mpi_fail_memory(&network->text);
    for (int64_t i = 0; i < network->count; i++) {
        if (!isfinite(costs[i]) || costs[i] < 0.0)
            return bsq_mpi_fail(&network->text, BSQ_E_RANGE, "costs[%lld] is %g, must be finite and not negative",
                                (long long)i, costs[i]);
        network->jobs[i] = (struct job){costs[i], i};
        sum += costs[i] * (double)(i + 1);
    }
    qsort(network->jobs, (size_t)network->count, sizeof *network->jobs, compare_jobs);
    bsq_mpi_same_real(same, "costs, each times its number, in all", sum);
    return BSQ_OK;
}

/* Makes this rank's team. All ranks have come by now, so that cutting the communicator keeps nobody waiting. */
static bsq_status_t make_team(struct network *network)
{
    bsq_mpi_t *mpi = network->mpi;
    bsq_mpi_options_t options;
    MPI_Comm comm = MPI_COMM_NULL;
    bsq_status_t status =
        bsq_mpi_check(&mpi->line, MPI_Comm_split(mpi->line.comm, (int)network->own, mpi->line.rank, &comm));

    if (status != BSQ_OK)
        return status;
    bsq_mpi_options_init(&options, sizeof options);
    options.memory_alloc = mpi->memory.alloc;
    options.memory_free = mpi->memory.free;
    options.memory_opaque = mpi->memory.opaque;
    options.timeout = mpi->line.timeout;
    options.piece_bytes = mpi->piece_bytes;
    status = bsq_mpi_group_create(comm, &options, mpi, &network->team, &network->text);
    (void)MPI_Comm_free(&comm);
    return bsq_mpi_settle(&mpi->line, status, false, network->text.text);
}

static bsq_status_t run_layer(struct network *network, int64_t index)
{
    bsq_status_t status;

    if (bsq_mpi_must_stop(network->mpi))
        return bsq_mpi_fail(&network->text, BSQ_E_CANCELLED, "stopped by another rank");
    network->team->text.text[0] = 0;
    status = network->fn(network->team, index, network->opaque);
    if (status != BSQ_OK)
        (void)bsq_mpi_fail(&network->text, status, "layer %lld: %.280s", (long long)index,
                           *network->team->text.text ? network->team->text.text : bsq_mpi_status_string(status));
    return status;
}

/* Runs the layers that fall to this rank's team. Every rank finds the same shares. */
static bsq_status_t run(struct network *network)
{
    bsq_status_t status = BSQ_OK;

    for (int64_t i = 0; i < network->count && status == BSQ_OK; i++) {
        int64_t team = least_of(network->loads, network->teams);

        network->loads[team] += network->jobs[i].cost;
        if (team == network->own)
            status = run_layer(network, network->jobs[i].index);
    }
    return bsq_mpi_end_work(network->mpi, status, &network->text);
}

bsq_status_t bsq_mpi_network(bsq_mpi_t *mpi, const double *costs, int64_t count, int32_t team_ranks,
                             bsq_mpi_layer_fn fn, void *opaque)
{
    struct network network = {.mpi = mpi, .count = count, .fn = fn, .opaque = opaque};
    struct bsq_mpi_same same;
    bsq_status_t status;

    if ((status = bsq_mpi_usable(mpi, false)) != BSQ_OK)
        return status;
    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_NETWORK);
    bsq_mpi_same_integer(&same, "count", count);
    bsq_mpi_same_integer(&same, "team_ranks", team_ranks);
    status = prepare(&network, costs, team_ranks, &same);
    if ((status = bsq_mpi_compare(&mpi->line, &same, status, &network.text)) == BSQ_OK &&
        (status = make_team(&network)) == BSQ_OK)
        status = run(&network);
    bsq_mpi_free(network.team);
    bsq_mpi_put(&mpi->memory, network.loads);
    bsq_mpi_put(&mpi->memory, network.jobs);
    return status;
}
