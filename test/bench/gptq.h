/* The arithmetic of GPTQ with the BLAS of this process: what the solver's time is compared with. */
#ifndef BSQ_TEST_BENCH_GPTQ_H
#define BSQ_TEST_BENCH_GPTQ_H

#include "layer_data.h"

/* Quantizes a layer of one group in the full range, inputs in order of their diagonal, with the scales of least weight
 * error: spotrf, spotri and spotrf of the damped H, then one pass in blocks of 128 inputs. Writes the relative output
 * error; returns the processor time of the arithmetic alone, the least of five runs. */
double gptq_seconds(const struct layer_data *data, int32_t bits, double *error);

/* The same with groups of 'group' inputs in that order (act-order), each with its own scale and zero point: the extremes of
 * its weights, 0 included, when its turn comes. */
double gptq_groups_seconds(const struct layer_data *data, int32_t bits, int64_t group, double *error);

#endif
