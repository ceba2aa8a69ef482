/* The weights that quantized tensors stand for. */
#ifndef BSQ_BASE_DEQUANTIZE_H
#define BSQ_BASE_DEQUANTIZE_H

#include "bsq.h"

/* Writes the M * n weights of a tensor whose description, buffers and codes were checked, as bsq_tensor_dequantize
 * says. */
void bsq_tensor_values(const bsq_tensor_t *tensor, float *weights);

#endif
