/* Descent of many channels side by side, tile of inputs by tile: within a tile g is kept up to date step by step,
 * elsewhere what all channels' steps add to it is one product with the tile's rows of H, or, where few codes moved, a
 * few rows. */
#include "stages/tiles.h"

#include "base/blas.h"
#include "kernels/kernels.h"
#include "stages/descent.h"
#include "stages/scale.h"

#include <math.h>
#include <string.h>

/* Rows of H that are shorter stay in the caches. */
enum { LEAST_INPUTS = 512 };

/* Inputs of a tile, about, and where its rows must be gathered; groups up to the most lie in one tile. */
enum { TILE = 128, GATHERED_TILE = 32, MOST_GROUP = 256 };

/* Columns of H that are multiplied at a time. */
enum { PANEL = 256 };

/* Rounds of codes and scales in one visit: further ones come with the next sweep. */
enum { MOST_ROUNDS = 4 };

/* A sweep: its channels, and the tile that it is at. */
struct sweep {
    struct bsq_point *points;
    int64_t count;
    const struct bsq_hessian *hessian;
    bool refit;
    double *scratch;
    int64_t first, end; /* the tile */
    float *gathered;    /* GATHERED_TILE x n: its rows, where H has none in memory; or NULL */
    double *change;     /* count x tile: of u, of channels that moved; in single precision where H is */
    double *product;    /* count x PANEL, likewise */
    int64_t moved;      /* how many channels moved, */
    int64_t steps;      /* by how many inputs in all */
    int32_t list[BSQ_BLOCK_MOST];
};

bool bsq_tiles_apply(const struct bsq_hessian *hessian, int64_t channels)
{
    bool gathers = !hessian->h && !hessian->rows;
    int64_t needed = gathers ? channels * (GATHERED_TILE + PANEL) + GATHERED_TILE / 2 * hessian->n : 0;

    return hessian->n >= LEAST_INPUTS && channels >= BSQ_TILES_LEAST_CHANNELS && needed <= channels * hessian->n;
}

/* Gives the width of tiles: whole groups where these fit. */
static int64_t tile_width(const struct bsq_point *point)
{
    if (!point->h && !point->rows)
        return GATHERED_TILE;
    if (point->group_size > MOST_GROUP)
        return TILE;
    return point->group_size > TILE ? point->group_size : TILE / point->group_size * point->group_size;
}

/* Gathers the tile's rows from below the diagonal of factor32. */
static void gather_rows(const struct sweep *sweep)
{
    const struct bsq_hessian *hessian = sweep->hessian;
    int64_t n = hessian->n;

    for (int64_t i = 0; i < n; i++) {
        const float *h = hessian->factor32 + i * n;

        for (int64_t j = sweep->first; j < sweep->end; j++) {
            int64_t k = hessian->rank[j];

            if (k < i)
                sweep->gathered[(j - sweep->first) * n + hessian->order[i]] = h[k];
        }
    }
    for (int64_t j = sweep->first; j < sweep->end; j++) {
        int64_t k = hessian->rank[j];
        float *row = sweep->gathered + (j - sweep->first) * n;

        for (int64_t i = 0; i < k; i++)
            row[hessian->order[i]] = hessian->factor32[k * n + i];
        row[j] = (float)(hessian->diagonal[j] / hessian->unit);
    }
}

/* ---- within a tile ------------------------------------------------------------------------------------------- */

/* Writes u of the tile. */
static void weights_of(const struct bsq_point *point, double *u)
{
    for (int64_t j = point->first; j < point->end; j++) {
        int64_t a = j / point->group_size;
        const double *shift = point->shifts ? &point->shifts[a] : NULL;

        u[j - point->first] = point->scales[a] * (point->codes[j] + bsq_shift_steps(&point->shifting, shift)) +
                              bsq_shift_constant(&point->shifting, shift);
    }
}

/* Moves codes and scales within the tile in turn; returns how many codes changed, and notes whether scales did. */
static int64_t descend(const struct sweep *sweep, struct bsq_point *point, bool *refitted)
{
    int64_t changes = 0;

    *refitted = false;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        int64_t moved = bsq_descent_sweep(point);
        bool scales = sweep->refit && bsq_scale_refit_groups(point, sweep->scratch) > 0.0;

        changes += moved;
        *refitted |= scales;
        if (!scales && !moved)
            break;
    }
    return changes;
}

/* Notes by how much u of a channel changed in the tile. */
static void note_change(struct sweep *sweep, int64_t channel, const double *before)
{
    struct bsq_point *point = &sweep->points[channel];
    int64_t width = sweep->end - sweep->first;
    double after[MOST_GROUP];
    float *single = (float *)sweep->change + sweep->moved * width;

    weights_of(point, after);
    for (int64_t j = 0; j < width; j++) {
        double change = after[j] - before[j];

        sweep->steps += fabs(change) > 0.0;
        if (point->h)
            sweep->change[sweep->moved * width + j] = change;
        else
            single[j] = (float)change;
    }
    sweep->list[sweep->moved++] = (int32_t)channel;
}

