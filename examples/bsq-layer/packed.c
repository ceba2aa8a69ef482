/* The packed tensor: bytes for packed.npy, or a .safetensors file where the format has several parts. */
#include "packed.h"

#include "common/json.h"
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t packed_format(const struct settings *settings)
{
    const bsq_options_t *options = &settings->options;
    if (settings->format != 0) {
        return settings->format;
    }
    if (options->weight_grid != BSQ_WEIGHT_GRID_SYMMETRIC && options->weight_grid != BSQ_WEIGHT_GRID_FULL) {
        return 0;
    }
    return options->weight_bits <= 2   ? BSQ_FORMAT_ONNX_INT2
           : options->weight_bits <= 4 ? BSQ_FORMAT_ONNX_INT4
                                       : BSQ_FORMAT_INT8;
}

const char *packed_name(const struct settings *settings, char text[64])
{
    if (settings->out == NULL || packed_format(settings) == 0) {
        return NULL;
    }
    return format_text(packed_format(settings), text);
}

int check_packed(const struct work *work)
{
    const bsq_options_t *options = &work->settings->options;
    const int32_t format = packed_format(work->settings);
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    bsq_tensor_t tensor;
    size_t size;
    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.channels = work->channels;
    tensor.fan_in = work->fan_in;
    tensor.group_size = options->scale_kind == BSQ_SCALE_KIND_PER_GROUP ? options->group_size : 0;
    tensor.weight_bits = options->weight_bits;
    tensor.weight_grid = options->weight_grid;
    tensor.scale_kind = options->scale_kind;
    tensor.scale_format = options->scale_format;
    tensor.scale_bits = options->scale_bits;
    tensor.scale_signed = options->scale_signed;
    tensor.super_group = options->super_group;
    if (format != 0 && bsq_tensor_packed_size(&tensor, format, &size, &error) != BSQ_OK) {
        return complain(EXIT_FAILED, "--format: %s", text);
    }
    return 0;
}

/* ---- .safetensors: the size of a JSON object, the object, the arrays ---- */

static const char *type_name(int32_t element_type)
{
    switch (element_type) {
    case BSQ_ELEMENT_TYPE_INT8: return "I8";
    case BSQ_ELEMENT_TYPE_INT32: return "I32";
    case BSQ_ELEMENT_TYPE_UINT32: return "U32";
    case BSQ_ELEMENT_TYPE_UINT64: return "U64";
    case BSQ_ELEMENT_TYPE_FLOAT32: return "F32";
    case BSQ_ELEMENT_TYPE_FLOAT16: return "F16";
    case BSQ_ELEMENT_TYPE_BFLOAT16: return "BF16";
    case BSQ_ELEMENT_TYPE_E4M3: return "F8_E4M3";
    default: return "U8";
    }
}

/* Integers of less than a byte have no type there: they are bytes. */
static int is_bytes(int32_t element_type)
{
    return element_type >= BSQ_ELEMENT_TYPE_INT4 && element_type <= BSQ_ELEMENT_TYPE_UINT2;
}

static void describe_part(struct json *json, const bsq_part_t *part, int64_t start)
{
    json_open(json, part->name, '{');
    json_string(json, "dtype", type_name(part->element_type));
    json_open(json, "shape", '[');
    if (is_bytes(part->element_type)) {
        json_integer(json, NULL, part->size);
    }
    for (int32_t i = 0; i < part->rank && !is_bytes(part->element_type); i++) {
        json_integer(json, NULL, part->shape[i]);
    }
    json_close(json, ']');
    json_open(json, "data_offsets", '[');
    json_integer(json, NULL, start);
    json_integer(json, NULL, start + part->size);
    json_close(json, ']');
    json_close(json, '}');
}

enum { MOST_PARTS = 8, LENGTH_BYTES = 8 };

static void write_length(FILE *file, uint64_t length)
{
    for (int i = 0; i < LENGTH_BYTES; i++) {
        fputc((int)(length >> 8 * i & 0xff), file);
    }
}

