/* MLX: affine quantization, a scale and a bias for each group, rows of 32-bit words. */
#include "format/families.h"
#include "format/rows.h"

#include <inttypes.h>

enum { WEIGHT, SCALES, BIASES };

bsq_status_t bsq_mlx_describe(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_parts *parts,
                              struct bsq_message *message)
{
    const int64_t words[] = {tensor->channels, tensor->fan_in / 32 * tensor->weight_bits};
    const int64_t groups[] = {tensor->channels, bsq_format_groups_of(tensor)};
    int32_t type = bsq_element_type_of_scales(tensor);
    bsq_status_t status;

    if (tensor->fan_in % tensor->group_size)
        return bsq_fail(message, BSQ_E_FORMAT, "%s has whole groups; fan_in is %" PRId64 ", no multiple of %" PRId64,
                        format->name, tensor->fan_in, tensor->group_size);
    if ((status = bsq_parts_add(parts, "weight", BSQ_ELEMENT_TYPE_UINT32, 2, words, message)) != BSQ_OK ||
        (status = bsq_parts_add(parts, "scales", type, 2, groups, message)) != BSQ_OK)
        return status;
    return bsq_parts_add(parts, "biases", type, 2, groups, message);
}

static struct bsq_rows weight_of(const bsq_tensor_t *tensor)
{
    return bsq_rows_unsigned(tensor, bsq_fields_dense(tensor->fan_in / 8 * tensor->weight_bits, tensor->weight_bits));
}

static struct bsq_numbers numbers_of(const bsq_tensor_t *tensor, const char *what)
{
    return (struct bsq_numbers){what, bsq_element_type_of_scales(tensor), bsq_format_groups_of(tensor), 1};
}

bsq_status_t bsq_mlx_check(const struct bsq_format *format, const bsq_tensor_t *tensor, struct bsq_message *message)
{
    int32_t type = bsq_element_type_of_scales(tensor);
    bsq_status_t status = bsq_numbers_check(format, tensor, tensor->scales, type, "scales", message);

    return status == BSQ_OK ? bsq_numbers_check(format, tensor, tensor->offsets, type, "offsets", message) : status;
}

void bsq_mlx_pack(const struct bsq_format *format, const bsq_tensor_t *tensor, const struct bsq_parts *parts,
                  unsigned char *packed)
{
    struct bsq_rows weight = weight_of(tensor);
    struct bsq_numbers scales = numbers_of(tensor, "scales"), biases = numbers_of(tensor, "offsets");

    (void)format;
    bsq_rows_pack(&weight, tensor, packed + parts->part[WEIGHT].offset);
    bsq_numbers_pack(&scales, tensor, tensor->scales, packed + parts->part[SCALES].offset);
    bsq_numbers_pack(&biases, tensor, tensor->offsets, packed + parts->part[BIASES].offset);
}

bsq_status_t bsq_mlx_unpack(const struct bsq_format *format, bsq_tensor_t *tensor, const struct bsq_parts *parts,
                            const unsigned char *packed, struct bsq_message *message)
{
    struct bsq_rows weight = weight_of(tensor);
    struct bsq_numbers scales = numbers_of(tensor, "scales"), biases = numbers_of(tensor, "offsets");
    const unsigned char *place[] = {packed + parts->part[WEIGHT].offset, packed + parts->part[SCALES].offset,
                                    packed + parts->part[BIASES].offset};
    bsq_status_t status;

    if ((status = bsq_numbers_check_packed(format, &scales, tensor, place[SCALES], false, message)) != BSQ_OK ||
        (status = bsq_numbers_check_packed(format, &biases, tensor, place[BIASES], true, message)) != BSQ_OK)
        return status;
    bsq_rows_unpack(&weight, tensor, place[WEIGHT]);
    bsq_numbers_unpack(&scales, tensor, place[SCALES], tensor->scales);
    bsq_numbers_unpack(&biases, tensor, place[BIASES], tensor->offsets);
    return BSQ_OK;
}
