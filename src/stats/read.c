/* Statistics as the solver reads them: means over rows, those of the unfinished tile included. Nothing is allocated. */
#include "stats/private.h"

#include "base/blas.h"
#include "kernels/kernels.h"

#include <string.h>

/* Rows that are multiplied with the unfinished tile at a time. */
enum { MULTIPLIED_ROWS = 64 };

/* Counts for a full tile, whatever is in it, so that memory can be predicted. */
size_t bsq_stats_scratch(const struct bsq_geometry *geometry)
{
    return (size_t)(bsq_tile_scratch(bsq_tile_rows(geometry)) + BSQ_PANEL * geometry->fan_in) * sizeof(double);
}

/* Counts for products: rows times a tile, columns of a tile, the diagonal block of a panel. */
size_t bsq_stats_block_scratch(const struct bsq_geometry *geometry)
{
    int64_t rows = bsq_tile_rows(geometry);
    int64_t product = (MULTIPLIED_ROWS + BSQ_PANEL) * rows + BSQ_PANEL * BSQ_PANEL;

    return (size_t)bsq_extent_most(bsq_tile_scratch(rows), product) * sizeof(double);
}

static void scale_values(double *values, int64_t count, double weight)
{
    for (int64_t i = 0; i < count; i++)
        values[i] /= weight;
}

static const double *panels_of(const struct bsq_stats_t *stats, int64_t group)
{
    return stats->inputs->h + group * bsq_inputs_group_size(&stats->geometry);
}

/* Reads panel 'panel' of H from its diagonal on, leading dimension ldt; what is below the diagonal has no meaning. */
static void read_panel(const struct bsq_stats_t *stats, int64_t group, int64_t panel, double *scratch, double *to,
                       int64_t ldt)
{
    const struct bsq_tile *tile = &stats->inputs->tile;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, &stats->geometry, group);
    int64_t n = stats->geometry.fan_in, width = bsq_panel_width(n, panel), rows = bsq_panel_rows(n, panel);
    const double *from = panels_of(stats, group) + bsq_panel_offset(n, panel);

    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * ldt, from + i * width, (size_t)width * sizeof *to);
    if (tile->fill > 0)
        bsq_tile_square(tile, &inputs, panel, false, scratch, to, ldt);
    for (int64_t i = 0; i < rows; i++)
        scale_values(to + i * ldt + i, width - i, stats->inputs->count.weight);
}

void bsq_stats_read_h(const struct bsq_stats_t *stats, int64_t group, double *h, void *scratch)
{
    int64_t n = stats->geometry.fan_in;

    for (int64_t panel = 0; panel < bsq_panel_count(n); panel++)
        read_panel(stats, group, panel, scratch, h + panel * BSQ_PANEL * (n + 1), n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            h[i * n + j] = h[j * n + i];
}

/* Copies rows first.. of the upper triangle to the square and, transposed in small tiles, below its diagonal. */
static void place_panel(const double *panel, int64_t first, int64_t rows, int64_t n, float *square)
{
    enum { TILE = 16 };
    int64_t width = n - first;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i; j < width; j++)
            square[(first + i) * n + first + j] = (float)panel[i * width + j];
    for (int64_t top = 0; top < width; top += TILE)
        for (int64_t j = top; j < bsq_extent_least(top + TILE, width); j++)
            for (int64_t i = 0; i < bsq_extent_least(rows, j); i++)
                square[(first + j) * n + first + i] = (float)panel[i * width + j];
}

void bsq_stats_read_square(const struct bsq_stats_t *stats, int64_t group, const double *mean, double scale,
                           float *square, void *scratch)
{
    int64_t n = stats->geometry.fan_in;
    double *panel = (double *)scratch + bsq_tile_scratch(stats->inputs->tile.fill);

    for (int64_t p = 0; p < bsq_panel_count(n); p++) {
        int64_t first = p * BSQ_PANEL, rows = bsq_panel_rows(n, p), width = bsq_panel_width(n, p);

        read_panel(stats, group, p, scratch, panel, width);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = i; j < width; j++)
                panel[i * width + j] =
                    scale * (panel[i * width + j] - (mean ? mean[first + i] * mean[first + j] : 0.0));
        place_panel(panel, first, rows, n, square);
    }
}

