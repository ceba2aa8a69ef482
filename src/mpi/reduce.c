/* The calls that make the shards of all ranks the statistics of a layer. */
#include "mpi/private.h"

#include <string.h>

static bsq_status_t check_given(bsq_mpi_t *mpi, const bsq_mpi_sum_t *sum)
{
    bsq_status_t status;

    if ((status = bsq_mpi_usable(mpi, true)) != BSQ_OK)
        return status;
    if (!sum || sum->mpi != mpi)
        return bsq_mpi_fail(&mpi->text, BSQ_E_ARGUMENT, sum ? "the sum is that of another group" : "'sum' is NULL");
    return BSQ_OK;
}

/* Checks what this rank brings; the text is its own. */
static bsq_status_t check_ready(const bsq_mpi_t *mpi, const bsq_mpi_sum_t *sum, struct bsq_mpi_text *text)
{
    if (mpi->under_way)
        return bsq_mpi_fail(text, BSQ_E_STATE, "another sum is under way");
    if (sum->next != sum->end)
        return bsq_mpi_fail(text, BSQ_E_STATE, "shard %lld of this rank's share %lld..%lld was not added",
                            (long long)sum->next, (long long)sum->first, (long long)sum->end - 1);
    return BSQ_OK;
}

/* Agrees on how many numbers there are: ranks without rows learn it, and whose differ are refused. */
static bsq_status_t agree_on_count(bsq_mpi_t *mpi, const bsq_mpi_sum_t *sum, int64_t *count)
{
    struct bsq_mpi_line *line = &mpi->line;
    struct bsq_mpi_text text = {""};
    bsq_status_t status;

    line->sent[0] = sum->count;
    line->sent[1] = sum->count ? sum->description : INT64_MIN;
    line->sent[2] = sum->count ? sum->inputs : INT64_MIN;
    if ((status = bsq_mpi_all(line, 3, MPI_MAX, "for the others' statistics")) != BSQ_OK)
        return status;
    *count = line->got[0];
    if (sum->count == 0)
        status = BSQ_OK;
    else if (sum->description != line->got[1])
        status = bsq_mpi_fail(&text, BSQ_MPI_E_DIFFERENT, "the layer's description: not the same on all ranks");
    else if (sum->inputs != line->got[2])
        status = bsq_mpi_fail(&text, BSQ_MPI_E_DIFFERENT, "the input quantizer: not the same on all ranks");
    else if (sum->count != line->got[0])
        status = bsq_mpi_fail(&text, BSQ_MPI_E_DIFFERENT, "targets: some ranks have them, this one has none");
    return bsq_mpi_settle(line, status, false, text.text);
}

/* ---- under way -------------------------------------------------------------------------------------------- */

static void *run_thread(void *exchange)
{
    struct bsq_mpi_exchange *own = exchange;

    own->status = bsq_mpi_exchange_run(own);
    return NULL;
}

/* Gives a thread of its own to the exchange, where MPI allows that two talk; else it is run when it is waited for. */
static void start_thread(struct bsq_mpi_exchange *exchange)
{
    int level = MPI_THREAD_SINGLE;

    if (MPI_Query_thread(&level) == MPI_SUCCESS && level == MPI_THREAD_MULTIPLE)
        exchange->threaded = pthread_create(&exchange->thread, NULL, run_thread, exchange) == 0;
}

/* Makes ready what an exchange needs; the text is this rank's own. */
static bsq_status_t make_exchange(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, int64_t count, struct bsq_mpi_text *text)
{
    struct bsq_mpi_exchange *exchange = bsq_mpi_get(&sum->memory, 1, sizeof *exchange);

    if (!exchange)
        return bsq_mpi_fail_memory(text);
    if (!bsq_mpi_exchange_create(exchange, &mpi->beneath, sum, count, mpi->piece_bytes)) {
        bsq_mpi_exchange_free(exchange);
        bsq_mpi_put(&sum->memory, exchange);
        return bsq_mpi_fail_memory(text);
    }
    sum->exchange = exchange;
    return BSQ_OK;
}

/* Ends an exchange. What MPI may still use of a broken one is left to it. */
static void drop_exchange(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum)
{
    struct bsq_mpi_exchange *exchange = sum->exchange;

    mpi->under_way = NULL;
    sum->exchange = NULL;
    if (!exchange)
        return;
    if (mpi->beneath.broken) {
        sum->lent = true;
        return;
    }
    bsq_mpi_exchange_free(exchange);
    bsq_mpi_put(&sum->memory, exchange);
}

/* ---- the calls -------------------------------------------------------------------------------------------- */

/* Begins for 'layer', where it is known already. */
static bsq_status_t begin(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int call)
{
    struct bsq_mpi_text text = {""};
    struct bsq_mpi_same same;
    int64_t count = 0;
    bsq_status_t status = check_ready(mpi, sum, &text);

    bsq_mpi_same_begin(&same, call);
    bsq_mpi_same_integer(&same, "shards", sum->shards);
    if (call == BSQ_MPI_CALL_REDUCE && status == BSQ_OK)
        status = bsq_mpi_same_layer(&same, layer, &text);
    if ((status = bsq_mpi_compare(&mpi->line, &same, status, &text)) != BSQ_OK ||
        (status = agree_on_count(mpi, sum, &count)) != BSQ_OK)
        return status;
    status = count > 0 ? make_exchange(mpi, sum, count, &text) : BSQ_OK;
    if ((status = bsq_mpi_settle(&mpi->line, status, false, text.text)) != BSQ_OK)
        drop_exchange(mpi, sum);
    else
        mpi->under_way = sum;
    return status;
}

