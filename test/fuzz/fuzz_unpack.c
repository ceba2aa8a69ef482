/* Any bytes as a packed tensor: codes that pack again, or a refusal with a text.
 *
 * Input: format (index into the list below), bits (and from 128 on the symmetric grid), channels, fan-in (low byte first, two each), then packed bytes. */
#include "bsq.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 6 };

struct tensor {
    int32_t format;
    int32_t bits;
    int32_t grid;
    int64_t channels;
    int64_t fan_in;
};

static void require(int condition)
{
    if (!condition)
        abort();
}

static struct tensor read_tensor(const uint8_t *data)
{
    static const int32_t formats[] = {BSQ_FORMAT_INT8,
                                      BSQ_FORMAT_ONNX_INT4,
                                      BSQ_FORMAT_ONNX_INT2,
                                      BSQ_FORMAT_TERNARY_PLANES,
                                      BSQ_FORMAT_SIGN_MAGNITUDE_PLANES,
                                      0};

    return (struct tensor){formats[data[0] % 6], data[1] % 12,
                           data[1] >= 128 ? BSQ_WEIGHT_GRID_SYMMETRIC : BSQ_WEIGHT_GRID_FULL, data[2] | data[3] << 8,
                           data[4] | data[5] << 8};
}

/* A copy of exactly the size, so that a read behind the end is seen. */
static void *copy_of(const void *bytes, size_t size)
{
    void *copy = malloc(size ? size : 1);

    require(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

/* As the library sees it. */
static bsq_tensor_t public_tensor(const struct tensor *t, int8_t *codes)
{
    bsq_tensor_t tensor;

    bsq_tensor_init(&tensor, sizeof tensor);
    tensor.weight_bits = t->bits;
    tensor.weight_grid = t->grid;
    tensor.channels = t->channels;
    tensor.fan_in = t->fan_in;
    tensor.codes = codes;
    tensor.code_count = t->channels * t->fan_in;
    return tensor;
}

static void check_codes(const struct tensor *t, const uint8_t *packed, size_t size, int8_t *codes)
{
    size_t count = (size_t)(t->channels * t->fan_in);
    uint8_t *again = malloc(size);
    int8_t *back = malloc(count);

    bsq_tensor_t tensor = public_tensor(t, codes), other = public_tensor(t, back);
    int lowest = -(1 << (t->bits - 1)) + (t->grid == BSQ_WEIGHT_GRID_SYMMETRIC);

    require(again && back);
    for (size_t i = 0; i < count; i++)
        require(codes[i] >= lowest && codes[i] < 1 << (t->bits - 1));
    require(bsq_tensor_pack(&tensor, t->format, again, size, NULL) == BSQ_OK);
    /* Ternary planes may come with digits of mixed signs, which are not the digits that we write. */
    if (t->format != BSQ_FORMAT_TERNARY_PLANES)
        require(memcmp(again, packed, size) == 0);
    require(bsq_tensor_unpack(t->format, again, size, &other, NULL) == BSQ_OK);
    require(memcmp(back, codes, count) == 0);
    free(again);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    size_t needed;

    if (size < HEADER)
        return 0;

    struct tensor t = read_tensor(data);
    size_t packed_size = size - HEADER;
    uint8_t *packed = copy_of(data + HEADER, packed_size);
    bsq_tensor_t tensor = public_tensor(&t, NULL);
    bsq_status_t asked = bsq_tensor_packed_size(&tensor, t.format, &needed, NULL);
    int fits = asked == BSQ_OK && needed == packed_size;
    int8_t *codes = malloc(fits ? (size_t)(t.channels * t.fan_in) : 1);

    require(codes != NULL);
    tensor.codes = codes;

    bsq_status_t status = bsq_tensor_unpack(t.format, packed, packed_size, &tensor, &error);

    if (status == BSQ_OK) {
        require(fits);
        check_codes(&t, packed, packed_size, codes);
    } else {
        require(text[0] != '\0' && error.status == status);
        require(status == (fits ? BSQ_E_FORMAT : asked == BSQ_OK ? BSQ_E_SIZE : asked));
    }
    free(codes);
    free(packed);
    return 0;
}
