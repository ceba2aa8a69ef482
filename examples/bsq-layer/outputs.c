/* The files that come out. */
#include "outputs.h"

#include "messages.h"
#include "packed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OUT_CODES,
    OUT_SCALES,
    OUT_ZERO_POINTS,
    OUT_OFFSETS,
    OUT_BIAS,
    OUT_DEQUANTIZED,
    OUT_PACKED,
    OUTPUTS = OUT_PACKED + PACKED_FILES
};

/* A file; one without a name is not written. */
struct output {
    const char *name;
    enum npy_type type;
    int32_t dims; /* -1: the bytes as they are, not an array */
    int64_t shape[NPY_MAX_DIMS];
    void *data;
};

/* Codes of other grids than these two are from 0 on. */
static int is_around_zero(int32_t grid)
{
    return grid == BSQ_WEIGHT_GRID_SYMMETRIC || grid == BSQ_WEIGHT_GRID_FULL;
}

static void shape_scales(const struct work *work, const bsq_tensor_t *tensor, struct output *output)
{
    output->dims = tensor->scale_kind - BSQ_SCALE_KIND_PER_TENSOR;
    output->shape[0] = work->channels;
    output->shape[1] = tensor->scale_count / work->channels;
}

static void shape_outputs(const struct work *work, const bsq_tensor_t *tensor, struct output *outputs)
{
    static const struct output names[OUTPUTS] = {
        {.name = "codes.npy", .type = NPY_INT8},        {.name = "scales.npy", .type = NPY_FLOAT32},
        {.name = "zero_points.npy", .type = NPY_INT32}, {.name = "offsets.npy", .type = NPY_FLOAT32},
        {.name = "bias.npy", .type = NPY_FLOAT32},      {.name = "dequantized.npy", .type = NPY_FLOAT32}};
    memcpy(outputs, names, sizeof names);
    outputs[OUT_CODES].type = is_around_zero(tensor->weight_grid) ? NPY_INT8 : NPY_UINT8;
    outputs[OUT_CODES].dims = outputs[OUT_DEQUANTIZED].dims = work->weights.dims;
    memcpy(outputs[OUT_CODES].shape, work->weights.shape, sizeof work->weights.shape);
    memcpy(outputs[OUT_DEQUANTIZED].shape, work->weights.shape, sizeof work->weights.shape);
    shape_scales(work, tensor, &outputs[OUT_SCALES]);
    shape_scales(work, tensor, &outputs[OUT_ZERO_POINTS]);
    shape_scales(work, tensor, &outputs[OUT_OFFSETS]);
    outputs[OUT_BIAS].dims = 1;
    outputs[OUT_BIAS].shape[0] = work->channels;
    if (tensor->zero_point_count == 0) {
        outputs[OUT_ZERO_POINTS].name = NULL;
    }
    if (tensor->offset_count == 0) {
        outputs[OUT_OFFSETS].name = NULL;
    }
}

/* The packed tensor and what belongs to it; bytes as they are but for packed.npy. */
static int pack(const struct work *work, const bsq_tensor_t *tensor, struct output *outputs)
{
    struct packed files[PACKED_FILES] = {{.name = NULL}};
    const int status = pack_result(work, tensor, files);
    for (int i = 0; i < PACKED_FILES; i++) {
        outputs[i].name = files[i].name;
        outputs[i].type = NPY_UINT8;
        outputs[i].data = files[i].bytes;
        outputs[i].shape[0] = (int64_t)files[i].size;
        outputs[i].dims = files[i].name != NULL && strcmp(files[i].name, "packed.npy") != 0 ? -1 : 1;
    }
    return status;
}

/* Reads all results out of the layer. */
static int gather(struct work *work, struct output *outputs)
{
    bsq_layer_t *layer = work->layer;
    const size_t weights = (size_t)work->weights.count;
    bsq_tensor_t tensor;
    bsq_tensor_init(&tensor, sizeof tensor);
    if (bsq_layer_get_tensor(layer, &tensor) != BSQ_OK) {
        return complain_layer(layer, "results");
    }
    shape_outputs(work, &tensor, outputs);
    const size_t sizes[OUT_PACKED] = {weights,
                                      (size_t)tensor.scale_count * sizeof(float),
                                      (size_t)tensor.zero_point_count * sizeof(int32_t),
                                      (size_t)tensor.offset_count * sizeof(float),
                                      (size_t)work->channels * sizeof(float),
                                      weights * sizeof(float)};
    for (int i = 0; i < OUT_PACKED; i++) {
        outputs[i].data = outputs[i].name != NULL ? malloc(sizes[i]) : NULL;
        if (outputs[i].name != NULL && outputs[i].data == NULL) {
            return complain_memory();
        }
    }
    tensor.codes = outputs[OUT_CODES].data;
    tensor.scales = outputs[OUT_SCALES].data;
    tensor.zero_points = outputs[OUT_ZERO_POINTS].data;
    tensor.offsets = outputs[OUT_OFFSETS].data;
    if (bsq_layer_get_tensor(layer, &tensor) != BSQ_OK ||
        bsq_layer_get_bias(layer, outputs[OUT_BIAS].data, (size_t)work->channels) != BSQ_OK ||
        bsq_layer_get_dequantized(layer, outputs[OUT_DEQUANTIZED].data, weights) != BSQ_OK) {
        return complain_layer(layer, "results");
    }
    return pack(work, &tensor, outputs + OUT_PACKED);
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

static int save_output(const struct output *output, const char *path)
{
    if (output->dims >= 0) {
        return npy_save(path, output->type, output->dims, output->shape, output->data);
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return 0;
    }
    const size_t size = (size_t)output->shape[0];
    const int whole = fwrite(output->data, 1, size, file) == size;
    return fclose(file) == 0 && whole;
}

static int save_outputs(const struct output *outputs, char *const *hidden)
{
    for (int i = 0; i < OUTPUTS; i++) {
        const struct output *output = &outputs[i];
        if (output->name != NULL && !save_output(output, hidden[i])) {
            return complain(EXIT_FAILED, "%s: %s", hidden[i], strerror(errno));
        }
    }
    return 0;
}

static int rename_outputs(char *const *hidden, char *const *final)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (hidden[i] != NULL && rename(hidden[i], final[i]) != 0) {
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
        if (outputs[i].name == NULL) {
            continue;
        }
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