static int64_t visit_tile(struct sweep *sweep)
{
    double before[MOST_GROUP];
    int64_t changes = 0;

    sweep->moved = sweep->steps = 0;
    for (int64_t c = 0; c < sweep->count; c++) {
        struct bsq_point *point = &sweep->points[c];
        int64_t moved;
        bool refitted;

        point->first = sweep->first;
        point->end = sweep->end;
        if (sweep->gathered) {
            point->rows = sweep->gathered;
            point->rows_from = sweep->first;
        }
        weights_of(point, before);
        moved = descend(sweep, point, &refitted);
        if (moved || refitted)
            note_change(sweep, c, before);
        changes += moved;
    }
    return changes;
}

/* ---- outside of it ------------------------------------------------------------------------------------------- */

/* Takes from g of the channels that moved what their changes add to inputs from 'from' to 'to', by one product a panel.
 */
static void add_products(const struct sweep *sweep, int64_t from, int64_t to)
{
    int64_t n = sweep->hessian->n, width = sweep->end - sweep->first;
    const struct bsq_point *any = &sweep->points[0];
    const float *single = (const float *)sweep->change;

    for (int64_t column = from; column < to; column += PANEL) {
        int64_t some = to - column < PANEL ? to - column : PANEL;

        if (any->h)
            bsq_dgemm(false, false, sweep->moved, some, width, 1.0, sweep->change, width,
                      any->h + sweep->first * n + column, n, 0.0, sweep->product, PANEL);
        else
            bsq_sgemm(false, false, sweep->moved, some, width, 1.0F, single, width,
                      any->rows + (sweep->first - any->rows_from) * n + column, n, 0.0F, (float *)sweep->product,
                      PANEL);
        for (int64_t i = 0; i < sweep->moved; i++) {
            double *g = sweep->points[sweep->list[i]].g + column;

            if (any->h)
                bsq_daxpy(some, -1.0, sweep->product + i * PANEL, g);
            else
                bsq_kernels()->add_scaled((const float *)sweep->product + i * PANEL, -sweep->hessian->unit, some, g);
        }
    }
}

/* Does the same row by row. */
static void add_rows(const struct sweep *sweep)
{
    int64_t n = sweep->hessian->n, width = sweep->end - sweep->first;

    for (int64_t i = 0; i < sweep->moved; i++) {
        const struct bsq_point *point = &sweep->points[sweep->list[i]];
        const double *change = sweep->change + i * width;
        const float *single = (const float *)sweep->change + i * width;

        for (int64_t j = 0; j < width; j++) {
            double step = point->h ? change[j] : (double)single[j];

            if (!(fabs(step) > 0.0))
                continue;
            bsq_point_add_part(point, sweep->first + j, -step, 0, sweep->first, point->g);
            bsq_point_add_part(point, sweep->first + j, -step, sweep->end, n - sweep->end, point->g + sweep->end);
        }
    }
}

static void tell_others(const struct sweep *sweep)
{
    const int64_t rows_worth = sweep->points[0].h ? 8 : 16; /* a product takes as long as that part of its rows */

    if (sweep->steps * rows_worth < sweep->moved * (sweep->end - sweep->first)) {
        add_rows(sweep);
    } else if (sweep->moved > 0) {
        add_products(sweep, 0, sweep->first);
        add_products(sweep, sweep->end, sweep->hessian->n);
    }
}

int64_t bsq_tiles_sweep(struct bsq_point *points, int64_t count, bool refit, double *work, double *scratch)
{
    const struct bsq_hessian *hessian = points[0].hessian;
    int64_t n = hessian->n, width = tile_width(&points[0]), changes = 0;
    bool gathers = !points[0].h && !points[0].rows;
    struct sweep sweep = {.points = points,
                          .count = count,
                          .hessian = hessian,
                          .refit = refit && points[0].group_size <= width,
                          .scratch = scratch,
                          .change = work,
                          .product = work + count * width};

    if (gathers)
        sweep.gathered = (float *)(sweep.product + count * PANEL);
    for (; sweep.first < n; sweep.first += width) {
        sweep.end = sweep.first + width < n ? sweep.first + width : n;
        if (gathers)
            gather_rows(&sweep);
        changes += visit_tile(&sweep);
        tell_others(&sweep);
    }
    for (int64_t c = 0; c < count; c++) {
        points[c].first = points[c].rows_from = 0;
        points[c].end = n;
        points[c].rows = hessian->rows;
    }
    return changes;
}
