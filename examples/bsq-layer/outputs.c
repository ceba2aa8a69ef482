/* The .npy files that come out. */
#include "outputs.h"

#include "messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_CODES, OUT_SCALES, OUT_BIAS, OUT_DEQUANTIZED, OUT_PACKED, OUTPUTS };

struct output {
    const char *name;
    enum npy_type type;
    int32_t dims;
    int64_t shape[NPY_MAX_DIMS];
    void *data;
};

int32_t packed_format(const struct settings *settings)
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
    outputs[OUT_SCALES].dims = work->settings->options.scale_kind - BSQ_SCALE_KIND_PER_TENSOR;
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
    bsq_tensor_t tensor;
    bsq_error_t error;
    char text[256] = "";
    size_t packed = 0;
    bsq_tensor_init(&tensor, sizeof tensor);
    bsq_error_init(&error, sizeof error);
    error.message = text;
    error.capacity = sizeof text;
    if (bsq_layer_get_tensor(layer, &tensor) != BSQ_OK) {
        return complain_layer(layer, "results");
    }
    if (bsq_tensor_packed_size(&tensor, format, &packed, &error) != BSQ_OK) {
        return complain(EXIT_FAILED, "--format: %s", text);
    }
    const size_t scales = (size_t)tensor.scale_count;
    shape_outputs(work, scales, packed, outputs);
    const size_t sizes[OUTPUTS] = {weights, scales * sizeof(float), (size_t)work->channels * sizeof(float),
                                   weights * sizeof(float), packed};
    for (int i = 0; i < OUTPUTS; i++) {
        outputs[i].data = malloc(sizes[i]);
        if (outputs[i].data == NULL) {
            return complain_memory();
        }
    }
    tensor.codes = outputs[OUT_CODES].data;
    tensor.scales = outputs[OUT_SCALES].data;
    if (bsq_layer_get_tensor(layer, &tensor) != BSQ_OK ||
        bsq_layer_get_bias(layer, outputs[OUT_BIAS].data, (size_t)work->channels) != BSQ_OK ||
        bsq_layer_get_dequantized(layer, outputs[OUT_DEQUANTIZED].data, weights) != BSQ_OK) {
        return complain_layer(layer, "results");
    }
    if (bsq_tensor_pack(&tensor, format, outputs[OUT_PACKED].data, packed, &error) != BSQ_OK) {
        return complain(EXIT_FAILED, "--format: %s", text);
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
static int write_files(const struct work *work, const struct output *outputs)
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

int write_outputs(struct work *work)
{
    struct output outputs[OUTPUTS] = {{.data = NULL}};
    int status = gather(work, outputs);
    if (status == 0) {
        status = write_files(work, outputs);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        free(outputs[i].data);
    }
    return status;
}

int make_directory(struct work *work)
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
