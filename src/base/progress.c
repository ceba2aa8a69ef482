/* The host's progress callback, asked one way by all. */
#include "base/progress.h"

bool bsq_progress_stops(const bsq_options_t *options, const bsq_progress_t *progress)
{
    return options && options->progress && options->progress(progress, options->progress_opaque) != 0;
}

bsq_status_t bsq_progress_report(const bsq_options_t *options, int32_t stage, int64_t done, int64_t total,
                                 struct bsq_message *message)
{
    bsq_progress_t progress = {.struct_size = sizeof progress,
                               .fraction = (double)done / (double)total,
                               .done = done,
                               .total = total,
                               .stage = stage};

    return bsq_progress_stops(options, &progress) ? bsq_fail_cancelled(message) : BSQ_OK;
}

bsq_status_t bsq_fail_cancelled(struct bsq_message *message)
{
    return bsq_fail(message, BSQ_E_CANCELLED, "cancelled: the progress callback asked to stop");
}
