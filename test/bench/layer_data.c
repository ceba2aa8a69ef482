/* Reading of layers, raw batches and baselines. */
#include "layer_data.h"

#include "bench.h"

#include "../../examples/common/npy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- baselines ---------------------------------------------------------------------------------------------- */

/* The next field of a line with quoted fields; cuts it out in place. */
static char *next_field(char **line)
{
    char *start = *line;
    char end = *start == '"' ? '"' : ',';

    if (end == '"')
        start++;

    char *stop_at = start + strcspn(start, end == '"' ? "\"" : ",\r\n");
    char *after = stop_at + (end == '"' && *stop_at ? 1 : 0);

    *line = after + (*after ? 1 : 0);
    *stop_at = 0;
    return start;
}

static int32_t peer_of(const char *solver, const char *codes)
{
    if (strncmp(solver, "Bit-Split", 9) == 0)
        return PEER_BIT_SPLIT;
    if (strncmp(solver, "GPTQ", 4) == 0)
        return PEER_GPTQ;
    if (strcmp(solver, "best known") == 0)
        return strcmp(codes, "full") == 0 ? PEER_BEST_FULL : PEER_BEST_SYMMETRIC;
    return -1;
}

static int32_t layer_index(struct baselines *baselines, const char *name)
{
    for (int32_t i = 0; i < baselines->count; i++)
        if (strcmp(baselines->names[i], name) == 0)
            return i;
    if (baselines->count == MOST_LAYERS)
        stop("baselines.csv", "too many layers");
    snprintf(baselines->names[baselines->count], NAME_SIZE, "%s", name);
    return baselines->count++;
}

void read_baselines(const char *path, struct baselines *baselines)
{
    FILE *file = fopen(path, "r");
    char line[512];

    if (!file || !fgets(line, sizeof line, file))
        stop(path, "cannot be read");
    while (fgets(line, sizeof line, file)) {
        char *rest = line;
        const char *name = next_field(&rest);
        const char *bits = next_field(&rest);
        const char *solver = next_field(&rest);
        const char *codes = next_field(&rest);
        const char *error = next_field(&rest);
        int32_t layer = layer_index(baselines, name), width = atoi(bits), peer = peer_of(solver, codes);

        if (width < 2 || width > 8)
            stop(path, "a row with bits outside 2..8");
        if (peer >= 0)
            baselines->rows[layer][width][peer] = (struct baseline){strtod(error, NULL), strtod(rest, NULL)};
    }
    fclose(file);
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

static struct npy_array load(const char *folder, const char *name, const char *kind)
{
    char path[PATH_SIZE], message[NPY_MESSAGE_SIZE];
    struct npy_array array;

    snprintf(path, sizeof path, "%s/%s.%s.npy", folder, name, kind);
    if (!npy_load(path, &array, message))
        stop(path, message);
    return array;
}

static float *load_floats(const char *folder, const char *name, const char *kind, struct npy_array *shape)
{
    *shape = load(folder, name, kind);

    float *values = npy_take_floats(shape);

    if (!values)
        stop("memory", "none left");
    return values;
}

static double *load_doubles(const char *folder, const char *name, const char *kind, struct npy_array *shape)
{
    *shape = load(folder, name, kind);

    double *values = npy_take_doubles(shape);

    if (!values)
        stop("memory", "none left");
    return values;
}

/* e'He and |e|^2 of one channel, added to 'form' and 'square'; 'work' holds n. */
static void add_form(int64_t n, const double *h, const double *e, double *work, double *form, double *square)
{
    for (int64_t i = 0; i < n; i++)
        work[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            work[j] += e[i] * h[i * n + j];
    for (int64_t i = 0; i < n; i++) {
        *form += e[i] * work[i];
        *square += e[i] * e[i];
    }
}

static double mean_diagonal(int64_t n, const double *h)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += h[i * n + i];
    return sum / (double)n;
}

void judge(const struct layer_data *layer, const double *h, const int8_t *codes, const float *scales, double damping,
           double *error, double *objective)
{
    int64_t n = layer->n;
    double *e = reserve(n, sizeof *e), *work = reserve(n, sizeof *work);

    *error = *objective = 0;
    for (int64_t c = 0; c < layer->channels; c++) {
        const double *block = h + c / (layer->channels / layer->groups) * n * n;
        double form = 0, square = 0;

        for (int64_t i = 0; i < n; i++)
            e[i] = (double)layer->weights[c * n + i] - (codes ? (double)scales[c] * codes[c * n + i] : 0);
        add_form(n, block, e, work, &form, &square);
        *error += form;
        *objective += form + damping * mean_diagonal(n, block) * square;
    }
    free(e);
    free(work);
}

struct layer_data *load_layer(const char *folder, const char *name)
{
    struct layer_data *layer = reserve(1, sizeof *layer);
    struct npy_array w, h;
    double objective;

    snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->weights = load_floats(folder, name, "W", &w);
    layer->h = load_doubles(folder, name, "H", &h);
    if (w.dims != 2 || h.dims != 3 || h.shape[1] != w.shape[1] || h.shape[2] != w.shape[1] ||
        w.shape[0] % h.shape[0] != 0)
        stop(name, "shapes of W and H do not fit");
    layer->groups = h.shape[0];
    layer->channels = w.shape[0];
    layer->n = w.shape[1];
    judge(layer, layer->h, NULL, NULL, 0, &layer->energy, &objective);
    return layer;
}

void free_layer(struct layer_data *layer)
{
    free(layer->weights);
    free(layer->h);
    free(layer);
}

/* ---- raw batches -------------------------------------------------------------------------------------------- */

int has_raw_data(const char *folder, const char *name)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s.input.npy", folder, name);

    FILE *file = fopen(path, "rb");

    if (file)
        fclose(file);
    return file != NULL;
}