/* Waits until the numbers of all are there. */
static bsq_status_t finish(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum)
{
    struct bsq_mpi_exchange *exchange = sum->exchange;

    if (!exchange)
        return BSQ_OK;
    if (exchange->threaded)
        (void)pthread_join(exchange->thread, NULL);
    else
        (void)run_thread(exchange);
    if (exchange->status != BSQ_OK)
        (void)bsq_mpi_fail(&mpi->text, exchange->status, "%.300s", mpi->beneath_text.text);
    return exchange->status;
}

/* Makes statistics of the numbers on a twin of the layer, so that nothing has changed when another rank fails at it. */
static bsq_status_t make_statistics(const struct bsq_mpi_exchange *exchange, bsq_layer_t *layer, int32_t held_out,
                                    bsq_stats_t **stats, struct bsq_mpi_text *text)
{
    bsq_layer_t *twin = NULL;
    bsq_status_t status = bsq_layer_clone(layer, &twin);

    if (status != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    if ((status = bsq_layer_add_sums(twin, held_out, exchange->whole, (size_t)exchange->count)) != BSQ_OK ||
        (status = bsq_layer_acquire_stats(twin, held_out, stats)) != BSQ_OK)
        (void)bsq_mpi_fail_layer(text, status, twin);
    bsq_layer_free(twin);
    return status;
}

/* Checks that a layer can take what the sum is of. */
static bsq_status_t check_layer(const bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out,
                                struct bsq_mpi_text *text)
{
    bsq_layer_info_t info;
    int64_t inputs = 0, description = 0;
    bsq_status_t status;

    bsq_layer_info_init(&info, sizeof info);
    if ((status = bsq_layer_info(layer, &info)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_INPUTS, &inputs)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(layer, BSQ_FINGERPRINT_DESCRIPTION, &description)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    if (held_out != 0 && held_out != 1)
        return bsq_mpi_fail(text, BSQ_E_RANGE, "held_out is %d, not 0 or 1", (int)held_out);
    if (info.state & (held_out ? BSQ_STATE_HELD_OUT : BSQ_STATE_STATISTICS))
        return bsq_mpi_fail(text, BSQ_E_STATE, "the layer has %sstatistics already", held_out ? "held-out " : "");
    if (sum->count && description != sum->description)
        return bsq_mpi_fail(text, BSQ_E_MISMATCH, "the shards are those of a layer of another description");
    if (sum->count && inputs != sum->inputs)
        return bsq_mpi_fail(text, BSQ_E_MISMATCH, "the shards' inputs are quantized in another way");
    return BSQ_OK;
}

static bsq_status_t end(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out)
{
    struct bsq_mpi_text text = {""};
    const struct bsq_mpi_exchange *exchange = sum->exchange;
    bsq_stats_t *stats = NULL;
    struct bsq_mpi_same same;
    bsq_status_t status = finish(mpi, sum);

    if (status != BSQ_OK)
        return status;
    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_END);
    bsq_mpi_same_integer(&same, "held_out", held_out);
    if ((status = bsq_mpi_same_layer(&same, layer, &text)) == BSQ_OK)
        status = check_layer(sum, layer, held_out, &text);
    if ((status = bsq_mpi_compare(&mpi->line, &same, status, &text)) != BSQ_OK || !exchange)
        return status;
    status = make_statistics(exchange, layer, held_out, &stats, &text);
    status = bsq_mpi_settle(&mpi->line, status, false, text.text);
    if (status == BSQ_OK && (status = bsq_layer_merge_stats(layer, held_out, stats)) != BSQ_OK)
        (void)bsq_mpi_fail_layer(&mpi->text, status, layer); /* of an empty layer: it takes a reference */
    bsq_stats_release(stats);
    return status;
}

/* Ends what is under way; the sum is empty after success. */
static bsq_status_t end_and_drop(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out)
{
    bsq_status_t status = end(mpi, sum, layer, held_out);

    drop_exchange(mpi, sum);
    if (status == BSQ_OK)
        bsq_mpi_sum_clear(sum);
    return status;
}

bsq_status_t bsq_mpi_reduce_begin(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum)
{
    bsq_status_t status = check_given(mpi, sum);

    if (status != BSQ_OK || (status = begin(mpi, sum, NULL, BSQ_MPI_CALL_BEGIN)) != BSQ_OK)
        return status;
    if (sum->exchange)
        start_thread(sum->exchange);
    return BSQ_OK;
}

bsq_status_t bsq_mpi_reduce_end(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out)
{
    bsq_status_t status = check_given(mpi, sum);

    if (status != BSQ_OK)
        return status;
    if (mpi->under_way != sum)
        return bsq_mpi_fail(&mpi->text, BSQ_E_STATE, "the sum is not under way");
    return end_and_drop(mpi, sum, layer, held_out);
}

bsq_status_t bsq_mpi_reduce(bsq_mpi_t *mpi, bsq_mpi_sum_t *sum, bsq_layer_t *layer, int32_t held_out)
{
    bsq_status_t status = check_given(mpi, sum);

    if (status != BSQ_OK || (status = begin(mpi, sum, layer, BSQ_MPI_CALL_REDUCE)) != BSQ_OK)
        return status;
    return end_and_drop(mpi, sum, layer, held_out);
}