/* The JSON object, filled up with spaces to whole 8 bytes; malloc'ed, NULL without memory. */
static char *describe_parts(const bsq_part_t *parts, int32_t count, int32_t format, size_t *length)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, length);
    if (file == NULL) {
        return NULL;
    }
    struct json json = json_begin(file, false);
    int64_t start = 0;
    json_open(&json, NULL, '{');
    json_open(&json, "__metadata__", '{');
    json_string(&json, "format", format == BSQ_FORMAT_MLX ? "mlx" : "pt");
    json_string(&json, "layout", bsq_format_string(format));
    json_close(&json, '}');
    for (int32_t i = 0; i < count; i++) {
        describe_part(&json, &parts[i], start);
        start += parts[i].size;
    }
    json_close(&json, '}');
    fflush(file);
    while (*length % LENGTH_BYTES != 0) {
        fputc(' ', file);
        fflush(file);
    }
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Puts parts into a file's form, without the bytes between them. */
static int to_safetensors(struct packed *packed, const bsq_part_t *parts, int32_t count, int32_t format)
{
    size_t length = 0;
    char *bytes = NULL;
    size_t size = 0;
    char *header = describe_parts(parts, count, format, &length);
    FILE *file = header != NULL ? open_memstream(&bytes, &size) : NULL;
    if (file == NULL) {
        free(header);
        return complain_memory();
    }
    write_length(file, length);
    fwrite(header, 1, length, file);
    for (int32_t i = 0; i < count; i++) {
        fwrite(packed->bytes + parts[i].offset, 1, (size_t)parts[i].size, file);
    }
    free(header);
    const int failed = ferror(file);
    if (fclose(file) != 0 || failed) {
        free(bytes);
        return complain_memory();
    }
    free(packed->bytes);
    *packed = (struct packed){.name = "packed.safetensors", .bytes = (unsigned char *)bytes, .size = size};
    return 0;
}

/* ---- what ncnn's tools read ---- */

static int is_ncnn(int32_t format)
{
    return format == BSQ_FORMAT_NCNN_INT8 || format == BSQ_FORMAT_NCNN_GEMM;
}

/* A line of the table of scales; nine digits say a float32 exactly. */
static int write_table(const bsq_tensor_t *tensor, int32_t format, const unsigned char *scales, int64_t count,
                       struct packed *table)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, &table->size);
    if (file == NULL) {
        return complain_memory();
    }
    fputs("layer_param_0", file);
    if (format == BSQ_FORMAT_NCNN_GEMM) {
        fprintf(file, " bits=%d block=%lld method=gptq qweight=packed.bin", (int)tensor->weight_bits,
                (long long)tensor->group_size);
    }
    for (int64_t i = 0; i < count; i++) {
        float scale;
        memcpy(&scale, scales + (size_t)i * sizeof scale, sizeof scale);
        fprintf(file, " %.9g", (double)scale);
    }
    fputc('\n', file);
    const int failed = ferror(file);
    if (fclose(file) != 0 || failed) {
        free(text);
        return complain_memory();
    }
    table->name = "packed.table";
    table->bytes = (unsigned char *)text;
    return 0;
}

/* 'parts' are the codes and the scales. */
static int write_ncnn(const bsq_tensor_t *tensor, int32_t format, const unsigned char *bytes, const bsq_part_t *parts,
                      struct packed files[PACKED_FILES])
{
    if (format == BSQ_FORMAT_NCNN_GEMM) {
        struct packed *rows = &files[PACKED_ROWS];
        rows->size = (size_t)parts[0].size;
        rows->bytes = malloc(rows->size);
        if (rows->bytes == NULL) {
            return complain_memory();
        }
        rows->name = "packed.bin";
        memcpy(rows->bytes, bytes + parts[0].offset, rows->size);
    }
    return write_table(tensor, format, bytes + parts[1].offset, tensor->scale_count, &files[PACKED_TABLE]);
}

int pack_result(const struct work *work, const bsq_tensor_t *tensor, struct packed files[PACKED_FILES])
{
    struct packed *packed = &files[PACKED_TENSOR];
    const int32_t format = packed_format(work->settings);
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    bsq_part_t parts[MOST_PARTS];
    int32_t count = 0;
    if (format == 0) {
        return 0;
    }
    if (bsq_tensor_packed_size(tensor, format, &packed->size, &error) != BSQ_OK ||
        bsq_tensor_part_count(tensor, format, &count, &error) != BSQ_OK) {
        return complain(EXIT_FAILED, "--format: %s", text);
    }
    packed->name = "packed.npy";
    packed->bytes = malloc(packed->size);
    if (packed->bytes == NULL) {
        return complain_memory();
    }
    if (bsq_tensor_pack(tensor, format, packed->bytes, packed->size, &error) != BSQ_OK) {
        return complain(EXIT_FAILED, "--format: %s", text);
    }
    for (int32_t i = 0; i < count && i < MOST_PARTS; i++) {
        bsq_part_init(&parts[i], sizeof parts[i]);
        if (bsq_tensor_get_part(tensor, format, i, &parts[i], &error) != BSQ_OK) {
            return complain(EXIT_FAILED, "--format: %s", text);
        }
    }
    if (is_ncnn(format)) {
        const int status = write_ncnn(tensor, format, packed->bytes, parts, files);
        if (status != 0) {
            return status;
        }
    }
    return count > 1 ? to_safetensors(packed, parts, count, format) : 0;
}
