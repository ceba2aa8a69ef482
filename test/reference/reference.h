/* The formulas of the library once more, in double, slow and plain on purpose, so that tests compare with something
 * that shares no code with it. Every sum is written out as docs/method.md writes it. */
#ifndef BSQ_TEST_REFERENCE_H
#define BSQ_TEST_REFERENCE_H

#include <stdint.h>

/* ---- one output channel: the objective --------------------------------------------------------------------- */

/* min over v = scale * code of  energy - 2 p'v + v'Hv + ridge |w - v|^2 */
struct ref_channel {
    int64_t n;
    const double *h; /* n x n */
    const double *p; /* n */
    const double *w; /* n */
    double energy;
    double ridge; /* lambda * mean(diag H) */
};

/* Default lambda for N rows (0: unknown) of n inputs. */
double ref_damping(double rows, int64_t n);

double ref_mean_diagonal(int64_t n, const double *h);

/* p = (1 - mu) H w + mu P and its energy; 'cross' (P) and 'square' (mean of y^2) are read only when mu is not 0. */
void ref_target(int64_t n, const double *h, const double *w, double mu, const double *cross, double *p);
double ref_energy(int64_t n, const double *h, const double *w, double mu, const double *cross, double square);

/* values = scale * code, input i in scale group i / group_size. */
void ref_dequantize(int64_t n, int64_t group_size, const int8_t *codes, const double *scales, double *values);

/* J with and without the damping term. */
double ref_objective(const struct ref_channel *channel, const double *values);
double ref_output_error(const struct ref_channel *channel, const double *values);

/* How much J changes when code k goes up by 'step', without the cancellation of two evaluations of J. */
double ref_change(const struct ref_channel *channel, const double *values, int64_t k, double scale, int32_t step);

/* ---- scales and codes --------------------------------------------------------------------------------------- */

void ref_code_range(int32_t bits, int32_t full, int32_t *lowest, int32_t *highest);

/* Nearest codes to w / scale, ties to even, clipped. */
void ref_round(int64_t n, const double *w, double scale, int32_t lowest, int32_t highest, int8_t *codes);

/* The scale of least J for fixed codes; 0 when the codes have no energy or point away from the target. */
double ref_best_scale(const struct ref_channel *channel, const int8_t *codes);

/* The scales of least J for fixed codes, one for each group of inputs, of any sign; returns J. */
double ref_best_scales(const struct ref_channel *channel, int64_t group_size, const int8_t *codes, double *scales);

/* ---- brute force, for tiny n -------------------------------------------------------------------------------- */

/* Best codes for a fixed scale; returns J. */
double ref_brute_codes(const struct ref_channel *channel, double scale, int32_t lowest, int32_t highest, int8_t *codes);

/* Best codes and scales together, one scale >= 0 for each group of inputs; returns J. Codes whose best scales include a
 * negative one can be left out: with that scale at 0 they are other codes, which are tried too. */
double ref_brute_joint(const struct ref_channel *channel, int64_t group_size, int32_t lowest, int32_t highest,
                       int8_t *codes, double *scales);

/* ---- GPTQ ---------------------------------------------------------------------------------------------------- */

/* What its arithmetic needs of one H (n x n): inputs by falling diagonal, and the upper factor of the inverse of the damped H in
 * that order. */
struct ref_gptq {
    int64_t n;
    int64_t *order;
    double *factor;
};

struct ref_gptq ref_gptq_create(int64_t n, const double *h, double damping);
void ref_gptq_free(struct ref_gptq *gptq);

/* One channel: values = scale * code. */
void ref_gptq_quantize(const struct ref_gptq *gptq, const double *w, double scale, int32_t lowest, int32_t highest,
                       double *values);

/* ---- the published algorithm -------------------------------------------------------------------------------- */

/* A layer of G groups, M channels in all; group g has channels g M / G and on. */
struct ref_layer {
    int64_t groups;
    int64_t channels;
    int64_t n;
    const double *w; /* M x n */
    const double *h; /* G x n x n */
    const double *p; /* M x n */
};

/* Codes and scales of a layer, M x n and M. 'margin' is how far the closest decision was from going the other way,
 * as a share of its threshold: two correct programs may differ where it is near the rounding error. */
struct ref_codes {
    int8_t *codes;
    double *scales;
    double margin;
};

/* Scale max|w| / highest code, symmetric range; a channel of zeros gets scale 0. */
void ref_round_max(const struct ref_layer *layer, int32_t bits, struct ref_codes *result);

/* From there codes and scales in turn until the scales stand still: least |w - scale * code|. */
void ref_round_alternating(const struct ref_layer *layer, int32_t bits, struct ref_codes *result);

/* The ternary digit of plane m at input k that the weights alone ask for. 'planes' is (bits - 1) x n, least significant
 * first. */
int8_t ref_weight_digit(int64_t n, const double *w, double scale, int32_t bits, const int8_t *planes, int32_t m,
                        int64_t k, double *margin);

/* What plane m has to explain, p - H (scale * codes without plane m), and its digit at input k of least J for it;
 * 'digits' are the n of plane m. */
void ref_rest(int64_t n, const double *h, const double *p, double scale, int32_t bits, const int8_t *planes, int32_t m,
              double *rest);
int8_t ref_response_digit(int64_t n, const double *h, const double *rest, double scale, int32_t m, const int8_t *digits,
                          int64_t k, double *margin);

/* Alternating rounding, bit-split on the weights, response reconstruction, a last scale. */
void ref_paper(const struct ref_layer *layer, int32_t bits, struct ref_codes *result);

#endif
