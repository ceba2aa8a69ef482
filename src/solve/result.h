/* What a solve leaves behind: codes, scales, bias and the report. */
#ifndef BSQ_SOLVE_RESULT_H
#define BSQ_SOLVE_RESULT_H

#include "base/geometry.h"
#include "base/memory.h"
#include "input/quantizer.h"
#include "stages/objective.h"

struct bsq_result {
    struct bsq_memory memory;
    int64_t channels;           /* M */
    int64_t fan_in;             /* n */
    int64_t group_size;         /* inputs that share a scale: n unless scale_kind is BSQ_SCALE_KIND_PER_GROUP */
    int64_t scales_per_channel; /* ceil(n / group_size); 1 otherwise */
    int32_t bits;
    int32_t grid;
    int32_t scale_kind;
    int32_t scale_format;
    int32_t scale_bits;
    int32_t scale_signed;
    int64_t super_group;
    float scale_unit;    /* of the format E4M3; else 0 */
    int32_t level_count; /* of a host's table */
    int8_t levels[BSQ_BEAM_LEVELS];
    struct bsq_shifting shifting;
    int32_t stage_count;
    int8_t *codes;       /* M x n: as stages have them (objective.h) */
    double *scales;      /* M x scales_per_channel, per tensor too (all the same); each a float32 value */
    double *shifts;      /* the same, of grids that have them (objective.h); else NULL */
    double *bias_change; /* M, to be added to the layer's bias; zeros without correction */
    bsq_report_t report;
    bsq_stage_t *stages;         /* stage_count */
    bsq_channel_t *channel;      /* M */
    struct bsq_quantizer inputs; /* the input quantizer at the time; bits 0 when inputs stay float or it is unknown */
};

/* Creates a result of zeros with room for 'stages' stages, for the bits, range and scales of 'options'; NULL when out
 * of memory. One block of memory, freed by bsq_result_free (NULL is allowed). */
struct bsq_result *bsq_result_create(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages,
                                     const struct bsq_memory *memory);
void bsq_result_free(struct bsq_result *result);

/* Writes the codes, zero points (M x scales_per_channel) and offsets by which a host knows them, of grids that have
 * them. */
void bsq_result_codes(const struct bsq_result *result, int8_t *codes);
void bsq_result_zero_points(const struct bsq_result *result, int32_t *zero_points);
void bsq_result_offsets(const struct bsq_result *result, float *offsets);

/* Takes over a host's tensor, which was checked; 'result' has its extents. */
void bsq_result_take(struct bsq_result *result, const bsq_tensor_t *tensor);

/* Sets the fields of the grid in options to those of a result. The levels stay the result's. */
void bsq_result_grid(const struct bsq_result *result, bsq_options_t *options);

/* Gives the weight of input 'i' of output channel 'm' that the result stands for. */
double bsq_result_weight(const struct bsq_result *result, int64_t m, int64_t i);

/* Counts the bytes that it takes. */
size_t bsq_result_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages);

#endif
