/* The result of a part as bytes, which only ranks of the same library exchange, and parts put together again. */
#include "mpi/private.h"

#include <math.h>
#include <string.h>

/* What stands in front; then follow, each from a multiple of 8 bytes on: channels, stages, scales, zero points,
 * offsets, levels, bias, codes. */
struct header {
    int64_t size;
    bsq_report_t report;
    bsq_tensor_t tensor; /* its buffers are offsets from the header */
};

/* Pointers into the bytes. */
struct view {
    struct header *header;
    bsq_channel_t *channels;
    bsq_stage_t *stages;
    float *scales;
    int32_t *zero_points;
    float *offsets;
    int8_t *levels;
    float *bias;
    int8_t *codes;
};

static void *take(char *base, int64_t *at, int64_t count, size_t size)
{
    void *place = base ? base + *at : NULL;

    *at += ((int64_t)((size_t)count * size) + 7) / 8 * 8;
    return place;
}

/* Lays the parts out; NULL only counts. */
static int64_t lay_out(void *bytes, const bsq_tensor_t *tensor, int32_t stages, struct view *view)
{
    int64_t at = 0;

    view->header = take(bytes, &at, 1, sizeof *view->header);
    view->channels = take(bytes, &at, tensor->channels, sizeof *view->channels);
    view->stages = take(bytes, &at, stages, sizeof *view->stages);
    view->scales = take(bytes, &at, tensor->scale_count, sizeof *view->scales);
    view->zero_points = take(bytes, &at, tensor->zero_point_count, sizeof *view->zero_points);
    view->offsets = take(bytes, &at, tensor->offset_count, sizeof *view->offsets);
    view->levels = take(bytes, &at, tensor->level_count, sizeof *view->levels);
    view->bias = take(bytes, &at, tensor->channels, sizeof *view->bias);
    view->codes = take(bytes, &at, tensor->code_count, sizeof *view->codes);
    return at;
}

static struct view view_of(void *bytes)
{
    struct header *header = bytes;
    struct view view;

    (void)lay_out(bytes, &header->tensor, header->report.stages, &view);
    return view;
}

/* Makes a tensor's buffers those of the bytes. */
static void point(bsq_tensor_t *tensor, const struct view *view)
{
    tensor->codes = view->codes;
    tensor->scales = view->scales;
    tensor->zero_points = tensor->zero_point_count ? view->zero_points : NULL;
    tensor->offsets = tensor->offset_count ? view->offsets : NULL;
    tensor->levels = tensor->level_count ? view->levels : NULL;
}

/* ---- one part --------------------------------------------------------------------------------------------- */

