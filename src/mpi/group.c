/* Groups of ranks: made, freed, asked; the calls to stop that go between them. */
#include "mpi/private.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- options ---------------------------------------------------------------------------------------------- */

enum { LEAST_PIECE = 4096, USUAL_PIECE = 4194304, MOST_PIECE = INT_MAX / 2 };

/* Bytes of the first version: a pinned number, so that appending a field does not shut out programs built before. */
enum { FIRST_OPTIONS = 4 * sizeof(void *) + 16, LONGEST_STRUCT = 1 << 16 };

static const bsq_mpi_options_t default_options = {
    .struct_size = sizeof default_options, .timeout = 3600.0, .piece_bytes = USUAL_PIECE};

void bsq_mpi_options_init(bsq_mpi_options_t *options, size_t struct_size)
{
    if (!options || struct_size < sizeof struct_size || struct_size > LONGEST_STRUCT)
        return;
    memset(options, 0, struct_size);
    memcpy(options, &default_options, struct_size < sizeof *options ? struct_size : sizeof *options);
    options->struct_size = struct_size;
}

static bsq_status_t read_options(bsq_mpi_options_t *own, const bsq_mpi_options_t *from, struct bsq_mpi_text *text)
{
    *own = default_options;
    if (!from)
        return BSQ_OK;
    if (from->struct_size < FIRST_OPTIONS || from->struct_size > LONGEST_STRUCT)
        return bsq_mpi_fail(text, BSQ_E_VERSION,
                            "bsq_mpi_options_t: struct_size is %llu: was bsq_mpi_options_init called?",
                            (unsigned long long)from->struct_size);
    for (size_t i = sizeof *own; i < from->struct_size; i++)
        if (((const unsigned char *)from)[i])
            return bsq_mpi_fail(text, BSQ_E_VERSION, "bsq_mpi_options_t: a field that this library does not know");
    memcpy(own, from, from->struct_size < sizeof *own ? from->struct_size : sizeof *own);
    own->struct_size = sizeof *own;
    if (!own->memory_alloc != !own->memory_free)
        return bsq_mpi_fail(text, BSQ_E_ARGUMENT, "memory_alloc and memory_free: one alone is NULL");
    if (!(own->timeout >= 0.0) || !isfinite(own->timeout))
        return bsq_mpi_fail(text, BSQ_E_RANGE, "timeout is %g, must be 0 or more seconds", own->timeout);
    if (own->piece_bytes < LEAST_PIECE || own->piece_bytes > MOST_PIECE)
        return bsq_mpi_fail(text, BSQ_E_RANGE, "piece_bytes is %lld, must be %d..%d", (long long)own->piece_bytes,
                            (int)LEAST_PIECE, (int)MOST_PIECE);
    return BSQ_OK;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

/* Duplicates a communicator for a line; what goes wrong there comes back as a code instead of ending the program. */
static bsq_status_t open_line(struct bsq_mpi_line *line, MPI_Comm comm, double timeout, struct bsq_mpi_text *text)
{
    MPI_Request request;
    bsq_status_t status;

    line->timeout = timeout;
    line->text = text;
    line->comm = MPI_COMM_NULL;
    (void)MPI_Comm_rank(comm, &line->rank);
    if ((status = bsq_mpi_check(line, MPI_Comm_idup(comm, &line->comm, &request))) != BSQ_OK ||
        (status = bsq_mpi_wait(line, &request, 1, "for the others to make bsq_mpi_create")) != BSQ_OK)
        return status;
    (void)MPI_Comm_set_errhandler(line->comm, MPI_ERRORS_RETURN);
    (void)MPI_Comm_size(line->comm, &line->size);
    return BSQ_OK;
}

static bsq_status_t compare_libraries(bsq_mpi_t *mpi, const bsq_mpi_options_t *options)
{
    struct bsq_mpi_same same;

    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_CREATE);
    bsq_mpi_same_integer(&same, "the version of libbsq", bsq_version());
    bsq_mpi_same_integer(&same, "the version of bsq_mpi.h", BSQ_VERSION);
    bsq_mpi_same_integer(&same, "the size of a report", (int64_t)sizeof(bsq_report_t));
    bsq_mpi_same_integer(&same, "piece_bytes", options->piece_bytes);
    return bsq_mpi_compare(&mpi->line, &same, BSQ_OK, &mpi->text);
}

