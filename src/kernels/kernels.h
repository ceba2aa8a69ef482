/* Inner loops that are worth more than one version. portable.c is the reference; dispatch.c picks once. */
#ifndef BSQ_SRC_KERNELS_H
#define BSQ_SRC_KERNELS_H

#include <stdint.h>

enum {
    BSQ_BEAM_ROWS = 32,  /* rows of the factor that one call of beam() decides */
    BSQ_BEAM_WIDTH = 64  /* most survivors of a lane */
};

/* One diagonal block of a beam search: 'rows' codes of every lane, the last row first. A lane is one channel at one
 * scale; its 'width' survivors lie side by side, best first, so that a row of states is lanes x width. */
struct bsq_beam_block {
    int64_t rows;
    int64_t lanes;
    int64_t width;
    const float *r;  /* rows x rows upper triangle, leading dimension ldr */
    int64_t ldr;
    const float *t;  /* rows x states: what the codes decided before this block add to each row of R (v - step q) */
    float *e;        /* rows x states; in: v, out: v - step q along each survivor's path; leading dimension states */
    const float *step; /* rows x lanes */
    const float *z;    /* rows x lanes: R v, to tell how well the residual aligns with it */
    float *cost;       /* states, in and out: squared residual so far; infinity where there is no survivor */
    float *align;      /* states, in and out: residual' z so far */
    int32_t *parent;   /* states, out: which survivor of the lane each one descends from */
    float lowest, highest; /* codes */
};

struct bsq_kernels {
    int32_t id; /* BSQ_KERNEL_... */
    void (*beam)(const struct bsq_beam_block *block);
};

extern const struct bsq_kernels bsq_kernels_portable;

/* The best that this machine runs. */
const struct bsq_kernels *bsq_kernels_best(void);

#endif
