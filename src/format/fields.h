/* Numbers of a few bits in streams, low bits first: codes and zero points as engines store them. */
#ifndef BSQ_FORMAT_FIELDS_H
#define BSQ_FORMAT_FIELDS_H

#include "base/grid.h"

#include <stdint.h>

/* Streams of 'bits' bits a field. Stream s begins at bytes + s * stream_step; its 32-bit words lie word_step bytes
 * apart. */
struct bsq_fields {
    int64_t stream_step, word_step;
    int32_t bits;
};

/* Streams whose bytes follow each other. */
static inline struct bsq_fields bsq_fields_dense(int64_t stream_step, int32_t bits)
{
    return (struct bsq_fields){stream_step, 4, bits};
}

static inline int64_t bsq_field_byte(const struct bsq_fields *fields, int64_t stream, int64_t position)
{
    return stream * fields->stream_step + (position >> 5) * fields->word_step + (position >> 3 & 3);
}

static inline int32_t bsq_field_get(const struct bsq_fields *fields, const unsigned char *bytes, int64_t stream,
                                    int64_t index)
{
    int64_t position = index * fields->bits;
    int32_t value = 0;

    for (int done = 0; done < fields->bits;) {
        int from = (int)(position & 7), take = 8 - from < fields->bits - done ? 8 - from : fields->bits - done;

        value |= (bytes[bsq_field_byte(fields, stream, position)] >> from & ((1 << take) - 1)) << done;
        done += take;
        position += take;
    }
    return value;
}

/* Sets a field that is 0. */
static inline void bsq_field_put(const struct bsq_fields *fields, unsigned char *bytes, int64_t stream, int64_t index,
                                 int32_t value)
{
    int64_t position = index * fields->bits;

    for (int done = 0; done < fields->bits;) {
        int from = (int)(position & 7), take = 8 - from < fields->bits - done ? 8 - from : fields->bits - done;
        unsigned char *byte = bytes + bsq_field_byte(fields, stream, position);

        *byte = (unsigned char)(*byte | (value >> done & ((1 << take) - 1)) << from);
        done += take;
        position += take;
    }
}

/* Twice the values of E2M1 in ascending order, as its grid has them, and its 4 bits: a sign, then 0, 0.5, 1, 1.5, 2, 3,
 * 4, 6. Both zeros are read as one. */
static inline int32_t bsq_e2m1_bits(int32_t code)
{
    return code < 7 ? 15 - code : code - 7;
}

static inline int32_t bsq_e2m1_code(int32_t bits)
{
    return bits & 8 ? 7 - (bits & 7) : 7 + bits;
}

#endif
