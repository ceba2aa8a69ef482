/* Any bytes as a .npy file: an array whose elements can all be read, or a refusal with a text.
 * The reader is the one that the examples share. */
#include "../../examples/common/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_array array = {.data = NULL};
    char message[NPY_MESSAGE_SIZE] = "";
    if (!npy_parse(data, size, &array, message)) {
        if (message[0] == '\0') {
            abort();
        }
        return 0;
    }
    double *values = npy_take_doubles(&array);
    volatile double sum = 0;
    for (int64_t i = 0; values != NULL && i < array.count; i++) {
        sum = sum + values[i];
    }
    free(values);
    return 0;
}
