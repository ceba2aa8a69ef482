/* The error of zero points beside those of the full range and of GPTQ's own zero points. */
#ifndef BSQ_TEST_BENCH_ZERO_POINTS_H
#define BSQ_TEST_BENCH_ZERO_POINTS_H

#include "layer_data.h"

/* Gives layer 'index', to be freed by free_layer; it may have its inputs in any order. */
typedef struct layer_data *(*layer_source)(void *opaque, int32_t index);

/* Prints a table of geometric means over 'count' layers of one group, by bits and group size: inputs in the order in which GPTQ
 * decides them, since its groups follow that order (act-order), damping 0.01, float16 scales; GPTQ's are float32. */
void compare_zero_points(layer_source source, void *opaque, int32_t count, int32_t effort);

#endif
