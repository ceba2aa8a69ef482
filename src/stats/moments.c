/* Statistics from a host's own moments. */
#include "stats/private.h"

#include <math.h>
#include <string.h>

static bsq_status_t check_values(const char *name, const double *values, int64_t count, double scale,
                                 struct bsq_message *message)
{
    for (int64_t i = 0; values && i < count; i++)
        if (!isfinite(values[i]) || !isfinite(values[i] * scale))
            return bsq_fail(message, BSQ_E_NUMERIC, "%s[%lld] is %g", name, (long long)i, values[i]);
    return BSQ_OK;
}

static bsq_status_t check_not_negative(const char *name, const double *values, int64_t count, int64_t step,
                                       struct bsq_message *message)
{
    for (int64_t i = 0; values && i < count; i++)
        if (values[i * step] < 0)
            return bsq_fail(message, BSQ_E_NUMERIC, "%s[%lld] is %g, must not be negative", name, (long long)(i * step),
                            values[i * step]);
    return BSQ_OK;
}

static bsq_status_t check_symmetric(const double *h, int64_t n, int64_t group, struct bsq_message *message)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            double bound = 1e-6 * sqrt(h[i * n + i]) * sqrt(h[j * n + j]);

            if (fabs(h[i * n + j] - h[j * n + i]) > bound)
                return bsq_fail(message, BSQ_E_NUMERIC, "h of group %lld is not symmetric at %lld, %lld: %g and %g",
                                (long long)group, (long long)i, (long long)j, h[i * n + j], h[j * n + i]);
        }
    return BSQ_OK;
}

static bsq_status_t check_moments(const struct bsq_geometry *geometry, const bsq_moments_t *moments,
                                  struct bsq_message *message)
{
    int64_t n = geometry->fan_in, groups = geometry->groups, outputs = geometry->out_channels;
    double scale = moments->rows > 1 ? moments->rows : 1;
    bsq_status_t status;

    if (!moments->h)
        return bsq_fail(message, BSQ_E_ARGUMENT, "h is NULL");
    if (!moments->p != !moments->target_square || (moments->target_mean && !moments->p))
        return bsq_fail(message, BSQ_E_ARGUMENT, "p and target_square are needed together, and with target_mean");
    if (!isfinite(moments->rows) || moments->rows < 0)
        return bsq_fail(message, BSQ_E_RANGE, "rows is %g, must be 0 or a positive number", moments->rows);
    if ((status = check_values("h", moments->h, groups * n * n, scale, message)) != BSQ_OK ||
        (status = check_values("input_mean", moments->input_mean, groups * n, scale, message)) != BSQ_OK ||
        (status = check_values("p", moments->p, outputs * n, scale, message)) != BSQ_OK ||
        (status = check_values("target_mean", moments->target_mean, outputs, scale, message)) != BSQ_OK ||
        (status = check_values("target_square", moments->target_square, outputs, scale, message)) != BSQ_OK ||
        (status = check_not_negative("target_square", moments->target_square, outputs, 1, message)) != BSQ_OK)
        return status;
    for (int64_t g = 0; g < groups && status == BSQ_OK; g++) {
        status = check_not_negative("diagonal of h", moments->h + g * n * n, n, n + 1, message);
        if (status == BSQ_OK)
            status = check_symmetric(moments->h + g * n * n, n, g, message);
    }
    return status;
}

static void set_group(double *panels, const double *h, int64_t n, double scale)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t first = panel * BSQ_PANEL, width = bsq_panel_width(n, panel);
        double *to = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++)
            for (int64_t j = i; j < width; j++) {
                double above = h[(first + i) * n + first + j], below = h[(first + j) * n + first + i];

                to[i * width + j] = scale * (0.5 * above + 0.5 * below);
            }
    }
}

static void set_values(double *to, const double *from, int64_t count, double scale)
{
    for (int64_t i = 0; from && i < count; i++)
        to[i] = scale * from[i];
}

bsq_status_t bsq_stats_set(struct bsq_stats_t **stats, const struct bsq_geometry *geometry,
                           const struct bsq_quantizer *quantizer, const bsq_moments_t *moments,
                           const struct bsq_memory *memory, struct bsq_message *message)
{
    int64_t n = geometry->fan_in, outputs = geometry->out_channels;
    double scale = moments->rows > 0 ? moments->rows : 1;
    bsq_status_t status = check_moments(geometry, moments, message);
    struct bsq_stats_t *set = status == BSQ_OK ? bsq_stats_create(geometry, quantizer, memory) : NULL;

    if (status != BSQ_OK)
        return status;
    if (!set || (moments->p && !bsq_stats_make_targets(set))) {
        bsq_stats_release(set);
        return bsq_fail_memory(message);
    }
    for (int64_t g = 0; g < geometry->groups; g++)
        set_group(set->inputs->h + g * bsq_inputs_group_size(geometry), moments->h + g * n * n, n, scale);
    set_values(set->inputs->sum, moments->input_mean, geometry->groups * n, scale);
    set->inputs->has_mean = moments->input_mean != NULL;
    set->inputs->count = (struct bsq_count){moments->rows, scale, moments->rows};
    set_values(set->p, moments->p, outputs * n, scale);
    set_values(set->target_sum, moments->target_mean, outputs, scale);
    set_values(set->target_square, moments->target_square, outputs, scale);
    set->has_target_mean = moments->target_mean != NULL;
    if ((status = bsq_stats_check_sums(set, message)) != BSQ_OK) {
        bsq_stats_release(set);
        return status;
    }
    bsq_stats_release(*stats);
    *stats = set;
    return BSQ_OK;
}
