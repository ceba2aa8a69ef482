/* The command line. */
#include "settings.h"

#include "messages.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct argument_choice ranges[] = {{"symmetric", BSQ_WEIGHT_GRID_SYMMETRIC},
                                         {"full", BSQ_WEIGHT_GRID_FULL},
                                         {"zero-point", BSQ_WEIGHT_GRID_ZERO_POINT},
                                         {"offset", BSQ_WEIGHT_GRID_OFFSET},
                                         {"pow2", BSQ_WEIGHT_GRID_POWERS_OF_TWO},
                                         {"nf4", BSQ_WEIGHT_GRID_NF4},
                                         {"iq4-nl", BSQ_WEIGHT_GRID_IQ4_NL},
                                         {"e2m1", BSQ_WEIGHT_GRID_E2M1},
                                         {NULL, 0}};
const struct argument_choice solvers[] = {
    {"auto", BSQ_SOLVER_AUTO}, {"round", BSQ_SOLVER_ROUND}, {"paper", BSQ_SOLVER_PAPER}, {NULL, 0}};
const struct argument_choice scale_formats[] = {{"float32", BSQ_SCALE_FORMAT_FLOAT32},
                                                {"float16", BSQ_SCALE_FORMAT_FLOAT16},
                                                {"pow2", BSQ_SCALE_FORMAT_POWER_OF_TWO},
                                                {"bfloat16", BSQ_SCALE_FORMAT_BFLOAT16},
                                                {"e8m0", BSQ_SCALE_FORMAT_E8M0},
                                                {"e4m3", BSQ_SCALE_FORMAT_E4M3},
                                                {NULL, 0}};
const struct argument_choice input_types[] = {{"auto", BSQ_INPUT_TYPE_AUTO},
                                              {"unsigned", BSQ_INPUT_TYPE_UNSIGNED},
                                              {"signed", BSQ_INPUT_TYPE_SIGNED},
                                              {"zero-point", BSQ_INPUT_TYPE_ZERO_POINT},
                                              {NULL, 0}};
static const struct argument_choice input_scales[] = {
    {"tensor", BSQ_INPUT_SCALE_KIND_PER_TENSOR}, {"channel", BSQ_INPUT_SCALE_KIND_PER_CHANNEL}, {NULL, 0}};
