/* Codes and zero points in streams of fields, as several families have them. */
#include "format/rows.h"

#include "base/tensor.h"

#include <inttypes.h>

static int32_t number_of(int32_t field, int32_t bits, bool is_signed)
{
    int32_t half = 1 << (bits - 1);

    return is_signed ? (field ^ half) - half : field;
}

static int32_t field_of(int32_t number, int32_t bits)
{
    return number & ((1 << bits) - 1);
}

/* ---- codes ----------------------------------------------------------------------------------------------- */

struct bsq_rows bsq_rows_unsigned(const bsq_tensor_t *tensor, struct bsq_fields fields)
{
    return (struct bsq_rows){fields, false, -bsq_code_shift(tensor), NULL};
}

struct bsq_rows bsq_rows_signed(const bsq_tensor_t *tensor, struct bsq_fields fields)
{
    return (struct bsq_rows){fields, true, bsq_code_shift(tensor) ? 0 : 1 << (tensor->weight_bits - 1), NULL};
}

bsq_tensor_t bsq_rows_flattened(const bsq_tensor_t *tensor)
{
    bsq_tensor_t flat = *tensor;

    flat.fan_in = flat.channels * flat.fan_in;
    flat.channels = 1;
    return flat;
}

void bsq_rows_pack(const struct bsq_rows *rows, const bsq_tensor_t *tensor, unsigned char *packed)
{
    int64_t n = tensor->fan_in;
    struct bsq_grid grid;

    bsq_tensor_grid(tensor, &grid);
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t k = 0; k < n; k++) {
            int32_t number = bsq_grid_code(&grid, tensor->codes, o * n + k) - rows->add;

            bsq_field_put(&rows->fields, packed, o, rows->order ? rows->order[k] : k,
                          field_of(number, rows->fields.bits));
        }
}

static int32_t code_at(const struct bsq_rows *rows, const unsigned char *packed, int64_t o, int64_t field)
{
    return number_of(bsq_field_get(&rows->fields, packed, o, field), rows->fields.bits, rows->is_signed) + rows->add;
}

bsq_status_t bsq_rows_check(const struct bsq_format *format, const struct bsq_rows *rows, const bsq_tensor_t *tensor,
                            const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_grid grid;

    bsq_tensor_grid(tensor, &grid);
    if (grid.highest - grid.lowest == (1 << rows->fields.bits) - 1)
        return BSQ_OK;
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t k = 0; k < tensor->fan_in; k++) {
            int32_t code = code_at(rows, packed, o, k);

            if (code < grid.lowest || code > grid.highest)
                return bsq_fail(message, BSQ_E_FORMAT,
                                "%s: code %d of channel %" PRId64 ", input %" PRId64 " is outside of %d..%d",
                                format->name, (int)code, o, k, (int)grid.lowest, (int)grid.highest);
        }
    return BSQ_OK;
}

void bsq_rows_unpack(const struct bsq_rows *rows, const bsq_tensor_t *tensor, const unsigned char *packed)
{
    for (int64_t o = 0; o < tensor->channels; o++)
        for (int64_t k = 0; k < tensor->fan_in; k++)
            tensor->codes[o * tensor->fan_in + k] = (int8_t)code_at(rows, packed, o, rows->order ? rows->order[k] : k);
}

bsq_status_t bsq_rows_check_tails(const struct bsq_format *format, const struct bsq_fields *fields, int64_t streams,
                                  int64_t count, int64_t bytes, const unsigned char *packed,
                                  struct bsq_message *message)
{
    int64_t end = count * fields->bits;

    for (int64_t s = 0; s < streams; s++)
        for (int64_t bit = end; bit < 8 * bytes; bit++)
            if (packed[bsq_field_byte(fields, s, bit)] >> (bit & 7) & 1)
                return bsq_fail(message, BSQ_E_FORMAT, "%s: there are bits behind the last field of row %" PRId64,
                                format->name, s);
    return BSQ_OK;
}

/* ---- zero points ----------------------------------------------------------------------------------------- */

