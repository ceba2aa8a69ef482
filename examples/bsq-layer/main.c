/* bsq-layer: quantizes one layer whose weights and statistics, or activations, are .npy files.
 *
 * One JSON object on stdout says how good the result is; with --out the result goes to .npy files. Whatever is wrong is
 * one line on stderr, exit status 2 for a wrong command line and 1 for everything else; stdout is then empty. */
#include "common/arguments.h"
#include "common/json.h"
#include "common/npy.h"

#include <bsq.h>

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 /* plus the signal's number: 130 for Ctrl-C */ };

/* The signal that asked to stop, or 0. */
static volatile sig_atomic_t interrupted = 0;

static void on_signal(int number)
{
    interrupted = number;
}

/* ---- messages and progress --------------------------------------------------------------------------------- */

struct progress_bar {
    int visible; /* whether stderr is a terminal */
    int drawn;
    int percent;
    int32_t stage;
};

static struct progress_bar bar;

static void clear_bar(void)
{
    if (bar.drawn) {
        fputs("\r\033[K", stderr);
        bar.drawn = 0;
    }
}

/* Says what is wrong and returns 'status'. After Ctrl-C what fails is no news: one line about that is enough. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static int complain(int status, const char *format, ...)
{
    clear_bar();
    if (interrupted) {
        return EXIT_SIGNAL + interrupted;
    }
    va_list arguments;
    va_start(arguments, format);
    fputs("bsq-layer: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

static int complain_memory(void)
{
    return complain(EXIT_FAILED, "not enough memory");
}

static int complain_layer(const bsq_layer_t *layer, const char *what)
{
    return complain(EXIT_FAILED, "%s: %s", what, bsq_layer_error_message(layer));
}

static void draw_bar(const bsq_progress_t *progress)
{
    enum { WIDTH = 40 };
    const int percent = (int)(progress->fraction * 100);
    if (bar.drawn && percent == bar.percent && progress->stage == bar.stage) {
        return;
    }
    char line[WIDTH + 1];
    const int full = percent * WIDTH / 100;
    for (int i = 0; i < WIDTH; i++) {
        line[i] = i < full ? '#' : '.';
    }
    line[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3d %%  %s\033[K", line, percent, bsq_stage_string(progress->stage));
    fflush(stderr);
    bar.drawn = 1;
    bar.percent = percent;
    bar.stage = progress->stage;
}

static int32_t on_progress(const bsq_progress_t *progress, void *opaque)
{
    (void)opaque;
    if (bar.visible) {
        draw_bar(progress);
    }
    return interrupted != 0;
}

/* ---- command line ------------------------------------------------------------------------------------------ */

struct settings {
    const char *weights;
    const char *bias;
    const char *stats;
    const char *held_out;
    const char *out;
    const char *scale;
    struct argument_list input;
    struct argument_list target;
    struct argument_extents conv;
    struct argument_extents stride;
    struct argument_extents dilation;
    struct argument_extents pad;
    int32_t groups; /* 0: not given */
    int32_t channels_last;
    int32_t ohwi;
    int32_t format; /* 0: by the number of bits */
    int32_t pretty;
    int32_t help;
    int32_t version;
    bsq_options_t options;
};

static const struct argument_choice ranges[] = {
    {"symmetric", BSQ_RANGE_SYMMETRIC}, {"full", BSQ_RANGE_FULL}, {NULL, 0}};
static const struct argument_choice solvers[] = {
    {"auto", BSQ_SOLVER_AUTO}, {"round", BSQ_SOLVER_ROUND}, {"paper", BSQ_SOLVER_PAPER}, {NULL, 0}};
static const struct argument_choice scale_formats[] = {{"float32", BSQ_SCALE_FLOAT32},
                                                       {"float16", BSQ_SCALE_FLOAT16},
                                                       {"pow2", BSQ_SCALE_POWER_OF_TWO},
                                                       {NULL, 0}};
static const struct argument_choice input_types[] = {{"auto", BSQ_INPUT_AUTO},
                                                     {"unsigned", BSQ_INPUT_UNSIGNED},
                                                     {"signed", BSQ_INPUT_SIGNED},
                                                     {"zero-point", BSQ_INPUT_ZERO_POINT},
                                                     {NULL, 0}};
static const struct argument_choice input_scales[] = {
    {"tensor", BSQ_INPUT_PER_TENSOR}, {"channel", BSQ_INPUT_PER_CHANNEL}, {NULL, 0}};
static const struct argument_choice input_clips[] = {{"squared-error", BSQ_CLIP_SQUARED_ERROR},
                                                     {"minimum-maximum", BSQ_CLIP_MINIMUM_MAXIMUM},
                                                     {"percentile", BSQ_CLIP_PERCENTILE},
                                                     {NULL, 0}};
static const struct argument_choice formats[] = {{"int8", BSQ_FORMAT_INT8},
                                                 {"onnx-int4", BSQ_FORMAT_ONNX_INT4},
                                                 {"onnx-int2", BSQ_FORMAT_ONNX_INT2},
                                                 {"ternary-planes", BSQ_FORMAT_TERNARY_PLANES},
                                                 {"sign-magnitude-planes", BSQ_FORMAT_SIGN_MAGNITUDE_PLANES},
                                                 {NULL, 0}};
static const struct argument_choice layouts[] = {{"compact", 0}, {"pretty", 1}, {NULL, 0}};

/* Extents beyond this are mistakes, and sums of them still fit. */
#define MOST 1000000

#define AT(field) offsetof(struct settings, field)