static const struct argument_choice input_clips[] = {{"squared-error", BSQ_INPUT_CLIP_SQUARED_ERROR},
                                                     {"minimum-maximum", BSQ_INPUT_CLIP_MINIMUM_MAXIMUM},
                                                     {"percentile", BSQ_INPUT_CLIP_PERCENTILE},
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
    {"range", ARGUMENT_CHOICE, NULL, "of weights: -7..7, -8..7 at 4 bits, and other grids [symmetric]",
     AT(options.weight_grid), 0, 0, ranges},
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
    {"format", ARGUMENT_TEXT, "NAME", "of the packed tensor, and what it needs of the above; see below",
     AT(format_name), 0, 0, NULL},
    {"json", ARGUMENT_CHOICE, NULL, "layout of the object on stdout [compact]", AT(pretty), 0, 0, layouts},
    {"help", ARGUMENT_FLAG, NULL, "print this and stop", AT(help), 0, 0, NULL},
    {"version", ARGUMENT_FLAG, NULL, "print the version and stop", AT(version), 0, 0, NULL},
    {NULL, ARGUMENT_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

const char *format_text(int32_t format, char text[64])
{
    snprintf(text, 64, "%s", bsq_format_string(format));
    /* The types of GGUF are named Q4_0, Q4_K. */
    const int only_first = strncmp(text, "gguf_", 5) == 0;
    for (char *c = strchr(text, '_'); c != NULL; c = only_first ? NULL : strchr(c, '_')) {
        *c = '-';
    }
    return text;
}

static void print_formats(void)
{
    int column = 0;
    for (int32_t format = bsq_format_next(0); format != 0; format = bsq_format_next(format)) {
        char text[64];
        column += printf("%s%s", column == 0 ? "  " : " ", format_text(format, text));
        if (column > 90) {
            putchar('\n');
            column = 0;
        }
    }
    putchar('\n');
}

void print_help(void)
{
    puts("Usage: bsq-layer --weights W.npy (--stats H.npy | --input X.npy [--target Y.npy]) [options]\n"
         "\n"
         "Quantizes the weights of one layer and prints what came out as one JSON object.\n"
         "M: output channels; n: weights of one output channel. The layer is linear, or with --conv or a W of 3 to 5\n"
         "dimensions a convolution. With --stats only the number of groups matters.\n");
    arguments_print(table);
    puts("\n"
         "X is (rows, inputs) for a linear layer, (size, channels, spatial...) for a convolution; Y likewise.\n"
         "Formats, in packed.npy or, where they have several parts, in packed.safetensors; without one onnx-int2,\n"
         "onnx-int4 or int8 by --bits:");
    print_formats();
    puts("Exit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.");
}

static int read_scale(const char *text, bsq_options_t *options)
{
    if (text == NULL || strcmp(text, "channel") == 0) {
        options->scale_kind = BSQ_SCALE_KIND_PER_CHANNEL;
    } else if (strcmp(text, "tensor") == 0) {
        options->scale_kind = BSQ_SCALE_KIND_PER_TENSOR;
    } else if (strncmp(text, "group:", 6) == 0 && argument_whole(text + 6, 1, INT32_MAX, &options->group_size)) {
        options->scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    } else {
        return complain(EXIT_USAGE, "--scale is tensor, channel or group:<inputs>, not '%s'", text);
    }
    return 0;
}

/* Fills in what was not given: what the format asks for, or the defaults. What was given stays; whether the format holds it
 * is seen when the layer's extents are known. */
static int read_format(struct settings *settings)
{
    const bsq_options_t given = settings->options;
    bsq_options_t *options = &settings->options;
    char text[256] = "", name[64];
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    bsq_options_t defaults;
    bsq_options_init(&defaults, sizeof defaults);
    options->weight_bits = given.weight_bits != 0 ? given.weight_bits : defaults.weight_bits;
    options->weight_grid = given.weight_grid != 0 ? given.weight_grid : defaults.weight_grid;
    options->scale_format = given.scale_format != 0 ? given.scale_format : defaults.scale_format;
    if (settings->format_name == NULL) {
        return 0;
    }
    settings->format = bsq_format_by_name(settings->format_name);
    if (settings->format == 0) {
        return complain(EXIT_USAGE, "--format has no '%s' (--help lists the formats)", settings->format_name);
    }
    if (bsq_options_for_format(settings->format, options, &error) != BSQ_OK) {
        return complain(EXIT_USAGE, "--format %s: %s", format_text(settings->format, name), text);
    }
    if (given.weight_bits != 0 && given.weight_bits != options->weight_bits) {
        return complain(EXIT_USAGE, "--format holds %d bits, --bits is %d", (int)options->weight_bits,
                        (int)given.weight_bits);
    }
    if (given.scale_format != 0) {
        options->scale_format = given.scale_format;
    }
    if (given.weight_grid != 0) {
        options->weight_grid = given.weight_grid;
        options->scale_signed = given.weight_grid != BSQ_WEIGHT_GRID_SYMMETRIC ? options->scale_signed : 0;
    }
    return settings->scale != NULL ? read_scale(settings->scale, options) : 0;
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
        (options->weight_grid != BSQ_WEIGHT_GRID_SYMMETRIC || options->scale_kind != BSQ_SCALE_KIND_PER_CHANNEL ||
         options->scale_format != BSQ_SCALE_FORMAT_FLOAT32)) {
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
        (options->input_type != BSQ_INPUT_TYPE_AUTO || options->input_clip != BSQ_INPUT_CLIP_SQUARED_ERROR ||
         options->input_scale_kind != BSQ_INPUT_SCALE_KIND_PER_TENSOR)) {
        return complain(EXIT_USAGE, "--act-type, --act-clip and --act-scale need --act-bits");
    }
    if (options->select_on_held_out && settings->held_out == NULL) {
        return complain(EXIT_USAGE, "--select-on-held-out needs --held-out");
    }
    if (settings->format != 0 && settings->out == NULL) {
        return complain(EXIT_USAGE, "--format needs --out");
    }
    return 0;
}

int read_settings(int count, char **words, struct settings *settings)
{
    char message[ARGUMENTS_MESSAGE_SIZE];
    memset(settings, 0, sizeof *settings);
    bsq_options_init(&settings->options, sizeof settings->options);
    settings->options.progress = on_progress;
    /* Not given. */
    settings->options.weight_bits = settings->options.weight_grid = settings->options.scale_format = 0;
    settings->input.text = calloc((size_t)count, sizeof *settings->input.text);
    settings->target.text = calloc((size_t)count, sizeof *settings->target.text);
    if (settings->input.text == NULL || settings->target.text == NULL) {
        return complain_memory();
    }
    if (!arguments_read(table, count, words, settings, message)) {
        return complain(EXIT_USAGE, "%s", message);
    }
    if (settings->help || settings->version) {
        return 0;
    }
    int status = read_scale(settings->scale, &settings->options);
    if (status == 0) {
        status = read_format(settings);
    }
    return status == 0 ? check_settings(settings) : status;
}

void free_settings(struct settings *settings)
{
    free(settings->input.text);
    free(settings->target.text);
}