static int64_t stream_of(const struct bsq_zeros *zeros, int64_t o, int64_t g)
{
    return o * zeros->channel_stream + g * zeros->group_stream;
}

static int64_t index_of(const struct bsq_zeros *zeros, int64_t o, int64_t g)
{
    return o * zeros->channel_field + g * zeros->group_field;
}

/* How many scales, and so zero points, a channel has; one channel stands for all where the tensor has one. */
static void extents_of(const bsq_tensor_t *tensor, int64_t *channels, int64_t *groups)
{
    bool one = tensor->scale_kind == BSQ_SCALE_KIND_PER_TENSOR;

    *channels = one ? 1 : tensor->channels;
    *groups = one ? 1 : bsq_format_groups_of(tensor);
}

bsq_status_t bsq_zeros_check(const struct bsq_format *format, const struct bsq_zeros *zeros, const bsq_tensor_t *tensor,
                             struct bsq_message *message)
{
    int32_t lowest = zeros->is_signed ? -(1 << (zeros->fields.bits - 1)) : 0;
    int32_t highest = lowest + (1 << zeros->fields.bits) - 1;
    int64_t channels, groups;

    extents_of(tensor, &channels, &groups);
    for (int64_t i = 0; i < channels * groups; i++) {
        int32_t zero = bsq_zero_of(tensor, i), number = zero - zeros->add;

        if (number < lowest || number > highest)
            return bsq_fail(message, BSQ_E_FORMAT, "%s holds zero points of %d..%d, zero_points[%" PRId64 "] is %d",
                            format->name, (int)(lowest + zeros->add), (int)(highest + zeros->add), i, (int)zero);
    }
    return BSQ_OK;
}

void bsq_zeros_pack(const struct bsq_zeros *zeros, const bsq_tensor_t *tensor, unsigned char *packed)
{
    int64_t channels, groups;

    extents_of(tensor, &channels, &groups);
    for (int64_t o = 0; o < channels; o++)
        for (int64_t g = 0; g < groups; g++) {
            int32_t number = bsq_zero_of(tensor, o * groups + g) - zeros->add;

            bsq_field_put(&zeros->fields, packed, stream_of(zeros, o, g), index_of(zeros, o, g),
                          field_of(number, zeros->fields.bits));
        }
}

static int32_t zero_at(const struct bsq_zeros *zeros, const unsigned char *packed, int64_t o, int64_t g)
{
    int32_t field = bsq_field_get(&zeros->fields, packed, stream_of(zeros, o, g), index_of(zeros, o, g));

    return number_of(field, zeros->fields.bits, zeros->is_signed) + zeros->add;
}

bsq_status_t bsq_zeros_check_packed(const struct bsq_format *format, const struct bsq_zeros *zeros,
                                    const bsq_tensor_t *tensor, const unsigned char *packed,
                                    struct bsq_message *message)
{
    int32_t lowest = bsq_code_shift(tensor), highest = lowest ? lowest : (1 << tensor->weight_bits) - 1;
    int64_t channels, groups;

    extents_of(tensor, &channels, &groups);
    for (int64_t o = 0; o < channels; o++)
        for (int64_t g = 0; g < groups; g++) {
            int32_t zero = zero_at(zeros, packed, o, g);

            if (zero < lowest || zero > highest)
                return bsq_fail(message, BSQ_E_FORMAT,
                                "%s: zero point %d of channel %" PRId64 ", group %" PRId64 " is outside of %d..%d",
                                format->name, (int)zero, o, g, (int)lowest, (int)highest);
        }
    return BSQ_OK;
}

void bsq_zeros_unpack(const struct bsq_zeros *zeros, const bsq_tensor_t *tensor, const unsigned char *packed)
{
    int64_t channels, groups;

    extents_of(tensor, &channels, &groups);
    for (int64_t o = 0; tensor->weight_grid == BSQ_WEIGHT_GRID_ZERO_POINT && o < channels; o++)
        for (int64_t g = 0; g < groups; g++)
            tensor->zero_points[o * groups + g] = zero_at(zeros, packed, o, g);
}