static const struct argument table[] = {
    {"weights", ARGUMENT_TEXT, "W.npy", "(M, n) or (M, I, K...): the layer's float weights", AT(weights), 0, 0, NULL},
    {"bias", ARGUMENT_TEXT, "B.npy", "(M): the layer's bias [none]", AT(bias), 0, 0, NULL},
    {"stats", ARGUMENT_TEXT, "H.npy", "(n, n) or (groups, n, n): mean of x x' over rows", AT(stats), 0, 0, NULL},
    {"input", ARGUMENT_LIST, "X.npy", "inputs, instead of --stats; once for each batch", AT(input), 0, 0, NULL},
    {"target", ARGUMENT_LIST, "Y.npy", "wanted outputs, bias included; one for each --input", AT(target), 0, 0, NULL},
    {"held-out", ARGUMENT_TEXT, "H2.npy", "like --stats, of other rows: only judges the result", AT(held_out), 0, 0,
     NULL},
    {"conv", ARGUMENT_EXTENTS, "KxK", "a convolution with this kernel (K, KxK, KxKxK)", AT(conv), 1, MOST, NULL},
    {"stride", ARGUMENT_EXTENTS, "S", "S or SxS [1]", AT(stride), 1, MOST, NULL},
    {"pad", ARGUMENT_PAIRS, "P", "P, PxP, or begin:end as in 0:1x0:1 [0]", AT(pad), 0, MOST, NULL},
    {"dilation", ARGUMENT_EXTENTS, "D", "D or DxD [1]", AT(dilation), 1, MOST, NULL},
    {"groups", ARGUMENT_INTEGER, "G", "convolution groups [1, or as --stats says]", AT(groups), 1, INT32_MAX, NULL},
    {"channels-last", ARGUMENT_FLAG, NULL, "X and Y are (size, spatial..., channels)", AT(channels_last), 0, 0, NULL},
    {"ohwi", ARGUMENT_FLAG, NULL, "W is (M, K..., I)", AT(ohwi), 0, 0, NULL},
    {"bits", ARGUMENT_INTEGER, "B", "bits of a weight, 2..8 [4]", AT(options.weight_bits), 2, 8, NULL},
    {"range", ARGUMENT_CHOICE, NULL, "of codes: -7..7 or -8..7 at 4 bits [symmetric]", AT(options.weight_range), 0, 0,
     ranges},
    {"scale", ARGUMENT_TEXT, "S", "tensor, channel or group:<inputs> [channel]", AT(scale), 0, 0, NULL},
    {"scale-format", ARGUMENT_CHOICE, NULL, "values that a scale may take [float32]", AT(options.scale_format), 0, 0,
     scale_formats},
    {"solver", ARGUMENT_CHOICE, NULL, "[auto]", AT(options.solver), 0, 0, solvers},
    {"effort", ARGUMENT_INTEGER, "E", "0 (rounds) .. 9 [5]", AT(options.effort), 0, 9, NULL},
    {"select-on-held-out", ARGUMENT_FLAG, NULL, "of efforts 0..E take the best on --held-out",
     AT(options.select_on_held_out), 0, 0, NULL},
    {"lower-bound", ARGUMENT_FLAG, NULL, "tell how far from the best possible it is; takes long",
     AT(options.lower_bound), 0, 0, NULL},
    {"threads", ARGUMENT_INTEGER, "T", "1..1024 [1]", AT(options.threads), 1, 1024, NULL},
    {"mu", ARGUMENT_NUMBER, "MU", "0: the layer's own outputs are wanted, 1: the target [1]", AT(options.asymmetry), 0,
     1, NULL},
    {"damping", ARGUMENT_NUMBER, "D", "0..1, a share of the mean of diag H [by rows]", AT(options.damping), 0, 1, NULL},
    {"bias-correction", ARGUMENT_FLAG, NULL, "correct the bias too (needs --input)", AT(options.bias_correction), 0, 0,
     NULL},
    {"act-bits", ARGUMENT_INTEGER, "A", "quantize the inputs to 2..8 bits, 0: not [0]", AT(options.input_bits), 0, 8,
     NULL},
    {"act-type", ARGUMENT_CHOICE, NULL, "of quantized inputs [auto]", AT(options.input_type), 0, 0, input_types},
    {"act-clip", ARGUMENT_CHOICE, NULL, "how the inputs' range is found [squared-error]", AT(options.input_clip), 0, 0,
     input_clips},
    {"act-scale", ARGUMENT_CHOICE, NULL, "one for all inputs, or one a channel, folded into the weights [tensor]",
     AT(options.input_scale_kind), 0, 0, input_scales},
    {"out", ARGUMENT_TEXT, "DIR", "write codes, scales, bias, dequantized, packed .npy there", AT(out), 0, 0, NULL},
    {"format", ARGUMENT_CHOICE, NULL, "of packed.npy [int2, int4 or int8, by --bits]", AT(format), 0, 0, formats},
    {"json", ARGUMENT_CHOICE, NULL, "layout of the object on stdout [compact]", AT(pretty), 0, 0, layouts},
    {"help", ARGUMENT_FLAG, NULL, "print this and stop", AT(help), 0, 0, NULL},
    {"version", ARGUMENT_FLAG, NULL, "print the version and stop", AT(version), 0, 0, NULL},
    {NULL, ARGUMENT_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static void print_help(void)
{
    puts("Usage: bsq-layer --weights W.npy (--stats H.npy | --input X.npy [--target Y.npy]) [options]\n"
         "\n"
         "Quantizes the weights of one layer and prints what came out as one JSON object.\n"
         "M: output channels; n: weights of one output channel. The layer is linear, or with --conv or a W of 3 to 5\n"
         "dimensions a convolution. With --stats only the number of groups matters.\n");
    arguments_print(table);
    puts("\n"
         "X is (rows, inputs) for a linear layer, (size, channels, spatial...) for a convolution; Y likewise.\n"
         "Exit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.");
}

static int read_scale(const char *text, bsq_options_t *options)
{
    if (text == NULL || strcmp(text, "channel") == 0) {
        options->scale_kind = BSQ_SCALE_PER_CHANNEL;
    } else if (strcmp(text, "tensor") == 0) {
        options->scale_kind = BSQ_SCALE_PER_TENSOR;
    } else if (strncmp(text, "group:", 6) == 0 && argument_whole(text + 6, 1, INT32_MAX, &options->group_size)) {
        options->scale_kind = BSQ_SCALE_PER_GROUP;
    } else {
        return complain(EXIT_USAGE, "--scale is tensor, channel or group:<inputs>, not '%s'", text);
    }
    return 0;
}

/* How many bits a code may have in a format. */
static int32_t format_bits(int32_t format)
{
    switch (format) {
    case BSQ_FORMAT_ONNX_INT2:
        return 2;
    case BSQ_FORMAT_ONNX_INT4:
        return 4;
    default:
        return 8;
    }
}

/* The name of an option that says something about inputs, if one was given, else NULL. */
static const char *input_option(const struct settings *settings)
{
    const struct {
        int is;
        const char *name;
    } given[] = {
        {settings->target.count > 0, "target"},
        {settings->stride.count > 0, "stride"},
        {settings->pad.count > 0, "pad"},
        {settings->dilation.count > 0, "dilation"},
        {settings->channels_last, "channels-last"},
        {settings->options.input_bits > 0, "act-bits"},
        {settings->options.bias_correction, "bias-correction"},
    };
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (given[i].is) {
            return given[i].name;
        }
    }
    return NULL;
}

/* What no single option can tell. */
static int check_settings(const struct settings *settings)
{
    const bsq_options_t *options = &settings->options;
    if (settings->weights == NULL) {
        return complain(EXIT_USAGE, "--weights is missing (--help lists the options)");
    }
    if (settings->stats != NULL && settings->input.count > 0) {
        return complain(EXIT_USAGE, "--stats and --input exclude each other");
    }
    if (settings->stats == NULL && settings->input.count == 0 && options->solver != BSQ_SOLVER_ROUND &&
        options->effort > 0) {
        return complain(EXIT_USAGE, "--stats or --input is missing (only --solver round and --effort 0 do without)");
    }
    if (options->solver == BSQ_SOLVER_PAPER &&
        (options->weight_range != BSQ_RANGE_SYMMETRIC || options->scale_kind != BSQ_SCALE_PER_CHANNEL ||
         options->scale_format != BSQ_SCALE_FLOAT32)) {
        return complain(EXIT_USAGE, "--solver paper knows the symmetric range and float32 scales per channel only");
    }
    if (settings->input.count == 0 && input_option(settings) != NULL) {
        return complain(EXIT_USAGE, "--%s needs --input", input_option(settings));
    }
    if (settings->target.count > 0 && settings->target.count != settings->input.count) {
        return complain(EXIT_USAGE, "there are %d --input but %d --target", (int)settings->input.count,
                        (int)settings->target.count);
    }
    if (options->input_bits == 1) {
        return complain(EXIT_USAGE, "--act-bits is a whole number from 2 to 8, or 0, not '1'");
    }
    if (options->input_bits == 0 &&
        (options->input_type != BSQ_INPUT_AUTO || options->input_clip != BSQ_CLIP_SQUARED_ERROR ||
         options->input_scale_kind != BSQ_INPUT_PER_TENSOR)) {
        return complain(EXIT_USAGE, "--act-type, --act-clip and --act-scale need --act-bits");
    }
    if (options->select_on_held_out && settings->held_out == NULL) {
        return complain(EXIT_USAGE, "--select-on-held-out needs --held-out");
    }
    if (settings->format != 0 && settings->out == NULL) {
        return complain(EXIT_USAGE, "--format needs --out");
    }
    if (settings->format != 0 && format_bits(settings->format) < options->weight_bits) {
        return complain(EXIT_USAGE, "--format holds %d bits, --bits is %d", (int)format_bits(settings->format),
                        (int)options->weight_bits);
    }
    return 0;
}

/* ---- reading the layer ------------------------------------------------------------------------------------- */

/* A layer and everything that must be let go in the end. */
struct work {
    const struct settings *settings;
    struct npy_array weights; /* its data has moved to 'values' */
    float *values;
    float *bias;
    int64_t channels; /* M */
    int64_t fan_in;   /* n */
    bsq_layer_desc_t desc;
    bsq_layer_t *layer;
    int created_out; /* whether --out was made by this run */
};

static int load(const char *path, struct npy_array *array)
{
    char message[NPY_MESSAGE_SIZE];
    if (!npy_load(path, array, message)) {
        return complain(EXIT_FAILED, "%s: %s", path, message);
    }
    if (array->count == 0) {
        npy_free(array);
        return complain(EXIT_FAILED, "%s: the array is empty", path);
    }
    return 0;
}

static int load_floats(const char *path, struct npy_array *array, float **values)
{
    const int status = load(path, array);
    if (status != 0) {
        return status;
    }
    *values = npy_take_floats(array);
    return *values != NULL ? 0 : complain_memory();
}

/* "(3, 4)" */
static const char *shape_text(int32_t dims, const int64_t *shape, char *text, size_t capacity)
{
    size_t length = (size_t)snprintf(text, capacity, "(");
    for (int32_t i = 0; i < dims && length < capacity; i++) {
        length += (size_t)snprintf(text + length, capacity - length, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    }
    if (length < capacity) {
        snprintf(text + length, capacity - length, ")");
    }
    return text;
}

enum { SHAPE_TEXT = 200 };

static int complain_shape(const char *path, const struct npy_array *array, const char *wanted)
{
    char text[SHAPE_TEXT];
    return complain(EXIT_FAILED, "%s: shape %s where %s is needed", path,
                    shape_text(array->dims, array->shape, text, sizeof text), wanted);
}

/* A number for each spatial dimension; one number stands for all. */
static int spread(const char *name, const int64_t *from, int32_t count, int32_t dims, int64_t *to)
{
    if (count > 1 && count != dims) {
        return complain(EXIT_USAGE, "--%s has %d numbers, the kernel has %d", name, (int)count, (int)dims);
    }
    for (int32_t i = 0; i < dims && count > 0; i++) {
        to[i] = from[count > 1 ? i : 0];
    }
    return 0;
}

/* Finds the kernel in --conv and in the weights' shape. */
static int find_kernel(struct work *work)
{
    const struct settings *settings = work->settings;
    const struct npy_array *w = &work->weights;
    bsq_layer_desc_t *desc = &work->desc;
    desc->spatial_dims = w->dims > 2 ? w->dims - 2 : settings->conv.count;
    if (w->dims == 2) {
        memcpy(desc->kernel, settings->conv.begin, sizeof desc->kernel);
        return 0;
    }
    const int64_t *kernel = w->shape + (settings->ohwi ? 1 : 2);
    memcpy(desc->kernel, kernel, (size_t)desc->spatial_dims * sizeof *kernel);
    if (settings->conv.count > 0 &&
        (settings->conv.count != desc->spatial_dims ||
         memcmp(settings->conv.begin, kernel, (size_t)desc->spatial_dims * sizeof *kernel) != 0)) {
        return complain_shape(settings->weights, w, "the kernel that --conv says");
    }
    return 0;
}

static int describe_convolution(struct work *work)
{
    const struct settings *settings = work->settings;
    bsq_layer_desc_t *desc = &work->desc;
    int status = find_kernel(work);
    if (status != 0) {
        return status;
    }
    const int32_t dims = desc->spatial_dims;
    desc->kind = BSQ_CONV;
    desc->groups = settings->groups > 0 ? settings->groups : 1;
    desc->weight_layout = settings->ohwi ? BSQ_WEIGHTS_OHWI : BSQ_WEIGHTS_OIHW;
    desc->activation_layout = settings->channels_last ? BSQ_CHANNELS_LAST : BSQ_CHANNELS_FIRST;
    int64_t inputs = work->fan_in;
    for (int32_t i = 0; i < dims; i++) {
        if (inputs % desc->kernel[i] != 0) {
            return complain_shape(settings->weights, &work->weights, "a multiple of the kernel's volume in a channel");
        }
        inputs /= desc->kernel[i];
    }
    if (inputs > INT64_MAX / desc->groups) {
        return complain(EXIT_FAILED, "--groups is too large");
    }
    desc->in_channels = inputs * desc->groups;
    status = spread("stride", settings->stride.begin, settings->stride.count, dims, desc->stride);
    if (status == 0) {
        status = spread("dilation", settings->dilation.begin, settings->dilation.count, dims, desc->dilation);
    }
    if (status == 0) {
        status = spread("pad", settings->pad.begin, settings->pad.count, dims, desc->pad_begin);
    }
    return status != 0 ? status : spread("pad", settings->pad.end, settings->pad.count, dims, desc->pad_end);
}

static int describe_linear(struct work *work)
{
    const struct settings *settings = work->settings;
    const int conv_only = settings->stride.count + settings->pad.count + settings->dilation.count > 0 ||
                          settings->groups > 1 || settings->channels_last || settings->ohwi;
    if (conv_only) {
        return complain(EXIT_USAGE,
                        "--stride, --pad, --dilation, --groups, --channels-last and --ohwi need --conv here");
    }
    work->desc.in_channels = work->fan_in;
    return 0;
}

/* Without inputs only the number of groups matters: a convolution that covers all of its input stands for all. */
static void describe_moments(struct work *work, int64_t groups)
{
    bsq_layer_desc_t *desc = &work->desc;
    if (groups == 1) {
        desc->in_channels = work->fan_in;
        return;
    }
    desc->kind = BSQ_CONV;
    desc->spatial_dims = 1;
    desc->kernel[0] = work->fan_in;
    desc->in_channels = groups;
    desc->groups = groups;
}

static int describe(struct work *work, const struct npy_array *stats)
{
    const struct settings *settings = work->settings;
    bsq_layer_desc_init(&work->desc, sizeof work->desc);
    work->desc.out_channels = work->channels;
    if (settings->input.count > 0) {
        return settings->conv.count > 0 || work->weights.dims > 2 ? describe_convolution(work) : describe_linear(work);
    }
    int64_t groups = settings->groups > 0 ? settings->groups : 1;
    if (stats->dims == 3) {
        if (settings->groups > 0 && settings->groups != stats->shape[0]) {
            return complain(EXIT_FAILED, "%s: %lld groups, --groups is %d", settings->stats, (long long)stats->shape[0],
                            (int)settings->groups);
        }
        groups = stats->shape[0];
    }
    describe_moments(work, groups);
    return 0;
}

static int load_weights(struct work *work)
{
    const char *path = work->settings->weights;
    const int status = load_floats(path, &work->weights, &work->values);
    if (status != 0) {
        return status;
    }
    if (work->weights.dims < 2 || work->weights.dims > 5) {
        return complain_shape(path, &work->weights, "(M, n) or (M, I, K...) with one to three K");
    }
    work->channels = work->weights.shape[0];
    work->fan_in = work->weights.count / work->channels;
    return 0;
}

static int load_bias(struct work *work)
{
    const char *path = work->settings->bias;
    struct npy_array array = {.data = NULL};
    if (path == NULL) {
        return 0;
    }
    const int status = load_floats(path, &array, &work->bias);
    if (status != 0) {
        return status;
    }
    if (array.count != work->channels) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "(%lld)", (long long)work->channels);
        return complain_shape(path, &array, wanted);
    }
    return 0;
}

