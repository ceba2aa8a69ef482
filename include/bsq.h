/* bsq.h - quantize the weights of trained layers to 1 to 8 bits by bit-split and stitching
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A host describes one layer, hands over its float weights, streams activations through it, and takes back integer
 * codes, scales and bias, with a report that says how good they are:
 *
 *     bsq_layer_create      describe the layer, hand over the weights
 *     bsq_layer_observe     (only when activations are quantized too) see the range of the inputs
 *     bsq_layer_calibrate   stream batches of inputs, with the wanted outputs where they are known
 *     bsq_optimize          choose codes and scales
 *     bsq_layer_get_tensor  read the result; bsq_tensor_pack writes it in an engine's layout
 *     bsq_layer_free
 *
 * Words and symbols, the same everywhere in this library:
 *
 *     M        output channels
 *     G        convolution groups (1 for a linear layer)
 *     n        fan-in: in_channels / G x kernel volume, the number of weights of one output channel
 *     row      one output position of one sample: the n inputs that meet one channel's weights
 *     weights  M x n float32, each channel's n in the order of the layer's weight layout
 *     codes    M x n int8, same order; w ~ scale * code
 *     H        mean over rows of x x', n x n for each group; P mean of x y'
 *     J        the objective: the mean squared output error of a channel, plus damping (docs/method.md)
 *
 * Rules that hold for every call:
 *
 *   - Calls that can fail return a bsq_status_t; results go through out parameters, handles are NULL on failure. On
 *     failure nothing is lost: the handle stays usable, statistics and results are what they were before the call.
 *     Text for people is in the handle (bsq_layer_error_message), or in the caller's bsq_error_t, which is always the
 *     last parameter and may be NULL.
 *   - Buffers are either "copied" or "borrowed until the call returns"; nothing is borrowed longer.
 *   - Structs start with struct_size. Call the struct's init function first: it sets every field to its default and
 *     zeroes reserved fields, writing no more than the size that it is given. A shorter struct, from an older header,
 *     is completed with defaults, and written no further than it reaches; a longer one is accepted if what this
 *     library does not know in it is zero, else the call fails with BSQ_E_VERSION. Reserved fields must be zero.
 *   - Enumerations have values of their own: a constant of another enumeration in a field is an ARGUMENT error that
 *     names the field, and so is a zero where no init function was called. A constant has the name of its field.
 *   - One layer is used by one thread at a time; different layers may be used in parallel, clones and layers that share
 *     statistics too. Functions that take no handle may be called from any thread at any time.
 *   - A callback must not call into a layer that is at work: such a call returns STATE and does nothing, as does one
 *     from a second thread. bsq_layer_free does nothing then either, so the layer is still to be freed.
 *   - Calls work, and call back, in the default floating-point environment (round to nearest, no traps, denormals kept)
 *     and leave the caller's as it was.
 *   - Results are bit-identical for any options.threads, any host pool, and any cut of the same rows into batches,
 *     from run to run, for one build, one CPU type and one OpenBLAS variant and thread setting. They are not promised
 *     to stay the same from one version of the library to the next.
 *   - The library never prints, aborts, reads the environment, installs a handler or changes global state.
 *
 * All extents are int64_t, all enumerations int32_t with pinned values, byte and element counts size_t in calls. Fields
 * of structs are int32_t, int64_t, float, double and pointers; only struct_size and bsq_error_t's capacity are size_t.
 */
#ifndef BSQ_H
#define BSQ_H

#include <stddef.h>
#include <stdint.h>

#define BSQ_VERSION_MAJOR 0
#define BSQ_VERSION_MINOR 1
#define BSQ_VERSION_PATCH 0
/* major * 10000 + minor * 100 + patch */
#define BSQ_VERSION (BSQ_VERSION_MAJOR * 10000 + BSQ_VERSION_MINOR * 100 + BSQ_VERSION_PATCH)
#define BSQ_VERSION_STRING "0.1.0"

/* BSQ_API: what the library exports. BSQ_CALL: the calling convention, of callbacks too. On Windows define BSQ_BUILD in
 * the library's own build, BSQ_STATIC in hosts that link it statically. */
#if defined(_WIN32)
#if defined(BSQ_BUILD)
#define BSQ_API __declspec(dllexport)
#elif defined(BSQ_STATIC)
#define BSQ_API
#else
#define BSQ_API __declspec(dllimport)
#endif
#define BSQ_CALL __cdecl
#elif defined(__GNUC__)
#define BSQ_API __attribute__((visibility("default")))
#define BSQ_CALL
#else
#define BSQ_API
#define BSQ_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version and status ---------------------------------------------------------------------------------- */

/* What a call returns. Values are pinned, grouped by cause with gaps, and never reused. */
typedef int32_t bsq_status_t;

enum {
    BSQ_OK = 0,
    BSQ_E_ARGUMENT = -100,  /* a NULL where none may be, an unknown enumeration value, a reserved field in use */
    BSQ_E_RANGE = -110,     /* an option or a number outside the bounds that its comment gives */
    BSQ_E_SHAPE = -200,     /* extents that are not positive, disagree, or are too large for this machine */
    BSQ_E_SIZE = -210,      /* a buffer that has not the exact size that its size query gives */
    BSQ_E_STATE = -300,     /* a call that is too early, too late, or on a layer that is at work */
    BSQ_E_MEMORY = -400,    /* the allocator returned NULL */
    BSQ_E_NUMERIC = -500,   /* NaN or infinity in data; the message names the index */
    BSQ_E_FORMAT = -600,    /* the format cannot hold these codes, or bytes that are not of this format */
    BSQ_E_CORRUPT = -610,   /* exported statistics that are truncated or damaged */
    BSQ_E_MISMATCH = -620,  /* statistics of another layer geometry or input quantizer, a tensor of another layer */
    BSQ_E_CANCELLED = -700, /* the progress callback asked to stop */
    BSQ_E_VERSION = -800    /* a struct or exported statistics of a version that this library does not know */
};

/* The version of the library that is linked, as BSQ_VERSION and BSQ_VERSION_STRING are of this header. */
BSQ_API int32_t BSQ_CALL bsq_version(void);
BSQ_API const char *BSQ_CALL bsq_version_string(void);

/* A short English text for a status, never NULL; static, never freed. */
BSQ_API const char *BSQ_CALL bsq_status_string(bsq_status_t status);

/* Where calls without a handle leave status and text, "" on success. 'message' is a buffer of the caller of 'capacity'
 * bytes (or NULL): the text is cut to fit and always ends in 0. */
typedef struct bsq_error_t {
    size_t struct_size;
    char *message;
    size_t capacity;
    int32_t status; /* written: the status that was returned */
    int32_t reserved;
} bsq_error_t;
BSQ_API void BSQ_CALL bsq_error_init(bsq_error_t *error, size_t struct_size);

/* ---- callbacks ------------------------------------------------------------------------------------------- */

/* Memory: bsq_alloc_fn returns a block aligned for any C type, or NULL; bsq_free_fn takes any block that it gave, never
 * NULL. Both NULL means malloc and free; one alone is an ARGUMENT error. Called on the calling thread only. Statistics
 * keep their own copy of the hooks, so both must work until the last layer and bsq_stats_t that came from them is
 * freed. What OpenBLAS allocates for itself is outside of them. */
typedef void *(BSQ_CALL *bsq_alloc_fn)(size_t size, void *opaque);
typedef void(BSQ_CALL *bsq_free_fn)(void *block, void *opaque);

/* Progress: called on the calling thread between blocks of work. Any value but 0 stops the call,
 * which then calls back no more, returns BSQ_E_CANCELLED and leaves the layer as it was. */
typedef struct bsq_progress_t {
    size_t struct_size;
    double fraction;  /* of the whole call, 0..1, never falling */
    double objective; /* sum of J over the channels that are finished */
    int64_t done;     /* blocks of work */
    int64_t total;
    int32_t stage; /* BSQ_STAGE_... of the work that just ended */
    int32_t reserved;
} bsq_progress_t;

