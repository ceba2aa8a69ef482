/* The weights that quantized tensors stand for. */
#include "base/dequantize.h"

#include "base/tensor.h"

/* The level of every code of one scale. There are at most 256 of them, counted from the lowest. */
static void list_levels(const struct bsq_grid *grid, int32_t zero_point, float levels[256])
{
    for (int32_t code = grid->lowest; code <= grid->highest; code++)
        levels[code - grid->lowest] = (float)(grid->levels ? grid->levels[code] : code - zero_point);
}

void bsq_tensor_values(const bsq_tensor_t *tensor, float *weights)
{
    int64_t n = tensor->fan_in, size = tensor->group_size, groups = (n - 1) / size + 1;
    struct bsq_grid grid;
    float levels[256];

    bsq_tensor_grid(tensor, &grid);
    list_levels(&grid, 0, levels);
    for (int64_t i = 0; i < tensor->channels * groups; i++) {
        int64_t first = i / groups * n + i % groups * size, rest = n - i % groups * size;
        float scale = tensor->scales[tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR ? 0 : i];

        if (tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT)
            list_levels(&grid, tensor->zero_points[i], levels);
        for (int64_t k = first; k < first + (size < rest ? size : rest); k++) {
            float product = scale * levels[bsq_grid_code(&grid, tensor->codes, k) - grid.lowest];

            weights[k] = tensor->weight_grid == BSQ_WEIGHT_GRID_OFFSET ? product + tensor->offsets[i] : product;
        }
    }
}