static int create_layer(struct work *work)
{
    char text[256];
    bsq_error_t error;
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    if (bsq_layer_create(&work->desc, &work->settings->options, work->values, work->bias, &error, &work->layer) !=
        BSQ_OK) {
        return complain(EXIT_FAILED, "%s: %s", work->settings->weights, text);
    }
    free(work->values);
    work->values = NULL;
    return 0;
}

/* ---- statistics -------------------------------------------------------------------------------------------- */

static int load_moments(const char *path, struct npy_array *array)
{
    const int status = load(path, array);
    if (status != 0) {
        return status;
    }
    if (array->dims != 2 && array->dims != 3) {
        const int wrong = complain_shape(path, array, "(n, n) or (groups, n, n)");
        npy_free(array);
        return wrong;
    }
    return 0;
}

/* Hands over moments; empties 'array'. */
static int set_moments(struct work *work, const char *path, struct npy_array *array, int32_t held_out)
{
    const int64_t groups = array->dims == 3 ? array->shape[0] : 1;
    const int64_t *sides = array->shape + array->dims - 2;
    if (groups != work->desc.groups || sides[0] != work->fan_in || sides[1] != work->fan_in) {
        char wanted[96];
        snprintf(wanted, sizeof wanted, "(%lld, %lld, %lld)", (long long)work->desc.groups, (long long)work->fan_in,
                 (long long)work->fan_in);
        const int wrong = complain_shape(path, array, wanted);
        npy_free(array);
        return wrong;
    }
    bsq_moments_t moments;
    bsq_moments_init(&moments, sizeof moments);
    moments.held_out = held_out;
    moments.h = npy_take_doubles(array);
    if (moments.h == NULL) {
        return complain_memory();
    }
    const bsq_status_t status = bsq_layer_set_stats(work->layer, &moments);
    free(moments.h);
    return status == BSQ_OK ? 0 : complain_layer(work->layer, path);
}

