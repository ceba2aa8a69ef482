/* GPTQ and AWQ: 32-bit words of codes and zero points, float16 scales, with a row of scales for each group of inputs.
 */
#include "format/families.h"
#include "format/rows.h"

#include <inttypes.h>

enum { QWEIGHT, QZEROS, SCALES, G_IDX };

/* float16 scales (groups, channels). */
static struct bsq_numbers scales_of(const bsq_tensor_t *tensor)
{
    return (struct bsq_numbers){"scales", BSQ_ELEMENT_TYPE_FLOAT16, 1, tensor->channels};
}

static bsq_status_t check_multiple(const struct bsq_format *format, const char *what, int64_t count, int64_t multiple,
                                   struct bsq_message *message)
{
    if (count % multiple == 0)
        return BSQ_OK;
    return bsq_fail(message, BSQ_E_FORMAT, "%s has words of 32 bits; %s is %" PRId64 ", no multiple of %" PRId64,
                    format->name, what, count, multiple);
}

/* ---- GPTQ: words go down the inputs ---------------------------------------------------------------------- */

/* So many codes fill whole words. */
static int64_t codes_of_words(int32_t bits)
{
    return bits == 3 ? 32 : 32 / bits;
}

bsq_status_t bsq_gptq_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                               struct bsq_message *message)
{
    int64_t n = tensor->fan_in, channels = tensor->channels, groups = bsq_format_groups_of(tensor);
    int64_t filled = codes_of_words(tensor->weight_bits), words = filled * tensor->weight_bits / 32;
    const int64_t qweight[] = {n / filled * words, channels}, qzeros[] = {groups, channels / filled * words};
    const int64_t scales[] = {groups, channels};
    bsq_status_t status;

    if ((status = check_multiple(format, "fan_in", n, filled, message)) != BSQ_OK ||
        (status = check_multiple(format, "channels", channels, filled, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "qweight", BSQ_ELEMENT_TYPE_INT32, 2, qweight, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "qzeros", BSQ_ELEMENT_TYPE_INT32, 2, qzeros, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "scales", BSQ_ELEMENT_TYPE_FLOAT16, 2, scales, message)) != BSQ_OK)
        return status;
    return bsq_parts_add(parts, "g_idx", BSQ_ELEMENT_TYPE_INT32, 1, &n, message);
}

/* The fields of an output go down a column of words. */
static struct bsq_rows qweight_of(const bsq_tensor_t *tensor)
{
    return bsq_rows_unsigned(tensor, (struct bsq_fields){4, 4 * tensor->channels, tensor->weight_bits});
}

static struct bsq_zeros qzeros_of(const struct bsq_format *format, const bsq_tensor_t *tensor)
{
    return (struct bsq_zeros){.fields =
                                  bsq_fields_dense(tensor->channels * tensor->weight_bits / 8, tensor->weight_bits),
                              .channel_field = 1,
                              .group_stream = 1,
                              .add = format->id == BSQ_FORMAT_GPTQ ? 1 : 0};
}

/* Finds inputs that are out of bounds or come twice, with a set of marks that is filled again for each range of inputs.
 */
static bsq_status_t check_order(const bsq_tensor_t *tensor, struct bsq_message *message)
{
    enum { RANGE = 8192 };
    unsigned char seen[RANGE / 8];

    for (int64_t k = 0; k < tensor->fan_in; k++)
        if (tensor->input_order[k] < 0 || tensor->input_order[k] >= tensor->fan_in)
            return bsq_fail(message, BSQ_E_RANGE, "input_order[%" PRId64 "] is %d, must be 0..%" PRId64, k,
                            (int)tensor->input_order[k], tensor->fan_in - 1);
    for (int64_t first = 0; first < tensor->fan_in; first += RANGE) {
        for (int i = 0; i < RANGE / 8; i++)
            seen[i] = 0;
        for (int64_t k = 0; k < tensor->fan_in; k++) {
            int64_t input = tensor->input_order[k] - first;

            if (input < 0 || input >= RANGE)
                continue;
            if (seen[input / 8] >> input % 8 & 1)
                return bsq_fail(message, BSQ_E_RANGE, "input_order has input %d twice", (int)tensor->input_order[k]);
            seen[input / 8] = (unsigned char)(seen[input / 8] | 1 << input % 8);
        }
    }
    return BSQ_OK;
}

bsq_status_t bsq_gptq_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    struct bsq_zeros qzeros = qzeros_of(format, tensor);
    bsq_status_t status;

    if (tensor->input_order && (status = check_order(tensor, message)) != BSQ_OK)
        return status;
    if ((status = bsq_numbers_check(format, tensor, tensor->scales, BSQ_ELEMENT_TYPE_FLOAT16, "scales", message)) !=
        BSQ_OK)
        return status;
    return bsq_zeros_check(format, &qzeros, tensor, message);
}

