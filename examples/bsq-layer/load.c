/* From files to a layer with statistics. */
#include "load.h"

#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Refuses padding that would only add windows without a single input: a mistake, and maybe days of work. */
static int check_padding(const bsq_layer_desc_t *desc)
{
    for (int32_t i = 0; i < desc->spatial_dims; i++) {
        const int64_t reach = desc->dilation[i] * (desc->kernel[i] - 1) + 1;
        const int64_t pad = desc->pad_begin[i] > desc->pad_end[i] ? desc->pad_begin[i] : desc->pad_end[i];
        if (pad > reach) {
            return complain(EXIT_USAGE, "--pad %lld is more than the %lld inputs that the kernel reaches over",
                            (long long)pad, (long long)reach);
        }
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
    desc->kind = BSQ_KIND_CONV;
    desc->groups = settings->groups > 0 ? settings->groups : 1;
    desc->weight_layout = settings->ohwi ? BSQ_WEIGHT_LAYOUT_OHWI : BSQ_WEIGHT_LAYOUT_OIHW;
    desc->activation_layout =
        settings->channels_last ? BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST : BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST;
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
    if (status == 0) {
        status = spread("pad", settings->pad.end, settings->pad.count, dims, desc->pad_end);
    }
    return status != 0 ? status : check_padding(desc);
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
    desc->kind = BSQ_KIND_CONV;
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
    if (bsq_layer_create(&work->desc, &work->settings->options, work->values, work->bias, &work->layer, &error) !=
        BSQ_OK) {
        return complain(EXIT_FAILED, "%s: %s", work->settings->weights, text);
    }
    free(work->values);
    work->values = NULL;
    return 0;
}

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
    double *h = npy_take_doubles(array);
    if (h == NULL) {
        return complain_memory();
    }
    moments.h = h;
    const bsq_status_t status = bsq_layer_set_moments(work->layer, &moments);
    free(h);
    return status == BSQ_OK ? 0 : complain_layer(work->layer, path);
}

/* Reads the extents of one batch of inputs. */
static int measure_input(const struct work *work, const char *path, const struct npy_array *array, bsq_batch_t *batch)
{
    const bsq_layer_desc_t *desc = &work->desc;
    char wanted[96];
    if (desc->kind == BSQ_KIND_LINEAR) {
        if (array->dims == 0 || array->shape[array->dims - 1] != desc->in_channels) {
            snprintf(wanted, sizeof wanted, "(rows, %lld)%s", (long long)desc->in_channels,
                     array->dims > 2 ? ", or --conv for a convolution," : "");
            return complain_shape(path, array, wanted);
        }
        batch->size = array->count / desc->in_channels;
        return 0;
    }
    const int32_t channel = desc->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST ? array->dims - 1 : 1;
    if (array->dims != desc->spatial_dims + 2 || array->shape[channel] != desc->in_channels) {
        static const char *const names[] = {"L", "H, W", "D, H, W"};
        const char *space = names[desc->spatial_dims - 1];
        const long long channels = (long long)desc->in_channels;
        if (desc->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST) {
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
    const int last = desc->activation_layout == BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST;
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
    const int same = desc->kind == BSQ_KIND_LINEAR
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

int stream_batch(struct work *work, int32_t i, int observe)
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

int load_held_out(struct work *work)
{
    const char *path = work->settings->held_out;
    struct npy_array array = {.data = NULL};
    if (path == NULL) {
        return 0;
    }
    const int status = load_moments(path, &array);
    return status != 0 ? status : set_moments(work, path, &array, 1);
}

int load_layer(struct work *work)
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
    return status;
}