/* Reads the extents of one batch of inputs. */
static int measure_input(const struct work *work, const char *path, const struct npy_array *array, bsq_batch_t *batch)
{
    const bsq_layer_desc_t *desc = &work->desc;
    char wanted[96];
    if (desc->kind == BSQ_LINEAR) {
        if (array->dims == 0 || array->shape[array->dims - 1] != desc->in_channels) {
            snprintf(wanted, sizeof wanted, "(rows, %lld)%s", (long long)desc->in_channels,
                     array->dims > 2 ? ", or --conv for a convolution," : "");
            return complain_shape(path, array, wanted);
        }
        batch->size = array->count / desc->in_channels;
        return 0;
    }
    const int32_t channel = desc->activation_layout == BSQ_CHANNELS_LAST ? array->dims - 1 : 1;
    if (array->dims != desc->spatial_dims + 2 || array->shape[channel] != desc->in_channels) {
        static const char *const names[] = {"L", "H, W", "D, H, W"};
        const char *space = names[desc->spatial_dims - 1];
        const long long channels = (long long)desc->in_channels;
        if (desc->activation_layout == BSQ_CHANNELS_LAST) {
            snprintf(wanted, sizeof wanted, "(size, %s, %lld)", space, channels);
        } else {
            snprintf(wanted, sizeof wanted, "(size, %lld, %s)", channels, space);
        }
        return complain_shape(path, array, wanted);
    }
    batch->size = array->shape[0];
    memcpy(batch->spatial, array->shape + (channel == 1 ? 2 : 1), (size_t)desc->spatial_dims * sizeof(int64_t));
    return 0;
}