void bsq_stats_read_diagonal(const struct bsq_stats_t *stats, int64_t group, double *diagonal)
{
    const struct bsq_tile *tile = &stats->inputs->tile;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, &stats->geometry, group);
    const float *weights = bsq_tile_weights(tile);
    int64_t n = stats->geometry.fan_in;

    for (int64_t j = 0; j < n; j++) {
        int64_t panel = j / BSQ_PANEL, i = j % BSQ_PANEL;

        diagonal[j] = panels_of(stats, group)[bsq_panel_offset(n, panel) + i * (bsq_panel_width(n, panel) + 1)];
    }
    for (int64_t r = 0; r < tile->fill; r++)
        for (int64_t j = 0; j < n; j++) {
            double x = (double)inputs.x[r * inputs.ld + j];

            diagonal[j] += (weights ? (double)weights[r] : 1.0) * x * x;
        }
    scale_values(diagonal, n, stats->inputs->count.weight);
}

void bsq_stats_read_input_mean(const struct bsq_stats_t *stats, int64_t group, double *mean)
{
    const struct bsq_tile *tile = &stats->inputs->tile;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, &stats->geometry, group);
    int64_t n = stats->geometry.fan_in;

    memcpy(mean, stats->inputs->sum + group * n, (size_t)n * sizeof *mean);
    bsq_tile_sum(&inputs, bsq_tile_weights(tile), tile->fill, mean, NULL);
    scale_values(mean, n, stats->inputs->count.weight);
}

void bsq_stats_read_p(const struct bsq_stats_t *stats, int64_t group, int64_t first, int64_t count, double *p,
                      void *scratch)
{
    const struct bsq_tile *tile = bsq_stats_tile(stats);
    const struct bsq_geometry *geometry = &stats->geometry;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, geometry, group);
    struct bsq_tile_columns targets = bsq_tile_targets(tile, geometry, group);
    int64_t n = geometry->fan_in, channel = group * geometry->group_outputs + first;

    memcpy(p, stats->p + channel * n, (size_t)(count * n) * sizeof *p);
    for (int64_t done = 0; tile->fill > 0 && done < count; done += BSQ_PANEL) {
        struct bsq_tile_columns a = bsq_columns_part(&targets, first + done, bsq_extent_least(BSQ_PANEL, count - done));

        bsq_tile_multiply(&a, &inputs, bsq_tile_weights(tile), tile->fill, scratch, p + done * n, n);
    }
    scale_values(p, count * n, bsq_stats_count(stats)->weight);
}

void bsq_stats_read_targets(const struct bsq_stats_t *stats, int64_t group, double *mean, double *square)
{
    const struct bsq_tile *tile = bsq_stats_tile(stats);
    int64_t outputs = stats->geometry.group_outputs;
    double weight = bsq_stats_count(stats)->weight;

    for (int64_t c = 0; c < outputs; c++) {
        struct bsq_tile_columns target = bsq_tile_targets(tile, &stats->geometry, group);
        double sum = stats->target_sum[group * outputs + c], sum_square = stats->target_square[group * outputs + c];

        target = bsq_columns_part(&target, c, 1);
        bsq_tile_sum(&target, bsq_tile_weights(tile), tile->fill, &sum, &sum_square);
        if (mean)
            mean[c] = sum / weight;
        if (square)
            square[c] = sum_square / weight;
    }
}

void bsq_stats_read(const struct bsq_stats_t *stats, int64_t group, const struct bsq_group_moments *moments,
                    void *scratch)
{
    if (moments->h)
        bsq_stats_read_h(stats, group, moments->h, scratch);
    if (moments->input_mean)
        bsq_stats_read_input_mean(stats, group, moments->input_mean);
    if (!bsq_stats_has_target(stats))
        return;
    if (moments->p)
        bsq_stats_read_p(stats, group, 0, stats->geometry.group_outputs, moments->p, scratch);
    bsq_stats_read_targets(stats, group, moments->target_mean, moments->target_square);
}

/* ---- products with H -------------------------------------------------------------------------------------- */