void bsq_gptq_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                   unsigned char *packed)
{
    struct bsq_rows qweight = qweight_of(tensor);
    struct bsq_zeros qzeros = qzeros_of(format, tensor);
    struct bsq_numbers scales = scales_of(tensor);

    qweight.order = tensor->input_order;
    bsq_rows_pack(&qweight, tensor, packed + parts->part[QWEIGHT].offset);
    bsq_zeros_pack(&qzeros, tensor, packed + parts->part[QZEROS].offset);
    bsq_numbers_pack(&scales, tensor, tensor->scales, packed + parts->part[SCALES].offset);
    for (int64_t k = 0; k < tensor->fan_in; k++) {
        int64_t input = tensor->input_order ? tensor->input_order[k] : k;

        bsq_word_write(packed + parts->part[G_IDX].offset + 4 * input, (uint32_t)(k / tensor->group_size));
    }
}

/* The inputs of a group must be as many as its tensor has; those of all groups are then all inputs. Without an order
 * they must follow each other. */
static bsq_status_t check_g_idx(const struct bsq_format *format, const bsq_tensor_t *tensor, const unsigned char *g_idx,
                                struct bsq_message *message)
{
    int64_t n = tensor->fan_in, size = tensor->group_size;

    for (int64_t g = 0; g < bsq_format_groups_of(tensor); g++) {
        int64_t wanted = n - g * size < size ? n - g * size : size, count = 0;

        for (int64_t k = 0; k < n; k++)
            count += bsq_word_read(g_idx + 4 * k) == (uint32_t)g;
        if (count != wanted)
            return bsq_fail(message, BSQ_E_FORMAT,
                            "%s: g_idx has %" PRId64 " inputs in group %" PRId64 ", the tensor has %" PRId64,
                            format->name, count, g, wanted);
    }
    for (int64_t k = 0; !tensor->input_order && k < n; k++)
        if (bsq_word_read(g_idx + 4 * k) != (uint32_t)(k / size))
            return bsq_fail(message, BSQ_E_FORMAT,
                            "%s: g_idx[%" PRId64 "] is %d: groups do not follow each other, and input_order is NULL",
                            format->name, k, (int)bsq_word_read(g_idx + 4 * k));
    return BSQ_OK;
}

/* Lists the inputs of group 0 as they follow each other, then those of group 1, and so on. */
static void read_order(const bsq_tensor_t *tensor, const unsigned char *g_idx)
{
    int64_t place = 0;

    for (int64_t g = 0; tensor->input_order && g < bsq_format_groups_of(tensor); g++)
        for (int64_t k = 0; k < tensor->fan_in; k++)
            if (bsq_word_read(g_idx + 4 * k) == (uint32_t)g)
                tensor->input_order[place++] = (int32_t)k;
}

bsq_status_t bsq_gptq_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                             const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_rows qweight = qweight_of(tensor);
    struct bsq_zeros qzeros = qzeros_of(format, tensor);
    struct bsq_numbers scales = scales_of(tensor);
    const unsigned char *place[BSQ_MOST_PARTS];
    bsq_status_t status;

    for (int i = 0; i < BSQ_MOST_PARTS; i++)
        place[i] = packed + parts->part[i].offset;
    if ((status = bsq_rows_check(format, &qweight, tensor, place[QWEIGHT], message)) != BSQ_OK ||
        (status = bsq_zeros_check_packed(format, &qzeros, tensor, place[QZEROS], message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &scales, tensor, place[SCALES], false, message)) != BSQ_OK ||
        (status = check_g_idx(format, tensor, place[G_IDX], message)) != BSQ_OK)
        return status;
    read_order(tensor, place[G_IDX]);
    qweight.order = tensor->input_order;
    bsq_rows_unpack(&qweight, tensor, place[QWEIGHT]);
    bsq_zeros_unpack(&qzeros, tensor, place[QZEROS]);
    bsq_numbers_unpack(&scales, tensor, place[SCALES], tensor->scales);
    return BSQ_OK;
}

/* ---- AWQ: words go along the outputs, in the order of its matrix-matrix kernels -------------------------- */

enum { NIBBLES = 8 };

/* Output 8 c + order[i] of a word is in its nibble i. */
static int64_t nibble_of(int64_t output)
{
    static const int8_t nibbles[NIBBLES] = {0, 4, 1, 5, 2, 6, 3, 7};

    return output / NIBBLES * NIBBLES + nibbles[output % NIBBLES];
}