/* The target's shape for a batch: (size, M, output...) or (size, output..., M); false when the kernel does not fit. */
static int target_shape(const bsq_layer_desc_t *desc, const bsq_batch_t *batch, int64_t *shape)
{
    const int last = desc->activation_layout == BSQ_CHANNELS_LAST;
    shape[0] = batch->size;
    shape[last ? desc->spatial_dims + 1 : 1] = desc->out_channels;
    for (int32_t i = 0; i < desc->spatial_dims; i++) {
        const int64_t reach = desc->dilation[i] * (desc->kernel[i] - 1) + 1;
        const int64_t room = batch->spatial[i] + desc->pad_begin[i] + desc->pad_end[i] - reach;
        if (room < 0) {
            return 0;
        }
        shape[i + (last ? 1 : 2)] = room / desc->stride[i] + 1;
    }
    return 1;
}

static int load_target(const struct work *work, const char *path, const bsq_batch_t *batch, float **values)
{
    const bsq_layer_desc_t *desc = &work->desc;
    int64_t shape[5];
    if (!target_shape(desc, batch, shape)) {
        return complain(EXIT_FAILED, "the kernel is larger than the padded input");
    }
    struct npy_array array = {.data = NULL};
    const int status = load_floats(path, &array, values);
    if (status != 0) {
        return status;
    }
    const int32_t dims = desc->spatial_dims + 2;
    const int same = desc->kind == BSQ_LINEAR
                         ? array.dims > 0 && array.shape[array.dims - 1] == desc->out_channels &&
                               array.count / desc->out_channels == batch->size
                         : array.dims == dims && memcmp(array.shape, shape, (size_t)dims * sizeof *shape) == 0;
    if (!same) {
        char wanted[SHAPE_TEXT];
        free(*values);
        *values = NULL;
        return complain_shape(path, &array, shape_text(dims, shape, wanted, sizeof wanted));
    }
    return 0;
}

/* Streams batch 'i', to find the range of the inputs or for the statistics. */
static int stream_batch(struct work *work, int32_t i, int observe)
{
    const char *path = work->settings->input.text[i];
    struct npy_array array = {.data = NULL};
    float *input = NULL;
    float *target = NULL;
    bsq_batch_t batch;
    bsq_batch_init(&batch, sizeof batch);
    int status = load_floats(path, &array, &input);
    if (status == 0) {
        status = measure_input(work, path, &array, &batch);
    }
    if (status == 0 && !observe && work->settings->target.count > 0) {
        status = load_target(work, work->settings->target.text[i], &batch, &target);
    }
    batch.input = input;
    batch.target = target;
    if (status == 0) {
        const bsq_status_t streamed =
            observe ? bsq_layer_observe(work->layer, &batch) : bsq_layer_calibrate(work->layer, &batch);
        status = streamed == BSQ_OK ? 0 : complain_layer(work->layer, path);
    }
    free(input);
    free(target);
    return status;
}

static int stream_batches(struct work *work)
{
    const int passes = work->settings->options.input_bits > 0 ? 2 : 1;
    for (int pass = 0; pass < passes; pass++) {
        for (int32_t i = 0; i < work->settings->input.count; i++) {
            const int status = stream_batch(work, i, pass + 1 < passes);
            if (status != 0 || interrupted) {
                return status;
            }
        }
    }
    return 0;
}

static int hold_out(struct work *work)
{
    const char *path = work->settings->held_out;
    struct npy_array array = {.data = NULL};
    if (path == NULL) {
        return 0;
    }
    const int status = load_moments(path, &array);
    return status != 0 ? status : set_moments(work, path, &array, 1);
}