typedef int32_t(BSQ_CALL *bsq_progress_fn)(const bsq_progress_t *progress, void *opaque);

enum { BSQ_LOG_WARNING = 1501, BSQ_LOG_INFO = 1502 };

/* Messages for a log, one line without newline; 'text' is borrowed until the callback returns. Silent when NULL. */
typedef void(BSQ_CALL *bsq_log_fn)(int32_t level, const char *text, void *opaque);

/* A host's own thread pool: run fn(context, i) for every i in 0..count-1, in any order, on any threads, and return
 * when all of them have returned. Only 'fn' runs on those threads; it allocates nothing and calls no host callback.
 * The library asks for at most options.threads blocks at a time, and never for one alone: with options.threads 1 all
 * work is done on the calling thread. When NULL the library starts threads of its own. */
typedef void(BSQ_CALL *bsq_block_fn)(void *context, int64_t index);
typedef void(BSQ_CALL *bsq_parallel_for_fn)(int64_t count, bsq_block_fn fn, void *context, void *opaque);

/* ---- options --------------------------------------------------------------------------------------------- */

enum { BSQ_SOLVER_AUTO = 10, BSQ_SOLVER_ROUND = 11, BSQ_SOLVER_PAPER = 12 };
enum {
    BSQ_WEIGHT_GRID_SYMMETRIC = 100,
    BSQ_WEIGHT_GRID_FULL = 101,
    BSQ_WEIGHT_GRID_ZERO_POINT = 102,
    BSQ_WEIGHT_GRID_OFFSET = 103,
    BSQ_WEIGHT_GRID_LEVELS = 104,
    BSQ_WEIGHT_GRID_POWERS_OF_TWO = 105,
    BSQ_WEIGHT_GRID_NF4 = 106,
    BSQ_WEIGHT_GRID_IQ4_NL = 107,
    BSQ_WEIGHT_GRID_E2M1 = 108
};
enum { BSQ_SCALE_KIND_PER_TENSOR = 200, BSQ_SCALE_KIND_PER_CHANNEL = 201, BSQ_SCALE_KIND_PER_GROUP = 202 };
enum {
    BSQ_SCALE_FORMAT_FLOAT32 = 300,
    BSQ_SCALE_FORMAT_FLOAT16 = 301,
    BSQ_SCALE_FORMAT_POWER_OF_TWO = 302,
    BSQ_SCALE_FORMAT_BFLOAT16 = 303,
    BSQ_SCALE_FORMAT_E8M0 = 304,
    BSQ_SCALE_FORMAT_E4M3 = 305
};
enum {
    BSQ_INPUT_TYPE_AUTO = 400,
    BSQ_INPUT_TYPE_UNSIGNED = 401,
    BSQ_INPUT_TYPE_SIGNED = 402,
    BSQ_INPUT_TYPE_ZERO_POINT = 403
};
enum { BSQ_INPUT_SCALE_KIND_PER_TENSOR = 500, BSQ_INPUT_SCALE_KIND_PER_CHANNEL = 501 };
enum { BSQ_INPUT_CLIP_SQUARED_ERROR = 600, BSQ_INPUT_CLIP_MINIMUM_MAXIMUM = 601, BSQ_INPUT_CLIP_PERCENTILE = 602 };

/* Grids: what a weight of one scale may be, c being its code.
 *
 *   symmetric      scale * c, -(2^(b-1)-1) <= c < 2^(b-1); with 1 bit scale * (2 c - 1), 0 <= c < 2
 *   full           scale * c, -2^(b-1) <= c < 2^(b-1)
 *   zero point     scale * (c - zero_point), both 0..2^b-1, a zero point for each scale
 *   offset         scale * c + offset, 0 <= c < 2^b, an offset for each scale
 *   levels         scale * levels[c], 0 <= c < level_count: the host's table of int8 levels, or a named one:
 *   powers of two  0, +-1, +-2, +-4 .. +-2^(2^(b-1)-2), 2..4 bits: 2^b - 1 levels
 *   NF4, IQ4_NL    4 bits, 16 levels (docs/formats.md)
 *   E2M1           4 bits, 15 levels: 0, +-1, +-2, +-3, +-4, +-6, +-8, +-12, twice the values of the format
 *
 * Codes of symmetric (from 2 bits) and full are int8, all others start at 0 and are uint8. Those below full need a
 * scale for each channel or group, not one for a tensor. Scales are values of 'scale_format':
 *
 *   float32        any normal float32
 *   float16        values of IEEE binary16, where scales stand alone the solver takes normal ones; bfloat16: normal
 *                  float32 values of 8 binary digits
 *   power of two   2^-126..2^127; E8M0 the same range with a byte of its own
 *   E4M3           scale_unit, one float32 for the whole tensor, times a value of the 8-bit float: 2^-9..448
 *
 * Offsets are values of the same format, of either sign, or 0; with power of two, E8M0 and E4M3 there are none.
 * With 'scale_bits' b scales have two levels: an integer of 1..2^b-1, or -2^(b-1)..2^(b-1)-1 but 0 when 'scale_signed',
 * times a value of 'scale_format' (float32, float16 or bfloat16) that 'super_group' scales share. Offsets then are an
 * integer 0..2^b-1 times a value of their own, at most 0. Without scale_bits, scale_signed is for the full grid, whose
 * lowest code then serves the larger side of each group, and for levels. */

/* How to quantize. Copied by every call that takes it. Defaults are in brackets. */
typedef struct bsq_options_t {
    size_t struct_size;

    bsq_alloc_fn memory_alloc; /* [NULL] */
    bsq_free_fn memory_free;   /* [NULL] */
    void *memory_opaque;
    bsq_progress_fn progress; /* [NULL] */
    void *progress_opaque;
    bsq_log_fn log; /* [NULL] */
    void *log_opaque;
    bsq_parallel_for_fn parallel_for; /* [NULL] */
    void *parallel_opaque;

    /* Ridge that pulls towards the original weights, as a share of mean(diag H), 0..1; negative chooses it from
     * N / n: 0.3 n / N, at most 0.3 and at least 1e-6; 1e-6 when N is unknown. [-1] */
    double damping;
    /* mu, 0..1. 0: reproduce the layer's own float output on the inputs that it gets. 1: reproduce the target
     * that the batches bring. Taken as 0 when the batches bring none. [1] */
    double asymmetry;
    /* Share of the input values that BSQ_INPUT_CLIP_PERCENTILE keeps inside the range, above 0.5 to 1. [0.9999] */
    double input_percentile;
    /* Inputs that share a scale, counted along a channel's n weights in the order of the weight layout; the last
     * group may be shorter. Used with BSQ_SCALE_KIND_PER_GROUP, where it must be 1..n. [0] */
    int64_t group_size;

    int32_t weight_bits;     /* 2..8; 1 with the symmetric, zero point and offset grids [4] */
    int32_t weight_grid;     /* the values that a weight may take, see "grids" [symmetric] */
    int32_t scale_kind;      /* [per channel] */
    int32_t scale_format;    /* the values that a scale may take, see "grids" [float32] */
    int32_t solver;          /* paper: symmetric grid, per channel, float32 scales [auto] */
    int32_t effort;          /* 0..9: how much work BSQ_SOLVER_AUTO spends; 0 rounds; J never rises with it [5] */
    int32_t threads;         /* 1..1024: how many threads one call may use [1] */
    int32_t bias_correction; /* 1: also correct the bias for the mean of the output error [0] */

    int32_t input_bits; /* 0: inputs stay float; 2..8: inputs are quantized before they enter the statistics [0] */
    int32_t input_type; /* auto: unsigned when no negative value was observed, else with a zero point [auto] */
    int32_t input_clip; /* how the range comes from what was observed [squared error] */
    int32_t select_on_held_out; /* 1: of efforts 0..effort the one of least held-out error is kept; without held-out
                                   statistics, or with another solver than auto, it does nothing [0] */
    int32_t input_scale_kind;   /* one scale for all inputs, or one for each input channel, folded into the weights; see
                                 "input quantizer" for when that is legal [per tensor] */
    int32_t lower_bound;  /* 1: the report says what J cannot be below, for up to 1024 inputs and one scale a channel or
                            a tensor. May take much longer than the solve, and can change a code here and there [0] */
    const int8_t *levels; /* with BSQ_WEIGHT_GRID_LEVELS: 'level_count' levels in ascending order, not all of them 0;
                                copied [NULL] */
    int64_t super_group;  /* with scale_bits: scales that share a multiple; the last may be fewer [0] */
    int32_t level_count;  /* 2..2^weight_bits [0] */
    int32_t scale_bits;   /* 4, 6, 8: two-level scales, see "grids"; 0: scales stand alone [0] */
    int32_t scale_signed; /* 1: scales may be negative [0] */
    float scale_unit;     /* with E4M3: what scales are multiples of; 0: chosen from the weights [0] */
    int32_t zero_point_least; /* 1: no zero point is 0, as GPTQ's first version needs it [0] */
    int32_t keep_scales; /* 1: bsq_optimize keeps the scales, zero points and offsets of the result that the layer has
                                (STATE without one), and chooses codes alone [0] */
} bsq_options_t;
BSQ_API void BSQ_CALL bsq_options_init(bsq_options_t *options, size_t struct_size);

