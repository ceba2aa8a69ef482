/* Arrays of codes, scales, zero points and offsets in packed tensors, checked before anything is written. */
#ifndef BSQ_FORMAT_ARRAYS_H
#define BSQ_FORMAT_ARRAYS_H

#include "format/fields.h"
#include "format/format.h"

/* Little-endian numbers. */
uint32_t bsq_word_read(const unsigned char *bytes);
void bsq_word_write(unsigned char *bytes, uint32_t word);
float bsq_float32_read(const unsigned char *bytes);
void bsq_float32_write(unsigned char *bytes, float x);

/* How scales or offsets of a tensor lie in a part: the number of channel o and group g is element
 * o * channel_step + g * group_step. */
struct bsq_numbers {
    const char *what; /* for texts: scales, offsets */
    int32_t element_type;
    int64_t channel_step, group_step;
};

/* FLOAT32, FLOAT16 or BFLOAT16, whichever holds the tensor's scale format. */
int32_t bsq_element_type_of_scales(const bsq_tensor_t *tensor);

/* FORMAT when a number is none of the element type. */
bsq_status_t bsq_numbers_check(const struct bsq_format *format, const bsq_tensor_t *tensor, const float *from,
                               int32_t element_type, const char *what, struct bsq_message *message);
void bsq_numbers_pack(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, const float *from,
                      unsigned char *packed);

/* FORMAT when a number is none that the tensor takes. */
bsq_status_t bsq_numbers_check_packed(const struct bsq_format *format, const struct bsq_numbers *numbers,
                                      const bsq_tensor_t *tensor, const unsigned char *packed, bool offsets,
                                      struct bsq_message *message);
void bsq_numbers_unpack(const struct bsq_numbers *numbers, const bsq_tensor_t *tensor, const unsigned char *packed,
                        float *to);

/* Codes as fields: those that are around 0 are moved up by 2^(bits-1). */
int32_t bsq_code_shift(const bsq_tensor_t *tensor);

/* What a code of 0 of a tensor without zero points stands at, or its zero point. */
int32_t bsq_zero_of(const bsq_tensor_t *tensor, int64_t scale);

#endif
