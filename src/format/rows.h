/* Codes and zero points in streams of fields, as several families have them. */
#ifndef BSQ_FORMAT_ROWS_H
#define BSQ_FORMAT_ROWS_H

#include "format/arrays.h"

/* Codes in streams, one for each channel, in which input k is field order[k], or field k without an order. A field's
 * number, two's complement when 'is_signed', is that of the code less 'add'. */
struct bsq_rows {
    struct bsq_fields fields;
    bool is_signed;
    int32_t add;
    const int32_t *order;
};

/* Unsigned fields of 'bits' bits: codes around 0 are moved up by 2^(weight_bits-1). */
struct bsq_rows bsq_rows_unsigned(const bsq_tensor_t *tensor, struct bsq_fields fields);

/* Two's complement fields: codes from 0 on are moved down. */
struct bsq_rows bsq_rows_signed(const bsq_tensor_t *tensor, struct bsq_fields fields);

/* Describes a tensor's codes as those of one long channel, for layouts whose rows are not apart. */
bsq_tensor_t bsq_rows_flattened(const bsq_tensor_t *tensor);

void bsq_rows_pack(const struct bsq_rows *rows, const bsq_tensor_t *tensor, unsigned char *packed);

/* FORMAT when a field is no code of the tensor; the order does not matter here. */
bsq_status_t bsq_rows_check(const struct bsq_format *format, const struct bsq_rows *rows, const bsq_tensor_t *tensor,
                            const unsigned char *packed, struct bsq_message *message);
void bsq_rows_unpack(const struct bsq_rows *rows, const bsq_tensor_t *tensor, const unsigned char *packed);

/* FORMAT when bits behind the last field of a stream are not 0, 'count' fields in 'bytes' bytes. */
bsq_status_t bsq_rows_check_tails(const struct bsq_format *format, const struct bsq_fields *fields, int64_t streams,
                                  int64_t count, int64_t bytes, const unsigned char *packed,
                                  struct bsq_message *message);

/* Zero points as fields: group g of channel o is field o * channel_step + g of one stream; or along the outputs, field
 * o of stream g. Numbers as in rows, of the zero point: 'add' is what the field lacks. */
struct bsq_zeros {
    struct bsq_fields fields;
    int64_t channel_stream, channel_field, group_stream, group_field; /* what o and g add to stream and field */
    bool is_signed;
    int32_t add;
};

/* FORMAT when a zero point of the tensor is none that the fields hold. */
bsq_status_t bsq_zeros_check(const struct bsq_format *format, const struct bsq_zeros *zeros, const bsq_tensor_t *tensor,
                             struct bsq_message *message);
void bsq_zeros_pack(const struct bsq_zeros *zeros, const bsq_tensor_t *tensor, unsigned char *packed);

/* FORMAT when a field is none that the tensor takes. */
bsq_status_t bsq_zeros_check_packed(const struct bsq_format *format, const struct bsq_zeros *zeros,
                                    const bsq_tensor_t *tensor, const unsigned char *packed,
                                    struct bsq_message *message);
void bsq_zeros_unpack(const struct bsq_zeros *zeros, const bsq_tensor_t *tensor, const unsigned char *packed);

#endif