/* ---- the layer ------------------------------------------------------------------------------------------- */

enum { BSQ_KIND_LINEAR = 700, BSQ_KIND_CONV = 701 };
enum { BSQ_WEIGHT_LAYOUT_OIHW = 800, BSQ_WEIGHT_LAYOUT_OHWI = 801 };
enum { BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST = 900, BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST = 901 };

/* What a layer computes. Spatial arrays are in the order of the tensor's spatial extents (height before width,
 * depth before both); entries from spatial_dims on are ignored.
 *
 * Weights: linear (M, in_channels); convolution, O = M, I = in_channels / groups, spatial extents K...:
 *   OIHW  (O, I, K...)       OHWI  (O, K..., I)
 * Depthwise is groups = in_channels; out_channels may be a multiple of it (channel multiplier). Output channel o
 * belongs to group o / (M / groups).
 *
 * Activations: linear (size, channels); convolution:
 *   channels first  (size, channels, spatial...)       channels last  (size, spatial..., channels)
 * Padding reads as zero. */
typedef struct bsq_layer_desc_t {
    size_t struct_size;
    int64_t in_channels;
    int64_t out_channels;
    int64_t groups;            /* [1] */
    int64_t kernel[3];         /* [1, 1, 1] */
    int64_t stride[3];         /* [1, 1, 1] */
    int64_t dilation[3];       /* [1, 1, 1] */
    int64_t pad_begin[3];      /* [0, 0, 0] */
    int64_t pad_end[3];        /* [0, 0, 0] */
    int32_t kind;              /* [linear] */
    int32_t spatial_dims;      /* convolution: 1, 2 or 3 [0] */
    int32_t weight_layout;     /* [OIHW] */
    int32_t activation_layout; /* [channels first] */
} bsq_layer_desc_t;
BSQ_API void BSQ_CALL bsq_layer_desc_init(bsq_layer_desc_t *desc, size_t struct_size);

typedef struct bsq_layer_t bsq_layer_t;

/* Creates a layer.
 * 'desc' and 'options' (NULL: all defaults) are copied, 'weights' (M * n float32) and 'bias' (M float32, or NULL) are
 * copied. Returns BSQ_OK and a handle in '*layer', to be freed with bsq_layer_free by the caller; else the status is
 * one of ARGUMENT, RANGE, SHAPE, NUMERIC (weights or bias not finite), MEMORY, VERSION. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_create(const bsq_layer_desc_t *desc, const bsq_options_t *options,
                                               const float *weights, const float *bias, bsq_layer_t **layer,
                                               bsq_error_t *error);

/* Creates a second layer with the same description, options, weights, input quantizer and statistics, without
 * results. Statistics are shared until either side adds to its own, which then gets its own copy. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_clone(bsq_layer_t *layer, bsq_layer_t **clone);

/* Creates a layer of 'count' output channels from 'first' on, of whole groups where there are several, with the same
 * options, weights, bias, input quantizer and statistics, without results: a part of the work for another thread or
 * machine. H is shared where there is one group. Solved on its own it may differ from the same channels of the whole in
 * last bits and in what is chosen for all channels together. RANGE for channels that the layer has not, or parts of
 * groups. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_slice(bsq_layer_t *layer, int64_t first, int64_t count, bsq_layer_t **slice);

/* What a fingerprint is of. */
enum {
    BSQ_FINGERPRINT_DESCRIPTION = 1701, /* what bsq_layer_create was told, options apart */
    BSQ_FINGERPRINT_WEIGHTS = 1702,     /* weights and bias */
    BSQ_FINGERPRINT_INPUTS = 1703,      /* the input quantizer: fixed, given, or as it follows from what was observed */
    BSQ_FINGERPRINT_STATISTICS = 1704   /* both kinds of statistics, to the last bit */
};

/* Computes 64 bits that are the same for the same thing, on machines of one kind and one version of the library, and
 * hardly ever for another: so that machines can tell whether they have the same layer. Reads all of it once. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_fingerprint(bsq_layer_t *layer, int32_t what, int64_t *fingerprint);

/* Frees the layer; NULL is allowed. Statistics that others hold stay alive. */
BSQ_API void BSQ_CALL bsq_layer_free(bsq_layer_t *layer);

/* Replaces the options by a copy of 'options' (NULL: all defaults), for the next bsq_optimize; results stay. Or reads
 * them. STATE when the allocator would change, or an input_... field once the input quantizer is fixed. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_options(bsq_layer_t *layer, const bsq_options_t *options);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_options(bsq_layer_t *layer, bsq_options_t *options);

/* Text of the last failed call on this layer, "" before the first; it stays until the next failure. Owned by the layer,
 * valid until the next call on it. 'layer' NULL, or at work, gives a text too. */
BSQ_API const char *BSQ_CALL bsq_layer_error_message(const bsq_layer_t *layer);

/* Bits of 'state'. */
enum {
    BSQ_STATE_STATISTICS = 1, /* there are statistics that are not held out, */
    BSQ_STATE_TARGETS = 2,    /* they have targets, */
    BSQ_STATE_MEANS = 4,      /* and means of the inputs, as bias correction needs them */
    BSQ_STATE_HELD_OUT = 8,   /* there are held-out statistics */
    BSQ_STATE_OBSERVED = 16,  /* values were observed from which the input quantizer would be chosen */
    BSQ_STATE_QUANTIZER_FIXED = 32,
    BSQ_STATE_RESULT = 64
};

/* What a layer is, and how far it has come. */
typedef struct bsq_layer_info_t {
    size_t struct_size;
    int64_t in_channels;
    int64_t out_channels; /* M */
    int64_t groups;       /* G */
    int64_t fan_in;       /* n */
    int32_t state;        /* BSQ_STATE_... bits */
    int32_t reserved;
} bsq_layer_info_t;
BSQ_API void BSQ_CALL bsq_layer_info_init(bsq_layer_info_t *info, size_t struct_size);

/* Reads what the layer is, and how far it has come. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_info(bsq_layer_t *layer, bsq_layer_info_t *info);

/* The largest number of bytes that a layer of this kind will ask from the allocator at one time, over its whole life
 * at these options (NULL: all defaults), however many rows it sees. It assumes that batches bring targets, that there
 * are no held-out batches, that no other layer holds the statistics, that tensors are only read, and that error tables
 * end at options.weight_bits. Fails as bsq_layer_create does. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_memory(const bsq_layer_desc_t *desc, const bsq_options_t *options,
                                               size_t *bytes, bsq_error_t *error);

/* ---- calibration ----------------------------------------------------------------------------------------- */

enum { BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE = 1000, BSQ_ROW_WEIGHTS_KIND_PER_ROW = 1001 };

