/* Statistics of some of a layer's output channels. */
#include "stats/private.h"

#include "base/fingerprint.h"

#include <string.h>

/* Where a slice begins in what it is cut from. */
struct cut {
    const struct bsq_geometry *whole;
    const struct bsq_geometry *part;
    int64_t group;
    int64_t channel;
};

/* Copies rows that do not fill a tile yet, those of the slice's groups and channels; false when out of memory. */
static bool cut_rows(const struct cut *cut, const struct bsq_tile *from, struct bsq_tile *to,
                     const struct bsq_memory *memory)
{
    int64_t n = cut->whole->fan_in, outputs = cut->part->out_channels;

    if (from->fill == 0)
        return true;
    if (!bsq_tile_reserve(to, cut->part, from->capacity, from->y, memory))
        return false;
    for (int64_t g = 0; g < cut->part->groups; g++)
        memcpy(to->x + g * to->capacity * n, from->x + (cut->group + g) * from->capacity * n,
               (size_t)(from->fill * n) * sizeof *to->x);
    memcpy(to->weights, from->weights, (size_t)from->fill * sizeof *to->weights);
    for (int64_t r = 0; from->y && r < from->fill; r++)
        memcpy(to->y + r * outputs, from->y + r * cut->whole->out_channels + cut->channel,
               (size_t)outputs * sizeof *to->y);
    to->fill = from->fill;
    return true;
}

/* Copies the sums of the slice's groups. */
static bool cut_inputs(const struct cut *cut, const struct bsq_inputs *from, struct bsq_inputs *to)
{
    int64_t square = bsq_inputs_group_size(cut->whole), n = cut->whole->fan_in, groups = cut->part->groups;

    memcpy(to->h, from->h + cut->group * square, (size_t)(groups * square) * sizeof *to->h);
    memcpy(to->sum, from->sum + cut->group * n, (size_t)(groups * n) * sizeof *to->sum);
    to->has_mean = from->has_mean;
    to->count = from->count;
    return cut_rows(cut, &from->tile, &to->tile, &to->memory);
}

static bool cut_targets(const struct cut *cut, const struct bsq_stats_t *from, struct bsq_stats_t *to)
{
    int64_t n = cut->whole->fan_in;
    size_t outputs = (size_t)cut->part->out_channels;

    if (!bsq_stats_has_target(from))
        return true;
    if (!bsq_stats_make_targets(to))
        return false;
    memcpy(to->p, from->p + cut->channel * n, outputs * (size_t)n * sizeof *to->p);
    memcpy(to->target_sum, from->target_sum + cut->channel, outputs * sizeof *to->target_sum);
    memcpy(to->target_square, from->target_square + cut->channel, outputs * sizeof *to->target_square);
    to->has_target_mean = from->has_target_mean;
    if (!to->frozen)
        return true;
    to->count = *bsq_stats_count(from);
    return cut_rows(cut, bsq_stats_tile(from), &to->tile, &to->memory);
}

bsq_status_t bsq_stats_slice(const struct bsq_stats_t *from, const struct bsq_geometry *geometry, int64_t first,
                             const struct bsq_quantizer *quantizer, const struct bsq_memory *memory,
                             struct bsq_stats_t **slice, struct bsq_message *message)
{
    const struct bsq_geometry *whole = &from->geometry;
    struct cut cut = {whole, geometry, first / whole->group_outputs, first};
    bool good = true;

    *slice = NULL;
    if (whole->groups == 1) {
        bsq_status_t status = bsq_stats_share(from, geometry, memory, slice, message);

        if (status != BSQ_OK)
            return status;
    } else {
        *slice = bsq_stats_create(geometry, quantizer, memory);
        if (!*slice)
            return bsq_fail_memory(message);
        (*slice)->frozen = from->frozen;
        good = cut_inputs(&cut, from->inputs, (*slice)->inputs);
    }
    if (good && cut_targets(&cut, from, *slice))
        return BSQ_OK;
    bsq_stats_release(*slice);
    *slice = NULL;
    return bsq_fail_memory(message);
}

/* ---- fingerprint ------------------------------------------------------------------------------------------ */

static uint64_t add_rows(uint64_t hash, const struct bsq_tile *tile, const struct bsq_geometry *geometry, bool target)
{
    if (tile->fill == 0)
        return hash;
    for (int64_t g = 0; g < geometry->groups; g++)
        hash = bsq_fingerprint(hash, tile->x + g * tile->capacity * geometry->fan_in,
                               (size_t)(tile->fill * geometry->fan_in) * sizeof *tile->x);
    hash = bsq_fingerprint(hash, tile->weights, (size_t)tile->fill * sizeof *tile->weights);
    if (target && tile->y)
        hash = bsq_fingerprint(hash, tile->y, (size_t)(tile->fill * geometry->out_channels) * sizeof *tile->y);
    return hash;
}

/* Adds the rows of the triangle, without what panels hold below the diagonal, which is left as it comes. */
static uint64_t add_triangle(uint64_t hash, const double *panels, int64_t n)
{
    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++) {
        int64_t width = bsq_panel_width(n, panel);
        const double *rows = panels + bsq_panel_offset(n, panel);

        for (int64_t i = 0; i < bsq_panel_rows(n, panel); i++)
            hash = bsq_fingerprint(hash, rows + i * width + i, (size_t)(width - i) * sizeof *rows);
    }
    return hash;
}

uint64_t bsq_stats_fingerprint(uint64_t hash, const struct bsq_stats_t *stats)
{
    const struct bsq_geometry *geometry = &stats->geometry;
    const struct bsq_inputs *inputs = stats->inputs;
    size_t outputs = (size_t)geometry->out_channels;

    hash = bsq_fingerprint(hash, &inputs->count, sizeof inputs->count);
    for (int64_t g = 0; g < geometry->groups; g++)
        hash = add_triangle(hash, inputs->h + g * bsq_inputs_group_size(geometry), geometry->fan_in);
    hash = bsq_fingerprint(hash, inputs->sum, (size_t)(geometry->groups * geometry->fan_in) * sizeof *inputs->sum);
    hash = add_rows(hash, &inputs->tile, geometry, bsq_stats_has_target(stats) && !stats->frozen);
    if (!bsq_stats_has_target(stats))
        return hash;
    hash = bsq_fingerprint(hash, stats->p, outputs * (size_t)geometry->fan_in * sizeof *stats->p);
    hash = bsq_fingerprint(hash, stats->target_sum, outputs * sizeof *stats->target_sum);
    hash = bsq_fingerprint(hash, stats->target_square, outputs * sizeof *stats->target_square);
    return stats->frozen ? add_rows(hash, &stats->tile, geometry, true) : hash;
}
