/* What a solve leaves behind: codes, scales, bias and the report. */
#ifndef BSQ_SOLVE_RESULT_H
#define BSQ_SOLVE_RESULT_H

#include "base/geometry.h"
#include "base/memory.h"
#include "input/quantizer.h"

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
    int32_t stage_count;
    int8_t *codes;       /* M x n */
    double *scales;      /* M x scales_per_channel, per tensor too (all the same); each a float32 value */
    double *bias_change; /* M, to be added to the layer's bias; zeros without correction */
    bsq_report_t report;
    bsq_stage_t *stages;         /* stage_count */
    bsq_channel_t *channel;      /* M */
    struct bsq_quantizer inputs; /* the input quantizer at the time; bits 0 when inputs stay float or it is unknown */
};

/* Creates a result of zeros with room for 'stages' stages, for the bits, range and scales of 'options'; NULL when out of
 * memory. One block of memory, freed by bsq_result_free (NULL is allowed). */
struct bsq_result *bsq_result_create(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages,
                                     const struct bsq_memory *memory);
void bsq_result_free(struct bsq_result *result);

/* Counts the bytes that it takes. */
size_t bsq_result_bytes(const struct bsq_geometry *geometry, const bsq_options_t *options, int32_t stages);

#endif