/* One batch of activations; every buffer is borrowed until the call returns.
 * A sample has 1 row in a linear layer, as many rows as output positions in a convolution. */
typedef struct bsq_batch_t {
    size_t struct_size;
    const float *input;       /* (size, in_channels, spatial...) or (size, spatial..., in_channels) float32 */
    const float *target;      /* the float network's output before its activation function, bias included:
                                 (size, M, output spatial...) or channels last as the input; or NULL [NULL] */
    const float *row_weights; /* finite, >= 0: 'size' of them, or one per row in the order sample, output position;
                                 a row of weight 0 does not count; or NULL: all 1 [NULL] */
    int64_t size;             /* samples, >= 0 */
    int64_t spatial[3];       /* input extents without padding; ignored by linear layers [0, 0, 0] */
    int32_t row_weights_kind; /* [per sample] */
    int32_t held_out;         /* 1: into statistics of their own, which only judge the result [0] */
} bsq_batch_t;
BSQ_API void BSQ_CALL bsq_batch_init(bsq_batch_t *batch, size_t struct_size);

/* How many elements the buffers of a batch of that size, spatial extents and row_weights_kind must have; buffers are
 * not looked at. 'input', 'target' and 'row_weights' may be NULL. SHAPE where the kernel does not fit. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_batch_counts(bsq_layer_t *layer, const bsq_batch_t *batch, size_t *input,
                                                     size_t *target, size_t *row_weights);

/* Adds the values of 'batch' to the histograms from which the input quantizer is chosen. Target, row weights and
 * held_out are ignored. Needed once at least before the first bsq_layer_calibrate when options.input_bits > 0 and
 * the host gives no quantizer; STATE when the quantizer is already fixed or input_bits is 0.
 * The batch is checked whole before any of it counts: SHAPE, or NUMERIC for NaN and infinity. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_observe(bsq_layer_t *layer, const bsq_batch_t *batch);

/* Adds the rows of 'batch' to the statistics. The first call that brings rows fixes the input quantizer.
 * Either all batches bring a target or none does, held-out batches counted apart (STATE otherwise).
 * The batch is checked whole before any of it counts: SHAPE, or NUMERIC for NaN and infinity in any buffer.
 * Memory use does not depend on the batch. CANCELLED from the progress callback takes the whole batch back. For that a
 * batch that fills more than one tile of rows (512, fewer from 8193 inputs on) is added to a copy of the statistics,
 * which takes as much again while the call lasts; for smaller ones the callback is asked once, before any of it counts.
 */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_calibrate(bsq_layer_t *layer, const bsq_batch_t *batch);

/* ---- input quantizer ------------------------------------------------------------------------------------- */

/* How inputs become codes: x ~ scale * (code - zero_point), where
 * code = clamp(round_half_even(x / scale) + zero_point, lowest, highest):
 *   BSQ_INPUT_TYPE_UNSIGNED   0..2^bits-1, zero_point 0
 *   BSQ_INPUT_TYPE_SIGNED     -2^(bits-1)..2^(bits-1)-1, zero_point 0
 *   BSQ_INPUT_TYPE_ZERO_POINT 0..2^bits-1, zero_point in that range
 * Zero, and so padding, is always exact.
 *
 * With a scale for each input channel, x_c ~ scale_c * (code - zero_point_c), the factor beta_c = scale_c / scale is
 * folded: the layer gets inputs divided by beta_c, and its weights are multiplied by beta_c before they are quantized.
 * Statistics, codes and scales of the weights are those of the folded layer, so that integer arithmetic still needs one
 * multiplier for each output channel (docs/formats.md has the formula). This is legal when the producer can requantize
 * by channel, and all that read the tensor are layers that take the same quantizer (docs/method.md). */
typedef struct bsq_input_quantizer_t {
    size_t struct_size;
    double scale;       /* > 0, a normal float32 value */
    int32_t zero_point; /* 0 when channels have their own */
    int32_t bits;       /* 2..8 */
    int32_t type;       /* one of the three above */
    int32_t scale_kind; /* BSQ_INPUT_SCALE_KIND_...; written by bsq_layer_get_input_quantizer [per tensor] */
} bsq_input_quantizer_t;
BSQ_API void BSQ_CALL bsq_input_quantizer_init(bsq_input_quantizer_t *quantizer, size_t struct_size);

/* Gives the layer an input quantizer with one scale for all inputs, copied; options.input_... then no longer matter.
 * STATE after the first bsq_layer_calibrate, RANGE for values outside the bounds above, NUMERIC when a code stands for
 * an input beyond float32. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_input_quantizer(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer);

/* The same with a scale (each > 0, a normal float32 value) and a zero point for each of 'count' = in_channels channels;
 * 'zero_points' NULL: all 0. Type and bits are those of 'quantizer', whose zero_point must be 0 and whose scale may be
 * any: it is the scale of the folded inputs, and decides nothing but the magnitude of the folded weights. SIZE when
 * 'count' is not in_channels. bsq_optimize fails with NUMERIC when a weight times its beta is not finite. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_input_channels(bsq_layer_t *layer, const bsq_input_quantizer_t *quantizer,
                                                           const double *scales, const int32_t *zero_points,
                                                           size_t count);

/* Reads the quantizer that is fixed, or would be fixed now from what was observed; bits, type and scale are 0 when
 * inputs stay float. STATE when nothing was observed yet, NUMERIC (from all calls that fix it) when what was observed
 * is so near the end of float32 that a code would be beyond it. From observations of channels, 'scale' is the largest
 * of the channels' scales, so that no beta is above 1. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_input_quantizer(bsq_layer_t *layer, bsq_input_quantizer_t *quantizer);

/* Reads the scale and zero point of each of 'count' = in_channels channels (either buffer may be NULL); with one scale
 * for all inputs every channel has that. A channel that was always zero has the scale of the quantizer: its beta is 1.
 * STATE when nothing was observed yet, or inputs stay float. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_input_channels(bsq_layer_t *layer, double *scales, int32_t *zero_points,
                                                           size_t count);

/* ---- statistics ------------------------------------------------------------------------------------------ */

/* A host's own second moments: means over rows, in double. The buffers are only read, and borrowed until the call
 * returns. */
typedef struct bsq_moments_t {
    size_t struct_size;
    const double *h; /* (G, n, n): mean of x x'; symmetric; x quantized, and folded when channels have scales */
    const double *input_mean;    /* (G, n): mean of x; needed for bias correction only; or NULL */
    const double *p;             /* (M, n): mean of y x, y the target without bias; NULL when there is no target */
    const double *target_mean;   /* (M): mean of y; or NULL */
    const double *target_square; /* (M): mean of y^2; needed with p */
    double rows;                 /* N, how many rows the means are of; 0 when unknown [0] */
    int32_t held_out;            /* which statistics are meant [0] */
    int32_t reserved;
} bsq_moments_t;

/* The same moments with buffers that a call writes: field for field in the place of bsq_moments_t. Buffers that are
 * NULL are not asked for. */
typedef struct bsq_moments_buffers_t {
    size_t struct_size;
    double *h;
    double *input_mean;
    double *p;
    double *target_mean;
    double *target_square;
    double rows;      /* written */
    int32_t held_out; /* which statistics are meant [0] */
    int32_t reserved;
} bsq_moments_buffers_t;

BSQ_API void BSQ_CALL bsq_moments_init(bsq_moments_t *moments, size_t struct_size);
BSQ_API void BSQ_CALL bsq_moments_buffers_init(bsq_moments_buffers_t *buffers, size_t struct_size);

/* Replaces the layer's statistics by a host's own moments, of x as the layer sees them: quantized if activations are.
 * ARGUMENT without h, NUMERIC when a value is not finite, |h_ij - h_ji| > 1e-6 sqrt(h_ii h_jj) (the mean of both is
 * taken below that), or moments contradict each other by more than a thousandth: h_ij^2 above h_ii h_jj, a mean's
 * square above the mean square, p^2 above target_square h_ii. Batches may be added afterwards when 'rows' is known. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_moments(bsq_layer_t *layer, const bsq_moments_t *moments);

/* Reads the layer's statistics into those buffers that are not NULL, and their rows; buffers->held_out says which.
 * STATE when there are none, or none of the kind asked for. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_moments(bsq_layer_t *layer, bsq_moments_buffers_t *buffers);

/* A snapshot of statistics, immutable and reference-counted. Threads: may be read by several at once. */
typedef struct bsq_stats_t bsq_stats_t;

