/* Status codes with the text that goes with them. */
#include "base/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *bsq_status_string(bsq_status_t status)
{
    switch (status) {
    case BSQ_OK: return "success";
    case BSQ_E_ARGUMENT: return "invalid argument";
    case BSQ_E_RANGE: return "value out of range";
    case BSQ_E_SHAPE: return "invalid shape";
    case BSQ_E_SIZE: return "wrong buffer size";
    case BSQ_E_STATE: return "call in the wrong state";
    case BSQ_E_MEMORY: return "out of memory";
    case BSQ_E_NUMERIC: return "not a finite number";
    case BSQ_E_FORMAT: return "not expressible in this format";
    case BSQ_E_CORRUPT: return "corrupt data";
    case BSQ_E_MISMATCH: return "statistics of another layer";
    case BSQ_E_CANCELLED: return "cancelled";
    case BSQ_E_VERSION: return "unknown version";
    default: return "unknown status";
    }
}

bsq_status_t bsq_fail(struct bsq_message *message, bsq_status_t status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message->text, sizeof message->text, format, arguments);
    va_end(arguments);
    return status;
}

bsq_status_t bsq_fail_memory(struct bsq_message *message)
{
    return bsq_fail(message, BSQ_E_MEMORY, "the allocator returned NULL");
}

bsq_status_t bsq_error_store(bsq_error_t *error, bsq_status_t status, const struct bsq_message *message)
{
    if (!error || error->struct_size < BSQ_FIRST_ERROR || error->struct_size > BSQ_LONGEST_STRUCT)
        return status;
    if (error->message && error->capacity > 0) {
        size_t room = error->capacity - 1, length = status == BSQ_OK ? 0 : strlen(message->text);

        if (length > room)
            length = room;
        memcpy(error->message, message->text, length);
        error->message[length] = '\0';
    }
    error->status = status;
    return status;
}
