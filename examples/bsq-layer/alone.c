/* One process does all of the work. */
#include "messages.h"
#include "ranks.h"

void ranks_begin(int *count, char ***words)
{
    (void)count;
    (void)words;
}

int ranks_end(int status)
{
    return status;
}

int ranks_first(void)
{
    return 1;
}

int ranks_agree(int status)
{
    return status;
}

int ranks_stream(struct work *work, int status)
{
    const int passes = work->settings->options.input_bits > 0 ? 2 : 1;
    for (int pass = 0; pass < passes && status == 0; pass++) {
        for (int32_t i = 0; i < work->settings->input.count; i++) {
            status = stream_batch(work, i, pass + 1 < passes);
            if (status != 0 || interrupted) {
                return status;
            }
        }
    }
    return status;
}

int ranks_solve(struct work *work, bsq_report_t *report)
{
    return bsq_optimize(work->layer, report) == BSQ_OK ? 0 : complain_layer(work->layer, "solve");
}