/* Takes a reference to the layer's statistics as they are now, to be released with bsq_stats_release by the caller.
 * 'held_out' 0 or 1 says which. STATE when there are none. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_acquire_stats(bsq_layer_t *layer, int32_t held_out, bsq_stats_t **stats);

/* Adds 'stats' to the layer's statistics ('held_out' says to which). Into a layer without any it is exact: the next
 * batch continues where 'stats' stopped, bit for bit; otherwise the sum equals one pass over all rows within rounding.
 * MISMATCH when the rows are gathered in another way (below), input quantizers differ, or one side has targets and the
 * other has none, or of other output channels; without targets it does not matter how many outputs 'stats' had. A layer
 * that has observed nothing yet, with the same input_bits and input_scale_kind, takes the quantizer of 'stats'. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_merge_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats);

/* Takes over the inputs of 'stats' (H, means, N) without its targets, whatever output channels these belong to: several
 * layers that read one tensor, or slices of one layer's output channels, calibrate once. 'layer' must have no such
 * statistics yet (STATE). Batches that it gets afterwards add their target part only, and must be the rows that 'stats'
 * had seen, in the same order; bsq_optimize checks their number (STATE). Nothing is copied, and 'stats' does not
 * change. MISMATCH when input quantizers differ or rows are gathered in another way: they are the same for equal
 * in_channels, groups, kernel, stride, padding and dilation, in the same weight layout unless the kernel or a group is
 * 1 wide. A convolution with a 1-wide kernel, stride 1 and no padding gathers what a linear layer over its pixels does.
 */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_share_stats(bsq_layer_t *layer, int32_t held_out, const bsq_stats_t *stats);

/* The same with the statistics that 'source' has now, held-out ones too; 'layer' must have none of either kind. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_share_input(bsq_layer_t *layer, bsq_layer_t *source);

/* Merges 'count' snapshots (at least one) in the given order into a new one, as bsq_layer_merge_stats does, without a
 * layer: the result has the description of the first one that has rows. 'options' (NULL: defaults) gives allocator and
 * threads. The same snapshots in the same order give the same bits. MISMATCH and STATE as there. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_merge(const bsq_stats_t *const *stats, size_t count,
                                              const bsq_options_t *options, bsq_stats_t **merged, bsq_error_t *error);

/* Statistics as plain numbers, to be added up elsewhere: numbers of two snapshots of one kind of layer, added one by
 * one, are those of the rows of both. In this order: rows; sum of their weights; of the squares of these; 1; 1 with
 * targets; 1 with means of inputs; 1 with means of targets; 0; for each group the sums of x x', upper triangle of n x
 * n, row after row; the sums of x (G, n); with targets the sums of y x (M, n), of y (M), of y^2 (M). */

/* Gives how many numbers that are. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_sum_count(const bsq_stats_t *stats, size_t *count, bsq_error_t *error);

/* Writes them; 'count' must be exact (SIZE). 'options' (NULL: defaults) gives allocator and threads. STATE for moments
 * of an unknown number of rows, and where shared inputs still wait for targets. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_get_sums(const bsq_stats_t *stats, const bsq_options_t *options, double *sums,
                                                 size_t count, bsq_error_t *error);

/* Adds rows of which these are the sums, with inputs as this layer's quantizer makes them, to the layer's statistics
 * ('held_out' says to which). SIZE for a count that is none of this layer, NUMERIC when the numbers are not finite or
 * contradict each other as in bsq_layer_set_moments, MISMATCH and STATE as in bsq_layer_merge_stats. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_add_sums(bsq_layer_t *layer, int32_t held_out, const double *sums,
                                                 size_t count);

/* What a snapshot holds; the first fields are those of the layer that it came from. */
typedef struct bsq_stats_info_t {
    size_t struct_size;
    int64_t in_channels;
    int64_t out_channels;
    int64_t groups;
    int64_t fan_in;
    int64_t kernel[3];
    int64_t stride[3];
    int64_t dilation[3];
    int64_t pad_begin[3];
    int64_t pad_end[3];
    double rows;           /* rows that count; 0 when unknown, or none */
    double effective_rows; /* (sum of weights)^2 / sum of weights^2: N of reports; the same without weights */
    double target_rows;    /* rows that brought targets; fewer than rows where shared inputs still wait for some */
    double input_scale;    /* of the input quantizer; 0 when inputs stay float */
    int32_t kind;
    int32_t spatial_dims;
    int32_t weight_layout;
    int32_t activation_layout;
    int32_t has_target;
    int32_t has_means;     /* 0 for a host's moments that came without means */
    int32_t shares_inputs; /* 1: inputs are fixed, only targets can be added */
    int32_t input_bits;    /* 0: inputs stay float, and the next three are 0 */
    int32_t input_type;
    int32_t input_zero_point;
    int32_t input_scale_kind;
    int32_t reserved;
} bsq_stats_info_t;

BSQ_API void BSQ_CALL bsq_stats_info_init(bsq_stats_info_t *info, size_t struct_size);

/* Reads what a snapshot holds. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_info(const bsq_stats_t *stats, bsq_stats_info_t *info, bsq_error_t *error);

/* Gives the number of bytes that bsq_stats_export writes. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_export_size(const bsq_stats_t *stats, size_t *size, bsq_error_t *error);

/* Writes 'stats' into 'buffer' of exactly that size: versioned, little-endian, checksummed (docs/formats.md). */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_export(const bsq_stats_t *stats, void *buffer, size_t size, bsq_error_t *error);

/* Reads what bsq_stats_export wrote; 'data' is borrowed until the call returns. The allocator of 'options' is used
 * (NULL: malloc). FORMAT when it is something else, VERSION when it is newer, CORRUPT when truncated or damaged, or
 * when its moments contradict each other; then '*stats' is NULL. */
BSQ_API bsq_status_t BSQ_CALL bsq_stats_import(const void *data, size_t size, const bsq_options_t *options,
                                               bsq_stats_t **stats, bsq_error_t *error);

/* Releases a reference; NULL is allowed. */
BSQ_API void BSQ_CALL bsq_stats_release(bsq_stats_t *stats);

/* ---- solve ----------------------------------------------------------------------------------------------- */

enum {
    BSQ_STAGE_STATISTICS = 1101, /* adding rows */
    BSQ_STAGE_ROUND = 1110,      /* rounding: the start that nothing may fall behind */
    BSQ_STAGE_PREPARE = 1120,    /* damping, ordering, factor */
    BSQ_STAGE_BEAM = 1130,       /* error feedback and beam search through the factor, over a grid of scales */
    BSQ_STAGE_BITSPLIT = 1140,   /* ternary planes one after the other */
    BSQ_STAGE_DESCENT = 1150,    /* integer coordinate descent and closed-form scales */
    BSQ_STAGE_EXACT = 1155,      /* search for the joint optimum of scale and codes, for small fan-in */
    BSQ_STAGE_SCALE = 1160,      /* scales moved to the values that they may take */
    BSQ_STAGE_BIAS = 1170,       /* bias correction */
    BSQ_STAGE_NORM = 1180        /* bsq_operator_norm */
};

enum {
    BSQ_OUTCOME_NONE = 0,         /* nothing was searched for */
    BSQ_OUTCOME_CONVERGED = 1201, /* nothing that this effort tries lowers J any more (docs/method.md: to what share) */
    BSQ_OUTCOME_LIMIT = 1202,     /* some channels stopped at a limit of work; the result is valid all the same */
    BSQ_OUTCOME_PROVEN = 1203     /* no codes and scales have a J that is lower by more than 1e-6 of it */
};

