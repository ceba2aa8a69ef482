/* How a grid shifts the products of scales and codes. */
#ifndef BSQ_STAGES_SHIFT_H
#define BSQ_STAGES_SHIFT_H

/* What is added to scale * code: nothing, a whole number of steps (as a zero point is), or any offset. */
enum bsq_shift_kind { BSQ_SHIFT_NONE, BSQ_SHIFT_STEPS, BSQ_SHIFT_FREE };

/* How a grid shifts: with a whole number of steps u = scale * (code + shift), when free u = scale * (code + base) +
 * shift; codes that are numbers from 0 on are kept around 0, less the base. */
struct bsq_shifting {
    enum bsq_shift_kind kind;
    double base; /* 0 unless free */
};

/* Gives the two parts of a shift, u being scale * (code + steps) + constant; 'shift' is not read without. */
static inline double bsq_shift_steps(const struct bsq_shifting *shifting, const double *shift)
{
    return shifting->kind == BSQ_SHIFT_STEPS ? *shift : shifting->base;
}

static inline double bsq_shift_constant(const struct bsq_shifting *shifting, const double *shift)
{
    return shifting->kind == BSQ_SHIFT_FREE ? *shift : 0.0;
}

/* Gives what is added to scale * code. Where one part is far below the other it is lost in the sum: what weights are is
 * said by the parts. */
static inline double bsq_shift_offset(const struct bsq_shifting *shifting, double scale, const double *shift)
{
    return scale * bsq_shift_steps(shifting, shift) + bsq_shift_constant(shifting, shift);
}

#endif
