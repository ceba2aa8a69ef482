/* Public calls on tensors without a layer: their weights, and their layouts in engines. */
#include "base/dequantize.h"
#include "base/floats.h"
#include "base/options.h"
#include "base/tensor.h"
#include "format/format.h"

#include <string.h>

static bsq_status_t require(const void *pointer, const char *name, struct bsq_message *message)
{
    return pointer ? BSQ_OK : bsq_fail(message, BSQ_E_ARGUMENT, "'%s' is NULL", name);
}

/* How every call here begins: the caller's error struct, then one pointer, then the tensor. */
static bsq_status_t begin(const bsq_error_t *error, const void *pointer, const char *name, bsq_tensor_t *own,
                          const bsq_tensor_t *tensor, struct bsq_message *message)
{
    bsq_status_t status;

    if ((status = bsq_error_check(error, message)) != BSQ_OK || (status = require(pointer, name, message)) != BSQ_OK)
        return status;
    return bsq_tensor_read(own, tensor, message);
}

/* ---- weights ---- */

static bsq_status_t dequantize(const bsq_tensor_t *tensor, float *weights, size_t count, struct bsq_message *message)
{
    struct bsq_tensor_counts counts;
    bsq_status_t status;

    if ((status = bsq_tensor_count(tensor, &counts, message)) != BSQ_OK ||
        (status = bsq_tensor_check_buffers(tensor, &counts, message)) != BSQ_OK)
        return status;
    if ((uint64_t)counts.codes != count)
        return bsq_fail(message, BSQ_E_SIZE, "count is %zu, %lld weights are needed", count, (long long)counts.codes);
    if ((status = bsq_tensor_check_codes(tensor, counts.codes, false, "tensor", BSQ_E_RANGE, message)) != BSQ_OK ||
        (status = bsq_tensor_check_scales(tensor, &counts, message)) != BSQ_OK)
        return status;
    bsq_tensor_values(tensor, weights);
    return BSQ_OK;
}

bsq_status_t bsq_tensor_dequantize(const bsq_tensor_t *tensor, float *weights, size_t count, bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_floats floats;
    bsq_tensor_t own;
    bsq_status_t status;

    bsq_floats_enter(&floats);
    if ((status = begin(error, weights, "weights", &own, tensor, &message)) == BSQ_OK)
        status = dequantize(&own, weights, count, &message);
    bsq_floats_leave(&floats);
    return bsq_error_store(error, status, &message);
}

/* ---- names ---- */

const char *bsq_format_string(int32_t format)
{
    const struct bsq_format *row = bsq_format_find(format);

    return row ? row->name : "unknown";
}

static bool same_name(const char *own, const char *given)
{
    for (; *own && *own == (*given == '-' ? '_' : *given); own++)
        given++;
    return !*own && !*given;
}

int32_t bsq_format_by_name(const char *name)
{
    for (const struct bsq_format *row = bsq_format_after(NULL); name && row; row = bsq_format_after(row))
        if (same_name(row->name, name))
            return row->id;
    return 0;
}

int32_t bsq_format_next(int32_t format)
{
    const struct bsq_format *row = bsq_format_find(format);

    if (format && !row)
        return 0;
    row = bsq_format_after(row);
    return row ? row->id : 0;
}

/* ---- options ---- */

/* Fails when a host's struct ends before a field that the format needs. */
static bsq_status_t write_options(bsq_options_t *options, const bsq_options_t *own, struct bsq_message *message)
{
    const unsigned char *bytes = (const unsigned char *)own;

    for (size_t i = options->struct_size; i < sizeof *own; i++)
        if (bytes[i])
            return bsq_fail(message, BSQ_E_VERSION, "bsq_options_t has %zu bytes, the format needs byte %zu",
                            options->struct_size, i);
    return bsq_struct_write(options, own, sizeof *own, BSQ_FIRST_OPTIONS, "bsq_options_t", message);
}