/* product += x S, S the sums of full tiles, panel by panel; 'block' holds the diagonal block of one. */
static void multiply_panels(const struct bsq_stats_t *stats, int64_t group, int64_t rows, const double *x,
                            double *product, double *block)
{
    int64_t n = stats->geometry.fan_in;

    for (int64_t p = 0; p < bsq_panel_count(n); p++) {
        int64_t first = p * BSQ_PANEL, size = bsq_panel_rows(n, p), width = bsq_panel_width(n, p), rest = width - size;
        const double *panel = panels_of(stats, group) + bsq_panel_offset(n, p);

        for (int64_t i = 0; i < size; i++)
            for (int64_t j = 0; j < size; j++)
                block[i * size + j] = j < i ? panel[j * width + i] : panel[i * width + j];
        bsq_dgemm(false, false, rows, size, size, 1.0, x + first, n, block, size, 1.0, product + first, n);
        if (rest == 0)
            continue;
        bsq_dgemm(false, false, rows, rest, size, 1.0, x + first, n, panel + size, width, 1.0, product + first + size,
                  n);
        bsq_dgemm(false, true, rows, size, rest, 1.0, x + first + size, n, panel + size, width, 1.0, product + first,
                  n);
    }
}

/* Copies columns first.. of the tile's inputs, in double. */
static void widen(const struct bsq_tile_columns *inputs, int64_t fill, int64_t first, int64_t count, double *to)
{
    for (int64_t r = 0; r < fill; r++)
        for (int64_t j = 0; j < count; j++)
            to[r * count + j] = (double)inputs->x[r * inputs->ld + first + j];
}

/* product += (x X') W X, X the rows that do not fill a tile yet, W their weights. */
static void multiply_tile(const struct bsq_stats_t *stats, int64_t group, int64_t rows, const double *x,
                          double *product, double *scratch)
{
    const struct bsq_tile *tile = &stats->inputs->tile;
    struct bsq_tile_columns inputs = bsq_tile_inputs(tile, &stats->geometry, group);
    int64_t n = stats->geometry.fan_in, fill = tile->fill;
    double *along = scratch, *columns = scratch + MULTIPLIED_ROWS * fill;

    for (int64_t first = 0; first < n; first += BSQ_PANEL) {
        int64_t count = bsq_extent_least(BSQ_PANEL, n - first);

        widen(&inputs, fill, first, count, columns);
        bsq_dgemm(false, true, rows, fill, count, 1.0, x + first, n, columns, count, first ? 1.0 : 0.0, along, fill);
    }
    for (int64_t i = 0; i < rows * fill; i++)
        along[i] *= (double)tile->weights[i % fill];
    for (int64_t first = 0; first < n; first += BSQ_PANEL) {
        int64_t count = bsq_extent_least(BSQ_PANEL, n - first);

        widen(&inputs, fill, first, count, columns);
        bsq_dgemm(false, false, rows, count, fill, 1.0, along, fill, columns, count, 1.0, product + first, n);
    }
}

void bsq_stats_multiply(const struct bsq_stats_t *stats, int64_t group, int64_t rows, const double *x, double *product,
                        void *scratch)
{
    int64_t n = stats->geometry.fan_in;

    memset(product, 0, (size_t)(rows * n) * sizeof *product);
    multiply_panels(stats, group, rows, x, product, scratch);
    for (int64_t first = 0; stats->inputs->tile.fill > 0 && first < rows; first += MULTIPLIED_ROWS)
        multiply_tile(stats, group, bsq_extent_least(MULTIPLIED_ROWS, rows - first), x + first * n, product + first * n,
                      scratch);
    scale_values(product, rows * n, stats->inputs->count.weight);
}

double bsq_stats_precision(const struct bsq_stats_t *stats)
{
    const double single = 0x1p-19; /* twice what tile.c says of products in single precision */
    const double within_tile = 0x1p-42,
                 each_row = 0x1p-60; /* sums of up to 512 rows, and of as many tiles, in double */

    if (stats->geometry.fan_in >= BSQ_TILE_SINGLE_INPUTS)
        return single;
    return within_tile + each_row * stats->inputs->count.rows;
}
