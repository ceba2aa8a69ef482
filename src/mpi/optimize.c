/* The solve of one layer over ranks: output channels in parts of fixed extent, each a layer of its own. */
#include "mpi/private.h"

#include <string.h>

/* What one call works with. */
struct optimizing {
    bsq_mpi_t *mpi;
    bsq_layer_t *layer;
    bsq_layer_info_t info;
    bsq_options_t options;
    int64_t parts;
    int64_t first, end; /* this rank's */
    void **bytes;       /* parts: their results */
    struct bsq_mpi_text text;
};

/* Says whether the solve chooses something for all channels together, which parts cannot. */
static bool is_whole(const bsq_options_t *options)
{
    return options->scale_kind == BSQ_SCALE_KIND_PER_TENSOR || options->select_on_held_out || options->keep_scales ||
           (options->scale_format == BSQ_SCALE_FORMAT_E4M3 && !(options->scale_unit > 0.0F));
}

/* Gives the channels of a part: whole groups, where there are several. */
static void channels_of(const struct optimizing *work, int64_t part, int64_t *first, int64_t *count)
{
    int64_t unit = work->info.groups > 1 ? work->info.out_channels / work->info.groups : 1, end;

    bsq_mpi_share_of(work->info.out_channels / unit, part, work->parts, first, &end);
    *count = (end - *first) * unit;
    *first *= unit;
}

/* ---- one part --------------------------------------------------------------------------------------------- */

/* Gives a part the result whose scales it is to keep. */
static bsq_status_t bring_result(struct optimizing *work, bsq_layer_t *slice)
{
    int64_t size = 0;
    void *bytes;
    bsq_status_t status = bsq_mpi_result_size(work->layer, &size, &work->text);

    if (status != BSQ_OK)
        return status;
    if (!(bytes = bsq_mpi_get(&work->mpi->memory, size, 1)))
        return bsq_mpi_fail_memory(&work->text);
    if ((status = bsq_mpi_result_write(work->layer, bytes, size, &work->text)) == BSQ_OK)
        status = bsq_mpi_result_join(slice, &bytes, 1, &work->mpi->memory, &work->text);
    bsq_mpi_put(&work->mpi->memory, bytes);
    return status;
}

static bsq_status_t solve_slice(struct optimizing *work, bsq_layer_t *slice, void **bytes)
{
    struct bsq_mpi_watch watch = {work->mpi, work->options.progress, work->options.progress_opaque};
    bsq_options_t options = work->options;
    int64_t size = 0;
    bsq_status_t status;

    options.progress = bsq_mpi_watch;
    options.progress_opaque = &watch;
    if (options.keep_scales && (status = bring_result(work, slice)) != BSQ_OK)
        return status;
    if ((status = bsq_layer_set_options(slice, &options)) != BSQ_OK || (status = bsq_optimize(slice, NULL)) != BSQ_OK)
        return bsq_mpi_fail_layer(&work->text, status, slice);
    if ((status = bsq_mpi_result_size(slice, &size, &work->text)) != BSQ_OK)
        return status;
    if (!(*bytes = bsq_mpi_get(&work->mpi->memory, size, 1)))
        return bsq_mpi_fail_memory(&work->text);
    return bsq_mpi_result_write(slice, *bytes, size, &work->text);
}

static bsq_status_t solve_part(struct optimizing *work, int64_t part)
{
    int64_t first, count;
    bsq_layer_t *slice = NULL;
    bsq_status_t status;

    channels_of(work, part, &first, &count);
    if ((status = bsq_layer_slice(work->layer, first, count, &slice)) != BSQ_OK)
        return bsq_mpi_fail_layer(&work->text, status, work->layer);
    status = solve_slice(work, slice, &work->bytes[part]);
    bsq_layer_free(slice);
    return status;
}

/* ---- all parts to all ranks ------------------------------------------------------------------------------- */

static bsq_status_t spread_part(struct optimizing *work, int64_t part)
{
    static const char doing[] = "for the result of another rank's channels";
    struct bsq_mpi_line *line = &work->mpi->line;
    int owner = bsq_mpi_rank_of(work->parts, line->size, part);
    bsq_status_t status;

    if (owner == line->rank)
        memcpy(line->sent, work->bytes[part], sizeof *line->sent); /* the size stands in front */
    if ((status = bsq_mpi_from(line, 1, owner, doing)) != BSQ_OK)
        return status;

    int64_t size = line->got[0];

    if (owner != line->rank && !(work->bytes[part] = bsq_mpi_get(&work->mpi->memory, size, 1)))
        status = bsq_mpi_fail_memory(&work->text);
    if ((status = bsq_mpi_settle(line, status, false, work->text.text)) != BSQ_OK)
        return status;
    return bsq_mpi_spread(line, work->bytes[part], size, work->mpi->piece_bytes, owner, doing);
}