/* Bits of 'warnings'. */
enum {
    BSQ_WARNING_FEW_ROWS = 1,       /* N / n is below 2 */
    BSQ_WARNING_SCALE_LIMITED = 2,  /* a scale left the normal range of its format: the nearest normal value */
    BSQ_WARNING_RAISED_DAMPING = 4, /* H was not positive definite; the search, not J, used more damping */
    BSQ_WARNING_DEAD_INPUTS = 8,    /* some inputs were always zero */
    BSQ_WARNING_DEAD_OUTPUTS = 16,  /* some channels have no weights other than zero */
    BSQ_WARNING_NO_STATISTICS = 32  /* solved from the weights alone; errors are those of the weights */
};

enum { BSQ_KERNEL_PORTABLE = 1301, BSQ_KERNEL_AVX2 = 1302, BSQ_KERNEL_AVX512 = 1303, BSQ_KERNEL_NEON = 1304 };

/* What bsq_optimize did and how good it is. J and errors are of the scales as stored, in double (docs/method.md says
 * where BSQ_SOLVER_AUTO takes some of them from single precision). Without statistics H is the identity. With bias
 * correction J does not count the mean of the output error; errors are of the outputs as they will be. */
typedef struct bsq_report_t {
    size_t struct_size;
    double objective_start;    /* sum of J over channels, of rounding */
    double objective;          /* of the result */
    double energy;             /* sum over channels of the energy that errors are relative to */
    double error;              /* relative output error: J without damping / energy; 0 when energy is 0 */
    double error_start;        /* the same of rounding */
    double error_floor;        /* what no codes can pass, relative: above 0 only with a target */
    double held_out_error;     /* relative output error on the held-out statistics; -1 when there are none */
    double held_out_energy;    /* 0 when there are none */
    double weight_error;       /* |w - scale * code|^2 / |w|^2 */
    double error_uncorrected;  /* error of the same codes without bias correction; = error when it is off */
    double error_corrected;    /* error of the same codes with every channel's bias corrected; -1 without means */
    double damping;            /* lambda of J */
    double rows;               /* N, as the effective number of rows when they are weighted; 0 when unknown */
    double rows_per_input;     /* N / n; 0 when unknown */
    double seconds;            /* of the whole call */
    int64_t sweeps;            /* passes over a channel's codes, summed over channels */
    int64_t channels_improved; /* channels that ended below rounding */
    int64_t dead_inputs;
    int64_t dead_outputs;
    int64_t channels_proven; /* channels whose outcome is BSQ_OUTCOME_PROVEN */
    double lower_bound;      /* what J cannot be below, whatever codes and scales, as a share of objective: 1 when all
                             channels are proven; channels for which no bound is known count as 0. Known where fan-in
                             is small and every channel has a float32 scale, else with options.lower_bound */
    int32_t stages;          /* how many stages bsq_layer_get_stage_report knows */
    int32_t outcome;         /* BSQ_OUTCOME_... */
    int32_t warnings;        /* BSQ_WARNING_... bits */
    int32_t kernel;          /* BSQ_KERNEL_... that ran */
    int32_t solver;          /* as it was asked for; 0 of a tensor that was judged */
    int32_t effort; /* as it was asked for, or as the held-out statistics chose it; 0 of a tensor that was judged */
    int32_t weight_bits;
    int32_t weight_grid;
} bsq_report_t;

/* One stage of the last bsq_optimize, in the order in which they ran, summed over channels. */
typedef struct bsq_stage_t {
    size_t struct_size;
    double objective_before;
    double objective_after;
    double seconds; /* summed over threads */
    int64_t sweeps;
    int32_t stage;  /* BSQ_STAGE_... */
    int32_t effort; /* the effort whose turn it was */
} bsq_stage_t;

/* One output channel of the result. */
typedef struct bsq_channel_t {
    size_t struct_size;
    double objective_start;
    double objective;
    double energy;
    double error; /* J without damping / energy; 0 when energy is 0 */
    double error_start;
    double held_out_error; /* -1 when there are no held-out statistics */
    double weight_error;
    double lower_bound; /* what J cannot be below, as a share of objective; 0 when nothing is known */
    int64_t sweeps;
    int32_t outcome;
    int32_t bias_corrected; /* 1 when this channel's bias was changed */
} bsq_channel_t;
BSQ_API void BSQ_CALL bsq_report_init(bsq_report_t *report, size_t struct_size);
BSQ_API void BSQ_CALL bsq_stage_init(bsq_stage_t *stage, size_t struct_size);
BSQ_API void BSQ_CALL bsq_channel_init(bsq_channel_t *channel, size_t struct_size);

/* Chooses codes, scales and bias, by the options of the layer; 'report' (or NULL) is written up to its struct_size.
 * Needs statistics (STATE) unless the solver is BSQ_SOLVER_ROUND, or BSQ_SOLVER_AUTO with effort 0; bias correction
 * needs statistics with input means (STATE). NUMERIC when a channel has no codes of finite J, or its weights or its
 * bias would be beyond float32. May be called again, with other options or more batches. On failure earlier results
 * stay. The sum of J is never above that of rounding, and never rises with the effort - unless
 * options.select_on_held_out lets the held-out error choose among the efforts, the lowest of equals; that takes about
 * twice as long. */
BSQ_API bsq_status_t BSQ_CALL bsq_optimize(bsq_layer_t *layer, bsq_report_t *report);

/* Solves for every number of bits from 'bits_lo' to 'bits_hi' (2..8) and writes the relative output errors to 'errors'
 * ('count' = bits_hi - bits_lo + 1), for bsq_allocate_bits. Results and report of the layer stay as they are. Meant for
 * comparing numbers of bits, so it works with less effort than the options ask for (docs/method.md: how much, and by
 * how much its errors are above those of bsq_optimize). options.select_on_held_out does not matter. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_error_table(bsq_layer_t *layer, int32_t bits_lo, int32_t bits_hi,
                                                    double *errors, size_t count);

/* Reads the report of the result again, stage 'index' (0..stages-1), or channel 'index' (0..M-1) of it. STATE before
 * there is one, RANGE for another index. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_report(bsq_layer_t *layer, bsq_report_t *report);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_stage_report(bsq_layer_t *layer, int32_t index, bsq_stage_t *stage);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_channel_report(bsq_layer_t *layer, int64_t index, bsq_channel_t *channel);

/* Short names of BSQ_STAGE_..., BSQ_OUTCOME_... and BSQ_KERNEL_... values, never NULL; static, never freed. */
BSQ_API const char *BSQ_CALL bsq_stage_string(int32_t stage);
BSQ_API const char *BSQ_CALL bsq_outcome_string(int32_t outcome);
BSQ_API const char *BSQ_CALL bsq_kernel_string(int32_t kernel);

/* ---- tensors --------------------------------------------------------------------------------------------- */

/* Quantized weights, described by themselves: w by the formula of the grid, with the scale of the code's tensor,
 * channel or group of inputs. Buffers are the host's; a count says how many elements a buffer has. What a grid does not
 * have is NULL with count 0. Two-level scales are given as their products, which float32 holds exactly. When input
 * channels have scales of their own these are the folded weights. */
typedef struct bsq_tensor_t {
    size_t struct_size;
    int8_t *codes;        /* (M, n), in the weight layout; bytes are read as uint8 where a grid's codes start at 0 */
    float *scales;        /* > 0, or not 0 with scale_signed: (), (M) or (M, ceil(n / group_size)) */
    int32_t *zero_points; /* as many as scales, of the zero point grid */
    float *offsets;       /* as many as scales, of the offset grid */
    int8_t *levels;       /* those of a table, ascending; read only with BSQ_WEIGHT_GRID_LEVELS, written with all */
    int64_t code_count;
    int64_t scale_count;
    int64_t zero_point_count;
    int64_t offset_count;
    int64_t level_count;
    int64_t channels;    /* M */
    int64_t fan_in;      /* n */
    int64_t group_size;  /* inputs that share a scale: n (or 0) unless scale_kind is per group */
    int32_t weight_bits; /* these and the last three as in bsq_options_t, whose defaults init sets */
    int32_t weight_grid;
    int32_t scale_kind;
    int32_t scale_format;
    float scale_unit; /* with E4M3 what scales are multiples of, > 0; else 0 */
    int32_t scale_bits;
    int32_t scale_signed;
    int32_t reserved;
    int64_t super_group;  /* scales that share a multiple; 0 without scale_bits */
    int32_t *input_order; /* (n): which input of the engine's layer each of these n is, for formats that keep groups of
                             inputs apart that do not follow each other; NULL: they are in the engine's order */
    int64_t input_order_count;
} bsq_tensor_t;
BSQ_API void BSQ_CALL bsq_tensor_init(bsq_tensor_t *tensor, size_t struct_size);