/* From files to a layer with statistics. */
static int prepare(struct work *work)
{
    const struct settings *settings = work->settings;
    struct npy_array stats = {.data = NULL};
    int status = load_weights(work);
    if (status == 0) {
        status = load_bias(work);
    }
    if (status == 0 && settings->stats != NULL) {
        status = load_moments(settings->stats, &stats);
    }
    if (status == 0) {
        status = describe(work, &stats);
    }
    if (status == 0) {
        status = create_layer(work);
    }
    if (status == 0 && settings->stats != NULL) {
        status = set_moments(work, settings->stats, &stats, 0);
    }
    npy_free(&stats);
    if (status == 0) {
        status = stream_batches(work);
    }
    return status != 0 ? status : hold_out(work);
}

/* ---- results ----------------------------------------------------------------------------------------------- */

enum { OUT_CODES, OUT_SCALES, OUT_BIAS, OUT_DEQUANTIZED, OUT_PACKED, OUTPUTS };

struct output {
    const char *name;
    enum npy_type type;
    int32_t dims;
    int64_t shape[NPY_MAX_DIMS];
    void *data;
};

static int32_t packed_format(const struct settings *settings)
{
    if (settings->format != 0) {
        return settings->format;
    }
    return settings->options.weight_bits <= 2   ? BSQ_FORMAT_ONNX_INT2
           : settings->options.weight_bits <= 4 ? BSQ_FORMAT_ONNX_INT4
                                                : BSQ_FORMAT_INT8;
}

static void shape_outputs(const struct work *work, size_t scales, size_t packed, struct output *outputs)
{
    static const struct output names[OUTPUTS] = {{.name = "codes.npy", .type = NPY_INT8},
                                                 {.name = "scales.npy", .type = NPY_FLOAT32},
                                                 {.name = "bias.npy", .type = NPY_FLOAT32},
                                                 {.name = "dequantized.npy", .type = NPY_FLOAT32},
                                                 {.name = "packed.npy", .type = NPY_UINT8}};
    memcpy(outputs, names, sizeof names);
    outputs[OUT_CODES].dims = outputs[OUT_DEQUANTIZED].dims = work->weights.dims;
    memcpy(outputs[OUT_CODES].shape, work->weights.shape, sizeof work->weights.shape);
    memcpy(outputs[OUT_DEQUANTIZED].shape, work->weights.shape, sizeof work->weights.shape);
    outputs[OUT_SCALES].dims = work->settings->options.scale_kind - BSQ_SCALE_PER_TENSOR;
    outputs[OUT_SCALES].shape[0] = outputs[OUT_BIAS].shape[0] = work->channels;
    outputs[OUT_SCALES].shape[1] = (int64_t)scales / work->channels;
    outputs[OUT_BIAS].dims = outputs[OUT_PACKED].dims = 1;
    outputs[OUT_PACKED].shape[0] = (int64_t)packed;
}

/* Reads all results out of the layer. */
static int gather(struct work *work, struct output *outputs)
{
    bsq_layer_t *layer = work->layer;
    const int32_t format = packed_format(work->settings);
    const size_t weights = (size_t)work->weights.count;
    size_t scales = 0;
    size_t packed = 0;
    if (bsq_layer_result_count(layer, BSQ_RESULT_SCALES, &scales) != BSQ_OK ||
        bsq_packed_size(layer, format, &packed) != BSQ_OK) {
        return complain_layer(layer, "--format");
    }
    shape_outputs(work, scales, packed, outputs);
    const size_t sizes[OUTPUTS] = {weights, scales * sizeof(float), (size_t)work->channels * sizeof(float),
                                   weights * sizeof(float), packed};
    for (int i = 0; i < OUTPUTS; i++) {
        outputs[i].data = malloc(sizes[i]);
        if (outputs[i].data == NULL) {
            return complain_memory();
        }
    }
    if (bsq_pack(layer, format, outputs[OUT_PACKED].data, packed) != BSQ_OK) {
        return complain_layer(layer, "--format");
    }
    if (bsq_layer_get_codes(layer, outputs[OUT_CODES].data, weights) != BSQ_OK ||
        bsq_layer_get_scales(layer, outputs[OUT_SCALES].data, scales) != BSQ_OK ||
        bsq_layer_get_bias(layer, outputs[OUT_BIAS].data, (size_t)work->channels) != BSQ_OK ||
        bsq_layer_get_dequantized(layer, outputs[OUT_DEQUANTIZED].data, weights) != BSQ_OK) {
        return complain_layer(layer, "results");
    }
    return 0;
}

/* DIR/name, or the hidden name beside it under which a file grows; malloc'ed. */
static char *output_path(const char *directory, const char *name, int hidden)
{
    const size_t size = strlen(directory) + strlen(name) + 32;
    char *path = malloc(size);
    if (path != NULL && hidden) {
        snprintf(path, size, "%s/.%s.%lld", directory, name, (long long)getpid());
    } else if (path != NULL) {
        snprintf(path, size, "%s/%s", directory, name);
    }
    return path;
}

static int save_outputs(const struct output *outputs, char *const *hidden)
{
    for (int i = 0; i < OUTPUTS; i++) {
        const struct output *output = &outputs[i];
        if (!npy_save(hidden[i], output->type, output->dims, output->shape, output->data)) {
            return complain(EXIT_FAILED, "%s: %s", hidden[i], strerror(errno));
        }
    }
    return 0;
}

static int rename_outputs(char *const *hidden, char *const *final)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (rename(hidden[i], final[i]) != 0) {
            return complain(EXIT_FAILED, "%s: %s", final[i], strerror(errno));
        }
    }
    return 0;
}

