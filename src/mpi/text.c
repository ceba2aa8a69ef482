/* Texts of failures, and memory. */
#include "mpi/private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *bsq_mpi_status_string(bsq_status_t status)
{
    switch (status) {
    case BSQ_MPI_E_TIMEOUT: return "another rank did not come in time";
    case BSQ_MPI_E_COMMUNICATION: return "a call of MPI failed";
    case BSQ_MPI_E_DIFFERENT: return "a rank differs from rank 0 in what must be the same";
    default: return bsq_status_string(status);
    }
}

bsq_status_t bsq_mpi_fail(struct bsq_mpi_text *text, bsq_status_t status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text->text, sizeof text->text, format, arguments);
    va_end(arguments);
    return status;
}

bsq_status_t bsq_mpi_fail_layer(struct bsq_mpi_text *text, bsq_status_t status, const bsq_layer_t *layer)
{
    return bsq_mpi_fail(text, status, "%.300s", bsq_layer_error_message(layer));
}

bsq_status_t bsq_mpi_fail_memory(struct bsq_mpi_text *text)
{
    return bsq_mpi_fail(text, BSQ_E_MEMORY, "out of memory");
}

/* Gives 'count' x 'size' bytes, one at least, as they come, and how many they are. */
static void *get(const struct bsq_mpi_memory *memory, int64_t count, size_t size, size_t *bytes)
{
    if (count < 0 || (count > 0 && (uint64_t)count > (SIZE_MAX / 2) / size))
        return NULL;
    *bytes = count > 0 ? (size_t)count * size : 1;
    return memory->alloc ? memory->alloc(*bytes, memory->opaque) : malloc(*bytes);
}

void *bsq_mpi_get(const struct bsq_mpi_memory *memory, int64_t count, size_t size)
{
    size_t bytes;
    void *block = get(memory, count, size, &bytes);

    if (block)
        memset(block, 0, bytes);
    return block;
}

double *bsq_mpi_get_numbers(const struct bsq_mpi_memory *memory, int64_t count)
{
    size_t bytes;

    return get(memory, count, sizeof(double), &bytes);
}

void bsq_mpi_put(const struct bsq_mpi_memory *memory, void *block)
{
    if (!block)
        return;
    if (memory->free)
        memory->free(block, memory->opaque);
    else
        free(block);
}