bsq_status_t bsq_options_for_format(int32_t format, bsq_options_t *options, bsq_error_t *error)
{
    struct bsq_message message = {""};
    bsq_options_t own;
    bsq_status_t status;

    bsq_options_init(&own, sizeof own);
    if ((status = bsq_error_check(error, &message)) == BSQ_OK &&
        (status = require(options, "options", &message)) == BSQ_OK &&
        (status = bsq_struct_read(&own, sizeof own, BSQ_FIRST_OPTIONS, options, "bsq_options_t", &message)) == BSQ_OK &&
        (status = bsq_format_options(format, &own, &message)) == BSQ_OK)
        status = write_options(options, &own, &message);
    return bsq_error_store(error, status, &message);
}

/* ---- packing ---- */

/* The parts of a host's tensor; 'out' is where the answer goes. */
static bsq_status_t list_parts(const bsq_tensor_t *tensor, int32_t format, const void *out, const char *name,
                               struct bsq_parts *parts, const bsq_error_t *error, struct bsq_message *message)
{
    bsq_tensor_t own;
    bsq_status_t status = begin(error, out, name, &own, tensor, message);

    return status == BSQ_OK ? bsq_format_parts(&own, format, parts, message) : status;
}

bsq_status_t bsq_tensor_packed_size(const bsq_tensor_t *tensor, int32_t format, size_t *size, bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_parts parts = {0};
    bsq_status_t status = list_parts(tensor, format, size, "size", &parts, error, &message);

    if (size)
        *size = status == BSQ_OK ? (size_t)parts.size : 0;
    return bsq_error_store(error, status, &message);
}

bsq_status_t bsq_tensor_part_count(const bsq_tensor_t *tensor, int32_t format, int32_t *count, bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_parts parts = {0};
    bsq_status_t status = list_parts(tensor, format, count, "count", &parts, error, &message);

    if (count)
        *count = status == BSQ_OK ? parts.count : 0;
    return bsq_error_store(error, status, &message);
}

bsq_status_t bsq_tensor_get_part(const bsq_tensor_t *tensor, int32_t format, int32_t index, bsq_part_t *part,
                                 bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_parts parts = {0};
    bsq_status_t status = list_parts(tensor, format, part, "part", &parts, error, &message);

    if (status == BSQ_OK && (index < 0 || index >= parts.count))
        status = bsq_fail(&message, BSQ_E_RANGE, "index is %d, must be 0..%d", (int)index, (int)parts.count - 1);
    if (status == BSQ_OK)
        status = bsq_struct_write(part, &parts.part[index], sizeof *part, BSQ_FIRST_PART, "bsq_part_t", &message);
    return bsq_error_store(error, status, &message);
}

bsq_status_t bsq_tensor_pack(const bsq_tensor_t *tensor, int32_t format, void *buffer, size_t size, bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_floats floats;
    bsq_tensor_t own;
    bsq_status_t status;

    bsq_floats_enter(&floats);
    if ((status = begin(error, buffer, "buffer", &own, tensor, &message)) == BSQ_OK)
        status = bsq_format_pack(&own, format, buffer, size, &message);
    bsq_floats_leave(&floats);
    return bsq_error_store(error, status, &message);
}

/* What unpacking writes of the struct itself, where the host's is long enough. */
static void write_unit(bsq_tensor_t *tensor, const bsq_tensor_t *own)
{
    if (tensor->struct_size >= offsetof(bsq_tensor_t, scale_unit) + sizeof own->scale_unit)
        tensor->scale_unit = own->scale_unit;
}

bsq_status_t bsq_tensor_unpack(int32_t format, const void *packed, size_t size, bsq_tensor_t *tensor,
                               bsq_error_t *error)
{
    struct bsq_message message = {""};
    struct bsq_floats floats;
    bsq_tensor_t own;
    bsq_status_t status;

    bsq_floats_enter(&floats);
    if ((status = begin(error, packed, "packed", &own, tensor, &message)) == BSQ_OK &&
        (status = bsq_format_unpack(format, packed, size, &own, &message)) == BSQ_OK)
        write_unit(tensor, &own);
    bsq_floats_leave(&floats);
    return bsq_error_store(error, status, &message);
}