struct raw_data load_raw(const char *folder, const struct layer_data *layer)
{
    struct raw_data raw;
    struct npy_array input, output, bias;

    raw.input = load_floats(folder, layer->name, "input", &input);
    raw.output = load_floats(folder, layer->name, "output", &output);
    raw.bias = load_floats(folder, layer->name, "bias", &bias);
    if (input.dims != 4 || output.dims != 4 || input.shape[0] != output.shape[0] || input.shape[2] != output.shape[2] ||
        input.shape[3] != output.shape[3] || output.shape[1] != layer->channels || bias.count != layer->channels ||
        input.shape[1] / layer->groups * KERNEL * KERNEL != layer->n)
        stop(layer->name, "shapes of input, output and bias do not fit");
    raw.size = input.shape[0];
    raw.inputs = input.shape[1];
    raw.height = input.shape[2];
    raw.width = input.shape[3];
    raw.rows = raw.size * raw.height * raw.width;
    return raw;
}

void free_raw(struct raw_data *raw)
{
    free(raw->input);
    free(raw->output);
    free(raw->bias);
}

/* The n inputs of group g that meet the kernel at one output position. */
static void gather_row(const struct raw_data *raw, int64_t group_inputs, int64_t g, int64_t sample, int64_t row,
                       int64_t column, double *x)
{
    for (int64_t c = 0; c < group_inputs; c++)
        for (int64_t i = 0; i < KERNEL; i++)
            for (int64_t j = 0; j < KERNEL; j++) {
                int64_t y = row + i - PAD, z = column + j - PAD;
                int inside = y >= 0 && y < raw->height && z >= 0 && z < raw->width;
                int64_t channel = sample * raw->inputs + g * group_inputs + c;

                *x++ = inside ? (double)raw->input[(channel * raw->height + y) * raw->width + z] : 0;
            }
}

static void add_row(const struct layer_data *layer, const struct raw_data *raw, int64_t g, const double *x,
                    int64_t sample, int64_t position, struct raw_moments *moments)
{
    int64_t n = layer->n, outputs = layer->channels / layer->groups;
    double share = 1 / (double)raw->rows;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            moments->h[(g * n + i) * n + j] += share * x[i] * x[j];
    for (int64_t c = g * outputs; c < (g + 1) * outputs; c++) {
        int64_t at = (sample * layer->channels + c) * raw->height * raw->width + position;
        double y = (double)raw->output[at] - (double)raw->bias[c];

        moments->square[c] += share * y * y;
        for (int64_t i = 0; i < n; i++)
            moments->p[c * n + i] += share * y * x[i];
    }
}

struct raw_moments direct_moments(const struct layer_data *layer, const struct raw_data *raw)
{
    int64_t n = layer->n;
    struct raw_moments moments = {reserve(layer->groups * n * n, sizeof(double)),
                                  reserve(layer->channels * n, sizeof(double)),
                                  reserve(layer->channels, sizeof(double))};
    double *x = reserve(n, sizeof *x);

    for (int64_t g = 0; g < layer->groups; g++)
        for (int64_t s = 0; s < raw->size; s++)
            for (int64_t position = 0; position < raw->height * raw->width; position++) {
                gather_row(raw, raw->inputs / layer->groups, g, s, position / raw->width, position % raw->width, x);
                add_row(layer, raw, g, x, s, position, &moments);
            }
    free(x);
    return moments;
}

void free_moments(struct raw_moments *moments)
{
    free(moments->h);
    free(moments->p);
    free(moments->square);
}