/* Solves this rank's parts, gathers all of them, and makes them one result. */
static bsq_status_t solve_and_gather(struct optimizing *work)
{
    bsq_mpi_t *mpi = work->mpi;
    bsq_status_t status = BSQ_OK;

    for (int64_t part = work->first; part < work->end && status == BSQ_OK; part++)
        status = bsq_mpi_must_stop(mpi) ? bsq_mpi_fail(&work->text, BSQ_E_CANCELLED, "stopped by another rank")
                                        : solve_part(work, part);
    if ((status = bsq_mpi_end_work(mpi, status, &work->text)) != BSQ_OK)
        return status;
    for (int64_t part = 0; part < work->parts && status == BSQ_OK; part++)
        status = spread_part(work, part);
    return status;
}

/* ---- the call --------------------------------------------------------------------------------------------- */

/* Makes ready, and lists what must be the same; the text is this rank's own. */
static bsq_status_t prepare(struct optimizing *work, struct bsq_mpi_same *same)
{
    int64_t most, weights = 0, statistics = 0;
    bsq_status_t status = bsq_mpi_same_layer(same, work->layer, &work->text);

    if (status != BSQ_OK)
        return status;
    bsq_layer_info_init(&work->info, sizeof work->info);
    bsq_options_init(&work->options, sizeof work->options);
    if ((status = bsq_layer_info(work->layer, &work->info)) != BSQ_OK ||
        (status = bsq_layer_get_options(work->layer, &work->options)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(work->layer, BSQ_FINGERPRINT_WEIGHTS, &weights)) != BSQ_OK ||
        (status = bsq_layer_fingerprint(work->layer, BSQ_FINGERPRINT_STATISTICS, &statistics)) != BSQ_OK)
        return bsq_mpi_fail_layer(&work->text, status, work->layer);
    bsq_mpi_same_options(same, &work->options);
    bsq_mpi_same_hidden(same, "the weights", weights);
    bsq_mpi_same_integer(same, "what there is of statistics",
                         work->info.state & ~(BSQ_STATE_RESULT | BSQ_STATE_OBSERVED));
    bsq_mpi_same_hidden(same, "the statistics", statistics);
    if (work->parts < 1)
        return bsq_mpi_fail(&work->text, BSQ_E_RANGE, "parts is %lld, must be positive", (long long)work->parts);
    most = work->info.groups > 1 ? work->info.groups : work->info.out_channels;
    if (work->parts > most)
        work->parts = most;
    if (is_whole(&work->options))
        work->parts = 1;
    bsq_mpi_share_of(work->parts, work->mpi->line.rank, work->mpi->line.size, &work->first, &work->end);
    work->bytes = bsq_mpi_get(&work->mpi->memory, work->parts, sizeof *work->bytes);
    return work->bytes ? BSQ_OK : bsq_mpi_fail_memory(&work->text);
}

static void release(struct optimizing *work)
{
    if (work->mpi->line.broken)
        return; /* MPI may still write into it */
    for (int64_t part = 0; work->bytes && part < work->parts; part++)
        bsq_mpi_put(&work->mpi->memory, work->bytes[part]);
    bsq_mpi_put(&work->mpi->memory, work->bytes);
}

/* Puts the result together on a twin first, so that no layer has changed when another rank fails at it. */
static bsq_status_t put_together(struct optimizing *work)
{
    bsq_mpi_t *mpi = work->mpi;
    bsq_layer_t *twin = NULL;
    bsq_status_t status = bsq_layer_clone(work->layer, &twin);

    if (status != BSQ_OK)
        (void)bsq_mpi_fail_layer(&work->text, status, work->layer);
    else
        status = bsq_mpi_result_join(twin, work->bytes, work->parts, &mpi->memory, &work->text);
    bsq_layer_free(twin);
    status = bsq_mpi_settle(&mpi->line, status, false, work->text.text);
    if (status != BSQ_OK)
        return status;
    status = bsq_mpi_result_join(work->layer, work->bytes, work->parts, &mpi->memory, &work->text);
    return bsq_mpi_settle(&mpi->line, status, false, work->text.text);
}

bsq_status_t bsq_mpi_optimize(bsq_mpi_t *mpi, bsq_layer_t *layer, int64_t parts, bsq_report_t *report)
{
    struct optimizing work = {.mpi = mpi, .layer = layer, .parts = parts};
    struct bsq_mpi_same same;
    bsq_status_t status;

    if ((status = bsq_mpi_usable(mpi, false)) != BSQ_OK)
        return status;
    bsq_mpi_same_begin(&same, BSQ_MPI_CALL_OPTIMIZE);
    bsq_mpi_same_integer(&same, "parts", parts);
    status = prepare(&work, &same);
    if ((status = bsq_mpi_compare(&mpi->line, &same, status, &work.text)) == BSQ_OK &&
        (status = solve_and_gather(&work)) == BSQ_OK)
        status = put_together(&work);
    release(&work);
    if (status == BSQ_OK && report && (status = bsq_layer_get_report(layer, report)) != BSQ_OK)
        (void)bsq_mpi_fail_layer(&mpi->text, status, layer);
    return status;
}