bsq_status_t bsq_mpi_group_create(MPI_Comm comm, const bsq_mpi_options_t *options, bsq_mpi_t *parent, bsq_mpi_t **mpi,
                                  struct bsq_mpi_text *text)
{
    struct bsq_mpi_memory memory = {options->memory_alloc, options->memory_free, options->memory_opaque};
    bsq_mpi_t *made = bsq_mpi_get(&memory, 1, sizeof *made);
    bsq_status_t status;

    if (!made)
        return bsq_mpi_fail_memory(text); /* the others learn of it by their timeout: there is no group to tell them */
    made->memory = memory;
    made->parent = parent;
    made->piece_bytes = options->piece_bytes;
    if ((status = open_line(&made->line, comm, options->timeout, &made->text)) == BSQ_OK &&
        (status = open_line(&made->beneath, made->line.comm, options->timeout, &made->text)) == BSQ_OK)
        status = compare_libraries(made, options);
    made->beneath.text = &made->beneath_text;
    if (status == BSQ_OK) {
        *mpi = made;
        return BSQ_OK;
    }
    *text = made->text;
    made->line.broken = made->line.broken || made->beneath.broken;
    bsq_mpi_free(made);
    return status;
}

bsq_status_t bsq_mpi_create(MPI_Comm comm, const bsq_mpi_options_t *options, bsq_mpi_t **mpi, bsq_error_t *error)
{
    struct bsq_mpi_text text = {""};
    bsq_mpi_options_t own;
    int ready = 0;
    bsq_status_t status;

    (void)MPI_Initialized(&ready);
    if (mpi)
        *mpi = NULL;
    if (!mpi)
        status = bsq_mpi_fail(&text, BSQ_E_ARGUMENT, "'mpi' is NULL");
    else if (!ready || comm == MPI_COMM_NULL)
        status = bsq_mpi_fail(&text, BSQ_E_STATE, "%s", ready ? "'comm' is MPI_COMM_NULL" : "call MPI_Init first");
    else if ((status = read_options(&own, options, &text)) == BSQ_OK)
        status = bsq_mpi_group_create(comm, &own, NULL, mpi, &text);
    if (error && error->struct_size >= sizeof *error && error->message && error->capacity)
        (void)snprintf(error->message, error->capacity, "%s", status == BSQ_OK ? "" : text.text);
    if (error && error->struct_size >= sizeof *error)
        error->status = status;
    return status;
}

void bsq_mpi_free(bsq_mpi_t *mpi)
{
    struct bsq_mpi_memory memory;

    if (!mpi || mpi->line.broken || mpi->beneath.broken)
        return; /* MPI may still write into it */
    memory = mpi->memory;
    if (mpi->beneath.comm != MPI_COMM_NULL)
        (void)MPI_Comm_free(&mpi->beneath.comm);
    if (mpi->line.comm != MPI_COMM_NULL)
        (void)MPI_Comm_free(&mpi->line.comm);
    bsq_mpi_put(&memory, mpi->stops);
    bsq_mpi_put(&memory, mpi);
}

const char *bsq_mpi_error_message(const bsq_mpi_t *mpi)
{
    return mpi ? mpi->text.text : "'mpi' is NULL";
}

/* ---- shares ----------------------------------------------------------------------------------------------- */

void bsq_mpi_share_of(int64_t count, int64_t rank, int64_t size, int64_t *first, int64_t *end)
{
    int64_t each = count / size, more = count % size;

    *first = rank * each + (rank < more ? rank : more);
    *end = *first + each + (rank < more);
}

int bsq_mpi_rank_of(int64_t count, int64_t size, int64_t shard)
{
    int64_t each = count / size, more = count % size, longer = more * (each + 1);

    return (int)(shard < longer ? shard / (each + 1) : more + (shard - longer) / each);
}

bsq_status_t bsq_mpi_share(bsq_mpi_t *mpi, int64_t count, int64_t *first, int64_t *end)
{
    if (!mpi)
        return BSQ_E_ARGUMENT;
    if (!first || !end)
        return bsq_mpi_fail(&mpi->text, BSQ_E_ARGUMENT, "'first' or 'end' is NULL");
    if (count < 0)
        return bsq_mpi_fail(&mpi->text, BSQ_E_RANGE, "count is %lld, must be 0 or more", (long long)count);
    bsq_mpi_share_of(count, mpi->line.rank, mpi->line.size, first, end);
    return BSQ_OK;
}

bsq_status_t bsq_mpi_usable(bsq_mpi_t *mpi, bool beneath)
{
    if (!mpi)
        return BSQ_E_ARGUMENT;
    if (mpi->line.broken || (beneath && mpi->beneath.broken))
        return bsq_mpi_fail(&mpi->text, BSQ_E_STATE, "an earlier call was given up: the group can only be freed");
    return BSQ_OK;
}

