/* One communicator: waits that end, small collectives, data in pieces, and one status for all. */
#include "mpi/private.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Asks that return at once before a wait begins to sleep, and how long it sleeps at most: 1/2000 s is little beside
 * work that is worth a message, and leaves the processor to ranks that share it. */
enum { PATIENCE = 200, LONGEST_SLEEP = 500000 };

bsq_status_t bsq_mpi_check(struct bsq_mpi_line *line, int code)
{
    char reason[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    if (code == MPI_SUCCESS)
        return BSQ_OK;
    line->broken = true;
    (void)MPI_Error_string(code, reason, &length);
    return bsq_mpi_fail(line->text, BSQ_MPI_E_COMMUNICATION, "rank %d: MPI: %.200s", line->rank, reason);
}

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bsq_status_t bsq_mpi_wait(struct bsq_mpi_line *line, MPI_Request *requests, int count, const char *doing)
{
    double start = seconds_now();
    long sleep = 1000;

    for (int64_t asked = 0;; asked++) {
        int done = 0;
        bsq_status_t status = bsq_mpi_check(line, MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE));

        if (status != BSQ_OK || done)
            return status;
        if (asked < PATIENCE) {
            (void)sched_yield();
            continue;
        }
        if (line->timeout > 0.0 && seconds_now() - start > line->timeout) {
            line->broken = true;
            return bsq_mpi_fail(line->text, BSQ_MPI_E_TIMEOUT, "rank %d: no answer within %g s, %s", line->rank,
                                line->timeout, doing);
        }
        (void)nanosleep(&(struct timespec){0, sleep}, NULL);
        sleep = 2 * sleep < LONGEST_SLEEP ? 2 * sleep : LONGEST_SLEEP;
    }
}

bsq_status_t bsq_mpi_all(struct bsq_mpi_line *line, int count, MPI_Op op, const char *doing)
{
    MPI_Request request;
    bsq_status_t status =
        bsq_mpi_check(line, MPI_Iallreduce(line->sent, line->got, count, MPI_INT64_T, op, line->comm, &request));

    return status == BSQ_OK ? bsq_mpi_wait(line, &request, 1, doing) : status;
}

bsq_status_t bsq_mpi_from(struct bsq_mpi_line *line, int count, int root, const char *doing)
{
    MPI_Request request;
    bsq_status_t status;

    if (line->rank == root)
        memcpy(line->got, line->sent, (size_t)count * sizeof *line->got);
    status = bsq_mpi_check(line, MPI_Ibcast(line->got, count, MPI_INT64_T, root, line->comm, &request));
    return status == BSQ_OK ? bsq_mpi_wait(line, &request, 1, doing) : status;
}

bsq_status_t bsq_mpi_spread(struct bsq_mpi_line *line, void *data, int64_t bytes, int64_t piece, int root,
                            const char *doing)
{
    enum { UNDER_WAY = 4 };
    MPI_Request requests[UNDER_WAY];
    bsq_status_t status = BSQ_OK;
    int turn = 0;

    for (int i = 0; i < UNDER_WAY; i++)
        requests[i] = MPI_REQUEST_NULL;
    if (piece > INT_MAX)
        piece = INT_MAX;
    for (int64_t at = 0; at < bytes && status == BSQ_OK; at += piece, turn = (turn + 1) % UNDER_WAY) {
        int size = (int)(bytes - at < piece ? bytes - at : piece);

        if ((status = bsq_mpi_wait(line, &requests[turn], 1, doing)) == BSQ_OK)
            status =
                bsq_mpi_check(line, MPI_Ibcast((char *)data + at, size, MPI_BYTE, root, line->comm, &requests[turn]));
    }
    return status == BSQ_OK ? bsq_mpi_wait(line, requests, UNDER_WAY, doing) : status;
}

/* Sends status and text of rank 'root' to all. */
static bsq_status_t spread_failure(struct bsq_mpi_line *line, int root, bsq_status_t status, const char *text)
{
    MPI_Request request;
    bsq_status_t failed;

    line->sent[0] = status;
    if ((failed = bsq_mpi_from(line, 1, root, "to learn why another rank failed")) != BSQ_OK)
        return failed;
    status = (bsq_status_t)line->got[0];
    if (line->rank == root)
        (void)snprintf(line->note, sizeof line->note, "%s", text && *text ? text : bsq_mpi_status_string(status));
    failed = bsq_mpi_check(line, MPI_Ibcast(line->note, BSQ_MPI_TEXT, MPI_CHAR, root, line->comm, &request));
    if (failed != BSQ_OK || (failed = bsq_mpi_wait(line, &request, 1, "to learn why another rank failed")) != BSQ_OK)
        return failed;
    line->note[BSQ_MPI_TEXT - 1] = 0;
    return bsq_mpi_fail(line->text, status, "rank %d: %.300s", root, line->note);
}

bsq_status_t bsq_mpi_settle(struct bsq_mpi_line *line, bsq_status_t status, bool follows, const char *text)
{
    char own[BSQ_MPI_TEXT];
    bsq_status_t failed;

    if (line->broken)
        return status;
    (void)snprintf(own, sizeof own, "%s", text ? text : ""); /* 'text' may be what is about to be written */
    line->sent[0] = status == BSQ_OK ? INT64_MAX : (int64_t)line->rank + (follows ? line->size : 0);
    if ((failed = bsq_mpi_all(line, 1, MPI_MIN, "until all have finished")) != BSQ_OK)
        return failed;
    if (line->got[0] == INT64_MAX)
        return BSQ_OK;
    return spread_failure(line, (int)(line->got[0] % line->size), status, own);
}
