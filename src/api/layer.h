/* The handle behind bsq_layer_t: only the files of this folder, which are the public calls, include this. */
#ifndef BSQ_API_LAYER_H
#define BSQ_API_LAYER_H

#include "base/floats.h"
#include "base/geometry.h"
#include "base/memory.h"
#include "base/status.h"
#include "input/histogram.h"
#include "input/quantizer.h"
#include "solve/result.h"
#include "stats/stats.h"

#include <stdatomic.h>

/* Where the input quantizer comes from. Before it is fixed it follows from the options and what was observed. */
enum { BSQ_QUANTIZER_OPEN = 0, BSQ_QUANTIZER_GIVEN = 1, BSQ_QUANTIZER_FIXED = 2 };

struct bsq_layer_t {
    atomic_int busy;          /* 1 while a call is at work */
    struct bsq_floats floats; /* of the thread whose call that is */
    struct bsq_geometry geometry;
    bsq_options_t options; /* complete and checked; its levels are those below */
    int8_t levels[BSQ_BEAM_LEVELS];
    struct bsq_memory memory;
    struct bsq_message message;
    float *weights;                  /* M x n */
    float *bias;                     /* M, or NULL */
    struct bsq_histogram *histogram; /* NULL before the first bsq_layer_observe, and once the quantizer is fixed */
    struct bsq_quantizer quantizer;  /* given, fixed or, while open, chosen from what was observed */
    int32_t quantizer_state;
    int32_t quantizer_chosen;     /* while open: 1 when 'quantizer' is up to date */
    struct bsq_stats_t *stats;    /* or NULL */
    struct bsq_stats_t *held_out; /* or NULL */
    struct bsq_result *result;    /* or NULL */
};

/* ---- layer.c ---- */

/* Makes a layer with copies of weights and bias (or NULL) and nothing else; NULL when out of memory. */
bsq_layer_t *bsq_layer_new(const struct bsq_geometry *geometry, const bsq_options_t *options,
                           const struct bsq_memory *memory, const float *weights, const float *bias);

/* ---- handle.c ---- */

/* Starts a call on a handle: ARGUMENT when 'layer' is NULL, STATE when another call is at work, from a callback
 * or another thread; else it is this call's until bsq_layer_leave, which returns 'status'. */
bsq_status_t bsq_layer_enter(bsq_layer_t *layer);
bsq_status_t bsq_layer_leave(bsq_layer_t *layer, bsq_status_t status);

/* ARGUMENT when 'pointer' is NULL; 'name' is for the text. */
bsq_status_t bsq_layer_require(bsq_layer_t *layer, const void *pointer, const char *name);

/* STATE before there is a result. */
bsq_status_t bsq_layer_require_result(bsq_layer_t *layer);

/* The statistics if they say something, else NULL. */
const struct bsq_stats_t *bsq_layer_known(const struct bsq_stats_t *stats);

/* Writes one line to the host's log, if it has one. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void bsq_layer_log(const bsq_layer_t *layer, int32_t level, const char *format, ...);

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

/* Makes a copy of options, and of their levels, the layer's. */
void bsq_layer_keep_options(bsq_layer_t *layer, const bsq_options_t *options);

/* Forgets what was chosen from observations and no longer holds. */
void bsq_layer_forget_choice(bsq_layer_t *layer);

/* ---- optimize.c ---- */

/* Solves by 'options' into a new result; or, where one is 'given' (its codes and scales), judges that. */
bsq_status_t bsq_layer_solve(bsq_layer_t *layer, const bsq_options_t *options, const struct bsq_result *given,
                             struct bsq_result **result);

/* Checks that what getters give of a result is finite in float32: NUMERIC otherwise (results.c). */
bsq_status_t bsq_layer_check_result(bsq_layer_t *layer, const struct bsq_result *result);

/* Writes the report of a result to the host; and finds out before the work whether that is possible. */
bsq_status_t bsq_layer_write_report(bsq_layer_t *layer, bsq_report_t *to, const struct bsq_result *result);
bsq_status_t bsq_layer_check_report(bsq_layer_t *layer, bsq_report_t *to);

/* ---- calibrate.c ---- */

/* Gathers what adding to a layer's statistics needs; 'parallel' is the caller's. */
struct bsq_stats_work bsq_layer_stats_work(bsq_layer_t *layer, const struct bsq_parallel *parallel);

/* Finds the statistics that 'held_out' means, to be replaced by the caller. */
struct bsq_stats_t **bsq_layer_stats_slot(bsq_layer_t *layer, int32_t held_out);

#endif
