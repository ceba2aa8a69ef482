/* Checks of a batch before any of its rows counts. */
#include "stats/private.h"

#include "base/finite.h"

#include <float.h>
#include <math.h>

/* Counts size * a * b floats; false when they do not fit memory. */
static bool count_values(int64_t size, int64_t a, int64_t b, int64_t *values)
{
    int64_t bytes;

    return bsq_extent_mul(a, b, values) && bsq_extent_mul(*values, size, values) &&
           bsq_extent_mul(*values, (int64_t)sizeof(float), &bytes) && (uint64_t)bytes <= SIZE_MAX;
}

static bsq_status_t check_weights(const bsq_batch_t *batch, int64_t rows, struct bsq_message *message)
{
    int64_t count = batch->row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? rows : batch->size;

    if (batch->row_weights_kind != BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE &&
        batch->row_weights_kind != BSQ_ROW_WEIGHTS_KIND_PER_ROW)
        return bsq_fail(message, BSQ_E_ARGUMENT, "row_weights_kind %d is unknown", (int)batch->row_weights_kind);
    if (!batch->row_weights)
        return BSQ_OK;

    bsq_status_t status = bsq_check_finite("row_weights", batch->row_weights, count, message);

    for (int64_t i = 0; status == BSQ_OK && i < count; i++)
        if (batch->row_weights[i] < 0)
            status = bsq_fail(message, BSQ_E_RANGE, "row_weights[%lld] is %g, must not be negative", (long long)i,
                              (double)batch->row_weights[i]);
    return status;
}

/* Counts the values of one channel of one sample, and of its output. */
static bsq_status_t check_extents(const struct bsq_geometry *geometry, const bsq_batch_t *batch, int64_t output[3],
                                  int64_t *plane, int64_t *positions, struct bsq_message *message)
{
    *plane = *positions = 1;
    if (batch->size < 0)
        return bsq_fail(message, BSQ_E_SHAPE, "size is %lld, must not be negative", (long long)batch->size);
    if (batch->size == 0)
        return BSQ_OK;

    bsq_status_t status = bsq_geometry_output(geometry, batch->spatial, output, positions, message);

    if (status != BSQ_OK)
        return status;
    for (int32_t d = 0; d < geometry->dims; d++)
        if (!bsq_extent_mul(*plane, batch->spatial[d], plane))
            return bsq_fail(message, BSQ_E_SHAPE, "the batch is too large for this machine");
    return BSQ_OK;
}

bsq_status_t bsq_stats_check_batch(const struct bsq_geometry *geometry, const bsq_batch_t *batch, int32_t with_target,
                                   int64_t *input_values, struct bsq_message *message)
{
    int64_t output[3], plane, positions, target_values;
    bsq_status_t status = check_extents(geometry, batch, output, &plane, &positions, message);

    if (status != BSQ_OK)
        return status;
    if (!count_values(batch->size, geometry->in_channels, plane, input_values) ||
        !count_values(batch->size, geometry->out_channels, positions, &target_values))
        return bsq_fail(message, BSQ_E_SHAPE, "the batch is too large for this machine");
    if (batch->size > 0 && !batch->input)
        return bsq_fail(message, BSQ_E_ARGUMENT, "input is NULL");
    status = bsq_check_finite("input", batch->input, *input_values, message);
    if (status != BSQ_OK || !with_target)
        return status;
    if (batch->target && (status = bsq_check_finite("target", batch->target, target_values, message)) != BSQ_OK)
        return status;
    return check_weights(batch, batch->size * positions, message);
}

/* Refuses a bias that could carry a float over the top; below this none can. */
bsq_status_t bsq_stats_check_bias(const struct bsq_geometry *geometry, const float *bias, struct bsq_message *message)
{
    for (int64_t m = 0; bias && m < geometry->out_channels; m++)
        if (fabsf(bias[m]) > FLT_MAX * FLT_EPSILON / 8)
            return bsq_fail(message, BSQ_E_NUMERIC, "bias[%lld] is %g, too large to be taken from targets",
                            (long long)m, (double)bias[m]);
    return BSQ_OK;
}
