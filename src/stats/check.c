/* Whether rows can be added. */
#include "stats/private.h"

#include "base/blas.h"
#include "stats/gather.h"
#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Index of the first value that is not finite, or 'count'. */
static int64_t find_not_finite(const float *x, int64_t count)
{
    enum { BLOCK = 1024 };

    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t end = count - first < BLOCK ? count : first + BLOCK;
        float least, most;

        bsq_kernels()->magnitudes(x + first, end - first, &least, &most);
        for (int64_t i = first; !isfinite(most) && i < end; i++)
            if (!isfinite(x[i]))
                return i;
    }
    return count;
}

static bsq_status_t check_finite(const char *name, const float *x, int64_t count, struct bsq_message *message)
{
    int64_t bad = find_not_finite(x, count);

    if (bad == count)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_NUMERIC, "%s[%lld] is %s", name, (long long)bad,
                    isnan(x[bad]) ? "not a number" : "infinite");
}

/* size * a * b floats, checked to fit memory. */
static bool count_values(int64_t size, int64_t a, int64_t b, int64_t *values)
{
    int64_t bytes;

    return bsq_extent_mul(a, b, values) && bsq_extent_mul(*values, size, values) &&
           bsq_extent_mul(*values, (int64_t)sizeof(float), &bytes) && (uint64_t)bytes <= SIZE_MAX;
}

static bsq_status_t check_weights(const bsq_batch_t *batch, int64_t rows, struct bsq_message *message)
{
    int64_t count = batch->row_weights_kind == BSQ_ROW_WEIGHTS_KIND_PER_ROW ? rows : batch->size;

    if (batch->row_weights_kind != BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE && batch->row_weights_kind != BSQ_ROW_WEIGHTS_KIND_PER_ROW)
        return bsq_fail(message, BSQ_E_ARGUMENT, "row_weights_kind %d is unknown", (int)batch->row_weights_kind);
    if (!batch->row_weights)
        return BSQ_OK;

    bsq_status_t status = check_finite("row_weights", batch->row_weights, count, message);

    for (int64_t i = 0; status == BSQ_OK && i < count; i++)
        if (batch->row_weights[i] < 0)
            status = bsq_fail(message, BSQ_E_RANGE, "row_weights[%lld] is %g, must not be negative", (long long)i,
                              (double)batch->row_weights[i]);
    return status;
}

/* Values of one channel of one sample, and of its output. */
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
    status = check_finite("input", batch->input, *input_values, message);
    if (status != BSQ_OK || !with_target)
        return status;
    if (batch->target && (status = check_finite("target", batch->target, target_values, message)) != BSQ_OK)
        return status;
    return check_weights(batch, batch->size * positions, message);
}

/* A bias up to here cannot carry any float over the top. */
bsq_status_t bsq_stats_check_bias(const struct bsq_geometry *geometry, const float *bias, struct bsq_message *message)
{
    for (int64_t m = 0; bias && m < geometry->out_channels; m++)
        if (fabsf(bias[m]) > FLT_MAX * FLT_EPSILON / 8)
            return bsq_fail(message, BSQ_E_NUMERIC, "bias[%lld] is %g, too large to be taken from targets",
                            (long long)m, (double)bias[m]);
    return BSQ_OK;
}