bsq_status_t bsq_mpi_agree(bsq_mpi_t *mpi, bsq_status_t status, const char *text)
{
    struct bsq_mpi_text own = {""};
    struct bsq_mpi_same same;
    bsq_status_t usable;

    if ((usable = bsq_mpi_usable(mpi, false)) != BSQ_OK)
        return usable;
    if (status != BSQ_OK)
        (void)bsq_mpi_fail(&own, status, "%.300s", text && *text ? text : bsq_mpi_status_string(status));
    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_AGREE);
    return bsq_mpi_compare(&mpi->line, &same, status, &own);
}

/* ---- calls to stop ---------------------------------------------------------------------------------------- */

void bsq_mpi_stop(bsq_mpi_t *mpi)
{
    struct bsq_mpi_line *line = &mpi->line;

    if (mpi->stops || line->broken)
        return;
    mpi->stops = bsq_mpi_get(&mpi->memory, line->size, sizeof *mpi->stops);
    for (int rank = 0; mpi->stops && rank < line->size; rank++) {
        mpi->stops[rank] = MPI_REQUEST_NULL;
        if (rank != line->rank)
            (void)bsq_mpi_check(line,
                                MPI_Isend(NULL, 0, MPI_BYTE, rank, BSQ_MPI_TAG_STOP, line->comm, &mpi->stops[rank]));
    }
}

bool bsq_mpi_must_stop(bsq_mpi_t *mpi)
{
    int there = 0;

    if (!mpi->stopped && !mpi->line.broken &&
        bsq_mpi_check(&mpi->line, MPI_Iprobe(MPI_ANY_SOURCE, BSQ_MPI_TAG_STOP, mpi->line.comm, &there,
                                             MPI_STATUS_IGNORE)) == BSQ_OK &&
        there)
        mpi->stopped = true;
    return mpi->stopped || mpi->line.broken || (mpi->parent && bsq_mpi_must_stop(mpi->parent));
}

int32_t bsq_mpi_watch(const bsq_progress_t *progress, void *watch)
{
    const struct bsq_mpi_watch *own = watch;

    return bsq_mpi_must_stop(own->mpi) || (own->next && own->next(progress, own->opaque));
}

int32_t bsq_mpi_progress(const bsq_progress_t *progress, void *mpi)
{
    (void)progress;
    return mpi && bsq_mpi_must_stop(mpi);
}

/* Takes the calls of the ranks that called off the line, so that the next work does not see them. */
static bsq_status_t drain(bsq_mpi_t *mpi)
{
    static const char doing[] = "to hear who called to stop";
    struct bsq_mpi_line *line = &mpi->line;
    bsq_status_t status;

    line->sent[0] = mpi->stops != NULL;
    if ((status = bsq_mpi_all(line, 1, MPI_SUM, doing)) != BSQ_OK)
        return status;
    for (int64_t left = line->got[0] - (mpi->stops != NULL); left > 0 && status == BSQ_OK; left--) {
        MPI_Request request;

        status =
            bsq_mpi_check(line, MPI_Irecv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, BSQ_MPI_TAG_STOP, line->comm, &request));
        if (status == BSQ_OK)
            status = bsq_mpi_wait(line, &request, 1, doing);
    }
    if (mpi->stops && status == BSQ_OK) {
        status = bsq_mpi_wait(line, mpi->stops, line->size, doing);
        if (status == BSQ_OK) {
            bsq_mpi_put(&mpi->memory, mpi->stops);
            mpi->stops = NULL;
        }
    }
    mpi->stopped = false;
    return status;
}

bsq_status_t bsq_mpi_end_work(bsq_mpi_t *mpi, bsq_status_t status, const struct bsq_mpi_text *text)
{
    bool follows = status == BSQ_E_CANCELLED && bsq_mpi_must_stop(mpi);
    bsq_status_t all, failed;

    if (mpi->line.broken)
        return bsq_mpi_fail(&mpi->text, BSQ_MPI_E_COMMUNICATION, "%.300s", mpi->text.text);
    if (status != BSQ_OK && !follows)
        bsq_mpi_stop(mpi);
    all = bsq_mpi_settle(&mpi->line, status, follows, text->text);
    if (all == BSQ_OK || mpi->line.broken)
        return all;
    return (failed = drain(mpi)) == BSQ_OK ? all : failed;
}