/* Reads the result: describes it in 'tensor', fills the buffers that are not NULL, whose counts must be exact (SIZE),
 * and writes the counts of the others: a call without buffers says what they need. STATE before there is a result. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_tensor(bsq_layer_t *layer, bsq_tensor_t *tensor);

/* Makes 'tensor', copied, the result of the layer: one of a host's own, or one that was saved. It is judged as by
 * bsq_layer_evaluate, whose report becomes that of the result; with options.bias_correction the bias follows from it.
 * MISMATCH when M or n are not those of the layer, SIZE for a count, RANGE for a code outside of the grid, or a scale
 * that is not positive and a value of its format. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_tensor(bsq_layer_t *layer, const bsq_tensor_t *tensor);

/* Makes a result that was found elsewhere the layer's without judging it again: put together from slices, or read on
 * one machine to be had on another. All of it as the calls that read a result write it: 'tensor' (checked as above),
 * 'bias' (M float32), 'report', 'stages' (report->stages of them, or NULL with 0) and 'channels' (M), copied. What it
 * says of errors is believed, but a report->weight_error below 0 is computed from the weights. NUMERIC where the bias
 * is not finite. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_set_result(bsq_layer_t *layer, const bsq_tensor_t *tensor, const float *bias,
                                                   const bsq_report_t *report, const bsq_stage_t *stages,
                                                   const bsq_channel_t *channels);

/* Judges any tensor of the layer's extents by the layer's J, statistics and held-out statistics; 'report' is written,
 * the layer stays as it is. Bits, grid and scales are those of the tensor, damping, asymmetry, bias_correction and
 * lower_bound the layer's options. The report has no stages; its start is rounding with the tensor's bits, grid and
 * kind of scale. Fails as bsq_layer_set_tensor, and as bsq_optimize with BSQ_SOLVER_ROUND. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_evaluate(bsq_layer_t *layer, const bsq_tensor_t *tensor, bsq_report_t *report);

/* Writes the weights that a tensor stands for, M * n float32 in its weight layout and order: each operation of the
 * grid's formula is rounded to float32 once, as engines do it. 'count' and those of the tensor must be exact (SIZE);
 * RANGE for a code outside of the grid, a scale or offset that is not a value of its format. Nothing is written then.
 */
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_dequantize(const bsq_tensor_t *tensor, float *weights, size_t count,
                                                    bsq_error_t *error);

/* ---- packing --------------------------------------------------------------------------------------------- */

/* Layouts, byte by byte in docs/formats.md. Those of GGUF are 3000 + the number that its files give the type. */
enum {
    BSQ_FORMAT_INT8 = 2000,           /* one byte a code; codes alone, as the next four */
    BSQ_FORMAT_ONNX_INT4 = 2100,      /* ONNX INT4: two codes a byte, low nibble first, over the flattened tensor */
    BSQ_FORMAT_ONNX_INT2 = 2110,      /* ONNX INT2: four codes a byte, low bits first, over the flattened tensor */
    BSQ_FORMAT_TERNARY_PLANES = 2200, /* per channel and plane, positive then negative bit mask of 64-bit words */
    BSQ_FORMAT_SIGN_MAGNITUDE_PLANES = 2210, /* per channel, sign then magnitude bit planes of 64-bit words */
    BSQ_FORMAT_ONNX_INT4_BLOCKS = 2120,      /* inputs of ONNX's DequantizeLinear: integers, scales, zero points */
    BSQ_FORMAT_ONNX_UINT4_BLOCKS = 2121,
    BSQ_FORMAT_ONNX_INT2_BLOCKS = 2122,
    BSQ_FORMAT_ONNX_UINT2_BLOCKS = 2123,
    BSQ_FORMAT_ONNX_INT8_BLOCKS = 2124,
    BSQ_FORMAT_ONNX_UINT8_BLOCKS = 2125,
    BSQ_FORMAT_ONNX_MATMUL_NBITS = 2140, /* inputs of com.microsoft MatMulNBits */
    BSQ_FORMAT_GGUF_Q4_0 = 3002,
    BSQ_FORMAT_GGUF_Q4_1 = 3003,
    BSQ_FORMAT_GGUF_Q5_0 = 3006,
    BSQ_FORMAT_GGUF_Q5_1 = 3007,
    BSQ_FORMAT_GGUF_Q8_0 = 3008,
    BSQ_FORMAT_GGUF_Q2_K = 3010,
    BSQ_FORMAT_GGUF_Q3_K = 3011,
    BSQ_FORMAT_GGUF_Q4_K = 3012,
    BSQ_FORMAT_GGUF_Q5_K = 3013,
    BSQ_FORMAT_GGUF_Q6_K = 3014,
    BSQ_FORMAT_GGUF_IQ4_NL = 3020,
    BSQ_FORMAT_GGUF_IQ4_XS = 3023,
    BSQ_FORMAT_GGUF_TQ2_0 = 3035,
    BSQ_FORMAT_GGUF_MXFP4 = 3039,
    BSQ_FORMAT_GPTQ = 4000,    /* zero points stored less 1 */
    BSQ_FORMAT_GPTQ_V2 = 4001, /* zero points as they are */
    BSQ_FORMAT_AWQ = 4010,     /* in the order of its matrix-matrix kernels */
    BSQ_FORMAT_MLX = 4200,
    BSQ_FORMAT_NCNN_INT8 = 4300,
    BSQ_FORMAT_NCNN_GEMM = 4310, /* rows of the file that its weight-only Gemm takes */
    BSQ_FORMAT_TFLITE_INT8 = 4400,
    BSQ_FORMAT_TFLITE_INT4 = 4410,
    BSQ_FORMAT_NVFP4 = 4500
};

/* A short name of a BSQ_FORMAT_... value, that of the constant in lower case, never NULL; static, never freed. */
BSQ_API const char *BSQ_CALL bsq_format_string(int32_t format);

/* The format of a name, '-' as good as '_'; 0 when there is none. */
BSQ_API int32_t BSQ_CALL bsq_format_by_name(const char *name);

/* The format that follows 'format' in the list of all; the first for 0, and 0 after the last or for an unknown one. */
BSQ_API int32_t BSQ_CALL bsq_format_next(int32_t format);

/* Sets what a format needs in 'options': grid, scales and their format, and weight_bits and group_size where it has one
 * of them alone. Where it leaves a choice they stay the host's, but for a group_size of 0, which becomes the format's
 * usual one (with scales of groups); RANGE names what is allowed. Nothing is written on failure. */
BSQ_API bsq_status_t BSQ_CALL bsq_options_for_format(int32_t format, bsq_options_t *options, bsq_error_t *error);

enum {
    BSQ_ELEMENT_TYPE_INT8 = 1601,
    BSQ_ELEMENT_TYPE_UINT8 = 1602,
    BSQ_ELEMENT_TYPE_INT32 = 1603,
    BSQ_ELEMENT_TYPE_UINT32 = 1604,
    BSQ_ELEMENT_TYPE_UINT64 = 1605,
    BSQ_ELEMENT_TYPE_INT4 = 1611, /* two a byte, low bits first, over the flattened part; so UINT4 */
    BSQ_ELEMENT_TYPE_UINT4 = 1612,
    BSQ_ELEMENT_TYPE_INT2 = 1613, /* four a byte; so UINT2 */
    BSQ_ELEMENT_TYPE_UINT2 = 1614,
    BSQ_ELEMENT_TYPE_FLOAT32 = 1621,
    BSQ_ELEMENT_TYPE_FLOAT16 = 1622,
    BSQ_ELEMENT_TYPE_BFLOAT16 = 1623,
    BSQ_ELEMENT_TYPE_E4M3 = 1624
};

