/* Grids in the tests' own arithmetic: the levels of codes, which values scales and offsets may have, what a code stands
 * for. */
#ifndef BSQ_TEST_RANDOM_GRID_H
#define BSQ_TEST_RANDOM_GRID_H

#include "random_layers.h"
#include "random_source.h"

/* The codes of a grid. */
struct code_range {
    int32_t lowest, highest;
    bool from_zero; /* bytes are uint8 */
    bool table;     /* 'levels' says what codes are, else codes are their own levels */
    int32_t level_count;
    int32_t levels[256];
};

struct code_range grid_range(const bsq_options_t *options);

/* The code of a byte. */
int32_t grid_code(const struct code_range *range, int8_t byte);

/* The level of a code that is in range. */
int32_t grid_level(const struct code_range *range, int32_t code);

/* The weight of a code, exact; 'reach' (or NULL) is what the magnitudes of its parts sum to. */
real grid_weight(const bsq_options_t *options, int32_t level, float scale, int32_t zero_point, float offset,
                 real *reach);

/* The same as float32 arithmetic gives it, divided by 'beta'. */
float grid_weight_float(const bsq_options_t *options, int32_t level, float scale, int32_t zero_point, float offset,
                        double beta);

/* Whether a scale, of either sign, or an offset stands alone in the format; 'unit' is that of E4M3. */
bool grid_takes_scale(const bsq_options_t *options, float unit, float scale);
bool grid_takes_offset(const bsq_options_t *options, float offset);

/* Whether one super group's numbers are allowed integers times one value of the format. */
bool grid_takes_super_group(const bsq_options_t *options, bool offsets, const float *values, int64_t count);

/* Puts a grid and what goes with it in the place of that of drawn options; 'levels', 256 of them, is for a host's table. */
void draw_grid(struct source *source, struct drawn_layer *layer);

/* Draws a tensor on the grid of the options, for weights that are there. */
void draw_kept_tensor(struct source *source, struct drawn_layer *layer);

/* Writes what a grid is. */
void print_grid(const bsq_options_t *options);

#endif
