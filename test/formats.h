/* Random tensors that formats hold, for tests of packing. The public header alone is used. */
#ifndef BSQ_TEST_FORMATS_H
#define BSQ_TEST_FORMATS_H

#include "support.h"

/* Describes a tensor, without buffers, as options ask for it. */
bsq_tensor_t test_tensor_of_options(const bsq_options_t *options, int64_t channels, int64_t fan_in);

/* Buffers of the sizes that the description asks for, filled with 'fill'; to be freed with test_tensor_free. */
void test_tensor_allocate(bsq_tensor_t *tensor, int fill);

/* Random codes, scales, zero points (from 'least_zero' on) and offsets: all that the description allows, but for magnitudes
 * beyond 2^-30 .. 2^30. */
void test_tensor_draw(bsq_tensor_t *tensor, int32_t least_zero, struct test_random *random);

/* Calls 'visit' with every kind of tensor that a format holds: each number of bits and grid, several extents, groups and
 * formats of scales. Returns how many there were. */
typedef void test_visit_fn(const bsq_tensor_t *description, int32_t format, void *opaque);
int test_formats_visit(int32_t format, test_visit_fn *visit, void *opaque);

/* A tensor packed into a buffer of exactly its size, to be freed with free; fails the test otherwise. */
unsigned char *test_tensor_packed(const bsq_tensor_t *tensor, int32_t format, size_t *size);

/* The weights of a tensor, to be freed with free. */
float *test_tensor_weights(const bsq_tensor_t *tensor);

#endif