bsq_status_t bsq_awq_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                              struct bsq_message *message)
{
    int64_t groups = bsq_format_groups_of(tensor);
    const int64_t qweight[] = {tensor->fan_in, tensor->channels / NIBBLES};
    const int64_t qzeros[] = {groups, tensor->channels / NIBBLES}, scales[] = {groups, tensor->channels};
    bsq_status_t status;

    if ((status = check_multiple(format, "channels", tensor->channels, NIBBLES, message)) != BSQ_OK)
        return status;
    if (tensor->fan_in % tensor->group_size)
        return bsq_fail(message, BSQ_E_FORMAT, "%s has whole groups; fan_in is %" PRId64 ", no multiple of %" PRId64,
                        format->name, tensor->fan_in, tensor->group_size);
    if ((status = bsq_parts_add(parts, "qweight", BSQ_ELEMENT_TYPE_INT32, 2, qweight, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "qzeros", BSQ_ELEMENT_TYPE_INT32, 2, qzeros, message)) != BSQ_OK)
        return status;
    return bsq_parts_add(parts, "scales", BSQ_ELEMENT_TYPE_FLOAT16, 2, scales, message);
}

bsq_status_t bsq_awq_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    return bsq_numbers_check(format, tensor, tensor->scales, BSQ_ELEMENT_TYPE_FLOAT16, "scales", message);
}

void bsq_awq_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                  unsigned char *packed)
{
    struct bsq_fields nibbles = bsq_fields_dense(tensor->channels / 2, 4);
    struct bsq_numbers scales = scales_of(tensor);
    int64_t n = tensor->fan_in, groups = bsq_format_groups_of(tensor);
    int32_t shift = bsq_code_shift(tensor);

    (void)format;
    for (int64_t o = 0; o < tensor->channels; o++) {
        for (int64_t k = 0; k < n; k++)
            bsq_field_put(&nibbles, packed + parts->part[QWEIGHT].offset, k, nibble_of(o),
                          tensor->codes[o * n + k] + shift);
        for (int64_t g = 0; g < groups; g++)
            bsq_field_put(&nibbles, packed + parts->part[QZEROS].offset, g, nibble_of(o),
                          bsq_zero_of(tensor, o * groups + g));
    }
    bsq_numbers_pack(&scales, tensor, tensor->scales, packed + parts->part[SCALES].offset);
}

/* Without zero points of its own a tensor has them all at 8, and the symmetric grid has no code -8. */
static bsq_status_t check_awq(const struct bsq_format *format, const bsq_tensor_t *tensor, const unsigned char *qweight,
                              const unsigned char *qzeros, struct bsq_message *message)
{
    struct bsq_fields nibbles = bsq_fields_dense(tensor->channels / 2, 4);
    int32_t shift = bsq_code_shift(tensor);

    if (!shift)
        return BSQ_OK;
    for (int64_t o = 0; o < tensor->channels; o++) {
        for (int64_t k = 0; tensor->weight_grid == BSQ_WEIGHT_GRID_SYMMETRIC && k < tensor->fan_in; k++)
            if (bsq_field_get(&nibbles, qweight, k, nibble_of(o)) == 0)
                return bsq_fail(message, BSQ_E_FORMAT,
                                "%s: code -8 of channel %" PRId64 ", input %" PRId64 " is outside of -7..7",
                                format->name, o, k);
        for (int64_t g = 0; g < bsq_format_groups_of(tensor); g++)
            if (bsq_field_get(&nibbles, qzeros, g, nibble_of(o)) != shift)
                return bsq_fail(message, BSQ_E_FORMAT,
                                "%s: zero point %d of channel %" PRId64 ", group %" PRId64 ", must be 8", format->name,
                                (int)bsq_field_get(&nibbles, qzeros, g, nibble_of(o)), o, g);
    }
    return BSQ_OK;
}

bsq_status_t bsq_awq_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                            const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_fields nibbles = bsq_fields_dense(tensor->channels / 2, 4);
    struct bsq_numbers scales = scales_of(tensor);
    const unsigned char *qweight = packed + parts->part[QWEIGHT].offset, *qzeros = packed + parts->part[QZEROS].offset;
    int64_t n = tensor->fan_in, groups = bsq_format_groups_of(tensor);
    int32_t shift = bsq_code_shift(tensor);
    bsq_status_t status;

    if ((status = check_awq(format, tensor, qweight, qzeros, message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &scales, tensor, packed + parts->part[SCALES].offset, false,
                                           message)) != BSQ_OK)
        return status;
    for (int64_t o = 0; o < tensor->channels; o++) {
        for (int64_t k = 0; k < n; k++)
            tensor->codes[o * n + k] = (int8_t)(bsq_field_get(&nibbles, qweight, k, nibble_of(o)) - shift);
        for (int64_t g = 0; !shift && g < groups; g++)
            tensor->zero_points[o * groups + g] = bsq_field_get(&nibbles, qzeros, g, nibble_of(o));
    }
    bsq_numbers_unpack(&scales, tensor, packed + parts->part[SCALES].offset, tensor->scales);
    return BSQ_OK;
}