/* ---- the input quantizer ---------------------------------------------------------------------------------- */

/* What goes from rank 0 to the others: a header, then scales and zero points of channels. */
struct quantizer {
    bsq_input_quantizer_t plain;
    int64_t channels;
};

static bsq_status_t read_quantizer(bsq_layer_t *layer, struct quantizer *quantizer, double *scales,
                                   int32_t *zero_points, int64_t channels, struct bsq_mpi_text *text)
{
    bsq_status_t status;

    bsq_input_quantizer_init(&quantizer->plain, sizeof quantizer->plain);
    status = bsq_layer_get_input_quantizer(layer, &quantizer->plain);
    if (status == BSQ_OK && quantizer->plain.bits && quantizer->plain.scale_kind == BSQ_INPUT_SCALE_KIND_PER_CHANNEL) {
        quantizer->channels = channels;
        status = bsq_layer_get_input_channels(layer, scales, zero_points, (size_t)channels);
    }
    return status == BSQ_OK ? status : bsq_mpi_fail_layer(text, status, layer);
}

/* Sets it where it is not there already: one that is fixed can be set no more. */
static bsq_status_t write_quantizer(bsq_layer_t *layer, const struct quantizer *quantizer, const double *scales,
                                    const int32_t *zero_points, struct bsq_mpi_text *text)
{
    bsq_status_t status;

    if (!quantizer->plain.bits)
        return BSQ_OK;
    status = quantizer->channels ? bsq_layer_set_input_channels(layer, &quantizer->plain, scales, zero_points,
                                                                (size_t)quantizer->channels)
                                 : bsq_layer_set_input_quantizer(layer, &quantizer->plain);
    return status == BSQ_OK ? status : bsq_mpi_fail_layer(text, status, layer);
}

static bsq_status_t share_quantizer(bsq_mpi_t *mpi, bsq_layer_t *layer, struct quantizer *quantizer, double *scales,
                                    int32_t *zero_points, int64_t channels)
{
    static const char doing[] = "for the input quantizer of rank 0";
    struct bsq_mpi_text text = {""};
    bsq_status_t status = BSQ_OK;

    if (mpi->line.rank == 0)
        status = read_quantizer(layer, quantizer, scales, zero_points, channels, &text);
    if ((status = bsq_mpi_settle(&mpi->line, status, false, text.text)) != BSQ_OK ||
        (status = bsq_mpi_spread(&mpi->line, quantizer, sizeof *quantizer, mpi->piece_bytes, 0, doing)) != BSQ_OK ||
        (status = bsq_mpi_spread(&mpi->line, scales, quantizer->channels * (int64_t)sizeof *scales, mpi->piece_bytes, 0,
                                 doing)) != BSQ_OK ||
        (status = bsq_mpi_spread(&mpi->line, zero_points, quantizer->channels * (int64_t)sizeof *zero_points,
                                 mpi->piece_bytes, 0, doing)) != BSQ_OK)
        return status;
    status = write_quantizer(layer, quantizer, scales, zero_points, &text);
    return bsq_mpi_settle(&mpi->line, status, false, text.text);
}

bsq_status_t bsq_mpi_share_quantizer(bsq_mpi_t *mpi, bsq_layer_t *layer)
{
    struct bsq_mpi_text text = {""};
    struct bsq_mpi_same same;
    bsq_layer_info_t info;
    bsq_status_t status;

    if ((status = bsq_mpi_usable(mpi, false)) != BSQ_OK)
        return status;
    bsq_layer_info_init(&info, sizeof info);
    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_QUANTIZER);
    if ((status = bsq_layer_info(layer, &info)) != BSQ_OK)
        (void)bsq_mpi_fail_layer(&text, status, layer);
    bsq_mpi_same_integer(&same, "in_channels", info.in_channels);

    /* One block, which stays where MPI may still write into it. */
    int64_t channels = info.in_channels;
    struct quantizer *quantizer =
        bsq_mpi_get(&mpi->memory, 1, sizeof *quantizer + (size_t)channels * (sizeof(double) + sizeof(int32_t)));
    double *scales = (double *)(quantizer + 1);

    if (!quantizer && status == BSQ_OK)
        status = bsq_mpi_fail_memory(&text);
    if ((status = bsq_mpi_compare(&mpi->line, &same, status, &text)) == BSQ_OK)
        status = share_quantizer(mpi, layer, quantizer, scales, (int32_t *)(scales + channels), channels);
    if (!mpi->line.broken)
        bsq_mpi_put(&mpi->memory, quantizer);
    return status;
}
