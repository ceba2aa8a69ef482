/* The handle behind bsq_layer_t: only the files of this folder, which are the public calls, include this. */
#ifndef BSQ_API_LAYER_H
#define BSQ_API_LAYER_H

#include "input/histogram.h"
#include "input/quantizer.h"
#include "base/geometry.h"
#include "base/memory.h"
#include "solve/result.h"
#include "stats/stats.h"
#include "base/status.h"

/* Where the input quantizer comes from. Before it is fixed it follows from the options and what was observed. */
enum { BSQ_QUANTIZER_OPEN = 0, BSQ_QUANTIZER_GIVEN = 1, BSQ_QUANTIZER_FIXED = 2 };

struct bsq_layer_t {
    struct bsq_geometry geometry;
    bsq_options_t options; /* complete and checked */
    struct bsq_memory memory;
    struct bsq_message message;
    float *weights;                   /* M x n */
    float *bias;                      /* M, or NULL */
    struct bsq_histogram *histogram;  /* NULL before the first bsq_layer_observe, and once the quantizer is fixed */
    struct bsq_quantizer quantizer;   /* given, fixed or, while open, chosen from what was observed */
    int32_t quantizer_state;
    int32_t quantizer_chosen;         /* while open: 1 when 'quantizer' is up to date */
    struct bsq_stats_t *stats;        /* or NULL */
    struct bsq_stats_t *held_out;     /* or NULL */
    struct bsq_result *result;        /* or NULL */
};

/* How every call on a handle starts: clears the text of the last failure; ARGUMENT when 'layer' is NULL. */
bsq_status_t bsq_layer_enter(bsq_layer_t *layer);

/* ARGUMENT when 'pointer' is NULL; 'name' is for the text. */
bsq_status_t bsq_layer_require(bsq_layer_t *layer, const void *pointer, const char *name);

/* STATE before the first bsq_optimize. */
bsq_status_t bsq_layer_require_result(bsq_layer_t *layer);

/* ---- input_quantizer.c ---- */

/* Gives the quantizer that the next batch would meet, its channels those of the layer; STATE when it is still
 * unknown. */
bsq_status_t bsq_layer_resolve_quantizer(bsq_layer_t *layer, struct bsq_quantizer *quantizer);

/* Gives the quantizer under which a layer can take over inputs that were quantized by 'theirs': its own, or theirs when
 * it only knows the number of bits and the kind of scale so far. */
bsq_status_t bsq_layer_adopt_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *theirs,
                                       struct bsq_quantizer *quantizer);

/* Fixes the quantizer, from the first statistics on: what was observed no longer matters. */
void bsq_layer_fix_quantizer(bsq_layer_t *layer, const struct bsq_quantizer *quantizer);

/* Forgets what was chosen from observations and no longer holds. */
void bsq_layer_forget_choice(bsq_layer_t *layer);

/* ---- calibrate.c ---- */

/* Gathers what adding to a layer's statistics needs; 'parallel' is the caller's. */
struct bsq_stats_work bsq_layer_stats_work(bsq_layer_t *layer, const struct bsq_parallel *parallel);

/* Finds the statistics that 'held_out' means, to be replaced by the caller. */
struct bsq_stats_t **bsq_layer_stats_slot(bsq_layer_t *layer, int32_t held_out);

/* ---- layer.c ---- */

/* One line for the host's log, if it has one. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void bsq_layer_log(const bsq_layer_t *layer, int32_t level, const char *format, ...);

#endif