static bsq_status_t describe(bsq_layer_t *layer, bsq_tensor_t *tensor, bsq_report_t *report, struct bsq_mpi_text *text)
{
    bsq_status_t status;

    bsq_tensor_init(tensor, sizeof *tensor);
    bsq_report_init(report, sizeof *report);
    if ((status = bsq_layer_get_tensor(layer, tensor)) != BSQ_OK ||
        (status = bsq_layer_get_report(layer, report)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    return BSQ_OK;
}

bsq_status_t bsq_mpi_result_size(bsq_layer_t *layer, int64_t *size, struct bsq_mpi_text *text)
{
    struct view view;
    bsq_tensor_t tensor;
    bsq_report_t report;
    bsq_status_t status = describe(layer, &tensor, &report, text);

    if (status == BSQ_OK)
        *size = lay_out(NULL, &tensor, report.stages, &view);
    return status;
}

bsq_status_t bsq_mpi_result_write(bsq_layer_t *layer, void *bytes, int64_t size, struct bsq_mpi_text *text)
{
    struct header *header = bytes;
    struct view view;
    bsq_tensor_t tensor;
    bsq_status_t status = describe(layer, &header->tensor, &header->report, text);

    if (status != BSQ_OK)
        return status;
    header->size = size;
    (void)lay_out(bytes, &header->tensor, header->report.stages, &view);
    tensor = header->tensor;
    point(&tensor, &view);
    if ((status = bsq_layer_get_tensor(layer, &tensor)) != BSQ_OK ||
        (status = bsq_layer_get_bias(layer, view.bias, (size_t)tensor.channels)) != BSQ_OK)
        return bsq_mpi_fail_layer(text, status, layer);
    for (int32_t i = 0; i < header->report.stages && status == BSQ_OK; i++) {
        bsq_stage_init(&view.stages[i], sizeof *view.stages);
        status = bsq_layer_get_stage_report(layer, i, &view.stages[i]);
    }
    for (int64_t m = 0; m < tensor.channels && status == BSQ_OK; m++) {
        bsq_channel_init(&view.channels[m], sizeof *view.channels);
        status = bsq_layer_get_channel_report(layer, m, &view.channels[m]);
    }
    return status == BSQ_OK ? status : bsq_mpi_fail_layer(text, status, layer);
}

/* ---- reports put together --------------------------------------------------------------------------------- */

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

/* Adds a part's report to the sums of those before; shares of the energy are energies on the way. */
static void add_report(bsq_report_t *sum, const bsq_report_t *part, bool shares_inputs)
{
    sum->objective_start += part->objective_start;
    sum->lower_bound += part->lower_bound * part->objective;
    sum->objective += part->objective;
    sum->energy += part->energy;
    sum->error += part->error * part->energy;
    sum->error_start += part->error_start * part->energy;
    sum->error_floor += part->error_floor * part->energy;
    sum->error_uncorrected += part->error_uncorrected * part->energy;
    sum->error_corrected += part->error_corrected * part->energy;
    sum->held_out_error += part->held_out_error * part->held_out_energy;
    sum->held_out_energy += part->held_out_energy;
    sum->seconds += part->seconds;
    sum->channels_improved += part->channels_improved;
    sum->dead_outputs += part->dead_outputs;
    sum->channels_proven += part->channels_proven;
    sum->dead_inputs = shares_inputs ? part->dead_inputs : sum->dead_inputs + part->dead_inputs;
    sum->sweeps += part->sweeps;
    sum->warnings |= part->warnings;
    if (part->outcome == BSQ_OUTCOME_LIMIT)
        sum->outcome = BSQ_OUTCOME_LIMIT;
}

/* Makes shares of energies again. What is -1 in a part, for it is not known, is so in all. */
static void finish_report(bsq_report_t *sum, const bsq_report_t *first, int64_t channels)
{
    sum->lower_bound = ratio(sum->lower_bound, sum->objective);
    sum->error = ratio(sum->error, sum->energy);
    sum->error_start = ratio(sum->error_start, sum->energy);
    sum->error_floor = ratio(sum->error_floor, sum->energy);
    sum->error_uncorrected = ratio(sum->error_uncorrected, sum->energy);
    sum->error_corrected = first->error_corrected < 0.0 ? -1.0 : ratio(sum->error_corrected, sum->energy);
    sum->held_out_error = first->held_out_error < 0.0 ? -1.0 : ratio(sum->held_out_error, sum->held_out_energy);
    sum->weight_error = -1.0; /* computed from the weights */
    if (first->outcome != BSQ_OUTCOME_NONE && sum->outcome != BSQ_OUTCOME_LIMIT)
        sum->outcome = sum->channels_proven == channels ? BSQ_OUTCOME_PROVEN : BSQ_OUTCOME_CONVERGED;
}

static bsq_report_t join_reports(void *const *bytes, int64_t parts, int64_t channels, bool shares_inputs)
{
    const bsq_report_t *first = &((const struct header *)bytes[0])->report;
    bsq_report_t sum = *first;

    if (parts == 1)
        return sum;
    sum.objective_start = sum.objective = sum.energy = sum.error = sum.error_start = sum.error_floor = 0.0;
    sum.held_out_error = sum.held_out_energy = sum.error_uncorrected = sum.error_corrected = sum.seconds = 0.0;
    sum.lower_bound = 0.0;
    sum.sweeps = sum.channels_improved = sum.dead_inputs = sum.dead_outputs = sum.channels_proven = 0;
    for (int64_t p = 0; p < parts; p++)
        add_report(&sum, &((const struct header *)bytes[p])->report, shares_inputs);
    finish_report(&sum, first, channels);
    return sum;
}

/* Gives a part's stage; where it did not run, what would have been before and after it. */
static bsq_stage_t stage_of(const struct view *view, const bsq_stage_t *like)
{
    bsq_stage_t stage = *like;
    int32_t stages = view->header->report.stages;

    for (int32_t i = 0; i < stages; i++)
        if (view->stages[i].stage == like->stage && view->stages[i].effort == like->effort)
            return view->stages[i];
    stage.objective_before = stage.objective_after = stages ? view->stages[stages - 1].objective_after : 0.0;
    stage.seconds = 0.0;
    stage.sweeps = 0;
    return stage;
}

/* Adds up stages, by the list of the part that has most of them. */
static int32_t join_stages(void *const *bytes, int64_t parts, bsq_stage_t *stages)
{
    struct view longest = view_of(bytes[0]);

    for (int64_t p = 1; p < parts; p++)
        if (((const struct header *)bytes[p])->report.stages > longest.header->report.stages)
            longest = view_of(bytes[p]);
    for (int32_t i = 0; stages && i < longest.header->report.stages; i++) {
        stages[i] = longest.stages[i];
        stages[i].objective_before = stages[i].objective_after = stages[i].seconds = 0.0;
        stages[i].sweeps = 0;
        for (int64_t p = 0; p < parts; p++) {
            struct view view = view_of(bytes[p]);
            bsq_stage_t part = stage_of(&view, &longest.stages[i]);

            stages[i].objective_before += part.objective_before;
            stages[i].objective_after += part.objective_after;
            stages[i].seconds += part.seconds;
            stages[i].sweeps += part.sweeps;
        }
    }
    return longest.header->report.stages;
}

/* ---- parts put together ----------------------------------------------------------------------------------- */

/* Counts what all parts have. */
static bsq_tensor_t join_counts(void *const *bytes, int64_t parts)
{
    bsq_tensor_t sum = ((const struct header *)bytes[0])->tensor;

    for (int64_t p = 1; p < parts; p++) {
        const bsq_tensor_t *part = &((const struct header *)bytes[p])->tensor;

        sum.channels += part->channels;
        sum.code_count += part->code_count;
        sum.scale_count += part->scale_count;
        sum.zero_point_count += part->zero_point_count;
        sum.offset_count += part->offset_count;
    }
    return sum;
}

static void copy(void *to, int64_t at, const void *from, int64_t count, size_t size)
{
    if (count)
        memcpy((char *)to + (size_t)at * size, from, (size_t)count * size);
}

static void join_buffers(void *const *bytes, int64_t parts, const struct view *to)
{
    bsq_tensor_t at = {.channels = 0};

    for (int64_t p = 0; p < parts; p++) {
        struct view view = view_of(bytes[p]);
        const bsq_tensor_t *part = &view.header->tensor;

        copy(to->channels, at.channels, view.channels, part->channels, sizeof *view.channels);
        copy(to->bias, at.channels, view.bias, part->channels, sizeof *view.bias);
        copy(to->codes, at.code_count, view.codes, part->code_count, sizeof *view.codes);
        copy(to->scales, at.scale_count, view.scales, part->scale_count, sizeof *view.scales);
        copy(to->zero_points, at.zero_point_count, view.zero_points, part->zero_point_count, sizeof *view.zero_points);
        copy(to->offsets, at.offset_count, view.offsets, part->offset_count, sizeof *view.offsets);
        if (p == 0)
            copy(to->levels, 0, view.levels, part->level_count, sizeof *view.levels);
        at.channels += part->channels;
        at.code_count += part->code_count;
        at.scale_count += part->scale_count;
        at.zero_point_count += part->zero_point_count;
        at.offset_count += part->offset_count;
    }
}

bsq_status_t bsq_mpi_result_join(bsq_layer_t *layer, void *const *bytes, int64_t parts,
                                 const struct bsq_mpi_memory *memory, struct bsq_mpi_text *text)
{
    bsq_tensor_t tensor = join_counts(bytes, parts);
    int32_t stages = join_stages(bytes, parts, NULL);
    bsq_layer_info_t info;
    struct view view;
    void *whole = bsq_mpi_get(memory, lay_out(NULL, &tensor, stages, &view), 1);
    bsq_status_t status;

    if (!whole)
        return bsq_mpi_fail_memory(text);
    bsq_layer_info_init(&info, sizeof info);
    if ((status = bsq_layer_info(layer, &info)) == BSQ_OK) {
        bsq_report_t report = join_reports(bytes, parts, tensor.channels, info.groups == 1);

        (void)lay_out(whole, &tensor, stages, &view);
        report.stages = join_stages(bytes, parts, view.stages);
        join_buffers(bytes, parts, &view);
        point(&tensor, &view);
        if (tensor.weight_grid != BSQ_WEIGHT_GRID_LEVELS) { /* a named grid's levels are read only, as its name says */
            tensor.levels = NULL;
            tensor.level_count = 0;
        }
        status = bsq_layer_set_result(layer, &tensor, view.bias, &report, view.stages, view.channels);
    }
    bsq_mpi_put(memory, whole);
    return status == BSQ_OK ? status : bsq_mpi_fail_layer(text, status, layer);
}