/* Whole files only: all are written under hidden names first. */
static int write_outputs(const struct work *work, const struct output *outputs)
{
    char *hidden[OUTPUTS] = {NULL};
    char *final[OUTPUTS] = {NULL};
    int status = 0;
    for (int i = 0; i < OUTPUTS; i++) {
        hidden[i] = output_path(work->settings->out, outputs[i].name, 1);
        final[i] = output_path(work->settings->out, outputs[i].name, 0);
        if (hidden[i] == NULL || final[i] == NULL) {
            status = complain_memory();
        }
    }
    if (status == 0) {
        status = save_outputs(outputs, hidden);
        if (status == 0 && !interrupted) {
            status = rename_outputs(hidden, final);
        }
    }
    for (int i = 0; i < OUTPUTS; i++) {
        if (hidden[i] != NULL && (status != 0 || interrupted)) {
            unlink(hidden[i]);
        }
        free(hidden[i]);
        free(final[i]);
    }
    return status;
}

static int deliver(struct work *work)
{
    struct output outputs[OUTPUTS] = {{.data = NULL}};
    int status = gather(work, outputs);
    if (status == 0) {
        status = write_outputs(work, outputs);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        free(outputs[i].data);
    }
    return status;
}

/* Makes --out, before the long work, so that a wrong name is seen early. */
static int make_directory(struct work *work)
{
    const char *path = work->settings->out;
    struct stat info;
    if (mkdir(path, 0777) == 0) {
        work->created_out = 1;
        return 0;
    }
    if (errno != EEXIST) {
        return complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
    }
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return complain(EXIT_FAILED, "%s: not a directory", path);
    }
    return access(path, W_OK | X_OK) == 0 ? 0 : complain(EXIT_FAILED, "%s: %s", path, strerror(errno));
}

/* ---- report ------------------------------------------------------------------------------------------------ */

/* A number that the report gives as negative, or as 0, when there is none. */
static double known(double value, int is_known)
{
    return is_known ? value : (double)NAN;
}

static void print_scale(struct json *json, const bsq_options_t *options)
{
    static const char *const names[] = {"tensor", "channel", "group"};
    if (options->scale_kind == BSQ_SCALE_PER_GROUP) {
        char text[32];
        snprintf(text, sizeof text, "group:%lld", (long long)options->group_size);
        json_string(json, "scale", text);
    } else {
        json_string(json, "scale", names[options->scale_kind - BSQ_SCALE_PER_TENSOR]);
    }
    json_string(json, "scale_format", argument_choice_name(scale_formats, options->scale_format));
}

static void print_warnings(struct json *json, int32_t warnings)
{
    static const struct argument_choice names[] = {{"few_rows", BSQ_WARN_FEW_ROWS},
                                          {"scale_limited", BSQ_WARN_SCALE_LIMITED},
                                          {"raised_damping", BSQ_WARN_RAISED_DAMPING},
                                          {"dead_inputs", BSQ_WARN_DEAD_INPUTS},
                                          {"dead_outputs", BSQ_WARN_DEAD_OUTPUTS},
                                          {"no_statistics", BSQ_WARN_NO_STATISTICS}};
    json_open(json, "warnings", '[');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((warnings & names[i].value) != 0) {
            json_string(json, NULL, names[i].name);
        }
    }
    json_close(json, ']');
}

static int print_stages(struct json *json, bsq_layer_t *layer, int32_t count)
{
    json_open(json, "stages", '[');
    for (int32_t i = 0; i < count; i++) {
        bsq_stage_t stage;
        bsq_stage_init(&stage, sizeof stage);
        if (bsq_report_stage(layer, i, &stage) != BSQ_OK) {
            return complain_layer(layer, "report");
        }
        json_open(json, NULL, '{');
        json_string(json, "stage", bsq_stage_string(stage.stage));
        json_integer(json, "effort", stage.effort);
        json_number(json, "objective_before", stage.objective_before);
        json_number(json, "objective_after", stage.objective_after);
        json_integer(json, "sweeps", stage.sweeps);
        json_number(json, "seconds", stage.seconds);
        json_close(json, '}');
    }
    json_close(json, ']');
    return 0;
}

/* Scales and zero points of the input channels. */
static int print_channels(struct json *json, bsq_layer_t *layer)
{
    size_t count = 0;
    if (bsq_layer_result_count(layer, BSQ_RESULT_INPUT_SCALES, &count) != BSQ_OK) {
        return complain_layer(layer, "--act-scale");
    }
    double *scales = malloc(count * sizeof *scales);
    int32_t *zero_points = malloc(count * sizeof *zero_points);
    int failed = 0;
    if (scales == NULL || zero_points == NULL) {
        failed = complain_memory();
    } else if (bsq_layer_get_input_channels(layer, scales, zero_points, count) != BSQ_OK) {
        failed = complain_layer(layer, "--act-scale");
    } else {
        json_open(json, "act_channel_scales", '[');
        for (size_t i = 0; i < count; i++) {
            json_number(json, NULL, scales[i]);
        }
        json_close(json, ']');
        json_open(json, "act_channel_zero_points", '[');
        for (size_t i = 0; i < count; i++) {
            json_integer(json, NULL, zero_points[i]);
        }
        json_close(json, ']');
    }
    free(scales);
    free(zero_points);
    return failed;
}

static int print_inputs(struct json *json, bsq_layer_t *layer, int32_t bits)
{
    json_integer(json, "act_bits", bits);
    if (bits == 0) {
        return 0;
    }
    bsq_input_quantizer_t quantizer;
    bsq_input_quantizer_init(&quantizer, sizeof quantizer);
    if (bsq_layer_get_input_quantizer(layer, &quantizer) != BSQ_OK) {
        return complain_layer(layer, "--act-bits");
    }
    json_string(json, "act_type", argument_choice_name(input_types, quantizer.type));
    json_number(json, "act_scale", quantizer.scale);
    json_integer(json, "act_zero_point", quantizer.zero_point);
    return quantizer.scale_kind == BSQ_INPUT_PER_CHANNEL ? print_channels(json, layer) : 0;
}