/* One of the arrays that a packed tensor consists of, dense, little-endian, its last extent innermost. Between parts,
 * which begin at multiples of 8 bytes, bytes are 0. */
typedef struct bsq_part_t {
    size_t struct_size;
    const char *name; /* as the engine calls it; static, never freed */
    int64_t offset;   /* bytes into the packed tensor */
    int64_t size;     /* bytes */
    int64_t shape[4]; /* 'rank' extents */
    int32_t rank;
    int32_t element_type; /* BSQ_ELEMENT_TYPE_... */
} bsq_part_t;
BSQ_API void BSQ_CALL bsq_part_init(bsq_part_t *part, size_t struct_size);

/* Bytes of a tensor of this description in 'format'; buffers are not looked at. ARGUMENT for an unknown format; FORMAT
 * when it does not hold such a tensor, with a text that says why: bits, grid, groups, or extents that are not multiples
 * of its blocks. */
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_packed_size(const bsq_tensor_t *tensor, int32_t format, size_t *size,
                                                     bsq_error_t *error);

/* How many parts these bytes have, and which is part 'index' (RANGE for another). Fails as bsq_tensor_packed_size. */
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_part_count(const bsq_tensor_t *tensor, int32_t format, int32_t *count,
                                                    bsq_error_t *error);
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_get_part(const bsq_tensor_t *tensor, int32_t format, int32_t index,
                                                  bsq_part_t *part, bsq_error_t *error);

/* Writes a tensor into 'buffer' of exactly that size (SIZE), so that an engine that reads it multiplies with exactly
 * what bsq_tensor_dequantize gives (but for ncnn, docs/formats.md). Formats of codes alone do not look at scales.
 * FORMAT when a code, scale, zero point or offset is none that the format holds; nothing is written then. */
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_pack(const bsq_tensor_t *tensor, int32_t format, void *buffer, size_t size,
                                              bsq_error_t *error);

/* Reads a packed tensor of the extents, bits, grid and scales that 'tensor' describes into its buffers, and writes its
 * scale_unit where the format has one. 'size' and the buffers' counts must be exact (SIZE). FORMAT when bits that must
 * be zero are not, or for what such a tensor cannot hold: a code outside of its grid, a scale outside of its format, an
 * order of inputs where input_order is NULL. Nothing is written then. A scale of 0 in a GGUF block, whose weights are
 * all 0, becomes one that is not, with codes of 0. */
BSQ_API bsq_status_t BSQ_CALL bsq_tensor_unpack(int32_t format, const void *packed, size_t size, bsq_tensor_t *tensor,
                                                bsq_error_t *error);

/* ---- single results -------------------------------------------------------------------------------------- */

enum { BSQ_RESULT_CODES = 1401, BSQ_RESULT_SCALES = 1402, BSQ_RESULT_BIAS = 1403, BSQ_RESULT_DEQUANTIZED = 1404 };
enum { BSQ_RESULT_PLANES = 1405, BSQ_RESULT_CODE_BIAS = 1406 };

/* How many elements a result has; STATE before there is one. */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_result_count(bsq_layer_t *layer, int32_t result, size_t *count);

/* Each fills a buffer of the caller with exactly 'count' elements (SIZE otherwise); STATE before there is a result.
 *   codes        (M, n) int8, in the weight layout
 *   scales       float32, > 0: (), (M) or (M, groups of inputs)
 *   bias         (M) float32: the layer's bias (zeros if it has none) with the correction if there is one
 *   dequantized  (M, n) float32, in the weight layout: the weights that multiply real inputs, scale * code, divided by
 *                beta_c when input channels have scales (the folded weights are scale * code)
 *   planes       (b - 1, M, n) int8 in -1..1, least significant plane first: code = sum 2^m plane_m, each plane with
 *                the sign of its code; FORMAT when a code is -2^(b-1), which planes cannot express
 *   code bias    (M) float32: bias - sum of weight scale * input scale * code * zero_point, for engines that multiply
 *                input codes without taking their zero points off (and pad with them); else the same as bias */
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_codes(bsq_layer_t *layer, int8_t *codes, size_t count);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_scales(bsq_layer_t *layer, float *scales, size_t count);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_bias(bsq_layer_t *layer, float *bias, size_t count);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_dequantized(bsq_layer_t *layer, float *weights, size_t count);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_planes(bsq_layer_t *layer, int8_t *planes, size_t count);
BSQ_API bsq_status_t BSQ_CALL bsq_layer_get_code_bias(bsq_layer_t *layer, float *bias, size_t count);

/* ---- networks -------------------------------------------------------------------------------------------- */

/* How far a layer's linear map A (without bias) stretches its input: the largest |A x| / |x|, Euclidean norms over
 * whole tensors; of a convolution, on inputs of any extents. */
typedef struct bsq_norm_t {
    size_t struct_size;
    double upper; /* the norm is not above this: certified, with an allowance for rounding */
    double lower; /* the norm for large extents is not below this, but for rounding */
} bsq_norm_t;
BSQ_API void BSQ_CALL bsq_norm_init(bsq_norm_t *norm, size_t struct_size);

/* Bounds the operator norm of 'weights' (M * n float32 in the layout of 'desc', borrowed until the call returns).
 * upper <= (1 + tolerance) * lower as a rule; tolerance 0.01..10, and smaller costs more (docs/method.md). 'options'
 * (NULL: defaults) gives allocator and progress. Fails as bsq_layer_create does, RANGE for the tolerance, CANCELLED;
 * nothing is written then. */
BSQ_API bsq_status_t BSQ_CALL bsq_operator_norm(const bsq_layer_desc_t *desc, const bsq_options_t *options,
                                                const float *weights, double tolerance, bsq_norm_t *norm,
                                                bsq_error_t *error);

/* What bsq_allocate_bits found. */
typedef struct bsq_allocation_t {
    size_t struct_size;
    double error;       /* sum of weight * error over the layers */
    double lower_bound; /* no assignment within the budget is below this, but for rounding */
    int64_t cost;       /* sum of costs, at most the budget */
    int32_t outcome;    /* BSQ_OUTCOME_PROVEN: the least error there is; BSQ_OUTCOME_LIMIT: the best found until a limit
                           of work, which real tables do not reach */
    int32_t reserved;
} bsq_allocation_t;
BSQ_API void BSQ_CALL bsq_allocation_init(bsq_allocation_t *allocation, size_t struct_size);

/* Chooses for each of 'count' layers one of 'choices' numbers of bits (or of whatever the tables list), so that the sum
 * of weight * error is the least whose costs sum to no more than 'budget'. Tables are borrowed until the call returns:
 *   errors   (count, choices): finite, >= 0: those of bsq_layer_error_table, say, times what the layer matters
 *   costs    (count, choices): >= 0: bytes, operations, or anything else that adds up
 *   weights  (count): finite, >= 0; or NULL: all 1
 *   chosen   (count): written: the index of each layer's choice
 * The same tables give the same choices. 'options' (NULL: malloc) gives the allocator; 'allocation' may be NULL. RANGE
 * for values outside the bounds above and for a budget below the cost of the cheapest choices, which the text names;
 * SHAPE without layers or choices. */
BSQ_API bsq_status_t BSQ_CALL bsq_allocate_bits(const double *errors, const int64_t *costs, const double *weights,
                                                size_t count, size_t choices, int64_t budget,
                                                const bsq_options_t *options, int32_t *chosen,
                                                bsq_allocation_t *allocation, bsq_error_t *error);

#ifdef __cplusplus
}
#endif

#endif
