/* Floating-point numbers of 16 and 8 bits. */
#ifndef BSQ_BASE_SMALL_FLOAT_H
#define BSQ_BASE_SMALL_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

/* IEEE 754 binary16 with subnormal numbers, the upper half of a float32, and the 8-bit float of 4 exponent and 3
 * fraction bits that has NaN but no infinity (E4M3FN). Reading gives every value exactly; NaN and infinities where
 * there are such. */
float bsq_float16_read(uint16_t bits);
float bsq_bfloat16_read(uint16_t bits);
float bsq_e4m3_read(uint8_t bits);

/* The bits of x, false when x is not exactly a finite value. */
bool bsq_float16_write(float x, uint16_t *bits);
bool bsq_bfloat16_write(float x, uint16_t *bits);
bool bsq_e4m3_write(float x, uint8_t *bits);

#endif
