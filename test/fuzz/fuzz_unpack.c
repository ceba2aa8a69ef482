/* Any bytes as a packed tensor: codes that pack again, or a refusal with a text.
 *
 * Input: format (index into the list below), bits, channels, fan-in (low byte first, two each), then packed bytes. */
#include "format/pack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 6 };

struct tensor {
    int32_t format;
    int32_t bits;
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
    static const int32_t formats[] = {BSQ_FORMAT_INT8, BSQ_FORMAT_ONNX_INT4, BSQ_FORMAT_ONNX_INT2,
                                      BSQ_FORMAT_TERNARY_PLANES, BSQ_FORMAT_SIGN_MAGNITUDE_PLANES, 0};

    return (struct tensor){formats[data[0] % 6], data[1] % 12, data[2] | data[3] << 8, data[4] | data[5] << 8};
}

/* A copy of exactly the size, so that a read behind the end is seen. */
static void *copy_of(const void *bytes, size_t size)
{
    void *copy = malloc(size ? size : 1);

    require(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

static void check_codes(const struct tensor *t, const uint8_t *packed, size_t size, const int8_t *codes)
{
    struct bsq_message message;
    size_t count = (size_t)(t->channels * t->fan_in);
    uint8_t *again = malloc(size);
    int8_t *back = malloc(count);

    require(again && back);
    for (size_t i = 0; i < count; i++)
        require(codes[i] >= -(1 << (t->bits - 1)) && codes[i] < 1 << (t->bits - 1));
    require(bsq_pack_codes(t->format, t->bits, t->channels, t->fan_in, codes, again, size, &message) == BSQ_OK);
    /* Ternary planes may come with digits of mixed signs, which are not the digits that we write. */
    if (t->format != BSQ_FORMAT_TERNARY_PLANES)
        require(memcmp(again, packed, size) == 0);
    require(bsq_unpack(t->format, t->bits, t->channels, t->fan_in, again, size, back, NULL) == BSQ_OK);
    require(memcmp(back, codes, count) == 0);
    free(again);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bsq_message message;
    char text[256] = "";
    bsq_error_t error = {.struct_size = sizeof error, .message = text, .capacity = sizeof text};
    size_t needed;

    if (size < HEADER)
        return 0;

    struct tensor t = read_tensor(data);
    size_t packed_size = size - HEADER;
    uint8_t *packed = copy_of(data + HEADER, packed_size);
    bsq_status_t asked = bsq_pack_size(t.format, t.bits, t.channels, t.fan_in, &needed, &message);
    int fits = asked == BSQ_OK && needed == packed_size;
    int8_t *codes = malloc(fits ? (size_t)(t.channels * t.fan_in) : 1);

    require(codes != NULL);

    bsq_status_t status = bsq_unpack(t.format, t.bits, t.channels, t.fan_in, packed, packed_size, codes, &error);

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
