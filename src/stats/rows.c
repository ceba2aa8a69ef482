/* Rows that do not fill a tile yet: room for them, copies, and their columns as products read them. */
#include "stats/private.h"

#include <string.h>

/* Lays out room for rows in one block, which starts with the inputs, and returns its bytes; NULL only counts. */
static size_t lay_out_rows(struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t capacity,
                           bool with_target, void *memory)
{
    struct bsq_carver carver = {memory, 0};

    tile->capacity = capacity;
    tile->x = bsq_carve(&carver, capacity * geometry->groups * geometry->fan_in, sizeof *tile->x);
    tile->weights = bsq_carve(&carver, capacity, sizeof *tile->weights);
    tile->y = with_target ? bsq_carve(&carver, capacity * geometry->out_channels, sizeof *tile->y) : NULL;
    return carver.used;
}

size_t bsq_tile_bytes(const struct bsq_geometry *geometry, int64_t capacity, bool with_target)
{
    struct bsq_tile unused;

    return lay_out_rows(&unused, geometry, capacity, with_target, NULL);
}

void bsq_tile_drop(struct bsq_tile *tile, const struct bsq_memory *memory)
{
    bsq_memory_put(memory, tile->x);
    memset(tile, 0, sizeof *tile);
}

void bsq_tile_copy(const struct bsq_tile *from, int64_t first, int64_t count, struct bsq_tile *to,
                   const struct bsq_geometry *geometry)
{
    size_t n = (size_t)geometry->fan_in, outputs = (size_t)geometry->out_channels, rows = (size_t)count;

    if (count == 0)
        return;
    for (int64_t g = 0; g < geometry->groups; g++)
        memcpy(to->x + (g * to->capacity + to->fill) * geometry->fan_in,
               from->x + (g * from->capacity + first) * geometry->fan_in, rows * n * sizeof *to->x);
    memcpy(to->weights + to->fill, from->weights + first, rows * sizeof *to->weights);
    if (to->y && from->y)
        memcpy(to->y + to->fill * geometry->out_channels, from->y + first * geometry->out_channels,
               rows * outputs * sizeof *to->y);
    to->fill += count;
}

bool bsq_tile_reserve(struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t capacity, bool with_target,
                      const struct bsq_memory *memory)
{
    struct bsq_tile larger = {.fill = 0};
    void *block;

    if (tile->capacity >= capacity && (tile->y || !with_target))
        return true;
    if (capacity < tile->capacity)
        capacity = tile->capacity;
    block = bsq_memory_get(memory, 1, bsq_tile_bytes(geometry, capacity, with_target));
    if (!block)
        return false;
    (void)lay_out_rows(&larger, geometry, capacity, with_target, block);
    bsq_tile_copy(tile, 0, tile->fill, &larger, geometry);
    bsq_tile_drop(tile, memory);
    *tile = larger;
    return true;
}

const float *bsq_tile_weights(const struct bsq_tile *tile)
{
    for (int64_t i = 0; i < tile->fill; i++)
        if (tile->weights[i] != 1.0F)
            return tile->weights;
    return NULL;
}

struct bsq_tile_columns bsq_columns_part(const struct bsq_tile_columns *columns, int64_t first, int64_t count)
{
    return (struct bsq_tile_columns){columns->x ? columns->x + first : NULL, columns->ld, count};
}

struct bsq_tile_columns bsq_tile_inputs(const struct bsq_tile *tile, const struct bsq_geometry *geometry, int64_t group)
{
    int64_t n = geometry->fan_in;

    return (struct bsq_tile_columns){tile->x ? tile->x + group * tile->capacity * n : NULL, n, n};
}

struct bsq_tile_columns bsq_tile_targets(const struct bsq_tile *tile, const struct bsq_geometry *geometry,
                                         int64_t group)
{
    int64_t outputs = geometry->group_outputs;

    return (struct bsq_tile_columns){tile->y ? tile->y + group * outputs : NULL, geometry->out_channels, outputs};
}

void bsq_tile_square(const struct bsq_tile *tile, const struct bsq_tile_columns *inputs, int64_t panel, bool single,
                     double *scratch, double *to, int64_t ldt)
{
    int64_t first = panel * BSQ_PANEL;
    struct bsq_tile_columns a = bsq_columns_part(inputs, first, bsq_panel_rows(inputs->columns, panel));
    struct bsq_tile_columns b = bsq_columns_part(inputs, first, bsq_panel_width(inputs->columns, panel));

    if (single)
        bsq_tile_multiply_single(&a, &b, tile->fill, scratch, to, ldt);
    else
        bsq_tile_multiply(&a, &b, bsq_tile_weights(tile), tile->fill, scratch, to, ldt);
}