static void print_errors(struct json *json, const bsq_report_t *report, const struct settings *settings)
{
    json_number(json, "error", report->error);
    json_number(json, "error_round", report->error_start);
    json_number(json, "error_floor", report->error_floor);
    json_number(json, "held_out_error", known(report->held_out_error, report->held_out_error >= 0));
    json_number(json, "weight_error", report->weight_error);
    if (settings->options.bias_correction) {
        json_number(json, "error_uncorrected", report->error_uncorrected);
        json_number(json, "error_corrected", known(report->error_corrected, report->error_corrected >= 0));
    }
    json_number(json, "objective", report->objective);
    json_number(json, "objective_round", report->objective_start);
    json_number(json, "energy", report->energy);
    json_number(json, "seconds", report->seconds);
}

/* A bound far below J says nothing about J. */
static const char *bound_text(double bound)
{
    const double useful = 0.1;
    return bound <= 0 ? "unknown" : bound < useful ? "not useful" : bound < 1 ? "useful" : "proven";
}

static int write_report(const struct work *work, const bsq_report_t *report, FILE *file)
{
    const struct settings *settings = work->settings;
    struct json json = json_begin(file, settings->pretty);
    json_open(&json, NULL, '{');
    print_errors(&json, report, settings);
    json_string(&json, "outcome", bsq_outcome_string(report->outcome));
    json_string(&json, "solver", argument_choice_name(solvers, report->solver));
    json_integer(&json, "effort", report->effort);
    json_integer(&json, "bits", report->weight_bits);
    json_string(&json, "range", argument_choice_name(ranges, report->weight_range));
    print_scale(&json, &settings->options);
    json_integer(&json, "out_channels", work->channels);
    json_integer(&json, "fan_in", work->fan_in);
    json_integer(&json, "groups", work->desc.groups);
    json_number(&json, "rows", known(report->rows, report->rows > 0));
    json_number(&json, "rows_per_input", known(report->rows_per_input, report->rows > 0));
    json_number(&json, "damping", report->damping);
    json_integer(&json, "channels_improved", report->channels_improved);
    json_integer(&json, "dead_inputs", report->dead_inputs);
    json_integer(&json, "dead_outputs", report->dead_outputs);
    json_integer(&json, "channels_proven", report->channels_proven);
    json_number(&json, "lower_bound", report->lower_bound);
    json_string(&json, "lower_bound_says", bound_text(report->lower_bound));
    json_integer(&json, "sweeps", report->sweeps);
    json_integer(&json, "threads", settings->options.threads);
    json_string(&json, "kernel", bsq_kernel_string(report->kernel));
    json_string(&json, "packed", settings->out != NULL ? argument_choice_name(formats, packed_format(settings)) : NULL);
    int status = print_inputs(&json, work->layer, settings->options.input_bits);
    print_warnings(&json, report->warnings);
    if (status == 0) {
        status = print_stages(&json, work->layer, report->stages);
    }
    json_close(&json, '}');
    return status;
}

/* The report in memory, NULL when that fails. */
static char *report_text(const struct work *work, const bsq_report_t *report, int *status)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) {
        *status = complain_memory();
        return NULL;
    }
    *status = write_report(work, report, file);
    if (fclose(file) != 0 && *status == 0) {
        *status = complain_memory();
    }
    return text;
}

static int print_text(const char *text)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        return complain(EXIT_FAILED, "stdout: %s", strerror(errno));
    }
    return 0;
}

/* ---- main -------------------------------------------------------------------------------------------------- */

/* Everything that can fail comes before the first byte on stdout. */
static int run(struct work *work)
{
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    int status = prepare(work);
    if (status == 0 && work->settings->out != NULL) {
        status = make_directory(work);
    }
    if (status == 0 && bsq_optimize(work->layer, &report) != BSQ_OK) {
        status = complain_layer(work->layer, "solve");
    }
    clear_bar();
    char *text = status == 0 ? report_text(work, &report, &status) : NULL;
    if (status == 0 && work->settings->out != NULL) {
        status = deliver(work);
    }
    if (status == 0 && !interrupted) {
        status = print_text(text);
    }
    free(text);
    return status;
}

static int quantize(const struct settings *settings)
{
    struct work work = {.settings = settings};
    int status = run(&work);
    if (interrupted) {
        clear_bar();
        fputs("bsq-layer: interrupted\n", stderr);
        status = EXIT_SIGNAL + interrupted;
    }
    if (status != 0 && work.created_out) {
        rmdir(settings->out);
    }
    npy_free(&work.weights);
    free(work.values);
    free(work.bias);
    bsq_layer_free(work.layer);
    return status;
}

/* What was ignored from the start (nohup, a shell's background) stays ignored. */
static void handle_signal(int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigemptyset(&action.sa_mask);
        sigaction(number, &action, NULL);
    }
}

static int start(struct settings *settings, int count, char **words)
{
    char message[ARGUMENTS_MESSAGE_SIZE];
    if (!arguments_read(table, count, words, settings, message)) {
        return complain(EXIT_USAGE, "%s", message);
    }
    if (settings->help || settings->version) {
        if (settings->help) {
            print_help();
        } else {
            printf("bsq-layer %s\n", bsq_version_string());
        }
        return fflush(stdout) == 0 ? 0 : complain(EXIT_FAILED, "stdout: %s", strerror(errno));
    }
    int status = read_scale(settings->scale, &settings->options);
    if (status == 0) {
        status = check_settings(settings);
    }
    return status == 0 ? quantize(settings) : status;
}

int main(int count, char **words)
{
    const char *terminal = getenv("TERM");
    bar.visible = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    handle_signal(SIGINT);
    handle_signal(SIGTERM);

    struct settings settings;
    memset(&settings, 0, sizeof settings);
    bsq_options_init(&settings.options, sizeof settings.options);
    settings.options.progress = on_progress;
    settings.input.text = calloc((size_t)count, sizeof *settings.input.text);
    settings.target.text = calloc((size_t)count, sizeof *settings.target.text);
    const int status = settings.input.text != NULL && settings.target.text != NULL ? start(&settings, count, words)
                                                                                   : complain_memory();
    free(settings.input.text);
    free(settings.target.text);
    return status;
}
